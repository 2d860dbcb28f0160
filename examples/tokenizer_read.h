/* tokenizer_read.h - sources of tokenizer.h's tokenizer_build: GGUF files, tokenizer.json, and
   llama2.c's tokenizers - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define TOKENIZER_READ_IMPLEMENTATION
       #include "tokenizer_read.h"

   A reader fills a tokenizer_source, which then reads from the file while tokenizer_build runs.
   What is not understood is refused, and *what then names it: the key of a value, mostly. */
#ifndef TOKENIZER_READ_H
#define TOKENIZER_READ_H

#include "gguf.h"
#include "json.h"
#include "llama2c.h"
#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a source of a GGUF file reads from. */
typedef struct tokenizer_gguf {
    gguf_value tokens, types, scores, merges; /* count 0: not there */
    size_t token_at, merge_at;
} tokenizer_gguf;

/* The tokenizer of a GGUF file: tokenizer.ggml.model "gpt2" (byte-level BPE, with tokenizer.ggml.pre)
   and "llama" (SentencePiece BPE). End tokens are those of the ids of EOS, EOT and EOM, and control
   tokens with the names that llama.cpp knows.
   g, from: must stay as they are while s is in use.
   Errors: LLMQ_E_UNSUPPORTED (another model or pre-tokenizer), LLMQ_E_NOT_FOUND (a value is missing),
   LLMQ_E_CORRUPT (a value of a wrong type, or one that contradicts another), LLMQ_E_LIMIT. */
LLMQ_NODISCARD llmq_status tokenizer_read_gguf(const gguf *g, tokenizer_gguf *from, tokenizer_source *s,
                                               const char **what);

/* What a source of a tokenizer.json reads from. */
typedef struct tokenizer_json {
    json_value vocabulary, added, merges;
    uint32_t *value;             /* of each token, where it is in the text; see tokenizer_read_json */
    unsigned char *type;
    char *string[2];             /* room for the strings of a merge */
    size_t room, merge_at;
    const char *text;
} tokenizer_json;

/* Bytes of workspace for tokenizer_read_json: of the order of the text; 0 if they do not fit size_t. */
size_t tokenizer_read_json_size(const json_value *root);

/* The tokenizer of a tokenizer.json (root, by json_open) with its tokenizer_config.json (config; NULL:
   none), of Hugging Face's tokenizers. The model must be "BPE". Pre-tokenizers are known by their
   regular expression; a normalizer may be none, NFC (which is not done), or put U+2581 for spaces.
   Added tokens are control tokens where they are "special", else user-defined. config says BOS, EOS,
   whether they are added, and the chat template.
   root, config and their texts, from, work: must stay as they are while s is in use.
   work: work_size bytes, aligned for uint32_t.
   Errors: LLMQ_E_UNSUPPORTED (*what names the part that is not understood), LLMQ_E_NOT_FOUND (a part
   or a token is missing), LLMQ_E_CORRUPT (a wrong type, an id twice or none), LLMQ_E_LIMIT,
   LLMQ_E_WORKSPACE. */
LLMQ_NODISCARD llmq_status tokenizer_read_json(const json_value *root, const json_value *config, tokenizer_json *from,
                                               tokenizer_source *s, const char **what, void *work, size_t work_size);

/* What a source of a tokenizer of llama2.c reads from. */
typedef struct tokenizer_llama2c {
    const llama2c_tokenizer *t;
    size_t at;
    char byte;
} tokenizer_llama2c;

/* The tokenizer of llama2.c. Ids are the same as those of its program, but here
     - characters are divided as in tokenizer.h where text is not UTF-8;
     - U+2581 is a space, and a space that is no piece is the bytes of U+2581;
     - a piece is merged of bytes, too, where their character is no piece, as in sentencepiece.
   t: opened by llama2c_tokenizer_open. t and from must stay as they are while s is in use.
   s: begins texts with BOS and with a space; a model that has no space there takes away the flag
   TOKENIZER_ADD_SPACE. */
void tokenizer_read_llama2c(const llama2c_tokenizer *t, tokenizer_llama2c *from, tokenizer_source *s);

#ifdef __cplusplus
}
#endif
#endif /* TOKENIZER_READ_H */

#ifdef TOKENIZER_READ_IMPLEMENTATION
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

static void tokenizer_read__begin(tokenizer_source *s)
{
    memset(s, 0, sizeof *s);
    s->bos = s->eos = s->unknown = s->padding = s->fault = TOKENIZER_NONE;
}

/* An id in the set of end tokens, once; where the set is full the file's own ids are there already. */
static void tokenizer_read__end(tokenizer_source *s, uint32_t id)
{
    uint32_t i;
    for (i = 0; i < s->ends; i++)
        if (s->end[i] == id) return;
    if (id != TOKENIZER_NONE && s->ends < TOKENIZER_MAX_ENDS) s->end[s->ends++] = id;
}

/* Names of tokens that end a text or a turn. */
static int tokenizer_read__ends(const char *name, size_t length)
{
    static const char *const names[] = { "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>",
                                         "<|end_of_text|>", "<end_of_turn>", "<|end_of_turn|>" };
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) return 1;
    return 0;
}

/* ---- GGUF ---- */

static llmq_status tokenizer_read__gguf_token(void *context, uint32_t i, tokenizer_token *token)
{
    tokenizer_gguf *from = (tokenizer_gguf *)context;
    double x = 0;
    llmq_status status;
    if (i == 0) from->token_at = 0;
    status = gguf_string(&from->tokens, &from->token_at, &token->s, &token->length);
    token->type = TOKENIZER_NORMAL;
    if (status == LLMQ_OK && from->types.count) {
        status = gguf_number(&from->types, i, &x);
        token->type = x >= 0 && x <= 255 ? (uint32_t)x : 0;
    }
    if (status == LLMQ_OK && from->scores.count) {
        status = gguf_number(&from->scores, i, &x);
        token->score = (float)x;
    }
    return status;
}

/* "left right"; the left one can begin with a space. */
static llmq_status tokenizer_read__gguf_merge(void *context, uint32_t i, tokenizer_merge *merge)
{
    tokenizer_gguf *from = (tokenizer_gguf *)context;
    const char *s, *space;
    size_t n;
    llmq_status status;
    if (i == 0) from->merge_at = 0;
    status = gguf_string(&from->merges, &from->merge_at, &s, &n);
    if (status != LLMQ_OK) return status;
    space = n > 1 ? (const char *)memchr(s + 1, ' ', n - 1) : NULL;
    if (!space) return LLMQ_E_CORRUPT;
    merge->left = s, merge->left_length = (size_t)(space - s);
    merge->right = space + 1, merge->right_length = n - merge->left_length - 1;
    return LLMQ_OK;
}

/* An array of a key: of strings or of numbers, at least `least` of them. */
static llmq_status tokenizer_read__array(const gguf *g, const char *key, int strings, uint64_t least, gguf_value *v,
                                         const char **what)
{
    llmq_status status;
    *what = key;
    status = gguf_find_value(g, key, v);
    if (status != LLMQ_OK) return status;
    if (!v->array || (v->type == GGUF_STRING) != strings || v->count < least) return LLMQ_E_CORRUPT;
    return v->count < 0xffffffu ? LLMQ_OK : LLMQ_E_LIMIT;
}

/* A number from 0 on up to most; *x stays what it is if the key is not there. */
static llmq_status tokenizer_read__value(const gguf *g, const char *key, double most, uint32_t *x, const char **what)
{
    gguf_value v;
    double number;
    if (gguf_find_value(g, key, &v) != LLMQ_OK) return LLMQ_OK;
    *what = key;
    if (v.array || gguf_number(&v, 0, &number) != LLMQ_OK || !(number >= 0 && number <= most)) return LLMQ_E_CORRUPT;
    *x = (uint32_t)number;
    return LLMQ_OK;
}

static llmq_status tokenizer_read__gguf_ids(const gguf *g, tokenizer_source *s, const char **what)
{
    static const char *const key[6] = { "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id",
                                        "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id" };
    static const char *const flag[3] = { "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
                                         "tokenizer.ggml.add_space_prefix" };
    static const uint32_t bit[3] = { TOKENIZER_ADD_BOS, TOKENIZER_ADD_EOS, TOKENIZER_ADD_SPACE };
    uint32_t id[6] = { TOKENIZER_NONE, TOKENIZER_NONE, TOKENIZER_NONE, TOKENIZER_NONE, TOKENIZER_NONE, TOKENIZER_NONE };
    uint32_t i, on;
    llmq_status status;
    if (s->kind == TOKENIZER_CHARS) id[0] = 1, id[1] = 2, id[2] = 0; /* SentencePiece's own */
    for (i = 0; i < 6; i++)
        if ((status = tokenizer_read__value(g, key[i], s->count - 1.0, &id[i], what)) != LLMQ_OK) return status;
    s->bos = id[0], s->eos = id[1], s->unknown = id[2], s->padding = id[3];
    for (i = 0; i < 3; i++) {
        on = (s->flags & bit[i]) != 0;
        if ((status = tokenizer_read__value(g, flag[i], 1, &on, what)) != LLMQ_OK) return status;
        s->flags = on ? s->flags | bit[i] : s->flags & ~bit[i];
    }
    if (s->kind == TOKENIZER_BYTES) s->flags &= ~TOKENIZER_ADD_SPACE; /* as llama.cpp, which ignores it there */
    tokenizer_read__end(s, id[1]), tokenizer_read__end(s, id[4]), tokenizer_read__end(s, id[5]);
    return LLMQ_OK;
}

/* What the model's name and the pre-tokenizer's say. */
static llmq_status tokenizer_read__gguf_kind(const gguf *g, tokenizer_source *s, const char **what)
{
    gguf_value v;
    const char *name;
    size_t at = 0, n;
    *what = "tokenizer.ggml.model";
    if (gguf_find_value(g, *what, &v) != LLMQ_OK) return LLMQ_E_NOT_FOUND;
    if (v.array || gguf_string(&v, &at, &name, &n) != LLMQ_OK) return LLMQ_E_CORRUPT;
    if (n == 5 && memcmp(name, "llama", 5) == 0) {
        s->kind = TOKENIZER_CHARS;
        s->pre = TOKENIZER_PRE_NONE;
        s->flags = TOKENIZER_ADD_BOS | TOKENIZER_ADD_SPACE;
        return LLMQ_OK;
    }
    if (n != 4 || memcmp(name, "gpt2", 4) != 0) return LLMQ_E_UNSUPPORTED;
    s->kind = TOKENIZER_BYTES;
    *what = "tokenizer.ggml.pre";
    at = 0;
    if (gguf_find_value(g, *what, &v) != LLMQ_OK) return LLMQ_E_NOT_FOUND;
    if (v.array || gguf_string(&v, &at, &name, &n) != LLMQ_OK) return LLMQ_E_CORRUPT;
    s->pre = tokenizer_pre_find(name, n, &s->flags);
    return s->pre == TOKENIZER_NONE ? LLMQ_E_UNSUPPORTED : LLMQ_OK;
}

llmq_status tokenizer_read_gguf(const gguf *g, tokenizer_gguf *from, tokenizer_source *s, const char **what)
{
    gguf_value v;
    tokenizer_token token;
    const char *text;
    size_t at = 0, n;
    uint32_t i;
    llmq_status status;
    tokenizer_read__begin(s);
    memset(from, 0, sizeof *from);
    if ((status = tokenizer_read__gguf_kind(g, s, what)) != LLMQ_OK) return status;
    status = tokenizer_read__array(g, "tokenizer.ggml.tokens", 1, 1, &from->tokens, what);
    if (status != LLMQ_OK) return status;
    s->count = (uint32_t)from->tokens.count;
    status = tokenizer_read__array(g, "tokenizer.ggml.token_type", 0, s->count, &from->types, what);
    if (status != LLMQ_OK) return status;
    if (s->kind == TOKENIZER_CHARS) {
        status = tokenizer_read__array(g, "tokenizer.ggml.scores", 0, s->count, &from->scores, what);
    } else {
        status = tokenizer_read__array(g, "tokenizer.ggml.merges", 1, 0, &from->merges, what);
        s->merge = tokenizer_read__gguf_merge;
        s->merges = (uint32_t)from->merges.count;
    }
    if (status == LLMQ_OK) status = tokenizer_read__gguf_ids(g, s, what);
    if (status != LLMQ_OK) return status;
    s->token = tokenizer_read__gguf_token;
    s->context = from;
    *what = "tokenizer.ggml.tokens";
    for (i = 0; i < s->count; i++) {
        if ((status = s->token(from, i, &token)) != LLMQ_OK) return status;
        if (token.type == TOKENIZER_CONTROL && tokenizer_read__ends(token.s, token.length)) tokenizer_read__end(s, i);
    }
    if (gguf_find_value(g, "tokenizer.chat_template", &v) == LLMQ_OK && !v.array
        && gguf_string(&v, &at, &text, &n) == LLMQ_OK)
        s->chat = tokenizer_chat_detect(text, n);
    *what = "";
    return LLMQ_OK;
}

/* ---- tokenizer.json ---- */

/* Member `key` of an object, or a null where it is missing. */
static json_value tokenizer_read__member(const json_value *in, const char *key)
{
    json_value v;
    if (in->type != JSON_OBJECT || json_find(in, key, &v) != LLMQ_OK) memset(&v, 0, sizeof v);
    return v;
}

static int tokenizer_read__type_is(const json_value *in, const char *name)
{
    json_value v = tokenizer_read__member(in, "type");
    return json_is(&v, name);
}

static uint32_t tokenizer_read__json_id(const json_value *v)
{
    uint64_t id;
    return v->type == JSON_NUMBER && json_integer(v, &id) == LLMQ_OK && id < 0xffffffu ? (uint32_t)id : TOKENIZER_NONE;
}

size_t tokenizer_read_json_size(const json_value *root)
{
    return root->size > ((size_t)-1 - 64) / 4 ? 0 : root->size * 4 + 64;
}

static llmq_status tokenizer_read__json_token(void *context, uint32_t i, tokenizer_token *token)
{
    tokenizer_json *from = (tokenizer_json *)context;
    json_value v;
    v.at = from->text + from->value[2 * i];
    v.size = from->value[2 * i + 1];
    v.type = JSON_STRING;
    token->type = from->type[i];
    token->s = from->string[0];
    return json_string(&v, from->string[0], from->room, &token->length);
}

/* "left right", or two strings. */
static llmq_status tokenizer_read__json_merge(void *context, uint32_t i, tokenizer_merge *merge)
{
    tokenizer_json *from = (tokenizer_json *)context;
    json_value v, part;
    size_t at = 0, n;
    const char *space;
    llmq_status status;
    if (i == 0) from->merge_at = 0;
    status = json_next(&from->merges, &from->merge_at, NULL, &v);
    if (status != LLMQ_OK) return status;
    merge->left = from->string[0], merge->right = from->string[1];
    if (v.type == JSON_ARRAY) {
        if (json_next(&v, &at, NULL, &part) != LLMQ_OK) return LLMQ_E_CORRUPT;
        status = json_string(&part, from->string[0], from->room, &merge->left_length);
        if (status != LLMQ_OK || json_next(&v, &at, NULL, &part) != LLMQ_OK) return LLMQ_E_CORRUPT;
        status = json_string(&part, from->string[1], from->room, &merge->right_length);
        return status != LLMQ_OK || json_next(&v, &at, NULL, &part) == LLMQ_OK ? LLMQ_E_CORRUPT : LLMQ_OK;
    }
    if (json_string(&v, from->string[0], from->room, &n) != LLMQ_OK) return LLMQ_E_CORRUPT;
    space = n > 1 ? (const char *)memchr(from->string[0] + 1, ' ', n - 1) : NULL;
    if (!space) return LLMQ_E_CORRUPT;
    merge->left_length = (size_t)(space - from->string[0]);
    merge->right = space + 1, merge->right_length = n - merge->left_length - 1;
    return LLMQ_OK;
}

/* Puts a token into the table; an added token can be in the vocabulary, too. */
static llmq_status tokenizer_read__place(tokenizer_json *from, uint32_t count, const json_value *key, uint32_t id,
                                         uint32_t type)
{
    if (id >= count) return LLMQ_E_CORRUPT;
    if (from->value[2 * id + 1] && type == TOKENIZER_NORMAL) return LLMQ_E_CORRUPT;
    from->value[2 * id] = (uint32_t)(key->at - from->text);
    from->value[2 * id + 1] = (uint32_t)key->size;
    from->type[id] = (unsigned char)type;
    return LLMQ_OK;
}

/* "<0x0A>" in a vocabulary with bytes for characters that are no token. */
static int tokenizer_read__is_byte(const json_value *key)
{
    return key->size == 8 && memcmp(key->at, "\"<0x", 4) == 0 && key->at[6] == '>';
}

static llmq_status tokenizer_read__json_tokens(tokenizer_json *from, tokenizer_source *s)
{
    json_value key, v, content, special;
    size_t at = 0;
    uint32_t i;
    llmq_status status = LLMQ_OK;
    while (status == LLMQ_OK && json_next(&from->vocabulary, &at, &key, &v) == LLMQ_OK) {
        uint32_t type = s->kind == TOKENIZER_CHARS && tokenizer_read__is_byte(&key) ? TOKENIZER_BYTE : TOKENIZER_NORMAL;
        status = tokenizer_read__place(from, s->count, &key, tokenizer_read__json_id(&v), type);
    }
    at = 0;
    while (status == LLMQ_OK && from->added.type == JSON_ARRAY && json_next(&from->added, &at, NULL, &v) == LLMQ_OK) {
        content = tokenizer_read__member(&v, "content"), special = tokenizer_read__member(&v, "special");
        key = tokenizer_read__member(&v, "id");
        i = tokenizer_read__json_id(&key);
        if (content.type != JSON_STRING) return LLMQ_E_CORRUPT;
        if (i < s->count && from->type[i] == TOKENIZER_BYTE) continue;
        status = tokenizer_read__place(from, s->count, &content, i,
                                       special.type == JSON_TRUE ? TOKENIZER_CONTROL : TOKENIZER_USER);
    }
    for (i = 0; i < s->count && status == LLMQ_OK; i++)
        if (from->value[2 * i + 1] == 0) return LLMQ_E_CORRUPT;
    return status;
}

/* Counts members, and ids beyond them that added tokens have. */
static uint32_t tokenizer_read__json_count(const tokenizer_json *from)
{
    json_value v, id;
    size_t at = 0;
    uint32_t count = 0, i;
    while (json_next(&from->vocabulary, &at, NULL, &v) == LLMQ_OK) {
        i = tokenizer_read__json_id(&v);
        if (i != TOKENIZER_NONE && i >= count) count = i + 1;
    }
    at = 0;
    while (from->added.type == JSON_ARRAY && json_next(&from->added, &at, NULL, &v) == LLMQ_OK) {
        id = tokenizer_read__member(&v, "id");
        i = tokenizer_read__json_id(&id);
        if (i != TOKENIZER_NONE && i >= count) count = i + 1;
    }
    return count;
}

/* A step of a pre-tokenizer: what it says of s->pre. Regular expressions as their authors write them. */
static llmq_status tokenizer_read__json_step(const json_value *step, tokenizer_source *s)
{
#define TOKENIZER_READ__TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    static const char *const pattern[3] = {
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TOKENIZER_READ__TAIL,
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" TOKENIZER_READ__TAIL,
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"
        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    };
#undef TOKENIZER_READ__TAIL
    json_value v = tokenizer_read__member(step, "pattern"), regex = tokenizer_read__member(&v, "Regex");
    uint32_t i;
    if (tokenizer_read__type_is(step, "ByteLevel")) {
        v = tokenizer_read__member(step, "add_prefix_space");
        if (v.type == JSON_TRUE) return LLMQ_E_UNSUPPORTED;
        v = tokenizer_read__member(step, "use_regex"); /* not there: true */
        if (v.type == JSON_FALSE) return s->pre >= TOKENIZER_PRE_LLAMA3 ? LLMQ_OK : LLMQ_E_UNSUPPORTED;
        if (s->pre > TOKENIZER_PRE_DIGITS) return LLMQ_E_UNSUPPORTED;
        if (s->pre == TOKENIZER_PRE_NONE) s->pre = TOKENIZER_PRE_GPT2;
        return LLMQ_OK;
    }
    if (s->pre != TOKENIZER_PRE_NONE) return LLMQ_E_UNSUPPORTED;
    if (tokenizer_read__type_is(step, "Digits")) {
        v = tokenizer_read__member(step, "individual_digits");
        s->pre = TOKENIZER_PRE_DIGITS;
        return v.type == JSON_TRUE ? LLMQ_OK : LLMQ_E_UNSUPPORTED;
    }
    if (!tokenizer_read__type_is(step, "Split")) return LLMQ_E_UNSUPPORTED;
    v = tokenizer_read__member(step, "behavior");
    if (!json_is(&v, "Isolated")) return LLMQ_E_UNSUPPORTED;
    v = tokenizer_read__member(step, "invert");
    if (v.type == JSON_TRUE) return LLMQ_E_UNSUPPORTED;
    for (i = 0; i < 3; i++)
        if (json_is(&regex, pattern[i])) s->pre = TOKENIZER_PRE_LLAMA3 + i;
    return s->pre == TOKENIZER_PRE_NONE ? LLMQ_E_UNSUPPORTED : LLMQ_OK;
}

/* A step of the normalizer of SentencePiece BPE. */
static llmq_status tokenizer_read__json_space(const json_value *step, tokenizer_source *s)
{
    json_value v = tokenizer_read__member(step, "pattern"), string = tokenizer_read__member(&v, "String");
    if (tokenizer_read__type_is(step, "Prepend")) {
        v = tokenizer_read__member(step, "prepend");
        s->flags |= TOKENIZER_ADD_SPACE;
        return json_is(&v, "\xe2\x96\x81") ? LLMQ_OK : LLMQ_E_UNSUPPORTED;
    }
    v = tokenizer_read__member(step, "content");
    return tokenizer_read__type_is(step, "Replace") && json_is(&string, " ") && json_is(&v, "\xe2\x96\x81")
         ? LLMQ_OK : LLMQ_E_UNSUPPORTED;
}

/* Each step of a part, which is one step or a Sequence of them. */
static llmq_status tokenizer_read__steps(const json_value *part, const char *list, tokenizer_source *s,
                                         llmq_status (*each)(const json_value *step, tokenizer_source *s))
{
    json_value steps, step;
    size_t at = 0;
    llmq_status status = LLMQ_OK;
    if (!tokenizer_read__type_is(part, "Sequence")) return each(part, s);
    steps = tokenizer_read__member(part, list);
    if (steps.type != JSON_ARRAY) return LLMQ_E_CORRUPT;
    while (status == LLMQ_OK && json_next(&steps, &at, NULL, &step) == LLMQ_OK) status = each(&step, s);
    return status;
}

/* The kind, and what comes before the model. Gemma's split at spaces, of which its normalizer leaves
   none, does nothing. */
static llmq_status tokenizer_read__json_kind(const json_value *root, const json_value *model, tokenizer_source *s,
                                             const char **what)
{
    json_value v = tokenizer_read__member(model, "byte_fallback"), pattern, string;
    json_value normalizer = tokenizer_read__member(root, "normalizer");
    json_value pre = tokenizer_read__member(root, "pre_tokenizer");
    *what = "normalizer";
    if (v.type == JSON_TRUE) {
        s->kind = TOKENIZER_CHARS;
        if (tokenizer_read__steps(&normalizer, "normalizers", s, tokenizer_read__json_space) != LLMQ_OK)
            return LLMQ_E_UNSUPPORTED;
        *what = "pre_tokenizer";
        pattern = tokenizer_read__member(&pre, "pattern"), string = tokenizer_read__member(&pattern, "String");
        return pre.type == JSON_NULL || (tokenizer_read__type_is(&pre, "Split") && json_is(&string, " "))
             ? LLMQ_OK : LLMQ_E_UNSUPPORTED;
    }
    s->kind = TOKENIZER_BYTES;
    if (normalizer.type != JSON_NULL && !tokenizer_read__type_is(&normalizer, "NFC")) return LLMQ_E_UNSUPPORTED;
    *what = "pre_tokenizer";
    if (pre.type != JSON_OBJECT) return LLMQ_E_UNSUPPORTED;
    v = tokenizer_read__member(model, "ignore_merges");
    if (v.type == JSON_TRUE) s->flags |= TOKENIZER_WHOLE;
    return tokenizer_read__steps(&pre, "pretokenizers", s, tokenizer_read__json_step);
}

/* The id of an added or vocabulary token with the text of v, a string or an object with "content". */
static uint32_t tokenizer_read__json_find(tokenizer_json *from, uint32_t count, json_value v)
{
    tokenizer_token token;
    size_t n;
    uint32_t i;
    if (v.type == JSON_OBJECT) v = tokenizer_read__member(&v, "content");
    if (v.type != JSON_STRING || json_string(&v, from->string[1], from->room, &n) != LLMQ_OK) return TOKENIZER_NONE;
    for (i = 0; i < count; i++)
        if (tokenizer_read__json_token(from, i, &token) == LLMQ_OK && token.length == n
            && memcmp(token.s, from->string[1], n) == 0)
            return i;
    return TOKENIZER_NONE;
}

/* What tokenizer_config.json says. work: the room of a chat template, which may be long. */
static llmq_status tokenizer_read__json_config(const json_value *config, tokenizer_json *from, tokenizer_source *s)
{
    json_value v = tokenizer_read__member(config, "bos_token");
    size_t n;
    s->bos = tokenizer_read__json_find(from, s->count, v);
    v = tokenizer_read__member(config, "eos_token");
    s->eos = tokenizer_read__json_find(from, s->count, v);
    v = tokenizer_read__member(config, "unk_token");
    s->unknown = tokenizer_read__json_find(from, s->count, v);
    v = tokenizer_read__member(config, "pad_token");
    s->padding = tokenizer_read__json_find(from, s->count, v);
    v = tokenizer_read__member(config, "add_bos_token");
    if (v.type == JSON_TRUE && s->bos == TOKENIZER_NONE) return LLMQ_E_NOT_FOUND;
    if (v.type == JSON_TRUE) s->flags |= TOKENIZER_ADD_BOS;
    v = tokenizer_read__member(config, "add_eos_token");
    if (v.type == JSON_TRUE && s->eos == TOKENIZER_NONE) return LLMQ_E_NOT_FOUND;
    if (v.type == JSON_TRUE) s->flags |= TOKENIZER_ADD_EOS;
    tokenizer_read__end(s, s->eos);
    v = tokenizer_read__member(config, "chat_template");
    if (v.type == JSON_STRING && json_string(&v, from->string[0], from->room, &n) == LLMQ_OK)
        s->chat = tokenizer_chat_detect(from->string[0], n);
    return LLMQ_OK;
}

llmq_status tokenizer_read_json(const json_value *root, const json_value *config, tokenizer_json *from,
                                tokenizer_source *s, const char **what, void *work, size_t work_size)
{
    json_value model = tokenizer_read__member(root, "model"), v;
    tokenizer_token token;
    size_t at = 0, used;
    uint32_t i;
    llmq_status status;
    tokenizer_read__begin(s);
    memset(from, 0, sizeof *from);
    from->text = root->at;
    *what = "model";
    if (model.type != JSON_OBJECT) return LLMQ_E_NOT_FOUND;
    if (!tokenizer_read__type_is(&model, "BPE")) return LLMQ_E_UNSUPPORTED; /* Unigram, WordPiece, WordLevel */
    if ((status = tokenizer_read__json_kind(root, &model, s, what)) != LLMQ_OK) return status;
    *what = "vocab";
    from->vocabulary = tokenizer_read__member(&model, "vocab");
    from->added = tokenizer_read__member(root, "added_tokens");
    from->merges = tokenizer_read__member(&model, "merges");
    if (from->vocabulary.type != JSON_OBJECT || from->merges.type != JSON_ARRAY) return LLMQ_E_NOT_FOUND;
    if (root->size > 0x7fffffffu) return LLMQ_E_LIMIT;
    s->count = tokenizer_read__json_count(from);
    while (json_next(&from->merges, &at, NULL, &v) == LLMQ_OK) s->merges++;
    if (s->count > root->size / 4 || work_size < tokenizer_read_json_size(root)) /* a token takes 5 bytes */
        return s->count > root->size / 4 ? LLMQ_E_CORRUPT : LLMQ_E_WORKSPACE;
    used = (size_t)s->count * 9;
    memset(work, 0, used);
    from->value = (uint32_t *)work;
    from->type = (unsigned char *)(from->value + 2 * (size_t)s->count);
    from->room = (work_size - used) / 2;
    from->string[0] = (char *)(from->type + s->count);
    from->string[1] = from->string[0] + from->room;
    s->token = tokenizer_read__json_token;
    s->merge = tokenizer_read__json_merge;
    s->context = from;
    if ((status = tokenizer_read__json_tokens(from, s)) != LLMQ_OK) return status;
    for (i = 0; i < s->count; i++)
        if (from->type[i] == TOKENIZER_CONTROL && s->token(from, i, &token) == LLMQ_OK
            && tokenizer_read__ends(token.s, token.length))
            tokenizer_read__end(s, i);
    *what = "tokenizer_config.json";
    if (config && (status = tokenizer_read__json_config(config, from, s)) != LLMQ_OK) return status;
    *what = "";
    return LLMQ_OK;
}

/* ---- llama2.c ---- */

static llmq_status tokenizer_read__llama2c_token(void *context, uint32_t i, tokenizer_token *token)
{
    tokenizer_llama2c *from = (tokenizer_llama2c *)context;
    uint32_t length;
    if (i == 0) from->at = 0;
    llama2c_next_piece(from->t, &from->at, &token->score, &token->s, &length);
    token->length = length;
    if (i >= 3 && i < LLAMA2C_LEAST) { /* whatever its piece says */
        from->byte = (char)(i - 3);
        token->s = &from->byte;
        token->length = 1;
    }
    token->type = i == 0 ? TOKENIZER_UNKNOWN : i < 3 ? TOKENIZER_CONTROL
                : i < LLAMA2C_LEAST ? TOKENIZER_BYTE : TOKENIZER_NORMAL;
    return LLMQ_OK;
}

void tokenizer_read_llama2c(const llama2c_tokenizer *t, tokenizer_llama2c *from, tokenizer_source *s)
{
    from->t = t, from->at = 0;
    tokenizer_read__begin(s);
    s->count = t->count;
    s->kind = TOKENIZER_CHARS;
    s->flags = TOKENIZER_ADD_BOS | TOKENIZER_ADD_SPACE;
    s->bos = LLAMA2C_BOS, s->eos = LLAMA2C_EOS, s->unknown = 0;
    tokenizer_read__end(s, LLAMA2C_EOS);
    s->token = tokenizer_read__llama2c_token;
    s->context = from;
}

#ifdef __cplusplus
}
#endif
#undef TOKENIZER_READ_IMPLEMENTATION
#endif
