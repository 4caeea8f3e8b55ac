/* Columns to summaries, for Python: see summary.h. */
#ifndef LEEWAY_SUMS_H
#define LEEWAY_SUMS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "summary.h"

static Scratch scratch; /* of one thread at a time: empty where the lock may be let go (crc32) */

#define SUMMARY_PARTS (KINDS - 1 + 2 + 4 * 3)

static PyObject *summary_parts(Summary *s, Py_ssize_t panes)
{
    PyObject *parts = PyTuple_New(SUMMARY_PARTS);
    const Sparse *sparse[] = {&s->sums, &s->squares, &s->buckets, &s->categories};
    const int kinds[] = {NUMBER, TEXT, NULL_CELL, OTHER};
    PyObject *made[SUMMARY_PARTS];
    int at = 0;
    for (int i = 0; i < 4; i++)
        made[at++] = PyByteArray_FromStringAndSize((char *)s->counts[kinds[i]], 8 * panes);
    made[at++] = PyByteArray_FromStringAndSize((char *)s->minimum, 8 * panes);
    made[at++] = PyByteArray_FromStringAndSize((char *)s->maximum, 8 * panes);
    for (int i = 0; i < 4; i++) {
        made[at++] = grown_bytes(&sparse[i]->pane);
        made[at++] = grown_bytes(&sparse[i]->key);
        made[at++] = grown_bytes(&sparse[i]->count);
    }
    bool all = parts != NULL;
    for (int i = 0; i < SUMMARY_PARTS; i++)
        all &= made[i] != NULL;
    for (int i = 0; i < SUMMARY_PARTS; i++)
        if (all)
            PyTuple_SET_ITEM(parts, i, made[i]);
        else
            Py_XDECREF(made[i]);
    if (!all)
        Py_CLEAR(parts);
    return parts;
}

/* A summary with its memory. */
typedef struct {
    Summary of;
    int64_t *arrays;
} Sums;

static bool sums_begun(Sums *s, Py_ssize_t panes, Py_ssize_t columns)
{
    *s = (Sums){0};
    if (panes < 0 || panes >= PY_SSIZE_T_MAX / (64 * (columns + 1)))
        return false;
    const Py_ssize_t n = panes * columns;
    s->arrays = PyMem_Calloc((size_t)n * (KINDS + 2) + 1, 8);
    if (!s->arrays)
        return false;
    for (int k = 0; k < KINDS; k++)
        s->of.counts[k] = s->arrays + k * n;
    s->of.minimum = (double *)(s->arrays + KINDS * n);
    s->of.maximum = s->of.minimum + n;
    for (Py_ssize_t p = 0; p < n; p++)
        s->of.minimum[p] = s->of.maximum[p] = NAN;
    return true;
}

static void sums_given_back(Sums *s)
{
    Sparse *sparse[] = {&s->of.sums, &s->of.squares, &s->of.buckets, &s->of.categories};
    for (int i = 0; i < 4; i++) {
        PyMem_Free(sparse[i]->pane.data);
        PyMem_Free(sparse[i]->key.data);
        PyMem_Free(sparse[i]->count.data);
    }
    PyMem_Free(s->arrays);
}

/* One column into the summary, its panes from `first` on: 1, 0 where numpy must do it, -1 with an
 * error. `last`: the greatest row that is asked for. */
static int add_column(PyObject *pair, Summary *s, const int64_t *order, uint64_t last,
                      const size_t *starts, size_t panes, int64_t first, Py_ssize_t most)
{
    Py_buffer kind = {0}, bits = {0};
    int added = -1;
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "a column is a pair of kinds and bits");
        return -1;
    }
    if (PyObject_GetBuffer(PyTuple_GET_ITEM(pair, 0), &kind, PyBUF_SIMPLE) < 0)
        return -1;
    if (PyObject_GetBuffer(PyTuple_GET_ITEM(pair, 1), &bits, PyBUF_SIMPLE) < 0)
        goto done;
    if (bits.len != 8 * kind.len) {
        PyErr_SetString(PyExc_ValueError, "kinds and bits differ in length");
        goto done;
    }
    if (starts[panes] && last >= (uint64_t)kind.len) {
        PyErr_SetString(PyExc_ValueError, "a row beyond the column");
        goto done;
    }
    const Cells cells = {kind.buf, bits.buf, order};
    added = summarised(s, &scratch, &cells, starts, panes, first, most);
done:
    PyBuffer_Release(&kind);
    if (bits.obj)
        PyBuffer_Release(&bits);
    return added;
}

/* The greatest of these rows; one below 0 is beyond any column. */
static uint64_t last_row(const int64_t *order, Py_ssize_t n)
{
    uint64_t last = n > 0 ? (uint64_t)n - 1 : 0;
    if (order && n) {
        last = 0;
        for (Py_ssize_t i = 0; i < n; i++)
            last = (uint64_t)order[i] > last ? (uint64_t)order[i] : last;
    }
    return last;
}

/* Where the rows of each pane begin, and where the last ends; NULL with an error where the panes of
 * rows do not rise, or are beyond so many. */
static size_t *starts_of(const Py_buffer *pane, Py_ssize_t panes)
{
    const int64_t *p = pane->buf;
    const Py_ssize_t n = pane->len / 8;
    size_t *starts = PyMem_Malloc(((size_t)panes + 1) * sizeof *starts);
    Py_ssize_t next = 0;
    if (!starts)
        return (size_t *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n; i++) {
        if (p[i] < (i ? p[i - 1] : 0) || p[i] >= panes) {
            PyErr_SetString(PyExc_ValueError, "panes do not rise, or are too many");
            PyMem_Free(starts);
            return NULL;
        }
        for (; next <= p[i]; next++)
            starts[next] = (size_t)i;
    }
    for (; next <= panes; next++)
        starts[next] = (size_t)n;
    return starts;
}

static PyObject *summary(PyObject *self, PyObject *args)
{
    PyObject *columns, *result = NULL;
    Py_ssize_t panes, most;
    Py_buffer order, pane;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!z*y*nn", &PyList_Type, &columns, &order, &pane, &panes, &most))
        return NULL;
    const Py_ssize_t count = PyList_GET_SIZE(columns);
    size_t *starts = NULL;
    Sums s;
    if (!sums_begun(&s, panes, count)) {
        PyErr_NoMemory();
        goto done;
    }
    if (order.obj && order.len != pane.len) {
        PyErr_SetString(PyExc_ValueError, "not a pane of each row");
        goto done;
    }
    starts = starts_of(&pane, panes);
    if (!starts)
        goto done;
    const uint64_t last = last_row(order.buf, pane.len / 8);
    int added = 1;
    tidied(&scratch);
    for (Py_ssize_t i = 0; added == 1 && i < count; i++)
        added = add_column(PyList_GET_ITEM(columns, i), &s.of, order.buf, last, starts, (size_t)panes,
                           i * panes, most);
    if (added == 1)
        result = summary_parts(&s.of, panes * count);
    tidied(&scratch);
done:
    PyMem_Free(starts);
    sums_given_back(&s);
    if (order.obj)
        PyBuffer_Release(&order);
    PyBuffer_Release(&pane);
    if (!result && !PyErr_Occurred())
        return Py_NewRef(Py_None);
    return result;
}

#endif
