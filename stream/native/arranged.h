/* Parallel columns of cells in another order, as run.py lays out its runs. */
#ifndef LEEWAY_ARRANGED_H
#define LEEWAY_ARRANGED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PICKED(type)                                                                                \
    do {                                                                                            \
        const type *from = cells;                                                                   \
        type *to = picked, first = from[order[0]], differ = 0;                                      \
        for (Py_ssize_t i = 0; i < n; i++) {                                                        \
            to[i] = from[order[i]];                                                                 \
            differ |= to[i] ^ first;                                                                \
        }                                                                                           \
        return !differ;                                                                             \
    } while (0)

/* The cells in this order; whether they are all alike. */
static bool picked_cells(const void *cells, void *picked, Py_ssize_t size, const int64_t *order,
                         Py_ssize_t n)
{
    if (size == 8)
        PICKED(uint64_t);
    if (size == 4)
        PICKED(uint32_t);
    PICKED(uint8_t);
}

/* One column of several parts, each with all of its cells, or with one where they are alike, put
 * together; NULL where this is no such column. `*all_alike`: one cell is all there is. */
static char *joined_parts(PyObject *parts, const Py_ssize_t *lengths, Py_ssize_t total,
                          Py_ssize_t size, bool *all_alike)
{
    const Py_ssize_t count = PyList_GET_SIZE(parts);
    char *joined = PyMem_Malloc((size_t)(total * size + 1)), first[8] = {0};
    bool alike = true, whole = joined != NULL;
    if (!joined)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0, at = 0; whole && i < count; i++) {
        Py_buffer part;
        if (PyObject_GetBuffer(PyList_GET_ITEM(parts, i), &part, PyBUF_SIMPLE) < 0) {
            whole = false;
            break;
        }
        const bool is_one = part.len == size && lengths[i] != 1;
        whole = is_one || part.len == size * lengths[i];
        if (!whole) {
            PyErr_SetString(PyExc_ValueError, "a part is not as long as it should be");
        } else if (lengths[i]) {
            if (!at)
                memcpy(first, part.buf, (size_t)size);
            alike &= (is_one || lengths[i] == 1) && !memcmp(first, part.buf, (size_t)size);
            if (!is_one)
                memcpy(joined + at, part.buf, (size_t)part.len);
            for (Py_ssize_t row = 0; is_one && row < lengths[i]; row++)
                memcpy(joined + at + row * size, part.buf, (size_t)size);
            at += size * lengths[i];
        }
        PyBuffer_Release(&part);
    }
    if (!whole) {
        PyMem_Free(joined);
        return NULL;
    }
    *all_alike = alike;
    return joined;
}

/* Whether all cells of all parts are one and the same, each part with one of them. */
static bool one_cell(PyObject *parts, const Py_ssize_t *lengths, Py_ssize_t size, char *first)
{
    bool any = false, alike = true;
    for (Py_ssize_t i = 0; alike && i < PyList_GET_SIZE(parts); i++) {
        Py_buffer part;
        if (!lengths[i])
            continue;
        if (PyObject_GetBuffer(PyList_GET_ITEM(parts, i), &part, PyBUF_SIMPLE) < 0) {
            PyErr_Clear(); /* said by who joins them */
            return false;
        }
        alike = part.len == size && (!any || !memcmp(first, part.buf, (size_t)size));
        if (alike)
            memcpy(first, part.buf, (size_t)size);
        any = true;
        PyBuffer_Release(&part);
    }
    return any && alike;
}

static PyObject *arranged_column(PyObject *parts, const Py_ssize_t *lengths, Py_ssize_t total,
                                 Py_ssize_t size, const int64_t *order, Py_ssize_t n)
{
    bool alike = false;
    char first[8];
    if (size != 1 && size != 4 && size != 8) {
        PyErr_SetString(PyExc_ValueError, "cells are of 1, 4 or 8 bytes");
        return NULL;
    }
    if (n && one_cell(parts, lengths, size, first))
        return PyBytes_FromStringAndSize(first, size);
    char *joined = joined_parts(parts, lengths, total, size, &alike);
    if (!joined)
        return NULL;
    PyObject *made;
    if (alike && n) {
        made = PyBytes_FromStringAndSize(joined, size);
    } else {
        made = PyBytes_FromStringAndSize(NULL, n * size);
        if (made && n && picked_cells(joined, PyBytes_AS_STRING(made), size, order, n))
            _PyBytes_Resize(&made, size); /* NULL where that fails */
    }
    PyMem_Free(joined);
    return made;
}

/* ([[part of a column, …], …], [bytes of a cell, …], [rows of a part, …], order) -> a bytes object a
 * column: all cells in this order, or one where they are alike. */
static PyObject *arranged(PyObject *self, PyObject *args)
{
    PyObject *columns, *sizes, *of_parts, *result = NULL;
    Py_buffer order;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!O!y*", &PyList_Type, &columns, &PyList_Type, &sizes,
                          &PyList_Type, &of_parts, &order))
        return NULL;
    const Py_ssize_t count = PyList_GET_SIZE(columns), parts = PyList_GET_SIZE(of_parts);
    const Py_ssize_t n = order.len / 8, most = PY_SSIZE_T_MAX / 64;
    Py_ssize_t total = 0, *lengths = PyMem_Malloc((size_t)(parts + 1) * sizeof *lengths);
    if (!lengths) {
        PyErr_NoMemory();
        goto done;
    }
    bool fits = PyList_GET_SIZE(sizes) == count;
    for (Py_ssize_t i = 0; fits && i < parts; i++) {
        lengths[i] = PyLong_AsSsize_t(PyList_GET_ITEM(of_parts, i));
        fits = lengths[i] >= 0 && lengths[i] < most - total;
        total += fits ? lengths[i] : 0;
    }
    for (Py_ssize_t i = 0; fits && i < n; i++)
        fits = (uint64_t)((const int64_t *)order.buf)[i] < (uint64_t)total;
    for (Py_ssize_t i = 0; fits && i < count; i++)
        fits = PyList_Check(PyList_GET_ITEM(columns, i)) &&
               PyList_GET_SIZE(PyList_GET_ITEM(columns, i)) == parts;
    if (!fits) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "columns, parts and rows do not fit");
        goto done;
    }
    result = PyList_New(count);
    for (Py_ssize_t i = 0; result && i < count; i++) {
        const Py_ssize_t size = PyLong_AsSsize_t(PyList_GET_ITEM(sizes, i));
        PyObject *made = size == -1 && PyErr_Occurred()
                             ? NULL
                             : arranged_column(PyList_GET_ITEM(columns, i), lengths, total, size,
                                               order.buf, n);
        if (made)
            PyList_SET_ITEM(result, i, made);
        else
            Py_CLEAR(result);
    }
done:
    PyMem_Free(lengths);
    PyBuffer_Release(&order);
    return result;
}

#endif
