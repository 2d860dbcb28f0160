/* internals.h - functions of the implementation that are not public, for the suites that look at
   them; to be included after llmq.h

   By default a suite is a program of one file: it compiles the implementation, and has these
   functions from it. With the vector kernels that takes long, so tests/run.sh compiles the
   implementation once for each compiler and links it with all suites: it defines
   LLMQ_IMPLEMENTED, so that llmq.h only declares, and TEST_LINKED, so that internals.c brings
   these. */
#ifdef TEST_LINKED
#ifdef __cplusplus
extern "C" {
#endif
uint32_t test_crc(uint32_t crc, const uint8_t *b, size_t n);
void test_store32(uint8_t *b, uint32_t v);
float test_sqrt(float x);
float test_round12(float x);
double test_sqrt64(double x);
double test_exp64(double x);
uint32_t test_base(uint32_t n);
uint32_t test_table(const llmq_format *f);
uint32_t test_nearest_point(const float *points, uint32_t n, uint32_t p, uint32_t dims, const float *x);
uint32_t test_trellis_nearest(const float *points, uint32_t n, uint32_t sets, uint32_t set, float x);
#ifdef __cplusplus
}
#endif
#ifndef TEST_INTERNALS
#define llmq__crc test_crc
#define llmq__store32 test_store32
#define llmq__sqrt test_sqrt
#define llmq__round12 test_round12
#define llmq__sqrt64 test_sqrt64
#define llmq__exp64 test_exp64
#define llmq__base test_base
#define llmq__table test_table
#define llmq__nearest test_nearest_point
#define llmq__trellis_nearest test_trellis_nearest
#endif
#endif
