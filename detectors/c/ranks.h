/* Evidence of a few panes: what `unit_reading` reads off counted cells. */
#ifndef LEEWAY_RANKS_H
#define LEEWAY_RANKS_H

static const int64_t MOST_RANKED = 1LL << 40, UNKNOWN = INT64_MIN;

/* The first place in [low, n) of ascending keys with one not below this: in steps that double, then
 * by halving. */
static inline Py_ssize_t not_below(const int64_t *keys, Py_ssize_t low, Py_ssize_t n, int64_t key)
{
    Py_ssize_t step = 1;
    while (step < n - low && keys[low + step] < key) {
        low += step;
        step *= 2;
    }
    Py_ssize_t high = step < n - low ? low + step : n;
    while (low < high) {
        const Py_ssize_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Numbers that rise, of which the first is known and the steps are stored: a byte each, those of 255
 * or more apart, with their places. */
static void opened(const Column *steps, const Column *far_at, const Column *far, Py_ssize_t from,
                   Py_ssize_t count, int64_t first, int64_t *into)
{
    const uint8_t *step = (const uint8_t *)steps->of.buf + from;
    const int64_t *at = far_at->of.buf, *large = far->of.buf;
    Py_ssize_t next = not_below(at, 0, far_at->count, from);
    into[0] = first;
    for (Py_ssize_t i = 1; i < count; i++) {
        int64_t by = step[i];
        if (next < far_at->count && at[next] == from + i)
            by = large[next++];
        into[i] = plus(into[i - 1], by);
    }
}

/* Values of one slot below each of its cells, and behind them all of them. */
static bool counted_up(const Column *counts, Py_ssize_t from, Py_ssize_t count, int64_t *below)
{
    below[0] = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const uint64_t some = unsigned_at(counts, from + i);
        if (some > MOST_RANKED || (below[i + 1] = below[i] + (int64_t)some) > MOST_RANKED)
            return refused("a reference of more than 2^40 values");
    }
    return below[count] > 0 || refused("a reference without values");
}

/* What one slot opens to: keys, values below them, and the scores that were asked for. */
typedef struct {
    Py_ssize_t size;
    int64_t *keys, *below, *scores;
    double mean, scale;
} Slot;

/* The score of a place: of what is below the first key, of that key, and so on; as
 * `rank_scores.ranked` has it. */
static int64_t score_at(const Slot *slot, Py_ssize_t place)
{
    int64_t *known = &slot->scores[place];
    if (*known == UNKNOWN) {
        const int64_t whole = 2 * slot->below[slot->size];
        int64_t doubled = slot->below[place >> 1] + slot->below[(place + 1) >> 1];
        doubled = doubled < 1 ? 1 : doubled > whole - 1 ? whole - 1 : doubled;
        const double quantile = normal_quantile((double)doubled / (double)whole);
        const double score = rint((quantile - slot->mean) * slot->scale * 16384.0);
        *known = fabs(score) < 9e18 ? (int64_t)score : 0; /* of no reference */
    }
    return *known;
}

static Py_ssize_t place_of(const Slot *slot, Py_ssize_t at, int64_t key)
{
    return 2 * at + (at < slot->size && slot->keys[at] == key);
}

enum {
    /* of each that is asked: its place among the features or -1, its slot, and its columns or -1 */
    FEATURE, SLOT, SHIFT, BEYOND, SHAPE,
    /* of each slot: its first cell and key, mean and scale of its scores, its first rise of a bin, its
     * lowest and highest key */
    CELL, KEY_FIRST, FORM, RISE, ENDS,
    /* the larger steps of keys and their cells; of each cell; places, which are two a cell and one, at which the bin rises */
    FAR_AT, FAR_STEPS, KEY_STEPS, COUNTS, RISES,
    /* counted cells, by pane and key, and values of each pane: pane p of feature f is f · panes + p */
    PANE, KEY, COUNT, NUMBER,
    OF_X, OF_N, OF_XX, RANKS
};

/* Where each slot begins, and the last one ends: `least` (0 or 1) places each. */
static bool slots_fit(const Column *starts, Py_ssize_t places, int64_t least)
{
    const int64_t *at = starts->of.buf;
    for (Py_ssize_t s = 0; s + 1 < starts->count; s++)
        if (at[s + 1] < at[s] || (least && at[s + 1] == at[s]))
            return refused("slots that do not ascend");
    if (at[0] || at[starts->count - 1] != places)
        return refused("slots of another size");
    return true;
}

/* Room for the largest slot; NULL: there is none. */
static int64_t *room_of(const Column *starts, Slot *slot)
{
    const int64_t *at = starts->of.buf;
    Py_ssize_t most = 0;
    for (Py_ssize_t s = 0; s + 1 < starts->count; s++)
        most = at[s + 1] - at[s] > most ? at[s + 1] - at[s] : most;
    int64_t *room = PyMem_New(int64_t, 4 * most + 2);
    if (!room) {
        PyErr_NoMemory();
        return NULL;
    }
    slot->keys = room;
    slot->below = room + most;
    slot->scores = room + 2 * most + 1;
    return room;
}

/* Slot number `at`; whether it is one. `far_at`: behind it come the larger steps, all steps, counts. */
static bool opened_slot(const Column *c, int cell, int first, int form, int far_at, int64_t at, Slot *slot)
{
    const int64_t *starts = c[cell].of.buf;
    const double *of = (const double *)c[form].of.buf + 2 * at;
    slot->size = starts[at + 1] - starts[at];
    slot->mean = of[0];
    slot->scale = of[1];
    opened(&c[far_at + 2], &c[far_at], &c[far_at + 1], starts[at], slot->size,
           ((const int64_t *)c[first].of.buf)[at], slot->keys);
    for (Py_ssize_t i = 0; i < 2 * slot->size + 1; i++)
        slot->scores[i] = UNKNOWN;
    return counted_up(&c[far_at + 3], starts[at], slot->size, slot->below);
}

static bool ranks_fit(const Column *c, Py_ssize_t panes, Py_ssize_t width)
{
    const Py_ssize_t asked = c[SLOT].count, slots = c[KEY_FIRST].count, cells = c[PANE].count;
    for (int i = 0; i < RANKS; i++)
        if (i == COUNTS || i == RISES ? !is_unsigned_size(&c[i]) : c[i].size != (i == KEY_STEPS ? 1 : 8))
            return refused("columns of another type");
    if (c[FEATURE].count != asked || c[SHIFT].count != asked || c[BEYOND].count != asked ||
        c[SHAPE].count != asked)
        return refused("what is asked is of another shape");
    if (c[CELL].count != slots + 1 || c[FORM].count != 2 * slots || c[RISE].count != slots + 1 ||
        c[ENDS].count != 2 * slots || c[COUNTS].count != c[KEY_STEPS].count ||
        c[FAR_STEPS].count != c[FAR_AT].count)
        return refused("a table of another shape");
    if (c[KEY].count != cells || c[COUNT].count != cells || panes < 0 || width < 0 ||
        (panes && width > PY_SSIZE_T_MAX / panes) || c[OF_X].count != panes * width ||
        c[OF_N].count != panes * width || c[OF_XX].count != panes * width)
        return refused("panes of another shape");
    if (!slots_fit(&c[CELL], c[KEY_STEPS].count, 1) || !slots_fit(&c[RISE], c[RISES].count, 0))
        return false;
    const int64_t *rise = c[RISE].of.buf;
    const Py_ssize_t features = panes ? c[NUMBER].count / panes : 0;
    for (Py_ssize_t a = 0; a < asked; a++) {
        const int64_t slot = ((const int64_t *)c[SLOT].of.buf)[a];
        const int64_t shape = ((const int64_t *)c[SHAPE].of.buf)[a];
        if (slot < 0 || slot >= slots || (panes && ((const int64_t *)c[FEATURE].of.buf)[a] >= features) ||
            ((const int64_t *)c[SHIFT].of.buf)[a] >= width ||
            ((const int64_t *)c[BEYOND].of.buf)[a] >= width ||
            (shape >= 0 && shape >= width - (rise[slot + 1] - rise[slot])))
            return refused("something is asked that is not there");
    }
    return true;
}

/* One feature that is asked, in all panes. `open`: room for its slot. */
static bool read_feature(Column *c, Py_ssize_t a, Py_ssize_t panes, Py_ssize_t width, Slot *open)
{
    const int64_t feature = ((const int64_t *)c[FEATURE].of.buf)[a];
    if (feature < 0)
        return true;
    const int64_t slot = ((const int64_t *)c[SLOT].of.buf)[a];
    const int64_t shift = ((const int64_t *)c[SHIFT].of.buf)[a];
    const int64_t beyond = ((const int64_t *)c[BEYOND].of.buf)[a];
    const int64_t shape = ((const int64_t *)c[SHAPE].of.buf)[a];
    const int64_t *rise = c[RISE].of.buf;
    const int64_t *ends = (const int64_t *)c[ENDS].of.buf + 2 * slot;
    const int64_t *of = c[PANE].of.buf, *key = c[KEY].of.buf, *counts = c[COUNT].of.buf;
    const int64_t *number = c[NUMBER].of.buf;
    int64_t *x = c[OF_X].of.buf, *n = c[OF_N].of.buf, *xx = c[OF_XX].of.buf;
    const Py_ssize_t first = feature * panes;
    const Py_ssize_t low = not_below(of, 0, c[PANE].count, first);
    if (!opened_slot(c, CELL, KEY_FIRST, FORM, FAR_AT, slot, open))
        return false;
    Py_ssize_t at = 0;
    for (Py_ssize_t i = low; i < c[PANE].count && of[i] < first + panes; i++) {
        if (of[i] < first)
            return refused("panes that do not ascend");
        const Py_ssize_t p = of[i] - first;
        if (i == low || of[i] != of[i - 1] || key[i] < key[i - 1])
            at = 0;
        at = not_below(open->keys, at, open->size, key[i]);
        const Py_ssize_t place = place_of(open, at, key[i]);
        const int64_t count = counts[i];
        if (shift >= 0) {
            const Py_ssize_t to = p * width + shift;
            const int64_t score = score_at(open, place), total = times(count, score);
            n[to] = plus(n[to], count);
            x[to] = plus(x[to], total);
            xx[to] = plus(xx[to], times(total, score));
        }
        if (beyond >= 0 && (key[i] < ends[0] || key[i] > ends[1])) {
            const Py_ssize_t to = p * width + beyond;
            x[to] = xx[to] = plus(x[to], count);
        }
        if (shape >= 0) {
            Py_ssize_t bin = 0;
            while (rise[slot] + bin < rise[slot + 1] &&
                   unsigned_at(&c[RISES], rise[slot] + bin) <= (uint64_t)place)
                bin++;
            const Py_ssize_t to = p * width + shape;
            x[to + bin] = xx[to + bin] = plus(x[to + bin], count);
            n[to] = plus(n[to], count);
        }
    }
    for (Py_ssize_t p = 0; p < panes; p++) {
        const Py_ssize_t to = p * width;
        if (beyond >= 0)
            n[to + beyond] = number[first + p];
        for (int64_t bin = rise[slot + 1] - rise[slot]; shape >= 0 && bin > 0; bin--)
            n[to + shape + bin] = n[to + shape];
    }
    return true;
}

static PyObject *ranks(PyObject *self, PyObject *args)
{
    Column c[RANKS] = {0};
    PyObject *columns, *result = NULL;
    Py_ssize_t panes, width;
    int64_t *room = NULL;
    Slot slot;
    (void)self;
    if (!PyArg_ParseTuple(args, "nnO!", &panes, &width, &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, RANKS, OF_X) || !ranks_fit(c, panes, width))
        goto done;
    if (!(room = room_of(&c[CELL], &slot)))
        goto done;
    for (Py_ssize_t a = 0; a < c[SLOT].count; a++)
        if (!read_feature(c, a, panes, width, &slot))
            goto done;
    result = Py_NewRef(Py_None);
done:
    PyMem_Free(room);
    released(c, RANKS);
    return result;
}

/* -- rows */

enum { ROW_SLOT, ROW_TO, ROW_CELL, ROW_KEY_FIRST, ROW_FORM, ROW_FAR_AT, ROW_FAR_STEPS, ROW_KEY_STEPS,
       ROW_COUNTS, ROW_SCORES, ROWS_ASKED };

/* The logarithmic bucket of a number, as `log_buckets` has it. */
static inline int64_t bucket_of(uint64_t bits)
{
    const uint64_t size = bits & ~(1ULL << 63);
    const int64_t key = size ? (int64_t)(size >> 47) + 1 : 0;
    return bits >> 63 ? -key : key;
}

static bool rows_fit(const Column *c, Py_ssize_t width)
{
    const Py_ssize_t asked = c[ROW_SLOT].count, slots = c[ROW_KEY_FIRST].count;
    for (int i = 0; i < ROWS_ASKED; i++)
        if (i == ROW_COUNTS ? !is_unsigned_size(&c[i]) : c[i].size != (i == ROW_KEY_STEPS ? 1 : 8))
            return refused("columns of another type");
    if (c[ROW_TO].count != asked || c[ROW_CELL].count != slots + 1 || width < 1 ||
        c[ROW_FORM].count != 2 * slots || c[ROW_SCORES].count % width ||
        c[ROW_COUNTS].count != c[ROW_KEY_STEPS].count ||
        c[ROW_FAR_STEPS].count != c[ROW_FAR_AT].count)
        return refused("columns of another shape");
    if (!slots_fit(&c[ROW_CELL], c[ROW_KEY_STEPS].count, 1))
        return false;
    for (Py_ssize_t a = 0; a < asked; a++) {
        const int64_t slot = ((const int64_t *)c[ROW_SLOT].of.buf)[a];
        const int64_t to = ((const int64_t *)c[ROW_TO].of.buf)[a];
        if (slot < 0 || slot >= slots || to < 0 || to >= width)
            return refused("something is asked that is not there");
    }
    return true;
}

/* The scores of the numbers among the cells of one column of rows. */
static bool score_rows(Column *c, Py_ssize_t a, Py_ssize_t width, PyObject *pair, uint8_t number,
                       Slot *open)
{
    Column of[2] = {0};
    const Py_ssize_t rows = c[ROW_SCORES].count / width;
    bool fits = PyTuple_Check(pair) ? all_taken(pair, of, 2, 2) : refused("a column is a pair");
    if (fits && (of[0].size != 1 || of[1].size != 8 || of[0].count != rows || of[1].count != rows))
        fits = refused("cells of another shape");
    if (fits) {
        const uint8_t *kind = of[0].of.buf;
        const uint64_t *bits = of[1].of.buf;
        int64_t *to = (int64_t *)c[ROW_SCORES].of.buf + ((const int64_t *)c[ROW_TO].of.buf)[a];
        fits = opened_slot(c, ROW_CELL, ROW_KEY_FIRST, ROW_FORM, ROW_FAR_AT,
                           ((const int64_t *)c[ROW_SLOT].of.buf)[a], open);
        for (Py_ssize_t row = 0; fits && row < rows; row++) {
            if (kind[row] != number)
                continue;
            const int64_t key = bucket_of(bits[row]);
            const Py_ssize_t at = not_below(open->keys, 0, open->size, key);
            to[row * width] = score_at(open, place_of(open, at, key));
        }
    }
    released(of, 2);
    return fits;
}

static PyObject *row_scores(PyObject *self, PyObject *args)
{
    Column c[ROWS_ASKED] = {0};
    PyObject *columns, *cells, *result = NULL;
    Py_ssize_t width;
    int64_t *room = NULL;
    Slot slot;
    unsigned char number;
    (void)self;
    if (!PyArg_ParseTuple(args, "nbO!O!", &width, &number, &PyList_Type, &cells, &PyTuple_Type,
                          &columns))
        return NULL;
    if (!all_taken(columns, c, ROWS_ASKED, ROW_SCORES) || !rows_fit(c, width))
        goto done;
    if (PyList_GET_SIZE(cells) != c[ROW_SLOT].count) {
        refused("another number of columns of cells");
        goto done;
    }
    if (!(room = room_of(&c[ROW_CELL], &slot)))
        goto done;
    for (Py_ssize_t a = 0; a < c[ROW_SLOT].count; a++)
        if (!score_rows(c, a, width, PyList_GET_ITEM(cells, a), number, &slot))
            goto done;
    result = Py_NewRef(Py_None);
done:
    PyMem_Free(room);
    released(c, ROWS_ASKED);
    return result;
}

/* -- faults */

/* Kinds of values that count as faults: number, text, null, other of each feature and pane. */
enum { PLACE, TO, WEIGHTS, IS_ABSENT, NUMBERS, TEXTS, NULLS, OTHERS, ROWS, F_X, F_N, F_XX, FAULTS };

static bool faults_fit(const Column *c, Py_ssize_t width)
{
    const Py_ssize_t asked = c[PLACE].count, panes = c[ROWS].count;
    for (int i = 0; i < FAULTS; i++)
        if (c[i].size != (i == IS_ABSENT ? 1 : 8))
            return refused("columns of another type");
    if (c[TO].count != asked || c[WEIGHTS].count != 4 * asked || c[IS_ABSENT].count != asked)
        return refused("what is asked is of another shape");
    if (width < 0 || (panes && width > PY_SSIZE_T_MAX / panes) || c[F_X].count != panes * width ||
        c[F_N].count != panes * width || c[F_XX].count != panes * width)
        return refused("panes of another shape");
    for (int i = TEXTS; i <= OTHERS; i++)
        if (c[i].count != c[NUMBERS].count)
            return refused("features of another shape");
    for (Py_ssize_t a = 0; a < asked; a++) {
        const int64_t to = ((const int64_t *)c[TO].of.buf)[a];
        const int64_t place = ((const int64_t *)c[PLACE].of.buf)[a];
        if (to < 0 || to >= width || (panes && place >= c[NUMBERS].count / panes))
            return refused("something is asked that is not there");
    }
    return true;
}

static PyObject *faults(PyObject *self, PyObject *args)
{
    Column c[FAULTS] = {0};
    PyObject *columns, *result = NULL;
    Py_ssize_t width;
    (void)self;
    if (!PyArg_ParseTuple(args, "nO!", &width, &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, FAULTS, F_X) || !faults_fit(c, width))
        goto done;
    const Py_ssize_t panes = c[ROWS].count;
    const int64_t *rows = c[ROWS].of.buf;
    int64_t *x = c[F_X].of.buf, *n = c[F_N].of.buf, *xx = c[F_XX].of.buf;
    for (Py_ssize_t a = 0; a < c[PLACE].count; a++) {
        const int64_t place = ((const int64_t *)c[PLACE].of.buf)[a];
        const int64_t *weight = (const int64_t *)c[WEIGHTS].of.buf + 4 * a;
        for (Py_ssize_t p = 0; p < panes; p++) {
            const Py_ssize_t to = p * width + ((const int64_t *)c[TO].of.buf)[a];
            int64_t found = ((const uint8_t *)c[IS_ABSENT].of.buf)[a] ? rows[p] : 0;
            for (int kind = 0; place >= 0 && kind < 4; kind++)
                found = plus(found, times(weight[kind], ((const int64_t *)c[NUMBERS + kind].of.buf)
                                                            [place * panes + p]));
            x[to] = xx[to] = found;
            n[to] = rows[p];
        }
    }
    result = Py_NewRef(Py_None);
done:
    released(c, FAULTS);
    return result;
}

#endif
