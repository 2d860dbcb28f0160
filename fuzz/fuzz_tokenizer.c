/* fuzz_tokenizer.c - what tokenizer_open accepts must be safe to use and must give texts back, and
   what it refuses must leave the view alone

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_tokenizer.c -o build/fuzz_tokenizer
       build/fuzz_tokenizer CORPUS                   libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_tokenizer.c -o build/replay_tokenizer
       build/replay_tokenizer FILE...                runs inputs that were found
       build/replay_tokenizer -n 20000               damages the seeds that often
       build/replay_tokenizer -s DIRECTORY           writes stored tokenizers there, to begin a corpus with

   An input is a stored tokenizer. Its own bytes are the text, too. tests/test_tokenizer.c includes
   this file, to use tokenizers in the same way. */
#ifndef LLMQ_IMPLEMENTATION
#define LLMQ_IMPLEMENTATION
#endif
#ifndef LLMQ_IMPLEMENTED
#define LLMQ_STATIC 1 /* next to nothing of the library is used here */
#endif
#ifndef LLMQ_SIMD
#define LLMQ_SIMD 0
#endif
#include "../llmq.h"
#define TOKENIZER_IMPLEMENTATION
#include "../examples/tokenizer.h"
#include "../tests/vectors/tokenizer_golden.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exact.h"

/* ---- tokenizers of the golden vocabularies ---- */

#define GOLDEN_BASE 256u
#define GOLDEN_MERGES (sizeof golden_merges / sizeof *golden_merges / 2)
#define GOLDEN_BPE (sizeof golden_bpe / sizeof *golden_bpe + GOLDEN_MERGES)
#define GOLDEN_SPM (sizeof golden_spm / sizeof *golden_spm)

static char golden_strings[GOLDEN_BPE][48], golden_pairs[GOLDEN_MERGES][100];

static const golden_token *golden_of(uint32_t i)
{
    return &golden_bpe[i < GOLDEN_BASE ? i : i - GOLDEN_MERGES];
}

static llmq_status golden_bpe_token(void *context, uint32_t i, tokenizer_token *token)
{
    (void)context;
    if (i >= GOLDEN_BASE && i < GOLDEN_BASE + GOLDEN_MERGES) {
        token->s = golden_strings[i], token->length = strlen(golden_strings[i]), token->type = TOKENIZER_NORMAL;
        return LLMQ_OK;
    }
    token->s = golden_of(i)->s, token->length = golden_of(i)->length, token->type = golden_of(i)->type;
    return LLMQ_OK;
}

static llmq_status golden_bpe_merge(void *context, uint32_t i, tokenizer_merge *merge)
{
    (void)context;
    merge->left = golden_strings[golden_merges[2 * i]], merge->right = golden_strings[golden_merges[2 * i + 1]];
    merge->left_length = strlen(merge->left), merge->right_length = strlen(merge->right);
    return LLMQ_OK;
}

static llmq_status golden_spm_token(void *context, uint32_t i, tokenizer_token *token)
{
    (void)context;
    token->s = golden_spm[i].s, token->length = golden_spm[i].length;
    token->type = golden_spm[i].type, token->score = golden_spm[i].score;
    return LLMQ_OK;
}

/* pre TOKENIZER_PRE_NONE: of the SentencePiece vocabulary. */
static tokenizer_source golden_source(uint32_t pre, uint32_t flags, uint32_t chat)
{
    tokenizer_source s;
    uint32_t i;
    memset(&s, 0, sizeof s);
    for (i = 0; i < GOLDEN_BPE; i++) {
        if (i >= GOLDEN_BASE && i < GOLDEN_BASE + GOLDEN_MERGES) {
            const uint16_t *pair = &golden_merges[2 * (i - GOLDEN_BASE)];
            (void)snprintf(golden_pairs[i - GOLDEN_BASE], sizeof *golden_pairs, "%s%s", golden_strings[pair[0]],
                           golden_strings[pair[1]]);
            memcpy(golden_strings[i], golden_pairs[i - GOLDEN_BASE], sizeof *golden_strings - 1);
        } else memcpy(golden_strings[i], golden_of(i)->s, golden_of(i)->length + 1);
    }
    s.kind = pre == TOKENIZER_PRE_NONE ? TOKENIZER_CHARS : TOKENIZER_BYTES;
    s.pre = pre, s.flags = flags, s.chat = chat;
    s.bos = 1, s.eos = 2, s.unknown = 0, s.padding = s.fault = TOKENIZER_NONE;
    s.ends = 1, s.end[0] = 2;
    s.count = pre == TOKENIZER_PRE_NONE ? (uint32_t)GOLDEN_SPM : (uint32_t)GOLDEN_BPE;
    s.token = pre == TOKENIZER_PRE_NONE ? golden_spm_token : golden_bpe_token;
    if (pre != TOKENIZER_PRE_NONE) {
        s.bos = GOLDEN_CONTROL + 7, s.eos = GOLDEN_CONTROL + 8, s.unknown = GOLDEN_CONTROL + 9;
        s.end[0] = GOLDEN_CONTROL + 8;
        s.merges = (uint32_t)GOLDEN_MERGES;
        s.merge = golden_bpe_merge;
    }
    return s;
}

/* A stored tokenizer in memory of its own, of just its size. */
static unsigned char *golden_build(uint32_t pre, uint32_t flags, uint32_t chat, size_t *size)
{
    tokenizer_source s = golden_source(pre, flags, chat);
    unsigned char *work, *out;
    size_t need;
    if (tokenizer_build_size(&s, &need) != LLMQ_OK || (work = (unsigned char *)malloc(need)) == NULL) exit(2);
    if (tokenizer_build(&s, work, need, size) != LLMQ_OK || (out = (unsigned char *)malloc(*size)) == NULL) exit(2);
    memcpy(out, work, *size);
    free(work);
    return out;
}

/* ---- using ---- */

/* Encodes a text and decodes it. NULL, or what was promised and not kept. */
static const char *use_text(const tokenizer *t, const char *text, size_t n, int flags)
{
    const size_t need = tokenizer_work_size(t, n + 1), room = 3 * n + 8;
    uint32_t *ids = (uint32_t *)malloc(room * sizeof *ids), *work = (uint32_t *)malloc(need);
    uint32_t length, whole = 1, i;
    size_t count, again, at = 0;
    llmq_status status;
    const char *s, *broken = NULL;
    if (!ids || !work) exit(2);
    status = tokenizer_encode(t, text, n, flags, ids, room, &count, work, need);
    if (status != LLMQ_OK) broken = "a text is not encoded in the workspace that was asked for";
    if (!broken && (tokenizer_encode(t, text, n, flags, NULL, 0, &again, work, need) != (count ? LLMQ_E_LIMIT : LLMQ_OK)
                    || again != count))
        broken = "another count without room";
    for (i = 0; i < 256; i++)
        if (tokenizer__id(t, t->byte, i) == TOKENIZER_NONE) whole = 0;
    for (i = 0; !broken && i < count; i++) {
        if (ids[i] >= t->count) broken = "an id that is no token";
        else if (tokenizer_piece(t, ids[i], 0, &s, &length) == TOKENIZER_UNUSED) broken = "an unused token";
        else if (whole && t->kind == TOKENIZER_BYTES && flags == 0) {
            if (length > n - at || memcmp(s, text + at, length) != 0) broken = "another text";
            at += length;
        }
    }
    if (!broken && whole && t->kind == TOKENIZER_BYTES && flags == 0 && at != n) broken = "a text that ends early";
    if (!broken && need > 64 && n > 200) { /* too little memory is refused or enough, but never overrun */
        status = tokenizer_encode(t, text, n, flags, ids, room, &again, work, 64);
        if (status != LLMQ_E_WORKSPACE && (status != LLMQ_OK || again != count)) broken = "another text in less memory";
    }
    free(ids);
    free(work);
    return broken;
}

static const char *use_chat(const tokenizer *t, const char *text, size_t n)
{
    tokenizer_turn turn;
    uint32_t ids[64], *work;
    size_t count, need;
    memset(&turn, 0, sizeof turn);
    for (turn.turn = 0; turn.turn <= TOKENIZER_TURN_END; turn.turn++) {
        llmq_status status;
        turn.first = turn.turn == 0;
        turn.system = turn.turn == 0 ? text : NULL, turn.system_length = turn.turn == 0 ? n : 0;
        turn.text = text, turn.length = turn.turn >= TOKENIZER_TURN_REPLY ? 0 : n;
        need = tokenizer_chat_work_size(t, &turn);
        if ((work = (uint32_t *)malloc(need)) == NULL) exit(2);
        status = tokenizer_chat(t, &turn, ids, 64, &count, work, need);
        free(work);
        if (status != LLMQ_OK && status != LLMQ_E_LIMIT && status != LLMQ_E_UNSUPPORTED && status != LLMQ_E_NOT_FOUND)
            return "an unknown status of tokenizer_chat";
    }
    (void)tokenizer_chat_system(t);
    return NULL;
}

/* *opened: status of tokenizer_open. */
static const char *use_tokenizer(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    static const char words[] = "It's a <b>te\xc5\xbfst</b>:\r\n  1234\xc3\xa9\xe2\x96\x81\xff "
                                "\xf0\x9f\x98\x80\t'S <|im_end|>";
    tokenizer t, before;
    const char *broken = NULL;
    int flags;
    memset(&t, 0x5a, sizeof t);
    before = t;
    *opened = tokenizer_open(&t, bytes, size);
    if (*opened != LLMQ_OK) {
        if (*opened != LLMQ_E_MAGIC && *opened != LLMQ_E_VERSION && *opened != LLMQ_E_TRUNCATED
            && *opened != LLMQ_E_UNSUPPORTED && *opened != LLMQ_E_CORRUPT)
            return "tokenizer_open returns a status that it does not name";
        return memcmp(&t, &before, sizeof t) ? "a refused tokenizer has changed the view" : NULL;
    }
    for (flags = 0; !broken && flags < 16; flags++) broken = use_text(&t, words, sizeof words - 1, flags);
    if (!broken) broken = use_text(&t, (const char *)bytes, size < 4000 ? size : 4000, 0);
    if (!broken) broken = use_chat(&t, words, sizeof words - 1);
    return broken;
}

EXACT_TARGET("fuzz_tokenizer", use_tokenizer)

/* ---- without libFuzzer ---- */
#ifdef REPLAY
#include "replay.h"

int main(int argc, char **argv)
{
    replay_seed seeds[] = { { "llama3", NULL, 0 }, { "gpt2", NULL, 0 }, { "spm", NULL, 0 } };
    unsigned char *made[3];
    int i, failed;
    made[0] = golden_build(TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE, TOKENIZER_CHAT_LLAMA3, &seeds[0].size);
    made[1] = golden_build(TOKENIZER_PRE_GPT2, 0, TOKENIZER_CHAT_CHATML, &seeds[1].size);
    made[2] = golden_build(TOKENIZER_PRE_NONE, TOKENIZER_ADD_SPACE, TOKENIZER_CHAT_NONE, &seeds[2].size);
    for (i = 0; i < 3; i++) seeds[i].bytes = made[i];
    failed = replay_main(argc, argv, seeds, 3);
    for (i = 0; i < 3; i++) free(made[i]);
    return failed;
}
#endif
