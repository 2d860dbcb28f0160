/* products.h: int8 products with one activation, of every format, from each level of memory, and the baseline. */
#ifndef BENCH_PRODUCTS_H
#define BENCH_PRODUCTS_H

#include "cases.h"
#include "plan.h"
#include "report.h"

static double readings[LEVELS][TABLES * FORMATS]; /* GB/s of the reader */
static int reading_count[LEVELS];

static void record_product(const duel *d, const duel *scalar, const char *table, const llmq_tensor *t, int l)
{
    double n = (double)t->rows * t->cols, stored = (double)slice_size(t), read = (double)read_size(slice_size(t));
    const char *f = t->format.name, *w = levels[l].name;
    record(n / d->time[0] / 1e9, "bench.%s.%s.%s.gws", table, f, w);
    record(stored / d->time[0] / 1e9, "bench.%s.%s.%s.gbs", table, f, w);
    record(stored / d->time[0] / (read / d->time[1]), "bench.%s.%s.%s.share", table, f, w);
    record(stored / d->best[0] / (read / d->best[1]), "bench.%s.%s.%s.share.p10", table, f, w);
    record(scalar->time[0] / d->time[0], "bench.%s.%s.%s.speedup", table, f, w);
    readings[l][reading_count[l]++] = read / d->time[1] / 1e9;
}

static void measure_product(const llmq_format *f, int l)
{
    static duel d[TABLES];
    call c[TABLES];
    llmq_tensor t = tensor_make(f, NULL, level_rows(&levels[l], f), levels[l].cols);
    slices s = { level_slices(&levels[l], slice_size(&t)), 0 };
    progress(levels[l].name, f->name);
    arena_fill_scales(&t, s.count);
    vectors_prepare(&t, 1);
    for (int i = 0; i < table_count; i++) {
        c[i] = call_make(&t, tables[i]);
        c[i].slices = &s;
        d[i].job[0].run = run_product;
        d[i].job[1].run = run_read;
        d[i].job[0].context = d[i].job[1].context = &c[i];
    }
    race(d, table_count, options.seconds, 100e-6);
    for (int i = 0; i < table_count && !stopped; i++) record_product(&d[i], &d[0], tables[i]->name, &t, l);
}

/* The same working sets, of floats. */
static void measure_baseline(int l)
{
    static duel d;
    llmq_format f32;
    llmq_tensor t;
    slices s = { 1, 0 };
    call c;
    double n, stored, read;
    must(llmq_format_find(&f32, "f32", 0));
    t = tensor_make(&f32, NULL, level_rows(&levels[l], &f32), levels[l].cols);
    s.count = level_slices(&levels[l], slice_size(&t));
    c = call_make(&t, NULL);
    c.slices = &s;
    c.base = &base;
    d.job[0].run = run_baseline;
    d.job[1].run = run_read;
    d.job[0].context = d.job[1].context = &c;
    progress(levels[l].name, base.name);
    race(&d, 1, options.seconds, 100e-6);
    if (stopped) return;
    n = (double)t.rows * t.cols, stored = (double)slice_size(&t), read = (double)read_size(slice_size(&t));
    record(n / d.time[0] / 1e9, "bench.baseline.%s.%s.gws", base.name, levels[l].name);
    record(stored / d.time[0] / 1e9, "bench.baseline.%s.%s.gbs", base.name, levels[l].name);
    record(stored / d.time[0] / (read / d.time[1]), "bench.baseline.%s.%s.share", base.name, levels[l].name);
}

static void part_products(void)
{
    for (int l = 0; l < LEVELS && !stopped; l++) {
        if (!listed(options.where, levels[l].name)) continue;
        for (int f = 0; f < format_count && !stopped; f++) measure_product(&formats[f], l);
        if (reading_count[l])
            record(quantile(readings[l], reading_count[l], 0.5), "bench.read.%s.gbs", levels[l].name);
    }
    if (stopped) return;
    arena_fill_floats();
    for (int l = 0; l < LEVELS && !stopped; l++)
        if (listed(options.where, levels[l].name)) measure_baseline(l);
    arena_fill_codes();
}

#endif
