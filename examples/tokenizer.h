/* tokenizer.h - text to ids of tokens and back: byte-level BPE and SentencePiece BPE, stored in one
   form that is used in place - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define TOKENIZER_IMPLEMENTATION
       #include "tokenizer.h"

   A stored tokenizer is an array of bytes, for example an entry of a bundle. tokenizer_open checks
   it and copies nothing, so that it can stay in flash. tokenizer_encode turns text into ids,
   tokenizer_piece an id into its bytes. tokenizer_build makes the stored form; tokenizer_read.h
   makes it of GGUF files, of tokenizer.json and of llama2.c's tokenizers.

   There are two kinds.
   TOKENIZER_BYTES, byte-level BPE. A pre-tokenizer cuts the text into pieces, and each byte of a
   piece is a token. Decoding gives back every text to the byte.
   TOKENIZER_CHARS, SentencePiece BPE. Each character of the text is a token, and a character that
   is none is the tokens of its bytes, which are merged as other tokens are. The character U+2581
   stands for a space and becomes one.
   In both, two neighbours are merged as long as the table has their pair: the pair of the lowest
   rank first, and of equal ranks the leftmost. Where tokens have scores, the highest score is the
   lowest rank.

   Ids are the same as those of llama.cpp and of Hugging Face's tokenizers. They differ here:
     - Where occurrences of user-defined or control tokens overlap, the leftmost is taken, then the
       longest, as Hugging Face does. llama.cpp takes the longest first.
     - Control tokens are never the result of a merge. With llama.cpp's SentencePiece they can be.
     - A character of several bytes that is no token is not merged as one. In SentencePiece it can
       be, if longer tokens have it; vocabularies that were trained have their tokens' characters.
     - Classes of characters are those of Unicode 16; llama.cpp has 15, and so knows fewer letters.
     - The contraction 's is also found with U+017F in place of s where case does not matter.
       Hugging Face does so, llama.cpp does not.
     - Text is not normalized. Hugging Face brings text for Qwen into the form NFC.
     - A byte that no token has is left out, and its neighbours can be merged, as Hugging Face does.
       In llama.cpp it still separates them.
     - "</s>" in a user's text is the user-defined token that Gemma has, as in sentencepiece; for
       llama.cpp it is a control token.
     - Broken UTF-8 in text for the byte-level kind is kept. With TOKENIZER_REPLACE each wrong byte
       becomes U+FFFD, as llama.cpp does. Hugging Face does not take such text.

   Stored form, little-endian; w, 2 or 3, is the width of numbers marked w; an id of all ones: none.
       0  4 bytes  "LTOK"
       4  u8       version, 1
       5  u8       w
       6  u8       kind
       7  u8       pre-tokenizer
       8  u8       chat template
       9  u8       ends, the number of end tokens, at most 8
      10  u16      flags
      12  u32 x 6  count of tokens, units, merges, specials, sorted, text (in bytes)
      36  u32 x 4  ids: BOS, EOS, unknown, padding
      52  u32 x 8  ids of end tokens
      84  u8 x count      types
          w x count + 1   where in the text the bytes of a token begin
          w x 256         ids of bytes
          u32 x units     bytes of a unit as a big-endian number, ascending
          w x units       their ids
          w x count + 1   where in the merges those begin that have the token on the left
          3 w x merges    id on the right (ascending for one id on the left), rank, id of the result
          w x specials    ids of tokens that are looked for in text, ascending by their bytes
          w x sorted      ids of normal tokens, ascending by their bytes; with TOKENIZER_WHOLE only
          text            bytes of all tokens, as they are in a decoded text */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "../llmq.h"

/* 1: without the pre-tokenizers and their table of characters (8 KB), for SentencePiece alone.
   tokenizer_open then refuses TOKENIZER_BYTES. */
#ifndef TOKENIZER_NO_PRE
#define TOKENIZER_NO_PRE 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TOKENIZER_NONE 0xffffffffu /* no id */
#define TOKENIZER_MAX_ENDS 8u

/* kinds */
#define TOKENIZER_BYTES 0u
#define TOKENIZER_CHARS 1u

/* pre-tokenizers */
#define TOKENIZER_PRE_NONE 0u   /* of TOKENIZER_CHARS */
#define TOKENIZER_PRE_GPT2 1u
#define TOKENIZER_PRE_DIGITS 2u /* starcoder, smollm: a number character is a piece, and the rest is cut as for gpt-2 */
#define TOKENIZER_PRE_LLAMA3 3u
#define TOKENIZER_PRE_QWEN2 4u  /* as llama-3, but each number character is a piece */
#define TOKENIZER_PRE_QWEN35 5u /* as qwen2, but marks belong to words */

/* flags of a tokenizer */
#define TOKENIZER_ADD_BOS 1u
#define TOKENIZER_ADD_EOS 2u
#define TOKENIZER_ADD_SPACE 4u /* a space is put before a text, and after a token that was found in it; CHARS */
#define TOKENIZER_WHOLE 8u     /* a piece that is a token is not merged ("ignore_merges"); BYTES */

/* types of tokens, numbered as in GGUF files */
#define TOKENIZER_NORMAL 1u
#define TOKENIZER_UNKNOWN 2u
#define TOKENIZER_CONTROL 3u
#define TOKENIZER_USER 4u   /* found in text before all else */
#define TOKENIZER_UNUSED 5u /* encoding never gives it */
#define TOKENIZER_BYTE 6u   /* a byte of a character that is no token */

/* chat templates */
#define TOKENIZER_CHAT_NONE 0u
#define TOKENIZER_CHAT_CHATML 1u
#define TOKENIZER_CHAT_SMOLLM 2u /* ChatML with a system text of its own */
#define TOKENIZER_CHAT_QWEN 3u   /* likewise */
#define TOKENIZER_CHAT_LLAMA3 4u
#define TOKENIZER_CHAT_GEMMA 5u
#define TOKENIZER_CHAT_LLAMA2 6u
#define TOKENIZER_CHAT_MISTRAL1 7u
#define TOKENIZER_CHAT_MISTRAL3 8u
#define TOKENIZER_CHAT_OTHER 9u  /* there is one, and it is none of these */
#define TOKENIZER_CHATS 10u

typedef struct tokenizer {
    uint32_t count;             /* ids are below */
    uint32_t kind, pre, chat, flags;
    uint32_t bos, eos, unknown, padding; /* ids or TOKENIZER_NONE */
    uint32_t ends, end[TOKENIZER_MAX_ENDS];
    uint32_t width, units, merges, specials, sorted;
    const unsigned char *type, *offset, *byte, *key, *unit, *first, *merge, *special, *order, *text;
    unsigned char begins[2][32]; /* bytes that specials begin with: those of users, all of them */
    unsigned char joins[32];     /* bytes that stand before a space within a token */
} tokenizer;

/* ---- using ---- */

/* Checks all that the other functions rely on. Merges give the joint bytes of their tokens, so
   that decoding gives back what was encoded.
   bytes: size bytes of any alignment, which stay in use.
   Errors: LLMQ_E_ARG, LLMQ_E_MAGIC, LLMQ_E_VERSION, LLMQ_E_TRUNCATED, LLMQ_E_UNSUPPORTED (a kind,
   pre-tokenizer, template or flag that is not known), LLMQ_E_CORRUPT (all else); *t is then
   untouched. */
LLMQ_NODISCARD llmq_status tokenizer_open(tokenizer *t, const void *bytes, size_t size);

/* flags of tokenizer_encode */
#define TOKENIZER_SPECIAL 1   /* BOS and EOS are added if the tokenizer says so */
#define TOKENIZER_PARSE 2     /* control tokens are found in the text: only for text that no user has written */
#define TOKENIZER_CONTINUES 4 /* the text continues another: no space is put before it */
#define TOKENIZER_REPLACE 8   /* BYTES: wrong bytes of UTF-8 become U+FFFD */

/* Bytes of workspace with which every piece of at most `length` bytes can be encoded; 0 if they do
   not fit size_t. A piece is what the pre-tokenizer gives. For TOKENIZER_CHARS it is a word with the
   space before it if no token has a space within, and otherwise it may be the whole text. */
size_t tokenizer_work_size(const tokenizer *t, size_t length);

/* Encodes a text, whose bytes may be any.
   ids: [room], or NULL if room is 0. *count: how many ids the text has, also if there is no room.
   work: work_size bytes of any alignment for uint32_t.
   Errors: LLMQ_E_ARG, LLMQ_E_LIMIT (ids do not fit room; the first room of them are there),
   LLMQ_E_WORKSPACE (a piece is too long for the workspace; *count is 0 then). */
LLMQ_NODISCARD llmq_status tokenizer_encode(const tokenizer *t, const char *text, size_t length, int flags,
                                            uint32_t *ids, size_t room, size_t *count, void *work, size_t work_size);

/* The bytes of a token, *length of them, not ended by 0. Those of control and unknown tokens are
   their names and no text. A character can be divided among tokens.
   starts: 1 for the first id of a text, which loses the space that tokenizer_encode puts there.
   Returns the type of the token; 0 for an id that is not below t->count, and *length is 0. */
uint32_t tokenizer_piece(const tokenizer *t, uint32_t id, int starts, const char **s, uint32_t *length);

/* The id of a user-defined or control token by its bytes, or TOKENIZER_NONE. */
uint32_t tokenizer_find(const tokenizer *t, const char *s, size_t length);

/* 1 if the id ends a text or a turn. */
int tokenizer_is_end(const tokenizer *t, uint32_t id);

/* ---- chats ---- */

#define TOKENIZER_TURN_USER 0      /* a user's turn, with a system text before it if there is one */
#define TOKENIZER_TURN_ASSISTANT 1 /* the whole turn of an assistant, which follows a TOKENIZER_TURN_REPLY */
#define TOKENIZER_TURN_REPLY 2     /* the beginning of an assistant's turn; without a text */
#define TOKENIZER_TURN_END 3       /* its end, which follows what a model has said; without a text */

typedef struct tokenizer_turn {
    int turn;
    int first;            /* 1 for the first turn of a conversation: BOS, where the tokenizer adds one */
    const char *system;   /* NULL: none; only for the turn of a user, and usually the first */
    size_t system_length;
    const char *text;     /* no control tokens are found in these texts; NULL: none */
    size_t length;
} tokenizer_turn;

/* The system text that a template puts where a conversation has none; NULL: none. */
const char *tokenizer_chat_system(const tokenizer *t);

/* The template that a text of GGUF's tokenizer.chat_template is: TOKENIZER_CHAT_... */
uint32_t tokenizer_chat_detect(const char *s, size_t length);

/* Bytes of workspace for tokenizer_chat; 0 if they do not fit size_t. */
size_t tokenizer_chat_work_size(const tokenizer *t, const tokenizer_turn *turn);

/* The ids of a turn. Arguments and errors are those of tokenizer_encode; also LLMQ_E_UNSUPPORTED
   (TOKENIZER_CHAT_NONE and _OTHER) and LLMQ_E_NOT_FOUND (it lacks a token of its template). */
LLMQ_NODISCARD llmq_status tokenizer_chat(const tokenizer *t, const tokenizer_turn *turn, uint32_t *ids, size_t room,
                                          size_t *count, void *work, size_t work_size);

/* ---- building ---- */

typedef struct tokenizer_token {
    const char *s;  /* as the file spells it */
    size_t length;
    uint32_t type;
    float score;
} tokenizer_token;

typedef struct tokenizer_merge {
    const char *left, *right; /* tokens as the file spells them */
    size_t left_length, right_length;
} tokenizer_merge;

typedef struct tokenizer_source {
    uint32_t count, merges;
    uint32_t kind, pre, chat, flags;
    uint32_t bos, eos, unknown, padding; /* ids or TOKENIZER_NONE */
    uint32_t ends, end[TOKENIZER_MAX_ENDS];
    void *context;
    /* Token or merge i. They are asked for in order, more than once, from 0 on each time. */
    llmq_status (*token)(void *context, uint32_t i, tokenizer_token *token);
    llmq_status (*merge)(void *context, uint32_t i, tokenizer_merge *merge); /* NULL: scores say what is merged */
    uint32_t fault; /* after an error: the token or merge that it is about */
} tokenizer_source;

/* How files spell tokens: of TOKENIZER_BYTES normal tokens have the characters that GPT-2 writes for
   bytes, all others are plain; of TOKENIZER_CHARS U+2581 is a space in normal and user-defined
   tokens, and byte tokens are "<0x0A>". A normal token of TOKENIZER_BYTES with other characters
   becomes an unused one. Of two normal tokens of equal bytes the first is used.

   The workspace in which tokenizer_build works and leaves its result.
   Errors: LLMQ_E_ARG, LLMQ_E_LIMIT (2^24 - 1 tokens, merges or bytes), and those of the callbacks. */
LLMQ_NODISCARD llmq_status tokenizer_build_size(tokenizer_source *s, size_t *size);

/* Builds the stored form, at the beginning of work: *size bytes. Time: n log n.
   Errors: those of tokenizer_build_size; LLMQ_E_WORKSPACE; LLMQ_E_NOT_FINITE (a score is NaN),
   LLMQ_E_NOT_FOUND (a merge of what is no token), LLMQ_E_CORRUPT (a byte token that is none, a type
   that is none), and those of tokenizer_open, which sees the result. */
LLMQ_NODISCARD llmq_status tokenizer_build(tokenizer_source *s, void *work, size_t work_size, size_t *size);

/* The pre-tokenizer that llama.cpp calls so (tokenizer.ggml.pre); TOKENIZER_NONE if there is none.
   *flags: flags that come with the name. */
uint32_t tokenizer_pre_find(const char *name, size_t length, uint32_t *flags);

#ifdef __cplusplus
}
#endif
#endif /* TOKENIZER_H */

#ifdef TOKENIZER_IMPLEMENTATION
#include <string.h>
#if !TOKENIZER_NO_PRE
#include "tokenizer_unicode.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TOKENIZER__HEADER 84u
#define TOKENIZER__MOST 0xffffffu /* numbers of three bytes are below: all ones is none */
#define TOKENIZER__SPACE 0xe29681u /* U+2581, the bytes as a number */

/* ---- the stored form ---- */

static uint32_t tokenizer__u32(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* Number i of width w. */
static uint32_t tokenizer__number(const unsigned char *b, uint32_t w, size_t i)
{
    b += i * w;
    if (w == 2) return (uint32_t)b[0] | (uint32_t)b[1] << 8;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16;
}

/* Id i of an array in which all ones is none. */
static uint32_t tokenizer__id(const tokenizer *t, const unsigned char *b, size_t i)
{
    uint32_t id = tokenizer__number(b, t->width, i);
    return id == (t->width == 2 ? 0xffffu : 0xffffffu) ? TOKENIZER_NONE : id;
}

static const unsigned char *tokenizer__bytes(const tokenizer *t, uint32_t id, uint32_t *length)
{
    uint32_t from = tokenizer__number(t->offset, t->width, id);
    *length = tokenizer__number(t->offset, t->width, (size_t)id + 1) - from;
    return t->text + from;
}

/* The order of strings of bytes: as memcmp; of two where one begins with the other the shorter is first. */
static int tokenizer__order(const unsigned char *a, size_t m, const unsigned char *b, size_t n)
{
    int order = memcmp(a, b, m < n ? m : n);
    return order ? order : m < n ? -1 : m > n;
}

/* The id of s[n] in an array of ids ascending by their bytes. */
static uint32_t tokenizer__search(const tokenizer *t, const unsigned char *ids, uint32_t count, const unsigned char *s,
                                  size_t n)
{
    uint32_t lo = 0, hi = count, length;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2, id = tokenizer__number(ids, t->width, mid);
        const unsigned char *b = tokenizer__bytes(t, id, &length);
        int order = tokenizer__order(b, length, s, n);
        if (order == 0) return id;
        if (order < 0) lo = mid + 1;
        else hi = mid;
    }
    return TOKENIZER_NONE;
}

static int tokenizer__has(const unsigned char *set, uint32_t byte) { return set[byte / 8] >> byte % 8 & 1; }

static void tokenizer__add(unsigned char *set, uint32_t byte)
{
    set[byte / 8] = (unsigned char)(set[byte / 8] | 1u << byte % 8);
}

static int tokenizer__is(const tokenizer *t, uint32_t id, uint32_t type)
{
    return id < t->count && t->type[id] == type;
}

/* ---- opening ---- */

/* Ids of the header are tokens or none. */
static llmq_status tokenizer__check_ids(tokenizer *t, const unsigned char *b)
{
    uint32_t i;
    for (i = 0; i < 4; i++)
        if (tokenizer__u32(b + 36 + 4 * i) != TOKENIZER_NONE && tokenizer__u32(b + 36 + 4 * i) >= t->count)
            return LLMQ_E_CORRUPT;
    for (i = 0; i < TOKENIZER_MAX_ENDS; i++) {
        t->end[i] = tokenizer__u32(b + 52 + 4 * i);
        if (i < t->ends ? t->end[i] >= t->count : t->end[i] != TOKENIZER_NONE) return LLMQ_E_CORRUPT;
    }
    if ((t->flags & TOKENIZER_ADD_BOS) && t->bos == TOKENIZER_NONE) return LLMQ_E_CORRUPT;
    if ((t->flags & TOKENIZER_ADD_EOS) && t->eos == TOKENIZER_NONE) return LLMQ_E_CORRUPT;
    return LLMQ_OK;
}

static llmq_status tokenizer__check_header(tokenizer *t, const unsigned char *b, size_t size, uint32_t *text)
{
    if (size < 4) return LLMQ_E_TRUNCATED;
    if (memcmp(b, "LTOK", 4) != 0) return LLMQ_E_MAGIC;
    if (size < TOKENIZER__HEADER) return LLMQ_E_TRUNCATED;
    if (b[4] != 1) return LLMQ_E_VERSION;
    t->width = b[5], t->kind = b[6], t->pre = b[7], t->chat = b[8], t->ends = b[9];
    t->flags = (uint32_t)b[10] | (uint32_t)b[11] << 8;
    t->count = tokenizer__u32(b + 12), t->units = tokenizer__u32(b + 16), t->merges = tokenizer__u32(b + 20);
    t->specials = tokenizer__u32(b + 24), t->sorted = tokenizer__u32(b + 28), *text = tokenizer__u32(b + 32);
    t->bos = tokenizer__u32(b + 36), t->eos = tokenizer__u32(b + 40);
    t->unknown = tokenizer__u32(b + 44), t->padding = tokenizer__u32(b + 48);
    if (t->kind > TOKENIZER_CHARS || t->pre > TOKENIZER_PRE_QWEN35 || t->chat >= TOKENIZER_CHATS || t->flags > 15)
        return LLMQ_E_UNSUPPORTED;
    if (TOKENIZER_NO_PRE && t->kind == TOKENIZER_BYTES) return LLMQ_E_UNSUPPORTED;
    if ((t->kind == TOKENIZER_CHARS) != (t->pre == TOKENIZER_PRE_NONE)) return LLMQ_E_CORRUPT;
    if (t->flags & (t->kind == TOKENIZER_BYTES ? TOKENIZER_ADD_SPACE : TOKENIZER_WHOLE)) return LLMQ_E_CORRUPT;
    if ((t->width != 2 && t->width != 3) || t->ends > TOKENIZER_MAX_ENDS) return LLMQ_E_CORRUPT;
    return tokenizer__check_ids(t, b);
}

/* Sets where the sections are; returns where the last one ends. All counts are at most 2^24, so
   that no sum overflows, but b + at is only computed if `size` bytes reach so far. */
static uint64_t tokenizer__sections(tokenizer *t, const unsigned char *b, size_t size, uint32_t text)
{
    const uint64_t w = t->width;
    const uint64_t ends = w * ((uint64_t)t->count + 1), units = t->units;
    const uint64_t bytes[10] = { t->count, ends, w * 256, 4 * units, w * units, ends, 3 * w * t->merges,
                                 w * t->specials, w * t->sorted, text };
    const unsigned char **section[10];
    uint64_t at = TOKENIZER__HEADER;
    uint32_t i;
    section[0] = &t->type, section[1] = &t->offset, section[2] = &t->byte, section[3] = &t->key, section[4] = &t->unit;
    section[5] = &t->first, section[6] = &t->merge, section[7] = &t->special, section[8] = &t->order;
    section[9] = &t->text;
    for (i = 0; i < 10; at += bytes[i], i++) *section[i] = at <= size ? b + (size_t)at : NULL;
    return at;
}

/* Types, and that texts follow one another; notes which bytes stand before a space. */
static llmq_status tokenizer__check_tokens(tokenizer *t, uint32_t text)
{
    uint32_t i, k, length, from = 0;
    if (tokenizer__number(t->offset, t->width, 0) != 0) return LLMQ_E_CORRUPT;
    for (i = 0; i < t->count; i++) {
        uint32_t next = tokenizer__number(t->offset, t->width, (size_t)i + 1);
        if (next < from || next > text) return LLMQ_E_CORRUPT;
        from = next;
        if (t->type[i] < TOKENIZER_NORMAL || t->type[i] > TOKENIZER_BYTE) return LLMQ_E_CORRUPT;
        if (t->type[i] == TOKENIZER_NORMAL) {
            const unsigned char *s = tokenizer__bytes(t, i, &length);
            for (k = 1; k < length; k++)
                if (s[k] == ' ') tokenizer__add(t->joins, s[k - 1]);
        }
    }
    return from == text ? LLMQ_OK : LLMQ_E_CORRUPT;
}

/* Bytes and units are tokens of just these bytes, and units are ascending. */
static llmq_status tokenizer__check_units(const tokenizer *t)
{
    const uint32_t type = t->kind == TOKENIZER_BYTES ? TOKENIZER_NORMAL : TOKENIZER_BYTE;
    uint32_t i, length;
    for (i = 0; i < 256; i++) {
        uint32_t id = tokenizer__id(t, t->byte, i);
        const unsigned char *s;
        if (id == TOKENIZER_NONE) continue;
        if (!tokenizer__is(t, id, type)) return LLMQ_E_CORRUPT;
        s = tokenizer__bytes(t, id, &length);
        if (length != 1 || s[0] != i) return LLMQ_E_CORRUPT;
    }
    for (i = 0; i < t->units; i++) {
        uint32_t id = tokenizer__id(t, t->unit, i), key = tokenizer__u32(t->key + 4 * (size_t)i), value = 0, k;
        const unsigned char *s;
        if (!tokenizer__is(t, id, TOKENIZER_NORMAL)) return LLMQ_E_CORRUPT;
        if (i && key <= tokenizer__u32(t->key + 4 * (size_t)i - 4)) return LLMQ_E_CORRUPT;
        s = tokenizer__bytes(t, id, &length);
        if (length < 1 || length > 4) return LLMQ_E_CORRUPT;
        for (k = 0; k < length; k++) value = value << 8 | s[k];
        if (value != key || (length > 1 && s[0] == 0)) return LLMQ_E_CORRUPT;
    }
    return LLMQ_OK;
}

/* Can a token be a side of a merge? Byte tokens are tokens of characters there. */
static int tokenizer__is_merged(const tokenizer *t, uint32_t id)
{
    return tokenizer__is(t, id, TOKENIZER_NORMAL) || tokenizer__is(t, id, TOKENIZER_BYTE);
}

/* Merges of one token on the left are ascending by that on the right, and give their joint bytes. */
static llmq_status tokenizer__check_merges(const tokenizer *t)
{
    const uint32_t w = t->width;
    uint32_t left, i = 0, end, m, n, k, last;
    if (tokenizer__number(t->first, w, 0) != 0) return LLMQ_E_CORRUPT;
    for (left = 0; left < t->count; left++) {
        end = tokenizer__number(t->first, w, (size_t)left + 1);
        if (end < i || end > t->merges || (end > i && !tokenizer__is_merged(t, left))) return LLMQ_E_CORRUPT;
        for (last = TOKENIZER_NONE; i < end; i++) {
            uint32_t right = tokenizer__number(t->merge, w, 3 * (size_t)i);
            uint32_t id = tokenizer__number(t->merge, w, 3 * (size_t)i + 2);
            const unsigned char *a, *b, *c;
            if (last != TOKENIZER_NONE && right <= last) return LLMQ_E_CORRUPT;
            last = right;
            if (!tokenizer__is_merged(t, right) || !tokenizer__is(t, id, TOKENIZER_NORMAL)) return LLMQ_E_CORRUPT;
            a = tokenizer__bytes(t, left, &m), b = tokenizer__bytes(t, right, &n), c = tokenizer__bytes(t, id, &k);
            if (k != m + n || memcmp(c, a, m) != 0 || memcmp(c + m, b, n) != 0) return LLMQ_E_CORRUPT;
        }
    }
    return i == t->merges ? LLMQ_OK : LLMQ_E_CORRUPT;
}

/* Ids ascend by their bytes. Notes what specials begin with. */
static llmq_status tokenizer__check_sorted(tokenizer *t)
{
    uint32_t i, length, before = 0;
    const unsigned char *s, *last = NULL;
    for (i = 0; i < t->specials; i++, last = s, before = length) {
        uint32_t id = tokenizer__number(t->special, t->width, i);
        if (id >= t->count || t->type[id] < TOKENIZER_UNKNOWN || t->type[id] > TOKENIZER_USER) return LLMQ_E_CORRUPT;
        s = tokenizer__bytes(t, id, &length);
        if (length == 0 || (last && tokenizer__order(last, before, s, length) >= 0)) return LLMQ_E_CORRUPT;
        if (t->type[id] == TOKENIZER_USER) tokenizer__add(t->begins[0], s[0]);
        tokenizer__add(t->begins[1], s[0]);
    }
    if (t->sorted && !(t->flags & TOKENIZER_WHOLE)) return LLMQ_E_CORRUPT;
    for (i = 0, last = NULL; i < t->sorted; i++, last = s, before = length) {
        uint32_t id = tokenizer__number(t->order, t->width, i);
        if (!tokenizer__is(t, id, TOKENIZER_NORMAL)) return LLMQ_E_CORRUPT;
        s = tokenizer__bytes(t, id, &length);
        if (last && tokenizer__order(last, before, s, length) >= 0) return LLMQ_E_CORRUPT;
    }
    return LLMQ_OK;
}

llmq_status tokenizer_open(tokenizer *t, const void *bytes, size_t size)
{
    tokenizer view;
    uint32_t text;
    uint64_t end;
    llmq_status status;
    if (!t || !bytes) return LLMQ_E_ARG;
    memset(&view, 0, sizeof view);
    status = tokenizer__check_header(&view, (const unsigned char *)bytes, size, &text);
    if (status != LLMQ_OK) return status;
    if (view.count > TOKENIZER__MOST || view.units > TOKENIZER__MOST || view.merges > TOKENIZER__MOST
        || view.specials > TOKENIZER__MOST || view.sorted > TOKENIZER__MOST || text > TOKENIZER__MOST)
        return LLMQ_E_CORRUPT;
    end = tokenizer__sections(&view, (const unsigned char *)bytes, size, text);
    if (end > size) return LLMQ_E_TRUNCATED;
    if (end < size) return LLMQ_E_CORRUPT;
    status = tokenizer__check_tokens(&view, text);
    if (status == LLMQ_OK) status = tokenizer__check_units(&view);
    if (status == LLMQ_OK) status = tokenizer__check_merges(&view);
    if (status == LLMQ_OK) status = tokenizer__check_sorted(&view);
    if (status == LLMQ_OK) *t = view;
    return status;
}

uint32_t tokenizer_piece(const tokenizer *t, uint32_t id, int starts, const char **s, uint32_t *length)
{
    const unsigned char *b;
    *s = "";
    *length = 0;
    if (id >= t->count) return 0;
    b = tokenizer__bytes(t, id, length);
    if (starts && (t->flags & TOKENIZER_ADD_SPACE) && t->type[id] == TOKENIZER_NORMAL && *length && b[0] == ' ')
        b++, --*length;
    *s = (const char *)b;
    return t->type[id];
}

uint32_t tokenizer_find(const tokenizer *t, const char *s, size_t length)
{
    return tokenizer__search(t, t->special, t->specials, (const unsigned char *)s, length);
}

int tokenizer_is_end(const tokenizer *t, uint32_t id)
{
    uint32_t i;
    for (i = 0; i < t->ends; i++)
        if (t->end[i] == id) return 1;
    return 0;
}

/* ---- merging: a linked list of symbols, and a heap of those that can be merged with the next ---- */

typedef struct tokenizer__symbol {
    uint32_t id, previous, next;
    uint32_t rank, joint; /* of the merge with the next symbol, and its result */
    uint32_t slot;        /* where it is in the heap */
} tokenizer__symbol;

#define TOKENIZER__SYMBOL (sizeof(tokenizer__symbol) + sizeof(uint32_t))

typedef struct tokenizer__merger {
    const tokenizer *t;
    tokenizer__symbol *symbol;
    uint32_t *heap;
    uint32_t count, room, heaped;
    uint32_t *ids; /* results */
    size_t ids_room, ids_count;
    llmq_status status;
} tokenizer__merger;

static void tokenizer__put(tokenizer__merger *m, uint32_t id)
{
    if (id == TOKENIZER_NONE) return;
    if (m->ids_count < m->ids_room) m->ids[m->ids_count] = id;
    m->ids_count++;
}

/* A symbol at the end; where there is no token it is left out. */
static void tokenizer__push(tokenizer__merger *m, uint32_t id)
{
    if (id == TOKENIZER_NONE) return;
    if (m->count == m->room) m->status = LLMQ_E_WORKSPACE;
    else m->symbol[m->count++].id = id;
}

/* Finds the merge of symbol i with the next; returns 0 if there is none. */
static int tokenizer__pair(tokenizer__merger *m, uint32_t i)
{
    const tokenizer *t = m->t;
    tokenizer__symbol *s = &m->symbol[i];
    uint32_t right, lo, hi, mid, id;
    if (s->next == TOKENIZER_NONE) return 0;
    right = m->symbol[s->next].id;
    lo = tokenizer__number(t->first, t->width, s->id);
    hi = tokenizer__number(t->first, t->width, (size_t)s->id + 1);
    while (lo < hi) {
        mid = lo + (hi - lo) / 2;
        id = tokenizer__number(t->merge, t->width, 3 * (size_t)mid);
        if (id == right) {
            s->rank = tokenizer__number(t->merge, t->width, 3 * (size_t)mid + 1);
            s->joint = tokenizer__number(t->merge, t->width, 3 * (size_t)mid + 2);
            return 1;
        }
        if (id < right) lo = mid + 1;
        else hi = mid;
    }
    return 0;
}

static int tokenizer__before(const tokenizer__merger *m, uint32_t a, uint32_t b)
{
    uint32_t x = m->symbol[a].rank, y = m->symbol[b].rank;
    return x < y || (x == y && a < b);
}

static void tokenizer__set(tokenizer__merger *m, uint32_t slot, uint32_t i)
{
    m->heap[slot] = i;
    m->symbol[i].slot = slot;
}

/* Puts symbol i where it belongs in the heap, of which `slot` is free. */
static void tokenizer__sift(tokenizer__merger *m, uint32_t slot, uint32_t i)
{
    uint32_t child;
    for (; slot > 0 && tokenizer__before(m, i, m->heap[(slot - 1) / 2]); slot = (slot - 1) / 2)
        tokenizer__set(m, slot, m->heap[(slot - 1) / 2]);
    for (; (child = 2 * slot + 1) < m->heaped; slot = child) {
        if (child + 1 < m->heaped && tokenizer__before(m, m->heap[child + 1], m->heap[child])) child++;
        if (!tokenizer__before(m, m->heap[child], i)) break;
        tokenizer__set(m, slot, m->heap[child]);
    }
    tokenizer__set(m, slot, i);
}

static void tokenizer__remove(tokenizer__merger *m, uint32_t i)
{
    uint32_t slot = m->symbol[i].slot, last;
    if (slot == TOKENIZER_NONE) return;
    m->symbol[i].slot = TOKENIZER_NONE;
    last = m->heap[--m->heaped];
    if (last != i) tokenizer__sift(m, slot, last);
}

/* The neighbour on the right of symbol i is another. */
static void tokenizer__update(tokenizer__merger *m, uint32_t i)
{
    if (!tokenizer__pair(m, i)) tokenizer__remove(m, i);
    else tokenizer__sift(m, m->symbol[i].slot == TOKENIZER_NONE ? m->heaped++ : m->symbol[i].slot, i);
}

/* Merges the symbols, whose ids are set, as far as they go. The first stays the first. */
static void tokenizer__merge_all(tokenizer__merger *m)
{
    uint32_t i, next;
    m->heaped = 0;
    for (i = 0; i < m->count; i++) {
        m->symbol[i].previous = i ? i - 1 : TOKENIZER_NONE;
        m->symbol[i].next = i + 1 < m->count ? i + 1 : TOKENIZER_NONE;
        m->symbol[i].slot = TOKENIZER_NONE;
    }
    for (i = 0; i < m->count; i++) tokenizer__update(m, i);
    while (m->heaped) {
        tokenizer__symbol *s = &m->symbol[i = m->heap[0]];
        next = s->next;
        tokenizer__remove(m, next);
        s->id = s->joint;
        s->next = m->symbol[next].next;
        if (s->next != TOKENIZER_NONE) m->symbol[s->next].previous = i;
        tokenizer__update(m, i);
        if (s->previous != TOKENIZER_NONE) tokenizer__update(m, s->previous);
    }
}

/* Gives out the ids of what was merged, and begins anew. */
static void tokenizer__give(tokenizer__merger *m)
{
    uint32_t i;
    for (i = m->count ? 0 : TOKENIZER_NONE; i != TOKENIZER_NONE; i = m->symbol[i].next)
        tokenizer__put(m, m->symbol[i].id);
    m->count = 0;
}

/* ---- characters ---- */

/* How many bytes a character has that begins so; SentencePiece looks no further. */
static uint32_t tokenizer__unit_length(uint32_t byte)
{
    return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

static uint32_t tokenizer__unit(const tokenizer *t, uint32_t key)
{
    uint32_t lo = 0, hi = t->units;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2, k = tokenizer__u32(t->key + 4 * (size_t)mid);
        if (k == key) return tokenizer__number(t->unit, t->width, mid);
        if (k < key) lo = mid + 1;
        else hi = mid;
    }
    return TOKENIZER_NONE;
}

/* A text in which each space is the three bytes of U+2581, so that wrong characters swallow parts of
   it just as in llama.cpp. */
typedef struct tokenizer__text {
    const unsigned char *s;
    size_t at, end;
    uint32_t part; /* bytes of a space that are read */
} tokenizer__text;

static uint32_t tokenizer__next_byte(tokenizer__text *x)
{
    static const unsigned char space[3] = { 0xe2, 0x96, 0x81 };
    uint32_t byte = x->s[x->at];
    if (byte == ' ') {
        byte = space[x->part++];
        if (x->part < 3) return byte;
        x->part = 0;
    }
    x->at++;
    return byte;
}

/* A character of n bytes. If it is no token it is its bytes, or one unknown token if there are none for them. */
static void tokenizer__push_unit(tokenizer__merger *m, uint32_t key, uint32_t n)
{
    uint32_t i, id = tokenizer__unit(m->t, key == TOKENIZER__SPACE ? ' ' : key);
    if (id != TOKENIZER_NONE) {
        tokenizer__push(m, id);
        return;
    }
    for (i = 0; i < n; i++) {
        id = tokenizer__id(m->t, m->t->byte, key >> 8 * (n - 1 - i) & 255);
        if (id != TOKENIZER_NONE) {
            tokenizer__push(m, id);
            continue;
        }
        tokenizer__push(m, m->t->unknown);
        return;
    }
}

/* Where no token has the byte before and a space after it, no merge goes across: the text is cut
   there, and little workspace is needed. */
static void tokenizer__encode_chars(tokenizer__merger *m, const unsigned char *s, size_t length, int space)
{
    tokenizer__text x;
    uint32_t last = 0;
    x.s = s, x.at = 0, x.end = length, x.part = 0;
    if (length == 0) return;
    if (space) {
        tokenizer__push_unit(m, TOKENIZER__SPACE, 3);
        last = ' ';
    }
    while (x.at < x.end && m->status == LLMQ_OK) {
        uint32_t byte = tokenizer__next_byte(&x), key = byte, n = tokenizer__unit_length(byte), k;
        for (k = 1; k < n && x.at < x.end; k++) {
            byte = tokenizer__next_byte(&x);
            key = key << 8 | byte;
        }
        if (key == TOKENIZER__SPACE) byte = ' ';
        if (byte == ' ' && m->count && !tokenizer__has(m->t->joins, last)) {
            tokenizer__merge_all(m);
            tokenizer__give(m);
        }
        last = byte;
        tokenizer__push_unit(m, key, k);
    }
    tokenizer__merge_all(m);
    tokenizer__give(m);
}

/* ---- pre-tokenizers: the pieces of a text, as the regular expressions say that are cited ---- */

#if !TOKENIZER_NO_PRE

/* Classes of characters; the first four are those of tokenizer_unicode.h. */
#define TOKENIZER__OTHER 0u
#define TOKENIZER__LETTER 1u
#define TOKENIZER__DIGIT 2u
#define TOKENIZER__MARK 3u
#define TOKENIZER__BLANK 4u
#define TOKENIZER__END 5u

static uint32_t tokenizer__class(uint32_t code)
{
    uint32_t lo = 0, hi = (uint32_t)(sizeof tokenizer__unicode / sizeof *tokenizer__unicode);
    if (code < 128) {
        if ((code | 32) >= 'a' && (code | 32) <= 'z') return TOKENIZER__LETTER;
        if (code >= '0' && code <= '9') return TOKENIZER__DIGIT;
        return code == ' ' || (code >= 9 && code <= 13) ? TOKENIZER__BLANK : TOKENIZER__OTHER;
    }
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (tokenizer__unicode[mid] >> 3 <= code) lo = mid;
        else hi = mid;
    }
    return tokenizer__unicode[lo] & 7;
}

/* The character that s[n] begins with, and its bytes; U+FFFD and 1 if it is none. Overlong forms
   and surrogates are characters, as in llama.cpp. n > 0. */
static uint32_t tokenizer__code(const unsigned char *s, size_t n, uint32_t *length)
{
    static const unsigned char mask[5] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t bytes = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    uint32_t k, code;
    *length = 1;
    if (bytes == 0 || bytes > n) return 0xfffd;
    code = s[0] & mask[bytes];
    for (k = 1; k < bytes; k++) {
        if ((s[k] & 0xc0) != 0x80) return 0xfffd;
        code = code << 6 | (s[k] & 0x3fu);
    }
    if (code > 0x10ffff) return 0xfffd;
    *length = bytes;
    return code;
}

/* A character of the text: what follows is at next. At the end of the text, and where digits are
   pieces of their own at each digit, its class is TOKENIZER__END. */
typedef struct tokenizer__char {
    uint32_t code, class_;
    size_t next;
} tokenizer__char;

typedef struct tokenizer__scan {
    const unsigned char *s;
    size_t end;
    uint32_t pre;
} tokenizer__scan;

static tokenizer__char tokenizer__look(const tokenizer__scan *x, size_t at)
{
    tokenizer__char c;
    uint32_t length;
    c.code = 0, c.class_ = TOKENIZER__END, c.next = at;
    if (at >= x->end) return c;
    c.code = tokenizer__code(x->s + at, x->end - at, &length);
    c.class_ = tokenizer__class(c.code);
    c.next = at + length;
    if (x->pre == TOKENIZER_PRE_DIGITS && c.class_ == TOKENIZER__DIGIT) c.class_ = TOKENIZER__END;
    return c;
}

/* The end of a run of characters of a class, from at on. */
static size_t tokenizer__run(const tokenizer__scan *x, size_t at, uint32_t class_, uint32_t or_class)
{
    tokenizer__char c = tokenizer__look(x, at);
    while (c.class_ == class_ || c.class_ == or_class) {
        at = c.next;
        c = tokenizer__look(x, at);
    }
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d: where it ends, or 0. at: after the apostrophe. In any case U+017F is an s. */
static size_t tokenizer__contraction(const tokenizer__scan *x, size_t at, int any_case)
{
    const unsigned char *s = x->s + at;
    size_t n = x->end - at;
    uint32_t a, b;
    if (n == 0) return 0;
    if (any_case && n > 1 && s[0] == 0xc5 && s[1] == 0xbf) return at + 2;
    a = any_case && s[0] >= 'A' && s[0] <= 'Z' ? s[0] + 32u : s[0];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 1;
    if (n == 1) return 0;
    b = any_case && s[1] >= 'A' && s[1] <= 'Z' ? s[1] + 32u : s[1];
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? at + 2 : 0;
}

/* \s+(?!\S)|\s+: a run of blanks is a piece without its last, which goes before what follows. */
static size_t tokenizer__blanks(const tokenizer__scan *x, size_t at)
{
    tokenizer__char c = tokenizer__look(x, at);
    size_t from = at, last = at;
    for (; c.class_ == TOKENIZER__BLANK; c = tokenizer__look(x, at)) {
        last = at;
        at = c.next;
    }
    return last > from && c.class_ != TOKENIZER__END ? last : at;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t tokenizer__piece_gpt2(const tokenizer__scan *x, size_t at)
{
    tokenizer__char c = tokenizer__look(x, at), d;
    size_t end;
    if (c.class_ == TOKENIZER__END) return c.next; /* a digit */
    if (c.code == '\'' && (end = tokenizer__contraction(x, c.next, 0)) != 0) return end;
    d = c.code == ' ' ? tokenizer__look(x, c.next) : c;
    if (d.class_ == TOKENIZER__LETTER || d.class_ == TOKENIZER__DIGIT)
        return tokenizer__run(x, d.next, d.class_, d.class_);
    if (d.class_ == TOKENIZER__OTHER || d.class_ == TOKENIZER__MARK)
        return tokenizer__run(x, d.next, TOKENIZER__OTHER, TOKENIZER__MARK);
    return tokenizer__blanks(x, at);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
   qwen2: \p{N} in place of \p{N}{1,3}; qwen35: also [\p{L}\p{M}] of \p{L}, but for the class before words. */
static size_t tokenizer__piece_llama3(const tokenizer__scan *x, size_t at)
{
    const uint32_t mark = x->pre == TOKENIZER_PRE_QWEN35 ? TOKENIZER__MARK : TOKENIZER__LETTER;
    const uint32_t other = x->pre == TOKENIZER_PRE_QWEN35 ? TOKENIZER__OTHER : TOKENIZER__MARK;
    tokenizer__char c = tokenizer__look(x, at), d = tokenizer__look(x, c.next);
    size_t end, k;
    if (c.code == '\'' && (end = tokenizer__contraction(x, c.next, 1)) != 0) return end;
    if (c.class_ == TOKENIZER__DIGIT) {
        for (k = 1; k < 3 && x->pre == TOKENIZER_PRE_LLAMA3 && d.class_ == TOKENIZER__DIGIT; k++) {
            c = d;
            d = tokenizer__look(x, c.next);
        }
        return c.next;
    }
    if (c.class_ == TOKENIZER__LETTER || c.class_ == mark
        || (c.code != '\r' && c.code != '\n' && (d.class_ == TOKENIZER__LETTER || d.class_ == mark)))
        return tokenizer__run(x, c.next, TOKENIZER__LETTER, mark);
    if (c.code != ' ') d = c;
    if (d.class_ == TOKENIZER__OTHER || d.class_ == other) {
        end = tokenizer__run(x, d.next, TOKENIZER__OTHER, other);
        while (end < x->end && (x->s[end] == '\r' || x->s[end] == '\n')) end++;
        return end;
    }
    for (end = 0, k = at; c.class_ == TOKENIZER__BLANK; c = tokenizer__look(x, k)) {
        k = c.next;
        if (c.code == '\r' || c.code == '\n') end = k;
    }
    return end ? end : tokenizer__blanks(x, at);
}

/* The bytes of a character: those of U+FFFD for a wrong byte, and the shortest for overlong forms.
   Returns how many they are. */
static uint32_t tokenizer__push_code(tokenizer__merger *m, uint32_t code)
{
    uint32_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3, k;
    uint32_t lead = code < 0x80 ? 0 : code < 0x800 ? 0xc0 : code < 0x10000 ? 0xe0 : 0xf0;
    tokenizer__push(m, tokenizer__id(m->t, m->t->byte, lead | code >> 6 * more));
    for (k = more; k-- > 0;) tokenizer__push(m, tokenizer__id(m->t, m->t->byte, 0x80 | (code >> 6 * k & 0x3f)));
    return more + 1;
}

static void tokenizer__encode_bytes(tokenizer__merger *m, const unsigned char *s, size_t length, int replace)
{
    tokenizer__scan x;
    size_t at = 0, end, k;
    uint32_t n, id;
    x.s = s, x.end = length, x.pre = m->t->pre;
    for (; at < length; at = end) {
        int whole = (m->t->flags & TOKENIZER_WHOLE) != 0;
        end = x.pre <= TOKENIZER_PRE_DIGITS ? tokenizer__piece_gpt2(&x, at) : tokenizer__piece_llama3(&x, at);
        for (k = at; replace && k < end; k += n)
            if (tokenizer__push_code(m, tokenizer__code(s + k, end - k, &n)) != n) whole = 0;
        for (; k < end; k++) tokenizer__push(m, tokenizer__id(m->t, m->t->byte, s[k]));
        if (m->status != LLMQ_OK) return;
        tokenizer__merge_all(m);
        /* where merging gives one token, it is the piece, and need not be looked for */
        if (whole && m->count && m->symbol[0].next != TOKENIZER_NONE
            && (id = tokenizer__search(m->t, m->t->order, m->t->sorted, s + at, end - at)) != TOKENIZER_NONE) {
            tokenizer__put(m, id);
            m->count = 0;
        }
        tokenizer__give(m);
    }
}

#endif

/* ---- encoding ---- */

size_t tokenizer_work_size(const tokenizer *t, size_t length)
{
    /* A space that is no token is three bytes; so is a wrong byte that is replaced. A wrong byte before
       a space makes four of both. */
    size_t each = t->kind == TOKENIZER_BYTES || tokenizer__unit(t, ' ') == TOKENIZER_NONE ? 3 : 2;
    if (length > ((size_t)-1 - 8) / TOKENIZER__SYMBOL / each - 1) return 0;
    return (length * each + 1) * TOKENIZER__SYMBOL;
}

/* The longest special that s[n] begins with; TOKENIZER_NONE if none does. *length: its bytes. The
   range of specials that agree with the bytes so far becomes smaller with each byte. */
static uint32_t tokenizer__special(const tokenizer *t, const unsigned char *s, size_t n, int control, uint32_t *length)
{
    uint32_t lo = 0, hi = t->specials, found = TOKENIZER_NONE, k, m, id, a, b;
    const unsigned char *w;
    if (!tokenizer__has(t->begins[control], s[0])) return found;
    for (k = 0; k < n && lo < hi; k++) {
        for (a = lo, b = hi; a < b;) {
            uint32_t mid = a + (b - a) / 2;
            w = tokenizer__bytes(t, tokenizer__number(t->special, t->width, mid), &m);
            if (m <= k || w[k] < s[k]) a = mid + 1;
            else b = mid;
        }
        lo = a;
        for (b = hi; a < b;) {
            uint32_t mid = a + (b - a) / 2;
            w = tokenizer__bytes(t, tokenizer__number(t->special, t->width, mid), &m);
            if (w[k] <= s[k]) a = mid + 1;
            else b = mid;
        }
        hi = a;
        if (lo == hi) break;
        id = tokenizer__number(t->special, t->width, lo);
        (void)tokenizer__bytes(t, id, &m);
        if (m == k + 1 && (control || t->type[id] == TOKENIZER_USER)) found = id, *length = m;
    }
    return found;
}

static void tokenizer__encode_part(tokenizer__merger *m, const unsigned char *s, size_t n, int flags, int space)
{
#if !TOKENIZER_NO_PRE
    if (m->t->kind == TOKENIZER_BYTES) {
        tokenizer__encode_bytes(m, s, n, (flags & TOKENIZER_REPLACE) != 0);
        return;
    }
#endif
    (void)flags;
    tokenizer__encode_chars(m, s, n, space && (m->t->flags & TOKENIZER_ADD_SPACE));
}

/* Control tokens are found outside of the bytes from plain up to plain_end. */
static void tokenizer__encode_all(tokenizer__merger *m, const unsigned char *s, size_t length, int flags, size_t plain,
                                  size_t plain_end)
{
    const tokenizer *t = m->t;
    const int parse = (flags & TOKENIZER_PARSE) != 0;
    int space = !(flags & TOKENIZER_CONTINUES);
    size_t at = 0, from = 0;
    if ((flags & TOKENIZER_SPECIAL) && (t->flags & TOKENIZER_ADD_BOS)) tokenizer__put(m, t->bos);
    while (at < length && m->status == LLMQ_OK) {
        uint32_t n = 0, id;
        int control = parse && (at < plain || at >= plain_end);
        size_t most = (control && at < plain ? plain : length) - at;
        id = tokenizer__special(t, s + at, most, control, &n);
        if (id == TOKENIZER_NONE && most < length - at) id = tokenizer__special(t, s + at, length - at, 0, &n);
        if (id == TOKENIZER_NONE) {
            at++;
            continue;
        }
        if (at > from) tokenizer__encode_part(m, s + from, at - from, flags, space);
        tokenizer__put(m, id);
        space = 1;
        from = at += n;
    }
    if (at > from) tokenizer__encode_part(m, s + from, at - from, flags, space);
    if ((flags & TOKENIZER_SPECIAL) && (t->flags & TOKENIZER_ADD_EOS)) tokenizer__put(m, t->eos);
}

static void tokenizer__begin(tokenizer__merger *m, const tokenizer *t, uint32_t *ids, size_t room, void *work,
                             size_t work_size)
{
    size_t most = work_size / TOKENIZER__SYMBOL;
    memset(m, 0, sizeof *m);
    m->t = t, m->ids = ids, m->ids_room = room;
    m->room = most < TOKENIZER_NONE ? (uint32_t)most : TOKENIZER_NONE - 1;
    m->symbol = (tokenizer__symbol *)work;
    m->heap = (uint32_t *)(void *)(m->symbol + m->room);
}

static llmq_status tokenizer__end(const tokenizer__merger *m, size_t *count)
{
    *count = m->status == LLMQ_OK ? m->ids_count : 0;
    if (m->status != LLMQ_OK) return m->status;
    return m->ids_count > m->ids_room ? LLMQ_E_LIMIT : LLMQ_OK;
}

llmq_status tokenizer_encode(const tokenizer *t, const char *text, size_t length, int flags, uint32_t *ids,
                             size_t room, size_t *count, void *work, size_t work_size)
{
    tokenizer__merger m;
    if (!t || (!text && length) || (!ids && room) || !count || (!work && work_size) || flags < 0 || flags > 15)
        return LLMQ_E_ARG;
    tokenizer__begin(&m, t, ids, room, work, work_size);
    tokenizer__encode_all(&m, (const unsigned char *)text, length, flags, 0, 0);
    return tokenizer__end(&m, count);
}

/* ---- chats ----

   A turn is rendered as the template says and encoded at once. Control tokens are found in what the
   template says, not in the texts. */

typedef struct tokenizer__template {
    const char *system, *system_end; /* around a system text */
    const char *user, *user_end;
    const char *reply, *reply_end;   /* around an assistant's text */
    int trim;                        /* blanks around texts are dropped */
    int inside;                      /* a system text is within the turn of a user, after `user` */
    int bos;                         /* each user's turn begins with BOS */
    const char *own;                 /* the system text where there is none */
} tokenizer__template;

/* The system text of each is that of its first release. */
static const tokenizer__template tokenizer__templates[TOKENIZER_CHATS] = {
    { NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL },
    { "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n",
      "<|im_end|>\n", 0, 0, 0, NULL },
    { "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n",
      "<|im_end|>\n", 0, 0, 0, "You are a helpful AI assistant named SmolLM, trained by Hugging Face" },
    { "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n",
      "<|im_end|>\n", 0, 0, 0, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant." },
    { "<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>", "<|start_header_id|>user<|end_header_id|>\n\n",
      "<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", 1, 0, 0, NULL },
    { "", "\n\n", "<start_of_turn>user\n", "<end_of_turn>\n", "<start_of_turn>model\n", "<end_of_turn>\n", 1, 1, 0,
      NULL },
    { "<<SYS>>\n", "\n<</SYS>>\n\n", "[INST] ", " [/INST]", " ", " </s>", 1, 1, 1, NULL },
    { "", "\n\n", " [INST] ", " [/INST]", " ", "</s>", 0, 1, 0, NULL },
    { "", "\n\n", "[INST] ", "[/INST]", " ", "</s>", 0, 1, 0, NULL },
    { NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL }
};

const char *tokenizer_chat_system(const tokenizer *t) { return tokenizer__templates[t->chat].own; }

static int tokenizer__contains(const char *s, size_t length, const char *what)
{
    size_t n = strlen(what), i;
    for (i = 0; n <= length && i <= length - n; i++)
        if (s[i] == what[0] && memcmp(s + i, what, n) == 0) return 1;
    return 0;
}

/* A template with <|im_sep|> is Phi's, one with <end_of_utterance> SmolVLM's: no ChatML. */
uint32_t tokenizer_chat_detect(const char *s, size_t length)
{
    uint32_t chat;
    if (tokenizer__contains(s, length, "<|im_start|>")) {
        if (tokenizer__contains(s, length, "<|im_sep|>") || tokenizer__contains(s, length, "<end_of_utterance>"))
            return TOKENIZER_CHAT_OTHER;
        for (chat = TOKENIZER_CHAT_SMOLLM; chat <= TOKENIZER_CHAT_QWEN; chat++)
            if (tokenizer__contains(s, length, tokenizer__templates[chat].own)) return chat;
        return TOKENIZER_CHAT_CHATML;
    }
    if (tokenizer__contains(s, length, "[INST]")) {
        if (tokenizer__contains(s, length, "[SYSTEM_PROMPT]")) return TOKENIZER_CHAT_OTHER;
        if (tokenizer__contains(s, length, "\"[INST]\"")) return TOKENIZER_CHAT_OTHER; /* tekken */
        if (tokenizer__contains(s, length, "' [INST] ' + system_message")) return TOKENIZER_CHAT_MISTRAL1;
        if (tokenizer__contains(s, length, "[AVAILABLE_TOOLS]"))
            return tokenizer__contains(s, length, " [INST]") ? TOKENIZER_CHAT_MISTRAL1 : TOKENIZER_CHAT_MISTRAL3;
        return TOKENIZER_CHAT_LLAMA2;
    }
    if (tokenizer__contains(s, length, "<start_of_turn>")) return TOKENIZER_CHAT_GEMMA;
    if (tokenizer__contains(s, length, "<|start_header_id|>") && tokenizer__contains(s, length, "<|end_header_id|>"))
        return TOKENIZER_CHAT_LLAMA3;
    return length ? TOKENIZER_CHAT_OTHER : TOKENIZER_CHAT_NONE;
}

/* Bytes of a rendered turn beside its texts: no template has more. */
#define TOKENIZER__TURN 256u

/* Bytes of a rendered turn, a multiple of 4; 0 if they do not fit size_t. */
static size_t tokenizer__turn_size(const tokenizer_turn *turn)
{
    const size_t most = (size_t)-1 - TOKENIZER__TURN - 3;
    if (turn->length > most || turn->system_length > most - turn->length) return 0;
    return (turn->length + turn->system_length + TOKENIZER__TURN + 3) / 4 * 4;
}

size_t tokenizer_chat_work_size(const tokenizer *t, const tokenizer_turn *turn)
{
    size_t text = tokenizer__turn_size(turn), size = text ? tokenizer_work_size(t, text) : 0;
    return size && text <= (size_t)-1 - size ? text + size : 0;
}

/* A string that tokenizer__write adds to. */
typedef struct tokenizer__rendered {
    unsigned char *s;
    size_t n;
} tokenizer__rendered;

static void tokenizer__write(tokenizer__rendered *r, const char *s, size_t n, int trim)
{
    while (trim && n && (s[n - 1] == ' ' || (s[n - 1] >= 9 && s[n - 1] <= 13))) n--;
    while (trim && n && (s[0] == ' ' || (s[0] >= 9 && s[0] <= 13))) s++, n--;
    if (n) memcpy(r->s + r->n, s, n);
    r->n += n;
}

/* Encodes before, text and after, without BOS or EOS. flags: TOKENIZER_CONTINUES or 0. */
static void tokenizer__encode_turn(tokenizer__merger *m, tokenizer__rendered *r, const char *before, const char *text,
                                   size_t length, const char *after, int trim, int flags)
{
    size_t plain;
    tokenizer__write(r, before, strlen(before), 0);
    plain = r->n;
    tokenizer__write(r, text, length, trim);
    length = r->n;
    tokenizer__write(r, after, strlen(after), 0);
    tokenizer__encode_all(m, r->s, r->n, TOKENIZER_PARSE | flags, plain, length);
    r->n = 0;
}

/* Each "<|...|>" and the like of s must be a token; "[INST]" and "<<SYS>>" are text to some models. */
static int tokenizer__knows(const tokenizer *t, const char *s)
{
    size_t n;
    for (; *s; s += n) {
        for (n = 1; s[0] == '<' && s[1] != '<' && s[n] && s[n - 1] != '>'; n++) {}
        if (n > 2 && s[1] != '/' && tokenizer_find(t, s, n) == TOKENIZER_NONE) return 0;
    }
    return 1;
}

static void tokenizer__chat_user(tokenizer__merger *m, tokenizer__rendered *r, const tokenizer__template *c,
                                 const tokenizer_turn *turn)
{
    size_t plain, length;
    if (turn->system && !c->inside)
        tokenizer__encode_turn(m, r, c->system, turn->system, turn->system_length, c->system_end, c->trim, 0);
    if (!turn->system || !c->inside) {
        tokenizer__encode_turn(m, r, c->user, turn->text, turn->length, c->user_end, c->trim, 0);
        return;
    }
    tokenizer__write(r, c->user, strlen(c->user), 0);
    tokenizer__write(r, c->system, strlen(c->system), 0);
    plain = r->n;
    tokenizer__write(r, turn->system, turn->system_length, c->trim);
    tokenizer__write(r, c->system_end, strlen(c->system_end), 0);
    tokenizer__write(r, turn->text, turn->length, c->trim);
    length = r->n;
    tokenizer__write(r, c->user_end, strlen(c->user_end), 0);
    tokenizer__encode_all(m, r->s, r->n, TOKENIZER_PARSE, plain, length);
}

static int tokenizer__turn_is_right(const tokenizer_turn *turn)
{
    if ((!turn->text && turn->length) || (!turn->system && turn->system_length)) return 0;
    if (turn->turn == TOKENIZER_TURN_USER) return 1;
    if (turn->system) return 0;
    if (turn->turn == TOKENIZER_TURN_ASSISTANT) return 1;
    return (turn->turn == TOKENIZER_TURN_REPLY || turn->turn == TOKENIZER_TURN_END) && turn->length == 0;
}

llmq_status tokenizer_chat(const tokenizer *t, const tokenizer_turn *turn, uint32_t *ids, size_t room, size_t *count,
                           void *work, size_t work_size)
{
    const tokenizer__template *c;
    tokenizer__merger m;
    tokenizer__rendered r;
    size_t text;
    if (!t || !turn || !count || !work || (!ids && room) || !tokenizer__turn_is_right(turn)) return LLMQ_E_ARG;
    *count = 0;
    c = &tokenizer__templates[t->chat];
    if (!c->user) return LLMQ_E_UNSUPPORTED;
    if (!tokenizer__knows(t, c->user) || !tokenizer__knows(t, c->user_end) || !tokenizer__knows(t, c->reply))
        return LLMQ_E_NOT_FOUND;
    text = tokenizer__turn_size(turn);
    if (text == 0 || work_size < text) return LLMQ_E_WORKSPACE;
    r.s = (unsigned char *)work, r.n = 0;
    tokenizer__begin(&m, t, ids, room, r.s + text, work_size - text);
    if ((turn->first || (c->bos && turn->turn == TOKENIZER_TURN_USER)) && (t->flags & TOKENIZER_ADD_BOS))
        tokenizer__put(&m, t->bos);
    if (turn->turn == TOKENIZER_TURN_USER) tokenizer__chat_user(&m, &r, c, turn);
    else if (turn->turn == TOKENIZER_TURN_REPLY) tokenizer__encode_turn(&m, &r, c->reply, "", 0, "", 0, 0);
    else if (turn->turn == TOKENIZER_TURN_END)
        tokenizer__encode_turn(&m, &r, "", "", 0, c->reply_end, 0, TOKENIZER_CONTINUES);
    else tokenizer__encode_turn(&m, &r, c->reply, turn->text, turn->length, c->reply_end, c->trim, 0);
    return tokenizer__end(&m, count);
}

/* ---- building ---- */

typedef struct tokenizer__entry {
    uint32_t left, right, rank, id;
} tokenizer__entry;

/* Arrays of the workspace; the stored form has room before them. */
typedef struct tokenizer__builder {
    tokenizer_source *s;
    size_t stored;            /* most bytes of the stored form */
    uint32_t text, entries;   /* most of them; then how many there are */
    uint32_t normal, specials;
    tokenizer__entry *entry;
    uint32_t *offset, *rank, *order, *sorted, *special, *index; /* sorted: normal tokens by their bytes */
    uint32_t *byte;           /* [256]: ids of bytes */
    float *score;
    unsigned char *type, *bytes;
    unsigned char *out;
    size_t at;
} tokenizer__builder;

#define TOKENIZER__TOKENS ((uint32_t)1) /* what is sorted: ids by their bytes */
#define TOKENIZER__SCORES ((uint32_t)2) /* ids by their scores */
#define TOKENIZER__PAIRS ((uint32_t)3)  /* entries */

static const unsigned char *tokenizer__spelled(const tokenizer__builder *b, uint32_t id, uint32_t *length)
{
    *length = b->offset[id + 1] - b->offset[id];
    return b->bytes + b->offset[id];
}

/* Whether x comes before y; equal ones are ordered by number. */
static int tokenizer__earlier(const tokenizer__builder *b, uint32_t what, uint32_t x, uint32_t y)
{
    uint32_t m, n;
    int order;
    if (what == TOKENIZER__TOKENS) {
        const unsigned char *p = tokenizer__spelled(b, x, &m), *q = tokenizer__spelled(b, y, &n);
        order = tokenizer__order(p, m, q, n);
        return order < 0 || (order == 0 && x < y);
    }
    if (what == TOKENIZER__SCORES)
        return b->score[x] > b->score[y] || (!(b->score[x] < b->score[y]) && x < y);
    if (b->entry[x].left != b->entry[y].left) return b->entry[x].left < b->entry[y].left;
    if (b->entry[x].right != b->entry[y].right) return b->entry[x].right < b->entry[y].right;
    return x < y;
}

/* Sorts ids[n] by a heap: n log n for any order, without recursion or memory. */
static void tokenizer__sort(const tokenizer__builder *b, uint32_t what, uint32_t *ids, uint32_t n)
{
    uint32_t from = n / 2, end = n, at, child, x;
    while (end > 1) {
        if (from > 0) x = ids[--from];
        else {
            x = ids[--end];
            ids[end] = ids[0];
        }
        for (at = from; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && tokenizer__earlier(b, what, ids[child], ids[child + 1])) child++;
            if (!tokenizer__earlier(b, what, x, ids[child])) break;
            ids[at] = ids[child];
        }
        ids[at] = x;
    }
}

/* The normal token s[n]; TOKENIZER_NONE if there is none. */
static uint32_t tokenizer__lookup(const tokenizer__builder *b, const unsigned char *s, size_t n)
{
    uint32_t lo = 0, hi = b->normal, length;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const unsigned char *p = tokenizer__spelled(b, b->sorted[mid], &length);
        int order = tokenizer__order(p, length, s, n);
        if (order == 0) return b->sorted[mid];
        if (order < 0) lo = mid + 1;
        else hi = mid;
    }
    return TOKENIZER_NONE;
}

/* A side s[n] of a merge: a token, or a byte whose character is none. */
static uint32_t tokenizer__side(const tokenizer__builder *b, const unsigned char *s, size_t n)
{
    uint32_t id = tokenizer__lookup(b, s, n);
    return id == TOKENIZER_NONE && n == 1 ? b->byte[s[0]] : id;
}

/* The byte that GPT-2 writes as the character with this code; 256 if it writes none so. It writes
   visible characters of Latin-1 as they are, and the others, in order, from U+0100 on. */
static uint32_t tokenizer__byte_of(uint32_t code)
{
    if ((code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xff && code != 0xad)) return code;
    if (code >= 0x100 && code <= 0x120) return code - 0x100;
    if (code >= 0x121 && code <= 0x142) return code - 0x121 + 0x7f;
    return code == 0x143 ? 0xad : 256;
}

/* Replaces the spelling s[n] of a normal token by its bytes, to out, which has n; returns their
   number, and n + 1 if the spelling is none. */
static size_t tokenizer__bytes_of(uint32_t kind, const unsigned char *s, size_t n, unsigned char *out)
{
    size_t i = 0, k = 0;
    while (i < n) {
        if (kind == TOKENIZER_CHARS) {
            int space = n - i >= 3 && memcmp(s + i, "\xe2\x96\x81", 3) == 0;
            out[k++] = space ? ' ' : s[i];
            i += space ? 3 : 1;
            continue;
        }
        {
            uint32_t two = n - i >= 2 && s[i] >= 0xc2 && s[i] <= 0xc5 && (s[i + 1] & 0xc0) == 0x80;
            uint32_t code = two ? (s[i] & 31u) << 6 | (s[i + 1] & 63u) : s[i] < 0x80 ? s[i] : 0xad;
            uint32_t byte = tokenizer__byte_of(code);
            if (byte > 255) return n + 1;
            out[k++] = (unsigned char)byte;
            i += 1 + two;
        }
    }
    return k;
}

/* "<0x0A>", or a single byte as it is. */
static int tokenizer__byte_token(const unsigned char *s, size_t n, unsigned char *byte)
{
    uint32_t value = 0, i, digit;
    if (n == 1) return *byte = s[0], 1;
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return 0;
    for (i = 3; i < 5; i++) {
        digit = s[i] >= '0' && s[i] <= '9' ? s[i] - (uint32_t)'0'
              : (s[i] | 32) >= 'a' && (s[i] | 32) <= 'f' ? (s[i] | 32u) - (uint32_t)'a' + 10 : 16;
        if (digit > 15) return 0;
        value = value << 4 | digit;
    }
    return *byte = (unsigned char)value, 1;
}

static llmq_status tokenizer__ask(tokenizer_source *s, uint32_t i, tokenizer_token *token)
{
    memset(token, 0, sizeof *token);
    s->fault = i;
    return s->token(s->context, i, token);
}

/* Counts bytes and, where scores are merged, the places at which tokens can be divided; without
   memory the sizes alone, which is what tokenizer_build_size needs. */
static llmq_status tokenizer__plan(tokenizer__builder *b, tokenizer_source *s)
{
    tokenizer_token token;
    llmq_status status;
    uint64_t text = 0, entries = s ? s->merges : 0;
    uint32_t i;
    memset(b, 0, sizeof *b);
    if (!s || !s->token || s->count == 0 || s->kind > TOKENIZER_CHARS || s->ends > TOKENIZER_MAX_ENDS
        || (!s->merge && (s->merges || s->kind == TOKENIZER_BYTES)))
        return LLMQ_E_ARG;
    if (s->count >= TOKENIZER__MOST || s->merges >= TOKENIZER__MOST) return LLMQ_E_LIMIT;
    for (i = 0; i < s->count; i++) {
        if ((status = tokenizer__ask(s, i, &token)) != LLMQ_OK) return status;
        text += token.length;
        if (!s->merge) entries += token.length;
        if (token.length >= TOKENIZER__MOST || text >= TOKENIZER__MOST) return LLMQ_E_LIMIT;
    }
    s->fault = TOKENIZER_NONE;
    b->s = s;
    b->text = (uint32_t)text;
    b->entries = (uint32_t)entries;
    return LLMQ_OK;
}

/* Lays the workspace out: *size is what it needs. With memory, sets the pointers. */
static llmq_status tokenizer__lay_out(tokenizer__builder *b, unsigned char *work, size_t *size)
{
    const uint64_t n = (uint64_t)b->s->count + 1, e = b->entries, words = 6 * n + 256 + e;
    const uint64_t stored = (TOKENIZER__HEADER + 17 * n + 768 + 7 * n + 9 * e + b->text + 3) / 4 * 4;
    const uint64_t total = stored + 4 * words + 16 * e + n + b->text;
    if (total > (size_t)-1) return LLMQ_E_LIMIT;
    *size = (size_t)total;
    b->stored = (size_t)stored;
    if (!work) return LLMQ_OK;
    b->out = work;
    b->entry = (tokenizer__entry *)(void *)(work + b->stored);
    b->offset = (uint32_t *)(void *)(b->entry + (size_t)e);
    b->rank = b->offset + n, b->order = b->rank + n, b->sorted = b->order + n, b->special = b->sorted + n;
    b->score = (float *)(void *)(b->special + n);
    b->byte = (uint32_t *)(void *)(b->score + n);
    b->index = b->byte + 256;
    b->type = (unsigned char *)(b->index + (size_t)e);
    b->bytes = b->type + n;
    return LLMQ_OK;
}

llmq_status tokenizer_build_size(tokenizer_source *s, size_t *size)
{
    tokenizer__builder b;
    llmq_status status = tokenizer__plan(&b, s);
    return status == LLMQ_OK ? tokenizer__lay_out(&b, NULL, size) : status;
}

/* Token i: its bytes, type and score. */
static llmq_status tokenizer__read_token(tokenizer__builder *b, uint32_t i)
{
    tokenizer_token token;
    unsigned char *out = b->bytes + b->offset[i];
    const unsigned char *s;
    llmq_status status = tokenizer__ask(b->s, i, &token);
    size_t n = token.length;
    if (status != LLMQ_OK) return status;
    if (n > b->text - b->offset[i]) return LLMQ_E_ARG; /* a callback that changes its mind */
    s = (const unsigned char *)token.s;
    if (token.type < TOKENIZER_NORMAL || token.type > TOKENIZER_BYTE) return LLMQ_E_CORRUPT;
    if (token.score < 0.0f ? 0 : !(token.score >= 0.0f)) return LLMQ_E_NOT_FINITE;
    if (token.type == TOKENIZER_NORMAL || (token.type == TOKENIZER_USER && b->s->kind == TOKENIZER_CHARS))
        n = tokenizer__bytes_of(b->s->kind, s, n, out);
    else if (token.type == TOKENIZER_BYTE) {
        if (!tokenizer__byte_token(s, n, out)) return LLMQ_E_CORRUPT;
        n = 1;
    } else if (n) memcpy(out, s, n);
    if (n > token.length || (token.type == TOKENIZER_NORMAL && n == 0)) {
        n = token.length;
        if (n) memcpy(out, s, n);
        token.type = TOKENIZER_UNUSED;
    }
    b->type[i] = (unsigned char)token.type;
    b->score[i] = token.score;
    b->offset[i + 1] = b->offset[i] + (uint32_t)n;
    return LLMQ_OK;
}

/* Of equal tokens the first is used. */
static llmq_status tokenizer__read_tokens(tokenizer__builder *b)
{
    const uint32_t of_bytes = b->s->kind == TOKENIZER_CHARS ? TOKENIZER_BYTE : TOKENIZER_NORMAL;
    uint32_t i, k, m, n;
    llmq_status status;
    b->offset[0] = 0;
    memset(b->byte, 0xff, 256 * sizeof *b->byte); /* TOKENIZER_NONE */
    for (i = 0; i < b->s->count; i++) {
        const unsigned char *bytes;
        if ((status = tokenizer__read_token(b, i)) != LLMQ_OK) return status;
        bytes = tokenizer__spelled(b, i, &n);
        if (b->type[i] == of_bytes && n == 1 && b->byte[bytes[0]] == TOKENIZER_NONE) b->byte[bytes[0]] = i;
        if (b->type[i] == TOKENIZER_NORMAL) b->sorted[b->normal++] = i;
        else if (b->type[i] <= TOKENIZER_USER && n) b->special[b->specials++] = i;
    }
    b->text = b->offset[b->s->count];
    b->s->fault = TOKENIZER_NONE;
    for (k = 0; k < 2; k++) {
        uint32_t *ids = k ? b->special : b->sorted, *count = k ? &b->specials : &b->normal, kept = 0;
        tokenizer__sort(b, TOKENIZER__TOKENS, ids, *count);
        for (i = 0; i < *count; i++) {
            const unsigned char *p = tokenizer__spelled(b, ids[i], &n);
            const unsigned char *q = kept ? tokenizer__spelled(b, ids[kept - 1], &m) : p;
            if (!kept || m != n || memcmp(p, q, n) != 0) ids[kept++] = ids[i];
        }
        *count = kept;
    }
    return LLMQ_OK;
}

/* Equal scores have one rank. */
static void tokenizer__rank(tokenizer__builder *b)
{
    uint32_t i, rank = 0;
    memcpy(b->order, b->sorted, b->normal * sizeof *b->order);
    tokenizer__sort(b, TOKENIZER__SCORES, b->order, b->normal);
    for (i = 0; i < b->normal; i++) {
        if (i && b->score[b->order[i]] < b->score[b->order[i - 1]]) rank++;
        b->rank[b->order[i]] = rank;
    }
}

/* Where scores are merged: each token can be merged of each two tokens that it can be divided into,
   between characters. */
static void tokenizer__divide(tokenizer__builder *b)
{
    uint32_t i, at, n, count = 0, left, right;
    tokenizer__rank(b);
    for (i = 0; i < b->normal; i++) {
        const unsigned char *s = tokenizer__spelled(b, b->sorted[i], &n);
        for (at = tokenizer__unit_length(s[0]); at < n; at += tokenizer__unit_length(s[at])) {
            left = tokenizer__side(b, s, at);
            if (left == TOKENIZER_NONE || (right = tokenizer__side(b, s + at, n - at)) == TOKENIZER_NONE) continue;
            b->entry[count].left = left, b->entry[count].right = right;
            b->entry[count].rank = b->rank[b->sorted[i]], b->entry[count].id = b->sorted[i];
            count++;
        }
    }
    b->entries = count;
}

/* The bytes of both sides are put where the stored form will be: it has room for the longest text. */
static llmq_status tokenizer__read_merges(tokenizer__builder *b)
{
    tokenizer_merge merge;
    llmq_status status;
    uint32_t i;
    for (i = 0; i < b->s->merges; i++) {
        size_t m, n;
        tokenizer__entry *e = &b->entry[i];
        b->s->fault = i;
        memset(&merge, 0, sizeof merge);
        if ((status = b->s->merge(b->s->context, i, &merge)) != LLMQ_OK) return status;
        if (merge.left_length > b->text || merge.right_length > b->text) return LLMQ_E_NOT_FOUND;
        if (merge.left_length + merge.right_length > b->stored) return LLMQ_E_NOT_FOUND;
        m = tokenizer__bytes_of(b->s->kind, (const unsigned char *)merge.left, merge.left_length, b->out);
        if (m > merge.left_length) return LLMQ_E_NOT_FOUND;
        n = tokenizer__bytes_of(b->s->kind, (const unsigned char *)merge.right, merge.right_length, b->out + m);
        if (n > merge.right_length) return LLMQ_E_NOT_FOUND;
        e->left = tokenizer__lookup(b, b->out, m);
        e->right = tokenizer__lookup(b, b->out + m, n);
        e->id = tokenizer__lookup(b, b->out, m + n);
        e->rank = i;
        if (e->left == TOKENIZER_NONE || e->right == TOKENIZER_NONE || e->id == TOKENIZER_NONE) return LLMQ_E_NOT_FOUND;
    }
    b->s->fault = TOKENIZER_NONE;
    return LLMQ_OK;
}

/* Of two merges of one pair the first stays, which has the lower rank. */
static void tokenizer__sort_merges(tokenizer__builder *b)
{
    uint32_t i, kept = 0;
    for (i = 0; i < b->entries; i++) b->index[i] = i;
    tokenizer__sort(b, TOKENIZER__PAIRS, b->index, b->entries);
    for (i = 0; i < b->entries; i++) {
        const tokenizer__entry *e = &b->entry[b->index[i]], *last = kept ? &b->entry[b->index[kept - 1]] : e;
        if (!kept || last->left != e->left || last->right != e->right) b->index[kept++] = b->index[i];
    }
    b->entries = kept;
}

static void tokenizer__store(tokenizer__builder *b, uint32_t value, uint32_t width)
{
    for (; width > 0; width--, value >>= 8) b->out[b->at++] = (unsigned char)(value & 255);
}

/* Units: the normal tokens of one character; of the byte-level kind bytes, which are in `bytes` already. */
static uint32_t tokenizer__units(tokenizer__builder *b)
{
    uint32_t i, k, n, count = 0;
    for (i = 0; i < b->normal && b->s->kind == TOKENIZER_CHARS; i++) {
        const unsigned char *s = tokenizer__spelled(b, b->sorted[i], &n);
        if (n > 4 || n > tokenizer__unit_length(s[0]) || (n > 1 && s[0] == 0)) continue;
        b->rank[count] = 0;
        for (k = 0; k < n; k++) b->rank[count] = b->rank[count] << 8 | s[k];
        b->order[count++] = b->sorted[i];
    }
    return count;
}

/* Keys, then ids. Tokens are sorted by their bytes, and keys by numbers: all of one length, then all
   of the next. */
static void tokenizer__store_units(tokenizer__builder *b, uint32_t count, uint32_t w)
{
    uint32_t length, i, pass, n;
    for (pass = 0; pass < 2; pass++)
        for (length = 1; length <= 4; length++)
            for (i = 0; i < count; i++) {
                (void)tokenizer__spelled(b, b->order[i], &n);
                if (n == length) tokenizer__store(b, pass ? b->order[i] : b->rank[i], pass ? w : 4);
            }
}

static void tokenizer__store_header(tokenizer__builder *b, uint32_t w, uint32_t units, uint32_t sorted)
{
    const tokenizer_source *s = b->s;
    uint32_t i;
    memcpy(b->out, "LTOK", 4);
    b->at = 4;
    tokenizer__store(b, 1, 1), tokenizer__store(b, w, 1);
    tokenizer__store(b, s->kind, 1), tokenizer__store(b, s->pre, 1);
    tokenizer__store(b, s->chat, 1), tokenizer__store(b, s->ends, 1), tokenizer__store(b, s->flags, 2);
    tokenizer__store(b, s->count, 4), tokenizer__store(b, units, 4), tokenizer__store(b, b->entries, 4);
    tokenizer__store(b, b->specials, 4), tokenizer__store(b, sorted, 4), tokenizer__store(b, b->text, 4);
    tokenizer__store(b, s->bos, 4), tokenizer__store(b, s->eos, 4);
    tokenizer__store(b, s->unknown, 4), tokenizer__store(b, s->padding, 4);
    for (i = 0; i < TOKENIZER_MAX_ENDS; i++) tokenizer__store(b, i < s->ends ? s->end[i] : TOKENIZER_NONE, 4);
}

static void tokenizer__store_all(tokenizer__builder *b)
{
    const uint32_t n = b->s->count, units = tokenizer__units(b);
    const uint32_t sorted = b->s->flags & TOKENIZER_WHOLE ? b->normal : 0;
    const uint32_t w = n < 0xffff && b->text < 0xffff && b->entries < 0xffff && b->s->merges < 0xffff ? 2 : 3;
    uint32_t i, k = 0;
    tokenizer__store_header(b, w, units, sorted);
    memcpy(b->out + b->at, b->type, n);
    b->at += n;
    for (i = 0; i <= n; i++) tokenizer__store(b, b->offset[i], w);
    for (i = 0; i < 256; i++) tokenizer__store(b, b->byte[i], w);
    tokenizer__store_units(b, units, w);
    for (i = 0; i <= n; i++) {
        while (k < b->entries && b->entry[b->index[k]].left < i) k++;
        tokenizer__store(b, k, w);
    }
    for (i = 0; i < b->entries; i++) {
        const tokenizer__entry *e = &b->entry[b->index[i]];
        tokenizer__store(b, e->right, w), tokenizer__store(b, e->rank, w), tokenizer__store(b, e->id, w);
    }
    for (i = 0; i < b->specials; i++) tokenizer__store(b, b->special[i], w);
    for (i = 0; i < sorted; i++) tokenizer__store(b, b->sorted[i], w);
    memcpy(b->out + b->at, b->bytes, b->text);
    b->at += b->text;
}

llmq_status tokenizer_build(tokenizer_source *s, void *work, size_t work_size, size_t *size)
{
    tokenizer__builder b;
    tokenizer t;
    size_t need;
    llmq_status status = work && size ? tokenizer__plan(&b, s) : LLMQ_E_ARG;
    if (status == LLMQ_OK) status = tokenizer__lay_out(&b, NULL, &need);
    if (status != LLMQ_OK) return status;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    status = tokenizer__lay_out(&b, (unsigned char *)work, &need);
    if (status == LLMQ_OK) status = tokenizer__read_tokens(&b);
    if (status == LLMQ_OK && s->merge) status = tokenizer__read_merges(&b);
    if (status != LLMQ_OK) return status;
    if (!s->merge) tokenizer__divide(&b);
    tokenizer__sort_merges(&b);
    tokenizer__store_all(&b);
    *size = b.at;
    return tokenizer_open(&t, work, b.at);
}

/* Names of one pre-tokenizer, each between blanks. llama.cpp's src/llama-vocab.cpp, load(). */
typedef struct tokenizer__names {
    uint32_t pre, flags;
    const char *names;
} tokenizer__names;

uint32_t tokenizer_pre_find(const char *name, size_t length, uint32_t *flags)
{
    static const tokenizer__names list[] = {
        { TOKENIZER_PRE_GPT2, 0, " gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum"
          " modern-bert jina-v1-en jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling " },
        { TOKENIZER_PRE_DIGITS, 0, " starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 " },
        { TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE | TOKENIZER_ADD_BOS, " llama3 llama-v3 llama-bpe falcon3 falcon-h1"
          " pixtral midm-2.0 lfm2 jina-v5-nano " },
        { TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE, " glm4 glm5 " },
        { TOKENIZER_PRE_LLAMA3, 0, " dbrx smaug-bpe chatglm-bpe " },
        { TOKENIZER_PRE_QWEN2, 0, " qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2 " },
        { TOKENIZER_PRE_QWEN35, 0, " qwen35 " }
    };
    size_t i, k, n;
    for (i = 0; i < sizeof list / sizeof *list; i++) {
        const char *s = list[i].names;
        for (k = 1, n = strlen(s); length && length < n && k + length < n; k++)
            if (s[k - 1] == ' ' && s[k + length] == ' ' && memcmp(s + k, name, length) == 0
                && !memchr(name, ' ', length)) {
                *flags = list[i].flags;
                return list[i].pre;
            }
    }
    return TOKENIZER_NONE;
}

#ifdef __cplusplus
}
#endif
#undef TOKENIZER_IMPLEMENTATION
#endif
