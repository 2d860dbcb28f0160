/* replay.h - main of a fuzzer's target without libFuzzer, where REPLAY is defined

       program FILE...         runs inputs that were found
       program -n 20000        damages the seeds that often
       program -s DIRECTORY    writes the seeds there, to begin a corpus with

   Include it at the end of the target, and then REPLAY_MAIN({ NAME, BYTES, SIZE }, ...) with the
   seeds. Where seeds are made first, main calls replay_main. A seed has at most REPLAY_ROOM bytes.
   The damage is the same every time. */
#ifdef REPLAY
typedef struct replay_seed {
    const char *name;
    const unsigned char *bytes;
    size_t size;
} replay_seed;

#define REPLAY_ROOM 65536

static uint32_t replay_draws; /* numbers drawn so far */
static uint32_t replay_draw(size_t below) { return llmq_random(18, replay_draws++) % (uint32_t)(below ? below : 1); }

/* A number that lengths and counts go wrong at, in up to 8 bytes. */
static void replay_number(unsigned char *b, size_t width, size_t size)
{
    static const uint64_t telling[12] = {
        0, 1, 2, 4, 9, 255, 0x7fffffff, 0x80000000u, 0xffffffffu, (uint64_t)1 << 62, ~(uint64_t)0 >> 1, ~(uint64_t)0
    };
    uint64_t v = replay_draw(3) ? telling[replay_draw(12)] - replay_draw(3) : replay_draw(size + 2);
    size_t i;
    for (i = 0; i < width; i++, v >>= 8) b[i] = (unsigned char)(v & 255);
}

/* Changes one place. b has room for REPLAY_ROOM bytes. */
static void replay_damage(unsigned char *b, size_t *size, const replay_seed *other)
{
    size_t n = *size, at = replay_draw(n), length = 1 + replay_draw(replay_draw(4) ? 8 : 200), from;
    if (replay_draw(2)) at = replay_draw(n < 4096 ? n : 4096); /* where headers are */
    if (length > n - at) length = n - at;
    switch (replay_draw(8)) {
    case 0: if (n) b[at] = (unsigned char)(b[at] ^ 1u << replay_draw(8)); break;
    case 1: if (n) b[at] = (unsigned char)replay_draw(256); break;
    case 2:
    case 3: replay_number(b + at, length < 8 ? length : (size_t)1 << replay_draw(4), n); break;
    case 4: /* a piece is left out */
        memmove(b + at, b + at + length, n - at - length);
        *size = n - length;
        break;
    case 5: /* a piece is there twice */
        if (n + length > REPLAY_ROOM) break;
        memmove(b + at + length, b + at, n - at);
        *size = n + length;
        break;
    case 6: /* a piece of a seed */
        from = replay_draw(other->size);
        if (length > other->size - from) length = other->size - from;
        memcpy(b + at, other->bytes + from, length);
        break;
    default: if (replay_draw(8) == 0) *size = replay_draw(n); /* seldom, since it hides the rest */
    }
}

static void replay_loop(uint32_t n, const replay_seed *seeds, size_t count)
{
    static unsigned char input[REPLAY_ROOM];
    uint32_t i, k;
    for (i = 0; i < n; i++) {
        const replay_seed *seed = &seeds[i % count];
        size_t size = seed->size;
        memcpy(input, seed->bytes, size);
        for (k = i < count ? 0 : 1 + replay_draw(4); k > 0; k--)
            replay_damage(input, &size, &seeds[replay_draw(count)]);
        (void)LLVMFuzzerTestOneInput(input, size);
    }
    printf("%u inputs of %s and others\n", (unsigned)n, seeds[0].name);
}

static int replay_file(const char *path)
{
    static unsigned char data[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t size;
    if (!f) return perror(path), 1;
    size = fread(data, 1, sizeof data, f);
    fclose(f);
    (void)LLVMFuzzerTestOneInput(data, size);
    printf("%s: ok\n", path);
    return 0;
}

static int replay_write(const char *directory, const replay_seed *seed)
{
    char path[1024];
    FILE *f;
    (void)snprintf(path, sizeof path, "%s/%s", directory, seed->name);
    f = fopen(path, "wb");
    if (f && fwrite(seed->bytes, 1, seed->size, f) == seed->size && fclose(f) == 0) return 0;
    return perror(path), 1;
}

static int replay_main(int argc, char **argv, const replay_seed *seeds, size_t count)
{
    int i, failed = 0;
    size_t k;
    if (argc == 3 && strcmp(argv[1], "-n") == 0) {
        replay_loop((uint32_t)strtoul(argv[2], NULL, 10), seeds, count);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "-s") == 0) {
        for (k = 0; k < count; k++) failed += replay_write(argv[2], &seeds[k]);
        return failed != 0;
    }
    for (i = 1; i < argc; i++) failed += replay_file(argv[i]);
    return failed != 0;
}

#define REPLAY_MAIN(...) \
    int main(int argc, char **argv) \
    { \
        static const replay_seed seeds[] = { __VA_ARGS__ }; \
        return replay_main(argc, argv, seeds, sizeof seeds / sizeof *seeds); \
    }
#endif
