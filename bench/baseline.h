/* baseline.h: what people use today for a product with float weights, and for sums of x x^T:
   OpenBLAS's sgemv and ssyrk on one thread, loaded at run time so that nothing needs it to
   build; plain loops where no BLAS is installed. */
#ifndef BENCH_BASELINE_H
#define BENCH_BASELINE_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void sgemv_function(int order, int trans, int rows, int cols, float alpha, const float *a, int lda,
                            const float *x, int incx, float beta, float *y, int incy);
typedef void ssyrk_function(int order, int uplo, int trans, int n, int k, float alpha, const float *a, int lda,
                            float beta, float *c, int ldc);
typedef struct baseline {
    const char *name;    /* as in the keys: sgemv, plain */
    const char *library; /* what it is, for people */
    sgemv_function *sgemv;
    ssyrk_function *ssyrk;
} baseline;

/* ISO C has no conversion from dlsym's pointer to a function's. */
static int symbol(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

/* A BLAS older than the processor does not know its model and takes the kernels of 2004: name a
   core with the same vectors, unless the environment does. */
static void choose_core(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) setenv("OPENBLAS_CORETYPE", "Haswell", 0);
#endif
}

static baseline baseline_load(void)
{
    static const char *const libraries[] = { "libopenblas.so.0", "libblas.so.3" };
    baseline b = { "plain", "a plain float loop", NULL, NULL };
    choose_core();
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* or loading it starts threads */
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        void (*threads)(int);
        char *(*config)(void);
        void *library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (!library || !symbol(library, "cblas_sgemv", &b.sgemv)) continue;
        if (!symbol(library, "cblas_ssyrk", &b.ssyrk)) b.ssyrk = NULL;
        if (symbol(library, "openblas_set_num_threads", &threads)) threads(1);
        b.name = "sgemv";
        b.library = symbol(library, "openblas_get_config", &config) ? config() : libraries[i];
        break;
    }
    return b;
}

static void baseline_product(const baseline *b, const float *w, uint32_t rows, uint32_t cols, const float *x, float *y)
{
    if (b->sgemv) {
        b->sgemv(101, 111, (int)rows, (int)cols, 1, w, (int)cols, x, 1, 0, y, 1); /* row-major, not transposed */
        return;
    }
    for (uint32_t r = 0; r < rows; r++) {
        float sum = 0;
        for (uint32_t j = 0; j < cols; j++) sum += w[(size_t)r * cols + j] * x[j];
        y[r] = sum;
    }
}

/* The lower triangle of h, n x n, += the sum of x x^T over rows of x. */
static void baseline_syrk(const baseline *b, const float *x, uint32_t rows, uint32_t n, float *h)
{
    if (b->ssyrk) {
        b->ssyrk(101, 122, 112, (int)n, (int)rows, 1, x, (int)n, 1, h, (int)n); /* row-major, lower, transposed */
        return;
    }
    for (uint32_t r = 0; r < rows; r++, x += n)
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j <= i; j++) h[(size_t)i * n + j] += x[i] * x[j];
}

#endif
