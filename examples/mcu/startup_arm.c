/* startup_arm.c - reset and faults of a Cortex-M; the rest is in board.c

   STARTUP_TRAP_UNALIGNED 1: an access to an address that is no multiple of its size is a fault
   (CCR.UNALIGN_TRP), as it always is on a Cortex-M0 (but not in QEMU's). Compile with
   -mno-unaligned-access then. */
#include "board.h"

#ifndef STARTUP_TRAP_UNALIGNED
#define STARTUP_TRAP_UNALIGNED 0
#endif

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CCR 0xE000ED14u    /* bit 3: unaligned accesses trap */
#define CFSR 0xE000ED28u   /* why there was a fault */
#define CPACR 0xE000ED88u  /* bits 20-23: the processor's own floating point and vectors may be used */

void board_reset(void);

#if STARTUP_TRAP_UNALIGNED
/* newlib's reads words wherever they are. volatile: this loop is not to become a call of memcpy. */
void *memcpy(void *to, const void *from, size_t size);
void *memcpy(void *to, const void *from, size_t size)
{
    volatile unsigned char *t = (volatile unsigned char *)to;
    const unsigned char *f = (const unsigned char *)from;
    for (; size; size--) *t++ = *f++;
    return to;
}
#endif

/* stacked: what the processor saved of its registers. */
__attribute__((noreturn, used)) static void report(const uint32_t *stacked)
{
    static const char *const name[3] = { " exception ", ", CFSR ", ", PC " };
    uint32_t value[3];
    __asm__ volatile("mrs %0, ipsr" : "=r"(value[0]));
    value[1] = REGISTER(CFSR);
    value[2] = stacked[6];
    board_fault(name, value, 3);
}

__attribute__((naked)) static void fault(void) { __asm__ volatile("mov r0, sp\n\tbl report"); }

/* Nothing that could use the registers of floating point may be in here: they are off. */
__attribute__((noreturn)) void board_reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    REGISTER(CPACR) |= 15u << 20;
    __asm__ volatile("dsb\n\tisb" : : : "memory");
#endif
    if (STARTUP_TRAP_UNALIGNED) REGISTER(CCR) |= 1u << 3;
    board_run();
}

/* The initial stack pointer, and a handler for each exception of the processor; interrupts stay off. */
extern uint32_t board_stack[];
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handler[15])(void);
} vectors = { board_stack, { board_reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault,
                             fault }
};
