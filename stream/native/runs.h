/* Rows of several parts put together, or as one run, sorted by key: what run.py makes of them. */
#ifndef LEEWAY_RUNS_H
#define LEEWAY_RUNS_H

#include <stdlib.h>

#include "memory.h"

#define MOST_COLUMNS 64
#define MOST_MERGED 8 /* runs that rise: more are sorted anew */

typedef struct {
    uint64_t key;
    uint32_t part, row;
} Keyed;

static int by_key(const void *a, const void *b)
{
    const Keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? 1 : -1;
    if (x->part != y->part)
        return x->part > y->part ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

#define MOST_ON_SHELF 48 /* that are put in order one by one */

static inline size_t shelf_of(uint64_t key, unsigned bits) { return key >> 1 >> (63 - bits); }

/* Sorted by key, as they came where keys are equal: onto shelves by the first bits, as keys are
 * hashes, then each shelf. False where there is no room. */
static bool sorted_by_key(Keyed **of, size_t n)
{
    unsigned bits = 0;
    while (bits < 16 && (size_t)1 << bits < n)
        bits++;
    const size_t shelves = (size_t)1 << bits;
    Keyed *from = *of, *to = PyMem_Malloc(n * sizeof *to + 1);
    uint32_t *next = PyMem_Calloc(shelves + 1, sizeof *next);
    if (!to || !next) {
        PyMem_Free(to);
        PyMem_Free(next);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        next[shelf_of(from[i].key, bits) + 1]++;
    uint32_t most = 0;
    for (size_t shelf = 0; shelf < shelves; shelf++) {
        most = next[shelf + 1] > most ? next[shelf + 1] : most;
        next[shelf + 1] += next[shelf];
    }
    for (size_t i = 0; i < n; i++)
        to[next[shelf_of(from[i].key, bits)]++] = from[i];
    for (size_t shelf = 0, low = 0; most > MOST_ON_SHELF && shelf < shelves; low = next[shelf++])
        if (next[shelf] - low > MOST_ON_SHELF)
            qsort(to + low, next[shelf] - low, sizeof *to, by_key);
    for (size_t i = 1; i < n; i++) { /* none leaves its shelf */
        const Keyed one = to[i];
        size_t at = i;
        for (; at && to[at - 1].key > one.key; at--)
            to[at] = to[at - 1];
        if (at < i)
            to[at] = one;
    }
    PyMem_Free(next);
    PyMem_Free(from);
    *of = to;
    return true;
}

/* Two runs that rise, one behind the other, as one; of equal keys those of the first come first. */
static void two_runs_merged(const Keyed *first, const Keyed *second, const Keyed *end, Keyed *to)
{
    const Keyed *a = first, *b = second;
    while (a < second && b < end) { /* which comes next is a matter of chance: no branch */
        const Py_ssize_t later = b->key < a->key;
        *to++ = a[(b - a) & -later];
        a += 1 - later;
        b += later;
    }
    memcpy(to, a, (size_t)(second - a) * sizeof *to);
    memcpy(to + (second - a), b, (size_t)(end - b) * sizeof *to);
}

/* Runs that rise, one behind the other: run i begins at starts[i], the last ends at starts[runs].
 * Sorted by key, as they came where keys are equal. False where there is no room. */
static bool runs_merged(Keyed **of, size_t *starts, size_t runs)
{
    Keyed *from = *of, *to = PyMem_Malloc(starts[runs] * sizeof *to + 1);
    if (!to)
        return false;
    while (runs > 1) {
        const size_t pairs = runs / 2;
        for (size_t i = 0; i < pairs; i++)
            two_runs_merged(from + starts[2 * i], from + starts[2 * i + 1], from + starts[2 * i + 2], to + starts[2 * i]);
        if (runs % 2)
            memcpy(to + starts[runs - 1], from + starts[runs - 1],
                   (starts[runs] - starts[runs - 1]) * sizeof *to);
        for (size_t i = 1; i <= pairs; i++)
            starts[i] = starts[2 * i];
        if (runs % 2)
            starts[pairs + 1] = starts[runs];
        runs = pairs + runs % 2;
        Keyed *before = from;
        from = to;
        to = before;
    }
    PyMem_Free(to);
    *of = from;
    return true;
}

typedef struct {
    Py_ssize_t parts, columns;
    Py_buffer *cells; /* column by column, of each part */
    Py_buffer *live;  /* of each part the rows that are taken, or all */
    size_t *rows;     /* of each part, the others included */
    Keyed *order;
    size_t n;
} Parts;

static void parts_released(Parts *p)
{
    for (Py_ssize_t i = 0; p->cells && i < p->parts * p->columns; i++)
        if (p->cells[i].obj)
            PyBuffer_Release(&p->cells[i]);
    for (Py_ssize_t i = 0; p->live && i < p->parts; i++)
        if (p->live[i].obj)
            PyBuffer_Release(&p->live[i]);
    PyMem_Free(p->cells);
    PyMem_Free(p->live);
    PyMem_Free(p->rows);
    PyMem_Free(p->order);
}

static bool live_held(Parts *p, PyObject *lengths, PyObject *live)
{
    p->n = 0;
    for (Py_ssize_t i = 0; i < p->parts; i++) {
        const Py_ssize_t rows = PyLong_AsSsize_t(PyList_GET_ITEM(lengths, i));
        if (rows < 0 || rows > UINT32_MAX)
            return false;
        p->rows[i] = (size_t)rows;
        if (PyList_GET_ITEM(live, i) == Py_None) {
            p->n += p->rows[i];
            continue;
        }
        if (PyObject_GetBuffer(PyList_GET_ITEM(live, i), &p->live[i], PyBUF_SIMPLE) < 0)
            return false;
        const int64_t *row = p->live[i].buf;
        for (Py_ssize_t at = 0; at < p->live[i].len / 8; at++)
            if ((uint64_t)row[at] >= p->rows[i])
                return false;
        p->n += (size_t)p->live[i].len / 8;
    }
    return p->n < UINT32_MAX;
}

/* Cells at any distance from each other: at none where all are alike. */
static bool column_held(Py_buffer *cells, PyObject *of, Py_ssize_t size, size_t rows)
{
    if (PyObject_GetBuffer(of, cells, PyBUF_STRIDED_RO) < 0)
        return false;
    return cells->ndim == 1 && cells->itemsize == size && (size_t)cells->shape[0] == rows;
}

static bool cells_held(Parts *p, PyObject *columns, const Py_ssize_t *sizes)
{
    for (Py_ssize_t c = 0; c < p->columns; c++) {
        PyObject *of = PyList_GET_ITEM(columns, c);
        if (!PyList_Check(of) || PyList_GET_SIZE(of) != p->parts)
            return false;
        for (Py_ssize_t i = 0; i < p->parts; i++)
            if (!column_held(&p->cells[c * p->parts + i], PyList_GET_ITEM(of, i), sizes[c], p->rows[i]))
                return false;
    }
    return true;
}

/* The rows that are taken; sorted by their keys, the first column, if that is asked for. */
static bool ordered(Parts *p, bool sorts)
{
    size_t starts[MOST_MERGED + 1] = {0}; /* of runs that rise */
    size_t runs = 0, at = 0;
    uint64_t before = 0;
    p->order = PyMem_Malloc(p->n * sizeof *p->order + 1);
    if (!p->order)
        return false;
    for (Py_ssize_t i = 0; i < p->parts; i++) {
        const int64_t *live = p->live[i].buf;
        const bool picks = p->live[i].obj;
        const char *first = p->cells[i].buf;
        const Py_ssize_t apart = p->cells[i].strides[0];
        const size_t n = picks ? (size_t)p->live[i].len / 8 : p->rows[i];
        for (size_t k = 0; k < n; k++) {
            const size_t row = picks ? (size_t)live[k] : k;
            uint64_t key = 0;
            if (sorts)
                memcpy(&key, first + (Py_ssize_t)row * apart, 8);
            if (key < before && ++runs < MOST_MERGED)
                starts[runs] = at;
            before = key;
            p->order[at++] = (Keyed){key, (uint32_t)i, (uint32_t)row};
        }
    }
    if (!sorts || !runs)
        return true;
    if (++runs > MOST_MERGED)
        return sorted_by_key(&p->order, p->n);
    starts[runs] = at;
    return runs_merged(&p->order, starts, runs);
}

/* Where the cells of a part begin, and how far apart they are: side by side, as many are asked for. */
typedef struct {
    const char *first;
    Py_ssize_t apart;
} Place;

#define TAKEN(type)                                                                                 \
    do {                                                                                            \
        type *to = (type *)PyBytes_AS_STRING(made);                                                 \
        size_t same = 1;                                                                            \
        if (p->parts == 1 && place->apart == size)                                                  \
            for (size_t i = 0; i < p->n; i++)                                                       \
                to[i] = ((const type *)place->first)[order[i].row];                                 \
        else                                                                                        \
            for (size_t i = 0; i < p->n; i++) {                                                     \
                const Place *of = place + order[i].part;                                            \
                memcpy(to + i, of->first + (Py_ssize_t)order[i].row * of->apart, sizeof *to);       \
            }                                                                                       \
        while (same < p->n && to[same] == to[0])                                                    \
            same++;                                                                                 \
        alike = same == p->n;                                                                       \
    } while (0)

/* All parts have one cell, and the same. */
static bool alike_in_all(const Parts *p, Py_ssize_t c, Py_ssize_t size)
{
    const Py_buffer *of = &p->cells[c * p->parts];
    for (Py_ssize_t i = 0; i < p->parts; i++)
        if (of[i].strides[0] || !p->rows[i] || memcmp(of[i].buf, of[0].buf, (size_t)size))
            return false;
    return p->n;
}

/* One column in order: all cells, or one where they are alike. */
static PyObject *column_taken(const Parts *p, Py_ssize_t c, Py_ssize_t size)
{
    if (alike_in_all(p, c, size))
        return PyBytes_FromStringAndSize(p->cells[c * p->parts].buf, size);
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p->n * size);
    Place *place = PyMem_Malloc((size_t)p->parts * sizeof *place);
    const Keyed *order = p->order;
    bool alike = false;
    if (!made || !place) {
        Py_XDECREF(made);
        PyMem_Free(place);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < p->parts; i++) {
        const Py_buffer *of = &p->cells[c * p->parts + i];
        place[i] = (Place){of->buf, of->strides[0]};
    }
    if (size == 8)
        TAKEN(uint64_t);
    else if (size == 4)
        TAKEN(uint32_t);
    else
        TAKEN(uint8_t);
    PyMem_Free(place);
    if (alike)
        _PyBytes_Resize(&made, size); /* NULL where that fails */
    return made;
}

/* Which prefixes of keys occur: a bitmap, and the shift that leaves one. */
static PyObject *prefixes_met(const Parts *p, unsigned bits)
{
    PyObject *bitmap = PyBytes_FromStringAndSize(NULL, ((Py_ssize_t)1 << bits) / 8);
    if (!bitmap)
        return NULL;
    uint8_t *met = (uint8_t *)PyBytes_AS_STRING(bitmap);
    memset(met, 0, (size_t)PyBytes_GET_SIZE(bitmap));
    for (size_t i = 0; i < p->n; i++) {
        const uint64_t slot = p->order[i].key >> (64 - bits);
        met[slot >> 3] |= (uint8_t)(1U << (slot & 7));
    }
    return bitmap;
}

static PyObject *columns_taken(const Parts *p, const Py_ssize_t *sizes)
{
    PyObject *columns = PyList_New(p->columns);
    for (Py_ssize_t c = 0; columns && c < p->columns; c++) {
        PyObject *made = column_taken(p, c, sizes[c]);
        if (made)
            PyList_SET_ITEM(columns, c, made);
        else
            Py_CLEAR(columns);
    }
    return columns;
}

/* (columns, bitmap or None, shift) */
static PyObject *run_made(const Parts *p, const Py_ssize_t *sizes, Py_ssize_t unfiltered,
                          Py_ssize_t bits_of_row)
{
    PyObject *columns = columns_taken(p, sizes), *bitmap = NULL;
    unsigned bits = 0;
    if (!columns)
        return NULL;
    if (p->n < (size_t)unfiltered || p->n < 8)
        bitmap = Py_NewRef(Py_None);
    else {
        while ((size_t)1 << bits < (size_t)bits_of_row * p->n)
            bits++;
        bitmap = prefixes_met(p, bits);
    }
    if (!bitmap) {
        Py_DECREF(columns);
        return NULL;
    }
    return Py_BuildValue("NNi", columns, bitmap, bits ? (int)(64 - bits) : 0);
}

/* Whether columns, sizes, lengths and rows fit each other; an error is told where they do not. */
static bool parts_held(Parts *p, PyObject *columns, PyObject *sizes, PyObject *lengths, PyObject *live,
                       Py_ssize_t *size)
{
    *p = (Parts){.parts = PyList_GET_SIZE(lengths), .columns = PyList_GET_SIZE(columns)};
    bool fits = p->columns && p->columns <= MOST_COLUMNS && p->parts && p->parts < (1 << 20) &&
                PyList_GET_SIZE(sizes) == p->columns && PyList_GET_SIZE(live) == p->parts;
    for (Py_ssize_t c = 0; fits && c < p->columns; c++) {
        size[c] = PyLong_AsSsize_t(PyList_GET_ITEM(sizes, c));
        fits = size[c] == 1 || size[c] == 4 || size[c] == 8;
    }
    if (fits) {
        p->cells = PyMem_Calloc((size_t)(p->parts * p->columns), sizeof *p->cells);
        p->live = PyMem_Calloc((size_t)p->parts, sizeof *p->live);
        p->rows = PyMem_Calloc((size_t)p->parts, sizeof *p->rows);
        if (!p->cells || !p->live || !p->rows)
            PyErr_NoMemory();
        else if (live_held(p, lengths, live) && cells_held(p, columns, size))
            return true;
    }
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "columns, parts and rows do not fit");
    return false;
}

/* ([[cells of a part, …] of a column, the key first, …], [bytes of a cell, …], [rows of a part, …],
 * [rows taken of a part, None for all, …], rows from which there is a bitmap, its bits for a row) ->
 * columns sorted by key, each with all of its cells, or with one where they are alike; the bitmap. */
static PyObject *run_of(PyObject *self, PyObject *args)
{
    PyObject *columns, *sizes, *lengths, *live, *made = NULL;
    Py_ssize_t unfiltered, bits_of_row, size[MOST_COLUMNS];
    Parts p;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!O!O!nn", &PyList_Type, &columns, &PyList_Type, &sizes, &PyList_Type,
                          &lengths, &PyList_Type, &live, &unfiltered, &bits_of_row))
        return NULL;
    const bool held = parts_held(&p, columns, sizes, lengths, live, size);
    if (held && (size[0] != 8 || unfiltered < 0 || bits_of_row < 1 || bits_of_row > 64))
        PyErr_SetString(PyExc_ValueError, "keys or limits do not fit");
    else if (held)
        made = ordered(&p, true) ? run_made(&p, size, unfiltered, bits_of_row) : PyErr_NoMemory();
    parts_released(&p);
    return made;
}

/* The same columns, of the rows as they come. */
static PyObject *together_of(PyObject *self, PyObject *args)
{
    PyObject *columns, *sizes, *lengths, *live, *made = NULL;
    Py_ssize_t size[MOST_COLUMNS];
    Parts p;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyList_Type, &columns, &PyList_Type, &sizes, &PyList_Type,
                          &lengths, &PyList_Type, &live))
        return NULL;
    if (parts_held(&p, columns, sizes, lengths, live, size))
        made = ordered(&p, false) ? columns_taken(&p, size) : PyErr_NoMemory();
    parts_released(&p);
    return made;
}

#endif
