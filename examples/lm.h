/* lm.h - a llama-family forward pass on llmq.h: RMSNorm, RoPE, grouped heads, SwiGLU - public
   domain or MIT

   Do this in one C or C++ file, after the llmq.h implementation:
       #define LM_IMPLEMENTATION
       #include "lm.h"

   The weights come from a bundle (llmq.h, section 10), raw or quantized, each tensor in a format of
   its own. kv = dim / heads * kv_heads. Entries:
       values (u32)   llama.dim llama.hidden llama.layers llama.heads llama.kv_heads llama.vocab
                      llama.context
       tensors        embed [vocab][dim]
                      classifier [vocab][dim]; absent: embed is the classifier, too
                      norm [1][dim]
                      layers.N.norm1, norm2 [1][dim]               for N = 0 ... layers - 1
                      layers.N.wq, wo [dim][dim]; wk, wv [kv][dim]
                      layers.N.w1, w3 [hidden][dim]; w2 [dim][hidden]
       tensors, optional
                      layers.N.bq [1][dim], bk, bv [1][kv]: added to the results of wq, wk, wv
       values, optional
                      llama.rope_theta (f32): base of the rotary embedding, 1 ... 1e30; default 10000
                      llama.rope_halves (u32): the pairs that it rotates in a head: 0: elements 2 i and
                      2 i + 1; 1: i and i + head / 2; default 0
                      llama.norm_epsilon (f32): added to the mean square in norms, 1e-12 ... 1;
                      default 1e-5
                      llama.abits llama.azero llama.ascales (u32), llama.aclip (f32): activations of
                      quantized tensors, as in llmq_activation_options; default:
                      llmq_activation_defaults of 8 bits. Activations of raw tensors are float
   Any other tensor, and any other value whose name begins with "llama.", is refused, because it
   would change the results of the model.
   Memory is the caller's, and functions say how much they need; there is no malloc.

       lm_model m;  lm_state s;
       lm_model_init(&m, &bundle, mem, lm_model_size(&bundle));  // or NULL, 0: saves memory
       lm_state_init(&s, &m, batch, mem2, lm_state_size(&m, batch));
       lm_forward(&m, &s, tokens, count, position, logits);
   The first call has position 0; every other one continues at the end of the call before it.

   Logits are the same everywhere: products of the library have the same bits on every processor,
   and so has the code here. exp, the inverse square root, sine and cosine are polynomials below, in
   float, each operation rounded once. libm is not used. Without an FPU they are soft float; their
   share of the instructions is in examples/mcu/README.md.

   The cache of keys and values is configured by lm_model.cache. Rows are f32 or in a format of
   few bits, and are scored and summed as they are stored. The cache holds all positions up to the
   model's context, or a window. In a window each new position replaces the oldest, and generation
   can go on while positions fit 24 bits. With rotations (RoPE) scores depend on distances only, so
   no key has to change when others are forgotten. The first tokens are forgotten like any
   others. */
#ifndef LM_H
#define LM_H

#include "../llmq.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LM_WQ, LM_WK, LM_WV, LM_WO, LM_W1, LM_W2, LM_W3, LM_LINEARS };
extern const char *const lm_linear_name[LM_LINEARS];

typedef struct lm_layer {
    llmq_tensor linear[LM_LINEARS];
    float *norm1, *norm2;
    float *bias[3];  /* of wq wk wv; NULL: none */
} lm_layer;

/* Storage of keys and values of earlier positions: a row per head and position. */
typedef struct lm_cache {
    llmq_format key, value;  /* raw, or a grid; groups of 0 are whole rows. Trellises are not encoded row by row */
    /* Applied to a head's rows before they are quantized; no steps: none.
       Measured: a Hadamard step at 4 bits lowers KL by a third. */
    llmq_transform transform;
    uint32_t window;         /* positions; 0: the model's context, and no more positions than that */
} lm_cache;

typedef struct lm_model {
    uint32_t dim, hidden, layers, heads, kv_heads, vocab, context;
    llmq_tensor embed, classifier;
    lm_layer *layer;                  /* [layers]; NULL: no memory, views and norms are made when they are used */
    float *norm, *bias;                  /* weights of all norms; biases of all layers, NULL: none */
    float theta, epsilon;                /* base of the rotary embedding; added to the mean square in norms */
    float rope_rate;                     /* -ln(theta) */
    int halves, biased;                  /* 1: rotations pair halves of heads; 1: a layer has a bias */
    const char *fault;                   /* after an error: see lm_model_fault */
    uint32_t fault_layer;
    llmq_bundle bundle;
    llmq_activation_options activation;  /* of quantized tensors, from the bundle; may be changed. bits = 32: float */
    lm_cache cache;                   /* f32, window 0; may be changed before lm_state_size */
} lm_model;

/* Places in a layer where a watcher is called. Rows 0 ... count - 1 of the arrays of the state are
   the tokens of the call. */
enum {
    LM_AT_ATTENTION,  /* normed: input of wq wk wv; q, keys and values: after RoPE */
    LM_AT_OUTPUT,     /* attention: input of wo */
    LM_AT_FEED,       /* normed: input of w1 w3; gate, up: their results */
    LM_AT_DOWN,       /* gate: input of w2 */
    LM_AT_SUM1,       /* normed: the output of the attention block, not yet added to x, the residual stream */
    LM_AT_SUM2        /* normed: the output of the feed-forward block, not yet added to x */
};

typedef struct lm_state lm_state;
typedef llmq_status (*lm_watcher)(void *context, int place, uint32_t layer, const lm_state *s, uint32_t count,
                                     uint32_t position);

struct lm_state {
    lm_watcher watch;        /* NULL: none. A status other than LLMQ_OK ends the call, which returns it */
    void *watch_context;
    uint32_t batch;             /* largest count of tokens in one call */
    float *x, *normed, *q, *keys, *values, *attention, *up, *gate;  /* [batch][...]: a vector for each token */
    float *cosine, *sine;       /* [batch][head / 2]: RoPE at positions rotations_from ... + rotations - 1 */
    uint32_t rotations, rotations_from;
    float *scores;              /* [window] */
    uint32_t window;            /* positions in the cache */
    llmq_tensor key, value;     /* views of a head: window rows */
    unsigned char *cache;       /* [layers][kv_heads]: window rows of a key, then window rows of a value */
    llmq_activation *activation;  /* [batch] */
    unsigned char *activation_memory, *work;
    size_t activation_size, work_size;
};

/* Bytes of memory for the views of a model; 0 if the bundle is not a llama model. */
size_t lm_model_size(const llmq_bundle *b);

/* Finds all tensors and values of a model, and checks their shapes.
   b: its bytes stay in use; *m has a copy of the view.
   mem: lm_model_size bytes, aligned for pointers. NULL with size 0: views are made for every
   product
     and norms decoded, which takes no memory and some thousand instructions a layer.
   Errors; lm_model_fault then names the entry, and *m is not to be used:
     errors of llmq_bundle_tensor and llmq_bundle_value
     LLMQ_E_CORRUPT      a shape or a value that does not fit
     LLMQ_E_UNSUPPORTED  a tensor or value that is not listed above
     LLMQ_E_ARG          mem is misaligned
     LLMQ_E_LIMIT        the views do not fit size_t
     LLMQ_E_WORKSPACE    size is too small, or not 0 without mem */
llmq_status lm_model_init(lm_model *m, const llmq_bundle *b, void *mem, size_t size);

/* Name of the entry that an error of lm_model_init is about, in `name`; "" if there is none. The
   bundle must still exist. Returns name. */
const char *lm_model_fault(const lm_model *m, char name[256]);

/* For a name "layers.N.REST": returns REST and sets *layer to N. NULL if the name has another form.
   N has no sign and no leading zeros, and is below `layers`, so it can be used as an index. */
const char *lm_layer_part(const char *name, uint32_t layers, uint32_t *layer);

/* Sets the format of keys and values.
   bits: 2, 3, 4, 5, 6, 8 (with a scale for each row in addition), 16 (binary16, up to 65504) or 32.
   Errors: LLMQ_E_NOT_FOUND for others, and for formats that are not built in; *c is then
   untouched. */
llmq_status lm_cache_bits(lm_cache *c, uint32_t bits);

/* Bytes of memory to run the model on up to `batch` tokens a call; 0 if that overflows or m->cache
   is impossible. */
size_t lm_state_size(const lm_model *m, uint32_t batch);

/* Makes the state of a text.
   mem: lm_state_size bytes, aligned for pointers.
   Errors: LLMQ_E_ARG for mem, or where the size is 0; LLMQ_E_WORKSPACE. */
llmq_status lm_state_init(lm_state *s, const lm_model *m, uint32_t batch, void *mem, size_t size);

/* Runs `count` tokens at positions position, position + 1 ...
   tokens: [count], each below vocab; count: 1 ... batch.
   logits: [count][vocab], or NULL to only fill the cache.
   Errors:
     LLMQ_E_ARG         a token, count or position is out of range
     LLMQ_E_NOT_FINITE  a key or value is NaN or infinite
     errors of llmq_matmul, and the status of a watcher */
llmq_status lm_forward(const lm_model *m, lm_state *s, const uint32_t *tokens, uint32_t count,
                          uint32_t position, float *logits);

/* The parts of lm_forward, for programs that go through a text layer by layer:
     lm_embed          x <- embeddings of the tokens
     lm_layer_forward  x <- layer l of x
     lm_logits         logits [r0, r1) of the count tokens in x; the logits of token i are at
                          y + i * stride. A few rows per call need little memory. */
llmq_status lm_embed(const lm_model *m, lm_state *s, const uint32_t *tokens, uint32_t count);
llmq_status lm_layer_forward(const lm_model *m, lm_state *s, uint32_t l, uint32_t count, uint32_t position);
llmq_status lm_logits(const lm_model *m, lm_state *s, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                         size_t stride);

#ifdef __cplusplus
}
#endif
#endif /* LM_H */

#ifdef LM_IMPLEMENTATION
#include <stddef.h>
#include <string.h>

#if LLMQ_NO_ENCODER
#error "lm.h encodes keys and values: it needs llmq.h with its encoder"
#endif

/* As in llmq.h: a * b + c is two roundings, and no vectors that flush subnormal numbers. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if defined(__ARM_FEATURE_MVE)
#pragma GCC optimize("no-tree-loop-vectorize", "no-tree-slp-vectorize")
#endif
#define LM__NO_CONTRACT
#elif defined(__clang__)
#define LM__NO_CONTRACT _Pragma("STDC FP_CONTRACT OFF")
#if defined(__ARM_FEATURE_MVE)
#pragma clang attribute push(__attribute__((target("no-mve.fp"))), apply_to = function)
#endif
#else
#define LM__NO_CONTRACT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- exp, 1 / sqrt, sine and cosine ----------------------------------------------------------------------------- */

static uint32_t lm__bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static float lm__float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

/* e^x = 2^n e^r with |r| <= ln(2) / 2, and e^r by its series up to r^6. ln(2) is the sum of two
   parts; the first has 9 bits, so that its product with n is exact. x below -87 gives 0, and above
   88 e^88: between them 2^n is a normal float. NaN stays NaN.
   check: (log(2) / 2)**7 / 5040 < 1.2e-7
   check: abs(0.693359375 - 2.12194440e-4 - log(2)) < 1e-11
   check: 0.693359375 * 512 == 355
   check: ceil(-87 / log(2) - 0.5) == -126
   check: floor(88 / log(2) + 0.5) == 127 */
static float lm__exp(float x)
{
    LM__NO_CONTRACT
    float n, r;
    int32_t whole;
    if (x < -87.0f) return 0.0f;
    if (x > 88.0f) x = 88.0f;
    if (x != x) return x;
    whole = (int32_t)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    n = (float)whole;
    r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    r = 1.0f + r * (1.0f + r * (0.5f + r * (1.66666667e-1f
        + r * (4.16666667e-2f + r * (8.33333333e-3f + r * 1.38888889e-3f)))));
    return r * lm__float((uint32_t)(whole + 127) << 23);
}

/* 1 / sqrt(x) for normal x > 0. Halving and negating the exponent, as an integer operation on the
   bits, gives a start within 4 %. Each Newton step squares the relative error, times 1.5: after
   three steps it is below a float's. The fourth is for the rounding of the third.
   check: 1.5 * (1.5 * (1.5 * 0.04**2)**2)**2 < 2**-24 */
static float lm__inverse_sqrt(float x)
{
    LM__NO_CONTRACT
    float y = lm__float(0x5f3759dfu - (lm__bits(x) >> 1)), half = x * 0.5f;
    int i;
    for (i = 0; i < 4; i++) y = y * (1.5f - half * y * y);
    return y;
}

/* ln(x) for normal x > 0. x = 2^n m with m from 1 / sqrt(2) to sqrt(2), and ln(m) = 2 artanh(z)
   with z = (m - 1) / (m + 1), by its series up to z^11. The large terms are added last.
   check: 2 * ((sqrt(2) - 1) / (sqrt(2) + 1))**13 / 13 < 4e-11 */
static float lm__log(float x)
{
    LM__NO_CONTRACT
    uint32_t u = lm__bits(x);
    int32_t n = (int32_t)(u >> 23) - 127;
    float z = lm__float((u & 0x7fffffu) | 0x3f800000u), y, whole;
    if (z > 1.41421356f) z *= 0.5f, n++;
    z = (z - 1.0f) / (z + 1.0f);
    y = z * z;
    y = z * y * (0.666666667f + y * (0.4f + y * (0.285714286f + y * (0.222222222f + y * 0.181818182f))));
    whole = (float)n;
    return whole * 0.693359375f + (2.0f * z + (y - whole * 2.12194440e-4f));
}

/* A rotation by an angle: its cosine and sine. Rotations are multiplied as complex values. */
typedef struct lm__rotation {
    float c, s;
} lm__rotation;

static lm__rotation lm__complex_product(lm__rotation a, lm__rotation b)
{
    LM__NO_CONTRACT
    lm__rotation y;
    y.c = a.c * b.c - a.s * b.s;
    y.s = a.c * b.s + a.s * b.c;
    return y;
}

/* Returns a rotation of length close to 1 to length 1, by a Newton step. Without it lengths grow
   with the position, and scores with their square.
   Measured: without it lengths grow by 6 % until position one million. */
static lm__rotation lm__unit(lm__rotation a)
{
    LM__NO_CONTRACT
    float by = 1.5f - 0.5f * (a.c * a.c + a.s * a.s);
    a.c *= by;
    a.s *= by;
    return a;
}

/* The rotation of pair i < half at a position, by the angle position * theta^(-i / half) = position
   * e^(i / half * rate), rate = -ln(theta). For position 1 the angle is at most 1, and sine and
   cosine come from their series up to the 10th power. Then they are raised to the position, bit by
   bit. The error is about position * 1e-7, as large as the error of the angle as a float. It is
   nearly the same at neighbouring positions, so the distance of two positions, on which scores
   depend, is more exact than that.
   check: 1 / 39916800 < 3e-8 */
static lm__rotation lm__rotation_at(uint32_t position, uint32_t i, uint32_t half, float rate)
{
    LM__NO_CONTRACT
    float x = lm__exp((float)i / (float)half * rate), y = x * x;
    lm__rotation one, all = { 1.0f, 0.0f };
    one.c = 1.0f - y * (0.5f - y * (4.16666667e-2f - y * (1.38888889e-3f - y * (2.48015873e-5f - y * 2.75573192e-7f))));
    one.s = x * (1.0f - y * (1.66666667e-1f - y * (8.33333333e-3f - y * (1.98412698e-4f - y * 2.75573192e-6f))));
    for (; position; position >>= 1, one = lm__unit(lm__complex_product(one, one)))
        if (position & 1) all = lm__complex_product(all, one);
    return all;
}

/* ---- model ------------------------------------------------------------------------------------------------------ */

const char *const lm_linear_name[LM_LINEARS] = { "wq", "wk", "wv", "wo", "w1", "w2", "w3" };

/* Writes "layers.LAYER.WHAT" to name[40] and returns it. The name takes 7 + 10 + 1 bytes and
   `what`, which has at most 6 with its end: no name of this model is longer. */
static const char *lm__name(char *name, uint32_t layer, const char *what)
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

/* n stays below 2^32: it is at most 99,999,999 before another digit is added.
   check: 10 * 99999999 + 9 < 2**32 */
const char *lm_layer_part(const char *name, uint32_t layers, uint32_t *layer)
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

static const char *const lm__bias_name[3] = { "bq", "bk", "bv" };

/* 1 if a layer has a bias: then there is memory for the biases of all layers. */
static int lm__any_bias(const lm_model *m, const llmq_bundle *b)
{
    char name[40];
    uint32_t l, i, index;
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < 3; i++)
            if (llmq_bundle_find(b, lm__name(name, l, lm__bias_name[i]), &index) == LLMQ_OK) return 1;
    return 0;
}

/* The values of a model, with their ranges as bits: positive floats are ordered as their bits are.
   The first seven are required.
   check: f32bits(1.0) == 0x3f800000
   check: f32bits(1e30) == 0x7149f2ca
   check: f32bits(1e-12) == 0x2b8cbccc */
enum { LM__DIM, LM__HIDDEN, LM__LAYERS, LM__HEADS, LM__KV_HEADS, LM__VOCAB, LM__CONTEXT,
       LM__THETA, LM__HALVES, LM__EPSILON, LM__ABITS, LM__AZERO, LM__ASCALES, LM__ACLIP,
       LM__VALUES };
static const struct lm__value { const char *name; uint32_t type, min, max; } lm__value[LM__VALUES] = {
    { "llama.dim", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.hidden", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.layers", LLMQ_VALUE_U32, 1, 65536 },
    { "llama.heads", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.kv_heads", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.vocab", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.context", LLMQ_VALUE_U32, 1, 1u << 24 },
    { "llama.rope_theta", LLMQ_VALUE_F32, 0x3f800000u, 0x7149f2cau },    /* 1 to 1e30 */
    { "llama.rope_halves", LLMQ_VALUE_U32, 0, 1 },
    { "llama.norm_epsilon", LLMQ_VALUE_F32, 0x2b8cbcccu, 0x3f800000u },  /* 1e-12 to 1 */
    { "llama.abits", LLMQ_VALUE_U32, 2, 32 },
    { "llama.azero", LLMQ_VALUE_U32, 0, 1 },
    { "llama.ascales", LLMQ_VALUE_U32, 0, LLMQ_SCALES_BATCH },
    { "llama.aclip", LLMQ_VALUE_F32, 1, 0x3f800000u }                    /* above 0, to 1 */
};

#define LM__WHOLE 0xffffffffu /* in place of a layer: the name is the name of the entry */

/* Says which entry is examined from now on, for lm_model_fault: `name`, or "layers.LAYER.NAME".
   Called before each step of lm_model_init that can fail; name NULL: no entry. */
static void lm__blame(lm_model *m, uint32_t layer, const char *name) { m->fault = name, m->fault_layer = layer; }

/* Reads the bits of value i, u32 or f32, and checks their range. *bits stays as it is if an
   optional value does not exist. */
static llmq_status lm__read_value(lm_model *m, const llmq_bundle *b, uint32_t i, uint32_t *bits)
{
    const struct lm__value *v = &lm__value[i];
    const void *data;
    size_t size;
    llmq_status status = llmq_bundle_value(b, v->name, v->type, &data, &size);
    const unsigned char *c = (const unsigned char *)data;
    uint32_t value;
    lm__blame(m, LM__WHOLE, v->name);
    /* an entry of this name but another kind or type must not count as a default */
    if (status == LLMQ_E_NOT_FOUND && i > LM__CONTEXT)
        return llmq_bundle_find(b, v->name, &value) == LLMQ_OK ? LLMQ_E_CORRUPT : LLMQ_OK;
    if (status != LLMQ_OK) return status;
    value = (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
    if (value < v->min || value > v->max) return LLMQ_E_CORRUPT;
    *bits = value;
    return LLMQ_OK;
}

/* Elements of the keys, or values, of all heads of a token. */
static uint32_t lm__kv(const lm_model *m) { return m->dim / m->heads * m->kv_heads; }

/* Reads the values of a model, all but the options of activations, into *m, and sets everything
   else to 0. Shapes follow from them alone, so it serves lm_model_size, too. A head has an even
   count of elements, for the rotary embedding takes pairs.
   check: f32bits(10000.0) == 0x461c4000
   check: f32bits(1e-5) == 0x3727c5ac */
static llmq_status lm__config(lm_model *m, const llmq_bundle *b)
{
    uint32_t value[LM__EPSILON + 1], i;
    llmq_status status;
    memset(m, 0, sizeof *m);
    /* 10000, 0, 1e-5 */
    value[LM__THETA] = 0x461c4000u, value[LM__HALVES] = 0, value[LM__EPSILON] = 0x3727c5acu;
    for (i = 0; i <= LM__EPSILON; i++)
        if ((status = lm__read_value(m, b, i, &value[i])) != LLMQ_OK) return status;
    m->dim = value[LM__DIM], m->hidden = value[LM__HIDDEN], m->layers = value[LM__LAYERS],
        m->heads = value[LM__HEADS];
    m->kv_heads = value[LM__KV_HEADS], m->vocab = value[LM__VOCAB], m->context = value[LM__CONTEXT];
    m->theta = lm__float(value[LM__THETA]), m->halves = (int)value[LM__HALVES],
        m->epsilon = lm__float(value[LM__EPSILON]);
    lm__blame(m, LM__WHOLE, "llama.heads");
    if (m->dim % m->heads || m->dim / m->heads % 2) return LLMQ_E_CORRUPT;
    lm__blame(m, LM__WHOLE, "llama.kv_heads");
    if (m->heads % m->kv_heads) return LLMQ_E_CORRUPT;
    m->rope_rate = -lm__log(m->theta);
    m->biased = lm__any_bias(m, b);
    lm__blame(m, LM__WHOLE, NULL);
    return LLMQ_OK;
}

/* True if mem is not aligned for pointers, the strictest type that is placed there. */
struct lm__aligned { char byte; void *pointer; };
static int lm__misaligned(const void *mem) { return (uintptr_t)mem % offsetof(struct lm__aligned, pointer) != 0; }

/* Memory, handed out front to back in multiples of 16 bytes. With mem NULL pieces are only counted,
   so that one function states a layout for the size query and for its use. used = SIZE_MAX:
   overflow. */
typedef struct lm__pool {
    unsigned char *mem;
    size_t used;
} lm__pool;

/* a * b * c bytes; NULL if only counted, or after an overflow, which stays. */
static void *lm__take(lm__pool *p, size_t a, size_t b, size_t c)
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

/* The layout of a model's memory; the shapes in *m are known. Norms: two for each layer after the
   last norm, which is the first in memory. */
static void lm__place_model(lm_model *m, lm__pool *p)
{
    m->layer = (lm_layer *)lm__take(p, m->layers, sizeof *m->layer, 1);
    m->norm = (float *)lm__take(p, (size_t)m->layers * 2 + 1, m->dim, sizeof(float));
    m->bias = m->biased ? (float *)lm__take(p, m->layers, (size_t)m->dim + 2 * (size_t)lm__kv(m), sizeof(float))
        : NULL;
}

size_t lm_model_size(const llmq_bundle *b)
{
    lm_model m;
    lm__pool p = { NULL, 0 };
    if (lm__config(&m, b) != LLMQ_OK) return 0;
    lm__place_model(&m, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

/* Finds a tensor and checks its shape. */
static llmq_status lm__tensor(const llmq_bundle *b, const char *name, uint32_t rows, uint32_t cols, llmq_tensor *t)
{
    llmq_status status = llmq_bundle_tensor(b, name, t);
    if (status != LLMQ_OK) return status;
    return t->rows == rows && t->cols == cols ? LLMQ_OK : LLMQ_E_CORRUPT;
}

/* True if a tensor of this name belongs to the model. */
static int lm__is_tensor(const lm_model *m, const char *name)
{
    static const char *const whole[3] = { "embed", "classifier", "norm" }, *const norm[2] = { "norm1", "norm2" };
    uint32_t layer, i;
    const char *part = lm_layer_part(name, m->layers, &layer);
    for (i = 0; i < 3 && !part; i++)
        if (strcmp(name, whole[i]) == 0) return 1;
    for (i = 0; i < LM_LINEARS && part; i++) {
        if (strcmp(part, lm_linear_name[i]) == 0) return 1;
        if (i < 3 && strcmp(part, lm__bias_name[i]) == 0) return 1;
        if (i < 2 && strcmp(part, norm[i]) == 0) return 1;
    }
    return 0;
}

/* Refuses entries that this code does not know and that would change the results of the model: a
   reader that skips them computes something else without a word. */
static llmq_status lm__check_entries(lm_model *m, const llmq_bundle *b)
{
    uint32_t i, k;
    for (i = 0; i < b->count; i++) {
        llmq_entry e;
        int known = 1;
        llmq_status status = llmq_bundle_at(b, i, &e);
        if (status != LLMQ_OK) return status;
        if (e.kind == LLMQ_KIND_TENSOR) known = lm__is_tensor(m, e.name);
        if (e.kind == LLMQ_KIND_VALUE && strncmp(e.name, "llama.", 6) == 0)
            for (known = 0, k = 0; k < LM__VALUES && !known; k++) known = strcmp(e.name, lm__value[k].name) == 0;
        lm__blame(m, LM__WHOLE, e.name);
        if (!known) return LLMQ_E_UNSUPPORTED;
    }
    return LLMQ_OK;
}

/* Reads the options of activations into m->activation. Defaults depend on the bits, so these are
   read first. A build without options of activations has only symmetric 8 bits, unclipped, and
   float. */
static llmq_status lm__activation_config(lm_model *m, const llmq_bundle *b)
{
    llmq_activation_options *o = &m->activation;
    uint32_t bits = 8, zero, scales, clip;
    llmq_status status;
    if ((status = lm__read_value(m, b, LM__ABITS, &bits)) != LLMQ_OK) return status;
    if (bits > 8 && bits != 32) return LLMQ_E_CORRUPT;
#if LLMQ_NO_ACTIVATION_OPTIONS
    o->bits = bits, o->asymmetric = 0, o->scales = LLMQ_SCALES_GROUP, o->clip = 1.0f;
    if (bits < 8) return LLMQ_E_UNSUPPORTED;
#else
    *o = llmq_activation_defaults(bits);
#endif
    zero = (uint32_t)o->asymmetric, scales = (uint32_t)o->scales;
    clip = lm__bits(o->clip);
    if ((status = lm__read_value(m, b, LM__AZERO, &zero)) != LLMQ_OK) return status;
    if (LLMQ_NO_ACTIVATION_OPTIONS && zero) return LLMQ_E_UNSUPPORTED;
    if ((status = lm__read_value(m, b, LM__ASCALES, &scales)) != LLMQ_OK) return status;
    if (LLMQ_NO_ACTIVATION_OPTIONS && scales) return LLMQ_E_UNSUPPORTED;
    if ((status = lm__read_value(m, b, LM__ACLIP, &clip)) != LLMQ_OK) return status;
    o->clip = lm__float(clip);
    if (LLMQ_NO_ACTIVATION_OPTIONS && o->clip < 1.0f) return LLMQ_E_UNSUPPORTED;
    o->asymmetric = (int)zero, o->scales = (int)scales;
    return LLMQ_OK;
}

llmq_status lm_cache_bits(lm_cache *c, uint32_t bits)
{
    static const struct { uint32_t bits; char name[4]; } table[] = {
        { 32, "f32" }, { 16, "f16" }, { 8, "g8" }, { 6, "g6" }, { 5, "g5" }, { 4, "g4" }, { 3, "g3" }, { 2, "g2" }
    };
    uint32_t i;
    llmq_status status = LLMQ_E_NOT_FOUND;
    for (i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].bits == bits) status = llmq_format_find(&c->key, table[i].name, 0);
    if (status == LLMQ_OK) c->value = c->key;
    return status;
}

/* Finds matrix i of layer l in the bundle. */
static llmq_status lm__find(const lm_model *m, uint32_t l, uint32_t i, llmq_tensor *t)
{
    char name[40];
    uint32_t kv = lm__kv(m),
             rows = i == LM_WK || i == LM_WV ? kv : i == LM_W1 || i == LM_W3 ? m->hidden : m->dim;
    return lm__tensor(&m->bundle, lm__name(name, l, lm_linear_name[i]), rows,
                         i == LM_W2 ? m->hidden : m->dim, t);
}

/* Sets *t to matrix i of layer l: to the view that the model has, or to one made in *room. */
static llmq_status lm__matrix(const lm_model *m, uint32_t l, uint32_t i, llmq_tensor *room, const llmq_tensor **t)
{
    *t = m->layer ? &m->layer[l].linear[i] : room;
    return m->layer ? LLMQ_OK : lm__find(m, l, i, room);
}

/* Decodes the weights of a norm to weight[dim]; NULL: only checks them. second: 0 or 1, the norm of
   layer l; l = layers: the last norm. */
static llmq_status lm__read_norm(const lm_model *m, uint32_t l, int second, float *weight)
{
    char name[40];
    llmq_tensor t;
    const char *which = l == m->layers ? "norm" : lm__name(name, l, second ? "norm2" : "norm1");
    llmq_status status = lm__tensor(&m->bundle, which, 1, m->dim, &t);
    /* weights of a norm have no transform: they multiply elements */
    if (status == LLMQ_OK && t.transform.count != 0) status = LLMQ_E_CORRUPT;
    return status != LLMQ_OK || !weight ? status : llmq_tensor_decode(&t, 0, weight, NULL, 0);
}

/* Elements of the bias of wq, wk or wv (i = 0, 1, 2). */
static uint32_t lm__bias_size(const lm_model *m, uint32_t i) { return i == 0 ? m->dim : lm__kv(m); }

/* Decodes the bias of wq, wk or wv (i = 0, 1, 2) of layer l to `bias`; NULL: only checks it.
   LLMQ_E_NOT_FOUND: there is none. */
static llmq_status lm__read_bias(const lm_model *m, uint32_t l, uint32_t i, float *bias)
{
    char name[40];
    llmq_tensor t;
    llmq_status status = lm__tensor(&m->bundle, lm__name(name, l, lm__bias_name[i]), 1, lm__bias_size(m, i),
                                       &t);
    if (status == LLMQ_OK && t.transform.count != 0) status = LLMQ_E_CORRUPT;
    return status != LLMQ_OK || !bias ? status : llmq_tensor_decode(&t, 0, bias, NULL, 0);
}

/* Finds and checks all tensors of layer l, and keeps their views and floats if the model has
   memory. Without memory they are checked all the same, so that later calls find them as they
   should be. */
static llmq_status lm__read_layer(lm_model *m, uint32_t l)
{
    lm_layer *y = m->layer ? &m->layer[l] : NULL;
    float *bias = m->bias ? m->bias + (size_t)l * ((size_t)m->dim + 2 * (size_t)lm__kv(m)) : NULL;
    llmq_tensor t;
    llmq_status status;
    uint32_t i;
    if (y) y->norm1 = m->norm + (size_t)(2 * l + 1) * m->dim, y->norm2 = y->norm1 + m->dim;
    lm__blame(m, l, "norm1");
    if ((status = lm__read_norm(m, l, 0, y ? y->norm1 : NULL)) != LLMQ_OK) return status;
    lm__blame(m, l, "norm2");
    if ((status = lm__read_norm(m, l, 1, y ? y->norm2 : NULL)) != LLMQ_OK) return status;
    for (i = 0; i < LM_LINEARS; i++) {
        lm__blame(m, l, lm_linear_name[i]);
        if ((status = lm__find(m, l, i, y ? &y->linear[i] : &t)) != LLMQ_OK) return status;
    }
    for (i = 0; i < 3; i++) {
        lm__blame(m, l, lm__bias_name[i]);
        status = m->biased ? lm__read_bias(m, l, i, bias) : LLMQ_E_NOT_FOUND;
        if (status != LLMQ_OK && status != LLMQ_E_NOT_FOUND) return status;
        if (y) y->bias[i] = status == LLMQ_OK ? bias : NULL;
        if (bias) bias += lm__bias_size(m, i);
    }
    return LLMQ_OK;
}

/* Everything is checked here, once; later calls trust *m. A fault is named as soon as the search
   for it begins, and cleared between entries. */
llmq_status lm_model_init(lm_model *m, const llmq_bundle *b, void *mem, size_t size)
{
    lm__pool p;
    llmq_status status = lm__config(m, b);
    size_t need = mem ? lm_model_size(b) : 0;
    uint32_t l;
    if (status == LLMQ_OK) status = lm__check_entries(m, b);
    if (status != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, NULL);
    if (mem && need == 0) return LLMQ_E_LIMIT;
    if (lm__misaligned(mem)) return LLMQ_E_ARG;
    if (mem ? size < need : size != 0) return LLMQ_E_WORKSPACE;
    m->bundle = *b;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    if (mem) lm__place_model(m, &p);
    lm__blame(m, LM__WHOLE, "embed");
    if ((status = lm__tensor(b, "embed", m->vocab, m->dim, &m->embed)) != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, "classifier");
    status = lm__tensor(b, "classifier", m->vocab, m->dim, &m->classifier);
    if (status == LLMQ_E_NOT_FOUND) m->classifier = m->embed;
    else if (status != LLMQ_OK) return status;
    if ((status = lm__activation_config(m, b)) != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, NULL);
    /* a build without f32 is no error: its caller chooses another format for the cache */
    if ((status = lm_cache_bits(&m->cache, 32)) == LLMQ_E_NOT_FOUND) status = LLMQ_OK;
    if (status != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, "norm");
    if ((status = lm__read_norm(m, m->layers, 0, m->norm)) != LLMQ_OK) return status;
    for (l = 0; l < m->layers; l++)
        if ((status = lm__read_layer(m, l)) != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, NULL);
    return LLMQ_OK;
}

const char *lm_model_fault(const lm_model *m, char name[256])
{
    name[0] = 0;
    if (m->fault && m->fault_layer != LM__WHOLE) (void)lm__name(name, m->fault_layer, m->fault);
    else if (m->fault) memcpy(name, m->fault, strlen(m->fault) + 1); /* names of a bundle have at most 255 bytes */
    return name;
}

static size_t lm__max(size_t a, size_t b) { return a > b ? a : b; }

/* Bytes for one activation of t, as float or of 8 bits; 0 on overflow. */
static size_t lm__activation(const llmq_tensor *t)
{
    return (lm__max(llmq_activation_size(t, 32), llmq_activation_size(t, 8)) + 15) / 16 * 16;
}

/* Bytes for `batch` activations of t, whatever their options; 0 on overflow. Options with a scale
   for each batch and zero points take the most memory. */
static size_t lm__activations(const llmq_tensor *t, uint32_t batch)
{
    size_t one = lm__activation(t), all;
    if (batch == 0 || one == 0 || one > SIZE_MAX / batch) return 0;
    all = one * batch;
#if !LLMQ_NO_ACTIVATION_OPTIONS
    {
        static const llmq_activation_options most = { 8, 1, LLMQ_SCALES_BATCH, 1.0f };
        size_t size = llmq_activations_size(t, &most, batch);
        all = size == 0 ? 0 : lm__max(all, size);
    }
#endif
    return all;
}

/* Finds the largest memory that a product of the model needs for the activations of a call, and the
   largest workspace to decode or encode a row. *activations is SIZE_MAX on overflow, which then no
   memory has. */
static llmq_status lm__needs(const lm_model *m, const lm_state *s, uint32_t batch, size_t *activations,
                                size_t *work)
{
    size_t need = lm__activations(&m->classifier, batch), key = llmq_encode_work_size(&s->key),
        value = llmq_encode_work_size(&s->value);
    uint32_t l, i;
    llmq_tensor room;
    const llmq_tensor *t;
    llmq_status status;
    *activations = need ? need : SIZE_MAX;
    *activations = lm__max(*activations, lm__activation(&s->key));
    *work = lm__max(llmq_transform_work_size(&m->embed.transform, m->dim), lm__max(key, value));
    if (!m->layer) *work = lm__max(*work, m->dim * sizeof(float)); /* weights of a norm, or a bias */
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < LM_LINEARS; i++) {
            if ((status = lm__matrix(m, l, i, &room, &t)) != LLMQ_OK) return status;
            need = lm__activations(t, batch);
            *activations = lm__max(*activations, need ? need : SIZE_MAX);
        }
    return LLMQ_OK;
}

/* Makes the views of a head's cache: window rows each. Their data is set when they are used; until
   then the address of the model stands for it, for NULL would be refused. */
static llmq_status lm__cache_views(lm_state *s, const lm_model *m)
{
    const uint32_t head = m->dim / m->heads;
    llmq_status status;
    if (m->layers > SIZE_MAX / m->kv_heads) return LLMQ_E_LIMIT;
    if (m->cache.key.taps[0] || m->cache.value.taps[0] || m->cache.window > 1u << 24) return LLMQ_E_ARG;
    s->window = m->cache.window ? m->cache.window : m->context;
    if ((status = llmq_tensor_init(&s->key, &m->cache.key, &m->cache.transform, s->window, head, m,
                                   SIZE_MAX)) != LLMQ_OK)
        return status;
    return llmq_tensor_init(&s->value, &m->cache.value, &m->cache.transform, s->window, head, m, SIZE_MAX);
}

/* The layout of a state's memory; sets all members of *s. */
static llmq_status lm__place_state(lm_state *s, const lm_model *m, uint32_t batch, lm__pool *p)
{
    const size_t f = sizeof(float), half = m->dim / m->heads / 2, kv = lm__kv(m);
    llmq_status status;
    memset(s, 0, sizeof *s);
    if ((status = lm__cache_views(s, m)) != LLMQ_OK) return status;
    if ((status = lm__needs(m, s, batch, &s->activation_size, &s->work_size)) != LLMQ_OK) return status;
    s->batch = batch;
    s->x = (float *)lm__take(p, batch, m->dim, f);
    s->normed = (float *)lm__take(p, batch, m->dim, f);
    s->q = (float *)lm__take(p, batch, m->dim, f);
    s->keys = (float *)lm__take(p, batch, kv, f);
    s->values = (float *)lm__take(p, batch, kv, f);
    s->attention = (float *)lm__take(p, batch, m->dim, f);
    s->up = (float *)lm__take(p, batch, m->hidden, f);
    s->gate = (float *)lm__take(p, batch, m->hidden, f);
    s->cosine = (float *)lm__take(p, batch, half, f);
    s->sine = (float *)lm__take(p, batch, half, f);
    s->scores = (float *)lm__take(p, s->window, f, 1);
    s->cache = (unsigned char *)lm__take(p, (size_t)m->layers * m->kv_heads, s->window,
                                            s->key.row_size + s->value.row_size);
    s->activation = (llmq_activation *)lm__take(p, batch, sizeof *s->activation, 1);
    s->activation_memory = (unsigned char *)lm__take(p, s->activation_size, 1, 1);
    s->work = (unsigned char *)lm__take(p, s->work_size, 1, 1);
    return LLMQ_OK;
}

size_t lm_state_size(const lm_model *m, uint32_t batch)
{
    lm_state s;
    lm__pool p = { NULL, 0 };
    if (lm__place_state(&s, m, batch, &p) != LLMQ_OK) return 0;
    return p.used == SIZE_MAX ? 0 : p.used;
}

llmq_status lm_state_init(lm_state *s, const lm_model *m, uint32_t batch, void *mem, size_t size)
{
    lm__pool p;
    size_t need = lm_state_size(m, batch);
    if (!mem || batch == 0 || need == 0 || lm__misaligned(mem)) return LLMQ_E_ARG;
    if (size < need) return LLMQ_E_WORKSPACE;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    return lm__place_state(s, m, batch, &p);
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* out = weight * x / sqrt(mean(x^2) + epsilon), n elements. The sum is in order of the elements, as
   everywhere here, so that logits do not depend on the processor. */
static void lm__rmsnorm(float *out, const float *x, const float *weight, uint32_t n, float epsilon)
{
    LM__NO_CONTRACT
    float sum = 0.0f;
    uint32_t i;
    for (i = 0; i < n; i++) sum += x[i] * x[i];
    sum = lm__inverse_sqrt(sum / (float)n + epsilon);
    for (i = 0; i < n; i++) out[i] = weight[i] * (sum * x[i]);
}

/* normed <- a norm of x, for count tokens: norm `second` of layer l, or the last norm if l =
   layers. Without memory the weights are decoded into the workspace, which is free between
   products. */
static llmq_status lm__normalise(const lm_model *m, lm_state *s, uint32_t l, int second, uint32_t count)
{
    const float *weight = l == m->layers ? m->norm : !m->layer ? NULL : second ? m->layer[l].norm2 : m->layer[l].norm1;
    uint32_t i;
    if (!m->layer) {
        llmq_status status = lm__read_norm(m, l, second, (float *)(void *)s->work);
        if (status != LLMQ_OK) return status;
        weight = (const float *)(const void *)s->work;
    }
    for (i = 0; i < count; i++)
        lm__rmsnorm(s->normed + (size_t)i * m->dim, s->x + (size_t)i * m->dim, weight, m->dim, m->epsilon);
    return LLMQ_OK;
}

/* Prepares s->activation for products of t with x[count][cols]. Raw tensors take float
   activations. */
static llmq_status lm__prepare(const lm_model *m, lm_state *s, const llmq_tensor *t, const float *x,
                                  uint32_t count)
{
    const uint32_t bits = t->format.points ? m->activation.bits : 32;
    size_t one = lm__activation(t);
    llmq_status status = LLMQ_OK;
    uint32_t i;
#if !LLMQ_NO_ACTIVATION_OPTIONS
    if (bits != 32)
        return llmq_activations_prepare(s->activation, t, &m->activation, count, x, t->cols, s->activation_memory,
                                        s->activation_size);
#endif
    /* a tensor of other shapes than those of the model that the state was made for */
    if (one == 0 || s->activation_size / count < one) return LLMQ_E_WORKSPACE;
    for (i = 0; i < count && status == LLMQ_OK; i++)
        status = llmq_activation_prepare(&s->activation[i], t, bits, x + (size_t)i * t->cols,
                                         s->activation_memory + i * one, one);
    return status;
}

/* y[i] = rows [r0, r1) of t times x[i], for count vectors; y of vector i begins at y + i * stride.
   *prepared: 1 if s->activation holds x already. Tensors that read the same input in the same basis
   share activations. A tensor with another transform (LLMQ_E_MISMATCH), or a raw one between
   quantized ones, gets its own. */
static llmq_status lm__linear(const lm_model *m, lm_state *s, const llmq_tensor *t, uint32_t r0, uint32_t r1,
                                 const float *x, uint32_t count, int *prepared, float *y, size_t stride)
{
    const int quantized = t->format.points != NULL && m->activation.bits != 32;
    llmq_status status = LLMQ_E_MISMATCH;
    if (*prepared && (s->activation->q != NULL) == quantized)
        status = llmq_matmul(t, s->activation, count, r0, r1, y, stride);
    if (status != LLMQ_E_MISMATCH) return status;
    status = lm__prepare(m, s, t, x, count);
    if (status != LLMQ_OK) return status;
    *prepared = 1;
    return llmq_matmul(t, s->activation, count, r0, r1, y, stride);
}

/* Calls the watcher, if there is one. */
static llmq_status lm__look(const lm_state *s, int place, uint32_t l, uint32_t count, uint32_t position)
{
    return s->watch ? s->watch(s->watch_context, place, l, s, count, position) : LLMQ_OK;
}

/* y = matrix i of layer l times count vectors. *prepared: as for lm__linear. */
static llmq_status lm__product(const lm_model *m, lm_state *s, uint32_t l, uint32_t i, const float *x,
                                  uint32_t count, int *prepared, float *y)
{
    llmq_tensor room;
    const llmq_tensor *t;
    llmq_status status = lm__matrix(m, l, i, &room, &t);
    return status != LLMQ_OK ? status : lm__linear(m, s, t, 0, t->rows, x, count, prepared, y, t->rows);
}

/* Adds the bias of wq, wk or wv (which = 0, 1, 2) of layer l to y[count][size]. */
static llmq_status lm__add_bias(const lm_model *m, lm_state *s, uint32_t l, uint32_t which, uint32_t count,
                                   float *y)
{
    const uint32_t n = lm__bias_size(m, which);
    const float *bias = m->layer ? m->layer[l].bias[which] : (const float *)(const void *)s->work;
    uint32_t i, k;
    if (!m->biased || !bias) return LLMQ_OK;
    if (!m->layer) {
        llmq_status status = lm__read_bias(m, l, which, (float *)(void *)s->work);
        if (status != LLMQ_OK) return status == LLMQ_E_NOT_FOUND ? LLMQ_OK : status;
    }
    for (i = 0; i < count; i++)
        for (k = 0; k < n; k++) y[(size_t)i * n + k] += bias[k];
    return LLMQ_OK;
}

/* Computes the rotations (RoPE) at `count` positions from `position` on, once for all layers of a
   call. */
static void lm__turn_to(const lm_model *m, lm_state *s, uint32_t position, uint32_t count)
{
    uint32_t half = m->dim / m->heads / 2, i, k;
    if (s->rotations >= count && s->rotations_from == position) return;
    for (i = 0; i < count; i++)
        for (k = 0; k < half; k++) {
            lm__rotation turn = lm__rotation_at(position + i, k, half, m->rope_rate);
            s->cosine[(size_t)i * half + k] = turn.c;
            s->sine[(size_t)i * half + k] = turn.s;
        }
    s->rotations = count;
    s->rotations_from = position;
}

/* Applies the rotations of token i of the call to v[n], all heads of its queries or keys. Pairs are
   neighbours, or half a head apart. */
static void lm__rotate(const lm_model *m, const lm_state *s, float *v, uint32_t n, uint32_t i)
{
    uint32_t half = m->dim / m->heads / 2, k, apart = m->halves ? half : 1;
    for (k = 0; k < n / 2; k++) {
        size_t at = (size_t)i * half + k % half;
        float *pair = v + (m->halves ? k / half * 2 * half + k % half : 2 * k);
        lm__rotation from, by;
        from.c = pair[0], from.s = pair[apart];
        by.c = s->cosine[at], by.s = s->sine[at];
        from = lm__complex_product(from, by);
        pair[0] = from.c, pair[apart] = from.s;
    }
}

/* Softmax of n scores times `scale`, in place. The largest score is subtracted first, so that no
   exponential overflows and their sum is at least 1. */
static void lm__softmax(float *score, uint32_t n, float scale)
{
    LM__NO_CONTRACT
    float most = score[0], sum = 0.0f;
    uint32_t p;
    for (p = 1; p < n; p++)
        if (score[p] > most) most = score[p];
    for (p = 0; p < n; p++) sum += score[p] = lm__exp((score[p] - most) * scale);
    sum = 1.0f / sum;
    for (p = 0; p < n; p++) score[p] *= sum;
}

/* out = attention of one query head to the n positions in the cache of its key-value head. s->key
   and s->value refer to that head already. */
static llmq_status lm__attend(const lm_model *m, lm_state *s, uint32_t n, const float *q, float *out)
{
    const uint32_t bits = s->key.format.points ? 8 : 32;
    llmq_status status = llmq_activation_prepare(s->activation, &s->key, bits, q, s->activation_memory,
                                                 s->activation_size);
    if (status == LLMQ_OK) status = llmq_matvec(&s->key, s->activation, 0, n, s->scores);
    if (status != LLMQ_OK) return status;
    lm__softmax(s->scores, n, lm__inverse_sqrt((float)(m->dim / m->heads)));
    return llmq_matvec_transposed(&s->value, s->scores, 0, n, out, s->work, s->work_size);
}

/* Encodes `row` into row `slot` of a tensor whose rows are at `data`, and lets *t refer to them.
   Rows may be replaced in any order: the row is appended to a view of 0 rows that begins there. */
static llmq_status lm__keep(lm_state *s, llmq_tensor *t, unsigned char *data, uint32_t slot, const float *row)
{
    llmq_tensor one = *t;
    t->data = data;
    data += (size_t)slot * t->row_size;
    one.data = data;
    one.rows = 0;
    return llmq_tensor_append(&one, data, t->row_size, row, NULL, s->work, s->work_size);
}

/* Stores the key and the value of token i of the call in the cache of layer l and computes the
   attention of its queries, one key-value head after the other. Tokens go in order: each attends to
   itself and to those before it, and in a window its row replaces the oldest. */
static llmq_status lm__attend_token(const lm_model *m, lm_state *s, uint32_t l, uint32_t i, uint32_t position)
{
    const uint32_t size = m->dim / m->heads, queries = m->heads / m->kv_heads,
                   n = position < s->window ? position + 1 : s->window, slot = position % s->window;
    const size_t key = (size_t)s->window * s->key.row_size, value = (size_t)s->window * s->value.row_size;
    unsigned char *at = s->cache + (size_t)l * m->kv_heads * (key + value);
    llmq_status status;
    uint32_t g, h;
    for (g = 0; g < m->kv_heads; g++, at += key + value) {
        const size_t from = (size_t)i * lm__kv(m) + (size_t)g * size;
        if ((status = lm__keep(s, &s->key, at, slot, s->keys + from)) != LLMQ_OK) return status;
        if ((status = lm__keep(s, &s->value, at + key, slot, s->values + from)) != LLMQ_OK) return status;
        for (h = g * queries; h < (g + 1) * queries; h++) {
            const size_t head = (size_t)i * m->dim + (size_t)h * size;
            if ((status = lm__attend(m, s, n, s->q + head, s->attention + head)) != LLMQ_OK) return status;
        }
    }
    return LLMQ_OK;
}

/* normed <- output of the attention block of layer l for count tokens in x. wq, wk and wv share an
   activation. */
static llmq_status lm__attention(const lm_model *m, lm_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    uint32_t kv = lm__kv(m), i;
    int prepared = 0;
    llmq_status status;
    if ((status = lm__normalise(m, s, l, 0, count)) != LLMQ_OK) return status;
    if ((status = lm__product(m, s, l, LM_WQ, s->normed, count, &prepared, s->q)) != LLMQ_OK) return status;
    if ((status = lm__product(m, s, l, LM_WK, s->normed, count, &prepared, s->keys)) != LLMQ_OK) return status;
    if ((status = lm__product(m, s, l, LM_WV, s->normed, count, &prepared, s->values)) != LLMQ_OK) return status;
    if ((status = lm__add_bias(m, s, l, 0, count, s->q)) != LLMQ_OK) return status;
    if ((status = lm__add_bias(m, s, l, 1, count, s->keys)) != LLMQ_OK) return status;
    if ((status = lm__add_bias(m, s, l, 2, count, s->values)) != LLMQ_OK) return status;
    lm__turn_to(m, s, position, count);
    for (i = 0; i < count; i++) {
        lm__rotate(m, s, s->q + (size_t)i * m->dim, m->dim, i);
        lm__rotate(m, s, s->keys + (size_t)i * kv, kv, i);
        if ((status = lm__attend_token(m, s, l, i, position + i)) != LLMQ_OK) return status;
    }
    if ((status = lm__look(s, LM_AT_ATTENTION, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_OUTPUT, l, count, position)) != LLMQ_OK) return status;
    prepared = 0;
    return lm__product(m, s, l, LM_WO, s->attention, count, &prepared, s->normed);
}

/* gate <- silu(gate) * up */
static void lm__swiglu(float *gate, const float *up, size_t n)
{
    LM__NO_CONTRACT
    size_t i;
    for (i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + lm__exp(-gate[i])) * up[i];
}

/* x += y */
static void lm__add(float *x, const float *y, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) x[i] += y[i];
}

/* normed <- output of the feed-forward block of layer l, W2 (silu(W1 x) * W3 x), for count tokens
   in x. */
static llmq_status lm__feed_forward(const lm_model *m, lm_state *s, uint32_t l, uint32_t count,
                                       uint32_t position)
{
    int prepared = 0;
    llmq_status status;
    if ((status = lm__normalise(m, s, l, 1, count)) != LLMQ_OK) return status;
    if ((status = lm__product(m, s, l, LM_W1, s->normed, count, &prepared, s->gate)) != LLMQ_OK) return status;
    if ((status = lm__product(m, s, l, LM_W3, s->normed, count, &prepared, s->up)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_FEED, l, count, position)) != LLMQ_OK) return status;
    lm__swiglu(s->gate, s->up, (size_t)count * m->hidden);
    if ((status = lm__look(s, LM_AT_DOWN, l, count, position)) != LLMQ_OK) return status;
    prepared = 0;
    return lm__product(m, s, l, LM_W2, s->gate, count, &prepared, s->normed);
}

llmq_status lm_embed(const lm_model *m, lm_state *s, const uint32_t *tokens, uint32_t count)
{
    llmq_status status = count == 0 || count > s->batch ? LLMQ_E_ARG : LLMQ_OK;
    uint32_t i;
    for (i = 0; i < count && status == LLMQ_OK; i++) {
        if (tokens[i] >= m->vocab) return LLMQ_E_ARG;
        status = llmq_tensor_decode(&m->embed, tokens[i], s->x + (size_t)i * m->dim, s->work, s->work_size);
    }
    return status;
}

/* Positions that a text can have. */
static uint32_t lm__positions(const lm_model *m) { return m->cache.window ? 1u << 24 : m->context; }

llmq_status lm_layer_forward(const lm_model *m, lm_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    const uint32_t end = lm__positions(m);
    llmq_status status;
    if (l >= m->layers || count == 0 || count > s->batch || position >= end || count > end - position)
        return LLMQ_E_ARG;
    if ((status = lm__attention(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_SUM1, l, count, position)) != LLMQ_OK) return status;
    lm__add(s->x, s->normed, (size_t)count * m->dim);
    if ((status = lm__feed_forward(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_SUM2, l, count, position)) != LLMQ_OK) return status;
    lm__add(s->x, s->normed, (size_t)count * m->dim);
    return LLMQ_OK;
}

llmq_status lm_logits(const lm_model *m, lm_state *s, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                         size_t stride)
{
    int prepared = 0;
    llmq_status status;
    if (count == 0 || count > s->batch || r0 > r1 || r1 > m->vocab) return LLMQ_E_ARG;
    if ((status = lm__normalise(m, s, m->layers, 0, count)) != LLMQ_OK) return status;
    /* The product writes row r0 at y + r0. The address before that may be outside of y, so it is
       computed as an integer. */
    y = (float *)((uintptr_t)y - r0 * sizeof *y);
    return lm__linear(m, s, &m->classifier, r0, r1, s->normed, count, &prepared, y, stride);
}

llmq_status lm_forward(const lm_model *m, lm_state *s, const uint32_t *tokens, uint32_t count,
                          uint32_t position, float *logits)
{
    const uint32_t end = lm__positions(m);
    llmq_status status = position >= end || count > end - position ? LLMQ_E_ARG : lm_embed(m, s, tokens, count);
    uint32_t l;
    for (l = 0; l < m->layers && status == LLMQ_OK; l++) status = lm_layer_forward(m, s, l, count, position);
    return status != LLMQ_OK || !logits ? status : lm_logits(m, s, count, 0, m->vocab, logits, m->vocab);
}

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC pop_options
#elif defined(__clang__) && defined(__ARM_FEATURE_MVE)
#pragma clang attribute pop
#endif
#undef LM__NO_CONTRACT
#undef LM_IMPLEMENTATION
#endif
