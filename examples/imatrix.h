/* imatrix.h - reader and writer of llama.cpp's importance matrices, in both their forms - public
   domain or MIT

   Do this in one C or C++ file, after llmq.h and gguf.h (with its implementation in some file):
       #define IMATRIX_IMPLEMENTATION
       #include "imatrix.h"

   An importance matrix says for each weight matrix, by name, how large the inputs of its columns
   were over a calibration text: sums of x^2, and how many x were added. What both sides use is
   the quotient, E[x^2] of each column.

   GGUF (llama.cpp since July 2025): general.type "imatrix"; imatrix.datasets,
   imatrix.chunk_count, imatrix.chunk_size; and for each matrix two f32 tensors, NAME.in_sum2
   [cols x experts] and NAME.counts [1 x experts], counts in tokens. Other keys and tensors
   (NAME.in_sum of later versions) are passed over. Versions 2 and 3, little-endian.

   Legacy (imatrix.dat): int32 entries; each int32 length, name, int32 calls, int32 values,
   floats; then, in later files, int32 chunks, int32 length, name of the text. The floats are
   E[x^2] times calls, where calls is about the number of chunks; the number of experts is not
   recorded, so the columns of all of them look like those of one.

   Every length is checked; all memory is the caller's; nothing is copied, so views live as long
   as the bytes. */
#ifndef IMATRIX_H
#define IMATRIX_H

#include "../llmq.h"
#include "gguf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMATRIX_GGUF   0
#define IMATRIX_LEGACY 1

#define IMATRIX_MAX_ENTRIES 4096u  /* a malicious file takes time with the square of this, up to a second a call */
/* bytes of a name to be written: llama.cpp's tensor names have at most 63, suffix included */
#define IMATRIX_MAX_NAME 55u

/* ---- reading ---- */

typedef struct imatrix {
    int form;                          /* IMATRIX_GGUF or IMATRIX_LEGACY */
    uint32_t count;                    /* entries, at least 1 */
    uint32_t chunk_count, chunk_size;  /* 0: the file does not say; chunk_size in tokens */
    uint32_t datasets;                 /* names of calibration texts */
    const unsigned char *bytes;
    size_t size;
    gguf file;                         /* form GGUF */
    size_t dataset, first, end;        /* legacy: where the text's name, the entries and their end are */
} imatrix;

typedef struct imatrix_entry {
    const char *name;            /* not terminated */
    size_t name_length;
    uint32_t cols, experts;
    int form;
    const unsigned char *sums;   /* experts x cols floats, little-endian, not aligned */
    const unsigned char *counts; /* GGUF: experts floats; legacy: an int32 */
} imatrix_entry;

/* Find out the form and check everything that the other calls rely on.
   Errors: LLMQ_E_MAGIC (neither form, or a GGUF file of something else), LLMQ_E_TRUNCATED,
   LLMQ_E_CORRUPT (no entries, sums without counts, ...), LLMQ_E_UNSUPPORTED (version, nested
   arrays, statistics that are not f32), LLMQ_E_LIMIT (entries, or 2^31 numbers in one); and as
   gguf_open. */
LLMQ_NODISCARD llmq_status imatrix_open(imatrix *m, const void *bytes, size_t size);

/* The next entry in the order of the file: *at is 0 before the first. LLMQ_E_NOT_FOUND past the end. */
LLMQ_NODISCARD llmq_status imatrix_next(const imatrix *m, size_t *at, imatrix_entry *e);

/* Entry by name; of several (in the legacy form) the last, as llama.cpp does. Errors: LLMQ_E_NOT_FOUND. */
LLMQ_NODISCARD llmq_status imatrix_find(const imatrix *m, const char *name, imatrix_entry *e);

/* What the sums of an expert are to be divided by: tokens, or calls in the legacy form. It is
   what the file says, even a NaN. */
float imatrix_count(const imatrix_entry *e, uint32_t expert);

/* E[x^2] of the columns of an expert (an ordinary matrix has one): e->cols numbers, finite and
   not negative. Where the count is not above 0 (an expert that was never called, a NaN)
   llama.cpp's choice: 1 for all columns; in the legacy form the floats as they are. Errors:
   LLMQ_E_ARG (expert), LLMQ_E_CORRUPT (a negative, infinite or NaN result, an infinite count);
   out is then untouched. */
LLMQ_NODISCARD llmq_status imatrix_mean(const imatrix_entry *e, uint32_t expert, float *out);

/* Name of calibration text i, not terminated; of length 0 from m->datasets on. */
const char *imatrix_dataset(const imatrix *m, uint32_t i, size_t *length);

/* ---- writing ---- */

typedef struct imatrix_source {
    const char *name;
    uint32_t cols, experts;  /* experts: 1 for an ordinary matrix */
    const float *sums;       /* experts x cols, finite and not negative */
    const float *counts;     /* experts of them, in tokens: whole numbers below 2^31, since llama.cpp rounds others */
} imatrix_source;

typedef struct imatrix_origin {
    const char *dataset;               /* name of the calibration text; NULL for none */
    uint32_t chunk_count, chunk_size;  /* chunk_size in tokens, at least 1 */
} imatrix_origin;

/* Bytes that imatrix_write writes; 0 if they do not fit size_t, or if it would refuse the names or shapes. */
size_t imatrix_size(int form, const imatrix_source *source, uint32_t count, const imatrix_origin *origin);

/* Write count entries in the order given (llama.cpp sorts by name). The bytes depend on the
   arguments alone. Quantizing with either form gives the same importance up to the rounding of a
   product and a quotient; a never called expert 1, in both.
   Errors: LLMQ_E_ARG (a NULL or empty name, one that occurs twice, no entries, a shape of 0, a
   negative sum, a count that is not a whole number, chunk_size 0, chunk_count over 2^31 - 1),
   LLMQ_E_LIMIT (entries, bytes of a name, numbers in an entry), LLMQ_E_NOT_FINITE (a sum, or a
   legacy value that overflows), LLMQ_E_WORKSPACE. */
LLMQ_NODISCARD llmq_status imatrix_write(int form, const imatrix_source *source, uint32_t count,
                                         const imatrix_origin *origin, void *out, size_t size);

/* ---- names ----

   "blk.N.attn_q.weight" of llama.cpp is "layers.N.wq" of lm.h, and so on for all matrices.
   Their columns agree: where GGUF files permute wq and wk for another rotary embedding, they
   permute rows. name has length bytes; out gets at most 64 with the terminator. N is below 2^32,
   without a sign or zeros in front. Errors: LLMQ_E_NOT_FOUND, and out is untouched. */
LLMQ_NODISCARD llmq_status imatrix_name_to_llmq(const char *name, size_t length, char out[64]);
LLMQ_NODISCARD llmq_status imatrix_name_from_llmq(const char *name, size_t length, char out[64]);

#ifdef __cplusplus
}
#endif
#endif /* IMATRIX_H */

#ifdef IMATRIX_IMPLEMENTATION
#include <float.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMATRIX__MOST 0x7fffffffu /* what an int32 of the legacy form holds */

/* ---- reading bytes: after an error a cursor gives zeros and stays where it is ---- */

typedef struct imatrix__cursor {
    const unsigned char *bytes;
    size_t size, at;
    llmq_status status;
} imatrix__cursor;

typedef struct imatrix__text {
    const char *s;
    size_t n;
} imatrix__text;

static imatrix__cursor imatrix__begin(const imatrix *m, size_t at)
{
    imatrix__cursor c;
    c.bytes = m->bytes;
    c.size = m->size;
    c.at = at;
    c.status = LLMQ_OK;
    return c;
}

static void imatrix__fail(imatrix__cursor *c, llmq_status status)
{
    if (c->status == LLMQ_OK) c->status = status;
}

/* n units of bytes; NULL if they are not there. */
static const unsigned char *imatrix__take(imatrix__cursor *c, uint32_t n, uint32_t unit)
{
    const unsigned char *p = c->bytes + c->at;
    if (n > (c->size - c->at) / unit) imatrix__fail(c, LLMQ_E_TRUNCATED);
    if (c->status != LLMQ_OK) return NULL;
    c->at += (size_t)n * unit;
    return p;
}

static uint32_t imatrix__load(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static float imatrix__float(const unsigned char *b)
{
    uint32_t u = imatrix__load(b);
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static uint32_t imatrix__u32(imatrix__cursor *c)
{
    const unsigned char *p = imatrix__take(c, 4, 1);
    return p ? imatrix__load(p) : 0;
}

/* An int32 that must be in low ... 2^31 - 1. */
static uint32_t imatrix__i32(imatrix__cursor *c, uint32_t low)
{
    uint32_t v = imatrix__u32(c);
    if (v < low || v > IMATRIX__MOST) imatrix__fail(c, LLMQ_E_CORRUPT);
    return c->status == LLMQ_OK ? v : 0;
}

static imatrix__text imatrix__string(imatrix__cursor *c, uint32_t n)
{
    imatrix__text t;
    t.s = (const char *)imatrix__take(c, n, 1);
    t.n = t.s ? (size_t)n : 0;
    if (!t.s) t.s = "";
    return t;
}

/* ---- GGUF ---- */

static int imatrix__ends(const gguf_tensor *t, const char *suffix)
{
    size_t n = strlen(suffix);
    return t->name_length > n && memcmp(t->name + t->name_length - n, suffix, n) == 0;
}

/* The numbers of a tensor. */
static llmq_status imatrix__floats(const gguf_tensor *t, const unsigned char **floats, uint32_t *count)
{
    if (t->type != 0) return LLMQ_E_UNSUPPORTED; /* not f32 */
    if (t->size / 4 > IMATRIX__MOST) return LLMQ_E_LIMIT;
    *floats = t->data;
    *count = (uint32_t)(t->size / 4);
    return LLMQ_OK;
}

/* The counts of sums: mostly right after them, so the search begins there (*at) and goes round. */
static llmq_status imatrix__partner(const imatrix *m, size_t at, const gguf_tensor *sums, gguf_tensor *counts)
{
    size_t start = at, base = sums->name_length - 8;
    int round;
    for (round = 0; round < 2; round++, at = 0)
        while ((round == 0 || at < start) && gguf_next_tensor(&m->file, &at, counts) == LLMQ_OK)
            if (counts->name_length == base + 7 && imatrix__ends(counts, ".counts")
                && memcmp(counts->name, sums->name, base) == 0)
                return LLMQ_OK;
    return LLMQ_E_CORRUPT;
}

static llmq_status imatrix__next_gguf(const imatrix *m, size_t *at, imatrix_entry *e)
{
    gguf_tensor sums, counts;
    uint32_t numbers = 0;
    llmq_status status;
    do {
        if ((status = gguf_next_tensor(&m->file, at, &sums)) != LLMQ_OK) return status;
    } while (!imatrix__ends(&sums, ".in_sum2"));
    if ((status = imatrix__partner(m, *at, &sums, &counts)) != LLMQ_OK) return status;
    e->form = m->form;
    e->name = sums.name;
    e->name_length = sums.name_length - 8;
    if ((status = imatrix__floats(&sums, &e->sums, &numbers)) != LLMQ_OK) return status;
    if ((status = imatrix__floats(&counts, &e->counts, &e->experts)) != LLMQ_OK) return status;
    if (numbers % e->experts) return LLMQ_E_CORRUPT;
    e->cols = numbers / e->experts;
    return LLMQ_OK;
}

/* A value that is an u32; 0 if there is none. */
static llmq_status imatrix__number(const gguf *file, const char *key, uint32_t *number)
{
    gguf_value v;
    if (gguf_find_value(file, key, &v) != LLMQ_OK) return LLMQ_OK;
    if (v.array || v.type != GGUF_U32) return LLMQ_E_CORRUPT;
    *number = imatrix__load(v.at);
    return LLMQ_OK;
}

static llmq_status imatrix__open_gguf(imatrix *m)
{
    gguf_value v;
    gguf_tensor t;
    const char *type;
    size_t at = 0, length;
    uint32_t counts = 0;
    llmq_status status = gguf_open(&m->file, m->bytes, m->size);
    if (status != LLMQ_OK) return status;
    if (gguf_find_value(&m->file, "general.type", &v) == LLMQ_OK
        && (v.array || gguf_string(&v, &at, &type, &length) != LLMQ_OK || length != 7
            || memcmp(type, "imatrix", 7) != 0))
        return LLMQ_E_MAGIC;
    if ((status = imatrix__number(&m->file, "imatrix.chunk_count", &m->chunk_count)) != LLMQ_OK) return status;
    if ((status = imatrix__number(&m->file, "imatrix.chunk_size", &m->chunk_size)) != LLMQ_OK) return status;
    if (gguf_find_value(&m->file, "imatrix.datasets", &v) == LLMQ_OK) {
        if (!v.array || v.type != GGUF_STRING) return LLMQ_E_CORRUPT;
        if (v.count > IMATRIX__MOST) return LLMQ_E_LIMIT;
        m->datasets = (uint32_t)v.count;
    }
    for (at = 0; gguf_next_tensor(&m->file, &at, &t) == LLMQ_OK;) {
        m->count += (uint32_t)imatrix__ends(&t, ".in_sum2");
        counts += (uint32_t)imatrix__ends(&t, ".counts");
    }
    if (m->count == 0 || m->count != counts) return LLMQ_E_CORRUPT;
    return m->count > IMATRIX_MAX_ENTRIES ? LLMQ_E_LIMIT : LLMQ_OK;
}

/* ---- legacy ---- */

static llmq_status imatrix__next_legacy(const imatrix *m, size_t *at, imatrix_entry *e)
{
    imatrix__cursor c = imatrix__begin(m, *at ? *at : m->first);
    imatrix__text name;
    if (m->end && c.at >= m->end) return LLMQ_E_NOT_FOUND;
    name = imatrix__string(&c, imatrix__i32(&c, 1));
    e->form = m->form;
    e->name = name.s;
    e->name_length = name.n;
    e->counts = imatrix__take(&c, 4, 1);
    e->experts = 1;
    e->cols = imatrix__i32(&c, 1);
    e->sums = imatrix__take(&c, e->cols, 4);
    *at = c.at;
    return c.status;
}

static llmq_status imatrix__open_legacy(imatrix *m)
{
    imatrix__cursor c = imatrix__begin(m, 4);
    imatrix_entry e;
    llmq_status status;
    uint32_t i;
    m->count = imatrix__load(m->bytes);
    if (m->count == 0 || m->count > IMATRIX_MAX_ENTRIES) return LLMQ_E_MAGIC;
    m->first = 4;
    for (i = 0; i < m->count; i++)
        if ((status = imatrix__next_legacy(m, &c.at, &e)) != LLMQ_OK) return status;
    m->end = c.at;
    if (c.at == c.size) return LLMQ_OK;
    m->chunk_count = imatrix__i32(&c, 0);
    if (c.status != LLMQ_OK || c.at == c.size) return c.status;
    m->dataset = c.at;
    m->datasets = imatrix__string(&c, imatrix__i32(&c, 0)).n > 0;
    return c.status;
}

/* ---- both ---- */

llmq_status imatrix_open(imatrix *m, const void *bytes, size_t size)
{
    imatrix view;
    imatrix_entry e;
    size_t at = 0;
    llmq_status status;
    if (!m || !bytes) return LLMQ_E_ARG;
    if (size < 4) return LLMQ_E_TRUNCATED;
    memset(&view, 0, sizeof view);
    view.bytes = (const unsigned char *)bytes;
    view.size = size;
    view.form = memcmp(bytes, "GGUF", 4) == 0 ? IMATRIX_GGUF : IMATRIX_LEGACY;
    status = view.form == IMATRIX_GGUF ? imatrix__open_gguf(&view) : imatrix__open_legacy(&view);
    while (status == LLMQ_OK) status = imatrix_next(&view, &at, &e);
    if (status != LLMQ_E_NOT_FOUND) return status;
    *m = view;
    return LLMQ_OK;
}

llmq_status imatrix_next(const imatrix *m, size_t *at, imatrix_entry *e)
{
    return m->form == IMATRIX_GGUF ? imatrix__next_gguf(m, at, e) : imatrix__next_legacy(m, at, e);
}

llmq_status imatrix_find(const imatrix *m, const char *name, imatrix_entry *e)
{
    llmq_status status = LLMQ_E_NOT_FOUND;
    size_t at = 0, n = strlen(name);
    imatrix_entry each;
    while (imatrix_next(m, &at, &each) == LLMQ_OK)
        if (each.name_length == n && memcmp(each.name, name, n) == 0) {
            *e = each;
            status = LLMQ_OK;
        }
    return status;
}

float imatrix_count(const imatrix_entry *e, uint32_t expert)
{
    uint32_t calls = imatrix__load(e->counts);
    if (e->form == IMATRIX_GGUF) return imatrix__float(e->counts + (size_t)expert * 4);
    return calls > IMATRIX__MOST ? -(float)(0u - calls) : (float)calls;
}

llmq_status imatrix_mean(const imatrix_entry *e, uint32_t expert, float *out)
{
    float count;
    uint32_t i;
    int store;
    if (!e || !out || expert >= e->experts) return LLMQ_E_ARG;
    count = imatrix_count(e, expert);
    if (count > FLT_MAX) return LLMQ_E_CORRUPT;
    for (store = 0; store < 2; store++)
        for (i = 0; i < e->cols; i++) {
            float x = imatrix__float(e->sums + ((size_t)expert * e->cols + i) * 4);
            if (count > 0.0f) x = x / count;
            else if (e->form == IMATRIX_GGUF) x = 1.0f;
            if (!(x >= 0.0f && x <= FLT_MAX)) return LLMQ_E_CORRUPT;
            if (store) out[i] = x;
        }
    return LLMQ_OK;
}

const char *imatrix_dataset(const imatrix *m, uint32_t i, size_t *length)
{
    imatrix__cursor c = imatrix__begin(m, m->dataset);
    imatrix__text t = { "", 0 };
    gguf_value v;
    size_t at = 0;
    uint32_t k;
    if (i < m->datasets && m->form == IMATRIX_LEGACY) t = imatrix__string(&c, imatrix__u32(&c));
    else if (i < m->datasets && gguf_find_value(&m->file, "imatrix.datasets", &v) == LLMQ_OK)
        for (k = 0; k <= i && gguf_string(&v, &at, &t.s, &t.n) == LLMQ_OK; k++) {}
    *length = t.n;
    return t.s;
}

/* ---- writing: without memory a writer only counts ---- */

typedef struct imatrix__writer {
    unsigned char *out;
    uint64_t at;
} imatrix__writer;

static void imatrix__put(imatrix__writer *w, const char *s, size_t n)
{
    if (w->out) memcpy(w->out + (size_t)w->at, s, n);
    w->at += n;
}

static void imatrix__put_number(imatrix__writer *w, uint64_t v, int width)
{
    for (; width > 0; width--, v >>= 8, w->at++)
        if (w->out) w->out[(size_t)w->at] = (unsigned char)(v & 255);
}

static void imatrix__put_float(imatrix__writer *w, float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    imatrix__put_number(w, u, 4);
}

static void imatrix__put_string(imatrix__writer *w, const char *s)
{
    imatrix__put_number(w, strlen(s), 8);
    imatrix__put(w, s, strlen(s));
}

static void imatrix__put_pad(imatrix__writer *w)
{
    while (w->at % 32) imatrix__put_number(w, 0, 1);
}

/* As ggml does, without last dimensions of 1. */
static void imatrix__put_tensor(imatrix__writer *w, const char *name, const char *suffix, uint32_t cols, uint32_t rows,
                                uint64_t *offset)
{
    imatrix__put_number(w, strlen(name) + strlen(suffix), 8);
    imatrix__put(w, name, strlen(name));
    imatrix__put(w, suffix, strlen(suffix));
    imatrix__put_number(w, rows > 1 ? 2 : 1, 4);
    imatrix__put_number(w, cols, 8);
    if (rows > 1) imatrix__put_number(w, rows, 8);
    imatrix__put_number(w, 0, 4); /* f32 */
    imatrix__put_number(w, *offset, 8);
    *offset += ((uint64_t)cols * rows * 4 + 31) / 32 * 32;
}

static void imatrix__put_gguf(imatrix__writer *w, const imatrix_source *source, uint32_t count,
                              const imatrix_origin *origin)
{
    uint64_t offset = 0, k;
    uint32_t i;
    imatrix__put(w, "GGUF", 4);
    imatrix__put_number(w, 3, 4);
    imatrix__put_number(w, 2 * (uint64_t)count, 8);
    imatrix__put_number(w, 4, 8);
    imatrix__put_string(w, "general.type");
    imatrix__put_number(w, GGUF_STRING, 4);
    imatrix__put_string(w, "imatrix");
    imatrix__put_string(w, "imatrix.datasets");
    imatrix__put_number(w, GGUF_ARRAY, 4);
    imatrix__put_number(w, GGUF_STRING, 4);
    imatrix__put_number(w, 1, 8); /* an empty name rather than none: llama.cpp prints the first */
    imatrix__put_string(w, origin->dataset ? origin->dataset : "");
    imatrix__put_string(w, "imatrix.chunk_count");
    imatrix__put_number(w, GGUF_U32, 4);
    imatrix__put_number(w, origin->chunk_count, 4);
    imatrix__put_string(w, "imatrix.chunk_size");
    imatrix__put_number(w, GGUF_U32, 4);
    imatrix__put_number(w, origin->chunk_size, 4);
    for (i = 0; i < count; i++) {
        imatrix__put_tensor(w, source[i].name, ".in_sum2", source[i].cols, source[i].experts, &offset);
        imatrix__put_tensor(w, source[i].name, ".counts", 1, source[i].experts, &offset);
    }
    imatrix__put_pad(w);
    if (!w->out) w->at += offset;
    for (i = 0; w->out && i < count; i++) {
        for (k = 0; k < (uint64_t)source[i].cols * source[i].experts; k++) imatrix__put_float(w, source[i].sums[k]);
        imatrix__put_pad(w);
        for (k = 0; k < source[i].experts; k++) imatrix__put_float(w, source[i].counts[k]);
        imatrix__put_pad(w);
    }
}

/* Chunks that went into an entry, rounded up: what a legacy file's values are multiples of. At
   least 1, since values of 0 calls are not divided. */
static uint32_t imatrix__calls(const imatrix_source *s, uint32_t chunk_size)
{
    float most = 1.0f;
    uint32_t k;
    for (k = 0; k < s->experts; k++)
        if (s->counts[k] > most) most = s->counts[k];
    return (uint32_t)(((uint64_t)most + chunk_size - 1) / chunk_size);
}

static float imatrix__legacy_value(const imatrix_source *s, uint64_t k, uint32_t calls)
{
    float count = s->counts[k / s->cols], mean = count > 0.0f ? s->sums[k] / count : 1.0f;
    return mean * (float)calls;
}

static void imatrix__put_legacy(imatrix__writer *w, const imatrix_source *source, uint32_t count,
                                const imatrix_origin *origin)
{
    const char *dataset = origin->dataset ? origin->dataset : "";
    uint32_t i, calls;
    imatrix__put_number(w, count, 4);
    for (i = 0; i < count; i++) {
        uint64_t n = (uint64_t)source[i].cols * source[i].experts, k;
        imatrix__put_number(w, strlen(source[i].name), 4);
        imatrix__put(w, source[i].name, strlen(source[i].name));
        calls = w->out ? imatrix__calls(&source[i], origin->chunk_size) : 0;
        imatrix__put_number(w, calls, 4);
        imatrix__put_number(w, n, 4);
        if (!w->out) w->at += n * 4;
        else for (k = 0; k < n; k++) imatrix__put_float(w, imatrix__legacy_value(&source[i], k, calls));
    }
    imatrix__put_number(w, origin->chunk_count, 4);
    imatrix__put_number(w, strlen(dataset), 4);
    imatrix__put(w, dataset, strlen(dataset));
}

/* All but the numbers. */
static llmq_status imatrix__check_shapes(int form, const imatrix_source *source, uint32_t count,
                                         const imatrix_origin *origin)
{
    uint32_t i, k;
    if ((form != IMATRIX_GGUF && form != IMATRIX_LEGACY) || !source || count == 0 || !origin) return LLMQ_E_ARG;
    if (origin->chunk_size == 0 || origin->chunk_count > IMATRIX__MOST) return LLMQ_E_ARG;
    if (count > IMATRIX_MAX_ENTRIES || (origin->dataset && strlen(origin->dataset) > IMATRIX__MOST))
        return LLMQ_E_LIMIT;
    for (i = 0; i < count; i++) {
        const imatrix_source *s = &source[i];
        if (!s->name || !s->name[0] || s->cols == 0 || s->experts == 0) return LLMQ_E_ARG;
        if (strlen(s->name) > IMATRIX_MAX_NAME || (uint64_t)s->cols * s->experts > IMATRIX__MOST) return LLMQ_E_LIMIT;
        for (k = 0; k < i; k++)
            if (strcmp(s->name, source[k].name) == 0) return LLMQ_E_ARG;
    }
    return LLMQ_OK;
}

static llmq_status imatrix__check_numbers(int form, const imatrix_source *s, uint32_t chunk_size)
{
    uint64_t n = (uint64_t)s->cols * s->experts, k;
    uint32_t calls, i;
    if (!s->sums || !s->counts) return LLMQ_E_ARG;
    for (i = 0; i < s->experts; i++) {
        float c = s->counts[i];
        if (!(c >= 0.0f && c < 2147483648.0f) || (float)(uint32_t)c < c) return LLMQ_E_ARG;
    }
    calls = imatrix__calls(s, chunk_size);
    for (k = 0; k < n; k++) {
        float x = s->sums[k];
        if (x < 0.0f) return LLMQ_E_ARG;
        if (form == IMATRIX_LEGACY && x <= FLT_MAX) x = imatrix__legacy_value(s, k, calls);
        if (!(x <= FLT_MAX)) return LLMQ_E_NOT_FINITE;
    }
    return LLMQ_OK;
}

static uint64_t imatrix__put_all(unsigned char *out, int form, const imatrix_source *source, uint32_t count,
                                 const imatrix_origin *origin)
{
    imatrix__writer w;
    w.out = out;
    w.at = 0;
    if (form == IMATRIX_GGUF) imatrix__put_gguf(&w, source, count, origin);
    else imatrix__put_legacy(&w, source, count, origin);
    return w.at;
}

size_t imatrix_size(int form, const imatrix_source *source, uint32_t count, const imatrix_origin *origin)
{
    uint64_t size;
    if (imatrix__check_shapes(form, source, count, origin) != LLMQ_OK) return 0;
    size = imatrix__put_all(NULL, form, source, count, origin);
    return size > (size_t)-1 ? 0 : (size_t)size;
}

llmq_status imatrix_write(int form, const imatrix_source *source, uint32_t count, const imatrix_origin *origin,
                          void *out, size_t size)
{
    llmq_status status = imatrix__check_shapes(form, source, count, origin);
    uint32_t i;
    if (status == LLMQ_OK && !out) status = LLMQ_E_ARG;
    for (i = 0; i < count && status == LLMQ_OK; i++)
        status = imatrix__check_numbers(form, &source[i], origin->chunk_size);
    if (status != LLMQ_OK) return status;
    if (size < imatrix__put_all(NULL, form, source, count, origin)) return LLMQ_E_WORKSPACE;
    imatrix__put_all((unsigned char *)out, form, source, count, origin);
    return LLMQ_OK;
}

/* ---- names ---- */

/* What is before and after the number of a layer, or a name without one; first llama.cpp's, then lm.h's. */
static const char *const imatrix__names[9][2][2] = {
    { { "blk.", ".attn_q.weight" }, { "layers.", ".wq" } },
    { { "blk.", ".attn_k.weight" }, { "layers.", ".wk" } },
    { { "blk.", ".attn_v.weight" }, { "layers.", ".wv" } },
    { { "blk.", ".attn_output.weight" }, { "layers.", ".wo" } },
    { { "blk.", ".ffn_gate.weight" }, { "layers.", ".w1" } },
    { { "blk.", ".ffn_down.weight" }, { "layers.", ".w2" } },
    { { "blk.", ".ffn_up.weight" }, { "layers.", ".w3" } },
    { { "output.weight", "" }, { "classifier", "" } },
    { { "token_embd.weight", "" }, { "embed", "" } }
};

static llmq_status imatrix__rename(const char *name, size_t length, int from, char *out)
{
    size_t i, k, head, tail;
    for (i = 0; i < 9; i++) {
        const char *const *old = imatrix__names[i][from], *const *now = imatrix__names[i][!from];
        head = strlen(old[0]);
        tail = strlen(old[1]);
        if (length < head + tail || memcmp(name, old[0], head) != 0 || memcmp(name + length - tail, old[1], tail) != 0)
            continue;
        for (k = head; k < length - tail && name[k] >= '0' && name[k] <= '9'; k++) {}
        if (k < length - tail || k - head > 10 || (k > head) != (tail > 0)) continue;
        if (k - head > 1 && name[head] == '0') continue; /* no model has names of that form */
        if (k - head == 10 && memcmp(name + head, "4294967295", 10) > 0) continue;
        memcpy(out, now[0], strlen(now[0]));
        memcpy(out + strlen(now[0]), name + head, k - head);
        memcpy(out + strlen(now[0]) + k - head, now[1], strlen(now[1]) + 1);
        return LLMQ_OK;
    }
    return LLMQ_E_NOT_FOUND;
}

llmq_status imatrix_name_to_llmq(const char *name, size_t length, char out[64])
{
    return imatrix__rename(name, length, 0, out);
}

llmq_status imatrix_name_from_llmq(const char *name, size_t length, char out[64])
{
    return imatrix__rename(name, length, 1, out);
}

#ifdef __cplusplus
}
#endif
#undef IMATRIX_IMPLEMENTATION
#endif
