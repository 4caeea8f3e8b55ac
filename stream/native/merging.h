/* Sparse counts of many tables made one: the same integers as feature_tables.py makes with numpy.
 *
 * Each table has its rows in order, so that of each row of the whole there are a few runs of keys that
 * rise; these are merged, and what has one key is added.
 */
#ifndef LEEWAY_MERGING_H
#define LEEWAY_MERGING_H

#include "memory.h"

enum { PLACES, PANES, KEYS, COUNTS, OF_TABLE };
#define SIGN (1ULL << 63)

typedef struct {
    uint64_t key; /* of signed ones the sign is the other way round */
    uint64_t count;
} Pair;

static size_t end_of_run(const Pair *of, size_t from, size_t n)
{
    size_t end = from + 1;
    while (end < n && of[end - 1].key < of[end].key)
        end++;
    return end < n ? end : n;
}

/* Two runs as one; how many pairs it has. */
static size_t two_merged(Pair *to, const Pair *a, const Pair *a_end, const Pair *b, const Pair *b_end)
{
    Pair *const first = to;
    while (a < a_end && b < b_end) {
        const bool takes_a = a->key <= b->key, takes_b = b->key <= a->key;
        to->key = takes_a ? a->key : b->key;
        to->count = (takes_a ? a->count : 0) + (takes_b ? b->count : 0);
        a += takes_a;
        b += takes_b;
        to++;
    }
    for (; a < a_end; a++)
        *to++ = *a;
    for (; b < b_end; b++)
        *to++ = *b;
    return (size_t)(to - first);
}

/* All runs of `of` as one, which is in `of` or in `spare`: where; `*n` falls where keys are the same. */
static const Pair *all_merged(Pair *of, Pair *spare, size_t *n)
{
    while (*n && end_of_run(of, 0, *n) < *n) {
        size_t made = 0;
        for (size_t from = 0, middle, end; from < *n; from = end) {
            middle = end_of_run(of, from, *n);
            end = middle < *n ? end_of_run(of, middle, *n) : middle;
            made += two_merged(spare + made, of + from, of + middle, of + middle, of + end);
        }
        Pair *const before = of;
        of = spare;
        spare = before;
        *n = made;
    }
    return of;
}

static void tables_released(Py_buffer (*of)[OF_TABLE], Py_ssize_t tables)
{
    for (Py_ssize_t t = 0; of && t < tables; t++)
        for (int part = 0; part < OF_TABLE; part++)
            if (of[t][part].obj)
                PyBuffer_Release(&of[t][part]);
    PyMem_Free(of);
}

/* Whether the columns fit each other and the whole, of so many rows; how many pairs there are. */
static bool tables_held(Py_buffer (*of)[OF_TABLE], PyObject *tables, int64_t total, size_t *n)
{
    *n = 0;
    for (Py_ssize_t t = 0; t < PyList_GET_SIZE(tables); t++) {
        PyObject *table = PyList_GET_ITEM(tables, t);
        if (!PyTuple_Check(table) || PyTuple_GET_SIZE(table) != OF_TABLE)
            return false;
        for (int part = 0; part < OF_TABLE; part++)
            if (PyObject_GetBuffer(PyTuple_GET_ITEM(table, part), &of[t][part], PyBUF_SIMPLE) < 0 ||
                of[t][part].len % 8)
                return false;
        const int64_t *place = of[t][PLACES].buf, *pane = of[t][PANES].buf;
        const Py_ssize_t rows = of[t][PLACES].len / 8, pairs = of[t][PANES].len / 8;
        if (of[t][KEYS].len != 8 * pairs || of[t][COUNTS].len != 8 * pairs)
            return false;
        for (Py_ssize_t i = 0; i < rows; i++)
            if (place[i] < 0 || place[i] >= total)
                return false;
        for (Py_ssize_t i = 0; i < pairs; i++)
            if (pane[i] < 0 || pane[i] >= rows)
                return false;
        *n += (size_t)pairs;
    }
    return true;
}

/* All pairs by their row of the whole, those of row r before `next[r]`. */
static void by_row(Pair *to, size_t *next, int64_t total, Py_buffer (*of)[OF_TABLE], Py_ssize_t tables,
                   uint64_t turned)
{
    for (Py_ssize_t t = 0; t < tables; t++) {
        const int64_t *place = of[t][PLACES].buf, *pane = of[t][PANES].buf;
        for (Py_ssize_t i = 0; i < of[t][PANES].len / 8; i++)
            next[place[pane[i]] + 1]++;
    }
    for (int64_t row = 0; row < total; row++)
        next[row + 1] += next[row];
    for (Py_ssize_t t = 0; t < tables; t++) {
        const int64_t *place = of[t][PLACES].buf, *pane = of[t][PANES].buf;
        const uint64_t *key = of[t][KEYS].buf, *count = of[t][COUNTS].buf;
        for (Py_ssize_t i = 0; i < of[t][PANES].len / 8; i++)
            to[next[place[pane[i]]]++] = (Pair){key[i] ^ turned, count[i]};
    }
}

/* ([(place of each row, rows, keys, counts), …], rows of the whole, whether keys are signed, whether a
 * count of 0 is none) -> (rows, keys, counts), sorted. */
static PyObject *merged(PyObject *self, PyObject *args)
{
    PyObject *tables, *made[3] = {0}, *result = NULL;
    Py_ssize_t total;
    int is_signed, drops;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!npp", &PyList_Type, &tables, &total, &is_signed, &drops))
        return NULL;
    const Py_ssize_t count = PyList_GET_SIZE(tables);
    const uint64_t turned = is_signed ? SIGN : 0;
    size_t n = 0, used = 0;
    Pair *pairs = NULL;
    size_t *next = NULL;
    Py_buffer(*of)[OF_TABLE] = PyMem_Calloc((size_t)count + 1, sizeof *of);
    if (!of)
        return PyErr_NoMemory();
    if (total < 0 || !tables_held(of, tables, total, &n)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "tables and rows do not fit");
        goto done;
    }
    pairs = PyMem_Malloc(2 * n * sizeof *pairs + 1);
    next = PyMem_Calloc((size_t)total + 2, sizeof *next);
    for (int part = 0; part < 3; part++)
        made[part] = PyByteArray_FromStringAndSize(NULL, 8 * (Py_ssize_t)n);
    if (!pairs || !next || !made[0] || !made[1] || !made[2]) {
        PyErr_NoMemory();
        goto done;
    }
    by_row(pairs, next, total, of, count, turned);
    int64_t *row_to = (int64_t *)PyByteArray_AS_STRING(made[0]);
    uint64_t *key_to = (uint64_t *)PyByteArray_AS_STRING(made[1]);
    uint64_t *count_to = (uint64_t *)PyByteArray_AS_STRING(made[2]);
    for (Py_ssize_t row = 0; row < total; row++) {
        const size_t first = row ? next[row - 1] : 0;
        size_t left = next[row] - first;
        const Pair *one = all_merged(pairs + first, pairs + n, &left);
        for (size_t i = 0; i < left; i++) {
            row_to[used] = row;
            key_to[used] = one[i].key ^ turned;
            count_to[used] = one[i].count;
            used += one[i].count || !drops;
        }
    }
    for (int part = 0; part < 3; part++)
        if (PyByteArray_Resize(made[part], 8 * (Py_ssize_t)used) < 0)
            goto done;
    result = PyTuple_Pack(3, made[0], made[1], made[2]);
done:
    for (int part = 0; part < 3; part++)
        Py_XDECREF(made[part]);
    tables_released(of, count);
    PyMem_Free(pairs);
    PyMem_Free(next);
    return result;
}

#endif
