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

/* Files that are mapped: memory that the system fills from them where it is read. */
typedef struct mapping {
    const unsigned char *bytes;
    size_t size;
    FILE *f;
    struct mapping *next;
} mapping;
static mapping *mappings;

/* Has a mapped file become shorter? Its last page then has zeros, which look like anything. */
static int is_input_lost(void)
{
    for (const mapping *m = mappings; m; m = m->next)
        if (stream_size(m->f) < m->size) return 1;
    return 0;
}

static void fail(const char *format, ...)
{
    va_list a;
    va_start(a, format);
    if (is_input_lost()) format = INPUT_IS_LOST;
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

/* "-" is standard input. */
static FILE *open_input(const char *path)
{
    static int has_read_input;
    const int is_input = strcmp(path, "-") == 0;
    FILE *f = is_input ? stdin : open_to_read(path);
    if (!f) fail("cannot open %s: %s", path, strerror(errno));
    if (is_input && has_read_input++) fail("standard input ('-') can only be read once");
    return f;
}

/* All that is left of a file, which is then closed. */
static unsigned char *read_stream(FILE *f, const char *path, size_t *size)
{
    unsigned char *bytes = NULL;
    size_t room = 0, n = 0, got;
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
    if (f != stdin) fclose(f);
    *size = n;
    return bytes;
}

/* All bytes of a file. */
static unsigned char *read_file(const char *path, size_t *size) { return read_stream(open_input(path), path, size); }


static int force; /* --force: also over what is read, and over another run's results */

/* All bytes of a file that may be as large as a model, not to be written to. They are mapped if they
   can be; not with --force, since such a run may write over what it reads. */
static const unsigned char *map_file(const char *path, size_t *size)
{
    FILE *f = open_input(path);
    const unsigned char *bytes = force ? NULL : map_stream(f, size);
    mapping *m;
    if (!bytes) return read_stream(f, path, size);
    m = (mapping *)allocate(sizeof *m);
    m->bytes = bytes, m->size = *size, m->f = f, m->next = mappings;
    mappings = m;
    return bytes;
}

/* Gives back what map_file or allocate returned. */
static void release(const void *bytes)
{
    mapping **m = &mappings, *found;
    while (*m && (*m)->bytes != bytes) m = &(*m)->next;
    if ((found = *m) == NULL) {
        free((void *)(uintptr_t)bytes);
        return;
    }
    *m = found->next;
    unmap(found->bytes, found->size);
    if (found->f != stdin) fclose(found->f);
    free(found);
}

/* These bytes will not be read soon: if they are a file's, they need not stay in memory. */
static void forget(const void *bytes, size_t size)
{
    const uintptr_t at = (uintptr_t)bytes;
    for (const mapping *m = mappings; m; m = m->next)
        if (at >= (uintptr_t)m->bytes && at - (uintptr_t)m->bytes < m->size) drop_pages(bytes, size);
}

/* ---- numbers in files: little-endian ---------------------------------------------------------- */

static uint32_t load_u32(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static float load_float(const unsigned char *b)
{
    const uint32_t u = load_u32(b);
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static void store_u32(unsigned char *b, uint32_t u)
{
    for (int i = 0; i < 4; i++) b[i] = (unsigned char)(u >> 8 * i & 255);
}

static void store_float(unsigned char *b, float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    store_u32(b, u);
}

/* ---- writing ------------------------------------------------------------------------------------
   All files that the tool makes are made here. A result is written when all of it is there, so
   that a name never stands for half a result: a file is replaced as a whole (system.h), through
   links to it, and keeps its mode. Devices and FIFOs are written into, and "-" is standard
   output. Results that commands print, and --help, are checked as well, when the program ends. */

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

static int is_directory(const char *path)
{
    target t;
    const int found = find_target(&t, path) == 0 && t.kind == TARGET_DIRECTORY;
    free(t.path);
    return found;
}

/* What the command line says is written. */
static const char *outputs[8];
static int output_count;

/* A file that is going to be read must be none of them. */
static void check_not_output(const char *path)
{
    for (int i = 0; i < output_count && !force; i++)
        if (same_file(outputs[i], path))
            fail("%s would be written over %s, which is the same file and is read; --force does it", outputs[i], path);
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

/* How far it came is not the same for all. */
static void fail_to_write(const char *path, const target *t, int error, int is_begun)
{
    const char *why = error == EFAULT ? INPUT_IS_LOST : strerror(error);
    if (t->kind == TARGET_STREAM) fail("cannot write %s: %s", path, why);
    if (t->kind == TARGET_NEW) fail("cannot write %s: %s (there is no part of it)", path, why);
    fail("cannot write %s: %s (%s)", path, why,
         is_begun ? "it has other names, was written in place, and is now damaged" : "it is as it was");
}

static void write_target(const char *path, const target *t, const void *bytes, size_t size)
{
    int error = is_input_lost() ? EFAULT : 0, is_begun = 0;
    if (error) fail_to_write(path, t, error, 0);
    if (t->kind == TARGET_STDOUT) {
        print_bytes(bytes, size);
        flush_output();
    } else if (t->kind == TARGET_STREAM) error = write_stream(t, bytes, size);
    else if (t->kind == TARGET_PLACE) error = write_in_place(t, bytes, size, &is_begun);
    else error = write_replacing(t, bytes, size);
    if (error) fail_to_write(path, t, error, is_begun);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    target t;
    find_output(&t, path);
    write_target(path, &t, bytes, size);
    free(t.path);
}

/* A result whose bytes come in any order, and need not be in memory together. It takes its place
   when it ends, as a whole. What can be written only in order (a pipe, a device), or only when all
   is there (a file of several names), is kept in memory until then. */
typedef struct result_file {
    const char *path;
    target t;
    part_file file;
    unsigned char *memory; /* NULL: it goes into file */
    size_t size;
    int error;             /* why put_output stopped */
} result_file;

static void end_output(result_file *o)
{
    int error = o->error;
    if (is_input_lost()) error = EFAULT;
    if (o->memory && !error) write_target(o->path, &o->t, o->memory, o->size);
    if (!o->memory) error = end_part(&o->file, error);
    if (error) fail_to_write(o->path, &o->t, error, 0);
    free(o->memory);
    free(o->t.path);
}

/* Room for all of it is made at once, so that a disk without it is found before the work. */
static void begin_output(result_file *o, const char *path, size_t size)
{
    memset(o, 0, sizeof *o);
    o->path = path;
    o->size = size;
    find_output(&o->t, path);
    if (o->t.kind != TARGET_NEW && o->t.kind != TARGET_FILE) o->memory = (unsigned char *)allocate(size);
    else if ((o->error = begin_part(&o->file, &o->t)) != 0 || (o->error = make_room(o->file.fd, size)) != 0)
        end_output(o);
}

/* An llmq_sink_at into memory. */
static int put_memory(void *context, size_t offset, const void *bytes, size_t size)
{
    memcpy((unsigned char *)context + offset, bytes, size);
    return 0;
}

/* An llmq_sink_at. */
static int put_output(void *context, size_t offset, const void *bytes, size_t size)
{
    result_file *o = (result_file *)context;
    if (o->memory) memcpy(o->memory + offset, bytes, size);
    else o->error = write_at(o->file.fd, offset, bytes, size);
    return o->error;
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

/* "3 min left", from the share that is done since this was first asked of a job; nothing at first. */
static const char *time_left(double share, double now, char *out, size_t size)
{
    static double begun, from, last;
    double left;
    out[0] = 0;
    if (share < last || begun == 0) begun = now, from = share;
    last = share;
    if (now - begun < 2 || !(share > from) || !(share < 1)) return out;
    left = (now - begun) / (share - from) * (1 - share);
    if (left < 99.5) snprintf(out, size, ", %.0f s left", ceil(left));
    else if (left < 5970) snprintf(out, size, ", %.0f min left", left / 60);
    else snprintf(out, size, ", %.1f h left", left / 3600);
    return out;
}

/* On a terminal one line that changes, at most twice a second, with the time that is left; else a
   line every ten seconds. Nothing if the job is short. share: of the work that is done, where
   done of total does not say it. */
static void progress_of(double share, uint32_t done, uint32_t total, const char *what)
{
    static double last;
    static int terminal = -1;
    const double now = seconds();
    char left[32];
    if (last == 0) last = now, terminal = is_terminal(stderr);
    (void)time_left(share, now, left, sizeof left);
    if (done == total) {
        clear_progress();
    } else if (now - last > (terminal ? 0.5 : 10)) {
        const int n = (int)(strlen(what) + strlen(left));
        fprintf(stderr, "%s%u/%u ", terminal ? "\r" : "llmq: ", done, total);
        fputs(shown(what), stderr);
        if (terminal) fprintf(stderr, "%s%*s", left, n < 40 ? 40 - n : 0, "");
        else fputc('\n', stderr);
        progress_is_shown = terminal;
        last = now;
    }
}

static void progress(uint32_t done, uint32_t total, const char *what)
{
    progress_of(total ? (double)done / total : 1, done, total, what);
}
