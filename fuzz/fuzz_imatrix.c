/* fuzz_imatrix.c - what imatrix_open accepts must be safe to use, and what it refuses must leave
   the view alone

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_imatrix.c -o build/fuzz_imatrix
       build/fuzz_imatrix CORPUS                   libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_imatrix.c -o build/replay_imatrix
       build/replay_imatrix -n 20000               no fuzzer at hand: damages the golden files that often
                                                   (replay.h)

   An input is a file in either form. tests/test_imatrix.c includes this file, to use importance
   matrices in the same way. */
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
#define IMATRIX_IMPLEMENTATION
#include "../examples/imatrix.h"
#include "../tests/vectors/imatrix_golden.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exact.h"

static int use_inside(const imatrix *m, const void *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;
    return b >= m->bytes && b <= m->bytes + m->size && n <= (size_t)(m->bytes + m->size - b);
}

/* NULL, or what was promised and not kept, as in the other functions. */
static const char *use_entry(const imatrix *m, const imatrix_entry *e)
{
    float *mean;
    uint32_t k, i;
    char out[64];
    if (e->cols == 0 || e->experts == 0 || e->name_length == 0) return "an empty entry";
    if (!use_inside(m, e->name, e->name_length)) return "a name is not inside";
    if (!use_inside(m, e->sums, (size_t)e->cols * e->experts * 4)) return "sums are not inside";
    if (!use_inside(m, e->counts, e->form == IMATRIX_GGUF ? (size_t)e->experts * 4 : 4)) return "counts are not inside";
    if (imatrix_name_to_llmq(e->name, e->name_length, out) == LLMQ_OK && strlen(out) > 32) return "a long name";
    if (imatrix_name_from_llmq(e->name, e->name_length, out) == LLMQ_OK && strlen(out) > 33) return "a long name";
    mean = (float *)malloc(e->cols * sizeof(float));
    if (!mean) exit(2);
    for (k = 0; k < e->experts; k++) {
        llmq_status status = imatrix_mean(e, k, mean);
        if (status != LLMQ_OK && status != LLMQ_E_CORRUPT) return "an unknown status of imatrix_mean";
        for (i = 0; status == LLMQ_OK && i < e->cols; i++)
            if (!(mean[i] >= 0.0f && mean[i] - mean[i] >= 0.0f)) return "a mean that is not a number";
    }
    if (imatrix_mean(e, e->experts, mean) != LLMQ_E_ARG) return "an expert too many";
    free(mean);
    return NULL;
}

/* *opened: status of imatrix_open. */
static const char *use_imatrix(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    imatrix m, before;
    imatrix_entry e, found;
    const char *broken;
    char name[64];
    size_t at = 0, length;
    uint32_t n = 0, i;
    memset(&m, 0x5a, sizeof m);
    before = m;
    *opened = imatrix_open(&m, bytes, size);
    if (*opened != LLMQ_OK) {
        if (*opened != LLMQ_E_MAGIC && *opened != LLMQ_E_TRUNCATED && *opened != LLMQ_E_CORRUPT &&
            *opened != LLMQ_E_UNSUPPORTED && *opened != LLMQ_E_LIMIT)
            return "imatrix_open returns a status that it does not name";
        return memcmp(&m, &before, sizeof m) ? "a refused file has changed the view" : NULL;
    }
    for (; imatrix_next(&m, &at, &e) == LLMQ_OK; n++) {
        if ((broken = use_entry(&m, &e)) != NULL) return broken;
        if (n >= 16 || e.name_length >= sizeof name || memchr(e.name, 0, e.name_length)) continue;
        memcpy(name, e.name, e.name_length);
        name[e.name_length] = 0;
        if (imatrix_find(&m, name, &found) != LLMQ_OK || found.name_length != e.name_length)
            return "an entry is not found";
    }
    if (n == 0 || n != m.count) return "a wrong number of entries";
    for (i = 0; i < m.datasets; i++) {
        const char *s = imatrix_dataset(&m, i, &length);
        if (length && !use_inside(&m, s, length)) return "the name of a text is not inside";
    }
    (void)imatrix_dataset(&m, m.datasets, &length);
    return length ? "a text too many" : NULL;
}

EXACT_TARGET("fuzz_imatrix", use_imatrix)

#ifdef REPLAY
#include "replay.h"
REPLAY_MAIN({ "golden.gguf", golden_gguf, sizeof golden_gguf },
            { "foreign.gguf", golden_foreign, sizeof golden_foreign },
            { "golden.dat", golden_legacy, sizeof golden_legacy })
#endif
