/* model.h - a model from a file, ready to run; texts as tokens. A part of the tool llmq.c, not a header for others. */

/* ---- models -------------------------------------------------------------------------------------------------------- */

typedef struct loaded {
    unsigned char *bytes;      /* of the bundle */
    size_t size;
    llmq_bundle bundle;
    llama_model model;
    llama_state state;
    int has_tokenizer;
    llama2c_tokenizer tokenizer;
    uint32_t prefix;           /* does a space go before a text? */
    int quiet;                 /* no progress of its layers */
} loaded;

static void add_value(llmq_entry *e, const char *name, uint32_t type, const void *data, size_t size)
{
    memset(e, 0, sizeof *e);
    e->name = name;
    e->kind = LLMQ_KIND_VALUE;
    e->type = type;
    e->data = data;
    e->size = size;
}

static unsigned char *write_bundle(llmq_entry *e, uint32_t count, size_t *size)
{
    unsigned char *bytes;
    *size = llmq_bundle_size(e, count);
    bytes = (unsigned char *)allocate(*size);
    check(llmq_bundle_write_memory(e, count, bytes, *size), "making the bundle");
    return bytes;
}

/* A checkpoint as the bytes of a bundle. */
static unsigned char *from_checkpoint(const char *path, const unsigned char *bytes, size_t size, const char *tokenizer, int prefix, size_t *out)
{
    static unsigned char prefix_value[4];
    llama2c_checkpoint c;
    llmq_status status = llama2c_open(&c, bytes, size);
    unsigned char *bundle, *tok = NULL;
    llmq_entry *e;
    char *names;
    size_t tok_size = 0;
    uint32_t n;
    if (status != LLMQ_OK) fail("%s is neither a .llmq bundle nor a llama2.c checkpoint (%s)", path, llmq_status_text(status));
    n = llama2c_entry_count(&c);
    e = (llmq_entry *)allocate((n + 2) * sizeof *e);
    names = (char *)allocate((size_t)n * 32);
    llama2c_entries(&c, e, names);
    if (tokenizer) {
        tok = read_file(tokenizer, &tok_size);
        add_value(&e[n++], "tokenizer", LLMQ_VALUE_BYTES, tok, tok_size);
        prefix_value[0] = (unsigned char)(prefix != 0);
        add_value(&e[n++], "tokenizer.prefix", LLMQ_VALUE_U32, prefix_value, 4);
    }
    bundle = write_bundle(e, n, out);
    free(e);
    free(names);
    free(tok);
    return bundle;
}

/* Memory to run up to so many tokens at once. */
static void open_window(loaded *m, const char *path, uint32_t tokens)
{
    size_t need = llama_state_size(&m->model, tokens);
    if (need == 0) fail("%s: the model is too large for this machine", path);
    check(llama_state_init(&m->state, &m->model, tokens, allocate(need), need), path);
}

/* How activations are quantized, from words with colons between them: bits (2 ... 8, or 32 for floats), then what is not as usual for
   these: zero or symmetric, with a zero point or without; group, token or batch: who shares a scale; and the clip ratio, with a
   point: "4:token:0.9". */
static llmq_activation_options read_activations(const char *text)
{
    const char *rest;
    int bits;
    llmq_activation_options o;
    if (!read_whole(text, 2, 32, &bits, &rest) || (bits > 8 && bits != 32) || (*rest && *rest != ':')) fail("activations have 2 ... 8 bits, or 32; not '%s'", text);
    o = llmq_activation_defaults((uint32_t)bits);
    text = rest + (*rest == ':');
    while (*text) {
        size_t n = strcspn(text, ":");
        char word[16];
        const char *end;
        double number;
        snprintf(word, sizeof word, "%.*s", (int)(n < 15 ? n : 15), text);
        text += n + (text[n] == ':');
        if (strcmp(word, "zero") == 0) o.asymmetric = 1;
        else if (strcmp(word, "symmetric") == 0) o.asymmetric = 0;
        else if (strcmp(word, "group") == 0) o.scales = LLMQ_SCALES_GROUP;
        else if (strcmp(word, "token") == 0) o.scales = LLMQ_SCALES_TOKEN;
        else if (strcmp(word, "batch") == 0) o.scales = LLMQ_SCALES_BATCH;
        else if (read_number(word, 1e-6, 1, &number, &end) && *end == 0 && strchr(word, '.')) o.clip = (float)number;
        else fail("behind the bits of activations can be :zero, :symmetric, :group, :token, :batch and a clip ratio such as :0.9, not '%s'", word);
    }
    return o;
}

/* Make a model of bundle bytes, which it owns from now on. activations NULL: as the bundle says. */
static void open_model(loaded *m, const char *path, unsigned char *bytes, size_t size, uint32_t batch, const char *activations)
{
    llmq_error error;
    const void *tok;
    size_t need, tok_size;
    void *mem;
    memset(m, 0, sizeof *m);
    m->bytes = bytes;
    m->size = size;
    if (llmq_bundle_open(&m->bundle, bytes, size, &error)) fail("%s: %s (at byte %zu)", path, llmq_status_text(error.status), error.offset);
    if (llmq_bundle_verify(&m->bundle, &error)) fail("%s: %s (at byte %zu)", path, llmq_status_text(error.status), error.offset);
    if ((need = llama_model_size(&m->bundle)) == 0) fail("%s holds no llama model; 'llmq inspect' shows what it holds", path);
    mem = allocate(need);
    if (llama_model_init(&m->model, &m->bundle, mem, need)) fail("%s: a tensor of the model is missing or has the wrong shape", path);
    if (activations) m->model.activation = read_activations(activations);
    if (batch) open_window(m, path, batch);
    m->prefix = 1;
    (void)!llmq_bundle_u32(&m->bundle, "tokenizer.prefix", &m->prefix); /* absent: as llama2.c does */
    if (llmq_bundle_value(&m->bundle, "tokenizer", LLMQ_VALUE_BYTES, &tok, &tok_size) == LLMQ_OK) {
        uint32_t *index = (uint32_t *)allocate(m->model.vocab * 2 * sizeof *index);
        check(llama2c_tokenizer_init(&m->tokenizer, tok, tok_size, m->model.vocab, index), "the tokenizer");
        m->has_tokenizer = 1;
    }
}

/* How its cache is kept, before open_window. */
static void set_cache(loaded *m, int bits, int window)
{
    if (bits < 1 || llama_cache_bits(&m->model.cache, (uint32_t)bits) != LLMQ_OK) fail("keys and values have 2, 3, 4, 5, 6, 8, 16 or 32 bits");
    if (window < 0 || window > 1 << 24) fail("--kv-window is 1 ... 16777216 positions, 0: the model's context");
    m->model.cache.window = (uint32_t)window;
    if (bits < 16) m->model.cache.transform = llmq_transform_hadamard(1, 512);
}

static void close_model(loaded *m)
{
    free(m->model.layer); /* the first of their memory */
    free(m->state.x);
    free(m->bytes);
    if (m->has_tokenizer) free(m->tokenizer.offset); /* as it came: the head of its index */
    memset(m, 0, sizeof *m);
}

static unsigned char *read_model(const char *path, const char *tokenizer, int prefix, size_t *size)
{
    size_t raw_size;
    unsigned char *raw = read_file(path, &raw_size), *bytes;
    if (raw_size >= 4 && memcmp(raw, "LLMQ", 4) == 0) {
        *size = raw_size;
        return raw;
    }
    bytes = from_checkpoint(path, raw, raw_size, tokenizer, prefix, size);
    free(raw);
    return bytes;
}

static uint32_t *encode_text(const loaded *m, const char *path, const char *text, size_t size, uint32_t *count)
{
    uint32_t *ids = (uint32_t *)allocate((size + 2) * sizeof *ids);
    void *work = allocate(llama2c_encode_work_size(size));
    if (!m->has_tokenizer) fail("%s has no tokenizer; give one with --tokenizer FILE", path);
    *count = llama2c_encode(&m->tokenizer, text, size, (int)m->prefix, ids, work);
    free(work);
    return ids;
}
