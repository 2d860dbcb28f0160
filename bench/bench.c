/* bench: speed of every table of kernels that can run here, for every built-in grid, beside what memory can deliver and what
   a BLAS does with float weights.

       bench [--quick] [--table a,b] [--format g2,g3] [--where l2,l3,mem] [--part products,steps,threads,worst]
             [--core N] [--mem MB] [--seconds S] [--out DIR]

   Parts:
     products  int8 products with one activation; stored weights in the level-2 cache (512 KB, rows of 1,024), as one matrix
               of 4096 x 4096, and in memory (640 MB of such matrices, none used again before all others were). After each
               sample the same core reads the next stretch of the same memory as fast as it can: `share` is the stored bytes a
               second of the product over those of the reader, medians of these neighbours; p10 that of their fastest tenths.
     steps     the Hadamard transform beside memcpy, preparing an activation beside the product it is for, batches, float
               activations, decoding, transposed products, the encoder, appending to a cache
     threads   two threads with half of the rows each
     worst     the smallest speed-up over the scalar table, many shapes and calls
   All that is compared takes turns on one core (measure.h). TSV=1 in the environment: lines key<TAB>value only. A complete
   run also leaves bench.tsv and bench.json beside the program, any run with --out in DIR. Ctrl-C prints what there is. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include "cases.h"
#include "report.h"
#include "threads.h"
#include "worst.h"
#include <unistd.h>

enum { TABLES = 16, FORMATS = 32, LEVELS = 3, READINGS = TABLES * FORMATS };

typedef struct level { const char *name; uint32_t rows, cols; size_t stored; } level; /* rows 0: as many as stored holds */
static const level levels[LEVELS] = { { "l2", 0, 1024, 512u << 10 }, { "l3", 4096, 4096, 0 }, { "mem", 4096, 4096, 640u << 20 } };

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
static double readings[LEVELS][READINGS];
static int reading_count[LEVELS];
static worst slowest[TABLES];

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

/* ---- Products ---- */

static size_t level_slices(const level *l, size_t size)
{
    size_t n = !strcmp(l->name, "mem") ? options.mem / size : 1;
    return n ? n : 1;
}

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
    uint32_t rows = levels[l].rows ? levels[l].rows : (uint32_t)(levels[l].stored / llmq_row_size(f, levels[l].cols));
    llmq_tensor t = tensor_make(f, NULL, rows, levels[l].cols);
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
    double n, stored;
    must(llmq_format_find(&f32, "f32", 0));
    t = tensor_make(&f32, NULL, levels[l].rows ? levels[l].rows : (uint32_t)(levels[l].stored / 4 / levels[l].cols), levels[l].cols);
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
    n = (double)t.rows * t.cols, stored = (double)slice_size(&t);
    record(n / d.time[0] / 1e9, "bench.baseline.%s.%s.gws", base.name, levels[l].name);
    record(stored / d.time[0] / 1e9, "bench.baseline.%s.%s.gbs", base.name, levels[l].name);
    record(stored / d.time[0] / ((double)read_size(slice_size(&t)) / d.time[1]), "bench.baseline.%s.%s.share", base.name, levels[l].name);
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

/* ---- Steps ---- */

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

static uint32_t cached_rows(const llmq_format *f) { return (uint32_t)(levels[0].stored / llmq_row_size(f, levels[0].cols)); }

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
    record(2.0 * BATCH * t->rows * t->cols / d->time[0] / 1e9, "bench.%s.%s.batch%d.gops", table, t->format.name, BATCH);
}

static void set_f32(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, cached_rows(f), levels[0].cols);
    c[0].x = &v.f32;
    j[0].run = run_product;
}
static void set_decode(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, cached_rows(f), levels[0].cols);
    j[0].run = run_decode;
}
static void set_transposed(call *c, job *j, const llmq_format *f)
{
    set_tensor(c, f, NULL, cached_rows(f), levels[0].cols);
    j[0].run = run_transposed;
}
static void report_gws(const duel *d, const char *table, const llmq_tensor *t, const char *what)
{
    record((double)t->rows * t->cols / d->time[0] / 1e9, "bench.%s.%s.%s.gws", table, t->format.name, what);
}
static void report_f32(const duel *d, const duel *s, const char *table, const llmq_tensor *t) { (void)s; report_gws(d, table, t, "f32"); }
static void report_decode(const duel *d, const duel *s, const char *table, const llmq_tensor *t) { (void)s; report_gws(d, table, t, "decode"); }
static void report_transposed(const duel *d, const duel *s, const char *table, const llmq_tensor *t)
{
    (void)s;
    report_gws(d, table, t, "transposed");
}

static void set_encode(call *c, job *j, const llmq_format *f)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);
    set_tensor(c, f, &rotate, 4, 4096);
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

static const step steps[] = {
    { "hadamard", set_fwht, report_fwht, "g4" },
    { "prepare", set_prepare, report_prepare, "g4" },
    { "batch", set_batch, report_batch, "g4" },
    { "float activations", set_f32, report_f32, "g4" },
    { "decode", set_decode, report_decode, "g4" },
    { "transposed", set_transposed, report_transposed, "g4" },
    { "encode", set_encode, report_encode, "g4" },
    { "encode", set_encode, report_encode, "v2n256" },
    { "append", set_append, report_append, "g4" },
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

/* ---- Threads, and the worst case ---- */

static void part_threads(void)
{
    const llmq_kernels *best = tables[table_count - 1];
    llmq_format f;
    llmq_tensor t;
    double ratio;
    if (second_core < 0) return;
    must(llmq_format_find(&f, "g4", 128));
    t = tensor_make(&f, NULL, cached_rows(&f), levels[0].cols);
    t.kernels = best;
    arena_fill_scales(&t, 1);
    vectors_prepare(&t, 1);
    progress("two threads", best->name);
    ratio = two_threads(&t, second_core, 5 * options.seconds);
    if (!isnan(ratio)) record(ratio, "bench.%s.g4.l2.threads2", best->name);
}

static void part_worst(void)
{
    int shapes = options.quick ? 4 : SHAPES, lengths = options.quick ? 4 : LENGTHS;
    double smallest = HUGE_VAL;
    for (int i = 1; i < table_count && !stopped; i++) {
        worst *w = &slowest[i];
        w->seconds = options.quick ? 0.2e-3 : 0.5e-3;
        for (int f = 0; f < format_count && !stopped; f++) {
            progress("worst case", tables[i]->name);
            worst_of_format(w, &formats[f], tables[i], shapes);
        }
        worst_of_lengths(w, &formats[0], tables[i], lengths);
        if (!w->cases) continue;
        record(w->slowest[0].speedup, "bench.%s.worst.speedup", tables[i]->name);
        if (w->slowest[0].speedup < smallest) smallest = w->slowest[0].speedup;
    }
    if (isfinite(smallest)) record(smallest, "bench.worst.speedup");
}

/* ---- Tables for people ---- */

static void print_heading(const machine *m)
{
    printf("%s; %s\n%s, %s", m->cpu, m->features, m->compiler, m->cflags);
    if (m->core >= 0) printf("; core %d", m->core);
    printf("; %s pages\nreader: eight streams, %s loads; baseline: %s, float weights, one thread\n", arena.huge ? "huge (where the system has them)" : "normal",
           read_width(), base.library);
    printf("G weights/s; GB/s of stored weights; share of the read bandwidth of this core beside it, p10 of the fastest tenths;\n"
           "x: times the scalar table. l2: 512 KB, rows of 1,024. l3: 4096 x 4096. mem: %u MB of such matrices. Groups of 128.\n",
           (unsigned)(options.mem >> 20));
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
        for (int l = 0; l < LEVELS; l++) printf(" %7s %6s %5s %5s %5s%s", "Gw/s", "GB/s", "share", "p10", "x", l + 1 < LEVELS ? "  |" : "\n");
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
        { "v2n256.encode.mws", "encode v2n256, default effort, M weights/s", 2, 1 },
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
    print_heading(m);
    if (listed(options.part, "products")) print_products();
    if (listed(options.part, "steps")) print_steps();
    if (!isnan(recorded("bench.%s.g4.l2.threads2", best)))
        printf("\ntwo threads, half of the rows each, g4 in l2, %s: %.2f times one\n", best, recorded("bench.%s.g4.l2.threads2", best));
    for (int i = 1; i < table_count; i++) print_worst(tables[i]->name, &slowest[i]);
}

/* ---- Options ---- */

static void usage(void)
{
    fprintf(stderr, "usage: bench [--quick] [--table a,b] [--format g2,g3] [--where l2,l3,mem] [--part products,steps,threads,worst]\n"
                    "             [--core N] [--mem MB] [--seconds S] [--out DIR]\n");
    exit(2);
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(name, "--quick")) {
            options.quick = 1;
            options.seconds = 0.02;
            if (!options.where) options.where = "l2";
            if (!options.format) options.format = "g2,g4,v2n64";
            continue;
        }
        if (!value) usage();
        i++;
        if (!strcmp(name, "--table")) options.table = value;
        else if (!strcmp(name, "--format")) options.format = value;
        else if (!strcmp(name, "--where")) options.where = value;
        else if (!strcmp(name, "--part")) options.part = value;
        else if (!strcmp(name, "--out")) options.out = value;
        else if (!strcmp(name, "--core")) options.core = atoi(value);
        else if (!strcmp(name, "--mem")) options.mem = (size_t)atoi(value) << 20;
        else if (!strcmp(name, "--seconds")) options.seconds = atof(value);
        else usage();
    }
    options.tsv = getenv("TSV") && *getenv("TSV");
}

static void choose(void)
{
    uint32_t here = llmq_cpu_features();
    const llmq_kernels *k;
    llmq_format f;
    for (uint32_t i = 0; (k = llmq_kernels_at(i)) != NULL && table_count < TABLES; i++)
        if (!(k->features & ~here) && (i == 0 || listed(options.table, k->name))) tables[table_count++] = k;
    for (uint32_t i = 0; llmq_format_at(&f, i) == LLMQ_OK && format_count < FORMATS; i++)
        if (f.points && listed(options.format, f.name)) formats[format_count++] = f;
    if (!format_count) usage();
}

/* Not more than half of what is free: a bench that swaps measures the disk. */
static size_t memory_for(size_t wanted)
{
    char line_[128];
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long kb = 0;
    while (file && !kb && fgets(line_, sizeof line_, file))
        if (!strncmp(line_, "MemAvailable:", 13)) kb = strtoul(line_ + 13, NULL, 10);
    if (file) fclose(file);
    return kb && kb / 2 < wanted >> 10 ? (size_t)kb << 9 : wanted;
}

static void write_file(const char *directory, const char *name, const machine *m)
{
    char path[1024];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!(file = fopen(path, "w"))) {
        fprintf(stderr, "bench: cannot write %s\n", path);
        exit(1);
    }
    if (m) write_json(file, m, base.library);
    else write_tsv(file);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct sigaction on_stop;
    machine m;
    parse(argc, argv);
    memset(&on_stop, 0, sizeof on_stop);
    on_stop.sa_handler = stop;
    on_stop.sa_flags = (int)SA_RESETHAND; /* the second one ends it */
    sigaction(SIGINT, &on_stop, NULL);
    choose();
    options.mem = memory_for(options.mem);
    second_core = other_core(options.core);
    m = machine_describe(pin(options.core));
    base = baseline_load();
    arena_make(listed(options.where, "mem") && options.mem > 128u << 20 ? options.mem : 128u << 20);
    arena_fill_codes();
    vectors_make();
    if (listed(options.part, "products")) part_products();
    if (listed(options.part, "steps") && !stopped) part_steps();
    if (listed(options.part, "threads") && !stopped) part_threads();
    if (listed(options.part, "worst") && !stopped) part_worst();
    if (isatty(2)) fprintf(stderr, "\r\033[K");
    if (options.tsv) write_tsv(stdout);
    else print_all(&m);
    if (!options.out && !stopped && !options.quick && !options.table && !options.format && !options.where && !options.part) {
        char *slash = strrchr(argv[0], '/');
        if (slash) *slash = 0;
        options.out = slash ? argv[0] : ".";
    }
    if (options.out) write_file(options.out, "bench.tsv", NULL), write_file(options.out, "bench.json", &m);
    return stopped;
}
