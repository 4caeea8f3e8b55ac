/* A batch while it is read: what its records share, and one event at a time. */
#ifndef LEEWAY_BATCH_H
#define LEEWAY_BATCH_H

#include <stdlib.h>

#include "kinds.h"
#include "scan.h"
#include "texts.h"
#include "times.h"

enum { HAS_LABEL = 1, HAS_SCORE = 2, HAS_VALUE = 4, HAS_LATENCY = 8, HAS_FEATURE_SET = 16 };

#define LARGEST_NUMBER 1e100
#define SMALLEST_NUMBER 1e-100
#define LARGEST_REVISION (1ULL << 62)
#define LONGEST_ROLE 128
#define MOST_SEGMENTS 64
#define MOST_FIELDS 12 /* that are expected where they were in the record before */
#define INTEGER_DIGITS 18 /* of integers that are surely 64 bits */

typedef struct {
    int32_t name;
    uint8_t kind;
    uint64_t bits;
} Cell;

typedef struct {
    Scanner s;
    Chunk *arena;
    Texts texts;
    Texts groups; /* of codes of texts: model, or model, version and role */
    Texts shapes; /* flags of what is said, then codes of the features' names, ascending */
    Grown cells;  /* of the record that is read */
    Grown order;  /* what stood between the last record's features, in its order */
    Between fields[MOST_FIELDS]; /* and between its fields */
    Minute minute;
    Grown shape;  /* the key of a shape, while it is made */
    Grown kind, bits;
    Grown feature_sets; /* code of each row, from the first row on that names one */
    Texts segments;     /* pairs of codes: name and value, in the order of the event */
    Grown segment;      /* the key of one, while it is made */
    Grown of_segments;  /* code of each row, where they are asked for */
    bool reads_segments;
    int32_t last_group, last_shape, last_label, last_model, last_version, last_role, last_set,
        last_segment;
    size_t most_features;
} Batch;

typedef struct {
    Text id;
    int64_t time_ms, revision;
    int32_t model, version, role, label, feature_set, segment; /* codes of texts */
    double score, value, latency_ms;
    bool retracted;
} Event;

/* -- fields: false where Python must look */

static inline bool short_text(Scanner *s, Text *t, size_t longest)
{
    return text(s, t) && t->n >= 1 && t->n <= longest;
}

static inline bool named(Batch *b, int32_t *code, int32_t *last, size_t longest)
{
    Text t;
    if (is_next(&b->texts, *last, &b->s)) {
        *code = *last;
        return true;
    }
    if (!short_text(&b->s, &t, longest))
        return false;
    *code = *last = code_of(&b->texts, t, *last, NULL);
    return *code != NONE;
}

static inline bool event_time(Batch *b, int64_t *ms)
{
    if (*b->s.p == '"') {
        Text t;
        return text(&b->s, &t) && rfc3339_ms(t, &b->minute, ms);
    }
    Number n;
    if (!number(&b->s, &n) || !n.integral || n.negative || n.digits > INTEGER_DIGITS)
        return false;
    *ms = (int64_t)n.m;
    return *ms < LATEST_MS;
}

/* nan for null. */
static inline bool optional_number(Scanner *s, double *value)
{
    Number n;
    if (*s->p == 'n') {
        *value = NAN;
        return WORD(s, "null");
    }
    return number(s, &n) && number_value(&n, value) && !(n.negative && *value == 0);
}

static inline bool optional_label(Batch *b, int32_t *code)
{
    Scanner *s = &b->s;
    Text t;
    Number n;
    *code = NONE;
    switch (*s->p) {
    case '"':
        if (!text(s, &t) || t.n > XXH3_LONGEST)
            return false;
        break;
    case 't':
        t = (Text){(const uint8_t *)"true", 4};
        if (!WORD(s, "true"))
            return false;
        break;
    case 'f':
        t = (Text){(const uint8_t *)"false", 5};
        if (!WORD(s, "false"))
            return false;
        break;
    case 'n':
        return WORD(s, "null");
    default:
        if (!number(s, &n) || !n.integral || n.digits > INTEGER_DIGITS || (n.negative && n.m == 0))
            return false;
        t = (Text){n.start, (size_t)(s->p - n.start)};
    }
    *code = b->last_label = code_of(&b->texts, t, b->last_label, NULL);
    if (*code == NONE)
        return false;
    entry(&b->texts, *code)->is_value = true;
    return true;
}

/* NONE for null. */
static inline bool optional_text(Batch *b, int32_t *code, int32_t *last)
{
    Text t;
    *code = NONE;
    if (*b->s.p == 'n')
        return WORD(&b->s, "null");
    if (is_next(&b->texts, *last, &b->s)) {
        *code = *last;
        return true;
    }
    if (!text(&b->s, &t) || t.n > XXH3_LONGEST)
        return false;
    *code = *last = code_of(&b->texts, t, *last, NULL);
    if (*code == NONE)
        return false;
    entry(&b->texts, *code)->is_value = true;
    return true;
}

static inline bool boolean(Scanner *s, bool *value)
{
    *value = *s->p == 't';
    return *value ? WORD(s, "true") : WORD(s, "false");
}

/* An object of texts or numbers that nobody reads, or null. */
static bool skipped_object_of(Scanner *s, bool texts)
{
    bool first = true, closed = false;
    Text name;
    if (*s->p == 'n')
        return WORD(s, "null");
    if (!take(s, '{'))
        return false;
    while (member(s, '}', &first, &closed))
        if (!key(s, &name) || !(texts ? skipped_text(s) : skipped_number(s)))
            return false;
    return closed;
}

/* Texts by name, as the code of their pairs: NONE for null, and for none. No name twice. */
static bool segments(Batch *b, int32_t *code)
{
    Scanner *s = &b->s;
    bool first = true, closed = false;
    size_t count = 0;
    Text t;
    *code = NONE;
    b->segment.used = 0;
    if (*s->p == 'n')
        return WORD(s, "null");
    if (!take(s, '{'))
        return false;
    while (member(s, '}', &first, &closed)) {
        for (int part = 0; part < 2; part++) {
            if ((part && !colon(s)) || !text(s, &t) || t.n > XXH3_LONGEST)
                return false;
            const int32_t of = code_of(&b->texts, t, NONE, NULL);
            if (of == NONE || !pushed(&b->segment, &of, sizeof of))
                return false;
        }
        const int32_t *pairs = (const int32_t *)b->segment.data;
        for (size_t i = 0; i < count; i++)
            if (pairs[2 * i] == pairs[2 * count])
                return false;
        if (++count > MOST_SEGMENTS)
            return false;
    }
    if (closed && count) {
        Text pairs = {(const uint8_t *)b->segment.data, b->segment.used};
        *code = b->last_segment = code_of(&b->segments, pairs, b->last_segment, &b->arena);
    }
    return closed && (!count || *code != NONE);
}

/* -- features */

static inline bool number_cell(Scanner *s, Cell *cell)
{
    Number n;
    double value;
    if (!number(s, &n) || !number_value(&n, &value))
        return false;
    cell->kind = fabs(value) <= LARGEST_NUMBER ? NUMBER : OTHER;
    if (cell->kind == NUMBER && fabs(value) >= SMALLEST_NUMBER)
        memcpy(&cell->bits, &value, sizeof value);
    return true;
}

static inline bool text_cell(Batch *b, Cell *cell)
{
    Text t;
    if (!text(&b->s, &t) || t.n > XXH3_LONGEST)
        return false;
    int32_t code = code_of(&b->texts, t, entry(&b->texts, cell->name)->last_value, NULL);
    if (code == NONE)
        return false;
    Entry *value = entry(&b->texts, code);
    value->is_value = true;
    entry(&b->texts, cell->name)->last_value = code;
    cell->kind = TEXT;
    cell->bits = value->hash;
    return true;
}

static inline bool cell_value(Batch *b, Cell *cell)
{
    static const double ONE = 1.0;
    Scanner *s = &b->s;
    switch (*s->p) {
    case '"':
        return text_cell(b, cell);
    case 'n':
        cell->kind = NULL_CELL;
        return WORD(s, "null");
    case 't':
        cell->kind = NUMBER;
        memcpy(&cell->bits, &ONE, sizeof ONE);
        return WORD(s, "true");
    case 'f':
        cell->kind = NUMBER;
        return WORD(s, "false");
    case '{':
    case '[':
        cell->kind = OTHER;
        return skipped(s, 0);
    default:
        return number_cell(s, cell);
    }
}

static int by_name(const void *a, const void *b)
{
    int32_t x = ((const Cell *)a)->name, y = ((const Cell *)b)->name;
    return (x > y) - (x < y);
}

/* The name of the next feature; false at the end, or where Python must look. */
static inline bool feature_name(Batch *b, Between *last, Between *next, bool *first, bool *closed)
{
    Scanner *s = &b->s;
    if (last && is_again(s, last)) {
        *next = *last;
        *first = false;
        return true;
    }
    next->raw.p = s->p;
    if (!member(s, '}', first, closed) || !text(s, &next->name) || next->name.n > XXH3_LONGEST)
        return false;
    next->code = code_of(&b->texts, next->name, last ? last->code : NONE, NULL);
    if (next->code == NONE || !colon(s))
        return false;
    next->raw.n = (size_t)(s->p - next->raw.p);
    return true;
}

/* The features as cells, ascending by name; no name twice. */
static bool features(Batch *b)
{
    Scanner *s = &b->s;
    bool first = true, closed = false, ascends = true;
    size_t count = 0, expected = b->order.used / sizeof(Between);
    int32_t before = NONE;
    Between next;
    b->cells.used = 0;
    if (!take(s, '{'))
        return false;
    for (;; count++) {
        Between *last = count < expected ? (Between *)b->order.data + count : NULL;
        if (!feature_name(b, last, &next, &first, &closed))
            break;
        Cell cell = {.name = next.code};
        if (count == b->most_features || !cell_value(b, &cell) || !pushed(&b->cells, &cell, sizeof cell))
            return false;
        if (last) {
            *last = next;
        } else if (!pushed(&b->order, &next, sizeof next)) {
            return false;
        }
        ascends &= cell.name > before;
        before = cell.name;
    }
    if (!closed)
        return false;
    b->order.used = count * sizeof(Between);
    if (!ascends) {
        Cell *cells = (Cell *)b->cells.data;
        qsort(cells, count, sizeof(Cell), by_name);
        for (size_t i = 1; i < count; i++)
            if (cells[i].name == cells[i - 1].name)
                return false;
    }
    return true;
}

/* The code of the shape of the features just read and of what is said beside them. */
static int32_t shape_of(Batch *b, int32_t given)
{
    size_t count = b->cells.used / sizeof(Cell);
    const Cell *cells = (const Cell *)b->cells.data;
    b->shape.used = 0;
    int32_t *key = grown(&b->shape, (count + 1) * sizeof(int32_t));
    if (!key)
        return NONE;
    key[0] = given;
    for (size_t i = 0; i < count; i++)
        key[i + 1] = cells[i].name;
    Text t = {(const uint8_t *)key, (count + 1) * sizeof(int32_t)};
    return b->last_shape = code_of(&b->shapes, t, b->last_shape, &b->arena);
}

static int32_t group_of(Batch *b, const int32_t *codes, size_t count)
{
    Text t = {(const uint8_t *)codes, count * sizeof(int32_t)};
    return b->last_group = code_of(&b->groups, t, b->last_group, &b->arena);
}

/* -- one event */

static inline bool seen(unsigned *fields, unsigned field)
{
    bool before = *fields & field;
    *fields |= field;
    return before;
}

enum { ID = 1, MODEL = 2, VERSION = 4, TIME = 8, SAID = 16, FEATURES = 32, ROLE = 64, SEGMENT = 128,
       FEATURE_SET = 256, LATENCY = 512, REVISION = 1024, RETRACTED = 2048, LABEL = 4096,
       SCORE = 8192, VALUE = 16384, PROBABILITIES = 32768 };

#define IS(literal) equals(name, (const uint8_t *)literal, sizeof(literal) - 1)

/* `prediction` or `actual`. */
static bool said(Batch *b, Event *e, bool prediction)
{
    Scanner *s = &b->s;
    bool first = true, closed = false;
    unsigned fields = 0;
    Text name;
    if (!take(s, '{'))
        return false;
    while (member(s, '}', &first, &closed)) {
        bool ok;
        if (!key(s, &name))
            return false;
        if (IS("label"))
            ok = !seen(&fields, LABEL) && optional_label(b, &e->label);
        else if (IS("value"))
            ok = !seen(&fields, VALUE) && optional_number(s, &e->value);
        else if (prediction && IS("score"))
            ok = !seen(&fields, SCORE) && optional_number(s, &e->score);
        else if (prediction && IS("probabilities"))
            ok = !seen(&fields, PROBABILITIES) && skipped_object_of(s, false);
        else
            ok = skipped(s, 0);
        if (!ok)
            return false;
    }
    return closed && (e->label != NONE || !isnan(e->score) || !isnan(e->value));
}

static bool prediction_field(Batch *b, Event *e, Text name, unsigned *fields)
{
    Scanner *s = &b->s;
    switch (name.n) {
    case 4:
        if (IS("role"))
            return !seen(fields, ROLE) && named(b, &e->role, &b->last_role, LONGEST_ROLE);
        break;
    case 7:
        if (IS("segment"))
            return !seen(fields, SEGMENT) &&
                   (b->reads_segments ? segments(b, &e->segment) : skipped_object_of(s, true));
        break;
    case 8:
        if (IS("model_id"))
            return !seen(fields, MODEL) && named(b, &e->model, &b->last_model, XXH3_LONGEST);
        if (IS("features"))
            return !seen(fields, FEATURES) && features(b);
        break;
    case 10:
        if (IS("prediction"))
            return !seen(fields, SAID) && said(b, e, true);
        if (IS("latency_ms"))
            return !seen(fields, LATENCY) && optional_number(s, &e->latency_ms);
        break;
    case 11:
        if (IS("feature_set"))
            return !seen(fields, FEATURE_SET) && optional_text(b, &e->feature_set, &b->last_set);
        break;
    case 12:
        if (IS("predicted_at"))
            return !seen(fields, TIME) && event_time(b, &e->time_ms);
        break;
    case 13:
        if (IS("prediction_id"))
            return !seen(fields, ID) && short_text(s, &e->id, XXH3_LONGEST);
        if (IS("model_version"))
            return !seen(fields, VERSION) && named(b, &e->version, &b->last_version, XXH3_LONGEST);
        break;
    }
    return skipped(s, 0);
}

static bool outcome_field(Batch *b, Event *e, Text name, unsigned *fields)
{
    Scanner *s = &b->s;
    Number n;
    switch (name.n) {
    case 6:
        if (IS("actual"))
            return !seen(fields, SAID) && said(b, e, false);
        break;
    case 8:
        if (IS("model_id"))
            return !seen(fields, MODEL) && named(b, &e->model, &b->last_model, XXH3_LONGEST);
        if (IS("revision")) {
            if (seen(fields, REVISION) || !number(s, &n) || !n.integral || n.negative)
                return false;
            e->revision = (int64_t)n.m;
            return n.digits <= INTEGER_DIGITS;
        }
        break;
    case 9:
        if (IS("retracted"))
            return !seen(fields, RETRACTED) && boolean(s, &e->retracted);
        break;
    case 11:
        if (IS("observed_at"))
            return !seen(fields, TIME) && event_time(b, &e->time_ms);
        break;
    case 13:
        if (IS("prediction_id"))
            return !seen(fields, ID) && short_text(s, &e->id, XXH3_LONGEST);
        break;
    }
    return skipped(s, 0);
}

typedef bool Field(Batch *, Event *, Text, unsigned *);

/* The event of one record; false where Python must read it. */
static bool parsed(Batch *b, const uint8_t *p, size_t n, Field *field, unsigned required, Event *e)
{
    bool first = true, closed = false;
    unsigned fields = 0;
    Text name;
    *e = (Event){.model = NONE, .version = NONE, .role = NONE, .label = NONE,
                 .feature_set = NONE, .segment = NONE, .score = NAN, .value = NAN, .latency_ms = NAN, .revision = 1};
    b->s = (Scanner){p, p + n, &b->arena};
    if (!is_ascii(p, n) && !is_utf8(p, n))
        return false;
    space(&b->s);
    if (!take(&b->s, '{'))
        return false;
    for (size_t at = 0;; at++) {
        Between *last = at < MOST_FIELDS ? &b->fields[at] : NULL, next;
        if (last && is_again(&b->s, last)) {
            name = last->name;
            first = false;
        } else {
            next.raw.p = b->s.p;
            if (!member(&b->s, '}', &first, &closed))
                break;
            if (!key(&b->s, &name))
                return false;
            next.raw.n = (size_t)(b->s.p - next.raw.p);
            next.name = name;
            if (last)
                *last = next;
        }
        if (!field(b, e, name, &fields))
            return false;
    }
    space(&b->s);
    return closed && b->s.p == b->s.end && (fields & required) == required;
}

#endif
