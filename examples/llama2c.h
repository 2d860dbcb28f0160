/* llama2c.h - reader for the checkpoints and tokenizers of llama2.c - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define LLAMA2C_IMPLEMENTATION
       #include "llama2c.h"

   Checkpoint ("legacy", fp32): seven int32 (dim, hidden, layers, heads, kv heads, vocab, context; a negative vocab means
   that the classifier is not shared), then the tensors, each kind for all layers in turn. llama2c_entries lists them as
   bundle entries in the names of llama.h; nothing is copied, so an entry lives as long as the bytes.
   Among them are the cosines and sines of the rotary embedding, which say its base, theta: it is read from row 1, and all the
   others must be of that theta too. Tables of zeros say nothing, and theta is 10000 then. The file does not say the epsilon of
   its norms: llama2c_checkpoint.epsilon is 1e-5, or what the caller puts there before llama2c_entries.

   Tokenizer: int32 longest piece, then for each id float score, int32 length, bytes, to the end. Ids 0, 1, 2 are <unk>, BOS,
   EOS; id 3 + b is the byte b, whatever its piece says: no text becomes one of these ids but byte by byte. Ids of the model
   from the tokenizer's count on are padding. Text becomes ids by byte-pair merging: characters first (a character that is
   no piece as its bytes), then always the neighbouring pair whose piece has the highest score, leftmost among equals.
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
    int shared;                 /* does the embedding serve as classifier? */
    float theta;                /* base of the rotary embedding */
    float epsilon;              /* what norms add to the mean square: 1e-5, the caller may change it */
    uint32_t fault[2];          /* after LLMQ_E_UNSUPPORTED: position and pair whose cosine or sine is not that of theta */
    unsigned char value[9][4];  /* the first seven, theta and epsilon as bundle values */
    const unsigned char *bytes;
    size_t size;
} llama2c_checkpoint;

/* Check the header, the total size and the rotary embedding. Errors: LLMQ_E_MAGIC (numbers that no model has), LLMQ_E_TRUNCATED,
   LLMQ_E_CORRUPT (bytes that are left over), LLMQ_E_UNSUPPORTED (cosines and sines of no theta from 1 to 1e30, as scaled embeddings have them). */
llmq_status llama2c_open(llama2c_checkpoint *c, const void *bytes, size_t size);

/* Number of entries, and the entries. names: 32 bytes for each. Theta and epsilon are entries if they are not what llama.h takes
   without them. */
uint32_t llama2c_entry_count(const llama2c_checkpoint *c);
void llama2c_entries(llama2c_checkpoint *c, llmq_entry *entries, char *names);

typedef struct llama2c_tokenizer {
    const unsigned char *bytes;
    uint32_t count;             /* pieces; after an error those before the wrong one, or all that there are */
    uint32_t *offset;           /* of each id's score in bytes */
    uint32_t *sorted;           /* ids from 259 on by their bytes */
} llama2c_tokenizer;

#define LLAMA2C_LEAST 259u      /* pieces: the three special ones and the bytes */

/* A tokenizer of at most `vocab` ids. mem: 8 * vocab bytes, aligned for uint32_t. Errors: LLMQ_E_TRUNCATED (it ends within a piece),
   LLMQ_E_LIMIT (more than `vocab` pieces, or 2 GB), LLMQ_E_CORRUPT (fewer than LLAMA2C_LEAST), LLMQ_E_NOT_FINITE (a score is NaN). */
llmq_status llama2c_tokenizer_init(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab, uint32_t *mem);

/* Ids of a text, without BOS. prefix: 1 to put a space before the text, as llama2.c does. ids: size + 1 of them.
   work: llama2c_encode_work_size(size) bytes, aligned for uint32_t; that is 0 for texts of 2^30 bytes and more, and what does not fit
   size_t. Returns the number of ids. */
size_t llama2c_encode_work_size(size_t size);
uint32_t llama2c_encode(const llama2c_tokenizer *t, const char *text, size_t size, int prefix, uint32_t *ids, void *work);

/* The text of an id that follows `previous`: *length bytes. After BOS a leading space is dropped. byte: room for one. */
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

static uint32_t llama2c__u32(const unsigned char *b) { return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24; }

/* The tensors of a checkpoint in file order; rows of 0: not a matrix of the model. */
typedef struct llama2c__part {
    const char *name;
    int per_layer;
    uint32_t rows, cols;
} llama2c__part;

#define LLAMA2C__PARTS 13

static void llama2c__parts(const llama2c_checkpoint *c, llama2c__part *p)
{
    uint32_t d = c->dim, h = c->hidden, kv = d / c->heads * c->kv_heads, half = d / c->heads / 2;
    const llama2c__part parts[LLAMA2C__PARTS] = {
        { "embed", 0, c->vocab, d }, { "norm1", 1, 1, d }, { "wq", 1, d, d }, { "wk", 1, kv, d }, { "wv", 1, kv, d }, { "wo", 1, d, d },
        { "norm2", 1, 1, d }, { "w1", 1, h, d }, { "w2", 1, d, h }, { "w3", 1, h, d }, { "norm", 0, 1, d },
        { NULL, 0, 2 * c->context, half }, { "classifier", 0, c->shared ? 0 : c->vocab, d }
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

/* The theta of which row 1 of the cosines and sines is. The last of its angles, theta^(-(half - 1) / half), says it best: it is small,
   so a float holds its sine to 6e-8. Makers compute it in float: a theta of four digits is what was meant if one is that near. */
static double llama2c__theta_of(const unsigned char *cosine, const unsigned char *sine, uint32_t half)
{
    const double angle = atan2((double)llama2c__f32(sine + 4 * (2 * (size_t)half - 1)), (double)llama2c__f32(cosine + 4 * (2 * (size_t)half - 1)));
    double theta = angle > 0 && angle <= 1.001 ? exp(-log(angle) * half / (half - 1)) : 0, unit, nearest;
    if (!(theta >= 0.999 && theta <= 1.001e30)) return 0;
    unit = pow(10.0, floor(log10(theta)) - 3);
    nearest = floor(theta / unit + 0.5) * unit;
    return fabs(nearest - theta) <= 4e-6 * theta ? nearest : theta;
}

/* Reads theta from the tables, and checks that all of them are of it. A head of one pair turns by the position whatever theta is. */
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
            const double angle = p * frequency, most = 4e-6 + 2e-6 * angle; /* makers multiply in float */
            k = 4 * ((size_t)p * half + i);
            if (fabs(cos(angle) - (double)llama2c__f32(cosine + k)) <= most && fabs(sin(angle) - (double)llama2c__f32(sine + k)) <= most) continue;
            c->fault[0] = p, c->fault[1] = i;
            return LLMQ_E_UNSUPPORTED;
        }
    }
    return LLMQ_OK;
}

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
    c->dim = v[0], c->hidden = v[1], c->layers = v[2], c->heads = v[3], c->kv_heads = v[4], c->vocab = v[5], c->context = v[6];
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

/* Is value i, of nine, an entry? */
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

void llama2c_entries(llama2c_checkpoint *c, llmq_entry *e, char *names)
{
    static const char *const value[9] = { "llama.dim", "llama.hidden", "llama.layers", "llama.heads", "llama.kv_heads", "llama.vocab",
                                          "llama.context", "llama.rope_theta", "llama.norm_epsilon" };
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

static uint32_t llama2c__length(const llama2c_tokenizer *t, uint32_t id) { return llama2c__u32(t->bytes + t->offset[id] + 4); }
static const char *llama2c__piece(const llama2c_tokenizer *t, uint32_t id) { return (const char *)t->bytes + t->offset[id] + 8; }

static float llama2c__score(const llama2c_tokenizer *t, uint32_t id) { return llama2c__f32(t->bytes + t->offset[id]); }

static int llama2c__compare(const llama2c_tokenizer *t, uint32_t id, const char *s, size_t n)
{
    size_t m = llama2c__length(t, id);
    int order = memcmp(llama2c__piece(t, id), s, m < n ? m : n);
    return order ? order : m < n ? -1 : m > n;
}

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
        t->count++; /* of more than there is room for too: they are counted for the caller's words */
        at += 8 + (size_t)length;
    }
    if (t->count > vocab) return LLMQ_E_LIMIT;
    if (t->count < LLAMA2C_LEAST) return LLMQ_E_CORRUPT;
    n = t->count - LLAMA2C_LEAST;
    for (i = 0; i < n; i++) t->sorted[i] = LLAMA2C_LEAST + (uint32_t)i;
    for (gap = n / 2; gap; gap /= 2) /* Shell's sort; equal pieces by id */
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

/* The id of a piece; of equal ones the first. */
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

/* Merging: a list of tokens with their place in the text, and a heap of merges, best score first, then leftmost. A merge
   whose tokens have changed since is dropped when it comes up. */
typedef struct llama2c__token { uint32_t id, previous, next, start, length; } llama2c__token;
typedef struct llama2c__merge { float score; uint32_t left, right, id, length; } llama2c__merge;

typedef struct llama2c__merger {
    const llama2c_tokenizer *t;
    const char *text;
    llama2c__token *token;
    llama2c__merge *heap;
    uint32_t merges;
} llama2c__merger;

static int llama2c__before(const llama2c__merge *a, const llama2c__merge *b)
{
    return a->score > b->score || (!(a->score < b->score) && a->left < b->left);
}

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
    for (i = m->merges++; i > 0 && llama2c__before(&e, &m->heap[(i - 1) / 2]); i = (i - 1) / 2) m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = e;
}

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
    /* a text of n bytes, and a prefix: n + 1 tokens, n first merges, and two for each of at most n merges done */
    if (size >= 1u << 30 || size + 1 > ((size_t)-1 - 16) / (1 + sizeof(llama2c__token) + 3 * sizeof(llama2c__merge))) return 0;
    return (size + 1) * (1 + sizeof(llama2c__token) + 3 * sizeof(llama2c__merge)) + 16;
}

/* Characters (UTF-8, at most four bytes), or bytes where there is no such piece. */
static uint32_t llama2c__characters(llama2c__merger *m, size_t size)
{
    uint32_t n = 0, k, length;
    size_t i;
    for (i = 0; i < size; i += length) {
        uint32_t id;
        for (length = 1; length < 4 && i + length < size && ((unsigned char)m->text[i + length] & 0xc0) == 0x80; length++) {}
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

uint32_t llama2c_encode(const llama2c_tokenizer *t, const char *text, size_t size, int prefix, uint32_t *ids, void *work)
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
        if (left->length == 0 || right->length == 0 || left->next != e.right || left->length + right->length != e.length) continue;
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
