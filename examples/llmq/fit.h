/* fit.h - the part of the tool llmq.c that makes transforms of layer inputs from a text. Not a
   header for others: llmq.h section 17 is. */

enum { SITE_FEED, SITE_DOWN, SITE_ATTENTION, SITE_OUTPUT, SITES };  /* inputs of w1 w3, of w2, of wq wk wv, of wo */
static const char *const site_name[SITES] = { "feed", "down", "attention", "output" };
static const int site_of_linear[LM_LINEARS] = { SITE_ATTENTION, SITE_ATTENTION, SITE_ATTENTION, SITE_OUTPUT,
                                                   SITE_FEED, SITE_DOWN, SITE_FEED };

/* Which steps can be folded into what computes the input of a site: gains of norms are divided, and
   rows of w1 and w3 are divided and moved. Rows of wv are not, since heads of wo share them. Nor are
   rows of w1 and w3 where a norm stands between them and w2: the norm takes a division back. */
static int site_folds(const lm_model *m, int site)
{
    if (site == SITE_DOWN) return m->vectors >> LM_DNORM & 1 ? 0 : LLMQ_FOLD_SMOOTH | LLMQ_FOLD_PERMUTE;
    return site == SITE_OUTPUT ? 0 : LLMQ_FOLD_SMOOTH;
}

/* A transform of a layer input: tensors are encoded with all of it, and stored with what is left
   when `folded` is folded. */
typedef struct site_transform {
    llmq_transform all, folded, rest;
    uint32_t cols;
    unsigned char *data;
} site_transform;

/* ---- what is asked for ---- */

static const char *transform_of(const recipe *r)
{
    return r->transform ? r->transform : r->calib ? "zigzag" : "hadamard";
}

/* Steps from their names with + between them; a number behind a name is its block. blocks are 0 where none is given. */
static int parse_steps(llmq_transform *steps, const char *text, problem *p)
{
    static const char *const name[4] = { "hadamard", "smooth", "permute", "rotate" };
    static const char *const alias[3][2] = { { "none", "" }, { "zigzag", "smooth+permute+hadamard" },
                                             { "duquant", "smooth+rotate+permute+rotate" } };
    llmq_transform t;
    const char *at = text;
    int more = 1;
    memset(steps, 0, sizeof *steps);
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 3; i++)
        if (strcmp(text, alias[i][0]) == 0) at = alias[i][1], more = i > 0;
    while (more) {
        size_t n = strcspn(at, "+0123456789"), digits = strspn(at + n, "0123456789");
        uint32_t block = 0;
        int kind = 0;
        while (kind < 4 && (strlen(name[kind]) != n || strncmp(name[kind], at, n) != 0)) kind++;
        if (n == 0 && at[n] == 0 && t.count) return wrong(p, "a step is missing behind the last + of '%s'", text);
        if (kind < 4 && at[n] && at[n] != '+'
            && (!whole_number(at + n, digits, 65535, &block) || block == 0
                || (at[n + digits] && at[n + digits] != '+')))
            return wrong(p, "a step's block is a whole number from 1 to 65535, not as in '%s'", text);
        if (kind == 4 || t.count == LLMQ_MAX_STEPS)
            return wrong(p,
                         "transforms are none, zigzag, duquant, or up to %d of hadamard smooth permute rotate with + "
                         "between them, not '%s'", LLMQ_MAX_STEPS, text);
        t.step[t.count].kind = (uint16_t)(kind + 1);
        t.step[t.count].block = (uint16_t)block;
        t.count++;
        at += n + digits;
        more = *at++ == '+';
    }
    *steps = t;
    return 1;
}

static llmq_transform read_steps(const char *text)
{
    llmq_transform t;
    problem p = { { NULL, 0, 0 } };
    parse_steps(&t, text, &p);
    stop_if(&p);
    return t;
}

static int needs_text(const llmq_transform *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->step[i].kind != LLMQ_STEP_HADAMARD) return 1;
    return 0;
}

/* Bytes of the data of all its steps. */
static size_t transform_bytes(const llmq_transform *t)
{
    size_t n = 0;
    for (uint32_t i = 0; i < t->count; i++) n += llmq_step_data_size(&t->step[i]);
    return n;
}

/* The largest power of two up to 128 that divides cols; 128 if that would be below 32. */
static uint16_t usual_block(uint32_t cols)
{
    uint16_t b = 128;
    while (b >= 32 && cols % b) b = (uint16_t)(b / 2);
    return b >= 32 ? b : 128;
}

/* Those steps for vectors of cols numbers. */
static llmq_transform shaped(const llmq_transform *steps, uint32_t cols, uint32_t seed, uint32_t block)
{
    llmq_transform t = *steps;
    int permuted = 0;
    for (uint32_t i = 0; i < t.count; i++) {
        llmq_step *step = &t.step[i];
        if (step->kind == LLMQ_STEP_PERMUTE) permuted = 1;
        if (step->kind == LLMQ_STEP_SMOOTH || step->kind == LLMQ_STEP_PERMUTE) {
            step->block = 0;
            step->arg = cols;
        } else if (step->kind == LLMQ_STEP_ROTATE) {
            if (!step->block) step->block = usual_block(cols);
            step->arg = 1;
        } else {
            if (!step->block)
                step->block = (uint16_t)(block ? block : permuted ? usual_block(cols) : LLMQ_DEFAULT_BLOCK);
            step->arg = seed;
        }
    }
    return t;
}

/* ---- making it ---- */

typedef struct fit_layer {
    llmq_sample sample[SITES];
    float *memory[SITES];
} fit_layer;

static llmq_status watch_inputs(void *context, int place, uint32_t layer, const lm_state *s, uint32_t count,
                                uint32_t position)
{
    llmq_sample *sample = ((fit_layer *)context)->sample;
    (void)layer, (void)position;
    if (place == LM_AT_ATTENTION) sample += SITE_ATTENTION;
    else if (place == LM_AT_OUTPUT) sample += SITE_OUTPUT;
    else if (place == LM_AT_FEED) sample += SITE_FEED;
    else if (place == LM_AT_DOWN) sample += SITE_DOWN;
    else return LLMQ_OK;
    return llmq_sample_add(sample, place == LM_AT_OUTPUT ? s->attention : place == LM_AT_DOWN ? s->gate
                           : s->normed, sample->cols, count, NULL);
}

static uint32_t site_cols(const lm_model *m, int site)
{
    return site == SITE_DOWN ? m->hidden : site == SITE_OUTPUT ? m->heads * m->head : m->dim;
}

static void fit_layer_open(fit_layer *f, const lm_model *m, uint32_t room)
{
    for (int i = 0; i < SITES; i++) {
        size_t size = llmq_sample_size(site_cols(m, i), room);
        f->memory[i] = (float *)allocate(size);
        check(llmq_sample_init(&f->sample[i], site_cols(m, i), room, 1, f->memory[i], size), "a sample of inputs");
    }
}

/* Peaks of the weights that read the input of a site. */
static float *weight_peaks(const lm_layer *layer, int site, uint32_t cols)
{
    float *peak = (float *)allocate(cols * sizeof *peak);
    memset(peak, 0, cols * sizeof *peak);
    for (int i = 0; i < LM_LINEARS; i++) {
        float *w;
        if (site_of_linear[i] != site) continue;
        w = decode_all(&layer->linear[i]);
        check(llmq_peaks(w, cols, layer->linear[i].rows, cols, peak, NULL), lm_linear_name[i]);
        free(w);
    }
    return peak;
}

static int show_fit(void *context, uint32_t done, uint32_t total)
{
    progress(done == total ? done - 1 : done, total, (const char *)context);
    return 0;
}

static void fit_site(site_transform *out, const lm_layer *layer, int site, llmq_sample *s, const recipe *r,
                     char *name)
{
    llmq_fit_options o = llmq_fit_defaults();
    size_t size = transform_bytes(&out->all), work_size = llmq_fit_work_size(&out->all, s->cols);
    float *peak = weight_peaks(layer, site, s->cols);
    void *work = allocate(work_size);
    out->data = (unsigned char *)allocate(size);
    o.alpha = (float)r->alpha;
    o.steps = (uint32_t)r->steps;
    o.criterion = strcmp(r->criterion, "peak") == 0 ? LLMQ_CRITERION_PEAK : strcmp(r->criterion, "range") == 0
                  ? LLMQ_CRITERION_RANGE : LLMQ_CRITERION_ERROR;
    o.seed = (uint32_t)r->seed;
    o.progress = show_fit;
    o.context = name;
    check(llmq_transform_fit(&out->all, s, peak, &o, out->data, size, work, work_size), name);
    free(work);
    free(peak);
}

/* Tokens of the windows that texts are cut into where no other number is asked for. Memory to run
   them does not grow with the context of a model. */
#define USUAL_WINDOW 512u

static uint32_t usual_window(const lm_model *m) { return m->context < USUAL_WINDOW ? m->context : USUAL_WINDOW; }

/* Memory to run windows of so many tokens, up to `batch` of them in a call. */
static void open_windows(loaded *m, const char *path, uint32_t window, uint32_t batch)
{
    set_cache(m, 32, (int)window);
    open_window(m, path, batch);
}

static void run_layer(loaded *m, uint32_t l, float *hidden, uint32_t count, uint32_t window, lm_watcher watch,
                      void *context);
static float *embed_windows(loaded *m, const uint32_t *ids, uint32_t count, uint32_t window);

#define SAMPLE_ROOM 256

/* All sites of all layers, [layers][SITES]. Steps that need no text need no model run. */
static site_transform *make_transforms(loaded *m, const char *path, const recipe *r)
{
    llmq_transform steps = read_steps(transform_of(r));
    const uint32_t layers = m->model.layers, window = usual_window(&m->model);
    site_transform *out = (site_transform *)allocate((size_t)layers * SITES * sizeof *out), *t = out;
    uint32_t *ids = NULL, count = 0;
    float *hidden = NULL;
    if (needs_text(&steps)) {
        ids = text_ids(m, path, r->calib, r->calib_tokens, &count);
        hidden = embed_windows(m, ids, count, window);
    }
    for (uint32_t l = 0; l < layers; l++) {
        fit_layer f;
        if (hidden) {
            fit_layer_open(&f, &m->model, SAMPLE_ROOM);
            run_layer(m, l, hidden, count, window, watch_inputs, &f);
        }
        for (uint32_t site = 0; site < SITES; site++, t++) {
            char name[48];
            uint32_t folds;
            memset(t, 0, sizeof *t);
            t->cols = site_cols(&m->model, (int)site);
            t->all = shaped(&steps, t->cols, (uint32_t)r->seed + l * SITES + site, (uint32_t)r->block);
            snprintf(name, sizeof name, "transform %u.%s", l, site_name[site]);
            if (hidden) {
                fit_site(t, &m->model.layer[l], (int)site, &f.sample[site], r, name);
                free(f.memory[site]);
            }
            folds = r->fold ? llmq_transform_foldable(&t->all, site_folds(&m->model, (int)site)) : 0;
            check(llmq_transform_split(&t->all, folds, &t->folded, &t->rest), name);
        }
    }
    progress(1, 1, "");
    free(hidden);
    free(ids);
    return out;
}

/* The transforms that a recipe asks for, for the model of a bundle; made once. The model runs as
   floats, which its numbers are then converted to beforehand. */
static const site_transform *transforms_for(const llmq_bundle *b, const recipe *r)
{
    typedef struct known { const llmq_bundle *bundle; char *what; site_transform *made; struct known *next; } known;
    static known *cache;
    known *k = cache;
    words what = { NULL, 0, 0 }; /* all that they depend on */
    int text;
    llmq_transform steps = read_steps(transform_of(r));
    loaded m;
    say(&what, "%s %d %d %.17g %d %s %d %d %s", transform_of(r), r->seed, r->block, r->alpha, r->steps, r->criterion,
        r->fold, r->calib_tokens, r->calib ? r->calib : "");
    while (k && (k->bundle != b || strcmp(k->what, what.s) != 0)) k = k->next;
    if (k) {
        free(what.s);
        return k->made;
    }
    text = needs_text(&steps);
    if (text && !r->calib) fail("--transform %s is made from a text: --calib FILE is missing", transform_of(r));
    if (text) {
        size_t size;
        const unsigned char *bytes = as_floats(b, &size);
        open_model(&m, "the model", bytes, size, 0, "32");
        open_windows(&m, "the model", usual_window(&m.model), usual_window(&m.model));
    } else {
        borrow_model(&m, b); /* only its shape matters */
    }
    k = (known *)allocate(sizeof *k);
    k->bundle = b;
    k->what = what.s;
    k->made = make_transforms(&m, "the model", r);
    k->next = cache, cache = k;
    close_model(&m);
    return k->made;
}
