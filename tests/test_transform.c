/* test_transform - section 4 of llmq.h: the steps with data (smooth, permute, rotate), alone,
   mixed with Hadamard's, in bundles

       cc -O2 -o test_transform tests/test_transform.c -lm && ./test_transform

   T is built as a matrix in double from what the header says of each step; vectors go through it
   and through its transpose and inverse-transpose, which for a product of orthogonal and
   diagonal steps is known without solving. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include <math.h>

#define MOST 300

static float uniform(uint32_t seed, uint32_t i) { return (float)((double)llmq_random(seed, i) / 2147483648.0 - 1.0); }

/* A transform with its data, and T and T^-T as matrices. */
typedef struct known {
    uint32_t cols;
    llmq_transform t;
    uint8_t data[1 << 20];
    size_t used;
    double forward[MOST][MOST], contrary[MOST][MOST];
} known;

static known k; /* large */
static double step_matrix[MOST][MOST], product[MOST][MOST];

static void multiply(double (*into)[MOST], uint32_t n)
{
    uint32_t i, j, l;
    memset(product, 0, sizeof product);
    for (i = 0; i < n; i++)
        for (l = 0; l < n; l++)
            for (j = 0; j < n && step_matrix[i][l] != 0.0; j++) product[i][j] += step_matrix[i][l] * into[l][j];
    memcpy(into, product, sizeof product);
}

static void start(uint32_t cols)
{
    uint32_t i;
    memset(&k.t, 0, sizeof k.t);
    k.cols = cols;
    k.used = 1; /* an odd address */
    k.t.data = k.data + 1;
    memset(k.forward, 0, sizeof k.forward);
    memset(k.contrary, 0, sizeof k.contrary);
    for (i = 0; i < cols; i++) k.forward[i][i] = k.contrary[i][i] = 1.0;
}

static llmq_step *add_step(int kind, uint32_t block, uint32_t arg)
{
    llmq_step *s = &k.t.step[k.t.count++];
    s->kind = (uint16_t)kind;
    s->block = (uint16_t)block;
    s->arg = arg;
    memset(step_matrix, 0, sizeof step_matrix);
    return s;
}

static void smooth(uint32_t seed)
{
    uint32_t i;
    (void)add_step(LLMQ_STEP_SMOOTH, 0, k.cols);
    for (i = 0; i < k.cols; i++, k.used += 4) {
        float d = (float)exp(3.0 * (double)uniform(seed, i));
        put_float(k.data + k.used, d);
        step_matrix[i][i] = 1.0 / (double)d;
    }
    multiply(k.forward, k.cols);
    for (i = 0; i < k.cols; i++) step_matrix[i][i] = 1.0 / step_matrix[i][i];
    multiply(k.contrary, k.cols);
}

static void permute(uint32_t seed)
{
    uint32_t p[MOST], i, j, keep;
    (void)add_step(LLMQ_STEP_PERMUTE, 0, k.cols);
    for (i = 0; i < k.cols; i++) p[i] = i;
    for (i = k.cols; i > 1; i--) j = llmq_random(seed, i) % i, keep = p[j], p[j] = p[i - 1], p[i - 1] = keep;
    for (i = 0; i < k.cols; i++, k.used += 2) {
        put16(k.data + k.used, p[i]);
        step_matrix[i][p[i]] = 1.0;
    }
    multiply(k.forward, k.cols);
    multiply(k.contrary, k.cols);
}

/* Random orthogonal matrices: Gram and Schmidt's method, twice, on random rows. */
static void rotate(uint32_t block, int shared, uint32_t seed)
{
    static double r[256][256];
    uint32_t runs = k.cols / block, m, i, j, l, pass;
    (void)add_step(LLMQ_STEP_ROTATE, block, shared ? 1 : runs);
    for (i = 0; i < k.cols; i++) step_matrix[i][i] = 1.0;
    for (m = 0; m < (shared ? 1 : runs); m++) {
        for (i = 0; i < block; i++) {
            for (j = 0; j < block; j++) r[i][j] = (double)uniform(seed + m, i * block + j);
            for (pass = 0; pass < 2; pass++)
                for (l = 0; l <= i; l++) {
                    double dot = 0.0;
                    for (j = 0; j < block; j++) dot += r[i][j] * r[l][j];
                    for (j = 0; j < block; j++) r[i][j] = l < i ? r[i][j] - dot * r[l][j] : r[i][j] / sqrt(dot);
                }
        }
        for (i = 0; i < block; i++)
            for (j = 0; j < block; j++, k.used += 4) {
                float x = (float)r[i][j]; /* r_ki, row k: x_i <- sum_k r_ki x_k */
                put_float(k.data + k.used, x);
                for (l = 0; l < runs; l++)
                    if (shared || l == m) step_matrix[l * block + j][l * block + i] = (double)x;
            }
    }
    multiply(k.forward, k.cols);
    multiply(k.contrary, k.cols);
}

static void hadamard(uint32_t seed, uint32_t block)
{
    uint32_t i, j;
    float v[MOST], work[MOST];
    llmq_transform one = llmq_transform_hadamard(seed, block); /* tested by test_core */
    (void)add_step(LLMQ_STEP_HADAMARD, one.step[0].block, seed);
    for (j = 0; j < k.cols; j++) {
        memset(v, 0, sizeof v);
        v[j] = 1.0f;
        if (llmq_transform_apply(&one, LLMQ_TO_ACTIVATION, v, k.cols, work, sizeof work, NULL) != LLMQ_OK) exit(2);
        for (i = 0; i < k.cols; i++) step_matrix[i][j] = (double)v[i];
    }
    multiply(k.forward, k.cols);
    multiply(k.contrary, k.cols);
}

/* The three directions against the matrices; y = (W T^-1)(T x) against W x; all tables give the
   bits of the scalar one. */
static void try_all(const char *what)
{
    static float v[3][MOST], again[MOST], work[2 * MOST + 512];
    double x[MOST], w[MOST], y = 0.0, product_y = 0.0;
    uint32_t i, j, d, n = k.cols, table;
    size_t need = llmq_transform_work_size(&k.t, n);
    check_at("%s, %u columns", what, (unsigned)n);
    CHECK(need <= sizeof work);
    CHECK_EQ(llmq_transform_verify(&k.t, n), LLMQ_OK);
    for (i = 0; i < n; i++) x[i] = (double)uniform(91, i), w[i] = (double)uniform(92, i), y += x[i] * w[i];
    for (d = 0; d < 3; d++) {
        double error = 0.0, size = 0.0;
        for (i = 0; i < n; i++) v[d][i] = d == LLMQ_TO_WEIGHT ? (float)w[i] : (float)x[i];
        CHECK_EQ(llmq_transform_apply(&k.t, (int)d, v[d], n, work, need, NULL), LLMQ_OK);
        for (i = 0; i < n; i++) {
            double want = 0.0;
            for (j = 0; j < n; j++)
                want += d == LLMQ_TO_ACTIVATION ? k.forward[i][j] * x[j] : d == LLMQ_TO_WEIGHT
                        ? k.contrary[i][j] * w[j] : k.forward[j][i] * x[j];
            error += (want - (double)v[d][i]) * (want - (double)v[d][i]);
            size += want * want;
        }
        CHECK(sqrt(error) <= 1e-6 * (double)(k.t.count + 1) * sqrt(size));
        for (table = 1; llmq_kernels_at(table); table++) {
            const llmq_kernels *kernels = llmq_kernels_at(table);
            if (kernels->features & ~llmq_cpu_features()) continue;
            for (i = 0; i < n; i++) again[i] = d == LLMQ_TO_WEIGHT ? (float)w[i] : (float)x[i];
            CHECK_EQ(llmq_transform_apply(&k.t, (int)d, again, n, work, need, kernels), LLMQ_OK);
            CHECK(memcmp(again, v[d], n * sizeof *again) == 0);
        }
    }
    for (i = 0; i < n; i++) product_y += (double)v[LLMQ_TO_ACTIVATION][i] * (double)v[LLMQ_TO_WEIGHT][i];
    CHECK(fabs(product_y - y) <= 1e-5 * sqrt((double)n));
    /* T^T after T^-T gives the row back */
    CHECK_EQ(llmq_transform_apply(&k.t, LLMQ_FROM_WEIGHT, v[LLMQ_TO_WEIGHT], n, work, need, NULL), LLMQ_OK);
    for (i = 0, y = 0.0; i < n; i++) y += pow((double)v[LLMQ_TO_WEIGHT][i] - w[i], 2);
    CHECK(sqrt(y / n) <= 1e-5);
    if (need) CHECK_EQ(llmq_transform_apply(&k.t, 0, v[0], n, work, need - 1, NULL), LLMQ_E_WORKSPACE);
}

static void test_steps(void)
{
    static const uint32_t sizes[] = { 1, 2, 3, 16, 31, 64, 100, 128, 172, 257, 300 };
    uint32_t s;
    for (s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t n = sizes[s], b;
        start(n), smooth(1), try_all("smooth");
        start(n), permute(2), try_all("permute");
        for (b = 2; b <= 256 && b <= n; b *= 2) {
            start(n), rotate(b, 1, 3), try_all("rotate, one matrix");
            start(n), rotate(b, 0, 4), try_all("rotate, a matrix for each run");
        }
        start(n), smooth(5), hadamard(6, 64), permute(7);
        if (n >= 16) rotate(16, 0, 8), permute(9), rotate(8, 1, 10);
        hadamard(11, 16), smooth(12), try_all("all of them");
    }
}

static void test_refusals(void)
{
    float v[64], work[64];
    const llmq_step keep = { LLMQ_STEP_SMOOTH, 0, 64 };
    llmq_step s = keep;
    uint32_t i;
    check_at("sizes of data");
    CHECK_EQ((long)llmq_step_data_size(NULL), 0);
    CHECK_EQ((long)llmq_step_data_size(&s), 256);
    s.block = 1, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    s.block = 0, s.arg = 0, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    s.kind = LLMQ_STEP_PERMUTE, s.arg = 65536, CHECK_EQ((long)llmq_step_data_size(&s), 131072);
    s.arg = 65537, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    s.kind = LLMQ_STEP_ROTATE, s.arg = 3, s.block = 256, CHECK_EQ((long)llmq_step_data_size(&s), 3 * 4 * 65536);
    s.block = 512, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    s.block = 24, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    s.block = 1, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    s.kind = LLMQ_STEP_HADAMARD, s.block = 64, CHECK_EQ((long)llmq_step_data_size(&s), 0);
    check_at("steps that do not fit");
    memset(v, 0, sizeof v);
    start(64), smooth(1);
    CHECK_EQ(llmq_transform_apply(&k.t, 0, v, 63, work, sizeof work, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_verify(&k.t, 63), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_verify(&k.t, 0), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_verify(NULL, 64), LLMQ_E_ARG);
    k.t.data = NULL;
    CHECK_EQ(llmq_transform_apply(&k.t, 0, v, 64, work, sizeof work, NULL), LLMQ_E_ARG);
    start(64), rotate(16, 0, 2);
    CHECK_EQ(llmq_transform_verify(&k.t, 80), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_verify(&k.t, 79), LLMQ_OK); /* four runs, and 15 numbers that stay */
    check_at("data that is broken");
    start(64), permute(3);
    for (i = 0; i < 64; i++) {
        uint8_t old = k.data[1 + 2 * i];
        put16(k.data + 1 + 2 * i, 64), CHECK_EQ(llmq_transform_verify(&k.t, 64), LLMQ_E_ARG);
        put16(k.data + 1 + 2 * i, (old + 1u) % 64), CHECK_EQ(llmq_transform_verify(&k.t, 64), LLMQ_E_ARG);
        put16(k.data + 1 + 2 * i, old), CHECK_EQ(llmq_transform_verify(&k.t, 64), LLMQ_OK);
    }
    for (i = 0; i < 5; i++) {
        static const float bad[5] = { 0.0f, -1.0f, 1e-40f, (float)HUGE_VAL, (float)-HUGE_VAL };
        start(64), smooth(1);
        put_float(k.data + 1 + 4 * 13, bad[i]), CHECK_EQ(llmq_transform_verify(&k.t, 64), LLMQ_E_ARG);
        start(64), rotate(8, 1, 1);
        /* its row has another length */
        put_float(k.data + 1 + 4 * 13, bad[i]), CHECK_EQ(llmq_transform_verify(&k.t, 64), LLMQ_E_ARG);
    }
}

/* A permutation of more numbers than a bitmap holds. */
static void test_long_permutation(void)
{
    static uint8_t data[2 * 5000];
    llmq_transform t;
    uint32_t i;
    check_at("a long permutation");
    memset(&t, 0, sizeof t);
    t.count = 1;
    t.step[0].kind = LLMQ_STEP_PERMUTE;
    t.step[0].arg = 5000;
    t.data = data;
    for (i = 0; i < 5000; i++) put16(data + 2 * i, i * 1237 % 5000);
    CHECK_EQ(llmq_transform_verify(&t, 5000), LLMQ_OK);
    put16(data + 2 * 4999, 1237 * 11 % 5000);
    CHECK_EQ(llmq_transform_verify(&t, 5000), LLMQ_E_ARG);
}

/* Stored, written, opened, found; tensors that share it share activations; a copy of the data at
   another place is the same transform, another is not; what is broken is refused. */
static void test_bundles(void)
{
    static uint8_t stored[1 << 16], bundle[1 << 17], rows[4096], copy[1 << 17], other[1 << 20];
    static float w[4 * 100], x[100], y[4], z[4], work[4096], mem[1024];
    llmq_entry e[2];
    llmq_bundle b;
    llmq_error error;
    llmq_format f;
    llmq_tensor t, from;
    llmq_activation a;
    size_t size = sizeof stored, total, i;
    check_at("a bundle");
    start(100), smooth(1), permute(2), rotate(32, 0, 3), hadamard(4, 64), permute(5);
    CHECK_EQ(llmq_transform_store(&k.t, stored, &size), LLMQ_OK);
    CHECK_EQ((long)size, 4 + 5 * 8 + 400 + 200 + 3 * 4096 + 200);
    i = size - 1;
    CHECK_EQ(llmq_transform_store(&k.t, stored, &i), LLMQ_E_WORKSPACE);
    for (i = 0; i < 400; i++) w[i] = uniform(6, (uint32_t)i);
    for (i = 0; i < 100; i++) x[i] = uniform(7, (uint32_t)i);
    CHECK_EQ(llmq_format_find(&f, "f32", 0), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, &k.t, 4, 100, rows, sizeof rows), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&from, &f, &k.t, 4, 99, rows, sizeof rows), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, rows, 0, 4, w, 100, NULL, work, sizeof work, NULL), LLMQ_OK);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 32, x, mem, sizeof mem), LLMQ_OK);
    CHECK_EQ(llmq_matvec(&t, &a, 0, 4, y), LLMQ_OK);
    for (i = 0; i < 4; i++) {
        double want = 0.0;
        uint32_t j;
        for (j = 0; j < 100; j++) want += (double)w[i * 100 + j] * (double)x[j];
        CHECK(fabs((double)y[i] - want) < 1e-4); /* |w| |x| is about 33 */
    }
    memset(e, 0, sizeof e);
    e[0].name = "t", e[0].kind = LLMQ_KIND_TRANSFORM, e[0].data = stored, e[0].size = size;
    e[1].name = "w", e[1].kind = LLMQ_KIND_TENSOR, e[1].format = f, e[1].rows = 4, e[1].cols = 100, e[1].data = rows;
    e[1].size = 4 * t.row_size, e[1].transform = "t", e[1].t2 = -1.0f;
    total = llmq_bundle_size(e, 2);
    CHECK(total > 0 && total <= sizeof bundle);
    CHECK_EQ(llmq_bundle_write_memory(e, 2, bundle, total), LLMQ_OK);
    CHECK_EQ(llmq_bundle_open(&b, bundle, total, &error), LLMQ_OK);
    CHECK_EQ(llmq_bundle_tensor(&b, "w", &from), LLMQ_OK);
    CHECK_EQ(llmq_matvec(&from, &a, 0, 4, z), LLMQ_OK); /* the same transform, with its data elsewhere */
    CHECK(memcmp(y, z, sizeof y) == 0);
    memcpy(other, k.data, sizeof other);
    a.transform.data = other + 1;
    other[1 + 7] ^= 1;
    CHECK_EQ(llmq_matvec(&from, &a, 0, 4, z), LLMQ_E_MISMATCH);
    stored[4 + 5 * 8 + 400] ^= 1; /* a number twice */
    CHECK_EQ(llmq_bundle_write_memory(e, 2, copy, total), LLMQ_E_ARG);
    stored[4 + 5 * 8 + 400] ^= 1;
    e[0].size--;
    CHECK_EQ(llmq_bundle_write_memory(e, 2, copy, total), LLMQ_E_ARG);
}

int main(void)
{
    test_steps();
    test_refusals();
    test_long_permutation();
    test_bundles();
    return check_done("test_transform");
}
