/* helpers.h - small functions that suites share; check.h and check_small.h include it

   Of the standard library it needs only string.h. */
#ifndef HELPERS_H
#define HELPERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t up(uint32_t a, uint32_t b) { return (a + b - 1) / b; } /* a / b, rounded up */

/* ---- floats ---- */

static inline uint32_t bits_of(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float float_of(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

/* 2^e, e of any size that a double holds */
static inline double power_of_2(int e)
{
    double x = 1.0;
    for (; e > 0; e--) x *= 2.0;
    for (; e < 0; e++) x *= 0.5;
    return x;
}

/* To the nearest integer, ties to even. |x| < 2^24 */
static inline int32_t round_even(float x)
{
    float magnitude = x < 0.0f ? -x : x;
    int32_t whole = (int32_t)magnitude;
    float rest = magnitude - (float)whole; /* exact */
    if (rest > 0.5f || (rest >= 0.5f && whole % 2)) whole++;
    return x < 0.0f ? -whole : whole;
}

/* ---- little-endian bytes, as in records and bundles ---- */

static inline uint32_t load16(const uint8_t *b) { return (uint32_t)b[0] | (uint32_t)b[1] << 8; }
static inline uint32_t load32(const uint8_t *b) { return load16(b) | load16(b + 2) << 16; }
static inline float load_float(const uint8_t *b) { return float_of(load32(b)); }
static inline void put16(uint8_t *b, uint32_t v) { b[0] = (uint8_t)(v & 255); b[1] = (uint8_t)(v >> 8 & 255); }
static inline void put32(uint8_t *b, uint32_t v) { put16(b, v & 65535); put16(b + 2, v >> 16); }
static inline void put_float(uint8_t *b, float x) { put32(b, bits_of(x)); }

#endif
