/* hessian.h: H += x x^T of many tokens, the lower triangle, beside a BLAS's ssyrk. */
#ifndef BENCH_HESSIAN_H
#define BENCH_HESSIAN_H

#include "cases.h"

enum { COLUMNS = 4096, TOKENS = 256 };

static void run_hessian(void *context)
{
    call *c = (call *)context;
    llmq_hessian h = { COLUMNS, 1, 0, 0, { 0, { { 0, 0, 0 } }, NULL }, c->out, c->t.kernels };
    if (llmq_hessian_add(&h, 0, COLUMNS, c->in, COLUMNS, TOKENS, NULL, c->work, c->work_size, NULL)) abort();
}

static void run_syrk(void *context)
{
    call *c = (call *)context;
    baseline_syrk(c->base, c->in, TOKENS, COLUMNS, c->out);
}

/* In the arena, for its large pages: the tokens, the workspace, a triangle, and the square that
   a BLAS wants: 107 MB. */
static void hessian_make(call *c)
{
    const llmq_hessian h = { COLUMNS, 1, 0, 0, { 0, { { 0, 0, 0 } }, NULL }, NULL, NULL };
    const size_t triangle = llmq_hessian_size(COLUMNS, 1), work = llmq_hessian_work_size(&h);
    uint8_t *at = arena.bytes;
    float *x = (float *)(void *)at;
    for (size_t i = 0; i < (size_t)TOKENS * COLUMNS; i++) x[i] = v.uniform[i / MAX_COLS % BATCH][i % MAX_COLS];
    c[0].in = c[1].in = x;
    c[0].work = at += (size_t)TOKENS * COLUMNS * sizeof *x;
    c[0].work_size = work;
    c[0].out = (float *)(void *)(at += work);
    c[1].out = (float *)(void *)(at + triangle);
    memset(at, 0, triangle + (size_t)COLUMNS * COLUMNS * sizeof *x);
}

#endif
