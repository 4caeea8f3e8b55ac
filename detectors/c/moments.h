/* What a form of scores and sizes of change follow from, to the bits of Python: sums that are rounded
 * once, as `math.fsum` has them (Shewchuk, Discrete & Computational Geometry 18, 1997), and powers. */
#ifndef LEEWAY_MOMENTS_H
#define LEEWAY_MOMENTS_H

#include <math.h>

#define MOST_PARTS 64 /* of a sum, none of which overlaps another: 40 hold every double */

typedef struct {
    double part[MOST_PARTS];
    int count;
} ExactSum;

static void add_to(ExactSum *sum, double x)
{
    int kept = 0;
    for (int i = 0; i < sum->count; i++) {
        double y = sum->part[i];
        if (fabs(x) < fabs(y)) {
            const double larger = y;
            y = x;
            x = larger;
        }
        const double high = x + y, low = y - (high - x);
        if (low != 0.0)
            sum->part[kept++] = low;
        x = high;
    }
    if (x != 0.0 && kept < MOST_PARTS)
        sum->part[kept++] = x;
    sum->count = kept;
}

static double rounded(const ExactSum *sum)
{
    int left = sum->count;
    double high = left ? sum->part[--left] : 0.0, low = 0.0;
    while (left && low == 0.0) {
        const double x = high, y = sum->part[--left];
        high = x + y;
        low = y - (high - x);
    }
    /* halfway between two doubles: what is left says to which of them */
    if (left && ((low < 0.0 && sum->part[left - 1] < 0.0) || (low > 0.0 && sum->part[left - 1] > 0.0))) {
        const double twice = low * 2.0, other = high + twice;
        if (twice == other - high)
            high = other;
    }
    return high;
}

/* shares and scores of all cells, first cell of each reference and behind the last; mean and scale */
enum { M_SHARE, M_SCORE, M_CUT, M_OUT, MOMENTS };

static PyObject *moments(PyObject *self, PyObject *args)
{
    Column c[MOMENTS] = {0};
    PyObject *result = NULL;
    (void)self;
    if (!all_taken(args, c, MOMENTS, M_OUT))
        goto done;
    const Py_ssize_t cells = c[M_SHARE].count, of = c[M_CUT].count - 1;
    for (int i = 0; i < MOMENTS; i++)
        if (c[i].size != 8) {
            refused("a column of another size");
            goto done;
        }
    if (c[M_SCORE].count != cells || of < 0 || c[M_OUT].count != 2 * of) {
        refused("columns of other lengths");
        goto done;
    }
    const double *share = c[M_SHARE].of.buf, *score = c[M_SCORE].of.buf;
    const int64_t *cut = c[M_CUT].of.buf;
    double *out = c[M_OUT].of.buf;
    for (Py_ssize_t i = 0; i < of; i++) {
        if (cut[i] < 0 || cut[i] > cut[i + 1] || cut[i + 1] > cells) {
            refused("cuts of other lengths");
            goto done;
        }
        ExactSum sum = {.count = 0}, squares = {.count = 0};
        for (int64_t j = cut[i]; j < cut[i + 1]; j++)
            add_to(&sum, share[j] * score[j]);
        const double mean = rounded(&sum);
        for (int64_t j = cut[i]; j < cut[i + 1]; j++)
            add_to(&squares, share[j] * ((score[j] - mean) * (score[j] - mean)));
        const double spread = sqrt(rounded(&squares));
        out[2 * i] = mean;
        out[2 * i + 1] = spread > 1e-9 ? 1.0 / spread : 1.0;
    }
    result = Py_NewRef(Py_None);
done:
    released(c, MOMENTS);
    return result;
}

/* least and largest size of each series; the sizes of each, all 0 where there is no room */
enum { G_LEAST, G_LARGEST, G_OUT, GRIDS };

static PyObject *grids(PyObject *self, PyObject *args)
{
    Column c[GRIDS] = {0};
    PyObject *columns, *result = NULL;
    double log_step;
    (void)self;
    if (!PyArg_ParseTuple(args, "dO!", &log_step, &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, GRIDS, G_OUT))
        goto done;
    const Py_ssize_t of = c[G_LEAST].count, side = of ? c[G_OUT].count / of : 1;
    if (c[G_LEAST].size != 8 || c[G_LARGEST].size != 8 || c[G_OUT].size != 8 || side < 1 ||
        c[G_LARGEST].count != of || c[G_OUT].count != of * side) {
        refused("columns of other lengths");
        goto done;
    }
    const double *least = c[G_LEAST].of.buf, *largest = c[G_LARGEST].of.buf;
    double *out = c[G_OUT].of.buf;
    for (Py_ssize_t i = 0; i < of; i++) {
        if (!(least[i] > 0.0 && least[i] <= largest[i]))
            continue;
        const double ratio = largest[i] / least[i], wanted = ceil(log(ratio) / log_step);
        const Py_ssize_t steps = wanted < (double)(side - 1) ? (Py_ssize_t)wanted : side - 1;
        for (Py_ssize_t j = 0; j <= steps; j++)
            out[i * side + j] = least[i] * pow(ratio, (double)j / (double)(steps ? steps : 1));
    }
    result = Py_NewRef(Py_None);
done:
    released(c, GRIDS);
    return result;
}

#endif
