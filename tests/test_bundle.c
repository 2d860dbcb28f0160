/* test_bundle.c - sections 10 and 14 of llmq.h: bundles that are right, entries that cannot be
   written, and bundles that are broken

   The right ones are compared with tests/vectors/golden.h, which tests/gen/bundle.py made
   without llmq.h. The broken ones are the larger part: each is opened and, if it opens, used in
   every way, in memory of exactly its size; that is fuzz_bundle.c. */
#include "check.h"
#include "vectors/golden.h"
#include "../fuzz/fuzz_bundle.c"
#include "internals.h"

/* The entries of the golden bundle. */
enum { G4, RAW, BOOK, CUSTOM, ROT, G5, T3, U4, V_BYTES, V_F32, V_TEXT, V_U32, EMPTY };

#ifndef BUNDLE_ONE_IN /* of the bits behind the header, one in so many is inverted */
#define BUNDLE_ONE_IN 1
#endif

#define ENTRY(i, field) (64u + 64u * (uint32_t)(i) + (field))   /* a field of the directory */
#define PAYLOAD(i, field) (golden_entries[i].offset + (field)) /* a byte of a payload */
#define NAMES (64u + 64u * GOLDEN_COUNT)
#define MOST (GOLDEN_SIZE + 1024)                               /* room for a bundle made from the golden one */

static uint32_t names_end(void) { return NAMES + get32(golden_bundle + 32); }

static int same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* ---- the golden bundle, read ---- */

static void check_entry(const llmq_bundle *b, uint32_t i)
{
    const golden_entry *g = &golden_entries[i];
    llmq_entry e;
    uint32_t index = 99, t2;
    check_at("entry %s", g->name);
    if (!CHECK_EQ(llmq_bundle_at(b, i, &e), LLMQ_OK)) return;
    CHECK(same_text(e.name, g->name) && same_text(e.transform, g->transform) && same_text(e.grid, g->grid));
    CHECK(e.kind == g->kind && e.size == g->size && e.data == b->bytes + g->offset);
    CHECK(e.type == (g->kind == LLMQ_KIND_VALUE ? g->code : 0));
    CHECK(e.rows == g->rows && e.cols == g->cols);
    memcpy(&t2, &e.t2, 4);
    CHECK(t2 == g->t2);
    CHECK(e.format.id == (g->kind == LLMQ_KIND_TENSOR ? g->code : 0) && e.format.group == g->group);
    CHECK(llmq_bundle_find(b, g->name, &index) == LLMQ_OK && index == i);
}

static void check_tensor(const llmq_bundle *b, const golden_entry *g)
{
    static float out[128], work[128];
    llmq_tensor t;
    uint32_t r, k, differ = 0, bits;
    check_at("tensor %s", g->name);
    if (!CHECK_EQ(llmq_bundle_tensor(b, g->name, &t), LLMQ_OK)) return;
    CHECK(t.rows == g->rows && t.cols == g->cols && t.row_size * t.rows == g->size && t.data == b->bytes + g->offset);
    CHECK(t.format.id == g->code && t.format.group == g->group
          && t.transform.count == (g->transform ? GOLDEN_STEPS : 0u));
    for (k = 0; k < t.transform.count && k < GOLDEN_STEPS; k++)
        CHECK(t.transform.step[k].kind == golden_steps[k][0] && t.transform.step[k].block == golden_steps[k][1] &&
              t.transform.step[k].arg == golden_steps[k][2]);
    for (r = 0; r < g->rows; r++) {
        CHECK_EQ(llmq_tensor_decode(&t, r, out, work, sizeof work), LLMQ_OK);
        for (k = 0; k < g->cols; k++) {
            memcpy(&bits, out + k, 4);
            differ += bits != golden_numbers[g->numbers + r * g->cols + k];
        }
    }
    CHECK_EQ((long)differ, 0);
}

static void check_values(const llmq_bundle *b)
{
    const void *data = NULL;
    size_t size = 0;
    uint32_t i, v = 0;
    for (i = V_BYTES; i <= EMPTY; i++) {
        const golden_entry *g = &golden_entries[i];
        check_at("value %s", g->name);
        CHECK_EQ(llmq_bundle_value(b, g->name, g->code, &data, &size), LLMQ_OK);
        CHECK(size == g->size && data == b->bytes + g->offset && memcmp(data, golden_bundle + g->offset, size) == 0);
    }
    CHECK_EQ(llmq_bundle_u32(b, "v.u32", &v), LLMQ_OK);
    CHECK(v == 0xdeadbeefu);
    CHECK_EQ(llmq_bundle_value(b, "v.f32", LLMQ_VALUE_F32, &data, &size), LLMQ_OK);
    CHECK(get32((const uint8_t *)data) == 0xc0200000u); /* -2.5 */
}

/* Everything that Python said, of the golden bundle at these bytes. */
static void check_golden(const uint8_t *bytes, size_t size)
{
    llmq_bundle b;
    llmq_error error;
    llmq_entry e;
    uint32_t i;
    check_at("golden bundle");
    if (!CHECK_EQ(llmq_bundle_open(&b, bytes, size, &error), LLMQ_OK)) return;
    CHECK(b.bytes == bytes && b.size == GOLDEN_SIZE && b.count == GOLDEN_COUNT);
    CHECK_EQ(llmq_bundle_verify(&b, &error), LLMQ_OK);
    for (i = 0; i < GOLDEN_COUNT; i++) {
        check_entry(&b, i);
        if (golden_entries[i].kind == LLMQ_KIND_TENSOR) check_tensor(&b, &golden_entries[i]);
    }
    check_values(&b);
    check_at("grid of the custom tensor");
    if (!CHECK_EQ(llmq_bundle_at(&b, CUSTOM, &e), LLMQ_OK)) return;
    CHECK(e.format.p == GOLDEN_GRID_P && e.format.n == GOLDEN_GRID_N && e.format.bits == 4);
    CHECK(e.format.unit >= GOLDEN_GRID_UNIT && e.format.unit <= GOLDEN_GRID_UNIT && same_text(e.format.name, "custom"));
    CHECK(memcmp(e.format.points, golden_points, sizeof golden_points) == 0);
    check_at("%s", "");
}

/* At any alignment; and what follows in the file is not the bundle's. */
static void test_golden(void)
{
    static uint8_t room[GOLDEN_SIZE + 64];
    uint32_t offset;
    check_golden(golden_bundle, GOLDEN_SIZE);
    for (offset = 0; offset < 16; offset++) {
        memset(room, 0xa5, sizeof room);
        memcpy(room + offset, golden_bundle, GOLDEN_SIZE);
        check_golden(room + offset, GOLDEN_SIZE + offset % 3);
    }
    check_golden(room + 15, sizeof room - 15);
}

/* ---- what a reader is asked for and does not have ---- */

static void test_not_found(const llmq_bundle *b)
{
    static const char *const absent[] = {
        "", "a", "attn.g", "attn.g4x", "attn.g5", "rot ", "v.u3", "v.u33", "zzz", "\303\251.empt", "\377"
    };
    llmq_tensor t, t_before;
    const void *data = b;
    size_t size = 17;
    uint32_t i, index = 42, v = 4711;
    memset(&t, 0x3c, sizeof t);
    t_before = t;
    for (i = 0; i < sizeof absent / sizeof *absent; i++) {
        check_at("absent name '%s'", absent[i]);
        CHECK_EQ(llmq_bundle_find(b, absent[i], &index), LLMQ_E_NOT_FOUND);
        CHECK_EQ(llmq_bundle_tensor(b, absent[i], &t), LLMQ_E_NOT_FOUND);
        CHECK_EQ(llmq_bundle_value(b, absent[i], LLMQ_VALUE_BYTES, &data, &size), LLMQ_E_NOT_FOUND);
        CHECK_EQ(llmq_bundle_u32(b, absent[i], &v), LLMQ_E_NOT_FOUND);
    }
    for (i = 0; i < GOLDEN_COUNT; i++) { /* there, but of another kind or type */
        const golden_entry *g = &golden_entries[i];
        check_at("entry %s as what it is not", g->name);
        uint32_t type = g->kind == LLMQ_KIND_VALUE ? (g->code + 1) % 5 : LLMQ_VALUE_BYTES;
        if (g->kind != LLMQ_KIND_TENSOR) CHECK_EQ(llmq_bundle_tensor(b, g->name, &t), LLMQ_E_NOT_FOUND);
        if (i != V_U32) CHECK_EQ(llmq_bundle_u32(b, g->name, &v), LLMQ_E_NOT_FOUND);
        CHECK_EQ(llmq_bundle_value(b, g->name, type, &data, &size), LLMQ_E_NOT_FOUND);
    }
    check_at("outputs of calls that fail");
    CHECK(index == 42 && v == 4711 && size == 17 && data == (const void *)b && memcmp(&t, &t_before, sizeof t) == 0);
    check_at("%s", "");
}

/* A NULL that is not allowed is LLMQ_E_ARG (section ERRORS). */
static void test_reader_null(const llmq_bundle *b)
{
    llmq_bundle view;
    llmq_entry e;
    llmq_tensor t;
    llmq_error error;
    const void *data;
    size_t size;
    uint32_t i;
    CHECK_EQ(llmq_bundle_open(NULL, golden_bundle, GOLDEN_SIZE, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_open(&view, NULL, GOLDEN_SIZE, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_verify(NULL, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_at(NULL, 0, &e), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_at(b, 0, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_at(b, GOLDEN_COUNT, &e), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_at(b, 0xffffffffu, &e), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_find(NULL, "rot", &i), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_find(b, NULL, &i), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_find(b, "rot", NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_tensor(NULL, "attn.g4", &t), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_tensor(b, NULL, &t), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_tensor(b, "attn.g4", NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_value(NULL, "v.u32", LLMQ_VALUE_U32, &data, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_value(b, NULL, LLMQ_VALUE_U32, &data, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_value(b, "v.u32", LLMQ_VALUE_U32, NULL, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_value(b, "v.u32", LLMQ_VALUE_U32, &data, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_u32(NULL, "v.u32", &i), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_u32(b, NULL, &i), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_u32(b, "v.u32", NULL), LLMQ_E_ARG);
}

static void test_reader(void)
{
    llmq_bundle b;
    if (!CHECK_EQ(llmq_bundle_open(&b, golden_bundle, GOLDEN_SIZE, NULL), LLMQ_OK)) return;
    test_not_found(&b);
    test_reader_null(&b);
}

/* ---- the writer ---- */

/* The content of the golden bundle as a program has it: transform and grid from their structs. */
static void golden_content(llmq_entry *e)
{
    static uint8_t rot[64], book[64];
    llmq_transform t;
    llmq_format custom, f;
    size_t rot_size = sizeof rot, book_size = sizeof book;
    uint32_t i;
    memset(&t, 0, sizeof t);
    for (t.count = 0; t.count < GOLDEN_STEPS; t.count++) {
        t.step[t.count].kind = (uint16_t)golden_steps[t.count][0];
        t.step[t.count].block = (uint16_t)golden_steps[t.count][1];
        t.step[t.count].arg = golden_steps[t.count][2];
    }
    CHECK_EQ(llmq_format_custom(&custom, GOLDEN_GRID_P, GOLDEN_GRID_N, golden_points, GOLDEN_GRID_UNIT, 32), LLMQ_OK);
    CHECK_EQ(llmq_transform_store(&t, rot, &rot_size), LLMQ_OK);
    CHECK_EQ(llmq_grid_store(&custom, book, &book_size), LLMQ_OK);
    memset(e, 0, GOLDEN_COUNT * sizeof *e);
    for (i = 0; i < GOLDEN_COUNT; i++) {
        const golden_entry *g = &golden_entries[i];
        e[i].name = g->name;
        e[i].kind = g->kind;
        e[i].data = golden_bundle + g->offset;
        e[i].size = g->size;
        if (g->kind == LLMQ_KIND_VALUE) e[i].type = g->code;
        if (g->kind != LLMQ_KIND_TENSOR) continue;
        if (g->code == LLMQ_FORMAT_CUSTOM) f = custom;
        else
            CHECK_EQ(llmq_format_find(&f, i == G4 ? "g4" : i == G5 ? "g5" : i == U4 ? "u4" : i == T3 ? "t3" : "f32",
                                      g->group), LLMQ_OK);
        e[i].format = f;
        e[i].rows = g->rows;
        e[i].cols = g->cols;
        memcpy(&e[i].t2, &g->t2, 4);
        e[i].transform = g->transform;
        e[i].grid = g->grid;
    }
    e[ROT].data = rot, e[ROT].size = rot_size;
    e[BOOK].data = book, e[BOOK].size = book_size;
    e[EMPTY].data = NULL; /* allowed when there are no bytes */
}

/* Writes the entries into memory of exactly their size. If llmq_bundle_size is wrong, which the caller has been told by
   then, the memory is large enough anyway, so that the test goes on. */
static uint8_t *write_exactly(llmq_entry *e, uint32_t count, size_t right)
{
    size_t size = llmq_bundle_size(e, count), room = size == right ? size : right + 100000;
    uint8_t *out = (uint8_t *)use_memory(room);
    CHECK_EQ((long)size, (long)right);
    CHECK_EQ(llmq_bundle_write_memory(e, count, out, room), LLMQ_OK);
    return out;
}

static void check_writes_golden(llmq_entry *e)
{
    uint8_t *out = write_exactly(e, GOLDEN_COUNT, GOLDEN_SIZE);
    CHECK(memcmp(out, golden_bundle, GOLDEN_SIZE) == 0);
    free(out);
}

static void shuffle(llmq_entry *e, uint32_t count)
{
    uint32_t i;
    for (i = count; i > 1; i--) {
        uint32_t k = check_below(i);
        llmq_entry swap = e[k];
        e[k] = e[i - 1];
        e[i - 1] = swap;
    }
}

static void test_write_same_bytes(void)
{
    llmq_entry e[GOLDEN_COUNT];
    llmq_bundle b;
    uint32_t i;
    golden_content(e);
    check_writes_golden(e);
    for (i = 0; i < 200; i++) {
        shuffle(e, GOLDEN_COUNT);
        check_writes_golden(e);
    }
    /* sorted, as the header says */
    for (i = 0; i < GOLDEN_COUNT; i++) CHECK(same_text(e[i].name, golden_entries[i].name));
    if (!CHECK_EQ(llmq_bundle_open(&b, golden_bundle, GOLDEN_SIZE, NULL), LLMQ_OK)) return;
    for (i = 0; i < GOLDEN_COUNT; i++) CHECK_EQ(llmq_bundle_at(&b, i, &e[GOLDEN_COUNT - 1 - i]), LLMQ_OK);
    check_writes_golden(e); /* what a reader says can be written again as it is */
}

/* A sink that stops at its stop-th call. */
typedef struct sink_state {
    uint32_t calls, stop;
    size_t size;
    uint8_t bytes[GOLDEN_SIZE];
} sink_state;

static int stopping_sink(void *context, const void *bytes, size_t size)
{
    sink_state *s = (sink_state *)context;
    if (++s->calls == s->stop) return 1;
    if (size <= sizeof s->bytes - s->size) memcpy(s->bytes + s->size, bytes, size);
    s->size += size;
    return 0;
}

static void test_write_sink(void)
{
    static sink_state s;
    llmq_entry e[GOLDEN_COUNT];
    uint32_t calls, stop;
    golden_content(e);
    memset(&s, 0, sizeof s);
    CHECK_EQ(llmq_bundle_write(e, GOLDEN_COUNT, stopping_sink, &s), LLMQ_OK);
    CHECK(s.size == GOLDEN_SIZE && memcmp(s.bytes, golden_bundle, GOLDEN_SIZE) == 0);
    calls = s.calls;
    for (stop = 1; stop <= calls; stop++) {
        memset(&s, 0, sizeof s);
        s.stop = stop;
        CHECK_EQ(llmq_bundle_write(e, GOLDEN_COUNT, stopping_sink, &s), LLMQ_E_STOPPED);
        CHECK_EQ((long)s.calls, (long)stop); /* and is not called again */
        CHECK(memcmp(s.bytes, golden_bundle, s.size) == 0);
    }
}

/* Nothing is written beyond, nor anything at all if a byte is missing. */
static void test_write_memory(void)
{
    llmq_entry e[GOLDEN_COUNT];
    uint8_t out[GOLDEN_SIZE + 1];
    uint32_t i, touched = 0;
    golden_content(e);
    memset(out, 0x77, sizeof out);
    CHECK_EQ(llmq_bundle_write_memory(e, GOLDEN_COUNT, out, GOLDEN_SIZE - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_bundle_write_memory(e, GOLDEN_COUNT, out, 0), LLMQ_E_WORKSPACE);
    for (i = 0; i < sizeof out; i++) touched += out[i] != 0x77;
    CHECK_EQ((long)touched, 0);
    CHECK_EQ(llmq_bundle_write_memory(e, GOLDEN_COUNT, NULL, GOLDEN_SIZE), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_write_memory(e, GOLDEN_COUNT, out, sizeof out), LLMQ_OK);
    CHECK(memcmp(out, golden_bundle, GOLDEN_SIZE) == 0 && out[GOLDEN_SIZE] == 0x77);
}

static void test_store(void)
{
    uint8_t out[64];
    llmq_transform t = llmq_transform_hadamard(5, 0);
    llmq_format f;
    size_t size = 12;
    memset(out, 0x77, sizeof out);
    CHECK_EQ(llmq_transform_store(&t, out, &size), LLMQ_OK);
    CHECK(size == 12 && out[12] == 0x77 && get32(out) == 1 && get32(out + 4) == (1024u << 16 | 1u)
          && get32(out + 8) == 5);
    size = 11;
    CHECK_EQ(llmq_transform_store(&t, out, &size), LLMQ_E_WORKSPACE);
    CHECK_EQ((long)size, 11);
    CHECK_EQ(llmq_transform_store(NULL, out, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_store(&t, NULL, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_transform_store(&t, out, NULL), LLMQ_E_ARG);
    t.step[0].block = 3, size = sizeof out;
    CHECK_EQ(llmq_transform_store(&t, out, &size), LLMQ_E_ARG);
    t = llmq_transform_hadamard(5, 0), t.step[0].kind = 9;
    CHECK(llmq_transform_store(&t, out, &size) != LLMQ_OK);
    t = llmq_transform_hadamard(5, 0), t.count = LLMQ_MAX_STEPS + 1;
    CHECK(llmq_transform_store(&t, out, &size) != LLMQ_OK);
    t.count = 0;
    CHECK_EQ(llmq_transform_store(&t, out, &size), LLMQ_OK);
    CHECK(size == 4 && get32(out) == 0);
    CHECK_EQ(llmq_format_find(&f, "g4", 32), LLMQ_OK);
    size = 28;
    memset(out, 0x77, sizeof out);
    CHECK_EQ(llmq_grid_store(&f, out, &size), LLMQ_OK);
    CHECK(size == 28 && out[28] == 0x77 && get32(out) == 1 && get32(out + 4) == 16 && out[12] == (104 ^ 255) + 1);
    size = 27;
    CHECK_EQ(llmq_grid_store(&f, out, &size), LLMQ_E_WORKSPACE);
    CHECK_EQ((long)size, 27);
    CHECK_EQ(llmq_grid_store(NULL, out, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_grid_store(&f, NULL, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_grid_store(&f, out, NULL), LLMQ_E_ARG);
    f.group = 33;
    CHECK_EQ(llmq_grid_store(&f, out, &size), LLMQ_E_ARG);
    CHECK_EQ(llmq_format_find(&f, "f32", 0), LLMQ_OK);
    size = sizeof out;
    CHECK_EQ(llmq_grid_store(&f, out, &size), LLMQ_E_ARG);
}

/* The writer refuses these entries before it sends a byte. */
static void check_refused(const llmq_entry *e, uint32_t count, llmq_status status, const char *what)
{
    static sink_state s;
    static uint8_t out[MOST];
    llmq_entry copy[GOLDEN_COUNT];
    check_at("writer: %s", what);
    memcpy(copy, e, count * sizeof *copy);
    memset(&s, 0, sizeof s);
    CHECK_EQ(llmq_bundle_write(copy, count, stopping_sink, &s), status);
    CHECK_EQ((long)s.calls, 0);
    memcpy(copy, e, count * sizeof *copy);
    CHECK_EQ(llmq_bundle_write_memory(copy, count, out, sizeof out), status);
    check_at("%s", "");
}

static void test_refused_names(void)
{
    llmq_entry e[GOLDEN_COUNT];
    char name[258], what[64];
    uint32_t c;
    golden_content(e);
    memset(name, 'n', sizeof name);
    name[256] = 0;
    e[V_TEXT].name = name;
    check_refused(e, GOLDEN_COUNT, LLMQ_E_ARG, "a name of 256 bytes");
    e[V_TEXT].name = "";
    check_refused(e, GOLDEN_COUNT, LLMQ_E_ARG, "an empty name");
    for (c = 1; c < 128; c = c == 31 ? 127 : c + 1) {
        snprintf(what, sizeof what, "byte %u in a name", (unsigned)c);
        memcpy(name, "abc", 4);
        name[c % 3] = (char)c;
        e[V_TEXT].name = name;
        check_refused(e, GOLDEN_COUNT, LLMQ_E_ARG, what);
    }
    e[V_TEXT].name = NULL;
    CHECK_EQ((long)llmq_bundle_size(e, GOLDEN_COUNT), 0);
    check_refused(e, GOLDEN_COUNT, LLMQ_E_ARG, "no name");
    e[V_TEXT].name = "attn.g4";
    check_refused(e, GOLDEN_COUNT, LLMQ_E_ARG, "a name twice");
}

/* One change to one member of one entry. */
#define REFUSED(what, i, change)                              \
    do {                                                      \
        llmq_entry *at = &e[i];                               \
        golden_content(e);                                    \
        at->change;                                           \
        check_refused(e, GOLDEN_COUNT, LLMQ_E_ARG, what);     \
    } while (0)

static void test_refused_entries(void)
{
    llmq_entry e[GOLDEN_COUNT];
    REFUSED("a tensor a byte too large", G4, size++);
    REFUSED("a tensor a byte too small", CUSTOM, size--);
    REFUSED("a tensor of no bytes", RAW, size = 0);
    REFUSED("a tensor of 0 rows", RAW, rows = 0);
    REFUSED("a row too many", G4, rows++);
    REFUSED("more bytes than there are", RAW, rows = 2 + (1u << 30)); /* 20 rows = 40 modulo 2^32 */
    REFUSED("a tensor of 0 cols", G5, cols = 0);
    REFUSED("more cols than allowed", G5, cols = LLMQ_MAX_COLS + 1);
    REFUSED("a group of 33", G4, format.group = 33);
    REFUSED("a group of 1056", G4, format.group = 1056);
    REFUSED("no points for a grid", G4, format.points = NULL);
    REFUSED("a transform that is not there", G4, transform = "rotation");
    REFUSED("a grid for a transform", G4, transform = "book");
    REFUSED("itself for a transform", G4, transform = "attn.g4");
    REFUSED("an empty name for a transform", G4, transform = "");
    REFUSED("no grid for a custom format", CUSTOM, grid = NULL);
    REFUSED("a grid that is not there", CUSTOM, grid = "books");
    REFUSED("a transform for a grid", CUSTOM, grid = "rot");
    REFUSED("a grid for a built-in format", G5, grid = "book");
    REFUSED("a grid for raw numbers", RAW, grid = "book");
    REFUSED("kind 0", V_BYTES, kind = 0);
    REFUSED("kind 5", V_BYTES, kind = 5);
    REFUSED("kind 65537", V_BYTES, kind = 65537);
    REFUSED("type 4", V_BYTES, type = 4);
    REFUSED("a u32 of 7 bytes", V_BYTES, type = LLMQ_VALUE_U32);
    REFUSED("an f32 of 0 bytes", EMPTY, type = LLMQ_VALUE_F32);
    REFUSED("a u32 of 3 bytes", V_U32, size = 3);
    REFUSED("no data", V_TEXT, data = NULL);
    REFUSED("a transform of 3 bytes", ROT, size = 3);
}

static void test_refused_calls(void)
{
    llmq_entry e[GOLDEN_COUNT];
    uint8_t out[8];
    golden_content(e);
    CHECK_EQ(llmq_bundle_write(e, GOLDEN_COUNT, NULL, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_write(NULL, 1, stopping_sink, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_write_memory(NULL, 1, out, sizeof out), LLMQ_E_ARG);
    CHECK_EQ((long)llmq_bundle_size(NULL, 1), 0);
    e[V_BYTES].size = SIZE_MAX - 1000; /* no bundle can be that large */
    CHECK_EQ((long)llmq_bundle_size(e, GOLDEN_COUNT), 0);
    check_refused(e, GOLDEN_COUNT, LLMQ_E_LIMIT, "a size that does not fit");
    e[V_BYTES].size = SIZE_MAX / 2, e[V_TEXT].size = SIZE_MAX / 2;
    CHECK_EQ((long)llmq_bundle_size(e, GOLDEN_COUNT), 0);
    check_refused(e, GOLDEN_COUNT, LLMQ_E_LIMIT, "sizes whose sum does not fit");
}

/* What the writer accepts, a reader must open: it may refuse these entries, but not make a bundle of them. */
static void check_readable(const llmq_entry *e, const char *what)
{
    static uint8_t out[MOST];
    llmq_entry copy[GOLDEN_COUNT];
    llmq_bundle b;
    memcpy(copy, e, sizeof copy);
    check_at("writer, then reader: %s", what);
    if (llmq_bundle_write_memory(copy, GOLDEN_COUNT, out, sizeof out) == LLMQ_OK)
        CHECK_EQ(llmq_bundle_open(&b, out, llmq_bundle_size(copy, GOLDEN_COUNT), NULL), LLMQ_OK);
    check_at("%s", "");
}

static void test_write_then_read(void)
{
    static const uint8_t small_grid[20] = { 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0x80, 0x3f }; /* p 2, n 3: 2 bits, not 4 */
    static const uint8_t block_3[12] = { 1, 0, 0, 0, 1, 0, 3, 0 };
    llmq_entry e[GOLDEN_COUNT];
    golden_content(e);
    check_readable(e, "the golden content");
    e[ROT].size--;
    check_readable(e, "a transform whose size is not that of its steps");
    e[ROT].data = block_3, e[ROT].size = sizeof block_3;
    check_readable(e, "a transform with a block of 3");
    golden_content(e);
    e[BOOK].size = 4;
    check_readable(e, "a grid of 4 bytes");
    e[BOOK].data = small_grid, e[BOOK].size = sizeof small_grid;
    check_readable(e, "a grid of another shape than the format of its tensor");
}

/* ---- the writer of payloads that come one by one ---- */

/* A medium on which a program may be killed at any byte: the bytes so far, each call that wrote them, and a stop. */
typedef struct medium {
    uint32_t calls, stop;
    uint8_t bytes[GOLDEN_SIZE];
    size_t end;                 /* of the last byte that was written */
    uint8_t writes[GOLDEN_SIZE]; /* how often each was */
    uint32_t checked;           /* open after every so many bytes, 0: never */
    uint32_t opened;            /* moments at which the bytes were a bundle, before all was done */
    llmq_status last;
} medium;

/* What a reader finds on it: the bytes up to the last that was written, and the whole of it. */
static void look_at(medium *m)
{
    llmq_bundle b;
    m->last = llmq_bundle_open(&b, m->bytes, m->end, NULL);
    m->opened += m->last == LLMQ_OK;
    m->opened += llmq_bundle_open(&b, m->bytes, sizeof m->bytes, NULL) == LLMQ_OK;
}

static int write_medium(void *context, size_t offset, const void *bytes, size_t size)
{
    medium *m = (medium *)context;
    size_t i;
    if (++m->calls == m->stop) return 1;
    if (!CHECK(size > 0 && offset <= sizeof m->bytes && size <= sizeof m->bytes - offset)) return 1;
    for (i = 0; i < size; i++) {
        if (m->checked && (offset < 64 || i % m->checked == 0)) look_at(m);
        m->bytes[offset + i] = ((const uint8_t *)bytes)[i];
        m->writes[offset + i]++;
        if (offset + i + 1 > m->end) m->end = offset + i + 1;
    }
    return 0;
}

/* Sends the payload of entry i, at once or rows of a tensor in several calls, from memory that is overwritten then. */
static void send_payload(llmq_writer *w, const medium *m, uint32_t i, const void *data, int in_rows)
{
    static uint8_t payload[GOLDEN_SIZE];
    const llmq_entry e = w->entries[i];
    const size_t row_size = e.rows ? e.size / e.rows : e.size;
    const uint8_t *from = (const uint8_t *)data;
    uint32_t rows = e.rows ? e.rows : 1, n;
    for (; rows; rows -= n, from += n * row_size) {
        n = in_rows && e.rows ? 1 + check_below(rows) : rows;
        memcpy(payload, from, n * row_size);
        if (n == rows && from == (const uint8_t *)data)
            while (llmq_writer_put(w, i, payload) != LLMQ_OK) CHECK_EQ(m->calls, m->stop);
        else {
            while (llmq_writer_rows(w, i, payload, n) != LLMQ_OK) CHECK_EQ(m->calls, m->stop);
            if (n < rows) CHECK_EQ(llmq_writer_put(w, i, payload), LLMQ_E_ARG);
        }
        memset(payload, 0xee, n * row_size);
    }
    CHECK_EQ(llmq_writer_put(w, i, payload), LLMQ_E_ARG); /* sent already */
    CHECK_EQ(llmq_writer_rows(w, i, payload, 1), LLMQ_E_ARG);
}

/* Writes the golden bundle: payloads of tensors and values are sent one by one, if `late` has their bit, in an order
   that depends on seed (0: in order), and in rows if that is odd. t2 comes with them. Calls that stop are made
   again. */
static void write_one_by_one(medium *m, uint32_t late, uint32_t seed)
{
    llmq_entry e[GOLDEN_COUNT];
    const void *data[GOLDEN_COUNT];
    float t2[GOLDEN_COUNT];
    llmq_writer w;
    uint32_t i, k, order[GOLDEN_COUNT];
    golden_content(e); /* sorted */
    for (i = 0; i < GOLDEN_COUNT; i++) {
        data[i] = e[i].data, t2[i] = e[i].t2, order[i] = i;
        if (!(late >> i & 1) || (e[i].kind != LLMQ_KIND_TENSOR && e[i].kind != LLMQ_KIND_VALUE)) continue;
        e[i].data = NULL;
        e[i].t2 = 77.0f;
    }
    for (i = GOLDEN_COUNT; i > 1 && seed; i--) {
        uint32_t swap = order[i - 1];
        k = check_below(i);
        order[i - 1] = order[k], order[k] = swap;
    }
    if (seed) shuffle(e, GOLDEN_COUNT);
    while (llmq_writer_begin(&w, e, GOLDEN_COUNT, write_medium, m) != LLMQ_OK) CHECK_EQ(m->calls, m->stop);
    CHECK(w.entries == e && w.count == GOLDEN_COUNT && w.size == GOLDEN_SIZE);
    for (k = 0; k < GOLDEN_COUNT; k++) {
        i = order[k];
        CHECK(same_text(e[i].name, golden_entries[i].name));
        if (e[i].data || !e[i].size) continue;
        e[i].t2 = t2[i];
        send_payload(&w, m, i, data[i], seed & 1);
    }
    while (llmq_writer_end(&w) != LLMQ_OK) CHECK_EQ(m->calls, m->stop);
    m->last = LLMQ_OK;
}

#define ALL_LATE ((1u << GOLDEN_COUNT) - 1)

static void test_writer_same_bytes(void)
{
    static medium m;
    uint32_t i, calls, wrong = 0;
    for (i = 0; i < 400; i++) {
        memset(&m, 0, sizeof m);
        memset(m.bytes, 0x77, sizeof m.bytes);
        write_one_by_one(&m, i < 2 ? ALL_LATE * i : check_random(), i % 2);
        CHECK(memcmp(m.bytes, golden_bundle, GOLDEN_SIZE) == 0 && m.end == GOLDEN_SIZE);
    }
    for (i = 0; i < GOLDEN_SIZE; i++) wrong += m.writes[i] != (i < 64 ? 2 : 1);
    CHECK_EQ((long)wrong, 0);
    /* a sink that fails once, at any call, and then goes on */
    memset(&m, 0, sizeof m);
    write_one_by_one(&m, ALL_LATE, 0);
    calls = m.calls;
    for (i = 1; i <= calls; i++) {
        memset(&m, 0, sizeof m);
        m.stop = i;
        write_one_by_one(&m, i % 2 ? ALL_LATE : 0x155, i % 3);
        CHECK(memcmp(m.bytes, golden_bundle, GOLDEN_SIZE) == 0 && m.calls > i);
    }
}

/* No moment of writing leaves a bundle, nor does any beginning of what is there: not on a medium of zeros, of noise,
   or that holds an older bundle. The old one is there until the first byte is written. */
static void test_writer_unfinished(void)
{
    static medium m;
    uint32_t kind, i;
    llmq_bundle b;
    for (kind = 0; kind < 3; kind++) {
        memset(&m, 0, sizeof m);
        if (kind == 1)
            for (i = 0; i < GOLDEN_SIZE; i++) m.bytes[i] = (uint8_t)check_random();
        if (kind == 2) memcpy(m.bytes, golden_bundle, GOLDEN_SIZE);
        m.checked = BUNDLE_ONE_IN;
        write_one_by_one(&m, kind == 1 ? 0x5555 : ALL_LATE, kind);
        CHECK_EQ((long)m.opened, kind == 2 ? 1 : 0);
        for (i = 0; i < GOLDEN_SIZE; i++) CHECK(llmq_bundle_open(&b, m.bytes, i, NULL) != LLMQ_OK);
        CHECK_EQ(llmq_bundle_open(&b, m.bytes, GOLDEN_SIZE, NULL), LLMQ_OK);
        CHECK_EQ(llmq_bundle_verify(&b, NULL), LLMQ_OK);
    }
    /* and it is refused as what is no bundle, in whatever state the rest of the header is */
    memset(&m, 0, sizeof m);
    write_one_by_one(&m, ALL_LATE, 0);
    for (i = 0; i < 8; i++) {
        memset(m.bytes + i, 0, 8 - i);
        CHECK_EQ(llmq_bundle_open(&b, m.bytes, GOLDEN_SIZE, NULL), LLMQ_E_MAGIC);
        memcpy(m.bytes, golden_bundle, 8);
    }
}

/* Rows of two tensors at a time, too many of them, and an end before the last. */
static void test_writer_rows(void)
{
    static medium m;
    llmq_entry e[GOLDEN_COUNT];
    llmq_writer w;
    const uint8_t *g4 = golden_bundle + golden_entries[G4].offset, *t3 = golden_bundle + golden_entries[T3].offset;
    const uint32_t rows = golden_entries[G4].rows, calls[2] = { 1, rows - 1 };
    memset(&m, 0, sizeof m);
    golden_content(e);
    e[G4].data = e[T3].data = NULL;
    CHECK(rows > 1);
    if (!CHECK_EQ(llmq_writer_begin(&w, e, GOLDEN_COUNT, write_medium, &m), LLMQ_OK)) return;
    CHECK_EQ(llmq_writer_rows(&w, G4, g4, calls[0]), LLMQ_OK);
    m.calls = 0;
    CHECK_EQ(llmq_writer_rows(&w, T3, t3, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_put(&w, T3, t3), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(&w, G4, g4, rows), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_end(&w), LLMQ_E_ARG);
    CHECK_EQ((long)m.calls, 0);
    CHECK_EQ(llmq_writer_rows(&w, G4, g4 + calls[0] * (golden_entries[G4].size / rows), calls[1]), LLMQ_OK);
    CHECK_EQ(llmq_writer_rows(&w, G4, g4, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_put(&w, T3, t3), LLMQ_OK);
    CHECK_EQ(llmq_writer_end(&w), LLMQ_OK);
    CHECK(memcmp(m.bytes, golden_bundle, GOLDEN_SIZE) == 0);
}

/* ---- the checksum ---- */

/* A bit at a time, as IEEE 802.3 says it. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *b, size_t n)
{
    size_t i;
    for (crc = ~crc, i = 0; i < 8 * n; i++) {
        const uint32_t bit = (crc ^ (uint32_t)b[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (bit ? 0xedb88320u : 0u);
    }
    return ~crc;
}

static void test_checksum(void)
{
    uint8_t b[80];
    uint32_t at, n, i, wrong = 0;
    CHECK(llmq__crc(0, (const uint8_t *)"123456789", 9) == 0xcbf43926u); /* the check value of CRC-32 */
    for (i = 0; i < sizeof b; i++) b[i] = (uint8_t)check_random();
    for (at = 0; at < 8; at++)
        for (n = 0; at + n <= sizeof b; n++) {
            const uint32_t crc = crc_by_bits(at, b + at, n);
            wrong += llmq__crc(at, b + at, n) != crc;
            for (i = 0; i <= n; i++) wrong += llmq__crc(llmq__crc(at, b + at, i), b + at + i, n - i) != crc;
        }
    CHECK_EQ((long)wrong, 0);
    for (i = 0; i < 8 * sizeof b; i++) { /* each entry of each table */
        memset(b, 0, sizeof b);
        b[i / 8] = (uint8_t)(1u << i % 8);
        wrong += llmq__crc(0, b, sizeof b) != crc_by_bits(0, b, sizeof b);
    }
    CHECK_EQ((long)wrong, 0);
}

/* llmq_writer_begin refuses what llmq_bundle_write refuses, and sends nothing. */
static void check_begin(const llmq_entry *e, llmq_status status, const char *what)
{
    static medium m;
    llmq_entry copy[GOLDEN_COUNT];
    llmq_writer w;
    uint32_t i;
    check_at("llmq_writer_begin: %s", what);
    memset(&m, 0, sizeof m);
    memset(&w, 0x77, sizeof w);
    memcpy(copy, e, sizeof copy);
    CHECK_EQ(llmq_writer_begin(&w, copy, GOLDEN_COUNT, write_medium, &m), status);
    CHECK(m.calls == 0 && w.count == 0x77777777u && w.next == 0x77777777u);
    for (i = 0; i < GOLDEN_COUNT && e[i].name; i++) CHECK(copy[i].data == e[i].data || e[i].name != copy[i].name);
    check_at("%s", "");
}

#define NOT_BEGUN(what, i, change)               \
    do {                                         \
        llmq_entry *at = &e[i];                  \
        golden_content(e);                       \
        at->change;                              \
        check_begin(e, LLMQ_E_ARG, what);        \
        at->data = NULL;                         \
        check_begin(e, LLMQ_E_ARG, what);        \
    } while (0)

static void test_writer_refused(void)
{
    static medium m;
    uint8_t scales[GOLDEN_SIZE];
    llmq_entry e[GOLDEN_COUNT];
    llmq_writer w;
    uint32_t i;
    golden_content(e);
    CHECK_EQ(llmq_writer_begin(NULL, e, GOLDEN_COUNT, write_medium, &m), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_begin(&w, e, GOLDEN_COUNT, NULL, &m), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_begin(&w, NULL, 1, write_medium, &m), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_put(NULL, 0, scales), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_end(NULL), LLMQ_E_ARG);
    NOT_BEGUN("a tensor a byte too large", G4, size++);
    NOT_BEGUN("a tensor of no bytes", RAW, size = 0);
    NOT_BEGUN("a row too many", T3, rows++);
    NOT_BEGUN("a transform that is not there", G4, transform = "rotation");
    NOT_BEGUN("another transform's kind", G4, transform = "book");
    NOT_BEGUN("no grid", CUSTOM, grid = NULL);
    NOT_BEGUN("a u32 of 3 bytes", V_U32, size = 3);
    NOT_BEGUN("kind 5", V_BYTES, kind = 5);
    NOT_BEGUN("no name", V_TEXT, name = NULL);
    NOT_BEGUN("a name twice", V_TEXT, name = "attn.g4");
    NOT_BEGUN("a transform that comes later", ROT, data = NULL);
    NOT_BEGUN("a grid that comes later", BOOK, data = NULL);
    golden_content(e);
    e[V_BYTES].size = SIZE_MAX - 1000;
    check_begin(e, LLMQ_E_LIMIT, "a size that does not fit");
    golden_content(e);
    memcpy(scales, e[G4].data, e[G4].size);
    scales[1] |= 0x80; /* negative */
    e[G4].data = scales;
    check_begin(e, LLMQ_E_ARG, "a negative scale");
    /* payloads */
    golden_content(e);
    e[G4].data = e[V_U32].data = NULL;
    memset(&m, 0, sizeof m);
    if (!CHECK_EQ(llmq_writer_begin(&w, e, GOLDEN_COUNT, write_medium, &m), LLMQ_OK)) return;
    for (i = 0; i < GOLDEN_COUNT; i++)
        if (i != G4 && i != V_U32)
            CHECK_EQ(llmq_writer_put(&w, i, golden_bundle + golden_entries[i].offset), LLMQ_E_ARG);
    m.calls = 0;
    CHECK_EQ(llmq_writer_put(&w, GOLDEN_COUNT, scales), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_put(&w, G4, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_put(&w, G4, scales), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(NULL, G4, scales, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(&w, GOLDEN_COUNT, scales, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(&w, V_U32, scales, 1), LLMQ_E_ARG); /* no tensor */
    CHECK_EQ(llmq_writer_rows(&w, G4, NULL, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(&w, G4, scales, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(&w, G4, golden_bundle + golden_entries[G4].offset, 0), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_rows(&w, G4, golden_bundle + golden_entries[G4].offset, golden_entries[G4].rows + 1),
             LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_end(&w), LLMQ_E_ARG); /* two are missing */
    CHECK_EQ((long)m.calls, 0);
    CHECK_EQ(llmq_writer_put(&w, G4, golden_bundle + golden_entries[G4].offset), LLMQ_OK);
    m.calls = 0;
    CHECK_EQ(llmq_writer_end(&w), LLMQ_E_ARG); /* one is */
    CHECK_EQ((long)m.calls, 0);
    m.stop = 1;
    CHECK_EQ(llmq_writer_put(&w, V_U32, golden_bundle + golden_entries[V_U32].offset), LLMQ_E_STOPPED);
    CHECK_EQ(llmq_writer_end(&w), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_put(&w, V_U32, golden_bundle + golden_entries[V_U32].offset), LLMQ_OK);
    m.calls = 0;
    CHECK_EQ(llmq_writer_end(&w), LLMQ_E_STOPPED);
    CHECK_EQ((long)m.calls, 1);
    CHECK_EQ(llmq_writer_end(&w), LLMQ_OK);
    CHECK(memcmp(m.bytes, golden_bundle, GOLDEN_SIZE) == 0);
    golden_content(e);
    m.calls = 0;
    CHECK_EQ(llmq_writer_begin(&w, e, GOLDEN_COUNT, write_medium, &m), LLMQ_E_STOPPED);
    CHECK_EQ((long)m.calls, 1);
    /* no entries */
    memset(&m, 0, sizeof m);
    CHECK_EQ(llmq_writer_begin(&w, NULL, 0, write_medium, &m), LLMQ_OK);
    CHECK_EQ(llmq_writer_put(&w, 0, scales), LLMQ_E_ARG);
    CHECK_EQ(llmq_writer_end(&w), LLMQ_OK);
    CHECK(w.size == 64 && m.end == 64);
    CHECK_EQ(llmq_bundle_write_memory(NULL, 0, scales, 64), LLMQ_OK);
    CHECK(memcmp(m.bytes, scales, 64) == 0);
}

/* ---- empty, and large ---- */

static void test_empty(void)
{
    uint8_t out[64];
    llmq_bundle b;
    llmq_entry e;
    uint32_t i;
    CHECK_EQ((long)llmq_bundle_size(NULL, 0), 64);
    CHECK_EQ(llmq_bundle_write_memory(NULL, 0, out, 63), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_bundle_write_memory(NULL, 0, out, 64), LLMQ_OK);
    if (!CHECK_EQ(llmq_bundle_open(&b, out, 64, NULL), LLMQ_OK)) return;
    CHECK_EQ((long)b.count, 0);
    CHECK_EQ(llmq_bundle_verify(&b, NULL), LLMQ_OK);
    CHECK_EQ(llmq_bundle_at(&b, 0, &e), LLMQ_E_ARG);
    CHECK_EQ(llmq_bundle_find(&b, "a", &i), LLMQ_E_NOT_FOUND);
    put(out + 8, 2, 3); /* another major version */
    CHECK_EQ(llmq_bundle_open(&b, out, 64, NULL), LLMQ_E_VERSION);
}

/* No entries, but names: the bundle may end with them, before the multiple of 64 from which payloads are summed. */
static void test_names_alone(void)
{
    uint8_t bytes[64 + 5];
    llmq_bundle b;
    CHECK_EQ(llmq_bundle_write_memory(NULL, 0, bytes, 64), LLMQ_OK);
    memcpy(bytes + 64, "name", 5);
    put(bytes + 16, 8, sizeof bytes);
    put(bytes + 32, 4, 5);
    fix_checksums(bytes, sizeof bytes);
    if (!CHECK_EQ(llmq_bundle_open(&b, bytes, sizeof bytes, NULL), LLMQ_OK)) return;
    CHECK_EQ(llmq_bundle_verify(&b, NULL), LLMQ_OK);
}

#define MANY 300

/* Random names of 1 to 255 bytes, no byte below 32 nor 127; names share beginnings, so that order is decided late. */
static void many_names(char names[MANY][256])
{
    uint32_t i, k, length;
    for (i = 0; i < MANY; i++) {
        length = i == 0 ? 255 : 1 + check_below(i % 4 ? 12 : 255);
        memset(names[i], 0, 256);
        if (i) memcpy(names[i], names[check_below(i)], length); /* may be shorter than length: filled below */
        for (k = 0; k < length; k++)
            if (!names[i][k] || k + 2 > length)
                names[i][k] = (char)(check_below(3) ? 'a' + check_below(4) : 128 + check_below(128));
        for (k = 0; k < i; k++)
            if (strcmp(names[k], names[i]) == 0) i--, k = i;
    }
}

static void test_many(void)
{
    static char names[MANY][256];
    llmq_entry *e = (llmq_entry *)use_memory(MANY * sizeof *e);
    uint8_t *out, *again;
    size_t size;
    llmq_bundle b;
    uint32_t i, index = 0;
    many_names(names);
    memset(e, 0, MANY * sizeof *e);
    for (i = 0; i < MANY; i++) {
        e[i].name = names[i];
        e[i].kind = LLMQ_KIND_VALUE;
        e[i].data = names[i];
        e[i].size = check_below(100);
    }
    out = (uint8_t *)use_memory(MANY * 600);
    CHECK_EQ(llmq_bundle_write_memory(e, MANY, out, MANY * 600), LLMQ_OK);
    size = llmq_bundle_size(e, MANY); /* in the order of names by now */
    for (i = 0; i < 5; i++) {
        shuffle(e, MANY);
        again = write_exactly(e, MANY, size);
        CHECK(memcmp(out, again, size) == 0);
        free(again);
    }
    b.count = 0;
    CHECK_EQ(llmq_bundle_open(&b, out, size, NULL), LLMQ_OK);
    CHECK_EQ((long)b.count, MANY);
    for (i = 0; i < b.count; i++) { /* e is sorted now; strcmp compares as unsigned bytes, too */
        CHECK(i == 0 || strcmp(e[i - 1].name, e[i].name) < 0);
        CHECK(llmq_bundle_find(&b, e[i].name, &index) == LLMQ_OK && index == i);
    }
    if (b.count) CHECK_EQ(llmq_bundle_find(&b, "b1", &index), LLMQ_E_NOT_FOUND);
    free(out);
    free(e);
}

/* ---- broken bundles ---- */

static uint32_t broken_count, broken_opened;
static check_wall wall;

/* Uses the bundle in three places: a heap block of its size, against the wall behind, against
   the wall before. The result must be the same, and the bytes as they were. */
static use_result try_bundle(const uint8_t *bytes, size_t size)
{
    uint8_t *place[3];
    use_result first, u;
    uint32_t i;
    memset(&first, 0, sizeof first);
    broken_count++;
    place[0] = (uint8_t *)use_memory(size);
    place[1] = wall.end - size;
    place[2] = wall.start;
    for (i = 0; i < 3; i++) {
        const char *broken;
        memcpy(place[i], bytes, size);
        broken = use_bundle(place[i], size, &u);
        if (i == 0) first = u;
        if (broken) check_true(0, __FILE__, __LINE__, broken);
        CHECK(u.opened == first.opened && u.verified == first.verified && u.digest == first.digest);
        CHECK(memcmp(place[i], bytes, size) == 0);
    }
    free(place[0]);
    broken_opened += first.opened == LLMQ_OK;
    return first;
}

/* The same with the checksums made right, so that what is behind them is tested. */
static use_result try_fixed(uint8_t *bytes, size_t size)
{
    fix_checksums(bytes, size);
    return try_bundle(bytes, size);
}

/* What open must say of the golden bundle cut to n bytes. */
static void test_truncated(void)
{
    uint8_t copy[GOLDEN_SIZE];
    uint32_t n;
    for (n = 0; n < GOLDEN_SIZE; n++) {
        check_at("cut to %u bytes", (unsigned)n);
        CHECK_EQ(try_bundle(golden_bundle, n).opened, LLMQ_E_TRUNCATED);
        memcpy(copy, golden_bundle, n);
        if (n >= 24) put(copy + 16, 8, n); /* and says so */
        CHECK(try_fixed(copy, n).opened != LLMQ_OK);
    }
    check_at("%s", "");
}

static int is_inside(uint32_t at, uint32_t entry)
{
    return at - golden_entries[entry].offset < golden_entries[entry].size;
}

/* What open and verify must say of the golden bundle with one bit of this byte inverted, checksums left alone. */
static void check_flipped(uint32_t at, use_result u)
{
    if (at < 8) CHECK_EQ(u.opened, LLMQ_E_MAGIC);
    else if (at < 10) CHECK_EQ(u.opened, LLMQ_E_VERSION);
    else if (at < 12) CHECK_EQ(u.opened, LLMQ_OK); /* the minor version, which no checksum covers */
    else if (at < 16) CHECK_EQ(u.opened, LLMQ_E_CHECKSUM);
    else if (at < 36) CHECK(u.opened != LLMQ_OK); /* sizes may be found wrong before the checksum is */
    else if (at < names_end()) CHECK_EQ(u.opened, LLMQ_E_CHECKSUM);
    /* those are looked into by open */
    else if (!is_inside(at, ROT) && !is_inside(at, BOOK)) CHECK_EQ(u.opened, LLMQ_OK);
    if (u.opened != LLMQ_OK) return;
    CHECK_EQ(u.verified, at < 12 || at < golden_entries[0].offset ? LLMQ_OK : LLMQ_E_CHECKSUM);
}

static void test_flipped(void)
{
    uint8_t copy[GOLDEN_SIZE];
    uint32_t at, bit;
    for (at = 0; at < GOLDEN_SIZE; at++)
        for (bit = 0; bit < 8; bit++) {
            if (at >= ENTRY(0, 0) && (8 * at + bit) % BUNDLE_ONE_IN != 0) continue;
            check_at("byte %u, bit %u inverted", (unsigned)at, (unsigned)bit);
            memcpy(copy, golden_bundle, GOLDEN_SIZE);
            copy[at] = (uint8_t)(copy[at] ^ 1u << bit);
            check_flipped(at, try_bundle(copy, GOLDEN_SIZE));
            (void)try_fixed(copy, GOLDEN_SIZE);
        }
    check_at("%s", "");
}

/* Every field of the format in the golden bundle: where, and how wide. */
typedef struct field {
    uint32_t at, width;
} field;

#define MOST_FIELDS 400

static uint32_t add_fields(field *f, uint32_t n, uint32_t at, const uint8_t *widths, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count && n < MOST_FIELDS; i++, n++) {
        f[n].at = at;
        f[n].width = widths[i];
        at += widths[i];
    }
    return n;
}

static uint32_t all_fields(field *f)
{
    static const uint8_t header[] = { 8, 2, 2, 4, 8, 4, 4, 4, 4, 8, 8, 8 };
    static const uint8_t entry[] = { 2, 2, 4, 4, 4, 8, 8, 4, 4, 4, 4, 4, 4, 4, 4 };
    static const uint8_t transform[] = { 4, 2, 2, 4, 2, 2, 4 }, grid[] = { 4, 4, 4 };
    uint32_t n = add_fields(f, 0, 0, header, sizeof header), i;
    for (i = 0; i < GOLDEN_COUNT; i++) n = add_fields(f, n, ENTRY(i, 0), entry, sizeof entry);
    n = add_fields(f, n, PAYLOAD(ROT, 0), transform, sizeof transform);
    return add_fields(f, n, PAYLOAD(BOOK, 0), grid, sizeof grid);
}

static void try_field(field f, uint64_t value)
{
    uint8_t copy[GOLDEN_SIZE];
    check_at("field of %u bytes at %u set to %lu", (unsigned)f.width, (unsigned)f.at, (unsigned long)value);
    memcpy(copy, golden_bundle, GOLDEN_SIZE);
    put(copy + f.at, f.width, value);
    (void)try_bundle(copy, GOLDEN_SIZE);
    (void)try_fixed(copy, GOLDEN_SIZE);
}

static void test_fields(void)
{
    field f[MOST_FIELDS];
    uint32_t n = all_fields(f), i, k;
    for (i = 0; i < n; i++) {
        uint64_t most = f[i].width == 8 ? ~(uint64_t)0 : ((uint64_t)1 << 8 * f[i].width) - 1;
        uint64_t old = get64(golden_bundle + f[i].at) & most, value[12];
        value[0] = 0, value[1] = 1, value[2] = most, value[3] = most - 1, value[4] = old + 1, value[5] = old - 1;
        value[6] = GOLDEN_SIZE, value[7] = most / 2 + 1, value[8] = most - 63, value[9] = old + 64, value[10] = old * 2;
        value[11] = 64;
        for (k = 0; k < 12; k++) try_field(f[i], value[k]);
    }
    check_at("%s", "");
}

/* Each field of each entry as in each other entry. */
static void test_swapped_fields(void)
{
    field f[MOST_FIELDS];
    uint32_t n = all_fields(f), i, k;
    for (i = 0; i < n; i++)
        for (k = 0; f[i].at >= 64 && f[i].at < NAMES && k < GOLDEN_COUNT; k++)
            try_field(f[i], get64(golden_bundle + ENTRY(k, f[i].at % 64)));
    check_at("%s", "");
}

/* Two to five fields at once, so that one lie can cover another. */
static void test_random_fields(void)
{
    static const uint32_t telling[16] = {
        0, 1, 2, 4, 16, 26, 31, 32, 33, 64, 257, 1024, 1u << 16, 1u << 24, 1u << 31, 0xffffffffu
    };
    uint8_t copy[GOLDEN_SIZE];
    field f[MOST_FIELDS];
    uint32_t n = all_fields(f), round, k;
    check_seed(8);
    for (round = 0; round < 4000; round++) {
        check_at("random fields, round %u", (unsigned)round);
        memcpy(copy, golden_bundle, GOLDEN_SIZE);
        for (k = 2 + check_below(4); k > 0; k--) {
            field at = f[12 + check_below(n - 12)];
            uint32_t other = ENTRY(check_below(GOLDEN_COUNT), at.at % 64), kind = check_below(3);
            uint64_t value = get64(copy + at.at) + check_below(5) - 2;
            if (kind == 0) value = telling[check_below(16)];
            if (kind == 1) value = get64(golden_bundle + other);
            put(copy + at.at, at.width, value);
        }
        (void)try_fixed(copy, GOLDEN_SIZE);
    }
    check_at("%s", "");
}

/* ---- broken bundles whose status is known ---- */

typedef struct lie {
    const char *what;
    uint32_t at, width;
    uint64_t value;
    llmq_status expected;
} lie;

static void try_lies(const lie *l, uint32_t count)
{
    uint8_t copy[GOLDEN_SIZE];
    for (; count > 0; count--, l++) {
        check_at("%s", l->what);
        memcpy(copy, golden_bundle, GOLDEN_SIZE);
        put(copy + l->at, l->width, l->value);
        CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, l->expected);
    }
    check_at("%s", "");
}

#define TRY_LIES(list) try_lies(list, sizeof list / sizeof *list)
#define MOST64 (~(uint64_t)0)

static void test_header_lies(void)
{
    uint32_t i;
    const uint64_t more = (uint64_t)1 << 32;
    const llmq_status too_large = sizeof(size_t) > 4 ? LLMQ_E_TRUNCATED : LLMQ_E_LIMIT;
    const lie list[] = {
        { "major version 0", 8, 2, 0, LLMQ_E_VERSION },
        { "major version 2", 8, 2, 2, LLMQ_E_VERSION },
        { "a higher minor version", 10, 2, 7, LLMQ_OK },
        { "total size 0", 16, 8, 0, LLMQ_E_CORRUPT },
        { "total size 63", 16, 8, 63, LLMQ_E_CORRUPT },
        { "total size a byte more", 16, 8, GOLDEN_SIZE + 1, LLMQ_E_TRUNCATED },
        { "total size 2^32 more", 16, 8, GOLDEN_SIZE + more, too_large },
        { "total size over all", 16, 8, MOST64, LLMQ_E_LIMIT },
        { "no entries", 28, 4, 0, LLMQ_OK },
        { "2^32 - 1 entries", 28, 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "2^26 entries, 64 of them 0 in 32 bits", 28, 4, 1u << 26, LLMQ_E_CORRUPT },
        { "names of 2^32 - 1 bytes", 32, 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "no names", 32, 4, 0, LLMQ_E_CORRUPT },
        { "the last name without its end", 32, 4, get32(golden_bundle + 32) - 1, LLMQ_E_CORRUPT },
    };
    TRY_LIES(list);
    for (i = 36; i < 64; i++) {
        lie reserved = { "a reserved byte of the header", 0, 1, 1, LLMQ_E_CORRUPT };
        reserved.at = i;
        try_lies(&reserved, 1);
    }
}

static void test_place_lies(void)
{
    const lie list[] = {
        { "a name of 0 bytes", ENTRY(G4, 8), 4, 0, LLMQ_E_CORRUPT },
        { "a name of 256 bytes", ENTRY(G4, 8), 4, 256, LLMQ_E_CORRUPT },
        { "a name of 2^32 - 1 bytes", ENTRY(G4, 8), 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "a name shorter than its end", ENTRY(G4, 8), 4, 6, LLMQ_E_CORRUPT },
        { "a name over an end", ENTRY(G4, 8), 4, 16, LLMQ_E_CORRUPT },
        { "a name that is only an end", ENTRY(G4, 4), 4, 7, LLMQ_E_CORRUPT },
        { "a name beyond the names", ENTRY(EMPTY, 4), 4, 1000, LLMQ_E_CORRUPT },
        { "a name whose end wraps", ENTRY(EMPTY, 4), 4, 0xfffffff8u, LLMQ_E_CORRUPT },
        { "byte 31 in a name", NAMES + 2, 1, 31, LLMQ_E_CORRUPT },
        { "byte 127 in a name", NAMES + 2, 1, 127, LLMQ_E_CORRUPT },
        { "a 0 in a name", NAMES + 2, 1, 0, LLMQ_E_CORRUPT },
        { "byte 255 in a name", NAMES + 80, 1, 255, LLMQ_OK },
        { "no 0 after a name", NAMES + 7, 1, 'x', LLMQ_E_CORRUPT },
        { "names out of order", NAMES, 1, 'b', LLMQ_E_CORRUPT },
        { "a payload off by 1", ENTRY(EMPTY, 16), 8, GOLDEN_SIZE - 1, LLMQ_E_CORRUPT },
        { "a payload off by 32", ENTRY(V_U32, 16), 8, golden_entries[V_U32].offset + 32, LLMQ_E_CORRUPT },
        { "a payload over the one before", ENTRY(RAW, 16), 8, golden_entries[G4].offset, LLMQ_E_CORRUPT },
        { "a payload over the directory", ENTRY(G4, 16), 8, 64, LLMQ_E_CORRUPT },
        { "a payload over the header", ENTRY(G4, 16), 8, 0, LLMQ_E_CORRUPT },
        { "a payload over the names", ENTRY(G4, 16), 8, NAMES, LLMQ_E_CORRUPT },
        { "a payload behind the bundle", ENTRY(EMPTY, 16), 8, GOLDEN_SIZE + 64, LLMQ_E_CORRUPT },
        { "a payload whose end wraps", ENTRY(V_U32, 16), 8, MOST64 - 63, LLMQ_E_CORRUPT },
        { "a payload 2^32 away", ENTRY(V_U32, 16), 8, golden_entries[V_U32].offset + ((uint64_t)1 << 32),
          LLMQ_E_CORRUPT },
        { "a size that wraps", ENTRY(V_BYTES, 24), 8, MOST64 - golden_entries[V_BYTES].offset + 1, LLMQ_E_CORRUPT },
        { "a size over the next payload", ENTRY(V_BYTES, 24), 8, 65, LLMQ_E_CORRUPT },
        { "a size up to the next payload", ENTRY(V_BYTES, 24), 8, 64, LLMQ_OK },
        { "a byte too many at the end", ENTRY(EMPTY, 24), 8, 1, LLMQ_E_CORRUPT },
        { "a size 2^32 too large", ENTRY(V_BYTES, 24), 8, 7 + ((uint64_t)1 << 32), LLMQ_E_CORRUPT },
        { "a reserved byte of an entry", ENTRY(G4, 56), 1, 1, LLMQ_E_CORRUPT },
        { "the last reserved byte of an entry", ENTRY(EMPTY, 63), 1, 128, LLMQ_E_CORRUPT },
    };
    TRY_LIES(list);
}

static void test_tensor_lies(void)
{
    const lie list[] = {
        { "format 0", ENTRY(G4, 12), 4, 0, LLMQ_E_UNSUPPORTED },
        { "format 4", ENTRY(G4, 12), 4, 4, LLMQ_E_UNSUPPORTED },
        { "format 255", ENTRY(G4, 12), 4, 255, LLMQ_E_UNSUPPORTED },
        { "g4 of version 0.1", ENTRY(G4, 12), 4, 18, LLMQ_E_UNSUPPORTED },
        { "format 256", ENTRY(G4, 12), 4, 256, LLMQ_E_UNSUPPORTED },
        { "format 2^16 + g4", ENTRY(G4, 12), 4, 0x1001au, LLMQ_E_UNSUPPORTED },
        /* their ids stay reserved */
        { "v2n256 of version 0.10", ENTRY(G4, 12), 4, 42, LLMQ_E_UNSUPPORTED },
        { "v3n64 of version 0.10", ENTRY(G4, 12), 4, 43, LLMQ_E_UNSUPPORTED },
        { "v3n512 of version 0.10", ENTRY(G4, 12), 4, 44, LLMQ_E_UNSUPPORTED },
        { "v4n256 of version 0.10", ENTRY(G4, 12), 4, 45, LLMQ_E_UNSUPPORTED },
        { "u6 of version 0.10", ENTRY(U4, 12), 4, 51, LLMQ_E_UNSUPPORTED },
        { "g5 of the size of g4", ENTRY(G4, 12), 4, 27, LLMQ_E_CORRUPT },
        { "f16 of the size of f32", ENTRY(RAW, 12), 4, 2, LLMQ_E_CORRUPT },
        { "rows 0", ENTRY(G4, 32), 4, 0, LLMQ_E_CORRUPT },
        { "a row too many", ENTRY(G4, 32), 4, 4, LLMQ_E_CORRUPT },
        { "a row too few", ENTRY(G4, 32), 4, 2, LLMQ_E_CORRUPT },
        { "rows whose bytes are right in 32 bits", ENTRY(RAW, 32), 4, 2 + (1u << 30), LLMQ_E_CORRUPT },
        { "rows 2^32 - 1", ENTRY(RAW, 32), 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "cols 0", ENTRY(G4, 36), 4, 0, LLMQ_E_CORRUPT },
        { "a column more than fits", ENTRY(RAW, 36), 4, 6, LLMQ_E_CORRUPT },
        { "cols over the limit", ENTRY(G4, 36), 4, LLMQ_MAX_COLS + 1, LLMQ_E_CORRUPT },
        { "cols 2^30 + 5", ENTRY(RAW, 36), 4, 5 + (1u << 30), LLMQ_E_CORRUPT },
        { "cols 2^32 - 1", ENTRY(G5, 36), 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "group 33", ENTRY(G4, 40), 4, 33, LLMQ_E_CORRUPT },
        { "group 31", ENTRY(G4, 40), 4, 31, LLMQ_E_CORRUPT },
        { "group 1056", ENTRY(G4, 40), 4, 1056, LLMQ_E_CORRUPT },
        { "group 2^32 - 32", ENTRY(G4, 40), 4, 0xffffffe0u, LLMQ_E_CORRUPT },
        { "a group for raw numbers", ENTRY(RAW, 40), 4, 32, LLMQ_E_CORRUPT },
        { "group 96 for a row of 70", ENTRY(G5, 40), 4, 96, LLMQ_OK }, /* one scale, as for the whole row */
        { "a value for a transform", ENTRY(G4, 44), 4, V_U32 + 1, LLMQ_E_CORRUPT },
        { "a grid for a transform", ENTRY(G4, 44), 4, BOOK + 1, LLMQ_E_CORRUPT },
        { "itself for a transform", ENTRY(G4, 44), 4, G4 + 1, LLMQ_E_CORRUPT },
        { "a transform after the last entry", ENTRY(G4, 44), 4, GOLDEN_COUNT + 1, LLMQ_E_CORRUPT },
        { "transform 2^32 - 1", ENTRY(G4, 44), 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "no transform", ENTRY(G4, 44), 4, 0, LLMQ_OK },
        { "no grid for a custom format", ENTRY(CUSTOM, 48), 4, 0, LLMQ_E_CORRUPT },
        { "a transform for a grid", ENTRY(CUSTOM, 48), 4, ROT + 1, LLMQ_E_CORRUPT },
        { "a grid after the last entry", ENTRY(CUSTOM, 48), 4, GOLDEN_COUNT + 1, LLMQ_E_CORRUPT },
        { "grid 2^32 - 1", ENTRY(CUSTOM, 48), 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "a grid for a built-in format", ENTRY(G4, 48), 4, BOOK + 1, LLMQ_E_CORRUPT },
        { "a grid for raw numbers", ENTRY(RAW, 48), 4, BOOK + 1, LLMQ_E_CORRUPT },
        { "a NaN for t2", ENTRY(G4, 52), 4, 0x7fc00000u, LLMQ_OK },
    };
    TRY_LIES(list);
}

static void test_payload_lies(void)
{
    const lie list[] = {
        { "9 steps", PAYLOAD(ROT, 0), 4, 9, LLMQ_E_CORRUPT },
        { "3 steps in the room of 2", PAYLOAD(ROT, 0), 4, 3, LLMQ_E_CORRUPT },
        { "2 + 2^29 steps, whose size is right in 32 bits", PAYLOAD(ROT, 0), 4, 2 + (1u << 29), LLMQ_E_CORRUPT },
        { "a step of an unknown kind", PAYLOAD(ROT, 12), 2, 5, LLMQ_E_UNSUPPORTED },
        { "a step of kind 0", PAYLOAD(ROT, 4), 2, 0, LLMQ_E_UNSUPPORTED },
        { "a block of 0", PAYLOAD(ROT, 6), 2, 0, LLMQ_E_CORRUPT },
        { "a block of 3", PAYLOAD(ROT, 6), 2, 3, LLMQ_E_CORRUPT },
        { "a block of 65535", PAYLOAD(ROT, 14), 2, 65535, LLMQ_E_CORRUPT },
        { "a block of 1", PAYLOAD(ROT, 6), 2, 1, LLMQ_OK },
        { "a block of 32768", PAYLOAD(ROT, 6), 2, 32768u, LLMQ_OK }, /* 96 = 12 x 8 is then one block */
        { "a transform of 3 bytes", ENTRY(ROT, 24), 8, 3, LLMQ_E_CORRUPT },
        { "a transform a byte too long", ENTRY(ROT, 24), 8, 21, LLMQ_E_CORRUPT },
        { "p 0", PAYLOAD(BOOK, 0), 4, 0, LLMQ_E_CORRUPT },
        { "p 9", PAYLOAD(BOOK, 0), 4, 9, LLMQ_E_CORRUPT },
        { "p 2^28 + 2", PAYLOAD(BOOK, 0), 4, 2 + (1u << 28), LLMQ_E_CORRUPT },
        { "n 0", PAYLOAD(BOOK, 4), 4, 0, LLMQ_E_CORRUPT },
        { "n 1", PAYLOAD(BOOK, 4), 4, 1, LLMQ_E_CORRUPT },
        { "n 65537", PAYLOAD(BOOK, 4), 4, 65537, LLMQ_E_CORRUPT },
        { "n 2^32 - 1", PAYLOAD(BOOK, 4), 4, 0xffffffffu, LLMQ_E_CORRUPT },
        { "n 17: 5 bits", PAYLOAD(BOOK, 4), 4, 17, LLMQ_E_CORRUPT },
        { "n 16: 4 bits still", PAYLOAD(BOOK, 4), 4, 16, LLMQ_OK },
        { "n 9: 4 bits still", PAYLOAD(BOOK, 4), 4, 9, LLMQ_OK },
        { "unit 0", PAYLOAD(BOOK, 8), 4, 0, LLMQ_E_CORRUPT },
        { "unit -1", PAYLOAD(BOOK, 8), 4, 0xbf800000u, LLMQ_E_CORRUPT },
        { "unit NaN", PAYLOAD(BOOK, 8), 4, 0x7fc00000u, LLMQ_E_CORRUPT },
        { "unit 2^101", PAYLOAD(BOOK, 8), 4, 0x72000000u, LLMQ_E_CORRUPT },
        { "unit 2^100", PAYLOAD(BOOK, 8), 4, 0x71800000u, LLMQ_OK },
        { "unit 2^-100", PAYLOAD(BOOK, 8), 4, 0x0d800000u, LLMQ_OK },
        { "unit 2^-101", PAYLOAD(BOOK, 8), 4, 0x0d000000u, LLMQ_E_CORRUPT },
        { "a grid of 11 bytes", ENTRY(BOOK, 24), 8, 11, LLMQ_E_CORRUPT },
        { "a grid without its last byte", ENTRY(BOOK, 24), 8, 43, LLMQ_E_CORRUPT },
        { "value type 4", ENTRY(V_BYTES, 12), 4, 4, LLMQ_E_CORRUPT },
        { "a u32 of 7 bytes", ENTRY(V_BYTES, 12), 4, LLMQ_VALUE_U32, LLMQ_E_CORRUPT },
        { "a u32 of 5 bytes", ENTRY(V_U32, 24), 8, 5, LLMQ_E_CORRUPT },
        { "an f32 of 3 bytes", ENTRY(V_F32, 24), 8, 3, LLMQ_E_CORRUPT },
    };
    TRY_LIES(list);
}

/* Entries of a kind that this version does not know. */
static void test_unknown_kind(void)
{
    static const uint32_t kinds[] = { 0, 5, 99, 65535 };
    uint8_t copy[GOLDEN_SIZE];
    llmq_bundle b;
    llmq_entry e;
    const void *data;
    size_t size;
    uint32_t i, index = 0;
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        check_at("kind %u", (unsigned)kinds[i]);
        memcpy(copy, golden_bundle, GOLDEN_SIZE);
        put(copy + ENTRY(V_TEXT, 0), 2, kinds[i]);
        CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_E_UNSUPPORTED); /* bit 0 of the flags is set */
        put(copy + ENTRY(V_TEXT, 2), 2, 0xfffe);
        CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_OK);
        if (!CHECK_EQ(llmq_bundle_open(&b, copy, GOLDEN_SIZE, NULL), LLMQ_OK)) return;
        CHECK_EQ(llmq_bundle_at(&b, V_TEXT, &e), LLMQ_OK);
        CHECK(e.kind == kinds[i] && same_text(e.name, "v.text") && e.size == golden_entries[V_TEXT].size);
        CHECK(e.type == 0 && e.rows == 0 && !e.transform && !e.grid);
        CHECK(llmq_bundle_find(&b, "v.text", &index) == LLMQ_OK && index == V_TEXT);
        CHECK_EQ(llmq_bundle_value(&b, "v.text", LLMQ_VALUE_TEXT, &data, &size), LLMQ_E_NOT_FOUND);
        put(copy + ENTRY(G4, 44), 4, V_TEXT + 1);
        CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_E_CORRUPT); /* a tensor cannot use it as its transform */
    }
    check_at("%s", "");
}

/* Lies that take more than one field. */
static void test_longer_lies(void)
{
    uint8_t copy[GOLDEN_SIZE], entry[64];
    memcpy(copy, golden_bundle, GOLDEN_SIZE);
    memcpy(copy + ENTRY(G4, 4), golden_bundle + ENTRY(RAW, 4), 8);
    memcpy(copy + ENTRY(RAW, 4), golden_bundle + ENTRY(G4, 4), 8);
    check_at("two names exchanged");
    CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_E_CORRUPT);
    memcpy(copy + ENTRY(RAW, 4), golden_bundle + ENTRY(RAW, 4), 8);
    check_at("a name twice");
    CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_E_CORRUPT);
    memcpy(copy, golden_bundle, GOLDEN_SIZE);
    memcpy(entry, copy + ENTRY(G5, 0), 64);
    memcpy(copy + ENTRY(G5, 0), copy + ENTRY(ROT, 0), 64);
    memcpy(copy + ENTRY(ROT, 0), entry, 64);
    check_at("two entries exchanged");
    CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_E_CORRUPT);
    memcpy(copy, golden_bundle, GOLDEN_SIZE);
    put(copy + ENTRY(V_TEXT, 16), 8, golden_entries[V_U32].offset);
    put(copy + ENTRY(V_U32, 16), 8, golden_entries[V_TEXT].offset);
    check_at("two payloads exchanged");
    CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_E_CORRUPT);
    memcpy(copy, golden_bundle, GOLDEN_SIZE);
    put(copy + ENTRY(V_TEXT, 16), 8, golden_entries[V_U32].offset);
    put(copy + ENTRY(V_TEXT, 24), 8, 0);
    check_at("no bytes at the offset of the next payload");
    CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_OK);
    check_at("%s", "");
}

/* What is barely allowed: 8 steps and none, the smallest grid, bytes 32, 126 and 128 in names, a
   transform that is the last entry, and a tensor of a single number. */
static void test_extremes(void)
{
    static const int8_t pair[2] = { -128, 127 };
    static const uint8_t number[3] = { 0x80, 0x3f, 1 }; /* scale 1, code 1 */
    static uint8_t steps[68], none[4], grid[14], out[MOST];
    llmq_entry e[6];
    llmq_transform t = llmq_transform_hadamard(1, 1);
    llmq_format f;
    llmq_bundle b;
    size_t size = sizeof none;
    uint32_t i;
    t.count = 0;
    CHECK_EQ(llmq_transform_store(&t, none, &size), LLMQ_OK);
    for (t.count = 0; t.count < LLMQ_MAX_STEPS; t.count++) t.step[t.count] = t.step[0];
    size = sizeof steps;
    CHECK_EQ(llmq_transform_store(&t, steps, &size), LLMQ_OK);
    memset(e, 0, sizeof e);
    e[5].name = "~", e[5].kind = LLMQ_KIND_TRANSFORM, e[5].data = steps, e[5].size = size;
    e[4].name = "n", e[4].kind = LLMQ_KIND_TRANSFORM, e[4].data = none, e[4].size = sizeof none;
    CHECK_EQ(llmq_format_custom(&f, 1, 2, pair, 1.0f, 0), LLMQ_OK);
    size = sizeof grid;
    CHECK_EQ(llmq_grid_store(&f, grid, &size), LLMQ_OK);
    e[3].name = "g", e[3].kind = LLMQ_KIND_GRID, e[3].data = grid, e[3].size = sizeof grid;
    e[2].name = " ", e[2].kind = LLMQ_KIND_VALUE;
    for (i = 0; i < 2; i++) {
        e[i].name = i ? "a\200" : "a", e[i].kind = LLMQ_KIND_TENSOR, e[i].data = number, e[i].size = sizeof number;
        e[i].format = f, e[i].rows = 1, e[i].cols = 1, e[i].grid = "g", e[i].transform = i ? "n" : "~";
    }
    size = llmq_bundle_size(e, 6);
    CHECK_EQ(llmq_bundle_write_memory(e, 6, out, sizeof out), LLMQ_OK);
    CHECK_EQ(try_bundle(out, size).opened, LLMQ_OK);
    if (!CHECK_EQ(llmq_bundle_open(&b, out, size, NULL), LLMQ_OK)) return;
    CHECK_EQ(llmq_bundle_verify(&b, NULL), LLMQ_OK);
    CHECK_EQ((long)b.count, 6);
}

/* One entry, whose name of 255 bytes is all there is in the names; then without the 0 after it,
   at the end of all bytes. */
static void test_one_name(void)
{
    uint8_t out[384];
    char name[256];
    llmq_entry e;
    memset(&e, 0, sizeof e);
    memset(name, 'x', 255);
    name[255] = 0;
    e.name = name, e.kind = LLMQ_KIND_VALUE;
    CHECK_EQ((long)llmq_bundle_size(&e, 1), 384); /* 64 + 64 + 256 */
    CHECK_EQ(llmq_bundle_write_memory(&e, 1, out, 384), LLMQ_OK);
    CHECK_EQ(try_bundle(out, 384).opened, LLMQ_OK);
    put(out + 16, 8, 383);
    put(out + 32, 4, 255);
    CHECK_EQ(try_fixed(out, 383).opened, LLMQ_E_CORRUPT);
}

/* ---- transforms with data ---- */

/* A bundle of an f32 tensor "w" of 4 columns and its transform "t": d, a permutation, one
   rotation by a quarter turn for both runs of 2. */
#define DATA_SIZE (64 + 2 * 64 + 64 + 128 + 64)
#define STEPS_AT (64u + 2 * 64 + 64)         /* the transform's payload, of 4 + 3 * 8 + 16 + 8 + 16 bytes */
#define STEPS_SIZE 68u

static void bundle_with_data(uint8_t *out)
{
    static const float d[4] = { 0.5f, 1.0f, 2.0f, 4.0f }, turn[4] = { 0.0f, 1.0f, -1.0f, 0.0f },
        w[4] = { 1.0f, 2.0f, 3.0f, 4.0f };
    static const uint8_t order[4] = { 3, 0, 2, 1 };
    static const uint32_t kinds[3] = { LLMQ_STEP_SMOOTH, LLMQ_STEP_PERMUTE, LLMQ_STEP_ROTATE };
    uint8_t steps[STEPS_SIZE], rows[16];
    llmq_entry e[2];
    uint32_t i;
    memset(steps, 0, sizeof steps);
    memset(e, 0, sizeof e);
    put(steps, 4, 3);
    for (i = 0; i < 3; i++)
        put(steps + 4 + 8 * i, 2, kinds[i]), put(steps + 6 + 8 * i, 2, i == 2 ? 2 : 0),
            put(steps + 8 + 8 * i, 4, i == 2 ? 1 : 4);
    for (i = 0; i < 4; i++) {
        put(steps + 28 + 4 * i, 4, bits_of(d[i])), put(steps + 44 + 2 * i, 2, order[i]),
            put(steps + 52 + 4 * i, 4, bits_of(turn[i]));
        put(rows + 4 * i, 4, bits_of(w[i]));
    }
    e[0].name = "t", e[0].kind = LLMQ_KIND_TRANSFORM, e[0].data = steps, e[0].size = sizeof steps;
    e[1].name = "w", e[1].kind = LLMQ_KIND_TENSOR, e[1].data = rows, e[1].size = sizeof rows, e[1].rows = 1,
    e[1].cols = 4, e[1].transform = "t";
    CHECK_EQ(llmq_format_find(&e[1].format, "f32", 0), LLMQ_OK);
    CHECK_EQ((long)llmq_bundle_size(e, 2), DATA_SIZE);
    CHECK_EQ(llmq_bundle_write_memory(e, 2, out, DATA_SIZE), LLMQ_OK);
}

static void test_transform_data(void)
{
    static const lie list[] = {
        { "as it is", 12, 4, 0, LLMQ_OK },
        { "d of 0", STEPS_AT + 28, 4, 0, LLMQ_E_CORRUPT },
        { "d that is subnormal", STEPS_AT + 32, 4, 0x007fffffu, LLMQ_E_CORRUPT },
        { "the least d", STEPS_AT + 32, 4, 0x00800000u, LLMQ_OK },
        { "d of -1", STEPS_AT + 36, 4, 0xbf800000u, LLMQ_E_CORRUPT },
        { "d that is infinite", STEPS_AT + 40, 4, 0x7f800000u, LLMQ_E_CORRUPT },
        { "a permutation with a number twice", STEPS_AT + 44, 2, 0, LLMQ_E_CORRUPT },
        { "a permutation with a number too large", STEPS_AT + 44, 2, 4, LLMQ_E_CORRUPT },
        { "a rotation whose row has length 2", STEPS_AT + 56, 4, 0x40000000u, LLMQ_E_CORRUPT },
        { "a rotation whose row has length 0", STEPS_AT + 60, 4, 0, LLMQ_E_CORRUPT },
        { "a rotation with a NaN", STEPS_AT + 64, 4, 0x7fc00000u, LLMQ_E_CORRUPT },
        { "a rotation with an infinity", STEPS_AT + 64, 4, 0xff800000u, LLMQ_E_CORRUPT },
        { "data of one more d", STEPS_AT + 8, 4, 5, LLMQ_E_CORRUPT },
        { "data of one d less", STEPS_AT + 8, 4, 3, LLMQ_E_CORRUPT },
        { "data larger than a bundle can be", STEPS_AT + 8, 4, LLMQ_MAX_COLS, LLMQ_E_CORRUPT },
        { "more d than columns can be", STEPS_AT + 8, 4, LLMQ_MAX_COLS + 1, LLMQ_E_CORRUPT },
        { "no d at all", STEPS_AT + 8, 4, 0, LLMQ_E_CORRUPT },
        { "a block for d", STEPS_AT + 6, 2, 1, LLMQ_E_CORRUPT },
        { "a block for a permutation", STEPS_AT + 14, 2, 1, LLMQ_E_CORRUPT },
        { "a permutation of 65537", STEPS_AT + 16, 4, 65537, LLMQ_E_CORRUPT },
        { "a rotation of 1", STEPS_AT + 22, 2, 1, LLMQ_E_CORRUPT },
        { "a rotation of 3", STEPS_AT + 22, 2, 3, LLMQ_E_CORRUPT },
        { "a rotation of 512", STEPS_AT + 22, 2, 512, LLMQ_E_CORRUPT },
        { "a rotation of 4", STEPS_AT + 22, 2, 4, LLMQ_E_CORRUPT },
        { "a matrix more", STEPS_AT + 24, 4, 2, LLMQ_E_CORRUPT },
        { "a byte less", 64 + 24, 8, STEPS_SIZE - 1, LLMQ_E_CORRUPT },
        { "a byte more", 64 + 24, 8, STEPS_SIZE + 1, LLMQ_E_CORRUPT },
    };
    uint8_t bundle[DATA_SIZE], copy[DATA_SIZE];
    llmq_bundle b;
    llmq_tensor t;
    float out[4], work[4];
    uint32_t i;
    bundle_with_data(bundle);
    for (i = 0; i < sizeof list / sizeof *list; i++) {
        check_at("transform with data: %s", list[i].what);
        memcpy(copy, bundle, sizeof copy);
        put(copy + list[i].at, list[i].width, list[i].value);
        CHECK_EQ(try_fixed(copy, sizeof copy).opened, list[i].expected);
    }
    check_at("a tensor of 3 columns with a transform of 4");
    memcpy(copy, bundle, sizeof copy);
    put(copy + 128 + 36, 4, 3), put(copy + 128 + 24, 8, 12);
    CHECK_EQ(try_fixed(copy, sizeof copy).opened, LLMQ_E_CORRUPT);
    check_at("a tensor with a transform with data"); /* T^T (1 2 3 4): turned back (2 -1 4 -3), put back, over d */
    if (!CHECK_EQ(llmq_bundle_open(&b, bundle, sizeof bundle, NULL), LLMQ_OK)) return;
    if (!CHECK_EQ(llmq_bundle_tensor(&b, "w", &t), LLMQ_OK)) return;
    CHECK(t.transform.count == 3 && t.transform.data == bundle + STEPS_AT + 28);
    CHECK_EQ(llmq_tensor_decode(&t, 0, out, work, sizeof work), LLMQ_OK);
    CHECK(out[3] * 4.0f == 2.0f && out[0] * 0.5f == -1.0f && out[2] * 2.0f == 4.0f && out[1] == -3.0f);
    check_at("%s", "");
}

/* ---- payloads of any bits ---- */

/* Are the points of the golden bundle's grid in the order of their first coordinates? */
static int grid_sorted(const uint8_t *bundle)
{
    uint32_t k;
    const uint8_t *points = bundle + PAYLOAD(BOOK, 12);
    for (k = 1; k < GOLDEN_GRID_N; k++)
        if ((points[k * GOLDEN_GRID_P] ^ 128) < (points[(k - 1) * GOLDEN_GRID_P] ^ 128)) return 0;
    return 1;
}

static void test_random_payloads(void)
{
    static const uint32_t tensors[] = { G4, RAW, CUSTOM, G5 };
    uint8_t copy[GOLDEN_SIZE];
    uint32_t round, i, k;
    check_seed(9);
    for (round = 0; round < 200; round++) {
        check_at("random payloads, round %u", (unsigned)round);
        memcpy(copy, golden_bundle, GOLDEN_SIZE);
        for (i = 0; i < 4; i++) {
            const golden_entry *g = &golden_entries[tensors[i]];
            for (k = 0; k < g->size; k++)
                copy[g->offset + k] = (uint8_t)(round == 0 ? 255 : round == 1 ? 0 : check_below(256));
        }
        for (k = 0; k < sizeof golden_points; k++) copy[PAYLOAD(BOOK, 12) + k] = (uint8_t)check_below(256);
        if (round > 2) CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, grid_sorted(copy) ? LLMQ_OK : LLMQ_E_CORRUPT);
        for (k = 0; k < GOLDEN_GRID_N; k++) /* ascending in the first coordinate */
            copy[PAYLOAD(BOOK, 12) + k * GOLDEN_GRID_P] = (uint8_t)((256 * k + check_below(256)) / GOLDEN_GRID_N - 128);
        CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).opened, LLMQ_OK);
    }
    check_at("%s", "");
}

/* Which scales verify refuses, and where it says they are. */
static void test_bad_scales(void)
{
    static const uint16_t scales[] = { 0, 1, 0x3f80, 0x7f7f, 0x7f80, 0x7fc0, 0x8000, 0x8001, 0xbf80, 0xff80, 0xffff };
    uint8_t copy[GOLDEN_SIZE];
    llmq_bundle b;
    llmq_error error;
    uint32_t i, at = PAYLOAD(G4, golden_entries[G4].size / 3 + 4); /* row 1, group 2 */
    for (i = 0; i < sizeof scales / sizeof *scales; i++) {
        check_at("scale %04x", (unsigned)scales[i]);
        memset(&error, 0, sizeof error);
        memcpy(copy, golden_bundle, GOLDEN_SIZE);
        put(copy + at, 2, scales[i]);
        CHECK_EQ(try_fixed(copy, GOLDEN_SIZE).verified, scales[i] <= 0x7f7f ? LLMQ_OK : LLMQ_E_CORRUPT);
        if (!CHECK_EQ(llmq_bundle_open(&b, copy, GOLDEN_SIZE, NULL), LLMQ_OK)) return;
        if (llmq_bundle_verify(&b, &error) != LLMQ_OK) CHECK_EQ((long)error.offset, (long)at);
    }
    check_at("%s", "");
}

/* A scale that is NaN makes NaN of what it scales, and of nothing else. */
static void test_nan_scale(void)
{
    uint8_t copy[GOLDEN_SIZE];
    llmq_bundle b;
    llmq_tensor t;
    llmq_activation a;
    float out[96], x[96], y[3], work[96], memory[256];
    uint32_t k, bits, wrong = 0;
    memcpy(copy, golden_bundle, GOLDEN_SIZE);
    /* row 0, group 0: columns 0 ... 31, which blocks of 32 and 16 keep apart */
    put(copy + PAYLOAD(CUSTOM, 0), 2, 0x7fc0);
    fix_checksums(copy, GOLDEN_SIZE);
    if (!CHECK_EQ(llmq_bundle_open(&b, copy, GOLDEN_SIZE, NULL), LLMQ_OK)) return;
    if (!CHECK_EQ(llmq_bundle_tensor(&b, "mlp.custom", &t), LLMQ_OK)) return;
    CHECK(t.kernels == LLMQ_KERNELS); /* a tensor is ready for use, with the best of what there is */
    CHECK_EQ(llmq_tensor_decode(&t, 0, out, work, sizeof work), LLMQ_OK);
    for (k = 0; k < t.cols; k++) wrong += (out[k] != out[k]) != (k < 32);
    CHECK_EQ((long)wrong, 0);
    for (k = 0; k < t.cols; k++) x[k] = (float)(k % 5) - 1.5f;
    for (bits = 8; bits <= 32; bits += 24) {
        CHECK_EQ(llmq_activation_prepare(&a, &t, bits, x, memory, sizeof memory), LLMQ_OK);
        CHECK_EQ(llmq_matvec(&t, &a, 0, 2, y), LLMQ_OK);
        CHECK(y[0] != y[0]);
        CHECK(y[1] - y[1] >= 0.0f); /* finite */
    }
}

int main(void)
{
    test_golden();
    test_reader();
    test_write_same_bytes();
    test_write_sink();
    test_write_memory();
    test_store();
    test_refused_names();
    test_refused_entries();
    test_refused_calls();
    test_write_then_read();
    test_writer_same_bytes();
    test_writer_unfinished();
    test_writer_rows();
    test_checksum();
    test_writer_refused();
    test_empty();
    test_names_alone();
    test_many();
    wall = check_wall_open(MOST);
    test_truncated();
    test_flipped();
    test_fields();
    test_swapped_fields();
    test_random_fields();
    test_header_lies();
    test_place_lies();
    test_tensor_lies();
    test_payload_lies();
    test_unknown_kind();
    test_longer_lies();
    test_extremes();
    test_one_name();
    test_transform_data();
    test_random_payloads();
    test_bad_scales();
    test_nan_scale();
    check_wall_close(&wall);
    printf("bundle: %lu broken bundles, %lu of which open\n", (unsigned long)broken_count,
           (unsigned long)broken_opened);
    return check_done("bundle");
}
