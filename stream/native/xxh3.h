/* XXH3, 64 and 128 bits, seed 0, of at most 240 bytes: what ids and texts are hashed by.
 *
 * Written from the specification of xxHash (Yann Collet, doc/xxhash_spec.md); the tests hold it
 * against the package of that name, byte for byte.
 */
#ifndef LEEWAY_XXH3_H
#define LEEWAY_XXH3_H

#include <stdint.h>
#include <string.h>

#define XXH3_LONGEST 240

static const uint8_t XXH3_SECRET[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

#define P32_2 0x85EBCA77U
#define P64_1 0x9E3779B185EBCA87ULL
#define P64_2 0xC2B2AE3D27D4EB4FULL
#define P64_3 0x165667B19E3779F9ULL
#define P64_4 0x85EBCA77C2B2AE63ULL
#define PMX_1 0x165667919E3779F9ULL
#define PMX_2 0x9FB21C651E98DF25ULL

typedef struct {
    uint64_t low, high;
} Hash128;

static inline uint32_t read32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t read64(const uint8_t *p)
{
    return read32(p) | (uint64_t)read32(p + 4) << 32;
}

static inline uint64_t secret(size_t at) { return read64(XXH3_SECRET + at); }

static inline uint64_t swap64(uint64_t x)
{
    x = (x & 0x00FF00FF00FF00FFULL) << 8 | (x >> 8 & 0x00FF00FF00FF00FFULL);
    x = (x & 0x0000FFFF0000FFFFULL) << 16 | (x >> 16 & 0x0000FFFF0000FFFFULL);
    return x << 32 | x >> 32;
}

static inline uint32_t swap32(uint32_t x)
{
    return x << 24 | (x & 0xFF00U) << 8 | (x >> 8 & 0xFF00U) | x >> 24;
}

static inline uint64_t rotl64(uint64_t x, int by) { return x << by | x >> (64 - by); }
static inline uint32_t rotl32(uint32_t x, int by) { return x << by | x >> (32 - by); }

static inline Hash128 mult128(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;
    return (Hash128){(uint64_t)product, (uint64_t)(product >> 64)};
#else
    uint64_t ll = (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF), hl = (a >> 32) * (b & 0xFFFFFFFF);
    uint64_t lh = (a & 0xFFFFFFFF) * (b >> 32), hh = (a >> 32) * (b >> 32);
    uint64_t cross = (ll >> 32) + (hl & 0xFFFFFFFF) + lh;
    return (Hash128){cross << 32 | (ll & 0xFFFFFFFF), (hl >> 32) + (cross >> 32) + hh};
#endif
}

static inline uint64_t mult_fold(uint64_t a, uint64_t b)
{
    Hash128 product = mult128(a, b);
    return product.low ^ product.high;
}

static inline uint64_t avalanche(uint64_t h)
{
    h = (h ^ h >> 37) * PMX_1;
    return h ^ h >> 32;
}

static inline uint64_t avalanche64(uint64_t h)
{
    h = (h ^ h >> 33) * P64_2;
    h = (h ^ h >> 29) * P64_3;
    return h ^ h >> 32;
}

static inline uint64_t mix16(const uint8_t *p, size_t at)
{
    return mult_fold(read64(p) ^ secret(at), read64(p + 8) ^ secret(at + 8));
}

/* -- 64 bits */

static inline uint64_t xxh3_64(const uint8_t *p, size_t n)
{
    if (n == 0)
        return avalanche64(secret(56) ^ secret(64));
    if (n <= 3) {
        uint32_t combined = (uint32_t)p[0] << 16 | (uint32_t)p[n >> 1] << 24 | p[n - 1] | (uint32_t)n << 8;
        return avalanche64(combined ^ (uint64_t)(read32(XXH3_SECRET) ^ read32(XXH3_SECRET + 4)));
    }
    if (n <= 8) {
        uint64_t both = read32(p + n - 4) | (uint64_t)read32(p) << 32;
        uint64_t h = both ^ (secret(8) ^ secret(16));
        h ^= rotl64(h, 49) ^ rotl64(h, 24);
        h *= PMX_2;
        h ^= (h >> 35) + n;
        h *= PMX_2;
        return h ^ h >> 28;
    }
    if (n <= 16) {
        uint64_t low = read64(p) ^ (secret(24) ^ secret(32));
        uint64_t high = read64(p + n - 8) ^ (secret(40) ^ secret(48));
        return avalanche(n + swap64(low) + high + mult_fold(low, high));
    }
    uint64_t acc = n * P64_1;
    if (n <= 128) {
        for (int i = (int)((n - 1) / 32); i >= 0; i--) {
            acc += mix16(p + 16 * i, 32 * (size_t)i);
            acc += mix16(p + n - 16 * (i + 1), 32 * (size_t)i + 16);
        }
        return avalanche(acc);
    }
    size_t rounds = n / 16;
    for (size_t i = 0; i < 8; i++)
        acc += mix16(p + 16 * i, 16 * i);
    acc = avalanche(acc);
    for (size_t i = 8; i < rounds; i++)
        acc += mix16(p + 16 * i, 16 * (i - 8) + 3);
    return avalanche(acc + mix16(p + n - 16, 136 - 17));
}

/* -- 128 bits */

static inline void mix32(Hash128 *acc, const uint8_t *a, const uint8_t *b, size_t at)
{
    acc->low += mix16(a, at);
    acc->low ^= read64(b) + read64(b + 8);
    acc->high += mix16(b, at + 16);
    acc->high ^= read64(a) + read64(a + 8);
}

static inline Hash128 finished(Hash128 acc, size_t n)
{
    uint64_t low = acc.low + acc.high;
    uint64_t high = acc.low * P64_1 + acc.high * P64_4 + n * P64_2;
    return (Hash128){avalanche(low), 0 - avalanche(high)};
}

static inline Hash128 xxh3_128(const uint8_t *p, size_t n)
{
    if (n == 0)
        return (Hash128){avalanche64(secret(64) ^ secret(72)), avalanche64(secret(80) ^ secret(88))};
    if (n <= 3) {
        uint32_t low = (uint32_t)p[0] << 16 | (uint32_t)p[n >> 1] << 24 | p[n - 1] | (uint32_t)n << 8;
        uint32_t high = rotl32(swap32(low), 13);
        const uint8_t *s = XXH3_SECRET;
        return (Hash128){avalanche64(low ^ (uint64_t)(read32(s) ^ read32(s + 4))),
                         avalanche64(high ^ (uint64_t)(read32(s + 8) ^ read32(s + 12)))};
    }
    if (n <= 8) {
        uint64_t both = read32(p) | (uint64_t)read32(p + n - 4) << 32;
        Hash128 h = mult128(both ^ (secret(16) ^ secret(24)), P64_1 + ((uint64_t)n << 2));
        h.high += h.low << 1;
        h.low ^= h.high >> 3;
        h.low ^= h.low >> 35;
        h.low *= PMX_2;
        h.low ^= h.low >> 28;
        h.high = avalanche(h.high);
        return h;
    }
    if (n <= 16) {
        uint64_t low = read64(p), high = read64(p + n - 8);
        Hash128 m = mult128(low ^ high ^ (secret(32) ^ secret(40)), P64_1);
        m.low += (uint64_t)(n - 1) << 54;
        high ^= secret(48) ^ secret(56);
        m.high += high + (uint64_t)(uint32_t)high * (P32_2 - 1);
        m.low ^= swap64(m.high);
        Hash128 h = mult128(m.low, P64_2);
        h.high += m.high * P64_2;
        return (Hash128){avalanche(h.low), avalanche(h.high)};
    }
    Hash128 acc = {n * P64_1, 0};
    if (n <= 128) {
        for (int i = (int)((n - 1) / 32); i >= 0; i--)
            mix32(&acc, p + 16 * i, p + n - 16 * (i + 1), 32 * (size_t)i);
        return finished(acc, n);
    }
    size_t rounds = n / 32;
    for (size_t i = 0; i < 4; i++)
        mix32(&acc, p + 32 * i, p + 32 * i + 16, 32 * i);
    acc.low = avalanche(acc.low);
    acc.high = avalanche(acc.high);
    for (size_t i = 4; i < rounds; i++)
        mix32(&acc, p + 32 * i, p + 32 * i + 16, 3 + 32 * (i - 4));
    mix32(&acc, p + n - 16, p + n - 32, 136 - 17 - 16);
    return finished(acc, n);
}

#endif
