/* Summaries of cells: the same integers as panes.py and detectors/exact_sum.py make with numpy.
 *
 * Rows are sorted by pane, so that a pane is a run of them. A bit of a double counts in the bin that
 * its weight falls into, whatever stands beside it; a bucket is read off the bits of the double.
 */
#ifndef LEEWAY_SUMMARY_H
#define LEEWAY_SUMMARY_H

#include <math.h>
#include <stdlib.h>

#include "kinds.h"
#include "memory.h"

#define BIN_BITS 26
#define LOWEST_BIN (-60) /* below the last bit of the square of the smallest number */
#define BINS 128
#define SMALLEST 1e-140 /* of a number: its square and the error of that are exact */
#define LARGEST 1e150
#define BUCKET_SHIFT 47
#define BUCKETS (1 << 16) /* of one sign: exponent and five bits */

/* What is sparse: three columns, a row for each count that is not zero. */
typedef struct {
    Grown pane, key, count;
} Sparse;

static inline bool put(Sparse *s, int64_t pane, int64_t key, int64_t count)
{
    return pushed(&s->pane, &pane, 8) && pushed(&s->key, &key, 8) && pushed(&s->count, &count, 8);
}

typedef struct {
    int64_t bin[BINS];
    int low, high; /* bins that may not be zero */
} Sum;

static inline void emptied(Sum *s)
{
    for (int b = s->low; b <= s->high; b++)
        s->bin[b] = 0;
    s->low = BINS;
    s->high = -1;
}

/* Add m * 2**e, of this sign: m of at most 53 bits lies in three bins. */
static inline void add_bits(Sum *s, uint64_t m, int e, bool negative)
{
    const uint64_t mask = (1ULL << BIN_BITS) - 1;
    const unsigned above = (unsigned)(e - BIN_BITS * LOWEST_BIN); /* e is above the lowest bin */
    const int b = (int)(above / BIN_BITS);
    const unsigned within = above % BIN_BITS;
    const int64_t sign = -(int64_t)negative; /* x ^ -1 less -1 is -x */
    s->bin[b] += (int64_t)((m << within & mask) ^ (uint64_t)sign) - sign;
    s->bin[b + 1] += (int64_t)((m >> (BIN_BITS - within) & mask) ^ (uint64_t)sign) - sign;
    s->bin[b + 2] += (int64_t)((m >> (2 * BIN_BITS - within)) ^ (uint64_t)sign) - sign;
    s->low = b < s->low ? b : s->low;
    s->high = b + 2 > s->high ? b + 2 : s->high;
}

/* |x| as m * 2**e. */
static inline uint64_t mantissa(double x, int *e)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int exponent = (int)(bits >> 52 & 0x7FF);
    bits &= (1ULL << 52) - 1;
    *e = (exponent ? exponent : 1) - 1075;
    return exponent ? bits | 1ULL << 52 : bits;
}

/* x, and x * x as the product rounded and its error: each in its bins. */
static inline void add_double(Sum *sum, Sum *square, double x)
{
    double product = x * x;
    int e, of_product;
    uint64_t m = mantissa(x, &e), p = mantissa(product, &of_product);
    if (!m)
        return;
    add_bits(sum, m, e, signbit(x) != 0);
    add_bits(square, p, of_product, false);
    if (of_product > 2 * e) { /* else the product is exact */
        unsigned __int128 exact = (unsigned __int128)m * m;
        int64_t error = (int64_t)(uint64_t)(exact - ((unsigned __int128)p << (of_product - 2 * e)));
        if (error)
            add_bits(square, (uint64_t)(error < 0 ? -error : error), 2 * e, error < 0);
    }
}

static inline bool put_sum(Sparse *to, Sum *s, int64_t pane)
{
    for (int b = s->low; b <= s->high; b++)
        if (s->bin[b] && !put(to, pane, b + LOWEST_BIN, s->bin[b]))
            return false;
    emptied(s);
    return true;
}

/* Counts of buckets of one pane, and which are not zero. */
typedef struct {
    int32_t count[2 * BUCKETS + 64];
    uint64_t filled[2 * BUCKETS / 64 + 1];
    int low, high; /* words of `filled` */
} Buckets;

static inline void count_bucket(Buckets *b, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int key = x == 0 ? 0 : (int)((bits & ~(1ULL << 63)) >> BUCKET_SHIFT) + 1;
    int at = BUCKETS + (x < 0 ? -key : key);
    b->count[at]++;
    b->filled[at / 64] |= 1ULL << at % 64;
    b->low = at / 64 < b->low ? at / 64 : b->low;
    b->high = at / 64 > b->high ? at / 64 : b->high;
}

static inline bool put_buckets(Sparse *to, Buckets *b, int64_t pane)
{
    for (int word = b->low; word <= b->high; word++) {
        for (uint64_t left = b->filled[word]; left; left &= left - 1) {
            int at = 64 * word + __builtin_ctzll(left);
            if (!put(to, pane, at - BUCKETS, b->count[at]))
                return false;
            b->count[at] = 0;
        }
        b->filled[word] = 0;
    }
    b->low = 2 * BUCKETS;
    b->high = -1;
    return true;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sort the hashes of one pane's texts, and keep the counts of the smallest `most`. */
static inline bool put_texts(Sparse *to, uint64_t *hashes, size_t n, int64_t pane, int64_t most)
{
    if (n)
        qsort(hashes, n, sizeof *hashes, by_hash);
    for (size_t i = 0, j; i < n && most > 0; i = j, most--) {
        for (j = i + 1; j < n && hashes[j] == hashes[i];)
            j++;
        if (!put(to, pane, (int64_t)hashes[i], (int64_t)(j - i)))
            return false;
    }
    return true;
}

typedef struct {
    Sum sum, square;
    Buckets buckets;
    Grown texts; /* of the pane that is read */
} Scratch;

typedef struct {
    int64_t *counts[KINDS]; /* by kind, of each pane; absent ones are not counted */
    double *minimum, *maximum;
    Sparse sums, squares, buckets, categories;
} Summary;

/* One column; false where there is no room, or numpy must do it. `order` says which rows; `pane`
 * rises and is below the number of panes; the first one counts as pane `first` of the summary. */
static bool summarised(Summary *s, Scratch *w, const uint8_t *kind, const uint64_t *bits,
                       const int64_t *order, const int64_t *pane, size_t n, int64_t first,
                       int64_t most)
{
    for (size_t i = 0, end; i < n; i = end) {
        const int64_t p = first + pane[i];
        double low = NAN, high = NAN;
        w->texts.used = 0;
        for (end = i; end < n && pane[end] == pane[i]; end++) {
            const int64_t row = order[end];
            const uint8_t k = kind[row];
            if (k == NUMBER) {
                double x;
                memcpy(&x, &bits[row], 8);
                double size = fabs(x);
                if (x != 0 && !(size >= SMALLEST && size <= LARGEST))
                    return false;
                s->counts[NUMBER][p]++;
                low = x < low || isnan(low) ? x : low;
                high = x > high || isnan(high) ? x : high;
                add_double(&w->sum, &w->square, x);
                count_bucket(&w->buckets, x);
            } else if (k >= KINDS) {
                return false;
            } else if (k != ABSENT) {
                s->counts[k][p]++;
                if (k == TEXT && !pushed(&w->texts, &bits[row], 8))
                    return false;
            }
        }
        s->minimum[p] = low;
        s->maximum[p] = high;
        if (!put_sum(&s->sums, &w->sum, p) || !put_sum(&s->squares, &w->square, p) ||
            !put_buckets(&s->buckets, &w->buckets, p) ||
            !put_texts(&s->categories, (uint64_t *)w->texts.data, w->texts.used / 8, p, most))
            return false;
    }
    return true;
}

#endif
