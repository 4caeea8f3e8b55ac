/* Ids that were applied before: as identity.py finds them. */
#ifndef LEEWAY_IDS_H
#define LEEWAY_IDS_H

#include "search.h"

enum { ID_KEY, ID_CHECK, ID_EXPIRES, ID_BITMAP, ID_PARTS };

/* A run of ids: columns, each with all of its cells or, but for the keys, with one. */
typedef struct {
    Py_buffer of[ID_PARTS];
    unsigned shift;
    size_t rows;
} KnownIds;

static inline uint64_t id_cell(const KnownIds *ids, int part, size_t row)
{
    return ((const uint64_t *)ids->of[part].buf)[ids->of[part].len == 8 ? 0 : row];
}

static void ids_released(KnownIds *ids)
{
    for (int part = 0; part < ID_PARTS; part++)
        if (ids->of[part].obj)
            PyBuffer_Release(&ids->of[part]);
}

/* (keys, checks, expiries, bitmap or None, shift) */
static bool ids_held(KnownIds *ids, PyObject *run)
{
    PyObject *parts[ID_PARTS];
    int shift;
    if (!PyTuple_Check(run) ||
        !PyArg_ParseTuple(run, "OOOOi", &parts[0], &parts[1], &parts[2], &parts[3], &shift))
        return false;
    for (int part = 0; part < ID_PARTS; part++)
        if (!is_buffer(parts[part], &ids->of[part]))
            return false;
    ids->rows = (size_t)ids->of[ID_KEY].len / 8;
    ids->shift = (unsigned)shift;
    bool fits = shift >= 0 && shift < 64;
    for (int part = 0; part < ID_BITMAP; part++)
        fits = fits && ids->of[part].obj && ids->of[part].len % 8 == 0 &&
               (ids->of[part].len == 8 || (size_t)ids->of[part].len / 8 == ids->rows);
    return fits;
}

/* Of n ids, key and check side by side, those in a run that had not expired when they came are not
 * new. */
static void ids_met(const KnownIds *ids, const uint64_t *id, const int64_t *before, uint8_t *is_new, size_t n)
{
    const uint64_t *keys = ids->of[ID_KEY].buf;
    uint16_t place[SIEVED];
    for (size_t first = 0; first < n; first += SIEVED) {
        const size_t some = n - first < SIEVED ? n - first : SIEVED;
        const size_t found = sieved(&ids->of[ID_BITMAP], ids->shift, id + 2 * first, 2, some, keys, ids->rows, place);
        for (size_t at = 0; at < found; at++) {
            const size_t i = first + place[at];
            const uint64_t key = id[2 * i];
            for (size_t row = first_row(keys, ids->rows, key); row < ids->rows && keys[row] == key; row++)
                if (id_cell(ids, ID_CHECK, row) == id[2 * i + 1] &&
                    (int64_t)id_cell(ids, ID_EXPIRES, row) >= before[i])
                    is_new[i] = 0;
        }
    }
}

/* Whether a key comes twice: 1, 0, or -1 where there is no room. A table of keys by their first bits;
 * where walks in it grow long, the answer is that one may. */
static int any_twice(const uint64_t *id, size_t n)
{
    unsigned bits = 4;
    while ((size_t)1 << bits < 2 * n)
        bits++;
    const size_t mask = ((size_t)1 << bits) - 1;
    uint64_t *slots = PyMem_Calloc(mask + 1, 8);
    int twice = slots ? 0 : -1;
    bool zero = false;
    for (size_t i = 0; !twice && i < n; i++) {
        const uint64_t key = id[2 * i];
        size_t at = (size_t)(key >> (64 - bits)), walk = 0;
        if (!key) { /* an empty slot is 0 */
            twice = zero;
            zero = true;
            continue;
        }
        while (slots[at] && slots[at] != key && ++walk < 64)
            at = (at + 1) & mask;
        twice = slots[at] != 0;
        slots[at] = key;
    }
    PyMem_Free(slots);
    return twice;
}

/* (ids: key and check of each, watermarks that they met, runs) -> of each whether it is new beside what
 * the runs have; whether one may come twice among these. */
static PyObject *new_ids(PyObject *self, PyObject *args)
{
    Py_buffer ids, before;
    PyObject *runs, *is_new = NULL, *made = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*O!", &ids, &before, &PyList_Type, &runs))
        return NULL;
    const Py_ssize_t n = before.len / 8;
    bool ok = before.len % 8 == 0 && ids.len == 16 * n;
    is_new = ok ? PyByteArray_FromStringAndSize(NULL, n) : NULL;
    if (is_new)
        memset(PyByteArray_AS_STRING(is_new), 1, (size_t)n);
    for (Py_ssize_t r = 0; is_new && ok && r < PyList_GET_SIZE(runs); r++) {
        KnownIds of = {0};
        ok = ids_held(&of, PyList_GET_ITEM(runs, r));
        if (ok)
            ids_met(&of, ids.buf, before.buf, (uint8_t *)PyByteArray_AS_STRING(is_new), (size_t)n);
        ids_released(&of);
    }
    const int twice = is_new && ok ? any_twice(ids.buf, (size_t)n) : 0;
    if (!ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "ids and runs do not fit");
    if (twice < 0)
        PyErr_NoMemory();
    else if (is_new && ok)
        made = Py_BuildValue("OO", is_new, twice ? Py_True : Py_False);
    Py_XDECREF(is_new);
    PyBuffer_Release(&ids);
    PyBuffer_Release(&before);
    return made;
}

#endif
