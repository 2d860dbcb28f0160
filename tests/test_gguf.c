/* test_gguf.c - examples/gguf.h: a model that it did not make, and files that are odd or hostile

   The model is in tests/vectors/gguf_golden.h, which tests/gen/models.py made. The others are put
   together here, field by field, or are the model with something changed. Each is opened and, if it
   opens, used in every way, in memory of exactly its size; that is fuzz_gguf.c. The hostile kinds
   are those of reports against llama.cpp, ggml and others: GHSA-vgg9-87g3-85w8 and
   GHSA-96jg-mvhq-q7q7 (sizes that wrap), ggml #709 (counts, lengths, dimensions, types),
   llama.cpp #24759 (padding that wraps) and #27203 (a product that wraps to a small one),
   gguf-tools #25 (dimensions, lengths of keys). */
#include "check.h"
#include "files.h"
#include "../fuzz/fuzz_gguf.c"
#include <time.h>

#define TENSORS (sizeof golden_tensor / sizeof *golden_tensor)
#define NUMBERS (sizeof golden_value / sizeof *golden_value)

/* Uses a copy that ends where memory does. */
static llmq_status status_of(const unsigned char *bytes, size_t size)
{
    llmq_status status;
    const char *broken = use_exactly(use_gguf, bytes, size, &status);
    if (broken) printf("%s\n", broken);
    CHECK(!broken);
    return status;
}

/* ---- the model ---- */

static void test_tensors(const gguf *g)
{
    float out[257];
    gguf_tensor t;
    size_t i, at = 0;
    uint32_t row;
    CHECK_EQ((long)g->tensors, (long)TENSORS);
    for (i = 0; i < TENSORS; i++) {
        check_at("%s", golden_tensor[i].name);
        if (!CHECK_EQ(gguf_next_tensor(g, &at, &t), LLMQ_OK)) return;
        CHECK(t.name_length == strlen(golden_tensor[i].name) && !memcmp(t.name, golden_tensor[i].name, t.name_length));
        CHECK(strcmp(gguf_type_name(t.type), golden_tensor[i].type) == 0);
        CHECK(t.shape[0] == golden_tensor[i].shape[0] && t.shape[1] == golden_tensor[i].shape[1] &&
              t.shape[2] == golden_tensor[i].shape[2] && t.shape[3] == golden_tensor[i].shape[3]);
        out[0] = out[t.cols] = -7.5f;
        if (!golden_tensor[i].decoded) {
            CHECK_EQ(gguf_row(&t, 0, out), LLMQ_E_UNSUPPORTED);
            CHECK(out[0] < -7.0f);
            continue;
        }
        CHECK_EQ((long)t.rows, (long)golden_tensor[i].decoded);
        for (row = 0; row < golden_tensor[i].decoded; row++) {
            check_at("%s, row %d", golden_tensor[i].name, (int)row);
            CHECK_EQ(gguf_row(&t, row, out), LLMQ_OK);
            CHECK(checksum_of(out, (size_t)t.cols) == golden_tensor[i].rows[row]);
        }
        CHECK(out[t.cols] < -7.0f && out[t.cols] > -8.0f);
        CHECK_EQ(gguf_row(&t, t.rows, out), LLMQ_E_ARG);
        CHECK_EQ(gguf_row(&t, 0, NULL), LLMQ_E_ARG);
    }
    CHECK_EQ(gguf_next_tensor(g, &at, &t), LLMQ_E_NOT_FOUND);
    CHECK_EQ(gguf_find_tensor(g, "t.Q4_", &t), LLMQ_E_NOT_FOUND);
    CHECK_EQ(gguf_find_tensor(g, "t.Q4_K", &t), LLMQ_OK);
    check_at("%s", "");
}

static void test_numbers(const gguf *g)
{
    char plural[16];
    double x = -7.0;
    gguf_value v;
    size_t i;
    for (i = 0; i < NUMBERS; i++) {
        check_at("%s", golden_value[i].key);
        if (!CHECK_EQ(gguf_find_value(g, golden_value[i].key, &v), LLMQ_OK)) continue;
        CHECK(v.type == golden_value[i].type && !v.array && v.count == 1);
        CHECK_EQ(gguf_number(&v, 0, &x), LLMQ_OK);
        CHECK(memcmp(&x, &golden_value[i].value, sizeof x) == 0);
        (void)snprintf(plural, sizeof plural, "%ss", golden_value[i].key);
        if (!CHECK_EQ(gguf_find_value(g, plural, &v), LLMQ_OK)) continue;
        CHECK(v.type == golden_value[i].type && v.array && v.count == 3);
        CHECK(gguf_number(&v, 1, &x) == LLMQ_OK && memcmp(&x, &golden_value[i].value, sizeof x) == 0);
        CHECK(gguf_number(&v, 2, &x) == LLMQ_OK && x >= 1.0 && x <= 1.0);
        CHECK_EQ(gguf_number(&v, 3, &x), LLMQ_E_NOT_FOUND);
    }
    x = -7.0;
    check_at("%s", "what double does not hold");
    CHECK(gguf_find_value(g, "large", &v) == LLMQ_OK && gguf_number(&v, 0, &x) == LLMQ_E_LIMIT);
    CHECK(gguf_find_value(g, "low", &v) == LLMQ_OK && gguf_number(&v, 0, &x) == LLMQ_E_LIMIT);
    CHECK(x < -6.0 && x > -8.0);
    check_at("%s", "");
}

static int is_string(const char *s, size_t length, const char *expected)
{
    return length == strlen(expected) && memcmp(s, expected, length) == 0;
}

static void test_strings(const gguf *g)
{
    gguf_value v;
    const char *s = NULL;
    size_t at = 0, length = 0;
    double x;
    CHECK(gguf_find_value(g, "text", &v) == LLMQ_OK && !v.array && v.count == 1);
    CHECK(gguf_string(&v, &at, &s, &length) == LLMQ_OK && is_string(s, length, "Gr\303\266\303\237e"));
    CHECK_EQ(gguf_string(&v, &at, &s, &length), LLMQ_E_NOT_FOUND);
    CHECK_EQ(gguf_number(&v, 0, &x), LLMQ_E_CORRUPT);
    CHECK(gguf_find_value(g, "texts", &v) == LLMQ_OK && v.array && v.count == 4);
    at = 0;
    CHECK(gguf_string(&v, &at, &s, &length) == LLMQ_OK && length == 0);
    CHECK(gguf_string(&v, &at, &s, &length) == LLMQ_OK && is_string(s, length, "a"));
    CHECK(gguf_string(&v, &at, &s, &length) == LLMQ_OK && is_string(s, length, "Gr\303\266\303\237e"));
    CHECK(gguf_string(&v, &at, &s, &length) == LLMQ_OK && length == 300 && s[299] == 'x');
    CHECK_EQ(gguf_string(&v, &at, &s, &length), LLMQ_E_NOT_FOUND);
    CHECK_EQ(gguf_find_value(g, "texts\n", &v), LLMQ_E_NOT_FOUND);
    CHECK_EQ(gguf_find_value(g, "", &v), LLMQ_E_NOT_FOUND);
}

static void test_model(void)
{
    const size_t size = sizeof golden_gguf_model;
    gguf g;
    uint32_t part = 0, parts = 0;
    CHECK_EQ(status_of(golden_gguf_model, size), LLMQ_OK);
    if (!CHECK_EQ(gguf_open(&g, golden_gguf_model, size), LLMQ_OK)) return;
    CHECK(g.version == 3 && g.alignment == 32);
    CHECK(gguf_split(&g, &part, &parts) == LLMQ_OK && part == 1 && parts == 3);
    test_tensors(&g);
    test_numbers(&g);
    test_strings(&g);
    CHECK_EQ(gguf_open(NULL, golden_gguf_model, size), LLMQ_E_ARG);
    CHECK_EQ(gguf_open(&g, NULL, size), LLMQ_E_ARG);
    CHECK(strcmp(gguf_type_name(4), "?") == 0 && strcmp(gguf_type_name(43), "?") == 0);
    CHECK(strcmp(gguf_type_name(0xffffffffu), "?") == 0 && strcmp(gguf_type_name(12), "Q4_K") == 0);
}

static void test_prefixes(void)
{
    size_t n;
    gguf g;
    gguf_tensor t, last;
    size_t at = 0, end;
    memset(&last, 0, sizeof last);
    if (!CHECK_EQ(gguf_open(&g, golden_gguf_model, sizeof golden_gguf_model), LLMQ_OK)) return;
    while (gguf_next_tensor(&g, &at, &t) == LLMQ_OK) last = t;
    end = (size_t)(last.data - g.bytes) + last.size;
    CHECK(end < sizeof golden_gguf_model && end > sizeof golden_gguf_model - 32);
    for (n = 0; n < sizeof golden_gguf_model; n += n < g.data || n > end - 300 ? 1 : 61) {
        check_at("%ld bytes", (long)n);
        CHECK_EQ(status_of(golden_gguf_model, n), n < end ? LLMQ_E_TRUNCATED : LLMQ_OK); /* padding may be missing */
    }
    check_at("%s", "");
}

static void test_every_byte(void)
{
    static const unsigned char value[3] = { 0x00, 0x7f, 0xff };
    static unsigned char copy[sizeof golden_gguf_model];
    gguf g;
    size_t i, k;
    memcpy(copy, golden_gguf_model, sizeof copy);
    if (!CHECK_EQ(gguf_open(&g, copy, sizeof copy), LLMQ_OK)) return;
    for (i = 0; i < g.end; i++)
        for (k = 0; k < 3; k++) {
            copy[i] = value[k];
            check_at("byte %ld is %d", (long)i, value[k]);
            (void)status_of(copy, sizeof copy);
            copy[i] = golden_gguf_model[i];
        }
    check_at("%s", "");
}

/* ---- files put together ---- */

typedef struct maker {
    unsigned char *bytes;
    size_t n, room;
} maker;

static maker made; /* the file of a test */

static unsigned char *more(size_t n)
{
    if (made.room - made.n < n) {
        made.room = 2 * made.room + n;
        made.bytes = (unsigned char *)realloc(made.bytes, made.room);
        if (!made.bytes) exit(2);
    }
    made.n += n;
    return made.bytes + made.n - n;
}

static void add32(uint32_t v) { put32(more(4), v); }

static void add64(uint64_t v)
{
    add32((uint32_t)(v & 0xffffffffu));
    add32((uint32_t)(v >> 32));
}

static void add_text(const char *s)
{
    add64(strlen(s));
    memcpy(more(strlen(s)), s, strlen(s));
}

static void add_zeros(size_t n) { memset(more(n), 0, n); }

static void begin(uint64_t tensors, uint64_t values)
{
    made.n = 0;
    memcpy(more(4), "GGUF", 4);
    add32(3);
    add64(tensors);
    add64(values);
}

static void add_u32(const char *key, uint32_t v)
{
    add_text(key);
    add32(GGUF_U32);
    add32(v);
}

/* A tensor of two dimensions. */
static void add_tensor(const char *name, uint32_t type, uint64_t cols, uint64_t rows, uint64_t offset)
{
    add_text(name);
    add32(2);
    add64(cols);
    add64(rows);
    add32(type);
    add64(offset);
}

/* Room for n bytes of data; what was made is refused, or not, with the status. */
static void expect(const char *what, size_t n, llmq_status status)
{
    while (made.n % 32) *more(1) = 0;
    add_zeros(n);
    check_at("%s", what);
    CHECK_EQ(status_of(made.bytes, made.n), status);
    check_at("%s", "");
}

static void test_header(void)
{
    uint32_t version;
    for (version = 0; version < 6; version++) {
        begin(0, 0);
        put32(made.bytes + 4, version);
        expect("version", 0, version == 2 || version == 3 ? LLMQ_OK : LLMQ_E_UNSUPPORTED);
    }
    begin(0, 0), put32(made.bytes + 4, 0x03000000u), expect("big-endian", 0, LLMQ_E_UNSUPPORTED);
    begin(0, 0), made.bytes[0] = 'g', expect("magic", 0, LLMQ_E_MAGIC);
    begin(0, ~(uint64_t)0), expect("2^64 - 1 values", 64, LLMQ_E_CORRUPT); /* the first has an empty key */
    begin(~(uint64_t)0, 0), expect("2^64 - 1 tensors", 64, LLMQ_E_LIMIT);
    begin((uint64_t)1 << 63, 0), expect("2^63 tensors", 64, LLMQ_E_LIMIT);
    begin(GGUF_MAX_TENSORS + 1, 0), expect("a tensor too many", 64, LLMQ_E_LIMIT);
    begin(0, 1), add64(~(uint64_t)0), expect("a key of 2^64 - 1 bytes", 64, LLMQ_E_TRUNCATED);
    begin(0, 1), add64(~(uint64_t)0 - 7), expect("a key of 2^64 - 8 bytes", 64, LLMQ_E_TRUNCATED);
    begin(0, 1), add64(GGUF_MAX_NAME + 1), expect("a long key", 400, LLMQ_E_LIMIT);
    begin(0, 1), add_u32("", 1), expect("an empty key", 0, LLMQ_E_CORRUPT);
    begin(0, 1), add_u32("a?", 1), made.bytes[33] = 0, expect("a key with a 0", 0, LLMQ_E_CORRUPT);
    begin(0, 2), add_u32("a", 1), add_u32("a", 1), expect("a key twice", 0, LLMQ_E_CORRUPT);
    begin(0, 2), add_u32("a", 1), add_u32("b", 1), expect("two keys", 0, LLMQ_OK);
}

static void add_array(uint32_t type, uint64_t count)
{
    begin(0, 1);
    add_text("a");
    add32(GGUF_ARRAY);
    add32(type);
    add64(count);
}

static void test_arrays(void)
{
    uint32_t type;
    for (type = 0; type < 13; type++)
        if (type != GGUF_ARRAY && type != GGUF_STRING) {
            add_array(type, (uint64_t)1 << 63), expect("2^63 elements", 64, LLMQ_E_TRUNCATED);
            add_array(type, (uint64_t)1 << 61), expect("2^61 elements, or 2^64 bytes", 64, LLMQ_E_TRUNCATED);
            add_array(type, ~(uint64_t)0), expect("2^64 - 1 elements", 64, LLMQ_E_TRUNCATED);
            add_array(type, 0), expect("no elements", 0, LLMQ_OK);
        }
    add_array(GGUF_STRING, (uint64_t)1 << 61), expect("2^61 strings", 64, LLMQ_E_TRUNCATED);
    add_array(GGUF_STRING, 12), expect("12 strings in 75 bytes", 60, LLMQ_E_TRUNCATED);
    add_array(GGUF_STRING, 1), add64(~(uint64_t)0), expect("a string of 2^64 - 1 bytes", 64, LLMQ_E_TRUNCATED);
    add_array(GGUF_STRING, 2), add64(4), expect("a string too short", 0, LLMQ_E_TRUNCATED);
    add_array(GGUF_STRING, 2), expect("empty strings", 16, LLMQ_OK);
    add_array(GGUF_ARRAY, 0), expect("arrays in an array", 64, LLMQ_E_UNSUPPORTED);
    add_array(13, 1), expect("a type that there is not", 64, LLMQ_E_UNSUPPORTED);
    add_array(0xffffffffu, 1), expect("a type that there is not", 64, LLMQ_E_UNSUPPORTED);
    add_array(GGUF_BOOL, 2), memcpy(more(2), "\1\0", 2), expect("bools", 0, LLMQ_OK);
    add_array(GGUF_BOOL, 2), memcpy(more(2), "\1\2", 2), expect("a bool of 2", 0, LLMQ_E_CORRUPT);
}

static void test_alignments(void)
{
    static const uint32_t bad[] = { 0, 1, 2, 4, 24, 33, 48, 0xffffffffu, 0x80000001u };
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(1, 1), add_u32("general.alignment", bad[i]), add_tensor("t", 0, 1, 1, 0);
        expect("a bad alignment", 64, LLMQ_E_CORRUPT);
    }
    begin(1, 1), add_u32("general.alignment", 0x80000000u), add_tensor("t", 0, 1, 1, 0);
    expect("an alignment of 2^31", 64, LLMQ_E_TRUNCATED);
    for (i = 3; i < 12; i++) {
        begin(2, 1), add_u32("general.alignment", 1u << i), add_tensor("t", 0, 1, 1, 0);
        add_tensor("u", 0, 1, 1, 1u << i);
        expect("an alignment", 2u << i, LLMQ_OK);
    }
    begin(2, 1), add_u32("general.alignment", 8), add_tensor("t", 0, 1, 1, 0), add_tensor("u", 0, 1, 1, 4);
    expect("not aligned", 64, LLMQ_E_CORRUPT);
    begin(1, 1), add_text("general.alignment"), add32(GGUF_I32), add32(32), add_tensor("t", 0, 1, 1, 0);
    expect("an alignment of another type", 64, LLMQ_E_CORRUPT);
    begin(0, 1), add_text("general.alignment"), add32(GGUF_ARRAY), add32(GGUF_U32), add64(0);
    expect("no alignment", 64, LLMQ_E_CORRUPT);
}

static void test_shapes(void)
{
    const uint64_t large = ~(uint64_t)0;
    uint32_t dims, i;
    for (dims = 0; dims < 9; dims++) {
        begin(1, 0), add_text("t"), add32(dims);
        for (i = 0; i < dims; i++) add64(1);
        add32(0), add64(0);
        expect("dimensions", 64, dims < 5 ? LLMQ_OK : LLMQ_E_CORRUPT);
    }
    begin(1, 0), add_text("t"), add32(0xffffffffu), expect("2^32 - 1 dimensions", 64, LLMQ_E_CORRUPT);
#define SHAPE(type, cols, rows, room, status) \
    begin(1, 0), add_tensor("t", type, cols, rows, 0), expect("a shape: " #type " " #cols " " #rows, room, status)
    SHAPE(0, 4, 2, 32, LLMQ_OK);
    SHAPE(0, 4, 2, 31, LLMQ_E_TRUNCATED);
    SHAPE(0, 0, 1, 64, LLMQ_E_CORRUPT);
    SHAPE(0, 1, 0, 64, LLMQ_E_CORRUPT);
    SHAPE(0, large, 2, 64, LLMQ_E_LIMIT);
    SHAPE(24, large >> 1, 2, 64, LLMQ_E_LIMIT);           /* llama.cpp #27203 */
    SHAPE(0, (uint64_t)1 << 32, (uint64_t)1 << 32, 64, LLMQ_E_LIMIT); /* 2^64 elements: 0 */
    SHAPE(0, (uint64_t)1 << 31, (uint64_t)1 << 31, 64, LLMQ_E_TRUNCATED); /* 2^62 elements, 2^64 bytes: 0 */
    SHAPE(0, large >> 2, 1, 64, LLMQ_E_TRUNCATED);        /* llama.cpp #24759 */
    SHAPE(0, 1, large >> 2, 64, LLMQ_E_TRUNCATED);
    SHAPE(28, (uint64_t)1 << 61, 1, 64, LLMQ_E_TRUNCATED); /* 2^64 bytes in a row */
    SHAPE(28, 1, (uint64_t)1 << 61, 64, LLMQ_E_TRUNCATED); /* 2^64 bytes in all rows */
    SHAPE(12, (uint64_t)1 << 62, 1, 200, LLMQ_E_TRUNCATED);
    SHAPE(12, 255, 1, 200, LLMQ_E_CORRUPT);               /* not whole blocks */
    SHAPE(12, 256, 1, 144, LLMQ_OK);
    SHAPE(12, 256, 1, 143, LLMQ_E_TRUNCATED);
    SHAPE(2, 16, 2, 64, LLMQ_E_CORRUPT);                  /* a block is not over two rows */
#undef SHAPE
}

/* Sizes of all types, by the room that a block needs; types without a size are refused. */
static void test_types(void)
{
    static const struct { uint32_t type, block, size; } known[] = {
        { 0, 1, 4 }, { 1, 1, 2 }, { 2, 32, 18 }, { 3, 32, 20 }, { 6, 32, 22 }, { 7, 32, 24 }, { 8, 32, 34 },
        { 10, 256, 84 }, { 11, 256, 110 }, { 12, 256, 144 }, { 13, 256, 176 }, { 14, 256, 210 }, { 15, 256, 292 },
        { 16, 256, 66 }, { 17, 256, 74 }, { 18, 256, 98 }, { 19, 256, 50 }, { 20, 32, 18 }, { 21, 256, 110 },
        { 22, 256, 82 }, { 23, 256, 136 }, { 24, 1, 1 }, { 25, 1, 2 }, { 26, 1, 4 }, { 27, 1, 8 }, { 28, 1, 8 },
        { 29, 256, 56 }, { 30, 1, 2 }, { 34, 256, 54 }, { 35, 256, 66 }, { 39, 32, 17 }, { 40, 64, 36 },
        { 41, 128, 18 }, { 42, 64, 18 }
    };
    uint32_t type, i = 0;
    for (type = 0; type < 300; type++) {
        int is_known = i < sizeof known / sizeof *known && known[i].type == type;
        begin(1, 0), add_tensor("t", type, 256, 1, 0);
        if (!is_known) {
            expect("a type that is not known", 2048, LLMQ_E_UNSUPPORTED);
            continue;
        }
        expect("a type", 256 / known[i].block * known[i].size, LLMQ_OK);
        begin(1, 0), add_tensor("t", type, 256, 1, 0);
        expect("a type, a byte less", 256 / known[i].block * known[i].size - 1, LLMQ_E_TRUNCATED);
        if (known[i].block > 1) {
            begin(1, 0), add_tensor("t", type, known[i].block + 1, 1, 0);
            expect("a type, not whole blocks", 2048, LLMQ_E_CORRUPT);
        }
        i++;
    }
    CHECK(i == sizeof known / sizeof *known);
}

static void test_places(void)
{
    const uint64_t large = ~(uint64_t)0;
#define PLACES(what, first, second, room, status) \
    begin(2, 0), add_tensor("t", 0, 8, 1, first), add_tensor("u", 0, 8, 1, second), expect(what, room, status)
    PLACES("in order", 0, 32, 64, LLMQ_OK);
    PLACES("a gap", 32, 128, 160, LLMQ_OK);
    PLACES("the same place", 0, 0, 64, LLMQ_E_CORRUPT);
    PLACES("the other order", 32, 0, 64, LLMQ_E_CORRUPT);
    PLACES("behind the end", 0, 64, 64, LLMQ_E_TRUNCATED);
    PLACES("over the end", 0, 32, 63, LLMQ_E_TRUNCATED);
    PLACES("far behind the end", 0, 96, 64, LLMQ_E_TRUNCATED);
    PLACES("not aligned", 0, 33, 128, LLMQ_E_CORRUPT);
    PLACES("2^64 - 32", 0, large - 31, 64, LLMQ_E_TRUNCATED);
    PLACES("2^64 - 1", 0, large, 64, LLMQ_E_CORRUPT);
    PLACES("2^63", (uint64_t)1 << 63, 0, 64, LLMQ_E_TRUNCATED);
#undef PLACES
    begin(2, 0), add_tensor("t", 0, 8, 2, 0), add_tensor("u", 0, 8, 1, 32), expect("an overlap", 96, LLMQ_E_CORRUPT);
    begin(2, 0), add_tensor("t", 0, 8, 1, 0), add_tensor("t", 0, 8, 1, 32), expect("a name twice", 64, LLMQ_E_CORRUPT);
    begin(1, 0), add_tensor("", 0, 8, 1, 0), expect("an empty name", 64, LLMQ_E_CORRUPT);
    begin(1, 0), add64(large), expect("a name of 2^64 - 1 bytes", 64, LLMQ_E_TRUNCATED);
    begin(1, 0), add64(256), expect("a long name", 512, LLMQ_E_LIMIT);
}

/* Values alone may end without padding. */
static void test_no_tensors(void)
{
    begin(0, 1), add_u32("a", 1);
    CHECK_EQ(status_of(made.bytes, made.n), LLMQ_OK);
    begin(1, 1), add_u32("a", 1);
    CHECK_EQ(status_of(made.bytes, made.n), LLMQ_E_TRUNCATED);
}

static void check_split(const char *no, const char *count, const char *tensors, uint32_t type, uint32_t a, uint32_t b,
                        uint32_t c, llmq_status status)
{
    uint32_t part = 7, parts = 7;
    gguf g;
    begin(1, 3);
    add_text(no), add32(type), add32(a);
    add_text(count), add32(type), add32(b);
    add_text(tensors), add32(type), add32(c);
    add_tensor("t", 0, 8, 1, 0);
    expect("a split", 32, LLMQ_OK);
    check_at("%s %s %s %d: %ld %ld %ld", no, count, tensors, (int)type, (long)a, (long)b, (long)c);
    CHECK_EQ(gguf_open(&g, made.bytes, made.n), LLMQ_OK);
    CHECK_EQ(gguf_split(&g, &part, &parts), status);
    if (status == LLMQ_OK && strcmp(no, "x")) CHECK(part == a && parts == b);
    else if (status == LLMQ_OK) CHECK(part == 0 && parts == 1);
    else CHECK(part == 7 && parts == 7);
    check_at("%s", "");
}

static void test_split(void)
{
    const char *no = "split.no", *count = "split.count", *tensors = "split.tensors.count";
    check_split("x", "y", "z", GGUF_U32, 0, 1, 1, LLMQ_OK);
    check_split(no, count, tensors, GGUF_U32, 0, 1, 1, LLMQ_OK);
    check_split(no, count, tensors, GGUF_I32, 2, 3, 5, LLMQ_OK);
    check_split(no, count, tensors, GGUF_U32, 65534, 65535, 1, LLMQ_OK);
    check_split(no, count, tensors, GGUF_U32, 3, 3, 5, LLMQ_E_CORRUPT);
    check_split(no, count, tensors, GGUF_U32, 0, 0, 5, LLMQ_E_CORRUPT);
    check_split(no, count, tensors, GGUF_U32, 0, 2, 0, LLMQ_E_CORRUPT);
    check_split(no, count, tensors, GGUF_U32, 0, 65536, 1, LLMQ_E_CORRUPT);
    check_split(no, count, tensors, GGUF_I32, 0xffffffffu, 3, 1, LLMQ_E_CORRUPT);
    check_split(no, count, tensors, GGUF_F32, 0, 0x3f800000u, 0x3f800000u, LLMQ_E_CORRUPT);
    check_split("x", count, tensors, GGUF_U32, 0, 1, 1, LLMQ_E_CORRUPT);
    check_split(no, "y", tensors, GGUF_U32, 0, 1, 1, LLMQ_E_CORRUPT);
    check_split(no, count, "z", GGUF_U32, 0, 1, 1, LLMQ_E_CORRUPT);
}

/* ---- many ---- */

/* Each has a name of its own, but number twin that of number twin / 2. */
static void many(uint32_t values, uint32_t tensors, uint32_t twin)
{
    char name[80];
    uint32_t i, k;
    begin(tensors, values);
    for (i = 0; i < values; i++) {
        k = i == twin ? i / 2 : i;
        (void)snprintf(name, sizeof name, "a.key.that.begins.as.all.others.do.%ld", (long)(k * 7919 % values));
        add_u32(name, i);
    }
    for (i = 0; i < tensors; i++) {
        k = i == twin ? i / 2 : i;
        (void)snprintf(name, sizeof name, "a.name.that.begins.as.all.others.do.%ld", (long)(k * 7919 % tensors));
        add_tensor(name, 0, 8, 1, (uint64_t)32 * i);
    }
    while (made.n % 32) *more(1) = 0;
    add_zeros((size_t)tensors * 32);
}

/* The most that there may be; and a twin is found wherever it stands. */
static void test_many(void)
{
    static const uint32_t counts[] = { 63, 64, 65, 128, 129, 200 };
    uint32_t i, twin;
    clock_t start;
    gguf g;
    for (i = 0; i < sizeof counts / sizeof *counts; i++)
        for (twin = 1; twin <= counts[i]; twin += twin < 60 || twin > 66 ? 5 : 1) {
            check_at("%ld, twin %ld", (long)counts[i], (long)twin);
            many(counts[i], 0, twin);
            CHECK_EQ(gguf_open(&g, made.bytes, made.n), twin < counts[i] ? LLMQ_E_CORRUPT : LLMQ_OK);
            many(0, counts[i], twin);
            CHECK_EQ(gguf_open(&g, made.bytes, made.n), twin < counts[i] ? LLMQ_E_CORRUPT : LLMQ_OK);
        }
    check_at("%s", "as many as there may be");
    many(GGUF_MAX_VALUES, GGUF_MAX_TENSORS, GGUF_MAX_TENSORS);
    start = clock();
    CHECK_EQ(gguf_open(&g, made.bytes, made.n), LLMQ_OK);
    /* with sanitizers, on a slow machine; a comparison of all pairs takes minutes */
    CHECK((double)(clock() - start) < 20.0 * CLOCKS_PER_SEC);
    many(GGUF_MAX_VALUES, GGUF_MAX_TENSORS, GGUF_MAX_TENSORS - 1);
    CHECK_EQ(gguf_open(&g, made.bytes, made.n), LLMQ_E_CORRUPT);
    many(GGUF_MAX_VALUES + 1, 0, GGUF_MAX_TENSORS);
    CHECK_EQ(gguf_open(&g, made.bytes, made.n), LLMQ_E_LIMIT);
    check_at("%s", "");
}

int main(void)
{
    test_model();
    test_prefixes();
    test_every_byte();
    test_header();
    test_arrays();
    test_alignments();
    test_shapes();
    test_types();
    test_places();
    test_no_tensors();
    test_split();
    test_many();
    free(made.bytes);
    return check_done("test_gguf");
}
