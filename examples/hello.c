#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include <stdio.h>

static float w[8][256], x[256], y[8];                    // y = W x, row-major, as everywhere
static unsigned char data[8 * 160];                      // where the quantized rows go
static float work[2048], mem[1024];                      // memory for one call, and for the prepared x

int main(void)
{
    llmq_format format;
    llmq_tensor t;
    llmq_activation a;
    for (int i = 0; i < 8 * 256; i++) w[i / 256][i % 256] = (float)(i * 7919 % 2003 - 1001) / 1001;
    for (int i = 0; i < 256; i++) x[i] = (float)(i * 104729 % 997 - 498) / 498;
    llmq_transform rotate = llmq_transform_hadamard(1, 0);                     // seed 1, default block
    if (llmq_format_find(&format, "g4", 128) || llmq_tensor_init(&t, &format, &rotate, 8, 256, data, sizeof data)
        || llmq_encode(&t, data, 0, 8, w[0], 256, NULL, work, sizeof work, NULL)
        || llmq_activation_prepare(&a, &t, 8, x, mem, sizeof mem) || llmq_matvec(&t, &a, 0, 8, y))
        return 1;
    printf("%zu bytes, y[0] = %f\n", 8 * t.row_size, (double)y[0]);
    return 0;
}
