/* Decimal numbers to doubles, correctly rounded.
 *
 * Up to 19 digits are one integer m, and the number is m * 10**e. Where both are exact doubles one
 * operation rounds it (Clinger 1990); for |e| <= 27 integers of 128 bits do; Python's own
 * conversion (David Gay's) does the others.
 */
#ifndef LEEWAY_NUMBER_H
#define LEEWAY_NUMBER_H

#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define MOST_DIGITS 19
#define LONGEST_NUMBER 1000 /* characters; longer is left to Python */

typedef struct {
    const uint8_t *start;
    uint64_t m;  /* of the first MOST_DIGITS digits */
    int exponent;
    int digits;  /* at most so many are significant */
    bool negative, integral;
} Number;

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define MOST_FIVES 27

static inline bool is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

/* The digits of a number of more than MOST_DIGITS again, one by one. */
static const uint8_t *counted_digits(const uint8_t *p, Number *n)
{
    n->m = 0;
    n->exponent = n->digits = 0;
    for (bool fraction = false; is_digit(*p) || *p == '.'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if (n->digits < MOST_DIGITS)
            n->m = 10 * n->m + (*p - '0');
        n->digits += n->m != 0;
        n->exponent -= fraction;
    }
    return p;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ZEROS 0x3030303030303030ULL

/* Of eight bytes, a digit each once ZEROS are taken off (exclusively or), which are none: the highest
 * bit of each. */
static inline uint64_t others_among(uint64_t eight)
{
    return ((eight + 0x7676767676767676ULL) | eight) & 0x8080808080808080ULL;
}

/* What eight digits say, the first in the lowest byte. */
static inline uint64_t eight_digits(uint64_t eight)
{
    eight = eight * 10 + (eight >> 8);
    return ((eight & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
            (eight >> 16 & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
}
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && FLT_EVAL_METHOD == 0
/* A number as most are, with a point and of up to eight characters beside its sign, but not zero: as
 * one integer of 64 bits. What follows it, or NULL where it is another, which may be one. */
static inline __attribute__((always_inline)) const uint8_t *short_decimal(const uint8_t *p, const uint8_t *end, double *value)
{
    const bool negative = *p == '-';
    uint64_t eight, m;
    p += negative;
    if (end - p < 8)
        return NULL;
    memcpy(&eight, p, 8);
    eight ^= ZEROS;
    uint64_t others = others_among(eight);
    const unsigned whole = others ? (unsigned)__builtin_ctzll(others) / 8 : 8; /* digits */
    others &= others - 1;
    const unsigned n = others ? (unsigned)__builtin_ctzll(others) / 8 : 8; /* characters */
    const uint8_t next = p[n];
    if (whole - 1 > 6 || p[whole] != '.' || n - whole < 2 || (whole > 1 && *p == '0') || is_digit(next) ||
        next == '.' || (next | 0x20) == 'e')
        return NULL;
    const uint64_t before = (1ULL << 8 * whole) - 1;
    eight = (eight & before) | (eight >> 8 & ~before); /* without the point */
    m = eight_digits(eight << 8 * (9 - n));            /* zeros before them */
    double size = (double)m / TENS[n - whole - 1];
    uint64_t bits; /* as often below zero as not: no branch */
    memcpy(&bits, &size, 8);
    bits |= (uint64_t)negative << 63;
    memcpy(value, &bits, 8);
    return m ? p + n : NULL;
}
#else
static inline const uint8_t *short_decimal(const uint8_t *p, const uint8_t *end, double *value)
{
    return (void)p, (void)end, (void)value, NULL;
}
#endif

/* As many digits as stand at `p`, eight at a time where so many bytes are left: behind m. */
static inline __attribute__((always_inline)) const uint8_t *more_digits(const uint8_t *p, const uint8_t *end, uint64_t *m)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    static const uint64_t SCALE[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    while (end - p >= 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        eight ^= ZEROS; /* a digit is below 10 now */
        const uint64_t others = others_among(eight);
        const int count = others ? __builtin_ctzll(others) / 8 : 8;
        if (!count)
            return p;
        *m = *m * SCALE[count] + eight_digits(eight << (64 - 8 * count)); /* zeros before them */
        p += count;
        if (count < 8)
            return p;
    }
#endif
    for (; is_digit(*p); p++)
        *m = 10 * *m + (*p - '0');
    return p;
}

/* A JSON number at `p`; what follows it, or NULL. The text ends at `end`, with a byte that is no
 * digit. */
static inline __attribute__((always_inline)) const uint8_t *scanned_number(const uint8_t *p, const uint8_t *end, Number *n)
{
    uint64_t m = 0;
    const uint8_t *first, *point = NULL;
    n->start = p;
    n->negative = *p == '-';
    p += n->negative;
    first = p;
    for (; is_digit(*p); p++)
        m = 10 * m + (*p - '0');
    if (p == first || (p - first > 1 && *first == '0'))
        return NULL;
    n->integral = true;
    n->exponent = 0;
    n->digits = (int)(p - first);
    if (*p == '.') {
        point = p++;
        p = more_digits(p, end, &m);
        if (p - point < 2)
            return NULL;
        n->integral = false;
        n->exponent = (int)(point + 1 - p);
        n->digits -= n->exponent;
    }
    n->m = m;
    if (p - first > MOST_DIGITS) {
        if (p - first > LONGEST_NUMBER)
            return NULL;
        counted_digits(first, n);
    }
    if ((*p | 0x20) == 'e') {
        n->integral = false;
        bool down = *++p == '-';
        if (*p == '-' || *p == '+')
            p++;
        if (!is_digit(*p))
            return NULL;
        int given = 0;
        for (; is_digit(*p); p++) {
            given = 10 * given + (*p - '0');
            if (given > 9999)
                return NULL;
        }
        n->exponent += down ? -given : given;
    }
    return p;
}

#ifdef __SIZEOF_INT128__
static inline double rounded(unsigned __int128 q, int twos, bool more)
{
    uint64_t high = (uint64_t)(q >> 64);
    int bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)q);
    int drop = bits - DBL_MANT_DIG;
    if (drop <= 0)
        return ldexp((double)(uint64_t)q, twos);
    uint64_t mantissa = (uint64_t)(q >> drop);
    bool half = (q >> (drop - 1)) & 1;
    bool rest = more || (q & (((unsigned __int128)1 << (drop - 1)) - 1)) != 0;
    mantissa += half && (rest || (mantissa & 1));
    return ldexp((double)mantissa, twos + drop);
}

static __attribute__((noinline)) double by_integers(uint64_t m, int e)
{
    static const uint64_t FIVES[MOST_FIVES + 1] = {
        1ULL, 5ULL, 25ULL, 125ULL, 625ULL, 3125ULL, 15625ULL, 78125ULL, 390625ULL, 1953125ULL,
        9765625ULL, 48828125ULL, 244140625ULL, 1220703125ULL, 6103515625ULL, 30517578125ULL,
        152587890625ULL, 762939453125ULL, 3814697265625ULL, 19073486328125ULL, 95367431640625ULL,
        476837158203125ULL, 2384185791015625ULL, 11920928955078125ULL, 59604644775390625ULL,
        298023223876953125ULL, 1490116119384765625ULL, 7450580596923828125ULL};
    if (e >= 0)
        return rounded((unsigned __int128)m * FIVES[e], e, false);
    int shift = __builtin_clzll(m);
    unsigned __int128 dividend = (unsigned __int128)(m << shift) << 64; /* quotient > 2**63 */
    unsigned __int128 quotient = dividend / FIVES[-e];
    return rounded(quotient, e - shift - 64, quotient * FIVES[-e] != dividend);
}
#endif

/* False where it is beyond the doubles. */
static inline bool number_value(const Number *n, double *value)
{
    double size;
    int e = n->exponent;
    if (n->m == 0)
        size = 0.0;
#if FLT_EVAL_METHOD == 0
    else if (n->digits <= MOST_DIGITS && n->m <= (1ULL << DBL_MANT_DIG) && e >= -22 && e <= 22)
        size = e < 0 ? (double)n->m / TENS[-e] : (double)n->m * TENS[e];
#endif
#ifdef __SIZEOF_INT128__
    else if (n->digits <= MOST_DIGITS && e >= -MOST_FIVES && e <= MOST_FIVES)
        size = by_integers(n->m, e);
#endif
    else {
        char *end;
        size = PyOS_string_to_double((const char *)n->start + n->negative, &end, NULL);
        if (PyErr_Occurred()) {
            PyErr_Clear();
            return false;
        }
    }
    uint64_t bits; /* a number is as often below zero as not: no branch */
    memcpy(&bits, &size, 8);
    bits |= (uint64_t)n->negative << 63;
    memcpy(value, &bits, 8);
    return size <= DBL_MAX;
}

#endif
