/* system.h - what differs between POSIX systems and Windows: names of files, what a name stands
   for, writing a file as a whole, signals, the clock, threads. A part of the tool llmq.c, not a
   header for others. All names are UTF-8; functions that return an int return 0 or an errno, if
   nothing else is said. */

#define MOST_THREADS 256

/* of a mapped file; a system call that is to read it there gives EFAULT, the program a signal */
#define INPUT_IS_LOST "a file that is read can no longer be: it became shorter, or its disk failed"

/* What a name that is to be written stands for. */
enum {
    TARGET_NEW,      /* nothing yet: `path` is where a dangling link leads, or the name itself */
    TARGET_FILE,     /* a file of one name, `path`: replaced as a whole */
    TARGET_PLACE,    /* a file of several names, or one that no name leads to any more: written in place */
    TARGET_STREAM,   /* a device, a FIFO: written straight into */
    TARGET_STDOUT,
    TARGET_DIRECTORY
};

typedef struct target {
    const char *name;      /* as the user said it */
    char *path;            /* of the file itself, links followed */
    int kind;
    uint64_t device, file; /* the same file has the same two, whatever its name */
} target;

/* A temporary file that has a name goes away when the program does, in whatever way it ends that
   it can still do something about. */
static char temporary[4096];
static volatile int temporary_is_there;

/* A file that is to take the place of a target once all of it is written. It is `temporary`, or has
   no name at all. */
typedef struct part_file {
    const target *t;
    char *directory;
    int fd, has_name;
} part_file;

static int part_of_target(char *out, size_t size, const char *directory, const char *prefix, int n);
static uint32_t hash_text(uint32_t hash, const char *text);

/* May this letter stand between a directory and a name in it? */
static int ends_directory(char c)
{
#ifdef _WIN32
    return c == '/' || c == '\\' || c == ':';
#else
    return c == '/';
#endif
}

/* Where the last part of a path begins. */
static size_t base_of(const char *path)
{
    size_t n = strlen(path);
    while (n && !ends_directory(path[n - 1])) n--;
    return n;
}

/* A name in a directory. */
static int join_path(char *out, size_t size, const char *directory, const char *name)
{
    const size_t n = strlen(directory);
    const int length = snprintf(out, size, "%s%s%s", directory, n && ends_directory(directory[n - 1]) ? "" : "/", name);
    return length < 0 || (size_t)length >= size ? ENAMETOOLONG : 0;
}

/* The directory that a path is in, as a name that can be opened; the caller frees it. NULL: no memory. */
static char *directory_of(const char *path)
{
    const size_t n = base_of(path);
    char *directory = (char *)malloc(n + 2);
    if (!directory) return NULL;
    memcpy(directory, path, n);
    memcpy(directory + n, n ? "" : ".", n ? 1 : 2);
    return directory;
}

#ifdef _WIN32 /* ---- Windows ------------------------------------------------------------------- */

static volatile int temporary_fd = -1; /* a file that is open cannot be removed */

static wchar_t *wide(const char *text)
{
    int n = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *w = (wchar_t *)calloc((size_t)n + 1, sizeof *w);
    if (w) MultiByteToWideChar(CP_UTF8, 0, text, -1, w, n);
    return w;
}

static char *narrow(const wchar_t *w)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, w, -1, NULL, 0, NULL, NULL);
    char *text = (char *)calloc((size_t)n + 1, 1);
    if (text) WideCharToMultiByte(CP_UTF8, 0, w, -1, text, n, NULL, NULL);
    return text;
}

static int windows_error(DWORD code)
{
    switch (code) {
    case ERROR_FILE_NOT_FOUND: case ERROR_PATH_NOT_FOUND: case ERROR_INVALID_NAME: case ERROR_BAD_NETPATH:
            return ENOENT;
    case ERROR_ACCESS_DENIED: case ERROR_SHARING_VIOLATION: case ERROR_LOCK_VIOLATION: case ERROR_WRITE_PROTECT:
            return EACCES;
    case ERROR_DISK_FULL: case ERROR_HANDLE_DISK_FULL: return ENOSPC;
    default: return EIO;
    }
}

static FILE *open_to_read(const char *path)
{
    wchar_t *w = wide(path);
    FILE *f = w ? _wfopen(w, L"rb") : NULL;
    free(w);
    return f;
}

static int remove_file(const char *path)
{
    wchar_t *w = wide(path);
    int error = w && DeleteFileW(w) ? 0 : windows_error(GetLastError());
    free(w);
    return error;
}

static double seconds(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart / (double)frequency.QuadPart;
}

static int is_terminal(FILE *f) { return _isatty(_fileno(f)); }

static int describe_handle(target *t, HANDLE h)
{
    BY_HANDLE_FILE_INFORMATION about;
    const DWORD type = GetFileType(h);
    t->kind = TARGET_STREAM;
    if (type != FILE_TYPE_DISK) return 0;
    if (!GetFileInformationByHandle(h, &about)) return windows_error(GetLastError());
    t->device = about.dwVolumeSerialNumber + 1ull;
    t->file = (uint64_t)about.nFileIndexHigh << 32 | about.nFileIndexLow;
    t->kind = about.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? TARGET_DIRECTORY : about.nNumberOfLinks > 1
              ? TARGET_PLACE : TARGET_FILE;
    return 0;
}

/* A link that leads nowhere counts as nothing, and is replaced. */
static int find_target(target *t, const char *name)
{
    wchar_t *w, final[4096];
    HANDLE h;
    DWORD n;
    int error;
    target out;
    memset(t, 0, sizeof *t);
    memset(&out, 0, sizeof out);
    t->name = name;
    (void)describe_handle(&out, (HANDLE)_get_osfhandle(1));
    if (strcmp(name, "-") == 0) {
        *t = out;
        t->name = name;
        t->kind = TARGET_STDOUT;
        return 0;
    }
    if ((w = wide(name)) == NULL || (t->path = (char *)malloc(strlen(name) + 1)) == NULL) return ENOMEM;
    strcpy(t->path, name);
    h = CreateFileW(w, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                    FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (h == INVALID_HANDLE_VALUE) {
        error = windows_error(GetLastError());
        free(w);
        t->kind = TARGET_NEW;
        return error == ENOENT && *name ? 0 : error;
    }
    error = describe_handle(t, h);
    if (t->kind == TARGET_FILE && (n = GetFinalPathNameByHandleW(h, final, 4096, 0)) > 0 && n < 4096) {
        free(t->path);
        t->path = narrow(final);
    }
    CloseHandle(h);
    if (!error && t->kind != TARGET_STREAM && t->device == out.device && t->file == out.file) t->kind = TARGET_STDOUT;
    else if (!error && t->kind != TARGET_DIRECTORY && t->kind != TARGET_STREAM && _waccess(w, 2)) error = errno;
    free(w);
    return error ? error : t->path ? 0 : ENOMEM;
}

/* Can files be made in the directory of this path? */
static int check_directory(const char *path)
{
    char *directory = directory_of(path);
    wchar_t *w = directory ? wide(directory) : NULL;
    const DWORD about = w ? GetFileAttributesW(w) : INVALID_FILE_ATTRIBUTES;
    free(directory);
    free(w);
    return about == INVALID_FILE_ATTRIBUTES ? ENOENT : about & FILE_ATTRIBUTE_DIRECTORY ? 0 : ENOTDIR;
}

/* The bytes of a file that has not been read from yet, as memory that the system fills when it is
   read; NULL: there can be none of this file. */
static unsigned char *map_stream(FILE *f, size_t *size)
{
    const HANDLE h = (HANDLE)_get_osfhandle(_fileno(f));
    LARGE_INTEGER n;
    HANDLE mapping;
    void *at;
    if (GetFileType(h) != FILE_TYPE_DISK || _telli64(_fileno(f)) != 0 || !GetFileSizeEx(h, &n) || n.QuadPart <= 0
        || (uint64_t)n.QuadPart > SIZE_MAX)
        return NULL;
    if ((mapping = CreateFileMappingW(h, NULL, PAGE_READONLY, 0, 0, NULL)) == NULL) return NULL;
    at = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    CloseHandle(mapping);
    *size = (size_t)n.QuadPart;
    return (unsigned char *)at;
}

static void unmap(const void *at, size_t size) { (void)size, (void)UnmapViewOfFile(at); }
static uint64_t stream_size(FILE *f) { (void)f; return UINT64_MAX; } /* no file that is mapped becomes shorter */
static void forget_pages(uintptr_t at, size_t size) { (void)at, (void)size; } /* the system does, when it needs them */

static uintptr_t page_size(void)
{
    SYSTEM_INFO about;
    GetSystemInfo(&about);
    return about.dwPageSize;
}

static void *reserve_memory(size_t size) { return VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE); }
static int back_pages(uintptr_t at, size_t size)
{
    return VirtualAlloc((void *)at, size, MEM_COMMIT, PAGE_READWRITE) != NULL;
}
static void give_back(uintptr_t at, size_t size) { (void)VirtualFree((void *)at, size, MEM_DECOMMIT); }
static void free_reserved(void *at, size_t size) { (void)size, (void)VirtualFree(at, 0, MEM_RELEASE); }

static int processors(void)
{
    SYSTEM_INFO about;
    GetSystemInfo(&about);
    return (int)about.dwNumberOfProcessors;
}

static int open_to_write(const char *path, int is_new)
{
    wchar_t *w = wide(path);
    int fd = w ? _wopen(w, _O_WRONLY | _O_BINARY | (is_new ? _O_CREAT | _O_EXCL : 0), _S_IREAD | _S_IWRITE) : -1;
    free(w);
    if (is_new) temporary_fd = fd;
    return fd;
}

static int close_file(int fd)
{
    if (fd == temporary_fd) temporary_fd = -1;
    return _close(fd) ? errno : 0;
}
static int flush_to_disk(int fd) { return _commit(fd) && errno != EBADF && errno != EINVAL ? errno : 0; }
static int cut_file(int fd, size_t size) { return _chsize_s(fd, (long long)size); }
static int make_room(int fd, size_t size) { return (void)fd, (void)size, 0; }
static long process_id(void) { return (long)GetCurrentProcessId(); }
static void hold_signals(int held) { (void)held; }

static int write_all(int fd, const void *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes;
    while (size) {
        const int n = _write(fd, at, size > 1 << 20 ? 1u << 20 : (unsigned)size);
        if (n <= 0) return n ? errno : ENOSPC;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_at(int fd, size_t offset, const void *bytes, size_t size)
{
    return _lseeki64(fd, (long long)offset, SEEK_SET) < 0 ? errno : write_all(fd, bytes, size);
}

static int is_running(long id)
{
    HANDLE h = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)id);
    const DWORD error = GetLastError();
    int running = h ? WaitForSingleObject(h, 0) == WAIT_TIMEOUT : error != ERROR_INVALID_PARAMETER;
    if (h) CloseHandle(h);
    return running;
}

static void computer_name(char *out, size_t size)
{
    DWORD n = (DWORD)size;
    if (!GetComputerNameA(out, &n)) out[0] = 0;
}

/* Names in a directory that begin with prefix, handed to take. */
static void list_directory(const char *directory, const char *prefix,
                           void (*take)(const char *directory, const char *name))
{
    char pattern[4096];
    wchar_t *w;
    WIN32_FIND_DATAW found;
    HANDLE h;
    if (join_path(pattern, sizeof pattern - 1, directory, prefix)) return;
    strcat(pattern, "*");
    w = wide(pattern);
    if (w && (h = FindFirstFileW(w, &found)) != INVALID_HANDLE_VALUE) {
        do {
            char *name = narrow(found.cFileName);
            if (name) take(directory, name);
            free(name);
        } while (FindNextFileW(h, &found));
        FindClose(h);
    }
    free(w);
}

static int keep_owner_and_mode(int fd, const target *t) { return (void)fd, (void)t, 0; }
static int open_anonymous(const char *directory) { return (void)directory, -1; }
static int name_anonymous(const part_file *p) { return (void)p, -1; }
static int copy_file(int from, int to) { return (void)from, (void)to, EIO; }

static int rename_over(const char *from, const char *to)
{
    wchar_t *a = wide(from), *b = wide(to);
    int error = a && b && MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) ? 0
                : windows_error(GetLastError());
    free(a);
    free(b);
    return error;
}

static int flush_directory(const char *directory) { return (void)directory, 0; }

static void remove_temporary(void)
{
    const int fd = temporary_fd;
    if (temporary_is_there && fd >= 0) (void)close_file(fd);
    if (temporary_is_there) (void)remove_file(temporary);
    temporary_is_there = 0;
}

static void on_signal(int number)
{
    remove_temporary();
    signal(number, SIG_DFL);
    raise(number);
}

/* Arguments as UTF-8; text and bytes go out as they are. */
static void start_system(int *argc, char ***argv)
{
    static const int signals[2] = { SIGINT, SIGTERM };
    wchar_t **w = CommandLineToArgvW(GetCommandLineW(), argc);
    char **own = w ? (char **)calloc((size_t)*argc + 1, sizeof *own) : NULL;
    for (int i = 0; own && i < *argc; i++)
        if ((own[i] = narrow(w[i])) == NULL) own = NULL;
    if (own) *argv = own;
    for (int i = 0; i < 3; i++) (void)_setmode(i, _O_BINARY);
    for (int i = 0; i < 2; i++)
        if (signal(signals[i], on_signal) == SIG_IGN) signal(signals[i], SIG_IGN);
}

typedef struct job { void (*work)(void *); void *context; } job;
static SRWLOCK job_lock = SRWLOCK_INIT;
static void take_lock(void) { AcquireSRWLockExclusive(&job_lock); }
static void give_lock(void) { ReleaseSRWLockExclusive(&job_lock); }

static DWORD WINAPI run_job(void *context)
{
    const job *j = (const job *)context;
    j->work(j->context);
    return 0;
}

/* work(context) on so many threads at once, this one among them. */
static void run_threads(void (*work)(void *), void *context, int threads)
{
    HANDLE thread[MOST_THREADS];
    job j = { work, context };
    int started = 0;
    while (started < threads - 1 && started < MOST_THREADS
           && (thread[started] = CreateThread(NULL, 0, run_job, &j, 0, NULL)) != NULL)
        started++;
    work(context);
    while (started) {
        WaitForSingleObject(thread[--started], INFINITE);
        CloseHandle(thread[started]);
    }
}

#else /* ---- POSIX ----------------------------------------------------------------------------- */

static FILE *open_to_read(const char *path) { return fopen(path, "rb"); }
static int remove_file(const char *path) { return unlink(path) ? errno : 0; }
static int is_terminal(FILE *f) { return isatty(fileno(f)); }

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Where a link that leads to nothing leads: the name that writing through it would make. */
static int follow_links(char **path)
{
    for (int i = 0; i < 40; i++) {
        char to[4096], *next;
        const ssize_t n = readlink(*path, to, sizeof to - 1);
        const size_t base = n > 0 && to[0] != '/' ? base_of(*path) : 0;
        if (n < 0) return errno == EINVAL || errno == ENOENT ? 0 : errno; /* no link, or nothing */
        if ((next = (char *)malloc(base + (size_t)n + 1)) == NULL) return ENOMEM;
        memcpy(next, *path, base);
        memcpy(next + base, to, (size_t)n);
        next[base + (size_t)n] = 0;
        free(*path);
        *path = next;
    }
    return ELOOP;
}

static int find_target(target *t, const char *name)
{
    struct stat s, out, other;
    const int has_out = fstat(1, &out) == 0;
    memset(t, 0, sizeof *t);
    t->name = name;
    if (strcmp(name, "-") == 0) {
        t->kind = TARGET_STDOUT;
        if (has_out && S_ISREG(out.st_mode)) t->device = (uint64_t)out.st_dev + 1, t->file = (uint64_t)out.st_ino;
        return 0;
    }
    if ((t->path = (char *)malloc(strlen(name) + 1)) == NULL) return ENOMEM;
    strcpy(t->path, name);
    if (stat(name, &s)) {
        t->kind = TARGET_NEW;
        return errno == ENOENT && *name ? follow_links(&t->path) : errno;
    }
    /* 0, 0: no file */
    if (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode)) t->device = (uint64_t)s.st_dev + 1, t->file = (uint64_t)s.st_ino;
    if (S_ISDIR(s.st_mode)) t->kind = TARGET_DIRECTORY;
    else if (has_out && s.st_dev == out.st_dev && s.st_ino == out.st_ino) t->kind = TARGET_STDOUT;
    else if (!S_ISREG(s.st_mode)) t->kind = TARGET_STREAM;
    else if (access(name, W_OK)) return errno;
    else {
        char *resolved = realpath(name, NULL);
        t->kind = TARGET_PLACE;
        if (resolved && s.st_nlink == 1 && stat(resolved, &other) == 0 && other.st_dev == s.st_dev
            && other.st_ino == s.st_ino) {
            t->kind = TARGET_FILE;
            free(t->path);
            t->path = resolved;
        } else {
            free(resolved);
        }
    }
    return 0;
}

/* Can files be made in the directory of this path? */
static int check_directory(const char *path)
{
    char *directory = directory_of(path);
    struct stat s;
    int error = !directory ? ENOMEM : stat(directory, &s) ? errno : !S_ISDIR(s.st_mode) ? ENOTDIR
                : access(directory, W_OK | X_OK) ? errno : 0;
    free(directory);
    return error;
}

/* The bytes of a file that has not been read from yet, as memory that the system fills when it is
   read; NULL: there can be none of this file. */
static unsigned char *map_stream(FILE *f, size_t *size)
{
    struct stat s;
    void *at;
    if (fstat(fileno(f), &s) || !S_ISREG(s.st_mode) || s.st_size <= 0 || (uint64_t)s.st_size > SIZE_MAX
        || lseek(fileno(f), 0, SEEK_CUR) != 0)
        return NULL;
    at = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fileno(f), 0);
    *size = (size_t)s.st_size;
    return at == MAP_FAILED ? NULL : (unsigned char *)at;
}

static void unmap(const void *at, size_t size) { (void)munmap((void *)(uintptr_t)at, size); }

/* Bytes that a file has now. */
static uint64_t stream_size(FILE *f)
{
    struct stat s;
    return fstat(fileno(f), &s) ? 0 : (uint64_t)s.st_size;
}

static uintptr_t page_size(void) { return (uintptr_t)sysconf(_SC_PAGESIZE); }

static void forget_pages(uintptr_t at, size_t size) { (void)madvise((void *)at, size, MADV_DONTNEED); }

/* Address space without memory, which costs nothing; NULL: there is not so much. */
static void *reserve_memory(size_t size)
{
    void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Memory in whole pages of it; 0: there is no more. */
static int back_pages(uintptr_t at, size_t size) { return mprotect((void *)at, size, PROT_READ | PROT_WRITE) == 0; }

/* And none any more: whoever reads there by mistake does not read zeros. */
static void give_back(uintptr_t at, size_t size)
{
    forget_pages(at, size);
    (void)mprotect((void *)at, size, PROT_NONE);
}

static void free_reserved(void *at, size_t size) { unmap(at, size); }

/* Those that this process may run on. */
static int processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    return n > 1 ? (int)n : 1;
}

static int open_to_write(const char *path, int is_new)
{
    return open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC | (is_new ? O_CREAT | O_EXCL : 0), 0666);
}
static int close_file(int fd) { return close(fd) ? errno : 0; }
/* those: it has no disk */
static int flush_to_disk(int fd)
{
    return fsync(fd) && errno != EINVAL && errno != ENOTSUP && errno != EROFS ? errno : 0;
}
static int cut_file(int fd, size_t size) { return ftruncate(fd, (off_t)size) ? errno : 0; }
static long process_id(void) { return (long)getpid(); }
static int is_running(long id) { return kill((pid_t)id, 0) == 0 || errno != ESRCH; }

/* Room on the disk for a file of this size, so that writing in place cannot stop in the middle for want of it. */
static int make_room(int fd, size_t size)
{
#ifdef __linux__
    struct stat s;
    int error;
    if (fstat(fd, &s) || !S_ISREG(s.st_mode) || (uint64_t)s.st_size >= size) return 0;
    error = posix_fallocate(fd, s.st_size, (off_t)size - s.st_size);
    if (error && ftruncate(fd, s.st_size)) return errno;
    return error == EINVAL || error == EOPNOTSUPP ? 0 : error;
#else
    (void)fd, (void)size;
    return 0;
#endif
}

static int write_all(int fd, const void *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes;
    while (size) {
        const ssize_t n = write(fd, at, size > 1 << 30 ? 1 << 30 : size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n ? errno : ENOSPC;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_at(int fd, size_t offset, const void *bytes, size_t size)
{
    return lseek(fd, (off_t)offset, SEEK_SET) < 0 ? errno : write_all(fd, bytes, size);
}

/* All bytes of a file into another that is empty. */
static int copy_file(int from, int to)
{
    char bytes[1 << 16];
    int error = lseek(from, 0, SEEK_SET) < 0 ? errno : 0;
    while (!error) {
        const ssize_t n = read(from, bytes, sizeof bytes);
        if (n == 0) break;
        if (n > 0) error = write_all(to, bytes, (size_t)n);
        else if (errno != EINTR) error = errno;
    }
    return error;
}

static void computer_name(char *out, size_t size)
{
    if (gethostname(out, size)) out[0] = 0;
    out[size - 1] = 0;
}

/* Names in a directory that begin with prefix, handed to take. */
static void list_directory(const char *directory, const char *prefix,
                           void (*take)(const char *directory, const char *name))
{
    DIR *d = opendir(directory);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) take(directory, e->d_name);
    if (d) closedir(d);
}

/* A file that replaces another has its mode, and its owner and group where the system lets us;
   where the group is another, it may do no more than everybody. */
static int keep_owner_and_mode(int fd, const target *t)
{
    struct stat old, now;
    mode_t mode;
    if (t->kind != TARGET_FILE || stat(t->path, &old)) return 0;
    if (fstat(fd, &now)) return errno;
    mode = old.st_mode & 0777;
    if (now.st_uid != old.st_uid || now.st_gid != old.st_gid) {
        if (fchown(fd, old.st_uid, old.st_gid) && fchown(fd, (uid_t)-1, old.st_gid))
            mode &= ~(mode_t)070 | (mode & 07) << 3;
    }
    return fchmod(fd, mode) ? errno : 0;
}

static int flush_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_CLOEXEC), error = 0;
    if (fd < 0) return 0; /* may be written but not read: nothing can be done */
    if (fsync(fd) && (errno == EIO || errno == ENOSPC)) error = errno;
    close(fd);
    return error;
}

static int rename_over(const char *from, const char *to) { return rename(from, to) ? errno : 0; }

static void hold_signals(int held)
{
    static sigset_t before;
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(held ? SIG_BLOCK : SIG_SETMASK, held ? &all : &before, held ? &before : NULL);
}

#ifdef O_TMPFILE
/* Gives an open file without a name that of its target, in place of what has it, if the process
   `parent` still runs; 255: it cannot. A file can only be renamed over another if it has a name,
   so it has one for the moment between two system calls. */
static int name_file(int fd, const target *t, const char *directory, pid_t parent)
{
    char link[32], part[4096];
    int error;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (parent && getppid() != parent) return ECANCELED;
    if (t->kind == TARGET_NEW && linkat(AT_FDCWD, link, AT_FDCWD, t->path, AT_SYMLINK_FOLLOW) == 0) return 0;
    for (int n = 0; n < 100; n++) {
        if (part_of_target(part, sizeof part, directory, t->path, n)) return 255;
        if (linkat(AT_FDCWD, link, AT_FDCWD, part, AT_SYMLINK_FOLLOW)) {
            if (errno == EEXIST) continue;
            return 255;
        }
        error = parent && getppid() != parent ? ECANCELED : rename_over(part, t->path);
        if (error) unlink(part);
        return error;
    }
    return 255;
}
#endif

/* A file that has no name before all of it is on the disk: the system removes it when the program
   ends, kill -9 included. -1: there are no such files here. */
static int open_anonymous(const char *directory)
{
#ifdef O_TMPFILE
    return open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
#else
    return (void)directory, -1;
#endif
}

/* Its name is given by a child, which signals to the program and to its group do not reach, so that
   neither can a kill -9 between its two calls leave anything. -1: it cannot be given one. A child
   that finds the program gone leaves all as it was, so that nothing changes long after the
   program's end. */
static int name_anonymous(const part_file *p)
{
#ifdef O_TMPFILE
    int error, status = 0;
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        hold_signals(1);
        (void)setsid();
        _exit(name_file(p->fd, p->t, p->directory, parent));
    }
    if (child < 0) error = name_file(p->fd, p->t, p->directory, 0);
    else {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) { }
        error = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    }
    return error == 255 ? -1 : error;
#else
    return (void)p, -1;
#endif
}

static void remove_temporary(void)
{
    if (temporary_is_there) unlink(temporary);
    temporary_is_there = 0;
}

/* the default is back in force, for the signal to end the program as it would have done */
static void on_signal(int number)
{
    remove_temporary();
    (void)raise(number);
}

/* Nothing that is not safe in a signal handler is called here. */
static void on_bus_error(int number)
{
    static const char text[] = "llmq: " INPUT_IS_LOST "\n";
    (void)number;
    if (write(2, text, sizeof text - 1) < 0) { } /* there is nobody to tell */
    remove_temporary();
    _exit(1);
}

/* Streams 0 to 2 are open, or the first file that is opened would be one of them, and messages
   would go into it. A file that may not grow as large as it should is an error like others, not
   a signal. */
static void start_system(int *argc, char ***argv)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXCPU };
    struct sigaction action, before;
    int fd;
    (void)argc, (void)argv;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd < 3) { }
    if (fd >= 0) close(fd);
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGXFSZ, &action, NULL);
    action.sa_handler = on_bus_error;
    (void)sigaction(SIGBUS, &action, NULL);
    action.sa_handler = on_signal;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(signals[i], &action, NULL);
}

#ifndef LLMQ_NO_THREADS
typedef struct job { void (*work)(void *); void *context; } job;
static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;
static void take_lock(void) { pthread_mutex_lock(&job_lock); }
static void give_lock(void) { pthread_mutex_unlock(&job_lock); }

static void *run_job(void *context)
{
    const job *j = (const job *)context;
    j->work(j->context);
    return NULL;
}

/* work(context) on so many threads at once, this one among them. */
static void run_threads(void (*work)(void *), void *context, int threads)
{
    pthread_t thread[MOST_THREADS];
    job j = { work, context };
    int started = 0;
    while (started < threads - 1 && started < MOST_THREADS && pthread_create(&thread[started], NULL, run_job, &j) == 0)
        started++;
    work(context);
    while (started) pthread_join(thread[--started], NULL);
}
#else
static void take_lock(void) { }
static void give_lock(void) { }
static void run_threads(void (*work)(void *), void *context, int threads)
{
    (void)threads;
    work(context);
}
#endif
#endif

/* ---- both ------------------------------------------------------------------------------------ */

/* Memory for these bytes of reserved space; 0: there is no more. */
static int back_memory(void *at, size_t size)
{
    const uintptr_t page = page_size(), begin = (uintptr_t)at / page * page,
        end = ((uintptr_t)at + size + page - 1) / page * page;
    return begin == end || back_pages(begin, end - begin);
}

/* Gives `drop` the whole pages within these bytes, if there are any. */
static void whole_pages(const void *at, size_t size, void (*drop)(uintptr_t at, size_t size))
{
    const uintptr_t page = page_size(), begin = ((uintptr_t)at + page - 1) / page * page,
        end = ((uintptr_t)at + size) / page * page;
    if (begin < end) drop(begin, end - begin);
}

/* Bytes of a mapped file need not be in memory: they are read again where they are used. */
static void drop_pages(const void *at, size_t size) { whole_pages(at, size, forget_pages); }
/* The memory of reserved space. */
static void drop_memory(const void *at, size_t size) { whole_pages(at, size, give_back); }

static uint32_t hash_text(uint32_t hash, const char *text)
{
    while (*text) hash = llmq_random(hash, (unsigned char)*text++);
    return hash;
}

/* What the names of a target's temporary files begin with: it is the same for all processes of this machine. */
static void prefix_of_parts(char out[32], const char *path)
{
    char machine[256];
    computer_name(machine, sizeof machine);
    snprintf(out, 32, ".llmq-%08x-", (unsigned)hash_text(hash_text(0, machine), path + base_of(path)));
}

/* The n-th name for a temporary file of this process. */
static int part_of_target(char *out, size_t size, const char *directory, const char *path, int n)
{
    char prefix[32], name[96];
    prefix_of_parts(prefix, path);
    snprintf(name, sizeof name, "%s%ld-%d.part", prefix, process_id(), n);
    return join_path(out, size, directory, name);
}

/* What a process left that is no longer there: it was killed, or the machine stopped. */
static void remove_stale(const char *directory, const char *name)
{
    char path[4096], *end;
    const char *number = strrchr(name, '-');
    long id;
    while (number && number > name && *--number != '-') { }
    id = number ? strtol(number + 1, &end, 10) : 0;
    if (id <= 0 || *end != '-' || is_running(id) || join_path(path, sizeof path, directory, name)) return;
    (void)remove_file(path);
}

/* A temporary file beside the target that nobody else has. */
static int open_named(part_file *p)
{
    int error = EEXIST;
    for (int n = 0; n < 100 && error == EEXIST; n++) {
        hold_signals(1);
        if ((error = part_of_target(temporary, sizeof temporary, p->directory, p->t->path, n)) == 0)
            error = (p->fd = open_to_write(temporary, 1)) < 0 ? errno : 0;
        temporary_is_there = error == 0;
        hold_signals(0);
    }
    p->has_name = error == 0;
    return error ? error : keep_owner_and_mode(p->fd, p->t);
}

/* Leads to end_part, also where it fails. */
static int begin_part(part_file *p, const target *t)
{
    char prefix[32];
    memset(p, 0, sizeof *p);
    p->t = t;
    p->fd = -1;
    if ((p->directory = directory_of(t->path)) == NULL) return ENOMEM;
    prefix_of_parts(prefix, t->path);
    list_directory(p->directory, prefix, remove_stale);
    p->fd = open_anonymous(p->directory);
    return p->fd < 0 ? open_named(p) : keep_owner_and_mode(p->fd, t);
}

/* The same bytes in a file with a name, where a file without one cannot get any. */
static int give_name(part_file *p)
{
    const int from = p->fd;
    int error = open_named(p);
    if (!error && (error = copy_file(from, p->fd)) == 0) error = flush_to_disk(p->fd);
    close_file(from);
    return error;
}

/* Puts it in the place of the target, unless there is an error already. Returns that, or its own. */
static int end_part(part_file *p, int error)
{
    if (!error) error = flush_to_disk(p->fd);
    if (!error && !p->has_name && (error = name_anonymous(p)) < 0) error = give_name(p);
    if (p->fd >= 0) {
        const int closed = close_file(p->fd);
        if (!error) error = closed;
    }
    if (!error && p->has_name && (error = rename_over(temporary, p->t->path)) == 0) temporary_is_there = 0;
    remove_temporary();
    if (!error) error = flush_directory(p->directory);
    free(p->directory);
    return error;
}

static int write_replacing(const target *t, const void *bytes, size_t size)
{
    part_file p;
    int error = begin_part(&p, t);
    if (!error) error = write_all(p.fd, bytes, size);
    return end_part(&p, error);
}

/* A file of several names (hard links) stays one file: who gave it two names wants both to show
   what is in it. So it is not replaced but written anew, after room for all of it has been made;
   who kills the program in these milliseconds has a part of each. */
static int write_in_place(const target *t, const void *bytes, size_t size, int *is_begun)
{
    int fd = open_to_write(t->path, 0), error;
    *is_begun = 0;
    if (fd < 0) return errno;
    if ((error = make_room(fd, size)) == 0) {
        *is_begun = 1;
        if ((error = write_all(fd, bytes, size)) == 0 && (error = cut_file(fd, size)) == 0) error = flush_to_disk(fd);
    }
    if (error) close_file(fd);
    else error = close_file(fd);
    return error;
}

static int write_stream(const target *t, const void *bytes, size_t size)
{
    int fd = open_to_write(t->path, 0), error;
    if (fd < 0) return errno;
    if ((error = write_all(fd, bytes, size)) != 0) close_file(fd);
    else error = close_file(fd);
    return error;
}
