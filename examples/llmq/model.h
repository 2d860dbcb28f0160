/* model.h - a model from a file, ready to run; texts as tokens. A part of the tool llmq.c, not a header for others. */

#include "kinds.h"

static double checkpoint_epsilon = 1e-5; /* of norms, which a checkpoint does not say */

/* Ends the program if something was wrong. */
static void stop_if(const problem *p)
{
    if (p->what.n) fail("%s", p->what.s);
}

/* ---- models ---------------------------------------------------------------------------------- */

typedef struct loaded {
    const unsigned char *bytes; /* of the bundle */
    size_t size;
    llmq_bundle bundle;
    lm_model model;
    lm_state state;
    int has_tokenizer;
    tokenizer tokens;
    unsigned char *converted;  /* its bytes, if the bundle has it in llama2.c's form; or NULL */
    int quiet;                 /* no progress of its layers */
    void *memory;              /* of the model */
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

/* The name of a value of a model behind "lm.", or "llama." in bundles of before version 0.9; NULL
   for other names. */
static const char *value_of_model(const char *name)
{
    return strncmp(name, "lm.", 3) == 0 ? name + 3 : strncmp(name, "llama.", 6) == 0 ? name + 6 : NULL;
}

static unsigned char *write_bundle(llmq_entry *e, uint32_t count, size_t *size)
{
    unsigned char *bytes;
    *size = llmq_bundle_size(e, count);
    bytes = (unsigned char *)allocate(*size);
    check(llmq_bundle_write_memory(e, count, bytes, *size), "making the bundle");
    return bytes;
}

/* A tokenizer of llama2.c for a model of `vocab` ids, or words about what the file is. */
static int read_tokenizer(llama2c_tokenizer *t, const char *path, const unsigned char *bytes, size_t size,
                          uint32_t vocab, problem *p)
{
    llmq_status status = llama2c_tokenizer_open(t, bytes, size, vocab);
    words kind = { NULL, 0, 0 };
    if (status == LLMQ_OK) return 1;
    if (status == LLMQ_E_LIMIT)
        wrong(p, "%s: the tokenizer has %u pieces, the model %u: it is another model's", path, t->count, vocab);
    else if (status == LLMQ_E_NOT_FINITE)
        wrong(p, "%s: the score of piece %u of the tokenizer is not a number", path, t->count);
    else if (say_kind(&kind, bytes, size)) wrong(p, "%s is no tokenizer of llama2.c: %s", path, kind.s);
    else if (status == LLMQ_E_TRUNCATED)
        wrong(p, "%s: the tokenizer ends within piece %u, or is none of llama2.c", path, t->count);
    else
        wrong(p, "%s: the tokenizer has %u pieces; one of llama2.c has at least %u: <unk>, BOS, EOS and the 256 bytes",
              path, t->count, LLAMA2C_LEAST);
    free(kind.s);
    return 0;
}

/* The stored form of a source, in memory that the caller frees; NULL if something is wrong. */
static unsigned char *build_tokenizer(tokenizer_source *s, const char *path, size_t *size, problem *p)
{
    unsigned char *work = NULL;
    size_t need;
    llmq_status status = tokenizer_build_size(s, &need);
    if (status == LLMQ_OK) {
        work = (unsigned char *)allocate(need);
        status = tokenizer_build(s, work, need, size);
    }
    if (status == LLMQ_OK) return work;
    if (s->fault == TOKENIZER_NONE) wrong(p, "%s: its tokenizer: %s", path, llmq_status_text(status));
    else wrong(p, "%s: its tokenizer: %s (number %u)", path, llmq_status_text(status), s->fault);
    free(work);
    return NULL;
}

/* The stored form of a tokenizer of llama2.c, in memory that the caller frees; NULL if something is
   wrong. prefix: a space goes before a text. */
static unsigned char *convert_tokenizer(const char *path, const unsigned char *bytes, size_t size, uint32_t vocab,
                                        int prefix, size_t *out, problem *p)
{
    llama2c_tokenizer t;
    tokenizer_llama2c from;
    tokenizer_source source;
    if (!read_tokenizer(&t, path, bytes, size, vocab, p)) return NULL;
    tokenizer_read_llama2c(&t, &from, &source);
    if (!prefix) source.flags &= ~TOKENIZER_ADD_SPACE;
    return build_tokenizer(&source, path, out, p);
}

/* Is a tokenizer of a bundle in tokenizer.h's form? In bundles of before version 0.10 it can be in
   llama2.c's. */
static int is_stored_tokenizer(const unsigned char *bytes, size_t size)
{
    return size >= 4 && memcmp(bytes, "LTOK", 4) == 0;
}

/* Does a space go before a text of a bundle whose tokenizer is in llama2.c's form? If it does not
   say, one does. */
static int prefix_of_tokenizer(const llmq_bundle *b)
{
    uint32_t prefix;
    return llmq_bundle_u32(b, "tokenizer.prefix", &prefix) != LLMQ_OK || prefix;
}

/* A checkpoint in memory, or words about what the file is. */
static int read_checkpoint(llama2c_checkpoint *c, const char *path, const unsigned char *bytes, size_t size, problem *p)
{
    llmq_status status = llama2c_open(c, bytes, size);
    words kind = { NULL, 0, 0 };
    int known = status == LLMQ_OK || say_kind(&kind, bytes, size);
    if (status == LLMQ_OK) return 1;
    if (known || status == LLMQ_E_MAGIC)
        wrong_kind(p, path, "is neither a .llmq bundle nor a llama2.c checkpoint", bytes, size);
    else if (status == LLMQ_E_TRUNCATED) wrong(p, "%s: the checkpoint is cut off, or is none of llama2.c", path);
    else if (status == LLMQ_E_CORRUPT)
        wrong(p, "%s: the checkpoint goes on behind its tensors, or is none of llama2.c", path);
    else
        wrong(p,
              "%s: the rotary embedding of the checkpoint is of no theta (cosine or sine of position %u, pair %u): "
              "scaled ones are not known here", path, c->fault[0], c->fault[1]);
    free(kind.s);
    return 0;
}

/* A checkpoint as the bytes of a bundle. */
static unsigned char *from_checkpoint(const char *path, const unsigned char *bytes, size_t size,
                                      const char *tokenizer_path, int prefix, size_t *out)
{
    llama2c_checkpoint c;
    problem p = { { NULL, 0, 0 } };
    const unsigned char *file;
    unsigned char *bundle, *tok = NULL;
    llmq_entry *e;
    char *names;
    size_t tok_size;
    uint32_t n;
    read_checkpoint(&c, path, bytes, size, &p);
    stop_if(&p);
    c.epsilon = (float)checkpoint_epsilon;
    n = llama2c_entry_count(&c);
    e = (llmq_entry *)allocate((n + 1) * sizeof *e);
    names = (char *)allocate((size_t)n * 32);
    llama2c_entries(&c, e, names);
    if (tokenizer_path) {
        file = map_file(tokenizer_path, &tok_size);
        tok = convert_tokenizer(tokenizer_path, file, tok_size, c.vocab, prefix, &tok_size, &p);
        stop_if(&p);
        release(file);
        add_value(&e[n++], "tokenizer", LLMQ_VALUE_BYTES, tok, tok_size);
    }
    bundle = write_bundle(e, n, out);
    free(e);
    free(names);
    free(tok);
    return bundle;
}

/* How activations are quantized, from words with colons between them: bits (2 ... 8, or 32 for
   floats), then what is not as usual for these: zero or symmetric, with a zero point or without;
   group, token or batch: who shares a scale; and the clip ratio, with a point: "4:token:0.9". */
static llmq_activation_options read_activations(const char *text)
{
    const char *rest;
    int bits;
    llmq_activation_options o;
    if (!read_whole(text, 2, 32, &bits, &rest) || (bits > 8 && bits != 32) || (*rest && *rest != ':'))
        fail("activations have 2 ... 8 bits, or 32; not '%s'", text);
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
        else
            fail("behind the bits of activations can be :zero, :symmetric, :group, :token, :batch and a clip ratio "
                 "such as :0.9, not '%s'", word);
    }
    return o;
}

/* The first number of a raw tensor that is NaN or infinite; 0 if there is none. */
static int find_not_finite(const llmq_entry *e, uint32_t *row, uint32_t *col)
{
    const unsigned char *b = (const unsigned char *)e->data;
    const size_t width = e->size / ((size_t)e->rows * e->cols), n = (size_t)e->rows * e->cols;
    /* of the exponent, in the upper half of a float */
    const unsigned mask = width == 4 || strcmp(e->format.name, "bf16") == 0 ? 0x7f80 : 0x7c00;
    size_t i = 0;
    for (b += width - 2; i < n && (((unsigned)b[1] << 8 | b[0]) & mask) != mask; i++) b += width;
    if (i == n) return 0;
    *row = (uint32_t)(i / e->cols), *col = (uint32_t)(i % e->cols);
    return 1;
}

/* llmq_bundle_verify looks at scales; these are the numbers of tensors that have none. */
static int check_finite(const llmq_bundle *b, const char *path, problem *p)
{
    for (uint32_t i = 0; i < b->count; i++) {
        llmq_entry e;
        uint32_t row, col;
        if (llmq_bundle_at(b, i, &e) != LLMQ_OK || e.kind != LLMQ_KIND_TENSOR || e.format.points) continue;
        if (find_not_finite(&e, &row, &col))
            return wrong(p, "%s: %s is NaN or infinite in row %u, column %u", path, e.name, row, col);
        forget(e.data, e.size);
    }
    return 1;
}

#include "foreign.h"

/* Values that say how texts become tokens: those that are not known here could change it. */
static int check_tokenizer_values(const llmq_bundle *b, const char *path, problem *p)
{
    uint32_t prefix;
    for (uint32_t i = 0; i < b->count; i++) {
        llmq_entry e;
        if (llmq_bundle_at(b, i, &e) != LLMQ_OK || strncmp(e.name, "tokenizer", 9) != 0) continue;
        if (strcmp(e.name, "tokenizer") == 0 && e.kind == LLMQ_KIND_VALUE && e.type == LLMQ_VALUE_BYTES) continue;
        if (strcmp(e.name, "tokenizer.prefix") != 0) return wrong(p, "%s: %s is not known here", path, e.name);
        if (llmq_bundle_u32(b, "tokenizer.prefix", &prefix) != LLMQ_OK || prefix > 1)
            return wrong(p, "%s: tokenizer.prefix is neither 0 nor 1", path);
    }
    return 1;
}

/* Why lm_model_init refused. */
static int wrong_model(problem *p, const char *path, const lm_model *m, llmq_status status)
{
    char name[256];
    uint32_t index;
    lm_model_fault(m, name);
    if (status == LLMQ_E_NOT_FOUND && llmq_bundle_find(&m->bundle, name, &index) == LLMQ_OK)
        return wrong(p, "%s: %s is of another kind than it has to be", path, name);
    if (status == LLMQ_E_NOT_FOUND) return wrong(p, "%s: %s is missing", path, name);
    if (status == LLMQ_E_UNSUPPORTED)
        return wrong(p, "%s: %s is not known here; the model would be another without it", path, name);
    if (status == LLMQ_E_CORRUPT)
        return wrong(p, "%s: %s has another shape, or another value, than the model can have", path, name);
    return wrong(p, "%s: %s (%s)", path, llmq_status_text(status), name);
}

/* The tokenizer of a bundle. */
static int open_tokenizer(loaded *m, const char *path, const unsigned char *bytes, size_t size, problem *p)
{
    llmq_status status;
    uint32_t index;
    if (is_stored_tokenizer(bytes, size)) {
        if (llmq_bundle_find(&m->bundle, "tokenizer.prefix", &index) == LLMQ_OK)
            return wrong(p, "%s: tokenizer.prefix is of tokenizers of llama2.c, and this one is none", path);
    } else {
        const int prefix = prefix_of_tokenizer(&m->bundle);
        bytes = m->converted = convert_tokenizer(path, bytes, size, m->model.vocab, prefix, &size, p);
        if (!bytes) return 0;
    }
    if ((status = tokenizer_open(&m->tokens, bytes, size)) != LLMQ_OK)
        return wrong(p, "%s: the tokenizer: %s", path, llmq_status_text(status));
    if (m->tokens.count > m->model.vocab)
        return wrong(p, "%s: the tokenizer has %u pieces, the model %u: it is another model's", path, m->tokens.count,
                     m->model.vocab);
    return 1;
}

/* A model of the bytes of a bundle, without room to run it; what is allocated is its own also
   where something is wrong. */
static int read_bundle(loaded *m, const char *path, const unsigned char *bytes, size_t size, problem *p)
{
    llmq_error error;
    const void *tok;
    size_t need, tok_size;
    llmq_status status;
    memset(m, 0, sizeof *m);
    m->bytes = bytes;
    m->size = size;
    if (llmq_bundle_open(&m->bundle, bytes, size, &error))
        return wrong_bundle(p, path, bytes, &error);
    if (!foreign_of(bytes) && llmq_bundle_verify(&m->bundle, &error))
        return wrong_bundle(p, path, bytes, &error);
    if (!prefix_of_values(&m->bundle))
        return wrong(p, "%s holds no model: it is %s; 'llmq inspect' shows what it holds", path,
                     kind_of_bundle(bytes, size));
    need = lm_model_size(&m->bundle);
    if (need) m->memory = allocate(need);
    if ((status = lm_model_init(&m->model, &m->bundle, m->memory, need)) != LLMQ_OK) {
        m->model.bundle = m->bundle;
        return wrong_model(p, path, &m->model, status);
    }
    if (need == 0) return wrong(p, "%s: the model is too large for this machine", path);
    if (!foreign_of(bytes) && !check_finite(&m->bundle, path, p)) return 0;
    if (!check_tokenizer_values(&m->bundle, path, p)) return 0;
    if (llmq_bundle_value(&m->bundle, "tokenizer", LLMQ_VALUE_BYTES, &tok, &tok_size) != LLMQ_OK) return 1;
    m->has_tokenizer = open_tokenizer(m, path, (const unsigned char *)tok, tok_size, p);
    return m->has_tokenizer;
}

/* The model of a bundle that has been a model before, to look at: the bytes stay the caller's. */
static void borrow_model(loaded *m, const llmq_bundle *b)
{
    const size_t need = lm_model_size(b);
    memset(m, 0, sizeof *m);
    m->bundle = *b;
    m->memory = allocate(need);
    check(lm_model_init(&m->model, b, m->memory, need), "the model");
}

/* Memory to run up to so many tokens at once. */
static void open_window(loaded *m, const char *path, uint32_t tokens)
{
    size_t need = lm_state_size(&m->model, tokens);
    if (need == 0) fail("%s: the model is too large for this machine", path);
    check(lm_state_init(&m->state, &m->model, tokens, allocate(need), need), path);
    fill_model(m->bytes);
}

/* Make a model of bundle bytes, which it owns from now on. activations NULL: as the bundle says. */
static void open_model(loaded *m, const char *path, const unsigned char *bytes, size_t size, uint32_t batch,
                       const char *activations)
{
    problem p = { { NULL, 0, 0 } };
    read_bundle(m, path, bytes, size, &p);
    stop_if(&p);
    if (activations) m->model.activation = read_activations(activations);
    if (batch) open_window(m, path, batch);
}

/* Numbers that a model gave: what is not one would go through all that is made of them. */
static void check_logits(const loaded *m, const float *logits, uint32_t tokens)
{
    const size_t n = (size_t)tokens * m->model.vocab;
    for (size_t i = 0; i < n; i++)
        if (!(logits[i] - logits[i] == 0))
            fail("running the model: logit %zu is not a number; weights this large are more than floats can do",
                 i % m->model.vocab);
}

/* The values that say how activations are quantized, without their prefix. */
static const char *const activation_value[4] = { "abits", "azero", "ascales", "aclip" };

static int is_activation_value(const char *value)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(value, activation_value[i]) == 0) return 1;
    return 0;
}

/* What a model is known by: its shape and its weights, whatever tokenizer it carries. Results of
   one model are not for another. Names of values count as those of before version 0.9, so that a
   model and its older file are the same. */
static uint32_t fingerprint(const llmq_bundle *b)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        llmq_entry e;
        unsigned char shape[8];
        check(llmq_bundle_at(b, i, &e), "reading an entry");
        const char *value = value_of_model(e.name);
        /* activations are no weights */
        if (e.kind == LLMQ_KIND_VALUE && (!value || is_activation_value(value))) continue;
        store_u32(shape, e.rows), store_u32(shape + 4, e.cols);
        if (e.kind == LLMQ_KIND_VALUE) crc = llmq__crc(crc, (const uint8_t *)"llama.", 6), e.name = value;
        crc = llmq__crc(crc, (const uint8_t *)e.name, strlen(e.name) + 1);
        crc = llmq__crc(crc, shape, 8);
        if (e.kind != LLMQ_KIND_TENSOR) crc = llmq__crc(crc, (const uint8_t *)e.data, e.size);
        for (uint32_t first = 0, last; first < e.rows; first = last) {
            const size_t row_size = e.size / e.rows;
            last = end_of_piece(first, e.rows, row_size);
            rows_needed(e.data, first, last);
            crc = llmq__crc(crc, (const uint8_t *)e.data + first * row_size, (last - first) * row_size);
            rows_done(e.data, row_size, first, last);
        }
    }
    return crc;
}

/* A result that is of model `was` is to be used for this one. */
static void same_model(const loaded *m, const char *path, uint32_t was)
{
    const uint32_t is = fingerprint(&m->bundle);
    if (is == was) return;
    if (!force)
        fail("%s is of another model: of %08x, and this one is %08x; --force uses it all the same", path, was, is);
    fprintf(stderr, "llmq: %s is of another model, and used all the same\n", path);
}

/* How its cache is kept, before open_window. */
static void set_cache(loaded *m, int bits, int window)
{
    if (bits < 1 || lm_cache_bits(&m->model.cache, (uint32_t)bits) != LLMQ_OK)
        fail("keys and values have 2, 3, 4, 5, 6, 8, 16 or 32 bits");
    if (window < 0 || window > 1 << 24) fail("--kv-window is 1 ... 16777216 positions, 0: the model's context");
    m->model.cache.window = (uint32_t)window;
    if (bits < 16) m->model.cache.transform = llmq_transform_hadamard(1, 512);
}

static void close_model(loaded *m)
{
    free(m->memory);
    free(m->state.x); /* the first of its memory */
    if (!close_foreign(m->bytes)) release(m->bytes);
    free(m->converted);
    memset(m, 0, sizeof *m);
}

/* Does a text of this model begin with a token of its own, and which? */
static int begins_with_bos(const loaded *m)
{
    if (!m->has_tokenizer) return 1; /* checkpoints of llama2.c */
    return m->tokens.flags & TOKENIZER_ADD_BOS && m->tokens.bos != TOKENIZER_NONE;
}

static uint32_t bos_of(const loaded *m)
{
    return !m->has_tokenizer ? LLAMA2C_BOS : begins_with_bos(m) ? m->tokens.bos : 0;
}

/* Does this id end a text? */
static int is_end(const loaded *m, uint32_t id)
{
    return (begins_with_bos(m) && id == bos_of(m)) || tokenizer_is_end(&m->tokens, id);
}

/* The text of an id behind `previous`, or TOKENIZER_NONE; NULL: it is none. */
static const char *piece_of(const loaded *m, uint32_t previous, uint32_t id, uint32_t *length)
{
    const char *piece;
    const int starts = previous == TOKENIZER_NONE || (begins_with_bos(m) && previous == bos_of(m));
    const uint32_t type = tokenizer_piece(&m->tokens, id, starts, &piece, length);
    return type == TOKENIZER_CONTROL || type == TOKENIZER_UNKNOWN ? NULL : piece;
}

/* The bytes of a bundle: of a file, or of the model of a GGUF file or of a safetensors folder. *is_bundle 0: the bytes
   of another file. */
static const unsigned char *read_as_bundle(const char *path, size_t *size, int *is_bundle)
{
    size_t raw_size;
    const unsigned char *raw;
    problem p = { { NULL, 0, 0 } };
    *is_bundle = 1;
    if (is_directory(path) || strcmp(path + base_of(path), "config.json") == 0) return from_folder(path, size);
    raw = map_file(path, &raw_size);
    *size = raw_size;
    *is_bundle = begins(raw, raw_size, "LLMQ", 4);
    if (!is_gguf(raw, raw_size)) return raw;
    *is_bundle = 1;
    if (says_imatrix(raw, raw_size)) wrong_kind(&p, path, "is no model", raw, raw_size);
    stop_if(&p);
    return from_gguf(path, raw, raw_size, size);
}

static const unsigned char *read_model(const char *path, const char *tokenizer_path, int prefix, size_t *size)
{
    int is_bundle;
    const unsigned char *raw = read_as_bundle(path, size, &is_bundle), *bytes;
    if (is_bundle) return raw;
    bytes = from_checkpoint(path, raw, *size, tokenizer_path, prefix, size);
    release(raw);
    return bytes;
}

/* The ids of a text, without BOS. */
static uint32_t *encode_text(const loaded *m, const char *path, const char *text, size_t size, uint32_t *count)
{
    const size_t need = m->has_tokenizer ? tokenizer_work_size(&m->tokens, size + 1) : 0;
    uint32_t *ids;
    size_t n;
    void *work;
    if (!m->has_tokenizer) fail("%s has no tokenizer; give one with --tokenizer FILE", path);
    if (need == 0 || size > SIZE_MAX / 16) fail("a text of %zu bytes is too long", size);
    n = 3 * size + 3; /* a space can be three ids */
    ids = (uint32_t *)allocate((n + 1) * sizeof *ids);
    work = allocate(need);
    check(tokenizer_encode(&m->tokens, text, size, 0, ids, n, &n, work, need), "the tokens of the text");
    free(work);
    *count = (uint32_t)n;
    return ids;
}
