/* kld.h - perplexity and divergence by the protocol of llama.cpp's llama-perplexity, and its files of
   log-probabilities (--kl-divergence-base). A part of the tool llmq.c, not a header for others.

   A text is cut into windows of n tokens; what is left over is not scored. The first token of a
   window gives way to BOS, if the model has texts begin with it. Positions n / 2 ... n - 2 are
   scored, each by the token that follows it.

   File: "_logits_"; int32 n, vocabulary, windows; int32 tokens[windows][n]; then for each scored
   position a record of 2 ((vocabulary + 1) / 2) + 4 uint16: float scale, float least, and a code q
   for each token: its log-probability is scale q + least. Those more than 16 below the likeliest
   are set to the least. All little-endian. A token whose log-probability in the file is -16 or less
   adds nothing to the divergence. */

#define KLD_MAGIC "_logits_"
enum { KLD_HEADER = 20 };

/* A file of log-probabilities. */
typedef struct kld_base {
    const unsigned char *bytes;
    uint32_t window, vocab, windows;
} kld_base;

static size_t kld_record(uint32_t vocab) { return 2 * (2 * (((size_t)vocab + 1) / 2) + 4); }
static uint32_t kld_scored(uint32_t window) { return window - 1 - window / 2; }

/* Bytes of a file; 0 if they do not fit size_t. */
static size_t kld_size(uint32_t window, uint32_t vocab, uint32_t windows)
{
    const double bytes = (double)windows * (4.0 * window + (double)kld_scored(window) * (double)kld_record(vocab));
    if (bytes > (double)(SIZE_MAX / 2)) return 0;
    return KLD_HEADER + (size_t)windows * (4 * (size_t)window + kld_scored(window) * kld_record(vocab));
}

/* A file in memory, which has to stay. */
static int read_kld(kld_base *b, const char *path, const unsigned char *bytes, size_t size, problem *p)
{
    b->bytes = bytes;
    if (size < KLD_HEADER || memcmp(bytes, KLD_MAGIC, 8) != 0)
        return wrong_kind(p, path, "is no file of log-probabilities of llama-perplexity", bytes, size);
    b->window = load_u32(bytes + 8), b->vocab = load_u32(bytes + 12), b->windows = load_u32(bytes + 16);
    if (b->window < 4 || b->window > 1u << 24 || b->vocab < 2 || b->vocab > 1u << 24 || b->windows == 0)
        return wrong(p, "%s: windows of %u tokens, a vocabulary of %u, and %u windows cannot be", path, b->window,
                     b->vocab, b->windows);
    if (kld_size(b->window, b->vocab, b->windows) != size)
        return wrong(p, "%s: %zu bytes are not the %u windows of %u tokens that it says it has", path, size,
                     b->windows, b->window);
    for (size_t i = 0; i < (size_t)b->windows * b->window; i++)
        if (load_u32(bytes + KLD_HEADER + 4 * i) >= b->vocab)
            return wrong(p, "%s: token %zu of its text is none of its vocabulary", path, i);
    return 1;
}

/* Where the record of scored position i of all is in a file. */
static size_t kld_place(uint32_t window, uint32_t vocab, uint32_t windows, size_t i)
{
    return KLD_HEADER + 4 * (size_t)windows * window + i * kld_record(vocab);
}

/* The log-probability of a token in a record. */
static float kld_log(const unsigned char *record, uint32_t token)
{
    const unsigned char *code = record + 8 + 2 * (size_t)token;
    return load_float(record) * (float)(code[0] | code[1] << 8) + load_float(record + 4);
}

/* The record of a position, from its logits. */
static void write_record(unsigned char *out, const float *logits, uint32_t vocab)
{
    float most = logits[0], least = logits[0], scale, start;
    double sum = 0;
    for (uint32_t v = 1; v < vocab; v++) {
        if (logits[v] > most) most = logits[v];
        if (logits[v] < least) least = logits[v];
    }
    if (least < most - 16) least = most - 16;
    for (uint32_t v = 0; v < vocab; v++) sum += exp((double)(logits[v] - most));
    start = least - most - (float)log(sum);
    scale = (most - least) / 65535;
    memset(out, 0, kld_record(vocab));
    store_float(out, scale), store_float(out + 4, start);
    for (uint32_t v = 0; v < vocab && scale > 0; v++) {
        const float q = logits[v] > least ? rintf((logits[v] - least) / scale) : 0;
        const uint32_t code = q > 65535 ? 65535 : (uint32_t)q;
        out[8 + 2 * (size_t)v] = (unsigned char)(code & 255), out[9 + 2 * (size_t)v] = (unsigned char)(code >> 8);
    }
}

/* Sums over scored positions, and the values that percentiles are of. */
typedef struct kld_sums {
    uint32_t count, same;
    double nll, nll2, base, base2, both, kld, kld2, change2;
    float *each;
} kld_sums;

/* Scores a position: `token` follows it. record NULL: no base. */
static void score_position(kld_sums *s, const float *logits, uint32_t vocab, uint32_t token,
                           const unsigned char *record, double *own)
{
    const uint32_t best = log_softmax(logits, vocab, own);
    float top = 0;
    double kld = 0, base, change;
    uint32_t base_best = 0;
    s->nll -= own[token], s->nll2 += own[token] * own[token];
    if (record) {
        for (uint32_t v = 0; v < vocab; v++) {
            const float p = kld_log(record, v);
            if (v == 0 || p > top) top = p, base_best = v;
            if (p > -16.0f) kld += exp((double)p) * ((double)p - own[v]);
        }
        base = -(double)kld_log(record, token);
        s->base += base, s->base2 += base * base, s->both -= base * own[token];
        s->kld += kld, s->kld2 += kld * kld;
        change = exp(own[token]) - exp(-base);
        s->change2 += change * change;
        s->same += best == base_best;
        s->each[s->count] = (float)kld;
    }
    s->count++;
}

/* Standard error of a mean, from sums of values and of their squares. */
static double error_of_mean(double sum, double squares, uint32_t n)
{
    const double mean = sum / n, variance = squares / n - mean * mean;
    return n > 1 && variance > 0 ? sqrt(variance / (n - 1)) : 0;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The value below which a part of sorted values is, linear between two. */
static double percentile(const float *sorted, uint32_t n, double part)
{
    const double at = part * (n - 1);
    const uint32_t i = (uint32_t)at;
    return i + 1 < n ? sorted[i] + (at - i) * ((double)sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static void print_kld(kld_sums *s, int has_base, const char *key)
{
    const uint32_t n = s->count;
    const double loss = s->nll / n, error = error_of_mean(s->nll, s->nll2, n), base = s->base / n,
                 covariance = n > 1 ? (s->both / n - loss * base) / (n - 1) : 0,
                 base_error = error_of_mean(s->base, s->base2, n),
                 square = error * error + base_error * base_error - 2 * covariance,
                 ratio_error = square > 0 ? sqrt(square) : 0, same = (double)s->same / n;
    if (getenv("TSV") && *getenv("TSV")) {
        printf("%s.ppl\t%.8g\n", key, exp(loss));
        if (!has_base) return;
        qsort(s->each, n, sizeof *s->each, compare_floats);
        printf("%s.kld\t%.8g\n%s.kld.error\t%.4g\n", key, s->kld / n, key, error_of_mean(s->kld, s->kld2, n));
        printf("%s.kld.median\t%.6g\n%s.kld.99\t%.6g\n%s.kld.999\t%.6g\n", key, percentile(s->each, n, 0.5), key,
               percentile(s->each, n, 0.99), key, percentile(s->each, n, 0.999));
        printf("%s.same\t%.6g\n%s.lnratio\t%.6g\n", key, same, key, loss - base);
        return;
    }
    printf("%u positions, loss %.5f nats, perplexity %.4f +- %.4f\n", n, loss, exp(loss), exp(loss) * error);
    if (!has_base) return;
    qsort(s->each, n, sizeof *s->each, compare_floats);
    printf("perplexity of the base  %.4f, ratio %.5f +- %.5f (its logarithm %.5f)\n", exp(base), exp(loss - base),
           exp(loss - base) * ratio_error, loss - base);
    printf("KL divergence, mean     %.7f +- %.7f nats\n", s->kld / n, error_of_mean(s->kld, s->kld2, n));
    printf("  median                %.7f\n", percentile(s->each, n, 0.5));
    printf("  99 %%, 99.9 %%          %.7f  %.7f\n", percentile(s->each, n, 0.99), percentile(s->each, n, 0.999));
    printf("  largest               %.7f\n", (double)s->each[n - 1]);
    printf("probability, RMS change %.3f %%\n", 100 * sqrt(s->change2 / n));
    printf("same likeliest token    %.3f +- %.3f %%\n", 100 * same,
           n > 1 ? 100 * sqrt(same * (1 - same) / (n - 1)) : 0);
}

/* Ends the program if they cannot be written. */
static void save_bytes(result_file *o, size_t offset, const void *bytes, size_t size)
{
    if (put_output(o, offset, bytes, size)) end_output(o);
}

/* ---- running it ------------------------------------------------------------------------------ */

/* A model, and what it is held against: a file, another model, or nothing. */
typedef struct protocol {
    loaded *m, *reference;    /* reference NULL: none */
    const kld_base *base;     /* NULL: none */
    const uint32_t *ids;      /* [windows][window] */
    uint32_t window, windows;
    result_file *saved;       /* of this model's own log-probabilities; NULL: not asked for */
    pool *threads;
} protocol;

/* Logits of tokens [from, to) of a window whose tokens before `from` the model has seen; logits
   NULL: it only sees them. */
static void run_tokens(loaded *m, const uint32_t *input, uint32_t from, uint32_t to, float *logits)
{
    const uint32_t batch = m->state.batch;
    for (uint32_t i = from, n; i < to; i += n) {
        float *out = logits ? logits + (size_t)(i - from) * m->model.vocab : NULL;
        n = to - i < batch ? to - i : batch;
        check(lm_forward(&m->model, &m->state, input + i, n, i, out), "running the model");
        if (out) check_logits(m, out, n);
    }
}

/* Scores the positions [from, to) of window w, whose logits are those of this model and, if there
   is one, of the reference. */
static void score_rows(const protocol *p, kld_sums *s, uint32_t w, uint32_t from, uint32_t to, const float *logits,
                       const float *reference, unsigned char *record, double *own)
{
    const uint32_t vocab = p->m->model.vocab, *ids = p->ids + (size_t)w * p->window;
    for (uint32_t i = from; i < to && i + 1 < p->window; i++) {
        const size_t at = (size_t)(i - from) * vocab, k = s->count;
        if (p->saved) {
            write_record(record, logits + at, vocab);
            save_bytes(p->saved, kld_place(p->window, vocab, p->windows, k), record, kld_record(vocab));
        }
        if (reference) write_record(record, reference + at, vocab);
        score_position(s, logits + at, vocab, ids[i + 1],
                       p->base ? p->base->bytes + kld_place(p->window, vocab, p->base->windows, k)
                       : reference ? record : NULL, own);
    }
}

/* Runs all windows through the model and the reference. */
static void run_protocol(const protocol *p, kld_sums *s)
{
    const uint32_t vocab = p->m->model.vocab, half = p->window / 2, batch = p->m->state.batch;
    uint32_t *input = (uint32_t *)allocate(p->window * sizeof *input);
    float *logits = (float *)allocate((size_t)batch * vocab * sizeof *logits),
          *reference = p->reference ? (float *)allocate((size_t)batch * vocab * sizeof *reference) : NULL;
    unsigned char *record = (unsigned char *)allocate(kld_record(vocab));
    double *own = (double *)allocate(vocab * sizeof *own);
    memset(s, 0, sizeof *s);
    s->each = (float *)allocate((size_t)p->windows * kld_scored(p->window) * sizeof *s->each);
    for (uint32_t w = 0; w < p->windows; w++) {
        memcpy(input, p->ids + (size_t)w * p->window, p->window * sizeof *input);
        if (begins_with_bos(p->m)) input[0] = bos_of(p->m);
        run_tokens(p->m, input, 0, half, NULL);
        if (reference) run_tokens(p->reference, input, 0, half, NULL);
        for (uint32_t i = half, n; i < p->window; i += n) {
            n = p->window - i < batch ? p->window - i : batch;
            run_tokens(p->m, input, i, i + n, logits);
            if (reference) run_tokens(p->reference, input, i, i + n, reference);
            score_rows(p, s, w, i, i + n, logits, reference, record, own);
        }
        progress(w + 1, p->windows, "windows");
    }
    free(input);
    free(logits);
    free(reference);
    free(record);
    free(own);
}
