/* test_tokenizer.c - examples/tokenizer.h: ids of other tokenizers, chats, and stored forms that are broken

   The vocabularies, texts and ids are in tests/vectors/tokenizer_golden.h, which tests/gen/tokenizer.py
   made. Broken forms are each opened and, if they open, used in every way, in memory of exactly their
   size; that is fuzz_tokenizer.c. */
#include "check.h"
#include "../fuzz/fuzz_tokenizer.c"

#define TEXTS (sizeof golden_texts / sizeof *golden_texts)
#define BROKEN (sizeof golden_broken / sizeof *golden_broken)
#define ROOM 512

static uint32_t work[16384];

static llmq_status encode(const tokenizer *t, const golden_text *text, int flags, uint32_t *ids, size_t *count)
{
    return tokenizer_encode(t, text->s, text->length, flags, ids, ROOM, count, work, sizeof work);
}

/* Ids of texts, as of a list of numbers: each how many, and the ids. Returns what follows in the list. */
static const uint16_t *check_texts(const tokenizer *t, const char *what, const golden_text *text, size_t texts,
                                   int flags, const uint16_t *expected)
{
    uint32_t ids[ROOM];
    size_t i, k, count;
    for (i = 0; i < texts; i++, expected += *expected + 1) {
        check_at("%s, text %d", what, (int)i);
        if (!CHECK_EQ(encode(t, &text[i], flags, ids, &count), LLMQ_OK)) continue;
        CHECK_EQ((long)count, *expected);
        for (k = 0; k < count && k < *expected && ids[k] == expected[1 + k]; k++) {}
        CHECK_EQ((long)k, *expected);
    }
    check_at("%s", "");
    return expected;
}

static void check_vocabulary(const char *what, uint32_t pre, uint32_t flags, int encoding, const golden_text *text,
                             size_t texts, const uint16_t *expected)
{
    tokenizer t;
    size_t size, i;
    unsigned char *bytes = golden_build(pre, flags, 0, &size);
    CHECK_EQ(tokenizer_open(&t, bytes, size), LLMQ_OK);
    expected = check_texts(&t, what, text, texts, encoding, expected);
    if (pre == TOKENIZER_PRE_NONE) (void)check_texts(&t, what, golden_broken, BROKEN, encoding, expected);
    for (i = 0; i < texts + BROKEN; i++) {
        const golden_text *each = i < texts ? &text[i] : &golden_broken[i - texts];
        const char *broken = use_text(&t, each->s, each->length, 0);
        check_at("%s, text %d: %s", what, (int)i, broken ? broken : "");
        CHECK(!broken);
    }
    check_at("%s", "");
    free(bytes);
}

static void test_ids(void)
{
    check_vocabulary("gpt-2", TOKENIZER_PRE_GPT2, 0, 0, golden_texts, TEXTS, golden_ids_1);
    check_vocabulary("digits", TOKENIZER_PRE_DIGITS, 0, 0, golden_texts, TEXTS, golden_ids_2);
    check_vocabulary("llama-3", TOKENIZER_PRE_LLAMA3, 0, 0, golden_texts, TEXTS, golden_ids_3);
    check_vocabulary("qwen2", TOKENIZER_PRE_QWEN2, 0, 0, golden_texts, TEXTS, golden_ids_4);
    check_vocabulary("qwen35", TOKENIZER_PRE_QWEN35, 0, 0, golden_texts, TEXTS, golden_ids_5);
    check_vocabulary("whole", TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE, 0, golden_texts, TEXTS, golden_ids_whole);
    check_vocabulary("parsed", TOKENIZER_PRE_LLAMA3, 0, TOKENIZER_PARSE, golden_texts, TEXTS, golden_ids_parsed);
    check_vocabulary("replaced", TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE, TOKENIZER_REPLACE, golden_broken, BROKEN,
                     golden_ids_replaced);
    check_vocabulary("sentencepiece", TOKENIZER_PRE_NONE, 0, 0, golden_texts, TEXTS, golden_ids_spm0);
    check_vocabulary("with a space", TOKENIZER_PRE_NONE, TOKENIZER_ADD_SPACE, 0, golden_texts, TEXTS, golden_ids_spm1);
}

/* BOS and EOS, the space that is dropped again, names, ends. */
static void test_special(void)
{
    tokenizer t;
    uint32_t ids[ROOM], length;
    size_t size, count;
    const char *s;
    const uint32_t all = TOKENIZER_ADD_SPACE | TOKENIZER_ADD_BOS | TOKENIZER_ADD_EOS;
    unsigned char *bytes = golden_build(TOKENIZER_PRE_NONE, all, 0, &size);
    CHECK_EQ(tokenizer_open(&t, bytes, size), LLMQ_OK);
    CHECK_EQ(tokenizer_encode(&t, "", 0, TOKENIZER_SPECIAL, ids, ROOM, &count, work, sizeof work), LLMQ_OK);
    CHECK(count == 2 && ids[0] == 1 && ids[1] == 2);
    CHECK_EQ(tokenizer_encode(&t, "The", 3, TOKENIZER_SPECIAL, ids, ROOM, &count, work, sizeof work), LLMQ_OK);
    CHECK(count > 2 && ids[0] == 1 && ids[count - 1] == 2);
    CHECK(tokenizer_piece(&t, ids[1], 0, &s, &length) == TOKENIZER_NORMAL && length && s[0] == ' ');
    CHECK(tokenizer_piece(&t, ids[1], 1, &s, &length) == TOKENIZER_NORMAL && (!length || s[0] == 'T'));
    CHECK_EQ(tokenizer_encode(&t, "The", 3, TOKENIZER_CONTINUES, ids, ROOM, &count, work, sizeof work), LLMQ_OK);
    CHECK(tokenizer_piece(&t, ids[0], 0, &s, &length) == TOKENIZER_NORMAL && s[0] == 'T');
    CHECK(tokenizer_is_end(&t, 2) && !tokenizer_is_end(&t, 1));
    CHECK_EQ((long)tokenizer_find(&t, "<b>>", 4), 4);
    CHECK(tokenizer_find(&t, "<b>>>", 5) == TOKENIZER_NONE && tokenizer_find(&t, "T", 1) == TOKENIZER_NONE);
    CHECK(tokenizer_piece(&t, t.count, 0, &s, &length) == 0 && length == 0);
    CHECK_EQ(tokenizer_encode(&t, "The", 3, 16, ids, ROOM, &count, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(tokenizer_encode(&t, NULL, 3, 0, ids, ROOM, &count, work, sizeof work), LLMQ_E_ARG);
    CHECK_EQ(tokenizer_encode(&t, "The", 3, 0, ids, 1, &count, work, sizeof work), LLMQ_E_LIMIT);
    CHECK(count > 1);
    CHECK_EQ(tokenizer_encode(&t, "The", 3, 0, ids, ROOM, &count, work, 56), LLMQ_E_WORKSPACE);
    CHECK(count == 0 && tokenizer_work_size(&t, (size_t)-1) == 0 && tokenizer_work_size(&t, ((size_t)-1) / 4) == 0);
    free(bytes);
}

static void check_turn(const tokenizer *t, const tokenizer_turn *turn, const uint32_t *head, size_t heads,
                       uint32_t list)
{
    const uint16_t *expected = golden_chat_ids;
    uint32_t ids[ROOM], k;
    size_t count;
    for (k = 0; k < list; k++) expected += *expected + 1;
    if (!CHECK_EQ(tokenizer_chat(t, turn, ids, ROOM, &count, work, sizeof work), LLMQ_OK)) return;
    CHECK_EQ((long)count, (long)heads + *expected);
    for (k = 0; k < heads && k < count; k++) CHECK(ids[k] == head[k]);
    for (k = 0; k < *expected && k + heads < count; k++) CHECK_EQ((long)ids[heads + k], expected[1 + k]);
}

static void test_chats(void)
{
    size_t i, size;
    for (i = 0; i < sizeof golden_chats / sizeof *golden_chats; i++) {
        const golden_chat *c = &golden_chats[i];
        unsigned char *bytes = golden_build(TOKENIZER_PRE_DIGITS, TOKENIZER_ADD_BOS, c->chat, &size);
        const size_t each = c->chat == TOKENIZER_CHAT_LLAMA2; /* its users' turns all begin with BOS */
        tokenizer t;
        tokenizer_turn turn;
        check_at("chat %d", (int)i);
        CHECK_EQ(tokenizer_open(&t, bytes, size), LLMQ_OK);
        memset(&turn, 0, sizeof turn);
        turn.text = c->text, turn.length = strlen(c->text);
        turn.system = c->system, turn.system_length = c->system ? strlen(c->system) : 0;
        check_turn(&t, &turn, &t.bos, each, c->user);
        turn.first = 1;
        check_turn(&t, &turn, &t.bos, 1, c->user);
        turn.first = 0, turn.system = NULL, turn.system_length = 0, turn.turn = TOKENIZER_TURN_ASSISTANT;
        check_turn(&t, &turn, NULL, 0, c->whole);
        turn.text = NULL, turn.length = 0, turn.turn = TOKENIZER_TURN_REPLY;
        check_turn(&t, &turn, NULL, 0, c->reply);
        turn.turn = TOKENIZER_TURN_END;
        check_turn(&t, &turn, NULL, 0, c->end);
        free(bytes);
    }
    check_at("%s", "");
}

static void check_detected(const char *s, uint32_t chat)
{
    check_at("template %s", s);
    CHECK_EQ((long)tokenizer_chat_detect(s, strlen(s)), (long)chat);
    check_at("%s", "");
}

static void check_pre(const char *name, uint32_t pre, uint32_t expected)
{
    uint32_t flags = 0;
    check_at("pre %s", name);
    CHECK_EQ((long)tokenizer_pre_find(name, strlen(name), &flags), (long)pre);
    CHECK_EQ((long)flags, (long)expected);
    check_at("%s", "");
}

static void test_names(void)
{
    check_detected("{{ '<|im_start|>' + role }}", TOKENIZER_CHAT_CHATML);
    check_detected("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>",
                   TOKENIZER_CHAT_SMOLLM);
    check_detected("<|im_start|>You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
                   TOKENIZER_CHAT_QWEN);
    check_detected("<|im_start|><|im_sep|>", TOKENIZER_CHAT_OTHER);
    check_detected("<|start_header_id|>' + message['role'] + '<|end_header_id|>", TOKENIZER_CHAT_LLAMA3);
    check_detected("<start_of_turn>", TOKENIZER_CHAT_GEMMA);
    check_detected("bos_token + '[INST] ' + content.strip() + ' [/INST]'", TOKENIZER_CHAT_LLAMA2);
    check_detected("' [INST] ' + system_message", TOKENIZER_CHAT_MISTRAL1);
    check_detected("[AVAILABLE_TOOLS]'[INST]'", TOKENIZER_CHAT_MISTRAL3);
    check_detected("[SYSTEM_PROMPT][INST]", TOKENIZER_CHAT_OTHER);
    check_detected("{{ messages }}", TOKENIZER_CHAT_OTHER);
    check_detected("", TOKENIZER_CHAT_NONE);
    check_pre("gpt-2", TOKENIZER_PRE_GPT2, 0);
    check_pre("granite-docling", TOKENIZER_PRE_GPT2, 0);
    check_pre("smollm", TOKENIZER_PRE_DIGITS, 0);
    check_pre("llama-bpe", TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE | TOKENIZER_ADD_BOS);
    check_pre("glm4", TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE);
    check_pre("qwen2", TOKENIZER_PRE_QWEN2, 0);
    check_pre("qwen35", TOKENIZER_PRE_QWEN35, 0);
    check_pre("", TOKENIZER_NONE, 0);
    check_pre("gpt", TOKENIZER_NONE, 0);
    check_pre("gpt-2 phi-2", TOKENIZER_NONE, 0);
    check_pre("default", TOKENIZER_NONE, 0);
}

/* ---- broken ---- */

static llmq_status status_of(const unsigned char *bytes, size_t size)
{
    llmq_status status;
    const char *broken = use_exactly(use_tokenizer, bytes, size, &status);
    if (broken) printf("%s\n", broken);
    CHECK(!broken);
    return status;
}

static void test_prefixes(uint32_t pre, uint32_t flags)
{
    size_t size, n;
    unsigned char *bytes = golden_build(pre, flags, 0, &size);
    for (n = 0; n < size; n++) {
        check_at("%ld of %ld bytes", (long)n, (long)size);
        CHECK_EQ(status_of(bytes, n), LLMQ_E_TRUNCATED);
    }
    check_at("%s", "");
    CHECK_EQ(status_of(bytes, size), LLMQ_OK);
    free(bytes);
}

/* Each byte takes other values; most are refused, and what opens is used. */
static void test_every_byte(uint32_t pre, uint32_t flags)
{
    static const unsigned char flip[3] = { 0x01, 0x80, 0xff };
    size_t size, i, k, opened = 0;
    unsigned char *bytes = golden_build(pre, flags, 0, &size);
    for (i = 0; i < size; i++)
        for (k = i < 300 ? 0 : i % 3; k < 3; k += i < 300 ? 1 : 3) {
            bytes[i] = (unsigned char)(bytes[i] ^ flip[k]);
            check_at("byte %ld xor %d", (long)i, flip[k]);
            opened += status_of(bytes, size) == LLMQ_OK;
            bytes[i] = (unsigned char)(bytes[i] ^ flip[k]);
        }
    check_at("%s", "");
    CHECK(opened < size / 3); /* ranks and unused bytes can be others */
    free(bytes);
}

static void broken_field(size_t at, uint32_t v, uint32_t width, llmq_status status)
{
    size_t size, k;
    unsigned char *bytes = golden_build(TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE | TOKENIZER_ADD_BOS, 0, &size);
    for (k = 0; k < width; k++) bytes[at + k] = (unsigned char)(v >> 8 * k & 255);
    check_at("%ld is %lx", (long)at, (unsigned long)v);
    CHECK_EQ(status_of(bytes, size), status);
    check_at("%s", "");
    free(bytes);
}

static void test_fields(void)
{
    const uint32_t n = (uint32_t)GOLDEN_BPE;
    size_t at;
    broken_field(0, 0, 1, LLMQ_E_MAGIC);
    broken_field(4, 2, 1, LLMQ_E_VERSION);
    broken_field(5, 1, 1, LLMQ_E_CORRUPT);
    broken_field(5, 4, 1, LLMQ_E_CORRUPT);
    broken_field(6, 2, 1, LLMQ_E_UNSUPPORTED);
    broken_field(6, 1, 1, LLMQ_E_CORRUPT); /* characters with a pre-tokenizer */
    broken_field(7, 0, 1, LLMQ_E_CORRUPT);
    broken_field(7, 6, 1, LLMQ_E_UNSUPPORTED);
    broken_field(8, TOKENIZER_CHATS, 1, LLMQ_E_UNSUPPORTED);
    broken_field(9, 9, 1, LLMQ_E_CORRUPT);
    broken_field(9, 2, 1, LLMQ_E_CORRUPT); /* the second end token is none */
    broken_field(10, 16, 2, LLMQ_E_UNSUPPORTED);
    broken_field(10, TOKENIZER_ADD_SPACE, 2, LLMQ_E_CORRUPT);
    broken_field(10, 0, 2, LLMQ_E_CORRUPT); /* sorted without TOKENIZER_WHOLE */
    for (at = 12; at < 36; at += 4) {
        broken_field(at, 0xffffffffu, 4, LLMQ_E_CORRUPT);
        broken_field(at, 0xfffffeu, 4, LLMQ_E_TRUNCATED);
    }
    broken_field(12, 0, 4, LLMQ_E_CORRUPT);
    broken_field(32, 0, 4, LLMQ_E_CORRUPT);
    for (at = 36; at < 56; at += 4) broken_field(at, n, 4, LLMQ_E_CORRUPT);
    broken_field(36, TOKENIZER_NONE, 4, LLMQ_E_CORRUPT); /* no BOS to add */
    broken_field(84, 0, 1, LLMQ_E_CORRUPT);              /* types */
    broken_field(84, 7, 1, LLMQ_E_CORRUPT);
    broken_field(84, TOKENIZER_CONTROL, 1, LLMQ_E_CORRUPT); /* a byte that is a control token */
    broken_field(84 + n, 1, 2, LLMQ_E_CORRUPT);             /* texts that do not begin at 0 */
    broken_field(84 + n + 2, 0xfff0, 2, LLMQ_E_CORRUPT);
}

/* The order of tables, what merges give, and bytes at the end; at: of an entry of a section of
   the stored form, whose numbers have two bytes. */
static void swap_entries(size_t at, size_t width, llmq_status status)
{
    size_t size, k;
    unsigned char *bytes = golden_build(TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE, 0, &size);
    for (k = 0; k < width; k++) {
        unsigned char x = bytes[at + k];
        bytes[at + k] = bytes[at + width + k];
        bytes[at + width + k] = x;
    }
    check_at("entries at %ld swapped", (long)at);
    CHECK_EQ(status_of(bytes, size), status);
    check_at("%s", "");
    free(bytes);
}

static void test_tables(void)
{
    tokenizer t;
    size_t size, left, at;
    unsigned char *bytes = golden_build(TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE, 0, &size), *longer;
    CHECK_EQ(tokenizer_open(&t, bytes, size), LLMQ_OK);
    CHECK_EQ((long)t.width, 2);
    swap_entries((size_t)(t.order - bytes), 2, LLMQ_E_CORRUPT);
    swap_entries((size_t)(t.special - bytes), 2, LLMQ_E_CORRUPT);
    swap_entries((size_t)(t.byte - bytes) + 2 * 'a', 2, LLMQ_E_CORRUPT);
    for (left = 0; tokenizer__number(t.first, 2, left + 1) < tokenizer__number(t.first, 2, left) + 2; left++) {}
    at = (size_t)(t.merge - bytes) + 6 * (size_t)tokenizer__number(t.first, 2, left);
    swap_entries(at, 6, LLMQ_E_CORRUPT);                             /* of one token on the left */
    swap_entries((size_t)(t.first - bytes) + 2 * left, 2, LLMQ_E_CORRUPT);
    broken_field(at + 4, 'a' - 33, 2, LLMQ_E_CORRUPT);               /* a result that is shorter */
    broken_field(at + 4, tokenizer__number(t.merge, 2, 8), 2, LLMQ_E_CORRUPT);
    broken_field(at + 4, t.count, 2, LLMQ_E_CORRUPT);
    broken_field(at, GOLDEN_CONTROL, 2, LLMQ_E_CORRUPT);
    broken_field((size_t)(t.first - bytes) + 2 * t.count, 0xfff0, 2, LLMQ_E_CORRUPT);
    longer = (unsigned char *)malloc(size + 1);
    if (!longer) exit(2);
    memcpy(longer, bytes, size);
    longer[size] = 0;
    CHECK_EQ(status_of(longer, size + 1), LLMQ_E_CORRUPT);
    free(longer);
    free(bytes);
}

/* What tokenizer_build refuses. */
static tokenizer_token odd;
static llmq_status odd_token(void *context, uint32_t i, tokenizer_token *token)
{
    if (i != 300) return golden_spm_token(context, i, token);
    *token = odd;
    return LLMQ_OK;
}

static void check_build(tokenizer_source s, llmq_status status, uint32_t fault)
{
    static uint32_t memory[100000];
    size_t need = sizeof memory, size;
    llmq_status got = tokenizer_build_size(&s, &need);
    CHECK(need <= sizeof memory);
    if (got == LLMQ_OK) got = tokenizer_build(&s, memory, need, &size);
    CHECK_EQ(got, status);
    CHECK_EQ((long)s.fault, (long)fault);
    if (got == LLMQ_OK) CHECK_EQ(tokenizer_build(&s, memory, need - 1, &size), LLMQ_E_WORKSPACE);
}

static llmq_status odd_merge(void *context, uint32_t i, tokenizer_merge *merge)
{
    if (i != 7) return golden_bpe_merge(context, i, merge);
    merge->left = "nothing", merge->left_length = 7, merge->right = "x", merge->right_length = 1;
    return LLMQ_OK;
}

static void test_build(void)
{
    tokenizer_source s = golden_source(TOKENIZER_PRE_NONE, 0, 0);
    const uint32_t nan = 0x7fc00000u;
    check_build(s, LLMQ_OK, TOKENIZER_NONE);
    s.token = odd_token;
    odd.s = "odd", odd.length = 3, odd.type = TOKENIZER_NORMAL;
    check_build(s, LLMQ_OK, TOKENIZER_NONE);
    memcpy(&odd.score, &nan, 4);
    check_build(s, LLMQ_E_NOT_FINITE, 300);
    odd.score = 0, odd.type = 0;
    check_build(s, LLMQ_E_CORRUPT, 300);
    odd.type = 7;
    check_build(s, LLMQ_E_CORRUPT, 300);
    odd.type = TOKENIZER_BYTE;
    check_build(s, LLMQ_E_CORRUPT, 300);
    odd.length = 0x1000000;
    check_build(s, LLMQ_E_LIMIT, 300);
    s = golden_source(TOKENIZER_PRE_NONE, 0, 0);
    s.bos = s.count;
    check_build(s, LLMQ_E_CORRUPT, TOKENIZER_NONE);
    s = golden_source(TOKENIZER_PRE_QWEN2, 0, 0);
    check_build(s, LLMQ_OK, TOKENIZER_NONE);
    s.merge = odd_merge;
    check_build(s, LLMQ_E_NOT_FOUND, 7);
    s.merge = NULL;
    check_build(s, LLMQ_E_ARG, 0xffffffffu);
    s = golden_source(TOKENIZER_PRE_QWEN2, 0, 0);
    s.pre = 6;
    check_build(s, LLMQ_E_UNSUPPORTED, TOKENIZER_NONE);
}

int main(void)
{
    test_ids();
    test_special();
    test_chats();
    test_names();
    test_fields();
    test_tables();
    test_build();
    test_prefixes(TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE);
    test_prefixes(TOKENIZER_PRE_NONE, TOKENIZER_ADD_SPACE);
    test_every_byte(TOKENIZER_PRE_LLAMA3, TOKENIZER_WHOLE);
    test_every_byte(TOKENIZER_PRE_NONE, TOKENIZER_ADD_SPACE);
    return check_done("test_tokenizer");
}
