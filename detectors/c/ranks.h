/* Evidence of a few panes: what `unit_reading` reads off counted cells. */
#ifndef LEEWAY_RANKS_H
#define LEEWAY_RANKS_H

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

/* Numbers that rise, of which the first is known and the steps are stored. */
static void opened(const Column *steps, Py_ssize_t from, Py_ssize_t count, int64_t first, int64_t *into)
{
    into[0] = first;
    for (Py_ssize_t i = 1; i < count; i++)
        into[i] = plus(into[i - 1], (int64_t)unsigned_at(steps, from + i));
}

enum {
    /* of each that is asked: its place among the features or -1, its slot, and its columns or -1 */
    FEATURE, SLOT, SHIFT, BEYOND, SHAPE,
    /* of each slot: its first cell, key and score, its first rise of a bin, its lowest and highest key */
    CELL, KEY_FIRST, SCORE_FIRST, RISE, ENDS,
    /* of each cell; of each place, which are two a cell and one; places at which the bin rises */
    KEY_STEPS, SCORE_STEPS, RISES,
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

/* Keys and scores of the largest slot: `keys` of them to the left. */
static int64_t *room_of(const Column *starts, Py_ssize_t *keys)
{
    const int64_t *at = starts->of.buf;
    *keys = 0;
    for (Py_ssize_t s = 0; s + 1 < starts->count; s++)
        *keys = at[s + 1] - at[s] > *keys ? at[s + 1] - at[s] : *keys;
    int64_t *room = PyMem_New(int64_t, 3 * *keys + 1);
    if (!room)
        PyErr_NoMemory();
    return room;
}

static bool ranks_fit(const Column *c, Py_ssize_t panes, Py_ssize_t width)
{
    const Py_ssize_t asked = c[SLOT].count, slots = c[KEY_FIRST].count, cells = c[PANE].count;
    for (int i = 0; i < RANKS; i++)
        if (i == KEY_STEPS || i == SCORE_STEPS || i == RISES ? !is_unsigned_size(&c[i]) : c[i].size != 8)
            return refused("columns of another type");
    if (c[FEATURE].count != asked || c[SHIFT].count != asked || c[BEYOND].count != asked ||
        c[SHAPE].count != asked)
        return refused("what is asked is of another shape");
    if (c[CELL].count != slots + 1 || c[SCORE_FIRST].count != slots || c[RISE].count != slots + 1 ||
        c[ENDS].count != 2 * slots || c[SCORE_STEPS].count != 2 * c[KEY_STEPS].count + slots)
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

/* One feature that is asked, in all panes. `keys`, `scores`: room for those of its slot. */
static bool read_feature(Column *c, Py_ssize_t a, Py_ssize_t panes, Py_ssize_t width, int64_t *keys,
                         int64_t *scores)
{
    const int64_t feature = ((const int64_t *)c[FEATURE].of.buf)[a];
    if (feature < 0)
        return true;
    const int64_t slot = ((const int64_t *)c[SLOT].of.buf)[a];
    const int64_t shift = ((const int64_t *)c[SHIFT].of.buf)[a];
    const int64_t beyond = ((const int64_t *)c[BEYOND].of.buf)[a];
    const int64_t shape = ((const int64_t *)c[SHAPE].of.buf)[a];
    const int64_t *cell = c[CELL].of.buf, *rise = c[RISE].of.buf;
    const int64_t *ends = (const int64_t *)c[ENDS].of.buf + 2 * slot;
    const int64_t *of = c[PANE].of.buf, *key = c[KEY].of.buf, *counts = c[COUNT].of.buf;
    const int64_t *number = c[NUMBER].of.buf;
    int64_t *x = c[OF_X].of.buf, *n = c[OF_N].of.buf, *xx = c[OF_XX].of.buf;
    const Py_ssize_t size = cell[slot + 1] - cell[slot], first = feature * panes;
    const Py_ssize_t low = not_below(of, 0, c[PANE].count, first);
    opened(&c[KEY_STEPS], cell[slot], size, ((const int64_t *)c[KEY_FIRST].of.buf)[slot], keys);
    opened(&c[SCORE_STEPS], 2 * cell[slot] + slot, 2 * size + 1,
           ((const int64_t *)c[SCORE_FIRST].of.buf)[slot], scores);
    Py_ssize_t at = 0;
    for (Py_ssize_t i = low; i < c[PANE].count && of[i] < first + panes; i++) {
        if (of[i] < first)
            return refused("panes that do not ascend");
        const Py_ssize_t p = of[i] - first;
        if (i == low || of[i] != of[i - 1] || key[i] < key[i - 1])
            at = 0;
        at = not_below(keys, at, size, key[i]);
        const Py_ssize_t place = 2 * at + (at < size && keys[at] == key[i]);
        const int64_t count = counts[i];
        if (shift >= 0) {
            const Py_ssize_t to = p * width + shift;
            const int64_t total = times(count, scores[place]);
            n[to] = plus(n[to], count);
            x[to] = plus(x[to], total);
            xx[to] = plus(xx[to], times(total, scores[place]));
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
    Py_ssize_t panes, width, most = 0;
    int64_t *room = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "nnO!", &panes, &width, &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, RANKS, OF_X) || !ranks_fit(c, panes, width))
        goto done;
    if (!(room = room_of(&c[CELL], &most)))
        goto done;
    for (Py_ssize_t a = 0; a < c[SLOT].count; a++)
        if (!read_feature(c, a, panes, width, room, room + most))
            goto done;
    result = Py_NewRef(Py_None);
done:
    PyMem_Free(room);
    released(c, RANKS);
    return result;
}

/* -- rows */

enum { ROW_SLOT, ROW_TO, ROW_CELL, ROW_KEY_FIRST, ROW_SCORE_FIRST, ROW_KEY_STEPS, ROW_SCORE_STEPS,
       ROW_SCORES, ROWS_ASKED };

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
        if (i == ROW_KEY_STEPS || i == ROW_SCORE_STEPS ? !is_unsigned_size(&c[i]) : c[i].size != 8)
            return refused("columns of another type");
    if (c[ROW_TO].count != asked || c[ROW_CELL].count != slots + 1 || width < 1 ||
        c[ROW_SCORE_FIRST].count != slots || c[ROW_SCORES].count % width ||
        c[ROW_SCORE_STEPS].count != 2 * c[ROW_KEY_STEPS].count + slots)
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
                       int64_t *keys, int64_t *scores)
{
    Column of[2] = {0};
    const Py_ssize_t rows = c[ROW_SCORES].count / width;
    bool fits = PyTuple_Check(pair) ? all_taken(pair, of, 2, 2) : refused("a column is a pair");
    if (fits && (of[0].size != 1 || of[1].size != 8 || of[0].count != rows || of[1].count != rows))
        fits = refused("cells of another shape");
    if (fits) {
        const uint8_t *kind = of[0].of.buf;
        const uint64_t *bits = of[1].of.buf;
        const int64_t slot = ((const int64_t *)c[ROW_SLOT].of.buf)[a];
        const int64_t *cell = c[ROW_CELL].of.buf;
        const Py_ssize_t size = cell[slot + 1] - cell[slot];
        int64_t *to = (int64_t *)c[ROW_SCORES].of.buf + ((const int64_t *)c[ROW_TO].of.buf)[a];
        opened(&c[ROW_KEY_STEPS], cell[slot], size, ((const int64_t *)c[ROW_KEY_FIRST].of.buf)[slot],
               keys);
        opened(&c[ROW_SCORE_STEPS], 2 * cell[slot] + slot, 2 * size + 1,
               ((const int64_t *)c[ROW_SCORE_FIRST].of.buf)[slot], scores);
        for (Py_ssize_t row = 0; row < rows; row++) {
            if (kind[row] != number)
                continue;
            const int64_t key = bucket_of(bits[row]);
            const Py_ssize_t at = not_below(keys, 0, size, key);
            to[row * width] = scores[2 * at + (at < size && keys[at] == key)];
        }
    }
    released(of, 2);
    return fits;
}

static PyObject *row_scores(PyObject *self, PyObject *args)
{
    Column c[ROWS_ASKED] = {0};
    PyObject *columns, *cells, *result = NULL;
    Py_ssize_t width, most = 0;
    int64_t *room = NULL;
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
    if (!(room = room_of(&c[ROW_CELL], &most)))
        goto done;
    for (Py_ssize_t a = 0; a < c[ROW_SLOT].count; a++)
        if (!score_rows(c, a, width, PyList_GET_ITEM(cells, a), number, room, room + most))
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
