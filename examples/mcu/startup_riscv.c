/* startup_riscv.c - reset and traps of a RISC-V processor in machine mode; the rest is in board.c */
#include "board.h"

void board_reset(void);

/* Registers of control are an extension by now, with a name of its own that not every compiler takes in -march. */
#define WITH_CSR(text) ".option push\n\t.option arch, +zicsr\n\t" text "\n\t.option pop\n\t"
#define READ(name, value) __asm__ volatile(WITH_CSR("csrr %0, " name) : "=r"(value))

/* Any trap is a fault: interrupts stay off. mtvec holds a multiple of 4. */
__attribute__((noreturn, used, aligned(4))) static void trap(void)
{
    static const char *const name[3] = { " mcause ", ", mtval ", ", mepc " };
    uint32_t value[3];
    READ("mcause", value[0]);
    READ("mtval", value[1]);
    READ("mepc", value[2]);
    board_fault(name, value, 3);
}

/* Where the processor begins, at the start of ROM: the registers that compiled code relies on.
   gp itself must not be loaded relative to gp. */
__attribute__((section(".vectors"), naked, used)) void board_reset(void)
{
    __asm__ volatile(".option push\n\t.option norelax\n\t"
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la sp, board_stack\n\t"
                     "la tp, board_tls\n\t"
                     "la t0, trap\n\t"
                     WITH_CSR("csrw mtvec, t0")
                     "j board_run");
}
