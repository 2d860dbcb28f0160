/* libc.c - what a C library asks of an operating system, for programs that use printf or malloc:
   newlib's and picolibc's

   The example does without. The suites of tests/ are desktop programs, and need it on a board. */
#include "board.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __PICOLIBC__
#define SBRK sbrk
#else
#define SBRK _sbrk
#endif

void *SBRK(ptrdiff_t more);
void *SBRK(ptrdiff_t more)
{
    extern char board_heap_end[];
    char *before = board_heap_top;
    if (more > board_heap_end - before) {
        errno = ENOMEM;
        return (void *)-1;
    }
    board_heap_top += more;
    return before;
}

void _exit(int status);
void _exit(int status) { board_exit(status); }

#ifdef __PICOLIBC__
/* Lines in one request each: a request stops the emulator. */
static int put(char c, FILE *file)
{
    static char line[128];
    static size_t length;
    (void)file;
    line[length++] = c;
    if (c == '\n' || length == sizeof line) {
        board_print(line, length);
        length = 0;
    }
    return (unsigned char)c;
}

static FILE console = FDEV_SETUP_STREAM(put, NULL, NULL, _FDEV_SETUP_WRITE);
FILE *const stdin = &console, *const stdout = &console, *const stderr = &console;
#else
int _write(int file, const char *text, int length);
int _read(int file, char *text, int length);
int _close(int file);
int _lseek(int file, int offset, int from);
int _isatty(int file);
int _fstat(int file, struct stat *s);
int _kill(int process, int signal);
int _getpid(void);

int _write(int file, const char *text, int length)
{
    (void)file;
    board_print(text, (size_t)length);
    return length;
}

int _read(int file, char *text, int length) { (void)file, (void)text, (void)length; return 0; }
int _close(int file) { (void)file; return -1; }
int _lseek(int file, int offset, int from) { (void)file, (void)offset, (void)from; return 0; }
int _isatty(int file) { (void)file; return 1; }
int _fstat(int file, struct stat *s) { (void)file; s->st_mode = S_IFCHR; return 0; }
int _kill(int process, int signal) { (void)process, (void)signal; return -1; }
int _getpid(void) { return 1; }
#endif

/* SYS_GET_CMDLINE; words are separated by spaces. */
int board_arguments(char **argv, int most)
{
    static char line[256];
    struct { char *text; int length; } block = { line, sizeof line };
    int argc = 0;
    char *at = line;
    if (board_ask(0x15, &block) != 0) return 0;
    while (argc < most) {
        while (*at == ' ') *at++ = 0;
        if (!*at) break;
        argv[argc++] = at;
        while (*at && *at != ' ') at++;
    }
    return argc;
}
