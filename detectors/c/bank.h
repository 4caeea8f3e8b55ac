/* A bank of CUSUMs over some panes: what `CusumBank._advance` does. */
#ifndef LEEWAY_BANK_H
#define LEEWAY_BANK_H

/* Of each series its kind; of each kind where its constants begin, and the last ones end; constants of
 * the cells of each kind; panes; state of the cells of each series, one series behind the other. */
enum { KIND, START, GAIN, COST, HEIGHT, POSITION, X, N, WHICH, HELD, ACCOUNT, N_SINCE, X_SINCE, SINCE, BANK };

/* What a series that crossed tells: as many columns of the answer. */
typedef struct {
    int64_t series, pane, cell, account, height, since, n, x;
} Told;

static inline int64_t height_of(const Column *height, int64_t unit, Py_ssize_t cell)
{
    const int64_t steps = signed_at(height, cell);
    if (height->size == 8)
        return steps;
    return steps == FAR ? NEVER : times(steps, unit);
}

static bool bank_fits(const Column *c)
{
    const Py_ssize_t constants = c[GAIN].count, panes = c[POSITION].count, series = c[HELD].count;
    const Py_ssize_t asked = c[WHICH].count;
    if (!is_unsigned_size(&c[KIND]) || !is_unsigned_size(&c[START]) || c[HELD].size != 1)
        return refused("kinds or held of another type");
    if (c[KIND].count != series || c[START].count < 1)
        return refused("kinds of another shape");
    for (int i = GAIN; i <= HEIGHT; i++)
        if (!is_signed_size(&c[i]) || c[i].count != constants)
            return refused("constants of another shape");
    uint64_t before = 0, cells = 0;
    for (Py_ssize_t i = 0; i < c[START].count; before = unsigned_at(&c[START], i++))
        if (unsigned_at(&c[START], i) < before)
            return refused("kinds that do not ascend");
    if (unsigned_at(&c[START], 0) || before != (uint64_t)constants)
        return refused("kinds of another size");
    for (Py_ssize_t s = 0; s < series; s++) {
        const uint64_t kind = unsigned_at(&c[KIND], s);
        if (kind + 1 >= (uint64_t)c[START].count)
            return refused("a kind that is not there");
        cells += unsigned_at(&c[START], (Py_ssize_t)kind + 1) - unsigned_at(&c[START], (Py_ssize_t)kind);
    }
    for (int i = ACCOUNT; i <= SINCE; i++)
        if (c[i].size != 8 || (uint64_t)c[i].count != cells)
            return refused("state of another shape");
    if (c[POSITION].size != 8 || c[WHICH].size != 8 || c[X].size != 8 || c[N].size != 8)
        return refused("panes of another type");
    if ((panes && asked > PY_SSIZE_T_MAX / panes) || c[X].count != panes * asked ||
        c[N].count != panes * asked)
        return refused("panes of another shape");
    const int64_t *which = c[WHICH].of.buf, *n = c[N].of.buf;
    for (Py_ssize_t j = 0; j < asked; j++)
        if (which[j] < (j ? which[j - 1] + 1 : 0) || which[j] >= series)
            return refused("series that are not there, or do not ascend");
    for (Py_ssize_t j = 0; j < asked; j++) {
        int64_t total = 0;
        for (Py_ssize_t p = 0; p < panes; p++) {
            const int64_t count = n[p * asked + j];
            if (count < 0 || count > MOST_VALUES || (total += count) > MOST_VALUES)
                return refused("a negative number of values, or more than 2^30 in one update");
        }
    }
    return true;
}

/* The cells [low, high) of one series, whose constants are `apart` places before, column j of what is asked, through the panes up to the one
 * with which it tells; that, or `panes`. */
static Py_ssize_t followed(Column *c, int64_t unit, Py_ssize_t low, Py_ssize_t high, Py_ssize_t apart,
                           Py_ssize_t j)
{
    const Py_ssize_t panes = c[POSITION].count, asked = c[WHICH].count;
    const int64_t *position = c[POSITION].of.buf, *xs = c[X].of.buf, *ns = c[N].of.buf;
    int64_t *account = c[ACCOUNT].of.buf, *n_since = c[N_SINCE].of.buf;
    int64_t *x_since = c[X_SINCE].of.buf, *since = c[SINCE].of.buf;
    for (Py_ssize_t p = 0; p < panes; p++) {
        const int64_t n = ns[p * asked + j], x = xs[p * asked + j];
        if (!n)
            continue;
        bool tells = false;
        for (Py_ssize_t i = low; i < high; i++) {
            const int64_t before = account[i];
            const int64_t step = plus(times(signed_at(&c[GAIN], i - apart), x),
                                      times(signed_at(&c[COST], i - apart), n));
            const int64_t now = plus(before, step);
            if (now <= 0) {
                account[i] = n_since[i] = x_since[i] = since[i] = 0;
                continue;
            }
            account[i] = now;
            if (before == 0) {
                n_since[i] = n;
                x_since[i] = x;
                since[i] = position[p];
            } else {
                n_since[i] = plus(n_since[i], n);
                x_since[i] = plus(x_since[i], x);
            }
            tells |= now >= height_of(&c[HEIGHT], unit, i - apart);
        }
        if (tells)
            return p;
    }
    return panes;
}

static int earlier(const void *a, const void *b)
{
    const Told *one = a, *other = b;
    if (one->pane != other->pane)
        return one->pane < other->pane ? -1 : 1;
    return (one->series > other->series) - (one->series < other->series);
}

/* The likeliest of the cells that crossed; the series is held. */
static Told told_of(Column *c, int64_t unit, Py_ssize_t low, Py_ssize_t high, Py_ssize_t apart,
                    int64_t series, int64_t pane)
{
    int64_t *account = c[ACCOUNT].of.buf, *n_since = c[N_SINCE].of.buf;
    int64_t *x_since = c[X_SINCE].of.buf, *since = c[SINCE].of.buf;
    Py_ssize_t best = low;
    int64_t most = -1;
    for (Py_ssize_t i = low; i < high; i++)
        if (account[i] > most && account[i] >= height_of(&c[HEIGHT], unit, i - apart)) {
            best = i;
            most = account[i];
        }
    const Told found = {series, pane, best - apart, account[best],
                        height_of(&c[HEIGHT], unit, best - apart), since[best], n_since[best],
                        x_since[best]};
    for (Py_ssize_t i = low; i < high; i++)
        account[i] = n_since[i] = x_since[i] = since[i] = 0;
    ((uint8_t *)c[HELD].of.buf)[series] = 1;
    return found;
}

static PyObject *bank(PyObject *self, PyObject *args)
{
    Column c[BANK] = {0};
    PyObject *columns, *result = NULL;
    long long unit;
    Told *told = NULL;
    Py_ssize_t count = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "LO!", &unit, &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, BANK, HELD) || !bank_fits(c))
        goto done;
    const Py_ssize_t asked = c[WHICH].count;
    const int64_t *which = c[WHICH].of.buf;
    const uint8_t *held = c[HELD].of.buf;
    if (!(told = PyMem_Malloc((size_t)(asked ? asked : 1) * sizeof *told))) {
        PyErr_NoMemory();
        goto done;
    }
    Py_ssize_t low = 0, series = 0;
    for (Py_ssize_t j = 0; j < asked; series++) {
        const Py_ssize_t kind = (Py_ssize_t)unsigned_at(&c[KIND], series);
        const Py_ssize_t constants = (Py_ssize_t)unsigned_at(&c[START], kind);
        const Py_ssize_t high = low + (Py_ssize_t)unsigned_at(&c[START], kind + 1) - constants;
        if (which[j] == series) {
            if (low < high && !held[series]) {
                const Py_ssize_t pane = followed(c, unit, low, high, low - constants, j);
                if (pane < c[POSITION].count)
                    told[count++] = told_of(c, unit, low, high, low - constants, series, pane);
            }
            j++;
        }
        low = high;
    }
    if (count > 1)
        qsort(told, (size_t)count, sizeof *told, earlier);
    result = count ? PyBytes_FromStringAndSize((char *)told, count * (Py_ssize_t)sizeof *told)
                   : Py_NewRef(Py_None);
done:
    PyMem_Free(told);
    released(c, BANK);
    return result;
}

#endif
