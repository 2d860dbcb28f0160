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
   need no weights: their Hessian is exact without. (With a norm of the block's output it is not:
   the trace has that norm's derivative, the sums have no weights.)
   Norms within a feed-forward block, before w2 and of its output, are differentiated exactly.
   llmq_attention_traces knows plain attention. Where there are norms of heads, of the input of wo or
   of the block's output, a softcap of scores, RoPE of a part of a head or windows that are shorter
   than the text's, traces and weights of attention are estimates: means over SENSE_PROBES of |J^T z|^2
   for random signs z, which has the mean tr J J^T (Hutchinson), J the derivative of the block's
   output. Each probe has queries of its own.
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

/* Random signs for the outputs of a window, where attention is not plain. */
#define SENSE_PROBES 2u

/* The sum (SENSE_...) for a linear layer (LM_W...). aware: 1 for the weighted one, where there
   is one; 0 for the plain one. */
int sense_sum(int linear, int aware);

/* Of a key-value head: its traces, and how they ended. */
typedef struct sense_head {
    llmq_traces trace;
    llmq_status status;
} sense_head;

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
    float *weight;        /* [3][window]: of wq, wk, wv, or of w1, w3, and of a change of w2's outputs */
    float *query;         /* [window][q]: scaled queries; NULL if the model's scores have the usual scale */
    float *output, *down; /* [dim][q]: W_O as floats; [hidden]: |column i of W2|^2, of outputs before their norm times
                             that norm's weights */
    sense_head *head;     /* [kv_heads]; NULL: attention is not plain */
    float *head_weight;   /* [kv_heads][3][window]: the part of each head in weight */
    float *heads;         /* [window][q + kv]: queries and keys before their norms; NULL: there are none */
    float *change;        /* [window][2 kv]: derivative by keys and by values; NULL: attention is plain */
    float *room;          /* of a query of a probe, or of a token of the feed-forward block */
    unsigned char *work;  /* [tasks][work_size] */
    size_t work_size;
} sense_layer;

/* Bytes of memory to watch one layer, in windows of up to `window` tokens; 0 if they do not fit
   size_t. Heads of plain attention are up to m->tasks tasks of the state's runner; results have the
   same bits for any number. */
size_t sense_layer_size(const lm_model *m, uint32_t window);

/* Zeros all sums, for layer l.
   m: a model with memory of its own (lm_model_init with mem), as a rule the original one.
   samples: as in llmq_attention.
   mem: sense_layer_size bytes, aligned for pointers.
   Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE, errors of llmq_tensor_decode, and LLMQ_E_UNSUPPORTED for
     tensors whose transform needs more workspace than there is */
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

/* Does llmq_attention_traces know the attention of this model in windows of so many tokens? */
static int sense__is_plain(const lm_model *m, uint32_t window)
{
    const uint32_t norms = 1u << LM_QNORM | 1u << LM_KNORM | 1u << LM_ONORM | 1u << LM_POST1;
    uint32_t l;
    for (l = 0; l < m->layers; l++)
        if (lm_layer_kind(m, l) & LM_WINDOW && m->window < window) return 0;
    return !(m->vectors & norms) && m->rope_part == m->head && !(m->attention_softcap > 0.0f);
}

/* Tasks of plain attention. */
static uint32_t sense__tasks(const lm_model *m) { return m->tasks < m->kv_heads ? m->tasks : m->kv_heads; }

/* Does a norm stand before w2, or behind it? */
static int sense__has_feed_norms(const lm_model *m) { return (m->vectors & (1u << LM_DNORM | 1u << LM_POST2)) != 0; }

/* Workspace of products with w2 of any layer. */
static size_t sense__down_work(const lm_model *m)
{
    size_t most = 0;
    uint32_t l;
    for (l = 0; l < m->layers; l++) most = lm__max(most, llmq_activation_size(&m->layer[l].linear[LM_W2], 32));
    return most;
}

/* Floats of s->room: as sense__probe_query and sense__probe_head, sense__keys_back, and sense__costs lay it out. */
static size_t sense__room(const lm_model *m, uint32_t window)
{
    const size_t query = 2 * (size_t)m->dim + 3 * (size_t)lm__q(m) + 3 * (size_t)window,
                 token = 2 * (size_t)m->dim + 4 * (size_t)m->hidden;
    return lm__max(sense__is_plain(m, window) ? 0 : query, sense__has_feed_norms(m) ? token : 0);
}

/* The layout of the memory; counted if p->mem is NULL. Workspace: the maximum of the calls that use
   it, and a row of w2, which sense_layer_init decodes. */
static void sense__place(sense_layer *s, const lm_model *m, uint32_t window, lm__pool *p)
{
    llmq_attention a = sense__attention(m, 0, window);
    const int plain = sense__is_plain(m, window);
    int i;
    s->work_size = plain ? llmq_attention_work_size(&a) : 0;
    if (sense__has_feed_norms(m)) s->work_size = lm__max(s->work_size, sense__down_work(m));
    for (i = 0; i < SENSE_SUMS; i++) {
        llmq_hessian shape;
        memset(&shape, 0, sizeof shape);
        shape.cols = sense__cols(m, i);
        shape.full = 1;
        s->work_size = lm__max(s->work_size, llmq_hessian_work_size(&shape));
        s->sum[i].h = (float *)lm__take(p, llmq_hessian_size(shape.cols, 1), 1, 1);
    }
    s->weight = (float *)lm__take(p, window, 3, sizeof(float));
    s->query = plain && sense__scale(m) > 0.0f ? (float *)lm__take(p, window, lm__q(m), sizeof(float)) : NULL;
    s->heads = m->vectors & (1u << LM_QNORM | 1u << LM_KNORM)
               ? (float *)lm__take(p, window, (size_t)lm__q(m) + lm__kv(m), sizeof(float)) : NULL;
    s->change = plain ? NULL : (float *)lm__take(p, window, 2 * (size_t)lm__kv(m), sizeof(float));
    s->room = (float *)lm__take(p, sense__room(m, window), sizeof(float), 1);
    s->output = (float *)lm__take(p, m->dim, lm__q(m), sizeof(float));
    s->down = (float *)lm__take(p, m->hidden, sizeof(float), 1);
    s->head = plain ? (sense_head *)lm__take(p, m->kv_heads, sizeof(sense_head), 1) : NULL;
    s->head_weight = plain ? (float *)lm__take(p, m->kv_heads, window, 3 * sizeof(float)) : NULL;
    s->work_size = (lm__max(s->work_size, (size_t)m->hidden * sizeof(float)) + 15) / 16 * 16;
    s->work = (unsigned char *)lm__take(p, s->work_size, plain ? sense__tasks(m) : 1, 1);
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
        const float *post = m->layer[l].vector[LM_POST2], weight = post ? post[r] * post[r] : 1.0f;
        if ((status = llmq_tensor_decode(w2, r, row, s->work, s->work_size)) != LLMQ_OK) return status;
        for (j = 0; j < m->hidden; j++) s->down[j] += weight * row[j] * row[j];
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

/* d <- J^T d, J the derivative of the norm y = weight u / r of u[n], r^2 = mean(u^2) + epsilon.
   weight NULL: there is no norm. */
static void sense__norm_back(const lm_model *m, const float *weight, const float *u, uint32_t n, float *d)
{
    const double square = sense__power(u, n) / n + (double)m->epsilon, r = sqrt(square);
    double along = 0;
    uint32_t i;
    for (i = 0; i < n && weight; i++) d[i] *= weight[i], along += (double)d[i] * (double)u[i];
    along /= n * square;
    for (i = 0; i < n && weight; i++) d[i] = (float)(((double)d[i] - along * (double)u[i]) / r);
}

/* v[n] <- R^T v, R the rotations (RoPE) of token t for all heads in v. */
static void sense__turn_back(const sense_layer *s, const lm_state *st, uint32_t t, float *v, uint32_t n)
{
    const lm_model *m = s->m;
    const uint32_t kind = lm_layer_kind(m, s->layer), which = kind & LM_WINDOW, half = m->rope_part / 2,
                   apart = m->halves ? half : 1, step = m->halves ? 1 : 2;
    const float *cosine = st->cosine[which] + (size_t)t * half, *sine = st->sine[which] + (size_t)t * half;
    uint32_t from, k;
    for (from = 0; from < n && !(kind & LM_NO_ROPE); from += m->head)
        for (k = 0; k < half; k++) {
            float *pair = v + from + k * step;
            const float a = pair[0], b = pair[apart];
            pair[0] = a * cosine[k] + b * sine[k], pair[apart] = b * cosine[k] - a * sine[k];
        }
}

static float sense__dot(const float *a, const float *b, uint32_t n)
{
    float sum = 0;
    uint32_t i;
    for (i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Query head h of token t: from `back`, the derivative by the head's output, to that by the query,
   dq, and what it adds to those by keys and values. p, slope, change: [window] each. */
static void sense__head_back(const sense_layer *s, const lm_state *st, uint32_t t, uint32_t h, const float *back,
                             float *dq, float *p)
{
    const lm_model *m = s->m;
    const uint32_t n = m->head, kv = lm__kv(m), g = h / (m->heads / m->kv_heads), end = t + 1,
                   seen = lm_layer_kind(m, s->layer) & LM_WINDOW && m->window < end ? m->window : end;
    const float *q = st->q + (size_t)t * lm__q(m) + (size_t)h * n, cap = m->attention_softcap;
    float *slope = p + s->window, *change = slope + s->window, most = 0, sum = 0, mean = 0;
    uint32_t i, k;
    for (k = end - seen; k < end; k++) {
        p[k] = m->attention_scale * sense__dot(q, st->keys + (size_t)k * kv + (size_t)g * n, n);
        slope[k] = m->attention_scale;
        if (cap > 0.0f) {
            const float y = tanhf(p[k] / cap);
            p[k] = cap * y, slope[k] *= 1.0f - y * y;
        }
        if (k == end - seen || p[k] > most) most = p[k];
    }
    for (k = end - seen; k < end; k++) sum += p[k] = expf(p[k] - most);
    for (k = end - seen; k < end; k++) {
        p[k] /= sum;
        change[k] = sense__dot(back, st->values + (size_t)k * kv + (size_t)g * n, n);
        mean += p[k] * change[k];
    }
    for (k = end - seen; k < end; k++) {
        const float *key = st->keys + (size_t)k * kv + (size_t)g * n, score = p[k] * (change[k] - mean) * slope[k];
        float *dk = s->change + (size_t)k * 2 * kv + (size_t)g * n, *dv = dk + kv;
        for (i = 0; i < n; i++) dq[i] += score * key[i], dk[i] += score * q[i], dv[i] += p[k] * back[i];
    }
}

/* The query of token t: random signs times `size` for its outputs, back to all that they depend on.
   Adds to the weight of the token for wq, to the derivatives by keys and values, and to the traces
   of wq and wo. */
static void sense__query_back(const sense_layer *s, const lm_state *st, uint32_t t, float size, uint32_t seed,
                              double *trace)
{
    const lm_model *m = s->m;
    const lm_layer *layer = &m->layer[s->layer];
    const uint32_t dim = m->dim, q = lm__q(m);
    const float *mixed = st->attention + (size_t)t * q, *norm = layer->vector[LM_ONORM],
                *x = st->normed + (size_t)t * dim, *heads = s->heads ? s->heads + (size_t)t * (q + lm__kv(m)) : NULL;
    float *d = s->room, *y = d + dim, *in = y + dim, *back = in + q, *dq = back + q;
    double square;
    uint32_t r, i;
    memcpy(in, mixed, q * sizeof *in);
    if (norm) lm__rmsnorm(in, mixed, norm, q, m->epsilon);
    for (r = 0; r < dim; r++) {
        y[r] = sense__dot(s->output + (size_t)r * q, in, q);
        d[r] = llmq_random(seed, t * ((dim + 31) / 32) + r / 32) >> r % 32 & 1 ? size : -size;
    }
    sense__norm_back(m, layer->vector[LM_POST1], y, dim, d);
    trace[LM_WO] += 2 * sense__power(d, dim) * sense__power(in, q);
    memset(back, 0, 2 * (size_t)q * sizeof *back);
    for (r = 0; r < dim; r++)
        for (i = 0; i < q; i++) back[i] += d[r] * s->output[(size_t)r * q + i];
    sense__norm_back(m, norm, mixed, q, back);
    for (i = 0; i < m->heads; i++)
        sense__head_back(s, st, t, i, back + (size_t)i * m->head, dq + (size_t)i * m->head, dq + q);
    sense__turn_back(s, st, t, dq, q);
    for (i = 0; i < q && layer->vector[LM_QNORM]; i += m->head)
        sense__norm_back(m, layer->vector[LM_QNORM], heads + i, m->head, dq + i);
    square = 2 * sense__power(dq, q);
    s->weight[t] += (float)(square / SENSE_PROBES);
    trace[LM_WQ] += square * sense__power(x, dim);
}

/* From derivatives by keys (which = 0) or values (1), to the trace of wk or wv, which is returned:
   for each head 2 |sum_t d_t x_t^T|^2. The weights of the tokens are 2 |d_t|^2, scaled to it. */
static double sense__gather(const sense_layer *s, const lm_state *st, uint32_t count, uint32_t which)
{
    const lm_model *m = s->m;
    const uint32_t kv = lm__kv(m), dim = m->dim;
    float *row = s->room, *weight = s->weight + (1 + which) * (size_t)s->window;
    double all = 0;
    uint32_t g, r, t, i;
    for (g = 0; g < kv; g += m->head) {
        const float *from = s->change + (size_t)which * kv + g;
        double trace = 0, apart = 0;
        for (r = 0; r < m->head; r++) {
            memset(row, 0, dim * sizeof *row);
            for (t = 0; t < count; t++)
                for (i = 0; i < dim; i++) row[i] += from[(size_t)t * 2 * kv + r] * st->normed[(size_t)t * dim + i];
            trace += 2 * sense__power(row, dim);
        }
        for (t = 0; t < count; t++)
            apart += sense__power(from + (size_t)t * 2 * kv, m->head) * sense__power(st->normed + (size_t)t * dim, dim);
        for (t = 0; t < count && apart > 0; t++)
            weight[t] += (float)(sense__power(from + (size_t)t * 2 * kv, m->head) * trace / apart / SENSE_PROBES);
        all += trace;
    }
    return all;
}

/* One probe of a window; trace: of wq, wk, wv, wo. Without samples all queries have signs. */
static void sense__probe_once(sense_layer *s, const lm_state *st, uint32_t count, double *trace)
{
    const lm_model *m = s->m;
    const float *norm = m->layer[s->layer].vector[LM_KNORM];
    const uint32_t kv = lm__kv(m), strata = s->samples && s->samples < count ? s->samples : count, seed = 2 * s->seed++;
    uint32_t j, t, g;
    memset(s->change, 0, (size_t)count * 2 * kv * sizeof *s->change);
    for (j = 0; j < strata; j++) { /* the query that is drawn from a stratum stands for all of it */
        const uint32_t from = (uint32_t)((uint64_t)j * count / strata),
                       length = (uint32_t)(((uint64_t)j + 1) * count / strata) - from;
        t = from + (uint32_t)((uint64_t)llmq_random(seed, j) * length >> 32);
        sense__query_back(s, st, t, sqrtf((float)length), seed + 1, trace);
    }
    for (t = 0; t < count; t++) {
        float *keys = s->change + (size_t)t * 2 * kv;
        sense__turn_back(s, st, t, keys, kv);
        for (g = 0; g < kv && norm; g += m->head)
            sense__norm_back(m, norm, s->heads + (size_t)t * (lm__q(m) + kv) + lm__q(m) + g, m->head, keys + g);
    }
    trace[LM_WK] += sense__gather(s, st, count, 0);
    trace[LM_WV] += sense__gather(s, st, count, 1);
}

/* Traces and weights of attention that is not plain. */
static void sense__probe(sense_layer *s, const lm_state *st, uint32_t count)
{
    double trace[SENSE_PROBES][4];
    uint32_t i, k;
    memset(trace, 0, sizeof trace);
    for (k = 0; k < SENSE_PROBES; k++) sense__probe_once(s, st, count, trace[k]);
    for (i = LM_WQ; i <= LM_WO; i++) {
        double mean = 0, spread = 0;
        for (k = 0; k < SENSE_PROBES; k++) mean += trace[k][i] / SENSE_PROBES;
        for (k = 0; k < SENSE_PROBES; k++) spread += (trace[k][i] - mean) * (trace[k][i] - mean);
        s->trace[i] += mean;
        s->error[i] += spread / (SENSE_PROBES * (SENSE_PROBES - 1));
    }
}

/* Key-value heads of plain attention: task i of n takes each n-th. a: without the arrays of a head. */
typedef struct sense__job {
    sense_layer *s;
    const lm_state *st;
    llmq_attention a;
    uint32_t n;
} sense__job;

static void sense__heads_task(void *argument, uint32_t i)
{
    const sense__job *j = (const sense__job *)argument;
    sense_layer *s = j->s;
    const uint32_t group = j->a.queries * j->a.head;
    const size_t w = s->window;
    llmq_attention a = j->a;
    uint32_t g;
    for (g = i; g < s->m->kv_heads; g += j->n) {
        float *weight = s->head_weight + g * 3 * w;
        memset(weight, 0, 3 * w * sizeof *weight);
        a.q = (s->query ? s->query : j->st->q) + (size_t)g * group;
        a.wo = s->output + (size_t)g * group;
        a.k = j->st->keys + (size_t)g * a.head;
        a.v = j->st->values + (size_t)g * a.head;
        a.seed = j->a.seed + g;
        s->head[g].status = llmq_attention_traces(&a, &s->head[g].trace, weight, weight + w, weight + 2 * w,
                                                  s->work + i * s->work_size, s->work_size);
    }
}

/* Traces of wq, wk, wv and wo of plain attention and the weights of the tokens, from all key-value
   heads, which are added in their order. */
static llmq_status sense__plain(sense_layer *s, const lm_state *st, uint32_t count)
{
    const lm_model *m = s->m;
    const uint32_t kv = lm__kv(m), q = lm__q(m), which = lm_layer_kind(m, s->layer) & LM_WINDOW;
    const float scale = sense__scale(m), square = scale > 0.0f ? scale * scale : 1.0f;
    sense__job job = { s, st, sense__attention(m, s->layer, count), sense__tasks(m) };
    uint32_t g, i;
    size_t k;
    for (k = 0; k < (size_t)count * q && s->query; k++) s->query[k] = scale * st->q[k];
    job.a.x = st->normed, job.a.x_stride = m->dim, job.a.q_stride = q, job.a.k_stride = job.a.v_stride = kv;
    job.a.wo_stride = q, job.a.cosine = st->cosine[which], job.a.sine = st->sine[which];
    job.a.samples = s->samples < count ? s->samples : 0, job.a.seed = s->seed;
    s->seed += m->kv_heads;
    if (st->run && job.n > 1) st->run(st->run_context, sense__heads_task, &job, job.n);
    else for (i = 0; i < job.n; i++) sense__heads_task(&job, i);
    for (g = 0; g < m->kv_heads; g++) {
        const llmq_traces *t = &s->head[g].trace;
        if (s->head[g].status != LLMQ_OK) return s->head[g].status;
        s->trace[LM_WQ] += (double)square * t->q, s->trace[LM_WK] += t->k; /* an error of wq is scaled, too */
        s->trace[LM_WV] += t->v, s->trace[LM_WO] += t->o;
        s->error[LM_WQ] += (double)square * (double)square * t->q_error * t->q_error;
        s->error[LM_WK] += t->k_error * t->k_error, s->error[LM_WV] += t->v_error * t->v_error;
        s->error[LM_WO] += t->o_error * t->o_error;
        for (k = 0; k < 3 * (size_t)s->window; k++) s->weight[k] += s->head_weight[g * 3 * (size_t)s->window + k];
    }
    for (i = 0; i < count; i++) s->weight[i] *= square;
    return LLMQ_OK;
}

/* Before attention: traces, the weights of the tokens, and the sums of the block's input. */
static llmq_status sense__attend(sense_layer *s, const lm_state *st, uint32_t count)
{
    llmq_status status = LLMQ_OK;
    uint32_t g;
    memset(s->weight, 0, (size_t)s->window * 3 * sizeof *s->weight);
    if (s->change) sense__probe(s, st, count);
    else status = sense__plain(s, st, count);
    for (g = 0; g < 3 && status == LLMQ_OK; g++)
        status = sense__add(s, SENSE_WQ + (int)g, st->normed, count, s->weight + g * (size_t)s->window);
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

/* Where norms stand beside w2: s->room <- cost[hidden], the square of the derivative of the block's
   output by element i of a = f(g) up, for a token; *outputs: the sum of squares of its derivative by
   the outputs y of w2.
   Without a norm of y, c_i . c_i = down_i, and c_i . y and y . y are what they are, c_i column i of
   W2. With one, J = diag(post) (I - y y^T / (dim r^2)) / r stands before the vectors. Then, before w2,
   a's norm diag(norm) a / rho adds to c_i norm_i / rho the change of rho: - a_i y / (hidden rho^2). */
static llmq_status sense__costs(const sense_layer *s, const float *g, const float *up, float *outputs)
{
    const lm_model *m = s->m;
    const llmq_tensor *w2 = &m->layer[s->layer].linear[LM_W2];
    const float *norm = m->layer[s->layer].vector[LM_DNORM], *post = m->layer[s->layer].vector[LM_POST2];
    const uint32_t n = m->hidden, dim = m->dim;
    float *cost = s->room, *a = cost + n, *cy = a + n, *cwy = cy + n, *y = cwy + n, *wy = y + dim, slope;
    double rho, yy, r2, part, w = 0, ywy = 0, left, mean;
    llmq_activation in;
    llmq_status status;
    uint32_t i;
    for (i = 0; i < n; i++) cost[i] = a[i] = sense__activation(m, g[i], &slope) * up[i];
    if (norm) lm__rmsnorm(cost, a, norm, n, m->epsilon);
    status = llmq_activation_prepare(&in, w2, 32, cost, s->work, s->work_size);
    if (status == LLMQ_OK) status = llmq_matvec(w2, &in, 0, dim, y);
    for (i = 0; i < dim && status == LLMQ_OK; i++) {
        const float square = post ? post[i] * post[i] : 1.0f;
        wy[i] = square * y[i], w += (double)square, ywy += (double)wy[i] * (double)y[i];
    }
    if (status == LLMQ_OK) status = llmq_matvec_transposed(w2, y, 0, dim, cy, s->work, s->work_size);
    if (status == LLMQ_OK) status = llmq_matvec_transposed(w2, wy, 0, dim, cwy, s->work, s->work_size);
    if (status != LLMQ_OK) return status;
    rho = norm ? sqrt(sense__power(a, n) / n + (double)m->epsilon) : 1;
    yy = sense__power(y, dim), r2 = post ? yy / dim + (double)m->epsilon : 1;
    part = post ? 1 / (dim * r2) : 0; /* of y y^T in J */
    left = 1 - part * yy;             /* of y after I - y y^T / (dim r^2) */
    mean = norm ? 1 / (n * rho) : 0;
    *outputs = (float)((w - 2 * part * ywy + part * part * yy * ywy) / r2);
    for (i = 0; i < n; i++) {
        const double scale = norm ? (double)norm[i] : 1, c = (double)cy[i], change = mean * (double)a[i],
                     cc = (double)s->down[i] - 2 * part * c * (double)cwy[i] + part * part * c * c * ywy,
                     both = left * ((double)cwy[i] - part * c * ywy), sum = left * left * ywy;
        cost[i] = (float)((scale * scale * cc - 2 * scale * change * both + change * change * sum) / (r2 * rho * rho));
    }
    return LLMQ_OK;
}

/* After w1 and w3: the weights of the tokens for w1 and w3 (see the head of this file), their
   traces, and the sums of the block's input. */
static llmq_status sense__feed(sense_layer *s, const lm_state *st, uint32_t count)
{
    const lm_model *m = s->m;
    float *w1 = s->weight, *w3 = s->weight + s->window, *w2 = s->weight + 2 * (size_t)s->window;
    const float *cost = s->down;
    uint32_t t, i;
    llmq_status status;
    for (t = 0; t < count; t++) {
        const float *g = st->gate + (size_t)t * m->hidden, *u = st->up + (size_t)t * m->hidden;
        double power = sense__power(st->normed + (size_t)t * m->dim, m->dim);
        w1[t] = w3[t] = 0, w2[t] = (float)m->dim;
        if (sense__has_feed_norms(m)) {
            if ((status = sense__costs(s, g, u, &w2[t])) != LLMQ_OK) return status;
            cost = s->room;
        }
        for (i = 0; i < m->hidden; i++) {
            float slope, value = sense__activation(m, g[i], &slope);
            slope *= u[i];
            w1[t] += 2 * cost[i] * slope * slope;
            w3[t] += 2 * cost[i] * value * value;
        }
        s->trace[LM_W1] += (double)w1[t] * power;
        s->trace[LM_W3] += (double)w3[t] * power;
    }
    if ((status = sense__add(s, SENSE_W1, st->normed, count, w1)) != LLMQ_OK) return status;
    if ((status = sense__add(s, SENSE_W3, st->normed, count, w3)) != LLMQ_OK) return status;
    return sense__add(s, SENSE_FEED, st->normed, count, NULL);
}

/* The last case is LM_AT_DOWN. The trace of w2 is 2 dim |x|^2 a token: each of its dim rows has
   the Hessian 2 x x^T. With a norm of the outputs, its |J|^2 takes the place of dim. */
llmq_status sense_watch(void *context, int place, uint32_t layer, const lm_state *st, uint32_t count,
                        uint32_t position)
{
    sense_layer *s = (sense_layer *)context;
    const uint32_t q = lm__q(s->m), kv = lm__kv(s->m);
    uint32_t t;
    (void)layer;
    if (position != 0 || count > s->window) return LLMQ_E_ARG;
    if (place == LM_AT_HEADS) {
        for (t = 0; t < count; t++) {
            memcpy(s->heads + (size_t)t * (q + kv), st->q + (size_t)t * q, q * sizeof(float));
            memcpy(s->heads + (size_t)t * (q + kv) + q, st->keys + (size_t)t * kv, kv * sizeof(float));
        }
        return LLMQ_OK;
    }
    if (place == LM_AT_ATTENTION) return sense__attend(s, st, count);
    if (place == LM_AT_OUTPUT) return sense__add(s, SENSE_OUTPUT, st->attention, count, NULL);
    if (place == LM_AT_FEED) return sense__feed(s, st, count);
    if (place == LM_AT_SUM1 || place == LM_AT_SUM2) {
        s->stream[place == LM_AT_SUM2] += sense__power(st->x, (size_t)count * s->m->dim);
        s->added[place == LM_AT_SUM2] += sense__power(st->normed, (size_t)count * s->m->dim);
        return LLMQ_OK;
    }
    for (t = 0; t < count; t++)
        s->trace[LM_W2] += 2.0 * (double)s->weight[2 * (size_t)s->window + t]
                           * sense__power(st->gate + (size_t)t * s->m->hidden, s->m->hidden);
    return sense__add(s, SENSE_DOWN, st->gate, count, NULL);
}

#ifdef __cplusplus
}
#endif
#undef SENSE_IMPLEMENTATION
#endif
