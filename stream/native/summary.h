/* Summaries of cells: the same integers as panes.py and detectors/exact_sum.py make with numpy.
 *
 * Rows are sorted by pane, so that a pane is a run of them.
 */
#ifndef LEEWAY_SUMMARY_H
#define LEEWAY_SUMMARY_H

#include <math.h>
#include <stdlib.h>

#include "exponents.h"
#include "kinds.h"
#include "memory.h"

#define SLOTS 1024 /* of the texts of a pane */
#define MOST_SLOTS_IN_USE 512
#define LONGEST_WALK 16

/* What is sparse: three columns, a row for each count that is not zero. */
typedef struct {
    Grown pane, key, count;
} Sparse;

static inline bool put(Sparse *s, int64_t pane, int64_t key, int64_t count)
{
    return pushed(&s->pane, &pane, 8) && pushed(&s->key, &key, 8) && pushed(&s->count, &count, 8);
}

static inline bool put_sum(Sparse *to, Sum *s, int64_t pane)
{
    for (int b = s->low; b <= s->high; b++) {
        if (s->bin[b] && !put(to, pane, b + LOWEST_BIN, s->bin[b]))
            return false;
        s->bin[b] = 0;
    }
    s->low = BINS;
    s->high = -1;
    return true;
}

/* Buckets of one sign and exponent, in the order of their numbers. */
static bool put_buckets_of(Sparse *to, const Exponents *all, unsigned at, int64_t pane)
{
    const Exponent *e = &all->of[at];
    const bool negative = at >> 11;
    for (uint32_t left = e->filled; left;) {
        const int bucket = negative ? 31 - __builtin_clz(left) : __builtin_ctz(left);
        const int64_t key = 32 * (int64_t)(at & 2047) + bucket + 1;
        if (!put(to, pane, negative ? -key : key, e->count[bucket]))
            return false;
        left &= ~(1U << bucket);
    }
    return true;
}

static bool put_buckets(Sparse *to, const Exponents *all, int64_t pane)
{
    for (int word = 63; word >= 32; word--)
        for (uint64_t left = all->met[word]; left;) {
            const int at = 63 - __builtin_clzll(left);
            if (!put_buckets_of(to, all, (unsigned)(64 * word + at), pane))
                return false;
            left &= ~(1ULL << at);
        }
    if (all->zeros && !put(to, pane, 0, all->zeros))
        return false;
    for (int word = 0; word < 32; word++)
        for (uint64_t left = all->met[word]; left; left &= left - 1)
            if (!put_buckets_of(to, all, (unsigned)(64 * word + __builtin_ctzll(left)), pane))
                return false;
    return true;
}

typedef struct {
    uint64_t hash;
    int64_t count;
} Counted;

/* Texts of one pane by their hashes, while they are few. */
typedef struct {
    Counted slot[SLOTS];
    uint16_t in_use[MOST_SLOTS_IN_USE];
    size_t distinct;
} FewTexts;

/* False where they are many, or where walks grow long. */
static inline bool counted(FewTexts *t, uint64_t hash)
{
    size_t at = hash >> 54;
    for (int step = 0; step < LONGEST_WALK; step++, at = (at + 1) % SLOTS) {
        Counted *slot = &t->slot[at];
        if (!slot->count) {
            if (t->distinct == MOST_SLOTS_IN_USE)
                return false;
            slot->hash = hash;
            t->in_use[t->distinct++] = (uint16_t)at;
        }
        if (slot->hash == hash) {
            slot->count++;
            return true;
        }
    }
    return false;
}

static void emptied(FewTexts *t)
{
    for (size_t i = 0; i < t->distinct; i++)
        t->slot[t->in_use[i]].count = 0;
    t->distinct = 0;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const Counted *)a)->hash, y = ((const Counted *)b)->hash;
    return (x > y) - (x < y);
}

/* Sorted by hash, and added where they are the same: the counts of the smallest `most`. */
static bool put_texts(Sparse *to, Counted *texts, size_t n, int64_t pane, int64_t most)
{
    if (n)
        qsort(texts, n, sizeof *texts, by_hash);
    for (size_t i = 0, j; i < n && most > 0; i = j, most--) {
        int64_t count = 0;
        for (j = i; j < n && texts[j].hash == texts[i].hash; j++)
            count += texts[j].count;
        if (!put(to, pane, (int64_t)texts[i].hash, count))
            return false;
    }
    return true;
}

/* Kept from call to call, empty between them: to clear it costs more than a small group does. */
typedef struct {
    Sum sum, square;
    Exponents numbers;
    FewTexts few;
    Grown texts; /* of the pane that is put */
} Scratch;

static void tidied(Scratch *w)
{
    forget(&w->numbers);
    emptied(&w->few);
    memset(&w->sum, 0, sizeof w->sum);
    memset(&w->square, 0, sizeof w->square);
    w->sum.high = w->square.high = -1;
    w->sum.low = w->square.low = BINS;
    PyMem_Free(w->texts.data);
    w->texts = (Grown){0};
}

typedef struct {
    int64_t *counts[KINDS]; /* by kind, of each pane; absent ones are not counted */
    double *minimum, *maximum;
    Sparse sums, squares, buckets, categories;
} Summary;

/* Rows of one column; `order`: NULL where they are in order. */
typedef struct {
    const uint8_t *kind;
    const uint64_t *bits;
    const int64_t *order;
} Cells;

static inline int64_t row_at(const Cells *c, size_t i) { return c->order ? c->order[i] : (int64_t)i; }

static bool put_many_texts(Sparse *to, Scratch *w, const Cells *c, size_t from, size_t end, int64_t p,
                           int64_t most)
{
    w->texts.used = 0;
    for (size_t i = from; i < end; i++) {
        const Counted one = {c->bits[row_at(c, i)], 1};
        if (c->kind[row_at(c, i)] == TEXT && !pushed(&w->texts, &one, sizeof one))
            return false;
    }
    return put_texts(to, (Counted *)w->texts.data, w->texts.used / sizeof(Counted), p, most);
}

static bool put_few_texts(Sparse *to, Scratch *w, int64_t p, int64_t most)
{
    FewTexts *t = &w->few;
    w->texts.used = 0;
    for (size_t i = 0; i < t->distinct; i++)
        if (!pushed(&w->texts, &t->slot[t->in_use[i]], sizeof(Counted)))
            return false;
    return put_texts(to, (Counted *)w->texts.data, t->distinct, p, most);
}

/* Whether all of these cells hold numbers. */
static inline bool are_numbers(const uint8_t *kind, size_t n)
{
    uint64_t other = 0, eight;
    for (; n >= 8; kind += 8, n -= 8) {
        memcpy(&eight, kind, 8);
        other |= eight ^ 0x0101010101010101ULL * NUMBER;
    }
    for (; n; kind++, n--)
        other |= *kind ^ NUMBER;
    return !other;
}

/* What numbers lie between. */
typedef struct {
    double low, high;
} Limits;

static inline bool number_added(Scratch *w, Limits *l, uint64_t bits)
{
    double x;
    memcpy(&x, &bits, 8);
    l->low = x < l->low ? x : l->low;
    l->high = x > l->high ? x : l->high;
    return add_number(&w->numbers, bits, x);
}

/* The rows of one pane; false where there is no room, or numpy must do it. */
static inline __attribute__((always_inline)) bool pane_summarised(Summary *s, Scratch *w, const Cells *c, size_t from, size_t end,
                                   int64_t p, int64_t most)
{
    Limits limits = {INFINITY, -INFINITY};
    int64_t counts[KINDS] = {0};
    bool are_few = true;
    if (!c->order && are_numbers(c->kind + from, end - from)) {
        counts[NUMBER] = (int64_t)(end - from);
        for (; from < end; from++)
            if (!number_added(w, &limits, c->bits[from]))
                return false;
    }
    for (size_t i = from; i < end; i++) {
        const int64_t row = row_at(c, i);
        const uint8_t k = c->kind[row];
        if (k >= KINDS)
            return false;
        counts[k]++;
        if (k == NUMBER) {
            if (!number_added(w, &limits, c->bits[row]))
                return false;
        } else if (k == TEXT) {
            are_few = are_few && counted(&w->few, c->bits[row]);
        }
    }
    for (int k = NULL_CELL; k < KINDS; k++)
        s->counts[k][p] = counts[k];
    if (counts[NUMBER]) {
        s->minimum[p] = limits.low;
        s->maximum[p] = limits.high;
        put_exponents(&w->numbers, &w->sum, &w->square);
        if (!put_sum(&s->sums, &w->sum, p) || !put_sum(&s->squares, &w->square, p) ||
            !put_buckets(&s->buckets, &w->numbers, p))
            return false;
        forget(&w->numbers);
    }
    if (counts[TEXT]) {
        if (!(are_few ? put_few_texts(&s->categories, w, p, most)
                      : put_many_texts(&s->categories, w, c, from, end, p, most)))
            return false;
        emptied(&w->few);
    }
    return true;
}

/* One column, whose rows of pane p are from starts[p] to before starts[p + 1]; the first one counts as
 * pane `first` of the summary. */
static bool summarised(Summary *s, Scratch *w, const Cells *c, const size_t *starts, size_t panes,
                       int64_t first, int64_t most)
{
    const Cells in_order = {c->kind, c->bits, NULL};
    for (size_t p = 0; p < panes; p++) {
        const size_t from = starts[p], end = starts[p + 1];
        if (from == end)
            continue;
        if (!(c->order ? pane_summarised(s, w, c, from, end, first + (int64_t)p, most)
                       : pane_summarised(s, w, &in_order, from, end, first + (int64_t)p, most)))
            return false;
    }
    return true;
}

#endif
