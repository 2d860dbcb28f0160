/* llama.h - a llama-family forward pass on llmq.h: RMSNorm, RoPE, grouped heads, SwiGLU - public domain or MIT

   Do this in one C or C++ file, after the llmq.h implementation:
       #define LLAMA_IMPLEMENTATION
       #include "llama.h"

   The weights come from a bundle (llmq.h, section 11), raw or quantized, each tensor in a format of its own:
       values (u32)   llama.dim llama.hidden llama.layers llama.heads llama.kv_heads llama.vocab llama.context
       tensors        embed [vocab][dim], classifier [vocab][dim] (absent: embed serves), norm [1][dim], and for N = 0 ...
                      layers.N.norm1, norm2 [1][dim]; wq, wo [dim][dim]; wk, wv [kv][dim]; w1, w3 [hidden][dim]; w2 [dim][hidden]
       values, optional   llama.abits llama.azero llama.ascales (u32), llama.aclip (f32): how activations of quantized tensors are
                      quantized, as llmq_activation_options; absent: llmq_activation_defaults, of 8 bits. Those of raw tensors are float
   Memory is the caller's, sizes are asked for; there is no malloc. libm is used for exp, pow, sin and cos.

       llama_model m;  llama_state s;
       llama_model_init(&m, &bundle, mem, llama_model_size(&bundle));
       llama_state_init(&s, &m, batch, mem2, llama_state_size(&m, batch));
       llama_forward(&m, &s, tokens, count, position, logits);      // position 0, then on from where the last call ended */
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
} llama_layer;

typedef struct llama_model {
    uint32_t dim, hidden, layers, heads, kv_heads, vocab, context;
    llmq_tensor embed, classifier;
    llama_layer *layer;
    float *norm;
    llmq_activation_options activation;  /* of quantized tensors: what the bundle says, or what the caller puts here; bits = 32: float */
} llama_model;

/* Places in a layer where a watcher can look at the state, with the tokens of the call in its first rows. */
enum {
    LLAMA_AT_ATTENTION,  /* normed: input of wq wk wv; q, and keys and values of the positions so far: after RoPE */
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
    float *x, *normed, *q, *attention, *up, *gate;  /* batch vectors each */
    float *scores;              /* context */
    float *keys, *values;       /* layers x context x kv */
    float *cosine, *sine;       /* context x half a head */
    llmq_activation *activation;
    unsigned char *activation_memory, *work;
    size_t activation_size, work_size;
};

/* Bytes of memory for the views of a model; 0 if the bundle is not one of a llama model. */
size_t llama_model_size(const llmq_bundle *b);

/* Look everything up, check all shapes. mem: aligned for pointers. Errors: those of llmq_bundle_*; LLMQ_E_CORRUPT for a
   shape that does not fit; LLMQ_E_WORKSPACE. */
llmq_status llama_model_init(llama_model *m, const llmq_bundle *b, void *mem, size_t size);

/* Bytes of memory to run the model on up to `batch` tokens a call; 0 on overflow. */
size_t llama_state_size(const llama_model *m, uint32_t batch);
llmq_status llama_state_init(llama_state *s, const llama_model *m, uint32_t batch, void *mem, size_t size);

/* Run `count` tokens at positions position, position + 1 ...; logits[count][vocab], or NULL to only fill the cache.
   Errors: LLMQ_E_ARG for a token, count or position out of range, and those of llmq_matmul. */
llmq_status llama_forward(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count, uint32_t position,
                          float *logits);

/* Its two halves, for those who go through a text layer by layer: x <- embeddings of the tokens; x <- layer l of x. */
llmq_status llama_embed(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count);
llmq_status llama_layer_forward(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position);

#ifdef __cplusplus
}
#endif
#endif /* LLAMA_H */

#ifdef LLAMA_IMPLEMENTATION
#include <math.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *const llama_linear_name[LLAMA_LINEARS] = { "wq", "wk", "wv", "wo", "w1", "w2", "w3" };

static uint32_t llama__kv(const llama_model *m) { return m->dim / m->heads * m->kv_heads; }

static llmq_status llama__config(llama_model *m, const llmq_bundle *b)
{
    static const char *const name[7] = { "llama.dim", "llama.hidden", "llama.layers", "llama.heads", "llama.kv_heads", "llama.vocab",
                                         "llama.context" };
    uint32_t value[7], i;
    memset(m, 0, sizeof *m);
    for (i = 0; i < 7; i++) {
        llmq_status status = llmq_bundle_u32(b, name[i], &value[i]);
        if (status != LLMQ_OK) return status;
        if (value[i] < 1 || value[i] > 1u << 24) return LLMQ_E_CORRUPT;
    }
    m->dim = value[0], m->hidden = value[1], m->layers = value[2], m->heads = value[3], m->kv_heads = value[4];
    m->vocab = value[5], m->context = value[6];
    if (m->dim % m->heads || m->heads % m->kv_heads || m->dim / m->heads % 2 || m->layers > 65536) return LLMQ_E_CORRUPT;
    return LLMQ_OK;
}

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
}

size_t llama_model_size(const llmq_bundle *b)
{
    llama_model m;
    llama__pool p = { NULL, 0 };
    if (llama__config(&m, b) != LLMQ_OK) return 0;
    llama__place_model(&m, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

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

static llmq_status llama__tensor(const llmq_bundle *b, const char *name, uint32_t rows, uint32_t cols, llmq_tensor *t)
{
    llmq_status status = llmq_bundle_tensor(b, name, t);
    if (status != LLMQ_OK) return status;
    return t->rows == rows && t->cols == cols ? LLMQ_OK : LLMQ_E_CORRUPT;
}

static llmq_status llama__vector(const llmq_bundle *b, const char *name, uint32_t n, float *out)
{
    llmq_tensor t;
    llmq_status status = llama__tensor(b, name, 1, n, &t);
    return status != LLMQ_OK ? status : llmq_tensor_decode(&t, 0, out, NULL, 0);
}

/* A value that may be absent, and is *value then. */
static llmq_status llama__option(const llmq_bundle *b, const char *name, uint32_t *value)
{
    llmq_status status = llmq_bundle_u32(b, name, value);
    return status == LLMQ_E_NOT_FOUND ? LLMQ_OK : status;
}

static llmq_status llama__activation_config(llmq_activation_options *o, const llmq_bundle *b)
{
    uint32_t bits = 8, zero, scales;
    const void *clip;
    size_t size;
    llmq_status status;
    if ((status = llama__option(b, "llama.abits", &bits)) != LLMQ_OK) return status;
    *o = llmq_activation_defaults(bits);
    zero = (uint32_t)o->asymmetric, scales = (uint32_t)o->scales;
    if ((status = llama__option(b, "llama.azero", &zero)) != LLMQ_OK) return status;
    if ((status = llama__option(b, "llama.ascales", &scales)) != LLMQ_OK) return status;
    if (llmq_bundle_value(b, "llama.aclip", LLMQ_VALUE_F32, &clip, &size) == LLMQ_OK && size == 4) {
        const unsigned char *c = (const unsigned char *)clip;
        uint32_t u = (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
        memcpy(&o->clip, &u, 4);
    }
    if ((bits != 32 && (bits < 2 || bits > 8)) || zero > 1 || scales > LLMQ_SCALES_BATCH || !(o->clip > 0.0f && o->clip <= 1.0f)) return LLMQ_E_CORRUPT;
    o->bits = bits, o->asymmetric = (int)zero, o->scales = (int)scales;
    return LLMQ_OK;
}

llmq_status llama_model_init(llama_model *m, const llmq_bundle *b, void *mem, size_t size)
{
    llama__pool p;
    llmq_status status = llama__config(m, b);
    char name[40];
    uint32_t l, i;
    if (status != LLMQ_OK) return status;
    if (!mem || size < llama_model_size(b)) return LLMQ_E_WORKSPACE;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    llama__place_model(m, &p);
    if ((status = llama__tensor(b, "embed", m->vocab, m->dim, &m->embed)) != LLMQ_OK) return status;
    status = llama__tensor(b, "classifier", m->vocab, m->dim, &m->classifier);
    if (status == LLMQ_E_NOT_FOUND) m->classifier = m->embed;
    else if (status != LLMQ_OK) return status;
    if ((status = llama__vector(b, "norm", m->dim, m->norm)) != LLMQ_OK) return status;
    if ((status = llama__activation_config(&m->activation, b)) != LLMQ_OK) return status;
    for (l = 0; l < m->layers; l++) {
        llama_layer *y = &m->layer[l];
        uint32_t kv = llama__kv(m);
        const uint32_t rows[LLAMA_LINEARS] = { m->dim, kv, kv, m->dim, m->hidden, m->dim, m->hidden };
        y->norm1 = m->norm + (size_t)(2 * l + 1) * m->dim;
        y->norm2 = y->norm1 + m->dim;
        if ((status = llama__vector(b, llama__name(name, l, "norm1"), m->dim, y->norm1)) != LLMQ_OK) return status;
        if ((status = llama__vector(b, llama__name(name, l, "norm2"), m->dim, y->norm2)) != LLMQ_OK) return status;
        for (i = 0; i < LLAMA_LINEARS; i++) {
            status = llama__tensor(b, llama__name(name, l, llama_linear_name[i]), rows[i], i == LLAMA_W2 ? m->hidden : m->dim, &y->linear[i]);
            if (status != LLMQ_OK) return status;
        }
    }
    return LLMQ_OK;
}

static size_t llama__max(size_t a, size_t b) { return a > b ? a : b; }

/* Bytes for one activation of t, and for `batch` of them, however they are quantized; 0 on overflow. */
static size_t llama__activation(const llmq_tensor *t) { return (llmq_activation_size(t, 32) + 15) / 16 * 16; }
static size_t llama__activations(const llmq_tensor *t, uint32_t batch)
{
    static const llmq_activation_options most = { 8, 1, LLMQ_SCALES_BATCH, 1.0f };
    size_t one = llama__activation(t), all = llmq_activations_size(t, &most, batch);
    return batch == 0 || one == 0 || all == 0 || one > SIZE_MAX / batch ? 0 : llama__max(one * batch, all);
}

/* The largest memory that any tensor needs for the activations of a call, and for decoding a row. */
static void llama__needs(const llama_model *m, uint32_t batch, size_t *activations, size_t *work)
{
    size_t need = llama__activations(&m->classifier, batch);
    uint32_t l, i;
    *activations = need ? need : SIZE_MAX;
    *work = llmq_transform_work_size(&m->embed.transform, m->dim);
    for (l = 0; l < m->layers; l++)
        for (i = 0; i < LLAMA_LINEARS; i++) {
            need = llama__activations(&m->layer[l].linear[i], batch);
            *activations = llama__max(*activations, need ? need : SIZE_MAX);
        }
}

static void llama__place_state(llama_state *s, const llama_model *m, uint32_t batch, llama__pool *p)
{
    const size_t f = sizeof(float), half = m->dim / m->heads / 2, cache = (size_t)m->context * llama__kv(m);
    llama__needs(m, batch, &s->activation_size, &s->work_size);
    s->watch = NULL;
    s->watch_context = NULL;
    s->batch = batch;
    s->x = (float *)llama__take(p, batch, m->dim, f);
    s->normed = (float *)llama__take(p, batch, m->dim, f);
    s->q = (float *)llama__take(p, batch, m->dim, f);
    s->attention = (float *)llama__take(p, batch, m->dim, f);
    s->up = (float *)llama__take(p, batch, m->hidden, f);
    s->gate = (float *)llama__take(p, batch, m->hidden, f);
    s->scores = (float *)llama__take(p, m->context, f, 1);
    s->keys = (float *)llama__take(p, m->layers, cache, f);
    s->values = (float *)llama__take(p, m->layers, cache, f);
    s->cosine = (float *)llama__take(p, m->context, half, f);
    s->sine = (float *)llama__take(p, m->context, half, f);
    s->activation = (llmq_activation *)llama__take(p, batch, sizeof *s->activation, 1);
    s->activation_memory = (unsigned char *)llama__take(p, s->activation_size, 1, 1);
    s->work = (unsigned char *)llama__take(p, s->work_size, 1, 1);
}

size_t llama_state_size(const llama_model *m, uint32_t batch)
{
    llama_state s;
    llama__pool p = { NULL, 0 };
    llama__place_state(&s, m, batch, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

llmq_status llama_state_init(llama_state *s, const llama_model *m, uint32_t batch, void *mem, size_t size)
{
    llama__pool p;
    size_t need = llama_state_size(m, batch), half = m->dim / m->heads / 2, pos, i;
    if (!mem || batch == 0 || need == 0) return LLMQ_E_ARG;
    if (size < need) return LLMQ_E_WORKSPACE;
    p.mem = (unsigned char *)mem;
    p.used = 0;
    llama__place_state(s, m, batch, &p);
    for (pos = 0; pos < m->context; pos++)
        for (i = 0; i < half; i++) {
            float angle = (float)pos * (1.0f / powf(10000.0f, (float)i / (float)half));
            s->cosine[pos * half + i] = cosf(angle);
            s->sine[pos * half + i] = sinf(angle);
        }
    return LLMQ_OK;
}

static void llama__rmsnorm(float *out, const float *x, const float *weight, uint32_t n)
{
    float sum = 0.0f;
    uint32_t i;
    for (i = 0; i < n; i++) sum += x[i] * x[i];
    sum = 1.0f / sqrtf(sum / (float)n + 1e-5f);
    for (i = 0; i < n; i++) out[i] = weight[i] * (sum * x[i]);
}

/* y[i] = W x[i] for count vectors. *prepared says whether s->activation already holds them; tensors that read the same
   input in the same basis share it, and a tensor that does not fit gets its own. */
static llmq_status llama__linear(const llama_model *m, llama_state *s, const llmq_tensor *t, const float *x, uint32_t count,
                                 int *prepared, float *y, size_t stride)
{
    llmq_status status = LLMQ_E_BASIS;
    uint32_t i;
    if (*prepared) status = llmq_matmul(t, s->activation, count, 0, t->rows, y, stride);
    if (status != LLMQ_E_BASIS) return status;
    status = LLMQ_OK;
    if (t->format.points && m->activation.bits != 32) {
        status = llmq_activations_prepare(s->activation, t, &m->activation, count, x, t->cols, s->activation_memory, s->activation_size);
    } else {
        size_t one = llama__activation(t);
        if (one == 0 || s->activation_size / count < one) return LLMQ_E_WORKSPACE; /* of a tensor that the state was not made for */
        for (i = 0; i < count && status == LLMQ_OK; i++)
            status = llmq_activation_prepare(&s->activation[i], t, 32, x + (size_t)i * t->cols, s->activation_memory + i * one, one);
    }
    if (status != LLMQ_OK) return status;
    *prepared = 1;
    return llmq_matmul(t, s->activation, count, 0, t->rows, y, stride);
}

static llmq_status llama__look(const llama_state *s, int place, uint32_t l, uint32_t count, uint32_t position)
{
    return s->watch ? s->watch(s->watch_context, place, l, s, count, position) : LLMQ_OK;
}

/* RoPE on adjacent pairs of each head. */
static void llama__rotate(const llama_model *m, const llama_state *s, float *v, uint32_t n, uint32_t position)
{
    uint32_t half = m->dim / m->heads / 2, i;
    const float *c = s->cosine + (size_t)position * half, *d = s->sine + (size_t)position * half;
    for (i = 0; i < n / 2; i++) {
        float a = v[2 * i], b = v[2 * i + 1];
        v[2 * i] = a * c[i % half] - b * d[i % half];
        v[2 * i + 1] = a * d[i % half] + b * c[i % half];
    }
}

/* One query head at a position against the cache of its key-value head. */
static void llama__attend(const llama_model *m, const llama_state *s, size_t cache, uint32_t head, uint32_t position, const float *q,
                          float *out)
{
    uint32_t size = m->dim / m->heads, kv = llama__kv(m), p, i;
    const float *k = s->keys + cache + head / (m->heads / m->kv_heads) * size;
    const float *v = s->values + cache + head / (m->heads / m->kv_heads) * size;
    float most = -HUGE_VALF, sum = 0.0f, scale = 1.0f / sqrtf((float)size);
    for (p = 0; p <= position; p++) {
        float dot = 0.0f;
        for (i = 0; i < size; i++) dot += q[i] * k[(size_t)p * kv + i];
        s->scores[p] = dot * scale;
        if (s->scores[p] > most) most = s->scores[p];
    }
    for (p = 0; p <= position; p++) sum += s->scores[p] = expf(s->scores[p] - most);
    for (i = 0; i < size; i++) out[i] = 0.0f;
    for (p = 0; p <= position; p++) {
        float weight = s->scores[p] / sum;
        for (i = 0; i < size; i++) out[i] += weight * v[(size_t)p * kv + i];
    }
}

static llmq_status llama__attention(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    const llmq_tensor *w = m->layer[l].linear;
    uint32_t kv = llama__kv(m), size = m->dim / m->heads, i, h;
    size_t cache = (size_t)l * m->context * kv, at = cache + (size_t)position * kv;
    int prepared = 0;
    llmq_status status;
    for (i = 0; i < count; i++) llama__rmsnorm(s->normed + (size_t)i * m->dim, s->x + (size_t)i * m->dim, m->layer[l].norm1, m->dim);
    if ((status = llama__linear(m, s, &w[LLAMA_WQ], s->normed, count, &prepared, s->q, m->dim)) != LLMQ_OK) return status;
    if ((status = llama__linear(m, s, &w[LLAMA_WK], s->normed, count, &prepared, s->keys + at, kv)) != LLMQ_OK) return status;
    if ((status = llama__linear(m, s, &w[LLAMA_WV], s->normed, count, &prepared, s->values + at, kv)) != LLMQ_OK) return status;
    for (i = 0; i < count; i++) {
        float *q = s->q + (size_t)i * m->dim;
        llama__rotate(m, s, q, m->dim, position + i);
        llama__rotate(m, s, s->keys + at + (size_t)i * kv, kv, position + i);
        for (h = 0; h < m->heads; h++)
            llama__attend(m, s, cache, h, position + i, q + h * size, s->attention + (size_t)i * m->dim + h * size);
    }
    if ((status = llama__look(s, LLAMA_AT_ATTENTION, l, count, position)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_OUTPUT, l, count, position)) != LLMQ_OK) return status;
    prepared = 0;
    return llama__linear(m, s, &w[LLAMA_WO], s->attention, count, &prepared, s->normed, m->dim);
}

static llmq_status llama__feed_forward(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    const llmq_tensor *w = m->layer[l].linear;
    size_t i;
    int prepared = 0;
    llmq_status status;
    for (i = 0; i < count; i++) llama__rmsnorm(s->normed + i * m->dim, s->x + i * m->dim, m->layer[l].norm2, m->dim);
    if ((status = llama__linear(m, s, &w[LLAMA_W1], s->normed, count, &prepared, s->gate, m->hidden)) != LLMQ_OK) return status;
    if ((status = llama__linear(m, s, &w[LLAMA_W3], s->normed, count, &prepared, s->up, m->hidden)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_FEED, l, count, position)) != LLMQ_OK) return status;
    for (i = 0; i < (size_t)count * m->hidden; i++) s->gate[i] = s->gate[i] / (1.0f + expf(-s->gate[i])) * s->up[i];
    if ((status = llama__look(s, LLAMA_AT_DOWN, l, count, position)) != LLMQ_OK) return status;
    prepared = 0;
    return llama__linear(m, s, &w[LLAMA_W2], s->gate, count, &prepared, s->normed, m->dim);
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

llmq_status llama_layer_forward(const llama_model *m, llama_state *s, uint32_t l, uint32_t count, uint32_t position)
{
    llmq_status status;
    size_t i;
    if (l >= m->layers || count == 0 || count > s->batch || position >= m->context || count > m->context - position) return LLMQ_E_ARG;
    if ((status = llama__attention(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_SUM1, l, count, position)) != LLMQ_OK) return status;
    for (i = 0; i < (size_t)count * m->dim; i++) s->x[i] += s->normed[i];
    if ((status = llama__feed_forward(m, s, l, count, position)) != LLMQ_OK) return status;
    if ((status = llama__look(s, LLAMA_AT_SUM2, l, count, position)) != LLMQ_OK) return status;
    for (i = 0; i < (size_t)count * m->dim; i++) s->x[i] += s->normed[i];
    return LLMQ_OK;
}

llmq_status llama_forward(const llama_model *m, llama_state *s, const uint32_t *tokens, uint32_t count, uint32_t position, float *logits)
{
    llmq_status status = position >= m->context || count > m->context - position ? LLMQ_E_ARG : llama_embed(m, s, tokens, count);
    uint32_t l;
    size_t i;
    int prepared = 0;
    for (l = 0; l < m->layers && status == LLMQ_OK; l++) status = llama_layer_forward(m, s, l, count, position);
    if (status != LLMQ_OK) return status;
    if (!logits) return LLMQ_OK;
    for (i = 0; i < count; i++) llama__rmsnorm(s->normed + i * m->dim, s->x + i * m->dim, m->norm, m->dim);
    return llama__linear(m, s, &m->classifier, s->normed, count, &prepared, logits, m->vocab);
}

#ifdef __cplusplus
}
#endif
#undef LLAMA_IMPLEMENTATION
#endif
