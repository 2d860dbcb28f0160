/* test_feedback - sections 15 (sums over inputs) and 16 of llmq.h: error feedback

       cc -O2 -o test_feedback tests/test_feedback.c -lm && ./test_feedback [figures]

   Sums are compared with double ones, whole rows with those of tests/gen/feedback.py, which
   solves in float64 what the header says by other ways. figures: prints only what feedback gains
   on AR(1) inputs, lines key<TAB>dB with TSV=1 in the environment. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "grids.h"
#include "vectors/feedback.h"

#include <math.h>

#define GUARD 64u

static const char *const grids[] = { "g2", "g3", "g4", "g5", "g6", "g8", "v2n16", "v2n64", "v2n256", "v3n64", "v3n512",
                                     "v4n256" };
static const char *const raws[] = { "f32", "f16", "bf16" };
/* 5 points of 3 coordinates: no power of two, ties in the first coordinate, points that are equal */
static const int8_t odd_points[24] = { -90, 10, -20, -90, -60, 40, 0, 0, 0, 70, 90, 9, 70, -80, -30, 70, -80, -30, 0, 0,
                                       0, 0, 0, 0 };

static float power(int e) { return (float)ldexp(1.0, e); }
static size_t packed(size_t i, size_t j) { return i < j ? j * (j + 1) / 2 + i : i * (i + 1) / 2 + j; }

/* Memory of exactly so many bytes, all of them ones (NaN), with a guard behind. */
static void *take(size_t size)
{
    unsigned char *p = (unsigned char *)malloc(size + GUARD);
    if (!p) exit(2);
    memset(p, 0xff, size);
    memset(p + size, 0x5a, GUARD);
    return p;
}

static int guarded(const void *p, size_t size)
{
    size_t i;
    for (i = 0; i < GUARD; i++)
        if (((const unsigned char *)p)[size + i] != 0x5a) return 0;
    return 1;
}

/* Frees it; counts as a check that nothing was written behind. */
static void give(void *p, size_t size)
{
    CHECK(guarded(p, size));
    free(p);
}

/* Table i of those that run here; NULL behind the last. */
static const llmq_kernels *runnable(uint32_t *i)
{
    const llmq_kernels *k = llmq_kernels_at(*i);
    while (k && (k->features & ~llmq_cpu_features()) != 0) k = llmq_kernels_at(++*i);
    return k;
}

/* ---- sums ------------------------------------------------------------------------------------ */

typedef struct tokens {
    uint32_t cols, count;
    size_t stride;
    float *x, *weight;
} tokens;

/* Normal inputs, each column with its own scale, or whole numbers up to 60, whose products and
   sums are exact; NaN between rows. */
static tokens new_tokens(uint32_t cols, uint32_t count, int weighted, int whole)
{
    tokens t;
    uint32_t i, j;
    t.cols = cols, t.count = count, t.stride = cols + 3;
    t.x = (float *)take(t.stride * count * sizeof(float));
    t.weight = weighted ? (float *)take(count * sizeof(float)) : NULL;
    for (i = 0; i < count; i++) {
        for (j = 0; j < cols; j++)
            t.x[i * t.stride + j] = whole ? (float)check_below(121) - 60.0f : (float)(check_normal() * (1.0 + j % 7));
        if (weighted) t.weight[i] = whole ? (float)(i % 3 * (i % 3)) : (float)(check_uniform() * 2.0);
    }
    return t;
}

static void free_tokens(tokens *t)
{
    free(t->x);
    free(t->weight);
}

static llmq_hessian new_hessian(uint32_t cols, int full, const llmq_transform *transform)
{
    llmq_hessian h;
    size_t size = llmq_hessian_size(cols, full);
    CHECK_EQ(llmq_hessian_init(&h, cols, full, transform, take(size), size), LLMQ_OK);
    return h;
}

static void free_hessian(llmq_hessian *h) { give(h->h, llmq_hessian_size(h->cols, h->full)); }

static int same_hessian(const llmq_hessian *a, const llmq_hessian *b)
{
    return a->cols == b->cols && a->full == b->full && !(a->weight < b->weight || a->weight > b->weight)
           && memcmp(a->h, b->h, llmq_hessian_size(a->cols, a->full)) == 0;
}

static void add(llmq_hessian *h, uint32_t r0, uint32_t r1, const tokens *t, uint32_t first, uint32_t count)
{
    size_t size = llmq_hessian_work_size(h);
    void *work = take(size);
    CHECK_EQ(llmq_hessian_add(h, r0, r1, t->x + first * t->stride, t->stride, count,
                              t->weight ? t->weight + first : NULL, work, size, NULL), LLMQ_OK);
    give(work, size);
}

/* H of the tokens; cut: in random calls, each in random ranges of rows, some of them empty, the last range first. */
static llmq_hessian sums(const tokens *t, int full, const llmq_transform *transform, const llmq_kernels *k, int cut)
{
    llmq_hessian h = new_hessian(t->cols, full, transform);
    uint32_t first, n, r0, r1;
    h.kernels = k;
    for (first = 0; first < t->count; first += n) {
        n = cut ? least(1 + check_below(check_below(2) ? 9 : 200), t->count - first) : t->count;
        for (r1 = t->cols; r1 > 0; r1 = r0) {
            r0 = cut && check_below(4) ? check_below(r1 + 1) : 0;
            add(&h, r0, r1, t, first, n);
        }
        if (cut) add(&h, 0, 0, t, first, n), add(&h, t->cols, t->cols, t, first, n);
    }
    return h;
}

/* The greatest deviation from double sums, relative to sqrt(Hii Hjj). */
static double off_by(const llmq_hessian *h, const tokens *t)
{
    double *x = (double *)malloc((size_t)t->cols * t->count * sizeof(double)),
        *d = (double *)calloc(t->cols, sizeof(double)), worst = 0.0;
    uint32_t i, j, k;
    if (!x || !d) exit(2);
    for (k = 0; k < t->count; k++)
        for (i = 0; i < t->cols; i++) {
            double v = (double)t->x[k * t->stride + i] * (t->weight ? sqrt((double)t->weight[k]) : 1.0);
            x[(size_t)i * t->count + k] = v;
            d[i] += v * v;
        }
    for (i = 0; i < t->cols; i++)
        for (j = h->full ? 0 : i; j <= i; j++) {
            double sum = 0.0, off;
            for (k = 0; k < t->count; k++) sum += x[(size_t)i * t->count + k] * x[(size_t)j * t->count + k];
            off = check_abs((double)h->h[h->full ? packed(i, j) : i] - sum) / sqrt(d[i] * d[j] + 1e-300);
            if (!(off <= worst)) worst = off;
        }
    free(x);
    free(d);
    return worst;
}

static void test_sums(void)
{
    static const uint32_t all_cols[] = { 1, 2, 31, 127, 128, 129, 200, 300, 1030 };
    uint32_t c, i, k, form;
    check_seed(101);
    for (c = 0; c < COUNT(all_cols); c++)
        for (form = 0; form < 4; form++) {
            uint32_t cols = all_cols[c], same = 1;
            tokens t = new_tokens(cols, cols > 1000 ? 5 : cols > 150 ? 133 : 260, (int)(form & 1), (int)(form >> 1));
            llmq_hessian full = sums(&t, 1, NULL, llmq_kernels_at(0), 0), diagonal = sums(&t, 0, NULL, NULL, 0), other;
            double weight = 0.0;
            check_at("%u columns, form %u", cols, form);
            for (i = 0; i < t.count; i++) weight += form & 1 ? (double)t.weight[i] : 1.0;
            CHECK(check_abs(full.weight - weight) < 1e-9);
            if (form >> 1) CHECK(off_by(&full, &t) <= 0.0);
            else CHECK(off_by(&full, &t) < 1.0 / 2048);
            CHECK(off_by(&diagonal, &t) < 1.0 / 2048);
            for (i = 0; i < cols; i++) same &= bits_of(full.h[packed(i, i)]) == bits_of(diagonal.h[i]);
            CHECK(same);
            for (k = 0; runnable(&k) != NULL; k++)
                for (i = 0; i < 2; i++) {
                    check_at("%u columns, form %u, %s", cols, form, llmq_kernels_at(k)->name);
                    other = sums(&t, 1, NULL, llmq_kernels_at(k), i > 0);
                    CHECK(same_hessian(&other, &full));
                    free_hessian(&other);
                }
            other = sums(&t, 0, NULL, NULL, 1);
            CHECK(same_hessian(&other, &diagonal));
            free_hessian(&other), free_hessian(&full), free_hessian(&diagonal);
            free_tokens(&t);
        }
    check_at("%s", "");
}

/* A range of rows changes no others. */
static void test_sums_range(void)
{
    tokens t = new_tokens(150, 7, 0, 0);
    llmq_hessian all = sums(&t, 1, NULL, NULL, 0), part = new_hessian(150, 1, NULL);
    size_t i, first = packed(37, 0), end = packed(131, 0);
    int zero = 1;
    add(&part, 37, 131, &t, 0, 7);
    CHECK(part.weight <= 0.0);
    CHECK(memcmp(part.h + first, all.h + first, (end - first) * sizeof(float)) == 0);
    for (i = 0; i < packed(150, 0); i++) zero &= (i >= first && i < end) || bits_of(part.h[i]) == 0;
    CHECK(zero);
    free_hessian(&all), free_hessian(&part);
    free_tokens(&t);
}

/* H of one number of one token */
static float square(float x, float weight)
{
    static float work[128 * 128 + 1]; /* larger than some stacks */
    llmq_hessian sum;
    float h = 0.0f;
    CHECK_EQ(llmq_hessian_init(&sum, 1, 0, NULL, &h, sizeof h), LLMQ_OK);
    CHECK_EQ(llmq_hessian_add(&sum, 0, 1, &x, 1, 1, &weight, work, sizeof work, NULL), LLMQ_OK);
    return h;
}

static void test_sums_values(void)
{
    llmq_transform rotate = llmq_transform_hadamard(3, 0);
    llmq_hessian h, all;
    tokens t;
    uint32_t i, j;
    int good = 1;
    check_seed(102);
#define CHECK_BITS(got, expected) CHECK_EQ((long)bits_of(got), (long)bits_of(expected))
    CHECK_BITS(square(3.0f, 0.25f), 2.25f);
    CHECK_BITS(square(0.0f, 1.0f), 0.0f);
    CHECK_BITS(square(5.0f, 0.0f), 0.0f);
    CHECK_BITS(square(5.0f, -0.0f), 0.0f);
    CHECK_BITS(square(1.0f + power(-12), 1.0f), 1.0f); /* ties go to even */
    CHECK_BITS(square(1.0f + 3 * power(-12), 1.0f), (1.0f + power(-10)) * (1.0f + power(-10)));
    CHECK_BITS(square(-1.0f - power(-12) - power(-20), 1.0f), (1.0f + power(-11)) * (1.0f + power(-11)));
    CHECK_BITS(square(2.0f - power(-14), 1.0f), 4.0f);
    CHECK_BITS(square(power(-60), 1.0f), power(-120));
    CHECK_BITS(square(float_of(bits_of(power(-60)) - 1), 1.0f), 0.0f);
    CHECK_BITS(square(-power(-149), 1.0f), 0.0f);
    CHECK_BITS(square(power(60), 1.0f), power(120));
    CHECK_BITS(square(-3e38f, 1.0f), power(120));
    CHECK_BITS(square(3e38f, 3e38f), power(120));
    t = new_tokens(200, 40, 0, 0); /* through a rotation the largest floats would overflow, and then cancel to NaN */
    for (i = 0; i < 40; i++)
        for (j = 0; j < 200; j++) t.x[i * t.stride + j] = check_below(2) ? 3.4e38f : -3.4e38f;
    h = sums(&t, 1, &rotate, NULL, 0);
    for (i = 0; i < 200; i++) good &= h.h[packed(i, i)] >= 0.0f && h.h[packed(i, i)] <= 3e38f;
    CHECK(good);
    free_hessian(&h);
    for (i = 0; i < 40; i++)
        for (j = 0; j < 200; j++) t.x[i * t.stride + j] = j < 100 ? 1.5f : 0.0f; /* constant, and nothing */
    h = sums(&t, 1, NULL, NULL, 0);
    for (i = 0, good = 1; i < 200; i++)
        for (j = 0; j <= i; j++) good &= bits_of(h.h[packed(i, j)]) == bits_of(i < 100 ? 90.0f : 0.0f);
    CHECK(good);
    t.count = 1; /* one token; and none, which is no error */
    all = sums(&t, 1, NULL, NULL, 0);
    CHECK_BITS(all.h[packed(70, 7)], 2.25f);
    add(&all, 0, 200, &t, 0, 0);
    CHECK(all.weight >= 1.0 && all.weight <= 1.0);
    free_hessian(&h), free_hessian(&all);
    free_tokens(&t);
}

/* A token of weight 0 adds nothing, even where a step that smooths divides it to infinity. */
static void test_sums_weight_0(void)
{
    static float x[32];
    static uint8_t d[32][4]; /* little-endian */
    const float zero = 0.0f, tiny = 2e-38f;
    llmq_transform smooth;
    llmq_hessian h;
    size_t size = llmq_hessian_size(32, 1), i;
    float *mem = (float *)take(size);
    void *work;
    memset(&smooth, 0, sizeof smooth);
    smooth.count = 1, smooth.step[0].kind = LLMQ_STEP_SMOOTH, smooth.step[0].arg = 32, smooth.data = d[0];
    for (i = 0; i < 32 * 4; i++) d[i / 4][i % 4] = (uint8_t)(bits_of(tiny) >> (i % 4 * 8)), x[i / 4] = 1e18f;
    CHECK_EQ(llmq_hessian_init(&h, 32, 1, &smooth, mem, size), LLMQ_OK);
    work = take(llmq_hessian_work_size(&h));
    CHECK_EQ(llmq_hessian_add(&h, 0, 32, x, 32, 1, &zero, work, llmq_hessian_work_size(&h), NULL), LLMQ_OK);
    for (i = 0; i < 32 * 33 / 2; i++) CHECK(bits_of(h.h[i]) == 0);
    give(work, llmq_hessian_work_size(&h));
    give(mem, size);
}

static void test_sums_transform(void)
{
    static const uint32_t all_cols[] = { 1, 44, 128, 200, 300 }; /* 44, and 300's last block: Paley's construction */
    uint32_t c, i, j;
    check_seed(103);
    for (c = 0; c < COUNT(all_cols); c++) {
        uint32_t cols = all_cols[c];
        llmq_transform rotate = llmq_transform_hadamard(c, 256);
        tokens t = new_tokens(cols, 150, 1, 0);
        llmq_hessian plain = sums(&t, 1, NULL, NULL, 0), turned = sums(&t, 1, &rotate, NULL, 0),
            cut = sums(&t, 1, &rotate, NULL, 1);
        size_t size = llmq_hessian_transform_work_size(&plain, &rotate);
        void *work = take(size);
        double most = 0.0, off = 0.0;
        check_at("%u columns", cols);
        CHECK(same_hessian(&turned, &cut));
        CHECK(size >= 4 * (size_t)cols * cols);
        CHECK_EQ(llmq_hessian_transform(&plain, &rotate, work, size - 1), LLMQ_E_WORKSPACE);
        CHECK_EQ(llmq_hessian_merge(&turned, &plain), LLMQ_E_MISMATCH);
        CHECK_EQ(llmq_hessian_transform(&plain, &rotate, work, size), LLMQ_OK);
        for (i = 0; i < cols; i++) most = fmax(most, (double)turned.h[packed(i, i)]);
        for (i = 0; i < cols; i++)
            for (j = 0; j <= i; j++)
                off = fmax(off, check_abs((double)plain.h[packed(i, j)] - (double)turned.h[packed(i, j)]));
        CHECK(most > 0.0 && off < most / 2048);
        CHECK_EQ(llmq_hessian_transform(&plain, &rotate, work, size), LLMQ_E_ARG); /* it has one */
        CHECK_EQ(llmq_hessian_merge(&turned, &plain), LLMQ_OK);
        CHECK(turned.weight >= 2.0 * cut.weight && turned.weight <= 2.0 * cut.weight);
        give(work, size);
        free_hessian(&plain), free_hessian(&turned), free_hessian(&cut);
        free_tokens(&t);
    }
    check_at("%s", "");
}

/* Three parts of a text, merged: as one run but for rounding, and the same bits each time. */
static void test_sums_merge(void)
{
    uint32_t i, j;
    int full;
    check_seed(104);
    for (full = 0; full < 2; full++) {
        tokens t = new_tokens(170, 300, 1, 0);
        llmq_hessian one = sums(&t, full, NULL, NULL, 0), part[3], merged[2];
        size_t n = llmq_hessian_size(170, full) / sizeof(float), k;
        double off = 0.0;
        int same = 1;
        for (i = 0; i < 3; i++) {
            tokens piece = t;
            piece.x += 100 * i * t.stride, piece.weight += 100 * i, piece.count = 100;
            part[i] = sums(&piece, full, NULL, NULL, 1);
        }
        for (i = 0; i < 2; i++) {
            merged[i] = new_hessian(170, full, NULL);
            for (j = 0; j < 3; j++) CHECK_EQ(llmq_hessian_merge(&merged[i], &part[j]), LLMQ_OK);
        }
        CHECK(same_hessian(&merged[0], &merged[1]));
        for (k = 0; k < n; k++) same &= bits_of(merged[0].h[k]) == bits_of(part[0].h[k] + part[1].h[k] + part[2].h[k]);
        CHECK(same);
        for (i = 0; i < 170; i++)
            for (j = full ? 0 : i; j <= i; j++) {
                size_t at = full ? packed(i, j) : i, di = full ? packed(i, i) : i, dj = full ? packed(j, j) : j;
                off = fmax(off, check_abs((double)merged[0].h[at] - (double)one.h[at])
                           / sqrt((double)one.h[di] * (double)one.h[dj]));
            }
        CHECK(off < 300.0 / 16777216.0); /* an ulp of the largest sum for each token */
        CHECK(check_abs(merged[0].weight - one.weight) < 1e-9);
        for (i = 0; i < 3; i++) free_hessian(&part[i]);
        free_hessian(&one), free_hessian(&merged[0]), free_hessian(&merged[1]);
        free_tokens(&t);
    }
}

static void test_sums_init_errors(void)
{
    llmq_hessian h, saved;
    llmq_transform bad = llmq_transform_hadamard(1, 0);
    float mem[32];
    memset(&h, 0x55, sizeof h);
    memcpy(&saved, &h, sizeof h);
    CHECK_EQ((long)llmq_hessian_size(6, 1), 84);
    CHECK_EQ((long)llmq_hessian_size(7, 1), 112);
    CHECK_EQ((long)llmq_hessian_size(7, 0), 28);
    CHECK_EQ((long)llmq_hessian_size(0, 1), 0);
    CHECK_EQ((long)llmq_hessian_size(LLMQ_MAX_COLS + 1, 1), 0);
    CHECK_EQ((long)llmq_hessian_size(LLMQ_MAX_COLS + 1, 0), 0);
    if (sizeof(size_t) == 4) CHECK_EQ((long)llmq_hessian_size(LLMQ_MAX_COLS, 1), 0);
    /* 4 n (n + 1) / 2 is over 2^32 from there on */
    if (sizeof(size_t) == 4) CHECK_EQ((long)llmq_hessian_size(46341, 1), 0);
    if (sizeof(size_t) == 4) CHECK(llmq_hessian_size(46340, 1) == 4294883880u);
    CHECK_EQ(llmq_hessian_init(NULL, 7, 1, NULL, mem, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_init(&h, 7, 1, NULL, NULL, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_init(&h, 7, 1, NULL, (char *)mem + 1, sizeof mem - 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_init(&h, 0, 1, NULL, mem, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_init(&h, LLMQ_MAX_COLS + 1, 0, NULL, mem, sizeof mem), LLMQ_E_LIMIT);
    CHECK_EQ(llmq_hessian_init(&h, 7, 1, NULL, mem, 111), LLMQ_E_WORKSPACE);
    bad.count = LLMQ_MAX_STEPS + 1;
    CHECK_EQ(llmq_hessian_init(&h, 7, 1, &bad, mem, sizeof mem), LLMQ_E_LIMIT);
    bad = llmq_transform_hadamard(1, 48);
    CHECK_EQ(llmq_hessian_init(&h, 7, 1, &bad, mem, sizeof mem), LLMQ_E_ARG);
    bad.step[0].kind = 99;
    CHECK_EQ(llmq_hessian_init(&h, 7, 1, &bad, mem, sizeof mem), LLMQ_E_UNSUPPORTED);
    CHECK(memcmp(&h, &saved, sizeof h) == 0);
    CHECK_EQ(llmq_hessian_init(&h, 7, 5, NULL, mem, 112), LLMQ_OK);
    CHECK_EQ(h.full, 1);
}

/* What each call of llmq_hessian_add that fails must leave: everything. */
static void test_sums_errors(void)
{
    static const float wrong[] = { 0.0f, -1.0f, -1e-30f };
    tokens t = new_tokens(70, 9, 1, 0);
    llmq_hessian h = sums(&t, 1, NULL, NULL, 0), kept = sums(&t, 1, NULL, NULL, 0), bad = h;
    size_t size = llmq_hessian_work_size(&h);
    float *work = (float *)take(size), old;
    llmq_error e;
    uint32_t i, k, col;
    for (k = 0; k < 6; k++)
        for (i = 0; i < 9; i++) {
            float value = k < 3 ? float_of(k == 0 ? 0x7fc00000u : k == 1 ? 0x7f800000u : 0xff800000u) : wrong[k - 3];
            float *at = k > 3 || i == 4 ? t.weight + i : t.x + i * t.stride + (col = i * 8 % 70);
            if (k == 3) continue;
            if (at == t.weight + i) col = 70;
            old = *at, *at = value;
            memset(&e, 0x55, sizeof e);
            CHECK_EQ(llmq_hessian_add(&h, i % 2 ? 0 : 69, 70, t.x, t.stride, 9, t.weight, work, size, &e),
                     LLMQ_E_NOT_FINITE);
            CHECK(e.status == LLMQ_E_NOT_FINITE && e.row == i && e.col == col);
            CHECK_EQ(llmq_hessian_add(&h, 0, 70, t.x, t.stride, 9, t.weight, work, size, NULL), LLMQ_E_NOT_FINITE);
            *at = old;
        }
    CHECK_EQ(llmq_hessian_add(NULL, 0, 70, t.x, t.stride, 9, NULL, work, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 0, 70, NULL, t.stride, 9, NULL, work, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 3, 2, t.x, t.stride, 9, NULL, work, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 0, 71, t.x, t.stride, 9, NULL, work, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 0, 70, t.x, 69, 9, NULL, work, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 0, 70, t.x, t.stride, 9, NULL, NULL, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 0, 70, t.x, t.stride, 9, NULL, (char *)work + 2, size - 2, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_add(&h, 0, 70, t.x, t.stride, 9, NULL, work, size - 1, NULL), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_hessian_merge(NULL, &kept), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_merge(&h, NULL), LLMQ_E_ARG);
    bad.cols = 69;
    CHECK_EQ(llmq_hessian_merge(&h, &bad), LLMQ_E_ARG);
    bad.cols = 70, bad.full = 0;
    CHECK_EQ(llmq_hessian_merge(&h, &bad), LLMQ_E_ARG);
    bad = h, bad.transform = llmq_transform_hadamard(1, 0);
    CHECK_EQ(llmq_hessian_merge(&h, &bad), LLMQ_E_MISMATCH);
    CHECK(same_hessian(&h, &kept));
    bad.cols = 0;
    CHECK_EQ((long)llmq_hessian_work_size(NULL), 0);
    CHECK_EQ((long)llmq_hessian_work_size(&bad), 0);
    bad.cols = LLMQ_MAX_COLS + 1;
    CHECK_EQ((long)llmq_hessian_work_size(&bad), 0);
    give(work, size);
    free_hessian(&h), free_hessian(&kept);
    free_tokens(&t);
}

static void test_sums_transform_errors(void)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0), bad = rotate;
    llmq_hessian h = new_hessian(10, 1, NULL), diagonal = new_hessian(10, 0, NULL), wrong = h;
    float work[128];
    CHECK_EQ((long)llmq_hessian_transform_work_size(&h, &rotate), 400);
    CHECK_EQ((long)llmq_hessian_transform_work_size(NULL, &rotate), 0);
    wrong.cols = LLMQ_MAX_COLS + 1;
    CHECK_EQ((long)llmq_hessian_transform_work_size(&wrong, &rotate), 0);
    wrong.cols = LLMQ_MAX_COLS;
    if (sizeof(size_t) == 4) CHECK_EQ((long)llmq_hessian_transform_work_size(&wrong, &rotate), 0);
    CHECK_EQ(llmq_hessian_transform(NULL, &rotate, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_transform(&h, NULL, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_transform(&h, &rotate, NULL, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_transform(&h, &rotate, (char *)work + 1, sizeof work - 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_hessian_transform(&diagonal, &rotate, work, sizeof work), LLMQ_E_ARG);
    bad.count = LLMQ_MAX_STEPS + 1;
    CHECK_EQ(llmq_hessian_transform(&h, &bad, work, sizeof work), LLMQ_E_LIMIT);
    bad = rotate, bad.step[0].kind = 9;
    CHECK_EQ(llmq_hessian_transform(&h, &bad, work, sizeof work), LLMQ_E_UNSUPPORTED);
    CHECK_EQ(llmq_hessian_transform(&h, &rotate, work, 399), LLMQ_E_WORKSPACE);
    CHECK_EQ(h.transform.count, 0);
    CHECK_EQ(llmq_hessian_transform(&h, &rotate, work, 400), LLMQ_OK);
    free_hessian(&h), free_hessian(&diagonal);
}

/* ---- the factor ------------------------------------------------------------------------------ */

static llmq_format format_of(const char *name, uint32_t group)
{
    llmq_format f;
    if (strcmp(name, "odd") == 0) CHECK_EQ(llmq_format_custom(&f, 3, 5, odd_points, 60.0f, group), LLMQ_OK);
    else CHECK_EQ(find_format(&f, name, group), LLMQ_OK);
    return f;
}

static llmq_tensor new_tensor(const char *name, uint32_t group, const llmq_transform *transform, uint32_t rows,
                              uint32_t cols)
{
    llmq_format f = format_of(name, group);
    llmq_tensor t;
    size_t size = llmq_tensor_size(&f, rows, cols);
    CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, take(size), size), LLMQ_OK);
    return t;
}

/* The memory of a tensor, to write to. */
static uint8_t *data_of(const llmq_tensor *t) { uint8_t *p; memcpy(&p, &t->data, sizeof p); return p; }
static size_t bytes_of(const llmq_tensor *t) { return t->rows * t->row_size; }
static void free_tensor(llmq_tensor *t) { give(data_of(t), bytes_of(t)); }

/* A full H of a random matrix of `rank` inputs that are correlated and of different sizes, times scale. */
static llmq_hessian random_hessian(uint32_t cols, uint32_t rank, double scale)
{
    llmq_hessian h = new_hessian(cols, 1, NULL);
    double *x = (double *)malloc((size_t)cols * rank * sizeof(double));
    uint32_t i, j, k;
    if (!x) exit(2);
    for (k = 0; k < rank; k++) {
        double common = check_normal(), last = 0.0;
        for (i = 0; i < cols; i++) {
            last = 0.8 * last + check_normal();
            x[(size_t)i * rank + k] = (last + common) * (0.3 + (i * 7919 % 13) * 0.2);
        }
    }
    for (i = 0; i < cols; i++)
        for (j = 0; j <= i; j++) {
            double sum = 0.0;
            for (k = 0; k < rank; k++) sum += x[(size_t)i * rank + k] * x[(size_t)j * rank + k];
            h.h[packed(i, j)] = (float)(sum * scale);
        }
    free(x);
    return h;
}

/* c times the identity, in either form */
static llmq_hessian identity(uint32_t cols, int full, float c, const llmq_transform *transform)
{
    llmq_hessian h = new_hessian(cols, full, transform);
    uint32_t i;
    for (i = 0; i < cols; i++) h.h[full ? packed(i, i) : i] = c;
    return h;
}

static llmq_feedback_options options_of(float damping, float first_order, int order)
{
    llmq_feedback_options o;
    o.damping = damping, o.first_order = first_order, o.order = order;
    return o;
}

/* Its memory begins with the columns' weights; freed by free_feedback. */
static llmq_feedback new_feedback(const llmq_tensor *t, const llmq_hessian *h, const llmq_feedback_options *options,
                                  void **mem)
{
    llmq_feedback f;
    size_t size = llmq_feedback_size(h);
    *mem = take(size);
    memset(&f, 0, sizeof f);
    if (!CHECK_EQ(llmq_feedback_init(&f, t, h, options, *mem, size, NULL), LLMQ_OK)) exit(check_done("test_feedback"));
    return f;
}

static void free_feedback(void *mem, const llmq_hessian *h) { give(mem, llmq_feedback_size(h)); }

/* The greatest deviation of 2^k M D M^T from H + damping, relative to sqrt(Hii Hjj); k is where the first one fits. */
static double factor_off(const llmq_feedback *f, const llmq_hessian *h)
{
    uint32_t n = h->cols, i, j, k;
    double mean = 0.0, worst = 0.0, unit = 1.0;
    for (i = 0; i < n; i++) mean += (double)h->h[packed(i, i)] / n;
    while (mean * unit >= 2.0) unit *= 0.5;
    while (mean * unit < 1.0) unit *= 2.0;
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++) {
            double sum = 0.0, di, dj, add_i = (double)f->damping * mean, off;
            for (k = i; k < n; k++)
                sum += (double)f->m[packed(k, i)] * (double)f->m[packed(k, j)]
                       * (f->d ? (double)f->d[k] : mean * unit + add_i * unit);
            di = (double)h->h[packed(f->column[i], f->column[i])] + add_i;
            dj = (double)h->h[packed(f->column[j], f->column[j])] + add_i;
            off = check_abs(sum / unit - (i == j ? di : (double)h->h[packed(f->column[i], f->column[j])]))
                  / sqrt(di * dj);
            if (!(off <= worst)) worst = off;
        }
    return worst;
}

static void test_factor(void)
{
    static const uint32_t all_cols[] = { 1, 2, 31, 32, 33, 100 };
    static const int exponents[] = { 0, 100, -100 };
    uint32_t c, i, e, k;
    check_seed(105);
    for (c = 0; c < COUNT(all_cols); c++)
        for (i = 0; i < 2; i++) {
            uint32_t cols = all_cols[c];
            llmq_feedback_options o = options_of(0.01f, 0.0f, i ? LLMQ_ORDER_DIAGONAL : LLMQ_ORDER_NATURAL);
            llmq_tensor t = new_tensor("v2n16", 32, NULL, 1, cols);
            llmq_hessian h = random_hessian(cols, cols + 5, 1.0), large;
            llmq_feedback f, other;
            void *mem, *again;
            check_at("%u columns, order %u", cols, i);
            f = new_feedback(&t, &h, i ? &o : NULL, &mem);
            CHECK(bits_of(f.damping) == bits_of(0.01f));
            CHECK(factor_off(&f, &h) < 1.0 / 2048);
            for (k = 0, e = 0; k < packed(cols, 0); k++) e |= bits_of(f.m[k]) & 0xfffu;
            CHECK_EQ(e, 0); /* 12 bits, or fused sums would differ */
            for (e = 0; e < 3; e++) { /* neither the size of H nor the kernels matter */
                large = random_hessian(cols, 1, 1.0);
                for (k = 0; k < packed(cols, 0); k++) large.h[k] = h.h[k] * power(exponents[e]);
                for (k = 0; (t.kernels = runnable(&k)) != NULL; k++) {
                    other = new_feedback(&t, &large, &o, &again);
                    CHECK(memcmp(again, mem, llmq_feedback_size(&h)) == 0);
                    CHECK((other.d == NULL) == (f.d == NULL) && other.cols == cols && other.group == 32
                          && other.p == 2);
                    free_feedback(again, &h);
                }
                free_hessian(&large);
            }
            free_feedback(mem, &h);
            free_hessian(&h);
            free_tensor(&t);
        }
    check_at("%s", "");
}

/* Sums that are not positive definite as they are. */
static void test_damping(void)
{
    static const float values[] = { 3e38f, 1e-38f, 0.0f };
    llmq_feedback_options none = options_of(0.0f, 0.0f, LLMQ_ORDER_NATURAL);
    llmq_tensor t = new_tensor("v2n16", 32, NULL, 1, 60);
    llmq_hessian h = random_hessian(60, 60 / 3, 1.0), diagonal = identity(60, 0, 1.0f, NULL);
    llmq_feedback f;
    void *mem;
    uint32_t i;
    check_seed(106);
    f = new_feedback(&t, &h, &none, &mem); /* a third of the rank */
    CHECK(f.damping >= 1e-6f && f.damping <= 1e-3f && factor_off(&f, &h) < 1.0 / 2048);
    free_feedback(mem, &h), free_hessian(&h);
    h = random_hessian(60, 90, 1.0);
    f = new_feedback(&t, &h, &none, &mem); /* none needed */
    CHECK(f.damping <= 0.0f && factor_off(&f, &h) < 1.0 / 2048);
    free_feedback(mem, &h), free_hessian(&h);
    for (i = 0; i < 3; i++) {
        h = identity(60, 1, values[i], NULL);
        f = new_feedback(&t, &h, NULL, &mem);
        CHECK(f.d == NULL && f.m[packed(9, 9)] >= 1.0f && f.m[packed(9, 8)] <= 0.0f && f.damping >= 0.01f
              && f.damping <= 0.01f);
        free_feedback(mem, &h);
        f = new_feedback(&t, &h, &none, &mem);
        CHECK(f.d == NULL && (i == 2 ? f.damping > 0.0f : f.damping <= 0.0f));
        free_feedback(mem, &h), free_hessian(&h);
    }
    for (i = 0; i < 2; i++) { /* a pivot of 2^-22 is noise, one of 2^-18 is not */
        h = identity(60, 1, 1.0f, NULL);
        h.h[packed(40, 20)] = 1.0f - power(i ? -19 : -23);
        f = new_feedback(&t, &h, &none, &mem);
        CHECK((f.damping > 0.0f) == (i == 0));
        free_feedback(mem, &h), free_hessian(&h);
    }
    diagonal.h[7] = 0.0f; /* an input that is never there needs damping in this form, too */
    f = new_feedback(&t, &diagonal, &none, &mem);
    CHECK(f.m == NULL && f.d && f.d[7] > 0.0f && bits_of(f.damping) == bits_of(1e-6f));
    free_feedback(mem, &diagonal), free_hessian(&diagonal);
    free_tensor(&t);
}

static double mean_of(const llmq_hessian *h, const uint32_t *column, uint32_t n)
{
    double sum = 0.0;
    uint32_t i;
    for (i = 0; i < n; i++) sum += (double)h->h[packed(column[i], column[i])];
    return sum / n;
}

/* Groups by decreasing mean, vectors within them likewise; what is incomplete is last. */
static void test_order(void)
{
    static const struct { const char *format; uint32_t cols, group; } all[] = {
        { "v3n64", 100, 32 }, { "v2n16", 128, 32 }, { "g3", 100, 0 }, { "v4n256", 71, 64 }, { "odd", 100, 32 },
        { "g2", 5, 32 }, { "f32", 40, 0 }
    };
    uint32_t c, i, s, v, n, m;
    check_seed(107);
    for (c = 0; c < COUNT(all); c++) {
        llmq_feedback_options o = options_of(0.01f, 0.0f, LLMQ_ORDER_DIAGONAL);
        uint32_t cols = all[c].cols, group = all[c].group ? all[c].group : cols, seen[128] = { 0 }, good = 1;
        llmq_tensor t = new_tensor(all[c].format, all[c].group, NULL, 1, cols);
        uint32_t p = t.format.points ? t.format.p : 1;
        llmq_hessian h = random_hessian(cols, cols, 1.0);
        void *mem;
        llmq_feedback f = new_feedback(&t, &h, &o, &mem);
        check_at("%s, %u columns", all[c].format, cols);
        for (s = 0; s < cols; s += n) {
            uint32_t first = f.column[s] / group * group;
            n = least(group, cols - first);
            if (s > 0 && n == group)
                good &= mean_of(&h, f.column + s - group, group) >= mean_of(&h, f.column + s, group) * (1 - 1e-6);
            for (v = s; v < s + n; v += m) {
                m = least(p, s + n - v);
                for (i = v; i < v + m; i++) {
                    good &= f.column[i] == f.column[v] + (i - v) && f.column[i] >= first && f.column[i] < first + n;
                    seen[f.column[i] % 128]++;
                }
                good &= (f.column[v] - first) % p == 0;
                if (v > s && m == p)
                    good &= mean_of(&h, f.column + v - p, p) >= mean_of(&h, f.column + v, p) * (1 - 1e-6);
            }
        }
        for (i = 0; i < cols; i++) good &= seen[i] == 1;
        CHECK(good);
        free_feedback(mem, &h);
        free_hessian(&h), free_tensor(&t);
    }
    check_at("%s", "");
}

static void test_indefinite(void)
{
    llmq_feedback_options o = options_of(0.01f, 0.0f, LLMQ_ORDER_DIAGONAL);
    llmq_tensor t = new_tensor("g3", 32, NULL, 1, 70);
    llmq_hessian h = identity(70, 1, 1.0f, NULL), diagonal = identity(70, 0, 1.0f, NULL);
    llmq_feedback f, saved;
    llmq_error e;
    size_t size = llmq_feedback_size(&h);
    void *mem = take(size);
    memset(&f, 0x55, sizeof f);
    memcpy(&saved, &f, sizeof f);
    memset(&e, 0, sizeof e);
    h.h[packed(40, 20)] = 50.0f; /* the later one is taken off the earlier */
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, mem, size, &e), LLMQ_E_INDEFINITE);
    CHECK(e.status == LLMQ_E_INDEFINITE && e.col == 20);
    h.h[packed(40, 40)] = 1.5f; /* its group goes first now */
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, &o, mem, size, &e), LLMQ_E_INDEFINITE);
    CHECK(e.status == LLMQ_E_INDEFINITE && e.col == 40);
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, &o, mem, size, NULL), LLMQ_E_INDEFINITE);
    h.h[packed(40, 20)] = float_of(0x7fc00000u);
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, &o, mem, size, &e), LLMQ_E_NOT_FINITE);
    CHECK(e.status == LLMQ_E_NOT_FINITE && e.row == 40 && e.col == 20);
    diagonal.h[33] = -20.0f;
    CHECK_EQ(llmq_feedback_init(&f, &t, &diagonal, NULL, mem, size, &e), LLMQ_E_INDEFINITE);
    CHECK(e.status == LLMQ_E_INDEFINITE && e.col == 33);
    diagonal.h[33] = float_of(0x7f800000u);
    CHECK_EQ(llmq_feedback_init(&f, &t, &diagonal, NULL, mem, size, &e), LLMQ_E_NOT_FINITE);
    CHECK(e.status == LLMQ_E_NOT_FINITE && e.row == 33 && e.col == 33);
    CHECK(memcmp(&f, &saved, sizeof f) == 0);
    give(mem, size);
    free_hessian(&h), free_hessian(&diagonal), free_tensor(&t);
}

/* By default a sum over few tokens is damped more: 0.01 + 2 cols / tokens, at most 1; weighted
   tokens count as (sum w)^2 / sum w^2. */
static void test_usual_damping(void)
{
    static const struct { double weight, squares; float damping; } trial[] = {
        { 0, 0, 0.01f }, { 1400, 1400, 0.11f }, { 14000, 14000, 0.02f }, { 700, 350, 0.11f }, { 100, 100, 1.0f },
        { 1e30, 1e56, 0.024f }
    };
    llmq_tensor t = new_tensor("g3", 32, NULL, 1, 70);
    llmq_feedback_options given = options_of(-1.0f, 0.0f, LLMQ_ORDER_NATURAL);
    size_t i;
    for (i = 0; i < sizeof trial / sizeof *trial; i++) {
        llmq_hessian h = identity(70, 1, 1.0f, NULL), diagonal = identity(70, 0, 1.0f, NULL);
        llmq_feedback f;
        size_t size = llmq_feedback_size(&h);
        char *mem = (char *)take(size);
        h.weight = diagonal.weight = trial[i].weight;
        h.squares = diagonal.squares = trial[i].squares;
        CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, mem, size, NULL), LLMQ_OK);
        CHECK(fabs((double)f.damping - (double)trial[i].damping) < 1e-6);
        CHECK_EQ(llmq_feedback_init(&f, &t, &h, &given, mem, size, NULL), LLMQ_OK);
        CHECK(fabs((double)f.damping - (double)trial[i].damping) < 1e-6);
        CHECK_EQ(llmq_feedback_init(&f, &t, &diagonal, NULL, mem, size, NULL), LLMQ_OK);
        CHECK(f.damping > 0.0099f && f.damping < 0.0101f);
        give(mem, size);
        free_hessian(&h), free_hessian(&diagonal);
    }
    free_tensor(&t);
}

static void test_init_errors(void)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);
    llmq_tensor t = new_tensor("g3", 32, NULL, 1, 70), turned = new_tensor("g3", 32, &rotate, 1, 70);
    llmq_hessian h = identity(70, 1, 1.0f, NULL), other = identity(69, 1, 1.0f, NULL), wrong = h;
    llmq_feedback_options bad[8];
    llmq_feedback f, saved;
    size_t size = llmq_feedback_size(&h), i;
    char *mem = (char *)take(size);
    CHECK_EQ((long)size, 70 * 71 / 2 * 4 + 70 * 8);
    memset(&f, 0x55, sizeof f);
    memcpy(&saved, &f, sizeof f);
    for (i = 0; i < 8; i++) bad[i] = options_of(0.01f, 0.0f, LLMQ_ORDER_NATURAL);
    bad[0].damping = float_of(0x7f800000u), bad[1].damping = 10.1f, bad[2].damping = float_of(0x7fc00000u),
    bad[3].first_order = -0.1f;
    bad[4].first_order = 1.1f, bad[5].first_order = float_of(0x7fc00000u), bad[6].order = 2, bad[7].order = -1;
    for (i = 0; i < 8; i++) CHECK_EQ(llmq_feedback_init(&f, &t, &h, &bad[i], mem, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(NULL, &t, &h, NULL, mem, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(&f, NULL, &h, NULL, mem, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(&f, &t, NULL, NULL, mem, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, NULL, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, mem + 1, size - 1, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(&f, &t, &other, NULL, mem, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_feedback_init(&f, &turned, &h, NULL, mem, size, NULL), LLMQ_E_MISMATCH);
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, mem, size - 1, NULL), LLMQ_E_WORKSPACE);
    CHECK(memcmp(&f, &saved, sizeof f) == 0);
    CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, mem, size, NULL), LLMQ_OK);
    CHECK_EQ((long)llmq_feedback_size(NULL), 0);
    wrong.cols = 0;
    CHECK_EQ((long)llmq_feedback_size(&wrong), 0);
    wrong.cols = LLMQ_MAX_COLS + 1;
    CHECK_EQ((long)llmq_feedback_size(&wrong), 0);
    wrong.cols = LLMQ_MAX_COLS;
    if (sizeof(size_t) == 4) CHECK_EQ((long)llmq_feedback_size(&wrong), 0);
    give(mem, size);
    free_hessian(&h), free_hessian(&other), free_tensor(&t), free_tensor(&turned);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Encode rows [r0, r1) with a workspace of the size asked for that holds NaN; f NULL: llmq_encode. */
static void encode_rows(const llmq_tensor *t, uint32_t r0, uint32_t r1, const float *w, const llmq_feedback *f,
                        int effort)
{
    llmq_encode_options o;
    size_t size = f ? llmq_feedback_work_size(t) : llmq_encode_work_size(t);
    void *work = take(size);
    memset(&o, 0, sizeof o);
    o.effort = effort;
    if (f)
        CHECK_EQ(llmq_feedback_encode(t, data_of(t), r0, r1, w + (size_t)r0 * t->cols, t->cols, f, &o, work, size, NULL,
                                      NULL), LLMQ_OK);
    else CHECK_EQ(llmq_encode(t, data_of(t), r0, r1, w + (size_t)r0 * t->cols, t->cols, &o, work, size, NULL), LLMQ_OK);
    give(work, size);
}

/* Encode all rows; cut: in random ranges, the last one first. */
static void encode(const llmq_tensor *t, const float *w, const llmq_feedback *f, int effort, int cut)
{
    uint32_t r0, r1;
    memset(data_of(t), 0xee, bytes_of(t));
    for (r1 = t->rows; r1 > 0; r1 = r0) {
        r0 = cut ? check_below(r1) : 0;
        encode_rows(t, r0, r1, w, f, effort);
    }
}

static float *new_weights(uint32_t rows, uint32_t cols)
{
    float *w = (float *)take((size_t)rows * cols * sizeof(float));
    normal_numbers(w, (size_t)rows * cols, 0.02, 0.0);
    return w;
}

/* tr(E H E^T) for the stored rows; H without a transform */
static double loss(const llmq_tensor *t, const float *w, const llmq_hessian *h)
{
    float *row = (float *)take(t->cols * sizeof(float));
    double sum = 0.0;
    uint32_t r, i, j;
    for (r = 0; r < t->rows; r++) {
        llmq_kernels_at(0)->read_row(t, r, row);
        for (i = 0; i < t->cols; i++) row[i] = w[(size_t)r * t->cols + i] - row[i];
        for (i = 0; i < t->cols; i++)
            for (j = h->full ? 0 : i; j <= i; j++)
                sum += (double)h->h[h->full ? packed(i, j) : i] * (double)row[i] * (double)row[j] * (j < i ? 2.0 : 1.0);
    }
    give(row, t->cols * sizeof(float));
    return sum;
}

/* The rows of feedback.py: stored numbers must be its points times its scales, exactly. */
static void test_oracle(void)
{
    static float row[128];
    size_t w_at = 0, scale_at = 0, code_at = 0;
    uint32_t c, r, i, k;
    for (c = 0; c < COUNT(feedback_cases); c++) {
        uint32_t cols = feedback_cases[c].cols, group = feedback_cases[c].group ? feedback_cases[c].group : cols;
        llmq_feedback_options o = options_of(feedback_cases[c].damping, feedback_cases[c].first_order,
                                             feedback_cases[c].order);
        llmq_tensor t = new_tensor(feedback_cases[c].format, feedback_cases[c].group, NULL, FEEDBACK_ROWS, cols);
        llmq_hessian h = new_hessian(cols, 1, NULL);
        float *w = (float *)take(FEEDBACK_ROWS * cols * sizeof(float));
        llmq_feedback f;
        void *mem;
        for (k = 0; k < packed(cols, 0); k++) h.h[k] = (float)feedback_hessian[k];
        for (k = 0; k < FEEDBACK_ROWS * cols; k++) w[k] = (float)feedback_weights[w_at++];
        f = new_feedback(&t, &h, &o, &mem);
        encode(&t, w, &f, feedback_cases[c].effort, 0);
        for (r = 0; r < FEEDBACK_ROWS; r++) {
            const uint8_t *record = t.data + r * t.row_size;
            check_at("case %u, %s, row %u", c, feedback_cases[c].format, r);
            llmq_kernels_at(0)->read_row(&t, r, row);
            for (i = 0; i < cols; i++) {
                uint32_t g = i / group, p = t.format.p, code = feedback_codes[code_at + i % group / p];
                float scale = float_of((uint32_t)feedback_scales[scale_at + g] << 16);
                if (i % group == 0) CHECK_EQ(record[2 * g] | record[2 * g + 1] << 8, feedback_scales[scale_at + g]);
                if (!CHECK_EQ((long)bits_of(row[i]),
                              (long)bits_of((float)t.format.points[code * p + i % group % p] * scale)))
                    break;
                if (i % group == group - 1 || i == cols - 1) code_at += i % group / p + 1;
            }
            scale_at += (cols + group - 1) / group;
        }
        give(w, FEEDBACK_ROWS * cols * sizeof(float));
        free_feedback(mem, &h);
        free_hessian(&h), free_tensor(&t);
    }
    check_at("%s", "");
    CHECK(w_at == COUNT(feedback_weights) && scale_at == COUNT(feedback_scales) && code_at == COUNT(feedback_codes));
}

/* H = c I: the bits of llmq_encode. */
static void test_identity(void)
{
    static const uint32_t all_cols[] = { 1, 3, 32, 100, 200 }, all_groups[] = { 32, 0, 128 };
    llmq_transform rotate = llmq_transform_hadamard(5, 64);
    uint32_t g, c, k, turn = 0;
    check_seed(108);
    for (g = 0; g < COUNT(grids) + 1; g++)
        for (c = 0; c < COUNT(all_cols); c++)
            for (k = 0; k < COUNT(all_groups); k++, turn++) {
                const char *name = g < COUNT(grids) ? grids[g] : "odd";
                const llmq_transform *transform = turn % 3 ? NULL : &rotate;
                uint32_t rows = 1 + turn % 19, cols = all_cols[c];
                llmq_feedback_options o = options_of(0.01f, turn % 4 == 1 ? 0.5f : 0.0f, (int)(turn % 2));
                llmq_tensor t = new_tensor(name, all_groups[k], transform, rows, cols),
                    plain = new_tensor(name, all_groups[k], transform, rows, cols);
                llmq_hessian h = identity(cols, turn % 5 != 0, turn % 7 ? 7.25f : 1e-9f, transform);
                float *w = new_weights(rows, cols);
                llmq_feedback f;
                void *mem;
                check_at("%s, %u columns, group %u", name, cols, all_groups[k]);
                f = new_feedback(&t, &h, &o, &mem);
                if (turn % 4 == 1) memset(w, 0, cols * sizeof(float)); /* a row of zeros */
                encode(&t, w, &f, (int)(turn % 3), 0);
                encode(&plain, w, NULL, (int)(turn % 3), 0);
                CHECK(memcmp(t.data, plain.data, bytes_of(&t)) == 0);
                give(w, (size_t)rows * cols * sizeof(float));
                free_feedback(mem, &h);
                free_hessian(&h), free_tensor(&t), free_tensor(&plain);
            }
    check_at("%s", "");
}

/* One encoding, by all tables of kernels and cuts of the rows; and it is better than llmq_encode. */
static void check_same_bits(const char *name, uint32_t cols, int order, float first_order)
{
    llmq_feedback_options o = options_of(0.01f, first_order, order);
    llmq_tensor t = new_tensor(name, 64, NULL, 37, cols), other = new_tensor(name, 64, NULL, 37, cols);
    llmq_hessian h = random_hessian(cols, cols, 1.0);
    float *w = new_weights(37, cols);
    llmq_feedback f;
    uint32_t k;
    void *mem;
    check_at("%s, %u columns, order %d, first order %g", name, cols, order, (double)first_order);
    t.kernels = NULL;
    f = new_feedback(&t, &h, &o, &mem);
    encode(&t, w, &f, LLMQ_EFFORT_DEFAULT, 0);
    for (k = 0; (other.kernels = runnable(&k)) != NULL; k++) {
        void *again;
        llmq_feedback g = new_feedback(&other, &h, &o, &again);
        encode(&other, w, &g, LLMQ_EFFORT_DEFAULT, 1);
        CHECK(memcmp(t.data, other.data, bytes_of(&t)) == 0);
        free_feedback(again, &h);
    }
    encode(&other, w, NULL, LLMQ_EFFORT_DEFAULT, 0);
    CHECK(loss(&t, w, &h) < loss(&other, w, &h) * 0.7);
    if (first_order > 0.0f) {
        f.first_order = 0.0f;
        encode(&other, w, &f, LLMQ_EFFORT_DEFAULT, 0);
        CHECK(memcmp(t.data, other.data, bytes_of(&t)) != 0);
    }
    give(w, (size_t)37 * cols * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t), free_tensor(&other);
}

static void test_same_bits(void)
{
    uint32_t g;
    check_seed(109);
    for (g = 0; g < COUNT(grids) + 1; g++) {
        const char *name = g < COUNT(grids) ? grids[g] : "odd";
        check_same_bits(name, 100, LLMQ_ORDER_NATURAL, g % 3 ? 0.0f : 0.01f);
        check_same_bits(name, g % 2 ? 130 : 191, LLMQ_ORDER_DIAGONAL, 0.0f);
    }
    check_at("%s", "");
}

/* A trellis whose taps no built-in one has: the kernels that know only those leave its rows to
   the scalar ones, also where rows are judged. Results are the same bits with every table. */
static void test_other_taps(void)
{
    llmq_tensor t = new_tensor("t3", 64, NULL, 128, 256);
    llmq_hessian h = random_hessian(256, 256, 1.0);
    float *w = new_weights(128, 256);
    llmq_feedback_result first, result;
    uint32_t k;
    check_seed(110);
    memset(&first, 0, sizeof first), memset(&result, 0, sizeof result);
    t.format.taps[0] ^= 4;
    for (k = 0; (t.kernels = runnable(&k)) != NULL; k++) {
        size_t size = llmq_feedback_work_size(&t);
        void *mem, *work = take(size);
        llmq_feedback f = new_feedback(&t, &h, NULL, &mem);
        CHECK_EQ(llmq_feedback_encode(&t, data_of(&t), 0, 128, w, 256, &f, NULL, work, size, &result, NULL), LLMQ_OK);
        if (k == 0) first = result;
        CHECK(memcmp(&first, &result, sizeof first) == 0);
        give(work, size);
        free_feedback(mem, &h);
    }
    give(w, (size_t)128 * 256 * sizeof(float));
    free_hessian(&h), free_tensor(&t);
}

/* A diagonal H: the error that it weighs is smaller than llmq_encode's, also where weights lie
   far apart and are not damped; and a full H that is a diagonal gives the bits of the diagonal. */
static void test_weighted(void)
{
    uint32_t g, i, far;
    check_seed(110);
    for (g = 0; g < COUNT(grids); g++)
        for (far = 0; far < 2; far++) {
            llmq_feedback_options o = options_of(0.0f, 0.0f, LLMQ_ORDER_NATURAL);
            llmq_tensor t = new_tensor(grids[g], 32, NULL, 20, 100), plain = new_tensor(grids[g], 32, NULL, 20, 100);
            llmq_hessian h = new_hessian(100, 0, NULL), full = new_hessian(100, 1, NULL);
            float *w = new_weights(20, 100);
            llmq_feedback f;
            double before;
            void *mem;
            check_at("%s, far %u", grids[g], far);
            for (i = 0; i < 100; i++) full.h[packed(i, i)] = h.h[i] = check_below(3) ? 1.0f : far ? power(-55) : 100.0f;
            f = new_feedback(&t, &h, &o, &mem);
            CHECK(f.m == NULL);
            encode(&t, w, &f, LLMQ_EFFORT_BEST, 0);
            encode(&plain, w, NULL, LLMQ_EFFORT_BEST, 0);
            before = loss(&plain, w, &h);
            CHECK(loss(&t, w, &h) < before * (far ? 1.0 : 0.97));
            free_feedback(mem, &h);
            f = new_feedback(&plain, &full, &o, &mem);
            encode(&plain, w, &f, LLMQ_EFFORT_BEST, 0);
            CHECK(memcmp(t.data, plain.data, bytes_of(&t)) == 0);
            free_feedback(mem, &full);
            give(w, (size_t)20 * 100 * sizeof(float));
            free_hessian(&h), free_hessian(&full), free_tensor(&t), free_tensor(&plain);
        }
    check_at("%s", "");
}

/* Rows times powers of two keep their codes, and their scales move with them, up to the ends of
   the range; H times a power of two changes nothing. */
static void test_scaling(void)
{
    static const int exponents[] = { 0, 100, -100, 126, -110 };
    uint32_t g, e, r, i;
    check_seed(111);
    for (g = 0; g < COUNT(grids); g += 3) {
        llmq_tensor t = new_tensor(grids[g], 32, NULL, 5, 70), first = new_tensor(grids[g], 32, NULL, 5, 70);
        llmq_hessian h = random_hessian(70, 70, 1.0);
        float *w = new_weights(5, 70), *scaled = new_weights(5, 70);
        void *mem;
        llmq_feedback f;
        for (e = 0; e < 5; e++) {
            if (e < 3) {
                llmq_hessian large = random_hessian(70, 1, 1.0);
                for (i = 0; i < packed(70, 0); i++) large.h[i] = h.h[i] * power(exponents[e]);
                f = new_feedback(&t, &large, NULL, &mem);
                encode(&t, w, &f, 0, 0);
                if (e == 0) memcpy(data_of(&first), t.data, bytes_of(&t));
                CHECK(memcmp(first.data, t.data, bytes_of(&t)) == 0);
                free_feedback(mem, &large);
                free_hessian(&large);
            }
            f = new_feedback(&t, &h, NULL, &mem);
            for (r = 0; r < 5; r++) /* each row differently */
                for (i = 0; i < 70; i++) scaled[r * 70 + i] = w[r * 70 + i] * power(exponents[(r + e) % 5]);
            encode(&t, scaled, &f, 0, 0);
            for (r = 0; r < 5; r++) {
                const uint8_t *a = t.data + r * t.row_size, *b = first.data + r * t.row_size;
                check_at("%s, row %u, exponent %d", grids[g], r, exponents[(r + e) % 5]);
                for (i = 0; i < 3; i++) {
                    float sa = llmq_bf16_to_f32((uint16_t)(a[2 * i] | a[2 * i + 1] << 8)),
                        sb = llmq_bf16_to_f32((uint16_t)(b[2 * i] | b[2 * i + 1] << 8));
                    CHECK_EQ((long)bits_of(sa), (long)bits_of(sb * power(exponents[(r + e) % 5])));
                }
                CHECK(memcmp(a + 6, b + 6, t.row_size - 6) == 0);
            }
            free_feedback(mem, &h);
        }
        give(w, 350 * sizeof(float)), give(scaled, 350 * sizeof(float));
        free_hessian(&h), free_tensor(&t), free_tensor(&first);
    }
    check_at("%s", "");
}

/* Rows of zeros, of numbers that no scale can hold, and of which only some groups are zero:
   neighbours do not notice. */
static void test_odd_rows(void)
{
    llmq_tensor t = new_tensor("v2n64", 32, NULL, 6, 100), other = new_tensor("v2n64", 32, NULL, 6, 100);
    llmq_hessian h = random_hessian(100, 100, 1.0);
    float *w = new_weights(6, 100), row[100];
    uint32_t i;
    int zero = 1;
    void *mem;
    llmq_feedback f = new_feedback(&t, &h, NULL, &mem);
    check_seed(112);
    for (i = 0; i < 100; i++) {
        w[i] = i % 2 ? -0.0f : 0.0f, w[100 + i] = check_below(2) ? 3e37f : -3e37f,
        w[200 + i] = power(-149) * (float)(i % 3);
        w[300 + i] = i / 32 == 0 ? 0.0f : w[300 + i], w[400 + i] *= 1e30f;
    }
    encode(&t, w, &f, 0, 0);
    encode(&other, w, &f, 0, 1);
    CHECK(memcmp(t.data, other.data, bytes_of(&t)) == 0);
    for (i = 0; i < t.row_size; i++) zero &= t.data[i] == 0;
    CHECK(zero);
    llmq_kernels_at(0)->read_row(&t, 1, row);
    for (i = 0, zero = 1; i < 100; i++) zero &= check_abs((double)row[i]) < 1e38;
    CHECK(zero);
    CHECK(t.data[3 * t.row_size] == 0 && t.data[3 * t.row_size + 1] == 0 && t.data[3 * t.row_size + 2] != 0);
    give(w, 600 * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t), free_tensor(&other);
}

static void test_raw(void)
{
    llmq_transform rotate = llmq_transform_hadamard(5, 64);
    uint32_t k, i;
    check_seed(113);
    for (k = 0; k < COUNT(raws); k++) {
        llmq_tensor t = new_tensor(raws[k], 32, &rotate, 5, 44), plain = new_tensor(raws[k], 32, &rotate, 5, 44);
        llmq_hessian h = random_hessian(44, 60, 1.0);
        float *w = new_weights(5, 44);
        void *work = take(llmq_feedback_work_size(&t)), *mem;
        llmq_feedback f;
        int untouched = 1;
        h.transform = rotate;
        f = new_feedback(&t, &h, NULL, &mem);
        encode(&t, w, &f, 0, 1);
        encode(&plain, w, NULL, 0, 0);
        CHECK(memcmp(t.data, plain.data, bytes_of(&t)) == 0);
        memset(data_of(&t), 0xee, bytes_of(&t));
        w[3 * 44 + 2] = float_of(0x7fc00000u);
        CHECK_EQ(llmq_feedback_encode(&t, data_of(&t), 0, 5, w, 44, &f, NULL, work, llmq_feedback_work_size(&t), NULL,
                                      NULL), LLMQ_E_NOT_FINITE);
        for (i = 0; i < bytes_of(&t); i++) untouched &= t.data[i] == 0xee;
        CHECK(untouched);
        give(work, llmq_feedback_work_size(&t)), give(w, 220 * sizeof(float));
        free_feedback(mem, &h);
        free_hessian(&h), free_tensor(&t), free_tensor(&plain);
    }
}

typedef struct calls { uint32_t count, stop_at, done[8], total; } calls;

static int count_calls(void *context, uint32_t done, uint32_t total)
{
    calls *c = (calls *)context;
    c->done[c->count++ % 8] = done;
    c->total = total;
    return c->count == c->stop_at;
}

static void test_progress(void)
{
    llmq_tensor t = new_tensor("g3", 32, NULL, 45, 64);
    llmq_hessian h = identity(64, 1, 1.0f, NULL);
    float *w = new_weights(45, 64);
    size_t size = llmq_feedback_work_size(&t), i;
    void *work = take(size), *mem;
    llmq_feedback f = new_feedback(&t, &h, NULL, &mem);
    llmq_encode_options o;
    calls c;
    int untouched = 1;
    memset(&o, 0, sizeof o);
    memset(&c, 0, sizeof c);
    o.progress = count_calls, o.context = &c;
    CHECK_EQ(llmq_feedback_encode(&t, data_of(&t), 5, 45, w + 5 * 64, 64, &f, &o, work, size, NULL, NULL), LLMQ_OK);
    CHECK(c.count == 3 && c.done[0] == 16 && c.done[1] == 32 && c.done[2] == 40 && c.total == 40);
    memset(data_of(&t), 0xee, bytes_of(&t));
    c.count = 0, c.stop_at = 2;
    CHECK_EQ(llmq_feedback_encode(&t, data_of(&t), 5, 45, w + 5 * 64, 64, &f, &o, work, size, NULL, NULL),
             LLMQ_E_STOPPED);
    CHECK_EQ(c.count, 2);
    for (i = 0; i < bytes_of(&t); i++)
        if (i / t.row_size < 5 || i / t.row_size >= 37) untouched &= t.data[i] == 0xee;
    CHECK(untouched && t.data[36 * t.row_size] != 0xee);
    c.count = 0, c.stop_at = 1;
    /* no rows, no calls */
    CHECK_EQ(llmq_feedback_encode(&t, data_of(&t), 7, 7, w + 7 * 64, 64, &f, &o, work, size, NULL, NULL), LLMQ_OK);
    CHECK_EQ(c.count, 0);
    give(work, size), give(w, 45 * 64 * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t);
}

static void test_encode_errors(void)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);
    llmq_tensor t = new_tensor("v2n16", 32, NULL, 4, 70), wrong = t;
    llmq_hessian h = random_hessian(70, 70, 1.0);
    float *w = new_weights(4, 70);
    size_t size = llmq_feedback_work_size(&t), i;
    char *work = (char *)take(size);
    uint8_t *data = data_of(&t);
    void *mem;
    llmq_feedback f = new_feedback(&t, &h, NULL, &mem);
    llmq_encode_options o;
    llmq_error e;
    int untouched = 1;
    memset(&o, 0, sizeof o);
    memset(data, 0xee, bytes_of(&t));
#define ENCODE(t, data, r0, r1, w, stride, f, o, work, size) \
    llmq_feedback_encode(t, data, r0, r1, w, stride, f, o, work, size, NULL, NULL)
    CHECK_EQ(ENCODE(NULL, data, 0, 4, w, 70, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, NULL, 0, 4, w, 70, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data + 1, 0, 4, w, 70, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 4, NULL, 70, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 4, w, 70, NULL, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 3, 2, w, 70, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 5, w, 70, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 4, w, 69, &f, NULL, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 4, w, 70, &f, NULL, NULL, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 4, w, 70, &f, NULL, work + 2, size - 2), LLMQ_E_ARG);
    for (o.effort = -1; o.effort <= 3; o.effort += 4)
        CHECK_EQ(ENCODE(&t, data, 0, 4, w, 70, &f, &o, work, size), LLMQ_E_ARG);
    CHECK_EQ(ENCODE(&t, data, 0, 4, w, 70, &f, NULL, work, size - 1), LLMQ_E_WORKSPACE);
    for (i = 0; i < 4; i++) {
        llmq_feedback other = f;
        if (i == 0) other.cols = 69;
        if (i == 1) other.group = 0;
        if (i == 2) other.p = 1;
        if (i == 3) other.transform = rotate;
        CHECK_EQ(ENCODE(&t, data, 0, 4, w, 70, &other, NULL, work, size), LLMQ_E_MISMATCH);
    }
    for (i = 0; i < 3; i++) {
        float old = w[2 * 70 + 33];
        w[2 * 70 + 33] = float_of(i == 0 ? 0x7fc00000u : i == 1 ? 0x7f800000u : 0xff800000u);
        memset(&e, 0, sizeof e);
        CHECK_EQ(llmq_feedback_encode(&t, data, 0, 4, w, 70, &f, NULL, work, size, NULL, &e), LLMQ_E_NOT_FINITE);
        CHECK(e.status == LLMQ_E_NOT_FINITE && e.row == 2 && e.col == 33);
        w[2 * 70 + 33] = old;
    }
    CHECK_EQ(ENCODE(&t, data, 2, 2, w, 70, &f, NULL, work, size), LLMQ_OK);
    for (i = 0; i < bytes_of(&t); i++) untouched &= data[i] == 0xee;
    CHECK(untouched);
    CHECK_EQ((long)llmq_feedback_work_size(NULL), 0);
    wrong.cols = 0;
    CHECK_EQ((long)llmq_feedback_work_size(&wrong), 0);
    wrong.cols = LLMQ_MAX_COLS + 1;
    CHECK_EQ((long)llmq_feedback_work_size(&wrong), 0);
    give(work, size), give(w, 280 * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t);
}

/* Scales of the first group underflow, and its numbers become 0: the others make up for these errors, too. */
static void test_underflow(void)
{
    llmq_tensor t = new_tensor("g4", 32, NULL, 20, 64);
    llmq_hessian h = random_hessian(64, 66, 1.0);
    float *w = new_weights(20, 64);
    double before;
    uint32_t i;
    int good = 1;
    void *mem;
    llmq_feedback f = new_feedback(&t, &h, NULL, &mem);
    check_seed(116);
    for (i = 0; i < 20 * 64; i++) w[i] = (float)check_normal() * power(i % 64 < 32 ? -123 : -119);
    encode(&t, w, NULL, 0, 0);
    before = loss(&t, w, &h);
    encode(&t, w, &f, 0, 0);
    for (i = 0; i < 20; i++)
        good &= t.data[i * t.row_size + 1] == 0 && (t.data[i * t.row_size + 2] | t.data[i * t.row_size + 3]) != 0;
    CHECK(good);
    check_at("%g of the loss", loss(&t, w, &h) / before);
    CHECK(loss(&t, w, &h) < before * 0.4);
    check_at("%s", "");
    give(w, 1280 * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t);
}

/* A stride, and a range that does not begin at row 0. */
static void test_stride(void)
{
    llmq_tensor t = new_tensor("g4", 32, NULL, 20, 50), other = new_tensor("g4", 32, NULL, 20, 50);
    llmq_hessian h = random_hessian(50, 60, 1.0);
    float *w = new_weights(20, 50), *wide = (float *)take(20 * 57 * sizeof(float));
    size_t size = llmq_feedback_work_size(&t), i;
    void *work = take(size), *mem;
    llmq_feedback f = new_feedback(&t, &h, NULL, &mem);
    int untouched = 1;
    for (i = 0; i < 20; i++) memcpy(wide + 57 * i, w + 50 * i, 50 * sizeof(float));
    encode(&t, w, &f, 0, 0);
    memset(data_of(&other), 0xee, bytes_of(&other));
    CHECK_EQ(llmq_feedback_encode(&other, data_of(&other), 3, 18, wide + 3 * 57, 57, &f, NULL, work, size, NULL, NULL),
             LLMQ_OK);
    CHECK(memcmp(t.data + 3 * t.row_size, other.data + 3 * t.row_size, 15 * t.row_size) == 0);
    for (i = 0; i < bytes_of(&t); i++)
        if (i / t.row_size < 3 || i / t.row_size >= 18) untouched &= other.data[i] == 0xee;
    CHECK(untouched);
    give(work, size), give(w, 1000 * sizeof(float)), give(wide, 20 * 57 * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t), free_tensor(&other);
}

/* ---- what it gains --------------------------------------------------------------------------- */

#define N 1024u
#define RHO 0.9
#define GAIN_ROWS 128

/* tr(E H E^T), H = rho^|i - j|: the sum of H_ij E_i over i < j is carried along. */
static double ar1_loss(const llmq_tensor *t, const float *w)
{
    static float row[N];
    double sum = 0.0;
    uint32_t r, i;
    for (r = 0; r < t->rows; r++) {
        double carried = 0.0;
        llmq_kernels_at(0)->read_row(t, r, row);
        for (i = 0; i < N; i++) {
            double e = (double)w[(size_t)r * N + i] - (double)row[i];
            carried *= RHO;
            sum += e * (e + 2.0 * carried);
            carried += e;
        }
    }
    return sum;
}

static llmq_hessian ar1_hessian(void)
{
    llmq_hessian h = new_hessian(N, 1, NULL);
    uint32_t i, j;
    for (i = 0; i < N; i++)
        for (j = 0; j <= i; j++) h.h[packed(i, j)] = (float)pow(RHO, i - j);
    return h;
}

/* dB that feedback gains over llmq_encode. f fits any p, for the order is natural and does not depend on it. */
static double gain(const char *name, const llmq_feedback *made, const float *w)
{
    llmq_tensor t = new_tensor(name, 128, NULL, GAIN_ROWS, N);
    llmq_feedback f = *made;
    double before;
    f.p = t.format.p;
    encode(&t, w, NULL, LLMQ_EFFORT_DEFAULT, 0);
    before = ar1_loss(&t, w);
    encode(&t, w, &f, LLMQ_EFFORT_DEFAULT, 0);
    before /= ar1_loss(&t, w);
    free_tensor(&t);
    return 10.0 * log10(before);
}

static void test_gain(int print)
{
    static const struct { const char *format; double least; } all[] = {
        { "g2", 6.0 }, { "g3", 6.0 }, { "g4", 6.0 }, { "v2n16", 5.0 }, { "v2n64", 5.0 },
        { "t3", 6.0 }, { "t2", 6.0 }, { "t4", 6.0 }, { "t2s", 6.0 }, { "t3s", 6.0 }, { "t4s", 6.0 }
    };
    int tsv = getenv("TSV") != NULL && getenv("TSV")[0] != 0;
    llmq_tensor t = new_tensor("g2", 128, NULL, 1, N);
    llmq_hessian h = ar1_hessian();
    llmq_feedback_options o = options_of(0.01f, 0.0f, LLMQ_ORDER_DIAGONAL);
    void *mem;
    llmq_feedback f = new_feedback(&t, &h, print ? NULL : &o, &mem);
    float *w = new_weights(GAIN_ROWS, N);
    uint32_t i, k;
    int natural = 1;
    /* equal diagonals stay where they are, so one f serves both orders */
    for (k = 0; k < N; k++) natural &= f.column[k] == k;
    CHECK(natural);
    check_seed(114);
    normal_numbers(w, (size_t)GAIN_ROWS * N, 1.0, 0.0);
    if (print && !tsv) printf("Error of layer outputs, AR(1) inputs with rho = 0.9, 1024 columns: feedback's gain\n");
    for (i = 0; i < (print ? COUNT(all) : 6); i++) {
        double db = gain(all[i].format, &f, w);
        check_at("%s gains %.2f dB", all[i].format, db);
        CHECK(db >= all[i].least);
        if (print) printf(tsv ? "feedback.%s.db\t%.2f\n" : "  %-8s %5.2f dB\n", all[i].format, db);
    }
    check_at("%s", "");
    give(w, (size_t)GAIN_ROWS * N * sizeof(float));
    free_feedback(mem, &h);
    free_hessian(&h), free_tensor(&t);
}

/* Inputs of different sizes: both orders gain, the one by the diagonal more. */
static void test_gain_order(void)
{
    llmq_tensor t = new_tensor("v2n16", 32, NULL, 48, 192);
    llmq_hessian h = new_hessian(192, 1, NULL);
    float *w = new_weights(48, 192);
    double size[192], lost[3];
    uint32_t i, j;
    check_seed(115);
    for (i = 0; i < 192; i++) size[i] = exp(check_normal()) * (i / 32 % 3 + 1.0);
    for (i = 0; i < 192; i++)
        /* much is shared */
        for (j = 0; j <= i; j++) h.h[packed(i, j)] = (float)(size[i] * size[j] * pow(RHO, (i - j) * 0.1));
    for (i = 0; i < 3; i++) {
        llmq_feedback_options o = options_of(0.01f, 0.0f, i == 1 ? LLMQ_ORDER_DIAGONAL : LLMQ_ORDER_NATURAL);
        void *mem;
        llmq_feedback f = new_feedback(&t, &h, &o, &mem);
        encode(&t, w, i < 2 ? &f : NULL, LLMQ_EFFORT_DEFAULT, 0);
        lost[i] = loss(&t, w, &h);
        free_feedback(mem, &h);
    }
    CHECK(lost[0] < lost[2] * 0.5 && lost[1] < lost[0]);
    give(w, (size_t)48 * 192 * sizeof(float));
    free_hessian(&h), free_tensor(&t);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "figures") == 0) {
        test_gain(1);
        return check_failed != 0;
    }
    test_sums();
    test_sums_range();
    test_sums_values();
    test_sums_weight_0();
    test_sums_transform();
    test_sums_merge();
    test_sums_init_errors();
    test_sums_errors();
    test_sums_transform_errors();
    test_factor();
    test_damping();
    test_order();
    test_indefinite();
    test_usual_damping();
    test_init_errors();
    test_oracle();
    test_identity();
    test_same_bits();
    test_other_taps();
    test_weighted();
    test_scaling();
    test_odd_rows();
    test_raw();
    test_progress();
    test_encode_errors();
    test_underflow();
    test_stride();
    test_gain(0);
    test_gain_order();
    return check_done("test_feedback");
}
