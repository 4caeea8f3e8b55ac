/* JSON, read once from left to right. Every function is false (or NULL) for what it is not certain
 * about: the record is then read again in Python, which knows what is wrong with it.
 *
 * The text ends with a byte 0 that belongs to it (of a Python bytes object): no rule accepts it, so
 * that none reads on behind it.
 */
#ifndef LEEWAY_SCAN_H
#define LEEWAY_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"
#include "number.h"

#define DEEPEST 64 /* of what is skipped; deeper is left to Python */

typedef struct {
    const uint8_t *p;
    const uint8_t *end;
    Chunk **arena;
} Scanner;

typedef struct {
    const uint8_t *p;
    size_t n;
} Text;

static inline void space(Scanner *s)
{
    while (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r')
        s->p++;
}

static inline bool take(Scanner *s, uint8_t c)
{
    if (*s->p != c)
        return false;
    s->p++;
    return true;
}

static inline bool word(Scanner *s, const char *text, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

#define WORD(s, text) word(s, text, sizeof(text) - 1)

/* memcmp, in line: most texts are short. What is left of one is compared with what is before it. */
static inline bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t x, y;
    if (n >= 8) {
        const size_t last = n - 8;
        for (size_t i = 0; i < last; i += 8) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
            if (x != y)
                return false;
        }
        memcpy(&x, a + last, 8);
        memcpy(&y, b + last, 8);
        return x == y;
    }
    if (n >= 4) {
        uint32_t first, other, last, last_other;
        memcpy(&first, a, 4);
        memcpy(&other, b, 4);
        memcpy(&last, a + n - 4, 4);
        memcpy(&last_other, b + n - 4, 4);
        return first == other && last == last_other;
    }
    for (; n; a++, b++, n--)
        if (*a != *b)
            return false;
    return true;
}

static inline bool equals(Text a, const uint8_t *p, size_t n) { return a.n == n && same(a.p, p, n); }

/* -- UTF-8 */

static inline bool is_ascii(const uint8_t *p, size_t n)
{
    uint64_t any = 0, eight;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&eight, p, 8);
        any |= eight;
    }
    for (; n; p++, n--)
        any |= *p;
    return (any & 0x8080808080808080ULL) == 0;
}

/* As Python's strict decoder has it: no surrogates, nothing longer than needed. */
static inline bool is_utf8(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    while (p < end) {
        uint8_t c = *p++;
        if (c < 0x80)
            continue;
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        if (c < 0xC2 || c > 0xF4 || end - p < more)
            return false;
        uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
        uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
        if (*p < low || *p > high)
            return false;
        for (p++; --more; p++)
            if ((*p & 0xC0) != 0x80)
                return false;
    }
    return true;
}

/* -- strings */

static inline bool ends_plain(uint8_t c) { return c < 0x20 || c == '"' || c == '\\'; }

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Of eight bytes: the lowest bit set is of the first that ends plain text, 0 where none does. */
static inline uint64_t ends_among(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101ULL, highs = 0x8080808080808080ULL;
    const uint64_t quote = eight ^ ones * '"', escape = eight ^ ones * '\\';
    return (((quote - ones) & ~quote) | ((escape - ones) & ~escape) | /* one that is 0, or */
            ((eight - ones * 0x20) & ~eight)) & highs;                /* is below a blank */
}
#endif

/* The first byte at or behind `p` that ends plain text. */
static inline const uint8_t *plain_end(const uint8_t *p, const uint8_t *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; end - p >= 8; p += 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        const uint64_t found = ends_among(eight);
        if (found)
            return p + __builtin_ctzll(found) / 8;
    }
#else
    (void)end;
#endif
    while (!ends_plain(*p))
        p++;
    return p;
}

/* A plain text of 1 to 15 bytes as two integers, zeros behind it: what says all of it. */
typedef struct {
    uint64_t first, second;
} Short;

/* The text at the scanner, if it is short and plain: its bytes and both quotes; else 0. */
static inline size_t short_at(const Scanner *s, Short *to)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint8_t *p = s->p + 1;
    size_t n;
    if (*s->p != '"' || s->end - p < 16)
        return 0;
    memcpy(to, p, 16);
    uint64_t found = ends_among(to->first);
    if (found) {
        n = (size_t)__builtin_ctzll(found) / 8;
        to->first &= (1ULL << 8 * n) - 1;
        to->second = 0;
    } else {
        found = ends_among(to->second);
        if (!found)
            return 0;
        n = (size_t)__builtin_ctzll(found) / 8;
        to->second &= (1ULL << 8 * n) - 1;
        n += 8;
    }
    return n && p[n] == '"' ? n + 2 : 0;
#else
    (void)s, (void)to;
    return 0;
#endif
}

static inline int hex(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `p`, or -1. Stops at the first that is none. */
static inline int32_t hex4(const uint8_t *p)
{
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex(p[i]);
        if (digit < 0)
            return -1;
        code = 16 * code + digit;
    }
    return code;
}

static inline size_t put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80)
        return to[0] = (uint8_t)c, 1;
    if (c < 0x800)
        return to[0] = (uint8_t)(0xC0 | c >> 6), to[1] = (uint8_t)(0x80 | (c & 0x3F)), 2;
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        return to[2] = (uint8_t)(0x80 | (c & 0x3F)), 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    return to[3] = (uint8_t)(0x80 | (c & 0x3F)), 4;
}

/* One escape behind its backslash, as UTF-8 (never longer than its text); what follows it. */
static inline const uint8_t *unescaped(const uint8_t *p, uint8_t *to, size_t *n)
{
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    if (*p != 'u') {
        const char *name = *p ? strchr(NAMES, *p) : NULL;
        if (!name)
            return NULL;
        *to = (uint8_t)MEANT[name - NAMES];
        *n = 1;
        return p + 1;
    }
    int32_t code = hex4(p + 1);
    if (code < 0 || (code >= 0xDC00 && code < 0xE000))
        return NULL;
    p += 5;
    if (code >= 0xD800 && code < 0xDC00) {
        int32_t low = p[0] == '\\' && p[1] == 'u' ? hex4(p + 2) : -1;
        if (low < 0xDC00 || low >= 0xE000)
            return NULL;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *n = put_utf8(to, (uint32_t)code);
    return p;
}

static __attribute__((noinline)) bool text_with_escapes(Scanner *s, const uint8_t *start, Text *t)
{
    const uint8_t *p = s->p;
    for (; *p != '"'; p++) { /* to the closing quote */
        if (*p < 0x20)
            return false;
        if (*p == '\\' && *++p < 0x20)
            return false;
    }
    uint8_t *to = kept(s->arena, (size_t)(p - start));
    if (!to)
        return false;
    t->p = to;
    for (p = start; *p != '"';) {
        size_t n = 1;
        if (*p == '\\') {
            p = unescaped(p + 1, to, &n);
            if (!p)
                return false;
        } else {
            *to = *p++;
        }
        to += n;
    }
    t->n = (size_t)(to - t->p);
    s->p = p + 1;
    return true;
}

static inline __attribute__((always_inline)) bool text(Scanner *s, Text *t)
{
    if (!take(s, '"'))
        return false;
    const uint8_t *start = s->p;
    s->p = plain_end(s->p, s->end);
    *t = (Text){start, (size_t)(s->p - start)};
    return take(s, '"') || (*s->p == '\\' && text_with_escapes(s, start, t));
}

/* The very text that is expected: quicker than to read one and compare. It holds nothing that would
 * have been escaped. */
static inline bool expected_text(Scanner *s, Text plain)
{
    if ((size_t)(s->end - s->p) < plain.n + 2 || *s->p != '"' || s->p[plain.n + 1] != '"' ||
        !same(s->p + 1, plain.p, plain.n))
        return false;
    s->p += plain.n + 2;
    return true;
}

static inline bool colon(Scanner *s)
{
    space(s);
    if (!take(s, ':'))
        return false;
    space(s);
    return true;
}

static inline __attribute__((always_inline)) bool number(Scanner *s, Number *n)
{
    const uint8_t *behind = scanned_number(s->p, s->end, n);
    if (!behind)
        return false;
    s->p = behind;
    return true;
}

static inline __attribute__((always_inline)) bool is_short_decimal(Scanner *s, double *value)
{
    const uint8_t *behind = short_decimal(s->p, s->end, value);
    if (behind)
        s->p = behind;
    return behind;
}

/* -- structure */

/* Before a member of an object or array: true if there is one; at its end `*closed` is set, and
 * false is certain. */
static inline bool member(Scanner *s, uint8_t close, bool *first, bool *closed)
{
    space(s);
    if (take(s, close)) {
        *closed = true;
        return false;
    }
    if (!*first) {
        if (!take(s, ','))
            return false;
        space(s);
        if (*s->p == close)
            return false;
    }
    *first = false;
    return true;
}

static inline bool key(Scanner *s, Text *name)
{
    return text(s, name) && colon(s);
}

/* From behind a value to before the next: what stands there is most often what stood there in the
 * record before, and is then known to be right. */
typedef struct {
    Text raw; /* comma, name and colon as they were written; empty at first */
    Text name;
    int32_t code;
} Between;

static inline bool is_again(Scanner *s, const Between *last)
{
    if (!last->raw.n || (size_t)(s->end - s->p) < last->raw.n || !same(s->p, last->raw.p, last->raw.n))
        return false;
    s->p += last->raw.n;
    space(s);
    return true;
}

static bool skipped_text(Scanner *s)
{
    uint8_t unused[4];
    size_t n;
    if (!take(s, '"'))
        return false;
    for (;;) {
        while (!ends_plain(*s->p))
            s->p++;
        if (*s->p != '\\')
            return take(s, '"');
        const uint8_t *behind = unescaped(s->p + 1, unused, &n);
        if (!behind)
            return false;
        s->p = behind;
    }
}

/* A number that surely is a double: what nobody reads may be more, what is a feature may not. */
static bool skipped_number(Scanner *s)
{
    Number n;
    return number(s, &n) && n.digits < 100 && n.exponent > -200 && n.exponent < 200;
}

static bool skipped(Scanner *s, int depth);

static bool skipped_members(Scanner *s, uint8_t close, int depth)
{
    bool first = true, closed = false;
    Text name;
    while (member(s, close, &first, &closed))
        if ((close == '}' && !key(s, &name)) || !skipped(s, depth))
            return false;
    return closed;
}

static bool skipped(Scanner *s, int depth)
{
    switch (*s->p) {
    case '"':
        return skipped_text(s);
    case '{':
    case '[':
        if (depth == DEEPEST)
            return false;
        s->p++;
        return skipped_members(s, s->p[-1] == '{' ? '}' : ']', depth + 1);
    case 't':
        return WORD(s, "true");
    case 'f':
        return WORD(s, "false");
    case 'n':
        return WORD(s, "null");
    default:
        return skipped_number(s);
    }
}

#endif
