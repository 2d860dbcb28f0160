/* startup.c - from reset to main on a Cortex-M, with newlib, for programs that talk through a debugger (semihosting)

       arm-none-eabi-gcc -mcpu=cortex-m4 --specs=nano.specs -nostartfiles -T board.ld ... startup.c program.c     (see board.sh)

   Standard output, arguments and the exit status go through BKPT 0xAB, which QEMU and debug probes answer. A board of your
   own needs its memory map in board.ld and something else in _write; the rest is what every Cortex-M needs.
   STARTUP_TRAP_UNALIGNED 1: an access to an address that is no multiple of its size is a fault (CCR.UNALIGN_TRP). */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#ifndef STARTUP_TRAP_UNALIGNED
#define STARTUP_TRAP_UNALIGNED 0
#endif

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CCR 0xE000ED14u    /* bit 3: unaligned accesses trap */
#define CFSR 0xE000ED28u   /* why there was a fault */
#define CPACR 0xE000ED88u  /* bits 20-23: the processor's own floating point and vectors may be used */

int main(int argc, char **argv);

/* ---- semihosting ---- */

static int ask(int operation, const void *block)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* SYS_EXIT_EXTENDED is the one that takes a status. */
__attribute__((noreturn)) void _exit(int status)
{
    uint32_t block[2] = { 0x20026u, (uint32_t)status }; /* ADP_Stopped_ApplicationExit */
    for (;;) ask(0x20, block);
}

static int console(void) /* SYS_OPEN of ":tt" for writing; 0 is a legal handle */
{
    static int handle = -1;
    static const char name[] = ":tt";
    struct { const char *name; int mode; size_t length; } block = { name, 4, sizeof name - 1 };
    if (handle < 0) handle = ask(0x01, &block);
    return handle;
}

/* ---- what newlib asks of an operating system ---- */

int _write(int file, const char *text, int length)
{
    struct { int handle; const char *text; int length; } block = { console(), text, length };
    (void)file;
    return length - ask(0x05, &block); /* SYS_WRITE: the answer is what was not written */
}

void *_sbrk(ptrdiff_t more)
{
    extern char board_heap[], board_heap_end[];
    static char *end = board_heap;
    char *before = end;
    if (more > board_heap_end - end) {
        errno = ENOMEM;
        return (void *)-1;
    }
    end += more;
    return before;
}

int _read(int file, char *text, int length) { (void)file, (void)text, (void)length; return 0; }
int _close(int file) { (void)file; return -1; }
int _lseek(int file, int offset, int from) { (void)file, (void)offset, (void)from; return 0; }
int _isatty(int file) { (void)file; return 1; }
int _fstat(int file, struct stat *s) { (void)file; s->st_mode = S_IFCHR; return 0; }
int _kill(int process, int signal) { (void)process, (void)signal; return -1; }
int _getpid(void) { return 1; }

/* ---- reset ---- */

/* A fault says where and ends the program with status 127, where it would hang silently. stacked: what the processor saved. */
__attribute__((noreturn, used)) static void report(const uint32_t *stacked)
{
    static char text[] = "fault: exception __, CFSR ________, PC ________\n";
    static const char digit[] = "0123456789abcdef";
    uint32_t exception, why = REGISTER(CFSR), i;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    text[17] = digit[exception >> 4 & 15];
    text[18] = digit[exception & 15];
    for (i = 0; i < 8; i++) {
        text[26 + i] = digit[why >> (28 - 4 * i) & 15];
        text[39 + i] = digit[stacked[6] >> (28 - 4 * i) & 15];
    }
    _write(1, text, sizeof text - 1);
    _exit(127);
}

__attribute__((naked)) static void fault(void) { __asm__ volatile("mov r0, sp\n\tbl report"); }

/* Words of the command line: SYS_GET_CMDLINE. */
static int arguments(char **argv, int most)
{
    static char line[256];
    struct { char *text; int length; } block = { line, sizeof line };
    int argc = 0;
    char *word;
    if (ask(0x15, &block) != 0) return 0;
    for (word = strtok(line, " "); word && argc < most; word = strtok(NULL, " ")) argv[argc++] = word;
    return argc;
}

__attribute__((noreturn, noinline)) static void run(void)
{
    extern uint32_t board_data[], board_data_end[], board_bss[], board_bss_end[];
    extern const uint32_t board_data_image[];
    static char *argv[16];
    memcpy(board_data, board_data_image, (size_t)((char *)board_data_end - (char *)board_data));
    memset(board_bss, 0, (size_t)((char *)board_bss_end - (char *)board_bss));
    _exit(main(arguments(argv, 15), argv));
}

/* Nothing that could use the registers of floating point may be in here: they are off. */
__attribute__((noreturn)) void board_reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    REGISTER(CPACR) |= 15u << 20;
    __asm__ volatile("dsb\n\tisb" : : : "memory");
#endif
    if (STARTUP_TRAP_UNALIGNED) REGISTER(CCR) |= 1u << 3;
    run();
}

/* The initial stack pointer, and a handler for each exception of the processor; interrupts stay off. */
extern uint32_t board_stack[];
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handler[15])(void);
} vectors = { board_stack, { board_reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, fault } };
