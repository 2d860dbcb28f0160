/* test_kernels - section 2 of llmq.h: every table of kernels that can run here gives the bits of
   the scalar one

       cc -O2 -o test_kernels tests/test_kernels.c && ./test_kernels [table | list]

   A name restricts the run to that table; "list" prints the names. The scalar kernels are what
   the other suites compare with the header's text: here they are the specification. Each case is
   made once, run by the scalar table and then by all others. What a kernel reads or writes is
   placed at every offset from a page boundary, and so that it ends at one.

   KERNELS_SMALL   1: a twentieth of the cases and less than 100 KB of memory, for microcontrollers
   KERNELS_ONE_IN  keep one case in so many */
#include "check.h"
#if CHECK_WALLS
#include <signal.h>
#endif

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "internals.h"
#include "suite.h"

#ifndef KERNELS_SMALL
#define KERNELS_SMALL 0
#endif
#ifndef KERNELS_ONE_IN
#define KERNELS_ONE_IN (KERNELS_SMALL ? 20 : 1)
#endif

#define FLUSH 16u      /* the offset that stands for: so that it ends where the memory ends */
#define OFFSETS 17u    /* 0 ... 15 elements from the start of the memory, and FLUSH */
#define MARGIN 16u     /* floats on either side of an output that must survive: one vector of 64 bytes */
#define CANARY 12345.678f
/* All sizes up to this one, at all offsets: two vectors of 64 bytes, in bytes, and what remains. */
#define DENSE 130u
#define MAX_COLS 2049u
#define MAX_COUNT 33u  /* activations: four batches of eight and one */
#define MAX_SCALES 128u
#define MAX_FLOATS (KERNELS_SMALL ? 2112u : 32768u + 64u)
#define RECORD_BYTES (KERNELS_SMALL ? 12288u : 131072u)
#define GRID_BYTES (KERNELS_SMALL ? 8192u : 131072u)
#define CODE_BYTES 2560u
#define WANT_BYTES 8192u
#define WORK 16000u    /* weights of a case, times batches of activations */
#define WORK_F32 8000u

static check_wall in_wall, out_wall, record_wall, grid_wall, code_wall, scale_wall;
static float initial[MAX_FLOATS], wanted[MAX_FLOATS];
static uint8_t wanted_bytes[WANT_BYTES];

/* ---- tables under test, and what is said when one differs ------------------------------------ */

static const llmq_kernels *scalar, *tables[16];
static uint32_t table_count;
static const char *on_table = "", *on_kernel = "";
static uint32_t turn; /* of the values that cases take in turns */

static const llmq_kernels *table(uint32_t i, const char *kernel)
{
    on_table = tables[i]->name;
    on_kernel = kernel;
    return tables[i];
}

/* True if the upper halves of all vector registers are zero, as a kernel must leave them, because
   code for SSE is slow otherwise. Call it right after the kernel. Where registers have none, or
   where this test has no assembler for them, it is true; also where speed does not matter. */
static int uppers_are_clear(void)
{
#if defined(__x86_64__) && defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) \
    && !defined(TESTS_EMULATED_IMMINTRIN_H)
    unsigned char all[16][32];
    size_t i, j;
    if (!(llmq_cpu_features() & LLMQ_CPU_AVX2)) return 1;
#define STORE(k) "vmovdqu %%ymm" #k ", 32*" #k "(%0)\n\t"
    __asm__ volatile(STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9)
                     STORE(10) STORE(11) STORE(12) STORE(13) STORE(14) STORE(15) : : "r"(all) : "memory");
#undef STORE
    for (i = 0; i < 16; i++)
        for (j = 16; j < 32; j++)
            if (all[i][j]) return 0;
#endif
    return 1;
}

/* Counts one comparison. check_at has named the case; table and kernel are put before it only
   where they are printed. */
static void verdict(int same_as_scalar)
{
    char place[sizeof check_where];
    if (!same_as_scalar) {
        memcpy(place, check_where, sizeof place);
        check_at("%s %s: %s", on_table, on_kernel, place);
    }
    CHECK(same_as_scalar);
    if (!same_as_scalar) memcpy(check_where, place, sizeof place);
}

#if CHECK_WALLS
/* A kernel that ran into a wall, or an instruction that is not there: say which before the program ends. */
static void crashed(int signal_number)
{
    printf("ERROR: signal %d in %s %s: [%s]\n", signal_number, on_table, on_kernel, check_where);
    (void)fflush(stdout);
    _Exit(3);
}
#endif

static int skipped(void) { return KERNELS_ONE_IN > 1 && check_below(KERNELS_ONE_IN) != 0; }


/* ---- places ---------------------------------------------------------------------------------- */

static uint8_t *place_bytes(const check_wall *w, size_t n, uint32_t off)
{
    return off < FLUSH ? w->start + off : w->end - n;
}

static float *place_floats(const check_wall *w, size_t n, uint32_t off)
{
    return (float *)(void *)(off < FLUSH ? w->start + off * sizeof(float) : w->end - n * sizeof(float));
}

/* n floats that a kernel writes, with canaries on the sides that have no wall; and the same in
   wanted for the scalar one. */
typedef struct window {
    float *low, *at;      /* first float compared; what the kernel is given */
    float *first, *want;  /* the floats of `at` in initial and in wanted */
    size_t length;        /* floats compared */
} window;

static window open_window(size_t n, uint32_t off)
{
    window w;
    size_t i, before = off < FLUSH ? off : MARGIN;
    w.length = before + n + (off < FLUSH ? MARGIN : 0);
    w.at = place_floats(&out_wall, n, off);
    w.low = w.at - before;
    w.first = initial + before;
    w.want = wanted + before;
    for (i = 0; i < w.length; i++) initial[i] = CANARY;
    return w;
}

/* first[] is what the kernel finds */
static void begin(const window *w) { memcpy(wanted, initial, w->length * sizeof(float)); }
static void reset(const window *w) { memcpy(w->low, initial, w->length * sizeof(float)); }
static int same_window(const window *w) { return same_floats(w->low, wanted, w->length); }

/* ---- values ---------------------------------------------------------------------------------- */

enum { EVEN, ZERO, SIGNED_ZERO, MOST, ONE_HOT, SPECIAL, SUBNORMAL, WIDE, ANY, KINDS,
       TIES = KINDS, TINY, FIRST, LAST, LAST_NAN, FIRST_INFINITE, GROUP_KINDS };

/* EVEN, or RANDOM points, half the time */
static uint32_t mostly_first(uint32_t kinds) { return check_below(2) ? 0 : check_below(kinds); }

static float even_number(void) { return (float)(int32_t)check_random() * (1.0f / 2147483648.0f); }

static float special_number(void)
{
    static const uint32_t bits[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0, 0x80000000u, 0x7f7fffffu, 0xff7fffffu, 1,
                                     0x807fffffu, 0x00800000u };
    return float_of(bits[check_below(COUNT(bits))]);
}

static void fill_values(float *x, uint32_t n, uint32_t kind)
{
    uint32_t i, hot = check_below(n + 1);
    for (i = 0; i < n; i++) {
        uint32_t r = check_random(), sign = r & 0x80000000u, fraction = r & 0x7fffffu;
        switch (kind) {
        case EVEN: x[i] = even_number(); break;
        case ZERO: x[i] = 0.0f; break;
        case SIGNED_ZERO: x[i] = float_of(sign); break;
        case MOST: x[i] = float_of(sign | 0x7f7fffffu); break;
        case ONE_HOT: x[i] = i == hot ? even_number() : 0.0f; break;
        case SPECIAL: x[i] = check_below(16) == 0 ? special_number() : even_number(); break;
        case SUBNORMAL: x[i] = float_of(sign | fraction); break;
        case WIDE: x[i] = float_of(sign | (107u + check_below(41)) << 23 | fraction); break;
        default: x[i] = float_of(r); break;
        }
    }
}

/* Groups to be quantized: also numbers half-way between two codes, and a largest number at
   either end or near 2^-100. */
static void fill_group(float *x, uint32_t n, uint32_t kind)
{
    uint32_t i;
    float unit = (float)power_of_2((int)check_below(180) - 90);
    fill_values(x, n, kind < (uint32_t)KINDS ? kind : (uint32_t)EVEN);
    for (i = 0; i < n && kind == TIES; i++) x[i] = unit * ((float)check_below(254) - 126.5f);
    for (i = 0; i < n && kind == TINY; i++) x[i] *= (float)power_of_2(-100);
    if (n == 0) return;
    if (kind == TIES) x[check_below(n)] = unit * (check_below(2) ? 127.0f : -127.0f);
    if (kind == TINY) x[check_below(n)] = float_of((26u << 23) + 0x7fffffu + check_below(3));
    if (kind == FIRST) x[0] = check_below(2) ? 1.0f : -1.0f;
    if (kind == LAST) x[n - 1] = check_below(2) ? 1.0f : -1.0f;
    if (kind == LAST_NAN) x[n - 1] = float_of(0xffc00001u);
    if (kind == FIRST_INFINITE) x[0] = float_of(0xff800000u);
}

static void at_case(uint32_t n, uint32_t off, uint32_t kind)
{
    check_at("n %lu, offset %lu, values %lu", (unsigned long)n, (unsigned long)off, (unsigned long)kind);
}

/* ---- vectors: signs, butterflies, Paley, quantize, add_scaled, add_products ------------------ */

static const uint32_t long_sizes[] = { 131, 192, 255, 256, 257, 511, 1021, 1024, 2047, 4099 };

/* Runs a test of one size and offset at all of them. */
static void all_sizes(void (*test)(uint32_t n, uint32_t off))
{
    uint32_t i, off;
    for (i = 0; i <= DENSE + COUNT(long_sizes); i++)
        for (off = 0; off < OFFSETS; off++) {
            uint32_t n = i <= DENSE ? i : long_sizes[i - DENSE - 1];
            if (n + 2 * MARGIN <= MAX_FLOATS && !skipped()) test(n, off);
        }
}

static void test_signs(uint32_t n, uint32_t off)
{
    window w = open_window(n, off);
    uint32_t i, seed = check_random(), kind = turn++ % KINDS;
    fill_values(w.first, n, kind);
    at_case(n, off, kind);
    begin(&w);
    scalar->signs(w.want, n, seed);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        table(i, "signs")->signs(w.at, n, seed);
        verdict(same_window(&w));
    }
}

static void test_add_scaled(uint32_t n, uint32_t off)
{
    window w = open_window(n, off);
    uint32_t i, kind = turn++ % KINDS;
    float *v = place_floats(&in_wall, n, (off * 3 + n) % OFFSETS), scale = check_below(8) ? even_number()
               : special_number();
    fill_values(v, n, kind);
    fill_values(w.first, n, mostly_first(KINDS));
    at_case(n, off, kind);
    begin(&w);
    scalar->add_scaled(w.want, scale, v, n);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        table(i, "add_scaled")->add_scaled(w.at, scale, v, n);
        verdict(same_window(&w));
    }
}

#if !LLMQ_NO_CALIBRATION
/* n factors of 12 bits. The first kinds: the least and the largest; the least, whose products
   leave sums that began subnormal so. */
static void fill_factors(float *x, size_t n, uint32_t kind)
{
    static const uint32_t edges[] = { 0, 0x80000000u, 67u << 23, 0x80000000u | 67u << 23, 187u << 23,
                                      0x80000000u | 187u << 23 };
    size_t i;
    if (kind >= 2) fill_values(x, (uint32_t)n, kind - 2);
    for (i = 0; i < n && kind < 2; i++) {
        uint32_t pick = kind == 0 ? check_below(COUNT(edges) + 2) : 2 + check_below(2);
        x[i] = pick < COUNT(edges) ? float_of(edges[pick]) : even_number();
    }
    for (i = 0; i < n; i++) x[i] = llmq__round12(x[i]);
}

/* Rows of sums with a gap between them, which must survive; columns of a panel, as in a Hessian,
   or rows of their own. */
static void try_add_products(uint32_t rows, uint32_t count, uint32_t n, uint32_t off)
{
    static const uint32_t gaps[] = { 0, 1, 5, 16 };
    uint32_t i, apart = n + gaps[check_below(COUNT(gaps))], kind = turn++ % (KINDS + 2), panel = check_below(2);
    size_t v_stride = check_below(4) == 0 ? 128 + n % 2 : n + gaps[check_below(COUNT(gaps))],
        a_step = panel ? rows + gaps[check_below(COUNT(gaps))] : 1;
    size_t in = count ? (count - 1) * v_stride + n : 0, factors = panel ? (count ? (count - 1) * a_step + rows : 0)
                : (size_t)rows * count;
    window w;
    float *v, *a, *out[8], *want[8];
    const float *from[8];
    if (rows * apart + 2 * MARGIN > MAX_FLOATS || in > MAX_FLOATS || factors * sizeof *a > GRID_BYTES) return;
    w = open_window(rows * apart - (apart - n), off);
    v = place_floats(&in_wall, in, off == FLUSH ? FLUSH : check_below(OFFSETS));
    a = place_floats(&grid_wall, factors, off == FLUSH ? FLUSH : check_below(OFFSETS));
    fill_factors(v, in, kind);
    fill_factors(a, factors, kind == 1 ? 1 : check_below(KINDS + 2));
    for (i = 0; i < rows; i++) {
        fill_values(w.first + i * apart, n, kind == 1 ? (uint32_t)SUBNORMAL : mostly_first(KINDS));
        out[i] = w.at + i * apart;
        want[i] = w.want + i * apart;
        from[i] = a + i * (panel ? 1 : count);
    }
    check_at("%lu rows, %lu apart, n %lu, %lu times, a_step %lu, v_stride %lu, offset %lu, values %lu",
             (unsigned long)rows, (unsigned long)apart, (unsigned long)n, (unsigned long)count, (unsigned long)a_step,
             (unsigned long)v_stride, (unsigned long)off, (unsigned long)kind);
    begin(&w);
    scalar->add_products(want, from, a_step, v, v_stride, rows, count, n);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        table(i, "add_products")->add_products(out, from, a_step, v, v_stride, rows, count, n);
        verdict(same_window(&w));
    }
}

static void test_add_products(void)
{
    static const uint32_t counts_of_products[] = { 0, 1, 2, 3, 16, 67 };
    uint32_t rows, c, n, round;
    for (rows = 1; rows <= 8; rows++)
        for (c = 0; c < COUNT(counts_of_products); c++)
            for (n = 0; n <= 129; n += n == 66 ? 61 : 1)
                for (round = 0; round < 2; round++)
                    if (!skipped()) try_add_products(rows, counts_of_products[c], n, round ? turn % OFFSETS : FLUSH);
}
#endif

static void try_butterflies(uint32_t n, uint32_t off, float norm)
{
    window w = open_window(n, off);
    uint32_t i, kind = turn++ % KINDS;
    fill_values(w.first, n, kind);
    at_case(n, off, kind);
    begin(&w);
    scalar->butterflies(w.want, n, norm);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        table(i, "butterflies")->butterflies(w.at, n, norm);
        verdict(same_window(&w));
    }
}

static void test_butterflies(void)
{
    uint32_t n, off, c;
    for (n = 1; n + 2 * MARGIN <= MAX_FLOATS; n *= 2)
        for (off = 0; off < OFFSETS; off += n <= 2048 ? 1 : 8)
            for (c = 0; c < (n <= 2048 ? 3u : 1u); c++)
                if (!skipped())
                    try_butterflies(n, off, c == 0 ? 1.0f / llmq__sqrt((float)n) : c == 1 ? 1.0f : even_number());
}

/* The dense step, and how whole blocks are put together. */
static void try_hadamard(uint32_t n, uint32_t off, uint32_t max_block)
{
    window w = open_window(n, off);
    size_t need = llmq_hadamard_work_size(n, max_block);
    float *work = place_floats(&in_wall, need / sizeof(float), check_below(OFFSETS));
    uint32_t i, kind = turn++ % KINDS;
    fill_values(w.first, n, kind);
    check_at("n %lu, offset %lu, max_block %lu, values %lu", (unsigned long)n, (unsigned long)off,
             (unsigned long)max_block, (unsigned long)kind);
    begin(&w);
    CHECK_EQ(llmq_hadamard(w.want, n, max_block, work, need, NULL), LLMQ_OK);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        CHECK_EQ(llmq_hadamard(w.at, n, max_block, work, need, table(i, "hadamard")), LLMQ_OK);
        verdict(same_window(&w));
    }
}

/* All lengths up to 260, in blocks of three kinds; and every order m run with a dense step, m
   the base, up to some length. */
static void test_hadamard(void)
{
    static const uint32_t max_blocks[] = { 0, 64, 32768 };
    uint32_t n, m, i;
    for (n = 1; n <= 260; n++)
        for (i = 0; i < COUNT(max_blocks); i++)
            if (!skipped()) try_hadamard(n, turn % OFFSETS, max_blocks[i]);
    for (m = 12; m <= 128; m += 4)
        for (n = m; n <= 3072 && n + 2 * MARGIN <= MAX_FLOATS; n *= 2)
            for (i = 0; i < 4 && llmq__base(m) == m; i++)
                if (!skipped()) try_hadamard(n, i ? turn % OFFSETS : FLUSH, i % 2 ? 0 : 32768);
    for (i = 0; i < OFFSETS; i++)
        if (!skipped() && 2880 + 2 * MARGIN <= MAX_FLOATS) try_hadamard(2880, i, 32768);
}

static void test_quantize(uint32_t n, uint32_t off)
{
    uint32_t i, kind = turn++ % GROUP_KINDS, before = off < FLUSH ? off : MARGIN,
        length = before + n + (off < FLUSH ? MARGIN : 0);
    float *x = place_floats(&in_wall, n, (off * 5 + n) % OFFSETS), scale, got;
    float levels = (float)((1 << turn / 3 % 7) * 2 - 1); /* of 2 ... 8 bits */
    uint8_t *q = place_bytes(&code_wall, n, off);
    if (n == 0 || n > 1024) return;
    fill_group(x, n, kind);
    at_case(n, off, kind);
    memset(wanted_bytes, 0x5a, length);
    scale = scalar->quantize(x, n, levels, (int8_t *)wanted_bytes + before);
    for (i = 0; i < table_count; i++) {
        memset(q - before, 0x5a, length);
        got = table(i, "quantize")->quantize(x, n, levels, (int8_t *)q);
        verdict(same_floats(&got, &scale, 1) && memcmp(q - before, wanted_bytes, length) == 0);
    }
}

/* ---- grids: the built-in ones, and all shapes of others -------------------------------------- */

static const uint32_t custom_n[] = { 2, 3, 5, 8, 16, 17, 40, 64, 100, 256, 300, 1024 };

/* Codes of 7 and of 11 to 16 bits. */
static const struct { uint32_t p, n; } wide_shapes[] = {
    { 1, 128 }, { 1, 2048 }, { 1, 4000 }, { 2, 8192 }, { 3, 9000 }, { 1, 20000 }, { 1, 65536 }, { 2, 40000 }
};

#define BUILTIN builtin()
#define NAMED (BUILTIN + COUNT(former_grids))
#define CUSTOM (8u * COUNT(custom_n))
#define FORMATS (NAMED + CUSTOM + COUNT(wide_shapes))

enum { RANDOM, COARSE, EXTREME, HIGHEST, LOWEST, NOT_LOWEST, POINT_KINDS };

/* The number of built-in formats. */
static uint32_t builtin(void)
{
    static uint32_t n;
    llmq_format f;
    if (!n) while (llmq_format_at(&f, n) == LLMQ_OK) n++;
    return n;
}

/* n points sorted by the first coordinate, then copies up to `total`. COARSE: equal points, and
   many equally near a number. The last four are the traps for sums of 16 bits; kernels may do
   without -128, and then be faster. */
static void make_points(int8_t *points, uint32_t p, uint32_t n, uint32_t total, uint32_t kind)
{
    uint32_t i, k;
    int bottom = check_below(2) ? -128 : -127;
    for (i = 0; i < n; i++)
        for (k = 0; k < p; k++) {
            uint32_t r = k ? check_random() & 255 : i * 255 / (n - 1); /* 0 ... 255, in order for the first */
            int v = r == 0 ? bottom : (int)r - 128;
            if (kind == COARSE) v = (int)(r / 64) * 64 - 96;
            if (kind == EXTREME) v = r < 128 ? bottom : 127;
            if (kind == HIGHEST) v = 127;
            if (kind == LOWEST) v = -128;
            if (kind == NOT_LOWEST) v = -127;
            points[i * p + k] = (int8_t)v;
        }
    for (i = n; i < total; i++) memcpy(points + (size_t)i * p, points + (size_t)check_below(n) * p, p);
}

/* The least k with 2^k >= n. */
static uint32_t ceil_log2(uint32_t n)
{
    uint32_t k = 0;
    while ((uint32_t)1 << k < n) k++;
    return k;
}

/* Format i, its points in the grid's wall: at the end of it, or at an odd place. A grid with a name half the time
   where it is. 0 if there is no room. */
static int get_format(llmq_format *f, uint32_t i, uint32_t off)
{
    uint32_t c = i - NAMED, w = c - CUSTOM, p, n;
    int8_t *points;
    memset(f, 0, sizeof *f);
    if (i < NAMED) {
        CHECK_EQ(i < BUILTIN ? llmq_format_at(f, i) : find_format(f, former_grids[i - BUILTIN].name, 128), LLMQ_OK);
        if (!f->points || check_below(2)) return 1;
        points = (int8_t *)place_bytes(&grid_wall, (size_t)f->p * llmq__table(f), off);
        memcpy(points, f->points, (size_t)f->p * llmq__table(f));
        f->points = points;
        return 1;
    }
    p = c < CUSTOM ? c % 8 + 1 : wide_shapes[w].p;
    n = c < CUSTOM ? custom_n[c / 8] : wide_shapes[w].n;
    if (((size_t)p << ceil_log2(n)) + FLUSH > GRID_BYTES) off = FLUSH;
    if ((size_t)p << ceil_log2(n) > GRID_BYTES) return 0;
    points = (int8_t *)place_bytes(&grid_wall, (size_t)p << ceil_log2(n), off);
    make_points(points, p, n, (uint32_t)1 << ceil_log2(n), mostly_first(POINT_KINDS));
    CHECK_EQ(llmq_format_custom(f, p, n, points, 50.0f, 128), LLMQ_OK);
    return 1;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static const uint32_t groups[] = { 32, 64, 96, 128, 160, 256, 1024, 0 };
static const uint32_t counts[] = { 1, 2, 3, 4, 7, 8, 9, 16, 17, 32, 33 };

/* What the kernels are given. */
static struct {
    llmq_tensor t;
    llmq_activation x[MAX_COUNT];
    uint32_t count, r0, r1;
    size_t stride;
} job;

/* A bfloat16 of magnitude 2^-7 ... 2: sums of such show in which order they were added. */
static uint32_t moderate(void)
{
    uint32_t r = check_random();
    return (r & 0x807fu) | (120 + (r >> 16 & 7)) << 7;
}

static void store16(uint8_t *b, uint32_t v) { b[0] = (uint8_t)(v & 255); b[1] = (uint8_t)(v >> 8 & 255); }

/* Any bits are legal. Where all are wild most results are NaN, so most records are tame, and a
   wild one has one wild scale. */
static void fill_record(const llmq_tensor *t, uint8_t *row, int wild)
{
    uint32_t i, r, scales = t->format.group ? up(t->cols, t->format.group) : 1;
    size_t done;
    for (done = 0; done < t->row_size; done += 4) {
        r = check_random();
        memcpy(row + done, &r, t->row_size - done < 4 ? t->row_size - done : 4);
    }
    if (!t->format.points) {
        uint32_t bytes = t->format.bits / 8;
        for (i = 0; i < t->cols && !wild; i++) { /* the upper half of a float is a bfloat16; halves below 2 */
            uint8_t *upper = row + i * bytes + bytes - 2;
            store16(upper, strcmp(t->format.name, "f16") == 0 ? ((uint32_t)(upper[0] | upper[1] << 8) & 0xbfffu)
                    : moderate());
        }
        return;
    }
    for (i = 0; i < scales; i++) store16(row + 2 * i, moderate());
    if (wild) store16(row + 2 * check_below(scales), check_below(2) ? bits_of(special_number()) >> 16 : check_random());
}

static void make_tensor(const llmq_format *f, uint32_t cols, uint32_t rows, uint32_t off)
{
    uint32_t r, room;
    uint8_t *data;
    memset(&job.t, 0, sizeof job.t);
    job.t.format = *f;
    job.t.cols = cols;
    job.t.row_size = llmq_row_size(f, cols);
    room = (uint32_t)((RECORD_BYTES - FLUSH) / job.t.row_size);
    job.t.rows = least(rows, room);
    data = place_bytes(&record_wall, job.t.rows * job.t.row_size, off);
    job.t.data = data;
    for (r = 0; r < job.t.rows; r++) fill_record(&job.t, data + r * job.t.row_size, check_below(4) == 0);
}

/* Codes of activations: also long runs of the largest, for sums of 16 bits to overflow. */
static void fill_codes(int8_t *q, uint32_t n)
{
    uint32_t i, kind = check_below(8);
    for (i = 0; i < n; i++) {
        int v = (int)check_below(255) - 127;
        if (kind == 0) v = 127;
        if (kind == 1) v = -127;
        if (kind == 2) v = v < 0 ? -127 : 127;
        if (kind == 3) v = i / 8 % 2 ? 127 : v;
        q[i] = (int8_t)v;
    }
}

/* Activations of the same memory, each a number further on than the one before, so that they sit
   at all alignments and one of them ends, or begins, at the wall. */
static void make_activations(int codes)
{
    static const uint32_t xgroups[] = { 32, 64, 96, 128, 160, 256, 512, 1024 };
    uint32_t cols = job.t.cols, i, spread = job.count - 1, rotate = check_below(job.count), shift,
        group = job.t.format.group, scales;
    uint32_t off = check_below(2) ? FLUSH : 0;
    float *x, *scale;
    int8_t *q;
    if (!job.t.format.points || group == 0) group = 128;
    if (check_below(2)) group = xgroups[check_below(COUNT(xgroups))]; /* made for another tensor */
    scales = up(cols, group);
    x = place_floats(&in_wall, cols + spread, off);
    q = (int8_t *)place_bytes(&code_wall, cols + spread, off);
    scale = place_floats(&scale_wall, scales + spread, off);
    if (codes) {
        fill_codes(q, cols + spread);
        for (i = 0; i < scales + spread; i++) scale[i] = float_of(moderate() << 16 | (check_random() & 0xffffu));
        if (check_below(4) == 0) scale[check_below(scales + spread)] = special_number();
    } else fill_values(x, cols + spread, mostly_first(KINDS));
    for (i = 0; i < job.count; i++) {
        shift = (i + rotate) % job.count;
        memset(&job.x[i], 0, sizeof job.x[i]);
        job.x[i].cols = cols;
        job.x[i].group = group;
        if (codes) job.x[i].q = q + shift, job.x[i].scale = scale + shift;
        else job.x[i].x = x + shift;
    }
}

static void try_product(int codes)
{
    window w = open_window((job.count - 1) * job.stride + job.r1, check_below(2) ? FLUSH : check_below(OFFSETS));
    uint32_t i;
    int clear;
    make_activations(codes);
    begin(&w);
    job.t.kernels = NULL;
    (codes ? scalar->rows_i8 : scalar->rows_f32)(&job.t, job.x, job.count, job.r0, job.r1, w.want, job.stride);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        job.t.kernels = table(i, codes ? "rows_i8" : "rows_f32");
        (codes ? tables[i]->rows_i8 : tables[i]->rows_f32)(&job.t, job.x, job.count, job.r0, job.r1, w.at, job.stride);
        clear = uppers_are_clear();
        verdict(same_window(&w));
        if (!clear) check_at("%s %s leaves upper halves of vectors", on_table, on_kernel);
        CHECK(clear);
    }
}

static void try_read_row(uint32_t r, uint32_t off)
{
    window w = open_window(job.t.cols, off);
    uint32_t i;
    begin(&w);
    job.t.kernels = NULL;
    scalar->read_row(&job.t, r, w.want);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        job.t.kernels = table(i, "read_row");
        tables[i]->read_row(&job.t, r, w.at);
        verdict(same_window(&w));
    }
}

static void try_add_rows(uint32_t r0, uint32_t r1, uint32_t off)
{
    window w = open_window(job.t.cols, off);
    static float weight[64];
    uint32_t i;
    for (i = r0; i < r1; i++) weight[i] = check_below(16) ? even_number() : special_number();
    fill_values(w.first, job.t.cols, EVEN);
    begin(&w);
    job.t.kernels = NULL;
    scalar->add_rows(&job.t, weight, r0, r1, w.want);
    for (i = 0; i < table_count; i++) {
        reset(&w);
        job.t.kernels = table(i, "add_rows");
        tables[i]->add_rows(&job.t, weight, r0, r1, w.at);
        verdict(same_window(&w));
    }
}

/* All that is done with rows, for one tensor. */
static void try_rows(const llmq_format *f, uint32_t cols, uint32_t rows, uint32_t count, uint32_t off)
{
    turn++;
    make_tensor(f, cols, rows, off);
    rows = job.t.rows;
    check_at("%s, p %lu, n %lu, group %lu, %lu rows of %lu, %lu activations, offset %lu", f->name, (unsigned long)f->p,
             (unsigned long)f->n, (unsigned long)f->group, (unsigned long)rows, (unsigned long)cols,
             (unsigned long)count, (unsigned long)off);
    try_read_row(check_below(2) ? rows - 1 : check_below(rows), turn % OFFSETS);
    job.r0 = check_below(rows);
    try_add_rows(job.r0, least(rows, job.r0 + check_below(4)), turn * 3 % OFFSETS);
    job.r1 = check_below(4) ? rows : check_below(rows + 1);
    job.r0 = check_below(2) ? 0 : check_below(job.r1 + 1);
    job.stride = rows + check_below(4);
    job.count = least(count, (uint32_t)((MAX_FLOATS - 2 * MARGIN) / job.stride));
    if (job.count == 1 && check_below(2)) job.stride = 0; /* as llmq_matvec says it */
    if (f->points) try_product(1);
    job.count = least(job.count, WORK_F32 / (rows * cols) + 1); /* the scalar kernel decodes a row once for each */
    try_product(0);
}

/* All short rows at all offsets; those of grids that are not built in at an offset each. */
static void test_short_rows(void)
{
    llmq_format f;
    uint32_t i, cols, off, rows, count;
    for (i = 0; i < FORMATS; i++)
        for (off = 0; off < OFFSETS; off += i < NAMED ? 1 : OFFSETS) {
            if (!get_format(&f, i, off)) continue;
            for (cols = 1; cols <= DENSE; cols++) {
                if (skipped()) continue;
                f.group = f.points ? groups[check_below(COUNT(groups))] : 0;
                rows = 1 + check_below(5);
                count = counts[check_below(4)];
                try_rows(&f, cols, rows, count, i < NAMED ? off : turn % OFFSETS);
            }
        }
}

static void test_long_rows(void)
{
    static const uint32_t sizes[] = { 172, 192, 256, 300, 384, 511, 512, 576, 640, 768, 896, 1000, 1024, 1100, 1536,
                                      2048, MAX_COLS };
    llmq_format f;
    uint32_t i, g, c, cols, rows, count;
    for (i = 0; i < FORMATS; i++)
        for (g = 0; g < COUNT(groups); g++)
            for (c = 0; c < COUNT(sizes); c += i < NAMED ? 1u : 9u) {
                if (skipped() || !get_format(&f, i, check_below(2) ? FLUSH : turn % OFFSETS)) continue;
                f.group = f.points ? groups[g] : 0;
                cols = sizes[i < NAMED ? c : check_below(COUNT(sizes))];
                count = check_below(3) ? counts[check_below(COUNT(counts))] : 1; /* one is what most programs have */
                rows = least(1 + check_below(40), WORK / cols / up(count, 8) + 1);
                try_rows(&f, cols, rows, count, check_below(2) ? FLUSH : turn % OFFSETS);
            }
}

/* All numbers of rows with all numbers of activations. */
static void test_row_counts(void)
{
    static const uint32_t sizes[] = { 31, 32, 44, 64, 96, 128, 160, 172, 256 };
    llmq_format f;
    uint32_t rows, cols, c, round;
    for (rows = 1; rows <= 64; rows += rows < 40 ? 1 : 24)
        for (c = 0; c < COUNT(counts); c++)
            for (round = 0; round < 6; round++) {
                if (skipped() || !get_format(&f, check_below(check_below(4) ? NAMED : NAMED + CUSTOM),
                                             turn % OFFSETS))
                    continue;
                f.group = f.points ? groups[check_below(COUNT(groups))] : 0;
                cols = sizes[check_below(COUNT(sizes))];
                try_rows(&f, cols, rows, counts[c], check_below(2) ? FLUSH : turn % OFFSETS);
            }
}

/* Blocks of rows that are decoded once for several activations, as long as rows are above where
   only few are multiplied. */
static void test_blocks(void)
{
    static const uint32_t sizes[] = { 1000, 1024, 1100, 2048, MAX_COLS };
    llmq_format f;
    uint32_t i, g;
    for (i = 0; i < NAMED + CUSTOM; i += i < NAMED ? 1u : 5u)
        for (g = 0; g < COUNT(groups); g++) {
            if (skipped() || !get_format(&f, i, turn % OFFSETS) || !f.points) continue;
            f.group = groups[g];
            try_rows(&f, sizes[check_below(COUNT(sizes))], 16 + check_below(8), 4 + check_below(MAX_COUNT - 3),
                     check_below(2) ? FLUSH : turn % OFFSETS);
        }
}

/* Every binary16 and every bfloat16. */
static void test_halves(void)
{
    llmq_format f;
    uint32_t kind, first, i;
    for (kind = 0; kind < 2; kind++)
        for (first = 0; first < 65536; first += 2048) {
            uint8_t *data = place_bytes(&record_wall, 4096, first / 2048 % OFFSETS);
            if (skipped()) continue;
            CHECK_EQ(llmq_format_find(&f, kind ? "bf16" : "f16", 0), LLMQ_OK);
            make_tensor(&f, 2048, 1, first / 2048 % OFFSETS);
            for (i = 0; i < 2048; i++) store16(data + 2 * i, first + i);
            check_at("%s from %lu on", f.name, (unsigned long)first);
            try_read_row(0, first / 2048 % OFFSETS);
            try_add_rows(0, 1, first / 2048 % OFFSETS);
        }
}

/* ---- nearest --------------------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER

/* Vectors near the grid, on its points, half-way between two (exactly, as inverse is a power of
   two), on a lattice on which a COARSE grid has many equally near points, and far away, where
   squares of distances end at 1e19 and overflow. */
static void fill_vectors(float *x, uint32_t count, const float *points, uint32_t n, uint32_t p, float inverse)
{
    static const float far[] = { 1e10f, -1e10f, 1e20f, -1e20f, 3.1622777e9f, -3.162e9f, 2e9f, 1e-30f, 0.0f };
    uint32_t i, k, kind = check_below(8), a, b;
    for (i = 0; i < count; i++) {
        a = check_below(n), b = check_below(2) ? (a + 1) % n : check_below(n);
        for (k = 0; k < p; k++, x++) {
            float v = even_number() * 150.0f;
            if (kind == 0) v = points[a * p + k];
            if (kind == 1) v = (points[a * p + k] + points[b * p + k]) * 0.5f;
            if (kind == 2) v = ((float)check_below(9) - 4.0f) * 32.0f;
            if (kind == 3) v = far[check_below(COUNT(far))];
            if (kind == 4) v = 0.0f;
            if (kind == 5) v *= 1e-3f;
            *x = v / inverse;
        }
    }
}

static void try_nearest(const llmq_format *f, uint32_t count, uint32_t off)
{
    static const float inverses[] = { 1.0f, 0.25f, 8.0f, 0.037f };
    uint32_t i, before = off < FLUSH ? off : MARGIN, length = before + count + (off < FLUSH ? MARGIN : 0);
    float inverse = inverses[check_below(COUNT(inverses))];
    float *points = wanted, *x = place_floats(&in_wall, count * f->p, (off * 5 + count) % OFFSETS);
    uint16_t *code = (uint16_t *)(void *)(off < FLUSH ? code_wall.start + 2 * off : code_wall.end - 2 * count);
    uint16_t *want = (uint16_t *)(void *)wanted;
    for (i = 0; i < f->n * f->p; i++) points[i] = (float)f->points[i];
    /* the points of the format may be there, too */
    points = place_floats(&grid_wall, f->n * f->p, off % 2 ? FLUSH : 0);
    memcpy(points, wanted, f->n * f->p * sizeof *points);
    fill_vectors(x, count, points, f->n, f->p, inverse);
    check_at("%s, p %lu, n %lu, %lu vectors, offset %lu", f->name, (unsigned long)f->p, (unsigned long)f->n,
             (unsigned long)count, (unsigned long)off);
    memset(want, 0x5a, length * sizeof *want);
    scalar->nearest(points, f->n, f->p, x, inverse, count, want + before);
    for (i = 0; i < table_count; i++) {
        memset(code - before, 0x5a, length * sizeof *code);
        table(i, "nearest")->nearest(points, f->n, f->p, x, inverse, count, code);
        verdict(memcmp(code - before, want, length * sizeof *code) == 0);
    }
}

static void test_nearest(void)
{
    llmq_format f;
    uint32_t count, off, i = 0, round;
    for (round = 0; round < 4; round++)
        for (count = 0; count <= 70; count++)
            for (off = 0; off < OFFSETS; off++) {
                if (skipped() || !get_format(&f, i++ % (NAMED + CUSTOM), 0) || !f.points) continue;
                if (!f.taps[0] && f.n * f.p * sizeof(float) <= GRID_BYTES && f.n * f.p <= MAX_FLOATS)
                    try_nearest(&f, count, off);
            }
}

/* ---- whole paths ----------------------------------------------------------------------------- */

#define PATH_ROWS 3u

/* Three rows: normal; with a group of zeros and a number that stands out; in steps, for ties. */
static void fill_weights(float *w, uint32_t cols)
{
    uint32_t j;
    for (j = 0; j < cols; j++) {
        w[j] = (float)check_normal();
        w[cols + j] = j < 64 ? 0.0f : j == cols / 2 ? 1000.0f : even_number();
        w[2 * cols + j] = (float)check_below(9) - 4.0f;
    }
}

/* Encodes weights (in initial) into `data`, the last row appended, but those of a trellis, which hang together. */
static void encode_rows(llmq_tensor t, uint8_t *data, int effort)
{
    size_t need = llmq_encode_work_size(&t), size = PATH_ROWS * t.row_size;
    float *work = place_floats(&in_wall, (need + 3) / 4, FLUSH);
    llmq_encode_options options;
    memset(&options, 0, sizeof options);
    options.effort = effort;
    memset(data, 0x5a, size);
    t.data = data;
    t.rows = t.format.taps[0] ? PATH_ROWS : PATH_ROWS - 1;
    CHECK_EQ(llmq_encode(&t, data, 0, t.rows, initial, t.cols, &options, work, need, NULL), LLMQ_OK);
    if (t.rows < PATH_ROWS)
        CHECK_EQ(llmq_tensor_append(&t, data, size, initial + (PATH_ROWS - 1) * t.cols, &options, work, need), LLMQ_OK);
}

static void path_encode(llmq_tensor *t, uint8_t *data, int effort)
{
    uint32_t i;
    t->kernels = NULL;
    encode_rows(*t, wanted_bytes, effort);
    for (i = 0; i < table_count; i++) {
        t->kernels = table(i, "llmq_encode");
        encode_rows(*t, data, effort);
        verdict(memcmp(data, wanted_bytes, PATH_ROWS * t->row_size) == 0);
    }
    memcpy(data, wanted_bytes, PATH_ROWS * t->row_size);
}

/* The products in y[0, PATH_ROWS), computed in one piece or two; the activation's numbers,
   scales and codes behind them. */
static void path_multiply(const llmq_tensor *t, uint32_t bits, uint32_t cut, float *y)
{
    size_t need = llmq_activation_size(t, bits);
    float *mem = place_floats(&in_wall, (need + 3) / 4, FLUSH);
    llmq_activation a;
    memset(&a, 0, sizeof a);
    CHECK_EQ(llmq_activation_prepare(&a, t, bits, initial, mem, need), LLMQ_OK);
    CHECK_EQ(llmq_matmul(t, &a, 1, 0, cut, y, PATH_ROWS), LLMQ_OK);
    CHECK_EQ(llmq_matvec(t, &a, cut, PATH_ROWS, y), LLMQ_OK);
    memcpy(y + PATH_ROWS, a.x, t->cols * sizeof(float));
    y += PATH_ROWS + t->cols;
    if (bits != 8) return;
    memcpy(y, a.scale, up(t->cols, a.group) * sizeof(float));
    y += up(t->cols, a.group);
    while (a.cols-- > 0) *y++ = (float)*a.q++;
}

/* Products (their bits: 8 or 32), the transposed product and a decoded row, by name. */
static void path_run(const llmq_tensor *t, uint32_t path, uint32_t cut, float *out)
{
    size_t need = llmq_transform_work_size(&t->transform, t->cols);
    float *work = place_floats(&in_wall, need / sizeof(float), FLUSH);
    if (path == 8 || path == 32) path_multiply(t, path, cut, out);
    else if (path == 1) CHECK_EQ(llmq_matvec_transposed(t, initial, 0, PATH_ROWS, out, work, need), LLMQ_OK);
    else CHECK_EQ(llmq_tensor_decode(t, cut - 1, out, work, need), LLMQ_OK);
}

static void path_products(llmq_tensor *t)
{
    static const struct { const char *name; uint32_t path; } paths[] = {
        { "llmq_matmul of int8", 8 }, { "llmq_matmul of float", 32 }, { "llmq_matvec_transposed", 1 },
        { "llmq_tensor_decode", 0 }
    };
    uint32_t i, j, length = 2 * t->cols + PATH_ROWS + up(t->cols, 32);
    float *out = place_floats(&out_wall, length, FLUSH);
    for (j = t->format.points ? 0 : 1; j < COUNT(paths); j++) {
        memset(wanted, 0, length * sizeof(float));
        t->kernels = NULL;
        path_run(t, paths[j].path, PATH_ROWS, wanted);
        for (i = 0; i < table_count; i++) {
            memset(out, 0, length * sizeof(float));
            t->kernels = table(i, paths[j].name);
            path_run(t, paths[j].path, paths[j].path ? check_below(PATH_ROWS + 1) : PATH_ROWS, out);
            verdict(same_floats(out, wanted, length));
        }
    }
}

/* Every effort; the transforms are none, a power of two with a remainder, a Paley block, many blocks. */
static void test_paths(void)
{
    static const uint32_t sizes[] = { 172, 300, 96, 133, 255, 240 }, blocks[] = { 32, 256, 0 };
    llmq_transform rotate;
    llmq_format f;
    llmq_tensor t;
    uint32_t i, cols;
    int effort;
    for (i = 0; i < NAMED + CUSTOM; i++)
        for (effort = LLMQ_EFFORT_DEFAULT; effort <= LLMQ_EFFORT_BEST; effort++) {
            if (skipped() || (i >= NAMED && (i + (uint32_t)effort) % 3 != 0) || !get_format(&f, i, FLUSH)) continue;
            if (f.points) f.group = groups[check_below(COUNT(groups))];
            cols = sizes[check_below(COUNT(sizes))];
            rotate = llmq_transform_hadamard(check_random(), blocks[check_below(COUNT(blocks))]);
            check_at("%s, p %lu, n %lu, group %lu, cols %lu, effort %d", f.name, (unsigned long)f.p, (unsigned long)f.n,
                     (unsigned long)f.group, (unsigned long)cols, effort);
            if (!CHECK_EQ(llmq_tensor_init(&t, &f, check_below(4) ? &rotate : NULL, PATH_ROWS, cols,
                                           place_bytes(&record_wall, PATH_ROWS * llmq_row_size(&f, cols), FLUSH),
                                               RECORD_BYTES), LLMQ_OK)) continue;
            if (llmq_encode_work_size(&t) > MAX_FLOATS * sizeof(float)) continue;
            fill_weights(initial, cols);
            path_encode(&t, place_bytes(&record_wall, PATH_ROWS * t.row_size, FLUSH), effort);
            path_products(&t);
        }
}
#endif

/* ---- the tables themselves ------------------------------------------------------------------- */

static void test_tables(void)
{
    static const char *const names[] = { "scalar", "ssse3", "avx2", "avx2vnni", "avx512vnni", "avx512vbmi", "neon",
                                         "neondot", "neoni8mm", "dsp", "mve", "wasm", "rvv" };
    static const uint8_t record[1] = { 0 };
    const llmq_kernels *k, *last = NULL;
    llmq_format f;
    llmq_tensor t;
    uint32_t i, j, known;
    for (i = 0; (k = llmq_kernels_at(i)) != NULL; i++) {
        check_at("table %lu, %s", (unsigned long)i, k->name);
        CHECK(k->signs && k->butterflies && k->paley && k->quantize && k->read_row && k->add_rows && k->rows_i8
              && k->rows_f32 && k->add_scaled);
#if !LLMQ_NO_ENCODER
        CHECK(k->nearest != NULL);
#endif
        for (j = 0, known = 0; j < COUNT(names); j++) known += strcmp(k->name, names[j]) == 0;
        CHECK_EQ((long)known, 1);
        for (j = 0; j < i; j++) CHECK(strcmp(k->name, llmq_kernels_at(j)->name) != 0);
        CHECK((i == 0) == (k->features == 0));
        if (can_run(k)) last = k;
    }
    check_at("%s", "");
    CHECK(strcmp(llmq_kernels_at(0)->name, "scalar") == 0);
    CHECK(llmq_kernels_at(i + 1) == NULL && llmq_kernels_at(UINT32_MAX) == NULL);
    CHECK(llmq_kernels_best() == last);
    CHECK(llmq_cpu_features() == llmq_cpu_features());
    CHECK_EQ(llmq_format_find(&f, "g8", 32), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, 0, 1, record, 0), LLMQ_OK);
    CHECK(t.kernels == LLMQ_KERNELS);
}

static int list_tables(void)
{
    uint32_t i;
    for (i = 0; llmq_kernels_at(i); i++)
        printf("%s%s\n", llmq_kernels_at(i)->name, can_run(llmq_kernels_at(i)) ? "" : " (cannot run here)");
    return 0;
}

/* The table of that name, which is an error if it cannot run; without a name all that can but scalar. */
static void choose_tables(const char *name)
{
    const llmq_kernels *k;
    uint32_t i;
    scalar = llmq_kernels_at(0);
    for (i = 0; (k = llmq_kernels_at(i)) != NULL; i++)
        if ((name ? strcmp(name, k->name) == 0 : i > 0) && can_run(k) && table_count < COUNT(tables))
            tables[table_count++] = k;
    check_at("table %s", name ? name : "");
    CHECK(!name || table_count == 1);
}

static void open_walls(void)
{
    in_wall = check_wall_open(MAX_FLOATS * sizeof(float));
    out_wall = check_wall_open(MAX_FLOATS * sizeof(float));
    record_wall = check_wall_open(RECORD_BYTES);
    grid_wall = check_wall_open(GRID_BYTES);
    code_wall = check_wall_open(CODE_BYTES);
    scale_wall = check_wall_open(MAX_SCALES * sizeof(float));
#if CHECK_WALLS && !defined(__SANITIZE_ADDRESS__)
    (void)signal(SIGSEGV, crashed);
    (void)signal(SIGBUS, crashed);
    (void)signal(SIGILL, crashed);
#endif
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "list") == 0) return list_tables();
    open_walls();
    test_tables();
    choose_tables(argc > 1 ? argv[1] : NULL);
    if (table_count == 0) return check_done("test_kernels");
    all_sizes(test_signs);
    all_sizes(test_add_scaled);
#if !LLMQ_NO_CALIBRATION
    test_add_products();
#endif
    test_butterflies();
    test_hadamard();
    all_sizes(test_quantize);
    test_short_rows();
    test_long_rows();
    test_row_counts();
    test_blocks();
    test_halves();
#if !LLMQ_NO_ENCODER
    test_nearest();
    test_paths();
#endif
    return check_done("test_kernels");
}
