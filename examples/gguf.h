/* gguf.h - reader of GGUF files, the model files of llama.cpp - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define GGUF_IMPLEMENTATION
       #include "gguf.h"

   A GGUF file has values (the metadata: numbers, strings, arrays of them, each under a key), the
   descriptions of tensors (name, shape, type), and their data. ggml's docs/gguf.md describes the
   format. Versions 2 and 3 are read, little-endian. Version 1, big-endian files and arrays of
   arrays are refused.

   The file may come from anywhere. gguf_open checks every count, length, offset and product. Each
   tensor is inside the file, aligned, and behind the data of the tensor before it. No key and no
   name occurs twice. gguf_open reads the metadata once more for each 64 keys, and the descriptions
   of tensors for each 64 tensors. It takes a few milliseconds for a model, 0.2 s at the limits below.

   Nothing is copied: views point into the bytes and live as long as they do. No memory is needed
   but 2,000 bytes of stack. Strings are not terminated, and whether they are UTF-8 is not checked.

   A model may be split into several files. Each is a GGUF file of its own with some of the tensors.
   gguf_split tells which part a file is, and the caller opens all of them. Only the first has the
   values of the model. The value split.tensors.count is the count of tensors of all parts. */
#ifndef GGUF_H
#define GGUF_H

#include "../llmq.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GGUF_MAX_VALUES 1024u
#define GGUF_MAX_TENSORS 16384u
#define GGUF_MAX_NAME 255u /* bytes of a key or of a tensor's name; llama.cpp's have at most 63 */

/* Types of values. */
#define GGUF_U8      0u
#define GGUF_I8      1u
#define GGUF_U16     2u
#define GGUF_I16     3u
#define GGUF_U32     4u
#define GGUF_I32     5u
#define GGUF_F32     6u
#define GGUF_BOOL    7u
#define GGUF_STRING  8u
#define GGUF_ARRAY   9u /* in files; gguf_value has the type of the elements */
#define GGUF_U64    10u
#define GGUF_I64    11u
#define GGUF_F64    12u

/* A file that gguf_open has checked. Callers may read all but the places in the last line. */
typedef struct gguf {
    const unsigned char *bytes;
    size_t size;
    uint32_t version, alignment;                  /* alignment of the data of tensors, in bytes */
    uint64_t values, tensors;                     /* how many there are */
    size_t first_value, first_tensor, end, data;  /* where they are; the descriptions of tensors end at end */
} gguf;

typedef struct gguf_value {
    const char *key;          /* not terminated; without bytes of 0 */
    size_t key_length;
    uint32_t type;            /* GGUF_U8 ... GGUF_F64 but GGUF_ARRAY; of an array: of its elements */
    int array;                /* 1: an array */
    uint64_t count;           /* elements of an array, else 1 */
    const unsigned char *at;  /* the elements, as the file has them: little-endian, not aligned */
    size_t size;              /* bytes of them */
} gguf_value;

typedef struct gguf_tensor {
    const char *name;           /* not terminated; without bytes of 0 */
    size_t name_length;
    uint32_t type, dims;        /* type as in ggml's enum ggml_type; dims up to 4 */
    uint64_t shape[4];          /* shape[0] varies fastest; 1 from dims on; none is 0 */
    uint64_t rows, cols;        /* cols is shape[0], rows the product of the others */
    size_t row_size, size;      /* bytes of a row and of the tensor */
    const unsigned char *data;  /* row after row; aligned in the file, so in memory only if bytes is */
} gguf_tensor;

/* Checks all that the other functions rely on.
   bytes: size bytes, the whole file; they stay in use. *g is written only with LLMQ_OK.
   Errors:
     LLMQ_E_ARG          NULL
     LLMQ_E_MAGIC        no GGUF file
     LLMQ_E_TRUNCATED    the file ends before a value or a tensor does
     LLMQ_E_UNSUPPORTED  a big-endian file; an array of arrays; a version, a type of a value or a type
                         of a tensor that is not known
     LLMQ_E_LIMIT        GGUF_MAX_VALUES, GGUF_MAX_TENSORS or GGUF_MAX_NAME; 2^63 elements or more
     LLMQ_E_CORRUPT      everything else: a key or name that is empty, has a 0 in it or occurs twice; a
                         bool that is neither 0 nor 1; an alignment that is not a power of two from 8 on;
                         more than 4 dimensions, or one of 0; a row that is not whole blocks; a tensor that
                         is not aligned, or begins before the end of the one before it */
LLMQ_NODISCARD llmq_status gguf_open(gguf *g, const void *bytes, size_t size);

/* The next value in the order of the file. *at is 0 before the first.
   LLMQ_E_NOT_FOUND: there are no more. */
LLMQ_NODISCARD llmq_status gguf_next_value(const gguf *g, size_t *at, gguf_value *v);

/* The value of a key. The search takes time in proportion to the metadata: 2 ms with a vocabulary.
   LLMQ_E_NOT_FOUND: no such key; *v is untouched. */
LLMQ_NODISCARD llmq_status gguf_find_value(const gguf *g, const char *key, gguf_value *v);

/* Element i of an array of numbers or bools; of a single one, element 0.
   Errors; *x is then untouched:
     LLMQ_E_CORRUPT    a string
     LLMQ_E_NOT_FOUND  i is not below v->count
     LLMQ_E_LIMIT      an integer that double cannot hold (from 2^53 on) */
LLMQ_NODISCARD llmq_status gguf_number(const gguf_value *v, uint64_t i, double *x);

/* The next string of an array, or the single one. *at is 0 before the first.
   *s: length bytes, not terminated.
   LLMQ_E_CORRUPT: the value is not of strings. LLMQ_E_NOT_FOUND: there are no more. */
LLMQ_NODISCARD llmq_status gguf_string(const gguf_value *v, size_t *at, const char **s, size_t *length);

/* The next tensor in the order of the file. *at is 0 before the first.
   LLMQ_E_NOT_FOUND: there are no more. */
LLMQ_NODISCARD llmq_status gguf_next_tensor(const gguf *g, size_t *at, gguf_tensor *t);

/* The tensor of a name.
   LLMQ_E_NOT_FOUND: there is none; *t is untouched. */
LLMQ_NODISCARD llmq_status gguf_find_tensor(const gguf *g, const char *name, gguf_tensor *t);

/* Decodes a row of a tensor to floats: t->cols of them. Any bytes may be decoded; results may be
   infinite or NaN. They are the floats of gguf.quants.dequantize (PyPI's package gguf) to the bit,
   except for the bits of a NaN.
   Types: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0
   MXFP4.
   Errors; out is then untouched:
     LLMQ_E_ARG          NULL, or row is not below t->rows
     LLMQ_E_UNSUPPORTED  another type: gguf_type_name(t->type) */
LLMQ_NODISCARD llmq_status gguf_row(const gguf_tensor *t, uint64_t row, float *out);

/* The name of a type of tensors, as "Q4_K"; "?" of one that is not known. */
const char *gguf_type_name(uint32_t type);

/* Which part of a split model the file is, from 0 on, and of how many; 0 and 1 if it is not split.
   LLMQ_E_CORRUPT: the values split.no, split.count and split.tensors.count contradict each other or
   the file, or some are missing; *part and *parts are then untouched. */
LLMQ_NODISCARD llmq_status gguf_split(const gguf *g, uint32_t *part, uint32_t *parts);

#ifdef __cplusplus
}
#endif
#endif /* GGUF_H */

#ifdef GGUF_IMPLEMENTATION
#include <string.h>

/* As in llmq.h: no vectors that flush subnormal numbers, which scales of MXFP4 may be. */
#if defined(__ARM_FEATURE_MVE) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("no-mve.fp"))), apply_to = function)
#elif defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("no-tree-loop-vectorize", "no-tree-slp-vectorize")
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading bytes: after an error a cursor gives zeros and stays where it is ---- */

typedef struct gguf__cursor {
    const unsigned char *bytes;
    size_t size, at;
    llmq_status status;
} gguf__cursor;

typedef struct gguf__text {
    const char *s;
    size_t n;
} gguf__text;

static gguf__cursor gguf__begin(const unsigned char *bytes, size_t size, size_t at)
{
    gguf__cursor c;
    c.bytes = bytes;
    c.size = size;
    c.at = at;
    c.status = LLMQ_OK;
    return c;
}

static void gguf__fail(gguf__cursor *c, llmq_status status)
{
    if (c->status == LLMQ_OK) c->status = status;
}

/* n units of bytes; NULL if they are not there. */
static const unsigned char *gguf__take(gguf__cursor *c, uint64_t n, uint32_t unit)
{
    const unsigned char *p = c->bytes + c->at;
    if (n > (c->size - c->at) / unit) gguf__fail(c, LLMQ_E_TRUNCATED);
    if (c->status != LLMQ_OK) return NULL;
    c->at += (size_t)n * unit;
    return p;
}

/* The number in width bytes, up to 8. */
static uint64_t gguf__load(const unsigned char *b, uint32_t width)
{
    uint64_t v = 0;
    while (width-- > 0) v = v << 8 | b[width];
    return v;
}

static uint64_t gguf__uint(gguf__cursor *c, uint32_t width)
{
    const unsigned char *p = gguf__take(c, 1, width);
    return p ? gguf__load(p, width) : 0;
}

static gguf__text gguf__string(gguf__cursor *c)
{
    gguf__text t;
    uint64_t n = gguf__uint(c, 8);
    t.s = (const char *)gguf__take(c, n, 1);
    t.n = t.s ? (size_t)n : 0;
    return t;
}

/* A key, or the name of a tensor. Callers search by C strings, so a byte of 0 would hide a name. */
static gguf__text gguf__name(gguf__cursor *c)
{
    gguf__text t = gguf__string(c);
    if (t.n > GGUF_MAX_NAME) gguf__fail(c, LLMQ_E_LIMIT);
    else if (t.n == 0 || memchr(t.s, 0, t.n)) gguf__fail(c, LLMQ_E_CORRUPT);
    return t;
}

static int gguf__is(gguf__text t, const char *s) { return t.n == strlen(s) && memcmp(t.s, s, t.n) == 0; }

/* ---- values ---- */

/* Bytes of an element; 0: a string, an array, or not known. */
static uint32_t gguf__width(uint32_t type)
{
    static const unsigned char width[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < 13 ? width[type] : 0;
}

static void gguf__value(gguf__cursor *c, gguf_value *v)
{
    gguf__text key = gguf__name(c);
    uint64_t i;
    uint32_t width;
    v->key = key.s;
    v->key_length = key.n;
    v->type = (uint32_t)gguf__uint(c, 4);
    v->array = v->type == GGUF_ARRAY;
    v->count = 1;
    if (v->array) {
        v->type = (uint32_t)gguf__uint(c, 4);
        v->count = gguf__uint(c, 8);
    }
    v->at = c->bytes + c->at;
    v->size = c->at;
    width = gguf__width(v->type);
    if (v->type == GGUF_STRING)
        for (i = 0; i < v->count && c->status == LLMQ_OK; i++) (void)gguf__string(c);
    else if (width) (void)gguf__take(c, v->count, width);
    else gguf__fail(c, LLMQ_E_UNSUPPORTED);
    v->size = c->at - v->size;
    if (v->type == GGUF_BOOL)
        for (i = 0; i < v->size; i++)
            if (v->at[i] > 1) gguf__fail(c, LLMQ_E_CORRUPT);
}

llmq_status gguf_next_value(const gguf *g, size_t *at, gguf_value *v)
{
    gguf__cursor c = gguf__begin(g->bytes, g->first_tensor, *at ? *at : g->first_value);
    if (c.at >= c.size) return LLMQ_E_NOT_FOUND;
    gguf__value(&c, v);
    *at = c.at;
    return c.status;
}

llmq_status gguf_find_value(const gguf *g, const char *key, gguf_value *v)
{
    gguf_value each;
    size_t at = 0, n = strlen(key);
    while (gguf_next_value(g, &at, &each) == LLMQ_OK)
        if (each.key_length == n && memcmp(each.key, key, n) == 0) {
            *v = each;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

static float gguf__float(const unsigned char *b)
{
    uint32_t u = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

llmq_status gguf_number(const gguf_value *v, uint64_t i, double *x)
{
    static const unsigned char is_signed[13] = { 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0 };
    uint32_t width = gguf__width(v->type);
    const unsigned char *b;
    uint64_t u, sign;
    int negative;
    if (!width) return LLMQ_E_CORRUPT;
    if (i >= v->count) return LLMQ_E_NOT_FOUND;
    b = v->at + (size_t)i * width;
    u = gguf__load(b, width);
    if (v->type == GGUF_F32) *x = (double)gguf__float(b);
    else if (v->type == GGUF_F64) memcpy(x, &u, 8);
    else {
        sign = (uint64_t)1 << (8 * width - 1);
        negative = is_signed[v->type] && (u & sign);
        if (negative) u = sign - (u - sign);
        if (u > (uint64_t)1 << 53) return LLMQ_E_LIMIT;
        *x = negative ? -(double)u : (double)u;
    }
    return LLMQ_OK;
}

llmq_status gguf_string(const gguf_value *v, size_t *at, const char **s, size_t *length)
{
    gguf__cursor c = gguf__begin(v->at, v->size, *at);
    gguf__text t;
    if (v->type != GGUF_STRING) return LLMQ_E_CORRUPT;
    if (c.at >= c.size) return LLMQ_E_NOT_FOUND;
    t = gguf__string(&c);
    *s = t.s;
    *length = t.n;
    *at = c.at;
    return c.status;
}

/* ---- rows: each type has a function for one block ----

   out first gets the codes as floats, which hold them exactly. Then they are scaled. The structs in
   ggml's ggml-common.h say how a type packs its codes. The order of the operations is that of
   quants.py in the package gguf, since roundings depend on it. */

static float gguf__half(const unsigned char *b) { return llmq_f16_to_f32((uint16_t)(b[0] | b[1] << 8)); }

static void gguf__fill(float *out, uint32_t n, float x)
{
    while (n-- > 0) *out++ = x;
}

/* Adds unit times each code in n bytes. The bytes are in chunks of width. The codes of a chunk are
   the lowest bits of all its bytes, then the next bits of all. */
static void gguf__add(float *out, const unsigned char *b, uint32_t n, uint32_t width, uint32_t bits, int unit)
{
    uint32_t shift, i;
    int mask = (1 << bits) - 1;
    for (; n > 0; n -= width, b += width)
        for (shift = 0; shift < 8; shift += bits, out += width)
            for (i = 0; i < width; i++) out[i] += (float)((b[i] >> shift & mask) * unit);
}

static void gguf__scale(float *out, uint32_t n, float d)
{
    uint32_t i;
    for (i = 0; i < n; i++) out[i] = d * out[i];
}

/* The products are exact, so that a fused multiply-add gives the same bits: d is a half (11 bits), or
   one times a scale of up to 6 bits, and codes have up to 5. check: 11 + 6 + 5 < 24 */
static void gguf__scale_and_add(float *out, uint32_t n, float d, float m)
{
    uint32_t i;
    for (i = 0; i < n; i++) out[i] = d * out[i] + m;
}

/* Codes of 4 bits in n bytes are places in a table. */
static void gguf__look_up(float *out, const unsigned char *b, uint32_t n, const signed char *table)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        out[i] = (float)table[b[i] & 15];
        out[n + i] = (float)table[b[i] >> 4];
    }
}

/* The fifth bits of 32 codes: in the order of the codes, unlike those of Q5_K. */
static void gguf__add_fifth(float *out, const unsigned char *b)
{
    uint32_t i;
    for (i = 0; i < 32; i++) out[i] += (float)((b[i / 8] >> i % 8 & 1) * 16);
}

/* Integer i, a signed byte. */
static float gguf__byte(const unsigned char *b, uint32_t i) { return (float)((b[i] ^ 128) - 128); }

static void gguf__f32(const unsigned char *b, float *out) { *out = gguf__float(b); }
static void gguf__f16(const unsigned char *b, float *out) { *out = gguf__half(b); }
static void gguf__bf16(const unsigned char *b, float *out) { *out = llmq_bf16_to_f32((uint16_t)(b[0] | b[1] << 8)); }

static void gguf__q4_0(const unsigned char *b, float *out)
{
    gguf__fill(out, 32, -8.0f);
    gguf__add(out, b + 2, 16, 16, 4, 1);
    gguf__scale(out, 32, gguf__half(b));
}

static void gguf__q4_1(const unsigned char *b, float *out)
{
    gguf__fill(out, 32, 0.0f);
    gguf__add(out, b + 4, 16, 16, 4, 1);
    gguf__scale_and_add(out, 32, gguf__half(b), gguf__half(b + 2));
}

static void gguf__q5_0(const unsigned char *b, float *out)
{
    gguf__fill(out, 32, -16.0f);
    gguf__add_fifth(out, b + 2);
    gguf__add(out, b + 6, 16, 16, 4, 1);
    gguf__scale(out, 32, gguf__half(b));
}

static void gguf__q5_1(const unsigned char *b, float *out)
{
    gguf__fill(out, 32, 0.0f);
    gguf__add_fifth(out, b + 4);
    gguf__add(out, b + 8, 16, 16, 4, 1);
    gguf__scale_and_add(out, 32, gguf__half(b), gguf__half(b + 2));
}

static void gguf__q8_0(const unsigned char *b, float *out)
{
    uint32_t i;
    for (i = 0; i < 32; i++) out[i] = gguf__byte(b + 2, i);
    gguf__scale(out, 32, gguf__half(b));
}

static void gguf__q2_k(const unsigned char *b, float *out)
{
    float d = gguf__half(b + 80), m = gguf__half(b + 82);
    uint32_t i;
    gguf__fill(out, 256, 0.0f);
    gguf__add(out, b + 16, 64, 32, 2, 1);
    for (i = 0; i < 16; i++) gguf__scale_and_add(out + 16 * i, 16, d * (float)(b[i] & 15), -(m * (float)(b[i] >> 4)));
}

/* A set high bit means that 4 is not subtracted. Scales have 6 bits: 4 in one of 8 bytes, and 2 in
   one of 4. */
static void gguf__q3_k(const unsigned char *b, float *out)
{
    const unsigned char *s = b + 96;
    float d = gguf__half(b + 108);
    uint32_t i;
    gguf__fill(out, 256, -4.0f);
    gguf__add(out, b, 32, 32, 1, 4);
    gguf__add(out, b + 32, 64, 32, 2, 1);
    for (i = 0; i < 16; i++) {
        int scale = (s[i % 8] >> i / 8 * 4 & 15) | (s[8 + i % 4] >> i / 4 * 2 & 3) << 4;
        gguf__scale(out + 16 * i, 16, d * (float)(scale - 32));
    }
}

/* Of Q4_K and Q5_K: 8 scales and 8 minima of 6 bits in 12 bytes. The first 4 of each have a byte,
   whose 2 highest bits belong to the last 4; these have their 4 lowest bits in the last 4 bytes. */
static void gguf__scales_k(const unsigned char *b, float *out)
{
    const unsigned char *s = b + 4;
    float d = gguf__half(b), m = gguf__half(b + 2);
    uint32_t i;
    for (i = 0; i < 8; i++) {
        int scale = i < 4 ? s[i] & 63 : (s[i + 4] & 15) | (s[i - 4] >> 6) << 4;
        int low = i < 4 ? s[i + 4] & 63 : s[i + 4] >> 4 | (s[i] >> 6) << 4;
        gguf__scale_and_add(out + 32 * i, 32, d * (float)scale, -(m * (float)low));
    }
}

static void gguf__q4_k(const unsigned char *b, float *out)
{
    gguf__fill(out, 256, 0.0f);
    gguf__add(out, b + 16, 128, 32, 4, 1);
    gguf__scales_k(b, out);
}

static void gguf__q5_k(const unsigned char *b, float *out)
{
    gguf__fill(out, 256, 0.0f);
    gguf__add(out, b + 16, 32, 32, 1, 16);
    gguf__add(out, b + 48, 128, 32, 4, 1);
    gguf__scales_k(b, out);
}

static void gguf__q6_k(const unsigned char *b, float *out)
{
    float d = gguf__half(b + 208);
    uint32_t i;
    gguf__fill(out, 256, -32.0f);
    gguf__add(out, b, 128, 64, 4, 1);
    gguf__add(out, b + 128, 64, 32, 2, 16);
    for (i = 0; i < 16; i++) gguf__scale(out + 16 * i, 16, d * gguf__byte(b + 192, i));
}

static const signed char gguf__points_iq4[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
};
/* E2M1 of the OCP Microscaling Formats, doubled. */
static const signed char gguf__points_mxfp4[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

static void gguf__iq4_nl(const unsigned char *b, float *out)
{
    gguf__look_up(out, b + 2, 16, gguf__points_iq4);
    gguf__scale(out, 32, gguf__half(b));
}

static void gguf__iq4_xs(const unsigned char *b, float *out)
{
    float d = gguf__half(b);
    uint32_t high = (uint32_t)gguf__load(b + 2, 2), i;
    for (i = 0; i < 8; i++) {
        int scale = (b[4 + i / 2] >> i % 2 * 4 & 15) | (int)(high >> 2 * i & 3) << 4;
        gguf__look_up(out + 32 * i, b + 8 + 16 * i, 16, gguf__points_iq4);
        gguf__scale(out + 32 * i, 32, d * (float)(scale - 32));
    }
}

/* A byte is a fraction of 256 with digits of base 3, of which count are used: times 3, the digit is
   the whole part. The first digits of n bytes come first, then the second digits of all. */
static float *gguf__ternary(const unsigned char *b, uint32_t n, uint32_t count, float *out)
{
    static const uint32_t power[5] = { 1, 3, 9, 27, 81 };
    uint32_t k, i;
    for (k = 0; k < count; k++)
        for (i = 0; i < n; i++) *out++ = (float)(int)((b[i] * power[k] & 255) * 3 >> 8) - 1.0f;
    return out;
}

static void gguf__tq1_0(const unsigned char *b, float *out)
{
    float *p = gguf__ternary(b, 32, 5, out);
    p = gguf__ternary(b + 32, 16, 5, p);
    (void)gguf__ternary(b + 48, 4, 4, p);
    gguf__scale(out, 256, gguf__half(b + 52));
}

static void gguf__tq2_0(const unsigned char *b, float *out)
{
    gguf__fill(out, 256, -1.0f);
    gguf__add(out, b, 64, 32, 2, 1);
    gguf__scale(out, 256, gguf__half(b + 64));
}

/* The scale is 2^(e - 128), half of the 2^(e - 127) of the format, since the points are doubled. */
static void gguf__mxfp4(const unsigned char *b, float *out)
{
    uint32_t e = b[0], bits = e < 2 ? (uint32_t)0x00200000 << e : (e - 1) << 23;
    float d;
    memcpy(&d, &bits, 4);
    gguf__look_up(out, b + 1, 16, gguf__points_mxfp4);
    gguf__scale(out, 32, d);
}

/* By number, as in ggml.h. Those whose numbers are missing were withdrawn, or (Q8_1) never stand in
   files. block: elements; size: bytes of a block; decode is NULL where gguf_row refuses. */
typedef struct gguf__type {
    const char *name;
    uint32_t block, size;
    void (*decode)(const unsigned char *b, float *out);
} gguf__type;

static const gguf__type gguf__types[43] = {
    { "F32", 1, 4, gguf__f32 },         { "F16", 1, 2, gguf__f16 },         { "Q4_0", 32, 18, gguf__q4_0 },
    { "Q4_1", 32, 20, gguf__q4_1 },     { "?", 0, 0, NULL },                { "?", 0, 0, NULL },
    { "Q5_0", 32, 22, gguf__q5_0 },     { "Q5_1", 32, 24, gguf__q5_1 },     { "Q8_0", 32, 34, gguf__q8_0 },
    { "?", 0, 0, NULL },                { "Q2_K", 256, 84, gguf__q2_k },    { "Q3_K", 256, 110, gguf__q3_k },
    { "Q4_K", 256, 144, gguf__q4_k },   { "Q5_K", 256, 176, gguf__q5_k },   { "Q6_K", 256, 210, gguf__q6_k },
    { "Q8_K", 256, 292, NULL },         { "IQ2_XXS", 256, 66, NULL },       { "IQ2_XS", 256, 74, NULL },
    { "IQ3_XXS", 256, 98, NULL },       { "IQ1_S", 256, 50, NULL },         { "IQ4_NL", 32, 18, gguf__iq4_nl },
    { "IQ3_S", 256, 110, NULL },        { "IQ2_S", 256, 82, NULL },         { "IQ4_XS", 256, 136, gguf__iq4_xs },
    { "I8", 1, 1, NULL },               { "I16", 1, 2, NULL },              { "I32", 1, 4, NULL },
    { "I64", 1, 8, NULL },              { "F64", 1, 8, NULL },              { "IQ1_M", 256, 56, NULL },
    { "BF16", 1, 2, gguf__bf16 },       { "?", 0, 0, NULL },                { "?", 0, 0, NULL },
    { "?", 0, 0, NULL },                { "TQ1_0", 256, 54, gguf__tq1_0 },  { "TQ2_0", 256, 66, gguf__tq2_0 },
    { "?", 0, 0, NULL },                { "?", 0, 0, NULL },                { "?", 0, 0, NULL },
    { "MXFP4", 32, 17, gguf__mxfp4 },   { "NVFP4", 64, 36, NULL },          { "Q1_0", 128, 18, NULL },
    { "Q2_0", 64, 18, NULL }
};

const char *gguf_type_name(uint32_t type) { return type < 43 ? gguf__types[type].name : "?"; }

llmq_status gguf_row(const gguf_tensor *t, uint64_t row, float *out)
{
    const gguf__type *type;
    const unsigned char *b;
    uint64_t i;
    if (!t || !out || row >= t->rows) return LLMQ_E_ARG;
    type = &gguf__types[t->type];
    if (!type->decode) return LLMQ_E_UNSUPPORTED;
    b = t->data + (size_t)row * t->row_size;
    for (i = 0; i < t->cols; i += type->block, b += type->size, out += type->block) type->decode(b, out);
    return LLMQ_OK;
}

/* ---- tensors ---- */

/* The description of a tensor. *offset: of its data, from where the data of all begin. */
static void gguf__tensor(gguf__cursor *c, gguf_tensor *t, uint64_t *offset)
{
    const uint64_t most = ~(uint64_t)0 >> 1;
    gguf__text name = gguf__name(c);
    uint64_t n = 1;
    uint32_t i;
    t->name = name.s;
    t->name_length = name.n;
    t->dims = (uint32_t)gguf__uint(c, 4);
    if (t->dims > 4) {
        gguf__fail(c, LLMQ_E_CORRUPT);
        return;
    }
    for (i = 0; i < 4; i++) {
        t->shape[i] = i < t->dims ? gguf__uint(c, 8) : 1;
        if (t->shape[i] == 0) gguf__fail(c, LLMQ_E_CORRUPT);
        else if (n > most / t->shape[i]) gguf__fail(c, LLMQ_E_LIMIT);
        if (c->status != LLMQ_OK) return;
        n *= t->shape[i];
    }
    t->cols = t->shape[0];
    t->rows = n / t->cols;
    t->type = (uint32_t)gguf__uint(c, 4);
    *offset = gguf__uint(c, 8);
}

/* Sizes and place of a tensor whose description was read. */
static llmq_status gguf__place(const gguf *g, gguf_tensor *t, uint64_t offset)
{
    size_t room = g->size - g->data;
    const gguf__type *type;
    uint64_t blocks;
    if (t->type >= 43 || !gguf__types[t->type].block) return LLMQ_E_UNSUPPORTED;
    type = &gguf__types[t->type];
    if (t->cols % type->block || offset % g->alignment) return LLMQ_E_CORRUPT;
    blocks = t->cols / type->block;
    if (offset > room || blocks > (room - offset) / type->size) return LLMQ_E_TRUNCATED;
    t->row_size = (size_t)blocks * type->size;
    if (t->rows > (room - offset) / t->row_size) return LLMQ_E_TRUNCATED;
    t->size = t->row_size * (size_t)t->rows;
    t->data = g->bytes + g->data + (size_t)offset;
    return LLMQ_OK;
}

llmq_status gguf_next_tensor(const gguf *g, size_t *at, gguf_tensor *t)
{
    gguf__cursor c = gguf__begin(g->bytes, g->end, *at ? *at : g->first_tensor);
    uint64_t offset = 0;
    if (c.at >= c.size) return LLMQ_E_NOT_FOUND;
    gguf__tensor(&c, t, &offset);
    *at = c.at;
    return c.status == LLMQ_OK ? gguf__place(g, t, offset) : c.status;
}

llmq_status gguf_find_tensor(const gguf *g, const char *name, gguf_tensor *t)
{
    gguf_tensor each;
    size_t at = 0, n = strlen(name);
    while (gguf_next_tensor(g, &at, &each) == LLMQ_OK)
        if (each.name_length == n && memcmp(each.name, name, n) == 0) {
            *t = each;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

/* ---- no name occurs twice: 64 names at a time are sorted, and all behind them looked up ---- */

#define GGUF__SORTED 64u

typedef struct gguf__sorted {
    gguf__text name[GGUF__SORTED];
    uint32_t count;
} gguf__sorted;

/* Whether the name is there; if not, it is put there as long as there is room. */
static int gguf__seen(gguf__sorted *s, gguf__text name)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        gguf__text t = s->name[middle];
        int order = t.n < name.n ? -1 : t.n > name.n ? 1 : memcmp(t.s, name.s, name.n);
        if (order == 0) return 1;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    if (s->count == GGUF__SORTED) return 0;
    memmove(s->name + low + 1, s->name + low, (s->count - low) * sizeof *s->name);
    s->name[low] = name;
    s->count++;
    return 0;
}

/* The next key, or the next name of a tensor. */
static int gguf__next_name(const gguf *g, int tensors, size_t *at, gguf__text *name)
{
    gguf_value v;
    gguf_tensor t;
    if (tensors ? gguf_next_tensor(g, at, &t) != LLMQ_OK : gguf_next_value(g, at, &v) != LLMQ_OK) return 0;
    name->s = tensors ? t.name : v.key;
    name->n = tensors ? t.name_length : v.key_length;
    return 1;
}

static llmq_status gguf__distinct(const gguf *g, int tensors)
{
    gguf__sorted sorted;
    gguf__text name;
    size_t start = 0, at;
    do {
        sorted.count = 0;
        at = start;
        start = 0;
        while (gguf__next_name(g, tensors, &at, &name)) {
            if (gguf__seen(&sorted, name)) return LLMQ_E_CORRUPT;
            if (sorted.count == GGUF__SORTED && !start) start = at;
        }
    } while (start);
    return LLMQ_OK;
}

/* ---- the file ---- */

/* Values and descriptions of tensors: where they are, and the alignment. */
static llmq_status gguf__read_all(gguf *g)
{
    gguf__cursor c = gguf__begin(g->bytes, g->size, 4);
    gguf_value v;
    gguf_tensor t;
    gguf__text key;
    uint64_t i, offset = 0;
    g->version = (uint32_t)gguf__uint(&c, 4);
    g->tensors = gguf__uint(&c, 8);
    g->values = gguf__uint(&c, 8);
    if (c.status != LLMQ_OK) return c.status;
    if (g->version != 2 && g->version != 3) return LLMQ_E_UNSUPPORTED; /* 3 is 0x03000000 in a big-endian file */
    if (g->tensors > GGUF_MAX_TENSORS) return LLMQ_E_LIMIT;
    g->alignment = 32;
    g->first_value = c.at;
    for (i = 0; i < g->values && c.status == LLMQ_OK; i++) {
        if (i == GGUF_MAX_VALUES) return LLMQ_E_LIMIT;
        gguf__value(&c, &v);
        key.s = v.key;
        key.n = v.key_length;
        if (c.status != LLMQ_OK || !gguf__is(key, "general.alignment")) continue;
        if (v.array || v.type != GGUF_U32) return LLMQ_E_CORRUPT;
        g->alignment = (uint32_t)gguf__load(v.at, 4);
        if (g->alignment < 8 || (g->alignment & (g->alignment - 1))) return LLMQ_E_CORRUPT;
    }
    g->first_tensor = c.at;
    for (i = 0; i < g->tensors && c.status == LLMQ_OK; i++) gguf__tensor(&c, &t, &offset);
    g->end = c.at;
    /* a file of values alone may end here */
    if (g->tensors) (void)gguf__take(&c, (g->alignment - c.at % g->alignment) % g->alignment, 1);
    g->data = c.at;
    return c.status;
}

llmq_status gguf_open(gguf *g, const void *bytes, size_t size)
{
    gguf view;
    gguf_tensor t;
    size_t at = 0, used = 0;
    llmq_status status;
    if (!g || !bytes) return LLMQ_E_ARG;
    if (size < 4) return LLMQ_E_TRUNCATED;
    if (memcmp(bytes, "GGUF", 4) != 0) return LLMQ_E_MAGIC;
    memset(&view, 0, sizeof view);
    view.bytes = (const unsigned char *)bytes;
    view.size = size;
    status = gguf__read_all(&view);
    if (status != LLMQ_OK) return status;
    while ((status = gguf_next_tensor(&view, &at, &t)) == LLMQ_OK) {
        size_t start = (size_t)(t.data - view.bytes);
        if (start < used) return LLMQ_E_CORRUPT;
        used = start + t.size;
    }
    if (status == LLMQ_E_NOT_FOUND) status = gguf__distinct(&view, 0);
    if (status == LLMQ_OK) status = gguf__distinct(&view, 1);
    if (status == LLMQ_OK) *g = view;
    return status;
}

/* An integer value from 0 on; 0 with *missing raised if there is no such key. */
static llmq_status gguf__count(const gguf *g, const char *key, double *x, uint32_t *missing)
{
    gguf_value v;
    *x = 0.0;
    if (gguf_find_value(g, key, &v) != LLMQ_OK) {
        ++*missing;
        return LLMQ_OK;
    }
    if (v.array || v.type == GGUF_F32 || v.type == GGUF_F64 || v.type == GGUF_BOOL) return LLMQ_E_CORRUPT;
    if (gguf_number(&v, 0, x) != LLMQ_OK || *x < 0.0) return LLMQ_E_CORRUPT;
    return LLMQ_OK;
}

llmq_status gguf_split(const gguf *g, uint32_t *part, uint32_t *parts)
{
    double no, count, tensors;
    uint32_t missing = 0;
    if (gguf__count(g, "split.no", &no, &missing) != LLMQ_OK ||
        gguf__count(g, "split.count", &count, &missing) != LLMQ_OK ||
        gguf__count(g, "split.tensors.count", &tensors, &missing) != LLMQ_OK)
        return LLMQ_E_CORRUPT;
    if (missing == 3) count = 1.0;
    else if (missing || no >= count || count > 65535.0 || tensors < (double)g->tensors) return LLMQ_E_CORRUPT;
    *part = (uint32_t)no;
    *parts = (uint32_t)count;
    return LLMQ_OK;
}

#ifdef __cplusplus
}
#endif
#if defined(__ARM_FEATURE_MVE) && defined(__clang__)
#pragma clang attribute pop
#elif defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef GGUF__SORTED
#undef GGUF_IMPLEMENTATION
#endif
