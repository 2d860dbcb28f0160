/* sense.h - sums for error feedback, and sensitivities of a model's weights, from a text -
   public domain or MIT

   Do this in one C or C++ file, after the implementations of llmq.h and lm.h:
       #define SENSE_IMPLEMENTATION
       #include "sense.h"

   For each layer, over the tokens of a calibration text (llmq.h, section 15), it computes sums:
       SENSE_ATTENTION, _OUTPUT, _FEED, _DOWN   H = sum x x^T for the four inputs of a layer: of
                                                wq wk wv, of wo, of w1 w3, of w2
       SENSE_WQ, _WK, _WV                       H = sum w x x^T with the attention-aware weights of APTQ
       SENSE_W1, _W3                            the same for the gated feed-forward block,
                                                y = W2 (f(g) * u), f the activation function of the
                                                model. An error of g_i costs
                                                    |W2 column i|^2 (f'(g_i) u_i)^2
                                                and an error of u_i costs
                                                    |W2 column i|^2 f(g_i)^2
                                                w is 2 sum_i of these costs. It is exact in the trace,
                                                as the weight of W_V is in APTQ
   and for each linear layer the trace of the Gauss-Newton Hessian of its block's output. wo and w2
   need no weights: their Hessian is exact without.
   Norms within a block (of heads, before wo and w2, of a block's output) are taken for constants
   here: their own derivative is left out of weights and traces.
   Memory is the caller's; there is no malloc. */
#ifndef SENSE_H
#define SENSE_H

#include "lm.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SENSE_ATTENTION, SENSE_OUTPUT, SENSE_FEED, SENSE_DOWN, SENSE_WQ, SENSE_WK, SENSE_WV, SENSE_W1, SENSE_W3,
       SENSE_SUMS };
extern const char *const sense_name[SENSE_SUMS];

/* The sum (SENSE_...) for a linear layer (LM_W...). aware: 1 for the weighted one, where there
   is one; 0 for the plain one. */
int sense_sum(int linear, int aware);

typedef struct sense_layer {
    const lm_model *m;
    uint32_t layer;
    /* window: capacity, in tokens; samples: queries of a window that the traces take, 0: all; seed:
       of their choice, another for each head of each window */
    uint32_t window, samples, seed;
    llmq_hessian sum[SENSE_SUMS];
    /* trace: sums over windows; error: sums of the squares of their standard errors */
    double trace[LM_LINEARS], error[LM_LINEARS];
    /* sums over tokens, for the attention [0] and the feed-forward block [1]: |x|^2 of the residual
       stream that it reads, and |.|^2 of its output, which is added to the stream */
    double stream[2], added[2];
    float *weight;        /* [3][window]: of wq, wk, wv, or of w1, w3 */
    float *query;         /* [window][q]: scaled queries; NULL if the model's scores have the usual scale */
    float *output, *down; /* [dim][q]: W_O as floats; [hidden]: |column i of W2|^2 */
    unsigned char *work;
    size_t work_size;
} sense_layer;

/* Bytes of memory to watch one layer, in windows of up to `window` tokens; 0 if they do not fit
   size_t. */
size_t sense_layer_size(const lm_model *m, uint32_t window);

/* Zeros all sums, for layer l.
   m: a model with memory of its own (lm_model_init with mem), as a rule the original one.
   samples: as in llmq_attention.
   mem: sense_layer_size bytes, aligned for pointers.
   Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE, errors of llmq_tensor_decode, and LLMQ_E_UNSUPPORTED for
     tensors whose transform needs more workspace than there is
     attention that llmq_attention_traces does not know: RoPE of a part of a head, a softcap of
       scores, a window that is shorter than `window` */
llmq_status sense_layer_init(sense_layer *s, const lm_model *m, uint32_t l, uint32_t window, uint32_t samples,
                             void *mem, size_t size);

/* A lm_watcher. context: a sense_layer. Every call of lm_forward or lm_layer_forward must
   be a window of its own, from position 0 on.
   Errors, which end that call: LLMQ_E_ARG for another position or a window that is too long, and
   errors of llmq_hessian_add and llmq_attention_traces. */
llmq_status sense_watch(void *context, int place, uint32_t layer, const lm_state *s, uint32_t count,
                        uint32_t position);

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
    /* in the order of LM_WQ ... : wq wk wv wo w1 w2 w3 */
    static const int plain[LM_LINEARS] = {
        SENSE_ATTENTION, SENSE_ATTENTION, SENSE_ATTENTION, SENSE_OUTPUT, SENSE_FEED, SENSE_DOWN, SENSE_FEED
    };
    static const int weighted[LM_LINEARS] = {
        SENSE_WQ, SENSE_WK, SENSE_WV, SENSE_OUTPUT, SENSE_W1, SENSE_DOWN, SENSE_W3
    };
    return aware ? weighted[linear] : plain[linear];
}

/* Columns of a sum. */
static uint32_t sense__cols(const lm_model *m, int sum)
{
    return sum == SENSE_DOWN ? m->hidden : sum == SENSE_OUTPUT ? lm__q(m) : m->dim;
}

/* The attention of one key-value head of layer l over `tokens` tokens, without its inputs. */
static llmq_attention sense__attention(const lm_model *m, uint32_t l, uint32_t tokens)
{
    llmq_attention a;
    memset(&a, 0, sizeof a);
    a.tokens = tokens;
    a.dim = a.out = m->dim;
    a.head = m->head;
    a.queries = m->heads / m->kv_heads;
    a.causal = 1;
    a.rope = lm_layer_kind(m, l) & LM_NO_ROPE ? LLMQ_ROPE_NONE : m->halves ? LLMQ_ROPE_HALVES : LLMQ_ROPE_PAIRS;
    return a;
}

/* Scores are q . k times attention_scale in the model, and divided by sqrt(head) in
   llmq_attention_traces: queries times this quotient give the same scores. Returns 0 if it is 1. */
static float sense__scale(const lm_model *m)
{
    const float scale = m->attention_scale * sqrtf((float)m->head);
    return scale > 0.99999f && scale < 1.00001f ? 0.0f : scale;
}

/* The layout of the memory; counted if p->mem is NULL. Workspace: the maximum of the calls that use
   it, and a row of w2, which sense_layer_init decodes. */
static void sense__place(sense_layer *s, const lm_model *m, uint32_t window, lm__pool *p)
{
    llmq_attention a = sense__attention(m, 0, window);
    int i;
    s->work_size = llmq_attention_work_size(&a);
    for (i = 0; i < SENSE_SUMS; i++) {
        llmq_hessian shape;
        memset(&shape, 0, sizeof shape);
        shape.cols = sense__cols(m, i);
        shape.full = 1;
        s->work_size = lm__max(s->work_size, llmq_hessian_work_size(&shape));
        s->sum[i].h = (float *)lm__take(p, llmq_hessian_size(shape.cols, 1), 1, 1);
    }
    s->weight = (float *)lm__take(p, window, 3, sizeof(float));
    s->query = sense__scale(m) > 0.0f ? (float *)lm__take(p, window, lm__q(m), sizeof(float)) : NULL;
    s->output = (float *)lm__take(p, m->dim, lm__q(m), sizeof(float));
    s->down = (float *)lm__take(p, m->hidden, sizeof(float), 1);
    s->work = (unsigned char *)lm__take(p, lm__max(s->work_size, (size_t)m->hidden * sizeof(float)), 1, 1);
}

size_t sense_layer_size(const lm_model *m, uint32_t window)
{
    sense_layer s;
    lm__pool p = { NULL, 0 };
    sense__place(&s, m, window, &p);
    return p.used == SIZE_MAX ? 0 : p.used;
}

/* W_O is kept as floats, for the traces multiply by it. Of w2 only the squared lengths of its
   columns are kept; its rows are decoded one by one. */
llmq_status sense_layer_init(sense_layer *s, const lm_model *m, uint32_t l, uint32_t window, uint32_t samples,
                             void *mem, size_t size)
{
    lm__pool p;
    llmq_status status;
    const llmq_tensor *wo, *w2;
    uint32_t r, j;
    int i;
    if (!mem || l >= m->layers || window == 0) return LLMQ_E_ARG;
    if (m->rope_part != m->head || m->attention_softcap > 0.0f) return LLMQ_E_UNSUPPORTED;
    if (lm_layer_kind(m, l) & LM_WINDOW && m->window < window) return LLMQ_E_UNSUPPORTED;
    if (size < sense_layer_size(m, window)) return LLMQ_E_WORKSPACE;
    memset(s, 0, sizeof *s);
    p.mem = (unsigned char *)mem;
    p.used = 0;
    sense__place(s, m, window, &p);
    s->m = m;
    s->layer = l;
    s->window = window;
    s->samples = samples;
    for (i = 0; i < SENSE_SUMS; i++) {
        uint32_t cols = sense__cols(m, i);
        if ((status = llmq_hessian_init(&s->sum[i], cols, 1, NULL, s->sum[i].h, llmq_hessian_size(cols, 1))) != LLMQ_OK)
            return status;
    }
    wo = &m->layer[l].linear[LM_WO];
    w2 = &m->layer[l].linear[LM_W2];
    /* the workspace has no room for the transform of a quantized tensor: the original model has to
       be calibrated */
    if (llmq_transform_work_size(&wo->transform, wo->cols) > s->work_size) return LLMQ_E_UNSUPPORTED;
    if (llmq_transform_work_size(&w2->transform, m->hidden) > s->work_size) return LLMQ_E_UNSUPPORTED;
    for (r = 0; r < m->dim; r++)
        if ((status = llmq_tensor_decode(wo, r, s->output + (size_t)r * wo->cols, s->work, s->work_size)) != LLMQ_OK)
            return status;
    memset(s->down, 0, m->hidden * sizeof *s->down);
    for (r = 0; r < m->dim; r++) {
        float *row = s->sum[SENSE_DOWN].h; /* memory of a sum that has not begun; zeroed again below */
        if ((status = llmq_tensor_decode(w2, r, row, s->work, s->work_size)) != LLMQ_OK) return status;
        for (j = 0; j < m->hidden; j++) s->down[j] += row[j] * row[j];
    }
    memset(s->sum[SENSE_DOWN].h, 0, m->hidden * sizeof(float));
    return LLMQ_OK;
}

/* Adds count inputs x to a sum, with weights, or with ones if weight is NULL. */
static llmq_status sense__add(sense_layer *s, int sum, const float *x, uint32_t count, const float *weight)
{
    llmq_hessian *h = &s->sum[sum];
    return llmq_hessian_add(h, 0, h->cols, x, h->cols, count, weight, s->work, s->work_size, NULL);
}

/* |x|^2 */
static double sense__power(const float *x, size_t n)
{
    double sum = 0;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

/* Before attention: traces of wq, wk, wv and wo and the weights of the tokens, from all key-value
   heads, which llmq_attention_traces adds up; then the sums of the block's input. */
static llmq_status sense__attend(sense_layer *s, const lm_state *st, uint32_t count)
{
    const lm_model *m = s->m;
    const uint32_t kv = lm__kv(m), w = s->window, q = lm__q(m), which = lm_layer_kind(m, s->layer) & LM_WINDOW;
    const float scale = sense__scale(m), square = scale > 0.0f ? scale * scale : 1.0f;
    llmq_attention a = sense__attention(m, s->layer, count);
    llmq_status status = LLMQ_OK;
    uint32_t g, t;
    size_t i;
    for (i = 0; i < (size_t)count * q && s->query; i++) s->query[i] = scale * st->q[i];
    memset(s->weight, 0, (size_t)w * 3 * sizeof *s->weight);
    a.x = st->normed, a.x_stride = m->dim, a.q_stride = q, a.k_stride = a.v_stride = kv, a.wo_stride = q;
    a.cosine = st->cosine[which], a.sine = st->sine[which], a.samples = s->samples < count ? s->samples : 0;
    for (g = 0; g < m->kv_heads; g++) {
        llmq_traces trace;
        a.q = (s->query ? s->query : st->q) + (size_t)g * a.queries * a.head;
        a.wo = s->output + (size_t)g * a.queries * a.head;
        a.k = st->keys + (size_t)g * a.head;
        a.v = st->values + (size_t)g * a.head;
        a.seed = s->seed++;
        status = llmq_attention_traces(&a, &trace, s->weight, s->weight + w, s->weight + 2 * (size_t)w, s->work,
                                       s->work_size);
        if (status != LLMQ_OK) return status;
        trace.q *= (double)square, trace.q_error *= (double)square; /* an error of wq is scaled, too */
        s->trace[LM_WQ] += trace.q, s->trace[LM_WK] += trace.k, s->trace[LM_WV] += trace.v, s->trace[LM_WO] += trace.o;
        s->error[LM_WQ] += trace.q_error * trace.q_error, s->error[LM_WK] += trace.k_error * trace.k_error,
            s->error[LM_WV] += trace.v_error * trace.v_error, s->error[LM_WO] += trace.o_error * trace.o_error;
    }
    for (t = 0; t < count; t++) s->weight[t] *= square;
    for (g = 0; g < 3 && status == LLMQ_OK; g++)
        status = sense__add(s, SENSE_WQ + (int)g, st->normed, count, s->weight + g * (size_t)w);
    return status == LLMQ_OK ? sense__add(s, SENSE_ATTENTION, st->normed, count, NULL) : status;
}

/* The activation function of the model at g, and its slope. With s = sigmoid(g), silu is g s with
   the slope s (1 + g (1 - s)). With s = sigmoid(2 u), u = sqrt(2 / pi) (g + 0.044715 g^3), gelu is
   g s with the slope s + 2 g s (1 - s) u'.
   check: abs(1.59576912 - 2 * sqrt(2 / pi)) < 1e-8 */
static float sense__activation(const lm_model *m, float g, float *slope)
{
    float s;
    if (m->activation_function >= LM_RELU) {
        const int squared = m->activation_function == LM_RELU_SQUARED;
        *slope = g > 0.0f ? (squared ? 2.0f * g : 1.0f) : 0.0f;
        return g > 0.0f ? (squared ? g * g : g) : 0.0f;
    }
    if (m->activation_function == LM_SILU) {
        s = 1.0f / (1.0f + expf(-g));
        *slope = s * (1.0f + g * (1.0f - s));
        return g * s;
    }
    s = 1.0f / (1.0f + expf(-1.59576912f * (g + 0.044715f * g * g * g)));
    *slope = s + g * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * g * g);
    return g * s;
}

/* After w1 and w3: the weights of the tokens for w1 and w3 (see the head of this file), their
   traces, and the sums of the block's input. */
static llmq_status sense__feed(sense_layer *s, const lm_state *st, uint32_t count)
{
    const lm_model *m = s->m;
    float *w1 = s->weight, *w3 = s->weight + s->window;
    uint32_t t, i;
    llmq_status status;
    for (t = 0; t < count; t++) {
        const float *g = st->gate + (size_t)t * m->hidden, *u = st->up + (size_t)t * m->hidden;
        double power = sense__power(st->normed + (size_t)t * m->dim, m->dim);
        w1[t] = w3[t] = 0;
        for (i = 0; i < m->hidden; i++) {
            float slope, value = sense__activation(m, g[i], &slope);
            slope *= u[i];
            w1[t] += 2 * s->down[i] * slope * slope;
            w3[t] += 2 * s->down[i] * value * value;
        }
        s->trace[LM_W1] += (double)w1[t] * power;
        s->trace[LM_W3] += (double)w3[t] * power;
    }
    if ((status = sense__add(s, SENSE_W1, st->normed, count, w1)) != LLMQ_OK) return status;
    if ((status = sense__add(s, SENSE_W3, st->normed, count, w3)) != LLMQ_OK) return status;
    return sense__add(s, SENSE_FEED, st->normed, count, NULL);
}

/* The last case is LM_AT_DOWN. The trace of w2 is 2 dim |x|^2 a token: each of its dim rows has
   the Hessian 2 x x^T. */
llmq_status sense_watch(void *context, int place, uint32_t layer, const lm_state *st, uint32_t count,
                        uint32_t position)
{
    sense_layer *s = (sense_layer *)context;
    (void)layer;
    if (position != 0 || count > s->window) return LLMQ_E_ARG;
    if (place == LM_AT_ATTENTION) return sense__attend(s, st, count);
    if (place == LM_AT_OUTPUT) return sense__add(s, SENSE_OUTPUT, st->attention, count, NULL);
    if (place == LM_AT_FEED) return sense__feed(s, st, count);
    if (place == LM_AT_SUM1 || place == LM_AT_SUM2) {
        s->stream[place == LM_AT_SUM2] += sense__power(st->x, (size_t)count * s->m->dim);
        s->added[place == LM_AT_SUM2] += sense__power(st->normed, (size_t)count * s->m->dim);
        return LLMQ_OK;
    }
    s->trace[LM_W2] += 2.0 * s->m->dim * sense__power(st->gate, (size_t)count * s->m->hidden);
    return sense__add(s, SENSE_DOWN, st->gate, count, NULL);
}

#ifdef __cplusplus
}
#endif
#undef SENSE_IMPLEMENTATION
#endif
