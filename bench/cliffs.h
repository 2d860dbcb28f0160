/* cliffs.h: which sizes of a product are much slower, for each weight, than the next full size?

   A full size has columns of whole units of codes; 4, 8 or a multiple of 16 rows; 1, 4, 8 or a multiple of 16
   activations. A program could always pad to it, so a size that is far below it is a cliff of the kernels. Two things
   are none, and still count: a short row has its sums ended as often as a long one, and few activations share the
   decoding of a row. */
#ifndef BENCH_CLIFFS_H
#define BENCH_CLIFFS_H

#include "cases.h"
#include "plan.h"
#include "report.h"

enum { CLIFF_COLS = 4352, CLIFF_ROWS = 64, CLIFF_BATCH = 64, CLIFF_SHAPES = 512, CLIFF_GROUP = 64 };

/* By which of its numbers a shape is not full; narrow and few: less than one unit of codes, fewer than four rows. */
enum { BY_COLUMNS, NARROW, BY_ROWS, FEW, BY_BATCH, BY_ALL, CLIFF_KINDS };
static const char *const cliff_kinds[CLIFF_KINDS] = { "columns", "narrow", "rows", "few", "batch", "all" };

typedef struct shape { uint32_t cols, rows, batch; } shape;
typedef struct cliff { double ratio; shape at; } cliff;
static cliff cliffs[TABLES][FORMATS][CLIFF_KINDS];

static struct {
    shape list[CLIFF_SHAPES];
    int count;
} shapes;

/* The two sizes of a duel: the one in question and the full one. */
static struct {
    llmq_activation x[2][CLIFF_BATCH];
    void *memory[2][CLIFF_BATCH];
    size_t room;
    float *in, *out;
    uint32_t prepared[2]; /* activations of this many columns are in x */
} cliff_data;

static void shape_add(uint32_t cols, uint32_t rows, uint32_t batch)
{
    const shape s = { cols, rows, batch };
    if (shapes.count == CLIFF_SHAPES) abort();
    shapes.list[shapes.count++] = s;
}

/* Shapes with the same columns follow each other, because those share their activations. */
static void shapes_make(void)
{
    static const uint32_t longer[] = { 1056, 1120, 1184, 1440, 1504, 1632, 2016, 2080, 2400, 2720, 3040, 3552, 4064,
                                       4128, 4192 },
        counts[] = { 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 15, 17, 23, 31, 33, 49, 63 }, mixed[] = { 288, 576, 1504 };
    shapes.count = 0;
    for (uint32_t c = 32; c <= 1024; c += 32) {
        shape_add(c, 64, 1);
        shape_add(c, 16, 4);
        shape_add(c, 16, 16);
    }
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
        shape_add(longer[i], 16, 1);
        shape_add(longer[i], 4, 8);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const uint32_t n = counts[i];
        shape_add(512, n, 1);
        shape_add(512, n, 4);
        shape_add(512, n, 16);
        if (n > 1) shape_add(512, 16, n);
        if (n > 1 && n <= 16) shape_add(512, 64, n);
    }
    for (uint32_t rows = 1; rows < 16; rows++) shape_add(256, rows, 1);
    for (uint32_t rows = 1; rows < 16; rows++) shape_add(2048, rows, 1);
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++)
        for (uint32_t rows = 5; rows <= 17; rows += 6)
            for (uint32_t batch = 1; batch <= 13; batch += 4) shape_add(mixed[i], rows, batch);
}

static uint32_t unit_of(const llmq_format *f) { return f->taps[0] ? 256 : 128 * f->p; }

static uint32_t full_count(uint32_t n) { return n <= 4 ? 4 : n <= 8 ? 8 : (n + 15) / 16 * 16; }

static shape full_shape(const llmq_format *f, shape s)
{
    const uint32_t unit = unit_of(f);
    s.cols = (s.cols + unit - 1) / unit * unit;
    s.rows = full_count(s.rows);
    if (s.batch > 1) s.batch = full_count(s.batch);
    return s;
}

/* The kind of a shape, or CLIFF_KINDS if it is full. */
static int cliff_kind(const llmq_format *f, shape s)
{
    const shape full = full_shape(f, s);
    const int by = (full.cols != s.cols) + 2 * (full.rows != s.rows) + 4 * (full.batch != s.batch);
    if (by == 0) return CLIFF_KINDS;
    if (by == 1) return s.cols < unit_of(f) ? NARROW : BY_COLUMNS;
    if (by == 2) return s.rows < 4 ? FEW : BY_ROWS;
    return by == 4 ? BY_BATCH : BY_ALL;
}

/* One of the two jobs. Tensor i lies at the i-th half of the arena. */
static void cliff_set(call *c, const llmq_format *f, shape s, int i)
{
    uint8_t *const bytes = arena.bytes + (size_t)i * (arena.size / 2);
    llmq_tensor t;
    must(llmq_tensor_init(&t, f, NULL, s.rows, s.cols, bytes, arena.size / 2));
    arena_fill_scales(&t, 1);
    *c = call_make(&t, NULL);
    c->x = cliff_data.x[i];
    c->count = s.batch;
    c->out = cliff_data.out;
    if (cliff_data.prepared[i] == s.cols) return;
    for (int k = 0; k < CLIFF_BATCH; k++)
        must(llmq_activation_prepare(&cliff_data.x[i][k], &t, 8, cliff_data.in, cliff_data.memory[i][k],
                                     cliff_data.room));
    cliff_data.prepared[i] = s.cols;
}

static double weights_of(const call *c) { return (double)c->t.cols * c->t.rows * c->count; }

/* The speed of shape s beside that of its full shape. races is 1: one short race; else the median of so many longer
   ones. */
static double cliff_ratio(const llmq_format *f, shape s, const llmq_kernels *k, int races)
{
    static duel d;
    call c[2];
    double ratio[5];
    cliff_set(&c[0], f, s, 0);
    cliff_set(&c[1], f, full_shape(f, s), 1);
    for (int i = 0; i < 2; i++) {
        c[i].t.kernels = k;
        d.job[i].run = run_product;
        d.job[i].context = &c[i];
    }
    for (int i = 0; i < races && !stopped; i++) {
        race(&d, 1, races == 1 ? 0.3e-3 : 3e-3, races == 1 ? 10e-6 : 30e-6);
        ratio[i] = d.time[1] / d.time[0] * weights_of(&c[0]) / weights_of(&c[1]);
    }
    return stopped ? 1 : quantile(ratio, races, 0.5);
}

/* The smallest ratio of a kind, measured again until the smallest is one that was. */
static cliff cliff_confirm(const llmq_format *f, const llmq_kernels *k, double *ratio, int kind)
{
    unsigned char sure[CLIFF_SHAPES] = { 0 };
    cliff worst = { 1, { 0, 0, 0 } };
    for (int least = 0; !stopped; sure[least] = 1) {
        least = -1;
        for (int i = 0; i < shapes.count; i++)
            if (cliff_kind(f, shapes.list[i]) == kind && ratio[i] < (least < 0 ? 1 : ratio[least])) least = i;
        if (least < 0) break;
        worst.ratio = ratio[least];
        worst.at = shapes.list[least];
        if (sure[least]) break;
        ratio[least] = cliff_ratio(f, worst.at, k, 5);
    }
    return worst;
}

static void cliffs_of_format(int at)
{
    static double ratio[TABLES][CLIFF_SHAPES];
    llmq_format f = formats[at];
    f.group = CLIFF_GROUP;
    cliff_data.prepared[0] = cliff_data.prepared[1] = 0;
    for (int s = 0; s < shapes.count && !stopped; s++) {
        if (cliff_kind(&f, shapes.list[s]) == CLIFF_KINDS) continue;
        for (int i = 0; i < table_count && !stopped; i++)
            ratio[i][s] = cliff_ratio(&f, shapes.list[s], tables[i], 1);
    }
    for (int i = 0; i < table_count && !stopped; i++) {
        double worst = 1;
        for (int kind = 0; kind < CLIFF_KINDS && !stopped; kind++) {
            cliff *c = &cliffs[i][at][kind];
            *c = cliff_confirm(&f, tables[i], ratio[i], kind);
            record(c->ratio, "bench.cliff.%s.%s.%s", tables[i]->name, f.name, cliff_kinds[kind]);
            if (c->ratio < worst) worst = c->ratio;
        }
        record(worst, "bench.cliff.%s.%s", tables[i]->name, f.name);
    }
}

static void part_cliffs(void)
{
    cliff_data.room = 9 * CLIFF_COLS;
    cliff_data.in = (float *)allocate(CLIFF_COLS * sizeof *cliff_data.in);
    cliff_data.out = (float *)allocate((size_t)CLIFF_ROWS * CLIFF_BATCH * sizeof *cliff_data.out);
    for (uint32_t i = 0; i < CLIFF_COLS; i++) cliff_data.in[i] = v.uniform[i / MAX_COLS][i % MAX_COLS];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < CLIFF_BATCH; k++) cliff_data.memory[i][k] = allocate(cliff_data.room);
    shapes_make();
    for (int f = 0; f < format_count && !stopped; f++) {
        progress("cliffs", formats[f].name);
        cliffs_of_format(f);
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < CLIFF_BATCH; k++) free(cliff_data.memory[i][k]);
    free(cliff_data.out);
    free(cliff_data.in);
}

static void print_cliff(const cliff *c)
{
    char where[40];
    cell(c->ratio, 5, 2);
    snprintf(where, sizeof where, "%ux%u,%u", (unsigned)c->at.cols, (unsigned)c->at.rows, (unsigned)c->at.batch);
    printf(" %-11s", c->at.cols ? where : "");
}

static void print_cliffs(void)
{
    printf("\nThe worst sizes beside the next full one, groups of %d: speed, and columns x rows, activations;\n"
           "narrow: less than a unit of codes; few: fewer than four rows\n", CLIFF_GROUP);
    for (int i = 0; i < table_count; i++) {
        printf("%-10s", tables[i]->name);
        for (int kind = 0; kind < CLIFF_KINDS; kind++) printf("  %-16s", cliff_kinds[kind]);
        printf("\n");
        for (int f = 0; f < format_count; f++) {
            printf("%-9s", formats[f].name);
            for (int kind = 0; kind < CLIFF_KINDS; kind++) print_cliff(&cliffs[i][f][kind]);
            printf("\n");
        }
    }
}

#endif
