/* safetensors.h - reader of safetensors files, the model files of Hugging Face - public domain or
   MIT

   Do this in one C or C++ file, after llmq.h and json.h (with its implementation in some file):
       #define SAFETENSORS_IMPLEMENTATION
       #include "safetensors.h"

   A file has 8 bytes (the length of the header, little-endian), the header (a JSON object with
   dtype, shape and data_offsets of each tensor, by name), and the data of the tensors, little-endian
   and without gaps. Members of __metadata__ are passed over. Everything else that is not known is
   refused. The README of huggingface/safetensors describes the format.

   A large model is split into shards, which are files of their own. A JSON text beside them,
   model.safetensors.index.json, gives the file of each tensor. The caller opens the files. Their
   names come from the text, so safetensors_index_open refuses a name that could lead elsewhere.

   Files may come from anywhere: what is opened is checked in full, as in gguf.h. Nothing is copied:
   views point into the bytes and live as long as they do. No memory is needed but 3,500 bytes of
   stack. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include "../llmq.h"
#include "json.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SAFETENSORS_MAX_TENSORS 16384u /* in a file: safetensors_open then takes half a second */
#define SAFETENSORS_MAX_INDEX 65536u   /* in an index: safetensors_index_open then takes 2 s */
#define SAFETENSORS_MAX_NAME 255u      /* bytes of a name of a tensor or file */
#define SAFETENSORS_MAX_DIMS 8u

/* A file that safetensors_open has checked. Callers may read bytes, size and tensors. */
typedef struct safetensors {
    const unsigned char *bytes;
    size_t size, data;  /* where the data of tensors begin */
    uint32_t tensors;   /* how many there are */
    json_value header;
} safetensors;

typedef struct safetensors_tensor {
    const char *name;           /* not terminated; without bytes of 0 */
    size_t name_length;
    uint32_t type, dims;        /* type: for safetensors_type_name */
    uint64_t shape[8];          /* shape[dims - 1] varies fastest; any may be 0 */
    uint64_t rows, cols;        /* cols is the last of the shape, rows the product of the others; 1 of none */
    size_t row_size, size;      /* bytes of a row and of the tensor */
    const unsigned char *data;  /* row after row, not aligned */
} safetensors_tensor;

/* Checks all that the other functions rely on.
   bytes: size bytes, the whole file; they stay in use. *s is written only with LLMQ_OK.
   Errors:
     LLMQ_E_ARG          NULL
     LLMQ_E_MAGIC        the header does not begin as an object does
     LLMQ_E_TRUNCATED    the file ends before the header or a tensor does
     LLMQ_E_UNSUPPORTED  a dtype or a member that is not known; a name with an escape in it
     LLMQ_E_LIMIT        SAFETENSORS_MAX_TENSORS, _NAME or _DIMS; 2^63 elements or more in a tensor
     LLMQ_E_CORRUPT      everything else: a header that is no JSON; a name or member that occurs twice, a
                         member that is missing or has a wrong type; a shape that does not fit the
                         offsets; data that overlap; bytes that belong to no tensor */
LLMQ_NODISCARD llmq_status safetensors_open(safetensors *s, const void *bytes, size_t size);

/* The next tensor in the order of the header. *at is 0 before the first.
   LLMQ_E_NOT_FOUND: there are no more. */
LLMQ_NODISCARD llmq_status safetensors_next(const safetensors *s, size_t *at, safetensors_tensor *t);

/* The tensor of a name.
   LLMQ_E_NOT_FOUND: there is none; *t is untouched. */
LLMQ_NODISCARD llmq_status safetensors_find(const safetensors *s, const char *name, safetensors_tensor *t);

/* Decodes a row of a tensor to floats, exactly: t->cols of them, which may be infinite or NaN.
   Types: F32 F16 BF16.
   Errors; out is then untouched:
     LLMQ_E_ARG          NULL, or row is not below t->rows
     LLMQ_E_UNSUPPORTED  another type: safetensors_type_name(t->type) */
LLMQ_NODISCARD llmq_status safetensors_row(const safetensors_tensor *t, uint64_t row, float *out);

/* The name of a type, as "BF16"; "?" of one that is not known. */
const char *safetensors_type_name(uint32_t type);

/* ---- the index of shards ---- */

/* An index that safetensors_index_open has checked. Callers may read tensors. */
typedef struct safetensors_index {
    json_value map;
    uint32_t tensors;
} safetensors_index;

/* A tensor and its file; neither is terminated. */
typedef struct safetensors_place {
    const char *name, *file;
    size_t name_length, file_length;
} safetensors_place;

/* Checks the text of an index. The name of a file has no '/', '\' or ':' and no control character,
   and does not begin with '.', so it is a file beside the index.
   text: size bytes, not terminated; they stay in use. *x is written only with LLMQ_OK.
   Errors:
     LLMQ_E_ARG          NULL
     LLMQ_E_TRUNCATED    the text ends early
     LLMQ_E_UNSUPPORTED  a member other than weight_map and metadata; a name with an escape in it
     LLMQ_E_LIMIT        SAFETENSORS_MAX_INDEX or _NAME, JSON_MAX_DEPTH
     LLMQ_E_CORRUPT      everything else: no JSON, no weight_map, a tensor that occurs twice, a name of
                         a file that could lead elsewhere */
LLMQ_NODISCARD llmq_status safetensors_index_open(safetensors_index *x, const void *text, size_t size);

/* The next tensor in the order of the index. *at is 0 before the first.
   LLMQ_E_NOT_FOUND: there are no more. */
LLMQ_NODISCARD llmq_status safetensors_index_next(const safetensors_index *x, size_t *at, safetensors_place *p);

/* The file of a tensor.
   LLMQ_E_NOT_FOUND: there is no such tensor; *p is untouched. */
LLMQ_NODISCARD llmq_status safetensors_index_find(const safetensors_index *x, const char *name, safetensors_place *p);

#ifdef __cplusplus
}
#endif
#endif /* SAFETENSORS_H */

#ifdef SAFETENSORS_IMPLEMENTATION
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- types and rows ---- */

#define SAFETENSORS__F32 0u
#define SAFETENSORS__F16 1u
#define SAFETENSORS__BF16 2u
#define SAFETENSORS__TYPES 16u

static const struct {
    const char *name;
    uint32_t size; /* bytes of an element */
} safetensors__types[SAFETENSORS__TYPES] = {
    { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "F64", 8 }, { "C64", 8 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 },
    { "F8_E8M0", 1 }, { "BOOL", 1 }, { "I8", 1 }, { "U8", 1 }, { "I16", 2 }, { "U16", 2 }, { "I32", 4 }, { "I64", 8 },
    { "U64", 8 }
};

const char *safetensors_type_name(uint32_t type)
{
    return type < SAFETENSORS__TYPES ? safetensors__types[type].name : "?";
}

llmq_status safetensors_row(const safetensors_tensor *t, uint64_t row, float *out)
{
    const unsigned char *b;
    uint64_t i;
    uint32_t bits;
    if (!t || !out || row >= t->rows) return LLMQ_E_ARG;
    if (t->type > SAFETENSORS__BF16) return LLMQ_E_UNSUPPORTED;
    b = t->data + (size_t)row * t->row_size;
    for (i = 0; i < t->cols; i++) {
        if (t->type == SAFETENSORS__F32) {
            bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
            memcpy(&out[i], &bits, 4);
            b += 4;
        } else {
            bits = (uint32_t)b[0] | (uint32_t)b[1] << 8;
            out[i] = t->type == SAFETENSORS__F16 ? llmq_f16_to_f32((uint16_t)bits) : llmq_bf16_to_f32((uint16_t)bits);
            b += 2;
        }
    }
    return LLMQ_OK;
}

/* ---- the header ---- */

/* A string that callers can compare with C strings as it stands. */
static llmq_status safetensors__name(const json_value *v, const char **s, size_t *length)
{
    if (v->type != JSON_STRING || v->size == 2) return LLMQ_E_CORRUPT;
    *s = v->at + 1;
    *length = v->size - 2;
    if (*length > SAFETENSORS_MAX_NAME) return LLMQ_E_LIMIT;
    return memchr(*s, '\\', *length) ? LLMQ_E_UNSUPPORTED : LLMQ_OK;
}

static llmq_status safetensors__type(const json_value *v, uint32_t *type)
{
    if (v->type != JSON_STRING) return LLMQ_E_CORRUPT;
    for (*type = 0; *type < SAFETENSORS__TYPES; ++*type)
        if (json_is(v, safetensors__types[*type].name)) return LLMQ_OK;
    return LLMQ_E_UNSUPPORTED;
}

/* An array of integers, at most room of them. */
static llmq_status safetensors__integers(const json_value *v, uint64_t *out, uint32_t room, uint32_t *count)
{
    json_value each;
    size_t at = 0;
    llmq_status status;
    *count = 0;
    if (v->type != JSON_ARRAY) return LLMQ_E_CORRUPT;
    while (json_next(v, &at, NULL, &each) == LLMQ_OK) {
        if (*count == room) return LLMQ_E_LIMIT;
        status = json_integer(&each, &out[*count]);
        if (status != LLMQ_OK) return status;
        ++*count;
    }
    return LLMQ_OK;
}

/* What the header says of a tensor. offsets: begin and end of its data. */
static llmq_status safetensors__members(const json_value *v, safetensors_tensor *t, uint64_t offsets[2])
{
    json_value key, value;
    size_t at = 0;
    uint32_t seen = 0, bit, count = 2;
    llmq_status status = LLMQ_OK;
    if (v->type != JSON_OBJECT) return LLMQ_E_CORRUPT;
    while (status == LLMQ_OK && json_next(v, &at, &key, &value) == LLMQ_OK) {
        if (json_is(&key, "dtype")) {
            bit = 1;
            status = safetensors__type(&value, &t->type);
        } else if (json_is(&key, "shape")) {
            bit = 2;
            status = safetensors__integers(&value, t->shape, SAFETENSORS_MAX_DIMS, &t->dims);
        } else if (json_is(&key, "data_offsets")) {
            bit = 4;
            status = safetensors__integers(&value, offsets, 2, &count);
        } else return LLMQ_E_UNSUPPORTED;
        if (seen & bit) return LLMQ_E_CORRUPT;
        seen |= bit;
    }
    if (status != LLMQ_OK) return status;
    return seen == 7 && count == 2 ? LLMQ_OK : LLMQ_E_CORRUPT;
}

/* Sizes and place of a tensor. */
static llmq_status safetensors__place(const safetensors *s, safetensors_tensor *t, const uint64_t offsets[2])
{
    const uint64_t most = ~(uint64_t)0 >> 1;
    uint64_t room = s->size - s->data, n = 1, size;
    uint32_t i, width = safetensors__types[t->type].size;
    t->rows = t->cols = 1;
    for (i = 0; i < t->dims; i++) {
        if (t->shape[i] > 0 && n > most / t->shape[i]) return LLMQ_E_LIMIT;
        t->rows = n;
        t->cols = t->shape[i];
        n *= t->shape[i];
    }
    if (offsets[0] > offsets[1]) return LLMQ_E_CORRUPT;
    if (offsets[1] > room) return LLMQ_E_TRUNCATED;
    size = offsets[1] - offsets[0];
    if (n != size / width || size % width) return LLMQ_E_CORRUPT;
    /* no rows: none can be asked for, and a row could be larger than memory */
    t->row_size = t->rows ? (size_t)t->cols * width : 0;
    t->size = (size_t)size;
    t->data = s->bytes + s->data + (size_t)offsets[0];
    return LLMQ_OK;
}

llmq_status safetensors_next(const safetensors *s, size_t *at, safetensors_tensor *t)
{
    json_value key, value;
    uint64_t offsets[2];
    llmq_status status;
    do {
        status = json_next(&s->header, at, &key, &value);
        if (status != LLMQ_OK) return status;
    } while (json_is(&key, "__metadata__"));
    status = safetensors__name(&key, &t->name, &t->name_length);
    if (status == LLMQ_OK) status = safetensors__members(&value, t, offsets);
    return status == LLMQ_OK ? safetensors__place(s, t, offsets) : status;
}

llmq_status safetensors_find(const safetensors *s, const char *name, safetensors_tensor *t)
{
    safetensors_tensor each;
    size_t at = 0, n = strlen(name);
    while (safetensors_next(s, &at, &each) == LLMQ_OK)
        if (each.name_length == n && memcmp(each.name, name, n) == 0) {
            *t = each;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

/* ---- no data overlap: the extents of 128 tensors are sorted, and the others looked up ---- */

#define SAFETENSORS__SORTED 128u

typedef struct safetensors__extent {
    const unsigned char *start, *end;
} safetensors__extent;

/* Whether e overlaps one of count sorted extents; if not, it is put there if there is room. */
static int safetensors__overlaps(safetensors__extent *sorted, uint32_t *count, safetensors__extent e)
{
    uint32_t low = 0, high = *count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sorted[middle].end <= e.start) low = middle + 1;
        else high = middle;
    }
    if (low < *count && sorted[low].start < e.end) return 1;
    if (*count == SAFETENSORS__SORTED) return 0;
    memmove(sorted + low + 1, sorted + low, (*count - low) * sizeof *sorted);
    sorted[low] = e;
    ++*count;
    return 0;
}

static llmq_status safetensors__disjoint(const safetensors *s)
{
    safetensors__extent sorted[SAFETENSORS__SORTED], e;
    safetensors_tensor t;
    size_t start = 0, at;
    uint32_t count;
    do {
        count = 0;
        at = start;
        start = 0;
        while (safetensors_next(s, &at, &t) == LLMQ_OK) {
            if (t.size == 0) continue;
            e.start = t.data;
            e.end = t.data + t.size;
            if (safetensors__overlaps(sorted, &count, e)) return LLMQ_E_CORRUPT;
            if (count == SAFETENSORS__SORTED && !start) start = at;
        }
    } while (start);
    return LLMQ_OK;
}

/* The tensors one by one. As no data overlap, they leave no gaps if their sizes add up to all. */
static llmq_status safetensors__check(safetensors *s)
{
    safetensors_tensor t;
    size_t at = 0, left = s->size - s->data;
    llmq_status status;
    while ((status = safetensors_next(s, &at, &t)) == LLMQ_OK) {
        if (s->tensors == SAFETENSORS_MAX_TENSORS) return LLMQ_E_LIMIT;
        s->tensors++;
        if (t.size > left) return LLMQ_E_CORRUPT;
        left -= t.size;
    }
    if (status != LLMQ_E_NOT_FOUND) return status;
    status = json_distinct(&s->header);
    if (status == LLMQ_OK) status = safetensors__disjoint(s);
    return status == LLMQ_OK && left > 0 ? LLMQ_E_CORRUPT : status;
}

llmq_status safetensors_open(safetensors *s, const void *bytes, size_t size)
{
    safetensors view;
    uint64_t length = 0;
    uint32_t i;
    llmq_status status;
    if (!s || !bytes) return LLMQ_E_ARG;
    if (size < 9) return LLMQ_E_TRUNCATED;
    memset(&view, 0, sizeof view);
    view.bytes = (const unsigned char *)bytes;
    view.size = size;
    if (view.bytes[8] != '{') return LLMQ_E_MAGIC;
    for (i = 8; i-- > 0;) length = length << 8 | view.bytes[i];
    if (length > size - 8) return LLMQ_E_TRUNCATED;
    view.data = 8 + (size_t)length;
    status = json_open(&view.header, view.bytes + 8, (size_t)length);
    if (status == LLMQ_E_TRUNCATED) return LLMQ_E_CORRUPT; /* the header is shorter than its length */
    if (status == LLMQ_OK) status = safetensors__check(&view);
    if (status == LLMQ_OK) *s = view;
    return status;
}

/* ---- the index ---- */

static llmq_status safetensors__file(const safetensors_place *p)
{
    size_t i;
    for (i = 0; i < p->file_length; i++) {
        unsigned char byte = (unsigned char)p->file[i];
        if (byte < 0x20 || byte == '/' || byte == ':' || (byte == '.' && i == 0)) return LLMQ_E_CORRUPT;
    }
    return LLMQ_OK;
}

llmq_status safetensors_index_next(const safetensors_index *x, size_t *at, safetensors_place *p)
{
    json_value key, value;
    llmq_status status = json_next(&x->map, at, &key, &value);
    if (status == LLMQ_OK) status = safetensors__name(&key, &p->name, &p->name_length);
    if (status == LLMQ_OK) status = safetensors__name(&value, &p->file, &p->file_length);
    return status == LLMQ_OK ? safetensors__file(p) : status;
}

llmq_status safetensors_index_find(const safetensors_index *x, const char *name, safetensors_place *p)
{
    safetensors_place each;
    size_t at = 0, n = strlen(name);
    while (safetensors_index_next(x, &at, &each) == LLMQ_OK)
        if (each.name_length == n && memcmp(each.name, name, n) == 0) {
            *p = each;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

llmq_status safetensors_index_open(safetensors_index *x, const void *text, size_t size)
{
    safetensors_index view;
    safetensors_place p;
    json_value root, key, value;
    size_t at = 0;
    int maps = 0;
    llmq_status status;
    if (!x || !text) return LLMQ_E_ARG;
    memset(&view, 0, sizeof view);
    status = json_open(&root, text, size);
    if (status != LLMQ_OK) return status;
    if (root.type != JSON_OBJECT) return LLMQ_E_CORRUPT;
    while (json_next(&root, &at, &key, &value) == LLMQ_OK) {
        if (json_is(&key, "weight_map")) {
            view.map = value;
            maps++;
        } else if (!json_is(&key, "metadata")) return LLMQ_E_UNSUPPORTED;
    }
    if (maps != 1 || view.map.type != JSON_OBJECT) return LLMQ_E_CORRUPT;
    at = 0;
    while ((status = safetensors_index_next(&view, &at, &p)) == LLMQ_OK) {
        if (view.tensors == SAFETENSORS_MAX_INDEX) return LLMQ_E_LIMIT;
        view.tensors++;
    }
    if (status == LLMQ_E_NOT_FOUND) status = json_distinct(&view.map);
    if (status == LLMQ_OK) *x = view;
    return status;
}

#ifdef __cplusplus
}
#endif
#undef SAFETENSORS__F32
#undef SAFETENSORS__F16
#undef SAFETENSORS__BF16
#undef SAFETENSORS__TYPES
#undef SAFETENSORS__SORTED
#undef SAFETENSORS_IMPLEMENTATION
#endif
