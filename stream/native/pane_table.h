/* A summary of crowded panes, with its sample, in the form in which it travels: see plain_panes.py. */
#ifndef LEEWAY_PANE_TABLE_H
#define LEEWAY_PANE_TABLE_H

#include "pack.h"
#include "pane_rows.h"
#include "stretch.h"
#include "summary.h"

typedef struct {
    Stretch of;
    PyObject *names, *texts;
    size_t keep, most_texts;
    ByPane by;
    Hashed *small, *spare;
} Panes;

/* What is used again by each block of a call. */
typedef struct {
    Grown rows;    /* of the sample */
    Grown limits;  /* of panes */
    Grown texts;   /* hashes of those that are sent along */
    Grown record;
} Kept;

static int by_text(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool put_names(Grown *to, PyObject *names)
{
    const Py_ssize_t count = PyList_GET_SIZE(names);
    bool ok = put_name(to, "names") && put_list(to, (size_t)count);
    for (Py_ssize_t i = 0; ok && i < count; i++) {
        Py_ssize_t n;
        const char *name = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(names, i), &n);
        ok = name && put_text(to, name, (size_t)n);
    }
    return ok;
}

static bool put_triple(Grown *to, const Sparse *s, const char *kind)
{
    const size_t n = s->pane.used / 8;
    return put_list(to, 3) && put_ints(to, (int64_t *)s->pane.data, n) &&
           (kind ? put_array(to, kind, s->key.data, 8 * n) : put_ints(to, (int64_t *)s->key.data, n)) &&
           put_ints(to, (int64_t *)s->count.data, n);
}

static bool put_whole(Grown *to, const Summary *s, size_t n)
{
    static const int KINDS_SAID[] = {NUMBER, TEXT, NULL_CELL, OTHER};
    bool ok = put_name(to, "whole") && put_list(to, 5) && put_list(to, 6);
    for (int i = 0; i < 4; i++)
        ok = ok && put_ints(to, s->counts[KINDS_SAID[i]], n);
    return ok && put_array(to, "<f8", s->minimum, 8 * n) && put_array(to, "<f8", s->maximum, 8 * n) &&
           put_triple(to, &s->sums, NULL) && put_triple(to, &s->squares, NULL) &&
           put_triple(to, &s->buckets, NULL) && put_triple(to, &s->categories, "<u8");
}

/* The texts of these hashes, each once, by hash. */
static bool put_texts_used(Grown *to, Grown *used, PyObject *texts)
{
    uint64_t *hash = (uint64_t *)used->data;
    size_t n = used->used / 8, distinct = 0;
    if (n)
        qsort(hash, n, 8, by_text);
    for (size_t i = 0; i < n; i++)
        if (!i || hash[i] != hash[i - 1])
            hash[distinct++] = hash[i];
    bool ok = put_name(to, "texts") && put_map(to, distinct);
    for (size_t i = 0; ok && i < distinct; i++) {
        PyObject *code = PyLong_FromUnsignedLongLong(hash[i]);
        PyObject *text = code ? PyDict_GetItemWithError(texts, code) : NULL;
        if (code && !text && !PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, code);
        Py_XDECREF(code);
        Py_ssize_t size;
        const char *said = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
        ok = said && put_uint(to, hash[i]) && put_text(to, said, (size_t)size);
    }
    return ok;
}

/* A text of a cell: not again if it was met just before, or lies where the table says. */
typedef struct {
    uint64_t met[256];
} Recent;

static inline bool text_used(Grown *texts, Recent *recent, uint64_t hash)
{
    uint64_t *last = &recent->met[hash >> 56];
    if (*last == hash && hash)
        return true;
    *last = hash;
    return pushed(texts, &hash, 8);
}

static bool put_sample(Grown *to, const Panes *p, Kept *k)
{
    const int64_t *row = (const int64_t *)k->rows.data;
    const size_t n = k->rows.used / 8, cells = n * (size_t)p->of.columns;
    if (cells >= UINT32_MAX / 16)
        return false;
    bool ok = put_name(to, "sample") && put_map(to, 6) && put_name(to, "end") &&
              array_opened(to, "<i8", 8 * n);
    for (size_t i = 0; ok && i < n; i++)
        ok = pushed(to, &p->of.end[row[i]], 8);
    ok = ok && put_name(to, "hash") && array_opened(to, "<u8", 8 * n);
    for (size_t i = 0; ok && i < n; i++)
        ok = pushed(to, &p->of.hash[row[i]], 8);
    ok = ok && put_names(to, p->names) && put_name(to, "kinds") && array_opened(to, "|u1", cells);
    uint8_t *kinds = ok ? grown(to, cells + 1) : NULL;
    if (!kinds)
        return false;
    for (Py_ssize_t c = 0; c < p->of.columns; c++) {
        const uint8_t *of = p->of.kind[c];
        for (size_t i = 0; i < n; i++)
            *kinds++ = of[row[i]];
    }
    to->used += cells;
    ok = put_name(to, "bits") && array_opened(to, "<u8", 8 * cells);
    char *bits = ok ? grown(to, 8 * cells + 1) : NULL;
    if (!bits)
        return false;
    Recent recent = {{0}};
    for (Py_ssize_t c = 0; c < p->of.columns; c++) {
        const uint8_t *kind = p->of.kind[c];
        const uint64_t *of = p->of.bits[c];
        for (size_t i = 0; i < n; i++, bits += 8) {
            memcpy(bits, &of[row[i]], 8);
            if (kind[row[i]] == TEXT && !text_used(&k->texts, &recent, of[row[i]]))
                return false;
        }
    }
    to->used += 8 * cells;
    return put_texts_used(to, &k->texts, p->texts);
}

/* The rows of the sample of panes [first, last), and where they end: 1, 0, -1 as `sorted_by_pane`. */
static int sampled(const Panes *p, Kept *k, size_t first, size_t last)
{
    k->rows.used = k->limits.used = 0;
    for (size_t at = first; at < last; at++) {
        uint64_t limit;
        const size_t n = smallest_of(&p->by, p->of.hash, at, p->keep, p->small, p->spare, &limit);
        if (!n)
            return 0;
        if (!pushed(&k->limits, &limit, 8))
            return -1;
        for (size_t i = 0; i < n; i++)
            if (!pushed(&k->rows, &p->small[i].row, 8))
                return -1;
    }
    return 1;
}

static bool put_table(Grown *to, const Panes *p, Kept *k, const Summary *s, size_t first, size_t last)
{
    const size_t panes = last - first;
    int64_t count[MOST_PANES];
    for (size_t i = 0; i < panes; i++)
        count[i] = (int64_t)(p->by.starts[first + i + 1] - p->by.starts[first + i]);
    k->texts.used = 0;
    if (s->categories.key.used && !pushed(&k->texts, s->categories.key.data, s->categories.key.used))
        return false;
    return put_map(to, 6) && put_name(to, "end") &&
           put_array(to, "<i8", p->by.ends + first, 8 * panes) && put_name(to, "rows") &&
           put_array(to, "<i8", count, 8 * panes) && put_name(to, "limit") &&
           put_array(to, "<u8", k->limits.data, 8 * panes) && put_names(to, p->names) &&
           put_whole(to, s, panes * (size_t)p->of.columns) && put_sample(to, p, k);
}

#endif
