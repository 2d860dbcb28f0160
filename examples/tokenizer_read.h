/* tokenizer_read.h - sources of tokenizer.h's tokenizer_build: GGUF files and llama2.c's tokenizers -
   public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define TOKENIZER_READ_IMPLEMENTATION
       #include "tokenizer_read.h"

   A reader fills a tokenizer_source, which then reads from the file while tokenizer_build runs.
   What is not understood is refused, and *what then names it: the key of a value, mostly. */
#ifndef TOKENIZER_READ_H
#define TOKENIZER_READ_H

#include "gguf.h"
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

/* The tokenizer of llama2.c: t, opened by llama2c_tokenizer_init, and from must stay as they are
   while s is in use.
   Its ids, with BOS and the space before the text that s says, are those of llama2c_encode. */
typedef struct tokenizer_llama2c {
    const llama2c_tokenizer *t;
    char byte;
} tokenizer_llama2c;

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

/* ---- llama2.c ---- */

static llmq_status tokenizer_read__llama2c_token(void *context, uint32_t i, tokenizer_token *token)
{
    tokenizer_llama2c *from = (tokenizer_llama2c *)context;
    const llama2c_tokenizer *t = from->t;
    const unsigned char *b = t->bytes + t->offset[i];
    uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    memcpy(&token->score, &bits, 4);
    token->length = (uint32_t)b[4] | (uint32_t)b[5] << 8 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 24;
    token->s = (const char *)b + 8;
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
    from->t = t;
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
