/* test_activation - sections 8 and 9 of llmq.h: activations of 2 to 8 bits, with options, and
   products with them

       cc -O2 -o test_activation tests/test_activation.c && ./test_activation

   Codes and scales are compared, to the bit, with a second implementation of what the header
   says; and, in double arithmetic and without knowing how they were found, with what
   quantization is for: a step of the right size, errors of half a step, zeros that stay zeros.
   Products are made again from the codes in 64-bit integers. Rows are read by
   llmq_tensor_decode, which test_tensor compares with the text of section 6. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "exact.h"
#include "suite.h"

#define MAX_COLS 4097u
#define MAX_GROUPS 129u
#define MAX_ROWS 12u
#define MAX_COUNT 17u
#define LARGEST 3.40282347e38f
#define LEAST_GROUP 7.88860905e-31f  /* 2^-100 */
#define LEAST_NORMAL 1.17549435e-38f

static float input[MAX_COUNT][MAX_COLS], memory[MAX_COUNT * 3 * MAX_COLS], again[MAX_COUNT * 3 * MAX_COLS];
static float product[MAX_COUNT][MAX_ROWS + 3], repeated[MAX_COUNT][MAX_ROWS + 3], workspace[MAX_COLS + 1024];
static uint8_t records[MAX_ROWS * (MAX_COLS + 2 * MAX_GROUPS)], one_record[MAX_COLS + 2 * MAX_GROUPS];
static llmq_activation act[MAX_COUNT], act2[MAX_COUNT];

static float larger(float a, float b) { return a > b ? a : b; }
static int is_nan(float x) { return (bits_of(x) & 0x7fffffffu) > 0x7f800000u; }
static int is_finite(float x) { return (bits_of(x) & 0x7f800000u) != 0x7f800000u; }

/* The same float: NaN is one class, payloads are not promised. */
static int same(float a, float b) { return bits_of(a) == bits_of(b) || (is_nan(a) && is_nan(b)); }

static llmq_activation_options options(uint32_t bits, int asymmetric, int scales, float clip)
{
    llmq_activation_options o;
    o.bits = bits;
    o.asymmetric = asymmetric;
    o.scales = scales;
    o.clip = clip;
    return o;
}

/* A tensor of that many columns at `records`. */
static llmq_tensor open_tensor(const char *format, uint32_t group, uint32_t rows, uint32_t cols,
                               const llmq_transform *transform)
{
    llmq_format f;
    llmq_tensor t;
    memset(&t, 0, sizeof t);
    if (!CHECK_EQ(find_format(&f, format, group), LLMQ_OK)
        || !CHECK_EQ(llmq_tensor_init(&t, &f, transform, rows, cols, records, sizeof records), LLMQ_OK)) exit(1);
    return t;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static float pool_normal[4099], pool_exponential[4099];

static double exponential_function(double x)
{
    double y = 1.0 + x / 65536.0;
    int i;
    for (i = 0; i < 16; i++) y *= y;
    return y;
}

static float silu(float x) { return (float)((double)x / (1.0 + exponential_function(-(double)x))); }

static void make_pools(void)
{
    size_t i;
    for (i = 0; i < COUNT(pool_normal); i++)
        pool_normal[i] = (float)check_normal(), pool_exponential[i] = (float)check_exponential();
}

static float normal_number(void) { return pool_normal[check_below(COUNT(pool_normal))]; }
static float positive_number(void) { return pool_exponential[check_below(COUNT(pool_exponential))]; }

#define KINDS 17u

/* n finite numbers of a kind; levels: those of the codes that will be made of them */
static void fill(float *x, uint32_t n, uint32_t kind, uint32_t levels)
{
    uint32_t i, u, first = check_random();
    for (i = 0; i < n; i++)
        switch (kind) {
        case 0: x[i] = normal_number(); break;
        case 1: x[i] = positive_number(); break;
        case 2: x[i] = -positive_number() - 0.5f; break;
        case 3: x[i] = silu(2.0f * normal_number()); break;
        case 4: x[i] = normal_number() * (check_below(100) ? 1.0f : 60.0f); break;
        case 5: x[i] = normal_number() * 1e-25f; break;
        case 6: x[i] = normal_number() * 1e33f; break;
        case 7: x[i] = check_below(5) ? (check_below(2) ? 0.0f : -0.0f) : normal_number(); break;
        case 8: x[i] = first % 2 ? 3.7f : -3.7f; break;
        case 9: x[i] = (float)((int)check_below(7) - 3); break;
        case 10: x[i] = (float)(2.0 * check_uniform() - 1.0) * LARGEST; break;
        /* near 2^-100, by groups */
        case 11: x[i] = normal_number() * float_of((25 + (i / 32 + first % 64) % 5) << 23); break;
        case 12: x[i] = float_of((check_random() & 0x807fffffu)); break;
        case 13: /* any finite number */
            u = check_random();
            x[i] = float_of((u & 0x7f800000u) == 0x7f800000u ? u & 0xbfffffffu : u);
            break;
        case 14: /* halves of a step: ties, of numbers and of zero points */
            x[i] = ((float)check_below(2 * levels + 1) - (float)(levels - first % 2)) * 0.5f;
            if (i % 32 == 0) x[i] = -0.5f * (float)(levels - first % 2);
            if (i % 32 == 1) x[i] = 0.5f * (float)(levels + first % 2);
            break;
        case 15: x[i] = check_below(3) ? 0.0f : check_below(2) ? -LARGEST : LARGEST; break;
        /* groups far apart */
        default: x[i] = normal_number() * float_of(((i / 32 * 37 + first) % 200 + 20) << 23); break;
        }
}

/* ---- a second reading of section 8 ----------------------------------------------------------- */

typedef struct vector_codes {
    float scale[MAX_GROUPS];
    int zero[MAX_GROUPS];  /* z, of groups that have a scale */
    int code[MAX_COLS];    /* q + shift */
} vector_codes;

static vector_codes want;
static float peak[MAX_GROUPS]; /* s_g */

static int group_count(const llmq_activation *a) { return (int)((a->cols + a->group - 1) / a->group); }

/* N of the text; the symmetric codes -L ... L are 2 L steps, too */
static uint32_t step_count(const llmq_activation_options *o)
{
    if (!o->asymmetric) return (1u << o->bits) - 2;
    return o->bits == 8 ? 254 : (1u << o->bits) - 1;
}

/* min(0, min x') and max(0, max x') of group g divided by s; 1 if it is all finite, else 0 */
static int group_range(const llmq_activation *a, uint32_t g, float s, float *low, float *high)
{
    uint32_t j;
    float lo = 0.0f, hi = 0.0f;
    for (j = g * a->group; j < least(a->cols, (g + 1) * a->group); j++) {
        if (!is_finite(a->x[j])) return 0;
        if (a->x[j] < lo) lo = a->x[j];
        if (a->x[j] > hi) hi = a->x[j];
    }
    if (lo / s < *low) *low = lo / s;
    if (hi / s > *high) *high = hi / s;
    return 1;
}

static void find_peaks(const llmq_activation *a, uint32_t count)
{
    uint32_t i, j;
    memset(peak, 0, sizeof peak);
    for (i = 0; i < count; i++)
        for (j = 0; j < a->cols; j++)
            if (is_finite(a[i].x[j])) peak[j / a->group] = larger(peak[j / a->group], larger(a[i].x[j], -a[i].x[j]));
}

static int has_peak(uint32_t g) { return peak[g] >= LEAST_GROUP; }

/* What low and high are for the codes of group g (before the clip), in units of s_g with BATCH. */
static int scope_range(const llmq_activation *a, const llmq_activation_options *o, uint32_t g, float *low, float *high)
{
    uint32_t k, groups = (uint32_t)group_count(a);
    int good = 1;
    *low = *high = 0.0f;
    if (o->scales == LLMQ_SCALES_GROUP) return group_range(a, g, 1.0f, low, high);
    for (k = 0; k < groups && o->scales == LLMQ_SCALES_TOKEN; k++) good = group_range(a, k, 1.0f, low, high) && good;
    for (k = 0; k < groups && o->scales == LLMQ_SCALES_BATCH; k++) {
        float l = 0.0f, h = 0.0f;
        if (has_peak(k)) good = group_range(a, k, peak[k], low, high) && good;
        else good = group_range(a, k, 1.0f, &l, &h) && good;
    }
    return good;
}

/* The formulas in float, as the text says; fills `want`. */
static void make_want(const llmq_activation *a, const llmq_activation_options *o)
{
    uint32_t g, j;
    float low = 0.0f, high = 0.0f, scale = 0.0f, inverse = 0.0f, nan = float_of(0x7fc00000u);
    float levels = (float)((1u << (o->bits - 1)) - 1), steps = (float)step_count(o);
    int bottom = 0, top = 0, good = 1, batch = o->scales == LLMQ_SCALES_BATCH;
    for (g = 0; g < (uint32_t)group_count(a); g++) {
        float m, factor = 0.0f;
        if (g == 0 || o->scales == LLMQ_SCALES_GROUP) {
            good = scope_range(a, o, g, &low, &high);
            low *= o->clip, high *= o->clip;
        }
        m = larger(-low, high);
        bottom = top = 0;
        if (!good || m < LEAST_GROUP) {
            scale = good ? 0.0f : nan;
        } else if (o->asymmetric) {
            scale = high / steps - low / steps;
            inverse = 1.0f / scale;
            bottom = -round_even(-low * inverse);
            top = (int)steps + bottom;
        } else {
            scale = m / levels;
            inverse = levels / m;
            bottom = -(int)levels, top = (int)levels;
        }
        factor = inverse;
        want.scale[g] = scale;
        want.zero[g] = -bottom;
        if (batch && good) {
            want.scale[g] = has_peak(g) ? scale * peak[g] : 0.0f;
            if (want.scale[g] < LEAST_NORMAL) want.scale[g] = 0.0f;
            else factor = inverse * (1.0f / peak[g]);
        }
        for (j = g * a->group; j < least(a->cols, (g + 1) * a->group); j++) {
            float v = want.scale[g] > 0.0f ? a->x[j] * factor : 0.0f;
            want.code[j] = v <= (float)bottom ? bottom : v >= (float)top ? top : round_even(v);
        }
    }
}

/* An activation against `want`: scales and codes to the bit, the shifts of 8 bits, the limits of int8. */
static void check_bits(const llmq_activation *a, const llmq_activation_options *o)
{
    uint32_t j, g, wrong = 0, out = 0, shifts = 0;
    CHECK((a->offset != NULL) == (o->asymmetric && o->bits == 8));
    make_want(a, o);
    for (g = 0; g < (uint32_t)group_count(a); g++) wrong += !same(a->scale[g], want.scale[g]);
    CHECK_EQ(wrong, 0);
    wrong = 0;
    for (j = 0; j < a->cols; j++) {
        g = j / a->group;
        wrong += code_of(a, j) != want.code[j];
        out += a->q[j] < -127 || (a->offset && a->offset[j] < -127);
        if (a->offset) shifts += a->offset[j] != (want.scale[g] > 0.0f ? 127 - want.zero[g] : a->offset[g * a->group]);
        if (!o->asymmetric) out += (a->q[j] < 0 ? -a->q[j] : a->q[j]) > (1 << (o->bits - 1)) - 1;
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(out, 0);
    CHECK_EQ(shifts, 0);
}

/* What quantization promises, in double: the step is the range over N; the error of a number is
   half a step, more by what it is outside the range. Zero has code 0. Rounding: inverses are up
   to 3 * 2^-22 off (where they are subnormal). */
static void check_errors(const llmq_activation *a, const llmq_activation_options *o)
{
    uint32_t g, j, groups = (uint32_t)group_count(a), steps_wrong = 0, errors = 0, zeros = 0, spread = 0;
    double n = (double)step_count(o);
    for (g = 0; g < groups; g++) {
        double low = 0.0, high = 0.0, step;
        int bottom = 0, top = 0;
        uint32_t from = o->scales == LLMQ_SCALES_GROUP ? g * a->group : 0;
        uint32_t to = o->scales == LLMQ_SCALES_GROUP ? least(a->cols, from + a->group) : a->cols;
        for (j = from; j < to; j++) {
            double v = (double)a->x[j];
            if (o->scales == LLMQ_SCALES_BATCH) {
                if (!has_peak(g) || !has_peak(j / a->group)) continue;
                v = v / (double)peak[j / a->group] * (double)peak[g];
            }
            if (v < low) low = v;
            if (v > high) high = v;
        }
        low *= (double)o->clip, high *= (double)o->clip;
        if (!o->asymmetric) {
            if (high < -low) high = -low;
            low = -high;
        }
        step = (high - low) / n;
        if (o->scales == LLMQ_SCALES_BATCH && step < 1.2e-38) step = 0.0;
        if (o->scales != LLMQ_SCALES_BATCH && -low < (double)LEAST_GROUP && high < (double)LEAST_GROUP) step = 0.0;
        if (a->scale[g] > 0.0f) steps_wrong += check_abs((double)a->scale[g] - step) > 1e-6 * step;
        else if (o->scales != LLMQ_SCALES_BATCH) steps_wrong += step > 0.0; /* too small to have a scale */
        else steps_wrong += step * n > 2.01 * (double)LEAST_GROUP * (double)peak[g] && step > 1.3e-38;
        step = (double)a->scale[g];
        for (j = g * a->group; j < least(a->cols, (g + 1) * a->group); j++) {
            double x = (double)a->x[j], outside = x > high ? x - high : x < low ? low - x : 0.0;
            int c = code_of(a, j);
            if (c < bottom) bottom = c;
            if (c > top) top = c;
            zeros += a->x[j] >= 0.0f && a->x[j] <= 0.0f && c != 0;
            if (step > 0.0)
                errors += check_abs(x - step * (double)c) > outside + (0.5 + 1.5e-6 * n) * step + 1e-6 * check_abs(x);
            else zeros += c != 0;
        }
        spread += top - bottom > (int)n;
        /* the codes of the ends: with GROUP the whole range is in the group, and all but one step of it is used */
        if (step > 0.0 && o->scales == LLMQ_SCALES_GROUP && o->asymmetric) spread += top - bottom < (int)n - 1;
        if (step > 0.0 && o->scales == LLMQ_SCALES_GROUP && !o->asymmetric)
            spread += (top > -bottom ? top : -bottom) < (int)n / 2;
    }
    CHECK_EQ(steps_wrong, 0);
    CHECK_EQ(errors, 0);
    CHECK_EQ(zeros, 0);
    CHECK_EQ(spread, 0);
}

/* Vectors of `input` with these options; x must be what the transform makes of them. */
static void prepare(llmq_activation *a, const llmq_tensor *t, const llmq_activation_options *o, uint32_t count,
                    float *mem, size_t room)
{
    size_t need = llmq_activations_size(t, o, count);
    uint32_t i;
    if (!CHECK(need > 0 && need <= room)) exit(1);
    if (!CHECK_EQ(llmq_activations_prepare(a, t, o, count, input[0], MAX_COLS, mem, need), LLMQ_OK)) exit(1);
    for (i = 0; i < count; i++) {
        CHECK(a[i].cols == t->cols && a[i].group == (t->format.points && t->format.group ? t->format.group : 128));
        CHECK(a[i].q && a[i].scale && a[i].x && a[i].transform.count == t->transform.count);
        if (t->transform.count) {
            memcpy(workspace, input[i], t->cols * sizeof(float));
            CHECK_EQ(llmq_transform_apply(&t->transform, LLMQ_TO_ACTIVATION, workspace, t->cols, workspace + t->cols,
                                          sizeof workspace - t->cols * sizeof(float), NULL), LLMQ_OK);
        }
        CHECK(memcmp(a[i].x, t->transform.count ? workspace : input[i], t->cols * sizeof(float)) == 0);
    }
}

static void check_prepared(const llmq_activation *a, const llmq_activation_options *o, uint32_t count)
{
    uint32_t i;
    find_peaks(a, count);
    for (i = 0; i < count; i++) {
        check_bits(&a[i], o);
        check_errors(&a[i], o);
    }
}

/* Are codes and scales of two activations of the same shape the same? */
static int same_codes(const llmq_activation *a, const llmq_activation *b)
{
    if ((a->offset != NULL) != (b->offset != NULL) || a->group != b->group || a->cols != b->cols) return 0;
    if (a->offset && memcmp(a->offset, b->offset, a->cols)) return 0;
    return memcmp(a->q, b->q, a->cols) == 0 && memcmp(a->scale, b->scale, (size_t)group_count(a) * sizeof(float)) == 0;
}

static const char *scales_name(int scales) { return scales == 0 ? "group" : scales == 1 ? "token" : "batch"; }

static void at(const llmq_tensor *t, const llmq_activation_options *o, uint32_t kind)
{
    check_at("%s, group %lu, %lu cols, %lu bits%s, by %s, clip %g, numbers %lu", t->format.name,
             (unsigned long)t->format.group, (unsigned long)t->cols, (unsigned long)o->bits,
             o->asymmetric ? " asymmetric" : "", scales_name(o->scales), (double)o->clip, (unsigned long)kind);
}

static const uint32_t all_groups[] = { 32, 128, 1024, 0 };

/* Every combination of options, groups and lengths, each with numbers of several kinds. */
static void test_codes(void)
{
    static const uint32_t cols[] = { 1, 2, 3, 31, 33, 127, 129, 500, 1023, 1025, 4096 };
    static const float clips[] = { 1.0f, 0.9f, 0.5f, 1e-4f };
    uint32_t c, g, k, bits, kind = 0, i, v;
    int asymmetric, scales;
    for (c = 0; c < COUNT(cols); c++)
        for (g = 0; g < COUNT(all_groups); g++) {
            llmq_tensor t = open_tensor("g4", all_groups[g], 0, cols[c], NULL);
            for (bits = 2; bits <= 8; bits++)
                for (asymmetric = 0; asymmetric < 2; asymmetric++)
                    for (scales = 0; scales < 3; scales++)
                        for (k = 0; k < COUNT(clips); k++) {
                            llmq_activation_options o = options(bits, asymmetric, scales, clips[k]);
                            uint32_t count = cols[c] > 1000 ? 2 : 3, kinds = cols[c] > 1000 ? 1 : cols[c] > 100 ? 3 : 6;
                            for (i = 0; i < kinds; i++, kind = (kind + 1) % KINDS) {
                                for (v = 0; v < count; v++) /* all of one kind, or not */
                                    fill(input[v], cols[c], bits % 2 ? kind : (kind + v * 5) % KINDS, step_count(&o));
                                at(&t, &o, kind);
                                prepare(act, &t, &o, count, memory, sizeof memory);
                                check_prepared(act, &o, count);
                            }
                        }
        }
}

/* Symmetric, by groups, not clipped: what llmq_activation_prepare makes, with any kernels, and
   all vectors of a call as if they were alone. */
static void test_plain(void)
{
    static const uint32_t cols[] = { 1, 44, 172, 577, 1025 };
    uint32_t c, g, bits, kind, i, k;
    for (c = 0; c < COUNT(cols); c++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (bits = 2; bits <= 8; bits++)
                for (kind = 0; kind < KINDS; kind++) {
                    llmq_tensor t = open_tensor("g4", all_groups[g], 0, cols[c], NULL);
                    llmq_activation_options o = options(bits, 0, LLMQ_SCALES_GROUP, 1.0f);
                    size_t need = llmq_activation_size(&t, bits);
                    at(&t, &o, kind);
                    for (i = 0; i < 2; i++) fill(input[i], cols[c], kind, step_count(&o));
                    prepare(act, &t, &o, 2, memory, sizeof memory);
                    for (i = 0; i < 2; i++) {
                        CHECK_EQ(llmq_activation_prepare(&act2[i], &t, bits, input[i], again, need), LLMQ_OK);
                        CHECK(act2[i].offset == NULL && act2[i].q != NULL);
                        check_bits(&act2[i], &o);
                        CHECK(same_codes(&act[i], &act2[i]));
                    }
                    for (k = 0; (t.kernels = llmq_kernels_at(k)) != NULL; k++) {
                        if (!can_run(t.kernels)) continue;
                        CHECK_EQ(llmq_activation_prepare(&act2[0], &t, bits, input[0], again, need), LLMQ_OK);
                        CHECK(same_codes(&act[0], &act2[0]));
                    }
                    if (bits != 8) continue;
                    CHECK_EQ(llmq_activation_prepare(&act2[0], &t, 32, input[0], again, llmq_activation_size(&t, 32)),
                             LLMQ_OK);
                    CHECK(act2[0].q == NULL && act2[0].offset == NULL
                          && memcmp(act2[0].x, input[0], cols[c] * sizeof(float)) == 0);
                }
}

/* Which scales depend on what. */
static void test_scopes(void)
{
    uint32_t bits, kind, i, j, g;
    int asymmetric;
    for (bits = 2; bits <= 8; bits++)
        for (asymmetric = 0; asymmetric < 2; asymmetric++)
            for (kind = 0; kind < KINDS; kind++) {
                llmq_tensor one = open_tensor("g4", 128, 0, 100, NULL), many = open_tensor("g4", 32, 0, 300, NULL);
                llmq_activation_options by_group = options(bits, asymmetric, LLMQ_SCALES_GROUP, 0.9f), by_token,
                    by_batch;
                uint32_t wrong = 0;
                by_token = by_batch = by_group;
                by_token.scales = LLMQ_SCALES_TOKEN;
                by_batch.scales = LLMQ_SCALES_BATCH;
                for (i = 0; i < 4; i++) fill(input[i], 300, kind, step_count(&by_group));
                at(&one, &by_token, kind); /* one group: TOKEN is GROUP */
                prepare(act, &one, &by_group, 4, memory, sizeof memory);
                prepare(act2, &one, &by_token, 4, again, sizeof again);
                for (i = 0; i < 4; i++) CHECK(same_codes(&act[i], &act2[i]));
                at(&one, &by_batch, kind); /* and BATCH, for one vector, but for its rounding */
                prepare(act2, &one, &by_batch, 1, again, sizeof again);
                CHECK(check_abs((double)act[0].scale[0] - (double)act2[0].scale[0]) <= 1e-6 * (double)act[0].scale[0]);
                for (j = 0; j < 100; j++) {
                    int apart = code_of(&act[0], j) - code_of(&act2[0], j);
                    wrong += apart < -1 || apart > 1;
                }
                CHECK_EQ(wrong, 0);
                /* TOKEN: one scale for all groups, and vectors do not matter to each other */
                at(&many, &by_token, kind);
                prepare(act, &many, &by_token, 4, memory, sizeof memory);
                for (i = 0, wrong = 0; i < 4; i++)
                    for (g = 1; g < 10; g++) wrong += bits_of(act[i].scale[g]) != bits_of(act[i].scale[0]);
                CHECK_EQ(wrong, 0);
                memcpy(input[0], input[3], sizeof input[0]);
                prepare(act2, &many, &by_token, 1, again, sizeof again);
                CHECK(same_codes(&act[3], &act2[0]));
                if (kind > 4) continue; /* others have groups that are too small */
                at(&many, &by_batch, kind); /* BATCH: s_g times one number for each vector */
                prepare(act, &many, &by_batch, 4, memory, sizeof memory);
                find_peaks(act, 4);
                for (i = 0; i < 4; i++)
                    for (g = 1; g < 10; g++) {
                        double ratio = (double)act[i].scale[g] / (double)peak[g],
                            first = (double)act[i].scale[0] / (double)peak[0];
                        wrong += check_abs(ratio - first) > 1e-6 * first;
                    }
                CHECK_EQ(wrong, 0);
            }
}

/* ---- products -------------------------------------------------------------------------------- */

static int8_t custom_points[128 * 5];
static int point[MAX_COLS];
static float row_scale[MAX_GROUPS];

static const char *const format_names[] = { "g2", "g3", "g4", "g8", "v2n16", "v4n256", "custom" };

static llmq_format get_format(uint32_t i, uint32_t group)
{
    llmq_format f;
    uint32_t k;
    memset(&f, 0, sizeof f);
    if (i < COUNT(format_names) - 1) {
        CHECK_EQ(find_format(&f, format_names[i], group), LLMQ_OK);
        return f;
    }
    for (k = 0; k < 500; k++) custom_points[k] = (int8_t)(k % 5 ? (int)check_below(256) - 128 : (int)k / 5 * 2 - 128);
    memcpy(custom_points + 500, custom_points, 28 * 5);
    CHECK_EQ(llmq_format_custom(&f, 5, 100, custom_points, 40.0f, group), LLMQ_OK);
    return f;
}

static uint32_t row_groups(const llmq_tensor *t)
{
    return t->format.group ? (t->cols + t->format.group - 1) / t->format.group : 1;
}

/* Rows of random codes, with scales of both signs and a few of 0. */
static void random_rows(const llmq_tensor *t)
{
    uint32_t r, g;
    size_t i;
    for (i = 0; i < t->rows * t->row_size; i++) records[i] = (uint8_t)check_below(256);
    for (r = 0; r < t->rows; r++)
        for (g = 0; g < row_groups(t); g++) {
            uint32_t bits = check_below(20) ? (119u + check_below(12)) << 7 | check_below(128)
                            | (check_below(8) ? 0 : 0x8000u) : 0;
            records[r * t->row_size + 2 * g] = (uint8_t)(bits & 255);
            records[r * t->row_size + 2 * g + 1] = (uint8_t)(bits >> 8);
        }
}

/* Row r into point and row_scale: decoded with scales of 1 it is whole numbers. */
static void read_row(const llmq_tensor *t, uint32_t r)
{
    llmq_tensor plain = *t;
    uint32_t g, j;
    memcpy(one_record, t->data + r * t->row_size, t->row_size);
    for (g = 0; g < row_groups(t); g++) {
        row_scale[g] = float_of((uint32_t)one_record[2 * g] << 16 | (uint32_t)one_record[2 * g + 1] << 24);
        one_record[2 * g] = 0x80;
        one_record[2 * g + 1] = 0x3f;
    }
    plain.data = one_record;
    plain.rows = 1;
    plain.transform.count = 0;
    plain.kernels = NULL;
    CHECK_EQ(llmq_tensor_decode(&plain, 0, workspace, NULL, 0), LLMQ_OK);
    for (j = 0; j < t->cols; j++) point[j] = (int)workspace[j];
}

/* The int8 formula of the text with these codes for the row that was read. */
static float by_formula(const llmq_tensor *t, const llmq_activation *a, const int8_t *q)
{
    uint32_t j, wgroup = t->format.group ? t->format.group : t->cols;
    float total = 0.0f;
    int64_t sum = 0, limit = 1 << 24;
    for (j = 0; j < t->cols; j++) {
        sum += (int64_t)q[j] * point[j];
        if (j + 1 < t->cols && (j + 1) % wgroup && (j + 1) % a->group) continue;
        if (sum <= -limit || sum >= limit) CHECK(sum > -limit && sum < limit); /* exact as a float */
        total += (float)sum * (a->scale[j / a->group] * row_scale[j / wgroup]);
        sum = 0;
    }
    return total;
}

static float expected_product(const llmq_tensor *t, const llmq_activation *a)
{
    float y = by_formula(t, a, a->q);
    return a->offset ? y + by_formula(t, a, a->offset) : y;
}

/* And without knowing about two sums: numbers times numbers in double. Each run has three
   roundings, the sums one each. */
static void check_exact(const llmq_tensor *t, const llmq_activation *a, float y)
{
    uint32_t j, wgroup = t->format.group ? t->format.group : t->cols;
    double exact = 0.0, size = 0.0, runs = 4.0;
    for (j = 0; j < t->cols; j++) {
        double s = (double)a->scale[j / a->group] * (double)row_scale[j / wgroup] * (double)point[j];
        exact += s * (double)code_of(a, j);
        size += check_abs(s) * (check_abs((double)a->q[j]) + check_abs(a->offset ? (double)a->offset[j] : 0.0));
        runs += (j + 1) % wgroup == 0 || (j + 1) % a->group == 0;
    }
    CHECK(check_abs((double)y - exact) <= size * (runs + 4.0) * 6e-8);
}

/* Fills product with the rows [r0, r1) that matmul makes, the rest with a pattern, and looks
   whether the rest is still there. */
static void multiply(const llmq_tensor *t, const llmq_activation *a, uint32_t count, uint32_t r0, uint32_t r1,
                     float y[][MAX_ROWS + 3])
{
    uint32_t i, r, wrong = 0;
    for (i = 0; i < MAX_COUNT; i++)
        for (r = 0; r < MAX_ROWS + 3; r++) y[i][r] = -1234.5f;
    CHECK_EQ(llmq_matmul(t, a, count, r0, r1, y[0], MAX_ROWS + 3), LLMQ_OK);
    for (i = 0; i < MAX_COUNT; i++)
        for (r = 0; r < MAX_ROWS + 3; r++)
            if (i >= count || r < r0 || r >= r1) wrong += bits_of(y[i][r]) != bits_of(-1234.5f);
    CHECK_EQ(wrong, 0);
}

/* Some options for a batch, by number: with and without shifts, few bits and many. */
static llmq_activation_options mixed_options(uint32_t i)
{
    static const uint32_t bits[] = { 8, 4, 8, 6, 2, 8, 3, 5, 7 };
    return options(bits[i % 9], (int)(i * 7 / 3 % 2), (int)(i / 2 % 3), i % 5 == 4 ? 0.8f : 1.0f);
}

/* Activations of several options, one call for each run of the same: `count` in all, at mem. */
static size_t prepare_mixed(const llmq_tensor *t, uint32_t first, uint32_t count, llmq_activation *a, float *mem)
{
    size_t used = 0, need;
    uint32_t i, n;
    for (i = 0; i < count; i += n) {
        llmq_activation_options o = mixed_options(first + i);
        n = least(1 + (first + i) % 3, count - i);
        need = llmq_activations_size(t, &o, n);
        CHECK_EQ(llmq_activations_prepare(a + i, t, &o, n, input[i], MAX_COLS, mem + used / sizeof(float), need),
                 LLMQ_OK);
        used += need;
    }
    return used;
}

/* Every table of kernels that can run gives the bits of the scalar one, in making codes and in products. */
static void check_kernels(const llmq_tensor *t, uint32_t first, uint32_t count, size_t used)
{
    llmq_tensor other = *t;
    uint32_t k, i;
    for (k = 1; (other.kernels = llmq_kernels_at(k)) != NULL; k++) {
        if (!can_run(other.kernels)) continue;
        CHECK(prepare_mixed(&other, first, count, act2, again) == used);
        for (i = 0; i < count; i++) {
            CHECK(memcmp(act[i].x, act2[i].x, t->cols * sizeof(float)) == 0);
            CHECK(same_codes(&act[i], &act2[i]));
        }
        multiply(&other, act2, count, 0, t->rows, repeated);
        for (i = 0; i < count; i++) CHECK(memcmp(product[i], repeated[i], t->rows * sizeof(float)) == 0);
        CHECK_EQ(llmq_matvec(&other, &act2[0], 0, t->rows, repeated[0]), LLMQ_OK);
        CHECK(memcmp(product[0], repeated[0], t->rows * sizeof(float)) == 0);
    }
}

static void check_products(llmq_tensor *t, uint32_t first, uint32_t count)
{
    uint32_t r, i, wrong = 0, tries;
    size_t used;
    t->kernels = llmq_kernels_at(0);
    for (i = 0; i < count; i++) fill(input[i], t->cols, (first + i) % 5, 30);
    random_rows(t);
    used = prepare_mixed(t, first, count, act, memory);
    multiply(t, act, count, 0, t->rows, product);
    for (r = 0; r < t->rows; r++) {
        read_row(t, r);
        for (i = 0; i < count; i++) {
            wrong += !same(product[i][r], expected_product(t, &act[i]));
            check_exact(t, &act[i], product[i][r]);
        }
    }
    CHECK_EQ(wrong, 0);
    check_kernels(t, first, count, used);
    t->kernels = llmq_kernels_best();
    for (tries = 0; tries < 4; tries++) { /* cut anywhere */
        uint32_t r0 = check_below(t->rows + 1), r1 = r0 + check_below(t->rows - r0 + 1);
        multiply(t, act, count, r0, r1, repeated);
        for (i = 0; i < count; i++)
            CHECK(r0 == r1 || memcmp(product[i] + r0, repeated[i] + r0, (r1 - r0) * sizeof(float)) == 0);
        for (i = 0; i < MAX_ROWS + 3; i++) repeated[0][i] = -7.0f;
        i = check_below(count);
        CHECK_EQ(llmq_matvec(t, &act[i], r0, r1, repeated[0]), LLMQ_OK);
        CHECK(r0 == r1 || memcmp(product[i] + r0, repeated[0] + r0, (r1 - r0) * sizeof(float)) == 0);
        CHECK((r0 == 0 || bits_of(repeated[0][r0 - 1]) == bits_of(-7.0f))
              && bits_of(repeated[0][r1]) == bits_of(-7.0f));
    }
}

/* Formats, groups, lengths, batches of 1 ... 17; rows longer than those the shifts are added for at a time. */
static void test_products(void)
{
    static const uint32_t cols[] = { 1, 33, 129, 300, 577, 1025 }, groups[] = { 32, 96, 128, 1024, 0 };
    llmq_transform rotate = llmq_transform_hadamard(5, 0);
    uint32_t i, c, g, first = 0, count = 1;
    for (i = 0; i < COUNT(format_names); i++)
        for (c = 0; c < COUNT(cols); c++)
            for (g = 0; g < COUNT(groups); g++, first++) {
                llmq_format f = get_format(i, groups[g]);
                llmq_tensor t;
                uint32_t rows = 1 + (i + c + g) % MAX_ROWS;
                CHECK_EQ(llmq_tensor_init(&t, &f, first % 2 ? &rotate : NULL, rows, cols[c], records, sizeof records),
                         LLMQ_OK);
                check_at("products of %s, group %lu, %lu x %lu, batch of %lu", f.name, (unsigned long)f.group,
                         (unsigned long)rows, (unsigned long)cols[c], (unsigned long)count);
                check_products(&t, first, count);
                count = count % MAX_COUNT + 1;
            }
}

/* An activation can be used with a tensor of other groups and format: runs end where either scale changes. */
static void test_other_groups(void)
{
    static const uint32_t groups[] = { 32, 96, 160, 1024, 0 };
    uint32_t g, h, r, wrong = 0;
    for (g = 0; g < COUNT(groups); g++)
        for (h = 0; h < COUNT(groups); h++) {
            llmq_tensor made_for = open_tensor("g2", groups[g], 0, 1000, NULL),
                t = open_tensor("v4n256", groups[h], 9, 1000, NULL);
            llmq_activation_options o = options(h % 2 ? 8 : 4, 1, (int)(g % 3), 1.0f);
            check_at("groups of %lu times %lu", (unsigned long)groups[g], (unsigned long)groups[h]);
            fill(input[0], 1000, 3, 0);
            random_rows(&t);
            prepare(act, &made_for, &o, 1, memory, sizeof memory);
            multiply(&t, act, 1, 0, 9, product);
            for (r = 0; r < 9; r++) {
                read_row(&t, r);
                wrong += !same(product[0][r], expected_product(&t, act));
            }
            CHECK_EQ(wrong, 0);
        }
}

/* The largest sums there are: all codes and points at their ends, groups of 1024. Both sums are
   exact; so is the total, where all scales are powers of two. */
static void test_largest_sums(void)
{
    static const int8_t ends[2] = { -128, 127 };
    llmq_format f;
    llmq_tensor t;
    llmq_activation_options o = options(8, 1, LLMQ_SCALES_GROUP, 1.0f);
    uint32_t j, sign, points;
    float y, expected;
    CHECK_EQ(llmq_format_custom(&f, 1, 2, ends, 1.0f, 1024), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 1, 1024, records, sizeof records), LLMQ_OK);
    for (sign = 0; sign < 2; sign++)
        for (points = 0; points < 2; points++) {
            long sum;
            check_at("largest sums %lu %lu", (unsigned long)sign, (unsigned long)points);
            memset(records, points ? 255 : 0, t.row_size);
            records[0] = 0x80, records[1] = 0x3f;
            for (j = 0; j < 1024; j++) input[0][j] = sign ? -254.0f : 254.0f;
            prepare(act, &t, &o, 1, memory, sizeof memory);
            read_row(&t, 0);
            CHECK(point[0] == ends[points] && point[1023] == ends[points]);
            CHECK_EQ(code_of(act, 0), sign ? -254 : 254);
            CHECK_EQ(llmq_matvec(&t, act, 0, 1, &y), LLMQ_OK);
            expected = expected_product(&t, act);
            sum = (sign ? -254L : 254L) * point[0] * 1024;
            CHECK(same(y, expected) && (long)y == sum);
        }
}

/* ---- unusual numbers ------------------------------------------------------------------------- */

/* Where a number that is none does harm, and where it must not. */
static void test_not_finite(void)
{
    static const uint32_t bad[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u };
    llmq_tensor t = open_tensor("g4", 32, 9, 100, NULL);
    uint32_t bits, b, place, i, g, r;
    int asymmetric, scales;
    random_rows(&t);
    for (bits = 2; bits <= 8; bits++)
        for (asymmetric = 0; asymmetric < 2; asymmetric++)
            for (scales = 0; scales < 3; scales++)
                for (b = 0; b < COUNT(bad); b++)
                    for (place = 0; place < 100; place += 33) {
                        llmq_activation_options o = options(bits, asymmetric, scales, b % 2 ? 1.0f : 0.7f);
                        uint32_t wrong = 0;
                        at(&t, &o, b);
                        for (i = 0; i < 3; i++) fill(input[i], 100, (b + place + i) % 5, step_count(&o));
                        for (i = place / 32 * 32; b == 3 && i < least(100, place / 32 * 32 + 32); i++)
                            input[1][i] = float_of(bad[b]);
                        input[1][place] = float_of(bad[b]);
                        prepare(act, &t, &o, 3, memory, sizeof memory);
                        find_peaks(act, 3);
                        for (i = 0; i < 3; i++) {
                            check_bits(&act[i], &o);
                            for (g = 0; g < 4; g++) {
                                int hurt = i == 1 && (scales != LLMQ_SCALES_GROUP || g == place / 32);
                                wrong += is_nan(act[i].scale[g]) != hurt;
                                wrong += !hurt && !(act[i].scale[g] > 0.0f && is_finite(act[i].scale[g]));
                                if (hurt) wrong += code_of(&act[i], g * 32) != 0;
                            }
                        }
                        CHECK_EQ(wrong, 0);
                        check_errors(&act[0], &o);
                        check_errors(&act[2], &o);
                        multiply(&t, act, 3, 0, 9, product);
                        for (r = 0, wrong = 0; r < 9; r++) {
                            wrong += !is_nan(product[1][r]) || !is_finite(product[0][r]) || !is_finite(product[2][r]);
                            read_row(&t, r);
                            for (i = 0; i < 3; i += 2) wrong += !same(product[i][r], expected_product(&t, &act[i]));
                        }
                        CHECK_EQ(wrong, 0);
                    }
    for (b = 0; b < COUNT(bad); b++) /* BATCH: the only number of its group that is not 0, in all vectors */
        for (i = 0; i < 6; i++) {
            llmq_activation_options o = options(i % 3 * 2 + 4, (int)(i / 3), LLMQ_SCALES_BATCH, 1.0f);
            for (r = 0; r < 3; r++) {
                fill(input[r], 100, 0, 4);
                memset(input[r] + 32, 0, 32 * sizeof(float));
            }
            input[2][40] = float_of(bad[b]);
            at(&t, &o, b);
            prepare(act, &t, &o, 3, memory, sizeof memory);
            find_peaks(act, 3);
            for (r = 0; r < 3; r++) check_bits(&act[r], &o);
            for (r = 0; r < 2; r++) check_errors(&act[r], &o);
            for (g = 0; g < 4; g++) {
                CHECK(is_nan(act[2].scale[g]) && code_of(&act[2], g * 32 + 1) == 0);
                for (r = 0; r < 2; r++) CHECK(g == 1 ? bits_of(act[r].scale[g]) == 0 : act[r].scale[g] > 0.0f);
            }
        }
    check_at("a batch in which nothing is finite");
    for (i = 0; i < 2; i++)
        for (r = 0; r < 100; r++) input[i][r] = float_of(bad[i]);
    for (scales = 0; scales < 3; scales++) {
        llmq_activation_options o = options(8, 1, scales, 1.0f);
        prepare(act, &t, &o, 2, memory, sizeof memory);
        for (i = 0; i < 2; i++)
            for (g = 0; g < 4; g++) CHECK(is_nan(act[i].scale[g]) && code_of(&act[i], g * 32) == 0);
    }
}

/* What is below 2^-100 after the clip is zero, what is not has a scale; and tiny clips, down to subnormal ones. */
static void test_small(void)
{
    static const float sizes[] = { 0.0f, -0.0f, 1e-45f, 1e-40f, 1.17549435e-38f, 7.8886086e-31f, 7.88860905e-31f,
                                   1e-30f, 1.0f, LARGEST };
    static const float clips[] = { 1.0f, 0.99f, 0.5f, 1e-7f, 1e-10f, 1e-30f, 1e-37f, 1e-42f, 1e-45f };
    llmq_tensor t = open_tensor("g4", 32, 2, 70, NULL);
    uint32_t bits, s, c, i, r;
    int asymmetric, scales;
    CHECK(bits_of(sizes[5]) == (27u << 23) - 1 && bits_of(sizes[6]) == 27u << 23 && bits_of(LEAST_GROUP) == 27u << 23);
    random_rows(&t);
    for (bits = 2; bits <= 8; bits++)
        for (asymmetric = 0; asymmetric < 2; asymmetric++)
            for (scales = 0; scales < 3; scales++)
                for (s = 0; s < COUNT(sizes); s++)
                    for (c = 0; c < COUNT(clips); c++) {
                        llmq_activation_options o = options(bits, asymmetric, scales, clips[c]);
                        float m = sizes[s] * clips[c];
                        at(&t, &o, s);
                        for (i = 0; i < 70; i++) {
                            static const float parts[] = { 0.0f, 1.0f, -1.0f, 0.5f, -0.0f, -0.25f };
                            input[0][i] = parts[(i * 7 + i / 32) % 6] * sizes[s];
                            input[1][i] = i < 32 ? input[0][i] : (float)(i % 5) - 2.0f;
                            input[2][i] = 0.0f;
                        }
                        prepare(act, &t, &o, 3, memory, sizeof memory);
                        check_prepared(act, &o, 3);
                        if (scales != LLMQ_SCALES_BATCH) CHECK((act[0].scale[0] > 0.0f) == (m >= LEAST_GROUP));
                        multiply(&t, act, 3, 0, 2, product);
                        for (r = 0; r < 2; r++) {
                            read_row(&t, r);
                            for (i = 0; i < 3; i++) CHECK(same(product[i][r], expected_product(&t, &act[i])));
                            CHECK(product[2][r] >= 0.0f && product[2][r] <= 0.0f);
                        }
                    }
}

/* BATCH: vectors and groups of very different size in one call. Scales are numbers, and small
   vectors are not read as large ones. */
static void test_uneven_batches(void)
{
    llmq_tensor t = open_tensor("g4", 32, 0, 96, NULL);
    uint32_t tries, i, j, bits;
    int asymmetric;
    for (tries = 0; tries < 3000; tries++) {
        float size[3][3];
        llmq_activation_options o;
        bits = 2 + tries % 7;
        asymmetric = (int)(tries / 7 % 2);
        o = options(bits, asymmetric, LLMQ_SCALES_BATCH, tries % 3 ? 1.0f : 0.6f);
        for (i = 0; i < 3; i++)
            for (j = 0; j < 3; j++) size[i][j] = float_of((1 + check_below(253)) << 23);
        for (i = 0; i < 3; i++)
            for (j = 0; j < 96; j++)
                input[i][j] = j % 4 == 1 ? 0.0f : size[i][j / 32] * (float)(check_uniform() * 2.0 - 1.0);
        at(&t, &o, tries);
        prepare(act, &t, &o, 3, memory, sizeof memory);
        check_prepared(act, &o, 3);
        for (i = 0; i < 3; i++)
            for (j = 0; j < 3; j++) CHECK(is_finite(act[i].scale[j]));
    }
    for (bits = 2; bits <= 8; bits++) /* the largest numbers there are, each as the largest of its group */
        for (asymmetric = 0; asymmetric < 2; asymmetric++)
            for (i = 0; i < 3; i++)
                for (tries = 0; tries < 64; tries++) {
                    llmq_activation_options o = options(bits, asymmetric, (int)i, 1.0f);
                    for (j = 0; j < 96; j++)
                        input[0][j] = float_of(0x7f7fffffu - tries) * (j % 3 == 1 ? -1.0f : j % 3 ? 1.0f : 0.0f);
                    at(&t, &o, tries);
                    prepare(act, &t, &o, 1, memory, sizeof memory);
                    check_prepared(act, &o, 1);
                    for (j = 0; j < 3; j++) CHECK(is_finite(act[0].scale[j]) && act[0].scale[j] > 0.0f);
                }
}

/* ---- memory and errors ----------------------------------------------------------------------- */

/* Steps of every kind for 172 columns: smooth, permute, rotate, Hadamard with a Paley block. */
static uint8_t step_data[172 * 4 + 172 * 2 + 4 * 4 * 4];

static llmq_transform every_step(uint32_t cols)
{
    static const float r[16] = { 0.6f, 0.8f, 0, 0, -0.8f, 0.6f, 0, 0, 0, 0, 0.0f, 1.0f, 0, 0, -1.0f, 0.0f };
    llmq_transform t = llmq_transform_hadamard(9, 64);
    uint32_t j;
    for (j = 0; j < cols; j++) put_float(step_data + 4 * j, 0.5f + (float)(j % 7));
    for (j = 0; j < cols; j++) { /* 25 and 172 have no common divisor */
        uint32_t p = j * 25 % cols;
        step_data[4 * cols + 2 * j] = (uint8_t)(p & 255);
        step_data[4 * cols + 2 * j + 1] = (uint8_t)(p >> 8);
    }
    for (j = 0; j < 16; j++) put_float(step_data + 6 * cols + 4 * j, r[j]);
    t.step[3] = t.step[0];
    t.count = 4;
    for (j = 0; j < 3; j++) memset(&t.step[j], 0, sizeof t.step[j]);
    t.step[0].kind = LLMQ_STEP_SMOOTH;
    t.step[1].kind = LLMQ_STEP_PERMUTE;
    t.step[2].kind = LLMQ_STEP_ROTATE;
    t.step[0].arg = t.step[1].arg = cols;
    t.step[2].block = 4;
    t.step[2].arg = 1;
    t.data = step_data;
    CHECK_EQ(llmq_transform_verify(&t, cols), LLMQ_OK);
    return t;
}

static int inside(const void *p, size_t n, const void *mem, size_t size)
{
    const unsigned char *from = (const unsigned char *)p, *base = (const unsigned char *)mem;
    return from >= base && from + n <= base + size;
}

/* Everything an activation refers to: n pieces with their sizes. */
static uint32_t pieces(const llmq_activation *a, const void **at_, size_t *size)
{
    at_[0] = a->x, size[0] = a->cols * sizeof(float);
    at_[1] = a->q, size[1] = a->cols;
    at_[2] = a->scale, size[2] = (size_t)group_count(a) * sizeof(float);
    at_[3] = a->offset, size[3] = a->cols;
    return a->offset ? 4 : 3;
}

/* All inside the memory of the call, and apart from each other. */
static void check_pieces(const llmq_activation *a, uint32_t count, const void *mem, size_t size)
{
    const void *p[4], *other[4];
    size_t n[4], other_n[4];
    uint32_t i, k, u, v, wrong = 0;
    for (i = 0; i < count; i++) {
        uint32_t have = pieces(&a[i], p, n);
        for (u = 0; u < have; u++) wrong += !inside(p[u], n[u], mem, size);
        wrong += (uintptr_t)a[i].x % sizeof(float) != 0 || (uintptr_t)a[i].scale % sizeof(float) != 0;
        for (k = 0; k <= i; k++) {
            uint32_t others = pieces(&a[k], other, other_n);
            for (u = 0; u < have; u++)
                for (v = 0; v < (k == i ? u : others); v++)
                    wrong += (const unsigned char *)p[u] < (const unsigned char *)other[v] + other_n[v]
                             && (const unsigned char *)other[v] < (const unsigned char *)p[u] + n[u];
        }
    }
    CHECK_EQ(wrong, 0);
}

/* Exactly the memory asked for, before a wall and behind one; a byte less is refused, and
   nothing is touched. What the memory held makes no difference. */
static void check_memory(const llmq_tensor *t, const llmq_activation_options *o, uint32_t count, const check_wall *w,
                         const check_wall *wx)
{
    size_t need = llmq_activations_size(t, o, count), line = t->cols, i;
    llmq_activation before;
    uint32_t upper, stride = t->cols + (count > 1 ? 3 : 0), v;
    float *x = (float *)(void *)(wx->end - ((count - 1) * stride + t->cols) * sizeof(float));
    prepare(act, t, o, count, memory, sizeof memory);
    check_pieces(act, count, memory, need);
    find_peaks(act, count);
    for (v = 0; v < count; v++) {
        check_bits(&act[v], o);
        memcpy(x + v * stride, input[v], line * sizeof(float));
    }
    for (upper = 0; upper < 2; upper++) {
        unsigned char *mem = upper ? w->end - need : w->start;
        CHECK_EQ((long)(need % sizeof(float)), 0);
        memset(mem, upper ? 0xff : 0x3e, need);
        memset(act2, 0x55, sizeof act2);
        before = act2[0];
        CHECK_EQ(llmq_activations_prepare(act2, t, o, count, x, stride, mem, need - 1), LLMQ_E_WORKSPACE);
        CHECK_EQ(llmq_activations_prepare(act2, t, o, count, x, stride, mem, 0), LLMQ_E_WORKSPACE);
        CHECK(memcmp(&act2[0], &before, sizeof before) == 0 && memcmp(&act2[count - 1], &before, sizeof before) == 0);
        for (i = 0; i < need && mem[i] == (upper ? 0xff : 0x3e); i++) {}
        CHECK_EQ((long)i, (long)need);
        CHECK_EQ(llmq_activations_prepare(act2, t, o, count, x, stride, mem, need), LLMQ_OK);
        CHECK(count == MAX_COUNT || memcmp(&act2[count], &before, sizeof before) == 0);
        check_pieces(act2, count, mem, need);
        for (v = 0; v < count; v++) {
            CHECK(same_codes(&act[v], &act2[v]) && memcmp(act[v].x, act2[v].x, line * sizeof(float)) == 0);
            CHECK(memcmp(x + v * stride, input[v], line * sizeof(float)) == 0); /* read only */
        }
    }
}

/* The single one, likewise: any bits, 32 too. */
static void check_single_memory(const llmq_tensor *t, uint32_t bits, const check_wall *w, const check_wall *wx)
{
    size_t need = llmq_activation_size(t, bits), group = t->format.group ? t->format.group : 128,
        groups = (t->cols + group - 1) / group;
    unsigned char *mem = w->end - (need + 3) / 4 * 4;
    float *x = (float *)(void *)wx->end - t->cols;
    llmq_activation before;
    CHECK(need >= t->cols * sizeof(float) + (bits == 32 ? 0 : t->cols + groups * sizeof(float)));
    memcpy(x, input[0], t->cols * sizeof(float));
    memset(act2, 0x55, sizeof act2);
    before = act2[0];
    CHECK_EQ(llmq_activation_prepare(act2, t, bits, x, mem, need - 1), LLMQ_E_WORKSPACE);
    CHECK(memcmp(&act2[0], &before, sizeof before) == 0);
    CHECK_EQ(llmq_activation_prepare(act2, t, bits, x, mem, need), LLMQ_OK);
    CHECK((act2[0].q == NULL) == (bits == 32) && memcmp(&act2[1], &before, sizeof before) == 0);
    if (bits == 32) return;
    check_pieces(act2, 1, mem, need);
    {
        llmq_activation_options o = options(bits, 0, LLMQ_SCALES_GROUP, 1.0f);
        prepare(act, t, &o, 1, memory, sizeof memory);
        CHECK(same_codes(&act[0], &act2[0]));
    }
}

static void test_memory(void)
{
    static const uint32_t cols[] = { 1, 3, 31, 44, 65, 172, 257, 1031 };
    llmq_transform all = every_step(172), rotate = llmq_transform_hadamard(5, 0);
    check_wall w = check_wall_open(sizeof memory), wx = check_wall_open(sizeof input);
    uint32_t c, g, bits, i;
    int asymmetric, scales, turned;
    for (c = 0; c < COUNT(cols); c++)
        for (g = 0; g < COUNT(all_groups); g++)
            for (turned = 0; turned < 3; turned++) {
                llmq_tensor t;
                if (turned == 2 && cols[c] != 172) continue;
                t = open_tensor(c % 2 ? "v4n256" : "g4", all_groups[g], 0, cols[c],
                                turned == 2 ? &all : turned ? &rotate : NULL);
                for (i = 0; i < 5; i++) fill(input[i], cols[c], i, 4);
                for (bits = 2; bits <= 32; bits += bits == 8 ? 24 : 1) check_single_memory(&t, bits, &w, &wx);
                for (bits = 2; bits <= 8; bits += 2)
                    for (asymmetric = 0; asymmetric < 2; asymmetric++)
                        for (scales = 0; scales < 3; scales++) {
                            llmq_activation_options o = options(bits, asymmetric, scales, bits == 6 ? 0.9f : 1.0f);
                            at(&t, &o, (uint32_t)turned);
                            check_memory(&t, &o, 1 + (bits + (uint32_t)scales + c) % 5, &w, &wx);
                        }
            }
    check_wall_close(&w);
    check_wall_close(&wx);
}

/* The sizes as counted by hand, so that nobody pays for a second copy: numbers, scales, codes, shifts; s_g once. */
static void test_sizes(void)
{
    llmq_tensor t = open_tensor("g4", 64, 0, 100, NULL);
    llmq_activation_options o = options(4, 1, LLMQ_SCALES_GROUP, 1.0f);
    uint32_t bits;
    check_at("sizes");
    for (bits = 2; bits <= 8; bits++) CHECK_EQ((long)llmq_activation_size(&t, bits), 400 + 8 + 100);
    CHECK_EQ((long)llmq_activation_size(&t, 32), 400);
    CHECK_EQ((long)llmq_activations_size(&t, &o, 3), 3 * (400 + 8 + 100) + 8);
    o.bits = 8;
    CHECK_EQ((long)llmq_activations_size(&t, &o, 3), 3 * (400 + 8 + 200) + 8);
    o.asymmetric = 0;
    CHECK_EQ((long)llmq_activations_size(&t, &o, 3), 3 * (400 + 8 + 100) + 8);
    o.bits = 4;
    t.cols = 1 << 24;
    CHECK(llmq_activations_size(&t, &o, UINT32_MAX) == 0 || sizeof(size_t) > 4);
    CHECK((double)llmq_activations_size(&t, &o, 7) > 7.0 * 5.0 * 16777216.0 || sizeof(size_t) < 4);
}

/* Options that must be refused: no size, and nothing touched. */
static void refuse_options(uint32_t bits, int asymmetric, int scales, float clip)
{
    llmq_tensor t = open_tensor("g4", 64, 0, 100, NULL);
    llmq_activation_options o = options(bits, asymmetric, scales, clip);
    llmq_activation before;
    size_t i;
    at(&t, &o, 0);
    memset(act, 0x55, sizeof act);
    before = act[0];
    memset(memory, 0x3e, sizeof memory);
    CHECK_EQ((long)llmq_activations_size(&t, &o, 1), 0);
    CHECK_EQ(llmq_activations_prepare(act, &t, &o, 1, input[0], 100, memory, sizeof memory), LLMQ_E_ARG);
    CHECK(memcmp(&act[0], &before, sizeof before) == 0);
    for (i = 0; i < 4096 && ((unsigned char *)memory)[i] == 0x3e; i++) {}
    CHECK_EQ((long)i, 4096);
}

static void test_errors(void)
{
    static const uint32_t bad_bits[] = { 0, 1, 9, 16, 32, 0x80000004u, UINT32_MAX };
    static const uint32_t bad_clips[] = { 0, 0x80000000u, 0xbf000000u, 0x7fc00000u, 0xffc00000u, 0x7f800000u,
                                          0xff800000u,
                                          0x3f800001u, 0x3f8ccccdu }; /* the last two: just above 1, and 1.1 */
    llmq_transform unknown = llmq_transform_hadamard(1, 0);
    llmq_tensor t = open_tensor("g4", 64, 2, 172, NULL), wrong, raw, other;
    llmq_activation_options o = options(8, 1, LLMQ_SCALES_BATCH, 1.0f);
    llmq_activation before;
    size_t need = llmq_activations_size(&t, &o, 2);
    uint32_t i;
    for (i = 0; i < COUNT(bad_bits); i++) {
        refuse_options(bad_bits[i], 0, 0, 1.0f);
        refuse_options(bad_bits[i], 1, 2, 0.5f);
        if (bad_bits[i] != 32) CHECK_EQ((long)llmq_activation_size(&t, bad_bits[i]), 0);
        if (bad_bits[i] != 32)
            CHECK_EQ(llmq_activation_prepare(act, &t, bad_bits[i], input[0], memory, sizeof memory), LLMQ_E_ARG);
    }
    for (i = 0; i < COUNT(bad_clips); i++) refuse_options(4, (int)(i % 2), (int)(i % 3), float_of(bad_clips[i]));
    refuse_options(4, 0, -1, 1.0f);
    refuse_options(4, 0, 3, 1.0f);
    refuse_options(8, 1, INT32_MAX, 1.0f);
    check_at("llmq_activations_prepare");
    for (i = 0; i < 2; i++) fill(input[i], 172, 0, 4);
    memset(act, 0x55, sizeof act);
    before = act[0];
    CHECK_EQ(llmq_activations_prepare(NULL, &t, &o, 2, input[0], MAX_COLS, memory, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activations_prepare(act, NULL, &o, 2, input[0], MAX_COLS, memory, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activations_prepare(act, &t, NULL, 2, input[0], MAX_COLS, memory, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activations_prepare(act, &t, &o, 2, NULL, MAX_COLS, memory, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activations_prepare(act, &t, &o, 2, input[0], MAX_COLS, NULL, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_activations_prepare(act, &t, &o, 2, input[0], MAX_COLS, (unsigned char *)memory + 2, need),
             LLMQ_E_ARG);
    CHECK_EQ(llmq_activations_prepare(act, &t, &o, 2, input[0], MAX_COLS, memory, need - 1), LLMQ_E_WORKSPACE);
    wrong = t;
    wrong.cols = 0;
    CHECK_EQ((long)llmq_activations_size(&wrong, &o, 2), 0);
    CHECK_EQ(llmq_activations_prepare(act, &wrong, &o, 2, input[0], MAX_COLS, memory, need), LLMQ_E_ARG);
    CHECK_EQ((long)llmq_activations_size(NULL, &o, 2), 0);
    CHECK_EQ((long)llmq_activations_size(&t, NULL, 2), 0);
    unknown.step[0].kind = 77; /* a view that nobody made: the transform says so, and no activation is touched */
    wrong = t;
    wrong.transform = unknown;
    CHECK_EQ(llmq_activations_prepare(act, &wrong, &o, 2, input[0], MAX_COLS, memory, sizeof memory),
             LLMQ_E_UNSUPPORTED);
    CHECK_EQ(llmq_activation_prepare(act, &wrong, 4, input[0], memory, sizeof memory), LLMQ_E_UNSUPPORTED);
    unknown.count = LLMQ_MAX_STEPS + 1;
    wrong.transform = unknown;
    CHECK_EQ(llmq_activations_prepare(act, &wrong, &o, 2, input[0], MAX_COLS, memory, sizeof memory), LLMQ_E_LIMIT);
    for (i = 0; i < 2; i++) CHECK(memcmp(&act[i], &before, sizeof before) == 0);

    check_at("products that do not go together");
    raw = open_tensor("f32", 0, 2, 172, NULL);
    random_rows(&t);
    prepare(act, &raw, &o, 2, memory, sizeof memory); /* allowed: groups of 128; but raw rows need floats */
    CHECK_EQ(act[0].group, 128);
    product[0][0] = -5.0f;
    CHECK_EQ(llmq_matmul(&raw, act, 2, 0, 2, product[0], 2), LLMQ_E_MISMATCH);
    CHECK_EQ(llmq_matmul(&t, act, 2, 0, 2, product[0], 2), LLMQ_OK); /* of other groups: fine */
    product[0][0] = -5.0f;
    prepare(act2, &t, &o, 1, again, sizeof again);
    act[1] = act2[0]; /* but not in one call */
    CHECK_EQ(llmq_matmul(&t, act, 2, 0, 2, product[0], 2), LLMQ_E_MISMATCH);
    CHECK_EQ(llmq_activation_prepare(&act[0], &t, 32, input[0], memory, llmq_activation_size(&t, 32)), LLMQ_OK);
    CHECK_EQ(llmq_matmul(&t, act, 2, 0, 2, product[0], 2), LLMQ_E_MISMATCH); /* float and shifted codes */
    CHECK_EQ(llmq_matmul(&t, act2, 1, 0, 3, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, act2, 1, 2, 1, product[0], 2), LLMQ_E_ARG);
    CHECK_EQ(llmq_matmul(&t, act2, 0, 0, 1, product[0], 2), LLMQ_E_ARG);
    other = open_tensor("g4", 64, 2, 171, NULL);
    CHECK_EQ(llmq_matvec(&other, act2, 0, 2, product[0]), LLMQ_E_ARG);
    unknown = llmq_transform_hadamard(2, 0);
    other = open_tensor("g4", 64, 2, 172, &unknown);
    CHECK_EQ(llmq_matvec(&other, act2, 0, 2, product[0]), LLMQ_E_MISMATCH);
    CHECK(bits_of(product[0][0]) == bits_of(-5.0f));
}

/* ---- quality --------------------------------------------------------------------------------- */

/* Mean square error relative to the mean square, of 17 vectors of 1024 numbers; *ideal: the same
   of an error that is uniform on half a step either way. */
static double relative_error(const llmq_activation_options *o, double *ideal)
{
    llmq_tensor t = open_tensor("g4", 128, 0, 1024, NULL);
    double error = 0.0, energy = 0.0, uniform = 0.0;
    uint32_t i, j;
    prepare(act, &t, o, MAX_COUNT, memory, sizeof memory);
    for (i = 0; i < MAX_COUNT; i++)
        for (j = 0; j < 1024; j++) {
            double x = (double)act[i].x[j], s = (double)act[i].scale[j / 128], e = x - s * (double)code_of(&act[i], j);
            error += e * e;
            energy += x * x;
            uniform += s * s / 12.0;
        }
    *ideal = uniform / energy;
    return error / energy;
}

static void test_quality(void)
{
    uint32_t bits, i, j;
    int one_sided;
    for (i = 0; i < MAX_COUNT; i++)
        for (j = 0; j < 1024; j++) input[i][j] = (float)check_normal();
    for (bits = 4; bits <= 8; bits++) {
        /* 128 normal numbers reach 2.85 on average: (2.85 / L)^2 / 12, and a little for its variance */
        llmq_activation_options o = options(bits, 0, LLMQ_SCALES_GROUP, 1.0f);
        double levels = (double)(1u << (bits - 1)) - 1.0, theory = 2.85 * 2.85 / (12.0 * levels * levels), ideal,
            error[4];
        check_at("error of %lu bits", (unsigned long)bits);
        error[0] = relative_error(&o, &ideal);
        CHECK(error[0] < ideal * 1.03 && error[0] > ideal * 0.94);
        CHECK(error[0] < theory * 1.08 && error[0] > theory * 0.93);
        o.asymmetric = 1; /* of symmetric numbers: one step more, and a range that is less than twice the larger side */
        error[1] = relative_error(&o, &ideal);
        CHECK(error[1] < ideal * 1.03 && error[1] > ideal * 0.94);
        CHECK(error[1] < error[0] && error[1] > error[0] * 0.6);
        o.scales = LLMQ_SCALES_TOKEN; /* a range of eight groups is larger */
        error[2] = relative_error(&o, &ideal);
        CHECK(error[2] < ideal * 1.03 && error[2] > ideal * 0.94 && error[2] > error[1] * 1.15);
        o.scales = LLMQ_SCALES_BATCH;
        error[3] = relative_error(&o, &ideal);
        CHECK(error[3] < ideal * 1.03 && error[3] > ideal * 0.94 && error[3] > error[1]);
    }
    { /* few bits: the peaks cost more than clipping them */
        llmq_activation_options o = options(3, 0, LLMQ_SCALES_TOKEN, 1.0f);
        double ideal, whole = relative_error(&o, &ideal), clipped;
        o.clip = 0.7f;
        clipped = relative_error(&o, &ideal);
        check_at("clipped");
        CHECK(clipped < whole * 0.8);
    }
    for (one_sided = 1; one_sided <= 3; one_sided += 2)
        for (bits = 4; bits <= 8; bits++) {
            llmq_activation_options o = options(bits, 0, LLMQ_SCALES_GROUP, 1.0f);
            double ideal, symmetric, asymmetric;
            for (i = 0; i < MAX_COUNT; i++)
                for (j = 0; j < 1024; j++)
                    input[i][j] = one_sided == 1 ? (float)exponential_function(check_normal())
                                  : silu(2.0f * (float)check_normal());
            check_at("one-sided numbers %d, %lu bits", one_sided, (unsigned long)bits);
            symmetric = relative_error(&o, &ideal);
            o.asymmetric = 1;
            asymmetric = relative_error(&o, &ideal);
            CHECK(asymmetric < symmetric * 0.5 && asymmetric > symmetric * 0.15);
            /* with few bits a step is not small beside where numbers are dense */
            CHECK(asymmetric < ideal * (bits < 6 ? 1.2 : 1.05) && asymmetric > ideal * (bits < 6 ? 0.75 : 0.92));
        }
    { /* an outlier in one channel of all vectors: runtime smoothing takes it out of the way of the others */
        llmq_activation_options o = options(4, 0, LLMQ_SCALES_TOKEN, 1.0f);
        llmq_tensor t = open_tensor("g4", 32, 0, 1024, NULL);
        double error[2] = { 0.0, 0.0 };
        for (i = 0; i < MAX_COUNT; i++)
            for (j = 0; j < 1024; j++) input[i][j] = (float)check_normal() * (j / 32 == 5 ? 50.0f : 1.0f);
        for (o.scales = LLMQ_SCALES_TOKEN; o.scales <= LLMQ_SCALES_BATCH; o.scales++) {
            prepare(act, &t, &o, MAX_COUNT, memory, sizeof memory);
            for (i = 0; i < MAX_COUNT; i++)
                for (j = 0; j < 1024; j++)
                    if (j / 32 != 5) {
                        double e = (double)act[i].x[j] - (double)act[i].scale[j / 32] * (double)act[i].q[j];
                        error[o.scales - 1] += e * e / (1024.0 * MAX_COUNT);
                    }
        }
        check_at("outliers");
        CHECK(error[0] > 0.9 && error[1] < 0.05);
    }
}

int main(void)
{
    check_seed(6);
    make_pools();
    test_codes();
    test_plain();
    test_scopes();
    test_products();
    test_other_groups();
    test_largest_sums();
    test_not_finite();
    test_small();
    test_uneven_batches();
    test_memory();
    test_sizes();
    test_errors();
    test_quality();
    return check_done("test_activation");
}
