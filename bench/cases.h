/* cases.h: tensors to multiply by, and the calls that are measured. llmq.h is included before.

   Products do not depend on what the codes say, so tensors are filled with random bits and
   moderate scales: encoding hundreds of megabytes would take longer than everything else. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "baseline.h"
#include "measure.h"
#include "reader.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { MAX_COLS = 4096, MAX_ROWS = 4096, BATCH = 32 };

/* One large piece of memory for all tensors, so that all of them lie in pages of the same kind. */
static struct { uint8_t *bytes; size_t size; int huge; } arena;

static void arena_make(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "bench: no memory\n");
        exit(1);
    }
#ifdef MADV_HUGEPAGE
    arena.huge = !madvise(p, size, MADV_HUGEPAGE);
#endif
    arena.bytes = (uint8_t *)p;
    arena.size = size;
}

/* Random bits for codes (this touches every page); xorshift, because llmq_random would take seconds. */
static void arena_fill_codes(void)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i + 8 <= arena.size; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(arena.bytes + i, &x, 8);
    }
}

static void arena_fill_floats(void)
{
    uint32_t x = 1;
    for (size_t i = 0; i + 4 <= arena.size; i += 4) {
        float v = (float)(int32_t)(x = x * 1664525u + 1013904223u) / 2147483648.0f;
        memcpy(arena.bytes + i, &v, 4);
    }
}

/* Scales between 2^-7 and 2^-6 at the head of each row of t, which lies in the arena, and of `count` tensors like it,
   one after the other. */
static void arena_fill_scales(const llmq_tensor *t, size_t count)
{
    uint8_t *const rows = arena.bytes + ((const uint8_t *)t->data - arena.bytes);
    uint32_t groups = (t->cols + t->format.group - 1) / t->format.group;
    for (size_t r = 0; r < count * t->rows; r++) {
        uint8_t *scale = rows + r * t->row_size;
        for (uint32_t g = 0; g < groups; g++) {
            scale[2 * g] = (uint8_t)(llmq_random((uint32_t)r, g) & 127);
            scale[2 * g + 1] = 0x3c;
        }
    }
}

static void must(llmq_status status)
{
    if (status == LLMQ_OK) return;
    fprintf(stderr, "bench: %s\n", llmq_status_text(status));
    exit(1);
}

/* Which of the equal parts of a working set is next: jobs that take turns walk through it together, so that each finds
   memory that was not used for as long as the set is large. */
typedef struct slices { size_t count, next; } slices;

/* What a call works on; each uses what it needs of this. */
typedef struct call {
    llmq_tensor t;  /* t.kernels is the table that is measured */
    slices *slices; /* NULL: t only */
    const llmq_activation *x;
    uint32_t count; /* activations, or numbers */
    float *in, *out;
    void *work;
    size_t work_size;
    const baseline *base;
} call;

static size_t slice_size(const llmq_tensor *t) { return t->rows * t->row_size; }

static void next_slice(call *c)
{
    if (!c->slices) return;
    c->t.data = arena.bytes + c->slices->next * slice_size(&c->t);
    c->slices->next = (c->slices->next + 1) % c->slices->count;
}

static void run_product(void *context)
{
    call *c = (call *)context;
    next_slice(c);
    must(llmq_matmul(&c->t, c->x, c->count, 0, c->t.rows, c->out, c->t.rows));
}

static void run_read(void *context)
{
    call *c = (call *)context;
    next_slice(c);
    read_all(c->t.data, slice_size(&c->t));
}

static void run_baseline(void *context)
{
    call *c = (call *)context;
    next_slice(c);
    baseline_product(c->base, (const float *)(const void *)c->t.data, c->t.rows, c->t.cols, c->in, c->out);
}

static void run_decode(void *context)
{
    call *c = (call *)context;
    for (uint32_t r = 0; r < c->t.rows; r++) must(llmq_tensor_decode(&c->t, r, c->out, c->work, c->work_size));
}

static void run_transposed(void *context)
{
    call *c = (call *)context;
    must(llmq_matvec_transposed(&c->t, c->in, 0, c->t.rows, c->out, c->work, c->work_size));
}

static void run_prepare(void *context)
{
    call *c = (call *)context;
    llmq_activation a;
    must(llmq_activation_prepare(&a, &c->t, 8, c->in, c->work, c->work_size));
}

/* H H = I: the numbers stay what they are, however often this is called. */
static void run_hadamard(void *context)
{
    call *c = (call *)context;
    must(llmq_hadamard(c->in, c->count, 4096, c->work, c->work_size, c->t.kernels));
}

static void run_memcpy(void *context)
{
    call *c = (call *)context;
    memcpy(c->out, c->in, c->count * sizeof *c->in);
    __asm__ volatile("" : : "r"(c->out) : "memory"); /* or nobody would read the copy */
}

static void run_encode(void *context)
{
    call *c = (call *)context;
    must(llmq_encode(&c->t, arena.bytes, 0, c->t.rows, c->in, c->t.cols, NULL, c->work, c->work_size, NULL));
}

/* A cache with room for 1,024 rows, begun anew when it is full. */
static void run_append(void *context)
{
    static const llmq_encode_options fast = { LLMQ_EFFORT_FAST, NULL, NULL, 0 };
    call *c = (call *)context;
    if (c->t.rows == 1024) c->t.rows = 0;
    must(llmq_tensor_append(&c->t, arena.bytes, 1024 * c->t.row_size, c->in, &fast, c->work, c->work_size));
}

/* Vectors that all cases share: uniform ones as activations, normal ones (sums of uniform ones) to encode. */
static struct {
    float uniform[BATCH][MAX_COLS], normal[4][MAX_COLS], out[BATCH * MAX_ROWS], copy[MAX_COLS];
    llmq_activation i8[BATCH], f32;
    void *i8_memory[BATCH], *f32_memory, *work;
    size_t memory_size, work_size;
} v;

static void vectors_make(void)
{
    uint32_t n = 0;
    for (int i = 0; i < BATCH; i++)
        for (int j = 0; j < MAX_COLS; j++)
            v.uniform[i][j] = (float)(int32_t)(llmq_random(1, n++) >> 8) / 8388608.0f - 1.0f;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < MAX_COLS; j++) {
            for (int k = 0; k < 12; k++) v.normal[i][j] += (float)(int32_t)(llmq_random(2, n++) >> 8) / 16777216.0f;
            v.normal[i][j] -= 6;
        }
    v.memory_size = 9 * MAX_COLS;
    v.work_size = 1u << 20;
    for (int i = 0; i < BATCH; i++) v.i8_memory[i] = allocate(v.memory_size);
    v.f32_memory = allocate(v.memory_size);
    v.work = allocate(v.work_size);
}

/* Activations for t: `batch` of int8, and one of floats. */
static void vectors_prepare(const llmq_tensor *t, uint32_t batch)
{
    for (uint32_t i = 0; i < batch; i++)
        must(llmq_activation_prepare(&v.i8[i], t, 8, v.uniform[i], v.i8_memory[i], v.memory_size));
    must(llmq_activation_prepare(&v.f32, t, 32, v.uniform[0], v.f32_memory, v.memory_size));
}

/* A tensor at the head of the arena; its scales are set by arena_fill_scales. */
static llmq_tensor tensor_make(const llmq_format *f, const llmq_transform *transform, uint32_t rows, uint32_t cols)
{
    llmq_tensor t;
    must(llmq_tensor_init(&t, f, transform, rows, cols, arena.bytes, arena.size));
    return t;
}

static call call_make(const llmq_tensor *t, const llmq_kernels *k)
{
    call c;
    memset(&c, 0, sizeof c);
    c.t = *t;
    c.t.kernels = k;
    c.x = v.i8;
    c.count = 1;
    c.in = v.uniform[0];
    c.out = v.out;
    c.work = v.work;
    c.work_size = v.work_size;
    return c;
}

#endif
