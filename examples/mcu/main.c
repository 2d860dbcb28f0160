/* main.c - a language model on a microcontroller: weights in flash, a bounded memory, the same
   words as on a desktop - public domain or MIT

   The model is the bundle that model.S puts in flash, read where it is. It is checked first: a
   flash that is erased, half written or has changed bits ends the program with a line that says
   so. Then the likeliest token follows, MCU_TOKENS times; what the model remembers is the last
   MCU_WINDOW positions, keys and values in MCU_KV_BITS bits. Nothing is allocated: MCU_MEMORY
   bytes and the stack are all. There is no libm, no stdio and no heap; without an FPU float
   operations are the compiler's library. */
#ifndef MCU_WINDOW
#define MCU_WINDOW 48
#endif
#ifndef MCU_TOKENS
#define MCU_TOKENS 96
#endif
#ifndef MCU_KV_BITS
#define MCU_KV_BITS 4
#endif
#ifndef MCU_MEMORY
#define MCU_MEMORY 12288
#endif

/* Of the library: formats of the weights and of the cache, norms in binary32; an encoder, for the cache. */
#ifndef LLMQ_FORMATS
#define LLMQ_FORMATS (LLMQ_WITH_F32 | LLMQ_WITH_GRIDS | LLMQ_WITH_TRELLISES)
#endif
#ifndef LLMQ_MAX_STEPS
#define LLMQ_MAX_STEPS 0
#endif
#define LLMQ_STATIC 1
#define LLMQ_NO_CALIBRATION 1
#define LLMQ_NO_STRINGS 1
#define LLMQ_NO_ACTIVATION_OPTIONS 1
#define LLMQ_IMPLEMENTATION
#include "../../llmq.h"
#define LM_ONLY_LLAMA 1
#define LM_IMPLEMENTATION
#include "../lm.h"
#include "board.h"

enum { BOS = 1, EOS = 2, PART = 64 }; /* logits that are looked at together */

static llmq_bundle bundle;
static lm_model model;
static lm_state state;
static union { void *pointer; float number[MCU_MEMORY / sizeof(float)]; } memory; /* aligned for pointers */
static uint16_t id[MCU_TOKENS + 1];

static void print(const char *text) { board_print(text, strlen(text)); }

static void print_number(uint32_t n)
{
    print(" ");
    board_print_number(n);
}

static int failed(const char *what, llmq_status status)
{
    print(what);
    if (status < 0) print(": error -"), print_number((uint32_t)-status);
    print("\n");
    return 1;
}

/* A number of the stored tokenizer. */
static uint32_t number(const unsigned char *b, uint32_t bytes)
{
    uint32_t n = 0;
    while (bytes) n = n << 8 | b[--bytes];
    return n;
}

/* The text of a token, by the stored form of tokenizer.h: behind its header and the types are the
   beginnings of texts, of b[5] bytes each, and the texts are its end. The checksum was right, so the
   numbers are as they were written. */
static void print_token(uint32_t token)
{
    const void *value;
    const unsigned char *b, *at;
    size_t size;
    uint32_t count, width, from;
    if (llmq_bundle_value(&bundle, "tokenizer", LLMQ_VALUE_BYTES, &value, &size) != LLMQ_OK) return;
    b = (const unsigned char *)value;
    if (b[4] != 1 || token >= (count = number(b + 12, 4))) return;
    width = b[5], at = b + 84 + count + width * token;
    from = number(at, width);
    board_print((const char *)b + size - number(b + 32, 4) + from, number(at + width, width) - from);
}

/* The token that follows `token` at a position, the likeliest. */
static llmq_status next(uint16_t token, uint32_t position, uint16_t *likeliest)
{
    uint32_t this_one = token, r, i, end;
    float best = 0.0f, *part = state.up; /* hidden numbers, done with */
    llmq_status status = lm_forward(&model, &state, &this_one, 1, position, NULL);
    for (r = 0; r < model.vocab && status == LLMQ_OK; r = end) {
        end = model.vocab - r < PART ? model.vocab : r + PART;
        status = lm_logits(&model, &state, 1, r, end, part, PART);
        for (i = r; i < end && status == LLMQ_OK; i++)
            if (i == 0 || part[i - r] > best) best = part[i - r], *likeliest = (uint16_t)i;
    }
    return status;
}

int main(void)
{
    uint32_t n, i, stack;
    llmq_status status = llmq_bundle_open(&bundle, mcu_model, (size_t)(mcu_model_end - mcu_model), NULL);
    if (llmq_selftest() != LLMQ_OK)
        return failed("the arithmetic or kernels are wrong", LLMQ_E_INEXACT);
    if (status == LLMQ_OK) status = llmq_bundle_verify(&bundle, NULL);
    if (status == LLMQ_OK) status = lm_model_init(&model, &bundle, NULL, 0);
    if (status == LLMQ_OK) status = lm_cache_bits(&model.cache, MCU_KV_BITS);
    if (status != LLMQ_OK) return failed("the model in flash cannot be used", status);
    model.cache.window = MCU_WINDOW;
    status = lm_state_init(&state, &model, 1, &memory, sizeof memory);
    if (status == LLMQ_E_WORKSPACE)
        print("bytes needed:"), print_number((uint32_t)lm_state_size(&model, 1)), print("\n");
    if (status != LLMQ_OK) return failed("no room for the model's state", status);
    if (model.hidden < PART || model.vocab > 65536)
        return failed("not a model for this program: few hidden numbers or many tokens", LLMQ_OK);
    id[0] = BOS;
    BOARD_MARK();
    for (n = 0; n < MCU_TOKENS; n++) {
        if ((status = next(id[n], n, &id[n + 1])) != LLMQ_OK) return failed("stopped", status);
        if (id[n + 1] == BOS || id[n + 1] == EOS) break; /* the text ends */
        print_token(id[n + 1]);
    }
    BOARD_MARK();
    print("\nids");
    for (i = 0; i <= n; i++) print_number(id[i]);
    stack = (uint32_t)board_stack_used();
    if (stack > 0) print("\nstack"), print_number(stack);
    print("\n");
    return 0;
}
