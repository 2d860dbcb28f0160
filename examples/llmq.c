/* llmq - one tool: quantize a model, run it, measure it, look into it.

       cc -O2 examples/llmq.c -o llmq -lm -lpthread         (-DLLMQ_NO_THREADS without POSIX threads)
       llmq COMMAND --help

   Models are llama2.c checkpoints or .llmq bundles; text is tokenized with a llama2.c tokenizer, which a bundle carries
   with it as the value "tokenizer". */
struct llmq_kernels;
static const struct llmq_kernels *chosen; /* what --kernels names */
#define LLMQ_KERNELS (chosen ? chosen : llmq_kernels_best())
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LLAMA_IMPLEMENTATION
#include "llama.h"
#define LLAMA2C_IMPLEMENTATION
#include "llama2c.h"
#define SENSE_IMPLEMENTATION
#include "sense.h"
#define IMATRIX_IMPLEMENTATION
#include "imatrix.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifndef LLMQ_NO_THREADS
#include <pthread.h>
#endif

/* ---- trouble, memory, files ---------------------------------------------------------------------------------------- */

static void fail(const char *format, ...)
{
    va_list a;
    va_start(a, format);
    fputs("llmq: ", stderr);
    vfprintf(stderr, format, a);
    fputc('\n', stderr);
    va_end(a);
    exit(1);
}

static void check(llmq_status status, const char *what)
{
    if (status != LLMQ_OK) fail("%s: %s", what, llmq_status_text(status));
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) fail("no memory for %zu bytes", n);
    return p;
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    size_t room = 0, n = 0, got;
    if (!f) fail("cannot open %s: %s", path, strerror(errno));
    do {
        if (n == room) {
            room = room ? 2 * room : 1 << 16;
            bytes = (unsigned char *)realloc(bytes, room);
            if (!bytes) fail("no memory for %s", path);
        }
        got = fread(bytes + n, 1, room - n, f);
        n += got;
    } while (got);
    if (ferror(f)) fail("cannot read %s: %s", path, strerror(errno));
    fclose(f);
    *size = n;
    return bytes;
}

/* Into a new file beside the old one, which is replaced only when everything has been written. */
static void write_file(const char *path, const void *bytes, size_t size)
{
    char *part = (char *)allocate(strlen(path) + 6);
    FILE *f;
    sprintf(part, "%s.part", path);
    f = fopen(part, "wb");
    if (!f) fail("cannot write %s: %s", part, strerror(errno));
    if (fwrite(bytes, 1, size, f) != size || fclose(f)) fail("cannot write %s: %s (%s is as it was)", part, strerror(errno), path);
    if (rename(part, path)) fail("cannot rename %s to %s: %s", part, path, strerror(errno));
    free(part);
}

/* At most twice a second, and nothing if the job is short. */
static void progress(uint32_t done, uint32_t total, const char *what)
{
    static double last;
    double now = seconds();
    if (last == 0) last = now;
    if (done == total) fprintf(stderr, "\r%40s\r", "");
    else if (now - last > 0.5) {
        fprintf(stderr, "\r%u/%u %-30s", done, total, what);
        last = now;
    }
}

/* ---- options ------------------------------------------------------------------------------------------------------- */

#define KV_HELP "keys and values in the cache: 2 3 4 5 6 8 bits, rotated by a Hadamard; 16 or 32: float"
#define ABITS_HELP "activations of quantized layers: 2 ... 8, 32: float; then :zero :symmetric :token :batch :0.9 (clip)"

typedef struct option {
    const char *name, *argument, *help;
    const char **text;   /* where the argument goes: one of these three */
    int *number;
    double *real;
} option;

static void print_options(const char *usage, const option *o)
{
    printf("usage: llmq %s\n\n", usage);
    for (; o->name; o++) {
        printf("  --%s %s%*s %s", o->name, o->argument, (int)(22 - strlen(o->name) - strlen(o->argument)), "", o->help);
        if (o->text && *o->text) printf(" [%s]", *o->text);
        if (o->number) printf(" [%d]", *o->number);
        if (o->real) printf(" [%g]", *o->real);
        printf("\n");
    }
}

/* Sets options; what is not one goes to rest, which has room for `most`; returns how many. */
static int parse(int argc, char **argv, const char *usage, const option *options, const char **rest, int least, int most)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        const option *o = options;
        char *end;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_options(usage, options);
            exit(0);
        }
        if (strncmp(argv[i], "--", 2) != 0) {
            if (n == most) fail("one argument too many: %s\nusage: llmq %s", argv[i], usage);
            rest[n++] = argv[i];
            continue;
        }
        while (o->name && strcmp(o->name, argv[i] + 2) != 0) o++;
        if (!o->name) fail("unknown option %s; --help lists them", argv[i]);
        if (++i == argc) fail("--%s needs an argument: %s", o->name, o->argument);
        if (o->text) *o->text = argv[i];
        else {
            double v = strtod(argv[i], &end);
            if (*end || end == argv[i]) fail("--%s needs a number, not '%s'", o->name, argv[i]);
            if (o->real) *o->real = v;
            else if (!(v >= 0 && v <= 2147483647.0) || v != (double)(int)v) fail("--%s needs a whole number that is not negative, not '%s'", o->name, argv[i]);
            else *o->number = (int)v;
        }
    }
    if (n < least) {
        print_options(usage, options);
        fail("%s is missing", n == 0 ? "the model" : "the output file");
    }
    return n;
}

/* ---- models -------------------------------------------------------------------------------------------------------- */

typedef struct loaded {
    unsigned char *bytes;      /* of the bundle */
    size_t size;
    llmq_bundle bundle;
    llama_model model;
    llama_state state;
    int has_tokenizer;
    llama2c_tokenizer tokenizer;
    uint32_t prefix;           /* does a space go before a text? */
    int quiet;                 /* no progress of its layers */
} loaded;

static void add_value(llmq_entry *e, const char *name, uint32_t type, const void *data, size_t size)
{
    memset(e, 0, sizeof *e);
    e->name = name;
    e->kind = LLMQ_KIND_VALUE;
    e->type = type;
    e->data = data;
    e->size = size;
}

static unsigned char *write_bundle(llmq_entry *e, uint32_t count, size_t *size)
{
    unsigned char *bytes;
    *size = llmq_bundle_size(e, count);
    bytes = (unsigned char *)allocate(*size);
    check(llmq_bundle_write_memory(e, count, bytes, *size), "making the bundle");
    return bytes;
}

/* A checkpoint as the bytes of a bundle. */
static unsigned char *from_checkpoint(const char *path, const unsigned char *bytes, size_t size, const char *tokenizer, int prefix, size_t *out)
{
    static unsigned char prefix_value[4];
    llama2c_checkpoint c;
    llmq_status status = llama2c_open(&c, bytes, size);
    unsigned char *bundle, *tok = NULL;
    llmq_entry *e;
    char *names;
    size_t tok_size = 0;
    uint32_t n;
    if (status != LLMQ_OK) fail("%s is neither a .llmq bundle nor a llama2.c checkpoint (%s)", path, llmq_status_text(status));
    n = llama2c_entry_count(&c);
    e = (llmq_entry *)allocate((n + 2) * sizeof *e);
    names = (char *)allocate((size_t)n * 32);
    llama2c_entries(&c, e, names);
    if (tokenizer) {
        tok = read_file(tokenizer, &tok_size);
        add_value(&e[n++], "tokenizer", LLMQ_VALUE_BYTES, tok, tok_size);
        prefix_value[0] = (unsigned char)(prefix != 0);
        add_value(&e[n++], "tokenizer.prefix", LLMQ_VALUE_U32, prefix_value, 4);
    }
    bundle = write_bundle(e, n, out);
    free(e);
    free(names);
    free(tok);
    return bundle;
}

/* Memory to run up to so many tokens at once. */
static void open_window(loaded *m, const char *path, uint32_t tokens)
{
    size_t need = llama_state_size(&m->model, tokens);
    if (need == 0) fail("%s: the model is too large for this machine", path);
    check(llama_state_init(&m->state, &m->model, tokens, allocate(need), need), path);
}

/* How activations are quantized, from words with colons between them: bits (2 ... 8, or 32 for floats), then what is not as usual for
   these: zero or symmetric, with a zero point or without; group, token or batch: who shares a scale; and the clip ratio, with a
   point: "4:token:0.9". */
static llmq_activation_options read_activations(const char *text)
{
    llmq_activation_options o = llmq_activation_defaults((uint32_t)atoi(text));
    if (o.bits != 32 && (o.bits < 2 || o.bits > 8)) fail("activations have 2 ... 8 bits, or 32; not '%s'", text);
    text += strcspn(text, ":");
    text += *text == ':';
    while (*text) {
        size_t n = strcspn(text, ":");
        char word[16], *end;
        double number;
        snprintf(word, sizeof word, "%.*s", (int)(n < 15 ? n : 15), text);
        text += n + (text[n] == ':');
        number = strtod(word, &end);
        if (strcmp(word, "zero") == 0) o.asymmetric = 1;
        else if (strcmp(word, "symmetric") == 0) o.asymmetric = 0;
        else if (strcmp(word, "group") == 0) o.scales = LLMQ_SCALES_GROUP;
        else if (strcmp(word, "token") == 0) o.scales = LLMQ_SCALES_TOKEN;
        else if (strcmp(word, "batch") == 0) o.scales = LLMQ_SCALES_BATCH;
        else if (*end == 0 && strchr(word, '.') && number > 0 && number <= 1) o.clip = (float)number;
        else fail("behind the bits of activations can be :zero, :symmetric, :group, :token, :batch and a clip ratio such as :0.9, not '%s'", word);
    }
    return o;
}

/* Make a model of bundle bytes, which it owns from now on. activations NULL: as the bundle says. */
static void open_model(loaded *m, const char *path, unsigned char *bytes, size_t size, uint32_t batch, const char *activations)
{
    llmq_error error;
    const void *tok;
    size_t need, tok_size;
    void *mem;
    memset(m, 0, sizeof *m);
    m->bytes = bytes;
    m->size = size;
    if (llmq_bundle_open(&m->bundle, bytes, size, &error)) fail("%s: %s (at byte %zu)", path, llmq_status_text(error.status), error.offset);
    if (llmq_bundle_verify(&m->bundle, &error)) fail("%s: %s (at byte %zu)", path, llmq_status_text(error.status), error.offset);
    if ((need = llama_model_size(&m->bundle)) == 0) fail("%s holds no llama model; 'llmq inspect' shows what it holds", path);
    mem = allocate(need);
    if (llama_model_init(&m->model, &m->bundle, mem, need)) fail("%s: a tensor of the model is missing or has the wrong shape", path);
    if (activations) m->model.activation = read_activations(activations);
    if (batch) open_window(m, path, batch);
    m->prefix = 1;
    (void)!llmq_bundle_u32(&m->bundle, "tokenizer.prefix", &m->prefix); /* absent: as llama2.c does */
    if (llmq_bundle_value(&m->bundle, "tokenizer", LLMQ_VALUE_BYTES, &tok, &tok_size) == LLMQ_OK) {
        uint32_t *index = (uint32_t *)allocate(m->model.vocab * 2 * sizeof *index);
        check(llama2c_tokenizer_init(&m->tokenizer, tok, tok_size, m->model.vocab, index), "the tokenizer");
        m->has_tokenizer = 1;
    }
}

/* How its cache is kept, before open_window. */
static void set_cache(loaded *m, int bits, int window)
{
    if (bits < 1 || llama_cache_bits(&m->model.cache, (uint32_t)bits) != LLMQ_OK) fail("keys and values have 2, 3, 4, 5, 6, 8, 16 or 32 bits");
    if (window < 0 || window > 1 << 24) fail("--kv-window is 1 ... 16777216 positions, 0: the model's context");
    m->model.cache.window = (uint32_t)window;
    if (bits < 16) m->model.cache.transform = llmq_transform_hadamard(1, 512);
}

static void close_model(loaded *m)
{
    free(m->model.layer); /* the first of their memory */
    free(m->state.x);
    free(m->bytes);
    if (m->has_tokenizer) free(m->tokenizer.offset); /* as it came: the head of its index */
    memset(m, 0, sizeof *m);
}

static unsigned char *read_model(const char *path, const char *tokenizer, int prefix, size_t *size)
{
    size_t raw_size;
    unsigned char *raw = read_file(path, &raw_size), *bytes;
    if (raw_size >= 4 && memcmp(raw, "LLMQ", 4) == 0) {
        *size = raw_size;
        return raw;
    }
    bytes = from_checkpoint(path, raw, raw_size, tokenizer, prefix, size);
    free(raw);
    return bytes;
}

static uint32_t *encode_text(const loaded *m, const char *path, const char *text, size_t size, uint32_t *count)
{
    uint32_t *ids = (uint32_t *)allocate((size + 2) * sizeof *ids);
    void *work = allocate(llama2c_encode_work_size(size));
    if (!m->has_tokenizer) fail("%s has no tokenizer; give one with --tokenizer FILE", path);
    *count = llama2c_encode(&m->tokenizer, text, size, (int)m->prefix, ids, work);
    free(work);
    return ids;
}

/* ---- quantizing ---------------------------------------------------------------------------------------------------- */

/* A format of its own for a tensor; group -1: that of the recipe. */
typedef struct choice { char name[64], format[32]; int group; } choice;

/* What quantize and compare both let be said of transforms. */
#define TRANSFORM_OPTIONS(r) \
    { "transform", "NAME", "of inputs: none, hadamard, zigzag, duquant, or steps: smooth+permute+hadamard64; zigzag with --calib, else hadamard", &(r).transform, NULL, NULL }, \
    { "clip", "X", "of u4, u6, u8: the part of a range that gets codes, 0: searched", NULL, NULL, &(r).clip }, \
    { "calib", "FILE", "text that smooth, permute and rotate are made from", &(r).calib, NULL, NULL }, \
    { "calib-tokens", "N", "only the first N of it, 0: all", NULL, &(r).calib_tokens, NULL }, \
    { "alpha", "X", "of smoothing: 0 evens out weights, 1 inputs", NULL, NULL, &(r).alpha }, \
    { "criterion", "NAME", "of rotations: error, peak or range", &(r).criterion, NULL, NULL }, \
    { "steps", "N", "of rotations", NULL, &(r).steps, NULL }, \
    { "fold", "0|1", "fold smoothing and permutations into norms and rows where that can be", NULL, &(r).fold, NULL }

typedef struct recipe {
    const char *format, *embed, *effort;
    const char *transform;       /* NULL: usual_transform */
    const char *abits;           /* of activations, to be written into the model; NULL: it says what it said */
    int group, block, seed, quiet;
    const struct sums *sums;     /* what a text says of the inputs; NULL: no error feedback */
    const char *sums_path, *kind, *order;
    double damping, first_order;
    const char *calib, *criterion; /* text that transforms are made from, and how rotations are */
    int calib_tokens, steps, fold;
    double alpha, clip;
    const choice *choices;       /* formats by name; a linear layer that is not among them has `format`, or stays if that is NULL */
    uint32_t choice_count;
} recipe;

static const recipe default_recipe = { "g4", NULL, "default", NULL, NULL, 64, 0, 1, 0, NULL, NULL, "aware", "natural", -1, 0, NULL, "error", 0, 256, 1, 0.6, 0, NULL, 0 };

static int is_linear(const char *name) { return strncmp(name, "layers.", 7) == 0 && strstr(name, ".w") != NULL; }
static int is_table(const char *name) { return strcmp(name, "embed") == 0 || strcmp(name, "classifier") == 0; }

/* rtn4: round-to-nearest as most tools do it, for comparison: per group a minimum and a maximum (both including 0), an
   integer zero point, 2^bits levels. The result is stored as floats; it counts as bits + 32 / group. */
static void round_to_nearest(float *w, size_t n, int bits, size_t group)
{
    size_t j, k;
    for (j = 0; j < n; j += group) {
        size_t end = j + group < n ? j + group : n;
        float low = 0, high = 0, step, zero, top = (float)((1 << bits) - 1);
        for (k = j; k < end; k++) low = w[k] < low ? w[k] : low, high = w[k] > high ? w[k] : high;
        step = (high - low) / top;
        if (!(step > 0)) continue;
        zero = rintf(-low / step);
        for (k = j; k < end; k++) {
            float q = rintf(w[k] / step) + zero;
            w[k] = ((q < 0 ? 0 : q > top ? top : q) - zero) * step;
        }
    }
}

static float *decode_all(const llmq_tensor *t)
{
    float *w = (float *)allocate((size_t)t->rows * t->cols * sizeof *w);
    size_t work_size = llmq_transform_work_size(&t->transform, t->cols);
    void *work = allocate(work_size);
    for (uint32_t r = 0; r < t->rows; r++) check(llmq_tensor_decode(t, r, w + (size_t)r * t->cols, work, work_size), "decoding");
    free(work);
    return w;
}

static double relative_error(const float *w, const float *v, size_t n)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) error += ((double)w[i] - v[i]) * ((double)w[i] - v[i]), power += (double)w[i] * w[i];
    return power > 0 ? error / power : 0;
}

/* The last grid that was trained: one that is not built in is made when it is first asked for. */
static struct trained {
    char name[32], entry[40];
    llmq_format format;
    int8_t *points;
} trained;

static int show_training(void *context, uint32_t done, uint32_t total)
{
    progress(done, total, (const char *)context);
    return 0;
}

/* A format by name: built in, or vPnN, a grid of N points of P numbers. */
static llmq_status find_format(const char *name, uint32_t group, llmq_format *f)
{
    llmq_status status = llmq_format_find(f, name, group);
    unsigned p, n;
    char rest;
    size_t size, work_size;
    void *work;
    if (status != LLMQ_E_NOT_FOUND || sscanf(name, "v%un%u%c", &p, &n, &rest) != 2 || (size = llmq_grid_size(p, n)) == 0) return status;
    if (strcmp(trained.name, name) != 0) {
        snprintf(trained.name, sizeof trained.name, "%s", name);
        snprintf(trained.entry, sizeof trained.entry, "grid.%s", trained.name);
        free(trained.points);
        trained.points = (int8_t *)allocate(size);
        work = allocate(work_size = llmq_grid_train_work_size(p, n));
        status = llmq_grid_train(&trained.format, p, n, 0, 1, 0, 0, trained.points, size, show_training, trained.entry, work, work_size);
        check(status, trained.entry);
        free(work);
    }
    return llmq_format_custom(f, p, n, trained.points, trained.format.unit, group);
}

/* ---- sums of calibration inputs: values "sense.LAYER.SUM": f32, sums of the weights and of their squares, then the packed matrix ---- */

static float load_float(const unsigned char *b)
{
    uint32_t u = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

/* A file of sums: what `llmq sense` wrote, or an importance matrix of llama.cpp, which has diagonals only. */
typedef struct sums {
    const char *path;
    int is_imatrix;
    llmq_bundle bundle;
    imatrix matrix;
} sums;

static const sums *open_sums(const char *path)
{
    sums *s = (sums *)allocate(sizeof *s);
    llmq_error error;
    llmq_status status;
    size_t size;
    unsigned char *bytes = read_file(path, &size);
    memset(s, 0, sizeof *s);
    s->path = path;
    s->is_imatrix = size < 4 || memcmp(bytes, "LLMQ", 4) != 0;
    if (s->is_imatrix) {
        if ((status = imatrix_open(&s->matrix, bytes, size)) != LLMQ_OK)
            fail("%s: neither sums of 'llmq sense' nor an importance matrix of llama.cpp (%s)", path, llmq_status_text(status));
    } else if (llmq_bundle_open(&s->bundle, bytes, size, &error) || llmq_bundle_verify(&s->bundle, &error)) {
        fail("%s: %s (at byte %zu)", path, llmq_status_text(error.status), error.offset);
    }
    return s;
}

static void close_sums(const sums *s)
{
    free((void *)(uintptr_t)(s->is_imatrix ? s->matrix.bytes : s->bundle.bytes));
    free((void *)(uintptr_t)s);
}

/* The sum of that name for inputs of cols numbers, in memory that the caller frees. */
static float *load_sum(const sums *s, const char *name, uint32_t cols, llmq_hessian *h)
{
    const void *data;
    const unsigned char *at;
    size_t size, need = llmq_hessian_size(cols, 1);
    float *mem = (float *)allocate(need);
    if (s->is_imatrix) fail("%s is an importance matrix: it has no sums of products, only diagonals", s->path);
    if (llmq_bundle_value(&s->bundle, name, LLMQ_VALUE_BYTES, &data, &size)) fail("%s has no %s; 'llmq sense' makes such files", s->path, name);
    if (size != need + 8) fail("%s: %s is not for inputs of %u numbers", s->path, name, cols);
    check(llmq_hessian_init(h, cols, 1, NULL, mem, need), name);
    at = (const unsigned char *)data;
    h->weight = load_float(at);
    h->squares = load_float(at + 4);
    for (size_t i = 0; i < need / 4; i++) mem[i] = load_float(at + 8 + 4 * i);
    return mem;
}

/* The mean squares of a linear's inputs, as a diagonal H. */
static float *load_diagonal(const sums *s, const char *name, uint32_t cols, llmq_hessian *h)
{
    char other[64];
    imatrix_entry e;
    size_t need = llmq_hessian_size(cols, 0);
    float *mem = (float *)allocate(need);
    check(llmq_hessian_init(h, cols, 0, NULL, mem, need), name);
    if (imatrix_name_from_llmq(name, strlen(name), other) || imatrix_find(&s->matrix, other, &e)) fail("%s has nothing on %s", s->path, name);
    if (e.cols != cols || e.experts != 1) fail("%s: %s is not for inputs of %u numbers", s->path, other, cols);
    if (imatrix_mean(&e, 0, mem)) fail("%s: %s holds numbers that no mean of squares can be", s->path, other);
    h->weight = 1;
    return mem;
}

/* Layer and linear of a tensor "layers.N.wX"; -1 if it is another. */
static int linear_of(const char *name, unsigned *layer)
{
    int n = 0, i = 0;
    if (sscanf(name, "layers.%u.%n", layer, &n) != 1 || n == 0) return -1;
    while (i < LLAMA_LINEARS && strcmp(name + n, llama_linear_name[i]) != 0) i++;
    return i < LLAMA_LINEARS ? i : -1;
}

/* Rows w into t's records at data with error feedback, from the sums of r. */
static void encode_with_feedback(const char *name, const llmq_tensor *t, void *data, const float *w, const recipe *r, const llmq_encode_options *options)
{
    llmq_feedback_options how = { (float)r->damping, (float)r->first_order, LLMQ_ORDER_NATURAL };
    llmq_feedback f;
    llmq_hessian h;
    llmq_error error;
    llmq_status status;
    unsigned layer;
    char sum[64];
    int linear = linear_of(name, &layer), aware = strcmp(r->kind, "aware") == 0;
    size_t size, work_size;
    float *mem;
    void *work, *factor;
    if (linear < 0) fail("%s is no linear layer that sums are made for", name);
    if (strcmp(r->order, "diagonal") == 0) how.order = LLMQ_ORDER_DIAGONAL;
    else if (strcmp(r->order, "natural") != 0) fail("--order is natural or diagonal");
    snprintf(sum, sizeof sum, "sense.%u.%s", layer, sense_name[sense_sum(linear, aware)]);
    mem = r->sums->is_imatrix ? load_diagonal(r->sums, name, t->cols, &h) : load_sum(r->sums, sum, t->cols, &h);
    if (h.full && strcmp(r->kind, "diagonal") == 0) {
        for (uint32_t i = 0; i < t->cols; i++) mem[i] = h.h[(size_t)i * (i + 1) / 2 + i];
        h.full = 0;
    } else if (!aware && strcmp(r->kind, "plain") != 0 && !r->sums->is_imatrix) {
        fail("--kind is aware, plain or diagonal");
    }
    if (!h.full && t->transform.count) fail("mean squares of the inputs say nothing of rotated ones: use --transform none");
    if (h.full && t->transform.count) {
        work = allocate(work_size = llmq_hessian_transform_work_size(&h, &t->transform));
        check(llmq_hessian_transform(&h, &t->transform, work, work_size), sum);
        free(work);
    }
    factor = allocate(size = llmq_feedback_size(&h));
    if ((status = llmq_feedback_init(&f, t, &h, &how, factor, size, &error)) != LLMQ_OK) fail("%s, %s: %s (column %u)", r->sums_path, sum, llmq_status_text(status), error.col);
    if (how.damping >= 0 && f.damping > how.damping * 1.5f && !r->quiet) fprintf(stderr, "%s: damping raised to %g\n", name, (double)f.damping);
    work = allocate(work_size = llmq_feedback_work_size(t));
    if (llmq_feedback_encode(t, data, 0, t->rows, w, t->cols, &f, options, work, work_size, NULL, &error))
        fail("%s: %s (row %u, column %u)", name, llmq_status_text(error.status), error.row, error.col);
    free(work);
    free(factor);
    free(mem);
}

/* Rows of a layer that take over `t` from the layer that they are the input of. */
static void fold_rows(const llmq_transform *t, int kinds, float *rows, uint32_t count, uint32_t cols)
{
    size_t work_size = 8 * (size_t)count;
    void *work = allocate(work_size);
    check(llmq_transform_fold(t, count, kinds, rows, cols, cols, work, work_size), "folding");
    free(work);
}

/* Replace an entry's tensor by its quantized form; its data is then malloc'ed. input: what transform its input gets; rows: its own rows
   are the input of another layer, and take over what is folded of that one's, of the kinds given. Either may be NULL. */
static void quantize_entry(llmq_entry *e, const llmq_tensor *from, const char *format, const recipe *r, const llmq_transform *input,
                           const llmq_transform *rows, int kinds)
{
    llmq_encode_options options = { LLMQ_EFFORT_DEFAULT, NULL, NULL, (float)r->clip };
    llmq_error error;
    llmq_tensor t;
    size_t n = (size_t)from->rows * from->cols, work_size;
    float *w = decode_all(from), *back;
    int rtn = strncmp(format, "rtn", 3) == 0;
    void *data, *work;
    if (rows) fold_rows(rows, kinds, w, from->rows, from->cols);
    if (from->format.points && strcmp(format, "f32") != 0) fail("%s is already quantized; start from the original model", e->name);
    if (strcmp(r->effort, "fast") == 0) options.effort = LLMQ_EFFORT_FAST;
    else if (strcmp(r->effort, "best") == 0) options.effort = LLMQ_EFFORT_BEST;
    else if (strcmp(r->effort, "default") != 0) fail("--effort is fast, default or best");
    if (rtn)
        for (uint32_t i = 0; i < from->rows; i++) round_to_nearest(w + (size_t)i * from->cols, from->cols, atoi(format + 3), (size_t)r->group);
    if (find_format(rtn ? "f32" : format, (uint32_t)r->group, &e->format))
        fail("no format '%s' with group %d: formats are vPnN (P 1 to 8, N 2 to 65536) and those of 'llmq inspect --formats 1'; groups are 32 to "
             "1024 in steps of 32, or 0 for a row", format, r->group);
    e->size = llmq_tensor_size(&e->format, e->rows, e->cols);
    e->data = data = allocate(e->size);
    e->grid = e->format.id == LLMQ_FORMAT_CUSTOM ? trained.entry : NULL;
    check(llmq_tensor_init(&t, &e->format, input, e->rows, e->cols, data, e->size), e->name);
    work = allocate(work_size = llmq_encode_work_size(&t));
    if (e->format.points && r->sums && is_linear(e->name)) encode_with_feedback(e->name, &t, data, w, r, &options);
    else if (llmq_encode(&t, data, 0, e->rows, w, e->cols, &options, work, work_size, &error))
        fail("%s: %s (row %u, column %u)", e->name, llmq_status_text(error.status), error.row, error.col);
    free(work);
    back = rtn ? decode_all(from) : decode_all(&t);
    if (rtn && rows) fold_rows(rows, kinds, back, from->rows, from->cols);
    e->t2 = (float)relative_error(w, back, n);
    free(w);
    free(back);
}

/* Of the linear layers; error is the sum of t^2 * weights; online: multiply-adds a token of the transforms of their inputs. */
typedef struct sizes { double weights, bytes, error, online; } sizes;

static void add_to_sizes(sizes *total, const llmq_entry *e, const recipe *r)
{
    double count = (double)e->rows * e->cols;
    total->weights += count;
    total->bytes += r->format && strncmp(r->format, "rtn", 3) == 0 ? count * (atoi(r->format + 3) + 32.0 / r->group) / 8 : (double)e->size;
    total->error += (double)e->t2 * count;
}

/* Format of a linear layer, and its group. */
static const char *format_of(const recipe *r, const char *name, int *group)
{
    for (uint32_t i = 0; i < r->choice_count; i++)
        if (strcmp(r->choices[i].name, name) == 0) {
            if (r->choices[i].group >= 0) *group = r->choices[i].group;
            return r->choices[i].format;
        }
    return r->format;
}

/* How activations are to be quantized, as values of the model. */
static int is_activation_value(const char *name)
{
    return strcmp(name, "llama.abits") == 0 || strcmp(name, "llama.azero") == 0 || strcmp(name, "llama.ascales") == 0 || strcmp(name, "llama.aclip") == 0;
}

static uint32_t add_activation_values(llmq_entry *e, const char *text)
{
    static unsigned char bytes[4][4];
    static const char *const name[4] = { "llama.abits", "llama.azero", "llama.ascales", "llama.aclip" };
    llmq_activation_options o = read_activations(text);
    uint32_t value[4] = { o.bits, (uint32_t)o.asymmetric, (uint32_t)o.scales, 0 };
    memcpy(&value[3], &o.clip, 4);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 4; k++) bytes[i][k] = (unsigned char)(value[i] >> 8 * k & 255);
        add_value(&e[i], name[i], i < 3 ? LLMQ_VALUE_U32 : LLMQ_VALUE_F32, bytes[i], 4);
    }
    return 4;
}

static unsigned char *quantize_bundle(const llmq_bundle *b, const recipe *r, sizes *total, size_t *size);
static uint32_t *text_ids(const loaded *m, const char *model_path, const char *path, int tokens, uint32_t *count);

/* The same numbers as f32, whatever they are stored as, so that running the model does not convert them for each token. */
static unsigned char *as_floats(const llmq_bundle *b, size_t *size)
{
    recipe wide = default_recipe;
    sizes total;
    wide.format = wide.embed = "f32";
    wide.transform = "none";
    wide.quiet = 1;
    return quantize_bundle(b, &wide, &total, size);
}

#include "fit.h"

/* A vector that was `from` with a transform folded into it, as f32. */
static void fold_entry(llmq_entry *e, const llmq_tensor *from, const llmq_transform *folded)
{
    float *v = decode_all(from);
    unsigned char *data;
    void *work;
    size_t work_size;
    llmq_tensor t;
    if (from->rows != 1) fail("%s is not a vector", e->name);
    fold_rows(folded, LLMQ_FOLD_SMOOTH, v, from->cols, 1);
    check(llmq_format_find(&e->format, "f32", 0), "f32");
    e->data = data = (unsigned char *)allocate(e->size = llmq_tensor_size(&e->format, 1, from->cols));
    check(llmq_tensor_init(&t, &e->format, NULL, 1, from->cols, data, e->size), e->name);
    work = allocate(work_size = llmq_encode_work_size(&t));
    check(llmq_encode(&t, data, 0, 1, v, from->cols, NULL, work, work_size, NULL), e->name);
    free(work);
    free(v);
}

/* A transform that is stored once it is first used: "transform.LAYER.SITE". */
typedef struct stored_transform {
    char name[32];
    void *data;
    size_t size;
} stored_transform;

static const char *use_transform(stored_transform *s, const llmq_transform *t, unsigned layer, int site)
{
    if (s->data) return s->name;
    snprintf(s->name, sizeof s->name, "transform.%u.%s", layer, site_name[site]);
    s->size = 4 + 8 * (size_t)t->count + transform_bytes(t);
    s->data = allocate(s->size);
    check(llmq_transform_store(t, s->data, &s->size), s->name);
    return s->name;
}

/* One tensor of a model in its new form; returns whether it is another now. */
static int convert_tensor(const llmq_bundle *b, llmq_entry *e, const recipe *r, const site_transform *made, stored_transform *stored)
{
    unsigned layer = 0;
    int linear = is_linear(e->name) ? linear_of(e->name, &layer) : -1, site, number = 0, at = 0;
    recipe own = *r;
    const char *format = is_linear(e->name) ? format_of(r, e->name, &own.group) : is_table(e->name) ? r->embed : NULL;
    const site_transform *input = NULL, *rows = NULL;
    llmq_tensor t;
    check(llmq_bundle_tensor(b, e->name, &t), e->name);
    if (made && sscanf(e->name, "layers.%u.norm%d%n", &layer, &number, &at) == 2 && e->name[at] == 0) {
        const llmq_transform *folded = &made[layer * SITES + (number == 1 ? SITE_ATTENTION : SITE_FEED)].folded;
        if (folded->count) fold_entry(e, &t, folded);
        return folded->count != 0;
    }
    if (!format) {
        if (e->transform || e->grid) fail("%s has a transform or grid that would be lost; start from the original model", e->name);
        return 0;
    }
    if (made && linear >= 0) {
        site = site_of_linear[linear];
        input = &made[layer * SITES + (unsigned)site];
        if (linear == LLAMA_W1 || linear == LLAMA_W3) rows = &made[layer * SITES + SITE_DOWN];
        if (rows && !rows->folded.count) rows = NULL;
        e->transform = input->rest.count ? use_transform(&stored[layer * SITES + (unsigned)site], &input->rest, layer, site) : NULL;
    } else {
        e->transform = NULL;
    }
    quantize_entry(e, &t, format, &own, input ? &input->all : NULL, rows ? &rows->folded : NULL, linear == LLAMA_W1 ? LLMQ_FOLD_PERMUTE : LLMQ_FOLD_PERMUTE | LLMQ_FOLD_SMOOTH);
    return 1;
}

/* The model of a bundle with its linear layers in another format, as the bytes of a bundle. */
static unsigned char *quantize_bundle(const llmq_bundle *b, const recipe *r, sizes *total, size_t *size)
{
    llmq_transform steps = read_steps(transform_of(r));
    uint32_t layers = 0, n = 0, count = 0;
    const site_transform *made = NULL;
    stored_transform *stored;
    llmq_entry *e;
    void **data = (void **)allocate(b->count * sizeof *data);
    unsigned char *bytes;
    void *grid = NULL;
    llmq_format custom;
    if (r->embed && find_format(r->embed, 0, &custom) == LLMQ_OK && custom.id == LLMQ_FORMAT_CUSTOM) fail("--embed is a built-in format");
    if (r->block && llmq_hadamard_block(1, (size_t)r->block) == 0) fail("--block is a power of two up to 32768");
    if (steps.count && llmq_bundle_u32(b, "llama.layers", &layers) == LLMQ_OK) made = transforms_for(b, r);
    e = (llmq_entry *)allocate((b->count + (size_t)layers * SITES + 5) * sizeof *e);
    stored = (stored_transform *)allocate((size_t)layers * SITES * sizeof *stored);
    memset(stored, 0, (size_t)layers * SITES * sizeof *stored);
    memset(total, 0, sizeof *total);
    for (uint32_t i = 0; i < b->count; i++) {
        check(llmq_bundle_at(b, i, &e[n]), "reading an entry");
        if (e[n].kind == LLMQ_KIND_TRANSFORM || e[n].kind == LLMQ_KIND_GRID) continue; /* of tensors that are replaced */
        if (e[n].kind == LLMQ_KIND_VALUE && r->abits && is_activation_value(e[n].name)) continue;
        if (e[n].kind == LLMQ_KIND_TENSOR && convert_tensor(b, &e[n], r, made, stored)) {
            data[count++] = (void *)(uintptr_t)e[n].data;
            if (is_linear(e[n].name)) add_to_sizes(total, &e[n], r);
            if (!r->quiet) progress(i, b->count, e[n].name);
        }
        n++;
    }
    if (!r->quiet) progress(b->count, b->count, "");
    for (uint32_t i = 0; i < layers * SITES; i++) {
        if (!stored[i].data) continue;
        total->online += (double)llmq_transform_cost(&made[i].rest, made[i].cols);
        add_value(&e[n], stored[i].name, 0, stored[i].data, stored[i].size);
        e[n++].kind = LLMQ_KIND_TRANSFORM;
    }
    if (r->abits) n += add_activation_values(&e[n], r->abits);
    if (r->format && find_format(r->format, 0, &custom) == LLMQ_OK && custom.id == LLMQ_FORMAT_CUSTOM) {
        size_t stored_size = 12 + llmq_grid_size(custom.p, custom.n);
        grid = allocate(stored_size);
        check(llmq_grid_store(&custom, grid, &stored_size), trained.entry);
        add_value(&e[n], trained.entry, 0, grid, stored_size);
        e[n++].kind = LLMQ_KIND_GRID;
    }
    bytes = write_bundle(e, n, size);
    free(grid);
    for (uint32_t i = 0; i < layers * SITES; i++) free(stored[i].data);
    while (count) free(data[--count]);
    free(data);
    free(stored);
    free(e);
    return bytes;
}

static void read_choice(choice *c, const char *path, const char *line, char *transform)
{
    char group[16] = "", *end;
    transform[0] = 0;
    if (sscanf(line, "%63s %31s %15s %63s", c->name, c->format, group, transform) < 2) fail("%s: not a tensor and its format: %s", path, line);
    c->group = group[0] ? (int)strtol(group, &end, 10) : -1;
    if (group[0] && (*end || c->group < 0)) fail("%s: not a group: %s", path, group);
}

/* Formats of single tensors from a text file: a line "TENSOR FORMAT [GROUP [TRANSFORM]]" each; # begins a comment. The transform is one
   for the whole model, and becomes that of the recipe. */
static void read_choices(const char *path, recipe *r)
{
    char transform[64];
    size_t size, at = 0;
    char *text = (char *)read_file(path, &size);
    choice *list = (choice *)allocate((size / 2 + 1) * sizeof *list);
    r->choice_count = 0;
    while (at < size) {
        size_t n = 0;
        char line[160];
        while (at + n < size && text[at + n] != '\n') n++;
        snprintf(line, sizeof line, "%.*s", (int)(n < 159 ? n : 159), text + at);
        line[strcspn(line, "#")] = 0;
        at += n + 1;
        if (strspn(line, " \t\r") == strlen(line)) continue;
        read_choice(&list[r->choice_count++], path, line, transform);
        if (transform[0] && !r->transform) r->transform = strcpy((char *)allocate(sizeof transform), transform);
        if (transform[0] && strcmp(r->transform, transform) != 0) fail("%s: one transform for all: %s or %s", path, r->transform, transform);
    }
    free(text);
    r->choices = list;
}

static int command_quantize(int argc, char **argv)
{
    recipe r = default_recipe;
    const char *rest[2], *tokenizer = NULL, *choices = NULL;
    int prefix = 1;
    const option options[] = {
        { "format", "NAME", "of the linear layers: g2 ... g8, v2n16 ..., f16; any vPnN is trained", &r.format, NULL, NULL },
        { "embed", "NAME", "of embedding and classifier; not given: kept as they are", &r.embed, NULL, NULL },
        { "group", "N", "columns that share a scale: 32 ... 1024, 0: the row", NULL, &r.group, NULL },
        TRANSFORM_OPTIONS(r),
        { "block", "N", "largest Hadamard block, 0: 1024", NULL, &r.block, NULL },
        { "seed", "N", "of the first transform's signs; each layer input has its own", NULL, &r.seed, NULL },
        { "effort", "NAME", "of the encoder: fast, default, best", &r.effort, NULL, NULL },
        { "abits", "BITS", ABITS_HELP, &r.abits, NULL, NULL },
        { "recipe", "FILE", "lines TENSOR FORMAT, as 'llmq plan' writes; others get --format", &choices, NULL, NULL },
        { "hessian", "FILE", "quantize with error feedback; of 'llmq sense', or an imatrix of llama.cpp", &r.sums_path, NULL, NULL },
        { "kind", "NAME", "of its sums: aware (of attention and gates), plain, diagonal", &r.kind, NULL, NULL },
        { "damping", "X", "of a Hessian, relative to its mean diagonal; -1: by the number of tokens", NULL, NULL, &r.damping },
        { "order", "NAME", "of columns: natural, or diagonal: the most used first", &r.order, NULL, NULL },
        { "first-order", "X", "FOEM's correction, 0: none", NULL, NULL, &r.first_order },
        { "tokenizer", "FILE", "llama2.c tokenizer to carry along (checkpoints only)", &tokenizer, NULL, NULL },
        { "prefix", "0|1", "does this tokenizer put a space before a text?", NULL, &prefix, NULL },
        { NULL, NULL, NULL, NULL, NULL, NULL }
    };
    loaded m;
    unsigned char *bytes;
    size_t size;
    sizes total;
    double start = seconds();
    parse(argc, argv, "quantize MODEL OUT.llmq [options]", options, rest, 2, 2);
    if (r.sums_path) r.sums = open_sums(r.sums_path);
    if (choices) read_choices(choices, &r);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, NULL);
    bytes = quantize_bundle(&m.bundle, &r, &total, &size);
    write_file(rest[1], bytes, size);
    printf("%s: %zu bytes; linear layers %.0f weights in %s, %.3f bits a weight, mean t2 %.6f; transforms %.0f additions a token, %.1f %% of the products; "
           "%.2f s\n", rest[1], size, total.weights, r.format, 8 * total.bytes / total.weights, total.error / total.weights, total.online,
           100 * total.online / total.weights, seconds() - start);
    return 0;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

/* The next token: the likeliest at temperature 0, else drawn from the least set of probability top_p. */
static uint32_t sample(const float *logits, uint32_t n, double temperature, double top_p, uint32_t seed, uint32_t counter)
{
    float *p = (float *)allocate(n * sizeof *p), most = logits[0];
    double sum = 0, coin, mass = 0;
    uint32_t best = 0, i;
    for (i = 1; i < n; i++)
        if (logits[i] > most) most = logits[i], best = i;
    if (temperature > 0) {
        for (i = 0; i < n; i++) sum += p[i] = (float)exp((logits[i] - most) / temperature);
        coin = (llmq_random(seed, counter) + 0.5) / 4294967296.0;
        coin *= top_p < 1 ? top_p : 1;
        while (1) { /* take them from the likeliest down until the coin is used up */
            for (best = 0, i = 1; i < n; i++)
                if (p[i] > p[best]) best = i;
            mass += p[best] / sum;
            if (mass >= coin || p[best] <= 0) break;
            p[best] = -1;
        }
    }
    free(p);
    return best;
}

/* Feed ids (BOS first) and go on for `tokens` in all; text goes to out; returns tokens per second of the single steps. */
static double generate(loaded *m, const uint32_t *ids, uint32_t count, uint32_t tokens, double temperature, double top_p, uint32_t seed, FILE *out)
{
    float *logits = (float *)allocate(m->model.vocab * sizeof *logits);
    uint32_t previous = LLAMA2C_BOS, position, token = ids[0];
    double start = seconds();
    if (tokens > m->model.context && m->model.cache.window == 0) tokens = m->model.context;
    for (position = 0; position < tokens; position++) {
        const char *piece;
        uint32_t length;
        char byte;
        check(llama_forward(&m->model, &m->state, &token, 1, position, logits), "running the model");
        previous = token;
        token = position + 1 < count ? ids[position + 1] : sample(logits, m->model.vocab, temperature, top_p, seed, position);
        if (token == LLAMA2C_BOS || token == LLAMA2C_EOS) break;
        piece = llama2c_decode(&m->tokenizer, previous, token, &byte, &length);
        fwrite(piece, 1, length, out);
        fflush(out);
    }
    free(logits);
    return position / (seconds() - start);
}

static uint32_t *prompt_ids(const loaded *m, const char *path, const char *prompt, uint32_t *count)
{
    uint32_t *ids = encode_text(m, path, prompt, strlen(prompt), count);
    memmove(ids + 1, ids, *count * sizeof *ids);
    ids[0] = LLAMA2C_BOS;
    ++*count;
    return ids;
}

static int command_run(int argc, char **argv)
{
    const char *rest[1], *prompt = "", *tokenizer = NULL;
    const char *abits = NULL;
    int tokens = 200, seed = 1, prefix = 1, bits = 32, window = 0;
    double temperature = 0, top_p = 0.9, speed;
    const option options[] = {
        { "prompt", "TEXT", "what to continue", &prompt, NULL, NULL },
        { "tokens", "N", "how far, prompt included", NULL, &tokens, NULL },
        { "temperature", "T", "0: the likeliest token each time", NULL, NULL, &temperature },
        { "top-p", "P", "draw from the likeliest tokens of this probability", NULL, NULL, &top_p },
        { "seed", "N", "of the draws", NULL, &seed, NULL },
        { "abits", "BITS", ABITS_HELP, &abits, NULL, NULL },
        { "kv-bits", "BITS", KV_HELP, NULL, &bits, NULL },
        { "kv-window", "N", "positions that are remembered, for texts of any length; 0: the model's context, where it ends", NULL, &window, NULL },
        { "tokenizer", "FILE", "llama2.c tokenizer (checkpoints only)", &tokenizer, NULL, NULL },
        { "prefix", "0|1", "does this tokenizer put a space before a text?", NULL, &prefix, NULL },
        { NULL, NULL, NULL, NULL, NULL, NULL }
    };
    loaded m;
    unsigned char *bytes;
    uint32_t *ids, count;
    size_t size;
    parse(argc, argv, "run MODEL [options]", options, rest, 1, 1);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, abits);
    set_cache(&m, bits, window);
    open_window(&m, rest[0], 1);
    ids = prompt_ids(&m, rest[0], prompt, &count);
    speed = generate(&m, ids, count, (uint32_t)tokens, temperature, top_p, (uint32_t)seed, stdout);
    printf("\n");
    fflush(stdout);
    fprintf(stderr, "%.1f tokens/s, kernels %s\n", speed, LLMQ_KERNELS->name);
    return 0;
}

/* ---- measuring ----------------------------------------------------------------------------------------------------- */

/* One model of a comparison and what is measured of it against models[0]. */
typedef struct contestant {
    const char *label;
    loaded m;
    double bits, bytes, t2;     /* of the linear layers a weight; of the whole bundle; mean */
    double nll, kl, agree;      /* sums over tokens */
    double speed;
    float *logits;              /* window x vocab */
    const uint32_t *window;
    uint32_t length;
} contestant;

static void run_window(contestant *c)
{
    uint32_t i, n;
    for (i = 0; i < c->length; i += n) {
        n = c->length - i < c->m.state.batch ? c->length - i : c->m.state.batch;
        check(llama_forward(&c->m.model, &c->m.state, c->window + i, n, i, c->logits + (size_t)i * c->m.model.vocab), "running the model");
    }
}

/* Jobs for the threads: contestant i of n is taken by whoever comes first. */
typedef struct job_list {
    contestant *c;
    int n, next;
#ifndef LLMQ_NO_THREADS
    pthread_mutex_t lock;
#endif
} job_list;

static void *work_off(void *context)
{
    job_list *l = (job_list *)context;
    while (1) {
        int i;
#ifndef LLMQ_NO_THREADS
        pthread_mutex_lock(&l->lock);
#endif
        i = l->next++;
#ifndef LLMQ_NO_THREADS
        pthread_mutex_unlock(&l->lock);
#endif
        if (i >= l->n) return NULL;
        run_window(&l->c[i]);
    }
}

static void run_all(contestant *c, int n, int threads)
{
    job_list l;
    l.c = c, l.n = n, l.next = 0;
#ifndef LLMQ_NO_THREADS
    {
        pthread_t thread[16];
        int started = 0;
        pthread_mutex_init(&l.lock, NULL);
        while (started < threads - 1 && started < 16 && pthread_create(&thread[started], NULL, work_off, &l) == 0) started++;
        work_off(&l);
        while (started) pthread_join(thread[--started], NULL);
        pthread_mutex_destroy(&l.lock);
    }
#else
    (void)threads;
    work_off(&l);
#endif
}

/* log-softmax in place, in double; returns the index of the likeliest. */
static uint32_t log_softmax(const float *logits, uint32_t n, double *out)
{
    double sum = 0;
    uint32_t best = 0, i;
    for (i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    for (i = 0; i < n; i++) sum += exp((double)logits[i] - logits[best]);
    sum = log(sum) + logits[best];
    for (i = 0; i < n; i++) out[i] = logits[i] - sum;
    return best;
}

/* Score the window's tokens: targets[i] follows position i. */
static void score_window(contestant *c, int n, const uint32_t *targets, double *reference, double *own)
{
    uint32_t vocab = c->m.model.vocab, i, v;
    for (i = 0; i < c->length; i++) {
        uint32_t best = log_softmax(c[0].logits + (size_t)i * vocab, vocab, reference);
        for (int k = 0; k < n; k++) {
            uint32_t mine = log_softmax(c[k].logits + (size_t)i * vocab, vocab, own);
            c[k].nll -= own[targets[i]];
            c[k].agree += mine == best;
            for (v = 0; v < vocab; v++) c[k].kl += exp(reference[v]) * (reference[v] - own[v]);
        }
    }
}

/* Windows of `window` tokens, each from BOS at position 0; every token is scored. Returns the number of tokens. */
static uint32_t measure(contestant *c, int n, const uint32_t *ids, uint32_t count, uint32_t window, int threads)
{
    uint32_t vocab = c->m.model.vocab, done, *input = (uint32_t *)allocate(window * sizeof *input);
    double *reference = (double *)allocate(2 * vocab * sizeof *reference);
    for (int k = 0; k < n; k++) c[k].logits = (float *)allocate((size_t)window * vocab * sizeof(float));
    for (done = 0; done < count; done += c->length) {
        uint32_t length = count - done < window ? count - done : window;
        input[0] = LLAMA2C_BOS;
        memcpy(input + 1, ids + done, (length - 1) * sizeof *input);
        for (int k = 0; k < n; k++) c[k].window = input, c[k].length = length;
        run_all(c, n, threads);
        score_window(c, n, ids + done, reference, reference + vocab);
        progress(done + length, count, "tokens");
    }
    for (int k = 0; k < n; k++) free(c[k].logits);
    free(input);
    free(reference);
    return count;
}

/* Ids of a text file, at most `tokens` of them (0: all). */
static uint32_t *text_ids(const loaded *m, const char *model_path, const char *path, int tokens, uint32_t *count)
{
    size_t size;
    unsigned char *text = read_file(path, &size);
    uint32_t *ids = encode_text(m, model_path, (const char *)text, size, count);
    free(text);
    if (tokens && *count > (uint32_t)tokens) *count = (uint32_t)tokens;
    if (*count == 0) fail("%s is empty", path);
    return ids;
}

static uint32_t window_of(const loaded *m, int window)
{
    if (window == 0) return m->model.context;
    if ((uint32_t)window > m->model.context) fail("--window is at most the context of the model, %u", m->model.context);
    return (uint32_t)window;
}

#define ITEM 96

/* The next item of a comma list into item[ITEM]; 0 at its end. */
static int next_item(const char **list, char *item)
{
    size_t n = strcspn(*list, ",");
    if (**list == 0) return 0;
    if (n == 0 || n > ITEM - 1) fail("a list is names with commas between them, not '%s'", *list);
    memcpy(item, *list, n);
    item[n] = 0;
    *list += n + ((*list)[n] == ',');
    return 1;
}

#define PPL_MOST 8

/* A model to be scored, with a cache of so many bits. */
static void open_scored(contestant *c, const char *path, const char *tokenizer, int prefix, const char *abits, int bits)
{
    size_t size;
    unsigned char *bytes = read_model(path, tokenizer, prefix, &size);
    open_model(&c->m, path, bytes, size, 0, abits);
    set_cache(&c->m, bits, 0);
    open_window(&c->m, path, 16);
}

/* The next of numbers with commas between them; 0 at the end. */
static int next_number(const char **list, int *number)
{
    char item[ITEM], *end;
    long found;
    if (!next_item(list, item)) return 0;
    found = strtol(item, &end, 10);
    if (*end) fail("a list is numbers with commas between them, not '%s'", item);
    *number = found < 0 || found > 1000 ? 0 : (int)found; /* 0, as all that are out of range */
    return 1;
}

static int command_ppl(int argc, char **argv)
{
    const char *rest[1], *text = NULL, *reference = NULL, *tokenizer = NULL;
    const char *abits = NULL, *kv = "32";
    int bits[PPL_MOST], tokens = 0, window = 0, prefix = 1, threads = 2, first = 0, n = 0;
    const option options[] = {
        { "text", "FILE", "what to score (needed)", &text, NULL, NULL },
        { "reference", "MODEL", "also print the KL divergence from this model", &reference, NULL, NULL },
        { "tokens", "N", "score only the first N, 0: all", NULL, &tokens, NULL },
        { "window", "N", "tokens a window, 0: the model's context", NULL, &window, NULL },
        { "abits", "BITS", ABITS_HELP, &abits, NULL, NULL },
        { "kv-bits", "LIST", KV_HELP "; a list: each, and KL from the first", &kv, NULL, NULL },
        { "threads", "N", "how many", NULL, &threads, NULL },
        { "tokenizer", "FILE", "llama2.c tokenizer (checkpoints only)", &tokenizer, NULL, NULL },
        { "prefix", "0|1", "does this tokenizer put a space before a text?", NULL, &prefix, NULL },
        { NULL, NULL, NULL, NULL, NULL, NULL }
    };
    static contestant c[PPL_MOST + 1];
    uint32_t *ids, count;
    parse(argc, argv, "ppl MODEL --text FILE [options]", options, rest, 1, 1);
    if (!text) fail("--text FILE is missing");
    if (reference) {
        open_scored(&c[0], reference, tokenizer, prefix, abits, 32);
        first = 1;
    }
    while (n < PPL_MOST && next_number(&kv, &bits[n])) {
        open_scored(&c[first + n], rest[0], tokenizer, prefix, abits, bits[n]);
        n++;
    }
    if (n == 0 || *kv) fail("--kv-bits is a list of 1 ... %d numbers", PPL_MOST);
    if (c[0].m.model.vocab != c[first].m.model.vocab || c[0].m.model.context != c[first].m.model.context)
        fail("%s and %s are not the same model", rest[0], reference);
    ids = text_ids(&c[first].m, rest[0], text, tokens, &count);
    count = measure(c, first + n, ids, count, window_of(&c[0].m, window), threads);
    for (int k = first; k < first + n; k++) {
        printf("%u tokens, loss %.5f nats, perplexity %.4f", count, c[k].nll / count, exp(c[k].nll / count));
        if (n > 1) printf(", cache of %d bits", bits[k - first]);
        if (k > 0) printf(", KL from the %s %.5f nats, same likeliest token %.1f %%", first ? "reference" : "first", c[k].kl / count, 100 * c[k].agree / count);
        printf("\n");
    }
    return 0;
}

static double linear_bytes(const llmq_bundle *b, double *weights)
{
    double bytes = 0;
    *weights = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        llmq_entry e;
        check(llmq_bundle_at(b, i, &e), "reading an entry");
        if (e.kind != LLMQ_KIND_TENSOR || !is_linear(e.name)) continue;
        bytes += (double)e.size;
        *weights += (double)e.rows * e.cols;
    }
    return bytes;
}

#define MOST 64

/* "g4", "g4:128", "g4:128:none" or "g4:128:none:plain": format, group, transform, and the kind of sums to quantize with; "feedback" is the
   usual kind, an empty part too; or "@FILE": a recipe. The label is what stands before a "=", or the format, and the transform and the kind if they are given. */
static void add_contestant(contestant *c, int n, const llmq_bundle *from, const char *path, recipe r, char *item, const char *abits)
{
    char *name = strchr(item, '='), *group = strchr(name ? name + 1 : item, ':'), *transform = group ? strchr(group + 1, ':') : NULL, *kind = transform ? strchr(transform + 1, ':') : NULL;
    char *label = (char *)allocate(64);
    unsigned char *bytes;
    size_t size;
    sizes total;
    if (kind) {
        *kind++ = 0;
        if (!r.sums) fail("%s:%s needs --hessian FILE", item, kind);
        if (strcmp(kind, "feedback") != 0) r.kind = kind;
    } else {
        r.sums = NULL;
    }
    if (transform) {
        *transform++ = 0;
        if (*transform) r.transform = transform;
    }
    if (group) {
        *group++ = 0;
        if (*group) r.group = atoi(group);
    }
    if (name) *name = 0;
    r.format = name ? name + 1 : item;
    r.quiet = 1;
    if (r.format[0] == '@') {
        read_choices(r.format + 1, &r);
        r.format = "g4";
    }
    if (name) snprintf(label, 64, "%s", item);
    else snprintf(label, 64, "%s%s%s%s%s", item, transform && *transform ? "." : "", transform ? transform : "", kind ? "." : "", kind ? kind : "");
    bytes = quantize_bundle(from, &r, &total, &size);
    open_model(&c[n].m, path, bytes, size, 16, abits);
    c[n].label = label;
    c[n].bits = 8 * total.bytes / total.weights;
    c[n].bytes = (double)size - (strncmp(r.format, "rtn", 3) == 0 ? 4 * total.weights - total.bytes : 0);
    c[n].t2 = total.error / total.weights;
}

/* The model that the others are held against. */
static void open_original(contestant *c, const llmq_bundle *from, const char *path)
{
    size_t size;
    unsigned char *bytes = as_floats(from, &size);
    open_model(&c->m, path, bytes, size, 16, "32");
}

static void print_table(const contestant *c, int n, uint32_t count, const char *key)
{
    int tsv = getenv("TSV") && *getenv("TSV");
    if (!tsv) printf("%-16s %10s %10s %9s %11s %10s %8s %10s\n", "linear", "bytes", "bits/w", "t2", "perplexity", "KL", "same %", "tokens/s");
    for (int k = 0; k < n; k++) {
        double ppl = exp(c[k].nll / count), kl = c[k].kl / count;
        if (tsv) {
            printf("eval.%s.%s.ppl\t%.6g\n", key, c[k].label, ppl);
            printf("eval.%s.%s.bpw\t%.6g\n", key, c[k].label, c[k].bits);
            if (k) printf("eval.%s.%s.kl\t%.6g\n", key, c[k].label, kl);
        } else {
            printf("%-16s %10.0f %10.3f %9.5f %11.4f %10.5f %8.1f", c[k].label, c[k].bytes, c[k].bits, c[k].t2, ppl, kl, 100 * c[k].agree / count);
            if (c[k].speed > 0) printf(" %10.1f", c[k].speed);
            printf("\n");
        }
    }
}

static int command_compare(int argc, char **argv)
{
    recipe r = default_recipe;
    const char *rest[1], *text = NULL, *formats = "g4,g3,g2", *prompt = NULL, *tokenizer = NULL, *key = "model", *list;
    const char *abits = NULL;
    int tokens = 0, window = 0, prefix = 1, threads = 2, length = 60, n = 1;
    const option options[] = {
        { "text", "FILE", "what to score (needed)", &text, NULL, NULL },
        { "formats", "LIST", "of the linear layers, as [LABEL=]FORMAT[:GROUP[:TRANSFORM[:KIND]]] or @RECIPE; rtn4:32 is plain rounding", &formats, NULL, NULL },
        { "hessian", "FILE", "sums of 'llmq sense', for those with a KIND: feedback, aware, plain, diagonal", &r.sums_path, NULL, NULL },
        { "damping", "X", "of a Hessian, relative to its mean diagonal; -1: by the number of tokens", NULL, NULL, &r.damping },
        { "order", "NAME", "of columns: natural, or diagonal: the most used first", &r.order, NULL, NULL },
        { "first-order", "X", "FOEM's correction, 0: none", NULL, NULL, &r.first_order },
        { "group", "N", "where a format has none", NULL, &r.group, NULL },
        TRANSFORM_OPTIONS(r),
        { "embed", "NAME", "format of embedding and classifier", &r.embed, NULL, NULL },
        { "effort", "NAME", "of the encoder: fast, default, best", &r.effort, NULL, NULL },
        { "prompt", "TEXT", "print how each continues this", &prompt, NULL, NULL },
        { "length", "N", "tokens of that, prompt included", NULL, &length, NULL },
        { "tokens", "N", "score only the first N, 0: all", NULL, &tokens, NULL },
        { "window", "N", "tokens a window, 0: the model's context", NULL, &window, NULL },
        { "abits", "BITS", ABITS_HELP, &abits, NULL, NULL },
        { "threads", "N", "how many", NULL, &threads, NULL },
        { "tokenizer", "FILE", "llama2.c tokenizer (checkpoints only)", &tokenizer, NULL, NULL },
        { "prefix", "0|1", "does this tokenizer put a space before a text?", NULL, &prefix, NULL },
        { "key", "NAME", "with TSV=1 in the environment: lines eval.NAME...", &key, NULL, NULL },
        { NULL, NULL, NULL, NULL, NULL, NULL }
    };
    static contestant c[MOST];
    loaded original;
    static char item[MOST][ITEM];
    uint32_t *ids, count;
    unsigned char *bytes;
    size_t size;
    double weights;
    parse(argc, argv, "compare MODEL --text FILE [options]", options, rest, 1, 1);
    if (!text) fail("--text FILE is missing");
    if (r.sums_path) r.sums = open_sums(r.sums_path);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&original, rest[0], bytes, size, 0, "32");
    c[0].label = "original";
    c[0].bytes = (double)size;
    c[0].bits = 8 * linear_bytes(&original.bundle, &weights) / (weights > 0 ? weights : 1);
    open_original(&c[0], &original.bundle, rest[0]);
    for (list = formats; n < MOST && next_item(&list, item[n]); n++) add_contestant(c, n, &original.bundle, rest[0], r, item[n], abits);
    for (int k = 0; prompt && k < n; k++) {
        ids = prompt_ids(&c[k].m, rest[0], prompt, &count);
        printf("--- %s, %.3f bits a weight\n", c[k].label, c[k].bits);
        c[k].speed = generate(&c[k].m, ids, count, (uint32_t)length, 0, 1, 1, stdout);
        printf("\n");
        free(ids);
    }
    if (prompt) printf("\n");
    ids = text_ids(&c[0].m, rest[0], text, tokens, &count);
    count = measure(c, n, ids, count, window_of(&c[0].m, window), threads);
    print_table(c, n, count, key);
    return 0;
}

/* ---- looking ------------------------------------------------------------------------------------------------------- */

static void print_formats(void)
{
    llmq_format f;
    printf("%-8s %4s %6s %14s\n", "format", "p", "n", "code bits/w");
    for (uint32_t i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++) printf("%-8s %4u %6u %14.3f\n", f.name, f.p, f.n, (double)f.bits / f.p);
}

static void print_value(const llmq_entry *e)
{
    const unsigned char *b = (const unsigned char *)e->data;
    uint32_t u = 0;
    float x;
    printf("value      %-24s ", e->name);
    if (e->type == LLMQ_VALUE_TEXT) {
        for (size_t i = 0; i < e->size && i < 60; i++) putchar(b[i] < 32 || b[i] == 127 ? '.' : b[i]);
        printf("\n");
        return;
    }
    if (e->type == LLMQ_VALUE_BYTES) {
        printf("%zu bytes\n", e->size);
        return;
    }
    for (int i = 4; i-- > 0;) u = u << 8 | b[i];
    memcpy(&x, &u, 4);
    if (e->type == LLMQ_VALUE_U32) printf("%u\n", u);
    else printf("%g\n", (double)x);
}

static void print_entry(const llmq_bundle *b, const llmq_entry *e)
{
    llmq_tensor t;
    if (e->kind == LLMQ_KIND_VALUE) {
        print_value(e);
    } else if (e->kind == LLMQ_KIND_TENSOR) {
        check(llmq_bundle_tensor(b, e->name, &t), e->name);
        printf("tensor     %-24s %6u x %-6u %-7s", e->name, e->rows, e->cols, e->format.name);
        if (e->format.points) printf(" group %-5u", e->format.group);
        else printf("            ");
        printf(" %7.3f bpw %10zu bytes", 8.0 * (double)e->size / ((double)e->rows * e->cols), e->size);
        if (e->t2 >= 0) printf("  t2 %.6f", (double)e->t2);
        if (e->transform) printf("  %s", e->transform);
        if (e->grid) printf("  %s", e->grid);
        printf("\n");
    } else if (e->kind == LLMQ_KIND_TRANSFORM) {
        static const char *const step[5] = { "unknown step", "signed Hadamard", "smooth", "permute", "rotate" };
        const unsigned char *s = (const unsigned char *)e->data;
        printf("transform  %-24s", e->name);
        for (size_t i = 4, end = 4 + 8 * (size_t)s[0]; i < end; i += 8) { /* at most 8 steps */
            unsigned block = s[i + 2] | (unsigned)s[i + 3] << 8, arg = (unsigned)s[i + 4] | (unsigned)s[i + 5] << 8 | (unsigned)s[i + 6] << 16 | (unsigned)s[i + 7] << 24;
            printf("%s %s", i > 4 ? "," : "", step[s[i] <= LLMQ_STEP_ROTATE ? s[i] : 0]);
            if (s[i] == LLMQ_STEP_HADAMARD) printf(" (blocks up to %u, seed %u)", block, arg);
            else if (s[i] == LLMQ_STEP_ROTATE) printf(" (blocks of %u, %s)", block, arg == 1 ? "one matrix" : "a matrix each");
        }
        printf("\n");
    } else {
        printf("%-10s %-24s %zu bytes\n", e->kind == LLMQ_KIND_GRID ? "grid" : "unknown", e->name, e->size);
    }
}

static int command_inspect(int argc, char **argv)
{
    const char *rest[1];
    int formats = 0, n;
    const option options[] = {
        { "formats", "1", "list the built-in formats instead", NULL, &formats, NULL },
        { NULL, NULL, NULL, NULL, NULL, NULL }
    };
    llmq_bundle b;
    llmq_error error;
    llmq_entry e;
    size_t size, tensors = 0;
    unsigned char *bytes;
    double weights = 0, stored = 0;
    n = parse(argc, argv, "inspect BUNDLE [options]", options, rest, 0, 1);
    if (formats) {
        print_formats();
        return 0;
    }
    if (n == 0) fail("the bundle is missing\nusage: llmq inspect BUNDLE");
    bytes = read_file(rest[0], &size);
    if (llmq_bundle_open(&b, bytes, size, &error)) fail("%s: %s (at byte %zu)", rest[0], llmq_status_text(error.status), error.offset);
    for (uint32_t i = 0; i < b.count; i++) {
        check(llmq_bundle_at(&b, i, &e), "reading an entry");
        print_entry(&b, &e);
        if (e.kind != LLMQ_KIND_TENSOR) continue;
        tensors++;
        weights += (double)e.rows * e.cols;
        stored += (double)e.size;
    }
    printf("%zu bytes, %u entries, %zu tensors of %.0f numbers in all, %.3f bits each; ", b.size, b.count, tensors, weights, weights > 0 ? 8 * stored / weights : 0);
    if (llmq_bundle_verify(&b, &error)) {
        printf("DAMAGED: %s (at byte %zu)\n", llmq_status_text(error.status), error.offset);
        return 1;
    }
    printf("checksums are right\n");
    return 0;
}

#include "calibrate.h"
#include "plan.h"

/* Takes --kernels NAME, which all commands have, out of the arguments; returns how many are left. */
static int take_kernels(int argc, char **argv)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        uint32_t k = 0;
        if (strcmp(argv[i], "--kernels") != 0) {
            argv[n++] = argv[i];
            continue;
        }
        if (++i == argc) fail("--kernels needs a name");
        while ((chosen = llmq_kernels_at(k)) != NULL && strcmp(chosen->name, argv[i]) != 0) k++;
        if (!chosen) fail("no kernels of the name '%s' here", argv[i]);
        if (chosen->features & ~llmq_cpu_features()) fail("this processor cannot run the kernels '%s'", argv[i]);
    }
    return n;
}

static void list_kernels(void)
{
    const llmq_kernels *k;
    printf("\nAll take --kernels NAME; the results are the same bits, the speed is not:");
    for (uint32_t i = 0; (k = llmq_kernels_at(i)) != NULL; i++)
        if ((k->features & ~llmq_cpu_features()) == 0) printf(" %s", k->name);
    printf(" (default %s)\n", llmq_kernels_best()->name);
}

int main(int argc, char **argv)
{
    static const struct { const char *name, *help; int (*run)(int, char **); } command[] = {
        { "quantize", "store a model's linear layers in fewer bits", command_quantize },
        { "run", "continue a text", command_run },
        { "ppl", "perplexity of a text, and divergence from another model", command_ppl },
        { "compare", "one model in several formats, side by side", command_compare },
        { "sense", "sums of a calibration text's inputs, for quantize --hessian", command_sense },
        { "merge", "add up sums that were made of parts of a text", command_merge },
        { "alpha", "what an error of each layer costs, for plan --rule linear", command_alpha },
        { "plan", "formats of single layers from their sensitivities", command_plan },
        { "linearity", "what random recipes do, beside what plan --rule linear foretells", command_linearity },
        { "rank", "how well sensitivities foretell what quantizing a layer does", command_rank },
        { "inspect", "what is in a bundle", command_inspect }
    };
    const size_t n = sizeof command / sizeof *command;
    argc = take_kernels(argc, argv);
    if (llmq_selftest() != LLMQ_OK) fprintf(stderr, "llmq: warning: %s; results will differ from other machines\n", llmq_status_text(LLMQ_E_INEXACT));
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (strcmp(argv[1], command[i].name) == 0) return command[i].run(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0) fprintf(stderr, "llmq: no command '%s'\n", argv[1]);
    printf("usage: llmq COMMAND [arguments]; llmq COMMAND --help\n\n");
    for (size_t i = 0; i < n; i++) printf("  %-10s %s\n", command[i].name, command[i].help);
    list_kernels();
    return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) ? 0 : 1;
}
