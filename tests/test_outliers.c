/* test_outliers - section 17 of llmq.h: samples of inputs, fitted transforms, folding

       cc -O2 -o test_outliers tests/test_outliers.c -lm && ./test_outliers

   Known answers are those of tests/gen/outliers.py, which does with float64 matrices what the
   header says. The rest: what must hold of any sample and any fit, in double, and products that
   must be what they were. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "vectors/outliers.h"

#include <math.h>

#define HAD LLMQ_STEP_HADAMARD
#define SMOOTH LLMQ_STEP_SMOOTH
#define PERMUTE LLMQ_STEP_PERMUTE
#define ROTATE LLMQ_STEP_ROTATE

static int same(float a, float b) { return memcmp(&a, &b, sizeof a) == 0; }
static float size_of(float x) { return x < 0.0f ? -x : x; }
static double larger(double a, double b) { return a > b ? a : b; }

/* Memory of exactly so many bytes, filled with NaN, that ends (or, low = 1, begins) at a wall. */
typedef struct walled {
    check_wall wall;
    void *mem;
    size_t size;
} walled;

static walled take(size_t size, int low)
{
    walled w;
    w.wall = check_wall_open(size ? size : 1);
    w.size = size;
    w.mem = low ? w.wall.start : w.wall.end - size;
    memset(w.mem, 0xff, size);
    return w;
}

static void give(walled *w) { check_wall_close(&w->wall); }

static float *new_floats(size_t n)
{
    float *x = (float *)malloc((n ? n : 1) * sizeof(float));
    if (!x) exit(2);
    return x;
}

/* count inputs one every stride numbers, NaN between them; each channel and each input of its own size */
static float *new_inputs(uint32_t cols, uint32_t count, size_t stride)
{
    float *x = new_floats(stride * count);
    uint32_t t, j, seed = check_random();
    memset(x, 0xff, stride * count * sizeof(float));
    for (t = 0; t < count; t++) {
        double row = exp(2.0 * check_uniform());
        for (j = 0; j < cols; j++) {
            double channel = llmq_random(seed, j) % 8 == 0 ? 20.0 : 1.0;
            x[t * stride + j] = (float)(check_normal() * row * channel
                                        * (0.25 + llmq_random(seed + 1, j) / 4294967296.0));
        }
    }
    return x;
}

static float peak_of(const float *x, uint32_t n)
{
    float most = 0.0f;
    uint32_t j;
    for (j = 0; j < n; j++) most = size_of(x[j]) > most ? size_of(x[j]) : most;
    return most;
}

/* A sample with its memory. */
typedef struct held {
    llmq_sample s;
    walled w;
} held;

static held new_sample(uint32_t cols, uint32_t room, uint32_t seed)
{
    held h;
    h.w = take(llmq_sample_size(cols, room), (int)(seed & 1));
    CHECK_EQ(llmq_sample_init(&h.s, cols, room, seed, h.w.mem, h.w.size), LLMQ_OK);
    return h;
}

static held sample_of(const float *x, uint32_t cols, uint32_t count, uint32_t room, uint32_t seed)
{
    held h = new_sample(cols, room, seed);
    CHECK_EQ(llmq_sample_add(&h.s, x, cols, count, NULL), LLMQ_OK);
    return h;
}

static uint32_t held_rows(const llmq_sample *s) { return s->top + s->drawn; }

static float *held_row(const llmq_sample *s, uint32_t i)
{
    return s->row + (size_t)(i < s->top ? i : s->capacity / 2 + (i - s->top)) * s->cols;
}

/* All rows of a sample, copied out. */
static float *rows_of(const llmq_sample *s)
{
    float *x = new_floats((size_t)held_rows(s) * s->cols);
    uint32_t i;
    for (i = 0; i < held_rows(s); i++) memcpy(x + (size_t)i * s->cols, held_row(s, i), s->cols * sizeof(float));
    return x;
}

/* ---- samples --------------------------------------------------------------------------------- */

static void test_sizes(void)
{
    llmq_sample s, keep;
    float mem[64];
    check_at("sizes");
    CHECK_EQ((long)llmq_sample_size(4096, 128), 4096L * 4 * 129 + 2 * 128);
    CHECK_EQ((long)llmq_sample_size(1, 2), 4 * 3 + 4);
    CHECK_EQ((long)llmq_sample_size(7, 5), 4 * 7 * 6 + 4 * 2);
    CHECK_EQ((long)llmq_sample_size(0, 2), 0);
    CHECK_EQ((long)llmq_sample_size(7, 0), 0);
    CHECK_EQ((long)llmq_sample_size(7, 1), 0);
    CHECK(llmq_sample_size((uint32_t)1 << 24, 2) == (size_t)4 * 3 * ((size_t)1 << 24) + 4);
    CHECK_EQ((long)llmq_sample_size(((uint32_t)1 << 24) + 1, 2), 0);
    if (sizeof(size_t) == 8)
        CHECK(llmq_sample_size((uint32_t)1 << 24, 0xffffffffu) / ((size_t)1 << 24) / 4 >= 0xffffffffu);
    else CHECK_EQ((long)llmq_sample_size((uint32_t)1 << 24, 0xffffffffu), 0);
    memset(&s, 0x5a, sizeof s);
    keep = s;
    CHECK_EQ(llmq_sample_init(NULL, 4, 2, 1, mem, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_init(&s, 4, 2, 1, NULL, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_init(&s, 4, 2, 1, (char *)mem + 1, sizeof mem - 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_init(&s, 0, 2, 1, mem, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_init(&s, 4, 0, 1, mem, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_init(&s, 4, 1, 1, mem, sizeof mem), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_init(&s, ((uint32_t)1 << 24) + 1, 2, 1, mem, sizeof mem), LLMQ_E_LIMIT);
    CHECK_EQ(llmq_sample_init(&s, 4, 2, 1, mem, llmq_sample_size(4, 2) - 1), LLMQ_E_WORKSPACE);
    CHECK(memcmp(&s, &keep, sizeof s) == 0);
    CHECK_EQ(llmq_sample_init(&s, 4, 2, 9, mem, llmq_sample_size(4, 2)), LLMQ_OK);
    CHECK(s.cols == 4 && s.capacity == 2 && s.seed == 9 && s.seen == 0 && s.top == 0 && s.drawn == 0);
}

/* In one call and cut into many; what is kept, against sorting. */
static void test_stream(uint32_t cols, uint32_t room, uint32_t count)
{
    size_t stride = cols + 3;
    float *x = new_inputs(cols, count, stride), *sorted = new_floats(count), keep;
    held a = new_sample(cols, room, 6), b = new_sample(cols, room, 6);
    uint32_t i, j, k, n;
    check_at("stream of %lu inputs, %lu numbers, room %lu", (unsigned long)count, (unsigned long)cols,
             (unsigned long)room);
    memset(a.s.row, 0, (a.w.size - cols * sizeof(float)));
    memset(b.s.row, 0, (b.w.size - cols * sizeof(float)));
    CHECK_EQ(llmq_sample_add(&a.s, x, stride, count, NULL), LLMQ_OK);
    for (i = 0; i < count; i += n) {
        n = check_below(4);
        if (n > count - i) n = count - i;
        CHECK_EQ(llmq_sample_add(&b.s, x + i * stride, stride, n, NULL), LLMQ_OK);
    }
    CHECK(memcmp(a.w.mem, b.w.mem, a.w.size) == 0);
    CHECK(a.s.seen == count && b.s.seen == count && a.s.top == b.s.top && a.s.drawn == b.s.drawn);
    CHECK_EQ((long)a.s.top, (long)(count < room / 2 ? count : room / 2));
    CHECK_EQ((long)a.s.drawn, (long)(count < room - room / 2 ? count : room - room / 2));
    for (j = 0; j < cols; j++) {
        float most = 0.0f;
        for (i = 0; i < count; i++) most = size_of(x[i * stride + j]) > most ? size_of(x[i * stride + j]) : most;
        CHECK(same(a.s.peak[j], most));
    }
    for (i = 0; i < count; i++) /* by decreasing height */
        for (sorted[i] = peak_of(x + i * stride, cols), j = i; j > 0 && sorted[j - 1] < sorted[j]; j--)
            keep = sorted[j], sorted[j] = sorted[j - 1], sorted[j - 1] = keep;
    for (i = 0; i < held_rows(&a.s); i++) {
        const float *row = held_row(&a.s, i);
        float height = peak_of(row, cols);
        for (k = 0; k < count && memcmp(x + k * stride, row, cols * sizeof(float)) != 0; k++) continue;
        CHECK(k < count);
        if (i >= a.s.top) continue;
        CHECK(same(a.s.height[i], height));
        CHECK(height >= sorted[a.s.top - 1]);
        for (j = 0; j < i; j++) CHECK(memcmp(held_row(&a.s, j), row, cols * sizeof(float)) != 0);
    }
    for (i = a.s.top; i < held_rows(&a.s); i++) /* none is drawn twice */
        for (j = a.s.top; j < i; j++) CHECK(memcmp(held_row(&a.s, j), held_row(&a.s, i), cols * sizeof(float)) != 0);
    free(x), free(sorted), give(&a.w), give(&b.w);
}

/* Of equally high inputs the earlier is kept. */
static void test_height_ties(void)
{
    static const float x[7] = { 2.0f, -1.0f, 1.0f, -2.0f, -2.0f, 3.0f, -3.0f };
    held h = sample_of(x, 1, 5, 4, 1);
    check_at("ties of height");
    CHECK(same(h.s.row[0], 2.0f) && same(h.s.row[1], -2.0f));
    CHECK_EQ(llmq_sample_add(&h.s, x + 5, 1, 2, NULL), LLMQ_OK);
    CHECK((same(h.s.row[0], 3.0f) && same(h.s.row[1], -3.0f)) || (same(h.s.row[0], -3.0f) && same(h.s.row[1], 3.0f)));
    give(&h.w);
}

/* Every input is drawn as often as any other, and every pair of neighbours; over seeds. */
static void test_chances(uint32_t room, uint32_t count)
{
    const uint32_t seeds = 6000;
    float x[64], mem[64];
    uint32_t hits[64], pairs[64], seed, i, last, places = room - room / 2;
    double chi = 0.0, chi_pairs = 0.0, chance = (double)places / count, both = chance * (places - 1) / (count - 1),
        hope = seeds * chance, hope_pairs = seeds * both;
    check_at("chances of %lu places in %lu inputs", (unsigned long)places, (unsigned long)count);
    memset(hits, 0, sizeof hits);
    memset(pairs, 0, sizeof pairs);
    for (i = 0; i < count; i++) x[i] = (float)(i + 1);
    for (seed = 0; seed < seeds; seed++) {
        int in[65];
        llmq_sample s;
        memset(in, 0, sizeof in);
        if (llmq_sample_init(&s, 1, room, seed * 7919, mem, sizeof mem) != LLMQ_OK
            || llmq_sample_add(&s, x, 1, count, NULL) != LLMQ_OK)
            exit(2);
        for (i = 0; i < s.drawn; i++) {
            last = (uint32_t)s.row[room / 2 + i] - 1;
            if (last >= count) {
                CHECK(last < count);
                return;
            }
            hits[last]++;
            in[last] = 1;
        }
        for (i = 0; i + 1 < count; i++) pairs[i] += (uint32_t)(in[i] && in[i + 1]);
    }
    for (i = 0; i < count; i++) chi += pow(hits[i] - hope, 2) / (hope * (1.0 - chance)) * (count - 1) / count;
    for (i = 0; i + 1 < count; i++) chi_pairs += pow(pairs[i] - hope_pairs, 2) / (hope_pairs * (1.0 - both));
    CHECK(chi < (count - 1) + 5.0 * sqrt(2.0 * (count - 1))); /* five sigma */
    CHECK(chi > (count - 1) - 5.0 * sqrt(2.0 * (count - 1)));
    if (places > 1) CHECK(chi_pairs < (count - 1) + 8.0 * sqrt(2.0 * (count - 1))); /* neighbours are not independent */
}

static void test_bad_inputs(void)
{
    enum { COLS = 5, ROWS = 6 };
    float x[ROWS * (COLS + 1)], peak[COLS], keep_peak[COLS], tall = (float)HUGE_VAL;
    float bad[3];
    held h = new_sample(COLS, 6, 3);
    llmq_sample keep;
    llmq_error error;
    unsigned char bytes[4 * COLS * 7 + 12];
    uint32_t i, r, c;
    check_at("numbers that are not finite");
    bad[0] = tall, bad[1] = -tall, bad[2] = tall - tall;
    for (i = 0; i < COUNT(x); i++) x[i] = (float)check_normal();
    memset(peak, 0, sizeof peak);
    CHECK_EQ(llmq_sample_add(&h.s, x, COLS + 1, 2, NULL), LLMQ_OK);
    CHECK_EQ(llmq_peaks(x, COLS + 1, 2, COLS, peak, NULL), LLMQ_OK);
    CHECK(h.w.size == sizeof bytes);
    memcpy(bytes, h.w.mem, sizeof bytes);
    memcpy(keep_peak, peak, sizeof peak);
    keep = h.s;
    for (r = 0; r < ROWS; r++)
        for (c = 0; c < COLS; c++)
            for (i = 0; i < 3; i++) {
                float old = x[r * (COLS + 1) + c];
                x[r * (COLS + 1) + c] = bad[i];
                memset(&error, 0, sizeof error);
                CHECK_EQ(llmq_sample_add(&h.s, x, COLS + 1, ROWS, i == 1 ? NULL : &error), LLMQ_E_NOT_FINITE);
                if (i != 1) CHECK(error.status == LLMQ_E_NOT_FINITE && error.row == r && error.col == c);
                memset(&error, 0, sizeof error);
                CHECK_EQ(llmq_peaks(x, COLS + 1, ROWS, COLS, peak, i == 1 ? NULL : &error), LLMQ_E_NOT_FINITE);
                if (i != 1) CHECK(error.status == LLMQ_E_NOT_FINITE && error.row == r && error.col == c);
                x[r * (COLS + 1) + c] = old;
            }
    x[COLS] = bad[2]; /* between the inputs it does not matter */
    CHECK(memcmp(bytes, h.w.mem, sizeof bytes) == 0 && memcmp(&keep, &h.s, sizeof keep) == 0
          && memcmp(peak, keep_peak, sizeof peak) == 0);
    CHECK_EQ(llmq_sample_add(&h.s, x, COLS + 1, ROWS, &error), LLMQ_OK);
    CHECK_EQ(llmq_sample_add(NULL, x, COLS, 1, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_sample_add(&h.s, NULL, COLS, 1, &error), LLMQ_E_ARG);
    CHECK_EQ((long)h.s.seen, 2 + ROWS);
    CHECK_EQ(llmq_sample_add(&h.s, x, COLS + 1, 0, &error), LLMQ_OK);
    CHECK_EQ((long)h.s.seen, 2 + ROWS);
    h.s.seen = 0xfffffffeu; /* a count that stays where it is */
    CHECK_EQ(llmq_sample_add(&h.s, x, COLS + 1, 3, &error), LLMQ_OK);
    CHECK(h.s.seen == 0xffffffffu);
    CHECK_EQ(llmq_peaks(NULL, COLS, 1, COLS, peak, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_peaks(x, COLS, 1, COLS, NULL, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_peaks(x, COLS, 1, 0, peak, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_peaks(x, COLS, 0, COLS, peak, NULL), LLMQ_OK);
    CHECK(memcmp(peak, keep_peak, sizeof peak) == 0);
    give(&h.w);
}

/* Peaks are raised, never lowered, over several matrices; the last row may end at a wall. */
static void test_peaks(void)
{
    enum { COLS = 37, ROWS = 9 };
    size_t stride = COLS + 2;
    walled w = take(((ROWS - 1) * stride + COLS) * sizeof(float), 0), p = take(COLS * sizeof(float), 0);
    float *x = (float *)w.mem, *peak = (float *)p.mem, want[COLS];
    uint32_t r, c, pass;
    check_at("peaks");
    memset(peak, 0, COLS * sizeof(float));
    memset(want, 0, sizeof want);
    for (pass = 0; pass < 3; pass++) {
        for (r = 0; r < ROWS; r++)
            for (c = 0; c < COLS; c++) {
                x[r * stride + c] = (float)check_normal();
                if (size_of(x[r * stride + c]) > want[c]) want[c] = size_of(x[r * stride + c]);
            }
        CHECK_EQ(llmq_peaks(x, stride, ROWS, COLS, peak, NULL), LLMQ_OK);
        CHECK(memcmp(peak, want, sizeof want) == 0);
    }
    give(&w), give(&p);
}

/* ---- fits, known ----------------------------------------------------------------------------- */

/* A fit in memory that is exactly as large as it has to be, beside walls. */
typedef struct fitted {
    llmq_transform t;
    walled data, work;
    llmq_status status;
} fitted;

static fitted fit(const llmq_step *step, uint32_t count, llmq_sample *s, float *weight, const llmq_fit_options *o)
{
    fitted f;
    size_t size = 0;
    uint32_t i;
    memset(&f.t, 0, sizeof f.t);
    f.t.count = count;
    for (i = 0; i < count; i++) f.t.step[i] = step[i], size += llmq_step_data_size(&step[i]);
    f.data = take(size, 0);
    /* up to 4 bytes behind, so that its start is aligned */
    f.work = take((llmq_fit_work_size(&f.t, s->cols) + 7) / 8 * 8, 0);
    f.status = llmq_transform_fit(&f.t, s, weight, o, f.data.mem, size, f.work.mem, llmq_fit_work_size(&f.t, s->cols));
    return f;
}

static void unfit(fitted *f) { give(&f->data), give(&f->work); }

static llmq_step step_of(int kind, uint32_t block, uint32_t arg)
{
    llmq_step s;
    s.kind = (uint16_t)kind;
    s.block = (uint16_t)block;
    s.arg = arg;
    return s;
}

/* The inputs of tests/gen/outliers.py. */
static float *known_inputs(uint32_t cols, uint32_t count, uint32_t seed, int side)
{
    float *x = new_floats((size_t)cols * count);
    uint32_t t, j;
    for (t = 0; t < count; t++)
        for (j = 0; j < cols; j++) {
            double v = ((double)(llmq_random(seed, t * cols + j) >> 11) - 1048576.0) / 1048576.0;
            v = ldexp(v, (int)(llmq_random(seed + 1, j) % 5 + llmq_random(seed + 2, t) % 3));
            x[t * cols + j] = (float)(side && v < 0.0 ? -v : v);
        }
    return x;
}

static void test_known(void)
{
    size_t matrix = 0, smooth = 0, order = 0, peak = 0, weights = 0;
    uint32_t c, i, j;
    for (c = 0; c < COUNT(outliers_cases); c++) {
        uint32_t cols = outliers_cases[c].cols;
        float *x = known_inputs(cols, outliers_cases[c].inputs, outliers_cases[c].input_seed, outliers_cases[c].side),
            *weight = new_floats(cols);
        held h = sample_of(x, cols, outliers_cases[c].inputs, outliers_cases[c].room, outliers_cases[c].sample_seed);
        llmq_fit_options o = llmq_fit_defaults();
        const uint8_t *data;
        fitted f;
        for (j = 0; j < cols; j++)
            weight[j] = (float)((llmq_random(outliers_cases[c].input_seed + 3, j) >> 20) + 1) / 1024.0f;
        o.alpha = outliers_cases[c].alpha, o.d_min = outliers_cases[c].least, o.d_max = outliers_cases[c].most;
        o.criterion = outliers_cases[c].criterion, o.steps = outliers_cases[c].rotations,
        o.seed = outliers_cases[c].seed;
        check_at("known answers, case %lu", (unsigned long)c);
        f = fit(outliers_cases[c].step, outliers_cases[c].count, &h.s, outliers_cases[c].weighted ? weight : NULL, &o);
        CHECK_EQ(f.status, LLMQ_OK);
        CHECK_EQ(llmq_transform_verify(&f.t, cols), LLMQ_OK);
        for (data = f.t.data, i = 0; i < f.t.count; data += llmq_step_data_size(&f.t.step[i]), i++) {
            uint32_t n = f.t.step[i].kind == ROTATE ? f.t.step[i].arg * f.t.step[i].block * f.t.step[i].block
                         : f.t.step[i].kind == HAD ? 0 : cols;
            double far = 0.0;
            for (j = 0; j < n; j++) {
                if (f.t.step[i].kind == PERMUTE) CHECK_EQ((long)load16(data + 2 * j), (long)outliers_order[order++]);
                if (f.t.step[i].kind == SMOOTH)
                    far = larger(far, fabs((double)load_float(data + 4 * j) / outliers_smooth[smooth++] - 1.0));
                if (f.t.step[i].kind == ROTATE)
                    far = larger(far,
                                 fabs((double)load_float(data + 4 * j) - 1e-7 * (double)outliers_matrix[matrix++]));
            }
            CHECK(far < 1e-6);
        }
        for (j = 0; j < cols; j++, peak++) CHECK(fabs((double)h.s.peak[j] / outliers_peak[peak] - 1.0) < 3e-6);
        for (j = 0; j < cols && outliers_cases[c].weighted; j++, weights++)
            CHECK(fabs((double)weight[j] / outliers_weight[weights] - 1.0) < 3e-6);
        unfit(&f), give(&h.w), free(x), free(weight);
    }
    CHECK(matrix == COUNT(outliers_matrix) && smooth == COUNT(outliers_smooth) && order == COUNT(outliers_order));
    CHECK(peak == COUNT(outliers_peak) && weights == COUNT(outliers_weight));
}

/* ---- fits, in general ------------------------------------------------------------------------ */

/* Through the steps made by a fit, with the library's own llmq_transform_apply (test_transform
   has that against matrices). */
static void apply(const llmq_transform *t, int direction, float *v, uint32_t cols)
{
    size_t size = llmq_transform_work_size(t, cols);
    float *work = new_floats(size / sizeof(float));
    CHECK_EQ(llmq_transform_apply(t, direction, v, cols, work, size, NULL), LLMQ_OK);
    free(work);
}

/* The sample is T of what it was: the same bytes. */
static void check_rows(const llmq_sample *s, const llmq_transform *t, float *before)
{
    uint32_t i, equal = 0;
    for (i = 0; i < held_rows(s); i++) {
        apply(t, LLMQ_TO_ACTIVATION, before + (size_t)i * s->cols, s->cols);
        equal += memcmp(before + (size_t)i * s->cols, held_row(s, i), s->cols * sizeof(float)) == 0;
    }
    CHECK_EQ((long)equal, (long)held_rows(s));
}

/* d against pow; what is taken along, bit for bit. */
static void test_smooth(void)
{
    static const float alphas[] = { 0.0f, 0.25f, 0.6f, 1.0f };
    static const float bounds[][2] = { { 0.01f, 10000.0f }, { 1.0f, 1.0f }, { 0.5f, 3.0f },
                                       { 1.17549435e-38f, 3.4e38f } };
    uint32_t a, b, weighted, j;
    for (a = 0; a < COUNT(alphas); a++)
        for (b = 0; b < COUNT(bounds); b++)
            for (weighted = 0; weighted < 2; weighted++) {
                enum { COLS = 67, INPUTS = 12 };
                llmq_step step = step_of(SMOOTH, 0, COLS);
                llmq_fit_options o = llmq_fit_defaults();
                float *x = new_inputs(COLS, INPUTS, COLS), weight[COLS], keep_weight[COLS], keep_peak[COLS], *rows;
                held h;
                fitted f;
                check_at("smoothing, alpha %g, d from %g to %g", (double)alphas[a], (double)bounds[b][0],
                         (double)bounds[b][1]);
                for (j = 0; j < COLS; j++) weight[j] = j % 9 == 4 ? 0.0f : (float)exp(3.0 * check_normal());
                /* no input; neither input nor weight */
                for (j = 0; j < INPUTS; j++) x[j * COLS + 3] = x[j * COLS + 4] = 0.0f;
                for (j = 0; j < INPUTS; j++)
                    x[j * COLS + 5] *= 1e20f, x[j * COLS + 6] *= 1e-20f, x[j * COLS + 7] *= 1e-37f;
                h = sample_of(x, COLS, INPUTS, 8, 2);
                rows = rows_of(&h.s);
                memcpy(keep_peak, h.s.peak, sizeof keep_peak);
                memcpy(keep_weight, weight, sizeof weight);
                o.alpha = alphas[a], o.d_min = bounds[b][0], o.d_max = bounds[b][1];
                f = fit(&step, 1, &h.s, weighted ? weight : NULL, &o);
                CHECK_EQ(f.status, LLMQ_OK);
                CHECK_EQ(llmq_transform_verify(&f.t, COLS), LLMQ_OK);
                for (j = 0; j < COLS; j++) {
                    double p = larger((double)keep_peak[j], ldexp(1.0, -100)),
                        w = weighted ? larger((double)keep_weight[j], ldexp(1.0, -100)) : 1.0;
                    double want = pow(p, (double)alphas[a]) / pow(w, 1.0 - (double)alphas[a]), far;
                    double room = larger(1.0, larger(fabs(log(p)), fabs(log(w))) / 8.0); /* logarithms are float */
                    float d = load_float(f.t.data + 4 * j);
                    /* the constant there is not 2^-100 to all digits */
                    if (p <= ldexp(1.0, -100) || w <= ldexp(1.0, -100)) room *= 3000.0;
                    if (want < (double)o.d_min) want = (double)o.d_min;
                    if (want > (double)o.d_max) want = (double)o.d_max;
                    far = fabs((double)d / want - 1.0);
                    CHECK(far <= 1e-6 * room);
                    CHECK(d >= o.d_min && d <= o.d_max);
                    CHECK(same(h.s.peak[j], keep_peak[j] / d));
                    if (weighted) CHECK(same(weight[j], keep_weight[j] * d));
                    else CHECK(same(weight[j], keep_weight[j]));
                }
                check_rows(&h.s, &f.t, rows);
                unfit(&f), give(&h.w), free(x), free(rows);
            }
}

/* Lengths of the blocks of the step that mixes next; a block of 0 at the end for what no rotation touches. */
static uint32_t blocks_of(const llmq_step *next, uint32_t cols, uint32_t *length)
{
    uint32_t n = 0, j;
    for (j = 0; j < cols; j += length[n++]) {
        if (next->kind == ROTATE && cols - j < next->block) break;
        length[n] = next->kind == ROTATE ? next->block : (uint32_t)llmq_hadamard_block(cols - j, next->block);
    }
    return n;
}

/* Dealt by hand: places of the r-th largest channel, one after the other. */
static void deal(const uint32_t *length, uint32_t blocks, uint32_t *place)
{
    uint32_t turn, r = 0, b, total = 0, used[512], start[512];
    memset(used, 0, sizeof used);
    for (b = 0; b < blocks; b++) start[b] = total, total += length[b];
    for (turn = 0; r < total; turn++) {
        b = turn % (2 * blocks);
        if (b >= blocks) b = 2 * blocks - 1 - b;
        if (used[b] < length[b]) place[r++] = start[b] + used[b]++;
    }
}

/* levels: of peaks, so that few levels make many ties; 0: all different. order: where a mixing step stands. */
static void check_permutation(uint32_t cols, uint32_t levels, llmq_step next, int mixes, int before)
{
    llmq_step steps[4];
    float *x = new_floats((size_t)cols * 2), *peak = new_floats(cols), *rows;
    uint32_t count = 0, j, k, rank, *place = (uint32_t *)malloc(cols * sizeof *place),
        *seen = (uint32_t *)calloc(cols, sizeof *seen), length[512], dealt = 0;
    llmq_fit_options o = llmq_fit_defaults();
    const uint8_t *data;
    llmq_transform one;
    held h;
    fitted f;
    if (!place || !seen) exit(2);
    check_at("permutation of %lu, %lu levels, step %d of blocks %d", (unsigned long)cols, (unsigned long)levels,
             mixes ? (int)next.kind : 0, (int)next.block);
    o.steps = 2;
    for (j = 0; j < 2 * cols; j++) x[j] = levels ? (float)check_below(levels) : (float)check_normal();
    if (before) steps[count++] = step_of(HAD, 32, 8);
    steps[count++] = step_of(PERMUTE, 0, cols);
    /* between the two it changes nothing of the permutation */
    if (!before && mixes && cols % 2) steps[count++] = step_of(SMOOTH, 0, cols);
    if (mixes) steps[count++] = next;
    h = sample_of(x, cols, 2, 2, 1);
    rows = rows_of(&h.s);
    memcpy(peak, h.s.peak, cols * sizeof(float));
    if (before) { /* peaks are then those of the sample */
        one = llmq_transform_hadamard(8, 32);
        memset(peak, 0, cols * sizeof(float));
        for (k = 0; k < 2; k++) apply(&one, LLMQ_TO_ACTIVATION, rows + (size_t)k * cols, cols);
        for (j = 0; j < 2 * cols; j++)
            peak[j % cols] = size_of(rows[j]) > peak[j % cols] ? size_of(rows[j]) : peak[j % cols];
    }
    f = fit(steps, count, &h.s, NULL, &o);
    CHECK_EQ(f.status, LLMQ_OK);
    CHECK_EQ(llmq_transform_verify(&f.t, cols), LLMQ_OK);
    data = (const uint8_t *)f.data.mem;
    if (mixes) {
        uint32_t blocks = blocks_of(&next, cols, length), b, at;
        for (b = 0; b < blocks; b++) dealt += length[b];
        if (blocks) deal(length, blocks, place);
        if (blocks && length[0] == length[blocks - 1]) { /* shares of equal blocks are alike */
            double least = 1e300, most = 0.0;
            for (at = 0, b = 0; b < blocks; b++) {
                double sum = 0.0;
                for (k = 0; k < length[b]; k++, at++) sum += (double)peak[load16(data + 2 * at)];
                least = sum < least ? sum : least;
                most = larger(most, sum);
            }
            CHECK(most - least <= (double)peak_of(peak, cols) * 1.0001);
        }
    }
    for (j = dealt; j < cols; j++) place[j] = j;
    for (j = 0; j < cols; j++) {
        rank = 0; /* channels before j: larger ones, and equal ones of smaller number */
        for (k = 0; k < cols; k++) rank += peak[k] > peak[j] || (same(peak[k], peak[j]) && k < j);
        CHECK(load16(data + 2 * place[rank]) == j);
        seen[load16(data + 2 * j) % cols]++;
    }
    for (j = 0; j < cols; j++) CHECK(seen[j] == 1);
    unfit(&f), give(&h.w), free(x), free(peak), free(rows), free(place), free(seen);
}

static void test_permute(void)
{
    static const uint32_t sizes[] = { 1, 2, 3, 7, 16, 31, 64, 172, 300, 512 };
    uint32_t s, level;
    for (s = 0; s < COUNT(sizes); s++)
        for (level = 0; level <= 3; level++) {
            uint32_t n = sizes[s];
            check_permutation(n, level, step_of(0, 0, 0), 0, 0);
            check_permutation(n, level, step_of(0, 0, 0), 0, 1);
            check_permutation(n, level, step_of(HAD, 128, 5), 1, 0);
            check_permutation(n, level, step_of(HAD, 1, 5), 1, 0);
            check_permutation(n, level, step_of(HAD, 16, 5), 1, 1);
            check_permutation(n, level, step_of(ROTATE, 8, 1), 1, 0);
            check_permutation(n, level, step_of(ROTATE, 64, 1), 1, 1);
            if (n >= 4) check_permutation(n, level, step_of(ROTATE, 4, n / 4), 1, 0);
        }
}

/* ---- rotations ------------------------------------------------------------------------------- */

static double far_from_orthogonal(const uint8_t *data, uint32_t n)
{
    double *r = (double *)malloc((size_t)n * n * sizeof(double)), far = 0.0;
    uint32_t i, j, k;
    if (!r) exit(2);
    for (i = 0; i < n * n; i++) r[i] = (double)load_float(data + 4 * i);
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++) {
            double dot = i == j ? -1.0 : 0.0;
            for (k = 0; k < n; k++) dot += r[i * n + k] * r[j * n + k];
            far = larger(far, fabs(dot));
        }
    free(r);
    return far;
}

/* The criterion of rows x[count][cols] turned by the matrix at data (NULL: I), for runs [first, last). */
static double criterion_of(const float *x, uint32_t cols, uint32_t count, const uint8_t *data, uint32_t n,
                           uint32_t first, uint32_t last, int criterion)
{
    double low = 0.0, high = 0.0, sum = 0.0;
    uint32_t t, b, i, k;
    for (t = 0; t < count; t++) {
        double power = 0.0, peak = 0.0;
        for (b = first; b < last; b++)
            for (i = 0; i < n; i++) {
                const float *v = x + (size_t)t * cols + b * n;
                double y = data ? 0.0 : (double)v[i];
                for (k = 0; data && k < n; k++) y += (double)v[k] * (double)load_float(data + 4 * (k * n + i));
                power += (double)v[i] * (double)v[i];
                peak = larger(peak, fabs(y));
                low = y < low ? y : low;
                high = larger(high, y);
            }
        sum += power > 0.0 ? peak * peak / power : 0.0;
    }
    return criterion == LLMQ_CRITERION_PEAK ? larger(-low, high) : criterion == LLMQ_CRITERION_RANGE ? high - low : sum;
}

static int is_identity(const uint8_t *data, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n * n; i++)
        if (!same(load_float(data + 4 * i), i % (n + 1) == 0 ? 1.0f : 0.0f)) return 0;
    return 1;
}

static void check_rotation(uint32_t n, uint32_t steps, int criterion, int shared, uint32_t cols, uint32_t inputs)
{
    llmq_step step = step_of(ROTATE, n, shared ? 1 : cols / n);
    llmq_fit_options o = llmq_fit_defaults();
    float *x = new_inputs(cols, inputs, cols), *rows, *was;
    held h = sample_of(x, cols, inputs, 4, 1);
    fitted f;
    uint32_t m, j;
    check_at("rotation of %lu in %lu, %lu steps, criterion %d, %s", (unsigned long)n, (unsigned long)cols,
             (unsigned long)steps, criterion, shared ? "one" : "many");
    o.steps = steps, o.criterion = criterion;
    rows = rows_of(&h.s);
    was = rows_of(&h.s);
    f = fit(&step, 1, &h.s, NULL, &o);
    CHECK_EQ(f.status, LLMQ_OK);
    for (m = 0; m < step.arg; m++) {
        const uint8_t *data = f.t.data + 4 * (size_t)m * n * n;
        double before = criterion_of(rows, cols, held_rows(&h.s), NULL, n, m, shared ? cols / n : m + 1, criterion);
        double after = criterion_of(rows, cols, held_rows(&h.s), data, n, m, shared ? cols / n : m + 1, criterion);
        CHECK(far_from_orthogonal(data, n) < 1e-6);
        CHECK(after <= before * (1.0 + 1e-6));
        if (steps == 0 || cols < n) CHECK(is_identity(data, n));
        /* these have channels that stand out */
        else if (steps >= 7 && n >= 8) CHECK(after < before && !is_identity(data, n));
    }
    check_rows(&h.s, &f.t, was);
    for (j = 0; j < cols; j++) { /* peaks are now those of the sample */
        float most = 0.0f;
        for (m = 0; m < held_rows(&h.s); m++)
            most = size_of(held_row(&h.s, m)[j]) > most ? size_of(held_row(&h.s, m)[j]) : most;
        CHECK(same(h.s.peak[j], most));
        if (j >= cols / n * n) /* beyond the last run nothing moved */
            for (m = 0; m < held_rows(&h.s); m++) CHECK(same(held_row(&h.s, m)[j], rows[(size_t)m * cols + j]));
    }
    unfit(&f), give(&h.w), free(x), free(rows), free(was);
}

/* Kept are the least of the first k products, for every k: what is kept changes only for something better. */
static void check_prefixes(uint32_t n, int criterion, int shared, uint32_t most_steps)
{
    uint32_t cols = 3 * n + 1, runs = 3, k, m, changes = 0;
    float *x = new_inputs(cols, 24, cols), *rows = NULL;
    double last[3];
    uint8_t *kept = (uint8_t *)malloc((size_t)4 * 3 * n * n);
    if (!kept) exit(2);
    for (k = 0; k <= most_steps; k++) {
        llmq_step step = step_of(ROTATE, n, shared ? 1 : runs);
        llmq_fit_options o = llmq_fit_defaults();
        held h = sample_of(x, cols, 24, 24, 1);
        fitted f;
        check_at("first %lu products of %lu numbers, criterion %d", (unsigned long)k, (unsigned long)n, criterion);
        o.steps = k, o.criterion = criterion;
        if (!rows) rows = rows_of(&h.s);
        f = fit(&step, 1, &h.s, NULL, &o);
        CHECK_EQ(f.status, LLMQ_OK);
        for (m = 0; m < step.arg; m++) {
            const uint8_t *data = f.t.data + 4 * (size_t)m * n * n;
            double now = criterion_of(rows, cols, held_rows(&h.s), data, n, m, shared ? runs : m + 1, criterion);
            int equal = k && memcmp(data, kept + 4 * (size_t)m * n * n, (size_t)4 * n * n) == 0;
            /* matrices behind the first begin where its normal numbers ended: they compare over k only in the first */
            if (k && m == 0) CHECK(equal || now < last[0] * (1.0 + 1e-6));
            if (k && m == 0 && !equal) changes++;
            last[m] = now;
        }
        memcpy(kept, f.t.data, step.arg * (size_t)4 * n * n);
        unfit(&f), give(&h.w);
    }
    if (n > 2) CHECK(changes >= 1);
    free(x), free(rows), free(kept);
}

static void test_rotate(void)
{
    static const uint32_t counts[] = { 0, 1, 7, 64 };
    uint32_t n, c;
    int criterion, shared;
    for (n = 2; n <= 256; n *= 2)
        for (c = 0; c < COUNT(counts); c++)
            for (criterion = 0; criterion < 3; criterion++)
                for (shared = 0; shared < 2; shared++) {
                    if (n >= 64 && counts[c] == 64 && (criterion != 2 || shared)) continue;
                    if (n == 256 && counts[c] == 7 && criterion != 1) continue;
                    check_rotation(n, n == 256 && counts[c] == 64 ? 24 : counts[c], criterion, shared,
                                   n < 64 ? 2 * n + (n > 2) : n + 3, 9);
                }
    check_rotation(16, 7, LLMQ_CRITERION_PEAK, 1, 15, 4); /* no run at all */
    for (criterion = 0; criterion < 3; criterion++)
        for (shared = 0; shared < 2; shared++)
            for (n = 2; n <= 16; n *= 2) check_prefixes(n, criterion, shared, n == 2 ? 2 : 24);
}

static void test_rotation_seeds(void)
{
    enum { COLS = 70, SIZE = 4 * 4 * 16 * 16 };
    llmq_step step = step_of(ROTATE, 16, 4);
    llmq_fit_options o = llmq_fit_defaults();
    float *x = new_inputs(COLS, 20, COLS), zero[COLS];
    uint8_t kept[SIZE];
    uint32_t i, m;
    check_at("seeds");
    o.steps = 12;
    for (i = 0; i < 5; i++) { /* seeds 1, 1, 2, then zeros, then an empty sample */
        held h = i < 4 ? new_sample(COLS, 10, 1) : new_sample(COLS, 10, 2);
        fitted f;
        memset(zero, 0, sizeof zero);
        if (i < 4) CHECK_EQ(llmq_sample_add(&h.s, i < 3 ? x : zero, i < 3 ? COLS : 0, 20, NULL), LLMQ_OK);
        o.seed = i == 2 ? 2 : 1;
        o.criterion = i == 3 ? (int)(check_random() % 3) : LLMQ_CRITERION_ERROR;
        f = fit(&step, 1, &h.s, NULL, &o);
        CHECK_EQ(f.status, LLMQ_OK);
        for (m = 0; m < 4; m++) {
            const uint8_t *data = f.t.data + (size_t)m * 1024;
            if (i >= 3) CHECK(is_identity(data, 16));
            if (i == 1) CHECK(memcmp(data, kept + m * 1024, 1024) == 0);
            if (i == 2) CHECK(memcmp(data, kept + m * 1024, 1024) != 0);
            if (i == 0 && m) CHECK(memcmp(data, f.t.data, 1024) != 0);
        }
        memcpy(kept, f.t.data, SIZE);
        unfit(&f), give(&h.w);
    }
    free(x);
}

/* ---- whole lists of steps -------------------------------------------------------------------- */

static double length_of(const float *v, uint32_t n)
{
    double sum = 0.0;
    uint32_t j;
    for (j = 0; j < n; j++) sum += (double)v[j] * (double)v[j];
    return sqrt(sum);
}

static double product_of(const float *a, const float *b, uint32_t n)
{
    double sum = 0.0;
    uint32_t j;
    for (j = 0; j < n; j++) sum += (double)a[j] * (double)b[j];
    return sum;
}

static double distance(const float *a, const float *b, uint32_t n)
{
    double sum = 0.0;
    uint32_t j;
    for (j = 0; j < n; j++) sum += ((double)a[j] - (double)b[j]) * ((double)a[j] - (double)b[j]);
    return sqrt(sum);
}

static llmq_step random_step(uint32_t cols, uint32_t most)
{
    uint32_t b = 2u << check_below(5), seed = check_random();
    switch (check_below(4)) {
    case 0: return step_of(HAD, 1u << check_below(11), seed);
    case 1: return step_of(SMOOTH, 0, cols);
    case 2: return step_of(PERMUTE, 0, cols);
    default: break;
    }
    while (b > most) b /= 2;
    return step_of(ROTATE, b, cols >= b && check_below(2) ? cols / b : 1);
}

static void check_pipeline(uint32_t cols, uint32_t most_block)
{
    llmq_step steps[8];
    uint32_t count = check_below(LLMQ_MAX_STEPS + 1), i, j, inputs = 1 + check_below(12);
    float *x = new_inputs(cols, inputs, cols), *rows, *v = new_floats(cols), *w = new_floats(cols),
        *a = new_floats(cols), *b = new_floats(cols), *weight = new_floats(cols);
    held h = sample_of(x, cols, inputs, 2 + inputs % 7, cols);
    llmq_fit_options o = llmq_fit_defaults();
    int smooths = 0, mixes = 0, weighted = (int)check_below(2);
    fitted f;
    for (i = 0; i < count; i++) steps[i] = random_step(cols, most_block);
    for (i = 0; i < count; i++)
        smooths += steps[i].kind == SMOOTH, mixes |= steps[i].kind == HAD || steps[i].kind == ROTATE;
    check_at("%lu steps of %lu numbers: %d %d %d ...", (unsigned long)count, (unsigned long)cols,
             count > 0 ? (int)steps[0].kind : 0, count > 1 ? (int)steps[1].kind : 0,
             count > 2 ? (int)steps[2].kind : 0);
    o.steps = check_below(5), o.seed = check_random(), o.criterion = (int)check_below(3),
    o.alpha = (float)check_uniform();
    o.d_min = 0.5f, o.d_max = 2.0f; /* so that rounding stays rounding */
    for (j = 0; j < cols; j++)
        v[j] = (float)check_normal(), w[j] = (float)check_normal(), weight[j] = (float)exp(check_normal());
    rows = rows_of(&h.s);
    f = fit(steps, count, &h.s, weighted ? weight : NULL, &o);
    if (count == 0 && f.status == LLMQ_OK) f.t.data = NULL;
    CHECK_EQ(f.status, LLMQ_OK);
    CHECK_EQ(llmq_transform_verify(&f.t, cols), LLMQ_OK);
    check_rows(&h.s, &f.t, rows);
    memcpy(a, v, cols * sizeof(float)), apply(&f.t, LLMQ_TO_ACTIVATION, a, cols);
    memcpy(b, w, cols * sizeof(float)), apply(&f.t, LLMQ_TO_WEIGHT, b, cols);
    CHECK(fabs(product_of(a, b, cols) - product_of(v, w, cols)) <= 1e-5 * length_of(v, cols) * length_of(w, cols));
    apply(&f.t, LLMQ_FROM_WEIGHT, b, cols);
    CHECK(distance(b, w, cols) <= 1e-5 * length_of(w, cols));
    if (!smooths) { /* orthogonal: the transposed is the inverse */
        CHECK(fabs(length_of(a, cols) / length_of(v, cols) - 1.0) <= 1e-5);
        apply(&f.t, LLMQ_FROM_WEIGHT, a, cols);
        CHECK(distance(a, v, cols) <= 1e-5 * length_of(v, cols));
    }
    for (j = 0; j < cols && mixes && !smooths && weighted; j++) CHECK(same(weight[j], 1.0f));
    unfit(&f), give(&h.w), free(x), free(rows), free(v), free(w), free(a), free(b), free(weight);
}

static void test_pipelines(void)
{
    uint32_t i;
    for (i = 0; i < 400; i++) check_pipeline(1 + check_below(300), 64);
    for (i = 0; i < 6; i++) check_pipeline(1 + check_below(4096), 16);
    check_pipeline(4096, 32);
    check_pipeline(4095, 8);
}

/* Numbers near the end of what float can hold, and beyond it once they are smoothed: no data
   that is not what it should be. */
static void test_extremes(void)
{
    enum { COLS = 24 };
    static const float huge[3] = { 3e38f, 1e-38f, 1e-44f };
    llmq_step steps[5];
    uint32_t i, j, k;
    int criterion;
    check_at("extremes");
    steps[0] = step_of(SMOOTH, 0, COLS), steps[1] = step_of(PERMUTE, 0, COLS), steps[2] = step_of(ROTATE, 8, 3);
    steps[3] = step_of(SMOOTH, 0, COLS), steps[4] = step_of(PERMUTE, 0, COLS);
    for (i = 0; i < 3; i++)
        for (criterion = 0; criterion < 3; criterion++)
            for (k = 0; k < 3; k++) {
                float *x = new_inputs(COLS, 6, COLS), weight[COLS];
                llmq_fit_options o = llmq_fit_defaults();
                held h;
                fitted f;
                for (j = 0; j < COLS; j++)
                    x[j * 5] = j % 2 ? huge[i] : -huge[i], weight[j] = k == 0 ? 0.0f : k == 1 ? 1e30f : (float)HUGE_VAL;
                o.steps = 6, o.criterion = criterion, o.alpha = 0.5f * (float)k;
                h = sample_of(x, COLS, 6, 6, 1);
                f = fit(steps, 5, &h.s, weight, &o);
                CHECK_EQ(f.status, LLMQ_OK);
                CHECK_EQ(llmq_transform_verify(&f.t, COLS), LLMQ_OK);
                for (j = 0; j < 3; j++) CHECK(far_from_orthogonal(f.t.data + 6 * COLS + 256 * j, 8) < 1e-6);
                unfit(&f), give(&h.w), free(x);
            }
}

/* ---- refusals -------------------------------------------------------------------------------- */

typedef struct told {
    uint32_t calls, stop, wrong, total;
} told;

static int tell(void *context, uint32_t done, uint32_t total)
{
    told *c = (told *)context;
    c->calls++;
    if (total != c->total || done != (c->calls - 1) % total + 1) c->wrong++;
    return c->calls == c->stop;
}

static void check_refused(llmq_status want, const llmq_transform *t, llmq_sample *s, const llmq_fit_options *o,
                          void *data, size_t size, void *work, size_t work_size)
{
    llmq_transform mine = *t;
    llmq_sample keep;
    memset(&keep, 0, sizeof keep);
    if (s) keep = *s;
    CHECK_EQ(llmq_transform_fit(&mine, s, NULL, o, data, size, work, work_size), want);
    CHECK(memcmp(&mine, t, sizeof mine) == 0);
    if (s) CHECK(memcmp(&keep, s, sizeof keep) == 0);
}

static void test_errors(void)
{
    enum { COLS = 40 };
    float *x = new_inputs(COLS, 9, COLS), nan = (float)HUGE_VAL - (float)HUGE_VAL;
    static uint8_t data[8 * 4096], elsewhere[8];
    static double work[4096];
    llmq_transform t, bad;
    held h = sample_of(x, COLS, 9, 6, 1);
    llmq_fit_options o = llmq_fit_defaults(), p;
    size_t size, need;
    told c;
    uint32_t i;
    check_at("defaults");
    CHECK(same(o.alpha, 0.6f) && same(o.d_min, 0.01f) && same(o.d_max, 10000.0f) && o.criterion == LLMQ_CRITERION_ERROR
          && o.steps == 256 && o.seed == 1);
    CHECK(o.progress == NULL && o.context == NULL);
    check_at("refusals");
    memset(&t, 0, sizeof t);
    t.count = 4;
    t.step[0] = step_of(SMOOTH, 0, COLS), t.step[1] = step_of(ROTATE, 8, 5), t.step[2] = step_of(PERMUTE, 0, COLS),
    t.step[3] = step_of(HAD, 16, 3);
    t.data = elsewhere;
    size = 4 * COLS + 5 * 256 + 2 * COLS;
    need = llmq_fit_work_size(&t, COLS);
    CHECK(need > 0 && need <= sizeof work);
    CHECK_EQ(llmq_transform_fit(NULL, &h.s, NULL, &o, data, size, work, need), LLMQ_E_ARG);
    check_refused(LLMQ_E_ARG, &t, NULL, &o, data, size, work, need);
    check_refused(LLMQ_E_ARG, &t, &h.s, &o, NULL, size, work, need);
    check_refused(LLMQ_E_ARG, &t, &h.s, &o, data, size, NULL, need);
    check_refused(LLMQ_E_ARG, &t, &h.s, &o, data, size, (char *)work + 4, need);
    check_refused(LLMQ_E_WORKSPACE, &t, &h.s, &o, data, size - 1, work, need);
    check_refused(LLMQ_E_WORKSPACE, &t, &h.s, &o, data, size, work, need - 1);
    p = o, p.alpha = -0.001f, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.alpha = 1.001f, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.alpha = nan, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_min = 0.0f, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_min = 1e-39f, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_min = -1.0f, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_min = 2.0f, p.d_max = 1.0f, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_min = nan, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_max = nan, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.d_max = (float)HUGE_VAL, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.criterion = -1, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    p = o, p.criterion = 3, check_refused(LLMQ_E_ARG, &t, &h.s, &p, data, size, work, need);
    bad = t, bad.count = LLMQ_MAX_STEPS + 1, check_refused(LLMQ_E_LIMIT, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[1].kind = 0, check_refused(LLMQ_E_UNSUPPORTED, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[3].kind = 5, check_refused(LLMQ_E_UNSUPPORTED, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[0].arg = COLS - 1, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[0].block = 1, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[2].arg = COLS + 1, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[1].arg = 4, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[1].arg = 0, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, need);
    bad = t, bad.step[1].block = 12, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, sizeof work);
    bad = t, bad.step[3].block = 24, check_refused(LLMQ_E_ARG, &bad, &h.s, &o, data, size, work, need);
    check_at("sizes of work");
    CHECK_EQ((long)llmq_fit_work_size(NULL, COLS), 0);
    CHECK_EQ((long)llmq_fit_work_size(&t, 0), 0);
    CHECK_EQ((long)llmq_fit_work_size(&t, ((uint32_t)1 << 24) + 1), 0);
    bad = t, bad.count = LLMQ_MAX_STEPS + 1, CHECK_EQ((long)llmq_fit_work_size(&bad, COLS), 0);
    check_at("progress");
    memset(&c, 0, sizeof c);
    c.total = 6;
    p = o, p.steps = 6, p.progress = tell, p.context = &c;
    bad = t;
    CHECK_EQ(llmq_transform_fit(&bad, &h.s, NULL, &p, data, size, work, need), LLMQ_OK);
    CHECK(c.calls == 30 && c.wrong == 0 && bad.data == data);
    bad.data = t.data, CHECK(memcmp(&bad, &t, sizeof t) == 0);
    for (i = 1; i <= 30; i += i == 1 ? 5 : 8) {
        held again = sample_of(x, COLS, 9, 6, 1);
        memset(&c, 0, sizeof c);
        c.total = 6, c.stop = i;
        bad = t;
        CHECK_EQ(llmq_transform_fit(&bad, &again.s, NULL, &p, data, size, work, need), LLMQ_E_STOPPED);
        CHECK(c.calls == i && c.wrong == 0 && memcmp(&bad, &t, sizeof t) == 0);
        CHECK(again.s.top == 0 && again.s.drawn == 0); /* a sample of nothing */
        give(&again.w);
    }
    give(&h.w), free(x);
}

/* Data at an odd address, in memory that ends at a wall; the same bytes. */
static void test_odd_data(void)
{
    enum { COLS = 21 };
    llmq_step steps[3];
    llmq_transform t;
    float *x = new_inputs(COLS, 9, COLS);
    held a = sample_of(x, COLS, 9, 6, 1), b = sample_of(x, COLS, 9, 6, 1);
    fitted f;
    walled w;
    size_t need;
    static double work[256];
    check_at("data at an odd address");
    steps[0] = step_of(PERMUTE, 0, COLS), steps[1] = step_of(ROTATE, 4, 1), steps[2] = step_of(SMOOTH, 0, COLS);
    f = fit(steps, 3, &a.s, NULL, NULL);
    w = take(f.data.size + 1, 1);
    memset(&t, 0, sizeof t);
    t.count = 3;
    memcpy(t.step, steps, sizeof steps);
    need = llmq_fit_work_size(&t, COLS);
    CHECK(need <= sizeof work);
    CHECK_EQ(llmq_transform_fit(&t, &b.s, NULL, NULL, (uint8_t *)w.mem + 1, f.data.size, work, need), LLMQ_OK);
    CHECK(memcmp((uint8_t *)w.mem + 1, f.data.mem, f.data.size) == 0);
    unfit(&f), give(&a.w), give(&b.w), give(&w), free(x);
}

/* ---- folding --------------------------------------------------------------------------------- */

enum { DEEP = 52, WIDE = 29, OUT = 7, TOKENS = 5 };

/* y = W x: with W encoded by T and x made by T, and with x from a producer that was changed, by the rest of T. */
static void check_products(const llmq_transform *t, uint32_t n, const float *w, const float *x, const float *folded)
{
    llmq_transform first, rest;
    uint32_t r;
    float a[DEEP], b[DEEP], c[DEEP], d[DEEP];
    CHECK_EQ(llmq_transform_split(t, n, &first, &rest), LLMQ_OK);
    memcpy(a, folded, sizeof a), apply(&rest, LLMQ_TO_ACTIVATION, a, DEEP);
    memcpy(b, x, sizeof b), apply(t, LLMQ_TO_ACTIVATION, b, DEEP);
    CHECK(distance(a, b, DEEP) <= 1e-5 * length_of(b, DEEP));
    for (r = 0; r < OUT; r++) {
        double want = product_of(w + r * DEEP, x, DEEP), size = length_of(w + r * DEEP, DEEP) * length_of(x, DEEP);
        memcpy(c, w + r * DEEP, sizeof c), apply(t, LLMQ_TO_WEIGHT, c, DEEP);
        CHECK(fabs(product_of(c, a, DEEP) - want) <= 1e-5 * size);
        /* the other way to encode: W first^-1, with rest */
        memcpy(d, w + r * DEEP, sizeof d), apply(&first, LLMQ_TO_WEIGHT, d, DEEP);
        CHECK(fabs(product_of(d, folded, DEEP) - want) <= 1e-5 * size);
        apply(&rest, LLMQ_TO_WEIGHT, d, DEEP);
        CHECK(memcmp(c, d, sizeof c) == 0);
    }
}

static void test_fold(void)
{
    float *p, *g, *w = new_floats(OUT * DEEP), weight[DEEP], gain[DEEP], x[TOKENS * DEEP], z[WIDE], folded[DEEP],
        n[TOKENS * DEEP];
    walled work = take(8 * DEEP, 0), rows = take(((DEEP - 1) * (WIDE + 2) + WIDE) * sizeof(float), 0), gates;
    size_t stride = WIDE + 2;
    uint32_t i, j, k, kinds;
    llmq_step steps[5];
    llmq_fit_options o = llmq_fit_defaults();
    o.steps = 4, o.d_min = 0.25f, o.d_max = 4.0f;
    p = (float *)rows.mem;
    gates = take(rows.size, 0);
    g = (float *)gates.mem;
    for (i = 0; i < OUT * DEEP; i++) w[i] = (float)check_normal();
    for (i = 0; i < 3; i++) { /* a norm's gains, a layer's rows, a gated layer's */
        held h;
        fitted f;
        llmq_transform first, rest;
        float before[DEEP], *keep;
        check_at("folding into %s", i == 0 ? "gains" : i == 1 ? "rows" : "gate and up");
        memset(weight, 0, sizeof weight);
        CHECK_EQ(llmq_peaks(w, DEEP, OUT, DEEP, weight, NULL), LLMQ_OK);
        memset(p, 0xff, rows.size), memset(g, 0xff, rows.size);
        for (j = 0; j < DEEP; j++)
            for (k = 0; k < WIDE; k++) {
                p[j * stride + k] = (float)(check_normal() * (j % 10 == 3 ? 9.0 : 1.0));
                g[j * stride + k] = (float)check_normal();
            }
        for (j = 0; j < DEEP; j++) gain[j] = (float)(0.2 + check_uniform() * (j % 10 == 3 ? 9.0 : 1.0));
        for (k = 0; k < TOKENS; k++) {
            for (j = 0; j < WIDE; j++) z[j] = (float)check_normal();
            for (j = 0; j < DEEP; j++) {
                double up = product_of(p + j * stride, z, WIDE), gate = product_of(g + j * stride, z, WIDE);
                n[k * DEEP + j] = (float)check_normal();
                x[k * DEEP + j] = i == 0 ? n[k * DEEP + j] * gain[j]
                                  : (float)(i == 1 ? up : gate / (1.0 + exp(-gate)) * up);
            }
        }
        h = sample_of(x, DEEP, TOKENS, 8, 1);
        steps[0] = step_of(SMOOTH, 0, DEEP), steps[1] = step_of(PERMUTE, 0, DEEP);
        steps[2] = step_of(SMOOTH, 0, DEEP), steps[3] = step_of(ROTATE, 4, DEEP / 4), steps[4] = step_of(HAD, 64, 9);
        if (i == 0) steps[1] = step_of(HAD, 16, 4);
        f = fit(steps, 5, &h.s, weight, &o);
        CHECK_EQ(f.status, LLMQ_OK);
        kinds = LLMQ_FOLD_SMOOTH | (i ? LLMQ_FOLD_PERMUTE : 0);
        CHECK_EQ((long)llmq_transform_foldable(&f.t, (int)kinds), i ? 3 : 1);
        CHECK_EQ((long)llmq_transform_foldable(&f.t, LLMQ_FOLD_PERMUTE), 0);
        CHECK_EQ((long)llmq_transform_foldable(&f.t, LLMQ_FOLD_SMOOTH), 1);
        CHECK_EQ((long)llmq_transform_foldable(&f.t, 0), 0);
        CHECK_EQ((long)llmq_transform_foldable(NULL, 3), 0);
        CHECK_EQ(llmq_transform_split(&f.t, i ? 3 : 1, &first, &rest), LLMQ_OK);
        CHECK(first.data == f.t.data && rest.data == f.t.data + 4 * DEEP + (i ? 2 * DEEP + 4 * DEEP : 0));
        CHECK(first.count == (i ? 3u : 1u) && rest.count == 5 - first.count);
        CHECK(memcmp(first.step, steps, first.count * sizeof *steps) == 0);
        CHECK(memcmp(rest.step, steps + first.count, rest.count * sizeof *steps) == 0);
        memcpy(before, x, sizeof before);
        apply(&first, LLMQ_TO_ACTIVATION, before, DEEP), apply(&rest, LLMQ_TO_ACTIVATION, before, DEEP);
        memcpy(folded, x, sizeof folded), apply(&f.t, LLMQ_TO_ACTIVATION, folded, DEEP);
        CHECK(memcmp(before, folded, sizeof folded) == 0); /* first and then rest: the bits of all at once */
        memcpy(before, gain, sizeof gain);
        keep = new_floats(rows.size / sizeof(float));
        memcpy(keep, p, rows.size);
        if (i == 0) {
            CHECK_EQ(llmq_transform_fold(&first, DEEP, (int)kinds, gain, 1, 1, work.mem, work.size), LLMQ_OK);
            for (j = 0; j < DEEP; j++) CHECK(same(gain[j], before[j] / load_float(f.t.data + 4 * j)));
        } else {
            CHECK_EQ(llmq_transform_fold(&first, DEEP, (int)kinds, p, stride, WIDE, work.mem, work.size), LLMQ_OK);
            if (i == 2)
                CHECK_EQ(llmq_transform_fold(&first, DEEP, LLMQ_FOLD_PERMUTE, g, stride, WIDE, work.mem, work.size),
                         LLMQ_OK);
            for (j = 0; j < DEEP; j++) {
                uint32_t from = load16(f.t.data + 4 * DEEP + 2 * j);
                float d = load_float(f.t.data + 4 * from), e = load_float(f.t.data + 6 * DEEP + 4 * j);
                for (k = 0; k < WIDE; k++) CHECK(same(p[j * stride + k], keep[from * stride + k] / d / e));
                if (j + 1 < DEEP)
                    for (; k < stride; k++)
                        CHECK(memcmp(&p[j * stride + k], &keep[j * stride + k], sizeof(float)) == 0);
            }
        }
        for (k = 0; k < TOKENS; k++) { /* the layer once more, with what was changed */
            for (j = 0; j < WIDE; j++) z[j] = (float)check_normal();
            for (j = 0; j < DEEP; j++) {
                uint32_t from = i ? load16(f.t.data + 4 * DEEP + 2 * j) : j;
                double up = product_of(p + j * stride, z, WIDE), gate = product_of(g + j * stride, z, WIDE);
                double old_up = product_of(keep + from * stride, z, WIDE);
                folded[j] = i == 0 ? n[k * DEEP + j] * gain[j] : (float)(i == 1 ? up : gate / (1.0 + exp(-gate)) * up);
                x[k * DEEP + from] = i == 0 ? x[k * DEEP + j]
                                     : (float)(i == 1 ? old_up : gate / (1.0 + exp(-gate)) * old_up);
            }
            check_products(&f.t, i ? 3 : 1, w, x + k * DEEP, folded);
        }
        free(keep), unfit(&f), give(&h.w);
    }
    free(w), give(&work), give(&rows), give(&gates);
}

static void test_fold_refusals(void)
{
    enum { N = 6 };
    float rows[N * 3], keep[N * 3];
    static uint8_t data[4 * N + 2 * N + 64];
    static float work[2 * N];
    llmq_transform t, first, rest, bad;
    uint32_t i;
    check_at("folding that is refused");
    memset(&t, 0, sizeof t);
    t.count = 2, t.data = data;
    t.step[0] = step_of(SMOOTH, 0, N), t.step[1] = step_of(PERMUTE, 0, N);
    for (i = 0; i < N; i++) {
        static const uint8_t two[4] = { 0, 0, 0, 0x40 };
        memcpy(data + 4 * i, two, 4);
        data[4 * N + 2 * i] = (uint8_t)(N - 1 - i);
    }
    for (i = 0; i < N * 3; i++) rows[i] = keep[i] = (float)i;
    CHECK_EQ(llmq_transform_fold(NULL, N, 3, rows, 3, 3, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_fold(&t, N, 3, NULL, 3, 3, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_fold(&t, N, 3, rows, 3, 3, NULL, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_fold(&t, N, 3, rows, 3, 3, (char *)work + 1, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_fold(&t, 0, 3, rows, 3, 3, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_fold(&t, N - 1, 3, rows, 3, 3, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_fold(&t, N, 3, rows, 3, 3, work, 8 * N - 1), LLMQ_E_WORKSPACE);
    bad = t, bad.count = 3, bad.step[2] = step_of(HAD, 2, 1);
    CHECK_EQ(llmq_transform_fold(&bad, N, 3, rows, 3, 3, work, sizeof work), LLMQ_E_ARG);
    bad.step[2] = step_of(ROTATE, 2, 1);
    CHECK_EQ(llmq_transform_fold(&bad, N, 3, rows, 3, 3, work, sizeof work), LLMQ_E_ARG);
    CHECK(memcmp(rows, keep, sizeof rows) == 0);
    CHECK_EQ(llmq_transform_fold(&t, N, 0, rows, 3, 3, work, sizeof work), LLMQ_OK);
    CHECK(memcmp(rows, keep, sizeof rows) == 0);
    CHECK_EQ(llmq_transform_fold(&t, N, LLMQ_FOLD_PERMUTE, rows, 3, 2, work, 8 * N), LLMQ_OK); /* of two columns */
    for (i = 0; i < N * 3; i++) CHECK(same(rows[i], i % 3 == 2 ? (float)i : (float)((N - 1 - i / 3) * 3 + i % 3)));
    CHECK_EQ(llmq_transform_fold(&t, N, LLMQ_FOLD_SMOOTH, rows, 3, 3, work, 8 * N), LLMQ_OK);
    for (i = 0; i < N * 3; i++)
        CHECK(same(rows[i], (i % 3 == 2 ? (float)i : (float)((N - 1 - i / 3) * 3 + i % 3)) / 2.0f));
    check_at("splits");
    CHECK_EQ(llmq_transform_split(NULL, 0, &first, &rest), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_split(&t, 0, NULL, &rest), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_split(&t, 0, &first, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_split(&t, 3, &first, &rest), LLMQ_E_ARG);
    bad = t, bad.count = LLMQ_MAX_STEPS + 1, CHECK_EQ(llmq_transform_split(&bad, 0, &first, &rest), LLMQ_E_ARG);
    for (i = 0; i <= 2; i++) {
        CHECK_EQ(llmq_transform_split(&t, i, &first, &rest), LLMQ_OK);
        CHECK(first.count == i && rest.count == 2 - i);
        if (i) CHECK(first.data == data);
        if (i < 2) CHECK(rest.data == data + 4 * N * i);
    }
    bad = t;
    CHECK_EQ(llmq_transform_split(&bad, 1, &first, &bad), LLMQ_OK); /* in place */
    CHECK(bad.count == 1 && bad.step[0].kind == PERMUTE && bad.data == data + 4 * N && first.count == 1
          && first.step[0].kind == SMOOTH);
    bad = t;
    CHECK_EQ(llmq_transform_split(&bad, 1, &bad, &rest), LLMQ_OK);
    CHECK(bad.count == 1 && bad.step[0].kind == SMOOTH && bad.data == data && rest.count == 1
          && rest.step[0].kind == PERMUTE);
    memset(&bad, 0, sizeof bad); /* what can be folded */
    bad.count = 4;
    bad.step[0] = bad.step[1] = step_of(PERMUTE, 0, N), bad.step[2] = step_of(SMOOTH, 0, N),
    bad.step[3] = step_of(PERMUTE, 0, N);
    CHECK(llmq_transform_foldable(&bad, LLMQ_FOLD_PERMUTE) == 2 && llmq_transform_foldable(&bad, LLMQ_FOLD_SMOOTH) == 0
          && llmq_transform_foldable(&bad, 3) == 4);
    bad.step[2] = step_of(ROTATE, 2, 1), CHECK(llmq_transform_foldable(&bad, 3) == 2);
    bad.count = 0, CHECK(llmq_transform_foldable(&bad, 3) == 0);
}

/* By hand. */
static void test_cost(void)
{
    static const struct { int kind; uint32_t block, arg, cols, cost; } cases[] = {
        { LLMQ_STEP_SMOOTH, 0, 100, 100, 100 }, { LLMQ_STEP_PERMUTE, 0, 100, 100, 0 },
        { LLMQ_STEP_HADAMARD, 1024, 1, 1024, 10240 }, { LLMQ_STEP_HADAMARD, 128, 1, 1024, 7168 },
        { LLMQ_STEP_HADAMARD, 1, 1, 77, 0 },
        { LLMQ_STEP_HADAMARD, 1024, 1, 172, 128 * 7 + 44 * 44 }, { LLMQ_STEP_HADAMARD, 128, 1, 172, 128 * 7 + 44 * 44 },
        { LLMQ_STEP_HADAMARD, 128, 1, 300, 256 * 7 + 44 * 44 }, { LLMQ_STEP_HADAMARD, 1024, 1, 576, 576 * (4 + 36) },
        { LLMQ_STEP_HADAMARD, 1024, 1, 11008, 10240 * 10 + 768 * (6 + 12) }, { LLMQ_STEP_HADAMARD, 8, 1, 7, 4 * 2 + 2 },
        { LLMQ_STEP_HADAMARD, 16, 1, 40, 40 * 0 + 32 * 4 + 8 * 3 }, { LLMQ_STEP_HADAMARD, 64, 1, 40, 40 * (20 + 1) },
        { LLMQ_STEP_ROTATE, 128, 1, 1024, 1024 * 128 }, { LLMQ_STEP_ROTATE, 128, 8, 1024, 1024 * 128 },
        { LLMQ_STEP_ROTATE, 16, 1, 47, 32 * 16 },
        { LLMQ_STEP_ROTATE, 16, 1, 15, 0 },
    };
    llmq_transform t;
    uint32_t i;
    check_at("cost");
    CHECK(llmq_transform_cost(NULL, 100) == 0);
    for (i = 0; i < COUNT(cases); i++) {
        memset(&t, 0, sizeof t);
        CHECK(llmq_transform_cost(&t, cases[i].cols) == 0);
        t.count = 1;
        t.step[0] = step_of(cases[i].kind, cases[i].block, cases[i].arg);
        CHECK_EQ((long)llmq_transform_cost(&t, cases[i].cols), (long)cases[i].cost);
        t.count = 3; /* a sum over steps */
        t.step[1] = step_of(SMOOTH, 0, cases[i].cols), t.step[2] = t.step[0];
        CHECK_EQ((long)llmq_transform_cost(&t, cases[i].cols), (long)(2 * cases[i].cost + cases[i].cols));
    }
    memset(&t, 0, sizeof t);
    t.count = 1;
    t.step[0] = step_of(ROTATE, 256, 1);
    CHECK(llmq_transform_cost(&t, (uint32_t)1 << 24) == (uint64_t)1 << 32); /* more than 32 bits */
}

int main(void)
{
    test_sizes();
    test_stream(1, 2, 1), test_stream(1, 2, 9), test_stream(3, 2, 2), test_stream(8, 3, 40), test_stream(17, 9, 5),
        test_stream(33, 10, 200);
    test_stream(64, 31, 500);
    test_height_ties();
    test_chances(8, 40), test_chances(3, 9), test_chances(2, 5), test_chances(33, 60);
    test_bad_inputs();
    test_peaks();
    test_known();
    test_smooth();
    test_permute();
    test_rotate();
    test_rotation_seeds();
    test_pipelines();
    test_extremes();
    test_errors();
    test_odd_data();
    test_fold();
    test_fold_refusals();
    test_cost();
    return check_done("test_outliers");
}
