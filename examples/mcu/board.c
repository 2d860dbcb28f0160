/* board.c - what all boards have in common: memory made ready for main, the console, the depth
   of the stack

   The console and the exit status go through a debugger (semihosting), which QEMU and debug
   probes answer. A board of your own has a serial line instead: write to it in board_print, and
   sleep in board_exit. */
#include "board.h"
#include <string.h>

#define PAINT 0xa5c35a3cu

int main(int argc, char **argv);

/* ---- semihosting ---- */

#if defined(__arm__)
int board_ask(int operation, const void *block)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
#else
/* RISC-V: a breakpoint between two instructions that do nothing; the three must not be
   compressed, nor lie in two pages. */
int board_ask(int operation, const void *block)
{
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = block;
    __asm__ volatile(".option push\n\t.option norvc\n\t.balign 16\n\t"
                     "slli x0, x0, 0x1f\n\tebreak\n\tsrai x0, x0, 7\n\t.option pop"
                     : "+r"(a0) : "r"(a1) : "memory");
    return a0;
}
#endif

/* SYS_EXIT_EXTENDED is the one that takes a status. */
void board_exit(int status)
{
    uint32_t block[2] = { 0x20026u, (uint32_t)status }; /* ADP_Stopped_ApplicationExit */
    for (;;) (void)board_ask(0x20, block);
}

static int console(void) /* SYS_OPEN of ":tt" for writing; 0 is a legal handle */
{
    static int handle_and_1;
    static const char name[] = ":tt";
    struct { const char *name; int mode; size_t length; } block = { name, 4, sizeof name - 1 };
    if (handle_and_1 == 0) handle_and_1 = board_ask(0x01, &block) + 1;
    return handle_and_1 - 1;
}

void board_print(const char *text, size_t length)
{
    struct { int handle; const char *text; size_t length; } block;
    block.handle = console();
    block.text = text;
    block.length = length;
    (void)board_ask(0x05, &block); /* SYS_WRITE */
}

static void print_text(const char *text) { board_print(text, strlen(text)); }

void board_fault(const char *const *name, const uint32_t *value, int count)
{
    static const char digit[] = "0123456789abcdef";
    char hex[8];
    int i, k;
    print_text("fault:");
    for (i = 0; i < count; i++) {
        for (k = 0; k < 8; k++) hex[k] = digit[value[i] >> (28 - 4 * k) & 15];
        print_text(name[i]);
        board_print(hex, sizeof hex);
    }
    print_text("\n");
    board_exit(127);
}

/* ---- the stack ---- */

extern char board_heap[], board_stack[];
char *board_heap_top = board_heap;

/* volatile: a call of memset would have its own return address painted over. */
static void paint(void)
{
    volatile uint32_t *at = (volatile uint32_t *)(void *)board_heap;
    uint32_t *pointer;
#if defined(__arm__)
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
#else
    __asm__ volatile("mv %0, sp" : "=r"(pointer));
#endif
    while (at < pointer) *at++ = PAINT;
}

size_t board_stack_used(void)
{
    const volatile uint32_t *at = (const volatile uint32_t *)(void *)board_heap_top;
    const volatile uint32_t *end = (const volatile uint32_t *)(void *)board_stack;
    while (at < end && *at == PAINT) at++;
    return (size_t)((const volatile char *)end - (const volatile char *)at);
}

/* ---- to main ---- */

__attribute__((weak)) int board_arguments(char **argv, int most)
{
    (void)argv, (void)most;
    return 0;
}

void board_run(void)
{
    extern char board_data[], board_data_end[], board_bss[], board_bss_end[];
    extern const char board_data_image[];
    char *argv[16] = { NULL };
    memcpy(board_data, board_data_image, (size_t)(board_data_end - board_data));
    memset(board_bss, 0, (size_t)(board_bss_end - board_bss));
    paint();
    board_exit(main(board_arguments(argv, 15), argv));
}
