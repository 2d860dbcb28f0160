/* immintrin.h of tests: the intrinsics of x86 in plain C, by SIMDe (Debian: libsimde-dev), so that
   kernels run whose instruction sets this processor does not have, AVX-512 among them. What SIMDe
   0.7.4 lacks is here, an element at a time, as Intel's guide to intrinsics says it.
   A program takes this header for the compiler's by -isystem tests/emulated, and LLMQ_CPU_FEATURES
   says which sets it is to have. */
#ifndef TESTS_EMULATED_IMMINTRIN_H
#define TESTS_EMULATED_IMMINTRIN_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SIMDE_NO_NATIVE /* also what this processor has: then no compiler's header gets in */
#define SIMDE_NO_INLINE /* it compiles in a tenth of the time */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

/* The header orders native vectors by an asm statement that takes registers: emulated ones are none. */
#define LLMQ__AFTER(p, v, w) ((void)0)

/* Functions keep no target: the compiler would make instructions of it that do not run here. */
#define __target__(sets)

typedef uint8_t __mmask8;
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;
typedef uint64_t __mmask64;

/* The elements of vectors. */
typedef union emulated {
    float f32[16];
    int8_t i8[64];
    uint8_t u8[64];
    uint16_t u16[32];
    int32_t i32[16];
    uint32_t u32[16];
    uint64_t u64[8];
    __m128i quarter[4];
    __m256i half[2];
    __m256 half_ps[2];
    __m512i i;
    __m512 f;
} emulated;

#define EMULATED static __attribute__((unused))

EMULATED __m512 _mm512_fmadd_ps_exact(__m512 a, __m512 b, __m512 c)
{
    emulated x, y, z;
    x.f = a, y.f = b, z.f = c;
    for (int i = 0; i < 16; i++) z.f32[i] = fmaf(x.f32[i], y.f32[i], z.f32[i]);
    return z.f;
}
EMULATED __m256 _mm256_fmadd_ps_exact(__m256 a, __m256 b, __m256 c)
{
    emulated x, y, z;
    x.half_ps[0] = a, y.half_ps[0] = b, z.half_ps[0] = c;
    for (int i = 0; i < 8; i++) z.f32[i] = fmaf(x.f32[i], y.f32[i], z.f32[i]);
    return z.half_ps[0];
}
/* SIMDe rounds the product too. */
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) _mm512_fmadd_ps_exact(a, b, c)
#undef _mm256_fmadd_ps
#define _mm256_fmadd_ps(a, b, c) _mm256_fmadd_ps_exact(a, b, c)

/* Quarters k & 3 and k >> 2 & 3 of a, then k >> 4 & 3 and k >> 6 of b. */
EMULATED __m512i _mm512_shuffle_i64x2(__m512i a, __m512i b, int k)
{
    emulated x, y, r;
    x.i = a, y.i = b;
    r.quarter[0] = x.quarter[k & 3], r.quarter[1] = x.quarter[k >> 2 & 3];
    r.quarter[2] = y.quarter[k >> 4 & 3], r.quarter[3] = y.quarter[k >> 6 & 3];
    return r.i;
}
EMULATED __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int k)
{
    emulated x, y;
    x.f = a, y.f = b;
    x.i = _mm512_shuffle_i64x2(x.i, y.i, k);
    return x.f;
}
/* Element i of each quarter is element k >> 2 * i & 3 of the same quarter. */
EMULATED __m512 _mm512_permute_ps(__m512 a, int k)
{
    emulated x, r;
    x.f = a;
    for (int i = 0; i < 16; i++) r.f32[i] = x.f32[(i & ~3) + (k >> 2 * (i & 3) & 3)];
    return r.f;
}
EMULATED __m512 _mm512_moveldup_ps(__m512 a) { return _mm512_permute_ps(a, 0xa0); }
EMULATED __m512 _mm512_movehdup_ps(__m512 a) { return _mm512_permute_ps(a, 0xf5); }
EMULATED __m256 _mm512_extractf32x8_ps(__m512 a, int k)
{
    emulated x;
    x.f = a;
    return x.half_ps[k & 1];
}
EMULATED uint32_t _mm512_reduce_max_epu32(__m512i a)
{
    emulated x;
    uint32_t m = 0;
    x.i = a;
    for (int i = 0; i < 16; i++) m = x.u32[i] > m ? x.u32[i] : m;
    return m;
}

/* Memory by masks: elements whose bit is 0 are neither read nor written. */
EMULATED __m512i _mm512_maskz_loadu_epi8(__mmask64 k, const void *p)
{
    emulated r;
    for (int i = 0; i < 64; i++) r.u8[i] = k >> i & 1 ? ((const uint8_t *)p)[i] : 0;
    return r.i;
}
EMULATED __m512 _mm512_maskz_loadu_ps(__mmask16 k, const void *p)
{
    emulated r;
    for (int i = 0; i < 16; i++) {
        r.u32[i] = 0;
        if (k >> i & 1) memcpy(&r.u32[i], (const char *)p + 4 * i, 4);
    }
    return r.f;
}
EMULATED void _mm512_mask_storeu_ps(void *p, __mmask16 k, __m512 a)
{
    emulated x;
    x.f = a;
    for (int i = 0; i < 16; i++)
        if (k >> i & 1) memcpy((char *)p + 4 * i, &x.u32[i], 4);
}

/* Conversions. From floats: what does not fit becomes INT32_MIN. */
EMULATED __m512i _mm512_cvttps_epi32(__m512 a)
{
    emulated x;
    x.f = a;
    for (int i = 0; i < 16; i++)
        x.i32[i] = x.f32[i] >= -2147483648.f && x.f32[i] < 2147483648.f ? (int32_t)x.f32[i] : INT32_MIN;
    return x.i;
}
EMULATED __m512 _mm512_cvtepi32_ps(__m512i a)
{
    emulated x;
    x.i = a;
    for (int i = 0; i < 16; i++) x.f32[i] = (float)x.i32[i];
    return x.f;
}
EMULATED __m512 _mm512_cvtph_ps(__m256i a)
{
    emulated x, r;
    x.half[0] = a;
    for (int i = 0; i < 2; i++) r.half_ps[i] = _mm256_cvtph_ps(x.quarter[i]);
    return r.f;
}
EMULATED __m512i _mm512_cvtepi8_epi32(__m128i a)
{
    emulated x, r;
    x.quarter[0] = a;
    for (int i = 0; i < 16; i++) r.i32[i] = x.i8[i];
    return r.i;
}
EMULATED __m512i _mm512_cvtepu16_epi32(__m256i a)
{
    emulated x, r;
    x.half[0] = a;
    for (int i = 0; i < 16; i++) r.u32[i] = x.u16[i];
    return r.i;
}
EMULATED __m128i _mm512_cvtepi32_epi8(__m512i a)
{
    emulated x, r;
    x.i = a;
    for (int i = 0; i < 16; i++) r.u8[i] = (uint8_t)x.u32[i];
    return r.quarter[0];
}
EMULATED __m256i _mm512_cvtepi32_epi16(__m512i a)
{
    emulated x, r;
    x.i = a;
    for (int i = 0; i < 16; i++) r.u16[i] = (uint16_t)x.u32[i];
    return r.half[0];
}

/* AVX-VNNI's name for AVX512-VNNI's instruction. */
#define _mm256_dpbusd_avx_epi32(sum, a, b) _mm256_dpbusd_epi32(sum, a, b)
#endif
