/* quantize.h - the recipe for a quantized model, and the command quantize. A part of the tool llmq.c, not a header for others. */

/* ---- quantizing ---------------------------------------------------------------------------------------------------- */

/* A format of its own for a tensor; group -1: that of the recipe. */
typedef struct choice { char name[64], format[32]; int group; } choice;

/* What quantize and compare both let be said of transforms. */
#define TRANSFORM_OPTIONS(r) \
    OPT_TEXT("transform", 0, "NAME", (r).transform, \
             "of inputs: none, hadamard, zigzag, duquant, or steps: smooth+permute+hadamard64; not given: zigzag with --calib, else hadamard"), \
    OPT_REAL("clip", 0, "X", (r).clip, 0, 1, "of u4, u6, u8: the part of a range that gets codes, 0: searched"), \
    OPT_INPUT("calib", 0, "FILE", (r).calib, "text that smooth, permute and rotate are made from"), \
    OPT_WHOLE("calib-tokens", 0, "N", (r).calib_tokens, 0, MOST_TOKENS, "only the first N of it, 0: all"), \
    OPT_REAL("alpha", 0, "X", (r).alpha, 0, 1, "of smoothing: 0 evens out weights, 1 inputs"), \
    OPT_WORD("criterion", 0, "error|peak|range", (r).criterion, "of rotations"), \
    OPT_WHOLE("steps", 0, "N", (r).steps, 0, 1000000, "of rotations"), \
    OPT_SWITCH("fold", 0, (r).fold, "fold smoothing and permutations into norms and rows where that can be")

/* And of error feedback. */
#define FEEDBACK_OPTIONS(r) \
    OPT_REAL_OR("damping", 0, "X", (r).damping, 0, 10, -1, "of a Hessian, relative to its mean diagonal; -1: by the number of tokens"), \
    OPT_WORD("order", 0, "natural|diagonal", (r).order, "of columns; diagonal: the most used first"), \
    OPT_REAL("first-order", 0, "X", (r).first_order, 0, 1, "FOEM's correction, 0: none")

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

/* The bits of "rtn4"; 0 if it is another format. */
static int rounded_bits(const char *format)
{
    const char *end;
    int bits;
    if (strncmp(format, "rtn", 3) != 0) return 0;
    if (!read_whole(format + 3, 1, 16, &bits, &end) || *end) fail("rtn1 to rtn16 are plain rounding, not '%s'", format);
    return bits;
}

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
    int of = 0, points = 0;
    uint32_t p, n;
    const char *end = name;
    size_t size, work_size;
    void *work;
    if (status != LLMQ_E_NOT_FOUND || *name != 'v' || !read_whole(name + 1, 1, 8, &of, &end) || *end != 'n' || !read_whole(end + 1, 2, 65536, &points, &end) || *end) return status;
    p = (uint32_t)of, n = (uint32_t)points;
    if (strlen(name) >= sizeof trained.name || (size = llmq_grid_size(p, n)) == 0) return status;
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
    const int rtn = rounded_bits(format);
    void *data, *work;
    if (rows) fold_rows(rows, kinds, w, from->rows, from->cols);
    if (from->format.points && strcmp(format, "f32") != 0) fail("%s is already quantized; start from the original model", e->name);
    if (strcmp(r->effort, "fast") == 0) options.effort = LLMQ_EFFORT_FAST;
    else if (strcmp(r->effort, "best") == 0) options.effort = LLMQ_EFFORT_BEST;
    else if (strcmp(r->effort, "default") != 0) fail("--effort is fast, default or best");
    if (rtn)
        for (uint32_t i = 0; i < from->rows; i++) round_to_nearest(w + (size_t)i * from->cols, from->cols, rtn, r->group ? (size_t)r->group : from->cols);
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
    const double count = (double)e->rows * e->cols;
    const int rtn = r->format ? rounded_bits(r->format) : 0;
    total->weights += count;
    total->bytes += rtn ? count * (rtn + 32.0 / (r->group ? (uint32_t)r->group : e->cols)) / 8 : (double)e->size;
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
        OPT_TEXT("format", 0, "NAME", r.format, "of the linear layers: g2 ... g8, v2n16 ..., f16; any vPnN is trained"),
        OPT_TEXT("embed", 0, "NAME", r.embed, "of embedding and classifier; not given: kept as they are"),
        OPT_GROUP(r.group, "columns that share a scale, a multiple of 32; 0: the row"),
        TRANSFORM_OPTIONS(r),
        OPT_WHOLE("block", 0, "N", r.block, 0, 32768, "largest Hadamard block, a power of two; 0: 1024"),
        OPT_WHOLE("seed", 's', "N", r.seed, 0, 2147483647, "of the first transform's signs; each layer input has its own"),
        OPT_EFFORT(r.effort),
        OPT_TEXT("abits", 0, "BITS", r.abits, ABITS_HELP),
        OPT_INPUT("recipe", 0, "FILE", choices, "lines TENSOR FORMAT, as 'llmq plan' writes; others get --format"),
        OPT_INPUT("hessian", 0, "FILE", r.sums_path, "quantize with error feedback; of 'llmq sense', or an imatrix of llama.cpp"),
        OPT_WORD("kind", 0, "aware|plain|diagonal", r.kind, "of its sums; aware: of attention and gates"),
        FEEDBACK_OPTIONS(r),
        OPT_INPUT("tokenizer", 0, "FILE", tokenizer, "llama2.c tokenizer to carry along (checkpoints only)"),
        OPT_PREFIX(prefix),
        OPT_END
    };
    loaded m;
    unsigned char *bytes;
    size_t size;
    sizes total;
    double start = seconds();
    parse(argc, argv, "quantize MODEL OUT.llmq [options]", options, rest, 2, 2, 1);
    if (r.abits) (void)read_activations(r.abits); /* a wrong one is found before the work */
    if (r.sums_path) r.sums = open_sums(r.sums_path);
    if (choices) read_choices(choices, &r);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, NULL);
    bytes = quantize_bundle(&m.bundle, &r, &total, &size);
    write_file(rest[1], bytes, size);
    fprintf(report(rest[1]), "%s: %zu bytes; linear layers %.0f weights in %s, %.3f bits a weight, mean t2 %.6f; transforms %.0f additions a token, %.1f %% of the products; "
            "%.2f s\n", rest[1], size, total.weights, r.format, 8 * total.bytes / total.weights, total.error / total.weights, total.online,
           100 * total.online / total.weights, seconds() - start);
    return 0;
}
