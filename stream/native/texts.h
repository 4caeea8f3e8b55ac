/* The distinct texts of a batch (names of features, values, models, labels), numbered in the order
 * in which they come: a table with open addressing by XXH3. */
#ifndef LEEWAY_TEXTS_H
#define LEEWAY_TEXTS_H

#include "memory.h"
#include "scan.h"
#include "xxh3.h"

#define NONE (-1)
#define MOST_PROBES 200 /* only texts made to collide need as many: then Python reads them */

typedef struct {
    Text text;
    uint64_t hash;
    int32_t last_value; /* of a feature of this name: text seen last */
    bool is_value;      /* of a feature, or a label; not only a name */
    bool is_plain;      /* nothing in it has to be escaped in JSON */
} Entry;

typedef struct {
    Grown entries;
    int32_t *slots; /* code, or NONE */
    size_t mask;
} Texts;

static inline Entry *entry(const Texts *t, int32_t code) { return (Entry *)t->entries.data + code; }
static inline size_t texts_count(const Texts *t) { return t->entries.used / sizeof(Entry); }

static inline bool rehashed(Texts *t)
{
    size_t size = t->slots ? 2 * (t->mask + 1) : 256;
    int32_t *slots = PyMem_Malloc(size * sizeof(int32_t));
    if (!slots)
        return false;
    memset(slots, 0xFF, size * sizeof(int32_t));
    PyMem_Free(t->slots);
    t->slots = slots;
    t->mask = size - 1;
    for (size_t code = 0; code < texts_count(t); code++) {
        size_t at = entry(t, (int32_t)code)->hash & t->mask;
        while (slots[at] != NONE)
            at = (at + 1) & t->mask;
        slots[at] = (int32_t)code;
    }
    return true;
}

static inline uint64_t hash_of(Text t)
{
    uint64_t hash = 0;
    for (; t.n > XXH3_LONGEST; t.p += XXH3_LONGEST, t.n -= XXH3_LONGEST)
        hash = (hash ^ xxh3_64(t.p, XXH3_LONGEST)) * PMX_1;
    return hash ^ xxh3_64(t.p, t.n);
}

/* The code of a text, new if need be; NONE where there is no room for it. `guess`: probably it.
 * With an arena what is new is copied into it; without, the text stays where it is. */
static inline int32_t code_of(Texts *t, Text text, int32_t guess, Chunk **arena)
{
    if (guess != NONE && equals(text, entry(t, guess)->text.p, entry(t, guess)->text.n))
        return guess;
    if ((!t->slots || 2 * texts_count(t) > t->mask) && !rehashed(t))
        return NONE;
    uint64_t hash = hash_of(text);
    size_t at = hash & t->mask;
    for (int probes = 0; t->slots[at] != NONE; at = (at + 1) & t->mask) {
        Entry *e = entry(t, t->slots[at]);
        if (e->hash == hash && equals(text, e->text.p, e->text.n))
            return t->slots[at];
        if (++probes == MOST_PROBES)
            return NONE;
    }
    if (arena) {
        uint8_t *copy = kept(arena, text.n);
        if (!copy)
            return NONE;
        memcpy(copy, text.p, text.n);
        text.p = copy;
    }
    size_t code = texts_count(t);
    Entry made = {text, hash, NONE, false, true};
    for (size_t i = 0; i < text.n; i++)
        made.is_plain &= !ends_plain(text.p[i]);
    if (code >= INT32_MAX || !pushed(&t->entries, &made, sizeof made))
        return NONE;
    t->slots[at] = (int32_t)code;
    return (int32_t)code;
}

/* Whether the text at the scanner is this one, which is expected there; then it is behind it. */
static inline bool is_next(const Texts *t, int32_t code, Scanner *s)
{
    return code != NONE && entry(t, code)->is_plain && expected_text(s, entry(t, code)->text);
}

static inline void texts_given_back(Texts *t)
{
    PyMem_Free(t->entries.data);
    PyMem_Free(t->slots);
}

#endif
