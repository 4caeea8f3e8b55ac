/* The records of a Kafka batch (message format 2), as columns. */
#ifndef LEEWAY_RECORDS_H
#define LEEWAY_RECORDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const uint8_t *p, *end;
    bool is_broken;
} Cursor;

/* A zigzag varint. */
static int64_t varint(Cursor *c)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && c->p < c->end; shift += 7) {
        uint8_t byte = *c->p++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    c->is_broken = true;
    return -1;
}

/* Bytes behind their length; NULL where the length is negative: there are none. */
static const uint8_t *sized(Cursor *c, int64_t *size)
{
    *size = varint(c);
    if (c->is_broken || *size < 0)
        return NULL;
    if (*size > c->end - c->p) {
        c->is_broken = true;
        return NULL;
    }
    const uint8_t *found = c->p;
    c->p += *size;
    return found;
}

static PyObject *bytes_or_none(const uint8_t *p, int64_t size)
{
    return p ? PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)size) : Py_NewRef(Py_None);
}

/* (payload, count, first offset, first timestamp, timestamp of all or -1) ->
 * ([offset], [timestamp], [value], first key); None: not of this form. */
static PyObject *records(PyObject *self, PyObject *given)
{
    (void)self;
    Py_buffer payload;
    Py_ssize_t count;
    long long first_offset, first_timestamp, timestamp_of_all;
    if (!PyArg_ParseTuple(given, "y*nLLL", &payload, &count, &first_offset, &first_timestamp,
                          &timestamp_of_all))
        return NULL;
    Cursor c = {payload.buf, (const uint8_t *)payload.buf + payload.len, false};
    PyObject *offsets = NULL, *timestamps = NULL, *values = NULL, *key = NULL, *found = NULL;
    if (count < 0 || count > payload.len)
        c.is_broken = true;
    else {
        offsets = PyList_New(count);
        timestamps = PyList_New(count);
        values = PyList_New(count);
    }
    if (!c.is_broken && (!offsets || !timestamps || !values))
        goto done;
    for (Py_ssize_t i = 0; i < count && !c.is_broken; i++) {
        int64_t length = varint(&c), size;
        const uint8_t *begin = c.p;
        varint(&c); /* attributes: none is defined */
        long long timestamp = timestamp_of_all;
        int64_t since = varint(&c);
        if (timestamp < 0)
            timestamp = (long long)((uint64_t)first_timestamp + (uint64_t)since);
        long long offset = (long long)((uint64_t)first_offset + (uint64_t)varint(&c));
        const uint8_t *of_key = sized(&c, &size);
        if (of_key && !key && !c.is_broken && !(key = bytes_or_none(of_key, size)))
            goto done;
        const uint8_t *of_value = sized(&c, &size);
        PyObject *value = c.is_broken ? NULL : bytes_or_none(of_value, size);
        int64_t headers = varint(&c), ignored;
        if (headers < 0)
            c.is_broken = true;
        for (; headers > 0 && !c.is_broken; headers--) {
            if (!sized(&c, &ignored))
                c.is_broken = true;
            sized(&c, &ignored);
        }
        PyObject *at = PyLong_FromLongLong(offset), *when = PyLong_FromLongLong(timestamp);
        if (c.is_broken || c.p - begin != length || !value || !at || !when) {
            Py_XDECREF(value);
            Py_XDECREF(at);
            Py_XDECREF(when);
            if (PyErr_Occurred())
                goto done;
            c.is_broken = true;
            break;
        }
        PyList_SET_ITEM(offsets, i, at);
        PyList_SET_ITEM(timestamps, i, when);
        PyList_SET_ITEM(values, i, value);
    }
    if (c.is_broken || c.p != c.end)
        found = Py_NewRef(Py_None);
    else
        found = Py_BuildValue("(OOOO)", offsets, timestamps, values, key ? key : Py_None);
done:
    Py_XDECREF(offsets);
    Py_XDECREF(timestamps);
    Py_XDECREF(values);
    Py_XDECREF(key);
    PyBuffer_Release(&payload);
    return found;
}

#endif
