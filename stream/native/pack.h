/* MessagePack, as snapshot.py writes it: arrays are extensions that say their dtype. */
#ifndef LEEWAY_PACK_H
#define LEEWAY_PACK_H

#include "memory.h"

#define WORTH_NARROWING 128 /* as in plain_panes.py */

static inline bool put_byte(Grown *to, uint8_t byte) { return pushed(to, &byte, 1); }

/* A number of so many bytes, the greatest first. */
static bool put_big(Grown *to, uint64_t number, int bytes)
{
    uint8_t cells[8];
    for (int i = 0; i < bytes; i++)
        cells[i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
    return pushed(to, cells, (size_t)bytes);
}

static bool put_head(Grown *to, uint8_t head, uint64_t number, int bytes)
{
    return put_byte(to, head) && put_big(to, number, bytes);
}

static bool put_uint(Grown *to, uint64_t number)
{
    if (number < 128)
        return put_byte(to, (uint8_t)number);
    if (number <= UINT8_MAX)
        return put_head(to, 0xCC, number, 1);
    if (number <= UINT16_MAX)
        return put_head(to, 0xCD, number, 2);
    return number <= UINT32_MAX ? put_head(to, 0xCE, number, 4) : put_head(to, 0xCF, number, 8);
}

static bool put_size(Grown *to, size_t n, uint8_t few, uint8_t more)
{
    if (n < 16)
        return put_byte(to, (uint8_t)(few | n));
    return n <= UINT16_MAX ? put_head(to, more, n, 2) : put_head(to, (uint8_t)(more + 1), n, 4);
}

static inline bool put_list(Grown *to, size_t n) { return put_size(to, n, 0x90, 0xDC); }
static inline bool put_map(Grown *to, size_t n) { return put_size(to, n, 0x80, 0xDE); }

static bool put_text(Grown *to, const char *text, size_t n)
{
    bool ok;
    if (n < 32)
        ok = put_byte(to, (uint8_t)(0xA0 | n));
    else if (n <= UINT8_MAX)
        ok = put_head(to, 0xD9, n, 1);
    else
        ok = n <= UINT16_MAX ? put_head(to, 0xDA, n, 2) : put_head(to, 0xDB, n, 4);
    return ok && pushed(to, text, n);
}

static inline bool put_name(Grown *to, const char *name) { return put_text(to, name, strlen(name)); }

/* What stands before the cells of an array of this kind ("<i8"). */
static bool array_opened(Grown *to, const char *kind, size_t bytes)
{
    const size_t n = 4 + bytes;
    bool ok;
    if (n == 4 || n == 8 || n == 16) /* never 1 or 2 */
        ok = put_byte(to, n == 4 ? 0xD6 : n == 8 ? 0xD7 : 0xD8);
    else if (n <= UINT8_MAX)
        ok = put_head(to, 0xC7, n, 1);
    else
        ok = n <= UINT16_MAX ? put_head(to, 0xC8, n, 2) : put_head(to, 0xC9, n, 4);
    return ok && put_byte(to, 1) && put_byte(to, 3) && pushed(to, kind, 3);
}

static bool put_array(Grown *to, const char *kind, const void *cells, size_t bytes)
{
    return bytes <= UINT32_MAX - 4 && array_opened(to, kind, bytes) && (!bytes || pushed(to, cells, bytes));
}

#define NARROWED(type, kind)                                                                        \
    do {                                                                                            \
        char *cells;                                                                                \
        if (!array_opened(to, kind, n * sizeof(type)) || !(cells = grown(to, n * sizeof(type))))    \
            return false;                                                                           \
        for (size_t i = 0; i < n; i++) {                                                            \
            const type cell = (type)of[i];                                                          \
            memcpy(cells + i * sizeof cell, &cell, sizeof cell);                                    \
        }                                                                                           \
        to->used += n * sizeof(type);                                                               \
        return true;                                                                                \
    } while (0)

/* Integers in no more bytes than the largest of them needs, where they are many. */
static bool put_ints(Grown *to, const int64_t *of, size_t n)
{
    int64_t low = 0, high = 0;
    if (n < WORTH_NARROWING)
        return put_array(to, "<i8", of, 8 * n);
    for (size_t i = 0; i < n; i++) {
        low = of[i] < low ? of[i] : low;
        high = of[i] > high ? of[i] : high;
    }
    if (low >= INT8_MIN && high <= INT8_MAX)
        NARROWED(int8_t, "|i1");
    if (low >= INT16_MIN && high <= INT16_MAX)
        NARROWED(int16_t, "<i2");
    if (low >= INT32_MIN && high <= INT32_MAX)
        NARROWED(int32_t, "<i4");
    return put_array(to, "<i8", of, 8 * n);
}

#endif
