/* test_safetensors.c - examples/safetensors.h and examples/json.h: files and texts that they did not
   make, and those that are odd or hostile

   The first are in tests/vectors/safetensors_golden.h, which tests/gen/models.py made. The others are
   put together here. Each is opened and, if it opens, used in every way, in memory of exactly its
   size; that is fuzz_safetensors.c. */
#include "check.h"
#include "files.h"
#include "../fuzz/fuzz_safetensors.c"
#include <time.h>

#define STORED (sizeof golden_stored / sizeof *golden_stored)

/* The status of a file, index or text; used as all three. */
static llmq_status status_of(const void *bytes, size_t size, char kind)
{
    unsigned char *copy = copy_of(bytes, size);
    use_bytes all = { copy, size };
    llmq_status file, index, text;
    json_value root;
    const char *broken = use_safetensors(copy, size, &file);
    if (!broken) broken = use_index(copy, size, &index);
    if (!broken) broken = use_text(all);
    if (broken) printf("%s\n", broken);
    CHECK(!broken);
    text = json_open(&root, copy, size);
    free(copy);
    return kind == 's' ? file : kind == 'i' ? index : text;
}

/* ---- JSON ---- */

static void text_is(const char *s, size_t size, llmq_status status)
{
    check_at("%.100s", s);
    CHECK_EQ(status_of(s, size, 'j'), status);
    check_at("%s", "");
}

#define TEXT(s, status) text_is(s, sizeof(s) - 1, status)

static void test_grammar(void)
{
    TEXT("{}", LLMQ_OK);
    TEXT(" [ ] ", LLMQ_OK);
    TEXT("\t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : null }\n", LLMQ_OK);
    TEXT("true", LLMQ_OK);
    TEXT("false", LLMQ_OK);
    TEXT("[[],{},[{}],[[[]]]]", LLMQ_OK);
    TEXT("{\"\":{\"\":[]}}", LLMQ_OK);
    TEXT("", LLMQ_E_TRUNCATED);
    TEXT("  ", LLMQ_E_TRUNCATED);
    TEXT("[1,]", LLMQ_E_CORRUPT);
    TEXT("[,1]", LLMQ_E_CORRUPT);
    TEXT("[1 2]", LLMQ_E_CORRUPT);
    TEXT("[1,,2]", LLMQ_E_CORRUPT);
    TEXT("{\"a\":1,}", LLMQ_E_CORRUPT);
    TEXT("{,\"a\":1}", LLMQ_E_CORRUPT);
    TEXT("{\"a\",1}", LLMQ_E_CORRUPT);
    TEXT("{\"a\" 1}", LLMQ_E_CORRUPT);
    TEXT("{\"a\":}", LLMQ_E_CORRUPT);
    TEXT("{a:1}", LLMQ_E_CORRUPT);
    TEXT("{1:1}", LLMQ_E_CORRUPT);
    TEXT("[}", LLMQ_E_CORRUPT);
    TEXT("{]", LLMQ_E_CORRUPT);
    TEXT("[1}", LLMQ_E_CORRUPT);
    TEXT("{\"a\":1]", LLMQ_E_CORRUPT);
    TEXT("[]]", LLMQ_E_CORRUPT);
    TEXT("1 2", LLMQ_E_CORRUPT);
    TEXT("tru", LLMQ_E_TRUNCATED);
    TEXT("True", LLMQ_E_CORRUPT);
    TEXT("nul1", LLMQ_E_CORRUPT);
    TEXT("truefalse", LLMQ_E_CORRUPT);
    TEXT("[1]//", LLMQ_E_CORRUPT);
    TEXT("[1]/**/", LLMQ_E_CORRUPT);
    TEXT("[\0]", LLMQ_E_CORRUPT);
    TEXT("[]\0", LLMQ_E_CORRUPT);
    TEXT("\f[]", LLMQ_E_CORRUPT);
    TEXT("\xc2\xa0[]", LLMQ_E_CORRUPT);
    TEXT("\xef\xbb\xbf[]", LLMQ_E_CORRUPT); /* a byte order mark */
    TEXT("'a'", LLMQ_E_CORRUPT);
    TEXT("[", LLMQ_E_TRUNCATED);
    TEXT("[1", LLMQ_E_TRUNCATED);
    TEXT("[1,", LLMQ_E_TRUNCATED);
    TEXT("{\"a\"", LLMQ_E_TRUNCATED);
    TEXT("{\"a\":", LLMQ_E_TRUNCATED);
    TEXT("{\"a\":1", LLMQ_E_TRUNCATED);
}

static void test_bad_numbers(void)
{
    TEXT("01", LLMQ_E_CORRUPT);
    TEXT("-01", LLMQ_E_CORRUPT);
    TEXT("+1", LLMQ_E_CORRUPT);
    TEXT(".5", LLMQ_E_CORRUPT);
    TEXT("[5.]", LLMQ_E_CORRUPT);
    TEXT("[1e]", LLMQ_E_CORRUPT);
    TEXT("[1e+]", LLMQ_E_CORRUPT);
    TEXT("[-]", LLMQ_E_CORRUPT);
    TEXT("-", LLMQ_E_TRUNCATED);
    TEXT("1.", LLMQ_E_TRUNCATED);
    TEXT("1e-", LLMQ_E_TRUNCATED);
    TEXT("0x10", LLMQ_E_CORRUPT);
    TEXT("1_0", LLMQ_E_CORRUPT);
    TEXT("NaN", LLMQ_E_CORRUPT);
    TEXT("Infinity", LLMQ_E_CORRUPT);
    TEXT("-Infinity", LLMQ_E_CORRUPT);
    TEXT("--1", LLMQ_E_CORRUPT);
    TEXT("1.2.3", LLMQ_E_CORRUPT);
    TEXT("1e1.5", LLMQ_E_CORRUPT);
}

static void test_bad_strings(void)
{
    TEXT("\"", LLMQ_E_TRUNCATED);
    TEXT("\"\\\"", LLMQ_E_TRUNCATED);
    TEXT("\"\\", LLMQ_E_TRUNCATED);
    TEXT("\"\\u12", LLMQ_E_TRUNCATED);
    TEXT("\"\\ud83d", LLMQ_E_TRUNCATED);
    TEXT("\"\\a\"", LLMQ_E_CORRUPT);
    TEXT("\"\\0\"", LLMQ_E_CORRUPT);
    TEXT("\"\\\0\"", LLMQ_E_CORRUPT);
    TEXT("\"\\x41\"", LLMQ_E_CORRUPT);
    TEXT("\"\\U0041\"", LLMQ_E_CORRUPT);
    TEXT("\"\\u12\"", LLMQ_E_CORRUPT);
    TEXT("\"\\u12g4\"", LLMQ_E_CORRUPT);
    TEXT("\"\n\"", LLMQ_E_CORRUPT);
    TEXT("\"\x1f\"", LLMQ_E_CORRUPT);
    TEXT("\"\0\"", LLMQ_E_CORRUPT);
    TEXT("\"\x7f\"", LLMQ_OK);
    TEXT("\"\\ud83d\"", LLMQ_E_CORRUPT);         /* half a pair */
    TEXT("\"\\ude00\"", LLMQ_E_CORRUPT);
    TEXT("\"\\ude00\\ud83d\"", LLMQ_E_CORRUPT);
    TEXT("\"\\ud83d\\ud83d\"", LLMQ_E_CORRUPT);
    TEXT("\"\\ud83dxude00\"", LLMQ_E_CORRUPT);
    TEXT("\"\\ud83d\\n\"", LLMQ_E_CORRUPT);
    TEXT("\"\x80\"", LLMQ_E_CORRUPT);
    TEXT("\"\xc0\x80\"", LLMQ_E_CORRUPT);        /* overlong */
    TEXT("\"\xc1\xbf\"", LLMQ_E_CORRUPT);
    TEXT("\"\xc2\x80\"", LLMQ_OK);
    TEXT("\"\xe0\x9f\xbf\"", LLMQ_E_CORRUPT);
    TEXT("\"\xe0\xa0\x80\"", LLMQ_OK);
    TEXT("\"\xf0\x8f\xbf\xbf\"", LLMQ_E_CORRUPT);
    TEXT("\"\xf0\x90\x80\x80\"", LLMQ_OK);
    TEXT("\"\xed\x9f\xbf\"", LLMQ_OK);
    TEXT("\"\xed\xa0\x80\"", LLMQ_E_CORRUPT);    /* a surrogate */
    TEXT("\"\xf4\x8f\xbf\xbf\"", LLMQ_OK);
    TEXT("\"\xf4\x90\x80\x80\"", LLMQ_E_CORRUPT); /* over U+10FFFF */
    TEXT("\"\xf5\x80\x80\x80\"", LLMQ_E_CORRUPT);
    TEXT("\"\xff\"", LLMQ_E_CORRUPT);
    TEXT("\"\xe2\x82\"", LLMQ_E_CORRUPT);
    TEXT("\"\xe2\x82", LLMQ_E_TRUNCATED);
    TEXT("\"\xe2\"\"", LLMQ_E_CORRUPT);
}

static void test_depth(void)
{
    static const char *const open[3] = { "[", "{\"a\":", "[{\"a\":" }, *const close[3] = { "]", "}", "}]" };
    char text[1024];
    uint32_t kind, depth, i;
    for (kind = 0; kind < 3; kind++)
        for (depth = 1; depth <= JSON_MAX_DEPTH + 2; depth++) {
            text[0] = 0;
            for (i = 0; i < depth; i++) strcat(text, open[kind]);
            strcat(text, "0");
            for (i = 0; i < depth; i++) strcat(text, close[kind]);
            text_is(text, strlen(text), depth * (kind == 2 ? 2 : 1) <= JSON_MAX_DEPTH ? LLMQ_OK : LLMQ_E_LIMIT);
        }
}

static llmq_status number_of(const char *text, double *x)
{
    json_value v;
    llmq_status status = json_open(&v, text, strlen(text));
    return status == LLMQ_OK ? json_number(&v, x) : status;
}

static llmq_status integer_of(const char *text, uint64_t *x)
{
    json_value v;
    llmq_status status = json_open(&v, text, strlen(text));
    return status == LLMQ_OK ? json_integer(&v, x) : status;
}

static void test_numbers(void)
{
    double x = 0.0;
    uint64_t u = 7;
    size_t i;
    for (i = 0; i < sizeof golden_number / sizeof *golden_number; i++) {
        check_at("%s", golden_number[i].text);
        CHECK_EQ(number_of(golden_number[i].text, &x), LLMQ_OK);
        CHECK(memcmp(&x, &golden_number[i].bits, sizeof x) == 0);
    }
    check_at("%s", "");
    x = -7.0;
    CHECK_EQ(number_of("1e309", &x), LLMQ_E_LIMIT);
    CHECK_EQ(number_of("-1.7976931348623159e308", &x), LLMQ_E_LIMIT);
    CHECK_EQ(number_of("1e99999999999999999999999", &x), LLMQ_E_LIMIT);
    CHECK_EQ(number_of("12345678901234567891", &x), LLMQ_E_LIMIT);
    CHECK_EQ(number_of("1.0000000000000000001", &x), LLMQ_E_LIMIT);
    CHECK(x < -6.0 && x > -8.0);
    CHECK_EQ(number_of("1234567890123456789", &x), LLMQ_OK);
    CHECK(integer_of("0", &u) == LLMQ_OK && u == 0);
    CHECK(integer_of("18446744073709551615", &u) == LLMQ_OK && u == ~(uint64_t)0);
    CHECK_EQ(integer_of("18446744073709551616", &u), LLMQ_E_LIMIT);
    CHECK_EQ(integer_of("99999999999999999999999", &u), LLMQ_E_LIMIT);
    CHECK_EQ(integer_of("-1", &u), LLMQ_E_CORRUPT);
    CHECK_EQ(integer_of("1.0", &u), LLMQ_E_CORRUPT);
    CHECK_EQ(integer_of("1e2", &u), LLMQ_E_CORRUPT);
    CHECK_EQ(integer_of("\"1\"", &u), LLMQ_E_CORRUPT);
    CHECK(u == ~(uint64_t)0);
}

static void test_strings(void)
{
    char out[64];
    size_t i, length;
    json_value v;
    for (i = 0; i < sizeof golden_string / sizeof *golden_string; i++) {
        const size_t n = golden_string[i].length;
        check_at("string %d", (int)i);
        if (!CHECK_EQ(json_open(&v, golden_string[i].text, strlen(golden_string[i].text)), LLMQ_OK)) continue;
        memset(out, 0x5a, sizeof out);
        CHECK_EQ(json_string(&v, out, n, &length), LLMQ_OK);
        CHECK(length == n && memcmp(out, golden_string[i].utf8, n) == 0 && out[n] == 0x5a);
        if (n > 0) {
            out[n - 1] = 0x5a;
            CHECK_EQ(json_string(&v, out, n - 1, &length), LLMQ_E_WORKSPACE);
            CHECK(length == n && out[n - 1] == 0x5a && memcmp(out, golden_string[i].utf8, n - 1) == 0);
        }
        CHECK(json_is(&v, golden_string[i].utf8) == (strlen(golden_string[i].utf8) == n));
        CHECK(!json_is(&v, "abcd") && !json_is(&v, "ab"));
    }
    check_at("%s", "");
}

static void test_walk(void)
{
    static const char text[] = " { \"a\" : [ 1 , [ ] , \"]\\\"\" , {\"b\":{}} ] , \"b\\u0062\":2 ,\"a\":3}";
    json_value root, key, value, inner;
    size_t at = 0, in = 0;
    uint64_t u = 0;
    if (!CHECK_EQ(json_open(&root, text, sizeof text - 1), LLMQ_OK)) return;
    CHECK(root.type == JSON_OBJECT && root.size == sizeof text - 2);
    CHECK(json_next(&root, &at, &key, &value) == LLMQ_OK && json_is(&key, "a") && value.type == JSON_ARRAY);
    CHECK(json_next(&value, &in, &key, &inner) == LLMQ_OK && json_integer(&inner, &u) == LLMQ_OK && u == 1);
    CHECK(json_is(&key, "a")); /* elements of an array have none */
    CHECK(json_next(&value, &in, NULL, &inner) == LLMQ_OK && inner.type == JSON_ARRAY && inner.size == 3);
    CHECK(json_next(&value, &in, NULL, &inner) == LLMQ_OK && json_is(&inner, "]\""));
    CHECK(json_next(&value, &in, NULL, &inner) == LLMQ_OK && inner.type == JSON_OBJECT && inner.size == 8);
    CHECK_EQ(json_next(&value, &in, NULL, &inner), LLMQ_E_NOT_FOUND);
    CHECK_EQ(json_next(&value, &in, NULL, &inner), LLMQ_E_NOT_FOUND);
    CHECK(json_next(&root, &at, NULL, &value) == LLMQ_OK && json_integer(&value, &u) == LLMQ_OK && u == 2);
    CHECK(json_next(&root, &at, NULL, &value) == LLMQ_OK && json_integer(&value, &u) == LLMQ_OK && u == 3);
    CHECK_EQ(json_next(&root, &at, NULL, &value), LLMQ_E_NOT_FOUND);
    CHECK(json_find(&root, "bb", &value) == LLMQ_OK && json_integer(&value, &u) == LLMQ_OK && u == 2);
    CHECK(json_find(&root, "a", &value) == LLMQ_OK && value.type == JSON_ARRAY);
    CHECK_EQ(json_find(&root, "b", &value), LLMQ_E_NOT_FOUND);
    CHECK_EQ(json_find(&value, "b", &value), LLMQ_E_CORRUPT);
    CHECK_EQ(json_distinct(&root), LLMQ_E_CORRUPT); /* a twice */
}

/* ---- texts put together ---- */

typedef struct maker {
    char *text;
    size_t n, room;
} maker;

static maker made;

static void add_bytes(const void *bytes, size_t n)
{
    if (made.room - made.n < n) {
        made.room = 2 * made.room + n;
        made.text = (char *)realloc(made.text, made.room);
        if (!made.text) exit(2);
    }
    if (n) memcpy(made.text + made.n, bytes, n);
    made.n += n;
}

static void add(const char *s) { add_bytes(s, strlen(s)); }

/* A file of this header and n bytes of data. */
static void file(const char *header, size_t n)
{
    unsigned char length[8] = { 0 };
    put32(length, (uint32_t)strlen(header));
    made.n = 0;
    add_bytes(length, 8);
    add(header);
    for (; n > 0; n--) add_bytes("", 1);
}

static void file_is(const char *header, size_t n, llmq_status status)
{
    file(header, n);
    check_at("%.140s", header);
    CHECK_EQ(status_of(made.text, made.n, 's'), status);
    check_at("%s", "");
}

static void test_distinct(void)
{
    static const uint32_t counts[] = { 2, 255, 256, 257, 512, 600 };
    char member[32];
    json_value v;
    uint32_t i, k, twin;
    for (i = 0; i < sizeof counts / sizeof *counts; i++)
        for (twin = 1; twin <= counts[i]; twin += twin < 250 || twin > 260 ? 31 : 1) {
            made.n = 0;
            add("{");
            for (k = 0; k < counts[i]; k++) {
                /* number twin is number twin / 2, spelt otherwise */
                (void)snprintf(member, sizeof member, "%s\"%s%ld\":0", k ? "," : "", k == twin ? "\\u006b" : "k",
                               (long)((k == twin ? k / 2 : k) * 7919 % counts[i]));
                add(member);
            }
            add("}");
            check_at("%ld, twin %ld", (long)counts[i], (long)twin);
            CHECK_EQ(json_open(&v, made.text, made.n), LLMQ_OK);
            CHECK_EQ(json_distinct(&v), twin < counts[i] ? LLMQ_E_CORRUPT : LLMQ_OK);
        }
    check_at("%s", "");
}

/* ---- files ---- */

static void test_golden(void)
{
    safetensors s;
    safetensors_tensor t;
    float out[64];
    size_t i, row, d;
    CHECK_EQ(status_of(golden_safetensors, sizeof golden_safetensors, 's'), LLMQ_OK);
    if (!CHECK_EQ(safetensors_open(&s, golden_safetensors, sizeof golden_safetensors), LLMQ_OK)) return;
    CHECK_EQ((long)s.tensors, (long)STORED);
    for (i = 0; i < STORED; i++) {
        check_at("%s", golden_stored[i].name);
        if (!CHECK_EQ(safetensors_find(&s, golden_stored[i].name, &t), LLMQ_OK)) continue;
        CHECK(strcmp(safetensors_type_name(t.type), golden_stored[i].type) == 0 && t.dims == golden_stored[i].dims);
        for (d = 0; d < t.dims; d++) CHECK(t.shape[d] == golden_stored[i].shape[d]);
        if (t.rows == 0) continue;
        out[0] = -7.5f;
        if (!golden_stored[i].floats) {
            CHECK_EQ(safetensors_row(&t, 0, out), LLMQ_E_UNSUPPORTED);
            CHECK(out[0] < -7.0f);
            continue;
        }
        for (row = 0; row < t.rows; row++) CHECK_EQ(safetensors_row(&t, row, out + row * t.cols), LLMQ_OK);
        CHECK(checksum_of(out, (size_t)(t.rows * t.cols)) == golden_stored[i].floats);
        CHECK_EQ(safetensors_row(&t, t.rows, out), LLMQ_E_ARG);
        CHECK_EQ(safetensors_row(&t, 0, NULL), LLMQ_E_ARG);
    }
    CHECK_EQ(safetensors_find(&s, "__metadata__", &t), LLMQ_E_NOT_FOUND);
    CHECK_EQ(safetensors_find(&s, "f3", &t), LLMQ_E_NOT_FOUND);
    CHECK_EQ(safetensors_open(NULL, golden_safetensors, 9), LLMQ_E_ARG);
    CHECK_EQ(safetensors_open(&s, NULL, 9), LLMQ_E_ARG);
    CHECK(strcmp(safetensors_type_name(16), "?") == 0);
    check_at("%s", "");
}

static void test_prefixes(void)
{
    size_t n;
    for (n = 0; n < sizeof golden_safetensors; n++) {
        check_at("%ld bytes of a file", (long)n);
        CHECK_EQ(status_of(golden_safetensors, n, 's'), LLMQ_E_TRUNCATED);
    }
    for (n = 0; n < sizeof golden_index; n++) {
        check_at("%ld bytes of an index", (long)n);
        CHECK_EQ(status_of(golden_index, n, 'i'), LLMQ_E_TRUNCATED);
    }
    check_at("%s", "");
}

static void test_every_byte(void)
{
    static const char value[] = { 0x00, 0x7f, '"', '\\', '}', ']', ',', '0', '9', '-' };
    unsigned char copy[sizeof golden_safetensors];
    size_t i, k;
    memcpy(copy, golden_safetensors, sizeof copy);
    for (i = 0; i < sizeof copy; i++)
        for (k = 0; k < sizeof value; k++) {
            copy[i] = (unsigned char)value[k];
            check_at("byte %ld is %d", (long)i, value[k]);
            (void)status_of(copy, sizeof copy, 's');
            copy[i] = golden_safetensors[i];
        }
    check_at("%s", "");
}

#define T(shape, begin, end) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void test_headers(void)
{
    static const char large[] = "\xff\xff\xff\xff\xff\xff\xff\xff{}";
    file_is("{}", 0, LLMQ_OK);
    file_is("{}   ", 0, LLMQ_OK);
    file_is("{}", 1, LLMQ_E_CORRUPT); /* a byte that belongs to no tensor */
    file_is("[]", 0, LLMQ_E_MAGIC);
    file_is(" {}", 0, LLMQ_E_MAGIC);
    file_is("{", 0, LLMQ_E_CORRUPT);
    file_is("{}{}", 0, LLMQ_E_CORRUPT);
    file_is("{\"__metadata__\":{\"a\":\"b\"}}", 0, LLMQ_OK);
    file_is("{\"a\":1}", 0, LLMQ_E_CORRUPT);
    CHECK_EQ(status_of(large, sizeof large - 1, 's'), LLMQ_E_TRUNCATED);
    file_is("{\"a\":" T("[2]", "0", "8") "}", 8, LLMQ_OK);
    file_is("{\"a\":" T("[2]", "0", "8") "}", 7, LLMQ_E_TRUNCATED);
    file_is("{\"a\":" T("[2]", "0", "8") "}", 9, LLMQ_E_CORRUPT);
    file_is("{\"\":" T("[2]", "0", "8") "}", 8, LLMQ_E_CORRUPT);
    file_is("{\"\\u0061\":" T("[2]", "0", "8") "}", 8, LLMQ_E_UNSUPPORTED);
    file_is("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"shape\":[2]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":0}}", 8, LLMQ_E_UNSUPPORTED);
    file_is("{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LLMQ_E_UNSUPPORTED);
    file_is("{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, LLMQ_E_LIMIT);
}

static void test_shapes(void)
{
    file_is("{\"a\":" T("[]", "0", "4") "}", 4, LLMQ_OK);
    file_is("{\"a\":" T("[1,1,1,1,1,1,1,2]", "0", "8") "}", 8, LLMQ_OK);
    file_is("{\"a\":" T("[1,1,1,1,1,1,1,1,2]", "0", "8") "}", 8, LLMQ_E_LIMIT);
    file_is("{\"a\":" T("[0]", "0", "0") "}", 0, LLMQ_OK);
    file_is("{\"a\":" T("[0,9223372036854775807]", "0", "0") "}", 0, LLMQ_OK);
    file_is("{\"a\":" T("[9223372036854775807,0]", "0", "0") "}", 0, LLMQ_OK);
    file_is("{\"a\":" T("[9223372036854775808]", "0", "0") "}", 0, LLMQ_E_LIMIT);
    file_is("{\"a\":" T("[2]", "0", "4") "}", 4, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[2]", "0", "9") "}", 9, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[4294967296,4294967296]", "0", "0") "}", 0, LLMQ_E_LIMIT);   /* 2^64 elements */
    file_is("{\"a\":" T("[2147483648,2147483648]", "0", "0") "}", 0, LLMQ_E_CORRUPT); /* 2^64 bytes */
    file_is("{\"a\":" T("[18446744073709551617]", "0", "4") "}", 4, LLMQ_E_LIMIT);
    file_is("{\"a\":" T("[-1]", "0", "4") "}", 4, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[1.0]", "0", "4") "}", 4, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[1]", "4", "0") "}", 4, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[1]", "18446744073709551612", "18446744073709551615") "}", 4, LLMQ_E_TRUNCATED);
    file_is("{\"a\":" T("[1]", "18446744073709551612", "0") "}", 4, LLMQ_E_CORRUPT);
}

static void test_places(void)
{
    file_is("{\"a\":" T("[2]", "8", "16") ",\"b\":" T("[2]", "0", "8") "}", 16, LLMQ_OK);
    file_is("{\"a\":" T("[2]", "0", "8") ",\"a\":" T("[2]", "8", "16") "}", 16, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[2]", "0", "8") ",\"b\":" T("[2]", "0", "8") "}", 8, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[2]", "0", "8") ",\"b\":" T("[2]", "0", "8") "}", 16, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[2]", "0", "8") ",\"b\":" T("[2]", "4", "12") "}", 16, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[2]", "0", "8") ",\"b\":" T("[2]", "12", "20") "}", 20, LLMQ_E_CORRUPT); /* a gap */
    file_is("{\"a\":" T("[2]", "4", "12") "}", 12, LLMQ_E_CORRUPT);
    file_is("{\"a\":" T("[0]", "4", "4") ",\"b\":" T("[2]", "0", "8") "}", 8, LLMQ_OK);
}

/* count tensors of 4 bytes, out of order; that of number twin where number twin / 2 is. */
static void many(uint32_t count, uint32_t twin)
{
    unsigned char length[8] = { 0 };
    char member[128];
    uint32_t i, at;
    made.n = 0;
    add_bytes(length, 8);
    add("{");
    for (i = 0; i < count; i++) {
        at = (i == twin ? i / 2 : i) * 7919 % count * 4;
        (void)snprintf(member, sizeof member, "%s\"t%ld\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%ld,%ld]}",
                       i ? "," : "", (long)i, (long)at, (long)at + 4);
        add(member);
    }
    add("}");
    put32(length, (uint32_t)made.n - 8);
    memcpy(made.text, length, 8);
    for (i = 0; i < count; i++) add_bytes("\0\0\0\0", 4);
}

static void test_many(void)
{
    static const uint32_t counts[] = { 127, 128, 129, 256, 257, 300 };
    uint32_t i, twin;
    safetensors s;
    clock_t start;
    for (i = 0; i < sizeof counts / sizeof *counts; i++)
        for (twin = 1; twin <= counts[i]; twin += twin < 122 || twin > 132 ? 17 : 1) {
            check_at("%ld, twin %ld", (long)counts[i], (long)twin);
            many(counts[i], twin);
            CHECK_EQ(safetensors_open(&s, made.text, made.n), twin < counts[i] ? LLMQ_E_CORRUPT : LLMQ_OK);
        }
    check_at("%s", "as many as there may be");
    many(SAFETENSORS_MAX_TENSORS, SAFETENSORS_MAX_TENSORS);
    start = clock();
    CHECK_EQ(safetensors_open(&s, made.text, made.n), LLMQ_OK);
    /* with sanitizers, on a slow machine; a comparison of all pairs takes minutes */
    CHECK((double)(clock() - start) < 60.0 * CLOCKS_PER_SEC);
    many(SAFETENSORS_MAX_TENSORS + 1, SAFETENSORS_MAX_TENSORS + 1);
    CHECK_EQ(safetensors_open(&s, made.text, made.n), LLMQ_E_LIMIT);
    check_at("%s", "");
}

/* ---- the index ---- */

static void index_is(const char *text, llmq_status status)
{
    check_at("%.140s", text);
    CHECK_EQ(status_of(text, strlen(text), 'i'), status);
    check_at("%s", "");
}

static int place_is(const safetensors_place *p, const char *name, const char *where)
{
    return p->name_length == strlen(name) && !memcmp(p->name, name, p->name_length) &&
           p->file_length == strlen(where) && !memcmp(p->file, where, p->file_length);
}

static void test_index(void)
{
    safetensors_index x;
    safetensors_place p;
    size_t at = 0;
    if (!CHECK_EQ(safetensors_index_open(&x, golden_index, sizeof golden_index), LLMQ_OK)) return;
    CHECK_EQ((long)x.tensors, 3);
    CHECK_EQ(safetensors_index_next(&x, &at, &p), LLMQ_OK);
    CHECK(place_is(&p, "a.weight", "model-00001-of-00002.safetensors"));
    CHECK_EQ(safetensors_index_find(&x, "b.weight", &p), LLMQ_OK);
    CHECK(place_is(&p, "b.weight", "model-00002-of-00002.safetensors"));
    CHECK_EQ(safetensors_index_find(&x, "b", &p), LLMQ_E_NOT_FOUND);
    CHECK_EQ(safetensors_index_open(NULL, golden_index, 3), LLMQ_E_ARG);
    CHECK_EQ(safetensors_index_open(&x, NULL, 3), LLMQ_E_ARG);
    index_is("{\"weight_map\":{}}", LLMQ_OK);
    index_is("{\"weight_map\":{\"a\":\"b\"},\"metadata\":{}}", LLMQ_OK);
    index_is("{\"weight_map\":{\"a\":\"b..c \\/\"}}", LLMQ_E_UNSUPPORTED);
    index_is("{\"metadata\":{}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":[]}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":null}", LLMQ_E_CORRUPT);
    index_is("[]", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{},\"x\":1}", LLMQ_E_UNSUPPORTED);
    index_is("{\"weight_map\":{},\"weight_map\":{}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"b\",\"a\":\"c\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":1}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"../b\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"..\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\".b\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"b/c\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"C:b\"}}", LLMQ_E_CORRUPT);
    index_is("{\"weight_map\":{\"a\":\"b\\\\c\"}}", LLMQ_E_UNSUPPORTED);
    index_is("{\"weight_map\":{\"a\":\"b\\u0000\"}}", LLMQ_E_UNSUPPORTED);
}

/* Names of 255 and 256 bytes. */
static void test_long_names(void)
{
    char name[257], text[700];
    size_t n;
    memset(name, 'n', sizeof name);
    for (n = 255; n <= 256; n++) {
        const llmq_status status = n == 255 ? LLMQ_OK : LLMQ_E_LIMIT;
        name[n] = 0;
        (void)snprintf(text, sizeof text, "{\"%s\":%s}", name, T("[2]", "0", "8"));
        file_is(text, 8, status);
        (void)snprintf(text, sizeof text, "{\"weight_map\":{\"%s\":\"a\"}}", name);
        index_is(text, status);
        (void)snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%s\"}}", name);
        index_is(text, status);
        name[n] = 'n';
    }
}

int main(void)
{
    test_grammar();
    test_bad_numbers();
    test_bad_strings();
    test_depth();
    test_numbers();
    test_strings();
    test_walk();
    test_distinct();
    test_golden();
    test_prefixes();
    test_every_byte();
    test_headers();
    test_shapes();
    test_places();
    test_many();
    test_index();
    test_long_names();
    free(made.text);
    return check_done("test_safetensors");
}
