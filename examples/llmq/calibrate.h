/* calibrate.h - the part of the tool llmq.c that is about calibration: sense, merge, rank. Not a
   header for others: llmq.h section 15 and sense.h are. */

/* ---- making sums ----------------------------------------------------------------------------- */

/* Entries under way to a bundle, with names and data of their own. */
typedef struct collection {
    llmq_entry *e;
    uint32_t count, room;
} collection;

static unsigned char *collect(collection *c, const char *name, uint32_t type, size_t size)
{
    unsigned char *data = (unsigned char *)allocate(size);
    if (c->count == c->room) {
        c->room = c->room ? 2 * c->room : 64;
        c->e = (llmq_entry *)realloc(c->e, c->room * sizeof *c->e);
        if (!c->e) fail("no memory for %u entries", c->room);
    }
    add_value(&c->e[c->count++], strcpy((char *)allocate(strlen(name) + 1), name), type, data, size);
    return data;
}

static void write_collection(collection *c, const char *path)
{
    size_t size;
    unsigned char *bytes = write_bundle(c->e, c->count, &size);
    write_file(path, bytes, size);
    free(bytes);
    while (c->count--) {
        free((void *)(uintptr_t)c->e[c->count].name);
        free((void *)(uintptr_t)c->e[c->count].data);
    }
    free(c->e);
    memset(c, 0, sizeof *c);
}

static void collect_layer(collection *c, uint32_t layer, const sense_layer *s)
{
    char name[64];
    unsigned char *at;
    for (int i = 0; i < SENSE_SUMS; i++) {
        size_t n = llmq_hessian_size(s->sum[i].cols, 1) / 4;
        snprintf(name, sizeof name, "sense.%u.%s", layer, sense_name[i]);
        at = collect(c, name, LLMQ_VALUE_BYTES, 4 * n + 8);
        store_float(at, (float)s->sum[i].weight);
        store_float(at + 4, (float)s->sum[i].squares);
        for (size_t k = 0; k < n; k++) store_float(at + 8 + 4 * k, s->sum[i].h[k]);
    }
    snprintf(name, sizeof name, "sense.%u.trace", layer);
    at = collect(c, name, LLMQ_VALUE_BYTES, TRACE_BYTES);
    for (int i = 0; i < 2; i++) {
        store_float(at + 8 * LM_LINEARS + 4 * i, (float)s->stream[i]);
        store_float(at + 8 * LM_LINEARS + 4 * (i + 2), (float)s->added[i]);
    }
    for (int i = 0; i < LM_LINEARS; i++) {
        store_float(at + 4 * i, (float)s->trace[i]);
        store_float(at + 4 * (LM_LINEARS + i), (float)s->error[i]);
    }
}

/* The text and the model a run was made of: the parts of a resumed run have the same. */
static void describe_run(words *out, const loaded *m, const uint32_t *ids, uint32_t first, uint32_t count,
                         uint32_t window, int samples)
{
    uint32_t hash = 0;
    for (uint32_t i = 0; i < count; i++) hash = llmq_random(hash, ids[i]);
    say(out, "%u layers, dim %u, hidden %u; tokens %u ... %u, windows of %u, %d queries; text %08x, model %08x",
        m->model.layers, m->model.dim, m->model.hidden, first, first + count, window, samples, hash,
        fingerprint(&m->bundle));
}

/* The file of one layer, in memory that the caller frees. */
static char *part_path(const char *path, uint32_t layer)
{
    words part = { NULL, 0, 0 };
    say(&part, "%s.layer%u", path, layer);
    return part.s;
}

/* Is layer l of this run done already, and as whole as sums have to be? */
static int part_done(const char *path, uint32_t layer, const char *run)
{
    char *part = part_path(path, layer);
    FILE *f = open_to_read(part);
    problem p = { { NULL, 0, 0 } };
    sums s;
    size_t size;
    unsigned char *bytes;
    int done = 0;
    if (f) {
        fclose(f);
        bytes = read_file(part, &size);
        done = read_sums(&s, part, bytes, size, &p) && !s.is_imatrix && span_is(s.run, run)
               && s.bundle.count == SENSE_SUMS + 3;
        free(bytes);
        free(p.what.s);
        if (!done && !force) fail("%s is of another run: remove it, give another --out, or go on with --force", part);
    }
    free(part);
    return done;
}

/* All windows through one layer, in place in hidden[tokens][dim], watched if watch is not NULL. */
static void run_layer(loaded *m, uint32_t l, float *hidden, uint32_t count, uint32_t window, lm_watcher watch,
                      void *context)
{
    m->state.watch = watch;
    m->state.watch_context = context;
    for (uint32_t at = 0; at < count; at += window) {
        uint32_t n = count - at < window ? count - at : window;
        size_t dim = m->model.dim;
        memcpy(m->state.x, hidden + at * dim, n * dim * sizeof(float));
        check(lm_layer_forward(&m->model, &m->state, l, n, 0), "running a layer");
        memcpy(hidden + at * dim, m->state.x, n * dim * sizeof(float));
        if (!m->quiet) progress(l * count + at + n, m->model.layers * count, "tokens through layers");
    }
}

/* Embeddings of windows, each from BOS if texts of the model have it. */
static float *embed_windows(loaded *m, const uint32_t *ids, uint32_t count, uint32_t window)
{
    size_t dim = m->model.dim;
    float *hidden = (float *)allocate((size_t)count * dim * sizeof *hidden);
    uint32_t *input = (uint32_t *)allocate(window * sizeof *input);
    for (uint32_t at = 0; at < count; at += window) {
        uint32_t n = count - at < window ? count - at : window;
        const int shift = begins_with_bos(m);
        input[0] = bos_of(m);
        memcpy(input + shift, ids + at, (n - (uint32_t)shift) * sizeof *input);
        check(lm_embed(&m->model, &m->state, input, n), "embedding the text");
        memcpy(hidden + at * dim, m->state.x, n * dim * sizeof(float));
    }
    free(input);
    return hidden;
}

static int is_sum(const llmq_entry *e)
{
    return strcmp(e->name, "sense.run") != 0 && strcmp(e->name, "sense.model") != 0;
}

/* What sums are of: the text, as words, and the fingerprint of the model. */
static void collect_origin(collection *c, const char *run, uint32_t model)
{
    unsigned char *at = collect(c, "sense.model", LLMQ_VALUE_U32, 4);
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(model >> 8 * i & 255);
    memcpy(collect(c, "sense.run", LLMQ_VALUE_TEXT, strlen(run)), run, strlen(run));
}

/* Joins the layers' files to one, and removes them. */
static void join_parts(const char *path, uint32_t layers, const char *run, uint32_t model)
{
    collection c = { NULL, 0, 0 };
    for (uint32_t l = 0; l < layers; l++) {
        char *part = part_path(path, l);
        const sums *s = open_sums(part);
        for (uint32_t i = 0; i < s->bundle.count; i++) {
            llmq_entry e;
            check(llmq_bundle_at(&s->bundle, i, &e), part);
            if (is_sum(&e)) memcpy(collect(&c, e.name, e.type, e.size), e.data, e.size);
        }
        close_sums(s);
        free(part);
    }
    collect_origin(&c, run, model);
    write_collection(&c, path);
    for (uint32_t l = 0; l < layers; l++) {
        char *part = part_path(path, l);
        (void)remove_file(part);
        free(part);
    }
}

static void sense_text(loaded *m, const uint32_t *ids, uint32_t count, uint32_t window, int samples, const char *path,
                       const char *run, uint32_t model)
{
    size_t need = sense_layer_size(&m->model, window);
    void *mem = allocate(need);
    float *hidden = embed_windows(m, ids, count, window);
    sense_layer s;
    if (need == 0) fail("the model is too large for this machine");
    for (uint32_t l = 0; l < m->model.layers; l++) {
        collection c = { NULL, 0, 0 };
        char *part;
        if (part_done(path, l, run)) { /* only its outputs are needed */
            run_layer(m, l, hidden, count, window, NULL, NULL);
            continue;
        }
        check(sense_layer_init(&s, &m->model, l, window, (uint32_t)samples, mem, need), "preparing a layer");
        run_layer(m, l, hidden, count, window, sense_watch, &s);
        collect_layer(&c, l, &s);
        collect_origin(&c, run, model);
        part = part_path(path, l);
        write_collection(&c, part);
        free(part);
    }
    free(hidden);
    free(mem);
}

/* The mean squares of a file of sums as an importance matrix of llama.cpp. */
static void write_imatrix(const char *path, const char *sums_path, const lm_model *m, const char *text,
                          uint32_t window)
{
    const sums *from = open_sums(sums_path);
    const uint32_t count = m->layers * LM_LINEARS;
    const size_t n = strlen(path);
    const int form = n > 4 && strcmp(path + n - 4, ".dat") == 0 ? IMATRIX_LEGACY : IMATRIX_GGUF;
    imatrix_source *source = (imatrix_source *)allocate(count * sizeof *source);
    float *tokens = (float *)allocate(count * sizeof *tokens);
    imatrix_origin origin = { text, 0, window };
    size_t size;
    void *bytes;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t l = i / LM_LINEARS, linear = i % LM_LINEARS, cols = m->layer[l].linear[linear].cols;
        llmq_hessian h;
        char name[64], *other = (char *)allocate(64);
        float *mem;
        snprintf(name, sizeof name, "sense.%u.%s", l, sense_name[sense_sum((int)linear, 0)]);
        mem = load_sum(from, name, cols, &h);
        for (size_t k = 0; k < cols; k++) mem[k] = mem[k * (k + 1) / 2 + k];
        if (!(h.weight < 2147483648.0))
            fail("%s: %s is a sum of more tokens than an importance matrix can have", sums_path, name);
        tokens[i] = (float)h.weight;
        origin.chunk_count = ((uint32_t)h.weight + window - 1) / window;
        snprintf(name, sizeof name, "layers.%u.%s", l, lm_linear_name[linear]);
        check(imatrix_name_from_llmq(name, strlen(name), other), name);
        source[i].name = other, source[i].cols = cols, source[i].experts = 1, source[i].sums = mem,
        source[i].counts = &tokens[i];
    }
    if ((size = imatrix_size(form, source, count, &origin)) == 0)
        fail("%s: the model is too large for an importance matrix", path);
    check(imatrix_write(form, source, count, &origin, bytes = allocate(size), size), path);
    write_file(path, bytes, size);
    free(bytes);
    for (uint32_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)source[i].name);
        free((void *)(uintptr_t)source[i].sums);
    }
    free(source);
    free(tokens);
    close_sums(from);
}

static int command_sense(int argc, char **argv)
{
    const char *rest[1], *text = NULL, *out = NULL, *tokenizer = NULL, *part = "1/1", *matrix = NULL;
    int tokens = 0, window = 0, samples = 32, prefix = 1, threads = 2;
    static pool workers;
    const option options[] = {
        OPT_NEEDED_INPUT("calib", 0, "FILE", text, "calibration text"),
        OPT_NEEDED_OUTPUT("out", 'o', "FILE", out,
                          "where the sums go; FILE.layerN meanwhile, from which a run goes on"),
        OPT_TOKENS(tokens, "use only the first N, 0: all"),
        OPT_TEXT("part", 0, "K/N", part, "only part K of N of the text; 'llmq merge' adds them up"),
        OPT_OUTPUT("imatrix", 0, "FILE", matrix,
                   "also write llama.cpp's importance matrix (GGUF; the older form if it ends in .dat)"),
        OPT_WINDOW(window),
        OPT_WHOLE_OR("samples", 0, "N", samples, 2, MOST_TOKENS, 0,
                     "queries of a window that the attention traces look at, 0: all"),
        OPT_THREADS(threads),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_END
    };
    loaded m;
    uint32_t *ids, count, windows, size_of_window, first, last;
    int k = 0, n = 0;
    uint32_t model;
    const char *end;
    words run = { NULL, 0, 0 };
    size_t size;
    const unsigned char *bytes;
    double start = seconds();
    parse(argc, argv, "sense MODEL --calib TEXT -o FILE [options]", options, rest, 1, 1, -1);
    if (!is_file(out)) fail("--out is a file, since FILE.layerN hold what has been done; not %s", out);
    if (!read_whole(part, 1, 1e6, &k, &end) || *end != '/' || !read_whole(end + 1, 1, 1e6, &n, &end) || *end || k > n)
        fail("--part is K/N with K from 1 to N, not '%s'", part);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, "32");
    size_of_window = window_of(&m, window);
    pool_start(&workers, threads);
    m.model.tasks = (uint32_t)workers.threads;
    open_windows(&m, rest[0], size_of_window, size_of_window);
    m.state.run = pool_run, m.state.run_context = &workers;
    ids = text_ids(&m, rest[0], text, tokens, &count);
    windows = (count + size_of_window - 1) / size_of_window;
    first = (uint32_t)((uint64_t)windows * (uint32_t)(k - 1) / (uint32_t)n) * size_of_window;
    last = (uint32_t)((uint64_t)windows * (uint32_t)k / (uint32_t)n) * size_of_window;
    if (last > count) last = count;
    if (first >= last) fail("part %s of %u windows is empty", part, windows);
    model = fingerprint(&m.bundle);
    describe_run(&run, &m, ids + first, first, last - first, size_of_window, samples);
    sense_text(&m, ids + first, last - first, size_of_window, samples, out, run.s, model);
    join_parts(out, m.model.layers, run.s, model);
    if (matrix) write_imatrix(matrix, out, &m.model, text, size_of_window);
    fprintf(report(matrix), "%s: sums over %u tokens for %u layers; %.2f s\n", out, last - first, m.model.layers,
            seconds() - start);
    return 0;
}

static int command_merge(int argc, char **argv)
{
    const char *rest[64];
    const option options[] = { OPT_END };
    int n = parse(argc, argv, "merge OUT FILE FILE ...", options, rest, 2, 64, 0);
    const sums *first = open_sums(rest[1]);
    collection c = { NULL, 0, 0 };
    words run = { NULL, 0, 0 };
    if (first->is_imatrix) fail("merge is for files of 'llmq sense'; llama.cpp's own tool merges importance matrices");
    for (uint32_t i = 0; i < first->bundle.count; i++) {
        llmq_entry e;
        check(llmq_bundle_at(&first->bundle, i, &e), rest[1]);
        if (is_sum(&e)) memcpy(collect(&c, e.name, e.type, e.size), e.data, e.size);
    }
    say(&run, "%.*s", (int)first->run.n, first->run.s);
    for (int k = 2; k < n; k++) {
        const sums *s = open_sums(rest[k]);
        words other = { NULL, 0, 0 };
        if (s->is_imatrix || s->has_model != first->has_model || s->model != first->model
            || s->bundle.count != first->bundle.count)
            fail("%s and %s are not sums of the same model", rest[1], rest[k]);
        say(&other, "%.*s", (int)s->run.n, s->run.s);
        if (strstr(run.s, other.s)) fail("%s is of a part of the text that was added already: %s", rest[k], other.s);
        for (uint32_t i = 0; i < c.count; i++) {
            unsigned char *sum = (unsigned char *)(uintptr_t)c.e[i].data;
            const void *data = NULL;
            size_t size = 0;
            if (llmq_bundle_value(&s->bundle, c.e[i].name, LLMQ_VALUE_BYTES, &data, &size) || size != c.e[i].size)
                fail("%s and %s are not sums of the same model", rest[1], rest[k]);
            for (size_t j = 0; j < size; j += 4) { /* whole floats: read_sums has seen to it */
                const float x = load_float(sum + j) + load_float((const unsigned char *)data + j);
                if (!(x - x == 0))
                    fail("%s: number %zu of %s is too large for floats once %s is added", rest[1], j / 4, c.e[i].name,
                         rest[k]);
                store_float(sum + j, x);
            }
        }
        say(&run, " + %s", other.s);
        free(other.s);
        close_sums(s);
    }
    if (first->has_model) collect_origin(&c, run.s, first->model);
    else memcpy(collect(&c, "sense.run", LLMQ_VALUE_TEXT, run.n), run.s, run.n);
    write_collection(&c, rest[0]);
    fprintf(report(rest[0]), "%s: the sum of %d files\n", rest[0], n - 1);
    return 0;
}

/* ---- sensitivities --------------------------------------------------------------------------- */

typedef struct sensitivity {
    char name[64];
    double weights;                  /* how many */
    double trace;                    /* mean diagonal of the Hessian of the block's output, for a token (APTQ) */
    double carried;                  /* the same times what later blocks make of it */
    double plain, norm;              /* mean of E[x^2]; |W|^2 */
    double error, kl;                /* |W - W'|^2 at the format tried; what was measured */
} sensitivity;

static const unsigned char *load_traces(const sums *from, uint32_t layer)
{
    char name[64];
    const void *data = NULL;
    size_t size;
    snprintf(name, sizeof name, "sense.%u.trace", layer);
    if (from->is_imatrix || llmq_bundle_value(&from->bundle, name, LLMQ_VALUE_BYTES, &data, &size)
        || size != TRACE_BYTES)
        fail("%s has no %s", from->path, name);
    return (const unsigned char *)data;
}

/* What the layers after a block make of an error in the residual stream: each block that reads
   the stream (of power P) and adds something (of power Q) also adds an error, which is to Q what
   the error it read was to P: so it grows by 1 + Q / P. */
static double gain_of(const loaded *m, const sums *from, uint32_t layer, int block)
{
    double gain = 1;
    for (uint32_t i = 2 * layer + (uint32_t)block + 1; i < 2 * m->model.layers; i++) {
        const unsigned char *powers = load_traces(from, i / 2) + 8 * LM_LINEARS + 4 * (i % 2);
        const double read = (double)load_float(powers), added = (double)load_float(powers + 8);
        if (!(read > 0 && added >= 0)) fail("%s: the powers of sense.%u.trace are not above 0", from->path, i / 2);
        gain *= 1 + added / read;
    }
    return gain;
}

/* The linear layers of a model, with what a file of sums says of them. */
static sensitivity *sensitivities(const loaded *m, const sums *from, uint32_t *count)
{
    sensitivity *list = (sensitivity *)allocate(m->model.layers * LM_LINEARS * sizeof *list);
    *count = 0;
    for (uint32_t l = 0; l < m->model.layers; l++)
        for (int i = 0; i < LM_LINEARS; i++) {
            sensitivity *s = &list[(*count)++];
            const llmq_tensor *t = &m->model.layer[l].linear[i];
            llmq_hessian h;
            char name[64];
            float *mem, *w = decode_all(t);
            memset(s, 0, sizeof *s);
            snprintf(s->name, sizeof s->name, "layers.%u.%s", l, lm_linear_name[i]);
            s->weights = (double)t->rows * t->cols;
            snprintf(name, sizeof name, "sense.%u.%s", l, sense_name[sense_sum(i, 0)]);
            mem = load_sum(from, name, t->cols, &h);
            if (!(h.weight > 0)) fail("%s: %s is a sum of no tokens", from->path, name);
            s->trace = load_float(load_traces(from, l) + 4 * i) / s->weights / h.weight;
            s->carried = s->trace * gain_of(m, from, l, i >= LM_W1);
            for (size_t k = 0; k < t->cols; k++) s->plain += (double)h.h[k * (k + 1) / 2 + k] / t->cols / h.weight;
            for (size_t k = 0; k < (size_t)t->rows * t->cols; k++) s->norm += (double)w[k] * w[k];
            free(mem);
            free(w);
        }
    return list;
}

/* The rank of v[i] among n numbers; equal ones share the mean of their ranks. */
static double rank_of(const double *v, uint32_t n, uint32_t i)
{
    double rank = 0.5;
    for (uint32_t k = 0; k < n; k++) rank += v[k] < v[i] ? 1 : v[k] > v[i] ? 0 : 0.5; /* itself too: ranks start at 1 */
    return rank;
}

/* Spearman's rank correlation. */
static double spearman(const double *a, const double *b, uint32_t n)
{
    double mean = (n + 1) / 2.0, ab = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < n; i++) {
        double x = rank_of(a, n, i) - mean, y = rank_of(b, n, i) - mean;
        ab += x * y, aa += x * x, bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

enum { PREDICTORS = 5 };

static void print_ranks(const sensitivity *list, uint32_t count, const char *key)
{
    static const char *const name[PREDICTORS] = { "attention", "trace", "diagonal", "norm", "random" };
    int tsv = getenv("TSV") && *getenv("TSV");
    double *v = (double *)allocate((PREDICTORS + 1) * count * sizeof *v), *kl = v + PREDICTORS * count;
    for (uint32_t i = 0; i < count; i++) {
        const sensitivity *s = &list[i];
        const double predicted[PREDICTORS] = { s->carried * s->error, s->trace * s->error, s->plain * s->error, s->norm,
                                               (double)llmq_random(1, i) };
        for (int k = 0; k < PREDICTORS; k++) v[(uint32_t)k * count + i] = predicted[k];
        kl[i] = s->kl;
    }
    if (!tsv)
        printf("%-16s %9s %12s %12s %12s %12s %10s\n", "layer", "weights", "trace x gain", "trace", "E[x2]", "|W|^2",
               "KL alone");
    for (uint32_t i = 0; i < count && !tsv; i++)
        printf("%-16s %9.0f %12.4g %12.4g %12.4g %12.4g %10.5f\n", list[i].name, list[i].weights, v[i], v[count + i],
               v[2 * count + i], v[3 * count + i], kl[i]);
    if (!tsv) printf("The first three times |W - W'|^2. Rank correlation with the KL (Spearman):");
    for (int k = 0; k < PREDICTORS; k++) {
        double r = spearman(v + (uint32_t)k * count, kl, count);
        if (tsv) printf("sense.%sspearman.%s\t%.6g\n", key, name[k], r);
        else printf(" %s %.3f%s", name[k], r, k == PREDICTORS - 1 ? "\n" : ",");
    }
    free(v);
}

/* Opens the model with one linear layer quantized and the others as they are. Notes in s the error
   of that layer. */
static void quantize_alone(contestant *c, const llmq_bundle *from, const char *path, const char *format, recipe r,
                           sensitivity *s, uint32_t window)
{
    choice one;
    sizes total;
    llmq_entry e;
    uint32_t at;
    size_t size;
    unsigned char *bytes;
    memset(&one, 0, sizeof one);
    memcpy(one.name, s->name, sizeof one.name);
    one.group = -1;
    if (strlen(format) >= sizeof one.format) fail("no format '%s'", format);
    strcpy(one.format, format);
    r.quiet = 1;
    r.format = NULL;
    r.choices = &one;
    r.choice_count = 1;
    bytes = quantize_bundle(from, &r, &total, &size);
    open_model(&c->m, path, bytes, size, 0, "32");
    open_windows(&c->m, path, window, 16);
    check(llmq_bundle_find(&c->m.bundle, one.name, &at), one.name);
    check(llmq_bundle_at(&c->m.bundle, at, &e), one.name);
    s->error = (double)e.t2 * s->norm;
}

static int command_rank(int argc, char **argv)
{
    const char *rest[1], *text = NULL, *sums_path = NULL, *format = "g2", *tokenizer = NULL, *key = "";
    recipe r = default_recipe;
    int tokens = 4096, window = 0, prefix = 1, threads = 2;
    const option options[] = {
        OPT_NEEDED_INPUT("hessian", 0, "FILE", sums_path, "sums of 'llmq sense'"),
        OPT_NEEDED_INPUT("text", 0, "FILE", text, "what to measure on"),
        OPT_TEXT("format", 0, "NAME", format, "each layer alone is quantized to"),
        OPT_GROUP(r.group, "columns that share a scale"),
        OPT_TEXT("transform", 0, "NAME", r.transform, "of layer inputs: hadamard or none"),
        OPT_TOKENS(tokens, "measure only the first N, 0: all"),
        OPT_WINDOW(window),
        OPT_THREADS(threads),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_FORCE,
        OPT_KEY(key, "with TSV=1 in the environment: lines sense.NAMEspearman..."),
        OPT_END
    };
    loaded m;
    contestant *c;
    sensitivity *list;
    const struct sums *sums;
    uint32_t count, *ids, n, width;
    size_t size;
    const unsigned char *bytes;
    parse(argc, argv, "rank MODEL --hessian FILE --text FILE [options]", options, rest, 1, 1, -1);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, "32");
    sums = open_sums(sums_path);
    tie_sums(sums, &m);
    list = sensitivities(&m, sums, &count);
    c = (contestant *)allocate((count + 1) * sizeof *c);
    memset(c, 0, (count + 1) * sizeof *c);
    width = window_of(&m, window);
    open_original(&c[0], &m.bundle, rest[0], width);
    for (uint32_t i = 0; i < count; i++) {
        quantize_alone(&c[i + 1], &c[0].m.bundle, rest[0], format, r, &list[i], width);
        progress(i, count, list[i].name);
    }
    ids = text_ids(&m, rest[0], text, tokens, &n);
    n = measure(c, (int)count + 1, ids, n, width, threads);
    for (uint32_t i = 0; i < count; i++) list[i].kl = c[i + 1].kl / n;
    print_ranks(list, count, key);
    return 0;
}
