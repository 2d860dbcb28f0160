/* test_flash.c - what power that fails leaves in flash: a bundle that is erased, written in
   part, or has bits that flipped

   A firmware that updates its weights finds one of these at the next reset. llmq_bundle_open and
   llmq_bundle_verify must refuse it with a status: no fault, no read behind the end, and never
   LLMQ_OK. Small enough for a micro:bit, where the bundle in question is a copy in RAM; on a
   desktop it ends at an unmapped page, then in a block of exactly its size for AddressSanitizer.
   FLASH_BOARD 1: a program for a board of examples/mcu, without printf and a heap. */
#ifndef FLASH_BOARD
#define FLASH_BOARD 0
#endif
#if FLASH_BOARD
#include "check_small.h"
#else
#include "check.h"
#endif
#include "vectors/golden.h"
#define LLMQ_IMPLEMENTATION
#define LLMQ_STATIC 1
#define LLMQ_NO_ENCODER 1
#define LLMQ_NO_STRINGS 1
#include "../llmq.h"

#ifndef FLASH_STEP /* of all bits behind the directory, one in so many */
#define FLASH_STEP (CHECK_WALLS ? 1u : 23u)
#endif

#define ERASED 0xff
#define PAGE 64u

static uint8_t *image; /* GOLDEN_SIZE bytes, which are what the flash holds */

static void write_image(size_t length)
{
    memcpy(image, golden_bundle, length);
    memset(image + length, ERASED, GOLDEN_SIZE - length);
}

/* What a firmware asks before it uses the bundle. */
static llmq_status load(size_t size)
{
    llmq_bundle b;
    llmq_error error;
    llmq_status status = llmq_bundle_open(&b, image, size, &error);
    if (status == LLMQ_OK) status = llmq_bundle_verify(&b, &error);
    CHECK(status == LLMQ_OK || error.status == status);
    return status;
}

static int is_refusal(llmq_status status)
{
    static const llmq_status refusal[] = { LLMQ_E_TRUNCATED, LLMQ_E_MAGIC, LLMQ_E_VERSION, LLMQ_E_CHECKSUM,
                                           LLMQ_E_CORRUPT, LLMQ_E_UNSUPPORTED, LLMQ_E_LIMIT };
    size_t i;
    for (i = 0; i < sizeof refusal / sizeof *refusal; i++)
        if (status == refusal[i]) return 1;
    return 0;
}

static uint32_t directory_end(void) { return 64 + 64 * GOLDEN_COUNT; }
static uint32_t names_end(void) { return directory_end() + load32(golden_bundle + 32); }
static uint32_t payloads(void) { return up(names_end(), 64) * 64; }

/* Of no consequence, so a reader takes any value: the minor version, and the zeros between names and payloads. */
static int is_free(uint32_t at) { return (at >= 10 && at < 12) || (at >= names_end() && at < payloads()); }

static void test_whole(void)
{
    write_image(GOLDEN_SIZE);
    CHECK_EQ(load(GOLDEN_SIZE), LLMQ_OK);
}

static void test_erased(void)
{
    write_image(0);
    CHECK_EQ(load(0), LLMQ_E_TRUNCATED);
    CHECK_EQ(load(1), LLMQ_E_MAGIC);
    CHECK_EQ(load(GOLDEN_SIZE), LLMQ_E_MAGIC);
    memset(image, 0, GOLDEN_SIZE);
    CHECK_EQ(load(GOLDEN_SIZE), LLMQ_E_MAGIC);
}

/* Written up to some byte. Where the rest happens to be 0xff, it is whole. */
static void test_partly_written(void)
{
    uint32_t n;
    for (n = 0; n < GOLDEN_SIZE; n++) {
        check_at("written up to byte %lu", (unsigned long)n);
        write_image(n);
        if (memcmp(image, golden_bundle, GOLDEN_SIZE) == 0) CHECK_EQ(load(GOLDEN_SIZE), LLMQ_OK);
        else CHECK(is_refusal(load(GOLDEN_SIZE)));
    }
}

/* The flash ends before the bundle does: not a byte behind may be read, so what is there of it
   goes to the end of the memory. */
static void test_cut(uint8_t *memory)
{
    uint32_t n;
    for (n = 0; n < GOLDEN_SIZE; n++) {
        check_at("cut at byte %lu", (unsigned long)n);
        image = CHECK_WALLS ? memory + GOLDEN_SIZE - n : memory;
        memcpy(image, golden_bundle, n);
        CHECK(is_refusal(load(n)));
    }
    image = memory;
}

/* A page that was left out, or erased again. */
static void test_lost_page(void)
{
    uint32_t at;
    for (at = 0; at < GOLDEN_SIZE; at += PAGE) {
        check_at("no page at %lu", (unsigned long)at);
        write_image(GOLDEN_SIZE);
        memset(image + at, ERASED, least(PAGE, GOLDEN_SIZE - at));
        CHECK(is_refusal(load(GOLDEN_SIZE)));
    }
}

static void flip(uint32_t bit)
{
    uint32_t at = bit / 8;
    check_at("bit %lu of byte %lu", (unsigned long)(bit % 8), (unsigned long)at);
    image[at] = (uint8_t)(image[at] ^ 1u << bit % 8);
    if (is_free(at)) CHECK_EQ(load(GOLDEN_SIZE), LLMQ_OK);
    else CHECK(is_refusal(load(GOLDEN_SIZE)));
    image[at] = golden_bundle[at];
}

/* All bits of header and directory; a sample of the rest. */
static void test_flipped(void)
{
    uint32_t bit;
    write_image(GOLDEN_SIZE);
    for (bit = 0; bit < 8 * directory_end(); bit++) flip(bit);
    for (; bit < 8 * GOLDEN_SIZE; bit += FLASH_STEP) flip(bit);
    check_at("%s", "");
    CHECK_EQ(load(GOLDEN_SIZE), LLMQ_OK);
}

static void test_all(uint8_t *memory)
{
    image = memory;
    test_whole();
    test_erased();
    test_partly_written();
    test_cut(memory);
    test_lost_page();
    test_flipped();
}

int main(void)
{
#if CHECK_WALLS
    check_wall wall = check_wall_open(GOLDEN_SIZE);
    uint8_t *block = (uint8_t *)malloc(GOLDEN_SIZE);
    if (!block) return 2;
    test_all(wall.end - GOLDEN_SIZE);
    test_all(block);
    free(block);
    check_wall_close(&wall);
#else
    static uint32_t memory[GOLDEN_SIZE / 4];
    test_all((uint8_t *)memory);
#endif
    return check_done("test_flash");
}
