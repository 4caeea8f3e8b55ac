/* What `bernoulli_tilts` and `score_tilts` ask for thresholds: see walks.h. */
#ifndef LEEWAY_HEIGHTS_H
#define LEEWAY_HEIGHTS_H

#include "walks.h"

/* rate, c, win, loss, up, series of each; chances and weights of a series; out */
enum { H_RATE, H_C, H_WIN, H_LOSS, H_UP, H_SERIES, H_TRUE, H_WEIGHT, H_OUT, HEIGHTS };

static bool heights_fit(const Column *c, Py_ssize_t nodes)
{
    const Py_ssize_t rows = c[H_RATE].count;
    if (nodes < 1 || nodes > MOST_NODES)
        return refused("another number of nodes");
    for (int i = 0; i < HEIGHTS; i++)
        if (c[i].size != (i == H_UP ? 1 : 8))
            return refused("a column of another size");
    for (int i = 0; i < HEIGHTS; i++)
        if (i != H_TRUE && i != H_WEIGHT && c[i].count != rows)
            return refused("columns of other lengths");
    if (c[H_TRUE].count != c[H_WEIGHT].count || c[H_TRUE].count % nodes)
        return refused("chances and weights of other lengths");
    const int64_t *series = c[H_SERIES].of.buf;
    for (Py_ssize_t i = 0; i < rows; i++)
        if (series[i] < 0 || series[i] >= c[H_TRUE].count / nodes)
            return refused("a series that is not there");
    return true;
}

static PyObject *heights(PyObject *self, PyObject *args)
{
    Column c[HEIGHTS] = {0};
    PyObject *columns, *result = NULL;
    Py_ssize_t nodes;
    (void)self;
    if (!PyArg_ParseTuple(args, "nO!", &nodes, &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, HEIGHTS, H_OUT) || !heights_fit(c, nodes))
        goto done;
    const double *rate = c[H_RATE].of.buf, *over = c[H_C].of.buf;
    const double *win = c[H_WIN].of.buf, *loss = c[H_LOSS].of.buf;
    const uint8_t *up = c[H_UP].of.buf;
    const int64_t *series = c[H_SERIES].of.buf;
    double *out = c[H_OUT].of.buf;
    const int octets = octets_of(nodes);
    Walk walk = {.nodes = octets}, few;
    Steps steps;
    double weight[MOST_NODES] = {0.0};
    for (Py_ssize_t i = 0; i < c[H_RATE].count; i++) {
        const bool is_known = i && series[i] == series[i - 1];
        if (!is_known) {
            memcpy(weight, (const double *)c[H_WEIGHT].of.buf + series[i] * nodes,
                   (size_t)nodes * sizeof *weight);
            walk.share = share_of(weight, nodes);
        }
        if (!is_known || up[i] != up[i - 1]) {
            const double *chance = (const double *)c[H_TRUE].of.buf + series[i] * nodes;
            for (int j = 0; j < octets; j++) {
                const double p = chance[j < nodes ? j : nodes - 1];
                steps.chance[j] = up[i] ? p : 1.0 - p;
                steps.odds[j] = log((1.0 - steps.chance[j]) / steps.chance[j]);
            }
        }
        steps.win = win[i];
        steps.loss = loss[i];
        out[i] = NAN;
        if (rooted(&steps, weight, &walk)) {
            few_of(&walk, weight, (int)nodes, &few);
            out[i] = height_by(&walk, &few, over[i], rate[i]);
        }
    }
    result = Py_NewRef(Py_None);
done:
    released(c, HEIGHTS);
    return result;
}

/* rate, c, size of the tilt and standard error of each; offsets and weights of the nodes; out */
enum { N_RATE, N_C, N_SIZE, N_ERROR, N_OFFSET, N_WEIGHT, N_OUT, NORMALS };

static PyObject *normal_heights(PyObject *self, PyObject *args)
{
    Column c[NORMALS] = {0};
    PyObject *result = NULL;
    (void)self;
    if (!all_taken(args, c, NORMALS, N_OUT))
        goto done;
    const Py_ssize_t rows = c[N_RATE].count, nodes = c[N_OFFSET].count;
    for (int i = 0; i < NORMALS; i++)
        if (c[i].size != 8 || c[i].count != (i == N_OFFSET || i == N_WEIGHT ? nodes : rows)) {
            refused("a column of another size or length");
            goto done;
        }
    if (nodes < 1 || nodes > MOST_NODES) {
        refused("another number of nodes");
        goto done;
    }
    const double *rate = c[N_RATE].of.buf, *over = c[N_C].of.buf, *size = c[N_SIZE].of.buf;
    const double *error = c[N_ERROR].of.buf, *offset = c[N_OFFSET].of.buf;
    double *out = c[N_OUT].of.buf;
    double weight[MOST_NODES] = {0.0};
    Walk walk = {.nodes = octets_of(nodes)}, few;
    memcpy(weight, c[N_WEIGHT].of.buf, (size_t)nodes * sizeof *weight);
    walk.share = share_of(weight, nodes);
    for (Py_ssize_t i = 0; i < rows; i++) {
        for (int j = 0; j < walk.nodes; j++) {
            walk.root[j] = 1.0 - 2.0 * offset[j < nodes ? j : nodes - 1] * error[i] / size[i];
            walk.each[j] = weight[j] * (0.5 * size[i] * size[i]);
        }
        few_of(&walk, weight, (int)nodes, &few);
        out[i] = height_by(&walk, &few, over[i], rate[i]);
    }
    result = Py_NewRef(Py_None);
done:
    released(c, NORMALS);
    return result;
}

#endif
