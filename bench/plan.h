/* plan.h: what a run measures: options, tables, formats, and the three sizes of working set. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include "baseline.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TABLES = 16, FORMATS = 32, LEVELS = 3 };

/* rows 0: as many as stored holds */
typedef struct level { const char *name; uint32_t rows, cols; size_t stored; } level;
static const level levels[LEVELS] = { { "l2", 0, 1024, 512u << 10 }, { "l3", 4096, 4096, 0 },
                                      { "mem", 4096, 4096, 0 } };

static struct {
    const char *table, *format, *where, *part, *out;
    int quick, tsv, core;
    size_t mem;
    double seconds; /* for each duel */
} options = { NULL, NULL, NULL, NULL, NULL, 0, 0, -1, 640u << 20, 0.35 };

static const llmq_kernels *tables[TABLES]; /* scalar, always, and those asked for */
static llmq_format formats[FORMATS];
static int table_count, format_count, second_core;
static baseline base;

/* Is name in a comma-separated list? NULL holds everything. */
static int listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    while (list && *list) {
        size_t k = strcspn(list, ",");
        if (k == n && !strncmp(list, name, n)) return 1;
        list += k + (list[k] == ',');
    }
    return !list;
}

static void progress(const char *what, const char *more)
{
    fprintf(stderr, isatty(2) ? "\r\033[K%s %s" : "%s %s\n", what, more);
}

static uint32_t level_rows(const level *l, const llmq_format *f)
{
    return l->rows ? l->rows : (uint32_t)(l->stored / llmq_row_size(f, l->cols));
}

static size_t level_slices(const level *l, size_t size)
{
    size_t n = !strcmp(l->name, "mem") ? options.mem / size : 1;
    return n ? n : 1;
}

#endif
