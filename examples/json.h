/* json.h - reader of JSON texts (RFC 8259), in place - public domain or MIT

   Do this in one C or C++ file, after llmq.h:
       #define JSON_IMPLEMENTATION
       #include "json.h"

   json_open checks the whole text. It refuses all that the grammar forbids (a comma before a
   bracket, a comment, a byte order mark), broken UTF-8, and half of a surrogate pair. The other
   functions read what was checked, so they fail only because a value has another type, or is not
   there. Walk through an object or an array:

       json_value root, key, value;
       size_t at = 0;
       if (json_open(&root, text, size) == LLMQ_OK)
           while (json_next(&root, &at, &key, &value) == LLMQ_OK) {
               if (json_is(&key, "model")) ...   // value may be walked through in the same way
           }

   Nothing is copied: values point into the text and live as long as it does. No memory is needed
   but some stack, at most 2,500 bytes (json_distinct). Each walk takes time in proportion to the
   text that it passes, once for each level. */
#ifndef JSON_H
#define JSON_H

#include "../llmq.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_MAX_DEPTH 64u /* objects and arrays inside each other */

/* Types of values. */
#define JSON_NULL   0
#define JSON_FALSE  1
#define JSON_TRUE   2
#define JSON_NUMBER 3
#define JSON_STRING 4
#define JSON_ARRAY  5
#define JSON_OBJECT 6

/* A value in a text that json_open has checked. */
typedef struct json_value {
    const char *at;  /* its first byte; of a string, the quotation mark */
    size_t size;     /* its bytes, with quotation marks or brackets */
    int type;
} json_value;

/* Checks a text and gives its one value.
   text: size bytes, not terminated; they stay in use. *root is written only with LLMQ_OK.
   Errors:
     LLMQ_E_ARG        NULL
     LLMQ_E_TRUNCATED  the text ends inside a value, or is empty
     LLMQ_E_LIMIT      JSON_MAX_DEPTH
     LLMQ_E_CORRUPT    everything else that is no JSON */
LLMQ_NODISCARD llmq_status json_open(json_value *root, const void *text, size_t size);

/* The next member of an object, or the next element of an array. *at is 0 before the first.
   key: a string; untouched for arrays, and may be NULL.
   LLMQ_E_CORRUPT: in is neither an object nor an array. LLMQ_E_NOT_FOUND: there are no more. */
LLMQ_NODISCARD llmq_status json_next(const json_value *in, size_t *at, json_value *key, json_value *value);

/* The member of an object with a key; of several the first.
   Errors; *value is then untouched:
     LLMQ_E_CORRUPT    in is no object
     LLMQ_E_NOT_FOUND  it has no such member */
LLMQ_NODISCARD llmq_status json_find(const json_value *in, const char *key, json_value *value);

/* Checks that no key of an object occurs twice. It looks at a 64-bit hash of each key. Two keys
   that differ have the same hash in one of 10^10 objects of 50,000 members, and are then refused.
   It takes a walk for each 256 members: 0.1 s for 16,384 of them.
   LLMQ_E_CORRUPT: in is no object, or a key occurs twice. */
LLMQ_NODISCARD llmq_status json_distinct(const json_value *in);

/* A number, rounded to the nearest double, ties to even.
   Errors; *x is then untouched:
     LLMQ_E_CORRUPT  no number
     LLMQ_E_LIMIT    over the largest double; more than 19 digits without leading and last zeros */
LLMQ_NODISCARD llmq_status json_number(const json_value *v, double *x);

/* A number that is written as an integer from 0 on.
   LLMQ_E_CORRUPT: it is not. LLMQ_E_LIMIT: 2^64 or more. *x is then untouched. */
LLMQ_NODISCARD llmq_status json_integer(const json_value *v, uint64_t *x);

/* The text of a string: UTF-8, without quotation marks, with escapes replaced; it may contain a 0.
   out: room bytes; v->size bytes are always enough. Not terminated. out may be NULL if room is 0.
   *length: bytes of the text, also with LLMQ_E_WORKSPACE.
   Errors:
     LLMQ_E_CORRUPT    no string; *length is 0
     LLMQ_E_WORKSPACE  room is too small; out has the first room bytes */
LLMQ_NODISCARD llmq_status json_string(const json_value *v, char *out, size_t room, size_t *length);

/* 1 if the value is a string with the text s, else 0. */
int json_is(const json_value *v, const char *s);

#ifdef __cplusplus
}
#endif
#endif /* JSON_H */

#ifdef JSON_IMPLEMENTATION
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- checking: after an error a cursor stays where it is, and shows a 0 ---- */

typedef struct json__cursor {
    const unsigned char *s;
    size_t size, at;
    llmq_status status;
} json__cursor;

static void json__fail(json__cursor *c, llmq_status status)
{
    if (c->status == LLMQ_OK) c->status = status;
}

/* The byte here; 0, which is nowhere allowed, after an error or at the end of the text. */
static unsigned char json__peek(const json__cursor *c)
{
    return (unsigned char)(c->status == LLMQ_OK && c->at < c->size ? c->s[c->at] : 0);
}

/* Something else was expected here. */
static void json__refuse(json__cursor *c) { json__fail(c, c->at < c->size ? LLMQ_E_CORRUPT : LLMQ_E_TRUNCATED); }

static void json__expect(json__cursor *c, unsigned char byte)
{
    if (json__peek(c) == byte) c->at++;
    else json__refuse(c);
}

static int json__is_space(int byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }
static int json__is_digit(int byte) { return byte >= '0' && byte <= '9'; }

static void json__space(json__cursor *c)
{
    while (json__is_space(json__peek(c))) c->at++;
}

static void json__digits(json__cursor *c)
{
    if (!json__is_digit(json__peek(c))) json__refuse(c);
    while (json__is_digit(json__peek(c))) c->at++;
}

static void json__check_number(json__cursor *c)
{
    if (json__peek(c) == '-') c->at++;
    if (json__peek(c) == '0') c->at++;
    else json__digits(c);
    if (json__peek(c) == '.') {
        c->at++;
        json__digits(c);
    }
    if (json__peek(c) == 'e' || json__peek(c) == 'E') {
        c->at++;
        if (json__peek(c) == '+' || json__peek(c) == '-') c->at++;
        json__digits(c);
    }
}

/* The value of a hexadecimal digit; 16 for other bytes. */
static uint32_t json__hex(int byte)
{
    if (json__is_digit(byte)) return (uint32_t)(byte - '0');
    if (byte >= 'a' && byte <= 'f') return (uint32_t)(byte - 'a') + 10;
    return byte >= 'A' && byte <= 'F' ? (uint32_t)(byte - 'A') + 10 : 16;
}

static uint32_t json__check_hex(json__cursor *c)
{
    uint32_t v = 0, i, digit;
    for (i = 0; i < 4; i++, v = v << 4 | digit) {
        digit = json__hex(json__peek(c));
        if (digit < 16) c->at++;
        else json__refuse(c);
    }
    return v;
}

/* What follows a backslash. A low surrogate must follow a high one, and stands nowhere else. */
static void json__check_escape(json__cursor *c)
{
    unsigned char byte = json__peek(c);
    uint32_t v;
    if (byte != 'u') {
        if (byte && strchr("\"\\/bfnrt", byte)) c->at++;
        else json__refuse(c);
        return;
    }
    c->at++;
    v = json__check_hex(c);
    if (v >= 0xdc00 && v <= 0xdfff) json__fail(c, LLMQ_E_CORRUPT);
    if (v < 0xd800 || v > 0xdbff) return;
    json__expect(c, '\\');
    json__expect(c, 'u');
    v = json__check_hex(c);
    if (v < 0xdc00 || v > 0xdfff) json__fail(c, LLMQ_E_CORRUPT);
}

/* A character of two to four bytes. The second byte tells overlong forms, surrogates and codes over
   U+10FFFF (Unicode 15, table 3-7). */
static void json__check_utf8(json__cursor *c)
{
    unsigned char first = json__peek(c), second;
    uint32_t more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (first < 0xc2 || first > 0xf4) json__fail(c, LLMQ_E_CORRUPT);
    c->at++;
    second = json__peek(c);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second > 0x8f))
        json__refuse(c);
    for (; more > 0; more--) {
        if ((json__peek(c) & 0xc0) == 0x80) c->at++;
        else json__refuse(c);
    }
}

static void json__check_string(json__cursor *c)
{
    json__expect(c, '"');
    while (c->status == LLMQ_OK && json__peek(c) != '"') {
        unsigned char byte = json__peek(c);
        if (byte >= 0x80) json__check_utf8(c);
        else if (byte == '\\') {
            c->at++;
            json__check_escape(c);
        } else if (byte >= 0x20) c->at++;
        else json__refuse(c);
    }
    json__expect(c, '"');
}

static void json__check_word(json__cursor *c, const char *word)
{
    while (*word) json__expect(c, (unsigned char)*word++);
}

/* A value that has no others in it. */
static void json__check_single(json__cursor *c)
{
    switch (json__peek(c)) {
    case '"': json__check_string(c); break;
    case 't': json__check_word(c, "true"); break;
    case 'f': json__check_word(c, "false"); break;
    case 'n': json__check_word(c, "null"); break;
    default: json__check_number(c);
    }
}

static void json__check_key(json__cursor *c)
{
    json__check_string(c);
    json__space(c);
    json__expect(c, ':');
    json__space(c);
}

/* One value. objects: a bit for each level, 1 for an object. A round of the loop reads one value
   that has no others in it, or enters an object or an array; and then leaves all that end here. */
static void json__check(json__cursor *c)
{
    uint64_t objects = 0;
    uint32_t depth = 0;
    do {
        unsigned char open = json__peek(c), close;
        if (open == '{' || open == '[') {
            if (depth == JSON_MAX_DEPTH) json__fail(c, LLMQ_E_LIMIT);
            objects = objects << 1 | (open == '{');
            depth++;
            c->at++;
            json__space(c);
            close = (unsigned char)(open + 2); /* check: 0x7b + 2 == 0x7d; 0x5b + 2 == 0x5d */
            if (json__peek(c) != close) {
                if (open == '{') json__check_key(c);
                continue;
            }
        } else json__check_single(c);
        for (; depth > 0; c->at++, depth--, objects >>= 1) {
            json__space(c);
            if (json__peek(c) != (objects & 1 ? '}' : ']')) break;
        }
        if (depth == 0) return;
        json__expect(c, ',');
        json__space(c);
        if (objects & 1) json__check_key(c);
    } while (c->status == LLMQ_OK);
}

/* ---- walking through text that was checked ---- */

static const char *json__past_space(const char *p)
{
    while (json__is_space(*p)) p++;
    return p;
}

/* Behind the string whose quotation mark p points at. */
static const char *json__past_string(const char *p)
{
    for (p++; *p != '"'; p++)
        if (*p == '\\') p++;
    return p + 1;
}

/* The value that begins at p, in a text that ends at end. */
static json_value json__value(const char *p, const char *end)
{
    json_value v;
    uint32_t depth = 0;
    v.at = p;
    switch (*p) {
    case '{': v.type = JSON_OBJECT; break;
    case '[': v.type = JSON_ARRAY; break;
    case '"': v.type = JSON_STRING; break;
    case 'n': v.type = JSON_NULL; break;
    case 't': v.type = JSON_TRUE; break;
    case 'f': v.type = JSON_FALSE; break;
    default: v.type = JSON_NUMBER;
    }
    if (v.type == JSON_STRING) p = json__past_string(p);
    else if (v.type < JSON_STRING)
        while (p < end && !json__is_space(*p) && *p != ',' && *p != ']' && *p != '}') p++;
    else
        do {
            if (*p == '"') p = json__past_string(p);
            else {
                if (*p == '{' || *p == '[') depth++;
                else if (*p == '}' || *p == ']') depth--;
                p++;
            }
        } while (depth > 0);
    v.size = (size_t)(p - v.at);
    return v;
}

llmq_status json_open(json_value *root, const void *text, size_t size)
{
    json__cursor c;
    size_t start;
    if (!root || !text) return LLMQ_E_ARG;
    c.s = (const unsigned char *)text;
    c.size = size;
    c.at = 0;
    c.status = LLMQ_OK;
    json__space(&c);
    start = c.at;
    json__check(&c);
    json__space(&c);
    if (c.at < size) json__fail(&c, LLMQ_E_CORRUPT);
    if (c.status == LLMQ_OK) *root = json__value((const char *)text + start, (const char *)text + size);
    return c.status;
}

llmq_status json_next(const json_value *in, size_t *at, json_value *key, json_value *value)
{
    const char *p = in->at + (*at ? *at : 1), *end = in->at + in->size;
    if (in->type != JSON_OBJECT && in->type != JSON_ARRAY) return LLMQ_E_CORRUPT;
    p = json__past_space(p);
    if (*p == ',') p = json__past_space(p + 1);
    if (p + 1 == end) return LLMQ_E_NOT_FOUND;
    if (in->type == JSON_OBJECT) {
        json_value name = json__value(p, end);
        if (key) *key = name;
        p = json__past_space(json__past_space(p + name.size) + 1); /* the colon */
    }
    *value = json__value(p, end);
    *at = (size_t)(p - in->at) + value->size;
    return LLMQ_OK;
}

llmq_status json_find(const json_value *in, const char *key, json_value *value)
{
    json_value name, each;
    size_t at = 0;
    if (in->type != JSON_OBJECT) return LLMQ_E_CORRUPT;
    while (json_next(in, &at, &name, &each) == LLMQ_OK)
        if (json_is(&name, key)) {
            *value = each;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

/* ---- strings ---- */

static uint32_t json__unit(const char *p) /* of UTF-16, from four digits */
{
    return json__hex(p[0]) << 12 | json__hex(p[1]) << 8 | json__hex(p[2]) << 4 | json__hex(p[3]);
}

/* The bytes of a character that p points at, and p behind it. An escape becomes up to four bytes;
   everything else goes through byte by byte. Returns how many. */
static uint32_t json__character(const char **p, char out[4])
{
    static const char escapes[] = "bfnrt", meaning[] = "\b\f\n\r\t";
    const char *found;
    uint32_t u, n, i;
    out[0] = *(*p)++;
    if (out[0] != '\\') return 1;
    out[0] = *(*p)++;
    if (out[0] != 'u') {
        found = strchr(escapes, out[0]);
        if (found) out[0] = meaning[found - escapes];
        return 1;
    }
    u = json__unit(*p);
    *p += 4;
    if (u >= 0xd800 && u <= 0xdbff) {
        u = 0x10000 + ((u - 0xd800) << 10 | (json__unit(*p + 2) - 0xdc00));
        *p += 6;
    }
    n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
    for (i = n; i-- > 1; u >>= 6) out[i] = (char)(0x80 | (u & 0x3f));
    /* the first byte begins with n ones: 110, 1110, 11110 */
    out[0] = (char)(n == 1 ? u : (0xf00u >> n & 0xffu) | u);
    return n;
}

llmq_status json_string(const json_value *v, char *out, size_t room, size_t *length)
{
    const char *p = v->at + 1, *end = v->at + v->size - 1;
    char bytes[4];
    size_t n = 0;
    *length = 0;
    if (v->type != JSON_STRING) return LLMQ_E_CORRUPT;
    while (p < end) {
        uint32_t count = json__character(&p, bytes), i;
        for (i = 0; i < count; i++, n++)
            if (n < room) out[n] = bytes[i];
    }
    *length = n;
    return n <= room ? LLMQ_OK : LLMQ_E_WORKSPACE;
}

int json_is(const json_value *v, const char *s)
{
    const char *p = v->at + 1, *end = v->at + v->size - 1;
    char bytes[4];
    if (v->type != JSON_STRING) return 0;
    while (p < end) {
        uint32_t count = json__character(&p, bytes), i;
        for (i = 0; i < count; i++, s++)
            if (*s == 0 || *s != bytes[i]) return 0;
    }
    return *s == 0;
}

/* FNV-1a of 64 bits. */
static uint64_t json__hash(const json_value *v)
{
    const char *p = v->at + 1, *end = v->at + v->size - 1;
    uint64_t h = 0xcbf29ce484222325u;
    char bytes[4];
    while (p < end) {
        uint32_t count = json__character(&p, bytes), i;
        for (i = 0; i < count; i++) h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    }
    return h;
}

#define JSON__SORTED 256u

/* Whether the hash is among count sorted ones; if not, it is put there as long as there is room. */
static int json__seen(uint64_t *sorted, uint32_t *count, uint64_t hash)
{
    uint32_t low = 0, high = *count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sorted[middle] == hash) return 1;
        if (sorted[middle] < hash) low = middle + 1;
        else high = middle;
    }
    if (*count == JSON__SORTED) return 0;
    memmove(sorted + low + 1, sorted + low, (*count - low) * sizeof *sorted);
    sorted[low] = hash;
    ++*count;
    return 0;
}

llmq_status json_distinct(const json_value *in)
{
    uint64_t sorted[JSON__SORTED];
    json_value key, value;
    size_t start = 0, at;
    uint32_t count;
    if (in->type != JSON_OBJECT) return LLMQ_E_CORRUPT;
    do { /* 256 keys are sorted, and all behind them looked up */
        count = 0;
        at = start;
        start = 0;
        while (json_next(in, &at, &key, &value) == LLMQ_OK) {
            if (json__seen(sorted, &count, json__hash(&key))) return LLMQ_E_CORRUPT;
            if (count == JSON__SORTED && !start) start = at;
        }
    } while (start);
    return LLMQ_OK;
}

/* ---- numbers: in large integers of 32-bit limbs, the lowest first ---- */

#define JSON__LIMBS 44u /* check: 44 * 32 > 345 * log(10) / log(2) + 64 + 64 */

typedef struct json__large {
    uint32_t limb[JSON__LIMBS], count; /* no limb above count, which is at least 1 */
} json__large;

/* a * factor + carry */
static void json__multiply(json__large *a, uint32_t factor, uint32_t carry)
{
    uint32_t i;
    for (i = 0; i < a->count; i++) {
        uint64_t v = (uint64_t)a->limb[i] * factor + carry;
        a->limb[i] = (uint32_t)(v & 0xffffffffu);
        carry = (uint32_t)(v >> 32);
    }
    if (carry) a->limb[a->count++] = carry;
}

static void json__double(json__large *a, uint32_t times)
{
    while (times-- > 0) json__multiply(a, 2, 0);
}

static uint32_t json__bits(const json__large *a)
{
    uint32_t n = 32 * (a->count - 1), top = a->limb[a->count - 1];
    for (; top; top >>= 1) n++;
    return n;
}

/* a -= b if a is not below b. Returns whether it was not. */
static uint32_t json__subtract(json__large *a, const json__large *b)
{
    uint32_t i = a->count, borrow = 0;
    if (a->count != b->count) {
        if (a->count < b->count) return 0;
    } else {
        while (i > 1 && a->limb[i - 1] == b->limb[i - 1]) i--;
        if (a->limb[i - 1] < b->limb[i - 1]) return 0;
    }
    for (i = 0; i < a->count; i++) {
        uint64_t v = (uint64_t)a->limb[i] - (i < b->count ? b->limb[i] : 0) - borrow;
        a->limb[i] = (uint32_t)(v & 0xffffffffu);
        borrow = (uint32_t)(v >> 63);
    }
    while (a->count > 1 && a->limb[a->count - 1] == 0) a->count--;
    return 1;
}

/* The double next to a / b, both above 0. */
static llmq_status json__quotient(json__large *a, json__large *b, double *x)
{
    /* a / b times 2^shift is from 2^54 to 2^56. So its integer part has all bits of a double and
       one more, and the remainder of a only says whether something is below. */
    int32_t shift = 55 - (int32_t)json__bits(a) + (int32_t)json__bits(b), drop;
    uint64_t q = 0, bits, rest, half;
    int32_t i;
    if (shift > 0) json__double(a, (uint32_t)shift);
    else json__double(b, (uint32_t)-shift);
    json__double(b, 55);
    for (i = 0; i < 56; i++, json__double(a, 1)) q = q << 1 | json__subtract(a, b);
    drop = q >> 55 ? 3 : 2;
    if (drop - shift < -1074) drop = shift - 1074; /* subnormal: the last bit stands for 2^-1074 */
    if (drop > 60) drop = 60;                      /* below half of that */
    half = (uint64_t)1 << (drop - 1);
    rest = q & (half * 2 - 1);
    bits = q >> drop;
    if (rest > half || (rest == half && (json__bits(a) > 0 || (bits & 1)))) bits++;
    if (bits >> 52) bits += (uint64_t)(drop - shift + 1074) << 52; /* adds to the exponent, which bit 52 made 1 */
    if (bits >> 52 >= 2047) return LLMQ_E_LIMIT;
    memcpy(x, &bits, 8);
    return LLMQ_OK;
}

/* The digits without leading and last zeros, as an integer, and the power of ten that is its unit. */
static llmq_status json__decimal(const json_value *v, json__large *digits, int64_t *power)
{
    const char *p = v->at, *end = v->at + v->size;
    int64_t zeros = 0, count = 0, exponent = 0;
    int after = 0, negative;
    *power = 0;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') after = 1;
        if (!json__is_digit(*p)) continue;
        *power -= after;
        if (*p == '0') {
            zeros += count > 0;
            continue;
        }
        if (count + zeros > 18) return LLMQ_E_LIMIT;
        count += zeros + 1;
        for (; zeros > 0; zeros--) json__multiply(digits, 10, 0);
        json__multiply(digits, 10, (uint32_t)(*p - '0'));
    }
    if (p < end) {
        negative = *++p == '-';
        /* a text is far shorter than 10^15 bytes: its digits do not make up for more than this */
        for (; p < end; p++)
            if (json__is_digit(*p) && exponent < (int64_t)1 << 50) exponent = exponent * 10 + (*p - '0');
        *power += negative ? -exponent : exponent;
    }
    *power += zeros;
    return LLMQ_OK;
}

llmq_status json_number(const json_value *v, double *x)
{
    json__large a, b;
    int64_t exponent;
    double size = 0.0;
    llmq_status status;
    if (v->type != JSON_NUMBER) return LLMQ_E_CORRUPT;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.count = b.count = b.limb[0] = 1;
    if ((status = json__decimal(v, &a, &exponent)) != LLMQ_OK) return status;
    if (json__bits(&a) > 0 && exponent > 308) return LLMQ_E_LIMIT;
    /* 19 digits and 10^-344 are below half of the least double. check: 10**-325 < 2**-1075 */
    if (json__bits(&a) > 0 && exponent >= -344) {
        for (; exponent > 0; exponent--) json__multiply(&a, 10, 0);
        for (; exponent < 0; exponent++) json__multiply(&b, 10, 0);
        if ((status = json__quotient(&a, &b, &size)) != LLMQ_OK) return status;
    }
    *x = v->at[0] == '-' ? -size : size;
    return LLMQ_OK;
}

llmq_status json_integer(const json_value *v, uint64_t *x)
{
    uint64_t u = 0;
    size_t i;
    if (v->type != JSON_NUMBER) return LLMQ_E_CORRUPT;
    for (i = 0; i < v->size; i++)
        if (!json__is_digit(v->at[i])) return LLMQ_E_CORRUPT;
    for (i = 0; i < v->size; i++) {
        uint32_t digit = (uint32_t)(v->at[i] - '0');
        if (u > (~(uint64_t)0 - digit) / 10) return LLMQ_E_LIMIT;
        u = u * 10 + digit;
    }
    *x = u;
    return LLMQ_OK;
}

#ifdef __cplusplus
}
#endif
#undef JSON__SORTED
#undef JSON__LIMBS
#undef JSON_IMPLEMENTATION
#endif
