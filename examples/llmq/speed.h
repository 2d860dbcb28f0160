/* speed.h - the command speed: tokens a second of prompts and of generated text. A part of the tool
   llmq.c, not a header for others. */

/* ---- speed ----------------------------------------------------------------------------------- */

/* Runs `count` tokens from position 0 on, at most `batch` a call, and returns tokens a second. With a
   batch of 1 each token gets logits, as generated ones do; else only the last, which runs alone.
   Which tokens they are makes no difference to the time. */
static double speed_of(loaded *m, uint32_t count, uint32_t batch, float *logits)
{
    uint32_t *tokens = (uint32_t *)allocate(batch * sizeof *tokens);
    const double start = seconds();
    double time;
    for (uint32_t i = 0, n; i < count; i += n) {
        const uint32_t left = count - i;
        n = left > batch ? batch : left > 1 && batch > 1 ? left - 1 : 1;
        for (uint32_t k = 0; k < n; k++) tokens[k] = llmq_random(1, i + k) % m->model.vocab;
        check(lm_forward(&m->model, &m->state, tokens, n, i, batch == 1 || left == 1 ? logits : NULL),
              "running the model");
    }
    time = seconds() - start;
    free(tokens);
    return count / time;
}

static int command_speed(int argc, char **argv)
{
    const char *rest[1], *abits = NULL, *key = "speed";
    int prompt = 512, tokens = 64, threads = 1, batch = BATCH, bits = 32;
    uint32_t most;
    const option options[] = {
        OPT_WHOLE("prompt-tokens", 0, "N", prompt, 1, MOST_TOKENS, "of the prompt"),
        OPT_WHOLE("tokens", 'n', "N", tokens, 1, MOST_TOKENS, "that are generated, from an empty cache"),
        OPT_WHOLE("batch", 0, "N", batch, 2, 65536, "tokens of the prompt that run together"),
        OPT_THREADS(threads),
        OPT_TEXT("abits", 0, "BITS", abits, ABITS_HELP),
        OPT_WHOLE("kv-bits", 0, "BITS", bits, 2, 32, KV_HELP),
        OPT_KEY(key, "with TSV=1 in the environment: lines NAME.ppN.tps and NAME.tgN.tps"),
        OPT_END
    };
    static loaded m;
    static pool workers;
    const unsigned char *bytes;
    size_t size;
    float *logits;
    double fed, made;
    parse(argc, argv, "speed MODEL [options]", options, rest, 1, 1, -1);
    bytes = read_model(rest[0], NULL, 1, &size);
    open_model(&m, rest[0], bytes, size, 0, abits);
    pool_start(&workers, threads);
    most = (uint32_t)(prompt > tokens ? prompt : tokens);
    if (most > m.model.context) fail("%s: the context of the model has %u tokens", rest[0], m.model.context);
    set_cache(&m, bits, (int)most);
    open_window_of(&m, rest[0], (uint32_t)batch < most ? (uint32_t)batch : most, &workers);
    logits = (float *)allocate(m.model.vocab * sizeof *logits);
    (void)speed_of(&m, 1, 1, logits); /* the weights come into memory */
    fed = speed_of(&m, (uint32_t)prompt, (uint32_t)batch, logits);
    made = speed_of(&m, (uint32_t)tokens, 1, logits);
    check_logits(&m, logits, 1);
    if (getenv("TSV") && *getenv("TSV"))
        printf("%s.pp%d.tps\t%.6g\n%s.tg%d.tps\t%.6g\n", key, prompt, fed, key, tokens, made);
    else
        printf("prompt of %d tokens: %.1f tokens/s; %d generated: %.1f tokens/s; threads: %d, kernels %s\n", prompt,
               fed, tokens, made, workers.threads, LLMQ_KERNELS->name);
    free(logits);
    return 0;
}
