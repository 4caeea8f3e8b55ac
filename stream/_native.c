/* Twins in C: of bytes to columns, for the records that it is certain about (the places of the others
 * are said, and Python reads those: what is refused, and why, is written in one place only), of columns
 * to summaries, of many of these to one, of them to records, of the search and order of rows in runs, of
 * what the matured meet and its measures, of fetched batches to records, and of their CRC. Nothing that
 * shows is kept between two calls.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "native/array_memory.h"
#include "native/blocks.h"
#include "native/crc32c.h"
#include "native/due.h"
#include "native/event.h"
#include "native/ids.h"
#include "native/integers.h"
#include "native/judged.h"
#include "native/meetings.h"
#include "native/merging.h"
#include "native/records.h"
#include "native/runs.h"
#include "native/search.h"
#include "native/sums.h"

#if !defined(__GNUC__) || !defined(__SIZEOF_INT128__)
#error "integers of 128 bits are needed; without the extension Python does all of it"
#endif

typedef struct {
    PyObject *bytes; /* a bytearray of the whole column */
    char *data;
    size_t size; /* of a cell */
} Array;

static bool made(Array *a, size_t size, Py_ssize_t rows)
{
    a->size = size;
    a->bytes = PyByteArray_FromStringAndSize(NULL, rows * (Py_ssize_t)size);
    a->data = a->bytes ? PyByteArray_AS_STRING(a->bytes) : NULL;
    return a->bytes != NULL;
}

#define SET(array, type, row, value) (((type *)(array).data)[row] = (value))

enum { PLACE, EVENT_TIME, HASHES, GROUP, LABEL_CODE, EVENT_VALUE, SCORES, LATENCIES, SHAPE, REVISIONS,
       RETRACTIONS, ASKED, ARRAYS };

static const size_t SIZES[ARRAYS] = {8, 8, 16, 8, 8, 8, 8, 8, 8, 8, 1, 8};

static PyObject *texts_list(const Texts *t)
{
    size_t count = texts_count(t);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        Text text = entry(t, (int32_t)i)->text;
        PyObject *made = PyUnicode_DecodeUTF8((const char *)text.p, (Py_ssize_t)text.n, NULL);
        if (!made)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, made);
    }
    return list;
}

/* Keys made of codes, as bytes objects of 32-bit integers. */
static PyObject *keys_list(const Texts *t)
{
    size_t count = texts_count(t);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        Text key = entry(t, (int32_t)i)->text;
        PyObject *made = PyBytes_FromStringAndSize((const char *)key.p, (Py_ssize_t)key.n);
        if (!made)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, made);
    }
    return list;
}

static PyObject *entries_bytes(const Texts *t, bool hashes)
{
    size_t count = texts_count(t);
    PyObject *bytes = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(hashes ? 8 * count : count));
    for (size_t i = 0; bytes && i < count; i++) {
        const Entry *e = entry(t, (int32_t)i);
        if (hashes)
            memcpy(PyByteArray_AS_STRING(bytes) + 8 * i, &e->hash, 8);
        else
            PyByteArray_AS_STRING(bytes)[i] = e->is_value;
    }
    return bytes;
}

/* A code for row `row`: those before the first that has one have none. */
static bool code_stored(Grown *codes, Py_ssize_t row, int32_t code)
{
    const int32_t none = NONE;
    const size_t before = (size_t)row * sizeof none;
    codes->used = codes->used < before ? codes->used : before; /* a row that was given up */
    while (codes->used < before)
        if (!pushed(codes, &none, sizeof none))
            return false;
    return pushed(codes, &code, sizeof code);
}

/* One usable event into row `row`; false if there is no room for it. */
static bool stored(Batch *b, Array *arrays, Py_ssize_t row, const Event *e, bool prediction)
{
    int32_t shape = NONE;
    int32_t codes[] = {e->model, e->version, e->role};
    int32_t group = group_of(b, codes, prediction ? 3 : 1);
    if (group == NONE)
        return false;
    if (prediction) {
        int32_t given = (e->label != NONE) * HAS_LABEL | !isnan(e->score) * HAS_SCORE |
                        !isnan(e->value) * HAS_VALUE | !isnan(e->latency_ms) * HAS_LATENCY |
                        (e->feature_set != NONE) * HAS_FEATURE_SET;
        shape = shape_of(b, given);
        size_t count = b->cells.used / sizeof(Cell);
        const Cell *cells = (const Cell *)b->cells.data;
        uint8_t *kind = grown(&b->kind, count);
        uint64_t *bits = grown(&b->bits, count * sizeof(uint64_t));
        if (shape == NONE || !kind || !bits)
            return false;
        if ((e->feature_set != NONE || b->feature_sets.used) &&
            !code_stored(&b->feature_sets, row, e->feature_set))
            return false;
        if ((e->segment != NONE || b->of_segments.used) &&
            !code_stored(&b->of_segments, row, e->segment))
            return false;
        for (size_t i = 0; i < count; i++) {
            kind[i] = cells[i].kind;
            bits[i] = cells[i].bits;
        }
        b->kind.used += count;
        b->bits.used += count * sizeof(uint64_t);
    }
    Hash128 hash = xxh3_128(e->id.p, e->id.n);
    SET(arrays[EVENT_TIME], int64_t, row, e->time_ms);
    SET(arrays[HASHES], uint64_t, 2 * row, hash.high);
    SET(arrays[HASHES], uint64_t, 2 * row + 1, hash.low);
    SET(arrays[GROUP], int64_t, row, group);
    SET(arrays[LABEL_CODE], int64_t, row, e->label);
    SET(arrays[EVENT_VALUE], double, row, e->value);
    if (prediction) {
        SET(arrays[SHAPE], int64_t, row, shape);
        SET(arrays[SCORES], double, row, e->score);
        SET(arrays[LATENCIES], double, row, e->latency_ms);
    } else {
        SET(arrays[REVISIONS], int64_t, row, e->revision);
        SET(arrays[RETRACTIONS], uint8_t, row, e->retracted);
    }
    return true;
}

static const int OF_PREDICTIONS[] = {PLACE, EVENT_TIME, HASHES, GROUP, LABEL_CODE, EVENT_VALUE, SCORES,
                                     LATENCIES, SHAPE};
static const int OF_OUTCOMES[] = {PLACE, EVENT_TIME, HASHES, GROUP, LABEL_CODE, EVENT_VALUE, REVISIONS,
                                  RETRACTIONS};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Records lie scattered in memory: the first lines of one of the next are asked for now. */
static inline void fetch_ahead(const PyObject *value)
{
#ifdef __GNUC__
    for (int line = 0; line < 8; line++)
        __builtin_prefetch((const char *)value + 64 * line);
#else
    (void)value;
#endif
}

static void read_all(Batch *b, PyObject *values, Py_ssize_t longest, Array *arrays, Py_ssize_t *rows,
                     Py_ssize_t *asked, bool prediction)
{
    const unsigned every = ID | MODEL | TIME | SAID;
    int32_t champion = NONE;
    const Py_ssize_t count = PyList_GET_SIZE(values);
    for (Py_ssize_t place = 0; place < count; place++) {
        PyObject *value = PyList_GET_ITEM(values, place);
        Event e;
        if (place + 4 < count)
            fetch_ahead(PyList_GET_ITEM(values, place + 4));
        bool ok = PyBytes_CheckExact(value) && PyBytes_GET_SIZE(value) <= longest;
        if (ok) {
            const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(value);
            size_t n = (size_t)PyBytes_GET_SIZE(value);
            ok = prediction
                     ? parsed(b, p, n, prediction_field, every | VERSION | FEATURES, &e)
                     : parsed(b, p, n, outcome_field, every, &e);
        }
        if (ok && prediction && e.role == NONE) {
            champion = code_of(&b->texts, (Text){(const uint8_t *)"champion", 8}, champion, NULL);
            e.role = champion;
            ok = champion != NONE;
        }
        if (ok && stored(b, arrays, *rows, &e, prediction)) {
            SET(arrays[PLACE], int64_t, *rows, place);
            ++*rows;
        } else {
            SET(arrays[ASKED], int64_t, *asked, place);
            ++*asked;
        }
    }
}

#define BESIDE 64 /* rows: their cells stay in the cache */

/* Cells row by row, of so many columns, to column by column. */
#define TURNED(type)                                                                                \
    for (size_t first = 0; first < rows; first += BESIDE)                                           \
        for (size_t c = 0; c < columns; c++)                                                        \
            for (size_t row = first; row < rows && row < first + BESIDE; row++)                     \
                ((type *)to)[c * rows + row] = ((const type *)of->data)[row * columns + c];

static PyObject *turned(const Grown *of, size_t size, size_t rows, size_t columns)
{
    PyObject *made = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)of->used);
    void *to = made ? PyByteArray_AS_STRING(made) : NULL;
    if (!made)
        return NULL;
    if (size == 8) {
        TURNED(uint64_t)
    } else {
        TURNED(uint8_t)
    }
    return made;
}

static PyObject *columns(PyObject *values, Py_ssize_t longest, Py_ssize_t most_features, bool prediction,
                         bool reads_segments)
{
    const int *wanted = prediction ? OF_PREDICTIONS : OF_OUTCOMES;
    const size_t count = prediction ? COUNT(OF_PREDICTIONS) : COUNT(OF_OUTCOMES);
    Batch b = {.last_group = NONE, .last_shape = NONE, .last_label = NONE, .last_model = NONE,
               .last_version = NONE, .last_role = NONE, .last_set = NONE,
               .last_segment = NONE, .reads_segments = reads_segments,
               .most_features = (size_t)most_features};
    Array arrays[ARRAYS] = {{0}};
    Py_ssize_t n = PyList_GET_SIZE(values), rows = 0, asked = 0;
    PyObject *result = NULL, *shared[11] = {0};
    bool ok = made(&arrays[ASKED], SIZES[ASKED], n);
    for (size_t i = 0; ok && i < count; i++)
        ok = made(&arrays[wanted[i]], SIZES[wanted[i]], n);
    if (!ok)
        goto done;
    read_all(&b, values, longest, arrays, &rows, &asked, prediction);
    for (size_t i = 0; i < count; i++)
        if (PyByteArray_Resize(arrays[wanted[i]].bytes, rows * (Py_ssize_t)SIZES[wanted[i]]) < 0)
            goto done;
    if (PyByteArray_Resize(arrays[ASKED].bytes, asked * (Py_ssize_t)SIZES[ASKED]) < 0)
        goto done;
    shared[0] = texts_list(&b.texts);
    shared[1] = entries_bytes(&b.texts, true);
    shared[2] = entries_bytes(&b.texts, false);
    shared[3] = keys_list(&b.groups);
    shared[4] = keys_list(&b.shapes);
    const size_t width = rows ? b.kind.used / (size_t)rows : 0;
    const bool is_one = width && texts_count(&b.shapes) == 1; /* shape, of all rows */
    shared[5] = is_one ? turned(&b.kind, 1, (size_t)rows, width) : grown_bytes(&b.kind);
    shared[6] = is_one ? turned(&b.bits, 8, (size_t)rows, width) : grown_bytes(&b.bits);
    shared[7] = grown_bytes(&b.feature_sets);
    shared[8] = grown_bytes(&b.of_segments);
    shared[9] = keys_list(&b.segments);
    shared[10] = PyBool_FromLong(is_one);
    result = PyTuple_New((Py_ssize_t)(count + 1 + COUNT(shared)));
    for (size_t i = 0; i < COUNT(shared); i++)
        if (!shared[i])
            Py_CLEAR(result);
    if (!result)
        goto done;
    Py_ssize_t at = 0;
    for (size_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(result, at++, Py_NewRef(arrays[wanted[i]].bytes));
    PyTuple_SET_ITEM(result, at++, Py_NewRef(arrays[ASKED].bytes));
    for (size_t i = 0; i < COUNT(shared); i++)
        PyTuple_SET_ITEM(result, at++, Py_NewRef(shared[i]));
done:
    for (size_t i = 0; i < ARRAYS; i++)
        Py_XDECREF(arrays[i].bytes);
    for (size_t i = 0; i < COUNT(shared); i++)
        Py_XDECREF(shared[i]);
    texts_given_back(&b.texts);
    texts_given_back(&b.groups);
    texts_given_back(&b.shapes);
    texts_given_back(&b.segments);
    PyMem_Free(b.segment.data);
    PyMem_Free(b.of_segments.data);
    PyMem_Free(b.feature_sets.data);
    PyMem_Free(b.cells.data);
    PyMem_Free(b.order.data);
    PyMem_Free(b.shape.data);
    PyMem_Free(b.kind.data);
    PyMem_Free(b.bits.data);
    given_back(b.arena);
    return result;
}

static PyObject *predictions(PyObject *self, PyObject *args)
{
    PyObject *values;
    Py_ssize_t longest, most_features;
    int segments = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!nn|p", &PyList_Type, &values, &longest, &most_features, &segments))
        return NULL;
    return columns(values, longest, most_features < 0 ? 0 : most_features, true, segments);
}

static PyObject *outcomes(PyObject *self, PyObject *args)
{
    PyObject *values;
    Py_ssize_t longest;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!n", &PyList_Type, &values, &longest))
        return NULL;
    return columns(values, longest, 0, false, false);
}

static PyMethodDef METHODS[] = {
    {"predictions", predictions, METH_VARARGS, "(values, longest record, most features, whether segments are read)"},
    {"outcomes", outcomes, METH_VARARGS, "(values, longest record)"},
    {"summary", summary, METH_VARARGS,
     "([(kinds, bits), …], rows or None for all, pane of each of them, panes, most texts)"},
    {"blocks", blocks, METH_VARARGS,
     "(opening, [(ends, hashes, [kinds, bits, …]), …], after, until, names, texts, sample, most texts, bytes "
     "of a pane, of a block, crc32)"},
    {"new_ids", new_ids, METH_VARARGS, "(ids, watermarks, [(keys, checks, expiries, bitmap, shift), …])"},
    {"run_of", run_of, METH_VARARGS,
     "(columns of parts, bytes of a cell, rows of a part, rows taken of it, least rows with a bitmap, its "
     "bits for a row)"},
    {"together_of", together_of, METH_VARARGS,
     "(columns of parts, bytes of a cell, rows of a part, rows taken of it)"},
    {"search", search, METH_VARARGS, "(sorted needles, sorted keys, bitmap of prefixes, shift)"},
    {"judged", judged, METH_VARARGS, "(ten columns of matured predictions and their outcomes)"},
    {"meetings", meetings, METH_VARARGS,
     "(keys, checks, times, ages, grace, [((columns of outcomes), bitmap, shift, marks), …])"},
    {"merged", merged, METH_VARARGS,
     "([(places, rows, keys, counts), …], rows of the whole, whether keys are signed, whether 0 is none)"},
    {"marked", marked, METH_VARARGS, "(marks, rows, bits, retracted)"},
    {"integers", integers, METH_VARARGS, "(list of integers and None, what None becomes)"},
    {"by_due", by_due, METH_VARARGS, "(due times, length of a pane)"},
    {"crc32c", crc32c, METH_O, "(bytes)"},
    {"records", records, METH_VARARGS, "(payload, count, offset, timestamp, timestamp of all or -1)"},
    {"keep_no_arrays", keep_no_arrays, METH_O, "(numpy's table of functions)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_native", "Twins of Python code; see stream/native.py", 0, METHODS,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&MODULE); }
