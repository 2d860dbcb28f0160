#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 8, COLS = 256 };
static float w[ROWS][COLS], x[COLS], y[ROWS];       // y = W x; W is row-major, as everywhere

static void check(llmq_status status)               // status of a call: stop unless OK
{
    if (status == LLMQ_OK) return;
    fprintf(stderr, "%s\n", llmq_status_text(status));
    exit(1);
}

int main(void)
{
    llmq_transform rotate = llmq_transform_hadamard(1, 0);  // random signs of seed 1
    llmq_format g4;
    llmq_tensor t;
    llmq_activation a;
    size_t size;
    void *rows, *work, *mem;
    int r, c;
    for (r = 0; r < ROWS; r++)
        for (c = 0; c < COLS; c++)
            w[r][c] = (float)((r * COLS + c) * 7919L % 2003 - 1001) / 1001;
    for (c = 0; c < COLS; c++) x[c] = (float)(c * 104729L % 997 - 498) / 498;

    check(llmq_format_find(&g4, "g4", 128));        // 4 bits, one scale for 128 weights
    size = llmq_tensor_size(&g4, ROWS, COLS);
    rows = malloc(size);                            // the quantized rows, all that stays
    check(llmq_tensor_init(&t, &g4, &rotate, ROWS, COLS, rows, size));
    size = llmq_encode_work_size(&t);
    work = malloc(size);                            // memory for this call only
    check(llmq_encode(&t, rows, 0, ROWS, w[0], COLS, NULL, work, size, NULL));

    size = llmq_activation_size(&t, 8);
    mem = malloc(size);                             // x, rotated and rounded to 8 bits
    check(llmq_activation_prepare(&a, &t, 8, x, mem, size));
    check(llmq_matvec(&t, &a, 0, ROWS, y));         // threads may share the rows

    printf("%d bytes of floats, %d quantized\n", (int)sizeof w, (int)(ROWS * t.row_size));
    for (r = 0; r < ROWS; r++) {
        double exact = 0;
        for (c = 0; c < COLS; c++) exact += (double)w[r][c] * (double)x[c];
        printf("exact %8.3f, quantized %8.3f\n", exact, (double)y[r]);
    }
    free(rows), free(work), free(mem);
    return 0;
}
