/* count: one product for each grid and trellis between two marker instructions, for targets that
   exist only in an emulator.

       count [TABLE]        default: the best table of this processor

   An emulator has no time, but it executes every instruction: bench/insn.c counts those between
   markers, bench/count.sh puts the two together. For each interval a line "table format
   weights"; the first interval is empty, a check of the counting. Only printf is needed of the C
   library. COUNT_TABLE is the table where a program has no arguments. */
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#define LLMQ_NO_ENCODER 1
#define LLMQ_NO_BUNDLE 1
#include "../llmq.h"
#include <stdio.h>
#include <string.h>

#ifndef COUNT_ROWS
#define COUNT_ROWS 16 /* with COUNT_COLS 1024: 27 KB of static memory */
#endif
#ifndef COUNT_COLS
#define COUNT_COLS 1024
#endif
#ifndef COUNT_BATCH
#define COUNT_BATCH 1 /* activations: a weight is then a weight of one of them */
#endif
#ifndef COUNT_TABLE
#define COUNT_TABLE NULL
#endif

/* Instructions that do nothing and that no compiler writes: moves of a register onto itself. The
   same list, as bytes, is in insn.c. The memory clobber keeps the work between them. */
#if defined(__aarch64__)
#define MARK() __asm__ volatile("orr x27, x27, x27" : : : "memory")
#elif defined(__arm__) && defined(__thumb__)
#define MARK() __asm__ volatile("mov r9, r9" : : : "memory")
#elif defined(__arm__)
#define MARK() __asm__ volatile("orr r9, r9, r9" : : : "memory")
#elif defined(__riscv)
#define MARK() __asm__ volatile(".insn 0x00102013" : : : "memory") /* slti x0, x0, 1 */
#elif defined(__x86_64__)
#define MARK() __asm__ volatile("xchgq %%rbx, %%rbx" : : : "memory")
#else
#error "count: no marker for this processor; add one here and in insn.c"
#endif

static uint8_t data[COUNT_ROWS * (COUNT_COLS + 3 * (COUNT_COLS / 128 + 1))]; /* of the widest format, u8 */
static float x[COUNT_COLS], y[COUNT_BATCH * COUNT_ROWS], memory[2 * COUNT_COLS];

/* Any bits are codes; the scales at the head of each row must be moderate. */
static void fill(const llmq_tensor *t)
{
    uint32_t groups = (t->cols + 127) / 128, i, r;
    for (i = 0; i < t->rows * t->row_size; i++) data[i] = (uint8_t)(llmq_random(1, i) >> 24);
    for (r = 0; r < t->rows; r++)
        for (i = 0; i < groups; i++) data[r * t->row_size + 2 * i + 1] = 0x3c;
}

static int count(const llmq_format *f, const llmq_kernels *k)
{
    llmq_tensor t;
    llmq_activation a[COUNT_BATCH];
    llmq_status status;
    uint32_t i;
    if (llmq_tensor_init(&t, f, NULL, COUNT_ROWS, COUNT_COLS, data, sizeof data)) return 1;
    t.kernels = k;
    fill(&t);
    if (llmq_activation_prepare(a, &t, 8, x, memory, sizeof memory)) return 1;
    for (i = 1; i < COUNT_BATCH; i++) a[i] = a[0];
    MARK();
    status = llmq_matmul(&t, a, COUNT_BATCH, 0, COUNT_ROWS, y, COUNT_ROWS);
    MARK();
    printf("%s %s %lu\n", k->name, f->name, (unsigned long)COUNT_BATCH * COUNT_ROWS * COUNT_COLS);
    return status != LLMQ_OK;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : COUNT_TABLE;
    const llmq_kernels *k = llmq_kernels_best();
    llmq_format f;
    uint32_t i;
    if (name)
        for (i = 0; (k = llmq_kernels_at(i)) != NULL && strcmp(k->name, name) != 0; i++) continue;
    if (!k || (k->features & ~llmq_cpu_features())) {
        printf("count: no table %s here\n", name);
        return 1;
    }
    for (i = 0; i < COUNT_COLS; i++) x[i] = (float)(int32_t)(llmq_random(2, i) >> 8) / 8388608.0f - 1.0f;
    MARK();
    MARK();
    printf("%s nothing 0\n", k->name);
    for (i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++)
        if (f.points && count(&f, k)) return 1;
    return 0;
}
