/* llama2c.h - reader for the checkpoints and tokenizers of llama2.c - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define LLAMA2C_IMPLEMENTATION
       #include "llama2c.h"

   Checkpoint ("legacy", fp32): seven int32 (dim, hidden, layers, heads, kv heads, vocab, context; a
   negative vocab means that the classifier is not shared), then the tensors, each kind for all
   layers. llama2c_entries lists them as bundle entries in the names of lm.h. Nothing is copied,
   so entries live as long as the bytes.
   The file has the cosines and sines of the rotary embedding, from which its base, theta, follows.
   theta is computed from row 1, and all other rows must agree with it. If the tables are 0, theta
   is 10000. The file does not have the epsilon of its norms: llama2c_checkpoint.epsilon is 1e-5, or
   the value that the caller sets before llama2c_entries.

   Tokenizer: int32 longest piece, then for each id float score, int32 length, bytes, to the end of
   the file. Ids 0, 1, 2 are <unk>, BOS, EOS. Id 3 + b is the byte b, whatever its piece says. Ids of
   the model from the tokenizer's count on are padding. tokenizer_read.h makes a tokenizer of
   tokenizer.h of it.
   Every length is checked. */
#ifndef LLAMA2C_H
#define LLAMA2C_H

#include "../llmq.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LLAMA2C_BOS 1u
#define LLAMA2C_EOS 2u

typedef struct llama2c_checkpoint {
    uint32_t dim, hidden, layers, heads, kv_heads, vocab, context;
    int shared;                 /* 1: the embedding is the classifier, too */
    float theta;                /* base of the rotary embedding */
    float epsilon;              /* added to the mean square in norms: 1e-5; the caller may change it */
    uint32_t fault[2];          /* after LLMQ_E_UNSUPPORTED: position and pair whose cosine or sine disagrees */
    unsigned char value[9][4];  /* the seven of the header, theta and epsilon, as bundle values */
    const unsigned char *bytes;
    size_t size;
} llama2c_checkpoint;

/* Reads the header of a checkpoint and checks the total size and the rotary embedding. bytes: size
   bytes, which stay in use.
   Errors:
     LLMQ_E_MAGIC        a value in the header that no model has
     LLMQ_E_TRUNCATED    the file ends before its last tensor does
     LLMQ_E_CORRUPT      bytes after the last tensor
     LLMQ_E_UNSUPPORTED  the cosines and sines have no theta from 1 to 1e30 (scaled embeddings have none);
                         c->fault says where */
llmq_status llama2c_open(llama2c_checkpoint *c, const void *bytes, size_t size);

/* The count of entries, and the entries, for llmq_bundle_write.
   entries: [llama2c_entry_count(c)]. names: 32 bytes for each.
   Theta and epsilon are entries only if they are not the defaults of lm.h. */
uint32_t llama2c_entry_count(const llama2c_checkpoint *c);
void llama2c_entries(llama2c_checkpoint *c, llmq_entry *entries, char *names);

#define LLAMA2C_LEAST 259u      /* pieces: the three special ones and the bytes */

typedef struct llama2c_tokenizer {
    const unsigned char *bytes;
    uint32_t count;             /* pieces; after an error: pieces before the wrong one, or all if there are too many */
} llama2c_tokenizer;

/* Reads a tokenizer of at most `vocab` ids.
   bytes: size bytes, which stay in use.
   Errors:
     LLMQ_E_TRUNCATED   the file ends within a piece
     LLMQ_E_LIMIT       more than `vocab` pieces
     LLMQ_E_CORRUPT     fewer than LLAMA2C_LEAST pieces
     LLMQ_E_NOT_FINITE  a score is NaN */
llmq_status llama2c_tokenizer_open(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab);

/* The pieces one after another, t->count of them, which is not checked here.
   at: 0 for the first; afterwards where the next one is.
   s: *length bytes, not ended by 0. */
void llama2c_next_piece(const llama2c_tokenizer *t, size_t *at, float *score, const char **s, uint32_t *length);

#ifdef __cplusplus
}
#endif
#endif /* LLAMA2C_H */

#ifdef LLAMA2C_IMPLEMENTATION
#include <math.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

static uint32_t llama2c__u32(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* A kind of tensor of a checkpoint. name NULL: the tables of the rotary embedding, which are no
   entry.
   rows 0: not in this file. */
typedef struct llama2c__part {
    const char *name;
    int per_layer;
    uint32_t rows, cols;
} llama2c__part;

#define LLAMA2C__PARTS 13

/* The kinds of tensors in file order. heads is not 0, for llama2c_open checks it first. */
static void llama2c__parts(const llama2c_checkpoint *c, llama2c__part *p)
{
    uint32_t d = c->dim, h = c->hidden, kv = d / c->heads * c->kv_heads, half = d / c->heads / 2;
    const llama2c__part parts[LLAMA2C__PARTS] = {
        { "embed", 0, c->vocab, d }, { "norm1", 1, 1, d }, { "wq", 1, d, d }, { "wk", 1, kv, d },
        { "wv", 1, kv, d }, { "wo", 1, d, d }, { "norm2", 1, 1, d }, { "w1", 1, h, d }, { "w2", 1, d, h },
        { "w3", 1, h, d }, { "norm", 0, 1, d }, { NULL, 0, 2 * c->context, half },
        { "classifier", 0, c->shared ? 0 : c->vocab, d }
    };
    memcpy(p, parts, sizeof parts);
}

static float llama2c__f32(const unsigned char *b)
{
    uint32_t u = llama2c__u32(b);
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static void llama2c__store(unsigned char *b, uint32_t u)
{
    int i;
    for (i = 0; i < 4; i++) b[i] = (unsigned char)(u >> 8 * i & 255);
}

static void llama2c__store_float(unsigned char *b, float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    llama2c__store(b, u);
}

/* Computes theta from row 1 of the tables; 0 if no theta from 1 to 1e30 has this row. half >= 2.
   The last angle of the row, theta^(-(half - 1) / half), determines theta best: it is small, so a
   float holds its sine to a relative 6e-8. Makers compute it in float, which leaves theta uncertain
   in its sixth digit: a theta of four digits is taken if one is within 4e-6.
   check: 2**-24 < 6e-8 */
static double llama2c__theta_of(const unsigned char *cosine, const unsigned char *sine, uint32_t half)
{
    const double angle = atan2((double)llama2c__f32(sine + 4 * (2 * (size_t)half - 1)),
                               (double)llama2c__f32(cosine + 4 * (2 * (size_t)half - 1)));
    double theta = angle > 0 && angle <= 1.001 ? exp(-log(angle) * half / (half - 1)) : 0, unit, nearest;
    if (!(theta >= 0.999 && theta <= 1.001e30)) return 0;
    unit = pow(10.0, floor(log10(theta)) - 3);
    nearest = floor(theta / unit + 0.5) * unit;
    return fabs(nearest - theta) <= 4e-6 * theta ? nearest : theta;
}

/* Sets c->theta from the tables, context x half cosines and as many sines, and checks all their
   rows. Tables of zeros, and heads of one pair, which rotate by the position whatever theta is,
   give 10000. The tolerance is 4e-6, and 2e-6 of the angle: makers multiply position and frequency
   in float. */
static llmq_status llama2c__read_theta(llama2c_checkpoint *c, const unsigned char *cosine)
{
    const uint32_t half = c->dim / c->heads / 2;
    const size_t n = (size_t)c->context * half;
    const unsigned char *sine = cosine + 4 * n;
    double theta = 10000, frequency;
    uint32_t p, i;
    size_t k;
    for (k = 0; k < 8 * n && cosine[k] == 0; k++) {}
    c->theta = 10000.0f;
    if (k == 8 * n) return LLMQ_OK;
    c->fault[0] = 1, c->fault[1] = half - 1;
    if (c->context > 1 && half > 1 && (theta = llama2c__theta_of(cosine, sine, half)) <= 0) return LLMQ_E_UNSUPPORTED;
    c->theta = (float)theta;
    for (i = 0; i < half; i++) {
        frequency = pow(theta, -(double)i / half);
        for (p = 0; p < c->context; p++) {
            const double angle = p * frequency, most = 4e-6 + 2e-6 * angle;
            k = 4 * ((size_t)p * half + i);
            if (fabs(cos(angle) - (double)llama2c__f32(cosine + k)) <= most
                && fabs(sin(angle) - (double)llama2c__f32(sine + k)) <= most)
                continue;
            c->fault[0] = p, c->fault[1] = i;
            return LLMQ_E_UNSUPPORTED;
        }
    }
    return LLMQ_OK;
}

/* Values are limited to 2^22, so that twice a value fits 32 bits. Sizes are compared by division,
   so that nothing overflows where size_t has 32 bits. The tensors must fill the file exactly. */
llmq_status llama2c_open(llama2c_checkpoint *c, const void *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    llama2c__part part[LLAMA2C__PARTS];
    uint32_t v[7], i;
    size_t rest, table = 0;
    memset(c, 0, sizeof *c);
    if (size < 28) return LLMQ_E_TRUNCATED;
    for (i = 0; i < 7; i++) v[i] = llama2c__u32(b + 4 * i);
    c->shared = v[5] < 0x80000000u;
    if (!c->shared) v[5] = 0u - v[5];
    for (i = 0; i < 7; i++) {
        if (v[i] < 1 || v[i] > 1u << 22) return LLMQ_E_MAGIC;
        llama2c__store(c->value[i], v[i]);
    }
    c->dim = v[0], c->hidden = v[1], c->layers = v[2], c->heads = v[3], c->kv_heads = v[4], c->vocab = v[5],
        c->context = v[6];
    if (c->dim % c->heads || c->heads % c->kv_heads || c->dim / c->heads % 2) return LLMQ_E_MAGIC;
    llama2c__parts(c, part);
    rest = (size - 28) / sizeof(float);
    for (i = 0; i < LLAMA2C__PARTS; i++) {
        uint32_t times = part[i].per_layer ? c->layers : 1;
        if (part[i].rows == 0) continue;
        if (!part[i].name) table = (size - 28) / sizeof(float) - rest;
        if (rest / part[i].rows / part[i].cols < times) return LLMQ_E_TRUNCATED;
        rest -= (size_t)part[i].rows * part[i].cols * times;
    }
    if (rest != 0 || (size - 28) % sizeof(float) != 0) return LLMQ_E_CORRUPT;
    c->bytes = b;
    c->size = size;
    c->epsilon = 1e-5f;
    return llama2c__read_theta(c, b + 28 + table * sizeof(float));
}

/* 1 if value i, of nine, is an entry: theta (7) and epsilon (8) only if they are not the
   defaults. */
static int llama2c__has_value(const llama2c_checkpoint *c, uint32_t i)
{
    if (i == 7) return c->theta < 10000.0f || c->theta > 10000.0f;
    if (i == 8) return c->epsilon < 1e-5f || c->epsilon > 1e-5f;
    return 1;
}

uint32_t llama2c_entry_count(const llama2c_checkpoint *c)
{
    return 7 + (uint32_t)llama2c__has_value(c, 7) + (uint32_t)llama2c__has_value(c, 8) + 9 * c->layers + 2 + !c->shared;
}

/* Writes "layers.LAYER.WHAT", or `what`, to name[32] and returns it. */
static char *llama2c__name(char *name, int per_layer, uint32_t layer, const char *what)
{
    char *s = name, digits[10];
    int d = 0;
    if (per_layer) {
        memcpy(s, "layers.", 7);
        s += 7;
        do digits[d++] = (char)('0' + layer % 10); while ((layer /= 10) != 0);
        while (d) *s++ = digits[--d];
        *s++ = '.';
    }
    memcpy(s, what, strlen(what) + 1);
    return name;
}

/* `at` goes through all tensors of the file, also through those that are no entry. Values point
   into c->value, so *c must live as long as the entries. t2 = -1: the error of the format is not
   known. */
void llama2c_entries(llama2c_checkpoint *c, llmq_entry *e, char *names)
{
    static const char *const value[9] = { "lm.dim", "lm.hidden", "lm.layers", "lm.heads", "lm.kv_heads", "lm.vocab",
                                          "lm.context", "lm.rope_theta", "lm.norm_epsilon" };
    llama2c__part part[LLAMA2C__PARTS];
    const unsigned char *at = c->bytes + 28;
    llmq_format f32;
    uint32_t i, l;
    memset(e, 0, llama2c_entry_count(c) * sizeof *e);
    llama2c__store_float(c->value[7], c->theta);
    llama2c__store_float(c->value[8], c->epsilon);
    for (i = 0; i < 9; i++) {
        if (!llama2c__has_value(c, i)) continue;
        e->name = value[i];
        e->kind = LLMQ_KIND_VALUE;
        e->type = i < 7 ? LLMQ_VALUE_U32 : LLMQ_VALUE_F32;
        e->data = c->value[i];
        e->size = 4;
        e++;
    }
    llama2c__parts(c, part);
    if (llmq_format_find(&f32, "f32", 0) != LLMQ_OK) return;
    for (i = 0; i < LLAMA2C__PARTS; i++)
        for (l = 0; l < (part[i].per_layer ? c->layers : 1); l++) {
            size_t size = (size_t)part[i].rows * part[i].cols * sizeof(float);
            if (part[i].name && part[i].rows) {
                e->name = llama2c__name(names, part[i].per_layer, l, part[i].name);
                e->kind = LLMQ_KIND_TENSOR;
                e->format = f32;
                e->rows = part[i].rows;
                e->cols = part[i].cols;
                e->t2 = -1.0f;
                e->data = at;
                e->size = size;
                e++;
                names += 32;
            }
            at += size;
        }
}

/* Pieces beyond vocab are counted, too, so that the caller can say how many there are. */
llmq_status llama2c_tokenizer_open(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab)
{
    size_t at = 4;
    t->bytes = (const unsigned char *)bytes;
    t->count = 0;
    if (size < 4) return LLMQ_E_TRUNCATED;
    while (at < size) {
        const char *s;
        uint32_t length;
        float score;
        if (size - at < 8 || llama2c__u32(t->bytes + at + 4) > size - at - 8) return LLMQ_E_TRUNCATED;
        llama2c_next_piece(t, &at, &score, &s, &length);
        if (score != score) return LLMQ_E_NOT_FINITE;
        t->count++;
    }
    if (t->count > vocab) return LLMQ_E_LIMIT;
    return t->count < LLAMA2C_LEAST ? LLMQ_E_CORRUPT : LLMQ_OK;
}

void llama2c_next_piece(const llama2c_tokenizer *t, size_t *at, float *score, const char **s, uint32_t *length)
{
    const unsigned char *b = t->bytes + (*at ? *at : 4);
    *score = llama2c__f32(b);
    *length = llama2c__u32(b + 4);
    *s = (const char *)b + 8;
    *at = (size_t)(b - t->bytes) + 8 + *length;
}

#ifdef __cplusplus
}
#endif
#undef LLAMA2C_IMPLEMENTATION
#endif
