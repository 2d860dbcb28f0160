/* run.h - texts that a model makes: how tokens are drawn, and the command run, which continues a
   text. A part of the tool llmq.c, not a header for others. */

/* ---- running --------------------------------------------------------------------------------- */

/* How tokens are drawn: the likeliest at temperature 0, else from the least set of probability top_p. */
typedef struct sampling {
    double temperature, top_p;
    int seed;
} sampling;

#define SAMPLING_OPTIONS(s) \
    OPT_REAL("temperature", 0, "T", (s).temperature, 0, 100, "0: the likeliest token each time"), \
    OPT_REAL("top-p", 0, "P", (s).top_p, 0, 1, "draw from the likeliest tokens of this probability"), \
    OPT_WHOLE("seed", 's', "N", (s).seed, 0, 2147483647, "of the draws")

/* Sinks heap[at] to where it belongs among n tokens, the likeliest first, of equal ones the first. */
static void sink(uint32_t *heap, uint32_t n, uint32_t at, const float *p)
{
    const uint32_t token = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && (p[heap[child + 1]] > p[heap[child]]
                              || (!(p[heap[child + 1]] < p[heap[child]]) && heap[child + 1] < heap[child])))
            child++;
        if (p[heap[child]] < p[token] || (!(p[heap[child]] > p[token]) && heap[child] > token)) break;
        heap[at] = heap[child];
    }
    heap[at] = token;
}

/* The next token. counter: another one for each draw of a seed. */
static uint32_t sample(const float *logits, uint32_t n, const sampling *how, uint32_t counter)
{
    float *p, most = logits[0];
    double sum = 0, coin, mass = 0;
    uint32_t best = 0, *heap, i;
    for (i = 1; i < n; i++)
        if (logits[i] > most) most = logits[i], best = i;
    if (!(how->temperature > 0)) return best;
    p = (float *)allocate(n * sizeof *p);
    heap = (uint32_t *)allocate(n * sizeof *heap);
    for (i = 0; i < n; i++) {
        sum += p[i] = (float)exp((logits[i] - most) / how->temperature);
        heap[i] = i;
    }
    for (i = n / 2; i > 0; i--) sink(heap, n, i - 1, p);
    coin = (llmq_random((uint32_t)how->seed, counter) + 0.5) / 4294967296.0 * how->top_p;
    for (;;) { /* take them from the likeliest down until the coin is used up */
        best = heap[0];
        mass += p[best] / sum;
        if (mass >= coin || p[best] <= 0 || --n == 0) break;
        heap[0] = heap[n];
        sink(heap, n, 0, p);
    }
    free(p);
    free(heap);
    return best;
}

/* How many tokens to run where `tokens` were asked for (0: `usual`, and a hundred behind the
   prompt) and the prompt has `count`, BOS among them. */
static uint32_t tokens_to_run(const loaded *m, const char *option_name, const char *hint, int tokens, uint32_t usual,
                              uint32_t count)
{
    const uint32_t context = m->model.cache.window ? UINT32_MAX : m->model.context;
    uint32_t n = (uint32_t)tokens;
    if (count > context) fail("the prompt has %u tokens, the model's context %u%s", count, context, hint);
    if (n > context) fail("%s is %u, the model's context %u%s", option_name, n, context, hint);
    if (n && n < count) fail("the prompt has %u tokens, %s is %u: there is nothing to continue", count, option_name, n);
    if (n == 0) n = count + 100 > usual ? count + 100 : usual;
    return n < context ? n : context;
}

/* How many bytes at the end of s[n] begin a character that the next token may complete. */
static size_t begun_character(const unsigned char *s, size_t n)
{
    size_t k = 1;
    while (k <= n && k < 4 && (s[n - k] & 0xc0) == 0x80) k++;
    if (k > n || s[n - k] < 0xc0) return 0;
    return k < (s[n - k] < 0xe0 ? 2u : s[n - k] < 0xf0 ? 3u : 4u) ? k : 0;
}

/* Text of a model: as it is, but what a terminal would obey. held: bytes of a character that is
   not complete yet; piece NULL: there come none. */
static void print_generated(words *held, const char *piece, size_t length)
{
    static int terminal = -1;
    words safe = { NULL, 0, 0 };
    size_t rest;
    if (terminal < 0) terminal = is_terminal(stdout);
    if (!terminal) {
        if (piece) print_bytes(piece, length);
        return;
    }
    if (piece) append(held, piece, length);
    rest = piece ? begun_character((const unsigned char *)held->s, held->n) : 0;
    show(&safe, held->s, held->n - rest, 1);
    print_bytes(safe.s, safe.n);
    if (held->n) memmove(held->s, held->s + held->n - rest, rest);
    held->n = rest;
    free(safe.s);
}

/* A text that a model continues. */
typedef struct continuation {
    loaded *m;
    sampling how;
    float *logits;               /* of what follows the tokens that have been read */
    uint32_t position, last;     /* how many have been read; the last token, read or made */
    int one_line;                /* a text that is made ends with its line, and blanks before it are left out */
    int begun;                   /* some of it is printed */
    words held;                  /* bytes of a character that is not complete yet */
    uint32_t read, made;         /* tokens of prompts, and tokens that the model has made, */
    double read_time, made_time; /* in how many seconds */
} continuation;

static void begin_continuation(continuation *c, loaded *m, const sampling *how)
{
    memset(c, 0, sizeof *c);
    c->m = m, c->how = *how;
    c->last = TOKENIZER_NONE;
    c->logits = (float *)allocate(m->model.vocab * sizeof *c->logits);
}

static void end_continuation(continuation *c)
{
    free(c->held.s);
    free(c->logits);
}

/* How many positions a text can have. */
static uint32_t positions_of(const loaded *m) { return m->model.cache.window ? 1u << 24 : m->model.context; }

/* Prints the text of a token; returns 0 if that ends the line and with it the text. */
static int print_token(continuation *c, uint32_t token)
{
    uint32_t length;
    const char *piece = piece_of(c->m, c->last, token, &length), *end = NULL;
    c->last = token;
    if (!piece) return 1;
    if (c->one_line) end = (const char *)memchr(piece, '\n', length);
    if (end) length = (uint32_t)(end - piece);
    for (; c->one_line && !c->begun && length > 0 && *piece == ' '; length--) piece++;
    c->begun |= length > 0;
    print_generated(&c->held, piece, length);
    return !end;
}

/* The model reads tokens, for which there is room. Logits are only needed behind the last, which goes
   by itself. */
static void read_tokens(continuation *c, const uint32_t *ids, uint32_t count)
{
    const double start = seconds();
    const uint32_t batch = c->m->state.batch;
    for (uint32_t i = 0, n; i < count; i += n) {
        const uint32_t before = count - 1 - i;
        n = before == 0 ? 1 : before < batch ? before : batch;
        check(lm_forward(&c->m->model, &c->m->state, ids + i, n, c->position, before ? NULL : c->logits),
              "running the model");
        c->position += n;
        c->last = ids[i + n - 1];
    }
    check_logits(c->m, c->logits, 1);
    c->read += count;
    c->read_time += seconds() - start;
}

/* How the model's text ended: as it wanted, after as many tokens as were asked for, or because there is
   no room for its last token, which has not been read then. */
enum { TEXT_ENDED, TEXT_IS_CUT, TEXT_FULL };

/* Makes and prints up to `most` tokens. A last one that is cut off has not been read, either. */
static int make_text(continuation *c, uint32_t most)
{
    const double start = seconds();
    int how = TEXT_IS_CUT;
    c->begun = 0;
    for (uint32_t n = 0; n < most; n++) {
        const uint32_t token = sample(c->logits, c->m->tokens.count, &c->how, c->position - 1);
        c->made++;
        if (is_end(c->m, token) || !print_token(c, token)) {
            how = TEXT_ENDED;
            break;
        }
        flush_output();
        if (n + 1 == most) break;
        if (c->position == positions_of(c->m)) {
            how = TEXT_FULL;
            break;
        }
        check(lm_forward(&c->m->model, &c->m->state, &token, 1, c->position++, c->logits), "running the model");
        check_logits(c->m, c->logits, 1);
    }
    print_generated(&c->held, NULL, 0);
    c->made_time += seconds() - start;
    return how;
}

static void print_speeds(const continuation *c)
{
    fprintf(stderr, "prompt: %u tokens, %.1f tokens/s; text: %u tokens, %.1f tokens/s; kernels %s\n", c->read,
            c->read_time > 0 ? c->read / c->read_time : 0, c->made, c->made_time > 0 ? c->made / c->made_time : 0,
            LLMQ_KERNELS->name);
}

/* Prints a prompt and goes on to `tokens` in all; returns tokens per second behind the prompt. speeds: they
   are printed, too. */
static double continue_prompt(loaded *m, const uint32_t *ids, uint32_t count, uint32_t tokens, const sampling *how,
                              int speeds)
{
    continuation c;
    double speed;
    begin_continuation(&c, m, how);
    for (uint32_t i = 0; i < count; i++) (void)print_token(&c, ids[i]);
    flush_output();
    read_tokens(&c, ids, count);
    (void)make_text(&c, tokens - count + 1);
    printf("\n");
    flush_output();
    if (speeds) print_speeds(&c);
    speed = c.made_time > 0 ? c.made / c.made_time : 0;
    end_continuation(&c);
    return speed;
}

static uint32_t *prompt_ids(const loaded *m, const char *path, const char *prompt, uint32_t *count)
{
    uint32_t *ids = encode_text(m, path, prompt, strlen(prompt), count);
    if (begins_with_bos(m)) {
        memmove(ids + 1, ids, *count * sizeof *ids);
        ids[0] = bos_of(m);
        ++*count;
    }
    if (*count == 0) fail("%s: an empty prompt, and texts of this model begin with no token of their own", path);
    return ids;
}

/* How a text is run, of run and chat. */
typedef struct run_options {
    sampling how;
    const char *abits;
    int bits, window, threads;
} run_options;

static const run_options default_run = { { 0, 0.9, 1 }, NULL, 32, 0, 2 };

#define RUN_OPTIONS(o) \
    SAMPLING_OPTIONS((o).how), OPT_TEXT("abits", 0, "BITS", (o).abits, ABITS_HELP), \
    OPT_WHOLE("kv-bits", 0, "BITS", (o).bits, 2, 32, KV_HELP), \
    OPT_WHOLE("kv-window", 0, "N", (o).window, 0, 1 << 24, \
              "positions that are remembered, for texts of any length; 0: the model's context, where it ends"), \
    OPT_THREADS((o).threads)

/* A model that can run. */
static void open_run(loaded *m, const char *path, const char *tokenizer, int prefix, const run_options *o)
{
    static pool threads;
    size_t size;
    const unsigned char *bytes = read_model(path, tokenizer, prefix, &size);
    open_model(m, path, bytes, size, 0, o->abits);
    set_cache(m, o->bits, o->window);
    pool_start(&threads, o->threads);
    open_window_of(m, path, BATCH, &threads);
}

static int command_run(int argc, char **argv)
{
    const char *rest[1], *prompt = "", *tokenizer = NULL;
    int tokens = 0, prefix = 1;
    run_options o = default_run;
    const option options[] = {
        OPT_TEXT("prompt", 'p', "TEXT", prompt, "what to continue"),
        OPT_TOKENS(tokens,
                   "how far, prompt included; 0: 200, or 100 behind a longer prompt, but not beyond the context"),
        RUN_OPTIONS(o),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_END
    };
    loaded m;
    uint32_t *ids, count, count_all;
    parse(argc, argv, "run MODEL [options]", options, rest, 1, 1, -1);
    open_run(&m, rest[0], tokenizer, prefix, &o);
    ids = prompt_ids(&m, rest[0], prompt, &count);
    count_all = tokens_to_run(&m, "--tokens", "; --kv-window N runs on beyond it", tokens, 200, count);
    (void)continue_prompt(&m, ids, count, count_all, &o.how, 1);
    return 0;
}
