/* fuzz_import.c - what import_open_gguf and import_open_safetensors accept must be safe to use, and what they refuse
   must have a name

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_import.c -o build/fuzz_import -lm
       build/fuzz_import CORPUS                    libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_import.c -o build/replay_import -lm
       build/replay_import FILE...                 runs inputs that were found
       build/replay_import -s DIRECTORY            writes small models of all architectures, to begin a corpus with

   An input is a GGUF file, or config.json, a byte of 0,
           and a safetensors file. tests/test_import.c includes this file, to
   use models in the same way. */
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

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy = (unsigned char *)malloc(size ? size : 1); /* exactly as much, for the sanitizer */
    const unsigned char *end = (const unsigned char *)(size ? memchr(data, 0, size) : NULL);
    static import_model m;
    llmq_status status;
    const char *broken = NULL;
    if (!copy) exit(2);
    if (size) memcpy(copy, data, size);
    if (size >= 4 && memcmp(data, "GGUF", 4) == 0) broken = use_gguf(&m, copy, size, &status);
    else if (end) {
        size_t n = (size_t)(end - data);
        broken = use_safetensors(&m, copy, n, copy + n + 1, size - n - 1, &status);
    }
    if (broken) {
        fprintf(stderr, "fuzz_import: %s\n", broken);
        abort();
    }
    free(copy);
    return 0;
}

/* ---- without libFuzzer ---- */
#ifdef REPLAY
static int replay_file(const char *path)
{
    static unsigned char data[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t size;
    if (!f) return perror(path), 1;
    size = fread(data, 1, sizeof data, f);
    fclose(f);
    (void)LLVMFuzzerTestOneInput(data, size);
    printf("%s: ok\n", path);
    return 0;
}

static int write_seed(const char *directory, const char *name, const unsigned char *bytes, size_t size)
{
    char path[1024];
    FILE *f;
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    f = fopen(path, "wb");
    if (f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0) return 0;
    return perror(path), 1;
}

int main(int argc, char **argv)
{
    static const char *const gguf_archs[] = { "llama", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3", "granite",
                                              "bitnet" };
    static const char *const archs[] = { "llama", "mistral", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3_text",
                                         "granite", "mobilellm" };
    static unsigned char out[2 * FILES_MOST];
    static files_model f;
    char name[40];
    int i, failed = 0;
    uint32_t k;
    if (argc == 3 && strcmp(argv[1], "-s") == 0) {
        for (k = 0; k < COUNT(gguf_archs); k++) {
            files_gguf_model(&f, gguf_archs[k]);
            (void)snprintf(name, sizeof name, "%s.gguf", gguf_archs[k]);
            failed += write_seed(argv[2], name, out, files_write_gguf(&f, out));
        }
        for (k = 0; k < COUNT(archs); k++) {
            size_t n;
            files_safetensors_model(&f, archs[k]);
            if (k == 0)
                files_json(&f, "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                                               "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 32}");
            n = files_write_config(&f, out);
            out[n++] = 0;
            n += files_write_safetensors(&f, out + n);
            failed += write_seed(argv[2], archs[k], out, n);
        }
        return failed != 0;
    }
    for (i = 1; i < argc; i++) failed += replay_file(argv[i]);
    return failed != 0;
}
#endif
