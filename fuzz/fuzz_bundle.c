/* fuzz_bundle.c - what llmq_bundle_open accepts must be safe to use in every way, and what it
   refuses must be refused as the header says.

       clang -g -O1 -fsanitize=fuzzer,address,undefined fuzz/fuzz_bundle.c -o build/fuzz_bundle
       build/fuzz_bundle CORPUS                    libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DREPLAY fuzz/fuzz_bundle.c -o build/replay_bundle
       build/replay_bundle FILE...                 runs inputs that were found
       build/replay_bundle -n 20000                no fuzzer at hand: damages the golden bundle that often
       build/replay_bundle -s FILE                 writes the golden bundle as an input, to begin a corpus with

   An input is a byte and then a bundle. If the byte is odd, both checksums are computed anew
   first, or else the fuzzer would hardly ever see what is behind them. tests/test_bundle.c
   includes this file, to use bundles in the same way. */
#ifndef LLMQ_IMPLEMENTATION
#define LLMQ_IMPLEMENTATION
#endif
#include "../llmq.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes ---- */

static uint32_t get32(const uint8_t *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint64_t get64(const uint8_t *b) { return (uint64_t)get32(b + 4) << 32 | get32(b); }

/* The width lowest bytes of v. */
static void put(uint8_t *b, uint32_t width, uint64_t v)
{
    uint32_t i;
    for (i = 0; i < width; i++) b[i] = (uint8_t)(v >> (8 * i) & 255u);
}

/* CRC-32 a byte at a time, from a table made at the first call: not the way of llmq.h. */
static uint32_t crc32_of(const uint8_t *b, size_t n)
{
    static uint32_t table[256];
    uint32_t crc = 0xffffffffu, i, k;
    for (i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t c = i;
        for (k = 0; k < 8; k++) c = c & 1u ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    while (n-- > 0) crc = crc >> 8 ^ table[(crc ^ *b++) & 255u];
    return ~crc;
}

/* Make both checksums right, if the header leaves something to sum. */
static void fix_checksums(uint8_t *b, size_t size)
{
    uint64_t total, names_end, start;
    if (size < 64) return;
    total = get64(b + 16);
    names_end = 64 + 64 * (uint64_t)get32(b + 28) + get32(b + 32);
    if (total > size || names_end > total) return;
    start = (names_end + 63) / 64 * 64;
    put(b + 24, 4, start < total ? crc32_of(b + (size_t)start, (size_t)(total - start)) : 0);
    put(b + 12, 4, crc32_of(b + 16, (size_t)names_end - 16));
}

/* ---- use of a bundle; the functions return NULL, or what was promised and not kept ---- */

typedef struct use_result {
    llmq_status opened;   /* status of llmq_bundle_open */
    llmq_status verified; /* of llmq_bundle_verify */
    uint32_t digest;      /* of all that was read and computed: depends on the bytes alone, not on where they are */
} use_result;

static void *use_memory(size_t n) /* exactly as much, so that a sanitizer sees the first byte too far */
{
    void *p = malloc(n ? n : 1);
    if (!p) exit(2);
    return p;
}

static void use_digest(use_result *u, uint32_t v) { u->digest = (u->digest ^ v) * 16777619u; }

static void use_floats(use_result *u, const float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        use_digest(u, x[i] < 0.0f || x[i] >= 0.0f ? bits : 0x7fc00000u); /* the bits of a NaN are not promised */
    }
}

/* Rows that are worth the time: all of a small tensor, the first and the last of a large one. */
static uint32_t use_row_after(const llmq_tensor *t, uint32_t r)
{
    return (uint64_t)t->rows * t->cols > 65536u && r < t->rows - 1 ? t->rows - 1 : r + 1;
}

static const char *use_decode(const llmq_tensor *t, use_result *u)
{
    const char *broken = NULL;
    size_t work_size = llmq_transform_work_size(&t->transform, t->cols);
    float *out = (float *)use_memory(t->cols * sizeof(float)), *weight = (float *)use_memory(t->rows * sizeof(float));
    void *work = use_memory(work_size);
    uint32_t r;
    for (r = 0; r < t->rows; r++) weight[r] = (float)(r % 7) - 2.5f;
    for (r = 0; r < t->rows && !broken; r = use_row_after(t, r)) {
        if (llmq_tensor_decode(t, r, out, work, work_size) != LLMQ_OK) broken = "a row does not decode";
        else use_floats(u, out, t->cols);
        if (llmq_matvec_transposed(t, weight, r, r + 1, out, work, work_size) != LLMQ_OK)
            broken = "no transposed product";
        else use_floats(u, out, t->cols);
    }
    free(work);
    free(weight);
    free(out);
    return broken;
}

static const char *use_products(const llmq_tensor *t, uint32_t bits, use_result *u)
{
    const char *broken = NULL;
    size_t size = llmq_activation_size(t, bits);
    llmq_status expected = bits == 8 && !t->format.points ? LLMQ_E_MISMATCH : LLMQ_OK;
    float *x = (float *)use_memory(t->cols * sizeof(float)), *y = (float *)use_memory(t->rows * sizeof(float));
    void *memory = use_memory(size);
    llmq_activation a;
    uint32_t i;
    for (i = 0; i < t->cols; i++) x[i] = (float)(int32_t)(i * 40503u % 2001u) / 1000.0f - 1.0f;
    if (llmq_activation_prepare(&a, t, bits, x, memory, size) != LLMQ_OK) broken = "an activation is not prepared";
    for (i = 0; i < t->rows && !broken; i = use_row_after(t, i)) {
        if (llmq_matvec(t, &a, i, i + 1, y) != expected) broken = "a product fails, or works where it must not";
        else if (expected == LLMQ_OK) use_floats(u, y + i, 1);
    }
    free(memory);
    free(y);
    free(x);
    return broken;
}

/* *bad: becomes 1 if a scale is negative or not finite, which llmq_bundle_verify must have said. */
static const char *use_tensor(const llmq_tensor *t, const llmq_entry *e, int *bad, use_result *u)
{
    const char *broken;
    uint32_t r, g, group = t->format.group ? t->format.group : t->cols;
    if (t->rows != e->rows || t->cols != e->cols || (const void *)t->data != e->data || t->format.id != e->format.id)
        return "tensor and entry differ";
    if (t->rows == 0 || t->cols == 0 || t->cols > LLMQ_MAX_COLS || t->row_size == 0) return "a tensor without a shape";
    if (e->size / t->row_size != t->rows || e->size % t->row_size) return "a tensor's shape and size differ";
    for (r = 0; r < t->rows && t->format.points; r++)
        for (g = 0; g < t->cols / group + (t->cols % group != 0); g++) {
            const uint8_t *scale = t->data + r * t->row_size + 2 * (size_t)g;
            if ((uint32_t)(scale[0] | scale[1] << 8) > 0x7f7fu) *bad = 1;
        }
    if (t->cols > 1u << 18) return NULL; /* safe as well, but slow: at least 32 KB of input */
    if ((broken = use_decode(t, u)) != NULL || t->cols > 4096) return broken;
    if ((broken = use_products(t, 8, u)) != NULL) return broken;
    return use_products(t, 32, u);
}

static const char *use_value(const llmq_bundle *b, const llmq_entry *e)
{
    const void *data;
    size_t size;
    uint32_t v;
    llmq_status status = llmq_bundle_value(b, e->name, e->type, &data, &size);
    if (status != LLMQ_OK || data != e->data || size != e->size) return "a value is lost";
    status = llmq_bundle_value(b, e->name, e->type ^ 1u, &data, &size);
    if (status != LLMQ_E_NOT_FOUND) return "a value of the wrong type is found";
    status = llmq_bundle_u32(b, e->name, &v);
    if (status != (e->type == LLMQ_VALUE_U32 ? LLMQ_OK : LLMQ_E_NOT_FOUND)) return "llmq_bundle_u32 is wrong";
    if (status == LLMQ_OK && v != get32((const uint8_t *)e->data)) return "a number is wrong";
    return NULL;
}

static const char *use_entry(const llmq_bundle *b, uint32_t i, int *bad, use_result *u)
{
    llmq_entry e;
    llmq_tensor t;
    uint32_t index = 0;
    size_t k;
    const uint8_t *data;
    if (llmq_bundle_at(b, i, &e) != LLMQ_OK || !e.name || !e.name[0] || strlen(e.name) > 255)
        return "an entry cannot be read";
    if (llmq_bundle_find(b, e.name, &index) != LLMQ_OK || index != i) return "an entry is not found by its name";
    data = (const uint8_t *)e.data;
    if (data < b->bytes + 64 || (size_t)(data - b->bytes) > b->size || e.size > b->size - (size_t)(data - b->bytes))
        return "a payload is not inside the bundle";
    for (k = 0; k < e.size; k++) use_digest(u, data[k]);
    if (e.transform) use_digest(u, crc32_of((const uint8_t *)e.transform, strlen(e.transform)));
    if (e.grid) use_digest(u, crc32_of((const uint8_t *)e.grid, strlen(e.grid)));
    if (e.kind == LLMQ_KIND_VALUE) return use_value(b, &e);
    if (e.kind == LLMQ_KIND_TENSOR)
        return llmq_bundle_tensor(b, e.name, &t) == LLMQ_OK ? use_tensor(&t, &e, bad, u) : "a tensor cannot be used";
    return llmq_bundle_tensor(b, e.name, &t) == LLMQ_E_NOT_FOUND ? NULL : "something else is taken for a tensor";
}

/* Refused: the status is one that the header names, the error agrees, and the outputs hold what they held. */
static const char *use_refused(const uint8_t *bytes, size_t size, llmq_status status, const llmq_error *error)
{
    llmq_bundle b, before;
    if (status != LLMQ_E_TRUNCATED && status != LLMQ_E_MAGIC && status != LLMQ_E_VERSION && status != LLMQ_E_CHECKSUM &&
        status != LLMQ_E_CORRUPT && status != LLMQ_E_UNSUPPORTED && status != LLMQ_E_LIMIT)
        return "llmq_bundle_open returns a status that it does not name";
    if (error->status != status || error->offset > size) return "llmq_error does not say what happened";
    memset(&b, 0x5a, sizeof b);
    before = b;
    if (llmq_bundle_open(&b, bytes, size, NULL) != status) return "the status depends on the error argument";
    return memcmp(&b, &before, sizeof b) ? "a refused bundle has changed the view" : NULL;
}

/* What a reader says can be written again, unless it has entries of unknown kinds or scales that
   verify refuses; and read again. */
static const char *use_written(const llmq_bundle *b, int bad)
{
    const char *broken = NULL;
    llmq_entry *e = (llmq_entry *)calloc(b->count + (size_t)1, sizeof *e);
    llmq_bundle again;
    uint8_t *out;
    uint32_t i, known = 0;
    size_t size;
    if (!e) exit(2);
    for (i = 0; i < b->count; i++)
        if (llmq_bundle_at(b, i, &e[i]) == LLMQ_OK)
            known += e[i].kind >= LLMQ_KIND_TENSOR && e[i].kind <= LLMQ_KIND_VALUE;
    size = llmq_bundle_size(e, b->count);
    out = (uint8_t *)use_memory(size);
    if (llmq_bundle_write_memory(e, b->count, out, size) != (bad || known < b->count ? LLMQ_E_ARG : LLMQ_OK))
        broken = "reader and writer do not agree on what is right";
    else if (!bad && known == b->count && llmq_bundle_open(&again, out, size, NULL) != LLMQ_OK)
        broken = "what was written does not open";
    free(out);
    free(e);
    return broken;
}

static const char *use_bundle(const uint8_t *bytes, size_t size, use_result *u)
{
    const char *broken = NULL;
    llmq_bundle b;
    llmq_error error;
    uint32_t i;
    int bad = 0;
    memset(&error, 0, sizeof error);
    u->digest = 2166136261u;
    u->verified = LLMQ_OK;
    u->opened = llmq_bundle_open(&b, bytes, size, &error);
    if (u->opened != LLMQ_OK) return use_refused(bytes, size, u->opened, &error);
    if (b.bytes != bytes || b.size > size) return "the view is not of the bytes";
    u->verified = llmq_bundle_verify(&b, &error);
    if (u->verified != LLMQ_OK && u->verified != LLMQ_E_CHECKSUM && u->verified != LLMQ_E_CORRUPT)
        return "llmq_bundle_verify returns a status that it does not name";
    if (u->verified != LLMQ_OK && (error.status != u->verified || error.offset > b.size))
        return "llmq_error does not say what verify found";
    if (llmq_bundle_verify(&b, NULL) != u->verified) return "the status of verify depends on the error argument";
    for (i = 0; i < b.count && !broken; i++) broken = use_entry(&b, i, &bad, u);
    if (!broken) broken = use_written(&b, bad);
    if (!broken && bad && u->verified == LLMQ_OK) broken = "llmq_bundle_verify does not see a bad scale";
    if (!broken && !bad && u->verified == LLMQ_E_CORRUPT) broken = "llmq_bundle_verify sees a bad scale where none is";
    return broken;
}

/* ---- the fuzzer's entry ---- */

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    use_result u;
    const char *broken;
    uint8_t *copy;
    if (size == 0) return 0;
    copy = (uint8_t *)use_memory(size - 1);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1) fix_checksums(copy, size - 1);
    broken = use_bundle(copy, size - 1, &u);
    if (broken) {
        fprintf(stderr, "fuzz_bundle: %s\n", broken);
        abort();
    }
    free(copy);
    return 0;
}

/* ---- without libFuzzer ---- */
#ifdef REPLAY
#include "../tests/vectors/golden.h"

#define ROOM (GOLDEN_SIZE + 512)

static uint32_t draws; /* numbers drawn so far: the loop is the same every time */
static uint32_t draw(uint32_t below) { return llmq_random(20, draws++) % below; }

/* One damage, mostly to where it matters: the directory. */
static void damage(uint8_t *b, size_t *size)
{
    static const uint32_t telling[16] = {
        0, 1, 2, 31, 32, 33, 64, 127, 255, 256, 1024, 32768, 65535, 1u << 24, 1u << 31, 0xffffffffu
    };
    uint32_t names_end = 64 + GOLDEN_COUNT * 64 + get32(golden_bundle + 32);
    uint32_t at = draw(4) ? draw(names_end) : draw((uint32_t)*size), width = 1u << draw(4), v = telling[draw(16)];
    at -= at % width;
    if (at + 64 > *size || *size < 128) at = 0;
    switch (draw(9)) {
    case 0: b[at] = (uint8_t)(b[at] ^ 1u << draw(8)); break;
    case 1: b[at] = (uint8_t)draw(256); break;
    case 2: put(b + at, width, v); break;
    case 3: put(b + at, width, get64(b + at) + (draw(2) ? 1 : (uint64_t)0 - 1)); break;
    case 4: put(b + at, width, *size - draw(2)); break;
    /* a field of another entry */
    case 5: memcpy(b + at, golden_bundle + at % 64 + 64 * draw(GOLDEN_COUNT), width); break;
    case 6: memcpy(b + at / 64 * 64, golden_bundle + 64 + 64 * draw(GOLDEN_COUNT), 64); break;
    case 7: memcpy(b + at, golden_bundle + draw(GOLDEN_SIZE - 8), 8); break;
    default:
        if (draw(4)) break; /* seldom, since it hides the rest */
        if (draw(2)) *size = 1 + draw((uint32_t)*size);
        else if (*size < GOLDEN_SIZE + 256) memset(b + *size, 0, 256), *size += 256;
    }
}

static void damage_loop(uint32_t n)
{
    static uint8_t input[1 + ROOM];
    uint32_t i, k, opened = 0;
    for (i = 1; i <= n; i++) {
        size_t size = GOLDEN_SIZE;
        use_result u;
        input[0] = draw(16) != 0;
        memcpy(input + 1, golden_bundle, GOLDEN_SIZE);
        for (k = draw(4) + 1; k > 0; k--) damage(input + 1, &size);
        (void)LLVMFuzzerTestOneInput(input, 1 + size);
        if (input[0]) fix_checksums(input + 1, size);
        (void)use_bundle(input + 1, size, &u);
        opened += u.opened == LLMQ_OK;
        if (i % (n / 5 + 1) == 0 || i == n)
            printf("fuzz_bundle: %u of %u bundles, %u of them opened\n", (unsigned)i, (unsigned)n, (unsigned)opened);
    }
}

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    uint8_t *data;
    if (f && fseek(f, 0, SEEK_END) == 0) size = ftell(f);
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0) {
        if (f) fclose(f);
        return perror(path), 1;
    }
    data = (uint8_t *)use_memory((size_t)size);
    if (fread(data, 1, (size_t)size, f) == (size_t)size) (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    fclose(f);
    printf("%s: ok\n", path);
    return 0;
}

static int write_seed(const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f && fputc(1, f) != EOF && fwrite(golden_bundle, 1, GOLDEN_SIZE, f) == GOLDEN_SIZE && fclose(f) == 0) return 0;
    return perror(path), 1;
}

int main(int argc, char **argv)
{
    int i, failed = 0;
    if (argc == 3 && strcmp(argv[1], "-s") == 0) return write_seed(argv[2]);
    if (argc == 1 || (argc == 3 && strcmp(argv[1], "-n") == 0)) {
        damage_loop(argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 20000);
        return 0;
    }
    for (i = 1; i < argc; i++) failed += replay_file(argv[i]);
    return failed != 0;
}
#endif
