/* Rows of panes that are crowded to the records in which their summaries travel: what panes.py,
 * closed_panes.py and wire.py make of them, in one go. */
#ifndef LEEWAY_BLOCKS_H
#define LEEWAY_BLOCKS_H

#include "pane_table.h"
#include "sums.h"

#define RECORD_HEADER 6 /* magic, version, CRC-32 */

/* The CRC of what is behind the header into it. */
static bool sealed(PyObject *record, PyObject *crc32)
{
    char *bytes = PyBytes_AS_STRING(record);
    PyObject *body = PyMemoryView_FromMemory(bytes + RECORD_HEADER,
                                             PyBytes_GET_SIZE(record) - RECORD_HEADER, PyBUF_READ);
    PyObject *crc = body ? PyObject_CallOneArg(crc32, body) : NULL;
    const unsigned long of = crc ? PyLong_AsUnsignedLong(crc) : 0;
    Py_XDECREF(crc);
    Py_XDECREF(body);
    if (PyErr_Occurred())
        return false;
    for (int i = 0; i < 4; i++)
        bytes[2 + i] = (char)(of >> 8 * i);
    return true;
}

/* One block: (record, pane ends); Python's None where numpy must do it, NULL with an error. */
static PyObject *block_of(const Panes *p, Kept *k, const Py_buffer *opening, PyObject *crc32,
                          size_t first, size_t last)
{
    Sums sums;
    PyObject *record = NULL, *ends = NULL, *made = NULL;
    if (!sums_begun(&sums, (Py_ssize_t)(last - first), p->of.columns))
        goto done;
    int added = sampled(p, k, first, last);
    for (Py_ssize_t c = 0; added == 1 && c < p->of.columns; c++) {
        const uint8_t *kind = p->of.kind[c];
        const uint64_t *bits = p->of.bits[c];
        const Cells cells = {kind, bits, p->by.order};
        added = summarised(&sums.of, &scratch, &cells, p->by.starts + first, last - first,
                           (int64_t)(last - first) * c, (int64_t)p->most_texts);
    }
    if (added < 0)
        goto done;
    if (!added) {
        made = Py_NewRef(Py_None);
        goto done;
    }
    k->record.used = 0;
    if (!pushed(&k->record, opening->buf, (size_t)opening->len) ||
        !put_table(&k->record, p, k, &sums.of, first, last))
        goto done;
    record = PyBytes_FromStringAndSize(k->record.data, (Py_ssize_t)k->record.used);
    ends = PyBytes_FromStringAndSize((const char *)(p->by.ends + first), (Py_ssize_t)(8 * (last - first)));
    if (record && ends && sealed(record, crc32))
        made = PyTuple_Pack(2, record, ends);
done:
    Py_XDECREF(record);
    Py_XDECREF(ends);
    sums_given_back(&sums);
    if (!made && !PyErr_Occurred())
        PyErr_NoMemory();
    return made;
}

static PyObject *blocks_of(Panes *p, const Py_buffer *opening, PyObject *crc32, size_t pane_bytes,
                           size_t block_bytes)
{
    PyObject *made = PyList_New(0);
    Kept k = {{0}, {0}, {0}, {0}};
    for (size_t first = 0, last; made && made != Py_None && first < p->by.panes; first = last) {
        const size_t number = (first + 1) * pane_bytes / block_bytes;
        for (last = first + 1; last < p->by.panes && (last + 1) * pane_bytes / block_bytes == number;)
            last++;
        PyObject *one = block_of(p, &k, opening, crc32, first, last);
        if (one == Py_None)
            Py_SETREF(made, Py_NewRef(Py_None));
        else if (!one || PyList_Append(made, one) < 0)
            Py_CLEAR(made);
        Py_XDECREF(one);
    }
    PyMem_Free(k.rows.data);
    PyMem_Free(k.limits.data);
    PyMem_Free(k.texts.data);
    PyMem_Free(k.record.data);
    return made;
}

/* Whether all panes are crowded; then there is room to find their smallest rows. */
static int are_crowded(Panes *p)
{
    size_t most = 0;
    for (size_t at = 0; at < p->by.panes; at++) {
        const size_t rows = p->by.starts[at + 1] - p->by.starts[at];
        if (rows <= p->keep)
            return 0;
        most = rows > most ? rows : most;
    }
    p->small = PyMem_Malloc((most + 1) * sizeof *p->small);
    p->spare = PyMem_Malloc((most + 1) * sizeof *p->spare);
    return p->small && p->spare ? 1 : -1;
}

/* (opening of a record, [(ends, hashes, [kinds, bits, …]), …], the times between which panes end, …) ->
 * [(record, pane ends), …]; None where Python must do it: a pane is not crowded, or a number is
 * beyond those that events have. */
static PyObject *blocks(PyObject *self, PyObject *args)
{
    Panes *p = PyMem_Calloc(1, sizeof *p);
    PyObject *parts, *crc32, *made = NULL;
    Py_buffer opening;
    Py_ssize_t keep, most_texts, pane_bytes, block_bytes;
    long long after, until;
    (void)self;
    if (!p)
        return PyErr_NoMemory();
    if (!PyArg_ParseTuple(args, "y*O!LLO!O!nnnnO", &opening, &PyList_Type, &parts, &after, &until,
                          &PyList_Type, &p->names, &PyDict_Type, &p->texts, &keep, &most_texts,
                          &pane_bytes, &block_bytes, &crc32)) {
        PyMem_Free(p);
        return NULL;
    }
    p->keep = (size_t)keep;
    p->most_texts = (size_t)most_texts;
    int ready = -1;
    if (keep < 0 || most_texts < 0 || pane_bytes < 1 || block_bytes < 1 || opening.len < RECORD_HEADER ||
        pane_bytes > PY_SSIZE_T_MAX / MOST_PANES / 2) {
        PyErr_SetString(PyExc_ValueError, "limits do not fit");
    } else if (stretch_held(&p->of, parts, PyList_GET_SIZE(p->names), after, until)) {
        ready = p->of.n ? sorted_by_pane(&p->by, p->of.end, p->of.n) : 1;
        ready = ready == 1 ? are_crowded(p) : ready;
        if (ready < 0)
            PyErr_NoMemory();
    }
    tidied(&scratch);
    if (ready >= 0)
        made = ready ? blocks_of(p, &opening, crc32, (size_t)pane_bytes, (size_t)block_bytes)
                     : Py_NewRef(Py_None);
    tidied(&scratch);
    stretch_released(&p->of);
    by_pane_given_back(&p->by);
    PyMem_Free(p->small);
    PyMem_Free(p->spare);
    PyMem_Free(p);
    PyBuffer_Release(&opening);
    return made;
}

#endif
