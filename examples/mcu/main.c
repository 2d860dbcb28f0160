/* main.c - a stand-in for the example to come: multiplies by one matrix of the model, again and again, and calls what it gets words */
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#define LLMQ_NO_ENCODER 1
#define LLMQ_NO_STRINGS 1
#include "../../llmq.h"
#include "board.h"

#define COLS 256

static float x[COLS], y[COLS], memory[3 * COLS];

static void print_number(uint32_t n)
{
    char text[12];
    size_t at = sizeof text;
    do text[--at] = (char)('0' + n % 10); while ((n /= 10) != 0);
    text[--at] = ' ';
    board_print(text + at, sizeof text - at);
}

static uint32_t next(const llmq_tensor *t, uint32_t id)
{
    llmq_activation a;
    uint32_t i, best = 0;
    for (i = 0; i < t->cols; i++) x[i] = (float)(int32_t)(llmq_random(id, i) >> 8) / 8388608.0f - 1.0f;
    if (llmq_activation_prepare(&a, t, 8, x, memory, sizeof memory) != LLMQ_OK) return 0;
    if (llmq_matmul(t, &a, 1, 0, t->rows, y, t->rows) != LLMQ_OK) return 0;
    for (i = 1; i < t->rows; i++)
        if (y[i] > y[best]) best = i;
    return best * 4 + id % 4;
}

int main(void)
{
    static uint32_t ids[MCU_TOKENS + 1] = { 1 };
    llmq_bundle b;
    llmq_tensor t;
    uint32_t i;
    size_t stack;
    if (llmq_bundle_open(&b, mcu_model, (size_t)(mcu_model_end - mcu_model), NULL) != LLMQ_OK) return 1;
    if (llmq_bundle_tensor(&b, "layers.0.wq", &t) != LLMQ_OK || t.cols > COLS || t.rows > COLS) return 1;
    BOARD_MARK();
    for (i = 0; i < MCU_TOKENS; i++) ids[i + 1] = next(&t, ids[i]);
    BOARD_MARK();
    board_print("ids", 3);
    for (i = 0; i <= MCU_TOKENS; i++) print_number(ids[i]);
    stack = board_stack_used();
    if (stack) {
        board_print("\nstack", 6);
        print_number((uint32_t)stack);
    }
    board_print("\n", 1);
    return 0;
}
