/* Twins of what numpy does in integers, for panes of which there are few, of sums that are rounded
 * once, and of thresholds, which end in integers: see detectors/native.py.
 *
 * Sums wrap around as numpy's do. What is given is checked here; where it is refused, what was to be
 * written may be so in part.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if UINTPTR_MAX < UINT64_MAX
#error "words of 64 bits are needed; without the extension numpy does all of it"
#endif

#define MOST_VALUES (1LL << 30) /* of one series in one update */
#define NEVER (1LL << 62)
#define FAR INT32_MAX /* a threshold in four bytes that is out of reach */

static inline int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

static inline int64_t times(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

/* A column of signed or unsigned integers of 1, 2, 4 or 8 bytes. */
typedef struct {
    Py_buffer of;
    Py_ssize_t size; /* of one */
    Py_ssize_t count;
} Column;

static bool refused(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return false;
}

static bool taken(PyObject *from, Column *c, bool writable)
{
    c->of.obj = NULL;
    if (PyObject_GetBuffer(from, &c->of, (writable ? PyBUF_WRITABLE : 0) | PyBUF_C_CONTIGUOUS) < 0)
        return false;
    c->size = c->of.itemsize;
    c->count = c->size ? c->of.len / c->size : 0;
    return true;
}

/* So many columns of one call; those that were taken are released by `released`. */
static bool all_taken(PyObject *args, Column *columns, int count, int first_writable)
{
    if (PyTuple_GET_SIZE(args) != count)
        return refused("another number of columns");
    for (int i = 0; i < count; i++)
        if (!taken(PyTuple_GET_ITEM(args, i), &columns[i], i >= first_writable))
            return false;
    return true;
}

static void released(Column *columns, int count)
{
    for (int i = 0; i < count; i++)
        if (columns[i].of.obj)
            PyBuffer_Release(&columns[i].of);
}

static inline int64_t signed_at(const Column *c, Py_ssize_t i)
{
    if (c->size == 4)
        return ((const int32_t *)c->of.buf)[i];
    return ((const int64_t *)c->of.buf)[i];
}

static inline uint64_t unsigned_at(const Column *c, Py_ssize_t i)
{
    switch (c->size) {
    case 1:
        return ((const uint8_t *)c->of.buf)[i];
    case 2:
        return ((const uint16_t *)c->of.buf)[i];
    case 4:
        return ((const uint32_t *)c->of.buf)[i];
    default:
        return ((const uint64_t *)c->of.buf)[i];
    }
}

static inline bool is_signed_size(const Column *c) { return c->size == 4 || c->size == 8; }

static inline bool is_unsigned_size(const Column *c)
{
    return c->size == 1 || c->size == 2 || c->size == 4 || c->size == 8;
}

#include "c/bank.h"
#include "c/heights.h"
#include "c/moments.h"
#include "c/quantile.h"
#include "c/ranks.h"

static PyMethodDef METHODS[] = {
    {"bank", bank, METH_VARARGS,
     "(unit of heights, (kind, start, gain, cost, height, position, x, n, which, held, account, n, x, since))"},
    {"ranks", ranks, METH_VARARGS, "(panes, columns, what `unit_reading` gives)"},
    {"quantiles", quantiles, METH_VARARGS, "((shares, quantiles))"},
    {"row_scores", row_scores, METH_VARARGS,
     "(columns, kind of a number, [(kinds, bits), …], what `rank_table` gives)"},
    {"faults", faults, METH_VARARGS, "(columns, what `unit_reading` gives)"},
    {"heights", heights, METH_VARARGS,
     "(nodes, (rate, c, win, loss, up, series, true, weight, height))"},
    {"normal_heights", normal_heights, METH_VARARGS,
     "rate, c, size, error, offsets, weight, height"},
    {"moments", moments, METH_VARARGS, "shares, scores, cuts, moments"},
    {"grids", grids, METH_VARARGS, "(logarithm of a step, (least, largest, sizes))"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_native", "Twins of what numpy does; see detectors/native.py", 0,
    METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&MODULE); }
