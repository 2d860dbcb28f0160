/* check_small.h - the part of check.h that a board without printf and a heap can have; failures
   say only where they are */
#ifndef CHECK_SMALL_H
#define CHECK_SMALL_H

#include "board.h"
#include "helpers.h"

#define CHECK_WALLS 0
#define CHECK_PRINTED 20

static unsigned long check_passed, check_failed;

static inline void check_text(const char *text) { board_print(text, strlen(text)); }

static inline int check_true(int good, const char *file, unsigned long line, const char *text)
{
    if (good) {
        check_passed++;
        return 1;
    }
    if (++check_failed > CHECK_PRINTED) return 0;
    check_text(file);
    check_text(":");
    board_print_number(line);
    check_text(": ");
    check_text(text);
    check_text("\n");
    return 0;
}

#define CHECK(condition) check_true((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define CHECK_EQ(got, expected) check_true((got) == (expected), __FILE__, __LINE__, #got " == " #expected)
#define check_at(...) ((void)0)

static inline int check_done(const char *suite)
{
    check_text(suite);
    check_text(": ");
    board_print_number(check_passed);
    check_text(" passed, ");
    board_print_number(check_failed);
    check_text(" failed\n");
    return check_failed != 0;
}

#endif
