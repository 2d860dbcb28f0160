/* test_core - sections 1, 3 and 4 of llmq.h: utilities, Hadamard, transform

       cc -O2 -o test_core tests/test_core.c && ./test_core */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#define VECTORS_CORE
#include "vectors/vectors.h"



/* ---- 1. Utilities ---------------------------------------------------------------------------- */

/* The number that 15 bits of binary16 stand for; 2^16 for infinity, which is where the next binade would begin. */
static double f16_magnitude(uint32_t h)
{
    int e = (int)(h >> 10);
    uint32_t fraction = h & 0x3ffu;
    if (e == 0) return (double)fraction * power_of_2(-24);
    return (double)(1024u + fraction) * power_of_2(e - 25);
}

static void test_f16_all(void)
{
    uint32_t h;
    check_at("all binary16");
    for (h = 0; h < 65536; h++) {
        uint32_t magnitude = h & 0x7fffu, u = bits_of(llmq_f16_to_f32((uint16_t)h));
        uint16_t back = llmq_f32_to_f16(float_of(u));
        CHECK_EQ(u >> 31, h >> 15);
        if (magnitude > 0x7c00u) { /* NaN: quiet, its payload in the upper bits */
            CHECK((u & 0x7fffffffu) > 0x7f800000u && (u & 0x400000u) && (u >> 13 & 0x1ffu) == (h & 0x1ffu));
            CHECK_EQ(back, (uint16_t)(h | 0x200u));
        } else if (magnitude == 0x7c00u) {
            CHECK_EQ(u & 0x7fffffffu, 0x7f800000u);
            CHECK_EQ(back, (uint16_t)h);
        } else {
            double expected = f16_magnitude(magnitude);
            CHECK((double)float_of(u & 0x7fffffffu) >= expected && (double)float_of(u & 0x7fffffffu) <= expected);
            CHECK_EQ(back, (uint16_t)h);
        }
    }
}

/* Between each number of binary16 and the next (after the largest, infinity in the place of
   2^16) the float half-way goes to the even one, the float below it down, the one above it up.
   With the exact values that fixes every float of a monotonic conversion; random floats see
   whether it is one. */
static void test_f16_rounding(void)
{
    uint32_t h, sign, i;
    check_at("binary16 midpoints");
    for (sign = 0; sign <= 0x8000u; sign += 0x8000u)
        for (h = 0; h < 0x7c00u; h++) {
            float middle = (float)((f16_magnitude(h) + f16_magnitude(h + 1)) / 2.0); /* exact: 12 bits */
            uint32_t u = bits_of(middle) | sign << 16;
            CHECK_EQ(llmq_f32_to_f16(float_of(u)), (uint16_t)(sign | (h + (h & 1))));
            CHECK_EQ(llmq_f32_to_f16(float_of(u - 1)), (uint16_t)(sign | h));
            CHECK_EQ(llmq_f32_to_f16(float_of(u + 1)), (uint16_t)(sign | (h + 1)));
        }
    check_at("binary16 random");
    for (i = 0; i < 200000; i++) {
        uint32_t u = check_random() & 0x7fffffffu;
        if (i & 1) u = 0x32800000u + check_below(0x47a00000u - 0x32800000u); /* 2^-26 to 2^16 + 2^14 */
        if (u > 0x7f800000u) continue;
        h = llmq_f32_to_f16(float_of(u));
        if (u == 0x7f800000u || h > 0x7c00u) {
            CHECK_EQ(h, 0x7c00u);
            continue;
        }
        CHECK(h == 0 || (double)float_of(u) >= (f16_magnitude(h - 1) + f16_magnitude(h)) / 2.0);
        CHECK(h == 0x7c00u || (double)float_of(u) <= (f16_magnitude(h) + f16_magnitude(h + 1)) / 2.0);
    }
}

static void test_bf16(void)
{
    uint32_t h;
    for (h = 0; h < 65536; h++) {
        uint32_t magnitude = h & 0x7fffu;
        check_at("bfloat16 %04lx", (unsigned long)h);
        if (magnitude > 0x7f80u) {
            float x = llmq_bf16_to_f32((uint16_t)h);
            CHECK(x != x);
            CHECK_EQ(llmq_f32_to_bf16(x), (uint16_t)(h | 0x40u));
            continue;
        }
        CHECK_EQ(bits_of(llmq_bf16_to_f32((uint16_t)h)), h << 16);
        CHECK_EQ(llmq_f32_to_bf16(llmq_bf16_to_f32((uint16_t)h)), (uint16_t)h);
        if (magnitude == 0x7f80u) continue;
        /* bfloat16 are the floats whose low half is 0, so half-way to the next, infinity too, the low half is 8000 */
        CHECK_EQ(llmq_f32_to_bf16(float_of(h << 16 | 0x8000u)), (uint16_t)(h + (h & 1)));
        CHECK_EQ(llmq_f32_to_bf16(float_of(h << 16 | 0x7fffu)), (uint16_t)h);
        CHECK_EQ(llmq_f32_to_bf16(float_of(h << 16 | 0x8001u)), (uint16_t)(h + 1));
        CHECK_EQ(llmq_f32_to_bf16(float_of(h << 16 | (check_random() & 0x7fffu))), (uint16_t)h);
    }
    check_at("NaN whose payload is all in the lower half"); /* cutting it off would leave infinity */
    CHECK_EQ(llmq_f32_to_bf16(float_of(0x7f800001u)), 0x7fc0);
    CHECK_EQ(llmq_f32_to_bf16(float_of(0xff80ffffu)), 0xffc0);
    CHECK_EQ(llmq_f32_to_f16(float_of(0x7f800001u)), 0x7e00);
    CHECK_EQ(llmq_f32_to_f16(float_of(0xff801fffu)), 0xfe00);
}

static void test_half_vectors(void)
{
    size_t i;
    for (i = 0; i < COUNT(vector_halves); i++) {
        check_at("float bits %08lx", (unsigned long)vector_halves[i].f32);
        CHECK_EQ(llmq_f32_to_f16(float_of(vector_halves[i].f32)), vector_halves[i].f16);
        CHECK_EQ(llmq_f32_to_bf16(float_of(vector_halves[i].f32)), vector_halves[i].bf16);
    }
}

/* The sum over cells of (hits - expected)^2 / expected has mean `cells` and deviation sqrt(2
   cells). The function has no state, so this passes or fails for ever; 6 deviations is a bound
   that a good function has no reason to pass. */
static void check_flat(const uint32_t *hits, uint32_t cells, double total)
{
    double expected = total / cells, chi = 0.0;
    uint32_t i;
    for (i = 0; i < cells; i++) chi += ((double)hits[i] - expected) * ((double)hits[i] - expected) / expected;
    CHECK(chi < cells + 6.0 * check_sqrt(2.0 * cells));
    CHECK(chi > cells - 6.0 * check_sqrt(2.0 * cells));
}

/* 2^16 numbers along counters, or along seeds: their bytes, and which bits change from one to the next. */
static void test_random_walk(int along_seeds)
{
    static uint32_t low[256], high[256];
    uint32_t flips[32], i, b, before = 0, n = 65536;
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    memset(flips, 0, sizeof flips);
    check_at("random numbers along %s", along_seeds ? "seeds" : "counters");
    for (i = 0; i < n; i++) {
        uint32_t v = along_seeds ? llmq_random(i, 3) : llmq_random(3, i);
        low[v & 255]++;
        high[v >> 24]++;
        for (b = 0; b < 32; b++) flips[b] += (v ^ before) >> b & 1;
        before = v;
    }
    check_flat(low, 256, n);
    check_flat(high, 256, n);
    for (b = 0; b < 32; b++) /* binomial: n / 2 with deviation sqrt(n) / 2 = 128 */
        CHECK(check_abs((double)flips[b] - n / 2.0) < 6.0 * 128.0);
}

static void test_random(void)
{
    size_t i;
    for (i = 0; i < COUNT(vector_randoms); i++) {
        check_at("random number %lu", (unsigned long)i);
        CHECK_EQ(llmq_random(vector_randoms[i].seed, vector_randoms[i].counter), vector_randoms[i].value);
    }
    test_random_walk(0);
    test_random_walk(1);
}

static void test_status(void)
{
    int i, k;
    check_at("status");
    CHECK_EQ(llmq_selftest(), LLMQ_OK);
    for (i = 0; i >= LLMQ_E_INDEFINITE; i--) {
        CHECK(llmq_status_text(i)[0] != 0);
        CHECK(strcmp(llmq_status_text(i), "unknown status") != 0);
        for (k = 0; k > i; k--) CHECK(strcmp(llmq_status_text(i), llmq_status_text(k)) != 0);
    }
    CHECK(strcmp(llmq_status_text(1), "unknown status") == 0);
    CHECK(strcmp(llmq_status_text(LLMQ_E_INDEFINITE - 1), "unknown status") == 0);
    CHECK(strcmp(llmq_status_text(-2147483647 - 1), "unknown status") == 0);
    CHECK(strcmp(llmq_status_text(2147483647), "unknown status") == 0);
}

/* ---- 2. Hadamard ----------------------------------------------------------------------------- */

#define LONGEST 32768

static float vector[LONGEST], before[LONGEST], once[LONGEST];
static float workspace[LONGEST + 16];

/* Orders by hand, from the header's rule: the bases are those multiples m of 4 up to 128 with m
   - 1 or m/2 - 1 as wanted, 52 92 100 116 have neither, 104 = 103 + 1 is the one that comes in
   for a smaller one of the same odd part. */
static int is_order(size_t n)
{
    static const uint8_t base[] = { 1, 12, 20, 28, 36, 44, 60, 68, 76, 84, 104, 108, 124 };
    size_t i, k;
    for (i = 0; i < COUNT(base); i++)
        for (k = base[i]; k <= n; k *= 2)
            if (k == n) return 1;
    return 0;
}

/* The largest base that divides an order by a power of two, 1 for powers of two. */
static size_t base_of(size_t n)
{
    size_t m = n;
    while (m % 2 == 0 && is_order(m / 2)) m /= 2;
    return m;
}

static size_t first_block(size_t n, size_t max_block)
{
    size_t b = 1;
    if (n <= max_block && is_order(n)) return n;
    while (2 * b <= n && 2 * b <= max_block) b *= 2;
    return b;
}

static double norm_of(const float *x, size_t n)
{
    double sum = 0.0;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return check_sqrt(sum);
}

static double distance(const float *x, const float *y, size_t n)
{
    double sum = 0.0;
    size_t i;
    for (i = 0; i < n; i++) sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return check_sqrt(sum);
}

static void random_vector(float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) x[i] = (float)(check_uniform() * 2.0 - 1.0);
}

static void test_blocks(void)
{
    static const size_t maximum[] = { 1, 2, 64, 256, 1024, 32768 };
    size_t n, i;
    for (i = 0; i < COUNT(maximum); i++)
        for (n = 1; n <= 5000; n++) {
            check_at("block of %lu, at most %lu", (unsigned long)n, (unsigned long)maximum[i]);
            CHECK_EQ((long)llmq_hadamard_block(n, maximum[i]), (long)first_block(n, maximum[i]));
        }
    check_at("blocks that the header names");
    CHECK_EQ((long)llmq_hadamard_block(172, 0), 128);
    CHECK_EQ((long)llmq_hadamard_block(172 - 128, 0), 44);
    CHECK_EQ((long)llmq_hadamard_block(576, 0), 576);
    for (n = 11008; n > 768; n -= 1024) CHECK_EQ((long)llmq_hadamard_block(n, 0), 1024);
    CHECK_EQ((long)llmq_hadamard_block(768, 0), 768);
    CHECK_EQ((long)llmq_hadamard_block(11008, 32768), 8192); /* 43 x 256 is not an order: 4 x 43 is over 128 */
    CHECK_EQ((long)llmq_hadamard_block((size_t)1 << 24, 32768), 32768);
    CHECK_EQ((long)llmq_hadamard_block((size_t)-1, 0), LLMQ_DEFAULT_BLOCK);
    CHECK_EQ((long)llmq_hadamard_block(0, 0), 0);
    CHECK_EQ((long)llmq_hadamard_block(8, 3), 0);
    CHECK_EQ((long)llmq_hadamard_block(8, 65536), 0);
    CHECK_EQ((long)llmq_hadamard_block(8, (size_t)-1), 0);
}

/* H H x = x, |H x| = |x|, the workspace is enough, is not overrun and one byte less is refused.
   Rounding: a number takes part in at most k + m additions of a pass, k <= 12, m <= 124, and a
   multiplication by a rounded constant (3 roundings). Each rounds a partial sum of the size of
   the norm over the block, relative 2^-24. If all errors had one sign that were 2 * 139 * 6e-8 =
   1.7e-5 in two passes; as they do not, 1e-5 is generous (the most seen is 3.2e-7), while a
   wrong sign anywhere in a block of n makes an error of 2 / n, over 4e-5 even at 32768. */
static void check_involution(size_t n, size_t max_block)
{
    static const unsigned char canary[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    size_t need = llmq_hadamard_work_size(n, max_block), limit = max_block ? max_block : LLMQ_DEFAULT_BLOCK;
    unsigned char *after = (unsigned char *)workspace + need;
    double norm;
    check_at("n %lu, blocks up to %lu", (unsigned long)n, (unsigned long)max_block);
    random_vector(vector, n);
    memcpy(before, vector, n * sizeof *vector);
    norm = norm_of(vector, n);
    CHECK(need <= 4 * (n < limit ? n : limit));
    memcpy(after, canary, sizeof canary);
    if (need) {
        CHECK_EQ(llmq_hadamard(vector, n, max_block, workspace, need - 1, NULL), LLMQ_E_WORKSPACE);
        CHECK(memcmp(vector, before, n * sizeof *vector) == 0);
    }
    CHECK_EQ(llmq_hadamard(vector, n, max_block, need ? workspace : NULL, need, NULL), LLMQ_OK);
    CHECK(check_abs(norm_of(vector, n) - norm) <= 1e-5 * norm);
    if (n >= 32 && limit > 1) CHECK(distance(vector, before, n) > 0.1 * norm); /* it does something: sqrt 2 is likely */
    CHECK_EQ(llmq_hadamard(vector, n, max_block, need ? workspace : NULL, need, NULL), LLMQ_OK);
    CHECK(distance(vector, before, n) <= 1e-5 * norm);
    CHECK(memcmp(after, canary, sizeof canary) == 0);
}

static void test_involutions(void)
{
    static const size_t maximum[] = { 1, 2, 16, 128, 512, 4096, 32768 };
    static const size_t large[] = { 4097, 5632, 11008, 14336, 28672, 32767, 32768 };
    size_t n, i, left;
    for (n = 1; n <= 4096; n++) check_involution(n, 0);
    for (i = 0; i < COUNT(maximum); i++)
        for (n = 1; n <= 4096; n += 1 + n / 8) check_involution(n, maximum[i]);
    for (i = 0; i < COUNT(large); i++) check_involution(large[i], i % 2 ? 0 : 32768);
    for (n = 1; n <= 4096; n++) { /* no workspace exactly when all blocks are powers of two */
        int paley = 0;
        check_at("workspace of %lu", (unsigned long)n);
        for (left = n; left > 0; left -= first_block(left, 1024)) paley |= base_of(first_block(left, 1024)) > 1;
        CHECK_EQ(llmq_hadamard_work_size(n, 0) != 0, paley);
    }
}

/* Column j of the matrix of order n is in vector: are its entries +-1 / sqrt(n), the root and
   the quotient each rounded to float? (The root is first rounded to double here, which cannot
   matter: a root of a whole number below 2^24 is a float, or farther than 2^-50 of itself from
   half-way between two.) */
static void check_column(size_t n, size_t j)
{
    float entry = 1.0f / (float)check_sqrt((double)n);
    size_t i, same = 0;
    for (i = 0; i < n; i++) same += (bits_of(vector[i]) & 0x7fffffffu) == bits_of(entry);
    check_at("order %lu, column %lu", (unsigned long)n, (unsigned long)j);
    CHECK_EQ((long)same, (long)n);
}

static void unit_column(size_t n, size_t j)
{
    memset(vector, 0, n * sizeof *vector);
    vector[j] = 1.0f;
    check_at("order %lu, column %lu", (unsigned long)n, (unsigned long)j);
    CHECK_EQ(llmq_hadamard(vector, n, 32768, workspace, sizeof workspace, NULL), LLMQ_OK);
    check_column(n, j);
}

/* All of the matrix for orders up to 512. */
static void test_small_orders(void)
{
    static uint8_t negative[512][512];
    size_t n, i, j, asymmetric;
    for (n = 1; n <= 512; n++) {
        if (!is_order(n)) continue;
        for (j = 0; j < n; j++) {
            unit_column(n, j);
            for (i = 0; i < n; i++) negative[j][i] = vector[i] < 0.0f;
        }
        for (asymmetric = 0, i = 0; i < n; i++)
            for (j = 0; j < i; j++) asymmetric += negative[i][j] != negative[j][i];
        check_at("symmetry of order %lu", (unsigned long)n);
        CHECK_EQ((long)asymmetric, 0);
    }
}

/* Columns 0, 1, the last and three others of larger orders: their entries, and symmetry where two of them cross. */
static void test_large_orders(void)
{
    size_t n, at[6], i, k;
    uint8_t negative[6][6];
    for (n = 513; n <= LONGEST; n++) {
        if (!is_order(n)) continue;
        at[0] = 0, at[1] = 1, at[2] = n - 1, at[3] = n / 2;
        at[4] = check_below((uint32_t)n), at[5] = check_below((uint32_t)n);
        for (i = 0; i < 6; i++) {
            unit_column(n, at[i]);
            for (k = 0; k < 6; k++) negative[i][k] = vector[at[k]] < 0.0f;
        }
        check_at("symmetry of order %lu", (unsigned long)n);
        for (i = 0; i < 6; i++)
            for (k = 0; k < i; k++) CHECK_EQ(negative[i][k], negative[k][i]);
    }
}

/* Bound of the error against exact arithmetic: as above, half the passes. The vectors are rounded to 12 digits. */
static void test_transform_vectors(void)
{
    size_t c, i;
    for (c = 0; c < COUNT(vector_cases); c++) {
        const vector_case *v = &vector_cases[c];
        double sum = 0.0, error = 0.0;
        check_at("vector %lu: n %lu, %lu steps", (unsigned long)c, (unsigned long)v->n, (unsigned long)v->steps);
        for (i = 0; i < v->n; i++) vector[i] = (float)vector_input[i];
        if (v->steps == 0) {
            CHECK_EQ(llmq_hadamard(vector, v->n, v->block[0], workspace, sizeof workspace, NULL), LLMQ_OK);
        } else {
            llmq_transform t = llmq_transform_hadamard(v->seed[0], v->block[0]);
            t.count = v->steps;
            if (v->steps > 1) t.step[1] = llmq_transform_hadamard(v->seed[1], v->block[1]).step[0];
            CHECK_EQ(llmq_transform_apply(&t, v->back ? LLMQ_FROM_WEIGHT : LLMQ_TO_ACTIVATION, vector, v->n, workspace,
                                          sizeof workspace, NULL), LLMQ_OK);
        }
        for (i = 0; i < v->n; i++) {
            double d = (double)vector[i] - vector_transformed[v->at + i];
            error += d * d;
            sum += vector_transformed[v->at + i] * vector_transformed[v->at + i];
        }
        CHECK(check_sqrt(error) <= 5e-6 * check_sqrt(sum));
    }
}

static void test_not_finite(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u };
    static const size_t length[] = { 172, 576, 1024 };
    size_t b, l, i, at;
    for (b = 0; b < COUNT(bad); b++)
        for (l = 0; l < COUNT(length); l++)
            for (at = 0; at < length[l]; at += 13) {
                size_t block = first_block(length[l], 1024), spoiled = 0, n = length[l];
                random_vector(vector, n);
                vector[at] = float_of(bad[b]);
                check_at("%08lx at %lu of %lu", (unsigned long)bad[b], (unsigned long)at, (unsigned long)n);
                CHECK_EQ(llmq_hadamard(vector, n, 0, workspace, sizeof workspace, NULL), LLMQ_OK);
                for (i = 0; i < n; i++) spoiled += (bits_of(vector[i]) & 0x7f800000u) == 0x7f800000u;
                CHECK_EQ((long)spoiled, (long)(at < block ? block : n - block)); /* its own block, no other */
            }
}

static void test_hadamard_errors(void)
{
    void *misaligned = (unsigned char *)workspace + 1;
    check_at("errors of llmq_hadamard");
    random_vector(vector, 172);
    memcpy(before, vector, sizeof before);
    CHECK_EQ(llmq_hadamard(NULL, 172, 0, workspace, sizeof workspace, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 0, 0, workspace, sizeof workspace, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 172, 3, workspace, sizeof workspace, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 172, 65536, workspace, sizeof workspace, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 172, (size_t)-1, workspace, sizeof workspace, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 172, 0, NULL, sizeof workspace, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 172, 0, misaligned, sizeof workspace - 4, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_hadamard(vector, 172, 0, workspace, 0, NULL), LLMQ_E_WORKSPACE);
    CHECK(memcmp(vector, before, sizeof before) == 0);
    CHECK_EQ((long)llmq_hadamard_work_size(0, 0), 0);
    CHECK_EQ((long)llmq_hadamard_work_size(172, 3), 0);
    CHECK(llmq_hadamard_work_size((size_t)-1, 0) <= 4096); /* and does not take for ever */
}

/* Vector and workspace beside unmapped pages, at both ends. */
static void test_hadamard_walls(void)
{
    static const size_t length[] = { 1, 2, 3, 12, 20, 28, 44, 100, 172, 248, 255, 576, 1000, 1024 };
    check_wall x = check_wall_open(1024 * sizeof(float)), work = check_wall_open(1024 * sizeof(float));
    size_t i, side;
    for (i = 0; i < COUNT(length); i++)
        for (side = 0; side < 2; side++) {
            size_t n = length[i], need = llmq_hadamard_work_size(n, 0);
            float *v = (float *)(void *)(side ? x.start : x.end - n * sizeof(float));
            random_vector(v, n);
            memcpy(vector, v, n * sizeof(float));
            check_at("walls, n %lu", (unsigned long)n);
            CHECK_EQ(llmq_hadamard(v, n, 0, side ? work.start : work.end - need, need, NULL), LLMQ_OK);
            CHECK_EQ(llmq_hadamard(vector, n, 0, workspace, need, NULL), LLMQ_OK);
            CHECK(memcmp(v, vector, n * sizeof(float)) == 0);
        }
    check_wall_close(&x);
    check_wall_close(&work);
}

/* ---- 3. Transform ---------------------------------------------------------------------------- */

static const uint32_t transform_lengths[] = { 1, 2, 3, 31, 32, 33, 44, 100, 172, 576, 1000, 1024, 1025, 4097 };

static llmq_transform two_steps(uint32_t seed)
{
    llmq_transform t = llmq_transform_hadamard(seed, 64);
    t.step[1] = llmq_transform_hadamard(seed + 1, 0).step[0];
    t.count = 2;
    return t;
}

static void apply(const llmq_transform *t, int direction, float *v, uint32_t n)
{
    CHECK_EQ(llmq_transform_apply(t, direction, v, n, workspace, llmq_transform_work_size(t, n), NULL), LLMQ_OK);
}

/* Back and forth, and products kept: <T^-T w, T x> = <w, x>. Tolerances are those of check_involution. */
static void test_transform_laws(void)
{
    size_t l, i;
    uint32_t seed;
    for (l = 0; l < COUNT(transform_lengths); l++)
        for (seed = 0; seed < 4; seed++) {
            uint32_t n = transform_lengths[l];
            llmq_transform t = seed % 2 ? two_steps(seed) : llmq_transform_hadamard(seed, seed ? 256 : 0);
            double dot = 0.0, transformed = 0.0, size;
            check_at("transform of %lu, seed %lu", (unsigned long)n, (unsigned long)seed);
            random_vector(vector, n);
            random_vector(once, n);
            memcpy(before, vector, n * sizeof *vector);
            for (i = 0; i < n; i++) dot += (double)vector[i] * (double)once[i];
            size = norm_of(vector, n) * norm_of(once, n);
            apply(&t, LLMQ_TO_WEIGHT, vector, n);
            apply(&t, LLMQ_TO_ACTIVATION, once, n);
            for (i = 0; i < n; i++) transformed += (double)vector[i] * (double)once[i];
            CHECK(check_abs(transformed - dot) <= 1e-5 * size);
            apply(&t, LLMQ_FROM_WEIGHT, vector, n);
            CHECK(distance(vector, before, n) <= 1e-5 * norm_of(before, n));
        }
}

/* T e_j = s_j H e_j, to the bit, for each j: the signs are those that the header describes, and come before H. */
static void test_signs(void)
{
    static const uint32_t length[] = { 32, 44, 100, 172 };
    size_t l;
    uint32_t j, i, seed = 77;
    for (l = 0; l < COUNT(length); l++)
        for (j = 0; j < length[l]; j++) {
            uint32_t n = length[l];
            llmq_transform t = llmq_transform_hadamard(seed, 0);
            float sign = llmq_random(seed, j / 32) >> j % 32 & 1 ? -1.0f : 1.0f;
            size_t different = 0;
            memset(vector, 0, n * sizeof *vector);
            memset(once, 0, n * sizeof *once);
            vector[j] = 1.0f;
            once[j] = sign;
            check_at("sign %lu of %lu", (unsigned long)j, (unsigned long)n);
            apply(&t, LLMQ_TO_ACTIVATION, vector, n);
            CHECK_EQ(llmq_hadamard(once, n, 0, workspace, sizeof workspace, NULL), LLMQ_OK);
            for (i = 0; i < n; i++) different += !(vector[i] >= once[i] && vector[i] <= once[i]); /* -0 is 0 */
            CHECK_EQ((long)different, 0);
        }
}

/* A row of ones has all its energy in one coefficient of 32 when there are no signs. With them
   each coefficient is a sum of 1024 signs / 32, as good as N(0,1): that one of 1024 is over 6
   has a chance of 2e-6 a seed. */
static void test_bias(void)
{
    uint32_t seed, i;
    for (i = 0; i < 1024; i++) vector[i] = 1.0f;
    check_at("ones without signs");
    CHECK_EQ(llmq_hadamard(vector, 1024, 0, NULL, 0, NULL), LLMQ_OK);
    CHECK(vector[0] > 31.9f);
    for (seed = 0; seed < 32; seed++) {
        llmq_transform t = llmq_transform_hadamard(seed, 0);
        float most = 0.0f;
        for (i = 0; i < 1024; i++) vector[i] = 1.0f;
        check_at("ones, seed %lu", (unsigned long)seed);
        apply(&t, LLMQ_TO_WEIGHT, vector, 1024);
        for (i = 0; i < 1024; i++)
            if (vector[i] > most || -vector[i] > most) most = vector[i] > 0.0f ? vector[i] : -vector[i];
        CHECK(most < 6.0f);
        CHECK(most > 1.0f); /* or it would be no orthogonal transform */
    }
}

/* Steps are applied in order to both inputs, and undone in the opposite order; all of LLMQ_MAX_STEPS can be used. */
static void test_steps(void)
{
    llmq_transform t = llmq_transform_hadamard(0, 0), one;
    uint32_t i, n = 1000;
    for (i = 0; i < LLMQ_MAX_STEPS; i++) t.step[i] = llmq_transform_hadamard(100 + i, 1u << (2 + i)).step[0];
    t.count = LLMQ_MAX_STEPS;
    random_vector(before, n);
    memcpy(vector, before, n * sizeof *vector);
    memcpy(once, before, n * sizeof *once);
    check_at("steps");
    apply(&t, LLMQ_TO_ACTIVATION, vector, n);
    for (i = 0; i < LLMQ_MAX_STEPS; i++) {
        one = llmq_transform_hadamard(100 + i, 1u << (2 + i));
        apply(&one, LLMQ_TO_ACTIVATION, once, n);
    }
    CHECK(memcmp(vector, once, n * sizeof *vector) == 0);
    memcpy(once, before, n * sizeof *once);
    apply(&t, LLMQ_TO_WEIGHT, once, n); /* orthogonal: T^-T = T */
    CHECK(memcmp(vector, once, n * sizeof *vector) == 0);
    apply(&t, LLMQ_FROM_WEIGHT, vector, n);
    for (i = LLMQ_MAX_STEPS; i > 0; i--) {
        one = llmq_transform_hadamard(100 + i - 1, 1u << (1 + i));
        apply(&one, LLMQ_FROM_WEIGHT, once, n);
    }
    CHECK(memcmp(vector, once, n * sizeof *vector) == 0);
    CHECK(distance(vector, before, n) <= 1e-5 * LLMQ_MAX_STEPS * norm_of(before, n));
    apply(NULL, LLMQ_TO_ACTIVATION, vector, n);
    CHECK(memcmp(vector, once, n * sizeof *vector) == 0);
    t.count = 0;
    apply(&t, LLMQ_FROM_WEIGHT, vector, n);
    CHECK(memcmp(vector, once, n * sizeof *vector) == 0);
    /* the workspace is that of the step which needs most: here 44 floats, first or last */
    t = llmq_transform_hadamard(1, 0);
    t.step[1] = llmq_transform_hadamard(2, 8).step[0];
    t.count = 2;
    CHECK_EQ((long)llmq_transform_work_size(&t, 172), (long)llmq_hadamard_work_size(172, 0));
    one = t;
    one.step[0] = t.step[1];
    one.step[1] = t.step[0];
    CHECK_EQ((long)llmq_transform_work_size(&one, 172), (long)llmq_hadamard_work_size(172, 0));
    t.count = 0;
    CHECK_EQ((long)llmq_transform_work_size(NULL, n), 0);
    CHECK_EQ((long)llmq_transform_work_size(&t, n), 0);
}

/* Tries a call that must fail, and must leave the vector alone. */
static void refuse(const llmq_transform *t, int direction, uint32_t n, void *work, size_t size, llmq_status expected)
{
    random_vector(vector, 172);
    memcpy(before, vector, 172 * sizeof *vector);
    CHECK_EQ(llmq_transform_apply(t, direction, vector, n, work, size, NULL), expected);
    CHECK(memcmp(vector, before, 172 * sizeof *vector) == 0);
}

static void test_transform_errors(void)
{
    static const uint32_t bad_block[] = { 3, 48, 1023, 65535, 65536, 65537, 131072, 0xffffffffu };
    llmq_transform t = llmq_transform_hadamard(1, 0), bad = t;
    size_t need = llmq_transform_work_size(&t, 172), i;
    CHECK_EQ((long)need, (long)llmq_hadamard_work_size(172, 0));
    check_at("transform: range");
    CHECK_EQ(llmq_transform_apply(&t, LLMQ_TO_WEIGHT, NULL, 172, workspace, need, NULL), LLMQ_E_ARG);
    refuse(&t, -1, 172, workspace, need, LLMQ_E_ARG);
    refuse(&t, 3, 172, workspace, need, LLMQ_E_ARG);
    refuse(&t, LLMQ_TO_WEIGHT, 0, workspace, need, LLMQ_E_ARG);
    refuse(&t, LLMQ_TO_WEIGHT, ((uint32_t)1 << 24) + 1, workspace, sizeof workspace, LLMQ_E_ARG);
    check_at("transform: workspace");
    refuse(&t, LLMQ_TO_WEIGHT, 172, workspace, need - 1, LLMQ_E_WORKSPACE);
    refuse(&t, LLMQ_FROM_WEIGHT, 172, workspace, 0, LLMQ_E_WORKSPACE);
    refuse(&t, LLMQ_FROM_WEIGHT, 172, NULL, need, LLMQ_E_ARG);
    refuse(&t, LLMQ_TO_ACTIVATION, 172, NULL, need, LLMQ_E_ARG);
    refuse(&t, LLMQ_TO_ACTIVATION, 172, (unsigned char *)workspace + 1, need, LLMQ_E_ARG);
    bad = two_steps(1); /* the first step needs no workspace at this length, 21 x 8 + 4, but the second does */
    bad.step[0].block = 8;
    CHECK_EQ((long)llmq_hadamard_work_size(172, 8), 0);
    refuse(&bad, LLMQ_TO_ACTIVATION, 172, NULL, need, LLMQ_E_ARG);
    check_at("transform: steps");
    bad = t;
    bad.count = LLMQ_MAX_STEPS + 1;
    refuse(&bad, LLMQ_TO_WEIGHT, 172, workspace, sizeof workspace, LLMQ_E_LIMIT);
    bad = two_steps(1);
    bad.step[1].kind = 5;
    refuse(&bad, LLMQ_TO_WEIGHT, 172, workspace, sizeof workspace, LLMQ_E_UNSUPPORTED);
    bad.step[1].kind = 0;
    refuse(&bad, LLMQ_FROM_WEIGHT, 172, workspace, sizeof workspace, LLMQ_E_UNSUPPORTED);
    bad = two_steps(1);
    bad.step[1].block = 0;
    refuse(&bad, LLMQ_TO_WEIGHT, 172, workspace, sizeof workspace, LLMQ_E_ARG);
    for (i = 0; i < COUNT(bad_block); i++) {
        check_at("transform: block %lu", (unsigned long)bad_block[i]);
        bad = llmq_transform_hadamard(1, bad_block[i]);
        refuse(&bad, LLMQ_TO_ACTIVATION, 172, workspace, sizeof workspace, LLMQ_E_ARG);
    }
}

int main(void)
{
    test_status();
    test_f16_all();
    test_f16_rounding();
    test_bf16();
    test_half_vectors();
    test_random();
    test_blocks();
    test_involutions();
    test_small_orders();
    test_large_orders();
    test_transform_vectors();
    test_not_finite();
    test_hadamard_errors();
    test_hadamard_walls();
    test_transform_laws();
    test_signs();
    test_bias();
    test_steps();
    test_transform_errors();
    return check_done("test_core");
}
