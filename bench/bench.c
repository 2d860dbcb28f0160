/* bench: speed of every table of kernels that can run here, for every built-in grid, beside what
   memory can deliver and what a BLAS does with float weights.

       bench [--quick] [--table a,b] [--format g2,g3] [--where l2,l3,mem]
             [--part products,steps,transforms,allocate,threads,cliffs,worst]
             [--core N] [--mem MB] [--seconds S] [--out DIR]

   Parts:
     products  int8 products with one activation; stored weights in the level-2 cache (512 KB,
               rows of 1,024), as one matrix of 4096 x 4096, and in memory (640 MB of such
               matrices, none used again before all others were). After each sample the same core
               reads the next stretch of the same memory as fast as it can: `share` is the stored
               bytes a second of the product over those of the reader, medians of these
               neighbours; p10 that of their fastest tenths.
     steps     the Hadamard transform beside memcpy, preparing an activation beside the product
               it is for, batches, float activations, decoding, transposed products, the encoder,
               appending to a cache, sums of x x^T beside ssyrk
     transforms  share of each transform of inputs, and of activations of 4 bits, in a 4096 x 4096
               product
     allocate  which format for which layer, with the proof: milliseconds, and the workspace that
               it takes
     threads   two threads with half of the rows each
     cliffs    the worst speed of sizes that are not full, beside the next full size: 32 to 4,224
               columns, 1 to 64 rows and activations, groups of 64
     worst     the smallest speed-up over the scalar table, many shapes and calls
   All that is compared takes turns on one core (measure.h). TSV=1 in the environment: lines
   key<TAB>value only. A complete run also leaves bench.tsv and bench.json beside the program,
   any run with --out in DIR. Ctrl-C prints what there is. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include "allocate.h"
#include "cliffs.h"
#include "plan.h"
#include "print.h"
#include "products.h"
#include "steps.h"
#include "threads.h"

static void part_threads(void)
{
    const llmq_kernels *best = tables[table_count - 1];
    llmq_format f;
    llmq_tensor t;
    double ratio;
    if (second_core < 0) return;
    must(llmq_format_find(&f, "g4", 128));
    t = tensor_make(&f, NULL, level_rows(&levels[0], &f), levels[0].cols);
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

static void usage(void)
{
    fprintf(stderr, "usage: bench [--quick] [--table a,b] [--format g2,g3] [--where l2,l3,mem]\n"
                    "             [--part products,steps,transforms,allocate,threads,cliffs,worst] [--core N] "
                    "[--mem MB] [--seconds S] [--out DIR]\n");
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
    char text[128];
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long kb = 0;
    while (file && !kb && fgets(text, sizeof text, file))
        if (!strncmp(text, "MemAvailable:", 13)) kb = strtoul(text + 13, NULL, 10);
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
    if (listed(options.part, "transforms") && !stopped) part_transforms();
    if (listed(options.part, "allocate") && !stopped) part_allocate();
    if (listed(options.part, "threads") && !stopped) part_threads();
    if (listed(options.part, "cliffs") && !stopped) part_cliffs();
    if (listed(options.part, "worst") && !stopped) part_worst();
    if (isatty(2)) fprintf(stderr, "\r\033[K");
    if (options.tsv) write_tsv(stdout);
    else print_all(&m);
    if (!options.out && !stopped && !options.quick && !options.table && !options.format && !options.where
        && !options.part) {
        char *slash = strrchr(argv[0], '/');
        if (slash) *slash = 0;
        options.out = slash ? argv[0] : ".";
    }
    if (options.out) write_file(options.out, "bench.tsv", NULL), write_file(options.out, "bench.json", &m);
    return stopped;
}
