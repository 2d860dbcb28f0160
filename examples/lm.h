/* lm.h - a forward pass of today's decoder-only language models on llmq.h - public domain or MIT

   Do this in one C or C++ file, after the llmq.h implementation:
       #define LM_IMPLEMENTATION
       #include "lm.h"

   The model is a bundle (llmq.h, section 10). Its values say which model of the family it is, and
   its tensors are raw or quantized, each in a format of its own. With the values below it is
   Llama 2 and 3, Mistral, SmolLM2 and 3, Qwen2.5, Qwen3, Gemma 2 and 3, Granite (dense), MobileLLM
   or BitNet.

   q = heads * head and kv = kv_heads * head. Entries:
       values (u32)   lm.dim lm.hidden lm.layers lm.heads lm.kv_heads lm.vocab lm.context
       tensors        embed [vocab][dim]
                      classifier [vocab][dim]; absent: embed is the classifier, too
                      norm [1][dim]
                      layers.N.norm1, norm2 [1][dim]               for N = 0 ... layers - 1
                      layers.N.wq [q][dim]; wk, wv [kv][dim]; wo [dim][q]
                      layers.N.w1, w3 [hidden][dim]; w2 [dim][hidden]
       tensors, optional
                      layers.N.bq [1][q], bk, bv [1][kv]: added to the results of wq, wk, wv
                      layers.N.qnorm, knorm [1][head]: norms of each head of queries and keys
                      layers.N.onorm [1][q], dnorm [1][hidden]: norms of the inputs of wo and w2
                      layers.N.post1, post2 [1][dim]: norms of the outputs of the two blocks
                      rope_factors [1][rope_part / 2], 1 or more: they divide the frequencies of
                      RoPE in layers without a window (Llama 3.1)
       values, optional
                      lm.head (u32): elements of a head, even; default dim / heads
                      lm.norm_epsilon (f32): added to the mean square in norms, 1e-12 ... 1;
                      default 1e-5
                      lm.activation (u32): LM_SILU and so on, below; default LM_SILU
                      lm.rope_theta (f32): base of RoPE, 1 ... 1e30; default 10000
                      lm.rope_theta_local (f32): the base in layers with a window; default theta
                      lm.rope_scale (f32): it multiplies angles in layers without a window, 1e-6
                      ... 1; default 1. Linear scaling by a factor f is 1 / f
                      lm.rope_part (u32): the first elements of a head, which RoPE rotates; even;
                      default: all
                      lm.rope_halves (u32): the pairs that RoPE rotates: 0: elements 2 i and
                      2 i + 1; 1: i and i + rope_part / 2; default 0
                      lm.window (u32): positions that a token sees in layers with a window, its own
                      included
                      lm.layer_kinds (bytes): one for each layer, LM_WINDOW + LM_NO_ROPE; default 0
                      lm.embed_scale, lm.residual_scale, lm.attention_scale, lm.logit_scale (f32):
                      they multiply embeddings, outputs of blocks, scores and logits, 1e-6 ... 1e6;
                      default 1, and 1 / sqrt(head) for scores
                      lm.attention_softcap, lm.logit_softcap (f32): scores, or logits, become
                      cap tanh(x / cap), 1e-3 ... 1e6; default: they do not
                      lm.abits, lm.azero, lm.ascales (u32), lm.aclip (f32): activations of
                      quantized tensors, as in llmq_activation_options; default:
                      llmq_activation_defaults of 8 bits. Activations of raw tensors are float
   Any other tensor, and any other value whose name begins with "lm.", is refused, because it would
   change the results of the model. Bundles of before version 0.9 have "llama." in place of "lm.".
   With LM_ONLY_LLAMA 1 only Llama 2, biases, theta and epsilon are built in, which saves code on a
   microcontroller. Entries of other models are then refused.
   Memory is the caller's, and functions say how much they need; there is no malloc.

       lm_model m;  lm_state s;
       lm_model_init(&m, &bundle, mem, lm_model_size(&bundle));  // or NULL, 0: saves memory
       lm_state_init(&s, &m, batch, mem2, lm_state_size(&m, batch));
       lm_forward(&m, &s, tokens, count, position, logits);
   The first call has position 0; every other one continues at the end of the call before it.

   THREADS. No thread is started here. lm_model.tasks says into how many tasks products and
   attention may be cut, and lm_state.run calls them, on as many threads as it likes:
       static void run(void *context, lm_task task, void *argument, uint32_t n)
       {
           for (i = 0; i < n; i++) task(argument, i);   // in any order, or at the same time
       }
   It returns after all tasks have ended. Results have the same bits for any number of tasks.

   Logits are the same everywhere: products of the library have the same bits on every processor,
   and so has the code here. exp, the inverse square root, sine and cosine are polynomials below, in
   float, each operation rounded once. libm is not used. Without an FPU they are soft float; their
   share of the instructions is in examples/mcu/README.md.

   The cache of keys and values is configured by lm_model.cache. Rows are f32 or in a format of
   few bits, and are scored and summed as they are stored. The cache holds all positions up to the
   model's context, or a window. In a window each new position replaces the oldest, and generation
   can go on while positions fit 24 bits. With rotations (RoPE) scores depend on distances only, so
   no key has to change when others are forgotten. The first tokens are forgotten like any others.
   Layers that have a window of their own keep no more than that. */
#ifndef LM_H
#define LM_H

#include "../llmq.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef LM_ONLY_LLAMA
#define LM_ONLY_LLAMA 0
#endif

enum { LM_WQ, LM_WK, LM_WV, LM_WO, LM_W1, LM_W2, LM_W3, LM_LINEARS };
extern const char *const lm_linear_name[LM_LINEARS];

/* Vectors of a layer. A layer has the first two and may have any of the others. */
enum {
    LM_NORM1, LM_NORM2, LM_BQ, LM_BK, LM_BV,
#if !LM_ONLY_LLAMA
    LM_QNORM, LM_KNORM, LM_ONORM, LM_DNORM, LM_POST1, LM_POST2,
#endif
    LM_VECTORS
};
extern const char *const lm_vector_name[LM_VECTORS];

/* Activation functions of the feed-forward block w2 (act(w1 x) * w3 x). */
#define LM_SILU         0  /* x / (1 + e^-x) */
#define LM_GELU         1  /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
#define LM_RELU         2  /* max(x, 0) */
#define LM_RELU_SQUARED 3  /* max(x, 0)^2 */

/* Kinds of layers: bits. */
#define LM_WINDOW  1  /* it sees lm.window positions, and RoPE has the base lm.rope_theta_local */
#define LM_NO_ROPE 2

typedef struct lm_layer {
    llmq_tensor linear[LM_LINEARS];
    float *vector[LM_VECTORS];  /* NULL: none */
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
    /* the values of the bundle, with their defaults */
    uint32_t dim, hidden, layers, heads, kv_heads, vocab, context, head;
    float theta, epsilon;
    uint32_t halves;
#if !LM_ONLY_LLAMA
    uint32_t activation_function, rope_part, window;
    float theta_local, rope_scale, embed_scale, residual_scale, logit_scale, attention_softcap, logit_softcap;
    const unsigned char *kinds;          /* [layers]; NULL: all 0 */
    float *rope_factors;                 /* NULL: none, or no memory */
    int has_factors;
#endif
    float attention_scale;
    float rope_rate[2];                  /* -ln(theta), -ln(theta_local) */
    uint32_t vectors;                    /* bit i: a layer has vector i */
    llmq_tensor embed, classifier;
    lm_layer *layer;                     /* [layers]; NULL: no memory; views and vectors are made when they are used */
    float *norm;                         /* weights of the last norm */
    const char *fault;                   /* after an error: see lm_model_fault */
    uint32_t fault_layer;
    int old_names;                       /* 1: values begin with "llama." */
    llmq_bundle bundle;
    llmq_activation_options activation;  /* of quantized tensors, from the bundle; may be changed. bits = 32: float */
    lm_cache cache;                      /* f32, window 0; may be changed before lm_state_size */
    uint32_t tasks;                      /* 1; the most tasks at a time; may be changed before lm_state_size */
} lm_model;

/* Places in a layer where a watcher is called. Rows 0 ... count - 1 of the arrays of the state are
   the tokens of the call. */
enum {
    LM_AT_HEADS,      /* q, keys: before their norms; called if any layer has norms of heads */
    LM_AT_ATTENTION,  /* normed: input of wq wk wv; q, keys and values: as attention reads them, after RoPE */
    LM_AT_OUTPUT,     /* attention: input of wo */
    LM_AT_FEED,       /* normed: input of w1 w3; gate, up: their results */
    LM_AT_DOWN,       /* gate: input of w2 */
    LM_AT_SUM1,       /* normed: the output of the attention block, not yet added to x, the residual stream */
    LM_AT_SUM2        /* normed: the output of the feed-forward block, not yet added to x */
};

typedef struct lm_state lm_state;
typedef llmq_status (*lm_watcher)(void *context, int place, uint32_t layer, const lm_state *s, uint32_t count,
                                  uint32_t position);

/* Task i < n of a piece of work, and a function that calls all n of them, then returns. */
typedef void (*lm_task)(void *argument, uint32_t i);
typedef void (*lm_runner)(void *context, lm_task task, void *argument, uint32_t n);

/* Memory of one task of attention, and how the task ended. */
typedef struct lm_room {
    float *scores;              /* [queries][window] */
    unsigned char *query, *work;
    llmq_status status;
} lm_room;

struct lm_state {
    lm_watcher watch;           /* NULL: none. A status other than LLMQ_OK ends the call, which returns it */
    void *watch_context;
    lm_runner run;              /* NULL: tasks are called here, one after the other */
    void *run_context;
    uint32_t batch;             /* largest count of tokens in one call */
    float *x, *normed, *q, *keys, *values, *attention, *up, *gate;  /* [batch][...]: a vector for each token */
    /* [batch][rope_part / 2]: RoPE at positions rotations_from ... + rotations - 1; [1]: in layers
       with a window, the same arrays if nothing differs there */
    float *cosine[2], *sine[2];
    uint32_t rotations, rotations_from;
    uint32_t window;            /* positions in the cache, in layers without a window of their own */
    llmq_tensor key, value;     /* views of a head: window rows */
    unsigned char *cache;       /* [layers][kv_heads]: the rows of a key, then the rows of a value */
    llmq_activation *activation;  /* [batch] */
    unsigned char *activation_memory, *work;
    size_t activation_size, work_size, query_size;
#if !LM_ONLY_LLAMA
    uint32_t queries;           /* that attention computes together */
    int avx2;                   /* 1: the processor has AVX2 */
#endif
    uint32_t tasks;
    lm_room *room;              /* [tasks] */
};

/* Bytes of memory for the views of a model; 0 if the bundle is not a model of lm.h. */
size_t lm_model_size(const llmq_bundle *b);

/* Finds all tensors and values of a model, and checks their shapes.
   b: its bytes stay in use; *m has a copy of the view.
   mem: lm_model_size bytes, aligned for pointers. NULL with size 0: views are made for every
   product
     and vectors decoded, which takes no memory and some thousand instructions a layer.
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

/* Shape of linear layer i (LM_WQ ...), and elements of vector i (LM_NORM1 ...), of any layer. */
void lm_linear_shape(const lm_model *m, uint32_t i, uint32_t *rows, uint32_t *cols);
uint32_t lm_vector_size(const lm_model *m, uint32_t i);

/* Kind of layer l: LM_WINDOW + LM_NO_ROPE. */
uint32_t lm_layer_kind(const lm_model *m, uint32_t l);

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
     LLMQ_E_CORRUPT     a number of rope_factors is below 1, in a model without memory, which does
                        not look at them before
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

/* Loops on floats, of eight at a time where the compiler has vectors. On x86-64 they are compiled
   twice, as the program is and for AVX2, and lm_state.avx2 says which to call. AVX2 alone has no
   fused multiply-add, and sums have one order, so both give the same bits. gcc for Windows keeps no
   vectors of 32 bytes on the stack, which is not aligned for them there (its bug 54412). */
#if !LM_ONLY_LLAMA && defined(__GNUC__) && !defined(__TINYC__) && defined(__BYTE_ORDER__) \
    && (!defined(_WIN32) || defined(__clang__))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ \
    && (defined(__SSE2__) || defined(__aarch64__) || defined(__wasm_simd128__))
#define LM__VECTORS 1
typedef float lm__f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t lm__i32x8 __attribute__((vector_size(32), aligned(4), may_alias));
#define LM__F32X8(p) (*(lm__f32x8 *)(void *)(p))
#define LM__BODY static inline __attribute__((always_inline))
#if defined(__x86_64__)
#define LM__TWICE(name, parameters, arguments)                                                                        \
    static void name##_plain parameters { name arguments; }                                                           \
    static __attribute__((target("avx2"))) void name##_avx2 parameters { name arguments; }
#define LM__CALL(s, name, arguments) ((s)->avx2 ? name##_avx2 arguments : name##_plain arguments)
#endif
#endif
#endif
#ifndef LM__VECTORS
#define LM__VECTORS 0
#define LM__BODY static
#endif
#ifndef LM__CALL
#define LM__TWICE(name, parameters, arguments)
#define LM__CALL(s, name, arguments) name arguments
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
static inline float lm__exp_between(float x) /* -87 <= x <= 88 */
{
    LM__NO_CONTRACT
    const float half = lm__float((lm__bits(x) & 0x80000000u) | 0x3f000000u); /* 0.5 with the sign of x */
    const int32_t whole = (int32_t)(x * 1.44269504f + half);
    const float n = (float)whole;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    r = 1.0f + r * (1.0f + r * (0.5f + r * (1.66666667e-1f
        + r * (4.16666667e-2f + r * (8.33333333e-3f + r * 1.38888889e-3f)))));
    return r * lm__float((uint32_t)(whole + 127) << 23);
}
static float lm__exp(float x)
{
    if (x < -87.0f) return 0.0f;
    if (x != x) return x;
    return lm__exp_between(x > 88.0f ? 88.0f : x);
}

/* x[0, n) <- e^x, the bits of lm__exp. Eight at a time without branches, which compilers make
   vectors of; comparisons are of bits, because those of floats may trap.
   check: f32bits(87) == 0x42b00000 - 0x20000
   check: f32bits(88) == 0x42b00000 */
LM__BODY void lm__exp_all(float *x, size_t n)
{
#if !LM_ONLY_LLAMA
    for (; n >= 8; n -= 8, x += 8) {
        int i;
        for (i = 0; i < 8; i++) {
            const uint32_t u = lm__bits(x[i]), size = u & 0x7fffffffu, below = 0u - (u >> 31),
                           limit = 0x42b00000u - (below & 0x20000u), beyond = 0u - (uint32_t)(size > limit),
                           nan = 0u - (uint32_t)(size > 0x7f800000u),
                           between = (u & ~beyond) | (limit & beyond) | (u & 0x80000000u);
            const uint32_t e = lm__bits(lm__exp_between(lm__float(between))) & ~(beyond & below);
            x[i] = lm__float((e & ~nan) | (u & nan));
        }
    }
#endif
    for (; n; n--, x++) *x = lm__exp(*x);
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

/* The rotation of pair i < half at a position, by the angle position * scale * theta^(-i / half) =
   position * scale * e^(i / half * rate), rate = -ln(theta). scale is at most 1. For position 1 the
   angle is at most 1, and sine and
   cosine come from their series up to the 10th power. Then they are raised to the position, bit by
   bit. The error is about position * 1e-7, as large as the error of the angle as a float. It is
   nearly the same at neighbouring positions, so the distance of two positions, on which scores
   depend, is more exact than that.
   check: 1 / 39916800 < 3e-8 */
static lm__rotation lm__rotation_at(uint32_t position, uint32_t i, uint32_t half, float rate,
                                    float scale)
{
    LM__NO_CONTRACT
    float x = scale * lm__exp((float)i / (float)half * rate), y = x * x;
    lm__rotation one, all = { 1.0f, 0.0f };
    one.c = 1.0f - y * (0.5f - y * (4.16666667e-2f - y * (1.38888889e-3f - y * (2.48015873e-5f - y * 2.75573192e-7f))));
    one.s = x * (1.0f - y * (1.66666667e-1f - y * (8.33333333e-3f - y * (1.98412698e-4f - y * 2.75573192e-6f))));
    for (; position; position >>= 1, one = lm__unit(lm__complex_product(one, one)))
        if (position & 1) all = lm__complex_product(all, one);
    return all;
}

/* ---- model ------------------------------------------------------------------------------------------------------ */

/* Queries of a call of several tokens that attention computes together, because they read the same
   keys: products with four activations keep sums of each in registers. */
#if LM_ONLY_LLAMA
#define LM__QUERIES 1
#define LM__QUERIES_OF(s) 1u
#else
#define LM__QUERIES 4
#define LM__QUERIES_OF(s) ((s)->queries)
#endif

/* Products of a layer that share their input and are computed together. */
#define LM__TOGETHER (LM_ONLY_LLAMA ? 1 : 3)

/* A member that only other models than Llama 2 have, or its value there. */
#if LM_ONLY_LLAMA
#define LM__EXTRA(m, member, plain) (plain)
#else
#define LM__EXTRA(m, member, plain) ((m)->member)
#endif

const char *const lm_linear_name[LM_LINEARS] = { "wq", "wk", "wv", "wo", "w1", "w2", "w3" };
const char *const lm_vector_name[LM_VECTORS] = {
    "norm1", "norm2", "bq", "bk", "bv",
#if !LM_ONLY_LLAMA
    "qnorm", "knorm", "onorm", "dnorm", "post1", "post2"
#endif
};

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

/* The values of a model: their ranges and defaults as bits, for positive floats are ordered as
   their bits are, and the members that they set. The first seven are required. A default of 0
   stands for another value, which lm__complete sets.
   check: f32bits(1.0) == 0x3f800000
   check: f32bits(1e30) == 0x7149f2ca
   check: f32bits(1e-12) == 0x2b8cbccc
   check: f32bits(1e-6) == 0x358637bd
   check: f32bits(1e6) == 0x49742400
   check: f32bits(1e-3) == 0x3a83126f
   check: f32bits(10000.0) == 0x461c4000
   check: f32bits(1e-5) == 0x3727c5ac */
#define LM__AT(member) (uint16_t)offsetof(lm_model, member)
enum { LM__REQUIRED = 7 };
static const struct lm__value {
    char name[18];
    uint16_t type;
    uint32_t min, max, usual;
    uint16_t at;
} lm__value[] = {
    { "dim", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(dim) },
    { "hidden", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(hidden) },
    { "layers", LLMQ_VALUE_U32, 1, 65536, 0, LM__AT(layers) },
    { "heads", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(heads) },
    { "kv_heads", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(kv_heads) },
    { "vocab", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(vocab) },
    { "context", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(context) },
    { "rope_theta", LLMQ_VALUE_F32, 0x3f800000u, 0x7149f2cau, 0x461c4000u, LM__AT(theta) },
    { "rope_halves", LLMQ_VALUE_U32, 0, 1, 0, LM__AT(halves) },
    { "norm_epsilon", LLMQ_VALUE_F32, 0x2b8cbcccu, 0x3f800000u, 0x3727c5acu, LM__AT(epsilon) },
#if !LM_ONLY_LLAMA
    { "head", LLMQ_VALUE_U32, 2, 1u << 24, 0, LM__AT(head) },
    { "activation", LLMQ_VALUE_U32, LM_SILU, LM_RELU_SQUARED, LM_SILU, LM__AT(activation_function) },
    { "rope_theta_local", LLMQ_VALUE_F32, 0x3f800000u, 0x7149f2cau, 0, LM__AT(theta_local) },
    { "rope_scale", LLMQ_VALUE_F32, 0x358637bdu, 0x3f800000u, 0x3f800000u, LM__AT(rope_scale) },
    { "rope_part", LLMQ_VALUE_U32, 2, 1u << 24, 0, LM__AT(rope_part) },
    { "window", LLMQ_VALUE_U32, 1, 1u << 24, 0, LM__AT(window) },
    { "embed_scale", LLMQ_VALUE_F32, 0x358637bdu, 0x49742400u, 0x3f800000u, LM__AT(embed_scale) },
    { "residual_scale", LLMQ_VALUE_F32, 0x358637bdu, 0x49742400u, 0x3f800000u, LM__AT(residual_scale) },
    { "attention_scale", LLMQ_VALUE_F32, 0x358637bdu, 0x49742400u, 0, LM__AT(attention_scale) },
    { "logit_scale", LLMQ_VALUE_F32, 0x358637bdu, 0x49742400u, 0x3f800000u, LM__AT(logit_scale) },
    { "attention_softcap", LLMQ_VALUE_F32, 0x3a83126fu, 0x49742400u, 0, LM__AT(attention_softcap) },
    { "logit_softcap", LLMQ_VALUE_F32, 0x3a83126fu, 0x49742400u, 0, LM__AT(logit_softcap) },
#endif
};
#undef LM__AT
enum { LM__VALUES = sizeof lm__value / sizeof *lm__value };

/* Values of another type, and options of activations, whose defaults depend on their bits. */
enum { LM__ABITS, LM__AZERO, LM__ASCALES, LM__ACLIP, LM__OPTIONS };
static const struct lm__value lm__option[LM__OPTIONS] = {
    { "abits", LLMQ_VALUE_U32, 2, 32, 0, 0 },
    { "azero", LLMQ_VALUE_U32, 0, 1, 0, 0 },
    { "ascales", LLMQ_VALUE_U32, 0, LLMQ_SCALES_BATCH, 0, 0 },
    { "aclip", LLMQ_VALUE_F32, 1, 0x3f800000u, 0, 0 }                    /* above 0, to 1 */
};
static const char lm__kinds[] = "layer_kinds";

#define LM__WHOLE 0xffffffffu /* in place of a layer: the name is the name of the entry */
#define LM__VALUE 0xfffffffeu /* it is a value; its name follows "lm." or "llama." */

/* Says which entry is examined from now on, for lm_model_fault. Called before each step of
   lm_model_init that can fail; name NULL: no entry. */
static void lm__blame(lm_model *m, uint32_t layer, const char *name) { m->fault = name, m->fault_layer = layer; }

/* The name of a value in the bundle. */
static const char *lm__value_name(const lm_model *m, char name[32], const char *what)
{
    const char *prefix = m->old_names ? "llama." : "lm.";
    const size_t n = strlen(prefix);
    memcpy(name, prefix, n);
    memcpy(name + n, what, strlen(what) + 1);
    return name;
}

/* Reads the bits of a value, u32 or f32, and checks their range. *bits stays as it is if the value
   does not exist and may be missing. */
static llmq_status lm__read_value(lm_model *m, const llmq_bundle *b, const struct lm__value *v, int required,
                                  uint32_t *bits)
{
    char name[32];
    const void *data;
    size_t size;
    llmq_status status = llmq_bundle_value(b, lm__value_name(m, name, v->name), v->type, &data, &size);
    const unsigned char *c = (const unsigned char *)data;
    uint32_t value;
    lm__blame(m, LM__VALUE, v->name);
    /* an entry of this name but another kind or type must not count as a default */
    if (status == LLMQ_E_NOT_FOUND && !required)
        return llmq_bundle_find(b, name, &value) == LLMQ_OK ? LLMQ_E_CORRUPT : LLMQ_OK;
    if (status != LLMQ_OK) return status;
    value = (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
    if (value < v->min || value > v->max) return LLMQ_E_CORRUPT;
    *bits = value;
    return LLMQ_OK;
}

/* Elements of the queries, and of the keys or values, of all heads of a token. */
static uint32_t lm__q(const lm_model *m) { return m->heads * m->head; }
static uint32_t lm__kv(const lm_model *m) { return m->kv_heads * m->head; }

uint32_t lm_layer_kind(const lm_model *m, uint32_t l)
{
    const unsigned char *kinds = LM__EXTRA(m, kinds, NULL);
    (void)m;
    return kinds ? kinds[l] : 0;
}

/* Sets the values whose defaults are made of others, and checks that all fit each other. A head has
   an even count of elements, for RoPE takes pairs. Sizes of vectors stay below 2^32.
   check: 2**24 * 2**8 == 2**32 */
static llmq_status lm__complete(lm_model *m)
{
    lm__blame(m, LM__VALUE, LM__EXTRA(m, head, 0) ? "head" : "heads");
    if (m->head == 0) {
        if (m->dim % m->heads) return LLMQ_E_CORRUPT;
        m->head = m->dim / m->heads;
    }
    if (m->head % 2 || m->head > (1u << 24) / m->heads) return LLMQ_E_CORRUPT;
    lm__blame(m, LM__VALUE, "kv_heads");
    if (m->heads % m->kv_heads) return LLMQ_E_CORRUPT;
    if (!(m->attention_scale > 0.0f)) m->attention_scale = lm__inverse_sqrt((float)m->head);
    m->rope_rate[0] = m->rope_rate[1] = -lm__log(m->theta);
#if !LM_ONLY_LLAMA
    lm__blame(m, LM__VALUE, "rope_part");
    if (m->rope_part == 0) m->rope_part = m->head;
    if (m->rope_part > m->head || m->rope_part % 2) return LLMQ_E_CORRUPT;
    if (m->theta_local > 0.0f) m->rope_rate[1] = -lm__log(m->theta_local);
#endif
    return LLMQ_OK;
}

#if !LM_ONLY_LLAMA
/* Reads the kinds of the layers. */
static llmq_status lm__read_kinds(lm_model *m, const llmq_bundle *b)
{
    char name[32];
    const void *data;
    size_t size;
    uint32_t l;
    llmq_status status = llmq_bundle_value(b, lm__value_name(m, name, lm__kinds), LLMQ_VALUE_BYTES, &data, &size);
    lm__blame(m, LM__VALUE, lm__kinds);
    if (status == LLMQ_E_NOT_FOUND) return llmq_bundle_find(b, name, &l) == LLMQ_OK ? LLMQ_E_CORRUPT : LLMQ_OK;
    if (status != LLMQ_OK) return status;
    if (size != m->layers) return LLMQ_E_CORRUPT;
    m->kinds = (const unsigned char *)data;
    for (l = 0; l < m->layers; l++)
        if (m->kinds[l] > LM_WINDOW + LM_NO_ROPE || (m->kinds[l] & LM_WINDOW && m->window == 0)) return LLMQ_E_CORRUPT;
    return LLMQ_OK;
}
#endif

/* Reads the values of a model, all but the options of activations, into *m, and sets everything
   else to 0. Shapes follow from them alone, so it serves lm_model_size, too. */
static llmq_status lm__config(lm_model *m, const llmq_bundle *b)
{
    char name[40];
    uint32_t i, l, bits;
    llmq_status status;
    memset(m, 0, sizeof *m);
    m->old_names = llmq_bundle_find(b, "llama.dim", &i) == LLMQ_OK;
    for (i = 0; i < LM__VALUES; i++) {
        bits = lm__value[i].usual;
        if ((status = lm__read_value(m, b, &lm__value[i], i < LM__REQUIRED, &bits)) != LLMQ_OK) return status;
        memcpy((unsigned char *)m + lm__value[i].at, &bits, sizeof bits);
    }
    if ((status = lm__complete(m)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    if ((status = lm__read_kinds(m, b)) != LLMQ_OK) return status;
    m->has_factors = llmq_bundle_find(b, "rope_factors", &i) == LLMQ_OK;
#endif
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < LM_VECTORS; i++)
            if (!(m->vectors >> i & 1) && llmq_bundle_find(b, lm__name(name, l, lm_vector_name[i]), &bits) == LLMQ_OK)
                m->vectors |= 1u << i;
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

uint32_t lm_vector_size(const lm_model *m, uint32_t i)
{
    switch (i) {
    case LM_BQ: return lm__q(m);
    case LM_BK: case LM_BV: return lm__kv(m);
#if !LM_ONLY_LLAMA
    case LM_QNORM: case LM_KNORM: return m->head;
    case LM_ONORM: return lm__q(m);
    case LM_DNORM: return m->hidden;
#endif
    default: return m->dim;
    }
}

/* Elements of the vectors of a layer that has all that any layer has. */
static size_t lm__vectors_size(const lm_model *m)
{
    size_t n = 0;
    uint32_t i;
    for (i = 0; i < LM_VECTORS; i++)
        if (m->vectors >> i & 1) n += lm_vector_size(m, i);
    return n;
}

/* The layout of a model's memory; the shapes in *m are known. The vectors of layer l begin at
   layer[l].vector[LM_NORM1]: each layer has that one. */
static void lm__place_model(lm_model *m, lm__pool *p)
{
    float *vectors;
    const size_t size = lm__vectors_size(m);
    uint32_t l;
    m->layer = (lm_layer *)lm__take(p, m->layers, sizeof *m->layer, 1);
    m->norm = (float *)lm__take(p, m->dim, sizeof(float), 1);
#if !LM_ONLY_LLAMA
    m->rope_factors = m->has_factors ? (float *)lm__take(p, m->rope_part / 2, sizeof(float), 1) : NULL;
#endif
    vectors = (float *)lm__take(p, m->layers, size, sizeof(float));
    for (l = 0; l < m->layers && vectors && m->layer; l++) m->layer[l].vector[LM_NORM1] = vectors + l * size;
}

/* Bytes of that memory; 0 if they do not fit size_t. */
static size_t lm__measure(lm_model *m)
{
    lm__pool p = { NULL, 0 };
    lm__place_model(m, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

size_t lm_model_size(const llmq_bundle *b)
{
    lm_model m;
    return lm__config(&m, b) == LLMQ_OK ? lm__measure(&m) : 0;
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
    static const char *const whole[] = {
        "embed", "classifier", "norm",
#if !LM_ONLY_LLAMA
        "rope_factors"
#endif
    };
    uint32_t layer, i;
    const char *part = lm_layer_part(name, m->layers, &layer);
    for (i = 0; i < sizeof whole / sizeof *whole && !part; i++)
        if (strcmp(name, whole[i]) == 0) return 1;
    for (i = 0; i < LM_LINEARS && part; i++)
        if (strcmp(part, lm_linear_name[i]) == 0) return 1;
    for (i = 0; i < LM_VECTORS && part; i++)
        if (strcmp(part, lm_vector_name[i]) == 0) return 1;
    return 0;
}

/* True if a value of this name, without its prefix, belongs to the model. */
static int lm__is_value(const char *name)
{
    uint32_t i;
    for (i = 0; i < LM__VALUES; i++)
        if (strcmp(name, lm__value[i].name) == 0) return 1;
    for (i = 0; i < LM__OPTIONS; i++)
        if (strcmp(name, lm__option[i].name) == 0) return 1;
    return !LM_ONLY_LLAMA && strcmp(name, lm__kinds) == 0;
}

/* Refuses entries that this code does not know and that would change the results of the model: a
   reader that skips them computes something else without a word. Values of the other prefix are
   not read, so they are refused, too. */
static llmq_status lm__check_entries(lm_model *m, const llmq_bundle *b)
{
    uint32_t i;
    for (i = 0; i < b->count; i++) {
        llmq_entry e;
        int known = 1;
        llmq_status status = llmq_bundle_at(b, i, &e);
        if (status != LLMQ_OK) return status;
        if (e.kind == LLMQ_KIND_TENSOR) known = lm__is_tensor(m, e.name);
        else if (strncmp(e.name, "lm.", 3) == 0) known = !m->old_names && lm__is_value(e.name + 3);
        else if (strncmp(e.name, "llama.", 6) == 0) known = m->old_names && lm__is_value(e.name + 6);
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
    if ((status = lm__read_value(m, b, &lm__option[LM__ABITS], 0, &bits)) != LLMQ_OK) return status;
    if (bits > 8 && bits != 32) return LLMQ_E_CORRUPT;
#if LLMQ_NO_ACTIVATION_OPTIONS
    o->bits = bits, o->asymmetric = 0, o->scales = LLMQ_SCALES_GROUP, o->clip = 1.0f;
    if (bits < 8) return LLMQ_E_UNSUPPORTED;
#else
    *o = llmq_activation_defaults(bits);
#endif
    zero = (uint32_t)o->asymmetric, scales = (uint32_t)o->scales;
    clip = lm__bits(o->clip);
    if ((status = lm__read_value(m, b, &lm__option[LM__AZERO], 0, &zero)) != LLMQ_OK) return status;
    if (LLMQ_NO_ACTIVATION_OPTIONS && zero) return LLMQ_E_UNSUPPORTED;
    if ((status = lm__read_value(m, b, &lm__option[LM__ASCALES], 0, &scales)) != LLMQ_OK) return status;
    if (LLMQ_NO_ACTIVATION_OPTIONS && scales) return LLMQ_E_UNSUPPORTED;
    if ((status = lm__read_value(m, b, &lm__option[LM__ACLIP], 0, &clip)) != LLMQ_OK) return status;
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

void lm_linear_shape(const lm_model *m, uint32_t i, uint32_t *rows, uint32_t *cols)
{
    *rows = i == LM_WQ ? lm__q(m)
        : i == LM_WK || i == LM_WV ? lm__kv(m) : i == LM_W1 || i == LM_W3 ? m->hidden : m->dim;
    *cols = i == LM_WO ? lm__q(m) : i == LM_W2 ? m->hidden : m->dim;
}

/* Finds matrix i of layer l in the bundle. */
static llmq_status lm__find(const lm_model *m, uint32_t l, uint32_t i, llmq_tensor *t)
{
    char name[40];
    uint32_t rows, cols;
    lm_linear_shape(m, i, &rows, &cols);
    return lm__tensor(&m->bundle, lm__name(name, l, lm_linear_name[i]), rows, cols, t);
}

/* Sets *t to matrix i of layer l: to the view that the model has, or to one made in *room. */
static llmq_status lm__matrix(const lm_model *m, uint32_t l, uint32_t i, llmq_tensor *room, const llmq_tensor **t)
{
    *t = m->layer ? &m->layer[l].linear[i] : room;
    return m->layer ? LLMQ_OK : lm__find(m, l, i, room);
}

/* Decodes the tensor `name`, [1][n], to out; NULL: only checks it. */
static llmq_status lm__read_vector(const lm_model *m, const char *name, uint32_t n, float *out)
{
    llmq_tensor t;
    llmq_status status = lm__tensor(&m->bundle, name, 1, n, &t);
    /* these numbers have no transform: they multiply elements, or are added to them */
    if (status == LLMQ_OK && t.transform.count != 0) status = LLMQ_E_CORRUPT;
    return status != LLMQ_OK || !out ? status : llmq_tensor_decode(&t, 0, out, NULL, 0);
}

/* Finds and checks all tensors of layer l, and keeps their views and floats if the model has
   memory. Without memory they are checked all the same, so that later calls find them as they
   should be. */
static llmq_status lm__read_layer(lm_model *m, uint32_t l)
{
    lm_layer *y = m->layer ? &m->layer[l] : NULL;
    float *vector = y ? y->vector[LM_NORM1] : NULL;
    char name[40];
    llmq_tensor t;
    llmq_status status;
    uint32_t i, index;
    for (i = 0; i < LM_LINEARS; i++) {
        lm__blame(m, l, lm_linear_name[i]);
        if ((status = lm__find(m, l, i, y ? &y->linear[i] : &t)) != LLMQ_OK) return status;
    }
    for (i = 0; i < LM_VECTORS; i++) {
        const uint32_t n = lm_vector_size(m, i);
        if (y) y->vector[i] = NULL;
        if (!(m->vectors >> i & 1) && i > LM_NORM2) continue;
        lm__blame(m, l, lm_vector_name[i]);
        status = lm__read_vector(m, lm__name(name, l, lm_vector_name[i]), n, vector);
        if (status == LLMQ_E_NOT_FOUND && i > LM_NORM2 && llmq_bundle_find(&m->bundle, name, &index) != LLMQ_OK)
            continue;
        if (status != LLMQ_OK) return status;
        if (y) y->vector[i] = vector, vector += n;
    }
    return LLMQ_OK;
}

#if !LM_ONLY_LLAMA
/* Decodes the factors that divide the frequencies of RoPE to out[rope_part / 2]; NULL: only checks
   their shape. A factor below 1 would be an angle of more than 1 a position, for which
   lm__rotation_at is not made. */
static llmq_status lm__read_factors(const lm_model *m, float *out)
{
    uint32_t i;
    llmq_status status = lm__read_vector(m, "rope_factors", m->rope_part / 2, out);
    for (i = 0; i < m->rope_part / 2 && out && status == LLMQ_OK; i++)
        if (!(out[i] >= 1.0f)) status = LLMQ_E_CORRUPT;
    return status;
}
#endif

/* Everything is checked here, once; later calls trust *m. A fault is named as soon as the search
   for it begins, and cleared between entries. */
llmq_status lm_model_init(lm_model *m, const llmq_bundle *b, void *mem, size_t size)
{
    lm__pool p;
    llmq_status status = lm__config(m, b);
    size_t need;
    uint32_t l;
    m->bundle = *b;
    if (status == LLMQ_OK) status = lm__check_entries(m, b);
    if (status != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, NULL);
    need = mem ? lm__measure(m) : 0;
    if (mem && need == 0) return LLMQ_E_LIMIT;
    if (lm__misaligned(mem)) return LLMQ_E_ARG;
    if (mem ? size < need : size != 0) return LLMQ_E_WORKSPACE;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    if (mem) lm__place_model(m, &p);
    m->tasks = 1;
    lm__blame(m, LM__WHOLE, "embed");
    if ((status = lm__tensor(b, "embed", m->vocab, m->dim, &m->embed)) != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, "classifier");
    status = lm__tensor(b, "classifier", m->vocab, m->dim, &m->classifier);
    if (status == LLMQ_E_NOT_FOUND && llmq_bundle_find(b, "classifier", &l) != LLMQ_OK) m->classifier = m->embed;
    else if (status != LLMQ_OK) return status;
    if ((status = lm__activation_config(m, b)) != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, NULL);
    /* a build without f32 is no error: its caller chooses another format for the cache */
    if ((status = lm_cache_bits(&m->cache, 32)) == LLMQ_E_NOT_FOUND) status = LLMQ_OK;
    if (status != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, "norm");
    if ((status = lm__read_vector(m, "norm", m->dim, m->norm)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    lm__blame(m, LM__WHOLE, "rope_factors");
    if (m->has_factors && (status = lm__read_factors(m, m->rope_factors)) != LLMQ_OK) return status;
#endif
    for (l = 0; l < m->layers; l++)
        if ((status = lm__read_layer(m, l)) != LLMQ_OK) return status;
    lm__blame(m, LM__WHOLE, NULL);
    return LLMQ_OK;
}

const char *lm_model_fault(const lm_model *m, char name[256])
{
    name[0] = 0;
    if (!m->fault) return name;
    if (m->fault_layer == LM__VALUE) (void)lm__value_name(m, name, m->fault);
    else if (m->fault_layer != LM__WHOLE) (void)lm__name(name, m->fault_layer, m->fault);
    else memcpy(name, m->fault, strlen(m->fault) + 1); /* names of a bundle have at most 255 bytes */
    return name;
}

static size_t lm__max(size_t a, size_t b) { return a > b ? a : b; }

/* ---- state ------------------------------------------------------------------------------------------------------ */

/* Bytes for one activation of t, whatever its options; 0 on overflow. Options with a scale for each
   batch and zero points take the most memory. */
static size_t lm__activation(const llmq_tensor *t)
{
    size_t one = lm__max(llmq_activation_size(t, 32), llmq_activation_size(t, 8));
#if !LLMQ_NO_ACTIVATION_OPTIONS
    static const llmq_activation_options most = { 8, 1, LLMQ_SCALES_BATCH, 1.0f };
    one = lm__max(one, llmq_activations_size(t, &most, 1));
#endif
    return (one + 15) / 16 * 16;
}

/* Bytes for `batch` of them; 0 on overflow. */
static size_t lm__activations(const llmq_tensor *t, uint32_t batch)
{
    size_t one = lm__activation(t);
    return batch == 0 || one > SIZE_MAX / batch ? 0 : one * batch;
}

/* Finds the largest memory that a product of the model needs for the activations of a call, and the
   largest workspace to decode or encode a row. *activations is SIZE_MAX on overflow, which then no
   memory has. */
static llmq_status lm__needs(const lm_model *m, const lm_state *s, uint32_t batch, size_t *activations, size_t *work)
{
    size_t need = lm__activations(&m->classifier, batch);
    uint32_t l, i;
    llmq_tensor room;
    const llmq_tensor *t;
    llmq_status status;
    *activations = need ? need : SIZE_MAX;
    *activations = lm__max(*activations, LM__QUERIES_OF(s) * s->query_size);
    *work = llmq_transform_work_size(&m->embed.transform, m->dim);
    *work = lm__max(*work, lm__max(llmq_encode_work_size(&s->key), llmq_encode_work_size(&s->value)));
    for (i = 0; i < LM_VECTORS && !m->layer; i++) /* they are decoded into it */
        if (m->vectors >> i & 1) *work = lm__max(*work, lm_vector_size(m, i) * sizeof(float));
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < LM_LINEARS; i++) {
            if ((status = lm__matrix(m, l, i, &room, &t)) != LLMQ_OK) return status;
            need = lm__activations(t, batch);
            *activations = lm__max(*activations, need ? need : SIZE_MAX);
        }
    return LLMQ_OK;
}

/* Positions that the cache of layer l holds. */
static uint32_t lm__slots(const lm_model *m, const lm_state *s, uint32_t l)
{
    const uint32_t window = LM__EXTRA(m, window, 0);
    return lm_layer_kind(m, l) & LM_WINDOW && window < s->window ? window : s->window;
}

/* Makes the views of a head's cache. Their data is set when they are used; until then the address
   of the model stands for it, for NULL would be refused. */
static llmq_status lm__cache_views(lm_state *s, const lm_model *m)
{
    llmq_status status;
    if (m->cache.key.taps[0] || m->cache.value.taps[0] || m->cache.window > 1u << 24) return LLMQ_E_ARG;
    s->window = m->cache.window ? m->cache.window : m->context;
    if ((status = llmq_tensor_init(&s->key, &m->cache.key, &m->cache.transform, s->window, m->head, m,
                                   SIZE_MAX)) != LLMQ_OK)
        return status;
    return llmq_tensor_init(&s->value, &m->cache.value, &m->cache.transform, s->window, m->head, m, SIZE_MAX);
}

/* True if RoPE in layers with a window is another than elsewhere. */
static int lm__two_ropes(const lm_model *m)
{
#if !LM_ONLY_LLAMA
    uint32_t l;
    if (lm__bits(m->rope_rate[0]) == lm__bits(m->rope_rate[1]) && m->rope_scale >= 1.0f && !m->has_factors) return 0;
    for (l = 0; l < m->layers; l++)
        if (lm_layer_kind(m, l) & LM_WINDOW) return 1;
#endif
    (void)m;
    return 0;
}

/* Memory of the tasks of attention. The first uses memory that is free between products. */
static void lm__place_rooms(lm_state *s, lm__pool *p)
{
    uint32_t i;
    s->room = (lm_room *)lm__take(p, s->tasks, sizeof *s->room, 1);
    for (i = 0; i < s->tasks; i++) {
        float *scores = (float *)lm__take(p, s->window, sizeof(float), LM__QUERIES_OF(s));
        unsigned char *query = i == 0 ? s->activation_memory :
                                        (unsigned char *)lm__take(p, s->query_size, LM__QUERIES_OF(s), 1),
                      *work = i == 0 ? s->work : (unsigned char *)lm__take(p, s->work_size, 1, 1);
        if (!s->room) continue;
        s->room[i].scores = scores, s->room[i].query = query, s->room[i].work = work;
        s->room[i].status = LLMQ_OK;
    }
}

/* The layout of a state's memory; sets all members of *s. */
static llmq_status lm__place_state(lm_state *s, const lm_model *m, uint32_t batch, lm__pool *p)
{
    const size_t f = sizeof(float), half = LM__EXTRA(m, rope_part, m->head) / 2, kv = lm__kv(m), q = lm__q(m);
    size_t slots = 0;
    uint32_t i, l;
    llmq_status status;
    memset(s, 0, sizeof *s);
    if ((status = lm__cache_views(s, m)) != LLMQ_OK) return status;
    s->query_size = lm__activation(&s->key);
#if !LM_ONLY_LLAMA
    s->queries = batch > 1 ? LM__QUERIES : 1;
    s->avx2 = (llmq_cpu_features() & LLMQ_CPU_AVX2) != 0;
#endif
    if ((status = lm__needs(m, s, batch, &s->activation_size, &s->work_size)) != LLMQ_OK) return status;
    s->batch = batch;
    s->tasks = m->tasks ? m->tasks : 1;
    s->x = (float *)lm__take(p, batch, m->dim, f);
    s->normed = (float *)lm__take(p, batch, m->dim, f);
    s->q = (float *)lm__take(p, batch, q, f);
    s->keys = (float *)lm__take(p, batch, kv, f);
    s->values = (float *)lm__take(p, batch, kv, f);
    s->attention = (float *)lm__take(p, batch, q, f);
    s->up = (float *)lm__take(p, batch, m->hidden, f);
    s->gate = (float *)lm__take(p, batch, m->hidden, f);
    for (i = 0; i < 2; i++) {
        const int own = i == 0 || lm__two_ropes(m);
        s->cosine[i] = own ? (float *)lm__take(p, batch, half, f) : s->cosine[0];
        s->sine[i] = own ? (float *)lm__take(p, batch, half, f) : s->sine[0];
    }
    /* 2^16 layers of 2^24 positions may not fit size_t: it is SIZE_MAX then, which no memory has */
    for (l = 0; l < m->layers; l++) {
        const uint32_t n = lm__slots(m, s, l);
        slots = slots > SIZE_MAX - n ? SIZE_MAX : slots + n;
    }
    s->cache = (unsigned char *)lm__take(p, slots, m->kv_heads, s->key.row_size + s->value.row_size);
    s->activation = (llmq_activation *)lm__take(p, batch, sizeof *s->activation, 1);
    s->activation_memory = (unsigned char *)lm__take(p, s->activation_size, 1, 1);
    s->work = (unsigned char *)lm__take(p, s->work_size, 1, 1);
    lm__place_rooms(s, p);
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

/* ---- tasks ------------------------------------------------------------------------------------------------------ */

/* Calls task i < n for all i, by the runner of the state if there is one. Returns the status of
   the first task that failed. */
static llmq_status lm__run(lm_state *s, lm_task task, void *argument, uint32_t n)
{
    uint32_t i;
    if (s->run && n > 1) s->run(s->run_context, task, argument, n);
    else for (i = 0; i < n; i++) task(argument, i);
    for (i = 0; i < n; i++)
        if (s->room[i].status != LLMQ_OK) return s->room[i].status;
    return LLMQ_OK;
}

/* Into how many tasks so many multiply-adds are cut. To start and to wait for a task takes some
   microseconds, as long as about 2^17 multiply-adds take. */
static uint32_t lm__cut(const lm_state *s, uint64_t work)
{
    work >>= 17;
    return work >= s->tasks ? s->tasks : work > 1 ? (uint32_t)work : 1;
}

/* Products of matrices that share the activations of the state. Their rows are counted through, and
   task i computes `part` of rows [r0, r1), wherever a matrix begins. */
typedef struct lm__rows {
    lm_state *s;
    const llmq_tensor *t[LM__TOGETHER];
    float *y[LM__TOGETHER];  /* results with activation i begin at y[k] + i * stride[k] */
    size_t stride[LM__TOGETHER];
    uint32_t count, r0, r1, part;
} lm__rows;

static void lm__rows_task(void *argument, uint32_t i)
{
    const lm__rows *j = (const lm__rows *)argument;
    uint32_t from = j->r0 + i * j->part, to = j->r1 - from > j->part ? from + j->part : j->r1, k = 0;
    llmq_status status = LLMQ_OK;
    for (; k < LM__TOGETHER && from < to && status == LLMQ_OK; k++) {
        const uint32_t rows = j->t[k]->rows, end = LM__TOGETHER == 1 || to < rows ? to : rows;
        if (LM__TOGETHER == 1 || from < rows) {
            status = llmq_matmul(j->t[k], j->s->activation, j->count, from, end, j->y[k], j->stride[k]);
            from = end;
        }
        from -= rows, to -= rows;
    }
    j->s->room[i].status = status;
}

/* Computes the products *j, all members of which are set but part. Tasks have multiples of 16 rows,
   which kernels compute together. */
static llmq_status lm__multiply(lm__rows *j)
{
    const uint32_t rows = j->r1 - j->r0, n = lm__cut(j->s, (uint64_t)rows * j->t[0]->cols * j->count);
    j->part = n == 1 ? rows : ((rows - 1) / n / 16 + 1) * 16;
    return lm__run(j->s, lm__rows_task, j, n == 1 ? 1 : (rows - 1) / j->part + 1);
}

/* Work on `count` vectors of n elements, of the tokens of a call or of their heads: each(j, i, room)
   does vector i. Task i of the job does `part` of them. The other members are arguments of `each`. */
typedef struct lm__each lm__each;
struct lm__each {
    const lm_model *m;
    lm_state *s;
    llmq_status (*each)(const lm__each *j, size_t i, const lm_room *room);
    size_t count, part, n, size; /* size: bytes of an activation */
    const llmq_tensor *t;
    const float *x, *weight;
    float *y;
    const struct lm__heads *heads;
    uint32_t l;
};

#if !LM_ONLY_LLAMA
static void lm__each_task(void *argument, uint32_t i)
{
    const lm__each *j = (const lm__each *)argument;
    lm_room *room = &j->s->room[i];
    size_t at = i * j->part, end = j->count - at < j->part ? j->count : at + j->part;
    room->status = LLMQ_OK;
    for (; at < end && room->status == LLMQ_OK; at++) room->status = j->each(j, at, room);
}
#endif

/* Runs *j, all members of which are set but part. An element takes about as long as 16 multiply-adds
   of a product. Firmware has no tasks for it. */
static llmq_status lm__for_each(lm__each *j)
{
#if LM_ONLY_LLAMA
    llmq_status status = LLMQ_OK;
    size_t i;
    for (i = 0; i < j->count && status == LLMQ_OK; i++) status = j->each(j, i, j->s->room);
    return status;
#else
    j->part = (j->count - 1) / lm__cut(j->s, (uint64_t)j->count * j->n * 16) + 1;
    return lm__run(j->s, lm__each_task, j, (uint32_t)((j->count - 1) / j->part + 1));
#endif
}

/* A job whose other members are not set. */
static lm__each lm__job(const lm_model *m, lm_state *s, size_t count, size_t n)
{
    lm__each j;
    j.m = m, j.s = s, j.count = count, j.n = n;
    return j;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* out = weight * x / sqrt(mean(x^2) + epsilon), n elements. The sum is in order of the elements, as
   everywhere here, so that logits do not depend on the processor. out may be x. */
static void lm__rmsnorm(float *out, const float *x, const float *weight, uint32_t n, float epsilon)
{
    LM__NO_CONTRACT
    float sum = 0.0f;
    uint32_t i;
    for (i = 0; i < n; i++) sum += x[i] * x[i];
    sum = lm__inverse_sqrt(sum / (float)n + epsilon);
    for (i = 0; i < n; i++) out[i] = weight[i] * (sum * x[i]);
}

/* Sets *out to vector i of layer l, or to NULL if the layer has none; l = layers: the last norm. If
   the model has no memory, it is decoded into the workspace, which is free between products. */
static llmq_status lm__vector(const lm_model *m, lm_state *s, uint32_t l, uint32_t i, const float **out)
{
    char name[40];
    llmq_status status;
    *out = NULL;
    if (l < m->layers && !(m->vectors >> i & 1)) return LLMQ_OK;
    *out = m->layer ? (l == m->layers ? m->norm : m->layer[l].vector[i]) : (float *)(void *)s->work;
    if (m->layer) return LLMQ_OK;
    status = lm__read_vector(m, l == m->layers ? "norm" : lm__name(name, l, lm_vector_name[i]), lm_vector_size(m, i),
                             (float *)(void *)s->work);
    if (status != LLMQ_E_NOT_FOUND || l == m->layers || i <= LM_NORM2) return status;
    *out = NULL;
    return LLMQ_OK;
}

/* Row i of y <- the norm with weight of row i of x. */
static llmq_status lm__norm_one(const lm__each *j, size_t i, const lm_room *room)
{
    (void)room;
    lm__rmsnorm(j->y + i * j->n, j->x + i * j->n, j->weight, (uint32_t)j->n, j->m->epsilon);
    return LLMQ_OK;
}

/* out <- the norm with vector `which` of layer l of `rows` rows of x, if the layer has that vector.
   Else out is untouched. */
static llmq_status lm__norm(const lm_model *m, lm_state *s, uint32_t l, uint32_t which, float *out, const float *x,
                            size_t rows)
{
    lm__each j = lm__job(m, s, rows, lm_vector_size(m, which));
    llmq_status status = lm__vector(m, s, l, which, &j.weight);
    if (status != LLMQ_OK || !j.weight) return status;
    j.each = lm__norm_one, j.x = x, j.y = out;
    return lm__for_each(&j);
}

/* Prepares activation i of the state for products of t with row i of x. */
static llmq_status lm__prepare_one(const lm__each *j, size_t i, const lm_room *room)
{
    const float *x = j->x + i * j->n;
    unsigned char *memory = j->s->activation_memory + i * j->size;
    (void)room;
#if !LLMQ_NO_ACTIVATION_OPTIONS
    if (j->t->format.points && j->m->activation.bits != 32)
        return llmq_activations_prepare(&j->s->activation[i], j->t, &j->m->activation, 1, x, j->n, memory,
                                        j->size);
#endif
    return llmq_activation_prepare(&j->s->activation[i], j->t, j->t->format.points ? j->m->activation.bits : 32, x,
                                   memory, j->size);
}

/* Prepares s->activation for products of t with x[count][cols]. Raw tensors take float
   activations. */
static llmq_status lm__prepare(const lm_model *m, lm_state *s, const llmq_tensor *t, const float *x, uint32_t count)
{
    lm__each j = lm__job(m, s, count, t->cols);
    j.size = lm__activation(t);
    /* a tensor of other shapes than those of the model that the state was made for */
    if (j.size == 0 || s->activation_size / count < j.size) return LLMQ_E_WORKSPACE;
#if !LLMQ_NO_ACTIVATION_OPTIONS
    if (m->activation.scales == LLMQ_SCALES_BATCH && t->format.points && m->activation.bits != 32)
        return llmq_activations_prepare(s->activation, t, &m->activation, count, x, t->cols, s->activation_memory,
                                        s->activation_size);
#endif
    j.each = lm__prepare_one, j.t = t, j.x = x;
    return lm__for_each(&j);
}

/* True if s->activation, prepared for another tensor, serves t, too: tensors that read the same input
   in the same basis share activations. A tensor with another transform, or a raw one between
   quantized ones, gets its own. */
static int lm__shares(const lm_model *m, const lm_state *s, const llmq_tensor *t, uint32_t count)
{
    const int quantized = t->format.points != NULL && m->activation.bits != 32;
    return (s->activation->q != NULL) == quantized
        && llmq_matmul(t, s->activation, count, 0, 0, s->x, 0) == LLMQ_OK; /* no rows: only checks */
}

/* Calls the watcher, if there is one. */
static llmq_status lm__look(const lm_state *s, int place, uint32_t l, uint32_t count, uint32_t position)
{
    return s->watch ? s->watch(s->watch_context, place, l, s, count, position) : LLMQ_OK;
}

/* y[k] = matrix which[k], LM_WQ ..., of layer l times count vectors x, for k < n. */
static llmq_status lm__products(const lm_model *m, lm_state *s, uint32_t l, const unsigned char *which, uint32_t n,
                                const float *x, uint32_t count, float *const *y)
{
    llmq_tensor room[LM__TOGETHER];
    lm__rows job;
    uint32_t i, k;
    int prepared = 0;
    llmq_status status = LLMQ_OK;
    job.s = s, job.count = count, job.r0 = 0;
    for (i = 0; i < n && status == LLMQ_OK; i += k) {
        job.r1 = 0;
        for (k = 0; k < LM__TOGETHER && i + k < n; k++) {
            if ((status = lm__matrix(m, l, which[i + k], &room[k], &job.t[k])) != LLMQ_OK) return status;
            if (!prepared || !lm__shares(m, s, job.t[k], count)) {
                if (k) break;
                if ((status = lm__prepare(m, s, job.t[k], x, count)) != LLMQ_OK) return status;
                prepared = 1;
            }
            job.y[k] = y[i + k];
            job.stride[k] = job.t[k]->rows;
            job.r1 += job.t[k]->rows;
        }
        status = lm__multiply(&job);
    }
    return status;
}

static llmq_status lm__bias_one(const lm__each *j, size_t i, const lm_room *room)
{
    float *y = j->y + i * j->n;
    size_t k;
    (void)room;
    for (k = 0; k < j->n; k++) y[k] += j->weight[k];
    return LLMQ_OK;
}

/* Adds the bias `which` of layer l to y[count][...], if the layer has it. */
static llmq_status lm__add_bias(const lm_model *m, lm_state *s, uint32_t l, uint32_t which, uint32_t count, float *y)
{
    lm__each j = lm__job(m, s, count, lm_vector_size(m, which));
    llmq_status status = lm__vector(m, s, l, which, &j.weight);
    if (status != LLMQ_OK || !j.weight) return status;
    j.each = lm__bias_one, j.y = y;
    return lm__for_each(&j);
}

/* Computes the rotations (RoPE) at `count` positions from `position` on, once for all layers of a
   call: of layers without a window (which = 0) or with one (1). */
static llmq_status lm__turn(const lm_model *m, lm_state *s, uint32_t which, uint32_t position, uint32_t count)
{
    const uint32_t half = LM__EXTRA(m, rope_part, m->head) / 2;
    const float *factors = NULL;
    float scale = 1.0f;
    uint32_t i, k;
#if !LM_ONLY_LLAMA
    if (which == 0) {
        scale = m->rope_scale;
        factors = m->rope_factors;
        if (m->has_factors && !factors) {
            llmq_status status = lm__read_factors(m, (float *)(void *)s->work);
            if (status != LLMQ_OK) return status;
            factors = (const float *)(const void *)s->work;
        }
    }
#endif
    for (i = 0; i < count; i++)
        for (k = 0; k < half; k++) {
            lm__rotation turn = lm__rotation_at(position + i, k, half, m->rope_rate[which],
                                                factors ? scale / factors[k] : scale);
            s->cosine[which][(size_t)i * half + k] = turn.c;
            s->sine[which][(size_t)i * half + k] = turn.s;
        }
    return LLMQ_OK;
}

static llmq_status lm__turn_to(const lm_model *m, lm_state *s, uint32_t position, uint32_t count)
{
    llmq_status status;
    if (s->rotations >= count && s->rotations_from == position) return LLMQ_OK;
    s->rotations = 0;
    if ((status = lm__turn(m, s, 0, position, count)) != LLMQ_OK) return status;
    if (s->cosine[1] != s->cosine[0] && (status = lm__turn(m, s, 1, position, count)) != LLMQ_OK) return status;
    s->rotations = count;
    s->rotations_from = position;
    return LLMQ_OK;
}

/* Applies the rotations of token i of the call to v[n], all heads of its queries or keys in layer
   l. Pairs are neighbours, or half of the rotated part of a head apart. */
static void lm__rotate(const lm_model *m, const lm_state *s, uint32_t l, float *v, uint32_t n, uint32_t i)
{
    const uint32_t kind = lm_layer_kind(m, l), which = kind & LM_WINDOW, part = LM__EXTRA(m, rope_part, m->head),
                   half = part / 2, apart = m->halves ? half : 1, step = m->halves ? 1 : 2;
    const float *cosine = s->cosine[which] + (size_t)i * half, *sine = s->sine[which] + (size_t)i * half;
    uint32_t from, k;
    if (kind & LM_NO_ROPE) return;
    for (from = 0; from < n; from += m->head)
        for (k = 0; k < half; k++) {
            float *pair = v + from + k * step;
            lm__rotation x, by;
            x.c = pair[0], x.s = pair[apart];
            by.c = cosine[k], by.s = sine[k];
            x = lm__complex_product(x, by);
            pair[0] = x.c, pair[apart] = x.s;
        }
}

#if !LM_ONLY_LLAMA
/* cap tanh(x / cap), by tanh(u) = 1 - 2 / (1 + e^2u), for n numbers of which each is first
   multiplied by scale. cap 0: only the scale. */
static void lm__cap(float *x, size_t n, float scale, float cap)
{
    LM__NO_CONTRACT
    size_t i;
    for (i = 0; i < n; i++) {
        x[i] *= scale;
        if (cap > 0.0f) x[i] = cap * (1.0f - 2.0f / (1.0f + lm__exp(2.0f * (x[i] / cap))));
    }
}
#endif

/* x[0, n) <- e^((x - the largest x) scale): no exponential overflows, and their sum is at least 1. */
LM__BODY void lm__exp_below(float *x, uint32_t n, float scale)
{
    LM__NO_CONTRACT
    float most = x[0];
    uint32_t p = 1;
#if LM__VECTORS
    lm__f32x8 m = { most, most, most, most, most, most, most, most };
    uint32_t i;
    for (p = 0; p + 8 <= n; p += 8) {
        const lm__f32x8 v = LM__F32X8(x + p);
        const lm__i32x8 more = (lm__i32x8)(v > m);
        m = (lm__f32x8)(((lm__i32x8)v & more) | ((lm__i32x8)m & ~more));
    }
    for (i = 0; i < 8; i++)
        if (m[i] > most) most = m[i];
#endif
    for (; p < n; p++)
        if (x[p] > most) most = x[p];
    p = 0;
#if LM__VECTORS
    for (; p + 8 <= n; p += 8) LM__F32X8(x + p) = (LM__F32X8(x + p) - most) * scale;
#endif
    for (; p < n; p++) x[p] = (x[p] - most) * scale;
    lm__exp_all(x, n);
}

/* x[0, n) *= by */
LM__BODY void lm__scale(float *x, uint32_t n, float by)
{
    uint32_t p = 0;
#if LM__VECTORS
    for (; p + 8 <= n; p += 8) LM__F32X8(x + p) *= by;
#endif
    for (; p < n; p++) x[p] *= by;
}

/* Attention of 1 <= count <= LM__QUERIES queries behind their scores. Query k has n[k] scores,
   n[k] <= n[k + 1], at x[k]. */
typedef struct lm__mix {
    uint32_t count, head;
    const uint32_t *n;
    float *x[LM__QUERIES];
    float scale;
    const float *values;  /* [n[count - 1]][head] */
    float *const *out;    /* [count]: sums of values, [head] */
} lm__mix;

/* The weights of values take the place of scores: softmax of scores times scale. Sums are in order.
   Four at a time hide the time that an addition takes. */
LM__BODY void lm__weigh(const lm__mix *j)
{
    LM__NO_CONTRACT
    float sum[LM__QUERIES] = { 0.0f };
    uint32_t k, p = 0;
    for (k = 0; k < j->count; k++) lm__exp_below(j->x[k], j->n[k], j->scale);
#if !LM_ONLY_LLAMA
    if (j->count == LM__QUERIES) {
        const float *a = j->x[0], *b = j->x[1], *c = j->x[2], *d = j->x[3];
        float s = 0.0f, t = 0.0f, u = 0.0f, v = 0.0f;
        for (; p < j->n[0]; p++) s += a[p], t += b[p], u += c[p], v += d[p];
        sum[0] = s, sum[1] = t, sum[2] = u, sum[3] = v;
    }
#endif
    for (k = 0; k < j->count; k++) {
        float s = LM_ONLY_LLAMA ? 0.0f : sum[k];
        uint32_t i;
        for (i = p; i < j->n[k]; i++) s += j->x[k][i];
        lm__scale(j->x[k], j->n[k], 1.0f / s);
    }
}
LM__TWICE(lm__weigh, (const lm__mix *j), (j))

#if LM__VECTORS
/* y[k][0, head) += the sum of x[k][p] times row p of values, for p in [p0, p1) in this order and
   k < count. Sixteen columns, a line of the cache, pass by all queries at a time, and 32 rows stay in
   the level-1 cache meanwhile. All four queries are computed, and `count` stored. */
LM__BODY void lm__add_values(float *const *y, const float *const *x, uint32_t count, const float *values,
                             uint32_t head, uint32_t p0, uint32_t p1)
{
    LM__NO_CONTRACT
    uint32_t i, k, p, end;
    for (; p0 < p1; p0 = end) {
        end = p1 - p0 > 32 ? p0 + 32 : p1;
        for (i = 0; i + 16 <= head; i += 16) {
            const float *row = values + (size_t)p0 * head + i;
            lm__f32x8 a = LM__F32X8(y[0] + i), b = LM__F32X8(y[1] + i), c = LM__F32X8(y[2] + i),
                      d = LM__F32X8(y[3] + i), a2 = LM__F32X8(y[0] + i + 8), b2 = LM__F32X8(y[1] + i + 8),
                      c2 = LM__F32X8(y[2] + i + 8), d2 = LM__F32X8(y[3] + i + 8);
            for (p = p0; p < end; p++, row += head) {
                const lm__f32x8 v = *(const lm__f32x8 *)(const void *)row,
                                w = *(const lm__f32x8 *)(const void *)(row + 8);
                a += v * x[0][p], b += v * x[1][p], c += v * x[2][p], d += v * x[3][p];
                a2 += w * x[0][p], b2 += w * x[1][p], c2 += w * x[2][p], d2 += w * x[3][p];
            }
            LM__F32X8(y[0] + i) = a, LM__F32X8(y[0] + i + 8) = a2;
            if (count > 1) LM__F32X8(y[1] + i) = b, LM__F32X8(y[1] + i + 8) = b2;
            if (count > 2) LM__F32X8(y[2] + i) = c, LM__F32X8(y[2] + i + 8) = c2;
            if (count > 3) LM__F32X8(y[3] + i) = d, LM__F32X8(y[3] + i + 8) = d2;
        }
        for (; i < head; i++)
            for (k = 0; k < count; k++)
                for (p = p0; p < end; p++) y[k][i] += values[(size_t)p * head + i] * x[k][p];
    }
}

/* out[k] = the sum of weights x[k] times values, of queries that see the same rows together. */
LM__BODY void lm__mix_values(const lm__mix *j)
{
    const float *x[LM__QUERIES];
    float *y[LM__QUERIES];
    uint32_t i, k, from = 0;
    for (k = 0; k < j->count; k++) memset(j->out[k], 0, j->head * sizeof(float));
    for (k = 0; k < j->count; k++) {
        const uint32_t left = j->count - k;
        for (i = 0; i < LM__QUERIES; i++) x[i] = j->x[k + (i < left ? i : 0)], y[i] = j->out[k + (i < left ? i : 0)];
        if (from < j->n[k]) lm__add_values(y, x, left, j->values, j->head, from, j->n[k]);
        from = j->n[k];
    }
}
LM__TWICE(lm__mix_values, (const lm__mix *j), (j))
#endif

/* Attention of 1 <= count <= LM__QUERIES query heads that share keys and values, which begin at `keys`
   and `values`. Query k is q[k] and sees n[k] positions; n[k] <= n[k + 1]. out[k]: its result.
   Scores that a query does not see are computed with the others, and not used. */
static llmq_status lm__attend(const lm_model *m, const lm_state *s, const lm_room *room, unsigned char *keys,
                              unsigned char *values, uint32_t count, const uint32_t *n, const float *const *q,
                              float *const *out)
{
    llmq_tensor t = s->key;
    llmq_activation query[LM__QUERIES];
    lm__mix mix;
    llmq_status status;
    uint32_t k;
    t.data = keys;
    k = 0;
    do
        status = llmq_activation_prepare(&query[k], &t, t.format.points ? 8 : 32, q[k],
                                         room->query + k * s->query_size, s->query_size);
    while (++k < count && status == LLMQ_OK);
    if (status == LLMQ_OK) status = llmq_matmul(&t, query, count, 0, n[count - 1], room->scores, s->window);
    if (status != LLMQ_OK) return status;
    mix.count = count, mix.head = m->head, mix.n = n, mix.out = out;
    mix.scale = m->attention_scale;
    for (k = 0; k < count; k++) mix.x[k] = room->scores + (size_t)k * s->window;
#if !LM_ONLY_LLAMA
    for (k = 0; k < count && m->attention_softcap > 0.0f; k++) {
        lm__cap(mix.x[k], n[k], m->attention_scale, m->attention_softcap);
        mix.scale = 1.0f;
    }
#endif
    LM__CALL(s, lm__weigh, (&mix));
#if LM__VECTORS
    /* values as they are in memory; the others are decoded for each query */
    if (!s->value.format.points && s->value.format.bits == 32 && s->value.transform.count == 0) {
        mix.values = (const float *)(const void *)values;
        LM__CALL(s, lm__mix_values, (&mix));
        return LLMQ_OK;
    }
#endif
    t = s->value;
    t.data = values;
    for (k = 0; k < count && status == LLMQ_OK; k++)
        status = llmq_matvec_transposed(&t, mix.x[k], 0, n[k], out[k], room->work, s->work_size);
    return status;
}

/* Attention of `count` tokens of the call from token `first` on, in one layer, whose cache is at
   `cache` and has `slots` rows a head. The queries of a key head, token by token, are cut into
   parts of LM__QUERIES_OF(s). Task i of n computes each n-th pair of a part and a key head. */
typedef struct lm__heads {
    const lm_model *m;
    lm_state *s;
    unsigned char *cache;
    uint32_t slots, first, count, position, n;
} lm__heads;

static void lm__heads_task(void *argument, uint32_t i)
{
    const lm__heads *j = (const lm__heads *)argument;
    const lm_model *m = j->m;
    const lm_state *s = j->s;
    const uint32_t share = m->heads / m->kv_heads;
    /* there is memory for all */
    const size_t all = (size_t)j->count * share, most = LM__QUERIES_OF(s), parts = (all + most - 1) / most;
    const size_t key = (size_t)j->slots * s->key.row_size, value = (size_t)j->slots * s->value.row_size;
    llmq_status status = LLMQ_OK;
    size_t pair;
    for (pair = i; pair < parts * m->kv_heads && status == LLMQ_OK; pair += j->n) {
        const size_t g = pair % m->kv_heads, from = pair / m->kv_heads * most;
        const uint32_t count = most == 1 || all - from >= most ? (uint32_t)most : (uint32_t)(all - from);
        unsigned char *keys = j->cache + g * (key + value);
        uint32_t k;
        uint32_t n[LM__QUERIES];
        const float *q[LM__QUERIES];
        float *out[LM__QUERIES];
        for (k = 0; k < count; k++) {
            const uint32_t token = j->first + (uint32_t)((from + k) / share), position = j->position + token;
            const size_t at = ((size_t)token * m->heads + g * share + (from + k) % share) * m->head;
            n[k] = position < j->slots ? position + 1 : j->slots;
            q[k] = s->q + at, out[k] = s->attention + at;
        }
        status = lm__attend(m, s, &s->room[i], keys, keys + key, count, n, q, out);
    }
    s->room[i].status = status;
}

/* Turns queries and keys of token first + i of the call by RoPE, and stores a key and a value of each
   head. Rows may be replaced in any order: a row is appended to a view of 0 rows that begins there. */
static llmq_status lm__keep_one(const lm__each *j, size_t i, const lm_room *room)
{
    const lm__heads *h = j->heads;
    const lm_state *s = j->s;
    const uint32_t token = h->first + (uint32_t)i, slot = (h->position + token) % h->slots;
    const uint32_t q = lm__q(j->m), kv = lm__kv(j->m);
    unsigned char *at = h->cache;
    llmq_status status = LLMQ_OK;
    uint32_t k;
    lm__rotate(j->m, s, j->l, s->q + (size_t)token * q, q, token);
    lm__rotate(j->m, s, j->l, s->keys + (size_t)token * kv, kv, token);
    for (k = 0; k < 2 * j->m->kv_heads && status == LLMQ_OK; k++) {
        const float *row = (k & 1 ? s->values : s->keys) + (size_t)token * kv + k / 2 * j->m->head;
        llmq_tensor t = k & 1 ? s->value : s->key;
        unsigned char *to = at + (size_t)slot * t.row_size;
        at += (size_t)h->slots * t.row_size;
        t.data = to;
        t.rows = 0;
        status = llmq_tensor_append(&t, to, t.row_size, row, NULL, room->work, s->work_size);
    }
    return status;
}

/* Stores the keys and the values of the tokens of the call in the cache of layer l, after RoPE, and
   computes the attention of their queries. Each token attends to itself and to those before it. As long as
   no position has to make room for another one, all rows are stored first. In a window that is
   full a token's row replaces the oldest, which the token before it still sees, so tokens go one
   by one. */
static llmq_status lm__attend_all(const lm_model *m, lm_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    const uint32_t slots = lm__slots(m, s, l), step = position < slots && count <= slots - position ? count : 1;
    lm__each keep = lm__job(m, s, step, lm__q(m) + (size_t)lm__kv(m));
    lm__heads job;
    llmq_status status;
    uint32_t i;
    job.m = m, job.s = s, job.slots = slots, job.count = step, job.position = position;
    job.cache = s->cache;
    keep.each = lm__keep_one, keep.heads = &job, keep.l = l;
    for (i = 0; i < l; i++)
        job.cache += (size_t)lm__slots(m, s, i) * m->kv_heads * (s->key.row_size + s->value.row_size);
    for (job.first = 0; job.first < count; job.first += step) {
        const uint32_t last = position + job.first + step - 1;
        if ((status = lm__for_each(&keep)) != LLMQ_OK) return status;
        /* scores and sums are of floats, which take some four times as long */
        job.n = lm__cut(s, (uint64_t)step * lm__q(m) * 8 * (last < slots ? last : slots));
        if ((status = lm__run(s, lm__heads_task, &job, job.n)) != LLMQ_OK) return status;
    }
    return LLMQ_OK;
}

/* normed <- output of the attention block of layer l for count tokens in x. wq, wk and wv share an
   activation. */
static llmq_status lm__attention(const lm_model *m, lm_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    static const unsigned char which[] = { LM_WQ, LM_WK, LM_WV }, out = LM_WO;
    float *const y[] = { s->q, s->keys, s->values };
    llmq_status status;
    if ((status = lm__norm(m, s, l, LM_NORM1, s->normed, s->x, count)) != LLMQ_OK) return status;
    if ((status = lm__products(m, s, l, which, 3, s->normed, count, y)) != LLMQ_OK) return status;
    if ((status = lm__add_bias(m, s, l, LM_BQ, count, s->q)) != LLMQ_OK) return status;
    if ((status = lm__add_bias(m, s, l, LM_BK, count, s->keys)) != LLMQ_OK) return status;
    if ((status = lm__add_bias(m, s, l, LM_BV, count, s->values)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    if (m->vectors & (1u << LM_QNORM | 1u << LM_KNORM)
        && (status = lm__look(s, LM_AT_HEADS, l, count, position)) != LLMQ_OK)
        return status;
    if ((status = lm__norm(m, s, l, LM_QNORM, s->q, s->q, (size_t)count * m->heads)) != LLMQ_OK) return status;
    if ((status = lm__norm(m, s, l, LM_KNORM, s->keys, s->keys, (size_t)count * m->kv_heads)) != LLMQ_OK) return status;
#endif
    if ((status = lm__turn_to(m, s, position, count)) != LLMQ_OK) return status;
    if ((status = lm__attend_all(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_ATTENTION, l, count, position)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    if ((status = lm__norm(m, s, l, LM_ONORM, s->attention, s->attention, count)) != LLMQ_OK) return status;
#endif
    if ((status = lm__look(s, LM_AT_OUTPUT, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__products(m, s, l, &out, 1, s->attention, count, &s->normed)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    status = lm__norm(m, s, l, LM_POST1, s->normed, s->normed, count);
#endif
    return status;
}

#define LM__EXPS (LM_ONLY_LLAMA ? 1 : 16)

/* gate <- act(gate) * up for n <= LM__EXPS elements, by SiLU or GELU. */
LM__BODY void lm__gate_part(uint32_t function, float *gate, const float *up, size_t n)
{
    LM__NO_CONTRACT
    float e[LM__EXPS]; /* exponentials that are computed together */
    size_t i;
    (void)function;
    for (i = 0; i < n; i++) e[i] = -gate[i];
#if !LM_ONLY_LLAMA
    /* (1 + tanh(u)) / 2 = 1 / (1 + e^-2u)
       check: abs(0.797884561 - sqrt(2 / pi)) < 1e-9 */
    for (i = 0; i < n && function == LM_GELU; i++) {
        const float x = gate[i], u = 0.797884561f * (x + 0.044715f * x * x * x);
        e[i] = -2.0f * u;
    }
#endif
    lm__exp_all(e, n);
    for (i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + e[i]) * up[i];
}

/* gate <- act(gate) * up */
LM__BODY void lm__gate(const lm_model *m, float *gate, const float *up, size_t n)
{
    LM__NO_CONTRACT
    const uint32_t function = LM__EXTRA(m, activation_function, LM_SILU);
    (void)m;
    for (; n >= LM__EXPS && function <= LM_GELU; n -= LM__EXPS, gate += LM__EXPS, up += LM__EXPS)
        lm__gate_part(function, gate, up, LM__EXPS);
#if !LM_ONLY_LLAMA
    if (function <= LM_GELU) lm__gate_part(function, gate, up, n);
    for (; n && function > LM_GELU; n--, gate++, up++) {
        const float x = *gate > 0.0f ? *gate : *gate - *gate; /* keeps NaN */
        *gate = (function == LM_RELU ? x : x * x) * *up;
    }
#endif
}
LM__TWICE(lm__gate, (const lm_model *m, float *gate, const float *up, size_t n), (m, gate, up, n))

static llmq_status lm__gate_one(const lm__each *j, size_t i, const lm_room *room)
{
    (void)room;
    LM__CALL(j->s, lm__gate, (j->m, j->s->gate + i * j->n, j->s->up + i * j->n, j->n));
    return LLMQ_OK;
}

/* Vector i of x += scale * vector i of the output of a block */
static llmq_status lm__add_one(const lm__each *j, size_t i, const lm_room *room)
{
    LM__NO_CONTRACT
    const float scale = LM__EXTRA(j->m, residual_scale, 1.0f), *y = j->s->normed + i * j->n;
    float *x = j->s->x + i * j->n;
    size_t k;
    (void)room;
    for (k = 0; k < j->n; k++) x[k] += scale * y[k];
    return LLMQ_OK;
}

static llmq_status lm__add(const lm_model *m, lm_state *s, uint32_t count)
{
    lm__each j = lm__job(m, s, count, m->dim);
    j.each = lm__add_one;
    return lm__for_each(&j);
}

/* normed <- output of the feed-forward block of layer l, w2 (act(w1 x) * w3 x), for count tokens in
   x. */
static llmq_status lm__feed_forward(const lm_model *m, lm_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    static const unsigned char which[] = { LM_W1, LM_W3 }, down = LM_W2;
    float *const y[] = { s->gate, s->up };
    lm__each gate = lm__job(m, s, count, m->hidden);
    llmq_status status;
    if ((status = lm__norm(m, s, l, LM_NORM2, s->normed, s->x, count)) != LLMQ_OK) return status;
    if ((status = lm__products(m, s, l, which, 2, s->normed, count, y)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_FEED, l, count, position)) != LLMQ_OK) return status;
    gate.each = lm__gate_one;
    if ((status = lm__for_each(&gate)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    if ((status = lm__norm(m, s, l, LM_DNORM, s->gate, s->gate, count)) != LLMQ_OK) return status;
#endif
    if ((status = lm__look(s, LM_AT_DOWN, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__products(m, s, l, &down, 1, s->gate, count, &s->normed)) != LLMQ_OK) return status;
#if !LM_ONLY_LLAMA
    status = lm__norm(m, s, l, LM_POST2, s->normed, s->normed, count);
#endif
    return status;
}

llmq_status lm_embed(const lm_model *m, lm_state *s, const uint32_t *tokens, uint32_t count)
{
    llmq_status status = count == 0 || count > s->batch ? LLMQ_E_ARG : LLMQ_OK;
    uint32_t i;
    for (i = 0; i < count && status == LLMQ_OK; i++) {
        if (tokens[i] >= m->vocab) return LLMQ_E_ARG;
        status = llmq_tensor_decode(&m->embed, tokens[i], s->x + (size_t)i * m->dim, s->work, s->work_size);
    }
#if !LM_ONLY_LLAMA
    {
        size_t k;
        for (k = 0; k < (size_t)count * m->dim && status == LLMQ_OK; k++) s->x[k] *= m->embed_scale;
    }
#endif
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
    if ((status = lm__add(m, s, count)) != LLMQ_OK) return status;
    if ((status = lm__feed_forward(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = lm__look(s, LM_AT_SUM2, l, count, position)) != LLMQ_OK) return status;
    return lm__add(m, s, count);
}

llmq_status lm_logits(const lm_model *m, lm_state *s, uint32_t count, uint32_t r0, uint32_t r1, float *y, size_t stride)
{
    lm__rows job;
    llmq_status status;
    if (count == 0 || count > s->batch || r0 > r1 || r1 > m->vocab) return LLMQ_E_ARG;
    if ((status = lm__norm(m, s, m->layers, LM_NORM1, s->normed, s->x, count)) != LLMQ_OK) return status;
    if ((status = lm__prepare(m, s, &m->classifier, s->normed, count)) != LLMQ_OK) return status;
    job.s = s, job.t[0] = &m->classifier, job.stride[0] = stride, job.count = count, job.r0 = r0, job.r1 = r1;
    /* The product writes row r0 at y[0] + r0. The address before that may be outside of y, so it is
       computed as an integer. */
    job.y[0] = (float *)((uintptr_t)y - r0 * sizeof *y);
    status = lm__multiply(&job);
#if !LM_ONLY_LLAMA
    if (status == LLMQ_OK && (m->logit_scale < 1.0f || m->logit_scale > 1.0f || m->logit_softcap > 0.0f)) {
        uint32_t i;
        for (i = 0; i < count; i++) lm__cap(y + i * stride, r1 - r0, m->logit_scale, m->logit_softcap);
    }
#endif
    return status;
}

llmq_status lm_forward(const lm_model *m, lm_state *s, const uint32_t *tokens, uint32_t count, uint32_t position,
                       float *logits)
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
#undef LM__QUERIES
#undef LM__QUERIES_OF
#undef LM__EXPS
#undef LM__VECTORS
#undef LM__F32X8
#undef LM__BODY
#undef LM__TWICE
#undef LM__CALL
#undef LM__TOGETHER
#undef LM__EXTRA
#undef LM_IMPLEMENTATION
#endif
