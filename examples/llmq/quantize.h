/* quantize.h - the recipe for a quantized model, and the command quantize. A part of the tool
   llmq.c, not a header for others. */

/* ---- quantizing ------------------------------------------------------------------------------ */

/* A format of its own for a tensor; group -1: that of the recipe. line: of a file, 0: of none */
typedef struct choice { char name[64], format[32]; int group; uint32_t line; } choice;

/* What quantize and compare both let be said of transforms. */
#define TRANSFORM_OPTIONS(r) \
    OPT_TEXT("transform", 0, "NAME", (r).transform, \
             "of inputs: none, hadamard, zigzag, duquant, or steps: smooth+permute+hadamard64; " \
             "not given: zigzag with --calib, else hadamard"), \
    OPT_REAL("clip", 0, "X", (r).clip, 0, 1, "of u4, u8: the part of a range that gets codes, 0: searched"), \
    OPT_INPUT("calib", 0, "FILE", (r).calib, "text that smooth, permute and rotate are made from"), \
    OPT_WHOLE("calib-tokens", 0, "N", (r).calib_tokens, 0, MOST_TOKENS, "only the first N of it, 0: all"), \
    OPT_REAL("alpha", 0, "X", (r).alpha, 0, 1, "of smoothing: 0 evens out weights, 1 inputs"), \
    OPT_WORD("criterion", 0, "error|peak|range", (r).criterion, "of rotations"), \
    OPT_WHOLE("steps", 0, "N", (r).steps, 0, 1000000, "of rotations"), \
    OPT_SWITCH("fold", 0, (r).fold, "fold smoothing and permutations into norms and rows where that can be")

/* And of error feedback. */
#define FEEDBACK_OPTIONS(r) \
    OPT_REAL_OR("damping", 0, "X", (r).damping, 0, 10, -1, \
                "of a Hessian, relative to its mean diagonal; -1: by the number of tokens"), \
    OPT_WORD("order", 0, "natural|diagonal", (r).order, "of columns; diagonal: the most used first"), \
    OPT_REAL("first-order", 0, "X", (r).first_order, 0, 1, "FOEM's correction, 0: none")

typedef struct recipe {
    const char *format, *embed, *effort;
    const char *transform;       /* NULL: usual_transform */
    const char *abits;           /* of activations, to be written into the model; NULL: it says what it said */
    int group, block, seed, quiet;
    int threads;                 /* 0: one for each processor */
    const struct sums *sums;     /* what a text says of the inputs; NULL: no error feedback */
    const char *sums_path, *kind, *order;
    double damping, first_order;
    const char *calib, *criterion; /* text that transforms are made from, and how rotations are */
    int calib_tokens, steps, fold;
    double alpha, clip;
    /* formats by name; a linear layer that is not among them has `format`, or stays if that is
       NULL */
    const choice *choices;
    uint32_t choice_count;
    const char *choices_path;    /* the file they are from; NULL: none */
    uint32_t of_model;           /* fingerprint of the model that the file says it is for, 0: it says none */
} recipe;

static const recipe default_recipe = { "g4", NULL, "default", NULL, NULL, 64, 0, 1, 0, 0, NULL, NULL, "aware",
                                       "natural", -1, 0, NULL, "error", 0, 256, 1, 0.6, 0, NULL, 0, NULL, 0 };

#define MOST_LAYERS 65536u /* of a llama model */

/* Which linear layer of which layer "layers.N.wX" is; -1 if it is another name. */
static int linear_of(const char *name, uint32_t layers, uint32_t *layer)
{
    const char *part = lm_layer_part(name, layers, layer);
    int i = 0;
    while (part && i < LM_LINEARS && strcmp(part, lm_linear_name[i]) != 0) i++;
    return part && i < LM_LINEARS ? i : -1;
}

static int is_linear(const char *name)
{
    uint32_t layer;
    return linear_of(name, MOST_LAYERS, &layer) >= 0;
}

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
    if (group == 0) group = n;
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
    rows_needed(t->data, 0, t->rows);
    for (uint32_t r = 0; r < t->rows; r++)
        check(llmq_tensor_decode(t, r, w + (size_t)r * t->cols, work, work_size), "decoding");
    rows_done(t->data, t->row_size, 0, t->rows);
    free(work);
    return w;
}

/* Grids that were trained: one that is not built in is made when it is first asked for, and kept. */
typedef struct trained {
    char name[32], entry[40]; /* vPnN, grid.vPnN */
    llmq_format format;
    int8_t *points;
    struct trained *next;
} trained;
static trained *all_trained;

/* The entry's name of the grid of a custom format. */
static const char *grid_entry(const llmq_format *f)
{
    for (const trained *t = all_trained; t; t = t->next)
        if (t->points == f->points) return t->entry;
    fail("a grid that was not trained here");
    return NULL;
}

static int show_training(void *context, uint32_t done, uint32_t total)
{
    progress(done, total, (const char *)context);
    return 0;
}

/* P and N of "vPnN". */
static int grid_shape(const char *name, uint32_t *p, uint32_t *n)
{
    const char *second = name[0] == 'v' ? strchr(name, 'n') : NULL;
    return second && whole_number(name + 1, (size_t)(second - name) - 1, 255, p)
           && whole_number(second + 1, strlen(second + 1), 65536, n);
}

/* A format by name: built in, or vPnN, a grid of N points of P numbers. */
static llmq_status find_format(const char *name, uint32_t group, llmq_format *f)
{
    llmq_status status = llmq_format_find(f, name, group);
    llmq_grid_options options;
    uint32_t p, n;
    size_t size, work_size;
    trained *t = all_trained;
    void *work;
    if (status != LLMQ_E_NOT_FOUND || !grid_shape(name, &p, &n) || (size = llmq_grid_size(p, n)) == 0) return status;
    while (t && strcmp(t->name, name) != 0) t = t->next;
    if (!t) {
        t = (trained *)allocate(sizeof *t);
        snprintf(t->name, sizeof t->name, "v%un%u", p, n);
        snprintf(t->entry, sizeof t->entry, "grid.%s", t->name);
        t->points = (int8_t *)allocate(size);
        work = allocate(work_size = llmq_grid_train_work_size(p, n));
        memset(&options, 0, sizeof options);
        options.p = p, options.n = n, options.seed = 1;
        options.progress = show_training, options.context = t->entry;
        check(llmq_grid_train(&t->format, &options, t->points, size, work, work_size), t->entry);
        free(work);
        t->next = all_trained, all_trained = t;
    }
    return llmq_format_custom(f, p, n, t->points, t->format.unit, group);
}

/* ---- sums of calibration inputs --------------------------------------------------------------

   Values "sense.LAYER.SUM": f32, sums of the weights and of their squares, then the packed
   matrix. */

/* A file of sums: what `llmq sense` wrote, or an importance matrix of llama.cpp, which has diagonals only. */
typedef struct sums {
    const char *path;
    int is_imatrix;
    llmq_bundle bundle;
    imatrix matrix;
    span run;                 /* what they were made of */
    int has_model;            /* do they say of which model they are? Those of before version 0.7 do not */
    uint32_t model;           /* its fingerprint */
    uint32_t dim, hidden, heads; /* of its inputs: of w2 hidden, of wo heads, of the others dim */
} sums;

/* traces, their squared errors, powers of the stream and of what is added to it */
#define TRACE_BYTES (8 * LM_LINEARS + 16)

/* n of n (n + 1) / 2 floats and 8 bytes more; 0 if there is no such n. */
static uint32_t inputs_of_sum(size_t size)
{
    const size_t count = size >= 8 ? (size - 8) / 4 : 0;
    size_t n = (size_t)sqrt(2 * (double)count);
    while (n * (n + 1) / 2 > count) n--;
    while ((n + 1) * (n + 2) / 2 <= count) n++;
    return size >= 12 && (size - 8) % 4 == 0 && n * (n + 1) / 2 == count && n <= 1u << 24 ? (uint32_t)n : 0;
}

/* Numbers of a value: finite, and not negative those that are sums of squares. */
static int sums_finite(const sums *s, const llmq_entry *e, problem *p)
{
    const unsigned char *b = (const unsigned char *)e->data;
    for (size_t i = 0; i < e->size; i += 4) {
        const float x = load_float(b + i);
        if (!(x - x == 0) || (x < 0 && i < 8))
            return wrong(p, "%s: number %zu of %s is %g", s->path, i / 4, e->name, (double)x);
    }
    return 1;
}

/* "sense.N.SUM" of the right length, with numbers that sums can be. */
static int check_sum(sums *s, const llmq_entry *e, uint32_t *layer, int *which, problem *p)
{
    const char *dot = strchr(e->name + 6, '.');
    uint32_t n, *known;
    if (e->kind != LLMQ_KIND_VALUE || e->type != LLMQ_VALUE_BYTES || !dot
        || !whole_number(e->name + 6, (size_t)(dot - e->name) - 6, MOST_LAYERS - 1, layer))
        return wrong(p, "%s: %s is nothing that sums hold", s->path, e->name);
    for (*which = 0; *which < SENSE_SUMS && strcmp(dot + 1, sense_name[*which]) != 0; ++*which) {}
    if (*which == SENSE_SUMS) {
        if (strcmp(dot + 1, "trace") != 0) return wrong(p, "%s: %s is nothing that sums hold", s->path, e->name);
        if (e->size != TRACE_BYTES)
            return wrong(p, "%s: %s has %zu bytes, not %d", s->path, e->name, e->size, TRACE_BYTES);
        return sums_finite(s, e, p);
    }
    known = *which == SENSE_DOWN ? &s->hidden : *which == SENSE_OUTPUT ? &s->heads : &s->dim;
    n = inputs_of_sum(e->size);
    if (n == 0 || (*known && *known != n))
        return wrong(p, "%s: %s has %zu bytes, which is no sum of inputs like the others", s->path, e->name, e->size);
    *known = n;
    return sums_finite(s, e, p);
}

/* Everything that the users of sums of 'llmq sense' rely on: each layer that is there is whole. */
static int check_sums(sums *s, problem *p)
{
    uint32_t last = 0, layer;
    int count = 0, which;
    const void *run;
    if (llmq_bundle_value(&s->bundle, "sense.run", LLMQ_VALUE_TEXT, &run, &s->run.n) != LLMQ_OK)
        return wrong(p, "%s has no sense.run, so it is no file of sums but %s; 'llmq sense' makes such files", s->path,
                     kind_of_bundle(s->bundle.bytes, s->bundle.size));
    s->run.s = (const char *)run;
    for (uint32_t i = 0; i < s->bundle.count; i++) {
        llmq_entry e;
        if (llmq_bundle_at(&s->bundle, i, &e) != LLMQ_OK) return wrong(p, "%s: entry %u cannot be read", s->path, i);
        if (strcmp(e.name, "sense.run") == 0) continue;
        if (strcmp(e.name, "sense.model") == 0) {
            if (llmq_bundle_u32(&s->bundle, e.name, &s->model) != LLMQ_OK)
                return wrong(p, "%s: sense.model is no fingerprint of a model", s->path);
            s->has_model = 1;
            continue;
        }
        if (strncmp(e.name, "sense.", 6) != 0) return wrong(p, "%s: %s is nothing that sums hold", s->path, e.name);
        if (!check_sum(s, &e, &layer, &which, p)) return 0;
        /* entries are sorted by name: those of a layer stand together */
        if (count % (SENSE_SUMS + 1) != 0 && layer != last) break;
        last = layer, count++;
    }
    if (count == 0 || count % (SENSE_SUMS + 1) != 0)
        return wrong(p, "%s: the sums of layer %u are not complete", s->path, last);
    return 1;
}

/* Sums in memory, which has to stay. */
static int read_sums(sums *s, const char *path, const unsigned char *bytes, size_t size, problem *p)
{
    static const char role[] = "is neither sums of 'llmq sense' nor an importance matrix of llama.cpp";
    llmq_error error;
    llmq_status status;
    memset(s, 0, sizeof *s);
    s->path = path;
    s->is_imatrix = size < 4 || memcmp(bytes, "LLMQ", 4) != 0;
    if (s->is_imatrix && (status = imatrix_open(&s->matrix, bytes, size)) != LLMQ_OK) {
        words kind = { NULL, 0, 0 };
        if (say_kind(&kind, bytes, size) && !says_imatrix(bytes, size)) wrong_kind(p, path, role, bytes, size);
        else wrong(p, "%s %s: %s", path, role, llmq_status_text(status));
        free(kind.s);
        return 0;
    }
    if (s->is_imatrix) return 1;
    if (llmq_bundle_open(&s->bundle, bytes, size, &error) || llmq_bundle_verify(&s->bundle, &error))
        return wrong_bundle(p, path, bytes, &error);
    return check_sums(s, p);
}

static const sums *open_sums(const char *path)
{
    sums *s = (sums *)allocate(sizeof *s);
    problem p = { { NULL, 0, 0 } };
    size_t size;
    const unsigned char *bytes = map_file(path, &size);
    read_sums(s, path, bytes, size, &p);
    stop_if(&p);
    return s;
}

/* Are the sums, if there are any, of this model? */
static void tie_sums(const sums *s, const loaded *m)
{
    if (!s || s->is_imatrix) return;
    if (s->has_model) same_model(m, s->path, s->model);
    else fprintf(stderr, "llmq: %s does not say which model it is of: it was made before version 0.7\n", s->path);
}

static void close_sums(const sums *s)
{
    release(s->is_imatrix ? (const void *)s->matrix.bytes : s->bundle.bytes);
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
    if (llmq_bundle_value(&s->bundle, name, LLMQ_VALUE_BYTES, &data, &size))
        fail("%s has no %s; 'llmq sense' makes such files", s->path, name);
    if (need == 0) fail("%s: sums of inputs of %u numbers are too large for this machine", s->path, cols);
    if (size != need + 8) fail("%s: %s is not for inputs of %u numbers", s->path, name, cols);
    check(llmq_hessian_init(h, cols, 1, NULL, mem, need), name);
    at = (const unsigned char *)data;
    h->weight = load_float(at);
    h->squares = load_float(at + 4);
    for (size_t i = 0; i < need / 4; i++) mem[i] = load_float(at + 8 + 4 * i);
    return mem;
}

/* The entry of an importance matrix for a linear layer: its own, or that of one that has the
   same input, whose means are the same. found: its name there. */
static int find_importance(const sums *s, const char *name, char found[64], imatrix_entry *e, problem *p)
{
    uint32_t layer = 0;
    const int linear = linear_of(name, MOST_LAYERS, &layer);
    char own[64], experts[80], sibling[40];
    if (linear < 0 || imatrix_name_from_llmq(name, strlen(name), own) != LLMQ_OK)
        return wrong(p, "%s has nothing on %s", s->path, name);
    strcpy(found, own);
    if (imatrix_find(&s->matrix, own, e) == LLMQ_OK) return 1;
    for (int i = 0; i < LM_LINEARS; i++) {
        if (i == linear || sense_sum(i, 0) != sense_sum(linear, 0)) continue;
        snprintf(sibling, sizeof sibling, "layers.%u.%s", layer, lm_linear_name[i]);
        if (imatrix_name_from_llmq(sibling, strlen(sibling), found) == LLMQ_OK
            && imatrix_find(&s->matrix, found, e) == LLMQ_OK)
            return 1;
    }
    snprintf(experts, sizeof experts, "%.*s_exps.weight", (int)(strlen(own) - strlen(".weight")), own);
    if (imatrix_find(&s->matrix, experts, e) == LLMQ_OK)
        return wrong(p, "%s is of a mixture of experts: it has %s of %u experts, and this model has the one matrix %s",
                     s->path, experts, e->experts, own);
    return wrong(p, "%s has nothing on %s (%s here), nor on another matrix of the same input", s->path, own, name);
}

/* The mean squares of a linear's inputs, as a diagonal H. */
static float *load_diagonal(const sums *s, const char *name, uint32_t cols, llmq_hessian *h)
{
    char other[64];
    imatrix_entry e;
    problem p = { { NULL, 0, 0 } };
    size_t need = llmq_hessian_size(cols, 0);
    float *mem = (float *)allocate(need);
    check(llmq_hessian_init(h, cols, 0, NULL, mem, need), name);
    find_importance(s, name, other, &e, &p);
    stop_if(&p);
    if (e.experts != 1)
        fail("%s: %s is of %u experts of %u inputs, and the model has one matrix of %u there (%s)", s->path, other,
             e.experts, e.cols, cols, name);
    if (e.cols != cols)
        fail("%s: %s is of %u inputs, and the model has %u there (%s)", s->path, other, e.cols, cols, name);
    if (imatrix_mean(&e, 0, mem)) fail("%s: %s holds numbers that no mean of squares can be", s->path, other);
    h->weight = 1;
    return mem;
}

/* Rows that were encoded with error feedback, and those of them that it made worse, which are as
   llmq_encode does them. */
static struct { uint64_t all, plain; } feedback_rows;

/* Error feedback for a linear layer t from the sums of r. Its memory, which the caller frees. */
static void *prepare_feedback(llmq_feedback *f, const char *name, const llmq_tensor *t, const recipe *r)
{
    llmq_feedback_options how = { (float)r->damping, (float)r->first_order, LLMQ_ORDER_NATURAL };
    llmq_hessian h;
    llmq_error error;
    llmq_status status;
    uint32_t layer = 0;
    char sum[64];
    int linear = linear_of(name, MOST_LAYERS, &layer), aware = strcmp(r->kind, "aware") == 0;
    size_t size, work_size;
    float *mem;
    void *work, *factor;
    if (linear < 0) fail("%s is no linear layer that sums are made for", name);
    if (strcmp(r->order, "diagonal") == 0) how.order = LLMQ_ORDER_DIAGONAL;
    snprintf(sum, sizeof sum, "sense.%u.%s", layer, sense_name[sense_sum(linear, aware)]);
    mem = r->sums->is_imatrix ? load_diagonal(r->sums, name, t->cols, &h) : load_sum(r->sums, sum, t->cols, &h);
    if (h.full && strcmp(r->kind, "diagonal") == 0) {
        for (uint32_t i = 0; i < t->cols; i++) mem[i] = h.h[(size_t)i * (i + 1) / 2 + i];
        h.full = 0;
    } else if (!aware && strcmp(r->kind, "plain") != 0 && !r->sums->is_imatrix) {
        fail("--kind is aware, plain or diagonal");
    }
    if (!h.full && t->transform.count)
        fail("mean squares of the inputs say nothing of rotated ones: use --transform none");
    if (h.full && t->transform.count) {
        work = allocate(work_size = llmq_hessian_transform_work_size(&h, &t->transform));
        check(llmq_hessian_transform(&h, &t->transform, work, work_size), sum);
        free(work);
    }
    factor = allocate(size = llmq_feedback_size(&h));
    if ((status = llmq_feedback_init(f, t, &h, &how, factor, size, &error)) != LLMQ_OK)
        fail("%s, %s: %s (column %u)", r->sums_path, sum, llmq_status_text(status), error.col);
    if (how.damping >= 0 && f->damping > how.damping * 1.5f && !r->quiet)
        fprintf(stderr, "%s: damping raised to %g\n", name, (double)f->damping);
    free(mem);
    return factor;
}

/* Rows of a layer that take over `t` from the layer that they are the input of. */
static void fold_rows(const llmq_transform *t, int kinds, float *rows, uint32_t count, uint32_t cols)
{
    size_t work_size = 8 * (size_t)count;
    void *work = allocate(work_size);
    check(llmq_transform_fold(t, count, kinds, rows, cols, cols, work, work_size), "folding");
    free(work);
}

/* The work on a model that is done, in weights, for progress. */
typedef struct work_done { double done, all; uint32_t entry, entries; int quiet; } work_done;

/* One tensor on its way from `from` to `to`, a chunk of rows at a time, each for the thread that
   comes first. Neither the bits nor the sums depend on who that is. */
typedef struct rows_job {
    const char *name;
    const llmq_tensor *from, *to;
    void *data;                     /* of `to` */
    const float *w;                 /* all rows of `from`, if other layers moved them; NULL: they are decoded */
    const llmq_feedback *feedback;  /* NULL: none */
    llmq_encode_options options;
    int rounded;                    /* bits of rtn; 0: none */
    size_t rounded_group;
    uint32_t chunk, next;           /* rows of a chunk; the first that nobody has taken */
    double *error, *power;          /* of each row */
    llmq_error trouble;             /* of the first row that has any */
    llmq_feedback_result result;
    work_done *progress;
} rows_job;

/* The next rows to do; 0 if there are none. A chunk of a trellis begins and ends with a block. */
static int take_rows(rows_job *j, uint32_t *first, uint32_t *last)
{
    take_lock();
    *first = j->next;
    *last = j->to->rows - j->next > j->chunk ? llmq_trellis_block_start(j->to, j->next + j->chunk) : j->to->rows;
    if (j->trouble.status != LLMQ_OK) *last = *first;
    else j->next = *last;
    give_lock();
    return *last > *first;
}

static void note_rows(rows_job *j, uint32_t first, uint32_t last, const llmq_error *trouble,
                      const llmq_feedback_result *result)
{
    work_done *p = j->progress;
    take_lock();
    if (trouble->status != LLMQ_OK && (j->trouble.status == LLMQ_OK || trouble->row < j->trouble.row))
        j->trouble = *trouble;
    j->result.rows += result->rows;
    j->result.plain_rows += result->plain_rows;
    p->done += (double)(last - first) * j->to->cols;
    if (!p->quiet) progress_of(p->done / p->all, p->entry, p->entries, j->name);
    give_lock();
}

static void original_row(const rows_job *j, uint32_t row, float *out, void *work, size_t work_size)
{
    if (j->w) memcpy(out, j->w + (size_t)row * j->to->cols, j->to->cols * sizeof *out);
    else check(llmq_tensor_decode(j->from, row, out, work, work_size), "decoding");
}

/* Errors of rows first ... last - 1, which are w: of their records, or of w itself if that was rounded. */
static void measure_rows(rows_job *j, uint32_t first, uint32_t last, const float *w, float *back, void *work,
                         size_t work_size)
{
    const uint32_t cols = j->to->cols;
    for (uint32_t row = first; row < last; row++, w += cols) {
        double error = 0, power = 0;
        if (j->rounded) original_row(j, row, back, work, work_size);
        else check(llmq_tensor_decode(j->to, row, back, work, work_size), "decoding");
        for (uint32_t i = 0; i < cols; i++)
            error += ((double)w[i] - back[i]) * ((double)w[i] - back[i]), power += (double)w[i] * w[i];
        j->error[row] = error, j->power[row] = power;
    }
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static void convert_rows(void *context)
{
    rows_job *j = (rows_job *)context;
    const size_t cols = j->to->cols,
        work_size = larger(larger(j->feedback ? llmq_feedback_work_size(j->to) : llmq_encode_work_size(j->to),
                                  llmq_transform_work_size(&j->from->transform, j->from->cols)),
                           llmq_transform_work_size(&j->to->transform, j->to->cols));
    const uint32_t room = j->chunk < j->to->rows ? j->chunk : j->to->rows;
    void *work = allocate(work_size);
    float *w = (float *)allocate(room * cols * sizeof *w), *back = (float *)allocate(cols * sizeof *back);
    uint32_t first, last;
    while (take_rows(j, &first, &last)) {
        llmq_error trouble = { LLMQ_OK, 0, 0, 0 };
        llmq_feedback_result result = { 0, 0, 0, 0 };
        if (!j->w) rows_needed(j->from->data, first, last);
        for (uint32_t row = first; row < last; row++) {
            float *at = w + (row - first) * cols;
            original_row(j, row, at, work, work_size);
            if (j->rounded) round_to_nearest(at, cols, j->rounded, j->rounded_group);
        }
        if (j->feedback)
            (void)!llmq_feedback_encode(j->to, j->data, first, last, w, cols, j->feedback, &j->options, work, work_size,
                                        &result, &trouble);
        else (void)!llmq_encode(j->to, j->data, first, last, w, cols, &j->options, work, work_size, &trouble);
        if (trouble.status == LLMQ_OK) measure_rows(j, first, last, w, back, work, work_size);
        if (!j->w) rows_done(j->from->data, j->from->row_size, first, last);
        note_rows(j, first, last, &trouble, &result);
    }
    free(back);
    free(w);
    free(work);
}

/* What becomes of a tensor. */
typedef struct conversion {
    const char *format;             /* NULL: it stays as it is */
    int group;
    const llmq_transform *folded;   /* a norm takes it over, as f32; NULL: none */
    /* what transform its input gets; its own rows are the input of another layer, and take over what
       is folded of that one's, of these kinds. Either may be NULL */
    const llmq_transform *input, *rows;
    int kinds;
} conversion;

/* The format of e in its new form, and its size, before there are any bytes. */
static void plan_tensor(llmq_entry *e, const llmq_tensor *from, const conversion *c)
{
    const int rtn = rounded_bits(c->format);
    if (from->format.points && strcmp(c->format, "f32") != 0)
        fail("%s is already quantized; start from the original model", e->name);
    if (find_format(rtn ? "f32" : c->format, (uint32_t)c->group, &e->format))
        fail("no format '%s' with group %d: formats are vPnN (P 1 to 8, N 2 to 65536) and those of 'llmq inspect "
             "--formats 1'; groups are 32 to 1024 in steps of 32, or 0 for a row", c->format, c->group);
    e->size = llmq_tensor_size(&e->format, e->rows, e->cols);
    e->grid = e->format.id == LLMQ_FORMAT_CUSTOM ? grid_entry(&e->format) : NULL;
}

/* The rows that a chunk has: few enough for memory, so many that threads have enough to do and that
   feedback, which takes them together, is fast; no less than a block of a trellis. */
static uint32_t rows_of_chunk(const rows_job *j)
{
    if (j->to->format.taps[0]) return j->feedback ? 512 : 256;
    return 64;
}

static int threads_of(const recipe *r)
{
    const int n = r->threads ? r->threads : processors();
    return n < MOST_THREADS ? n : MOST_THREADS;
}

static void fail_rows(const rows_job *j)
{
    const llmq_error *error = &j->trouble;
    /* what was read is finite: check_finite, or fill_rows, has seen to it */
    if (!j->to->format.points && error->status == LLMQ_E_NOT_FINITE)
        fail("%s: the number in row %u, column %u is too large for %s", j->name, error->row, error->col,
             j->to->format.name);
    fail("%s: %s (row %u, column %u)", j->name, llmq_status_text(error->status), error->row, error->col);
}

/* The payload of a tensor in its new form, which is allocated, and its t2. */
static void *quantize_tensor(llmq_entry *e, const llmq_tensor *from, const conversion *c, const recipe *r,
                             work_done *p)
{
    rows_job j;
    llmq_tensor t;
    llmq_feedback feedback;
    double error = 0, power = 0;
    float *w = NULL;
    void *factor = NULL;
    memset(&j, 0, sizeof j);
    j.name = e->name, j.from = from, j.to = &t, j.progress = p;
    j.options.clip = (float)r->clip;
    j.options.effort = strcmp(r->effort, "fast") == 0 ? LLMQ_EFFORT_FAST : strcmp(r->effort, "best") == 0
                       ? LLMQ_EFFORT_BEST : LLMQ_EFFORT_DEFAULT;
    j.rounded = rounded_bits(c->format);
    j.rounded_group = c->group ? (size_t)c->group : from->cols;
    j.data = allocate(e->size);
    check(llmq_tensor_init(&t, &e->format, c->input, e->rows, e->cols, j.data, e->size), e->name);
    if (c->rows) {
        j.w = w = decode_all(from);
        fold_rows(c->rows, c->kinds, w, from->rows, from->cols);
    }
    if (t.format.points && r->sums && is_linear(e->name))
        factor = prepare_feedback(&feedback, e->name, &t, r), j.feedback = &feedback;
    j.chunk = rows_of_chunk(&j);
    j.error = (double *)allocate(e->rows * sizeof *j.error);
    j.power = (double *)allocate(e->rows * sizeof *j.power);
    run_threads(convert_rows, &j, threads_of(r));
    if (j.trouble.status != LLMQ_OK) fail_rows(&j);
    if (factor && !t.format.zero_points)
        feedback_rows.all += j.result.rows, feedback_rows.plain += j.result.plain_rows;
    for (uint32_t i = 0; i < e->rows; i++) error += j.error[i], power += j.power[i];
    e->t2 = power > 0 ? (float)(error / power) : 0;
    free(j.error), free(j.power), free(factor), free(w);
    return j.data;
}

/* Of the linear layers; error is the sum of t^2 * weights; online: multiply-adds a token of the
   transforms of their inputs. */
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

/* How activations are to be quantized, as values of the model; prefix: of its values. */
static uint32_t add_activation_values(llmq_entry *e, const char *prefix, const char *text)
{
    static unsigned char bytes[4][4];
    static char name[4][16];
    llmq_activation_options o = read_activations(text);
    uint32_t value[4] = { o.bits, (uint32_t)o.asymmetric, (uint32_t)o.scales, 0 };
    memcpy(&value[3], &o.clip, 4);
    for (int i = 0; i < 4; i++) {
        store_u32(bytes[i], value[i]);
        snprintf(name[i], sizeof name[i], "%s%s", prefix, activation_value[i]);
        add_value(&e[i], name[i], i < 3 ? LLMQ_VALUE_U32 : LLMQ_VALUE_F32, bytes[i], 4);
    }
    return 4;
}

static unsigned char *quantize_bundle(const llmq_bundle *b, const recipe *r, sizes *total, size_t *size);
static uint32_t *text_ids(const loaded *m, const char *model_path, const char *path, int tokens, uint32_t *count);

/* The same numbers as f32, whatever they are stored as, so that running the model does not
   convert them for each token. */
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

/* The payload of a vector `from` with a transform folded into it, as f32; it is allocated. */
static void *fold_vector(llmq_entry *e, const llmq_tensor *from, const llmq_transform *folded)
{
    float *v = decode_all(from);
    void *work, *data = allocate(e->size);
    size_t work_size;
    llmq_tensor t;
    llmq_error error;
    fold_rows(folded, LLMQ_FOLD_SMOOTH, v, from->cols, 1);
    check(llmq_tensor_init(&t, &e->format, NULL, 1, from->cols, data, e->size), e->name);
    work = allocate(work_size = llmq_encode_work_size(&t));
    if (llmq_encode(&t, data, 0, 1, v, from->cols, NULL, work, work_size, &error) != LLMQ_OK)
        fail("%s: the number in column %u is too large for floats once the smoothing is folded into it", e->name,
             error.col);
    free(work);
    free(v);
    return data;
}

/* A transform that is stored once it is first used: "transform.LAYER.SITE". */
typedef struct stored_transform {
    char name[32];
    void *data;
    size_t size;
} stored_transform;

static const char *use_transform(stored_transform *s, const llmq_transform *t, uint32_t layer, int site)
{
    if (s->data) return s->name;
    snprintf(s->name, sizeof s->name, "transform.%u.%s", layer, site_name[site]);
    s->size = 4 + 8 * (size_t)t->count + transform_bytes(t);
    s->data = allocate(s->size);
    check(llmq_transform_store(t, s->data, &s->size), s->name);
    return s->name;
}

/* What a recipe makes of a tensor of a model of so many layers. */
static conversion conversion_of(const char *name, uint32_t layers, const recipe *r, const site_transform *made)
{
    conversion c = { NULL, r->group, NULL, NULL, NULL, 0 };
    uint32_t layer = 0;
    const int linear = linear_of(name, layers, &layer);
    const char *part = lm_layer_part(name, layers, &layer);
    if (made && part && (strcmp(part, "norm1") == 0 || strcmp(part, "norm2") == 0)) {
        const llmq_transform *folded = &made[layer * SITES + (part[4] == '1' ? SITE_ATTENTION : SITE_FEED)].folded;
        if (folded->count) c.folded = folded;
    } else {
        c.format = linear >= 0 ? format_of(r, name, &c.group) : is_table(name) ? r->embed : NULL;
    }
    if (!c.format || !made || linear < 0) return c;
    c.input = &made[layer * SITES + (unsigned)site_of_linear[linear]].all;
    if (linear == LM_W1 || linear == LM_W3) c.rows = &made[layer * SITES + SITE_DOWN].folded;
    if (c.rows && !c.rows->count) c.rows = NULL;
    c.kinds = linear == LM_W1 ? LLMQ_FOLD_PERMUTE : LLMQ_FOLD_PERMUTE | LLMQ_FOLD_SMOOTH;
    return c;
}

/* Is every choice for a linear layer of the model? Those of a file are also for the model that it says. */
static int check_choices(const recipe *r, const llmq_bundle *b, uint32_t layers, problem *p)
{
    for (uint32_t i = 0; i < r->choice_count; i++) {
        const choice *c = &r->choices[i];
        const char *path = r->choices_path ? r->choices_path : "the recipe";
        uint32_t layer, index;
        const int known = llmq_bundle_find(b, c->name, &index) == LLMQ_OK;
        if (known && linear_of(c->name, layers, &layer) >= 0) continue;
        if (known && is_table(c->name))
            return wrong(p, "%s, line %u: %s is no linear layer; --embed sets its format", path, c->line, c->name);
        return wrong(p, "%s, line %u: the model has no %s%s", path, c->line, known ? "linear layer " : "", c->name);
    }
    if (r->choices_path && r->of_model && !force) {
        const uint32_t is = fingerprint(b);
        if (r->of_model != is)
            return wrong(p, "%s is of another model: of %08x, and this one is %08x; --force uses it all the same",
                         r->choices_path, r->of_model, is);
    }
    return 1;
}

/* Adds the grids that the n tensors so far refer to; returns how many. Their payloads are for the caller to free. */
static uint32_t add_grids(llmq_entry *e, uint32_t n)
{
    uint32_t count = 0;
    for (const trained *t = all_trained; t; t = t->next) {
        size_t size = 12 + llmq_grid_size(t->format.p, t->format.n);
        uint32_t i = 0;
        void *grid;
        while (i < n && (e[i].kind != LLMQ_KIND_TENSOR || !e[i].grid || strcmp(e[i].grid, t->entry) != 0)) i++;
        if (i == n) continue;
        grid = allocate(size);
        check(llmq_grid_store(&t->format, grid, &size), t->entry);
        add_value(&e[n + count], t->entry, 0, grid, size);
        e[n + count++].kind = LLMQ_KIND_GRID;
    }
    return count;
}

static int is_trained_format(const char *name)
{
    llmq_format f;
    return find_format(name, 0, &f) == LLMQ_OK && f.id == LLMQ_FORMAT_CUSTOM;
}

/* Stops the program if the recipe does not fit the model. */
static void check_recipe(const recipe *r, const llmq_bundle *b, uint32_t layers)
{
    problem p = { { NULL, 0, 0 } };
    check_choices(r, b, layers, &p);
    stop_if(&p);
    if (r->embed && is_trained_format(r->embed)) fail("--embed is a built-in format");
    if (r->block && llmq_hadamard_block(1, (size_t)r->block) == 0) fail("--block is a power of two up to 32768");
}

/* At most this many grids go into the bundle: those trained before, and one for each format whose
   grid may be trained only now. */
static uint32_t count_grids(const recipe *r)
{
    uint32_t grids = 0;
    for (const trained *t = all_trained; t; t = t->next) grids++;
    for (uint32_t i = 0; i < r->choice_count; i++) grids += (uint32_t)is_trained_format(r->choices[i].format);
    return grids + (uint32_t)is_trained_format(r->format ? r->format : "");
}

/* A bundle in the making: all entries, of which tensors have no bytes yet. */
typedef struct draft {
    const llmq_bundle *from;
    const recipe *how;
    uint32_t layers;
    const site_transform *made;  /* NULL: no transforms */
    stored_transform *stored;
    llmq_entry *e;     /* n entries */
    void **data;       /* count payloads that were made for it */
    uint32_t n, count;
    double weights;    /* of all tensors that become others */
} draft;

/* What a tensor will be, but for its bytes. */
static void plan_entry(draft *d, llmq_entry *e)
{
    const conversion c = conversion_of(e->name, d->layers, d->how, d->made);
    uint32_t layer = 0;
    const int linear = linear_of(e->name, d->layers, &layer);
    llmq_tensor t;
    e->data = NULL;
    check(llmq_bundle_tensor(d->from, e->name, &t), e->name);
    if (c.folded) {
        if (e->rows != 1) fail("%s is not a vector", e->name);
        check(llmq_format_find(&e->format, "f32", 0), "f32");
        e->size = llmq_tensor_size(&e->format, 1, e->cols);
    } else if (c.format) {
        plan_tensor(e, &t, &c);
        e->transform = NULL;
        if (d->made && linear >= 0) {
            const size_t at = layer * SITES + (size_t)site_of_linear[linear];
            if (d->made[at].rest.count)
                e->transform = use_transform(&d->stored[at], &d->made[at].rest, layer, site_of_linear[linear]);
        }
        d->weights += (double)e->rows * e->cols;
    } else if (e->transform || e->grid) {
        fail("%s has a transform or grid that would be lost; start from the original model", e->name);
    }
}

/* A tokenizer in llama2.c's form becomes one of tokenizer.h's. */
static void plan_tokenizer(draft *d, llmq_entry *e)
{
    problem p = { { NULL, 0, 0 } };
    if (is_stored_tokenizer((const unsigned char *)e->data, e->size)) return;
    e->data = convert_tokenizer("the model", (const unsigned char *)e->data, e->size, UINT32_MAX,
                                prefix_of_tokenizer(d->from), &e->size, &p);
    stop_if(&p);
    d->data[d->count++] = (void *)(uintptr_t)e->data;
}

/* Adds the entries of a bundle in their new form, without those that the recipe replaces. */
static void plan_entries(draft *d)
{
    for (uint32_t i = 0; i < d->from->count; i++) {
        llmq_entry *e = &d->e[d->n];
        check(llmq_bundle_at(d->from, i, e), "reading an entry");
        if (e->kind == LLMQ_KIND_TRANSFORM || e->kind == LLMQ_KIND_GRID) continue; /* of tensors that are replaced */
        if (e->kind == LLMQ_KIND_VALUE && d->how->abits && value_of_model(e->name)
            && is_activation_value(value_of_model(e->name)))
            continue;
        if (strcmp(e->name, "tokenizer.prefix") == 0) continue; /* the tokenizer says it */
        if (strcmp(e->name, "tokenizer") == 0) plan_tokenizer(d, e);
        if (e->kind == LLMQ_KIND_TENSOR) plan_entry(d, e);
        d->n++;
    }
}

/* Adds the transforms that tensors of the draft refer to. */
static void add_transforms(draft *d, sizes *total)
{
    for (size_t i = 0; d->made && i < (size_t)d->layers * SITES; i++) {
        if (!d->stored[i].data) continue;
        total->online += (double)llmq_transform_cost(&d->made[i].rest, d->made[i].cols);
        d->data[d->count++] = d->stored[i].data;
        add_value(&d->e[d->n], d->stored[i].name, 0, d->stored[i].data, d->stored[i].size);
        d->e[d->n++].kind = LLMQ_KIND_TRANSFORM;
    }
}

/* The model of a bundle with its linear layers in another format: all of it but the tensors' bytes. */
static void open_draft(draft *d, const llmq_bundle *b, const recipe *r, sizes *total)
{
    const char *prefix = prefix_of_values(b);
    char layers[16];
    const llmq_transform steps = read_steps(transform_of(r));
    uint32_t grids;
    size_t sites;
    memset(d, 0, sizeof *d);
    memset(total, 0, sizeof *total);
    d->from = b, d->how = r;
    snprintf(layers, sizeof layers, "%slayers", prefix);
    check(llmq_bundle_u32(b, layers, &d->layers), layers);
    check_recipe(r, b, d->layers);
    if (steps.count) d->made = transforms_for(b, r);
    sites = (size_t)d->layers * SITES;
    grids = count_grids(r);
    d->e = (llmq_entry *)allocate((b->count + sites + 4 + grids) * sizeof *d->e);
    d->data = (void **)allocate((sites + grids + 1) * sizeof *d->data);
    d->stored = (stored_transform *)allocate(sites * sizeof *d->stored);
    memset(d->stored, 0, sites * sizeof *d->stored);
    plan_entries(d);
    add_transforms(d, total);
    if (r->abits) d->n += add_activation_values(&d->e[d->n], prefix, r->abits);
    for (grids = add_grids(d->e, d->n); grids; grids--) d->data[d->count++] = (void *)(uintptr_t)d->e[d->n++].data;
}

static void close_draft(draft *d)
{
    while (d->count) free(d->data[--d->count]);
    free(d->data);
    free(d->stored);
    free(d->e);
}

/* Sends a tensor as it is. */
static llmq_status copy_tensor(llmq_writer *out, uint32_t i, const llmq_tensor *t)
{
    llmq_status status = LLMQ_OK;
    for (uint32_t first = 0, last; first < t->rows && status == LLMQ_OK; first = last) {
        last = end_of_piece(first, t->rows, t->row_size);
        rows_needed(t->data, first, last);
        status = llmq_writer_rows(out, i, t->data + first * t->row_size, last - first);
        rows_done(t->data, t->row_size, first, last);
    }
    return status;
}

/* Makes the bytes of a tensor, sends them, and has no more of them in memory then. */
static llmq_status write_tensor(const draft *d, llmq_writer *out, uint32_t i, work_done *p)
{
    llmq_entry *e = &out->entries[i];
    const conversion c = conversion_of(e->name, d->layers, d->how, d->made);
    llmq_tensor t;
    llmq_status status;
    void *data = NULL;
    check(llmq_bundle_tensor(d->from, e->name, &t), e->name);
    if (c.folded) data = fold_vector(e, &t, c.folded);
    else if (c.format) data = quantize_tensor(e, &t, &c, d->how, p);
    status = data ? llmq_writer_put(out, i, data) : copy_tensor(out, i, &t);
    free(data);
    rows_done(t.data, t.row_size, 0, t.rows); /* pages of two pieces, too */
    return status;
}

/* Makes the tensors of a draft, one after another, and sends all of it to a sink. */
static llmq_status write_draft(draft *d, sizes *total, llmq_sink_at sink, void *context)
{
    work_done p = { 0, d->weights, 0, d->n, d->how->quiet };
    llmq_writer out;
    llmq_status status = llmq_writer_begin(&out, d->e, d->n, sink, context);
    for (; status == LLMQ_OK && p.entry < d->n; p.entry++) {
        llmq_entry *e = &d->e[p.entry];
        if (e->data || e->size == 0) continue;
        status = write_tensor(d, &out, p.entry, &p);
        if (is_linear(e->name) && conversion_of(e->name, d->layers, d->how, d->made).format)
            add_to_sizes(total, e, d->how);
    }
    if (!p.quiet) progress(1, 1, "");
    return status == LLMQ_OK ? llmq_writer_end(&out) : status;
}

/* The bytes of that bundle, in memory. */
static unsigned char *quantize_bundle(const llmq_bundle *b, const recipe *r, sizes *total, size_t *size)
{
    draft d;
    unsigned char *bytes;
    open_draft(&d, b, r, total);
    bytes = (unsigned char *)allocate(*size = llmq_bundle_size(d.e, d.n));
    check(write_draft(&d, total, put_memory, bytes), "making the bundle");
    close_draft(&d);
    return bytes;
}

/* The same into a file, with a tensor at a time in memory; returns its size. */
static size_t quantize_to_file(const llmq_bundle *b, const recipe *r, sizes *total, const char *path)
{
    draft d;
    result_file out;
    llmq_status status;
    size_t size;
    open_draft(&d, b, r, total);
    begin_output(&out, path, size = llmq_bundle_size(d.e, d.n));
    status = write_draft(&d, total, put_output, &out);
    if (status != LLMQ_E_STOPPED) check(status, "making the bundle");
    end_output(&out);
    close_draft(&d);
    return size;
}

static int copy_field(char *out, size_t room, span field)
{
    if (field.n >= room) return 0;
    memcpy(out, field.s, field.n);
    out[field.n] = 0;
    return 1;
}

/* A line of a recipe: "TENSOR FORMAT [GROUP [TRANSFORM]]". */
static int read_choice(choice *c, const char *path, span line, uint32_t number, span *transform, problem *p)
{
    span field[4];
    const int count = split_fields(line, field, 4);
    uint32_t group = 0;
    transform->n = 0;
    if (count < 2 || count > 4)
        return wrong(p, "%s, line %u: not a tensor and its format, then perhaps a group and a transform: %.*s", path,
                     number, (int)(line.n < 80 ? line.n : 80), line.s);
    if (!copy_field(c->name, sizeof c->name, field[0]))
        return wrong(p, "%s, line %u: the name of a tensor is too long", path, number);
    if (!copy_field(c->format, sizeof c->format, field[1]))
        return wrong(p, "%s, line %u: the name of a format is too long", path, number);
    if (count > 2 && !whole_number(field[2].s, field[2].n, 1024, &group))
        return wrong(p, "%s, line %u: a group is 32 ... 1024 in steps of 32, or 0 for a row, not %.*s", path, number,
                     (int)(field[2].n < 40 ? field[2].n : 40), field[2].s);
    if (count > 3) *transform = field[3];
    c->group = count > 2 ? (int)group : -1;
    c->line = number;
    return 1;
}

static int compare_choices(const void *a, const void *b)
{
    const choice *x = (const choice *)a, *y = (const choice *)b;
    const int order = strcmp(x->name, y->name);
    return order ? order : x->line < y->line ? -1 : 1;
}

/* "# model 1a2b3c4d" of a recipe or of coefficients: the fingerprint of the model that they are of. */
static int read_model_line(span line, uint32_t *model)
{
    span field[3];
    uint32_t v = 0;
    if (split_fields(line, field, 3) != 3 || !span_is(field[0], "#") || !span_is(field[1], "model") || field[2].n != 8)
        return 0;
    for (int i = 0; i < 8; i++) {
        const char c = field[2].s[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return 0;
        v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *model = v;
    return 1;
}

/* Formats of single tensors from text in memory: a line "TENSOR FORMAT [GROUP [TRANSFORM]]"
   each; # begins a comment, of which "# model FINGERPRINT" says which model they are for. The
   transform is one for the whole model, and becomes that of the recipe. */
static int read_recipe(recipe *r, const char *path, const char *text, size_t size, problem *p)
{
    size_t at = 0, room = 0;
    uint32_t number = 0, count = 0;
    choice *list = NULL;
    span line, transform;
    if (!is_text((const unsigned char *)text, size) || is_other_text((const unsigned char *)text, size))
        return wrong_kind(p, path, "is no recipe", (const unsigned char *)text, size);
    r->choice_count = 0, r->of_model = 0;
    while (next_line(text, size, &at, &line)) {
        const char *comment = (const char *)memchr(line.s, '#', line.n);
        span blank;
        number++;
        if (read_model_line(line, &r->of_model)) continue;
        if (comment) line.n = (size_t)(comment - line.s);
        if (split_fields(line, &blank, 1) == 0) continue;
        if (count == room) {
            room = room ? 2 * room : 64;
            list = (choice *)realloc(list, room * sizeof *list);
            if (!list) fail("no memory for a recipe of %zu lines", room);
        }
        r->choices = list;
        if (count == MOST_LAYERS * LM_LINEARS)
            return wrong(p, "%s, line %u: more tensors than a model can have", path, number);
        if (!read_choice(&list[count++], path, line, number, &transform, p)) return 0;
        if (transform.n && !r->transform) {
            words name = { NULL, 0, 0 };
            say(&name, "%.*s", (int)transform.n, transform.s);
            r->transform = name.s;
        }
        if (transform.n && !span_is(transform, r->transform))
            return wrong(p, "%s, line %u: one transform for all: %s or %.*s", path, number, r->transform,
                         (int)transform.n, transform.s);
    }
    if (count == 0) return wrong(p, "%s: the recipe names no tensor", path);
    qsort(list, count, sizeof *list, compare_choices);
    for (uint32_t i = 1; i < count; i++)
        if (strcmp(list[i].name, list[i - 1].name) == 0)
            return wrong(p, "%s, line %u: %s has had its format in line %u", path, list[i].line, list[i].name,
                         list[i - 1].line);
    r->choice_count = count;
    r->choices_path = path;
    return 1;
}

static void read_choices(const char *path, recipe *r)
{
    problem p = { { NULL, 0, 0 } };
    size_t size;
    char *text = (char *)read_file(path, &size);
    read_recipe(r, path, text, size, &p);
    stop_if(&p);
    free(text);
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
        OPT_WHOLE("seed", 's', "N", r.seed, 0, 2147483647,
                  "of the first transform's signs; each layer input has its own"),
        OPT_EFFORT(r.effort),
        OPT_WHOLE("threads", 't', "N", r.threads, 0, MOST_THREADS, "how many, 0: one for each processor"),
        OPT_TEXT("abits", 0, "BITS", r.abits, ABITS_HELP),
        OPT_INPUT("recipe", 0, "FILE", choices, "lines TENSOR FORMAT, as 'llmq plan' writes; others get --format"),
        OPT_INPUT("hessian", 0, "FILE", r.sums_path,
                  "quantize with error feedback; of 'llmq sense', or an imatrix of llama.cpp"),
        OPT_WORD("kind", 0, "aware|plain|diagonal", r.kind, "of its sums; aware: of attention and gates"),
        FEEDBACK_OPTIONS(r),
        OPT_INPUT("tokenizer", 0, "FILE", tokenizer, "llama2.c tokenizer to carry along (checkpoints only)"),
        OPT_PREFIX(prefix),
        OPT_END
    };
    loaded m;
    const unsigned char *bytes;
    size_t size;
    sizes total;
    double start = seconds();
    parse(argc, argv, "quantize MODEL OUT.llmq [options]", options, rest, 2, 2, 1);
    if (r.abits) (void)read_activations(r.abits); /* a wrong one is found before the work */
    if (r.sums_path) r.sums = open_sums(r.sums_path);
    if (choices) read_choices(choices, &r);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, NULL);
    tie_sums(r.sums, &m);
    size = quantize_to_file(&m.bundle, &r, &total, rest[1]);
    fprintf(report(rest[1]),
            "%s: %zu bytes; linear layers %.0f weights in %s, %.3f bits a weight, mean t2 %.6f; "
            "transforms %.0f additions a token, %.1f %% of the products; %.2f s\n", rest[1], size, total.weights,
            r.format, 8 * total.bytes / total.weights, total.error / total.weights, total.online,
            100 * total.online / total.weights, seconds() - start);
    if (feedback_rows.plain)
        fprintf(report(rest[1]), "%s: %llu of %llu rows are encoded without error feedback, which made them worse\n",
                rest[1], (unsigned long long)feedback_rows.plain, (unsigned long long)feedback_rows.all);
    return 0;
}
