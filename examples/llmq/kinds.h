/* kinds.h - what a file is that is not what was asked for, and what to do then. A part of the
   tool llmq.c, not a header for others. */

static int begins(const unsigned char *b, size_t size, const char *with, size_t n)
{
    return size >= n && memcmp(b, with, n) == 0;
}

/* Blanks, then this word, in any case: how pages of the web begin. */
static int begins_with_word(const unsigned char *b, size_t size, const char *word)
{
    size_t i = begins(b, size, "\xef\xbb\xbf", 3) ? 3 : 0, k;
    while (i < size && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n')) i++;
    for (k = 0; word[k]; k++)
        if (i + k >= size || (b[i + k] >= 'A' && b[i + k] <= 'Z' ? b[i + k] + 32 : b[i + k]) != (unsigned char)word[k])
            return 0;
    return 1;
}

/* JSON of safetensors behind its length. */
static int is_safetensors(const unsigned char *b, size_t size)
{
    return size >= 10 && b[8] == '{' && (b[9] == '"' || b[9] == '}' || b[9] == ' ') && b[4] == 0 && b[5] == 0
           && b[6] == 0 && b[7] == 0;
}

/* A tokenizer of llama2.c: pieces from the first to the last byte, and as many as it has at least. */
static int is_tokenizer(const unsigned char *b, size_t size)
{
    size_t at = 4, count = 0;
    for (; at < size; count++) {
        size_t length = 0;
        if (size - at < 8) return 0;
        for (int i = 4; i-- > 0;) length = length << 8 | b[at + 4 + (size_t)i];
        if (length > size - at - 8) return 0;
        at += 8 + length;
    }
    return at == size && count >= LLAMA2C_LEAST;
}

/* An importance matrix in GGUF: its general.type is among the first keys. */
static int says_imatrix(const unsigned char *b, size_t size)
{
    static const char key[] = "general.type\x08\0\0\0\x07\0\0\0\0\0\0\0imatrix";
    for (size_t i = 0; i + sizeof key - 1 <= size && i < 65536; i++)
        if (memcmp(b + i, key, sizeof key - 1) == 0) return 1;
    return 0;
}

/* Text: whole characters, none of them a control but ends of lines and tabs. */
static int is_text(const unsigned char *b, size_t size)
{
    for (size_t i = 0, length; i < size; i += length) {
        uint32_t code;
        if ((length = character(b + i, size - i, &code)) == 0) return 0;
        if (is_control(code) && code != '\n' && code != '\t' && code != '\r' && code != '\f' && code != 0xfeff)
            return 0;
    }
    return 1;
}

static int is_html(const unsigned char *b, size_t size)
{
    return begins_with_word(b, size, "<!doctype") || begins_with_word(b, size, "<html");
}

static int is_json(const unsigned char *b, size_t size) { return begins_with_word(b, size, "{"); }

/* Text that is of another kind than the tool's own: where a recipe or coefficients were asked for. */
static int is_other_text(const unsigned char *b, size_t size)
{
    return begins(b, size, "version https://git-lfs", 23) || is_html(b, size) || is_json(b, size);
}

static int is_gguf(const unsigned char *b, size_t size) { return begins(b, size, "GGUF", 4); }

static int is_gguf_imatrix(const unsigned char *b, size_t size) { return is_gguf(b, size) && says_imatrix(b, size); }

static int is_tensorflow_lite(const unsigned char *b, size_t size)
{
    return size > 8 && begins(b + 4, size - 4, "TFL3", 4);
}

static int is_checkpoint(const unsigned char *b, size_t size)
{
    llama2c_checkpoint checkpoint;
    return llama2c_open(&checkpoint, b, size) == LLMQ_OK;
}

/* A protobuf whose first field is a small number, the version, and whose second is a text, the
   producer. */
static int is_onnx(const unsigned char *b, size_t size) { return size > 4 && b[0] == 8 && b[1] < 32 && b[2] == 0x12; }

/* A protobuf of pieces. The first is "<unk>". */
static int is_sentencepiece(const unsigned char *b, size_t size)
{
    return size > 8 && b[0] == '\n' && memchr(b, '<', size < 32 ? size : 32);
}

static int is_plan(const unsigned char *b, size_t size) { return begins(b, size, "# llmq plan", 11); }

static int is_old_imatrix(const unsigned char *b, size_t size)
{
    imatrix matrix;
    return imatrix_open(&matrix, b, size) == LLMQ_OK;
}

#define CONVERT "convert the model to a llama2.c checkpoint (llama2.c's export.py --version 0) and give that"
#define ANOTHER "give another file"

/* Kinds that their first bytes name. They are looked for first. */
static const struct { const char *start; size_t length; const char *what, *advice; } signature[] = {
    { "version https://git-lfs", 23, "a pointer of git-lfs, not the file itself",
      "fetch the file with 'git lfs pull'" },
    { "PK\3\4", 4, "a zip archive, as PyTorch writes checkpoints", CONVERT },
    { "\x80\2", 2, "a Python pickle, as PyTorch wrote checkpoints", CONVERT },
    { "\x80\3", 2, "a Python pickle", CONVERT },
    { "\x80\4\x95", 3, "a Python pickle", CONVERT },
    { "\x80\5\x95", 3, "a Python pickle", CONVERT },
    { "tjgg", 4, "a GGJT file, of llama.cpp before GGUF", CONVERT },
    { "fmgg", 4, "a GGMF file, of llama.cpp before GGUF", CONVERT },
    { "lmgg", 4, "a GGML file, of llama.cpp before GGUF", CONVERT },
    { "24ka", 4, "a llama2.c checkpoint of version 1 or 2, which llmq does not read",
      "export the model with llama2.c's export.py --version 0" },
    { "\x89HDF\r\n\x1a\n", 8, "an HDF5 file", CONVERT },
    { "\x93NUMPY", 6, "an array of NumPy", CONVERT },
    { "\x1f\x8b", 2, "compressed by gzip", "unpack it with 'gzip -d'" },
    { "BZh", 3, "compressed by bzip2", "unpack it with 'bzip2 -d'" },
    { "\xfd" "7zXZ\0", 6, "compressed by xz", "unpack it with 'xz -d'" },
    { "\x28\xb5\x2f\xfd", 4, "compressed by zstd", "unpack it with 'zstd -d'" },
    { "7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "unpack it" },
    { "\x7f" "ELF", 4, "a program", ANOTHER },
    { "MZ", 2, "a program of Windows", ANOTHER },
    { "%PDF", 4, "a PDF document", ANOTHER }
};

/* Other kinds, tried in this order. Pages, JSON and recipes are texts too, so texts come after them. */
static const struct { int (*is)(const unsigned char *b, size_t size); const char *what, *advice; } other_kind[] = {
    { is_gguf_imatrix, "a GGUF file that holds an importance matrix", "it goes to --hessian" },
    { is_gguf, "a GGUF file", "it goes where a model is expected" },
    { is_tensorflow_lite, "a model of TensorFlow Lite", CONVERT },
    { is_safetensors, "a safetensors file", "give the folder that it is in, with its config.json" },
    { is_html, "a page of the web (HTML), not the file itself",
      "fetch the file again, from the address of its raw bytes" },
    { is_tokenizer, "a tokenizer of llama2.c", "it goes to --tokenizer" },
    { is_checkpoint, "a llama2.c checkpoint", ANOTHER },
    { is_onnx, "an ONNX model, it seems", CONVERT },
    { is_sentencepiece, "a sentencepiece model, it seems", "convert it with llama2.c's tokenizer.py" },
    { is_json, "JSON", "give the file of weights, or a tokenizer of llama2.c" },
    { is_plan, "a recipe of 'llmq plan'", "it goes to --recipe" },
    { is_text, "a text", ANOTHER },
    { is_old_imatrix, "an importance matrix of llama.cpp", "it goes to --hessian" }
};

/* Formats that were built in until version 0.10: the ids that bundles have, and formats of as many bits at most that
   are more accurate and faster. */
static const struct former { uint32_t id; const char *name, *better; } former_formats[] = {
    { 42, "v2n256", "t4" }, { 43, "v3n64", "t2" }, { 44, "v3n512", "t3" }, { 45, "v4n256", "t2" }, { 51, "u6", "g6" }
};

/* The one of an entry of a directory that has been checked; NULL: none. */
static const struct former *former_format(const unsigned char *entry)
{
    const uint32_t kind = load_u32(entry) & 0xffff, id = load_u32(entry + 12);
    for (size_t i = 0; i < sizeof former_formats / sizeof *former_formats; i++)
        if (kind == LLMQ_KIND_TENSOR && id == former_formats[i].id) return &former_formats[i];
    return NULL;
}

/* Why llmq_bundle_open or llmq_bundle_verify refused. */
static int wrong_bundle(problem *p, const char *path, const unsigned char *bytes, const llmq_error *error)
{
    const struct former *f = error->status == LLMQ_E_UNSUPPORTED ? former_format(bytes + error->offset) : NULL;
    if (f)
        return wrong(p, "%s: %s was built in until 0.10; quantize the model again, in %s for example: it is no larger, "
                     "more accurate and faster", path, f->name, f->better);
    return wrong(p, "%s: %s (at byte %zu)", path, llmq_status_text(error->status), error->offset);
}

/* What names of a model's values begin with: "lm.", or "llama." in bundles of before version 0.9.
   NULL: the bundle holds no model. */
static const char *prefix_of_values(const llmq_bundle *b)
{
    uint32_t index;
    if (llmq_bundle_find(b, "lm.dim", &index) == LLMQ_OK) return "lm.";
    return llmq_bundle_find(b, "llama.dim", &index) == LLMQ_OK ? "llama." : NULL;
}

/* What bundles of this project are for. The bundle need not be whole. */
static const char *kind_of_bundle(const unsigned char *b, size_t size)
{
    llmq_bundle bundle;
    uint32_t index;
    if (llmq_bundle_open(&bundle, b, size, NULL) != LLMQ_OK) return "a .llmq bundle that cannot be opened";
    if (prefix_of_values(&bundle)) return "a .llmq bundle of a model";
    if (llmq_bundle_find(&bundle, "sense.run", &index) == LLMQ_OK) return "a .llmq bundle of sums, of 'llmq sense'";
    return "a .llmq bundle of something else ('llmq inspect' shows it)";
}

/* Says what a file is: "it is a GGUF file ...; convert ...". Returns 0 if that is nothing in particular. */
static int say_kind(words *w, const unsigned char *b, size_t size)
{
    const size_t signatures = sizeof signature / sizeof *signature, others = sizeof other_kind / sizeof *other_kind;
    const char *what = NULL, *advice = ANOTHER;
    size_t i = 0, k = 0;
    while (i < signatures && !begins(b, size, signature[i].start, signature[i].length)) i++;
    if (size == 0) what = "empty";
    else if (i < signatures) what = signature[i].what, advice = signature[i].advice;
    else if (begins(b, size, "LLMQ", 4)) what = kind_of_bundle(b, size);
    else {
        while (k < others && !other_kind[k].is(b, size)) k++;
        if (k < others) what = other_kind[k].what, advice = other_kind[k].advice;
    }
    say(w, "it is %s; %s", what ? what : "of no kind that is known here", advice);
    return what != NULL;
}

/* A file that is not what it was given for. role: "is neither a .llmq bundle nor a llama2.c checkpoint". */
static int wrong_kind(problem *p, const char *path, const char *role, const unsigned char *b, size_t size)
{
    words kind = { NULL, 0, 0 };
    (void)say_kind(&kind, b, size);
    (void)wrong(p, "%s %s: %s", path, role, kind.s);
    free(kind.s);
    return 0;
}
