/* sense.h - what a text says about the weights of a llama model: sums for error feedback, and sensitivities - public domain or MIT

   Do this in one C or C++ file, after the implementations of llmq.h and llama.h:
       #define SENSE_IMPLEMENTATION
       #include "sense.h"

   For each layer, over the tokens of a calibration text (llmq.h, section 15):
       SENSE_ATTENTION, _OUTPUT, _FEED, _DOWN   H = sum x x^T of the four inputs: of wq wk wv, of wo, of w1 w3, of w2
       SENSE_WQ, _WK, _WV                       H = sum w x x^T with the attention-aware weights of APTQ
       SENSE_W1, _W3                            the same for the gated feed-forward block: with y = W2 (silu(g) * u), an error of g_i
                                                costs |W2 column i|^2 (silu'(g_i) u_i)^2, one of u_i (that with silu(g_i))^2, so
                                                w = 2 sum_i of these: exact in the trace, as for APTQ's W_V
   and for each linear the trace of the Gauss-Newton Hessian of its block's output. wo and w2 need no weights: theirs is exact.
   Memory is the caller's; there is no malloc. */
#ifndef SENSE_H
#define SENSE_H

#include "llama.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SENSE_ATTENTION, SENSE_OUTPUT, SENSE_FEED, SENSE_DOWN, SENSE_WQ, SENSE_WK, SENSE_WV, SENSE_W1, SENSE_W3, SENSE_SUMS };
extern const char *const sense_name[SENSE_SUMS];

/* The sum for a linear, attention-aware or plain. */
int sense_sum(int linear, int aware);

typedef struct sense_layer {
    const llama_model *m;
    uint32_t window, samples, seed;  /* most tokens in a window; queries of it that the traces look at, 0: all */
    llmq_hessian sum[SENSE_SUMS];
    double trace[LLAMA_LINEARS], error[LLAMA_LINEARS];  /* sums over windows, and of the squares of their standard errors */
    double stream[2], added[2];      /* sums over tokens of |x|^2, x the residual stream that the attention and the feed-forward block
                                        read, and of the |.|^2 of what they add to it */
    float *weight;                   /* three numbers a token */
    float *output, *down;            /* W_O as floats; |column i of W2|^2 */
    unsigned char *work;
    size_t work_size;
} sense_layer;

/* Bytes of memory to watch one layer; 0 if that does not fit size_t. */
size_t sense_layer_size(const llama_model *m, uint32_t window);

/* Zero all sums for layer l. samples: see llmq_attention. mem: aligned for pointers. */
llmq_status sense_layer_init(sense_layer *s, const llama_model *m, uint32_t l, uint32_t window, uint32_t samples, void *mem, size_t size);

/* A llama_watcher with a sense_layer as its context, for calls that start at position 0: a window each. */
llmq_status sense_watch(void *context, int place, uint32_t layer, const llama_state *s, uint32_t count, uint32_t position);

#ifdef __cplusplus
}
#endif
#endif /* SENSE_H */

#ifdef SENSE_IMPLEMENTATION
#include <math.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *const sense_name[SENSE_SUMS] = { "attention", "output", "feed", "down", "wq", "wk", "wv", "w1", "w3" };

int sense_sum(int linear, int aware)
{
    static const int plain[LLAMA_LINEARS] = { SENSE_ATTENTION, SENSE_ATTENTION, SENSE_ATTENTION, SENSE_OUTPUT, SENSE_FEED, SENSE_DOWN, SENSE_FEED };
    static const int weighted[LLAMA_LINEARS] = { SENSE_WQ, SENSE_WK, SENSE_WV, SENSE_OUTPUT, SENSE_W1, SENSE_DOWN, SENSE_W3 };
    return aware ? weighted[linear] : plain[linear];
}

static uint32_t sense__cols(const llama_model *m, int sum) { return sum == SENSE_DOWN ? m->hidden : m->dim; }

static llmq_attention sense__attention(const llama_model *m, uint32_t tokens)
{
    llmq_attention a;
    memset(&a, 0, sizeof a);
    a.tokens = tokens;
    a.dim = a.out = m->dim;
    a.head = m->dim / m->heads;
    a.queries = m->heads / m->kv_heads;
    a.causal = 1;
    a.rope = m->halves ? LLMQ_ROPE_HALVES : LLMQ_ROPE_PAIRS;
    return a;
}

/* Hands out the memory; with mem NULL only adds up. */
static void sense__place(sense_layer *s, const llama_model *m, uint32_t window, llama__pool *p)
{
    llmq_attention a = sense__attention(m, window);
    int i;
    s->work_size = llmq_attention_work_size(&a);
    for (i = 0; i < SENSE_SUMS; i++) {
        llmq_hessian shape;
        memset(&shape, 0, sizeof shape);
        shape.cols = sense__cols(m, i);
        shape.full = 1;
        s->work_size = llama__max(s->work_size, llmq_hessian_work_size(&shape));
        s->sum[i].h = (float *)llama__take(p, llmq_hessian_size(shape.cols, 1), 1, 1);
    }
    s->weight = (float *)llama__take(p, window, 3, sizeof(float));
    s->output = (float *)llama__take(p, m->dim, m->dim, sizeof(float));
    s->down = (float *)llama__take(p, m->hidden, sizeof(float), 1);
    s->work = (unsigned char *)llama__take(p, llama__max(s->work_size, (size_t)m->hidden * sizeof(float)), 1, 1);
}

size_t sense_layer_size(const llama_model *m, uint32_t window)
{
    sense_layer s;
    llama__pool p = { NULL, 0 };
    sense__place(&s, m, window, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

llmq_status sense_layer_init(sense_layer *s, const llama_model *m, uint32_t l, uint32_t window, uint32_t samples, void *mem, size_t size)
{
    llama__pool p;
    llmq_status status;
    const llmq_tensor *wo, *w2;
    uint32_t r, j;
    int i;
    if (!mem || l >= m->layers || window == 0) return LLMQ_E_ARG;
    if (size < sense_layer_size(m, window)) return LLMQ_E_WORKSPACE;
    memset(s, 0, sizeof *s);
    p.mem = (unsigned char *)mem;
    p.used = 0;
    sense__place(s, m, window, &p);
    s->m = m;
    s->window = window;
    s->samples = samples;
    for (i = 0; i < SENSE_SUMS; i++) {
        uint32_t cols = sense__cols(m, i);
        if ((status = llmq_hessian_init(&s->sum[i], cols, 1, NULL, s->sum[i].h, llmq_hessian_size(cols, 1))) != LLMQ_OK) return status;
    }
    wo = &m->layer[l].linear[LLAMA_WO];
    w2 = &m->layer[l].linear[LLAMA_W2];
    if (llmq_transform_work_size(&wo->transform, m->dim) > s->work_size) return LLMQ_E_UNSUPPORTED; /* calibrate the original model */
    if (llmq_transform_work_size(&w2->transform, m->hidden) > s->work_size) return LLMQ_E_UNSUPPORTED;
    for (r = 0; r < m->dim; r++)
        if ((status = llmq_tensor_decode(wo, r, s->output + (size_t)r * m->dim, s->work, s->work_size)) != LLMQ_OK) return status;
    memset(s->down, 0, m->hidden * sizeof *s->down);
    for (r = 0; r < m->dim; r++) {
        float *row = s->sum[SENSE_DOWN].h; /* lent: it is zeroed again below */
        if ((status = llmq_tensor_decode(w2, r, row, s->work, s->work_size)) != LLMQ_OK) return status;
        for (j = 0; j < m->hidden; j++) s->down[j] += row[j] * row[j];
    }
    memset(s->sum[SENSE_DOWN].h, 0, m->hidden * sizeof(float));
    return LLMQ_OK;
}

static llmq_status sense__add(sense_layer *s, int sum, const float *x, uint32_t count, const float *weight)
{
    llmq_hessian *h = &s->sum[sum];
    return llmq_hessian_add(h, 0, h->cols, x, h->cols, count, weight, s->work, s->work_size, NULL);
}

static double sense__power(const float *x, size_t n)
{
    double sum = 0;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

static llmq_status sense__attend(sense_layer *s, const llama_state *st, uint32_t count)
{
    const llama_model *m = s->m;
    const uint32_t kv = llama__kv(m), w = s->window;
    llmq_attention a = sense__attention(m, count);
    llmq_status status = LLMQ_OK;
    uint32_t g;
    memset(s->weight, 0, (size_t)w * 3 * sizeof *s->weight);
    a.x = st->normed, a.x_stride = m->dim, a.q_stride = m->dim, a.k_stride = a.v_stride = kv, a.wo_stride = m->dim;
    a.cosine = st->cosine, a.sine = st->sine, a.samples = s->samples < count ? s->samples : 0;
    for (g = 0; g < m->kv_heads; g++) {
        llmq_traces t;
        a.q = st->q + (size_t)g * a.queries * a.head;
        a.wo = s->output + (size_t)g * a.queries * a.head;
        a.k = st->keys + (size_t)g * a.head;
        a.v = st->values + (size_t)g * a.head;
        a.seed = s->seed++;
        status = llmq_attention_traces(&a, &t, s->weight, s->weight + w, s->weight + 2 * (size_t)w, s->work, s->work_size);
        if (status != LLMQ_OK) return status;
        s->trace[LLAMA_WQ] += t.q, s->trace[LLAMA_WK] += t.k, s->trace[LLAMA_WV] += t.v, s->trace[LLAMA_WO] += t.o;
        s->error[LLAMA_WQ] += t.q_error * t.q_error, s->error[LLAMA_WK] += t.k_error * t.k_error, s->error[LLAMA_WV] += t.v_error * t.v_error, s->error[LLAMA_WO] += t.o_error * t.o_error;
    }
    for (g = 0; g < 3 && status == LLMQ_OK; g++) status = sense__add(s, SENSE_WQ + (int)g, st->normed, count, s->weight + g * (size_t)w);
    return status == LLMQ_OK ? sense__add(s, SENSE_ATTENTION, st->normed, count, NULL) : status;
}

static llmq_status sense__feed(sense_layer *s, const llama_state *st, uint32_t count)
{
    const llama_model *m = s->m;
    float *w1 = s->weight, *w3 = s->weight + s->window;
    uint32_t t, i;
    llmq_status status;
    for (t = 0; t < count; t++) {
        const float *g = st->gate + (size_t)t * m->hidden, *u = st->up + (size_t)t * m->hidden;
        double power = sense__power(st->normed + (size_t)t * m->dim, m->dim);
        w1[t] = w3[t] = 0;
        for (i = 0; i < m->hidden; i++) {
            float sigmoid = 1.0f / (1.0f + expf(-g[i])), slope = sigmoid * (1.0f + g[i] * (1.0f - sigmoid)) * u[i], value = g[i] * sigmoid;
            w1[t] += 2 * s->down[i] * slope * slope;
            w3[t] += 2 * s->down[i] * value * value;
        }
        s->trace[LLAMA_W1] += (double)w1[t] * power;
        s->trace[LLAMA_W3] += (double)w3[t] * power;
    }
    if ((status = sense__add(s, SENSE_W1, st->normed, count, w1)) != LLMQ_OK) return status;
    if ((status = sense__add(s, SENSE_W3, st->normed, count, w3)) != LLMQ_OK) return status;
    return sense__add(s, SENSE_FEED, st->normed, count, NULL);
}

llmq_status sense_watch(void *context, int place, uint32_t layer, const llama_state *st, uint32_t count, uint32_t position)
{
    sense_layer *s = (sense_layer *)context;
    (void)layer;
    if (position != 0 || count > s->window) return LLMQ_E_ARG;
    if (place == LLAMA_AT_ATTENTION) return sense__attend(s, st, count);
    if (place == LLAMA_AT_OUTPUT) return sense__add(s, SENSE_OUTPUT, st->attention, count, NULL);
    if (place == LLAMA_AT_FEED) return sense__feed(s, st, count);
    if (place == LLAMA_AT_SUM1 || place == LLAMA_AT_SUM2) {
        s->stream[place == LLAMA_AT_SUM2] += sense__power(st->x, (size_t)count * s->m->dim);
        s->added[place == LLAMA_AT_SUM2] += sense__power(st->normed, (size_t)count * s->m->dim);
        return LLMQ_OK;
    }
    s->trace[LLAMA_W2] += 2.0 * s->m->dim * sense__power(st->gate, (size_t)count * s->m->hidden);
    return sense__add(s, SENSE_DOWN, st->gate, count, NULL);
}

#ifdef __cplusplus
}
#endif
#undef SENSE_IMPLEMENTATION
#endif
