/* worst.h: is there a shape, a format or a call for which a table of kernels is slower than the scalar one? */
#ifndef BENCH_WORST_H
#define BENCH_WORST_H

#include "cases.h"
#include "report.h"

static const struct { uint32_t rows, cols; } worst_shapes[] = {
    { 1, 64 }, { 4, 64 }, { 7, 100 }, { 16, 172 }, { 64, 64 }, { 33, 576 }, { 128, 896 }, { 288, 288 }, { 1, 4096 },
    { 512, 1024 },
};
static const uint32_t worst_lengths[] = { 64, 100, 128, 172, 256, 288, 512, 576, 896, 1024, 2048, 4096 };
enum { SHAPES = sizeof worst_shapes / sizeof *worst_shapes, LENGTHS = sizeof worst_lengths / sizeof *worst_lengths };

/* Of a table: how many cases, how many of them below 1, and which are the slowest. */
enum { SHOWN = 4 };
typedef struct slow { double speedup; char what[80]; } slow;
typedef struct worst { slow slowest[SHOWN]; int cases, below; double seconds; } worst;

static void worst_note(worst *w, const slow *s)
{
    int i = w->cases < SHOWN ? w->cases : SHOWN;
    w->cases++;
    w->below += s->speedup < 1;
    for (; i > 0 && s->speedup < w->slowest[i - 1].speedup; i--)
        if (i < SHOWN) w->slowest[i] = w->slowest[i - 1];
    if (i < SHOWN) w->slowest[i] = *s;
}

/* What a case calls, and whether a table has code of its own for it: where it has the scalar
   function there is nothing to measure but noise. */
enum { INT8, FLOAT, DECODE, TRANSPOSED, PREPARE, HADAMARD };
static const struct { const char *name; void (*run)(void *); } operations[] = {
    { "int8 product", run_product }, { "float product", run_product }, { "decode", run_decode },
    { "transposed product", run_transposed }, { "prepare", run_prepare }, { "hadamard", run_hadamard },
};

static int has_own(const llmq_kernels *k, int op)
{
    const llmq_kernels *s = llmq_kernels_at(0);
    switch (op) {
    case INT8: return k->rows_i8 != s->rows_i8;
    case FLOAT: return k->rows_f32 != s->rows_f32;
    case DECODE: return k->read_row != s->read_row;
    case TRANSPOSED: return k->add_rows != s->add_rows;
    case PREPARE: return k->signs != s->signs || k->butterflies != s->butterflies || k->paley != s->paley
                         || k->quantize != s->quantize;
    default: return k->butterflies != s->butterflies || k->paley != s->paley;
    }
}

/* The better of two medians, for one may have met noise; below 1, the median of five longer races. */
static double speedup(duel *d, double seconds)
{
    double ratio[5], best = 0;
    for (int i = 0; i < 2; i++) {
        race(d, 1, seconds, 8e-6);
        if (d->time[1] / d->time[0] > best) best = d->time[1] / d->time[0];
    }
    if (best >= 1 || stopped) return best;
    for (int i = 0; i < 5; i++) {
        race(d, 1, 20 * seconds, 20e-6);
        ratio[i] = d->time[1] / d->time[0];
    }
    return quantile(ratio, 5, 0.5);
}

static void worst_case(worst *w, const llmq_tensor *t, const llmq_kernels *k, int op)
{
    static duel d;
    call c[2] = { call_make(t, k), call_make(t, llmq_kernels_at(0)) };
    slow s;
    if (stopped || !has_own(k, op)) return;
    for (int i = 0; i < 2; i++) {
        if (op == FLOAT) c[i].x = &v.f32;
        if (op == HADAMARD) c[i].count = t->cols;
        d.job[i].run = operations[op].run;
        d.job[i].context = &c[i];
    }
    s.speedup = speedup(&d, w->seconds);
    snprintf(s.what, sizeof s.what, "%s, %s of %u x %u", op < PREPARE ? t->format.name : "float", operations[op].name,
             (unsigned)t->rows, (unsigned)t->cols);
    if (!stopped) worst_note(w, &s);
}

/* All shapes of a format, for one table. */
static void worst_of_format(worst *w, const llmq_format *f, const llmq_kernels *k, int shapes)
{
    for (int s = 0; s < shapes && !stopped; s++) {
        llmq_tensor t = tensor_make(f, NULL, worst_shapes[s].rows, worst_shapes[s].cols);
        arena_fill_scales(&t, 1);
        vectors_prepare(&t, 1);
        for (int op = INT8; op <= TRANSPOSED; op++) worst_case(w, &t, k, op);
    }
}

/* What does not depend on the format: activations and rotations. */
static void worst_of_lengths(worst *w, const llmq_format *f, const llmq_kernels *k, int lengths)
{
    for (int i = 0; i < lengths && !stopped; i++) {
        llmq_transform rotate = llmq_transform_hadamard(1, 0);
        llmq_tensor t = tensor_make(f, &rotate, 1, worst_lengths[i]);
        for (int op = PREPARE; op <= HADAMARD; op++) worst_case(w, &t, k, op);
    }
}

#endif
