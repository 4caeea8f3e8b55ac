/* Rows of a run in the order in which they are due: as pending.py finds it. */
#ifndef LEEWAY_DUE_H
#define LEEWAY_DUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FEW_PANES (1 << 16)

/* Division by one number again and again. */
typedef struct {
    uint64_t by, inverse;
} Divisor;

static inline uint64_t quotient_of(Divisor d, uint64_t number, uint64_t *rest)
{
    const uint64_t near = (uint64_t)((unsigned __int128)number * d.inverse >> 64);
    *rest = number - near * d.by;
    if (*rest < d.by)
        return near;
    *rest = number % d.by;
    return number / d.by;
}

/* Stable, by counting: due times are whole panes apart, and few. 1; 0 where that is not so, -1 where
 * there is no room. */
static int ordered_by_due(const int64_t *due, int64_t pane, size_t n, int32_t *order, int64_t *sorted)
{
    const Divisor by = {(uint64_t)pane, pane > 1 ? UINT64_MAX / (uint64_t)pane + 1 : UINT64_MAX};
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        low = due[i] < low ? due[i] : low;
        high = due[i] > high ? due[i] : high;
    }
    const uint64_t last = n ? ((uint64_t)high - (uint64_t)low) / (uint64_t)pane : 0;
    if (last >= FEW_PANES)
        return 0;
    uint32_t *next = PyMem_Calloc((size_t)last + 2, sizeof *next);
    if (!next)
        return -1;
    uint64_t rest = 0;
    for (size_t i = 0; i < n && !rest; i++)
        next[quotient_of(by, (uint64_t)due[i] - (uint64_t)low, &rest) + 1]++;
    for (uint64_t p = 0; p <= last; p++)
        next[p + 1] += next[p];
    for (size_t i = 0; i < n && !rest; i++) {
        const uint32_t at = next[quotient_of(by, (uint64_t)due[i] - (uint64_t)low, &rest)]++;
        order[at] = (int32_t)i;
        sorted[at] = due[i];
    }
    PyMem_Free(next);
    return !rest;
}

/* (due times, length of a pane) -> (rows by due time, those times); None where they are not whole panes
 * apart, or too far. */
static PyObject *by_due(PyObject *self, PyObject *args)
{
    Py_buffer due;
    long long pane;
    PyObject *order = NULL, *sorted = NULL, *made = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*L", &due, &pane))
        return NULL;
    const Py_ssize_t n = due.len / 8;
    if (pane < 1 || due.len % 8 || n > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "times or panes do not fit");
        goto done;
    }
    order = PyBytes_FromStringAndSize(NULL, 4 * n);
    sorted = PyBytes_FromStringAndSize(NULL, 8 * n);
    if (!order || !sorted)
        goto done;
    const int found = ordered_by_due(due.buf, pane, (size_t)n, (int32_t *)PyBytes_AS_STRING(order),
                                     (int64_t *)PyBytes_AS_STRING(sorted));
    if (found < 0)
        PyErr_NoMemory();
    else
        made = found ? PyTuple_Pack(2, order, sorted) : Py_NewRef(Py_None);
done:
    Py_XDECREF(order);
    Py_XDECREF(sorted);
    PyBuffer_Release(&due);
    return made;
}

#endif
