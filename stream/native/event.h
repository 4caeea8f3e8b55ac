/* One event: what its record says. */
#ifndef LEEWAY_EVENT_H
#define LEEWAY_EVENT_H

#include "features.h"
#include "fields.h"

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

static __attribute__((noinline)) bool prediction_field(Batch *b, Event *e, Text name, unsigned *fields)
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
static inline __attribute__((always_inline)) bool parsed(Batch *b, const uint8_t *p, size_t n, Field *field, unsigned required, Event *e)
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
