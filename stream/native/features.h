/* The features of a prediction as cells, and what it shares with others: its shape, its group. */
#ifndef LEEWAY_FEATURES_H
#define LEEWAY_FEATURES_H

#include "batch.h"

static inline bool number_cell(Scanner *s, Cell *cell)
{
    Number n;
    double value;
    if (is_short_decimal(s, &value)) {
        cell->kind = NUMBER;
        memcpy(&cell->bits, &value, sizeof value);
        return true;
    }
    if (!number(s, &n) || !number_value(&n, &value))
        return false;
    cell->kind = fabs(value) <= LARGEST_NUMBER ? NUMBER : OTHER;
    if (cell->kind == NUMBER && fabs(value) >= SMALLEST_NUMBER)
        memcpy(&cell->bits, &value, sizeof value);
    return true;
}

/* Texts of features come again and again: where one is short, to know it again is quicker than to
 * hash it and look for it. */
static inline bool text_cell(Batch *b, Cell *cell)
{
    Text t;
    Short is;
    const size_t n = short_at(&b->s, &is);
    Familiar *before = NULL;
    cell->kind = TEXT;
    if (n) {
        before = b->familiar + ((is.first ^ is.second * PMX_2) * PMX_1 >> 57);
        if (before->text.first == is.first && before->text.second == is.second) {
            b->s.p += n;
            cell->bits = before->hash;
            return true;
        }
    }
    if (!text(&b->s, &t) || t.n > XXH3_LONGEST)
        return false;
    int32_t code = code_of(&b->texts, t, entry(&b->texts, cell->name)->last_value, NULL);
    if (code == NONE)
        return false;
    Entry *value = entry(&b->texts, code);
    value->is_value = true;
    entry(&b->texts, cell->name)->last_value = code;
    cell->bits = value->hash;
    if (before)
        *before = (Familiar){is, value->hash};
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

/* The name of the next feature, into `to`; false at the end, or where Python must look. `last`: what was
 * there in the record before, or NULL. */
static inline bool feature_name(Batch *b, const Between *last, Between *to, bool *first, bool *closed)
{
    Scanner *s = &b->s;
    Between next;
    next.raw.p = s->p;
    if (!member(s, '}', first, closed) || !text(s, &next.name) || next.name.n > XXH3_LONGEST)
        return false;
    next.code = code_of(&b->texts, next.name, last ? last->code : NONE, NULL);
    if (next.code == NONE || !colon(s))
        return false;
    next.raw.n = (size_t)(s->p - next.raw.p);
    *to = next;
    return true;
}

/* The features as cells, ascending by name; no name twice. */
static bool features(Batch *b)
{
    Scanner *s = &b->s;
    bool first = true, closed = false, ascends = true;
    size_t count = 0;
    const size_t expected = b->order.used / sizeof(Between);
    int32_t before = NONE;
    b->cells.used = 0;
    if (!take(s, '{'))
        return false;
    for (;; count++) {
        Between *last = count < expected ? (Between *)b->order.data + count : NULL, next;
        if (last && is_again(s, last)) {
            first = false;
        } else {
            if (!feature_name(b, last, last ? last : &next, &first, &closed))
                break;
            b->is_shape_known = false;
            if (!last && !pushed(&b->order, &next, sizeof next))
                return false;
            last = (Between *)b->order.data + count;
        }
        Cell *cell = count < b->most_features ? grown(&b->cells, sizeof *cell) : NULL;
        if (!cell)
            return false;
        *cell = (Cell){.name = last->code};
        if (!cell_value(b, cell))
            return false;
        b->cells.used += sizeof *cell;
        ascends &= cell->name > before;
        before = cell->name;
    }
    if (!closed)
        return false;
    b->is_shape_known &= count == expected;
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
    if (b->is_shape_known && given == b->last_given)
        return b->last_shape;
    b->shape.used = 0;
    int32_t *key = grown(&b->shape, (count + 1) * sizeof(int32_t));
    if (!key)
        return NONE;
    key[0] = given;
    for (size_t i = 0; i < count; i++)
        key[i + 1] = cells[i].name;
    Text t = {(const uint8_t *)key, (count + 1) * sizeof(int32_t)};
    b->last_shape = code_of(&b->shapes, t, b->last_shape, &b->arena);
    b->last_given = given;
    b->is_shape_known = b->last_shape != NONE;
    return b->last_shape;
}

static int32_t group_of(Batch *b, const int32_t *codes, size_t count)
{
    Text t = {(const uint8_t *)codes, count * sizeof(int32_t)};
    return b->last_group = code_of(&b->groups, t, b->last_group, &b->arena);
}

#endif
