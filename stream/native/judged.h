/* Matured predictions against their outcomes: the same cells as judgement.py makes with numpy. */
#ifndef LEEWAY_JUDGED_H
#define LEEWAY_JUDGED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "batch.h"

enum { BINARY = 8, POSITIVE = 16 }; /* of an outcome, beside HAS_LABEL and HAS_VALUE */

enum { ABSOLUTE_ERROR, BRIER, DELAY_MS, WRONG, FALSE_POSITIVE, RECALL, SCORE_FALSE, SCORE_TRUE,
       SQUARED_ERROR, MEASURES }; /* in the order of their names */

enum { SAID_FLAGS, LABELS_SAID, SCORE_GIVEN, VALUES_SAID, MADE, TRUTH, TRUE_LABELS, TRUE_VALUES, EFFECTIVE, LABELLED,
       GIVEN };

static const Py_ssize_t GIVEN_BYTES[GIVEN] = {1, 8, 8, 8, 8, 1, 8, 8, 8, 1};

typedef struct {
    uint8_t *kind;
    uint64_t *bits;
    Py_ssize_t n;
} Judged;

static inline void put_cell(const Judged *to, int measure, Py_ssize_t row, uint8_t kind, double x)
{
    uint64_t bits = 0;
    if (kind == NUMBER && !(x <= LARGEST_NUMBER))
        kind = OTHER;
    if (kind == NUMBER && fabs(x) >= SMALLEST_NUMBER)
        memcpy(&bits, &x, 8);
    to->kind[measure * to->n + row] = kind;
    to->bits[measure * to->n + row] = bits;
}

static void judge(const Judged *to, const Py_buffer *of, Py_ssize_t row)
{
    const uint8_t said = ((uint8_t *)of[SAID_FLAGS].buf)[row], truth = ((uint8_t *)of[TRUTH].buf)[row];
    const uint8_t both = said & truth;
    const bool labelled = ((uint8_t *)of[LABELLED].buf)[row];
    const double score = ((double *)of[SCORE_GIVEN].buf)[row];
    const bool positive = truth & POSITIVE, binary = truth & BINARY, named = said & HAS_LABEL;
    const bool agrees = ((uint64_t *)of[LABELS_SAID].buf)[row] == ((uint64_t *)of[TRUE_LABELS].buf)[row];
    const bool scored = (said & HAS_SCORE) && (truth & HAS_LABEL);
    const bool wrong = named ? !agrees : (score >= 0.5) != positive;
    const bool has_error = named ? both & HAS_LABEL : scored;
    const bool probable = scored && score >= 0 && score <= 1, happened = binary ? positive : agrees;
    const bool is_probability = probable && (binary || named), has_value = both & HAS_VALUE;
    const double miss = probable ? score - happened : 0.0;
    const double deviation =
        has_value ? ((double *)of[VALUES_SAID].buf)[row] - ((double *)of[TRUE_VALUES].buf)[row] : 0.0;
    const int64_t delay = (int64_t)((uint64_t)((int64_t *)of[EFFECTIVE].buf)[row] -
                                    (uint64_t)((int64_t *)of[MADE].buf)[row]);
    /* Of losses a cell is null where nothing is known, of the others absent. */
    const uint8_t known = labelled ? NUMBER : NULL_CELL, other = labelled ? ABSENT : NULL_CELL;
    const uint8_t number = labelled ? NUMBER : ABSENT;
    put_cell(to, ABSOLUTE_ERROR, row, has_value ? known : other, fabs(deviation));
    put_cell(to, BRIER, row, is_probability ? known : other, miss * miss);
    put_cell(to, DELAY_MS, row, known, delay > 0 ? (double)delay : 0.0);
    put_cell(to, WRONG, row, has_error ? known : other, wrong);
    put_cell(to, SQUARED_ERROR, row, has_value ? known : other, deviation * deviation);
    put_cell(to, FALSE_POSITIVE, row, has_error && binary && !positive ? number : ABSENT, wrong);
    put_cell(to, RECALL, row, has_error && binary && positive ? number : ABSENT, !wrong);
    put_cell(to, SCORE_FALSE, row, is_probability && !happened ? number : ABSENT, score);
    put_cell(to, SCORE_TRUE, row, is_probability && happened ? number : ABSENT, score);
}

/* (what predictions say: flags, labels, scores, values, times; what came true: flags, labels, values,
 * effective times; which are labelled) -> kinds and bits of all measures, one behind the other. */
static PyObject *judged(PyObject *self, PyObject *args)
{
    Py_buffer of[GIVEN];
    PyObject *kinds = NULL, *bits = NULL, *result = NULL;
    (void)self;
    memset(of, 0, sizeof of);
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*y*y*y*", &of[0], &of[1], &of[2], &of[3], &of[4], &of[5],
                          &of[6], &of[7], &of[8], &of[9]))
        return NULL;
    const Py_ssize_t n = of[SAID_FLAGS].len;
    bool fits = n < PY_SSIZE_T_MAX / 128;
    for (int i = 0; i < GIVEN; i++)
        fits &= of[i].len == n * GIVEN_BYTES[i];
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "columns differ in length");
        goto done;
    }
    kinds = PyByteArray_FromStringAndSize(NULL, MEASURES * n);
    bits = PyByteArray_FromStringAndSize(NULL, 8 * MEASURES * n);
    if (kinds && bits) {
        const Judged to = {(uint8_t *)PyByteArray_AS_STRING(kinds),
                           (uint64_t *)PyByteArray_AS_STRING(bits), n};
        for (Py_ssize_t row = 0; row < n; row++)
            judge(&to, of, row);
        result = PyTuple_Pack(2, kinds, bits);
    }
done:
    Py_XDECREF(kinds);
    Py_XDECREF(bits);
    for (int i = 0; i < GIVEN; i++)
        PyBuffer_Release(&of[i]);
    return result;
}

#endif
