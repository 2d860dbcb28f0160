/* measure.h - the commands ppl and compare: perplexity, and divergence from another model. A
   part of the tool llmq.c, not a header for others. */

/* ---- measuring ------------------------------------------------------------------------------- */

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
        check(lm_forward(&c->m.model, &c->m.state, c->window + i, n, i, c->logits + (size_t)i * c->m.model.vocab),
              "running the model");
        check_logits(&c->m, c->logits + (size_t)i * c->m.model.vocab, n);
    }
}

/* Jobs for the threads: contestant i of n is taken by whoever comes first. */
typedef struct job_list {
    contestant *c;
    int n, next;
} job_list;

static void work_off(void *context)
{
    job_list *l = (job_list *)context;
    while (1) {
        int i;
        take_lock();
        i = l->next++;
        give_lock();
        if (i >= l->n) return;
        run_window(&l->c[i]);
    }
}

static void run_all(contestant *c, int n, int threads)
{
    job_list l;
    l.c = c, l.n = n, l.next = 0;
    run_threads(work_off, &l, threads < n ? threads : n);
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

/* Windows of `window` tokens, each from BOS at position 0, or else from the token before; every token
   is scored. Returns the number of tokens. */
static uint32_t measure(contestant *c, int n, const uint32_t *ids, uint32_t count, uint32_t window, int threads)
{
    uint32_t vocab = c->m.model.vocab, done, *input = (uint32_t *)allocate(window * sizeof *input);
    double *reference = (double *)allocate(2 * vocab * sizeof *reference);
    for (int k = 0; k < n; k++) c[k].logits = (float *)allocate((size_t)window * vocab * sizeof(float));
    for (done = 0; done < count; done += c->length) {
        uint32_t length = count - done < window ? count - done : window;
        input[0] = begins_with_bos(&c[0].m) || done == 0 ? bos_of(&c[0].m) : ids[done - 1];
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
    const unsigned char *text = map_file(path, &size);
    uint32_t *ids = encode_text(m, model_path, (const char *)text, size, count);
    release(text);
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

#include "kld.h"

#define PPL_MOST 8

/* A model to be scored, with a cache of so many bits. */
static void open_scored(contestant *c, const char *path, const char *tokenizer, int prefix, const char *abits, int bits)
{
    size_t size;
    const unsigned char *bytes = read_model(path, tokenizer, prefix, &size);
    open_model(&c->m, path, bytes, size, 0, abits);
    set_cache(&c->m, bits, 0);
    open_window(&c->m, path, 16);
}

/* The next of numbers with commas between them; 0 at the end. */
static int next_number(const char **list, int *number)
{
    char item[ITEM];
    const char *end;
    if (!next_item(list, item)) return 0;
    if (!read_whole(item, -INFINITY, INFINITY, number, &end)) *number = 0; /* as all that are out of range */
    if (*end) fail("a list is numbers with commas between them, not '%s'", item);
    return 1;
}

/* What the command ppl is asked for. */
typedef struct ppl_options {
    const char *text, *reference, *base, *save, *tokenizer, *abits, *kv, *key;
    int tokens, window, prefix, threads, own;
} ppl_options;

/* Windows of our own, each from BOS, of which every token is scored: for caches of several sizes
   side by side. */
static void ppl_own(const char *path, const ppl_options *o)
{
    static contestant c[PPL_MOST + 1];
    const char *kv = o->kv;
    int bits[PPL_MOST], first = 0, n = 0;
    uint32_t *ids, count;
    if (o->reference) {
        open_scored(&c[0], o->reference, o->tokenizer, o->prefix, o->abits, 32);
        first = 1;
    }
    while (n < PPL_MOST && next_number(&kv, &bits[n])) {
        open_scored(&c[first + n], path, o->tokenizer, o->prefix, o->abits, bits[n]);
        n++;
    }
    if (n == 0 || *kv) fail("--kv-bits is a list of 1 ... %d numbers", PPL_MOST);
    if (c[0].m.model.vocab != c[first].m.model.vocab || c[0].m.model.context != c[first].m.model.context)
        fail("%s and %s are not the same model", path, o->reference);
    ids = text_ids(&c[first].m, path, o->text, o->tokens, &count);
    count = measure(c, first + n, ids, count, window_of(&c[0].m, o->window), o->threads);
    for (int k = first; k < first + n; k++) {
        printf("%u tokens, loss %.5f nats, perplexity %.4f", count, c[k].nll / count, exp(c[k].nll / count));
        if (n > 1) printf(", cache of %d bits", bits[k - first]);
        if (k > 0)
            printf(", KL from the %s %.5f nats, same likeliest token %.1f %%", first ? "reference" : "first",
                   c[k].kl / count, 100 * c[k].agree / count);
        printf("\n");
    }
}

/* A model for the protocol, with all threads at its tasks. *window 0: it is set to what is usual. */
static void open_protocol(loaded *m, const char *path, const ppl_options *o, int bits, uint32_t *window, pool *threads)
{
    size_t size;
    const unsigned char *bytes = read_model(path, o->tokenizer, o->prefix, &size);
    open_model(m, path, bytes, size, 0, o->abits);
    if (*window == 0) *window = m->model.context < KLD_WINDOW ? m->model.context : KLD_WINDOW;
    if (*window > m->model.context)
        fail("%s: windows of %u tokens are longer than the context of the model, %u", path, *window, m->model.context);
    set_cache(m, bits, (int)*window);
    open_window_of(m, path, *window < BATCH ? *window : BATCH, threads);
}

/* The tokens of the windows: those of the base, or of the text, from BOS on if the model has it. */
static uint32_t *protocol_ids(protocol *p, const char *path, const ppl_options *o)
{
    uint32_t count, *ids, *all;
    if (p->base) {
        const size_t n = (size_t)p->base->windows * p->base->window;
        all = (uint32_t *)allocate(n * sizeof *all);
        for (size_t i = 0; i < n; i++) all[i] = load_u32(p->base->bytes + KLD_HEADER + 4 * i);
        count = p->base->windows;
    } else {
        ids = text_ids(p->m, path, o->text, 0, &count);
        all = (uint32_t *)allocate(((size_t)count + 1) * sizeof *all);
        all[0] = bos_of(p->m);
        memcpy(all + begins_with_bos(p->m), ids, count * sizeof *ids);
        count = (count + (uint32_t)begins_with_bos(p->m)) / p->window;
        free(ids);
        if (count == 0)
            fail("%s has less than the %u tokens of a window; --own has windows of any length", o->text, p->window);
    }
    p->windows = o->tokens && (uint32_t)o->tokens / p->window < count ? (uint32_t)o->tokens / p->window : count;
    if (p->windows == 0) fail("--tokens %d are less than a window of %u", o->tokens, p->window);
    return all;
}

/* Begins the file that --save-base asks for, with its header and the tokens. */
static void begin_base(const protocol *p, result_file *o, const char *path)
{
    const size_t size = kld_size(p->window, p->m->model.vocab, p->windows),
                 head = kld_place(p->window, p->m->model.vocab, p->windows, 0);
    unsigned char *bytes;
    if (size == 0) fail("--save-base: too many log-probabilities for this machine");
    begin_output(o, path, size);
    bytes = (unsigned char *)allocate(head);
    memcpy(bytes, KLD_MAGIC, 8);
    store_u32(bytes + 8, p->window), store_u32(bytes + 12, p->m->model.vocab), store_u32(bytes + 16, p->windows);
    for (size_t i = 0; i < (size_t)p->windows * p->window; i++) store_u32(bytes + KLD_HEADER + 4 * i, p->ids[i]);
    save_bytes(o, 0, bytes, head);
    free(bytes);
}

/* The protocol of llama-perplexity. */
static void ppl_protocol(const char *path, const ppl_options *o)
{
    static loaded m, reference;
    static pool threads;
    kld_base base;
    kld_sums sums;
    protocol p = { &m, NULL, NULL, NULL, 0, 0, NULL, &threads };
    problem trouble = { { NULL, 0, 0 } };
    const unsigned char *bytes;
    result_file saved;
    size_t size;
    const char *kv = o->kv;
    int bits;
    if (!next_number(&kv, &bits) || *kv) fail("--kv-bits is one number, unless --own is given");
    p.window = (uint32_t)o->window;
    if (o->base) {
        bytes = map_file(o->base, &size);
        read_kld(&base, o->base, bytes, size, &trouble);
        stop_if(&trouble);
        p.base = &base, p.window = base.window;
    }
    pool_start(&threads, o->threads);
    open_protocol(&m, path, o, bits, &p.window, &threads);
    if (o->base && base.vocab != m.model.vocab)
        fail("%s has a vocabulary of %u tokens, the model %u", o->base, base.vocab, m.model.vocab);
    if (o->reference) {
        open_protocol(&reference, o->reference, o, 32, &p.window, &threads);
        if (reference.model.vocab != m.model.vocab) fail("%s and %s are not the same model", path, o->reference);
        p.reference = &reference;
    }
    if (p.window < 4) fail("%s: windows of %u tokens are too short to score their second halves", path, p.window);
    p.ids = protocol_ids(&p, path, o);
    if (o->save) begin_base(&p, p.saved = &saved, o->save);
    run_protocol(&p, &sums);
    if (o->save) end_output(&saved);
    print_kld(&sums, o->base || o->reference, o->key);
}

static int command_ppl(int argc, char **argv)
{
    ppl_options o = { NULL, NULL, NULL, NULL, NULL, NULL, "32", "ppl", 0, 0, 1, 2, 0 };
    static const char usage[] = "ppl MODEL --text FILE | --base FILE [options]";
    const char *rest[1];
    const option options[] = {
        OPT_INPUT("text", 0, "FILE", o.text, "what to score"),
        OPT_INPUT("base", 0, "FILE", o.base,
                  "log-probabilities of the original, as llama-perplexity --kl-divergence-base writes them: its text "
                  "is scored, and the KL divergence printed"),
        OPT_OUTPUT("save-base", 0, "FILE", o.save, "write such a file"),
        OPT_INPUT("reference", 0, "MODEL", o.reference, "also print the KL divergence from this model"),
        OPT_TOKENS(o.tokens, "score only the first N, 0: all"),
        OPT_WHOLE("window", 0, "N", o.window, 0, MOST_TOKENS,
                  "tokens a window; 0: 512 or the context if that is less; with --own: the context"),
        OPT_SWITCH("own", 0, o.own, "windows from BOS of which every token is scored, also the last, shorter one"),
        OPT_TEXT("abits", 0, "BITS", o.abits, ABITS_HELP),
        OPT_LIST("kv-bits", 0, "LIST", o.kv, KV_HELP "; a list, with --own: each, and KL from the first"),
        OPT_THREADS(o.threads),
        OPT_TOKENIZER(o.tokenizer),
        OPT_PREFIX(o.prefix),
        OPT_KEY(o.key, "with TSV=1 in the environment: lines NAME.kld and so on"),
        OPT_END
    };
    parse(argc, argv, usage, options, rest, 1, 1, -1);
    if (!o.text == !o.base) misuse_together(usage, options, "either --text FILE or --base FILE is needed");
    if (o.base && o.reference) misuse_together(usage, options, "--base and --reference are two originals");
    if (o.own && (o.base || o.save))
        misuse_together(usage, options, "--base and --save-base are of windows of llama.cpp's protocol, not --own");
    if (o.own) ppl_own(rest[0], &o);
    else ppl_protocol(rest[0], &o);
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

/* "g4", "g4:128", "g4:128:none" or "g4:128:none:plain": format, group, transform, and the kind
   of sums to quantize with; "feedback" is the usual kind, an empty part too; or "@FILE": a
   recipe. The label is what stands before a "=", or the format, and the transform and the kind
   if they are given. */
static void add_contestant(contestant *c, int n, const llmq_bundle *from, const char *path, recipe r, char *item,
                           const char *abits)
{
    char *name = strchr(item, '='), *group = strchr(name ? name + 1 : item, ':'),
        *transform = group ? strchr(group + 1, ':') : NULL, *kind = transform ? strchr(transform + 1, ':') : NULL;
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
        if (*group) r.group = read_group(group);
    }
    if (name) *name = 0;
    r.format = name ? name + 1 : item;
    r.quiet = 1;
    if (r.format[0] == '@') {
        read_choices(r.format + 1, &r);
        r.format = "g4";
    }
    if (name) snprintf(label, 64, "%s", item);
    else
        snprintf(label, 64, "%s%s%s%s%s", item, transform && *transform ? "." : "", transform ? transform : "",
                 kind ? "." : "", kind ? kind : "");
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
    if (!tsv)
        printf("%-16s %10s %10s %9s %11s %10s %8s %10s\n", "linear", "bytes", "bits/w", "t2", "perplexity", "KL",
               "same %", "tokens/s");
    for (int k = 0; k < n; k++) {
        double ppl = exp(c[k].nll / count), kl = c[k].kl / count;
        if (tsv) {
            printf("eval.%s.%s.ppl\t%.6g\n", key, c[k].label, ppl);
            printf("eval.%s.%s.bpw\t%.6g\n", key, c[k].label, c[k].bits);
            if (k) printf("eval.%s.%s.kl\t%.6g\n", key, c[k].label, kl);
        } else {
            printf("%-16s %10.0f %10.3f %9.5f %11.4f %10.5f %8.1f", c[k].label, c[k].bytes, c[k].bits, c[k].t2, ppl, kl,
                   100 * c[k].agree / count);
            if (c[k].speed > 0) printf(" %10.1f", c[k].speed);
            printf("\n");
        }
    }
}

/* Makes a contestant of each item of the list, from c[1] on. Returns their number with the original. */
static int add_contestants(contestant *c, const char *list, const llmq_bundle *from, const char *path, recipe r,
                           const char *abits)
{
    static char item[MOST][ITEM];
    int n = 1;
    for (; n < MOST && next_item(&list, item[n]); n++) add_contestant(c, n, from, path, r, item[n], abits);
    if (*list) fail("--formats has more than %d", MOST - 1);
    return n;
}

/* Prints how each contestant continues the prompt, to `length` tokens with it. Notes the speed. */
static void print_continuations(contestant *c, int n, const char *path, const char *prompt, int length)
{
    for (int k = 0; k < n; k++) {
        uint32_t count, *ids = prompt_ids(&c[k].m, path, prompt, &count);
        printf("--- %s, %.3f bits a weight\n", c[k].label, c[k].bits);
        c[k].speed = generate(&c[k].m, ids, count, (uint32_t)length, 0, 1, 1);
        printf("\n");
        free(ids);
    }
    printf("\n");
}

static int command_compare(int argc, char **argv)
{
    recipe r = default_recipe;
    const char *rest[1], *text = NULL, *formats = "g4,g3,g2", *prompt = NULL, *tokenizer = NULL, *key = "model";
    const char *abits = NULL;
    int tokens = 0, window = 0, prefix = 1, threads = 2, length = 60, n;
    const option options[] = {
        OPT_NEEDED_INPUT("text", 0, "FILE", text, "what to score"),
        OPT_LIST("formats", 0, "LIST", formats,
                 "of the linear layers, as [LABEL=]FORMAT[:GROUP[:TRANSFORM[:KIND]]] or @RECIPE; rtn4:32 is plain "
                 "rounding"),
        OPT_INPUT("hessian", 0, "FILE", r.sums_path,
                  "sums of 'llmq sense', for those with a KIND: feedback, aware, plain, diagonal"),
        FEEDBACK_OPTIONS(r),
        OPT_GROUP(r.group, "where a format has none"),
        TRANSFORM_OPTIONS(r),
        OPT_TEXT("embed", 0, "NAME", r.embed, "format of embedding and classifier"),
        OPT_EFFORT(r.effort),
        OPT_TEXT("prompt", 'p', "TEXT", prompt, "print how each continues this"),
        OPT_WHOLE("length", 0, "N", length, 1, MOST_TOKENS, "tokens of that, prompt included"),
        OPT_TOKENS(tokens, "score only the first N, 0: all"),
        OPT_WINDOW(window),
        OPT_TEXT("abits", 0, "BITS", abits, ABITS_HELP),
        OPT_THREADS(threads),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_FORCE,
        OPT_KEY(key, "with TSV=1 in the environment: lines eval.NAME..."),
        OPT_END
    };
    static contestant c[MOST];
    loaded original;
    uint32_t *ids, count;
    const unsigned char *bytes;
    size_t size;
    double weights;
    parse(argc, argv, "compare MODEL --text FILE [options]", options, rest, 1, 1, -1);
    r.threads = threads;
    if (abits) (void)read_activations(abits);
    if (r.sums_path) r.sums = open_sums(r.sums_path);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&original, rest[0], bytes, size, 0, "32");
    tie_sums(r.sums, &original);
    if (prompt) { /* before the work */
        free(prompt_ids(&original, rest[0], prompt, &count));
        (void)tokens_to_run(&original, "--length", "", length, 0, count);
    }
    c[0].label = "original";
    c[0].bytes = (double)size;
    c[0].bits = 8 * linear_bytes(&original.bundle, &weights) / (weights > 0 ? weights : 1);
    open_original(&c[0], &original.bundle, rest[0]);
    n = add_contestants(c, formats, &original.bundle, rest[0], r, abits);
    if (prompt) print_continuations(c, n, rest[0], prompt, length);
    ids = text_ids(&c[0].m, rest[0], text, tokens, &count);
    count = measure(c, n, ids, count, window_of(&c[0].m, window), threads);
    print_table(c, n, count, key);
    return 0;
}
