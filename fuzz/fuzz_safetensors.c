/* fuzz_safetensors.c - what safetensors_open, safetensors_index_open and json_open accept must be
   safe to use, and what they refuse must leave the view alone

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_safetensors.c -o build/fuzz_safetensors
       build/fuzz_safetensors CORPUS               libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_safetensors.c -o build/replay_safetensors
       build/replay_safetensors -n 20000           no fuzzer at hand: damages the golden files that often
                                                   (replay.h)

   An input is taken for a file, for an index and for a text. tests/test_safetensors.c includes this
   file, to use files in the same way. */
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
#define JSON_IMPLEMENTATION
#include "../examples/json.h"
#define SAFETENSORS_IMPLEMENTATION
#include "../examples/safetensors.h"
#include "../tests/vectors/safetensors_golden.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exact.h"

/* The functions return NULL, or what was promised and not kept. */

typedef struct use_bytes {
    const unsigned char *bytes;
    size_t size;
} use_bytes;

static int use_inside(use_bytes all, const void *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;
    return b >= all.bytes && b <= all.bytes + all.size && n <= (size_t)(all.bytes + all.size - b);
}

static int use_named(llmq_status status)
{
    return status == LLMQ_E_MAGIC || status == LLMQ_E_TRUNCATED || status == LLMQ_E_CORRUPT ||
           status == LLMQ_E_UNSUPPORTED || status == LLMQ_E_LIMIT;
}

/* ---- JSON ---- */

/* Texts come out as UTF-8: with these rules a byte at a time, unlike json.h. */
static int use_is_utf8(const char *s, size_t n)
{
    size_t i = 0, k, more;
    for (; i < n; i += more + 1) {
        uint32_t first = (unsigned char)s[i], code;
        more = first < 0x80 ? 0 : first < 0xc0 ? 9 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf8 ? 3 : 9;
        if (more == 9 || more >= n - i) return 0;
        code = more ? first & (0x3fu >> more) : first;
        for (k = 1; k <= more; k++) {
            if (((unsigned char)s[i + k] & 0xc0) != 0x80) return 0;
            code = code << 6 | ((unsigned char)s[i + k] & 0x3fu);
        }
        if (code > 0x10ffff || code >> 11 == 27) return 0; /* surrogates */
        if (more && code < (more == 1 ? 0x80u : more == 2 ? 0x800u : 0x10000u)) return 0;
    }
    return 1;
}

static const char *use_string(const json_value *v)
{
    char *out = (char *)malloc(v->size + 1);
    size_t length, shorter;
    const char *broken = NULL;
    if (!out) exit(2);
    if (json_string(v, out, v->size, &length) != LLMQ_OK || length + 2 > v->size) broken = "a string is too long";
    else if (!use_is_utf8(out, length)) broken = "a string is not UTF-8";
    else if (length && (json_string(v, out, length - 1, &shorter) != LLMQ_E_WORKSPACE || shorter != length))
        broken = "a string fits where it cannot";
    if (!broken) {
        if (json_string(v, out, length, &length) != LLMQ_OK) broken = "a string does not fit where it must";
        out[length] = 0;
        if (json_is(v, out) != (memchr(out, 0, length) == NULL)) broken = "a string is not itself";
        if (length && !broken) {
            out[length - 1] = (char)(out[length - 1] ^ 1);
            if (json_is(v, out)) broken = "a string is another";
        }
    }
    free(out);
    return broken;
}

static const char *use_number(const json_value *v)
{
    char text[400], *end;
    double x = -7.0, expected;
    uint64_t u = 7;
    llmq_status status = json_number(v, &x);
    if (status != LLMQ_OK && status != LLMQ_E_LIMIT) return "an unknown status of json_number";
    if (status != LLMQ_OK && (x > -7.0 || x < -7.0)) return "a refused number is stored";
    if (status == LLMQ_OK && v->size < sizeof text) {
        memcpy(text, v->at, v->size);
        text[v->size] = 0;
        expected = strtod(text, &end);
        if (*end || memcmp(&x, &expected, sizeof x) != 0) return "a number is not that of the C library";
    }
    status = json_integer(v, &u);
    if (status != LLMQ_OK && status != LLMQ_E_LIMIT && status != LLMQ_E_CORRUPT)
        return "an unknown status of json_integer";
    return status == LLMQ_OK || u == 7 ? NULL : "a refused integer is stored";
}

/* A value and all in it; *budget: how many more. */
static const char *use_json(use_bytes all, const json_value *v, uint32_t depth, uint32_t *budget)
{
    json_value key, each, found;
    const char *broken = NULL;
    size_t at = 0, length = 7;
    double x;
    uint64_t u;
    if (depth > JSON_MAX_DEPTH) return "too deep";
    if (!use_inside(all, v->at, v->size) || v->size == 0) return "a value is not inside";
    if (v->type == JSON_STRING) return use_string(v);
    if (v->type == JSON_NUMBER) return use_number(v);
    if (json_is(v, "") || json_string(v, NULL, 0, &length) != LLMQ_E_CORRUPT || length)
        return "another type is a string";
    if (json_number(v, &x) != LLMQ_E_CORRUPT || json_integer(v, &u) != LLMQ_E_CORRUPT)
        return "another type is a number";
    if (v->type != JSON_OBJECT && json_find(v, "", &found) != LLMQ_E_CORRUPT) return "another type is an object";
    if (json_distinct(v) != LLMQ_E_CORRUPT && v->type != JSON_OBJECT) return "another type is an object";
    if (v->type < JSON_STRING)
        return json_next(v, &at, &key, &each) == LLMQ_E_CORRUPT ? NULL : "a single value has others in it";
    while (!broken && *budget > 0 && json_next(v, &at, &key, &each) == LLMQ_OK) {
        --*budget;
        if (v->type == JSON_OBJECT) broken = use_string(&key);
        if (!broken) broken = use_json(all, &each, depth + 1, budget);
    }
    return broken;
}

static const char *use_text(use_bytes all)
{
    json_value root, before;
    uint32_t budget = 5000;
    llmq_status status;
    memset(&root, 0x5a, sizeof root);
    before = root;
    status = json_open(&root, all.bytes, all.size);
    if (status == LLMQ_OK) return use_json(all, &root, 0, &budget);
    if (!use_named(status)) return "json_open returns a status that it does not name";
    return memcmp(&root, &before, sizeof root) ? "a refused text has changed the value" : NULL;
}

/* ---- files ---- */

static const char *use_stored(const safetensors *s, const safetensors_tensor *t, size_t *sum)
{
    use_bytes all = { s->bytes, s->size };
    char name[SAFETENSORS_MAX_NAME + 1];
    safetensors_tensor found;
    float *out;
    uint64_t row;
    llmq_status status = LLMQ_OK;
    if (t->name_length == 0 || t->name_length > SAFETENSORS_MAX_NAME || !use_inside(all, t->name, t->name_length))
        return "a name is broken";
    if (!use_inside(all, t->data, t->size) || t->data < s->bytes + s->data) return "data are not inside";
    if (t->rows && t->row_size && t->size / t->row_size != t->rows) return "a tensor's shape and size differ";
    memcpy(name, t->name, t->name_length);
    name[t->name_length] = 0;
    if (safetensors_find(s, name, &found) != LLMQ_OK || found.data != t->data) return "a tensor is not found";
    if (strcmp(safetensors_type_name(t->type), "?") == 0) return "a type without a name";
    *sum += t->size;
    out = (float *)malloc((t->row_size ? (size_t)t->cols : 0) * sizeof *out + 1);
    if (!out) exit(2);
    for (row = 0; row < t->rows && status == LLMQ_OK; row = row + 1 < t->rows ? t->rows - 1 : t->rows)
        status = safetensors_row(t, row, out);
    if (safetensors_row(t, t->rows, out) != LLMQ_E_ARG) return "a row too many";
    free(out);
    return status == LLMQ_OK || status == LLMQ_E_UNSUPPORTED ? NULL : "an unknown status of safetensors_row";
}

/* Each byte of the data belongs to one tensor. */
static const char *use_partition(const safetensors *s)
{
    unsigned char *owned = (unsigned char *)calloc(s->size + 1, 1);
    safetensors_tensor t;
    size_t at = 0, i, twice = 0, none = 0;
    if (!owned) exit(2);
    while (safetensors_next(s, &at, &t) == LLMQ_OK)
        for (i = 0; i < t.size; i++) twice += owned[(size_t)(t.data - s->bytes) + i]++ > 0;
    for (i = s->data; i < s->size; i++) none += !owned[i];
    free(owned);
    return twice ? "data overlap" : none ? "data have gaps" : NULL;
}

static const char *use_opened(const safetensors *s)
{
    safetensors_tensor t;
    const char *broken = NULL;
    size_t at = 0, sum = 0;
    uint32_t n;
    for (n = 0; !broken && safetensors_next(s, &at, &t) == LLMQ_OK; n++) broken = use_stored(s, &t, &sum);
    if (broken) return broken;
    if (n != s->tensors) return "a wrong number of tensors";
    if (sum != s->size - s->data) return "sizes do not add up";
    return use_partition(s);
}

/* *opened: status of safetensors_open. */
static const char *use_safetensors(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    safetensors s, before;
    memset(&s, 0x5a, sizeof s);
    before = s;
    *opened = safetensors_open(&s, bytes, size);
    if (*opened == LLMQ_OK) return use_opened(&s);
    if (!use_named(*opened)) return "safetensors_open returns a status that it does not name";
    return memcmp(&s, &before, sizeof s) ? "a refused file has changed the view" : NULL;
}

/* *opened: status of safetensors_index_open. */
static const char *use_index(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    use_bytes all = { bytes, size };
    safetensors_index x, before;
    safetensors_place p;
    size_t at = 0;
    uint32_t n;
    memset(&x, 0x5a, sizeof x);
    before = x;
    *opened = safetensors_index_open(&x, bytes, size);
    if (*opened != LLMQ_OK) {
        if (*opened == LLMQ_E_MAGIC || !use_named(*opened)) return "safetensors_index_open returns an unnamed status";
        return memcmp(&x, &before, sizeof x) ? "a refused index has changed the view" : NULL;
    }
    for (n = 0; safetensors_index_next(&x, &at, &p) == LLMQ_OK; n++) {
        if (!use_inside(all, p.name, p.name_length) || !use_inside(all, p.file, p.file_length))
            return "a name is not inside";
        if (p.name_length == 0 || p.file_length == 0 || p.file[0] == '.' || memchr(p.file, '/', p.file_length) ||
            memchr(p.file, '\\', p.file_length) || memchr(p.file, ':', p.file_length) ||
            memchr(p.file, 0, p.file_length))
            return "the name of a file leads elsewhere";
    }
    return n == x.tensors ? NULL : "a wrong number of tensors";
}

/* The bytes as a file, as an index and as a text. */
static const char *use_all(const unsigned char *bytes, size_t size, llmq_status *opened)
{
    use_bytes all = { bytes, size };
    const char *broken = use_safetensors(bytes, size, opened);
    if (!broken) broken = use_index(bytes, size, opened);
    return broken ? broken : use_text(all);
}

EXACT_TARGET("fuzz_safetensors", use_all)

#ifdef REPLAY
#include "replay.h"
static const char some_json[] =
    "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"<s>\": 0, \"\\u0120a\": 1, \"\\ud83d\\ude00\": 2},\n"
    "\"merges\": [[\"a\", \"b\"], [\"c\", \"d e\"]]}, \"x\": [-1.5e-3, 0.1, true, false, null, 18446744073709551615,"
    "{}, [], \"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]}";
REPLAY_MAIN({ "model.safetensors", golden_safetensors, sizeof golden_safetensors },
            { "index.json", golden_index, sizeof golden_index },
            { "some.json", (const unsigned char *)some_json, sizeof some_json - 1 })
#endif
