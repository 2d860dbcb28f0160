/* llmq.h - v0.7.0 - weights of language models in 1.5 to 8 bits, and products with them - public domain or MIT

   DO THIS ONCE, in one C or C++ file of the project, before the include:
       #define LLMQ_IMPLEMENTATION
       #include "llmq.h"
   Every other file includes llmq.h without the define. There is nothing else to build or to link. With llmq_simd.h in the
   same directory the implementation finds it, and the same program runs on the vector unit, with the same results.

   A WHOLE PROGRAM (examples/hello.c; quantizes a matrix to about 4 bits a weight and multiplies by it):

       #define LLMQ_IMPLEMENTATION
       #include "llmq.h"
       #include <stdio.h>

       static float w[8][256], x[256], y[8];                    // y = W x, row-major, as everywhere
       static unsigned char data[8 * 160];                      // where the quantized rows go
       static float work[2048], mem[1024];                      // memory for one call, and for the prepared x

       int main(void)
       {
           llmq_format format;
           llmq_tensor t;
           llmq_activation a;
           for (int i = 0; i < 8 * 256; i++) w[i / 256][i % 256] = (float)(i * 7919 % 2003 - 1001) / 1001;
           for (int i = 0; i < 256; i++) x[i] = (float)(i * 104729 % 997 - 498) / 498;
           llmq_transform rotate = llmq_transform_hadamard(1, 0);                     // seed 1, default block
           if (llmq_format_find(&format, "g4", 128) || llmq_tensor_init(&t, &format, &rotate, 8, 256, data, sizeof data)
               || llmq_encode(&t, data, 0, 8, w[0], 256, NULL, work, sizeof work, NULL)
               || llmq_activation_prepare(&a, &t, 8, x, mem, sizeof mem) || llmq_matvec(&t, &a, 0, 8, y))
               return 1;
           printf("%zu bytes, y[0] = %f\n", 8 * t.row_size, (double)y[0]);
           return 0;
       }

   CONTENTS (the same banners stand before the declarations and before the code)
       0. Configuration
       1. Utilities: status codes, half floats, random numbers, memory
       2. Kernels
       3. Hadamard
       4. Transform
       5. Tables: the built-in grids and trellises
       6. Format and row layout
       7. Tensor
       8. Activation
       9. Products
      10. Bundle: reading
          (here the run-time half ends: LLMQ_NO_ENCODER leaves out the rest)
      11. Encoder: rows
      12. Encoder: trellises and tensors
      13. Grid trainer
      14. Bundle: writing
          (LLMQ_NO_CALIBRATION leaves out the rest)
      15. Sensitivity
      16. Error feedback
      17. Outliers
      18. Allocation

   WHAT IT IS
       The method is HIGGS [R1]: a row of weights is rotated by a signed Hadamard matrix, after which its entries look
       like N(0,1) whatever they looked like before; they are cut into groups with one scale each; and within a group
       every p consecutive numbers are replaced by the nearest of n points of a grid that is optimal for N(0,1)^p.
       Because the rotation is orthogonal, y = W x = (W H)(H x): the activation is rotated at run time (n log n), the
       weights never are again. Products run on the codes: an int8 activation times an int8 grid entry, summed exactly.
       Or a code has a memory: in the trellis formats the point that a code means also depends on the codes above it in its
       column, which brings the error from 3 or 4 dB above what information theory allows to about 1 [R18], at a decoding of a few XORs of
       whole words and the same table lookup.
       With a calibration text the same formats become better: each weight makes up for the errors of those before it [R6];
       and inputs with outliers fit in 4 bits, once channels are smoothed, dealt out and rotated [R13]. Which layer gets which
       format for a size is solved exactly, from what an error of each layer costs [R1].

   WHAT IT IS NOT
       No file format of others is read here (examples/ does that), no model is run (examples/llama.h does), no thread
       is started (row ranges let the caller do it), no memory is allocated.

   LIMITS
       cols <= 2^24, rows < 2^32, group 32 ... 1024 in steps of 32 or the whole row, p <= 8, n <= 65536, Hadamard blocks
       <= 32768 (default 1024), a bundle's total size must fit size_t.

   COST
       What               bytes of workspace                                  time (multiply-adds a weight or entry)
       transform          llmq_transform_work_size: 0 for powers of two       log2(block); m for a Paley block (section 3)
       activation         llmq_activation_size: 4 cols, + 1.03 cols of codes  transform, and about 3
       product            0                                                   1, and the decoding of a code
       encoder            llmq_encode_work_size: about 4 cols + 4 n p + 2 group  a nearest point for each trial scale
         of a trellis     4 cols + 4 group for each of 128 to 255 rows, 30 KB (256 states: 100 KB)  about 5 (states + 8 points) a round, four rounds
       sums of inputs     llmq_hessian_size: 2 cols^2 + 2 cols                cols / 2 a token and column
       with feedback      llmq_feedback_size: as much; 200 cols for 16 rows   cols a weight, llmq_encode's; cols^3 / 6 to prepare
         of a trellis     the same; 12 cols a row for 512 rows                as much, and three times the search
       sample of inputs   llmq_sample_size: 4 cols for each that is kept      2 a number
       allocation         llmq_allocate_work_size: 15 MB, or less             milliseconds
       rotation           llmq_fit_work_size: 16 B^2                          256 (B^3 + kept B cols) to make; B a number to use
       Stack: nothing recurs; no frame is over 256 bytes with gcc at -O2 and -Os. On x86-64 others are larger: gcc 12 at -O3 up to
       2000, clang 14 at -O2 up to 450, at -O3 up to 450, at -Os up to 300. The vector kernels of desktop processors take up to 10 KB.
       `make size` prints the code size of each half.

   ERRORS
       Functions that can fail return llmq_status, LLMQ_OK = 0 or a negative code; on failure outputs hold what they
       held, unless the function says otherwise. Bad data is a code, never an assertion. Pointers must be valid; a
       NULL that is not allowed is LLMQ_E_ARG. Every call is reentrant: there is no state outside the arguments.

   THE SAME BITS EVERYWHERE
       Codes, tensors, activations and products are the same bits on every machine: every float operation below is a
       single IEEE-754 binary32 +, -, * or / in a stated order, never fused, and integer sums are exact. Splitting the
       rows of a call changes nothing, nor does the table of kernels (section 2). Exceptions: NaN payloads, and
       environments that change float arithmetic. Those of which a macro tells are refused by #error, unless LLMQ_ALLOW_INEXACT is 1:
       -ffast-math, its parts that reorder sums, divide by reciprocals, or leave out NaN and signed zeros, MSVC's /fp:fast.
       llmq_selftest() detects them where no macro does, and x87 (32-bit x86 without -msse2 -mfpmath=sse), clang's -ffp-contract=fast,
       flush-to-zero, another rounding mode, and kernels that a compiler got wrong. One it cannot see: clang for 32-bit Arm with NEON
       makes vectors of scalar code, and those flush subnormal numbers; -fno-slp-vectorize prevents it.

   TRUST
       Only llmq_bundle_open sees bytes that nobody vouches for. It checks, once, all that memory safety depends on;
       after it every payload is safe to use whatever bits it holds: each code indexes a full table, a scale may be NaN
       and then so is the result. Views, workspaces and lengths passed by the program are trusted.

   REFERENCES
       [R1] Malinovskii, Panferov, Ilin, Guo, Richtarik, Alistarh: Pushing the Limits of Large Language Model
            Quantization via the Linearity Theorem, arXiv 2411.17525 (HIGGS).
       [R2] Lloyd: Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982).
       [R3] Paley: On orthogonal matrices, J. Math. Phys. 12 (1933).
       [R4] Zador: Asymptotic quantization error of continuous signals, IEEE Trans. Inf. Theory 28 (1982).
       [R5] Marsaglia, Bray: A convenient method for generating normal variables, SIAM Review 6 (1964).
       [R6] Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, arXiv 2210.17323.
       [R7] Chee, Cai, Kuleshov, De Sa: QuIP, arXiv 2307.13304 (LDLQ; its equivalence to GPTQ).
       [R8] Zheng et al.: First-Order Error Matters (FOEM), arXiv 2507.11017.
       [R9] Guan, Huang, Su, Huang, Wong, Yu: APTQ: Attention-aware Post-Training Mixed-Precision Quantization for Large
            Language Models, arXiv 2402.14866.
      [R10] Hutchinson: A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines,
            Commun. Stat. Simul. Comput. 19 (1990).
      [R11] Meyer, Musco, Musco, Woodruff: Hutch++: Optimal Stochastic Trace Estimation, arXiv 2010.09649.
      [R12] Xiao et al.: SmoothQuant, arXiv 2211.10438.
      [R13] Lin et al.: DuQuant: Distributing Outliers via Dual Transformation Makes Stronger Quantized LLMs, arXiv 2406.01721.
      [R14] Stewart: The efficient generation of random orthogonal matrices with an application to condition estimators,
            SIAM J. Numer. Anal. 17 (1980).
      [R15] Yi et al.: Rotated Runtime Smooth: Training-Free Activation Smoother for accurate INT4 inference, arXiv 2409.20361.
      [R16] Kellerer, Pferschy, Pisinger: Knapsack Problems, chapter 11 (multiple-choice), Springer 2004.
      [R17] Pisinger: A minimal algorithm for the multiple-choice knapsack problem, Eur. J. Oper. Res. 83 (1995).
      [R18] Marcellin, Fischer: Trellis coded quantization of memoryless and Gauss-Markov sources, IEEE Trans. Commun. 38 (1990).
      [R19] Tseng, Sun, Hou, De Sa: QTIP: Quantization with Trellises and Incoherence Processing, arXiv 2406.11235.
      [R20] Viterbi: Error bounds for convolutional codes and an asymptotically optimum decoding algorithm, IEEE Trans. Inf. Theory 13 (1967).
      [R21] Chen, Wiesel, Eldar, Hero: Shrinkage algorithms for MMSE covariance estimation, IEEE Trans. Signal Process. 58 (2010).

   RELEASES
       0.7.0  faults that users and attackers found; files that do not fit together do not link; a known answer of the kernels.
       0.6.1  faster products of trellises.
       0.6.0  for microcontrollers: LLMQ_FORMATS keeps single formats, LLMQ_MAX_STEPS may be 0; the example that runs there.
       0.5.0  trellis formats t1 t2 t3 t4, and stronger t2s t3s t4s.
       0.4.0  outliers: fitted transforms, activations of 2 to 8 bits with zero points; formats u4 u6 u8; allocation of formats.
       0.3.0  calibration: Hessians of inputs, attention-aware sensitivities, error feedback; bundles get the best kernels too.
       0.2.0  vector kernels (llmq_simd.h); rows laid out for them, so grid formats have new ids. See CHANGELOG.md.
       0.1.0  first: Hadamard, grids, bundle.

   The licence is at the end of the file. */

#ifndef LLMQ_H
#define LLMQ_H

#define LLMQ_VERSION_MAJOR 0
#define LLMQ_VERSION_MINOR 7
#define LLMQ_VERSION_PATCH 0

/* ---- 0. Configuration ---------------------------------------------------------------------------------------------

   Define before including, each 0 or 1 unless it says otherwise. The default is right for a desktop program.

   LLMQ_IMPLEMENTATION   defined in exactly one file: the code is compiled there
   LLMQ_STATIC           1: all functions are static, for use inside one file
   LLMQ_NO_ENCODER       1: leave out sections 11 to 18: the run-time half stays
   LLMQ_NO_CALIBRATION   1: leave out sections 15 to 18 only, for firmware that encodes a KV cache
   LLMQ_NO_BUNDLE        1: leave out sections 10 and 14
   LLMQ_NO_STRINGS       1: leave out the texts of llmq_status_text
   LLMQ_NO_ACTIVATION_OPTIONS   1: leave out llmq_activations_prepare and what goes with it: activations are then those of
                         llmq_activation_prepare, and there are no zero points to them
   LLMQ_FORMATS          the built-in formats that are kept, from the constants LLMQ_WITH_... below, or-ed together; default
                         LLMQ_WITH_ALL. Those left out are unknown: llmq_format_find does not find them, llmq_format_at passes over them, a
                         bundle that has one is LLMQ_E_UNSUPPORTED. Code goes with the last format that needs it. Custom grids always work
   LLMQ_MAX_STEPS        steps a transform can have, 0 ... 8 (default 8): 8 bytes each in every tensor view. 0: no transforms. Section 3,
                         the steps of section 4 and llmq_transform_store are then not declared; llmq_transform is a count, which has to be
                         0, and llmq_transform_apply the identity. Bundles with steps are LLMQ_E_UNSUPPORTED. Needs LLMQ_NO_CALIBRATION
   LLMQ_ALLOW_INEXACT    1: compile under -ffast-math and the like; results are then no longer the same everywhere
   LLMQ_MEMCPY, LLMQ_MEMSET   both or neither: replacements, and <string.h> is not included. Compilers make calls of memcpy and memset
                         of their own accord all the same, for structs and loops. Where no library has these, it takes (volatile, or they
                         become calls of themselves):
                            void *memcpy(void *to, const void *from, size_t n)
                            {
                                volatile unsigned char *t = (volatile unsigned char *)to;
                                const unsigned char *f = (const unsigned char *)from;
                                while (n-- > 0) *t++ = *f++;
                                return to;
                            }
                            void *memset(void *to, int value, size_t n)
                            {
                                volatile unsigned char *t = (volatile unsigned char *)to;
                                while (n-- > 0) *t++ = (unsigned char)value;
                                return to;
                            }
   LLMQ_API              what stands before each public function; by default extern, or static. For a shared library that hides
                         its symbols: __attribute__((visibility("default"))), or __declspec(dllexport)
   LLMQ_SIMD             1: include llmq_simd.h, the fast kernels (section 2). By default 1 if it lies beside this file and the
                         compiler can tell (__has_include) and has the intrinsics; its own macros are described there
   LLMQ_SIMD_PATH        where it is, with quotes (default "llmq_simd.h")
   LLMQ_KERNELS          expression for the kernels of a new tensor (default llmq_kernels_best(); 0: always the scalar ones)
   LLMQ_CPU_FEATURES     expression for the instruction sets that may be used, bits LLMQ_CPU_...; the default asks the
                         processor and its operating system on x86, and is what the compiler was told elsewhere

   What that leaves, with LLMQ_SIMD 0 (`make size` keeps this table right): bytes on a Cortex-M4 at -Os, gcc 12.2
     all              everything                                                                     57374
     no-calibration   LLMQ_NO_CALIBRATION 1                                                          30818
     runtime          LLMQ_NO_ENCODER 1                                                              20172
     no-bundle        runtime, LLMQ_NO_BUNDLE 1                                                      17652
     no-strings       runtime, LLMQ_NO_STRINGS 1                                                     19538
     no-options       runtime, LLMQ_NO_ACTIVATION_OPTIONS 1                                          18336
     no-steps         runtime, LLMQ_MAX_STEPS 0                                                      17156
     no-trellises     runtime, LLMQ_FORMATS (LLMQ_WITH_ALL & ~LLMQ_WITH_TRELLISES)                   18812
     scalar-grids     runtime, LLMQ_FORMATS (LLMQ_WITH_RAW | LLMQ_WITH_GRIDS)                        14452
     g4               runtime, all of no-bundle ... no-steps, and LLMQ_FORMATS LLMQ_WITH_G4           5594
     t3               the same with LLMQ_WITH_T3                                                      6390
     g4-bundle        g4 with the reader of bundles and LLMQ_WITH_F16                                 8378
     g4-cache         g4 with LLMQ_NO_CALIBRATION 1 for LLMQ_NO_ENCODER 1                             9970
   Public functions that a program does not call are in these numbers: a linker that drops them (-ffunction-sections and
   --gc-sections) leaves less. */
#ifndef LLMQ_STATIC
#define LLMQ_STATIC 0
#endif
#ifndef LLMQ_NO_ENCODER
#define LLMQ_NO_ENCODER 0
#endif
#ifndef LLMQ_NO_CALIBRATION
#define LLMQ_NO_CALIBRATION LLMQ_NO_ENCODER
#endif
#ifndef LLMQ_NO_BUNDLE
#define LLMQ_NO_BUNDLE 0
#endif
#ifndef LLMQ_NO_STRINGS
#define LLMQ_NO_STRINGS 0
#endif
#ifndef LLMQ_NO_ACTIVATION_OPTIONS
#define LLMQ_NO_ACTIVATION_OPTIONS 0
#endif
#ifndef LLMQ_ALLOW_INEXACT
#define LLMQ_ALLOW_INEXACT 0
#endif

/* For LLMQ_FORMATS: the built-in formats of section 5, and groups of them. #define LLMQ_FORMATS (LLMQ_WITH_G4 | LLMQ_WITH_RAW) */
#define LLMQ_WITH_F32           0x0000001
#define LLMQ_WITH_F16           0x0000002
#define LLMQ_WITH_BF16          0x0000004
#define LLMQ_WITH_G2            0x0000008
#define LLMQ_WITH_G3            0x0000010
#define LLMQ_WITH_G4            0x0000020
#define LLMQ_WITH_G5            0x0000040
#define LLMQ_WITH_G6            0x0000080
#define LLMQ_WITH_G8            0x0000100
#define LLMQ_WITH_V2N16         0x0000200
#define LLMQ_WITH_V2N64         0x0000400
#define LLMQ_WITH_V2N256        0x0000800
#define LLMQ_WITH_V3N64         0x0001000
#define LLMQ_WITH_V3N512        0x0002000
#define LLMQ_WITH_V4N256        0x0004000
#define LLMQ_WITH_U4            0x0008000
#define LLMQ_WITH_U6            0x0010000
#define LLMQ_WITH_U8            0x0020000
#define LLMQ_WITH_T1            0x0040000
#define LLMQ_WITH_T2            0x0080000
#define LLMQ_WITH_T3            0x0100000
#define LLMQ_WITH_T4            0x0200000
#define LLMQ_WITH_T2S           0x0400000
#define LLMQ_WITH_T3S           0x0800000
#define LLMQ_WITH_T4S           0x1000000
#define LLMQ_WITH_RAW           0x0000007  /* f32 f16 bf16 */
#define LLMQ_WITH_GRIDS         0x00001f8  /* g2 ... g8 */
#define LLMQ_WITH_VECTOR_GRIDS  0x0007e00  /* v2n16 ... v4n256 */
#define LLMQ_WITH_ZERO_POINTS         0x0038000  /* u4 u6 u8 */
#define LLMQ_WITH_TRELLISES     0x1fc0000  /* t1 ... t4s */
#define LLMQ_WITH_ALL           0x1ffffff
#ifndef LLMQ_FORMATS
#define LLMQ_FORMATS LLMQ_WITH_ALL
#endif

#ifndef LLMQ_MAX_STEPS
#define LLMQ_MAX_STEPS 8
#endif
#ifndef LLMQ_SIMD_PATH
#define LLMQ_SIMD_PATH "llmq_simd.h"
#endif
#ifndef LLMQ_SIMD
#if defined(__has_include) && !defined(__TINYC__) && (__STDC_HOSTED__ || !(defined(__x86_64__) || defined(_M_X64)))
#if __has_include(LLMQ_SIMD_PATH) /* x86 intrinsics come with headers that only a hosted compiler has */
#define LLMQ_SIMD 1
#endif
#endif
#endif
#ifndef LLMQ_SIMD
#define LLMQ_SIMD 0
#endif
#ifndef LLMQ_KERNELS
#define LLMQ_KERNELS llmq_kernels_best()
#endif

#include <stddef.h>
#include <stdint.h>

#ifndef LLMQ_API
#if LLMQ_STATIC && (defined(__GNUC__) || defined(__clang__))
#define LLMQ_API static __attribute__((__unused__))
#elif LLMQ_STATIC
#define LLMQ_API static
#else
#define LLMQ_API extern
#endif
#endif
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__TINYC__)
#define LLMQ_NODISCARD __attribute__((__warn_unused_result__))
#else
#define LLMQ_NODISCARD
#endif

/* What lies in memory must be the same for all files of a program: LLMQ_MAX_STEPS changes struct llmq_transform, and with it tensors,
   activations and all else that has one; the other macros change no struct, but a version may change any. So each function whose
   declaration names a struct of this header has another name for the linker, which ends in the version and in that macro. A file
   that has structs of another make cannot call anything that reads or fills them: it does not link, and the message says why. In the
   source, functions have the names that are written there. A program that looks symbols up (dlsym, ctypes) finds the whole ones,
   such as llmq_matvec_LLMQ_VERSION_0_7_LLMQ_MAX_STEPS_8; functions of plain numbers and bytes have no such ending. */
#if LLMQ_MAX_STEPS == 0 /* as a numeral, whatever expression it is */
#define LLMQ_STEPS_NUMERAL 0
#elif LLMQ_MAX_STEPS == 1
#define LLMQ_STEPS_NUMERAL 1
#elif LLMQ_MAX_STEPS == 2
#define LLMQ_STEPS_NUMERAL 2
#elif LLMQ_MAX_STEPS == 3
#define LLMQ_STEPS_NUMERAL 3
#elif LLMQ_MAX_STEPS == 4
#define LLMQ_STEPS_NUMERAL 4
#elif LLMQ_MAX_STEPS == 5
#define LLMQ_STEPS_NUMERAL 5
#elif LLMQ_MAX_STEPS == 6
#define LLMQ_STEPS_NUMERAL 6
#elif LLMQ_MAX_STEPS == 7
#define LLMQ_STEPS_NUMERAL 7
#elif LLMQ_MAX_STEPS == 8
#define LLMQ_STEPS_NUMERAL 8
#else
#error "llmq: LLMQ_MAX_STEPS is 0 to 8"
#endif
#if !LLMQ_STATIC
#define LLMQ_NAMED__(name, major, minor, steps) name##_LLMQ_VERSION_##major##_##minor##_LLMQ_MAX_STEPS_##steps
#define LLMQ_NAMED_(name, major, minor, steps) LLMQ_NAMED__(name, major, minor, steps)
#define LLMQ_NAMED(name) LLMQ_NAMED_(name, LLMQ_VERSION_MAJOR, LLMQ_VERSION_MINOR, LLMQ_STEPS_NUMERAL)
#define llmq_hadamard LLMQ_NAMED(llmq_hadamard)
#define llmq_step_data_size LLMQ_NAMED(llmq_step_data_size)
#define llmq_transform_verify LLMQ_NAMED(llmq_transform_verify)
#define llmq_transform_hadamard LLMQ_NAMED(llmq_transform_hadamard)
#define llmq_transform_work_size LLMQ_NAMED(llmq_transform_work_size)
#define llmq_transform_apply LLMQ_NAMED(llmq_transform_apply)
#define llmq_format_at LLMQ_NAMED(llmq_format_at)
#define llmq_format_find LLMQ_NAMED(llmq_format_find)
#define llmq_format_custom LLMQ_NAMED(llmq_format_custom)
#define llmq_row_size LLMQ_NAMED(llmq_row_size)
#define llmq_grid_train LLMQ_NAMED(llmq_grid_train)
#define llmq_tensor_init LLMQ_NAMED(llmq_tensor_init)
#define llmq_tensor_size LLMQ_NAMED(llmq_tensor_size)
#define llmq_trellis_block_start LLMQ_NAMED(llmq_trellis_block_start)
#define llmq_tensor_decode LLMQ_NAMED(llmq_tensor_decode)
#define llmq_activation_size LLMQ_NAMED(llmq_activation_size)
#define llmq_activation_prepare LLMQ_NAMED(llmq_activation_prepare)
#define llmq_activation_defaults LLMQ_NAMED(llmq_activation_defaults)
#define llmq_activations_size LLMQ_NAMED(llmq_activations_size)
#define llmq_activations_prepare LLMQ_NAMED(llmq_activations_prepare)
#define llmq_matmul LLMQ_NAMED(llmq_matmul)
#define llmq_matvec LLMQ_NAMED(llmq_matvec)
#define llmq_matvec_transposed LLMQ_NAMED(llmq_matvec_transposed)
#define llmq_encode_work_size LLMQ_NAMED(llmq_encode_work_size)
#define llmq_encode LLMQ_NAMED(llmq_encode)
#define llmq_tensor_append LLMQ_NAMED(llmq_tensor_append)
#define llmq_hessian_init LLMQ_NAMED(llmq_hessian_init)
#define llmq_hessian_work_size LLMQ_NAMED(llmq_hessian_work_size)
#define llmq_hessian_add LLMQ_NAMED(llmq_hessian_add)
#define llmq_hessian_merge LLMQ_NAMED(llmq_hessian_merge)
#define llmq_hessian_transform_work_size LLMQ_NAMED(llmq_hessian_transform_work_size)
#define llmq_hessian_transform LLMQ_NAMED(llmq_hessian_transform)
#define llmq_attention_work_size LLMQ_NAMED(llmq_attention_work_size)
#define llmq_attention_traces LLMQ_NAMED(llmq_attention_traces)
#define llmq_trace_hutchinson LLMQ_NAMED(llmq_trace_hutchinson)
#define llmq_trace_hutchpp LLMQ_NAMED(llmq_trace_hutchpp)
#define llmq_feedback_size LLMQ_NAMED(llmq_feedback_size)
#define llmq_feedback_init LLMQ_NAMED(llmq_feedback_init)
#define llmq_feedback_work_size LLMQ_NAMED(llmq_feedback_work_size)
#define llmq_feedback_encode LLMQ_NAMED(llmq_feedback_encode)
#define llmq_sample_init LLMQ_NAMED(llmq_sample_init)
#define llmq_sample_add LLMQ_NAMED(llmq_sample_add)
#define llmq_peaks LLMQ_NAMED(llmq_peaks)
#define llmq_fit_defaults LLMQ_NAMED(llmq_fit_defaults)
#define llmq_fit_work_size LLMQ_NAMED(llmq_fit_work_size)
#define llmq_transform_fit LLMQ_NAMED(llmq_transform_fit)
#define llmq_transform_foldable LLMQ_NAMED(llmq_transform_foldable)
#define llmq_transform_split LLMQ_NAMED(llmq_transform_split)
#define llmq_transform_fold LLMQ_NAMED(llmq_transform_fold)
#define llmq_transform_cost LLMQ_NAMED(llmq_transform_cost)
#define llmq_allocate LLMQ_NAMED(llmq_allocate)
#define llmq_bundle_open LLMQ_NAMED(llmq_bundle_open)
#define llmq_bundle_verify LLMQ_NAMED(llmq_bundle_verify)
#define llmq_bundle_at LLMQ_NAMED(llmq_bundle_at)
#define llmq_bundle_find LLMQ_NAMED(llmq_bundle_find)
#define llmq_bundle_tensor LLMQ_NAMED(llmq_bundle_tensor)
#define llmq_bundle_value LLMQ_NAMED(llmq_bundle_value)
#define llmq_bundle_u32 LLMQ_NAMED(llmq_bundle_u32)
#define llmq_transform_store LLMQ_NAMED(llmq_transform_store)
#define llmq_grid_store LLMQ_NAMED(llmq_grid_store)
#define llmq_bundle_size LLMQ_NAMED(llmq_bundle_size)
#define llmq_bundle_write LLMQ_NAMED(llmq_bundle_write)
#define llmq_bundle_write_memory LLMQ_NAMED(llmq_bundle_write_memory)
#define llmq_kernels_at LLMQ_NAMED(llmq_kernels_at)
#define llmq_kernels_best LLMQ_NAMED(llmq_kernels_best)
#define llmq_kernels_test LLMQ_NAMED(llmq_kernels_test)
#if defined(_MSC_VER) /* there the linker compares also what files say that call nothing */
#define LLMQ_TEXT__(number) #number
#define LLMQ_TEXT_(number) LLMQ_TEXT__(number)
#pragma detect_mismatch("LLMQ_MAX_STEPS", LLMQ_TEXT_(LLMQ_STEPS_NUMERAL))
#pragma detect_mismatch("LLMQ_VERSION_MAJOR", LLMQ_TEXT_(LLMQ_VERSION_MAJOR))
#pragma detect_mismatch("LLMQ_VERSION_MINOR", LLMQ_TEXT_(LLMQ_VERSION_MINOR))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Utilities: status codes, half floats, random numbers, memory -------------------------------------------- */

typedef int llmq_status;
#define LLMQ_OK              0
#define LLMQ_E_ARG         (-1)  /* an argument is out of its stated range, NULL, misaligned, or does not fit another */
#define LLMQ_E_LIMIT       (-2)  /* a size is over a limit of this library or does not fit size_t */
#define LLMQ_E_WORKSPACE   (-3)  /* the memory given is smaller than the size query says */
#define LLMQ_E_NOT_FINITE  (-4)  /* a number given, or a result, is NaN or infinite; llmq_error names row and column */
#define LLMQ_E_MISMATCH       (-5)  /* tensor and activation have different transforms, or kinds that do not multiply */
#define LLMQ_E_FULL        (-6)  /* no room for another row */
#define LLMQ_E_STOPPED     (-7)  /* the caller's callback asked to stop */
#define LLMQ_E_NOT_FOUND   (-8)  /* no entry, or no format, of that name and kind */
#define LLMQ_E_TRUNCATED   (-9)  /* the bytes end before the bundle does */
#define LLMQ_E_MAGIC      (-10)  /* not a bundle */
#define LLMQ_E_VERSION    (-11)  /* a bundle of a major version this code does not know */
#define LLMQ_E_CHECKSUM   (-12)  /* the bytes were changed after they were written */
#define LLMQ_E_CORRUPT    (-13)  /* the bundle contradicts itself; llmq_error gives the offset */
#define LLMQ_E_UNSUPPORTED (-14) /* the bundle needs a kind, format or step that this code does not know */
#define LLMQ_E_INEXACT    (-15)  /* this program's arithmetic is not that of section THE SAME BITS EVERYWHERE */
#define LLMQ_E_INDEFINITE (-16)  /* a matrix that has to be positive definite is not; llmq_error names the column */

/* Where an error is: llmq_encode fills in row and col with LLMQ_E_NOT_FINITE, bundle calls the offset, in bytes. */
typedef struct llmq_error {
    llmq_status status;
    uint32_t row, col;
    size_t offset;
} llmq_error;

/* A short English text for a status; "unknown status" for others, "" when built with LLMQ_NO_STRINGS. */
LLMQ_API const char *llmq_status_text(llmq_status status);

/* Conversions between binary32 and binary16 / bfloat16 bits. Widening is exact. Narrowing rounds to nearest, ties to
   even; overflow gives infinity; subnormals and signed zeros are kept; NaN stays NaN (quiet, upper payload kept). */
LLMQ_API float    llmq_f16_to_f32(uint16_t bits);
LLMQ_API uint16_t llmq_f32_to_f16(float x);
LLMQ_API float    llmq_bf16_to_f32(uint16_t bits);
LLMQ_API uint16_t llmq_f32_to_bf16(float x);

/* 32 random bits as a function of seed and counter: the same everywhere, in any order, no state.
       mix(h):  h = (h ^ h >> 16) * 85ebca6b;  h = (h ^ h >> 13) * c2b2ae35;  h ^ h >> 16       (hexadecimal, mod 2^32)
       random = mix(mix(seed + 9e3779b9) ^ counter * 9e3779b1) */
LLMQ_API uint32_t llmq_random(uint32_t seed, uint32_t counter);

/* ---- 2. Kernels ----------------------------------------------------------------------------------------------------

   The inner loops, as one constant table of functions for each instruction set. Table 0 is scalar and the specification;
   llmq_simd.h, if it is there, adds those below, each behind a macro of its own. All give the same bits: a table is a
   choice of speed. There is no hidden state: llmq_tensor_init writes the best table for this processor into the tensor,
   where the caller can read its name or put another; activations and the encoder take the tensor's.

   name        bit of features        name        bit             name   bit
   ssse3       SSSE3                  neon        NEON            dsp    DSP    Cortex-M4 and others with SMLAD
   avx2        AVX2 (with FMA)        neondot     + DOTPROD       mve    MVE    Helium (integer and float)
   avx2vnni    + AVXVNNI              neoni8mm    + I8MM          wasm   WASM   SIMD128
   avx512vnni  + AVX512 (F BW DQ VL   avx512vbmi  + VBMI          rvv    RVV    V 1.0, any VLEN
                 and VNNI)
   Functions do not check arguments: they are for this library, for tests and for measuring. The struct is the same in all
   configurations; what one leaves out is NULL: signs to paley with LLMQ_MAX_STEPS 0, nearest and viterbi with LLMQ_NO_ENCODER,
   viterbi without trellises, add_products with LLMQ_NO_CALIBRATION. */
#define LLMQ_CPU_SSSE3   0x0001u
#define LLMQ_CPU_AVX2    0x0002u
#define LLMQ_CPU_AVXVNNI 0x0004u
#define LLMQ_CPU_AVX512  0x0008u
#define LLMQ_CPU_VBMI    0x0010u
#define LLMQ_CPU_NEON    0x0020u
#define LLMQ_CPU_DOTPROD 0x0040u
#define LLMQ_CPU_I8MM    0x0080u /* AArch64 only */
#define LLMQ_CPU_DSP     0x0100u
#define LLMQ_CPU_MVE     0x0200u
#define LLMQ_CPU_WASM    0x0400u
#define LLMQ_CPU_RVV     0x0800u

typedef struct llmq_tensor llmq_tensor;          /* section 7 */
typedef struct llmq_activation llmq_activation;  /* section 8 */

typedef struct llmq_kernels {
    const char *name;
    uint32_t features;  /* all of these LLMQ_CPU_... bits are needed */
    /* v_j <- -v_j where bit j % 32 of llmq_random(seed, j / 32) is set, j < n */
    void (*signs)(float *v, uint32_t n, uint32_t seed);
    /* butterflies at distance 1, 2, 4 ... over n = 2^k numbers, then x_j <- x_j * norm */
    void (*butterflies)(float *x, uint32_t n, float norm);
    /* the dense step of a block with an odd factor, for `lanes` of its positions (section 3); work: m * lanes numbers */
    void (*paley)(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares, float *work);
    /* codes -levels ... levels of n numbers with one scale, which is returned (section 8) */
    float (*quantize)(const float *x, uint32_t n, float levels, int8_t *q);
    /* out = stored row r; and out += weight[r] * stored row r for rows [r0, r1), in order */
    void (*read_row)(const llmq_tensor *t, uint32_t r, float *out);
    void (*add_rows)(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out);
    /* products of rows [r0, r1), as llmq_matmul, of int8 and of float activations */
    void (*rows_i8)(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y, size_t y_stride);
    void (*rows_f32)(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y, size_t y_stride);
    /* out_j += scale * v_j, j < n: raw rows */
    void (*add_scaled)(float *out, float scale, const float *v, uint32_t n);
    /* code of the nearest of n points (p coordinates each, sorted by the first) for each of count vectors x * inverse */
    void (*nearest)(const float *points, uint32_t n, uint32_t p, const float *x, float inverse, uint32_t count, uint16_t *code);
    /* Viterbi's algorithm for up to 16 sequences of `steps` numbers side by side, x[step][16]; lanes that are not in use hold
       0. Each step, a set s of the points (s, s + sets, ... below raw * sets) costs the least (x - point)^2 in it;
       state q is reached from q / 2 and from q / 2 + states / 2, at the cost of sets parity[q] and parity[q + states]; of the two sums the
       first is kept unless the second is less, which sets bit `lane` of choice[step][q]. sum[state][16]: before, and after;
       2 * states + sets rows of 16 in all. Of lanes that are not in use, sums and choices may be anything afterwards: nothing reads them. */
    void (*viterbi)(const float *points, const uint8_t *parity, uint32_t set_size, uint32_t sets, uint32_t states, const float *x,
                    uint32_t steps, uint32_t lanes, float *sum, uint16_t *choice);
    /* out[i][k] += a[i][t * a_step] * v[t * v_stride + k], for i < rows <= 8, k < n, and t = 0 ... count - 1 in this order. Every
       factor has 12 significant bits (section 15), so each product is exact and may be fused with its addition. The rows of
       out are apart, from each other and from a and v. */
    void (*add_products)(float *const *out, const float *const *a, size_t a_step, const float *v, size_t v_stride, uint32_t rows,
                         uint32_t count, uint32_t n);
} llmq_kernels;

/* Table i, from slow to fast: 0 is scalar, NULL is past the last one compiled in. Not all need run on this processor. */
LLMQ_API const llmq_kernels *llmq_kernels_at(uint32_t i);

/* The instruction sets that this program may use: LLMQ_CPU_FEATURES. On x86 those that the processor has (CPUID) and whose
   registers the operating system saves (XGETBV); elsewhere those that the compiler was told of. Table k can run if
   (k->features & ~llmq_cpu_features()) == 0. A pure function: ask once and keep the answer. */
LLMQ_API uint32_t llmq_cpu_features(void);

/* The last table that can run here. */
LLMQ_API const llmq_kernels *llmq_kernels_best(void);

/* ---- 3. Hadamard ---------------------------------------------------------------------------------------------------

   x <- H x in place, H orthonormal and symmetric, so that H H = I: applying it twice returns x to rounding.

   Any length n >= 1 is cut into blocks, H is block-diagonal:
     while numbers remain: if the remaining count r <= max_block is an order, it is one block; else the block is the
     largest power of two <= min(r, max_block).
   An order is m 2^k with m = 1, or the smallest m = 4 odd 2^a <= 128 that Paley's construction gives over a prime
   field [R3]: m - 1 prime (type I), or m/2 - 1 a prime = 1 mod 4 (type II). These m are 12 20 28 36 44 60 68 76 84 104
   108 124. So 172 = 128 + 44, 576 = 36 x 16 in one block, 11008 = 10 x 1024 + 768.
   The Paley matrix, rows and columns from 0, chi the Legendre symbol, entries mod q:
     type I   q = m - 1:      row 0 and column 0 are +; else chi(i - 1 + j - 1), and - where that sum is 0 mod q.
     type II  q = m / 2 - 1:  2 x 2 blocks (a, b): a = b: [[+ -][- -]]; else [[+ +][+ -]] times chi(a - b), which counts as
              + where a or b is 0.

   Order of operations (part of the specification): a block of m 2^k is m runs of 2^k numbers; each run gets butterflies
   (a + b, a - b) at distance 1, 2, 4 ...; then for each position j of a run, the m numbers at j are multiplied by the
   Paley matrix, terms added in ascending order; at last everything is multiplied by 1 / sqrt(m 2^k).
   A NaN or infinity makes its whole block NaN or infinite. */
#if LLMQ_MAX_STEPS > 0
#define LLMQ_DEFAULT_BLOCK 1024

/* Length of the first block that n numbers are cut into; max_block a power of two <= 32768, 0 for the default.
   0 if n is 0 or max_block is not allowed. */
LLMQ_API size_t llmq_hadamard_block(size_t n, size_t max_block);

/* Bytes of workspace for llmq_hadamard: 0 if all blocks are powers of two, never over 4 min(n, max_block). */
LLMQ_API size_t llmq_hadamard_work_size(size_t n, size_t max_block);

/* Apply it. work: NULL or aligned for float. kernels: NULL for the scalar ones; they do not change a bit (section 2).
   Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE. Cost: log2(2^k) + m additions and a multiplication a number. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hadamard(float *x, size_t n, size_t max_block, void *work, size_t work_size,
                                                  const llmq_kernels *kernels);
#endif

/* ---- 4. Transform --------------------------------------------------------------------------------------------------

   A list of steps, T = T_k ... T_1, that changes the basis of a layer's input. Tensors that read the same input (q, k
   and v; gate and up) share it. y = W x = (W T^-1)(T x): activations are stored as T x, rows of W as T^-T w.
   kind                  block    arg       data                  T x
   LLMQ_STEP_HADAMARD    largest  seed      -                     x_j <- s_j x_j with s_j = -1 where bit j % 32 of
                                                                  llmq_random(seed, j / 32) is set; then the Hadamard transform
   LLMQ_STEP_SMOOTH      0        cols      f32[cols], d > 0      x_j <- x_j / d_j; rows of W get w_j d_j (SmoothQuant, [R12])
   LLMQ_STEP_PERMUTE     0        cols      u16[cols], cols <= 65536   x_j <- x_(p_j), p a permutation of 0 ... cols - 1
   LLMQ_STEP_ROTATE      B        matrices  f32[matrices][B][B]   runs of B numbers: x_i <- sum_k r_ki x_k, terms in order of k;
                                                                  B = 2, 4 ... 256; one orthogonal matrix r for all runs or one for
                                                                  each of cols / B; what is left of cols stays as it is [R13]
   The signs of the first matter: without them a row with a mean of 1 sigma piles sqrt(n) sigma on one coefficient, and its error
   grows fivefold. Data of all steps stand one after the other, in the order of the steps, little-endian, at any address. */
#if LLMQ_MAX_STEPS > 0
#define LLMQ_STEP_HADAMARD 1
#define LLMQ_STEP_SMOOTH   2
#define LLMQ_STEP_PERMUTE  3
#define LLMQ_STEP_ROTATE   4

typedef struct llmq_step {
    uint16_t kind;   /* LLMQ_STEP_... */
    uint16_t block;  /* HADAMARD: largest block, a power of two <= 32768; ROTATE: B */
    uint32_t arg;
} llmq_step;

typedef struct llmq_transform {
    uint32_t count;  /* steps in use; 0: the identity */
    llmq_step step[LLMQ_MAX_STEPS];
    const uint8_t *data;  /* of the steps that have some; must outlive the transform and its copies */
} llmq_transform;

/* Bytes of a step's data; 0 if it has none or its block or arg is impossible. */
LLMQ_API size_t llmq_step_data_size(const llmq_step *step);

/* Are the steps and their data right for vectors of cols numbers: permutations that are some, d normal and positive, rows of
   rotations of length 1 (squared within 1/16; that they are orthogonal is not looked at)? A bundle's are, after
   llmq_bundle_open; a program that makes its own may ask here, for llmq_transform_apply does not look. Errors: LLMQ_E_ARG,
   LLMQ_E_LIMIT, LLMQ_E_UNSUPPORTED. Cost: linear, and cols^2 / 1024 for a permutation. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_verify(const llmq_transform *t, uint32_t cols);

/* One LLMQ_STEP_HADAMARD; max_block 0 for the default. An impossible max_block is reported by the first use. */
LLMQ_API llmq_transform llmq_transform_hadamard(uint32_t seed, uint32_t max_block);
#else
typedef struct llmq_transform {
    uint32_t count;  /* 0: the identity, the only one */
} llmq_transform;
#endif

/* What llmq_transform_apply computes from a vector v of cols numbers. */
#define LLMQ_TO_ACTIVATION 0  /* T v:    an activation into the basis of the tensor */
#define LLMQ_TO_WEIGHT     1  /* T^-T v: a row of W into the basis of the tensor */
#define LLMQ_FROM_WEIGHT   2  /* T^T v:  a stored row, or a sum of stored rows, back into the basis of W */

/* Bytes of workspace for llmq_transform_apply at this length. */
LLMQ_API size_t llmq_transform_work_size(const llmq_transform *t, uint32_t cols);

/* v <- one of the above, in place. t may be NULL (identity), and so may kernels (scalar). Errors: LLMQ_E_ARG (also: steps of
   other cols), LLMQ_E_WORKSPACE; LLMQ_E_LIMIT for more than LLMQ_MAX_STEPS steps, LLMQ_E_UNSUPPORTED for an unknown kind of step. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_apply(const llmq_transform *t, int direction, float *v, uint32_t cols,
                                                         void *work, size_t work_size, const llmq_kernels *kernels);

/* ---- 5. Tables: the built-in grids and trellises -------------------------------------------------------------------

   How a row of numbers becomes bytes. A grid format replaces p consecutive numbers of a group by the index of a point:
       number = scale * point coordinate,   point coordinates int8, scale bfloat16, one per group.
   Points are sorted by their first coordinate; all built-in grids are made by tests/gen/grids.py.

   name     bits a weight   p    n     relative MSE on N(0,1), published or computed elsewhere
   f32 f16 bf16  32 16 16   raw numbers, no groups
   g2 g3 g4      2 3 4      1    2^b   0.1175 0.03455 0.00950   Lloyd-Max [R2]
   g5 g6         5 6        1    2^b   0.00252 0.00066          Lloyd-Max on int8 points
   g8            8          1    256   8.8e-5                   uniform: the int8 numbers themselves
   v2n16         2          2    16    0.1075                   vector grids [R1]
   v2n64         3          2    64    0.0296
   v2n256        4          2    256   0.00775
   v3n64         2          3    64    0.1011
   v3n512        3          3    512   0.0271
   v4n256        2          4    256   0.0959
   u4 u6 u8      4 6 8      1    16 64 255  0.01154 0.00104 8.8e-5   uniform, with a zero point for each group
   t1 t2 t3 t4   1 2 3 4    -    16 16 32 64     trellises of 64 states, found and trained by tests/gen/trellis.c
   t2s t3s t4s   2 3 4      -    32 64 128       and of 256
   `make distortion` measures them. Any other (p, n) comes from llmq_grid_train.

   TRELLISES. A code of b bits is one of 2^b points, but which 2^b depends on the codes above it in its column: the last bits of a point's
   index are one to four parities of the lowest bits of codes in the rows above,
       index = (code / 2) 2^k + sum of parity_i 2^i over i < k,    parity_i = XOR over the l in taps[i] of (code l rows above) mod 2
   with lag l = 0 for the code itself. So a column is a sequence that a finite state machine reads, and the encoder chooses among all
   sequences the nearest (Viterbi's algorithm). This is trellis coded quantization [R18] with trained tables of two to eight times the
   points of a grid. Relative MSE on N(0,1), and dB above the least that b bits allow, 4^-b; groups of 1024:
       t2 0.0750 0.8    t3 0.0199 1.0    t4 0.0051 1.2    t2s 0.0712 0.6    t3s 0.0185 0.7    t4s 0.0047 0.8    t1 0.282 0.5
       g2 0.1172 2.7    g3 0.0340 3.4    g4 0.0092 3.7    v4n256 0.0956 1.9    v2n256 0.0074 2.8;    QTIP, 2^16 states, 2 bits: 0.4 [R19]
   Rows are cut into rings of LLMQ_TRELLIS_BLOCK = 128, the last of 128 to 255 (or fewer, if that are all); above the first row of a ring is its
   last, so no row is special and no bits are spent on beginnings.
   Why down the columns. Rows decode with XORs of whole words of earlier records, byte for byte, for any vector width, with no shift
   between lanes; groups, scales, row ranges and the rest are as with grids; a matrix of few columns is no worse; and error feedback, which
   goes from column to column, is exact (section 16). Along a row, a vector would have to hold lanes a segment apart, which rows of a few
   hundred columns do not fill. The price: rows are encoded a ring at a time, and cannot be appended one by one (KV caches take grids).

   u4, u6 and u8 are what most programs call 4-bit round-to-nearest: number = scale * (code - zero), where 0 is one of the numbers.
   They are here to be compared with, and to hold weights that others have rounded so: the grids above are better (0.0095 against
   0.0115), and need no zero points. Their points are code - 2^(b-1), and products add (2^(b-1) - zero) * scale * sum of x' for each group.
   Zeros are any bytes, 0 ... 255, whatever b. u8 has no point of -128, so that code 0, which is not written, is another 1.

   Why the scale is a bfloat16 and not a binary16: it has the range of a float, so that weights of 1e30 and of 1e-30 need
   no second scale; its conversion is a shift on every processor; it never becomes subnormal. Its 8 bits of precision
   cost nothing, because the codes are chosen for the scale as stored, and the error of a grid is flat at its optimum.

   Rows are records of bytes, as section 6 says. */

/* ---- 6. Format and row layout --------------------------------------------------------------------------------------

   ROW RECORD, to the byte. A tensor is `rows` records of llmq_row_size bytes, one after the other, no padding.
     raw      cols numbers, little-endian.
     grid, trellis   first the scales: ceil(cols / group) bfloat16, little-endian, group 0 meaning the whole row.
              Then the codes, b bits each; of a grid b = ceil(log2 n). Each group starts a new vector of p numbers: a group of L
              columns has ceil(L / p) codes, the last one may stand for fewer than p numbers. u4, u6, u8: last the zeros of the groups, a
              byte each. Codes are numbered
              through the row and stored in units of M = 128, fewer in the last. A unit is planes, one after the other: b is
              cut into widths 8, 8, ..., 4, 2, 1, widest first, the first plane holding the lowest bits. A plane of width f
              is u = ceil(f M / 8) bytes, and code k of the unit is in its byte k mod u, at bit f (k div u), counted from
              the least significant. With b = 3, M codes are stored as H = ceil(M / 2) numbers of 6 bits,
              c_k + 8 c_(k + H) with 0 for what is not there, in the same way.
     Codes of a trellis: the same with M = 256, and codes of 3 bits as planes of 2 and 1 (no pairs), so that the lowest bits of all
     codes are in the first plane.
     So byte loads are enough, and a row is read once from front to back. Any 16 neighbouring codes from a multiple of 16 on
     are 16 neighbouring bytes in each plane, in one bit field, next to the 16 neighbouring activations that they meet:
     vectors of 16, 32 and 64 bytes need no shuffle. Pairs of 3-bit codes cost a table lookup of 64 entries two shifts
     fewer than planes of 2 and 1 bits.

   Why rows are not interleaved. With 8 or 16 rows to a block, a vector lane is a row and its sums need no reduction: in a
   prototype AVX-512 streamed such blocks of 4 bits from a level-2 cache 1.5 times as fast, AVX2 1.1 times. From memory it
   made no difference (94 % of the read bandwidth both ways, once a core reads several distant rows at a time, as the
   kernels do), and rows could no longer be appended, split, sharded, or read by a microcontroller one at a time.
   A record needs no alignment, and any bits in it are safe to decode. */
typedef struct llmq_format {
    const char *name;       /* built-in name, or "custom" */
    const int8_t *points;   /* 2^bits points of p coordinates, the first n sorted; NULL: raw */
    float unit;             /* point coordinates of a standard deviation of 1 */
    uint32_t id;            /* what a bundle stores */
    uint32_t bits;          /* of a code, or of a raw number */
    uint32_t p, n;
    uint32_t group;         /* columns a scale; 0: the row */
    uint32_t zero_points;         /* 1: a group has a zero point too */
    uint16_t taps[4];       /* of a trellis: bit l of taps[i] is set if the code l rows above has a part in parity i, l <= 10; those of
                               no parity come last and are 0; not all are of the row alone (1). A grid: all 0. Vector kernels know the
                               taps of the built-in trellises; others are worked on by the scalar ones */
} llmq_format;

#define LLMQ_TRELLIS_BLOCK 128u           /* rows of a trellis that hang together */
#define LLMQ_FORMAT_CUSTOM 257u  /* id of a grid that is not built in */
#define LLMQ_MAX_COLS UINT32_C(16777216)

/* Built-in format number i of those that are kept (LLMQ_FORMATS), with group 128, for menus; LLMQ_E_NOT_FOUND past the end. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_format_at(llmq_format *f, uint32_t i);

/* Built-in format by name; group as above (ignored by raw formats). Errors: LLMQ_E_NOT_FOUND, LLMQ_E_ARG (group). */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_format_find(llmq_format *f, const char *name, uint32_t group);

/* A format of the caller's points, which must outlive it: n points of p coordinates, sorted by the first, and behind them any
   others up to 2^ceil(log2 n) points, so that every code has a point; the encoder uses none of those. unit: 2^-100 ... 2^100.
   Errors: LLMQ_E_ARG (also: points that are not sorted). Cost: linear in n. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_format_custom(llmq_format *f, uint32_t p, uint32_t n, const int8_t *points, float unit,
                                                       uint32_t group);

/* Bytes of one row record; 0 if the format is not valid or cols is 0 or over LLMQ_MAX_COLS. */
LLMQ_API size_t llmq_row_size(const llmq_format *f, uint32_t cols);

/* ---- 7. Tensor -----------------------------------------------------------------------------------------------------

   A view: it owns nothing and may be copied. Row r is the record at data + r * row_size. */
struct llmq_tensor {
    llmq_format format;
    llmq_transform transform;  /* of the input that the rows are multiplied with */
    uint32_t rows, cols;
    size_t row_size;
    const uint8_t *data;
    const llmq_kernels *kernels;  /* what works on it: LLMQ_KERNELS, or what the caller puts here; NULL: scalar */
};

/* Describe rows x cols numbers at data. transform NULL: none. rows may be 0 (to be appended to). size >= rows * row_size
   bytes is checked. Asks for the best kernels of the processor, which on x86 takes microseconds on some virtual machines:
   keep the view rather than make it anew for every product. Errors: LLMQ_E_ARG, LLMQ_E_LIMIT (cols), LLMQ_E_WORKSPACE (size), and those of the transform's steps. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_tensor_init(llmq_tensor *t, const llmq_format *f, const llmq_transform *transform,
                                                     uint32_t rows, uint32_t cols, const void *data, size_t size);

/* Bytes that rows x cols take; 0 on an invalid format or shape or overflow. */
LLMQ_API size_t llmq_tensor_size(const llmq_format *f, uint32_t rows, uint32_t cols);

/* The first row of the ring that row r of a trellis is in; r itself in other formats. */
LLMQ_API uint32_t llmq_trellis_block_start(const llmq_tensor *t, uint32_t r);

/* out[cols] = row r of W, in the basis of W. work: llmq_transform_work_size. Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_tensor_decode(const llmq_tensor *t, uint32_t row, float *out, void *work,
                                                       size_t work_size);

/* ---- 8. Activation -------------------------------------------------------------------------------------------------

   A vector made ready for products: transformed, and either kept in float or quantized to b bits, stored as int8:
       in each group: scale = m / L,  q = x' * (L / m) rounded to nearest, ties to even,  m = max|x'|,  L = 2^(b-1) - 1.
   A group whose max|x'| is below 2^-100 is zero; one that holds a NaN or infinity has scale NaN, and so are all products.
   All tensors with the same transform and cols can use one activation, whatever their formats. */
struct llmq_activation {
    uint32_t cols, group;      /* group: columns that share a scale */
    llmq_transform transform;  /* that was applied */
    const float *x;            /* transformed numbers; valid for bits = 32 */
    const int8_t *q;           /* bits < 32: codes -127 ... 127; else NULL */
    const int8_t *offset;       /* to be added to q, if codes need 9 bits (below); else NULL */
    const float *scale;        /* bits < 32: ceil(cols / group) scales */
};

/* Bytes of memory for an activation of t; 0 if bits is neither 2 ... 8 nor 32. */
LLMQ_API size_t llmq_activation_size(const llmq_tensor *t, uint32_t bits);

/* Make x[cols] ready for t and all tensors that share its transform. bits: 8 (2 ... 8), or 32 for the float path. mem, aligned for
   float, must live as long as *a. Groups are those of t, 128 where t has none or longer than 1024 (so that the integer
   sum of a group stays below 2^24: 127 * 128 * 1024 = 16,646,144). Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE.
   Cost: the transform, and about three operations a number. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_activation_prepare(llmq_activation *a, const llmq_tensor *t, uint32_t bits, const float *x,
                                                            void *mem, size_t mem_size);

/* Other ways to choose scales and codes; llmq_activation_prepare is { bits, 0, LLMQ_SCALES_GROUP, 1 }.
   asymmetric  low = clip min(0, min x'), high = clip max(0, max x'), scale = high / N - low / N with N = 2^b - 1 steps (254 of 8 bits),
               z = -low * (1 / scale) and q = x' * (1 / scale), rounded, q limited to -z ... N - z. The zero point is taken off
               where the codes are made, so products need no correction: their integers are exact as they are. At 8 bits q may not
               fit int8: it is then kept as a sum, q + shift, shift = 127 - z the same for a group, and a product is the product with
               q plus the product with the shifts, which takes twice as long.
   clip        symmetric, too: m = clip max|x'|, codes limited to -L ... L. Zero is a group whose m, or -low and high, are below 2^-100.
   scales      TOKEN: m, or low and high, of the whole vector. BATCH: Rotated Runtime Smooth [R15]: with s_g = max|x'| of group g
               over all vectors of the call (finite numbers only; a group with s_g below 2^-100 is zero), the same of x' / s_g; the
               scale of a group is s_g times one for the vector (zero below 2^-126), which is what hardware without scales for
               groups can do, and q = x' * (I * (1 / s_g)), where I is the L / m or 1 / scale of the vector. GROUP is never less
               precise, and takes a pass less here. A NaN or infinity makes all scales of its vector NaN with both, and only those. */
#define LLMQ_SCALES_GROUP 0
#define LLMQ_SCALES_TOKEN 1
#define LLMQ_SCALES_BATCH 2

typedef struct llmq_activation_options {
    uint32_t bits;   /* 2 ... 8 */
    int asymmetric;  /* 0 or 1 */
    int scales;      /* LLMQ_SCALES_... */
    float clip;      /* above 0, up to 1 */
} llmq_activation_options;

#if !LLMQ_NO_ACTIVATION_OPTIONS
/* What is good for so many bits: 8 as llmq_activation_prepare, fewer asymmetric, up to 4 with clip 0.95. (KL of the shipped model with
   weights in g4, activations of 4 bits: symmetric 0.135, asymmetric 0.106, with clip 0.95 0.101, 0.9 0.109; one scale a token 0.131.) */
LLMQ_API llmq_activation_options llmq_activation_defaults(uint32_t bits);

/* Bytes of memory for count activations; 0 if count is 0, for options that are out of range, or if it does not fit. */
LLMQ_API size_t llmq_activations_size(const llmq_tensor *t, const llmq_activation_options *o, uint32_t count);

/* llmq_activation_prepare for count vectors, x[i * stride ...], with options. Errors and cost: as there, or twice the cost. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_activations_prepare(llmq_activation *a, const llmq_tensor *t, const llmq_activation_options *o,
                                                             uint32_t count, const float *x, size_t stride, void *mem, size_t mem_size);
#endif

/* ---- 9. Products ------------------------------------------------------------------------------------------------ */

/* Products with rows [r0, r1) of W: y[i * y_stride + r] = <row r of W, x_i>, for count activations; y is where row 0 goes, whatever r0
   is, so that parts of the rows fill one vector. Each row is decoded
   once for up to eight activations. Raw tensors need float activations.
     int8:   y = sum over runs, in order, of  float(S) * (scale_x * scale_w),  S = sum of q * point, exact; a run is a
             longest stretch of columns in which neither scale changes.
     float:  y = sum over groups of the tensor, in order, of  D * scale_w,  D = sum of x' * point in 16 interleaved
             partial sums (column j of the group goes to sum j mod 16), added pairwise: i and i + 8, then 4, 2, 1.
     zeros:  then y = y + X * o for each group of the tensor, in order, o = (2^(b-1) - zero) * scale_w, X the sum of its x': the sum
             over runs, in order, of float(sum of q + shift) * scale_x; or of its floats, as D.
     shifts: last the int8 formula once more, of shift in the place of q.
   Errors: LLMQ_E_ARG (range, cols), LLMQ_E_MISMATCH. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_matmul(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0,
                                                uint32_t r1, float *y, size_t y_stride);

/* The same for one activation: y[r] for r in [r0, r1), y being where row 0 goes. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_matvec(const llmq_tensor *t, const llmq_activation *x, uint32_t r0, uint32_t r1, float *y);

/* Transposed product: out[cols] = sum over r in [r0, r1) of weight[r] * row r of W, rows in order, in the basis of W.
   For V caches: weight are the attention probabilities, weight[0] that of row 0, whatever r0 is. work: llmq_transform_work_size.
   Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_matvec_transposed(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1,
                                                           float *out, void *work, size_t work_size);

/* LLMQ_OK if this program computes what the promise of equal bits needs, else LLMQ_E_INEXACT: probes contraction of a*b+c, excess
   precision, subnormal numbers, the rounding mode, other orders of sums, reciprocals for divisions, signed zeros and NaN; and then
   the kernels that new tensors get, LLMQ_KERNELS, by llmq_kernels_test. Call it once. Cost: 0.1 ms with vector kernels, 1 ms with the scalar ones;
   less with fewer formats. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_selftest(void);

/* LLMQ_OK if rows_i8, rows_f32 and read_row of this table (NULL: scalar) give the known answers for a few records of each built-in
   format that is kept, else LLMQ_E_INEXACT: a compiler has made something else of them. Only for a table that can run here. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_kernels_test(const llmq_kernels *k);

/* ---- 10. Bundle: reading -------------------------------------------------------------------------------------------

   A bundle is a .llmq file, or the same bytes in flash. It holds named tensors, transforms, grids
   and values. All integers and floats are little-endian. The bytes need no alignment. Opening a
   bundle costs one pass over its directory, and nothing is copied.

   offset  bytes  HEADER
        0      8  "LLMQ" 0D 0A 1A 0A (damaged by any text-mode transfer)
        8      2  major version, 1
       10      2  minor version, 0; readers accept higher ones
       12      4  CRC-32 of the bytes from 16 to the end of the names
       16      8  total size in bytes; bytes after it in a file do not belong to the bundle
       24      4  CRC-32 of the bytes from the first multiple of 64 at or after the end of the names
                  to the total size
       28      4  number of entries, E
       32      4  bytes of names
       36     28  0
       64   64 E  DIRECTORY: one entry each, sorted by name (bytewise), no name twice
                  0   2  kind: 1 tensor, 2 transform, 3 grid, 4 value
                  2   2  flags; bit 0: a reader that does not know the kind must refuse the bundle,
                         otherwise it skips the entry. This writer sets the bit on all entries.
                         The other bits are written as 0 and ignored
                  4   4  offset of the name in the names
                  8   4  bytes of the name, 1 ... 255; it is followed by a 0 and holds no byte below
                         32, nor 127
                 12   4  tensor: format id; value: type 0 bytes, 1 text, 2 u32, 3 f32; else 0
                 16   8  offset of the payload from the start of the bundle, a multiple of 64
                 24   8  bytes of the payload; payloads stand in the order of the directory and do
                         not overlap
                 32   4  tensor: rows             36  4  tensor: cols
                 40   4  tensor: group            44  4  tensor: index of its transform's entry + 1,
                                                         or 0
                 48   4  tensor: index of its grid's entry + 1, or 0
                 52   4  tensor: t^2 = |W - W'|^2 / |W|^2 as f32, negative if it was not measured
                 56   8  0
       ...        NAMES, then PAYLOADS; after the names and after each payload zeros to a multiple
                  of 64. Payloads are:
                  tensor: rows records (section 6).  value: its bytes.
                  transform: u32 steps; each step u16 kind, u16 block, u32 arg; then the data of the
                  steps.
                  grid: u32 p, u32 n, f32 unit, then 2^ceil(log2 n) points of p int8, the first n
                  sorted by their first coordinate.
   The CRC-32 is the one of IEEE 802.3: polynomial 04C11DB7, bits reflected, register and result
   inverted; the nine bytes "123456789" give CBF43926. */
#if !LLMQ_NO_BUNDLE
#define LLMQ_KIND_TENSOR    1u
#define LLMQ_KIND_TRANSFORM 2u
#define LLMQ_KIND_GRID      3u
#define LLMQ_KIND_VALUE     4u

#define LLMQ_VALUE_BYTES 0u
#define LLMQ_VALUE_TEXT  1u
#define LLMQ_VALUE_U32   2u
#define LLMQ_VALUE_F32   3u

/* One entry: llmq_bundle_at fills it, llmq_bundle_write takes it.
   Members that a kind does not have are 0 or NULL. A reader's pointers lead into the bundle. */
typedef struct llmq_entry {
    const char *name;       /* 1 ... 255 bytes, then a 0 */
    uint32_t kind;          /* LLMQ_KIND_...; others only in files that are newer than this reader */
    uint32_t type;          /* value: LLMQ_VALUE_... */
    const void *data;       /* payload, any alignment */
    size_t size;            /* bytes of payload */
    llmq_format format;     /* tensor */
    uint32_t rows, cols;    /* tensor */
    float t2;               /* tensor: t^2 = |W - W'|^2 / |W|^2, negative if it was not measured */
    const char *transform;  /* tensor: name of its transform's entry, NULL for none */
    const char *grid;       /* tensor: name of its grid's entry, NULL for built-in formats */
} llmq_entry;

/* A view of an open bundle: it owns nothing and may be copied. */
typedef struct llmq_bundle {
    const uint8_t *bytes;   /* the first byte of the header */
    size_t size;            /* total size in bytes, as the header states it */
    uint32_t count;         /* entries */
} llmq_bundle;

/* Checks bytes[0, size) and makes a view of them. After LLMQ_OK every call below is safe on them.
   bytes: any alignment; they must outlive *b and all that is taken from it.
   size: bytes that may be read; more than the total size is allowed.
   error: NULL allowed; on failure status, and offset: the byte where the check failed.
   On failure *b is unchanged. Errors:
     LLMQ_E_ARG          b or bytes is NULL.
     LLMQ_E_MAGIC        The first bytes are not the magic of a bundle.
     LLMQ_E_TRUNCATED    size is below 64, or below the total size.
     LLMQ_E_VERSION      The major version is not 1.
     LLMQ_E_LIMIT        The total size does not fit size_t.
     LLMQ_E_CHECKSUM     The checksum of header and directory does not match.
     LLMQ_E_CORRUPT      Header, directory, a transform or a grid contradicts itself or the others.
     LLMQ_E_UNSUPPORTED  A kind (with flag bit 0), a format or a step is unknown, or a transform has
                         more than LLMQ_MAX_STEPS steps.
   Cost: linear in the directory, transforms and grids. No payload of a tensor or value is read. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_open(llmq_bundle *b, const void *bytes, size_t size, llmq_error *error);

/* Checks the integrity of the payloads: their checksum, and that every scale of every tensor is
   finite and not negative. Safety does not need this.
   error: NULL allowed; on failure status, and offset: the scale, or the first byte of the
   checksum's range.
   Errors:
     LLMQ_E_ARG       b is NULL.
     LLMQ_E_CHECKSUM  The checksum does not match.
     LLMQ_E_CORRUPT   A scale is negative, infinite or NaN.
   Cost: linear in the bundle. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_verify(const llmq_bundle *b, llmq_error *error);

/* Describes entry i. Entries stand in the order of their names.
   i: 0 ... b->count - 1.
   Errors: LLMQ_E_ARG; *e is then unchanged. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_at(const llmq_bundle *b, uint32_t i, llmq_entry *e);

/* Finds the index of the entry of that name.
   Errors: LLMQ_E_ARG (NULL), LLMQ_E_NOT_FOUND; *index is then unchanged.
   Cost: a binary search. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_find(const llmq_bundle *b, const char *name, uint32_t *index);

/* Makes a view of the tensor of that name, with its transform and with kernels LLMQ_KERNELS.
   Errors: LLMQ_E_ARG (NULL), LLMQ_E_NOT_FOUND (also an entry of another kind); *t is then
   unchanged.
   Cost: a binary search, and LLMQ_KERNELS (see llmq_tensor_init): keep the view. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_tensor(const llmq_bundle *b, const char *name, llmq_tensor *t);

/* Finds the value of that name and type.
   *data: a pointer into the bundle, without alignment. *size: bytes there.
   llmq_bundle_u32 loads a value of type LLMQ_VALUE_U32.
   Errors: LLMQ_E_ARG (NULL), LLMQ_E_NOT_FOUND (also an entry of another kind or type); outputs are
   then unchanged.
   Cost: a binary search. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_value(const llmq_bundle *b, const char *name, uint32_t type,
                                                      const void **data, size_t *size);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_u32(const llmq_bundle *b, const char *name, uint32_t *value);

#endif /* LLMQ_NO_BUNDLE */

/* ---- 11. Encoder: rows ---------------------------------------------------------------------------------------------

   The encoder turns rows of W into records. For each row w of a grid format:
     1. The row is divided by a power of two, exactly. No later sum overflows, and 2^k W has the same
        codes as W.
     2. The row is transformed: T^-T w (section 4).
     3. Each group x gets a scale. For each trial scale s, the points c nearest to x / s give a fit:
            gain = <x, c>^2 / <c, c>,   scale = <x, c> / <c, c>
        (least squares: |x - scale c|^2 = |x|^2 - gain). The trials go down and up from rms / unit.
        The scale with the largest gain is rounded to bfloat16.
     4. The codes are chosen once more, for the scale as stored.

   Nearest: the minimum of sum (x_i - c_i)^2, in float, terms in order. Ties go to the lower index.
   A partial vector at the end of a group compares the coordinates that it has. Points are tried
   outwards from the first coordinate of x, until the distance in that coordinate alone is too
   large.

   Limits of scales and values:
     An all-zero group has scale 0.
     A scale below 2^-126 becomes 0; one over the largest bfloat16 becomes the largest bfloat16.
     A value 2^126 times smaller than the largest of its row becomes 0.
     Raw rows are transformed as they are. A value that is infinite after the transform, or in the
     format (from 65520 on in binary16), is LLMQ_E_NOT_FINITE.

   Formats with zero points: low = min(0, min x) and high = max(0, max x) of the group.
     f is the first code and N the number of steps above it: u4 has f = 0, N = 15; u6 f = 0, N = 63;
     u8 f = 1, N = 254.
         scale = (high - low) clip / N, rounded to bfloat16
         zero = f + round(-low clip * (1 / scale))
         code = zero + round(x * (1 / scale))
     Rounding is to nearest, ties to even. Codes and zero points are limited to f ... 2^b - 1. In an
     all-zero group the zero point and all codes are 2^(b-1). */
#if !LLMQ_NO_ENCODER
/* Long jobs call this now and then.
   context: as given with the function. done, total: work done, and work in all.
   Returns 0 to go on; anything else stops the job with LLMQ_E_STOPPED. */
typedef int (*llmq_progress)(void *context, uint32_t done, uint32_t total);

/* How long the encoder searches. */
#define LLMQ_EFFORT_DEFAULT 0  /* 7 to about 15 trial scales in steps of 5 %; trellises: four rounds */
#define LLMQ_EFFORT_FAST    1  /* one, rms / unit, and the fit; for KV caches; trellises: one round */
#define LLMQ_EFFORT_BEST    2  /* all 41 from half to one and a half, in steps of 2.5 %; trellises: eight rounds */

/* All zero: the defaults. */
typedef struct llmq_encode_options {
    int effort;              /* LLMQ_EFFORT_... */
    llmq_progress progress;  /* NULL: none; called after each row with the rows done and the rows of the call */
    void *context;           /* for progress */
    float clip;              /* formats with zero points: the part of a group's range that gets codes,
                                0 ... 1; 0: the part with the smallest error, of 1, 0.95 ... 0.5
                                (FAST: 1; BEST: steps of 0.0125). [R13] takes 0.8 of a whole row */
} llmq_encode_options;
#endif

/* ---- 12. Encoder: trellises and tensors ----------------------------------------------------------------------------

   Trellises are encoded by tail-biting blocks of rows, and in a block by groups of columns:
     1. The scale of each row begins at rms / unit.
     2. A round searches the codes of each column: the path with the smallest sum of
        (x / scale - point)^2 over the rows of the block (Viterbi's algorithm [R20]).
     3. The fit of section 11 then gives each row a scale. The next round uses 2 fit - scale, but at
        least fit / 2. The last fit is stored.
   All rows have the same weight, whatever their scales.
   Measured: with the squares of scales as weights the error is 8 % less, but the KL of a small
   model is 15 % more at 3 and 4 bits.

   A block closes on itself: its first row follows its last. The first round finds the state at its
   start by a search of 8 times the memory on each side of it. Each further round starts half a
   block away from the round before, in the state that was found there. Blocks shorter than 4 times
   the memory try all states. Ties go to the path with the lower state. */
#if !LLMQ_NO_ENCODER
/* Bytes of workspace for llmq_encode and llmq_tensor_append; 0 if t is not valid or if they do not
   fit size_t. */
LLMQ_API size_t llmq_encode_work_size(const llmq_tensor *t);

/* Encodes rows [r0, r1) of W.
   data: t's memory from row 0 on, writable, whatever r0 is.
   r0, r1: r0 <= r1 <= t->rows. Trellises: each is the first row of a block
   (llmq_trellis_block_start) or t->rows.
   w: row r0 of W, the first row to encode; row r is w[(r - r0) * stride ... + cols). So a row or a
   chunk of rows may come from a buffer of its own.
   stride: elements from row to row, at least cols.
   options: NULL for the defaults. Trellises call progress after each block.
   work: llmq_encode_work_size(t) bytes, aligned for float.
   error: NULL allowed.
   Rows in different ranges may be encoded at the same time, with a workspace each.
   Errors; nothing is written with the first two:
     LLMQ_E_ARG         An argument is NULL or out of its range, or data is not t->data.
     LLMQ_E_WORKSPACE   work_size is too small.
     LLMQ_E_NOT_FINITE  error names row and column.
     LLMQ_E_STOPPED     progress asked for it.
   With the last two, earlier rows (blocks) of the range are written, the others are untouched. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1,
                                                const float *w, size_t stride, const llmq_encode_options *options,
                                                void *work, size_t work_size, llmq_error *error);

/* Appends one row to a tensor whose memory has capacity for more, as in a KV cache: encodes it
   after the last row, then counts it.
   data, data_size: t's memory from row 0 on, and all its bytes.
   row: cols values.
   options, work: as for llmq_encode.
   Errors: as llmq_encode; LLMQ_E_FULL (no capacity for another row, or 2^32 - 1 rows); LLMQ_E_ARG
   for trellises, whose blocks are encoded whole. t->rows is then unchanged.

   Appending while others read needs no lock. One thread appends. Any number of threads multiply by
   the rows that are there. Each reader has a copy of the view, made before the first append, and
   sets its `rows` to a count that the writer has published:
       writer   llmq_tensor_append(&t, ...); then store t.rows to a shared count, with release order
       reader   load that count, with acquire order, into copy.rows; then llmq_matvec(&copy, ...) on
                rows [r0, r1) below it
   Append writes the record after the last row and t->rows, and nothing else. A record that is
   counted is never written again. So decoding and all products may run during an append. Not
   allowed then:
     a second append to the same tensor;
     reading the writer's own view, whose count changes;
     encoding rows that a reader may count already (a cache that wraps around and reuses rows needs
     a lock, or readers that have left them);
     moving or freeing the memory.
   tests/test_concurrent.c does this under a thread sanitizer. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_tensor_append(llmq_tensor *t, void *data, size_t data_size, const float *row,
                                                       const llmq_encode_options *options, void *work, size_t work_size);
#endif

/* ---- 13. Grid trainer ------------------------------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER

/* Bytes for the points of a trained grid, and bytes of workspace to train it; 0 if p or n is out of
   range. */
LLMQ_API size_t llmq_grid_size(uint32_t p, uint32_t n);
LLMQ_API size_t llmq_grid_train_work_size(uint32_t p, uint32_t n);

/* The grid to train: p and n must be set, and 0 is the default of all others. */
typedef struct llmq_grid_options {
    uint32_t p;              /* coordinates of a point, 1 ... 8 */
    uint32_t n;              /* points, 2 ... 65536 */
    uint32_t group;          /* columns a scale, as for llmq_format_find; 0: the row */
    uint32_t seed;           /* the same seed gives the same grid everywhere */
    uint32_t samples;        /* in a step; 0: 256 n, but at least 65,536 */
    uint32_t steps;          /* 0: 60 */
    llmq_progress progress;  /* NULL: none; called after each step with the steps done and all steps */
    void *context;           /* for progress */
} llmq_grid_options;

/* Trains an MSE-optimal grid for N(0, I_p): Lloyd's iteration [R2], each step on fresh samples.
   It begins with points drawn from Zador's optimal density (variance (p+2)/p) [R4].
   In the first half of the steps a step is four short ones. Each has a quarter of the samples and
   moves points 1.6 times as far as Lloyd's. The second half averages the results.
   f: the format of the grid, with name "custom"; it refers to points.
   options: not NULL.
   points: llmq_grid_size bytes; they must outlive *f.
   work: llmq_grid_train_work_size bytes, aligned for float.
   Errors; *f and points are then unchanged: LLMQ_E_ARG (NULL, or an option out of its range),
   LLMQ_E_WORKSPACE (points_size or work_size), LLMQ_E_STOPPED.
   Cost: a nearest-point search for every sample and step.
   Measured: with the defaults the MSE is within about 2 % of the built-in grids'. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_grid_train(llmq_format *f, const llmq_grid_options *options, int8_t *points,
                                                    size_t points_size, void *work, size_t work_size);
#endif

/* ---- 14. Bundle: writing ---------------------------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER && !LLMQ_NO_BUNDLE
/* Receives the bytes of a bundle in order.
   context: as given to llmq_bundle_write.
   Returns 0 to go on; anything else stops the writer with LLMQ_E_STOPPED. */
typedef int (*llmq_sink)(void *context, const void *bytes, size_t size);

/* Make the payload of a transform's or a grid's entry from its struct.
   out: any alignment. *size: bytes of memory at out; on success the bytes written.
   Errors; nothing is written:
     LLMQ_E_ARG        An argument is NULL, llmq_transform_verify refuses the data of a step, or the
                       format is raw, of a trellis, or has points that are not sorted.
     LLMQ_E_WORKSPACE  *size is too small.
     The errors of the transform's steps. */
#if LLMQ_MAX_STEPS > 0
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_store(const llmq_transform *t, void *out, size_t *size);
#endif
LLMQ_NODISCARD LLMQ_API llmq_status llmq_grid_store(const llmq_format *f, void *out, size_t *size);

/* Bytes of the bundle of these entries, in any order; 0 if a name is NULL or the bundle would not
   fit size_t. */
LLMQ_API size_t llmq_bundle_size(const llmq_entry *entries, uint32_t count);

/* Writes a bundle. The same entries give the same bytes.
   entries: sorted by name, in place. NULL allowed if count is 0.
   sink: gets the bytes. context: passed on to it.
   Payloads are read twice, for the checksum and then to be sent.
   Entries that llmq_bundle_open or llmq_bundle_verify would refuse are not written, nor a tensor
   whose format a reader would take for another one.
   Errors; nothing is sent with the first two:
     LLMQ_E_ARG      sink or a name is NULL; a name or a kind is not allowed; a name is there twice;
                     a size does not fit the shape; a transform or grid is not among the entries or
                     does not fit the tensor.
     LLMQ_E_LIMIT    The bundle does not fit size_t, or its names end beyond 2^32 - 1 bytes.
     LLMQ_E_STOPPED  sink asked for it. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_write(llmq_entry *entries, uint32_t count, llmq_sink sink,
                                                      void *context);

/* The same into memory of llmq_bundle_size bytes.
   Errors: the same, and LLMQ_E_WORKSPACE; LLMQ_E_ARG if out is NULL. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_write_memory(llmq_entry *entries, uint32_t count, void *out,
                                                             size_t size);
#endif

/* ---- 15. Sensitivity -----------------------------------------------------------------------------------------------

   What a layer's inputs say about its weights. For a linear layer y = W x an error E = W - W' of a row costs, summed over
   tokens t of some text, sum_t w_t (E x_t)^2 = E H E^T with
       H = sum_t w_t x_t x_t^T        (cols x cols, symmetric; [R6], with all w_t = 1)
   so H, or its diagonal alone (sum of squares: what llama.cpp calls an importance matrix), is all that has to be kept of
   the text. Factors are rounded to 12 significant bits: x'_t = round(sqrt(w_t) x_t), H = sum_t x'_t x'_t^T. Their products
   are then exact in a float, which lets every processor use its fused multiply-add without changing a bit, at a relative
   error of 2^-13 in each factor, far below what the choice of the text does. Numbers below 2^-60 count as 0, those above
   2^60 as that. Sums are floats, in the order of the tokens: good for some million tokens; merge longer runs from parts. */
#if !LLMQ_NO_CALIBRATION
typedef struct llmq_hessian {
    uint32_t cols;
    int full;                  /* 1: all of H; 0: its diagonal */
    double weight, squares;    /* sums of the w_t so far, and of their squares */
    llmq_transform transform;  /* H is of T x */
    float *h;                  /* full: row i, its entries 0 ... i, at i (i + 1) / 2; else cols numbers */
    const llmq_kernels *kernels;
} llmq_hessian;

/* Bytes of h; 0 if they do not fit size_t or cols is 0 or over LLMQ_MAX_COLS. */
LLMQ_API size_t llmq_hessian_size(uint32_t cols, int full);

/* Zero H for inputs of cols numbers. transform: accumulate in the basis of a tensor with this transform; NULL: as they come.
   mem: llmq_hessian_size bytes, aligned for float, which *h then refers to. Errors: LLMQ_E_ARG, LLMQ_E_LIMIT, LLMQ_E_WORKSPACE,
   and those of the transform's steps. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_init(llmq_hessian *h, uint32_t cols, int full, const llmq_transform *transform,
                                                      void *mem, size_t size);

/* Bytes of workspace for llmq_hessian_add: about 516 cols, 4 cols for a diagonal, and that of the transform. */
LLMQ_API size_t llmq_hessian_work_size(const llmq_hessian *h);

/* Add `count` tokens to rows [r0, r1) of H: x[count][cols], a token every `stride` numbers. weight: w_t >= 0 for each, NULL: 1.
   Different row ranges may be worked on at the same time, each with the same tokens and its own workspace; the one that
   starts at row 0 counts the weight. However tokens are cut into calls, and rows into ranges, the bits are the same.
   Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE; LLMQ_E_NOT_FINITE for an input, or a weight that is not finite or negative (error, which may
   be NULL, names token and column; column cols is the weight): nothing was added then. Before a transform, too, numbers above
   2^60 count as that, and between its steps those above 2^100, so that it cannot overflow. A sum that does (256 tokens of 2^60) is
   infinite, which llmq_feedback_init reports.
   Cost: about r1^2 / 2 - r0^2 / 2 multiply-adds a token. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_add(llmq_hessian *h, uint32_t r0, uint32_t r1, const float *x, size_t stride,
                                                     uint32_t count, const float *weight, void *work, size_t work_size,
                                                     llmq_error *error);

/* H += other, entry by entry: sums over parts of a text, made anywhere. The same parts merged in the same order give the same
   bits; another order differs by rounding. Errors: LLMQ_E_ARG (cols, full), LLMQ_E_MISMATCH; LLMQ_E_NOT_FINITE for a sum that is
   not finite: *h is then as it was. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_merge(llmq_hessian *h, const llmq_hessian *other);

/* Change the basis of a full H that has none: H <- T H T^T, so that one file of sums serves any choice of transform.
   Errors: LLMQ_E_ARG (a diagonal, or a transform it already has), LLMQ_E_WORKSPACE, and those of the transform's steps;
   LLMQ_E_NOT_FINITE for a result that is not finite. H is then as it was.
   Cost: 2 cols transforms; workspace 4 cols^2 bytes and that of a transform. */
LLMQ_API size_t llmq_hessian_transform_work_size(const llmq_hessian *h, const llmq_transform *t);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_transform(llmq_hessian *h, const llmq_transform *t, void *work, size_t work_size);

/* -- Traces: of an attention block's Hessians, exactly; of any operator, by random probes. -- */
#define LLMQ_ROPE_NONE   0
#define LLMQ_ROPE_PAIRS  1  /* numbers 2i and 2i + 1 of a head are rotated by angle i of the position */
#define LLMQ_ROPE_HALVES 2  /* numbers i and i + head / 2 */

/* One key-value head of an attention block, and the query heads h that share it. For query t, over the keys s that it sees,
       y_t = sum_h W_O,h a^h_t,   a^h_t = sum_s p^h_ts v_s,   p^h_t = softmax of q^h_t . k_s / sqrt(head).
   Rows of x, q, k, v and wo are so many floats apart as their stride says. A query that sees no key has a = 0. */
typedef struct llmq_attention {
    uint32_t tokens, dim;    /* of the inputs x, at consecutive positions */
    uint32_t head, queries;  /* numbers of a head; query heads that share this key-value head */
    uint32_t out;            /* rows of W_O */
    uint32_t masked;         /* so many tokens at the beginning are padding: no query sees their keys */
    int causal;              /* 1: query t sees no key after t */
    const float *x;          /* x[tokens][dim]: what W_Q, W_K and W_V multiply */
    size_t x_stride;
    const float *q;          /* q[tokens][queries * head], rotated by RoPE, as are the keys */
    size_t q_stride;
    const float *k;          /* k[tokens][head] */
    size_t k_stride;
    const float *v;          /* v[tokens][head] */
    size_t v_stride;
    const float *wo;         /* wo[out][queries * head]: the columns of W_O that these heads reach */
    size_t wo_stride;
    int rope;                /* LLMQ_ROPE_...; R_s turns (a, b) into (a cos - b sin, a sin + b cos) */
    const float *cosine;     /* [tokens][head / 2]: of s times angle i in row s (1 in row 0). Unused without RoPE */
    const float *sine;
    uint32_t samples;        /* queries that are looked at: 0 for all, else one drawn from each of so many stretches, 2 or more */
    uint32_t seed;           /* of the drawing */
    const float *importance; /* [tokens]: how much |change of y_t|^2 counts, 0 or more; NULL: 1 for all */
} llmq_attention;

typedef struct llmq_traces {
    double q, k, v, o;                          /* for W_Q, W_K, W_V and W_O */
    double q_error, k_error, v_error, o_error;  /* standard errors of the sampling, 0 without it */
} llmq_traces;

/* Bytes of workspace for llmq_attention_traces, about 12 tokens^2 + 16 tokens head. 0 if a is NULL, has no tokens or a head of
   no numbers, or it does not fit. */
LLMQ_API size_t llmq_attention_work_size(const llmq_attention *a);

/* Traces of the Gauss-Newton Hessians of sum_t importance_t |change of y_t|^2, the objective of [R9], for the rows of W_Q of these query
   heads, the rows of W_K and W_V of this key-value head, and the columns of W_O. H = 2 J^T J, J the derivative of all y_t, so
   that independent errors of variance e in the weights make that sum e trace / 2. With c^h_s = W_O,h (v_s - a^h_t) and R_s the
   rotation of position s (I without RoPE), summed over t with its importance, and over h, h' and s, s' as they occur:
       W_Q   2/head |x_t|^2 p^h_s p^h_s' (c^h_s . c^h_s') (k_s . k_s')
       W_K   2/head p^h_s p^h'_s' (c^h_s . c^h'_s') (R_s^T q^h_t . R_s'^T q^h'_t) (x_s . x_s')
       W_V   2 tr(W_O,h^T W_O,h') p^h_s p^h'_s' (x_s . x_s')
       W_O   2 out |a^h_t|^2
   (Derived from the softmax's Jacobian diag(p) - p p^T, which takes a from v; the tests hold finite differences against it.)
   q_weight, k_weight, v_weight, each NULL or [tokens]: a w_t >= 0 is added to each number, such that sum_t w_t |x_t|^2 is the
   trace. H' = sum_t w_t x_t x_t^T, what methods like GPTQ take, is then the sum of the blocks of H that belong to one row of
   weights: exactly for W_Q; for W_K and W_V of the terms with s = s', scaled. Begin with zeros; heads and calls add up.
   samples: stretch j of m is queries [j tokens / m, (j + 1) tokens / m), and the one drawn, by llmq_random(seed, j), stands for
   all of it. Its error is estimated from neighbours, g_j the term of stretch j:  error^2 = m / (2 (m - 1)) sum (g_j - g_j+1)^2,
   rather too large, for it counts the drift from stretch to stretch. As many samples as tokens, or more, are all.
   work: aligned for double. Errors: LLMQ_E_ARG, LLMQ_E_LIMIT, LLMQ_E_WORKSPACE; LLMQ_E_NOT_FINITE for an input that is NaN or
   infinite, or a result that overflows. On failure the outputs are untouched. Cost: about
   tokens^2 (dim + queries^2 head) / 2 + queries^2 samples (2 tokens^2 + 5 tokens head) double multiply-adds, of the latter a
   third if causal. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_attention_traces(const llmq_attention *a, llmq_traces *traces, float *q_weight,
                                                          float *k_weight, float *v_weight, void *work, size_t work_size);

/* hv[n] = H v[n] for a symmetric H. A status that is not LLMQ_OK ends the estimate and is what that returns. */
typedef llmq_status (*llmq_operator)(void *context, const float *v, float *hv);

typedef struct llmq_trace {
    double trace, error;  /* the estimate and its standard error */
    uint32_t products;    /* how many times the operator was applied */
} llmq_trace;

/* Hutchinson's estimate of tr H [R10]: the mean of v^T H v over m random vectors v of signs. Its variance is
   2 (|H|_F^2 - sum_i h_ii^2) / m, the least of all distributions with independent entries; the error is measured, though.
   most: probes, 2 or more. tolerance: stop once error <= tolerance |trace|, after 8 probes at the earliest: of m probes the error
   is known to 1 / sqrt(2 (m - 1)) of itself, a quarter for 8, and two or three may agree by chance; 0: use all probes. Probe i
   has the signs of LLMQ_STEP_HADAMARD (section 4) with seed llmq_random(seed, i). work: 8 n bytes, aligned for float.
   Errors: LLMQ_E_ARG, LLMQ_E_LIMIT, LLMQ_E_WORKSPACE, LLMQ_E_NOT_FINITE (H v), and the operator's; out is then untouched.
   Cost: the products. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_trace_hutchinson(llmq_operator product, void *context, uint32_t n, uint32_t max_products,
                                                          double tolerance, uint32_t seed, llmq_trace *out, void *work,
                                                          size_t work_size);

/* Bytes of workspace for llmq_trace_hutchpp: 4 n (min(most / 3, n) + 2). 0 if n is 0, most below 4, or it does not fit. */
LLMQ_API size_t llmq_trace_hutchpp_work_size(uint32_t n, uint32_t max_products);

/* Hutch++ [R11]: most products in all, 4 or more. A third of them turns random signs into vectors that span where H is large; with
   an orthonormal basis Q of these, tr(Q^T H Q) is exact and costs the second third (less if H has a lower rank: products that
   vanish to rounding, 2^-16, are dropped); the rest are Hutchinson's probes of (I - Q Q^T) H (I - Q Q^T), whose error is all the
   error there is. For positive semidefinite H it falls as 1 / most and not as its root; on a flat spectrum it gains nothing.
   Arguments and errors as above. Cost: the products, and 6 n (most / 3)^2 multiply-adds. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_trace_hutchpp(llmq_operator product, void *context, uint32_t n, uint32_t max_products,
                                                       double tolerance, uint32_t seed, llmq_trace *out, void *work,
                                                       size_t work_size);
#endif

/* ---- 16. Error feedback --------------------------------------------------------------------------------------------

   Rows quantized one column after the other, each column moved by the errors made before it ([R6]; this form: LDLQ, [R7]).
   With H + damping = M D M^T, M unit upper triangular and D diagonal, an error row E = w - w' costs
       E H E^T = sum_k D_k (e_k)^2,    e_k = (E M)_k = w_k + f_k - w'_k,    f_k = sum_(j<k) E_j M_jk
   so column k, when all before it are fixed, should be the point nearest to w_k + f_k. For grids of p > 1 the columns of a
   vector are chosen together: with B the p x p diagonal block of M, the cost of a vector is |(w B + f) S - (w' B) S|^2 with
   S = diag(sqrt D), f from the columns before the vector: the nearest point among those of the grid times B S. The
   triangle B keeps the order of the first coordinate, so it is found by the same search (section 11).
   Scales are searched as in section 11, on w + f of the group when it is reached, with errors weighted by D.
   With H = c I the result is the bits of llmq_encode (but for trellises). A diagonal H only weights the errors.
   Trellises run down a column, so columns are quantized one by one all the same, each by a search over the rows of a ring with its
   state at the start found as in section 12; scales are those that llmq_encode would give the group as it is when it is reached.
   Gain on correlated inputs (AR(1), rho = 0.9): 6.8 to 7.0 dB of 7.2; a trellis along the rows would feed back blocks of columns, and
   lose most of it where inputs are not rotated.

   Damping: mean(diagonal) * damping is added to the diagonal. By default it is 0.01 + 2 cols / tokens, 1 at most, tokens being
   (sum w)^2 / sum w^2, as a sum over few tokens says little of other texts: KL of a 1.9 M-parameter model in g3, whose cols are
   192 and 576, with damping 0.01 0.03 0.1 0.3 1: from 1,500 tokens 0.196 0.184 0.175 0.166 0.169, from 5,000 0.156 0.160 0.152
   0.149 0.158, from 19,353 0.141 0.140 0.141 0.143 0.155; without feedback 0.209. If a pivot D_k is then not above 2^-20 times its entry of the
   diagonal, damping becomes ten times as large (at least 1e-6), up to 10, and the factor is made anew.
   Order: LLMQ_ORDER_NATURAL, or LLMQ_ORDER_DIAGONAL: groups by decreasing mean of their diagonal, within them vectors likewise
   (an incomplete vector stays the last), which spends the freedom of later columns on the inputs that matter most.
   First order [R8]: after each group, with M cut to the columns to come, the moves f M^-1 of their weights lose
   first_order * (f M^-1) (H^-1 of these columns) * mean(diagonal), which draws weights back to where they were, since H is only
   what this text says; 0 is off. Where an eigenvalue of H is below first_order * mean(diagonal) / 2, it throws them too far.
   H counts up to a factor: D is that of H / 2^k with a mean of the diagonal in [1, 2), so that huge and tiny inputs do no harm.

   Measured, not trusted. With too little damping, with first order where it does not fit, or from a handful of tokens, feedback
   can do worse than none, a thousand times even. So each row (of a trellis each ring) is also encoded as llmq_encode does, and
   the two errors are compared. If that with feedback is larger by more than 1/32, or not finite, the records of llmq_encode are
   kept. H itself cannot be the judge: it is a sample, and what is fitted to a sample looks better in it than it is. The judge is
       J = H + lambda mean(diagonal) I,   lambda = 2 rho / (1 - rho), at least 0.01,
   where rho is the weight that the oracle approximating shrinkage [R21] gives the identity for so many tokens. lambda is not
   below damping if that had to be raised, and is damping itself for a diagonal or where the tokens are not known.
   Tried at 192 columns with 4 to 8,192 tokens of known distributions (AR(1) of 0.9 and 0.99, white, spectra 1/k and 1/k^2,
   outliers), with damping 0, 0.01 and the default, first order 0 and 1, in g3 and t2. Under the true H the error was up to 10^18
   times that of llmq_encode, and is now at most 1.03 times, but for 4 heavy-tailed tokens, of which no sum can tell (1.2); with
   lambda = rho / (1 - rho) it was 1.4 times. */
#if !LLMQ_NO_CALIBRATION
#define LLMQ_ORDER_NATURAL  0
#define LLMQ_ORDER_DIAGONAL 1

typedef struct llmq_feedback_options {
    float damping;      /* relative to the mean of the diagonal; negative: the default */
    float first_order;  /* 0 ... 1 */
    int order;          /* LLMQ_ORDER_... */
} llmq_feedback_options;

/* H made ready for the rows of one tensor, or of several with its cols, transform, group and p. */
typedef struct llmq_feedback {
    uint32_t cols, group, p;
    llmq_transform transform;
    float damping;          /* that was needed */
    float first_order;      /* times the mean of the diagonal / 2^k, and divided by what is equal if d is NULL */
    const float *m;         /* row k of M^T, its entries 0 ... k, at k (k + 1) / 2; NULL if H was a diagonal */
    float ridge;            /* lambda - damping, likewise: what errors are judged by has so much more on its diagonal */
    double unit;            /* an error that is judged is so many times what D says */
    const float *d;         /* D / 2^k, in the order of the columns below; NULL: all are equal */
    const uint32_t *column; /* the columns in the order in which they are quantized */
} llmq_feedback;

/* Bytes of memory for a llmq_feedback from this H: about 2 cols^2 + 8 cols if it is full; 0 if that does not fit size_t. */
LLMQ_API size_t llmq_feedback_size(const llmq_hessian *h);

/* Factor H for t, whose cols and transform are those of *h (llmq_hessian_transform). options NULL: the default damping, natural order. It is
   0.01 where *h is a diagonal or does not know its tokens (weight 0).
   mem: aligned for float, to outlive *f. An H of zeros counts as I.
   Errors: LLMQ_E_ARG, LLMQ_E_MISMATCH, LLMQ_E_WORKSPACE, LLMQ_E_NOT_FINITE (an entry of H; error names row and column),
   LLMQ_E_INDEFINITE (no damping up to 10 helped, error names the column: this is not a sum of squares). *f is then as it was.
   Cost: cols^3 / 6 multiply-adds, for each damping tried. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_feedback_init(llmq_feedback *f, const llmq_tensor *t, const llmq_hessian *h,
                                                       const llmq_feedback_options *options, void *mem, size_t size,
                                                       llmq_error *error);

/* What became of rows that were encoded with feedback. Errors are sums over the rows of E J E^T, E = W - W' in the basis of the tensor and
   J = H + lambda mean(diagonal) I, in the units of H: of what is stored, and of what llmq_encode stores. Ranges of rows add up. */
typedef struct llmq_feedback_result {
    uint32_t rows;        /* that were encoded */
    uint32_t plain_rows;  /* those kept as llmq_encode does them */
    double error, plain_error;
} llmq_feedback_result;

/* llmq_encode with feedback: rows [r0, r1), w and data as there (w is row r0, data row 0). Rows in different ranges may be encoded at the
   same time, with a workspace each: the bits are the same. result: NULL, or what is written if all went well. Raw formats, and those with
   zeros, are encoded without feedback (all rows are then plain ones, and errors 0); trellises with a diagonal are as llmq_encode does
   them with weighted errors (none is then plain, and errors are 0). Workspace: about 196 cols bytes + 8 n p, and 16 records; trellises
   12 bytes a column and a record for each of up to 512 rows. progress is called after every 16 rows.
   Errors: as llmq_encode, and LLMQ_E_MISMATCH if f was made for another shape of tensor; with LLMQ_E_NOT_FINITE no row is written, with
   LLMQ_E_STOPPED earlier rows are. Cost: twice that of llmq_encode, and cols multiply-adds a weight, 3/2 cols with first order or p > 1;
   with first order also cols^2 / (3 group). */
LLMQ_API size_t llmq_feedback_work_size(const llmq_tensor *t);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_feedback_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1, const float *w,
                                                         size_t stride, const llmq_feedback *f, const llmq_encode_options *options,
                                                         void *work, size_t work_size, llmq_feedback_result *result,
                                                         llmq_error *error);
#endif

/* ---- 17. Outliers --------------------------------------------------------------------------------------------------

   Transform steps made for the inputs of a layer. In language models a few channels of them are tens or hundreds of times as
   large as the rest, and few tokens are larger still; in 4 or 6 bits, what shares a scale with them is lost. Against it:
     smoothing [R12]  divides each channel and multiplies its weights:  d_j = peak_j^alpha / weight_j^(1 - alpha), with
                      peak_j = max |x_j| over the tokens and weight_j = max |w_j| over the rows of all tensors that read x.
     zigzag [R13]     permutes channels so that blocks get like shares: dealt by decreasing peak to blocks 1, 2 ... K, K ... 2, 1, 1,
                      2 ... , where a full block is passed over.
     rotation [R13]   spreads them within a block of B, greedily. Step k: channel c holds the largest |x'| of the sample
                      (with the error as criterion: of the input for which |x'|^2 / |x|^2 is largest);
                      R_k = E Z Q E, in which E exchanges channels 0 and c, Z is the reflection whose first row is -1/sqrt(B) all along,
                      and Q = diag(1, Q') with a random orthogonal Q', new in each step: the Q of Householder's QR of a Gaussian
                      matrix, which is a product of reflections of ever shorter normal vectors, and signs [R14].
                      x' = x R_1 ... R_k; of all these products, and none at all, the one with the least peak, range or error is kept.
   DuQuant is smoothing, rotation, zigzag, rotation. Smoothing, zigzag and one Hadamard transform do as well, for log2(block) additions
   a number in place of 2 B multiply-adds (`make outliers`, `make eval`): what a tool should do if it is not told otherwise.
   Smoothing and the permutation cost nothing where they can be folded (llmq_transform_fold); a rotation never can be. */
#if !LLMQ_NO_CALIBRATION

/* What is kept of a layer's inputs while they stream past: the peak of each channel over all of them, and some of them: half of
   the room for those with the largest numbers, half drawn so that each has the same chance. */
typedef struct llmq_sample {
    uint32_t cols, capacity;
    uint32_t top, drawn;   /* rows there: `top` from row 0 on, `drawn` from row room / 2 on */
    uint32_t seen, seed;   /* inputs so far (2^32 - 1 stands for more) */
    float *peak;           /* [cols] */
    float *row;            /* [room][cols] */
    float *height;         /* [room / 2]: the largest magnitude of each of the first */
} llmq_sample;

/* Bytes for a sample with room for so many inputs, 2 or more: 4 cols (room + 1) + 4 (room / 2); 0 if that does not fit. 128 inputs of 4,096
   numbers take 2.1 MB. */
LLMQ_API size_t llmq_sample_size(uint32_t cols, uint32_t capacity);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_sample_init(llmq_sample *s, uint32_t cols, uint32_t capacity, uint32_t seed, void *mem, size_t size);

/* Look at count inputs, one every stride numbers. Calls may be cut anywhere: the sample is the same. Errors: LLMQ_E_ARG;
   LLMQ_E_NOT_FINITE (error, which may be NULL, names input and column): nothing was added. Cost: two operations a number. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_sample_add(llmq_sample *s, const float *x, size_t stride, uint32_t count, llmq_error *error);

/* peak[j] = max(peak[j], |rows[r][j]|): for the weights, over all tensors that share the input. Begin with zeros. Errors as above. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_peaks(const float *rows, size_t stride, uint32_t count, uint32_t cols, float *peak,
                                               llmq_error *error);

#define LLMQ_CRITERION_PEAK  0  /* of a rotation: max |x'|, as the paper says */
#define LLMQ_CRITERION_RANGE 1  /* max x' - min x', as its authors' program has it; 0 counts too, as in asymmetric scales */
#define LLMQ_CRITERION_ERROR 2  /* mean over inputs of max |x'|^2 / |x'|^2, of what this matrix turns: so goes the error with one
                                   scale an input. The peak is that of the one largest input, whatever the others are: 4-bit error 0.0145
                                   instead of 0.0154 */

typedef struct llmq_fit_options {
    float alpha;             /* of smoothing, 0 ... 1 */
    float d_min, d_max;       /* bounds of its d, normal numbers: 0 < least <= most */
    int criterion;           /* LLMQ_CRITERION_... */
    uint32_t steps;          /* of a rotation */
    uint32_t seed;           /* step i of the list takes llmq_random(seed, i) */
    llmq_progress progress;  /* NULL: none; called with steps of a rotation done, and all of them in this block */
    void *context;
} llmq_fit_options;

/* alpha 0.6, d from 0.01 to 10000, 256 steps [R13], error, seed 1 */
LLMQ_API llmq_fit_options llmq_fit_defaults(void);

/* Make the data of a transform whose steps say what is wanted, in any order: kind, block and arg as in section 4. Each step
   is made for the inputs as the steps before it leave them: *s is taken along, and is afterwards a sample of T x (of nothing if
   the call was stopped), with peaks over its own rows once they have been mixed by a rotation or Hadamard step. weight: peaks of the
   weights, NULL for ones; taken along too, and ones after a step that mixes. A permutation is zigzag into the blocks of the next step
   that mixes (what a rotation leaves out gets the smallest channels); without one it sorts channels by their peaks, so that like ones
   share a group. A rotation with arg = 1 is made for all runs at once, else each for its own; its normal numbers are those of one
   stream, pairs of the polar method [R5] for each vector.
   data: the sum of llmq_step_data_size bytes, which *t then refers to; NULL if that is 0. work: aligned for double.
   Errors: LLMQ_E_ARG, LLMQ_E_LIMIT, LLMQ_E_UNSUPPORTED (the steps), LLMQ_E_WORKSPACE, LLMQ_E_STOPPED; *t is then untouched.
   Cost of a rotation step: B^3 double and rows B cols multiply-adds; with the peak as criterion less, as inputs that cannot be it are
   skipped. llmq_fit_work_size: 0 for cols or a count of steps out of range. */
LLMQ_API size_t llmq_fit_work_size(const llmq_transform *t, uint32_t cols);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_fit(llmq_transform *t, llmq_sample *s, float *weight, const llmq_fit_options *options,
                                                       void *data, size_t size, void *work, size_t work_size);

/* -- Folding: leading steps that whatever computes x can do instead, once, in its own weights. -- */
#define LLMQ_FOLD_SMOOTH  1  /* x_j is a multiple of numbers that can be divided: gains of a norm, or rows of a layer */
#define LLMQ_FOLD_PERMUTE 2  /* x_j may change places: rows of a layer, if all that meets them moves too */

/* How many leading steps are of these kinds. */
LLMQ_API uint32_t llmq_transform_foldable(const llmq_transform *t, int kinds);

/* T = rest first, first being n steps. Errors: LLMQ_E_ARG. Encode W with T, or W first^-1 (LLMQ_TO_WEIGHT) with rest; either way the
   tensor that is used has the transform rest. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_split(const llmq_transform *t, uint32_t n, llmq_transform *first, llmq_transform *rest);

/* x <- T x done to what computes x: rows[cols][n], row j every stride numbers; n = 1 for the gains of a norm. Steps of other kinds than
   `kinds` are passed over: in x = silu(g) * u the rows of g take permutations only, those of u both. work: 8 cols bytes, aligned
   for float. Errors: LLMQ_E_ARG (also a step that is neither SMOOTH nor PERMUTE), LLMQ_E_WORKSPACE; LLMQ_E_LIMIT and
   LLMQ_E_UNSUPPORTED as llmq_transform_apply; LLMQ_E_NOT_FINITE for a number that is not finite, before or after. The rows are then as
   they were. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_fold(const llmq_transform *t, uint32_t cols, int kinds, float *rows, size_t stride,
                                                        uint32_t n, void *work, size_t work_size);

/* Multiply-adds (or additions) that T x takes: 1 a number to smooth, B to rotate, log2(2^k) + m for a Hadamard block, 0 to permute. */
LLMQ_API uint64_t llmq_transform_cost(const llmq_transform *t, uint32_t cols);
#endif

/* ---- 18. Allocation ------------------------------------------------------------------------------------------------

   Which format for which layer. By the linearity theorem [R1] what quantizing costs a model is, while errors are small, a sum over its
   layers: increase of the loss = sum_l alpha_l t_l^2, t_l^2 = |W_l - W'_l|^2 / |W_l|^2, so the best file of a size is the solution of
       min sum_l loss[l][f_l]   subject to   sum_l cost[l][f_l] <= budget,   one option f_l for each layer,
   a knapsack with choices [R16]. It is solved exactly, with a proof: with a price lambda on a unit of cost,
       sum loss >= bound(lambda) = sum_l min_f (loss[l][f] + lambda cost[l][f]) - lambda budget
   and an option that is r above the minimum of its layer can only be part of solutions that cost r more than the bound. lambda is the
   least for which the minima fit in the budget; filling what they leave over, greedily, gives a first solution, and only what has
   r below its distance from the bound, often a few layers of a thousand, has to be tried: layer by layer, in a list of those sums
   of cost and loss of which none is better in both, as in [R17]. Better solutions on the way shrink the distance. */
#if !LLMQ_NO_CALIBRATION
/* w[i] += t |w| / sqrt(n) * N(0,1): an error of t^2 = |w' - w|^2 / |w|^2 (on average) that has no direction, for measuring alpha: what a
   layer's error of a known size costs. The same seed gives the same numbers everywhere. Errors: LLMQ_E_ARG (also: t not from 0
   to 1), LLMQ_E_NOT_FINITE (w, or what would become of it; it is then untouched). */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_perturb(float *w, size_t n, double t, uint32_t seed);

/* Least squares through the origin, as [R1] fits alpha: slope = sum x y / sum x^2 of n pairs (t^2, increase of the loss), and its
   standard error, sqrt(sum (y - slope x)^2 / (n - 1) / sum x^2); 0 for one pair. Errors: LLMQ_E_ARG (also: all x are 0),
   LLMQ_E_NOT_FINITE. A slope may come out negative, of a layer that hardly matters: count it as 0 then. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_slope(const double *x, const double *y, uint32_t n, double *slope, double *error);

typedef struct llmq_option {
    uint64_t cost;  /* bytes, or any other unit; up to 2^53 */
    double loss;    /* infinite: must not be taken */
} llmq_option;

typedef struct llmq_allocation {
    uint64_t cost;   /* of the choice */
    double loss;     /* of the choice: the sum in the order of the layers */
    double bound;    /* what no choice is below, to rounding; loss itself if the choice is proven to be the best */
    uint32_t tried;  /* layers that had more than one option to be tried */
    uint32_t states; /* most sums in a list */
} llmq_allocation;

/* Bytes of workspace for layers with options first[layers] in all (below); states: room in a list, 0 for 65,536: 15 MB. 0 if it
   does not fit. About 240 bytes a state and 32 an option. */
LLMQ_API size_t llmq_allocate_work_size(uint32_t layers, uint32_t options, uint32_t states);

/* choice[l]: the option of layer l, counted from its first. Options of layer l are options[first[l] ... first[l + 1] - 1], in any order;
   first[0] = 0. tie: NULL, or a number for each layer: layers with the same number take options of the same place, and have as many.
   Pins and minima are options of infinite loss. If a list gets longer than the workspace allows, the sums with the largest r are
   left out, and *result says what is proven all the same (bound below loss). Of equal choices the first found is taken.
   work: aligned for double; its size says how many states there is room for. Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE; LLMQ_E_LIMIT for a
   cost over 2^53, for the largest costs of all layers adding to more than 2^62, for a finite loss beyond +-1e240; LLMQ_E_NOT_FINITE for
   one that is NaN or -infinite (with these, error, which may be NULL, names layer and option); and LLMQ_E_LIMIT if no choice fits the
   budget (result->cost is then the least that one costs, 2^64 - 1 if every choice has an infinite loss; all else untouched). Cost: about
   100 passes over the options, and the lists: milliseconds for a thousand layers with thirty options each (`make bench`). */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_allocate(const llmq_option *options, const uint32_t *first, uint32_t layers, const uint32_t *tie,
                                                  uint64_t budget, uint32_t *choice, llmq_allocation *result, void *work, size_t work_size,
                                                  llmq_error *error);
#endif

#ifdef __cplusplus
}
#endif
#endif /* LLMQ_H */

#if defined(LLMQ_IMPLEMENTATION) && !defined(LLMQ_IMPLEMENTED)
#define LLMQ_IMPLEMENTED

/* ---- 0. Configuration --------------------------------------------------------------------------------------------- */

#include <limits.h>
#if CHAR_BIT != 8
#error "llmq: bytes of 8 bits are needed"
#endif
#if defined(LLMQ_MEMCPY) != defined(LLMQ_MEMSET)
#error "llmq: define both LLMQ_MEMCPY and LLMQ_MEMSET, or neither"
#endif
#if LLMQ_NO_ENCODER && !LLMQ_NO_CALIBRATION
#error "llmq: calibration (LLMQ_NO_CALIBRATION 0) needs the encoder"
#endif
#if LLMQ_MAX_STEPS == 0 && !LLMQ_NO_CALIBRATION
#error "llmq: calibration (LLMQ_NO_CALIBRATION 0) needs transforms (LLMQ_MAX_STEPS 1 to 8)"
#endif
#if (LLMQ_FORMATS) <= 0 || ((LLMQ_FORMATS) & ~LLMQ_WITH_ALL) != 0
#error "llmq: LLMQ_FORMATS is one or more of LLMQ_WITH_..."
#endif
#if defined(LLMQ_NO_VECTOR_GRIDS) || defined(LLMQ_NO_TRELLIS)
#error "llmq: LLMQ_FORMATS replaces LLMQ_NO_VECTOR_GRIDS and LLMQ_NO_TRELLIS"
#endif
#if !LLMQ_ALLOW_INEXACT /* what compilers say; for the rest there is llmq_selftest */
#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "llmq: -ffast-math, or /fp:fast, breaks the promise of equal bits; leave it out, or define LLMQ_ALLOW_INEXACT to 1"
#elif defined(__ASSOCIATIVE_MATH__)
#error "llmq: -fassociative-math breaks the promise of equal bits; leave it out, or define LLMQ_ALLOW_INEXACT to 1"
#elif defined(__RECIPROCAL_MATH__)
#error "llmq: -freciprocal-math breaks the promise of equal bits; leave it out, or define LLMQ_ALLOW_INEXACT to 1"
#elif defined(__NO_SIGNED_ZEROS__)
#error "llmq: -fno-signed-zeros breaks the promise of equal bits; leave it out, or define LLMQ_ALLOW_INEXACT to 1"
#elif defined(__FINITE_MATH_ONLY__)
#if __FINITE_MATH_ONLY__ > 0
#error "llmq: -ffinite-math-only breaks the promise of equal bits; leave it out, or define LLMQ_ALLOW_INEXACT to 1"
#endif
#endif
#endif
#ifndef LLMQ_MEMCPY
#include <string.h>
#define LLMQ_MEMCPY memcpy
#define LLMQ_MEMSET memset
#endif

#if LLMQ_SIMD
#define LLMQ__SIMD_PART 0 /* its configuration, and the headers of the intrinsics, which must not be in an extern "C" */
#include LLMQ_SIMD_PATH
#undef LLMQ__SIMD_PART
#endif

/* a * b + c must be two roundings. gcc: an option for the rest of this file, undone at its end. clang: a pragma that
   LLMQ__NO_CONTRACT puts at the head of each function that adds products. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#define LLMQ__NO_CONTRACT
#elif defined(__clang__)
#define LLMQ__NO_CONTRACT _Pragma("STDC FP_CONTRACT OFF")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#define LLMQ__NO_CONTRACT
#else
#define LLMQ__NO_CONTRACT
#endif

/* Compilers make vectors of float loops, and those of Helium flush subnormal numbers to zero in every mode of the processor.
   They are told not to; llmq_simd.h has functions that may, between a pop and another push. Pragmas and not a macro, which editors
   that look for functions would take for the beginning of one. */
#if defined(__ARM_FEATURE_MVE) && defined(__clang__)
#pragma clang attribute push(__attribute__((__target__("no-mve.fp"))), apply_to = function)
#elif defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#pragma GCC optimize("no-tree-loop-vectorize", "no-tree-slp-vectorize")
#endif

/* The null pointer, in words that C++ compilers do not warn of. */
#ifdef __cplusplus
#define LLMQ__NULL nullptr
#else
#define LLMQ__NULL 0
#endif
#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__)) /* casts are those of C, here and in llmq_simd.h */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

/* Functions with buffers of their own stay apart, or inlining would add their frames to those of their callers. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__TINYC__)
#define LLMQ__NOINLINE static __attribute__((__noinline__))
#elif defined(_MSC_VER)
#define LLMQ__NOINLINE static __declspec(noinline)
#else
#define LLMQ__NOINLINE static
#endif

/* Is a built-in format kept, or any of a group of them? Formats that are crafted by hand are held to it as well, so that what follows
   from it is known when the code is compiled. */
#define LLMQ__HAS(name) (((LLMQ_FORMATS) & LLMQ_WITH_##name) != 0)
#define LLMQ__ANY_TRELLIS LLMQ__HAS(TRELLISES)
#define LLMQ__ANY_ZERO_POINTS LLMQ__HAS(ZERO_POINTS)

#ifdef __cplusplus
extern "C" {
#endif

typedef char llmq__formats[(LLMQ_FORMATS) > 0 ? 1 : -1]; /* an unknown name is 0 to the preprocessor, but an error to the compiler */

/* ---- 1. Utilities: status codes, half floats, random numbers, memory -------------------------------------------- */

LLMQ_API const char *llmq_status_text(llmq_status status)
{
#if LLMQ_NO_STRINGS
    (void)status;
    return "";
#else
    static const char *const text[] = {
        "ok", "an argument is out of range or does not fit the others", "a size is over a limit", "the memory given is too small",
        "a number is NaN or infinite", "tensor and activation do not go together", "no room for another row",
        "stopped by the caller", "not found", "the bundle is cut off", "not a bundle", "a bundle of an unknown version",
        "the checksum does not match", "the bundle contradicts itself", "the bundle needs something unknown to this version",
        "this program's arithmetic is not IEEE single precision, or its kernels are miscompiled", "a matrix is not positive definite"
    };
    return status <= 0 && status >= LLMQ_E_INDEFINITE ? text[-status] : "unknown status";
#endif
}

static uint32_t llmq__float_bits(float x) { uint32_t u; LLMQ_MEMCPY(&u, &x, 4); return u; }
static float llmq__bits_float(uint32_t u) { float x; LLMQ_MEMCPY(&x, &u, 4); return x; }

static uint32_t llmq__load16(const uint8_t *b) { return (uint32_t)b[0] | (uint32_t)b[1] << 8; }
static uint32_t llmq__load32(const uint8_t *b) { return llmq__load16(b) | llmq__load16(b + 2) << 16; }
static float llmq__load_float(const uint8_t *b) { return llmq__bits_float(llmq__load32(b)); }
#if LLMQ_MAX_STEPS > 0
static void llmq__load_floats(float *x, const uint8_t *b, uint32_t n)
{
#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    LLMQ_MEMCPY(x, b, n * sizeof *x);
#else
    for (; n > 0; n--, b += 4) *x++ = llmq__load_float(b);
#endif
}
#endif
#if !LLMQ_NO_ENCODER
static void llmq__store16(uint8_t *b, uint32_t v) { b[0] = (uint8_t)(v & 255); b[1] = (uint8_t)(v >> 8 & 255); }
static void llmq__store32(uint8_t *b, uint32_t v) { llmq__store16(b, v & 65535); llmq__store16(b + 2, v >> 16); }
#endif

/* Checked sizes: 0 stands for "does not fit", and is kept by both. No size that is asked for here can be 0 itself. */
static size_t llmq__size_mul(size_t a, size_t b) { return a == 0 || b == 0 || a > SIZE_MAX / b ? 0 : a * b; }
static size_t llmq__size_add(size_t a, size_t b) { return a == 0 || a > SIZE_MAX - b ? 0 : a + b; }

/* A count as a size; 0 if size_t is too small for it (16-bit machines). */
static size_t llmq__size(uint32_t v) { return (uint32_t)(size_t)v == v ? (size_t)v : 0; }

static uint32_t llmq__min(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t llmq__ceil_div(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }
static int llmq__misaligned(const void *p) { return (uintptr_t)p % sizeof(float) != 0; }

/* Is float arithmetic that of IEEE-754 binary32, in the order that is written, on all numbers? volatile keeps compilers from
   computing these themselves, with better arithmetic than the program has. What is read from it once may be simplified as flags permit. */
LLMQ__NOINLINE int llmq__arithmetic_ok(void)
{
    LLMQ__NO_CONTRACT
    volatile float above = 1.0f + 1.1920929e-7f, below = 1.0f - 1.1920929e-7f; /* 1 +- 2^-23 */
    volatile float one = 1.0f, tiny = 1.17549435e-38f, even = 16777216.0f;      /* 2^-126, 2^24 */
    volatile float fused = above * below - one;              /* 1 - 2^-46 rounds to 1: 0; fused: -2^-46 */
    volatile float wide = (even + one) - even;               /* 2^24 + 1 rounds to even, 2^24: 0; wider: 1 */
    volatile float half = tiny * 0.5f;                       /* subnormal: not 0 unless flushed */
    volatile float up = one + 8.9406967e-8f, down = one + 2.9802322e-8f; /* + 1.5 * 2^-24, + 0.5 * 2^-24 */
    volatile float three = 3.0f, seven = 7.0f, minus_zero = -0.0f, no_number = llmq__bits_float(0x7fc00000u);
    const float e = even, o = one, s = seven, n = no_number;
    volatile float moved = (e + o) - e;                      /* 0; in another order: 1 */
    volatile float a = three / s, b = (three + three) / s, c = (three + three + three) / s; /* none is a multiple of the rounded 1 / 7 */
    volatile float third = 5.0f * one / 3.0f, sign = minus_zero + 0.0f;
    if (llmq__float_bits(fused) != 0 || llmq__float_bits(wide) != 0 || !(half > 0.0f) || !(half + half >= tiny)) return 0;
    if (llmq__float_bits(up) != 0x3f800001u || llmq__float_bits(down) != 0x3f800000u) return 0;
    if (llmq__float_bits(moved) != 0 || llmq__float_bits(sign) != 0 || n < o || n >= o) return 0;
    if (llmq__float_bits(a) != 0x3edb6db7u || llmq__float_bits(b) != 0x3f5b6db7u || llmq__float_bits(c) != 0x3fa49249u) return 0;
    return llmq__float_bits(third) == 0x3fd55555u && (LLMQ_NO_CALIBRATION || sizeof 0.1 == sizeof(double)); /* -fsingle-precision-constant */
}

LLMQ_API float llmq_f16_to_f32(uint16_t bits)
{
    uint32_t all = bits, sign = (all & 0x8000u) << 16, rest = all & 0x7fffu; /* all cases, then a choice: loops become vectors */
    uint32_t normal = (rest + ((127u - 15u) << 10)) << 13, special = 0x7f800000u | rest << 13 | (rest > 0x7c00u ? 0x400000u : 0);
    uint32_t subnormal = llmq__float_bits((float)(int32_t)rest * (1.0f / 16777216.0f)); /* subnormal: a whole number of 2^-24 */
    return llmq__bits_float(sign | (rest < 0x400u ? subnormal : rest < 0x7c00u ? normal : special));
}

/* value >> shift, rounded to nearest, ties to even; 1 <= shift <= 31 */
static uint32_t llmq__shift_even(uint32_t value, uint32_t shift)
{
    uint32_t kept = value >> shift, half = (uint32_t)1 << (shift - 1), rest = value & (half * 2 - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

LLMQ_API uint16_t llmq_f32_to_f16(float x)
{
    uint32_t u = llmq__float_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* from 65520 = half-way to 2^16 on */
    if (a < 0x33000000u) return (uint16_t)sign;              /* below 2^-25, half the least subnormal */
    if (a < 0x38800000u)                                     /* below 2^-14: (1.m) 2^(e-127) in units of 2^-24 */
        return (uint16_t)(sign | llmq__shift_even((a & 0x7fffffu) | 0x800000u, 126u - (a >> 23)));
    return (uint16_t)(sign | llmq__shift_even(a - ((127u - 15u) << 23), 13));
}

LLMQ_API float llmq_bf16_to_f32(uint16_t bits) { return llmq__bits_float((uint32_t)bits << 16); }

LLMQ_API uint16_t llmq_f32_to_bf16(float x)
{
    uint32_t u = llmq__float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)llmq__shift_even(u, 16);
}

/* A finaliser in the manner of Appleby's MurmurHash3: xor-shifts and odd multiplications, a bijection of 32 bits. */
static uint32_t llmq__mix(uint32_t h)
{
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

LLMQ_API uint32_t llmq_random(uint32_t seed, uint32_t counter)
{
    return llmq__mix(llmq__mix(seed + 0x9e3779b9u) ^ counter * 0x9e3779b1u); /* 2^32 / golden ratio, odd */
}

#define LLMQ__LANES 16 /* partial sums of a float dot product, and positions that the dense step of section 3 handles together */

#if LLMQ_MAX_STEPS > 0 || !LLMQ_NO_ENCODER
/* Correctly rounded square root of a normal x > 0, bit by bit; 0 for anything else. */
static float llmq__sqrt(float x)
{
    uint32_t u = llmq__float_bits(x), e = u >> 23, root = 0, digit;
    uint64_t m;
    if (e == 0 || e >= 255) return 0.0f;
    m = (uint64_t)((u & 0x7fffffu) | 0x800000u) << (e & 1 ? 25 : 26); /* [2^48, 2^50), x = m 2^(even) */
    for (digit = (uint32_t)1 << 24; digit; digit >>= 1)
        if ((uint64_t)(root | digit) * (root | digit) <= m) root |= digit;  /* 25 bits: 24 and one to round by; */
    root = (root + 1) >> 1;                                           /* a root is never half-way */
    return llmq__bits_float(((e + 125) / 2 << 23) + root);            /* the leading bit of root adds 1 to the exponent */
}
#endif

/* y, |y| < 2^21, to the nearest whole number, ties to even: adding 1.5 * 2^23 leaves it in the low bits of the sum. */
static int32_t llmq__round(float y) { return (int32_t)(llmq__float_bits(y + 12582912.0f) & 0x7fffffu) - 0x400000; }
static int8_t llmq__round_i8(float y) { return (int8_t)llmq__round(y); }

#if !LLMQ_NO_ENCODER
static llmq_status llmq__not_finite(uint32_t row, uint32_t col, llmq_error *error)
{
    if (error) error->status = LLMQ_E_NOT_FINITE, error->row = row, error->col = col;
    return LLMQ_E_NOT_FINITE;
}

static llmq_status llmq__find_not_finite(const float *w, uint32_t row, uint32_t cols, llmq_error *error)
{
    uint32_t j;
    for (j = 0; j < cols; j++)
        if ((llmq__float_bits(w[j]) & 0x7fffffffu) >= 0x7f800000u) return llmq__not_finite(row, j, error);
    return LLMQ_OK;
}

/* ln x for normal x > 0: x = m 2^e with m in [sqrt 1/2, sqrt 2), ln m = 2 artanh((m - 1)/(m + 1)), |argument| < 0.1716, so
   the first term left out, t^11 2/11, is below 1e-9. */
static float llmq__ln(float x)
{
    LLMQ__NO_CONTRACT
    uint32_t u = llmq__float_bits(x);
    int32_t e = (int32_t)(u >> 23) - 127;
    float m = llmq__bits_float((u & 0x7fffffu) | 0x3f800000u), t, s;
    if (m > 1.41421356f) m *= 0.5f, e++;
    t = (m - 1.0f) / (m + 1.0f);
    s = t * t;
    return (float)e * 0.693147181f + t * (2.0f + s * (0.666666667f + s * (0.4f + s * (0.285714286f + s * 0.222222222f))));
}

/* Two independent N(0,1) numbers by the polar method [R5]. */
static void llmq__normal_pair(uint32_t seed, uint32_t *counter, float *out)
{
    LLMQ__NO_CONTRACT
    float u, v, s;
    do {
        u = (float)(llmq_random(seed, (*counter)++) >> 8) * (1.0f / 8388608.0f) - 1.0f;
        v = (float)(llmq_random(seed, (*counter)++) >> 8) * (1.0f / 8388608.0f) - 1.0f;
        s = u * u + v * v;
    } while (s >= 1.0f || s < 1e-30f);
    s = llmq__sqrt(-2.0f * llmq__ln(s) / s);
    out[0] = u * s;
    out[1] = v * s;
}

/* out[0, p), p <= 8; out has room for an even number */
static void llmq__normals(uint32_t seed, uint32_t *counter, uint32_t p, float *out)
{
    uint32_t i;
    for (i = 0; i < p; i += 2) llmq__normal_pair(seed, counter, out + i);
}

#define LLMQ__LINE 64u /* bytes of a cache line: a vector that lies in two of them costs twice */

/* A workspace handed out piece by piece, from the front. Each piece begins at a multiple of `unit` bytes behind the base.
   With base NULL the pieces are only counted, so that one function states a layout for the size query and for its use. */
typedef struct llmq__arena {
    char *base;
    size_t used;  /* SIZE_MAX once the pieces do not fit size_t */
    size_t unit;
} llmq__arena;

/* The base has to be aligned for all that is put there. */
static llmq__arena llmq__arena_of(void *base, size_t unit)
{
    llmq__arena a;
    a.base = (char *)base;
    a.used = 0;
    a.unit = unit;
    return a;
}

#if LLMQ__ANY_TRELLIS || !LLMQ_NO_CALIBRATION
/* Pieces begin at cache lines, wherever the base is. Counted: a whole line more, the most that it takes to reach the first. */
static llmq__arena llmq__arena_of_lines(void *base)
{
    llmq__arena a = llmq__arena_of(base, LLMQ__LINE);
    a.used = base ? (LLMQ__LINE - (uintptr_t)base % LLMQ__LINE) % LLMQ__LINE : LLMQ__LINE;
    return a;
}
#endif

/* Bytes used; 0 if they do not fit size_t. */
static size_t llmq__arena_size(const llmq__arena *a) { return a->used < SIZE_MAX ? a->used : 0; }

/* count elements of `size` bytes; count * size is not 0, and 0 stands for a product that overflowed. */
static void *llmq__alloc(llmq__arena *a, size_t count, size_t size)
{
    size_t bytes = llmq__size_mul(count, size), from = a->used;
    if (bytes == 0 || bytes > SIZE_MAX / 2 || from > SIZE_MAX / 2) a->used = SIZE_MAX;
    else a->used = from + (bytes + a->unit - 1) / a->unit * a->unit;
    return a->base ? a->base + from : LLMQ__NULL;
}
#endif /* !LLMQ_NO_ENCODER */

#if !LLMQ_NO_CALIBRATION
/* x with 12 significant bits, to nearest, ties to even: then the product of two is exact in the 24 of a float, so that a fused
   multiply-add gives the bits of a multiplication and an addition, and every processor may use what it has. Numbers below
   2^-60 become 0 and larger ones than 2^60 become that, so that products are normal. NaN stays NaN. */
static float llmq__round12(float x)
{
    uint32_t u = llmq__float_bits(x), a = u & 0x7fffffffu, sign = u & 0x80000000u;
    if (a > 0x7f800000u) return x;
    if (a < (uint32_t)(127 - 60) << 23) return 0.0f;
    if (a > (uint32_t)(127 + 60) << 23) a = (uint32_t)(127 + 60) << 23;
    return llmq__bits_float(sign | ((a + 0x7ffu + (a >> 12 & 1)) & 0xfffff000u));
}

/* x, or `most` with its sign if it is larger. */
static float llmq__clamp(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }

static double llmq__dot(const float *u, const float *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0; /* four sums, or each addition would wait for the last */
    uint32_t i;
    for (i = 0; i + 4 <= n; i += 4) {
        a += (double)u[i] * (double)v[i];
        b += (double)u[i + 1] * (double)v[i + 1];
        c += (double)u[i + 2] * (double)v[i + 2];
        d += (double)u[i + 3] * (double)v[i + 3];
    }
    for (; i < n; i++) a += (double)u[i] * (double)v[i];
    return (a + b) + (c + d);
}

static double llmq__dot_double(const double *u, const double *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    double a = 0.0, b = 0.0;
    uint32_t i;
    for (i = 0; i + 2 <= n; i += 2) {
        a += u[i] * v[i];
        b += u[i + 1] * v[i + 1];
    }
    if (i < n) a += u[i] * v[i];
    return a + b;
}

static int llmq__finite(double x) { return x - x >= 0.0; }

/* 2^e, -1022 <= e <= 1023 */
static double llmq__exp2_64(int32_t e)
{
    uint64_t u = (uint64_t)(e + 1023) << 52;
    double x;
    LLMQ_MEMCPY(&x, &u, 8);
    return x;
}

/* Square root of a normal x > 0, to an ulp or two; 0 for anything else. x = m 2^(even), m in [1, 4); each of Newton's steps
   squares the error of llmq__sqrt, 2^-24. */
static double llmq__sqrt64(double x)
{
    uint64_t u;
    int32_t e;
    double m, r;
    LLMQ_MEMCPY(&u, &x, 8);
    e = (int32_t)(u >> 52) - 1023;
    if (e <= -1023 || e >= 1024) return 0.0;
    m = x * llmq__exp2_64(-(e - (e & 1)) / 2) * llmq__exp2_64(-(e - (e & 1)) / 2);
    r = (double)llmq__sqrt((float)m);
    r = 0.5 * (r + m / r);
    r = 0.5 * (r + m / r);
    return r * llmq__exp2_64((e - (e & 1)) / 2);
}

/* e^x for x <= 0; 0 below -700. x = n ln 2 + r, |r| < 0.35; ln 2 in two parts, of which 355/512 times n is exact. The first term
   of Taylor's series left out, r^12 / 12!, is below 1e-14. */
static double llmq__exp64(double x)
{
    LLMQ__NO_CONTRACT
    static const double series[12] = { 1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0,
                                       1.0 / 40320.0, 1.0 / 362880.0, 1.0 / 3628800.0, 1.0 / 39916800.0 };
    double r, sum = 0.0;
    int32_t n, i;
    if (!(x > -700.0)) return 0.0;
    n = (int32_t)(x * 1.4426950408889634 - 0.5); /* towards 0: the nearest */
    r = (x - (double)n * 0.693359375) + (double)n * 2.1219444005469058e-4;
    for (i = 11; i >= 0; i--) sum = sum * r + series[i];
    return sum * llmq__exp2_64(n);
}

/* 2^e; e is kept to what a double can be. */
static double llmq__power(int32_t e)
{
    uint64_t u = (uint64_t)(e < -1000 ? 23 : e > 1000 ? 2023 : e + 1023) << 52;
    double x;
    LLMQ_MEMCPY(&x, &u, sizeof x);
    return x;
}
#endif

/* ---- 2. Kernels ------------------------------------------------------------------------------------------------- */

/* The scalar kernels. Each is defined in the section of its operation. */
#if LLMQ_MAX_STEPS > 0
static void llmq__signs(float *v, uint32_t cols, uint32_t seed);
static void llmq__butterflies(float *x, uint32_t n, float norm);
static void llmq__paley(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares, float *work);
#endif
static float llmq__quantize(const float *x, uint32_t n, float levels, int8_t *q);
static void llmq__read_row(const llmq_tensor *t, uint32_t r, float *out);
static void llmq__add_rows(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out);
static void llmq__rows_i8(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                          size_t y_stride);
static void llmq__rows_f32(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                           size_t y_stride);
LLMQ__NOINLINE void llmq__add_scaled(float *out, float scale, const float *v, uint32_t n);
#if !LLMQ_NO_ENCODER
static void llmq__nearest_codes(const float *points, uint32_t n, uint32_t p, const float *x, float inverse, uint32_t count,
                                uint16_t *code);
#if LLMQ__ANY_TRELLIS
LLMQ__NOINLINE void llmq__viterbi(const float *points, const uint8_t *parity, uint32_t set_size, uint32_t sets, uint32_t states, const float *x,
                               uint32_t steps, uint32_t lanes, float *sum, uint16_t *choice);
#endif
#endif
#if !LLMQ_NO_CALIBRATION
static void llmq__add_products(float *const *out, const float *const *a, size_t a_step, const float *v, size_t v_stride, uint32_t rows,
                               uint32_t count, uint32_t n);
#endif

static const llmq_kernels llmq__scalar = {
    "scalar", 0,
#if LLMQ_MAX_STEPS > 0
    llmq__signs, llmq__butterflies, llmq__paley,
#else
    LLMQ__NULL, LLMQ__NULL, LLMQ__NULL,
#endif
    llmq__quantize, llmq__read_row, llmq__add_rows, llmq__rows_i8, llmq__rows_f32, llmq__add_scaled,
#if !LLMQ_NO_ENCODER
    llmq__nearest_codes,
#else
    LLMQ__NULL,
#endif
#if !LLMQ_NO_ENCODER && LLMQ__ANY_TRELLIS
    llmq__viterbi,
#else
    LLMQ__NULL,
#endif
#if !LLMQ_NO_CALIBRATION
    llmq__add_products
#else
    LLMQ__NULL
#endif
};

#if LLMQ_SIMD /* the other tables: llmq_simd.h, which stands at the end of this file, since it uses all sections */
static const llmq_kernels *llmq__simd_at(uint32_t i);
static uint32_t llmq__simd_features(void);
#endif

LLMQ_API const llmq_kernels *llmq_kernels_at(uint32_t i)
{
    if (i == 0) return &llmq__scalar;
#if LLMQ_SIMD
    return llmq__simd_at(i - 1);
#else
    return LLMQ__NULL;
#endif
}

LLMQ_API uint32_t llmq_cpu_features(void)
{
#ifdef LLMQ_CPU_FEATURES
    return (uint32_t)(LLMQ_CPU_FEATURES);
#elif LLMQ_SIMD
    return llmq__simd_features();
#else
    return 0;
#endif
}

LLMQ_API const llmq_kernels *llmq_kernels_best(void)
{
    const llmq_kernels *k, *best = &llmq__scalar;
    uint32_t i, features = llmq_cpu_features();
    for (i = 1; (k = llmq_kernels_at(i)) != LLMQ__NULL; i++)
        if ((k->features & ~features) == 0) best = k;
    return best;
}

static const llmq_kernels *llmq__kernels(const llmq_kernels *k) { return k ? k : llmq_kernels_at(0); }

/* ---- 3. Hadamard ------------------------------------------------------------------------------------------------ */
#if LLMQ_MAX_STEPS > 0

#define LLMQ__MAX_BASE 128  /* largest Paley base: its dense step costs as many additions a number */

static int llmq__is_power_of_2(uint32_t v) { return v != 0 && (v & (v - 1)) == 0; }

static int llmq__is_prime(uint32_t v)
{
    uint32_t d;
    for (d = 2; d * d <= v; d++)
        if (v % d == 0) return 0;
    return v > 1;
}

/* The m of an order n = m 2^k: 1, or a Paley base; 0 if n is not an order of the kind described. */
static uint32_t llmq__base(uint32_t n)
{
    uint32_t m = n;
    if (llmq__is_power_of_2(n)) return 1;
    while (m % 2 == 0) m /= 2;
    for (m *= 4; m <= LLMQ__MAX_BASE && n % m == 0; m *= 2)
        if (llmq__is_prime(m - 1) || (m / 2 % 4 == 2 && llmq__is_prime(m / 2 - 1))) return m;
    return 0;
}

static uint32_t llmq__block(uint32_t n, uint32_t max_block)
{
    uint32_t b = 1;
    if (n <= max_block && llmq__base(n)) return n;
    while (b <= n / 2 && b <= max_block / 2) b *= 2;
    return b;
}

static int llmq__max_block_ok(size_t b) { return b <= 32768u && llmq__is_power_of_2((uint32_t)b); }

LLMQ_API size_t llmq_hadamard_block(size_t n, size_t max_block)
{
    if (max_block == 0) max_block = LLMQ_DEFAULT_BLOCK;
    if (n == 0 || !llmq__max_block_ok(max_block)) return 0;
    return llmq__block(n > max_block ? (uint32_t)max_block * 2 : (uint32_t)n, (uint32_t)max_block);
}

LLMQ_API size_t llmq_hadamard_work_size(size_t n, size_t max_block)
{
    size_t need = 0, b;
    for (; (b = llmq_hadamard_block(n, max_block)) != 0; n -= b) {
        uint32_t m = llmq__base((uint32_t)b);
        if (n > 2 * b) n = b + n % b; /* equal blocks first: skip all but one of them */
        if (m > 1) need = m * (b / m < LLMQ__LANES ? b / m : LLMQ__LANES) * sizeof(float); /* only the last block can be one */
    }
    return need;
}

/* Paley's symmetric Hadamard matrix of order m over the prime q: is entry (i, j) negative? squares: bit a is set if a is a
   non-zero square mod q. Type I, q = m - 1 = 3 mod 4: first row and column +, else chi(i + j), and - where i + j = 0 mod q. It is
   the textbook matrix I + S with rows and columns put in an order that makes it symmetric.
   Type II, q = m/2 - 1 = 1 mod 4: C x [[+ +][+ -]] + I x [[+ -][- -]], C the symmetric conference matrix chi(i - j). */
static int llmq__paley_negative(uint32_t m, uint32_t q, const uint8_t *squares, uint32_t i, uint32_t j)
{
    uint32_t a, r = i & 1, c = j & 1;
    if (q == m - 1) {
        if (i == 0 || j == 0) return 0;
        a = i - 1 + j - 1;
        if (a >= q) a -= q;
        return !(squares[a >> 3] >> (a & 7) & 1);
    }
    i /= 2, j /= 2;
    if (i == j) return (int)(r | c);
    if (i == 0 || j == 0) return (int)(r & c);
    a = i >= j ? i - j : i + q - j;
    return (int)((r & c) ^ (1 ^ (squares[a >> 3] >> (a & 7) & 1u)));
}

/* x[i * run + j] for i < m and lanes positions j becomes its product with the Paley matrix. */
static void llmq__paley(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares, float *work)
{
    uint32_t i, l, t;
    for (l = 0; l < m; l++)
        LLMQ_MEMCPY(work + l * lanes, x + l * run, lanes * sizeof(float));
    for (i = 0; i < m; i++) {
        float *y = x + i * run;
        LLMQ_MEMCPY(y, work, lanes * sizeof(float)); /* column 0 is + in every row but, in type II, odd row 1 */
        if (llmq__paley_negative(m, q, squares, i, 0))
            for (t = 0; t < lanes; t++) y[t] = -y[t];
        for (l = 1; l < m; l++) {
            const float *v = work + l * lanes;
            if (llmq__paley_negative(m, q, squares, i, l))
                for (t = 0; t < lanes; t++) y[t] -= v[t];
            else
                for (t = 0; t < lanes; t++) y[t] += v[t];
        }
    }
}

static void llmq__butterflies(float *x, uint32_t n, float norm)
{
    uint32_t h, i, j;
    for (h = 1; h < n; h *= 2)
        for (i = 0; i < n; i += 2 * h)
            for (j = i; j < i + h; j++) {
                float a = x[j], b = x[j + h];
                x[j] = a + b;
                x[j + h] = a - b;
            }
    for (i = 0; i < n; i++) x[i] *= norm;
}

/* One block, n an order. */
LLMQ__NOINLINE void llmq__hadamard_block(const llmq_kernels *k, float *x, uint32_t n, float *work)
{
    uint32_t m = llmq__base(n), run = n / m, i, j, q;
    float norm = 1.0f / llmq__sqrt((float)n);
    uint8_t squares[LLMQ__MAX_BASE / 8];
    if (m == 1) {
        k->butterflies(x, n, norm);
        return;
    }
    if (run < LLMQ__LANES) k = llmq_kernels_at(0); /* nothing there is long enough for vectors */
    q = llmq__is_prime(m - 1) ? m - 1 : m / 2 - 1;
    LLMQ_MEMSET(squares, 0, sizeof squares);
    for (i = 1; i < q; i++) squares[i * i % q >> 3] |= (uint8_t)(1u << (i * i % q & 7));
    for (i = 0; i < m; i++) k->butterflies(x + i * run, run, 1.0f);
    for (j = 0; j < run; j += LLMQ__LANES) k->paley(x + j, m, q, run, llmq__min(run - j, LLMQ__LANES), squares, work);
    for (i = 0; i < n; i++) x[i] *= norm;
}

LLMQ_API llmq_status llmq_hadamard(float *x, size_t n, size_t max_block, void *work, size_t work_size, const llmq_kernels *kernels)
{
    size_t b;
    if (!x || n == 0 || llmq_hadamard_block(n, max_block) == 0) return LLMQ_E_ARG;
    b = llmq_hadamard_work_size(n, max_block);
    if (b && (!work || llmq__misaligned(work))) return LLMQ_E_ARG;
    if (work_size < b) return LLMQ_E_WORKSPACE;
    for (; n; n -= b, x += b) {
        b = llmq_hadamard_block(n, max_block);
        llmq__hadamard_block(llmq__kernels(kernels), x, (uint32_t)b, (float *)work);
    }
    return LLMQ_OK;
}
#endif /* LLMQ_MAX_STEPS */

/* ---- 4. Transform ----------------------------------------------------------------------------------------------- */
#if LLMQ_MAX_STEPS == 0

static llmq_status llmq__transform_check(const llmq_transform *t, uint32_t cols)
{
    (void)cols;
    return t->count ? LLMQ_E_LIMIT : LLMQ_OK;
}

#if !LLMQ_NO_BUNDLE
static int llmq__transform_data_ok(const llmq_transform *t) { return t->count == 0; }
#endif

static int llmq__transform_same(const llmq_transform *a, const llmq_transform *b) { return a->count == b->count; }

LLMQ_API size_t llmq_transform_work_size(const llmq_transform *t, uint32_t cols)
{
    (void)t, (void)cols;
    return 0;
}

static llmq_status llmq__transform_work_check(const llmq_transform *t, uint32_t cols, const void *work, size_t work_size)
{
    (void)t, (void)cols, (void)work, (void)work_size;
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_transform_apply(const llmq_transform *t, int direction, float *v, uint32_t cols, void *work,
                                          size_t work_size, const llmq_kernels *kernels)
{
    (void)work, (void)work_size, (void)kernels;
    if (!v || cols == 0 || cols > LLMQ_MAX_COLS || direction < LLMQ_TO_ACTIVATION || direction > LLMQ_FROM_WEIGHT) return LLMQ_E_ARG;
    return t ? llmq__transform_check(t, cols) : LLMQ_OK;
}
#else

LLMQ_API llmq_transform llmq_transform_hadamard(uint32_t seed, uint32_t max_block)
{
    llmq_transform t;
    LLMQ_MEMSET(&t, 0, sizeof t);
    t.count = 1;
    t.step[0].kind = LLMQ_STEP_HADAMARD;
    t.step[0].block = (uint16_t)(max_block == 0 ? LLMQ_DEFAULT_BLOCK : max_block <= 32768u ? max_block : 0);
    t.step[0].arg = seed;
    return t;
}

/* Numbers and bytes of one of a step's data: the arg counts SMOOTH's and PERMUTE's numbers, and ROTATE's matrices. */
LLMQ_API size_t llmq_step_data_size(const llmq_step *step)
{
    size_t n = step ? llmq__size(step->arg) : 0;
    if (n == 0 || n > LLMQ_MAX_COLS) return 0;
    if (step->kind == LLMQ_STEP_SMOOTH && step->block == 0) return llmq__size_mul(n, 4);
    if (step->kind == LLMQ_STEP_PERMUTE && step->block == 0 && step->arg <= 65536u) return llmq__size_mul(n, 2);
    if (step->kind == LLMQ_STEP_ROTATE && step->block >= 2 && step->block <= 256 && llmq__is_power_of_2(step->block))
        return llmq__size_mul(n, 4 * (size_t)step->block * step->block);
    return 0;
}

/* The steps' kinds and numbers; of vectors of cols numbers, unless that is 0. */
static llmq_status llmq__transform_check(const llmq_transform *t, uint32_t cols)
{
    uint32_t i;
    if (t->count > LLMQ_MAX_STEPS) return LLMQ_E_LIMIT;
    for (i = 0; i < t->count; i++) {
        const llmq_step *step = &t->step[i];
        if (step->kind < LLMQ_STEP_HADAMARD || step->kind > LLMQ_STEP_ROTATE) return LLMQ_E_UNSUPPORTED;
        if (step->kind == LLMQ_STEP_HADAMARD) {
            if (!llmq__max_block_ok(step->block)) return LLMQ_E_ARG;
            continue;
        }
        if (!t->data || llmq_step_data_size(step) == 0) return LLMQ_E_ARG;
        if (cols && step->arg != (step->kind == LLMQ_STEP_ROTATE ? cols / step->block : cols) && !(step->kind == LLMQ_STEP_ROTATE && step->arg == 1))
            return LLMQ_E_ARG;
    }
    return LLMQ_OK;
}

/* Bytes of data of the steps before step i, of a transform that was checked. */
static size_t llmq__transform_data(const llmq_transform *t, uint32_t i)
{
    size_t n = 0;
    while (i-- > 0) n += llmq_step_data_size(&t->step[i]);
    return n;
}

/* Is every number below n among the n at b exactly once? Looked for in ranges that a bitmap on the stack holds. */
LLMQ__NOINLINE int llmq__is_permutation(const uint8_t *b, uint32_t n)
{
    uint8_t seen[128];
    uint32_t from, j, k;
    for (from = 0; from < n; from += 1024) {
        LLMQ_MEMSET(seen, 0, sizeof seen);
        for (j = 0; j < n; j++) {
            k = llmq__load16(b + 2 * (size_t)j);
            if (k >= n) return 0;
            k -= from; /* out of the range: large */
            if (k >= 1024) continue;
            if (seen[k / 8] >> k % 8 & 1) return 0;
            seen[k / 8] = (uint8_t)(seen[k / 8] | 1u << k % 8);
        }
    }
    return 1; /* n numbers below n, none twice */
}

static int llmq__step_data_ok(const llmq_step *step, const uint8_t *b)
{
    LLMQ__NO_CONTRACT
    size_t n = llmq_step_data_size(step) / 4, i;
    float sum = 0.0f, v;
    if (step->kind == LLMQ_STEP_PERMUTE) return llmq__is_permutation(b, step->arg);
    for (i = 0; i < n; i++, b += 4) {
        uint32_t e = llmq__load32(b) >> 23; /* with the sign */
        if (step->kind == LLMQ_STEP_SMOOTH) {
            if (e < 1 || e > 254) return 0;
            continue;
        }
        v = llmq__load_float(b);
        sum += v * v;
        if ((i + 1) % step->block) continue;
        if (!(sum >= 0.9375f && sum <= 1.0625f)) return 0;
        sum = 0.0f;
    }
    return 1;
}

/* Is the data of a transform that was checked what it should be? */
static int llmq__transform_data_ok(const llmq_transform *t)
{
    uint32_t i;
    for (i = 0; i < t->count; i++)
        if (t->step[i].kind != LLMQ_STEP_HADAMARD && !llmq__step_data_ok(&t->step[i], t->data + llmq__transform_data(t, i))) return 0;
    return 1;
}

LLMQ_API llmq_status llmq_transform_verify(const llmq_transform *t, uint32_t cols)
{
    llmq_status status;
    if (!t || cols == 0 || cols > LLMQ_MAX_COLS) return LLMQ_E_ARG;
    if ((status = llmq__transform_check(t, cols)) != LLMQ_OK) return status;
    return llmq__transform_data_ok(t) ? LLMQ_OK : LLMQ_E_ARG;
}

static int llmq__transform_same(const llmq_transform *a, const llmq_transform *b)
{
    uint32_t i;
    size_t n;
    if (a->count != b->count) return 0;
    for (i = 0; i < a->count; i++)
        if (a->step[i].kind != b->step[i].kind || a->step[i].block != b->step[i].block || a->step[i].arg != b->step[i].arg) return 0;
    if (a->data == b->data) return 1;
    for (n = llmq__transform_data(a, a->count); n > 0; n--)
        if (!a->data || !b->data || a->data[n - 1] != b->data[n - 1]) return 0;
    return 1;
}

LLMQ_API size_t llmq_transform_work_size(const llmq_transform *t, uint32_t cols)
{
    size_t need = 0;
    uint32_t i;
    for (i = 0; t && i < t->count && i < LLMQ_MAX_STEPS; i++) {
        const llmq_step *step = &t->step[i];
        size_t one = 0;
        if (step->kind == LLMQ_STEP_HADAMARD) one = llmq_hadamard_work_size(cols, step->block);
        if (step->kind == LLMQ_STEP_PERMUTE) one = cols * sizeof(float);
        if (step->kind == LLMQ_STEP_ROTATE) one = 2 * step->block * sizeof(float);
        if (one > need) need = one;
    }
    return need;
}

/* Before anything is written: is this workspace fit for the transform? */
static llmq_status llmq__transform_work_check(const llmq_transform *t, uint32_t cols, const void *work, size_t work_size)
{
    size_t need = llmq_transform_work_size(t, cols);
    if (need && (!work || llmq__misaligned(work))) return LLMQ_E_ARG;
    return work_size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

static void llmq__signs(float *v, uint32_t cols, uint32_t seed)
{
    uint32_t j, bits = 0;
    for (j = 0; j < cols; j++) {
        if (j % 32 == 0) bits = llmq_random(seed, j / 32);
        if (bits >> j % 32 & 1) v[j] = -v[j];
    }
}

static void llmq__smooth(float *v, uint32_t n, const uint8_t *data, int direction)
{
    uint32_t j;
    for (j = 0; j < n; j++, data += 4) v[j] = direction == LLMQ_TO_WEIGHT ? v[j] * llmq__load_float(data) : v[j] / llmq__load_float(data);
}

static void llmq__permute(float *v, uint32_t n, const uint8_t *data, int direction, float *work)
{
    uint32_t j;
    LLMQ_MEMCPY(work, v, n * sizeof *v);
    for (j = 0; j < n; j++, data += 2) {
        if (direction == LLMQ_FROM_WEIGHT) v[llmq__load16(data)] = work[j];
        else v[j] = work[llmq__load16(data)];
    }
}

/* One run of n numbers by the matrix at data: v_i <- sum_k r_ki v_k, or back, v_k <- sum_i r_ki v_i, terms in order. */
static void llmq__rotate(float *v, uint32_t n, const uint8_t *data, int back, float *work, const llmq_kernels *kernels)
{
    LLMQ__NO_CONTRACT
    float *out = work, *row = work + n;
    uint32_t i, k;
    LLMQ_MEMSET(out, 0, n * sizeof *out);
    for (k = 0; k < n; k++, data += 4 * n) {
        llmq__load_floats(row, data, n);
        if (back) for (i = 0; i < n; i++) out[k] += row[i] * v[i];
        else kernels->add_scaled(out, v[k], row, n);
    }
    LLMQ_MEMCPY(v, out, n * sizeof *v);
}

static void llmq__rotate_runs(float *v, uint32_t cols, const llmq_step *step, const uint8_t *data, int back, float *work, const llmq_kernels *kernels)
{
    uint32_t j, n = step->block;
    for (j = 0; j + n <= cols; j += n) {
        llmq__rotate(v + j, n, data, back, work, kernels);
        if (step->arg > 1) data += 4 * (size_t)n * n;
    }
}

static llmq_status llmq__step_apply(const llmq_transform *t, uint32_t i, int direction, float *v, uint32_t cols, void *work, size_t work_size,
                                    const llmq_kernels *kernels)
{
    const llmq_step *step = &t->step[i];
    const uint8_t *data = t->data ? t->data + llmq__transform_data(t, i) : LLMQ__NULL;
    llmq_status status;
    if (step->kind == LLMQ_STEP_HADAMARD) {
        if (direction != LLMQ_FROM_WEIGHT) kernels->signs(v, cols, step->arg);
        if ((status = llmq_hadamard(v, cols, step->block, work, work_size, kernels)) != LLMQ_OK) return status;
        if (direction == LLMQ_FROM_WEIGHT) kernels->signs(v, cols, step->arg);
    }
    if (step->kind == LLMQ_STEP_SMOOTH) llmq__smooth(v, cols, data, direction);
    if (step->kind == LLMQ_STEP_PERMUTE) llmq__permute(v, cols, data, direction, (float *)work);
    if (step->kind == LLMQ_STEP_ROTATE) llmq__rotate_runs(v, cols, step, data, direction == LLMQ_FROM_WEIGHT, (float *)work, kernels);
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_transform_apply(const llmq_transform *t, int direction, float *v, uint32_t cols, void *work,
                                          size_t work_size, const llmq_kernels *kernels)
{
    llmq_status status;
    uint32_t i;
    if (!v || cols == 0 || cols > LLMQ_MAX_COLS || direction < LLMQ_TO_ACTIVATION || direction > LLMQ_FROM_WEIGHT) return LLMQ_E_ARG;
    if (!t) return LLMQ_OK;
    if ((status = llmq__transform_check(t, cols)) != LLMQ_OK) return status;
    if ((status = llmq__transform_work_check(t, cols, work, work_size)) != LLMQ_OK) return status;
    for (i = 0; i < t->count && status == LLMQ_OK; i++) /* T and T^-T run through the steps, T^T through their transposes from the last on */
        status = llmq__step_apply(t, direction == LLMQ_FROM_WEIGHT ? t->count - 1 - i : i, direction, v, cols, work, work_size, llmq__kernels(kernels));
    return status;
}
#endif /* LLMQ_MAX_STEPS */

/* ---- 5. Tables: the built-in grids and trellises ---------------------------------------------------------------- */

/* ---- tables: made by tests/gen/grids.py ---- */
#if LLMQ__HAS(G2)
/* grid g2: p=1 n=4, MSE 0.11748 */
#define LLMQ__UNIT_G2 46.344799f
static const int8_t llmq__g2[4] = {
    -70,-21,21,70
};
#endif

#if LLMQ__HAS(G3)
/* grid g3: p=1 n=8, MSE 0.034549 */
#define LLMQ__UNIT_G3 40.905211f
static const int8_t llmq__g3[8] = {
    -88,-55,-31,-10,10,31,55,88
};
#endif

#if LLMQ__HAS(G4)
/* grid g4: p=1 n=16, MSE 0.0095062 */
#define LLMQ__UNIT_G4 38.135293f
static const int8_t llmq__g4[16] = {
    -104,-79,-62,-48,-36,-25,-15,-5,5,15,25,36,48,62,79,104
};
#endif

#if LLMQ__HAS(G5)
/* grid g5: p=1 n=32, MSE 0.0025192 */
#define LLMQ__UNIT_G5 29.718139f
static const int8_t llmq__g5[32] = {
    -97,-80,-69,-60,-53,-47,-41,-36,-31,-26,-22,-18,-14,-10,-6,-2,2,6,10,14,18,22,26,31,36,41,47,
    53,60,69,80,97
};
#endif

#if LLMQ__HAS(G6)
/* grid g6: p=1 n=64, MSE 0.00065736 */
#define LLMQ__UNIT_G6 28.816499f
static const int8_t llmq__g6[64] = {
    -108,-93,-84,-77,-71,-66,-62,-58,-54,-51,-48,-45,-42,-39,-36,-33,-31,-29,-27,-25,-23,-21,-19,-17,
    -15,-13,-11,-9,-7,-5,-3,-1,1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,36,39,42,45,48,
    51,54,58,62,66,71,77,84,93,108
};
#endif

#if LLMQ__HAS(G8) || LLMQ__ANY_ZERO_POINTS
/* grid g8: p=1 n=256, MSE 8.8308e-05 */
#define LLMQ__UNIT_G8 32.390000f
static const int8_t llmq__g8[256] = {
    -127,-127,-126,-125,-124,-123,-122,-121,-120,-119,-118,-117,-116,-115,-114,-113,-112,-111,-110,-109,
    -108,-107,-106,-105,-104,-103,-102,-101,-100,-99,-98,-97,-96,-95,-94,-93,-92,-91,-90,-89,-88,-87,
    -86,-85,-84,-83,-82,-81,-80,-79,-78,-77,-76,-75,-74,-73,-72,-71,-70,-69,-68,-67,-66,-65,-64,-63,
    -62,-61,-60,-59,-58,-57,-56,-55,-54,-53,-52,-51,-50,-49,-48,-47,-46,-45,-44,-43,-42,-41,-40,-39,
    -38,-37,-36,-35,-34,-33,-32,-31,-30,-29,-28,-27,-26,-25,-24,-23,-22,-21,-20,-19,-18,-17,-16,-15,
    -14,-13,-12,-11,-10,-9,-8,-7,-6,-5,-4,-3,-2,-1,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,
    17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,
    47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67,68,69,70,71,72,73,74,75,76,
    77,78,79,80,81,82,83,84,85,86,87,88,89,90,91,92,93,94,95,96,97,98,99,100,101,102,103,104,
    105,106,107,108,109,110,111,112,113,114,115,116,117,118,119,120,121,122,123,124,125,126,127
};
#endif

#if LLMQ__HAS(V2N16)
/* grid v2n16: p=2 n=16, MSE 0.10758 */
#define LLMQ__UNIT_V2N16 63.424928f
static const int8_t llmq__v2n16[32] = {
    -127,3,-93,-73,-90,77,-61,1,-29,-48,-27,50,-22,-116,-16,117,0,0,29,-53,32,52,56,-1,61,-111,66,
    109,110,-44,112,39
};
#endif

#if LLMQ__HAS(V2N64)
/* grid v2n64: p=2 n=64, MSE 0.029773 */
#define LLMQ__UNIT_V2N64 46.933175f
static const int8_t llmq__v2n64[128] = {
    -121,-4,-114,40,-112,-51,-89,77,-85,-21,-83,-92,-83,12,-73,43,-71,-55,-59,110,-58,-30,-58,-6,
    -53,18,-48,68,-46,40,-44,-77,-41,-116,-39,-47,-35,-21,-33,1,-28,22,-25,91,-24,46,-18,-62,-18,
    -35,-13,-13,-12,68,-11,-90,-9,7,-8,127,-6,27,-1,47,1,-47,6,-27,8,-127,9,-7,11,90,12,-68,13,
    13,18,35,18,62,24,-46,25,-91,28,-22,33,-1,35,21,39,47,41,116,44,77,46,-40,48,-68,53,-18,58,
    6,58,30,59,-110,71,55,73,-43,83,-12,83,92,85,21,89,-77,112,51,114,-40,121,4
};
#endif

#if LLMQ__HAS(V2N256)
/* grid v2n256: p=2 n=256, MSE 0.007803 */
#define LLMQ__UNIT_V2N256 38.329037f
static const int8_t llmq__v2n256[512] = {
    -127,32,-126,-9,-117,-44,-109,63,-108,12,-104,-79,-102,-23,-99,33,-97,-3,-92,-55,-88,14,-87,-36,
    -85,-16,-85,47,-83,69,-80,0,-80,28,-80,96,-76,-103,-76,-73,-75,-25,-73,-53,-72,14,-71,-11,-69,
    -37,-69,39,-69,56,-65,2,-64,25,-62,-21,-62,75,-59,-64,-59,-47,-59,12,-58,-9,-58,46,-57,-32,-56,
    -84,-55,34,-53,1,-53,59,-52,21,-52,116,-51,-19,-49,90,-48,-41,-47,-55,-47,-8,-47,11,-46,44,-45,
    -111,-45,-28,-45,29,-44,-71,-44,72,-42,1,-41,-18,-40,19,-39,56,-38,-36,-38,35,-37,-88,-37,-47,
    -37,-8,-36,10,-35,-59,-34,-26,-33,26,-33,45,-31,1,-30,-17,-30,66,-30,82,-29,-73,-29,-7,-29,16,
    -28,-38,-28,34,-27,53,-27,101,-26,-50,-25,-27,-24,8,-23,24,-22,-62,-22,-11,-22,43,-21,-1,-20,
    -101,-20,-19,-19,-83,-19,-34,-19,15,-19,61,-18,33,-18,126,-17,-127,-17,-43,-16,73,-15,-55,-14,
    -26,-14,-10,-14,6,-14,23,-14,51,-13,87,-12,-70,-12,-2,-11,41,-10,-18,-9,-36,-9,15,-9,31,-7,
    -47,-7,61,-6,-9,-5,-25,-5,23,-4,-85,-4,-59,-4,-1,-4,8,-3,50,-2,72,-2,104,-1,-16,-1,40,0,-32,
    0,32,1,-40,1,16,2,-104,2,-72,3,-50,4,-8,4,1,4,59,4,85,5,-23,5,25,6,9,7,-61,7,47,9,-31,9,
    -15,9,36,10,18,11,-41,12,2,12,70,13,-87,14,-51,14,-23,14,-6,14,10,14,26,15,55,16,-73,17,43,
    17,127,18,-126,18,-33,19,-61,19,-15,19,34,19,83,20,19,20,101,21,1,22,-43,22,11,22,62,23,-24,
    24,-8,25,27,26,50,27,-101,27,-53,28,-34,28,38,29,-16,29,7,29,73,30,-82,30,-66,30,17,31,-1,
    33,-45,33,-26,34,26,35,59,36,-10,37,8,37,47,37,88,38,-35,38,36,39,-56,40,-19,41,18,42,-1,44,
    -72,44,71,45,-29,45,28,45,111,46,-44,47,-11,47,8,47,55,48,41,49,-90,51,19,52,-116,52,-21,53,
    -59,53,-1,55,-34,56,84,57,32,58,-46,58,9,59,-12,59,47,59,64,62,-75,62,21,64,-25,65,-2,69,
    -56,69,-39,69,37,71,11,72,-14,73,53,75,25,76,73,76,103,80,-96,80,-28,80,0,83,-69,85,-47,85,
    16,87,36,88,-14,92,55,97,3,99,-33,102,23,104,79,108,-12,109,-63,117,44,126,9,127,-32
};
#endif

#if LLMQ__HAS(V3N64)
/* grid v3n64: p=3 n=64, MSE 0.10148 */
#define LLMQ__UNIT_V3N64 56.236421f
static const int8_t llmq__v3n64[192] = {
    -125,-26,30,-124,47,-18,-110,-24,-61,-96,73,64,-93,-84,-11,-84,16,23,-80,-3,102,-77,-82,68,-74,
    71,-77,-67,17,-39,-65,-28,-5,-59,60,-1,-59,120,-6,-52,-87,-86,-52,9,-114,-51,-21,49,-46,37,60,
    -42,-28,-67,-35,-65,-24,-32,18,10,-31,-65,35,-29,-127,-3,-22,44,-52,-21,-5,-28,-20,100,61,-14,
    -49,112,-12,43,118,-12,72,-3,-11,-25,13,-7,-4,70,-6,107,-67,-4,44,42,4,-44,-42,6,-107,67,7,4,
    -70,11,25,-13,12,-72,3,12,-43,-118,14,49,-112,20,-100,-61,21,5,28,22,-44,52,29,127,3,31,65,
    -35,32,-18,-10,35,65,24,42,28,67,46,-37,-60,51,21,-49,52,-9,114,52,87,86,59,-120,6,59,-60,1,
    65,28,5,67,-17,39,74,-71,77,77,82,-68,80,3,-102,84,-16,-23,93,84,11,96,-73,-64,110,24,61,124,
    -47,18,125,26,-30
};
#endif

#if LLMQ__HAS(V3N512)
/* grid v3n512: p=3 n=512, MSE 0.027066 */
#define LLMQ__UNIT_V3N512 40.268520f
static const int8_t llmq__v3n512[1536] = {
    -121,-21,-29,-118,15,34,-118,23,-10,-115,-32,43,-111,-61,-1,-111,66,10,-109,-14,8,-106,16,-56,
    -100,49,65,-100,56,-36,-97,-22,-78,-96,-55,-43,-95,3,75,-92,-1,-19,-90,42,28,-89,-73,45,-88,-9,
    34,-87,-39,15,-87,16,10,-87,49,-83,-86,-29,-12,-85,-40,78,-85,-21,-43,-85,24,-25,-85,44,-2,-81,
    18,46,-78,-7,6,-77,-60,-18,-77,-38,42,-77,87,32,-77,103,-22,-76,6,-50,-75,-97,5,-73,-65,-79,
    -73,72,-7,-72,-99,-37,-71,-64,15,-71,36,-50,-70,-14,61,-68,-24,16,-68,-5,-27,-68,10,-102,-68,
    54,45,-68,75,-50,-67,7,28,-67,49,-26,-66,7,-10,-66,27,110,-66,29,-5,-66,31,70,-66,33,21,-65,
    -33,-27,-64,-17,-74,-64,58,18,-63,-43,-53,-62,-42,-3,-62,76,73,-61,-18,-7,-61,-13,37,-60,17,
    -70,-60,22,-28,-59,13,9,-58,-28,106,-58,-18,-47,-57,-55,63,-56,-41,24,-56,29,45,-56,49,-4,-55,
    -71,-41,-55,3,83,-55,6,53,-54,-7,11,-53,-96,45,-53,-69,-9,-53,5,-44,-52,-81,89,-52,-34,46,-52,
    51,-74,-51,-62,38,-50,-35,-113,-49,-51,-26,-49,-15,-25,-48,22,-9,-48,103,10,-47,-26,71,-47,21,
    27,-47,50,-44,-46,-31,7,-46,-20,26,-46,0,-6,-46,1,30,-46,6,-24,-46,26,-44,-46,73,-22,-45,-57,
    13,-45,35,10,-45,39,-23,-45,45,34,-44,74,5,-43,-83,16,-43,-45,-80,-43,-31,-15,-42,-5,-63,-42,
    53,58,-42,76,34,-41,-36,-39,-41,45,88,-39,-92,-15,-39,-86,-70,-39,-28,-61,-39,-18,50,-39,13,9,
    -39,93,-81,-38,-50,-6,-38,-16,-3,-38,25,67,-38,55,15,-37,-13,-41,-37,108,51,-36,-9,-88,-36,14,
    -62,-36,49,-7,-36,105,-36,-35,-56,-53,-35,4,46,-35,23,-87,-35,50,-110,-35,72,-51,-34,-5,14,-34,
    -2,68,-34,23,44,-33,-118,13,-33,-35,31,-33,-9,-21,-33,22,-26,-33,38,-63,-32,-50,80,-32,7,-39,
    -31,-45,52,-31,-23,15,-31,30,-5,-30,-66,-25,-30,-45,13,-30,13,-8,-30,55,-28,-29,-60,30,-29,-11,
    33,-29,11,27,-29,34,28,-27,-74,56,-27,-32,-3,-27,-29,-27,-26,-17,91,-26,-3,-5,-26,27,12,-26,
    36,-42,-25,-69,2,-25,-48,-21,-25,16,89,-24,0,120,-23,3,-122,-23,40,52,-23,56,33,-23,64,-7,-23,
    78,90,-22,-119,-35,-22,-84,-41,-22,-6,-53,-22,6,-23,-22,8,8,-22,90,-4,-21,-29,-48,-21,-19,-12,
    -21,47,12,-21,71,55,-20,37,-24,-19,-28,66,-19,-9,53,-19,18,-52,-19,57,-77,-18,-84,28,-18,-13,
    -33,-18,-13,7,-18,15,59,-17,-68,-96,-17,-49,-40,-17,-43,-69,-17,-28,44,-17,-17,-70,-17,42,-6,
    -17,71,15,-17,76,-29,-16,-21,25,-16,-3,23,-16,6,40,-16,55,-49,-15,-34,13,-15,7,-72,-15,23,-15,
    -15,127,3,-14,-49,-3,-14,21,-34,-13,-45,117,-13,-44,32,-13,-32,-94,-13,17,21,-13,25,40,-13,47,
    76,-12,-113,58,-12,-36,-18,-12,-5,-18,-12,41,117,-12,94,28,-11,-57,15,-11,3,-40,-11,7,-6,-11,
    22,3,-10,-95,-5,-10,32,-67,-10,36,25,-9,-71,-14,-9,-6,74,-8,-51,58,-8,-28,-2,-8,53,-24,-7,
    -64,-62,-7,24,-94,-6,-79,88,-6,-64,38,-6,-43,83,-6,-30,-35,-6,-11,38,-6,1,11,-6,48,43,-6,81,
    -56,-5,-10,-3,-5,21,74,-5,38,8,-4,-5,-94,-4,38,-43,-4,57,1,-3,-16,-49,-3,9,-23,-3,102,-25,
    -2,-21,-18,-2,-19,12,-1,-98,-65,-1,-53,-22,-1,8,31,-1,38,-11,0,-75,10,0,-70,-37,0,-35,-56,0,
    -29,28,0,-20,53,0,-1,-56,0,1,56,0,20,-53,0,29,-28,0,35,56,0,70,37,0,75,-10,1,-38,11,1,-8,
    -31,1,53,22,1,98,65,2,19,-12,2,21,18,3,-102,25,3,-9,23,3,16,49,4,-57,-1,4,-38,43,4,5,94,
    5,-38,-8,5,-21,-74,5,10,3,6,-81,56,6,-48,-43,6,-1,-11,6,11,-38,6,30,35,6,43,-83,6,64,-38,
    6,79,-88,7,-24,94,7,64,62,8,-53,24,8,28,2,8,51,-58,9,6,-74,9,71,14,10,-36,-25,10,-32,67,
    10,95,5,11,-22,-3,11,-7,6,11,-3,40,11,57,-15,12,-94,-28,12,-41,-117,12,5,18,12,36,18,12,113,
    -58,13,-47,-76,13,-25,-40,13,-17,-21,13,32,94,13,44,-32,13,45,-117,14,-21,34,14,49,3,15,-127,
    -3,15,-23,15,15,-7,72,15,34,-13,16,-55,49,16,-6,-40,16,3,-23,16,21,-25,17,-76,29,17,-71,-15,
    17,-42,6,17,17,70,17,28,-44,17,43,69,17,49,40,17,68,96,18,-15,-59,18,13,-7,18,13,33,18,84,
    -28,19,-57,77,19,-18,52,19,9,-53,19,28,-66,20,-37,24,21,-71,-55,21,-47,-12,21,19,12,21,29,48,
    22,-90,4,22,-8,-8,22,-6,23,22,6,53,22,84,41,22,119,35,23,-78,-90,23,-64,7,23,-56,-33,23,-40,
    -52,23,-3,122,24,0,-120,25,-16,-89,25,48,21,25,69,-2,26,-36,42,26,-27,-12,26,3,5,26,17,-91,
    27,29,27,27,32,3,27,74,-56,29,-34,-28,29,-11,-27,29,11,-33,29,60,-30,30,-55,28,30,-13,8,30,
    45,-13,30,66,25,31,-30,5,31,23,-15,31,45,-52,32,-7,39,32,50,-80,33,-38,63,33,-22,26,33,9,21,
    33,35,-31,33,118,-13,34,-23,-44,34,2,-68,34,5,-14,35,-72,51,35,-50,110,35,-23,87,35,-4,-46,
    35,56,53,36,-105,36,36,-49,7,36,-14,62,36,9,88,37,-108,-51,37,13,41,38,-55,-15,38,-25,-67,38,
    16,3,38,50,6,39,-93,81,39,-13,-9,39,18,-50,39,28,61,39,86,70,39,92,15,41,-45,-88,41,36,39,
    42,-76,-34,42,-53,-58,42,5,63,43,31,15,43,45,80,43,83,-16,44,-74,-5,45,-45,-34,45,-39,23,45,
    -35,-10,45,57,-13,46,-73,22,46,-26,44,46,-6,24,46,-1,-30,46,0,6,46,20,-26,46,31,-7,47,-50,
    44,47,-21,-27,47,26,-71,48,-103,-10,48,-22,9,49,15,25,49,51,26,50,35,113,51,62,-38,52,-51,74,
    52,34,-46,52,81,-89,53,-5,44,53,69,9,53,96,-45,54,7,-11,55,-6,-53,55,-3,-83,55,71,41,56,-49,
    4,56,-29,-45,56,41,-24,57,55,-63,58,18,47,58,28,-106,59,-13,-9,60,-22,28,60,-17,70,61,13,-37,
    61,18,7,62,-76,-73,62,42,3,63,43,53,64,-58,-18,64,17,74,65,33,27,66,-33,-21,66,-31,-70,66,
    -29,5,66,-27,-110,66,-7,10,67,-49,26,67,-7,-28,68,-75,50,68,-54,-45,68,-10,102,68,5,27,68,24,
    -16,70,14,-61,71,-36,50,71,64,-15,72,99,37,73,-72,7,73,65,79,75,97,-5,76,-6,50,77,-103,22,
    77,-87,-32,77,38,-42,77,60,18,78,7,-6,81,-18,-46,85,-44,2,85,-24,25,85,21,43,85,40,-78,86,
    29,12,87,-49,83,87,-16,-10,87,39,-15,88,9,-34,89,73,-45,90,-42,-28,92,1,19,95,-3,-75,96,55,
    43,97,22,78,100,-56,36,100,-49,-65,106,-16,56,109,14,-8,111,-66,-10,111,61,1,115,32,-43,118,
    -23,10,118,-15,-34,121,21,29
};
#endif

#if LLMQ__HAS(V4N256)
/* grid v4n256: p=4 n=256, MSE 0.096697 */
#define LLMQ__UNIT_V4N256 48.829579f
static const int8_t llmq__v4n256[1024] = {
    -119,7,-31,17,-118,-11,43,14,-112,-40,-18,-37,-112,19,26,-44,-103,40,28,58,-102,23,-50,-53,-102,
    60,-4,-1,-98,-25,-21,71,-91,62,66,-6,-88,-74,20,47,-88,-67,39,-20,-88,-47,-60,16,-86,-34,48,
    -77,-85,47,-50,62,-84,-34,-4,10,-81,9,-85,5,-79,-5,90,-26,-78,-99,-25,-9,-78,8,-11,-24,-78,86,
    -58,-5,-77,-16,47,70,-77,78,0,-63,-76,-51,-84,-42,-75,11,-3,-102,-71,10,10,22,-69,-53,90,24,
    -67,-55,-27,-87,-67,98,-5,54,-66,42,62,-75,-64,-7,31,-25,-63,18,61,16,-63,29,-31,7,-61,-74,
    -56,71,-60,10,-8,65,-59,-31,-1,-48,-59,-29,42,10,-57,56,23,24,-56,-11,-47,-34,-56,-2,-83,71,
    -56,43,24,-21,-54,22,99,59,-53,-9,-43,32,-53,46,-87,-42,-51,46,27,99,-51,110,19,-8,-50,43,-33,
    -42,-49,-7,-77,-91,-49,21,8,-59,-47,-61,-22,20,-45,-30,12,42,-45,-17,-15,-1,-44,-40,12,110,-42,
    -118,31,12,-42,-91,16,-58,-42,81,70,45,-41,-52,11,-14,-41,11,-35,115,-40,-86,86,-39,-40,-66,
    -34,-32,-40,47,-17,48,-39,51,-63,21,-38,68,-15,-4,-37,-42,56,-42,-36,-40,-110,29,-35,2,53,-56,
    -34,11,27,3,-34,25,36,49,-34,90,72,-38,-32,-67,39,16,-32,-38,24,-87,-32,-34,-64,-3,-32,54,-46,
    -98,-31,35,-120,15,-30,-70,59,73,-30,-32,-29,67,-30,-4,-27,-69,-30,17,-9,-20,-30,31,65,-24,-29,
    -79,3,61,-29,-21,55,41,-29,50,112,-2,-28,12,-64,-10,-25,-8,99,4,-24,-8,114,-53,-24,3,-5,32,
    -23,-89,-83,-11,-23,-19,-113,-35,-22,64,19,-46,-21,102,-28,-49,-20,-16,50,-9,-20,-15,73,-109,
    -19,-16,13,-40,-19,-1,65,97,-18,23,-33,16,-18,39,5,12,-18,60,-80,67,-17,-1,11,74,-17,108,-42,
    26,-15,-114,-36,39,-15,-54,-52,32,-15,-34,-24,-27,-15,18,21,-92,-15,62,44,4,-13,17,-64,-52,-13,
    19,-40,64,-13,75,16,44,-13,75,22,-105,-13,79,-26,95,-12,-17,10,-1,-12,-15,-16,-127,-11,-1,-73,
    34,-10,-80,-51,-92,-10,-37,112,55,-10,21,65,20,-9,-48,78,-5,-9,-45,-3,23,-9,50,-40,-21,-8,-41,
    -65,-57,-8,-16,-32,7,-8,20,26,-42,-8,92,-83,-23,-7,-84,-3,2,-6,-125,-27,-33,-4,-59,29,-31,-3,
    -41,-9,-68,-3,40,-18,-63,-1,4,-28,-32,0,-44,-77,78,0,44,77,-78,1,-4,28,32,3,-40,18,63,3,41,
    9,68,4,59,-29,31,6,125,27,33,7,84,3,-2,8,-92,83,23,8,-20,-26,42,8,16,32,-7,8,41,65,57,9,
    -50,40,21,9,45,3,-23,9,48,-78,5,10,-21,-65,-20,10,37,-112,-55,10,80,51,92,11,1,73,-34,12,15,
    16,127,12,17,-10,1,13,-79,26,-95,13,-75,-22,105,13,-75,-16,-44,13,-19,40,-64,13,-17,64,52,15,
    -62,-44,-4,15,-18,-21,92,15,34,24,27,15,54,52,-32,15,114,36,-39,17,-108,42,-26,17,1,-11,-74,
    18,-60,80,-67,18,-39,-5,-12,18,-23,33,-16,19,1,-65,-97,19,16,-13,40,20,15,-73,109,20,16,-50,
    9,21,-102,28,49,22,-64,-19,46,23,19,113,35,23,89,83,11,24,-3,5,-32,24,8,-114,53,25,8,-99,-4,
    28,-12,64,10,29,-50,-112,2,29,21,-55,-41,29,79,-3,-61,30,-31,-65,24,30,-17,9,20,30,4,27,69,
    30,32,29,-67,30,70,-59,-73,31,-35,120,-15,32,-54,46,98,32,34,64,3,32,38,-24,87,32,67,-39,-16,
    34,-90,-72,38,34,-25,-36,-49,34,-11,-27,-3,35,-2,-53,56,36,40,110,-29,37,42,-56,42,38,-68,15,
    4,39,-51,63,-21,40,-47,17,-48,40,66,34,32,40,86,-86,39,41,-11,35,-115,41,52,-11,14,42,-81,
    -70,-45,42,91,-16,58,42,118,-31,-12,44,40,-12,-110,45,17,15,1,45,30,-12,-42,47,61,22,-20,49,
    -21,-8,59,49,7,77,91,50,-43,33,42,51,-110,-19,8,51,-46,-27,-99,53,-46,87,42,53,9,43,-32,54,
    -22,-99,-59,56,-43,-24,21,56,2,83,-71,56,11,47,34,57,-56,-23,-24,59,29,-42,-10,59,31,1,48,60,
    -10,8,-65,61,74,56,-71,63,-29,31,-7,63,-18,-61,-16,64,7,-31,25,66,-42,-62,75,67,-98,5,-54,67,
    55,27,87,69,53,-90,-24,71,-10,-10,-22,75,-11,3,102,76,51,84,42,77,-78,0,63,77,16,-47,-70,78,
    -86,58,5,78,-8,11,24,78,99,25,9,79,5,-90,26,81,-9,85,-5,84,34,4,-10,85,-47,50,-62,86,34,
    -48,77,88,47,60,-16,88,67,-39,20,88,74,-20,-47,91,-62,-66,6,98,25,21,-71,102,-60,4,1,102,-23,
    50,53,103,-40,-28,-58,112,-19,-26,44,112,40,18,37,118,11,-43,-14,119,-7,31,-17
};
#endif

/* Trellises, from tests/gen/trellis.c, with the MSE of an open search. */
#define LLMQ__TAPS_T1 0x066, 0x026, 0x01a, 0x059
#define LLMQ__UNIT_T1 75.46345f
#if LLMQ__HAS(T1)
static const int8_t llmq__t1[16] = { /* 0.28179, 0.52 dB; {1 2 5 6} {1 2 5} {1 3 4} {0 3 4 6} */
    -124, -101, -53, -48, -44, -44, -22, -22, 23, 19, 42, 45, 53, 54, 97, 127,
};
#endif
#define LLMQ__TAPS_T2 0x03c, 0x016, 0x071, 0x000
#define LLMQ__UNIT_T2 59.28129f
#if LLMQ__HAS(T2)
static const int8_t llmq__t2[16] = { /* 0.07511, 0.80 dB; {2 3 4 5} {1 2 4} {0 4 5 6} */
    -127, -84, -68, -51, -38, -26, -16, -6, 6, 16, 27, 38, 51, 68, 84, 127,
};
#endif
#define LLMQ__TAPS_T3 0x022, 0x070, 0x001, 0x000
#define LLMQ__UNIT_T3 46.74695f
#if LLMQ__HAS(T3)
static const int8_t llmq__t3[32] = { /* 0.01994, 1.06 dB; {1 5} {4 5 6} {0} */
    -127, -97, -78, -58, -70, -55, -42, -31, -43, -32, -22, -13, -22, -13, -4, 5,
    -4, 5, 13, 22, 13, 22, 32, 44, 32, 43, 55, 70, 58, 79, 97, 127,
};
#endif
#define LLMQ__TAPS_T4 0x02c, 0x046, 0x001, 0x000
#define LLMQ__UNIT_T4 38.83169f
#if LLMQ__HAS(T4)
static const int8_t llmq__t4[64] = { /* 0.00514, 1.19 dB; {2 3 5} {1 2 6} {0} */
    -127, -105, -91, -81, -72, -66, -61, -52, -57, -50, -45, -40, -45, -39, -34, -29,
    -34, -30, -26, -21, -25, -21, -17, -13, -17, -13, -10, -6, -9, -6, -2, 2,
    -2, 2, 6, 9, 6, 10, 14, 17, 13, 17, 21, 25, 21, 25, 30, 35,
    30, 35, 40, 46, 40, 45, 51, 58, 53, 62, 67, 73, 81, 91, 105, 126,
};
#endif
#define LLMQ__TAPS_T2S 0x03a, 0x094, 0x08e, 0x161
#define LLMQ__UNIT_T2S 52.87849f
#if LLMQ__HAS(T2S)
static const int8_t llmq__t2s[32] = { /* 0.07109, 0.56 dB; {1 3 4 5} {2 4 7} {1 2 3 7} {0 5 6 8} */
    -125, -88, -72, -82, -50, -54, -53, -42, -34, -28, -22, -26, -11, -13, -9, -1,
    3, 11, 13, 10, 25, 24, 27, 35, 46, 54, 52, 50, 80, 77, 89, 127,
};
#endif
#define LLMQ__TAPS_T3S 0x050, 0x08a, 0x160, 0x001
#define LLMQ__UNIT_T3S 42.98922f
#if LLMQ__HAS(T3S)
static const int8_t llmq__t3s[64] = { /* 0.01844, 0.72 dB; {4 6} {1 3 7} {5 6 8} {0} */
    -125, -101, -87, -79, -70, -60, -52, -45, -68, -59, -51, -46, -40, -35, -29, -27,
    -40, -35, -29, -26, -20, -18, -12, -10, -21, -17, -13, -10, -5, -2, 3, 5,
    -5, -2, 3, 5, 10, 13, 18, 21, 11, 13, 19, 21, 27, 30, 36, 40,
    27, 30, 36, 40, 46, 52, 60, 68, 48, 54, 61, 73, 78, 88, 101, 127,
};
#endif
#define LLMQ__TAPS_T4S 0x02c, 0x0c2, 0x118, 0x001
#define LLMQ__UNIT_T4S 35.78213f
#if LLMQ__HAS(T4S)
static const int8_t llmq__t4s[128] = { /* 0.00469, 0.80 dB; {2 3 5} {1 6 7} {3 4 8} {0} */
    -124, -106, -94, -86, -80, -75, -67, -62, -72, -65, -61, -57, -56, -51, -47, -45,
    -53, -52, -48, -45, -41, -41, -37, -35, -42, -40, -37, -35, -32, -30, -28, -27,
    -32, -30, -27, -26, -24, -22, -20, -19, -24, -22, -20, -18, -16, -15, -13, -11,
    -17, -15, -13, -11, -9, -8, -6, -4, -9, -8, -6, -4, -2, -2, 1, 2,
    -2, -1, 2, 2, 4, 6, 8, 9, 5, 5, 9, 9, 11, 12, 15, 15,
    11, 13, 15, 16, 18, 20, 23, 23, 18, 20, 22, 23, 26, 27, 30, 32,
    26, 28, 30, 31, 35, 36, 40, 42, 35, 36, 39, 42, 44, 47, 51, 54,
    45, 48, 51, 55, 57, 60, 65, 71, 61, 67, 74, 79, 85, 94, 106, 127,
};
#endif

#define LLMQ__ID_F16 2 /* the other raw format of 16 bits is bf16 */

#define LLMQ__MAX_LAG 10 /* rows above that a parity may reach, at most */

/* The built-in formats; their order is that of menus. Ids 16 ... 21, 32 ... 37 and 256 were those of version 0.1, whose rows
   were laid out otherwise. */
typedef struct llmq__builtin {
    const char *name;
    const int8_t *points;
    float unit;
    uint16_t id;
    uint8_t bits, p, zero_points;
    uint16_t taps[4];
} llmq__builtin;

static const llmq__builtin llmq__builtins[] = {
#if LLMQ__HAS(F32)
    { "f32",    LLMQ__NULL,          0.0f,               1,  32, 1, 0, { 0 } },
#endif
#if LLMQ__HAS(F16)
    { "f16",    LLMQ__NULL,          0.0f,               LLMQ__ID_F16, 16, 1, 0, { 0 } },
#endif
#if LLMQ__HAS(BF16)
    { "bf16",   LLMQ__NULL,          0.0f,               3,  16, 1, 0, { 0 } },
#endif
#if LLMQ__HAS(G2)
    { "g2",     llmq__g2,      LLMQ__UNIT_G2,      24, 2,  1, 0, { 0 } },
#endif
#if LLMQ__HAS(G3)
    { "g3",     llmq__g3,      LLMQ__UNIT_G3,      25, 3,  1, 0, { 0 } },
#endif
#if LLMQ__HAS(G4)
    { "g4",     llmq__g4,      LLMQ__UNIT_G4,      26, 4,  1, 0, { 0 } },
#endif
#if LLMQ__HAS(G5)
    { "g5",     llmq__g5,      LLMQ__UNIT_G5,      27, 5,  1, 0, { 0 } },
#endif
#if LLMQ__HAS(G6)
    { "g6",     llmq__g6,      LLMQ__UNIT_G6,      28, 6,  1, 0, { 0 } },
#endif
#if LLMQ__HAS(G8)
    { "g8",     llmq__g8,      LLMQ__UNIT_G8,      29, 8,  1, 0, { 0 } },
#endif
#if LLMQ__HAS(V2N16)
    { "v2n16",  llmq__v2n16,   LLMQ__UNIT_V2N16,   40, 4,  2, 0, { 0 } },
#endif
#if LLMQ__HAS(V2N64)
    { "v2n64",  llmq__v2n64,   LLMQ__UNIT_V2N64,   41, 6,  2, 0, { 0 } },
#endif
#if LLMQ__HAS(V2N256)
    { "v2n256", llmq__v2n256,  LLMQ__UNIT_V2N256,  42, 8,  2, 0, { 0 } },
#endif
#if LLMQ__HAS(V3N64)
    { "v3n64",  llmq__v3n64,   LLMQ__UNIT_V3N64,   43, 6,  3, 0, { 0 } },
#endif
#if LLMQ__HAS(V3N512)
    { "v3n512", llmq__v3n512,  LLMQ__UNIT_V3N512,  44, 9,  3, 0, { 0 } },
#endif
#if LLMQ__HAS(V4N256)
    { "v4n256", llmq__v4n256,  LLMQ__UNIT_V4N256,  45, 8,  4, 0, { 0 } },
#endif
#if LLMQ__HAS(U4)
    { "u4",     llmq__g8 + 120, 2.5f,              50, 4,  1, 1, { 0 } }, /* -8 ... 7 */
#endif
#if LLMQ__HAS(U6)
    { "u6",     llmq__g8 + 96, 10.5f,              51, 6,  1, 1, { 0 } }, /* -32 ... 31 */
#endif
#if LLMQ__HAS(U8)
    { "u8",     llmq__g8,      42.5f,              52, 8,  1, 1, { 0 } },
#endif
#if LLMQ__HAS(T1)
    { "t1",    llmq__t1,       LLMQ__UNIT_T1,      60, 1,  1, 0, { LLMQ__TAPS_T1 } },
#endif
#if LLMQ__HAS(T2)
    { "t2",    llmq__t2,       LLMQ__UNIT_T2,      61, 2,  1, 0, { LLMQ__TAPS_T2 } },
#endif
#if LLMQ__HAS(T3)
    { "t3",    llmq__t3,       LLMQ__UNIT_T3,      62, 3,  1, 0, { LLMQ__TAPS_T3 } },
#endif
#if LLMQ__HAS(T4)
    { "t4",    llmq__t4,       LLMQ__UNIT_T4,      63, 4,  1, 0, { LLMQ__TAPS_T4 } },
#endif
#if LLMQ__HAS(T2S)
    { "t2s",   llmq__t2s,      LLMQ__UNIT_T2S,     64, 2,  1, 0, { LLMQ__TAPS_T2S } },
#endif
#if LLMQ__HAS(T3S)
    { "t3s",   llmq__t3s,      LLMQ__UNIT_T3S,     65, 3,  1, 0, { LLMQ__TAPS_T3S } },
#endif
#if LLMQ__HAS(T4S)
    { "t4s",   llmq__t4s,      LLMQ__UNIT_T4S,     66, 4,  1, 0, { LLMQ__TAPS_T4S } },
#endif
};

/* ---- 6. Format and row layout ----------------------------------------------------------------------------------- */

static uint32_t llmq__ceil_log2(uint32_t n)
{
    uint32_t b = 0;
    while (((uint32_t)1 << b) < n) b++;
    return b;
}

/* What a format is, as far as any that is kept can be. */
static int llmq__is_raw(const llmq_format *f) { return LLMQ__HAS(RAW) && !f->points; }
static int llmq__is_trellis(const llmq_format *f) { return LLMQ__ANY_TRELLIS && f->taps[0] != 0; }
static int llmq__has_zero_points(const llmq_format *f) { return LLMQ__ANY_ZERO_POINTS && f->zero_points != 0; }

static int llmq__group_ok(uint32_t g) { return g == 0 || (g % 32 == 0 && g <= 1024); }

/* Parities of a trellis, which is what has some. */
static uint32_t llmq__parities(const llmq_format *f)
{
    uint32_t i = 0;
    while (i < 4 && f->taps[i]) i++;
    return i;
}

/* Points that the format's table has. */
static uint32_t llmq__table(const llmq_format *f) { return (uint32_t)1 << (llmq__is_trellis(f) ? f->bits - 1 + llmq__parities(f) : f->bits); }

/* Taps of nothing, or of parities with no gap between them; all in reach, and some above the row itself. */
static int llmq__taps_ok(const llmq_format *f)
{
    uint32_t all = (uint32_t)f->taps[0] | f->taps[1] | f->taps[2] | f->taps[3], i = llmq__parities(f);
    for (; i < 4; i++)
        if (f->taps[i]) return 0;
    return all == 0 || (all > 1 && all >> (LLMQ__MAX_LAG + 1) == 0);
}

static int llmq__format_ok(const llmq_format *f)
{
    if (!llmq__taps_ok(f)) return 0;
    if (f->p < 1 || f->p > 8 || f->bits < 1) return 0;
    if (!f->points) return LLMQ__HAS(RAW) && f->p == 1 && (f->bits == 16 || f->bits == 32) && !f->zero_points && !f->taps[0];
    if (!(f->unit >= 7.8886091e-31f && f->unit <= 1.2676506e30f) || !llmq__group_ok(f->group)) return 0;
    if (f->taps[0])
        return LLMQ__ANY_TRELLIS && f->p == 1 && f->bits <= 4 && !f->zero_points && f->n == llmq__table(f);
    return f->bits <= 16 && llmq__ceil_log2(f->n) == f->bits && f->zero_points <= (LLMQ__ANY_ZERO_POINTS && f->p == 1 && f->bits <= 8 ? 1 : 0);
}

LLMQ_API llmq_status llmq_format_at(llmq_format *f, uint32_t i)
{
    const llmq__builtin *row;
    if (!f) return LLMQ_E_ARG;
    if (i >= sizeof llmq__builtins / sizeof *llmq__builtins) return LLMQ_E_NOT_FOUND;
    row = &llmq__builtins[i];
    f->name = row->name;
    f->points = row->points;
    f->unit = row->unit;
    f->id = row->id;
    f->bits = row->bits;
    f->p = row->p;
    f->group = row->points ? 128 : 0;
    f->zero_points = row->zero_points;
    LLMQ_MEMCPY(f->taps, row->taps, sizeof f->taps);
    f->n = row->points ? llmq__table(f) : 0;
    return LLMQ_OK;
}

/* < 0, 0, > 0 as the bytes of a come before, are, come after those of b */
static int llmq__compare(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

LLMQ_API llmq_status llmq_format_find(llmq_format *f, const char *name, uint32_t group)
{
    llmq_format found;
    uint32_t i;
    if (!f || !name) return LLMQ_E_ARG;
    for (i = 0; llmq_format_at(&found, i) == LLMQ_OK; i++)
        if (llmq__compare(found.name, name) == 0) {
            if (found.points && !llmq__group_ok(group)) return LLMQ_E_ARG;
            if (found.points) found.group = group;
            *f = found;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

/* A custom format, but for the order of its points. */
static llmq_status llmq__format_of(llmq_format *f, uint32_t p, uint32_t n, const int8_t *points, float unit, uint32_t group)
{
    llmq_format g;
    if (!points || n < 2 || n > 65536u) return LLMQ_E_ARG;
    g.name = "custom";
    g.points = points;
    g.unit = unit;
    g.id = LLMQ_FORMAT_CUSTOM;
    g.bits = llmq__ceil_log2(n);
    g.p = p;
    g.n = n;
    g.group = group;
    g.zero_points = 0;
    LLMQ_MEMSET(g.taps, 0, sizeof g.taps);
    if (!llmq__format_ok(&g)) return LLMQ_E_ARG;
    *f = g;
    return LLMQ_OK;
}

/* Are the first n points sorted by their first coordinate, as the search for the nearest takes for granted? */
static int llmq__points_sorted(const llmq_format *f)
{
    uint32_t i;
    for (i = 1; i < f->n; i++)
        if (f->points[(size_t)i * f->p] < f->points[(size_t)(i - 1) * f->p]) return 0;
    return 1;
}

LLMQ_API llmq_status llmq_format_custom(llmq_format *f, uint32_t p, uint32_t n, const int8_t *points, float unit, uint32_t group)
{
    llmq_format g;
    llmq_status status = f ? llmq__format_of(&g, p, n, points, unit, group) : LLMQ_E_ARG;
    if (status != LLMQ_OK || !llmq__points_sorted(&g)) return LLMQ_E_ARG;
    *f = g;
    return LLMQ_OK;
}

#define LLMQ__CHUNK 32  /* columns that are decoded together: a bit field of a unit, and a divisor of every group */
#define LLMQ__UNIT 128      /* codes that are packed together, of grids */
#define LLMQ__TRELLIS_UNIT 256 /* and of trellises */

/* How a row is laid out: everything that follows from format and cols. */
typedef struct llmq__layout {
    uint32_t group;    /* columns a scale, never 0 */
    uint32_t vectors;  /* codes of a whole group */
    uint32_t codes;    /* codes of the row */
    uint32_t scales;   /* bytes of scales before the codes */
    uint32_t zero_points;    /* bytes of zeros behind them */
    uint32_t bits;     /* of a code */
    uint32_t unit;     /* codes that are packed together: M of section 6 */
    int pairs;         /* of 3-bit codes are packed as one of 6 bits */
} llmq__layout;

static llmq__layout llmq__row_layout(const llmq_format *f, uint32_t cols)
{
    llmq__layout l;
    l.group = f->group ? f->group : cols;
    l.vectors = llmq__ceil_div(l.group, f->p);
    l.codes = cols / l.group * l.vectors + llmq__ceil_div(cols % l.group, f->p);
    l.scales = 2 * llmq__ceil_div(cols, l.group);
    l.zero_points = llmq__has_zero_points(f) ? l.scales / 2 : 0;
    l.bits = f->bits;
    l.unit = llmq__is_trellis(f) ? LLMQ__TRELLIS_UNIT : LLMQ__UNIT;
    l.pairs = f->bits == 3 && !llmq__is_trellis(f);
    return l;
}

static uint32_t llmq__plane_width(uint32_t bits) { return bits >= 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1; }

static uint32_t llmq__plane_bytes(uint32_t values, uint32_t width) { return llmq__ceil_div(values * width, 8); }

static uint32_t llmq__unit_bytes(const llmq__layout *l, uint32_t codes)
{
    uint32_t bytes = 0, bits = l->bits;
    if (l->pairs) bits = 6, codes = llmq__ceil_div(codes, 2);
    for (; bits; bits -= llmq__plane_width(bits)) bytes += llmq__plane_bytes(codes, llmq__plane_width(bits));
    return bytes;
}

LLMQ_API size_t llmq_row_size(const llmq_format *f, uint32_t cols)
{
    llmq__layout l;
    if (!f || !llmq__format_ok(f) || cols == 0 || cols > LLMQ_MAX_COLS) return 0;
    if (llmq__is_raw(f)) return llmq__size(cols * (f->bits / 8)); /* <= 2^26, as below: 16 bits a code */
    l = llmq__row_layout(f, cols);
    return llmq__size(l.scales + l.codes / l.unit * llmq__unit_bytes(&l, l.unit) + llmq__unit_bytes(&l, l.codes % l.unit) + l.zero_points);
}

/* Where a code is: its unit, the place in it, the numbers in the unit, the bits of a number, and how far the code is shifted
   in that. A run of codes from k on shares all but k until the unit, or its half with 3 bits, ends. */
typedef struct llmq__code_position {
    uint32_t unit;  /* first byte */
    uint32_t k;     /* number in the unit, or in its half */
    uint32_t capacity;  /* numbers in the unit: M of section 6, or H */
    uint32_t bits, shift;
} llmq__code_position;

static llmq__code_position llmq__find_code(const llmq__layout *l, uint32_t code)
{
    llmq__code_position pos;
    pos.k = code % l->unit;
    pos.unit = (code - pos.k) / 8 * l->bits;
    pos.capacity = llmq__min(l->codes - (code - pos.k), l->unit);
    pos.bits = l->bits;
    pos.shift = 0;
    if (l->pairs) {
        pos.bits = 6;
        pos.capacity = llmq__ceil_div(pos.capacity, 2);
        if (pos.k >= pos.capacity) pos.k -= pos.capacity, pos.shift = 3;
    }
    return pos;
}

/* code[0, n) |= bits [shift, shift + ...) of the bytes b, moved up by `done`. In sixteens, which compilers make vectors of. */
LLMQ__NOINLINE void llmq__merge_field(const uint8_t *b, uint32_t n, uint32_t shift, uint32_t mask, uint32_t done, uint16_t *code)
{
    uint32_t i;
    for (; n >= 16; n -= 16, b += 16, code += 16)
        for (i = 0; i < 16; i++) code[i] = (uint16_t)(code[i] | (b[i] >> shift & mask) << done);
    for (i = 0; i < n; i++) code[i] = (uint16_t)(code[i] | (b[i] >> shift & mask) << done);
}

/* code[0, n) = the numbers from there on, all in one unit; n <= LLMQ__CHUNK */
static void llmq__unpack_run(const uint8_t *plane, const llmq__code_position *pos, uint32_t n, uint16_t *code)
{
    uint32_t done = 0, bits = pos->bits, width, bytes, i, run, byte, shift;
    uint8_t b[LLMQ__CHUNK]; /* a copy, which cannot overlap code */
    LLMQ_MEMSET(code, 0, n * sizeof *code);
    for (; bits; bits -= width, done += width, plane += bytes) {
        width = llmq__plane_width(bits);
        bytes = llmq__plane_bytes(pos->capacity, width);
        for (byte = pos->k, shift = 0; byte >= bytes; byte -= bytes) shift += width;
        for (i = 0; i < n; i += run, byte = 0, shift += width) {
            run = llmq__min(bytes - byte, n - i);
            LLMQ_MEMCPY(b, plane + byte, run);
            llmq__merge_field(b, run, shift, ((uint32_t)1 << width) - 1, done, code + i);
        }
    }
}

/* code[0, count) = codes first, first + 1 ... of a row; count <= LLMQ__CHUNK */
static void llmq__unpack(const uint8_t *row_codes, const llmq__layout *l, uint32_t first, uint32_t count, uint16_t *code)
{
    uint32_t n, i;
    for (; count; count -= n, first += n, code += n) {
        llmq__code_position pos = llmq__find_code(l, first);
        n = llmq__min(count, pos.capacity - pos.k);
        llmq__unpack_run(row_codes + pos.unit, &pos, n, code);
        for (i = 0; i < n && l->pairs; i++) code[i] = (uint16_t)(code[i] >> pos.shift & 7);
    }
}

/* ---- 7. Tensor -------------------------------------------------------------------------------------------------- */

LLMQ_API size_t llmq_tensor_size(const llmq_format *f, uint32_t rows, uint32_t cols)
{
    return llmq__size_mul(llmq_row_size(f, cols), llmq__size(rows));
}

LLMQ_API llmq_status llmq_tensor_init(llmq_tensor *t, const llmq_format *f, const llmq_transform *transform, uint32_t rows,
                                      uint32_t cols, const void *data, size_t size)
{
    llmq_status status;
    size_t row = f ? llmq_row_size(f, cols) : 0;
    if (!t || !f || !data || cols == 0 || !llmq__format_ok(f)) return LLMQ_E_ARG;
    if (row == 0) return LLMQ_E_LIMIT;
    if (transform && (status = llmq__transform_check(transform, cols)) != LLMQ_OK) return status;
    if (size / row < rows) return LLMQ_E_WORKSPACE;
    LLMQ_MEMSET(t, 0, sizeof *t);
    t->format = *f;
    if (transform) t->transform = *transform;
    t->rows = rows;
    t->cols = cols;
    t->row_size = row;
    t->data = (const uint8_t *)data;
    t->kernels = LLMQ_KERNELS;
    return LLMQ_OK;
}

/* The rows of a trellis that hang together: `rows` of them from `first` on, a ring. */
typedef struct llmq__trellis_block {
    uint32_t first, rows;
} llmq__trellis_block;

static llmq__trellis_block llmq__trellis_block_of(uint32_t rows, uint32_t r)
{
    llmq__trellis_block block;
    block.first = r / LLMQ_TRELLIS_BLOCK * LLMQ_TRELLIS_BLOCK;
    if (block.first > 0 && rows - block.first < LLMQ_TRELLIS_BLOCK) block.first -= LLMQ_TRELLIS_BLOCK;
    block.rows = rows - block.first < 2 * LLMQ_TRELLIS_BLOCK ? rows - block.first : LLMQ_TRELLIS_BLOCK;
    return block;
}

LLMQ_API uint32_t llmq_trellis_block_start(const llmq_tensor *t, uint32_t r)
{
    return llmq__is_trellis(&t->format) ? llmq__trellis_block_of(t->rows, r).first : r;
}

#if LLMQ__ANY_TRELLIS
/* The parities that the code `lag` rows above has a part in, a bit each. */
static uint32_t llmq__parities_of(const llmq_format *f, uint32_t lag)
{
    return (f->taps[0] >> lag & 1u) | (f->taps[1] >> lag & 1u) << 1 | (f->taps[2] >> lag & 1u) << 2 | (f->taps[3] >> lag & 1u) << 3;
}

/* The record of the row `lag` above row r in its ring. */
static const uint8_t *llmq__above(const llmq_tensor *t, const llmq__trellis_block *block, uint32_t r, uint32_t lag)
{
    for (r -= block->first; r < lag; r += block->rows) continue;
    return t->data + (block->first + r - lag) * t->row_size;
}

/* Bytes i < n of b, four a word, ^= (from[i] >> shift & mask) * factor, which is less than 256. */
LLMQ__NOINLINE void llmq__xor_field(const uint8_t *from, uint32_t shift, uint32_t mask, uint32_t factor, uint32_t n, uint32_t *b)
{
    uint32_t i;
    for (i = 0; i + 4 <= n; i += 4) b[i / 4] ^= (llmq__load32(from + i) >> shift & mask * 0x01010101u) * factor;
    for (; i < n; i++) b[i / 4] ^= ((from[i] >> shift & mask) * factor) << i % 4 * 8;
}

/* Bit i of a byte of b ^= parity i of a code of row r: of the n codes that begin `at` bytes from the row's head, bits `shift`. */
static void llmq__xor_rows(const llmq_tensor *t, uint32_t r, size_t at, uint32_t shift, uint32_t n, uint32_t *b)
{
    llmq__trellis_block block = llmq__trellis_block_of(t->rows, r);
    uint32_t lag, parities, taps = 0, i;
    for (i = 0; i < 4; i++) taps |= t->format.taps[i];
    for (lag = 0; taps >> lag; lag++) {
        parities = llmq__parities_of(&t->format, lag);
        if (parities) llmq__xor_field(llmq__above(t, &block, r, lag) + at, shift, 1, parities, n, b);
    }
}

#if LLMQ_SIMD
/* Has a built-in trellis these taps? The kernels of llmq_simd.h know no others. */
static int llmq__known_taps(const llmq_format *f)
{
    const uint16_t *a = f->taps, *b;
    uint32_t i;
    for (i = 0; i < sizeof llmq__builtins / sizeof *llmq__builtins; i++) {
        b = llmq__builtins[i].taps;
        if (f->bits == llmq__builtins[i].bits && a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3]) return 1;
    }
    return 0;
}
#endif

/* e[0, count) = the points of codes [first, first + count) of a row of a trellis; count <= LLMQ__CHUNK */
LLMQ__NOINLINE void llmq__indices(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t first, uint32_t count, int8_t *e)
{
    const int8_t *points = t->format.points;
    uint32_t b[LLMQ__CHUNK / 4], r = (uint32_t)((size_t)(row - t->data) / t->row_size), parities = llmq__parities(&t->format), i, n;
    for (; count; count -= n, first += n, e += n) { /* runs in one bit field of each plane */
        llmq__code_position pos = llmq__find_code(l, first);
        const uint8_t *plane = row + l->scales + pos.unit;
        uint32_t width = llmq__plane_width(l->bits), bytes = llmq__plane_bytes(pos.capacity, width), byte, shift;
        n = llmq__min(count, pos.capacity - pos.k);
        for (byte = pos.k, shift = 0; byte >= bytes; byte -= bytes) shift += width;
        n = llmq__min(n, bytes - byte);
        LLMQ_MEMSET(b, 0, sizeof b);
        if (l->bits == 3) { /* the highest bit is in a plane of its own */
            uint32_t more = llmq__plane_bytes(pos.capacity, 1);
            n = llmq__min(n, more - pos.k % more);
            llmq__xor_field(plane + bytes + pos.k % more, pos.k / more, 1, (uint32_t)2 << parities, n, b);
        }
        llmq__xor_rows(t, r, l->scales + pos.unit + byte, shift, n, b);
        llmq__xor_field(plane + byte, shift + 1, ((uint32_t)1 << width >> 1) - 1, (uint32_t)1 << parities, n, b);
        for (i = 0; i < n; i++) e[i] = points[b[i / 4] >> i % 4 * 8 & 255];
    }
}
#endif

/* e[0, count) = the points' coordinates at columns [j, j + count), which lie in one group; count <= LLMQ__CHUNK */
LLMQ__NOINLINE void llmq__points(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j, uint32_t count, int8_t *e)
{
    uint16_t code[LLMQ__CHUNK];
    const int8_t *points = t->format.points;
    uint32_t p = t->format.p, in = j % l->group, first = j / l->group * l->vectors, i = 0, v;
#if LLMQ__ANY_TRELLIS
    if (t->format.taps[0]) {
        llmq__indices(t, l, row, first + in, count, e);
        return;
    }
#endif
    if (p == 1) {
        llmq__unpack(row + l->scales, l, first + in, count, code);
        for (i = 0; i < count; i++) e[i] = points[code[i]];
    } else {
        uint32_t skip = in % p; /* of the first vector, when p does not divide the chunk */
        llmq__unpack(row + l->scales, l, first + in / p, llmq__ceil_div(skip + count, p), code);
        for (v = 0; i < count; v++, skip = 0)
            for (; skip < p && i < count; skip++, i++) e[i] = points[code[v] * p + skip];
    }
}

/* What works on the rows of a tensor: its kernels, if they know its format. */
static const llmq_kernels *llmq__row_kernels(const llmq_tensor *t)
{
#if LLMQ_SIMD && LLMQ__ANY_TRELLIS
    if (t->format.taps[0] && !llmq__known_taps(&t->format)) return llmq_kernels_at(0);
#endif
    return llmq__kernels(t->kernels);
}

static float llmq__scale(const uint8_t *row, uint32_t group) { return llmq_bf16_to_f32((uint16_t)llmq__load16(row + 2 * group)); }

/* v[0, count) = what the products multiply with at columns [j, j + count), before the scale */
LLMQ__NOINLINE void llmq__values(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j, uint32_t count, float *v)
{
    uint32_t i;
    if (!llmq__is_raw(&t->format)) {
        int8_t e[LLMQ__CHUNK];
        llmq__points(t, l, row, j, count, e);
        for (i = 0; i < count; i++) v[i] = (float)e[i];
    } else if (t->format.bits == 32) {
        for (row += 4 * (size_t)j, i = 0; i < count; i++) v[i] = llmq__load_float(row + 4 * i);
    } else {
        uint16_t b[LLMQ__CHUNK];
        for (row += 2 * (size_t)j, i = 0; i < count; i++) b[i] = (uint16_t)llmq__load16(row + 2 * i);
        if (t->format.id != LLMQ__ID_F16)
            for (i = 0; i < count; i++) v[i] = llmq_bf16_to_f32(b[i]);
        else
            for (i = 0; i < count; i++) v[i] = llmq_f16_to_f32(b[i]);
    }
}

/* Raw rows are one group of scale 1. */
static llmq__layout llmq__layout_of(const llmq_tensor *t) { return llmq__row_layout(&t->format, t->cols); }

/* out[0, n) += scale * v[0, n) */
LLMQ__NOINLINE void llmq__add_scaled(float *out, float scale, const float *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    uint32_t i;
    for (i = 0; i < n; i++) out[i] += scale * v[i];
}

/* Where the chunk of columns from j on ends: within the row and within the group. */
static uint32_t llmq__chunk_end(const llmq_tensor *t, const llmq__layout *l, uint32_t j)
{
    return llmq__min(llmq__min(t->cols, j + LLMQ__CHUNK), (j / l->group + 1) * l->group);
}

static void llmq__read_row(const llmq_tensor *t, uint32_t r, float *out)
{
    llmq__layout l = llmq__layout_of(t);
    const uint8_t *row = t->data + (size_t)r * t->row_size;
    uint32_t j, end, i;
    for (j = 0; j < t->cols; j = end) {
        end = llmq__chunk_end(t, &l, j);
        llmq__values(t, &l, row, j, end - j, out + j);
        if (!llmq__is_raw(&t->format)) {
            float scale = llmq__scale(row, j / l.group);
            for (i = j; i < end; i++) out[i] *= scale;
        }
    }
}

LLMQ__NOINLINE void llmq__add_row(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, float weight, float *out)
{
    LLMQ__NO_CONTRACT
    float v[LLMQ__CHUNK];
    uint32_t j, end;
    for (j = 0; j < t->cols; j = end) {
        end = llmq__chunk_end(t, l, j);
        llmq__values(t, l, row, j, end - j, v);
        llmq__add_scaled(out + j, llmq__is_raw(&t->format) ? weight : weight * llmq__scale(row, j / l->group), v, end - j);
    }
}

static void llmq__add_rows(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t r;
    for (r = r0; r < r1; r++) llmq__add_row(t, &l, t->data + (size_t)r * t->row_size, weight[r], out);
}

/* What a zero point adds to all numbers of group g of a record: exact, 8 bits of the scale times 9. */
static float llmq__zero_point_term(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t g)
{
    int32_t zero = row[t->row_size - l->zero_points + g], one = 1;
    return (float)((one << (t->format.bits - 1)) - zero) * llmq__scale(row, g);
}

/* out += sum of weight[r] * what the zero points of row r add, for rows [r0, r1); weight NULL: 1 */
LLMQ__NOINLINE void llmq__add_zero_point_terms(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out)
{
    LLMQ__NO_CONTRACT
    llmq__layout l = llmq__layout_of(t);
    uint32_t g, r, j;
    for (g = 0; g < l.zero_points; g++) {
        float sum = 0.0f;
        for (r = r0; r < r1; r++) sum += (weight ? weight[r] : 1.0f) * llmq__zero_point_term(t, &l, t->data + r * t->row_size, g);
        for (j = g * l.group; j < llmq__min(t->cols, (g + 1) * l.group); j++) out[j] += sum;
    }
}

LLMQ_API llmq_status llmq_tensor_decode(const llmq_tensor *t, uint32_t row, float *out, void *work, size_t work_size)
{
    llmq_status status;
    if (!t || !out || row >= t->rows) return LLMQ_E_ARG;
    if ((status = llmq__transform_work_check(&t->transform, t->cols, work, work_size)) != LLMQ_OK) return status;
    (t->cols < 128 ? llmq_kernels_at(0) : llmq__row_kernels(t))->read_row(t, row, out);
    if (llmq__has_zero_points(&t->format)) llmq__add_zero_point_terms(t, LLMQ__NULL, row, row + 1, out);
    return llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, out, t->cols, work, work_size, t->kernels);
}

/* ---- 8. Activation ---------------------------------------------------------------------------------------------- */

#define LLMQ__BATCH 8  /* activations that share one decoding of a row */

static uint32_t llmq__activation_group(const llmq_tensor *t)
{
    uint32_t g = llmq__is_raw(&t->format) ? 0 : t->format.group;
    return g ? g : 128;
}

/* Of one activation: numbers, then scales and codes, and the shifts if there are any. */
static size_t llmq__activation_size(const llmq_tensor *t, uint32_t bits, int with_offsets)
{
    size_t rest, codes = 0;
    if (!t || t->cols == 0 || (bits != 32 && (bits < 2 || bits > 8))) return 0;
    rest = llmq_transform_work_size(&t->transform, t->cols); /* done with before the codes are written: they share memory */
    if (bits != 32) codes = llmq__ceil_div(t->cols, llmq__activation_group(t)) * sizeof(float) + (size_t)t->cols * (with_offsets ? 2 : 1);
    return llmq__size_add(llmq__size_mul(t->cols, sizeof(float)), rest > codes ? rest : codes);
}

LLMQ_API size_t llmq_activation_size(const llmq_tensor *t, uint32_t bits) { return llmq__activation_size(t, bits, 0); }

/* Has a group with these bits of max|x| a scale, and what stands for it if not: 0 below 2^-100, NaN where it is not finite. */
static int llmq__quantizable(uint32_t max_abs) { return max_abs >= (uint32_t)(127 - 100) << 23 && max_abs < 0x7f800000u; }
static float llmq__no_scale(uint32_t max_abs) { return max_abs >= 0x7f800000u ? llmq__bits_float(0x7fc00000u) : 0.0f; }

/* q[0, n) and the scale of one group */
static float llmq__quantize(const float *x, uint32_t n, float levels, int8_t *q)
{
    uint32_t i, max_abs = 0, bits;
    float inverse;
    for (i = 0; i < n; i++) { /* magnitudes compare as integers, NaN above infinity */
        bits = llmq__float_bits(x[i]) & 0x7fffffffu;
        if (bits > max_abs) max_abs = bits;
    }
    if (!llmq__quantizable(max_abs)) {
        LLMQ_MEMSET(q, 0, n);
        return llmq__no_scale(max_abs);
    }
    inverse = levels / llmq__bits_float(max_abs);
    for (i = 0; i < n; i++) q[i] = llmq__round_i8(x[i] * inverse);
    return llmq__bits_float(max_abs) / levels;
}

/* The float half of it: x transformed at the head of mem. */
static llmq_status llmq__activation_open(llmq_activation *a, const llmq_tensor *t, const float *x, void *mem, size_t mem_size)
{
    float *y = (float *)mem;
    llmq_status status;
    LLMQ_MEMCPY(y, x, t->cols * sizeof(float));
    status = llmq_transform_apply(&t->transform, LLMQ_TO_ACTIVATION, y, t->cols, y + t->cols, mem_size - t->cols * sizeof(float), t->kernels);
    if (status != LLMQ_OK) return status;
    LLMQ_MEMSET(a, 0, sizeof *a);
    a->cols = t->cols;
    a->group = llmq__activation_group(t);
    a->transform = t->transform;
    a->x = y;
    return LLMQ_OK;
}

/* Places for scales, codes and shifts behind the numbers. */
static float *llmq__activation_layout(llmq_activation *a, float *values, int with_offsets, int8_t **q)
{
    float *scale = values + a->cols;
    *q = (int8_t *)(scale + llmq__ceil_div(a->cols, a->group));
    a->scale = scale;
    a->q = *q;
    a->offset = with_offsets ? *q + a->cols : LLMQ__NULL;
    return scale;
}

static float llmq__symmetric_levels(uint32_t bits) { return (float)((1u << (bits - 1)) - 1); }

static void llmq__quantize_groups(const llmq_activation *a, uint32_t bits, float *scale, int8_t *q, const llmq_kernels *k)
{
    uint32_t j;
    for (j = 0; j < a->cols; j += a->group)
        scale[j / a->group] = k->quantize(a->x + j, llmq__min(a->group, a->cols - j), llmq__symmetric_levels(bits), q + j);
}

LLMQ_API llmq_status llmq_activation_prepare(llmq_activation *a, const llmq_tensor *t, uint32_t bits, const float *x, void *mem,
                                             size_t mem_size)
{
    llmq_status status;
    size_t need = llmq_activation_size(t, bits);
    float *scale;
    int8_t *q;
    if (!a || !x || !mem || need == 0 || llmq__misaligned(mem)) return LLMQ_E_ARG;
    if (mem_size < need) return LLMQ_E_WORKSPACE;
    if ((status = llmq__activation_open(a, t, x, mem, mem_size)) != LLMQ_OK || bits == 32) return status;
    scale = llmq__activation_layout(a, (float *)mem, 0, &q);
    llmq__quantize_groups(a, bits, scale, q, llmq__kernels(t->kernels));
    return LLMQ_OK;
}

#if !LLMQ_NO_ACTIVATION_OPTIONS || !LLMQ_NO_ENCODER
/* Widens low ... high to hold x[0, n). Both become NaN, and stay it, if a number is not finite. */
static void llmq__extend_range(const float *x, uint32_t n, float *low, float *high)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        if (x[i] < *low) *low = x[i];
        if (x[i] > *high) *high = x[i];
        if ((llmq__float_bits(x[i]) & 0x7fffffffu) >= 0x7f800000u) *low = *high = llmq__bits_float(0x7fc00000u);
    }
}
#endif

#if !LLMQ_NO_ACTIVATION_OPTIONS
/* -- With options. -- */

/* Codes of one scale: q + shift = x * inverse rounded, from least to most. */
typedef struct llmq__codes {
    float scale, inverse, code_min, code_max;
    int32_t offset;
} llmq__codes;

static llmq__codes llmq__choose_codes(const llmq_activation_options *o, float low, float high)
{
    llmq__codes c;
    float m;
    low *= o->clip;
    high *= o->clip;
    m = -low > high ? -low : high;
    LLMQ_MEMSET(&c, 0, sizeof c);
    if (!llmq__quantizable(llmq__float_bits(m))) {
        c.scale = llmq__no_scale(llmq__float_bits(m));
    } else if (!o->asymmetric) {
        c.code_max = llmq__symmetric_levels(o->bits);
        c.code_min = -c.code_max;
        c.scale = m / c.code_max;
        c.inverse = c.code_max / m;
    } else {
        float steps = (float)((1 << o->bits) - 1 - (o->bits == 8));
        int32_t zero;
        c.scale = high / steps - low / steps; /* of the difference, which might overflow, there is no need */
        c.inverse = 1.0f / c.scale;
        zero = llmq__round(-low * c.inverse);
        c.code_min = (float)-zero;
        c.code_max = steps - (float)zero;
        c.offset = o->bits == 8 ? 127 - zero : 0;
    }
    return c;
}

static void llmq__take_codes(const llmq__codes *c, const float *x, uint32_t n, int8_t *q)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        float v = x[i] * c->inverse;
        v = v > c->code_min ? v : c->code_min; /* NaN too */
        v = v < c->code_max ? v : c->code_max;
        q[i] = (int8_t)(llmq__round(v) - c->offset);
    }
}

/* The same with x / s_g, 0 in a group whose s_g is 0 */
static void llmq__extend_smoothed_range(const float *x, uint32_t n, float peak, float *low, float *high)
{
    float ends[2] = { 0.0f, 0.0f };
    int zero = !llmq__quantizable(llmq__float_bits(peak));
    llmq__extend_range(x, n, &ends[0], &ends[1]);
    ends[0] = zero ? ends[0] * 0.0f : ends[0] / peak;
    ends[1] = zero ? ends[1] * 0.0f : ends[1] / peak;
    llmq__extend_range(ends, 2, low, high);
}

/* c of x / s_g made one of x, with no codes but 0 where the scale would be subnormal or s_g is 0. NaN stays. */
static llmq__codes llmq__smoothed_codes(llmq__codes c, float peak)
{
    float scale = c.scale * peak;
    int zero = !llmq__quantizable(llmq__float_bits(peak)) || llmq__float_bits(scale) < 0x00800000u;
    c.inverse = zero ? 0.0f : c.inverse * (1.0f / peak);
    c.scale = zero ? c.scale * 0.0f : scale;
    return c;
}

LLMQ__NOINLINE void llmq__activation_quantize(llmq_activation *a, const llmq_activation_options *o, const float *peaks, float *values, const llmq_kernels *k)
{
    int8_t *q;
    float *scale = llmq__activation_layout(a, values, o->asymmetric && o->bits == 8, &q), low = 0.0f, high = 0.0f;
    uint32_t g, n, groups = llmq__ceil_div(a->cols, a->group);
    llmq__codes all;
    if (!o->asymmetric && o->scales == LLMQ_SCALES_GROUP && o->clip >= 1.0f) { /* what there are kernels for */
        llmq__quantize_groups(a, o->bits, scale, q, k);
        return;
    }
    for (g = 0; g < groups && o->scales != LLMQ_SCALES_GROUP; g++) {
        n = llmq__min(a->group, a->cols - g * a->group);
        if (peaks) llmq__extend_smoothed_range(a->x + g * a->group, n, peaks[g], &low, &high);
        else llmq__extend_range(a->x + g * a->group, n, &low, &high);
    }
    all = llmq__choose_codes(o, low, high);
    for (g = 0; g < groups; g++, q += n) {
        llmq__codes c = peaks ? llmq__smoothed_codes(all, peaks[g]) : all;
        n = llmq__min(a->group, a->cols - g * a->group);
        if (o->scales == LLMQ_SCALES_GROUP) {
            low = high = 0.0f;
            llmq__extend_range(a->x + g * a->group, n, &low, &high);
            c = llmq__choose_codes(o, low, high);
        }
        scale[g] = c.scale;
        llmq__take_codes(&c, a->x + g * a->group, n, q);
        if (a->offset) LLMQ_MEMSET(q + a->cols, c.offset & 255, n);
    }
}

/* s_g, from the finite numbers of all vectors */
static void llmq__batch_peaks(const llmq_activation *a, uint32_t count, float *peaks)
{
    uint32_t i, j;
    LLMQ_MEMSET(peaks, 0, llmq__ceil_div(a->cols, a->group) * sizeof *peaks);
    for (i = 0; i < count; i++)
        for (j = 0; j < a->cols; j++) {
            float v = a[i].x[j] < 0.0f ? -a[i].x[j] : a[i].x[j];
            if (v > peaks[j / a->group] && v <= 3.40282347e38f) peaks[j / a->group] = v;
        }
}

LLMQ_API llmq_activation_options llmq_activation_defaults(uint32_t bits)
{
    llmq_activation_options o;
    o.bits = bits;
    o.asymmetric = bits < 8;
    o.scales = LLMQ_SCALES_GROUP;
    o.clip = bits <= 4 ? 0.95f : 1.0f;
    return o;
}

static int llmq__activation_options_ok(const llmq_activation_options *o)
{
    return o->bits >= 2 && o->bits <= 8 && o->scales >= LLMQ_SCALES_GROUP && o->scales <= LLMQ_SCALES_BATCH && o->clip > 0.0f && o->clip <= 1.0f;
}

/* Bytes from one activation to the next: they stay aligned for float. */
static size_t llmq__activation_step(const llmq_tensor *t, const llmq_activation_options *o)
{
    size_t one = llmq__activation_size(t, o->bits, o->asymmetric && o->bits == 8);
    return llmq__size_add(one, (sizeof(float) - one % sizeof(float)) % sizeof(float));
}

LLMQ_API size_t llmq_activations_size(const llmq_tensor *t, const llmq_activation_options *o, uint32_t count)
{
    if (!t || !o || t->cols == 0 || !llmq__activation_options_ok(o)) return 0;
    return llmq__size_add(llmq__size_mul(llmq__activation_step(t, o), llmq__size(count)), /* and s_g */
                          llmq__ceil_div(t->cols, llmq__activation_group(t)) * sizeof(float));
}

LLMQ_API llmq_status llmq_activations_prepare(llmq_activation *a, const llmq_tensor *t, const llmq_activation_options *o, uint32_t count, const float *x,
                                              size_t stride, void *mem, size_t mem_size)
{
    size_t need = llmq_activations_size(t, o, count), step;
    float *peaks = LLMQ__NULL;
    llmq_status status;
    uint32_t i;
    if (!a || !x || !mem || need == 0 || llmq__misaligned(mem)) return LLMQ_E_ARG;
    if (mem_size < need) return LLMQ_E_WORKSPACE;
    step = llmq__activation_step(t, o);
    for (i = 0; i < count; i++)
        if ((status = llmq__activation_open(&a[i], t, x + i * stride, (uint8_t *)mem + i * step, step)) != LLMQ_OK) return status;
    if (o->scales == LLMQ_SCALES_BATCH) llmq__batch_peaks(a, count, peaks = (float *)(void *)((uint8_t *)mem + count * step));
    for (i = 0; i < count; i++) llmq__activation_quantize(&a[i], o, peaks, (float *)(void *)((uint8_t *)mem + i * step), llmq__kernels(t->kernels));
    return LLMQ_OK;
}
#endif

/* ---- 9. Products ------------------------------------------------------------------------------------------------ */

static int32_t llmq__dot_i8(const int8_t *a, const int8_t *b, uint32_t n)
{
    int32_t sum = 0;
    uint32_t i;
    for (i = 0; i < n; i++) sum += (int16_t)a[i] * (int16_t)b[i];
    return sum;
}

/* sum[i] = <points, codes of activation i> over columns [j, end), which lie in one group of the row */
LLMQ__NOINLINE void llmq__run_i8(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j, uint32_t end,
                              const llmq_activation *x, uint32_t count, int32_t *sum)
{
    int8_t e[LLMQ__CHUNK];
    uint32_t i, n;
    for (i = 0; i < count; i++) sum[i] = 0;
    for (; j < end; j += n) {
        n = llmq__min(LLMQ__CHUNK, end - j);
        llmq__points(t, l, row, j, n, e);
        for (i = 0; i < count; i++) sum[i] += llmq__dot_i8(e, x[i].q + j, n);
    }
}

/* One row times up to LLMQ__BATCH int8 activations of the same groups; y[i * stride]. */
LLMQ__NOINLINE void llmq__row_i8(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, const llmq_activation *x, uint32_t count,
                         float *y, size_t stride)
{
    LLMQ__NO_CONTRACT
    float total[LLMQ__BATCH];
    int32_t sum[LLMQ__BATCH];
    uint32_t j, end, i, xgroup = x->group;
    for (i = 0; i < count; i++) total[i] = 0.0f;
    for (j = 0; j < t->cols; j = end) {
        uint32_t wg = j / l->group, xg = j / xgroup;
        float scale = llmq__scale(row, wg);
        end = llmq__min(t->cols, llmq__min((wg + 1) * l->group, (xg + 1) * xgroup));
        llmq__run_i8(t, l, row, j, end, x, count, sum);
        for (i = 0; i < count; i++) total[i] += (float)sum[i] * (x[i].scale[xg] * scale);
    }
    for (i = 0; i < count; i++) y[i * stride] = total[i];
}

/* The sum of LLMQ__LANES partial sums, pairwise. */
static float llmq__lane_sum(float *lane)
{
    uint32_t h, i;
    for (h = LLMQ__LANES / 2; h; h /= 2)
        for (i = 0; i < h; i++) lane[i] += lane[i + h];
    return lane[0];
}

/* lane[i mod LLMQ__LANES] += x[i] * v[i] for i < n */
LLMQ__NOINLINE void llmq__add_lanes(const float *x, const float *v, uint32_t n, float *lane)
{
    LLMQ__NO_CONTRACT
    uint32_t i, u;
    for (i = 0; i + LLMQ__LANES <= n; i += LLMQ__LANES)
        for (u = 0; u < LLMQ__LANES; u++) lane[u] += x[i + u] * v[i + u];
    for (u = 0; i < n; i++, u++) lane[u] += x[i] * v[i];
}

/* lane[] += the products of columns [j, end), which lie in one group of the row */
LLMQ__NOINLINE void llmq__run_f32(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j, uint32_t end, const float *x,
                               float *lane)
{
    float v[LLMQ__CHUNK];
    uint32_t n;
    for (; j < end; j += n) {
        n = llmq__min(LLMQ__CHUNK, end - j);
        llmq__values(t, l, row, j, n, v);
        llmq__add_lanes(x + j, v, n, lane);
    }
}

LLMQ__NOINLINE float llmq__row_f32(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, const float *x)
{
    LLMQ__NO_CONTRACT
    float total = 0.0f, lane[LLMQ__LANES];
    uint32_t j, end;
    for (j = 0; j < t->cols; j = end) {
        end = llmq__min(t->cols, j + l->group);
        LLMQ_MEMSET(lane, 0, sizeof lane);
        llmq__run_f32(t, l, row, j, end, x, lane);
        total += llmq__lane_sum(lane) * (llmq__is_raw(&t->format) ? 1.0f : llmq__scale(row, j / l->group));
    }
    return total;
}

static void llmq__rows_i8(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                          size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t i, r, n;
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i += n) {
            n = llmq__min(LLMQ__BATCH, count - i);
            llmq__row_i8(t, &l, t->data + (size_t)r * t->row_size, x + i, n, y + i * y_stride + r, y_stride);
        }
}

static void llmq__rows_f32(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                           size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t i, r;
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i++) y[i * y_stride + r] = llmq__row_f32(t, &l, t->data + (size_t)r * t->row_size, x[i].x);
}

/* The sum of x's numbers in columns [j, end), which are a group of a tensor. */
LLMQ__NOINLINE float llmq__group_sum(const llmq_activation *x, uint32_t j, uint32_t end)
{
    LLMQ__NO_CONTRACT
    float total = 0.0f, lane[LLMQ__LANES];
    uint32_t i, u, next;
    if (!x->q) {
        LLMQ_MEMSET(lane, 0, sizeof lane);
        for (i = j; i < end; i += u)
            for (u = 0; u < LLMQ__LANES && i + u < end; u++) lane[u] += x->x[i + u];
        return llmq__lane_sum(lane);
    }
    for (; j < end; j = next) {
        int32_t sum = 0;
        next = llmq__min(end, (j / x->group + 1) * x->group);
        for (i = j; i < next; i++) sum += x->q[i];
        for (i = j; i < next && x->offset; i++) sum += x->offset[i];
        total += (float)sum * x->scale[(next - 1) / x->group];
    }
    return total;
}

/* y += what the zero points of rows [r0, r1) add to their products with x */
LLMQ__NOINLINE void llmq__add_zero_points(const llmq_tensor *t, const llmq_activation *x, uint32_t r0, uint32_t r1, float *y)
{
    LLMQ__NO_CONTRACT
    llmq__layout l = llmq__layout_of(t);
    uint32_t g, r;
    for (g = 0; g < l.zero_points; g++) {
        float sum = llmq__group_sum(x, g * l.group, llmq__min(t->cols, (g + 1) * l.group));
        for (r = r0; r < r1; r++) y[r] += sum * llmq__zero_point_term(t, &l, t->data + r * t->row_size, g);
    }
}

/* y += the products with the shifts of codes that need 9 bits, a few rows at a time */
LLMQ__NOINLINE void llmq__add_activation_offsets(const llmq_tensor *t, const llmq_activation *x, uint32_t r0, uint32_t r1, float *y)
{
    llmq_activation offsets = *x;
    float part[8];
    uint32_t r, i, n;
    offsets.q = x->offset;
    for (r = r0; r < r1; r += n) {
        n = llmq__min(r1 - r, 8);
        LLMQ_MEMCPY(part, y + r, n * sizeof *part);
        llmq__row_kernels(t)->rows_i8(t, &offsets, 1, r, r + n, y, 0);
        for (i = 0; i < n; i++) y[r + i] = part[i] + y[r + i];
    }
}

/* Is a product so small that the scalar kernel is done with it before another has made its tables? */
static int llmq__small(uint32_t rows, uint32_t cols) { return rows < 4 ? cols < 512 : cols < 256 && rows * cols < 512; }

LLMQ_API llmq_status llmq_matmul(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                                 size_t y_stride)
{
    const llmq_kernels *k;
    uint32_t i;
    if (!t || !x || !y || r0 > r1 || r1 > t->rows || count == 0) return LLMQ_E_ARG;
    for (i = 0; i < count; i++) {
        if (x[i].cols != t->cols) return LLMQ_E_ARG;
        if (!llmq__transform_same(&x[i].transform, &t->transform)) return LLMQ_E_MISMATCH;
        if (!x[i].q != !x[0].q || (x[i].q && (x[i].group != x[0].group || llmq__is_raw(&t->format)))) return LLMQ_E_MISMATCH;
    }
    k = llmq__row_kernels(t);
    if (llmq__small(r1 - r0, t->cols)) k = llmq_kernels_at(0);
    (x->q ? k->rows_i8 : k->rows_f32)(t, x, count, r0, r1, y, y_stride);
    for (i = 0; i < count; i++) {
        if (llmq__has_zero_points(&t->format)) llmq__add_zero_points(t, &x[i], r0, r1, y + i * y_stride);
        if (!LLMQ_NO_ACTIVATION_OPTIONS && x[i].offset) llmq__add_activation_offsets(t, &x[i], r0, r1, y + i * y_stride);
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_matvec(const llmq_tensor *t, const llmq_activation *x, uint32_t r0, uint32_t r1, float *y)
{
    return llmq_matmul(t, x, 1, r0, r1, y, 0);
}

LLMQ_API llmq_status llmq_matvec_transposed(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out,
                                            void *work, size_t work_size)
{
    llmq_status status;
    if (!t || !weight || !out || r0 > r1 || r1 > t->rows) return LLMQ_E_ARG;
    if ((status = llmq__transform_work_check(&t->transform, t->cols, work, work_size)) != LLMQ_OK) return status;
    LLMQ_MEMSET(out, 0, t->cols * sizeof *out);
    (llmq__small(r1 - r0, t->cols) ? llmq_kernels_at(0) : llmq__row_kernels(t))->add_rows(t, weight, r0, r1, out);
    if (llmq__has_zero_points(&t->format)) llmq__add_zero_point_terms(t, weight, r0, r1, out);
    return llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, out, t->cols, work, work_size, t->kernels);
}

/* -- The self-test. -- */

/* Known answers. 16 records that overlap, so that few bytes make them: the first is at llmq__test_bytes, each of the others 4 bytes
   behind the one before. The last 256 bytes are the int8 activation as well, and a 7th of the first 32 of those the float one. */
/* ---- known answers: made by tests/gen/selftest.py ---- */
static const uint8_t llmq__test_bytes[320] = {
    203, 61, 73, 60, 172, 61, 40, 61, 114, 63, 94, 63, 97, 63, 3, 60, 88, 60, 181, 63, 142, 62, 22, 61,
    69, 60, 96, 61, 64, 60, 229, 62, 246, 60, 203, 63, 154, 61, 41, 60, 66, 62, 72, 62, 232, 62, 27, 61,
    22, 61, 155, 62, 125, 62, 199, 63, 246, 60, 36, 63, 216, 61, 134, 60, 88, 63, 30, 62, 200, 63, 78, 191,
    166, 189, 15, 189, 158, 62, 59, 63, 206, 188, 255, 63, 123, 60, 76, 189, 42, 190, 11, 189, 65, 60, 175, 60,
    110, 188, 35, 61, 77, 189, 73, 62, 101, 189, 80, 62, 186, 188, 135, 60, 216, 63, 141, 63, 37, 63, 93, 63,
    48, 60, 143, 62, 218, 80, 251, 189, 89, 23, 153, 62, 215, 176, 221, 61, 8, 52, 131, 60, 161, 130, 40, 190,
    151, 115, 73, 61, 216, 14, 135, 190, 163, 70, 21, 188, 125, 138, 145, 189, 244, 71, 59, 188, 233, 247, 142, 60,
    199, 65, 69, 188, 28, 179, 197, 60, 83, 139, 46, 188, 110, 189, 194, 63, 24, 61, 130, 60, 226, 105, 214, 60,
    172, 248, 105, 11, 136, 11, 192, 237, 0, 82, 195, 168, 79, 104, 241, 39, 201, 89, 253, 121, 57, 51, 58, 181,
    131, 12, 195, 214, 66, 162, 155, 206, 53, 7, 90, 222, 35, 223, 48, 20, 54, 131, 233, 54, 92, 246, 96, 1,
    223, 198, 234, 161, 78, 103, 170, 36, 111, 86, 11, 22, 192, 40, 241, 229, 224, 227, 148, 0, 245, 156, 210, 191,
    21, 196, 31, 51, 109, 195, 109, 2, 79, 82, 189, 11, 239, 221, 51, 127, 29, 184, 6, 124, 227, 213, 195, 199,
    66, 107, 226, 17, 213, 79, 81, 181, 79, 123, 170, 35, 133, 153, 97, 74, 44, 136, 191, 168, 210, 105, 79, 46,
    206, 16, 31, 206, 151, 82, 157, 86,
};
static const uint32_t llmq__test_answers[] = { /* in the order of LLMQ_WITH_... */
    0x37ed5f56u, 0x22a19e4du, 0x80b875ebu, 0x7391219cu, 0xe2196c68u, 0x5faf4884u, 0x2f4df0a1u, 0x877554aeu,
    0x354d56aeu, 0xe3639c16u, 0x66b4b5f6u, 0xd9ea6f75u, 0x1f3d11ecu, 0xef26e1c9u, 0xb656f9edu, 0xbfae46ebu,
    0xd6537753u, 0x354d56aeu, 0xa4fa8b29u, 0x2b3a17bbu, 0x8e0d477fu, 0x9c2cf753u, 0xf6f39c9fu, 0xa8699519u,
    0xfc61f43du,
};
/* ---- end ---- */
#define LLMQ__TEST_ROWS 16
#define LLMQ__TEST_FLOATS 32

static uint32_t llmq__test_sum(uint32_t sum, const float *v, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) sum = (sum ^ llmq__float_bits(v[i])) * 16777619u;
    return sum;
}

/* The float products of the first columns, and the last row. */
LLMQ__NOINLINE uint32_t llmq__test_floats(const llmq_tensor *t, llmq_activation *a, uint32_t sum, float *y)
{
    float x[LLMQ__TEST_FLOATS];
    uint32_t i;
    for (i = 0; i < LLMQ__TEST_FLOATS; i++) x[i] = (float)((const int8_t *)llmq__test_bytes + 64)[i] / 7.0f;
    a->x = x;
    a->q = LLMQ__NULL;
    a->cols = t->cols;
    t->kernels->rows_f32(t, a, 1, 0, t->rows, y, 0);
    sum = llmq__test_sum(sum, y, t->rows);
    t->kernels->read_row(t, t->rows - 1, x);
    return llmq__test_sum(sum, x, t->cols);
}

LLMQ__NOINLINE uint32_t llmq__test_rows(llmq_tensor *t)
{
    static const float scale[] = { 0.37f, 0.53f };
    llmq_activation a;
    float y[LLMQ__TEST_ROWS];
    uint32_t sum = 1;
    LLMQ_MEMSET(&a, 0, sizeof a);
    a.group = 128;
    a.scale = scale;
    a.q = (const int8_t *)llmq__test_bytes + 64;
    a.cols = t->cols = 256;
    if (!llmq__is_raw(&t->format)) {
        t->kernels->rows_i8(t, &a, 1, 0, t->rows, y, 0);
        sum = llmq__test_sum(sum, y, t->rows);
    }
    t->cols = LLMQ__TEST_FLOATS;
    return llmq__test_floats(t, &a, sum, y);
}

LLMQ_API llmq_status llmq_kernels_test(const llmq_kernels *k)
{
    const uint32_t kept = LLMQ_FORMATS, one = 1;
    uint32_t at, i = 0;
    llmq_tensor t;
    LLMQ_MEMSET(&t, 0, sizeof t);
    t.rows = LLMQ__TEST_ROWS;
    t.row_size = 4;
    t.data = llmq__test_bytes;
    t.kernels = llmq__kernels(k);
    for (at = 0; at < sizeof llmq__test_answers / sizeof *llmq__test_answers; at++) {
        if (!(kept & one << at)) continue;
        if (llmq_format_at(&t.format, i++) != LLMQ_OK || llmq__test_rows(&t) != llmq__test_answers[at]) return LLMQ_E_INEXACT;
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_selftest(void) { return llmq__arithmetic_ok() ? llmq_kernels_test(LLMQ_KERNELS) : LLMQ_E_INEXACT; }

/* ---- 10. Bundle: reading ---------------------------------------------------------------------------------------- */
#if !LLMQ_NO_BUNDLE

/* The bytes of a bundle are not trusted. Only llmq_bundle_open checks them: the header itself, and
   each entry by llmq__entry_ok and llmq__content_check. All other functions rely on it. The header
   has 64 bytes. The directory follows it, and its entries have 64 bytes each. Numbers such as 44 in
   `load32(entry + 44)` are offsets of the table in the declarations. */

#define LLMQ__ALIGN 64 /* payloads begin at its multiples: cache lines, if the bundle does */
#define LLMQ__MAJOR 1
static const uint8_t llmq__magic[8] = { 'L', 'L', 'M', 'Q', 0x0d, 0x0a, 0x1a, 0x0a };

/* CRC-32 of n more bytes; crc: the result for the bytes before them, 0 at first. IEEE 802.3, with
   the reflected polynomial edb88320. It takes four bits at a time: the table has 64 bytes, not
   1,024. */
static uint32_t llmq__crc(uint32_t crc, const uint8_t *b, size_t n)
{
    /* entry i: the register after i and then four zero bits */
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu
    };
    /* undoes the inversion of the earlier result, so that pieces give the CRC of the whole */
    crc = ~crc;
    for (; n; n--) {
        crc ^= *b++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* A stored 64-bit size. If it does not fit: SIZE_MAX, which no size or offset in memory can have,
   so that every comparison with the bundle's size refuses it. */
static size_t llmq__load_size(const uint8_t *b)
{
    uint32_t low = llmq__load32(b), high = llmq__load32(b + 4);
#if SIZE_MAX > 0xffffffffu
    return (size_t)high << 32 | low;
#else
    return high == 0 && low <= SIZE_MAX ? (size_t)low : SIZE_MAX;
#endif
}

/* Entry i of the directory; i = b->count: the names, which follow the last entry. */
static const uint8_t *llmq__entry(const llmq_bundle *b, uint32_t i) { return b->bytes + 64 + (size_t)i * 64; }

/* Returns status, and describes it in *error if that is not NULL.
   offset: the byte where a check failed. */
static llmq_status llmq__fail(llmq_error *error, llmq_status status, size_t offset)
{
    if (error) error->status = status, error->row = 0, error->col = 0, error->offset = offset;
    return status;
}

#if LLMQ_MAX_STEPS > 0
/* Fills the steps of t from a payload b of `size` bytes: t->count (already loaded), steps, data.
   Before: t->count <= LLMQ_MAX_STEPS, and size >= 4 + 8 t->count. After LLMQ_OK the steps are valid
   and t->data has exactly the bytes that they need. The data themselves (permutations and so on)
   are checked by llmq__transform_data_ok. */
static llmq_status llmq__steps_load(const uint8_t *b, size_t size, llmq_transform *t)
{
    llmq_status status;
    uint32_t i;
    for (i = 0; i < t->count; i++) {
        t->step[i].kind = (uint16_t)llmq__load16(b + 4 + 8 * i);
        t->step[i].block = (uint16_t)llmq__load16(b + 6 + 8 * i);
        t->step[i].arg = llmq__load32(b + 8 + 8 * i);
    }
    b += 4 + 8 * t->count;
    size -= 4 + 8 * (size_t)t->count;
    /* set before the check, which refuses a step with data while t->data is NULL */
    t->data = b;
    /* cols 0: whether the steps fit a tensor is checked with the tensor */
    if ((status = llmq__transform_check(t, 0)) != LLMQ_OK) return status == LLMQ_E_ARG ? LLMQ_E_CORRUPT : status;
    /* each size is checked before the next one is taken off, so that no sum can overflow */
    for (i = 0; i < t->count; i++) {
        size_t one = llmq_step_data_size(&t->step[i]);
        if (one > size) return LLMQ_E_CORRUPT;
        size -= one;
    }
    if (size != 0) return LLMQ_E_CORRUPT;
    /* the same struct as llmq_transform_hadamard makes, if no step has data */
    if (llmq__transform_data(t, t->count) == 0) t->data = LLMQ__NULL;
    return LLMQ_OK;
}
#endif

/* Makes *t from the payload b of a transform: u32 steps, then the steps and their data. t->data
   leads into the payload. */
static llmq_status llmq__transform_load(const uint8_t *b, size_t size, llmq_transform *t)
{
    LLMQ_MEMSET(t, 0, sizeof *t);
    if (size < 4) return LLMQ_E_CORRUPT;
    t->count = llmq__load32(b);
    /* no build has more than 8 steps, so more are an error in the file; fewer may be a limit of
       this build */
    if (t->count > 8 || size < 4 + (size_t)t->count * 8) return LLMQ_E_CORRUPT;
    if (t->count > LLMQ_MAX_STEPS) return LLMQ_E_UNSUPPORTED;
#if LLMQ_MAX_STEPS > 0
    return llmq__steps_load(b, size, t);
#else
    return size == 4 ? LLMQ_OK : LLMQ_E_CORRUPT;
#endif
}

/* Makes *f from the payload b of a grid: u32 p, u32 n, f32 unit, points. Checks everything but the
   order of the points, which costs a pass over them. */
static llmq_status llmq__grid_load(const uint8_t *b, size_t size, llmq_format *f)
{
    uint32_t p, n;
    if (size < 12) return LLMQ_E_CORRUPT;
    p = llmq__load32(b);
    n = llmq__load32(b + 4);
    if (llmq__format_of(f, p, n, (const int8_t *)b + 12, llmq__load_float(b + 8), 0) != LLMQ_OK) return LLMQ_E_CORRUPT;
    /* valid formats have p <= 8 and bits <= 16: the shift is at most 2^19 */
    return size - 12 == ((size_t)p << f->bits) ? LLMQ_OK : LLMQ_E_CORRUPT;
}

/* The content of an entry and of the entries that it refers to. Reader and writer both fill one, so
   that both are held to the same checks. */
typedef struct llmq__content {
    uint32_t kind, flags;
    /* of a value; of a tensor: the id of its format */
    uint32_t type;
    uint32_t rows, cols, group;
    /* the entry names a transform, a grid */
    int has_steps, has_grid;
    /* payloads: its own, of the transform that it names, of the grid that it names; NULL if there
       is no such entry of that kind */
    const uint8_t *data, *steps, *grid;
    /* bytes of the payloads */
    size_t size, steps_size, grid_size;
} llmq__content;

/* Makes *f the format of a tensor. The payload of its grid may not have been checked yet: an entry
   may refer to a later one.
   LLMQ_E_CORRUPT: a group that is not allowed, a custom format without a valid grid, or a built-in
   format with one. LLMQ_E_UNSUPPORTED: the id is unknown. *f is then unspecified. */
static llmq_status llmq__content_format(const llmq__content *c, llmq_format *f)
{
    uint32_t i;
    llmq_status status = LLMQ_E_CORRUPT;
    if (!llmq__group_ok(c->group)) return LLMQ_E_CORRUPT;
    if (c->type == LLMQ_FORMAT_CUSTOM) {
        if (c->grid) status = llmq__grid_load(c->grid, c->grid_size, f);
    } else {
        for (i = 0; (status = llmq_format_at(f, i)) == LLMQ_OK && f->id != c->type; i++) {}
        if (status == LLMQ_OK && c->has_grid) status = LLMQ_E_CORRUPT;
        /* a format of a newer version, or one that LLMQ_FORMATS leaves out */
        if (status == LLMQ_E_NOT_FOUND) status = LLMQ_E_UNSUPPORTED;
    }
    /* the directory states the group; raw formats have none */
    if (status == LLMQ_OK && f->points) f->group = c->group;
    else if (status == LLMQ_OK && c->group != 0) status = LLMQ_E_CORRUPT;
    return status;
}

/* Makes *t the transform of a tensor; its payload may not have been checked yet either. */
static llmq_status llmq__content_transform(const llmq__content *c, llmq_transform *t)
{
    LLMQ_MEMSET(t, 0, sizeof *t);
    if (!c->has_steps) return LLMQ_OK;
    return c->steps ? llmq__transform_load(c->steps, c->steps_size, t) : LLMQ_E_CORRUPT;
}

/* Checks an entry but for its name and the range of its payload. Reader and writer both ask this
   function, so that nothing can be written that cannot be read. After LLMQ_OK for all entries every
   payload has the size that its shape needs, and transforms and grids hold valid data. */
LLMQ__NOINLINE llmq_status llmq__content_check(const llmq__content *c)
{
    llmq_transform t;
    llmq_format f;
    llmq_status status;
    switch (c->kind) {
    case LLMQ_KIND_TENSOR:
        if ((status = llmq__content_format(c, &f)) != LLMQ_OK) return status;
        if ((status = llmq__content_transform(c, &t)) != LLMQ_OK) return status;
        if (llmq__transform_check(&t, c->cols) != LLMQ_OK) return LLMQ_E_CORRUPT;
        /* llmq_tensor_size is 0 for a shape that is not allowed, and for a tensor without rows */
        return c->size != 0 && c->size == llmq_tensor_size(&f, c->rows, c->cols) ? LLMQ_OK : LLMQ_E_CORRUPT;
    case LLMQ_KIND_TRANSFORM:
        /* checked here once, and not for each tensor that refers to it: permutations are slow to
           check */
        if ((status = llmq__transform_load(c->data, c->size, &t)) != LLMQ_OK) return status;
        return llmq__transform_data_ok(&t) ? LLMQ_OK : LLMQ_E_CORRUPT;
    case LLMQ_KIND_GRID:
        if ((status = llmq__grid_load(c->data, c->size, &f)) != LLMQ_OK) return status;
        return llmq__points_sorted(&f) ? LLMQ_OK : LLMQ_E_CORRUPT;
    case LLMQ_KIND_VALUE:
        /* bytes and text have any size, also 0 */
        return c->type <= LLMQ_VALUE_TEXT || (c->type <= LLMQ_VALUE_F32 && c->size == 4) ? LLMQ_OK : LLMQ_E_CORRUPT;
    default:
        /* a kind of a newer version: its writer decides whether a reader may skip it */
        return c->flags & 1 ? LLMQ_E_UNSUPPORTED : LLMQ_OK;
    }
}

/* Payload of an entry whose offset has been checked. It begins at a multiple of 64 of the bundle,
   and has any alignment in memory. */
static const uint8_t *llmq__payload(const llmq_bundle *b, const uint8_t *entry)
{
    return b->bytes + llmq__load_size(entry + 16);
}

/* Payload of the entry that a tensor refers to, and its size in bytes.
   index: the entry's index + 1, or 0 for none; not trusted.
   NULL if there is no such entry or it is of another kind; *size is then unchanged. */
static const uint8_t *llmq__referred(const llmq_bundle *b, uint32_t index, uint32_t kind, size_t *size)
{
    const uint8_t *entry;
    if (index == 0 || index > b->count) return LLMQ__NULL;
    entry = llmq__entry(b, index - 1);
    if (llmq__load16(entry) != kind) return LLMQ__NULL;
    *size = llmq__load_size(entry + 24);
    return llmq__payload(b, entry);
}

/* Loads the content of an entry. Offsets and sizes of all entries must have passed llmq__entry_ok;
   the other fields may be anything. */
static llmq__content llmq__content_read(const llmq_bundle *b, const uint8_t *entry)
{
    llmq__content c;
    LLMQ_MEMSET(&c, 0, sizeof c);
    /* fields of all kinds */
    c.kind = llmq__load16(entry);
    c.flags = llmq__load16(entry + 2);
    c.type = llmq__load32(entry + 12);
    c.data = llmq__payload(b, entry);
    c.size = llmq__load_size(entry + 24);
    /* fields of tensors; llmq__content_check looks at them in no other kind */
    c.rows = llmq__load32(entry + 32);
    c.cols = llmq__load32(entry + 36);
    c.group = llmq__load32(entry + 40);
    c.has_steps = llmq__load32(entry + 44) != 0;
    c.has_grid = llmq__load32(entry + 48) != 0;
    c.steps = llmq__referred(b, llmq__load32(entry + 44), LLMQ_KIND_TRANSFORM, &c.steps_size);
    c.grid = llmq__referred(b, llmq__load32(entry + 48), LLMQ_KIND_GRID, &c.grid_size);
    return c;
}

/* True if these bytes may be a name: 1 ... 255 of them, without control characters, so that a name
   can be printed. Bytes from 128 on are allowed: UTF-8. */
static int llmq__name_ok(const char *name, size_t length)
{
    size_t k;
    for (k = 0; k < length; k++)
        if ((unsigned char)name[k] < 32 || name[k] == 127) return 0;
    return length >= 1 && length <= 255;
}

/* True if entry i has a valid name, after the name of entry i - 1, and a payload within the bundle.
   Header, directory and names must be within the bundle. Entries must be checked in order of i.
   names: bytes of all names.
   *end: where the payload of entry i - 1 ends; on success, where the payload of entry i ends. */
static int llmq__entry_ok(const llmq_bundle *b, uint32_t i, uint32_t names, size_t *end)
{
    const uint8_t *e = llmq__entry(b, i);
    const char *name = (const char *)llmq__entry(b, b->count);
    uint32_t at = llmq__load32(e + 4), length = llmq__load32(e + 8);
    size_t offset = llmq__load_size(e + 16), size = llmq__load_size(e + 24);
    /* this order of tests keeps the subtractions from wrapping and name[at + length] in the
       names */
    if (length > 255 || names < length + 1 || at > names - length - 1 || name[at + length] != 0) return 0;
    if (!llmq__name_ok(name + at, length)) return 0;
    /* ascending names are also different; the name before has passed, so it ends in a 0 */
    if (i > 0 && llmq__compare(name + llmq__load32(e - 64 + 4), name + at) >= 0) return 0;
    /* offset >= *end: payloads overlap neither each other nor the names */
    if (offset % LLMQ__ALIGN || offset < *end || offset > b->size || size > b->size - offset) return 0;
    if (llmq__load32(e + 56) || llmq__load32(e + 60)) return 0;
    *end = offset + size;
    return 1;
}

/* Checks the magic, that there is a header, the major version, the total size, the counts, the
   checksum of header and directory, the bytes that must be 0, names and ranges, and contents.
   The order of the checks matters: each relies on the ones before it. The checksum comes before the
   entries, so that damage is reported as damage. It does not protect from an attacker, who can make
   it fit. */
LLMQ_API llmq_status llmq_bundle_open(llmq_bundle *bundle, const void *bytes, size_t size, llmq_error *error)
{
    llmq_bundle b;
    uint32_t i, names;
    size_t end;
    if (!bundle || !bytes) return llmq__fail(error, LLMQ_E_ARG, 0);
    b.bytes = (const uint8_t *)bytes;
    /* before the size, so that a short file of another kind is LLMQ_E_MAGIC */
    for (i = 0; i < sizeof llmq__magic && i < size; i++)
        if (b.bytes[i] != llmq__magic[i]) return llmq__fail(error, LLMQ_E_MAGIC, i);
    if (size < 64) return llmq__fail(error, LLMQ_E_TRUNCATED, size);
    if (llmq__load16(b.bytes + 8) != LLMQ__MAJOR) return llmq__fail(error, LLMQ_E_VERSION, 8);
    b.size = llmq__load_size(b.bytes + 16);
    if (b.size == SIZE_MAX) return llmq__fail(error, LLMQ_E_LIMIT, 16);
    if (b.size > size) return llmq__fail(error, LLMQ_E_TRUNCATED, size);
    b.count = llmq__load32(b.bytes + 28);
    names = llmq__load32(b.bytes + 32);
    /* header, directory and names fit in b.size, by divisions and subtractions that cannot
       overflow */
    if (b.size < 64 || b.count > (b.size - 64) / 64 || names > b.size - 64 - (size_t)b.count * 64)
        return llmq__fail(error, LLMQ_E_CORRUPT, 28);
    end = 64 + (size_t)b.count * 64 + names;
    /* nothing of the directory is used before its checksum has been compared */
    if (llmq__load32(b.bytes + 12) != llmq__crc(0, b.bytes + 16, end - 16))
        return llmq__fail(error, LLMQ_E_CHECKSUM, 12);
    /* a newer minor version cannot use these bytes, because this reader refuses them */
    for (i = 36; i < 64; i++)
        if (b.bytes[i]) return llmq__fail(error, LLMQ_E_CORRUPT, i);
    for (i = 0; i < b.count; i++)
        if (!llmq__entry_ok(&b, i, names, &end)) return llmq__fail(error, LLMQ_E_CORRUPT, 64 + (size_t)i * 64);
    /* a second pass, because tensors refer to other entries, also to later ones */
    for (i = 0; i < b.count; i++) {
        llmq__content c = llmq__content_read(&b, llmq__entry(&b, i));
        llmq_status status = llmq__content_check(&c);
        if (status != LLMQ_OK) return llmq__fail(error, status, 64 + (size_t)i * 64);
    }
    *bundle = b;
    return LLMQ_OK;
}

/* The first byte that the second checksum covers: the first multiple of 64 at or after the end of
   the names. A bundle without payloads may end before it; then `total`, and the checksum covers
   nothing. */
static size_t llmq__data_start(size_t names_end, size_t total)
{
    size_t rest = names_end % LLMQ__ALIGN ? LLMQ__ALIGN - names_end % LLMQ__ALIGN : 0;
    return rest > total - names_end ? total : names_end + rest;
}

/* The first scale of a tensor that is negative (-0, too) or not finite; NULL if there is none.
   Reader and writer both ask this function.
   t: rows, cols, row_size, data and format are used. Raw formats have no scales. */
LLMQ__NOINLINE const uint8_t *llmq__bad_scale(const llmq_tensor *t)
{
    uint32_t r, g, groups = t->format.points ? llmq__layout_of(t).scales / 2 : 0;
    for (r = 0; r < t->rows && groups; r++)
        for (g = 0; g < groups; g++) {
            const uint8_t *scale = t->data + r * t->row_size + 2 * g;
            /* 7f7f is the largest finite bfloat16; larger bits are infinite, NaN or negative.
               check: 0x7f7f * 65536 == f32bits((2 - 1/128) * 2**127) */
            if (llmq__load16(scale) > 0x7f7fu) return scale;
        }
    return LLMQ__NULL;
}

/* *b has passed llmq_bundle_open, which has left only the bytes of payloads unchecked. */
LLMQ_API llmq_status llmq_bundle_verify(const llmq_bundle *b, llmq_error *error)
{
    size_t start;
    uint32_t i;
    llmq_tensor t;
    if (!b) return llmq__fail(error, LLMQ_E_ARG, 0);
    start = llmq__data_start(64 + (size_t)b->count * 64 + llmq__load32(b->bytes + 32), b->size);
    if (llmq__load32(b->bytes + 24) != llmq__crc(0, b->bytes + start, b->size - start))
        return llmq__fail(error, LLMQ_E_CHECKSUM, start);
    for (i = 0; i < b->count; i++) {
        const char *name = (const char *)llmq__entry(b, b->count) + llmq__load32(llmq__entry(b, i) + 4);
        /* entries of other kinds are LLMQ_E_NOT_FOUND, and have no scales */
        const uint8_t *bad = llmq_bundle_tensor(b, name, &t) == LLMQ_OK ? llmq__bad_scale(&t) : LLMQ__NULL;
        if (bad) return llmq__fail(error, LLMQ_E_CORRUPT, (size_t)(bad - b->bytes));
    }
    return LLMQ_OK;
}

/* *b has passed llmq_bundle_open. Members that a kind does not have stay 0. A kind that is unknown
   has a name and a payload, and the program may look into it. */
LLMQ_API llmq_status llmq_bundle_at(const llmq_bundle *b, uint32_t i, llmq_entry *out)
{
    const uint8_t *e, *names;
    uint32_t transform, grid;
    llmq__content c;
    if (!b || !out || i >= b->count) return LLMQ_E_ARG;
    e = llmq__entry(b, i);
    names = llmq__entry(b, b->count);
    LLMQ_MEMSET(out, 0, sizeof *out);
    out->name = (const char *)names + llmq__load32(e + 4);
    out->kind = llmq__load16(e);
    out->data = llmq__payload(b, e);
    out->size = llmq__load_size(e + 24);
    if (out->kind == LLMQ_KIND_VALUE) out->type = llmq__load32(e + 12);
    if (out->kind != LLMQ_KIND_TENSOR) return LLMQ_OK;
    out->rows = llmq__load32(e + 32);
    out->cols = llmq__load32(e + 36);
    out->t2 = llmq__load_float(e + 52);
    /* index + 1, or 0; open has refused a tensor whose index is out of range or leads to another
       kind */
    transform = llmq__load32(e + 44);
    grid = llmq__load32(e + 48);
    if (transform) out->transform = (const char *)names + llmq__load32(llmq__entry(b, transform - 1) + 4);
    if (grid) out->grid = (const char *)names + llmq__load32(llmq__entry(b, grid - 1) + 4);
    c = llmq__content_read(b, e);
    return llmq__content_format(&c, &out->format);
}

/* A binary search: names ascend. If the name is there, its index is in [lo, hi). */
LLMQ_API llmq_status llmq_bundle_find(const llmq_bundle *b, const char *name, uint32_t *index)
{
    uint32_t lo = 0, hi;
    if (!b || !name || !index) return LLMQ_E_ARG;
    for (hi = b->count; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int order = llmq__compare(name, (const char *)llmq__entry(b, b->count) + llmq__load32(llmq__entry(b, mid) + 4));
        if (order == 0) {
            *index = mid;
            return LLMQ_OK;
        }
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return LLMQ_E_NOT_FOUND;
}

/* Sets the same members as llmq_tensor_init, without its checks: llmq_bundle_open has made them.
   Format and transform are made again from the payloads, because a view of the bundle stores
   nothing of them. */
LLMQ_API llmq_status llmq_bundle_tensor(const llmq_bundle *b, const char *name, llmq_tensor *t)
{
    llmq__content c;
    llmq_status status;
    uint32_t i;
    if (!t) return LLMQ_E_ARG;
    if ((status = llmq_bundle_find(b, name, &i)) != LLMQ_OK) return status;
    c = llmq__content_read(b, llmq__entry(b, i));
    if (c.kind != LLMQ_KIND_TENSOR) return LLMQ_E_NOT_FOUND;
    LLMQ_MEMSET(t, 0, sizeof *t);
    /* cannot fail after open, nor can the transform */
    status = llmq__content_format(&c, &t->format);
    t->rows = c.rows;
    t->cols = c.cols;
    t->data = c.data;
    t->row_size = llmq_row_size(&t->format, t->cols);
    t->kernels = LLMQ_KERNELS;
    return status == LLMQ_OK ? llmq__content_transform(&c, &t->transform) : status;
}

/* Open has checked the payload's range, and its size if the type has a fixed one. */
LLMQ_API llmq_status llmq_bundle_value(const llmq_bundle *b, const char *name, uint32_t type, const void **data,
                                       size_t *size)
{
    const uint8_t *e;
    llmq_status status;
    uint32_t i;
    if (!data || !size) return LLMQ_E_ARG;
    if ((status = llmq_bundle_find(b, name, &i)) != LLMQ_OK) return status;
    e = llmq__entry(b, i);
    if (llmq__load16(e) != LLMQ_KIND_VALUE || llmq__load32(e + 12) != type) return LLMQ_E_NOT_FOUND;
    *data = llmq__payload(b, e);
    *size = llmq__load_size(e + 24);
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_bundle_u32(const llmq_bundle *b, const char *name, uint32_t *value)
{
    /* size is not looked at: open has checked that values of this type have 4 bytes */
    const void *data;
    size_t size;
    llmq_status status = value ? llmq_bundle_value(b, name, LLMQ_VALUE_U32, &data, &size) : LLMQ_E_ARG;
    if (status == LLMQ_OK) *value = llmq__load32((const uint8_t *)data);
    return status;
}

#endif /* !LLMQ_NO_BUNDLE */

/* ---- 11. Encoder: rows ------------------------------------------------------------------------------------------ */
#if !LLMQ_NO_ENCODER

/* Farther than any point is from a value that is encoded; its square is finite.
   check: f32(1e19)**2 < (2 - 2**-23) * 2**127 */
#define LLMQ__FAR 1e19f

/* Index of the point nearest to x in its first dims coordinates, 1 <= dims <= p.
   points: n points of p coordinates, sorted by the first one. If x holds a NaN, any index results.
   Points are visited in order of their distance in the first coordinate, so the first one that is
   too far in it ends the search. Adding squares cannot make a float sum smaller, hence this finds
   the same point as a search of all points. */
static uint32_t llmq__nearest(const float *points, uint32_t n, uint32_t p, uint32_t dims, const float *x)
{
    LLMQ__NO_CONTRACT
    const float *left, *right = points, *end = points + (size_t)n * p, *best = points;
    float min_dist = LLMQ__FAR, x0 = x[0], dl, dr, d, sum;
    uint32_t half, k;
    /* a binary search: right becomes the first point not below x0 */
    for (half = n; half > 0;) {
        uint32_t step = half / 2;
        const float *mid = right + (size_t)step * p;
        if (*mid < x0) right = mid + p, half -= step + 1;
        else half = step;
    }
    /* The points in [left, right) have been visited. dl and dr are the distances of x0 from the
       next point on each side, FAR where there is none: its square is more than any min_dist, so
       the loop ends when both sides are exhausted. */
    left = right;
    dl = left == points ? LLMQ__FAR : x0 - left[-(ptrdiff_t)p];
    dr = right == end ? LLMQ__FAR : *right - x0;
    for (;;) {
        const float *at;
        if (dl <= dr) {
            if (dl * dl > min_dist) break;
            sum = dl * dl;
            at = left -= p;
            dl = left == points ? LLMQ__FAR : x0 - left[-(ptrdiff_t)p];
        } else {
            if (dr * dr > min_dist) break;
            sum = dr * dr;
            at = right;
            right += p;
            dr = right == end ? LLMQ__FAR : *right - x0;
        }
        for (k = 1; k < dims; k++) {
            d = x[k] - at[k];
            sum += d * d;
        }
        /* ties go to the lower index, in whichever order points are visited */
        if (sum < min_dist || (sum <= min_dist && at < best)) min_dist = sum, best = at;
    }
    return (uint32_t)((size_t)(best - points) / p);
}

/* The state of one encoder call. Its maker sets the members, and no function changes them later,
   but for weight. The buffers are in the caller's workspace. */
typedef struct llmq__encoder {
    const llmq_kernels *kernels;
    const llmq_format *format;
    llmq__layout layout;
    /* [cols]: the row, normalised and transformed */
    float *row;
    /* [2^bits][p]: the points as floats */
    float *points;
    /* [layout.vectors]: the codes of the last group that was encoded */
    uint16_t *code;
    /* Weights of the squared errors in the columns of a group; NULL: all 1. A caller that has
       weights sets this before each group, to as many as the group has columns, and they are valid
       until the next. */
    const float *weight;
    /* llmq_encode_options.clip; 0: searched */
    float clip;
} llmq__encoder;

/* Makes e an encoder of rows of t, without buffers and weights. *t must outlive it: e->format leads
   there. */
static void llmq__encoder_set(llmq__encoder *e, const llmq_tensor *t)
{
    LLMQ_MEMSET(e, 0, sizeof *e);
    e->kernels = llmq__kernels(t->kernels);
    e->format = &t->format;
    e->layout = llmq__layout_of(t);
}

/* The scalar kernel `nearest` (section 2): code[i] of vector i of x * inverse, i < count. */
static void llmq__nearest_codes(const float *points, uint32_t n, uint32_t p, const float *x, float inverse,
                                uint32_t count, uint16_t *code)
{
    float y[8]; /* p <= 8 */
    uint32_t i, k;
    for (i = 0; i < count; i++, x += p) {
        for (k = 0; k < p; k++) y[k] = x[k] * inverse;
        code[i] = (uint16_t)llmq__nearest(points, n, p, p, y);
    }
}

/* *num = <x, c> and *den = <c, c>, where c are the points that `code` selects.
   code: codes of a grid, or the indices of the points of a trellis.
   x: n elements of a group, from its first column on.
   The order of the additions is specified, because it decides the bits of scales. */
LLMQ__NOINLINE void llmq__products_plain(const llmq_format *f, const uint16_t *code, const float *x, uint32_t n,
                                         float *num, float *den)
{
    LLMQ__NO_CONTRACT
    float lane[LLMQ__LANES];
    int32_t squares = 0;
    uint32_t i, k, dims, p = f->p;
    *den = 0.0f;
    LLMQ_MEMSET(lane, 0, sizeof lane);
    for (i = 0; i < n; i += dims) {
        const int8_t *point = f->points + *code++ * (size_t)p;
        /* fewer than p in the last vector of a group */
        dims = llmq__min(p, n - i);
        for (k = 0; k < dims; k++) {
            int32_t v = point[k];
            lane[(i + k) % LLMQ__LANES] += x[i + k] * (float)v;
            squares += v * v;
        }
        /* Only in groups of more than 65,536 columns: squares goes to the float sum before the next
           vector could overflow it.
           check: 2**30 + 8 * 128**2 < 2**31; 2**30 / 128**2 == 2**16 */
        if (squares >> 30) *den += (float)squares, squares = 0;
    }
    *num = llmq__lane_sum(lane);
    *den += (float)squares;
}

/* The same with n weights: *num = sum of weight x c, *den = sum of weight c^2. */
LLMQ__NOINLINE void llmq__products_weighted(const llmq_format *f, const uint16_t *code, const float *weight,
                                            const float *x, uint32_t n, float *num, float *den)
{
    LLMQ__NO_CONTRACT
    float lane[LLMQ__LANES], other[LLMQ__LANES], v;
    uint32_t i, p = f->p;
    LLMQ_MEMSET(lane, 0, sizeof lane);
    LLMQ_MEMSET(other, 0, sizeof other);
    for (i = 0; i < n; i++) {
        v = (float)f->points[code[i / p] * (size_t)p + i % p];
        lane[i % LLMQ__LANES] += x[i] * weight[i] * v;
        other[i % LLMQ__LANES] += weight[i] * v * v;
    }
    *num = llmq__lane_sum(lane);
    *den = llmq__lane_sum(other);
}

/* The products of n elements x of a group with the points of these codes, weighted if e has
   weights. */
static void llmq__products(const llmq__encoder *e, const uint16_t *code, const float *x, uint32_t n, float *num,
                           float *den)
{
    if (e->weight) llmq__products_weighted(e->format, code, e->weight, x, n, num, den);
    else llmq__products_plain(e->format, code, x, n, num, den);
}

/* Chooses e->code, the nearest points for the n elements x of a group at this scale, and fits a
   scale to them: |x|^2 - |x - s c|^2 = s (2 num - s den) is largest at s = num / den.
   *fit: that s; unchanged if the points are no use at any positive scale.
   Returns the gain num^2 / den; 0 if *fit is unchanged. scale: not 0. */
LLMQ__NOINLINE float llmq__assign(const llmq__encoder *e, const float *x, uint32_t n, float scale, float *fit)
{
    const llmq_format *f = e->format;
    float y[8], inverse = 1.0f / scale, num, den;
    uint32_t k, p = f->p, whole = n / p;
    e->kernels->nearest(e->points, f->n, p, x, inverse, whole, e->code);
    /* the kernel takes whole vectors only; the last one may have fewer than p elements */
    for (k = 0; k < n % p; k++) y[k] = x[whole * p + k] * inverse;
    if (k) e->code[whole] = (uint16_t)llmq__nearest(e->points, f->n, p, k, y);
    llmq__products(e, e->code, x, n, &num, &den);
    if (!(num > 0.0f) || !(den > 0.0f)) return 0.0f;
    *fit = num / den;
    return num * *fit;
}

/* x[i] = w[i] / 2^exponent, i < n, so that the largest magnitude is in [1, 2); returns the
   exponent.
   If w is all zero, so is x. If 2^exponent or its reciprocal would not be normal, the largest
   magnitude is in [2, 4), or in [2^-23, 1). Values 2^126 times smaller than the largest are
   rounded, all others are exact.
   w: finite; it may be x. */
static int32_t llmq__normalise(const float *w, uint32_t n, float *x)
{
    uint32_t i, max_abs = 0, bits, e;
    float down;
    /* without its sign bit a float has the order of its bits */
    for (i = 0; i < n; i++) {
        bits = llmq__float_bits(w[i]) & 0x7fffffffu;
        if (bits > max_abs) max_abs = bits;
    }
    e = max_abs >> 23;
    /* Biased by 127; the factor 2^-exponent has the biased exponent 254 - e, of a normal float.
       check: 254 - 1 < 255; 254 - 253 > 0 */
    if (e < 1) e = 1;
    if (e > 253) e = 253;
    down = llmq__bits_float((254 - e) << 23);
    for (i = 0; i < n; i++) x[i] = w[i] * down;
    return (int32_t)e - 127;
}

/* bits * 2^exponent, for a bfloat16 that is 0 or positive and normal. Below 2^-126 it becomes 0,
   and above the largest bfloat16, 7f7f, it becomes that: records have no subnormal or infinite
   scales. */
static uint16_t llmq__raise_scale(uint16_t bits, int32_t exponent)
{
    int32_t e = bits >> 7;
    e += exponent;
    if (bits == 0 || e < 1) return 0;
    return e > 254 ? 0x7f7fu : (uint16_t)((uint32_t)e << 7 | (bits & 127u));
}

/* Chooses the scale of a group: a bfloat16, 0 if no scale is of use.
   x: n elements; they are divided by 2^*exponent, in place, and the scale is for the result.
   effort: LLMQ_EFFORT_... e->code is lost. */
LLMQ__NOINLINE uint16_t llmq__choose_scale(const llmq__encoder *e, float *x, uint32_t n, int32_t *exponent, int effort)
{
    LLMQ__NO_CONTRACT
    /* Trial scales go down from rms / unit in these steps, until `patience` trials in a row were no
       better, and then up. Grids of 3 bits a coordinate and more have twice the patience on the way
       down: in short groups they have a second optimum there, at which the largest element is just
       reached.
       Measured: at group 64, g4, MSE 0.00691; with patience 2 both ways 0.00713; without any search
       0.00868. At 2 bits it makes no difference.
       check: 10 * 0.05 == 20 * 0.025 */
    static const struct { float step; int8_t trials, patience; } plan[3] = {
        { 0.05f, 10, 2 }, { 0.0f, 0, 0 }, { 0.025f, 20, 20 }
    };
    float lane[LLMQ__LANES], unit, fit = 0.0f, best_fit, best;
    int32_t i, side, worse;
    *exponent = llmq__normalise(x, n, x);
    LLMQ_MEMSET(lane, 0, sizeof lane);
    llmq__add_lanes(x, x, n, lane);
    unit = llmq__sqrt(llmq__lane_sum(lane) / (float)n) / e->format->unit;
    best_fit = unit;
    best = unit > 0.0f ? llmq__assign(e, x, n, unit, &best_fit) : 0.0f;
    for (side = -1; side <= 1 && unit > 0.0f; side += 2) {
        int32_t patience = plan[effort].patience * (side < 0 && e->format->bits >= 3 * e->format->p ? 2 : 1);
        for (i = 1, worse = 0; i <= plan[effort].trials && worse < patience; i++) {
            float gain = llmq__assign(e, x, n, unit * (1.0f + (float)(side * i) * plan[effort].step), &fit);
            if (gain > best) best = gain, best_fit = fit, worse = 0;
            else worse++;
        }
    }
    /* no gain: all elements are 0, or the grid is on one side of 0 and the group on the other */
    return best > 0.0f ? llmq_f32_to_bf16(best_fit) : 0;
}

/* Encodes one group of a grid without zero points: leaves its codes in e->code, and returns its
   scale, a bfloat16. x: n elements, which are normalised in place; the group is x * 2^exponent. */
static uint16_t llmq__encode_group(const llmq__encoder *e, float *x, uint32_t n, int32_t exponent, int effort)
{
    int32_t own;
    uint16_t bits = llmq__choose_scale(e, x, n, &own, effort);
    float fit;
    /* once more, for the scale as stored; its fit would be another scale, and is dropped */
    if (bits) (void)llmq__assign(e, x, n, llmq_bf16_to_f32(bits), &fit);
    else LLMQ_MEMSET(e->code, 0, llmq__ceil_div(n, e->format->p) * sizeof *e->code);
    return llmq__raise_scale(bits, exponent + own);
}

/* -- Formats with zero points. -- */

/* How the range of a group is cut into steps. The group's scale is scale / up = scale / 2^down,
   where up is 1, or 2^64 for a tiny clip, so that `scale` is always normal. */
typedef struct llmq__affine {
    /* inverse: 1 / scale */
    float scale, inverse, up;
    int32_t down;
    /* codes: the zero point, the lowest and the highest */
    int32_t zero, first, last;
} llmq__affine;

/* Steps for the range [low, high] of a normalised group, low <= 0 <= high and low < high.
   clip: the part of the range that gets codes, above 0, up to 1. */
static llmq__affine llmq__affine_of_range(const llmq_format *f, float low, float high, float clip)
{
    llmq__affine s;
    uint16_t bits;
    /* the table of u8 has no point -128: its code 0 is not used */
    s.first = f->bits == 8;
    s.last = 1;
    s.last = (s.last << f->bits) - 1;
    /* check: f32(5.42101086e-20) == 2**-64; f32(1.84467441e19) == 2**64 */
    s.down = clip < 5.42101086e-20f ? 64 : 0;
    s.up = s.down ? 1.84467441e19f : 1.0f;
    /* Now clip >= 2^-85 (subnormals are 2^-149 or more); high - low >= 2^-23 and there are fewer
       than 2^8 steps, so the scale is normal, and its reciprocal finite.
       check: -149 + 64 == -85; -85 - 23 - 8 > -126 */
    clip *= s.up;
    bits = llmq_f32_to_bf16((high - low) * clip / (float)(s.last - s.first));
    s.scale = llmq_bf16_to_f32(bits);
    s.inverse = 1.0f / s.scale;
    /* -low <= high - low, so this is about last - first or less: llmq__round takes it */
    s.zero = s.first + llmq__round(-low * clip * s.inverse);
    if (s.zero > s.last) s.zero = s.last;
    return s;
}

/* The code of x, limited to the codes that there are. */
static int32_t llmq__affine_code(const llmq__affine *s, float x)
{
    /* With a tiny clip y may have any size, also infinite; llmq__round takes less than 2^21. */
    float y = x * s->inverse * s->up;
    /* check: 1048576.0 == 2**20 */
    int32_t c = s->zero + llmq__round(y > 1048576.0f ? 1048576.0f : y < -1048576.0f ? -1048576.0f : y);
    return c < s->first ? s->first : c > s->last ? s->last : c;
}

/* Sum of the squared errors of the n elements x, of a normalised group. For a tiny clip the scale
   is taken as 2^64 times too large; such clips are not compared with others. */
static float llmq__affine_error(const llmq__affine *s, const float *x, uint32_t n)
{
    LLMQ__NO_CONTRACT
    float sum = 0.0f, e;
    uint32_t i;
    for (i = 0; i < n; i++) {
        e = x[i] - s->scale * (float)(llmq__affine_code(s, x[i]) - s->zero);
        sum += e * e;
    }
    return sum;
}

/* Encodes one group of a format with zero points: as llmq__encode_group, and sets *zero, the zero
   point. The clip with the smallest error is chosen, unless e->clip is given. */
LLMQ__NOINLINE uint16_t llmq__affine_encode(const llmq__encoder *e, float *x, uint32_t n, int32_t exponent, int effort,
                                            uint8_t *zero)
{
    /* clips of 1, 1 - step, 1 - 2 step ... 1/2.  check: 10 * 0.05 == 40 * 0.0125 */
    static const struct { float step; int32_t trials; } plan[3] = { { 0.05f, 10 }, { 0.0f, 0 }, { 0.0125f, 40 } };
    llmq__affine best, s;
    float low = 0.0f, high = 0.0f, min_error, error;
    int32_t own = llmq__normalise(x, n, x), i;
    uint32_t j;
    llmq__extend_range(x, n, &low, &high);
    *zero = (uint8_t)(1u << (e->format->bits - 1));
    /* all zero: the point of this code is 0 */
    if (!(high > low)) {
        for (j = 0; j < n; j++) e->code[j] = *zero;
        return 0;
    }
    /* a clip that is given is the only trial; it may be tiny, and those that are tried are not */
    best = llmq__affine_of_range(e->format, low, high, e->clip > 0.0f ? e->clip : 1.0f);
    min_error = llmq__affine_error(&best, x, n);
    for (i = 1; i <= plan[effort].trials && !(e->clip > 0.0f); i++) {
        s = llmq__affine_of_range(e->format, low, high, 1.0f - (float)i * plan[effort].step);
        error = llmq__affine_error(&s, x, n);
        if (error < min_error) min_error = error, best = s;
    }
    for (j = 0; j < n; j++) e->code[j] = (uint16_t)llmq__affine_code(&best, x[j]);
    *zero = (uint8_t)best.zero;
    return llmq__raise_scale(llmq_f32_to_bf16(best.scale), exponent + own - best.down);
}

/* Writes into one plane `width` bits of each of n codes, from bit `low` of code << up on, by OR.
   The codes are k, k + 1 ... of the unit. Code k has bit field k / bytes of byte k mod bytes, so
   the codes of a bit field lie side by side, and the next one begins again at byte 0. */
static void llmq__pack_plane(uint8_t *plane, uint32_t bytes, uint32_t width, uint32_t k, uint32_t n,
                             const uint16_t *code, uint32_t up, uint32_t low)
{
    uint32_t mask = ((uint32_t)1 << width) - 1, byte = k % bytes, shift = k / bytes * width, i;
    for (i = 0; i < n; i++) {
        uint32_t field = (uint32_t)code[i] << up >> low & mask;
        plane[byte] = (uint8_t)(plane[byte] | field << shift);
        if (++byte == bytes) byte = 0, shift += width;
    }
}

/* Writes codes first ... first + n - 1 of a row, by OR into bytes that are 0 there.
   row_codes: the row's codes, after the scales. code: n codes, each below 2^bits.
   Runs stay in one unit; with pairs of 3-bit codes, in one half of it, whose codes are the low or
   the high part of a 6-bit value: pos.shift says which. llmq__unpack reads in the same order. */
static void llmq__pack(uint8_t *row_codes, const llmq__layout *l, uint32_t first, uint32_t n, const uint16_t *code)
{
    uint32_t bits, width, bytes, run;
    /* find_code divides; a run shares its result */
    for (; n; n -= run, first += run, code += run) {
        llmq__code_position pos = llmq__find_code(l, first);
        uint8_t *plane = row_codes + pos.unit;
        run = llmq__min(n, pos.capacity - pos.k);
        /* bits: those that are not written yet, so bit pos.bits - bits of a value comes first */
        for (bits = pos.bits; bits; bits -= width, plane += bytes) {
            width = llmq__plane_width(bits);
            bytes = llmq__plane_bytes(pos.capacity, width);
            llmq__pack_plane(plane, bytes, width, pos.k, run, code, pos.shift, pos.bits - bits);
        }
    }
}

#if LLMQ_MAX_STEPS > 0
/* The exponent of the largest product x[j] d[j], j < n, or one less; 0 if all x are 0.
   d: n floats of a smoothing step, little-endian, positive and normal. */
static int32_t llmq__smooth_height(const float *x, uint32_t n, const uint8_t *d)
{
    uint32_t j, most = 0, bits, e;
    for (j = 0; j < n; j++, d += 4) {
        bits = llmq__float_bits(x[j]) & 0x7fffffffu;
        /* the sum of two exponents, each biased by 127; the product's is this or 1 more */
        e = (bits >> 23) + (llmq__load32(d) >> 23 & 255);
        if (bits && e > most) most = e;
    }
    return most ? (int32_t)most - 254 : 0;
}
#endif

/* Transforms a normalised row of W into the basis of t, in place: T^-T x.
   x: t->cols elements; the row is x * 2^*exponent. Both are changed.
   A smoothing step may make the row so large or so small that sums overflow or values become 0.
   Then a power of two goes from x into the exponent, or back, before that step, and x is normalised
   after it.
   work: as for llmq_transform_apply. On failure x is undefined. */
LLMQ__NOINLINE llmq_status llmq__row_to_basis(const llmq_tensor *t, float *x, int32_t *exponent, void *work,
                                              size_t work_size)
{
#if LLMQ_MAX_STEPS > 0
    const llmq_transform *to = &t->transform;
    uint32_t i, j;
    int moved = 0;
    llmq_status status = llmq__transform_check(to, t->cols);
    if (status == LLMQ_OK) status = llmq__transform_work_check(to, t->cols, work, work_size);
    for (i = 0; i < to->count && status == LLMQ_OK; i++) {
        int32_t height = 0;
        if (moved) *exponent += llmq__normalise(x, t->cols, x);
        if (to->step[i].kind == LLMQ_STEP_SMOOTH)
            height = llmq__smooth_height(x, t->cols, to->data + llmq__transform_data(to, i));
        if (height > 32 || height < -32) {
            /* Half of the height goes before the step and half remains, so that neither x nor the
               products leave the range of a float. The factor is normal: d is normal, so heights
               are -253 or more; x is below 2^80, because it was normalised or below 2^33 before the
               steps since then.
               check: 127 + 253 / 2 < 255; 127 - (80 + 128) / 2 > 0 */
            float down = llmq__bits_float((uint32_t)(127 - height / 2) << 23);
            for (j = 0; j < t->cols; j++) x[j] *= down;
            *exponent += height / 2;
            moved = 1;
        }
        status = llmq__step_apply(to, i, LLMQ_TO_WEIGHT, x, t->cols, work, work_size, llmq__kernels(t->kernels));
    }
    if (moved && status == LLMQ_OK) *exponent += llmq__normalise(x, t->cols, x);
    return status;
#else
    (void)x, (void)exponent;
    return llmq_transform_apply(&t->transform, LLMQ_TO_WEIGHT, x, t->cols, work, work_size, t->kernels);
#endif
}

/* Writes n elements in a raw format, little-endian. They must round to finite values. */
static void llmq__store_raw(const llmq_format *f, const float *x, uint32_t n, uint8_t *row)
{
    uint32_t i, half = f->id == LLMQ__ID_F16;
    for (i = 0; i < n; i++) {
        if (f->bits == 32) llmq__store32(row + 4 * (size_t)i, llmq__float_bits(x[i]));
        else llmq__store16(row + 2 * (size_t)i, half ? llmq_f32_to_f16(x[i]) : llmq_f32_to_bf16(x[i]));
    }
}

/* Encodes row r of a raw format. x: its n elements, in the basis of the tensor. out: its record,
   which is written only if all elements are finite in the format. error: NULL allowed. */
static llmq_status llmq__encode_raw(const llmq_format *f, const float *x, uint32_t n, uint8_t *out, uint32_t r,
                                    llmq_error *error)
{
    /* The bits from which on a value rounds to infinity: 65520 is half-way from 65504 to 2^16 in
       binary16; bfloat16 has 8 bits, and its limit is half-way from its largest value to 2^128.
       check: 0x477ff000 == f32bits(65520); 0x7f7f8000 == f32bits((2 - 1/256) * 2**127) */
    const uint32_t limit = f->bits == 32 ? 0x7f800000u : f->id == LLMQ__ID_F16 ? 0x477ff000u : 0x7f7f8000u;
    uint32_t j;
    for (j = 0; j < n; j++)
        if ((llmq__float_bits(x[j]) & 0x7fffffffu) >= limit) return llmq__not_finite(r, j, error);
    llmq__store_raw(f, x, n, out);
    return LLMQ_OK;
}

/* Encodes row r of W.
   e: of t, with buffers. w: t->cols finite elements. row: the record of row r, t->row_size bytes.
   work: as for llmq_transform_apply. It may be the memory of e->code, which is written later.
   error: NULL allowed; filled in only with LLMQ_E_NOT_FINITE, of raw formats. */
LLMQ__NOINLINE llmq_status llmq__encode_row(const llmq__encoder *e, const llmq_tensor *t, uint32_t r, const float *w,
                                            int effort, uint8_t *row, void *work, size_t work_size, llmq_error *error)
{
    const llmq_format *f = e->format;
    uint32_t j, n, k, first = 0;
    int32_t exponent = 0;
    uint16_t scale;
    llmq_status status;
    if (llmq__is_raw(f)) {
        /* not normalised: the elements themselves are stored */
        LLMQ_MEMCPY(e->row, w, t->cols * sizeof(float));
        status = llmq_transform_apply(&t->transform, LLMQ_TO_WEIGHT, e->row, t->cols, work, work_size, t->kernels);
        return status == LLMQ_OK ? llmq__encode_raw(f, e->row, t->cols, row, r, error) : status;
    }
    exponent = llmq__normalise(w, t->cols, e->row);
    if ((status = llmq__row_to_basis(t, e->row, &exponent, work, work_size)) != LLMQ_OK) return status;
    /* llmq__pack only sets bits */
    LLMQ_MEMSET(row, 0, t->row_size);
    /* k: the group; first: its first code. Each group starts a new vector of p coordinates. */
    for (j = 0; j < t->cols; j += n, first += e->layout.vectors) {
        n = llmq__min(e->layout.group, t->cols - j);
        k = j / e->layout.group;
        if (llmq__has_zero_points(f))
            scale = llmq__affine_encode(e, e->row + j, n, exponent, effort,
                                        row + t->row_size - e->layout.zero_points + k);
        else scale = llmq__encode_group(e, e->row + j, n, exponent, effort);
        llmq__store16(row + 2 * k, scale);
        llmq__pack(row + e->layout.scales, &e->layout, first, llmq__ceil_div(n, f->p), e->code);
    }
    return LLMQ_OK;
}

#if LLMQ__ANY_TRELLIS || !LLMQ_NO_CALIBRATION
/* An encoder of t's rows in the arena, without buffers. NULL if memory is only counted. */
static llmq__encoder *llmq__encoder_new(const llmq_tensor *t, llmq__arena *arena)
{
    llmq__encoder *e = (llmq__encoder *)llmq__alloc(arena, 1, sizeof *e);
    if (e) llmq__encoder_set(e, t);
    return e;
}
#endif

#endif /* !LLMQ_NO_ENCODER */

/* ---- 12. Encoder: trellises and tensors ------------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER

/* Rows [r0, r1) to encode, with the arguments of llmq_encode, which the caller has checked. */
typedef struct llmq__encode_job {
    const llmq_tensor *t;
    /* t's memory, from row 0 on */
    uint8_t *data;
    uint32_t r0, r1;
    const float *w;       /* row r0 of W */
    /* elements from row to row of w */
    size_t stride;
    /* trellises: [cols], weights of the squared errors in the columns; NULL: all 1 */
    const float *weight;
    /* NULL: defaults */
    const llmq_encode_options *options;
    /* llmq_encode_work_size(t) bytes, aligned for float */
    void *work;
    size_t work_size;
    llmq_error *error;    /* NULL allowed */
} llmq__encode_job;

/* Calls the job's progress function, if it has one, after row r - 1. True if the job is to stop. */
static int llmq__encode_stopped(const llmq__encode_job *job, uint32_t r)
{
    const llmq_encode_options *o = job->options;
    return o && o->progress && o->progress(o->context, r - job->r0, job->r1 - job->r0);
}

#if LLMQ__ANY_TRELLIS

/* The state of a column after a row: bit 0 is the lowest bit of that row's code, bit 1 of the code
   in the row above, and so on, for `memory` rows. There are 2^memory states. A code's lowest bit
   enters at bit 0, and the oldest bit leaves at the top: state q follows q / 2 and q / 2 + states /
   2. The state and the bit that left make a window of memory + 1 bits, q or q + states. The window
   decides all parities of a code, hence the set of points that the code selects from. */

/* The scalar kernel `viterbi`: section 2 is its contract. Half t % 2 of sum holds the sums before
   step t, and step t fills the other half; the costs of the sets are after both. */
LLMQ__NOINLINE void llmq__viterbi(const float *points, const uint8_t *parity, uint32_t set_size, uint32_t sets,
                                  uint32_t states, const float *x, uint32_t steps, uint32_t lanes, float *sum,
                                  uint16_t *choice)
{
    LLMQ__NO_CONTRACT
    float *cost = sum + 2 * LLMQ__LANES * (size_t)states, d;
    uint32_t t, s, i, k;
    for (t = 0; t < steps; t++, x += LLMQ__LANES, choice += states) {
        const float *from = sum + (t % 2 ? LLMQ__LANES * (size_t)states : 0);
        float *to = sum + (t % 2 ? 0 : LLMQ__LANES * (size_t)states);
        /* the nearest point of each set, once for all states that need it; FAR at most, so that 255
           steps cannot make a sum infinite */
        for (s = 0; s < sets; s++)
            for (i = 0; i < lanes; i++) {
                float min_dist = LLMQ__FAR;
                for (k = s; k < set_size * sets; k += sets) {
                    d = x[i] - points[k];
                    d = d * d;
                    if (d < min_dist) min_dist = d;
                }
                cost[s * LLMQ__LANES + i] = min_dist;
            }
        for (s = 0; s < states; s++, to += LLMQ__LANES) {
            /* a: the sums of the state before s whose top bit is 0; b: of the one whose top bit is
               1 */
            const float *a = from + (size_t)(s / 2) * LLMQ__LANES, *b = a + (size_t)(states / 2) * LLMQ__LANES;
            const float *a_cost = cost + parity[s] * LLMQ__LANES, *b_cost = cost + parity[s + states] * LLMQ__LANES;
            uint32_t chosen = 0;
            for (i = 0; i < lanes; i++) {
                float u = a[i] + a_cost[i], v = b[i] + b_cost[i];
                /* strictly less: ties go to the lower state */
                if (v < u) u = v, chosen |= (uint32_t)1 << i;
                to[i] = u;
            }
            choice[s] = (uint16_t)chosen;
        }
    }
    /* the caller finds the sums in the first half, whatever the number of steps */
    if (steps % 2)
        LLMQ_MEMCPY(sum, sum + LLMQ__LANES * (size_t)states, LLMQ__LANES * (size_t)states * sizeof *sum);
}

/* Encodes a tail-biting block of rows, a group of columns at a time. Up to LLMQ__LANES columns are
   searched side by side: a lane is a column. Rows are counted from the first of the block.
   B: rows of the largest block of the tensor. S: max(B, 2 warmup). */
typedef struct llmq__trellis_encoder {
    /* its format, layout, kernels and weights are used, and none of its buffers */
    llmq__encoder *e;
    /* the block that is being encoded */
    llmq__trellis_block block;
    /* sets = 2^parities, states = 2^memory; set s has the points s + sets i, i < set_size */
    uint32_t parities, sets, states, memory, set_size;
    /* columns a scale; elements of a row of code and index */
    uint32_t group;
    /* steps of a search before and after a row whose state it is to find */
    uint32_t warmup;
    int effort;
    /* [cols]: weights of the squared errors in the columns; NULL: all 1 */
    const float *d;
    /* [B][cols]: the rows, each divided by a power of two, and each group in it by another one */
    float *x;
    /* points [n]: the points as floats; sum [2 states + sets][LANES]: see the kernel */
    float *points, *sum;
    /* [S][LANES]: the columns that are searched, in units of the points; a row is a step */
    float *strip;
    /* [B]: the scale of each row in the group */
    float *scale;
    /* [2][B]: an element is x 2^exponent; the exponents of rows, then of rows in the group */
    int32_t *exponent;
    /* choice [S][states]: of a search; bit `lane` is the top bit of the best window of that state.
       code, index [B][group]: codes of the group, and the indices of their points */
    uint16_t *choice, *code, *index;
    /* [2 states]: the parities of each window, bit i for parity i; so it is the index of a set */
    uint8_t *parity;
} llmq__trellis_encoder;

/* Rows above a code that its parities reach: the largest lag of a tap. */
static uint32_t llmq__memory(const llmq_format *f)
{
    uint32_t all = (uint32_t)f->taps[0] | f->taps[1] | f->taps[2] | f->taps[3], m = 0;
    while (all >> (m + 1)) m++;
    return m;
}

/* Rows of the largest block of a tensor: all rows if they make one block, else the last block. At
   least 1, so that sizes are not 0. */
static uint32_t llmq__trellis_block_max(uint32_t rows)
{
    return rows < 2 * LLMQ_TRELLIS_BLOCK ? (rows ? rows : 1) : LLMQ_TRELLIS_BLOCK + rows % LLMQ_TRELLIS_BLOCK;
}

/* Makes an encoder of blocks of t in the arena. NULL if memory is only counted.
   e: an encoder of t; NULL if memory is only counted. cols: elements of a row of x, a row of the
   tensor or a group of it. group: columns a scale, at most cols. effort: LLMQ_EFFORT_... */
LLMQ__NOINLINE llmq__trellis_encoder *llmq__trellis_encoder_new(const llmq_tensor *t, llmq__encoder *e, uint32_t cols,
                                                                uint32_t group, int effort, llmq__arena *arena)
{
    llmq__trellis_encoder counted, *made = (llmq__trellis_encoder *)llmq__alloc(arena, 1, sizeof *made),
                                   *a = made ? made : &counted;
    size_t rows = llmq__trellis_block_max(t->rows), strip_rows, i;
    a->e = e;
    a->d = LLMQ__NULL;
    a->group = group;
    a->effort = effort;
    a->parities = llmq__parities(&t->format);
    a->memory = llmq__memory(&t->format);
    a->sets = (uint32_t)1 << a->parities;
    a->states = (uint32_t)1 << a->memory;
    a->set_size = (uint32_t)1 << (t->format.bits - 1);
    /* Never more than the rows of a block: a tensor with several blocks has none below 128 rows,
       and the memory is at most LLMQ__MAX_LAG = 10.
       Measured: with 64 states, 4 times the memory costs 0.03 dB more, 11 times gains 0.01 dB.
       check: 8 * 10 < 128 */
    a->warmup = llmq__min(8 * a->memory, (uint32_t)rows);
    strip_rows = rows > 2 * (size_t)a->warmup ? rows : 2 * (size_t)a->warmup;
    /* products of the first argument are small: rows is at most 255, and there are at most 1,024
       states */
    a->x = (float *)llmq__alloc(arena, rows * sizeof(float), cols);
    a->points = (float *)llmq__alloc(arena, t->format.n, sizeof(float));
    a->sum = (float *)llmq__alloc(arena, 2 * (size_t)a->states + a->sets, LLMQ__LANES * sizeof(float));
    a->strip = (float *)llmq__alloc(arena, strip_rows, LLMQ__LANES * sizeof(float));
    a->scale = (float *)llmq__alloc(arena, rows, sizeof(float));
    a->exponent = (int32_t *)llmq__alloc(arena, 2 * rows, sizeof(int32_t));
    a->choice = (uint16_t *)llmq__alloc(arena, strip_rows * a->states, sizeof(uint16_t));
    a->code = (uint16_t *)llmq__alloc(arena, rows * sizeof(uint16_t), group);
    a->index = (uint16_t *)llmq__alloc(arena, rows * sizeof(uint16_t), group);
    a->parity = (uint8_t *)llmq__alloc(arena, 2 * (size_t)a->states, 1);
    if (!made) return LLMQ__NULL;
    for (i = 0; i < t->format.n; i++) a->points[i] = (float)t->format.points[i];
    for (i = 0; i < 2 * (size_t)a->states; i++) {
        uint32_t k, v;
        /* v loses its lowest set bit each time: a parity is the number of tapped bits of the
           window, mod 2 */
        for (a->parity[i] = 0, k = 0; k < a->parities; k++)
            for (v = (uint32_t)i & t->format.taps[k]; v; v &= v - 1) a->parity[i] ^= (uint8_t)(1u << k);
    }
    return made;
}

/* The row that a search is at, `steps` steps after row `start`; the block closes on itself.
   start + steps is a few blocks at most, so it does not overflow. */
static uint32_t llmq__trellis_row(const llmq__trellis_encoder *a, uint32_t start, uint32_t steps)
{
    return (start + steps) % a->block.rows;
}

/* Searches the first `steps` steps of the strip, and fills sum and choice.
   state: where each lane begins; NULL: anywhere. The other states begin at FAR, which is farther
   than any path is long. */
static void llmq__trellis_search(llmq__trellis_encoder *a, uint32_t lanes, uint32_t steps, const uint32_t *state)
{
    uint32_t l, i;
    for (i = 0; i < a->states * LLMQ__LANES; i++) a->sum[i] = state ? LLMQ__FAR : 0.0f;
    for (l = 0; l < lanes && state; l++) a->sum[state[l] * LLMQ__LANES + l] = 0.0f;
    a->e->kernels->viterbi(a->points, a->parity, a->set_size, a->sets, a->states, a->strip, steps, lanes, a->sum,
                           a->choice);
}

/* Fills `steps` steps of the strip from row `start` on, with columns [j, j + lanes) of a->x, in
   units of the points. Lanes that are not used become 0, as the kernel wants.
   cols: elements of a row of a->x. */
static void llmq__trellis_fill(llmq__trellis_encoder *a, uint32_t cols, uint32_t j, uint32_t lanes, uint32_t start,
                               uint32_t steps)
{
    uint32_t i, l;
    for (i = 0; i < steps; i++) {
        uint32_t t = llmq__trellis_row(a, start, i);
        const float *x = a->x + (size_t)t * cols + j;
        float inverse = a->scale[t] > 0.0f ? 1.0f / a->scale[t] : 0.0f, *to = a->strip + i * (size_t)LLMQ__LANES;
        for (l = 0; l < lanes; l++) to[l] = x[l] * inverse;
        for (; l < LLMQ__LANES; l++) to[l] = 0.0f;
    }
}

/* Goes one step back along the best path of each lane.
   state: after step i of the search. before: the window of that step; before[l] >> 1 is the state
   before it, and bit 0 the lowest bit of its code. It may be state.
   Lanes go together, because each waits for the memory that it reads. */
static void llmq__trellis_backtrack(const llmq__trellis_encoder *a, uint32_t i, uint32_t lanes, const uint32_t *state,
                                    uint32_t *before)
{
    const uint16_t *choice = a->choice + i * (size_t)a->states;
    uint32_t l, memory = a->memory;
    for (l = 0; l < lanes; l++) before[l] = state[l] | ((uint32_t)choice[state[l]] >> l & 1) << memory;
}

/* Finds the state of each lane at the start of the block, before row 0.
   The strip holds 2 warmup steps, with the start in the middle. Both ends of the search are open:
   after warmup steps the best paths from all states have nearly always merged. */
static void llmq__trellis_start(llmq__trellis_encoder *a, uint32_t lanes, uint32_t *state)
{
    uint32_t i, l;
    llmq__trellis_search(a, lanes, 2 * a->warmup, LLMQ__NULL);
    /* the end of the shortest path, and then back along it to the middle of the strip */
    for (l = 0; l < lanes; l++)
        for (state[l] = 0, i = 1; i < a->states; i++)
            if (a->sum[i * LLMQ__LANES + l] < a->sum[state[l] * LLMQ__LANES + l]) state[l] = i;
    for (i = 2 * a->warmup; i-- > a->warmup;) {
        llmq__trellis_backtrack(a, i, lanes, state, state);
        for (l = 0; l < lanes; l++) state[l] >>= 1;
    }
}

/* Finds the state of each lane from which the way once around the block and back to it is shortest,
   by a search from every state. A search with open ends finds no good state for a block that is
   hardly longer than the memory. The strip holds the block from its start on.
   Measured, MSE with open ends and with this search:
       t2, 5 rows 0.419, 0.100    t4s, 16 rows 0.0078, 0.0052    t4s, 32 rows 0.0051, 0.0047 */
LLMQ__NOINLINE void llmq__tailbite_exhaustive(llmq__trellis_encoder *a, uint32_t lanes, uint32_t *state)
{
    float min_sum[LLMQ__LANES];
    uint32_t all[LLMQ__LANES], l, s;
    for (l = 0; l < lanes; l++) min_sum[l] = LLMQ__FAR, state[l] = 0;
    for (s = 0; s < a->states; s++) {
        /* only the sum at state s counts: the path that ends where it began */
        const float *sum = a->sum + s * LLMQ__LANES;
        for (l = 0; l < lanes; l++) all[l] = s;
        llmq__trellis_search(a, lanes, a->block.rows, all);
        for (l = 0; l < lanes; l++)
            if (sum[l] < min_sum[l]) min_sum[l] = sum[l], state[l] = s;
    }
}

/* True if the block is shorter than four memories: then all states are tried. */
static int llmq__tailbite_is_short(const llmq__trellis_encoder *a) { return a->block.rows < 4 * a->memory; }

/* Index of the point nearest to x in a set: set, set + sets, ... below n. Ties go to the lower one.
   n and sets: powers of two. The points of a set ascend by 1 or more.
   While |x| < 1024 no difference rounds away, so squared distances fall strictly and then rise, and
   a binary search finds the smallest. The kernel tries all points; both must find the same one. */
static uint32_t llmq__trellis_nearest(const float *points, uint32_t n, uint32_t sets, uint32_t set, float x)
{
    LLMQ__NO_CONTRACT
    float min_dist = LLMQ__FAR, d, e;
    uint32_t best = set, r;
    if (x > -1024.0f && x < 1024.0f) {
        for (r = n / 2; r >= sets; r /= 2) {
            /* Neighbours in the set: go up if the upper one is nearer. A mask in place of a branch,
               which no processor could predict. */
            d = x - points[best + r - sets];
            e = x - points[best + r];
            best += r & (0u - (uint32_t)(e * e < d * d));
        }
        return best;
    }
    for (r = set; r < n; r += sets) {
        d = x - points[r];
        d = d * d;
        if (d < min_dist) min_dist = d, best = r;
    }
    return best;
}

/* Reads codes and indices of columns [k, k + lanes) of the group from a search of the whole block.
   start: the row at which the strip and the search began.
   state: where each lane began, and therefore where the path to be read ends: this equality closes
   the block. Its contents are lost. */
LLMQ__NOINLINE void llmq__trellis_codes(llmq__trellis_encoder *a, uint32_t *state, uint32_t start, uint32_t lanes,
                                        uint32_t k)
{
    const uint32_t sets = a->sets, n = a->set_size * sets, parities = a->parities;
    const float *points = a->points, *x = a->strip + a->block.rows * (size_t)LLMQ__LANES;
    const uint8_t *parity = a->parity;
    uint32_t i, l, before[LLMQ__LANES];
    for (i = a->block.rows; i-- > 0;) {
        size_t at = (size_t)llmq__trellis_row(a, start, i) * a->group + k;
        uint16_t *code = a->code + at, *index = a->index + at;
        llmq__trellis_backtrack(a, i, lanes, state, before);
        x -= LLMQ__LANES;
        for (l = 0; l < lanes; l++) {
            /* index = (code / 2) sets + parities (section 5), and the code's lowest bit is in the
               window */
            uint32_t best = llmq__trellis_nearest(points, n, sets, parity[before[l]], x[l]);
            index[l] = (uint16_t)best;
            code[l] = (uint16_t)(best >> parities << 1 | (before[l] & 1));
            state[l] = before[l] >> 1;
        }
    }
}

/* One round of searches of the group at columns [j, j + n) of a->x: fills code and index, from
   a->scale.
   cols: elements of a row of a->x. round: 0, 1 ...; later rounds read the codes of the last one.
   A round begins half a block from the start of the round before, in the state that the earlier
   path has there. Far from its ends, a path is as good as the path of an open search. */
LLMQ__NOINLINE void llmq__trellis_round(llmq__trellis_encoder *a, uint32_t cols, uint32_t j, uint32_t n, uint32_t round)
{
    uint32_t state[LLMQ__LANES], k, l, i, lanes, rows = a->block.rows, start = round % 2 ? rows / 2 : 0;
    for (k = 0; k < n; k += lanes) {
        lanes = llmq__min(LLMQ__LANES, n - k);
        /* First the state at row `start`: from the round before; or by a search around it; or, for
           short blocks, by searches from all states, which read the same strip as the search for
           the codes. */
        if (round > 0) {
            /* The lowest bits of the codes above row `start` are the state before it. The index
               does not wrap below 0: i is less than the memory, at most 10.
               check: 16 - 1 - 9 >= 0 */
            for (l = 0; l < lanes; l++)
                for (state[l] = 0, i = 0; i < a->memory; i++)
                    state[l] |= (uint32_t)(a->code[(size_t)((start + 16 * rows - 1 - i) % rows) * a->group + k + l] & 1)
                                << i;
        } else if (!llmq__tailbite_is_short(a)) {
            llmq__trellis_fill(a, cols, j + k, lanes, rows - a->warmup, 2 * a->warmup);
            llmq__trellis_start(a, lanes, state);
        }
        llmq__trellis_fill(a, cols, j + k, lanes, start, rows);
        if (round == 0 && llmq__tailbite_is_short(a)) llmq__tailbite_exhaustive(a, lanes, state);
        llmq__trellis_search(a, lanes, rows, state);
        llmq__trellis_codes(a, state, start, lanes, k);
    }
}

/* Chooses code, index and scale of the group at columns [j, j + n) of a->x, in all rows of a block.
   cols: elements of a row of a->x. The group's part of a->x is normalised in place.
   a->exponent: [0, rows) holds the exponents of the rows; [rows, 2 rows) becomes their sum with the
   exponents of the group.
   a->e->weight: n weights, or NULL. */
LLMQ__NOINLINE void llmq__trellis_fit(llmq__trellis_encoder *a, uint32_t cols, uint32_t j, uint32_t n)
{
    LLMQ__NO_CONTRACT
    /* Scales go twice as far as the fit says, because the next search will follow in that
       direction.
       Measured: at group 64, t4, MSE 0.00499 after one round, 0.00487 0.00480 0.00476 after 2 3 4,
       0.00469 after 8; with steps as the fit says 0.00481 after 4. */
    static const uint8_t rounds[3] = { 4, 1, 8 };
    float lane[LLMQ__LANES], num, den, fit;
    int32_t *exponent = a->exponent + a->block.rows;
    uint32_t r, round, rows = a->block.rows;
    /* the first scale of each row: rms / unit; 0 in a row of zeros, whose elements then stay 0 */
    for (r = 0; r < rows; r++) {
        float *x = a->x + (size_t)r * cols + j;
        exponent[r] = a->exponent[r] + llmq__normalise(x, n, x);
        LLMQ_MEMSET(lane, 0, sizeof lane);
        llmq__add_lanes(x, x, n, lane);
        a->scale[r] = llmq__sqrt(llmq__lane_sum(lane) / (float)n) / a->e->format->unit;
    }
    for (round = 0; round < rounds[a->effort]; round++) {
        int last = round + 1 == rounds[a->effort];
        llmq__trellis_round(a, cols, j, n, round);
        for (r = 0; r < rows; r++) {
            llmq__products(a->e, a->index + (size_t)r * a->group, a->x + (size_t)r * cols + j, n, &num, &den);
            fit = num > 0.0f && den > 0.0f ? num / den : 0.0f;
            /* at least fit / 2, so that a scale never becomes 0 or negative on the way */
            if (last) a->scale[r] = fit;
            else if (fit > 0.0f)
                a->scale[r] = 2.0f * fit - a->scale[r] > 0.5f * fit ? 2.0f * fit - a->scale[r] : 0.5f * fit;
        }
    }
}

/* Encodes the group at columns [j, j + n) of a->x for all rows of the block, and writes it.
   cols: elements of a row of a->x.
   first: the group's first column in the tensor. g: the group's index there.
   out: the record of the block's first row; row_size: bytes from record to record. */
LLMQ__NOINLINE void llmq__trellis_group(llmq__trellis_encoder *a, uint32_t cols, uint32_t j, uint32_t n, uint32_t first,
                                        uint32_t g, size_t row_size, uint8_t *out)
{
    uint32_t r, rows = a->block.rows;
    llmq__trellis_fit(a, cols, j, n);
    /* codes are of the last round; the scale is the fit to them, which needs no further search */
    for (r = 0; r < rows; r++) {
        uint8_t *row = out + r * row_size;
        llmq__store16(row + 2 * (size_t)g, llmq__raise_scale(llmq_f32_to_bf16(a->scale[r]), a->exponent[rows + r]));
        llmq__pack(row + a->e->layout.scales, &a->e->layout, first, n, a->code + (size_t)r * a->group);
    }
}

/* Encodes the block a->block of W.
   w: its first row, finite; stride: elements from row to row. out: the record of its first row.
   work: as for llmq_transform_apply. On failure nothing is written. */
LLMQ__NOINLINE llmq_status llmq__trellis_encode_block(llmq__trellis_encoder *a, const llmq_tensor *t, const float *w,
                                                      size_t stride, uint8_t *out, void *work, size_t work_size)
{
    uint32_t r, j, n;
    llmq_status status;
    /* all rows are transformed first: a column is searched through all of them */
    for (r = 0; r < a->block.rows; r++, w += stride) {
        float *x = a->x + (size_t)r * t->cols;
        a->exponent[r] = llmq__normalise(w, t->cols, x);
        if ((status = llmq__row_to_basis(t, x, &a->exponent[r], work, work_size)) != LLMQ_OK) return status;
    }
    /* llmq__pack only sets bits; nothing can fail from here on */
    LLMQ_MEMSET(out, 0, a->block.rows * t->row_size);
    for (j = 0; j < t->cols; j += n) {
        n = llmq__min(a->group, t->cols - j);
        if (a->d) a->e->weight = a->d + j;
        llmq__trellis_group(a, t->cols, j, n, j, j / a->group, t->row_size, out);
    }
    return LLMQ_OK;
}

/* True if a block begins at row r, or r is the end of the rows. Blocks depend on t->rows, so a
   tensor must have all its rows before the first one is encoded. */
static int llmq__trellis_block_starts(const llmq_tensor *t, uint32_t r)
{
    return r == t->rows || llmq_trellis_block_start(t, r) == r;
}

/* Encodes the rows of a job, whose format is a trellis, a block at a time. LLMQ_E_ARG if no block
   begins at r0 or r1. */
LLMQ__NOINLINE llmq_status llmq__trellis_encode_rows(const llmq__encode_job *job)
{
    const llmq_tensor *t = job->t;
    llmq__arena arena = llmq__arena_of_lines(job->work);
    llmq__trellis_encoder *a;
    llmq_status status;
    const float *w = job->w;
    uint32_t r, i;
    if (!llmq__trellis_block_starts(t, job->r0) || !llmq__trellis_block_starts(t, job->r1)) return LLMQ_E_ARG;
    a = llmq__trellis_encoder_new(t, llmq__encoder_new(t, &arena), t->cols, llmq__layout_of(t).group,
                                  job->options ? job->options->effort : LLMQ_EFFORT_DEFAULT, &arena);
    a->d = job->weight;
    for (r = job->r0; r < job->r1; r += a->block.rows) {
        a->block = llmq__trellis_block_of(t->rows, r);
        /* the whole block first, so that a block is written completely or not at all */
        for (i = 0; i < a->block.rows; i++) {
            status = llmq__find_not_finite(w + i * job->stride, r + i, t->cols, job->error);
            if (status != LLMQ_OK) return status;
        }
        status = llmq__trellis_encode_block(a, t, w, job->stride, job->data + r * t->row_size,
                                            (char *)job->work + arena.used, job->work_size - arena.used);
        if (status != LLMQ_OK) return status;
        if (llmq__encode_stopped(job, r + a->block.rows)) return LLMQ_E_STOPPED;
        w += a->block.rows * job->stride;
    }
    return LLMQ_OK;
}
#endif

/* Counts the workspace as the encoders place it.
   llmq__trellis_encode_rows: its arena, then the workspace of the transform.
   llmq__encode_each: a row, the points, then the larger one of codes and transform. */
LLMQ_API size_t llmq_encode_work_size(const llmq_tensor *t)
{
    size_t row, codes, points = 0, work;
    if (!t || t->cols == 0 || t->cols > LLMQ_MAX_COLS) return 0;
    row = llmq__size_mul(t->cols, sizeof(float));
    /* raw: no points and no codes */
    if (llmq__is_raw(&t->format)) return llmq__size_add(row, llmq_transform_work_size(&t->transform, t->cols));
#if LLMQ__ANY_TRELLIS
    if (t->format.taps[0]) {
        llmq__arena arena = llmq__arena_of_lines(LLMQ__NULL);
        (void)llmq__trellis_encoder_new(t, llmq__encoder_new(t, &arena), t->cols, llmq__layout_of(t).group, 0, &arena);
        return llmq__size_add(llmq__arena_size(&arena), llmq_transform_work_size(&t->transform, t->cols));
    }
#endif
    points = llmq__size_mul((size_t)1 << t->format.bits, t->format.p * sizeof(float));
    codes = llmq__size_mul(llmq__layout_of(t).vectors, sizeof(uint16_t));
    /* shares memory with the codes: a row is transformed before its codes are chosen */
    work = llmq_transform_work_size(&t->transform, t->cols);
    return llmq__size_add(llmq__size_add(row, points), codes > work ? codes : work);
}

/* Makes e an encoder of t, with e->row and e->points in the memory at `at`, aligned for float.
   Returns the first byte after them. e->code is the caller's to set. */
LLMQ__NOINLINE float *llmq__encoder_init(llmq__encoder *e, const llmq_tensor *t, float *at)
{
    size_t i, n = t->format.points ? (size_t)t->format.p << t->format.bits : 0;
    llmq__encoder_set(e, t);
    e->row = at;
    e->points = at + t->cols;
    for (i = 0; i < n; i++) e->points[i] = (float)t->format.points[i];
    return e->points + n;
}

/* Encodes the rows of a job, whose format is not a trellis, row after row. */
LLMQ__NOINLINE llmq_status llmq__encode_each(const llmq__encode_job *job)
{
    const llmq_tensor *t = job->t;
    llmq__encoder e;
    llmq_status status;
    const float *w = job->w;
    uint8_t *out = job->data + job->r0 * t->row_size;
    uint32_t r;
    int effort = job->options ? job->options->effort : LLMQ_EFFORT_DEFAULT;
    size_t rest;
    e.code = (uint16_t *)(void *)llmq__encoder_init(&e, t, (float *)job->work);
    if (job->options) e.clip = job->options->clip;
    /* the rest of the workspace is for the transform, and then for the codes */
    rest = job->work_size - (size_t)((char *)e.code - (char *)job->work);
    for (r = job->r0; r < job->r1; r++, w += job->stride, out += t->row_size) {
        if ((status = llmq__find_not_finite(w, r, t->cols, job->error)) != LLMQ_OK) return status;
        if ((status = llmq__encode_row(&e, t, r, w, effort, out, e.code, rest, job->error)) != LLMQ_OK) return status;
        if (llmq__encode_stopped(job, r + 1)) return LLMQ_E_STOPPED;
    }
    return LLMQ_OK;
}

/* Checks the arguments that llmq_encode and llmq_tensor_append share. NaN is no clip. */
static llmq_status llmq__encode_check(const llmq_tensor *t, const llmq_encode_options *options, const void *work,
                                      size_t work_size)
{
    int effort = options ? options->effort : LLMQ_EFFORT_DEFAULT;
    size_t need = llmq_encode_work_size(t);
    if (!work || need == 0 || effort < LLMQ_EFFORT_DEFAULT || effort > LLMQ_EFFORT_BEST || llmq__misaligned(work))
        return LLMQ_E_ARG;
    if (options && !(options->clip >= 0.0f && options->clip <= 1.0f)) return LLMQ_E_ARG;
    return work_size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* Checks the arguments and makes a job of them. */
LLMQ_API llmq_status llmq_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1, const float *w,
                                 size_t stride, const llmq_encode_options *options, void *work, size_t work_size,
                                 llmq_error *error)
{
    llmq_status status;
    /* t->data is const, so data is the caller's leave to write there */
    if (!t || !data || data != t->data || !w || r0 > r1 || r1 > t->rows || stride < t->cols) return LLMQ_E_ARG;
    if ((status = llmq__encode_check(t, options, work, work_size)) != LLMQ_OK) return status;
    {
        const llmq__encode_job job = {
            t, (uint8_t *)data, r0, r1, w, stride, LLMQ__NULL, options, work, work_size, error
        };
#if LLMQ__ANY_TRELLIS
        if (t->format.taps[0]) return llmq__trellis_encode_rows(&job);
#endif
        return llmq__encode_each(&job);
    }
}

/* The row is counted last: readers in other threads see only records that are complete. */
LLMQ_API llmq_status llmq_tensor_append(llmq_tensor *t, void *data, size_t data_size, const float *row,
                                        const llmq_encode_options *options, void *work, size_t work_size)
{
    llmq_status status;
    if (!t || !data || data != t->data || !row || llmq__is_trellis(&t->format)) return LLMQ_E_ARG;
    /* divided, since rows times row_size may not fit size_t */
    if (t->rows == UINT32_MAX || data_size / t->row_size <= t->rows) return LLMQ_E_FULL;
    if ((status = llmq__encode_check(t, options, work, work_size)) != LLMQ_OK) return status;
    {
        const llmq__encode_job job = {
            t, (uint8_t *)data, t->rows, t->rows + 1, row, t->cols, LLMQ__NULL, options, work, work_size, LLMQ__NULL
        };
        status = llmq__encode_each(&job);
    }
    if (status == LLMQ_OK) t->rows++;
    return status;
}

#endif /* !LLMQ_NO_ENCODER */

/* ---- 13. Grid trainer ------------------------------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER

/* Sorts n points of p coordinates by their first coordinate. Shell's sort: in place, without
   recursion. */
static void llmq__sort_points(float *points, uint32_t n, uint32_t p)
{
    uint32_t gap, i, j, k;
    for (gap = n / 2; gap; gap /= 2)
        for (i = gap; i < n; i++)
            for (j = i; j >= gap && points[(j - gap) * p] > points[j * p]; j -= gap)
                for (k = 0; k < p; k++) {
                    float swap = points[j * p + k];
                    points[j * p + k] = points[(j - gap) * p + k];
                    points[(j - gap) * p + k] = swap;
                }
}

/* A point for each code, also for the codes from n up to the next power of two. No overflow on
   machines of 32 bits.
   check: 2**16 * 8 < 2**32 */
LLMQ_API size_t llmq_grid_size(uint32_t p, uint32_t n)
{
    if (p < 1 || p > 8 || n < 2 || n > 65536u) return 0;
    return llmq__size_mul((size_t)1 << llmq__ceil_log2(n), p);
}

/* The workspace. points: [n][p], as floats. sum: [n][p], of the samples nearest to each point.
   hits: [n], the number of these samples. */
static void llmq__trainer_layout(uint32_t p, uint32_t n, llmq__arena *arena, float **points, float **sum,
                                 uint32_t **hits)
{
    *points = (float *)llmq__alloc(arena, n, p * sizeof(float));
    *sum = (float *)llmq__alloc(arena, n, p * sizeof(float));
    *hits = (uint32_t *)llmq__alloc(arena, n, sizeof(uint32_t));
}

LLMQ_API size_t llmq_grid_train_work_size(uint32_t p, uint32_t n)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(float));
    float *points, *sum;
    uint32_t *hits;
    if (llmq_grid_size(p, n) == 0) return 0;
    llmq__trainer_layout(p, n, &arena, &points, &sum, &hits);
    return llmq__arena_size(&arena);
}

/* One step of Lloyd's iteration: each point goes the part `move` of its way to the mean of the
   samples nearest to it; 1 is Lloyd's step. A point without samples stays.
   points: sorted, before and after. sum, hits: see llmq__trainer_layout; their contents are lost.
   seed: decides the samples, of N(0, I_p). */
LLMQ__NOINLINE void llmq__lloyd(float *points, float *sum, uint32_t *hits, uint32_t p, uint32_t n, uint32_t seed,
                                uint32_t samples, float move)
{
    LLMQ__NO_CONTRACT
    float x[8];
    uint32_t counter = 0, i, k, c;
    LLMQ_MEMSET(x, 0, sizeof x);
    LLMQ_MEMSET(sum, 0, (size_t)n * p * sizeof *sum);
    LLMQ_MEMSET(hits, 0, (size_t)n * sizeof *hits);
    /* sums grow one sample after the other: this order is specified, as the grid's bits depend on
       it */
    for (i = 0; i < samples; i++) {
        llmq__normals(seed, &counter, p, x);
        /* scalar: samples come one at a time */
        c = llmq__nearest(points, n, p, p, x);
        hits[c]++;
        for (k = 0; k < p; k++) sum[c * p + k] += x[k];
    }
    for (c = 0; c < n; c++)
        for (k = 0; k < p && hits[c]; k++)
            points[c * p + k] += (sum[c * p + k] / (float)hits[c] - points[c * p + k]) * move;
    /* the next search relies on the order */
    llmq__sort_points(points, n, p);
}

/* Training works on floats. Only at its end the points are scaled, rounded to int8 and written, so
   that a stopped call leaves the caller's memory as it was. */
LLMQ_API llmq_status llmq_grid_train(llmq_format *f, const llmq_grid_options *options, int8_t *points,
                                     size_t points_size, void *work, size_t work_size)
{
    LLMQ__NO_CONTRACT
    llmq__arena arena = llmq__arena_of(work, sizeof(float));
    float *at, *sum, x[8], wide, max_abs = 0.0f, unit;
    uint32_t p, n, samples, steps, i, k, counter = 0, *hits;
    size_t size;
    if (!f || !options || !points || !work || llmq__misaligned(work) || !llmq__group_ok(options->group))
        return LLMQ_E_ARG;
    p = options->p;
    n = options->n;
    size = llmq_grid_size(p, n);
    if (size == 0) return LLMQ_E_ARG;
    if (points_size < size || work_size < llmq_grid_train_work_size(p, n)) return LLMQ_E_WORKSPACE;
    llmq__trainer_layout(p, n, &arena, &at, &sum, &hits);
    /* n * 256 fits: n is 65536 at most.
       check: 65536 * 256 < 2**32; 65536 == 256 * 256 */
    samples = options->samples ? options->samples : n > 256 ? n * 256 : 65536;
    steps = options->steps ? options->steps : 60;
    /* Zador's density is proportional to the density of the source to the power p / (p + 2). For
       N(0, I) that is a normal density of variance (p + 2) / p. */
    wide = llmq__sqrt((float)(p + 2) / (float)p);
    /* llmq__normals makes pairs: x has an even capacity of at least p */
    for (i = 0; i < n; i++) {
        llmq__normals(options->seed, &counter, p, x);
        for (k = 0; k < p; k++) at[i * p + k] = x[k] * wide;
    }
    llmq__sort_points(at, n, p);
    for (i = 0; i < steps; i++) {
        /* First many rough steps, longer than Lloyd's, which cover ground. Then steps of 1 / fine:
           the points become the mean of the results of `fine` steps, whose noise averages out. Each
           call of llmq__lloyd has a seed of its own; the first points have taken options->seed. */
        uint32_t fine = i >= steps / 2 ? i - steps / 2 + 1 : 0;
        for (k = 0; k < (fine ? 1u : 4u); k++)
            llmq__lloyd(at, sum, hits, p, n, options->seed + 1 + 4 * i + k, fine ? samples : samples / 4 + 1,
                        fine ? 1.0f / (float)fine : 1.6f);
        if (options->progress && options->progress(options->context, i + 1, steps)) return LLMQ_E_STOPPED;
    }
    /* the largest coordinate becomes 127: the steps of int8 are then as fine as they can be */
    for (i = 0; i < n * p; i++)
        if (at[i] > max_abs || -at[i] > max_abs) max_abs = at[i] > 0.0f ? at[i] : -at[i];
    unit = 127.0f / max_abs;
    /* the spare codes repeat the last point */
    for (i = 0; i < size; i++)
        points[i] = llmq__round_i8(at[i < n * p ? i : (n - 1) * p + i % p] * unit);
    return llmq_format_custom(f, p, n, points, unit, options->group);
}
#endif /* !LLMQ_NO_ENCODER */

/* ---- 14. Bundle: writing ---------------------------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER && !LLMQ_NO_BUNDLE

/* The writer sends the header, the directory, the names and the payloads to a sink, in one pass.
   Both checksums stand before the bytes that they cover, so the same functions run once before,
   with a checksum in place of the sink. Nothing is written that the reader of section 10 would
   refuse. */

#if LLMQ_MAX_STEPS > 0
/* The counterpart of llmq__transform_load. */
LLMQ_API llmq_status llmq_transform_store(const llmq_transform *t, void *out, size_t *size)
{
    uint8_t *b = (uint8_t *)out;
    uint32_t i;
    size_t head, n;
    llmq_status status;
    if (!t || !out || !size) return LLMQ_E_ARG;
    /* cols 0: whether the steps fit a tensor is checked when the tensor is written */
    if ((status = llmq__transform_check(t, 0)) != LLMQ_OK) return status;
    if (!llmq__transform_data_ok(t)) return LLMQ_E_ARG;
    head = 4 + 8 * (size_t)t->count;
    n = llmq__transform_data(t, t->count);
    if (*size < head || *size - head < n) return LLMQ_E_WORKSPACE;
    *size = head + n;
    llmq__store32(b, t->count);
    for (i = 0, b += 4; i < t->count; i++, b += 8) {
        llmq__store16(b, t->step[i].kind);
        llmq__store16(b + 2, t->step[i].block);
        llmq__store32(b + 4, t->step[i].arg);
    }
    /* without data t->data may be NULL, which LLMQ_MEMCPY must not get */
    if (n) LLMQ_MEMCPY(b, t->data, n);
    return LLMQ_OK;
}
#endif

/* The counterpart of llmq__grid_load. The points after the first n are stored, too: a record may
   hold their codes. Trellises are built in, so their tables are never stored. */
LLMQ_API llmq_status llmq_grid_store(const llmq_format *f, void *out, size_t *size)
{
    uint8_t *b = (uint8_t *)out;
    size_t need;
    if (!f || !out || !size || !llmq__format_ok(f) || !f->points || f->taps[0] || !llmq__points_sorted(f))
        return LLMQ_E_ARG;
    need = 12 + ((size_t)f->p << f->bits);
    if (*size < need) return LLMQ_E_WORKSPACE;
    *size = need;
    llmq__store32(b, f->p);
    llmq__store32(b + 4, f->n);
    llmq__store32(b + 8, llmq__float_bits(f->unit));
    LLMQ_MEMCPY(b + 12, f->points, need - 12);
    return LLMQ_OK;
}

/* Bytes before the 0, up to 256, which is too long for a name. It is bounded, since compilers would
   make a plain loop a call of strlen. */
static size_t llmq__length(const char *s)
{
    size_t n = 0;
    while (n < 256 && s[n]) n++;
    return n;
}

/* Bytes of zeros after n bytes, up to a multiple of 64; and n with them. 0 stays 0: a size that
   does not fit. */
static size_t llmq__padding(size_t n) { return (LLMQ__ALIGN - n % LLMQ__ALIGN) % LLMQ__ALIGN; }
static size_t llmq__align_up(size_t n) { return llmq__size_add(n, llmq__padding(n)); }

/* Offset of the end of the names, without padding; 0 if it does not fit size_t. No name is NULL. */
static size_t llmq__names_end(const llmq_entry *entries, uint32_t count)
{
    /* size_mul and size_add give 0 for a sum that does not fit; a count of 0 is no overflow */
    size_t end = llmq__size_add(64, count ? llmq__size_mul(count, 64) : 0);
    uint32_t i;
    if (count && end == 64) return 0;
    for (i = 0; i < count && end; i++) end = llmq__size_add(end, llmq__length(entries[i].name) + 1);
    return end;
}

/* The names' end, then each payload, all rounded up to multiples of 64. Once the sum does not fit
   it stays 0. */
LLMQ_API size_t llmq_bundle_size(const llmq_entry *entries, uint32_t count)
{
    size_t end;
    uint32_t i;
    if (!entries && count) return 0;
    for (i = 0; i < count; i++)
        if (!entries[i].name) return 0;
    end = llmq__align_up(llmq__names_end(entries, count));
    for (i = 0; i < count && end; i++) end = llmq__align_up(llmq__size_add(end, entries[i].size));
    return end;
}

/* Index + 1 of the entry of that name; 0 if name is NULL or no entry has it. */
static uint32_t llmq__entry_index(const llmq_entry *entries, uint32_t count, const char *name)
{
    uint32_t i;
    for (i = 0; name && i < count; i++)
        if (llmq__compare(entries[i].name, name) == 0) return i + 1;
    return 0;
}

/* The payload of the entry of that name, and its size in bytes; NULL if there is no such entry or
   it is of another kind. *size is then unchanged. */
static const uint8_t *llmq__named(const llmq_entry *entries, uint32_t count, const char *name, uint32_t kind,
                                  size_t *size)
{
    uint32_t index = llmq__entry_index(entries, count, name);
    if (index == 0 || entries[index - 1].kind != kind) return LLMQ__NULL;
    *size = entries[index - 1].size;
    return (const uint8_t *)entries[index - 1].data;
}

/* The content of entry i as its reader will load it: the counterpart of llmq__content_read. */
static llmq__content llmq__content_written(const llmq_entry *entries, uint32_t count, uint32_t i)
{
    const llmq_entry *e = &entries[i];
    llmq__content c;
    LLMQ_MEMSET(&c, 0, sizeof c);
    c.kind = e->kind;
    c.flags = 1;
    c.type = e->kind == LLMQ_KIND_TENSOR ? e->format.id : e->type;
    c.data = (const uint8_t *)e->data;
    /* no data: no check may look at them, whatever size is stated */
    c.size = e->data ? e->size : 0;
    c.rows = e->rows;
    c.cols = e->cols;
    /* the struct of a raw format may hold any group, but the reader accepts only 0 */
    c.group = e->format.points ? e->format.group : 0;
    c.has_steps = e->transform != LLMQ__NULL;
    c.has_grid = e->grid != LLMQ__NULL;
    c.steps = llmq__named(entries, count, e->transform, LLMQ_KIND_TRANSFORM, &c.steps_size);
    c.grid = llmq__named(entries, count, e->grid, LLMQ_KIND_GRID, &c.grid_size);
    return c;
}

/* True if records mean the same in both formats, which are valid. Names and ids are not compared:
   points decide. Groups are not compared: the directory takes the writer's group. */
static int llmq__format_same(const llmq_format *a, const llmq_format *b)
{
    size_t i;
    if (a->bits != b->bits || a->p != b->p || a->n != b->n || a->zero_points != b->zero_points
        || !a->points != !b->points)
        return 0;
    if (!a->points) return 1;
    /* as bits: equal floats have equal bits, because a unit is neither 0 nor NaN */
    if (llmq__float_bits(a->unit) != llmq__float_bits(b->unit)) return 0;
    for (i = 0; i < 4; i++)
        if (a->taps[i] != b->taps[i]) return 0;
    for (i = 0; i < (size_t)llmq__table(a) * a->p; i++)
        if (a->points[i] != b->points[i]) return 0;
    return 1;
}

/* True if the reader of a tensor decodes its records as its writer does, and llmq_bundle_verify
   accepts its scales. c: the tensor's content, which llmq__content_check has passed. f: the
   writer's format. */
LLMQ__NOINLINE int llmq__tensor_same(const llmq__content *c, const llmq_format *f)
{
    llmq_tensor t;
    LLMQ_MEMSET(&t, 0, sizeof t);
    if (llmq__content_format(c, &t.format) != LLMQ_OK || !llmq__format_ok(f) || !llmq__format_same(&t.format, f))
        return 0;
    t.rows = c->rows;
    t.cols = c->cols;
    t.data = c->data;
    t.row_size = llmq_row_size(f, c->cols);
    return !llmq__bad_scale(&t);
}

/* True if entry i may be written: its name and kind are allowed, its content passes the reader's
   checks, and a tensor means the same to its reader.
   entries: sorted by name, with names that are not NULL. */
LLMQ__NOINLINE int llmq__writable(const llmq_entry *entries, uint32_t count, uint32_t i)
{
    const llmq_entry *e = &entries[i];
    llmq__content c;
    if (!llmq__name_ok(e->name, llmq__length(e->name)) || (!e->data && e->size) || e->kind < LLMQ_KIND_TENSOR
        || e->kind > LLMQ_KIND_VALUE)
        return 0;
    /* in sorted entries this finds a name that is there twice */
    if (i > 0 && llmq__compare(e[-1].name, e->name) >= 0) return 0;
    c = llmq__content_written(entries, count, i);
    if (llmq__content_check(&c) != LLMQ_OK) return 0;
    return e->kind != LLMQ_KIND_TENSOR || llmq__tensor_same(&c, &e->format);
}

/* The high word of a size; the parameter widens it, so that the shift is defined if size_t has 32
   bits. */
static uint32_t llmq__high(uint64_t v) { return (uint32_t)(v >> 32); }

/* Makes the 64 bytes b of entry i, at the offsets of the table in section 10: the counterpart of
   llmq__content_read. Fields that the kind does not have are 0.
   name_at: offset of its name in the names. offset: of its payload in the bundle. */
static void llmq__entry_bytes(const llmq_entry *entries, uint32_t count, uint32_t i, size_t name_at, size_t offset,
                              uint8_t *b)
{
    const llmq_entry *e = &entries[i];
    LLMQ_MEMSET(b, 0, 64);
    llmq__store16(b, e->kind);
    /* flag bit 0: no reader may skip an entry that it does not know */
    llmq__store16(b + 2, 1);
    /* fits: llmq_bundle_write has refused names that end beyond 2^32 - 1 */
    llmq__store32(b + 4, (uint32_t)name_at);
    llmq__store32(b + 8, (uint32_t)llmq__length(e->name));
    llmq__store32(b + 16, (uint32_t)(offset & 0xffffffffu));
    llmq__store32(b + 20, llmq__high(offset));
    llmq__store32(b + 24, (uint32_t)(e->size & 0xffffffffu));
    llmq__store32(b + 28, (uint32_t)((uint64_t)e->size >> 32));
    if (e->kind == LLMQ_KIND_VALUE) llmq__store32(b + 12, e->type);
    if (e->kind != LLMQ_KIND_TENSOR) return;
    llmq__store32(b + 12, e->format.id);
    llmq__store32(b + 32, e->rows);
    llmq__store32(b + 36, e->cols);
    llmq__store32(b + 40, e->format.points ? e->format.group : 0);
    /* not 0 for names that are given: llmq__writable has found their entries */
    llmq__store32(b + 44, llmq__entry_index(entries, count, e->transform));
    llmq__store32(b + 48, llmq__entry_index(entries, count, e->grid));
    llmq__store32(b + 52, llmq__float_bits(e->t2));
}

/* Where bytes go: to the sink, or into a checksum if there is none. */
typedef struct llmq__out {
    /* NULL: bytes go into crc */
    llmq_sink sink;
    void *context;
    /* the checksum of the bytes so far; the writer sets it before each of its two uses */
    uint32_t crc;
    /* 1: the sink has asked to stop, and all further bytes are dropped */
    int stopped;
} llmq__out;

/* Sends n bytes, which may be NULL if n is 0; a sink is never called without bytes, nor again once
   it has asked to stop. */
static void llmq__put(llmq__out *o, const void *bytes, size_t n)
{
    if (o->stopped || n == 0) return;
    if (o->sink) o->stopped = o->sink(o->context, bytes, n) != 0;
    else o->crc = llmq__crc(o->crc, (const uint8_t *)bytes, n);
}

/* Sends n < 64 zeros: padding. */
LLMQ__NOINLINE void llmq__put_zeros(llmq__out *o, size_t n)
{
    uint8_t zeros[LLMQ__ALIGN];
    LLMQ_MEMSET(zeros, 0, sizeof zeros);
    llmq__put(o, zeros, n);
}

/* Sends the directory and the names, without padding. Offsets cannot overflow: the caller has seen
   that the whole bundle fits size_t. */
LLMQ__NOINLINE void llmq__put_directory(llmq__out *o, const llmq_entry *entries, uint32_t count)
{
    size_t name_at = 0, offset = llmq__names_end(entries, count);
    uint8_t b[64];
    uint32_t i;
    for (i = 0; i < count; i++) {
        offset = llmq__align_up(offset);
        llmq__entry_bytes(entries, count, i, name_at, offset, b);
        llmq__put(o, b, sizeof b);
        name_at += llmq__length(entries[i].name) + 1;
        offset += entries[i].size;
    }
    for (i = 0; i < count; i++) llmq__put(o, entries[i].name, llmq__length(entries[i].name) + 1);
}

/* Sends the payloads, each with its padding; the first begins at a multiple of 64. A reader may map
   the bundle, so the last payload has its padding as well. */
static void llmq__put_payloads(llmq__out *o, const llmq_entry *entries, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count; i++) {
        llmq__put(o, entries[i].data, entries[i].size);
        llmq__put_zeros(o, llmq__padding(entries[i].size));
    }
}

/* Sorts entries by name. Shell's sort: in place, without recursion. */
static void llmq__sort_entries(llmq_entry *e, uint32_t n)
{
    uint32_t gap, i, j;
    for (gap = n / 2; gap; gap /= 2)
        for (i = gap; i < n; i++)
            for (j = i; j >= gap && llmq__compare(e[j - gap].name, e[j].name) > 0; j -= gap) {
                llmq_entry swap = e[j];
                e[j] = e[j - gap];
                e[j - gap] = swap;
            }
}

/* Everything is checked before the first byte is sent, so only the sink can stop the writer
   halfway.
   The checksum of the payloads is in the part of the header that the other checksum covers, so it
   is computed first. */
LLMQ_API llmq_status llmq_bundle_write(llmq_entry *entries, uint32_t count, llmq_sink sink, void *context)
{
    size_t total = llmq_bundle_size(entries, count), names_end;
    uint8_t head[64];
    llmq__out o;
    uint32_t i;
    if (!sink || (!entries && count)) return LLMQ_E_ARG;
    for (i = 0; i < count; i++)
        if (!entries[i].name) return LLMQ_E_ARG;
    if (total == 0) return LLMQ_E_LIMIT;
    llmq__sort_entries(entries, count);
    for (i = 0; i < count; i++)
        if (!llmq__writable(entries, count, i)) return LLMQ_E_ARG;
    names_end = llmq__names_end(entries, count);
    /* offsets of names and the bytes of all names are stored in 32 bits */
    if (names_end > 0xffffffffu) return LLMQ_E_LIMIT;
    /* first without a sink, for the checksums */
    o.sink = LLMQ__NULL;
    o.context = context;
    o.crc = 0;
    o.stopped = 0;
    LLMQ_MEMSET(head, 0, sizeof head);
    LLMQ_MEMCPY(head, llmq__magic, 8);
    llmq__store16(head + 8, LLMQ__MAJOR);
    llmq__store32(head + 16, (uint32_t)(total & 0xffffffffu));
    llmq__store32(head + 20, llmq__high(total));
    /* the payloads and all padding between them */
    llmq__put_payloads(&o, entries, count);
    llmq__store32(head + 24, o.crc);
    llmq__store32(head + 28, count);
    llmq__store32(head + 32, (uint32_t)(names_end - 64 - (size_t)count * 64));
    /* the header from byte 16 on, the directory and the names; the header must be complete but for
       this checksum */
    o.crc = llmq__crc(0, head + 16, 48);
    llmq__put_directory(&o, entries, count);
    llmq__store32(head + 12, o.crc);
    /* and now to the sink, in the order of the bundle */
    o.sink = sink;
    llmq__put(&o, head, sizeof head);
    llmq__put_directory(&o, entries, count);
    llmq__put_zeros(&o, llmq__padding(names_end));
    llmq__put_payloads(&o, entries, count);
    return o.stopped ? LLMQ_E_STOPPED : LLMQ_OK;
}

/* A sink. context: a pointer to the pointer to the next byte. */
static int llmq__memory_sink(void *context, const void *bytes, size_t n)
{
    uint8_t **at = (uint8_t **)context;
    LLMQ_MEMCPY(*at, bytes, n);
    *at += n;
    return 0;
}

/* The bytes that llmq_bundle_write sends are llmq_bundle_size in all, so the sink needs no
   limit. */
LLMQ_API llmq_status llmq_bundle_write_memory(llmq_entry *entries, uint32_t count, void *out, size_t size)
{
    uint8_t *at = (uint8_t *)out;
    if (!out) return LLMQ_E_ARG;
    if (size < llmq_bundle_size(entries, count)) return LLMQ_E_WORKSPACE;
    return llmq_bundle_write(entries, count, llmq__memory_sink, &at);
}
#endif

/* ---- 15. Sensitivity -------------------------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

/* T x in place, for finite numbers. No step can make them infinite, nor a sum of them: before each they are clamped. */
static llmq_status llmq__to_hessian(const llmq_hessian *h, float *x, void *work, size_t work_size)
{
    llmq_status status = LLMQ_OK;
    uint32_t i, j;
    for (i = 0; i < h->transform.count && status == LLMQ_OK; i++) {
        for (j = 0; j < h->cols; j++) x[j] = llmq__clamp(x[j], i ? 1.26765060e30f : 1.15292150e18f); /* 2^100, 2^60 */
        status = llmq__step_apply(&h->transform, i, LLMQ_TO_ACTIVATION, x, h->cols, work, work_size, llmq__kernels(h->kernels));
    }
    return status;
}

static void llmq__add_products(float *const *out, const float *const *a, size_t a_step, const float *v, size_t v_stride, uint32_t rows,
                               uint32_t count, uint32_t n)
{
    LLMQ__NO_CONTRACT
    uint32_t i, t;
    for (i = 0; i < rows; i++)
        for (t = 0; t < count; t++) llmq__add_scaled(out[i], a[i][t * a_step], v + t * v_stride, n);
}

#define LLMQ__TOKENS 128  /* worked on together: a panel of so many by 128 columns is half of a small level-2 cache */
#define LLMQ__PANEL 128
#define LLMQ__PANELS 8    /* 512 KB that the rows of H use again and again, while they themselves come from memory */

/* Where row i of a packed lower triangle begins, which is how many numbers i rows have. */
static size_t llmq__packed(size_t i) { return i % 2 ? (i + 1) / 2 * i : i / 2 * (i + 1); }

LLMQ_API size_t llmq_hessian_size(uint32_t cols, int full)
{
    size_t n = llmq__size(cols), pairs;
    if (cols == 0 || cols > LLMQ_MAX_COLS) return 0;
    if (!full) return llmq__size_mul(n, sizeof(float));
    pairs = n % 2 ? llmq__size_mul(n, (n + 1) / 2) : llmq__size_mul(n / 2, n + 1);
    return llmq__size_mul(pairs, sizeof(float));
}

LLMQ_API llmq_status llmq_hessian_init(llmq_hessian *h, uint32_t cols, int full, const llmq_transform *transform, void *mem, size_t size)
{
    static const llmq_transform none = { 0, { { 0, 0, 0 } }, LLMQ__NULL };
    llmq_status status;
    size_t need = llmq_hessian_size(cols, full);
    if (!h || !mem || llmq__misaligned(mem) || cols == 0) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    if (size < need) return LLMQ_E_WORKSPACE;
    if (!transform) transform = &none;
    if ((status = llmq__transform_check(transform, cols)) != LLMQ_OK) return status;
    h->cols = cols;
    h->full = full != 0;
    h->weight = h->squares = 0.0;
    h->transform = *transform;
    h->h = (float *)mem;
    h->kernels = LLMQ_KERNELS;
    LLMQ_MEMSET(mem, 0, need);
    return LLMQ_OK;
}

/* Bytes of the panels of LLMQ__PANEL columns of LLMQ__TOKENS tokens; 0 if they do not fit. */
static size_t llmq__panels_size(uint32_t cols)
{
    return llmq__size_mul(llmq__ceil_div(cols, LLMQ__PANEL), LLMQ__TOKENS * LLMQ__PANEL * sizeof(float));
}

/* A row of floats; the panels; what the transform needs. */
LLMQ_API size_t llmq_hessian_work_size(const llmq_hessian *h)
{
    size_t n;
    if (!h || h->cols == 0 || h->cols > LLMQ_MAX_COLS) return 0;
    n = llmq__size_mul(llmq__size(h->cols), sizeof(float));
    if (h->full) n = n ? llmq__size_add(llmq__panels_size(h->cols), n) : 0;
    return llmq__size_add(n, llmq_transform_work_size(&h->transform, h->cols));
}

/* Are count tokens and their weights something to add? */
LLMQ__NOINLINE llmq_status llmq__inputs_check(const float *x, size_t stride, uint32_t cols, uint32_t count, const float *weight, llmq_error *error)
{
    uint32_t t;
    for (t = 0; t < count; t++) {
        if (llmq__find_not_finite(x + t * stride, t, cols, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
        if (weight && (llmq__find_not_finite(weight + t, t, 1, error) != LLMQ_OK || weight[t] < 0.0f)) {
            if (error) error->status = LLMQ_E_NOT_FINITE, error->row = t, error->col = cols;
            return LLMQ_E_NOT_FINITE;
        }
    }
    return LLMQ_OK;
}

/* Rows [i, i + rows) of a full H, within a panel, += the panels' tokens in the columns of the panel that begins at c <= i. */
LLMQ__NOINLINE void llmq__add_panel(const llmq_hessian *h, uint32_t i, uint32_t rows, uint32_t c, const float *panels, uint32_t count)
{
    const float *v = panels + (size_t)c * LLMQ__TOKENS;
    float *out[8];
    const float *a[8];
    uint32_t k, n = i - c < LLMQ__PANEL ? 1 : rows; /* on the diagonal each row has its own length */
    for (k = 0; k < rows; k++) {
        out[k] = h->h + llmq__packed(i + k) + c;
        a[k] = panels + (size_t)(i - i % LLMQ__PANEL) * LLMQ__TOKENS + i % LLMQ__PANEL + k;
    }
    for (k = 0; k < rows; k += n)
        llmq__kernels(h->kernels)->add_products(out + k, a + k, LLMQ__PANEL, v, LLMQ__PANEL, n, count, llmq__min(LLMQ__PANEL, i + k - c + 1));
}

/* Rows [r0, r1) of a full H += the panels' tokens. */
LLMQ__NOINLINE void llmq__add_panels(const llmq_hessian *h, uint32_t r0, uint32_t r1, const float *panels, uint32_t count)
{
    uint32_t g, i, c, rows;
    for (g = 0; g < r1; g += LLMQ__PANELS * LLMQ__PANEL)
        for (i = g > r0 ? g : r0; i < r1; i += rows) {
            rows = llmq__min(8 - i % 8, r1 - i);
            for (c = g; c <= i && c < g + LLMQ__PANELS * LLMQ__PANEL; c += LLMQ__PANEL) llmq__add_panel(h, i, rows, c, panels, count);
        }
}

/* Rows [r0, r1) of H += at most LLMQ__TOKENS tokens. */
LLMQ__NOINLINE llmq_status llmq__add_tokens(const llmq_hessian *h, uint32_t r0, uint32_t r1, const float *x, size_t stride, uint32_t count,
                                    const float *weight, float *row, size_t work_size)
{
    LLMQ__NO_CONTRACT
    float *panels = row + h->cols, *end = panels + (h->full ? llmq__panels_size(h->cols) / sizeof(float) : 0), root, v;
    size_t rest = work_size - (size_t)((char *)end - (char *)row);
    llmq_status status;
    uint32_t t, j;
    for (t = 0; t < count; t++, x += stride) {
        LLMQ_MEMCPY(row, x, h->cols * sizeof(float));
        if ((status = llmq__to_hessian(h, row, end, rest)) != LLMQ_OK) return status;
        root = weight ? llmq__sqrt(weight[t]) : 1.0f;
        for (j = h->full ? 0 : r0; j < r1; j++) {
            v = llmq__round12(row[j] * root);
            if (h->full) panels[((size_t)(j / LLMQ__PANEL) * LLMQ__TOKENS + t) * LLMQ__PANEL + j % LLMQ__PANEL] = v;
            else h->h[j] += v * v;
        }
    }
    if (h->full) llmq__add_panels(h, r0, r1, panels, count);
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_hessian_add(llmq_hessian *h, uint32_t r0, uint32_t r1, const float *x, size_t stride, uint32_t count,
                                      const float *weight, void *work, size_t work_size, llmq_error *error)
{
    llmq_status status;
    size_t need = llmq_hessian_work_size(h);
    uint32_t t, n;
    if (!h || !x || r0 > r1 || r1 > h->cols || stride < h->cols || need == 0 || !work || llmq__misaligned(work)) return LLMQ_E_ARG;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    if ((status = llmq__transform_check(&h->transform, h->cols)) != LLMQ_OK) return status;
    if ((status = llmq__inputs_check(x, stride, h->cols, count, weight, error)) != LLMQ_OK) return status;
    for (t = 0; t < count; t += n) {
        n = llmq__min(LLMQ__TOKENS, count - t);
        status = llmq__add_tokens(h, r0, r1, x + t * stride, stride, n, weight ? weight + t : LLMQ__NULL, (float *)work, work_size);
        if (status != LLMQ_OK) return status;
    }
    for (t = 0; t < count && r0 == 0 && r1 > 0; t++) {
        double w = weight ? (double)weight[t] : 1.0;
        h->weight += w;
        h->squares += w * w;
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_hessian_merge(llmq_hessian *h, const llmq_hessian *other)
{
    size_t i, n;
    if (!h || !other || h->cols != other->cols || h->full != other->full) return LLMQ_E_ARG;
    if (!llmq__transform_same(&h->transform, &other->transform)) return LLMQ_E_MISMATCH;
    n = llmq_hessian_size(h->cols, h->full) / sizeof(float);
    for (i = 0; i < n; i++)
        if ((llmq__float_bits(h->h[i] + other->h[i]) & 0x7fffffffu) >= 0x7f800000u) return LLMQ_E_NOT_FINITE;
    for (i = 0; i < n; i++) h->h[i] += other->h[i];
    h->weight += other->weight;
    h->squares += other->squares;
    return LLMQ_OK;
}

LLMQ_API size_t llmq_hessian_transform_work_size(const llmq_hessian *h, const llmq_transform *t)
{
    size_t n;
    if (!h || h->cols == 0 || h->cols > LLMQ_MAX_COLS) return 0;
    n = llmq__size(h->cols);
    return llmq__size_add(llmq__size_mul(llmq__size_mul(n, n), sizeof(float)), llmq_transform_work_size(t, h->cols));
}

LLMQ_API llmq_status llmq_hessian_transform(llmq_hessian *h, const llmq_transform *t, void *work, size_t work_size)
{
    size_t need = llmq_hessian_transform_work_size(h, t), i, j, n, used;
    float *s = (float *)work;
    llmq_status status;
    int pass;
    if (!h || !t || !h->full || h->transform.count || !work || llmq__misaligned(work) || need == 0) return LLMQ_E_ARG;
    if ((status = llmq__transform_check(t, h->cols)) != LLMQ_OK) return status;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    n = h->cols;
    used = n * n * sizeof(float);
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++) s[i * n + j] = s[j * n + i] = h->h[llmq__packed(i) + j];
    for (pass = 0; pass < 2; pass++) { /* S <- S T^T, transposed: T H, then T H T^T */
        for (i = 0; i < n; i++) {
            status = llmq_transform_apply(t, LLMQ_TO_ACTIVATION, s + i * n, h->cols, s + n * n, work_size - used, h->kernels);
            if (status != LLMQ_OK) return status;
        }
        for (i = 0; i < n; i++)
            for (j = 0; j < i; j++) {
                float v = s[i * n + j];
                s[i * n + j] = s[j * n + i];
                s[j * n + i] = v;
            }
    }
    for (i = 0; i < n; i++)
        if (llmq__find_not_finite(s + i * n, (uint32_t)i, (uint32_t)i + 1, LLMQ__NULL) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
    for (i = 0; i < n; i++) LLMQ_MEMCPY(h->h + llmq__packed(i), s + i * n, (i + 1) * sizeof(float));
    h->transform = *t;
    return LLMQ_OK;
}

/* -- Traces. Sums are double, of floats: their products are exact, and what cancels (means of v, a softmax's Jacobian kills
   constants) leaves digits enough. -- */

/* The workspace of llmq_attention_traces. A triangle holds entry (s, s'), s' <= s, at s (s + 1) / 2 + s': that is all that is
   needed, because terms (h, h', s, s') and (h', h, s', s) are equal and all pairs h, h' get their turn. */
typedef struct llmq__heads {
    const llmq_attention *a;
    uint32_t count;       /* queries that are looked at */
    double scale;         /* 1 / sqrt(head) */
    double *x, *k, *b;    /* triangles: x_s . x_s', k_s . k_s', and for the pair of heads v_s . G v_s', G = W_O,h^T W_O,h' */
    double *g, *v, *gv;   /* G, v, and G v for all tokens */
    double *p, *mean;     /* p^h_t and p^h'_t; a^h_t and a^h'_t */
    double *g_mean;       /* G a^h'_t */
    double *mean_b;       /* a^h_t . G v_s' */
    double *rotated;         /* (R_s^T q^h_t) . (R_s'^T q^h'_t) at s - s' */
    double *term;         /* [4][count]: of q, k, v and o; what the queries add to the traces */
    double *weight;       /* [3][tokens] of q, k and v */
} llmq__heads;

static void llmq__heads_layout(llmq__heads *w, const llmq_attention *a, llmq__arena *arena)
{
    size_t t = llmq__size(a->tokens), n = llmq__size(a->head), triangle = llmq__size_mul(t, llmq__size_add(t, 1)) / 2;
    w->x = (double *)llmq__alloc(arena, triangle, sizeof(double));
    w->k = (double *)llmq__alloc(arena, triangle, sizeof(double));
    w->b = (double *)llmq__alloc(arena, triangle, sizeof(double));
    w->g = (double *)llmq__alloc(arena, llmq__size_mul(n, n), sizeof(double));
    w->mean = (double *)llmq__alloc(arena, n, 2 * sizeof(double));
    w->g_mean = (double *)llmq__alloc(arena, n, sizeof(double));
    w->v = (double *)llmq__alloc(arena, llmq__size_mul(t, n), sizeof(double));
    w->gv = (double *)llmq__alloc(arena, llmq__size_mul(t, n), sizeof(double));
    w->p = (double *)llmq__alloc(arena, t, 2 * sizeof(double));
    w->mean_b = (double *)llmq__alloc(arena, t, sizeof(double));
    w->rotated = (double *)llmq__alloc(arena, t, sizeof(double));
    w->term = (double *)llmq__alloc(arena, t, 4 * sizeof(double));
    w->weight = (double *)llmq__alloc(arena, t, 3 * sizeof(double));
}

LLMQ_API size_t llmq_attention_work_size(const llmq_attention *a)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(double));
    llmq__heads counted;
    if (!a || a->tokens == 0 || a->head == 0) return 0;
    llmq__heads_layout(&counted, a, &arena);
    return llmq__arena_size(&arena);
}

LLMQ__NOINLINE void llmq__heads_open(llmq__heads *w, const llmq_attention *a, void *work)
{
    llmq__arena arena = llmq__arena_of(work, sizeof(double));
    size_t t = a->tokens, n = a->head, s, i;
    llmq__heads_layout(w, a, &arena);
    w->a = a;
    w->count = a->samples ? llmq__min(a->samples, a->tokens) : a->tokens;
    w->scale = 1.0 / llmq__sqrt64((double)a->head);
    for (i = 0; i < 4 * t; i++) w->term[i] = 0.0;
    for (i = 0; i < 3 * t; i++) w->weight[i] = 0.0;
    for (s = 0; s < t; s++) {
        for (i = 0; i < n; i++) w->v[s * n + i] = (double)a->v[s * a->v_stride + i];
        for (i = 0; i <= s; i++) {
            w->x[llmq__packed(s) + i] = llmq__dot(a->x + s * a->x_stride, a->x + i * a->x_stride, a->dim);
            w->k[llmq__packed(s) + i] = llmq__dot(a->k + s * a->k_stride, a->k + i * a->k_stride, a->head);
        }
    }
}

/* Keys [a->masked, this) are seen by query t; none if that is empty. */
static uint32_t llmq__seen(const llmq_attention *a, uint32_t t) { return a->causal ? t + 1 : a->tokens; }

/* p and a of query t in head h. */
static void llmq__attend(const llmq__heads *w, uint32_t t, uint32_t h, double *p, double *mean)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    const float *q = a->q + t * a->q_stride + (size_t)h * a->head;
    uint32_t s, i, end = llmq__seen(a, t);
    double max_score = -1e300, total = 0.0;
    for (s = a->masked; s < end; s++) {
        p[s] = llmq__dot(q, a->k + s * a->k_stride, a->head) * w->scale;
        if (p[s] > max_score) max_score = p[s];
    }
    for (s = a->masked; s < end; s++) total += p[s] = llmq__exp64(p[s] - max_score);
    for (i = 0; i < a->head; i++) mean[i] = 0.0;
    for (s = a->masked; s < end; s++) {
        p[s] /= total;
        for (i = 0; i < a->head; i++) mean[i] += p[s] * w->v[(size_t)s * a->head + i];
    }
}

/* w->turn for heads h and h': with pairs (a, b) of q^h and (a', b') of q^h', and angles (s - s') times that of the pair,
   the sum of (a a' + b b') cos + (b a' - a b') sin. */
static void llmq__rotated_scores(const llmq__heads *w, uint32_t t, uint32_t h, uint32_t h2, uint32_t count)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    const float *q = a->q + t * a->q_stride + (size_t)h * a->head, *q2 = a->q + t * a->q_stride + (size_t)h2 * a->head;
    uint32_t d, i, half = a->head / 2, step = a->rope == LLMQ_ROPE_PAIRS ? 2 : 1, other = step == 2 ? 1 : half;
    double same = llmq__dot(q, q2, a->head);
    for (d = 0; d < count; d++) {
        double sum = 0.0;
        for (i = 0; i < half && a->rope; i++) {
            double u0 = (double)q[i * step], u1 = (double)q[i * step + other];
            double v0 = (double)q2[i * step], v1 = (double)q2[i * step + other];
            sum += (u0 * v0 + u1 * v1) * (double)a->cosine[(size_t)d * half + i];
            sum += (u1 * v0 - u0 * v1) * (double)a->sine[(size_t)d * half + i];
        }
        w->rotated[d] = a->rope ? sum : same;
    }
}

/* What stretch j adds to the traces through the pair of heads h, h'. */
LLMQ__NOINLINE void llmq__add_query(const llmq__heads *w, uint32_t h, uint32_t h2, uint32_t j, double trace_g)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    uint32_t n = a->head, s, i, t = (uint32_t)((uint64_t)j * a->tokens / w->count), end;
    uint32_t length = (uint32_t)(((uint64_t)j + 1) * a->tokens / w->count) - t;
    double *p = w->p, *p2 = h == h2 ? p : p + a->tokens, *mean2 = h == h2 ? w->mean : w->mean + n;
    double sum[3] = { 0.0, 0.0, 0.0 }, c, factor, times = (double)length;
    t += (uint32_t)((uint64_t)llmq_random(a->seed, j) * length >> 32);
    if (a->importance) times *= (double)a->importance[t];
    end = llmq__seen(a, t);
    if (end <= a->masked) return;
    llmq__attend(w, t, h, p, w->mean);
    if (h != h2) llmq__attend(w, t, h2, p2, mean2);
    llmq__rotated_scores(w, t, h, h2, end - a->masked);
    for (i = 0; i < n; i++) w->g_mean[i] = llmq__dot_double(w->g + (size_t)i * n, mean2, n);
    for (s = a->masked; s < end; s++) w->mean_b[s] = llmq__dot_double(w->mean, w->gv + (size_t)s * n, n);
    c = llmq__dot_double(w->mean, w->g_mean, n);
    factor = 2.0 / (double)n * times;
    for (s = a->masked; s < end; s++) {
        const double *x = w->x + llmq__packed(s), *k = w->k + llmq__packed(s), *b = w->b + llmq__packed(s);
        double less = llmq__dot_double(w->v + (size_t)s * n, w->g_mean, n) - c, s_q = 0.0, sk = 0.0, sv = 0.0, cov;
        for (i = a->masked; i < s; i++) {
            cov = p2[i] * (b[i] - less - w->mean_b[i]);
            s_q += cov * k[i];
            sk += cov * (w->rotated[s - i] * x[i]);
            sv += p2[i] * x[i];
        }
        cov = p2[s] * (b[s] - less - w->mean_b[s]);
        sum[0] += p[s] * (2.0 * s_q + cov * k[s]);
        sum[1] += p[s] * (2.0 * sk + cov * w->rotated[0] * x[s]);
        sum[2] += p[s] * (2.0 * sv + p2[s] * x[s]);
        w->weight[a->tokens + s] += factor * (p[s] * cov * w->rotated[0]);
        w->weight[2 * (size_t)a->tokens + s] += 2.0 * times * trace_g * p[s] * p2[s];
    }
    w->term[w->count + j] += factor * sum[1];
    w->term[2 * (size_t)w->count + j] += 2.0 * times * trace_g * sum[2];
    if (h != h2) return;
    w->weight[t] += factor * sum[0];
    w->term[j] += factor * sum[0] * w->x[llmq__packed(t) + t];
    w->term[3 * (size_t)w->count + j] += 2.0 * times * (double)a->out * llmq__dot_double(w->mean, w->mean, n);
}

LLMQ__NOINLINE void llmq__add_heads(const llmq__heads *w, uint32_t h, uint32_t h2)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    uint32_t n = a->head, s, i, j;
    double trace = 0.0;
    for (i = 0; i < n * n; i++) w->g[i] = 0.0;
    for (s = 0; s < a->out; s++) {
        const float *u = a->wo + s * a->wo_stride + (size_t)h * n, *v = a->wo + s * a->wo_stride + (size_t)h2 * n;
        for (i = 0; i < n; i++)
            for (j = 0; j < n; j++) w->g[(size_t)i * n + j] += (double)u[i] * (double)v[j];
    }
    for (i = 0; i < n; i++) trace += w->g[(size_t)i * n + i];
    for (s = 0; s < a->tokens; s++) {
        for (i = 0; i < n; i++)
            w->gv[(size_t)s * n + i] = llmq__dot_double(w->g + (size_t)i * n, w->v + (size_t)s * n, n);
        for (i = 0; i <= s; i++)
            w->b[llmq__packed(s) + i] = llmq__dot_double(w->v + (size_t)s * n, w->gv + (size_t)i * n, n);
    }
    for (j = 0; j < w->count; j++) llmq__add_query(w, h, h2, j, trace);
}

/* The sums, their errors, and the weights that are wanted; nothing is written unless all are finite. */
LLMQ__NOINLINE llmq_status llmq__heads_close(const llmq__heads *w, float *const *weight, llmq_traces *out)
{
    LLMQ__NO_CONTRACT
    uint32_t c, t, tokens = w->a->tokens;
    double trace[4], error[4];
    for (c = 0; c < 4; c++) {
        const double *g = w->term + (size_t)c * w->count;
        double sum = g[0], rough = 0.0;
        for (t = 1; t < w->count; t++) sum += g[t], rough += (g[t] - g[t - 1]) * (g[t] - g[t - 1]);
        if (!llmq__finite(sum) || !llmq__finite(rough)) return LLMQ_E_NOT_FINITE;
        trace[c] = sum > 0.0 ? sum : 0.0;
        error[c] = w->count < tokens ? llmq__sqrt64(rough * (double)w->count / (2.0 * (double)(w->count - 1))) : 0.0;
    }
    for (c = 0; c < 3; c++) {
        double *v = w->weight + (size_t)c * tokens, sum = 0.0;
        for (t = 0; t < tokens; t++) {
            if (!(v[t] > 0.0)) v[t] = 0.0; /* rounding */
            sum += v[t] * w->x[llmq__packed(t) + t];
        }
        for (t = 0; t < tokens && sum > 0.0; t++) {
            v[t] *= trace[c] / sum; /* 1, for q */
            if (weight[c] && !(v[t] <= 3.4e38)) return LLMQ_E_NOT_FINITE;
        }
    }
    for (c = 0; c < 3; c++)
        for (t = 0; t < tokens && weight[c]; t++) weight[c][t] += (float)w->weight[(size_t)c * tokens + t];
    out->q = trace[0], out->k = trace[1], out->v = trace[2], out->o = trace[3];
    out->q_error = error[0], out->k_error = error[1], out->v_error = error[2], out->o_error = error[3];
    return LLMQ_OK;
}

static int llmq__rows_finite(const float *rows, size_t stride, uint32_t count, uint32_t cols)
{
    uint32_t r;
    for (r = 0; r < count; r++)
        if (llmq__find_not_finite(rows + r * stride, r, cols, LLMQ__NULL) != LLMQ_OK) return 0;
    return 1;
}

LLMQ__NOINLINE llmq_status llmq__attention_check(const llmq_attention *a, const void *work, size_t work_size)
{
    size_t need = llmq_attention_work_size(a);
    uint32_t width, t;
    if (!a || !a->x || !a->q || !a->k || !a->v || !a->wo || a->rope < LLMQ_ROPE_NONE || a->rope > LLMQ_ROPE_HALVES) return LLMQ_E_ARG;
    if (a->rope && (!a->cosine || !a->sine || a->head % 2)) return LLMQ_E_ARG;
    if (a->tokens == 0 || a->dim == 0 || a->head == 0 || a->queries == 0 || a->out == 0) return LLMQ_E_ARG;
    if (a->masked > a->tokens || (a->samples == 1 && a->tokens > 1)) return LLMQ_E_ARG;
    for (t = 0; t < a->tokens && a->importance; t++)
        if (a->importance[t] < 0.0f) return LLMQ_E_ARG;
    if (a->head > UINT32_MAX / a->queries) return LLMQ_E_LIMIT;
    width = a->queries * a->head;
    if (a->x_stride < a->dim || a->q_stride < width || a->k_stride < a->head || a->v_stride < a->head || a->wo_stride < width)
        return LLMQ_E_ARG;
    if (!work || (uintptr_t)work % sizeof(double) != 0) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    return work_size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

LLMQ__NOINLINE int llmq__attention_finite(const llmq_attention *a)
{
    uint32_t width = a->queries * a->head, half = a->head / 2;
    return llmq__rows_finite(a->x, a->x_stride, a->tokens, a->dim) && llmq__rows_finite(a->q, a->q_stride, a->tokens, width)
        && llmq__rows_finite(a->k, a->k_stride, a->tokens, a->head) && llmq__rows_finite(a->v, a->v_stride, a->tokens, a->head)
        && llmq__rows_finite(a->wo, a->wo_stride, a->out, width) && (!a->importance || llmq__rows_finite(a->importance, a->tokens, 1, a->tokens))
        && (!a->rope || (llmq__rows_finite(a->cosine, half, a->tokens, half) && llmq__rows_finite(a->sine, half, a->tokens, half)));
}

LLMQ_API llmq_status llmq_attention_traces(const llmq_attention *a, llmq_traces *traces, float *q_weight, float *k_weight,
                                           float *v_weight, void *work, size_t work_size)
{
    llmq__heads w;
    float *weight[3];
    uint32_t h, h2;
    llmq_status status = traces ? llmq__attention_check(a, work, work_size) : LLMQ_E_ARG;
    weight[0] = q_weight, weight[1] = k_weight, weight[2] = v_weight;
    if (status != LLMQ_OK) return status;
    if (!llmq__attention_finite(a)) return LLMQ_E_NOT_FINITE;
    llmq__heads_open(&w, a, work);
    for (h = 0; h < a->queries; h++)
        for (h2 = 0; h2 < a->queries; h2++) llmq__add_heads(&w, h, h2);
    return llmq__heads_close(&w, weight, traces);
}

/* v[0, n) <- signs of probe i */
static void llmq__probe(float *v, uint32_t n, uint32_t seed, uint32_t i)
{
    uint32_t j;
    for (j = 0; j < n; j++) v[j] = 1.0f;
    llmq__signs(v, n, llmq_random(seed, i));
}

/* v <- (I - Q Q^T) v for `rank` orthonormal rows of q, twice: rounding leaves something after the first time. */
static void llmq__project(float *v, const float *q, uint32_t rank, uint32_t n)
{
    LLMQ__NO_CONTRACT
    uint32_t i, j;
    for (i = 0; i < 2 * rank; i++) {
        const float *row = q + (size_t)(i % rank) * n;
        double c = llmq__dot(row, v, n);
        for (j = 0; j < n; j++) v[j] = (float)((double)v[j] - c * (double)row[j]);
    }
}

/* hv <- H v, and v^T H v; if some of H v is not finite, then v^T H v is not. */
static llmq_status llmq__quadratic(llmq_operator product, void *context, uint32_t n, const float *v, float *hv, double *value)
{
    llmq_status status = product(context, v, hv);
    if (status != LLMQ_OK) return status;
    *value = llmq__dot(v, hv, n);
    return llmq__finite(*value) ? LLMQ_OK : LLMQ_E_NOT_FINITE;
}

/* An orthonormal basis of what H makes of so many probes, less what vanishes; v: room for n numbers. */
LLMQ__NOINLINE llmq_status llmq__sketch(llmq_operator product, void *context, uint32_t n, uint32_t probes, uint32_t seed, float *v,
                                     float *basis, uint32_t *rank)
{
    LLMQ__NO_CONTRACT
    uint32_t i, j;
    for (i = 0, *rank = 0; i < probes; i++) {
        float *y = basis + (size_t)*rank * n;
        double all, rest;
        llmq_status status;
        llmq__probe(v, n, seed, i);
        if ((status = llmq__quadratic(product, context, n, v, y, &all)) != LLMQ_OK) return status;
        all = llmq__dot(y, y, n);
        llmq__project(y, basis, *rank, n);
        rest = llmq__dot(y, y, n);
        if (!(rest > all * (1.0 / 4294967296.0))) continue;
        rest = 1.0 / llmq__sqrt64(rest);
        for (j = 0; j < n; j++) y[j] = (float)((double)y[j] * rest);
        ++*rank;
    }
    return LLMQ_OK;
}

/* Hutch++ with so many probes for the sketch; without any it is Hutchinson's estimate. Mean and variance by Welford's updates. */
LLMQ__NOINLINE llmq_status llmq__trace(llmq_operator product, void *context, uint32_t n, uint32_t sketch, uint32_t max_products,
                                    double tolerance, uint32_t seed, llmq_trace *out, void *work, size_t work_size)
{
    LLMQ__NO_CONTRACT
    size_t need = llmq__size_mul(llmq__size_mul(llmq__size(n), llmq__size_add(sketch + (size_t)1, 1)), sizeof(float));
    float *v = (float *)work, *hv, *basis;
    double exact = 0.0, mean = 0.0, squares = 0.0, error = 0.0, value = 0.0;
    uint32_t rank = 0, i, used;
    llmq_status status;
    if (!product || !out || !work || n == 0 || !(tolerance >= 0.0) || llmq__misaligned(work)) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    hv = v + n, basis = hv + n;
    if ((status = llmq__sketch(product, context, n, sketch, seed, v, basis, &rank)) != LLMQ_OK) return status;
    for (i = 0; i < rank; i++) {
        if ((status = llmq__quadratic(product, context, n, basis + (size_t)i * n, hv, &value)) != LLMQ_OK) return status;
        exact += value;
    }
    for (i = 0, used = sketch + rank; used < max_products; used++) {
        double before = mean;
        llmq__probe(v, n, seed, sketch + i++);
        llmq__project(v, basis, rank, n);
        if ((status = llmq__quadratic(product, context, n, v, hv, &value)) != LLMQ_OK) return status;
        mean += (value - before) / (double)i;
        squares += (value - before) * (value - mean);
        error = i > 1 ? llmq__sqrt64(squares / ((double)i * (double)(i - 1))) : 0.0;
        value = exact + mean;
        if (i >= 8 && tolerance > 0.0 && error <= tolerance * (value < 0.0 ? -value : value)) { used++; break; }
    }
    out->trace = exact + mean, out->error = error, out->products = used;
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_trace_hutchinson(llmq_operator product, void *context, uint32_t n, uint32_t max_products, double tolerance,
                                           uint32_t seed, llmq_trace *out, void *work, size_t work_size)
{
    if (max_products < 2) return LLMQ_E_ARG;
    return llmq__trace(product, context, n, 0, max_products, tolerance, seed, out, work, work_size);
}

LLMQ_API size_t llmq_trace_hutchpp_work_size(uint32_t n, uint32_t max_products)
{
    if (max_products < 4) return 0;
    return llmq__size_mul(llmq__size_mul(llmq__size(n), llmq__size_add(llmq__min(max_products / 3, n), 2)), sizeof(float));
}

LLMQ_API llmq_status llmq_trace_hutchpp(llmq_operator product, void *context, uint32_t n, uint32_t max_products, double tolerance,
                                        uint32_t seed, llmq_trace *out, void *work, size_t work_size)
{
    if (max_products < 4) return LLMQ_E_ARG;
    return llmq__trace(product, context, n, llmq__min(max_products / 3, n), max_products, tolerance, seed, out, work, work_size);
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- 16. Error feedback ----------------------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

#define LLMQ__PIVOTS 32  /* pivots that a row of H goes through while it is in the cache */
#define LLMQ__LDLQ_ROWS 16     /* rows of W that are encoded together, one a lane */
#define LLMQ__LDLQ_BLOCKS 4u   /* rings of a trellis that are: more would search faster, and take 1.5 KB of workspace a column each */
#define LLMQ__LDLQ_STRIP 32   /* columns that are quantized before their errors are added up for the next ones, in multiples of p */

static void llmq__feedback_layout(const llmq_hessian *h, llmq__arena *arena, float **d, uint32_t **column, float **m)
{
    *d = (float *)llmq__alloc(arena, h->cols, sizeof(float));
    *column = (uint32_t *)llmq__alloc(arena, h->cols, sizeof(uint32_t));
    *m = h->full ? (float *)llmq__alloc(arena, llmq_hessian_size(h->cols, 1), 1) : LLMQ__NULL;
}

LLMQ_API size_t llmq_feedback_size(const llmq_hessian *h)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(float));
    uint32_t *column;
    float *d, *m;
    if (!h || h->cols == 0 || h->cols > LLMQ_MAX_COLS) return 0;
    llmq__feedback_layout(h, &arena, &d, &column, &m);
    return llmq__arena_size(&arena);
}

static float llmq__diagonal(const llmq_hessian *h, uint32_t i) { return h->h[h->full ? llmq__packed(i) + i : i]; }

static float llmq__diagonal_mean(const llmq_hessian *h, uint32_t first, uint32_t n)
{
    double sum = 0.0; /* which does not overflow */
    uint32_t i;
    for (i = first; i < first + n; i++) sum += (double)llmq__diagonal(h, i);
    return (float)(sum / (double)n);
}

/* Runs of `run` columns in [first, first + n), a shorter one last, by decreasing mean of their diagonal: column[i] for i < n. Only whole
   runs move. key: workspace, a float a run. */
static void llmq__order_runs(const llmq_hessian *h, uint32_t first, uint32_t n, uint32_t run, uint32_t *column, float *key)
{
    uint32_t runs = n / run, i, j, k;
    for (i = 0; i < runs; i++) {
        float mean = llmq__diagonal_mean(h, first + i * run, run);
        for (j = i; j > 0 && key[j - 1] < mean; j--) key[j] = key[j - 1], column[j * run] = column[(j - 1) * run];
        key[j] = mean, column[j * run] = first + i * run;
    }
    for (i = runs; i-- > 0;) /* from the starts of the runs, at their new places, to all columns */
        for (j = run; j-- > 0;) column[i * run + j] = column[i * run] + j;
    for (k = runs * run; k < n; k++) column[k] = first + k;
}

static void llmq__order(const llmq_hessian *h, uint32_t group, uint32_t p, int order, uint32_t *column, float *key)
{
    uint32_t s, n, cols = h->cols;
    for (s = 0; s < cols; s++) column[s] = s;
    if (order == LLMQ_ORDER_NATURAL || !h->full) return;
    llmq__order_runs(h, 0, cols, group, column, key);
    for (s = 0; s < cols; s += n) {
        n = llmq__min(group, cols - column[s]);
        llmq__order_runs(h, column[s], n, p, column + s, key);
    }
}

/* m = H * down with its columns in order, and `add` on the diagonal, which is also d. m NULL: only d. */
static void llmq__copy_hessian(const llmq_hessian *h, const uint32_t *column, float down, float add, float *m, float *d)
{
    LLMQ__NO_CONTRACT
    uint32_t i, j;
    for (i = 0; i < h->cols; i++) {
        float *row = m ? m + llmq__packed(i) : LLMQ__NULL;
        d[i] = llmq__diagonal(h, column[i]) * down + add;
        if (!m) continue;
        for (j = 0; j < i; j++) {
            uint32_t a = column[i], b = column[j];
            row[j] = (a > b ? h->h[llmq__packed(a) + b] : h->h[llmq__packed(b) + a]) * down;
        }
        row[i] = d[i];
    }
}

/* Row i, entries [0, last], of what is left of H, less the share of pivot j > i. */
static void llmq__eliminate(const llmq_kernels *k, float *m, uint32_t i, uint32_t j)
{
    const float *pivot = m + llmq__packed(j);
    k->add_scaled(m + llmq__packed(i), -(pivot[i] / pivot[j]), pivot, i + 1);
}

/* m, a packed lower triangle with the diagonal d, becomes M^T, and d becomes D, where m was M D M^T: pivots from the last to the first, each
   taken off the rows above it. The pivots of a block go through a row together: what happens to an entry, and in which order,
   is the same. m NULL: a diagonal. Returns n, the number of columns, or that of a pivot which is not positive enough. */
static uint32_t llmq__factor(const llmq_kernels *k, uint32_t n, float *m, float *d)
{
    uint32_t i, j, j0, j1;
    for (j = 0; j < n && !m; j++)
        if (!(d[j] > 0.0f)) return j;
    for (j1 = m ? n : 0; j1 > 0; j1 = j0) {
        j0 = j1 > LLMQ__PIVOTS ? j1 - LLMQ__PIVOTS : 0;
        for (j = j1; j-- > j0;) {
            float own = d[j];
            d[j] = m[llmq__packed(j) + j];
            if (!(d[j] > own * 9.5367432e-7f)) return j; /* 2^-20: sums of floats are no better */
            for (i = j0; i < j; i++) llmq__eliminate(k, m, i, j);
        }
        for (i = 0; i < j0; i++)
            for (j = j1; j-- > j0;) llmq__eliminate(k, m, i, j);
    }
    for (j = 0; j < n && m; j++) {
        float *row = m + llmq__packed(j);
        for (i = 0; i < j; i++) row[i] = llmq__round12(row[i] / d[j]);
        row[j] = 1.0f;
    }
    return n;
}

/* Are all entries of H finite? */
static llmq_status llmq__hessian_check(const llmq_hessian *h, llmq_error *error)
{
    uint32_t i;
    for (i = 0; i < h->cols; i++)
        if (llmq__find_not_finite(h->full ? h->h + llmq__packed(i) : h->h + i, i, h->full ? i + 1 : 1, error) != LLMQ_OK) {
            if (error && !h->full) error->col = i;
            return LLMQ_E_NOT_FINITE;
        }
    return LLMQ_OK;
}

static int llmq__all_equal(const float *d, uint32_t n)
{
    uint32_t i = 1;
    while (i < n && !(d[i] < d[0] || d[i] > d[0])) i++;
    return i == n;
}

static float llmq__usual_damping(const llmq_hessian *h)
{
    double damping = 0.01;
    if (h->full && h->weight > 0.0 && h->squares > 0.0) damping += 2.0 * (double)h->cols * h->squares / (h->weight * h->weight);
    return damping < 1.0 ? (float)damping : 1.0f;
}

/* The lambda by which errors are judged: from what share of H may be chance; `damping` if that is not to be known. */
static float llmq__fair_damping(const llmq_hessian *h, float damping)
{
    LLMQ__NO_CONTRACT
    double all = 0.0, trace = 0.0, n = (double)h->cols, tokens, rho, rest, lambda;
    size_t i, j, at = 0;
    if (!h->full || !(h->weight > 0.0) || !(h->squares > 0.0)) return damping;
    for (i = 0; i < h->cols; i++) {
        for (j = 0; j < i; j++, at++) all += 2.0 * (double)h->h[at] * (double)h->h[at];
        all += (double)h->h[at] * (double)h->h[at];
        trace += (double)h->h[at++];
    }
    tokens = h->weight / h->squares * h->weight;
    rest = (tokens + 1.0 - 2.0 / n) * (all - trace * trace / n);
    rho = (1.0 - 2.0 / n) * all + trace * trace; /* times rest */
    if (!(rest > 0.0) || !(rho < 0.998 * rest)) return 1000.0f; /* H is a multiple of I as far as one can tell */
    lambda = 2.0 * rho / (rest - rho);
    return lambda > 0.01 ? (float)lambda : 0.01f;
}

LLMQ_API llmq_status llmq_feedback_init(llmq_feedback *f, const llmq_tensor *t, const llmq_hessian *h, const llmq_feedback_options *options,
                                        void *mem, size_t size, llmq_error *error)
{
    LLMQ__NO_CONTRACT
    static const llmq_feedback_options usual = { -1.0f, 0.0f, LLMQ_ORDER_NATURAL };
    llmq__arena arena = llmq__arena_of(mem, sizeof(float));
    float *d, *m, mean, down, damping, asked, lambda;
    uint32_t *column, bad = 0, e;
    size_t need = llmq_feedback_size(h);
    llmq_status status;
    if (!options) options = &usual;
    if (!f || !t || !h || !mem || llmq__misaligned(mem) || need == 0 || h->cols != t->cols) return LLMQ_E_ARG;
    if (!(options->damping <= 10.0f) || !(options->first_order >= 0.0f && options->first_order <= 1.0f)
        || (options->order != LLMQ_ORDER_NATURAL && options->order != LLMQ_ORDER_DIAGONAL)) return LLMQ_E_ARG;
    if (!llmq__transform_same(&h->transform, &t->transform)) return LLMQ_E_MISMATCH;
    if (size < need) return LLMQ_E_WORKSPACE;
    if ((status = llmq__hessian_check(h, error)) != LLMQ_OK) return status;
    llmq__feedback_layout(h, &arena, &d, &column, &m);
    mean = llmq__diagonal_mean(h, 0, h->cols);
    asked = damping = options->damping < 0.0f ? llmq__usual_damping(h) : options->damping;
    lambda = llmq__fair_damping(h, damping);
    if (!(mean > 0.0f)) mean = 1.0f; /* an input that is always 0 */
    e = llmq__float_bits(mean) >> 23;
    down = llmq__bits_float((254 - (e < 1 ? 1 : e > 253 ? 253 : e)) << 23);
    mean *= down; /* in [1, 2), but for the largest and smallest floats */
    llmq__order(h, t->format.points && t->format.group ? t->format.group : h->cols, t->format.points ? t->format.p : 1, options->order, column, d);
    for (;; damping = damping > 1e-7f ? damping * 10.0f : 1e-6f) {
        if (damping > 10.0f) {
            if (error) error->status = LLMQ_E_INDEFINITE, error->row = error->col = column[bad];
            return LLMQ_E_INDEFINITE;
        }
        llmq__copy_hessian(h, column, down, damping * mean, m, d);
        bad = llmq__factor(llmq__kernels(t->kernels), h->cols, m, d);
        if (bad == h->cols) break;
    }
    f->cols = h->cols;
    f->group = t->format.group;
    f->p = t->format.p;
    f->transform = h->transform;
    f->damping = damping;
    f->m = m;
    f->d = llmq__all_equal(d, h->cols) ? LLMQ__NULL : d;
    f->first_order = options->first_order * mean / (f->d ? 1.0f : d[0]);
    if (damping > asked && lambda < damping) lambda = damping; /* H is no sum of squares, or its floats are not */
    f->ridge = (lambda - damping) * mean / (f->d ? 1.0f : d[0]);
    f->unit = (f->d ? 1.0 : (double)d[0]) / (double)down;
    f->column = column;
    return LLMQ_OK;
}

/* A row of W that is being encoded. */
typedef struct llmq__ldlq_row {
    int32_t exponent;            /* a row of w is what was given / 2^exponent */
    float scale, inverse, down;  /* in the group: w' = point * scale; w is w * down * inverse in units of the grid */
    double error, plain_error;   /* with feedback, and without */
} llmq__ldlq_row;

/* What encodes `room` rows at a time. Buffers of a number for each column and row keep the rows side by side. */
typedef struct llmq__ldlq {
    llmq__encoder *e;
    const llmq_tensor *t;
    const llmq_feedback *f;
    float *residual;      /* w, until its column is quantized, and then w - w' */
    float *correction;     /* f: what the errors of earlier columns add to w; behind it as much for a step of first order */
    float *points;     /* the grid in the metric of a vector, p > 1 */
    float *x;          /* vectors to be quantized: p numbers for each row */
    llmq__ldlq_row *row;
    uint8_t *out;      /* the first row's record */
    uint8_t *plain;    /* records of these rows without feedback */
    llmq_feedback_result *result; /* what the rows so far add up to */
    uint32_t rows, capacity;
    int effort;
    void (*scales)(struct llmq__ldlq *a, uint32_t s, uint32_t n);    /* of a group */
    void (*part)(struct llmq__ldlq *a, uint32_t s, uint32_t dims); /* codes and errors of a vector */
#if LLMQ__ANY_TRELLIS
    llmq__trellis_encoder *group_trellis, *column_trellis;  /* of a group of one ring; of a column of some */
#endif
} llmq__ldlq;

/* target of columns [k0, k1) += what the errors of columns [t0, t1) do to them */
LLMQ__NOINLINE void llmq__ldlq_correct(const llmq__ldlq *a, uint32_t t0, uint32_t t1, uint32_t k0, uint32_t k1)
{
    float *out[8];
    const float *m[8];
    uint32_t i, n;
    if (!a->f->m || t0 == t1) return;
    for (; k0 < k1; k0 += n) {
        n = llmq__min(8, k1 - k0);
        for (i = 0; i < n; i++) {
            out[i] = a->correction + (size_t)(k0 + i) * a->capacity;
            m[i] = a->f->m + llmq__packed(k0 + i) + t0;
        }
        a->e->kernels->add_products(out, m, 1, a->residual + (size_t)t0 * a->capacity, a->capacity, n, t1 - t0, a->capacity);
    }
}

/* The scale of row r, divided by 2^own, in the group of the s-th column is `bits`. */
static void llmq__ldlq_scale(const llmq__ldlq *a, uint32_t s, uint32_t r, uint16_t bits, int32_t own)
{
    uint16_t stored = llmq__raise_scale(bits, a->row[r].exponent + own);
    llmq__store16(a->out + r * a->t->row_size + 2 * (size_t)(a->f->column[s] / a->e->layout.group), stored);
    a->row[r].down = llmq__bits_float((uint32_t)(127 - own) << 23);
    a->row[r].inverse = bits ? 1.0f / llmq_bf16_to_f32(bits) : 0.0f;
    a->row[r].scale = stored ? llmq_bf16_to_f32(bits) * llmq__bits_float((uint32_t)(127 + own) << 23) : 0.0f;
}

/* Scales of a group, columns [s, s + n) in order, for all rows. */
LLMQ__NOINLINE void llmq__ldlq_scales(llmq__ldlq *a, uint32_t s, uint32_t n)
{
    uint32_t r, i;
    float *y = a->e->row;
    a->e->weight = a->f->d ? a->f->d + s : LLMQ__NULL;
    for (r = 0; r < a->rows; r++) {
        int32_t own;
        uint16_t bits;
        for (i = 0; i < n; i++) y[i] = a->residual[(size_t)(s + i) * a->capacity + r] + a->correction[(size_t)(s + i) * a->capacity + r];
        bits = llmq__choose_scale(a->e, y, n, &own, a->effort);
        llmq__ldlq_scale(a, s, r, bits, own);
    }
    for (; r < a->capacity; r++) a->row[r].scale = a->row[r].inverse = a->row[r].down = 0.0f;
}

/* x = (w B + f) S of `dims` columns from s on for all rows, and the points likewise. S is relative to its largest entry. */
LLMQ__NOINLINE void llmq__ldlq_metric(const llmq__ldlq *a, uint32_t s, uint32_t dims)
{
    LLMQ__NO_CONTRACT
    uint32_t p = a->e->format->p, i, j, r, k;
    float max_d = 0.0f;
    for (j = 0; j < dims && a->f->d; j++) max_d = a->f->d[s + j] > max_d ? a->f->d[s + j] : max_d;
    for (j = 0; j < dims; j++) {
        const float *b = a->f->m ? a->f->m + llmq__packed(s + j) + s : LLMQ__NULL, *f = a->correction + (size_t)(s + j) * a->capacity;
        float weight = a->f->d ? llmq__sqrt(a->f->d[s + j] / max_d) : 1.0f;
        for (r = 0; r < a->capacity; r++) a->x[r * p + j] = f[r];
        for (i = b ? 0 : j; i <= j; i++)
            for (r = 0; r < a->capacity; r++) a->x[r * p + j] += a->residual[(size_t)(s + i) * a->capacity + r] * (b ? b[i] : 1.0f);
        for (r = 0; r < a->capacity; r++) a->x[r * p + j] = a->x[r * p + j] * weight * a->row[r].down * a->row[r].inverse;
        for (k = 0; k < a->e->format->n && p > 1; k++) {
            float v = 0.0f;
            for (i = b ? 0 : j; i <= j; i++) v += a->e->points[(size_t)k * p + i] * (b ? b[i] : 1.0f);
            a->points[(size_t)k * p + j] = v * weight;
        }
    }
}

/* Codes and errors of the vector at columns [s, s + dims) in order, for all rows. */
LLMQ__NOINLINE void llmq__ldlq_vector(llmq__ldlq *a, uint32_t s, uint32_t dims)
{
    LLMQ__NO_CONTRACT
    const llmq_format *f = a->e->format;
    const float *points = f->p > 1 ? a->points : a->e->points;
    uint32_t column = a->f->column[s], group = column / a->e->layout.group, r, j;
    uint32_t index = group * a->e->layout.vectors + column % a->e->layout.group / f->p;
    llmq__ldlq_metric(a, s, dims);
    if (dims == f->p) a->e->kernels->nearest(points, f->n, f->p, a->x, 1.0f, a->capacity, a->e->code);
    else for (r = 0; r < a->capacity; r++) a->e->code[r] = (uint16_t)llmq__nearest(points, f->n, f->p, dims, a->x + r * f->p);
    for (r = 0; r < a->rows; r++) {
        uint16_t code = a->row[r].inverse > 0.0f ? a->e->code[r] : 0;
        const int8_t *point = f->points + (size_t)code * f->p;
        llmq__pack(a->out + r * a->t->row_size + a->e->layout.scales, &a->e->layout, index, 1, &code);
        for (j = 0; j < dims; j++) {
            float *error = &a->residual[(size_t)(s + j) * a->capacity + r];
            *error = llmq__round12(*error - (float)point[j] * a->row[r].scale);
        }
    }
}

#if LLMQ__ANY_TRELLIS
/* As llmq__ldlq_scales, by encoding the group as it is now, without feedback. */
LLMQ__NOINLINE void llmq__ldlq_block_scales(llmq__ldlq *a, uint32_t s, uint32_t n)
{
    llmq__trellis_encoder *fit = a->group_trellis;
    uint32_t r, i, t, rows = fit->block.rows;
    fit->e->weight = a->f->d ? a->f->d + s : LLMQ__NULL;
    for (r = 0; r < a->rows; r += rows) {
        for (t = 0; t < rows; t++)
            for (fit->exponent[t] = a->row[r + t].exponent, i = 0; i < n; i++)
                fit->x[t * (size_t)n + i] = a->residual[(size_t)(s + i) * a->capacity + r + t] + a->correction[(size_t)(s + i) * a->capacity + r + t];
        llmq__trellis_fit(fit, n, 0, n);
        for (t = 0; t < rows; t++) llmq__ldlq_scale(a, s, r + t, llmq_f32_to_bf16(fit->scale[t]), fit->exponent[rows + t] - fit->exponent[t]);
    }
}

/* `steps` steps of the s-th column from row `start` of each ring on; a lane is a ring. */
static void llmq__ldlq_strip(llmq__ldlq *a, uint32_t start, uint32_t steps)
{
    llmq__trellis_encoder *feed = a->column_trellis;
    uint32_t rows = feed->block.rows, lanes = a->rows / rows, i, l;
    for (i = 0; i < steps; i++) {
        const float *x = a->x + llmq__trellis_row(feed, start, i);
        for (l = 0; l < LLMQ__LANES; l++) feed->strip[i * (size_t)LLMQ__LANES + l] = l < lanes ? x[l * rows] : 0.0f;
    }
}

/* As llmq__ldlq_vector. */
LLMQ__NOINLINE void llmq__ldlq_column(llmq__ldlq *a, uint32_t s, uint32_t dims)
{
    llmq__trellis_encoder *feed = a->column_trellis;
    uint32_t state[LLMQ__LANES] = { 0 }, rows = feed->block.rows, lanes = a->rows / rows, r;
    llmq__ldlq_metric(a, s, dims);
    if (!llmq__tailbite_is_short(feed)) {
        llmq__ldlq_strip(a, rows - feed->warmup, 2 * feed->warmup);
        llmq__trellis_start(feed, lanes, state);
    }
    llmq__ldlq_strip(a, 0, rows);
    if (llmq__tailbite_is_short(feed)) llmq__tailbite_exhaustive(feed, lanes, state);
    llmq__trellis_search(feed, lanes, rows, state);
    llmq__trellis_codes(feed, state, 0, lanes, 0);
    for (r = 0; r < a->rows; r++) {
        size_t at = r % rows * (size_t)feed->group + r / rows;
        float *error = &a->residual[s * (size_t)a->capacity + r];
        llmq__pack(a->out + r * a->t->row_size + a->e->layout.scales, &a->e->layout, a->f->column[s], 1, feed->code + at);
        *error = llmq__round12(*error - (float)a->t->format.points[feed->index[at]] * a->row[r].scale);
    }
}
#endif

/* A group, columns [s, s + n) in order: scales, then strips of columns, vector by vector. */
LLMQ__NOINLINE void llmq__ldlq_group(llmq__ldlq *a, uint32_t s, uint32_t n)
{
    uint32_t p = a->e->format->p, strip = LLMQ__LDLQ_STRIP / p * p, end = s + n, b, v, last, dims;
    a->scales(a, s, n);
    for (b = s; b < end; b = last) {
        last = b + llmq__min(strip, end - b);
        llmq__ldlq_correct(a, s, b, b, last);
        for (v = b; v < last; v += dims) {
            dims = llmq__min(p, end - v);
            llmq__ldlq_correct(a, b, v, v, v + dims);
            a->part(a, v, dims);
        }
    }
    llmq__ldlq_correct(a, s, end, end, a->t->cols);
}

/* First order: f of the columns from s on, F, loses first_order F (H^-1 of these columns). With M and D cut to them, F is
   delta M for the moves delta of the weights, and delta H^-1 M = (delta M) M^-1 M^-T D^-1: y = F M^-1, z = y M^-T. */
static void llmq__ldlq_first_order(const llmq__ldlq *a, uint32_t s, float *y)
{
    LLMQ__NO_CONTRACT
    const llmq_feedback *f = a->f;
    uint32_t cols = a->t->cols, j, k, r;
    LLMQ_MEMCPY(y + (size_t)s * a->capacity, a->correction + (size_t)s * a->capacity, (size_t)(cols - s) * a->capacity * sizeof *y);
    for (k = s; k < cols; k++)
        for (j = s; j < k; j++)
            for (r = 0; r < a->capacity; r++) y[k * (size_t)a->capacity + r] -= y[j * (size_t)a->capacity + r] * f->m[llmq__packed(k) + j];
    for (k = cols; k-- > s;)
        for (j = s; j < k; j++)
            for (r = 0; r < a->capacity; r++) y[j * (size_t)a->capacity + r] -= y[k * (size_t)a->capacity + r] * f->m[llmq__packed(k) + j];
    for (k = s; k < cols; k++)
        for (r = 0; r < a->capacity; r++)
            a->correction[k * (size_t)a->capacity + r] -= f->first_order / (f->d ? f->d[k] : 1.0f) * y[k * (size_t)a->capacity + r];
}

/* Columns of the group that the s-th column in order is in. */
static uint32_t llmq__ldlq_finish_group(const llmq__ldlq *a, uint32_t s)
{
    uint32_t group = a->e->layout.group;
    return llmq__min(group, a->t->cols - a->f->column[s] / group * group);
}

/* Columns [s, s + n) in order, a group, of row r, in the order of the record. */
static void llmq__ldlq_gather(const llmq__ldlq *a, uint32_t s, uint32_t n, uint32_t r, float *x)
{
    uint32_t i, group = a->e->layout.group;
    for (i = s; i < s + n; i++) x[a->f->column[i] % group] = a->residual[(size_t)i * a->capacity + r];
}

/* A group, columns [s, s + n) in order, as llmq_encode has it. */
LLMQ__NOINLINE void llmq__ldlq_plain_group(const llmq__ldlq *a, uint32_t s, uint32_t n)
{
    const llmq__layout *l = &a->e->layout;
    uint32_t g = a->f->column[s] / l->group, r;
    a->e->weight = LLMQ__NULL;
#if LLMQ__ANY_TRELLIS
    if (a->t->format.taps[0]) {
        llmq__trellis_encoder *fit = a->group_trellis;
        uint32_t i, rows = fit->block.rows;
        for (r = 0; r < a->rows; r += rows) {
            for (i = 0; i < rows; i++) fit->exponent[i] = a->row[r + i].exponent, llmq__ldlq_gather(a, s, n, r + i, fit->x + i * (size_t)n);
            llmq__trellis_group(fit, n, 0, n, g * l->group, g, a->t->row_size, a->plain + r * a->t->row_size);
        }
        return;
    }
#endif
    for (r = 0; r < a->rows; r++) {
        uint8_t *row = a->plain + r * a->t->row_size;
        llmq__ldlq_gather(a, s, n, r, a->e->row);
        llmq__store16(row + 2 * (size_t)g, llmq__encode_group(a->e, a->e->row, n, a->row[r].exponent, a->effort));
        llmq__pack(row + l->scales, l, g * l->vectors, llmq__ceil_div(n, a->e->format->p), a->e->code);
    }
}

/* E J E^T of the errors in a->error, for each row. target: is f complete, with all columns before each? Else it is made so. */
LLMQ__NOINLINE void llmq__ldlq_measure(llmq__ldlq *a, int target, int plain)
{
    LLMQ__NO_CONTRACT
    uint32_t cols = a->t->cols, b, v, last, r;
    if (!target) {
        LLMQ_MEMSET(a->correction, 0, (size_t)cols * a->capacity * sizeof(float));
        for (b = 0; b < cols; b = last) {
            last = b + llmq__min(LLMQ__LDLQ_STRIP, cols - b);
            llmq__ldlq_correct(a, 0, b, b, last);
            for (v = b + 1; v < last; v++) llmq__ldlq_correct(a, b, v, v, v + 1);
        }
    }
    for (r = 0; r < a->rows; r++) {
        double sum = 0.0;
        for (v = 0; v < cols; v++) {
            double own = (double)a->residual[(size_t)v * a->capacity + r], e = own + (double)a->correction[(size_t)v * a->capacity + r];
            sum += (a->f->d ? (double)a->f->d[v] : 1.0) * e * e + (double)a->f->ridge * own * own;
        }
        sum *= a->f->unit * llmq__power(2 * a->row[r].exponent);
        if (plain) a->row[r].plain_error = sum;
        else a->row[r].error = sum;
    }
}

/* Records and errors of the rows without feedback. They take the memory of a step of first order, and target. */
LLMQ__NOINLINE void llmq__ldlq_plain(llmq__ldlq *a)
{
    const size_t all = (size_t)a->t->cols * a->capacity;
    float *keep = a->residual, *own = a->correction + all;
    llmq_tensor t = *a->t;
    uint32_t r, s, n;
    LLMQ_MEMSET(a->plain, 0, a->rows * t.row_size);
    for (s = 0; s < t.cols; s += n) {
        n = llmq__ldlq_finish_group(a, s);
        llmq__ldlq_plain_group(a, s, n);
    }
    t.data = a->plain;
    t.rows = a->rows; /* whole rings */
    LLMQ_MEMSET(own, 0, all * sizeof(float));
    for (r = 0; r < a->rows; r++) {
        double down = llmq__power(-a->row[r].exponent);
        (t.cols < 128 ? llmq_kernels_at(0) : a->e->kernels)->read_row(&t, r, a->e->row);
        for (s = 0; s < t.cols; s++) {
            double stored = (double)a->e->row[a->f->column[s]] * down;
            own[(size_t)s * a->capacity + r] = llmq__round12((float)((double)keep[(size_t)s * a->capacity + r] - stored));
        }
    }
    a->residual = own;
    llmq__ldlq_measure(a, 0, 1);
    a->residual = keep;
}

/* Keep the better records, of a row or of a ring. */
LLMQ__NOINLINE void llmq__ldlq_choose(llmq__ldlq *a)
{
    uint32_t r, i, n = 1;
    size_t size = a->t->row_size;
#if LLMQ__ANY_TRELLIS
    if (a->t->format.taps[0]) n = a->group_trellis->block.rows;
#endif
    for (r = 0; r < a->rows; r += n) {
        double error = 0.0, plain = 0.0;
        for (i = r; i < r + n; i++) error += a->row[i].error, plain += a->row[i].plain_error;
        if (!llmq__finite(error) || error - plain > (plain < 0.0 ? -plain : plain) * 0.03125) {
            LLMQ_MEMCPY(a->out + r * size, a->plain + r * size, n * size);
            a->result->plain_rows += n;
            error = plain;
        }
        a->result->rows += n;
        a->result->error += error;
        a->result->plain_error += plain;
    }
}

/* Rows r ... r + a->rows of W, the first at w. */
LLMQ__NOINLINE llmq_status llmq__ldlq_encode_rows(llmq__ldlq *a, const float *w, size_t stride, void *work, size_t work_size)
{
    const size_t all = (size_t)a->t->cols * a->capacity;
    uint32_t r, s, n;
    llmq_status status;
    LLMQ_MEMSET(a->residual, 0, all * sizeof(float));
    LLMQ_MEMSET(a->out, 0, a->rows * a->t->row_size);
    for (r = 0; r < a->rows; r++, w += stride) {
        a->row[r].exponent = llmq__normalise(w, a->t->cols, a->e->row);
        if ((status = llmq__row_to_basis(a->t, a->e->row, &a->row[r].exponent, work, work_size)) != LLMQ_OK) return status;
        for (s = 0; s < a->t->cols; s++) a->residual[(size_t)s * a->capacity + r] = a->e->row[a->f->column[s]];
    }
    llmq__ldlq_plain(a);
    LLMQ_MEMSET(a->correction, 0, all * sizeof(float));
    for (s = 0; s < a->t->cols; s += n) {
        n = llmq__ldlq_finish_group(a, s);
        llmq__ldlq_group(a, s, n);
        if (a->f->m && a->f->first_order > 0.0f && s + n < a->t->cols) llmq__ldlq_first_order(a, s + n, a->correction + all);
    }
    llmq__ldlq_measure(a, a->e->format->p == 1 && !(a->f->first_order > 0.0f), 0);
    llmq__ldlq_choose(a);
    return LLMQ_OK;
}

#if LLMQ__ANY_TRELLIS
/* What a feeder of a trellis has: some rings of one size are encoded together, or the last one. */
LLMQ__NOINLINE void llmq__ldlq_blocks(llmq__ldlq *a, const llmq_tensor *t, llmq__arena *arena)
{
    const uint32_t group = llmq__layout_of(t).group;
    a->scales = llmq__ldlq_block_scales;
    a->part = llmq__ldlq_column;
    a->capacity = llmq__min(LLMQ__LDLQ_BLOCKS, t->rows / LLMQ_TRELLIS_BLOCK) * LLMQ_TRELLIS_BLOCK;
    if (a->capacity < llmq__trellis_block_max(t->rows)) a->capacity = llmq__trellis_block_max(t->rows);
    a->group_trellis = llmq__trellis_encoder_new(t, a->e, group, group, a->effort, arena);
    a->column_trellis = llmq__trellis_encoder_new(t, a->e, 1, LLMQ__LDLQ_BLOCKS, a->effort, arena);
}
#endif

/* The buffers of a feeder; e: NULL if memory is only counted. */
LLMQ__NOINLINE void llmq__ldlq_buffers(llmq__ldlq *a, const llmq_tensor *t, llmq__encoder *e, llmq__arena *arena)
{
    const uint32_t vectors = llmq__layout_of(t).vectors;
    const size_t grid = (size_t)llmq__table(&t->format) * t->format.p;
    float *row = (float *)llmq__alloc(arena, t->cols, sizeof(float));
    float *points = (float *)llmq__alloc(arena, grid, sizeof(float));
    uint16_t *code = (uint16_t *)llmq__alloc(arena, vectors > a->capacity ? vectors : a->capacity, sizeof(uint16_t));
    size_t i;
    a->points = (float *)llmq__alloc(arena, grid, sizeof(float));
    a->residual = (float *)llmq__alloc(arena, t->cols, a->capacity * sizeof(float));
    a->correction = (float *)llmq__alloc(arena, t->cols, 2 * a->capacity * sizeof(float));
    a->x = (float *)llmq__alloc(arena, t->format.p, a->capacity * sizeof(float));
    a->row = (llmq__ldlq_row *)llmq__alloc(arena, a->capacity, sizeof(llmq__ldlq_row));
    a->plain = (uint8_t *)llmq__alloc(arena, a->capacity, t->row_size);
    if (!e) return;
    e->row = row, e->points = points, e->code = code;
    for (i = 0; i < grid; i++) points[i] = (float)t->format.points[i];
}

/* A feeder for t; NULL if memory is only counted. */
LLMQ__NOINLINE llmq__ldlq *llmq__ldlq_new(const llmq_tensor *t, const llmq_feedback *f, int effort, llmq__arena *arena)
{
    llmq__ldlq counted, *made = (llmq__ldlq *)llmq__alloc(arena, 1, sizeof *made), *a = made ? made : &counted;
    a->e = llmq__encoder_new(t, arena);
    a->t = t;
    a->f = f;
    a->effort = effort;
    a->scales = llmq__ldlq_scales;
    a->part = llmq__ldlq_vector;
    a->capacity = LLMQ__LDLQ_ROWS;
#if LLMQ__ANY_TRELLIS
    if (t->format.taps[0]) llmq__ldlq_blocks(a, t, arena);
#endif
    llmq__ldlq_buffers(a, t, made ? a->e : LLMQ__NULL, arena);
    return made;
}

LLMQ_API size_t llmq_feedback_work_size(const llmq_tensor *t)
{
    llmq__arena arena = llmq__arena_of_lines(LLMQ__NULL);
    if (!t || t->cols == 0 || t->cols > LLMQ_MAX_COLS) return 0;
    if (!t->format.points) return llmq_encode_work_size(t);
    (void)llmq__ldlq_new(t, LLMQ__NULL, 0, &arena);
    return llmq__size_add(llmq__arena_size(&arena), llmq_transform_work_size(&t->transform, t->cols));
}

/* Rows that are encoded together from r on, in [r, end). */
static uint32_t llmq__ldlq_rows_at(llmq__ldlq *a, uint32_t r, uint32_t end)
{
#if LLMQ__ANY_TRELLIS
    if (a->t->format.taps[0]) {
        llmq__trellis_block block = llmq__trellis_block_of(a->t->rows, r);
        uint32_t rows = block.rows;
        while (rows + block.rows <= a->capacity && r + rows < end && llmq__trellis_block_of(a->t->rows, r + rows).rows == block.rows) rows += block.rows;
        a->group_trellis->block = a->column_trellis->block = block;
        return rows;
    }
#endif
    return llmq__min(a->capacity, end - r);
}

/* Rows [r0, r1) of W, the first of them at w, into the records from out on. */
LLMQ__NOINLINE llmq_status llmq__ldlq_encode(const llmq_tensor *t, uint8_t *out, uint32_t r0, uint32_t r1, const float *w, size_t stride,
                                       const llmq_feedback *f, const llmq_encode_options *options, void *work, size_t work_size,
                                       llmq_feedback_result *result)
{
    llmq__arena arena = llmq__arena_of_lines(work);
    llmq__ldlq *a = llmq__ldlq_new(t, f, options ? options->effort : LLMQ_EFFORT_DEFAULT, &arena);
    llmq_status status;
    uint32_t r;
    LLMQ_MEMSET(result, 0, sizeof *result);
    a->result = result;
    for (r = r0; r < r1; r += a->rows) {
        a->rows = llmq__ldlq_rows_at(a, r, r1);
        a->out = out + (r - r0) * t->row_size;
        if ((status = llmq__ldlq_encode_rows(a, w + (r - r0) * stride, stride, (char *)work + arena.used, work_size - arena.used)) != LLMQ_OK) return status;
        if (options && options->progress && options->progress(options->context, r + a->rows - r0, r1 - r0)) return LLMQ_E_STOPPED;
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_feedback_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1, const float *w, size_t stride,
                                          const llmq_feedback *f, const llmq_encode_options *options, void *work, size_t work_size,
                                          llmq_feedback_result *result, llmq_error *error)
{
    llmq_feedback_result all;
    llmq_status status;
    uint32_t r;
    int effort = options ? options->effort : LLMQ_EFFORT_DEFAULT;
    size_t need = llmq_feedback_work_size(t);
    if (!t || !data || data != t->data || !w || !f || r0 > r1 || r1 > t->rows || stride < t->cols || need == 0) return LLMQ_E_ARG;
    if (!work || llmq__misaligned(work) || effort < LLMQ_EFFORT_DEFAULT || effort > LLMQ_EFFORT_BEST) return LLMQ_E_ARG;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    if (t->format.points && (f->cols != t->cols || f->group != t->format.group || f->p != t->format.p
                             || !llmq__transform_same(&f->transform, &t->transform))) return LLMQ_E_MISMATCH;
    for (r = r0; r < r1; r++)
        if (llmq__find_not_finite(w + (r - r0) * stride, r, t->cols, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
    LLMQ_MEMSET(&all, 0, sizeof all);
    all.rows = r1 - r0;
#if LLMQ__ANY_TRELLIS
    if (t->format.taps[0] && (!llmq__trellis_block_starts(t, r0) || !llmq__trellis_block_starts(t, r1))) return LLMQ_E_ARG;
#endif
    if (llmq__is_raw(&t->format) || llmq__has_zero_points(&t->format)) {
        all.plain_rows = r1 - r0;
        status = llmq_encode(t, data, r0, r1, w, stride, options, work, work_size, error);
#if LLMQ__ANY_TRELLIS
    } else if (t->format.taps[0] && !f->m) {
        const llmq__encode_job job = { t, (uint8_t *)data, r0, r1, w, stride, f->d, options, work, work_size, error };
        status = llmq__trellis_encode_rows(&job);
#endif
    } else {
        status = llmq__ldlq_encode(t, (uint8_t *)data + r0 * t->row_size, r0, r1, w, stride, f, options, work, work_size, &all);
    }
    if (status == LLMQ_OK && result) *result = all;
    return status;
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- 17. Outliers ----------------------------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

static void llmq__sample_layout(llmq_sample *s, uint32_t cols, uint32_t capacity, llmq__arena *arena)
{
    s->peak = (float *)llmq__alloc(arena, cols, sizeof(float));
    s->row = (float *)llmq__alloc(arena, llmq__size(capacity), cols * sizeof(float));
    s->height = (float *)llmq__alloc(arena, llmq__size(capacity / 2), sizeof(float));
}

LLMQ_API size_t llmq_sample_size(uint32_t cols, uint32_t capacity)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(float));
    llmq_sample counted;
    if (cols == 0 || cols > LLMQ_MAX_COLS || capacity < 2) return 0;
    llmq__sample_layout(&counted, cols, capacity, &arena);
    return llmq__arena_size(&arena);
}

LLMQ_API llmq_status llmq_sample_init(llmq_sample *s, uint32_t cols, uint32_t capacity, uint32_t seed, void *mem, size_t size)
{
    size_t need = llmq_sample_size(cols, capacity);
    llmq__arena arena = llmq__arena_of(mem, sizeof(float));
    if (!s || !mem || llmq__misaligned(mem) || cols == 0 || capacity < 2) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    if (size < need) return LLMQ_E_WORKSPACE;
    LLMQ_MEMSET(s, 0, sizeof *s);
    s->cols = cols;
    s->capacity = capacity;
    s->seed = seed;
    llmq__sample_layout(s, cols, capacity, &arena);
    LLMQ_MEMSET(s->peak, 0, cols * sizeof(float));
    return LLMQ_OK;
}

/* peak[j] = max(peak[j], |x_j|); returns the largest |x_j| */
static float llmq__raise_peaks(const float *x, uint32_t n, float *peak)
{
    float height = 0.0f, a;
    uint32_t j;
    for (j = 0; j < n; j++) {
        a = x[j] < 0.0f ? -x[j] : x[j];
        if (a > peak[j]) peak[j] = a;
        if (a > height) height = a;
    }
    return height;
}

/* Where a row goes that is this high: into a free place, or that of the lowest of the rows that are kept for their height. */
static uint32_t llmq__top_slot(llmq_sample *s, float height)
{
    uint32_t i, lowest = 0;
    if (s->top < s->capacity / 2) return s->top++;
    for (i = 1; i < s->top; i++)
        if (s->height[i] < s->height[lowest]) lowest = i;
    return height > s->height[lowest] ? lowest : s->capacity;
}

/* The same for the rows that are drawn: place k of a random number k below the count of rows seen, if there is one. */
static uint32_t llmq__drawn_slot(llmq_sample *s)
{
    uint32_t places = s->capacity - s->capacity / 2, k;
    if (s->drawn < places) return s->capacity / 2 + s->drawn++;
    k = (uint32_t)((uint64_t)llmq_random(s->seed, s->seen) * s->seen >> 32);
    return k < places ? s->capacity / 2 + k : s->capacity;
}

LLMQ_API llmq_status llmq_sample_add(llmq_sample *s, const float *x, size_t stride, uint32_t count, llmq_error *error)
{
    uint32_t t, place;
    if (!s || !x) return LLMQ_E_ARG;
    if (llmq__inputs_check(x, stride, s->cols, count, LLMQ__NULL, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
    for (t = 0; t < count; t++, x += stride) {
        float height = llmq__raise_peaks(x, s->cols, s->peak);
        if (s->seen < 0xffffffffu) s->seen++;
        if ((place = llmq__top_slot(s, height)) < s->capacity) {
            LLMQ_MEMCPY(s->row + (size_t)place * s->cols, x, s->cols * sizeof *x);
            s->height[place] = height;
        }
        if ((place = llmq__drawn_slot(s)) < s->capacity) LLMQ_MEMCPY(s->row + (size_t)place * s->cols, x, s->cols * sizeof *x);
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_peaks(const float *rows, size_t stride, uint32_t count, uint32_t cols, float *peak, llmq_error *error)
{
    uint32_t r;
    if (!rows || !peak || cols == 0) return LLMQ_E_ARG;
    if (llmq__inputs_check(rows, stride, cols, count, LLMQ__NULL, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
    for (r = 0; r < count; r++) llmq__raise_peaks(rows + r * stride, cols, peak);
    return LLMQ_OK;
}

/* The rows of a sample one after the other, i = 0 ... top + drawn - 1. */
static float *llmq__sample_row(const llmq_sample *s, uint32_t i)
{
    return s->row + (size_t)(i < s->top ? i : s->capacity / 2 + (i - s->top)) * s->cols;
}

LLMQ_API llmq_fit_options llmq_fit_defaults(void)
{
    llmq_fit_options o;
    LLMQ_MEMSET(&o, 0, sizeof o);
    o.alpha = 0.6f;
    o.d_min = 0.01f;
    o.d_max = 10000.0f;
    o.criterion = LLMQ_CRITERION_ERROR;
    o.steps = 256;
    o.seed = 1;
    return o;
}

/* d = peak^alpha / weight^(1 - alpha) within its bounds; a channel without inputs or weights counts as 2^-100 of them. Sample, peaks and
   weights are not changed here. */
LLMQ__NOINLINE void llmq__fit_smooth(const llmq_sample *s, const float *weight, const llmq_fit_options *o, uint8_t *data)
{
    LLMQ__NO_CONTRACT
    uint32_t j;
    for (j = 0; j < s->cols; j++, data += 4) {
        double p = (double)llmq__ln(s->peak[j] > 7.9e-31f ? s->peak[j] : 7.9e-31f);
        double w = weight ? (double)llmq__ln(weight[j] > 7.9e-31f ? weight[j] : 7.9e-31f) : 0.0;
        double e = (double)o->alpha * p - (1.0 - (double)o->alpha) * w; /* at most 89: e^e has to be a float */
        double d = e > 0.0 ? 1.0 / llmq__exp64(-e) : llmq__exp64(e);
        llmq__store32(data, llmq__float_bits(d < (double)o->d_min ? o->d_min : d > (double)o->d_max ? o->d_max : (float)d));
    }
}

/* order[0, n) = 0 ... n - 1 by decreasing key, equal ones in their order. Shell's sort. */
static void llmq__sort_down(const float *key, uint32_t n, uint32_t *order)
{
    uint32_t gap, i, j, c;
    for (i = 0; i < n; i++) order[i] = i;
    for (gap = n / 2; gap; gap /= 2)
        for (i = gap; i < n; i++) {
            for (c = order[i], j = i; j >= gap; j -= gap) {
                uint32_t b = order[j - gap];
                if (key[b] > key[c] || (key[b] >= key[c] && b < c)) break;
                order[j] = b;
            }
            order[j] = c;
        }
}

/* Length of the block of a step that begins at column j: of what a rotation leaves out, 0. */
static uint32_t llmq__step_block(const llmq_step *step, uint32_t cols, uint32_t j)
{
    if (step->kind == LLMQ_STEP_HADAMARD) return llmq__block(cols - j, step->block);
    return cols - j < step->block ? 0 : step->block;
}

/* A permutation for the step that mixes blocks next, or NULL. work: 12 cols bytes. */
LLMQ__NOINLINE void llmq__fit_permute(const llmq_sample *s, const llmq_step *next, uint8_t *data, uint32_t *work)
{
    uint32_t *order = work, *at = order + s->cols, *end = at + s->cols, blocks = 0, j, n, k = 0, i;
    int down = 0;
    llmq__sort_down(s->peak, s->cols, order);
    for (j = 0; next && j < s->cols && (n = llmq__step_block(next, s->cols, j)) != 0; j += n, blocks++) at[blocks] = j, end[blocks] = j + n;
    if (!next) j = 0;
    for (i = 0; i < j; i++) { /* deal; a turn at either end gives that block two */
        while (at[k] == end[k]) {
            if (down ? k == 0 : k == blocks - 1) down = !down;
            else k = down ? k - 1 : k + 1;
        }
        llmq__store16(data + 2 * (size_t)at[k]++, order[i]);
        if (down ? k == 0 : k == blocks - 1) down = !down;
        else k = down ? k - 1 : k + 1;
    }
    for (; i < s->cols; i++) llmq__store16(data + 2 * (size_t)i, order[i]);
}

/* A rotation in the making, for blocks [first, last) of n columns. */
typedef struct llmq__greedy {
    const llmq_kernels *kernels;
    const llmq_sample *sample;
    uint32_t n, first, last;
    int criterion;
    uint32_t seed, counter;
    double *r;        /* R_1 ... R_k so far: [n][n] */
    double *mirror;   /* Q' of a step: v of its reflections I - v v^T, of n - 1, n - 2 ... 1 numbers */
    double *sign;     /* of its columns */
    double *uniform;  /* v of Z */
    float *now;       /* r, rounded */
    float *out;       /* n numbers */
} llmq__greedy;

static void llmq__greedy_layout(llmq__greedy *g, llmq__arena *arena)
{
    size_t n = g->n;
    g->r = (double *)llmq__alloc(arena, n * n, sizeof(double));
    g->mirror = (double *)llmq__alloc(arena, n * (n - 1) / 2, sizeof(double));
    g->sign = (double *)llmq__alloc(arena, n, sizeof(double));
    g->uniform = (double *)llmq__alloc(arena, n, sizeof(double));
    g->now = (float *)llmq__alloc(arena, n * n, sizeof(float));
    g->out = (float *)llmq__alloc(arena, n, sizeof(float));
}

static size_t llmq__greedy_size(uint32_t n)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(double));
    llmq__greedy counted;
    counted.n = n;
    llmq__greedy_layout(&counted, &arena);
    return llmq__arena_size(&arena);
}

/* v of a reflection I - v v^T of n numbers, in place of x, that makes x (+-|x|, 0, 0 ...); returns the sign that makes that positive. */
static double llmq__householder(double *x, uint32_t n)
{
    LLMQ__NO_CONTRACT
    double length = llmq__sqrt64(llmq__dot_double(x, x, n)), down, sign = x[0] < 0.0 ? 1.0 : -1.0;
    uint32_t i;
    x[0] -= sign * length; /* away from 0 */
    down = llmq__sqrt64(2.0 / llmq__dot_double(x, x, n));
    for (i = 0; i < n; i++) x[i] *= down;
    return sign;
}

/* row <- row (I - v v^T) */
static void llmq__reflect(double *row, const double *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    double dot = llmq__dot_double(row, v, n);
    uint32_t i;
    for (i = 0; i < n; i++) row[i] -= dot * v[i];
}

static void llmq__swap(double *a, double *b) { double t = *a; *a = *b; *b = t; }

/* Its memory, r = I, and Z: what takes (1, 1 ...) / sqrt(n) to -(1, 0 ...), and so the other way. */
LLMQ__NOINLINE void llmq__greedy_init(llmq__greedy *g, void *work)
{
    llmq__arena arena = llmq__arena_of(work, sizeof(double));
    size_t n = g->n, i;
    llmq__greedy_layout(g, &arena);
    for (i = 0; i < n * n; i++) g->r[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
    for (i = 0; i < n; i++) g->uniform[i] = 1.0 / llmq__sqrt64((double)n);
    (void)llmq__householder(g->uniform, g->n);
}

/* r <- r E Z Q E for a step that spreads channel c */
LLMQ__NOINLINE void llmq__greedy_step(llmq__greedy *g, uint32_t c)
{
    LLMQ__NO_CONTRACT
    uint32_t n = g->n, i, k;
    float pair[2];
    double *v = g->mirror, *row = g->r;
    for (k = 1; k < n; v += n - k, k++) { /* k: the first row and column of Q that a reflection touches */
        for (i = 0; i < n - k; i++) {
            if (i % 2 == 0) llmq__normal_pair(g->seed, &g->counter, pair);
            v[i] = (double)pair[i % 2];
        }
        g->sign[k] = k + 1 < n ? llmq__householder(v, n - k) : v[0] < 0.0 ? -1.0 : 1.0;
    }
    for (i = 0; i < n; i++, row += n) {
        llmq__swap(&row[0], &row[c]);
        llmq__reflect(row, g->uniform, n);
        for (v = g->mirror, k = 1; k + 1 < n; v += n - k, k++) llmq__reflect(row + k, v, n - k);
        for (k = 1; k < n; k++) row[k] *= g->sign[k];
        llmq__swap(&row[0], &row[c]);
    }
}

/* What the turned numbers of one input come to. */
typedef struct llmq__extent {
    float low, high, peak;  /* least and largest number, largest magnitude */
    uint32_t channel;       /* of that */
    double power;           /* |x|^2 */
} llmq__extent;

LLMQ__NOINLINE llmq__extent llmq__greedy_extent(const llmq__greedy *g, const float *v, float bar)
{
    llmq__extent e;
    uint32_t b, k;
    LLMQ_MEMSET(&e, 0, sizeof e);
    for (b = g->first, v += (size_t)b * g->n; b < g->last; b++, v += g->n) {
        double power = llmq__dot(v, v, g->n);
        e.power += power;
        if (power < 0.999 * (double)bar * (double)bar) continue; /* too short to have a number over bar in any rotation; the rest is for rounding */
        LLMQ_MEMSET(g->out, 0, g->n * sizeof(float));
        for (k = 0; k < g->n; k++) g->kernels->add_scaled(g->out, v[k], g->now + (size_t)k * g->n, g->n);
        for (k = 0; k < g->n; k++) {
            float x = g->out[k], a = x < 0.0f ? -x : x;
            if (x < e.low) e.low = x;
            if (x > e.high) e.high = x;
            if (a > e.peak) e.peak = a, e.channel = k;
        }
    }
    return e;
}

/* The criterion for r, and the channel to be spread next: the largest, of the input that is worst. What cannot be over the peak
   of the inputs before is not looked at: those that are kept for their height come first. */
LLMQ__NOINLINE double llmq__greedy_measure(const llmq__greedy *g, uint32_t *channel)
{
    uint32_t rows = g->sample->top + g->sample->drawn, i;
    double low = 0.0, high = 0.0, sum = 0.0, worst = 0.0;
    for (i = 0; i < g->n * g->n; i++) g->now[i] = (float)g->r[i];
    for (i = 0; i < rows; i++) {
        llmq__extent e = llmq__greedy_extent(g, llmq__sample_row(g->sample, i), g->criterion == LLMQ_CRITERION_PEAK ? (float)worst : 0.0f);
        double bad = (double)e.peak;
        if (g->criterion == LLMQ_CRITERION_ERROR) bad = e.power > 0.0 ? bad * bad / e.power : 0.0;
        if (bad > worst) worst = bad, *channel = e.channel;
        if ((double)e.low < low) low = (double)e.low;
        if ((double)e.high > high) high = (double)e.high;
        sum += bad;
    }
    return g->criterion == LLMQ_CRITERION_ERROR ? sum : g->criterion == LLMQ_CRITERION_RANGE ? high - low : worst;
}

static void llmq__store_floats(const float *x, size_t n, uint8_t *b)
{
    size_t i;
    for (i = 0; i < n; i++) llmq__store32(b + 4 * i, llmq__float_bits(x[i]));
}

/* The best of the products of 0 ... steps rotations, to data. */
LLMQ__NOINLINE llmq_status llmq__fit_rotation(llmq__greedy *g, const llmq_fit_options *o, uint8_t *data, void *work)
{
    uint32_t step, channel = 0;
    double best, now;
    llmq__greedy_init(g, work);
    best = llmq__greedy_measure(g, &channel);
    llmq__store_floats(g->now, (size_t)g->n * g->n, data);
    for (step = 1; step <= o->steps && best > 0.0; step++) {
        llmq__greedy_step(g, channel);
        now = llmq__greedy_measure(g, &channel);
        if (now < best) {
            best = now;
            llmq__store_floats(g->now, (size_t)g->n * g->n, data);
        }
        if (o->progress && o->progress(o->context, step, o->steps)) return LLMQ_E_STOPPED;
    }
    return LLMQ_OK;
}

LLMQ__NOINLINE llmq_status llmq__fit_rotations(const llmq_step *step, uint32_t number, const llmq_sample *s, const llmq_fit_options *o, uint8_t *data, void *work,
                                            const llmq_kernels *kernels)
{
    llmq__greedy g;
    uint32_t i, runs = s->cols / step->block;
    llmq_status status = LLMQ_OK;
    g.kernels = kernels;
    g.sample = s;
    g.n = step->block;
    g.criterion = o->criterion;
    g.seed = llmq_random(o->seed, number);
    g.counter = 0;
    for (i = 0; i < step->arg && status == LLMQ_OK; i++, data += 4 * (size_t)g.n * g.n) {
        g.first = step->arg == 1 ? 0 : i;
        g.last = step->arg == 1 ? runs : i + 1;
        status = llmq__fit_rotation(&g, o, data, work);
    }
    return status;
}

LLMQ_API size_t llmq_fit_work_size(const llmq_transform *t, uint32_t cols)
{
    size_t need = llmq__size_mul(cols, 12), one; /* a permutation's; in doubles, for what comes first has to be aligned so */
    uint32_t i;
    if (!t || t->count > LLMQ_MAX_STEPS || cols == 0 || cols > LLMQ_MAX_COLS) return 0;
    if ((one = llmq_transform_work_size(t, cols)) > need) need = one;
    for (i = 0; i < t->count; i++)
        if (t->step[i].kind == LLMQ_STEP_ROTATE && (one = llmq__greedy_size(t->step[i].block)) > need) need = one;
    return need;
}

static int llmq__mixes(const llmq_step *step) { return step->kind == LLMQ_STEP_HADAMARD || step->kind == LLMQ_STEP_ROTATE; }

/* The sample, its peaks and those of the weights through step i. */
LLMQ__NOINLINE llmq_status llmq__fit_apply(const llmq_transform *t, uint32_t i, llmq_sample *s, float *weight, void *work, size_t work_size, const llmq_kernels *k)
{
    uint32_t r, rows = s->top + s->drawn;
    llmq_status status = LLMQ_OK;
    for (r = 0; r < rows && status == LLMQ_OK; r++)
        status = llmq__step_apply(t, i, LLMQ_TO_ACTIVATION, llmq__sample_row(s, r), s->cols, work, work_size, k);
    if (status != LLMQ_OK) return status;
    if (llmq__mixes(&t->step[i])) {
        LLMQ_MEMSET(s->peak, 0, s->cols * sizeof(float));
        for (r = 0; r < rows; r++) llmq__raise_peaks(llmq__sample_row(s, r), s->cols, s->peak);
        for (r = 0; weight && r < s->cols; r++) weight[r] = 1.0f;
        return LLMQ_OK;
    }
    status = llmq__step_apply(t, i, LLMQ_TO_ACTIVATION, s->peak, s->cols, work, work_size, k);
    if (weight && status == LLMQ_OK) status = llmq__step_apply(t, i, LLMQ_TO_WEIGHT, weight, s->cols, work, work_size, k);
    return status;
}

static llmq_status llmq__fit_check(const llmq_transform *t, const llmq_sample *s, const llmq_fit_options *o, size_t size,
                                   const void *work, size_t work_size)
{
    llmq_status status;
    if (!t || !s || !work || (uintptr_t)work % sizeof(double) != 0) return LLMQ_E_ARG;
    if ((status = llmq__transform_check(t, s->cols)) != LLMQ_OK) return status;
    if (!(o->alpha >= 0.0f && o->alpha <= 1.0f) || o->criterion < LLMQ_CRITERION_PEAK || o->criterion > LLMQ_CRITERION_ERROR) return LLMQ_E_ARG;
    if (!(o->d_min >= 1.17549435e-38f && o->d_min <= o->d_max && o->d_max <= 3.4e38f)) return LLMQ_E_ARG;
    return size < llmq__transform_data(t, t->count) || work_size < llmq_fit_work_size(t, s->cols) ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* Data of step i, and what it does to the sample. */
LLMQ__NOINLINE llmq_status llmq__fit_step(const llmq_transform *t, uint32_t i, llmq_sample *s, float *weight, const llmq_fit_options *o, uint8_t *data, void *work,
                                       size_t work_size)
{
    const llmq_kernels *k = LLMQ_KERNELS;
    const llmq_step *step = &t->step[i], *next = LLMQ__NULL;
    llmq_status status = LLMQ_OK;
    uint32_t n;
    for (n = i + 1; n < t->count && !next; n++)
        if (llmq__mixes(&t->step[n])) next = &t->step[n];
    if (step->kind == LLMQ_STEP_SMOOTH) llmq__fit_smooth(s, weight, o, data);
    if (step->kind == LLMQ_STEP_PERMUTE) llmq__fit_permute(s, next, data, (uint32_t *)work);
    if (step->kind == LLMQ_STEP_ROTATE) status = llmq__fit_rotations(step, i, s, o, data, work, llmq__kernels(k));
    return status != LLMQ_OK ? status : llmq__fit_apply(t, i, s, weight, work, work_size, llmq__kernels(k));
}

LLMQ_API llmq_status llmq_transform_fit(llmq_transform *t, llmq_sample *s, float *weight, const llmq_fit_options *options, void *data, size_t size,
                                        void *work, size_t work_size)
{
    llmq_fit_options o = options ? *options : llmq_fit_defaults();
    const uint8_t *before;
    llmq_status status;
    uint32_t i;
    if (!t) return LLMQ_E_ARG;
    before = t->data;
    t->data = (const uint8_t *)data;
    status = llmq__fit_check(t, s, &o, size, work, work_size);
    if (status == LLMQ_OK) {
        for (i = 0; i < t->count && status == LLMQ_OK; i++)
            status = llmq__fit_step(t, i, s, weight, &o, (uint8_t *)data + llmq__transform_data(t, i), work, work_size);
        if (status != LLMQ_OK) s->top = s->drawn = 0;
    }
    if (status != LLMQ_OK) t->data = before;
    return status;
}

/* -- Folding -- */

static int llmq__folds(const llmq_step *step, int kinds)
{
    return (step->kind == LLMQ_STEP_SMOOTH && (kinds & LLMQ_FOLD_SMOOTH)) || (step->kind == LLMQ_STEP_PERMUTE && (kinds & LLMQ_FOLD_PERMUTE));
}

LLMQ_API uint32_t llmq_transform_foldable(const llmq_transform *t, int kinds)
{
    uint32_t i = 0;
    while (t && i < t->count && i < LLMQ_MAX_STEPS && llmq__folds(&t->step[i], kinds)) i++;
    return i;
}

LLMQ_API llmq_status llmq_transform_split(const llmq_transform *t, uint32_t n, llmq_transform *first, llmq_transform *rest)
{
    llmq_transform head, tail;
    uint32_t i;
    if (!t || !first || !rest || t->count > LLMQ_MAX_STEPS || n > t->count) return LLMQ_E_ARG;
    head = *t;
    LLMQ_MEMSET(&tail, 0, sizeof tail);
    for (i = n; i < t->count; i++) tail.step[tail.count++] = t->step[i];
    if (t->data && tail.count) tail.data = t->data + llmq__transform_data(t, n);
    head.count = n;
    *first = head;
    *rest = tail;
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_transform_fold(const llmq_transform *t, uint32_t cols, int kinds, float *rows, size_t stride, uint32_t n, void *work,
                                         size_t work_size)
{
    llmq_status status;
    float *v = (float *)work;
    uint32_t i, j, k, write;
    if (!t || !rows || !work || llmq__misaligned(work) || cols == 0 || cols > LLMQ_MAX_COLS) return LLMQ_E_ARG;
    if ((status = llmq__transform_check(t, cols)) != LLMQ_OK) return status;
    if (llmq_transform_foldable(t, LLMQ_FOLD_SMOOTH | LLMQ_FOLD_PERMUTE) < t->count) return LLMQ_E_ARG;
    if (work_size / sizeof(float) / 2 < cols) return LLMQ_E_WORKSPACE;
    for (write = 0; write < 2; write++) /* first it is only looked at */
        for (k = 0; k < n; k++) { /* a column of the rows is a vector of x's kind */
            for (j = 0; j < cols; j++) v[j] = rows[j * stride + k];
            for (i = 0; i < t->count; i++) {
                if (!llmq__folds(&t->step[i], kinds)) continue;
                (void)llmq__step_apply(t, i, LLMQ_TO_ACTIVATION, v, cols, v + cols, cols * sizeof(float), llmq_kernels_at(0));
            }
            if (!write && llmq__find_not_finite(v, k, cols, LLMQ__NULL) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
            for (j = 0; j < cols && write; j++) rows[j * stride + k] = v[j];
        }
    return LLMQ_OK;
}

LLMQ_API uint64_t llmq_transform_cost(const llmq_transform *t, uint32_t cols)
{
    uint64_t sum = 0;
    uint32_t i, j, n, m;
    for (i = 0; t && i < t->count && i < LLMQ_MAX_STEPS; i++) {
        const llmq_step *step = &t->step[i];
        if (step->kind == LLMQ_STEP_SMOOTH) sum += cols;
        if (step->kind == LLMQ_STEP_ROTATE && step->block) sum += (uint64_t)(cols / step->block) * step->block * step->block;
        if (step->kind != LLMQ_STEP_HADAMARD || !llmq__max_block_ok(step->block)) continue;
        for (j = 0; j < cols; j += n) {
            n = llmq__block(cols - j, step->block);
            m = llmq__base(n);
            sum += (uint64_t)n * ((m > 1 ? m : 0) + llmq__ceil_log2(n / m));
        }
    }
    return sum;
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- 18. Allocation --------------------------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

/* What llmq_perturb makes of w[0, n): written if `write`. Returns 0 at the first number that is not finite. */
static int llmq__perturb(float *w, size_t n, float scale, uint32_t seed, int write)
{
    LLMQ__NO_CONTRACT
    float pair[2] = { 0.0f, 0.0f }, v;
    uint32_t counter = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        if (i % 2 == 0) llmq__normal_pair(seed, &counter, pair);
        v = w[i] + scale * pair[i % 2];
        if ((llmq__float_bits(v) & 0x7fffffffu) >= 0x7f800000u) return 0;
        if (write) w[i] = v;
    }
    return 1;
}

LLMQ_API llmq_status llmq_perturb(float *w, size_t n, double t, uint32_t seed)
{
    LLMQ__NO_CONTRACT
    double square = 0.0, scale;
    float max_abs = 0.0f;
    size_t i;
    if (!w || n == 0 || !(t >= 0.0 && t <= 1.0)) return LLMQ_E_ARG;
    for (i = 0; i < n; i++) {
        square += (double)w[i] * (double)w[i];
        if (w[i] > max_abs || -w[i] > max_abs) max_abs = w[i] < 0.0f ? -w[i] : w[i];
    }
    if (!llmq__finite(square)) return LLMQ_E_NOT_FINITE;
    scale = t * llmq__sqrt64(square / (double)n);
    if (scale > 3.4028234663852886e38) scale = 3.4028234663852886e38; /* rounding may make it more than the largest weight */
    /* normal numbers are below 12 in magnitude here: only very large weights have to be looked at beforehand */
    if ((double)max_abs + 12.0 * scale > 3.4e38 && !llmq__perturb(w, n, (float)scale, seed, 0)) return LLMQ_E_NOT_FINITE;
    (void)llmq__perturb(w, n, (float)scale, seed, 1);
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_slope(const double *x, const double *y, uint32_t n, double *slope, double *error)
{
    LLMQ__NO_CONTRACT
    double xx = 0.0, xy = 0.0, rest = 0.0, a, e;
    uint32_t i;
    if (!x || !y || !slope || !error || n == 0) return LLMQ_E_ARG;
    for (i = 0; i < n; i++) xx += x[i] * x[i], xy += x[i] * y[i];
    if (xx <= 0.0) return LLMQ_E_ARG;
    a = xy / xx;
    for (i = 0; i < n; i++) rest += (y[i] - a * x[i]) * (y[i] - a * x[i]);
    e = n > 1 ? rest / (double)(n - 1) / xx : 0.0;
    if (!llmq__finite(a) || !llmq__finite(rest) || !llmq__finite(xx) || !llmq__finite(e)) return LLMQ_E_NOT_FINITE;
    *slope = a;
    *error = n > 1 ? llmq__sqrt64(e) : 0.0;
    return LLMQ_OK;
}

#define LLMQ__STATES 65536            /* by default */
#define LLMQ__STATE_NODES 12          /* nodes there is room for, for each state of a list */
#define LLMQ__MAX_STATES 0x08000000u  /* 2^27: 12 nodes for each are fewer than 2^32 */
#define LLMQ__NONE 0xffffffffu

/* An option of a class: of a layer, or of layers that are tied together. r: what it costs beyond the minimum of its class at the price. */
typedef struct llmq__item {
    uint64_t cost;
    double loss, r;
} llmq__item;

/* Cost and loss of everything, the classes so far as chosen, the others at their minimum; how it came to be: the options taken
   before (a node) and the one taken last. */
typedef struct llmq__sum {
    uint64_t cost;
    double loss, r;
    uint32_t node, option;
} llmq__sum;

typedef struct llmq__node { uint32_t parent, number, option; } llmq__node;

typedef struct llmq__knapsack {
    uint32_t classes, capacity, nodes, best_node;  /* room for sums in a list, and for 12 times as many nodes */
    uint64_t budget, slack;  /* slack: what the minima leave of it */
    double lambda, base_loss, bound, best_loss, cut;  /* cut: sums of this r and more are not followed */
    llmq__item *item;
    llmq__sum *list[3];
    double *key;       /* least r of a class but 0 */
    llmq__node *node;
    uint32_t *class_of;  /* [layers] */
    uint32_t *first;     /* [classes + 1]: of its items */
    uint32_t *base;      /* [classes]: the item of the minimum */
    uint32_t *best;      /* [classes]: the item chosen */
    uint32_t *order;     /* [classes] */
} llmq__knapsack;

/* All pieces but those for each of k->room states are whatever that is; each state takes the same number of bytes more. */
static void llmq__knapsack_layout(llmq__knapsack *k, uint32_t layers, uint32_t options, llmq__arena *arena)
{
    size_t capacity = llmq__size(k->capacity), n = llmq__size(layers), i;
    k->item = (llmq__item *)llmq__alloc(arena, llmq__size(options), sizeof(llmq__item));
    for (i = 0; i < 3; i++) k->list[i] = (llmq__sum *)llmq__alloc(arena, capacity, sizeof(llmq__sum));
    k->key = (double *)llmq__alloc(arena, n, sizeof(double));
    k->node = (llmq__node *)llmq__alloc(arena, capacity, LLMQ__STATE_NODES * sizeof(llmq__node));
    k->class_of = (uint32_t *)llmq__alloc(arena, n, sizeof(uint32_t));
    k->first = (uint32_t *)llmq__alloc(arena, llmq__size_add(n, 1), sizeof(uint32_t));
    k->base = (uint32_t *)llmq__alloc(arena, n, sizeof(uint32_t));
    k->best = (uint32_t *)llmq__alloc(arena, n, sizeof(uint32_t));
    k->order = (uint32_t *)llmq__alloc(arena, n, sizeof(uint32_t));
}

LLMQ_API size_t llmq_allocate_work_size(uint32_t layers, uint32_t options, uint32_t states)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(double));
    llmq__knapsack counted;
    counted.capacity = states ? states : LLMQ__STATES;
    llmq__knapsack_layout(&counted, layers, options, &arena);
    return llmq__arena_size(&arena);
}

/* As many states as the workspace holds, which is one at least. */
LLMQ__NOINLINE void llmq__knapsack_place(llmq__knapsack *k, uint32_t layers, uint32_t options, void *work, size_t work_size)
{
    size_t one = llmq_allocate_work_size(layers, options, 1), more = (work_size - one) / (llmq_allocate_work_size(layers, options, 2) - one);
    llmq__arena arena = llmq__arena_of(work, sizeof(double));
    k->capacity = more < LLMQ__MAX_STATES ? (uint32_t)more + 1 : LLMQ__MAX_STATES;
    llmq__knapsack_layout(k, layers, options, &arena);
}

static llmq_status llmq__option_fail(llmq_error *error, llmq_status status, uint32_t layer, uint32_t option)
{
    if (error) error->status = status, error->row = layer, error->col = option;
    return status;
}

LLMQ__NOINLINE llmq_status llmq__options_check(const llmq_option *options, const uint32_t *first, uint32_t layers, llmq_error *error)
{
    uint64_t sum = 0, max_cost;
    uint32_t l, i;
    if (first[0] != 0) return LLMQ_E_ARG;
    for (l = 0; l < layers; l++, sum += max_cost) {
        if (first[l + 1] <= first[l]) return LLMQ_E_ARG;
        if (sum > (uint64_t)1 << 62) return llmq__option_fail(error, LLMQ_E_LIMIT, l, 0);
        max_cost = 0;
        for (i = first[l]; i < first[l + 1]; i++) {
            double loss = options[i].loss;
            if (options[i].cost > (uint64_t)1 << 53) return llmq__option_fail(error, LLMQ_E_LIMIT, l, i - first[l]);
            if (options[i].cost > max_cost) max_cost = options[i].cost;
            if (!llmq__finite(loss) && !(loss > 0.0)) return llmq__option_fail(error, LLMQ_E_NOT_FINITE, l, i - first[l]);
            if (llmq__finite(loss) && (loss > 1e240 || loss < -1e240)) return llmq__option_fail(error, LLMQ_E_LIMIT, l, i - first[l]);
        }
    }
    return LLMQ_OK;
}

/* Classes of tied layers: their items are sums. */
LLMQ__NOINLINE llmq_status llmq__knapsack_classes(llmq__knapsack *k, const llmq_option *options, const uint32_t *first, uint32_t layers, const uint32_t *tie)
{
    uint32_t l, c, i, n;
    k->classes = 0;
    k->first[0] = 0;
    for (l = 0; l < layers; l++) {
        n = first[l + 1] - first[l];
        for (c = 0; tie && c < k->classes && tie[k->order[c]] != tie[l]; c++) {}
        if (!tie) c = k->classes;
        k->class_of[l] = c;
        if (c == k->classes) {
            k->order[k->classes++] = l;
            k->first[c + 1] = k->first[c] + n;
            LLMQ_MEMSET(k->item + k->first[c], 0, n * sizeof *k->item);
        } else if (k->first[c + 1] - k->first[c] != n) {
            return LLMQ_E_ARG;
        }
        for (i = 0; i < n; i++) {
            k->item[k->first[c] + i].cost += options[first[l] + i].cost;
            k->item[k->first[c] + i].loss += options[first[l] + i].loss;
        }
    }
    return LLMQ_OK;
}

/* Everything at its minimum at a price: the sum of costs. Equal ones: the cheaper, then the better, then the first. An infinite loss is
   never taken, unless there is nothing else: then the sum is 2^64 - 1. */
static uint64_t llmq__knapsack_at(const llmq__knapsack *k, double price)
{
    LLMQ__NO_CONTRACT
    uint64_t sum = 0;
    uint32_t c, i, b;
    for (c = 0; c < k->classes; c++) {
        double min_value = 0.0;
        for (b = LLMQ__NONE, i = k->first[c]; i < k->first[c + 1]; i++) {
            const llmq__item *x = &k->item[i];
            double v = x->loss + price * (double)x->cost;
            if (!llmq__finite(x->loss)) continue;
            if (b == LLMQ__NONE || v < min_value || (v <= min_value && (x->cost < k->item[b].cost || (x->cost == k->item[b].cost && x->loss < k->item[b].loss)))) min_value = v, b = i;
        }
        k->base[c] = b;
        if (b == LLMQ__NONE) return ~(uint64_t)0;
        sum += k->item[b].cost;
    }
    return sum;
}

/* The least price at which the minima fit, to the last bit or two; their sums. */
LLMQ__NOINLINE llmq_status llmq__knapsack_price(llmq__knapsack *k)
{
    LLMQ__NO_CONTRACT
    double low = 0.0, high = 0.0, middle;
    uint64_t cost;
    uint32_t c;
    int32_t e;
    for (e = -960; e <= 900 && llmq__knapsack_at(k, high) > k->budget; e += 60) low = high, high = llmq__exp2_64(e);
    cost = llmq__knapsack_at(k, high);
    if (cost > k->budget || cost == ~(uint64_t)0) return LLMQ_E_LIMIT;
    while (high > 0.0) { /* halve the exponents, then the numbers */
        middle = low > 0.0 && high > 4.0 * low ? low * llmq__sqrt64(high / low) : 0.5 * (low + high);
        if (low <= 0.0 || !(middle > low && middle < high)) break;
        if (llmq__knapsack_at(k, middle) > k->budget) low = middle;
        else high = middle;
    }
    k->lambda = high;
    k->slack = k->budget - llmq__knapsack_at(k, high);
    for (k->base_loss = 0.0, c = 0; c < k->classes; c++) k->base_loss += k->item[k->base[c]].loss;
    k->bound = k->base_loss - k->lambda * (double)k->slack;
    return LLMQ_OK;
}

/* r of all items; and the best single exchange again and again while the budget has room for one. */
LLMQ__NOINLINE void llmq__knapsack_fill(llmq__knapsack *k)
{
    LLMQ__NO_CONTRACT
    uint64_t slack = k->slack;
    uint32_t c, i, which, item;
    for (c = 0; c < k->classes; c++) {
        const llmq__item *base = &k->item[k->base[c]];
        k->best[c] = k->base[c];
        for (i = k->first[c]; i < k->first[c + 1]; i++) { /* below 0 only by rounding */
            double r = (k->item[i].loss - base->loss) + k->lambda * ((double)k->item[i].cost - (double)base->cost);
            k->item[i].r = r > 0.0 ? r : 0.0;
        }
    }
    for (k->best_loss = k->base_loss;; k->best_loss += k->item[item].loss - k->item[k->best[which]].loss, k->best[which] = item) {
        double gain = 0.0;
        for (which = item = LLMQ__NONE, c = 0; c < k->classes; c++) {
            const llmq__item *now = &k->item[k->best[c]];
            for (i = k->first[c]; i < k->first[c + 1]; i++)
                if (now->loss - k->item[i].loss > gain && k->item[i].cost <= now->cost + slack) gain = now->loss - k->item[i].loss, which = c, item = i;
        }
        if (which == LLMQ__NONE) return;
        slack = slack + k->item[k->best[which]].cost - k->item[item].cost;
    }
}

/* How far r may go to be of use: the distance of the best from the bound, with a little for rounding. */
static double llmq__knapsack_gap(const llmq__knapsack *k)
{
    double gap = k->best_loss - k->bound, size = k->best_loss < 0.0 ? -k->best_loss : k->best_loss;
    return gap + 1e-9 * gap + 1e-14 * (size + k->lambda * (double)k->slack);
}

/* Classes by increasing least r, which is key. */
LLMQ__NOINLINE void llmq__knapsack_order(llmq__knapsack *k)
{
    uint32_t c, i, j, gap;
    for (c = 0; c < k->classes; c++) {
        k->order[c] = c;
        k->key[c] = 1e308;
        for (i = k->first[c]; i < k->first[c + 1]; i++)
            if (i != k->base[c] && k->item[i].r < k->key[c]) k->key[c] = k->item[i].r;
    }
    for (gap = k->classes / 2; gap; gap /= 2) /* Shell's sort */
        for (i = gap; i < k->classes; i++) {
            for (c = k->order[i], j = i; j >= gap && k->key[k->order[j - gap]] > k->key[c]; j -= gap) k->order[j] = k->order[j - gap];
            k->order[j] = c;
        }
}

/* to = what is good of b[0, nb), and of a[0, na) with an item of class c in the place of its base. Returns how many, or LLMQ__NONE if there
   is no room for them. Sorted by cost; each has less loss than all before. */
LLMQ__NOINLINE uint32_t llmq__knapsack_merge(const llmq__knapsack *k, uint32_t c, uint32_t item, const llmq__sum *a, uint32_t na, const llmq__sum *b, uint32_t nb,
                                          double limit, llmq__sum *to)
{
    LLMQ__NO_CONTRACT
    const llmq__item *x = &k->item[item], *base = &k->item[k->base[c]];
    double more = x->loss - base->loss, r = item == k->base[c] ? 0.0 : x->r, last = 0.0;
    uint32_t n = 0, i = 0, j = 0;
    while (i < na || j < nb) {
        uint64_t cost = i < na ? a[i].cost + x->cost - base->cost : 0;
        llmq__sum s;
        if (i == na || (j < nb && (b[j].cost < cost || (b[j].cost == cost && b[j].loss <= a[i].loss + more)))) {
            s = b[j++];
        } else {
            s = a[i++];
            s.cost = cost;
            s.loss += more;
            s.r += r;
            s.option = item == k->base[c] ? LLMQ__NONE : item;
            if (s.r >= limit) continue;
        }
        if (n > 0 && s.loss >= last) continue;
        if (n == k->capacity) return LLMQ__NONE;
        last = s.loss;
        to[n++] = s;
    }
    return n;
}

/* The sums in list 0 with all items of class c that are of use, into list 0. Returns how many; 0 if there is no room for the nodes. */
LLMQ__NOINLINE uint32_t llmq__knapsack_try(llmq__knapsack *k, uint32_t c, uint32_t count)
{
    uint32_t i, n = 0;
    double limit = llmq__knapsack_gap(k), least = 1e-9 * limit;
    llmq__sum *swap;
    if (k->cut < limit) limit = k->cut;
    for (i = k->first[c]; i < k->first[c + 1]; i++) {
        if (i != k->base[c] && !(k->item[i].r < limit)) continue;
        n = llmq__knapsack_merge(k, c, i, k->list[0], count, k->list[1], n, limit, k->list[2]);
        if (n == LLMQ__NONE) { /* begin again with half of it */
            k->cut = limit = limit > least ? 0.5 * limit : 0.0;
            n = 0;
            i = k->first[c] - 1;
            continue;
        }
        swap = k->list[1], k->list[1] = k->list[2], k->list[2] = swap;
    }
    swap = k->list[0], k->list[0] = k->list[1], k->list[1] = swap;
    for (i = 0; i < n; i++) {
        llmq__sum *s = &k->list[0][i];
        if (s->option != LLMQ__NONE) {
            if (k->nodes == LLMQ__STATE_NODES * k->capacity) return 0;
            k->node[k->nodes].parent = s->node, k->node[k->nodes].number = c, k->node[k->nodes].option = s->option;
            s->node = k->nodes++;
            s->option = LLMQ__NONE;
        }
        if (s->cost <= k->budget && s->loss < k->best_loss) k->best_loss = s->loss, k->best_node = s->node;
    }
    return n;
}

/* All of it after the price. Returns the bound that is proven. */
LLMQ__NOINLINE double llmq__knapsack_solve(llmq__knapsack *k, llmq_allocation *result)
{
    uint32_t i, n = 1;
    double proven;
    llmq__knapsack_fill(k);
    llmq__knapsack_order(k);
    k->nodes = 0;
    k->best_node = LLMQ__NONE;
    k->cut = 1e308;
    k->list[0][0].cost = k->budget - k->slack, k->list[0][0].loss = k->base_loss, k->list[0][0].r = 0.0;
    k->list[0][0].node = k->list[0][0].option = LLMQ__NONE;
    for (i = 0; i < k->classes && k->key[k->order[i]] < llmq__knapsack_gap(k); i++) {
        uint32_t before = n;
        n = llmq__knapsack_try(k, k->order[i], before);
        if (n == 0) break;
        if (n > result->states) result->states = n;
    }
    result->tried = i;
    proven = llmq__knapsack_gap(k);
    if (k->cut < proven) proven = k->cut;
    if (n == 0 && k->key[k->order[i]] < proven) proven = k->key[k->order[i]]; /* from here on nothing was tried */
    if (k->best_node != LLMQ__NONE)
        for (i = 0; i < k->classes; i++) k->best[i] = k->base[i];
    for (i = k->best_node; i != LLMQ__NONE; i = k->node[i].parent) k->best[k->node[i].number] = k->node[i].option;
    return k->bound + proven;
}

LLMQ_API llmq_status llmq_allocate(const llmq_option *options, const uint32_t *first, uint32_t layers, const uint32_t *tie, uint64_t budget, uint32_t *choice,
                                   llmq_allocation *result, void *work, size_t work_size, llmq_error *error)
{
    llmq__knapsack k;
    llmq_status status;
    uint32_t l;
    size_t need;
    double loss;
    if (!options || !first || layers == 0 || layers > 0x00ffffffu || !choice || !result || !work || (uintptr_t)work % sizeof(double) != 0) return LLMQ_E_ARG;
    if ((status = llmq__options_check(options, first, layers, error)) != LLMQ_OK) return status;
    need = llmq_allocate_work_size(layers, first[layers], 1);
    if (need == 0 || work_size < need) return LLMQ_E_WORKSPACE;
    llmq__knapsack_place(&k, layers, first[layers], work, work_size);
    if ((status = llmq__knapsack_classes(&k, options, first, layers, tie)) != LLMQ_OK) return status;
    k.budget = budget;
    if ((status = llmq__knapsack_price(&k)) != LLMQ_OK) {
        result->cost = llmq__knapsack_at(&k, llmq__exp2_64(900));
        return status;
    }
    LLMQ_MEMSET(result, 0, sizeof *result);
    result->bound = llmq__knapsack_solve(&k, result);
    for (l = 0; l < layers; l++) {
        uint32_t c = k.class_of[l];
        choice[l] = k.best[c] - k.first[c];
        result->cost += options[first[l] + choice[l]].cost;
        result->loss += options[first[l] + choice[l]].loss;
    }
    loss = result->loss;
    if (result->bound > loss || loss - result->bound < 1e-12 * (loss < 0.0 ? -loss : loss)) result->bound = loss;
    return LLMQ_OK;
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- The end: vector kernels, and macros undone -------------------------------------------------------------------- */

#if LLMQ_SIMD
#define LLMQ__SIMD_PART 1 /* the other tables: llmq__simd_at, llmq__simd_features */
#include LLMQ_SIMD_PATH
#undef LLMQ__SIMD_PART
#endif

#ifdef __cplusplus
}
#endif
#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__))
#pragma GCC diagnostic pop
#endif
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC pop_options
#elif defined(__ARM_FEATURE_MVE) && defined(__clang__)
#pragma clang attribute pop
#endif
#undef LLMQ__NO_CONTRACT
#undef LLMQ__NOINLINE
#undef LLMQ__NULL
#undef LLMQ__HAS
#undef LLMQ__ANY_TRELLIS
#undef LLMQ__ANY_ZERO_POINTS
#undef LLMQ__MAX_BASE
#undef LLMQ__LANES
#undef LLMQ__CHUNK
#undef LLMQ__TEST_ROWS
#undef LLMQ__TEST_FLOATS
#undef LLMQ__UNIT
#undef LLMQ__LDLQ_BLOCKS
#undef LLMQ__MAX_LAG
#undef LLMQ__TRELLIS_UNIT
#undef LLMQ__TAPS_T1
#undef LLMQ__TAPS_T2
#undef LLMQ__TAPS_T3
#undef LLMQ__TAPS_T4
#undef LLMQ__TAPS_T2S
#undef LLMQ__TAPS_T3S
#undef LLMQ__TAPS_T4S
#undef LLMQ__UNIT_T1
#undef LLMQ__UNIT_T2
#undef LLMQ__UNIT_T3
#undef LLMQ__UNIT_T4
#undef LLMQ__UNIT_T2S
#undef LLMQ__UNIT_T3S
#undef LLMQ__UNIT_T4S
#undef LLMQ__ID_F16
#undef LLMQ__BATCH
#undef LLMQ__FAR
#undef LLMQ__LINE
#undef LLMQ__TOKENS
#undef LLMQ__PANEL
#undef LLMQ__PANELS
#undef LLMQ__PIVOTS
#undef LLMQ__LDLQ_ROWS
#undef LLMQ__LDLQ_STRIP
#undef LLMQ__STATES
#undef LLMQ__STATE_NODES
#undef LLMQ__MAX_STATES
#undef LLMQ__NONE
#undef LLMQ__ALIGN
#undef LLMQ__MAJOR
#undef LLMQ__UNIT_G2
#undef LLMQ__UNIT_G3
#undef LLMQ__UNIT_G4
#undef LLMQ__UNIT_G5
#undef LLMQ__UNIT_G6
#undef LLMQ__UNIT_G8
#undef LLMQ__UNIT_V2N16
#undef LLMQ__UNIT_V2N64
#undef LLMQ__UNIT_V2N256
#undef LLMQ__UNIT_V3N64
#undef LLMQ__UNIT_V3N512
#undef LLMQ__UNIT_V4N256
#endif /* LLMQ_IMPLEMENTATION */

/* ---- Licence --------------------------------------------------------------------------------------------------------

   This software is available under two licences; choose the one you like.

   A. MIT. Copyright (c) 2026 the llmq authors.
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
   documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
   rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
   persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and
   this permission notice shall be included in all copies or substantial portions of the Software.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
   WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
   COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
   OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   B. Public domain (www.unlicense.org). This is free and unencumbered software released into the public domain. Anyone is
   free to copy, modify, publish, use, compile, sell, or distribute this software, either in source code form or as a
   compiled binary, for any purpose, commercial or non-commercial, and by any means. */
