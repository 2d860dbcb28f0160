/* outlier_model IN.llmq OUT.llmq [seed] - the same llama model with outliers in its activations

   1 % of the channels that norms give out are 30 to 100 times as large (gains times s, the
   columns that read them divided by s), the same channels in all layers, as in large models; so
   is 1 % of what w2 reads (rows of w3 times s, columns of w2 divided). The function is that of
   IN, to rounding. Everything is stored as f32. */
#define LLMQ_IMPLEMENTATION
#define LLMQ_SIMD 0
#include "../llmq.h"
#include <stdio.h>
#include <stdlib.h>

static void check(int good, const char *what)
{
    if (good) return;
    fprintf(stderr, "outlier_model: %s\n", what);
    exit(1);
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    check(p != NULL, "no memory");
    return p;
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = (unsigned char *)allocate(1 << 26);
    check(f != NULL, path);
    *size = fread(bytes, 1, 1 << 26, f);
    check(*size > 0 && *size < 1 << 26 && !ferror(f), path);
    fclose(f);
    return bytes;
}

/* s[0, n): 1, or 30 ... 100 for one in a hundred and at least one */
static void draw(float *s, uint32_t n, uint32_t seed)
{
    uint32_t left = n / 100 ? (n + 50) / 100 : 1, counter = 0;
    for (uint32_t j = 0; j < n; j++) s[j] = 1;
    while (left) {
        uint32_t j = (uint32_t)((uint64_t)llmq_random(seed, counter++) * n >> 32);
        if (s[j] != 1) continue;
        s[j] = (float)(30 + 70 * (llmq_random(seed, counter++) / 4294967296.0));
        left--;
    }
}

/* What happens to rows and to columns of a tensor: factors, or NULL. */
static void factors_of(const char *name, const float *stream, const float *hidden, const float **rows,
                       const float **cols, int *norm)
{
    const char *part;
    unsigned layer;
    int at = 0;
    *rows = *cols = NULL;
    *norm = 0;
    if (sscanf(name, "layers.%u.%n", &layer, &at) != 1) return;
    part = name + at;
    if (strcmp(part, "norm1") == 0 || strcmp(part, "norm2") == 0) *norm = 1, *cols = stream;
    else if (strcmp(part, "w2") == 0) *cols = hidden;
    else if (strcmp(part, "wo") != 0) *cols = stream;
    if (strcmp(part, "w3") == 0) *rows = hidden;
}

static void rescale(llmq_entry *e, const llmq_tensor *from, const float *stream, const float *hidden)
{
    const float *rows, *cols;
    size_t work_size;
    int norm;
    float *w = (float *)allocate((size_t)e->rows * e->cols * sizeof *w);
    llmq_tensor t;
    void *work;
    factors_of(e->name, stream, hidden, &rows, &cols, &norm);
    check(from->transform.count == 0, "the model is already quantized");
    for (uint32_t r = 0; r < e->rows; r++) {
        float *row = w + (size_t)r * e->cols;
        check(llmq_tensor_decode(from, r, row, NULL, 0) == LLMQ_OK, e->name);
        for (uint32_t j = 0; j < e->cols; j++) {
            if (cols) row[j] = norm ? row[j] * cols[j] : row[j] / cols[j];
            if (rows) row[j] *= rows[r];
        }
    }
    check(llmq_format_find(&e->format, "f32", 0) == LLMQ_OK, "f32");
    e->data = allocate(e->size = llmq_tensor_size(&e->format, e->rows, e->cols));
    check(llmq_tensor_init(&t, &e->format, NULL, e->rows, e->cols, e->data, e->size) == LLMQ_OK, e->name);
    work = allocate(work_size = llmq_encode_work_size(&t));
    check(llmq_encode(&t, (void *)(uintptr_t)e->data, 0, e->rows, w, e->cols, NULL, work, work_size, NULL) == LLMQ_OK,
          e->name);
    free(work);
    free(w);
}

static int write_bytes(void *context, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, (FILE *)context) != size;
}

int main(int argc, char **argv)
{
    llmq_bundle b;
    llmq_entry *e;
    llmq_error error;
    size_t size;
    uint32_t dim, hidden, seed = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
    float *stream_factors, *hidden_factors;
    unsigned char *bytes;
    FILE *out;
    check(argc > 2, "usage: outlier_model IN.llmq OUT.llmq [seed]");
    bytes = read_file(argv[1], &size);
    check(llmq_bundle_open(&b, bytes, size, &error) == LLMQ_OK, "not a bundle");
    check(llmq_bundle_u32(&b, "llama.dim", &dim) == LLMQ_OK && llmq_bundle_u32(&b, "llama.hidden", &hidden) == LLMQ_OK,
          "not a llama model");
    draw(stream_factors = (float *)allocate(dim * sizeof(float)), dim, seed);
    draw(hidden_factors = (float *)allocate(hidden * sizeof(float)), hidden, seed + 1);
    e = (llmq_entry *)allocate(b.count * sizeof *e);
    for (uint32_t i = 0; i < b.count; i++) {
        llmq_tensor t;
        check(llmq_bundle_at(&b, i, &e[i]) == LLMQ_OK, "an entry");
        if (e[i].kind != LLMQ_KIND_TENSOR) continue;
        check(llmq_bundle_tensor(&b, e[i].name, &t) == LLMQ_OK, e[i].name);
        rescale(&e[i], &t, stream_factors, hidden_factors);
    }
    out = fopen(argv[2], "wb");
    check(out != NULL, argv[2]);
    check(llmq_bundle_write(e, b.count, write_bytes, out) == LLMQ_OK && fclose(out) == 0, argv[2]);
    return 0;
}
