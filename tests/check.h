/* check.h - what the tests share: checks that are counted, memory beside unmapped pages, random numbers, floats

   Include it before anything else: the walls need declarations that -std=c99 hides unless _DEFAULT_SOURCE is defined
   before the first system header. Nothing here uses llmq.h, or the mathematics library. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "helpers.h"
#if defined(__unix__) || defined(__APPLE__)
#define CHECK_WALLS 1
#include <sys/mman.h>
#include <unistd.h>
#else
#define CHECK_WALLS 0
#endif

/* ---- checks -------------------------------------------------------------------------------------------------------

   CHECK(condition) and CHECK_EQ(int, int) count; the first failures are printed, with what check_at last said.
   check_faults_from() begins the checks of a reported fault, check_fault(ID) ends them. */

#define CHECK_PRINTED 20

static unsigned long check_passed, check_failed;
static char check_where[160];

/* Names the case that the checks which follow are about, as printf; "" for none. */
#if defined(__GNUC__) || defined(__clang__)
static inline void check_at(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
static inline void check_at(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(check_where, sizeof check_where, format, arguments);
    va_end(arguments);
}

static inline int check_count(int good, const char *file, int line)
{
    if (good) {
        check_passed++;
        return 0;
    }
    check_failed++;
    if (check_failed == CHECK_PRINTED + 1) printf("further failures are counted, not printed\n");
    if (check_failed > CHECK_PRINTED) return 0;
    printf("%s:%d: ", file, line);
    if (check_where[0]) printf("[%s] ", check_where);
    return 1;
}

static inline int check_true(int good, const char *file, int line, const char *text)
{
    if (check_count(good, file, line)) printf("%s\n", text);
    return good;
}

static inline int check_equal(long got, long expected, const char *file, int line, const char *text)
{
    if (check_count(got == expected, file, line)) printf("%s: got %ld, expected %ld\n", text, got, expected);
    return got == expected;
}

#define CHECK(condition) check_true((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define CHECK_EQ(got, expected) check_equal((got), (expected), __FILE__, __LINE__, #got " == " #expected)

/* Prints the one line that sums up; the exit status of the program. */
static inline int check_done(const char *suite)
{
    printf("%s: %lu passed, %lu failed\n", suite, check_passed, check_failed);
    return check_failed != 0;
}

/* Ends the checks of one reported fault (L1, T4 ...): a line for the runner, which counts the
   faults that have a test. */
static unsigned long check_failed_before;
static inline void check_faults_from(void) { check_failed_before = check_failed; }
static inline void check_fault(const char *id)
{
    printf("fault %s %s\n", id, check_failed == check_failed_before ? "ok" : "FAILED");
    check_failed_before = check_failed;
}

/* ---- walls --------------------------------------------------------------------------------------

   Memory whose first byte follows an unmapped page and whose last byte is followed by one: a
   read or write beside it is a crash, with or without a sanitizer. A buffer of n bytes that must
   not be overrun is at end - n, one that must not be underrun at start. Where there is no
   mprotect the memory is plain, and the test is a weaker one. */
typedef struct check_wall {
    unsigned char *start, *end;
    void *base;
    size_t size;
} check_wall;

static inline check_wall check_wall_open(size_t room)
{
    check_wall w;
#if CHECK_WALLS
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (room + page - 1) / page * page;
    void *base = mmap(NULL, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (base == MAP_FAILED || mprotect((unsigned char *)base + page, inside, PROT_READ | PROT_WRITE) != 0) {
        perror("check_wall_open");
        exit(2);
    }
    w.base = base;
    w.size = inside + 2 * page;
    w.start = (unsigned char *)base + page;
    w.end = w.start + inside;
#else
    w.size = room;
    w.base = malloc(room);
    if (!w.base) exit(2);
    w.start = (unsigned char *)w.base;
    w.end = w.start + room;
#endif
    return w;
}

static inline void check_wall_close(check_wall *w)
{
#if CHECK_WALLS
    (void)munmap(w->base, w->size);
#else
    free(w->base);
#endif
    w->start = w->end = NULL;
}

/* n bytes, aligned for float, before the upper wall or after the lower one */
static inline void *check_wall_beside(const check_wall *w, size_t n, uint32_t upper)
{
    return upper ? w->end - (n + 3) / 4 * 4 : w->start;
}

/* ---- random numbers -----------------------------------------------------------------------------------------------

   The same on every run. A Weyl sequence through a 64-bit mixer (multiplications and xor-shifts): a different kind of
   generator than llmq_random, so that the two have nothing in common. */
static uint64_t check_state = 1;

static inline void check_seed(uint32_t seed) { check_state = (uint64_t)seed << 32 | 1u; }

static inline uint32_t check_random(void)
{
    uint64_t z = check_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32 ^ (z & 0xffffffffu));
}

/* below n; the bias of n / 2^32 does not matter here */
static inline uint32_t check_below(uint32_t n) { return (uint32_t)((uint64_t)check_random() * n >> 32); }

/* in (0, 1) */
static inline double check_uniform(void) { return ((double)check_random() + 0.5) / 4294967296.0; }

/* Newton's iteration, which comes down from above (slowly, where x is huge or tiny); rounding may end it an ulp off. */
static inline double check_sqrt(double x)
{
    double root = 0.5 * (1.0 + x), next = 0.5 * (root + x / root);
    if (!(x > 0.0)) return 0.0;
    while (next < root) {
        root = next;
        next = 0.5 * (root + x / root);
    }
    return root;
}

static inline double check_abs(double x) { return x < 0.0 ? -x : x; }

/* From the exponential distribution of mean 1, by von Neumann's game, which needs only
   comparisons: draw uniform numbers while they descend; a run of odd length gives its first
   number, an even one adds 1 and plays again. */
static inline double check_exponential(void)
{
    double whole = 0.0;
    for (;; whole += 1.0) {
        double first = check_uniform(), last = first, next;
        int length = 1;
        while ((next = check_uniform()) < last) last = next, length++;
        if (length % 2) return whole + first;
    }
}

/* From N(0,1): squared radius 2 E, E exponential, and a direction that is uniform on the circle. */
static inline double check_normal(void)
{
    double u, v, s;
    do {
        u = 2.0 * check_uniform() - 1.0;
        v = 2.0 * check_uniform() - 1.0;
        s = u * u + v * v;
    } while (s >= 1.0);
    return u * check_sqrt(2.0 * check_exponential() / s);
}

/* Normal numbers with this mean, both times scale. */
static inline void normal_numbers(float *x, size_t n, double scale, double mean)
{
    size_t i;
    for (i = 0; i < n; i++) x[i] = (float)((check_normal() + mean) * scale);
}

/* ---- floats: what two rows of them have in common -------------------------------------------- */

/* Are these the same floats? NaN is one class: payloads are not promised. */
static inline int same_floats(const float *a, const float *b, size_t n)
{
    size_t i;
    if (memcmp(a, b, n * sizeof *a) == 0) return 1;
    for (i = 0; i < n; i++)
        if (bits_of(a[i]) != bits_of(b[i]) && !(a[i] != a[i] && b[i] != b[i])) return 0;
    return 1;
}

/* The same, but a zero is a zero: what has a scale of 0 may decode to either. */
static inline int same_numbers(const float *a, const float *b, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (!same_floats(a + i, b + i, 1) && ((bits_of(a[i]) | bits_of(b[i])) & 0x7fffffffu) != 0) return 0;
    return 1;
}

static inline double energy(const float *x, size_t n)
{
    double sum = 0.0;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

static inline double error_energy(const float *x, const float *y, size_t n)
{
    double sum = 0.0;
    size_t i;
    for (i = 0; i < n; i++) sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

#endif
