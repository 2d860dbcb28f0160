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
   the file. Ids 0, 1, 2 are <unk>, BOS, EOS. Id 3 + b is the byte b, whatever its piece says: text
   becomes one of these ids only byte by byte. Ids of the model from the tokenizer's count on are
   padding. Text becomes ids by byte-pair merging. First each character becomes its piece, or its
   bytes if there is no such piece. Then the two neighbours whose joint piece has the highest score
   are merged, the leftmost among equals, as long as there are any.
   All memory is the caller's; every length is checked. */
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

typedef struct llama2c_tokenizer {
    const unsigned char *bytes;
    uint32_t count;             /* pieces; after an error: pieces before the wrong one, or all if there are too many */
    uint32_t *offset;           /* [vocab]: where in bytes the score of an id is */
    uint32_t *sorted;           /* [vocab]: ids from 259 on, ordered by their bytes */
} llama2c_tokenizer;

#define LLAMA2C_LEAST 259u      /* pieces: the three special ones and the bytes */

/* Reads a tokenizer of at most `vocab` ids.
   bytes: size bytes, which stay in use.
   mem: 8 * vocab bytes, aligned for uint32_t.
   Errors:
     LLMQ_E_TRUNCATED   the file ends within a piece
     LLMQ_E_LIMIT       more than `vocab` pieces, or 2 GB
     LLMQ_E_CORRUPT     fewer than LLAMA2C_LEAST pieces
     LLMQ_E_NOT_FINITE  a score is NaN */
llmq_status llama2c_tokenizer_init(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab, uint32_t *mem);

/* Bytes of workspace to encode a text of `size` bytes; 0 for 2^30 bytes and more, and if they do
   not fit size_t. */
size_t llama2c_encode_work_size(size_t size);

/* Encodes a text. Returns the count of ids, without BOS.
   prefix: 1: a space is put before the text, as llama2.c does.
   ids: [size + 1].
   work: llama2c_encode_work_size(size) bytes, aligned for uint32_t. */
uint32_t llama2c_encode(const llama2c_tokenizer *t, const char *text, size_t size, int prefix, uint32_t *ids,
                        void *work);

/* Returns the text of an id that follows `previous`: *length bytes, not ended by 0. After BOS a
   leading space is dropped. Ids without text have length 0.
   byte: 1 byte; the text is there if the id is a byte. */
const char *llama2c_decode(const llama2c_tokenizer *t, uint32_t previous, uint32_t id, char *byte, uint32_t *length);

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

/* An id's length, piece and score. Ids are below t->count. */
static uint32_t llama2c__length(const llama2c_tokenizer *t, uint32_t id)
{
    return llama2c__u32(t->bytes + t->offset[id] + 4);
}

static const char *llama2c__piece(const llama2c_tokenizer *t, uint32_t id)
{
    return (const char *)t->bytes + t->offset[id] + 8;
}

static float llama2c__score(const llama2c_tokenizer *t, uint32_t id) { return llama2c__f32(t->bytes + t->offset[id]); }

/* The order of an id's piece and s[n], as memcmp; of two where one begins with the other the
   shorter is first. */
static int llama2c__compare(const llama2c_tokenizer *t, uint32_t id, const char *s, size_t n)
{
    size_t m = llama2c__length(t, id);
    int order = memcmp(llama2c__piece(t, id), s, m < n ? m : n);
    return order ? order : m < n ? -1 : m > n;
}

/* Pieces beyond vocab are counted and not stored, so that the caller can say how many there are.
   Shell's sort needs no recursion and no memory; equal pieces are ordered by id, so that
   llama2c__find finds the first. */
llmq_status llama2c_tokenizer_init(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab, uint32_t *mem)
{
    size_t at = 4, gap, i, j, n;
    t->bytes = (const unsigned char *)bytes;
    t->count = 0;
    t->offset = mem;
    t->sorted = mem + vocab;
    if (size > 0x7fffffffu) return LLMQ_E_LIMIT;
    if (size < 4) return LLMQ_E_TRUNCATED;
    while (at < size) {
        uint32_t length;
        float score;
        if (size - at < 8) return LLMQ_E_TRUNCATED;
        length = llama2c__u32(t->bytes + at + 4);
        if (length > size - at - 8) return LLMQ_E_TRUNCATED;
        score = llama2c__f32(t->bytes + at);
        if (score != score) return LLMQ_E_NOT_FINITE;
        if (t->count < vocab) t->offset[t->count] = (uint32_t)at;
        t->count++;
        at += 8 + (size_t)length;
    }
    if (t->count > vocab) return LLMQ_E_LIMIT;
    if (t->count < LLAMA2C_LEAST) return LLMQ_E_CORRUPT;
    n = t->count - LLAMA2C_LEAST;
    for (i = 0; i < n; i++) t->sorted[i] = LLAMA2C_LEAST + (uint32_t)i;
    for (gap = n / 2; gap; gap /= 2)
        for (i = gap; i < n; i++)
            for (j = i; j >= gap; j -= gap) {
                uint32_t a = t->sorted[j - gap], b = t->sorted[j];
                int order = llama2c__compare(t, a, llama2c__piece(t, b), llama2c__length(t, b));
                if (order < 0 || (order == 0 && a < b)) break;
                t->sorted[j - gap] = b, t->sorted[j] = a;
            }
    return LLMQ_OK;
}

#define LLAMA2C__NONE 0xffffffffu

/* The id of the piece s[n], the first of equal ones; LLAMA2C__NONE if there is none. Binary search
   in t->sorted. */
static uint32_t llama2c__find(const llama2c_tokenizer *t, const char *s, size_t n)
{
    uint32_t lo = 0, hi = t->count - LLAMA2C_LEAST, end = hi;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (llama2c__compare(t, t->sorted[mid], s, n) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo < end && llama2c__compare(t, t->sorted[lo], s, n) == 0 ? t->sorted[lo] : LLAMA2C__NONE;
}

/* Merging: a linked list of tokens, in the order of the text, and a heap of possible merges, best
   score first, then leftmost. A merge is not removed when its tokens change. It is dropped when it
   comes to the top: then its tokens are no longer neighbours, or their lengths do not add to its
   length. A token of length 0 was merged into its left neighbour. */
typedef struct llama2c__token { uint32_t id, previous, next, start, length; } llama2c__token;
typedef struct llama2c__merge { float score; uint32_t left, right, id, length; } llama2c__merge;

typedef struct llama2c__merger {
    const llama2c_tokenizer *t;
    const char *text;
    llama2c__token *token;
    llama2c__merge *heap;
    uint32_t merges;
} llama2c__merger;

/* The order of the heap; scores are not NaN. */
static int llama2c__before(const llama2c__merge *a, const llama2c__merge *b)
{
    return a->score > b->score || (!(a->score < b->score) && a->left < b->left);
}

/* Adds the merge of token `left` with its right neighbour to the heap, if their joint text is a
   piece. */
static void llama2c__push(llama2c__merger *m, uint32_t left)
{
    llama2c__merge e;
    uint32_t right = m->token[left].next, i;
    if (right == LLAMA2C__NONE) return;
    e.left = left;
    e.right = right;
    e.length = m->token[left].length + m->token[right].length;
    e.id = llama2c__find(m->t, m->text + m->token[left].start, e.length);
    if (e.id == LLAMA2C__NONE) return;
    e.score = llama2c__score(m->t, e.id);
    for (i = m->merges++; i > 0 && llama2c__before(&e, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = e;
}

/* Removes and returns the top of the heap, which is not empty. */
static llama2c__merge llama2c__pop(llama2c__merger *m)
{
    llama2c__merge top = m->heap[0], e = m->heap[--m->merges];
    uint32_t i = 0, child;
    while ((child = 2 * i + 1) < m->merges) {
        if (child + 1 < m->merges && llama2c__before(&m->heap[child + 1], &m->heap[child])) child++;
        if (!llama2c__before(&m->heap[child], &e)) break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = e;
    return top;
}

size_t llama2c_encode_work_size(size_t size)
{
    /* a text of n bytes, and a prefix: n + 1 tokens, n first merges, and two for each of at most n
       merges done */
    if (size >= 1u << 30 || size + 1 > ((size_t)-1 - 16) / (1 + sizeof(llama2c__token) + 3 * sizeof(llama2c__merge)))
        return 0;
    return (size + 1) * (1 + sizeof(llama2c__token) + 3 * sizeof(llama2c__merge)) + 16;
}

/* Makes the first tokens: a character (UTF-8, at most four bytes) each, or a byte each where a
   character is no piece. Returns their count, which is at most `size`. Text that is not UTF-8 is
   only divided in other places. */
static uint32_t llama2c__characters(llama2c__merger *m, size_t size)
{
    uint32_t n = 0, k, length;
    size_t i;
    for (i = 0; i < size; i += length) {
        uint32_t id;
        for (length = 1; length < 4 && i + length < size
             && ((unsigned char)m->text[i + length] & 0xc0) == 0x80; length++)
            {}
        id = llama2c__find(m->t, m->text + i, length);
        for (k = 0; k < (id == LLAMA2C__NONE ? length : 1); k++, n++) {
            m->token[n].id = id == LLAMA2C__NONE ? 3u + (unsigned char)m->text[i + k] : id;
            m->token[n].start = (uint32_t)i + k;
            m->token[n].length = id == LLAMA2C__NONE ? 1 : length;
            m->token[n].previous = n ? n - 1 : LLAMA2C__NONE;
            m->token[n].next = n + 1;
        }
    }
    if (n) m->token[n - 1].next = LLAMA2C__NONE;
    return n;
}

/* The workspace holds the heap, the tokens and a copy of the text, in the order of their alignment.
   A merge makes at most two others, with its left and its right neighbour, which bounds the heap
   (llama2c_encode_work_size). */
uint32_t llama2c_encode(const llama2c_tokenizer *t, const char *text, size_t size, int prefix, uint32_t *ids,
                        void *work)
{
    llama2c__merger m;
    uint32_t n, i, count = 0;
    size_t extra = prefix && size ? 1 : 0;
    char *copy;
    m.t = t;
    m.heap = (llama2c__merge *)work;
    m.token = (llama2c__token *)(void *)(m.heap + 3 * (size + 1));
    copy = (char *)(m.token + size + 1);
    if (extra) copy[0] = ' ';
    memcpy(copy + extra, text, size);
    m.text = copy;
    m.merges = 0;
    n = llama2c__characters(&m, size + extra);
    for (i = 0; i + 1 < n; i++) llama2c__push(&m, i);
    while (m.merges) {
        llama2c__merge e = llama2c__pop(&m);
        llama2c__token *left = &m.token[e.left], *right = &m.token[e.right];
        if (left->length == 0 || right->length == 0 || left->next != e.right
            || left->length + right->length != e.length)
            continue;
        left->id = e.id;
        left->length = e.length;
        left->next = right->next;
        right->length = 0;
        if (left->next != LLAMA2C__NONE) m.token[left->next].previous = e.left;
        llama2c__push(&m, e.left);
        if (left->previous != LLAMA2C__NONE) llama2c__push(&m, left->previous);
    }
    for (i = 0; n && i != LLAMA2C__NONE; i = m.token[i].next) ids[count++] = m.token[i].id;
    return count;
}

/* Special ids, and ids that the tokenizer does not have, have no text. */
const char *llama2c_decode(const llama2c_tokenizer *t, uint32_t previous, uint32_t id, char *byte, uint32_t *length)
{
    const char *s;
    *length = 0;
    if (id >= t->count || id < 3) return "";
    if (id < LLAMA2C_LEAST) {
        *byte = (char)(id - 3);
        *length = 1;
        return byte;
    }
    s = llama2c__piece(t, id);
    *length = llama2c__length(t, id);
    if (previous == LLAMA2C_BOS && *length && *s == ' ') {
        s++;
        --*length;
    }
    return s;
}

#ifdef __cplusplus
}
#endif
#undef LLAMA2C_IMPLEMENTATION
#endif
