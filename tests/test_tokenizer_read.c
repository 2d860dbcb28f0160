/* test_tokenizer_read.c - examples/tokenizer_read.h: the tokenizers of the models that ship, as
   llama2c.h reads them, and a tokenizer.json and a GGUF file, written here of the golden vocabulary */
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

static void compare(const tokenizer *t, const llama2c_tokenizer *old, const char *text, size_t n)
{
    uint32_t *expected = (uint32_t *)allocate((n + 2) * 4), *ids = (uint32_t *)allocate((3 * n + 4) * 4), many;
    const size_t need = tokenizer_work_size(t, n + 1);
    void *work = allocate(llama2c_encode_work_size(n)), *own = allocate(need);
    size_t count;
    int prefix;
    for (prefix = 0; prefix < 2; prefix++) {
        many = llama2c_encode(old, text, n, prefix, expected, work);
        CHECK_EQ(tokenizer_encode(t, text, n, prefix ? 0 : TOKENIZER_CONTINUES, ids, 3 * n + 4, &count, own, need),
                 LLMQ_OK);
        CHECK_EQ((long)count, (long)many);
        CHECK(count != many || memcmp(ids, expected, count * 4) == 0);
    }
    free(expected), free(ids), free(work), free(own);
}

static void test_llama2c(const char *model)
{
    size_t size, n, i, stored;
    unsigned char *file = load_file(model, &size), *text = load_file("examples/model/heldout.txt", &n), *bytes;
    llmq_bundle b;
    const void *tok;
    size_t tok_size;
    uint32_t vocab = 32000, *mem = (uint32_t *)allocate(8 * (size_t)vocab);
    llama2c_tokenizer old;
    tokenizer_llama2c from;
    tokenizer_source s;
    tokenizer t;
    check_at("%s", model);
    CHECK_EQ(llmq_bundle_open(&b, file, size, NULL), LLMQ_OK);
    CHECK_EQ(llmq_bundle_value(&b, "tokenizer", LLMQ_VALUE_BYTES, &tok, &tok_size), LLMQ_OK);
    CHECK_EQ(llama2c_tokenizer_init(&old, tok, tok_size, vocab, mem), LLMQ_OK);
    tokenizer_read_llama2c(&old, &from, &s);
    bytes = build(&s, &stored);
    CHECK_EQ(tokenizer_open(&t, bytes, stored), LLMQ_OK);
    printf("%s: %lu bytes as llama2.c has it, %lu stored\n", model, (unsigned long)tok_size, (unsigned long)stored);
    compare(&t, &old, (const char *)text, n);
    for (i = 0; i < sizeof golden_texts / sizeof *golden_texts; i++)
        if (golden_texts[i].length) compare(&t, &old, golden_texts[i].s, golden_texts[i].length);
    CHECK(t.bos == LLAMA2C_BOS && tokenizer_is_end(&t, LLAMA2C_EOS));
    free(file), free(text), free(mem), free(bytes);
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
    test_llama2c("examples/model/kjv.llmq");
    test_llama2c("examples/model/nano.llmq");
    test_json();
    test_gguf();
    return check_done("test_tokenizer_read");
}
