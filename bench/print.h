/* print.h: the tables for people, from the recorded figures. */
#ifndef BENCH_PRINT_H
#define BENCH_PRINT_H

#include "allocate.h"
#include "cliffs.h"
#include "plan.h"
#include "reader.h"
#include "report.h"
#include "transforms.h"
#include "worst.h"

static worst slowest[TABLES]; /* for each table of kernels */

static void print_heading(const machine *m)
{
    printf("%s; %s\n%s, %s", m->cpu, m->features, m->compiler, m->cflags);
    if (m->core >= 0) printf("; core %d", m->core);
    printf("; %s pages\n", arena.huge ? "huge (where the system has them)" : "normal");
    printf("reader: eight streams, %s loads; baseline: %s, float weights, one thread\n", read_width(), base.library);
    printf("G weights/s; GB/s of stored weights; share of the read bandwidth of this core beside it, "
           "p10 of the fastest tenths;\n"
           "x: times the scalar table. l2: 512 KB, rows of 1,024. l3: 4096 x 4096. mem: %u MB of such matrices. "
           "Groups of 128.\n", (unsigned)(options.mem >> 20));
}

static void print_product(const char *table, const char *format)
{
    printf("%-9s", format);
    for (int l = 0; l < LEVELS; l++) {
        const char *w = levels[l].name;
        cell(recorded("bench.%s.%s.%s.gws", table, format, w), 7, 2);
        cell(recorded("bench.%s.%s.%s.gbs", table, format, w), 6, 2);
        cell(recorded("bench.%s.%s.%s.share", table, format, w), 5, 2);
        cell(recorded("bench.%s.%s.%s.share.p10", table, format, w), 5, 2);
        cell(recorded("bench.%s.%s.%s.speedup", table, format, w), 5, 1);
        printf(l + 1 < LEVELS ? "  |" : "\n");
    }
}

static void print_products(void)
{
    for (int i = 0; i < table_count; i++) {
        printf("\n%-11s", tables[i]->name);
        for (int l = 0; l < LEVELS; l++) printf("%-32s%s", levels[l].name, l + 1 < LEVELS ? "  | " : "\n");
        printf("%-9s", "");
        for (int l = 0; l < LEVELS; l++)
            printf(" %7s %6s %5s %5s %5s%s", "Gw/s", "GB/s", "share", "p10", "x", l + 1 < LEVELS ? "  |" : "\n");
        for (int f = 0; f < format_count; f++) print_product(tables[i]->name, formats[f].name);
    }
    printf("\n");
    print_product("baseline", base.name);
    printf("%-9s", "read");
    for (int l = 0; l < LEVELS; l++) {
        printf(" %7s", "");
        cell(recorded("bench.read.%s.gbs", levels[l].name), 6, 2);
        printf("%18s%s", "", l + 1 < LEVELS ? "  |" : "\n");
    }
}

static void print_steps(void)
{
    static const struct { const char *key, *text; int digits; double factor; } rows[] = {
        { "fwht4096.us", "Hadamard of 4,096 numbers, us", 2, 1 },
        { "fwht4096.memcpys", "  times a memcpy of them", 2, 1 },
        { "fwht4096.speedup", "  times as fast as scalar", 2, 1 },
        { "prepare.us", "prepare 4,096 numbers (rotate, int8), us", 2, 1 },
        { "prepare.share", "  % of a 4096 x 4096 g4 product", 2, 100 },
        { "g4.batch32.speedup", "batch of 32, g4 4096 x 4096: times single calls", 2, 1 },
        { "g4.batch32.gops", "  GOP/s (2 a multiply-add)", 1, 1 },
        { "g4.f32.gws", "float activation, g4 in l2, G weights/s", 2, 1 },
        { "g4.decode.gws", "decode rows, g4 in l2, G weights/s", 2, 1 },
        { "g4.transposed.gws", "transposed product, g4 in l2, G weights/s", 2, 1 },
        { "g4.encode.mws", "encode g4, default effort, M weights/s", 2, 1 },
        { "v2n64.encode.mws", "encode v2n64, default effort, M weights/s", 2, 1 },
        { "t2.encode.mws", "encode t2, default effort, M weights/s", 2, 1 },
        { "t4.encode.mws", "encode t4, default effort, M weights/s", 2, 1 },
        { "t2s.encode.mws", "encode t2s, default effort, M weights/s", 2, 1 },
        { "t4s.encode.mws", "encode t4s, default effort, M weights/s", 2, 1 },
        { "hessian.4096.gmacs", "sum of x x^T, 4,096 numbers, G multiply-adds/s", 2, 1 },
        { "hessian.4096.syrk", "  times as fast as ssyrk of the baseline", 2, 1 },
        { "g4.append.ns", "append 128 numbers, g4, fast effort, ns", 0, 1 },
    };
    printf("\n%-48s", "");
    for (int i = 0; i < table_count; i++) printf(" %10s", tables[i]->name);
    printf("\n");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        printf("%-48s", rows[r].text);
        for (int i = 0; i < table_count; i++)
            cell(rows[r].factor * recorded("bench.%s.%s", tables[i]->name, rows[r].key), 10, rows[r].digits);
        printf("\n");
    }
}

static void print_worst(const char *table, const worst *w)
{
    if (!w->cases) return;
    printf("\n%s: slowest beside scalar of %d cases, %d below 1:\n", table, w->cases, w->below);
    for (int i = 0; i < SHOWN && i < w->cases; i++) printf("  %6.2f  %s\n", w->slowest[i].speedup, w->slowest[i].what);
}

static void print_all(const machine *m)
{
    const char *best = tables[table_count - 1]->name;
    double two = recorded("bench.%s.g4.l2.threads2", best);
    print_heading(m);
    if (listed(options.part, "products")) print_products();
    if (listed(options.part, "steps")) print_steps();
    if (listed(options.part, "transforms")) print_transforms();
    if (listed(options.part, "allocate")) print_allocate();
    if (!isnan(two)) printf("\ntwo threads, half of the rows each, g4 in l2, %s: %.2f times one\n", best, two);
    if (listed(options.part, "cliffs")) print_cliffs();
    for (int i = 1; i < table_count; i++) print_worst(tables[i]->name, &slowest[i]);
}

#endif
