/* internals.c - for suites that are linked with an object of the implementation: see internals.h

   The functions come from the implementation that is compiled here, without vector kernels. All
   of it is static, so what they do not call is dropped before it costs time; and so it is seen,
   under the strict warnings, that this form compiles. */
#define LLMQ_IMPLEMENTATION
#define LLMQ_STATIC 1
#define LLMQ_SIMD 0
#include "../llmq.h"
#define TEST_LINKED
#define TEST_INTERNALS
#include "internals.h"

uint32_t test_crc(uint32_t crc, const uint8_t *b, size_t n) { return llmq__crc(crc, b, n); }
void test_store32(uint8_t *b, uint32_t v) { llmq__store32(b, v); }
float test_sqrt(float x) { return llmq__sqrt(x); }
float test_round12(float x) { return llmq__round12(x); }
double test_sqrt64(double x) { return llmq__sqrt64(x); }
double test_exp64(double x) { return llmq__exp64(x); }
uint32_t test_base(uint32_t n) { return llmq__base(n); }
uint32_t test_table(const llmq_format *f) { return llmq__table(f); }
uint32_t test_nearest_point(const float *points, uint32_t n, uint32_t p, uint32_t dims, const float *x)
{
    return llmq__nearest(points, n, p, dims, x);
}
uint32_t test_trellis_nearest(const float *points, uint32_t n, uint32_t sets, uint32_t set, float x)
{
    return llmq__trellis_nearest(points, n, sets, set, x);
}
