/* test_faults.c - faults that users reported of data and their contracts: each as it was
   reported, and others of its kind

   The right values are computed here, in double where it matters, and not by llmq.h. check_fault
   names the report. */
#include "check.h"
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include "suite.h"


static void *take(size_t n) /* exactly as much, so that a sanitizer sees the first byte too far */
{
    void *p = malloc(n ? n : 1);
    if (!p) exit(2);
    return p;
}

static int finite_float(float x) { return (bits_of(x) & 0x7fffffffu) < 0x7f800000u; }

/* t <- t and a step that divides all cols channels by d; its data go to `data`. */
static void add_smooth(llmq_transform *t, uint32_t cols, float d, uint8_t *data)
{
    uint32_t i;
    llmq_step *step = &t->step[t->count++];
    memset(step, 0, sizeof *step);
    step->kind = LLMQ_STEP_SMOOTH;
    step->arg = cols;
    for (i = 0; i < cols; i++) put_float(data + 4 * i, d);
}

static void add_hadamard(llmq_transform *t, uint32_t seed)
{
    llmq_transform one = llmq_transform_hadamard(seed, 0);
    t->step[t->count++] = one.step[0];
}

/* ---- L6: the writer checks what the reader checks -------------------------------------------- */

enum { W_COLS = 64, W_ROWS = 3 };

typedef struct content {
    llmq_entry e[4];
    uint8_t rows[W_ROWS * 4 * W_COLS], grid[12 + 32], steps[12 + 4 * 128];
    int8_t points[32];  /* of the tensor's format */
    uint32_t count;
} content;

/* A tensor "w" of `format`, for "custom" with a grid "a" of 5 points in pairs; a transform "t"
   that smooths `smooth` columns, if not 0. */
static void make_content(content *c, const char *format, uint32_t smooth)
{
    static const int8_t five[16] = { -100, 3, -40, -40, 0, 90, 40, 1, 100, -7, 1, 2, 3, 4, 5, 6 };
    llmq_transform t;
    llmq_tensor view;
    size_t n;
    uint32_t i;
    float w[W_ROWS * W_COLS];
    void *work;
    llmq_entry *e = c->e;
    memset(c, 0, sizeof *c);
    memset(&t, 0, sizeof t);
    e->name = "w", e->kind = LLMQ_KIND_TENSOR, e->data = c->rows, e->rows = W_ROWS, e->cols = W_COLS, e->t2 = -1.0f;
    c->count = 1;
    if (strcmp(format, "custom") == 0) {
        memcpy(c->points, five, sizeof five);
        CHECK_EQ(llmq_format_custom(&e->format, 2, 5, c->points, 60.0f, 32), LLMQ_OK);
        n = sizeof c->grid;
        CHECK_EQ(llmq_grid_store(&e->format, c->grid, &n), LLMQ_OK);
        e->grid = "a";
        e[1].name = "a", e[1].kind = LLMQ_KIND_GRID, e[1].data = c->grid, e[1].size = n;
        c->count++;
    } else {
        e->format = format_of(format, strcmp(format, "f32") ? 32 : 0);
    }
    e->size = llmq_tensor_size(&e->format, W_ROWS, W_COLS);
    normal_numbers(w, W_ROWS * W_COLS, 1.0, 0.0);
    CHECK_EQ(llmq_tensor_init(&view, &e->format, NULL, W_ROWS, W_COLS, c->rows, sizeof c->rows), LLMQ_OK);
    work = take(n = llmq_encode_work_size(&view));
    CHECK_EQ(llmq_encode(&view, c->rows, 0, W_ROWS, w, W_COLS, NULL, work, n, NULL), LLMQ_OK);
    free(work);
    if (!smooth) return;
    put32(c->steps, 1), put32(c->steps + 4, LLMQ_STEP_SMOOTH), put32(c->steps + 8, smooth);
    for (i = 0; i < smooth; i++) put_float(c->steps + 12 + 4 * i, 0.5f);
    e->transform = "t";
    e[c->count].name = "t", e[c->count].kind = LLMQ_KIND_TRANSFORM, e[c->count].data = c->steps,
    e[c->count].size = 12 + 4 * smooth;
    c->count++;
}

/* What the writer says; what it writes has to open, to verify, and to decode to what its tensor decodes to. */
static llmq_status write_content(const content *c)
{
    llmq_entry e[4];
    llmq_bundle b;
    llmq_tensor wrote, reads;
    float x[W_COLS], y[W_COLS];
    uint8_t *out;
    size_t size;
    uint32_t r;
    llmq_status status;
    memcpy(e, c->e, sizeof e);
    size = llmq_bundle_size(e, c->count);
    out = (uint8_t *)take(size);
    status = llmq_bundle_write_memory(e, c->count, out, size);
    if (status == LLMQ_OK && CHECK_EQ(llmq_bundle_open(&b, out, size, NULL), LLMQ_OK)) {
        CHECK_EQ(llmq_bundle_verify(&b, NULL), LLMQ_OK);
        CHECK_EQ(llmq_bundle_tensor(&b, "w", &reads), LLMQ_OK);
        CHECK_EQ(llmq_tensor_init(&wrote, &c->e[0].format, &reads.transform, W_ROWS, W_COLS, c->rows, sizeof c->rows),
                 LLMQ_OK);
        for (r = 0; r < W_ROWS; r++) {
            CHECK_EQ(llmq_tensor_decode(&wrote, r, x, NULL, 0), LLMQ_OK);
            CHECK_EQ(llmq_tensor_decode(&reads, r, y, NULL, 0), LLMQ_OK);
            CHECK(same_floats(x, y, W_COLS));
        }
    }
    free(out);
    return status;
}

#define WRITES(want, format, smooth, change)                                      \
    do {                                                                          \
        content c;                                                                \
        llmq_entry *at = c.e;                                                     \
        check_at("L6: %s, %u: %s", format, (unsigned)(smooth), #change);          \
        make_content(&c, format, smooth);                                         \
        (void)at;                                                                 \
        change;                                                                   \
        CHECK_EQ(write_content(&c), want);                                        \
    } while (0)

static void test_writer(void)
{
    static const char *const names[] = { "f32", "f16", "bf16", "g2", "g4", "v2n64", "u4", "u8", "t2", "t4s", "custom" };
    static int8_t other[256];
    uint32_t i;
    for (i = 0; i < COUNT(names); i++) {
        WRITES(LLMQ_OK, names[i], 0, (void)0);
        WRITES(LLMQ_OK, names[i], W_COLS, (void)0);
        WRITES(LLMQ_E_ARG, names[i], 128, (void)0);
        WRITES(LLMQ_E_ARG, names[i], 63, (void)0);
        WRITES(LLMQ_E_ARG, names[i], 0, at->format.id = 999);
        WRITES(LLMQ_E_ARG, names[i], 0, at->format.id = 0);
        WRITES(LLMQ_E_ARG, names[i], 0, at->format.id = at->format.id == 24 ? 25 : 24); /* that of g2, or of g3 */
        if (i < 3) continue;
        memcpy(other, format_of(names[i == 10 ? 4 : i], 0).points, names[i][0] == 'g' && names[i][1] == '2' ? 4 : 16);
        WRITES(LLMQ_E_ARG, names[i], 0, (other[1] = (int8_t)(other[1] + 1), at->format.points = other));
        WRITES(LLMQ_E_ARG, names[i], 0, at->format.unit *= 1.5f); /* a reader would say another one */
        WRITES(LLMQ_E_ARG, names[i], 0, at->format.taps[0] ^= 2);
        WRITES(LLMQ_E_ARG, names[i], 0, at->format.zero_points ^= 1);
        /* the first scale is NaN: verify refuses it */
        WRITES(LLMQ_E_ARG, names[i], 0, (c.rows[1] = 0x7f, c.rows[0] = 0xc0));
        WRITES(LLMQ_E_ARG, names[i], 0, c.rows[1] |= 0x80);                     /* or negative */
    }
    WRITES(LLMQ_E_ARG, "custom", 0, c.points[1]++); /* the grid's entry has other points */
    WRITES(LLMQ_E_ARG, "custom", 0, c.points[8]++);
    WRITES(LLMQ_E_ARG, "custom", 0, c.points[15]++); /* even of those that no code of the encoder means */
    WRITES(LLMQ_E_ARG, "custom", 0, at->format.n = 6);
    WRITES(LLMQ_E_ARG, "custom", 0, c.e[1].data = NULL);
    WRITES(LLMQ_E_ARG, "custom", 0, c.grid[12] = 127); /* the grid is not sorted */
    WRITES(LLMQ_E_ARG, "g4", W_COLS, put_float(c.steps + 12, -1.0f));
    WRITES(LLMQ_E_ARG, "g4", W_COLS, c.e[1].size -= 4);
    check_fault("L6");
}

/* ---- L7: custom grids are sorted by their first coordinate ------------------------------------------------------- */

static void test_sorted(void)
{
    enum { MOST = 300 };
    int8_t points[512 * 8];
    uint8_t stored[12 + sizeof points], *bundle;
    llmq_format f, before;
    llmq_entry e;
    llmq_bundle b;
    uint32_t p, n, i, k, round, all;
    memset(&before, 0x33, sizeof before);
    memset(&e, 0, sizeof e);
    check_seed(7);
    for (round = 0; round < 200; round++) {
        p = 1 + check_below(8), n = 2 + check_below(MOST - 1);
        for (all = 2; all < n; all *= 2) continue;
        check_at("L7: %u points of %u coordinates", (unsigned)n, (unsigned)p);
        for (i = 0; i < all * p; i++) points[i] = (int8_t)((int)check_below(256) - 128);
        /* ascending, some equal; the rest is not */
        for (i = 0; i < n; i++) points[i * p] = (int8_t)((int)(i * 255 / n) - 128);
        f = before;
        CHECK_EQ(llmq_format_custom(&f, p, n, points, 40.0f, 64), LLMQ_OK);
        CHECK(f.points == points && f.n == n && f.p == p);
        put32(stored, p), put32(stored + 4, n), put_float(stored + 8, 40.0f);
        memcpy(stored + 12, points, (size_t)all * p);
        e.name = "grid", e.kind = LLMQ_KIND_GRID, e.data = stored, e.size = 12 + (size_t)all * p;
        bundle = (uint8_t *)take(llmq_bundle_size(&e, 1));
        CHECK_EQ(llmq_bundle_write_memory(&e, 1, bundle, llmq_bundle_size(&e, 1)), LLMQ_OK);
        CHECK_EQ(llmq_bundle_open(&b, bundle, llmq_bundle_size(&e, 1), NULL), LLMQ_OK);
        i = 1 + check_below(n - 1); /* two neighbours, or any two, the wrong way round */
        k = round % 2 ? i - 1 : check_below(i);
        points[k * p] = (int8_t)(points[i * p] == 127 ? 127 : points[i * p] + 1);
        if (points[i * p] == 127) points[i * p] = 126;
        f = before;
        CHECK_EQ(llmq_format_custom(&f, p, n, points, 40.0f, 64), LLMQ_E_ARG);
        CHECK(memcmp(&f, &before, sizeof f) == 0);
        memcpy(stored + 12, points, (size_t)all * p);
        CHECK_EQ(llmq_bundle_write_memory(&e, 1, bundle, llmq_bundle_size(&e, 1)), LLMQ_E_ARG);
        /* of one entry, whose name is in the bytes from 128 on; no payload is in the first sum */
        memcpy(bundle + 192, stored, e.size);
        CHECK_EQ(llmq_bundle_open(&b, bundle, llmq_bundle_size(&e, 1), NULL), LLMQ_E_CORRUPT);
        free(bundle);
    }
    f = format_of("g4", 64); /* a grid that its caller made by hand */
    memcpy(points, f.points, 16);
    points[3] = (int8_t)(points[4] + 1);
    f.points = points, f.id = LLMQ_FORMAT_CUSTOM;
    { size_t size = sizeof stored; CHECK_EQ(llmq_grid_store(&f, stored, &size), LLMQ_E_ARG); }
    for (i = 0; i < 8; i++) { /* units at which a trial scale or its reciprocal would overflow */
        static const float unit[8] = { 1e-45f, 1e-38f, 7e-31f, 8e-31f, 1e30f, 1.3e30f, 3e38f, -1.0f };
        points[0] = -3, points[1] = 2;
        CHECK_EQ(llmq_format_custom(&f, 1, 2, points, unit[i], 64), i == 3 || i == 4 ? LLMQ_OK : LLMQ_E_ARG);
    }
    check_fault("L7");
}

/* ---- L8: no overflow behind a clamp ---------------------------------------------------------- */

/* Entry (i, j) of the Hadamard matrix of order 64 with signs on its columns, times 8. */
static double hadamard_64(uint32_t seed, uint32_t i, uint32_t j)
{
    uint32_t bits = i & j, odd = 0;
    for (; bits; bits &= bits - 1) odd ^= 1;
    odd ^= llmq_random(seed, j / 32) >> j % 32 & 1;
    return odd ? -1.0 : 1.0;
}

/* Sums of smoothed inputs that are clamped, between the steps at 2^100 and behind them at 2^60: exact in double. */
static void test_hessian_clamp(void)
{
    enum { COLS = 64, TOKENS = 5 };
    uint8_t data[4 * COLS];
    llmq_transform t;
    llmq_hessian h;
    float x[TOKENS * COLS], *mem;
    double turned[TOKENS][COLS], want;
    void *work;
    size_t n;
    uint32_t i, j, k, wrong = 0, full;
    memset(&t, 0, sizeof t);
    t.data = data;
    add_smooth(&t, COLS, (float)power_of_2(-126), data);
    add_hadamard(&t, 5);
    check_seed(8);
    normal_numbers(x, TOKENS * COLS, 1.0, 0.0);
    x[3] = 0.0f, x[9] = 3e38f, x[70] = -3e38f;
    for (k = 0; k < TOKENS; k++)
        for (i = 0; i < COLS; i++)
            for (turned[k][i] = 0.0, j = 0; j < COLS; j++) { /* x / d is over 2^100, or 0 */
                double v = x[k * COLS + j] > 0.0f ? power_of_2(100) : x[k * COLS + j] < 0.0f ? -power_of_2(100) : 0.0;
                turned[k][i] += hadamard_64(5, i, j) * v / 8.0;
            }
    for (k = 0; k < TOKENS; k++)
        for (i = 0; i < COLS; i++)
            turned[k][i] = turned[k][i] > 0.0 ? power_of_2(60) : turned[k][i] < 0.0 ? -power_of_2(60) : 0.0;
    for (full = 0; full < 2; full++) {
        check_at("L8: sums, full %u", (unsigned)full);
        mem = (float *)take(n = llmq_hessian_size(COLS, (int)full));
        CHECK_EQ(llmq_hessian_init(&h, COLS, (int)full, &t, mem, n), LLMQ_OK);
        work = take(n = llmq_hessian_work_size(&h));
        CHECK_EQ(llmq_hessian_add(&h, 0, COLS, x, COLS, TOKENS, NULL, work, n, NULL), LLMQ_OK);
        for (i = 0; i < COLS; i++)
            for (j = full ? 0 : i; j <= i; j++) {
                for (want = 0.0, k = 0; k < TOKENS; k++) want += turned[k][i] * turned[k][j];
                wrong += (double)h.h[full ? i * (i + 1) / 2 + j : i] != want;
            }
        CHECK_EQ(wrong, 0);
        free(work), free(mem);
    }
}

/* Sums that overflow when they are added or turned are refused, and *h is as it was. */
static void test_hessian_overflow(void)
{
    enum { COLS = 4, PAIRS = 10 };
    float a[PAIRS], b[PAIRS], keep[PAIRS];
    uint8_t data[4 * COLS], work[4096];
    llmq_hessian h, other;
    llmq_transform t;
    uint32_t i;
    check_at("L8: sums that overflow");
    CHECK_EQ(llmq_hessian_init(&h, COLS, 1, NULL, a, sizeof a), LLMQ_OK);
    CHECK_EQ(llmq_hessian_init(&other, COLS, 1, NULL, b, sizeof b), LLMQ_OK);
    for (i = 0; i < PAIRS; i++) a[i] = b[i] = 1.0f + (float)i;
    h.weight = 1.0, other.weight = 2.0;
    a[9] = 2e38f, b[9] = 3e38f;
    memcpy(keep, a, sizeof a);
    CHECK_EQ(llmq_hessian_merge(&h, &other), LLMQ_E_NOT_FINITE);
    CHECK(memcmp(keep, a, sizeof a) == 0 && h.weight < 1.5);
    b[9] = 1e38f;
    CHECK_EQ(llmq_hessian_merge(&h, &other), LLMQ_OK);
    CHECK(finite_float(a[9]) && h.weight > 2.5 && a[1] > 3.5f);
    memset(&t, 0, sizeof t);
    t.data = data;
    add_smooth(&t, COLS, (float)power_of_2(-60), data);
    memcpy(keep, a, sizeof a);
    CHECK_EQ(llmq_hessian_transform(&h, &t, work, sizeof work), LLMQ_E_NOT_FINITE); /* 2^128 times as large */
    CHECK(memcmp(keep, a, sizeof a) == 0 && h.transform.count == 0);
    a[9] = 1.0f;
    for (i = 0; i < PAIRS; i++) a[i] *= 1e-3f;
    CHECK_EQ(llmq_hessian_transform(&h, &t, work, sizeof work), LLMQ_OK);
    CHECK(h.transform.count == 1 && (double)a[0] == (double)(2.0f * 1e-3f) * power_of_2(120));
}

static double decoded_error(const llmq_tensor *t, const float *w, double scale)
{
    float *out = (float *)take(t->cols * sizeof(float)), *work;
    double e = 0.0, all = 0.0;
    uint32_t r, j;
    size_t n = llmq_transform_work_size(&t->transform, t->cols);
    work = (float *)take(n);
    for (r = 0; r < t->rows; r++) {
        CHECK_EQ(llmq_tensor_decode(t, r, out, work, n), LLMQ_OK);
        for (j = 0; j < t->cols; j++) {
            double v = (double)w[r * t->cols + j] / scale, d = v - (double)out[j] / scale;
            e += d * d, all += v * v;
        }
    }
    free(work), free(out);
    return e / all;
}

/* Rows whose smoothed numbers are beyond what a float holds on the way, though not in the end. */
static void test_smoothed_rows(void)
{
    enum { COLS = 64, ROWS = 130 };
    static const struct { int d[3], w; } cases[] = { /* exponents of up to three steps' d, and of the weights */
        { { 127, 0, 0 }, -20 }, { { 126, 0, 0 }, -40 }, { { -126, 0, 0 }, 60 }, { { 120, -120, 120 }, -60 },
        { { -100, -100, 0 }, 110 },
        { { 100, 100, 0 }, -110 }, { { 60, 60, 0 }, -60 }, { { 0, 0, 0 }, 0 }, { { 20, -3, 9 }, 3 }
    };
    static const struct { const char *name; double most; } formats[] = {
        { "g8", 0.0005 }, { "g4", 0.015 }, { "v2n256", 0.012 }, { "u8", 0.001 }, { "t3", 0.03 }
    };
    static float w[ROWS * COLS];
    static uint8_t data[3 * 4 * COLS], rows[ROWS * 4 * COLS];
    uint32_t i, f, k, fed;
    for (i = 0; i < COUNT(cases); i++)
        for (f = 0; f < COUNT(formats); f++) {
            llmq_format format = format_of(formats[f].name, 32);
            llmq_transform t;
            llmq_tensor tensor;
            llmq_hessian h;
            llmq_feedback feedback;
            float diagonal[COLS], *memory;
            size_t n;
            void *work;
            memset(&t, 0, sizeof t);
            t.data = data;
            for (k = 0; k < 3; k++) {
                if (cases[i].d[k])
                    add_smooth(&t, COLS, (float)power_of_2(cases[i].d[k]), data + 4 * COLS * (t.count - t.count / 2));
                if (k == 0) add_hadamard(&t, 3);
            }
            check_seed(i);
            normal_numbers(w, ROWS * COLS, power_of_2(cases[i].w), 0.0);
            CHECK_EQ(llmq_tensor_init(&tensor, &format, &t, ROWS, COLS, rows, sizeof rows), LLMQ_OK);
            for (fed = 0; fed < 2; fed++) {
                check_at("L8: row %u in %s, feedback %u", (unsigned)i, formats[f].name, (unsigned)fed);
                work = take(n = fed ? llmq_feedback_work_size(&tensor) : llmq_encode_work_size(&tensor));
                if (fed) {
                    CHECK_EQ(llmq_hessian_init(&h, COLS, 0, &t, diagonal, sizeof diagonal), LLMQ_OK);
                    for (k = 0; k < COLS; k++) diagonal[k] = 1.0f + (float)(k % 7);
                    memory = (float *)take(llmq_feedback_size(&h));
                    CHECK_EQ(llmq_feedback_init(&feedback, &tensor, &h, NULL, memory, llmq_feedback_size(&h), NULL),
                             LLMQ_OK);
                    CHECK_EQ(llmq_feedback_encode(&tensor, rows, 0, ROWS, w, COLS, &feedback, NULL, work, n, NULL,
                                                  NULL), LLMQ_OK);
                    free(memory);
                } else {
                    CHECK_EQ(llmq_encode(&tensor, rows, 0, ROWS, w, COLS, NULL, work, n, NULL), LLMQ_OK);
                }
                CHECK(decoded_error(&tensor, w, power_of_2(cases[i].w)) < formats[f].most);
                free(work);
            }
        }
}

/* ---- L9: clips near 0 ------------------------------------------------------------------------ */

static double magnitude(double x) { return x < 0.0 ? -x : x; }

/* u4 u8 against the formula, in double: scale, zero and numbers, to the rounding of the scale to 8 bits. */
static void test_small_clips(void)
{
    static const struct { const char *name; int first, last; } formats[] =
        { { "u4", 0, 15 }, { "u8", 1, 255 } };
    static const struct { float clip; double size; } cases[] = {
        { 1e-38f, 1e30 }, { 1e-38f, 1e38 }, { 1e-45f, 1e38 }, { 1e-40f, 3e37 }, { 3e-39f, 1e38 }, { 1e-30f, 1e20 },
        { 1e-20f, 1.0 }, { 5e-20f, 1.0 }, { 6e-20f, 1.0 },
        { 1e-10f, 1e-3 }, { 1e-6f, 1.0 }, { 1e-3f, 1e10 }, { 0.01f, 1.0 }, { 0.5f, 1.0 }, { 1.0f, 1.0 }
    };
    enum { COLS = 32 };
    uint32_t f, i, j;
    for (f = 0; f < COUNT(formats); f++)
        for (i = 0; i < COUNT(cases); i++) {
            llmq_format format = format_of(formats[f].name, 32);
            llmq_encode_options o;
            llmq_tensor t;
            uint8_t row[64];
            float w[COLS], out[COLS], work[512];
            double low = 0.0, high = 0.0, scale, stored, v, want;
            int zero;
            check_at("L9: %s, clip %g, weights of %g", formats[f].name, (double)cases[i].clip, cases[i].size);
            check_seed(100 + i);
            for (j = 0; j < COLS; j++) {
                w[j] = j == 5 ? 0.0f : (float)((check_uniform() * 2.0 - 0.7) * cases[i].size);
                if ((double)w[j] < low) low = (double)w[j];
                if ((double)w[j] > high) high = (double)w[j];
            }
            memset(&o, 0, sizeof o);
            o.clip = cases[i].clip;
            CHECK_EQ(llmq_tensor_init(&t, &format, NULL, 1, COLS, row, sizeof row), LLMQ_OK);
            CHECK_EQ(llmq_encode(&t, row, 0, 1, w, COLS, &o, work, sizeof work, NULL), LLMQ_OK);
            CHECK_EQ(llmq_tensor_decode(&t, 0, out, NULL, 0), LLMQ_OK);
            scale = (high - low) * (double)o.clip / (double)(formats[f].last - formats[f].first);
            stored = (double)llmq_bf16_to_f32((uint16_t)(row[0] | row[1] << 8));
            /* below 2^-126: as the text says, 0 */
            if (scale < 1.1754943508222875e-38) { CHECK(stored <= 1.18e-38); continue; }
            /* half of a unit in the last of 8 bits, and some rounding */
            CHECK(magnitude(stored / scale - 1.0) < 0.0042);
            zero = row[t.row_size - 1];
            v = -low * (double)o.clip / stored;
            CHECK(magnitude((double)(zero - formats[f].first) - v) < 0.51);
            for (j = 0; j < COLS; j++) {
                v = (double)w[j] / stored + (double)zero; /* a code, before it is rounded */
                if (v < (double)formats[f].first) v = (double)formats[f].first;
                if (v > (double)formats[f].last) v = (double)formats[f].last;
                want = v - (double)zero;
                CHECK(magnitude((double)out[j] / stored - want) < 0.51);
            }
        }
    check_fault("L9");
}

/* ---- L10: what is written is finite, or the call says that it is not ------------------------- */

static void test_not_finite(void)
{
    enum { COLS = 16 };
    float w[COLS], keep[COLS], work[64];
    double x[3], y[3], slope = 7.0, error = 8.0;
    uint8_t data[4 * COLS], row[4 * COLS];
    llmq_transform t;
    llmq_tensor tensor;
    llmq_format f;
    llmq_error e;
    uint32_t i, k, seed, refused = 0;
    for (seed = 0; seed < 40; seed++)
        for (k = 0; k < 8; k++) { /* from FLT_MAX down to where every sum fits */
            static const float size[8] = { 3.40282347e38f, 3.2e38f, 2.5e38f, 2e38f, 1e38f, 5e37f, 2.5e37f, 1e37f };
            int fits = 1;
            check_at("L10: perturb, seed %u, size %u", (unsigned)seed, (unsigned)k);
            for (i = 0; i < COLS; i++) w[i] = keep[i] = i % 2 ? size[k] : -size[k];
            if (llmq_perturb(w, COLS, k % 2 ? 0.1 : 1.0, seed) != LLMQ_OK) {
                refused++;
                CHECK_EQ(llmq_perturb(w, COLS, k % 2 ? 0.1 : 1.0, seed), LLMQ_E_NOT_FINITE);
                CHECK(memcmp(w, keep, sizeof w) == 0);
                CHECK(k < 6); /* 2.5e37 times 1 + 0.1 * 12 is far from the end */
                /* the same numbers, 1/16 as large: one of 16 times that is too large */
                for (i = 0; i < COLS; i++) w[i] = keep[i] * 0.0625f;
                CHECK_EQ(llmq_perturb(w, COLS, k % 2 ? 0.1 : 1.0, seed), LLMQ_OK);
                for (i = 0; i < COLS; i++) fits &= magnitude((double)w[i]) * 16.0 < 3.4028235e38;
                CHECK(!fits);
            } else {
                for (i = 0; i < COLS; i++) CHECK(finite_float(w[i]));
            }
        }
    CHECK(refused > 80 && refused < 300);
    check_at("L10: slopes");
    for (i = 0; i < 3; i++) x[i] = 1e200, y[i] = 1e100;
    CHECK_EQ(llmq_slope(x, y, 3, &slope, &error), LLMQ_E_NOT_FINITE);
    for (i = 0; i < 3; i++) x[i] = 1e-150, y[i] = (double)(i + 1) * 1e120;
    CHECK_EQ(llmq_slope(x, y, 3, &slope, &error), LLMQ_E_NOT_FINITE); /* its error is not finite */
    CHECK(slope == 7.0 && error == 8.0);
    check_at("L10: folding");
    memset(&t, 0, sizeof t);
    t.data = data;
    add_smooth(&t, COLS, (float)power_of_2(-120), data);
    for (i = 0; i < COLS; i++) w[i] = keep[i] = i == 11 ? 1000.0f : 1.0f;
    CHECK_EQ(llmq_transform_fold(&t, COLS, LLMQ_FOLD_SMOOTH, w, 1, 1, work, sizeof work), LLMQ_E_NOT_FINITE);
    CHECK(memcmp(w, keep, sizeof w) == 0);
    /* which leaves it as it is */
    CHECK_EQ(llmq_transform_fold(&t, COLS, LLMQ_FOLD_PERMUTE, w, 1, 1, work, sizeof work), LLMQ_OK);
    w[11] = 1.0f;
    CHECK_EQ(llmq_transform_fold(&t, COLS, LLMQ_FOLD_SMOOTH, w, 1, 1, work, sizeof work), LLMQ_OK);
    for (i = 0; i < COLS; i++) CHECK((double)w[i] == power_of_2(120));
    for (k = 0; k < 6; k++) { /* the last number that is finite in the format, and the first that is not */
        static const struct { const char *name; uint32_t last; } raw[3] =
            { { "f16", 0x477fefffu }, { "bf16", 0x7f7f7fffu }, { "f32", 0x7f7fffffu } };
        check_at("L10: raw %s", raw[k / 2].name);
        f = format_of(raw[k / 2].name, 0);
        for (i = 0; i < COLS; i++) w[i] = 1.0f;
        w[7] = float_of(raw[k / 2].last + k % 2);
        memset(&e, 0, sizeof e);
        CHECK_EQ(llmq_tensor_init(&tensor, &f, NULL, 1, COLS, row, sizeof row), LLMQ_OK);
        CHECK_EQ(llmq_encode(&tensor, row, 0, 1, w, COLS, NULL, work, sizeof work, &e),
                 k % 2 ? LLMQ_E_NOT_FINITE : LLMQ_OK);
        if (k % 2) { CHECK(e.status == LLMQ_E_NOT_FINITE && e.row == 0 && e.col == 7); continue; }
        CHECK_EQ(llmq_tensor_decode(&tensor, 0, w, NULL, 0), LLMQ_OK);
        CHECK(finite_float(w[7]) && w[7] > 65000.0f);
    }
    check_fault("L10");
}

/* ---- L13: rows are encoded from where they are ----------------------------------------------- */

static void test_chunks(void)
{
    static const char *const names[] = { "f32", "f16", "g4", "v3n64", "u4", "t2" };
    enum { ROWS = 384, COLS = 48, STRIDE = 51 };
    static float w[ROWS * STRIDE], x[100 * COLS];
    uint32_t f, r, rows, i, fed;
    check_seed(13);
    normal_numbers(w, ROWS * STRIDE, 1.0, 0.0);
    normal_numbers(x, 100 * COLS, 1.0, 0.5);
    for (f = 0; f < COUNT(names); f++)
        for (fed = 0; fed < 2; fed++) {
            llmq_format format = format_of(names[f], f < 2 ? 0 : 32);
            size_t size = llmq_tensor_size(&format, ROWS, COLS), n;
            uint8_t *whole = (uint8_t *)take(size), *parts = (uint8_t *)take(size);
            llmq_transform rotate = llmq_transform_hadamard(9, 0);
            llmq_tensor a, b;
            llmq_hessian h;
            llmq_feedback feedback;
            float *sums = (float *)take(llmq_hessian_size(COLS, 1)), *factor, *chunk;
            void *work, *more;
            check_at("L13: %s, feedback %u", names[f], (unsigned)fed);
            CHECK_EQ(llmq_tensor_init(&a, &format, &rotate, ROWS, COLS, whole, size), LLMQ_OK);
            CHECK_EQ(llmq_tensor_init(&b, &format, &rotate, ROWS, COLS, parts, size), LLMQ_OK);
            CHECK_EQ(llmq_hessian_init(&h, COLS, 1, &rotate, sums, llmq_hessian_size(COLS, 1)), LLMQ_OK);
            more = take(llmq_hessian_work_size(&h));
            CHECK_EQ(llmq_hessian_add(&h, 0, COLS, x, COLS, 100, NULL, more, llmq_hessian_work_size(&h), NULL),
                     LLMQ_OK);
            factor = (float *)take(llmq_feedback_size(&h));
            CHECK_EQ(llmq_feedback_init(&feedback, &a, &h, NULL, factor, llmq_feedback_size(&h), NULL), LLMQ_OK);
            work = take(n = fed ? llmq_feedback_work_size(&a) : llmq_encode_work_size(&a));
            if (fed)
                CHECK_EQ(llmq_feedback_encode(&a, whole, 0, ROWS, w, STRIDE, &feedback, NULL, work, n, NULL, NULL),
                         LLMQ_OK);
            else CHECK_EQ(llmq_encode(&a, whole, 0, ROWS, w, STRIDE, NULL, work, n, NULL), LLMQ_OK);
            for (r = ROWS; r > 0; r -= rows) { /* the last first, each from a buffer of just its rows */
                rows = f == 5 ? 128 : r < 32 ? r : 1 + check_below(32);
                chunk = (float *)take(rows * COLS * sizeof(float));
                for (i = 0; i < rows; i++) memcpy(chunk + i * COLS, w + (r - rows + i) * STRIDE, COLS * sizeof(float));
                if (fed)
                    CHECK_EQ(llmq_feedback_encode(&b, parts, r - rows, r, chunk, COLS, &feedback, NULL, work, n, NULL,
                                                  NULL), LLMQ_OK);
                else CHECK_EQ(llmq_encode(&b, parts, r - rows, r, chunk, COLS, NULL, work, n, NULL), LLMQ_OK);
                free(chunk);
            }
            CHECK(memcmp(whole, parts, size) == 0);
            free(work), free(factor), free(more), free(sums), free(parts), free(whole);
        }
    check_fault("L13");
}

/* ---- L16: feedback is measured, not trusted -------------------------------------------------- */

enum { FED_COLS = 96, FED_ROWS = 132 };

typedef struct fed_case {
    const char *format;
    uint32_t tokens;
    double rho;              /* inputs are an AR(1): covariances rho^|i - j|; 0: white */
    llmq_feedback_options o;
    /* 1: feedback alone is worse by far: all rows are plain ones; -1: it is better by far,
       hardly any is; 0: either */
    int blows;
} fed_case;

/* sum of J_ij e_i e_j, J packed */
static double form_of(const double *j, const double *e)
{
    double sum = 0.0;
    uint32_t i, k;
    for (i = 0; i < FED_COLS; i++)
        for (k = 0; k <= i; k++) sum += j[i * (i + 1) / 2 + k] * e[i] * e[k] * (k < i ? 2.0 : 1.0);
    return sum;
}

/* What errors are to be judged by, from the sums of so many tokens: the text of section 16, in double. */
static void judge(const float *h, double tokens, double damping, double *j)
{
    double all = 0.0, trace = 0.0, n = FED_COLS, rho, lambda = damping;
    uint32_t i, k;
    for (i = 0; i < FED_COLS; i++)
        for (k = 0; k <= i; k++) {
            double v = (double)h[i * (i + 1) / 2 + k];
            all += v * v * (k < i ? 2.0 : 1.0);
            trace += k == i ? v : 0.0;
            j[i * (i + 1) / 2 + k] = v;
        }
    if (tokens > 0.0) {
        rho = ((1.0 - 2.0 / n) * all + trace * trace) / ((tokens + 1.0 - 2.0 / n) * (all - trace * trace / n));
        lambda = rho < 0.998 ? 2.0 * rho / (1.0 - rho) : 1000.0;
        if (lambda < 0.01) lambda = 0.01;
    }
    for (i = 0; i < FED_COLS; i++) j[i * (i + 1) / 2 + i] += lambda * trace / n;
}

/* Errors of all rows by J, and by the true covariance. */
static double judged(const llmq_tensor *t, const float *w, const double *j, double rho, double *truly)
{
    double sum = 0.0, e[FED_COLS], carried;
    float out[FED_COLS];
    uint32_t r, i;
    for (r = 0; r < FED_ROWS; r++) {
        CHECK_EQ(llmq_tensor_decode(t, r, out, NULL, 0), LLMQ_OK);
        for (carried = 0.0, i = 0; i < FED_COLS; i++) {
            e[i] = (double)w[r * FED_COLS + i] - (double)out[i];
            carried *= rho;
            *truly += e[i] * (e[i] + 2.0 * carried);
            carried += e[i];
        }
        sum += form_of(j, e);
    }
    return sum;
}

static void check_fed(const fed_case *c)
{
    static float w[FED_ROWS * FED_COLS], x[4096 * FED_COLS], sums[FED_COLS * (FED_COLS + 1) / 2];
    static uint8_t fed[FED_ROWS * FED_COLS], plain[FED_ROWS * FED_COLS];
    static double j[FED_COLS * (FED_COLS + 1) / 2];
    double true_fed = 0.0, true_plain = 0.0, by_fed, by_plain, v = 0.0, root = check_sqrt(1.0 - c->rho * c->rho);
    llmq_format f = format_of(c->format, 32);
    llmq_tensor t, p;
    llmq_hessian h;
    llmq_feedback feedback;
    llmq_feedback_result all, part;
    uint32_t i, k, differ;
    size_t n;
    void *work, *factor;
    check_at("L16: %s, %u tokens of AR(1) %g, damping %g, first order %g", c->format, (unsigned)c->tokens, c->rho,
             (double)c->o.damping, (double)c->o.first_order);
    normal_numbers(w, FED_ROWS * FED_COLS, 1e-2, 0.0);
    for (i = 0; i < c->tokens; i++)
        for (k = 0; k < FED_COLS; k++)
            v = k ? c->rho * v + root * check_normal() : check_normal(), x[i * FED_COLS + k] = (float)v;
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, FED_ROWS, FED_COLS, fed, sizeof fed), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&p, &f, NULL, FED_ROWS, FED_COLS, plain, sizeof plain), LLMQ_OK);
    CHECK_EQ(llmq_hessian_init(&h, FED_COLS, 1, NULL, sums, sizeof sums), LLMQ_OK);
    work = take(n = llmq_hessian_work_size(&h));
    CHECK_EQ(llmq_hessian_add(&h, 0, FED_COLS, x, FED_COLS, c->tokens, NULL, work, n, NULL), LLMQ_OK);
    free(work);
    factor = take(n = llmq_feedback_size(&h));
    CHECK_EQ(llmq_feedback_init(&feedback, &t, &h, &c->o, factor, n, NULL), LLMQ_OK);
    work = take(n = llmq_encode_work_size(&p));
    CHECK_EQ(llmq_encode(&p, plain, 0, FED_ROWS, w, FED_COLS, NULL, work, n, NULL), LLMQ_OK);
    free(work);
    work = take(n = llmq_feedback_work_size(&t));
    memset(&all, 0x55, sizeof all);
    CHECK_EQ(llmq_feedback_encode(&t, fed, 0, FED_ROWS, w, FED_COLS, &feedback, NULL, work, n, &all, NULL), LLMQ_OK);
    judge(sums, (double)c->tokens, (double)feedback.damping, j);
    by_fed = judged(&t, w, j, c->rho, &true_fed);
    by_plain = judged(&p, w, j, c->rho, &true_plain);
    CHECK(true_fed < 1.05 * true_plain);                              /* the true covariance says so, too */
    CHECK(magnitude(all.error / by_fed - 1.0) < 0.02);                /* factors of 12 bits */
    CHECK(magnitude(all.plain_error / by_plain - 1.0) < 0.02);
    CHECK(all.error < 1.032 * all.plain_error && all.rows == FED_ROWS);
    CHECK(c->blows > 0 ? all.plain_rows == FED_ROWS : c->blows < 0 ? all.plain_rows <= 2
          && true_fed < 0.5 * true_plain : 1);
    for (i = differ = 0; i < FED_ROWS; i++)
        differ += memcmp(fed + i * t.row_size, plain + i * t.row_size, t.row_size) != 0;
    CHECK(differ <= FED_ROWS - all.plain_rows);                       /* those that are kept are llmq_encode's */
    if (f.taps[0] == 0) { /* ranges give the same rows, and their results add up */
        memcpy(plain, fed, sizeof fed);
        memset(fed, 0, sizeof fed);
        for (i = 0, v = 0.0, k = 0; i < FED_ROWS; i += 33) {
            CHECK_EQ(llmq_feedback_encode(&t, fed, i, i + 33, w + i * FED_COLS, FED_COLS, &feedback, NULL, work, n,
                                          &part, NULL), LLMQ_OK);
            v += part.error, k += part.plain_rows;
        }
        CHECK(memcmp(plain, fed, FED_ROWS * t.row_size) == 0 && k == all.plain_rows
              && magnitude(v / all.error - 1.0) < 1e-9);
    }
    free(work), free(factor);
}

static void test_fed(void)
{
    static const fed_case cases[] = {
        { "g3", 4096, 0.9, { 0.0f, 1.0f, LLMQ_ORDER_NATURAL }, 1 },   /* the pair that was accepted */
        { "v2n16", 4096, 0.9, { 0.0f, 1.0f, LLMQ_ORDER_NATURAL }, 1 },
        { "t2", 4096, 0.9, { 0.0f, 1.0f, LLMQ_ORDER_NATURAL }, 1 },
        { "g4", 1000, 0.9, { 0.01f, 1.0f, LLMQ_ORDER_DIAGONAL }, 1 },
        { "g3", 48, 0.9, { 0.0f, 0.0f, LLMQ_ORDER_NATURAL }, 1 },     /* few tokens: fitted to chance */
        { "t2", 24, 0.0, { 0.0f, 0.0f, LLMQ_ORDER_NATURAL }, 1 },
        { "g4", 48, 0.0, { 0.01f, 0.0f, LLMQ_ORDER_NATURAL }, 1 },
        { "v3n64", 24, 0.0, { -1.0f, 0.0f, LLMQ_ORDER_DIAGONAL }, 0 },
        { "g2", 48, 0.0, { -1.0f, 0.0f, LLMQ_ORDER_NATURAL }, 0 },
        { "g3", 96, 0.9, { 0.0f, 0.0f, LLMQ_ORDER_DIAGONAL }, 0 },
        { "g3", 16, 0.9, { -1.0f, 0.0f, LLMQ_ORDER_NATURAL }, 0 },
        { "g3", 4096, 0.9, { -1.0f, 0.0f, LLMQ_ORDER_NATURAL }, -1 }, /* what it is for */
        { "v2n16", 400, 0.9, { -1.0f, 0.0f, LLMQ_ORDER_DIAGONAL }, -1 },
        { "t3", 1000, 0.9, { 0.01f, 0.0f, LLMQ_ORDER_NATURAL }, -1 },
        { "g4", 400, 0.9, { -1.0f, 0.0f, LLMQ_ORDER_NATURAL }, -1 },
        { "g4", 400, 0.9, { 0.5f, 0.01f, LLMQ_ORDER_NATURAL }, -1 },
    };
    llmq_feedback_result result;
    llmq_feedback feedback;
    llmq_hessian h;
    llmq_tensor t;
    llmq_format f = format_of("u4", 32);
    float diagonal[32], factor[256], w[64];
    uint8_t rows[128];
    void *work;
    size_t n;
    uint32_t i;
    check_seed(16);
    for (i = 0; i < COUNT(cases); i++) check_fed(&cases[i]);
    check_at("L16: a format without feedback says so");
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 2, 32, rows, sizeof rows), LLMQ_OK);
    CHECK_EQ(llmq_hessian_init(&h, 32, 0, NULL, diagonal, sizeof diagonal), LLMQ_OK);
    CHECK_EQ(llmq_feedback_init(&feedback, &t, &h, NULL, factor, sizeof factor, NULL), LLMQ_OK);
    normal_numbers(w, 64, 1.0, 0.0);
    work = take(n = llmq_feedback_work_size(&t));
    CHECK_EQ(llmq_feedback_encode(&t, rows, 0, 2, w, 32, &feedback, NULL, work, n, &result, NULL), LLMQ_OK);
    CHECK(result.rows == 2 && result.plain_rows == 2 && result.error == 0.0 && result.plain_error == 0.0);
    free(work);
    check_fault("L16");
}

int main(void)
{
    check_faults_from();
    test_writer();
    test_sorted();
    test_hessian_clamp();
    test_hessian_overflow();
    test_smoothed_rows();
    check_fault("L8");
    test_small_clips();
    test_not_finite();
    test_chunks();
    test_fed();
    return check_done("test_faults");
}
