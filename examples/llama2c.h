/* llama2c.h - reader for the checkpoints and tokenizers of llama2.c - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define LLAMA2C_IMPLEMENTATION
       #include "llama2c.h"

   Checkpoint ("legacy", fp32): seven int32 (dim, hidden, layers, heads, kv heads, vocab, context; a negative vocab means
   that the classifier is not shared), then the tensors, each kind for all layers in turn. llama2c_entries lists them as
   bundle entries in the names of llama.h; nothing is copied, so an entry lives as long as the bytes.

   Tokenizer: int32 longest piece, then for each id float score, int32 length, bytes. Ids 0, 1, 2 are <unk>, BOS, EOS; id
   3 + b is the byte b. Text becomes ids by byte-pair merging: characters first (a character that is no piece as its
   bytes), then always the neighbouring pair whose piece has the highest score, leftmost among equals.
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
    unsigned char value[7][4];  /* the first seven as bundle values */
    const unsigned char *bytes;
    size_t size;
} llama2c_checkpoint;

/* Check the header and the total size. Errors: LLMQ_E_MAGIC (numbers that no model has), LLMQ_E_TRUNCATED. */
llmq_status llama2c_open(llama2c_checkpoint *c, const void *bytes, size_t size);

/* Number of entries, and the entries. names: 32 bytes for each. */
uint32_t llama2c_entry_count(const llama2c_checkpoint *c);
void llama2c_entries(const llama2c_checkpoint *c, llmq_entry *entries, char *names);

typedef struct llama2c_tokenizer {
    const unsigned char *bytes;
    uint32_t count;
    uint32_t *offset;           /* of each id's score in bytes */
    uint32_t *sorted;           /* ids by their bytes */
} llama2c_tokenizer;

/* A tokenizer of `vocab` ids. mem: 8 * vocab bytes, aligned for uint32_t. Errors: LLMQ_E_TRUNCATED, LLMQ_E_CORRUPT. */
llmq_status llama2c_tokenizer_init(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab, uint32_t *mem);

/* Ids of a text, without BOS. prefix: 1 to put a space before the text, as llama2.c does. ids: size + 1 of them.
   work: llama2c_encode_work_size(size) bytes, aligned for uint32_t. Returns the number of ids. */
size_t llama2c_encode_work_size(size_t size);
uint32_t llama2c_encode(const llama2c_tokenizer *t, const char *text, size_t size, int prefix, uint32_t *ids, void *work);

/* The text of an id that follows `previous`: *length bytes. After BOS a leading space is dropped. byte: room for one. */
const char *llama2c_decode(const llama2c_tokenizer *t, uint32_t previous, uint32_t id, char *byte, uint32_t *length);

#ifdef __cplusplus
}
#endif
#endif /* LLAMA2C_H */

#ifdef LLAMA2C_IMPLEMENTATION
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

llmq_status llama2c_open(llama2c_checkpoint *c, const void *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    llama2c__part part[LLAMA2C__PARTS];
    uint32_t v[7], i;
    size_t rest;
    if (size < 28) return LLMQ_E_TRUNCATED;
    memset(c, 0, sizeof *c);
    for (i = 0; i < 7; i++) v[i] = llama2c__u32(b + 4 * i);
    c->shared = v[5] < 0x80000000u;
    if (!c->shared) v[5] = 0u - v[5];
    for (i = 0; i < 7; i++) {
        if (v[i] < 1 || v[i] > 1u << 22) return LLMQ_E_MAGIC;
        c->value[i][0] = (unsigned char)(v[i] & 255), c->value[i][1] = (unsigned char)(v[i] >> 8 & 255);
        c->value[i][2] = (unsigned char)(v[i] >> 16), c->value[i][3] = 0;
    }
    c->dim = v[0], c->hidden = v[1], c->layers = v[2], c->heads = v[3], c->kv_heads = v[4], c->vocab = v[5], c->context = v[6];
    if (c->dim % c->heads || c->heads % c->kv_heads || c->dim / c->heads % 2) return LLMQ_E_MAGIC;
    llama2c__parts(c, part);
    rest = (size - 28) / sizeof(float);
    for (i = 0; i < LLAMA2C__PARTS; i++) {
        uint32_t times = part[i].per_layer ? c->layers : 1;
        if (part[i].rows == 0) continue;
        if (rest / part[i].rows / part[i].cols < times) return LLMQ_E_TRUNCATED;
        rest -= (size_t)part[i].rows * part[i].cols * times;
    }
    c->bytes = b;
    c->size = size;
    return LLMQ_OK;
}

uint32_t llama2c_entry_count(const llama2c_checkpoint *c) { return 7 + 9 * c->layers + 2 + !c->shared; }

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

void llama2c_entries(const llama2c_checkpoint *c, llmq_entry *e, char *names)
{
    static const char *const value[7] = { "llama.dim", "llama.hidden", "llama.layers", "llama.heads", "llama.kv_heads", "llama.vocab",
                                          "llama.context" };
    llama2c__part part[LLAMA2C__PARTS];
    const unsigned char *at = c->bytes + 28;
    llmq_format f32;
    uint32_t i, l;
    memset(e, 0, llama2c_entry_count(c) * sizeof *e);
    for (i = 0; i < 7; i++, e++) {
        e->name = value[i];
        e->kind = LLMQ_KIND_VALUE;
        e->type = LLMQ_VALUE_U32;
        e->data = c->value[i];
        e->size = 4;
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

static float llama2c__score(const llama2c_tokenizer *t, uint32_t id)
{
    uint32_t u = llama2c__u32(t->bytes + t->offset[id]);
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static int llama2c__compare(const llama2c_tokenizer *t, uint32_t id, const char *s, size_t n)
{
    size_t m = llama2c__length(t, id);
    int order = memcmp(llama2c__piece(t, id), s, m < n ? m : n);
    return order ? order : m < n ? -1 : m > n;
}

llmq_status llama2c_tokenizer_init(llama2c_tokenizer *t, const void *bytes, size_t size, uint32_t vocab, uint32_t *mem)
{
    size_t at = 4, gap, i, j;
    t->bytes = (const unsigned char *)bytes;
    t->count = vocab;
    t->offset = mem;
    t->sorted = mem + vocab;
    if (size < 4 || size > 0x7fffffffu) return LLMQ_E_TRUNCATED;
    if (vocab < 259) return LLMQ_E_CORRUPT;
    for (i = 0; i < vocab; i++) {
        uint32_t length;
        if (size - at < 8) return LLMQ_E_TRUNCATED;
        length = llama2c__u32(t->bytes + at + 4);
        if (length > size - at - 8) return LLMQ_E_TRUNCATED;
        t->offset[i] = (uint32_t)at;
        t->sorted[i] = (uint32_t)i;
        at += 8 + (size_t)length;
    }
    for (gap = vocab / 2; gap; gap /= 2) /* Shell's sort; equal pieces by id */
        for (i = gap; i < vocab; i++)
            for (j = i; j >= gap; j -= gap) {
                uint32_t a = t->sorted[j - gap], b = t->sorted[j];
                int order = llama2c__compare(t, a, llama2c__piece(t, b), llama2c__length(t, b));
                if (order < 0 || (order == 0 && a < b)) break;
                t->sorted[j - gap] = b, t->sorted[j] = a;
            }
    return LLMQ_OK;
}

#define LLAMA2C__NONE 0xffffffffu

static uint32_t llama2c__find(const llama2c_tokenizer *t, const char *s, size_t n)
{
    uint32_t lo = 0, hi = t->count;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        int order = llama2c__compare(t, t->sorted[mid], s, n);
        if (order == 0) return t->sorted[mid];
        if (order < 0) lo = mid + 1;
        else hi = mid;
    }
    return LLAMA2C__NONE;
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
    if (id < 259) {
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
