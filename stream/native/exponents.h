/* Numbers of one pane, gathered by sign and exponent: what is done for each number is a few
 * additions; bins and buckets follow from the gathered sums once a pane.
 *
 * A bit of a double counts in the bin that its weight falls into, whatever stands beside it. Numbers
 * of one exponent are cut at the same two places, so that the sums of their three parts follow from
 * the sums of m, m >> k and m >> (k + 26). All of it is modulo 2**64, and the parts' sums are small.
 */
#ifndef LEEWAY_EXPONENTS_H
#define LEEWAY_EXPONENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BIN_BITS 26
#define LOWEST_BIN (-60) /* below the last bit of the square of the smallest number */
#define BINS 128
#define SMALLEST 1e-140 /* of a number: its square and the error of that are exact */
#define LARGEST 1e150
#define BUCKET_SHIFT 47 /* leaves the exponent and five bits */
#define MANTISSA ((1ULL << 52) - 1)

typedef struct {
    int64_t bin[BINS];
    int low, high; /* bins that may not be zero */
} Sum;

typedef uint64_t Cut[3]; /* sums of m, of m >> k, of m >> (k + 26) */

typedef struct {
    uint32_t filled; /* which buckets are not zero */
    uint32_t count[32];
    uint8_t k_of_sum, k_of_product[2], k_of_error;
    Cut sum, product[2], error; /* a product of m * m has 105 or 106 bits */
} Exponent;

typedef struct {
    Exponent of[4096]; /* sign and exponent */
    uint64_t met[64];  /* which of them; the others are zero */
    int64_t zeros;
} Exponents;

/* Weights of the last bits, counted from the lowest bin's. */
static inline unsigned of_sum(unsigned exponent) { return exponent + 485; }
static inline unsigned of_product(unsigned exponent, unsigned longer) { return 2 * exponent - 538 + longer; }
static inline unsigned of_error(unsigned exponent) { return 2 * exponent - 590; }

static inline uint8_t first_cut(unsigned above) { return (uint8_t)(BIN_BITS - above % BIN_BITS); }

static void meet(Exponents *all, unsigned at)
{
    Exponent *e = &all->of[at];
    const unsigned exponent = at & 2047;
    all->met[at / 64] |= 1ULL << at % 64;
    e->k_of_sum = first_cut(of_sum(exponent));
    e->k_of_product[0] = first_cut(of_product(exponent, 0));
    e->k_of_product[1] = first_cut(of_product(exponent, 1));
    e->k_of_error = first_cut(of_error(exponent));
}

static inline void add_cut(Cut to, uint64_t m, unsigned k)
{
    to[0] += m;
    to[1] += m >> k;
    to[2] += m >> k >> BIN_BITS;
}

static inline uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}

/* x, and x * x as the product rounded and its error; false where numpy must do it. */
static inline bool add_number(Exponents *all, uint64_t bits, double x)
{
    const uint64_t size = bits << 1 >> 1, smallest = bits_of(SMALLEST);
    if (size - smallest > bits_of(LARGEST) - smallest) {
        all->zeros++;
        return !size;
    }
    const unsigned at = (unsigned)(bits >> 52), bucket = bits >> BUCKET_SHIFT & 31;
    Exponent *e = &all->of[at];
    if (!e->filled)
        meet(all, at);
    e->filled |= 1U << bucket;
    e->count[bucket]++;
    const uint64_t m = (bits & MANTISSA) | (MANTISSA + 1), product = bits_of(x * x);
    const uint64_t p = (product & MANTISSA) | (MANTISSA + 1);
    const unsigned longer = (unsigned)(product >> 52) - 2 * (at & 2047) + 1023; /* 0 or 1 */
    add_cut(e->sum, m, e->k_of_sum);
    add_cut(e->product[longer & 1], p, e->k_of_product[longer & 1]);
    const uint64_t error = m * m - (p << (52 + (longer & 1))); /* of both signs, below 2**53 */
    const uint64_t sign = -(error >> 63), a = (error ^ sign) - sign; /* x ^ -1 less -1 is -x */
    e->error[0] += error;
    e->error[1] += (a >> e->k_of_error ^ sign) - sign;
    e->error[2] += (a >> e->k_of_error >> BIN_BITS ^ sign) - sign;
    return true;
}

/* The three parts into their bins. */
static inline void put_cut(Sum *to, const Cut cut, unsigned above, bool negative)
{
    const unsigned b = above / BIN_BITS, within = above % BIN_BITS;
    const uint64_t parts[] = {(cut[0] - (cut[1] << (BIN_BITS - within))) << within,
                              cut[1] - (cut[2] << BIN_BITS), cut[2]};
    for (unsigned i = 0; i < 3; i++)
        to->bin[b + i] += (int64_t)(negative ? -parts[i] : parts[i]);
    to->low = (int)b < to->low ? (int)b : to->low;
    to->high = (int)b + 2 > to->high ? (int)b + 2 : to->high;
}

/* All that was met into bins; buckets are left, for who puts them. */
static void put_exponents(const Exponents *all, Sum *sum, Sum *square)
{
    for (unsigned word = 0; word < 64; word++)
        for (uint64_t left = all->met[word]; left; left &= left - 1) {
            const unsigned at = 64 * word + (unsigned)__builtin_ctzll(left), exponent = at & 2047;
            const Exponent *e = &all->of[at];
            put_cut(sum, e->sum, of_sum(exponent), at >> 11);
            put_cut(square, e->product[0], of_product(exponent, 0), false);
            put_cut(square, e->product[1], of_product(exponent, 1), false);
            put_cut(square, e->error, of_error(exponent), false);
        }
}

static void forget(Exponents *all)
{
    for (unsigned word = 0; word < 64; word++) {
        for (uint64_t left = all->met[word]; left; left &= left - 1)
            memset(&all->of[64 * word + (unsigned)__builtin_ctzll(left)], 0, sizeof(Exponent));
        all->met[word] = 0;
    }
    all->zeros = 0;
}

#endif
