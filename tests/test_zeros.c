/* test_zeros - u4, u8 and one of six bits: formats with a zero point for each group, sections 5 to 9, 11 and
   18 of llmq.h

       cc -O2 -o test_zeros tests/test_zeros.c && ./test_zeros

   Everything is compared with a second implementation, in this file, of what the header says: in
   double arithmetic, or in floats in the order that it states where it promises bits. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "exact.h"
#include "suite.h"

#define MAX_COLS 2400u
#define MAX_ROWS 9u
#define UNTOUCHED 0x3f3f3f3fu /* a float to which nothing can be added unnoticed */
#define MAX_COUNT 17u /* activations: two batches of eight and one */

enum { U4, U8, SIX_BITS };
static const struct { const char *name; uint32_t id, bits, first, last; double mse; } form[] = {
    { "u4", 50, 4, 0, 15, 0.01154 }, { "u8", 52, 8, 1, 255, 8.8e-5 },
    { "six bits", LLMQ_FORMAT_CUSTOM, 6, 0, 63, 0.00104 } /* made by hand, for codes of two planes */
};
#define BUILTIN SIX_BITS
static const uint32_t all_cols[] = { 1, 2, 3, 5, 31, 32, 33, 44, 63, 64, 65, 100, 127, 128, 129, 172, 255, 256, 257,
                                     576, 1000, 1024, 1025, 1300 };
static const uint32_t all_groups[] = { 32, 64, 96, 128, 1024, 0 };

static float workspace[1 << 15], weights[MAX_ROWS * MAX_COLS], stored[MAX_COLS], decoded[MAX_COLS], expected[MAX_COLS];
static float input[MAX_COUNT * MAX_COLS], memory[2][MAX_COUNT * (2 * MAX_COLS + 64)];
static float product[MAX_COUNT * (MAX_ROWS + 3)], again[MAX_COUNT * (MAX_ROWS + 3)];
static uint8_t records[MAX_ROWS * 2 * MAX_COLS], saved[MAX_ROWS * 2 * MAX_COLS];
static llmq_transform rotate;

static int finite_bits(uint32_t u) { return (u & 0x7f800000u) != 0x7f800000u; }

static llmq_format get_format(uint32_t i, uint32_t group)
{
    llmq_format f = format_of(i < BUILTIN ? form[i].name : "u8", group);
    if (i < BUILTIN) return f;
    f.name = form[i].name;
    f.id = (uint16_t)form[i].id;
    f.bits = 6;
    f.n = 64;
    f.points += 128 - 32;
    f.unit = 10.5f;
    return f;
}

/* ---- a second reading of section 6 ----------------------------------------------------------- */

static struct {
    uint32_t group, groups, scales; /* columns a group; groups; bytes of scales */
    int32_t code[MAX_COLS];
    float scale[MAX_COLS];          /* of groups, as is zero */
    int32_t zero[MAX_COLS];
} ref;

static uint32_t plane_bytes(uint32_t codes, uint32_t bits)
{
    return bits == 6 ? up(codes, 2) + up(codes, 4) : up(codes * bits, 8);
}

static size_t reference_size(uint32_t format, uint32_t group, uint32_t cols)
{
    uint32_t groups = up(cols, group ? group : cols);
    return 3 * (size_t)groups + (size_t)(cols / 128) * 16 * form[format].bits
           + plane_bytes(cols % 128, form[format].bits);
}

/* Fills ref from a record. A unit of 128 codes: u8 a byte each, 0 as if it was 1; u4 a plane of
   4 bits; six bits one of 4 and then one of 2 bits. */
static void read_record(uint32_t format, uint32_t group, uint32_t cols, const uint8_t *record)
{
    uint32_t k, bits = form[format].bits, i;
    const uint8_t *last = record + reference_size(format, group, cols);
    ref.group = group ? group : cols;
    ref.groups = up(cols, ref.group);
    ref.scales = 2 * ref.groups;
    for (i = 0; i < ref.groups; i++) {
        ref.scale[i] = float_of((uint32_t)record[2 * i] << 16 | (uint32_t)record[2 * i + 1] << 24);
        ref.zero[i] = last[(int)i - (int)ref.groups];
    }
    for (k = 0; k < cols; k++) {
        const uint8_t *unit = record + ref.scales + (size_t)(k / 128) * 16 * bits;
        uint32_t room = least(128, cols - k / 128 * 128), in = k % 128, half = up(room, 2), quarter = up(room, 4);
        if (bits == 8) {
            ref.code[k] = unit[in] ? unit[in] : 1;
            continue;
        }
        ref.code[k] = unit[in % half] >> 4 * (in / half) & 15;
        if (bits == 6) ref.code[k] |= (unit[half + in % quarter] >> 2 * (in / quarter) & 3) << 4;
    }
}

/* The record that ref was read from: codes are written bit by bit. */
static void write_record(uint32_t format, uint32_t cols, uint8_t *record)
{
    uint32_t k, bits = form[format].bits, i;
    size_t size = reference_size(format, ref.group, cols);
    memset(record, 0, size);
    for (i = 0; i < ref.groups; i++) {
        record[2 * i] = (uint8_t)(bits_of(ref.scale[i]) >> 16 & 255);
        record[2 * i + 1] = (uint8_t)(bits_of(ref.scale[i]) >> 24);
        record[size - ref.groups + i] = (uint8_t)ref.zero[i];
    }
    for (k = 0; k < cols; k++) {
        uint8_t *unit = record + ref.scales + (size_t)(k / 128) * 16 * bits;
        uint32_t room = least(128, cols - k / 128 * 128), in = k % 128, half = up(room, 2), quarter = up(room, 4),
            c = (uint32_t)ref.code[k];
        if (bits == 8) unit[in] = (uint8_t)c;
        if (bits != 8) unit[in % half] = (uint8_t)(unit[in % half] | (c & 15) << 4 * (in / half));
        if (bits == 6)
            unit[half + in % quarter] = (uint8_t)(unit[half + in % quarter] | (c >> 4) << 2 * (in / quarter));
    }
}

/* Do the two halves of the second reading agree? */
static void check_writing(uint32_t format, uint32_t cols)
{
    static int32_t code[MAX_COLS];
    uint32_t group = ref.group == cols ? 0 : ref.group;
    memcpy(code, ref.code, sizeof code);
    write_record(format, cols, saved);
    read_record(format, group, cols, saved);
    CHECK(memcmp(code, ref.code, cols * sizeof *code) == 0);
}

/* Random bits, but for scales: moderate, of both signs, some 0. wild: those as they fall, too. Zeros: any byte. */
static void random_record(uint32_t format, uint32_t group, uint32_t cols, uint8_t *record, int wild)
{
    size_t size = reference_size(format, group, cols), i;
    uint32_t groups = up(cols, group ? group : cols), bits;
    for (i = 0; i < size; i++) record[i] = (uint8_t)check_below(256);
    for (i = 0; i < groups && !wild; i++) {
        bits = (119u + check_below(12)) << 7 | check_below(128) | (check_below(8) ? 0 : 0x8000u);
        if (check_below(20) == 0) bits = 0;
        record[2 * i] = (uint8_t)(bits & 255);
        record[2 * i + 1] = (uint8_t)(bits >> 8);
    }
}

/* number = scale * (code - zero): at most 8 bits by 9, so a float holds it */
static float reference_number(uint32_t j)
{
    return ref.scale[j / ref.group] * (float)(ref.code[j] - ref.zero[j / ref.group]);
}

/* Rows at `records`, in memory that is exactly enough. */
static llmq_tensor open_tensor(uint32_t format, uint32_t group, uint32_t cols, uint32_t rows,
                               const llmq_transform *transform)
{
    llmq_format f = get_format(format, group);
    llmq_tensor t;
    size_t size = reference_size(format, group, cols);
    check_at("%s, group %lu, %lu cols%s", f.name, (unsigned long)group, (unsigned long)cols,
             transform ? ", rotated" : "");
    memset(&t, 0, sizeof t);
    CHECK_EQ((long)llmq_row_size(&f, cols), (long)size);
    CHECK_EQ((long)llmq_tensor_size(&f, rows, cols), (long)(size * rows));
    if (rows) CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, records, size * rows - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, records, size * rows), LLMQ_OK);
    CHECK(t.row_size == size && t.format.zero_points == 1);
    return t;
}

static uint32_t index_of(const llmq_tensor *t)
{
    return t->format.bits == 4 ? U4 : t->format.bits == 8 ? U8 : SIX_BITS;
}

static void read_row(const llmq_tensor *t, uint32_t r)
{
    read_record(index_of(t), t->format.group, t->cols, t->data + r * t->row_size);
}

/* ---- 4. Format ------------------------------------------------------------------------------- */

static void test_formats(void)
{
    static const int8_t points[8] = { -3, -2, -1, 0, 1, 2, 3, 4 };
    llmq_format f;
    uint32_t i, k, n, named = 0;
    for (n = 0; llmq_format_at(&f, n) == LLMQ_OK; n++) {
        check_at("format %s", f.name);
        for (i = 0; i < BUILTIN && strcmp(f.name, form[i].name) != 0; i++) continue;
        CHECK_EQ(f.zero_points, i < BUILTIN);
        if (i == BUILTIN) continue;
        named++;
        CHECK(f.id == form[i].id && f.bits == form[i].bits && f.p == 1 && f.n == (uint32_t)1 << f.bits
              && f.group == 128 && f.unit > 0.0f);
        for (k = 0; k < f.n; k++) /* code - 2^(b-1); code 0 of u8 is another 1 */
            if (f.points[k] != (int)(k < form[i].first ? form[i].first : k) - (1 << (f.bits - 1))) break;
        CHECK_EQ(k, f.n);
    }
    CHECK_EQ(named, BUILTIN);
    check_at("a custom format");
    memset(&f, 0xff, sizeof f);
    CHECK_EQ(llmq_format_custom(&f, 2, 4, points, 1.0f, 64), LLMQ_OK);
    CHECK_EQ(f.zero_points, 0);
    memset(&f, 0xff, sizeof f);
    CHECK_EQ(llmq_format_custom(&f, 1, 8, points, 1.0f, 64), LLMQ_OK);
    CHECK_EQ(f.zero_points, 0);
}

static void test_sizes(void)
{
    static const struct { uint32_t format, group, cols, size; } known[] = { /* scales, codes, zeros */
        { U4, 128, 128, 2 + 64 + 1 }, { U8, 32, 1, 2 + 1 + 1 }, { SIX_BITS, 32, 100, 8 + 50 + 25 + 4 },
        { U4, 0, 1025, 2 + 512 + 1 + 1 }, { SIX_BITS, 128, 129, 4 + 96 + 1 + 1 + 2 },
        { U8, 1024, 1025, 4 + 1025 + 2 }, { U4, 32, 33, 4 + 17 + 2 }, { U4, 64, 65, 4 + 33 + 2 }
    };
    llmq_format f;
    uint32_t i, g, c;
    for (i = 0; i < COUNT(known); i++) {
        f = get_format(known[i].format, known[i].group);
        CHECK_EQ((long)llmq_row_size(&f, known[i].cols), (long)known[i].size);
    }
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (c = 1; c <= MAX_COLS; c++) {
                f = get_format(i, all_groups[g]);
                CHECK_EQ((long)llmq_row_size(&f, c), (long)reference_size(i, all_groups[g], c));
            }
    f = get_format(U8, 0);
    CHECK_EQ((long)llmq_row_size(&f, LLMQ_MAX_COLS), (long)LLMQ_MAX_COLS + 3);
    CHECK_EQ((long)llmq_row_size(&f, LLMQ_MAX_COLS + 1), 0);
}

static void refuse(llmq_format f, const char *what)
{
    llmq_tensor t, before;
    memset(&t, 0x55, sizeof t);
    before = t;
    check_at("%s", what);
    CHECK_EQ((long)llmq_row_size(&f, 64), 0);
    CHECK_EQ((long)llmq_tensor_size(&f, 1, 64), 0);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, 64, records, sizeof records), LLMQ_E_ARG);
    CHECK(memcmp(&t, &before, sizeof t) == 0);
}

static void test_refused_formats(void)
{
    static int8_t points[1024];
    static const char *const raw[] = { "f32", "f16", "bf16" };
    llmq_format f = get_format(0, 64);
    size_t i;
    f.zero_points = 2, refuse(f, "zeros 2");
    f.zero_points = 0xffffffffu, refuse(f, "zeros of all ones");
    CHECK_EQ(llmq_format_custom(&f, 2, 16, points, 1.0f, 64), LLMQ_OK);
    f.zero_points = 1, refuse(f, "zeros of pairs");
    CHECK_EQ(llmq_format_custom(&f, 1, 512, points, 1.0f, 64), LLMQ_OK);
    f.zero_points = 1, refuse(f, "zeros of 9 bits");
    for (i = 0; i < COUNT(raw); i++) {
        CHECK_EQ(llmq_format_find(&f, raw[i], 0), LLMQ_OK);
        f.zero_points = 1, refuse(f, "zeros of raw numbers");
    }
    f = get_format(0, 64);
    f.group = 33, refuse(f, "group 33");
}

/* ---- 5. Tensor: decoding --------------------------------------------------------------------- */

static void check_decode(const llmq_tensor *t, uint32_t row)
{
    size_t need = llmq_transform_work_size(&t->transform, t->cols);
    unsigned char *after = (unsigned char *)workspace + need;
    uint32_t j;
    read_row(t, row);
    for (j = 0; j < t->cols; j++) expected[j] = reference_number(j);
    memset(after, 0x5a, 4);
    memset(decoded, UNTOUCHED & 255, sizeof decoded);
    if (need) CHECK_EQ(llmq_tensor_decode(t, row, decoded, workspace, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(bits_of(decoded[0]), UNTOUCHED);
    CHECK_EQ(llmq_tensor_decode(t, row, decoded, need ? workspace : NULL, need), LLMQ_OK);
    if (t->cols < MAX_COLS) CHECK_EQ(bits_of(decoded[t->cols]), UNTOUCHED);
    CHECK(after[0] == 0x5a && after[3] == 0x5a);
    if (t->transform.count == 0) {
        CHECK(same_numbers(decoded, expected, t->cols));
        return;
    }
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, expected, t->cols, workspace, need, NULL), LLMQ_OK);
    CHECK(error_energy(decoded, expected, t->cols) <= 1e-10 * energy(expected, t->cols));
}

/* The sum of weighted rows against double arithmetic. Points and zeros are summed apart, so
   errors are relative to both: a product by the scale, one by the weight, an addition for each
   row, and a last one. */
static void check_transposed(const llmq_tensor *t, uint32_t r0, uint32_t r1)
{
    static double sum[MAX_COLS], size[MAX_COLS];
    float weight[MAX_ROWS];
    double total = 0.0, half = (double)((uint32_t)1 << (t->format.bits - 1));
    uint32_t r, j, wrong = 0;
    normal_numbers(weight, t->rows, 1.0, 0.5);
    memset(sum, 0, sizeof sum);
    memset(size, 0, sizeof size);
    for (r = r0; r < r1; r++) {
        read_row(t, r);
        for (j = 0; j < t->cols; j++) {
            double s = (double)weight[r] * (double)ref.scale[j / ref.group];
            sum[j] += s * (ref.code[j] - ref.zero[j / ref.group]);
            size[j] += check_abs(s) * (check_abs(ref.code[j] - half) + check_abs(half - ref.zero[j / ref.group]));
        }
    }
    CHECK_EQ(llmq_matvec_transposed(t, weight, r0, r1, decoded, workspace,
                                    llmq_transform_work_size(&t->transform, t->cols)), LLMQ_OK);
    for (j = 0; j < t->cols; j++) {
        expected[j] = (float)sum[j];
        total += size[j] * size[j];
        wrong += check_abs((double)decoded[j] - sum[j]) > (3.0 + t->rows) * 1.001 / 16777216.0 * size[j];
    }
    if (t->transform.count == 0) {
        CHECK_EQ(wrong, 0);
        return;
    }
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, expected, t->cols, workspace, sizeof workspace,
                                  NULL), LLMQ_OK);
    CHECK(error_energy(expected, decoded, t->cols) <= 5e-6 * 5e-6 * total);
}

/* ---- 6. products ----------------------------------------------------------------------------- */

static const way ways[] = {
    { 8, -1, 0, 1.0f }, { 6, -1, 0, 1.0f }, { 4, -1, 0, 1.0f }, { 2, -1, 0, 1.0f }, { 32, -1, 0, 1.0f },
    { 8, 0, LLMQ_SCALES_TOKEN, 0.9f }, { 8, 1, LLMQ_SCALES_GROUP, 1.0f }, { 6, 1, LLMQ_SCALES_GROUP, 1.0f },
    { 4, 1, LLMQ_SCALES_GROUP, 1.0f },
    { 8, 1, LLMQ_SCALES_TOKEN, 0.9f }, { 8, 1, LLMQ_SCALES_BATCH, 1.0f }, { 6, 1, LLMQ_SCALES_BATCH, 0.8f }
};

/* count activations of the rows of input, into memory[place] */
static void prepare(llmq_activation *a, const llmq_tensor *t, const way *w, uint32_t count, uint32_t place)
{
    prepare_as(a, t, w, count, input, memory[place], sizeof memory[place]);
}

/* The int8 formula for codes q and the row in ref. */
static float formula_i8(const llmq_activation *a, const int8_t *q, uint32_t cols, int32_t half)
{
    float total = 0.0f;
    int32_t sum = 0;
    uint32_t j;
    for (j = 0; j < cols; j++) {
        sum += (ref.code[j] - half) * q[j];
        if (j + 1 < cols && (j + 1) % ref.group && (j + 1) % a->group) continue;
        total += (float)sum * (a->scale[j / a->group] * ref.scale[j / ref.group]);
        sum = 0;
    }
    return total;
}

static float lanes_sum(float *lane)
{
    uint32_t h, i;
    for (h = 8; h; h /= 2)
        for (i = 0; i < h; i++) lane[i] += lane[i + h];
    return lane[0];
}

/* The float formula; plain: of ones instead of points and scales, group g alone, which is X. */
static float formula_f32(const llmq_activation *a, uint32_t j0, uint32_t j1, int32_t half, int plain)
{
    float total = 0.0f, lane[16];
    uint32_t j;
    memset(lane, 0, sizeof lane);
    for (j = j0; j < j1; j++) {
        lane[j % ref.group % 16] += plain ? a->x[j] : a->x[j] * (float)(ref.code[j] - half);
        if (j + 1 < j1 && (j + 1) % ref.group) continue;
        total += plain ? lanes_sum(lane) : lanes_sum(lane) * ref.scale[j / ref.group];
        memset(lane, 0, sizeof lane);
    }
    return total;
}

/* X: the sum of x' in columns [j, end) */
static float formula_sum(const llmq_activation *a, uint32_t j, uint32_t end)
{
    float total = 0.0f;
    int32_t sum = 0;
    if (!a->q) return formula_f32(a, j, end, 0, 1);
    for (; j < end; j++) {
        sum += code_of(a, j);
        if (j + 1 < end && (j + 1) % a->group) continue;
        total += (float)sum * a->scale[j / a->group];
        sum = 0;
    }
    return total;
}

/* All of section 9 for the row in ref. */
static float formula(const llmq_activation *a, uint32_t cols, uint32_t bits)
{
    int32_t half = 1 << (bits - 1);
    uint32_t g;
    float y = a->q ? formula_i8(a, a->q, cols, half) : formula_f32(a, 0, cols, half, 0);
    for (g = 0; g < ref.groups; g++)
        y += formula_sum(a, g * ref.group, least(cols, (g + 1) * ref.group))
             * ((float)(half - ref.zero[g]) * ref.scale[g]);
    if (a->offset) y += formula_i8(a, a->offset, cols, half);
    return y;
}

/* The same product in double arithmetic, as one would write it down, and the sum of magnitudes of what is added. */
static double plain_product(const llmq_activation *a, uint32_t cols, uint32_t bits, double *size)
{
    double sum = 0.0, half = (double)((uint32_t)1 << (bits - 1));
    uint32_t j;
    *size = 0.0;
    for (j = 0; j < cols; j++) {
        double x = a->q ? (double)a->scale[j / a->group] * code_of(a, j) : (double)a->x[j],
            s = (double)ref.scale[j / ref.group];
        double most = a->offset ? (double)a->scale[j / a->group] * (check_abs(a->q[j]) + check_abs(a->offset[j]))
                      : check_abs(x);
        sum += x * s * (ref.code[j] - ref.zero[j / ref.group]);
        *size += most * check_abs(s) * (check_abs(ref.code[j] - half) + check_abs(half - ref.zero[j / ref.group]));
    }
    return sum;
}

/* Does the product with row r have these bits, and is it right? At most some 90 roundings of 2^-24 for each term. */
static void check_product(const llmq_tensor *t, const llmq_activation *a, uint32_t r, float y)
{
    double size, exact;
    float wanted;
    read_row(t, r);
    wanted = formula(a, t->cols, t->format.bits);
    CHECK(same_floats(&wanted, &y, 1));
    exact = plain_product(a, t->cols, t->format.bits, &size);
    /* and of what is subnormal, which is added a million times at most */
    CHECK(check_abs((double)y - exact) <= 1e-5 * size + 1e-38);
}

/* All ways to prepare, also for another tensor of other groups. */
static void check_products(const llmq_tensor *t, uint32_t other_group)
{
    llmq_activation a[2];
    llmq_tensor other = *t;
    uint32_t r, i, w, mixed;
    CHECK_EQ(llmq_format_find(&other.format, "g4", other_group), LLMQ_OK);
    normal_numbers(input, 2 * t->cols, 1.0, 0.3);
    for (w = 0; w < COUNT(ways); w++)
        for (mixed = 0; mixed < 2; mixed++) {
            prepare(a, mixed ? &other : t, &ways[w], 2, 0);
            for (i = 0; i < 2; i++)
                for (r = 0; r < t->rows; r++) {
                    float y[MAX_ROWS];
                    memset(y, UNTOUCHED & 255, sizeof y);
                    CHECK_EQ(llmq_matvec(t, &a[i], r, r + 1, y), LLMQ_OK);
                    check_product(t, &a[i], r, y[r]);
                    CHECK(r + 1 == t->rows || bits_of(y[r + 1]) == UNTOUCHED);
                    CHECK(r == 0 || bits_of(y[r - 1]) == UNTOUCHED);
                }
        }
}

static void test_records(void)
{
    uint32_t i, g, c, rotated, r;
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (c = 0; c < COUNT(all_cols); c++)
                for (rotated = 0; rotated < 2; rotated++) {
                    llmq_tensor t = open_tensor(i, all_groups[g], all_cols[c], 2, rotated ? &rotate : NULL);
                    for (r = 0; r < 2; r++) {
                        random_record(i, t.format.group, t.cols, records + r * t.row_size, 0);
                        check_decode(&t, r);
                        check_writing(i, t.cols);
                    }
                    check_products(&t, all_groups[(g + c) % COUNT(all_groups)]);
                    check_transposed(&t, c % 3 == 0, 2);
                }
}

/* Every code and zero there is, with scale 1. */
static void test_all_zeros(void)
{
    uint32_t i, j, k, wrong = 0;
    for (i = 0; i < COUNT(form); i++) {
        llmq_tensor t = open_tensor(i, 0, (uint32_t)1 << form[i].bits, 1, NULL);
        float one = 1.0f;
        llmq_activation a;
        for (j = 0; j < t.cols; j++) input[j] = j % 3 ? 1.0f : -1.0f;
        for (k = 0; k < 256; k++) {
            int32_t exact = 0;
            float y[2];
            ref.group = t.cols, ref.groups = 1, ref.scales = 2, ref.scale[0] = 1.0f, ref.zero[0] = (int32_t)k;
            for (j = 0; j < t.cols; j++) ref.code[j] = (int32_t)j;
            write_record(i, t.cols, records);
            read_record(i, 0, t.cols, records);
            CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
            CHECK_EQ(llmq_matvec_transposed(&t, &one, 0, 1, expected, NULL, 0), LLMQ_OK);
            for (j = 0; j < t.cols; j++) {
                int32_t number = (int32_t)(j < form[i].first ? form[i].first : j) - (int32_t)k;
                wrong += check_abs((double)decoded[j] - number) > 0.0 || check_abs((double)expected[j] - number) > 0.0;
                exact += number * (j % 3 ? 1 : -1);
            }
            prepare(&a, &t, &ways[4], 1, 0);
            CHECK_EQ(llmq_matvec(&t, &a, 0, 1, y), LLMQ_OK);
            CHECK(check_abs((double)y[0] - exact) <= 0.0);
        }
        CHECK_EQ(wrong, 0);
    }
}

/* matmul of any count has in column i what the formula gives; any split of the rows the same; the rest is untouched. */
static void check_matmul(const llmq_tensor *t, const llmq_activation *a)
{
    uint32_t count, i, split, r, rows = t->rows, stride = MAX_ROWS + 3;
    for (i = 0; i < MAX_COUNT; i++) {
        CHECK_EQ(llmq_matvec(t, &a[i], 0, rows, product + i * stride), LLMQ_OK);
        for (r = 0; r < rows; r++) check_product(t, &a[i], r, product[i * stride + r]);
    }
    for (count = 1; count <= MAX_COUNT; count++) {
        memset(again, UNTOUCHED & 255, sizeof again);
        CHECK_EQ(llmq_matmul(t, a, count, 0, rows, again, stride), LLMQ_OK);
        for (i = 0; i < MAX_COUNT; i++) {
            if (i < count) CHECK(memcmp(again + i * stride, product + i * stride, rows * sizeof(float)) == 0);
            CHECK_EQ(bits_of(again[i * stride + (i < count ? rows : 0)]), UNTOUCHED);
        }
    }
    for (split = 0; split <= rows; split++) {
        memset(again, UNTOUCHED & 255, sizeof again);
        CHECK_EQ(llmq_matmul(t, a, 9, split, rows, again, stride), LLMQ_OK);
        CHECK(split == 0 || bits_of(again[8 * stride + split - 1]) == UNTOUCHED);
        CHECK_EQ(llmq_matmul(t, a, 9, 0, split, again, stride), LLMQ_OK);
        for (i = 0; i < 9; i++) CHECK(memcmp(again + i * stride, product + i * stride, rows * sizeof(float)) == 0);
        CHECK_EQ(bits_of(again[8 * stride + rows]), UNTOUCHED);
    }
}

static void test_matmul(void)
{
    static const uint32_t cols[] = { 1, 33, 100, 257, 576 };
    llmq_activation a[MAX_COUNT];
    uint32_t i, c, r, w;
    for (i = 0; i < COUNT(form); i++)
        for (c = 0; c < COUNT(cols); c++) {
            llmq_tensor t = open_tensor(i, all_groups[(i + 2 * c) % COUNT(all_groups)], cols[c],
                                        1 + (i * 5 + 2 * c) % MAX_ROWS, c % 2 ? &rotate : NULL);
            for (r = 0; r < t.rows; r++) random_record(i, t.format.group, t.cols, records + r * t.row_size, 0);
            normal_numbers(input, MAX_COUNT * (size_t)t.cols, 1.0, 0.2);
            for (w = 0; w < COUNT(ways); w++) {
                prepare(a, &t, &ways[w], MAX_COUNT, 0);
                check_matmul(&t, a);
            }
        }
}

/* ---- 12. Kernels: whatever table, the bits of the scalar one --------------------------------- */

static void check_table(const llmq_tensor *scalar, const llmq_kernels *k, const llmq_tensor *other)
{
    static const uint32_t counts[] = { 1, 2, 4, 8, 17 };
    llmq_tensor t = *scalar, plain = *other;
    llmq_activation a[MAX_COUNT], b[MAX_COUNT];
    uint32_t r, w, n, stride = MAX_ROWS + 3;
    float weight[MAX_ROWS];
    size_t need = llmq_transform_work_size(&t.transform, t.cols);
    t.kernels = k, plain.kernels = k;
    for (r = 0; r < t.rows; r++) {
        CHECK_EQ(llmq_tensor_decode(scalar, r, expected, workspace, need), LLMQ_OK);
        CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, need), LLMQ_OK);
        CHECK(memcmp(decoded, expected, t.cols * sizeof(float)) == 0);
    }
    normal_numbers(weight, t.rows, 1.0, 0.0);
    CHECK_EQ(llmq_matvec_transposed(scalar, weight, 0, t.rows, expected, workspace, need), LLMQ_OK);
    CHECK_EQ(llmq_matvec_transposed(&t, weight, 0, t.rows, decoded, workspace, need), LLMQ_OK);
    CHECK(memcmp(decoded, expected, t.cols * sizeof(float)) == 0);
    for (w = 0; w < COUNT(ways); w++) {
        prepare(a, w % 2 ? scalar : other, &ways[w], MAX_COUNT, 0);
        prepare(b, w % 2 ? &t : &plain, &ways[w], MAX_COUNT, 1);
        for (n = 0; n < COUNT(counts); n++) {
            memset(product, UNTOUCHED & 255, sizeof product);
            memset(again, UNTOUCHED & 255, sizeof again);
            CHECK_EQ(llmq_matmul(scalar, a, counts[n], n % 2, scalar->rows, product, stride), LLMQ_OK);
            CHECK_EQ(llmq_matmul(&t, b, counts[n], n % 2, t.rows, again, stride), LLMQ_OK);
            CHECK(memcmp(product, again, sizeof product) == 0);
        }
    }
}

static void test_tables(void)
{
    static const uint32_t cols[] = { 33, 128, 257, 576, 1024, 1300 };
    const llmq_kernels *table;
    uint32_t i, g, c, k, r, have = llmq_cpu_features();
    size_t need;
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (c = 0; c < COUNT(cols); c++) {
                llmq_tensor t = open_tensor(i, all_groups[g], cols[c], MAX_ROWS, c % 2 ? &rotate : NULL), other = t;
                t.kernels = NULL, other.kernels = NULL;
                CHECK_EQ(llmq_format_find(&other.format, "g4", all_groups[(g + 1) % COUNT(all_groups)]), LLMQ_OK);
                normal_numbers(weights, (size_t)MAX_ROWS * cols[c], 0.1, 0.2);
                normal_numbers(input, (size_t)MAX_COUNT * cols[c], 1.0, 0.2);
                need = llmq_encode_work_size(&t);
                CHECK_EQ(llmq_encode(&t, records, 0, MAX_ROWS, weights, cols[c], NULL, workspace, need, NULL), LLMQ_OK);
                memcpy(saved, records, MAX_ROWS * t.row_size);
                for (k = 0; (table = llmq_kernels_at(k)) != NULL; k++) {
                    llmq_tensor u = t;
                    if (table->features & ~have) continue;
                    check_at("%s, group %lu, %lu cols, %s", t.format.name, (unsigned long)t.format.group,
                             (unsigned long)t.cols, table->name);
                    u.kernels = table;
                    CHECK_EQ(llmq_encode(&u, records, 0, MAX_ROWS, weights, cols[c], NULL, workspace, need, NULL),
                             LLMQ_OK);
                    CHECK(memcmp(saved, records, MAX_ROWS * t.row_size) == 0);
                    for (r = 0; r < MAX_ROWS; r += 2)
                        random_record(i, t.format.group, t.cols, records + r * t.row_size, 0);
                    check_table(&t, table, &other);
                }
            }
}

/* ---- any bits are safe, and nothing beside a record is touched ------------------------------- */

static void test_wild_records(void)
{
    uint32_t i, g, r, j, w;
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(all_groups); g++) {
            llmq_tensor t = open_tensor(i, all_groups[g], 300, 8, NULL);
            llmq_activation a;
            float y[MAX_ROWS], weight[MAX_ROWS];
            for (r = 0; r < t.rows; r++) random_record(i, t.format.group, 300, records + r * t.row_size, 1);
            records[0] = 0xff, records[1] = 0x7f; /* a NaN at least once */
            normal_numbers(input, 300, 1.0, 0.0);
            normal_numbers(weight, t.rows, 1.0, 0.0);
            for (w = 0; w < COUNT(ways); w++) {
                prepare(&a, &t, &ways[w], 1, 0);
                CHECK_EQ(llmq_matvec(&t, &a, 0, t.rows, y), LLMQ_OK);
                for (r = 0; r < t.rows; r++) {
                    float wanted;
                    read_row(&t, r);
                    wanted = formula(&a, 300, t.format.bits);
                    CHECK(same_floats(&wanted, &y[r], 1));
                }
                CHECK(y[0] != y[0]);
            }
            for (r = 0; r < t.rows; r++) {
                uint32_t wrong = 0;
                CHECK_EQ(llmq_tensor_decode(&t, r, decoded, NULL, 0), LLMQ_OK);
                read_row(&t, r);
                for (j = 0; j < 300; j++) { /* where neither part overflows */
                    float part = ref.scale[j / ref.group] * 256.0f;
                    float number = reference_number(j);
                    wrong += finite_bits(bits_of(part)) && !same_numbers(&number, &decoded[j], 1);
                    wrong += ref.scale[j / ref.group] != ref.scale[j / ref.group] && decoded[j] == decoded[j];
                }
                CHECK_EQ(wrong, 0);
            }
            CHECK_EQ(llmq_matvec_transposed(&t, weight, 0, t.rows, decoded, NULL, 0), LLMQ_OK);
            CHECK(decoded[0] != decoded[0]);
        }
}

/* NaN or infinity in an activation: products are NaN, whatever the zero. */
static void test_not_finite_activations(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u };
    uint32_t i, b, w;
    for (i = 0; i < COUNT(form); i++)
        for (b = 0; b < COUNT(bad); b++)
            for (w = 0; w < COUNT(ways); w++) {
                llmq_tensor t = open_tensor(i, 64, 172, 1, NULL);
                llmq_activation a;
                float y = 0.0f;
                if (ways[w].bits == 32) continue;
                random_record(i, 64, 172, records, 0);
                normal_numbers(input, 172, 1.0, 0.0);
                input[check_below(172)] = float_of(bad[b]);
                prepare(&a, &t, &ways[w], 1, 0);
                CHECK_EQ(llmq_matvec(&t, &a, 0, 1, &y), LLMQ_OK);
                CHECK(y != y);
            }
}

static void test_walls(void)
{
    static const uint32_t cols[] = { 1, 2, 31, 44, 65, 129, 172, 257, 576 };
    check_wall record = check_wall_open(8 * MAX_COLS), work = check_wall_open(sizeof workspace),
        out = check_wall_open(4 * MAX_COLS);
    uint32_t i, c, g, upper, w;
    for (i = 0; i < COUNT(form); i++)
        for (c = 0; c < COUNT(cols); c++)
            for (g = 0; g < COUNT(all_groups); g++)
                for (upper = 0; upper < 2; upper++) {
                    llmq_tensor open = open_tensor(i, all_groups[g], cols[c], 4, g % 2 ? &rotate : NULL), t = open;
                    size_t size = 4 * t.row_size, need = llmq_transform_work_size(&t.transform, t.cols);
                    uint8_t *at = upper ? record.end - size : record.start;
                    float *y = (float *)check_wall_beside(&out, t.cols * sizeof(float), upper), weight[4], z[4];
                    llmq_activation a;
                    uint32_t r;
                    t.data = at;
                    normal_numbers(weights, 4 * t.cols, 1.0, 0.1);
                    normal_numbers(input, t.cols, 1.0, 0.1);
                    normal_numbers(weight, 4, 1.0, 0.0);
                    need = llmq_encode_work_size(&t);
                    CHECK_EQ(llmq_encode(&t, at, 0, 4, weights, t.cols, NULL, check_wall_beside(&work, need, upper),
                                         need, NULL), LLMQ_OK);
                    memset(workspace, 0xee, need);
                    CHECK_EQ(llmq_encode(&open, records, 0, 4, weights, t.cols, NULL, workspace, need, NULL), LLMQ_OK);
                    CHECK(memcmp(at, records, size) == 0);
                    need = llmq_transform_work_size(&t.transform, t.cols);
                    for (r = 0; r < 4; r++) {
                        CHECK_EQ(llmq_tensor_decode(&t, r, y, check_wall_beside(&work, need, upper), need), LLMQ_OK);
                        CHECK_EQ(llmq_tensor_decode(&open, r, decoded, workspace, need), LLMQ_OK);
                        CHECK(memcmp(y, decoded, t.cols * sizeof(float)) == 0);
                    }
                    CHECK_EQ(llmq_matvec_transposed(&t, weight, 0, 4, y, check_wall_beside(&work, need, upper), need),
                             LLMQ_OK);
                    CHECK_EQ(llmq_matvec_transposed(&open, weight, 0, 4, decoded, workspace, need), LLMQ_OK);
                    CHECK(memcmp(y, decoded, t.cols * sizeof(float)) == 0);
                    for (w = 0; w < COUNT(ways); w++) {
                        float *four = (float *)check_wall_beside(&out, sizeof z, upper);
                        prepare(&a, &t, &ways[w], 1, 0);
                        CHECK_EQ(llmq_matvec(&t, &a, 0, 4, four), LLMQ_OK);
                        CHECK_EQ(llmq_matvec(&open, &a, 0, 4, z), LLMQ_OK);
                        CHECK(memcmp(four, z, sizeof z) == 0);
                    }
                }
    check_wall_close(&record);
    check_wall_close(&work);
    check_wall_close(&out);
}

/* ---- 7. Encoder ------------------------------------------------------------------------------ */

/* Of a step: nearer to a tie than this, either side will do, as the header's formulas are
   computed in floats. */
#define NEAR 1e-4

static void encode(const llmq_tensor *t, uint32_t rows, const float *w, int effort, float clip)
{
    llmq_encode_options o;
    size_t need = llmq_encode_work_size(t);
    unsigned char *after = (unsigned char *)workspace + need;
    memset(&o, 0, sizeof o);
    o.effort = effort, o.clip = clip;
    CHECK(need > 0 && need + 4 <= sizeof workspace);
    memset(after, 0x5a, 4);
    memset(records, 0xee, rows * t->row_size + 1);
    CHECK_EQ(llmq_encode(t, records, 0, rows, w, t->cols, &o, workspace, need - 1, NULL), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_encode(t, records, 0, rows, w, t->cols, &o, workspace, need, NULL), LLMQ_OK);
    CHECK(after[0] == 0x5a && after[3] == 0x5a && records[rows * t->row_size] == 0xee);
}

static void limits(const float *x, uint32_t n, double *low, double *high)
{
    uint32_t i;
    *low = *high = 0.0;
    for (i = 0; i < n; i++) {
        if ((double)x[i] < *low) *low = (double)x[i];
        if ((double)x[i] > *high) *high = (double)x[i];
    }
}

/* Round to the nearest whole number, halves up: ties are looked at elsewhere. */
static int32_t nearest_whole(double x) { int32_t w = (int32_t)(x + 1024.5) - 1024; return w; }

/* Is group g of the row in ref, of the n numbers x, what the formula says for this clip? */
static int fits(uint32_t format, const float *x, uint32_t n, uint32_t g, double clip)
{
    double low, high, step, scale = (double)ref.scale[g], ideal;
    int32_t first = (int32_t)form[format].first, last = (int32_t)form[format].last;
    uint32_t i;
    float below, above;
    limits(x, n, &low, &high);
    if (!(high > low)) return bits_of(ref.scale[g]) == 0;
    step = (high - low) * clip / (last - first);
    below = llmq_bf16_to_f32(llmq_f32_to_bf16((float)(step * (1.0 - 3e-7))));
    above = llmq_bf16_to_f32(llmq_f32_to_bf16((float)(step * (1.0 + 3e-7))));
    if (bits_of(ref.scale[g]) != bits_of(below) && bits_of(ref.scale[g]) != bits_of(above)) return 0;
    ideal = first - low * clip / scale;
    if (ideal > last) ideal = last;
    if (check_abs(ref.zero[g] - ideal) > 0.5 + NEAR) return 0;
    for (i = 0; i < n; i++) {
        ideal = ref.zero[g] + (double)x[i] / scale;
        if (ideal < first) ideal = first;
        if (ideal > last) ideal = last;
        if (check_abs(ref.code[g * ref.group + i] - ideal) > 0.5 + NEAR) return 0;
        if (ref.code[g * ref.group + i] < first || ref.code[g * ref.group + i] > last) return 0;
    }
    return 1;
}

/* The squared error of the formula at this clip. */
static double error_at(uint32_t format, const float *x, uint32_t n, double clip)
{
    double low, high, scale, sum = 0.0, e;
    int32_t first = (int32_t)form[format].first, last = (int32_t)form[format].last, zero, code;
    uint32_t i;
    limits(x, n, &low, &high);
    if (!(high > low)) return 0.0;
    scale = (double)llmq_bf16_to_f32(llmq_f32_to_bf16((float)((high - low) * clip / (last - first))));
    zero = first + nearest_whole(-low * clip / scale);
    if (zero > last) zero = last;
    for (i = 0; i < n; i++) {
        code = zero + nearest_whole((double)x[i] / scale);
        if (code < first) code = first;
        if (code > last) code = last;
        e = (double)x[i] - scale * (code - zero);
        sum += e * e;
    }
    return sum;
}

static double group_error(const float *x, uint32_t n, uint32_t g)
{
    double sum = 0.0, e;
    uint32_t i;
    for (i = 0; i < n; i++) {
        e = (double)x[i] - (double)reference_number(g * ref.group + i);
        sum += e * e;
    }
    return sum;
}

/* Rows of w, transformed into `stored` one after the other. */
static void store_row(const llmq_tensor *t, const float *w)
{
    memcpy(stored, w, t->cols * sizeof(float));
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_TO_WEIGHT, stored, t->cols, workspace, sizeof workspace, NULL),
             LLMQ_OK);
}

/* Real zeros are numbers of the grid; without a transform one sees them. */
static void check_real_zeros(const llmq_tensor *t, const float *w)
{
    uint32_t j, wrong = 0;
    for (j = 0; j < t->cols && t->transform.count == 0; j++)
        wrong += (bits_of(w[j]) & 0x7fffffffu) == 0 && (bits_of(reference_number(j)) & 0x7fffffffu) != 0;
    CHECK_EQ(wrong, 0);
}

/* clip given: the formula. */
static void check_clip(const llmq_tensor *t, uint32_t rows, const float *w, float clip)
{
    uint32_t r, g, wrong = 0;
    int effort;
    size_t size = rows * t->row_size;
    encode(t, rows, w, LLMQ_EFFORT_FAST, clip);
    memcpy(saved, records, size);
    for (effort = 0; effort <= LLMQ_EFFORT_BEST; effort += 2) { /* no search, so all the same */
        encode(t, rows, w, effort, clip);
        CHECK(memcmp(saved, records, size) == 0);
    }
    for (r = 0; r < rows; r++) {
        store_row(t, w + r * t->cols);
        read_row(t, r);
        for (g = 0; g < ref.groups; g++)
            wrong += !fits(index_of(t), stored + g * ref.group, least(ref.group, t->cols - g * ref.group), g,
                           (double)clip);
        check_real_zeros(t, w + r * t->cols);
    }
    CHECK_EQ(wrong, 0);
}

/* clip 0: of the clips that the effort tries, the one of least error. */
static void check_search(const llmq_tensor *t, uint32_t rows, const float *w)
{
    static double error[2][MAX_ROWS][64];
    double step, best, e;
    uint32_t r, g, n, i, found, wrong = 0, worse = 0, trials;
    int k;
    encode(t, rows, w, LLMQ_EFFORT_DEFAULT, 0.0f);
    memcpy(saved, records, rows * t->row_size);
    CHECK_EQ(llmq_encode(t, records, 0, rows, w, t->cols, NULL, workspace, sizeof workspace, NULL), LLMQ_OK);
    CHECK(memcmp(saved, records, rows * t->row_size) == 0);
    encode(t, rows, w, LLMQ_EFFORT_FAST, 1.0f);
    memcpy(saved, records, rows * t->row_size);
    encode(t, rows, w, LLMQ_EFFORT_FAST, 0.0f);
    CHECK(memcmp(saved, records, rows * t->row_size) == 0);
    for (k = 0; k < 2; k++) {
        encode(t, rows, w, k ? LLMQ_EFFORT_BEST : LLMQ_EFFORT_DEFAULT, 0.0f);
        trials = k ? 40 : 10, step = k ? 0.0125 : 0.05;
        for (r = 0; r < rows; r++) {
            store_row(t, w + r * t->cols);
            read_row(t, r);
            check_real_zeros(t, w + r * t->cols);
            for (g = 0; g < ref.groups; g++) {
                const float *x = stored + g * ref.group;
                n = least(ref.group, t->cols - g * ref.group);
                for (found = 0, best = 1e300, i = 0; i <= trials; i++) {
                    found += (uint32_t)fits(index_of(t), x, n, g, 1.0 - step * i);
                    e = error_at(index_of(t), x, n, 1.0 - step * i);
                    if (e < best) best = e;
                }
                error[k][r][g] = group_error(x, n, g);
                wrong += found == 0;
                /* float noise in the comparison of sums of n squares, and numbers at ties: up to NEAR of a step */
                worse += error[k][r][g] > best * (1.0 + 1e-4) + 1e-12 * energy(x, n);
                worse += k && error[1][r][g] > error[0][r][g] * (1.0 + 1e-4) + 1e-12 * energy(x, n);
            }
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(worse, 0);
}

/* Rows of several kinds: normal, with a mean, heavy-tailed, one-sided, with zeros among them, whole numbers. */
static void fill_rows(uint32_t cols)
{
    uint32_t j;
    float *w = weights;
    normal_numbers(w, cols, 0.02, 0.0), w += cols;
    normal_numbers(w, cols, 3.0, 1.0), w += cols;
    for (j = 0; j < cols; j++, w++) *w = (float)(check_normal() * check_normal() * check_normal());
    for (j = 0; j < cols; j++, w++) *w = (float)check_exponential();
    for (j = 0; j < cols; j++, w++) *w = check_below(3) ? 0.0f : -(float)check_uniform();
    for (j = 0; j < cols; j++, w++)
        *w = check_below(4) ? (float)((int32_t)check_below(41) - 20) : float_of(0x80000000u);
}
#define KINDS 6u

static void test_encode(void)
{
    static const uint32_t groups[] = { 32, 64, 128, 1024, 0 }, cols[] = { 1, 2, 33, 64, 100, 129, 257, 576, 1025 };
    static const float clips[] = { 1.0f, 0.9f, 0.8f, 0.5f, 0.01f };
    uint32_t i, g, c, k, rotated;
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(groups); g++)
            for (c = 0; c < COUNT(cols); c++)
                for (rotated = 0; rotated < 2; rotated++) {
                    llmq_tensor t = open_tensor(i, groups[g], cols[c], KINDS, rotated ? &rotate : NULL);
                    fill_rows(cols[c]);
                    for (k = 0; k < COUNT(clips); k++) check_clip(&t, KINDS, weights, clips[k]);
                    check_search(&t, KINDS, weights);
                }
}

/* Where a number far out is worth giving up, the search ends at half of the range. */
static void test_end_of_search(void)
{
    uint32_t j, k, cols = MAX_COLS;
    llmq_tensor t = open_tensor(0, 0, cols, 1, NULL);
    for (j = 0; j < cols; j++) weights[j] = (float)(check_uniform() * 2.0 - 1.0);
    weights[7] = 2.2f, weights[8] = -2.2f;
    for (k = 0; k < 2; k++) {
        double last = error_at(0, weights, cols, 0.5), before = error_at(0, weights, cols, k ? 0.5125 : 0.55);
        double after = error_at(0, weights, cols, k ? 0.4875 : 0.45);
        CHECK(after < last * 0.9999 && last < before * 0.9999); /* or this tests nothing */
        encode(&t, 1, weights, k ? LLMQ_EFFORT_BEST : LLMQ_EFFORT_DEFAULT, 0.0f);
        read_row(&t, 0);
        CHECK(fits(0, weights, cols, 0, 0.5));
    }
}

/* The figures of the header's table: one group of 1,024 normal numbers, five rows; 20 % is more
   than six deviations. And through a rotation what comes back is near to what went in. */
static void test_precision(void)
{
    uint32_t i, r, rotated;
    for (i = 0; i < COUNT(form); i++)
        for (rotated = 0; rotated < 2; rotated++) {
            llmq_tensor t = open_tensor(i, 1024, 1024, 5, rotated ? &rotate : NULL);
            double lost = 0.0;
            normal_numbers(weights, 5 * 1024, 1.0, 0.0);
            encode(&t, 5, weights, LLMQ_EFFORT_DEFAULT, 0.0f);
            for (r = 0; r < 5; r++) {
                CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, sizeof workspace), LLMQ_OK);
                lost += error_energy(decoded, weights + r * 1024, 1024) / energy(weights, 5 * 1024);
            }
            /* the range of 1,024 numbers has ends, unlike the source */
            CHECK(lost < form[i].mse * 1.2 && lost > form[i].mse * 0.5);
        }
}

/* One group with exact answers. */
static void check_group(uint32_t format, const float *x, uint32_t n, float clip, float scale, int32_t zero,
                        const int32_t *code)
{
    llmq_tensor t = open_tensor(format, 0, n, 1, NULL);
    uint32_t j, wrong = 0;
    encode(&t, 1, x, LLMQ_EFFORT_DEFAULT, clip);
    read_row(&t, 0);
    CHECK_EQ(bits_of(ref.scale[0]), bits_of(scale));
    CHECK_EQ(ref.zero[0], zero);
    for (j = 0; j < n && code; j++) wrong += ref.code[j] != code[j];
    CHECK_EQ(wrong, 0);
}

static void test_by_hand(void)
{
    static const float ties[] = { -7.0f, 8.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.0f };
    static const int32_t to_even[] = { 0, 15, 7, 9, 9, 7, 5, 5, 7 };
    static const float halves[] = { -7.5f, 7.5f, 0.0f }, lower[] = { -6.5f, 8.5f, 0.0f };
    static const int32_t halves_code[] = { 0, 15, 8 }, lower_code[] = { 0, 14, 6 };
    static const float wide[] = { -16.0f, 14.0f, 1.0f, 3.0f, -3.0f };
    static const int32_t wide_code[] = { 0, 15, 9, 11, 5 };
    static const float positive[] = { 60.0f, 15.0f, 8.0f }, negative[] = { -15.0f, -4.0f, -8.0f },
        eight[] = { -127.0f, 127.0f, 0.0f, 3.0f };
    static const int32_t positive_code[] = { 15, 4, 2 }, negative_code[] = { 0, 11, 7 },
        eight_code[] = { 1, 255, 128, 131 };
    static const float below[] = { -254.0f, -1.0f }, above[] = { 254.0f, 1.0f }, same[] = { 2.0f, 2.0f, 2.0f },
        six[] = { -20.0f, 43.0f, 0.0f };
    static const int32_t below_code[] = { 1, 254 }, above_code[] = { 255, 2 }, same_code[] = { 15, 15, 15 },
        six_code[] = { 0, 63, 20 };
    static const float lone[] = { 0.0f, 0.0f, -30.0f, 0.0f };
    static const int32_t lone_code[] = { 15, 15, 0, 15 }, eights[] = { 8, 8, 8 }, middles[] = { 128, 128, 128 };
    static const float nothing[] = { 0.0f, -0.0f, 0.0f };
    check_group(U4, ties, 9, 1.0f, 1.0f, 7, to_even);
    check_group(U4, halves, 3, 1.0f, 1.0f, 8, halves_code); /* -7.5 to -8 + 8, 7.5 to 8 + 8, limited */
    check_group(U4, lower, 3, 1.0f, 1.0f, 6, lower_code);   /* 8.5 to 8 */
    check_group(U4, wide, 5, 0.5f, 1.0f, 8, wide_code);
    check_group(U4, positive, 3, 1.0f, 4.0f, 0, positive_code);
    check_group(U4, negative, 3, 1.0f, 1.0f, 15, negative_code);
    check_group(SIX_BITS, six, 3, 1.0f, 1.0f, 20, six_code);
    check_group(U8, eight, 4, 1.0f, 1.0f, 128, eight_code);
    check_group(U8, below, 2, 1.0f, 1.0f, 255, below_code);
    check_group(U8, above, 2, 1.0f, 1.0f, 1, above_code);
    check_group(U4, same, 3, 1.0f, llmq_bf16_to_f32(llmq_f32_to_bf16(2.0f / 15.0f)), 0, same_code);
    check_group(U4, nothing, 3, 1.0f, 0.0f, 8, eights);
    check_group(U8, nothing, 3, 0.0f, 0.0f, 128, middles);
    check_group(U4, lone, 4, 1.0f, 2.0f, 15, lone_code);
}

/* Groups of one sign, constant, all zero, with one number; then the same huge, tiny, and beyond. */
static void test_unusual_groups(void)
{
    static const float sizes[] = { 1.0f, 1e30f, 1e38f, 1e-30f, 1e-35f, 1.5e-38f, 1e-38f, 1e-40f, 1.4e-45f,
                                   1.2e-37f, 6e-37f, 2.4e-36f }; /* steps between 2^-127 and 2^-126 */
    uint32_t i, s, k, j, n = 64, wrong;
    for (i = 0; i < COUNT(form); i++)
        for (s = 0; s < COUNT(sizes); s++)
            for (k = 0; k < 8; k++) {
                llmq_tensor t = open_tensor(i, 32, n + 5, 1, NULL);
                float *w = weights, weight = 1.0f, y = 0.0f;
                double most = 0.0, step;
                llmq_activation a;
                int32_t steps = (int32_t)(form[i].last - form[i].first);
                check_at("%s, size %g, kind %lu", form[i].name, (double)sizes[s], (unsigned long)k);
                for (j = 0; j < n + 5; j++) {
                    double u = check_uniform();
                    w[j] = (float)((k == 0 ? u + 1 : k == 1 ? -u - 1 : k == 2 ? 1.0 : k == 3 ? 0.0 : k == 4 ? j == 5
                                    : k == 5 ? -(double)(j == 40) : k == 6 ? -1.0 : u - 0.5) * (double)sizes[s]);
                    if (check_abs((double)w[j]) > most) most = check_abs((double)w[j]);
                }
                encode(&t, 1, w, LLMQ_EFFORT_DEFAULT, 1.0f);
                read_row(&t, 0);
                CHECK_EQ(llmq_tensor_decode(&t, 0, decoded, NULL, 0), LLMQ_OK);
                check_real_zeros(&t, w);
                /* within half a step, and its rounding over all steps; a scale below 2^-126 is 0 */
                for (wrong = 0, j = 0; j < n + 5; j++) {
                    double low, high;
                    uint32_t g = j / 32;
                    limits(w + g * 32, least(32, n + 5 - g * 32), &low, &high);
                    step = (high - low) / steps;
                    if (step < 1.1754e-38 * 0.99)
                        wrong += bits_of(ref.scale[g]) != 0 || (bits_of(decoded[j]) & 0x7fffffffu) != 0;
                    else if (step > 1.1754e-38 * 1.01)
                        wrong += check_abs((double)decoded[j] - (double)w[j]) > (high - low)
                                 * (1.01 / steps + 1.0 / 256);
                    wrong += !finite_bits(bits_of(decoded[j]));
                    if (k == 0 && (bits_of(ref.scale[g]) != 0)) wrong += ref.zero[g] != (int32_t)form[i].first;
                    if (k == 1 && (bits_of(ref.scale[g]) != 0)) wrong += ref.zero[g] < (int32_t)form[i].last - 1;
                    if (k == 3) wrong += bits_of(ref.scale[g]) != 0;
                }
                CHECK_EQ(wrong, 0);
                for (wrong = 0, j = 0; k == 3 && j < n + 5; j++) wrong += (bits_of(decoded[j]) & 0x7fffffffu) != 0;
                CHECK_EQ(wrong, 0);
                CHECK_EQ(llmq_matvec_transposed(&t, &weight, 0, 1, expected, NULL, 0), LLMQ_OK);
                CHECK(same_numbers(decoded, expected, n + 5));
                normal_numbers(input, n + 5, 0.01, 0.0);
                prepare(&a, &t, &ways[0], 1, 0);
                CHECK_EQ(llmq_matvec(&t, &a, 0, 1, &y), LLMQ_OK);
                CHECK(finite_bits(bits_of(y)));
                check_product(&t, &a, 0, y);
                /* 2^k W has the codes and zeros of W */
                memcpy(saved, records, t.row_size);
                for (j = 0; j < n + 5; j++) w[j] *= 2.0f;
                if (s > 4 || s == 2) continue; /* scales near the ends of their range */
                encode(&t, 1, w, LLMQ_EFFORT_DEFAULT, 1.0f);
                CHECK(memcmp(saved + 6, records + 6, t.row_size - 6) == 0);
            }
}

static int stop_at_two(void *context, uint32_t done, uint32_t total)
{
    (void)context, (void)total;
    return done == 2;
}

static void test_encode_errors(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u };
    static const uint32_t clip[] = { 0xbf800000u, 0x80000001u, 0x3f800001u, 0x3f8ccccdu, 0x7fc00000u, 0x7f800000u,
                                     0xff800000u };
    llmq_encode_options o;
    llmq_error error;
    uint32_t i, b, r, at;
    memset(&o, 0, sizeof o);
    for (i = 0; i < COUNT(form); i++) {
        llmq_tensor t = open_tensor(i, 64, 172, 4, i % 2 ? &rotate : NULL);
        size_t need = llmq_encode_work_size(&t);
        normal_numbers(weights, 4 * 172, 1.0, 0.0);
        for (b = 0; b < COUNT(bad); b++) {
            at = check_below(172), r = check_below(4);
            memset(records, 0xee, sizeof records);
            memset(&error, 0, sizeof error);
            weights[r * 172 + at] = float_of(bad[b]);
            CHECK_EQ(llmq_encode(&t, records, 0, 4, weights, 172, NULL, workspace, need, &error), LLMQ_E_NOT_FINITE);
            CHECK(error.status == LLMQ_E_NOT_FINITE && error.row == r && error.col == at);
            for (at = (uint32_t)(r * t.row_size); at < 4 * t.row_size && records[at] == 0xee; at++) continue;
            CHECK_EQ((long)at, (long)(4 * t.row_size));
            normal_numbers(weights, 4 * 172, 1.0, 0.0);
        }
        memset(records, 0xee, sizeof records);
        for (b = 0; b < COUNT(clip); b++) {
            check_at("%s, clip %g", form[i].name, (double)float_of(clip[b]));
            o.clip = float_of(clip[b]);
            CHECK_EQ(llmq_encode(&t, records, 0, 4, weights, 172, &o, workspace, need, NULL), LLMQ_E_ARG);
            t.rows = 3;
            CHECK_EQ(llmq_tensor_append(&t, records, 4 * t.row_size, weights, &o, workspace, need), LLMQ_E_ARG);
            CHECK_EQ(t.rows, 3);
            t.rows = 4;
        }
        o.clip = 0.0f;
        for (o.effort = -1; o.effort <= 3; o.effort += 4)
            CHECK_EQ(llmq_encode(&t, records, 0, 4, weights, 172, &o, workspace, need, NULL), LLMQ_E_ARG);
        for (at = 0; at < 4 * t.row_size && records[at] == 0xee; at++) continue;
        CHECK_EQ((long)at, (long)(4 * t.row_size));
        o.effort = 0, o.clip = float_of(0x80000000u); /* -0 is 0 */
        CHECK_EQ(llmq_encode(&t, records, 0, 4, weights, 172, &o, workspace, need, NULL), LLMQ_OK);
        memcpy(saved, records, 4 * t.row_size);
        memset(records, 0xee, sizeof records);
        o.clip = 0.0f, o.progress = stop_at_two;
        CHECK_EQ(llmq_encode(&t, records, 0, 4, weights, 172, &o, workspace, need, NULL), LLMQ_E_STOPPED);
        CHECK(memcmp(saved, records, 2 * t.row_size) == 0 && records[2 * t.row_size] == 0xee);
        o.progress = NULL;
    }
}

/* Rows one at a time, in any ranges, appended, or with feedback: the bits of llmq_encode. */
static void test_append(void)
{
    uint32_t i, g, k;
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (k = 0; k < 4; k++) {
                static const float clips[] = { 0.0f, 1.0f, 0.8f, 0.55f };
                uint32_t cols = 100 + 57 * g, r;
                llmq_tensor t = open_tensor(i, all_groups[g], cols, KINDS, k % 2 ? &rotate : NULL), grown;
                size_t need = llmq_encode_work_size(&t), size = KINDS * t.row_size;
                llmq_encode_options o;
                memset(&o, 0, sizeof o);
                o.clip = clips[k], o.effort = (int)(g % 3);
                fill_rows(cols);
                CHECK_EQ(llmq_encode(&t, records, 0, KINDS, weights, cols, &o, workspace, need, NULL), LLMQ_OK);
                memcpy(saved, records, size);
                memset(records, 0xee, size);
                CHECK_EQ(llmq_encode(&t, records, 2, KINDS, weights + 2 * cols, cols, &o, workspace, need, NULL),
                         LLMQ_OK);
                CHECK_EQ(llmq_encode(&t, records, 0, 2, weights, cols, &o, workspace, need, NULL), LLMQ_OK);
                CHECK(memcmp(saved, records, size) == 0);
                memset(records, 0xee, size);
                grown = t, grown.rows = 0;
                for (r = 0; r < KINDS; r++)
                    CHECK_EQ(llmq_tensor_append(&grown, records, size, weights + r * cols, &o, workspace, need),
                             LLMQ_OK);
                CHECK_EQ(llmq_tensor_append(&grown, records, size, weights, &o, workspace, need), LLMQ_E_FULL);
                CHECK(grown.rows == KINDS && memcmp(saved, records, size) == 0);
            }
}

#if !LLMQ_NO_CALIBRATION
static void test_feedback(void)
{
    static float sums[200 * 201 / 2], memory_of_f[1 << 16], tokens[40 * 200];
    uint32_t i, g, k;
    for (i = 0; i < COUNT(form); i++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (k = 0; k < 3; k++) {
                uint32_t cols = k == 2 ? 200 : 70;
                llmq_tensor t = open_tensor(i, all_groups[g], cols, KINDS, k ? &rotate : NULL);
                size_t need = llmq_encode_work_size(&t), more = llmq_feedback_work_size(&t), size = KINDS * t.row_size;
                llmq_hessian h;
                llmq_feedback f;
                llmq_encode_options o;
                memset(&o, 0, sizeof o);
                memset(&h, 0, sizeof h);
                memset(&f, 0, sizeof f);
                o.clip = k == 1 ? 0.85f : 0.0f, o.effort = (int)k;
                CHECK(more <= sizeof workspace && llmq_hessian_size(cols, 1) <= sizeof sums);
                CHECK_EQ(llmq_hessian_init(&h, cols, 1, &t.transform, sums, sizeof sums), LLMQ_OK);
                normal_numbers(tokens, 40 * cols, 1.0, 0.3);
                CHECK(llmq_hessian_work_size(&h) <= sizeof memory);
                CHECK_EQ(llmq_hessian_add(&h, 0, cols, tokens, cols, 40, NULL, memory, sizeof memory, NULL), LLMQ_OK);
                CHECK(llmq_feedback_size(&h) <= sizeof memory_of_f);
                CHECK_EQ(llmq_feedback_init(&f, &t, &h, NULL, memory_of_f, sizeof memory_of_f, NULL), LLMQ_OK);
                fill_rows(cols);
                CHECK_EQ(llmq_encode(&t, records, 0, KINDS, weights, cols, &o, workspace, need, NULL), LLMQ_OK);
                memcpy(saved, records, size);
                memset(records, 0xee, size);
                CHECK_EQ(llmq_feedback_encode(&t, records, 0, KINDS, weights, cols, &f, &o, workspace, more, NULL,
                                              NULL), LLMQ_OK);
                CHECK(memcmp(saved, records, size) == 0);
                f.cols++;
                CHECK_EQ(llmq_feedback_encode(&t, records, 0, KINDS, weights, cols, &f, &o, workspace, more, NULL,
                                              NULL), LLMQ_E_MISMATCH);
                f.cols--, o.clip = 1.5f;
                CHECK_EQ(llmq_feedback_encode(&t, records, 0, KINDS, weights, cols, &f, &o, workspace, more, NULL,
                                              NULL), LLMQ_E_ARG);
            }
}
#endif

/* ---- 11. Bundle ------------------------------------------------------------------------------ */

static void test_bundle(void)
{
    static uint8_t bundle[1 << 16], payload[BUILTIN][KINDS * 500], rot[64];
    static const uint32_t groups[] = { 32, 128, 0 };
    llmq_entry e[BUILTIN + 1];
    llmq_transform steps = rotate;
    llmq_bundle b;
    llmq_error error;
    size_t size = sizeof rot;
    uint32_t i, r, k;
    memset(e, 0, sizeof e);
    check_at("bundle");
    CHECK_EQ(llmq_transform_store(&steps, rot, &size), LLMQ_OK);
    e[BUILTIN].name = "rot", e[BUILTIN].kind = LLMQ_KIND_TRANSFORM, e[BUILTIN].data = rot,
    e[BUILTIN].size = size;
    for (i = 0; i < BUILTIN; i++) {
        llmq_tensor t = open_tensor(i, groups[i], 300, KINDS, i ? &steps : NULL);
        fill_rows(300);
        encode(&t, KINDS, weights, LLMQ_EFFORT_DEFAULT, 0.0f);
        memcpy(payload[i], records, KINDS * t.row_size);
        e[i].name = form[i].name, e[i].kind = LLMQ_KIND_TENSOR, e[i].data = payload[i], e[i].size = KINDS * t.row_size;
        e[i].format = t.format, e[i].rows = KINDS, e[i].cols = 300, e[i].t2 = -1.0f, e[i].transform = i ? "rot" : NULL;
    }
    size = llmq_bundle_size(e, BUILTIN + 1);
    CHECK(size > 0 && size <= sizeof bundle);
    CHECK_EQ(llmq_bundle_write_memory(e, BUILTIN + 1, bundle, size), LLMQ_OK);
    CHECK_EQ(llmq_bundle_open(&b, bundle, size, &error), LLMQ_OK);
    CHECK_EQ(llmq_bundle_verify(&b, &error), LLMQ_OK);
    for (i = 0; i < BUILTIN; i++) {
        llmq_tensor t, original;
        llmq_format f = get_format(i, groups[i]);
        uint8_t *zeros;
        CHECK_EQ(llmq_tensor_init(&original, &f, i ? &steps : NULL, KINDS, 300, payload[i], sizeof payload[i]),
                 LLMQ_OK);
        check_at("bundle, %s", form[i].name);
        if (!CHECK_EQ(llmq_bundle_tensor(&b, form[i].name, &t), LLMQ_OK)) continue;
        CHECK(t.format.zero_points == 1 && t.format.id == form[i].id && t.format.group == groups[i]
              && t.row_size == original.row_size);
        CHECK(memcmp(t.data, payload[i], KINDS * t.row_size) == 0);
        for (r = 0; r < KINDS; r++) {
            CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, sizeof workspace), LLMQ_OK);
            CHECK_EQ(llmq_tensor_decode(&original, r, expected, workspace, sizeof workspace), LLMQ_OK);
            CHECK(memcmp(decoded, expected, 300 * sizeof(float)) == 0);
        }
        zeros = bundle + (t.data - bundle) + t.row_size - up(300, groups[i] ? groups[i] : 300);
        for (k = 0; k < 256; k++) { /* any byte where a zero is: the checksum tells, and nothing else minds */
            uint8_t was = *zeros;
            *zeros = (uint8_t)k;
            CHECK_EQ(llmq_bundle_open(&b, bundle, size, &error), LLMQ_OK);
            CHECK_EQ(llmq_bundle_verify(&b, &error), was == k ? LLMQ_OK : LLMQ_E_CHECKSUM);
            CHECK_EQ(llmq_bundle_tensor(&b, form[i].name, &t), LLMQ_OK);
            check_decode(&t, 0);
            *zeros = was;
        }
        /* any bits at all */
        for (k = 0; k < 50; k++) {
            for (r = 0; r < KINDS * t.row_size; r++) (bundle + (t.data - bundle))[r] = (uint8_t)check_random();
            CHECK_EQ(llmq_bundle_open(&b, bundle, size, &error), LLMQ_OK);
            CHECK_EQ(llmq_bundle_tensor(&b, form[i].name, &t), LLMQ_OK);
            normal_numbers(expected, KINDS, 1.0, 0.0);
            for (r = 0; r < KINDS; r++)
                CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, sizeof workspace), LLMQ_OK);
            CHECK_EQ(llmq_matvec_transposed(&t, expected, 0, KINDS, decoded, workspace, sizeof workspace), LLMQ_OK);
        }
        memcpy(bundle + (t.data - bundle), payload[i], KINDS * t.row_size);
    }
    CHECK_EQ(llmq_bundle_verify(&b, &error), LLMQ_OK);
    for (i = 0; i < BUILTIN; i++) { /* payloads that lack the zeros, or have them for another group */
        llmq_entry copy[BUILTIN + 1];
        memcpy(copy, e, sizeof e);
        copy[i].size -= KINDS;
        CHECK_EQ(llmq_bundle_write_memory(copy, BUILTIN + 1, bundle, sizeof bundle), LLMQ_E_ARG);
    }
}

int main(void)
{
    check_seed(23);
    rotate = llmq_transform_hadamard(5, 256);
    test_formats();
    test_sizes();
    test_refused_formats();
    test_records();
    test_all_zeros();
    test_matmul();
    test_tables();
    test_wild_records();
    test_not_finite_activations();
    test_walls();
    test_encode();
    test_end_of_search();
    test_precision();
    test_by_hand();
    test_unusual_groups();
    test_encode_errors();
    test_append();
#if !LLMQ_NO_CALIBRATION
    test_feedback();
#endif
    test_bundle();
    return check_done("test_zeros");
}
