/* test_faults_kernels - reported faults of kernels: what a table takes for granted, and what
   llmq_selftest sees of it

       cc -O2 -o test_faults_kernels tests/test_faults_kernels.c && ./test_faults_kernels

   Every table that can run here is compared with the scalar one, through the public functions,
   on formats that are nearly built-in ones: trellises of other taps, grids of other points under
   a built-in id. Compiled with -funsigned-char (tests/faults_build.sh) the same comparison shows
   what gcc 12 makes of some intrinsics there. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include "suite.h"

#define MAX_ROWS 260u
#define MAX_COLS 640u
#define ACTIVATIONS 6u

static uint8_t data[MAX_ROWS * (MAX_COLS * 4 + 64)];
static float w[MAX_ROWS * MAX_COLS], x[ACTIVATIONS * MAX_COLS], weight[MAX_ROWS], memory[ACTIVATIONS][2 * MAX_COLS];
static float want[ACTIVATIONS * MAX_ROWS], got[ACTIVATIONS * MAX_ROWS], want_row[MAX_COLS], got_row[MAX_COLS];
static int8_t points[1 << 10];
static const llmq_kernels *table[16];
static uint32_t tables;

/* Scales of random records that are no NaN: small numbers of both signs. */
static void fill_records(const llmq_tensor *t)
{
    uint32_t r, g, groups = t->format.points ? up(t->cols, t->format.group ? t->format.group : t->cols) : 0;
    size_t i;
    for (i = 0; i < t->rows * t->row_size; i++) data[i] = (uint8_t)check_below(256);
    if (!groups) /* raw: exponents that are not the largest, nor so large that sums overflow */
        for (i = t->format.bits / 8 - 1; i < t->rows * t->row_size; i += t->format.bits / 8)
            data[i] = (uint8_t)((data[i] & 0x83) | 0x3c);
    for (r = 0; r < t->rows; r++)
        for (g = 0; g < groups; g++)
            data[r * t->row_size + 2 * g + 1] = (uint8_t)((data[r * t->row_size + 2 * g + 1] & 0x83) | 0x3c);
}

static void same(const float *a, const float *b, size_t n, const llmq_tensor *t, const char *what)
{
    char place[160];
    int equal = same_numbers(a, b, n);
    memcpy(place, check_where, sizeof place);
    if (!equal)
        check_at("%s, %s, %u x %u, group %u: %s", t->kernels->name, what, (unsigned)t->rows, (unsigned)t->cols,
                 (unsigned)t->format.group, place);
    CHECK(equal);
    memcpy(check_where, place, sizeof place);
}

/* All products with t, by each table and by the scalar one. */
static void compare(llmq_tensor *t)
{
    llmq_activation a[ACTIVATIONS];
    uint32_t i, k, bits, r = check_below(t->rows);
    for (bits = t->format.points ? 8 : 32; bits <= 32; bits += 24)
        for (k = 0; k < tables; k++) {
            uint32_t count = 1 + check_below(ACTIVATIONS);
            for (i = 0; i < count; i++) {
                t->kernels = llmq_kernels_at(0);
                CHECK_EQ(llmq_activation_prepare(&a[i], t, bits, x + i * MAX_COLS, memory[i], sizeof memory[i]),
                         LLMQ_OK);
            }
            CHECK_EQ(llmq_matmul(t, a, count, 0, t->rows, want, MAX_ROWS), LLMQ_OK);
            t->kernels = table[k];
            CHECK_EQ(llmq_matmul(t, a, count, 0, t->rows, got, MAX_ROWS), LLMQ_OK);
            for (i = 0; i < count; i++)
                same(got + i * MAX_ROWS, want + i * MAX_ROWS, t->rows, t, bits == 8 ? "int8" : "float");
        }
    t->kernels = llmq_kernels_at(0);
    CHECK_EQ(llmq_tensor_decode(t, r, want_row, NULL, 0), LLMQ_OK);
    CHECK_EQ(llmq_matvec_transposed(t, weight, 0, t->rows, want, NULL, 0), LLMQ_OK);
    for (k = 0; k < tables; k++) {
        t->kernels = table[k];
        CHECK_EQ(llmq_tensor_decode(t, r, got_row, NULL, 0), LLMQ_OK);
        same(got_row, want_row, t->cols, t, "decode");
        CHECK_EQ(llmq_matvec_transposed(t, weight, 0, t->rows, got, NULL, 0), LLMQ_OK);
        same(got, want, t->cols, t, "transposed");
    }
}

/* rows, cols, group */
static const uint32_t shapes[][3] = { { 1, 256, 128 }, { 5, 544, 0 }, { 131, 320, 64 }, { 37, 256, 128 },
                                      { 260, 640, 128 } };
#define SHAPES COUNT(shapes)

static void compare_shapes(const llmq_format *f, size_t step)
{
    static size_t turn;
    size_t i;
    for (i = turn++ % step; i < SHAPES; i += step) {
        llmq_format g = *f;
        llmq_tensor t;
        if (g.points) g.group = shapes[i][2];
        CHECK_EQ(llmq_tensor_init(&t, &g, NULL, shapes[i][0], shapes[i][1], data, sizeof data), LLMQ_OK);
        fill_records(&t);
        compare(&t);
    }
}

static void random_points(uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) points[i] = (int8_t)((int)check_below(256) - 128);
}

/* n points of p coordinates, sorted by the first, which begins at -128; and copies of the last up to `all`. */
static void sorted_points(uint32_t n, uint32_t p, uint32_t all)
{
    uint32_t i;
    random_points(n * p);
    for (i = 0; i < n; i++) points[i * p] = (int8_t)((int)(i * 255 / (n - 1)) - 128);
    for (i = n * p; i < all * p; i++) points[i] = points[i - p];
}

/* A trellis of so many bits and parities, the caller's points and random taps; with the last one
   of the row itself in some. */
static llmq_format trellis(uint32_t bits, uint32_t parities)
{
    llmq_format f;
    uint32_t i;
    CHECK_EQ(llmq_format_find(&f, "t2", 128), LLMQ_OK);
    f.bits = bits;
    f.n = 1u << (bits - 1 + parities);
    f.points = points;
    random_points(f.n);
    for (i = 0; i < 4; i++) f.taps[i] = (uint16_t)(i < parities ? 2 + check_below(2046) : 0);
    if (check_below(3) == 0) f.taps[parities - 1] = 1;
    if (parities == 1 && f.taps[0] == 1) f.taps[0] = 5;
    return f;
}

/* L1: the taps of a trellis decide what its codes mean. */
static void test_taps(void)
{
    static const char *const name[] = { "t1", "t2", "t3", "t4", "t2s", "t3s", "t4s" };
    llmq_format f;
    uint32_t i, k, bits, parities;
    for (i = 0; i < 7; i++) {
        CHECK_EQ(llmq_format_find(&f, name[i], 128), LLMQ_OK);
        check_at("%s", name[i]);
        compare_shapes(&f, 2);
        for (k = 0; k < 4 && f.taps[k]; k++) {
            llmq_format g = f;
            g.taps[k] = (uint16_t)(g.taps[k] ^ 1u << (1 + check_below(8)));
            if (g.taps[k] == 0) continue;
            check_at("%s with taps[%u] 0x%03x", name[i], (unsigned)k, (unsigned)g.taps[k]);
            compare_shapes(&g, 3);
        }
    }
    CHECK_EQ(llmq_format_find(&f, "t2", 128), LLMQ_OK); /* as reported */
    f.taps[0] = 0x03a;
    check_at("t2 with taps[0] 0x03a");
    compare_shapes(&f, 1);
    for (bits = 1; bits <= 4; bits++)
        for (parities = 1; parities <= 4; parities++)
            for (i = 0; i < 3; i++) {
                f = trellis(bits, parities);
                check_at("trellis of %u bits, taps %03x %03x %03x %03x", (unsigned)bits, (unsigned)f.taps[0],
                         (unsigned)f.taps[1], (unsigned)f.taps[2], (unsigned)f.taps[3]);
                compare_shapes(&f, SHAPES);
            }
}

/* What is encoded in such a trellis can be read back, and the codes are those of the scalar table. */
static void test_encode(void)
{
    static uint8_t other[sizeof data];
    static float work[1u << 22];
    llmq_tensor t;
    uint32_t bits, i, k, r;
    normal_numbers(w, MAX_ROWS * 64, 1.0, 0.0);
    for (bits = 1; bits <= 4; bits++)
        for (i = 0; i < 3; i++) {
            llmq_format f = trellis(bits, 1 + check_below(4));
            double error = 0.0, all = 0.0;
            /* the shortest memory */
            if (i == 0) f.taps[0] = 2, f.taps[1] = f.taps[2] = f.taps[3] = 0, f.n = 1u << bits;
            check_at("trellis of %u bits, taps %03x %03x %03x %03x", (unsigned)bits, (unsigned)f.taps[0],
                     (unsigned)f.taps[1], (unsigned)f.taps[2], (unsigned)f.taps[3]);
            /* equidistant */
            for (k = 0; k < f.n; k++) points[k] = (int8_t)((2 * (int)k + 1 - (int)f.n) * 100 / (int)f.n);
            f.unit = 40.0f;
            CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 140, 64, data, sizeof data), LLMQ_OK);
            if (llmq_encode_work_size(&t) > sizeof work) continue;
            t.kernels = llmq_kernels_at(0);
            CHECK_EQ(llmq_encode(&t, data, 0, 140, w, 64, NULL, work, sizeof work, NULL), LLMQ_OK);
            for (r = 0; r < 140; r++) {
                CHECK_EQ(llmq_tensor_decode(&t, r, got_row, NULL, 0), LLMQ_OK);
                error += error_energy(got_row, w + r * 64, 64);
                all += energy(w + r * 64, 64);
            }
            CHECK(error < 0.6 * all);
            for (k = 0; k < tables; k++) {
                CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 140, 64, other, sizeof other), LLMQ_OK);
                t.kernels = table[k];
                CHECK_EQ(llmq_encode(&t, other, 0, 140, w, 64, NULL, work, sizeof work, NULL), LLMQ_OK);
                CHECK(memcmp(other, data, 140 * t.row_size) == 0);
            }
        }
}

/* Taps that are none: a table of points would be read beyond its end, or they would be ignored. */
static void test_refused(void)
{
    static const uint16_t bad[][4] = { { 5, 0, 3, 0 }, { 5, 3, 0, 9 }, { 5, 0, 0, 1 }, { 0, 3, 0, 0 }, { 0, 0, 0, 1 },
                                       { 1, 0, 0, 0 }, { 1, 1, 0, 0 }, { 0x800, 0, 0, 0 }, { 3, 0x8001, 0, 0 } };
    llmq_format f, g;
    llmq_tensor t;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_at("taps %x %x %x %x", bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
        CHECK_EQ(llmq_format_find(&f, "t2", 128), LLMQ_OK);
        for (f.n = 2; f.n <= 32; f.n *= 2) {
            memcpy(f.taps, bad[i], sizeof f.taps);
            CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 4, 64, data, sizeof data), LLMQ_E_ARG);
            CHECK_EQ((long)llmq_row_size(&f, 64), 0);
        }
    }
    CHECK_EQ(llmq_format_find(&g, "g4", 128), LLMQ_OK);
    g.taps[2] = 1; /* a grid has none */
    check_at("g4 with taps");
    CHECK_EQ(llmq_tensor_init(&t, &g, NULL, 4, 64, data, sizeof data), LLMQ_E_ARG);
}

/* Other points under the id of a built-in grid: -128 is one that tables of built-in ones need not expect. */
static void test_points(void)
{
    llmq_format f;
    uint32_t i;
    for (i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++) {
        if (!f.points || f.p << f.bits > sizeof points) continue;
        if (f.taps[0]) random_points(f.n), points[check_below(f.n)] = -128;
        else sorted_points(1u << f.bits, f.p, 1u << f.bits);
        check_at("points of the caller under the name of %s", f.name);
        f.points = points;
        compare_shapes(&f, 2);
    }
}

/* L2: every built-in format, and a few that are not. */
static void test_formats(void)
{
    llmq_format f;
    uint32_t i;
    for (i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++) {
        check_at("%s", f.name);
        compare_shapes(&f, 1);
    }
    for (i = 0; i < COUNT(former_grids); i++) {
        f = format_of(former_grids[i].name, 128);
        check_at("%s", former_grids[i].name);
        compare_shapes(&f, 1);
    }
    sorted_points(200, 1, 256);
    CHECK_EQ(llmq_format_custom(&f, 1, 200, points, 30.0f, 128), LLMQ_OK);
    check_at("200 points");
    compare_shapes(&f, 1);
    sorted_points(100, 2, 128);
    CHECK_EQ(llmq_format_custom(&f, 2, 100, points, 30.0f, 128), LLMQ_OK);
    check_at("100 points of 2");
    compare_shapes(&f, 1);
}

/* Kernels that are wrong in the last bit of one number. */
static void spoil(float *v) { *v = float_of(bits_of(*v) ^ 1u); }
static void bad_read(const llmq_tensor *t, uint32_t r, float *out)
{
    llmq_kernels_at(0)->read_row(t, r, out);
    spoil(out + t->cols - 1);
}
static void bad_i8(const llmq_tensor *t, const llmq_activation *a, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                   size_t y_stride)
{
    llmq_kernels_at(0)->rows_i8(t, a, count, r0, r1, y, y_stride);
    if (t->format.taps[3]) spoil(y + r1 - 1); /* one kind of format only */
}
static void bad_f32(const llmq_tensor *t, const llmq_activation *a, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                    size_t y_stride)
{
    llmq_kernels_at(0)->rows_f32(t, a, count, r0, r1, y, y_stride);
    if (!t->format.points && t->format.bits == 16) spoil(y + r0);
}

static void test_selftest(void)
{
    llmq_kernels bad = *llmq_kernels_at(0);
    uint32_t k;
    check_at("selftest");
    CHECK_EQ(llmq_selftest(), LLMQ_OK);
    CHECK_EQ(llmq_kernels_test(NULL), LLMQ_OK);
    CHECK_EQ(llmq_kernels_test(&bad), LLMQ_OK);
    for (k = 0; k < tables; k++) {
        check_at("%s", table[k]->name);
        CHECK_EQ(llmq_kernels_test(table[k]), LLMQ_OK);
    }
    check_at("wrong kernels");
    bad.read_row = bad_read;
    CHECK_EQ(llmq_kernels_test(&bad), LLMQ_E_INEXACT);
    bad = *llmq_kernels_at(0);
    bad.rows_i8 = bad_i8;
    CHECK_EQ(llmq_kernels_test(&bad), LLMQ_E_INEXACT);
    bad = *llmq_kernels_at(0);
    bad.rows_f32 = bad_f32;
    CHECK_EQ(llmq_kernels_test(&bad), LLMQ_E_INEXACT);
}

int main(void)
{
    check_seed(20261);
    tables = find_tables(table, COUNT(table));
    normal_numbers(x, ACTIVATIONS * MAX_COLS, 1.0, 0.0);
    normal_numbers(weight, MAX_ROWS, 1.0, 0.0);
    check_faults_from();
    test_taps();
    test_encode();
    test_refused();
    test_points();
    check_fault("L1");
    test_formats();
    test_selftest();
    check_fault("L2");
    return check_done("test_faults_kernels");
}
