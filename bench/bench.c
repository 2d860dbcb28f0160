/* bench: speed of the scalar products, for one activation and for a batch, beside a plain float loop of the same shape.

       bench [rows cols]            default 512 x 1024: the stored weights stay in a level-2 cache

   Medians of 21 runs, one thread; quote the ratios, not the absolute figures. TSV=1: lines bench.scalar.FORMAT.l2.gws. */
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS = 21, BATCH = 8 };

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare_doubles);
    return v[n / 2];
}

static void plain(const float *w, uint32_t rows, uint32_t cols, const float *x, float *y)
{
    for (uint32_t r = 0; r < rows; r++) {
        float sum = 0;
        for (uint32_t j = 0; j < cols; j++) sum += w[(size_t)r * cols + j] * x[j];
        y[r] = sum;
    }
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) exit(1);
    return p;
}

/* Seconds of a product with `count` activations of `bits`. */
static double time_product(const llmq_tensor *t, const float *x, uint32_t bits, uint32_t count, float *y)
{
    llmq_activation a[BATCH];
    size_t size = llmq_activation_size(t, bits);
    double v[RUNS];
    for (uint32_t i = 0; i < count; i++)
        if (llmq_activation_prepare(&a[i], t, bits, x, allocate(size), size)) exit(1);
    for (int k = 0; k < RUNS; k++) {
        double start = now();
        if (llmq_matmul(t, a, count, 0, t->rows, y, t->rows)) exit(1);
        v[k] = now() - start;
    }
    for (uint32_t i = 0; i < count; i++) free((void *)(uintptr_t)a[i].x);
    return median(v, RUNS);
}

int main(int argc, char **argv)
{
    uint32_t rows = argc > 2 ? (uint32_t)atoi(argv[1]) : 512, cols = argc > 2 ? (uint32_t)atoi(argv[2]) : 1024;
    size_t n = (size_t)rows * cols;
    float *w = (float *)allocate(n * sizeof *w), *x = (float *)allocate(cols * sizeof *x), *y = (float *)allocate(rows * BATCH * sizeof *y);
    double v[RUNS], base;
    int tsv = getenv("TSV") && *getenv("TSV");
    llmq_format f;
    for (size_t i = 0; i < n; i++) w[i] = (float)((int)(llmq_random(1, (uint32_t)i) % 2001) - 1000) / 1000;
    for (uint32_t j = 0; j < cols; j++) x[j] = (float)((int)(llmq_random(2, j) % 2001) - 1000) / 1000;
    for (int k = 0; k < RUNS; k++) {
        double start = now();
        plain(w, rows, cols, x, y);
        v[k] = now() - start;
    }
    base = median(v, RUNS);
    if (!tsv) printf("scalar kernels, %u x %u, G weights/s; plain float loop: %.2f\n\n%-8s %7s %10s %10s %14s\n", rows, cols, (double)n / base / 1e9,
                     "format", "bpw", "int8", "float", "int8, batch 8");
    for (uint32_t i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++) {
        llmq_encode_options fast = { LLMQ_EFFORT_FAST, NULL, NULL };
        size_t size = llmq_tensor_size(&f, rows, cols), work_size;
        void *data = allocate(size), *work;
        double g8 = 0, g32, batch = 0;
        llmq_tensor t;
        if (llmq_tensor_init(&t, &f, NULL, rows, cols, data, size)) return 1;
        work = allocate(work_size = llmq_encode_work_size(&t));
        if (llmq_encode(&t, data, 0, rows, w, cols, &fast, work, work_size, NULL)) return 1;
        g32 = (double)n / time_product(&t, x, 32, 1, y) / 1e9;
        if (f.points) {
            g8 = (double)n / time_product(&t, x, 8, 1, y) / 1e9;
            batch = BATCH * (double)n / time_product(&t, x, 8, BATCH, y) / 1e9;
        }
        if (tsv) printf("bench.scalar.%s.l2.gws\t%.4g\n", f.name, f.points ? g8 : g32);
        else printf("%-8s %7.3f %10.2f %10.2f %14.2f\n", f.name, 8.0 * (double)size / (double)n, g8, g32, batch);
        free(data);
        free(work);
    }
    free(w);
    free(x);
    free(y);
    return 0;
}
