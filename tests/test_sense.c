/* test_sense - section 15 of llmq.h: sensitivity

       cc -O2 -o test_sense tests/test_sense.c -lm && ./test_sense [deviations]

   Traces of an attention block are compared with finite differences (tests/gen/attention.py),
   estimators with matrices whose traces and variances are known. deviations: also prints how far
   the traces are off. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "internals.h"
#include "vectors/attention.h"

#include <math.h>



static int all_bytes(const void *p, int byte, size_t n)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t i;
    for (i = 0; i < n; i++)
        if (b[i] != byte) return 0;
    return 1;
}

/* |got - expected| relative to expected; where that is 0, differences below 1e-12 do not count */
static double deviation(double got, double expected)
{
    double off = check_abs(got - expected);
    return expected != 0.0 ? off / check_abs(expected) : off < 1e-12 ? 0.0 : off;
}

/* ---- attention ------------------------------------------------------------------------------- */

#define MAX_TOKENS 48u
#define ROOM 40000u  /* bytes: 12 MAX_TOKENS^2, and what small heads add */

/* Memory of an attention block: rows with `gap` NaNs behind them, which must not be read. */
typedef struct block {
    llmq_attention a;
    float memory[9000];
    size_t used;
} block;

static block blocks[2];
static double workspace[(ROOM + 64) / 8 + 64];
static float weights[3][MAX_TOKENS + 1];

static const float *put_rows(block *b, const float **from, uint32_t rows, uint32_t cols, uint32_t gap, size_t *stride)
{
    const float *first = b->memory + b->used;
    uint32_t r, j;
    for (r = 0; r < rows; r++) {
        for (j = 0; j < cols; j++) b->memory[b->used++] = *(*from)++;
        for (j = 0; j < gap; j++) b->memory[b->used++] = float_of(0x7fc00000u);
    }
    if (stride) *stride = cols + (size_t)gap;
    if (b->used > COUNT(b->memory)) exit(2);
    return first;
}

static void put_block(block *b, const llmq_attention *shape, const float *from, uint32_t gap)
{
    uint32_t width = shape->queries * shape->head;
    b->a = *shape;
    b->used = 0;
    b->a.x = put_rows(b, &from, shape->tokens, shape->dim, gap, &b->a.x_stride);
    b->a.q = put_rows(b, &from, shape->tokens, width, 2 * gap, &b->a.q_stride);
    b->a.k = put_rows(b, &from, shape->tokens, shape->head, 3 * gap, &b->a.k_stride);
    b->a.v = put_rows(b, &from, shape->tokens, shape->head, gap, &b->a.v_stride);
    b->a.wo = put_rows(b, &from, shape->out, width, gap, &b->a.wo_stride);
    if (!shape->rope) return;
    b->a.cosine = put_rows(b, &from, shape->tokens, shape->head / 2, 0, NULL);
    b->a.sine = put_rows(b, &from, shape->tokens, shape->head / 2, 0, NULL);
}

static void load_case(block *b, const attention_case *c, uint32_t gap)
{
    llmq_attention shape;
    memset(&shape, 0, sizeof shape);
    shape.tokens = c->tokens, shape.dim = c->dim, shape.head = c->head, shape.queries = c->queries, shape.out = c->out;
    shape.masked = c->masked, shape.causal = c->causal, shape.rope = c->rope;
    put_block(b, &shape, attention_numbers + c->at, gap);
}

/* Normal numbers, and RoPE by halves with angles of 0.5 and less, by repeated rotation. */
static void random_block(block *b, uint32_t tokens, uint32_t dim, uint32_t head, uint32_t queries, uint32_t out)
{
    static float numbers[COUNT(blocks[0].memory)];
    llmq_attention shape;
    uint32_t half = head / 2, width = queries * head, s, i;
    size_t n = (size_t)tokens * (dim + width + 2 * head) + (size_t)out * width;
    memset(&shape, 0, sizeof shape);
    shape.tokens = tokens, shape.dim = dim, shape.head = head, shape.queries = queries, shape.out = out;
    shape.causal = 1, shape.rope = LLMQ_ROPE_HALVES;
    if (n + 2 * (size_t)tokens * half > COUNT(numbers)) exit(2);
    normal_numbers(numbers, n, 1.0, 0.0);
    for (s = 0; s < tokens; s++)
        for (i = 0; i < half; i++) {
            double angle = s * 0.5 / (1.0 + 3.0 * i);
            numbers[n + (size_t)s * half + i] = (float)cos(angle);
            numbers[n + (size_t)(tokens + s) * half + i] = (float)sin(angle);
        }
    put_block(b, &shape, numbers, 0);
}

static llmq_traces traces_of(const llmq_attention *a)
{
    llmq_traces t;
    memset(&t, 0, sizeof t);
    memset(weights, 0, sizeof weights);
    CHECK_EQ(llmq_attention_traces(a, &t, weights[0], weights[1], weights[2], workspace, llmq_attention_work_size(a)),
             LLMQ_OK);
    return t;
}

/* sum_t w_t |x_t|^2 */
static double weighted(const llmq_attention *a, const float *w)
{
    double sum = 0.0;
    uint32_t t, j;
    for (t = 0; t < a->tokens; t++)
        for (j = 0; j < a->dim; j++)
            sum += (double)w[t] * (double)a->x[t * a->x_stride + j] * (double)a->x[t * a->x_stride + j];
    return sum;
}

/* 1e-6: floats of cosines are off by 6e-8 of 1, finite differences by less, weights are floats */
static void test_attention_oracle(int print)
{
    uint32_t c, gap, t, i;
    for (c = 0; c < COUNT(attention_cases); c++) {
        const attention_case *e = attention_cases + c;
        double most = 0.0, most_weight = 0.0, weight_off = 0.0;
        for (gap = 0; gap < 4; gap += 3) {
            const double expected[4] = { e->q, e->k, e->v, e->o };
            double got[4];
            llmq_traces r;
            check_at("attention, %s, gap %u", e->name, (unsigned)gap);
            load_case(blocks, e, gap);
            r = traces_of(&blocks[0].a);
            got[0] = r.q, got[1] = r.k, got[2] = r.v, got[3] = r.o;
            for (i = 0; i < 4; i++) {
                CHECK(deviation(got[i], expected[i]) < 1e-6);
                most = fmax(most, deviation(got[i], expected[i]));
            }
            CHECK(r.q_error == 0.0 && r.k_error == 0.0 && r.v_error == 0.0 && r.o_error == 0.0);
            for (i = 0; i < 3; i++) {
                for (t = 0; t < e->tokens; t++) {
                    double w = attention_weights[e->weights_at + i * e->tokens + t],
                        off = check_abs((double)weights[i][t] - w);
                    CHECK(weights[i][t] >= 0.0f && off <= 1e-6 * w + 1e-9);
                    most_weight = fmax(most_weight, w), weight_off = fmax(weight_off, off);
                }
                CHECK(weights[i][t] == 0.0f);
                CHECK(deviation(weighted(&blocks[0].a, weights[i]), expected[i]) < 1e-6);
            }
        }
        if (print) printf("%-36s traces %.1e  weights %.1e\n", e->name, most, weight_off / (most_weight + 1e-300));
    }
}

/* Heads that share nothing add up, and so do calls: weights are added to what is there. NULL leaves one out. */
static void test_attention_sums(void)
{
    llmq_attention one;
    llmq_traces all, part, again;
    float sum[3][MAX_TOKENS];
    uint32_t i, t;
    check_at("attention, sums");
    random_block(blocks, 20, 6, 4, 2, 7);
    all = traces_of(&blocks[0].a);
    one = blocks[0].a;
    one.queries = 1;
    part = traces_of(&one);
    memcpy(sum[0], weights[0], sizeof sum[0]);
    one.q += 4, one.wo += 4;
    CHECK_EQ(llmq_attention_traces(&one, &again, weights[0], NULL, NULL, workspace, sizeof workspace), LLMQ_OK);
    CHECK(deviation(part.q + again.q, all.q) < 1e-12 && deviation(part.o + again.o, all.o) < 1e-12);
    CHECK(deviation(part.k + again.k, all.k) > 1e-3); /* inside the square there are cross terms */
    CHECK(deviation(part.v + again.v, all.v) > 1e-3);
    CHECK(deviation(weighted(&one, weights[0]), all.q) < 1e-6);
    for (i = 0; i < 3; i++)
        for (t = 0; t < 20; t++) weights[i][t] = 3.0f;
    CHECK_EQ(llmq_attention_traces(&blocks[0].a, &again, NULL, weights[1], weights[2], workspace, sizeof workspace),
             LLMQ_OK);
    CHECK(memcmp(&again, &all, sizeof all) == 0);
    for (t = 0; t < 20; t++) CHECK(weights[0][t] == 3.0f && weights[1][t] > 3.0f && weights[2][t] > 3.0f);
    for (t = 0; t < 20; t++) weights[1][t] -= 3.0f;
    CHECK(deviation(weighted(&blocks[0].a, weights[1]), all.k) < 1e-5);
    CHECK_EQ(llmq_attention_traces(&blocks[0].a, &again, NULL, NULL, NULL, workspace, sizeof workspace), LLMQ_OK);
    CHECK(memcmp(&again, &all, sizeof all) == 0);
}

/* A constant added to all v does not get through the softmax's Jacobian, nor, without RoPE, one
   added to all k: the traces of W_Q and W_K stay. Constants of 32 cost 10 bits each of what the
   sums of the double hold. */
static void test_attention_invariances(void)
{
    llmq_traces plain, moved;
    float *v, *k;
    uint32_t i;
    check_at("attention, invariances");
    random_block(blocks, 20, 6, 4, 2, 7);
    blocks[0].a.rope = LLMQ_ROPE_NONE;
    v = blocks[0].memory + (blocks[0].a.v - blocks[0].memory);
    k = blocks[0].memory + (blocks[0].a.k - blocks[0].memory);
    /* or the sums would be rounded */
    for (i = 0; i < 80; i++) v[i] = (v[i] + 32.0f) - 32.0f, k[i] = (k[i] + 32.0f) - 32.0f;
    plain = traces_of(&blocks[0].a);
    for (i = 0; i < 80; i++) v[i] += 32.0f, k[i] += 32.0f;
    moved = traces_of(&blocks[0].a);
    CHECK(deviation(moved.q, plain.q) < 1e-9 && deviation(moved.k, plain.k) < 1e-9);
    CHECK(deviation(moved.v, plain.v) < 1e-12 && moved.o > 100.0 * plain.o);
    /* all keys alike: whether their scores are 0 or far below what e^x can hold */
    for (i = 0; i < 80; i++) k[i] = 0.0f;
    plain = traces_of(&blocks[0].a);
    for (i = 0; i < 80; i++) k[i] = -300.0f;
    for (i = 0; i < 160; i++) blocks[0].memory[(blocks[0].a.q - blocks[0].memory) + i] = 300.0f;
    moved = traces_of(&blocks[0].a);
    CHECK(plain.v > 0.0 && moved.v == plain.v && moved.o == plain.o);
}

/* Sampling: over many seeds the mean is the trace, the error is about the deviation there is,
   and weights sum to the estimate. As many samples as tokens, or more, are all; the same seed
   gives the same bits. */
static void test_attention_sampling(void)
{
    const uint32_t seeds = 200;
    llmq_traces all, r, again;
    double mean[4] = { 0, 0, 0, 0 }, square[4] = { 0, 0, 0, 0 }, error[4] = { 0, 0, 0, 0 }, exact[4];
    uint32_t i, c, drawn;
    check_at("attention, sampling");
    random_block(blocks, MAX_TOKENS, 5, 4, 2, 5);
    all = traces_of(&blocks[0].a);
    exact[0] = all.q, exact[1] = all.k, exact[2] = all.v, exact[3] = all.o;
    for (i = 0; i < 3; i++) {
        static const uint32_t samples[] = { MAX_TOKENS, MAX_TOKENS + 1, UINT32_MAX };
        blocks[0].a.samples = samples[i], blocks[0].a.seed = i;
        r = traces_of(&blocks[0].a);
        CHECK(memcmp(&r, &all, sizeof r) == 0);
    }
    blocks[0].a.samples = 9; /* stretches of 5 and 6 */
    for (i = 0; i < seeds; i++) {
        double value[4], errors[4];
        blocks[0].a.seed = i;
        r = traces_of(&blocks[0].a);
        for (c = drawn = 0; c < MAX_TOKENS; c++) drawn += weights[0][c] > 0.0f;
        CHECK(drawn == 9 || drawn == 8); /* query 0 sees one key: no weight */
        value[0] = r.q, value[1] = r.k, value[2] = r.v, value[3] = r.o;
        errors[0] = r.q_error, errors[1] = r.k_error, errors[2] = r.v_error, errors[3] = r.o_error;
        for (c = 0; c < 4; c++) {
            mean[c] += value[c] / seeds, square[c] += (value[c] - exact[c]) * (value[c] - exact[c]) / seeds;
            error[c] += errors[c] * errors[c] / seeds;
            if (c < 3) CHECK(deviation(weighted(&blocks[0].a, weights[c]), value[c]) < 1e-6);
        }
        again = traces_of(&blocks[0].a);
        CHECK(memcmp(&r, &again, sizeof r) == 0);
    }
    for (c = 0; c < 4; c++) {
        CHECK(check_abs(mean[c] - exact[c]) < 4.0 * sqrt(square[c] / seeds));
        CHECK(error[c] > 0.7 * square[c] && error[c] < 3.0 * square[c]); /* the drift makes it larger */
        CHECK(square[c] > 0.0 && sqrt(square[c]) < 0.5 * exact[c]);
    }
}

static void test_attention_errors(void)
{
    llmq_attention good, a;
    llmq_traces r;
    size_t need, i;
    uint8_t *end;
    check_at("attention, errors");
    random_block(blocks, 6, 5, 4, 2, 3);
    good = blocks[0].a;
    need = llmq_attention_work_size(&good);
    memset(&r, 0x5a, sizeof r);
    memset(weights, 0x5a, sizeof weights);
#define TRY(change, expected) \
    do { \
        a = good; \
        change; \
        CHECK_EQ(llmq_attention_traces(&a, &r, weights[0], weights[1], weights[2], workspace, need), expected); \
        CHECK(all_bytes(&r, 0x5a, sizeof r) && all_bytes(weights, 0x5a, sizeof weights)); \
    } while (0)
    TRY(a.x = NULL, LLMQ_E_ARG);
    TRY(a.q = NULL, LLMQ_E_ARG);
    TRY(a.k = NULL, LLMQ_E_ARG);
    TRY(a.v = NULL, LLMQ_E_ARG);
    TRY(a.wo = NULL, LLMQ_E_ARG);
    TRY(a.cosine = NULL, LLMQ_E_ARG);
    TRY(a.sine = NULL, LLMQ_E_ARG);
    TRY(a.tokens = 0, LLMQ_E_ARG);
    TRY(a.dim = 0, LLMQ_E_ARG);
    TRY(a.head = 0, LLMQ_E_ARG);
    TRY(a.queries = 0, LLMQ_E_ARG);
    TRY(a.out = 0, LLMQ_E_ARG);
    TRY(a.masked = 7, LLMQ_E_ARG);
    TRY(a.samples = 1, LLMQ_E_ARG);
    TRY(a.rope = -1, LLMQ_E_ARG);
    TRY(a.rope = 3, LLMQ_E_ARG);
    TRY(a.head = 3, LLMQ_E_ARG);
    TRY(a.x_stride = 4, LLMQ_E_ARG);
    TRY(a.q_stride = 7, LLMQ_E_ARG);
    TRY(a.k_stride = 3, LLMQ_E_ARG);
    TRY(a.v_stride = 3, LLMQ_E_ARG);
    TRY(a.wo_stride = 7, LLMQ_E_ARG);
    TRY((a.queries = 65536, a.head = 65536), LLMQ_E_LIMIT);
    TRY(a.tokens = UINT32_MAX, LLMQ_E_LIMIT);
    TRY(a.tokens = 7, LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_attention_traces(NULL, &r, NULL, NULL, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_attention_traces(&good, NULL, NULL, NULL, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_attention_traces(&good, &r, NULL, NULL, NULL, NULL, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_attention_traces(&good, &r, NULL, NULL, NULL, (uint8_t *)workspace + 4, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_attention_traces(&good, &r, NULL, NULL, NULL, workspace, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_attention_traces(&good, &r, NULL, NULL, NULL, workspace, 0), LLMQ_E_WORKSPACE);
    for (i = 0; i < blocks[0].used; i++) { /* every number is looked at */
        static const uint32_t wrong[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u };
        float saved = blocks[0].memory[i];
        blocks[0].memory[i] = float_of(wrong[i % 3]);
        TRY((void)0, LLMQ_E_NOT_FINITE);
        blocks[0].memory[i] = saved;
    }
    blocks[0].memory[0] *= 1e30f; /* a weight is then below the trace by that squared: still fine */
    memset(weights, 0, sizeof weights);
    CHECK_EQ(llmq_attention_traces(&good, &r, weights[0], weights[1], weights[2], workspace, need), LLMQ_OK);
    CHECK(r.k - r.k == 0.0 && deviation(weighted(&good, weights[1]), r.k) < 1e-6);
    for (i = 0; i < blocks[0].used; i++) blocks[0].memory[i] = blocks[0].memory[i] < 0.0f ? -3e38f : 3e38f;
    memset(&r, 0x5a, sizeof r);
    memset(weights, 0x5a, sizeof weights);
    TRY((void)0, LLMQ_E_NOT_FINITE);
    random_block(blocks, 6, 5, 4, 2, 3);
    for (i = 0; i < 24; i++) blocks[0].memory[good.wo - blocks[0].memory + (long)i] *= 1e25f;
    TRY((void)0, LLMQ_E_NOT_FINITE); /* weights over what a float holds */
    CHECK_EQ(llmq_attention_traces(&good, &r, NULL, NULL, NULL, workspace, need), LLMQ_OK);
#undef TRY
    random_block(blocks, 6, 5, 4, 2, 3);
    CHECK_EQ((long)llmq_attention_work_size(NULL), 0);
    a = good;
    a.tokens = 0;
    CHECK_EQ((long)llmq_attention_work_size(&a), 0);
    a.tokens = 6, a.head = 0;
    CHECK_EQ((long)llmq_attention_work_size(&a), 0);
    /* canaries beside the workspace and the outputs */
    memset(workspace, 0x77, sizeof workspace);
    end = (uint8_t *)(workspace + 4) + need;
    memset(weights, 0, sizeof weights);
    for (i = 0; i < 3; i++) weights[i][6] = 7.0f;
    CHECK_EQ(llmq_attention_traces(&good, &r, NULL, NULL, weights[2], workspace + 4, need), LLMQ_OK);
    CHECK(all_bytes(workspace, 0x77, 32) && all_bytes(end, 0x77, 64) && !all_bytes(end - 8, 0x77, 8));
    for (i = 0; i < 3; i++) CHECK(weights[i][6] == 7.0f);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void test_numbers(void)
{
    double most = 0.0, x;
    uint32_t i;
    check_at("llmq__exp64 and llmq__sqrt64");
    for (i = 0; i < 200000; i++) {
        x = i < 100000 ? -700.0 * check_uniform() : -exp(-40.0 * check_uniform());
        most = fmax(most, deviation(llmq__exp64(x), exp(x)));
    }
    CHECK(most < 1e-13);
    CHECK(llmq__exp64(0.0) == 1.0 && llmq__exp64(-700.0) == 0.0 && llmq__exp64(-1e300) == 0.0
          && llmq__exp64(-(double)INFINITY) == 0.0);
    CHECK(llmq__exp64(-699.99) > 0.0 && llmq__exp64((double)NAN) == 0.0);
    for (i = 0, most = 0.0; i < 100000; i++) {
        x = exp(1400.0 * check_uniform() - 700.0);
        most = fmax(most, deviation(llmq__sqrt64(x), sqrt(x)));
    }
    CHECK(most < 1e-15);
    for (i = 0; i < 1000; i++) CHECK(deviation(llmq__sqrt64((double)i), sqrt((double)i)) < 3e-16);
    CHECK(llmq__sqrt64(4.0) == 2.0 && llmq__sqrt64(0.0) == 0.0 && llmq__sqrt64(-1.0) == 0.0
          && llmq__sqrt64((double)INFINITY) == 0.0);
    CHECK(deviation(llmq__sqrt64(2.2250738585072014e-308), 1.4916681462400413e-154) < 1e-15);
    CHECK(deviation(llmq__sqrt64(1.7976931348623157e308), 1.3407807929942596e154) < 1e-15);
}

/* ---- estimators ------------------------------------------------------------------------------ */

#define N 64u

typedef struct matrix {
    double h[N][N];
    uint32_t n, calls, fail_at;
    float poison;  /* added to one number of the product, at call fail_at if that is set */
} matrix;

static matrix h;
static float probe_memory[N * (N + 4)];

static llmq_status multiply(void *context, const float *v, float *hv)
{
    matrix *m = (matrix *)context;
    uint32_t i, j;
    m->calls++;
    if (m->calls == m->fail_at && m->poison == 0.0f) return LLMQ_E_STOPPED;
    for (i = 0; i < m->n; i++) {
        double sum = 0.0;
        for (j = 0; j < m->n; j++) sum += m->h[i][j] * (double)v[j];
        hv[i] = (float)sum;
    }
    if (m->calls == m->fail_at) hv[m->n / 2] = m->poison;
    return LLMQ_OK;
}

/* diag(eigenvalue), between n random reflections if it is to be mixed */
static void spectrum(uint32_t n, const double *eigenvalue, int mix)
{
    uint32_t i, j, k;
    memset(&h, 0, sizeof h);
    h.n = n;
    for (i = 0; i < n; i++) h.h[i][i] = eigenvalue[i];
    for (k = 0; k < n && mix; k++) {
        double u[N], hu[N], length = 0.0, uhu = 0.0;
        for (i = 0; i < n; i++) u[i] = check_normal(), length += u[i] * u[i];
        for (i = 0; i < n; i++) u[i] /= sqrt(length);
        for (i = 0; i < n; i++)
            for (j = 0, hu[i] = 0.0; j < n; j++) hu[i] += h.h[i][j] * u[j];
        for (i = 0; i < n; i++) uhu += u[i] * hu[i];
        for (i = 0; i < n; i++) /* (I - 2 u u^T) H (I - 2 u u^T) */
            for (j = 0; j < n; j++) h.h[i][j] += -2.0 * u[i] * hu[j] - 2.0 * hu[i] * u[j] + 4.0 * uhu * u[i] * u[j];
    }
}

static double trace_of(void)
{
    double sum = 0.0;
    uint32_t i;
    for (i = 0; i < h.n; i++) sum += h.h[i][i];
    return sum;
}

static llmq_trace estimate(int plus, uint32_t most, double tolerance, uint32_t seed)
{
    size_t need = plus ? llmq_trace_hutchpp_work_size(h.n, most) : 8 * (size_t)h.n;
    llmq_trace t;
    memset(&t, 0, sizeof t);
    h.calls = 0;
    CHECK(need <= sizeof probe_memory);
    if (plus) CHECK_EQ(llmq_trace_hutchpp(multiply, &h, h.n, most, tolerance, seed, &t, probe_memory, need), LLMQ_OK);
    else CHECK_EQ(llmq_trace_hutchinson(multiply, &h, h.n, most, tolerance, seed, &t, probe_memory, need), LLMQ_OK);
    CHECK_EQ(t.products, h.calls);
    CHECK(t.products <= most);
    return t;
}

/* Mean square error over seeds, the mean of the squares of the errors that are said, and the
   bias in deviations of the mean. */
static double errors_of(int plus, uint32_t most, uint32_t seeds, double *said, double *bias)
{
    double trace = trace_of(), square = 0.0, mean = 0.0;
    uint32_t i;
    for (i = 0, *said = 0.0; i < seeds; i++) {
        llmq_trace t = estimate(plus, most, 0.0, i);
        square += (t.trace - trace) * (t.trace - trace) / seeds;
        mean += (t.trace - trace) / seeds;
        *said += t.error * t.error / seeds;
    }
    *bias = mean / sqrt(square / seeds + 1e-30);
    return square;
}

/* Diagonal matrices are exact with one probe: signs squared are 1. */
static void test_hutchinson_diagonal(void)
{
    double e[N];
    uint32_t n, i;
    for (n = 1; n <= N; n += 21) {
        llmq_trace t;
        check_at("Hutchinson, n %u", (unsigned)n);
        for (i = 0; i < n; i++) e[i] = 1.0;
        spectrum(n, e, 0);
        t = estimate(0, 20, 0.0, 5);
        CHECK(t.trace == (double)n && t.error == 0.0 && t.products == 20);
        t = estimate(0, 20, 1e-9, 5);
        CHECK(t.trace == (double)n && t.error == 0.0 && t.products == 8); /* not before, though the error is 0 */
        CHECK(estimate(0, 7, 0.5, 5).products == 7);
        CHECK(estimate(0, 2, 0.5, 5).products == 2);
        for (i = 0; i < n; i++) e[i] = 0.25 * i - 3.0; /* of both signs */
        spectrum(n, e, 0);
        t = estimate(0, 3, 0.0, 9);
        CHECK(deviation(t.trace, trace_of()) < 1e-12 && t.error < 1e-12);
        for (i = 0; i < n; i++) e[i] = 0.0;
        spectrum(n, e, 0);
        t = estimate(0, 30, 0.01, 1);
        CHECK(t.trace == 0.0 && t.error == 0.0 && t.products == 8);
        t = estimate(1, 30, 0.01, 1); /* nothing to span: all is left to the probes */
        CHECK(t.trace == 0.0 && t.error == 0.0);
    }
}

/* The spectrum 1/k: variance by the formula, error that says so, no bias; the stopping rule;
   another seed, another estimate. */
static void test_hutchinson_variance(void)
{
    double e[N], said, bias, square, variance = 0.0;
    uint32_t i, j, seeds = 1000;
    llmq_trace t, u;
    check_at("Hutchinson, 1/k");
    for (i = 0; i < N; i++) e[i] = 1.0 / (i + 1.0);
    spectrum(N, e, 1);
    for (i = 0; i < N; i++)
        for (j = 0; j < N; j++)
            if (i != j) variance += 2.0 * h.h[i][j] * h.h[i][j];
    square = errors_of(0, 12, seeds, &said, &bias);
    /* deviation of a variance of 1000 numbers: sqrt(2 / 1000) = 4.5 % if normal; tails make it more */
    CHECK(check_abs(square / (variance / 12.0) - 1.0) < 0.25);
    CHECK(check_abs(said / (variance / 12.0) - 1.0) < 0.15);
    CHECK(check_abs(bias) < 4.0);
    t = estimate(0, 4000, 0.02, 3);
    CHECK(t.products > 8 && t.products < 4000 && t.error <= 0.02 * t.trace);
    u = estimate(0, t.products - 1, 0.0, 3);
    CHECK(u.error > 0.02 * u.trace); /* and one probe fewer was not enough */
    u = estimate(0, t.products, 0.0, 3);
    CHECK(memcmp(&t, &u, sizeof t) == 0);
    CHECK(estimate(0, 20, 0.0, 1).trace != estimate(0, 20, 0.0, 2).trace);
    for (i = 0; i < N; i++) /* tolerance is relative to |trace| */
        for (j = 0; j < N; j++) h.h[i][j] = -h.h[i][j];
    u = estimate(0, 4000, 0.02, 3);
    CHECK(u.trace == -t.trace && u.error == t.error && u.products == t.products);
}

/* Rank 5 with 9 products of sketch: exact, to what floats leave, and only 5 more for the range;
   1/k: better than Hutchinson. */
static void test_hutchpp(void)
{
    double e[N], said, bias, square, other;
    uint32_t i, seed;
    check_at("Hutch++");
    for (i = 0; i < N; i++) e[i] = i < 5 ? i + 0.5 : 0.0;
    spectrum(N, e, 1);
    for (seed = 0; seed < 50; seed++) {
        llmq_trace t = estimate(1, 27, 0.0, seed);
        CHECK(deviation(t.trace, 12.5) < 1e-6 && t.error < 1e-6 && t.products == 27);
        CHECK_EQ(estimate(1, 27, 1e-3, seed).products, 9 + 5 + 8);
        CHECK(estimate(1, 14, 0.0, seed).error > 1e-3 * 12.5); /* 4 of sketch are too few */
    }
    /* vectors of which 4e-5 is left: orthogonal only after the second time */
    for (i = 0; i < 5; i++) e[i] = i == 0 ? 1.0 : 4e-5;
    spectrum(N, e, 1);
    for (seed = 0, said = 0.0; seed < 50; seed++)
        said = fmax(said, deviation(estimate(1, 27, 0.0, seed).trace, 1.00016));
    CHECK(said < 1e-6);
    for (i = 0; i < N; i++) e[i] = 1.0 / (i + 1.0);
    spectrum(N, e, 1);
    square = errors_of(1, 30, 400, &said, &bias);
    CHECK(check_abs(bias) < 4.0);
    CHECK(said > 0.7 * square && said < 1.4 * square);
    other = errors_of(0, 30, 400, &said, &bias);
    CHECK(square < 0.4 * other); /* RMSE relative to the trace is known to be about .031 against .065 */
    CHECK(deviation(estimate(1, 3 * N, 0.0, 1).trace, trace_of()) < 1e-5); /* N sketches: the whole space */
    spectrum(1, e, 0);
    CHECK(deviation(estimate(1, 4, 0.0, 1).trace, 1.0) < 1e-6);
    for (i = 0; i < 8; i++) e[i] = i + 1.0;
    spectrum(8, e, 1);
    for (i = 4; i < 40; i++) CHECK(deviation(estimate(1, i, 0.0, i).trace, 36.0) < 0.6);
}

static void test_estimator_errors(void)
{
    double e[N];
    llmq_trace t;
    uint8_t *memory = (uint8_t *)probe_memory;
    size_t need;
    uint32_t i;
    int plus;
    for (i = 0; i < 10; i++) e[i] = 1.0 + i;
    spectrum(10, e, 1);
    for (plus = 0; plus < 2; plus++) {
        llmq_status (*f)(llmq_operator, void *, uint32_t, uint32_t, double, uint32_t, llmq_trace *, void *, size_t) =
            plus ? llmq_trace_hutchpp : llmq_trace_hutchinson;
        check_at(plus ? "Hutch++, errors" : "Hutchinson, errors");
        need = plus ? llmq_trace_hutchpp_work_size(10, 12) : 80;
        memset(&t, 0x5a, sizeof t);
        CHECK_EQ(f(NULL, &h, 10, 12, 0.0, 1, &t, memory, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 0, 12, 0.0, 1, &t, memory, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, plus ? 3 : 1, 0.0, 1, &t, memory, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, 12, -0.1, 1, &t, memory, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, 12, (double)NAN, 1, &t, memory, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, NULL, memory, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, &t, NULL, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, &t, memory + 2, need), LLMQ_E_ARG);
        CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, &t, memory, need - 1), LLMQ_E_WORKSPACE);
        CHECK_EQ(h.calls, 0);
        for (i = 1; i <= 12; i++) { /* whichever product fails */
            static const uint32_t wrong[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u };
            h.calls = 0, h.fail_at = i, h.poison = 0.0f;
            CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, &t, memory, need), LLMQ_E_STOPPED);
            CHECK_EQ(h.calls, i);
            h.calls = 0, h.poison = float_of(wrong[i % 3]);
            CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, &t, memory, need), LLMQ_E_NOT_FINITE);
            CHECK_EQ(h.calls, i);
        }
        h.fail_at = 0;
        CHECK(all_bytes(&t, 0x5a, sizeof t));
        memset(memory, 0x77, sizeof probe_memory);
        CHECK_EQ(f(multiply, &h, 10, 12, 0.0, 1, &t, memory + 16, need), LLMQ_OK);
        CHECK(all_bytes(memory, 0x77, 16) && all_bytes(memory + 16 + need, 0x77, 64)
              && !all_bytes(memory + 12 + need, 0x77, 4));
        h.calls = 0;
    }
    CHECK_EQ((long)llmq_trace_hutchpp_work_size(10, 3), 0);
    CHECK_EQ((long)llmq_trace_hutchpp_work_size(0, 12), 0);
    CHECK_EQ((long)llmq_trace_hutchpp_work_size(10, 12), 240);
    CHECK_EQ((long)llmq_trace_hutchpp_work_size(10, 3000), 480);
    CHECK_EQ(llmq_trace_hutchpp(multiply, &h, UINT32_MAX, UINT32_MAX, 0.0, 1, &t, memory, 16), LLMQ_E_LIMIT);
}

int main(int argc, char **argv)
{
    test_attention_oracle(argc > 1 && strcmp(argv[1], "deviations") == 0);
    test_attention_sums();
    test_attention_invariances();
    test_attention_sampling();
    test_attention_errors();
    test_numbers();
    test_hutchinson_diagonal();
    test_hutchinson_variance();
    test_hutchpp();
    test_estimator_errors();
    return check_done("test_sense");
}
