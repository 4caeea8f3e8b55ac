/* Rows by their panes, and of each pane those with the smallest hashes: as panes.py has them. */
#ifndef LEEWAY_PANE_ROWS_H
#define LEEWAY_PANE_ROWS_H

#include <math.h>
#include <stdlib.h>

#include "memory.h"

#define MOST_PANES 4096 /* of one call; Python does more of them */
#define SHELVES 256

/* Rows by pane; those of pane p are from starts[p] to before starts[p + 1]. */
typedef struct {
    int64_t *order; /* NULL where they are in order */
    int64_t ends[MOST_PANES];
    size_t starts[MOST_PANES + 1];
    size_t panes;
} ByPane;

static void by_pane_given_back(ByPane *b) { PyMem_Free(b->order); }

/* Where this end is, or belongs, among those met. */
static size_t place_of_end(const ByPane *b, int64_t end)
{
    size_t low = 0, high = b->panes;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (b->ends[middle] < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Numbers the ends; false where they are too many. `*rises`: whether the rows are in order. */
static bool ends_met(ByPane *b, const int64_t *end, size_t n, bool *rises)
{
    *rises = true;
    for (size_t i = 0; i < n; i++) {
        if (i && end[i] == end[i - 1])
            continue;
        *rises &= !i || end[i] > end[i - 1];
        const size_t at = place_of_end(b, end[i]);
        if (at < b->panes && b->ends[at] == end[i])
            continue;
        if (b->panes == MOST_PANES)
            return false;
        memmove(b->ends + at + 1, b->ends + at, (b->panes - at) * sizeof *b->ends);
        b->ends[at] = end[i];
        b->panes++;
    }
    return true;
}

/* 1; 0 where there are too many panes, -1 where there is no room. */
static int sorted_by_pane(ByPane *b, const int64_t *end, size_t n)
{
    bool rises;
    b->panes = 0;
    if (!ends_met(b, end, n, &rises))
        return 0;
    memset(b->starts, 0, (b->panes + 1) * sizeof *b->starts);
    for (size_t i = 0, at = 0; i < n; i++) {
        if (b->ends[at] != end[i])
            at = place_of_end(b, end[i]);
        b->starts[at + 1]++;
    }
    for (size_t p = 0; p < b->panes; p++)
        b->starts[p + 1] += b->starts[p];
    if (rises)
        return 1;
    size_t next[MOST_PANES];
    memcpy(next, b->starts, b->panes * sizeof *next);
    b->order = PyMem_Malloc(n * sizeof *b->order + 1);
    if (!b->order)
        return -1;
    for (size_t i = 0, at = 0; i < n; i++) {
        if (b->ends[at] != end[i])
            at = place_of_end(b, end[i]);
        b->order[next[at]++] = (int64_t)i;
    }
    return 1;
}

typedef struct {
    uint64_t hash;
    int64_t row;
} Hashed;

static int by_hash_and_row(const void *a, const void *b)
{
    const Hashed *x = a, *y = b;
    return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash)
                              : (x->row > y->row) - (x->row < y->row);
}

/* By hash, and rows of one hash as they are: onto shelves by the first bits, as hashes are spread
 * evenly, then each shelf. `spare`: room for as many. */
static void sorted_hashes(Hashed *of, Hashed *spare, size_t n, uint64_t highest)
{
    size_t next[SHELVES + 1] = {0};
    int shift = 0;
    while (highest >> shift >= SHELVES)
        shift++;
    for (size_t i = 0; i < n; i++)
        next[(of[i].hash >> shift) + 1]++;
    for (int shelf = 0; shelf < SHELVES; shelf++)
        next[shelf + 1] += next[shelf];
    for (size_t i = 0; i < n; i++)
        spare[next[of[i].hash >> shift]++] = of[i];
    memcpy(of, spare, n * sizeof *of);
    for (size_t shelf = 0, low = 0; shelf < SHELVES; low = next[shelf++]) {
        const size_t high = next[shelf];
        if (high - low > 16) {
            qsort(of + low, high - low, sizeof *of, by_hash_and_row);
            continue;
        }
        for (size_t i = low + 1; i < high; i++) {
            const Hashed one = of[i];
            size_t at = i;
            for (; at > low && of[at - 1].hash > one.hash; at--)
                of[at] = of[at - 1];
            of[at] = one;
        }
    }
}

/* Where hashes end among which `keep` and one more of so many probably are. */
static uint64_t probable_bound(size_t keep, size_t count)
{
    const double share = ((double)keep + 1 + 8 * sqrt((double)keep + 1)) / (double)count;
    return share < 0.999 ? (uint64_t)(share * 18446744073709551616.0) : UINT64_MAX;
}

/* Of pane p the rows with the `keep` smallest hashes, by hash, into `small`, which has room for all
 * of its rows, as `spare` has: how many, and where they end; 0 where that is not certain. More than
 * `keep` rows are in the pane. */
static size_t smallest_of(const ByPane *b, const uint64_t *hash, size_t p, size_t keep, Hashed *small,
                          Hashed *spare, uint64_t *limit)
{
    const size_t from = b->starts[p], end = b->starts[p + 1];
    uint64_t bound = probable_bound(keep, end - from);
    size_t n = 0;
    for (int again = 0; n <= keep && again < 2; again++, bound = UINT64_MAX) {
        n = 0;
        for (size_t i = from; i < end; i++) {
            const int64_t row = b->order ? b->order[i] : (int64_t)i;
            small[n] = (Hashed){hash[row], (int64_t)i};
            n += hash[row] <= bound;
        }
        if (n > keep)
            sorted_hashes(small, spare, n, bound);
    }
    *limit = small[keep].hash;
    if (*limit == UINT64_MAX)
        return 0;
    for (n = keep; n && small[n - 1].hash == *limit;)
        n--;
    for (size_t i = 0; b->order && i < n; i++)
        small[i].row = b->order[small[i].row];
    return n;
}

#endif
