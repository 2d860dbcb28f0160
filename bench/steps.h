/* steps.h: what else takes time beside a product, and what else a table of kernels does. */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include "cases.h"
#include "hessian.h"
#include "plan.h"
#include "report.h"

/* One thing to measure for each table: how its two jobs are set up, and what their times say. */
typedef struct step {
    const char *name;
    void (*set_up)(call *c, job *j, const llmq_format *f);
    void (*report)(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t);
    const char *format;
} step;

static void set_tensor(call *c, const llmq_format *f, const llmq_transform *transform, uint32_t rows, uint32_t cols)
{
    for (int i = 0; i < 2; i++) {
        const llmq_kernels *k = c[i].t.kernels;
        c[i].t = tensor_make(f, transform, rows, cols);
        c[i].t.kernels = k;
    }
    if (rows) arena_fill_scales(&c->t, 1);
    vectors_prepare(&c->t, BATCH);
}

static void set_fwht(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, 1, 4096);
    c[0].count = c[1].count = 4096;
    c[0].in = v.uniform[0];
    c[1].in = v.uniform[1];
    c[1].out = v.copy;
    j[0].run = run_hadamard;
    j[1].run = run_memcpy;
}
static void report_fwht(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t)
{
    (void)t;
    record(d->time[0] / d->time[1], "bench.%s.fwht4096.memcpys", table);
    record(scalar->time[0] / d->time[0], "bench.%s.fwht4096.speedup", table);
    record(d->time[0] * 1e6, "bench.%s.fwht4096.us", table);
}

static void set_prepare(call *c, job *j, const llmq_format *f)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);
    set_tensor(c, f, &rotate, 4096, 4096);
    j[0].run = run_prepare;
    j[1].run = run_product;
}
static void report_prepare(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t)
{
    (void)scalar, (void)t;
    record(d->time[0] / d->time[1], "bench.%s.prepare.share", table);
    record(d->time[0] * 1e6, "bench.%s.prepare.us", table);
}

static void set_batch(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, 4096, 4096);
    c[0].count = BATCH;
    j[0].run = j[1].run = run_product;
}
static void report_batch(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t)
{
    (void)scalar;
    record(BATCH * d->time[1] / d->time[0], "bench.%s.%s.batch%d.speedup", table, t->format.name, BATCH);
    record(2.0 * BATCH * t->rows * t->cols / d->time[0] / 1e9, "bench.%s.%s.batch%d.gops", table, t->format.name,
           BATCH);
}

static void set_f32(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, level_rows(&levels[0], f), levels[0].cols);
    c[0].x = &v.f32;
    j[0].run = run_product;
}
static void set_decode(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, level_rows(&levels[0], f), levels[0].cols);
    j[0].run = run_decode;
}
static void set_transposed(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, level_rows(&levels[0], f), levels[0].cols);
    j[0].run = run_transposed;
}
static void report_gws(const duel *d, const char *table, const llmq_tensor *t, const char *what)
{
    record((double)t->rows * t->cols / d->time[0] / 1e9, "bench.%s.%s.%s.gws", table, t->format.name, what);
}
static void report_f32(const duel *d, const duel *s, const char *table, const llmq_tensor *t)
{
    (void)s;
    report_gws(d, table, t, "f32");
}
static void report_decode(const duel *d, const duel *s, const char *table, const llmq_tensor *t)
{
    (void)s;
    report_gws(d, table, t, "decode");
}
static void report_transposed(const duel *d, const duel *s, const char *table, const llmq_tensor *t)
{
    (void)s;
    report_gws(d, table, t, "transposed");
}

static void set_encode(call *c, job *j, const llmq_format *f)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);
    uint32_t rows = f->taps[0] ? LLMQ_TRELLIS_BLOCK : 4; /* a trellis is encoded a ring at a time */
    set_tensor(c, f, &rotate, rows, 4 * MAX_COLS / rows);
    c[0].in = v.normal[0];
    j[0].run = run_encode;
}
static void report_encode(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t)
{
    (void)scalar;
    record((double)t->rows * t->cols / d->time[0] / 1e6, "bench.%s.%s.encode.mws", table, t->format.name);
}

static void set_append(call *c, job *j, const llmq_format *f)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);
    set_tensor(c, f, &rotate, 0, 128);
    c[0].in = v.normal[0];
    j[0].run = run_append;
}
static void report_append(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t)
{
    (void)scalar;
    record(d->time[0] * 1e9, "bench.%s.%s.append.ns", table, t->format.name);
}

static void set_hessian(call *c, job *j, const llmq_format *f)
{
    (void)f;
    hessian_make(c);
    c[1].base = &base;
    j[0].run = run_hessian;
    j[1].run = run_syrk;
}
static void report_hessian(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t)
{
    (void)scalar, (void)t;
    record(d->time[1] / d->time[0], "bench.%s.hessian.%d.%s", table, COLUMNS, base.ssyrk ? "syrk" : "plain");
    record(0.5 * TOKENS * COLUMNS * (COLUMNS + 1) / d->time[0] / 1e9, "bench.%s.hessian.%d.gmacs", table, COLUMNS);
}

static const step steps[] = {
    { "hadamard", set_fwht, report_fwht, "g4" },
    { "prepare", set_prepare, report_prepare, "g4" },
    { "batch", set_batch, report_batch, "g4" },
    { "float activations", set_f32, report_f32, "g4" },
    { "decode", set_decode, report_decode, "g4" },
    { "transposed", set_transposed, report_transposed, "g4" },
    { "encode", set_encode, report_encode, "g4" },
    { "encode", set_encode, report_encode, "v2n64" },
    { "encode", set_encode, report_encode, "t2" },
    { "encode", set_encode, report_encode, "t4" },
    { "encode", set_encode, report_encode, "t2s" },
    { "encode", set_encode, report_encode, "t4s" },
    { "append", set_append, report_append, "g4" },
    { "hessian", set_hessian, report_hessian, "g4" },
};

static void part_steps(void)
{
    static duel d[TABLES];
    static call c[TABLES][2];
    for (size_t s = 0; s < sizeof steps / sizeof *steps && !stopped; s++) {
        llmq_format f;
        llmq_tensor none;
        must(llmq_format_find(&f, steps[s].format, 128));
        none = tensor_make(&f, NULL, 1, 128);
        progress(steps[s].name, f.name);
        for (int i = 0; i < table_count; i++) {
            memset(d[i].job, 0, sizeof d[i].job);
            for (int k = 0; k < 2; k++) {
                c[i][k] = call_make(&none, tables[i]);
                d[i].job[k].context = &c[i][k];
            }
            steps[s].set_up(c[i], d[i].job, &f);
        }
        race(d, table_count, options.seconds, 100e-6);
        for (int i = 0; i < table_count && !stopped; i++) steps[s].report(&d[i], &d[0], tables[i]->name, &c[i][0].t);
    }
}

#endif
