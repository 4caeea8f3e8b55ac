/* Thresholds as `detectors/thresholds.py` solves them, to less than 1e-6 nats. They are rounded up to
 * steps of a thousandth: one that lies so near to a step that last digits decide is left to numpy, and
 * so is what drowns in them or does not converge here.
 */
#ifndef LEEWAY_HEIGHTS_H
#define LEEWAY_HEIGHTS_H

#include <math.h>

#define MOST_NODES 64
#define LOWEST_HEIGHT 0.25 /* nats searched */
#define HIGHEST_HEIGHT 200.0
#define FURTHEST_HEIGHT 100.0 /* the alarms that are left there fall too slowly to be sure of the place */
#define FROM_HEIGHT 10.0
#define SHORT_STEP 1e-5 /* where a turn goes less far, the next one goes its square at most */
#define MOST_TURNS 30
#define FLAT_ROOT 1e-4 /* a root from which on half of the variance is taken otherwise */
#define SMALL_EXPONENT 1e-2 /* an exponent up to which its exponential is a straight line */
#define BESIDE 1e-8
#define DROWNED 3e-8 /* a step so near to 1 that its last digits say where the root is */

/* One walk: its nodes, of which `weight` is the share. */
typedef struct {
    Py_ssize_t nodes;
    double root[MOST_NODES], half[MOST_NODES], weight[MOST_NODES];
} Walk;

/* Where Newton's method goes from `height` on; only every `stride`-th node. `edge`: whether one lies
 * where numpy might take the other branch. */
static double moved_from(const Walk *w, double height, double c, double rate, int stride, bool *edge)
{
    double seen = 0.0, falls = 0.0, share = 0.0;
    const double up = height + c;
    *edge = false;
    for (Py_ssize_t i = 0; i < w->nodes; i += stride) {
        double y = w->root[i] * up, bend, fall;
        y = y > 700.0 ? 700.0 : y < -1e6 ? -1e6 : y;
        if (fabs(y) < SMALL_EXPONENT) {
            bend = 2.0 - 2.0 * y / 3.0;
            fall = 2.0 + 2.0 * y / 3.0;
        } else {
            const double grown = expm1(y);
            bend = y * y / (grown - y);
            fall = y * grown / (grown - y);
        }
        *edge |= fabs(fabs(y) - SMALL_EXPONENT) < BESIDE;
        const double alarms = w->weight[i] * w->half[i] * bend / (up * up);
        share += w->weight[i];
        seen += alarms;
        falls += alarms * fall / up;
    }
    return height + log(seen / (rate * share)) * seen / falls;
}

/* Nats, or infinity; NaN: numpy is to find it. */
static double height_by(const Walk *w, double c, double rate)
{
    double height = FROM_HEIGHT;
    bool edge;
    for (int turn = 0; turn < 4; turn++) { /* from a tenth of the nodes nearly there */
        const double moved = moved_from(w, height, c, rate, 10, &edge);
        if (!(moved > LOWEST_HEIGHT && moved < HIGHEST_HEIGHT))
            break;
        height = moved;
    }
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        const double moved = moved_from(w, height, c, rate, 1, &edge);
        if (moved > HIGHEST_HEIGHT + 1.0 && !edge) { /* the logarithm of the rate is convex: it is beyond */
            if (height >= HIGHEST_HEIGHT)
                return INFINITY;
            height = HIGHEST_HEIGHT;
            continue;
        }
        if (!(moved > LOWEST_HEIGHT && moved < HIGHEST_HEIGHT))
            return NAN;
        const bool there = fabs(moved - height) < SHORT_STEP;
        height = moved;
        if (there)
            return edge || height > FURTHEST_HEIGHT ? NAN : height;
    }
    return NAN;
}

/* Root and half variance of one step that wins with probability p, from a first guess, by Halley's
 * method; whether. */
static bool rooted(double p, double win, double loss, double *guess, double *half)
{
    double w = *guess;
    const double left = 1.0 - p;
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        const double up = p * exp(w * win), down = left * exp(-w * loss), total = up + down;
        const double value = log(total), slope = (up * win - down * loss) / total;
        const double bend = (up * win * win + down * loss * loss) / total - slope * slope;
        const double step = 2.0 * value * slope / (2.0 * slope * slope - value * bend);
        w -= step;
        if (!(fabs(step) <= SHORT_STEP * fabs(w)))
            continue;
        const double magnitude = fabs(w);
        *guess = w;
        if (fabs(magnitude - FLAT_ROOT) < BESIDE)
            return false;
        if (magnitude < FLAT_ROOT) {
            *half = 0.5 * (p * win * win + left * loss * loss);
        } else if (w > 0.0) {
            const double won = p * exp(w * win); /* both are 1 together */
            *half = fabs(won * win - (1.0 - won) * loss) / magnitude;
        } else {
            *half = fabs(p * win - left * loss) / magnitude;
        }
        return *half * w * w > DROWNED;
    }
    return false;
}

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
    for (Py_ssize_t i = 0; i < c[H_RATE].count; i++) {
        const double *chance = (const double *)c[H_TRUE].of.buf + series[i] * nodes;
        Walk walk = {.nodes = nodes};
        memcpy(walk.weight, (const double *)c[H_WEIGHT].of.buf + series[i] * nodes,
               (size_t)nodes * sizeof *walk.weight);
        bool all = true;
        double off[3] = {0.0}; /* by how much first guesses missed the nodes before, the last first */
        for (Py_ssize_t j = 0; all && j < nodes; j++) {
            const double p = up[i] ? chance[j] : 1.0 - chance[j];
            const double first =
                2.0 * log((1.0 - p) * loss[i] / (p * win[i])) / (win[i] + loss[i]);
            const double next = j > 2 ? 3.0 * (off[0] - off[1]) + off[2] : off[0];
            /* beyond the minimum, on the side of the root that is not 0 */
            walk.root[j] = fabs(next) < 0.25 * fabs(first) ? first + next : first;
            all = rooted(p, win[i], loss[i], &walk.root[j], &walk.half[j]);
            off[2] = off[1];
            off[1] = off[0];
            off[0] = walk.root[j] - first;
        }
        out[i] = all ? height_by(&walk, over[i], rate[i]) : NAN;
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
    Walk walk = {.nodes = nodes};
    memcpy(walk.weight, c[N_WEIGHT].of.buf, (size_t)nodes * sizeof *walk.weight);
    for (Py_ssize_t i = 0; i < rows; i++) {
        for (Py_ssize_t j = 0; j < nodes; j++) {
            walk.root[j] = 1.0 - 2.0 * offset[j] * error[i] / size[i];
            walk.half[j] = 0.5 * size[i] * size[i];
        }
        out[i] = height_by(&walk, over[i], rate[i]);
    }
    result = Py_NewRef(Py_None);
done:
    released(c, NORMALS);
    return result;
}

#endif
