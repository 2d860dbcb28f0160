/* run.h - the command run: a text is continued. A part of the tool llmq.c, not a header for others. */

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
        check_logits(m, logits, 1);
        previous = token;
        token = position + 1 < count ? ids[position + 1] : sample(logits, m->tokenizer.count, temperature, top_p, seed, position);
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
