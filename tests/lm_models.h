/* lm_models.h - the tiny models of tests/vectors/lm as bundles, for suites that include llmq.h and check.h before

   Suites run from the root of the project. */
#ifndef LM_MODELS_H
#define LM_MODELS_H

#include "files.h"
#define GGUF_IMPLEMENTATION
#include "../examples/gguf.h"
#define JSON_IMPLEMENTATION
#include "../examples/json.h"
#define SAFETENSORS_IMPLEMENTATION
#include "../examples/safetensors.h"
#define IMPORT_IMPLEMENTATION
#include "../examples/import.h"

/* The whole file tests/vectors/lm/NAME.SUFFIX in memory that the caller frees. */
static unsigned char *load(const char *name, const char *suffix, size_t *size)
{
    char path[120];
    (void)snprintf(path, sizeof path, "tests/vectors/lm/%s.%s", name, suffix);
    return load_file(path, size);
}

/* A bundle of a GGUF file, all tensors as f32. The caller frees it. */
static unsigned char *convert(const unsigned char *bytes, size_t size, size_t *out)
{
    static import_model m;
    static import_entry source[200];
    static llmq_entry e[232];
    gguf g;
    unsigned char *bundle;
    uint32_t i, r, n = 0;
    CHECK(gguf_open(&g, bytes, size) == LLMQ_OK);
    CHECK(import_open_gguf(&m, &g, 1) == LLMQ_OK);
    if (m.fault[0] || m.tensors > COUNT(source)) {
        printf("%s: %u tensors\n", m.fault, m.tensors);
        exit(2);
    }
    for (; n < m.values; n++) CHECK(import_value(&m, n, &e[n]) == LLMQ_OK);
    for (i = 0; i < m.tensors; i++, n++) {
        float *rows;
        CHECK(import_tensor(&m, i, &source[i]) == LLMQ_OK);
        rows = (float *)malloc((size_t)source[i].rows * source[i].cols * sizeof *rows);
        for (r = 0; r < source[i].rows; r++)
            CHECK(import_row(&source[i], r, rows + (size_t)r * source[i].cols) == LLMQ_OK);
        memset(&e[n], 0, sizeof e[n]);
        e[n].name = source[i].name, e[n].kind = LLMQ_KIND_TENSOR, e[n].t2 = -1.0f;
        e[n].rows = source[i].rows, e[n].cols = source[i].cols, e[n].data = rows;
        CHECK(llmq_format_find(&e[n].format, "f32", 0) == LLMQ_OK);
        e[n].size = llmq_tensor_size(&e[n].format, e[n].rows, e[n].cols);
    }
    *out = llmq_bundle_size(e, n);
    bundle = (unsigned char *)malloc(*out);
    CHECK(llmq_bundle_write_memory(e, n, bundle, *out) == LLMQ_OK);
    for (i = 0; i < n; i++)
        if (e[i].kind == LLMQ_KIND_TENSOR) free((void *)(uintptr_t)e[i].data);
    return bundle;
}

#endif
