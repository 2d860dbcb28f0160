/* test_llama2c.c - examples/llama2c.h: what it reads from checkpoints, and tokens against a slow
   encoder that is written here */
#include "check.h"
#include <math.h>
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LLAMA2C_IMPLEMENTATION
#include "../examples/llama2c.h"

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* One layer of the least size, and tables of cosines and sines. */
typedef struct shape { uint32_t heads, head, context; } shape;

static unsigned char bytes[400000];
static size_t table_at; /* of the cosines, in bytes */

/* in_float: computed as PyTorch does, every step rounded to a float. */
static size_t make_checkpoint(shape s, double theta, double scale, int in_float)
{
    const uint32_t dim = s.heads * s.head, config[7] = { dim, 1, 1, s.heads, s.heads, 1, s.context };
    const size_t before = (size_t)dim + dim + 4 * (size_t)dim * dim + dim + 3 * (size_t)dim + dim, half = s.head / 2,
        n = s.context * half;
    size_t i, p;
    memset(bytes, 0, sizeof bytes);
    for (i = 0; i < 7; i++) put32(bytes + 4 * i, config[i]);
    table_at = 28 + 4 * before;
    CHECK(table_at + 8 * n <= sizeof bytes);
    for (p = 0; p < s.context; p++)
        for (i = 0; i < half; i++) {
            const double frequency = pow(theta, -(double)i / (double)half);
            double angle = (double)p * scale * frequency;
            if (in_float)
                angle =
                    (double)((float)(double)p
                             * (1.0f / (float)pow((double)(float)theta, (double)((float)(2 * i) / (float)s.head)))
                             * (float)scale);
            put32(bytes + table_at + 4 * (p * half + i), bits_of((float)cos(angle)));
            put32(bytes + table_at + 4 * (n + p * half + i), bits_of((float)sin(angle)));
        }
    return table_at + 8 * n;
}

static void test_theta(void)
{
    static const shape shapes[] = { { 1, 4, 2 }, { 2, 8, 24 }, { 2, 32, 256 }, { 1, 64, 512 }, { 1, 128, 150 },
                                    { 3, 6, 1000 } };
    static const double thetas[] = { 10000, 1000000, 500000, 100000, 5000000, 1, 2, 123.4, 8e7, 1.5e9 };
    llama2c_checkpoint c;
    uint32_t i, k;
    size_t size;
    int in_float;
    for (i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (k = 0; k < sizeof thetas / sizeof *thetas; k++)
            for (in_float = 0; in_float < 2; in_float++) {
                check_at("theta %g, %lu heads of %lu, context %lu%s", thetas[k], (unsigned long)shapes[i].heads,
                         (unsigned long)shapes[i].head, (unsigned long)shapes[i].context,
                         in_float ? ", as PyTorch computes it" : "");
                size = make_checkpoint(shapes[i], thetas[k], 1, in_float);
                CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
                CHECK(bits_of(c.theta) == bits_of((float)thetas[k]));
                CHECK_EQ((long)llama2c_entry_count(&c), 7 + 9 + 2 + (thetas[k] < 10000 || thetas[k] > 10000));
                CHECK_EQ(llama2c_open(&c, bytes, size - 1), LLMQ_E_TRUNCATED);
                CHECK_EQ(llama2c_open(&c, bytes, size + 1), LLMQ_E_CORRUPT);
                CHECK_EQ(llama2c_open(&c, bytes, size + 4), LLMQ_E_CORRUPT);
            }
    size = make_checkpoint(shapes[2], 12345.678, 1, 0); /* of more digits than anybody means */
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(check_abs((double)c.theta - 12345.678) < 0.02);
    check_at("%s", "");
}

/* Tables of no theta: scaled positions, one number that is off, NaN; and those that say nothing. */
static void test_no_theta(void)
{
    static const shape usual = { 2, 8, 24 }, pair = { 2, 2, 24 }, first = { 2, 8, 1 };
    llama2c_checkpoint c;
    llmq_entry e[21];
    char names[21 * 32];
    size_t size = make_checkpoint(usual, 10000, 0.5, 0), k;
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_E_UNSUPPORTED);
    CHECK(c.fault[0] == 1);
    size = make_checkpoint(usual, 10000, 1, 0);
    for (k = table_at; k < size; k += 4) { /* each number that is not 0 or 1 for all thetas */
        unsigned char was[4];
        memcpy(was, bytes + k, 4);
        put32(bytes + k, bits_of(float_of(llama2c__u32(was)) + 4e-4f));
        CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_E_UNSUPPORTED);
        if (k >= table_at + 16 * 2 && k < table_at + 4 * 24 * 4)
            CHECK_EQ((long)(c.fault[0] * 4 + c.fault[1]), (long)(k - table_at) / 4);
        memcpy(bytes + k, was, 4);
    }
    put32(bytes + table_at + 4 * 7, 0x7fc00000u);
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_E_UNSUPPORTED);
    memset(bytes + table_at, 0, size - table_at);
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(c.theta == 10000.0f && c.epsilon == 1e-5f);
    CHECK_EQ((long)llama2c_entry_count(&c), 18);
    c.epsilon = 1e-6f, c.theta = 50.0f;
    CHECK_EQ((long)llama2c_entry_count(&c), 20);
    memset(e, 0xff, sizeof e);
    llama2c_entries(&c, e, names);
    CHECK(strcmp(e[7].name, "lm.rope_theta") == 0 && e[7].type == LLMQ_VALUE_F32
          && float_of(llama2c__u32((const unsigned char *)e[7].data)) == 50.0f);
    CHECK(strcmp(e[8].name, "lm.norm_epsilon") == 0
          && float_of(llama2c__u32((const unsigned char *)e[8].data)) == 1e-6f);
    CHECK(strcmp(e[9].name, "embed") == 0 && strcmp(e[19].name, "norm") == 0 && e[20].name != e[19].name);
    size = make_checkpoint(pair, 777, 1, 0); /* heads of one pair: no theta shows */
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(c.theta == 10000.0f);
    size = make_checkpoint(first, 777, 1, 0); /* nor at position 0 */
    CHECK_EQ(llama2c_open(&c, bytes, size), LLMQ_OK);
    CHECK(c.theta == 10000.0f);
}

/* ---- tokenizers ------------------------------------------------------------------------------ */

#define MOST 330
static char piece[MOST][200];
static size_t piece_size[MOST];
static float score[MOST];
static uint32_t pieces;

static void add_piece(float s, const char *text, size_t n)
{
    memcpy(piece[pieces], text, n);
    piece_size[pieces] = n;
    score[pieces++] = s;
}

static void make_pieces(int raw)
{
    static const char *const more[] = { "a", "b", "ab", "ba", "aba", "<", "s", ">", "<s", "<s>", "\xc3\xa9",
                                        "\xe2\x82\xac", " ", " a", "ab a", "<0x41>", "ab" };
    uint32_t i;
    pieces = 0;
    add_piece(0, "<unk>", 5), add_piece(0, "\n<s>\n", 5), add_piece(0, "\n</s>\n", 6);
    for (i = 0; i < 256; i++) {
        char name[8];
        if (raw) name[0] = (char)i;
        else snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        add_piece(0, name, raw ? 1 : 6);
    }
    for (i = 0; i < sizeof more / sizeof *more; i++) add_piece((float)(i * 7 % 5) - 3.0f, more[i], strlen(more[i]));
    add_piece(9, "", 0);
    memset(piece[pieces], 'b', 150);
    add_piece(1, piece[pieces], 150);
}

static size_t write_tokenizer(unsigned char *out)
{
    size_t at = 4;
    uint32_t i;
    put32(out, 150);
    for (i = 0; i < pieces; i++) {
        put32(out + at, bits_of(score[i]));
        put32(out + at + 4, (uint32_t)piece_size[i]);
        memcpy(out + at + 8, piece[i], piece_size[i]);
        at += 8 + piece_size[i];
    }
    return at;
}

/* The first id from 259 on of these bytes; 0: none */
static uint32_t slow_find(const char *s, size_t n)
{
    uint32_t i;
    for (i = LLAMA2C_LEAST; i < pieces; i++)
        if (n && piece_size[i] == n && memcmp(piece[i], s, n) == 0) return i;
    return 0;
}

static uint32_t slow_encode(const char *text, size_t size, uint32_t *ids)
{
    size_t start[400], i, n = 0, k;
    for (i = 0; i < size; i += k) { /* characters, or bytes */
        for (k = 1; k < 4 && i + k < size && ((unsigned char)text[i + k] & 0xc0) == 0x80; k++) {}
        if ((ids[n] = slow_find(text + i, k)) != 0) start[n++] = i;
        else
            for (k = 1, start[n] = i, ids[n++] = 3u + (unsigned char)text[i];
                 i + k < size && ((unsigned char)text[i + k] & 0xc0) == 0x80 && k < 4; k++)
            start[n] = i + k, ids[n++] = 3u + (unsigned char)text[i + k];
    }
    while (1) {
        size_t best = n;
        uint32_t best_id = 0;
        start[n] = size;
        for (i = 0; i + 1 < n; i++) {
            const uint32_t id = slow_find(text + start[i], start[i + 2 < n ? i + 2 : n] - start[i]);
            if (id && (best == n || score[id] > score[best_id])) best = i, best_id = id;
        }
        if (best == n) return (uint32_t)n;
        ids[best] = best_id;
        for (i = best + 1; i + 1 < n; i++) ids[i] = ids[i + 1], start[i] = start[i + 1];
        n--;
    }
}

static unsigned char tokenizer_bytes[8192];
static uint32_t memory[2 * MOST];
static union { uint32_t aligned; unsigned char byte[60000]; } work;

static void check_text(const llama2c_tokenizer *t, const char *text, size_t size)
{
    uint32_t ids[400], slow[400], n, i;
    char back[400], byte;
    size_t at = 0;
    CHECK(llama2c_encode_work_size(size) <= sizeof work);
    n = llama2c_encode(t, text, size, 0, ids, &work);
    CHECK_EQ((long)n, (long)slow_encode(text, size, slow));
    CHECK(memcmp(ids, slow, n * sizeof *ids) == 0);
    for (i = 0; i < n; i++) {
        uint32_t length;
        const char *s = llama2c_decode(t, LLAMA2C_EOS, ids[i], &byte, &length);
        if (at + length <= sizeof back) memcpy(back + at, s, length);
        at += length;
        CHECK(ids[i] >= 3 && ids[i] < pieces);
    }
    CHECK(at == size && memcmp(back, text, size) == 0);
}

static void test_tokens(void)
{
    static const char letters[] = "aabbb <s>\n0x4\x01\x41\xc3\xa9\xe2\x82\xac\xff";
    static const char *const texts[] = { "", "a", "\xc3\xa9", "<s>", "\n<s>\n", "<unk>", "<0x41>", "A", "abab aba",
                                         "\xc3", "\x80\x80\x80\x80\x80", "\xe2\x82" };
    llama2c_tokenizer t;
    uint32_t i, k, length;
    int raw;
    char text[300], byte;
    for (raw = 0; raw < 2; raw++) {
        size_t size;
        make_pieces(raw);
        size = write_tokenizer(tokenizer_bytes);
        /* ids of the model that have no piece */
        CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, size, pieces + 11, memory), LLMQ_OK);
        CHECK_EQ((long)t.count, (long)pieces);
        for (i = 0; i < sizeof texts / sizeof *texts; i++) {
            check_at("text %lu, raw %d", (unsigned long)i, raw);
            check_text(&t, texts[i], strlen(texts[i]));
        }
        memset(text, 'b', sizeof text);
        check_text(&t, text, sizeof text);
        for (i = 0; i < 300; i++) {
            const size_t n = check_below(60);
            check_at("random text %lu, raw %d", (unsigned long)i, raw);
            for (k = 0; k < n; k++) text[k] = letters[check_below(sizeof letters - 1)];
            check_text(&t, text, n);
        }
        llama2c_decode(&t, 5, pieces, &byte, &length);
        CHECK(length == 0);
        llama2c_decode(&t, 5, pieces + 10, &byte, &length);
        CHECK(length == 0);
    }
    check_at("%s", "");
}

static void test_tokenizer_errors(void)
{
    llama2c_tokenizer t;
    size_t size, cut, at;
    uint32_t i;
    make_pieces(0);
    size = write_tokenizer(tokenizer_bytes);
    CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, size, pieces, memory), LLMQ_OK);
    CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, size, pieces - 1, memory), LLMQ_E_LIMIT);
    CHECK_EQ((long)t.count, (long)pieces);
    CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, size, 0, memory), LLMQ_E_LIMIT);
    for (cut = 0, at = 4, i = 0; cut < size; cut++) { /* whole pieces, or within one */
        llmq_status wanted = cut < 4 ? LLMQ_E_TRUNCATED : LLMQ_OK;
        while (at < cut) at += 8 + piece_size[i++];
        if (cut >= 4) wanted = at != cut ? LLMQ_E_TRUNCATED : i < LLAMA2C_LEAST ? LLMQ_E_CORRUPT : LLMQ_OK;
        check_at("cut to %lu bytes", (unsigned long)cut);
        CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, cut, pieces, memory), wanted);
        if (wanted != LLMQ_E_TRUNCATED) CHECK_EQ((long)t.count, (long)i);
    }
    check_at("%s", "");
    put32(tokenizer_bytes + 8, 0xfffffff8u); /* a length that would come round */
    CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, size, pieces, memory), LLMQ_E_TRUNCATED);
    score[264] = float_of(0x7fc00000u);
    size = write_tokenizer(tokenizer_bytes);
    CHECK_EQ(llama2c_tokenizer_init(&t, tokenizer_bytes, size, pieces, memory), LLMQ_E_NOT_FINITE);
    CHECK_EQ((long)t.count, 264);
    CHECK(llama2c_encode_work_size((size_t)-1) == 0 && llama2c_encode_work_size(1u << 30) == 0
          && llama2c_encode_work_size(0) != 0);
}

int main(void)
{
    check_faults_from();
    test_theta();
    test_no_theta();
    check_fault("T10");
    test_tokenizer_errors();
    check_fault("T14");
    test_tokens();
    check_fault("T15");
    return check_done("test_llama2c");
}
