/* hessian.h: H += x x^T of many tokens, the lower triangle, beside a BLAS's ssyrk. */
#ifndef BENCH_HESSIAN_H
#define BENCH_HESSIAN_H

#include "cases.h"

/* COLUMNS * 4 bytes a token: GROUP panels of CHUNK tokens, which the rows of a triangle use again and again, are 512 KB. */
enum { COLUMNS = 4096, TOKENS = 256, CHUNK = 128, PANEL = 128, GROUP = 8 };

static float *triangle_row(float *h, uint32_t i) { return h + (size_t)i * (i + 1) / 2; }

/* Rows [i, i + 8) of the columns of the panel that begins at column c <= i. */
static void accumulate_block(const llmq_kernels *k, const float *panels, uint32_t c, uint32_t i, float *h)
{
    const float *v = panels + (size_t)c * CHUNK, *a[8];
    float *out[8];
    for (uint32_t r = 0; r < 8; r++) {
        a[r] = panels + (size_t)(i - i % PANEL) * CHUNK + i % PANEL + r;
        out[r] = triangle_row(h, i + r) + c;
    }
    if (i >= c + PANEL) k->add_products(out, a, PANEL, v, PANEL, 8, CHUNK, PANEL);
    else for (uint32_t r = 0; r < 8; r++) k->add_products(out + r, a + r, PANEL, v, PANEL, 1, CHUNK, i + r - c + 1);
}

/* h += x x^T for CHUNK tokens; panels: COLUMNS * CHUNK floats. */
static void accumulate_chunk(const llmq_kernels *k, const float *x, float *panels, float *h)
{
    for (uint32_t c = 0; c < COLUMNS; c += PANEL)
        for (uint32_t t = 0; t < CHUNK; t++)
            for (uint32_t j = 0; j < PANEL; j++) panels[(size_t)c * CHUNK + t * PANEL + j] = llmq__short(x[(size_t)t * COLUMNS + c + j]);
    for (uint32_t g = 0; g < COLUMNS; g += GROUP * PANEL)
        for (uint32_t i = g; i < COLUMNS; i += 8)
            for (uint32_t c = g; c <= i && c < g + GROUP * PANEL; c += PANEL) accumulate_block(k, panels, c, i, h);
}

static void run_hessian(void *context)
{
    call *c = (call *)context;
    for (uint32_t t = 0; t < TOKENS; t += CHUNK) accumulate_chunk(c->t.kernels, c->in + (size_t)t * COLUMNS, (float *)c->work, c->out);
}

static void run_syrk(void *context)
{
    call *c = (call *)context;
    baseline_syrk(c->base, c->in, TOKENS, COLUMNS, c->out);
}

/* In the arena, for its large pages: the tokens, panels, a triangle, and the square that a BLAS wants: 107 MB. */
static void hessian_make(call *c)
{
    float *x = (float *)(void *)arena.bytes, *panels = x + (size_t)TOKENS * COLUMNS, *h = panels + (size_t)CHUNK * COLUMNS;
    for (size_t i = 0; i < (size_t)TOKENS * COLUMNS; i++) x[i] = v.uniform[i / MAX_COLS % BATCH][i % MAX_COLS];
    c[0].in = c[1].in = x;
    c[0].work = panels;
    c[0].out = h;
    c[1].out = triangle_row(h, COLUMNS);
    memset(h, 0, (triangle_row(h, COLUMNS) - h + (size_t)COLUMNS * COLUMNS) * sizeof *h);
}

#endif
