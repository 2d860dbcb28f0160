/* report.h: figures by key, printed as lines key<TAB>value, or as JSON with the machine that they are from. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "machine.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct figure { char key[80]; double value; } figure;
static struct { figure *list; size_t count, room; } figures;

static void format_key(char *key, size_t size, const char *format, va_list args)
{
    vsnprintf(key, size, format, args);
}

static void record(double value, const char *format, ...)
{
    va_list args;
    if (figures.count == figures.room) {
        figures.room = 2 * figures.room + 256;
        figures.list = (figure *)realloc(figures.list, figures.room * sizeof *figures.list);
        if (!figures.list) exit(1);
    }
    va_start(args, format);
    format_key(figures.list[figures.count].key, sizeof figures.list->key, format, args);
    va_end(args);
    figures.list[figures.count++].value = value;
}

/* NaN if it was not measured. */
static double recorded(const char *format, ...)
{
    char key[sizeof figures.list->key];
    va_list args;
    va_start(args, format);
    format_key(key, sizeof key, format, args);
    va_end(args);
    for (size_t i = 0; i < figures.count; i++)
        if (!strcmp(figures.list[i].key, key)) return figures.list[i].value;
    return (double)NAN;
}

/* A cell of a table; a dash for what was not measured. */
static void cell(double value, int width, int digits)
{
    if (isnan(value)) printf(" %*s", width, "-");
    else printf(" %*.*f", width, digits, value);
}

static void write_tsv(FILE *file)
{
    for (size_t i = 0; i < figures.count; i++) fprintf(file, "%s\t%.5g\n", figures.list[i].key, figures.list[i].value);
}

static void json_text(FILE *file, const char *name, const char *text)
{
    fprintf(file, "  \"%s\": \"", name);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', file);
        if ((unsigned char)*text >= 32) fputc(*text, file);
    }
    fprintf(file, "\",\n");
}

static void write_json(FILE *file, const machine *m, const char *library)
{
    fprintf(file, "{\n");
    json_text(file, "cpu", m->cpu);
    json_text(file, "features", m->features);
    json_text(file, "compiler", m->compiler);
    json_text(file, "cflags", m->cflags);
    json_text(file, "baseline", library);
    fprintf(file, "  \"core\": %d,\n  \"figures\": {", m->core);
    for (size_t i = 0; i < figures.count; i++) {
        fprintf(file, "%s\n    \"%s\": ", i ? "," : "", figures.list[i].key);
        if (isfinite(figures.list[i].value)) fprintf(file, "%.5g", figures.list[i].value);
        else fprintf(file, "null");
    }
    fprintf(file, "\n  }\n}\n");
}

#endif
