/* run.h - the command run: a text is continued. A part of the tool llmq.c, not a header for others. */

/* ---- running --------------------------------------------------------------------------------- */

/* The next token: the likeliest at temperature 0, else drawn from the least set of probability top_p. */
static uint32_t sample(const float *logits, uint32_t n, double temperature, double top_p, uint32_t seed,
                       uint32_t counter)
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

/* Feed ids (BOS first) and go on for `tokens` in all; text is printed; returns tokens per second
   of the single steps. */
static double generate(loaded *m, const uint32_t *ids, uint32_t count, uint32_t tokens, double temperature,
                       double top_p, uint32_t seed)
{
    float *logits = (float *)allocate(m->model.vocab * sizeof *logits);
    uint32_t previous, position, token = ids[0];
    double start = seconds();
    words held = { NULL, 0, 0 };
    for (position = 0; position < tokens; position++) {
        const char *piece;
        uint32_t length;
        check(lm_forward(&m->model, &m->state, &token, 1, position, logits), "running the model");
        check_logits(m, logits, 1);
        previous = token;
        token = position + 1 < count ? ids[position + 1]
                : sample(logits, m->tokens.count, temperature, top_p, seed, position);
        if (is_end(m, token)) break;
        if ((piece = piece_of(m, previous, token, &length)) != NULL) print_generated(&held, piece, length);
        flush_output();
    }
    print_generated(&held, NULL, 0);
    free(held.s);
    free(logits);
    return position / (seconds() - start);
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

static int command_run(int argc, char **argv)
{
    const char *rest[1], *prompt = "", *tokenizer = NULL;
    const char *abits = NULL;
    int tokens = 0, seed = 1, prefix = 1, bits = 32, window = 0;
    double temperature = 0, top_p = 0.9, speed;
    const option options[] = {
        OPT_TEXT("prompt", 'p', "TEXT", prompt, "what to continue"),
        OPT_TOKENS(tokens,
                   "how far, prompt included; 0: 200, or 100 behind a longer prompt, but not beyond the context"),
        OPT_REAL("temperature", 0, "T", temperature, 0, 100, "0: the likeliest token each time"),
        OPT_REAL("top-p", 0, "P", top_p, 0, 1, "draw from the likeliest tokens of this probability"),
        OPT_WHOLE("seed", 's', "N", seed, 0, 2147483647, "of the draws"),
        OPT_TEXT("abits", 0, "BITS", abits, ABITS_HELP),
        OPT_WHOLE("kv-bits", 0, "BITS", bits, 2, 32, KV_HELP),
        OPT_WHOLE("kv-window", 0, "N", window, 0, 1 << 24,
                  "positions that are remembered, for texts of any length; 0: the model's context, where it ends"),
        OPT_TOKENIZER(tokenizer),
        OPT_PREFIX(prefix),
        OPT_END
    };
    loaded m;
    const unsigned char *bytes;
    uint32_t *ids, count;
    size_t size;
    parse(argc, argv, "run MODEL [options]", options, rest, 1, 1, -1);
    bytes = read_model(rest[0], tokenizer, prefix, &size);
    open_model(&m, rest[0], bytes, size, 0, abits);
    set_cache(&m, bits, window);
    open_window(&m, rest[0], 1);
    ids = prompt_ids(&m, rest[0], prompt, &count);
    speed = generate(&m, ids, count,
                     tokens_to_run(&m, "--tokens", "; --kv-window N runs on beyond it", tokens, 200, count),
                     temperature, top_p, (uint32_t)seed);
    printf("\n");
    flush_output();
    fprintf(stderr, "%.1f tokens/s, kernels %s\n", speed, LLMQ_KERNELS->name);
    return 0;
}
