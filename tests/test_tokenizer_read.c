/* test_tokenizer_read.c - examples/tokenizer_read.h: tokenizers of llama2.c, those of the models that
   ship among them, against a slow encoder that is written here, and a tokenizer.json and a GGUF file,
   written here of the golden vocabulary */
#include "check.h"
#include "files.h"
#include "../fuzz/fuzz_tokenizer.c"
#define GGUF_IMPLEMENTATION
#include "../examples/gguf.h"
#define JSON_IMPLEMENTATION
#include "../examples/json.h"
#define LLAMA2C_IMPLEMENTATION
#include "../examples/llama2c.h"
#define TOKENIZER_READ_IMPLEMENTATION
#include "../examples/tokenizer_read.h"

static unsigned char *build(tokenizer_source *s, size_t *size)
{
    size_t need = 0;
    unsigned char *work;
    CHECK_EQ(tokenizer_build_size(s, &need), LLMQ_OK);
    work = (unsigned char *)allocate(need);
    CHECK_EQ(tokenizer_build(s, work, need, size), LLMQ_OK);
    return work;
}

/* ---- llama2.c ---- */

#define MOST 5000
#define LONG 400 /* bytes of a text */
static const unsigned char *piece[MOST];
static size_t piece_size[MOST];
static float score[MOST];
static uint32_t pieces;

static void add_piece(float s, const void *text, size_t n)
{
    piece[pieces] = (const unsigned char *)text;
    piece_size[pieces] = n;
    score[pieces++] = s;
}

/* Pieces that are odd, too: one twice, an empty one, one that is named as a byte is; "c", "d" and a
   character are only in others, and so are bytes. raw: bytes are not named. */
static void make_pieces(int raw)
{
    static const char *const more[] = { "a", "b", "ab", "ba", "aba", "<", "s", ">", "<s", "<s>", "\xc3\xa9",
                                        "\xe2\x82\xac", " ", " a", "ab a", "<0x41>", "ab", "ca", "cc", "aca", " d",
                                        "cd", "\303\261a", "\x80x" };
    static char name[256][8], many[150];
    uint32_t i;
    pieces = 0;
    add_piece(0, "<unk>", 5), add_piece(0, "\n<s>\n", 5), add_piece(0, "\n</s>\n", 6);
    for (i = 0; i < 256; i++) {
        name[i][0] = (char)i;
        if (!raw) (void)snprintf(name[i], sizeof name[i], "<0x%02X>", (unsigned)i);
        add_piece(0, name[i], raw ? 1 : 6);
    }
    for (i = 0; i < sizeof more / sizeof *more; i++) add_piece((float)(i * 7 % 5) - 3.0f, more[i], strlen(more[i]));
    add_piece(9, "", 0);
    memset(many, 'b', sizeof many);
    add_piece(1, many, sizeof many);
}

static size_t write_tokenizer(unsigned char *out)
{
    size_t at = 4;
    uint32_t i;
    put32(out, 150);
    for (i = 0; i < pieces; i++) {
        put32(out + at, bits_of(score[i]));
        put32(out + at + 4, (uint32_t)piece_size[i]);
        memcpy(out + at + 8, piece[i], piece_size[i]);
        at += 8 + piece_size[i];
    }
    return at;
}

/* The first id from 259 on of these bytes; 0: none */
static uint32_t slow_find(const char *s, size_t n)
{
    uint32_t i;
    for (i = LLAMA2C_LEAST; i < pieces; i++)
        if (n && piece_size[i] == n && memcmp(piece[i], s, n) == 0) return i;
    return 0;
}

/* Characters, or their bytes where they are no pieces; then always the merge of the highest score. */
static uint32_t slow_encode(const char *text, size_t size, uint32_t *ids)
{
    size_t start[LONG + 1], i, n = 0, k, end;
    for (i = 0; i < size; i = end) {
        for (end = i + 1; end < size && ((unsigned char)text[end] & 0xc0) == 0x80; end++) {}
        if ((ids[n] = slow_find(text + i, end - i)) != 0) start[n++] = i;
        else
            for (k = i; k < end; k++) start[n] = k, ids[n++] = 3u + (unsigned char)text[k];
    }
    while (1) {
        size_t best = n;
        uint32_t best_id = 0;
        start[n] = size;
        for (i = 0; i + 1 < n; i++) {
            const uint32_t id = slow_find(text + start[i], start[i + 2 < n ? i + 2 : n] - start[i]);
            if (id && (best == n || score[id] > score[best_id])) best = i, best_id = id;
        }
        if (best == n) return (uint32_t)n;
        ids[best] = best_id;
        for (i = best + 1; i + 1 < n; i++) ids[i] = ids[i + 1], start[i] = start[i + 1];
        n--;
    }
}

/* The tokenizer in tokenizer.h's form, which the caller frees. */
static unsigned char *convert(tokenizer *t, const void *bytes, size_t size, uint32_t vocab, int prefix)
{
    llama2c_tokenizer old;
    tokenizer_llama2c from;
    tokenizer_source s;
    size_t stored;
    unsigned char *out;
    CHECK_EQ(llama2c_tokenizer_open(&old, bytes, size, vocab), LLMQ_OK);
    CHECK_EQ((long)old.count, (long)pieces);
    tokenizer_read_llama2c(&old, &from, &s);
    if (!prefix) s.flags &= ~TOKENIZER_ADD_SPACE;
    out = build(&s, &stored);
    CHECK_EQ(tokenizer_open(t, out, stored), LLMQ_OK);
    CHECK(t->bos == LLAMA2C_BOS && tokenizer_is_end(t, LLAMA2C_EOS) && t->count == pieces);
    return out;
}

/* The ids of a text, and the text of the ids; n is less than LONG. */
static void check_text(const tokenizer *t, int prefix, const char *text, size_t n)
{
    static union { uint32_t aligned; unsigned char byte[2 * LONG * 32]; } own;
    static char spaced[LONG + 1];
    uint32_t ids[LONG + 1], expected[LONG + 1], many, i, length;
    size_t count, at = 0;
    const int space = prefix && n > 0;
    const char *s;
    spaced[0] = ' ';
    memcpy(spaced + space, text, n);
    many = slow_encode(spaced, n + (size_t)space, expected);
    CHECK_EQ(tokenizer_encode(t, text, n, 0, ids, LONG + 1, &count, &own, sizeof own), LLMQ_OK);
    CHECK_EQ((long)count, (long)many);
    CHECK(count != many || memcmp(ids, expected, count * 4) == 0);
    for (i = 0; i < count; i++, at += length) {
        CHECK(tokenizer_piece(t, ids[i], i == 0, &s, &length) != 0);
        CHECK(at + length <= n && memcmp(text + at, s, length) == 0);
    }
    CHECK(at == n);
}

static void test_tokens(void)
{
    static const char *const letters[] = { "a", "a", "b", "b", "b", "c", "d", " ", "<", "s", ">", "\n", "0", "x", "4",
                                           "\x01", "A", "\xc3\xa9", "\xe2\x82\xac", "\xc3\xb1", "\xe2\x82\x80" };
    static const char *const texts[] = { "", "a", " ", " a", "\xc3\xa9", "<s>", "\n<s>\n", "<unk>", "<0x41>", "A",
                                         "abab aba", "ca", "acaca", "a d", "\303\261a", "\xe2\x82\x80x" };
    static unsigned char bytes[16384];
    char text[LONG];
    uint32_t i, k;
    int raw, prefix;
    for (raw = 0; raw < 2; raw++)
        for (prefix = 0; prefix < 2; prefix++) {
            tokenizer t;
            unsigned char *stored;
            make_pieces(raw);
            stored = convert(&t, bytes, write_tokenizer(bytes), pieces + 11, prefix); /* ids without a piece */
            for (i = 0; i < sizeof texts / sizeof *texts; i++) {
                check_at("text %lu, raw %d, prefix %d", (unsigned long)i, raw, prefix);
                check_text(&t, prefix, texts[i], strlen(texts[i]));
            }
            memset(text, 'b', 300);
            check_text(&t, prefix, text, 300);
            for (i = 0; i < 300; i++) {
                size_t n = 0;
                check_at("random text %lu, raw %d, prefix %d", (unsigned long)i, raw, prefix);
                for (k = check_below(60); k > 0; k--) {
                    const char *letter = letters[check_below(sizeof letters / sizeof *letters)];
                    memcpy(text + n, letter, strlen(letter));
                    n += strlen(letter);
                }
                check_text(&t, prefix, text, n);
            }
            free(stored);
        }
    check_at("%s", "");
}

static void test_tokenizer_errors(void)
{
    static unsigned char bytes[16384];
    llama2c_tokenizer t;
    size_t size, cut, at;
    uint32_t i;
    make_pieces(0);
    size = write_tokenizer(bytes);
    CHECK_EQ(llama2c_tokenizer_open(&t, bytes, size, pieces), LLMQ_OK);
    CHECK_EQ(llama2c_tokenizer_open(&t, bytes, size, pieces - 1), LLMQ_E_LIMIT);
    CHECK_EQ((long)t.count, (long)pieces);
    CHECK_EQ(llama2c_tokenizer_open(&t, bytes, size, 0), LLMQ_E_LIMIT);
    for (cut = 0, at = 4, i = 0; cut < size; cut++) { /* whole pieces, or within one */
        llmq_status wanted = cut < 4 ? LLMQ_E_TRUNCATED : LLMQ_OK;
        while (at < cut) at += 8 + piece_size[i++];
        if (cut >= 4) wanted = at != cut ? LLMQ_E_TRUNCATED : i < LLAMA2C_LEAST ? LLMQ_E_CORRUPT : LLMQ_OK;
        check_at("cut to %lu bytes", (unsigned long)cut);
        CHECK_EQ(llama2c_tokenizer_open(&t, bytes, cut, pieces), wanted);
        if (wanted != LLMQ_E_TRUNCATED) CHECK_EQ((long)t.count, (long)i);
    }
    check_at("%s", "");
    put32(bytes + 8, 0xfffffff8u); /* a length that would come round */
    CHECK_EQ(llama2c_tokenizer_open(&t, bytes, size, pieces), LLMQ_E_TRUNCATED);
    score[264] = float_of(0x7fc00000u);
    size = write_tokenizer(bytes);
    CHECK_EQ(llama2c_tokenizer_open(&t, bytes, size, pieces), LLMQ_E_NOT_FINITE);
    CHECK_EQ((long)t.count, 264);
}

/* The tokenizer of a model that ships, on parts of a text that are short enough for the slow encoder. */
static void test_shipped(const char *model)
{
    size_t size, n, at, tok_size;
    unsigned char *file = load_file(model, &size), *text = load_file("examples/model/heldout.txt", &n), *stored;
    llmq_bundle b;
    const void *tok;
    const unsigned char *from;
    tokenizer t;
    check_at("%s", model);
    CHECK_EQ(llmq_bundle_open(&b, file, size, NULL), LLMQ_OK);
    CHECK_EQ(llmq_bundle_value(&b, "tokenizer", LLMQ_VALUE_BYTES, &tok, &tok_size), LLMQ_OK);
    from = (const unsigned char *)tok;
    for (pieces = 0, at = 4; at < tok_size && pieces < MOST; at += 8 + piece_size[pieces - 1])
        add_piece(float_of(tokenizer__u32(from + at)), from + at + 8, tokenizer__u32(from + at + 4));
    stored = convert(&t, tok, tok_size, pieces, 1);
    for (at = 0; at + 80 < n; at += n / 40) {
        check_at("%s, from byte %lu", model, (unsigned long)at);
        check_text(&t, 1, (const char *)text + at, 80);
    }
    free(file), free(text), free(stored);
    check_at("%s", "");
}

/* ---- tokenizer.json ---- */

static char json_text[200000];
static size_t json_at;

static void put(const char *s) { memcpy(json_text + json_at, s, strlen(s) + 1), json_at += strlen(s); }

static void put_string(const char *s)
{
    char c[2] = { 0, 0 };
    put("\"");
    for (; *s; s++) {
        if (*s == '\n') put("\\n");
        else {
            if (*s == '"' || *s == '\\') put("\\");
            c[0] = *s, put(c);
        }
    }
    put("\"");
}

/* The golden vocabulary; pairs: merges as pairs of strings. */
static void make_json(const char *normalizer, const char *pre, const char *model, int pairs, int whole)
{
    tokenizer_source s = golden_source(TOKENIZER_PRE_GPT2, 0, 0);
    tokenizer_token token;
    tokenizer_merge merge;
    char number[32];
    uint32_t i;
    json_at = 0;
    put("{\"version\": \"1.0\", \"added_tokens\": [");
    for (i = GOLDEN_CONTROL; i < s.count; i++) {
        (void)s.token(NULL, i, &token);
        (void)snprintf(number, sizeof number, "%u", i);
        put(i > GOLDEN_CONTROL ? ", {\"id\": " : "{\"id\": "), put(number), put(", \"content\": "), put_string(token.s);
        put(token.type == TOKENIZER_CONTROL ? ", \"special\": true}" : ", \"special\": false}");
    }
    put("], \"normalizer\": "), put(normalizer), put(", \"pre_tokenizer\": "), put(pre);
    put(", \"model\": {\"type\": "), put_string(model), put(", \"ignore_merges\": "), put(whole ? "true" : "false");
    put(", \"vocab\": {");
    for (i = 0; i < GOLDEN_CONTROL; i++) {
        (void)s.token(NULL, i, &token);
        (void)snprintf(number, sizeof number, ": %u", i);
        put(i ? ", " : ""), put_string(token.s), put(number);
    }
    put("}, \"merges\": [");
    for (i = 0; i < s.merges; i++) {
        char both[120];
        (void)s.merge(NULL, i, &merge);
        (void)snprintf(both, sizeof both, "%s %s", merge.left, merge.right);
        put(i ? ", " : "");
        if (pairs) put("["), put_string(merge.left), put(", "), put_string(merge.right), put("]");
        else put_string(both);
    }
    put("]}}");
}

#define SEQUENCE "{\"type\": \"Sequence\", \"pretokenizers\": ["
#define BYTE_LEVEL(regex) "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": " regex "}"
#define SPLIT(regex) SEQUENCE "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" regex \
    "\"}, \"behavior\": \"Isolated\", \"invert\": false}, " BYTE_LEVEL("false") "]}"
#define LEVEL BYTE_LEVEL("true")
#define DIGITS SEQUENCE "{\"type\": \"Digits\", \"individual_digits\": true}, " LEVEL "]}"
#define LLAMA3(digits) SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" digits \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+")

static llmq_status read_json(tokenizer_json *from, tokenizer_source *s, const char **what, void **work)
{
    static const char config[] = "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}, "
        "\"unk_token\": \"<unk>\", \"add_bos_token\": true, \"chat_template\": \"<|im_start|>\"}";
    static json_value root, c;
    size_t need;
    CHECK_EQ(json_open(&root, json_text, json_at), LLMQ_OK);
    CHECK_EQ(json_open(&c, config, sizeof config - 1), LLMQ_OK);
    need = tokenizer_read_json_size(&root);
    *work = allocate(need);
    CHECK_EQ(tokenizer_read_json(&root, &c, from, s, what, *work, 4), LLMQ_E_WORKSPACE);
    return tokenizer_read_json(&root, &c, from, s, what, *work, need);
}

/* The stored form is the one of the vocabulary itself. */
static void check_json(const char *normalizer, const char *pre, int pairs, int whole, uint32_t expected)
{
    tokenizer_json from;
    tokenizer_source s;
    const char *what = "";
    size_t size, same;
    void *work;
    const uint32_t flags = whole ? TOKENIZER_ADD_BOS | TOKENIZER_WHOLE : TOKENIZER_ADD_BOS;
    unsigned char *bytes, *other = golden_build(expected, flags, TOKENIZER_CHAT_CHATML, &same);
    tokenizer t;
    make_json(normalizer, pre, "BPE", pairs, whole);
    check_at("pre-tokenizer %u, %d, %d", expected, pairs, whole);
    if (CHECK_EQ(read_json(&from, &s, &what, &work), LLMQ_OK)) {
        bytes = build(&s, &size);
        CHECK_EQ(tokenizer_open(&t, bytes, size), LLMQ_OK);
        CHECK(t.ends == 4 && t.pre == expected); /* EOS, and three control tokens with names of ends */
        CHECK(size == same && memcmp(bytes + 84, other + 84, size - 84) == 0);
        CHECK(memcmp(bytes + 12, other + 12, 36) == 0);
        free(bytes);
    }
    free(work), free(other);
    check_at("%s", "");
}

static void check_json_refused(const char *normalizer, const char *pre, const char *model, const char *named)
{
    tokenizer_json from;
    tokenizer_source s;
    const char *what = "";
    size_t need;
    json_value root;
    void *work;
    make_json(normalizer, pre, model, 0, 0);
    check_at("refused %s", named);
    CHECK_EQ(json_open(&root, json_text, json_at), LLMQ_OK);
    need = tokenizer_read_json_size(&root);
    work = allocate(need);
    CHECK_EQ(tokenizer_read_json(&root, NULL, &from, &s, &what, work, need), LLMQ_E_UNSUPPORTED);
    CHECK(strcmp(what, named) == 0);
    free(work);
    check_at("%s", "");
}

static void test_json(void)
{
    check_json("null", LEVEL, 0, 0, TOKENIZER_PRE_GPT2);
    check_json("null", LEVEL, 1, 0, TOKENIZER_PRE_GPT2);
    check_json("null", DIGITS, 0, 0, TOKENIZER_PRE_DIGITS);
    check_json("null", LLAMA3("{1,3}"), 1, 1, TOKENIZER_PRE_LLAMA3);
    check_json("{\"type\": \"NFC\"}", LLAMA3(""), 1, 0, TOKENIZER_PRE_QWEN2);
    check_json_refused("null", LEVEL, "Unigram", "model");
    check_json_refused("{\"type\": \"Lowercase\"}", LEVEL, "BPE", "normalizer");
    check_json_refused("null", "{\"type\": \"Whitespace\"}", "BPE", "pre_tokenizer");
    check_json_refused("null", LLAMA3("{1,4}"), "BPE", "pre_tokenizer");
    check_json_refused("null", "null", "BPE", "pre_tokenizer");
}

/* ---- GGUF ---- */

static unsigned char gguf_bytes[200000];
static size_t gguf_at;

static void put_number(uint64_t v, int width)
{
    for (; width > 0; width--, v >>= 8) gguf_bytes[gguf_at++] = (unsigned char)(v & 255);
}

static void put_text(const char *s, size_t n)
{
    put_number(n, 8);
    memcpy(gguf_bytes + gguf_at, s, n);
    gguf_at += n;
}

static void put_key(const char *key, uint32_t type) { put_text(key, strlen(key)), put_number(type, 4); }
static void put_array(const char *key, uint32_t type, uint64_t n)
{
    put_key(key, 9), put_number(type, 4), put_number(n, 8);
}

static void make_gguf(const char *model, const char *pre)
{
    tokenizer_source s = golden_source(pre[0] ? TOKENIZER_PRE_GPT2 : TOKENIZER_PRE_NONE, 0, 0);
    tokenizer_token token;
    tokenizer_merge merge;
    uint32_t i, bits;
    gguf_at = 0;
    memcpy(gguf_bytes, "GGUF", 4), gguf_at = 4;
    put_number(3, 4), put_number(0, 8), put_number(10, 8);
    put_key("tokenizer.ggml.model", 8), put_text(model, strlen(model));
    put_key("tokenizer.ggml.pre", 8), put_text(pre, strlen(pre));
    put_array("tokenizer.ggml.tokens", 8, s.count);
    for (i = 0; i < s.count; i++) (void)s.token(NULL, i, &token), put_text(token.s, token.length);
    put_array("tokenizer.ggml.token_type", 5, s.count);
    for (i = 0; i < s.count; i++) (void)s.token(NULL, i, &token), put_number(token.type, 4);
    put_array("tokenizer.ggml.scores", 6, s.count);
    for (i = 0; i < s.count; i++) {
        memset(&token, 0, sizeof token);
        (void)s.token(NULL, i, &token);
        memcpy(&bits, &token.score, 4);
        put_number(bits, 4);
    }
    put_array("tokenizer.ggml.merges", 8, s.merges);
    for (i = 0; i < s.merges; i++) {
        char both[120];
        (void)s.merge(NULL, i, &merge);
        put_text(both, (size_t)snprintf(both, sizeof both, "%s %s", merge.left, merge.right));
    }
    put_key("tokenizer.ggml.bos_token_id", 4), put_number(s.bos, 4);
    put_key("tokenizer.ggml.eos_token_id", 4), put_number(s.eos, 4);
    put_key("tokenizer.ggml.unknown_token_id", 4), put_number(s.unknown, 4);
    put_key("tokenizer.chat_template", 8), put_text("<start_of_turn>", 15);
}

static void check_gguf(const char *model, const char *name, uint32_t pre, uint32_t flags)
{
    tokenizer_gguf from;
    tokenizer_source s;
    const char *what = "";
    gguf g;
    size_t size, same;
    unsigned char *bytes, *other = golden_build(pre, flags, TOKENIZER_CHAT_GEMMA, &same);
    tokenizer t;
    make_gguf(model, name);
    check_at("%s %s", model, name);
    CHECK_EQ(gguf_open(&g, gguf_bytes, gguf_at), LLMQ_OK);
    if (CHECK_EQ(tokenizer_read_gguf(&g, &from, &s, &what), LLMQ_OK)) {
        bytes = build(&s, &size);
        CHECK_EQ(tokenizer_open(&t, bytes, size), LLMQ_OK);
        CHECK(size == same && memcmp(bytes + 84, other + 84, size - 84) == 0);
        CHECK(memcmp(bytes, other, 9) == 0 && memcmp(bytes + 10, other + 10, 42) == 0 && t.ends >= 1);
        free(bytes);
    }
    free(other);
    check_at("%s", "");
}

static void check_gguf_refused(const char *model, const char *pre, const char *named)
{
    tokenizer_gguf from;
    tokenizer_source s;
    const char *what = "";
    gguf g;
    make_gguf(model, pre);
    CHECK_EQ(gguf_open(&g, gguf_bytes, gguf_at), LLMQ_OK);
    CHECK_EQ(tokenizer_read_gguf(&g, &from, &s, &what), LLMQ_E_UNSUPPORTED);
    CHECK(strcmp(what, named) == 0);
}

static void test_gguf(void)
{
    check_gguf("gpt2", "smollm", TOKENIZER_PRE_DIGITS, 0);
    check_gguf("gpt2", "llama-bpe", TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE | TOKENIZER_ADD_BOS);
    check_gguf("llama", "", TOKENIZER_PRE_NONE, TOKENIZER_ADD_SPACE | TOKENIZER_ADD_BOS);
    check_gguf_refused("t5", "", "tokenizer.ggml.model");
    check_gguf_refused("gpt2", "default", "tokenizer.ggml.pre");
}

int main(void)
{
    check_faults_from();
    test_tokenizer_errors();
    check_fault("T14");
    test_tokens();
    check_fault("T15");
    test_shipped("examples/model/kjv.llmq");
    test_shipped("examples/model/nano.llmq");
    test_json();
    test_gguf();
    return check_done("test_tokenizer_read");
}
