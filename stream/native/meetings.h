/* Predictions that are judged and the outcomes that they meet: as outcome_join.py finds them, one by
 * one. */
#ifndef LEEWAY_MEETINGS_H
#define LEEWAY_MEETINGS_H

#include "search.h"

enum { CANDIDATE = 1, COUNTED = 2, DONE = 4 }; /* marks, as in waiting_outcomes.py */

enum { OUTCOME_KEY, OUTCOME_CHECK, OUTCOME_TIME, REVISION_OF, RETRACTED_OF, FLAGS_OF, LABEL_OF, VALUE_OF,
       OUTCOME_PARTS };

static const Py_ssize_t OUTCOME_BYTES[OUTCOME_PARTS] = {8, 8, 8, 8, 1, 1, 8, 8};

/* A run of outcomes: columns, each with all of its cells or, where they are alike, with one. */
typedef struct {
    Py_buffer column[OUTCOME_PARTS], bitmap, marks;
    unsigned shift;
    size_t rows;
    Grown row, bits; /* of those that are candidates: marks to be set */
} Outcomes;

static inline size_t cell_of(const Outcomes *o, int part, size_t row)
{
    return o->column[part].len == OUTCOME_BYTES[part] ? 0 : row;
}

static inline uint64_t word_of(const Outcomes *o, int part, size_t row)
{
    return ((const uint64_t *)o->column[part].buf)[cell_of(o, part, row)];
}

static inline uint8_t byte_of(const Outcomes *o, int part, size_t row)
{
    return ((const uint8_t *)o->column[part].buf)[cell_of(o, part, row)];
}

typedef struct {
    const uint64_t *key, *check;
    const int64_t *time, *age;
    size_t rows;
    int64_t grace;
    Outcomes *runs;
    size_t count;
    uint8_t *labelled, *flags;
    uint64_t *label, *value;
    int64_t *effective;
} Meetings;

static inline int64_t sum_of(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

/* What counts of the candidates of a prediction so far. */
typedef struct {
    Outcomes *run; /* NULL while there is none */
    size_t row, place; /* among the candidates of the run */
} Counting;

/* Outcome `row` of a run, which has the key of prediction i. */
static bool met_one(const Meetings *m, size_t i, Outcomes *o, size_t row, Counting *counts)
{
    const int64_t effective = (int64_t)word_of(o, OUTCOME_TIME, row), at = (int64_t)row;
    const uint8_t bits = CANDIDATE;
    if ((o->marks.obj && ((const uint8_t *)o->marks.buf)[row] & DONE) ||
        word_of(o, OUTCOME_CHECK, row) != m->check[i] || m->time[i] > sum_of(effective, m->grace) ||
        effective >= sum_of(m->time[i], m->age[i]))
        return true;
    if (!pushed(&o->row, &at, 8) || !pushed(&o->bits, &bits, 1))
        return false;
    if (!counts->run || (int64_t)word_of(o, REVISION_OF, row) >=
                            (int64_t)word_of(counts->run, REVISION_OF, counts->row))
        *counts = (Counting){o, row, o->bits.used - 1};
    return true;
}

/* All candidates, run by run; those of one key as they lie. Predictions mostly come pane by pane, by
 * key: then the search goes on from where it was. */
static bool met_in(const Meetings *m, Outcomes *o, Counting *counts)
{
    const uint64_t *keys = o->column[OUTCOME_KEY].buf;
    uint64_t before = UINT64_MAX;
    uint16_t place[SIEVED];
    size_t low = 0;
    for (size_t first = 0; first < m->rows; first += SIEVED) {
        const size_t some = m->rows - first < SIEVED ? m->rows - first : SIEVED;
        const size_t found = sieved(&o->bitmap, o->shift, m->key + first, 1, some, keys, o->rows, place);
        for (size_t at = 0; at < found; at++) {
            const size_t i = first + place[at];
            const uint64_t key = m->key[i];
            low = key < before ? first_row(keys, o->rows, key) : not_below(keys, low, o->rows, key);
            before = key;
            for (size_t row = low; row < o->rows && keys[row] == key; row++)
                if (!met_one(m, i, o, row, &counts[i]))
                    return false;
        }
    }
    return true;
}

/* The last of the highest revision counts. */
static void counted_of(const Meetings *m, size_t i, const Counting *counts)
{
    Outcomes *o = counts->run;
    if (!o)
        return;
    o->bits.data[counts->place] |= COUNTED;
    if (byte_of(o, RETRACTED_OF, counts->row))
        return;
    m->labelled[i] = 1;
    m->flags[i] = byte_of(o, FLAGS_OF, counts->row);
    m->label[i] = word_of(o, LABEL_OF, counts->row);
    m->value[i] = word_of(o, VALUE_OF, counts->row);
    m->effective[i] = (int64_t)word_of(o, OUTCOME_TIME, counts->row);
}

static bool all_met(const Meetings *m)
{
    Counting *counts = PyMem_Calloc(m->rows + 1, sizeof *counts);
    bool ok = counts;
    for (size_t r = 0; ok && r < m->count; r++)
        ok = met_in(m, &m->runs[r], counts);
    for (size_t i = 0; ok && i < m->rows; i++)
        counted_of(m, i, &counts[i]);
    PyMem_Free(counts);
    return ok;
}

static void outcomes_released(Outcomes *runs, size_t count)
{
    for (Outcomes *o = runs; runs && o < runs + count; o++) {
        for (int part = 0; part < OUTCOME_PARTS; part++)
            if (o->column[part].obj)
                PyBuffer_Release(&o->column[part]);
        if (o->bitmap.obj)
            PyBuffer_Release(&o->bitmap);
        if (o->marks.obj)
            PyBuffer_Release(&o->marks);
        PyMem_Free(o->row.data);
        PyMem_Free(o->bits.data);
    }
    PyMem_Free(runs);
}

/* ((columns), bitmap or None, shift, marks or None) */
static bool outcomes_held(Outcomes *o, PyObject *run)
{
    PyObject *columns, *bitmap, *marks;
    int shift;
    bool fits = false;
    if (!PyTuple_Check(run) ||
        !PyArg_ParseTuple(run, "O!OiO", &PyTuple_Type, &columns, &bitmap, &shift, &marks))
        goto unfit;
    fits = PyTuple_GET_SIZE(columns) == OUTCOME_PARTS && shift >= 0 && shift < 64;
    for (int part = 0; fits && part < OUTCOME_PARTS; part++) {
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(columns, part), &o->column[part], PyBUF_SIMPLE) < 0)
            return false;
        if (part == OUTCOME_KEY)
            o->rows = (size_t)o->column[part].len / 8;
        fits = o->column[part].len == OUTCOME_BYTES[part] ||
               (size_t)o->column[part].len == o->rows * (size_t)OUTCOME_BYTES[part];
        fits = fits && (part != OUTCOME_KEY || o->column[part].len % 8 == 0);
    }
    if (fits && (!is_buffer(bitmap, &o->bitmap) || !is_buffer(marks, &o->marks)))
        return false;
    fits = fits && (!o->marks.obj || (size_t)o->marks.len == o->rows);
    o->shift = (unsigned)shift;
    if (fits)
        return true;
unfit:
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "columns of outcomes do not fit");
    return false;
}

/* [(rows, marks to set) of each run, …] */
static PyObject *marks_found(const Meetings *m)
{
    PyObject *list = PyList_New((Py_ssize_t)m->count);
    for (size_t r = 0; list && r < m->count; r++) {
        PyObject *pair = Py_BuildValue("NN", grown_bytes(&m->runs[r].row), grown_bytes(&m->runs[r].bits));
        if (pair)
            PyList_SET_ITEM(list, (Py_ssize_t)r, pair);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* (keys, checks, times and ages of predictions, grace, runs of outcomes) -> which are labelled; flags,
 * labels, values and effective times of what counts; of each run the rows that are candidates and
 * their marks. */
static PyObject *meetings(PyObject *self, PyObject *args)
{
    enum { MADE = 5 };
    static const Py_ssize_t SIZE[MADE] = {1, 1, 8, 8, 8};
    Py_buffer key, check, time, age;
    PyObject *runs, *result = NULL, *made[MADE + 1] = {0};
    Meetings m = {0};
    long long grace;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*y*LO!", &key, &check, &time, &age, &grace, &PyList_Type, &runs))
        return NULL;
    m.rows = (size_t)key.len / 8;
    m.key = key.buf, m.check = check.buf, m.time = time.buf, m.age = age.buf;
    m.grace = grace;
    bool ok = key.len % 8 == 0 && check.len == key.len && time.len == key.len && age.len == key.len;
    if (!ok)
        PyErr_SetString(PyExc_ValueError, "columns differ in length");
    m.count = (size_t)PyList_GET_SIZE(runs);
    m.runs = ok ? PyMem_Calloc(m.count + 1, sizeof *m.runs) : NULL;
    if (ok && !m.runs)
        PyErr_NoMemory();
    ok = m.runs;
    for (size_t r = 0; ok && r < m.count; r++)
        ok = outcomes_held(&m.runs[r], PyList_GET_ITEM(runs, (Py_ssize_t)r));
    for (int i = 0; ok && i < MADE; i++) {
        made[i] = PyByteArray_FromStringAndSize(NULL, SIZE[i] * (Py_ssize_t)m.rows);
        ok = made[i];
        if (ok)
            memset(PyByteArray_AS_STRING(made[i]), 0, (size_t)SIZE[i] * m.rows);
    }
    if (ok) {
        m.labelled = (uint8_t *)PyByteArray_AS_STRING(made[0]);
        m.flags = (uint8_t *)PyByteArray_AS_STRING(made[1]);
        m.label = (uint64_t *)PyByteArray_AS_STRING(made[2]);
        m.value = (uint64_t *)PyByteArray_AS_STRING(made[3]);
        m.effective = (int64_t *)PyByteArray_AS_STRING(made[4]);
        ok = all_met(&m);
        if (!ok)
            PyErr_NoMemory();
        made[MADE] = ok ? marks_found(&m) : NULL;
        if (made[MADE])
            result = PyTuple_Pack(MADE + 1, made[0], made[1], made[2], made[3], made[4], made[5]);
    }
    for (int i = 0; i <= MADE; i++)
        Py_XDECREF(made[i]);
    outcomes_released(m.runs, m.count);
    PyBuffer_Release(&key);
    PyBuffer_Release(&check);
    PyBuffer_Release(&time);
    PyBuffer_Release(&age);
    return result;
}

static int term_of(uint8_t marks, bool retracted)
{
    return marks & COUNTED ? (retracted ? 2 : 0) : marks & CANDIDATE ? 1 : -1;
}

/* (marks, rows, bits to set in their marks, whether retracted: of each row of the run, or of all) ->
 * by how many more are joined, superseded, retracted. */
static PyObject *marked(PyObject *self, PyObject *args)
{
    Py_buffer marks, rows, bits, retracted;
    PyObject *result = NULL;
    long long terms[3] = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "w*y*y*y*", &marks, &rows, &bits, &retracted))
        return NULL;
    const int64_t *row = rows.buf;
    const Py_ssize_t n = bits.len;
    bool fits = rows.len == 8 * n && (retracted.len == 1 || retracted.len == marks.len);
    for (Py_ssize_t i = 0; fits && i < n; i++)
        fits = (uint64_t)row[i] < (uint64_t)marks.len;
    for (Py_ssize_t i = 0; fits && i < n; i++) {
        uint8_t *of = (uint8_t *)marks.buf + row[i];
        const bool is_retracted = ((const uint8_t *)retracted.buf)[retracted.len == 1 ? 0 : row[i]];
        const int before = term_of(*of, is_retracted);
        *of |= ((const uint8_t *)bits.buf)[i];
        const int after = term_of(*of, is_retracted);
        if (before >= 0)
            terms[before]--;
        if (after >= 0)
            terms[after]++;
    }
    if (fits)
        result = Py_BuildValue("LLL", terms[0], terms[1], terms[2]);
    else
        PyErr_SetString(PyExc_ValueError, "rows and marks do not fit");
    PyBuffer_Release(&marks);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&bits);
    PyBuffer_Release(&retracted);
    return result;
}

#endif
