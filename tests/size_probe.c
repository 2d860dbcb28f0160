/* size_probe.c - how deep the stack gets on a board in the calls that a firmware makes: for
   size.sh, with LLMQ_... of a configuration

   PROBE_FORMAT is the format of the weights. Prints "stack N", bytes below the initial stack
   pointer that were ever changed, main's and the start-up code's among them (some 100). */
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include "board.h"
#if !LLMQ_NO_BUNDLE
#include "vectors/golden.h"
#endif

enum { ROWS = 16, COLS = 256 };
static float x[COLS], y[ROWS], out[COLS], memory[2 * COLS];
static uint8_t data[ROWS * (COLS + 64)];

static llmq_status probe(void)
{
    llmq_format f;
    llmq_tensor t;
    llmq_activation a;
    llmq_status status = llmq_format_find(&f, PROBE_FORMAT, 128);
    if (status == LLMQ_OK) status = llmq_tensor_init(&t, &f, NULL, ROWS, COLS, data, sizeof data);
    if (status == LLMQ_OK) status = llmq_activation_prepare(&a, &t, 8, x, memory, sizeof memory);
    if (status == LLMQ_OK) status = llmq_matvec(&t, &a, 0, ROWS, y);
    if (status == LLMQ_OK) status = llmq_tensor_decode(&t, 3, out, NULL, 0);
    if (status == LLMQ_OK) status = llmq_matvec_transposed(&t, y, 0, ROWS, out, NULL, 0);
#if !LLMQ_NO_ENCODER
    t.rows = ROWS / 2;
    if (status == LLMQ_OK) status = llmq_tensor_append(&t, data, sizeof data, x, NULL, memory, sizeof memory);
#endif
#if !LLMQ_NO_BUNDLE
    {
        llmq_bundle b;
        llmq_error error;
        if (llmq_bundle_open(&b, golden_bundle, GOLDEN_SIZE, &error) == LLMQ_OK)
            (void)!llmq_bundle_tensor(&b, "no such name", &t);
    }
#endif
    return status;
}

int main(void)
{
    size_t i;
    for (i = 0; i < COLS; i++) x[i] = (float)((int)(i * 37 % 101) - 50) * 0.01f;
    if (probe() != LLMQ_OK) return 1;
    board_print("stack ", 6);
    board_print_number(board_stack_used());
    board_print("\n", 1);
    return 0;
}
