/* test_llama2c.c - examples/llama2c.h: what it reads from checkpoints */
#include "check.h"
#include <math.h>
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LLAMA2C_IMPLEMENTATION
#include "../examples/llama2c.h"

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* One layer of the least size, and tables of cosines and sines. */
typedef struct shape { uint32_t heads, head, context; } shape;

static unsigned char bytes[400000];
static size_t table_at; /* of the cosines, in bytes */

/* in_float: computed as PyTorch does, every step rounded to a float. */
static size_t make_checkpoint(shape s, double theta, double scale, int in_float)
{
    const uint32_t dim = s.heads * s.head, config[7] = { dim, 1, 1, s.heads, s.heads, 1, s.context };
    const size_t before = (size_t)dim + dim + 4 * (size_t)dim * dim + dim + 3 * (size_t)dim + dim, half = s.head / 2,
        n = s.context * half;
    size_t i, p;
    memset(bytes, 0, sizeof bytes);
    for (i = 0; i < 7; i++) put32(bytes + 4 * i, config[i]);
    table_at = 28 + 4 * before;
    CHECK(table_at + 8 * n <= sizeof bytes);
    for (p = 0; p < s.context; p++)
        for (i = 0; i < half; i++) {
            const double frequency = pow(theta, -(double)i / (double)half);
            double angle = (double)p * scale * frequency;
            if (in_float)
                angle =
                    (double)((float)(double)p
                             * (1.0f / (float)pow((double)(float)theta, (double)((float)(2 * i) / (float)s.head)))
                             * (float)scale);
            put32(bytes + table_at + 4 * (p * half + i), bits_of((float)cos(angle)));
            put32(bytes + table_at + 4 * (n + p * half + i), bits_of((float)sin(angle)));
        }
    return table_at + 8 * n;
}

static void test_theta(void)
{
    static const shape shapes[] = { { 1, 4, 2 }, { 2, 8, 24 }, { 2, 32, 256 }, { 1, 64, 512 }, { 1, 128, 150 },
                                    { 3, 6, 1000 } };
    static const double thetas[] = { 10000, 1000000, 500000, 100000, 5000000, 1, 2, 123.4, 8e7, 1.5e9 };
    llama2c_checkpoint c;
    uint32_t i, k;
    size_t size;
    int in_float;
    for (i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (k = 0; k < sizeof thetas / sizeof *thetas; k++)
            for (in_float = 0; in_float < 2; in_float++) {
                check_at("theta %g, %lu heads of %lu, context %lu%s", thetas[k], (unsigned long)shapes[i].heads,
                         (unsigned long)shapes[i].head, (unsigned long)shapes[i].context,
                         in_float ? ", as PyTorch computes it" : "");
                size = make_checkpoint(shapes[i], thetas[k], 1, in_float);
                CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
                CHECK(bits_of(c.theta) == bits_of((float)thetas[k]));
                CHECK_EQ((long)llama2c_entry_count(&c), 7 + 9 + 2 + (thetas[k] < 10000 || thetas[k] > 10000));
                CHECK_EQ(llama2c_open(&c, bytes, size - 1), LLMQ_E_TRUNCATED);
                CHECK_EQ(llama2c_open(&c, bytes, size + 1), LLMQ_E_CORRUPT);
                CHECK_EQ(llama2c_open(&c, bytes, size + 4), LLMQ_E_CORRUPT);
            }
    size = make_checkpoint(shapes[2], 12345.678, 1, 0); /* of more digits than anybody means */
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(check_abs((double)c.theta - 12345.678) < 0.02);
    check_at("%s", "");
}

/* Tables of no theta: scaled positions, one number that is off, NaN; and those that say nothing. */
static void test_no_theta(void)
{
    static const shape usual = { 2, 8, 24 }, pair = { 2, 2, 24 }, first = { 2, 8, 1 };
    llama2c_checkpoint c;
    llmq_entry e[21];
    char names[21 * 32];
    size_t size = make_checkpoint(usual, 10000, 0.5, 0), k;
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_E_UNSUPPORTED);
    CHECK(c.fault[0] == 1);
    size = make_checkpoint(usual, 10000, 1, 0);
    for (k = table_at; k < size; k += 4) { /* each number that is not 0 or 1 for all thetas */
        unsigned char was[4];
        memcpy(was, bytes + k, 4);
        put32(bytes + k, bits_of(float_of(llama2c__u32(was)) + 4e-4f));
        CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_E_UNSUPPORTED);
        if (k >= table_at + 16 * 2 && k < table_at + 4 * 24 * 4)
            CHECK_EQ((long)(c.fault[0] * 4 + c.fault[1]), (long)(k - table_at) / 4);
        memcpy(bytes + k, was, 4);
    }
    put32(bytes + table_at + 4 * 7, 0x7fc00000u);
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_E_UNSUPPORTED);
    memset(bytes + table_at, 0, size - table_at);
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(c.theta == 10000.0f && c.epsilon == 1e-5f);
    CHECK_EQ((long)llama2c_entry_count(&c), 18);
    c.epsilon = 1e-6f, c.theta = 50.0f;
    CHECK_EQ((long)llama2c_entry_count(&c), 20);
    memset(e, 0xff, sizeof e);
    llama2c_entries(&c, e, names);
    CHECK(strcmp(e[7].name, "lm.rope_theta") == 0 && e[7].type == LLMQ_VALUE_F32
          && float_of(llama2c__u32((const unsigned char *)e[7].data)) == 50.0f);
    CHECK(strcmp(e[8].name, "lm.norm_epsilon") == 0
          && float_of(llama2c__u32((const unsigned char *)e[8].data)) == 1e-6f);
    CHECK(strcmp(e[9].name, "embed") == 0 && strcmp(e[19].name, "norm") == 0 && e[20].name != e[19].name);
    size = make_checkpoint(pair, 777, 1, 0); /* heads of one pair: no theta shows */
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(c.theta == 10000.0f);
    size = make_checkpoint(first, 777, 1, 0); /* nor at position 0 */
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(c.theta == 10000.0f);
}

int main(void)
{
    check_faults_from();
    test_theta();
    test_no_theta();
    check_fault("T10");
    return check_done("test_llama2c");
}
