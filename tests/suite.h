/* suite.h - functions that suites share and that need llmq.h; include it after llmq.h and check.h */
#ifndef SUITE_H
#define SUITE_H

#include "grids.h"

static inline llmq_format format_of(const char *name, uint32_t group)
{
    llmq_format f;
    memset(&f, 0, sizeof f);
    if (!CHECK_EQ(find_format(&f, name, group), LLMQ_OK)) exit(1);
    return f;
}

/* ---- tables of kernels ---- */

static inline int can_run(const llmq_kernels *k) { return (k->features & ~llmq_cpu_features()) == 0; }

/* The tables that can run here, without the scalar one; returns how many they are. */
static inline uint32_t find_tables(const llmq_kernels **table, uint32_t most)
{
    const llmq_kernels *k;
    uint32_t i, n = 0;
    for (i = 1; (k = llmq_kernels_at(i)) != NULL; i++)
        if (can_run(k) && n < most) table[n++] = k;
    return n;
}

/* ---- activations ---- */

/* How an activation is prepared: by llmq_activation_prepare (which < 0), or with options. */
typedef struct way { uint32_t bits; int which, scales; float clip; } way;

/* count activations of the rows of input, in size bytes of memory */
static inline void prepare_as(llmq_activation *a, const llmq_tensor *t, const way *w, uint32_t count,
                              const float *input, float *memory, size_t size)
{
    size_t need = llmq_activation_size(t, w->bits), floats = (need + 3) / 4, i;
    llmq_activation_options o;
    o.bits = w->bits, o.asymmetric = w->which > 0, o.scales = w->scales, o.clip = w->clip;
    if (w->which < 0) {
        CHECK(need > 0 && count * 4 * floats <= size);
        for (i = 0; i < count; i++)
            CHECK_EQ(llmq_activation_prepare(a + i, t, w->bits, input + i * t->cols, memory + i * floats, need),
                     LLMQ_OK);
        return;
    }
    need = llmq_activations_size(t, &o, count);
    CHECK(need > 0 && need <= size);
    CHECK_EQ(llmq_activations_prepare(a, t, &o, count, input, t->cols, memory, need), LLMQ_OK);
    CHECK((a->offset != NULL) == (o.asymmetric && o.bits == 8));
}

/* The code of element j, with the offset of an asymmetric activation. */
static inline int32_t code_of(const llmq_activation *a, uint32_t j) { return a->q[j] + (a->offset ? a->offset[j] : 0); }

#endif
