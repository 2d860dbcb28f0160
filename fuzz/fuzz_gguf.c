/* fuzz_gguf.c - what gguf_open accepts must be safe to use, and what it refuses must leave the view
   alone

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_gguf.c -o build/fuzz_gguf
       build/fuzz_gguf CORPUS                      libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_gguf.c -o build/replay_gguf
       build/replay_gguf -n 20000                  no fuzzer at hand: damages the golden file that often
                                                   (replay.h)

   An input is a file. tests/test_gguf.c includes this file, to use files in the same way. */
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
#include "../tests/vectors/gguf_golden.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exact.h"

/* The functions return NULL, or what was promised and not kept. */

static int use_inside(const gguf *g, const void *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;
    return b >= g->bytes && b <= g->bytes + g->size && n <= (size_t)(g->bytes + g->size - b);
}

/* A name as a C string; 0 if it cannot be one. */
static int use_name(const gguf *g, const char *s, size_t n, char out[GGUF_MAX_NAME + 1])
{
    if (n == 0 || n > GGUF_MAX_NAME || !use_inside(g, s, n) || memchr(s, 0, n)) return 0;
    memcpy(out, s, n);
    out[n] = 0;
    return 1;
}

static const char *use_strings(const gguf *g, const gguf_value *v)
{
    const char *s;
    size_t at = 0, length;
    uint64_t n = 0;
    for (; gguf_string(v, &at, &s, &length) == LLMQ_OK; n++)
        if (!use_inside(g, s, length)) return "a string is not inside";
    return n == v->count ? NULL : "a wrong number of strings";
}

static const char *use_numbers(const gguf_value *v)
{
    uint64_t i;
    double x = 0.0;
    size_t at = 0, length;
    const char *s;
    for (i = 0; i < v->count && i < 100; i++) {
        llmq_status status = gguf_number(v, i, &x);
        if (status != LLMQ_OK && (status != LLMQ_E_LIMIT || v->type < GGUF_U64)) return "a number cannot be read";
        if (v->type == GGUF_BOOL && !(x >= 0.0 && x <= 1.0)) return "a bool is neither 0 nor 1";
    }
    if (gguf_number(v, v->count, &x) != LLMQ_E_NOT_FOUND) return "a number too many";
    return gguf_string(v, &at, &s, &length) == LLMQ_E_CORRUPT ? NULL : "a number is a string";
}

static const char *use_value(const gguf *g, const gguf_value *v, uint64_t i)
{
    char name[GGUF_MAX_NAME + 1];
    const char *broken;
    gguf_value found;
    double x = 0.0;
    if (!use_name(g, v->key, v->key_length, name)) return "a key is broken";
    if (!use_inside(g, v->at, v->size)) return "a value is not inside";
    if (!v->array && v->count != 1) return "a single value is none";
    if (v->type == GGUF_STRING) broken = use_strings(g, v);
    else broken = use_numbers(v);
    if (broken) return broken;
    if (v->type == GGUF_STRING && gguf_number(v, 0, &x) != LLMQ_E_CORRUPT) return "a string is a number";
    if (i < 32 && (gguf_find_value(g, name, &found) != LLMQ_OK || found.at != v->at)) return "a value is not found";
    return NULL;
}

static const char *use_rows(const gguf_tensor *t)
{
    float *out = (float *)malloc((size_t)t->cols * sizeof *out); /* exactly as much, for the sanitizer */
    uint64_t row;
    llmq_status status = LLMQ_OK;
    if (!out) exit(2);
    for (row = 0; row < t->rows && status == LLMQ_OK; row = row + 1 < t->rows ? t->rows - 1 : t->rows)
        status = gguf_row(t, row, out);
    if (gguf_row(t, t->rows, out) != LLMQ_E_ARG) return "a row too many";
    free(out);
    if (strcmp(gguf_type_name(t->type), "?") == 0) return "a type without a name";
    return status == LLMQ_OK || status == LLMQ_E_UNSUPPORTED ? NULL : "an unknown status of gguf_row";
}

/* *used: end of the data of the tensor before. */
static const char *use_tensor(const gguf *g, const gguf_tensor *t, uint64_t i, const unsigned char **used)
{
    char name[GGUF_MAX_NAME + 1];
    gguf_tensor found;
    if (!use_name(g, t->name, t->name_length, name)) return "a name is broken";
    if (t->dims > 4 || t->cols == 0 || t->rows == 0 || t->cols != t->shape[0]) return "a shape is broken";
    if (t->rows != t->shape[1] * t->shape[2] * t->shape[3]) return "a product is wrong";
    if (!use_inside(g, t->data, t->size)) return "data are not inside";
    if (t->size / t->row_size != t->rows || t->size % t->row_size) return "a tensor's shape and size differ";
    if (t->row_size < t->cols / 256) return "a row is too small";
    if ((size_t)(t->data - g->bytes) % g->alignment || t->data < g->bytes + g->data) return "data are misplaced";
    if (t->data < *used) return "data overlap";
    *used = t->data + t->size;
    if (i < 32 && (gguf_find_tensor(g, name, &found) != LLMQ_OK || found.data != t->data)) return "a tensor is lost";
    return use_rows(t);
}

static const char *use_opened(const gguf *g)
{
    const unsigned char *used = g->bytes;
    const char *broken = NULL;
    gguf_value v;
    gguf_tensor t;
    uint32_t part = 7, parts = 7;
    uint64_t n;
    size_t at = 0;
    llmq_status status;
    for (n = 0; !broken && gguf_next_value(g, &at, &v) == LLMQ_OK; n++) broken = use_value(g, &v, n);
    if (broken) return broken;
    if (n != g->values) return "a wrong number of values";
    for (n = at = 0; !broken && gguf_next_tensor(g, &at, &t) == LLMQ_OK; n++) broken = use_tensor(g, &t, n, &used);
    if (broken) return broken;
    if (n != g->tensors) return "a wrong number of tensors";
    status = gguf_split(g, &part, &parts);
    if (status == LLMQ_OK) return part < parts && parts < 65536 ? NULL : "a part that there is not";
    return status == LLMQ_E_CORRUPT && part == 7 && parts == 7 ? NULL : "an unknown status of gguf_split";
}

/* *opened: status of gguf_open. */
static const char *use_gguf(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    gguf g, before;
    memset(&g, 0x5a, sizeof g);
    before = g;
    *opened = gguf_open(&g, bytes, size);
    if (*opened == LLMQ_OK) return use_opened(&g);
    if (*opened != LLMQ_E_MAGIC && *opened != LLMQ_E_TRUNCATED && *opened != LLMQ_E_CORRUPT &&
        *opened != LLMQ_E_UNSUPPORTED && *opened != LLMQ_E_LIMIT)
        return "gguf_open returns a status that it does not name";
    return memcmp(&g, &before, sizeof g) ? "a refused file has changed the view" : NULL;
}

EXACT_TARGET("fuzz_gguf", use_gguf)

#ifdef REPLAY
#include "replay.h"
REPLAY_MAIN({ "model.gguf", golden_gguf_model, sizeof golden_gguf_model })
#endif
