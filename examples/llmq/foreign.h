/* foreign.h - models of GGUF files and of safetensors folders, as bundles. A part of the tool
   llmq.c, not a header for others.

   Such a bundle has address space for all of it, and memory for its directory, its values and its
   vectors. Rows of matrices are decoded by whoever reads them, who says so (rows_needed) and
   says when that is over (rows_done). A model that runs has all of them (fill_model). */

typedef struct foreign {
    const char *path;
    unsigned char *bytes;        /* of the bundle */
    size_t size;
    import_model model;
    gguf *parts;                 /* one of these two is NULL */
    safetensors *shards;
    json_value config;           /* of the shards */
    const void **file;           /* bytes of all files */
    uint32_t files, count;
    llmq_entry *e;               /* [count], as the bundle has them */
    const import_entry **source; /* [count]; NULL: a value */
    import_entry *tensors;
    int is_filled;               /* all of it, to stay */
    struct foreign *next;
} foreign;
static foreign *all_foreign;

/* ---- rows on demand -------------------------------------------------------------------------- */

/* The one that an address is in; NULL: a bundle that is a file, or in memory. */
static foreign *foreign_of(const void *at)
{
    foreign *f = all_foreign;
    while (f && ((uintptr_t)at < (uintptr_t)f->bytes || (uintptr_t)at - (uintptr_t)f->bytes >= f->size)) f = f->next;
    return f;
}

/* Floats as the bundle has them. */
static void little_endian(float *x, uint32_t n)
{
    const uint16_t one = 1;
    if (*(const unsigned char *)&one) return; /* they are */
    for (uint32_t i = 0; i < n; i++) store_float((unsigned char *)&x[i], x[i]);
}

/* Memory for these bytes of the bundle. */
static void *memory_at(const foreign *f, const void *at, size_t size)
{
    unsigned char *to = f->bytes + ((const unsigned char *)at - f->bytes);
    if (!back_memory(to, size)) fail("%s: no memory for %zu bytes", f->path, size);
    return to;
}

/* Decodes rows first ... last - 1 of entry i. */
static void fill_rows(const foreign *f, uint32_t i, uint32_t first, uint32_t last)
{
    const import_entry *from = f->source[i];
    llmq_entry part = f->e[i];
    const size_t row_size = part.size / part.rows, at = first * row_size;
    unsigned char *to;
    uint32_t row, col;
    part.rows = last - first, part.size = part.rows * row_size;
    part.data = to = (unsigned char *)memory_at(f, (const unsigned char *)part.data + at, part.size);
    if (from->data) memcpy(to, (const unsigned char *)from->data + at, part.size);
    else
        for (row = first; row < last; row++, to += row_size) {
            check(import_row(from, row, (float *)(void *)to), part.name);
            little_endian((float *)(void *)to, part.cols);
        }
    if (!find_not_finite(&part, &row, &col)) return;
    take_lock(); /* other threads have nothing to say any more */
    fail("%s: %s is NaN or infinite in row %u, column %u", f->path, part.name, first + row, col);
}

/* The entry of a payload. */
static uint32_t entry_at(const foreign *f, const void *payload)
{
    uint32_t i = 0;
    while (f->e[i].data != payload) i++;
    return i;
}

/* Rows first ... last - 1 of a tensor of a bundle will be read. payload: of the tensor. Different rows may be asked for
   by several threads at once. */
static void rows_needed(const void *payload, uint32_t first, uint32_t last)
{
    const foreign *f = foreign_of(payload);
    uint32_t i;
    if (!f || f->is_filled) return;
    i = entry_at(f, payload);
    if (f->e[i].rows > 1) fill_rows(f, i, first, last);
}

static void forget_source(const foreign *f, uint32_t i, uint32_t first, uint32_t last)
{
    const gguf_tensor *t = &f->source[i]->source;
    forget(t->data + first * t->row_size, (last - first) * t->row_size);
}

/* They have been read: they need not stay in memory, nor does what they were made from. */
static void rows_done(const void *payload, size_t row_size, uint32_t first, uint32_t last)
{
    const unsigned char *at = (const unsigned char *)payload + first * row_size;
    const foreign *f = foreign_of(payload);
    const uint32_t i = f ? entry_at(f, payload) : 0;
    if (!f) forget(at, (last - first) * row_size);
    else if (!f->is_filled && f->e[i].rows > 1) {
        drop_memory(at, (last - first) * row_size);
        forget_source(f, i, first, last);
    }
}

/* Where a piece of rows ends that begins with row `first`: about a megabyte. */
static uint32_t end_of_piece(uint32_t first, uint32_t rows, size_t row_size)
{
    const size_t n = ((size_t)1 << 20) / row_size + 1;
    return rows - first > n ? first + (uint32_t)n : rows;
}

/* All rows of a model, a piece at a time for whoever comes first. */
typedef struct fill_job { const foreign *f; uint32_t entry, row; } fill_job;

static void fill_pieces(void *context)
{
    fill_job *j = (fill_job *)context;
    const foreign *f = j->f;
    for (;;) {
        uint32_t i, first, last = 0;
        take_lock();
        while (j->entry < f->count && (!f->source[j->entry] || j->row == f->e[j->entry].rows)) j->entry++, j->row = 0;
        i = j->entry, first = j->row;
        if (i < f->count) j->row = last = end_of_piece(first, f->e[i].rows, f->e[i].size / f->e[i].rows);
        progress(i, f->count, "entries decoded");
        give_lock();
        if (i == f->count) return;
        fill_rows(f, i, first, last);
        forget_source(f, i, first, last);
    }
}

/* The model of these bundle bytes will be read as a whole, and often. */
static void fill_model(const unsigned char *bytes)
{
    foreign *f = foreign_of(bytes);
    fill_job j = { f, 0, 0 };
    if (!f || f->is_filled) return;
    run_threads(fill_pieces, &j, processors());
    f->is_filled = 1;
}

/* ---- the bundle ------------------------------------------------------------------------------ */

/* An llmq_sink_at. context: a foreign. */
static int put_foreign(void *context, size_t offset, const void *bytes, size_t size)
{
    const foreign *f = (const foreign *)context;
    memcpy(memory_at(f, f->bytes + offset, size), bytes, size);
    return 0;
}

/* The entries that a model will have; *n: how many. */
static llmq_entry *foreign_entries(foreign *f, uint32_t *n)
{
    const import_model *m = &f->model;
    llmq_entry *e = (llmq_entry *)allocate((m->values + m->tensors + 1) * sizeof *e), *at = e;
    f->tensors = (import_entry *)allocate(m->tensors * sizeof *f->tensors);
    for (uint32_t i = 0; i < m->values; i++) check(import_value(m, i, at++), f->path);
    for (uint32_t i = 0; i < m->tensors; i++, at++) {
        import_entry *t = &f->tensors[i];
        check(import_tensor(m, i, t), f->path);
        memset(at, 0, sizeof *at);
        at->name = t->name, at->kind = LLMQ_KIND_TENSOR, at->t2 = -1.0f, at->rows = t->rows, at->cols = t->cols;
        check(llmq_format_find(&at->format, t->format, 0), t->format);
        at->size = llmq_tensor_size(&at->format, at->rows, at->cols);
    }
    *n = (uint32_t)(at - e);
    return e;
}

/* Makes the bundle of a model that import.h has opened; tok: its tokenizer, or NULL. */
static const unsigned char *open_foreign(foreign *f, const unsigned char *tok, size_t tok_size, size_t *size)
{
    llmq_writer writer;
    llmq_bundle b;
    llmq_entry *e = foreign_entries(f, &f->count);
    if (tok) add_value(&e[f->count++], "tokenizer", LLMQ_VALUE_BYTES, tok, tok_size);
    *size = f->size = llmq_bundle_size(e, f->count);
    if (f->size == 0 || (f->bytes = (unsigned char *)reserve_memory(f->size)) == NULL)
        fail("%s: the model is too large for this machine", f->path);
    check(llmq_writer_begin(&writer, e, f->count, put_foreign, f), f->path);
    f->source = (const import_entry **)allocate(f->count * sizeof *f->source);
    for (uint32_t i = 0; i < f->count; i++) { /* they are sorted by name; a name is the first member of its source */
        f->source[i] = e[i].kind == LLMQ_KIND_TENSOR ? (const import_entry *)(const void *)e[i].name : NULL;
        if (f->source[i]) e[i].data = e[i].name; /* the writer's mark: its bytes come later, past the checksum */
    }
    check(llmq_writer_end(&writer), f->path);
    check(llmq_bundle_open(&b, f->bytes, f->size, NULL), f->path);
    for (uint32_t i = 0; i < f->count; i++) check(llmq_bundle_at(&b, i, &e[i]), f->path);
    f->e = e;
    f->next = all_foreign, all_foreign = f;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->source[i] && e[i].rows == 1) fill_rows(f, i, 0, 1);
    return f->bytes;
}

static foreign *new_foreign(const char *path)
{
    foreign *f = (foreign *)allocate(sizeof *f);
    memset(f, 0, sizeof *f);
    f->path = path;
    return f;
}

/* Gives back what belongs to these bundle bytes, if they are of such a model. */
static int close_foreign(const unsigned char *bytes)
{
    foreign *f = foreign_of(bytes), **at = &all_foreign;
    if (!f) return 0;
    while (*at != f) at = &(*at)->next;
    *at = f->next;
    free_reserved(f->bytes, f->size);
    for (uint32_t i = 0; i < f->files; i++) release(f->file[i]);
    free(f->parts), free(f->shards), free(f->file), free(f->e), free((void *)f->source), free(f->tensors), free(f);
    return 1;
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

/* All bytes of a file that belongs to a model, and is not what the command line names. */
static const unsigned char *map_part(const char *path, size_t *size)
{
    check_not_output(path);
    return map_file(path, size);
}

static void open_part(foreign *f, uint32_t i, const char *path, const unsigned char *bytes, size_t size)
{
    llmq_status status = gguf_open(&f->parts[i], bytes, size);
    f->file[i] = bytes;
    if (status != LLMQ_OK) fail("%s: as a GGUF file: %s", path, llmq_status_text(status));
}

/* One file, or all parts of a split one, whose names end in -00001-of-00003.gguf. bytes: of the file at f->path, which
   is any of the parts. */
static void open_gguf_files(foreign *f, const unsigned char *bytes, size_t size)
{
    uint32_t mine, i;
    const size_t n = strlen(f->path), tail = strlen("00001-of-00002.gguf");
    char *name = (char *)allocate(n + 1);
    gguf first;
    llmq_status status = gguf_open(&first, bytes, size);
    if (status != LLMQ_OK) fail("%s: as a GGUF file: %s", f->path, llmq_status_text(status));
    if (gguf_split(&first, &mine, &f->files) != LLMQ_OK || f->files > 99999)
        fail("%s: what it says of the files that the model is split into is no sense", f->path);
    f->parts = (gguf *)allocate(f->files * sizeof *f->parts);
    f->file = (const void **)allocate(f->files * sizeof *f->file);
    strcpy(name, f->path);
    for (i = 0; i < f->files; i++) {
        if (i == mine) {
            open_part(f, i, f->path, bytes, size);
            continue;
        }
        if (n < tail) fail("%s: the other parts of this model have names that end in -00001-of-00002.gguf", f->path);
        snprintf(name + n - tail, tail + 1, "%05u-of-%05u.gguf", (i + 1) % 100000, f->files % 100000);
        bytes = map_part(name, &size);
        open_part(f, i, name, bytes, size);
    }
    free(name);
}

/* The tokenizer of a file, in memory that the caller frees; NULL: it has none. */
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

/* The model of a GGUF file as the bytes of a bundle. raw: the file's, which are the bundle's from now on. */
static const unsigned char *from_gguf(const char *path, const unsigned char *raw, size_t raw_size, size_t *size)
{
    foreign *f = new_foreign(path);
    const unsigned char *bytes;
    unsigned char *tok;
    size_t tok_size = 0;
    open_gguf_files(f, raw, raw_size);
    if (import_open_gguf(&f->model, f->parts, f->files) != LLMQ_OK) fail("%s: %s", path, f->model.fault);
    tok = tokenizer_of_gguf(f->parts, path, &tok_size);
    bytes = open_foreign(f, tok, tok_size, size);
    free(tok);
    return bytes;
}

/* ---- folders of safetensors ------------------------------------------------------------------- */

/* A file of the folder, as memory; NULL: there is none, and it need not be there. */
static const unsigned char *map_in(const char *folder, const char *name, int is_needed, size_t *size)
{
    words path = { NULL, 0, 0 };
    const unsigned char *bytes = NULL;
    FILE *f;
    say(&path, "%s/%s", folder, name);
    f = open_to_read(path.s);
    if (f) fclose(f);
    if (f) bytes = map_part(path.s, size);
    else if (is_needed) fail("%s is no folder of a model: cannot open %s in it: %s", folder, name, strerror(errno));
    free(path.s);
    return bytes;
}

/* The same as JSON. */
static const unsigned char *json_in(const char *folder, const char *name, int is_needed, json_value *root)
{
    size_t size;
    const unsigned char *text = map_in(folder, name, is_needed, &size);
    llmq_status status = text ? json_open(root, text, size) : LLMQ_OK;
    if (status != LLMQ_OK) fail("%s/%s: as JSON: %s", folder, name, llmq_status_text(status));
    return text;
}

static void add_shard(foreign *f, const char *folder, const char *name)
{
    size_t size;
    const unsigned char *bytes = map_in(folder, name, 1, &size);
    llmq_status status = safetensors_open(&f->shards[f->files - 1], bytes, size);
    f->file[f->files++] = bytes;
    if (status != LLMQ_OK) fail("%s/%s: as a safetensors file: %s", folder, name, llmq_status_text(status));
}

/* Opens model.safetensors, or all shards that an index names. f->file[0] is that of config.json. */
static void open_shards(foreign *f, const char *folder)
{
    static const char index_name[] = "model.safetensors.index.json";
    size_t size, at = 0;
    uint32_t names = 0, i;
    safetensors_index x;
    safetensors_place p;
    const unsigned char *index = map_in(folder, index_name, 0, &size);
    llmq_status status = index ? safetensors_index_open(&x, index, size) : LLMQ_OK;
    const size_t most = index && status == LLMQ_OK ? x.tensors : 1;
    char **name = (char **)allocate(most * sizeof *name);
    if (status != LLMQ_OK) fail("%s/%s: %s", folder, index_name, llmq_status_text(status));
    f->shards = (safetensors *)allocate(most * sizeof *f->shards);
    f->file = (const void **)realloc((void *)f->file, (most + 1) * sizeof *f->file);
    if (!f->file) fail("no memory");
    while (index && safetensors_index_next(&x, &at, &p) == LLMQ_OK) {
        for (i = 0; i < names && (strlen(name[i]) != p.file_length || memcmp(name[i], p.file, p.file_length)); i++) { }
        if (i < names) continue;
        name[names] = (char *)memcpy(allocate(p.file_length + 1), p.file, p.file_length);
        name[names++][p.file_length] = 0;
        add_shard(f, folder, name[names - 1]);
    }
    if (!index) add_shard(f, folder, "model.safetensors");
    while (names) free(name[--names]);
    free(name);
    release(index);
}

/* The tokenizer of a folder, in memory that the caller frees; NULL: it has none. */
static unsigned char *tokenizer_of_folder(const char *folder, size_t *size)
{
    tokenizer_source source;
    tokenizer_json from;
    json_value root, config;
    problem p = { { NULL, 0, 0 } };
    const char *what = "";
    const unsigned char *text = json_in(folder, "tokenizer.json", 0, &root), *more;
    unsigned char *tok;
    size_t work_size;
    void *work;
    llmq_status status;
    if (!text) return NULL;
    more = json_in(folder, "tokenizer_config.json", 0, &config);
    work_size = tokenizer_read_json_size(&root);
    if (work_size == 0) fail("%s: the tokenizer is too large for this machine", folder);
    work = allocate(work_size);
    status = tokenizer_read_json(&root, more ? &config : NULL, &from, &source, &what, work, work_size);
    if (status != LLMQ_OK) fail("%s/tokenizer.json: %s: %s", folder, what, llmq_status_text(status));
    tok = build_tokenizer(&source, folder, size, &p);
    stop_if(&p);
    free(work);
    release(text), release(more);
    return tok;
}

/* The model of a folder as the bytes of a bundle. path: of the folder, or of its config.json. */
static const unsigned char *from_folder(const char *path, size_t *size)
{
    foreign *f = new_foreign(path);
    char *folder = is_directory(path) ? strcpy((char *)allocate(strlen(path) + 1), path) : directory_of(path);
    const unsigned char *bytes;
    unsigned char *tok;
    size_t tok_size = 0;
    llmq_status status;
    if (!folder) fail("no memory");
    f->file = (const void **)allocate(sizeof *f->file);
    f->file[f->files++] = json_in(folder, "config.json", 1, &f->config);
    open_shards(f, folder);
    status = import_open_safetensors(&f->model, &f->config, f->shards, f->files - 1);
    if (status != LLMQ_OK) fail("%s: %s", path, *f->model.fault ? f->model.fault : llmq_status_text(status));
    tok = tokenizer_of_folder(folder, &tok_size);
    bytes = open_foreign(f, tok, tok_size, size);
    free(tok), free(folder);
    return bytes;
}
