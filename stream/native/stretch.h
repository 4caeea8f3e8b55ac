/* Of several parts with the same columns the rows of panes that end within some time, beside each
 * other; where one part has them all, in a row, they stay where they are. */
#ifndef LEEWAY_STRETCH_H
#define LEEWAY_STRETCH_H

#include "memory.h"

typedef struct {
    Py_ssize_t parts, columns;
    Py_buffer *buffer;      /* of each part: ends, hashes, then kinds and bits of each column */
    size_t *first, *count;  /* of each part the rows within, if they follow one another, and how many */
    bool *is_whole;         /* whether they do */
    size_t n;               /* of all parts */
    const int64_t *end;
    const uint64_t *hash;
    const uint8_t **kind;
    const uint64_t **bits;
    char *own; /* cells that were put together */
} Stretch;

#define IN_PART (2 * (s->columns + 1))

static void stretch_released(Stretch *s)
{
    for (Py_ssize_t i = 0; s->buffer && i < s->parts * IN_PART; i++)
        if (s->buffer[i].obj)
            PyBuffer_Release(&s->buffer[i]);
    PyMem_Free(s->buffer);
    PyMem_Free(s->first);
    PyMem_Free(s->count);
    PyMem_Free(s->is_whole);
    PyMem_Free(s->kind);
    PyMem_Free(s->bits);
    PyMem_Free(s->own);
}

/* (ends, hashes, [kinds, bits, kinds, …]) */
static bool part_held(Stretch *s, Py_ssize_t part, PyObject *of)
{
    PyObject *ends, *hashes, *cells;
    Py_buffer *to = s->buffer + part * IN_PART;
    if (!PyTuple_Check(of) || !PyArg_ParseTuple(of, "OOO!", &ends, &hashes, &PyList_Type, &cells))
        return false;
    if (PyList_GET_SIZE(cells) != 2 * s->columns || PyObject_GetBuffer(ends, to, PyBUF_SIMPLE) < 0 ||
        PyObject_GetBuffer(hashes, to + 1, PyBUF_SIMPLE) < 0 || to->len % 8 || to[1].len != to->len)
        return false;
    for (Py_ssize_t i = 0; i < 2 * s->columns; i++)
        if (PyObject_GetBuffer(PyList_GET_ITEM(cells, i), to + 2 + i, PyBUF_SIMPLE) < 0 ||
            to[2 + i].len != to->len / (i % 2 ? 1 : 8))
            return false;
    return true;
}

static inline bool is_within(int64_t end, int64_t after, int64_t until) { return end > after && end <= until; }

static void counted_within(Stretch *s, Py_ssize_t part, int64_t after, int64_t until)
{
    const int64_t *end = s->buffer[part * IN_PART].buf;
    const size_t rows = (size_t)s->buffer[part * IN_PART].len / 8;
    size_t count = 0, first = 0, last = 0;
    for (size_t i = 0; i < rows; i++)
        if (is_within(end[i], after, until)) {
            first = count++ ? first : i;
            last = i;
        }
    s->first[part] = first;
    s->count[part] = count;
    s->is_whole[part] = !count || last - first + 1 == count;
    s->n += count;
}

/* Cells of one column of all parts, of so many bytes each. */
static void put_together(const Stretch *s, char *to, Py_ssize_t column, size_t size, int64_t after, int64_t until)
{
    for (Py_ssize_t part = 0; part < s->parts; part++) {
        const char *from = s->buffer[part * IN_PART + column].buf;
        const int64_t *end = s->buffer[part * IN_PART].buf;
        if (s->is_whole[part]) {
            if (s->count[part])
                memcpy(to, from + s->first[part] * size, s->count[part] * size);
            to += s->count[part] * size;
            continue;
        }
        for (size_t row = s->first[part], left = s->count[part]; left; row++)
            if (is_within(end[row], after, until)) {
                memcpy(to, from + row * size, size);
                to += size;
                left--;
            }
    }
}

/* The part that has all rows, one behind the other; -1 where there is none. */
static Py_ssize_t only_part(const Stretch *s)
{
    for (Py_ssize_t part = 0; part < s->parts; part++)
        if (s->count[part])
            return s->count[part] == s->n && s->is_whole[part] ? part : -1;
    return -1;
}

static bool laid_out(Stretch *s, int64_t after, int64_t until)
{
    const Py_ssize_t only = only_part(s);
    const size_t n = s->n, bits = (size_t)s->columns * 8 * n;
    if (only < 0) {
        s->own = PyMem_Malloc(bits + 16 * n + (size_t)s->columns * n + 1);
        if (!s->own)
            return false;
        put_together(s, s->own, 0, 8, after, until);
        put_together(s, s->own + 8 * n, 1, 8, after, until);
    }
    const Py_buffer *of = only < 0 ? NULL : s->buffer + only * IN_PART;
    const size_t first = only < 0 ? 0 : s->first[only];
    s->end = of ? (const int64_t *)of[0].buf + first : (const int64_t *)s->own;
    s->hash = of ? (const uint64_t *)of[1].buf + first : (const uint64_t *)(s->own + 8 * n);
    for (Py_ssize_t c = 0; c < s->columns; c++) {
        if (of) {
            s->kind[c] = (const uint8_t *)of[2 + 2 * c].buf + first;
            s->bits[c] = (const uint64_t *)of[3 + 2 * c].buf + first;
            continue;
        }
        char *cells = s->own + 16 * n + (size_t)c * 8 * n, *kinds = s->own + 16 * n + bits + (size_t)c * n;
        put_together(s, kinds, 2 + 2 * c, 1, after, until);
        put_together(s, cells, 3 + 2 * c, 8, after, until);
        s->kind[c] = (const uint8_t *)kinds;
        s->bits[c] = (const uint64_t *)cells;
    }
    return true;
}

/* False with an error where they do not fit. */
static bool stretch_held(Stretch *s, PyObject *parts, Py_ssize_t columns, int64_t after, int64_t until)
{
    *s = (Stretch){.parts = PyList_GET_SIZE(parts), .columns = columns};
    const size_t count = (size_t)s->parts + 1;
    s->buffer = PyMem_Calloc(count * (size_t)IN_PART, sizeof *s->buffer);
    s->first = PyMem_Calloc(count, sizeof *s->first);
    s->count = PyMem_Calloc(count, sizeof *s->count);
    s->is_whole = PyMem_Calloc(count, sizeof *s->is_whole);
    s->kind = PyMem_Calloc((size_t)columns + 1, sizeof *s->kind);
    s->bits = PyMem_Calloc((size_t)columns + 1, sizeof *s->bits);
    if (!s->buffer || !s->first || !s->count || !s->is_whole || !s->kind || !s->bits) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t part = 0; part < s->parts; part++) {
        if (!part_held(s, part, PyList_GET_ITEM(parts, part))) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "columns of rows do not fit");
            return false;
        }
        counted_within(s, part, after, until);
    }
    if (laid_out(s, after, until))
        return true;
    PyErr_NoMemory();
    return false;
}

#endif
