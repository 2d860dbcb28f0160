/* files.h - how the tool fails, gets memory, reads and writes files, and shows progress. A part
   of the tool llmq.c, not a header for others. */

#include "text.h"

/* ---- trouble and memory ---------------------------------------------------------------------- */

/* Exit codes: what was asked for could not be done; it was not understood (EXIT_USAGE, as of
   most programs with options). */
#define EXIT_TROUBLE 1
#define EXIT_USAGE 2

static int progress_is_shown;

static void clear_progress(void)
{
    if (progress_is_shown) fprintf(stderr, "\r%60s\r", "");
    progress_is_shown = 0;
}

static void say_error(const char *format, va_list a)
{
    /* names from files and of files are whatever somebody wrote */
    words message = { NULL, 0, 0 }, safe = { NULL, 0, 0 };
    say_arguments(&message, format, a);
    show(&safe, message.s, message.n, 0);
    fflush(stdout);
    clear_progress();
    fprintf(stderr, "llmq: %s\n", safe.s);
    free(message.s);
    free(safe.s);
}

static void fail(const char *format, ...)
{
    va_list a;
    va_start(a, format);
    say_error(format, a);
    va_end(a);
    exit(EXIT_TROUBLE);
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

/* ---- reading --------------------------------------------------------------------------------- */

/* All bytes of a file; "-" is standard input. */
static unsigned char *read_file(const char *path, size_t *size)
{
    static int has_read_input;
    const int is_input = strcmp(path, "-") == 0;
    FILE *f = is_input ? stdin : open_to_read(path);
    unsigned char *bytes = NULL;
    size_t room = 0, n = 0, got;
    if (!f) fail("cannot open %s: %s", path, strerror(errno));
    if (is_input && has_read_input++) fail("standard input ('-') can only be read once");
    do {
        if (n == room) {
            room = room ? 2 * room : 1 << 16;
            bytes = (unsigned char *)realloc(bytes, room);
            if (!bytes) fail("no memory for %s", path);
        }
        errno = 0;
        got = fread(bytes + n, 1, room - n, f);
        n += got;
    } while (got);
    if (ferror(f)) fail("cannot read %s: %s", path, strerror(errno));
    if (!is_input) fclose(f);
    *size = n;
    return bytes;
}

/* ---- writing ------------------------------------------------------------------------------------
   All files that the tool makes are made here. A result is written when all of it is there, so
   that a name never stands for half a result: a file is replaced as a whole (system.h), through
   links to it, and keeps its mode. Devices and FIFOs are written into, and "-" is standard
   output. Results that commands print, and --help, are checked as well, when the program ends. */

static int force; /* --force: also over what is read, and over another run's results */

static void find_output(target *t, const char *path)
{
    int error = find_target(t, path);
    if (error) fail("cannot write %s: %s", *path ? path : "a file without a name", strerror(error));
    if (t->kind == TARGET_DIRECTORY) fail("cannot write %s: it is a directory", path);
}

/* Could this be written? To be asked before hours of work. */
static void check_output(const char *path)
{
    target t;
    int error = 0;
    find_output(&t, path);
    if (t.kind == TARGET_NEW || t.kind == TARGET_FILE) error = check_directory(t.path);
    if (error) fail("cannot write %s: %s (the directory that it is in)", path, strerror(error));
    free(t.path);
}

/* Do two names stand for the same file, also one that is not there yet? Devices and FIFOs are never the same. */
static int same_file(const char *a, const char *b)
{
    target s, t;
    const int failed = find_target(&s, a), other_failed = find_target(&t, b); /* whoever opens them finds out why */
    int same = failed || other_failed ? strcmp(a, b) == 0 : s.device && s.device == t.device && s.file == t.file;
    if (!failed && !other_failed && s.kind == TARGET_NEW && t.kind == TARGET_NEW
        && strcmp(s.path + base_of(s.path), t.path + base_of(t.path)) == 0) {
        target in, other;
        char *directory = directory_of(s.path), *other_directory = directory_of(t.path);
        if (!directory || !other_directory) fail("no memory");
        const int no_directory = find_target(&in, directory), no_other = find_target(&other, other_directory);
        if (!no_directory && !no_other) same = in.device && in.device == other.device && in.file == other.file;
        free(directory), free(other_directory), free(in.path), free(other.path);
    }
    free(s.path);
    free(t.path);
    return same;
}

static int is_stdout(const char *path)
{
    target t;
    const int found = find_target(&t, path) == 0 && t.kind == TARGET_STDOUT;
    free(t.path);
    return found;
}

/* Is this a file, or will it be one? Then it can be written more than once in a run, the last
   time with all that it is to hold. */
static int is_file(const char *path)
{
    target t;
    const int found = find_target(&t, path) == 0
                      && (t.kind == TARGET_NEW || t.kind == TARGET_FILE || t.kind == TARGET_PLACE);
    free(t.path);
    return found;
}

/* Where to say what was done, if a result goes to path: not into the result. */
static FILE *report(const char *path) { return path && is_stdout(path) ? stderr : stdout; }

static int output_is_lost; /* and that has been said */

static void say_output_lost(int error)
{
    clear_progress();
    if (!output_is_lost)
        fprintf(stderr, "llmq: cannot write standard output: %s\n",
                error ? strerror(error) : "an earlier write failed");
    output_is_lost = 1;
}

static void print_bytes(const void *bytes, size_t size)
{
    errno = 0;
    if (fwrite(bytes, 1, size, stdout) == size) return;
    say_output_lost(errno);
    exit(EXIT_TROUBLE);
}

/* What has been printed so far is out, or the program ends. */
static void flush_output(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return;
    say_output_lost(errno);
    exit(EXIT_TROUBLE);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    target t;
    int error = 0, is_begun;
    find_output(&t, path);
    if (t.kind == TARGET_STDOUT) {
        print_bytes(bytes, size);
        flush_output();
    } else if (t.kind == TARGET_STREAM) {
        if ((error = write_stream(&t, bytes, size)) != 0) fail("cannot write %s: %s", path, strerror(error));
    } else if (t.kind == TARGET_PLACE) {
        if ((error = write_in_place(&t, bytes, size, &is_begun)) != 0)
            fail("cannot write %s: %s (%s)", path, strerror(error),
                 is_begun ? "it has other names, was written in place, and is now damaged" : "it is as it was");
    } else if ((error = write_replacing(&t, bytes, size)) != 0) {
        fail("cannot write %s: %s (%s)", path, strerror(error),
             t.kind == TARGET_NEW ? "there is no part of it" : "it is as it was");
    }
    free(t.path);
}

/* Runs at every exit. Standard output is closed, since a disk may say only then that it is full. */
static void close_output(void)
{
    int lost = ferror(stdout), error;
    remove_temporary();
    errno = 0;
    lost |= fflush(stdout) != 0;
    error = errno;
    if (fclose(stdout) && !lost) lost = 1, error = errno;
    if (!lost) return;
    say_output_lost(error);
    fflush(stderr);
    _exit(EXIT_TROUBLE);
}

static void start_files(int *argc, char ***argv)
{
    start_system(argc, argv);
    atexit(close_output);
}

/* ---- progress -------------------------------------------------------------------------------- */

/* On a terminal one line that changes, at most twice a second; else a line every ten seconds.
   Nothing if the job is short. */
static void progress(uint32_t done, uint32_t total, const char *what)
{
    static double last;
    static int terminal = -1;
    const double now = seconds();
    const int n = (int)strlen(what);
    if (last == 0) last = now, terminal = is_terminal(stderr);
    if (done == total) {
        clear_progress();
    } else if (now - last > (terminal ? 0.5 : 10)) {
        fprintf(stderr, "%s%u/%u ", terminal ? "\r" : "llmq: ", done, total);
        fputs(shown(what), stderr);
        if (terminal) fprintf(stderr, "%*s", n < 30 ? 30 - n : 0, "");
        else fputc('\n', stderr);
        progress_is_shown = terminal;
        last = now;
    }
}
