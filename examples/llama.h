/* llama.h - a llama-family forward pass on llmq.h: RMSNorm, RoPE, grouped heads, SwiGLU - public domain or MIT

   Do this in one C or C++ file, after the llmq.h implementation:
       #define LLAMA_IMPLEMENTATION
       #include "llama.h"

   The weights come from a bundle (llmq.h, section 10), raw or quantized, each tensor in a format of its own:
       values (u32)   llama.dim llama.hidden llama.layers llama.heads llama.kv_heads llama.vocab llama.context
       tensors        embed [vocab][dim], classifier [vocab][dim] (absent: embed serves), norm [1][dim], and for N = 0 ...
                      layers.N.norm1, norm2 [1][dim]; wq, wo [dim][dim]; wk, wv [kv][dim]; w1, w3 [hidden][dim]; w2 [dim][hidden]
       tensors, optional  layers.N.bq [1][dim], bk, bv [1][kv]: added to what wq, wk, wv give
       values, optional   llama.rope_theta (f32): base of the rotary embedding, 1 ... 1e30; absent: 10000
                      llama.rope_halves (u32): 0: it turns numbers 2i and 2i + 1 of a head; 1: i and i + head / 2; absent: 0
                      llama.norm_epsilon (f32): what norms add to the mean square, 1e-12 ... 1; absent: 1e-5
                      llama.abits llama.azero llama.ascales (u32), llama.aclip (f32): how activations of quantized tensors are
                      quantized, as llmq_activation_options; absent: llmq_activation_defaults, of 8 bits. Those of raw tensors are float
   Any other tensor, and any other value of a name that begins with "llama.", is refused: it would change what the model computes.
   Memory is the caller's, sizes are asked for; there is no malloc.

       llama_model m;  llama_state s;
       llama_model_init(&m, &bundle, mem, llama_model_size(&bundle));      // or NULL, 0: where memory is short
       llama_state_init(&s, &m, batch, mem2, llama_state_size(&m, batch));
       llama_forward(&m, &s, tokens, count, position, logits);      // position 0, then on from where the last call ended

   The same logits everywhere: the library's products have the same bits on every processor, and so has all that is here: exp, the
   inverse square root, sine and cosine are polynomials below, in float, each operation rounded once; there is no libm.
   Without an FPU that is soft float: the share of its instructions is in examples/mcu/README.md.

   The cache of keys and values is what llama_model.cache says: f32, or rows in a format of few bits, scored and summed where they
   lie; all positions up to the model's context, or a window: then each new position takes the place of the oldest, and generation
   can go on for as long as positions fit 24 bits. Rotations (RoPE) make scores depend on distances only, so no key need be changed when others are
   forgotten; the first tokens are forgotten like any other. */
#ifndef LLAMA_H
#define LLAMA_H

#include "../llmq.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LLAMA_WQ, LLAMA_WK, LLAMA_WV, LLAMA_WO, LLAMA_W1, LLAMA_W2, LLAMA_W3, LLAMA_LINEARS };
extern const char *const llama_linear_name[LLAMA_LINEARS];

typedef struct llama_layer {
    llmq_tensor linear[LLAMA_LINEARS];
    float *norm1, *norm2;
    float *bias[3];  /* of wq wk wv; NULL: none */
} llama_layer;

/* How keys and values of earlier positions are kept: a row for a head. */
typedef struct llama_cache {
    llmq_format key, value;  /* raw, or a grid; groups of 0 are whole rows. Trellises are not encoded row by row */
    llmq_transform transform;  /* of a head's rows before they are quantized (a Hadamard at 4 bits takes a third off KL); no steps: none */
    uint32_t window;         /* positions; 0: the model's context, and no more positions than that */
} llama_cache;

typedef struct llama_model {
    uint32_t dim, hidden, layers, heads, kv_heads, vocab, context;
    llmq_tensor embed, classifier;
    llama_layer *layer;                  /* NULL: without memory of its own; views and norms are then made when they are used */
    float *norm, *bias;                  /* bias: of all layers; NULL: none */
    float theta, epsilon;                /* base of the rotary embedding; what norms add to the mean square */
    float rope_rate;                          /* -ln(theta) */
    int halves, biased;                  /* does the embedding turn halves of heads; has any layer a bias */
    const char *fault;                   /* after an error: see llama_model_fault */
    uint32_t fault_layer;
    llmq_bundle bundle;
    llmq_activation_options activation;  /* of quantized tensors: what the bundle says, or what the caller puts here; bits = 32: float */
    llama_cache cache;                   /* f32, window 0; or what the caller puts here before llama_state_size */
} llama_model;

/* Places in a layer where a watcher can look at the state, with the tokens of the call in its first rows. */
enum {
    LLAMA_AT_ATTENTION,  /* normed: input of wq wk wv; q, keys and values: after RoPE */
    LLAMA_AT_OUTPUT,     /* attention: input of wo */
    LLAMA_AT_FEED,       /* normed: input of w1 w3; gate, up: what they gave */
    LLAMA_AT_DOWN,       /* gate: input of w2 */
    LLAMA_AT_SUM1,       /* normed: what the attention block adds to x, the residual stream */
    LLAMA_AT_SUM2        /* normed: what the feed-forward block adds to x */
};

typedef struct llama_state llama_state;
typedef llmq_status (*llama_watcher)(void *context, int place, uint32_t layer, const llama_state *s, uint32_t count, uint32_t position);

struct llama_state {
    llama_watcher watch;        /* NULL: none; what it returns stops the call if it is not LLMQ_OK */
    void *watch_context;
    uint32_t batch;             /* most tokens in one call */
    float *x, *normed, *q, *keys, *values, *attention, *up, *gate;  /* batch vectors each: of the tokens of the call */
    float *cosine, *sine;       /* batch x half a head: RoPE at their positions, `turned` of them from `turned_at` on */
    uint32_t rotations, rotations_from;
    float *scores;              /* window */
    uint32_t window;
    llmq_tensor key, value;     /* of a head: window rows */
    unsigned char *cache;       /* layers x kv heads: the rows of such a key, then of such a value */
    llmq_activation *activation;
    unsigned char *activation_memory, *work;
    size_t activation_size, work_size;
};

/* Bytes of memory for the views of a model; 0 if the bundle is not one of a llama model. */
size_t llama_model_size(const llmq_bundle *b);

/* Look everything up, check all shapes. mem: aligned for pointers; NULL with size 0: views of tensors are made anew for every product,
   and norms decoded, which takes no memory and some thousand instructions a layer. Errors: those of llmq_bundle_*; LLMQ_E_CORRUPT for a
   shape or a value that does not fit; LLMQ_E_UNSUPPORTED for a tensor or value that is not among those above; LLMQ_E_ARG (mem);
   LLMQ_E_LIMIT for a model whose views no memory holds; LLMQ_E_WORKSPACE. */
llmq_status llama_model_init(llama_model *m, const llmq_bundle *b, void *mem, size_t size);

/* The name of the entry that an error of llama_model_init is about, "" if it is about none. The bundle must still be there. */
const char *llama_model_fault(const llama_model *m, char name[256]);

/* What stands behind "layers.N." in a name, and N; NULL if the name is not of that form. N has no sign and no zeros in front, and is below
   `layers`: a number from a name that passed may be used as an index. */
const char *llama_layer_part(const char *name, uint32_t layers, uint32_t *layer);

/* Keys and values of 2, 3, 4, 5, 6 or 8 bits (a scale for each row beside them), 16 (binary16, up to 65504) or 32. LLMQ_E_NOT_FOUND: not built
   in; the cache is as it was. */
llmq_status llama_cache_bits(llama_cache *c, uint32_t bits);

/* Bytes of memory to run the model on up to `batch` tokens a call; 0 on overflow, or if m->cache cannot be kept. mem: aligned for pointers.
   Errors: LLMQ_E_ARG, for mem or where the size is 0; LLMQ_E_WORKSPACE. */
size_t llama_state_size(const llama_model *m, uint32_t batch);
llmq_status llama_state_init(llama_state *s, const llama_model *m, uint32_t batch, void *mem, size_t size);

/* Run `count` tokens at positions position, position + 1 ...; logits[count][vocab], or NULL to only fill the cache.
   Errors: LLMQ_E_ARG for a token, count or position out of range, LLMQ_E_NOT_FINITE for keys or values that are not finite, and those
   of llmq_matmul. */
llmq_status llama_forward(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count, uint32_t position,
                          float *logits);

/* Its parts, for those who go through a text layer by layer: x <- embeddings of the tokens; x <- layer l of x; and logits [r0, r1) of the
   count tokens in x, those of token i from y + i * stride on: a few rows at a time where memory for all is short. */
llmq_status llama_embed(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count);
llmq_status llama_layer_forward(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position);
llmq_status llama_logits(const llama_model *m, llama_state *s, uint32_t count, uint32_t r0, uint32_t r1, float *y, size_t stride);

#ifdef __cplusplus
}
#endif
#endif /* LLAMA_H */

#ifdef LLAMA_IMPLEMENTATION
#include <stddef.h>
#include <string.h>

#if LLMQ_NO_ENCODER
#error "llama.h encodes keys and values: it needs llmq.h with its encoder"
#endif

/* As in llmq.h: a * b + c is two roundings, and no vectors that flush subnormal numbers. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if defined(__ARM_FEATURE_MVE)
#pragma GCC optimize("no-tree-loop-vectorize", "no-tree-slp-vectorize")
#endif
#define LLAMA__NO_CONTRACT
#elif defined(__clang__)
#define LLAMA__NO_CONTRACT _Pragma("STDC FP_CONTRACT OFF")
#if defined(__ARM_FEATURE_MVE)
#pragma clang attribute push(__attribute__((target("no-mve.fp"))), apply_to = function)
#endif
#else
#define LLAMA__NO_CONTRACT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- exp, 1 / sqrt, sine and cosine --------------------------------------------------------------------------------- */

static uint32_t llama__bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static float llama__float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

/* e^x = 2^n e^r, |r| <= ln(2) / 2, e^r by its series up to r^6 (the next term is below 1.2e-7). ln(2) in two parts, of which the first
   has so few bits that its product with n is exact. Below -87 (2^-126) 0, from 88 (2^127) on e^88. */
static float llama__exp(float x)
{
    LLAMA__NO_CONTRACT
    float n, r;
    int32_t whole;
    if (x < -87.0f) return 0.0f;
    if (x > 88.0f) x = 88.0f;
    if (x != x) return x;
    whole = (int32_t)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    n = (float)whole;
    r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    r = 1.0f + r * (1.0f + r * (0.5f + r * (1.66666667e-1f + r * (4.16666667e-2f + r * (8.33333333e-3f + r * 1.38888889e-3f)))));
    return r * llama__float((uint32_t)(whole + 127) << 23);
}

/* 1 / sqrt(x), x normal: halving the exponent gives it to 4 %, and Newton's steps square that error (times 1.5). */
static float llama__inverse_sqrt(float x)
{
    LLAMA__NO_CONTRACT
    float y = llama__float(0x5f3759dfu - (llama__bits(x) >> 1)), half = x * 0.5f;
    int i;
    for (i = 0; i < 4; i++) y = y * (1.5f - half * y * y);
    return y;
}

/* ln(x), x normal: x = 2^n m with m from 1 / sqrt(2) to sqrt(2), and ln(m) = 2 artanh(z), z = (m - 1) / (m + 1), by its series up to z^11
   (the next term is below 4e-11). */
static float llama__log(float x)
{
    LLAMA__NO_CONTRACT
    uint32_t u = llama__bits(x);
    int32_t n = (int32_t)(u >> 23) - 127;
    float z = llama__float((u & 0x7fffffu) | 0x3f800000u), y, whole;
    if (z > 1.41421356f) z *= 0.5f, n++;
    z = (z - 1.0f) / (z + 1.0f);
    y = z * z;
    y = z * y * (0.666666667f + y * (0.4f + y * (0.285714286f + y * (0.222222222f + y * 0.181818182f))));
    whole = (float)n;
    return whole * 0.693359375f + (2.0f * z + (y - whole * 2.12194440e-4f));
}

/* A turn by an angle: its cosine and sine. Turns are multiplied as complex numbers. */
typedef struct llama__rotation {
    float c, s;
} llama__rotation;

static llama__rotation llama__complex_product(llama__rotation a, llama__rotation b)
{
    LLAMA__NO_CONTRACT
    llama__rotation y;
    y.c = a.c * b.c - a.s * b.s;
    y.s = a.c * b.s + a.s * b.c;
    return y;
}

/* Back to length 1 from close to it, a step of Newton's: lengths would grow with the position, by 6 % until a million, and scores by their
   square. */
static llama__rotation llama__unit(llama__rotation a)
{
    LLAMA__NO_CONTRACT
    float by = 1.5f - 0.5f * (a.c * a.c + a.s * a.s);
    a.c *= by;
    a.s *= by;
    return a;
}

/* Position times theta^(-i / half) = e^(i / half * rate), rate = -ln(theta). For position 1 that is an angle of at most 1, by the series up
   to the 10th power (the next term is below 3e-8), then by the bits of the position: an error of about position * 1e-7, which is that of
   the angle as a float. Of two positions it is nearly the same, so what a score depends on, their distance, is turned by as if there
   were no others. */
static llama__rotation llama__rotation_at(uint32_t position, uint32_t i, uint32_t half, float rate)
{
    LLAMA__NO_CONTRACT
    float x = llama__exp((float)i / (float)half * rate), y = x * x;
    llama__rotation one, all = { 1.0f, 0.0f };
    one.c = 1.0f - y * (0.5f - y * (4.16666667e-2f - y * (1.38888889e-3f - y * (2.48015873e-5f - y * 2.75573192e-7f))));
    one.s = x * (1.0f - y * (1.66666667e-1f - y * (8.33333333e-3f - y * (1.98412698e-4f - y * 2.75573192e-6f))));
    for (; position; position >>= 1, one = llama__unit(llama__complex_product(one, one)))
        if (position & 1) all = llama__complex_product(all, one);
    return all;
}

/* ---- model ------------------------------------------------------------------------------------------------------------ */

const char *const llama_linear_name[LLAMA_LINEARS] = { "wq", "wk", "wv", "wo", "w1", "w2", "w3" };

/* "layers.N.what" in name[40] */
static const char *llama__name(char *name, uint32_t layer, const char *what)
{
    char digits[10];
    size_t n = 7, d = 0;
    memcpy(name, "layers.", 7);
    do digits[d++] = (char)('0' + layer % 10); while ((layer /= 10) != 0);
    while (d) name[n++] = digits[--d];
    name[n++] = '.';
    memcpy(name + n, what, strlen(what) + 1);
    return name;
}

const char *llama_layer_part(const char *name, uint32_t layers, uint32_t *layer)
{
    uint32_t n = 0;
    const char *s = name + 7;
    if (strncmp(name, "layers.", 7) != 0 || *s < '0' || *s > '9') return NULL;
    if (*s == '0' && s[1] != '.') return NULL;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (n > 99999999) return NULL;
        n = 10 * n + (uint32_t)(*s - '0');
    }
    if (*s != '.' || n >= layers) return NULL;
    *layer = n;
    return s + 1;
}

static const char *const llama__bias_name[3] = { "bq", "bk", "bv" };

/* Has any layer a bias? */
static int llama__any_bias(const llama_model *m, const llmq_bundle *b)
{
    char name[40];
    uint32_t l, i, index;
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < 3; i++)
            if (llmq_bundle_find(b, llama__name(name, l, llama__bias_name[i]), &index) == LLMQ_OK) return 1;
    return 0;
}

/* Values, with their ranges in bits: positive floats are in the order of their bits. The first seven have to be there. */
enum { LLAMA__DIM, LLAMA__HIDDEN, LLAMA__LAYERS, LLAMA__HEADS, LLAMA__KV_HEADS, LLAMA__VOCAB, LLAMA__CONTEXT, LLAMA__THETA, LLAMA__HALVES,
       LLAMA__EPSILON, LLAMA__ABITS, LLAMA__AZERO, LLAMA__ASCALES, LLAMA__ACLIP, LLAMA__VALUES };
static const struct llama__value { const char *name; uint32_t type, min, max; } llama__value[LLAMA__VALUES] = {
    { "llama.dim", LLMQ_VALUE_U32, 1, 1u << 24 }, { "llama.hidden", LLMQ_VALUE_U32, 1, 1u << 24 }, { "llama.layers", LLMQ_VALUE_U32, 1, 65536 },
    { "llama.heads", LLMQ_VALUE_U32, 1, 1u << 24 }, { "llama.kv_heads", LLMQ_VALUE_U32, 1, 1u << 24 }, { "llama.vocab", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.context", LLMQ_VALUE_U32, 1, 1u << 24 }, { "llama.rope_theta", LLMQ_VALUE_F32, 0x3f800000u, 0x7149f2cau /* 1 to 1e30 */ },
    { "llama.rope_halves", LLMQ_VALUE_U32, 0, 1 }, { "llama.norm_epsilon", LLMQ_VALUE_F32, 0x2b8cbcccu, 0x3f800000u /* 1e-12 to 1 */ },
    { "llama.abits", LLMQ_VALUE_U32, 2, 32 }, { "llama.azero", LLMQ_VALUE_U32, 0, 1 }, { "llama.ascales", LLMQ_VALUE_U32, 0, LLMQ_SCALES_BATCH },
    { "llama.aclip", LLMQ_VALUE_F32, 1, 0x3f800000u /* above 0, to 1 */ }
};

#define LLAMA__WHOLE 0xffffffffu /* in place of a layer: a name that is whole */

/* What is looked at from now on, and to blame if that ends with an error: the entry of that name, or "layers.LAYER.NAME". */
static void llama__blame(llama_model *m, uint32_t layer, const char *name) { m->fault = name, m->fault_layer = layer; }

/* The bits of value i, u32 or f32; *bits stays as it is if there is none and there need not be. */
static llmq_status llama__read_value(llama_model *m, const llmq_bundle *b, uint32_t i, uint32_t *bits)
{
    const struct llama__value *v = &llama__value[i];
    const void *data;
    size_t size;
    llmq_status status = llmq_bundle_value(b, v->name, v->type, &data, &size);
    const unsigned char *c = (const unsigned char *)data;
    uint32_t value;
    llama__blame(m, LLAMA__WHOLE, v->name);
    if (status == LLMQ_E_NOT_FOUND && i > LLAMA__CONTEXT) /* it may be of another kind or type */
        return llmq_bundle_find(b, v->name, &value) == LLMQ_OK ? LLMQ_E_CORRUPT : LLMQ_OK;
    if (status != LLMQ_OK) return status;
    value = (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
    if (value < v->min || value > v->max) return LLMQ_E_CORRUPT;
    *bits = value;
    return LLMQ_OK;
}

static uint32_t llama__kv(const llama_model *m) { return m->dim / m->heads * m->kv_heads; }

static llmq_status llama__config(llama_model *m, const llmq_bundle *b)
{
    uint32_t value[LLAMA__EPSILON + 1], i;
    llmq_status status;
    memset(m, 0, sizeof *m);
    value[LLAMA__THETA] = 0x461c4000u, value[LLAMA__HALVES] = 0, value[LLAMA__EPSILON] = 0x3727c5acu; /* 10000, 0, 1e-5 */
    for (i = 0; i <= LLAMA__EPSILON; i++)
        if ((status = llama__read_value(m, b, i, &value[i])) != LLMQ_OK) return status;
    m->dim = value[LLAMA__DIM], m->hidden = value[LLAMA__HIDDEN], m->layers = value[LLAMA__LAYERS], m->heads = value[LLAMA__HEADS];
    m->kv_heads = value[LLAMA__KV_HEADS], m->vocab = value[LLAMA__VOCAB], m->context = value[LLAMA__CONTEXT];
    m->theta = llama__float(value[LLAMA__THETA]), m->halves = (int)value[LLAMA__HALVES], m->epsilon = llama__float(value[LLAMA__EPSILON]);
    llama__blame(m, LLAMA__WHOLE, "llama.heads");
    if (m->dim % m->heads || m->dim / m->heads % 2) return LLMQ_E_CORRUPT;
    llama__blame(m, LLAMA__WHOLE, "llama.kv_heads");
    if (m->heads % m->kv_heads) return LLMQ_E_CORRUPT;
    m->rope_rate = -llama__log(m->theta);
    m->biased = llama__any_bias(m, b);
    llama__blame(m, LLAMA__WHOLE, NULL);
    return LLMQ_OK;
}

/* Not on a multiple of what pointers need? */
struct llama__aligned { char byte; void *pointer; };
static int llama__misaligned(const void *mem) { return (uintptr_t)mem % offsetof(struct llama__aligned, pointer) != 0; }

/* Memory is handed out front to back, in units of 16 bytes. With mem NULL only the sum is made; SIZE_MAX: overflow. */
typedef struct llama__pool {
    unsigned char *mem;
    size_t used;
} llama__pool;

static void *llama__take(llama__pool *p, size_t a, size_t b, size_t c)
{
    size_t at = p->used, n = a;
    if (b != 0 && n > SIZE_MAX / b) p->used = SIZE_MAX;
    n *= b;
    if (c != 0 && n > SIZE_MAX / c) p->used = SIZE_MAX;
    n *= c;
    if (p->used > SIZE_MAX - 16 || n > SIZE_MAX - 16 - p->used) {
        p->used = SIZE_MAX;
        return NULL;
    }
    p->used += (n + 15) / 16 * 16;
    return p->mem ? p->mem + at : NULL;
}

static void llama__place_model(llama_model *m, llama__pool *p)
{
    m->layer = (llama_layer *)llama__take(p, m->layers, sizeof *m->layer, 1);
    m->norm = (float *)llama__take(p, (size_t)m->layers * 2 + 1, m->dim, sizeof(float));
    m->bias = m->biased ? (float *)llama__take(p, m->layers, (size_t)m->dim + 2 * (size_t)llama__kv(m), sizeof(float)) : NULL;
}

size_t llama_model_size(const llmq_bundle *b)
{
    llama_model m;
    llama__pool p = { NULL, 0 };
    if (llama__config(&m, b) != LLMQ_OK) return 0;
    llama__place_model(&m, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

static llmq_status llama__tensor(const llmq_bundle *b, const char *name, uint32_t rows, uint32_t cols, llmq_tensor *t)
{
    llmq_status status = llmq_bundle_tensor(b, name, t);
    if (status != LLMQ_OK) return status;
    return t->rows == rows && t->cols == cols ? LLMQ_OK : LLMQ_E_CORRUPT;
}

/* Is this the name of a tensor of the model? */
static int llama__is_tensor(const llama_model *m, const char *name)
{
    static const char *const whole[3] = { "embed", "classifier", "norm" }, *const norm[2] = { "norm1", "norm2" };
    uint32_t layer, i;
    const char *part = llama_layer_part(name, m->layers, &layer);
    for (i = 0; i < 3 && !part; i++)
        if (strcmp(name, whole[i]) == 0) return 1;
    for (i = 0; i < LLAMA_LINEARS && part; i++) {
        if (strcmp(part, llama_linear_name[i]) == 0) return 1;
        if (i < 3 && strcmp(part, llama__bias_name[i]) == 0) return 1;
        if (i < 2 && strcmp(part, norm[i]) == 0) return 1;
    }
    return 0;
}

/* What is in the bundle and would change what a model computes, if this code knew it: it must not be passed over. */
static llmq_status llama__check_entries(llama_model *m, const llmq_bundle *b)
{
    uint32_t i, k;
    for (i = 0; i < b->count; i++) {
        llmq_entry e;
        int known = 1;
        llmq_status status = llmq_bundle_at(b, i, &e);
        if (status != LLMQ_OK) return status;
        if (e.kind == LLMQ_KIND_TENSOR) known = llama__is_tensor(m, e.name);
        if (e.kind == LLMQ_KIND_VALUE && strncmp(e.name, "llama.", 6) == 0)
            for (known = 0, k = 0; k < LLAMA__VALUES && !known; k++) known = strcmp(e.name, llama__value[k].name) == 0;
        llama__blame(m, LLAMA__WHOLE, e.name);
        if (!known) return LLMQ_E_UNSUPPORTED;
    }
    return LLMQ_OK;
}

static llmq_status llama__activation_config(llama_model *m, const llmq_bundle *b)
{
    llmq_activation_options *o = &m->activation;
    uint32_t bits = 8, zero, scales, clip;
    llmq_status status;
    if ((status = llama__read_value(m, b, LLAMA__ABITS, &bits)) != LLMQ_OK) return status;
    if (bits > 8 && bits != 32) return LLMQ_E_CORRUPT;
#if LLMQ_NO_ACTIVATION_OPTIONS
    o->bits = bits, o->asymmetric = 0, o->scales = LLMQ_SCALES_GROUP, o->clip = 1.0f;
    if (bits < 8) return LLMQ_E_UNSUPPORTED;
#else
    *o = llmq_activation_defaults(bits);
#endif
    zero = (uint32_t)o->asymmetric, scales = (uint32_t)o->scales;
    clip = llama__bits(o->clip);
    if ((status = llama__read_value(m, b, LLAMA__AZERO, &zero)) != LLMQ_OK) return status;
    if (LLMQ_NO_ACTIVATION_OPTIONS && zero) return LLMQ_E_UNSUPPORTED;
    if ((status = llama__read_value(m, b, LLAMA__ASCALES, &scales)) != LLMQ_OK) return status;
    if (LLMQ_NO_ACTIVATION_OPTIONS && scales) return LLMQ_E_UNSUPPORTED;
    if ((status = llama__read_value(m, b, LLAMA__ACLIP, &clip)) != LLMQ_OK) return status;
    o->clip = llama__float(clip);
    if (LLMQ_NO_ACTIVATION_OPTIONS && o->clip < 1.0f) return LLMQ_E_UNSUPPORTED;
    o->asymmetric = (int)zero, o->scales = (int)scales;
    return LLMQ_OK;
}

llmq_status llama_cache_bits(llama_cache *c, uint32_t bits)
{
    static const struct { uint32_t bits; char name[4]; } table[] = { { 32, "f32" }, { 16, "f16" }, { 8, "g8" }, { 6, "g6" }, { 5, "g5" }, { 4, "g4" }, { 3, "g3" }, { 2, "g2" } };
    uint32_t i;
    llmq_status status = LLMQ_E_NOT_FOUND;
    for (i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].bits == bits) status = llmq_format_find(&c->key, table[i].name, 0);
    if (status == LLMQ_OK) c->value = c->key;
    return status;
}

/* Matrix i of layer l, looked up. */
static llmq_status llama__find(const llama_model *m, uint32_t l, uint32_t i, llmq_tensor *t)
{
    char name[40];
    uint32_t kv = llama__kv(m), rows = i == LLAMA_WK || i == LLAMA_WV ? kv : i == LLAMA_W1 || i == LLAMA_W3 ? m->hidden : m->dim;
    return llama__tensor(&m->bundle, llama__name(name, l, llama_linear_name[i]), rows, i == LLAMA_W2 ? m->hidden : m->dim, t);
}

/* Matrix i of layer l: the view there is, or one made at *room. */
static llmq_status llama__matrix(const llama_model *m, uint32_t l, uint32_t i, llmq_tensor *room, const llmq_tensor **t)
{
    *t = m->layer ? &m->layer[l].linear[i] : room;
    return m->layer ? LLMQ_OK : llama__find(m, l, i, room);
}

/* Weights of norm `second` of layer l, or of the last norm, l = layers. */
static llmq_status llama__read_norm(const llama_model *m, uint32_t l, int second, float *weight)
{
    char name[40];
    llmq_tensor t;
    const char *which = l == m->layers ? "norm" : llama__name(name, l, second ? "norm2" : "norm1");
    llmq_status status = llama__tensor(&m->bundle, which, 1, m->dim, &t);
    if (status == LLMQ_OK && t.transform.count != 0) status = LLMQ_E_CORRUPT; /* weights of a norm are in no other basis */
    return status != LLMQ_OK || !weight ? status : llmq_tensor_decode(&t, 0, weight, NULL, 0);
}

/* Numbers of the bias of wq, wk or wv (i = 0, 1, 2). */
static uint32_t llama__bias_size(const llama_model *m, uint32_t i) { return i == 0 ? m->dim : llama__kv(m); }

/* That bias of layer l. LLMQ_E_NOT_FOUND: it has none. */
static llmq_status llama__read_bias(const llama_model *m, uint32_t l, uint32_t i, float *bias)
{
    char name[40];
    llmq_tensor t;
    llmq_status status = llama__tensor(&m->bundle, llama__name(name, l, llama__bias_name[i]), 1, llama__bias_size(m, i), &t);
    if (status == LLMQ_OK && t.transform.count != 0) status = LLMQ_E_CORRUPT;
    return status != LLMQ_OK || !bias ? status : llmq_tensor_decode(&t, 0, bias, NULL, 0);
}

/* Everything of a layer, which is checked even where nothing is kept of it. */
static llmq_status llama__read_layer(llama_model *m, uint32_t l)
{
    llama_layer *y = m->layer ? &m->layer[l] : NULL;
    float *bias = m->bias ? m->bias + (size_t)l * ((size_t)m->dim + 2 * (size_t)llama__kv(m)) : NULL;
    llmq_tensor t;
    llmq_status status;
    uint32_t i;
    if (y) y->norm1 = m->norm + (size_t)(2 * l + 1) * m->dim, y->norm2 = y->norm1 + m->dim;
    llama__blame(m, l, "norm1");
    if ((status = llama__read_norm(m, l, 0, y ? y->norm1 : NULL)) != LLMQ_OK) return status;
    llama__blame(m, l, "norm2");
    if ((status = llama__read_norm(m, l, 1, y ? y->norm2 : NULL)) != LLMQ_OK) return status;
    for (i = 0; i < LLAMA_LINEARS; i++) {
        llama__blame(m, l, llama_linear_name[i]);
        if ((status = llama__find(m, l, i, y ? &y->linear[i] : &t)) != LLMQ_OK) return status;
    }
    for (i = 0; i < 3; i++) {
        llama__blame(m, l, llama__bias_name[i]);
        status = m->biased ? llama__read_bias(m, l, i, bias) : LLMQ_E_NOT_FOUND;
        if (status != LLMQ_OK && status != LLMQ_E_NOT_FOUND) return status;
        if (y) y->bias[i] = status == LLMQ_OK ? bias : NULL;
        if (bias) bias += llama__bias_size(m, i);
    }
    return LLMQ_OK;
}

llmq_status llama_model_init(llama_model *m, const llmq_bundle *b, void *mem, size_t size)
{
    llama__pool p;
    llmq_status status = llama__config(m, b);
    size_t need = mem ? llama_model_size(b) : 0;
    uint32_t l;
    if (status == LLMQ_OK) status = llama__check_entries(m, b);
    if (status != LLMQ_OK) return status;
    llama__blame(m, LLAMA__WHOLE, NULL);
    if (mem && need == 0) return LLMQ_E_LIMIT;
    if (llama__misaligned(mem)) return LLMQ_E_ARG;
    if (mem ? size < need : size != 0) return LLMQ_E_WORKSPACE;
    m->bundle = *b;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    if (mem) llama__place_model(m, &p);
    llama__blame(m, LLAMA__WHOLE, "embed");
    if ((status = llama__tensor(b, "embed", m->vocab, m->dim, &m->embed)) != LLMQ_OK) return status;
    llama__blame(m, LLAMA__WHOLE, "classifier");
    status = llama__tensor(b, "classifier", m->vocab, m->dim, &m->classifier);
    if (status == LLMQ_E_NOT_FOUND) m->classifier = m->embed;
    else if (status != LLMQ_OK) return status;
    if ((status = llama__activation_config(m, b)) != LLMQ_OK) return status;
    llama__blame(m, LLAMA__WHOLE, NULL);
    if ((status = llama_cache_bits(&m->cache, 32)) == LLMQ_E_NOT_FOUND) status = LLMQ_OK; /* f32 was left out: the caller chooses another */
    if (status != LLMQ_OK) return status;
    llama__blame(m, LLAMA__WHOLE, "norm");
    if ((status = llama__read_norm(m, m->layers, 0, m->norm)) != LLMQ_OK) return status;
    for (l = 0; l < m->layers; l++)
        if ((status = llama__read_layer(m, l)) != LLMQ_OK) return status;
    llama__blame(m, LLAMA__WHOLE, NULL);
    return LLMQ_OK;
}

const char *llama_model_fault(const llama_model *m, char name[256])
{
    name[0] = 0;
    if (m->fault && m->fault_layer != LLAMA__WHOLE) (void)llama__name(name, m->fault_layer, m->fault);
    else if (m->fault) memcpy(name, m->fault, strlen(m->fault) + 1); /* of a bundle: at most 255 bytes */
    return name;
}

static size_t llama__max(size_t a, size_t b) { return a > b ? a : b; }

/* Bytes for one activation of t, and for `batch` of them, however they are quantized; 0 on overflow. */
static size_t llama__activation(const llmq_tensor *t) { return (llama__max(llmq_activation_size(t, 32), llmq_activation_size(t, 8)) + 15) / 16 * 16; }
static size_t llama__activations(const llmq_tensor *t, uint32_t batch)
{
    size_t one = llama__activation(t), all;
    if (batch == 0 || one == 0 || one > SIZE_MAX / batch) return 0;
    all = one * batch;
#if !LLMQ_NO_ACTIVATION_OPTIONS
    {
        static const llmq_activation_options most = { 8, 1, LLMQ_SCALES_BATCH, 1.0f };
        size_t size = llmq_activations_size(t, &most, batch);
        all = size == 0 ? 0 : llama__max(all, size);
    }
#endif
    return all;
}

/* The largest memory that anything needs for the activations of a call, and for decoding or encoding a row. */
static llmq_status llama__needs(const llama_model *m, const llama_state *s, uint32_t batch, size_t *activations, size_t *work)
{
    size_t need = llama__activations(&m->classifier, batch), key = llmq_encode_work_size(&s->key), value = llmq_encode_work_size(&s->value);
    uint32_t l, i;
    llmq_tensor room;
    const llmq_tensor *t;
    llmq_status status;
    *activations = need ? need : SIZE_MAX;
    *activations = llama__max(*activations, llama__activation(&s->key));
    *work = llama__max(llmq_transform_work_size(&m->embed.transform, m->dim), llama__max(key, value));
    if (!m->layer) *work = llama__max(*work, m->dim * sizeof(float)); /* weights of a norm, or a bias */
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < LLAMA_LINEARS; i++) {
            if ((status = llama__matrix(m, l, i, &room, &t)) != LLMQ_OK) return status;
            need = llama__activations(t, batch);
            *activations = llama__max(*activations, need ? need : SIZE_MAX);
        }
    return LLMQ_OK;
}

/* Views of a head's cache. Their data is set when they are used, and stands for something until then. */
static llmq_status llama__cache_views(llama_state *s, const llama_model *m)
{
    const uint32_t head = m->dim / m->heads;
    llmq_status status;
    if (m->layers > SIZE_MAX / m->kv_heads) return LLMQ_E_LIMIT;
    if (m->cache.key.taps[0] || m->cache.value.taps[0] || m->cache.window > 1u << 24) return LLMQ_E_ARG;
    s->window = m->cache.window ? m->cache.window : m->context;
    if ((status = llmq_tensor_init(&s->key, &m->cache.key, &m->cache.transform, s->window, head, m, SIZE_MAX)) != LLMQ_OK) return status;
    return llmq_tensor_init(&s->value, &m->cache.value, &m->cache.transform, s->window, head, m, SIZE_MAX);
}

static llmq_status llama__place_state(llama_state *s, const llama_model *m, uint32_t batch, llama__pool *p)
{
    const size_t f = sizeof(float), half = m->dim / m->heads / 2, kv = llama__kv(m);
    llmq_status status;
    memset(s, 0, sizeof *s);
    if ((status = llama__cache_views(s, m)) != LLMQ_OK) return status;
    if ((status = llama__needs(m, s, batch, &s->activation_size, &s->work_size)) != LLMQ_OK) return status;
    s->batch = batch;
    s->x = (float *)llama__take(p, batch, m->dim, f);
    s->normed = (float *)llama__take(p, batch, m->dim, f);
    s->q = (float *)llama__take(p, batch, m->dim, f);
    s->keys = (float *)llama__take(p, batch, kv, f);
    s->values = (float *)llama__take(p, batch, kv, f);
    s->attention = (float *)llama__take(p, batch, m->dim, f);
    s->up = (float *)llama__take(p, batch, m->hidden, f);
    s->gate = (float *)llama__take(p, batch, m->hidden, f);
    s->cosine = (float *)llama__take(p, batch, half, f);
    s->sine = (float *)llama__take(p, batch, half, f);
    s->scores = (float *)llama__take(p, s->window, f, 1);
    s->cache = (unsigned char *)llama__take(p, (size_t)m->layers * m->kv_heads, s->window, s->key.row_size + s->value.row_size);
    s->activation = (llmq_activation *)llama__take(p, batch, sizeof *s->activation, 1);
    s->activation_memory = (unsigned char *)llama__take(p, s->activation_size, 1, 1);
    s->work = (unsigned char *)llama__take(p, s->work_size, 1, 1);
    return LLMQ_OK;
}

size_t llama_state_size(const llama_model *m, uint32_t batch)
{
    llama_state s;
    llama__pool p = { NULL, 0 };
    if (llama__place_state(&s, m, batch, &p) != LLMQ_OK) return 0;
    return p.used == SIZE_MAX ? 0 : p.used;
}

llmq_status llama_state_init(llama_state *s, const llama_model *m, uint32_t batch, void *mem, size_t size)
{
    llama__pool p;
    size_t need = llama_state_size(m, batch);
    if (!mem || batch == 0 || need == 0 || llama__misaligned(mem)) return LLMQ_E_ARG;
    if (size < need) return LLMQ_E_WORKSPACE;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    return llama__place_state(s, m, batch, &p);
}

/* ---- forward ---------------------------------------------------------------------------------------------------------- */

static void llama__rmsnorm(float *out, const float *x, const float *weight, uint32_t n, float epsilon)
{
    LLAMA__NO_CONTRACT
    float sum = 0.0f;
    uint32_t i;
    for (i = 0; i < n; i++) sum += x[i] * x[i];
    sum = llama__inverse_sqrt(sum / (float)n + epsilon);
    for (i = 0; i < n; i++) out[i] = weight[i] * (sum * x[i]);
}

/* normed <- norm `second` of layer l, or the last norm, l = layers, of x */
static llmq_status llama__normalise(const llama_model *m, llama_state *s, uint32_t l, int second, uint32_t count)
{
    const float *weight = l == m->layers ? m->norm : !m->layer ? NULL : second ? m->layer[l].norm2 : m->layer[l].norm1;
    uint32_t i;
    if (!m->layer) {
        llmq_status status = llama__read_norm(m, l, second, (float *)(void *)s->work);
        if (status != LLMQ_OK) return status;
        weight = (const float *)(const void *)s->work;
    }
    for (i = 0; i < count; i++) llama__rmsnorm(s->normed + (size_t)i * m->dim, s->x + (size_t)i * m->dim, weight, m->dim, m->epsilon);
    return LLMQ_OK;
}

/* Activations of count vectors for t. */
static llmq_status llama__prepare(const llama_model *m, llama_state *s, const llmq_tensor *t, const float *x, uint32_t count)
{
    const uint32_t bits = t->format.points ? m->activation.bits : 32;
    size_t one = llama__activation(t);
    llmq_status status = LLMQ_OK;
    uint32_t i;
#if !LLMQ_NO_ACTIVATION_OPTIONS
    if (bits != 32) return llmq_activations_prepare(s->activation, t, &m->activation, count, x, t->cols, s->activation_memory, s->activation_size);
#endif
    if (one == 0 || s->activation_size / count < one) return LLMQ_E_WORKSPACE; /* of a tensor that the state was not made for */
    for (i = 0; i < count && status == LLMQ_OK; i++)
        status = llmq_activation_prepare(&s->activation[i], t, bits, x + (size_t)i * t->cols, s->activation_memory + i * one, one);
    return status;
}

/* y[i] = rows [r0, r1) of W times x[i], for count vectors. *prepared says whether s->activation already holds them; tensors that read the same
   input in the same basis share it, and a tensor that does not fit, or is raw between quantized ones, gets its own. */
static llmq_status llama__linear(const llama_model *m, llama_state *s, const llmq_tensor *t, uint32_t r0, uint32_t r1, const float *x,
                                 uint32_t count, int *prepared, float *y, size_t stride)
{
    const int quantized = t->format.points != NULL && m->activation.bits != 32;
    llmq_status status = LLMQ_E_MISMATCH;
    if (*prepared && (s->activation->q != NULL) == quantized) status = llmq_matmul(t, s->activation, count, r0, r1, y, stride);
    if (status != LLMQ_E_MISMATCH) return status;
    status = llama__prepare(m, s, t, x, count);
    if (status != LLMQ_OK) return status;
    *prepared = 1;
    return llmq_matmul(t, s->activation, count, r0, r1, y, stride);
}

static llmq_status llama__look(const llama_state *s, int place, uint32_t l, uint32_t count, uint32_t position)
{
    return s->watch ? s->watch(s->watch_context, place, l, s, count, position) : LLMQ_OK;
}

/* Matrix i of layer l times count vectors. */
static llmq_status llama__product(const llama_model *m, llama_state *s, uint32_t l, uint32_t i, const float *x, uint32_t count, int *prepared,
                                  float *y)
{
    llmq_tensor room;
    const llmq_tensor *t;
    llmq_status status = llama__matrix(m, l, i, &room, &t);
    return status != LLMQ_OK ? status : llama__linear(m, s, t, 0, t->rows, x, count, prepared, y, t->rows);
}

/* y[count] += the bias of wq, wk or wv of layer l. */
static llmq_status llama__add_bias(const llama_model *m, llama_state *s, uint32_t l, uint32_t which, uint32_t count, float *y)
{
    const uint32_t n = llama__bias_size(m, which);
    const float *bias = m->layer ? m->layer[l].bias[which] : (const float *)(const void *)s->work;
    uint32_t i, k;
    if (!m->biased || !bias) return LLMQ_OK;
    if (!m->layer) {
        llmq_status status = llama__read_bias(m, l, which, (float *)(void *)s->work);
        if (status != LLMQ_OK) return status == LLMQ_E_NOT_FOUND ? LLMQ_OK : status;
    }
    for (i = 0; i < count; i++)
        for (k = 0; k < n; k++) y[(size_t)i * n + k] += bias[k];
    return LLMQ_OK;
}

/* RoPE at `count` positions from `position` on. */
static void llama__turn_to(const llama_model *m, llama_state *s, uint32_t position, uint32_t count)
{
    uint32_t half = m->dim / m->heads / 2, i, k;
    if (s->rotations >= count && s->rotations_from == position) return;
    for (i = 0; i < count; i++)
        for (k = 0; k < half; k++) {
            llama__rotation turn = llama__rotation_at(position + i, k, half, m->rope_rate);
            s->cosine[(size_t)i * half + k] = turn.c;
            s->sine[(size_t)i * half + k] = turn.s;
        }
    s->rotations = count;
    s->rotations_from = position;
}

/* RoPE on pairs of each head, which are neighbours or half a head apart: of token i of the call. */
static void llama__rotate(const llama_model *m, const llama_state *s, float *v, uint32_t n, uint32_t i)
{
    uint32_t half = m->dim / m->heads / 2, k, apart = m->halves ? half : 1;
    for (k = 0; k < n / 2; k++) {
        size_t at = (size_t)i * half + k % half;
        float *pair = v + (m->halves ? k / half * 2 * half + k % half : 2 * k);
        llama__rotation from, by;
        from.c = pair[0], from.s = pair[apart];
        by.c = s->cosine[at], by.s = s->sine[at];
        from = llama__complex_product(from, by);
        pair[0] = from.c, pair[apart] = from.s;
    }
}

/* Softmax of n scores times `scale`, in place. */
static void llama__softmax(float *score, uint32_t n, float scale)
{
    LLAMA__NO_CONTRACT
    float most = score[0], sum = 0.0f;
    uint32_t p;
    for (p = 1; p < n; p++)
        if (score[p] > most) most = score[p];
    for (p = 0; p < n; p++) sum += score[p] = llama__exp((score[p] - most) * scale);
    sum = 1.0f / sum;
    for (p = 0; p < n; p++) score[p] *= sum;
}

/* One query head against the n positions in the cache of its key-value head. */
static llmq_status llama__attend(const llama_model *m, llama_state *s, uint32_t n, const float *q, float *out)
{
    const uint32_t bits = s->key.format.points ? 8 : 32;
    llmq_status status = llmq_activation_prepare(s->activation, &s->key, bits, q, s->activation_memory, s->activation_size);
    if (status == LLMQ_OK) status = llmq_matvec(&s->key, s->activation, 0, n, s->scores);
    if (status != LLMQ_OK) return status;
    llama__softmax(s->scores, n, llama__inverse_sqrt((float)(m->dim / m->heads)));
    return llmq_matvec_transposed(&s->value, s->scores, 0, n, out, s->work, s->work_size);
}

/* Row `slot` of a tensor whose rows lie at data: appended to a view of the nothing before it. */
static llmq_status llama__keep(llama_state *s, llmq_tensor *t, unsigned char *data, uint32_t slot, const float *row)
{
    llmq_tensor one = *t;
    t->data = data;
    data += (size_t)slot * t->row_size;
    one.data = data;
    one.rows = 0;
    return llmq_tensor_append(&one, data, t->row_size, row, NULL, s->work, s->work_size);
}

/* Keep the key and the value of token i of the call at its place in layer l, then attend with its queries: a key-value head at a time. */
static llmq_status llama__attend_token(const llama_model *m, llama_state *s, uint32_t l, uint32_t i, uint32_t position)
{
    const uint32_t size = m->dim / m->heads, queries = m->heads / m->kv_heads, n = position < s->window ? position + 1 : s->window, slot = position % s->window;
    const size_t key = (size_t)s->window * s->key.row_size, value = (size_t)s->window * s->value.row_size;
    unsigned char *at = s->cache + (size_t)l * m->kv_heads * (key + value);
    llmq_status status;
    uint32_t g, h;
    for (g = 0; g < m->kv_heads; g++, at += key + value) {
        const size_t from = (size_t)i * llama__kv(m) + (size_t)g * size;
        if ((status = llama__keep(s, &s->key, at, slot, s->keys + from)) != LLMQ_OK) return status;
        if ((status = llama__keep(s, &s->value, at + key, slot, s->values + from)) != LLMQ_OK) return status;
        for (h = g * queries; h < (g + 1) * queries; h++) {
            const size_t head = (size_t)i * m->dim + (size_t)h * size;
            if ((status = llama__attend(m, s, n, s->q + head, s->attention + head)) != LLMQ_OK) return status;
        }
    }
    return LLMQ_OK;
}

static llmq_status llama__attention(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    uint32_t kv = llama__kv(m), i;
    int prepared = 0;
    llmq_status status;
    if ((status = llama__normalise(m, s, l, 0, count)) != LLMQ_OK) return status;
    if ((status = llama__product(m, s, l, LLAMA_WQ, s->normed, count, &prepared, s->q)) != LLMQ_OK) return status;
    if ((status = llama__product(m, s, l, LLAMA_WK, s->normed, count, &prepared, s->keys)) != LLMQ_OK) return status;
    if ((status = llama__product(m, s, l, LLAMA_WV, s->normed, count, &prepared, s->values)) != LLMQ_OK) return status;
    if ((status = llama__add_bias(m, s, l, 0, count, s->q)) != LLMQ_OK) return status;
    if ((status = llama__add_bias(m, s, l, 1, count, s->keys)) != LLMQ_OK) return status;
    if ((status = llama__add_bias(m, s, l, 2, count, s->values)) != LLMQ_OK) return status;
    llama__turn_to(m, s, position, count);
    for (i = 0; i < count; i++) {
        llama__rotate(m, s, s->q + (size_t)i * m->dim, m->dim, i);
        llama__rotate(m, s, s->keys + (size_t)i * kv, kv, i);
        if ((status = llama__attend_token(m, s, l, i, position + i)) != LLMQ_OK) return status;
    }
    if ((status = llama__look(s, LLAMA_AT_ATTENTION, l, count, position)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_OUTPUT, l, count, position)) != LLMQ_OK) return status;
    prepared = 0;
    return llama__product(m, s, l, LLAMA_WO, s->attention, count, &prepared, s->normed);
}

/* gate <- silu(gate) * up */
static void llama__swiglu(float *gate, const float *up, size_t n)
{
    LLAMA__NO_CONTRACT
    size_t i;
    for (i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + llama__exp(-gate[i])) * up[i];
}

/* x += y */
static void llama__add(float *x, const float *y, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) x[i] += y[i];
}

static llmq_status llama__feed_forward(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    int prepared = 0;
    llmq_status status;
    if ((status = llama__normalise(m, s, l, 1, count)) != LLMQ_OK) return status;
    if ((status = llama__product(m, s, l, LLAMA_W1, s->normed, count, &prepared, s->gate)) != LLMQ_OK) return status;
    if ((status = llama__product(m, s, l, LLAMA_W3, s->normed, count, &prepared, s->up)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_FEED, l, count, position)) != LLMQ_OK) return status;
    llama__swiglu(s->gate, s->up, (size_t)count * m->hidden);
    if ((status = llama__look(s, LLAMA_AT_DOWN, l, count, position)) != LLMQ_OK) return status;
    prepared = 0;
    return llama__product(m, s, l, LLAMA_W2, s->gate, count, &prepared, s->normed);
}

llmq_status llama_embed(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count)
{
    llmq_status status = count == 0 || count > s->batch ? LLMQ_E_ARG : LLMQ_OK;
    uint32_t i;
    for (i = 0; i < count && status == LLMQ_OK; i++) {
        if (tokens[i] >= m->vocab) return LLMQ_E_ARG;
        status = llmq_tensor_decode(&m->embed, tokens[i], s->x + (size_t)i * m->dim, s->work, s->work_size);
    }
    return status;
}

/* How many positions there can be. */
static uint32_t llama__positions(const llama_model *m) { return m->cache.window ? 1u << 24 : m->context; }

llmq_status llama_layer_forward(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    const uint32_t end = llama__positions(m);
    llmq_status status;
    if (l >= m->layers || count == 0 || count > s->batch || position >= end || count > end - position) return LLMQ_E_ARG;
    if ((status = llama__attention(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_SUM1, l, count, position)) != LLMQ_OK) return status;
    llama__add(s->x, s->normed, (size_t)count * m->dim);
    if ((status = llama__feed_forward(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_SUM2, l, count, position)) != LLMQ_OK) return status;
    llama__add(s->x, s->normed, (size_t)count * m->dim);
    return LLMQ_OK;
}

llmq_status llama_logits(const llama_model *m, llama_state *s, uint32_t count, uint32_t r0, uint32_t r1, float *y, size_t stride)
{
    int prepared = 0;
    llmq_status status;
    if (count == 0 || count > s->batch || r0 > r1 || r1 > m->vocab) return LLMQ_E_ARG;
    if ((status = llama__normalise(m, s, m->layers, 0, count)) != LLMQ_OK) return status;
    y = (float *)((uintptr_t)y - r0 * sizeof *y); /* the product counts from row 0; through a number, for that may be outside of y */
    return llama__linear(m, s, &m->classifier, r0, r1, s->normed, count, &prepared, y, stride);
}

llmq_status llama_forward(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count, uint32_t position, float *logits)
{
    const uint32_t end = llama__positions(m);
    llmq_status status = position >= end || count > end - position ? LLMQ_E_ARG : llama_embed(m, s, tokens, count);
    uint32_t l;
    for (l = 0; l < m->layers && status == LLMQ_OK; l++) status = llama_layer_forward(m, s, l, count, position);
    return status != LLMQ_OK || !logits ? status : llama_logits(m, s, count, 0, m->vocab, logits, m->vocab);
}

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC pop_options
#elif defined(__clang__) && defined(__ARM_FEATURE_MVE)
#pragma clang attribute pop
#endif
#undef LLAMA__NO_CONTRACT
#undef LLAMA_IMPLEMENTATION
#endif
