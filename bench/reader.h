/* reader.h: what a core can read, as the yardstick of kernels that stream weights.

   One stream does not fill the queues between a core and memory: eight, far apart, with
   prefetches 2 KB ahead, come close to what one core can get. The widest loads that the
   processor has; an OR of everything, so that the loads are not removed. */
#ifndef BENCH_READER_H
#define BENCH_READER_H

#include <stddef.h>
#include <stdint.h>

enum { STREAMS = 8, AHEAD = 2048 };
typedef uint64_t line __attribute__((vector_size(64)));

/* The vectors are lowered for the target of the function that they are written in, before inlining: hence a macro. */
#define READ_STREAM(i, sum) \
    __builtin_prefetch((const char *)(p + (i) * length + j) + AHEAD); \
    sum |= p[(i) * length + j];
#define READER(name, target) \
    target static uint64_t name(const line *p, size_t length) \
    { \
        line a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }; \
        for (size_t j = 0; j < length; j++) { \
            READ_STREAM(0, a) READ_STREAM(1, b) READ_STREAM(2, c) READ_STREAM(3, d) \
            READ_STREAM(4, a) READ_STREAM(5, b) READ_STREAM(6, c) READ_STREAM(7, d) \
        } \
        a |= b | c | d; \
        return a[0] | a[1] | a[2] | a[3] | a[4] | a[5] | a[6] | a[7]; \
    }

READER(read_plain, )
#if defined(__x86_64__) || defined(__i386__)
READER(read_avx2, __attribute__((target("avx2"))))
READER(read_avx512, __attribute__((target("avx512f"))))
#endif

static volatile uint64_t read_sink;

/* Bytes that read_all(size) reads: eight streams of whole lines. */
static size_t read_size(size_t size) { return size / (STREAMS * sizeof(line)) * (STREAMS * sizeof(line)); }

static const char *read_width(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx512f")) return "512-bit";
    if (__builtin_cpu_supports("avx2")) return "256-bit";
#endif
    return "plain";
}

/* bytes: aligned for a line. */
static void read_all(const void *bytes, size_t size)
{
    const line *p = (const line *)bytes;
    size_t length = size / (STREAMS * sizeof(line));
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx512f")) read_sink = read_avx512(p, length);
    else if (__builtin_cpu_supports("avx2")) read_sink = read_avx2(p, length);
    else read_sink = read_plain(p, length);
#else
    read_sink = read_plain(p, length);
#endif
}

#endif
