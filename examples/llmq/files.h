/* files.h - how the tool fails, gets memory, reads and writes files, and shows progress. A part of the tool llmq.c, not a header for others. */

#include "text.h"

/* ---- trouble, memory, files ---------------------------------------------------------------------------------------- */

static void fail(const char *format, ...)
{
    char message[8192];
    words safe = { NULL, 0, 0 }; /* names from files are in it */
    va_list a;
    va_start(a, format);
    (void)vsnprintf(message, sizeof message, format, a);
    va_end(a);
    show(&safe, message, strlen(message), 1);
    fprintf(stderr, "llmq: %s\n", safe.s);
    exit(1);
}

static void check(llmq_status status, const char *what)
{
    if (status != LLMQ_OK) fail("%s: %s", what, llmq_status_text(status));
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) fail("no memory for %zu bytes", n);
    return p;
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    size_t room = 0, n = 0, got;
    if (!f) fail("cannot open %s: %s", path, strerror(errno));
    do {
        if (n == room) {
            room = room ? 2 * room : 1 << 16;
            bytes = (unsigned char *)realloc(bytes, room);
            if (!bytes) fail("no memory for %s", path);
        }
        got = fread(bytes + n, 1, room - n, f);
        n += got;
    } while (got);
    if (ferror(f)) fail("cannot read %s: %s", path, strerror(errno));
    fclose(f);
    *size = n;
    return bytes;
}

/* Into a new file beside the old one, which is replaced only when everything has been written. */
static void write_file(const char *path, const void *bytes, size_t size)
{
    char *part = (char *)allocate(strlen(path) + 6);
    FILE *f;
    sprintf(part, "%s.part", path);
    f = fopen(part, "wb");
    if (!f) fail("cannot write %s: %s", part, strerror(errno));
    if (fwrite(bytes, 1, size, f) != size || fclose(f)) fail("cannot write %s: %s (%s is as it was)", part, strerror(errno), path);
    if (rename(part, path)) fail("cannot rename %s to %s: %s", part, path, strerror(errno));
    free(part);
}

/* At most twice a second, and nothing if the job is short. */
static void progress(uint32_t done, uint32_t total, const char *what)
{
    static double last;
    double now = seconds();
    if (last == 0) last = now;
    if (done == total) fprintf(stderr, "\r%40s\r", "");
    else if (now - last > 0.5) {
        fprintf(stderr, "\r%u/%u %-30s", done, total, what);
        last = now;
    }
}
