/* test_trellis - t1 to t4 and t2s to t4s: formats whose columns are paths through a trellis,
   sections 2, 5 to 10, 12 and 14 of llmq.h

       cc -O2 -o test_trellis tests/test_trellis.c && ./test_trellis [figures]

   Records are compared with what tests/gen/trellis.py says of them (trellis.h) and with a second
   reading of section 6 in this file; products with the formulas of section 9 on its points.
   Codes of the encoder are compared with the best there are: by a search of another kind, in
   double arithmetic, which is itself compared with the answers of trellis.h.

   TRELLIS_ONE_IN  keep one case in so many (default 1, with a sanitizer 8) */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "internals.h"
#include "exact.h"
#include "suite.h"
#include "vectors/trellis.h"

#define MAX_COLS 1300u
#define MAX_ROWS 300u
#define MAX_NUMBERS (MAX_ROWS * 600u)
#define MAX_COUNT 17u /* activations: two batches of eight and one */
#define UNTOUCHED 0x3f3f3f3fu

#ifndef TRELLIS_ONE_IN
#if defined(__SANITIZE_ADDRESS__)
#define TRELLIS_ONE_IN 8
#else
#define TRELLIS_ONE_IN 1
#endif
#endif

#if ((LLMQ_FORMATS) & LLMQ_WITH_TRELLISES) == 0

/* Without them: no format of that name or id; and a bundle that needs one is refused
   (tests/hygiene.sh, the golden bundle). */
int main(void)
{
    llmq_format f;
    uint32_t i, k;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        CHECK_EQ(llmq_format_find(&f, trellis_format[i].name, 128), LLMQ_E_NOT_FOUND);
        for (k = 0; llmq_format_at(&f, k) == LLMQ_OK; k++) CHECK(f.id != trellis_format[i].id && f.taps[0] == 0);
    }
    return check_done("test_trellis");
}

#else

static float workspace[1 << 20], input[MAX_COUNT * MAX_COLS], memory[2][MAX_COUNT * (2 * MAX_COLS + 64)];
static float decoded[MAX_NUMBERS], expected[MAX_NUMBERS], product[MAX_COUNT * MAX_ROWS], again[MAX_COUNT * MAX_ROWS];
static uint8_t records[1 << 18];
static llmq_transform rotate;

static int skipped(void) { return TRELLIS_ONE_IN > 1 && check_below(TRELLIS_ONE_IN) != 0; }

static llmq_format get_format(uint32_t i, uint32_t group) { return format_of(trellis_format[i].name, group); }

/* ---- a second reading of section 6 ----------------------------------------------------------- */

static struct {
    uint32_t group, groups, cols;
    uint32_t first[MAX_ROWS], length[MAX_ROWS]; /* of the ring that a row is in */
    uint8_t low[MAX_NUMBERS];
    int8_t point[MAX_NUMBERS];
    float scale[MAX_ROWS * 64];
} ref;

static uint32_t unit_bytes(uint32_t bits, uint32_t m) { return bits == 3 ? up(2 * m, 8) + up(m, 8) : up(bits * m, 8); }

static size_t reference_size(uint32_t format, uint32_t group, uint32_t cols)
{
    uint32_t bits = trellis_format[format].bits;
    return 2 * (size_t)up(cols, group ? group : cols) + (size_t)(cols / 256) * unit_bytes(bits, 256)
           + unit_bytes(bits, cols % 256);
}

/* Rings, by cutting them off one after the other. */
static void reference_rings(uint32_t rows)
{
    uint32_t first = 0, r, length;
    for (; first < rows; first += length) {
        length = rows - first >= 256 ? 128 : rows - first;
        for (r = first; r < first + length; r++) ref.first[r] = first, ref.length[r] = length;
    }
}

static uint32_t code_at(uint32_t bits, const uint8_t *codes, uint32_t cols, uint32_t k)
{
    const uint8_t *unit = codes + (size_t)(k / 256) * 32 * bits;
    uint32_t m = least(256, cols - k / 256 * 256), in = k % 256, width = bits == 3 ? 2 : bits, size = up(width * m, 8),
        top = up(m, 8), code;
    code = unit[in % size] >> width * (in / size) & ((1u << width) - 1);
    if (bits == 3) code |= (unit[size + in % top] >> in / top & 1u) << 2;
    return code;
}

/* Fills ref from the records of a tensor. */
static void read_records(uint32_t format, uint32_t group, uint32_t rows, uint32_t cols, const uint8_t *data)
{
    uint32_t r, j, i, k, bits = trellis_format[format].bits;
    size_t size = reference_size(format, group, cols);
    ref.group = group ? group : cols, ref.groups = up(cols, ref.group), ref.cols = cols;
    reference_rings(rows);
    for (r = 0; r < rows; r++) {
        const uint8_t *record = data + r * size;
        for (j = 0; j < ref.groups; j++)
            ref.scale[r * ref.groups + j] = float_of((uint32_t)record[2 * j] << 16 | (uint32_t)record[2 * j + 1] << 24);
        for (j = 0; j < cols; j++) {
            uint32_t code = code_at(bits, record + 2 * ref.groups, cols, j);
            ref.low[r * cols + j] = code & 1;
            ref.point[r * cols + j] = (int8_t)(code >> 1); /* for now */
        }
    }
    for (r = 0; r < rows; r++)
        for (j = 0; j < cols; j++) {
            uint32_t index = (uint32_t)ref.point[r * cols + j] << trellis_format[format].parities,
                in = r - ref.first[r], length = ref.length[r];
            for (i = 0; i < trellis_format[format].parities; i++)
                for (k = 0; trellis_format[format].lags[i][k] >= 0; k++) {
                    uint32_t lag = (uint32_t)trellis_format[format].lags[i][k];
                    index ^= (uint32_t)ref.low[(ref.first[r] + (in + 16 * length - lag) % length) * cols + j] << i;
                }
            ref.point[r * cols + j] = trellis_format[format].points[index];
        }
}

static float number_at(uint32_t r, uint32_t j)
{
    return ref.scale[r * ref.groups + j / ref.group] * (float)ref.point[r * ref.cols + j];
}

/* As tests/gen/trellis.py makes them. */
static void random_records(uint32_t format, uint32_t group, uint32_t rows, uint32_t cols, uint32_t seed, uint8_t *to)
{
    size_t size = reference_size(format, group, cols), i;
    uint32_t groups = up(cols, group ? group : cols), k, u, bits;
    for (i = 0; i < rows * size; i++) to[i] = (uint8_t)(llmq_random(seed, (uint32_t)(i / 4)) >> 8 * (i % 4));
    for (k = 0; k < rows * groups; k++) {
        u = llmq_random(seed + 1, k);
        bits = (119 + (u >> 8) % 12) << 7 | (u >> 16 & 127) | (u & 7 ? 0 : 0x8000u);
        to[k / groups * size + 2 * (k % groups)] = (uint8_t)(bits & 255);
        to[k / groups * size + 2 * (k % groups) + 1] = (uint8_t)(bits >> 8);
    }
}

static uint32_t seed_of(uint32_t f, uint32_t r, uint32_t c, uint32_t g)
{
    return 100000 * f + 5000 * r + 100 * c + 10 * g;
}

static uint64_t checksum(uint64_t h, const float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) h = h * TRELLIS_MULTIPLIER + bits_of(x[i]);
    return h;
}

/* Rows at `data`. */
static llmq_tensor open_tensor(uint32_t format, uint32_t group, uint32_t rows, uint32_t cols,
                               const llmq_transform *transform, const void *data)
{
    llmq_format f = get_format(format, group);
    llmq_tensor t;
    size_t size = reference_size(format, group, cols);
    check_at("%s, group %lu, %lu x %lu%s", f.name, (unsigned long)group, (unsigned long)rows, (unsigned long)cols,
             transform ? ", rotated" : "");
    memset(&t, 0, sizeof t);
    CHECK_EQ((long)llmq_row_size(&f, cols), (long)size);
    CHECK_EQ((long)llmq_tensor_size(&f, rows, cols), (long)(size * rows));
    if (rows) CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, data, size * rows - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, data, size * rows), LLMQ_OK);
    CHECK(t.row_size == size);
    return t;
}

static uint32_t index_of(const llmq_tensor *t) { return t->format.id - trellis_format[0].id; }
static void read_tensor(const llmq_tensor *t) { read_records(index_of(t), t->format.group, t->rows, t->cols, t->data); }

/* ---- 4. Format ------------------------------------------------------------------------------- */

static void test_formats(void)
{
    static const int8_t two[4] = { -3, -2, -1, 0 };
    llmq_format f;
    uint32_t i, k, l, n, seen = 0;
    for (n = 0; llmq_format_at(&f, n) == LLMQ_OK; n++) {
        check_at("format %s", f.name);
        for (i = 0; i < TRELLIS_FORMATS && strcmp(f.name, trellis_format[i].name) != 0; i++) continue;
        if (i == TRELLIS_FORMATS) {
            CHECK(f.taps[0] == 0 && f.taps[1] == 0 && f.taps[2] == 0 && f.taps[3] == 0);
            for (k = 0; k < TRELLIS_FORMATS; k++) CHECK(f.id != trellis_format[k].id);
            continue;
        }
        seen++;
        CHECK(f.id == trellis_format[i].id && f.bits == trellis_format[i].bits && f.p == 1 && f.group == 128
              && f.zero_points == 0 && bits_of(f.unit) == bits_of(trellis_format[i].unit));
        CHECK_EQ(f.n, 1u << (f.bits - 1 + trellis_format[i].parities));
        CHECK(memcmp(f.points, trellis_format[i].points, f.n) == 0);
        for (k = 0; k < 4; k++) {
            uint32_t mask = 0;
            for (l = 0; k < trellis_format[i].parities && trellis_format[i].lags[k][l] >= 0; l++)
                mask |= 1u << trellis_format[i].lags[k][l];
            CHECK_EQ(f.taps[k], mask);
        }
    }
    CHECK_EQ(seen, TRELLIS_FORMATS);
    memset(&f, 0xff, sizeof f);
    CHECK_EQ(llmq_format_custom(&f, 1, 4, two, 1.0f, 64), LLMQ_OK);
    CHECK(f.taps[0] == 0 && f.taps[1] == 0 && f.taps[2] == 0 && f.taps[3] == 0);
    CHECK_EQ(llmq_format_find(&f, "t5", 64), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(&f, "t1s", 64), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(&f, "t2", 33), LLMQ_E_ARG);
    CHECK_EQ(llmq_format_find(&f, "t2", 1056), LLMQ_E_ARG);
}

static void test_sizes(void)
{
    static const struct { uint32_t format, group, cols, size; } known[] = { /* scales, codes */
        { 0, 128, 256, 4 + 32 }, { 1, 128, 256, 4 + 64 }, { 2, 0, 256, 2 + 64 + 32 }, { 3, 1024, 256, 2 + 128 },
        { 2, 0, 9, 2 + 3 + 2 },
        { 2, 32, 300, 20 + 96 + 11 + 6 }, { 0, 0, 257, 2 + 32 + 1 }, { 1, 0, 513, 2 + 128 + 1 }, { 3, 64, 129, 6 + 65 },
        { 6, 0, 1, 2 + 1 }
    };
    llmq_format f;
    uint32_t i, g, c;
    for (i = 0; i < COUNT(known); i++) {
        f = get_format(known[i].format, known[i].group);
        CHECK_EQ((long)llmq_row_size(&f, known[i].cols), (long)known[i].size);
    }
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        for (g = 0; g < COUNT(trellis_groups); g++)
            for (c = 1; c <= MAX_COLS; c++) {
                f = get_format(i, trellis_groups[g]);
                CHECK_EQ((long)llmq_row_size(&f, c), (long)reference_size(i, trellis_groups[g], c));
            }
        f = get_format(i, 0);
        CHECK_EQ((long)llmq_row_size(&f, LLMQ_MAX_COLS), (long)(LLMQ_MAX_COLS / 8 * f.bits + 2));
        CHECK_EQ((long)llmq_row_size(&f, LLMQ_MAX_COLS + 1), 0);
        CHECK_EQ((long)llmq_row_size(&f, 0), 0);
    }
}

/* Formats that only look like those: refused, so that no table is read beyond its end. */
static void test_refused_formats(void)
{
    uint32_t i, k;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < 11; k++) {
            llmq_format f = get_format(i, 64);
            llmq_tensor t;
            check_at("%s, refused %lu", f.name, (unsigned long)k);
            if (k == 0) f.bits++;
            if (k == 1) f.bits--;
            if (k == 2) f.bits = 5, f.n = 1u << (4 + trellis_format[i].parities);
            if (k == 3) f.zero_points = 1;
            if (k == 4) f.n *= 2;
            if (k == 5) f.p = 2;
            if (k == 6) f.points = NULL;
            if (k == 7) f.taps[1] = 0x8000;
            if (k == 8) f.group = 33;
            if (k == 9) f.taps[2] = 0;
            if (k == 10) f.unit = 0.0f;
            CHECK_EQ((long)llmq_row_size(&f, 64), 0);
            CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, 64, records, sizeof records), LLMQ_E_ARG);
        }
}

static void test_rings(void)
{
    llmq_tensor t, grid;
    llmq_format f;
    uint32_t rows, r, wrong = 0;
    t = open_tensor(0, 0, 1, 1, NULL, records);
    CHECK_EQ(llmq_format_find(&f, "g2", 64), LLMQ_OK);
    for (rows = 1; rows <= MAX_ROWS; rows++) {
        t.rows = rows;
        reference_rings(rows);
        for (r = 0; r < rows; r++) wrong += llmq_trellis_block_start(&t, r) != ref.first[r];
    }
    for (rows = 1; rows < 1200; rows += 7) { /* cut off by hand */
        uint32_t first = 0, length;
        t.rows = rows;
        for (; first < rows; first += length) {
            length = rows - first >= 256 ? 128 : rows - first;
            for (r = first; r < first + length; r++) wrong += llmq_trellis_block_start(&t, r) != first;
        }
    }
    t.rows = 0xffffffffu;
    wrong += llmq_trellis_block_start(&t, 0xfffffffeu) != 0xffffff00u
             || llmq_trellis_block_start(&t, 0xffffff00u) != 0xffffff00u
             || llmq_trellis_block_start(&t, 0xfffffeffu) != 0xfffffe80u;
    t.rows = 0xffffff7fu;
    wrong += llmq_trellis_block_start(&t, 0xffffff7eu) != 0xfffffe80u;
    CHECK_EQ(llmq_tensor_init(&grid, &f, NULL, 300, 64, records, sizeof records), LLMQ_OK);
    for (r = 0; r < 300; r++) wrong += llmq_trellis_block_start(&grid, r) != r;
    CHECK_EQ(wrong, 0);
}

/* ---- 5. Tensor: decoding --------------------------------------------------------------------- */

static void decode_all(const llmq_tensor *t, float *to)
{
    uint32_t r;
    for (r = 0; r < t->rows; r++)
        CHECK_EQ(llmq_tensor_decode(t, r, to + (size_t)r * t->cols, workspace, sizeof workspace), LLMQ_OK);
}

static void test_known(void)
{
    uint32_t i, j, r, wrong, c, g;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t = open_tensor(i, 32, 5, 33, NULL, trellis_known[i].records);
        llmq_activation a;
        float y[5];
        read_tensor(&t);
        decode_all(&t, decoded);
        for (wrong = 0, j = 0; j < 165; j++)
            wrong += bits_of(decoded[j]) != trellis_known[i].numbers[j]
                     || bits_of(number_at(j / 33, j % 33)) != trellis_known[i].numbers[j];
        CHECK_EQ(wrong, 0);
        for (j = 0; j < 33; j++) input[j] = j % 32 ? (float)((int32_t)(llmq_random(77, j) % 255) - 127) : 127.0f;
        CHECK_EQ(llmq_activation_prepare(&a, &t, 8, input, memory[0], sizeof memory[0]), LLMQ_OK);
        CHECK_EQ(llmq_matvec(&t, &a, 0, 5, y), LLMQ_OK);
        for (wrong = 0, r = 0; r < 5; r++) wrong += bits_of(y[r]) != trellis_known[i].whole[r];
        CHECK_EQ(wrong, 0);
        CHECK_EQ(llmq_activation_prepare(&a, &t, 32, input, memory[0], sizeof memory[0]), LLMQ_OK);
        CHECK_EQ(llmq_matvec(&t, &a, 0, 5, y), LLMQ_OK);
        for (wrong = 0, r = 0; r < 5; r++) wrong += bits_of(y[r]) != trellis_known[i].floats[r];
        CHECK_EQ(wrong, 0);
        for (r = 0; r < COUNT(trellis_rows); r++)
            for (c = 0; c < COUNT(trellis_cols); c++) {
                uint64_t h = 0;
                if (skipped()) continue;
                for (g = 0; g < COUNT(trellis_groups); g++) {
                    t = open_tensor(i, trellis_groups[g], trellis_rows[r], trellis_cols[c], NULL, records);
                    random_records(i, t.format.group, t.rows, t.cols, seed_of(i, r, c, g), records);
                    decode_all(&t, decoded);
                    h = checksum(g ? h : 1, decoded, (size_t)t.rows * t.cols);
                }
                CHECK(h == trellis_hash[i][r][c]);
            }
    }
}

static void test_known_products(void)
{
    static const uint32_t group[4] = { 64, 0, 32, 256 }, x_group[4] = { 64, 128, 32, 256 };
    uint32_t i, k, j, bits;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < 4; k++) {
            llmq_tensor t = open_tensor(i, group[k], 300, 300, NULL, records);
            random_records(i, group[k], 300, 300, seed_of(i, 20, k, 0), records);
            for (j = 0; j < 300; j++)
                input[j] = j % 32 ? (float)((int32_t)(llmq_random(78 + k, j) % 255) - 127) : 127.0f;
            for (bits = 8; bits <= 32; bits += 24) {
                llmq_activation a;
                CHECK_EQ(llmq_activation_prepare(&a, &t, bits, input, memory[0], sizeof memory[0]), LLMQ_OK);
                CHECK_EQ(a.group, x_group[k]);
                CHECK_EQ(llmq_matvec(&t, &a, 0, 300, product), LLMQ_OK);
                CHECK(checksum(1, product, 300) == trellis_products[i][2 * k + (bits == 32)]);
            }
        }
}

/* The numbers of ref, in the basis of W. */
static void check_decode(const llmq_tensor *t)
{
    size_t need = llmq_transform_work_size(&t->transform, t->cols);
    uint32_t r, j;
    read_tensor(t);
    for (r = 0; r < t->rows; r++) {
        for (j = 0; j < t->cols; j++) expected[j] = number_at(r, j);
        CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, expected, t->cols, workspace, need, NULL),
                 LLMQ_OK);
        memset(decoded, UNTOUCHED & 255, (t->cols + 1) * sizeof *decoded);
        if (need) CHECK_EQ(llmq_tensor_decode(t, r, decoded, workspace, need - 1), LLMQ_E_WORKSPACE);
        CHECK_EQ(bits_of(decoded[0]), UNTOUCHED);
        CHECK_EQ(llmq_tensor_decode(t, r, decoded, workspace, need), LLMQ_OK);
        CHECK(same_numbers(decoded, expected, t->cols) && bits_of(decoded[t->cols]) == UNTOUCHED);
    }
    CHECK_EQ(llmq_tensor_decode(t, t->rows, decoded, workspace, need), LLMQ_E_ARG);
}

/* Sums of weighted rows, rows in order, as section 9 says; also against double arithmetic. */
static void check_transposed(const llmq_tensor *t, uint32_t r0, uint32_t r1)
{
    static double sum[MAX_COLS], size[MAX_COLS];
    size_t need = llmq_transform_work_size(&t->transform, t->cols);
    float weight[MAX_ROWS];
    uint32_t r, j, wrong = 0;
    read_tensor(t);
    normal_numbers(weight, t->rows, 1.0, 0.5);
    memset(sum, 0, sizeof sum);
    memset(size, 0, sizeof size);
    for (r = r0; r < r1; r++)
        for (j = 0; j < t->cols; j++) {
            sum[j] += (double)weight[r] * (double)number_at(r, j);
            size[j] += check_abs((double)weight[r] * (double)number_at(r, j));
        }
    CHECK_EQ(llmq_matvec_transposed(t, weight, r0, r1, decoded, workspace, need), LLMQ_OK);
    if (t->transform.count == 0)
        for (j = 0; j < t->cols; j++)
            wrong += check_abs((double)decoded[j] - sum[j]) > (3.0 + (r1 - r0)) * 1.001 / 16777216.0 * size[j];
    CHECK_EQ(wrong, 0);
    memset(expected, 0, t->cols * sizeof *expected);
    for (r = r0; r < r1; r++)
        for (j = 0; j < t->cols; j++)
            expected[j] += weight[r] * ref.scale[r * ref.groups + j / ref.group] * (float)ref.point[r * ref.cols + j];
    CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, expected, t->cols, workspace, need, NULL), LLMQ_OK);
    CHECK(same_numbers(decoded, expected, t->cols));
}

/* ---- 6. Products ----------------------------------------------------------------------------- */

static const way ways[] = {
    { 8, -1, 0, 1.0f }, { 32, -1, 0, 1.0f }, { 8, 1, LLMQ_SCALES_GROUP, 1.0f }, { 7, -1, 0, 1.0f },
    { 6, 1, LLMQ_SCALES_GROUP, 1.0f },
    { 5, 0, LLMQ_SCALES_TOKEN, 0.9f }, { 4, 1, LLMQ_SCALES_GROUP, 0.95f }, { 3, -1, 0, 1.0f },
    { 2, 1, LLMQ_SCALES_TOKEN, 1.0f },
    { 8, 0, LLMQ_SCALES_BATCH, 1.0f }, { 8, 1, LLMQ_SCALES_TOKEN, 0.9f }, { 8, 1, LLMQ_SCALES_BATCH, 1.0f },
    { 6, 1, LLMQ_SCALES_BATCH, 0.8f }
};

/* count activations of the rows of input, into memory[place] */
static void prepare(llmq_activation *a, const llmq_tensor *t, const way *w, uint32_t count, uint32_t place)
{
    prepare_as(a, t, w, count, input, memory[place], sizeof memory[place]);
}

/* The int8 formula for codes q and row r of ref. */
static float formula_i8(const llmq_activation *a, const int8_t *q, uint32_t r)
{
    float total = 0.0f;
    int32_t sum = 0;
    uint32_t j;
    for (j = 0; j < ref.cols; j++) {
        sum += ref.point[r * ref.cols + j] * q[j];
        if (j + 1 < ref.cols && (j + 1) % ref.group && (j + 1) % a->group) continue;
        total += (float)sum * (a->scale[j / a->group] * ref.scale[r * ref.groups + j / ref.group]);
        sum = 0;
    }
    return total;
}

static float formula_f32(const llmq_activation *a, uint32_t r)
{
    float total = 0.0f, lane[16];
    uint32_t j, h, i;
    memset(lane, 0, sizeof lane);
    for (j = 0; j < ref.cols; j++) {
        lane[j % ref.group % 16] += a->x[j] * (float)ref.point[r * ref.cols + j];
        if (j + 1 < ref.cols && (j + 1) % ref.group) continue;
        for (h = 8; h; h /= 2)
            for (i = 0; i < h; i++) lane[i] += lane[i + h];
        total += lane[0] * ref.scale[r * ref.groups + j / ref.group];
        memset(lane, 0, sizeof lane);
    }
    return total;
}

/* Does the product with row r have the bits of section 9, and is it right? */
static void check_product(const llmq_activation *a, uint32_t r, float y)
{
    double sum = 0.0, size = 0.0;
    float wanted = a->q ? formula_i8(a, a->q, r) : formula_f32(a, r);
    uint32_t j;
    if (a->offset) wanted += formula_i8(a, a->offset, r);
    CHECK(same_floats(&wanted, &y, 1));
    for (j = 0; j < ref.cols; j++) {
        double x = a->q ? (double)a->scale[j / a->group] * (a->q[j] + (a->offset ? a->offset[j] : 0)) : (double)a->x[j],
            n = (double)number_at(r, j);
        sum += x * n;
        size += a->offset ? check_abs((double)a->scale[j / a->group] * n)
                * (check_abs(a->q[j]) + check_abs(a->offset[j])) : check_abs(x * n);
    }
    CHECK(check_abs((double)y - sum) <= 1e-5 * size + 1e-38);
}

/* Matmul of any count has in column i what the formula gives; any split of the rows the same; the rest is untouched. */
static void check_products(const llmq_tensor *t, const llmq_activation *a)
{
    static const uint32_t counts[] = { 1, 2, 7, 8, 9, 17 };
    uint32_t n, i, r, r0, r1, rows = t->rows, stride = MAX_ROWS;
    memset(product, UNTOUCHED & 255, sizeof product);
    CHECK_EQ(llmq_matmul(t, a, MAX_COUNT, 0, rows, product, stride), LLMQ_OK);
    for (i = 0; i < MAX_COUNT; i += 8)
        for (r = 0; r < rows; r += r < 10 || r + 12 > rows || (r > 115 && r < 140) ? 1 : 11)
            check_product(&a[i], r, product[i * stride + r]);
    for (n = 0; n < COUNT(counts); n++) {
        r0 = check_below(rows + 1), r1 = n == 0 && r0 < rows ? r0 + 1 : r0 + check_below(rows - r0 + 1);
        memset(again, UNTOUCHED & 255, sizeof again);
        CHECK_EQ(llmq_matmul(t, a, counts[n], r0, r1, again, stride), LLMQ_OK);
        for (i = 0; i < MAX_COUNT; i++) {
            uint32_t wrong = 0, end = i < counts[n] ? r1 : r0;
            for (r = 0; r < stride; r++)
                wrong += r >= r0 && r < end ? bits_of(again[i * stride + r]) != bits_of(product[i * stride + r])
                         : bits_of(again[i * stride + r]) != UNTOUCHED;
            CHECK_EQ(wrong, 0);
        }
    }
}

static void check_ways(const llmq_tensor *t, uint32_t other_group)
{
    llmq_activation a[MAX_COUNT];
    llmq_tensor other = *t;
    uint32_t w, i;
    CHECK_EQ(llmq_format_find(&other.format, "g4", other_group), LLMQ_OK);
    normal_numbers(input, MAX_COUNT * (size_t)t->cols, 1.0, 0.2);
    read_tensor(t);
    for (w = 0; w < COUNT(ways); w++) {
        if (w > 2 && check_below(3)) continue;
        prepare(a, check_below(2) ? &other : t, &ways[w], MAX_COUNT, 0);
        check_products(t, a);
        for (i = 0; i < 3; i++) {
            uint32_t r = check_below(t->rows);
            float y[MAX_ROWS];
            CHECK_EQ(llmq_matvec(t, &a[0], r, r + 1, y), LLMQ_OK);
            check_product(&a[0], r, y[r]);
        }
    }
}

static void test_records(void)
{
    static const uint32_t rows[] = { 1, 2, 5, 7, 31, 127, 128, 129, 255, 256, 300 },
        cols[] = { 1, 31, 32, 64, 172, 255, 256, 257, 300, 600 };
    uint32_t i, r, c, g;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (r = 0; r < COUNT(rows); r++)
            for (c = 0; c < COUNT(cols); c++) {
                llmq_tensor t;
                if (check_below(5) || skipped()) continue;
                g = check_below(COUNT(trellis_groups));
                t = open_tensor(i, trellis_groups[g], rows[r], cols[c], check_below(3) ? NULL : &rotate, records);
                random_records(i, t.format.group, t.rows, t.cols, check_random(), records);
                check_decode(&t);
                check_transposed(&t, check_below(t.rows), t.rows);
                check_ways(&t, trellis_groups[check_below(COUNT(trellis_groups))]);
            }
}

/* ---- 13. Kernels: whatever table, the bits of the scalar one; and no byte beside the records - */

static const llmq_kernels *tables[16];
static uint32_t table_count;

/* Rows [r0, r1) of t, as by the scalar kernels, whose answers are compared with sections 7 and 9 above. */
static void check_table(const llmq_tensor *t, const llmq_kernels *k, uint32_t r0, uint32_t r1)
{
    static const uint32_t counts[] = { 1, 2, 3, 4, 5, 8, 9, 17 };
    const llmq_kernels *scalar = llmq_kernels_at(0);
    llmq_activation a[MAX_COUNT];
    float weight[MAX_ROWS];
    uint32_t w, r, count = counts[check_below(COUNT(counts))], i;
    llmq_tensor plain = *t;
    plain.kernels = NULL;
    for (r = r0; r < r1; r += 1 + (r1 - r0) / 9) {
        scalar->read_row(t, r, expected);
        k->read_row(t, r, decoded);
        CHECK(memcmp(decoded, expected, t->cols * sizeof(float)) == 0);
    }
    normal_numbers(weight, t->rows, 1.0, 0.0);
    for (i = 0; i < t->cols; i++) expected[i] = decoded[i] = input[i];
    scalar->add_rows(t, weight, r0, r1, expected);
    k->add_rows(t, weight, r0, r1, decoded);
    CHECK(memcmp(decoded, expected, t->cols * sizeof(float)) == 0);
    for (w = 0; w < 3; w++) {
        prepare(a, &plain, &ways[w], count, 0);
        memset(product, UNTOUCHED & 255, sizeof product);
        memset(again, UNTOUCHED & 255, sizeof again);
        (a->q ? scalar->rows_i8 : scalar->rows_f32)(t, a, count, r0, r1, product, MAX_ROWS);
        (a->q ? k->rows_i8 : k->rows_f32)(t, a, count, r0, r1, again, MAX_ROWS);
        CHECK(memcmp(product, again, sizeof product) == 0);
    }
}

static void test_tables(void)
{
    static const uint32_t cols[] = { 1, 16, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 160, 172, 192, 224, 255, 256,
                                     257, 288, 300, 383, 384, 512, 513, 600 };
    static const uint32_t rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 31, 127, 128, 129, 136, 200, 255, 256, 257, 300 };
    static const uint32_t groups[] = { 0, 32, 64, 96, 128, 160, 256, 512, 1024 };
    check_wall wall = check_wall_open(sizeof records);
    uint32_t i, r, c, k, n;
    for (i = 0; i < TRELLIS_FORMATS && table_count; i++)
        for (r = 0; r < COUNT(rows); r++)
            for (c = 0; c < COUNT(cols); c++)
                for (n = 0; n < 2; n++) {
                    uint32_t group = groups[check_below(COUNT(groups))], r0, r1;
                    llmq_tensor t;
                    size_t size;
                    if (check_below((cols[c] * rows[r] > 20000 ? 40u : 8u) * TRELLIS_ONE_IN)) continue;
                    t = open_tensor(i, group, rows[r], cols[c], NULL, records);
                    size = t.rows * t.row_size;
                    t.data = n ? wall.start : wall.end - size;
                    random_records(i, group, t.rows, t.cols, check_random(), n ? wall.start : wall.end - size);
                    normal_numbers(input, MAX_COUNT * (size_t)t.cols, 1.0, 0.1);
                    for (k = 0; k < table_count; k++) {
                        check_at("%s, group %lu, %lu x %lu, %s", t.format.name, (unsigned long)group,
                                 (unsigned long)t.rows, (unsigned long)t.cols, tables[k]->name);
                        check_table(&t, tables[k], 0, t.rows);
                        r0 = check_below(t.rows), r1 = r0 + 1 + check_below(least(8, t.rows - r0));
                        check_table(&t, tables[k], r0, r1);
                        r0 = t.rows > 140 ? 120 + check_below(16) : 0,
                        r1 = r0 + 1 + check_below(least(20, t.rows - r0));
                        check_table(&t, tables[k], r0, r1);
                    }
                }
    check_wall_close(&wall);
}

/* Any bits, also as scales; between walls. What is not finite stays so. */
static void test_wild_records(void)
{
    check_wall wall = check_wall_open(sizeof records), out = check_wall_open(sizeof records);
    static const uint32_t cols[] = { 1, 7, 31, 33, 65, 100, 172, 255, 257, 300, 511, 600 };
    uint32_t i, r, j, c, upper, w, wrong;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (r = 0; r < COUNT(trellis_rows); r++)
            for (c = 0; c < COUNT(cols); c++) {
                llmq_tensor t;
                llmq_activation a;
                size_t size, k;
                uint8_t *at;
                float *y;
                if (check_below(4) || skipped()) continue;
                t = open_tensor(i, trellis_groups[check_below(COUNT(trellis_groups))], trellis_rows[r], cols[c], NULL,
                                records);
                size = t.rows * t.row_size, upper = check_below(2);
                at = upper ? wall.end - size : wall.start;
                y = (float *)(void *)(upper ? out.end - 4 * t.cols : out.start);
                for (k = 0; k < size; k++) at[k] = (uint8_t)check_random();
                t.data = at;
                read_tensor(&t);
                normal_numbers(input, t.cols, 1.0, 0.0);
                for (w = 0; w < t.rows; w += 1 + check_below(9)) {
                    for (j = 0; j < t.cols; j++) expected[j] = number_at(w, j);
                    CHECK_EQ(llmq_tensor_decode(&t, w, y, NULL, 0), LLMQ_OK);
                    for (wrong = 0, j = 0; j < t.cols; j++) wrong += !same_numbers(&y[j], &expected[j], 1);
                    CHECK_EQ(wrong, 0);
                }
                y = (float *)(void *)(upper ? out.end - 4 * t.rows : out.start);
                for (w = 0; w < 3; w++) {
                    prepare(&a, &t, &ways[w], 1, 0);
                    CHECK_EQ(llmq_matvec(&t, &a, 0, t.rows, y), LLMQ_OK);
                    for (wrong = 0, j = 0; j < t.rows; j++) {
                        float wanted = a.q ? formula_i8(&a, a.q, j) : formula_f32(&a, j);
                        if (a.offset) wanted += formula_i8(&a, a.offset, j);
                        wrong += !same_floats(&wanted, &y[j], 1);
                    }
                    CHECK_EQ(wrong, 0);
                }
                y = (float *)(void *)(upper ? out.end - 4 * t.cols : out.start);
                normal_numbers(product, t.rows, 1.0, 0.0);
                CHECK_EQ(llmq_matvec_transposed(&t, product, 0, t.rows, y, NULL, 0), LLMQ_OK);
            }
    check_wall_close(&wall);
    check_wall_close(&out);
}

#if !LLMQ_NO_ENCODER

static float weights[MAX_NUMBERS];
static uint8_t saved[1 << 18];
static int figures; /* print what is measured */

/* Encoding takes four times as long, and with it the tests. */
static uint32_t strong(uint32_t format) { return trellis_format[format].memory > 6; }
static double relative(double error, double of) { return of > 0.0 ? error / of : error > 0.0; }

/* ---- 7. Encoder: the least errors there are -------------------------------------------------- */

/* The least of sum (x - scale * point)^2 over a column of a ring, for any codes, scales given;
   x[row], scale[row]. In double arithmetic, from each state of the first `memory` bits to
   itself, a state at a time. A state of a ring that is shorter than the memory must repeat
   itself. */
static double least_error(uint32_t format, const double *x, const double *scale, uint32_t rows)
{
    static double cost[256][16], sum[2][256];
    const uint32_t memory_bits = trellis_format[format].memory, parities = trellis_format[format].parities,
        states = 1u << memory_bits;
    uint32_t r, p, i, k, start, bit, s;
    double best = 1e300;
    static uint8_t set[512];
    for (s = 0; s < 2 * states; s++) /* bit l of s: the lowest bit of the code l rows above */
        for (set[s] = 0, i = 0; i < parities; i++)
            for (k = 0; trellis_format[format].lags[i][k] >= 0; k++)
                set[s] = (uint8_t)(set[s] ^ (s >> trellis_format[format].lags[i][k] & 1) << i);
    for (r = 0; r < rows; r++)
        for (p = 0; p < 1u << parities; p++)
            for (cost[r][p] = 1e300, k = 0; k < 1u << (trellis_format[format].bits - 1); k++) {
                double d = x[r] - scale[r] * trellis_format[format].points[k << parities | p];
                if (d * d < cost[r][p]) cost[r][p] = d * d;
            }
    for (start = 0; start < states; start++) {
        for (i = rows; i < memory_bits && (start >> i & 1) == (start >> (i - rows) & 1); i++) continue;
        if (i < memory_bits) continue;
        for (s = 0; s < states; s++) sum[0][s] = s == start ? 0.0 : 1e300;
        for (r = 0; r < rows; r++) {
            const double *from = sum[r % 2];
            double *to = sum[1 - r % 2];
            for (s = 0; s < states; s++) to[s] = 1e300;
            for (s = 0; s < states; s++)
                for (bit = 0; bit < 2 && from[s] < best; bit++) { /* what is above the best already cannot win */
                    uint32_t window = s << 1 | bit, next = window & (states - 1);
                    double total = from[s] + cost[r][set[window]];
                    if (total < to[next]) to[next] = total;
                }
        }
        if (sum[rows % 2][start] < best) best = sum[rows % 2][start];
    }
    return best;
}

/* Over all sequences of lowest bits: for rings of up to 12. */
static double least_by_trying(uint32_t format, const double *x, const double *scale, uint32_t rows)
{
    uint32_t path, r, i, k, parities = trellis_format[format].parities;
    double best = 1e300;
    for (path = 0; path < 1u << rows; path++) {
        double sum = 0.0;
        for (r = 0; r < rows; r++) {
            uint32_t p = 0;
            double low = 1e300;
            for (i = 0; i < parities; i++)
                for (k = 0; trellis_format[format].lags[i][k] >= 0; k++) {
                    uint32_t lag = (uint32_t)trellis_format[format].lags[i][k], above = (r + 16 * rows - lag) % rows;
                    if (path >> above & 1u) p ^= 1u << i;
                }
            for (k = 0; k < 1u << (trellis_format[format].bits - 1); k++) {
                double d = x[r] - scale[r] * trellis_format[format].points[k << parities | p];
                if (d * d < low) low = d * d;
            }
            sum += low;
        }
        if (sum < best) best = sum;
    }
    return best;
}

/* As tests/gen/trellis.py makes it. */
static double encoder_input(uint32_t r, uint32_t c, uint32_t cols, uint32_t seed)
{
    uint32_t i, sum = 0;
    for (i = 0; i < 4; i++) sum += llmq_random(seed, 4 * (r * cols + c) + i) >> 16;
    return ((double)sum - 131070.0) / 32768.0 * (double)(1u << r % 3);
}

/* The judges, judged. */
static void test_least(void)
{
    uint32_t n, c, r;
    for (n = 0; n < COUNT(trellis_least); n++)
        for (c = 0; c < 3; c++) {
            double x[128], scale[128], exact = trellis_least[n].least[c];
            uint32_t format = trellis_least[n].format, rows = trellis_least[n].rows, k = n % 11;
            for (r = 0; r < rows; r++)
                x[r] = encoder_input(r, c, 3, seed_of(format, 30, k, 0)),
                scale[r] = (double)float_of((uint32_t)trellis_least[n].scale[r] << 16);
            check_at("least error, %s, %lu rows", trellis_format[format].name, (unsigned long)rows);
            if (skipped()) continue;
            CHECK(check_abs(least_error(format, x, scale, rows) - exact) <= 1e-9 * exact);
            if (rows <= 12) CHECK(check_abs(least_by_trying(format, x, scale, rows) - exact) <= 1e-9 * exact);
        }
}

static void encode_rows(const llmq_tensor *t, uint32_t r0, uint32_t r1, const float *w, int effort)
{
    llmq_encode_options o;
    size_t need = llmq_encode_work_size(t);
    memset(&o, 0, sizeof o);
    o.effort = effort;
    if (!CHECK(need > 0 && need <= sizeof workspace)) exit(1);
    CHECK_EQ(llmq_encode(t, records, r0, r1, w + (size_t)r0 * t->cols, t->cols, &o, workspace, need, NULL), LLMQ_OK);
}

static double error_of(const llmq_tensor *t, const float *w)
{
    size_t n = (size_t)t->rows * t->cols;
    decode_all(t, decoded);
    return relative(error_energy(decoded, w, n), energy(w, n));
}

/* How far are the codes of a tensor above the best for its scales, or for the first ones that
   the encoder tries, rms / unit? In units of the scales, in which errors count. Columns `step`
   apart; the sum of all, relative. */
static double excess(const llmq_tensor *t, const float *w, int tried, uint32_t step, double *worst)
{
    double all = 0.0, best = 0.0, x[256], scale[256];
    uint32_t j, r, first, g, n;
    read_tensor(t);
    for (r = 0; r < t->rows && tried; r++)
        for (g = 0; g < ref.groups; g++) {
            n = least(ref.group, t->cols - g * ref.group);
            ref.scale[r * ref.groups + g] =
                (float)(check_sqrt(energy(w + r * t->cols + g * ref.group, n) / n) / (double)t->format.unit);
        }
    *worst = 0.0;
    for (first = 0; first < t->rows; first += ref.length[first])
        for (j = 0; j < t->cols; j += step) {
            double own = 0.0, lowest;
            for (r = 0; r < ref.length[first]; r++) {
                double unit = (double)ref.scale[(first + r) * ref.groups + j / ref.group], error;
                x[r] = unit > 0.0 ? (double)w[(first + r) * t->cols + j] / unit : 0.0;
                scale[r] = unit > 0.0 ? 1.0 : 0.0; /* a row that codes do nothing for has scale 0 */
                error = x[r] - scale[r] * ref.point[(first + r) * t->cols + j];
                own += error * error;
            }
            lowest = least_error(index_of(t), x, scale, ref.length[first]);
            CHECK(own >= lowest * (1.0 - 1e-9));
            all += own, best += lowest;
            if (own / lowest - 1.0 > *worst) *worst = own / lowest - 1.0;
        }
    return all / best - 1.0;
}

/* In long rings little is lost by closing them. Those that are hardly longer than the memory
   find their first path by trying all states; then scales move, and it cannot follow any more.
   Scales are chosen after the codes, so no search would end at zero. */
static void test_excess(void)
{
    static const uint32_t rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 31, 50, 128, 129, 255 };
    uint32_t i, k, j;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = strong(i); k < COUNT(rows); k += 1 + 2 * strong(i)) {
            uint32_t cols = rows[k] < 100 ? 32 : 128, step = rows[k] <= 12 ? 1 : strong(i) ? 13 : 5;
            llmq_tensor t = open_tensor(i, 64, rows[k], cols, NULL, records);
            double more, worst;
            if (skipped()) continue;
            check_seed(1000 + 100 * i + k); /* limits of averages: the same numbers whatever ran before */
            normal_numbers(weights, (size_t)rows[k] * cols, 1.0, 0.0);
            for (j = 0; j < rows[k] * cols; j++) weights[j] *= (float)(1u << j / cols % 3);
            encode_rows(&t, 0, t.rows, weights, LLMQ_EFFORT_DEFAULT);
            more = excess(&t, weights, 0, step, &worst);
            check_at("%s, %lu rows: %.4f %% above the least error, at worst %.3f %%", t.format.name,
                     (unsigned long)rows[k], 100 * more, 100 * worst);
            if (figures) printf("%s\n", check_where);
            CHECK(more <= (rows[k] < 3 ? 3.0 : rows[k] < 5 ? 0.6 : rows[k] < 50 ? 0.25 : rows[k] < 128 ? 0.06 : 0.02));
        }
}

/* One round, for scales that are known beforehand: codes of short rings are the best there are,
   to rounding; those of long ones, whose ends are found by a search with open ends, nearly so. */
static void test_first_round(void)
{
    static const uint32_t rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 23, 31, 40, 64, 128, 255 };
    uint32_t i, k, j;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = strong(i) * (i % 3); k < COUNT(rows); k += 1 + 2 * strong(i)) {
            uint32_t cols = rows[k] < 13 ? 40 : 80, step = rows[k] < 13 ? 1 : strong(i) ? 9 : 3,
                shorter = rows[k] < 4 * trellis_format[i].memory;
            llmq_tensor t = open_tensor(i, 32, rows[k], cols, NULL, records);
            double more, worst;
            if (skipped()) continue;
            check_seed(2000 + 100 * i + k);
            normal_numbers(weights, (size_t)rows[k] * cols, 1.0, 0.0);
            for (j = 0; j < rows[k] * cols; j++) weights[j] *= (float)(1u << j / cols % 3);
            encode_rows(&t, 0, t.rows, weights, LLMQ_EFFORT_FAST);
            more = excess(&t, weights, 1, step, &worst);
            check_at("%s, %lu rows, first round: %.5f %% above the least error, at worst %.4f %%", t.format.name,
                     (unsigned long)rows[k], 100 * more, 100 * worst);
            if (figures) printf("%s\n", check_where);
            CHECK(shorter ? worst <= 1e-4 && more <= 1e-6
                  : more <= (rows[k] < 50 ? 0.2 : rows[k] < 100 ? 0.04 : 0.015));
        }
}

/* ---- how good codes are ---------------------------------------------------------------------- */

/* Relative MSE of N(0,1) with one scale for 256 columns, by effort; the header's figures are of
   an open search, without closing rings. */
static void test_precision(void)
{
    static const double most[TRELLIS_FORMATS] = { 0.29, 0.0765, 0.0202, 0.0053, 0.0730, 0.0189, 0.0048 };
    uint32_t i, rotated;
    int effort;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (rotated = 0; rotated < 2; rotated++) {
            uint32_t cols = 256, rows = strong(i) ? 128 : 256;
            llmq_tensor t = open_tensor(i, 1024, rows, cols, rotated ? &rotate : NULL, records);
            double error[3];
            if (TRELLIS_ONE_IN > 4 && strong(i)) continue;
            check_seed(3000 + 100 * i + (uint32_t)rotated);
            normal_numbers(weights, (size_t)rows * cols, 0.02, 0.0);
            for (effort = 0; effort < (rotated ? 1 : 3); effort++) {
                encode_rows(&t, 0, rows, weights, effort);
                error[effort] = error_of(&t, weights);
                check_at("%s, effort %d%s: relative error %.5f", t.format.name, effort, rotated ? ", rotated" : "",
                         error[effort]);
                if (figures) printf("%s\n", check_where);
                CHECK(error[effort] < most[i] && error[effort] > 0.97 / (double)(1u << 2 * t.format.bits));
            }
            if (rotated || t.format.bits == 1) continue; /* at one bit scales have nothing to gain by rounds */
            check_at("%s, efforts", t.format.name);
            CHECK(error[LLMQ_EFFORT_FAST] > error[LLMQ_EFFORT_DEFAULT]
                  && error[LLMQ_EFFORT_DEFAULT] > error[LLMQ_EFFORT_BEST]);
        }
}

/* Short groups, in which scales matter more; short rings; and columns that do not fill the lanes of a search. */
static void test_shapes(void)
{
    /* most: times the best of the format */
    static const struct { uint32_t rows, cols, group; double most; } shape[] = {
        { 128, 64, 32, 1.02 }, { 128, 17, 0, 1.1 }, { 40, 100, 32, 1.08 }, { 12, 100, 64, 1.3 }, { 5, 100, 0, 2.1 },
        { 140, 1, 0, 1.05 }, { 300, 33, 32, 1.04 }
    };
    static const double best[TRELLIS_FORMATS] = { 0.2818, 0.0751, 0.0199, 0.00514, 0.0711, 0.0184, 0.0047 };
    uint32_t i, k;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < COUNT(shape); k++) {
            llmq_tensor t = open_tensor(i, shape[k].group, shape[k].rows, shape[k].cols, NULL, records);
            double error;
            if (skipped()) continue;
            check_seed(4000 + 100 * i + k);
            normal_numbers(weights, (size_t)t.rows * t.cols, 3.0, 0.0);
            encode_rows(&t, 0, t.rows, weights, LLMQ_EFFORT_DEFAULT);
            error = error_of(&t, weights);
            check_at("%s, %lu x %lu, group %lu: relative error %.5f, %.3f of the best", t.format.name,
                     (unsigned long)t.rows, (unsigned long)t.cols, (unsigned long)t.format.group, error,
                     error / best[i]);
            if (figures) printf("%s\n", check_where);
            CHECK(t.cols == 1 || error < best[i] * shape[k].most);
        }
}

/* Scales as stored are those of least squares for the codes as stored. */
static void check_fit(const llmq_tensor *t, const float *w)
{
    uint32_t r, g, j, wrong = 0;
    read_tensor(t);
    for (r = 0; r < t->rows; r++)
        for (g = 0; g < ref.groups; g++) {
            double num = 0.0, den = 0.0, size = 0.0, fit, stored = (double)ref.scale[r * ref.groups + g];
            for (j = g * ref.group; j < least(t->cols, (g + 1) * ref.group); j++) {
                double p = ref.point[r * t->cols + j], x = (double)w[r * t->cols + j];
                num += x * p, den += p * p, size += check_abs(x * p);
            }
            fit = num / den;
            if (check_abs(num) < 1e-5 * size) continue;
            if (fit <= 0.0) fit = 0.0;
            wrong += check_abs(stored - fit) > fit * (1.0 / 256 + 1e-5); /* half a unit of 8 bits */
        }
    CHECK_EQ(wrong, 0);
}

/* ---- the same bytes however a tensor is encoded ---------------------------------------------- */

static void fill_bytes(void *at, size_t n, unsigned char with) { memset(at, with, n); }

static void test_same(void)
{
    static const uint32_t rows[] = { 1, 5, 100, 128, 255, 256, 300 };
    uint32_t i, k, n, r, next;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < COUNT(rows); k++) {
            uint32_t cols = 17 + 5 * k, ring[4], count = 0, stride = cols + 3;
            llmq_tensor t = open_tensor(i, k % 2 ? 32 : 0, rows[k], cols, NULL, records), u;
            size_t size = t.rows * t.row_size, need = llmq_encode_work_size(&t);
            llmq_encode_options o;
            if (skipped()) continue;
            memset(&o, 0, sizeof o);
            o.effort = strong(i) ? LLMQ_EFFORT_FAST : (int)(i + k) % 3;
            normal_numbers(weights, (size_t)rows[k] * stride, 1.0, 0.1);
            for (r = 0; r < rows[k]; r++)
                weights[r * stride] *= r % 7 == 0 ? 50.0f : 1.0f,
                weights[r * stride + cols + r % 3] = float_of(0x7fc00000u);
            fill_bytes(records, sizeof records, 0xee), fill_bytes(workspace, need + 4, 0xff);
            CHECK_EQ(llmq_encode(&t, records, 0, rows[k], weights, stride, &o, workspace, need, NULL), LLMQ_OK);
            CHECK(records[size] == 0xee && ((uint8_t *)workspace)[need] == 0xff);
            memcpy(saved, records, size);
            for (n = 0; n < 3; n++) { /* the workspace as it was; zeros in it; and another order of rings, each alone */
                fill_bytes(records, size, (unsigned char)(n * 85));
                if (n == 1) fill_bytes(workspace, need, 0);
                if (n < 2) {
                    CHECK_EQ(llmq_encode(&t, records, 0, rows[k], weights, stride, &o, workspace, need, NULL), LLMQ_OK);
                    CHECK(memcmp(saved, records, size) == 0);
                }
            }
            for (r = 0; r < rows[k]; r++)
                if (llmq_trellis_block_start(&t, r) == r) ring[count++] = r;
            ring[count] = rows[k];
            for (n = count; n-- > 0;) {
                next = ring[n + 1];
                CHECK_EQ(llmq_encode(&t, records, ring[n], next, weights + (size_t)ring[n] * stride, stride, &o,
                                     workspace, need, NULL), LLMQ_OK);
                CHECK(memcmp(saved + ring[n] * t.row_size, records + ring[n] * t.row_size,
                             (next - ring[n]) * t.row_size) == 0);
                if (ring[n]) CHECK(records[ring[n] * t.row_size - 1] == 0xaa); /* what is before it waits */
            }
            CHECK(memcmp(saved, records, size) == 0);
            for (n = 0; n < table_count; n++) { /* and with any kernels */
                u = t, u.kernels = tables[n];
                check_at("%s, %lu rows, %s", t.format.name, (unsigned long)rows[k], tables[n]->name);
                fill_bytes(records, size, 0x33);
                CHECK_EQ(llmq_encode(&u, records, 0, rows[k], weights, stride, &o, workspace, need, NULL), LLMQ_OK);
                CHECK(memcmp(saved, records, size) == 0);
            }
            u = t, u.kernels = NULL;
            CHECK_EQ(llmq_encode(&u, records, 0, rows[k], weights, stride, &o, workspace, need, NULL), LLMQ_OK);
            CHECK(memcmp(saved, records, size) == 0);
            o.effort = 0, o.clip = 0.7f; /* means nothing here */
            CHECK_EQ(llmq_encode(&t, records, 0, rows[k], weights, stride, &o, workspace, need, NULL), LLMQ_OK);
            memcpy(saved, records, size);
            CHECK_EQ(llmq_encode(&t, records, 0, rows[k], weights, stride, NULL, workspace, need, NULL), LLMQ_OK);
            CHECK(memcmp(saved, records, size) == 0);
        }
}

/* Nothing depends on rows of other rings, nor on other groups of columns. */
static void test_apart(void)
{
    uint32_t i, r, j, g, wrong;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t = open_tensor(i, 32, 300, 80, NULL, records);
        if (skipped()) continue;
        normal_numbers(weights, 300 * 80, 1.0, 0.0);
        encode_rows(&t, 0, 300, weights, LLMQ_EFFORT_FAST);
        memcpy(saved, records, 300 * t.row_size);
        for (r = 128; r < 300; r++)
            for (j = 0; j < 80; j++) weights[r * 80 + j] *= 1e6f;
        encode_rows(&t, 0, 300, weights, LLMQ_EFFORT_FAST);
        CHECK(memcmp(saved, records, 128 * t.row_size) == 0
              && memcmp(saved + 128 * t.row_size, records + 128 * t.row_size, 172 * t.row_size) != 0);
        read_records(i, 32, 300, 80, saved);
        memcpy(decoded, ref.scale, 300 * 3 * sizeof(float));
        memcpy(saved, ref.point, 300 * 80);
        for (r = 128; r < 300; r++)
            for (j = 0; j < 80; j++) weights[r * 80 + j] *= 1e-6f;
        normal_numbers(expected, 300 * 32, 1e-3, 0.0);
        for (r = 0; r < 300; r++) memcpy(weights + r * 80 + 32, expected + r * 32, 32 * sizeof(float));
        encode_rows(&t, 0, 128, weights, LLMQ_EFFORT_FAST);
        read_tensor(&t);
        for (wrong = 0, r = 0; r < 128; r++)
            for (g = 0; g < 3; g++) {
                if (g == 1) continue;
                wrong += bits_of(ref.scale[r * 3 + g]) != bits_of(decoded[r * 3 + g]);
                for (j = 32 * g; j < least(80, 32 * g + 32); j++)
                    wrong += ref.point[r * 80 + j] != (int8_t)saved[r * 80 + j];
            }
        CHECK_EQ(wrong, 0);
    }
}

/* 2^k W has the codes of W and 2^k times its scales; also with a transform, and where k differs by rings. */
static void test_powers(void)
{
    static const int32_t powers[] = { 1, -1, 37, 100, -100, 60, -75 };
    uint32_t i, k, r, g, j, wrong;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < COUNT(powers); k++) {
            llmq_tensor t = open_tensor(i, 64, k % 2 ? 40 : 130, 80, k % 3 ? NULL : &rotate, records);
            /* so that no scale becomes 0 */
            float by = float_of((uint32_t)(127 + powers[k]) << 23), small = powers[k] < -90 ? 0.5f : 1e-3f;
            if (skipped()) continue;
            normal_numbers(weights, (size_t)t.rows * t.cols, 1.0, 0.0);
            for (r = 0; r < t.rows; r++)
                for (j = 0; j < t.cols; j++) weights[r * t.cols + j] *= r % 5 ? 1.0f : r % 10 ? 0.0f : small;
            encode_rows(&t, 0, t.rows, weights, LLMQ_EFFORT_FAST);
            memcpy(saved, records, t.rows * t.row_size);
            read_tensor(&t);
            memcpy(expected, ref.scale, t.rows * ref.groups * sizeof(float));
            for (j = 0; j < t.rows * t.cols; j++) weights[j] *= by;
            encode_rows(&t, 0, t.rows, weights, LLMQ_EFFORT_FAST);
            read_tensor(&t);
            for (wrong = 0, r = 0; r < t.rows; r++) {
                for (g = 0; g < ref.groups; g++)
                    wrong += bits_of(ref.scale[r * ref.groups + g]) != bits_of(expected[r * ref.groups + g] * by);
                wrong += memcmp(saved + r * t.row_size + 2 * ref.groups, records + r * t.row_size + 2 * ref.groups,
                                t.row_size - 2 * ref.groups) != 0;
            }
            check_at("%s, times 2^%d", t.format.name, (int)powers[k]);
            CHECK_EQ(wrong, 0);
        }
}

/* A tensor with a transform holds what one without it holds of the transformed rows. */
static void test_transforms(void)
{
    static float smooth[100];
    static uint8_t data[400];
    llmq_transform two;
    uint32_t i, k, r, j;
    memset(&two, 0, sizeof two);
    two.count = 2;
    two.step[0].kind = LLMQ_STEP_SMOOTH, two.step[0].arg = 100;
    two.step[1].kind = LLMQ_STEP_HADAMARD, two.step[1].arg = 9, two.step[1].block = 64;
    for (j = 0; j < 100; j++) {
        uint32_t u;
        smooth[j] = (float)(1u << j % 4) * 0.5f, u = bits_of(smooth[j]);
        for (k = 0; k < 4; k++) data[4 * j + k] = (uint8_t)(u >> 8 * k);
    }
    two.data = data;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < 2; k++) {
            const llmq_transform *steps = k ? &two : &rotate;
            llmq_tensor t = open_tensor(i, 32, 131, 100, steps, records),
                plain = open_tensor(i, 32, 131, 100, NULL, records);
            double lost = 0.0;
            if (skipped()) continue;
            normal_numbers(weights, 131 * 100, 1.0, 0.3);
            encode_rows(&t, 0, 131, weights, LLMQ_EFFORT_FAST);
            memcpy(saved, records, 131 * t.row_size);
            /* what comes back is near what went in, in the basis in which errors are spread
               evenly */
            for (r = 0; r < 131; r++) {
                CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, sizeof workspace), LLMQ_OK);
                for (j = 0; j < 100; j++) decoded[j] = (decoded[j] - weights[r * 100 + j]) * (k ? smooth[j] : 1.0f);
                lost += energy(decoded, 100);
                for (j = 0; j < 100; j++) decoded[j] = weights[r * 100 + j] * (k ? smooth[j] : 1.0f);
                lost -= energy(decoded, 100) * (t.format.bits == 1 ? 0.29 : t.format.bits == 2 ? 0.08
                                                : t.format.bits == 3 ? 0.022 : 0.006);
            }
            CHECK(lost < 0.0);
            for (r = 0; r < 131; r++)
                CHECK_EQ(llmq_transform_apply(steps, LLMQ_TO_WEIGHT, weights + r * 100, 100, workspace,
                                              sizeof workspace, NULL), LLMQ_OK);
            encode_rows(&plain, 0, 131, weights, LLMQ_EFFORT_FAST);
            CHECK(memcmp(saved, records, 131 * t.row_size) == 0);
            check_fit(&plain, weights);
        }
}

/* ---- numbers that are not normal ------------------------------------------------------------- */

/* Squared error of row r, relative to its energy. */
static double row_error(const llmq_tensor *t, uint32_t r, const float *w)
{
    double scaled[2];
    uint32_t j;
    CHECK_EQ(llmq_tensor_decode(t, r, decoded, workspace, sizeof workspace), LLMQ_OK);
    scaled[0] = scaled[1] = 0.0;
    for (j = 0; j < t->cols; j++) {
        double e = (double)decoded[j] - (double)w[r * t->cols + j];
        scaled[0] += e * e, scaled[1] += (double)w[r * t->cols + j] * (double)w[r * t->cols + j];
    }
    return relative(scaled[0], scaled[1]);
}

/* Kinds of rows, and what is known of their errors: never more than the row itself, for scales
   fit the codes; and little, however small it is beside others of its ring. */
static void test_unusual(void)
{
    static const double good[5] = { 0, 0.36, 0.105, 0.03, 0.008 };
    uint32_t i, kind, r, j, g, wrong, count;
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (kind = 0; kind < 13; kind++) {
            uint32_t rows = kind % 4 == 2 ? (strong(i) ? 33 : 31) : 129, cols = 100, group = 32;
            llmq_tensor t = open_tensor(i, group, rows, cols, NULL, records);
            double mean = 0.0, error;
            if (skipped()) continue;
            normal_numbers(weights, (size_t)rows * cols, 1.0, 0.0);
            for (r = 0; r < rows; r++)
                for (j = 0; j < cols; j++) {
                    float *w = &weights[r * cols + j];
                    if (kind == 0 && r % 3 == 0) *w = 0.0f;                                   /* zero rows */
                    if (kind == 1 && (r + j / group) % 4 == 0) *w = float_of(r % 2 ? 0x80000000u : 0); /* zero groups */
                    if (kind == 2) *w = 0.0f;                                                 /* nothing */
                    if (kind == 3 && r == 7 && j == 50) *w = 1e6f;                            /* an outlier */
                    if (kind == 4) *w = r % 2 ? 1.0f : -1.0f;                                 /* constant rows */
                    /* of very different size */
                    if (kind == 5) *w *= r % 3 == 0 ? 1e-30f : r % 3 == 1 ? 1e30f : 1.0f;
                    /* one number in a group */
                    if (kind == 6) *w = j % group == 3 && r % 4 == 0 ? 1.0f : 0.0f;
                    if (kind == 7) *w *= 1e38f / 8;
                    /* scales may be below 2^-126 */
                    if (kind == 8) *w *= 1e-36f;
                    if (kind == 9 && r == 5) *w *= 1e36f;                                     /* a giant */
                    if (kind == 10) *w = check_below(4) ? 0.0f : *w;
                    /* subnormal: scales are 0 */
                    if (kind == 11) *w *= 1e-42f;
                    /* many tiny rows together */
                    if (kind == 12) *w *= r < 60 ? 1e-20f : 1.0f;
                }
            encode_rows(&t, 0, rows, weights, strong(i) ? LLMQ_EFFORT_FAST : LLMQ_EFFORT_DEFAULT);
            read_tensor(&t);
            check_at("%s, kind %lu", t.format.name, (unsigned long)kind);
            for (wrong = 0, r = 0; r < rows; r++)
                for (g = 0; g < ref.groups; g++) {
                    float scale = ref.scale[r * ref.groups + g];
                    double size = energy(weights + r * cols + g * group, least(group, cols - g * group));
                    if (!(size > 0.0) || kind == 11) wrong += bits_of(scale) != 0;
                    wrong += !(scale <= 3.4e38f) || !(scale >= 0.0f);
                }
            CHECK_EQ(wrong, 0);
            for (count = 0, r = 0; r < rows; r++) {
                error = row_error(&t, r, weights);
                if (kind != 8) CHECK(error <= 1.0 + 1e-4);
                if (kind == 5 || kind == 9 || kind == 12) CHECK(error < good[t.format.bits] * 1.7);
                if (kind == 0 && r % 3 == 0) CHECK(!(error > 0.0));
                if ((kind == 3 && r == 7) || (kind == 0 && r % 3 == 0)) continue;
                mean += error, count++;
            }
            mean /= count;
            check_at("%s, kind %lu: relative error of rows %.4f", t.format.name, (unsigned long)kind, mean);
            if (figures) printf("%s\n", check_where);
            if (kind == 2) CHECK(!(mean > 0.0));
            else if (kind != 4 && kind != 6 && kind != 8 && kind != 10 && kind != 11) CHECK(mean < good[t.format.bits]);
            if (kind < 8) check_fit(&t, weights);
        }
}

/* All numbers of a ring tiny but for a row that is zero in the first group and huge in the
   second: it has no part in how the rows of the first weigh. */
static void test_zero_group_beside_giants(void)
{
    uint32_t i, r, j;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t = open_tensor(i, 32, 128, 64, NULL, records);
        if (skipped()) continue;
        normal_numbers(weights, 128 * 64, 1e-33, 0.0);
        for (r = 0; r < 128; r++)
            for (j = 0; j < 32; j++) weights[r * 64 + j] *= r % 2 ? 1.0f : 1024.0f;
        for (j = 0; j < 32; j++) weights[5 * 64 + j] = 0.0f;
        encode_rows(&t, 0, 128, weights, LLMQ_EFFORT_FAST);
        read_tensor(&t);
        memcpy(decoded, ref.scale, sizeof(float) * 256);
        memcpy(saved, ref.point, 128 * 64);
        for (j = 32; j < 64; j++) weights[5 * 64 + j] = weights[5 * 64 + j] * 1e33f * 1e35f;
        encode_rows(&t, 0, 128, weights, LLMQ_EFFORT_FAST);
        read_tensor(&t);
        check_at("%s, a zero group in a row of giants", t.format.name);
        for (r = 0; r < 128; r++)
            CHECK(bits_of(decoded[2 * r]) == bits_of(ref.scale[2 * r])
                  && memcmp(saved + r * 64, ref.point + r * 64, 32) == 0);
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

static uint32_t seen_done[8], seen_total, seen_count, stop_at;

static int watch(void *context, uint32_t done, uint32_t total)
{
    if (context != &seen_count) seen_total = 0xffffffffu;
    else seen_total = total;
    if (seen_count < COUNT(seen_done)) seen_done[seen_count] = done;
    seen_count++;
    return seen_count == stop_at;
}

static int untouched(uint32_t r0, uint32_t r1, size_t row_size)
{
    size_t k;
    for (k = r0 * row_size; k < r1 * row_size; k++)
        if (records[k] != 0xee) return 0;
    return 1;
}

static void test_errors(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u };
    static const struct { uint32_t r0, r1; llmq_status status; } range[] = {
        { 1, 384, LLMQ_E_ARG }, { 0, 127, LLMQ_E_ARG }, { 0, 129, LLMQ_E_ARG }, { 127, 128, LLMQ_E_ARG },
        { 129, 300, LLMQ_E_ARG }, { 0, 299, LLMQ_E_ARG },
        { 128, 256, LLMQ_E_ARG }, { 256, 300, LLMQ_E_ARG }, { 5, 5, LLMQ_E_ARG }, { 256, 256, LLMQ_E_ARG },
        { 200, 100, LLMQ_E_ARG }, { 0, 301, LLMQ_E_ARG },
        { 301, 301, LLMQ_E_ARG }, { 0, 0, LLMQ_OK }, { 128, 128, LLMQ_OK }, { 300, 300, LLMQ_OK }
    };
    llmq_encode_options o;
    llmq_error error;
    uint32_t i, b, r, at, cols = 33;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t = open_tensor(i, 32, 300, cols, i % 2 ? &rotate : NULL, records), grid = t, before;
        size_t need = llmq_encode_work_size(&t), size = 300 * t.row_size;
        memset(&o, 0, sizeof o);
        o.effort = LLMQ_EFFORT_FAST;
        normal_numbers(weights, 300 * cols, 1.0, 0.0);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need, NULL), LLMQ_OK);
        memcpy(saved, records, size);
        memset(records, 0xee, sizeof records);
        for (b = 0; b < COUNT(range); b++) {
            check_at("%s, rows %lu to %lu", t.format.name, (unsigned long)range[b].r0, (unsigned long)range[b].r1);
            memset(&error, 0x77, sizeof error);
            CHECK_EQ(llmq_encode(&t, records, range[b].r0, range[b].r1, weights + range[b].r0 * cols, cols, &o,
                                 workspace, need, &error), range[b].status);
        }
        check_at("%s, errors", t.format.name);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need - 1, NULL), LLMQ_E_WORKSPACE);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, 0, NULL), LLMQ_E_WORKSPACE);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, (char *)workspace + 1, need, NULL), LLMQ_E_ARG);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, (char *)workspace + 2, need, NULL), LLMQ_E_ARG);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, NULL, need, NULL), LLMQ_E_ARG);
        CHECK_EQ(llmq_encode(&t, NULL, 0, 300, weights, cols, &o, workspace, need, NULL), LLMQ_E_ARG);
        CHECK_EQ(llmq_encode(&t, records + 1, 0, 300, weights, cols, &o, workspace, need, NULL), LLMQ_E_ARG);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, NULL, cols, &o, workspace, need, NULL), LLMQ_E_ARG);
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols - 1, &o, workspace, need, NULL), LLMQ_E_ARG);
        for (o.effort = -1; o.effort <= 3; o.effort += 4)
            CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need, NULL), LLMQ_E_ARG);
        o.effort = LLMQ_EFFORT_FAST, o.clip = 1.5f;
        CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need, NULL), LLMQ_E_ARG);
        o.clip = 0.0f;
        grid.rows = 200, before = grid;
        CHECK_EQ(llmq_tensor_append(&grid, records, size, weights, &o, workspace, need), LLMQ_E_ARG);
        grid.rows = before.rows = 0;
        CHECK_EQ(llmq_tensor_append(&grid, records, size, weights, NULL, workspace, need), LLMQ_E_ARG);
        CHECK(memcmp(&grid, &before, sizeof grid) == 0);
        CHECK(untouched(0, 300, t.row_size));
        for (b = 0; b < COUNT(bad); b++) { /* the first that is met is named; its ring and what follows are untouched */
            r = b % 2 ? check_below(128) : 128 + check_below(172), at = check_below(cols);
            weights[r * cols + at] = float_of(bad[b]);
            if (r < 299) weights[(r + 1) * cols] = float_of(bad[b]);
            if (at + 1 < cols) weights[r * cols + at + 1] = float_of(bad[b]);
            memset(records, 0xee, sizeof records);
            memset(&error, 0, sizeof error);
            CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need, &error), LLMQ_E_NOT_FINITE);
            CHECK(error.status == LLMQ_E_NOT_FINITE && error.row == r && error.col == at);
            CHECK(r < 128 || memcmp(records, saved, 128 * t.row_size) == 0);
            CHECK(untouched(r < 128 ? 0 : 128, 300, t.row_size));
            memset(records, 0xee, sizeof records);
            CHECK_EQ(llmq_encode(&t, records, r < 128 ? 0 : 128, r < 128 ? 128 : 300,
                                 weights + (r < 128 ? 0 : 128 * cols), cols, &o, workspace, need, NULL),
                     LLMQ_E_NOT_FINITE);
            CHECK(untouched(0, 300, t.row_size));
            memset(records, 0xee, sizeof records);
            normal_numbers(weights, 300 * cols, 1.0, 0.0);
            CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need, NULL), LLMQ_OK);
            memcpy(saved, records, size);
        }
        o.progress = watch, o.context = &seen_count;
        for (stop_at = 0; stop_at < 3; stop_at++) {
            memset(records, 0xee, sizeof records);
            seen_count = 0;
            CHECK_EQ(llmq_encode(&t, records, 0, 300, weights, cols, &o, workspace, need, NULL),
                     stop_at ? LLMQ_E_STOPPED : LLMQ_OK);
            CHECK(seen_total == 300 && seen_done[0] == 128 && seen_count == (stop_at == 1 ? 1u : 2u)
                  && (seen_count == 1 || seen_done[1] == 300));
            CHECK(memcmp(records, saved, (stop_at == 1 ? 128 : 300) * t.row_size) == 0
                  && untouched(stop_at == 1 ? 128 : 300, 300, t.row_size));
        }
        seen_count = 0, stop_at = 0;
        CHECK_EQ(llmq_encode(&t, records, 128, 300, weights + 128 * cols, cols, &o, workspace, need, NULL), LLMQ_OK);
        CHECK(seen_count == 1 && seen_total == 172 && seen_done[0] == 172);
    }
    CHECK_EQ((long)llmq_encode_work_size(NULL), 0);
}

/* Memory of a call between walls: nothing beside it is read or written. */
static void test_encoder_walls(void)
{
    static const struct { uint32_t rows, cols, group; } shape[] =
        { { 1, 1, 0 }, { 5, 33, 32 }, { 31, 16, 0 }, { 130, 44, 32 }, { 255, 5, 64 }, { 300, 65, 64 },
          { 257, 9, 128 } };
    check_wall record = check_wall_open(sizeof records / 4), work = check_wall_open(sizeof workspace),
        in = check_wall_open(1 << 17);
    llmq_encode_options o;
    uint32_t i, k, upper;
    memset(&o, 0, sizeof o);
    for (i = 0; i < TRELLIS_FORMATS; i++)
        for (k = 0; k < COUNT(shape); k++)
            for (upper = 0; upper < 2; upper++) {
                const llmq_transform *steps = (i + k) % 2 ? &rotate : NULL;
                llmq_tensor open = open_tensor(i, shape[k].group, shape[k].rows, shape[k].cols, steps, records),
                    t = open;
                size_t size = t.rows * t.row_size, n = (size_t)t.rows * t.cols * sizeof(float),
                    need = llmq_encode_work_size(&t);
                uint8_t *at = upper ? record.end - size : record.start;
                float *w = (float *)check_wall_beside(&in, n, upper);
                if (skipped()) continue;
                t.data = at;
                normal_numbers(w, (size_t)t.rows * t.cols, 1.0, 0.1);
                memcpy(weights, w, n);
                o.effort = strong(i) ? LLMQ_EFFORT_FAST : LLMQ_EFFORT_DEFAULT;
                encode_rows(&open, 0, t.rows, weights, o.effort);
                CHECK_EQ(llmq_encode(&t, at, 0, t.rows, w, t.cols, &o, check_wall_beside(&work, need, upper), need,
                                     NULL), LLMQ_OK);
                CHECK(memcmp(at, records, size) == 0);
            }
    check_wall_close(&record);
    check_wall_close(&work);
    check_wall_close(&in);
}

/* ---- 12. Bundle ------------------------------------------------------------------------------ */

#if !LLMQ_NO_BUNDLE
static void use_bundle(const llmq_bundle *b)
{
    uint32_t i, r;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t;
        llmq_activation a;
        if (llmq_bundle_tensor(b, trellis_format[i].name, &t) != LLMQ_OK || t.rows > MAX_ROWS || t.cols > 600) continue;
        for (r = 0; r < t.rows; r += 3)
            CHECK_EQ(llmq_tensor_decode(&t, r, decoded, workspace, sizeof workspace), LLMQ_OK);
        CHECK_EQ(llmq_activation_prepare(&a, &t, 8, input, memory[0], sizeof memory[0]), LLMQ_OK);
        CHECK_EQ(llmq_matvec(&t, &a, 0, t.rows, product), LLMQ_OK);
        CHECK_EQ(llmq_matvec_transposed(&t, input, 0, t.rows, decoded, workspace, sizeof workspace), LLMQ_OK);
    }
}

static void test_bundle(void)
{
    enum { ROWS = 131, COLS = 100 };
    static uint8_t bundle[1 << 17], payload[TRELLIS_FORMATS][ROWS * 100], rot[64];
    static const uint32_t groups[] = { 32, 64, 0 };
    llmq_entry e[TRELLIS_FORMATS + 1], copy[TRELLIS_FORMATS + 1];
    llmq_bundle b;
    llmq_error error;
    size_t size = sizeof rot, cut;
    uint32_t i, k, id, end;
    uint8_t *place;
    memset(e, 0, sizeof e);
    check_at("bundle");
    CHECK_EQ(llmq_transform_store(&rotate, rot, &size), LLMQ_OK);
    e[TRELLIS_FORMATS].name = "rot", e[TRELLIS_FORMATS].kind = LLMQ_KIND_TRANSFORM, e[TRELLIS_FORMATS].data = rot,
    e[TRELLIS_FORMATS].size = size;
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t = open_tensor(i, groups[i % 3], ROWS, COLS, i % 2 ? &rotate : NULL, records);
        normal_numbers(weights, ROWS * COLS, 1.0, 0.0);
        encode_rows(&t, 0, ROWS, weights, LLMQ_EFFORT_FAST);
        size = ROWS * t.row_size;
        if (!CHECK(size <= sizeof payload[0])) return;
        memcpy(payload[i], records, size);
        e[i].name = trellis_format[i].name, e[i].kind = LLMQ_KIND_TENSOR, e[i].data = payload[i], e[i].size = size;
        e[i].format = t.format, e[i].rows = ROWS, e[i].cols = COLS, e[i].t2 = -1.0f,
        e[i].transform = i % 2 ? "rot" : NULL;
    }
    memcpy(copy, e, sizeof e);
    size = llmq_bundle_size(e, TRELLIS_FORMATS + 1);
    CHECK(size > 0 && size <= sizeof bundle);
    CHECK_EQ(llmq_bundle_write_memory(e, TRELLIS_FORMATS + 1, bundle, size), LLMQ_OK);
    CHECK_EQ(llmq_bundle_open(&b, bundle, size, &error), LLMQ_OK);
    CHECK_EQ(llmq_bundle_verify(&b, &error), LLMQ_OK);
    normal_numbers(input, COLS + ROWS, 1.0, 0.0);
    for (i = 0; i < TRELLIS_FORMATS; i++) {
        llmq_tensor t, original = open_tensor(i, groups[i % 3], ROWS, COLS, i % 2 ? &rotate : NULL, payload[i]);
        check_at("bundle, %s", trellis_format[i].name);
        if (!CHECK_EQ(llmq_bundle_tensor(&b, trellis_format[i].name, &t), LLMQ_OK)) continue;
        CHECK(t.format.id == original.format.id && t.format.group == original.format.group
              && t.format.points == original.format.points);
        CHECK(memcmp(t.format.taps, original.format.taps, sizeof t.format.taps) == 0 && t.row_size == original.row_size
              && t.rows == ROWS && t.cols == COLS);
        CHECK(memcmp(t.data, payload[i], ROWS * t.row_size) == 0);
        decode_all(&t, decoded);
        decode_all(&original, expected);
        CHECK(memcmp(decoded, expected, ROWS * COLS * sizeof(float)) == 0);
        place = bundle + (t.data - bundle) + 5 * t.row_size;
        place[1] ^= 0x80; /* a negative scale */
        CHECK_EQ(llmq_bundle_verify(&b, &error), LLMQ_E_CHECKSUM);
        place[1] ^= 0x80;
        memset(place, 0xa5, 20 * t.row_size); /* any bits are safe */
        CHECK_EQ(llmq_bundle_open(&b, bundle, size, &error), LLMQ_OK);
        use_bundle(&b);
        memcpy(place, payload[i] + 5 * t.row_size, 20 * t.row_size);
    }
    CHECK_EQ(llmq_bundle_verify(&b, &error), LLMQ_OK);
    for (cut = 0; cut < size; cut += 1 + check_below((uint32_t)size / 500))
        CHECK(llmq_bundle_open(&b, bundle, cut, NULL) != LLMQ_OK);
    end = 64 + 64 * (TRELLIS_FORMATS + 1) + (bundle[32] | (uint32_t)bundle[33] << 8); /* of the names */
    for (k = 0; k < 3000 / TRELLIS_ONE_IN; k++) { /* a bit: seen by one of the two checksums, or of no account */
        uint32_t at = k % 2 ? check_below(64 * (TRELLIS_FORMATS + 2)) : check_below((uint32_t)size),
            bit = check_below(8);
        bundle[at] = (uint8_t)(bundle[at] ^ 1u << bit);
        if (llmq_bundle_open(&b, bundle, size, NULL) == LLMQ_OK) {
            CHECK(llmq_bundle_verify(&b, NULL) == LLMQ_E_CHECKSUM || at == 10 || at == 11
                  || (at >= end && at < (end + 63) / 64 * 64));
            if (k % 16 == 0) use_bundle(&b);
        }
        bundle[at] = (uint8_t)(bundle[at] ^ 1u << bit);
    }
    /* another format, of those there are and are not, in an entry that is otherwise right */
    for (k = 0; k < 300; k++) {
        uint32_t at = 64 + 64 * (k % (TRELLIS_FORMATS + 1));
        llmq_status status;
        uint8_t was[64];
        id = k < 120 ? 48 + k / 3 : check_random() % 300;
        memcpy(was, bundle + at, 64);
        if ((was[0] | was[1] << 8) != LLMQ_KIND_TENSOR) continue;
        for (i = 0; i < 4; i++) bundle[at + 12 + i] = (uint8_t)(id >> 8 * i);
        llmq__store32(bundle + 12, llmq__crc(0, bundle + 16, end - 16));
        status = llmq_bundle_open(&b, bundle, size, &error);
        if (id >= 67 && id < 257) CHECK(status == LLMQ_E_UNSUPPORTED && error.offset == at); /* unknown today */
        else if (id >= 53 && id < 60) CHECK_EQ(status, LLMQ_E_UNSUPPORTED);
        if (status == LLMQ_OK) use_bundle(&b);
        memcpy(bundle + at, was, 64);
        llmq__store32(bundle + 12, llmq__crc(0, bundle + 16, end - 16));
    }
    CHECK_EQ(llmq_bundle_open(&b, bundle, size, &error), LLMQ_OK);
    copy[2].size -= 1; /* payloads of another size are not written */
    CHECK_EQ(llmq_bundle_write_memory(copy, TRELLIS_FORMATS + 1, bundle, sizeof bundle), LLMQ_E_ARG);
    copy[2].size += 1, copy[3].rows--;
    CHECK_EQ(llmq_bundle_write_memory(copy, TRELLIS_FORMATS + 1, bundle, sizeof bundle), LLMQ_E_ARG);
}
#endif
#endif

int main(int argc, char **argv)
{
    check_seed(31);
    rotate = llmq_transform_hadamard(5, 256);
    table_count = find_tables(tables, COUNT(tables));
    test_formats();
    test_sizes();
    test_refused_formats();
    test_rings();
    test_known();
    test_known_products();
    test_records();
    test_tables();
    test_wild_records();
#if LLMQ_NO_ENCODER
    (void)argc, (void)argv;
#else
    figures = argc > 1 && strcmp(argv[1], "figures") == 0;
    check_seed(1); /* so that what follows, limits of averages among it, does not depend on how many tables ran above */
    test_least();
    test_excess();
    test_first_round();
    test_precision();
    test_shapes();
    test_same();
    test_apart();
    test_powers();
    test_transforms();
    test_unusual();
    test_zero_group_beside_giants();
    test_errors();
    test_encoder_walls();
#if !LLMQ_NO_BUNDLE
    test_bundle();
#endif
#endif
    return check_done("test_trellis");
}
#endif
