/* tokenize.c - ids of a text by examples/tokenizer.h, for comparisons with other tokenizers

       tokenize MODEL.gguf TEXT FLAGS IDS   writes the ids of the text to a file, 4 bytes each; FLAGS of
                                            tokenizer_encode, as a number; prints times and sizes
   tests/gen/tokenizer.py runs it. */
#define LLMQ_IMPLEMENTATION
#define LLMQ_STATIC 1
#define LLMQ_SIMD 0
#include "../llmq.h"
#define GGUF_IMPLEMENTATION
#include "../examples/gguf.h"
#define JSON_IMPLEMENTATION
#include "../examples/json.h"
#define LLAMA2C_IMPLEMENTATION
#include "../examples/llama2c.h"
#define TOKENIZER_IMPLEMENTATION
#include "../examples/tokenizer.h"
#define TOKENIZER_READ_IMPLEMENTATION
#include "../examples/tokenizer_read.h"
#include <time.h>
#include "files.h"

static void check(llmq_status status, const char *what)
{
    if (status == LLMQ_OK) return;
    fprintf(stderr, "%s: %d\n", what, status);
    exit(1);
}

static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

int main(int argc, char **argv)
{
    size_t size, need, n, count, room;
    gguf g;
    tokenizer_gguf from;
    tokenizer_source s;
    tokenizer t;
    const char *what = "";
    unsigned char *work, *text, *model;
    uint32_t *ids;
    double from_time;
    llmq_status status;
    FILE *f;
    if (argc != 5) return fputs("tokenize MODEL.gguf TEXT FLAGS IDS\n", stderr), 2;
    model = load_file(argv[1], &size);
    check(gguf_open(&g, model, size), argv[1]);
    status = tokenizer_read_gguf(&g, &from, &s, &what);
    check(status, what);
    from_time = seconds();
    check(tokenizer_build_size(&s, &need), "size");
    work = (unsigned char *)allocate(need);
    check(tokenizer_build(&s, work, need, &size), "build");
    printf("build %.2f s, workspace %lu, stored %lu bytes", seconds() - from_time, (unsigned long)need,
           (unsigned long)size);
    from_time = seconds();
    check(tokenizer_open(&t, work, size), "open");
    printf(", open %.3f s, %u tokens, %u merges, %u units, width %u\n", seconds() - from_time, t.count, t.merges,
           t.units, t.width);
    text = load_file(argv[2], &n);
    room = n + 2; /* of text without wrong bytes */
    ids = (uint32_t *)allocate(room * sizeof *ids);
    need = tokenizer_work_size(&t, n < 65536 ? n + 1 : 65536);
    work = (unsigned char *)allocate(need);
    from_time = seconds();
    check(tokenizer_encode(&t, (const char *)text, n, atoi(argv[3]), ids, room, &count, work, need), "encode");
    from_time = seconds() - from_time;
    printf("encode %.3f s, %.1f MB/s, %lu bytes, %lu ids\n", from_time, (double)n / 1e6 / from_time,
           (unsigned long)n, (unsigned long)count);
    f = fopen(argv[4], "wb");
    if (!f || fwrite(ids, sizeof *ids, count, f) != count || fclose(f)) return perror(argv[4]), 1;
    return 0;
}
