/* plan.h - the part of the tool llmq.c that chooses formats: alpha, plan, linearity. Not a
   header for others: llmq.h section 18 is. */

/* ---- coefficients: what an error of a layer costs ---- */

/* A model with its text run through it: hidden[l], the input of layer l for all tokens, and the
   probabilities at the end. */
typedef struct probe {
    loaded m;
    uint32_t count, window;
    const uint32_t *ids;
    int perplexity;    /* measure the loss of the text, not the KL */
    float **hidden;
    float *reference;  /* [count][vocab]: probabilities */
    double *certainty; /* [count]: sum of p log p over the vocabulary, p those of `reference` */
    double *expected;  /* [count]: log-probability of the token of the text */
} probe;

/* Tokens whose logits are made at a time: each weight of the classifier is read once for all of them. */
#define LOGITS_AT_ONCE 16u

/* x[tokens][dim] at the model's end to logits of each token, handed to `take`. */
static void logits_of(probe *p, const float *hidden, void (*take)(void *context, uint32_t token, const float *logits),
                      void *context)
{
    const lm_model *m = &p->m.model;
    const uint32_t batch = p->m.state.batch < LOGITS_AT_ONCE ? p->m.state.batch : LOGITS_AT_ONCE;
    float *logits = (float *)allocate((size_t)batch * m->vocab * sizeof *logits);
    for (uint32_t t = 0, n; t < p->count; t += n) {
        n = p->count - t < batch ? p->count - t : batch;
        memcpy(p->m.state.x, hidden + (size_t)t * m->dim, (size_t)n * m->dim * sizeof(float));
        check(lm_logits(m, &p->m.state, n, 0, m->vocab, logits, m->vocab), "the classifier");
        check_logits(&p->m, logits, n);
        for (uint32_t i = 0; i < n; i++) take(context, t + i, logits + (size_t)i * m->vocab);
    }
    free(logits);
}

static void keep_reference(void *context, uint32_t token, const float *logits)
{
    probe *p = (probe *)context;
    const uint32_t vocab = p->m.model.vocab;
    float *reference = p->reference + (size_t)token * vocab;
    double *row = (double *)allocate(vocab * sizeof *row);
    log_softmax(logits, vocab, row);
    p->expected[token] = row[p->ids[token]];
    p->certainty[token] = 0;
    for (uint32_t v = 0; v < vocab; v++) {
        const double x = (double)(reference[v] = (float)exp(row[v]));
        if (x > 0) p->certainty[token] += x * log(x);
    }
    free(row);
}

/* Sums over tokens: of the KL from the reference, and of how much less the next token is expected. */
typedef struct divergence { const probe *p; double kl, loss, *row; } divergence;

static void add_divergence(void *context, uint32_t token, const float *logits)
{
    divergence *d = (divergence *)context;
    const uint32_t vocab = d->p->m.model.vocab;
    const float *reference = d->p->reference + (size_t)token * vocab;
    double cross = 0;
    log_softmax(logits, vocab, d->row);
    for (uint32_t v = 0; v < vocab; v++) cross += (double)reference[v] * d->row[v];
    d->kl += d->p->certainty[token] - cross;
    d->loss += d->p->expected[token] - d->row[d->p->ids[token]];
}

/* KL from the reference, a token, or increase of the loss, when layers from `from` on run as they are now. */
static double probe_change(probe *p, uint32_t from)
{
    size_t size = (size_t)p->count * p->m.model.dim * sizeof(float);
    float *x = (float *)memcpy(allocate(size), p->hidden[from], size);
    divergence d = { p, 0, 0, (double *)allocate(p->m.model.vocab * sizeof(double)) };
    for (uint32_t l = from; l < p->m.model.layers; l++) run_layer(&p->m, l, x, p->count, p->window, NULL, NULL);
    logits_of(p, x, add_divergence, &d);
    free(x);
    free(d.row);
    return (p->perplexity ? d.loss : d.kl) / p->count;
}

/* ids of tokens to probe with: of a text, or drawn. */
static uint32_t *probe_ids(const loaded *m, const char *path, const char *text, int random, int tokens, uint32_t *count)
{
    uint32_t *ids;
    if (text) return text_ids(m, path, text, tokens, count);
    *count = (uint32_t)random;
    ids = (uint32_t *)allocate(*count * sizeof *ids);
    for (uint32_t i = 0; i < *count; i++) ids[i] = (uint32_t)((uint64_t)llmq_random(1, i) * m->model.vocab >> 32);
    return ids;
}

static void probe_open(probe *p, const llmq_bundle *b, const char *path, const uint32_t *ids, uint32_t count,
                       uint32_t window)
{
    size_t size;
    unsigned char *bytes = as_floats(b, &size);
    open_model(&p->m, path, bytes, size, 0, "32");
    p->m.quiet = 1;
    p->window = window;
    p->count = count;
    p->ids = ids;
    open_windows(&p->m, path, window, window);
    p->hidden = (float **)allocate((p->m.model.layers + 1) * sizeof *p->hidden);
    p->hidden[0] = embed_windows(&p->m, ids, count, p->window);
    size = (size_t)count * p->m.model.dim * sizeof(float);
    for (uint32_t l = 0; l < p->m.model.layers; l++) {
        p->hidden[l + 1] = (float *)memcpy(allocate(size), p->hidden[l], size);
        run_layer(&p->m, l, p->hidden[l + 1], count, p->window, NULL, NULL);
        progress(l, p->m.model.layers, "layers as they are");
    }
    p->reference = (float *)allocate((size_t)count * p->m.model.vocab * sizeof(float));
    p->certainty = (double *)allocate(count * sizeof *p->certainty);
    p->expected = (double *)allocate(count * sizeof *p->expected);
    logits_of(p, p->hidden[p->m.model.layers], keep_reference, p);
}

#define LEVELS 8

/* Sizes of noise, relative to the weights. */
typedef struct noise_levels {
    double level[LEVELS];
    uint32_t count;
} noise_levels;

/* Reads the list of --levels. */
static noise_levels read_levels(const char *list)
{
    noise_levels n = { { 0 }, 0 };
    char item[ITEM];
    while (next_item(&list, item)) {
        const char *end;
        if (n.count == LEVELS) fail("--levels are at most %d", LEVELS);
        if (!read_number(item, 1e-6, 1, &n.level[n.count], &end) || *end)
            fail("--levels are between 0 and 1, not '%s'", item);
        n.count++;
    }
    return n;
}

/* alpha of a linear layer and its standard error, if they are known yet. */
typedef struct coefficient { int known; double alpha, error; } coefficient;

/* The coefficient of one linear layer: noise of several sizes in it alone. */
static coefficient measure_alpha(probe *p, uint32_t l, int linear, const noise_levels *noise)
{
    coefficient c = { 1, 0, 0 }; /* of weights that are all 0, which no noise relative to them changes */
    llmq_tensor *t = &p->m.model.layer[l].linear[linear], original = *t;
    size_t n = (size_t)t->rows * t->cols;
    double x[LEVELS], y[LEVELS];
    float *w = decode_all(t), *noisy = (float *)allocate(n * sizeof *w);
    unsigned char *data = (unsigned char *)allocate(n * 4);
    for (uint32_t k = 0; k < noise->count; k++) {
        double square = 0, power = 0;
        memcpy(noisy, w, n * sizeof *w);
        check(llmq_perturb(noisy, n, noise->level[k], l * LM_LINEARS + (uint32_t)linear + 1000 * k), "noise");
        for (size_t i = 0; i < n; i++) {
            square += ((double)noisy[i] - w[i]) * ((double)noisy[i] - w[i]), power += (double)w[i] * w[i];
            store_float(data + 4 * i, noisy[i]);
        }
        t->data = data;
        x[k] = power > 0 ? square / power : 0;
        y[k] = probe_change(p, l);
        t->data = original.data;
    }
    if (x[0] > 0) check(llmq_slope(x, y, noise->count, &c.alpha, &c.error), "the slope");
    free(w);
    free(noisy);
    free(data);
    return c;
}

/* Coefficients from a file of 'llmq alpha', of each linear layer in turn. */
typedef struct alphas {
    uint32_t count;               /* layers times LM_LINEARS */
    coefficient *of;
    uint32_t lines;               /* how many are known */
    span run;                     /* what the first line says they were made of, without "# " */
    int has_model;                /* does the file say of which model it is? Those of before version 0.7 do not */
    uint32_t model;
} alphas;

/* None is known. */
static void no_alphas(alphas *a, uint32_t layers)
{
    memset(a, 0, sizeof *a);
    a->count = layers * LM_LINEARS;
    a->of = (coefficient *)calloc(a->count, sizeof *a->of);
    if (!a->of) fail("no memory for coefficients of %u layers", layers);
}

/* Lines "NAME ALPHA ERROR" of text in memory, for a model of so many layers; # begins a comment.
   The last line may be cut off, as a run that was stopped leaves it: it counts only if it ends. */
static int read_alphas(alphas *a, const char *path, const char *text, size_t size, uint32_t layers, problem *p)
{
    size_t at = 0;
    uint32_t number = 0, layer;
    span line, field[3];
    char name[64];
    memset(a, 0, sizeof *a);
    if (size == 0) return wrong(p, "%s is empty; 'llmq alpha' makes such files", path);
    if (!is_text((const unsigned char *)text, size) || is_other_text((const unsigned char *)text, size))
        return wrong_kind(p, path, "is no file of 'llmq alpha'", (const unsigned char *)text, size);
    no_alphas(a, layers);
    while (next_line(text, size, &at, &line)) {
        int linear;
        uint32_t i;
        if (++number == 1 && line.n > 2 && line.s[0] == '#' && line.s[1] == ' ')
            a->run.s = line.s + 2, a->run.n = line.n - 2;
        if (read_model_line(line, &a->model)) a->has_model = 1;
        if (line.n == 0 || line.s[0] == '#') continue;
        if (at > size) break; /* no end of line: cut off */
        if (split_fields(line, field, 3) != 3 || !copy_field(name, sizeof name, field[0]))
            return wrong(p, "%s, line %u: not a tensor, its alpha and an error: %.*s", path, number,
                         (int)(line.n < 80 ? line.n : 80), line.s);
        if ((linear = linear_of(name, layers, &layer)) < 0)
            return wrong(p, "%s, line %u: the model has no linear layer %s", path, number, name);
        i = layer * LM_LINEARS + (uint32_t)linear;
        if (a->of[i].known) return wrong(p, "%s, line %u: a second line for %s", path, number, name);
        if (!real_number(field[1].s, field[1].n, &a->of[i].alpha)
            || !real_number(field[2].s, field[2].n, &a->of[i].error))
            return wrong(p, "%s, line %u: an alpha or an error that is not a number", path, number);
        a->of[i].known = 1;
        a->lines++;
    }
    return 1;
}

/* Coefficients from a file, for this model and all of its layers. */
static void open_alphas(alphas *a, const char *path, const loaded *m)
{
    problem p = { { NULL, 0, 0 } };
    size_t size;
    char *text = (char *)read_file(path, &size);
    read_alphas(a, path, text, size, m->model.layers, &p);
    stop_if(&p);
    if (a->has_model) same_model(m, path, a->model);
    else fprintf(stderr, "llmq: %s does not say which model it is of: it was made before version 0.7\n", path);
    for (uint32_t i = 0; i < a->count; i++)
        if (!a->of[i].known)
            fail("%s has no line for layers.%u.%s; 'llmq alpha' writes it", path, i / LM_LINEARS,
                 lm_linear_name[i % LM_LINEARS]);
    free(text);
    a->run.s = NULL, a->run.n = 0;
}

/* What is left of a run that was stopped, if the file is there: of the same run, or else it is not to be lost. */
static void resume_alphas(alphas *a, const char *path, const loaded *m, const char *run)
{
    FILE *f = open_to_read(path);
    problem p = { { NULL, 0, 0 } };
    size_t size = 0;
    char *text = NULL;
    no_alphas(a, m->model.layers);
    if (f) fclose(f), text = (char *)read_file(path, &size);
    if (size) {
        free(a->of);
        read_alphas(a, path, text, size, m->model.layers, &p);
        if ((p.what.n || !span_is(a->run, run)) && !force) {
            if (!p.what.n) (void)wrong(&p, "%.*s", (int)a->run.n, a->run.s ? a->run.s : "");
            fail("%s holds what another run has found, or something else (%s): give another --out; --force writes over "
                 "it", path, p.what.s ? p.what.s : "");
        }
        if (p.what.n || !span_is(a->run, run)) {
            free(a->of);
            no_alphas(a, m->model.layers);
        }
    }
    free(text);
    free(p.what.s);
    a->run.s = NULL, a->run.n = 0;
}

/* Coefficients that are being measured, a layer at a time on each thread. */
typedef struct alpha_run {
    const probe *p;
    const noise_levels *noise;
    const char *path, *head, *kept; /* of the model; first lines of the file, and its name or NULL */
    coefficient *of;                /* [count] */
    uint32_t count, next, done;
} alpha_run;

/* The file as far as it is known. */
static void say_alphas(words *text, const alpha_run *r)
{
    say(text, "%s", r->head);
    for (uint32_t i = 0; i < r->count; i++)
        if (r->of[i].known)
            say(text, "layers.%u.%s %.6g %.3g\n", i / LM_LINEARS, lm_linear_name[i % LM_LINEARS], r->of[i].alpha,
                r->of[i].error);
}

/* The next layer that is not known. r->count: none is left. */
static uint32_t take_layer(alpha_run *r)
{
    uint32_t i;
    take_lock();
    while (r->next < r->count && r->of[r->next].known) r->next++;
    i = r->next;
    if (i < r->count) r->next++;
    give_lock();
    return i;
}

/* Keeps a coefficient, in the file too, so that a run that is stopped loses only what is being
   measured. */
static void keep_alpha(alpha_run *r, uint32_t i, coefficient c)
{
    words text = { NULL, 0, 0 };
    take_lock();
    r->of[i] = c;
    say_alphas(&text, r);
    if (r->kept) write_file(r->kept, text.s, text.n);
    progress(r->done++, r->count, "layers");
    give_lock();
    free(text.s);
}

/* Measures layers until none is left. The text, its inputs of layers and its probabilities are those
   of all threads; layers that noise is put into, and memory to run them, are a thread's own. */
static void work_on_alphas(void *context)
{
    alpha_run *r = (alpha_run *)context;
    const size_t size = r->p->m.model.layers * sizeof(lm_layer);
    probe own = *r->p;
    uint32_t i;
    own.m.model.layer = (lm_layer *)memcpy(allocate(size), r->p->m.model.layer, size);
    open_windows(&own.m, r->path, own.window, own.window);
    while ((i = take_layer(r)) < r->count)
        keep_alpha(r, i, measure_alpha(&own, i / LM_LINEARS, (int)(i % LM_LINEARS), r->noise));
    free(own.m.model.layer);
    free(own.m.state.x); /* the first of its memory */
}

/* Measures all coefficients that are not known yet. Returns their sum. */
static double measure_alphas(alpha_run *r, int threads)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->count; i++) r->done += r->of[i].known != 0;
    run_threads(work_on_alphas, r, threads);
    for (uint32_t i = 0; i < r->count; i++) sum += r->of[i].alpha;
    progress(1, 1, "");
    return sum;
}

static int command_alpha(int argc, char **argv)
{
    const char *rest[1], *text = NULL, *out = NULL, *tokenizer = NULL, *metric = "kl", *list = "0.05,0.1,0.15,0.2";
    int random = 0, tokens = 2048, prefix = 1, window = 0, threads = 2;
    const option options[] = {
        OPT_INPUT("text", 0, "FILE", text, "measure the KL on this text"),
        OPT_WHOLE("random", 0, "N", random, 1, 1 << 24, "or on N random tokens, without any data"),
        OPT_TOKENS(tokens, "use only the first N of the text, 0: all"),
        OPT_WORD("metric", 0, "kl|loss", metric,
                 "kl: divergence from the model as it is; loss: of the text, whose exponential is perplexity"),
        OPT_LIST("levels", 0, "LIST", list,
                 "sizes t of the noise, relative to the weights: at most 8, above 0, at most 1"),
        OPT_NEEDED_OUTPUT("out", 'o', "FILE", out,
                          "where the lines go; a run that was stopped goes on from what is there"),
        OPT_WINDOW(window),
        OPT_THREADS(threads),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_END
    };
    static probe p;
    loaded m;
    noise_levels noise;
    double start = seconds(), sum;
    uint32_t count, width, *ids;
    const unsigned char *bytes;
    size_t size;
    words run = { NULL, 0, 0 }, head = { NULL, 0, 0 }, lines = { NULL, 0, 0 };
    alphas before;
    alpha_run r = { &p, &noise, NULL, NULL, NULL, NULL, 0, 0, 0 };
    parse(argc, argv, "alpha MODEL (--text FILE | --random N) --out FILE [options]", options, rest, 1, 1, -1);
    if (!text && !random) fail("--text FILE or --random N is needed");
    p.perplexity = strcmp(metric, "loss") == 0;
    if (p.perplexity && !text) fail("--metric loss needs --text FILE");
    noise = read_levels(list);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, "32");
    ids = probe_ids(&m, rest[0], text, random, tokens, &count);
    width = window_of(&m, window);
    describe_run(&run, &m, ids, 0, count, width, (int)noise.count);
    say(&run, "; %s", metric);
    for (uint32_t k = 0; k < noise.count; k++) say(&run, " %g", noise.level[k]);
    if (is_file(out)) r.kept = out;
    resume_alphas(&before, r.kept ? out : "", &m, run.s);
    probe_open(&p, &m.bundle, rest[0], ids, count, width);
    say(&head,
        "# %s\n# model %08x\n# alpha: nats of %s a token for an error |W - W'|^2 = |W|^2 of this layer; its standard "
        "error\n", run.s, fingerprint(&m.bundle), metric);
    r.path = rest[0], r.head = head.s, r.of = before.of, r.count = m.model.layers * LM_LINEARS;
    sum = measure_alphas(&r, threads);
    say_alphas(&lines, &r);
    write_file(out, lines.s, lines.n);
    fprintf(report(out), "%s: alpha of %u layers from %u tokens, %u levels, sum %.4g; %.2f s\n", out, r.count, count,
            noise.count, sum, seconds() - start);
    return 0;
}

/* ---- plans ---- */

/* What a file has beside the payloads of linear layers: parts of one that is written, without its grids. */
typedef struct rest_of_file {
    double payloads, entries, names;  /* bytes of payloads; how many entries; bytes of their names */
} rest_of_file;

/* Options of all layers: formats[menu] for each. */
typedef struct plan {
    uint32_t layers, menu;
    char (*name)[64];
    char (*format)[32];
    llmq_option *option;      /* [layers][menu] */
    double *weights, *alpha, *t2, *deviation;  /* [layers], [layers], [layers][menu], of that */
    double all;               /* weights of all layers */
    rest_of_file rest;
    double fixed;             /* bytes of the file that are not theirs */
    uint32_t *choice;         /* [layers]: which of the menu */
    llmq_allocation result;   /* of the linear and the uniform rule */
} plan;

/* How t^2 of a format is found: on rows of the layer; on as many Gaussian ones, which is what
   rotated rows look like; or on rows, encoded with feedback, with errors weighted by what the
   inputs are: E H E^T / (|W|^2 tr H / n). That is t^2 of the even noise that changes the outputs
   as much, and even noise is what alpha was measured with, so the same alpha holds. */
enum { ERRORS_ROWS, ERRORS_GAUSS, ERRORS_HESSIAN };

typedef struct error_meter {
    int kind;
    uint32_t rows;        /* how many, 0: all */
    const struct sums *sums; /* ERRORS_HESSIAN */
} error_meter;

/* v H v^T / (tr H / n), H packed */
static double quadratic_form(const llmq_hessian *h, const float *v)
{
    double sum = 0, trace = 0;
    for (size_t i = 0; i < h->cols; i++) {
        const float *row = h->h + i * (i + 1) / 2;
        double dot = 0.5 * (double)row[i] * v[i];
        for (size_t j = 0; j < i; j++) dot += (double)row[j] * v[j];
        sum += 2 * dot * v[i];
        trace += (double)row[i];
    }
    return trace > 0 ? sum / trace * h->cols : 0;
}

static void gaussian_row(float *w, uint32_t n, uint32_t seed)
{
    for (uint32_t j = 0; j < n; j++) w[j] = j ? 0.0f : 1.0f;
    /* of a size that does not matter, but for the first number, which it hides */
    check(llmq_perturb(w, n, 1, seed), "noise");
    w[0] = w[n - 1];
}

/* A sample of `count` rows: Gaussian ones, or evenly spaced rows of the tensor. */
static float *sample_rows(const llmq_tensor *from, uint32_t count, int kind, void *work, size_t work_size)
{
    float *w = (float *)allocate((size_t)count * from->cols * sizeof *w);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = (uint32_t)((uint64_t)i * from->rows / count);
        if (kind == ERRORS_GAUSS) gaussian_row(w + (size_t)i * from->cols, from->cols, i);
        else {
            rows_needed(from->data, row, row + 1);
            check(llmq_tensor_decode(from, row, w + (size_t)i * from->cols, work, work_size), "decoding");
        }
    }
    rows_done(from->data, from->row_size, 0, from->rows);
    return w;
}

/* t^2 of the rows w encoded as t, weighted by h if h is not NULL, and its standard error, from the
   spread over rows. */
static double error_of_rows(const llmq_tensor *t, const float *w, const llmq_hessian *h, void *work, size_t work_size,
                            double *deviation)
{
    double ratio = 0, squares = 0, square = 0, power = 0;
    float *back = (float *)allocate(t->cols * sizeof *back);
    for (uint32_t i = 0; i < t->rows; i++) {
        const float *row = w + (size_t)i * t->cols;
        double e = 0, q = 0;
        check(llmq_tensor_decode(t, i, back, work, work_size), "decoding");
        for (uint32_t j = 0; j < t->cols; j++) back[j] = row[j] - back[j];
        for (uint32_t j = 0; j < t->cols; j++) e += (double)back[j] * back[j], q += (double)row[j] * row[j];
        if (h) e = quadratic_form(h, back);
        square += e, power += q;
        if (q > 0) ratio += e / q, squares += e / q * (e / q);
    }
    ratio /= t->rows;
    *deviation = t->rows > 1 ? sqrt(fmax(0, squares / t->rows - ratio * ratio) / (t->rows - 1)) : 0;
    free(back);
    return power > 0 ? square / power : 0;
}

/* t^2 of a tensor in a format, and its standard error. */
static double error_of_format(const llmq_tensor *from, const char *name, const char *format, int group,
                              const llmq_transform *transform, const error_meter *meter, double *deviation)
{
    llmq_format f;
    llmq_tensor t;
    llmq_error error;
    llmq_hessian h, turned;
    llmq_feedback feedback;
    double t2;
    uint32_t count = meter->rows && meter->rows < from->rows ? meter->rows : from->rows;
    float *w, *sum = NULL, *other = NULL;
    void *data, *work, *factor = NULL;
    size_t size, work_size, need;
    uint32_t layer = 0;
    const int linear = linear_of(name, MOST_LAYERS, &layer);
    if (find_format(format, (uint32_t)group, &f)) fail("no format '%s' with group %d", format, group);
    data = allocate(size = llmq_tensor_size(&f, count, from->cols));
    check(llmq_tensor_init(&t, &f, transform, count, from->cols, data, size), format);
    work_size = larger(llmq_encode_work_size(&t), llmq_transform_work_size(transform, from->cols));
    if (meter->kind == ERRORS_HESSIAN && f.points && !f.zero_points) {
        char what[64];
        if (linear < 0) fail("%s is no linear layer that sums are made for", name);
        snprintf(what, sizeof what, "sense.%u.%s", layer, sense_name[sense_sum(linear, 0)]);
        sum = load_sum(meter->sums, what, from->cols, &h);
        other = load_sum(meter->sums, what, from->cols, &turned);
        work_size = larger(work_size,
                           larger(llmq_feedback_work_size(&t), llmq_hessian_transform_work_size(&h, transform)));
        work = allocate(work_size);
        if (transform->count) check(llmq_hessian_transform(&turned, transform, work, work_size), what);
        factor = allocate(need = llmq_feedback_size(&turned));
        check(llmq_feedback_init(&feedback, &t, &turned, NULL, factor, need, &error), what);
    } else {
        work = allocate(work_size);
    }
    w = sample_rows(from, count, meter->kind, work, work_size);
    if (factor ? llmq_feedback_encode(&t, data, 0, count, w, from->cols, &feedback, NULL, work, work_size, NULL, &error)
               : llmq_encode(&t, data, 0, count, w, from->cols, NULL, work, work_size, &error))
        fail("%s: a weight is not finite", name);
    t2 = error_of_rows(&t, w, factor ? &h : NULL, work, work_size, deviation);
    free(w), free(data), free(work), free(sum), free(other), free(factor);
    return t2;
}

static double padded(double bytes) { return ceil(bytes / 64) * 64; }

/* Costs, errors and losses of the menu. whole: costs are bytes of the file, payloads padded to
   64; else of the records only. */
static void fill_plan(plan *p, const loaded *m, const recipe *r, const char *menu, const char *alpha_path,
                      const error_meter *meter, int whole)
{
    const site_transform *made = transforms_for(&m->bundle, r);
    alphas alpha;
    char item[ITEM];
    memset(p, 0, sizeof *p);
    memset(&alpha, 0, sizeof alpha);
    if (alpha_path) open_alphas(&alpha, alpha_path, m);
    p->format = (char (*)[32])allocate(64 * sizeof *p->format);
    while (next_item(&menu, item)) {
        if (p->menu == 64) fail("--formats has more than %d", 64);
        if (strlen(item) >= sizeof *p->format) fail("no format '%s'", item);
        strcpy(p->format[p->menu++], item);
    }
    if (p->menu == 0) fail("--formats names no format");
    p->layers = m->model.layers * LM_LINEARS;
    p->name = (char (*)[64])allocate(p->layers * sizeof *p->name);
    p->option = (llmq_option *)allocate(p->layers * p->menu * sizeof *p->option);
    p->weights = (double *)allocate(p->layers * sizeof(double));
    p->alpha = (double *)allocate(p->layers * sizeof(double));
    p->t2 = (double *)allocate(p->layers * p->menu * sizeof(double));
    p->deviation = (double *)allocate(p->layers * p->menu * sizeof(double));
    p->choice = (uint32_t *)allocate(p->layers * sizeof(uint32_t));
    for (uint32_t i = 0; i < p->layers; i++) {
        const uint32_t l = i / LM_LINEARS, linear = i % LM_LINEARS;
        const llmq_tensor *t = &m->model.layer[l].linear[linear];
        snprintf(p->name[i], sizeof p->name[i], "layers.%u.%s", l, lm_linear_name[linear]);
        p->all += p->weights[i] = (double)t->rows * t->cols;
        p->alpha[i] = p->weights[i]; /* without coefficients: as if each weight mattered the same */
        if (alpha.of) p->alpha[i] = alpha.of[i].alpha;
        if (p->alpha[i] < 0) p->alpha[i] = 0;
        for (uint32_t k = 0; k < p->menu; k++) {
            llmq_format f;
            double bytes;
            if (find_format(p->format[k], (uint32_t)r->group, &f))
                fail("no format '%s' with group %d", p->format[k], r->group);
            bytes = (double)llmq_tensor_size(&f, t->rows, t->cols);
            p->t2[i * p->menu + k] = error_of_format(t, p->name[i], p->format[k], r->group,
                                                     &made[l * SITES + (uint32_t)site_of_linear[linear]].all, meter,
                                                     &p->deviation[i * p->menu + k]);
            p->option[i * p->menu + k].cost = (uint64_t)(whole ? padded(bytes) : bytes);
            p->option[i * p->menu + k].loss = p->alpha[i] * p->t2[i * p->menu + k];
        }
        progress(i, p->layers, p->name[i]);
    }
    progress(1, 1, "");
    free(alpha.of);
}

static rest_of_file measure_rest(const plan *p, const loaded *m, const recipe *r)
{
    recipe one = *r;
    sizes total;
    size_t size;
    rest_of_file rest = { 0, 0, 0 };
    unsigned char *bytes;
    llmq_bundle b;
    one.format = p->format[0];
    one.quiet = 1;
    bytes = quantize_bundle(&m->bundle, &one, &total, &size);
    check(llmq_bundle_open(&b, bytes, size, NULL), "the bundle");
    for (uint32_t i = 0; i < b.count; i++) {
        llmq_entry e;
        check(llmq_bundle_at(&b, i, &e), "the bundle");
        if (e.kind == LLMQ_KIND_GRID) continue;
        rest.entries++;
        rest.names += (double)strlen(e.name) + 1;
        if (e.kind != LLMQ_KIND_TENSOR || !is_linear(e.name)) rest.payloads += padded((double)e.size);
    }
    free(bytes);
    return rest;
}

/* The bytes of the file beside the payloads of linear layers, with the grids of the formats that
   are used: all, or those chosen. */
static double fixed_bytes(const plan *p, int chosen)
{
    rest_of_file sum = p->rest;
    for (uint32_t k = 0; k < p->menu; k++) {
        llmq_format f;
        int used = !chosen;
        for (uint32_t i = 0; i < k; i++) used = used && strcmp(p->format[i], p->format[k]) != 0;
        for (uint32_t i = 0; i < p->layers && !used && chosen; i++) used = p->choice[i] == k;
        if (!used || find_format(p->format[k], 0, &f) != LLMQ_OK || f.id != LLMQ_FORMAT_CUSTOM) continue;
        sum.entries++;
        sum.names += (double)strlen(grid_entry(&f)) + 1;
        sum.payloads += padded(12 + (double)llmq_grid_size(f.p, f.n));
    }
    return padded(64 + 64 * sum.entries + sum.names) + sum.payloads;
}

/* The rule that APTQ has: the largest scores get `high` until the budget is used up, the others `low`. */
static void plan_by_score(plan *p, const sensitivity *list, uint64_t budget, uint32_t high, uint32_t low,
                          const char *rule)
{
    uint64_t used = 0;
    double *score = (double *)allocate(p->layers * sizeof *score);
    for (uint32_t i = 0; i < p->layers; i++) {
        score[i] = strcmp(rule, "aptq") == 0 ? list[i].trace : list[i].carried;
        used += p->option[i * p->menu + low].cost;
        p->choice[i] = low;
    }
    if (used > budget) fail("not even all layers in %s fit", p->format[low]);
    for (uint32_t n = 0; n < p->layers; n++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < p->layers; i++)
            if (score[i] > score[best]) best = i;
        used += p->option[best * p->menu + high].cost - p->option[best * p->menu + low].cost;
        if (used > budget) break;
        p->choice[best] = high;
        score[best] = -1;
    }
    free(score);
}

static uint32_t menu_index(const plan *p, const char *format)
{
    uint32_t k = 0;
    while (k < p->menu && strcmp(p->format[k], format) != 0) k++;
    if (k == p->menu) fail("--formats has no %s", format);
    return k;
}

/* "wv=g8,layers.0=g6": tensors with this in their names have this format; with least: at least its bytes. */
static void restrict_plan(plan *p, const char *list, int least)
{
    char item[ITEM];
    while (next_item(&list, item)) {
        char *format = strchr(item, '=');
        uint32_t k, hits = 0;
        if (!format || format == item) fail("--pin and --least are lists of NAME=FORMAT, not '%s'", item);
        *format++ = 0;
        k = menu_index(p, format);
        for (uint32_t i = 0; i < p->layers; i++) {
            llmq_option *o = p->option + i * p->menu;
            if (!strstr(p->name[i], item)) continue;
            hits++;
            for (uint32_t j = 0; j < p->menu; j++)
                if (least ? o[j].cost < o[k].cost : j != k) o[j].loss = INFINITY;
        }
        if (!hits) fail("no tensor has '%s' in its name", item);
    }
}

enum { TIED_NONE, TIED_INPUTS, TIED_ALL };

/* The linear rule. tied: the formats of wq wk wv, and of w1 w3, are the same; or those of all layers. */
static void plan_best(plan *p, uint64_t budget, int tied)
{
    uint32_t *first = (uint32_t *)allocate((p->layers + 1) * sizeof *first),
        *tie = (uint32_t *)allocate(p->layers * sizeof *tie);
    size_t size = llmq_allocate_work_size(p->layers, p->layers * p->menu, 0);
    void *work = allocate(size);
    llmq_status status;
    for (uint32_t i = 0; i <= p->layers; i++) first[i] = i * p->menu;
    for (uint32_t i = 0; i < p->layers; i++)
        tie[i] = tied == TIED_ALL ? 0 : i / LM_LINEARS * SITES + (uint32_t)site_of_linear[i % LM_LINEARS];
    status = llmq_allocate(p->option, first, p->layers, tied ? tie : NULL, budget, p->choice, &p->result, work, size,
                           NULL);
    if (status == LLMQ_E_LIMIT && p->result.cost + 1 == 0)
        fail("a layer has no format that --pin and --least allow, or tied ones have none in common");
    if (status == LLMQ_E_LIMIT)
        fail("the budget is %.0f bytes for linear layers; the least these formats need is %.0f", (double)budget,
             (double)p->result.cost);
    check(status, "choosing formats");
    free(first), free(tie), free(work);
}

/* "1.2MB", "900k" or bytes: units of 1000. */
static double read_size(const char *text)
{
    const char *end;
    double v = 0;
    const int is_number = read_number(text, 0, 1e15, &v, &end);
    if (*end == 'k' || *end == 'K') v *= 1e3, end++;
    else if (*end == 'M') v *= 1e6, end++;
    else if (*end == 'G') v *= 1e9, end++;
    if (*end == 'B') end++;
    if (!is_number || *end || !(v >= 1 && v <= 1e15))
        fail("--size is a number of bytes from 1 to 1e15, as 900k or 1.2MB, not '%s'", text);
    return v;
}

/* The bytes of all linear layers in the chosen formats. */
static double cost_of(const plan *p)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->layers; i++) sum += (double)p->option[i * p->menu + p->choice[i]].cost;
    return sum;
}

/* The loss that the chosen formats make together, as foretold. */
static double foretold(const plan *p)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->layers; i++) sum += p->option[i * p->menu + p->choice[i]].loss;
    return sum;
}

static void write_plan(const plan *p, const recipe *r, const char *rule, const char *out, uint32_t model)
{
    const double bpw = 8 * cost_of(p) / p->all, loss = foretold(p);
    words text = { NULL, 0, 0 };
    say(&text,
        "# llmq plan --rule %s: %.4f bits a weight; tensor, format, group, transform; share of the foretold KL\n# "
        "model %08x\n", rule, bpw, model);
    for (uint32_t i = 0; i < p->layers; i++) {
        const uint32_t k = p->choice[i];
        say(&text, "%s %s %d %s  # %.3f bits, t2 %.5f, alpha %.4g, %.1f %%\n", p->name[i], p->format[k], r->group,
            transform_of(r), 8 * (double)p->option[i * p->menu + k].cost / p->weights[i], p->t2[i * p->menu + k],
            p->alpha[i], loss > 0 ? 100 * p->option[i * p->menu + k].loss / loss : 0);
    }
    write_file(out, text.s, text.n);
    free(text.s);
}

/* The same choice for llama.cpp's quantize --tensor-type-file: REGEX=TYPE lines, the type of the
   most bits that is not above the format's. */
static void write_types(const plan *p, const char *path)
{
    static const struct { double bits; const char *type; } types[] =
        { { 8.5, "q8_0" }, { 6.5625, "q6_k" }, { 5.5, "q5_k" }, { 4.5, "q4_k" }, { 3.4375, "q3_k" },
          { 2.625, "q2_k" } };
    words text = { NULL, 0, 0 };
    for (uint32_t i = 0; i < p->layers; i++) {
        const double bits = 8 * (double)p->option[i * p->menu + p->choice[i]].cost / p->weights[i];
        char name[64];
        size_t k = 0;
        /* theirs have about a quarter more for the same error */
        while (k + 1 < sizeof types / sizeof *types && types[k].bits > bits + 0.5) k++;
        check(imatrix_name_from_llmq(p->name[i], strlen(p->name[i]), name), p->name[i]);
        for (const char *c = name; *c; c++) say(&text, *c == '.' ? "\\%c" : "%c", *c);
        say(&text, "=%s\n", types[k].type);
    }
    write_file(path, text.s, text.n);
    free(text.s);
}

/* The formats of layers first ... last - 1, as a recipe has them. */
static void list_choices(const plan *p, uint32_t first, uint32_t last, choice *list)
{
    for (uint32_t i = first; i < last; i++, list++) {
        memcpy(list->name, p->name[i], sizeof list->name);
        memcpy(list->format, p->format[p->choice[i]], sizeof list->format);
        list->group = -1;
        list->line = 0;
    }
}

/* Each layer alone in its format: the KL it was said to make, and makes; and all of them together. */
static void measure_plan(const plan *p, const loaded *m, const char *path, recipe r, const char *text, int tokens,
                         FILE *said)
{
    static probe q;
    choice *choices = (choice *)allocate(p->layers * sizeof *choices);
    uint32_t count, *ids = text_ids(m, path, text, tokens, &count);
    double sum = 0, all = 0;
    probe_open(&q, &m->bundle, path, ids, count, usual_window(&m->model));
    r.format = NULL, r.quiet = 1, r.choices = choices;
    fprintf(said, "%-16s %-7s %8s %12s %12s\n", "layer alone", "format", "bits/w", "foretold KL", "measured KL");
    for (uint32_t i = 0; i <= p->layers; i++) { /* the last time all of them */
        const uint32_t first = i < p->layers ? i : 0, last = i < p->layers ? i + 1 : p->layers,
            k = i < p->layers ? i * p->menu + p->choice[i] : 0;
        probe one = q;
        unsigned char *bytes;
        sizes total;
        size_t size;
        double kl;
        list_choices(p, first, last, choices);
        r.choice_count = last - first;
        bytes = quantize_bundle(&q.m.bundle, &r, &total, &size);
        open_model(&one.m, path, bytes, size, 0, "32");
        open_windows(&one.m, path, q.window, q.window);
        one.m.quiet = 1;
        kl = probe_change(&one, first / LM_LINEARS);
        if (i < p->layers) sum += p->option[k].loss, all += kl;
        if (i < p->layers)
            fprintf(said, "%-16s %-7s %8.3f %12.5f %12.5f\n", p->name[i], p->format[p->choice[i]],
                    8 * (double)p->option[k].cost / p->weights[i], p->option[k].loss, kl);
        else fprintf(said, "%-33s %12.5f %12.5f\n%-33s %12.5f %12.5f\n", "sum", sum, all, "all together", sum, kl);
        close_model(&one.m);
    }
    free(choices);
}

#define MENU "t1,t2,t3,t4,g5,g6,g8"

/* The options of a plan that are not options of its recipe. */
typedef struct plan_options {
    const char *size, *rule, *menu, *high, *low, *pins, *least;
    const char *alpha_path, *sums_path, *errors;
    double bpw, ratio;
    int rows, tied;
    int is_linear, is_uniform;  /* the rule */
} plan_options;

/* Chooses the rule if none is given. Stops before the work if an option is missing or wrong. */
static void check_plan_options(plan_options *o)
{
    if (!o->rule) o->rule = o->alpha_path ? "linear" : "aptq";
    o->is_linear = strcmp(o->rule, "linear") == 0, o->is_uniform = strcmp(o->rule, "uniform") == 0;
    if (o->is_linear && !o->alpha_path) fail("--rule linear needs --alpha FILE; 'llmq alpha' makes it");
    if (!o->is_linear && !o->is_uniform && !o->sums_path)
        fail("--rule %s needs --hessian FILE; 'llmq sense' makes it", o->rule);
    if ((o->size != NULL) + (o->bpw > 0) + (o->ratio >= 0) != 1)
        fail("one of --size, --bpw and (for aptq, carried) --ratio is needed");
    if (o->size) (void)read_size(o->size);
}

/* How errors are measured, and the sums of inputs that the measurement or the rule needs. */
static error_meter open_meter(const plan_options *o, const loaded *m)
{
    error_meter meter = { ERRORS_ROWS, (uint32_t)o->rows, NULL };
    if (strcmp(o->errors, "gauss") == 0) meter.kind = ERRORS_GAUSS;
    else if (strcmp(o->errors, "hessian") == 0) meter.kind = ERRORS_HESSIAN;
    if (meter.kind == ERRORS_HESSIAN && !o->sums_path) fail("--errors hessian needs --hessian FILE");
    if (o->sums_path) meter.sums = open_sums(o->sums_path);
    tie_sums(meter.sums, m);
    return meter;
}

/* The budget of the linear layers in bytes: a size of the file without its other parts; a share of
   the way from all layers in `low` to all in `high`; or bits a weight. */
static uint64_t budget_of(const plan *p, const plan_options *o)
{
    double lows = 0, highs = 0;
    if (o->size) {
        const double size = read_size(o->size);
        if (size < p->fixed) fail("the file has %.0f bytes without its linear layers", p->fixed);
        return (uint64_t)(size - p->fixed);
    }
    if (o->ratio < 0) return (uint64_t)(o->bpw * p->all / 8 * (1 + 1e-12));
    for (uint32_t i = 0; i < p->layers; i++) {
        lows += (double)p->option[i * p->menu + menu_index(p, o->low)].cost;
        highs += (double)p->option[i * p->menu + menu_index(p, o->high)].cost;
    }
    return (uint64_t)(lows + o->ratio * (highs - lows) * (1 + 1e-9));
}

/* Chooses a format for each layer by the rule. */
static void choose_formats(plan *p, const plan_options *o, const loaded *m, const struct sums *from)
{
    const uint64_t budget = budget_of(p, o);
    uint32_t count;
    if (o->pins) restrict_plan(p, o->pins, 0);
    if (o->least) restrict_plan(p, o->least, 1);
    if (o->is_linear || o->is_uniform)
        plan_best(p, budget, o->is_uniform ? TIED_ALL : o->tied ? TIED_INPUTS : TIED_NONE);
    else
        plan_by_score(p, sensitivities(m, from, &count), budget, menu_index(p, o->high), menu_index(p, o->low),
                      o->rule);
}

/* Plans for a model: measures the menu, then chooses. With a size, also counts the other bytes of the
   file. */
static void make_plan(plan *p, const plan_options *o, const loaded *m, const recipe *r)
{
    const error_meter meter = open_meter(o, m);
    fill_plan(p, m, r, o->menu, o->alpha_path, &meter, o->size != NULL);
    if (o->size) {
        p->rest = measure_rest(p, m, r);
        p->fixed = fixed_bytes(p, 0);
    }
    choose_formats(p, o, m, meter.sums);
    if (o->size) p->fixed = fixed_bytes(p, 1);
}

static void print_plan(FILE *said, const plan *p, const plan_options *o, double start)
{
    const double cost = cost_of(p), loss = foretold(p);
    fprintf(said, "rule %s: %.0f bytes in linear layers, %.4f bits a weight", o->rule, cost, 8 * cost / p->all);
    if (o->size) {
        const double size = read_size(o->size), whole = cost + p->fixed;
        fprintf(said, "; file of %.0f bytes, %.2f %% of the size asked for", whole, 100 * whole / size);
    }
    if (o->alpha_path) fprintf(said, "; foretold KL %.5f", loss);
    if (o->is_linear) {
        const double bound = p->result.bound, best = p->result.loss;
        fprintf(said, ", %s", bound == best ? "proven the least" : "");
        if (bound < best) fprintf(said, "at most %.2g %% above the least", 100 * (best - bound) / best);
    }
    fprintf(said, "; %.2f s\n", seconds() - start);
}

static int command_plan(int argc, char **argv)
{
    recipe r = default_recipe;
    plan_options o = { NULL, NULL, MENU, "t4", "t2", NULL, NULL, NULL, NULL, "rows", 0, -1, 64, 0, 0, 0 };
    const char *rest[1], *out = "-", *tokenizer = NULL, *types = NULL, *text = NULL;
    int tokens = 2048;
    const option options[] = {
        OPT_TEXT("size", 0, "BYTES", o.size, "of the whole file, as 1.2MB: never over it"),
        OPT_REAL("bpw", 0, "X", o.bpw, 0.01, 64, "or: stored bits a weight of the linear layers"),
        OPT_WORD("rule", 0, "linear|uniform|aptq|carried", o.rule,
                 "linear: the least foretold KL, exactly; uniform; aptq, carried: by trace, by trace x gain; not "
                 "given: linear with --alpha, else aptq"),
        OPT_INPUT("alpha", 0, "FILE", o.alpha_path, "of 'llmq alpha', for linear"),
        OPT_INPUT("hessian", 0, "FILE", o.sums_path, "sums of 'llmq sense', for aptq and carried"),
        OPT_REAL("ratio", 0, "R", o.ratio, 0, 1,
                 "aptq, carried, in place of a size: the share of the weights in the high format"),
        OPT_LIST("formats", 0, "LIST", o.menu, "to choose from"),
        OPT_TEXT("high", 0, "NAME", o.high, "aptq, carried: format of the layers with the largest score"),
        OPT_TEXT("low", 0, "NAME", o.low, "and of the others"),
        OPT_LIST("pin", 0, "LIST", o.pins, "NAME=FORMAT: tensors with NAME in theirs have this format"),
        OPT_LIST("least", 0, "LIST", o.least, "NAME=FORMAT: these have it or a larger one"),
        OPT_SWITCH("tie", 0, o.tied, "1: wq wk wv have one format, w1 w3 too"),
        OPT_WORD("errors", 0, "rows|gauss|hessian", o.errors,
                 "t2 on rows of the layer, on gauss rows, or by hessian: of outputs, with feedback, from --hessian"),
        OPT_WHOLE("rows", 0, "N", o.rows, 0, MOST_TOKENS, "rows of each layer that errors are measured on, 0: all"),
        OPT_GROUP(r.group, "columns that share a scale"),
        OPT_TEXT("transform", 0, "NAME", r.transform, "of layer inputs"),
        OPT_TEXT("embed", 0, "NAME", r.embed, "of embedding and classifier, as --size counts them"),
        OPT_INPUT("measure", 0, "TEXT", text,
                  "print what each layer alone makes in its format, beside what was foretold"),
        OPT_TOKENS(tokens, "of that, only the first N, 0: all"),
        OPT_OUTPUT("tensor-types", 0, "FILE", types,
                   "also write the choice for llama.cpp's quantize --tensor-type-file, types of about these bits"),
        OPT_OUTPUT("out", 'o', "FILE", out, "the recipe, for quantize --recipe; '-': printed"),
        OPT_TOKENIZER(tokenizer),
        OPT_EPSILON,
        OPT_END
    };
    loaded m;
    plan p;
    size_t size;
    const unsigned char *bytes;
    const double start = seconds();
    parse(argc, argv, "plan MODEL (--size BYTES | --bpw X) --alpha FILE [options]", options, rest, 1, 1, -1);
    check_plan_options(&o);
    bytes = read_model(rest[0], tokenizer, 1, &size);
    open_model(&m, rest[0], bytes, size, 0, "32");
    make_plan(&p, &o, &m, &r);
    write_plan(&p, &r, o.rule, out, fingerprint(&m.bundle));
    if (types) write_types(&p, types);
    if (text) measure_plan(&p, &m, rest[0], r, text, tokens, report(out));
    print_plan(report(out), &p, &o, start);
    return 0;
}

/* ---- how well the theorem holds ---- */

/* A choice of formats near a random number of bits. What most draws miss, a million of them do not find. */
static void draw_plan(plan *p, uint32_t seed, double low, double high)
{
    uint32_t counter = 0, most = 0;
    double cost;
    do {
        const double middle = low + (high - low) * (llmq_random(seed, counter++) / 4294967296.0);
        cost = 0;
        for (uint32_t i = 0; i < p->layers; i++) {
            double bits;
            do {
                p->choice[i] = (uint32_t)((uint64_t)llmq_random(seed, counter++) * p->menu >> 32);
                bits = 8 * (double)p->option[i * p->menu + p->choice[i]].cost / p->weights[i];
                if (++most > 1000000) fail("--formats make no recipes of %g to %g bits a weight", low, high);
            } while (bits < middle - 1.5 || bits > middle + 1.5);
            cost += (double)p->option[i * p->menu + p->choice[i]].cost;
        }
    } while (8 * cost / p->all < low || 8 * cost / p->all > high);
}

/* 1 - sum (y - x)^2 / sum (y - mean)^2: how much of y is foretold by x itself, not by a line through it. */
static double determination(const double *x, const double *y, uint32_t n)
{
    double mean = 0, rest = 0, all = 0;
    for (uint32_t i = 0; i < n; i++) mean += y[i] / n;
    for (uint32_t i = 0; i < n; i++) rest += (y[i] - x[i]) * (y[i] - x[i]), all += (y[i] - mean) * (y[i] - mean);
    return all > 0 ? 1 - rest / all : 0;
}

static void print_linearity(const double *bits, const double *x, const double *y, uint32_t n, uint32_t above,
                            const char *key)
{
    int tsv = getenv("TSV") && *getenv("TSV");
    if (!tsv) printf("%8s %12s %12s %8s\n", "bits/w", "foretold KL", "measured KL", "ratio");
    for (uint32_t i = 0; i < n; i++) {
        if (tsv)
            printf("eval.%s.linearity.%u.bpw\t%.6g\n"
                   "eval.%s.linearity.%u.foretold\t%.6g\n"
                   "eval.%s.linearity.%u.kl\t%.6g\n", key, i, bits[i], key, i, x[i], key, i, y[i]);
        else printf("%8.3f %12.5f %12.5f %8.3f%s\n", bits[i], x[i], y[i], y[i] / x[i], i + 1 == above ? "\n" : "");
    }
    if (tsv)
        printf("eval.%s.linearity.r2\t%.6g\neval.%s.linearity.below.r2\t%.6g\n", key, determination(x, y, above), key,
               determination(x + above, y + above, n - above));
    else
        printf("R2 of the first %u: %.4f; of the %u below: %.4f\n", above, determination(x, y, above), n - above,
               determination(x + above, y + above, n - above));
}

/* Recipes to draw: so many between low and high bits a weight, and so many between lowest and low. */
typedef struct draws {
    int recipes, below;
    double low, high, lowest;
} draws;

static void check_draws(const draws *d)
{
    if (d->recipes + d->below >= MOST) fail("--recipes and --below are at most %d together", MOST - 1);
    if (!(d->low < d->high)) fail("--low is %g, --high is %g: the first is less than the second", d->low, d->high);
    if (d->below && !(d->lowest < d->low))
        fail("--lowest is %g, --low is %g: the first is less than the second", d->lowest, d->low);
}

/* Draws recipes and opens the model in each; bits: bits a weight; x: the KL that is foretold. */
static void open_drawn(contestant *c, const draws *d, plan *p, const llmq_bundle *from, const char *path, recipe r,
                       uint32_t window, double *bits, double *x)
{
    const uint32_t above = (uint32_t)d->recipes, n = above + (uint32_t)d->below;
    choice *choices = (choice *)allocate(p->layers * sizeof *choices);
    r.quiet = 1;
    r.choices = choices;
    r.choice_count = p->layers;
    for (uint32_t k = 0; k < n; k++) {
        sizes total;
        size_t size;
        unsigned char *bytes;
        draw_plan(p, k + 1, k < above ? d->low : d->lowest, k < above ? d->high : d->low);
        list_choices(p, 0, p->layers, choices);
        bytes = quantize_bundle(from, &r, &total, &size);
        open_model(&c[k].m, path, bytes, size, 0, "32");
        open_windows(&c[k].m, path, window, 16);
        bits[k] = 8 * total.bytes / total.weights;
        x[k] = foretold(p);
        progress(k, n, "recipes");
    }
    free(choices);
}

static int command_linearity(int argc, char **argv)
{
    recipe r = default_recipe;
    const char *rest[1], *alpha_path = NULL, *text = NULL, *menu = MENU, *tokenizer = NULL, *key = "model";
    draws d = { 24, 8, 3, 5, 2.3 };
    int tokens = 4096, threads = 2, prefix = 1;
    const option options[] = {
        OPT_NEEDED_INPUT("alpha", 0, "FILE", alpha_path, "of 'llmq alpha'"),
        OPT_NEEDED_INPUT("text", 0, "FILE", text, "what to measure on"),
        OPT_TOKENS(tokens, "only the first N, 0: all"),
        OPT_WHOLE("recipes", 0, "N", d.recipes, 2, MOST - 1, "random ones between --low and --high bits a weight"),
        OPT_WHOLE("below", 0, "N", d.below, 0, MOST - 3, "and between --lowest and --low"),
        OPT_REAL("low", 0, "X", d.low, 0, 64, "bits a weight"),
        OPT_REAL("high", 0, "X", d.high, 0, 64, "bits a weight"),
        OPT_REAL("lowest", 0, "X", d.lowest, 0, 64, "bits a weight"),
        OPT_LIST("formats", 0, "LIST", menu, "to draw from"),
        OPT_GROUP(r.group, "columns that share a scale"),
        OPT_TEXT("transform", 0, "NAME", r.transform, "of layer inputs"),
        OPT_THREADS(threads),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_FORCE,
        OPT_KEY(key, "with TSV=1 in the environment: lines eval.NAME..."),
        OPT_END
    };
    const error_meter meter = { ERRORS_ROWS, 64, NULL };
    static contestant c[MOST];
    double bits[MOST], x[MOST], y[MOST];
    loaded m;
    plan p;
    uint32_t n, count, window, *ids;
    const unsigned char *bytes;
    size_t size;
    parse(argc, argv, "linearity MODEL --alpha FILE --text FILE [options]", options, rest, 1, 1, -1);
    check_draws(&d);
    n = (uint32_t)(d.recipes + d.below);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, "32");
    fill_plan(&p, &m, &r, menu, alpha_path, &meter, 0);
    window = usual_window(&m.model);
    open_original(&c[0], &m.bundle, rest[0], window);
    open_drawn(c + 1, &d, &p, &m.bundle, rest[0], r, window, bits, x);
    ids = text_ids(&m, rest[0], text, tokens, &count);
    count = measure(c, (int)n + 1, ids, count, window, threads);
    for (uint32_t k = 0; k < n; k++) y[k] = c[k + 1].kl / count;
    print_linearity(bits, x, y, n, (uint32_t)d.recipes, key);
    return 0;
}
