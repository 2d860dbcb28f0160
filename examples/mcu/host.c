/* host.c - board.h on a desktop, so that a board's program can be run there and compared */
#include "board.h"
#include <stdio.h>

void board_print(const char *text, size_t length) { (void)fwrite(text, 1, length, stdout); }
size_t board_stack_used(void) { return 0; }
