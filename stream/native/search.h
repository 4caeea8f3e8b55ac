/* Sorted keys looked up in a sorted column. */
#ifndef LEEWAY_SEARCH_H
#define LEEWAY_SEARCH_H

#include "memory.h"

/* The first place in [low, n) of a sorted column with a key not below this one: in steps that double,
 * then by halving. */
static inline size_t not_below(const uint64_t *keys, size_t low, size_t n, uint64_t key)
{
    size_t step = 1;
    while (low + step < n && keys[low + step] < key) {
        low += step;
        step *= 2;
    }
    size_t high = low + step < n ? low + step : n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first place with a key not below this one: keys are hashes, so it is near where it would be if
 * they lay at even distances. */
static inline size_t first_row(const uint64_t *keys, size_t n, uint64_t key)
{
    size_t low = (size_t)((unsigned __int128)key * n >> 64), step = 16;
    while (low && keys[low] >= key) {
        low = low > step ? low - step : 0;
        step *= 2;
    }
    return not_below(keys, low, n, key);
}

/* Whether the prefix of this key occurs; there may be no bitmap of them. */
static inline bool may_have(const Py_buffer *bitmap, unsigned shift, uint64_t key)
{
    const uint64_t slot = key >> shift;
    return !bitmap->obj || (slot >> 3 < (uint64_t)bitmap->len &&
                            ((const uint8_t *)bitmap->buf)[slot >> 3] >> (slot & 7) & 1);
}

#define SIEVED 256 /* keys at once */

/* Of up to SIEVED keys, `apart` words from each other, those whose prefix occurs: their places. Where
 * they would be in the sorted column is asked for now. */
static inline size_t sieved(const Py_buffer *bitmap, unsigned shift, const uint64_t *key, size_t apart,
                            size_t n, const uint64_t *keys, size_t rows, uint16_t *place)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) { /* whether one does is a matter of chance: no branch */
        place[found] = (uint16_t)i;
        found += may_have(bitmap, shift, key[i * apart]);
    }
    for (size_t i = 0; i < found; i++)
        __builtin_prefetch(keys + (size_t)((unsigned __int128)key[place[i] * apart] * rows >> 64));
    return found;
}

/* The buffer of an object; none for None. */
static inline bool is_buffer(PyObject *object, Py_buffer *to)
{
    return object == Py_None || PyObject_GetBuffer(object, to, PyBUF_SIMPLE) == 0;
}

/* All pairs of equal keys; false where there is no room. `bitmap`: which prefixes occur, or none. */
static bool found_pairs(const Py_buffer *needles, const Py_buffer *keys, const Py_buffer *bitmap,
                        unsigned shift, Grown *index, Grown *row)
{
    const uint64_t *asked = needles->buf, *all = keys->buf;
    const size_t m = (size_t)needles->len / 8, n = (size_t)keys->len / 8;
    size_t low = 0;
    for (size_t i = 0; i < m; i++) {
        if (!may_have(bitmap, shift, asked[i]))
            continue;
        low = not_below(all, low, n, asked[i]);
        for (size_t at = low; at < n && all[at] == asked[i]; at++) {
            const int64_t pair[] = {(int64_t)i, (int64_t)at};
            if (!pushed(index, &pair[0], 8) || !pushed(row, &pair[1], 8))
                return false;
        }
    }
    return true;
}

static PyObject *search(PyObject *self, PyObject *args)
{
    PyObject *result = NULL;
    Py_buffer needles, keys, bitmap = {0};
    Grown index = {0}, row = {0};
    int shift;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*z*i", &needles, &keys, &bitmap, &shift))
        return NULL;
    if (shift < 0 || shift > 63)
        PyErr_SetString(PyExc_ValueError, "a shift is of 0 to 63 bits");
    else if (!found_pairs(&needles, &keys, &bitmap, (unsigned)shift, &index, &row))
        PyErr_NoMemory();
    else
        result = Py_BuildValue("NN", grown_bytes(&index), grown_bytes(&row));
    PyMem_Free(index.data);
    PyMem_Free(row.data);
    PyBuffer_Release(&needles);
    PyBuffer_Release(&keys);
    if (bitmap.obj)
        PyBuffer_Release(&bitmap);
    return result;
}

#endif
