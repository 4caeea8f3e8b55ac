/* Thresholds as `detectors/thresholds.py` solves them, to less than 1e-7 nats. They are rounded up to
 * steps of a thousandth: one that lies so near to a step that last digits decide is left to numpy, and
 * so is what drowns in them or does not converge here.
 *
 * Loops over nodes are written for a compiler to do several at once: whole octets, nothing called.
 */
#ifndef LEEWAY_WALKS_H
#define LEEWAY_WALKS_H

#include <math.h>

#define MOST_NODES 64
#define OCTET 8
#define FEW_NODES 10        /* every so many nodes say where a threshold about is */
#define LOWEST_HEIGHT 0.25  /* nats searched */
#define HIGHEST_HEIGHT 200.0
#define FURTHEST_HEIGHT 100.0 /* the alarms that are left there fall too slowly to be sure of the place */
#define FROM_HEIGHT 10.0
#define SHORT_STEP 1e-4 /* where a turn goes less far, the next one goes its square at most */
#define CUBED 2e-4      /* of a root: a turn of Halley's method that goes less far is cubed by the next */
#define MOST_TURNS 30
#define FLAT_ROOT 1e-4 /* a root from which on half of the variance is taken otherwise */
#define SMALL_EXPONENT 1e-2 /* an exponent up to which its exponential is a straight line */
#define BESIDE 1e-8
#define DROWNED 3e-8 /* a step so near to 1 that its last digits say where the root is */

/* What a processor can do more of at once, it is given: what comes out is the same. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

/* exp(x) to a few last digits, of x within 700 to either side, else as if it were there. */
static inline void exponentials(double *x, int count)
{
    static const double ROUND = 6755399441055744.0; /* 3 * 2^51: what is added to it is rounded */
    for (int i = 0; i < count; i++)
        x[i] = x[i] > 700.0 ? 700.0 : x[i];
    for (int i = 0; i < count; i++)
        x[i] = x[i] < -700.0 ? -700.0 : x[i];
    for (int i = 0; i < count; i++) {
        const double shifted = x[i] * 1.4426950408889634 + ROUND, twos = shifted - ROUND;
        const double r = (x[i] - twos * 6.93147180369123816490e-01) - twos * 1.90821492927058770002e-10;
        double sum = 1.0 / 479001600.0;
        sum = sum * r + 1.0 / 39916800.0;
        sum = sum * r + 1.0 / 3628800.0;
        sum = sum * r + 1.0 / 362880.0;
        sum = sum * r + 1.0 / 40320.0;
        sum = sum * r + 1.0 / 5040.0;
        sum = sum * r + 1.0 / 720.0;
        sum = sum * r + 1.0 / 120.0;
        sum = sum * r + 1.0 / 24.0;
        sum = sum * r + 1.0 / 6.0;
        sum = sum * r + 0.5;
        sum = sum * r + 1.0;
        sum = sum * r + 1.0;
        uint64_t bits;
        double power;
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 52) + (1023ULL << 52);
        memcpy(&power, &bits, sizeof power);
        x[i] = sum * power;
    }
}

static inline double sum_of(const double *values, int count)
{
    double sums[OCTET] = {0.0}, all = 0.0;
    for (int i = 0; i < count; i += OCTET)
        for (int k = 0; k < OCTET; k++)
            sums[k] += values[i + k];
    for (int k = 0; k < OCTET; k++)
        all += sums[k];
    return all;
}

/* Nodes of one walk in whole octets: `each` is a node's share times its half variance. */
typedef struct {
    int nodes;
    double root[MOST_NODES], each[MOST_NODES];
    double share; /* of all of them */
} Walk;

/* Where Newton's method goes from `height` on. `edge`: whether a node lies where numpy might take the
 * other branch. */
FOR_EACH_PROCESSOR
static double moved_from(const Walk *w, double height, double c, double rate, bool *edge)
{
    double y[MOST_NODES], grown[MOST_NODES], seen[MOST_NODES], falls[MOST_NODES], beside[MOST_NODES];
    const double up = height + c;
    for (int i = 0; i < w->nodes; i++)
        grown[i] = y[i] = w->root[i] * up;
    exponentials(grown, w->nodes);
    for (int i = 0; i < w->nodes; i++) {
        const double over = y[i], size = fabs(over), more = grown[i] - 1.0;
        const double part = over / (size < SMALL_EXPONENT ? 1.0 : more - over);
        const double bend = size < SMALL_EXPONENT ? 2.0 - over * (2.0 / 3.0) : over * part;
        const double fall = size < SMALL_EXPONENT ? 2.0 + over * (2.0 / 3.0) : more * part;
        seen[i] = w->each[i] * bend;
        falls[i] = seen[i] * fall;
        beside[i] = fabs(size - SMALL_EXPONENT) < BESIDE || size > 1e6 ? 1.0 : 0.0;
    }
    const double all = sum_of(seen, w->nodes), fallen = sum_of(falls, w->nodes);
    *edge = sum_of(beside, w->nodes) > 0.0;
    return height + log(all / (rate * w->share * up * up)) * all * up / fallen;
}

/* Only every so many nodes of a walk. */
static void few_of(const Walk *all, const double *weight, int nodes, Walk *few)
{
    *few = (Walk){.nodes = OCTET}; /* the rest of the octet counts for nothing */
    for (int at = 0, k = 0; at < nodes && k < OCTET; at += FEW_NODES, k++) {
        few->root[k] = all->root[at];
        few->each[k] = all->each[at];
        few->share += weight[at];
    }
}

/* Nats, or infinity; NaN: numpy is to find it. */
static double height_by(const Walk *w, const Walk *few, double c, double rate)
{
    double height = FROM_HEIGHT;
    bool edge;
    for (int turn = 0; turn < 4; turn++) { /* from a tenth of the nodes nearly there */
        const double moved = moved_from(few, height, c, rate, &edge);
        if (!(moved > LOWEST_HEIGHT && moved < HIGHEST_HEIGHT))
            break;
        const bool near = fabs(moved - height) < 1e-3;
        height = moved;
        if (near)
            break;
    }
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        const double moved = moved_from(w, height, c, rate, &edge);
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

/* One step that wins with some chance at each node, else loses. */
typedef struct {
    double win, loss;
    double chance[MOST_NODES], odds[MOST_NODES]; /* of losing, their logarithm */
} Steps;

/* A turn of Halley's method at all nodes, towards where the mean of exp(root * step) is 1; whether it
 * went far. */
FOR_EACH_PROCESSOR
static bool turned(const Steps *s, int nodes, double *root)
{
    const double win = s->win, loss = s->loss;
    double up[MOST_NODES], down[MOST_NODES], far[MOST_NODES];
    for (int i = 0; i < nodes; i++) {
        up[i] = root[i] * win;
        down[i] = -root[i] * loss;
    }
    exponentials(up, nodes);
    exponentials(down, nodes);
    for (int i = 0; i < nodes; i++) {
        const double p = s->chance[i], won = p * up[i], lost = (1.0 - p) * down[i];
        const double value = won + lost - 1.0, slope = won * win - lost * loss;
        const double bend = won * win * win + lost * loss * loss;
        const double step = 2.0 * value * slope / (2.0 * slope * slope - value * bend);
        root[i] -= step;
        far[i] = fabs(step) <= CUBED * (fabs(root[i]) + 1e-3) ? 0.0 : 1.0;
    }
    return sum_of(far, nodes) > 0.0;
}

/* Half variances at the roots, times the shares of the nodes; whether all of them are sure. */
FOR_EACH_PROCESSOR
static bool halved(const Steps *s, const double *weight, Walk *w)
{
    const double win = s->win, loss = s->loss;
    double grown[MOST_NODES], off[MOST_NODES];
    for (int i = 0; i < w->nodes; i++)
        grown[i] = w->root[i] * win;
    exponentials(grown, w->nodes);
    for (int i = 0; i < w->nodes; i++) {
        const double p = s->chance[i], root = w->root[i], size = fabs(root);
        const double tilted = root > 0.0 ? p * grown[i] : p;
        const double drift = fabs(tilted * (win + loss) - loss) / size;
        const double flat = 0.5 * (p * win * win + (1.0 - p) * loss * loss);
        const double half = size < FLAT_ROOT ? flat : drift;
        w->each[i] = weight[i] * half;
        off[i] = half * root * root > DROWNED && fabs(size - FLAT_ROOT) >= BESIDE ? 0.0 : 1.0;
    }
    return sum_of(off, w->nodes) == 0.0;
}

static int octets_of(Py_ssize_t nodes)
{
    return (int)(nodes + OCTET - 1) / OCTET * OCTET;
}

static double share_of(const double *weight, Py_ssize_t nodes)
{
    double share = 0.0;
    for (Py_ssize_t i = 0; i < nodes; i++)
        share += weight[i];
    return share;
}

/* First guesses of the roots: about as far beyond the minimum as 0 lies before it. */
FOR_EACH_PROCESSOR
static void guessed(const Steps *s, double odds, Walk *w)
{
    const double per_span = 1.0 / (s->win + s->loss), lean = (s->win - s->loss) / 3.0;
    for (int i = 0; i < w->nodes; i++) {
        const double least = (s->odds[i] + odds) * per_span, bent = least * lean;
        w->root[i] = least + least / (fabs(bent) > 0.5 ? 1.0 : 1.0 + bent);
    }
}

/* The roots of the walk; whether all of them are sure. */
static bool rooted(const Steps *s, const double *weight, Walk *w)
{
    guessed(s, log(s->loss / s->win), w);
    for (int turn = 0; turn < MOST_TURNS; turn++)
        if (!turned(s, w->nodes, w->root))
            return halved(s, weight, w);
    return false;
}

#endif
