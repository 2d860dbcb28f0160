/* board.h - what a program asks of the board it runs on

   Boards: board.c beside startup_arm.c or startup_riscv.c. A desktop has the same functions, in
   host.c. There is no heap behind them, nor anything of <stdio.h>. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* The file that model.S puts in flash, on a multiple of 16: mcu_model_end - mcu_model bytes. */
extern const unsigned char mcu_model[], mcu_model_end[];

/* To the console. */
void board_print(const char *text, size_t length);

/* A number, in decimal digits, to the console. */
static inline void board_print_number(unsigned long n)
{
    char text[20];
    size_t at = sizeof text;
    do text[--at] = (char)('0' + n % 10); while ((n /= 10) != 0);
    board_print(text + at, sizeof text - at);
}

/* Bytes below the initial stack pointer that were ever changed; 0 on a desktop. The RAM between
   variables and stack is painted at reset: what a program writes with the colour of the paint
   does not count. */
size_t board_stack_used(void);

/* An instruction that does nothing and that no compiler writes: an emulator counts what is executed between two of them
   (bench/insn.c). Nothing on a desktop. */
#if defined(__arm__) && defined(__thumb__) && !defined(__linux__)
#define BOARD_MARK() __asm__ volatile("mov r9, r9" : : : "memory")
#elif defined(__riscv) && !defined(__linux__)
#define BOARD_MARK() __asm__ volatile("slti x0, x0, 1" : : : "memory")
#else
#define BOARD_MARK() ((void)0)
#endif

/* ---- for start-up files ---- */

/* From a machine with a stack and nothing else to main, and to the end of the program. */
__attribute__((noreturn)) void board_run(void);

__attribute__((noreturn)) void board_exit(int status);

/* A request to the debugger or emulator (semihosting). */
int board_ask(int operation, const void *block);

/* Words of the command line, most of them at most. There are none unless libc.c is linked. */
int board_arguments(char **argv, int most);

/* End of the heap, beginning of the paint. */
extern char *board_heap_top;

/* A fault: says its values, each with its name, and ends the program with status 127, where it would hang silently. */
__attribute__((noreturn)) void board_fault(const char *const *name, const uint32_t *value, int count);

#endif
