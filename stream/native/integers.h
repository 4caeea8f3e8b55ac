/* A list of integers as a column. */
#ifndef LEEWAY_INTEGERS_H
#define LEEWAY_INTEGERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define AHEAD 16 /* objects lie scattered in memory */

/* (list, what None becomes) -> 64-bit integers; OverflowError for what is beyond them. */
static PyObject *integers(PyObject *self, PyObject *args)
{
    PyObject *list;
    long long none;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!L", &PyList_Type, &list, &none))
        return NULL;
    const Py_ssize_t n = PyList_GET_SIZE(list);
    PyObject *made = PyBytes_FromStringAndSize(NULL, 8 * n);
    int64_t *to = made ? (int64_t *)PyBytes_AS_STRING(made) : NULL;
    for (Py_ssize_t i = 0; made && i < n && i < PyList_GET_SIZE(list); i++) {
        PyObject *one = PyList_GET_ITEM(list, i);
        if (i + AHEAD < n && i + AHEAD < PyList_GET_SIZE(list))
            __builtin_prefetch(PyList_GET_ITEM(list, i + AHEAD));
        int beyond = 0; /* it is said quicker than an error is raised */
        to[i] = one == Py_None ? none : PyLong_AsLongLongAndOverflow(one, &beyond);
        if (beyond)
            PyErr_SetString(PyExc_OverflowError, "an integer of more than 64 bits");
        if (to[i] == -1 && PyErr_Occurred())
            Py_CLEAR(made);
    }
    return made;
}

#endif
