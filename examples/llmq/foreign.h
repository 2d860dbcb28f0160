/* foreign.h - models of GGUF files as bundles in memory. A part of the tool llmq.c, not a header for
   others. */

/* The files of a model: one, or all parts of a split one, whose names end in -00001-of-00003.gguf. */
typedef struct gguf_files {
    gguf *part;
    const unsigned char **bytes;
    uint32_t count;
} gguf_files;

static void open_part(gguf_files *f, uint32_t i, const char *path, const unsigned char *bytes, size_t size)
{
    llmq_status status = gguf_open(&f->part[i], bytes, size);
    f->bytes[i] = bytes;
    if (status != LLMQ_OK) fail("%s: as a GGUF file: %s", path, llmq_status_text(status));
}

/* bytes: of the file at path, which is any of the parts; they are the files' own from now on. */
static void open_gguf_files(gguf_files *f, const char *path, const unsigned char *bytes, size_t size)
{
    uint32_t mine, i;
    const size_t n = strlen(path), tail = strlen("00001-of-00002.gguf");
    char *name = (char *)allocate(n + 1);
    gguf first;
    llmq_status status = gguf_open(&first, bytes, size);
    if (status != LLMQ_OK) fail("%s: as a GGUF file: %s", path, llmq_status_text(status));
    if (gguf_split(&first, &mine, &f->count) != LLMQ_OK || f->count > 99999)
        fail("%s: what it says of the files that the model is split into is no sense", path);
    f->part = (gguf *)allocate(f->count * sizeof *f->part);
    f->bytes = (const unsigned char **)allocate(f->count * sizeof *f->bytes);
    strcpy(name, path);
    for (i = 0; i < f->count; i++) {
        if (i == mine) {
            open_part(f, i, path, bytes, size);
            continue;
        }
        if (n < tail) fail("%s: the other parts of this model have names that end in -00001-of-00002.gguf", path);
        snprintf(name + n - tail, tail + 1, "%05u-of-%05u.gguf", (i + 1) % 100000, f->count % 100000);
        bytes = map_file(name, &size);
        open_part(f, i, name, bytes, size);
    }
    free(name);
}

/* The tokenizer of a file in the form of tokenizer.h, in memory that the caller frees; NULL: it has
   none. */
static unsigned char *tokenizer_of_gguf(const gguf *g, const char *path, size_t *size)
{
    tokenizer_source source;
    tokenizer_gguf from;
    problem p = { { NULL, 0, 0 } };
    const char *what = "";
    gguf_value v;
    unsigned char *bytes;
    llmq_status status;
    if (gguf_find_value(g, "tokenizer.ggml.tokens", &v) != LLMQ_OK) return NULL;
    if ((status = tokenizer_read_gguf(g, &from, &source, &what)) != LLMQ_OK)
        fail("%s: its tokenizer: %s: %s", path, what, llmq_status_text(status));
    bytes = build_tokenizer(&source, path, size, &p);
    stop_if(&p);
    return bytes;
}

/* The rows of a tensor in its format: as the file has them, or decoded to f32 in memory that the
   caller frees (*made). */
static const void *rows_of_entry(const import_entry *e, const char *path, void **made)
{
    float *rows;
    *made = NULL;
    if (e->data) return e->data;
    rows = (float *)(*made = allocate(e->size));
    for (uint32_t r = 0; r < e->rows; r++)
        if (import_row(e, r, rows + (size_t)r * e->cols) != LLMQ_OK) fail("%s: %s cannot be decoded", path, e->name);
    return rows;
}

/* The model of a GGUF file as the bytes of a bundle. bytes are released. */
static unsigned char *from_gguf(const char *path, const unsigned char *bytes, size_t size, size_t *out)
{
    gguf_files f;
    import_model *m = (import_model *)allocate(sizeof *m);
    import_entry *source;
    llmq_writer writer;
    llmq_entry *e;
    unsigned char *bundle, *tok;
    size_t tok_size = 0;
    uint32_t i, n = 0;
    open_gguf_files(&f, path, bytes, size);
    if (import_open_gguf(m, f.part, f.count) != LLMQ_OK) fail("%s: %s", path, m->fault);
    e = (llmq_entry *)allocate((m->values + m->tensors + 1) * sizeof *e);
    source = (import_entry *)allocate(m->tensors * sizeof *source);
    for (i = 0; i < m->values; i++) check(import_value(m, i, &e[n++]), path);
    for (i = 0; i < m->tensors; i++, n++) {
        check(import_tensor(m, i, &source[i]), path);
        memset(&e[n], 0, sizeof e[n]);
        e[n].name = source[i].name, e[n].kind = LLMQ_KIND_TENSOR, e[n].t2 = -1.0f;
        e[n].rows = source[i].rows, e[n].cols = source[i].cols;
        check(llmq_format_find(&e[n].format, source[i].format, 0), source[i].format);
        e[n].size = source[i].size = llmq_tensor_size(&e[n].format, e[n].rows, e[n].cols);
    }
    tok = tokenizer_of_gguf(f.part, path, &tok_size);
    if (tok) add_value(&e[n++], "tokenizer", LLMQ_VALUE_BYTES, tok, tok_size);
    *out = llmq_bundle_size(e, n);
    if (*out == 0) fail("%s: the model is too large for this machine", path);
    bundle = (unsigned char *)allocate(*out);
    check(llmq_writer_begin(&writer, e, n, put_memory, bundle), path);
    for (i = 0; i < n; i++) { /* they are sorted by name now; a name is the first member of its source */
        const import_entry *from = (const import_entry *)(const void *)e[i].name;
        void *made;
        if (e[i].kind != LLMQ_KIND_TENSOR) continue;
        check(llmq_writer_put(&writer, i, rows_of_entry(from, path, &made)), e[i].name);
        free(made);
        progress(i + 1, n, "entries read");
    }
    check(llmq_writer_end(&writer), path);
    for (i = 0; i < f.count; i++) release(f.bytes[i]);
    free(f.part), free(f.bytes), free(tok), free(source), free(e), free(m);
    return bundle;
}
