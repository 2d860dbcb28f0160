/* test_tensor - sections 5 to 9 and 11 of llmq.h: format, tensor, activation, products, encoder

       cc -O2 -o test_tensor tests/test_tensor.c && ./test_tensor

   Everything is compared with a second implementation, in this file, of what the header says: of
   the row record from the text of section 6, of the sums from the formulas of sections 8 and 9,
   of the nearest point by trying all. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "grids.h"
#include "internals.h"
#define VECTORS_TENSOR
#include "vectors/vectors.h"

#include "exact.h"

#define MAX_COLS 1025u
#define MAX_ROWS 16u
#define MAX_COUNT 17u  /* activations: two batches of eight and one */

static const uint32_t all_cols[] = { 1, 2, 3, 5, 31, 32, 33, 44, 63, 64, 65, 100, 127, 128, 172, 255, 256, 257, 576,
                                     1000, 1024, 1025 };
static const uint32_t all_groups[] = { 32, 64, 96, 128, 1024, 0 };

static uint8_t records[MAX_ROWS * 4 * MAX_COLS], saved[MAX_ROWS * 4 * MAX_COLS];
static float weights[MAX_ROWS * MAX_COLS], decoded[MAX_COLS], expected[MAX_COLS], stored[MAX_COLS];
static float input[MAX_COUNT][MAX_COLS], memory[2][MAX_COUNT][2 * MAX_COLS];
static float product[MAX_COUNT][MAX_ROWS + 3], again[MAX_COUNT][MAX_ROWS + 3];
static float workspace[1 << 19]; /* the largest encoder: a row of 140,000, and as many codes twice */
static llmq_transform rotate;


/* Activations: which numbers they are matters little, and these are quickly made. */
static void even_numbers(float *x, size_t n, double scale)
{
    size_t i;
    for (i = 0; i < n; i++) x[i] = (float)((check_uniform() * 2.0 - 1.0) * scale);
}

/* ---- formats: the built-in ones, and some whose shapes those do not have ------------------------

   u4 and u8, which come after them, have zeros: test_zeros is about them. Behind those are
   trellises: test_trellis. */

static const struct {
    const char *name;
    uint32_t p, bits;
    double mse; /* the header's table */
} named[] = {
    { "f32", 1, 32, 0 }, { "f16", 1, 16, 0 }, { "bf16", 1, 16, 0 }, { "g2", 1, 2, 0.1175 }, { "g3", 1, 3, 0.03455 },
    { "g4", 1, 4, 0.00950 }, { "g5", 1, 5, 0.00251 }, { "g6", 1, 6, 0.00064 }, { "g8", 1, 8, 8.8e-5 },
    { "v2n16", 2, 4, 0.1075 }, { "v2n64", 2, 6, 0.0296 },
    /* custom grids (grids.h) */
    { "v2n256", 2, 8, 0.00775 }, { "v3n64", 3, 6, 0.1011 }, { "v3n512", 3, 9, 0.0271 }, { "v4n256", 4, 8, 0.0959 }
};

/* Codes of 1 (one plane), 7 (4 + 2 + 1), 2, 12 (8 + 4), 10 (8 + 2), 11 (8 + 2 + 1) and 16 bits
   (8 + 8); spare points. */
static const struct { uint32_t p, n, bits; } custom[] = {
    { 1, 2, 1 }, { 5, 100, 7 }, { 8, 3, 2 }, { 2, 2100, 12 }, { 7, 1000, 10 }, { 4, 2048, 11 }, { 3, 40000, 16 }
};
static int8_t custom_points[COUNT(custom)][3 << 16];

static const char *const with_zeros[] = { "u4", "u8" };
static const char *const trellises[] = { "t1", "t2", "t3", "t4", "t2s", "t3s", "t4s" };

#define NAMED COUNT(named)
#define BUILTIN (NAMED - COUNT(former_grids))
#define FORMATS (NAMED + COUNT(custom))

static void make_custom_grids(void)
{
    uint32_t c, i, k;
    for (c = 0; c < COUNT(custom); c++)
        for (i = 0; i < (uint32_t)1 << custom[c].bits; i++) {
            int8_t *point = custom_points[c] + i * custom[c].p;
            if (i >= custom[c].n) { /* a spare code: a copy of any point */
                memcpy(point, custom_points[c] + check_below(custom[c].n) * custom[c].p, custom[c].p);
                continue;
            }
            for (k = 1; k < custom[c].p; k++) point[k] = (int8_t)((int)check_below(256) - 128);
            point[0] = (int8_t)((int)(256 * i / custom[c].n) - 128 + (custom[c].n == 2 ? 50 : 0));
        }
}

static llmq_format get_format(uint32_t i, uint32_t group)
{
    llmq_format f;
    memset(&f, 0, sizeof f);
    if (i < NAMED) {
        CHECK_EQ(find_format(&f, named[i].name, group), LLMQ_OK);
    } else {
        uint32_t c = i - NAMED;
        CHECK_EQ(llmq_format_custom(&f, custom[c].p, custom[c].n, custom_points[c], 50.0f, group), LLMQ_OK);
    }
    return f;
}

static void test_formats(void)
{
    llmq_format f;
    uint32_t i, k;
    for (i = 0; i < NAMED; i++) {
        check_at("format %s", named[i].name);
        if (i < BUILTIN) CHECK_EQ(llmq_format_at(&f, i), LLMQ_OK);
        else f = get_format(i, 128);
        CHECK(strcmp(f.name, i < BUILTIN ? named[i].name : "custom") == 0);
        CHECK_EQ(llmq_format_find(&f, named[i].name, 128), i < BUILTIN ? LLMQ_OK : LLMQ_E_NOT_FOUND);
        CHECK(f.p == named[i].p && f.bits == named[i].bits && f.zero_points == 0);
        if (!f.points) {
            CHECK(i < 3 && f.group == 0);
            continue;
        }
        CHECK(i >= 3 && f.group == 128 && f.unit > 0.0f);
        CHECK_EQ((long)f.n, 1L << f.bits);
        for (k = 1; k < f.n; k++)
            if (!(f.points[(k - 1) * f.p] <= f.points[k * f.p])) break;
        CHECK_EQ(k, f.n); /* sorted */
    }
    for (i = 0; i < COUNT(with_zeros); i++) {
        check_at("format %s", with_zeros[i]);
        CHECK_EQ(llmq_format_at(&f, BUILTIN + i), LLMQ_OK);
        CHECK(strcmp(f.name, with_zeros[i]) == 0 && f.zero_points == 1);
        for (k = 0; k < BUILTIN; k++) CHECK(get_format(k, 32).id != f.id);
    }
    for (i = 0; i < COUNT(trellises); i++) {
        check_at("format %s", trellises[i]);
        CHECK_EQ(llmq_format_at(&f, BUILTIN + COUNT(with_zeros) + i), LLMQ_OK);
        CHECK(strcmp(f.name, trellises[i]) == 0 && f.taps[0] != 0);
        for (k = 0; k < BUILTIN; k++) CHECK(get_format(k, 32).id != f.id && get_format(k, 32).taps[0] == 0);
    }
    CHECK_EQ(llmq_format_at(&f, BUILTIN + COUNT(with_zeros) + COUNT(trellises)), LLMQ_E_NOT_FOUND);
    for (i = 0; i < BUILTIN; i++) /* ids tell them apart */
        for (k = 0; k < i; k++) CHECK(get_format(i, 32).id != get_format(k, 32).id);
    f = get_format(NAMED + 1, 96);
    CHECK(strcmp(f.name, "custom") == 0 && f.points == custom_points[1] && f.id == LLMQ_FORMAT_CUSTOM);
    CHECK(f.p == 5 && f.n == 100 && f.bits == 7 && f.group == 96 && f.unit > 49.0f && f.unit < 51.0f);
}

/* Tries a format that must be refused, and must leave *f alone. */
static void refuse_custom(uint32_t p, uint32_t n, const int8_t *points, float unit, uint32_t group)
{
    llmq_format f, before;
    memset(&f, 0x55, sizeof f);
    before = f;
    check_at("p %lu, n %lu, unit %g, group %lu", (unsigned long)p, (unsigned long)n, (double)unit,
             (unsigned long)group);
    CHECK_EQ(llmq_format_custom(&f, p, n, points, unit, group), LLMQ_E_ARG);
    CHECK(memcmp(&f, &before, sizeof f) == 0);
}

static void test_format_errors(void)
{
    static const uint32_t bad_group[] = { 1, 31, 33, 100, 1056, 2048, 0xffffffffu, 0x80000000u };
    llmq_format f = get_format(5, 64), before = f;
    const int8_t *points = custom_points[0];
    size_t i;
    check_at("format errors");
    CHECK_EQ(llmq_format_at(NULL, 0), LLMQ_E_ARG);
    CHECK_EQ(llmq_format_at(&f, 0xffffffffu), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(NULL, "g4", 64), LLMQ_E_ARG);
    CHECK_EQ(llmq_format_find(&f, NULL, 64), LLMQ_E_ARG);
    CHECK_EQ(llmq_format_find(&f, "g7", 64), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(&f, "", 64), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(&f, "g", 64), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(&f, "g44", 64), LLMQ_E_NOT_FOUND);
    for (i = 0; i < COUNT(bad_group); i++) {
        CHECK_EQ(llmq_format_find(&f, "g4", bad_group[i]), LLMQ_E_ARG);
        refuse_custom(1, 2, points, 1.0f, bad_group[i]);
    }
    CHECK(memcmp(&f, &before, sizeof f) == 0);
    CHECK_EQ(llmq_format_custom(NULL, 1, 2, points, 1.0f, 32), LLMQ_E_ARG);
    refuse_custom(1, 2, NULL, 1.0f, 32);
    refuse_custom(0, 2, points, 1.0f, 32);
    refuse_custom(9, 2, points, 1.0f, 32);
    refuse_custom(1, 0, points, 1.0f, 32);
    refuse_custom(1, 1, points, 1.0f, 32);
    refuse_custom(1, 65537, points, 1.0f, 32);
    refuse_custom(1, 0xffffffffu, points, 1.0f, 32);
    refuse_custom(1, 2, points, 0.0f, 32);
    refuse_custom(1, 2, points, -1.0f, 32);
    refuse_custom(1, 2, points, float_of(0x7fc00000u), 32);
    refuse_custom(1, 2, points, float_of(0x7f800000u), 32);
}

/* ---- a second reading of section 6 ----------------------------------------------------------- */

typedef struct reference {
    uint32_t group;           /* columns a scale, never 0 */
    uint32_t codes;           /* of the row */
    uint16_t code[MAX_COLS];
    int8_t point[MAX_COLS];   /* of each column */
    float scale[MAX_COLS];    /* of each column; 1 in raw rows */
    float value[MAX_COLS];    /* decoded, before the transform */
} reference;

static reference ref;


static uint32_t reference_codes(const llmq_format *f, uint32_t cols)
{
    uint32_t group = f->group ? f->group : cols, codes = 0, j;
    for (j = 0; j < cols; j += group) codes += up(least(group, cols - j), f->p);
    return codes;
}

static size_t reference_size(const llmq_format *f, uint32_t cols)
{
    static const uint32_t widths[] = { 8, 8, 4, 2, 1 };
    uint32_t codes = reference_codes(f, cols), last = codes % 128, bits = f->bits;
    size_t size = 2 * up(cols, f->group ? f->group : cols) + (codes - last) / 8 * (size_t)bits, i;
    if (!f->points) return (size_t)cols * bits / 8;
    if (bits == 3) last = up(last, 2), bits = 6;
    for (i = 0; i < COUNT(widths); i++) {
        if (widths[i] > bits) continue;
        size += up(last * widths[i], 8);
        bits -= widths[i];
    }
    return size;
}

/* Number k of a unit of that many numbers of that many bits. */
static uint32_t reference_number(const uint8_t *plane, uint32_t bits, uint32_t room, uint32_t k)
{
    static const uint32_t widths[] = { 8, 8, 4, 2, 1 };
    uint32_t code = 0, done = 0;
    size_t i;
    for (i = 0; i < COUNT(widths); i++) {
        uint32_t f = widths[i], u = up(f * room, 8);
        if (f > bits - done) continue;
        code |= (uint32_t)(plane[k % u] >> f * (k / u) & ((1 << f) - 1)) << done;
        plane += u;
        done += f;
    }
    return code;
}

/* Code k of a row of that many codes of that many bits. */
static uint32_t reference_code(const uint8_t *plane, uint32_t bits, uint32_t codes, uint32_t k)
{
    uint32_t room = least(128, codes - k / 128 * 128), half = up(room, 2);
    plane += (size_t)(k / 128) * 16 * bits;
    k %= 128;
    if (bits != 3) return reference_number(plane, bits, room, k);
    return k < half ? reference_number(plane, 6, half, k) & 7 : reference_number(plane, 6, half, k - half) >> 3;
}

static float reference_raw(const llmq_format *f, const uint8_t *b)
{
    uint16_t half = (uint16_t)(b[0] | b[1] << 8);
    if (f->bits == 32)
        return float_of((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
    return strcmp(f->name, "f16") == 0 ? llmq_f16_to_f32(half) : llmq_bf16_to_f32(half);
}

/* Fills ref from a record. */
static void read_record(const llmq_format *f, uint32_t cols, const uint8_t *record)
{
    uint32_t j, k = 0, i;
    ref.group = f->points && f->group ? f->group : cols;
    ref.codes = f->points ? reference_codes(f, cols) : 0;
    for (j = 0; j < cols && !f->points; j++) {
        ref.scale[j] = 1.0f;
        ref.value[j] = reference_raw(f, record + j * (f->bits / 8));
    }
    for (j = 0; j < cols && f->points; k++) {
        const uint8_t *scale = record + 2 * (j / ref.group);
        const int8_t *point;
        uint32_t end = least(cols, (j / ref.group + 1) * ref.group);
        ref.code[k] = (uint16_t)reference_code(record + 2 * up(cols, ref.group), f->bits, ref.codes, k);
        point = f->points + (size_t)ref.code[k] * f->p;
        for (i = 0; i < f->p && j < end; i++, j++) {
            ref.point[j] = point[i];
            ref.scale[j] = float_of((uint32_t)scale[0] << 16 | (uint32_t)scale[1] << 24);
            ref.value[j] = ref.scale[j] * (float)point[i];
        }
    }
}

/* A record of random bits, but for its scales: moderate, of both signs, some 0. wild: leave those as they fall, too. */
static void random_record(const llmq_format *f, uint32_t cols, uint8_t *record, int wild)
{
    size_t size = reference_size(f, cols), i;
    uint32_t numbers = f->points ? up(cols, f->group ? f->group : cols) : f->bits == 16 ? cols : 0, bits;
    for (i = 0; i < size; i++) record[i] = (uint8_t)check_below(256);
    if (wild) return;
    for (i = 0; i < numbers; i++) {
        bits = (119u + check_below(12)) << 7 | check_below(128) | (check_below(8) ? 0 : 0x8000u);
        if (!f->points && strcmp(f->name, "f16") == 0)
            bits = (8u + check_below(12)) << 10 | check_below(1024) | check_below(2) << 15;
        if (check_below(20) == 0) bits = 0;
        record[2 * i] = (uint8_t)(bits & 255);
        record[2 * i + 1] = (uint8_t)(bits >> 8);
    }
    for (i = 0; i < cols && f->bits == 32; i++) {
        bits = bits_of((float)check_normal());
        record[4 * i] = (uint8_t)(bits & 255), record[4 * i + 1] = (uint8_t)(bits >> 8 & 255);
        record[4 * i + 2] = (uint8_t)(bits >> 16 & 255), record[4 * i + 3] = (uint8_t)(bits >> 24);
    }
}

/* Rows at `records`, in memory that is exactly enough. */
static llmq_tensor open_tensor(uint32_t format, uint32_t group, uint32_t cols, uint32_t rows,
                               const llmq_transform *transform)
{
    llmq_format f = get_format(format, group);
    llmq_tensor t;
    size_t size = reference_size(&f, cols);
    check_at("%s p %lu, group %lu, %lu cols%s", f.name, (unsigned long)f.p, (unsigned long)f.group, (unsigned long)cols,
             transform ? ", rotated" : "");
    memset(&t, 0, sizeof t);
    CHECK_EQ((long)llmq_row_size(&f, cols), (long)size);
    CHECK_EQ((long)llmq_tensor_size(&f, rows, cols), (long)(size * rows));
    if (rows) CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, records, size * rows - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, records, size * rows), LLMQ_OK);
    CHECK(t.rows == rows && t.cols == cols && t.row_size == size && t.data == records);
    return t;
}

/* ---- vectors --------------------------------------------------------------------------------- */

static void prepare(llmq_activation *a, const llmq_tensor *t, uint32_t bits, uint32_t i)
{
    size_t need = llmq_activation_size(t, bits);
    CHECK(need > 0 && need <= sizeof memory[0][0]);
    CHECK_EQ(llmq_activation_prepare(a, t, bits, input[i], memory[bits == 8][i], need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_activation_prepare(a, t, bits, input[i], memory[bits == 8][i], need), LLMQ_OK);
}

/* y is correct if it differs from the exact sum by no more than the roundings: each of the terms in `size`, a sum of
   magnitudes, goes through at most that many, relative 2^-24 each. */
static void check_rounded(float y, double exact, double size, double roundings)
{
    CHECK(check_abs((double)y - exact) <= size * roundings * 1.001 / 16777216.0);
}

/* int8: the activation scale is 1 and q exact, so that each run adds float(S) * scale_w: two
   roundings and the additions. float: a product, up to cols / 16 + 1 additions in a lane, 4
   across lanes, the scale, then additions of groups. */
static void check_vector_products(const llmq_tensor *t, const vector_record *v)
{
    llmq_activation a;
    uint32_t j, groups = up(v->cols, v->group ? v->group : v->cols);
    float y = 0.0f;
    for (j = 0; j < v->cols; j++) input[0][j] = (float)vector_input[j];
    prepare(&a, t, 8, 0);
    CHECK(a.scale[0] >= 1.0f && a.scale[0] <= 1.0f && memcmp(a.q, vector_input, v->cols) == 0);
    CHECK_EQ(llmq_matvec(t, &a, 0, 1, &y), LLMQ_OK);
    check_rounded(y, v->q, v->q_size, 2.0 + up(v->cols, v->group ? v->group : 128));
    memcpy(input[0], vector_x, v->cols * sizeof(float));
    prepare(&a, t, 32, 0);
    CHECK_EQ(llmq_matvec(t, &a, 0, 1, &y), LLMQ_OK);
    check_rounded(y, v->x, v->x_size, 7.0 + up(least(v->cols, ref.group), 16) + groups);
}

/* With all scales 1 and whole numbers below 2^24 nothing is ever rounded, in either path. */
static void check_vector_integers(const llmq_tensor *t, const vector_record *v, uint8_t *record)
{
    llmq_activation a;
    uint32_t j, bits;
    float y;
    for (j = 0; j < up(v->cols, ref.group); j++) record[2 * j] = 0x80, record[2 * j + 1] = 0x3f;
    for (j = 0; j < v->cols; j++) input[0][j] = (float)vector_input[j];
    for (bits = 8; bits <= 32; bits += 24) {
        y = 0.5f;
        prepare(&a, t, bits, 0);
        CHECK_EQ(llmq_matvec(t, &a, 0, 1, &y), LLMQ_OK);
        CHECK(y >= (float)v->whole && y <= (float)v->whole);
    }
}

static void test_vectors(void)
{
    static uint8_t record[2048];
    size_t i;
    uint32_t j;
    for (i = 0; i < COUNT(vector_records); i++) {
        const vector_record *v = &vector_records[i];
        uint32_t pattern = 0, wrong = 0;
        llmq_format f;
        llmq_tensor t;
        check_at("vector %s, group %lu, %lu cols", v->format, (unsigned long)v->group, (unsigned long)v->cols);
        memcpy(record, vector_bytes + v->record_at, v->bytes);
        CHECK_EQ(find_format(&f, v->format, v->group), LLMQ_OK);
        CHECK_EQ((long)llmq_row_size(&f, v->cols), (long)v->bytes);
        CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, v->cols, record, v->bytes), LLMQ_OK);
        CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
        read_record(&f, v->cols, record); /* is the second reading in this file right? */
        for (j = 0; j < v->cols; j++) {
            float scale = float_of((uint32_t)vector_scales[v->scales_at + j / ref.group] << 16);
            float number = (float)vector_coords[v->coords_at + j] * scale;
            wrong += !same_numbers(&decoded[j], &number, 1) || !same_numbers(&ref.value[j], &number, 1);
            pattern += bits_of(decoded[j] + 0.0f) * (2 * j + 1); /* -0 + 0 is 0 */
        }
        CHECK_EQ(wrong, 0);
        CHECK_EQ(pattern, v->pattern);
        check_vector_products(&t, v);
        check_vector_integers(&t, v, record);
    }
}

/* ---- 5. Tensor: decoding, 6. products, of records of random bits ----------------------------- */

/* The work size exactly, what follows it untouched. */
static void check_decode(const llmq_tensor *t, uint32_t row)
{
    size_t need = llmq_transform_work_size(&t->transform, t->cols);
    unsigned char *after = (unsigned char *)workspace + need;
    read_record(&t->format, t->cols, t->data + row * t->row_size);
    memcpy(expected, ref.value, t->cols * sizeof(float));
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, expected, t->cols, workspace, need, NULL), LLMQ_OK);
    memset(after, 0x5a, 4);
    memset(decoded, 0x77, sizeof decoded);
    if (need) CHECK_EQ(llmq_tensor_decode(t, row, decoded, workspace, need - 1), LLMQ_E_WORKSPACE);
    if (need) CHECK_EQ(bits_of(decoded[0]), 0x77777777u);
    CHECK_EQ(llmq_tensor_decode(t, row, decoded, need ? workspace : NULL, need), LLMQ_OK);
    CHECK(same_numbers(decoded, expected, t->cols));
    if (t->cols < MAX_COLS) CHECK_EQ(bits_of(decoded[t->cols]), 0x77777777u);
    CHECK(after[0] == 0x5a && after[1] == 0x5a && after[2] == 0x5a && after[3] == 0x5a);
}

/* Are group, x, q and scale what section 8 says of the input? a32: the same input prepared in float. */
static void check_activation(const llmq_tensor *t, const llmq_activation *a, const llmq_activation *a32, const float *x)
{
    uint32_t group = t->format.points && t->format.group ? t->format.group : 128, j, k, end, wrong = 0;
    memcpy(expected, x, t->cols * sizeof(float));
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_TO_ACTIVATION, expected, t->cols, workspace, sizeof workspace,
                                  NULL), LLMQ_OK);
    CHECK(a32->q == NULL && a32->cols == t->cols && a->cols == t->cols && a->group == group);
    CHECK(same_floats(a32->x, expected, t->cols));
    for (j = 0; j < t->cols; j = end) {
        float most = 0.0f, inverse;
        end = least(t->cols, j + group);
        for (k = j; k < end; k++)
            if (expected[k] > most || -expected[k] > most) most = expected[k] < 0.0f ? -expected[k] : expected[k];
        inverse = 127.0f / most;
        wrong += bits_of(a->scale[j / group]) != bits_of(most / 127.0f);
        for (k = j; k < end; k++) wrong += a->q[k] != round_even(expected[k] * inverse);
    }
    CHECK_EQ(wrong, 0);
}

/* The int8 formula of section 9 for the row in ref. */
static float reference_i8(const llmq_activation *a, uint32_t cols)
{
    float total = 0.0f;
    int32_t sum = 0;
    uint32_t j;
    for (j = 0; j < cols; j++) {
        sum += ref.point[j] * a->q[j];
        if (j + 1 < cols && (j + 1) % ref.group && (j + 1) % a->group) continue;
        total += (float)sum * (a->scale[j / a->group] * ref.scale[j]);
        sum = 0;
    }
    return total;
}

/* The float formula. */
static float reference_f32(const llmq_activation *a, const llmq_format *f, uint32_t cols)
{
    float total = 0.0f, lane[16];
    uint32_t j, h, i;
    memset(lane, 0, sizeof lane);
    for (j = 0; j < cols; j++) {
        lane[j % ref.group % 16] += a->x[j] * (f->points ? (float)ref.point[j] : ref.value[j]);
        if (j + 1 < cols && (j + 1) % ref.group) continue;
        for (h = 8; h; h /= 2)
            for (i = 0; i < h; i++) lane[i] += lane[i + h];
        total += lane[0] * ref.scale[j];
        memset(lane, 0, sizeof lane);
    }
    return total;
}

/* Both paths against double arithmetic on the row in ref. Float: at most 1 product, 65 additions
   in a lane, 4 across, the scale and 33 additions of groups (fewer where lanes are longer: 72 in
   all), 72 * 2^-24 = 4.3e-6 of the sum of magnitudes. int8: each x' is off by at most half a
   scale (and 127 roundings of it, 1.5e-5 of a scale). */
static void check_accuracy(const llmq_tensor *t, const llmq_activation *a32, const llmq_activation *a8, float y32,
                           float y8)
{
    double exact = 0.0, size = 0.0, half = 0.0;
    uint32_t j;
    for (j = 0; j < t->cols; j++) {
        double term = (double)a32->x[j] * (double)ref.value[j];
        exact += term;
        size += check_abs(term);
        if (a8) half += 0.50002 * (double)a8->scale[j / a8->group] * check_abs((double)ref.value[j]);
    }
    CHECK(check_abs((double)y32 - exact) <= 5e-6 * size);
    if (a8) CHECK(check_abs((double)y8 - exact) <= half + 5e-6 * (size + half));
}

/* <decoded row, x>, in the basis of W, against the product: rotations by float arithmetic cost
   up to 1e-6 of both norms. */
static void check_basis(const llmq_tensor *t, uint32_t row, uint32_t i, float y32)
{
    double exact = 0.0;
    uint32_t j;
    CHECK_EQ(llmq_tensor_decode(t, row, decoded, workspace, sizeof workspace), LLMQ_OK);
    for (j = 0; j < t->cols; j++) exact += (double)decoded[j] * (double)input[i][j];
    CHECK(check_abs((double)y32 - exact) <= 1e-5 * check_sqrt(energy(decoded, t->cols))
          * check_sqrt(energy(input[i], t->cols)));
}

/* Row r times one activation. */
static float one_product(const llmq_tensor *t, const llmq_activation *a, uint32_t r)
{
    product[0][r] = 0.25f;
    CHECK_EQ(llmq_matvec(t, a, r, r + 1, product[0]), LLMQ_OK);
    return product[0][r];
}

/* Two activations, every row, both paths, and an int8 activation that was made for a tensor of other groups. */
static void check_products(const llmq_tensor *t, uint32_t other_group)
{
    llmq_activation a8[2], a32[2], mixed;
    llmq_tensor other = *t;
    uint32_t r, i, grid = t->format.points != NULL;
    other.format = get_format(5, other_group);
    for (i = 0; i < 2; i++) {
        even_numbers(input[i], t->cols, i ? 30.0 : 1.0);
        prepare(&a8[i], t, 8, i);
        prepare(&a32[i], t, 32, i);
        check_activation(t, &a8[i], &a32[i], input[i]);
    }
    CHECK_EQ(llmq_activation_prepare(&mixed, &other, 8, input[0], memory[1][2], sizeof memory[1][2]), LLMQ_OK);
    for (r = 0; r < t->rows; r++) {
        float y8 = 0.0f, y32, y;
        read_record(&t->format, t->cols, t->data + r * t->row_size);
        for (i = 0; i < 2; i++) {
            y32 = one_product(t, &a32[i], r);
            y = reference_f32(&a32[i], &t->format, t->cols);
            CHECK(same_floats(&y, &y32, 1));
            if (grid) {
                y8 = one_product(t, &a8[i], r);
                y = reference_i8(&a8[i], t->cols);
                CHECK(same_floats(&y, &y8, 1));
            }
            check_accuracy(t, &a32[i], grid ? &a8[i] : NULL, y32, y8);
            if (i == 0) check_basis(t, r, i, y32);
        }
        if (!grid) continue;
        y8 = one_product(t, &mixed, r);
        y = reference_i8(&mixed, t->cols);
        CHECK(same_floats(&y, &y8, 1));
    }
}

/* The sum of weighted rows against double arithmetic: a product by the scale, one by the point,
   `rows` additions, relative 2^-24 each, and the way back by a float transform, 5e-6 at most as
   in test_core (in norm). */
static void check_transposed(const llmq_tensor *t, uint32_t r0, uint32_t r1)
{
    static double sum[MAX_COLS], size[MAX_COLS];
    float weight[MAX_ROWS];
    double total = 0.0;
    uint32_t r, j, wrong = 0;
    normal_numbers(weight, t->rows, 1.0, 0.0);
    memset(sum, 0, sizeof sum);
    memset(size, 0, sizeof size);
    for (r = r0; r < r1; r++) {
        read_record(&t->format, t->cols, t->data + r * t->row_size);
        for (j = 0; j < t->cols; j++) {
            sum[j] += (double)weight[r] * (double)ref.value[j];
            size[j] += check_abs((double)weight[r] * (double)ref.value[j]);
        }
    }
    CHECK_EQ(llmq_matvec_transposed(t, weight, r0, r1, decoded, workspace,
                                    llmq_transform_work_size(&t->transform, t->cols)), LLMQ_OK);
    for (j = 0; j < t->cols; j++) {
        expected[j] = (float)sum[j];
        total += size[j] * size[j];
        wrong += check_abs((double)decoded[j] - sum[j]) > (2.0 + t->rows) * 1.001 / 16777216.0 * size[j];
    }
    if (t->transform.count == 0) {
        CHECK_EQ(wrong, 0);
        return;
    }
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, expected, t->cols, workspace, sizeof workspace,
                                  NULL), LLMQ_OK);
    CHECK(error_energy(expected, decoded, t->cols) <= 5e-6 * 5e-6 * total);
}

/* Every format, shape and group, with and without transform, on random codes. */
static void test_records(void)
{
    uint32_t i, g, c, rotated, r;
    for (i = 0; i < FORMATS; i++)
        for (g = 0; g < COUNT(all_groups) && (i >= 3 || g == 0); g++)
            for (c = 0; c < COUNT(all_cols); c++)
                for (rotated = 0; rotated < 2; rotated++) {
                    llmq_tensor t = open_tensor(i, all_groups[g], all_cols[c], 2, rotated ? &rotate : NULL);
                    for (r = 0; r < 2; r++) {
                        random_record(&t.format, t.cols, records + r * t.row_size, 0);
                        check_decode(&t, r);
                    }
                    check_products(&t, all_groups[(g + c) % COUNT(all_groups)]);
                    check_transposed(&t, c % 3 == 0, 2);
                }
}

/* Any bits in a record are safe: scales that are NaN, infinite, subnormal give what float arithmetic makes of them. */
static void test_wild_records(void)
{
    uint32_t i, g, r;
    for (i = 0; i < FORMATS; i++)
        for (g = 0; g < COUNT(all_groups) && (i >= 3 || g == 0); g++) {
            llmq_tensor t = open_tensor(i, all_groups[g], 300, 8, NULL);
            llmq_activation a8, a32;
            even_numbers(input[0], 300, 1.0);
            prepare(&a8, &t, 8, 0);
            prepare(&a32, &t, 32, 0);
            for (r = 0; r < t.rows; r++) {
                float y, y8;
                random_record(&t.format, 300, records + r * t.row_size, 1);
                if (r == 0 && t.format.points) records[0] = 0xff, records[1] = 0x7f; /* a NaN at least once */
                check_decode(&t, r);
                product[1][0] = reference_f32(&a32, &t.format, 300);
                y = one_product(&t, &a32, r);
                CHECK(same_floats(&y, &product[1][0], 1));
                if (!t.format.points) continue;
                y8 = one_product(&t, &a8, r);
                product[1][0] = reference_i8(&a8, 300);
                CHECK(same_floats(&y8, &product[1][0], 1));
                if (r == 0) CHECK(decoded[0] != decoded[0] && y != y && y8 != y8);
            }
        }
}

/* matmul of any count has in column i what matvec gives for activation i; any split of the rows the same; what lies
   outside of the rows asked for is untouched. Compared bit by bit. */
static void check_matmul(const llmq_tensor *t, const llmq_activation *a)
{
    uint32_t count, i, split, rows = t->rows, stride = MAX_ROWS + 3;
    for (i = 0; i < MAX_COUNT; i++) CHECK_EQ(llmq_matvec(t, &a[i], 0, rows, product[i]), LLMQ_OK);
    for (count = 1; count <= MAX_COUNT; count++) {
        memset(again, 0x77, sizeof again);
        CHECK_EQ(llmq_matmul(t, a, count, 0, rows, again[0], stride), LLMQ_OK);
        for (i = 0; i < MAX_COUNT; i++) {
            if (i < count) CHECK(memcmp(again[i], product[i], rows * sizeof(float)) == 0);
            CHECK_EQ(bits_of(again[i][i < count ? rows : 0]), 0x77777777u);
        }
    }
    for (split = 0; split <= rows; split++) {
        memset(again, 0x77, sizeof again);
        CHECK_EQ(llmq_matmul(t, a, 9, split, rows, again[0], stride), LLMQ_OK);
        CHECK(split == 0 || bits_of(again[8][split - 1]) == 0x77777777u);
        CHECK_EQ(llmq_matmul(t, a, 9, 0, split, again[0], stride), LLMQ_OK);
        for (i = 0; i < 9; i++) CHECK(memcmp(again[i], product[i], rows * sizeof(float)) == 0);
        CHECK_EQ(bits_of(again[8][rows]), 0x77777777u);
    }
}

static void test_matmul(void)
{
    static const uint32_t cols[] = { 1, 33, 100, 257, 576 };
    llmq_activation a[MAX_COUNT];
    uint32_t i, c, r, k, bits;
    for (i = 0; i < FORMATS; i++)
        for (c = 0; c < COUNT(cols); c++) {
            llmq_tensor t = open_tensor(i, all_groups[(i + c) % COUNT(all_groups)], cols[c], 1 + (i + c) % 7,
                                        c % 2 ? &rotate : NULL);
            for (r = 0; r < t.rows; r++) random_record(&t.format, t.cols, records + r * t.row_size, 0);
            for (bits = 8; bits <= 32; bits += 24) {
                if (bits == 8 && !t.format.points) continue;
                for (k = 0; k < MAX_COUNT; k++) {
                    even_numbers(input[k], t.cols, 1.0);
                    prepare(&a[k], &t, bits, k);
                }
                check_matmul(&t, a);
            }
        }
}

/* ---- memory: only what belongs to the call is read or written -------------------------------- */

typedef struct walls {
    check_wall record, x, memory, work, y;
} walls;

/* One record between walls; its products must be those of the same record elsewhere. */
static void check_walls(const walls *w, const llmq_tensor *open, uint32_t upper)
{
    llmq_tensor t = *open;
    uint8_t *at = upper ? w->record.end - t.row_size : w->record.start;
    size_t line = t.cols * sizeof(float), need = llmq_transform_work_size(&t.transform, t.cols), size;
    float *x = (float *)check_wall_beside(&w->x, line, upper), *y = (float *)check_wall_beside(&w->y, line, upper),
        one = 1.0f;
    llmq_activation a, b;
    uint32_t bits;
    memcpy(at, records, t.row_size);
    t.data = at;
    memcpy(x, input[0], line);
    CHECK_EQ(llmq_tensor_decode(&t, 0, y, check_wall_beside(&w->work, need, upper), need), LLMQ_OK);
    CHECK_EQ(llmq_tensor_decode(open, 0, decoded, workspace, need), LLMQ_OK);
    CHECK(memcmp(y, decoded, line) == 0);
    CHECK_EQ(llmq_matvec_transposed(&t, &one, 0, 1, y, check_wall_beside(&w->work, need, upper), need), LLMQ_OK);
    for (bits = 8; bits <= 32; bits += 24) {
        float *z = (float *)check_wall_beside(&w->y, sizeof(float), upper);
        if (bits == 8 && !t.format.points) continue;
        size = llmq_activation_size(&t, bits);
        CHECK_EQ(llmq_activation_prepare(&a, &t, bits, x, check_wall_beside(&w->memory, size, upper), size), LLMQ_OK);
        prepare(&b, open, bits, 0);
        CHECK_EQ(llmq_matvec(&t, &a, 0, 1, z), LLMQ_OK);
        CHECK_EQ(llmq_matvec(open, &b, 0, 1, product[0]), LLMQ_OK);
        CHECK(memcmp(z, product[0], sizeof(float)) == 0);
    }
    size = llmq_encode_work_size(&t);
    CHECK_EQ(llmq_encode(&t, at, 0, 1, x, t.cols, NULL, check_wall_beside(&w->work, size, upper), size, NULL), LLMQ_OK);
    memset(workspace, 0xee, size); /* nor may it matter what the workspace held */
    memset(records, 0xee, t.row_size);
    CHECK_EQ(llmq_encode(open, records, 0, 1, x, t.cols, NULL, workspace, size, NULL), LLMQ_OK);
    CHECK(memcmp(at, records, t.row_size) == 0);
}

static void test_walls(void)
{
    static const uint32_t cols[] = { 1, 2, 31, 44, 65, 172, 257 };
    walls w;
    uint32_t i, c, g, upper;
    w.record = check_wall_open(4 * MAX_COLS);
    w.x = check_wall_open(4 * MAX_COLS);
    w.memory = check_wall_open(sizeof memory[0][0]);
    w.work = check_wall_open(sizeof workspace);
    w.y = check_wall_open(4 * MAX_COLS);
    for (i = 0; i < FORMATS; i++)
        for (c = 0; c < COUNT(cols); c++)
            for (g = 0; g < 2; g++)
                for (upper = 0; upper < 2; upper++) {
                    llmq_tensor t;
                    if (i == FORMATS - 1 && (c != 5 || g)) continue; /* 40,000 points take a while to encode with */
                    t = open_tensor(i, all_groups[(i + c + g) % COUNT(all_groups)], cols[c], 1, g ? &rotate : NULL);
                    random_record(&t.format, t.cols, records, 0);
                    even_numbers(input[0], t.cols, 1.0);
                    check_walls(&w, &t, upper);
                }
    check_wall_close(&w.record);
    check_wall_close(&w.x);
    check_wall_close(&w.memory);
    check_wall_close(&w.work);
    check_wall_close(&w.y);
}

/* ---- 6. unusual activations ------------------------------------------------------------------ */

/* A NaN or infinity anywhere makes the product NaN in int8; in float an infinity may also give an infinity. */
static void test_not_finite(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u };
    uint32_t i, b, at, rotated;
    for (i = 3; i < NAMED; i++)
        for (b = 0; b < COUNT(bad); b++)
            for (rotated = 0; rotated < 2; rotated++) {
                llmq_tensor t = open_tensor(i, 64, 172, 1, rotated ? &rotate : NULL);
                llmq_activation a;
                float y;
                random_record(&t.format, t.cols, records, 0);
                for (at = 0; at < 172; at += 19) {
                    even_numbers(input[0], 172, 1.0);
                    input[0][at] = float_of(bad[b]);
                    prepare(&a, &t, 8, 0);
                    CHECK(a.scale[at / 64] != a.scale[at / 64]);
                    CHECK_EQ(a.q[at], 0);
                    y = one_product(&t, &a, 0);
                    CHECK(y != y);
                    prepare(&a, &t, 32, 0);
                    y = one_product(&t, &a, 0);
                    CHECK((bits_of(y) & 0x7f800000u) == 0x7f800000u);
                    if ((bad[b] & 0x7fffffffu) != 0x7f800000u) CHECK(y != y);
                }
            }
}

/* A group whose largest magnitude is below 2^-100 is zero; from there on it is not. The largest float is no problem. */
static void test_extreme_activations(void)
{
    static const uint32_t size[] = { 0, 1, 0x007fffffu, 0x00800000u, (27u << 23) - 1, 27u << 23, 0x7f7fffffu,
                                     0x3f800000u };
    llmq_tensor t = open_tensor(5, 64, 100, 1, NULL);
    llmq_activation a;
    uint32_t s, j;
    random_record(&t.format, 100, records, 0);
    for (s = 0; s < COUNT(size); s++) {
        float largest = float_of(size[s]), y, by_formula;
        int zero = size[s] < 27u << 23; /* exponent 27 - 127 = -100 */
        check_at("activations up to %g", (double)largest);
        for (j = 0; j < 100; j++) input[0][j] = j % 3 == 0 ? largest : j % 3 == 1 ? -largest : largest * 0.5f;
        for (j = 64; j < 100; j++) input[0][j] = 1.0f; /* the second group is as always */
        prepare(&a, &t, 8, 0);
        CHECK_EQ(bits_of(a.scale[0]), bits_of(zero ? 0.0f : largest / 127.0f));
        CHECK(a.q[0] == (zero ? 0 : 127) && a.q[1] == (zero ? 0 : -127));
        CHECK_EQ(a.q[2], zero ? 0 : round_even(largest * 0.5f * (127.0f / largest)));
        CHECK_EQ(a.q[64], 127);
        read_record(&t.format, 100, records);
        y = one_product(&t, &a, 0);
        by_formula = reference_i8(&a, 100);
        CHECK(same_floats(&y, &by_formula, 1));
        CHECK(!zero || y >= 0.0f || y < 0.0f); /* a number */
    }
}

/* ---- errors of sections 7 to 9 --------------------------------------------------------------- */

static void test_size_errors(void)
{
    llmq_format f = get_format(5, 64), bad;
    uint32_t most = LLMQ_MAX_COLS;
    check_at("sizes");
    CHECK_EQ((long)llmq_row_size(NULL, 4), 0);
    CHECK_EQ((long)llmq_row_size(&f, 0), 0);
    CHECK_EQ((long)llmq_row_size(&f, most + 1), 0);
    CHECK_EQ((long)llmq_row_size(&f, 0xffffffffu), 0);
    CHECK_EQ((long)llmq_row_size(&f, most), (long)(2 * (most / 64) + most / 2));
    bad = get_format(FORMATS - 1, 0);
    CHECK_EQ((long)llmq_row_size(&bad, most), (long)(2 + 2 * up(most, 3)));
    bad = f, bad.p = 0;
    CHECK_EQ((long)llmq_row_size(&bad, 64), 0);
    bad = f, bad.p = 9;
    CHECK_EQ((long)llmq_row_size(&bad, 64), 0);
    bad = f, bad.group = 33;
    CHECK_EQ((long)llmq_row_size(&bad, 64), 0);
    bad = f, bad.bits = 5; /* not that of n */
    CHECK_EQ((long)llmq_row_size(&bad, 64), 0);
    bad = f, bad.unit = 0.0f;
    CHECK_EQ((long)llmq_row_size(&bad, 64), 0);
    bad = get_format(0, 0), bad.bits = 8;
    CHECK_EQ((long)llmq_row_size(&bad, 64), 0);
    CHECK_EQ((long)llmq_tensor_size(&bad, 2, 64), 0);
    CHECK_EQ((long)llmq_tensor_size(&f, 0, 64), 0);
    CHECK_EQ((long)llmq_tensor_size(&f, 3, 64), 3 * 34);
    CHECK_EQ((long)llmq_tensor_size(NULL, 3, 64), 0);
    if (sizeof(size_t) == 4) {
        f = get_format(0, 0);
        CHECK_EQ((long)llmq_tensor_size(&f, 0xffffffffu, most), 0);
    }
}

/* Tries an init that must be refused, and must leave *t alone. */
static void refuse_init(const llmq_format *f, const llmq_transform *transform, uint32_t rows, uint32_t cols,
                        const void *data, size_t size, llmq_status status)
{
    static llmq_tensor t, before;
    memset(&t, 0x55, sizeof t);
    before = t;
    CHECK_EQ(llmq_tensor_init(&t, f, transform, rows, cols, data, size), status);
    CHECK(memcmp(&t, &before, sizeof t) == 0);
}

static void test_init_errors(void)
{
    llmq_format f = get_format(5, 64), bad = f;
    llmq_transform steps = rotate;
    llmq_tensor t;
    size_t size = sizeof records;
    check_at("llmq_tensor_init");
    CHECK_EQ(llmq_tensor_init(NULL, &f, NULL, 1, 64, records, size), LLMQ_E_ARG);
    refuse_init(NULL, NULL, 1, 64, records, size, LLMQ_E_ARG);
    refuse_init(&f, NULL, 1, 64, NULL, size, LLMQ_E_ARG);
    refuse_init(&f, NULL, 1, 0, records, size, LLMQ_E_ARG);
    bad.group = 1;
    refuse_init(&bad, NULL, 1, 64, records, size, LLMQ_E_ARG);
    refuse_init(&f, NULL, 1, LLMQ_MAX_COLS + 1, records, size, LLMQ_E_LIMIT);
    refuse_init(&f, NULL, 1, 0xffffffffu, records, size, LLMQ_E_LIMIT);
    refuse_init(&f, NULL, 3, 64, records, 3 * 34 - 1, LLMQ_E_WORKSPACE);
    refuse_init(&f, NULL, 0xffffffffu, 64, records, size, LLMQ_E_WORKSPACE);
    steps.step[0].block = 3;
    refuse_init(&f, &steps, 1, 64, records, size, LLMQ_E_ARG);
    steps.step[0].kind = 99;
    refuse_init(&f, &steps, 1, 64, records, size, LLMQ_E_UNSUPPORTED);
    steps.count = LLMQ_MAX_STEPS + 1;
    refuse_init(&f, &steps, 1, 64, records, size, LLMQ_E_LIMIT);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 0, 64, records, 0), LLMQ_OK); /* to be appended to */
}

static void test_decode_errors(void)
{
    llmq_tensor t = open_tensor(5, 64, 172, 2, &rotate);
    size_t need = llmq_transform_work_size(&t.transform, 172);
    float one[2] = { 1.0f, 1.0f };
    check_at("llmq_tensor_decode, llmq_matvec_transposed");
    memset(decoded, 0x77, sizeof decoded);
    memset(expected, 0x77, sizeof expected);
    CHECK_EQ(llmq_tensor_decode(NULL, 0, decoded, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_decode(&t, 0, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_decode(&t, 2, decoded, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, workspace, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_matvec_transposed(NULL, one, 0, 2, decoded, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_matvec_transposed(&t, NULL, 0, 2, decoded, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_matvec_transposed(&t, one, 0, 2, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_matvec_transposed(&t, one, 2, 1, decoded, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_matvec_transposed(&t, one, 0, 3, decoded, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_matvec_transposed(&t, one, 0, 2, decoded, workspace, need - 1), LLMQ_E_WORKSPACE);
    CHECK(memcmp(decoded, expected, sizeof decoded) == 0);
    check_at("decoding with a workspace that is NULL or misaligned: out must keep what it held");
    CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, need), LLMQ_E_ARG);
    CHECK(memcmp(decoded, expected, sizeof decoded) == 0);
    memcpy(decoded, expected, sizeof decoded);
    CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, (unsigned char *)workspace + 1, need), LLMQ_E_ARG);
    CHECK(memcmp(decoded, expected, sizeof decoded) == 0);
    memcpy(decoded, expected, sizeof decoded);
    CHECK_EQ(llmq_matvec_transposed(&t, one, 0, 2, decoded, NULL, need), LLMQ_E_ARG);
    CHECK(memcmp(decoded, expected, sizeof decoded) == 0);
    check_at("no rows: the sum is 0");
    CHECK_EQ(llmq_matvec_transposed(&t, one, 1, 1, decoded, workspace, need), LLMQ_OK);
    CHECK(energy(decoded, 172) <= 0.0);
}

static void test_prepare_errors(void)
{
    llmq_tensor t = open_tensor(5, 64, 172, 2, &rotate), empty = t;
    llmq_activation a, before;
    size_t need = llmq_activation_size(&t, 8);
    void *mem = memory[0][0];
    memset(&a, 0x55, sizeof a);
    before = a;
    check_at("llmq_activation_prepare");
    /* numbers, scales, codes; the transform's 4 * 44 fit into the latter */
    CHECK_EQ((long)need, 4 * 172 + 4 * 3 + 172);
    CHECK_EQ(llmq_activation_prepare(NULL, &t, 8, input[0], mem, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, NULL, 8, input[0], mem, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 8, NULL, mem, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 8, input[0], NULL, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 8, input[0], (unsigned char *)mem + 2, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 16, input[0], mem, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 0, input[0], mem, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 8, input[0], mem, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_activation_prepare(&a, &t, 8, input[0], mem, 0), LLMQ_E_WORKSPACE);
    CHECK(memcmp(&a, &before, sizeof a) == 0);
    CHECK_EQ((long)llmq_activation_size(NULL, 8), 0);
    CHECK_EQ((long)llmq_activation_size(&t, 9), 0);
    empty.cols = 0;
    CHECK_EQ((long)llmq_activation_size(&empty, 8), 0);
}

static void test_product_errors(void)
{
    llmq_tensor t = open_tensor(5, 64, 172, 2, &rotate), plain = open_tensor(5, 64, 172, 2, NULL), raw, narrow;
    llmq_transform seed = llmq_transform_hadamard(6, 0), block = llmq_transform_hadamard(5, 64), two = rotate;
    llmq_activation a[3];
    uint32_t i;
    two.count = 2, two.step[1] = two.step[0];
    raw = open_tensor(0, 0, 172, 1, &rotate);
    narrow = open_tensor(5, 64, 171, 2, &rotate);
    even_numbers(input[0], 172, 1.0);
    for (i = 0; i < 3; i++)
        CHECK_EQ(llmq_activation_prepare(&a[i], &t, 8, input[0], memory[0][i], sizeof memory[0][i]), LLMQ_OK);
    memset(product, 0x77, sizeof product);
    memcpy(again, product, sizeof again);
    check_at("llmq_matmul: arguments");
    CHECK_EQ(llmq_matmul(NULL, a, 2, 0, 2, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, NULL, 2, 0, 2, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, a, 2, 0, 2, NULL, 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, a, 0, 0, 2, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, a, 2, 0, 3, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, a, 2, 2, 1, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matvec(&narrow, a, 0, 2, product[0]), LLMQ_E_ARG);
    check_at("llmq_matmul: transforms that differ");
    CHECK_EQ(llmq_matvec(&plain, a, 0, 2, product[0]), LLMQ_E_MISMATCH);
    for (i = 0; i < 3; i++) {
        llmq_tensor other = t;
        other.transform = i == 0 ? seed : i == 1 ? block : two;
        CHECK_EQ(llmq_matvec(&other, a, 0, 2, product[0]), LLMQ_E_MISMATCH);
    }
    check_at("llmq_matmul: kinds that differ");
    CHECK_EQ(llmq_matvec(&raw, a, 0, 1, product[0]), LLMQ_E_MISMATCH);
    CHECK_EQ(llmq_activation_prepare(&a[2], &t, 32, input[0], memory[0][2], sizeof memory[0][2]), LLMQ_OK);
    CHECK_EQ(llmq_matmul(&t, a, 3, 0, 2, product[0], 2), LLMQ_E_MISMATCH);
    plain = open_tensor(5, 96, 172, 2, &rotate);
    CHECK_EQ(llmq_activation_prepare(&a[2], &plain, 8, input[0], memory[0][2], sizeof memory[0][2]), LLMQ_OK);
    CHECK_EQ(llmq_matmul(&t, a, 3, 0, 2, product[0], 2), LLMQ_E_MISMATCH);
    CHECK(memcmp(product, again, sizeof product) == 0);
    CHECK_EQ(llmq_matmul(&t, a, 2, 1, 1, product[0], 2), LLMQ_OK); /* no rows: nothing to do */
    CHECK(memcmp(product, again, sizeof product) == 0);
}

/* ---- 7. Encoder ------------------------------------------------------------------------------ */

/* Encode rows of w with a workspace of exactly the size asked for. */
static void encode(const llmq_tensor *t, uint32_t r0, uint32_t r1, const float *w, size_t stride, int effort)
{
    llmq_encode_options options;
    size_t need = llmq_encode_work_size(t);
    unsigned char *after = (unsigned char *)workspace + need;
    memset(&options, 0, sizeof options);
    options.effort = effort;
    CHECK(need > 0 && need + 4 <= sizeof workspace);
    memset(after, 0x5a, 4);
    CHECK_EQ(llmq_encode(t, records, r0, r1, w + r0 * stride, stride, effort ? &options : NULL, workspace, need, NULL),
             LLMQ_OK);
    CHECK(after[0] == 0x5a && after[1] == 0x5a && after[2] == 0x5a && after[3] == 0x5a);
}

/* Index of the nearest point by trying all, lowest first: float, the squares added in order,
   ties to the lower index. */
static uint32_t try_all(const int8_t *points, uint32_t n, uint32_t p, uint32_t dims, const float *x)
{
    uint32_t i, k, best = 0;
    float closest = 0.0f;
    for (i = 0; i < n; i++, points += p) {
        float d = x[0] - (float)points[0], sum = d * d;
        for (k = 1; k < dims; k++) {
            d = x[k] - (float)points[k];
            sum += d * d;
        }
        if (i == 0 || sum < closest) closest = sum, best = i;
    }
    return best;
}

/* Are the codes of the row in ref those of the points nearest to x at the scale as stored, x being the transformed row?
   The encoder divides by powers of two here and there, which floats do not notice. Groups of scale 0 have any codes. */
static void check_codes(const llmq_format *f, const float *x, uint32_t cols)
{
    uint32_t j, k = 0, i, end, dims, wrong = 0;
    float y[8];
    for (j = 0; j < cols; j += dims, k++) {
        float inverse = 1.0f / ref.scale[j];
        end = least(cols, (j / ref.group + 1) * ref.group);
        dims = least(f->p, end - j);
        if (bits_of(ref.scale[j]) == 0) continue;
        for (i = 0; i < dims; i++) y[i] = x[j + i] * inverse;
        wrong += ref.code[k] != try_all(f->points, f->n, f->p, dims, y);
    }
    CHECK_EQ(wrong, 0);
}

/* The first scale that any effort tries is rms / unit, with the least-squares fit. The result can be worse than that by
   the rounding of the scale to bfloat16, relative 2^-8, so 2^-16 of the energy, and by float noise in the comparison of
   gains: sums of up to 65 + 5 terms, 70 * 2^-24 < 5e-6; and a point on the border between two may go the other way. */
static void check_first_trial(const llmq_format *f, const float *x, uint32_t cols)
{
    uint32_t j, i, k, n, dims;
    for (j = 0; j < cols; j += n) {
        double power, fit = 0.0, points = 0.0, bound;
        float y[8], inverse;
        n = least(ref.group, cols - j);
        power = energy(x + j, n);
        inverse = (float)((double)f->unit / check_sqrt(power / n));
        for (i = 0; i < n; i += dims) {
            const int8_t *c;
            dims = least(f->p, n - i);
            for (k = 0; k < dims; k++) y[k] = x[j + i + k] * inverse;
            c = f->points + try_all(f->points, f->n, f->p, dims, y) * f->p;
            for (k = 0; k < dims; k++) fit += (double)x[j + i + k] * c[k], points += (double)c[k] * c[k];
        }
        if (!(fit > 0.0)) continue; /* poor grids may have no point in the direction of x: test_one_sided_grid */
        bound = power - fit * fit / points;
        CHECK(error_energy(x + j, ref.value + j, n) <= bound + power * (1.0 / 65536.0 + 1e-5));
    }
}

/* Raw numbers: f32 as they are; f16 and bf16 each converted. */
static void check_raw(const llmq_format *f, const float *x, uint32_t cols)
{
    uint32_t j, wrong = 0;
    for (j = 0; j < cols; j++) {
        float y = x[j];
        if (strcmp(f->name, "f16") == 0) y = llmq_f16_to_f32(llmq_f32_to_f16(y));
        if (strcmp(f->name, "bf16") == 0) y = llmq_bf16_to_f32(llmq_f32_to_bf16(y));
        wrong += bits_of(y) != bits_of(ref.value[j]);
    }
    CHECK_EQ(wrong, 0);
}

/* How much of the energy of normal numbers an encoding may lose. The header's figure is for long
   groups; short ones lose less, as the scale follows their numbers. The squared error of one
   number is spread at most like a chi-square variable of a degree of freedom (relative deviation
   1.41), of 512 numbers 6.3 %; 40 % above is six deviations. Raw numbers: half a unit of the
   last place is 2^-11 or 2^-8 or 2^-24 of the number at most; rotations add up to 1e-6 each way. */
static double error_bound(uint32_t format, int rotated)
{
    double last = format == 0 ? 1.0 / 16777216.0 : format == 1 ? 1.0 / 2048.0 : 1.0 / 256.0,
        turn = rotated ? 2e-6 : 0.0;
    if (format < 3) return (last + turn) * (last + turn);
    return named[format].mse * 1.4;
}

/* Rows of normal numbers into records, two where they are short; all that can be said of it. bounded: with the default
   effort, and the bound of the error, for which there must be 512 numbers. */
static void check_encoding(uint32_t format, uint32_t group, uint32_t cols, int rotated, int bounded)
{
    uint32_t rows = cols < 512 ? 2 : 1, r;
    llmq_tensor t = open_tensor(format, group, cols, rows, rotated ? &rotate : NULL);
    size_t need = llmq_transform_work_size(&t.transform, cols);
    double lost = 0.0;
    records[rows * t.row_size] = 0x5a;
    normal_numbers(weights, cols, 0.02, 0.0);
    normal_numbers(weights + cols, cols, 3.0, 0.0);
    encode(&t, 0, rows, weights, cols, bounded ? LLMQ_EFFORT_DEFAULT : LLMQ_EFFORT_FAST);
    CHECK_EQ(records[rows * t.row_size], 0x5a);
    for (r = 0; r < rows; r++) {
        const float *w = weights + r * cols;
        memcpy(stored, w, cols * sizeof(float));
        CHECK_EQ(llmq_transform_apply(&t.transform, LLMQ_TO_WEIGHT, stored, cols, workspace, need, NULL), LLMQ_OK);
        read_record(&t.format, cols, records + r * t.row_size);
        if (t.format.points) {
            check_codes(&t.format, stored, cols);
            if (cols % 2 || cols < 64) check_first_trial(&t.format, stored, cols);
        } else {
            check_raw(&t.format, stored, cols);
        }
        CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, need), LLMQ_OK);
        lost += error_energy(w, decoded, cols) / energy(w, cols);
    }
    if (bounded) CHECK(lost <= rows * error_bound(format, rotated));
}

static void test_encoder(void)
{
    uint32_t i, g, c;
    int rotated;
    for (i = 0; i < FORMATS - 1; i++)
        for (g = 0; g < COUNT(all_groups) && (i >= 3 || g == 0); g++)
            for (c = 0; c < COUNT(all_cols); c++)
                for (rotated = 0; rotated < 2; rotated++) {
                    if (i >= NAMED && (g + c) % 4) continue; /* there are enough of them */
                    check_encoding(i, all_groups[g], all_cols[c], rotated,
                                   i < NAMED && all_cols[c] > 255 && (g + c + (uint32_t)rotated) % 2);
                }
    check_encoding(FORMATS - 1, 64, 172, 1, 0);
}

/* llmq__nearest against trying all, on points of all kinds. Not farther than a group of 2^24
   columns with one large number gets: 2^12 deviations, some 1e6; beyond 3e9, where floats lose
   the points' differences, the search makes no promise. */
static void nearest_input(const llmq_format *f, uint32_t kind, float *x)
{
    const int8_t *a = f->points + check_below(f->n) * f->p, *b = f->points + check_below(f->n) * f->p;
    double size = 1.0;
    uint32_t k, far = check_below(f->p);
    if (kind == 4) for (k = check_below(7); k > 0; k--) size *= 10.0;
    for (k = 0; k < f->p; k++) switch (kind) {
        case 0: x[k] = (float)(check_normal() * (double)f->unit); break;
        case 1: x[k] = (float)a[k]; break;                                     /* a point itself */
        case 2: x[k] = ((float)a[k] + (float)b[k]) * 0.5f; break;              /* half-way between two */
        case 3: x[k] = (float)(check_below(520) / 2.0 - 130.0); break;         /* many ties */
        case 4: x[k] = (float)(check_normal() * size * 100.0); break;          /* far, to 1e8 and a few */
        default: x[k] = k == far ? (float)(check_normal() * 1e4) : (float)a[k]; break; /* far in one coordinate */
        }
}

static void test_nearest(void)
{
    static float points[2048 * 8];
    uint32_t i, k, trial, wrong[6];
    float x[8];
    for (i = 3; i < FORMATS - 1; i++) {
        llmq_format f = get_format(i, 32);
        uint32_t trials = i < NAMED ? 100000 : 5000;
        if (f.n * f.p > COUNT(points)) continue;
        check_at("nearest point of %s, p %lu n %lu", f.name, (unsigned long)f.p, (unsigned long)f.n);
        for (k = 0; k < f.n * f.p; k++) points[k] = (float)f.points[k];
        memset(wrong, 0, sizeof wrong);
        for (trial = 0; trial < trials; trial++) {
            uint32_t kind = trial % 6, dims = trial % 5 ? f.p : 1 + check_below(f.p);
            nearest_input(&f, kind, x);
            wrong[kind] += llmq__nearest(points, f.n, f.p, dims, x) != try_all(f.points, f.n, f.p, dims, x);
        }
        for (k = 0; k < 6; k++) CHECK_EQ(wrong[k], 0);
    }
}

/* ---- unusual weights ------------------------------------------------------------------------- */

enum { ONES, HUGE_ONES, TINY_ONES, SPIKE, LAST, ALTERNATING, RAMP, KINDS };

static void unusual_row(uint32_t kind, float *w, uint32_t cols)
{
    uint32_t j;
    for (j = 0; j < cols; j++) {
        float x = (float)check_normal();
        switch (kind) {
        case ONES: x = 1.0f; break;
        case HUGE_ONES: x *= 1e30f; break;
        case TINY_ONES: x *= 1e-30f; break;
        case SPIKE: x = j == cols / 2 ? -1e6f : x; break;
        case LAST: x = j + 1 == cols ? 3.0f : 0.0f; break;
        case ALTERNATING: x = j % 2 ? -0.7f : 0.7f; break;
        default: x = (float)j - 50.0f; break;
        }
        w[j] = x;
    }
}

static void test_unusual_rows(void)
{
    static const uint32_t cols[] = { 1, 33, 100, 257 };
    uint32_t i, kind, c;
    for (i = 3; i < NAMED; i++)
        for (kind = 0; kind < KINDS; kind++)
            for (c = 0; c < COUNT(cols); c++) {
                llmq_tensor t = open_tensor(i, all_groups[(kind + c) % COUNT(all_groups)], cols[c], 1, NULL);
                unusual_row(kind, weights, cols[c]);
                encode(&t, 0, 1, weights, cols[c], (int)(kind + c) % 3);
                read_record(&t.format, cols[c], records);
                check_codes(&t.format, weights, cols[c]);
                if (kind != LAST) check_first_trial(&t.format, weights, cols[c]);
                if (kind == LAST) CHECK_EQ(bits_of(ref.scale[0]) == 0, cols[c] > ref.group); /* a group of zeros */
                if (kind == ONES && t.format.p == 1) /* one point fits all exactly: only the scale is rounded, 2^-8 */
                    CHECK(check_abs((double)ref.value[cols[c] - 1] - 1.0) <= 1.0 / 256.0);
            }
}

/* Zeros of both signs: a record of zeros, and decoded zeros. */
static void test_zero_rows(void)
{
    uint32_t i, k, rotated, bits = 0;
    for (i = 0; i < NAMED; i++)
        for (rotated = 0; rotated < 2; rotated++) {
            llmq_tensor t = open_tensor(i, 64, 172, 1, rotated ? &rotate : NULL);
            memset(weights, 0, sizeof weights);
            if (i >= 3) weights[5] = -0.0f;
            memset(records, 0xff, t.row_size);
            encode(&t, 0, 1, weights, 172, LLMQ_EFFORT_DEFAULT);
            for (k = 0, bits = 0; k < t.row_size; k++) bits |= records[k];
            if (i >= 3 || !rotated) CHECK_EQ(bits, 0); /* raw numbers keep the signs of zeros, which rotations mix */
            CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, workspace, sizeof workspace), LLMQ_OK);
            CHECK(energy(decoded, 172) <= 0.0);
        }
}

/* Weights in a direction in which the grid has no points, so that no positive scale is any use:
   the best scale is 0, and the error must not exceed that of zeros, which is the energy of the
   row. */
static void test_one_sided_grid(void)
{
    static const int8_t positive[2] = { 40, 80 };
    llmq_format f;
    llmq_tensor t;
    uint32_t j;
    check_at("one-sided grid");
    CHECK_EQ(llmq_format_custom(&f, 1, 2, positive, 60.0f, 64), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, 64, records, sizeof records), LLMQ_OK);
    for (j = 0; j < 64; j++) weights[j] = -1.0f - (float)(j % 7);
    encode(&t, 0, 1, weights, 64, LLMQ_EFFORT_DEFAULT);
    CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
    CHECK(error_energy(weights, decoded, 64) <= energy(weights, 64));
}

/* Raw f32 numbers come back with all their bits, zeros with their sign; the others as they were rounded. */
static void test_raw_bits(void)
{
    static const uint32_t number[] = { 0, 0x80000000u, 1, 0x80000001u, 0x007fffffu, 0x00800000u, 0x3f800001u,
                                       0xff7fffffu, 0x7f7fffffu };
    uint32_t i, j;
    for (i = 0; i < 3; i++) {
        llmq_tensor t = open_tensor(i, 0, COUNT(number), 1, NULL);
        for (j = 0; j < COUNT(number); j++) weights[j] = float_of(number[j]);
        /* infinite in 16 bits: refused, the first by name; not written */
        for (j = COUNT(number) - 2; j < COUNT(number) && i > 0; j++) {
            llmq_error error;
            memset(records, 0xee, t.row_size);
            CHECK_EQ(llmq_encode(&t, records, 0, 1, weights, COUNT(number), NULL, workspace, sizeof workspace, &error),
                     LLMQ_E_NOT_FINITE);
            CHECK(error.status == LLMQ_E_NOT_FINITE && error.row == 0 && error.col == j && records[0] == 0xee
                  && records[t.row_size - 1] == 0xee);
            weights[j] = 1.0f;
        }
        encode(&t, 0, 1, weights, COUNT(number), LLMQ_EFFORT_DEFAULT);
        CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
        for (j = 0; j < COUNT(number); j++) {
            uint32_t expect = bits_of(weights[j]);
            if (i == 1) expect = bits_of(llmq_f16_to_f32(llmq_f32_to_f16(weights[j])));
            if (i == 2) expect = bits_of(llmq_bf16_to_f32(llmq_f32_to_bf16(weights[j])));
            check_at("raw number %08lx as %s", (unsigned long)number[j], t.format.name);
            CHECK_EQ(bits_of(decoded[j]), expect);
        }
    }
}

/* Groups 10^36 apart in one row each keep their precision; beyond 2^126 the small one becomes 0. */
static void test_mixed_groups(void)
{
    uint32_t i, j;
    for (i = 3; i < NAMED; i++) {
        llmq_tensor t = open_tensor(i, 64, 192, 1, NULL);
        normal_numbers(weights, 192, 1.0, 0.0);
        for (j = 0; j < 64; j++) weights[j] *= 1e18f, weights[j + 64] *= 1e-18f;
        encode(&t, 0, 1, weights, 192, LLMQ_EFFORT_DEFAULT);
        read_record(&t.format, 192, records);
        check_codes(&t.format, weights, 192);
        check_first_trial(&t.format, weights, 192);
        for (j = 0; j < 64; j++) weights[j] *= 1e12f, weights[j + 64] *= 1e-12f;
        encode(&t, 0, 1, weights, 192, LLMQ_EFFORT_DEFAULT);
        read_record(&t.format, 192, records);
        check_first_trial(&t.format, weights, 64);
        CHECK(energy(ref.value + 64, 64) <= 1e-50);
    }
}

/* No stored scale is ever subnormal, infinite or negative, whatever the size of the weights; the largest is 0x7f7f. */
static void test_limits_of_scale(void)
{
    uint32_t i, j, k, g, low;
    for (i = 3; i < NAMED; i++)
        for (k = 0; k < 40; k++) {
            llmq_tensor t = open_tensor(i, 32, 100, 1, NULL);
            /* 2^-126 ... FLT_MAX */
            float size = float_of((k < 20 ? k : 255 - 40 + k) << 23 | (k == 0 || k == 39 ? 0x7fffffu : 0));
            for (j = 0; j < 100; j++) weights[j] = (float)(check_uniform() * 2.0 - 1.0) * size;
            weights[0] = size, weights[64] = -size;
            check_at("%s, weights up to %g", t.format.name, (double)size);
            encode(&t, 0, 1, weights, 100, LLMQ_EFFORT_DEFAULT);
            for (g = 0; g < 4; g++) {
                low = (uint32_t)records[2 * g] | (uint32_t)records[2 * g + 1] << 8;
                CHECK(low == 0 || (low >= 0x80 && low <= 0x7f7f));
                if (k >= 20) CHECK(low > 0x4000); /* nor is a large one lost */
            }
            read_record(&t.format, 100, records);
            check_codes(&t.format, weights, 100);
        }
    { /* points of +-1: a scale of FLT_MAX would round up to infinity */
        static const int8_t sign[2] = { -1, 1 };
        llmq_format f;
        llmq_tensor t;
        check_at("largest scale");
        CHECK_EQ(llmq_format_custom(&f, 1, 2, sign, 1.0f, 0), LLMQ_OK);
        CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, 100, records, sizeof records), LLMQ_OK);
        for (j = 0; j < 100; j++) weights[j] = float_of(0x7f7fffffu | (j % 3 ? 0x80000000u : 0));
        encode(&t, 0, 1, weights, 100, LLMQ_EFFORT_DEFAULT);
        CHECK(records[0] == 0x7f && records[1] == 0x7f);
        CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
        for (j = 0; j < 100; j++) CHECK_EQ(bits_of(decoded[j]), 0x7f7f0000u | (j % 3 ? 0x80000000u : 0));
    }
}

/* 2^k W has the codes of W, and its scales times 2^k, to the bit. */
static void test_scale_invariance(void)
{
    static const int shift[] = { -100, -60, -1, 1, 13, 110 };
    uint32_t i, j, s, g;
    for (i = 3; i < NAMED; i++)
        for (s = 0; s < COUNT(shift); s++) {
            llmq_tensor t = open_tensor(i, all_groups[i % COUNT(all_groups)], 300, 1, s % 2 ? &rotate : NULL);
            float factor = float_of((uint32_t)(127 + shift[s]) << 23);
            normal_numbers(weights, 300, 1.0, 0.0);
            encode(&t, 0, 1, weights, 300, (int)s % 3);
            memcpy(saved, records, t.row_size);
            for (j = 0; j < 300; j++) weights[j] *= factor;
            encode(&t, 0, 1, weights, 300, (int)s % 3);
            for (g = 0; g < up(300, t.format.group ? t.format.group : 300); g++) {
                uint32_t bits = ((uint32_t)saved[2 * g] | (uint32_t)saved[2 * g + 1] << 8) + (uint32_t)(shift[s] * 128);
                saved[2 * g] = (uint8_t)(bits & 255), saved[2 * g + 1] = (uint8_t)(bits >> 8 & 255);
            }
            CHECK(memcmp(saved, records, t.row_size) == 0);
        }
}

/* NaN and infinity: the error names the place, rows before are written, that row and those after are not. */
static void test_not_finite_weights(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u };
    static const uint32_t place[][2] = { { 0, 0 }, { 1, 171 }, { 2, 64 } };
    uint32_t i, b, k, j;
    for (i = 0; i < NAMED; i++)
        for (b = 0; b < COUNT(bad); b++)
            for (k = 0; k < COUNT(place); k++) {
                llmq_tensor t = open_tensor(i, 64, 172, 4, b % 2 ? &rotate : NULL);
                uint32_t row = place[k][0], col = place[k][1];
                size_t need = llmq_encode_work_size(&t);
                llmq_error error;
                memset(&error, 0x55, sizeof error);
                normal_numbers(weights, 4 * 172, 1.0, 0.0);
                encode(&t, 0, 4, weights, 172, 0);
                memcpy(saved, records, sizeof saved); /* as it should be */
                memset(records, 0xee, sizeof records);
                weights[row * 172 + col] = float_of(bad[b]);
                CHECK_EQ(llmq_encode(&t, records, 1, 4, weights + 172, 172, NULL, workspace, need, &error),
                         row == 0 ? LLMQ_OK : LLMQ_E_NOT_FINITE);
                if (row) CHECK(error.row == row && error.col == col); /* row of W, not of the range */
                if (row)
                    CHECK_EQ(llmq_encode(&t, records, row, 4, weights + row * 172, 172, NULL, workspace, need, NULL),
                             LLMQ_E_NOT_FINITE);
                memset(records, 0xee, sizeof records);
                CHECK_EQ(llmq_encode(&t, records, 0, 4, weights, 172, NULL, workspace, need, &error),
                         LLMQ_E_NOT_FINITE);
                CHECK_EQ(error.status, LLMQ_E_NOT_FINITE);
                CHECK_EQ(error.row, row);
                CHECK_EQ(error.col, col);
                CHECK(memcmp(saved, records, row * t.row_size) == 0);
                for (j = (uint32_t)(row * t.row_size); j < 4 * t.row_size; j++)
                    if (records[j] != 0xee) break;
                CHECK_EQ(j, (long)(4 * t.row_size));
            }
}

/* ---- options, ranges, appending -------------------------------------------------------------- */

/* Error of 24 rows at this effort, relative; adds up over rows of normal numbers. */
static double effort_error(uint32_t format, uint32_t group, int effort)
{
    llmq_tensor t = open_tensor(format, group, 256, 1, NULL);
    double lost = 0.0, power = 0.0;
    uint32_t r;
    check_seed(99);
    for (r = 0; r < 24; r++) {
        normal_numbers(weights, 256, 1.0, 0.0);
        encode(&t, 0, 1, weights, 256, effort);
        CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
        lost += error_energy(weights, decoded, 256);
        power += energy(weights, 256);
    }
    return lost / power;
}

/* More effort is no worse (0.1 %: which trial seems best is decided before scales are rounded)
   and, for scalar grids in short groups, clearly better: for g4 at group 64 the header says 20 %
   from search, of which half is asked for here, and 3 % from the longer patience, 2 % here;
   steps half as long gain 6 % with g6, 2 % here. The rows are the same for all. */
static void test_efforts(void)
{
    uint32_t i;
    for (i = 3; i < NAMED; i++) {
        double fast = effort_error(i, 64, LLMQ_EFFORT_FAST), normal = effort_error(i, 64, LLMQ_EFFORT_DEFAULT);
        double best = effort_error(i, 64, LLMQ_EFFORT_BEST);
        CHECK(best <= normal * 1.001);
        CHECK(normal <= fast * 1.001);
        CHECK(fast <= named[i].mse * 1.2); /* and it is an encoder all the same; 6144 numbers: 4 deviations are 7 % */
        if (i == 5) CHECK(normal <= fast * 0.9);
        if (i == 5) CHECK(normal <= best * 1.02);
        if (i == 7) CHECK(best <= normal * 0.98);
    }
}

/* The least error that any scale gives for one group: all from a quarter of rms / unit to twice, in steps of 1/2 %. */
static double least_error(const llmq_format *f, const float *x, uint32_t n)
{
    double power = energy(x, n), most = 0.0, scale, unit = check_sqrt(power / n) / (double)f->unit;
    for (scale = 0.25 * unit; scale < 2.0 * unit; scale *= 1.005) {
        double fit = 0.0, points = 0.0;
        float y[8];
        uint32_t i, k;
        for (i = 0; i < n; i += f->p) {
            const int8_t *c;
            for (k = 0; k < f->p; k++) y[k] = x[i + k] * (float)(1.0 / scale);
            c = f->points + try_all(f->points, f->n, f->p, f->p, y) * f->p;
            for (k = 0; k < f->p; k++) fit += (double)x[i + k] * c[k], points += (double)c[k] * c[k];
        }
        if (fit * fit > most * points) most = fit * fit / points;
    }
    return power - most;
}

/* BEST comes within 1 % of the best of all scales, and no encoder can be better than that.
   (bfloat16 costs 2^-16 of the energy at most, 0.2 % of g4's error, and the codes are chosen
   once more for the rounded scale, which may gain some.) */
static void test_best(void)
{
    static const uint32_t format[] = { 3, 5, 9 };
    uint32_t i, r, g;
    for (i = 0; i < COUNT(format); i++) {
        llmq_tensor t = open_tensor(format[i], 64, 256, 1, NULL);
        double lost = 0.0, bound = 0.0;
        for (r = 0; r < 8; r++) {
            normal_numbers(weights, 256, 1.0, 0.0);
            encode(&t, 0, 1, weights, 256, LLMQ_EFFORT_BEST);
            CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
            lost += error_energy(weights, decoded, 256);
            for (g = 0; g < 256; g += 64) bound += least_error(&t.format, weights + g, 64);
        }
        CHECK(lost <= bound * 1.01);
        CHECK(lost >= bound * 0.999);
    }
}

/* Rows in any ranges and with any stride give the same records; rows outside of the range are untouched. */
static void test_ranges_and_append(void)
{
    uint32_t i, r, j, cols = 100, stride = 117;
    for (i = 0; i < FORMATS - 1; i++) {
        llmq_tensor t = open_tensor(i, 64, cols, 5, i % 2 ? &rotate : NULL), grown;
        size_t need = llmq_encode_work_size(&t), size = 5 * t.row_size;
        normal_numbers(weights, 5 * stride, 1.0, 0.0);
        encode(&t, 0, 5, weights, stride, 0);
        memcpy(saved, records, size);
        memset(records, 0xee, sizeof records);
        encode(&t, 2, 4, weights, stride, 0);
        for (j = 0; j < 2 * t.row_size; j++)
            if (records[j] != 0xee || records[4 * t.row_size + j] != 0xee) break;
        CHECK_EQ(j, (long)(2 * t.row_size));
        encode(&t, 4, 5, weights, stride, 0);
        encode(&t, 2, 2, weights, stride, 0); /* no rows */
        encode(&t, 0, 2, weights, stride, 0);
        CHECK(memcmp(saved, records, size) == 0);
        memset(records, 0xee, sizeof records);
        CHECK_EQ(llmq_tensor_init(&grown, &t.format, &t.transform, 0, cols, records, size), LLMQ_OK);
        for (r = 0; r < 5; r++) {
            CHECK_EQ(llmq_tensor_append(&grown, records, size, weights + r * stride, NULL, workspace, need - 1),
                     LLMQ_E_WORKSPACE);
            CHECK_EQ(grown.rows, r);
            CHECK_EQ(llmq_tensor_append(&grown, records, size, weights + r * stride, NULL, workspace, need), LLMQ_OK);
            CHECK_EQ(grown.rows, r + 1);
            CHECK(memcmp(saved, records, (r + 1) * t.row_size) == 0 && records[(r + 1) * t.row_size] == 0xee);
        }
        CHECK_EQ(llmq_tensor_append(&grown, records, size, weights, NULL, workspace, need), LLMQ_E_FULL);
        CHECK_EQ(llmq_tensor_append(&grown, records, size + t.row_size - 1, weights, NULL, workspace, need),
                 LLMQ_E_FULL);
        CHECK_EQ(grown.rows, 5);
        CHECK_EQ(records[size], 0xee);
    }
}

static void test_append_errors(void)
{
    llmq_tensor t = open_tensor(5, 64, 100, 1, NULL);
    size_t need = llmq_encode_work_size(&t), size = 4 * t.row_size;
    uint8_t *copy = saved;
    memset(records, 0xee, size);
    check_at("llmq_tensor_append");
    normal_numbers(weights, 100, 1.0, 0.0);
    CHECK_EQ(llmq_tensor_append(NULL, records, size, weights, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_append(&t, NULL, size, weights, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_append(&t, copy, size, weights, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_append(&t, records, size, NULL, NULL, workspace, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_append(&t, records, size, weights, NULL, NULL, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_tensor_append(&t, records, t.row_size, weights, NULL, workspace, need), LLMQ_E_FULL);
    CHECK_EQ(llmq_tensor_append(&t, records, 0, weights, NULL, workspace, need), LLMQ_E_FULL);
    weights[99] = float_of(0x7fc00000u);
    CHECK_EQ(llmq_tensor_append(&t, records, size, weights, NULL, workspace, need), LLMQ_E_NOT_FINITE);
    CHECK_EQ(t.rows, 1);
    CHECK(records[t.row_size] == 0xee && records[size - 1] == 0xee);
}

typedef struct progress_log {
    uint32_t calls, total, stop_at;
    int wrong;
} progress_log;

static int log_progress(void *context, uint32_t done, uint32_t total)
{
    progress_log *log = (progress_log *)context;
    log->calls++;
    if (done != log->calls || total != log->total) log->wrong = 1;
    return done == log->stop_at;
}

/* Called once a row, with rows done of the call; to stop leaves the rows done, and no others. */
static void test_progress(void)
{
    llmq_tensor t = open_tensor(5, 64, 100, 6, NULL);
    size_t need = llmq_encode_work_size(&t), j;
    llmq_encode_options options;
    progress_log log;
    check_at("progress");
    memset(&options, 0, sizeof options);
    options.progress = log_progress;
    options.context = &log;
    normal_numbers(weights, 600, 1.0, 0.0);
    encode(&t, 0, 6, weights, 100, 0);
    memcpy(saved, records, 6 * t.row_size);
    memset(&log, 0, sizeof log);
    log.total = 5;
    CHECK_EQ(llmq_encode(&t, records, 1, 6, weights + 100, 100, &options, workspace, need, NULL), LLMQ_OK);
    CHECK(log.calls == 5 && !log.wrong);
    log.calls = 0;
    log.stop_at = 2;
    memset(records, 0xee, sizeof records);
    CHECK_EQ(llmq_encode(&t, records, 1, 6, weights + 100, 100, &options, workspace, need, NULL), LLMQ_E_STOPPED);
    CHECK(log.calls == 2 && !log.wrong);
    CHECK(memcmp(saved + t.row_size, records + t.row_size, 2 * t.row_size) == 0);
    for (j = 0; j < 3 * t.row_size; j++)
        if (records[3 * t.row_size + j] != 0xee || (j < t.row_size && records[j] != 0xee)) break;
    CHECK_EQ((long)j, (long)(3 * t.row_size));
}

static void test_encode_errors(void)
{
    llmq_tensor t = open_tensor(5, 64, 100, 2, &rotate), bad = t;
    llmq_encode_options options;
    size_t need = llmq_encode_work_size(&t), j, size = 2 * t.row_size;
    check_at("llmq_encode");
    memset(&options, 0, sizeof options);
    memset(records, 0xee, sizeof records);
    normal_numbers(weights, 200, 1.0, 0.0);
    CHECK_EQ(llmq_encode(NULL, records, 0, 2, weights, 100, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, NULL, 0, 2, weights, 100, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, saved, 0, 2, weights, 100, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 0, 2, NULL, 100, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 0, 3, weights, 100, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 2, 1, weights, 100, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 99, NULL, workspace, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 100, NULL, NULL, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 100, NULL, (uint8_t *)workspace + 1, need, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 100, NULL, workspace, need - 1, NULL), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 100, NULL, workspace, 0, NULL), LLMQ_E_WORKSPACE);
    options.effort = 3;
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 100, &options, workspace, need, NULL), LLMQ_E_ARG);
    options.effort = -1;
    CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, 100, &options, workspace, need, NULL), LLMQ_E_ARG);
    for (j = 0; j < size; j++)
        if (records[j] != 0xee) break;
    CHECK_EQ((long)j, (long)size);
    CHECK_EQ((long)llmq_encode_work_size(NULL), 0);
    bad.cols = 0;
    CHECK_EQ((long)llmq_encode_work_size(&bad), 0);
    bad.cols = LLMQ_MAX_COLS + 1;
    CHECK_EQ((long)llmq_encode_work_size(&bad), 0);
}

/* ---- distributions --------------------------------------------------------------------------- */

enum { GAUSS, STUDENT, BIASED, SPIKED, SOURCES };

/* A row of 1024 numbers: N(0,1); Student's t with 4 degrees of freedom; N(1,1); N(0,1) with one number of 20. */
static void source_row(int source, float *w)
{
    uint32_t j;
    for (j = 0; j < 1024; j++) {
        double x = check_normal();
        /* chi-square of 4, over 4 */
        if (source == STUDENT) x /= check_sqrt((check_exponential() + check_exponential()) / 2.0);
        w[j] = (float)(x + (source == BIASED ? 1.0 : 0.0));
    }
    if (source == SPIKED) w[check_below(1024)] = 20.0f;
}

/* Relative error of some formats on the same rows, with one scale a row. */
static void source_errors(int source, uint32_t rows, const uint32_t *format, uint32_t formats, double *error)
{
    double power = 0.0;
    uint32_t r, i;
    for (i = 0; i < formats; i++) error[i] = 0.0;
    for (r = 0; r < rows; r++) {
        source_row(source, weights);
        power += energy(weights, 1024);
        for (i = 0; i < formats; i++) {
            llmq_tensor t = open_tensor(format[i], 1024, 1024, 1, source == GAUSS ? NULL : &rotate);
            encode(&t, 0, 1, weights, 1024, source == GAUSS ? LLMQ_EFFORT_DEFAULT : LLMQ_EFFORT_FAST);
            CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
            error[i] += error_energy(weights, decoded, 1024);
        }
    }
    for (i = 0; i < formats; i++) error[i] /= power;
}

/* The header's figures, for normal numbers and one scale a row. 48 rows know the error to 1.41 /
   222 = 0.6 %, and the figures are rounded by up to 0.8 %: 3 % above is four deviations. No code
   of `bits` a vector of p (and a scale of 16 bits a row, 1/64 bit a number) can be better than
   2^(-2 bits / p) of the energy. 256 rows of other sources, rotated, are no worse than 3 %: 0.3
   % of noise and what rotations leave of the source. With the least effort: more is no worse. */
static void test_distributions(void)
{
    static const uint32_t all[] = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 }, some[] = { 3, 4, 5, 9 };
    double error[COUNT(all)];
    uint32_t i;
    int source;
    source_errors(GAUSS, 48, all, COUNT(all), error);
    for (i = 0; i < COUNT(all); i++) {
        double mse = named[all[i]].mse;
        check_at("%s, normal numbers: relative error %.5g, for %.5g", named[all[i]].name, error[i], mse);
        CHECK(error[i] <= mse * 1.03);
        CHECK(error[i] >= 0.97 / (double)(1u << 2 * named[all[i]].bits / named[all[i]].p));
    }
    for (source = STUDENT; source < SOURCES; source++) {
        source_errors(source, 256, some, COUNT(some), error);
        for (i = 0; i < COUNT(some); i++) {
            double mse = named[some[i]].mse;
            check_at("%s, source %d: relative error %.5g, for %.5g", named[some[i]].name, source, error[i], mse);
            CHECK(error[i] <= mse * 1.03);
        }
    }
}

/* ---- long rows ------------------------------------------------------------------------------- */

#define LONG 140000u

static float long_row[LONG], long_input[LONG], long_output[LONG], long_memory[LONG + LONG / 4 + LONG / 96 + 8];
static uint8_t long_record[LONG];

/* Float and int8 products with a long row against double arithmetic. Float: a lane of the whole
   row is 8,750 additions, 8,750 * 2^-24 = 5.2e-4 of the sum of magnitudes if all are rounded one
   way; they are not, and the sum of magnitudes is below |w| |x|, so 1e-4 of that. int8: the x'
   of groups of 96 or 128 are off by up to half of max|x'| / 127, evenly, 0.7 % of |x'| (max = 3
   deviations), in random directions: sqrt(140,000) times less than |w| |x| in a sum, 1e-4 is
   over five deviations. */
static void check_long_products(const llmq_tensor *t)
{
    double exact = 0.0, size = check_sqrt(energy(long_output, LONG)) * check_sqrt(energy(long_input, LONG));
    llmq_activation a;
    uint32_t j, bits;
    float y = 0.0f;
    for (j = 0; j < LONG; j++) exact += (double)long_output[j] * (double)long_input[j];
    for (bits = 8; bits <= 32; bits += 24) {
        CHECK_EQ(llmq_activation_prepare(&a, t, bits, long_input, long_memory, sizeof long_memory), LLMQ_OK);
        CHECK_EQ(llmq_matvec(t, &a, 0, 1, &y), LLMQ_OK);
        CHECK(check_abs((double)y - exact) <= 1e-4 * size);
    }
}

static void test_long_rows(void)
{
    static const uint32_t format[] = { 5, 13 }, group[] = { 0, 96 };
    static const int8_t sign[2] = { -127, 127 };
    llmq_format f;
    llmq_tensor t;
    uint32_t i, j;
    check_at("140,000 columns, sum of squares over 2^31");
    CHECK_EQ(llmq_format_custom(&f, 1, 2, sign, 127.0f, 0), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, LONG, long_record, sizeof long_record), LLMQ_OK);
    for (j = 0; j < LONG; j++) long_row[j] = check_below(2) ? 1.0f : -1.0f;
    CHECK_EQ(llmq_encode(&t, long_record, 0, 1, long_row, LONG, NULL, workspace, sizeof workspace, NULL), LLMQ_OK);
    CHECK_EQ(llmq_tensor_decode(&t, 0, long_output, NULL, 0), LLMQ_OK);
    CHECK(error_energy(long_row, long_output, LONG) <= LONG / 65536.0); /* the scale is rounded, relative 2^-8 */
    for (j = 0; j < LONG; j++) long_input[j] = (float)(check_normal() + 0.3);
    for (i = 0; i < COUNT(format); i++) {
        f = get_format(format[i], group[i]);
        check_at("140,000 columns, %s", f.name);
        CHECK_EQ(llmq_tensor_init(&t, &f, &rotate, 1, LONG, long_record, sizeof long_record), LLMQ_OK);
        normal_numbers(long_row, LONG, 1.0, 0.0);
        CHECK_EQ(llmq_encode(&t, long_record, 0, 1, long_row, LONG, NULL, workspace, sizeof workspace, NULL), LLMQ_OK);
        CHECK_EQ(llmq_tensor_decode(&t, 0, long_output, workspace, sizeof workspace), LLMQ_OK);
        CHECK(error_energy(long_row, long_output, LONG) <= 1.03 * named[format[i]].mse * energy(long_row, LONG));
        check_long_products(&t);
    }
}

/* ---- the grid trainer ------------------------------------------------------------------------ */

static int8_t trained[2][1024];
static float train_work[2][4096];

static llmq_grid_options grid_options(uint32_t p, uint32_t n, uint32_t group, uint32_t seed, uint32_t samples,
                                      uint32_t steps)
{
    llmq_grid_options o;
    memset(&o, 0, sizeof o);
    o.p = p, o.n = n, o.group = group, o.seed = seed, o.samples = samples, o.steps = steps;
    return o;
}

static void train(llmq_format *f, uint32_t p, uint32_t n, uint32_t seed, uint32_t samples, uint32_t steps, int which)
{
    size_t size = llmq_grid_size(p, n), need = llmq_grid_train_work_size(p, n);
    llmq_grid_options o = grid_options(p, n, 64, seed, samples, steps);
    int8_t *points = trained[which];
    void *work = train_work[which];
    check_at("grid p %lu, n %lu", (unsigned long)p, (unsigned long)n);
    CHECK(size > 0 && size <= sizeof trained[0] - 1 && need > 0 && need <= sizeof train_work[0] - 4);
    points[size] = 0x5a;
    ((unsigned char *)work)[need] = 0x5a;
    CHECK_EQ(llmq_grid_train(f, &o, points, size, work, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_grid_train(f, &o, points, size - 1, work, need), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_grid_train(f, &o, points, size, work, need), LLMQ_OK);
    CHECK(points[size] == 0x5a && ((unsigned char *)work)[need] == 0x5a);
}

/* Mean squared error, a coordinate, of fresh normal vectors. */
static double grid_error(const llmq_format *f, uint32_t samples)
{
    double lost = 0.0;
    uint32_t i, k;
    for (i = 0; i < samples; i++) {
        float x[8];
        const int8_t *c;
        for (k = 0; k < f->p; k++) x[k] = (float)(check_normal() * (double)f->unit);
        c = f->points + try_all(f->points, f->n, f->p, f->p, x) * f->p;
        for (k = 0; k < f->p; k++) lost += ((double)x[k] - c[k]) * ((double)x[k] - c[k]);
    }
    return lost / ((double)samples * f->p * (double)f->unit * (double)f->unit);
}

/* The built-in grids at their units have the header's figures: 25,000 p numbers know them to 0.9
   %, 0.6 % if p > 1, and figures are rounded by up to 0.8 %: 3 %. Whole coordinates cost g6
   another 2.7 %. Of g8's error a tenth is due to 2 or 3 of the 25,000 numbers, those beyond 127
   units: 40 %. */
static void test_builtin_grids(void)
{
    uint32_t i;
    for (i = 3; i < NAMED; i++) {
        llmq_format f = get_format(i, 32);
        double error = grid_error(&f, 25000);
        check_at("grid %s: error %.5g, for %.5g", f.name, error, named[i].mse);
        CHECK(check_abs(error / named[i].mse - 1.0) <= (i == 8 ? 0.4 : i == 7 ? 0.06 : 0.03));
    }
}

/* Grids near the optimum, from any seed and with the default number of steps: 2 % above it for scalar ones, where there
   is but one optimum; in the plane there are some that are worse (4 % has room for those that were seen, 1.0355).
   2^16 fresh samples know the error to 1.41 / 256 = 0.55 %; whole coordinates cost 0.1 % at 3 bits. */
static void test_training(void)
{
    /* J. Max, Quantizing for minimum distortion, 1960, table I, N = 8 */
    static const double max_points[4] = { 0.2451, 0.7560, 1.344, 2.152 };
    llmq_format f;
    uint32_t k, seed;
    for (seed = 1; seed < 4; seed++) {
        train(&f, 2, 16, seed, 6000, 0, 0);
        CHECK(grid_error(&f, 1 << 16) <= 0.1075 * (seed == 1 ? 1.02 : 1.04));
    }
    for (seed = 1; seed < 7; seed++) {
        double error;
        train(&f, 1, 8, seed, 5000, 0, 0);
        error = grid_error(&f, 1 << 16);
        check_at("grid p 1, n 8, seed %lu: error %.4g, for 0.03455", (unsigned long)seed, error);
        CHECK(error <= 0.03455 * 1.02);
    }
    /* The points themselves, of opposite ones the mean, as the grid as a whole follows the
       samples' mean. A step's samples know the mean of the outermost cell to 0.3 / sqrt(10,000 *
       4 %) = 0.015; whole coordinates are half a unit off. */
    train(&f, 1, 8, 1, 10000, 120, 0);
    for (k = 0; k < 4; k++) {
        double point = ((double)trained[0][4 + k] - (double)trained[0][3 - k]) / 2.0 / (double)f.unit;
        CHECK(check_abs(point - max_points[k]) <= 0.02 + 0.5 / (double)f.unit);
    }
}

/* 0 stands for 60 steps, and for 256 n samples but at least 65,536. */
static void test_training_defaults(void)
{
    llmq_format f;
    train(&f, 2, 16, 3, 500, 0, 0);
    train(&f, 2, 16, 3, 500, 60, 1);
    CHECK(memcmp(trained[0], trained[1], llmq_grid_size(2, 16)) == 0);
    train(&f, 2, 16, 3, 0, 2, 0);
    train(&f, 2, 16, 3, 65536, 2, 1);
    CHECK(memcmp(trained[0], trained[1], llmq_grid_size(2, 16)) == 0);
    train(&f, 1, 300, 3, 0, 1, 0);
    train(&f, 1, 300, 3, 256 * 300, 1, 1);
    CHECK(memcmp(trained[0], trained[1], llmq_grid_size(1, 300)) == 0);
}

/* Other shapes; the same seed gives the same bytes, another does not; sorted, spare codes copies, all of int8 used. */
static void test_training_shapes(void)
{
    static const uint32_t shape[][2] = { { 1, 2 }, { 5, 100 }, { 8, 3 }, { 3, 65 }, { 7, 33 } };
    llmq_format f, g;
    uint32_t i, k;
    for (i = 0; i < COUNT(shape); i++) {
        uint32_t p = shape[i][0], n = shape[i][1];
        size_t size = llmq_grid_size(p, n);
        int most = 0;
        train(&f, p, n, 7, 4000, 10, 0);
        memset(trained[1], 0x33, sizeof trained[1]);
        memset(train_work[1], 0xee, sizeof train_work[1]); /* what it held does not matter */
        train(&g, p, n, 7, 4000, 10, 1);
        CHECK(memcmp(trained[0], trained[1], size) == 0 && bits_of(f.unit) == bits_of(g.unit));
        train(&g, p, n, 8, 4000, 2, 1);
        CHECK(n == 2 || memcmp(trained[0], trained[1], size) != 0); /* two points are -127 and 127, or nearly */
        CHECK(f.p == p && f.n == n && f.group == 64 && f.id == LLMQ_FORMAT_CUSTOM && f.points == trained[0]);
        for (k = 1; k < n && trained[0][(k - 1) * p] <= trained[0][k * p]; k++) {}
        CHECK_EQ(k, n);
        for (k = 0; k < size; k++) {
            int v = trained[0][k] < 0 ? -trained[0][k] : trained[0][k];
            if (k >= n * p && trained[0][k] != trained[0][(n - 1) * p + k % p]) break;
            if (v > most) most = v;
        }
        CHECK_EQ(k, (long)size);
        CHECK_EQ(most, 127);
        CHECK(grid_error(&f, 4000) < 0.97); /* some use, even three points in eight dimensions */
    }
}

static void test_training_errors(void)
{
    llmq_format f, before;
    progress_log log;
    size_t size = llmq_grid_size(2, 16), need = llmq_grid_train_work_size(2, 16), j;
    llmq_grid_options o = grid_options(2, 16, 64, 1, 100, 2);
    int8_t *points = trained[0];
    float *work = train_work[0];
    memset(&f, 0x55, sizeof f);
    before = f;
    memset(points, 0x5a, sizeof trained[0]);
    check_at("llmq_grid_train");
    CHECK_EQ((long)size, 32);
    CHECK_EQ((long)llmq_grid_size(5, 100), 5 * 128);
    CHECK_EQ((long)llmq_grid_size(8, 65536), 8 * 65536L);
    CHECK(llmq_grid_size(0, 16) == 0 && llmq_grid_size(9, 16) == 0 && llmq_grid_size(2, 1) == 0
          && llmq_grid_size(2, 65537) == 0);
    CHECK(llmq_grid_train_work_size(0, 16) == 0 && llmq_grid_train_work_size(9, 16) == 0);
    CHECK(llmq_grid_train_work_size(2, 1) == 0 && llmq_grid_train_work_size(2, 65537) == 0);
    CHECK_EQ(llmq_grid_train(NULL, &o, points, size, work, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_grid_train(&f, NULL, points, size, work, need), LLMQ_E_ARG);
    o = grid_options(0, 16, 64, 1, 100, 2);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_E_ARG);
    o = grid_options(9, 16, 64, 1, 100, 2);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_E_ARG);
    o = grid_options(2, 1, 64, 1, 100, 2);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_E_ARG);
    o = grid_options(2, 65537, 64, 1, 100, 2);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_E_ARG);
    o = grid_options(2, 16, 65, 1, 100, 2);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_E_ARG);
    o = grid_options(2, 16, 64, 1, 100, 2);
    CHECK_EQ(llmq_grid_train(&f, &o, NULL, size, work, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, NULL, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, (uint8_t *)work + 2, need), LLMQ_E_ARG);
    memset(&log, 0, sizeof log);
    log.total = 5;
    log.stop_at = 3;
    o.steps = 5;
    o.progress = log_progress;
    o.context = &log;
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_E_STOPPED);
    CHECK(log.calls == 3 && !log.wrong);
    for (j = 0; j < sizeof trained[0] && points[j] == 0x5a; j++) {}
    CHECK_EQ((long)j, (long)sizeof trained[0]);
    CHECK(memcmp(&f, &before, sizeof f) == 0);
    log.calls = 0;
    log.stop_at = 0;
    CHECK_EQ(llmq_grid_train(&f, &o, points, size, work, need), LLMQ_OK);
    CHECK(log.calls == 5 && !log.wrong);
}

int main(void)
{
    rotate = llmq_transform_hadamard(5, 0);
    make_custom_grids();
    test_formats();
    test_format_errors();
    test_vectors();
    test_records();
    test_wild_records();
    test_matmul();
    test_walls();
    test_not_finite();
    test_extreme_activations();
    test_size_errors();
    test_init_errors();
    test_decode_errors();
    test_prepare_errors();
    test_product_errors();
    test_encoder();
    test_nearest();
    test_unusual_rows();
    test_zero_rows();
    test_raw_bits();
    test_one_sided_grid();
    test_mixed_groups();
    test_limits_of_scale();
    test_scale_invariance();
    test_not_finite_weights();
    test_efforts();
    test_best();
    test_ranges_and_append();
    test_append_errors();
    test_progress();
    test_encode_errors();
    test_distributions();
    test_long_rows();
    test_builtin_grids();
    test_training();
    test_training_defaults();
    test_training_shapes();
    test_training_errors();
    return check_done("test_tensor");
}
