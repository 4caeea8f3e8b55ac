/* The fields of an event: false where Python must look. */
#ifndef LEEWAY_FIELDS_H
#define LEEWAY_FIELDS_H

#include "batch.h"

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
    if (is_short_decimal(s, value))
        return true;
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

#endif
