/* exact.h - for tests with an implementation of their own, which must round products before it
   adds them, too. Include it after llmq.h, which sees to itself. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
