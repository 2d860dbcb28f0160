/* fuzz_import.c - what import_open_gguf and import_open_safetensors accept must be safe to use, and what they refuse
   must have a name

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_import.c -o build/fuzz_import -lm
       build/fuzz_import CORPUS                    libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_import.c -o build/replay_import -lm
       build/replay_import FILE...                 runs inputs that were found
       build/replay_import -n 20000                damages the seeds that often
       build/replay_import -s DIRECTORY            writes small models of all architectures, to begin a corpus with

   An input is a GGUF file, or config.json, a byte of 0, and a safetensors file.
   tests/test_import.c includes this file, to use models in the same way. */
#ifndef LLMQ_IMPLEMENTATION
#define LLMQ_IMPLEMENTATION
#endif
#ifndef LLMQ_IMPLEMENTED
#define LLMQ_STATIC 1 /* next to nothing of the library is used here */
#endif
#ifndef LLMQ_SIMD
#define LLMQ_SIMD 0
#endif
#include "../llmq.h"
#define GGUF_IMPLEMENTATION
#include "../examples/gguf.h"
#define JSON_IMPLEMENTATION
#include "../examples/json.h"
#define SAFETENSORS_IMPLEMENTATION
#include "../examples/safetensors.h"
#define IMPORT_IMPLEMENTATION
#include "../examples/import.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exact.h"
#include "../tests/helpers.h"
#include "../tests/import_files.h"

/* NULL, or what was promised and not kept, as in the other functions. */
static const char *use_tensor(const import_model *m, uint32_t i)
{
    import_entry e;
    float *out;
    uint32_t width;
    if (import_tensor(m, i, &e) != LLMQ_OK) return "a tensor is not found";
    if (e.rows == 0 || e.cols == 0 || e.rows > m->vocab + m->hidden + m->dim + m->heads * m->head)
        return "an odd shape";
    if (strlen(e.name) == 0 || strlen(e.name) >= sizeof e.name) return "an odd name";
    width = strcmp(e.format, "f32") == 0 ? 4 : 2;
    if (e.data && e.size != (size_t)e.rows * e.cols * width) return "a wrong size";
    if (!e.data && width != 4) return "a format that decoding does not give";
    out = (float *)malloc(e.cols * sizeof(float));
    if (!out) exit(2);
    if (import_row(&e, 0, out) != LLMQ_OK || import_row(&e, e.rows - 1, out) != LLMQ_OK) return "a row is not decoded";
    if (import_row(&e, e.rows, out) != LLMQ_E_ARG) return "a row too many";
    free(out);
    return NULL;
}

/* m was opened with this status. */
static const char *use_import(const import_model *m, llmq_status status)
{
    static unsigned char bytes[1 << 14]; /* values are copied, so that the sanitizer sees them */
    llmq_entry v;
    import_entry e;
    const char *broken;
    uint32_t i;
    if (status != LLMQ_OK) {
        if (status != LLMQ_E_UNSUPPORTED && status != LLMQ_E_NOT_FOUND && status != LLMQ_E_CORRUPT &&
            status != LLMQ_E_LIMIT)
            return "a status that the contract does not name";
        for (i = 0; m->fault[i]; i++)
            if (m->fault[i] < ' ' || m->fault[i] > '~') return "a character that is no printable one in the fault";
        return i < 4 || i >= sizeof m->fault ? "no fault is named" : NULL;
    }
    if (m->fault[0]) return "a fault of a model that was opened";
    for (i = 0; i < m->values; i++) {
        if (import_value(m, i, &v) != LLMQ_OK || v.kind != LLMQ_KIND_VALUE || strncmp(v.name, "lm.", 3) != 0)
            return "an odd value";
        if (v.size > sizeof bytes) return "a long value";
        memcpy(bytes, v.data, v.size);
    }
    if (m->values < 7 || import_value(m, m->values, &v) != LLMQ_E_NOT_FOUND) return "a value too many";
    for (i = 0; i < m->tensors; i++)
        if ((broken = use_tensor(m, i)) != NULL) return broken;
    return import_tensor(m, m->tensors, &e) != LLMQ_E_NOT_FOUND ? "a tensor too many" : NULL;
}

/* *status: of the first function that refuses the bytes, or of import_open.
   m points at the files, so they are static. */
static const char *use_gguf(import_model *m, const unsigned char *bytes, size_t size, llmq_status *status)
{
    static gguf g;
    if ((*status = gguf_open(&g, bytes, size)) != LLMQ_OK) return NULL;
    *status = import_open_gguf(m, &g, 1);
    return use_import(m, *status);
}

static const char *use_safetensors(import_model *m, const unsigned char *config, size_t config_size,
                                   const unsigned char *bytes, size_t size, llmq_status *status)
{
    static json_value root;
    static safetensors s;
    if ((*status = json_open(&root, config, config_size)) != LLMQ_OK) return NULL;
    if ((*status = safetensors_open(&s, bytes, size)) != LLMQ_OK) return NULL;
    *status = import_open_safetensors(m, &root, &s, 1);
    return use_import(m, *status);
}

/* A GGUF file, or config.json, a byte of 0 and a safetensors file. */
static const char *use_model(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    static import_model m;
    const unsigned char *end = (const unsigned char *)memchr(bytes, 0, size);
    const size_t n = end ? (size_t)(end - bytes) : 0;
    *opened = LLMQ_E_MAGIC;
    if (size >= 4 && memcmp(bytes, "GGUF", 4) == 0) return use_gguf(&m, bytes, size, opened);
    return end ? use_safetensors(&m, bytes, n, bytes + n + 1, size - n - 1, opened) : NULL;
}

EXACT_TARGET("fuzz_import", use_model)

/* ---- without libFuzzer ---- */
#ifdef REPLAY
#include "replay.h"

int main(int argc, char **argv)
{
    static const char *const gguf_archs[] = { "llama", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3", "granite",
                                              "bitnet" };
    static const char *const archs[] = { "llama", "mistral", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3_text",
                                         "granite", "mobilellm" };
    static unsigned char out[COUNT(gguf_archs) + COUNT(archs)][2 * FILES_MOST];
    static char names[COUNT(gguf_archs)][40];
    static replay_seed seeds[COUNT(gguf_archs) + COUNT(archs)];
    static files_model f;
    replay_seed *seed = seeds;
    uint32_t k;
    for (k = 0; k < COUNT(gguf_archs); k++, seed++) {
        files_gguf_model(&f, gguf_archs[k]);
        (void)snprintf(names[k], sizeof names[k], "%s.gguf", gguf_archs[k]);
        seed->name = names[k], seed->bytes = out[seed - seeds];
        seed->size = files_write_gguf(&f, out[seed - seeds]);
    }
    for (k = 0; k < COUNT(archs); k++, seed++) {
        unsigned char *to = out[seed - seeds];
        size_t n;
        files_safetensors_model(&f, archs[k]);
        if (k == 0)
            files_json(&f, "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                                           "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 32}");
        n = files_write_config(&f, to);
        to[n++] = 0;
        seed->name = archs[k], seed->bytes = to;
        seed->size = n + files_write_safetensors(&f, to + n);
    }
    return replay_main(argc, argv, seeds, COUNT(seeds));
}
#endif
