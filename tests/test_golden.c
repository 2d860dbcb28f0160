/* test_golden: have the bits of results changed? The checksum of the records that the encoder
   writes, and of the products with them, for every format and effort. These are not answers from
   elsewhere (the other suites have those) but a tripwire: when a change to the search or to the
   order of operations is meant, `test_golden -p` prints the new table, and CHANGELOG.md says
   that result bits changed. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "grids.h"
#include "internals.h"

#define ROWS 6
#define COLS 300 /* blocks of 256 and 44, groups of 64 with a short one at the end */
#define LONG 130 /* rows of a trellis, which is long; its columns are few, so that boards are done with it */

typedef struct golden {
    const char *format;
    uint32_t records[3], products; /* by effort; int8 (float for raw formats), default effort */
} golden;

static const golden expected[] = {
    { "f32", { 0x0a722befu, 0x0a722befu, 0x0a722befu }, 0xe59da1b9u },
    { "f16", { 0xc48c8497u, 0xc48c8497u, 0xc48c8497u }, 0xe7d05cf2u },
    { "bf16", { 0x2ce364a6u, 0x2ce364a6u, 0x2ce364a6u }, 0x9b17383eu },
    { "g2", { 0xf6934f09u, 0xbdf7f490u, 0x3bb87a24u }, 0xade9d31cu },
    { "g3", { 0xdd765d99u, 0x6cfb0135u, 0xa2f6850du }, 0x7dda02a0u },
    { "g4", { 0x3d37c2e0u, 0xd3c5fea8u, 0x3fbc277fu }, 0xbdb809cbu },
    { "g5", { 0xda991a56u, 0x74ba89abu, 0xf8f5ce80u }, 0x2a33838du },
    { "g6", { 0x9576875fu, 0x0ab4a200u, 0x0f5d13e8u }, 0xebdb4eefu },
    { "g8", { 0xdec95629u, 0xb5da1df3u, 0x9fa0fa56u }, 0x00670d77u },
    { "v2n16", { 0xd232fa58u, 0xd10f6b47u, 0xa3cf58e2u }, 0xe872ef32u },
    { "v2n64", { 0x7a4fa330u, 0xbb249e52u, 0x33e2f7deu }, 0xa9e5604fu },
    { "u4", { 0x79b8fa48u, 0x8ed5c60au, 0x25bae241u }, 0xa331a49bu },
    { "u8", { 0xd1fe7084u, 0xd1fe7084u, 0xd1fe7084u }, 0x48ab8efbu },
    { "t1", { 0x8a56c0d7u, 0x06122a8au, 0xda6c520eu }, 0xd81ed2cdu },
    { "t2", { 0x38e3842du, 0x8e75f62bu, 0xcf4ef814u }, 0x50dfda44u },
    { "t3", { 0xee69a82bu, 0x47a53121u, 0xed1e10abu }, 0x4e0fad9du },
    { "t4", { 0xf347e498u, 0x4bcee9dbu, 0x57617b13u }, 0x81baf2d5u },
    { "t2s", { 0xd4538ac6u, 0x37daae24u, 0x619174edu }, 0x1b8c1db3u },
    { "t3s", { 0xc59401b3u, 0xe6194488u, 0x406c84bdu }, 0xe2b50ee2u },
    { "t4s", { 0x9da85258u, 0x54b6ce64u, 0x2c9e1e7eu }, 0xd831c2f1u },
    /* custom grids */
    { "v2n256", { 0x6a17d714u, 0xcb50eaa3u, 0x7837dc3bu }, 0x63ccfdc1u },
    { "v3n64", { 0x43fe001fu, 0x36d20d1fu, 0xdd3a23b3u }, 0xd2c2f4f9u },
    { "v3n512", { 0xcbac278bu, 0x19d80674u, 0xf7619625u }, 0xde96d3fcu },
    { "v4n256", { 0x77f3096au, 0xec5d4156u, 0x3609e571u }, 0x75987b7du },
};

static float w[ROWS * COLS], y[LONG], mem[4096];
static uint8_t data[ROWS * COLS * 4];
static float work[65536];

/* Three kinds of rows: even, heavy-tailed, with a mean. Only exact operations, so that the input
   is the same everywhere. */
static void fill(void)
{
    uint32_t i;
    for (i = 0; i < ROWS * COLS; i++) {
        float u = (float)(llmq_random(5, i) >> 8) / 16777216.0f - 0.5f;
        w[i] = i / COLS % 3 == 0 ? u : i / COLS % 3 == 1 ? u * u * u * 8.0f : u + 0.25f;
    }
}

/* Adds to g what rows x cols numbers give. */
static void measure_shape(golden *g, const llmq_format *f, uint32_t rows, uint32_t cols)
{
    llmq_transform rotate = llmq_transform_hadamard(3, 256);
    llmq_activation a;
    llmq_tensor t;
    uint32_t e;
    CHECK_EQ(llmq_tensor_init(&t, f, &rotate, rows, cols, data, sizeof data), LLMQ_OK);
    for (e = 3; e-- > 0;) {
        llmq_encode_options options;
        memset(&options, 0, sizeof options);
        options.effort = (int)e;
        CHECK_EQ(llmq_encode(&t, data, 0, rows, w, cols, &options, work, sizeof work, NULL), LLMQ_OK);
        g->records[e] = llmq__crc(g->records[e], data, rows * t.row_size);
    }
    CHECK_EQ(llmq_activation_prepare(&a, &t, f->points ? 8 : 32, w + COLS, mem, sizeof mem), LLMQ_OK);
    CHECK_EQ(llmq_matvec(&t, &a, 0, rows, y), LLMQ_OK);
    for (e = 0; e < rows; e++) llmq__store32(data + 4 * e, bits_of(y[e])); /* the same bytes on either endian */
    g->products = llmq__crc(g->products, data, 4 * rows);
}

static golden measure(llmq_format f, const char *name)
{
    golden g;
    memset(&g, 0, sizeof g);
    g.format = name;
    if (f.points) f.group = 64;
    if (f.taps[0]) measure_shape(&g, &f, LONG, 13); /* rings of two kinds: long, and hardly longer than the memory */
    measure_shape(&g, &f, ROWS, f.taps[0] ? 13 : COLS);
    return g;
}

int main(int argc, char **argv)
{
    llmq_format f;
    uint32_t i, built_in = 0;
    fill();
    while (llmq_format_at(&f, built_in) == LLMQ_OK) built_in++;
    for (i = 0; i < built_in + COUNT(former_grids); i++) {
        const int former = i >= built_in;
        golden g;
        CHECK_EQ(former ? find_format(&f, former_grids[i - built_in].name, 64) : llmq_format_at(&f, i), LLMQ_OK);
        g = measure(f, former ? former_grids[i - built_in].name : f.name);
        if (argc > 1 && argv[1][1] == 'p')
            printf("    { \"%s\", { 0x%08lxu, 0x%08lxu, 0x%08lxu }, 0x%08lxu },\n", g.format,
                   (unsigned long)g.records[0], (unsigned long)g.records[1], (unsigned long)g.records[2],
                   (unsigned long)g.products);
        check_at("golden %s", g.format);
        if (!CHECK(i < sizeof expected / sizeof *expected)) continue;
        CHECK(strcmp(g.format, expected[i].format) == 0);
        CHECK(memcmp(g.records, expected[i].records, sizeof g.records) == 0);
        CHECK(g.products == expected[i].products);
    }
    CHECK(i == sizeof expected / sizeof *expected);
    return check_done("test_golden");
}
