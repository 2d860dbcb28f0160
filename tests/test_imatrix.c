/* test_imatrix.c - examples/imatrix.h: files made without it, files made by it, and files that
   are broken

   The first are in tests/vectors/imatrix_golden.h, which tests/gen/imatrix.py made. The broken
   ones are each opened and, if they open, used in every way, in memory of exactly their size;
   that is fuzz_imatrix.c. */
#include "check.h"
#include "../fuzz/fuzz_imatrix.c"

#define NUMBERS (sizeof golden_sums / 4)
#define ROOM 4096

static float sums[NUMBERS], counts[sizeof golden_counts / 4];
static imatrix_source source[GOLDEN_ENTRIES];
static const imatrix_origin origin = { GOLDEN_DATASET, GOLDEN_CHUNK_COUNT, GOLDEN_CHUNK_SIZE };

static void make_sources(void)
{
    size_t sum = 0, count = 0, i;
    memcpy(sums, golden_sums, sizeof sums);
    memcpy(counts, golden_counts, sizeof counts);
    for (i = 0; i < GOLDEN_ENTRIES; i++) {
        source[i].name = golden_shape[i].name;
        source[i].cols = golden_shape[i].cols;
        source[i].experts = golden_shape[i].experts;
        source[i].sums = sums + sum;
        source[i].counts = counts + count;
        sum += (size_t)source[i].cols * source[i].experts;
        count += source[i].experts;
    }
}

/* Opens a copy that ends where memory does. */
static llmq_status status_of(const unsigned char *bytes, size_t size)
{
    llmq_status status;
    const char *broken = use_exactly(use_imatrix, bytes, size, &status);
    if (broken) printf("%s\n", broken);
    CHECK(!broken);
    return status;
}

static int same_bits(const float *x, const uint32_t *bits, size_t n) { return memcmp(x, bits, n * 4) == 0; }

/* ---- files that are right ---- */

static void check_means(const imatrix *m)
{
    const uint32_t *expected = m->form == IMATRIX_GGUF ? golden_means : golden_means_legacy;
    float mean[32];
    imatrix_entry e;
    uint32_t i, k, count = 0;
    CHECK_EQ((long)m->count, GOLDEN_ENTRIES);
    for (i = 0; i < GOLDEN_ENTRIES; i++) {
        uint32_t cols = golden_shape[i].cols, experts = golden_shape[i].experts;
        check_at("form %d, %s", m->form, golden_shape[i].name);
        if (!CHECK_EQ(imatrix_find(m, golden_shape[i].name, &e), LLMQ_OK)) return;
        CHECK(e.name_length == strlen(golden_shape[i].name)
              && memcmp(e.name, golden_shape[i].name, e.name_length) == 0);
        if (m->form == IMATRIX_LEGACY) cols *= experts, experts = 1;
        CHECK(e.cols == cols && e.experts == experts);
        for (k = 0; k < experts; k++, expected += cols) {
            CHECK_EQ(imatrix_mean(&e, k, mean), LLMQ_OK);
            CHECK(same_bits(mean, expected, cols));
            if (m->form == IMATRIX_GGUF)
                CHECK(!(imatrix_count(&e, k) < counts[count] || imatrix_count(&e, k) > counts[count]));
            count++;
        }
    }
    CHECK_EQ(imatrix_find(m, "blk.0.attn_q.weigh", &e), LLMQ_E_NOT_FOUND);
    check_at("%s", "");
}

static void check_file(const unsigned char *bytes, size_t size, int form, uint32_t datasets)
{
    unsigned char *copy = copy_of(bytes, size);
    size_t length;
    imatrix m;
    CHECK_EQ(status_of(bytes, size), LLMQ_OK);
    if (CHECK_EQ(imatrix_open(&m, copy, size), LLMQ_OK)) {
        const char *dataset = imatrix_dataset(&m, datasets - 1, &length);
        CHECK(m.form == form && m.datasets == datasets && m.chunk_count == GOLDEN_CHUNK_COUNT);
        CHECK(m.chunk_size == (form == IMATRIX_GGUF ? GOLDEN_CHUNK_SIZE : 0u));
        CHECK(length == strlen(GOLDEN_DATASET) && memcmp(dataset, GOLDEN_DATASET, length) == 0);
        check_means(&m);
    }
    free(copy);
}

static void test_golden(void)
{
    unsigned char v2[sizeof golden_gguf];
    imatrix m;
    size_t length;
    check_file(golden_gguf, sizeof golden_gguf, IMATRIX_GGUF, 1);
    check_file(golden_foreign, sizeof golden_foreign, IMATRIX_GGUF, 2);
    check_file(golden_legacy, sizeof golden_legacy, IMATRIX_LEGACY, 1);
    memcpy(v2, golden_gguf, sizeof v2);
    v2[4] = 2;
    check_file(v2, sizeof v2, IMATRIX_GGUF, 1);
    if (!CHECK_EQ(imatrix_open(&m, golden_foreign, sizeof golden_foreign), LLMQ_OK)) return;
    CHECK(memcmp(imatrix_dataset(&m, 0, &length), "first.txt", 9) == 0 && length == 9);
}

/* ---- writing ---- */

static void check_written(int form, const unsigned char *expected, size_t size)
{
    check_wall w = check_wall_open(ROOM);
    unsigned char *out = w.end - size;
    check_at("form %d", form);
    CHECK_EQ((long)imatrix_size(form, source, GOLDEN_ENTRIES, &origin), (long)size);
    memset(out, 0x5a, size);
    CHECK_EQ(imatrix_write(form, source, GOLDEN_ENTRIES, &origin, out, size - 1), LLMQ_E_WORKSPACE);
    CHECK(out[0] == 0x5a && out[size - 1] == 0x5a);
    CHECK_EQ(imatrix_write(form, source, GOLDEN_ENTRIES, &origin, out, size), LLMQ_OK);
    CHECK(memcmp(out, expected, size) == 0);
    check_wall_close(&w);
}

/* The same importance in both forms, up to rounding. */
static void check_both_agree(void)
{
    size_t i;
    float a[NUMBERS], b[NUMBERS];
    memcpy(a, golden_means, sizeof a);
    memcpy(b, golden_means_legacy, sizeof b);
    for (i = 0; i < NUMBERS; i++) CHECK(check_abs((double)a[i] - (double)b[i]) <= 2e-7 * (double)a[i]);
}

static void test_no_dataset(void)
{
    static unsigned char out[ROOM];
    imatrix_origin nameless = { NULL, 0, 1 };
    imatrix m;
    size_t length;
    int form;
    for (form = IMATRIX_GGUF; form <= IMATRIX_LEGACY; form++) {
        size_t size = imatrix_size(form, source, 1, &nameless);
        if (!CHECK_EQ(imatrix_write(form, source, 1, &nameless, out, size), LLMQ_OK)) continue;
        if (!CHECK_EQ(imatrix_open(&m, out, size), LLMQ_OK)) continue;
        CHECK(m.count == 1 && m.chunk_count == 0);
        (void)imatrix_dataset(&m, 0, &length);
        CHECK_EQ((long)length, 0);
    }
}

/* The longest name, and one that occurs twice, which only another program can have written. */
static void test_edge_names(void)
{
    static const char longest[] = "a.name.of.fifty.five.bytes.which.is.what.llama.cpp.lets";
    unsigned char out[ROOM];
    imatrix_source s[2];
    imatrix m;
    imatrix_entry e;
    float mean;
    int form;
    for (form = IMATRIX_GGUF; form <= IMATRIX_LEGACY; form++) {
        size_t size;
        s[0].name = longest, s[0].cols = 1, s[0].experts = 1, s[0].sums = sums, s[0].counts = counts;
        s[1] = s[0], s[1].name = "b", s[1].sums = sums + 1;
        size = imatrix_size(form, s, 2, &origin);
        CHECK_EQ(imatrix_write(form, s, 2, &origin, out, size), LLMQ_OK);
        CHECK(imatrix_open(&m, out, size) == LLMQ_OK && imatrix_find(&m, longest, &e) == LLMQ_OK);
    }
    s[0].name = "a";
    CHECK_EQ(imatrix_write(IMATRIX_LEGACY, s, 2, &origin, out, sizeof out), LLMQ_OK);
    out[8] = 'b';
    CHECK(imatrix_open(&m, out, sizeof out) == LLMQ_OK && imatrix_find(&m, "b", &e) == LLMQ_OK);
    CHECK(imatrix_mean(&e, 0, &mean) == LLMQ_OK && same_bits(&mean, golden_means_legacy + 1, 1));
}

static void refuse(int form, const imatrix_source *s, uint32_t count, const imatrix_origin *from, llmq_status status,
                   int shape)
{
    unsigned char out[ROOM];
    memset(out, 0x5a, sizeof out);
    CHECK_EQ(imatrix_write(form, s, count, from, out, sizeof out), status);
    CHECK(out[0] == 0x5a);
    CHECK((imatrix_size(form, s, count, from) == 0) == shape);
}

static void test_refused(void)
{
    static const char long_name[] = "a.name.of.fifty.six.bytes.which.is.one.more.than.is.let.";
    const float inf = check_random() ? 1e30f * 1e30f : 0.0f;
    imatrix_origin from = origin;
    imatrix_source s[2];
    float sum[4] = { 1.0f, 1.0f, 1.0f, 1.0f }, count[2] = { 1.0f, 2.0f };
    int form;
    for (form = IMATRIX_GGUF; form <= IMATRIX_LEGACY; form++) {
        check_at("refused, form %d", form);
        /* two good entries, and one field of the first that is not */
#define S(field, value, status, shape) \
        s[0].name = "a", s[0].cols = 2, s[0].experts = 1, s[0].sums = sum, s[0].counts = count, \
        s[1] = s[0], s[1].name = "b", s[0].field = (value), refuse(form, s, 2, &from, status, shape)
        S(name, NULL, LLMQ_E_ARG, 1);
        S(name, "", LLMQ_E_ARG, 1);
        S(name, "b", LLMQ_E_ARG, 1);
        S(name, long_name, LLMQ_E_LIMIT, 1);
        S(cols, 0, LLMQ_E_ARG, 1);
        S(experts, 0, LLMQ_E_ARG, 1);
        S(experts, 0x40000000u, LLMQ_E_LIMIT, 1);
        S(sums, NULL, LLMQ_E_ARG, 0);
        S(counts, NULL, LLMQ_E_ARG, 0);
        count[0] = 0.5f, S(cols, 2, LLMQ_E_ARG, 0);
        count[0] = -1.0f, S(cols, 2, LLMQ_E_ARG, 0);
        count[0] = inf - inf, S(cols, 2, LLMQ_E_ARG, 0);
        count[0] = 2147483648.0f, S(cols, 2, LLMQ_E_ARG, 0);
        count[0] = 1.0f, sum[1] = -1.0f, S(cols, 2, LLMQ_E_ARG, 0);
        sum[1] = inf, S(cols, 2, LLMQ_E_NOT_FINITE, 0);
        sum[1] = inf - inf, S(cols, 2, LLMQ_E_NOT_FINITE, 0);
        sum[1] = 1.0f, from.chunk_size = 0, S(cols, 2, LLMQ_E_ARG, 1);
        from = origin, from.chunk_count = 0x80000000u, S(cols, 2, LLMQ_E_ARG, 1);
        from = origin;
        refuse(form, s, 0, &from, LLMQ_E_ARG, 1);
        refuse(form, s, IMATRIX_MAX_ENTRIES + 1, &from, LLMQ_E_LIMIT, 1);
        refuse(form, NULL, 1, &from, LLMQ_E_ARG, 1);
        refuse(form, s, 1, NULL, LLMQ_E_ARG, 1);
        refuse(2, s, 1, &from, LLMQ_E_ARG, 1);
        CHECK_EQ(imatrix_write(form, s, 2, &from, NULL, 4096), LLMQ_E_ARG);
    }
    form = IMATRIX_LEGACY;
    sum[0] = 3e38f, count[0] = 1.0f, count[1] = 2e9f; /* a large mean, of an expert that was called seldom */
    S(experts, 2, LLMQ_E_NOT_FINITE, 0);
    check_at("%s", "");
}

/* ---- files that are odd or broken ---- */

static size_t find(const unsigned char *bytes, size_t size, const char *s)
{
    size_t at = 0;
    while (at + strlen(s) < size && memcmp(bytes + at, s, strlen(s)) != 0) at++;
    return at;
}

/* The first entry's mean when its first sum and its count are these bits. */
static llmq_status mean_of(int form, uint32_t sum, uint32_t count, float *mean)
{
    unsigned char file[sizeof golden_gguf];
    imatrix m;
    imatrix_entry e;
    float out[7] = { -1.0f };
    llmq_status status;
    size_t at = 0, size = form == IMATRIX_GGUF ? sizeof golden_gguf : sizeof golden_legacy;
    memcpy(file, form == IMATRIX_GGUF ? golden_gguf : golden_legacy, size);
    if (imatrix_open(&m, file, size) != LLMQ_OK || imatrix_next(&m, &at, &e) != LLMQ_OK) return LLMQ_E_ARG;
    put32(file + (e.sums - file), sum);
    put32(file + (e.counts - file), count);
    status = imatrix_mean(&e, 0, out);
    if (status != LLMQ_OK) CHECK(out[0] < 0.0f);
    *mean = out[0];
    return status;
}

static void test_odd_numbers(void)
{
    static const uint32_t never[4] = { 0, 0x80000000u, 0xbf800000u, 0x7fc00000u }; /* 0, -0, -1, NaN */
    static const uint32_t bad[4] = { 0x7fc00000u, 0x7f800000u, 0xff800000u, 0xbf800000u }; /* NaN, infinities, -1 */
    static const uint32_t calls[3] = { 0, 0x80000000u, 0xffffffffu };
    float mean = 0.0f;
    int i;
    for (i = 0; i < 4; i++) {
        check_at("odd numbers %d", i);
        CHECK_EQ(mean_of(IMATRIX_GGUF, 0x7fc00000u, never[i], &mean), LLMQ_OK); /* 1 whatever the sums are */
        CHECK(mean >= 1.0f && mean <= 1.0f);
        CHECK_EQ(mean_of(IMATRIX_GGUF, bad[i], 0x3f800000u, &mean), LLMQ_E_CORRUPT);
        CHECK_EQ(mean_of(IMATRIX_LEGACY, bad[i], 1, &mean), LLMQ_E_CORRUPT);
        CHECK_EQ(mean_of(IMATRIX_LEGACY, bad[i], 0, &mean), LLMQ_E_CORRUPT);
        if (i == 3) break;
        CHECK_EQ(mean_of(IMATRIX_LEGACY, 0x40400000u, calls[i], &mean), LLMQ_OK); /* not divided */
        CHECK(mean >= 3.0f && mean <= 3.0f);
    }
    CHECK_EQ(mean_of(IMATRIX_GGUF, 0x3f800000u, 0x7f800000u, &mean), LLMQ_E_CORRUPT); /* an infinite count */
    CHECK_EQ(mean_of(IMATRIX_GGUF, 0x7f000000u, 0x00000001u, &mean), LLMQ_E_CORRUPT); /* a quotient that overflows */
    check_at("%s", "");
}

static void test_truncated(const unsigned char *bytes, size_t size, size_t whole)
{
    size_t n;
    for (n = 0; n < size; n++) {
        llmq_status status = status_of(bytes, n);
        check_at("%ld of %ld bytes", (long)n, (long)size);
        /* without what may be missing */
        if (bytes == golden_legacy && (n == whole || n == whole + 4)) CHECK_EQ(status, LLMQ_OK);
        else if (n < whole || bytes == golden_legacy) CHECK_EQ(status, LLMQ_E_TRUNCATED);
        else CHECK_EQ(status, LLMQ_OK); /* only padding is missing */
    }
    check_at("%s", "");
}

static void test_every_byte(const unsigned char *bytes, size_t size)
{
    static const unsigned char value[3] = { 0x00, 0x7f, 0xff };
    unsigned char *copy = copy_of(bytes, size);
    size_t i, k;
    for (i = 0; i < size; i++)
        for (k = 0; k < 3; k++) {
            copy[i] = value[k];
            check_at("byte %ld is %d", (long)i, value[k]);
            (void)status_of(copy, size);
            copy[i] = bytes[i];
        }
    free(copy);
    check_at("%s", "");
}

/* A GGUF file with four bytes changed, at an offset after a text (or from the start). */
static void broken_gguf(const char *after, size_t offset, uint32_t v, llmq_status status)
{
    unsigned char file[sizeof golden_foreign];
    size_t at = after ? find(golden_foreign, sizeof file, after) + strlen(after) : 0;
    memcpy(file, golden_foreign, sizeof file);
    put32(file + at + offset, v);
    check_at("%s + %ld is %lx", after ? after : "start", (long)offset, (unsigned long)v);
    CHECK_EQ(status_of(file, sizeof file), status);
    check_at("%s", "");
}

static void test_broken_gguf(void)
{
    const char *total = "attn_q.weight.in_sum2", *count = "attn_q.weight.counts";
    broken_gguf(NULL, 4, 1, LLMQ_E_UNSUPPORTED);
    broken_gguf(NULL, 4, 0x03000000u, LLMQ_E_UNSUPPORTED); /* big-endian */
    broken_gguf(NULL, 8, 0xffffffffu, LLMQ_E_LIMIT);
    broken_gguf(NULL, 8, 0, LLMQ_E_CORRUPT); /* no tensors */
    broken_gguf(NULL, 12, 0xffffffffu, LLMQ_E_LIMIT);
    broken_gguf(NULL, 20, 0xffffffffu, LLMQ_E_TRUNCATED);   /* more keys than there are */
    broken_gguf(NULL, 28, 0xffffffffu, LLMQ_E_TRUNCATED);   /* the length of the first key */
    broken_gguf("general.type", 0, 9, LLMQ_E_TRUNCATED);    /* an array */
    broken_gguf("general.type", 0, 13, LLMQ_E_UNSUPPORTED);
    broken_gguf("general.type", 12, 0x6d6d6d6du, LLMQ_E_MAGIC);
    broken_gguf("general.alignment", 4, 0, LLMQ_E_CORRUPT);
    broken_gguf("general.alignment", 4, 48, LLMQ_E_CORRUPT);
    broken_gguf("general.alignment", 4, 0x80000000u, LLMQ_E_TRUNCATED);
    broken_gguf("general.alignment", 0, 6, LLMQ_E_CORRUPT); /* a float */
    broken_gguf("imatrix.chunk_size", 0, 5, LLMQ_E_CORRUPT);
    broken_gguf("imatrix.datasets", 0, 4, LLMQ_E_CORRUPT);
    broken_gguf("imatrix.datasets", 4, 9, LLMQ_E_UNSUPPORTED); /* nested arrays */
    broken_gguf("imatrix.datasets", 12, 0xffffffffu, LLMQ_E_TRUNCATED);
    broken_gguf("x.numbers", 12, 0x40000000u, LLMQ_E_TRUNCATED); /* 2^62 numbers of 4 bytes */
    broken_gguf("x.halves", 0, 5, LLMQ_E_CORRUPT);
    broken_gguf(total, 0, 5, LLMQ_E_CORRUPT);           /* dimensions */
    broken_gguf(total, 4, 0, LLMQ_E_CORRUPT);           /* no columns */
    broken_gguf(total, 8, 0xffffffffu, LLMQ_E_LIMIT);
    broken_gguf(total, 4, 0x7fffffffu, LLMQ_E_TRUNCATED);
    broken_gguf(total, 20, 1, LLMQ_E_UNSUPPORTED);      /* halves */
    broken_gguf(total, 24, 4, LLMQ_E_CORRUPT);          /* an offset that is not aligned */
    broken_gguf(total, 24, 0xffffffc0u, LLMQ_E_TRUNCATED);
    broken_gguf(total, 28, 0xffffffffu, LLMQ_E_TRUNCATED);
    broken_gguf(count, 4, 2, LLMQ_E_CORRUPT);           /* two counts of seven columns */
    broken_gguf(count, 4, 7, LLMQ_OK);
    broken_gguf(count, (size_t)0 - 4, 0x6d6d6d6du, LLMQ_E_CORRUPT); /* sums without counts */
    broken_gguf(total, (size_t)0 - 4, 0x6d6d6d6du, LLMQ_E_CORRUPT);  /* counts without sums */
}

static void broken_legacy(size_t offset, uint32_t v, llmq_status status)
{
    unsigned char file[sizeof golden_legacy];
    memcpy(file, golden_legacy, sizeof file);
    put32(file + offset, v);
    check_at("legacy, %ld is %lx", (long)offset, (unsigned long)v);
    CHECK_EQ(status_of(file, sizeof file), status);
    check_at("%s", "");
}

static void test_broken_legacy(size_t trailer)
{
    size_t values = 4 + 4 + strlen(golden_shape[0].name) + 4;
    broken_legacy(0, 0, LLMQ_E_MAGIC);
    broken_legacy(0, 0xffffffffu, LLMQ_E_MAGIC);
    broken_legacy(0, IMATRIX_MAX_ENTRIES + 1, LLMQ_E_MAGIC);
    broken_legacy(4, 0, LLMQ_E_CORRUPT);
    broken_legacy(4, 0xffffffffu, LLMQ_E_CORRUPT);
    broken_legacy(4, 0x7fffffffu, LLMQ_E_TRUNCATED);
    broken_legacy(values, 0, LLMQ_E_CORRUPT);
    broken_legacy(values, 0x80000000u, LLMQ_E_CORRUPT);
    broken_legacy(values, 0x7fffffffu, LLMQ_E_TRUNCATED);
    broken_legacy(trailer, 0xffffffffu, LLMQ_E_CORRUPT);
    broken_legacy(trailer + 4, 0xffffffffu, LLMQ_E_CORRUPT);
    broken_legacy(trailer + 4, 0x7fffffffu, LLMQ_E_TRUNCATED);
    broken_legacy(trailer + 4, 0, LLMQ_OK);
}

/* ---- names ---- */

static void check_name(const char *llama, const char *llmq)
{
    char out[64] = "?";
    check_at("name %s", llama);
    CHECK_EQ(imatrix_name_to_llmq(llama, strlen(llama), out), LLMQ_OK);
    CHECK(strcmp(out, llmq) == 0);
    CHECK_EQ(imatrix_name_from_llmq(llmq, strlen(llmq), out), LLMQ_OK);
    CHECK(strcmp(out, llama) == 0);
}

static void test_names(void)
{
    static const char *const none[] = { "", "blk.", "blk..attn_q.weight", "blk.1.attn_q.weights",
                                        "blk.1x.attn_q.weight", "blk.12345678901.attn_q.weight", "blk.1.wq",
                                        ".attn_q.weight", "output.weight1", "output", "1output.weight",
                                        "blk.01.attn_q.weight", "layers.00.wq", "blk.4294967296.attn_q.weight",
                                        "layers.9999999999.wq", "blk.+1.attn_q.weight", "layers.-1.wq" };
    char out[64] = "?";
    size_t i;
    check_name("blk.0.attn_q.weight", "layers.0.wq");
    check_name("blk.7.attn_k.weight", "layers.7.wk");
    check_name("blk.10.attn_v.weight", "layers.10.wv");
    check_name("blk.4294967295.attn_output.weight", "layers.4294967295.wo");
    check_name("blk.31.ffn_gate.weight", "layers.31.w1");
    check_name("blk.31.ffn_down.weight", "layers.31.w2");
    check_name("blk.31.ffn_up.weight", "layers.31.w3");
    check_name("output.weight", "classifier");
    check_name("token_embd.weight", "embed");
    for (i = 0; i < sizeof none / sizeof *none; i++) {
        check_at("no name %s", none[i]);
        CHECK_EQ(imatrix_name_to_llmq(none[i], strlen(none[i]), out), LLMQ_E_NOT_FOUND);
        CHECK_EQ(imatrix_name_from_llmq(none[i], strlen(none[i]), out), LLMQ_E_NOT_FOUND);
    }
    CHECK(strcmp(out, "?") == 0);
    check_at("%s", "");
}

int main(void)
{
    size_t trailer = sizeof golden_legacy - 8 - strlen(GOLDEN_DATASET);
    make_sources();
    test_golden();
    check_written(IMATRIX_GGUF, golden_gguf, sizeof golden_gguf);
    check_written(IMATRIX_LEGACY, golden_legacy, sizeof golden_legacy);
    check_both_agree();
    test_no_dataset();
    test_edge_names();
    test_refused();
    test_odd_numbers();
    test_truncated(golden_gguf, sizeof golden_gguf, sizeof golden_gguf - 28); /* the last tensor is one float, padded */
    test_truncated(golden_foreign, sizeof golden_foreign, sizeof golden_foreign - 56); /* two floats */
    test_truncated(golden_legacy, sizeof golden_legacy, trailer);
    test_every_byte(golden_gguf, sizeof golden_gguf);
    test_every_byte(golden_foreign, sizeof golden_foreign);
    test_every_byte(golden_legacy, sizeof golden_legacy);
    test_broken_gguf();
    test_broken_legacy(trailer);
    test_names();
    return check_done("test_imatrix");
}
