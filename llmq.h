/* llmq.h - v0.11.0 - quantized weights of language models, 1.5 to 8 bits - public domain or MIT

   DO THIS ONCE, in one C or C++ file of the project, before the include:
       #define LLMQ_IMPLEMENTATION
       #include "llmq.h"
   Every other file includes llmq.h without the define. There is nothing else to build or to link.
   With llmq_simd.h in the same directory the implementation finds it. The same program then runs on
   the vector unit, with the same results.

   A WHOLE PROGRAM (examples/hello.c; quantizes a matrix to about 4 bits per weight and multiplies)

       #define LLMQ_IMPLEMENTATION
       #include "llmq.h"
       #include <stdio.h>
       #include <stdlib.h>

       enum { ROWS = 8, COLS = 256 };
       static float w[ROWS][COLS], x[COLS], y[ROWS];       // y = W x; W is row-major, as everywhere

       static void check(llmq_status status)               // status of a call: stop unless OK
       {
           if (status == LLMQ_OK) return;
           fprintf(stderr, "%s\n", llmq_status_text(status));
           exit(1);
       }

       int main(void)
       {
           llmq_transform rotate = llmq_transform_hadamard(1, 0);  // random signs of seed 1
           llmq_format g4;
           llmq_tensor t;
           llmq_activation a;
           size_t size;
           void *rows, *work, *mem;
           int r, c;
           for (r = 0; r < ROWS; r++)
               for (c = 0; c < COLS; c++)
                   w[r][c] = (float)((r * COLS + c) * 7919L % 2003 - 1001) / 1001;
           for (c = 0; c < COLS; c++) x[c] = (float)(c * 104729L % 997 - 498) / 498;

           check(llmq_format_find(&g4, "g4", 128));        // 4 bits, one scale for 128 weights
           size = llmq_tensor_size(&g4, ROWS, COLS);
           rows = malloc(size);                            // the quantized rows, all that stays
           check(llmq_tensor_init(&t, &g4, &rotate, ROWS, COLS, rows, size));
           size = llmq_encode_work_size(&t);
           work = malloc(size);                            // memory for this call only
           check(llmq_encode(&t, rows, 0, ROWS, w[0], COLS, NULL, work, size, NULL));

           size = llmq_activation_size(&t, 8);
           mem = malloc(size);                             // x, rotated and rounded to 8 bits
           check(llmq_activation_prepare(&a, &t, 8, x, mem, size));
           check(llmq_matvec(&t, &a, 0, ROWS, y));         // threads may share the rows

           printf("%d bytes of floats, %d quantized\n", (int)sizeof w, (int)(ROWS * t.row_size));
           for (r = 0; r < ROWS; r++) {
               double exact = 0;
               for (c = 0; c < COLS; c++) exact += (double)w[r][c] * (double)x[c];
               printf("exact %8.3f, quantized %8.3f\n", exact, (double)y[r]);
           }
           free(rows), free(work), free(mem);
           return 0;
       }

   FROM A FILE (bytes[size] is a .llmq file, read or mapped; the other names as above)

       check(llmq_bundle_open(&bundle, bytes, size, NULL));
       check(llmq_bundle_tensor(&bundle, "name", &t));     // t.cols elements of x, t.rows of y
       mem = malloc(llmq_activation_size(&t, 8));          // 32 in place of 8 for f32, f16, bf16
       check(llmq_activation_prepare(&a, &t, 8, x, mem, llmq_activation_size(&t, 8)));
       check(llmq_matvec(&t, &a, 0, t.rows, y));

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
       llmq stores the weight matrices of a language model in few bits and multiplies by them as
       they are stored.
       The method is HIGGS [R1]. A signed Hadamard matrix H rotates each row of weights. The
       elements of the rotated row look like N(0,1), whatever they looked like before. They are cut
       into groups with one scale each. Within a group, every p consecutive elements are replaced by
       the nearest of n points of a grid that is optimal for N(0,1)^p. The rotation is orthogonal,
       so y = W x = (W H)(H x): the activation is rotated at run time (n log n), and the weights are
       never rotated back. Products run on the codes: an int8 activation times an int8 coordinate,
       summed exactly.
       In trellis formats the point a code selects also depends on the codes above it in the same
       column. This lowers the error from 3 or 4 dB above the limit of information theory
       to about 1 dB [R18]. Decoding takes a few XORs of whole words and the same table lookup.
       With a calibration text the same formats become better. Error feedback corrects each weight
       for the errors of the weights before it [R6]. Inputs with outliers fit in 4 bits once their
       channels are smoothed, permuted and rotated [R13]. The choice of a format for each layer
       under a budget of bytes is solved exactly, from the loss that an error in each layer causes
       [R1].

   WHAT IT IS NOT
       The header reads no foreign file formats (examples/ does). It runs no model (examples/lm.h
       does). It starts no threads: callers split the rows among theirs. It allocates no memory.

   GLOSSARY (in the order in which the sections need the words)
       workspace           memory that the caller lends to one call; a size function tells its bytes
       kernel              inner loop; a kernel table holds the kernels of one instruction set
       transform           list of steps that changes the basis of a layer's inputs
       step                Hadamard transform, smoothing, permutation or rotation
       basis               coordinates of inputs and rows: as they come, or transformed
       element             entry of a matrix or a vector; a run of p consecutive ones shares a code
       point               p int8 coordinates that stand for p elements, up to the scale
       grid                sorted list of the n points of a format
       code                index of a point, b bits
       group               consecutive columns of a row with a common scale: 32 to 1024, or all
       scale               bfloat16 factor of a group: element = scale * coordinate
       zero point          byte of a group of u4 and u8: element = scale * (code - zero point)
       record              bytes of one encoded row: scales, codes, zero points
       unit                128 codes that are stored together (trellis: 256), as planes
       plane               one field of bits, 8, 4, 2 or 1 wide, of all codes of a unit
       trellis             format in which points depend on earlier codes: a finite state machine
       parity              XOR of the lowest bits of some codes of a column; part of a point's index
       tap                 bit l of a mask: the code at lag l, l rows above, takes part in a parity
       memory of a trellis the largest lag of its taps
       state               lowest bits of the codes above a row, as many as the memory
       tail-biting block   rows of a trellis of which the first continues from the last
       activation          input vector, transformed, in float or in codes
       Hessian             H = sum of x x^T over the inputs x of a layer
       LDLQ                error feedback: a column is corrected for errors of the columns before it
       residual            in LDLQ: the element w that is left to encode, then its error w - w'
       Pareto list         pairs of cost and loss; no pair is better than another in both

   LIMITS
       cols      1 ... 2^24
       rows      0 ... 2^32 - 1
       group     32 ... 1024 in steps of 32, or the whole row
       grid      p <= 8, n <= 65536
       blocks    Hadamard blocks <= 32768 (default 1024)
       bundle    the total size fits size_t

   COST, workspace in bytes, time in multiply-adds per weight or element
       Operation   Size function            Workspace                    Time
       transform   llmq_transform_work_size 0 for powers of two          log2(block); Paley block
                                                                         m 2^k (section 3): k + m
       activation  llmq_activation_size     4 cols + 1.03 cols of codes  the transform, about 3 more
       product     -                        0                            1, and decoding of a code
       encoder     llmq_encode_work_size    about 4 cols + 4 n p         a nearest point for each
                                            + 2 group                    trial scale
         trellis   the same                 4 cols + 4 group for each of about 5 (states + 8 points)
                                            128 to 255 rows; and 30 KB   for each of four rounds
                                            (256 states: 100 KB)
       Hessian     llmq_hessian_size        2 cols^2 + 2 cols            cols / 2 per token and
                                                                         column
       LDLQ        llmq_feedback_size       2 cols^2 + 8 cols            cols^3 / 6 once, in all
                   llmq_feedback_work_size  200 cols for 16 rows         cols, and the encoder's
         trellis   the same                 12 cols a row, for 512 rows  cols, 3 times the encoder's
       sample      llmq_sample_size         4 cols for each input kept   2
       fit of a    llmq_fit_work_size       16 B^2                       256 (B^3 + rows B cols);
       rotation                                                          to apply it: B
       allocation  llmq_allocate_work_size  15 MB, or less               milliseconds
       Stack: no function recurs. No frame is over 256 bytes with gcc at -O2 and -Os. Other frames
       on x86-64 are larger: gcc 12 at -O3 up to 2000 bytes, clang 14 at -O2 up to 350, at -O3 up to
       360, at -Os up to 300. Vector kernels of desktop processors take up to 10 KB.
       Code: `make size` prints the bytes of each half.

   ERRORS
       A function that can fail returns llmq_status: LLMQ_OK = 0, or a negative code.
       On failure outputs keep their contents, unless the function says otherwise.
       Bad data gives a code, never an assertion.
       Pointers must be valid. A NULL that is not allowed is LLMQ_E_ARG.
       Every call is reentrant: there is no state outside the arguments.

   THE SAME BITS EVERYWHERE
       Codes, tensors, activations and products are the same bits on every machine. Every float
       operation below is a single IEEE-754 binary32 +, -, * or / in a stated order and never fused.
       Integer sums are exact. Splitting the rows of a call changes nothing, and neither does the
       kernel table (section 2).
       Exceptions are NaN payloads, and environments that change float arithmetic. #error refuses
       environments that a macro reveals, unless LLMQ_ALLOW_INEXACT is 1: -ffast-math, its parts
       that reorder sums, divide by reciprocals, or leave out NaN and signed zeros, and MSVC's
       /fp:fast.
       llmq_selftest() detects them where no macro does. It also detects x87 (32-bit x86 without
       -msse2 -mfpmath=sse), clang's -ffp-contract=fast, flush-to-zero, other rounding modes, and
       kernels that a compiler got wrong. It cannot see one: clang for 32-bit Arm with NEON
       vectorizes scalar code, and these vectors flush subnormals. -fno-slp-vectorize prevents it.

   TRUST
       Only llmq_bundle_open sees untrusted bytes. It checks once everything that memory safety
       depends on. After it every payload is safe to use, whatever bits it holds: each code indexes
       a full table; a scale may be NaN, and then the result is NaN too.
       Views, workspaces and lengths that the program passes are trusted.

   REFERENCES
       [R1] Malinovskii, Panferov, Ilin, Guo, Richtarik, Alistarh: Pushing the Limits of Large
            Language Model Quantization via the Linearity Theorem, arXiv 2411.17525 (HIGGS).
       [R2] Lloyd: Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982).
       [R3] Paley: On orthogonal matrices, J. Math. Phys. 12 (1933).
       [R4] Zador: Asymptotic quantization error of continuous signals, IEEE Trans. Inf. Theory 28
            (1982).
       [R5] Marsaglia, Bray: A convenient method for generating normal variables, SIAM Review 6
            (1964).
       [R6] Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, arXiv 2210.17323.
       [R7] Chee, Cai, Kuleshov, De Sa: QuIP, arXiv 2307.13304 (LDLQ; its equivalence to GPTQ).
       [R8] Zheng et al.: First-Order Error Matters (FOEM), arXiv 2507.11017.
       [R9] Guan, Huang, Su, Huang, Wong, Yu: APTQ: Attention-aware Post-Training Mixed-Precision
            Quantization for Large Language Models, arXiv 2402.14866.
      [R10] Hutchinson: A stochastic estimator of the trace of the influence matrix for Laplacian
            smoothing splines, Commun. Stat. Simul. Comput. 19 (1990).
      [R11] Meyer, Musco, Musco, Woodruff: Hutch++: Optimal Stochastic Trace Estimation,
            arXiv 2010.09649.
      [R12] Xiao et al.: SmoothQuant, arXiv 2211.10438.
      [R13] Lin et al.: DuQuant: Distributing Outliers via Dual Transformation Makes Stronger
            Quantized LLMs, arXiv 2406.01721.
      [R14] Stewart: The efficient generation of random orthogonal matrices with an application to
            condition estimators, SIAM J. Numer. Anal. 17 (1980).
      [R15] Yi et al.: Rotated Runtime Smooth: Training-Free Activation Smoother for accurate INT4
            inference, arXiv 2409.20361.
      [R16] Kellerer, Pferschy, Pisinger: Knapsack Problems, chapter 11 (multiple-choice), Springer
            2004.
      [R17] Pisinger: A minimal algorithm for the multiple-choice knapsack problem, Eur. J. Oper.
            Res. 83 (1995).
      [R18] Marcellin, Fischer: Trellis coded quantization of memoryless and Gauss-Markov sources,
            IEEE Trans. Commun. 38 (1990).
      [R19] Tseng, Sun, Hou, De Sa: QTIP: Quantization with Trellises and Incoherence Processing,
            arXiv 2406.11235.
      [R20] Viterbi: Error bounds for convolutional codes and an asymptotically optimum decoding
            algorithm, IEEE Trans. Inf. Theory 13 (1967).
      [R21] Chen, Wiesel, Eldar, Hero: Shrinkage algorithms for MMSE covariance estimation, IEEE
            Trans. Signal Process. 58 (2010).

   RELEASES
       0.11.0 products of four rows end their runs together; five formats are built in no longer.
       0.10.0 any number of columns at full speed; llmq_writer_rows; raw rows in register blocks.
       0.9.0  llmq_writer: a bundle is written a payload at a time.
       0.8.0  the second edition: sections in order, names of the field, comments as contracts.
       0.7.0  faults that users and attackers found; files that do not fit together do not link;
              the kernels are tested by known answers.
       0.6.1  faster products of trellises.
       0.6.0  for microcontrollers: LLMQ_FORMATS keeps single formats, LLMQ_MAX_STEPS may be 0; the
              example that runs there.
       0.5.0  trellis formats t1 t2 t3 t4, and stronger t2s t3s t4s.
       0.4.0  outliers: fitted transforms, activations of 2 to 8 bits with zero points; formats
              u4 u6 u8; allocation of formats.
       0.3.0  calibration: Hessians of inputs, attention-aware sensitivities, error feedback;
              bundles get the best kernels too.
       0.2.0  vector kernels (llmq_simd.h); rows laid out for them, so grid formats have new ids.
       0.1.0  first: Hadamard, grids, bundle.

   The licence is at the end of the file. */

#ifndef LLMQ_H
#define LLMQ_H

#define LLMQ_VERSION_MAJOR 0
#define LLMQ_VERSION_MINOR 11
#define LLMQ_VERSION_PATCH 0

/* ---- 0. Configuration ---------------------------------------------------------------------------

   Define these before the include. Each is 0 or 1, unless its line says otherwise. The defaults
   suit a desktop program.

   LLMQ_IMPLEMENTATION   defined in exactly one file, which then contains the code
   LLMQ_STATIC           1: all functions are static, for use inside one file
   LLMQ_NO_ENCODER       1: leaves out sections 11 to 18; the run-time half stays
   LLMQ_NO_CALIBRATION   1: leaves out sections 15 to 18 only, for firmware that encodes a KV cache
   LLMQ_NO_BUNDLE        1: leaves out sections 10 and 14
   LLMQ_NO_STRINGS       1: leaves out the texts of llmq_status_text
   LLMQ_NO_ACTIVATION_OPTIONS
                         1: leaves out llmq_activations_prepare and the functions for its options.
                         Activations then come from llmq_activation_prepare and are symmetric
   LLMQ_FORMATS          built-in formats to keep: constants LLMQ_WITH_... below, or-ed together;
                         default LLMQ_WITH_ALL. A format left out does not exist: llmq_format_find
                         returns LLMQ_E_NOT_FOUND, llmq_format_at skips it, and llmq_bundle_open
                         returns LLMQ_E_UNSUPPORTED for a bundle that has it. Code goes with the
                         last format that needs it. Custom grids always work
   LLMQ_MAX_STEPS        largest number of steps in a transform, 0 ... 8, default 8. A step takes
                         8 bytes in every tensor view. 0 means no transforms, and needs
                         LLMQ_NO_CALIBRATION. Section 3, the steps of section 4 and
                         llmq_transform_store are then not declared, llmq_transform is a count that
                         must be 0, llmq_transform_apply is the identity, and llmq_bundle_open
                         returns LLMQ_E_UNSUPPORTED for a bundle with steps
   LLMQ_ALLOW_INEXACT    1: compiles under -ffast-math and the like; results then differ between
                         machines
   LLMQ_MEMCPY, LLMQ_MEMSET   both or neither: replacements; <string.h> is then not included.
                         Compilers still turn struct copies and loops into calls of memcpy and
                         memset. Where no library has these functions, the program defines them
                         (without volatile they would become calls of themselves):
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
   LLMQ_API              text before each public function; default extern, or static with
                         LLMQ_STATIC. For a shared library that hides its symbols:
                         __attribute__((visibility("default"))), or __declspec(dllexport)
   LLMQ_SIMD             1: includes llmq_simd.h, the fast kernels (section 2). Default: 1 if the
                         file is in the same directory, the compiler can tell (__has_include) and it
                         has the intrinsics. llmq_simd.h describes its own macros
   LLMQ_SIMD_PATH        path of that file, with quotes; default "llmq_simd.h"
   LLMQ_KERNELS          expression for the kernel table of a new tensor; default
                         llmq_kernels_best(). 0: always the scalar table
   LLMQ_CPU_FEATURES     expression for the instruction sets that may be used, bits LLMQ_CPU_... .
                         Default: on x86 the answer of the processor and the operating system,
                         elsewhere the sets that the compiler was told to use

   Sizes with LLMQ_SIMD 0 (`make size` checks them): bytes on a Cortex-M4 at -Os, gcc 12.2
     all              everything                                                               56188
     no-calibration   LLMQ_NO_CALIBRATION 1                                                    28420
     runtime          LLMQ_NO_ENCODER 1                                                        16634
     no-bundle        runtime, LLMQ_NO_BUNDLE 1                                                14106
     no-strings       runtime, LLMQ_NO_STRINGS 1                                               16000
     no-options       runtime, LLMQ_NO_ACTIVATION_OPTIONS 1                                    14814
     no-steps         runtime, LLMQ_MAX_STEPS 0                                                13622
     no-trellises     runtime, LLMQ_FORMATS (LLMQ_WITH_ALL & ~LLMQ_WITH_TRELLISES)             15382
     scalar-grids     runtime, LLMQ_FORMATS (LLMQ_WITH_RAW | LLMQ_WITH_GRIDS)                  14464
     g4               runtime, all of no-bundle ... no-steps, and LLMQ_FORMATS LLMQ_WITH_G4     5590
     t3               the same with LLMQ_WITH_T3                                                6286
     g4-bundle        g4 with the reader of bundles and LLMQ_WITH_F16                           8394
     g4-cache         g4 with LLMQ_NO_CALIBRATION 1 in place of LLMQ_NO_ENCODER 1               9898
   These sizes include public functions that a program does not call. A linker that drops them
   (-ffunction-sections and --gc-sections) leaves less. */
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

/* For LLMQ_FORMATS: the built-in formats of section 5, and sets of them, as in
   #define LLMQ_FORMATS (LLMQ_WITH_G4 | LLMQ_WITH_RAW) */
#define LLMQ_WITH_F32           0x00001
#define LLMQ_WITH_F16           0x00002
#define LLMQ_WITH_BF16          0x00004
#define LLMQ_WITH_G2            0x00008
#define LLMQ_WITH_G3            0x00010
#define LLMQ_WITH_G4            0x00020
#define LLMQ_WITH_G5            0x00040
#define LLMQ_WITH_G6            0x00080
#define LLMQ_WITH_G8            0x00100
#define LLMQ_WITH_V2N16         0x00200
#define LLMQ_WITH_V2N64         0x00400
#define LLMQ_WITH_U4            0x00800
#define LLMQ_WITH_U8            0x01000
#define LLMQ_WITH_T1            0x02000
#define LLMQ_WITH_T2            0x04000
#define LLMQ_WITH_T3            0x08000
#define LLMQ_WITH_T4            0x10000
#define LLMQ_WITH_T2S           0x20000
#define LLMQ_WITH_T3S           0x40000
#define LLMQ_WITH_T4S           0x80000
#define LLMQ_WITH_RAW           0x00007  /* f32 f16 bf16 */
#define LLMQ_WITH_GRIDS         0x001f8  /* g2 ... g8 */
#define LLMQ_WITH_VECTOR_GRIDS  0x00600  /* v2n16 v2n64 */
#define LLMQ_WITH_ZERO_POINTS   0x01800  /* u4 u8 */
#define LLMQ_WITH_TRELLISES     0xfe000  /* t1 ... t4s */
#define LLMQ_WITH_ALL           0xfffff
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
/* x86 intrinsics come with headers that only a hosted compiler has. */
#if defined(__has_include) && !defined(__TINYC__) && (__STDC_HOSTED__ || !(defined(__x86_64__) || defined(_M_X64)))
#if __has_include(LLMQ_SIMD_PATH)
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

/* All files of a program must agree on the layout of the structs. LLMQ_MAX_STEPS changes struct
   llmq_transform, and with it tensors, activations and every struct that contains one. The other
   macros change no struct, but a version may change any.
   So each function whose declaration names a struct of this header gets another name for the
   linker, which ends in the version and in LLMQ_MAX_STEPS. A file with other structs cannot call a
   function that reads or fills them: it does not link, and the message of the linker says why.
   In the source, functions keep the names that are written there. A program that looks up symbols
   (dlsym, ctypes) finds the full names, such as llmq_matvec_LLMQ_VERSION_0_11_LLMQ_MAX_STEPS_8.
   Functions that take only plain integers, floats and bytes have no such ending.
   LLMQ_STEPS_NUMERAL is LLMQ_MAX_STEPS, whatever expression it is, as the numeral that ## needs. */
#if LLMQ_MAX_STEPS == 0
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
#define llmq_writer_begin LLMQ_NAMED(llmq_writer_begin)
#define llmq_writer_put LLMQ_NAMED(llmq_writer_put)
#define llmq_writer_rows LLMQ_NAMED(llmq_writer_rows)
#define llmq_writer_end LLMQ_NAMED(llmq_writer_end)
#define llmq_kernels_at LLMQ_NAMED(llmq_kernels_at)
#define llmq_kernels_best LLMQ_NAMED(llmq_kernels_best)
#define llmq_kernels_test LLMQ_NAMED(llmq_kernels_test)
/* MSVC's linker also compares files that call none of these functions. */
#if defined(_MSC_VER)
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

/* ---- 1. Utilities: status codes, half floats, random numbers, memory ------------------------- */

typedef int llmq_status;
#define LLMQ_OK              0
#define LLMQ_E_ARG         (-1)  /* an argument is out of range, NULL, misaligned, or does not fit another */
#define LLMQ_E_LIMIT       (-2)  /* a size is over a limit of this library or does not fit size_t */
#define LLMQ_E_WORKSPACE   (-3)  /* the memory is smaller than its size function says */
#define LLMQ_E_NOT_FINITE  (-4)  /* an input or a result is NaN or infinite; llmq_error names row and column */
#define LLMQ_E_MISMATCH    (-5)  /* tensor and activation differ in transform, or in kinds that do not multiply */
#define LLMQ_E_FULL        (-6)  /* the memory has no space for another row */
#define LLMQ_E_STOPPED     (-7)  /* the caller's callback asked to stop */
#define LLMQ_E_NOT_FOUND   (-8)  /* no entry, or no format, has that name and kind */
#define LLMQ_E_TRUNCATED   (-9)  /* the bytes end before the bundle does */
#define LLMQ_E_MAGIC      (-10)  /* the bytes are not a bundle */
#define LLMQ_E_VERSION    (-11)  /* a bundle of a major version that this code does not know */
#define LLMQ_E_CHECKSUM   (-12)  /* the bytes were changed after they were written */
#define LLMQ_E_CORRUPT    (-13)  /* the bundle contradicts itself; llmq_error gives the offset */
#define LLMQ_E_UNSUPPORTED (-14) /* the bundle needs a kind, format or step that this code does not know */
#define LLMQ_E_INEXACT    (-15)  /* this program's arithmetic breaks THE SAME BITS EVERYWHERE (above) */
#define LLMQ_E_INDEFINITE (-16)  /* a matrix that must be positive definite is not; llmq_error names the column */

/* The place of an error. A function writes it only with the statuses that its comment names, and
   leaves it alone otherwise. Members that a status does not name are unspecified.
   status:   the status that the function returns.
   row, col: of the value that was refused, with LLMQ_E_NOT_FINITE and where a function says so.
   offset:   in bytes from the start of the bundle, from calls that read one. */
typedef struct llmq_error {
    llmq_status status;
    uint32_t row, col;
    size_t offset;
} llmq_error;

/* A short English text for a status.
   Returns "unknown status" for other values, and "" with LLMQ_NO_STRINGS. */
LLMQ_API const char *llmq_status_text(llmq_status status);

/* Conversions between the bits of binary16 or bfloat16 and binary32.
   Widening is exact.
   Narrowing rounds to nearest, ties to even. Overflow gives infinity.
   Subnormals and signed zeros are kept. NaN stays NaN (quiet, its upper payload is kept). */
LLMQ_API float    llmq_f16_to_f32(uint16_t bits);
LLMQ_API uint16_t llmq_f32_to_f16(float x);
LLMQ_API float    llmq_bf16_to_f32(uint16_t bits);
LLMQ_API uint16_t llmq_f32_to_bf16(float x);

/* 32 random bits, a function of seed and counter: the same everywhere and in any order, no state.
       mix(h):  h = (h ^ h >> 16) * 85ebca6b;  h = (h ^ h >> 13) * c2b2ae35;  h ^ h >> 16
       random = mix(mix(seed + 9e3779b9) ^ counter * 9e3779b1)
   Constants are hexadecimal, arithmetic is modulo 2^32. */
LLMQ_API uint32_t llmq_random(uint32_t seed, uint32_t counter);

/* ---- 2. Kernels ---------------------------------------------------------------------------------

   The inner loops: one constant kernel table for each instruction set. Table 0 is scalar, and it is
   the specification. llmq_simd.h adds the tables below, each under a macro of its own. All tables
   give the same bits: the choice of a table is a choice of speed.
   There is no hidden state. llmq_tensor_init writes the best table for this processor into the
   tensor, where the caller can read its name or replace it. Activations and the encoder use the
   table of the tensor.

   name        features, LLMQ_CPU_...   name      features    name  features
   ssse3       SSSE3                    neon      NEON        dsp   DSP (Cortex-M4 and others with
   avx2        AVX2 (with FMA)          neondot   + DOTPROD         SMLAD)
   avx2vnni    + AVXVNNI                neoni8mm  + I8MM      mve   MVE (Helium, integer and float)
   avx512vnni  + AVX512 (F BW DQ VL                           wasm  WASM (SIMD128)
               and VNNI)                                      rvv   RVV (V 1.0, any VLEN)
   avx512vbmi  + VBMI

   Kernels do not check arguments: they are for this library, for tests and for measurements. The
   struct is the same in all configurations. Kernels that a configuration leaves out are NULL:
       signs, butterflies, paley   with LLMQ_MAX_STEPS 0
       nearest                     with LLMQ_NO_ENCODER
       viterbi                     with LLMQ_NO_ENCODER, or without trellises in LLMQ_FORMATS
       add_products                with LLMQ_NO_CALIBRATION */
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
    uint32_t features;  /* LLMQ_CPU_... bits, all of which the table needs */
    /* v[j] <- -v[j] for j < n where bit j % 32 of llmq_random(seed, j / 32) is set */
    void (*signs)(float *v, uint32_t n, uint32_t seed);
    /* Butterflies at distance 1, 2, 4 ... over n = 2^k elements, then x[j] <- x[j] * norm. */
    void (*butterflies)(float *x, uint32_t n, float norm);
    /* The Paley matrix of order m over the prime q, applied to x[i * run + j], i < m, for each
       j < lanes (section 3).
       lanes: 1 ... 16.
       squares: bit a is set if a is a non-zero square mod q.
       work: m * lanes floats. */
    void (*paley)(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares, float *work);
    /* q[n] = codes -levels ... levels of x[n], a group with one scale. Returns it (section 8). */
    float (*quantize)(const float *x, uint32_t n, float levels, int8_t *q);
    /* out[cols] = stored row r */
    void (*read_row)(const llmq_tensor *t, uint32_t r, float *out);
    /* out[cols] += weight[r] * stored row r, for r = r0 ... r1 - 1 in this order */
    void (*add_rows)(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out);
    /* Products of rows [r0, r1) with `count` int8 activations, as llmq_matmul. */
    void (*rows_i8)(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                    size_t y_stride);
    /* The same with float activations. */
    void (*rows_f32)(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1, float *y,
                     size_t y_stride);
    /* out[j] += scale * v[j] for j < n; for raw rows. */
    void (*add_scaled)(float *out, float scale, const float *v, uint32_t n);
    /* code[i], i < count: the index of the point nearest to run i, of p elements, of x * inverse.
       points: n points of p coordinates, sorted by the first. x: count * p elements. */
    void (*nearest)(const float *points, uint32_t n, uint32_t p, const float *x, float inverse, uint32_t count,
                    uint16_t *code);
    /* Viterbi's algorithm for `lanes` <= 16 sequences side by side, each of `steps` elements.
       x: x[step][16]; unused lanes hold 0.
       Cost of set s in a step: the least (x - point)^2 over the points s, s + sets, s + 2 sets, ...
       below set_size * sets.
       State q follows q / 2 at the cost of set parity[q], and q / 2 + states / 2 at the cost of set
       parity[q + states]. The first sum is kept, unless the second is less.
       choice: bit `lane` of choice[step][q] is set where the second is kept.
       sum: sum[state][16], before and after the call; in all 2 * states + sets rows of 16 floats.
       Sums and choices of unused lanes are unspecified. */
    void (*viterbi)(const float *points, const uint8_t *parity, uint32_t set_size, uint32_t sets, uint32_t states,
                    const float *x, uint32_t steps, uint32_t lanes, float *sum, uint16_t *choice);
    /* out[i][k] += a[i][t * a_step] * v[t * v_stride + k] for i < rows <= 8, k < n, and
       t = 0 ... count - 1 in this order.
       Every factor has 12 significant bits (section 15). So each product is exact, and may be fused
       with its addition.
       out: its rows overlap neither each other nor a and v. */
    void (*add_products)(float *const *out, const float *const *a, size_t a_step, const float *v, size_t v_stride,
                         uint32_t rows, uint32_t count, uint32_t n);
} llmq_kernels;

/* Table i, from slow to fast. Table 0 is scalar.
   Returns NULL after the last table that was compiled.
   The processor need not be able to run the table: compare its features with llmq_cpu_features. */
LLMQ_API const llmq_kernels *llmq_kernels_at(uint32_t i);

/* The instruction sets that this program may use: LLMQ_CPU_FEATURES, if it is defined.
   Default on x86: the sets that the processor has (CPUID) and whose registers the operating system
   saves (XGETBV). Elsewhere: the sets that the compiler was told to use.
   Table k can run if (k->features & ~llmq_cpu_features()) == 0.
   The answer does not change: ask once and keep it. */
LLMQ_API uint32_t llmq_cpu_features(void);

/* The last table that can run here. */
LLMQ_API const llmq_kernels *llmq_kernels_best(void);

/* ---- 3. Hadamard --------------------------------------------------------------------------------

   x <- H x in place. H is orthonormal and symmetric, so H H = I: applying it twice returns x, up to
   rounding.

   H is block-diagonal. It cuts any length n >= 1 into blocks. While r elements remain:
     if r <= max_block and r is an order, they are one block;
     else the next block is the largest power of two <= min(r, max_block).
   An order is m 2^k, where m is 1, or the smallest m = 4 odd 2^a <= 128 for which Paley's
   construction over a prime field exists [R3]: m - 1 is prime (type I), or m/2 - 1 is a prime
   = 1 mod 4 (type II). These m are 12 20 28 36 44 60 68 76 84 104 108 124.
   Examples: 172 = 128 + 44, 576 = 36 x 16 in one block, 11008 = 10 x 1024 + 768.
   The Paley matrix, with rows and columns from 0, chi the Legendre symbol, and indices mod q:
     type I   q = m - 1. Row 0 and column 0 are +. Entry (i, j) is chi(i - 1 + j - 1), and - where
              that sum is 0 mod q.
     type II  q = m/2 - 1. Blocks of 2 x 2, block (a, b): [[+ -][- -]] if a = b; else [[+ +][+ -]]
              times chi(a - b), which counts as + where a or b is 0.

   Order of operations (part of the specification). A block of m 2^k is m runs of 2^k elements.
     1. Each run gets butterflies (a + b, a - b) at distance 1, 2, 4 ... .
     2. For each position j of a run, the Paley matrix multiplies the m elements at j. Its terms are
        added in ascending order.
     3. All elements are multiplied by 1 / sqrt(m 2^k).
   A NaN or infinity makes its whole block NaN or infinite. */
#if LLMQ_MAX_STEPS > 0
#define LLMQ_DEFAULT_BLOCK 1024

/* Length of the first block of n elements.
   max_block: a power of two <= 32768; 0 for the default.
   Returns 0 if n is 0 or max_block is not allowed. */
LLMQ_API size_t llmq_hadamard_block(size_t n, size_t max_block);

/* Bytes of workspace for llmq_hadamard: at most 4 min(n, max_block).
   Returns 0 if all blocks are powers of two. */
LLMQ_API size_t llmq_hadamard_work_size(size_t n, size_t max_block);

/* x[n] <- H x.
   max_block: as above.
   work: llmq_hadamard_work_size bytes, aligned for float; NULL if that is 0.
   kernels: NULL for the scalar table; bits do not depend on it (section 2).
   Errors: LLMQ_E_ARG, LLMQ_E_WORKSPACE.
   Cost: k + m additions (k alone if m = 1) and one multiplication per element. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hadamard(float *x, size_t n, size_t max_block, void *work, size_t work_size,
                                                  const llmq_kernels *kernels);
#endif

/* ---- 4. Transform -------------------------------------------------------------------------------

   A list of steps, T = T_k ... T_1, that changes the basis of a layer's inputs. Tensors that read
   the same input share the transform (q, k and v; gate and up). Since y = W x = (W T^-1)(T x),
   activations are stored as T x, and a row w of W as T^-T w.
   kind                block      arg       data                 T x
   LLMQ_STEP_HADAMARD  max_block  seed      -                    x_j <- s_j x_j; then the Hadamard
                                                                 transform of section 3
   LLMQ_STEP_SMOOTH    0          cols      f32[cols], d > 0     x_j <- x_j / d_j; rows of W get
                                                                 w_j d_j (SmoothQuant [R12])
   LLMQ_STEP_PERMUTE   0          cols      u16[cols]            x_j <- x_(p_j)
   LLMQ_STEP_ROTATE    B          matrices  f32[matrices][B][B]  x_i <- sum_k r_ki x_k in each run
                                                                 of B, terms in order of k [R13]
   HADAMARD: s_j = -1 if bit j % 32 of llmq_random(seed, j / 32) is set, else 1. max_block is the
   largest block of section 3.
   PERMUTE:  p is a permutation of 0 ... cols - 1, cols <= 65536.
   ROTATE:   B is 2, 4 ... 256. There is one orthogonal matrix r for all runs, or one for each of
             the cols / B runs. Elements after the last whole run stay as they are.
   Random signs matter: without them a row with a mean of 1 sigma puts sqrt(n) sigma into one
   coefficient, and the quantization error of the row grows fivefold.
   The data of the steps are stored one after the other, in the order of the steps, little-endian,
   at any address. */
#if LLMQ_MAX_STEPS > 0
#define LLMQ_STEP_HADAMARD 1
#define LLMQ_STEP_SMOOTH   2
#define LLMQ_STEP_PERMUTE  3
#define LLMQ_STEP_ROTATE   4

typedef struct llmq_step {
    uint16_t kind;   /* LLMQ_STEP_... */
    uint16_t block;  /* HADAMARD: largest block, a power of two <= 32768; ROTATE: B; else 0 */
    uint32_t arg;    /* seed, cols or count of matrices, as the table says */
} llmq_step;

typedef struct llmq_transform {
    uint32_t count;  /* steps in use; 0: the identity */
    llmq_step step[LLMQ_MAX_STEPS];
    const uint8_t *data;  /* of the steps that have some; must outlive the transform and its copies */
} llmq_transform;

/* Bytes of a step's data.
   Returns 0 if it has none, or if its block or arg is impossible. */
LLMQ_API size_t llmq_step_data_size(const llmq_step *step);

/* Check steps and data for vectors of cols elements.
   Data: permutations are valid, each d is normal and positive, and rows of rotations have length 1
   (its square is within 1/16 of 1). Whether they are orthogonal is not checked.
   llmq_transform_apply does not check data. llmq_bundle_open has checked those in a bundle. A
   program that makes its own can check them here.
   Errors: LLMQ_E_ARG, LLMQ_E_LIMIT, LLMQ_E_UNSUPPORTED.
   Cost: linear in the data, and cols^2 / 1024 for a permutation. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_verify(const llmq_transform *t, uint32_t cols);

/* A transform of one LLMQ_STEP_HADAMARD.
   max_block: 0 for the default. The first use of the transform reports an impossible max_block. */
LLMQ_API llmq_transform llmq_transform_hadamard(uint32_t seed, uint32_t max_block);
#else
typedef struct llmq_transform {
    uint32_t count;  /* 0: the identity, the only one */
} llmq_transform;
#endif

/* Directions of llmq_transform_apply, for a vector v of cols elements. */
#define LLMQ_TO_ACTIVATION 0  /* T v:    an activation into the basis of the tensor */
#define LLMQ_TO_WEIGHT     1  /* T^-T v: a row of W into the basis of the tensor */
#define LLMQ_FROM_WEIGHT   2  /* T^T v:  a stored row, or a sum of stored rows, back into the basis of W */

/* Bytes of workspace for llmq_transform_apply with vectors of cols elements. */
LLMQ_API size_t llmq_transform_work_size(const llmq_transform *t, uint32_t cols);

/* v[cols] <- T v, T^-T v or T^T v, in place.
   t: NULL for the identity.
   direction: LLMQ_TO_ACTIVATION, LLMQ_TO_WEIGHT or LLMQ_FROM_WEIGHT.
   work: llmq_transform_work_size bytes, aligned for float; NULL if that is 0.
   kernels: NULL for the scalar table.
   Errors:
     LLMQ_E_ARG          an argument; steps that were made for other cols
     LLMQ_E_LIMIT        more than LLMQ_MAX_STEPS steps
     LLMQ_E_UNSUPPORTED  an unknown kind of step
     LLMQ_E_WORKSPACE
   Cost: llmq_transform_cost (section 17). */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_apply(const llmq_transform *t, int direction, float *v,
                                                         uint32_t cols, void *work, size_t work_size,
                                                         const llmq_kernels *kernels);

/* ---- 5. Tables: the built-in grids and trellises ------------------------------------------------

   A format says how a row of weights becomes bytes. Raw formats store the elements themselves.
   A grid format cuts a row into groups and gives each group a scale. Within a group, the index of
   a point of the grid replaces every p consecutive elements:
       element = scale * point coordinate
   The scale is a bfloat16. The point coordinates are int8. The points of a grid are sorted by
   their first coordinate. tests/gen/grids.py makes all built-in grids.

   name          id        bits a weight  p  n             relative MSE of the points on N(0,1)
   f32 f16 bf16  1 2 3     32 16 16       raw elements, no groups
   g2 g3 g4      24 25 26  2 3 4          1  2^b           0.1175 0.03455 0.00950   Lloyd-Max [R2]
   g5 g6         27 28     5 6            1  2^b           0.00252 0.00066    Lloyd-Max, int8 points
   g8            29        8              1  256           8.8e-5    uniform: -127 ... 127
   v2n16         40        2              2  16            0.1075    vector grids [R1]
   v2n64         41        3              2  64            0.0296
   u4 u8         50 52     4 8            1  16 256        0.01154 8.8e-5   uniform, a zero point
                                                           per group
   t1 t2 t3 t4   60 ... 63 1 2 3 4        1  16 16 32 64   trellises of 64 states
   t2s t3s t4s   64 65 66  2 3 4          1  32 64 128     trellises of 256 states
   custom        257       points of the caller: llmq_format_custom, llmq_grid_train
   id is the number that bundles store. These errors are published, or were computed elsewhere, for
   the points alone, at their best scale. Errors of this encoder are below, under TRELLISES.
   g8 and u8 have 255 distinct points: there is no point -128, and code 0 decodes as code 1. The
   encoder never writes code 0 of u8.
   tests/gen/trellis.c finds and trains the trellises. `make distortion` measures all formats.
   llmq_grid_train makes a grid for any other (p, n).

   WHY THESE. A format is built in if no other one of at most its bits is both more accurate and
   faster, with vectors. Grids can be appended row by row, as KV caches need; trellises cannot.
       g2 g3 g4     the fastest of their bits
       g5 g6        nothing else is between 4.25 and 8.25 bits: plans mix them with trellises
       g8           nearly exact: embeddings, classifiers, caches
       v2n16        as fast as g2, 0.4 dB better
       v2n64        0.7 dB better than g3; on NEON, RISC-V and microcontrollers faster than t3
       u4 u8        weights that others have rounded with zero points
       t1 ... t4    the most accurate of their bits at more than half of the speed of grids
       t2s ... t4s  0.2 to 0.4 dB better still, at three quarters of that speed
   Measured: int8 products with one activation, weights from the level-3 cache, Zen 3, AVX2, in
   turns, G weights/s:
       g2 16.9   g3 14.0   g4 17.1   g5  8.0   g6  6.2   g8 9.2   v2n16 16.7   v2n64 8.9
       t1 13.8   t2 13.0   t3 11.7   t4  8.9   t2s 11.3  t3s 9.1  t4s 6.6   u4 13.9   u8 7.2
   Ids 42 to 45 and 51 were v2n256, v3n64, v3n512, v4n256 and u6 until 0.10. They stay reserved:
   llmq_bundle_open refuses them (LLMQ_E_UNSUPPORTED). Grids of such points are custom ones now.
   Measured: 2.6 v2n256, 1.1 v3n64, 0.7 v3n512, 3.5 v4n256, 5.7 u6, in the same run.

   TRELLISES. A code of b bits selects a point together with the codes above it in the same column.
   The last k bits of the point's index are parities of the lowest bits of these codes:
       index = (code / 2) 2^k + sum of parity_i 2^i over i < k
       parity_i = XOR over the lags l in taps[i] of (code l rows above) mod 2
   A trellis has k = 1 to 4 parities, and 2^(b-1+k) points. Lag l = 0 is the code itself. So a code
   has 2^b points to select from, and the codes above it decide which ones. A finite state machine
   reads each column as a sequence, and the encoder chooses the nearest of all sequences (Viterbi's
   algorithm). This is trellis coded quantization [R18]. Its tables are trained, and have two to
   eight times as many points as a grid of the same bits.
   Measured: relative MSE of this encoder on N(0,1), with scales for groups of 1024, and dB above
   4^-b, the smallest MSE that b bits allow:
       t2  0.0750 0.8    t3  0.0199 1.0    t4  0.0051 1.2    t1     0.282  0.5
       t2s 0.0712 0.6    t3s 0.0185 0.7    t4s 0.0047 0.8
       g2  0.1172 2.7    g3  0.0340 3.4    g4  0.0092 3.7    v2n16 0.1072 2.3    v2n64 0.0294 2.7
   Published: QTIP, 2^16 states, 2 bits: 0.4 dB [R19].
   Rows form tail-biting blocks of LLMQ_TRELLIS_BLOCK = 128 rows. The last block has 128 to 255
   rows, or all rows if there are fewer. The row above the first row of a block is the last row of
   that block. So no row is special, and no bits are spent on initial states.

   Why trellises run down the columns. A row decodes with XORs of whole words of other records,
   byte for byte, for any vector width, with no shift between lanes. Groups, scales and row ranges
   work as they do with grids. A matrix of few columns is encoded no worse. Error feedback goes from
   column to column and is exact (section 16). Along a row, each lane of a vector would have to hold
   a segment of its own, and rows of a few hundred columns do not fill the lanes. The price is that
   rows are encoded one block at a time and cannot be appended one by one. KV caches use grids.

   ZERO POINTS. u4 and u8 are the usual round-to-nearest of 4 and 8 bits:
       element = scale * (code - zero point), where 0 is one of the values
   They serve for comparison, and for weights that other programs have rounded in this way. The
   grids above are better (0.0095 against 0.0115) and need no zero points.
   The points are code - 2^(b-1). For each group, a product adds
       (2^(b-1) - zero point) * scale * (sum of x' over the group)
   A zero point may be any byte, 0 ... 255, whatever b is.

   Why the scale is a bfloat16 and not a binary16. It has the range of a float, so weights of 1e30
   and of 1e-30 need no second scale. Every processor converts it with a shift. It never becomes
   subnormal. Its 8 bits of precision cost nothing: the encoder chooses the codes for the scale as
   stored, and the error of a grid is flat at its optimum.

   Section 6 says how a row is stored. */

/* ---- 6. Format and row layout -------------------------------------------------------------------

   ROW RECORD, to the byte. A tensor is `rows` records of llmq_row_size bytes each, one after the
   other, without padding.
     raw             cols elements, little-endian.
     grid, trellis   three parts, one after the other:
         scales        ceil(cols / group) bfloat16, little-endian; group 0 means the whole row
         codes         b bits each; b = ceil(log2 n) for a grid
         zero points   one byte per group; u4 and u8 only

   CODES. A code stands for a run of p elements, and each group starts a new run. A group of L
   columns has ceil(L / p) codes, and its last code may stand for fewer than p elements.
   Codes are numbered through the row and stored in units of M = 128 codes. In the last unit M is
   the number of codes that remain.
   A unit is a sequence of planes, one after the other. b is cut into widths 8, 8, ..., 4, 2, 1,
   each the widest that fits into the rest. The first plane holds the lowest bits of all codes.
   A plane of width f has u = ceil(f M / 8) bytes. Code k of the unit is in byte k mod u of the
   plane, at bit f (k div u), counted from the least significant.
   b = 3: pairs of codes are stored. The unit holds H = ceil(M / 2) values of 6 bits,
   c_k + 8 c_(k + H), with 0 for a code that does not exist. Their planes are as above, H for M.
   Trellis: M = 256, and codes of 3 bits are in planes of 2 and 1, not in pairs, so that the lowest
   bits of all codes are in the first plane.

   Why this layout. Byte loads are enough, and a row is read once from front to back. In a whole
   unit, 16 neighbouring codes that begin at a multiple of 16 are 16 neighbouring bytes of each
   plane, all at the same bit, in the order of the 16 activations that they multiply. So vectors of
   16, 32 and 64 bytes need no shuffle. A lookup in a table of 64 entries takes two shifts fewer
   with pairs of 3-bit codes than with planes of 2 and 1 bits.

   Why rows are not interleaved. With blocks of 8 or 16 rows, a vector lane would be a row, and its
   sums would need no reduction. But rows could no longer be appended, split, sharded, or read one
   at a time by a microcontroller.
   Measured: a prototype streamed such blocks of 4 bits from a level-2 cache 1.5 times as fast with
   AVX-512, and 1.1 times with AVX2.
   Measured: from memory there was no difference: 94 % of the read bandwidth both ways, once a core
   reads several distant rows at a time, as the kernels do.

   A record needs no alignment. Any bits in it are safe to decode. */
typedef struct llmq_format {
    const char *name;      /* built-in name, or "custom" */
    const int8_t *points;  /* 2^bits points of p coordinates, the first n sorted;
                              trellis: n points of one coordinate; raw: NULL */
    float unit;            /* sigma of the points: a standard deviation of 1, in point coordinates
                              (not a unit of codes, as above); raw: 0 */
    uint32_t id;           /* the number that a bundle stores */
    uint32_t bits;         /* of a code, or of a raw element */
    uint32_t p, n;         /* coordinates of a point; points (raw: 1 and 0) */
    uint32_t group;        /* columns that share a scale; 0: the whole row */
    uint32_t zero_points;  /* 1: each group has a zero point; else 0 */
    /* Trellis: bit l of taps[i] is set if parity i takes the code l rows above, 0 <= l <= 10.
       Parities that do not exist come last and are 0. At least one lag is not 0.
       Grid: all 0. Vector kernels know only the taps of the built-in trellises; the scalar kernels
       take any others. */
    uint16_t taps[4];
} llmq_format;

#define LLMQ_TRELLIS_BLOCK 128u  /* rows of a tail-biting block of a trellis */
#define LLMQ_FORMAT_CUSTOM 257u  /* id of a grid that is not built in */
#define LLMQ_MAX_COLS UINT32_C(16777216)

/* Built-in format i, for menus. Formats that LLMQ_FORMATS leaves out are not counted.
   f: filled in, with group 128, raw formats with group 0.
   Errors: LLMQ_E_ARG: f is NULL.
           LLMQ_E_NOT_FOUND: i is past the last format.
   On an error *f is unchanged. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_format_at(llmq_format *f, uint32_t i);

/* Built-in format by name.
   group: 0, the whole row, or 32 ... 1024 in steps of 32; raw formats ignore it.
   Errors: LLMQ_E_ARG: NULL, or group is out of range.
           LLMQ_E_NOT_FOUND: no format of this name, or LLMQ_FORMATS leaves it out.
   On an error *f is unchanged. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_format_find(llmq_format *f, const char *name, uint32_t group);

/* A grid format with points of the caller.
   p: 1 ... 8 coordinates of a point.
   n: 2 ... 65536 points that the encoder uses.
   points: int8_t[2^ceil(log2 n)][p], which must outlive *f. The first n are sorted by their first
       coordinate. The others, of any value, give every code a point; the encoder uses none of them.
   unit: sigma of the points, as in llmq_format: 2^-100 ... 2^100.
   group: as llmq_format_find.
   Errors: LLMQ_E_ARG: NULL, an argument is out of range, or the points are not sorted.
   On an error *f is unchanged. Cost: linear in n. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_format_custom(llmq_format *f, uint32_t p, uint32_t n, const int8_t *points,
                                                       float unit, uint32_t group);

/* Bytes of one row record.
   0: f is NULL or not valid, cols is 0 or over LLMQ_MAX_COLS, or the bytes do not fit size_t. */
LLMQ_API size_t llmq_row_size(const llmq_format *f, uint32_t cols);

/* ---- 7. Tensor ----------------------------------------------------------------------------------

   A tensor is a view: it owns nothing and may be copied.
   Row r is the record at data + r * row_size. */
struct llmq_tensor {
    llmq_format format;
    llmq_transform transform;     /* of the input that the rows are multiplied with */
    uint32_t rows, cols;
    size_t row_size;              /* bytes of a record */
    const uint8_t *data;          /* rows * row_size bytes, of any alignment */
    const llmq_kernels *kernels;  /* LLMQ_KERNELS, or another table of the caller's; NULL: scalar */
};

/* Describe rows x cols elements at data. Nothing is copied from data.
   f, transform: copied into *t; transform NULL: none.
   rows: may be 0, for a tensor to be appended to.
   cols: 1 ... LLMQ_MAX_COLS.
   data, size: memory for the records, not NULL; size >= rows * row_size is checked.
   Errors: LLMQ_E_ARG: NULL, cols is 0, or the format is not valid.
           LLMQ_E_LIMIT: cols is over LLMQ_MAX_COLS, or a record does not fit size_t.
           LLMQ_E_WORKSPACE: size is too small.
           The errors of llmq_transform_apply for the transform's steps.
   On an error *t is unchanged.
   Cost: looks for the best kernels of the processor, which takes microseconds on some virtual
   machines with x86. Keep the view; do not make one for every product. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_tensor_init(llmq_tensor *t, const llmq_format *f,
                                                     const llmq_transform *transform, uint32_t rows, uint32_t cols,
                                                     const void *data, size_t size);

/* Bytes of rows x cols elements.
   0: f is NULL or not valid, rows is 0, cols is 0 or over LLMQ_MAX_COLS, or the bytes do not fit
   size_t. A tensor with 0 rows that is to be appended to needs memory for its later rows. */
LLMQ_API size_t llmq_tensor_size(const llmq_format *f, uint32_t rows, uint32_t cols);

/* First row of the tail-biting block that row r < t->rows of a trellis is in.
   In other formats r itself. */
LLMQ_API uint32_t llmq_trellis_block_start(const llmq_tensor *t, uint32_t r);

/* out = row `row` of W, in the basis of W (the transform is undone).
   row: below t->rows.
   out: float[cols].
   work: llmq_transform_work_size bytes, aligned for float; NULL where that is 0.
   Errors: LLMQ_E_ARG: NULL, row is out of range, or work is misaligned.
           LLMQ_E_WORKSPACE: work_size is too small.
   On these errors out is unchanged. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_tensor_decode(const llmq_tensor *t, uint32_t row, float *out, void *work,
                                                       size_t work_size);

/* ---- 8. Activation ------------------------------------------------------------------------------

   An activation is a vector x made ready for products. It is transformed to x', and then either
   kept in float or quantized to b bits, which are stored as int8. For each group of columns:
       scale = m / L,   q = x' * (L / m) rounded to nearest, ties to even,
       m = max|x'|,     L = 2^(b-1) - 1
   A group with m below 2^-100 is zero: its scale and its codes are 0.
   A group that holds a NaN or infinity has the scale NaN, and all products are NaN.
   All tensors with the same transform and cols can use one activation, whatever their formats, but
   raw tensors need a float activation. */
struct llmq_activation {
    uint32_t cols, group;      /* group: columns that share a scale */
    llmq_transform transform;  /* the one that was applied to x */
    const float *x;            /* float[cols], x', of a float activation. Not NULL in an int8 one either,
                                  so test q to tell the two apart */
    const int8_t *q;           /* int8_t[cols], codes -127 ... 127; NULL: a float activation */
    const int8_t *offset;      /* int8_t[cols]: codes are q + offset (asymmetric); NULL: they are q */
    const float *scale;        /* float[ceil(cols / group)], if q is not NULL */
};

/* Bytes of memory for one activation of t.
   0: t is NULL, t->cols is 0, bits is neither 2 ... 8 nor 32, or the bytes do not fit size_t. */
LLMQ_API size_t llmq_activation_size(const llmq_tensor *t, uint32_t bits);

/* Make x ready for t and for all tensors that share its transform.
   bits: 8 is usual; 2 ... 8, or 32 for the float path.
   x: float[cols], apart from mem.
   mem: llmq_activation_size bytes, aligned for float. *a refers to it, so it must live as long.
   Groups are the groups of t, or 128 columns if t is raw or its group is the whole row. So no group
   has more than 1024 columns, and its integer sum, up to 127 * 128 * 1024 = 16,646,144, is below
   2^24 and exact in float.
   Errors: LLMQ_E_ARG: NULL, bits is out of range, or mem is misaligned.
           LLMQ_E_WORKSPACE: mem_size is too small.
   On an error *a is unchanged.
   Cost: the transform, and about three operations per element. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_activation_prepare(llmq_activation *a, const llmq_tensor *t, uint32_t bits,
                                                            const float *x, void *mem, size_t mem_size);

/* Other ways to choose scales and codes.
   llmq_activation_prepare takes { bits, 0, LLMQ_SCALES_GROUP, 1 }.
   symmetric    m = clip max|x'|. Codes are limited to -L ... L.
   asymmetric   low = clip min(0, min x'),  high = clip max(0, max x'),
                N = 2^b - 1 steps (254 for 8 bits),  scale = high / N - low / N,
                z = -low * (1 / scale), rounded,
                q = x' * (1 / scale), rounded and limited to -z ... N - z.
                The zero point z is subtracted where the codes are made. So products need no
                correction, and their integers are exact as they are.
                Codes of 8 bits do not always fit int8. They are stored as a sum, q + offset, in
                which offset = 127 - z is the same for a whole group. A product is then the product
                with q plus the product with the offsets, and takes twice as long.
   In both, a group is zero if m, or -low and high, are below 2^-100.
   scales       GROUP  a scale for each group. Without clipping it is never above the scale that
                       the others give the group (to rounding), and neither is the largest
                       rounding error. It needs one pass fewer.
                TOKEN  m, or low and high, are of the whole vector.
                BATCH  Rotated Runtime Smooth [R15]. s_g is the same for all vectors of the call, so
                       it can count as a factor of the weights of group g. Then one scale per
                       vector remains, as hardware without scales for groups needs it.
                       s_g = max|x'| of group g over all vectors of the call (finite values only);
                       m, or low and high, are of x' / s_g over the whole vector;
                       scale of group g = s_g * (scale of the vector), or 0 below 2^-126;
                       q = x' * (I * (1 / s_g)), with I the L / m or 1 / scale of the vector.
                       A group with s_g below 2^-100 is zero.
                With TOKEN and BATCH, a NaN or infinity makes all scales of its vector NaN, and no
                others. */
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
/* Good options for `bits`, all with LLMQ_SCALES_GROUP:
     8 bits        symmetric, clip 1, as llmq_activation_prepare
     5 to 7 bits   asymmetric, clip 1
     2 to 4 bits   asymmetric, clip 0.95
   Other bits are not refused here, but by the functions that take the options.
   Measured: KL divergence, in nats a token, of the model in examples/model/ from its original, with
   weights in g4 and activations of 4 bits: symmetric 0.135; asymmetric 0.106, with clip 0.95 0.101,
   with clip 0.9 0.109; with one scale a token 0.131. */
LLMQ_API llmq_activation_options llmq_activation_defaults(uint32_t bits);

/* Bytes of memory for count activations.
   0: NULL, t->cols or count is 0, an option is out of range, or the bytes do not fit size_t. */
LLMQ_API size_t llmq_activations_size(const llmq_tensor *t, const llmq_activation_options *o, uint32_t count);

/* Make count vectors ready, with options.
   a: llmq_activation[count].
   x: vector i is x[i * stride ... + cols).
   mem: llmq_activations_size bytes; otherwise as in llmq_activation_prepare.
   Errors: as llmq_activation_prepare. LLMQ_E_ARG also: count is 0, or an option is out of range.
   On an error a is unchanged.
   Cost: llmq_activation_prepare for each vector, or twice its cost. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_activations_prepare(llmq_activation *a, const llmq_tensor *t,
                                                             const llmq_activation_options *o, uint32_t count,
                                                             const float *x, size_t stride, void *mem,
                                                             size_t mem_size);
#endif

/* ---- 9. Products ----------------------------------------------------------------------------- */

/* Products with rows [r0, r1) of W:  y[i * y_stride + r] = <row r of W, x_i>  for i < count.
   r0, r1: any r0 <= r1 <= t->rows, also of trellises: only encoding needs the starts of blocks.
   Threads: any number may share tensors and activations, for reading, each with rows or a y of its
   own.
   x: llmq_activation[count], of the transform and cols of t. All are float, or all are int8 with
      equal groups. Raw tensors need float activations.
   y: where row 0 goes, whatever r0 is, so that parts of the rows fill one vector. Only rows
      [r0, r1) are written.
   y_stride: elements from the products of one activation to the next.
     int8         y = sum over runs, in order, of  float(S) * (scale_x * scale_w)
                  S = sum of q * point, exact. A run is a longest stretch of columns in which
                  neither scale changes.
     float        y = sum over groups of the tensor, in order, of  D * scale_w
                  D = sum of x' * point, in 16 interleaved partial sums: column j of the group goes
                  to sum j mod 16. They are added pairwise: i and i + 8, then 4, 2, 1.
                  A row of a raw tensor is one group, with scale_w = 1.
     zero points  then y = y + X * o for each group of the tensor, in order.
                  o = (2^(b-1) - zero point) * scale_w
                  X = sum of the group's x': the sum over runs, in order, of
                  float(sum of q + offset) * scale_x; for a float activation summed as D is.
     offsets      last, y = y + the int8 formula with offset in the place of q.
   Errors: LLMQ_E_ARG: NULL, count is 0, rows are out of range, or an activation has other cols.
           LLMQ_E_MISMATCH: an activation has another transform than t, another kind or group
           than the first, or is int8 for a raw tensor.
   On an error y is unchanged.
   Cost: one multiply-add per weight and activation, and the decoding of each row. A row is decoded
   once for up to eight int8 activations (the kernels dsp and mve: once for each), and once for each
   float activation. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_matmul(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                                uint32_t r0, uint32_t r1, float *y, size_t y_stride);

/* llmq_matmul for one activation: y[r] for r in [r0, r1); y is where row 0 goes. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_matvec(const llmq_tensor *t, const llmq_activation *x, uint32_t r0,
                                                uint32_t r1, float *y);

/* Transposed product, for V caches:
       out = sum over r in [r0, r1), in order, of  weight[r] * row r of W
   weight: the weight of row 0, whatever r0 is; in a V cache the attention probabilities.
   out: float[cols], in the basis of W.
   work: llmq_transform_work_size bytes, aligned for float; NULL where that is 0.
   Errors: LLMQ_E_ARG: NULL, rows are out of range, or work is misaligned.
           LLMQ_E_WORKSPACE: work_size is too small.
   On these errors out is unchanged. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_matvec_transposed(const llmq_tensor *t, const float *weight, uint32_t r0,
                                                           uint32_t r1, float *out, void *work, size_t work_size);

/* LLMQ_OK if this program computes as the promise of equal bits needs, else LLMQ_E_INEXACT.
   Call it once. It probes contraction of a*b+c, excess precision, subnormal numbers, the rounding
   mode, other orders of sums, reciprocals for divisions, signed zeros and NaN. Then it runs
   llmq_kernels_test on LLMQ_KERNELS, the kernels of new tensors.
   Cost: 0.1 ms with vector kernels, 1 ms with the scalar ones; less with fewer formats. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_selftest(void);

/* LLMQ_OK if rows_i8, rows_f32 and read_row of table k give the known answers for a few records of
   each format in LLMQ_FORMATS, else LLMQ_E_INEXACT: a compiler has changed their results.
   k: a table that can run on this processor; NULL: scalar. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_kernels_test(const llmq_kernels *k);

/* ---- 10. Bundle: reading ------------------------------------------------------------------------

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
       36     28  reserved: written as 0; a reader refuses other values
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
                 56   8  reserved: written as 0; a reader refuses other values
       ...        NAMES, then PAYLOADS; after the names and after each payload zeros to a multiple
                  of 64. Payloads are:
                  tensor: rows records (section 6).  value: its bytes.
                  transform: u32 steps; each step u16 kind, u16 block, u32 arg; then the data of the
                  steps.
                  grid: u32 p, u32 n, f32 sigma (`unit` of llmq_format), then 2^ceil(log2 n)
                  points of p int8, the first n sorted by their first coordinate.
   Texts are UTF-8, by convention. Their size has no terminating 0, and none is stored.
   Reserved bytes that are not 0 may hold a field that this reader does not understand, so it
   refuses the bundle (LLMQ_E_CORRUPT). A new field therefore needs a new major version, or a value
   entry of its own. Fields that a kind does not have are written as 0 and not read.
   An entry of an unknown kind: if flag bit 0 is set, llmq_bundle_open refuses the bundle. If it is
   clear, llmq_bundle_at and llmq_bundle_find return the entry, and to llmq_bundle_tensor and
   llmq_bundle_value it is LLMQ_E_NOT_FOUND.
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
    size_t size;            /* bytes of payload; of a text without a terminating 0 */
    llmq_format format;     /* tensor */
    uint32_t rows, cols;    /* tensor */
    float t2;               /* tensor: t^2 = |W - W'|^2 / |W|^2, or -1 if it was not measured. No function
                               computes it: decode the rows (llmq_tensor_decode) and sum over all */
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
   error: NULL allowed; written on every failure: status, and offset: the byte where the check
   failed (of an entry: its first byte in the directory; of LLMQ_E_ARG: 0).
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
   error: NULL allowed; written on every failure: status, and offset: the scale, or the first byte
   of the checksum's range (of LLMQ_E_ARG: 0).
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
   *data: a pointer into the bundle, without alignment. *size: bytes there; after a text there need
   be no 0.
   llmq_bundle_u32 loads a value of type LLMQ_VALUE_U32.
   Errors: LLMQ_E_ARG (NULL), LLMQ_E_NOT_FOUND (also an entry of another kind or type); outputs are
   then unchanged.
   Cost: a binary search. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_value(const llmq_bundle *b, const char *name, uint32_t type,
                                                      const void **data, size_t *size);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_u32(const llmq_bundle *b, const char *name, uint32_t *value);

#endif /* LLMQ_NO_BUNDLE */

/* ---- 11. Encoder: rows --------------------------------------------------------------------------

   The encoder turns rows of W into records. For each row w of a grid format:
     1. The row is divided by a power of two, exactly. No later sum overflows, and 2^k W has the
        same codes as W.
     2. The row is transformed: T^-T w (section 4).
     3. Each group x gets a scale. For each trial scale s, the points c nearest to x / s give a
        fitted scale and its gain:
            gain = <x, c>^2 / <c, c>,   scale = <x, c> / <c, c>
        (least squares: |x - scale c|^2 = |x|^2 - gain). The trials go down and up from rms / sigma,
        sigma the `unit` of the format. The fitted scale with the largest gain is rounded to
        bfloat16.
     4. The codes are chosen once more, for the scale as stored.

   Nearest: the minimum of sum (x_i - c_i)^2, in float, terms in order. Ties go to the lower index.
   A run of fewer than p elements, at the end of a group, compares the coordinates that it has.
   Points are tried outwards from the first coordinate of x, until the distance in that coordinate
   alone is too large.

   Limits of scales and values:
     An all-zero group has scale 0.
     A scale below 2^-126 becomes 0; one over the largest bfloat16 becomes the largest bfloat16.
     A value 2^126 times smaller than the largest of its row becomes 0.
     Raw rows are transformed as they are. A value that is infinite after the transform, or in the
     format (from 65520 on in binary16), is LLMQ_E_NOT_FINITE.

   Formats with zero points: low = min(0, min x) and high = max(0, max x) of the group.
     f is the first code and N the number of steps above it: u4 has f = 0, N = 15;
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
#define LLMQ_EFFORT_FAST    1  /* one trial, rms / sigma, then the fitted scale; for KV caches; trellises: one round */
#define LLMQ_EFFORT_BEST    2  /* all 41 of 0.5 to 1.5 rms / sigma, in steps of 2.5 %; trellises: eight rounds */

/* All zero: the defaults. */
typedef struct llmq_encode_options {
    int effort;              /* LLMQ_EFFORT_... */
    llmq_progress progress;  /* NULL: none; called after each row with the rows done and the rows of the call */
    void *context;           /* for progress */
    float clip;              /* Only formats with zero points: the part of a group's range that gets codes.
                                above 0, up to 1  this part
                                0, DEFAULT        the part of 1, 0.95 ... 0.5 with the least error
                                0, BEST           the same, of 1, 0.9875 ... 0.5
                                0, FAST           1
                                [R13] uses the part 0.8, with one scale for a whole row */
} llmq_encode_options;
#endif

/* ---- 12. Encoder: trellises and tensors ---------------------------------------------------------

   Trellises are encoded by tail-biting blocks of rows, and in a block by groups of columns:
     1. The scale of each row begins at rms / sigma (section 11).
     2. A round searches the codes of each column: the path with the smallest sum of
        (x / scale - point)^2 over the rows of the block (Viterbi's algorithm [R20]).
     3. Each row then gets the fitted scale f of section 11. With s the scale of this round, the
        next round uses 2 f - s, which is twice as far from s as f, but at least f / 2. The fitted
        scale of the last round is stored.
   All rows have the same weight, whatever their scales.
   Measured: with the squares of scales as weights the error is 8 % less, but the KL of a small
   model is 15 % more at 3 and 4 bits.

   A block closes on itself: its first row follows its last. The memory of a trellis is the largest
   lag of its taps, in rows; a trellis has 2^memory states. The first round finds the state at its
   start by a search of 8 times the memory on each side of it. Each further round starts half a
   block away from the start of the round before, in the middle of the path of that round, and in
   the state that the path has there. Blocks shorter than 4 times the memory try all states. Ties go
   to the path with the lower state. */
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
   error: NULL allowed; written only with LLMQ_E_NOT_FINITE: status, row and col.
   Rows in different ranges may be encoded at the same time, with a workspace each.
   Errors; nothing is written with the first two:
     LLMQ_E_ARG         An argument is NULL or out of its range, or data is not t->data.
     LLMQ_E_WORKSPACE   work_size is too small.
     LLMQ_E_NOT_FINITE  A value of w is not finite, or a value of a raw row is not after the
                        transform or in the format (section 11).
     LLMQ_E_STOPPED     progress asked for it.
   With the last two, earlier rows (blocks) of the range are written, the others are untouched. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1,
                                                const float *w, size_t stride, const llmq_encode_options *options,
                                                void *work, size_t work_size, llmq_error *error);

/* Appends one row to a tensor whose memory has capacity for more, as in a KV cache: encodes it
   after the last row, then counts it.
   data: t's memory from row 0 on.
   data_size: bytes of the memory, its capacity for rows: at least (t->rows + 1) * t->row_size.
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
                                                       const llmq_encode_options *options, void *work,
                                                       size_t work_size);
#endif

/* ---- 13. Grid trainer ------------------------------------------------------------------------ */
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

/* ---- 14. Bundle: writing --------------------------------------------------------------------- */
#if !LLMQ_NO_ENCODER && !LLMQ_NO_BUNDLE
/* Receives the bytes of a bundle in order.
   context: as given to llmq_bundle_write.
   Returns 0 to go on; anything else stops the writer with LLMQ_E_STOPPED. */
typedef int (*llmq_sink)(void *context, const void *bytes, size_t size);

/* Make the payload of a transform's or a grid's entry from its struct.
   Bytes: transform  4 + 8 count + the sum of llmq_step_data_size over its steps
          grid       12 + 2^ceil(log2 n) p
   out: any alignment.
   *size: bytes of memory at out; on success the bytes written. On an error it stays as it is, so
   it does not tell the bytes that are missing.
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
   entries: the call sorts them by name, in place, also if it then refuses one: indices into the
   array that were taken before do not hold any more. NULL allowed if count is 0.
   sink: gets the bytes. context: passed on to it.
   Payloads are read twice, for the checksum and then to be sent.
   Entries that llmq_bundle_open or llmq_bundle_verify would refuse are LLMQ_E_ARG, and so is a
   tensor whose format a reader would take for another one.
   Errors; nothing is sent with the first two:
     LLMQ_E_ARG      sink or a name is NULL; or an entry is refused: its name or kind is not
                     allowed; its name is there twice; it has a size but no data, or a size that
                     does not fit the shape; its transform or grid is not among the entries or does
                     not fit it.
     LLMQ_E_LIMIT    The bundle does not fit size_t, or its names end beyond 2^32 - 1 bytes.
     LLMQ_E_STOPPED  sink asked for it, or failed. This is the only status for it: a sink that can
                     fail keeps the reason in its context. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_write(llmq_entry *entries, uint32_t count, llmq_sink sink,
                                                      void *context);

/* The same into memory of llmq_bundle_size bytes.
   Errors: the same, and LLMQ_E_WORKSPACE; LLMQ_E_ARG if out is NULL. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_bundle_write_memory(llmq_entry *entries, uint32_t count, void *out,
                                                             size_t size);

/* Writing a bundle whose payloads are made one after another, and need not be in memory together:
       llmq_entry e[N];                          // all of them; data is NULL where it is made later
       check(llmq_writer_begin(&w, e, N, put, file));
       for (i = 0; i < w.count; i++)
           if (!e[i].data && e[i].size) {        // e is sorted now: look at e[i].name
               ... make the payload, set e[i].t2 ...
               check(llmq_writer_put(&w, i, payload));    // its memory is free again
           }
       check(llmq_writer_end(&w));
   The bytes are the bytes that llmq_bundle_write makes of the same entries.
   Until llmq_writer_end returns LLMQ_OK, llmq_bundle_open refuses what has been written so far, cut
   anywhere: the header is zeros at first, and the magic is sent last. This holds for bytes that are
   stored in the order in which they are sent. On a medium with another order, flush it before the
   bytes at offset 0 that are not zeros. */

/* Receives bytes of a bundle, at any place in it.
   context: as given to llmq_writer_begin.
   offset: of the first byte from the start of the bundle. Every byte of the bundle is sent; only
   the header is sent twice.
   Returns 0 to go on; anything else stops the call with LLMQ_E_STOPPED. */
typedef int (*llmq_sink_at)(void *context, size_t offset, const void *bytes, size_t size);

/* A bundle that is being written. The caller may read entries, count and size. */
typedef struct llmq_writer {
    llmq_entry *entries;   /* the caller's, sorted by name */
    uint32_t count;
    size_t size;           /* bytes of the whole bundle */
    llmq_sink_at sink;
    void *context;
    uint32_t crc;          /* the part of the checksum that comes from the payloads that have been sent */
    uint32_t next;         /* an entry, and the offset of its payload */
    size_t start, offset;  /* start: offset of the first payload */
    size_t sent;           /* bytes of that payload that are sent, if more rows have to follow; else 0 */
} llmq_writer;

/* Begins a bundle: checks and sorts the entries, sends 64 zeros in the place of the header, then
   the payloads that are there.
   entries: as for llmq_bundle_write, and they have to stay until the end. data may be NULL for
   tensors and values whose payload comes later; their size must be right already.
   Of an entry whose payload has been sent, data becomes a mark: it is not NULL, and leads to no
   payload. After this call t2 may be changed, and nothing else.
   sink: gets the bytes. context: passed on to it.
   Errors; *w and all data are then unchanged:
     LLMQ_E_ARG      w is NULL; or as for llmq_bundle_write, and nothing is sent.
     LLMQ_E_LIMIT    As for llmq_bundle_write; nothing is sent.
     LLMQ_E_STOPPED  sink asked for it, or failed.
   Cost: as llmq_bundle_write, for the payloads that are there. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_writer_begin(llmq_writer *w, llmq_entry *entries, uint32_t count,
                                                      llmq_sink_at sink, void *context);

/* Sends the payload of entry i, in any order of i.
   i: of w->entries, with a size and without data.
   data: w->entries[i].size bytes of any alignment, which are read twice and not kept.
   Errors; the payload is then still to come, and the same call may be made again:
     LLMQ_E_ARG      An argument is NULL or out of its range; the payload has been sent already;
                     rows of a tensor are still to come; or llmq_bundle_verify would refuse a scale
                     in it. Nothing is sent.
     LLMQ_E_STOPPED  sink asked for it, or failed.
   Cost: linear in the payload. In another order than that of i a call also takes time linear in
   the entries. Calls for one writer come one after another. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_writer_put(llmq_writer *w, uint32_t i, const void *data);

/* Sends the next rows of tensor i, for tensors that are larger than memory: calls from row 0 to the
   last row take the place of one llmq_writer_put. No other payload may be sent between them.
   i: of w->entries, a tensor without data.
   rows: from 1 to the number of rows that have not been sent.
   data: rows * llmq_row_size(format, cols) bytes of any alignment, which are read twice and not
   kept.
   Errors; the rows are then still to come, and the same call may be made again:
     LLMQ_E_ARG      As for llmq_writer_put; or rows of another tensor are still to come.
     LLMQ_E_STOPPED  sink asked for it, or failed.
   Cost: as llmq_writer_put. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_writer_rows(llmq_writer *w, uint32_t i, const void *data, uint32_t rows);

/* Sends the directory with the t2 of w->entries, then the header, which makes it all a bundle.
   Errors; what was sent is then no bundle, and the same call may be made again:
     LLMQ_E_ARG      w is NULL, or a payload has not been sent. Nothing is sent.
     LLMQ_E_STOPPED  sink asked for it, or failed. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_writer_end(llmq_writer *w);
#endif

/* ---- 15. Sensitivity ----------------------------------------------------------------------------

   The inputs of a layer say which errors of its weights matter. In a linear layer y = W x an error
   E = W - W' of a row costs, summed over the tokens t of a calibration text,
       sum_t w_t (E x_t)^2 = E H E^T,   H = sum_t w_t x_t x_t^T   ([R6], with all w_t = 1).
   So H, symmetric and cols x cols, is all that has to be kept of the text. Its diagonal alone, the
   sums of squares, can take its place: llama.cpp calls that an importance matrix.

   Factors are rounded to 12 significant bits:
       x'_t = round(sqrt(w_t) x_t),   H = sum_t x'_t x'_t^T.
   The product of two factors is then exact in a float, so every processor may use its fused
   multiply-add without changing a bit. The relative error of a factor is at most 2^-12, and about
   2^-13 on average. The choice of the text changes H far more.
   Values below 2^-60 count as 0, and values above 2^60 count as 2^60.
   Sums are floats, in the order of the tokens. They are good for some million tokens. Merge longer
   runs from parts. */
#if !LLMQ_NO_CALIBRATION
typedef struct llmq_hessian {
    uint32_t cols;             /* inputs of the layer */
    int full;                  /* 1: all of H; 0: its diagonal */
    double weight, squares;    /* sums of the w_t so far, and of their squares */
    llmq_transform transform;  /* T: H is the sum of (T x)(T x)^T */
    float *h;                  /* full: entry (i, j), j <= i, at i (i + 1) / 2 + j; else h[cols], the diagonal */
    const llmq_kernels *kernels;
} llmq_hessian;

/* Bytes of h: 2 cols^2 + 2 cols if full is not 0, else 4 cols.
   Returns 0 if they do not fit size_t, or if cols is 0 or above LLMQ_MAX_COLS. */
LLMQ_API size_t llmq_hessian_size(uint32_t cols, int full);

/* Make an H of zeros for inputs of cols elements.
   full: 1 for all of H, 0 for its diagonal.
   transform: H is accumulated in the basis of a tensor with this transform; NULL: in the basis of
   the inputs.
   mem: llmq_hessian_size bytes, aligned for float. *h refers to it, so it has to outlive *h.
   Errors: LLMQ_E_ARG; LLMQ_E_LIMIT (cols, or size_t is too small); LLMQ_E_WORKSPACE; the errors of
   the transform's steps. *h is then as it was. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_init(llmq_hessian *h, uint32_t cols, int full,
                                                      const llmq_transform *transform, void *mem, size_t size);

/* Bytes of workspace for llmq_hessian_add: about 516 cols for a full H and 4 cols for a diagonal,
   and the workspace of the transform. Returns 0 if h is NULL or its cols are out of range, or if
   the size does not fit size_t. */
LLMQ_API size_t llmq_hessian_work_size(const llmq_hessian *h);

/* Add tokens to rows [r0, r1) of H.
   x: x[count][cols], stride elements from token to token, stride >= cols, every value finite.
   weight: weight[count], the w_t, finite and 0 or more; NULL: 1 for all.
   work: llmq_hessian_work_size bytes, aligned for float.
   error: NULL allowed; written only with LLMQ_E_NOT_FINITE: status, row (the token) and col (the
   column, or cols for the token's weight).
   Clamping: before the first step of a transform too, values above 2^60 count as 2^60, and between
   its steps values above 2^100 count as 2^100, so that no step can overflow.
   Overflow: a sum of H may become infinite (256 tokens of 2^60). llmq_feedback_init reports it.
   Threads: different row ranges may run at the same time, each with the same tokens and its own
   workspace. The range that starts at row 0 also updates h->weight and h->squares.
   Bits: they do not depend on how tokens are cut into calls, nor on how rows are cut into ranges.
   Errors: LLMQ_E_ARG; LLMQ_E_WORKSPACE; the errors of the transform's steps; LLMQ_E_NOT_FINITE for
   an input that is not finite, or a weight that is negative or not finite. Nothing was added then.
   Cost: about r1^2 / 2 - r0^2 / 2 multiply-adds a token. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_add(llmq_hessian *h, uint32_t r0, uint32_t r1, const float *x,
                                                     size_t stride, uint32_t count, const float *weight, void *work,
                                                     size_t work_size, llmq_error *error);

/* H += other, entry by entry: the parts of a text may be summed apart, on any machine, and merged.
   The same parts in the same order give the same bits. Another order differs by rounding.
   Errors: LLMQ_E_ARG (NULL, or cols or full differ); LLMQ_E_MISMATCH (the transforms differ);
   LLMQ_E_NOT_FINITE for a sum that is not finite. *h is then as it was. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_merge(llmq_hessian *h, const llmq_hessian *other);

/* H <- T H T^T for a full H without a transform: one file of sums then serves any choice of
   transform.
   t: the transform; h->transform becomes a copy of it.
   work: llmq_hessian_transform_work_size bytes, aligned for float: 4 cols^2, and the workspace of
   the transform.
   Errors: LLMQ_E_ARG (also for a diagonal, or an H that has a transform); LLMQ_E_WORKSPACE; the
   errors of the transform's steps; LLMQ_E_NOT_FINITE for a result that is not finite. H is then as
   it was.
   Cost: 2 cols transforms. */
LLMQ_API size_t llmq_hessian_transform_work_size(const llmq_hessian *h, const llmq_transform *t);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_hessian_transform(llmq_hessian *h, const llmq_transform *t, void *work,
                                                           size_t work_size);

/* -- Traces of Hessians: exact ones for an attention block, estimates by random probes for any
   operator. -- */
#define LLMQ_ROPE_NONE   0
#define LLMQ_ROPE_PAIRS  1  /* coordinates 2i and 2i + 1 of a head are rotated by angle i of the position */
#define LLMQ_ROPE_HALVES 2  /* coordinates i and i + head / 2 are */

/* One key-value head of an attention block, and the query heads h that share it. For query t, over
   the keys s that it sees,
       y_t = sum_h W_O,h a^h_t,   a^h_t = sum_s p^h_ts v_s,
       p^h_t = softmax of q^h_t . k_s / sqrt(head).
   Every array is row-major; its stride is the distance between rows in elements, at least the
   length of a row. A query that sees no key has a = 0. */
typedef struct llmq_attention {
    uint32_t tokens, dim;    /* of the inputs x; the tokens have consecutive positions */
    uint32_t head, queries;  /* elements of a head; query heads that share this key-value head */
    uint32_t out;            /* rows of W_O */
    uint32_t masked;         /* tokens [0, masked) are padding: no query sees their keys */
    int causal;              /* 1: query t sees no key after t */
    const float *x;          /* x[tokens][dim]: the inputs of W_Q, W_K and W_V */
    size_t x_stride;
    const float *q;          /* q[tokens][queries * head], rotated by RoPE, as the keys are */
    size_t q_stride;
    const float *k;          /* k[tokens][head] */
    size_t k_stride;
    const float *v;          /* v[tokens][head] */
    size_t v_stride;
    const float *wo;         /* wo[out][queries * head]: the columns of W_O that these heads reach */
    size_t wo_stride;
    int rope;                /* LLMQ_ROPE_...; R_s turns (a, b) into (a cos - b sin, a sin + b cos) */
    const float *cosine;     /* cosine[tokens][head / 2]: in row s, of s times angle i (1 in row 0) */
    const float *sine;       /* sine[tokens][head / 2]. Both are unused without RoPE */
    uint32_t samples;        /* 0: all queries are evaluated; else strata, 2 or more, of one query each */
    uint32_t seed;           /* of the drawing */
    const float *importance; /* importance[tokens]: weight of |change of y_t|^2, 0 or more; NULL: 1 for all */
} llmq_attention;

typedef struct llmq_traces {
    double q, k, v, o;                          /* for W_Q, W_K, W_V and W_O */
    double q_error, k_error, v_error, o_error;  /* standard errors of the sampling, 0 without it */
} llmq_traces;

/* Bytes of workspace for llmq_attention_traces, about 12 tokens^2 + 16 tokens head.
   Returns 0 if a is NULL, if tokens or head is 0, or if the size does not fit size_t. */
LLMQ_API size_t llmq_attention_work_size(const llmq_attention *a);

/* Traces of the Gauss-Newton Hessians of sum_t importance_t |change of y_t|^2, the objective of
   [R9]. They are for the rows of W_Q of these query heads, the rows of W_K and W_V of this
   key-value head, and the columns of W_O. H = 2 J^T J with J the derivative of all y_t, so
   independent errors of variance e in the weights make that sum e trace / 2. With c^h_s = W_O,h
   (v_s - a^h_t) and R_s the rotation of position s (I without RoPE), each trace is the sum over t,
   times its importance, and over the h, h' and s, s' that occur, of
       W_Q   2/head |x_t|^2 p^h_s p^h_s' (c^h_s . c^h_s') (k_s . k_s')
       W_K   2/head p^h_s p^h'_s' (c^h_s . c^h'_s') (R_s^T q^h_t . R_s'^T q^h'_t) (x_s . x_s')
       W_V   2 tr(W_O,h^T W_O,h') p^h_s p^h'_s' (x_s . x_s')
       W_O   2 out |a^h_t|^2
   They are derived from the softmax's Jacobian diag(p) - p p^T, which takes a from v. The tests
   hold finite differences against them.
   q_weight, k_weight, v_weight: each NULL or weight[tokens]. A w_t >= 0 is added to each element.
     These w_t satisfy
       sum_t w_t |x_t|^2 = trace.
     H' = sum_t w_t x_t x_t^T, the Hessian that methods like GPTQ take, is then the sum of the
     blocks of H that belong to one row of weights. That is exact for W_Q. For W_K and W_V it is the
     sum of the terms with s = s', scaled to the trace. Begin with zeros; heads and calls add up.
   samples: stratum j of m is queries [j tokens / m, (j + 1) tokens / m). The query that is drawn
     from it, by llmq_random(seed, j), stands for all of it. The standard error is estimated from
     neighbours, with g_j the term of stratum j:
       error^2 = m / (2 (m - 1)) sum (g_j - g_j+1)^2.
     It overestimates, because it includes the trend between strata. If samples >= tokens, all
     queries are evaluated.
   work: llmq_attention_work_size bytes, aligned for double.
   Errors: LLMQ_E_ARG; LLMQ_E_LIMIT; LLMQ_E_WORKSPACE; LLMQ_E_NOT_FINITE for an input that is NaN or
   infinite, or a result that overflows. The outputs are then untouched.
   Cost: about tokens^2 (dim + queries^2 head) / 2 + queries^2 samples (2 tokens^2 + 5 tokens head)
   double multiply-adds. A causal mask reduces the second term to a third. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_attention_traces(const llmq_attention *a, llmq_traces *traces, float *q_weight,
                                                          float *k_weight, float *v_weight, void *work,
                                                          size_t work_size);

/* hv[n] = H v[n] for a symmetric H. A status other than LLMQ_OK ends the estimate, which then
   returns that status. */
typedef llmq_status (*llmq_operator)(void *context, const float *v, float *hv);

typedef struct llmq_trace {
    double trace, error;  /* the estimate and its standard error */
    uint32_t products;    /* how many times the operator was applied */
} llmq_trace;

/* Hutchinson's estimate of tr H [R10]: the mean of v^T H v over m random sign vectors v.
   Its variance is 2 (|H|_F^2 - sum_i h_ii^2) / m, the minimum over all distributions with
   independent entries. The error that is reported is measured, not computed from this.
   product, context: the operator and its first argument. n: rows of H, 1 or more.
   max_products: upper bound of m, 2 or more.
   tolerance: stop once error <= tolerance |trace|, after 8 probes at the earliest. 0: use all
     products. After m probes the error itself is known to 1 / sqrt(2 (m - 1)) of its value, a
     quarter for m = 8, and two or three probes may agree by chance.
   seed: probe i has the signs of LLMQ_STEP_HADAMARD (section 4) with seed llmq_random(seed, i).
   work: 8 n bytes, aligned for float.
   Errors: LLMQ_E_ARG; LLMQ_E_LIMIT; LLMQ_E_WORKSPACE; LLMQ_E_NOT_FINITE (H v); the operator's own.
   *out is then untouched.
   Cost: the products. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_trace_hutchinson(llmq_operator product, void *context, uint32_t n,
                                                          uint32_t max_products, double tolerance, uint32_t seed,
                                                          llmq_trace *out, void *work, size_t work_size);

/* Bytes of workspace for llmq_trace_hutchpp: 4 n (min(max_products / 3, n) + 2).
   Returns 0 if n is 0, if max_products is below 4, or if the size does not fit size_t. */
LLMQ_API size_t llmq_trace_hutchpp_work_size(uint32_t n, uint32_t max_products);

/* Hutch++ [R11]: the trace on a subspace where H is large is exact, and Hutchinson's probes
   estimate the rest.
   Sketch: a third of the products maps random sign vectors to vectors that span this subspace, with
   orthonormal basis Q.
   Exact part: tr(Q^T H Q) costs the second third. It costs less if H has a lower rank, because
   sketch vectors that vanish to rounding, 2^-16 of their length, are dropped.
   Rest: the other products are probes of (I - Q Q^T) H (I - Q Q^T), which are the only source of
   error. For positive semidefinite H the error falls as 1 / max_products, where Hutchinson's falls
   as the root of that. On a flat spectrum there is no gain.
   max_products: of all three parts, 4 or more. work: llmq_trace_hutchpp_work_size bytes.
   Other arguments, and errors, are those above.
   Cost: the products, and 6 n (max_products / 3)^2 multiply-adds. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_trace_hutchpp(llmq_operator product, void *context, uint32_t n,
                                                       uint32_t max_products, double tolerance, uint32_t seed,
                                                       llmq_trace *out, void *work, size_t work_size);
#endif

/* ---- 16. Error feedback -------------------------------------------------------------------------

   Rows are quantized one column after the other, and each column is moved by the errors made before
   it ([R6]; this form: LDLQ, [R7]). With H + damping = M D M^T, M unit upper triangular and D
   diagonal, an error row E = w - w' costs
       E H E^T = sum_k D_k (e_k)^2,   e_k = (E M)_k = w_k + f_k - w'_k,   f_k = sum_(j<k) E_j M_jk.
   So once all columns before it are fixed, column k should be the point nearest to w_k + f_k.
   f is the correction. The residual is w before its column is quantized, and w - w' = E afterwards.

   Grids of p > 1: the columns of a run of p are chosen together. With B the p x p diagonal block of
   M and S = diag(sqrt D), the cost of a run is
       |(w B + f) S - (w' B) S|^2,   f from the columns before the run.
   So the code is the nearest point among the points of the grid times B S. The triangle B keeps the
   order of the first coordinate, so the same search (section 11) finds it.
   Scales: searched as in section 11, on w + f of the group when it is reached, with errors weighted
   by D.
   Trellises: they run down a column, so here, too, columns are quantized one by one. Each is a
   search over the rows of a tail-biting block, whose start state is found as in section 12. The
   scales are the ones that llmq_encode would give the group, as it stands when it is reached.
   With H = c I the result is the bits of llmq_encode, except for trellises. A diagonal H only
   weights the errors.
   Measured: gain on correlated inputs (AR(1), rho = 0.9): 6.8 to 7.0 dB of 7.2. A trellis along the
   rows would feed back blocks of columns, and would lose most of the gain where inputs are not
   rotated.

   Damping: mean(diagonal) * damping is added to the diagonal. The default is
       0.01 + 2 cols / tokens, at most 1,   tokens = (sum w)^2 / sum w^2,
   because a sum over few tokens says little about other texts. If a pivot D_k is not above 2^-20
   times its entry of the diagonal, damping is multiplied by 10 (to 1e-6 or more), up to 10, and H
   is factored again.
   Measured: KL of a 1.9 M-parameter model in g3, cols 192 and 576, without feedback 0.209:
       damping               0.01   0.03   0.1    0.3    1
       from 1,500 tokens     0.196  0.184  0.175  0.166  0.169
       from 5,000 tokens     0.156  0.160  0.152  0.149  0.158
       from 19,353 tokens    0.141  0.140  0.141  0.143  0.155

   Order: LLMQ_ORDER_NATURAL, or LLMQ_ORDER_DIAGONAL: groups by decreasing mean of their diagonal,
   and runs of p columns likewise within a group (an incomplete run stays the last). That spends the
   freedom of later columns on the inputs that matter most.

   First order [R8]: after each group, with M cut to the columns to come, the moves f M^-1 of their
   weights lose
       first_order * mean(diagonal) * (f M^-1) (H^-1 of these columns).
   That draws weights back to where they were, since H describes this text only. 0 is off. Where an
   eigenvalue of H is below first_order * mean(diagonal) / 2, it throws them too far.

   Units: a factor of H changes nothing. D belongs to H / 2^k with a mean of the diagonal in [1, 2),
   so that huge and tiny inputs do no harm.

   The judge. With too little damping, with first order where it does not fit, or with a handful of
   tokens, feedback can be worse than none, even a thousand times. So each row (of a trellis each
   tail-biting block) is also encoded as llmq_encode does it, and the two errors are compared. If
   the error with feedback is larger by more than 1/32, or not finite, the records of llmq_encode
   are kept. H itself cannot be the judge: it is a sample, and an encoding that was fitted to a
   sample looks better in it than it is. The judge is
       J = H + lambda mean(diagonal) I,   lambda = 2 rho / (1 - rho), at least 0.01,
   where rho is the weight that the oracle approximating shrinkage [R21] gives the identity for this
   number of tokens. If damping had to be raised, lambda is not below it. For a diagonal, or if the
   tokens are not known, lambda is damping.
   Measured: 192 columns, 4 to 8,192 tokens of known distributions (AR(1) of 0.9 and 0.99, white,
   spectra 1/k and 1/k^2, outliers), damping 0, 0.01 and the default, first order 0 and 1, in g3 and
   t2. Under the true H the error without a judge was up to 10^18 times the error of llmq_encode.
   With it the error is at most 1.03 times as large, except from 4 heavy-tailed tokens, which no sum
   can reveal (1.2). With lambda = rho / (1 - rho) it was 1.4 times. */
#if !LLMQ_NO_CALIBRATION
#define LLMQ_ORDER_NATURAL  0
#define LLMQ_ORDER_DIAGONAL 1

typedef struct llmq_feedback_options {
    float damping;      /* relative to the mean of the diagonal, at most 10; negative: the default */
    float first_order;  /* 0 ... 1 */
    int order;          /* LLMQ_ORDER_... */
} llmq_feedback_options;

/* H made ready for the rows of one tensor, or of several that share cols, transform, group and p.
   Units: s is the mean of the diagonal of H / 2^k. c is the value of D if all are equal (d is then
   NULL), else 1. */
typedef struct llmq_feedback {
    uint32_t cols, group, p;
    llmq_transform transform;
    float damping;          /* the damping that was needed, relative to the mean of the diagonal */
    float first_order;      /* the option, times s / c */
    const float *m;         /* M^T: entry (k, j), j <= k, at k (k + 1) / 2 + j; NULL if H was a diagonal */
    float ridge;            /* (lambda - damping) s / c: J has this much more than H + damping on its diagonal */
    double unit;            /* c 2^k: an error in terms of d, times this, is in the units of H */
    const float *d;         /* d[cols]: D of H / 2^k, in the order of the columns below; NULL: all are equal */
    const uint32_t *column; /* column[cols]: the columns in the order in which they are quantized */
} llmq_feedback;

/* Bytes of memory for a llmq_feedback from this H: about 2 cols^2 + 8 cols if it is full, 8 cols if
   not. Returns 0 if h is NULL or its cols are out of range, or if the size does not fit size_t. */
LLMQ_API size_t llmq_feedback_size(const llmq_hessian *h);

/* Factor H for the rows of t.
   t, h: with the same cols and transform (llmq_hessian_transform). An H of zeros counts as I.
   options: NULL for the default damping and natural order. The default damping is 0.01 if *h is a
   diagonal or does not know its tokens (weight 0).
   mem: llmq_feedback_size bytes, aligned for float, which have to outlive *f.
   error: NULL allowed; written only with LLMQ_E_NOT_FINITE: status, row and col of the entry of H;
   and with LLMQ_E_INDEFINITE: status, and the column of the pivot as row and as col.
   Errors: LLMQ_E_ARG; LLMQ_E_MISMATCH (the transforms differ); LLMQ_E_WORKSPACE; LLMQ_E_NOT_FINITE
   (an entry of H); LLMQ_E_INDEFINITE (no damping up to 10 helped, so this is not a sum of squares).
   *f is then as it was.
   Cost: cols^3 / 6 multiply-adds for each damping that is tried. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_feedback_init(llmq_feedback *f, const llmq_tensor *t, const llmq_hessian *h,
                                                       const llmq_feedback_options *options, void *mem, size_t size,
                                                       llmq_error *error);

/* The outcome for rows that were encoded with feedback. Results of row ranges add up.
   Errors are sums over the rows of E J E^T, in the units of H, with E = W - W' in the basis of the
   tensor and J = H + lambda mean(diagonal) I. */
typedef struct llmq_feedback_result {
    uint32_t rows;             /* rows that were encoded */
    uint32_t plain_rows;       /* rows that were kept as llmq_encode does them */
    double error, plain_error; /* of the rows that were stored, and of the rows that llmq_encode would store */
} llmq_feedback_result;

/* Encode rows [r0, r1) as llmq_encode does, with error feedback.
   r0, r1, w, stride, data: as there (w is row r0, data is row 0).
   f: made for the cols, transform, group and p of t.
   options: as there. With feedback progress is called after every 16 rows, and for trellises after
   the blocks that are encoded together, up to 512 rows.
   work: llmq_feedback_work_size bytes, aligned for float: about 196 cols + 8 n p bytes, and 16
   records. For trellises 12 bytes a column and a record for each of up to 512 rows.
   result: NULL, or written if all went well.
   error: NULL allowed; written only with LLMQ_E_NOT_FINITE: status, row and col.
   Raw formats and formats with zero points are encoded without feedback: all rows are then plain,
   and errors are 0.
   Trellises with a diagonal are encoded as llmq_encode does them, with weighted errors: no row is
   then plain, and errors are 0.
   Threads: rows in different ranges may be encoded at the same time, with a workspace each. The
   bits are the same.
   Errors: as llmq_encode; LLMQ_E_MISMATCH if f was made for another shape of tensor. With
   LLMQ_E_NOT_FINITE no row is written. With LLMQ_E_STOPPED earlier rows are written.
   Cost: twice the cost of llmq_encode, and cols multiply-adds a weight, or 3/2 cols with first
   order or p > 1. First order adds cols^2 / (3 group) a weight. */
LLMQ_API size_t llmq_feedback_work_size(const llmq_tensor *t);
LLMQ_NODISCARD LLMQ_API llmq_status llmq_feedback_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1,
                                                         const float *w, size_t stride, const llmq_feedback *f,
                                                         const llmq_encode_options *options, void *work,
                                                         size_t work_size, llmq_feedback_result *result,
                                                         llmq_error *error);
#endif

/* ---- 17. Outliers -------------------------------------------------------------------------------

   Fits transform steps (section 4) to the inputs of a layer. In language models a few channels are
   tens or hundreds of times as large as the rest, and a few tokens are larger still. In 4 or 6
   bits, every value that shares a scale with such an outlier is lost. Three kinds of steps help:
     smoothing [R12]  divides each channel and multiplies its weights:
                          d_j = peak_j^alpha / weight_j^(1 - alpha)
                      peak_j = max |x_j| over the tokens; weight_j = max |w_j| over the rows of all
                      tensors that read x.
     zigzag [R13]     permutes channels so that each block gets a similar share of large ones. They
                      are dealt by decreasing peak to blocks 1, 2 ... K, K ... 2, 1, 1, 2 ... A full
                      block is skipped.
     rotation [R13]   spreads the outliers within blocks of B channels, one greedy step at a time.
                      Step k: let channel c hold the largest |x'| of the sample (for the criterion
                      ERROR: of the input for which max |x'|^2 / |x'|^2 is largest). Then
                          R_k = E Z Q E,    x' = x R_1 ... R_k
                      E exchanges channels 0 and c.
                      Z is the reflection whose first row is -1/sqrt(B) in every column.
                      Q = diag(1, Q'). Q' is a random orthogonal matrix, drawn at each step: the Q
                      of Householder's QR of a Gaussian matrix, which is a product of reflections
                      along normal vectors of B - 1, B - 2 ... 1 elements, and of signs [R14].
                      The product with the smallest criterion (peak, range or error) is kept; the
                      identity (no step) is one of the candidates.
   DuQuant [R13] is the list smoothing, rotation, zigzag, rotation.
   Recommended is smoothing, zigzag and one Hadamard step: log2(block) additions per element instead
   of 2 B multiply-adds.
   Measured: both lists do equally well (`make outliers`, `make eval`).
   Smoothing and permutation cost nothing where they can be folded (llmq_transform_fold). A rotation
   can never be folded. */
#if !LLMQ_NO_CALIBRATION

/* A sample of a layer's inputs, taken while they stream past: the peak of each channel over all
   inputs, and up to `capacity` whole inputs. capacity / 2 of them are those with the largest
   values; the others are drawn at random, each input with the same chance. */
typedef struct llmq_sample {
    uint32_t cols, capacity;  /* elements of an input; rows that fit */
    uint32_t top, drawn;      /* rows in use: `top` from row 0 on, `drawn` from row capacity / 2 on */
    uint32_t seen, seed;      /* inputs so far (2^32 - 1 stands for more) */
    float *peak;              /* [cols]: max |x_j| over all inputs */
    float *row;               /* [capacity][cols] */
    float *height;            /* [capacity / 2]: max |x_j| of each of the `top` rows */
} llmq_sample;

/* Bytes of memory for a sample: 4 cols (capacity + 1) + 4 (capacity / 2).
   capacity: inputs that are kept, at least 2. 128 inputs of 4,096 elements take 2.1 MB.
   0: cols is 0 or over LLMQ_MAX_COLS, capacity is below 2, or the size does not fit size_t. */
LLMQ_API size_t llmq_sample_size(uint32_t cols, uint32_t capacity);

/* Makes an empty sample.
   seed: of the random choice of inputs.
   mem: llmq_sample_size bytes, aligned for float; *s refers to it.
   Errors; *s is then untouched:
     LLMQ_E_ARG        s or mem is NULL, mem is misaligned, cols is 0, capacity is below 2
     LLMQ_E_LIMIT      cols is over LLMQ_MAX_COLS, or the size does not fit size_t
     LLMQ_E_WORKSPACE  size is too small */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_sample_init(llmq_sample *s, uint32_t cols, uint32_t capacity, uint32_t seed,
                                                     void *mem, size_t size);

/* Adds `count` inputs to the sample.
   x: x[count][cols], input i at x + i * stride.
   error: NULL allowed; written only with LLMQ_E_NOT_FINITE: status, row (the input) and col.
   The sample depends on the sequence of inputs only, not on how it is divided into calls.
   Errors; nothing is then added:
     LLMQ_E_ARG         s or x is NULL
     LLMQ_E_NOT_FINITE  a value is NaN or infinite
   Cost: two operations per element. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_sample_add(llmq_sample *s, const float *x, size_t stride, uint32_t count,
                                                    llmq_error *error);

/* peak[j] = max(peak[j], |rows[r][j]|): collects weight_j over all tensors that share an input.
   rows: rows[count][cols], row r at rows + r * stride.
   peak: [cols]; zeros before the first call.
   error: NULL allowed; written only with LLMQ_E_NOT_FINITE: status, row and col.
   Errors: LLMQ_E_ARG and LLMQ_E_NOT_FINITE as for llmq_sample_add; cols = 0 is LLMQ_E_ARG. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_peaks(const float *rows, size_t stride, uint32_t count, uint32_t cols,
                                               float *peak, llmq_error *error);

/* Criteria of a rotation; the smallest value is the best.
     PEAK   max |x'| over the sample, as in the paper
     RANGE  max x' - min x', as in its authors' program. The range always includes 0, as the range
            of an asymmetric scale does
     ERROR  mean over inputs of max |x'|^2 / |x'|^2, in the blocks that this matrix rotates. With
            one scale for each input the quantization error is proportional to it. The peak depends
            on the one largest input only, whatever the others are.
   Measured: 4-bit error 0.0145 with ERROR, 0.0154 with PEAK. */
#define LLMQ_CRITERION_PEAK  0
#define LLMQ_CRITERION_RANGE 1
#define LLMQ_CRITERION_ERROR 2

typedef struct llmq_fit_options {
    float alpha;             /* of smoothing, 0 ... 1 */
    float d_min, d_max;      /* bounds of d in smoothing: 2^-126 <= d_min <= d_max <= 3.4e38 */
    int criterion;           /* LLMQ_CRITERION_... */
    uint32_t steps;          /* of a rotation */
    uint32_t seed;           /* step i of the list takes llmq_random(seed, i) */
    llmq_progress progress;  /* NULL: none. Called with the steps of a rotation that are done, and `steps`,
                                for one matrix at a time */
    void *context;           /* of progress */
} llmq_fit_options;

/* alpha 0.6, d_min 0.01, d_max 10000, criterion ERROR, 256 steps [R13], seed 1, no progress. */
LLMQ_API llmq_fit_options llmq_fit_defaults(void);

/* Bytes of workspace for llmq_transform_fit; 0 if t is NULL, or if cols or the count of
   steps is out of range. */
LLMQ_API size_t llmq_fit_work_size(const llmq_transform *t, uint32_t cols);

/* Computes the data of a transform whose steps (kind, block and arg as in section 4, in any order)
   are given. Each step is fitted to the inputs as the steps before it leave them.
     smoothing    from the peaks of *s and of the weights
     permutation  zigzag into the blocks of the next step that mixes (rotation or Hadamard). Columns
                  that a rotation leaves out get the channels with the smallest peaks. Without a
                  step that mixes, channels are sorted by peak, so that similar ones share a group
     rotation     arg = 1: one matrix, fitted to all blocks together; else a matrix for each block,
                  fitted to it. Its normal values are one stream per step, pairs of the polar method
                  [R5] for each vector
   t: in: the steps; out: t->data = data.
   s: transformed with each step: afterwards a sample of T x. After a step that mixes, its peaks are
     taken over its own rows.
   weight: [cols], weight_j; NULL stands for ones. Transformed with each step; reset to 1 after a
     step that mixes.
   options: NULL stands for llmq_fit_defaults().
   data: the sum of llmq_step_data_size bytes, which *t then refers to; NULL if that is 0.
   work: llmq_fit_work_size bytes, aligned for double.
   Errors; t->data is then untouched:
     LLMQ_E_ARG          a pointer, an option or a step is out of range, or work is misaligned
     LLMQ_E_LIMIT        more than LLMQ_MAX_STEPS steps
     LLMQ_E_UNSUPPORTED  an unknown kind of step
     LLMQ_E_WORKSPACE    size or work_size is too small
     LLMQ_E_STOPPED      options->progress asked to stop; *s has then no rows, and its peaks, weight
                         and data are unspecified
   Cost of each step of a rotation: B^3 multiply-adds in double and rows * B * cols in float. With
   the criterion PEAK less: inputs that cannot hold the peak are skipped. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_fit(llmq_transform *t, llmq_sample *s, float *weight,
                                                       const llmq_fit_options *options, void *data, size_t size,
                                                       void *work, size_t work_size);

/* -- Folding: the layer that computes x takes over the leading steps, once, in its own weights. --
     FOLD_SMOOTH   x_j can be divided: it is a multiple of a gain of a norm or of a row of a layer
     FOLD_PERMUTE  x_j can move: its row can be permuted, and all that meets it moves too */
#define LLMQ_FOLD_SMOOTH  1
#define LLMQ_FOLD_PERMUTE 2

/* Number of leading steps of the given kinds.
   t: NULL counts as no steps.
   kinds: LLMQ_FOLD_SMOOTH, LLMQ_FOLD_PERMUTE or both, or-ed together. */
LLMQ_API uint32_t llmq_transform_foldable(const llmq_transform *t, int kinds);

/* Divides a transform: T = rest first, where first has n steps.
   Encode W with T, or W first^-1 (LLMQ_TO_WEIGHT) with rest. Either way the tensor that is used has
   the transform rest.
   *first and *rest refer to the data of *t.
   Errors: LLMQ_E_ARG if a pointer is NULL, n is over t->count, or that is over LLMQ_MAX_STEPS. */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_split(const llmq_transform *t, uint32_t n, llmq_transform *first,
                                                         llmq_transform *rest);

/* Applies x <- T x to the weights that compute x.
   t: SMOOTH and PERMUTE steps only.
   kinds: steps of other kinds are skipped. In x = silu(g) * u the rows of g take permutations only,
     and the rows of u take both.
   rows: rows[cols][n], row j at rows + j * stride; n = 1 for the gains of a norm.
   work: 8 cols bytes, aligned for float.
   Errors; the rows are then untouched:
     LLMQ_E_ARG                        a pointer or size is out of range, or another step is in *t
     LLMQ_E_WORKSPACE                  work_size is too small
     LLMQ_E_LIMIT, LLMQ_E_UNSUPPORTED  as for llmq_transform_apply
     LLMQ_E_NOT_FINITE                 a value is NaN or infinite, before or after */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_transform_fold(const llmq_transform *t, uint32_t cols, int kinds, float *rows,
                                                        size_t stride, uint32_t n, void *work, size_t work_size);

/* Multiply-adds (or additions) of T x: 1 per element for smoothing, B for a rotation, log2(2^k) + m
   for a Hadamard block of m 2^k, 0 for a permutation. */
LLMQ_API uint64_t llmq_transform_cost(const llmq_transform *t, uint32_t cols);
#endif

/* ---- 18. Allocation -----------------------------------------------------------------------------

   Chooses a format for each layer. By the linearity theorem [R1] the cost of quantization for a
   model is, while errors are small, a sum over its layers:
       increase of the loss = sum_l alpha_l t_l^2,    t_l^2 = |W_l - W'_l|^2 / |W_l|^2
   So the best file of a given size solves a multiple-choice knapsack problem [R16]:
       min sum_l loss[l][f_l]   subject to  sum_l cost[l][f_l] <= budget,  one option f_l per layer
   It is solved exactly, with a proof. A price lambda on a unit of cost gives a lower bound:
       sum loss >= bound(lambda) = sum_l min_f (loss[l][f] + lambda cost[l][f]) - lambda budget
   The residue r of an option is its loss + lambda cost, minus the minimum of its layer. The loss of
   every choice with this option is at least bound + r.
     1. lambda is the lowest price at which the minima fit in the budget.
     2. A greedy search spends the cost that the minima leave over. This gives a first solution.
     3. Options whose r is below the distance of the best solution from the bound are tried, layer
        by layer, in a Pareto list of (cost, loss), as in [R17]. Often a few layers of a thousand
        have such options. Better solutions on the way shorten the distance. */
#if !LLMQ_NO_CALIBRATION
/* Adds noise of a given size to weights: w[i] += t |w| / sqrt(n) * N(0,1). On average
   |w' - w|^2 / |w|^2 = t^2, and the error has no direction. It measures alpha: how much the loss
   increases for an error of known size in a layer.
   w: [n], changed in place. t: 0 ... 1.
   seed: the same seed gives the same values everywhere.
   Errors; w is then untouched:
     LLMQ_E_ARG         w is NULL, n is 0, t is out of range
     LLMQ_E_NOT_FINITE  a value of w, or of the result, is NaN or infinite */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_perturb(float *w, size_t n, double t, uint32_t seed);

/* Fits a line through the origin by least squares, as [R1] fits alpha:
       slope = sum x y / sum x^2,    error = sqrt(sum (y - slope x)^2 / (n - 1) / sum x^2)
   x, y: [n] pairs (t^2, increase of the loss).
   slope: may be negative for a layer that hardly matters: count it as 0 then.
   error: the standard error of slope; 0 for one pair.
   Errors; slope and error are then untouched:
     LLMQ_E_ARG         a pointer is NULL, n is 0, all x are 0
     LLMQ_E_NOT_FINITE  an input, or a result, is NaN or infinite */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_slope(const double *x, const double *y, uint32_t n, double *slope,
                                               double *error);

typedef struct llmq_option {
    uint64_t cost;  /* bytes, or any other unit; at most 2^53 */
    double loss;    /* infinite: must not be taken. A finite loss is within +-1e240 */
} llmq_option;

typedef struct llmq_allocation {
    uint64_t cost;   /* of the choice */
    double loss;     /* of the choice: the sum in the order of the layers */
    double bound;    /* no choice has a lower loss, to rounding; equal to loss if this is proven the best */
    uint32_t tried;  /* layers with more than one option to try; tied layers count once */
    uint32_t states; /* length of the longest list */
} llmq_allocation;

/* Bytes of workspace for llmq_allocate: about 240 per state and 32 per option. 0 if they do not fit
   size_t.
   options: of all layers together, first[layers] below.
   states: capacity of a list; 0 for 65,536, which take 15 MB. */
LLMQ_API size_t llmq_allocate_work_size(uint32_t layers, uint32_t options, uint32_t states);

/* Chooses an option for each layer, so that the sum of losses is minimal within the budget.
   options: layer l has options[first[l] ... first[l + 1] - 1], at least one, in any order. Pins and
     minimum formats are options of infinite loss.
   first: [layers + 1]; first[0] = 0.
   layers: 1 ... 2^24 - 1.
   tie: NULL, or [layers]: layers with equal tie take options of the same position, and have the
     same count of options.
   choice: [layers]: the option of layer l, counted from its first. Of equal choices the first found
     is taken.
   *result: see llmq_allocation. If a list gets longer than the workspace allows, its sums with the
     largest r are dropped. *result is right then, too: bound is below loss.
   work: aligned for double; work_size decides how many states there are.
   error: NULL allowed; written only with the errors marked *: status, row (the layer) and col (its
     option, counted from its first). If a sum of costs is over its limit: the first layer after the
     costs that exceed it, and option 0.
   Errors; choice and *result are then untouched, except as stated:
     LLMQ_E_ARG           a pointer is NULL, layers or first is out of range, tied layers have
                          different counts of options, work is misaligned
     LLMQ_E_WORKSPACE     work_size is below llmq_allocate_work_size(layers, first[layers], 1)
     LLMQ_E_LIMIT *       a cost is over 2^53, the largest costs of all layers add to more than
                          2^62, or a finite loss is beyond +-1e240
     LLMQ_E_NOT_FINITE *  a loss is NaN or -infinite
     LLMQ_E_LIMIT         no choice fits the budget. result->cost is then the lowest cost of a
                          choice, 2^64 - 1 if every choice has an infinite loss. *error is untouched
   Cost: about 100 passes over the options, and the lists.
   Measured: milliseconds for a thousand layers with thirty options each (`make bench`). */
LLMQ_NODISCARD LLMQ_API llmq_status llmq_allocate(const llmq_option *options, const uint32_t *first, uint32_t layers,
                                                  const uint32_t *tie, uint64_t budget, uint32_t *choice,
                                                  llmq_allocation *result, void *work, size_t work_size,
                                                  llmq_error *error);
#endif

#ifdef __cplusplus
}
#endif
#endif /* LLMQ_H */

#if defined(LLMQ_IMPLEMENTATION) && !defined(LLMQ_IMPLEMENTED)
#define LLMQ_IMPLEMENTED

/* ---- 0. Configuration ------------------------------------------------------------------------ */

/* Configurations that cannot work are refused here, each with its reason. */
#include <limits.h>
#if CHAR_BIT != 8
#error "llmq: bytes of 8 bits are needed"
#endif
/* One replacement alone would still need <string.h>. */
#if defined(LLMQ_MEMCPY) != defined(LLMQ_MEMSET)
#error "llmq: define both LLMQ_MEMCPY and LLMQ_MEMSET, or neither"
#endif
/* Sections 15 to 18 call sections 11 to 14, and fit transforms. */
#if LLMQ_NO_ENCODER && !LLMQ_NO_CALIBRATION
#error "llmq: calibration (LLMQ_NO_CALIBRATION 0) needs the encoder"
#endif
#if LLMQ_MAX_STEPS == 0 && !LLMQ_NO_CALIBRATION
#error "llmq: calibration (LLMQ_NO_CALIBRATION 0) needs transforms (LLMQ_MAX_STEPS 1 to 8)"
#endif
/* Only bits of LLMQ_WITH_ALL are allowed. ~LLMQ_WITH_G4, for example, is negative. */
#if (LLMQ_FORMATS) <= 0 || ((LLMQ_FORMATS) & ~LLMQ_WITH_ALL) != 0
#error "llmq: LLMQ_FORMATS is one or more of LLMQ_WITH_..."
#endif
/* Macros of versions before 0.6.0. If they were ignored, firmware would grow without a word. */
#if defined(LLMQ_NO_VECTOR_GRIDS) || defined(LLMQ_NO_TRELLIS)
#error "llmq: LLMQ_FORMATS replaces LLMQ_NO_VECTOR_GRIDS and LLMQ_NO_TRELLIS"
#endif
/* Flags that a macro reveals. llmq_selftest finds the others. */
#if !LLMQ_ALLOW_INEXACT
#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "llmq: -ffast-math (/fp:fast) breaks the promise of equal bits; leave it out, or define LLMQ_ALLOW_INEXACT to 1"
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
/* The only functions of a C library that this file calls. */
#ifndef LLMQ_MEMCPY
#include <string.h>
#define LLMQ_MEMCPY memcpy
#define LLMQ_MEMSET memset
#endif

/* The first part of llmq_simd.h: its configuration, and the headers of the intrinsics, which must
   not stand inside extern "C". The rest follows section 18, because vector kernels use every
   section. llmq_simd.h undoes LLMQ__SIMD_PART itself. */
#if LLMQ_SIMD
#define LLMQ__SIMD_PART LLMQ__PART_CONFIGURATION
#include LLMQ_SIMD_PATH
#endif

/* a * b + c must round twice: a fused multiply-add would change bits from one machine to another.
   gcc ignores the standard pragma, so an option holds for the rest of this file, and is undone at
   its end. clang has the pragma, but only at the head of a block: LLMQ__NO_CONTRACT stands first in
   each function that adds products. */
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

/* Helium's float vectors flush subnormals to zero in every mode of the processor, so compilers must
   not vectorize float loops for it. Functions of llmq_simd.h may use these vectors: they stand
   between a pop and another push. These are pragmas, because editors that list functions would take
   a macro for the beginning of one. */
#if defined(__ARM_FEATURE_MVE) && defined(__clang__)
#pragma clang attribute push(__attribute__((__target__("no-mve.fp"))), apply_to = function)
#elif defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#pragma GCC optimize("no-tree-loop-vectorize", "no-tree-slp-vectorize")
#endif

/* The null pointer, without a warning from C++ compilers (-Wzero-as-null-pointer-constant). */
#ifdef __cplusplus
#define LLMQ__NULL nullptr
#else
#define LLMQ__NULL 0
#endif
/* Casts are C casts, here and in llmq_simd.h. */
#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__))
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

/* For functions with buffers on the stack: if they were inlined, the frames of several would add up
   in their caller and exceed 256 bytes. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__TINYC__)
#define LLMQ__NOINLINE static __attribute__((__noinline__))
#elif defined(_MSC_VER)
#define LLMQ__NOINLINE static __declspec(noinline)
#else
#define LLMQ__NOINLINE static
#endif

/* True if a built-in format, or any of a set, is kept. It holds for formats that a program fills in
   by hand, too (section 6): then the compiler can remove the code that only other formats need. */
#define LLMQ__HAS(name) (((LLMQ_FORMATS) & LLMQ_WITH_##name) != 0)
#define LLMQ__ANY_TRELLIS LLMQ__HAS(TRELLISES)
#define LLMQ__ANY_ZERO_POINTS LLMQ__HAS(ZERO_POINTS)

/* Stops the compilation if the condition is false: the array would have -1 elements, and the
   message contains the name. It works in C99 and C++11. It is for file scope, where compilers do
   not warn of an unused typedef. Each name may be used once. */
#define LLMQ__ASSERT(name, condition) typedef char llmq__assert_##name[(condition) ? 1 : -1]

#ifdef __cplusplus
extern "C" {
#endif

/* The preprocessor takes an unknown name in LLMQ_FORMATS for 0; the compiler refuses it here. */
LLMQ__ASSERT(formats, (LLMQ_FORMATS) > 0);

/* Bits of a float are copied to a uint32_t, and bits of a double to a uint64_t. Only calibration
   uses doubles: a processor whose double has 4 bytes can still encode and multiply. */
LLMQ__ASSERT(float_size, sizeof(float) == 4);
LLMQ__ASSERT(double_size, LLMQ_NO_CALIBRATION || sizeof(double) == 8);

/* ---- 1. Utilities: status codes, half floats, random numbers, memory ------------------------- */

#if !LLMQ_NO_STRINGS
/* In the order of the codes: text i belongs to code -i. */
static const char *const llmq__texts[] = {
    "ok", "an argument is out of range or does not fit the others", "a size is over a limit",
    "the memory given is too small", "a number is NaN or infinite", "tensor and activation do not go together",
    "no room for another row", "stopped by the caller", "not found", "the bundle is cut off", "not a bundle",
    "a bundle of an unknown version", "the checksum does not match", "the bundle contradicts itself",
    "the bundle needs something unknown to this version",
    "this program's arithmetic is not IEEE single precision, or its kernels are miscompiled",
    "a matrix is not positive definite"
};
/* LLMQ_E_INDEFINITE is the last code, the lowest. */
LLMQ__ASSERT(texts, sizeof llmq__texts / sizeof llmq__texts[0] == 1 - LLMQ_E_INDEFINITE);
#endif

/* A status may come from a newer version, or from nowhere: it is compared before it is an index. */
LLMQ_API const char *llmq_status_text(llmq_status status)
{
#if LLMQ_NO_STRINGS
    (void)status;
    return "";
#else
    return status <= 0 && status >= LLMQ_E_INDEFINITE ? llmq__texts[-status] : "unknown status";
#endif
}

/* The bits of a float, and back. memcpy is the conversion that aliasing rules allow; compilers make
   one move of it. */
static uint32_t llmq__float_bits(float x) { uint32_t u; LLMQ_MEMCPY(&u, &x, 4); return u; }
static float llmq__bits_float(uint32_t u) { float x; LLMQ_MEMCPY(&x, &u, 4); return x; }

/* Loads from little-endian bytes at any address, on machines of either byte order. */
static uint32_t llmq__load16(const uint8_t *b) { return (uint32_t)b[0] | (uint32_t)b[1] << 8; }
static uint32_t llmq__load32(const uint8_t *b) { return llmq__load16(b) | llmq__load16(b + 2) << 16; }
static float llmq__load_float(const uint8_t *b) { return llmq__bits_float(llmq__load32(b)); }
#if LLMQ_MAX_STEPS > 0
/* x[n] from 4 n little-endian bytes; one copy where the machine stores floats in the same way. */
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
/* Stores of little-endian bytes, at any address. Higher bits of v are ignored. */
static void llmq__store16(uint8_t *b, uint32_t v) { b[0] = (uint8_t)(v & 255); b[1] = (uint8_t)(v >> 8 & 255); }
static void llmq__store32(uint8_t *b, uint32_t v) { llmq__store16(b, v & 65535); llmq__store16(b + 2, v >> 16); }
#endif

/* Checked sizes: 0 stands for "does not fit size_t", and both functions keep an a that is 0.
   No size that they compute is 0 itself. b of an addition may be 0: it adds nothing. */
static size_t llmq__size_mul(size_t a, size_t b) { return a == 0 || b == 0 || a > SIZE_MAX / b ? 0 : a * b; }
static size_t llmq__size_add(size_t a, size_t b) { return a == 0 || a > SIZE_MAX - b ? 0 : a + b; }

/* A count as a size; 0 if size_t is too small for it (machines of 16 bits). */
static size_t llmq__size(uint32_t v) { return (uint32_t)(size_t)v == v ? (size_t)v : 0; }

/* ceil_div is ceil(a / b), b > 0; a + b - 1 could overflow. */
static uint32_t llmq__min(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t llmq__ceil_div(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }
/* True if p is not aligned for float, as workspaces must be. */
static int llmq__misaligned(const void *p) { return (uintptr_t)p % sizeof(float) != 0; }

/* True if float arithmetic is IEEE-754 binary32 in the written order: the probes of llmq_selftest.
   volatile keeps compilers from computing the probes themselves, with better arithmetic than the
   program has. A value read from it once into a const (e, o, s, n) may be simplified as the flags
   permit: so it shows whether they reorder sums, use reciprocals or ignore NaN. */
LLMQ__NOINLINE int llmq__arithmetic_ok(void)
{
    LLMQ__NO_CONTRACT
    /* check: 1.1920929e-7f == 2**-23 */
    volatile float above = 1.0f + 1.1920929e-7f, below = 1.0f - 1.1920929e-7f;
    /* check: 1.17549435e-38f == 2**-126; 16777216 == 2**24 */
    volatile float one = 1.0f, tiny = 1.17549435e-38f, even = 16777216.0f;
    /* (1 + 2^-23) (1 - 2^-23) = 1 - 2^-46 rounds to 1: the difference is 0, or -2^-46 if fused. */
    volatile float fused = above * below - one;
    /* 2^24 + 1 rounds to the even 2^24: the difference is 0, or 1 in wider registers. */
    volatile float wide = (even + one) - even;
    /* 2^-127 is subnormal: it is 0 only if subnormals are flushed. */
    volatile float half = tiny * 0.5f;
    /* 1 + 1.5 * 2^-24 rounds up and 1 + 0.5 * 2^-24 down, if rounding is to nearest. */
    /* check: 8.9406967e-8f == 1.5 * 2**-24; 2.9802322e-8f == 0.5 * 2**-24 */
    volatile float up = one + 8.9406967e-8f, down = one + 2.9802322e-8f;
    volatile float three = 3.0f, seven = 7.0f, minus_zero = -0.0f, no_number = llmq__bits_float(0x7fc00000u);
    const float e = even, o = one, s = seven, n = no_number;
    /* 0 in the written order; 1 if the compiler cancels e first. */
    volatile float moved = (e + o) - e;
    /* Quotients that a multiplication by the rounded 1/7, or the rounded 1/3, does not give. */
    volatile float a = three / s, b = (three + three) / s, c = (three + three + three) / s;
    volatile float third = 5.0f * one / 3.0f, sign = minus_zero + 0.0f;
    if (llmq__float_bits(fused) != 0 || llmq__float_bits(wide) != 0 || !(half > 0.0f) || !(half + half >= tiny))
        return 0;
    /* check: 0x3f800001 == f32bits(1 + 2**-23); 0x3f800000 == f32bits(1) */
    if (llmq__float_bits(up) != 0x3f800001u || llmq__float_bits(down) != 0x3f800000u) return 0;
    /* sign: -0 + 0 is +0. Where signed zeros are ignored the addition vanishes, and -0 is left. */
    if (llmq__float_bits(moved) != 0 || llmq__float_bits(sign) != 0 || n < o || n >= o) return 0;
    /* check: 0x3edb6db7 == f32bits(3/7); 0x3f5b6db7 == f32bits(6/7) */
    if (llmq__float_bits(a) != 0x3edb6db7u || llmq__float_bits(b) != 0x3f5b6db7u
        /* check: 0x3fa49249 == f32bits(9/7) */
        || llmq__float_bits(c) != 0x3fa49249u) return 0;
    /* A constant without f is a double, unless -fsingle-precision-constant makes it a float; only
       calibration has such constants. check: 0x3fd55555 == f32bits(5/3) */
    return llmq__float_bits(third) == 0x3fd55555u && (LLMQ_NO_CALIBRATION || sizeof 0.1 == sizeof(double));
}

/* All three cases are computed, and then one is chosen: without branches, compilers make vectors of
   loops over it. 127 and 15 are the biases of the exponents; fractions have 23 and 10 bits. */
LLMQ_API float llmq_f16_to_f32(uint16_t bits)
{
    uint32_t all = bits, sign = (all & 0x8000u) << 16, rest = all & 0x7fffu;
    uint32_t normal = (rest + ((127u - 15u) << 10)) << 13,
             /* Infinity or NaN; 0x400000 makes NaN quiet. */
             special = 0x7f800000u | rest << 13 | (rest > 0x7c00u ? 0x400000u : 0);
    /* A subnormal is an integer times 2^-24. check: 16777216 == 2**24 */
    uint32_t subnormal = llmq__float_bits((float)(int32_t)rest * (1.0f / 16777216.0f));
    return llmq__bits_float(sign | (rest < 0x400u ? subnormal : rest < 0x7c00u ? normal : special));
}

/* value / 2^shift, rounded to nearest, ties to even; 1 <= shift <= 31. */
static uint32_t llmq__shift_even(uint32_t value, uint32_t shift)
{
    uint32_t kept = value >> shift, half = (uint32_t)1 << (shift - 1), rest = value & (half * 2 - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

/* a, the magnitude, is compared as bits, which have the order of positive floats. */
LLMQ_API uint16_t llmq_f32_to_f16(float x)
{
    uint32_t u = llmq__float_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    /* NaN: 0x7e00 is a quiet one, and the upper bits of the payload are added. */
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    /* From half-way between the largest binary16, 65504, and 2^16 on.
       check: 0x477ff000 == f32bits(65520) */
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    /* Below half the least subnormal, 2^-24. check: 0x33000000 == f32bits(2**-25) */
    if (a < 0x33000000u) return (uint16_t)sign;
    /* Subnormal in binary16: the significand in units of 2^-24. The shift is 14 ... 24.
       check: 0x38800000 == f32bits(2**-14) */
    if (a < 0x38800000u)
        return (uint16_t)(sign | llmq__shift_even((a & 0x7fffffu) | 0x800000u, 126u - (a >> 23)));
    /* Rounding may carry into the exponent: that is the next binary16, as it should be. */
    return (uint16_t)(sign | llmq__shift_even(a - ((127u - 15u) << 23), 13));
}

LLMQ_API float llmq_bf16_to_f32(uint16_t bits) { return llmq__bits_float((uint32_t)bits << 16); }

/* NaN is not rounded: rounding could carry it to infinity. 0x40 makes it quiet. */
LLMQ_API uint16_t llmq_f32_to_bf16(float x)
{
    uint32_t u = llmq__float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)llmq__shift_even(u, 16);
}

/* A finaliser in the manner of Appleby's MurmurHash3: xor-shifts and odd multiplications, a
   bijection of 32 bits. */
static uint32_t llmq__mix(uint32_t h)
{
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* The seed is mixed first, so that near seeds give unrelated sequences. */
LLMQ_API uint32_t llmq_random(uint32_t seed, uint32_t counter)
{
    /* 2^32 / golden ratio, and a prime near it.
       check: 0x9e3779b9 == floor(2**32 * (sqrt(5) - 1) / 2) */
    return llmq__mix(llmq__mix(seed + 0x9e3779b9u) ^ counter * 0x9e3779b1u);
}

/* Partial sums of a float dot product (section 9), and positions that a Paley step handles at once
   (section 3). The order of the sums is part of the specification, and llmq_simd.h writes 16. */
#define LLMQ__LANES 16
LLMQ__ASSERT(lanes, LLMQ__LANES == 16);

#if LLMQ_MAX_STEPS > 0 || !LLMQ_NO_ENCODER
/* Correctly rounded square root of a normal x > 0, bit by bit, without libm; 0 for any other x. */
static float llmq__sqrt(float x)
{
    uint32_t u = llmq__float_bits(x), e = u >> 23, root = 0, digit;
    uint64_t m;
    /* The sign is bit 8 of e: negative x are refused with infinities and NaN. */
    if (e == 0 || e >= 255) return 0.0f;
    /* x = m 2^(even), m in [2^48, 2^50): its root has 25 bits. */
    m = (uint64_t)((u & 0x7fffffu) | 0x800000u) << (e & 1 ? 25 : 26);
    for (digit = (uint32_t)1 << 24; digit; digit >>= 1)
        if ((uint64_t)(root | digit) * (root | digit) <= m) root |= digit;
    /* 24 bits and one to round by. A tie would be an odd root with an odd square, but m is even. */
    root = (root + 1) >> 1;
    /* The leading bit of root adds 1 to the exponent. */
    return llmq__bits_float(((e + 125) / 2 << 23) + root);
}
#endif

/* The integer nearest to y, ties to even; |y| < 2^21. In [2^23, 2^24) the last bit of a float is
   worth 1, so adding 1.5 * 2^23 rounds y to an integer in the low 23 bits, plus 0x400000.
   check: 12582912 == 1.5 * 2**23; 0x400000 == f32bits(12582912) & 0x7fffff */
static int32_t llmq__round(float y) { return (int32_t)(llmq__float_bits(y + 12582912.0f) & 0x7fffffu) - 0x400000; }
static int8_t llmq__round_i8(float y) { return (int8_t)llmq__round(y); }

#if !LLMQ_NO_ENCODER
/* LLMQ_E_NOT_FINITE, with its place in *error. error: NULL if nobody wants it. */
static llmq_status llmq__not_finite(uint32_t row, uint32_t col, llmq_error *error)
{
    if (error) error->status = LLMQ_E_NOT_FINITE, error->row = row, error->col = col;
    return LLMQ_E_NOT_FINITE;
}

/* LLMQ_OK if w[cols] is finite, else LLMQ_E_NOT_FINITE and the first such column in *error. row is
   the row to report there. */
static llmq_status llmq__find_not_finite(const float *w, uint32_t row, uint32_t cols, llmq_error *error)
{
    uint32_t j;
    for (j = 0; j < cols; j++)
        if ((llmq__float_bits(w[j]) & 0x7fffffffu) >= 0x7f800000u) return llmq__not_finite(row, j, error);
    return LLMQ_OK;
}

/* ln x for normal x > 0. x = m 2^e with m in [sqrt 1/2, sqrt 2) and
   ln m = 2 artanh t = 2 t + 2/3 t^3 + 2/5 t^5 ... , t = (m - 1)/(m + 1), |t| < 0.1716. The first
   term left out is 2/11 t^11.
   check: (sqrt(2) - 1) / (sqrt(2) + 1) < 0.1716; 2/11 * 0.1716**11 < 1e-9 */
static float llmq__ln(float x)
{
    LLMQ__NO_CONTRACT
    uint32_t u = llmq__float_bits(x);
    int32_t e = (int32_t)(u >> 23) - 127;
    /* check: 0x3f800000 == f32bits(1) */
    float m = llmq__bits_float((u & 0x7fffffu) | 0x3f800000u), t, s;
    /* check: 1.41421356f == f32(sqrt(2)) */
    if (m > 1.41421356f) m *= 0.5f, e++;
    t = (m - 1.0f) / (m + 1.0f);
    s = t * t;
    /* check: 0.693147181f == f32(log(2)) */
    return (float)e * 0.693147181f
           /* check: 0.666666667f == f32(2/3); 0.4f == f32(2/5); 0.285714286f == f32(2/7);
              0.222222222f == f32(2/9) */
           + t * (2.0f + s * (0.666666667f + s * (0.4f + s * (0.285714286f + s * 0.222222222f))));
}

/* out[2]: two independent N(0,1) variables by the polar method [R5]: u and v are uniform in the
   unit disc, and u sqrt(-2 ln s / s), v sqrt(-2 ln s / s) with s = u^2 + v^2 are normal.
   *counter: of llmq_random; advanced by 2 for each try, 4/pi tries on average. */
static void llmq__normal_pair(uint32_t seed, uint32_t *counter, float *out)
{
    LLMQ__NO_CONTRACT
    float u, v, s;
    do {
        /* 24 bits as an exact float in [-1, 1). check: 8388608 == 2**23 */
        u = (float)(llmq_random(seed, (*counter)++) >> 8) * (1.0f / 8388608.0f) - 1.0f;
        v = (float)(llmq_random(seed, (*counter)++) >> 8) * (1.0f / 8388608.0f) - 1.0f;
        s = u * u + v * v;
        /* u and v are multiples of 2^-23, so only s = 0 is below 1e-30. check: 2**-46 > 1e-30 */
    } while (s >= 1.0f || s < 1e-30f);
    s = llmq__sqrt(-2.0f * llmq__ln(s) / s);
    out[0] = u * s;
    out[1] = v * s;
}

/* out[p]: independent N(0,1) variables, p <= 8. Pairs are written: out has p elements, rounded up
   to an even count. */
static void llmq__normals(uint32_t seed, uint32_t *counter, uint32_t p, float *out)
{
    uint32_t i;
    for (i = 0; i < p; i += 2) llmq__normal_pair(seed, counter, out + i);
}

/* Bytes of a cache line: loading a vector that lies across two lines costs two loads. */
#define LLMQ__LINE 64u

/* Hands out a workspace piece by piece, from the front. Each piece begins at a multiple of `unit`
   bytes after the base. With base NULL the pieces are only counted. So one function states the
   layout of a workspace, for its size function and for its use, and the two cannot differ. */
typedef struct llmq__arena {
    char *base;   /* NULL: count only */
    size_t used;  /* bytes up to the next piece; SIZE_MAX once the pieces do not fit size_t */
    size_t unit;  /* bytes */
} llmq__arena;

/* An arena at base, which is aligned for everything that is put there. */
static llmq__arena llmq__arena_of(void *base, size_t unit)
{
    llmq__arena a;
    a.base = (char *)base;
    a.used = 0;
    a.unit = unit;
    return a;
}

#if LLMQ__ANY_TRELLIS || !LLMQ_NO_CALIBRATION
/* An arena whose pieces begin at cache lines, for a base of any alignment. It skips up to a line to
   reach the first. The count includes a whole line: a size must not depend on an address. */
static llmq__arena llmq__arena_of_lines(void *base)
{
    llmq__arena a = llmq__arena_of(base, LLMQ__LINE);
    a.used = base ? (LLMQ__LINE - (uintptr_t)base % LLMQ__LINE) % LLMQ__LINE : LLMQ__LINE;
    return a;
}
#endif

/* Bytes used. Returns 0 if they do not fit size_t. */
static size_t llmq__arena_size(const llmq__arena *a) { return a->used < SIZE_MAX ? a->used : 0; }

/* A piece of count elements of `size` bytes each, neither of them 0. If it does not fit size_t the
   arena is marked (used = SIZE_MAX), and stays so: callers test llmq__arena_size at the end.
   With a base, memory was checked against that size before: no piece lies outside of it. */
static void *llmq__alloc(llmq__arena *a, size_t count, size_t size)
{
    /* bytes = 0: the product overflowed. Half of SIZE_MAX for each term keeps the sum from it. */
    size_t bytes = llmq__size_mul(count, size), from = a->used;
    if (bytes == 0 || bytes > SIZE_MAX / 2 || from > SIZE_MAX / 2) a->used = SIZE_MAX;
    /* Rounded up to whole units: the next piece is aligned, and so is the end. */
    else a->used = from + (bytes + a->unit - 1) / a->unit * a->unit;
    return a->base ? a->base + from : LLMQ__NULL;
}
#endif /* !LLMQ_NO_ENCODER */

#if !LLMQ_NO_CALIBRATION
/* x rounded to 12 significant bits, to nearest, ties to even. The product of two such values is
   exact in the 24 bits of a float. So a fused multiply-add gives the bits of a multiplication and
   an addition, and every processor may use the instruction that it has.
   Magnitudes below 2^-60 become 0, and those above 2^60 become 2^60, so that products are normal.
   NaN stays NaN. */
static float llmq__round12(float x)
{
    uint32_t u = llmq__float_bits(x), a = u & 0x7fffffffu, sign = u & 0x80000000u;
    /* Bits of magnitudes have the order of the magnitudes. The limits have biased exponents. */
    if (a > 0x7f800000u) return x;
    if (a < (uint32_t)(127 - 60) << 23) return 0.0f;
    if (a > (uint32_t)(127 + 60) << 23) a = (uint32_t)(127 + 60) << 23;
    /* 12 of 24 bits go: add half of the last bit that is kept, less 1, and that bit itself, which
       breaks ties to even. A carry into the exponent is right.
       check: 0x7ff == 2**12 / 2 - 1; 0xfffff000 == 2**32 - 2**12 */
    return llmq__bits_float(sign | ((a + 0x7ffu + (a >> 12 & 1)) & 0xfffff000u));
}

/* x limited to -limit ... limit; NaN stays NaN. */
static float llmq__clamp(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }

/* <u, v> of n floats in double. Products are exact: 24 + 24 bits fit the 53 of a double. The order
   of the sums is part of the result. */
static double llmq__dot(const float *u, const float *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    /* Four sums: with one, each addition would wait for the one before it. */
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0;
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

/* <u, v> of n doubles, in two sums. */
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

/* x - x is 0 if x is finite, else NaN. */
static int llmq__finite(double x) { return x - x >= 0.0; }

/* 2^e, exactly; -1022 <= e <= 1023, which is not checked. */
static double llmq__exp2_64(int32_t e)
{
    uint64_t u = (uint64_t)(e + 1023) << 52;
    double x;
    LLMQ_MEMCPY(&x, &u, sizeof x);
    return x;
}

/* 2^e for any e, limited to 2^-1000 ... 2^1000. The distance to the limits of double leaves a
   margin for the other factors of a product. */
static double llmq__power(int32_t e) { return llmq__exp2_64(e < -1000 ? -1000 : e > 1000 ? 1000 : e); }

/* Square root of a normal x > 0, to an ulp or two; 0 for any other x. x = m 2^(even), m in [1, 4).
   llmq__sqrt of m has a relative error of about 2^-24, and each of Newton's steps squares it. */
static double llmq__sqrt64(double x)
{
    uint64_t u;
    int32_t e;
    double m, r;
    LLMQ_MEMCPY(&u, &x, 8);
    /* The sign is bit 11 of u >> 52: a negative x has e >= 1024. */
    e = (int32_t)(u >> 52) - 1023;
    if (e <= -1023 || e >= 1024) return 0.0;
    /* 2^-(even e) in two equal factors. Both products are exact. */
    m = x * llmq__exp2_64(-(e - (e & 1)) / 2) * llmq__exp2_64(-(e - (e & 1)) / 2);
    r = (double)llmq__sqrt((float)m);
    r = 0.5 * (r + m / r);
    r = 0.5 * (r + m / r);
    return r * llmq__exp2_64((e - (e & 1)) / 2);
}

/* e^x for x <= 0; 0 for x <= -700 and NaN. x = n ln 2 + r, |r| < 0.35. ln 2 is taken in two parts,
   355/512 - 2.12e-4: n times the first is exact, so r keeps its bits. The first term of Taylor's
   series left out is r^12 / 12!. check: log(2) / 2 < 0.35; 0.35**12 / 479001600 < 1e-14 */
static double llmq__exp64(double x)
{
    LLMQ__NO_CONTRACT
    static const double series[12] = { 1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0,
                                       1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0,
                                       1.0 / 3628800.0, 1.0 / 39916800.0 };
    double r, sum = 0.0;
    int32_t n, i;
    if (!(x > -700.0)) return 0.0;
    /* The conversion rounds towards 0: with - 0.5 it gives the nearest n of x <= 0. n >= -1010, so
       2^n is normal. check: 1.4426950408889634 == 1 / log(2); 700 / log(2) + 0.5 < 1011 */
    n = (int32_t)(x * 1.4426950408889634 - 0.5);
    /* check: 0.693359375 == 355/512; abs(355/512 - 2.1219444005469058e-4 - log(2)) < 2**-53 */
    r = (x - (double)n * 0.693359375) + (double)n * 2.1219444005469058e-4;
    /* Horner's rule, from the last term. */
    for (i = 11; i >= 0; i--) sum = sum * r + series[i];
    return sum * llmq__exp2_64(n);
}

#endif

/* ---- 2. Kernels ------------------------------------------------------------------------------ */

/* The scalar kernels. Their contracts stand with struct llmq_kernels. Each is defined in the
   section of its operation:
       butterflies paley  3       read_row add_rows add_scaled  7       nearest       11
       signs              4       quantize                      8       viterbi       12
                                  rows_i8 rows_f32              9       add_products  15 */
#if LLMQ_MAX_STEPS > 0
static void llmq__signs(float *v, uint32_t cols, uint32_t seed);
static void llmq__butterflies(float *x, uint32_t n, float norm);
static void llmq__paley(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares,
                        float *work);
#endif
static float llmq__quantize(const float *x, uint32_t n, float levels, int8_t *q);
static void llmq__read_row(const llmq_tensor *t, uint32_t r, float *out);
static void llmq__add_rows(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out);
static void llmq__rows_i8(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                          float *y, size_t y_stride);
static void llmq__rows_f32(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                           float *y, size_t y_stride);
LLMQ__NOINLINE void llmq__add_scaled(float *out, float scale, const float *v, uint32_t n);
#if !LLMQ_NO_ENCODER
static void llmq__nearest_codes(const float *points, uint32_t n, uint32_t p, const float *x, float inverse,
                                uint32_t count, uint16_t *code);
#if LLMQ__ANY_TRELLIS
LLMQ__NOINLINE void llmq__viterbi(const float *points, const uint8_t *parity, uint32_t set_size, uint32_t sets,
                                  uint32_t states, const float *x, uint32_t steps, uint32_t lanes, float *sum,
                                  uint16_t *choice);
#endif
#endif
#if !LLMQ_NO_CALIBRATION
static void llmq__add_products(float *const *out, const float *const *a, size_t a_step, const float *v,
                               size_t v_stride, uint32_t rows, uint32_t count, uint32_t n);
#endif

/* All kernel tables are made from this list: X(needs, member, kernel, suffix), in the order of
   struct llmq_kernels. needs: the part of the library without which the member is NULL. kernel: the
   name of the function without llmq__ and suffix. A table gives four suffixes, empty for scalar
   kernels:
       floats    of kernels on floats
       sums      of kernels on floats whose sums may be subnormal
       codes     of kernels on codes
       products  of int8 products */
#define LLMQ__KERNELS(X, floats, sums, codes, products) \
    X(TRANSFORM, signs, signs, floats)                  \
    X(TRANSFORM, butterflies, butterflies, floats)      \
    X(TRANSFORM, paley, paley, floats)                  \
    X(NOTHING, quantize, quantize, floats)              \
    X(NOTHING, read_row, read_row, codes)               \
    X(NOTHING, add_rows, add_rows, codes)               \
    X(NOTHING, rows_i8, rows_i8, products)              \
    X(NOTHING, rows_f32, rows_f32, codes)               \
    X(NOTHING, add_scaled, add_scaled, sums)            \
    X(ENCODER, nearest, nearest_codes, floats)          \
    X(TRELLIS_ENCODER, viterbi, viterbi, sums)          \
    X(CALIBRATION, add_products, add_products, sums)

/* The kernel, or NULL if the configuration leaves out the part that calls it. */
#define LLMQ__NEEDS_NOTHING(kernel) kernel
#if LLMQ_MAX_STEPS > 0
#define LLMQ__NEEDS_TRANSFORM(kernel) kernel
#else
#define LLMQ__NEEDS_TRANSFORM(kernel) LLMQ__NULL
#endif
#if !LLMQ_NO_ENCODER
#define LLMQ__NEEDS_ENCODER(kernel) kernel
#else
#define LLMQ__NEEDS_ENCODER(kernel) LLMQ__NULL
#endif
#if !LLMQ_NO_ENCODER && LLMQ__ANY_TRELLIS
#define LLMQ__NEEDS_TRELLIS_ENCODER(kernel) kernel
#else
#define LLMQ__NEEDS_TRELLIS_ENCODER(kernel) LLMQ__NULL
#endif
#if !LLMQ_NO_CALIBRATION
#define LLMQ__NEEDS_CALIBRATION(kernel) kernel
#else
#define LLMQ__NEEDS_CALIBRATION(kernel) LLMQ__NULL
#endif

/* The list has every member, each in its place. Tables are initialized by position, as C++11 needs,
   so a kernel in the wrong place with the same type would not be noticed otherwise. */
#define LLMQ__PLACE(needs, member, kernel, suffix) LLMQ__PLACE_OF_##member,
enum { LLMQ__KERNELS(LLMQ__PLACE, , , , ) LLMQ__KERNEL_COUNT };
#define LLMQ__IN_PLACE(needs, member, kernel, suffix)                                              \
    LLMQ__ASSERT(place_of_##member, offsetof(llmq_kernels, member) ==                              \
                 offsetof(llmq_kernels, signs) + LLMQ__PLACE_OF_##member * sizeof(void (*)(void)));
LLMQ__KERNELS(LLMQ__IN_PLACE, , , , )
LLMQ__ASSERT(kernel_count, sizeof(llmq_kernels) ==
             offsetof(llmq_kernels, signs) + LLMQ__KERNEL_COUNT * sizeof(void (*)(void)));

/* A table: its name, the features that it needs, and the kernels of the list. */
#define LLMQ__ENTRY(needs, member, kernel, suffix) , LLMQ__NEEDS_##needs(llmq__##kernel##suffix)
#define LLMQ__TABLE(id, features, floats, sums, codes, products)    \
    static const llmq_kernels llmq__table_##id = {                  \
        #id, features                                               \
        LLMQ__KERNELS(LLMQ__ENTRY, floats, sums, codes, products)   \
    }
/* Table 0. It needs no features. */
LLMQ__TABLE(scalar, 0, , , , );

/* Defined in llmq_simd.h, which is included after section 18. llmq__simd_at(i) is table i + 1, NULL
   after the last. */
#if LLMQ_SIMD
static const llmq_kernels *llmq__simd_at(uint32_t i);
static uint32_t llmq__simd_features(void);
#endif

/* Tables are constants of the program: a pointer to one is valid forever and may be shared. */
LLMQ_API const llmq_kernels *llmq_kernels_at(uint32_t i)
{
    if (i == 0) return &llmq__table_scalar;
#if LLMQ_SIMD
    return llmq__simd_at(i - 1);
#else
    return LLMQ__NULL;
#endif
}

/* The expression of the configuration replaces the default even without llmq_simd.h. Without it
   there is only table 0, which needs no features. */
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

/* Tables are in order of speed, so the last that can run is the best. */
LLMQ_API const llmq_kernels *llmq_kernels_best(void)
{
    const llmq_kernels *k, *best = &llmq__table_scalar;
    /* Asked once: CPUID traps on some virtual machines, and then takes microseconds. */
    uint32_t i, features = llmq_cpu_features();
    for (i = 1; (k = llmq_kernels_at(i)) != LLMQ__NULL; i++)
        if ((k->features & ~features) == 0) best = k;
    return best;
}

/* The table of an argument or a tensor that may be NULL, for the scalar one. */
static const llmq_kernels *llmq__kernels(const llmq_kernels *k) { return k ? k : llmq_kernels_at(0); }

/* ---- 3. Hadamard ----------------------------------------------------------------------------- */
#if LLMQ_MAX_STEPS > 0

/* Largest m of an order. The Paley matrix is dense: it costs m additions per element. The bitmap of
   squares in llmq__hadamard_block has one bit for each index mod q < m. */
#define LLMQ__MAX_BASE 128

static int llmq__is_power_of_2(uint32_t v) { return v != 0 && (v & (v - 1)) == 0; }

/* True for primes; by trial division, since v < LLMQ__MAX_BASE. */
static int llmq__is_prime(uint32_t v)
{
    uint32_t d;
    for (d = 2; d * d <= v; d++)
        if (v % d == 0) return 0;
    return v > 1;
}

/* The m of an order n = m 2^k: 1, or the order of a Paley matrix. Returns 0 if n is no order.
   n >= 1; the smallest m is found first, since 4 times the odd part of n divides every m. */
static uint32_t llmq__base(uint32_t n)
{
    uint32_t m = n;
    if (llmq__is_power_of_2(n)) return 1;
    while (m % 2 == 0) m /= 2;
    /* m/2 % 4 = 2 says that m/2 - 1 is 1 mod 4, as type II needs. m is a multiple of 4, so m - 1 is
       3 mod 4, as type I needs. */
    for (m *= 4; m <= LLMQ__MAX_BASE && n % m == 0; m *= 2)
        if (llmq__is_prime(m - 1) || (m / 2 % 4 == 2 && llmq__is_prime(m / 2 - 1))) return m;
    return 0;
}

/* The first block of n >= 1 elements, by the rule above the declarations; max_block is a power of
   two. The conditions are b <= n / 2 and not 2 b <= n, which could overflow. */
static uint32_t llmq__block(uint32_t n, uint32_t max_block)
{
    uint32_t b = 1;
    if (n <= max_block && llmq__base(n)) return n;
    while (b <= n / 2 && b <= max_block / 2) b *= 2;
    return b;
}

/* 32768 fits the uint16_t of struct llmq_step. */
static int llmq__max_block_ok(size_t b) { return b <= 32768u && llmq__is_power_of_2((uint32_t)b); }

LLMQ_API size_t llmq_hadamard_block(size_t n, size_t max_block)
{
    if (max_block == 0) max_block = LLMQ_DEFAULT_BLOCK;
    if (n == 0 || !llmq__max_block_ok(max_block)) return 0;
    /* n may not fit 32 bits. Every n > max_block has the block of 2 max_block: max_block itself. */
    return llmq__block(n > max_block ? (uint32_t)max_block * 2 : (uint32_t)n, (uint32_t)max_block);
}

LLMQ_API size_t llmq_hadamard_work_size(size_t n, size_t max_block)
{
    size_t need = 0, b;
    for (; (b = llmq_hadamard_block(n, max_block)) != 0; n -= b) {
        uint32_t m = llmq__base((uint32_t)b);
        /* n > 2 b only if b is max_block. The next n / b - 1 blocks are equal: skip all but one, or
           this loop would be linear in n. */
        if (n > 2 * b) n = b + n % b;
        /* llmq__paley needs m rows of `lanes` positions, for at most LLMQ__LANES of a run's b / m.
           Only the last block has m > 1, so this is the maximum. At most 128 * 16 * 4 bytes. */
        if (m > 1) need = m * (b / m < LLMQ__LANES ? b / m : LLMQ__LANES) * sizeof(float);
    }
    return need;
}

/* True if entry (i, j), i, j < m, of Paley's symmetric Hadamard matrix of order m over the prime q
   is negative. squares: bit a is set if a is a non-zero square mod q, so bit 0 is clear.
   Type I, q = m - 1 = 3 mod 4: the first row and column are +; other entries are chi(i + j),
   indices from 0 after the first, and - where i + j = 0 mod q. It is the textbook matrix I + S with
   rows and columns in an order that makes it symmetric.
   Type II, q = m/2 - 1 = 1 mod 4: C x [[+ +][+ -]] + I x [[+ -][- -]] (Kronecker products), C the
   symmetric conference matrix chi(i - j) with a border of +. */
static int llmq__paley_negative(uint32_t m, uint32_t q, const uint8_t *squares, uint32_t i, uint32_t j)
{
    uint32_t a, r = i & 1, c = j & 1;
    if (q == m - 1) {
        if (i == 0 || j == 0) return 0;
        /* i - 1 and j - 1 are below q, so one subtraction reduces their sum. */
        a = i - 1 + j - 1;
        if (a >= q) a -= q;
        return !(squares[a >> 3] >> (a & 7) & 1);
    }
    /* (i, j) becomes the block of 2 x 2, and (r, c) is the entry in it. Only (1, 1) of [[+ +][+ -]]
       is negative, and all but (0, 0) of [[+ -][- -]]. */
    i /= 2, j /= 2;
    if (i == j) return (int)(r | c);
    if (i == 0 || j == 0) return (int)(r & c);
    /* i - j mod q, in 1 ... q - 1; the border takes 1 off both indices. */
    a = i >= j ? i - j : i + q - j;
    return (int)((r & c) ^ (1 ^ (squares[a >> 3] >> (a & 7) & 1u)));
}

/* The Paley matrix times the m elements x[i * run + t], i < m, for each t < lanes. m additions per
   element; terms are added in ascending order, which is part of the specification.
   squares: as above. work: m * lanes floats, a copy of the elements, since x is overwritten row by
   row. */
static void llmq__paley(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares,
                        float *work)
{
    uint32_t i, l, t;
    for (l = 0; l < m; l++)
        LLMQ_MEMCPY(work + l * lanes, x + l * run, lanes * sizeof(float));
    for (i = 0; i < m; i++) {
        float *y = x + i * run;
        /* Column 0 begins the sum. It is + in all rows but row 1 of type II. */
        LLMQ_MEMCPY(y, work, lanes * sizeof(float));
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

/* Kernel butterflies, n = 2^k elements. Pass h combines elements at distance h, from blocks of 2 h
   each; after it every block of 2 h is transformed. The order of the passes is part of the
   specification: the opposite order rounds otherwise. */
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

/* x[n] <- H x for one block: n is an order, at most 32768. work: llmq_hadamard_work_size bytes,
   unused if n is a power of two. Frame: 16 bytes of squares, a bit for each index below q < 128. */
LLMQ__NOINLINE void llmq__hadamard_block(const llmq_kernels *k, float *x, uint32_t n, float *work)
{
    uint32_t m = llmq__base(n), run = n / m, i, j, q;
    float norm = 1.0f / llmq__sqrt((float)n);
    uint8_t squares[LLMQ__MAX_BASE / 8];
    if (m == 1) {
        k->butterflies(x, n, norm);
        return;
    }
    /* Shorter runs do not fill a vector. */
    if (run < LLMQ__LANES) k = llmq_kernels_at(0);
    q = llmq__is_prime(m - 1) ? m - 1 : m / 2 - 1;
    /* Squares of 1 ... q - 1 mod q. i * i < 2^14. */
    LLMQ_MEMSET(squares, 0, sizeof squares);
    for (i = 1; i < q; i++) squares[i * i % q >> 3] |= (uint8_t)(1u << (i * i % q & 7));
    /* Norm 1 is exact: the block is scaled once, at the end. */
    for (i = 0; i < m; i++) k->butterflies(x + i * run, run, 1.0f);
    /* The matrix acts on each position of the runs alike, so positions can be cut into lanes
       anywhere. */
    for (j = 0; j < run; j += LLMQ__LANES) k->paley(x + j, m, q, run, llmq__min(run - j, LLMQ__LANES), squares, work);
    for (i = 0; i < n; i++) x[i] *= norm;
}

LLMQ_API llmq_status llmq_hadamard(float *x, size_t n, size_t max_block, void *work, size_t work_size,
                                   const llmq_kernels *kernels)
{
    size_t b;
    /* Everything is checked before x is touched: on failure it keeps its contents. */
    if (!x || n == 0 || llmq_hadamard_block(n, max_block) == 0) return LLMQ_E_ARG;
    b = llmq_hadamard_work_size(n, max_block);
    if (b && (!work || llmq__misaligned(work))) return LLMQ_E_ARG;
    if (work_size < b) return LLMQ_E_WORKSPACE;
    /* The blocks one after the other: they do not overlap, and share the workspace. */
    for (; n; n -= b, x += b) {
        b = llmq_hadamard_block(n, max_block);
        llmq__hadamard_block(llmq__kernels(kernels), x, (uint32_t)b, (float *)work);
    }
    return LLMQ_OK;
}
#endif /* LLMQ_MAX_STEPS */

/* ---- 4. Transform ---------------------------------------------------------------------------- */
#if LLMQ_MAX_STEPS == 0

/* Without steps a transform is a count that must be 0. These functions replace the ones after
   #else, with the same contracts, so that callers need no conditions. */
static llmq_status llmq__transform_check(const llmq_transform *t, uint32_t cols)
{
    /* The code of more steps than LLMQ_MAX_STEPS. */
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

static llmq_status llmq__transform_work_check(const llmq_transform *t, uint32_t cols, const void *work,
                                              size_t work_size)
{
    (void)t, (void)cols, (void)work, (void)work_size;
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_transform_apply(const llmq_transform *t, int direction, float *v, uint32_t cols, void *work,
                                          size_t work_size, const llmq_kernels *kernels)
{
    (void)work, (void)work_size, (void)kernels;
    if (!v || cols == 0 || cols > LLMQ_MAX_COLS || direction < LLMQ_TO_ACTIVATION || direction > LLMQ_FROM_WEIGHT)
        return LLMQ_E_ARG;
    return t ? llmq__transform_check(t, cols) : LLMQ_OK;
}
#else

/* Unused steps and data are 0. */
LLMQ_API llmq_transform llmq_transform_hadamard(uint32_t seed, uint32_t max_block)
{
    llmq_transform t;
    LLMQ_MEMSET(&t, 0, sizeof t);
    t.count = 1;
    t.step[0].kind = LLMQ_STEP_HADAMARD;
    /* A max_block that does not fit becomes 0, which llmq__transform_check refuses. */
    t.step[0].block = (uint16_t)(max_block == 0 ? LLMQ_DEFAULT_BLOCK : max_block <= 32768u ? max_block : 0);
    t.step[0].arg = seed;
    return t;
}

/* arg counts elements (SMOOTH: 4 bytes, PERMUTE: 2) or matrices (ROTATE: B^2 floats). It is checked
   here, so that n and the sizes made of it are in range in the functions below. */
LLMQ_API size_t llmq_step_data_size(const llmq_step *step)
{
    size_t n = step ? llmq__size(step->arg) : 0;
    if (n == 0 || n > LLMQ_MAX_COLS) return 0;
    if (step->kind == LLMQ_STEP_SMOOTH && step->block == 0) return llmq__size_mul(n, 4);
    if (step->kind == LLMQ_STEP_PERMUTE && step->block == 0 && step->arg <= 65536u) return llmq__size_mul(n, 2);
    /* 4 B^2 is at most 2^18; the product with n may still overflow 32 bits, so it is checked. */
    if (step->kind == LLMQ_STEP_ROTATE && step->block >= 2 && step->block <= 256 && llmq__is_power_of_2(step->block))
        return llmq__size_mul(n, 4 * (size_t)step->block * step->block);
    return 0;
}

/* Check the kinds, blocks and args of all steps, for vectors of cols elements; cols 0: for any.
   The data are not read, but there must be some where a step needs them.
   Must precede every other function below that takes a transform. Errors: LLMQ_E_LIMIT,
   LLMQ_E_UNSUPPORTED, LLMQ_E_ARG. */
static llmq_status llmq__transform_check(const llmq_transform *t, uint32_t cols)
{
    uint32_t i;
    /* First of all: no loop over the steps may pass the end of t->step. */
    if (t->count > LLMQ_MAX_STEPS) return LLMQ_E_LIMIT;
    for (i = 0; i < t->count; i++) {
        const llmq_step *step = &t->step[i];
        /* A kind of a later version is not an error of the caller: its block and arg are not
           judged. */
        if (step->kind < LLMQ_STEP_HADAMARD || step->kind > LLMQ_STEP_ROTATE) return LLMQ_E_UNSUPPORTED;
        if (step->kind == LLMQ_STEP_HADAMARD) {
            /* arg is a seed: any value, for any cols. */
            if (!llmq__max_block_ok(step->block)) return LLMQ_E_ARG;
            continue;
        }
        /* Size 0: block or arg is out of range, or the product does not fit size_t. */
        if (!t->data || llmq_step_data_size(step) == 0) return LLMQ_E_ARG;
        /* ROTATE has a matrix for each run, or one for all; block is not 0 after the size was. */
        if (cols && step->arg != (step->kind == LLMQ_STEP_ROTATE ? cols / step->block : cols)
            && !(step->kind == LLMQ_STEP_ROTATE && step->arg == 1))
            return LLMQ_E_ARG;
    }
    return LLMQ_OK;
}

/* The offset of step i in t->data: bytes of the steps before it. t was checked. The sum fits size_t
   where the data are in memory; the reader of bundles checks that first (section 10). */
static size_t llmq__transform_data(const llmq_transform *t, uint32_t i)
{
    size_t n = 0;
    while (i-- > 0) n += llmq_step_data_size(&t->step[i]);
    return n;
}

/* True if the n u16 values at b are a permutation of 0 ... n - 1. Pass by pass it marks the values
   of one range of 1024 in a bitmap, which a frame of 256 bytes can hold: n^2 / 1024 loads, that is
   64 passes for the largest n, 65536. */
LLMQ__NOINLINE int llmq__is_permutation(const uint8_t *b, uint32_t n)
{
    /* check: 128 == 1024 / 8 */
    uint8_t seen[128];
    uint32_t from, j, k;
    for (from = 0; from < n; from += 1024) {
        LLMQ_MEMSET(seen, 0, sizeof seen);
        for (j = 0; j < n; j++) {
            k = llmq__load16(b + 2 * (size_t)j);
            if (k >= n) return 0;
            /* A value below the range wraps around, and is skipped like one above it. */
            k -= from;
            if (k >= 1024) continue;
            if (seen[k / 8] >> k % 8 & 1) return 0;
            seen[k / 8] = (uint8_t)(seen[k / 8] | 1u << k % 8);
        }
    }
    /* n values below n, none of them twice: each occurs once. */
    return 1;
}

/* True if the data b of a step fit its kind: a permutation; factors d that are normal and positive;
   rows of matrices with a squared length in 1 -+ 1/16. step was checked and is no HADAMARD. */
static int llmq__step_data_ok(const llmq_step *step, const uint8_t *b)
{
    LLMQ__NO_CONTRACT
    /* n: floats of SMOOTH or ROTATE. sum: of the squares of a row so far. */
    size_t n = llmq_step_data_size(step) / 4, i;
    float sum = 0.0f, v;
    if (step->kind == LLMQ_STEP_PERMUTE) return llmq__is_permutation(b, step->arg);
    for (i = 0; i < n; i++, b += 4) {
        /* Sign and exponent: negative values, infinities and NaN have e > 254. */
        uint32_t e = llmq__load32(b) >> 23;
        if (step->kind == LLMQ_STEP_SMOOTH) {
            if (e < 1 || e > 254) return 0;
            continue;
        }
        /* 1/16 is far above the rounding of B <= 256 terms, and keeps out data that are no
           rotation. */
        v = llmq__load_float(b);
        sum += v * v;
        if ((i + 1) % step->block) continue;
        /* The end of a row. NaN is refused: its comparisons are false.
           check: 0.9375f == 1 - 1/16; 1.0625f == 1 + 1/16 */
        if (!(sum >= 0.9375f && sum <= 1.0625f)) return 0;
        sum = 0.0f;
    }
    return 1;
}

/* True if the data of all steps are valid. t was checked. */
static int llmq__transform_data_ok(const llmq_transform *t)
{
    uint32_t i;
    for (i = 0; i < t->count; i++)
        if (t->step[i].kind != LLMQ_STEP_HADAMARD
            && !llmq__step_data_ok(&t->step[i], t->data + llmq__transform_data(t, i))) return 0;
    return 1;
}

LLMQ_API llmq_status llmq_transform_verify(const llmq_transform *t, uint32_t cols)
{
    llmq_status status;
    if (!t || cols == 0 || cols > LLMQ_MAX_COLS) return LLMQ_E_ARG;
    /* Steps first: they say how long the data are. */
    if ((status = llmq__transform_check(t, cols)) != LLMQ_OK) return status;
    return llmq__transform_data_ok(t) ? LLMQ_OK : LLMQ_E_ARG;
}

/* True if both transforms have the same steps with the same data. Both were checked.
   Every product calls this for each activation, which has a copy of its tensor's transform, with
   the same data pointer. In this common case at most LLMQ_MAX_STEPS steps are compared, and no
   data.
   Data are compared only if the pointers differ, as when two bundles contain equal transforms. */
static int llmq__transform_same(const llmq_transform *a, const llmq_transform *b)
{
    uint32_t i;
    size_t n;
    if (a->count != b->count) return 0;
    for (i = 0; i < a->count; i++)
        if (a->step[i].kind != b->step[i].kind || a->step[i].block != b->step[i].block
            || a->step[i].arg != b->step[i].arg) return 0;
    if (a->data == b->data) return 1;
    /* The steps are equal, so a and b have data of equal size: none if all are HADAMARD, whose
       pointers may be anything. */
    for (n = llmq__transform_data(a, a->count); n > 0; n--)
        if (!a->data || !b->data || a->data[n - 1] != b->data[n - 1]) return 0;
    return 1;
}

/* The maximum over the steps, which use the workspace one after the other. PERMUTE: a copy of the
   vector. ROTATE: a run of the result, and a row of the matrix. t may be unchecked. */
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

/* LLMQ_OK if work is aligned and large enough for the transform. Callers that write their output
   before they transform it ask first, so that they fail with nothing written. */
static llmq_status llmq__transform_work_check(const llmq_transform *t, uint32_t cols, const void *work,
                                              size_t work_size)
{
    size_t need = llmq_transform_work_size(t, cols);
    if (need && (!work || llmq__misaligned(work))) return LLMQ_E_ARG;
    return work_size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* Kernel signs: 32 signs from each random word. */
static void llmq__signs(float *v, uint32_t cols, uint32_t seed)
{
    uint32_t j, bits = 0;
    for (j = 0; j < cols; j++) {
        /* A word depends on j alone, so a kernel may begin at any j. */
        if (j % 32 == 0) bits = llmq_random(seed, j / 32);
        if (bits >> j % 32 & 1) v[j] = -v[j];
    }
}

/* v[n] by the diagonal D = diag(1/d) at data: T v = D v, T^-T v = D^-1 v, and T^T v = D v again. */
static void llmq__smooth(float *v, uint32_t n, const uint8_t *data, int direction)
{
    uint32_t j;
    /* A division and not a product with 1 / d, which would round twice. */
    for (j = 0; j < n; j++, data += 4)
        v[j] = direction == LLMQ_TO_WEIGHT ? v[j] * llmq__load_float(data) : v[j] / llmq__load_float(data);
}

/* v[n] by the permutation at data. It is orthogonal, so T^-T = T, and T^T is the inverse.
   work: n floats, a copy of v. Every p_j is below n: llmq_bundle_open has checked it, and data of
   the program are trusted. */
static void llmq__permute(float *v, uint32_t n, const uint8_t *data, int direction, float *work)
{
    uint32_t j;
    LLMQ_MEMCPY(work, v, n * sizeof *v);
    for (j = 0; j < n; j++, data += 2) {
        if (direction == LLMQ_FROM_WEIGHT) v[llmq__load16(data)] = work[j];
        else v[j] = work[llmq__load16(data)];
    }
}

/* One run v[n] by the orthogonal matrix r[n][n] at data: v_i <- sum_k r_ki v_k; back: by its
   transpose, v_k <- sum_i r_ki v_i. Terms are added in order in both, so the bits are defined.
   work: 2 n floats. Forwards each row of r is added to the result (kernel add_scaled); backwards it
   is a dot product with v. So r is read once from front to back. */
static void llmq__rotate(float *v, uint32_t n, const uint8_t *data, int back, float *work, const llmq_kernels *kernels)
{
    LLMQ__NO_CONTRACT
    /* out: the result. row: row k of r, since data need no alignment. */
    float *out = work, *row = work + n;
    uint32_t i, k;
    LLMQ_MEMSET(out, 0, n * sizeof *out);
    for (k = 0; k < n; k++, data += 4 * n) {
        llmq__load_floats(row, data, n);
        /* v is intact until the end, and the result apart from it. */
        if (back) for (i = 0; i < n; i++) out[k] += row[i] * v[i];
        else kernels->add_scaled(out, v[k], row, n);
    }
    LLMQ_MEMCPY(v, out, n * sizeof *v);
}

/* All whole runs of v[cols], each by its own matrix, or all by one if arg is 1. */
static void llmq__rotate_runs(float *v, uint32_t cols, const llmq_step *step, const uint8_t *data, int back,
                              float *work, const llmq_kernels *kernels)
{
    /* j + n does not overflow: cols <= 2^24. Elements after the last whole run stay as they are. */
    uint32_t j, n = step->block;
    for (j = 0; j + n <= cols; j += n) {
        llmq__rotate(v + j, n, data, back, work, kernels);
        if (step->arg > 1) data += 4 * (size_t)n * n;
    }
}

/* Step i of t on v[cols], in place. t, cols and work were checked; kernels is not NULL.
   HADAMARD: T = H S with signs S. H and S are symmetric and orthogonal, so T^-T = T, and T^T = S H
   applies the signs last. */
static llmq_status llmq__step_apply(const llmq_transform *t, uint32_t i, int direction, float *v, uint32_t cols,
                                    void *work, size_t work_size, const llmq_kernels *kernels)
{
    const llmq_step *step = &t->step[i];
    const uint8_t *data = t->data ? t->data + llmq__transform_data(t, i) : LLMQ__NULL;
    llmq_status status;
    /* The kinds exclude each other; the check has refused all others. */
    if (step->kind == LLMQ_STEP_HADAMARD) {
        if (direction != LLMQ_FROM_WEIGHT) kernels->signs(v, cols, step->arg);
        if ((status = llmq_hadamard(v, cols, step->block, work, work_size, kernels)) != LLMQ_OK) return status;
        if (direction == LLMQ_FROM_WEIGHT) kernels->signs(v, cols, step->arg);
    }
    if (step->kind == LLMQ_STEP_SMOOTH) llmq__smooth(v, cols, data, direction);
    if (step->kind == LLMQ_STEP_PERMUTE) llmq__permute(v, cols, data, direction, (float *)work);
    if (step->kind == LLMQ_STEP_ROTATE)
        llmq__rotate_runs(v, cols, step, data, direction == LLMQ_FROM_WEIGHT, (float *)work, kernels);
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_transform_apply(const llmq_transform *t, int direction, float *v, uint32_t cols, void *work,
                                          size_t work_size, const llmq_kernels *kernels)
{
    llmq_status status;
    uint32_t i;
    if (!v || cols == 0 || cols > LLMQ_MAX_COLS || direction < LLMQ_TO_ACTIVATION || direction > LLMQ_FROM_WEIGHT)
        return LLMQ_E_ARG;
    if (!t) return LLMQ_OK;
    /* After these checks no step fails, so v is either transformed as a whole or untouched. */
    if ((status = llmq__transform_check(t, cols)) != LLMQ_OK) return status;
    if ((status = llmq__transform_work_check(t, cols, work, work_size)) != LLMQ_OK) return status;
    /* T = T_k ... T_1, and T^-T = T_k^-T ... T_1^-T in the same order. T^T = T_1^T ... T_k^T begins
       with the last step. */
    for (i = 0; i < t->count && status == LLMQ_OK; i++)
        status = llmq__step_apply(t, direction == LLMQ_FROM_WEIGHT ? t->count - 1 - i : i, direction, v, cols, work,
                                  work_size, llmq__kernels(kernels));
    return status;
}
#endif /* LLMQ_MAX_STEPS */

/* ---- 5. Tables: the built-in grids and trellises --------------------------------------------- */

/* tests/gen/grids.py writes the grids up to the trellises.
   Each table stands under its own LLMQ__HAS, so a firmware holds only the points that it uses.
   LLMQ__UNIT_... is sigma, a standard deviation of 1 in point coordinates: `unit` of llmq_format.

   To add a built-in grid:
     1. a bit LLMQ_WITH_... after the last one of section 0, also in LLMQ_WITH_ALL and in the group
        that it belongs to: LLMQ_WITH_GRIDS, LLMQ_WITH_VECTOR_GRIDS or LLMQ_WITH_ZERO_POINTS;
     2. its table and its LLMQ__UNIT_..., which tests/gen/grids.py makes, under its LLMQ__HAS;
     3. an #undef of that LLMQ__UNIT_... at the end of the file;
     4. an entry at the end of llmq__builtins, with an id that no format has had;
     5. its known answer, which tests/gen/selftest.py prints, at the end of llmq__test_answers
        (without it nothing compiles);
     6. its line in the table of section 5's declarations.
   Decoding, encoding and products then work with the scalar kernels and with the general paths of
   the others. A fast path is optional: a kind LLMQ__KIND_... in llmq_simd.h. */

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

/* Trellises. tests/gen/trellis.c finds them and prints these lines; scripts there read them.
   Beside each table: the MSE of an open search (rows in no tail-biting blocks), its distance in dB
   from 4^-b, and for each parity the lags that its taps have as bits. */
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

#define LLMQ__MAX_LAG 10 /* the largest lag of a tap: a parity takes no code further above */

/* A built-in format, as in llmq_format. n follows from bits and taps; group is the caller's. */
typedef struct llmq__builtin {
    const char *name;
    const int8_t *points;        /* NULL: raw */
    float unit;                  /* sigma of the points; 0: raw */
    uint16_t id;                 /* bundles store it: it never changes, and no other format gets it */
    uint8_t bits, p, zero_points;
    uint16_t taps[4];            /* 0: a grid, or raw */
} llmq__builtin;

/* The order is the order of the LLMQ_WITH_... bits; menus and llmq_kernels_test depend on it.
   Version 0.1 used the ids 16 ... 21, 32 ... 37 and 256; its rows had another layout.
   Ids 42 ... 45 and 51 were built in until 0.10 (section 5's declarations).
   u4 and u8 take their points from g8, in which g8[k] = k - 128 for k > 0, and g8[0] = -127.
   check: 120 - 128 = -2^(4-1) */

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
#if LLMQ__HAS(U4)
    { "u4",     llmq__g8 + 120, 2.5f,              50, 4,  1, 1, { 0 } }, /* -8 ... 7 */
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

/* ---- 6. Format and row layout ---------------------------------------------------------------- */

/* Three things are here: functions that make and check a format; the layout of a row,
   llmq__layout; and the unpacking of codes.
   A code is found in two steps. llmq__find_code finds its unit and its value there. llmq__find_run
   finds the bits of the value in the planes, and how many codes after it are stored alike.
   No other function of this file knows how codes are laid out, except for the encoder, which stores
   them (section 11). The vector kernels of llmq_simd.h load codes in their own ways. */

/* Smallest b with 2^b >= n.
   n: 0 ... 2^31; from there on no shift of 32 bits reaches it. */
static uint32_t llmq__ceil_log2(uint32_t n)
{
    uint32_t b = 0;
    while (((uint32_t)1 << b) < n) b++;
    return b;
}

/* The kind of a format: raw, trellis, or else a grid, with or without zero points.
   If LLMQ_FORMATS has no format of a kind, the answer is a constant 0, and the compiler drops the
   code for that kind. This holds for formats that a program fills in by hand, too. */
static int llmq__is_raw(const llmq_format *f) { return LLMQ__HAS(RAW) && !f->points; }
static int llmq__is_trellis(const llmq_format *f) { return LLMQ__ANY_TRELLIS && f->taps[0] != 0; }
static int llmq__has_zero_points(const llmq_format *f) { return LLMQ__ANY_ZERO_POINTS && f->zero_points != 0; }

/* True if g is a valid group: the whole row, or a multiple of 32 up to 1024.
   Multiples of LLMQ__CHUNK, so that a chunk of columns never crosses a group.
   Up to 1024 columns, so that the integer sum of a group is exact in float (section 8). */
static int llmq__group_ok(uint32_t g) { return g == 0 || (g % 32 == 0 && g <= 1024); }

/* Number of parities of a trellis; 0 for a grid.
   Parities that do not exist come last (llmq__taps_ok). */
static uint32_t llmq__parities(const llmq_format *f)
{
    uint32_t i = 0;
    while (i < 4 && f->taps[i]) i++;
    return i;
}

/* Points in the table of a format that is not raw.
   Every index that a code can have is below it, so any bits of a record are safe to decode.
   The index of a trellis is made of code / 2, which has bits - 1 bits, and of the parities. */
static uint32_t llmq__table(const llmq_format *f)
{
    return (uint32_t)1 << (llmq__is_trellis(f) ? f->bits - 1 + llmq__parities(f) : f->bits);
}

/* True if there are no taps (a grid), or if all of this holds:
   the parities have no gap between them;
   no lag is over LLMQ__MAX_LAG, the reach that all kernels provide for;
   some lag is not 0: with lag 0 alone the format would be a grid. */
static int llmq__taps_ok(const llmq_format *f)
{
    uint32_t all = (uint32_t)f->taps[0] | f->taps[1] | f->taps[2] | f->taps[3], i = llmq__parities(f);
    for (; i < 4; i++)
        if (f->taps[i]) return 0;
    return all == 0 || (all > 1 && all >> (LLMQ__MAX_LAG + 1) == 0);
}

/* True if a format without points is one of raw elements, of 2 or 4 bytes. */
static int llmq__raw_ok(const llmq_format *f)
{
    return LLMQ__HAS(RAW) && f->p == 1 && (f->bits == 16 || f->bits == 32) && !f->zero_points && !f->taps[0];
}

/* True if *f is a format that this program keeps and that memory safety can rest on:
   the table of points covers every code, and no width or count is out of range.
   It reads no points. Whether they are there and sorted is for the caller to know
   (llmq__points_sorted). */
static int llmq__format_ok(const llmq_format *f)
{
    if (!llmq__taps_ok(f) || f->p < 1 || f->p > 8 || f->bits < 1) return 0;
    if (!f->points) return llmq__raw_ok(f);
    /* A NaN fails, too. check: 7.8886091e-31f == 2^-100; 1.2676506e30f == 2^100 */
    if (!(f->unit >= 7.8886091e-31f && f->unit <= 1.2676506e30f) || !llmq__group_ok(f->group)) return 0;
    if (f->taps[0]) /* an index, of bits - 1 + 4 bits at most, fits a byte (llmq__indices) */
        return LLMQ__ANY_TRELLIS && f->p == 1 && f->bits <= 4 && !f->zero_points && f->n == llmq__table(f);
    return f->bits <= 16 && llmq__ceil_log2(f->n) == f->bits
           && f->zero_points <= (LLMQ__ANY_ZERO_POINTS && f->p == 1 && f->bits <= 8 ? 1 : 0);
}

/* Every member is set, so *f may be uninitialised.
   n comes last, because llmq__table reads bits and taps. */
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

/* Order of two strings, by bytes as unsigned values.
   Below 0, 0 or above 0 if a comes before b, equals it, or comes after it.
   Bundles sort their names by it. */
static int llmq__compare(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

/* The format is built in a copy, so that *f is unchanged on an error. */
LLMQ_API llmq_status llmq_format_find(llmq_format *f, const char *name, uint32_t group)
{
    llmq_format found;
    uint32_t i;
    if (!f || !name) return LLMQ_E_ARG;
    for (i = 0; llmq_format_at(&found, i) == LLMQ_OK; i++)
        if (llmq__compare(found.name, name) == 0) {
            /* raw formats ignore the group, so that a program can pass the same one for any name */
            if (found.points && !llmq__group_ok(group)) return LLMQ_E_ARG;
            if (found.points) found.group = group;
            *f = found;
            return LLMQ_OK;
        }
    return LLMQ_E_NOT_FOUND;
}

/* A custom format whose points need not be sorted.
   Takes constant time, so that the reader of bundles can open a grid without a look at each point.
   p, n, points, unit, group: as llmq_format_custom.
   On an error *f is unchanged. */
static llmq_status llmq__format_of(llmq_format *f, uint32_t p, uint32_t n, const int8_t *points, float unit,
                                   uint32_t group)
{
    llmq_format g;
    if (!points || n < 2 || n > 65536u) return LLMQ_E_ARG; /* 1 ... 16 bits a code */
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

/* True if the first n points are sorted by their first coordinate.
   The encoder's search for the nearest point relies on it; decoding does not. */
static int llmq__points_sorted(const llmq_format *f)
{
    uint32_t i;
    for (i = 1; i < f->n; i++)
        if (f->points[(size_t)i * f->p] < f->points[(size_t)(i - 1) * f->p]) return 0;
    return 1;
}

LLMQ_API llmq_status llmq_format_custom(llmq_format *f, uint32_t p, uint32_t n, const int8_t *points, float unit,
                                        uint32_t group)
{
    llmq_format g; /* *f stays as it is until the points are known to be sorted, too */
    llmq_status status = f ? llmq__format_of(&g, p, n, points, unit, group) : LLMQ_E_ARG;
    if (status != LLMQ_OK || !llmq__points_sorted(&g)) return LLMQ_E_ARG;
    *f = g;
    return LLMQ_OK;
}

/* Columns that are decoded together.
   They bound the buffers of decoding, so that frames are small, and they divide every group. */
#define LLMQ__CHUNK 32
#define LLMQ__UNIT 128         /* codes of a whole unit of a grid: M of the row record */
#define LLMQ__TRELLIS_UNIT 256 /* codes of a whole unit of a trellis */

/* The layout of a row: everything that follows from format and cols. */
typedef struct llmq__layout {
    uint32_t group;        /* columns that share a scale, never 0 */
    uint32_t vectors;      /* codes of a whole group: its runs of p elements */
    uint32_t codes;        /* codes of the row */
    uint32_t scales;       /* bytes of the scales, before the codes */
    uint32_t zero_points;  /* bytes of the zero points, after the codes */
    uint32_t bits;         /* of a code */
    uint32_t unit;         /* codes of a whole unit */
    int pairs;             /* 1: two codes of 3 bits are stored as one value of 6 bits */
} llmq__layout;

/* The layout of a row of a valid format.
   cols: 1 ... LLMQ_MAX_COLS. For raw formats only `group` counts: the whole row.
   Nothing overflows: codes <= cols <= 2^24, and scales <= 2 cols. */
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

/* Width of the first plane of values of `bits` bits: the widest that fits.
   bits: 1 ... 16. */
static uint32_t llmq__plane_width(uint32_t bits) { return bits >= 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1; }

/* Bytes of a plane of that many values: u of the row record.
   values: 0 ... LLMQ__TRELLIS_UNIT. */
static uint32_t llmq__plane_bytes(uint32_t values, uint32_t width) { return llmq__ceil_div(values * width, 8); }

/* Bytes of a unit: the sum of its planes.
   codes: 0 ... l->unit; the last unit of a row has fewer than a whole one. */
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
    /* 32 bits hold it: for raw formats at most 2^24 elements of 4 bytes, else at most 2^24 codes of
       2 bytes, and 3 bytes for each group of 32 columns or more.
       check: 2^24 * 4 < 2^32; 2^24 * 2 + 2^24 / 32 * 3 < 2^32 */
    if (llmq__is_raw(f)) return llmq__size(cols * (f->bits / 8));
    l = llmq__row_layout(f, cols);
    return llmq__size(l.scales + l.codes / l.unit * llmq__unit_bytes(&l, l.unit)
                      + llmq__unit_bytes(&l, l.codes % l.unit) + l.zero_points);
}

/* The position of a code. Codes are stored as values: a value is a code, or a pair of codes.
   The codes after it differ only in k, as long as k < capacity: until the unit ends, or with pairs
   until its half ends. */
typedef struct llmq__code_position {
    uint32_t unit;         /* bytes from the first code of the row to the unit */
    uint32_t k;            /* the value in the unit that holds the code */
    uint32_t capacity;     /* values in the unit: M of the row record, H with pairs */
    uint32_t bits, shift;  /* of a value; of the code in it: 0, or 3 for the second of a pair */
} llmq__code_position;

/* The position of code `code` < l->codes of a row.
   The encoder writes by it, and decoding reads by it. */
static llmq__code_position llmq__find_code(const llmq__layout *l, uint32_t code)
{
    llmq__code_position pos;
    pos.k = code % l->unit;
    /* The units before it are whole. A whole unit has a multiple of 128 codes. So it has
       codes / 8 * bits bytes, with pairs too, and shares no byte with another. */
    pos.unit = (code - pos.k) / 8 * l->bits;
    pos.capacity = llmq__min(l->codes - (code - pos.k), l->unit);
    pos.bits = l->bits;
    pos.shift = 0;
    if (l->pairs) { /* value k is the pair of codes k and k + capacity */
        pos.bits = 6;
        pos.capacity = llmq__ceil_div(pos.capacity, 2);
        if (pos.k >= pos.capacity) pos.k -= pos.capacity, pos.shift = 3;
    }
    return pos;
}

/* A field of a plane that consecutive codes lie in: neighbouring bytes, at the same bits.
   For code i of the run, bits up, up + 1, ... are (byte i from `byte` on) >> shift & mask.
   All three fit a byte: shift + (bits of the mask) <= 8, and up <= 15. */
typedef struct llmq__bit_field {
    uint32_t byte;           /* bytes from the first code of the row */
    uint8_t shift, mask, up;
} llmq__bit_field;

#define LLMQ__MAX_FIELDS 4 /* planes of a code, at most: a code of 15 bits has 8, 4, 2 and 1 */

/* The run of codes that begins at code `code` < l->codes and stays in one field of each plane.
   f: room for LLMQ__MAX_FIELDS. Set to one field for each plane that holds bits of the code, from
      its lowest bits up.
   *count: codes of the run, at least 1. It ends where a field or the unit ends, and with pairs
      where the half of the unit ends. The last half of a row may count one code too many, which
      the record has as 0: callers know how many codes there are.
   Returns the number of fields, at least 1.
   This and llmq__find_code are the CODES of the row record. All scalar decoding uses them, and so
   does the encoder. */
static uint32_t llmq__find_run(const llmq__layout *l, uint32_t code, llmq__bit_field *f, uint32_t *count)
{
    llmq__code_position pos = llmq__find_code(l, code);
    uint32_t fields = 0, done = 0, up = 0, width, bytes, byte, shift, taken;
    *count = pos.capacity - pos.k;
    /* done: bits of a value in earlier planes; up: bits of the code in them. The next bit of the
       code, bit pos.shift + up of the value, is in the plane of bits [done, done + width). */
    for (; up < l->bits; up += taken, done += width, pos.unit += bytes, fields++, f++) {
        width = llmq__plane_width(pos.bits - done);
        bytes = llmq__plane_bytes(pos.capacity, width);
        taken = llmq__min(done + width - pos.shift - up, l->bits - up);
        /* k mod bytes and k div bytes, in at most 7 steps: division is slow on small processors */
        for (byte = pos.k, shift = pos.shift + up - done; byte >= bytes; byte -= bytes) shift += width;
        f->byte = pos.unit + byte;
        f->shift = (uint8_t)shift;
        f->mask = (uint8_t)(((uint32_t)1 << taken) - 1);
        f->up = (uint8_t)up;
        *count = llmq__min(*count, bytes - byte);
    }
    return fields;
}

/* code[0, n) |= (b[0, n) >> shift & mask) << up: one field of a run.
   b: n bytes, apart from code.
   The loop of 16 has a constant count, so that compilers make vectors of it. */
LLMQ__NOINLINE void llmq__merge_field(const uint8_t *b, uint32_t n, const llmq__bit_field *f, uint16_t *code)
{
    const uint32_t shift = f->shift, mask = f->mask, up = f->up;
    uint32_t i;
    for (; n >= 16; n -= 16, b += 16, code += 16)
        for (i = 0; i < 16; i++) code[i] = (uint16_t)(code[i] | (b[i] >> shift & mask) << up);
    for (i = 0; i < n; i++) code[i] = (uint16_t)(code[i] | (b[i] >> shift & mask) << up);
}

/* code[0, count) = codes first, first + 1, ... of a row, which begin at row_codes.
   count: up to LLMQ__CHUNK, with first + count <= l->codes.
   It reads no byte outside of the fields of these codes. */
LLMQ__NOINLINE void llmq__unpack(const uint8_t *row_codes, const llmq__layout *l, uint32_t first, uint32_t count,
                                 uint16_t *code)
{
    llmq__bit_field f[LLMQ__MAX_FIELDS];
    uint8_t b[LLMQ__CHUNK]; /* a copy: bytes of the row may overlap anything, in a compiler's eyes */
    uint32_t n, i, fields;
    LLMQ_MEMSET(code, 0, count * sizeof *code); /* fields are or-ed into it */
    for (; count; count -= n, first += n, code += n) {
        fields = llmq__find_run(l, first, f, &n);
        n = llmq__min(count, n);
        for (i = 0; i < fields; i++) {
            LLMQ_MEMCPY(b, row_codes + f[i].byte, n);
            llmq__merge_field(b, n, f + i, code);
        }
    }
}

/* ---- 7. Tensor ------------------------------------------------------------------------------- */

/* The walk of a row, from the outside in:
     llmq_tensor_decode      checks, picks kernels, adds zero points, undoes the transform
     read_row, add_rows      kernels: the whole row, a chunk of columns at a time, with its scale
     llmq__values            a chunk before the scale: raw elements, or points as float
     llmq__points            a chunk of points as int8; products begin here, too (section 9)
     llmq__unpack            grids: the codes, whose points are looked up
     llmq__indices           trellises: the indices, from this record and the records above it
   A chunk is up to LLMQ__CHUNK columns of one group.
   A tensor is trusted: nothing below the first line checks an argument. llmq__format_ok held for
   its format, so every code has a point. */

LLMQ_API size_t llmq_tensor_size(const llmq_format *f, uint32_t rows, uint32_t cols)
{
    return llmq__size_mul(llmq_row_size(f, cols), llmq__size(rows));
}

/* Everything is checked before *t is written. From here on the view is trusted. */
LLMQ_API llmq_status llmq_tensor_init(llmq_tensor *t, const llmq_format *f, const llmq_transform *transform,
                                      uint32_t rows, uint32_t cols, const void *data, size_t size)
{
    llmq_status status;
    size_t row = f ? llmq_row_size(f, cols) : 0;
    /* With a valid format and cols > 0, a row size of 0 can only mean that a limit is exceeded. */
    if (!t || !f || !data || cols == 0 || !llmq__format_ok(f)) return LLMQ_E_ARG;
    if (row == 0) return LLMQ_E_LIMIT;
    if (transform && (status = llmq__transform_check(transform, cols)) != LLMQ_OK) return status;
    if (size / row < rows) return LLMQ_E_WORKSPACE; /* not rows * row > size, which could overflow */
    LLMQ_MEMSET(t, 0, sizeof *t); /* with transform NULL there are no steps */
    t->format = *f;
    if (transform) t->transform = *transform;
    t->rows = rows;
    t->cols = cols;
    t->row_size = row;
    t->data = (const uint8_t *)data;
    t->kernels = LLMQ_KERNELS;
    return LLMQ_OK;
}

/* A tail-biting block of a trellis: its first row, and its rows. */
typedef struct llmq__trellis_block {
    uint32_t first, rows;
} llmq__trellis_block;

/* The block that row r of a trellis of `rows` rows is in; r < rows.
   Blocks have LLMQ_TRELLIS_BLOCK rows.
   Rows left over at the end join the block before them, which then has up to 255.
   A tensor with fewer rows than a block is one block. */
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
/* The parities that take the code `lag` rows above: bit i for parity i.
   lag: 0 ... LLMQ__MAX_LAG.
   As a factor it copies one bit into all of these parities. */
static uint32_t llmq__parities_of(const llmq_format *f, uint32_t lag)
{
    return (f->taps[0] >> lag & 1u) | (f->taps[1] >> lag & 1u) << 1 | (f->taps[2] >> lag & 1u) << 2
           | (f->taps[3] >> lag & 1u) << 3;
}

/* The record of the row `lag` above row r of the block, cyclically.
   A block may have fewer rows than lag, down to one, so it may be passed several times. */
static const uint8_t *llmq__above(const llmq_tensor *t, const llmq__trellis_block *block, uint32_t r, uint32_t lag)
{
    for (r -= block->first; r < lag; r += block->rows) continue;
    return t->data + (block->first + r - lag) * t->row_size;
}

/* Byte i of b ^= (from[i] >> shift & mask) * factor, for i < n.
   b: words for n bytes. Byte i is bits 8 (i mod 4) ... of word i / 4, whatever the byte order of
      the machine.
   mask << shift and mask * factor are below 256: four bytes are worked on at a time, and no bit may
      cross from one to the next.
   It reads n bytes of `from` and not one more: a record may end there. */
LLMQ__NOINLINE void llmq__xor_field(const uint8_t *from, uint32_t shift, uint32_t mask, uint32_t factor, uint32_t n,
                                    uint32_t *b)
{
    uint32_t i; /* after the loop of words a multiple of 4, or n */
    for (i = 0; i + 4 <= n; i += 4) b[i / 4] ^= (llmq__load32(from + i) >> shift & mask * 0x01010101u) * factor;
    for (; i < n; i++) b[i / 4] ^= ((from[i] >> shift & mask) * factor) << i % 4 * 8;
}

/* Bit i of byte k of b ^= parity i of code k, for n codes of row r.
   at: bytes from the head of a record to the first of the codes' n bytes in the first plane.
   shift: the bit of these bytes that is the lowest bit of the codes.
   Records are alike, so the codes above are at the same place in the records above. A parity is an
   XOR, so the order of the lags does not matter.
   It stays apart, or llmq__indices would have a frame of over 256 bytes. */
LLMQ__NOINLINE void llmq__xor_rows(const llmq_tensor *t, uint32_t r, size_t at, uint32_t shift, uint32_t n, uint32_t *b)
{
    llmq__trellis_block block = llmq__trellis_block_of(t->rows, r);
    uint32_t lag, parities, taps = 0, i;
    for (i = 0; i < 4; i++) taps |= t->format.taps[i]; /* bit l: some parity takes lag l */
    for (lag = 0; taps >> lag; lag++) {
        parities = llmq__parities_of(&t->format, lag);
        if (parities) llmq__xor_field(llmq__above(t, &block, r, lag) + at, shift, 1, parities, n, b);
    }
}

#if LLMQ_SIMD
/* True if the kernels of llmq_simd.h can work on the trellis f: they have the taps of the built-in
   ones compiled in and know no others. They take points of the caller's own too, unless one is
   -128: some products move the sign of an activation to the point, and int8 has no 128. No point of
   a built-in trellis is -128. */
static int llmq__known_trellis(const llmq_format *f)
{
    const uint16_t *a = f->taps, *b;
    uint32_t i, j;
    for (i = 0; i < sizeof llmq__builtins / sizeof *llmq__builtins; i++) {
        b = llmq__builtins[i].taps;
        if (f->bits != llmq__builtins[i].bits || a[0] != b[0] || a[1] != b[1] || a[2] != b[2] || a[3] != b[3]) continue;
        if (f->points == llmq__builtins[i].points) return 1;
        for (j = 0; j < llmq__table(f); j++)
            if (f->points[j] == -128) return 0;
        return 1;
    }
    return 0;
}
#endif

/* e[0, count) = the points of codes [first, first + count) of a row of a trellis.
   row: a record of t, and not a copy: parities take codes of the records above it.
   count: up to LLMQ__CHUNK.
   The bytes of b become the indices (code / 2) 2^k + parities, with k parities. Their point is then
   looked up; the table has one for each (llmq__table). */
LLMQ__NOINLINE void llmq__indices(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t first,
                                  uint32_t count, int8_t *e)
{
    const int8_t *points = t->format.points;
    llmq__bit_field f[LLMQ__MAX_FIELDS];
    uint32_t b[LLMQ__CHUNK / 4], r = (uint32_t)((size_t)(row - t->data) / t->row_size),
             parities = llmq__parities(&t->format), i, n, fields;
    for (; count; count -= n, first += n, e += n) {
        fields = llmq__find_run(l, first, f, &n);
        n = llmq__min(count, n);
        LLMQ_MEMSET(b, 0, sizeof b);
        llmq__xor_rows(t, r, l->scales + f[0].byte, f[0].shift, n, b); /* bits [0, k): parities of lowest bits */
        /* Bits from k on: code / 2. The first plane has all of it, but for the highest bit of codes
           of 3 bits, which is in the second plane and goes to bit k + 1. */
        if (f[0].mask > 1)
            llmq__xor_field(row + l->scales + f[0].byte, f[0].shift + 1u, f[0].mask >> 1, (uint32_t)1 << parities, n,
                            b);
        if (fields > 1)
            llmq__xor_field(row + l->scales + f[1].byte, f[1].shift, f[1].mask, (uint32_t)2 << parities, n, b);
        for (i = 0; i < n; i++) e[i] = points[b[i / 4] >> i % 4 * 8 & 255];
    }
}
#endif

/* e[0, count) = the coordinates of points at columns [j, j + count).
   row: a record of t, whose format is not raw.
   count: up to LLMQ__CHUNK; the columns lie in one group.
   Every code has a point, so any bits of the record are safe. */
LLMQ__NOINLINE void llmq__points(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j,
                                 uint32_t count, int8_t *e)
{
    uint16_t code[LLMQ__CHUNK];
    const int8_t *points = t->format.points;
    /* in: columns of the group before j; first: its first code (each group starts a new run) */
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
        /* skip: coordinates of the first run that are before j, since p need not divide a chunk.
           `code` has room: with p >= 2 and skip < p, a chunk needs at most 17 codes.
           check: ceil((2 - 1 + 32) / 2) < 32 */
        uint32_t skip = in % p;
        llmq__unpack(row + l->scales, l, first + in / p, llmq__ceil_div(skip + count, p), code);
        for (v = 0; i < count; v++, skip = 0)
            for (; skip < p && i < count; skip++, i++) e[i] = points[code[v] * p + skip];
    }
}

/* The kernels for the rows of a tensor: its own, or the scalar ones for a trellis that they do not
   know. */
static const llmq_kernels *llmq__row_kernels(const llmq_tensor *t)
{
#if LLMQ_SIMD && LLMQ__ANY_TRELLIS
    if (t->format.taps[0] && !llmq__known_trellis(&t->format)) return llmq_kernels_at(0);
#endif
    return llmq__kernels(t->kernels);
}

/* The scale of a group of a record, not of a raw format.
   Any bits are safe: it may be NaN or infinite, and so are the results. */
static float llmq__scale(const uint8_t *row, uint32_t group)
{
    return llmq_bf16_to_f32((uint16_t)llmq__load16(row + 2 * group));
}

/* v[0, count) = the values at columns [j, j + count) before the scale: points, or raw elements.
   row: a record of t.
   count: up to LLMQ__CHUNK; the columns lie in one group. */
LLMQ__NOINLINE void llmq__values(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j,
                                 uint32_t count, float *v)
{
    uint32_t i;
    if (!llmq__is_raw(&t->format)) {
        int8_t e[LLMQ__CHUNK];
        llmq__points(t, l, row, j, count, e);
        for (i = 0; i < count; i++) v[i] = (float)e[i];
    } else if (t->format.bits == 32) {
        for (row += 4 * (size_t)j, i = 0; i < count; i++) v[i] = llmq__load_float(row + 4 * i);
    } else {
        uint16_t b[LLMQ__CHUNK]; /* loads apart from conversions, so that the latter become vectors */
        for (row += 2 * (size_t)j, i = 0; i < count; i++) b[i] = (uint16_t)llmq__load16(row + 2 * i);
        if (t->format.id != LLMQ__ID_F16)
            for (i = 0; i < count; i++) v[i] = llmq_bf16_to_f32(b[i]);
        else
            for (i = 0; i < count; i++) v[i] = llmq_f16_to_f32(b[i]);
    }
}

/* The layout of the rows of a tensor. A raw row is one group, whose scale 1 is not stored. */
static llmq__layout llmq__layout_of(const llmq_tensor *t) { return llmq__row_layout(&t->format, t->cols); }

/* out[0, n) += scale * v[0, n): a multiplication and an addition, each rounded. */
LLMQ__NOINLINE void llmq__add_scaled(float *out, float scale, const float *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    uint32_t i;
    for (i = 0; i < n; i++) out[i] += scale * v[i];
}

/* End of the chunk of columns that begins at j: in the row, and in the group of j.
   Groups are multiples of LLMQ__CHUNK, or the row: all chunks but the last of a row are whole. */
static uint32_t llmq__chunk_end(const llmq_tensor *t, const llmq__layout *l, uint32_t j)
{
    return llmq__min(llmq__min(t->cols, j + LLMQ__CHUNK), (j / l->group + 1) * l->group);
}

/* Kernel read_row: out[0, cols) = row r as stored: in the basis of the transform, and without the
   terms of zero points.
   One multiplication by the scale per element, so each element has one rounding. */
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

/* out[0, cols) += weight * row.
   The scale is multiplied by the weight first, and the product by each value. All kernels keep this
   order of roundings. */
LLMQ__NOINLINE void llmq__add_row(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, float weight,
                                  float *out)
{
    LLMQ__NO_CONTRACT
    float v[LLMQ__CHUNK];
    uint32_t j, end;
    for (j = 0; j < t->cols; j = end) {
        end = llmq__chunk_end(t, l, j);
        llmq__values(t, l, row, j, end - j, v);
        llmq__add_scaled(out + j, llmq__is_raw(&t->format) ? weight : weight * llmq__scale(row, j / l->group), v,
                         end - j);
    }
}

/* Kernel add_rows: out[0, cols) += weight[r] * row r, for rows [r0, r1) in order.
   weight: weight[0] is of row 0, whatever r0 is. */
static void llmq__add_rows(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t r;
    for (r = r0; r < r1; r++) llmq__add_row(t, &l, t->data + (size_t)r * t->row_size, weight[r], out);
}

/* The term that its zero point adds to all elements of group g of a record.
   Exact unless it overflows: 8 bits of the scale times 8 bits, since
   -254 <= 2^(b-1) - zero point <= 128. */
static float llmq__zero_point_term(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t g)
{
    int32_t zero = row[t->row_size - l->zero_points + g], one = 1;
    return (float)((one << (t->format.bits - 1)) - zero) * llmq__scale(row, g);
}

/* out += sum of weight[r] * (the terms of the zero points of row r), for rows [r0, r1) in order.
   weight: NULL for weights of 1.
   The terms of all rows are summed first. Then the sum is added once to each column of the group.
   It does nothing for formats without zero points. */
LLMQ__NOINLINE void llmq__add_zero_point_terms(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1,
                                               float *out)
{
    LLMQ__NO_CONTRACT
    llmq__layout l = llmq__layout_of(t);
    uint32_t g, r, j;
    for (g = 0; g < l.zero_points; g++) {
        float sum = 0.0f;
        for (r = r0; r < r1; r++)
            sum += (weight ? weight[r] : 1.0f) * llmq__zero_point_term(t, &l, t->data + r * t->row_size, g);
        for (j = g * l.group; j < llmq__min(t->cols, (g + 1) * l.group); j++) out[j] += sum;
    }
}

LLMQ_API llmq_status llmq_tensor_decode(const llmq_tensor *t, uint32_t row, float *out, void *work, size_t work_size)
{
    llmq_status status;
    if (!t || !out || row >= t->rows) return LLMQ_E_ARG;
    if ((status = llmq__transform_work_check(&t->transform, t->cols, work, work_size)) != LLMQ_OK) return status;
    /* A short row, as in llmq__small: the scalar kernel is done before another has its tables. */
    (t->cols < 128 ? llmq_kernels_at(0) : llmq__row_kernels(t))->read_row(t, row, out);
    /* before the transform is undone: zero points are in the basis of the stored row */
    if (llmq__has_zero_points(&t->format)) llmq__add_zero_point_terms(t, LLMQ__NULL, row, row + 1, out);
    return llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, out, t->cols, work, work_size, t->kernels);
}

/* ---- 8. Activation --------------------------------------------------------------------------- */

/* An activation in memory:
     float x'[cols]        the transform works in place here
     float scale[groups]   from here on the transform's workspace, until x' is complete
     int8_t q[cols]
     int8_t offset[cols]   only for asymmetric codes of 8 bits
   A float activation ends after x', or after the workspace.
   Whatever the options are, q is int8. So the kernels need not know them. */

#define LLMQ__BATCH 8  /* activations that share one decoding of a row */

/* Columns of an activation's group: the group of t, or 128 if t is raw or its group is the whole
   row. A row may be so long that its integer sum is not exact in float; a group is not.
   check: 127 * 128 * 1024 = 16646144 < 2^24 */
static uint32_t llmq__activation_group(const llmq_tensor *t)
{
    uint32_t g = llmq__is_raw(&t->format) ? 0 : t->format.group;
    return g ? g : 128;
}

/* Bytes of one activation; 0 if t is NULL or bits is out of range, or if they do not fit size_t.
   Layout: x', then scales, codes, and offsets if there are any.
   The workspace of the transform is in the same memory as scales and codes. */
static size_t llmq__activation_size(const llmq_tensor *t, uint32_t bits, int with_offsets)
{
    size_t rest, codes = 0;
    if (!t || t->cols == 0 || (bits != 32 && (bits < 2 || bits > 8))) return 0;
    rest = llmq_transform_work_size(&t->transform, t->cols); /* x' is complete before the first code is written */
    if (bits != 32)
        codes = llmq__ceil_div(t->cols, llmq__activation_group(t)) * sizeof(float)
                + (size_t)t->cols * (with_offsets ? 2 : 1);
    return llmq__size_add(llmq__size_mul(t->cols, sizeof(float)), rest > codes ? rest : codes);
}

LLMQ_API size_t llmq_activation_size(const llmq_tensor *t, uint32_t bits) { return llmq__activation_size(t, bits, 0); }

/* True if a group gets a scale.
   max_abs: the bits of m = max|x| of the group.
   m is at least 2^-100, so that m / L is normal and L / m finite with room to spare, and it is
   neither infinite nor NaN. */
static int llmq__quantizable(uint32_t max_abs)
{
    /* check: f32bits(2^-100) == (127 - 100) << 23; 0x7f800000 == 255 << 23 */
    return max_abs >= (uint32_t)(127 - 100) << 23 && max_abs < 0x7f800000u;
}

/* The scale of a group that is not quantizable: NaN if m is not finite, else 0.
   Its codes are 0. */
static float llmq__no_scale(uint32_t max_abs) { return max_abs >= 0x7f800000u ? llmq__bits_float(0x7fc00000u) : 0.0f; }

/* Kernel quantize: the codes q[0, n) of one group, and its scale, which is returned.
   n: at least 1.
   levels: L, 1 ... 127.
   Each code costs one rounding of the product and one to a whole number. All kernels round so. */
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
    inverse = levels / llmq__bits_float(max_abs); /* |x * inverse| <= 127 (1 + 2^-23), so q fits int8 */
    for (i = 0; i < n; i++) q[i] = llmq__round_i8(x[i] * inverse);
    return llmq__bits_float(max_abs) / levels;
}

/* The float half of an activation: x' at the head of mem, and *a without codes.
   mem: llmq__activation_size bytes, which the caller has checked. After x' it is the workspace of
      the transform.
   On an error *a is unchanged, but mem is not. */
static llmq_status llmq__activation_open(llmq_activation *a, const llmq_tensor *t, const float *x, void *mem,
                                         size_t mem_size)
{
    float *y = (float *)mem;
    llmq_status status;
    LLMQ_MEMCPY(y, x, t->cols * sizeof(float));
    status = llmq_transform_apply(&t->transform, LLMQ_TO_ACTIVATION, y, t->cols, y + t->cols,
                                  mem_size - t->cols * sizeof(float), t->kernels);
    if (status != LLMQ_OK) return status;
    LLMQ_MEMSET(a, 0, sizeof *a);
    a->cols = t->cols;
    a->group = llmq__activation_group(t);
    a->transform = t->transform;
    a->x = y;
    return LLMQ_OK;
}

/* Lays out scales, codes and offsets after x': the layout that llmq__activation_size counts.
   values: x'.
   Sets the members of *a, and gives scales (returned) and codes (*q) as writable pointers. */
static float *llmq__activation_layout(llmq_activation *a, float *values, int with_offsets, int8_t **q)
{
    float *scale = values + a->cols;
    *q = (int8_t *)(scale + llmq__ceil_div(a->cols, a->group));
    a->scale = scale;
    a->q = *q;
    a->offset = with_offsets ? *q + a->cols : LLMQ__NULL;
    return scale;
}

/* L for codes of `bits` bits, 2 ... 8: the largest code. -L ... L is symmetric. */
static float llmq__symmetric_levels(uint32_t bits) { return (float)((1u << (bits - 1)) - 1); }

/* Codes and scales of all groups of a->x, symmetric.
   The last group may have fewer columns. */
static void llmq__quantize_groups(const llmq_activation *a, uint32_t bits, float *scale, int8_t *q,
                                  const llmq_kernels *k)
{
    uint32_t j;
    for (j = 0; j < a->cols; j += a->group)
        scale[j / a->group] = k->quantize(a->x + j, llmq__min(a->group, a->cols - j), llmq__symmetric_levels(bits),
                                          q + j);
}

/* llmq_activations_prepare can do the same, but LLMQ_NO_ACTIVATION_OPTIONS leaves it out. */
LLMQ_API llmq_status llmq_activation_prepare(llmq_activation *a, const llmq_tensor *t, uint32_t bits, const float *x,
                                             void *mem, size_t mem_size)
{
    llmq_status status;
    size_t need = llmq_activation_size(t, bits);
    float *scale;
    int8_t *q;
    if (!a || !x || !mem || need == 0 || llmq__misaligned(mem)) return LLMQ_E_ARG;
    if (mem_size < need) return LLMQ_E_WORKSPACE;
    if ((status = llmq__activation_open(a, t, x, mem, mem_size)) != LLMQ_OK || bits == 32) return status;
    /* The transform's workspace is free now; scales and codes take its place. */
    scale = llmq__activation_layout(a, (float *)mem, 0, &q);
    llmq__quantize_groups(a, bits, scale, q, llmq__kernels(t->kernels));
    return LLMQ_OK;
}

#if !LLMQ_NO_ACTIVATION_OPTIONS || !LLMQ_NO_ENCODER
/* Extend the range *low ... *high to x[0, n).
   If a value is not finite, both become NaN, and stay it: no comparison with NaN is true. */
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

/* The codes of one scale: q + offset = x * inverse, limited to code_min ... code_max and rounded.
   The limits are whole numbers.
   With inverse, limits and offset 0 all codes are 0: a group without a scale. */
typedef struct llmq__codes {
    float scale, inverse, code_min, code_max;
    int32_t offset;
} llmq__codes;

/* The codes for values from low to high; clip is applied here.
   low <= 0 <= high, both finite; or both are NaN, and then so is the scale. */
static llmq__codes llmq__choose_codes(const llmq_activation_options *o, float low, float high)
{
    llmq__codes c;
    float m;
    low *= o->clip;
    high *= o->clip;
    m = -low > high ? -low : high; /* if both are NaN, m is NaN, and so is the scale */
    LLMQ_MEMSET(&c, 0, sizeof c);
    if (!llmq__quantizable(llmq__float_bits(m))) {
        c.scale = llmq__no_scale(llmq__float_bits(m));
    } else if (!o->asymmetric) {
        c.code_max = llmq__symmetric_levels(o->bits);
        c.code_min = -c.code_max;
        c.scale = m / c.code_max;
        c.inverse = c.code_max / m;
    } else {
        /* 8 bits have 254 and not 255 steps, so that q is -127 ... 127 like all other codes.
           check: 2^8 - 1 - 1 = 127 - -127 */
        float steps = (float)((1 << o->bits) - 1 - (o->bits == 8));
        int32_t zero;
        /* not (high - low) / steps: the difference may overflow */
        c.scale = high / steps - low / steps;
        /* finite: high - low is at least 2^-100, so the scale is at least about 2^-108 */
        c.inverse = 1.0f / c.scale;
        zero = llmq__round(-low * c.inverse);
        c.code_min = (float)-zero;
        c.code_max = steps - (float)zero;
        c.offset = o->bits == 8 ? 127 - zero : 0;
    }
    return c;
}

/* q[0, n) = the codes of x[0, n), less the offset.
   A value is limited before it is rounded, so the argument of llmq__round is small whatever x
   holds, and NaN becomes code_min. */
static void llmq__take_codes(const llmq__codes *c, const float *x, uint32_t n, int8_t *q)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        float v = x[i] * c->inverse;
        v = v > c->code_min ? v : c->code_min; /* in this order: a NaN becomes code_min */
        v = v < c->code_max ? v : c->code_max;
        q[i] = (int8_t)(llmq__round(v) - c->offset);
    }
}

/* llmq__extend_range for x[0, n) / s_g; for zeros if s_g is too small to divide by.
   peak: s_g, finite.
   Only the ends of the range are divided, since division by a positive value keeps the order.
   An end times 0 is 0, or stays NaN. */
static void llmq__extend_smoothed_range(const float *x, uint32_t n, float peak, float *low, float *high)
{
    float ends[2] = { 0.0f, 0.0f };
    int zero = !llmq__quantizable(llmq__float_bits(peak));
    llmq__extend_range(x, n, &ends[0], &ends[1]);
    ends[0] = zero ? ends[0] * 0.0f : ends[0] / peak;
    ends[1] = zero ? ends[1] * 0.0f : ends[1] / peak;
    llmq__extend_range(ends, 2, low, high);
}

/* c, the codes of x / s_g, as codes of x.
   peak: s_g, finite.
   All codes and the scale are 0 if s_g is too small, or if the scale would be subnormal.
   A scale that is NaN stays NaN. */
static llmq__codes llmq__smoothed_codes(llmq__codes c, float peak)
{
    float scale = c.scale * peak;
    /* 2^-126 is the smallest normal number. check: 0x00800000 == f32bits(2^-126) */
    int zero = !llmq__quantizable(llmq__float_bits(peak)) || llmq__float_bits(scale) < 0x00800000u;
    c.inverse = zero ? 0.0f : c.inverse * (1.0f / peak);
    c.scale = zero ? c.scale * 0.0f : scale;
    return c;
}

/* Quantize an activation whose float half is done.
   peaks: s_g of each group, for LLMQ_SCALES_BATCH; else NULL.
   values: x', in memory of llmq__activation_size bytes.
   With TOKEN and BATCH a first pass finds the range of the whole vector, and `all` are its codes.
   With GROUP each group has its own range and codes. */
LLMQ__NOINLINE void llmq__activation_quantize(llmq_activation *a, const llmq_activation_options *o, const float *peaks,
                                              float *values, const llmq_kernels *k)
{
    int8_t *q;
    float *scale = llmq__activation_layout(a, values, o->asymmetric && o->bits == 8, &q), low = 0.0f, high = 0.0f;
    uint32_t g, n, groups = llmq__ceil_div(a->cols, a->group);
    llmq__codes all;
    if (!o->asymmetric && o->scales == LLMQ_SCALES_GROUP && o->clip >= 1.0f) { /* only this case has kernels */
        llmq__quantize_groups(a, o->bits, scale, q, k);
        return;
    }
    /* the range of the whole vector; with GROUP it stays 0 ... 0, and `all` is not used */
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
        /* an int8 from -127 to 127 as a byte; offsets are a->cols bytes after their codes */
        if (a->offset) LLMQ_MEMSET(q + a->cols, c.offset & 255, n);
    }
}

/* peaks[g] = s_g: max|x'| of group g over all count vectors.
   a: count activations with equal cols and groups.
   peaks: one for each group.
   Only finite values count, so that one bad vector does not spoil the others. */
static void llmq__batch_peaks(const llmq_activation *a, uint32_t count, float *peaks)
{
    uint32_t i, j;
    LLMQ_MEMSET(peaks, 0, llmq__ceil_div(a->cols, a->group) * sizeof *peaks);
    for (i = 0; i < count; i++)
        for (j = 0; j < a->cols; j++) {
            float v = a[i].x[j] < 0.0f ? -a[i].x[j] : a[i].x[j];
            /* The largest finite float. A NaN compares false.
               check: 3.40282347e38f == (2 - 2^-23) * 2^127 */
            if (v > peaks[j / a->group] && v <= 3.40282347e38f) peaks[j / a->group] = v;
        }
}

/* No error for bits out of range: the functions that take options find it. */
LLMQ_API llmq_activation_options llmq_activation_defaults(uint32_t bits)
{
    llmq_activation_options o;
    o.bits = bits;
    o.asymmetric = bits < 8;
    o.scales = LLMQ_SCALES_GROUP;
    o.clip = bits <= 4 ? 0.95f : 1.0f;
    return o;
}

/* True if all options are in range; a clip that is NaN is not. */
static int llmq__activation_options_ok(const llmq_activation_options *o)
{
    return o->bits >= 2 && o->bits <= 8 && o->scales >= LLMQ_SCALES_GROUP && o->scales <= LLMQ_SCALES_BATCH
           && o->clip > 0.0f && o->clip <= 1.0f;
}

/* Bytes from one activation to the next: rounded up, so that the next stays aligned for float.
   0 if they do not fit size_t. */
static size_t llmq__activation_step(const llmq_tensor *t, const llmq_activation_options *o)
{
    size_t one = llmq__activation_size(t, o->bits, o->asymmetric && o->bits == 8);
    return llmq__size_add(one, (sizeof(float) - one % sizeof(float)) % sizeof(float));
}

LLMQ_API size_t llmq_activations_size(const llmq_tensor *t, const llmq_activation_options *o, uint32_t count)
{
    if (!t || !o || t->cols == 0 || !llmq__activation_options_ok(o)) return 0;
    return llmq__size_add(llmq__size_mul(llmq__activation_step(t, o), llmq__size(count)), /* then s_g of all groups */
                          llmq__ceil_div(t->cols, llmq__activation_group(t)) * sizeof(float));
}

/* All vectors are transformed before any is quantized, because BATCH needs the peaks of all.
   mem: count activations, llmq__activation_step bytes apart, and then the peaks. */
LLMQ_API llmq_status llmq_activations_prepare(llmq_activation *a, const llmq_tensor *t,
                                              const llmq_activation_options *o, uint32_t count, const float *x,
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
        if ((status = llmq__activation_open(&a[i], t, x + i * stride, (uint8_t *)mem + i * step, step)) != LLMQ_OK)
            return status; /* the steps do not fit t, so this is the first vector, and a is unchanged */
    if (o->scales == LLMQ_SCALES_BATCH)
        llmq__batch_peaks(a, count, peaks = (float *)(void *)((uint8_t *)mem + count * step));
    for (i = 0; i < count; i++)
        llmq__activation_quantize(&a[i], o, peaks, (float *)(void *)((uint8_t *)mem + i * step),
                                  llmq__kernels(t->kernels));
    return LLMQ_OK;
}
#endif

/* ---- 9. Products ----------------------------------------------------------------------------- */

/* The walk of an int8 product, from the outside in:
     llmq_matmul     checks, picks kernels, then adds zero points and offsets
     rows_i8         kernel: rows, and activations LLMQ__BATCH at a time
     llmq__row_i8    a row: run by run, the float formula
     llmq__run_i8    a run: chunks of points, times the codes of each activation, exact in integers
   A float product goes through rows_f32, llmq__row_f32 and llmq__run_f32 in the same way.
   Every kernel gives the same bits. Within a run integers are exact in any order. Between runs, and
   in float products, the order of additions is the one of the formulas. No multiplication is fused
   with an addition (LLMQ__NO_CONTRACT). */

/* <a, b>, exact.
   n: up to LLMQ__CHUNK.
   Factors of 16 bits let compilers use instructions that multiply and add such. */
static int32_t llmq__dot_i8(const int8_t *a, const int8_t *b, uint32_t n)
{
    int32_t sum = 0;
    uint32_t i;
    for (i = 0; i < n; i++) sum += (int16_t)a[i] * (int16_t)b[i];
    return sum;
}

/* sum[i] = <points, codes of activation i> over columns [j, end), for i < count.
   row: a record of t. It is decoded once for all activations.
   The columns lie in one group of the row and in one of the activations. So they are at most 1024,
   and |sum| < 2^24 (llmq__activation_group). */
LLMQ__NOINLINE void llmq__run_i8(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j,
                                 uint32_t end, const llmq_activation *x, uint32_t count, int32_t *sum)
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

/* y[i * stride] = <row, x[i]> for i < count: the int8 formula of llmq_matmul.
   row: a record of t, which is not raw.
   x: int8 activations with equal groups.
   count: up to LLMQ__BATCH.
   (float)sum is exact. A run costs three roundings, and all kernels round so: the product of the
   scales, its product with the sum, and the addition. */
LLMQ__NOINLINE void llmq__row_i8(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row,
                                 const llmq_activation *x, uint32_t count, float *y, size_t stride)
{
    LLMQ__NO_CONTRACT
    float total[LLMQ__BATCH];
    int32_t sum[LLMQ__BATCH];
    uint32_t j, end, i, xgroup = x->group;
    for (i = 0; i < count; i++) total[i] = 0.0f;
    for (j = 0; j < t->cols; j = end) {
        /* A run ends where a group of the row or of the activations ends. Neither group need divide
           the other. */
        uint32_t wg = j / l->group, xg = j / xgroup;
        float scale = llmq__scale(row, wg);
        end = llmq__min(t->cols, llmq__min((wg + 1) * l->group, (xg + 1) * xgroup));
        llmq__run_i8(t, l, row, j, end, x, count, sum);
        for (i = 0; i < count; i++) total[i] += (float)sum[i] * (x[i].scale[xg] * scale);
    }
    for (i = 0; i < count; i++) y[i * stride] = total[i];
}

/* The sum of LLMQ__LANES partial sums, added pairwise: i and i + 8, then 4, 2, 1.
   Overwrites them. */
static float llmq__lane_sum(float *lane)
{
    uint32_t h, i;
    for (h = LLMQ__LANES / 2; h; h /= 2)
        for (i = 0; i < h; i++) lane[i] += lane[i + h];
    return lane[0];
}

/* lane[i mod LLMQ__LANES] += x[i] * v[i] for i < n.
   The inner loop has a constant count and independent sums, so that compilers make vectors of it
   without a change of order. */
LLMQ__NOINLINE void llmq__add_lanes(const float *x, const float *v, uint32_t n, float *lane)
{
    LLMQ__NO_CONTRACT
    uint32_t i, u;
    for (i = 0; i + LLMQ__LANES <= n; i += LLMQ__LANES)
        for (u = 0; u < LLMQ__LANES; u++) lane[u] += x[i + u] * v[i + u];
    for (u = 0; i < n; i++, u++) lane[u] += x[i] * v[i];
}

/* lane[0, LLMQ__LANES) += the products of columns [j, end).
   row: a record of t.
   x: x[0] is of column 0.
   j begins a group of the row, and end is in that group. A chunk is a multiple of LLMQ__LANES, so
   column j of the group goes to lane j mod LLMQ__LANES. */
LLMQ__NOINLINE void llmq__run_f32(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, uint32_t j,
                                  uint32_t end, const float *x, float *lane)
{
    float v[LLMQ__CHUNK];
    uint32_t n;
    for (; j < end; j += n) {
        n = llmq__min(LLMQ__CHUNK, end - j);
        llmq__values(t, l, row, j, n, v);
        llmq__add_lanes(x + j, v, n, lane);
    }
}

/* <row, x>: the float formula of llmq_matmul.
   row: a record of t.
   x: float[cols], transformed. */
LLMQ__NOINLINE float llmq__row_f32(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row, const float *x)
{
    LLMQ__NO_CONTRACT
    float total = 0.0f, lane[LLMQ__LANES];
    uint32_t j, end;
    for (j = 0; j < t->cols; j = end) {
        end = llmq__min(t->cols, j + l->group); /* group <= 2^24: no overflow */
        LLMQ_MEMSET(lane, 0, sizeof lane);
        llmq__run_f32(t, l, row, j, end, x, lane);
        total += llmq__lane_sum(lane) * (llmq__is_raw(&t->format) ? 1.0f : llmq__scale(row, j / l->group));
    }
    return total;
}

/* Kernel rows_i8: the int8 formula for rows [r0, r1) and count activations.
   Activations are worked on LLMQ__BATCH at a time, which bounds the sums on the stack. */
static void llmq__rows_i8(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                          float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t i, r, n;
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i += n) {
            n = llmq__min(LLMQ__BATCH, count - i);
            llmq__row_i8(t, &l, t->data + (size_t)r * t->row_size, x + i, n, y + i * y_stride + r, y_stride);
        }
}

/* Kernel rows_f32: the float formula for rows [r0, r1) and count activations.
   A row is decoded again for each activation. */
static void llmq__rows_f32(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                           float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t i, r;
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i++)
            y[i * y_stride + r] = llmq__row_f32(t, &l, t->data + (size_t)r * t->row_size, x[i].x);
}

/* X of the zero-point formula of llmq_matmul: the sum of x' over columns [j, end).
   The columns are a group of a tensor, which may have several groups of x, or a part of one.
   A float activation is summed in lanes, as a product is.
   An int8 one is summed in runs, each with one scale. */
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
        /* The float of the sum is exact. check: 2 * 127 * 1024 < 2^24 */
        total += (float)sum * x->scale[(next - 1) / x->group];
    }
    return total;
}

/* y[r] += X * o for each group in order, for r in [r0, r1): the terms of zero points.
   y: y[0] is of row 0.
   X is of the activation alone, so it is computed once for all rows. */
LLMQ__NOINLINE void llmq__add_zero_points(const llmq_tensor *t, const llmq_activation *x, uint32_t r0, uint32_t r1,
                                          float *y)
{
    LLMQ__NO_CONTRACT
    llmq__layout l = llmq__layout_of(t);
    uint32_t g, r;
    for (g = 0; g < l.zero_points; g++) {
        float sum = llmq__group_sum(x, g * l.group, llmq__min(t->cols, (g + 1) * l.group));
        for (r = r0; r < r1; r++) y[r] += sum * llmq__zero_point_term(t, &l, t->data + r * t->row_size, g);
    }
}

/* y[r] += the product with the activation's offsets, for r in [r0, r1).
   x: an activation with offsets. They take the place of its codes in a copy.
   Kernels write their result into y, so eight values of y at a time are kept aside. */
LLMQ__NOINLINE void llmq__add_activation_offsets(const llmq_tensor *t, const llmq_activation *x, uint32_t r0,
                                                 uint32_t r1, float *y)
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

/* True if a product of `rows` rows of t is so small that the scalar kernel is done before another
   has made its tables. The result does not depend on it.
   Measured: with AVX2 and SSSE3 vectors are faster from 64 weights of g4 and g8 on, from 128 to 256
   of t2 and t4, and always with raw weights. */
static int llmq__small(const llmq_tensor *t, uint32_t rows)
{
    size_t weights = (size_t)rows * t->cols;
    return !llmq__is_raw(&t->format) && (weights < 64 || (t->format.taps[0] && rows < 4 && weights < 256));
}

/* All activations are checked before the first product, so that y is unchanged on an error.
   The order of the three parts, points, zero points and offsets, is part of the result. */
LLMQ_API llmq_status llmq_matmul(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0,
                                 uint32_t r1, float *y, size_t y_stride)
{
    const llmq_kernels *k;
    uint32_t i;
    if (!t || !x || !y || r0 > r1 || r1 > t->rows || count == 0) return LLMQ_E_ARG;
    for (i = 0; i < count; i++) {
        if (x[i].cols != t->cols) return LLMQ_E_ARG;
        if (!llmq__transform_same(&x[i].transform, &t->transform)) return LLMQ_E_MISMATCH;
        /* the kernels take activations of one kind, and int8 ones with equal groups */
        if (!x[i].q != !x[0].q || (x[i].q && (x[i].group != x[0].group || llmq__is_raw(&t->format))))
            return LLMQ_E_MISMATCH;
    }
    k = llmq__row_kernels(t);
    if (llmq__small(t, r1 - r0)) k = llmq_kernels_at(0);
    (x->q ? k->rows_i8 : k->rows_f32)(t, x, count, r0, r1, y, y_stride);
    for (i = 0; i < count; i++) {
        if (llmq__has_zero_points(&t->format)) llmq__add_zero_points(t, &x[i], r0, r1, y + i * y_stride);
        if (!LLMQ_NO_ACTIVATION_OPTIONS && x[i].offset)
            llmq__add_activation_offsets(t, &x[i], r0, r1, y + i * y_stride);
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_matvec(const llmq_tensor *t, const llmq_activation *x, uint32_t r0, uint32_t r1, float *y)
{
    return llmq_matmul(t, x, 1, r0, r1, y, 0);
}

/* The sum of the rows is made in the basis in which they are stored. So the transform is undone
   once and not for every row. */
LLMQ_API llmq_status llmq_matvec_transposed(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1,
                                            float *out, void *work, size_t work_size)
{
    llmq_status status;
    if (!t || !weight || !out || r0 > r1 || r1 > t->rows) return LLMQ_E_ARG;
    if ((status = llmq__transform_work_check(&t->transform, t->cols, work, work_size)) != LLMQ_OK) return status;
    LLMQ_MEMSET(out, 0, t->cols * sizeof *out);
    (llmq__small(t, r1 - r0) ? llmq_kernels_at(0) : llmq__row_kernels(t))->add_rows(t, weight, r0, r1, out);
    if (llmq__has_zero_points(&t->format)) llmq__add_zero_point_terms(t, weight, r0, r1, out);
    return llmq_transform_apply(&t->transform, LLMQ_FROM_WEIGHT, out, t->cols, work, work_size, t->kernels);
}

/* -- The self-test. -- */

/* Known answers. tests/gen/selftest.py works them out from the text of this header, not its code.
   There are 16 records. They overlap, so that few bytes make them: the first is at
   llmq__test_bytes, each other 4 bytes after the one before.
   The last 256 bytes are also the int8 activation. The first 32 of these, divided by 7, are the
   float activation. */
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
    0x354d56aeu, 0xe3639c16u, 0x66b4b5f6u, 0xbfae46ebu, 0x354d56aeu, 0xa4fa8b29u, 0x2b3a17bbu, 0x8e0d477fu,
    0x9c2cf753u, 0xf6f39c9fu, 0xa8699519u, 0xfc61f43du,
};
/* ---- end ---- */
#define LLMQ__TEST_ROWS 16
#define LLMQ__TEST_FLOATS 32

/* One answer for each bit of LLMQ_WITH_ALL, the lowest bits without a gap: llmq_kernels_test would
   leave out a format without an answer. */
LLMQ__ASSERT(test_answers, LLMQ_WITH_ALL >> (sizeof llmq__test_answers / sizeof *llmq__test_answers - 1) == 1);

/* A checksum of the bits of v[0, n), continued from sum: FNV-1a, with words in the place of bytes.
   Its prime is 16777619. */
static uint32_t llmq__test_sum(uint32_t sum, const float *v, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) sum = (sum ^ llmq__float_bits(v[i])) * 16777619u;
    return sum;
}

/* The checksum, continued with the float products of all rows and with the last row decoded.
   t: with LLMQ__TEST_FLOATS columns.
   a: an activation to be changed into a float one.
   y: room for LLMQ__TEST_ROWS floats.
   x is first the activation and then the decoded row. */
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

/* The checksum of all that the kernels of t make of the known records in the format of t.
   Changes t->cols: int8 products have 256 columns, which are two groups; float products and the
   decoded row have LLMQ__TEST_FLOATS.
   Records are 4 bytes apart. The longest one of the last row, two scales and 256 codes of 8 bits,
   ends within the bytes. check: 4 * 15 + 2 * 2 + 256 <= 320 */
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
    uint32_t at, i = 0; /* at: bit of LLMQ_FORMATS; i: index of llmq_format_at, which counts the bits that are set */
    llmq_tensor t;
    LLMQ_MEMSET(&t, 0, sizeof t);
    t.rows = LLMQ__TEST_ROWS;
    t.row_size = 4; /* records overlap, so the view is made by hand */
    t.data = llmq__test_bytes;
    t.kernels = llmq__kernels(k);
    for (at = 0; at < sizeof llmq__test_answers / sizeof *llmq__test_answers; at++) {
        if (!(kept & one << at)) continue;
        if (llmq_format_at(&t.format, i++) != LLMQ_OK || llmq__test_rows(&t) != llmq__test_answers[at])
            return LLMQ_E_INEXACT;
    }
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_selftest(void)
{
    return llmq__arithmetic_ok() ? llmq_kernels_test(LLMQ_KERNELS) : LLMQ_E_INEXACT;
}

/* ---- 10. Bundle: reading --------------------------------------------------------------------- */
#if !LLMQ_NO_BUNDLE

/* The bytes of a bundle are not trusted. Only llmq_bundle_open checks them: the header itself, and
   each entry by llmq__entry_ok and llmq__content_check. All other functions rely on it. The header
   has 64 bytes. The directory follows it, and its entries have 64 bytes each. Numbers such as 44 in
   `load32(entry + 44)` are offsets of the table in the declarations.

   To add a field to a bundle entry, which older readers then refuse:
     1. its bytes in the table of section 10's declarations, and a new LLMQ__MAJOR;
     2. a member of llmq_entry, and llmq_bundle_at, which fills it;
     3. a member of llmq__content; llmq__content_read, which loads it; llmq__content_check, which
        checks it; llmq__entry_ok, which must no longer refuse its bytes;
     4. section 14: llmq__entry_bytes, which stores it, and llmq__content_written, which takes it
        from llmq_entry;
     5. tests/gen/bundle.py, which reads and writes bundles without this code. */

#define LLMQ__ALIGN 64 /* payloads begin at its multiples: cache lines, if the bundle does */
#define LLMQ__MAJOR 1
static const uint8_t llmq__magic[8] = { 'L', 'L', 'M', 'Q', 0x0d, 0x0a, 0x1a, 0x0a };

/* CRC-32 of n more bytes; crc: the result for the bytes before them, 0 at first. IEEE 802.3, with
   the reflected polynomial edb88320. Four bits are looked up at a time, in tables of 64 bytes.
   Firmware, which is without calibration, has one of them. Others have eight: the lookups of four
   bytes then do not wait for each other.
   Measured: 190 MB/s with one table, 745 MB/s with eight (gcc -O2, a core of 2.4 GHz). */
static uint32_t llmq__crc(uint32_t crc, const uint8_t *b, size_t n)
{
    /* [k][i]: the register after i and then 4 (k + 1) zero bits */
    static const uint32_t table[LLMQ_NO_CALIBRATION ? 1 : 8][16] = {
        { 0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
          0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu },
#if !LLMQ_NO_CALIBRATION
        { 0x00000000u, 0x77073096u, 0xee0e612cu, 0x990951bau, 0x076dc419u, 0x706af48fu, 0xe963a535u, 0x9e6495a3u,
          0x0edb8832u, 0x79dcb8a4u, 0xe0d5e91eu, 0x97d2d988u, 0x09b64c2bu, 0x7eb17cbdu, 0xe7b82d07u, 0x90bf1d91u },
        { 0x00000000u, 0x4ac21251u, 0x958424a2u, 0xdf4636f3u, 0xf0794f05u, 0xbabb5d54u, 0x65fd6ba7u, 0x2f3f79f6u,
          0x3b83984bu, 0x71418a1au, 0xae07bce9u, 0xe4c5aeb8u, 0xcbfad74eu, 0x8138c51fu, 0x5e7ef3ecu, 0x14bce1bdu },
        { 0x00000000u, 0x191b3141u, 0x32366282u, 0x2b2d53c3u, 0x646cc504u, 0x7d77f445u, 0x565aa786u, 0x4f4196c7u,
          0xc8d98a08u, 0xd1c2bb49u, 0xfaefe88au, 0xe3f4d9cbu, 0xacb54f0cu, 0xb5ae7e4du, 0x9e832d8eu, 0x87981ccfu },
        { 0x00000000u, 0x1c26a370u, 0x384d46e0u, 0x246be590u, 0x709a8dc0u, 0x6cbc2eb0u, 0x48d7cb20u, 0x54f16850u,
          0xe1351b80u, 0xfd13b8f0u, 0xd9785d60u, 0xc55efe10u, 0x91af9640u, 0x8d893530u, 0xa9e2d0a0u, 0xb5c473d0u },
        { 0x00000000u, 0x01c26a37u, 0x0384d46eu, 0x0246be59u, 0x0709a8dcu, 0x06cbc2ebu, 0x048d7cb2u, 0x054f1685u,
          0x0e1351b8u, 0x0fd13b8fu, 0x0d9785d6u, 0x0c55efe1u, 0x091af964u, 0x08d89353u, 0x0a9e2d0au, 0x0b5c473du },
        { 0x00000000u, 0x5019579fu, 0xa032af3eu, 0xf02bf8a1u, 0x9b14583du, 0xcb0d0fa2u, 0x3b26f703u, 0x6b3fa09cu,
          0xed59b63bu, 0xbd40e1a4u, 0x4d6b1905u, 0x1d724e9au, 0x764dee06u, 0x2654b999u, 0xd67f4138u, 0x866616a7u },
        { 0x00000000u, 0xb8bc6765u, 0xaa09c88bu, 0x12b5afeeu, 0x8f629757u, 0x37def032u, 0x256b5fdcu, 0x9dd738b9u,
          0xc5b428efu, 0x7d084f8au, 0x6fbde064u, 0xd7018701u, 0x4ad6bfb8u, 0xf26ad8ddu, 0xe0df7733u, 0x58631056u }
#endif
    };
    /* undoes the inversion of the earlier result, so that pieces give the CRC of the whole */
    crc = ~crc;
#if !LLMQ_NO_CALIBRATION
    for (; n >= 4; n -= 4, b += 4) {
        uint32_t x = crc ^ llmq__load32(b);
        crc = table[7][x & 15] ^ table[6][x >> 4 & 15] ^ table[5][x >> 8 & 15] ^ table[4][x >> 12 & 15] ^
              table[3][x >> 16 & 15] ^ table[2][x >> 20 & 15] ^ table[1][x >> 24 & 15] ^ table[0][x >> 28];
    }
#endif
    for (; n; n--) {
        crc ^= *b++;
        crc = crc >> 4 ^ table[0][crc & 15];
        crc = crc >> 4 ^ table[0][crc & 15];
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

/* Makes *f from the payload b of a grid: u32 p, u32 n, f32 sigma, points. Checks everything but the
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

/* ---- 11. Encoder: rows ----------------------------------------------------------------------- */
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

/* The scalar kernel `nearest` (section 2): code[i] of run i of x * inverse, i < count. A run has p
   elements. */
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
        /* fewer than p in the last run of a group */
        dims = llmq__min(p, n - i);
        for (k = 0; k < dims; k++) {
            int32_t v = point[k];
            lane[(i + k) % LLMQ__LANES] += x[i + k] * (float)v;
            squares += v * v;
        }
        /* Only in groups of more than 65,536 columns: squares goes to the float sum before the next
           run of p could overflow it.
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
    /* the kernel takes whole runs only; the last one may have fewer than p elements */
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
    /* Trial scales go down from rms / sigma in these steps, until `patience` trials in a row were
       no better, and then up. Grids of 3 bits a coordinate and more have twice the patience on the
       way down: in short groups they have a second optimum there, at which the largest element is
       just reached.
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
    /* once more, for the scale as stored; the scale fitted to these codes is dropped */
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

/* Writes codes first ... first + n - 1 of a row, by OR into bytes that are 0 there: the inverse of
   llmq__unpack, by the same runs.
   row_codes: the row's codes, after the scales. code: n codes, each below 2^bits. */
static void llmq__pack(uint8_t *row_codes, const llmq__layout *l, uint32_t first, uint32_t n, const uint16_t *code)
{
    llmq__bit_field f[LLMQ__MAX_FIELDS];
    uint32_t fields, run, i, k;
    for (; n; n -= run, first += run, code += run) {
        fields = llmq__find_run(l, first, f, &run);
        run = llmq__min(n, run);
        for (k = 0; k < fields; k++) {
            uint8_t *b = row_codes + f[k].byte;
            for (i = 0; i < run; i++)
                b[i] = (uint8_t)(b[i] | ((uint32_t)code[i] >> f[k].up & f[k].mask) << f[k].shift);
        }
    }
}

#if LLMQ_MAX_STEPS > 0
/* The exponent of the largest product x[j] d[j], j < n, or one less; 0 if all x are 0.
   d: n floats of a smoothing step, little-endian, positive and normal. */
static int32_t llmq__smooth_height(const float *x, uint32_t n, const uint8_t *d)
{
    uint32_t j, max_sum = 0, bits, e;
    for (j = 0; j < n; j++, d += 4) {
        bits = llmq__float_bits(x[j]) & 0x7fffffffu;
        /* the sum of two exponents, each biased by 127; the product's is this or 1 more */
        e = (bits >> 23) + (llmq__load32(d) >> 23 & 255);
        if (bits && e > max_sum) max_sum = e;
    }
    return max_sum ? (int32_t)max_sum - 254 : 0;
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
    /* k: the group; first: its first code. Each group starts a new run of p elements. */
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

/* ---- 12. Encoder: trellises and tensors ------------------------------------------------------ */
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
    /* [S][LANES]: the columns that are searched, in point coordinates; a row is a step */
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
   cols: elements of a row of a->x.
   pass: number of the round, 0, 1 ... Later rounds read the codes of the last one.
   A round begins half a block from the start of the round before, in the state that the earlier
   path has there. Far from its ends, a path is as good as the path of an open search. */
LLMQ__NOINLINE void llmq__trellis_round(llmq__trellis_encoder *a, uint32_t cols, uint32_t j, uint32_t n, uint32_t pass)
{
    uint32_t state[LLMQ__LANES], k, l, i, lanes, rows = a->block.rows, start = pass % 2 ? rows / 2 : 0;
    for (k = 0; k < n; k += lanes) {
        lanes = llmq__min(LLMQ__LANES, n - k);
        /* First the state at row `start`: from the pass before; or by a search around it; or, for
           short blocks, by searches from all states, which read the same strip as the search for
           the codes. */
        if (pass > 0) {
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
        if (pass == 0 && llmq__tailbite_is_short(a)) llmq__tailbite_exhaustive(a, lanes, state);
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
    /* Scales go twice as far as the fitted scale, because the next search will follow in that
       direction.
       Measured: at group 64, t4, MSE 0.00499 after one pass, 0.00487 0.00480 0.00476 after 2 3 4,
       0.00469 after 8; with the fitted scales themselves 0.00481 after 4. */
    static const uint8_t rounds[3] = { 4, 1, 8 };
    float lane[LLMQ__LANES], num, den, fit;
    int32_t *exponent = a->exponent + a->block.rows;
    uint32_t r, pass, rows = a->block.rows;
    /* the first scale of each row: rms / sigma; 0 in a row of zeros, whose elements then stay 0 */
    for (r = 0; r < rows; r++) {
        float *x = a->x + (size_t)r * cols + j;
        exponent[r] = a->exponent[r] + llmq__normalise(x, n, x);
        LLMQ_MEMSET(lane, 0, sizeof lane);
        llmq__add_lanes(x, x, n, lane);
        a->scale[r] = llmq__sqrt(llmq__lane_sum(lane) / (float)n) / a->e->format->unit;
    }
    for (pass = 0; pass < rounds[a->effort]; pass++) {
        int last = pass + 1 == rounds[a->effort];
        llmq__trellis_round(a, cols, j, n, pass);
        for (r = 0; r < rows; r++) {
            llmq__products(a->e, a->index + (size_t)r * a->group, a->x + (size_t)r * cols + j, n, &num, &den);
            fit = num > 0.0f && den > 0.0f ? num / den : 0.0f;
            /* at least half the fitted scale: a scale never becomes 0 or negative on the way */
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
    /* codes are of the last round; the scale is fitted to them, which needs no further search */
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

/* ---- 13. Grid trainer ------------------------------------------------------------------------ */
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

/* A grid that is being trained, and its workspace. */
typedef struct llmq__trainer {
    uint32_t p, n;
    float *points;  /* [n][p], sorted by the first coordinate */
    float *sum;     /* [n][p]: of the samples nearest to each point */
    uint32_t *hits; /* [n]: the number of these samples */
} llmq__trainer;

static void llmq__trainer_layout(llmq__trainer *g, uint32_t p, uint32_t n, llmq__arena *arena)
{
    g->p = p;
    g->n = n;
    g->points = (float *)llmq__alloc(arena, n, p * sizeof(float));
    g->sum = (float *)llmq__alloc(arena, n, p * sizeof(float));
    g->hits = (uint32_t *)llmq__alloc(arena, n, sizeof(uint32_t));
}

LLMQ_API size_t llmq_grid_train_work_size(uint32_t p, uint32_t n)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(float));
    llmq__trainer counted;
    if (llmq_grid_size(p, n) == 0) return 0;
    llmq__trainer_layout(&counted, p, n, &arena);
    return llmq__arena_size(&arena);
}

/* One step of Lloyd's iteration: each point goes the part `move` of its way to the mean of the
   samples nearest to it; 1 is Lloyd's step. A point without samples stays.
   Points are sorted before and after. seed: decides the samples, of N(0, I_p). */
LLMQ__NOINLINE void llmq__lloyd(const llmq__trainer *g, uint32_t seed, uint32_t samples, float move)
{
    LLMQ__NO_CONTRACT
    float x[8];
    uint32_t counter = 0, p = g->p, i, k, c;
    LLMQ_MEMSET(x, 0, sizeof x);
    LLMQ_MEMSET(g->sum, 0, (size_t)g->n * p * sizeof *g->sum);
    LLMQ_MEMSET(g->hits, 0, (size_t)g->n * sizeof *g->hits);
    /* Sums grow one sample after the other. This order is specified, as the bits of the grid depend
       on it. */
    for (i = 0; i < samples; i++) {
        llmq__normals(seed, &counter, p, x);
        c = llmq__nearest(g->points, g->n, p, p, x); /* scalar: samples come one at a time */
        g->hits[c]++;
        for (k = 0; k < p; k++) g->sum[c * p + k] += x[k];
    }
    for (c = 0; c < g->n; c++)
        for (k = 0; k < p && g->hits[c]; k++)
            g->points[c * p + k] += (g->sum[c * p + k] / (float)g->hits[c] - g->points[c * p + k]) * move;
    llmq__sort_points(g->points, g->n, p); /* the next search relies on the order */
}

/* Step i of `steps`. First many rough steps, longer than Lloyd's, which cover ground: four with a
   quarter of the samples each. Then steps of 1 / fine: the points become the mean of the results of
   `fine` steps, whose noise averages out. Each call of llmq__lloyd has a seed of its own. */
static void llmq__train_step(const llmq__trainer *g, uint32_t i, uint32_t steps, uint32_t samples, uint32_t seed)
{
    LLMQ__NO_CONTRACT
    uint32_t k, fine = i >= steps / 2 ? i - steps / 2 + 1 : 0;
    if (fine) llmq__lloyd(g, seed, samples, 1.0f / (float)fine);
    else for (k = 0; k < 4; k++) llmq__lloyd(g, seed + k, samples / 4 + 1, 1.6f);
}

/* Points drawn with Zador's density [R4], sorted. It is the density of the source to the power
   p / (p + 2), up to a factor: for N(0, I) a normal density of variance (p + 2) / p. */
LLMQ__NOINLINE void llmq__first_points(const llmq__trainer *g, uint32_t seed)
{
    LLMQ__NO_CONTRACT
    float x[8], wide = llmq__sqrt((float)(g->p + 2) / (float)g->p); /* x: llmq__normals makes pairs */
    uint32_t i, k, counter = 0;
    for (i = 0; i < g->n; i++) {
        llmq__normals(seed, &counter, g->p, x);
        for (k = 0; k < g->p; k++) g->points[i * g->p + k] = x[k] * wide;
    }
    llmq__sort_points(g->points, g->n, g->p);
}

/* out[size] = the points times sigma, rounded; returns sigma, `unit` of the format. It makes the
   largest coordinate 127: the steps of int8 are then as fine as they can be. Spare codes repeat the
   last point. */
static float llmq__store_points(const llmq__trainer *g, int8_t *out, size_t size)
{
    const float *at = g->points;
    float max_abs = 0.0f, unit;
    uint32_t i, p = g->p, count = g->n * p;
    for (i = 0; i < count; i++)
        if (at[i] > max_abs || -at[i] > max_abs) max_abs = at[i] > 0.0f ? at[i] : -at[i];
    unit = 127.0f / max_abs;
    for (i = 0; i < size; i++) out[i] = llmq__round_i8(at[i < count ? i : count - p + i % p] * unit);
    return unit;
}

/* Training works on floats. Only at its end the points are scaled, rounded to int8 and written, so
   that a stopped call leaves the caller's memory as it was. */
LLMQ_API llmq_status llmq_grid_train(llmq_format *f, const llmq_grid_options *options, int8_t *points,
                                     size_t points_size, void *work, size_t work_size)
{
    llmq__arena arena = llmq__arena_of(work, sizeof(float));
    llmq__trainer trainer;
    uint32_t samples, steps, i;
    size_t size;
    float unit;
    if (!f || !options || !points || !work || llmq__misaligned(work) || !llmq__group_ok(options->group))
        return LLMQ_E_ARG;
    size = llmq_grid_size(options->p, options->n);
    if (size == 0) return LLMQ_E_ARG;
    if (points_size < size || work_size < llmq_grid_train_work_size(options->p, options->n)) return LLMQ_E_WORKSPACE;
    llmq__trainer_layout(&trainer, options->p, options->n, &arena);
    /* n * 256 fits: n is 65536 at most.
       check: 65536 * 256 < 2**32; 65536 == 256 * 256 */
    samples = options->samples ? options->samples : trainer.n > 256 ? trainer.n * 256 : 65536;
    steps = options->steps ? options->steps : 60;
    llmq__first_points(&trainer, options->seed); /* and the steps take the seeds that follow */
    for (i = 0; i < steps; i++) {
        llmq__train_step(&trainer, i, steps, samples, options->seed + 1 + 4 * i);
        if (options->progress && options->progress(options->context, i + 1, steps)) return LLMQ_E_STOPPED;
    }
    unit = llmq__store_points(&trainer, points, size);
    return llmq_format_custom(f, trainer.p, trainer.n, points, unit, options->group);
}
#endif /* !LLMQ_NO_ENCODER */

/* ---- 14. Bundle: writing --------------------------------------------------------------------- */
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
    /* No data: no check may look at them, whatever size is stated. The checks of tensors and values
       look at their size alone, and llmq_writer_put gets the data later. */
    c.size = e->data || e->kind == LLMQ_KIND_TENSOR || e->kind == LLMQ_KIND_VALUE ? e->size : 0;
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
    /* as bits: equal floats have equal bits, because this is neither 0 nor NaN */
    if (llmq__float_bits(a->unit) != llmq__float_bits(b->unit)) return 0;
    for (i = 0; i < 4; i++)
        if (a->taps[i] != b->taps[i]) return 0;
    for (i = 0; i < (size_t)llmq__table(a) * a->p; i++)
        if (a->points[i] != b->points[i]) return 0;
    return 1;
}

/* True if the reader of a tensor decodes its records as its writer does. c: the tensor's content,
   which llmq__content_check has passed. f: the writer's format. */
LLMQ__NOINLINE int llmq__tensor_same(const llmq__content *c, const llmq_format *f)
{
    llmq_format read;
    return llmq__content_format(c, &read) == LLMQ_OK && llmq__format_ok(f) && llmq__format_same(&read, f);
}

/* True if there is a payload where there should be one, and llmq_bundle_verify accepts its scales.
   e: has passed llmq__writable. rows: of a tensor, that data has. */
LLMQ__NOINLINE int llmq__payload_ok(const llmq_entry *e, const void *data, uint32_t rows)
{
    llmq_tensor t;
    if (!data || e->kind != LLMQ_KIND_TENSOR) return data || e->size == 0;
    LLMQ_MEMSET(&t, 0, sizeof t);
    t.format = e->format;
    t.rows = rows;
    t.cols = e->cols;
    t.data = (const uint8_t *)data;
    t.row_size = llmq_row_size(&e->format, e->cols);
    return !llmq__bad_scale(&t);
}

/* True if entry i may be written, whatever its payload holds: its name and kind are allowed, its
   content passes the reader's checks, and a tensor means the same to its reader.
   entries: sorted by name, with names that are not NULL. */
LLMQ__NOINLINE int llmq__writable(const llmq_entry *entries, uint32_t count, uint32_t i)
{
    const llmq_entry *e = &entries[i];
    llmq__content c;
    if (!llmq__name_ok(e->name, llmq__length(e->name)) || e->kind < LLMQ_KIND_TENSOR || e->kind > LLMQ_KIND_VALUE)
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
    /* fits: llmq__entries_check has refused names that end beyond 2^32 - 1 */
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

/* Where bytes go: to the sink, or into a checksum if there is none. All zero at first. */
typedef struct llmq__out {
    /* NULL: bytes go into crc */
    llmq_sink sink;
    void *context;
    /* the checksum of the bytes so far */
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

/* Sorts entries and checks them, but for their payloads. *total: bytes of the bundle. *names_end:
   offset of the end of the names. */
static llmq_status llmq__entries_check(llmq_entry *entries, uint32_t count, size_t *total, size_t *names_end)
{
    uint32_t i;
    if (!entries && count) return LLMQ_E_ARG;
    for (i = 0; i < count; i++)
        if (!entries[i].name) return LLMQ_E_ARG;
    *total = llmq_bundle_size(entries, count);
    if (*total == 0) return LLMQ_E_LIMIT;
    llmq__sort_entries(entries, count);
    for (i = 0; i < count; i++)
        if (!llmq__writable(entries, count, i)) return LLMQ_E_ARG;
    *names_end = llmq__names_end(entries, count);
    /* offsets of names and the bytes of all names are stored in 32 bits */
    return *names_end > 0xffffffffu ? LLMQ_E_LIMIT : LLMQ_OK;
}

/* Makes the 64 bytes of the header. total: bytes of the bundle. crc: the checksum of the payloads,
   which the other checksum covers. */
LLMQ__NOINLINE void llmq__header_bytes(const llmq_entry *entries, uint32_t count, size_t total, uint32_t crc,
                                       uint8_t *head)
{
    llmq__out o;
    LLMQ_MEMSET(head, 0, 64);
    LLMQ_MEMCPY(head, llmq__magic, 8);
    llmq__store16(head + 8, LLMQ__MAJOR);
    llmq__store32(head + 16, (uint32_t)(total & 0xffffffffu));
    llmq__store32(head + 20, llmq__high(total));
    llmq__store32(head + 24, crc);
    llmq__store32(head + 28, count);
    llmq__store32(head + 32, (uint32_t)(llmq__names_end(entries, count) - 64 - (size_t)count * 64));
    /* the header from byte 16 on, the directory and the names; the header must be complete but for
       this checksum */
    LLMQ_MEMSET(&o, 0, sizeof o);
    o.crc = llmq__crc(0, head + 16, 48);
    llmq__put_directory(&o, entries, count);
    llmq__store32(head + 12, o.crc);
}

/* Everything is checked before the first byte is sent, so only the sink can stop the writer
   halfway. */
LLMQ_API llmq_status llmq_bundle_write(llmq_entry *entries, uint32_t count, llmq_sink sink, void *context)
{
    size_t total, names_end;
    uint8_t head[64];
    llmq__out o;
    uint32_t i;
    llmq_status status = sink ? llmq__entries_check(entries, count, &total, &names_end) : LLMQ_E_ARG;
    if (status != LLMQ_OK) return status;
    for (i = 0; i < count; i++)
        if (!llmq__payload_ok(&entries[i], entries[i].data, entries[i].rows)) return LLMQ_E_ARG;
    /* first without a sink, for the checksum of the payloads and all padding between them */
    LLMQ_MEMSET(&o, 0, sizeof o);
    llmq__put_payloads(&o, entries, count);
    llmq__header_bytes(entries, count, total, o.crc, head);
    /* and now to the sink, in the order of the bundle */
    o.sink = sink;
    o.context = context;
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

/* -- The writer of payloads that come one by one. The checksum of all payloads is made of the
   checksum of each, in any order. A CRC without its two inversions is linear: the bytes A, then n
   zeros, have the register of A times x^(8 n), modulo the polynomial. The inversions cancel out as
   in zlib's crc32_combine:
       crc(A, then n bytes B) = crc(A) x^(8 n) + crc(B)
   So a payload with its padding adds crc x^(8 n), with n the bytes that follow it. */

/* a b modulo the polynomial, with bits reflected: the highest bit is x^0. */
static uint32_t llmq__crc_product(uint32_t a, uint32_t b)
{
    uint32_t mask, product = 0;
    for (mask = 0x80000000u; mask; mask >>= 1) {
        if (a & mask) product ^= b;
        b = b >> 1 ^ (b & 1 ? 0xedb88320u : 0u);
    }
    return product;
}

/* The CRC's share in the CRC of n more bytes. */
static uint32_t llmq__crc_shift(uint32_t crc, size_t n)
{
    uint32_t power = 0x00800000u; /* x^8, then its squares */
    for (; n; n >>= 1) {
        if (n & 1) crc = llmq__crc_product(crc, power);
        power = llmq__crc_product(power, power);
    }
    return crc;
}

/* Where a writer is in its bundle: the context of a sink that goes on from there. */
typedef struct llmq__cursor {
    const llmq_writer *w;
    size_t offset;
} llmq__cursor;

static int llmq__cursor_sink(void *context, const void *bytes, size_t n)
{
    llmq__cursor *c = (llmq__cursor *)context;
    size_t offset = c->offset;
    c->offset += n;
    return c->w->sink(c->w->context, offset, bytes, n);
}

/* A way to that place. */
static void llmq__cursor_open(llmq__cursor *c, const llmq_writer *w, size_t offset, llmq__out *o)
{
    c->w = w;
    c->offset = offset;
    LLMQ_MEMSET(o, 0, sizeof *o);
    o->sink = llmq__cursor_sink;
    o->context = c;
}

/* Sends the next size bytes of the payload of entry i, with its padding if they are its last, and
   adds them to the checksum. */
static llmq_status llmq__payload_send(llmq_writer *w, uint32_t i, const void *data, size_t size)
{
    int last = w->sent + size == w->entries[i].size;
    size_t padding = last ? llmq__padding(w->entries[i].size) : 0;
    llmq__cursor c;
    llmq__out o;
    uint32_t crc;
    if (i < w->next) {
        w->next = 0;
        w->offset = w->start;
    }
    for (; w->next < i; w->next++) w->offset += llmq__align_up(w->entries[w->next].size);
    /* first without a sink, for the checksum */
    LLMQ_MEMSET(&o, 0, sizeof o);
    llmq__put(&o, data, size);
    llmq__put_zeros(&o, padding);
    crc = llmq__crc_shift(o.crc, w->size - w->offset - w->sent - size - padding);
    llmq__cursor_open(&c, w, w->offset + w->sent, &o);
    llmq__put(&o, data, size);
    llmq__put_zeros(&o, padding);
    if (o.stopped) return LLMQ_E_STOPPED;
    w->crc ^= crc;
    w->sent = last ? 0 : w->sent + size;
    return LLMQ_OK;
}

/* A mark that the payload has been sent: a pointer that stays valid, because the caller may free
   the payload. */
static void llmq__payload_mark(llmq_entry *e) { e->data = e->name; }

LLMQ_API llmq_status llmq_writer_begin(llmq_writer *writer, llmq_entry *entries, uint32_t count, llmq_sink_at sink,
                                       void *context)
{
    uint8_t head[64];
    llmq_writer w;
    uint32_t i;
    llmq_status status;
    if (!writer || !sink) return LLMQ_E_ARG;
    LLMQ_MEMSET(&w, 0, sizeof w);
    w.entries = entries;
    w.count = count;
    w.sink = sink;
    w.context = context;
    if ((status = llmq__entries_check(entries, count, &w.size, &w.start)) != LLMQ_OK) return status;
    for (i = 0; i < count; i++)
        if (entries[i].data && !llmq__payload_ok(&entries[i], entries[i].data, entries[i].rows)) return LLMQ_E_ARG;
    w.offset = w.start = llmq__align_up(w.start);
    LLMQ_MEMSET(head, 0, sizeof head);
    if (sink(context, 0, head, sizeof head) != 0) return LLMQ_E_STOPPED;
    for (i = 0; i < count; i++)
        if (entries[i].data && (status = llmq__payload_send(&w, i, entries[i].data, entries[i].size)) != LLMQ_OK)
            return status;
    for (i = 0; i < count; i++)
        if (entries[i].data) llmq__payload_mark(&entries[i]);
    *writer = w;
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_writer_put(llmq_writer *w, uint32_t i, const void *data)
{
    llmq_status status;
    if (!w || !data || i >= w->count || w->entries[i].data || !w->entries[i].size || w->sent) return LLMQ_E_ARG;
    if (!llmq__payload_ok(&w->entries[i], data, w->entries[i].rows)) return LLMQ_E_ARG;
    if ((status = llmq__payload_send(w, i, data, w->entries[i].size)) == LLMQ_OK) llmq__payload_mark(&w->entries[i]);
    return status;
}

LLMQ_API llmq_status llmq_writer_rows(llmq_writer *w, uint32_t i, const void *data, uint32_t rows)
{
    llmq_entry *e;
    llmq_status status;
    size_t row_size;
    if (!w || !data || i >= w->count || (w->sent && i != w->next)) return LLMQ_E_ARG;
    e = &w->entries[i];
    if (e->data || e->kind != LLMQ_KIND_TENSOR) return LLMQ_E_ARG;
    row_size = llmq_row_size(&e->format, e->cols);
    if (rows == 0 || rows > (e->size - w->sent) / row_size || !llmq__payload_ok(e, data, rows)) return LLMQ_E_ARG;
    status = llmq__payload_send(w, i, data, rows * row_size);
    if (status == LLMQ_OK && w->sent == 0) llmq__payload_mark(e);
    return status;
}

/* The magic goes out alone, and last: without it the bytes are LLMQ_E_MAGIC for certain, where half
   a header would be refused by its checksum, so only very likely. */
LLMQ_API llmq_status llmq_writer_end(llmq_writer *w)
{
    uint8_t head[64];
    llmq__cursor c;
    llmq__out o;
    uint32_t i;
    if (!w) return LLMQ_E_ARG;
    for (i = 0; i < w->count; i++)
        if (w->entries[i].size && !w->entries[i].data) return LLMQ_E_ARG;
    llmq__cursor_open(&c, w, 64, &o);
    llmq__put_directory(&o, w->entries, w->count);
    if (!o.stopped) llmq__put_zeros(&o, w->start - c.offset);
    llmq__header_bytes(w->entries, w->count, w->size, w->crc, head);
    c.offset = 8;
    llmq__put(&o, head + 8, sizeof head - 8);
    c.offset = 0;
    llmq__put(&o, head, 8);
    return o.stopped ? LLMQ_E_STOPPED : LLMQ_OK;
}
#endif

/* ---- 15. Sensitivity ------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

/* -- Sums. llmq_hessian_add checks all tokens and cuts them into runs of LLMQ__TOKENS.
   llmq__add_tokens brings a run into the basis of T, applies the weights and rounds. It adds to a
   diagonal at once. For a full H it copies the run into panels, and llmq__add_panels goes over the
   rows of H with the kernel add_products.
   Two rules make the bits independent of the machine, and of how tokens and rows are cut. First,
   factors have 12 significant bits (llmq__round12), so products are exact. Second, every entry of H
   gets its tokens in order. Whoever changes the loops has to keep both rules. -- */

/* x[h->cols] <- T x in place, for finite x. h->transform was checked; work holds the workspace of
   the transform. A step sums at most 2^15 values of magnitude 2^100, so the clamp before each step
   keeps every sum below 2^128. Smoothing may still divide a value to infinity. The next clamp makes
   2^100 of it, and after the last step llmq__round12 makes 2^60.
   The first clamp is to 2^60, the range of llmq__round12: inputs are treated alike without a
   transform.
   check: 2^15 * 2^100 < 2^128 */
static llmq_status llmq__to_hessian(const llmq_hessian *h, float *x, void *work, size_t work_size)
{
    llmq_status status = LLMQ_OK;
    uint32_t i, j;
    for (i = 0; i < h->transform.count && status == LLMQ_OK; i++) {
        /* check: 1.26765060e30f == f32(2^100) */ /* check: 1.15292150e18f == f32(2^60) */
        for (j = 0; j < h->cols; j++) x[j] = llmq__clamp(x[j], i ? 1.26765060e30f : 1.15292150e18f);
        status = llmq__step_apply(&h->transform, i, LLMQ_TO_ACTIVATION, x, h->cols, work, work_size,
                                  llmq__kernels(h->kernels));
    }
    return status;
}

/* Scalar kernel add_products: section 2 has its contract. For each out[i] the products are added in
   the order of t, which is the order that every kernel has to keep. A product is exact, so it may
   be fused with its addition. */
static void llmq__add_products(float *const *out, const float *const *a, size_t a_step, const float *v, size_t v_stride,
                               uint32_t rows, uint32_t count, uint32_t n)
{
    LLMQ__NO_CONTRACT
    uint32_t i, t;
    for (i = 0; i < rows; i++)
        for (t = 0; t < count; t++) llmq__add_scaled(out[i], a[i][t * a_step], v + t * v_stride, n);
}

/* A full H is updated from panels: LLMQ__TOKENS tokens by LLMQ__PANEL columns, token by token. One
   panel is 64 KB, half of a small level-2 cache. LLMQ__PANELS of them are 512 KB: the rows of H use
   these again and again, while the rows themselves stream from memory once for each such set of
   columns.
   check: 128 * 128 * 4 == 64 * 1024; 8 * 64 * 1024 == 512 * 1024 */
#define LLMQ__TOKENS 128
#define LLMQ__PANEL 128   /* a multiple of 8: the rows that llmq__add_panel takes together lie in one panel */
#define LLMQ__PANELS 8

/* Index of the first entry of row i of a packed lower triangle, which is also the number of entries
   of i rows: i (i + 1) / 2. The even factor is halved first, so that nothing overflows that the
   result does not. */
static size_t llmq__packed(size_t i) { return i % 2 ? (i + 1) / 2 * i : i / 2 * (i + 1); }

LLMQ_API size_t llmq_hessian_size(uint32_t cols, int full)
{
    size_t n = llmq__size(cols), pairs;
    if (cols == 0 || cols > LLMQ_MAX_COLS) return 0; /* so n + 1 does not wrap below, even if size_t has 32 bits */
    if (!full) return llmq__size_mul(n, sizeof(float));
    pairs = n % 2 ? llmq__size_mul(n, (n + 1) / 2) : llmq__size_mul(n / 2, n + 1);
    return llmq__size_mul(pairs, sizeof(float));
}

LLMQ_API llmq_status llmq_hessian_init(llmq_hessian *h, uint32_t cols, int full, const llmq_transform *transform,
                                       void *mem, size_t size)
{
    static const llmq_transform none = { 0, { { 0, 0, 0 } }, LLMQ__NULL };
    llmq_status status;
    size_t need = llmq_hessian_size(cols, full);
    if (!h || !mem || llmq__misaligned(mem) || cols == 0) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    if (size < need) return LLMQ_E_WORKSPACE;
    if (!transform) transform = &none;
    if ((status = llmq__transform_check(transform, cols)) != LLMQ_OK) return status;
    /* nothing fails from here on: on an error *h is as it was */
    h->cols = cols;
    h->full = full != 0;
    h->weight = h->squares = 0.0;
    h->transform = *transform;
    h->h = (float *)mem;
    h->kernels = LLMQ_KERNELS; /* the caller may replace it afterwards: the bits are the same */
    LLMQ_MEMSET(mem, 0, need);
    return LLMQ_OK;
}

/* Bytes of all panels of cols columns; 0 if they do not fit size_t.
   Panel k holds columns [k PANEL, (k + 1) PANEL) of the tokens: token t and column j are at
       (j / PANEL * TOKENS + t) * PANEL + j % PANEL.
   The last panel has its full size too. Nothing reads its columns from cols on.
   So the kernel reads a token's row of a panel as one vector, and one column in steps of PANEL. */
static size_t llmq__panels_size(uint32_t cols)
{
    return llmq__size_mul(llmq__ceil_div(cols, LLMQ__PANEL), LLMQ__TOKENS * LLMQ__PANEL * sizeof(float));
}

/* The workspace, in this order: a row of floats, the panels of a full H, the workspace of the
   transform. llmq__add_tokens lays it out likewise. */
LLMQ_API size_t llmq_hessian_work_size(const llmq_hessian *h)
{
    size_t n;
    if (!h || h->cols == 0 || h->cols > LLMQ_MAX_COLS) return 0;
    n = llmq__size_mul(llmq__size(h->cols), sizeof(float));
    if (h->full) n = n ? llmq__size_add(llmq__panels_size(h->cols), n) : 0;
    return llmq__size_add(n, llmq_transform_work_size(&h->transform, h->cols));
}

/* LLMQ_OK if count tokens x[count][cols] are finite and their weights are finite and not negative.
   Otherwise *error names the first token that is refused and its column, or cols for its weight. */
LLMQ__NOINLINE llmq_status llmq__inputs_check(const float *x, size_t stride, uint32_t cols, uint32_t count,
                                              const float *weight, llmq_error *error)
{
    uint32_t t;
    for (t = 0; t < count; t++) {
        if (llmq__find_not_finite(x + t * stride, t, cols, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
        if (weight && (llmq__find_not_finite(weight + t, t, 1, error) != LLMQ_OK || weight[t] < 0.0f))
            return llmq__not_finite(t, cols, error);
    }
    return LLMQ_OK;
}

/* Add the tokens of the panels to rows [i, i + rows) of a full H, in the columns of the panel that
   begins at c <= i. rows <= 8, and these rows lie in one panel; c is a multiple of LLMQ__PANEL. */
LLMQ__NOINLINE void llmq__add_panel(const llmq_hessian *h, uint32_t i, uint32_t rows, uint32_t c, const float *panels,
                                    uint32_t count)
{
    /* the factor of the columns: c = k PANEL, and panel k begins at k TOKENS PANEL */
    const float *v = panels + (size_t)c * LLMQ__TOKENS;
    float *out[8];
    const float *a[8];
    /* Row i + k ends at its diagonal entry, i + k - c + 1 columns after c. In the panel of the
       diagonal each row has its own length, so rows are added one by one. In panels before it every
       row has LLMQ__PANEL columns, and the kernel gets all rows at once. */
    uint32_t k, n = i - c < LLMQ__PANEL ? 1 : rows;
    for (k = 0; k < rows; k++) {
        /* the factor of the row: column i + k of the panel that the rows lie in, token by token */
        out[k] = h->h + llmq__packed(i + k) + c;
        a[k] = panels + (size_t)(i - i % LLMQ__PANEL) * LLMQ__TOKENS + i % LLMQ__PANEL + k;
    }
    for (k = 0; k < rows; k += n)
        llmq__kernels(h->kernels)->add_products(out + k, a + k, LLMQ__PANEL, v, LLMQ__PANEL, n, count,
                                                llmq__min(LLMQ__PANEL, i + k - c + 1));
}

/* Add the tokens of the panels to rows [r0, r1) of a full H.
   The outer loop goes over sets of LLMQ__PANELS panels and the rows that reach their columns, so
   that a set stays in the cache for all rows. Row groups begin at multiples of 8, wherever r0 is:
   the kernels take 8 rows together. */
LLMQ__NOINLINE void llmq__add_panels(const llmq_hessian *h, uint32_t r0, uint32_t r1, const float *panels,
                                     uint32_t count)
{
    uint32_t g, i, c, rows;
    for (g = 0; g < r1; g += LLMQ__PANELS * LLMQ__PANEL)
        for (i = g > r0 ? g : r0; i < r1; i += rows) {
            rows = llmq__min(8 - i % 8, r1 - i);
            /* c <= i: panels after the diagonal have no entries in a lower triangle */
            for (c = g; c <= i && c < g + LLMQ__PANELS * LLMQ__PANEL; c += LLMQ__PANEL)
                llmq__add_panel(h, i, rows, c, panels, count);
        }
}

/* Add count <= LLMQ__TOKENS tokens to rows [r0, r1) of H. The tokens, their weights and
   h->transform were checked.
   row: the workspace, llmq_hessian_work_size bytes: a row, the panels of a full H, the workspace of
   the transform.
   A full H needs the columns below r0, too, so its panels get all of [0, r1). */
LLMQ__NOINLINE llmq_status llmq__add_tokens(const llmq_hessian *h, uint32_t r0, uint32_t r1, const float *x,
                                            size_t stride, uint32_t count, const float *weight, float *row)
{
    LLMQ__NO_CONTRACT
    float *panels = row + h->cols, *rest = panels + (h->full ? llmq__panels_size(h->cols) / sizeof(float) : 0), root, v;
    const size_t rest_size = llmq_transform_work_size(&h->transform, h->cols);
    llmq_status status;
    uint32_t t, j;
    for (t = 0; t < count; t++, x += stride) {
        LLMQ_MEMCPY(row, x, h->cols * sizeof(float));
        if ((status = llmq__to_hessian(h, row, rest, rest_size)) != LLMQ_OK) return status;
        /* the root of the weight goes into each factor, so that a product has all of the weight */
        root = weight ? llmq__sqrt(weight[t]) : 1.0f;
        /* a diagonal is complete with this; a full H needs all tokens of the run side by side
           first */
        for (j = h->full ? 0 : r0; j < r1; j++) {
            /* smoothing may leave infinity, and infinity times a weight of 0 would be NaN */
            v = root > 0.0f ? llmq__round12(row[j] * root) : 0.0f;
            if (h->full) panels[((size_t)(j / LLMQ__PANEL) * LLMQ__TOKENS + t) * LLMQ__PANEL + j % LLMQ__PANEL] = v;
            else h->h[j] += v * v;
        }
    }
    /* Each entry of H gets its tokens one after the other, in order, in this call and over calls.
       That is why the bits do not depend on how tokens are cut. */
    if (h->full) llmq__add_panels(h, r0, r1, panels, count);
    return LLMQ_OK;
}

LLMQ_API llmq_status llmq_hessian_add(llmq_hessian *h, uint32_t r0, uint32_t r1, const float *x, size_t stride,
                                      uint32_t count, const float *weight, void *work, size_t work_size,
                                      llmq_error *error)
{
    llmq_status status;
    size_t need = llmq_hessian_work_size(h);
    uint32_t t, n;
    /* need is 0 for a NULL h and for cols out of range, so both are refused here */
    if (!h || !x || r0 > r1 || r1 > h->cols || stride < h->cols || need == 0 || !work || llmq__misaligned(work))
        return LLMQ_E_ARG;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    if ((status = llmq__transform_check(&h->transform, h->cols)) != LLMQ_OK) return status;
    /* all tokens before the first is added: a call that fails adds nothing */
    if ((status = llmq__inputs_check(x, stride, h->cols, count, weight, error)) != LLMQ_OK) return status;
    for (t = 0; t < count; t += n) { /* a panel has LLMQ__TOKENS tokens */
        n = llmq__min(LLMQ__TOKENS, count - t);
        status = llmq__add_tokens(h, r0, r1, x + t * stride, stride, n, weight ? weight + t : LLMQ__NULL,
                                  (float *)work);
        if (status != LLMQ_OK) return status;
    }
    /* Only the range with row 0 writes these, once for each token, however the rows are cut. w is a
       float, so its square is exact in a double, and no compiler can change the sum by fusing. */
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
    /* a pass that only looks, so that h is as it was if a sum is infinite or NaN */
    for (i = 0; i < n; i++)
        if ((llmq__float_bits(h->h[i] + other->h[i]) & 0x7fffffffu) >= 0x7f800000u) return LLMQ_E_NOT_FINITE;
    /* entry by entry, h first: the order in which parts are merged decides the bits */
    for (i = 0; i < n; i++) h->h[i] += other->h[i];
    h->weight += other->weight;
    h->squares += other->squares;
    return LLMQ_OK;
}

/* S[cols][cols] (see below), and after it the workspace of the transform */
LLMQ_API size_t llmq_hessian_transform_work_size(const llmq_hessian *h, const llmq_transform *t)
{
    size_t n;
    if (!h || h->cols == 0 || h->cols > LLMQ_MAX_COLS) return 0;
    n = llmq__size(h->cols);
    return llmq__size_add(llmq__size_mul(llmq__size_mul(n, n), sizeof(float)), llmq_transform_work_size(t, h->cols));
}

/* s[n][n] <- its transpose, in place */
static void llmq__transpose(float *s, size_t n)
{
    size_t i, j;
    for (i = 0; i < n; i++)
        for (j = 0; j < i; j++) {
            float v = s[i * n + j];
            s[i * n + j] = s[j * n + i];
            s[j * n + i] = v;
        }
}

/* The workspace begins with S[n][n], all of H, since a row of a triangle is no vector that T can be
   applied to. Each pass applies T to the rows of S and transposes S. After the first pass S is T H,
   because H is symmetric. After the second it is the transpose of (T H) T^T, of which the lower
   triangle is stored; rounding makes S slightly unsymmetric. */
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
    used = n * n * sizeof(float); /* fits: need is larger */
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++) s[i * n + j] = s[j * n + i] = h->h[llmq__packed(i) + j];
    for (pass = 0; pass < 2; pass++) {
        for (i = 0; i < n; i++) {
            /* fails only for arguments, which are the same for each row, so h is not half
               transformed: it is not written before the end */
            status = llmq_transform_apply(t, LLMQ_TO_ACTIVATION, s + i * n, h->cols, s + n * n, work_size - used,
                                          h->kernels);
            if (status != LLMQ_OK) return status;
        }
        llmq__transpose(s, n);
    }
    /* all of the result is checked before h is written: on an error h is as it was */
    for (i = 0; i < n; i++)
        if (llmq__find_not_finite(s + i * n, (uint32_t)i, (uint32_t)i + 1, LLMQ__NULL) != LLMQ_OK)
            return LLMQ_E_NOT_FINITE;
    /* row i of the result holds entries 0 ... i of the row of S, which lie side by side in both */
    for (i = 0; i < n; i++) LLMQ_MEMCPY(h->h + llmq__packed(i), s + i * n, (i + 1) * sizeof(float));
    h->transform = *t;
    return LLMQ_OK;
}

/* -- Traces. The formulas stand at llmq_attention_traces. Their c_s = W_O,h (v_s - a) has an
   element for each row of W_O, and would have to be made for each query and key. So G = W_O,h^T
   W_O,h', of head x head elements, takes the place of W_O:
       c_s . c'_s' = (v_s - a) . G (v_s' - a').
   Where they come from: changes e_s of the scores q . k_s / sqrt(head) move a by sum_s p_s (v_s -
   a) e_s, and so y by sum_s p_s c_s e_s. With a change dW of the weights, e_s times sqrt(head) is
       W_Q   (R_t dW x_t) . k_s
       W_K   (R_s^T q) . (dW x_s), the same dW for all query heads.
   The squared moves, summed over independent elements of dW, are the formulas. H = 2 J^T J doubles
   them. W_V moves a by sum_s p_s dW x_s, and W_O moves y by dW a.
   Cost: x_s . x_s' and k_s . k_s' are computed once, and G, G v and v_s . G v_s' once a pair of
   heads. Then a query costs some multiply-adds a pair of keys, and some a key and element of a
   head. Sums are double and the data float. Products of two floats are then exact, and cancellation
   leaves enough digits: means of v are subtracted, and the softmax's Jacobian maps constants to 0.
   -- */

/* The workspace of llmq_attention_traces. h, h' are the pair of heads that is being added, and t is
   a query. Arrays of keys have an entry for each token.
   A triangle holds entry (s, s'), s' <= s, at s (s + 1) / 2 + s'. Triangles are enough: the terms
   (h, h', s, s') and (h', h, s', s) are equal, and all ordered pairs h, h' are visited. */
typedef struct llmq__heads {
    const llmq_attention *a;
    uint32_t count;       /* queries that are evaluated: strata, or all tokens */
    double scale;         /* 1 / sqrt(head) */
    double *x, *k, *b;    /* triangles: x_s . x_s' and k_s . k_s', and for the pair of heads v_s . G v_s' */
    double *g, *v, *gv;   /* G[head][head] = W_O,h^T W_O,h' for the pair of heads; [tokens][head]: v, and G v_s */
    double *p, *mean;     /* [2][tokens] and [2][head]: p^h_t and p^h'_t; a^h_t and a^h'_t */
    double *g_mean;       /* [head]: G a^h'_t */
    double *mean_b;       /* [tokens]: a^h_t . G v_s' */
    double *rotated;      /* [tokens]: (R_s^T q^h_t) . (R_s'^T q^h'_t) at s - s' */
    double *term;         /* [4][count]: for q, k, v and o, the contribution of each query to the trace */
    double *weight;       /* [3][tokens]: for q, k and v, the w_t */
} llmq__heads;

/* Place the arrays of w in the arena, or count them (section 1). The order is free: no code relies
   on it. A size of 0 stands for an overflow, and llmq__alloc keeps it. triangle is 0 if the product
   before the division overflows, so some sizes are refused that would just fit. */
static void llmq__heads_layout(llmq__heads *w, const llmq_attention *a, llmq__arena *arena)
{
    size_t t = llmq__size(a->tokens), n = llmq__size(a->head),
           triangle = llmq__size_mul(t, llmq__size_add(t, 1)) / 2;
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

/* The layout is only counted, in a struct that holds no pointers afterwards. */
LLMQ_API size_t llmq_attention_work_size(const llmq_attention *a)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(double));
    llmq__heads counted;
    if (!a || a->tokens == 0 || a->head == 0) return 0;
    llmq__heads_layout(&counted, a, &arena);
    return llmq__arena_size(&arena);
}

/* Lay w out in work, which was checked, and compute all that does not depend on the heads: v as
   doubles and the triangles x and k. The sums term (4 count <= 4 tokens entries) and weight begin
   with 0. */
LLMQ__NOINLINE void llmq__heads_open(llmq__heads *w, const llmq_attention *a, void *work)
{
    llmq__arena arena = llmq__arena_of(work, sizeof(double));
    size_t t = a->tokens, n = a->head, s, i;
    llmq__heads_layout(w, a, &arena);
    w->a = a;
    /* without sampling each query is a stratum of its own, of length 1 */
    w->count = a->samples ? llmq__min(a->samples, a->tokens) : a->tokens;
    w->scale = 1.0 / llmq__sqrt64((double)a->head);
    for (i = 0; i < 4 * t; i++) w->term[i] = 0.0;
    for (i = 0; i < 3 * t; i++) w->weight[i] = 0.0;
    /* x and k are the same for all pairs of heads: tokens^2 (dim + head) / 2 multiply-adds, once */
    for (s = 0; s < t; s++) {
        for (i = 0; i < n; i++) w->v[s * n + i] = (double)a->v[s * a->v_stride + i];
        for (i = 0; i <= s; i++) {
            w->x[llmq__packed(s) + i] = llmq__dot(a->x + s * a->x_stride, a->x + i * a->x_stride, a->dim);
            w->k[llmq__packed(s) + i] = llmq__dot(a->k + s * a->k_stride, a->k + i * a->k_stride, a->head);
        }
    }
}

/* Query t sees keys [a->masked, end), end being returned; it sees none if that is empty. */
static uint32_t llmq__seen(const llmq_attention *a, uint32_t t) { return a->causal ? t + 1 : a->tokens; }

/* p[s] = p^h_ts for the keys s that query t sees, at least one, and mean[head] = a^h_t.
   The largest score is subtracted, so every exponent is 0 or less, one term is 1, and total is 1 or
   more.
   Scores are above -1e300: a product of two floats is below 1.2e77, and head is below 2^32. */
static void llmq__attend(const llmq__heads *w, uint32_t t, uint32_t h, double *p, double *mean)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    const float *q = a->q + t * a->q_stride + (size_t)h * a->head;
    uint32_t s, i, end = llmq__seen(a, t);
    double max_score = -1e300, total = 0.0; /* check: 2^128 * 2^128 * 2^32 < 1e300 */
    for (s = a->masked; s < end; s++) {
        p[s] = llmq__dot(q, a->k + s * a->k_stride, a->head) * w->scale;
        if (p[s] > max_score) max_score = p[s];
    }
    /* exponentials, normalised below: no overflow, and a key far below the largest gets 0 */
    for (s = a->masked; s < end; s++) total += p[s] = llmq__exp64(p[s] - max_score);
    for (i = 0; i < a->head; i++) mean[i] = 0.0;
    for (s = a->masked; s < end; s++) {
        p[s] /= total;
        for (i = 0; i < a->head; i++) mean[i] += p[s] * w->v[(size_t)s * a->head + i];
    }
}

/* w->rotated[d], d = s - s' in [0, count), for query t and the pair of heads h, h2 = h'.
   (R_s^T q^h) . (R_s'^T q^h') = q^h . R_(s - s') q^h' depends on the distance alone.
   It is the sum, over pairs of coordinates (a, b) of q^h and (a', b') of q^h', of
       (a a' + b b') cos + (b a' - a b') sin,   for d times the angle of the pair.
   Row d of the caller's tables holds these cosines and sines, so count <= tokens is needed.
   Without RoPE it is q^h . q^h' for all d. */
static void llmq__rotated_scores(const llmq__heads *w, uint32_t t, uint32_t h, uint32_t h2, uint32_t count)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    const float *q = a->q + t * a->q_stride + (size_t)h * a->head, *q2 = a->q + t * a->q_stride + (size_t)h2 * a->head;
    /* pair i is coordinates i step and i step + other: 2i and 2i + 1, or i and i + half */
    uint32_t d, i, half = a->head / 2, step = a->rope == LLMQ_ROPE_PAIRS ? 2 : 1, other = step == 2 ? 1 : half;
    double same = llmq__dot(q, q2, a->head); /* without a rotation, for every distance */
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

/* Add the contribution of stratum j, through the pair of heads h, h2 = h', to w->term and
   w->weight. w->g, w->gv and w->b were made for this pair; trace_g is tr G. Cost: (end - masked)^2
   / 2 pairs of keys. For keys s and s' the formulas need
       c^h_s . c^h'_s' = b_ss' - v_s . G a^h' - a^h . G v_s' + a^h . G a^h'.
   mean_b holds the third term, c the last one, and cov is p^h'_s' times the sum.
   Keys s' < s count twice, for the transposed terms (llmq__heads). The key s' = s counts once.
   Only pairs h = h' have terms for W_Q and W_O, whose rows or columns belong to one query head. */
LLMQ__NOINLINE void llmq__add_query(const llmq__heads *w, uint32_t h, uint32_t h2, uint32_t j, double trace_g)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    /* stratum j is queries [t, t + length), and length is 1 or more, since count <= tokens; 64 bits
       because j tokens may need them */
    uint32_t n = a->head, s, i, t = (uint32_t)((uint64_t)j * a->tokens / w->count), end;
    uint32_t length = (uint32_t)(((uint64_t)j + 1) * a->tokens / w->count) - t;
    double *p = w->p, *p2 = h == h2 ? p : p + a->tokens, *mean2 = h == h2 ? w->mean : w->mean + n;
    double sum[3] = { 0.0, 0.0, 0.0 }, c, factor, times = (double)length; /* sum: of q, k and v */
    /* a draw from [0, length), from the upper bits of the product; the same query for all pairs */
    t += (uint32_t)((uint64_t)llmq_random(a->seed, j) * length >> 32);
    if (a->importance) times *= (double)a->importance[t];
    end = llmq__seen(a, t);
    if (end <= a->masked) return; /* no key: a = 0 whatever the weights are, so every term is 0 */
    llmq__attend(w, t, h, p, w->mean);
    if (h != h2) llmq__attend(w, t, h2, p2, mean2);
    llmq__rotated_scores(w, t, h, h2, end - a->masked);
    /* parts of c_s . c'_s' that need one pass over the keys each, so a pair of keys costs O(1) */
    for (i = 0; i < n; i++) w->g_mean[i] = llmq__dot_double(w->g + (size_t)i * n, mean2, n);
    for (s = a->masked; s < end; s++) w->mean_b[s] = llmq__dot_double(w->mean, w->gv + (size_t)s * n, n);
    c = llmq__dot_double(w->mean, w->g_mean, n);
    factor = 2.0 / (double)n * times;
    /* less: the second and the last term, negated: they do not depend on s'. s_q, sk, sv: sums over
       the keys i < s of the terms of W_Q, W_K and W_V, without the factor p_s. */
    for (s = a->masked; s < end; s++) {
        const double *x = w->x + llmq__packed(s), *k = w->k + llmq__packed(s), *b = w->b + llmq__packed(s);
        double less = llmq__dot_double(w->v + (size_t)s * n, w->g_mean, n) - c, s_q = 0.0, sk = 0.0, sv = 0.0, cov;
        /* keys i = s' < s; d = s - s' indexes the rotated scores */
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
        /* the terms with s = s', each of one token; llmq__heads_close scales them to the trace */
        w->weight[a->tokens + s] += factor * (p[s] * cov * w->rotated[0]);
        w->weight[2 * (size_t)a->tokens + s] += 2.0 * times * trace_g * p[s] * p2[s];
    }
    /* rows of term: q, k, v, o. The trace of W_V has no factor 1 / head: v is not in a score */
    w->term[w->count + j] += factor * sum[1];
    w->term[2 * (size_t)w->count + j] += 2.0 * times * trace_g * sum[2];
    /* the rows of W_Q and the columns of W_O belong to one query head: no terms of two heads */
    if (h != h2) return;
    w->weight[t] += factor * sum[0];
    w->term[j] += factor * sum[0] * w->x[llmq__packed(t) + t];
    w->term[3 * (size_t)w->count + j] += 2.0 * times * (double)a->out * llmq__dot_double(w->mean, w->mean, n);
}

/* Add the contributions of the ordered pair of heads h, h2 = h' to w->term and w->weight. Computes
   G, its trace, G v and b for the pair first; they overwrite the values of the last pair. */
LLMQ__NOINLINE void llmq__add_heads(const llmq__heads *w, uint32_t h, uint32_t h2)
{
    LLMQ__NO_CONTRACT
    const llmq_attention *a = w->a;
    uint32_t n = a->head, s, i, j;
    double trace = 0.0;
    /* G as a sum of outer products, row by row of W_O, since its columns are far apart in memory */
    for (i = 0; i < n; i++)
        for (j = 0; j < n; j++) w->g[(size_t)i * n + j] = 0.0; /* n * n may not fit 32 bits */
    /* the columns of W_O that belong to the two heads begin at h n and h2 n */
    for (s = 0; s < a->out; s++) {
        const float *u = a->wo + s * a->wo_stride + (size_t)h * n, *v = a->wo + s * a->wo_stride + (size_t)h2 * n;
        for (i = 0; i < n; i++)
            for (j = 0; j < n; j++) w->g[(size_t)i * n + j] += (double)u[i] * (double)v[j];
    }
    for (i = 0; i < n; i++) trace += w->g[(size_t)i * n + i];
    /* G is not symmetric if the heads differ: b_ss' has the first head's v_s on the left of G */
    for (s = 0; s < a->tokens; s++) {
        for (i = 0; i < n; i++)
            w->gv[(size_t)s * n + i] = llmq__dot_double(w->g + (size_t)i * n, w->v + (size_t)s * n, n);
        for (i = 0; i <= s; i++)
            w->b[llmq__packed(s) + i] = llmq__dot_double(w->v + (size_t)s * n, w->gv + (size_t)i * n, n);
    }
    for (j = 0; j < w->count; j++) llmq__add_query(w, h, h2, j, trace);
}

/* Sums, standard errors and weights into the outputs, after all pairs of heads. weight[3]: the
   caller's, each NULL or [tokens]. LLMQ_E_NOT_FINITE if a result is not finite; all are computed
   before the first is written. A sample of the queries has two or more, since samples is not 1
   (llmq__attention_check), so count - 1 is not 0. */
LLMQ__NOINLINE llmq_status llmq__heads_close(const llmq__heads *w, float *const *weight, llmq_traces *out)
{
    LLMQ__NO_CONTRACT
    uint32_t c, t, tokens = w->a->tokens;
    double trace[4], error[4];
    for (c = 0; c < 4; c++) {
        const double *g = w->term + (size_t)c * w->count;
        /* rough: squared differences of neighbours. For independent terms of variance V its mean is
           2 (m - 1) V, and the error of a sum of m terms is sqrt(m V). */
        double sum = g[0], rough = 0.0;
        for (t = 1; t < w->count; t++) sum += g[t], rough += (g[t] - g[t - 1]) * (g[t] - g[t - 1]);
        if (!llmq__finite(sum) || !llmq__finite(rough)) return LLMQ_E_NOT_FINITE;
        trace[c] = sum > 0.0 ? sum : 0.0; /* a sum of squares: only rounding makes it negative */
        error[c] = w->count < tokens ? llmq__sqrt64(rough * (double)w->count / (2.0 * (double)(w->count - 1))) : 0.0;
    }
    for (c = 0; c < 3; c++) {
        double *v = w->weight + (size_t)c * tokens, sum = 0.0;
        for (t = 0; t < tokens; t++) {
            if (!(v[t] > 0.0)) v[t] = 0.0; /* a sum of squares over all pairs of heads: only rounding */
            sum += v[t] * w->x[llmq__packed(t) + t];
        }
        /* So that sum_t w_t |x_t|^2 is the trace. For q the factor is 1, because each of its terms
           belongs to one token. For k and v it makes up for the terms with s != s'. */
        for (t = 0; t < tokens && sum > 0.0; t++) {
            v[t] *= trace[c] / sum;
            if (weight[c] && !(v[t] <= 3.4e38)) return LLMQ_E_NOT_FINITE; /* check: 3.4e38 < (2 - 2^-23) * 2^127 */
        }
    }
    /* Nothing fails from here on. The weights are added to the caller's, so that calls for other
       heads of the same inputs add up. */
    for (c = 0; c < 3; c++)
        for (t = 0; t < tokens && weight[c]; t++) weight[c][t] += (float)w->weight[(size_t)c * tokens + t];
    out->q = trace[0], out->k = trace[1], out->v = trace[2], out->o = trace[3];
    out->q_error = error[0], out->k_error = error[1], out->v_error = error[2], out->o_error = error[3];
    return LLMQ_OK;
}

/* 1 if all values of rows[count][cols] are finite, else 0. */
static int llmq__rows_finite(const float *rows, size_t stride, uint32_t count, uint32_t cols)
{
    uint32_t r;
    for (r = 0; r < count; r++)
        if (llmq__find_not_finite(rows + r * stride, r, cols, LLMQ__NULL) != LLMQ_OK) return 0;
    return 1;
}

/* 1 if the arrays are there and rope is known. */
static int llmq__attention_arrays_ok(const llmq_attention *a)
{
    if (!a->x || !a->q || !a->k || !a->v || !a->wo || a->rope < LLMQ_ROPE_NONE || a->rope > LLMQ_ROPE_HALVES) return 0;
    return !a->rope || (a->cosine && a->sine && a->head % 2 == 0);
}

/* 1 if the counts are possible and no importance is negative. */
static int llmq__attention_counts_ok(const llmq_attention *a)
{
    uint32_t t;
    if (a->tokens == 0 || a->dim == 0 || a->head == 0 || a->queries == 0 || a->out == 0) return 0;
    /* one sample of several queries has no neighbour from which its error could be estimated */
    if (a->masked > a->tokens || (a->samples == 1 && a->tokens > 1)) return 0;
    for (t = 0; t < a->tokens && a->importance; t++)
        if (a->importance[t] < 0.0f) return 0;
    return 1;
}

/* Everything about the arguments but the values of the floats, which llmq__attention_finite checks;
   a may be NULL. The size query returns 0 for an overflow, and for tokens or head of 0: those are
   refused first. */
LLMQ__NOINLINE llmq_status llmq__attention_check(const llmq_attention *a, const void *work, size_t work_size)
{
    size_t need = llmq_attention_work_size(a);
    uint32_t width;
    if (!a || !llmq__attention_arrays_ok(a) || !llmq__attention_counts_ok(a)) return LLMQ_E_ARG;
    if (a->head > UINT32_MAX / a->queries) return LLMQ_E_LIMIT; /* before the product that would wrap */
    width = a->queries * a->head;
    if (a->x_stride < a->dim || a->q_stride < width || a->k_stride < a->head || a->v_stride < a->head
        || a->wo_stride < width)
        return LLMQ_E_ARG;
    if (!work || (uintptr_t)work % sizeof(double) != 0) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    return work_size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* 1 if all inputs are finite, else 0. The shapes were checked, so no product here overflows. Only
   arrays
   that are used are looked at: importance may be NULL, and without RoPE there are no angles. */
LLMQ__NOINLINE int llmq__attention_finite(const llmq_attention *a)
{
    uint32_t width = a->queries * a->head, half = a->head / 2;
    return llmq__rows_finite(a->x, a->x_stride, a->tokens, a->dim)
        && llmq__rows_finite(a->q, a->q_stride, a->tokens, width)
        && llmq__rows_finite(a->k, a->k_stride, a->tokens, a->head)
        && llmq__rows_finite(a->v, a->v_stride, a->tokens, a->head)
        && llmq__rows_finite(a->wo, a->wo_stride, a->out, width)
        && (!a->importance || llmq__rows_finite(a->importance, a->tokens, 1, a->tokens))
        && (!a->rope || (llmq__rows_finite(a->cosine, half, a->tokens, half)
                         && llmq__rows_finite(a->sine, half, a->tokens, half)));
}

/* Check, then open, add all ordered pairs of heads, and close. Nothing is written before
   llmq__heads_close. */
LLMQ_API llmq_status llmq_attention_traces(const llmq_attention *a, llmq_traces *traces, float *q_weight,
                                           float *k_weight, float *v_weight, void *work, size_t work_size)
{
    llmq__heads w;
    float *weight[3];
    uint32_t h, h2;
    llmq_status status = traces ? llmq__attention_check(a, work, work_size) : LLMQ_E_ARG;
    weight[0] = q_weight, weight[1] = k_weight, weight[2] = v_weight;
    if (status != LLMQ_OK) return status;
    if (!llmq__attention_finite(a)) return LLMQ_E_NOT_FINITE;
    llmq__heads_open(&w, a, work);
    /* ordered pairs of heads: with both (h, h') and (h', h), triangles of keys are enough
       (llmq__heads) */
    for (h = 0; h < a->queries; h++)
        for (h2 = 0; h2 < a->queries; h2++) llmq__add_heads(&w, h, h2);
    return llmq__heads_close(&w, weight, traces);
}

/* The operator H and the random signs that probe it: the arguments that all estimates share. */
typedef struct llmq__probes {
    llmq_operator product; /* hv[n] <- H v[n], with context */
    void *context;
    uint32_t n, seed;
} llmq__probes;

/* v[n] <- the random signs of probe i: the signs of a Hadamard step, so that other programs can
   make the same ones */
static void llmq__probe(const llmq__probes *o, uint32_t i, float *v)
{
    uint32_t j;
    for (j = 0; j < o->n; j++) v[j] = 1.0f;
    llmq__signs(v, o->n, llmq_random(o->seed, i));
}

/* v[n] <- (I - Q Q^T) v for `rank` orthonormal rows q[rank][n] of Q^T, one row after the other.
   Twice, because the first pass leaves rounding errors in proportion to the length of v, which are
   large beside a small remainder. The second pass leaves errors in proportion to the remainder. */
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

/* hv[n] <- H v, *value <- v^T H v. Returns the operator's status, or LLMQ_E_NOT_FINITE.
   One test is enough for all of H v: an infinite or NaN coordinate makes the sum of products
   infinite or NaN. Sums of finite floats' products cannot overflow a double. */
static llmq_status llmq__quadratic(const llmq__probes *o, const float *v, float *hv, double *value)
{
    llmq_status status = o->product(o->context, v, hv);
    if (status != LLMQ_OK) return status;
    *value = llmq__dot(v, hv, o->n); /* in doubles: exact products */
    return llmq__finite(*value) ? LLMQ_OK : LLMQ_E_NOT_FINITE;
}

/* basis[*rank][n] <- an orthonormal basis of the space that H maps probes 0 ... probes - 1 to
   (Gram-Schmidt).
   v: workspace of n floats. basis: space for `probes` rows, of which one at rank is written before
   it is accepted. A vector is dropped if the projection leaves less than 2^-16 of its length. The
   rest is then rounding of floats, 2^-24 times a growth over n terms, and a direction made of
   rounding would waste a product. Lengths are compared squared. */
LLMQ__NOINLINE llmq_status llmq__sketch(const llmq__probes *o, uint32_t probes, float *v, float *basis, uint32_t *rank)
{
    LLMQ__NO_CONTRACT
    const uint32_t n = o->n;
    uint32_t i, j;
    for (i = 0, *rank = 0; i < probes; i++) {
        float *y = basis + (size_t)*rank * n;
        double all, rest;
        llmq_status status;
        llmq__probe(o, i, v);
        if ((status = llmq__quadratic(o, v, y, &all)) != LLMQ_OK) return status;
        /* y is H v. The quadratic form was only needed to see that all of y is finite. */
        all = llmq__dot(y, y, n);
        llmq__project(y, basis, *rank, n);
        rest = llmq__dot(y, y, n);
        if (!(rest > all * (1.0 / 4294967296.0))) continue; /* check: 4294967296.0 == (2^16)^2 */
        /* y becomes row *rank of the basis; a y that is dropped is overwritten by the next one */
        rest = 1.0 / llmq__sqrt64(rest);
        for (j = 0; j < n; j++) y[j] = (float)((double)y[j] * rest);
        ++*rank;
    }
    return LLMQ_OK;
}

/* Hutch++ with `sketch` probes for the basis; with 0 it is Hutchinson's estimate. Checks the
   arguments of both. sketch <= max_products / 3, so one or more products are left for the rest: the
   basis takes sketch products and its exact part rank <= sketch.
   Workspace: v[n], hv[n], basis[sketch][n]. Mean and variance of the rest are updated probe by
   probe (Welford), which loses no digits where values are large and vary little. */
LLMQ__NOINLINE llmq_status llmq__trace(const llmq__probes *o, uint32_t sketch, uint32_t max_products, double tolerance,
                                       llmq_trace *out, void *work, size_t work_size)
{
    LLMQ__NO_CONTRACT
    const uint32_t n = o->n;
    size_t need = llmq__size_mul(llmq__size_mul(llmq__size(n), llmq__size_add(sketch + (size_t)1, 1)), sizeof(float));
    float *v = (float *)work, *hv, *basis;
    /* exact: tr(Q^T H Q). mean, squares: the mean of v^T H v over the probes of the rest, and the
       sum of their squared deviations from it */
    double exact = 0.0, mean = 0.0, squares = 0.0, error = 0.0, value = 0.0;
    uint32_t rank = 0, i, used;
    llmq_status status;
    if (!o->product || !out || !work || n == 0 || !(tolerance >= 0.0) || llmq__misaligned(work)) return LLMQ_E_ARG;
    if (need == 0) return LLMQ_E_LIMIT;
    if (work_size < need) return LLMQ_E_WORKSPACE;
    hv = v + n, basis = hv + n; /* with sketch 0 the basis is empty, and not read */
    if ((status = llmq__sketch(o, sketch, v, basis, &rank)) != LLMQ_OK) return status;
    for (i = 0; i < rank; i++) { /* tr(Q^T H Q) */
        if ((status = llmq__quadratic(o, basis + (size_t)i * n, hv, &value)) != LLMQ_OK) return status;
        exact += value;
    }
    /* i: probes of the rest so far. Their signs come after the signs of the sketch: probes from
       which the basis was made would be biased. */
    for (i = 0, used = sketch + rank; used < max_products; used++) {
        double before = mean;
        llmq__probe(o, sketch + i++, v);
        llmq__project(v, basis, rank, n); /* v^T H v is then the quadratic form of (I - Q Q^T) H (I - Q Q^T) */
        if ((status = llmq__quadratic(o, v, hv, &value)) != LLMQ_OK) return status;
        mean += (value - before) / (double)i;
        squares += (value - before) * (value - mean);
        /* the standard error of a mean of i values: their variance is squares / (i - 1) */
        error = i > 1 ? llmq__sqrt64(squares / ((double)i * (double)(i - 1))) : 0.0;
        value = exact + mean;
        /* 8 probes: the error itself is then known to a quarter (llmq_trace_hutchinson) */
        if (i >= 8 && tolerance > 0.0 && error <= tolerance * (value < 0.0 ? -value : value)) { used++; break; }
    }
    out->trace = exact + mean, out->error = error, out->products = used;
    return LLMQ_OK;
}

/* 2 is the minimum: one probe says nothing about its own error. */
LLMQ_API llmq_status llmq_trace_hutchinson(llmq_operator product, void *context, uint32_t n, uint32_t max_products,
                                           double tolerance, uint32_t seed, llmq_trace *out, void *work,
                                           size_t work_size)
{
    llmq__probes o;
    if (max_products < 2) return LLMQ_E_ARG;
    o.product = product, o.context = context, o.n = n, o.seed = seed;
    return llmq__trace(&o, 0, max_products, tolerance, out, work, work_size);
}

/* v, hv and the basis. At most n vectors are independent, so the basis has at most n rows. */
LLMQ_API size_t llmq_trace_hutchpp_work_size(uint32_t n, uint32_t max_products)
{
    if (max_products < 4) return 0;
    return llmq__size_mul(llmq__size_mul(llmq__size(n), llmq__size_add(llmq__min(max_products / 3, n), 2)),
                          sizeof(float));
}

/* 4 is the minimum: one product for the sketch, one for the exact part, and two for the rest, which
   is the minimum from which an error can be measured. check: 4 - 2 * (4 // 3) == 1 + 1 */
LLMQ_API llmq_status llmq_trace_hutchpp(llmq_operator product, void *context, uint32_t n, uint32_t max_products,
                                        double tolerance, uint32_t seed, llmq_trace *out, void *work, size_t work_size)
{
    llmq__probes o;
    if (max_products < 4) return LLMQ_E_ARG;
    o.product = product, o.context = context, o.n = n, o.seed = seed;
    return llmq__trace(&o, llmq__min(max_products / 3, n), max_products, tolerance, out, work, work_size);
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- 16. Error feedback ---------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

/* Names of this section. w is a row of W in the basis of the tensor, w' the row that its record
   decodes to, E = w - w' its error; M, D and f have their meaning from the introduction; they are
   f->m, f->d and a->correction here. "Columns in order" are counted in the order in which they are
   quantized: column s in order is column f->column[s] of the tensor. M, D and the buffers of the
   encoder are in order; records and grids are not. Products of two floats that are summed by
   add_products have
   factors of 12 significant bits: entries of M and errors. All other sums of products are in
   functions with LLMQ__NO_CONTRACT. */

/* -- Preparation. llmq_feedback_init checks H, orders its columns, scales it, and raises the
   damping until H can be factored. The order is applied while H is copied. -- */

#define LLMQ__PIVOTS 32       /* pivots that a row of H goes through while it is in the cache */
#define LLMQ__LDLQ_ROWS 16    /* rows of W that are encoded together, one a lane of the kernels */
/* Tail-biting blocks of a trellis that are encoded together, one a lane. More blocks would search
   faster, but each takes 1.5 KB of workspace a column: three buffers of a float for each of 128
   rows.
   check: 3 * 4 * 128 == 1.5 * 1024 */
#define LLMQ__LDLQ_BLOCKS 4u
/* Columns, rounded down to a multiple of p, whose corrections get the errors of the columns before
   them together. Kernels are faster the more columns they get. */
#define LLMQ__LDLQ_STRIP 32

/* The arrays of a llmq_feedback while they are made, and the scale of H. */
typedef struct llmq__factors {
    float *d;         /* [cols]: the diagonal of H, then D */
    uint32_t *column; /* [cols]: the columns in order */
    float *m;         /* H as a packed lower triangle, then M^T; NULL for a diagonal H */
    float down, mean; /* 2^-k, and the mean of the diagonal of H / 2^k */
} llmq__factors;

/* Place the arrays in the arena, or count them. */
static llmq__factors llmq__factors_layout(const llmq_hessian *h, llmq__arena *arena)
{
    llmq__factors w;
    w.d = (float *)llmq__alloc(arena, h->cols, sizeof(float));
    w.column = (uint32_t *)llmq__alloc(arena, h->cols, sizeof(uint32_t));
    w.m = h->full ? (float *)llmq__alloc(arena, llmq_hessian_size(h->cols, 1), 1) : LLMQ__NULL;
    w.down = w.mean = 1.0f;
    return w;
}

LLMQ_API size_t llmq_feedback_size(const llmq_hessian *h)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(float));
    if (!h || h->cols == 0 || h->cols > LLMQ_MAX_COLS) return 0;
    (void)llmq__factors_layout(h, &arena);
    return llmq__arena_size(&arena);
}

/* H_ii */
static float llmq__diagonal(const llmq_hessian *h, uint32_t i) { return h->h[h->full ? llmq__packed(i) + i : i]; }

/* Mean of H_ii over i in [first, first + n), n >= 1. */
static float llmq__diagonal_mean(const llmq_hessian *h, uint32_t first, uint32_t n)
{
    double sum = 0.0; /* 2^24 floats below 2^128 do not overflow it */
    uint32_t i;
    for (i = first; i < first + n; i++) sum += (double)llmq__diagonal(h, i);
    return (float)(sum / (double)n);
}

/* Sort the runs of `run` columns in [first, first + n) by decreasing mean of their diagonal, into
   column[n]. A shorter run at the end stays there. Equal runs keep their order.
   key: workspace, a float for each whole run.
   The sort inserts starts of runs, of which the one at place j is kept in column[j run]. Afterwards
   each start is extended to its run. */
static void llmq__order_runs(const llmq_hessian *h, uint32_t first, uint32_t n, uint32_t run, uint32_t *column,
                             float *key)
{
    uint32_t runs = n / run, i, j, k;
    for (i = 0; i < runs; i++) {
        float mean = llmq__diagonal_mean(h, first + i * run, run);
        for (j = i; j > 0 && key[j - 1] < mean; j--)
            key[j] = key[j - 1], column[j * run] = column[(j - 1) * run];
        key[j] = mean, column[j * run] = first + i * run;
    }
    /* from the last column of a run to its start, which the others are made from */
    for (i = runs; i-- > 0;)
        for (j = run; j-- > 0;) column[i * run + j] = column[i * run] + j;
    for (k = runs * run; k < n; k++) column[k] = first + k;
}

/* column[cols] <- the columns in the order in which they are quantized: `order` is LLMQ_ORDER_...
   group, p: columns of a group (cols if rows have one scale) and of a code. key: cols floats.
   Groups and runs of p move as a whole, because scales and codes belong to them. So the columns of
   a group stay together, and an incomplete group or run stays at its end. */
static void llmq__order(const llmq_hessian *h, uint32_t group, uint32_t p, int order, uint32_t *column, float *key)
{
    uint32_t s, n, cols = h->cols;
    for (s = 0; s < cols; s++) column[s] = s;
    if (order == LLMQ_ORDER_NATURAL || !h->full) return;
    llmq__order_runs(h, 0, cols, group, column, key);
    /* column[s] is the first column of the group that was moved to s; the row's last group may be
       short */
    for (s = 0; s < cols; s += n) {
        n = llmq__min(group, cols - column[s]);
        llmq__order_runs(h, column[s], n, p, column + s, key);
    }
}

/* m <- H * down with rows and columns in order, plus `add` on the diagonal; d[cols] <- the
   diagonal.
   m: packed lower triangle, or NULL for a diagonal H: then only d is written.
   down is a power of two, so the products are exact unless they are subnormal. */
static void llmq__copy_hessian(const llmq_hessian *h, const uint32_t *column, float down, float add, float *m, float *d)
{
    LLMQ__NO_CONTRACT
    uint32_t i, j;
    for (i = 0; i < h->cols; i++) {
        float *row = m ? m + llmq__packed(i) : LLMQ__NULL;
        d[i] = llmq__diagonal(h, column[i]) * down + add;
        if (!m) continue;
        for (j = 0; j < i; j++) {
            uint32_t a = column[i], b = column[j]; /* H is symmetric: the lower triangle has (a, b) or (b, a) */
            row[j] = (a > b ? h->h[llmq__packed(a) + b] : h->h[llmq__packed(b) + a]) * down;
        }
        row[i] = d[i];
    }
}

/* Row i <- row i minus the share of pivot j > i, in entries [0, i] of the remainder m of H.
   Row j of m is D_j times column j of M by now, so the pivot's share D_j M_ij M_kj is m_ji / m_jj *
   m_jk. k->add_scaled rounds the product and the sum, in every kernel: the products are not exact
   here. */
static void llmq__eliminate(const llmq_kernels *k, float *m, uint32_t i, uint32_t j)
{
    const float *pivot = m + llmq__packed(j);
    /* entries of row i end at the diagonal: the remainder is symmetric, so [0, i] is all of it */
    k->add_scaled(m + llmq__packed(i), -(pivot[i] / pivot[j]), pivot, i + 1);
}

/* Factor m = M D M^T: m, a packed lower triangle with the diagonal d, becomes M^T, and d becomes D.
   m NULL: H was a diagonal, and d is D already.
   Returns n, the number of columns, or the column of a pivot that is not positive enough; m and d
   are then of no use.
   M is upper triangular, so pivots go from the last to the first, and each is subtracted from the
   rows before it. Blocks of LLMQ__PIVOTS pivots go through a row together while it is in the cache:
   without them all of m, 2 n^2 bytes, would come from memory for each pivot. Every entry gets the
   same subtractions in the same order as without blocks, so the bits do not depend on
   LLMQ__PIVOTS. */
static uint32_t llmq__factor(const llmq_kernels *k, uint32_t n, float *m, float *d)
{
    uint32_t i, j, j0, j1;
    for (j = 0; j < n && !m; j++)
        if (!(d[j] > 0.0f)) return j;
    for (j1 = m ? n : 0; j1 > 0; j1 = j0) {
        j0 = j1 > LLMQ__PIVOTS ? j1 - LLMQ__PIVOTS : 0;
        /* the pivots of the block, each final once the later ones were subtracted from its row */
        for (j = j1; j-- > j0;) {
            float own = d[j]; /* the entry of H + damping; d[j] becomes the pivot */
            d[j] = m[llmq__packed(j) + j];
            /* check: 9.5367432e-7f == f32(2^-20) */
            if (!(d[j] > own * 9.5367432e-7f)) return j; /* sums of floats are not better than that */
            for (i = j0; i < j; i++) llmq__eliminate(k, m, i, j);
        }
        /* the rows before the block: a row is read once for all of its pivots */
        for (i = 0; i < j0; i++)
            for (j = j1; j-- > j0;) llmq__eliminate(k, m, i, j);
    }
    /* row j is D_j times column j of M; 12 bits, because M is a factor of add_products */
    for (j = 0; j < n && m; j++) {
        float *row = m + llmq__packed(j);
        for (i = 0; i < j; i++) row[i] = llmq__round12(row[i] / d[j]);
        row[j] = 1.0f;
    }
    return n;
}

/* LLMQ_OK if all entries of H are finite; else *error names row and column of the first one. An
   entry i of a diagonal is looked at as a row of one element, so its column is corrected. */
static llmq_status llmq__hessian_check(const llmq_hessian *h, llmq_error *error)
{
    uint32_t i;
    for (i = 0; i < h->cols; i++)
        if (llmq__find_not_finite(h->full ? h->h + llmq__packed(i) : h->h + i, i, h->full ? i + 1 : 1, error)
            != LLMQ_OK) {
            if (error && !h->full) error->col = i;
            return LLMQ_E_NOT_FINITE;
        }
    return LLMQ_OK;
}

/* 1 if d[n] are all equal, n >= 1; no comparison of floats by ==, which strict compilers warn of */
static int llmq__all_equal(const float *d, uint32_t n)
{
    uint32_t i = 1;
    while (i < n && !(d[i] < d[0] || d[i] > d[0])) i++;
    return i == n;
}

/* The default damping, relative to the mean of the diagonal: see the introduction. */
static float llmq__usual_damping(const llmq_hessian *h)
{
    double damping = 0.01;
    if (h->full && h->weight > 0.0 && h->squares > 0.0)
        damping += 2.0 * (double)h->cols * h->squares / (h->weight * h->weight);
    return damping < 1.0 ? (float)damping : 1.0f;
}

/* lambda of the judge J, relative to the mean of the diagonal, or `damping` where tokens are not
   known. The oracle approximating shrinkage estimate of rho [R21, eq. 23], for S = H / tokens of n
   columns, is
       ((1 - 2/n) tr S^2 + tr^2 S) / ((tokens + 1 - 2/n) (tr S^2 - tr^2 S / n)),
   in which a factor of S cancels. `all` is tr H^2, the sum of all squares, and `rho` is the
   numerator: rho / rest is the estimate. 2 rho / (1 - rho) is then 2 rho / (rest - rho).
   Squares of floats and 2^48 of them do not overflow a double. */
static float llmq__fair_damping(const llmq_hessian *h, float damping)
{
    LLMQ__NO_CONTRACT
    double all = 0.0, trace = 0.0, n = (double)h->cols, tokens, rho, rest, lambda;
    size_t i, j, at = 0;
    if (!h->full || !(h->weight > 0.0) || !(h->squares > 0.0)) return damping;
    /* the packed triangle in the order of memory; entries off the diagonal stand for two */
    for (i = 0; i < h->cols; i++) {
        for (j = 0; j < i; j++, at++) all += 2.0 * (double)h->h[at] * (double)h->h[at];
        all += (double)h->h[at] * (double)h->h[at];
        trace += (double)h->h[at++];
    }
    tokens = h->weight / h->squares * h->weight; /* in this order: weight^2 might overflow */
    rest = (tokens + 1.0 - 2.0 / n) * (all - trace * trace / n);
    rho = (1.0 - 2.0 / n) * all + trace * trace;
    /* H is a multiple of I as far as one can tell. lambda is bounded by about its value at this
       ratio.
       check: round(2 * 0.998 / (1 - 0.998)) + 2 == 1000 */
    if (!(rest > 0.0) || !(rho < 0.998 * rest)) return 1000.0f;
    lambda = 2.0 * rho / (rest - rho);
    return lambda > 0.01 ? (float)lambda : 0.01f;
}

/* The scale of H: down is the power of two that brings the mean of the diagonal to [1, 2), except
   for the largest and smallest floats. A mean of 0, of inputs that are always 0, counts as 1. */
static void llmq__factors_scale(llmq__factors *w, const llmq_hessian *h)
{
    w->mean = llmq__diagonal_mean(h, 0, h->cols);
    if (!(w->mean > 0.0f)) w->mean = 1.0f;
    /* llmq__normalise returns k in [-126, 126], so 127 - k is the exponent of a normal float */
    w->down = llmq__bits_float((uint32_t)(127 - llmq__normalise(&w->mean, 1, &w->mean)) << 23);
}

/* Factor H with its columns in order and damping added: w->m and w->d become M^T and D.
   *damping: the damping to begin with, at most 10. It becomes the damping that was needed: it is
   multiplied by 10 after each failure, and is 1e-6 after a value that is 0 in effect.
   Returns h->cols, or if no damping up to 10 helped the column (in order) of the last pivot that
   failed. */
LLMQ__NOINLINE uint32_t llmq__factor_damped(const llmq_hessian *h, const llmq_kernels *k, const llmq__factors *w,
                                            float *damping)
{
    LLMQ__NO_CONTRACT
    uint32_t bad = 0;
    for (; *damping <= 10.0f; *damping = *damping > 1e-7f ? *damping * 10.0f : 1e-6f) {
        /* a copy for each attempt, because a failed one has overwritten the last */
        llmq__copy_hessian(h, w->column, w->down, *damping * w->mean, w->m, w->d);
        bad = llmq__factor(k, h->cols, w->m, w->d);
        if (bad == h->cols) break; /* all pivots passed */
    }
    return bad;
}

/* Everything about the arguments of llmq_feedback_init but the entries of H. */
static llmq_status llmq__feedback_check(const llmq_feedback *f, const llmq_tensor *t, const llmq_hessian *h,
                                        const llmq_feedback_options *options, const void *mem, size_t size)
{
    size_t need = llmq_feedback_size(h);
    if (!f || !t || !h || !mem || llmq__misaligned(mem) || need == 0 || h->cols != t->cols) return LLMQ_E_ARG;
    /* written so that NaN is refused */
    if (!(options->damping <= 10.0f) || !(options->first_order >= 0.0f && options->first_order <= 1.0f)
        || (options->order != LLMQ_ORDER_NATURAL && options->order != LLMQ_ORDER_DIAGONAL))
        return LLMQ_E_ARG;
    if (!llmq__transform_same(&h->transform, &t->transform)) return LLMQ_E_MISMATCH;
    return size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* *f for t, from the factors w of H. damping: the damping that was needed. lambda: of the judge; it
   may be below a damping that the caller asked for, and the ridge is then negative.
   If all of D is one value, d is NULL and the members are in its unit, so that the encoder
   skips weights and H = c I gives the bits of llmq_encode. */
static void llmq__feedback_fill(llmq_feedback *f, const llmq_tensor *t, const llmq_hessian *h, const llmq__factors *w,
                                float first_order, float damping, float lambda)
{
    const int equal = llmq__all_equal(w->d, h->cols);
    const float c = equal ? w->d[0] : 1.0f;
    f->cols = h->cols;
    f->group = t->format.group;
    f->p = t->format.p;
    f->transform = h->transform;
    f->damping = damping;
    f->first_order = first_order * w->mean / c;
    f->m = w->m;
    f->ridge = (lambda - damping) * w->mean / c;
    f->unit = (double)c / (double)w->down;
    f->d = equal ? LLMQ__NULL : w->d;
    f->column = w->column;
}

/* Check, order, factor, fill: *f is written last, so that it is as it was on an error. */
LLMQ_API llmq_status llmq_feedback_init(llmq_feedback *f, const llmq_tensor *t, const llmq_hessian *h,
                                        const llmq_feedback_options *options, void *mem, size_t size,
                                        llmq_error *error)
{
    static const llmq_feedback_options usual = { -1.0f, 0.0f, LLMQ_ORDER_NATURAL };
    llmq__arena arena = llmq__arena_of(mem, sizeof(float));
    llmq__factors w;
    float asked, damping, lambda;
    uint32_t bad;
    llmq_status status;
    if (!options) options = &usual;
    if ((status = llmq__feedback_check(f, t, h, options, mem, size)) != LLMQ_OK) return status;
    if ((status = llmq__hessian_check(h, error)) != LLMQ_OK) return status;
    w = llmq__factors_layout(h, &arena);
    llmq__factors_scale(&w, h);
    /* Raw formats have no groups: they are encoded without feedback, and any order will do. d
       serves as workspace until H is factored. */
    llmq__order(h, t->format.points && t->format.group ? t->format.group : h->cols,
                t->format.points ? t->format.p : 1, options->order, w.column, w.d);
    asked = damping = options->damping < 0.0f ? llmq__usual_damping(h) : options->damping;
    lambda = llmq__fair_damping(h, damping);
    bad = llmq__factor_damped(h, llmq__kernels(t->kernels), &w, &damping);
    if (bad < h->cols) {
        if (error) error->status = LLMQ_E_INDEFINITE, error->row = error->col = w.column[bad];
        return LLMQ_E_INDEFINITE;
    }
    /* damping was raised: H, or its floats, is no sum of squares, and J has to be one */
    if (damping > asked && lambda < damping) lambda = damping;
    llmq__feedback_fill(f, t, h, &w, options->first_order, damping, lambda);
    return LLMQ_OK;
}

/* -- Encoding. Some rows of W are encoded together: LLMQ__LDLQ_ROWS rows, or tail-biting blocks.
   llmq__ldlq_encode_rows brings them into the basis (residual), encodes them without feedback
   (llmq__ldlq_plain), then group by group with feedback (llmq__ldlq_group), and keeps the better of
   both (llmq__ldlq_choose). Buffers of columns hold the rows of a column side by side,
   [column][capacity], because a column's errors are then one vector for the kernels.
   Two function pointers, scales and part, hide if rows are independent (grids) or form blocks
   (trellises). In this section a run is the p columns that share a code (the functions call it
   vector). Invariant, when the run at column s in order is quantized: residuals of columns
   before s are errors, residuals from s on are w, and the corrections of its columns have the
   errors of all columns before s. -- */

/* A row of W that is being encoded. The members from scale on are of the current group. */
typedef struct llmq__ldlq_row {
    int32_t exponent;            /* the residual is the row of W in the basis of t, divided by 2^exponent */
    float scale, inverse, down;  /* w' = point * scale; w * down * inverse is w in point coordinates */
    double error, plain_error;   /* E J E^T with feedback, and without; of all groups */
} llmq__ldlq_row;

/* The encoder of rows with feedback: up to `capacity` rows at a time, of which `rows` are in use.
   Lanes of rows from `rows` on hold 0, so that kernels may compute them. */
typedef struct llmq__ldlq {
    llmq__encoder *e;
    const llmq_tensor *t;
    const llmq_feedback *f;
    /* Three buffers, [cols][capacity], columns in order:
       residual: w of the columns to come, and E = w - w' of the columns that were quantized. The
       moment of change is llmq__ldlq_settle.
       correction: f, the sums of M times the errors of earlier columns.
       scratch: in llmq__ldlq_plain the errors of the records without feedback, later y of first
       order. */
    float *residual;
    float *correction;
    float *scratch;
    float *points;     /* [n][p]: the grid in the metric of a run, for p > 1 */
    float *x;          /* [capacity][p]: runs to be quantized, in point coordinates */
    llmq__ldlq_row *row;
    uint8_t *out;      /* the record of the first of these rows */
    uint8_t *plain;    /* [rows][row_size]: records of these rows without feedback */
    void *work;        /* the workspace of the transform, work_size bytes */
    size_t work_size;
    llmq_feedback_result *result; /* sums over the rows so far */
    uint32_t rows, capacity;
    int effort;
    /* scales of a group, columns [s, s + n) in order; codes and errors of a run, columns
       [s, s + dims) */
    void (*scales)(struct llmq__ldlq *a, uint32_t s, uint32_t n);
    void (*part)(struct llmq__ldlq *a, uint32_t s, uint32_t dims);
#if LLMQ__ANY_TRELLIS
    /* of the columns of a group, in one block; of one column, in some blocks */
    llmq__trellis_encoder *group_trellis, *column_trellis;
#endif
} llmq__ldlq;

/* Add the errors E of columns [t0, t1) to the corrections of columns [k0, k1), t1 <= k0: f_k +=
   sum_t E_t M_tk.
   errors: a->residual, of which these columns were quantized, or a->scratch. Columns are in order.
   However calls cut the columns, each f_k gets its terms in the order of t, so the bits are the
   same. Callers have to keep that order.
   The kernel takes up to 8 columns k at once, and is the faster the more it gets. A row of M^T is
   contiguous in t, so the factors of a column are at steps of 1.
   A diagonal H has no corrections. */
LLMQ__NOINLINE void llmq__ldlq_correct(const llmq__ldlq *a, const float *errors, uint32_t t0, uint32_t t1, uint32_t k0,
                                       uint32_t k1)
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
        a->e->kernels->add_products(out, m, 1, errors + (size_t)t0 * a->capacity, a->capacity, n, t1 - t0, a->capacity);
    }
}

/* Store the scale of row r in the group of column s, and set the row's members for it.
   bits: a bfloat16, 0 or positive, the scale of the group after it was divided by 2^own; -126 <=
   own <= 126. The residual is w / 2^exponent, so the record gets bits 2^(exponent + own). That may
   leave the range of bfloat16, and becomes 0 or the maximum (llmq__raise_scale). If it is 0, w' is
   0, and so is the row's scale. down and inverse are apart, because the inverse of the whole scale
   may not be a normal float. */
static void llmq__ldlq_scale(const llmq__ldlq *a, uint32_t s, uint32_t r, uint16_t bits, int32_t own)
{
    uint16_t stored = llmq__raise_scale(bits, a->row[r].exponent + own);
    llmq__store16(a->out + r * a->t->row_size + 2 * (size_t)(a->f->column[s] / a->e->layout.group), stored);
    a->row[r].down = llmq__bits_float((uint32_t)(127 - own) << 23);
    a->row[r].inverse = bits ? 1.0f / llmq_bf16_to_f32(bits) : 0.0f;
    a->row[r].scale = stored ? llmq_bf16_to_f32(bits) * llmq__bits_float((uint32_t)(127 + own) << 23) : 0.0f;
}

/* Scales of a group, columns [s, s + n) in order, for all rows: as llmq_encode finds them for w +
   f, with errors weighted by D. Lanes without a row get scale 0. */
LLMQ__NOINLINE void llmq__ldlq_scales(llmq__ldlq *a, uint32_t s, uint32_t n)
{
    uint32_t r, i;
    float *y = a->e->row;
    a->e->weight = a->f->d ? a->f->d + s : LLMQ__NULL;
    for (r = 0; r < a->rows; r++) {
        int32_t own;
        uint16_t bits;
        /* a copy, since llmq__choose_scale divides it by a power of two in place */
        for (i = 0; i < n; i++)
            y[i] = a->residual[(size_t)(s + i) * a->capacity + r] + a->correction[(size_t)(s + i) * a->capacity + r];
        bits = llmq__choose_scale(a->e, y, n, &own, a->effort);
        llmq__ldlq_scale(a, s, r, bits, own);
    }
    for (; r < a->capacity; r++) a->row[r].scale = a->row[r].inverse = a->row[r].down = 0.0f;
}

/* a->x <- (w B + f) S of the run at columns [s, s + dims) in order, for all rows, in point
   coordinates; a->points <- the grid times B S, for p > 1. B is 1 on the diagonal, and the identity
   for a diagonal H.
   S is divided by its largest entry: it weighs the coordinates of a run against each other, and
   its size would only move the squares towards overflow. For p = 1 it is 1, and a->e->points serve
   as they are. All columns of the run still have residuals w. */
LLMQ__NOINLINE void llmq__ldlq_metric(const llmq__ldlq *a, uint32_t s, uint32_t dims)
{
    LLMQ__NO_CONTRACT
    uint32_t p = a->e->format->p, i, j, r, k;
    float max_d = 0.0f;
    for (j = 0; j < dims && a->f->d; j++) max_d = a->f->d[s + j] > max_d ? a->f->d[s + j] : max_d;
    for (j = 0; j < dims; j++) {
        const float *b = a->f->m ? a->f->m + llmq__packed(s + j) + s : LLMQ__NULL,
                    *f = a->correction + (size_t)(s + j) * a->capacity;
        float weight = a->f->d ? llmq__sqrt(a->f->d[s + j] / max_d) : 1.0f;
        /* f, then w B: column j of B has entries in rows up to j, 1 in row j */
        for (r = 0; r < a->capacity; r++) a->x[r * p + j] = f[r];
        for (i = b ? 0 : j; i <= j; i++)
            for (r = 0; r < a->capacity; r++)
                a->x[r * p + j] += a->residual[(size_t)(s + i) * a->capacity + r] * (b ? b[i] : 1.0f);
        /* S, and from the unit of the row to the unit of the points */
        for (r = 0; r < a->capacity; r++)
            a->x[r * p + j] = a->x[r * p + j] * weight * a->row[r].down * a->row[r].inverse;
        /* the points in the same metric, for each run: n p (p + 1) / 2 multiply-adds in all */
        for (k = 0; k < a->e->format->n && p > 1; k++) {
            float v = 0.0f;
            for (i = b ? 0 : j; i <= j; i++) v += a->e->points[(size_t)k * p + i] * (b ? b[i] : 1.0f);
            a->points[(size_t)k * p + j] = v * weight;
        }
    }
}

/* The moment at which a residual changes its meaning: column s of row r was quantized to `point`,
   and w becomes w - w', with w' = point * scale. The error has 12 significant bits, as a factor of
   add_products. */
static void llmq__ldlq_settle(const llmq__ldlq *a, uint32_t s, uint32_t r, int8_t point)
{
    LLMQ__NO_CONTRACT
    float *residual = &a->residual[(size_t)s * a->capacity + r];
    *residual = llmq__round12(*residual - (float)point * a->row[r].scale);
}

/* Codes and errors of the run at columns [s, s + dims) in order, for all rows. dims is p, or less
   for an incomplete run at the end of a group.
   index: the run's code among the codes of a record. Codes are OR-ed into records that were
   zeroed. The kernel searches for whole runs only, in all lanes. A row of scale 0 gets code 0
   whatever was found. */
LLMQ__NOINLINE void llmq__ldlq_vector(llmq__ldlq *a, uint32_t s, uint32_t dims)
{
    const llmq_format *f = a->e->format;
    const float *points = f->p > 1 ? a->points : a->e->points;
    uint32_t column = a->f->column[s], group = column / a->e->layout.group, r, j;
    uint32_t index = group * a->e->layout.vectors + column % a->e->layout.group / f->p;
    llmq__ldlq_metric(a, s, dims);
    if (dims == f->p) a->e->kernels->nearest(points, f->n, f->p, a->x, 1.0f, a->capacity, a->e->code);
    else
        for (r = 0; r < a->capacity; r++)
            a->e->code[r] = (uint16_t)llmq__nearest(points, f->n, f->p, dims, a->x + r * f->p);
    /* lanes from a->rows on were searched, too, and are not stored */
    for (r = 0; r < a->rows; r++) {
        uint16_t code = a->row[r].inverse > 0.0f ? a->e->code[r] : 0;
        const int8_t *point = f->points + (size_t)code * f->p;
        llmq__pack(a->out + r * a->t->row_size + a->e->layout.scales, &a->e->layout, index, 1, &code);
        for (j = 0; j < dims; j++) llmq__ldlq_settle(a, s + j, r, point[j]);
    }
}

#if LLMQ__ANY_TRELLIS
/* As llmq__ldlq_scales, for trellises: the scales of an encoding of the group as it stands, w + f,
   without feedback, a block at a time. Only the scales are used: the codes of a column are chosen
   when the errors of the columns before it are known.
   The exponent that the fit returns after the block's rows is the row's plus the group's own. */
LLMQ__NOINLINE void llmq__ldlq_block_scales(llmq__ldlq *a, uint32_t s, uint32_t n)
{
    llmq__trellis_encoder *fit = a->group_trellis;
    uint32_t r, i, t, rows = fit->block.rows;
    fit->e->weight = a->f->d ? a->f->d + s : LLMQ__NULL;
    for (r = 0; r < a->rows; r += rows) {
        for (t = 0; t < rows; t++)
            for (fit->exponent[t] = a->row[r + t].exponent, i = 0; i < n; i++)
                fit->x[t * (size_t)n + i] = a->residual[(size_t)(s + i) * a->capacity + r + t]
                                          + a->correction[(size_t)(s + i) * a->capacity + r + t];
        llmq__trellis_fit(fit, n, 0, n);
        for (t = 0; t < rows; t++)
            llmq__ldlq_scale(a, s, r + t, llmq_f32_to_bf16(fit->scale[t]), fit->exponent[rows + t] - fit->exponent[t]);
    }
}

/* Fill the strip of the column trellis: `steps` rows of a->x from row `start` of each block on,
   around its end. A lane is a block; lanes that are not in use hold 0. */
static void llmq__ldlq_strip(llmq__ldlq *a, uint32_t start, uint32_t steps)
{
    llmq__trellis_encoder *feed = a->column_trellis;
    uint32_t rows = feed->block.rows, lanes = a->rows / rows, i, l;
    for (i = 0; i < steps; i++) {
        const float *x = a->x + llmq__trellis_row(feed, start, i);
        for (l = 0; l < LLMQ__LANES; l++) feed->strip[i * (size_t)LLMQ__LANES + l] = l < lanes ? x[l * rows] : 0.0f;
    }
}

/* As llmq__ldlq_vector, for trellises: dims is 1. All blocks of the column are searched together,
   one a lane. The start state comes from a search around the start, or for a short block from
   trying all (section 12). The encoder's arrays code and index have a row of LLMQ__LDLQ_BLOCKS
   entries for each row of a block. */
LLMQ__NOINLINE void llmq__ldlq_column(llmq__ldlq *a, uint32_t s, uint32_t dims)
{
    llmq__trellis_encoder *feed = a->column_trellis;
    uint32_t state[LLMQ__LANES] = { 0 }, rows = feed->block.rows, lanes = a->rows / rows, r;
    llmq__ldlq_metric(a, s, dims);
    if (!llmq__tailbite_is_short(feed)) {
        llmq__ldlq_strip(a, rows - feed->warmup, 2 * feed->warmup);
        llmq__trellis_start(feed, lanes, state);
    }
    /* the strip is overwritten: the column itself, from row 0 of each block to its end */
    llmq__ldlq_strip(a, 0, rows);
    if (llmq__tailbite_is_short(feed)) llmq__tailbite_exhaustive(feed, lanes, state);
    llmq__trellis_search(feed, lanes, rows, state);
    llmq__trellis_codes(feed, state, 0, lanes, 0);
    for (r = 0; r < a->rows; r++) {
        size_t at = r % rows * (size_t)feed->group + r / rows;
        llmq__pack(a->out + r * a->t->row_size + a->e->layout.scales, &a->e->layout, a->f->column[s], 1,
                   feed->code + at);
        llmq__ldlq_settle(a, s, r, a->t->format.points[feed->index[at]]);
    }
}
#endif

/* Encode a group, columns [s, s + n) in order: its scales, then its runs one after the other.
   Before it the corrections of the group hold the errors of all groups before it. Within the group
   errors reach a run in two steps: from earlier strips when its strip begins, many columns at once,
   and from its own strip just before it is quantized. At the end all later columns get the errors
   of the group. That is the order of the columns for every f_k, as llmq__ldlq_correct asks. */
LLMQ__NOINLINE void llmq__ldlq_group(llmq__ldlq *a, uint32_t s, uint32_t n)
{
    uint32_t p = a->e->format->p, strip = LLMQ__LDLQ_STRIP / p * p, end = s + n, b, v, last, dims;
    a->scales(a, s, n);
    for (b = s; b < end; b = last) {
        last = b + llmq__min(strip, end - b);
        llmq__ldlq_correct(a, a->residual, s, b, b, last);
        for (v = b; v < last; v += dims) {
            dims = llmq__min(p, end - v);
            llmq__ldlq_correct(a, a->residual, b, v, v, v + dims);
            a->part(a, v, dims);
        }
    }
    llmq__ldlq_correct(a, a->residual, s, end, end, a->t->cols);
}

/* First order, between groups: the corrections F of columns [s, cols) become F minus their share of
   the moves. The columns have moves delta = F M^-1, with M and D cut to them. Each move loses
   first_order delta H^-1, which as a correction is first_order delta H^-1 M. With H^-1 = M^-T D^-1
   M^-1 this is
       first_order (F M^-1) M^-T D^-1,   computed as y = F M^-1, z = y M^-T, both in place in y.
   y is a->scratch, of which columns [s, cols) are used. f->m is not NULL.
   M is unit triangular, so no division is needed. The unit mean(diagonal) is in f->first_order. */
static void llmq__ldlq_first_order(const llmq__ldlq *a, uint32_t s)
{
    LLMQ__NO_CONTRACT
    const llmq_feedback *f = a->f;
    float *y = a->scratch;
    uint32_t cols = a->t->cols, j, k, r;
    LLMQ_MEMCPY(y + (size_t)s * a->capacity, a->correction + (size_t)s * a->capacity,
                (size_t)(cols - s) * a->capacity * sizeof *y);
    /* y_k = F_k - sum_(j<k) y_j M_jk, ascending */
    for (k = s; k < cols; k++)
        for (j = s; j < k; j++)
            for (r = 0; r < a->capacity; r++)
                y[k * (size_t)a->capacity + r] -= y[j * (size_t)a->capacity + r] * f->m[llmq__packed(k) + j];
    /* z_j = y_j - sum_(k>j) M_jk z_k, descending */
    for (k = cols; k-- > s;)
        for (j = s; j < k; j++)
            for (r = 0; r < a->capacity; r++)
                y[j * (size_t)a->capacity + r] -= y[k * (size_t)a->capacity + r] * f->m[llmq__packed(k) + j];
    for (k = s; k < cols; k++)
        for (r = 0; r < a->capacity; r++)
            a->correction[k * (size_t)a->capacity + r] -= f->first_order / (f->d ? f->d[k] : 1.0f)
                                                        * y[k * (size_t)a->capacity + r];
}

/* Columns of the group whose first column in order is s: fewer than a group if it is the row's
   last. */
static uint32_t llmq__ldlq_finish_group(const llmq__ldlq *a, uint32_t s)
{
    uint32_t group = a->e->layout.group;
    return llmq__min(group, a->t->cols - a->f->column[s] / group * group);
}

/* x[n] <- w of row r in a group, columns [s, s + n) in order, in the order of the record. */
static void llmq__ldlq_gather(const llmq__ldlq *a, uint32_t s, uint32_t n, uint32_t r, float *x)
{
    uint32_t i, group = a->e->layout.group;
    for (i = s; i < s + n; i++) x[a->f->column[i] % group] = a->residual[(size_t)i * a->capacity + r];
}

/* Encode a group, columns [s, s + n) in order, as llmq_encode does it, into the records a->plain.
   Errors have no weights here, as in llmq_encode. g is the index of the group in a record. Codes
   are OR-ed, so a->plain has to be zeroed before the first group. */
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
            for (i = 0; i < rows; i++)
                fit->exponent[i] = a->row[r + i].exponent,
                llmq__ldlq_gather(a, s, n, r + i, fit->x + i * (size_t)n);
            llmq__trellis_group(fit, n, 0, n, g * l->group, g, a->t->row_size, a->plain + r * a->t->row_size);
        }
        return;
    }
#endif
    for (r = 0; r < a->rows; r++) {
        uint8_t *row = a->plain + r * a->t->row_size;
        llmq__ldlq_gather(a, s, n, r, a->e->row);
        llmq__store16(row + 2 * (size_t)g,
                      llmq__encode_group(a->e, a->e->row, n, a->row[r].exponent, a->effort));
        llmq__pack(row + l->scales, l, g * l->vectors, llmq__ceil_div(n, a->e->format->p), a->e->code);
    }
}

/* The corrections for all columns and errors [cols][capacity], from the beginning: each f_k has
   then the errors of all columns before k. That is how rows are measured whose corrections have a
   different content. */
LLMQ__NOINLINE void llmq__ldlq_correct_all(const llmq__ldlq *a, const float *errors)
{
    uint32_t cols = a->t->cols, b, v, last;
    LLMQ_MEMSET(a->correction, 0, (size_t)cols * a->capacity * sizeof(float));
    for (b = 0; b < cols; b = last) {
        last = b + llmq__min(LLMQ__LDLQ_STRIP, cols - b);
        llmq__ldlq_correct(a, errors, 0, b, b, last);
        /* column b is complete: all columns before it are in earlier strips */
        for (v = b + 1; v < last; v++) llmq__ldlq_correct(a, errors, b, v, v, v + 1);
    }
}

/* E J E^T of row r in the units of H, for the errors E[cols][capacity], whose corrections f are
   complete:
       unit * sum_v (d_v (E_v + f_v)^2 + ridge E_v^2),   (E M)_v = E_v + f_v.
   Errors are in units of 2^exponent, so their squares get that twice. */
static double llmq__ldlq_judge(const llmq__ldlq *a, const float *errors, uint32_t r)
{
    LLMQ__NO_CONTRACT
    double sum = 0.0;
    uint32_t v;
    for (v = 0; v < a->t->cols; v++) {
        double own = (double)errors[(size_t)v * a->capacity + r],
               e = own + (double)a->correction[(size_t)v * a->capacity + r];
        sum += (a->f->d ? (double)a->f->d[v] : 1.0) * e * e + (double)a->f->ridge * own * own;
    }
    return sum * (a->f->unit * llmq__power(2 * a->row[r].exponent));
}

/* Encode the rows without feedback into a->plain, and measure them: row[].plain_error.
   The residuals stay w. The errors go to a->scratch, and the corrections become theirs, so this
   must run before the encoding with feedback begins.
   Errors come from the records, decoded by a view whose rows are these: w' is then the value that a
   reader of the tensor sees. They get 12 bits, as factors of add_products. */
LLMQ__NOINLINE void llmq__ldlq_plain(llmq__ldlq *a)
{
    llmq_tensor t = *a->t;
    uint32_t r, s, n;
    LLMQ_MEMSET(a->plain, 0, a->rows * t.row_size);
    for (s = 0; s < t.cols; s += n) {
        n = llmq__ldlq_finish_group(a, s);
        llmq__ldlq_plain_group(a, s, n);
    }
    t.data = a->plain;
    t.rows = a->rows; /* whole tail-biting blocks, which decode without their neighbours */
    LLMQ_MEMSET(a->scratch, 0, (size_t)t.cols * a->capacity * sizeof(float)); /* lanes without a row, too */
    for (r = 0; r < a->rows; r++) {
        double down = llmq__power(-a->row[r].exponent); /* decoded rows are in the unit of W, residuals are not */
        /* as llmq_tensor_decode: vector kernels know the taps of built-in trellises alone */
        (t.cols < 128 ? llmq_kernels_at(0) : llmq__row_kernels(&t))->read_row(&t, r, a->e->row);
        for (s = 0; s < t.cols; s++) {
            const size_t i = (size_t)s * a->capacity + r;
            double stored = (double)a->e->row[a->f->column[s]] * down;
            a->scratch[i] = llmq__round12((float)((double)a->residual[i] - stored));
        }
    }
    llmq__ldlq_correct_all(a, a->scratch);
    for (r = 0; r < a->rows; r++) a->row[r].plain_error = llmq__ldlq_judge(a, a->scratch, r);
}

/* Keep the better records, of each row, or of each tail-biting block, whose rows share their
   states, and add up the result. Feedback may lose by 1/32 before it is dropped, because the judge
   has an error of its own. The comparison is
   with the magnitude of the plain error: J is no sum of squares if H is none, and errors may be
   negative. A row whose error overflowed with feedback is always dropped. */
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
        /* check: 0.03125 == 1/32 */
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

/* Encode a->rows rows of W, the first at w, into the records at a->out. Fails only if the transform
   does; the records are then zeroed. */
LLMQ__NOINLINE llmq_status llmq__ldlq_encode_rows(llmq__ldlq *a, const float *w, size_t stride)
{
    const size_t all = (size_t)a->t->cols * a->capacity;
    uint32_t r, s, n;
    llmq_status status;
    LLMQ_MEMSET(a->residual, 0, all * sizeof(float));
    LLMQ_MEMSET(a->out, 0, a->rows * a->t->row_size);
    for (r = 0; r < a->rows; r++, w += stride) {
        a->row[r].exponent = llmq__normalise(w, a->t->cols, a->e->row);
        /* the exponent grows if the transform moves powers of two out of the row */
        status = llmq__row_to_basis(a->t, a->e->row, &a->row[r].exponent, a->work, a->work_size);
        if (status != LLMQ_OK) return status;
        for (s = 0; s < a->t->cols; s++) a->residual[(size_t)s * a->capacity + r] = a->e->row[a->f->column[s]];
    }
    /* first without feedback: it needs w, which the encoding with feedback overwrites */
    llmq__ldlq_plain(a);
    LLMQ_MEMSET(a->correction, 0, all * sizeof(float));
    for (s = 0; s < a->t->cols; s += n) {
        n = llmq__ldlq_finish_group(a, s);
        llmq__ldlq_group(a, s, n);
        if (a->f->m && a->f->first_order > 0.0f && s + n < a->t->cols)
            llmq__ldlq_first_order(a, s + n);
    }
    /* For p = 1 the corrections are complete, since each column had the errors of all before it.
       Within a run of p they are not, and first order moves them. */
    if (a->e->format->p > 1 || a->f->first_order > 0.0f) llmq__ldlq_correct_all(a, a->residual);
    for (r = 0; r < a->rows; r++) a->row[r].error = llmq__ldlq_judge(a, a->residual, r);
    llmq__ldlq_choose(a);
    return LLMQ_OK;
}

#if LLMQ__ANY_TRELLIS
/* The members of a for a trellis. Up to LLMQ__LDLQ_BLOCKS blocks of LLMQ_TRELLIS_BLOCK rows are
   encoded together. The last block may have up to twice as many rows, less one, and is encoded
   alone. The capacity is enough for either.
   Two encoders of trellises: one of a group of columns of one block, for scales and for the records
   without feedback, and one of a single column of all blocks, whose "columns" are the blocks. */
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

/* Place the buffers of a in the arena, or count them if e is NULL. a->capacity is set.
   e: gets its row, points and codes, which llmq__encoder_new leaves out. The codes are a group of
   one row, or one run of all rows.
   llmq__table counts the points: 2^bits, and for a trellis the points of all its sets.
   For a grid this is 4 bytes a column for the row, and 3 buffers of 16 rows: the 196 cols of the
   declaration. check: 4 + 3 * 16 * 4 == 200 - 4 */
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
    a->correction = (float *)llmq__alloc(arena, t->cols, 2 * a->capacity * sizeof(float)); /* and scratch */
    a->x = (float *)llmq__alloc(arena, t->format.p, a->capacity * sizeof(float));
    a->row = (llmq__ldlq_row *)llmq__alloc(arena, a->capacity, sizeof(llmq__ldlq_row));
    a->plain = (uint8_t *)llmq__alloc(arena, a->capacity, t->row_size);
    if (!e) return;
    a->scratch = a->correction + (size_t)t->cols * a->capacity;
    e->row = row, e->points = points, e->code = code;
    for (i = 0; i < grid; i++) points[i] = (float)t->format.points[i];
}

/* An encoder of t's rows with feedback, in the arena; NULL if memory is only counted. f may then be
   NULL. This one function states the layout for the size query and for its use: to count, it fills
   a struct of its own, of which only the capacity matters. The caller sets out, work, work_size and
   result. */
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

/* The layout of llmq__ldlq_new, and the workspace of the transform after it. It is larger than the
   workspace of llmq_encode, since it has a row, points and codes as well. So it serves the formats
   with zero points and the trellises that are encoded without feedback. Raw formats need no more
   than llmq_encode. */
LLMQ_API size_t llmq_feedback_work_size(const llmq_tensor *t)
{
    llmq__arena arena = llmq__arena_of_lines(LLMQ__NULL);
    if (!t || t->cols == 0 || t->cols > LLMQ_MAX_COLS) return 0;
    if (!t->format.points) return llmq_encode_work_size(t);
    (void)llmq__ldlq_new(t, LLMQ__NULL, 0, &arena);
    return llmq__size_add(llmq__arena_size(&arena), llmq_transform_work_size(&t->transform, t->cols));
}

/* Returns how many rows are encoded together from r on, in [r, end). For a trellis r and end are
   where blocks
   start: blocks of one size, as many as there is capacity for, and the encoders are told this size.
   All blocks but the last have the same size, so the last one is alone if it is larger. */
static uint32_t llmq__ldlq_rows_at(llmq__ldlq *a, uint32_t r, uint32_t end)
{
#if LLMQ__ANY_TRELLIS
    if (a->t->format.taps[0]) {
        llmq__trellis_block block = llmq__trellis_block_of(a->t->rows, r);
        uint32_t rows = block.rows;
        while (rows + block.rows <= a->capacity && r + rows < end
               && llmq__trellis_block_of(a->t->rows, r + rows).rows == block.rows)
            rows += block.rows;
        a->group_trellis->block = a->column_trellis->block = block;
        return rows;
    }
#endif
    return llmq__min(a->capacity, end - r);
}

/* Encode rows [r0, r1) of W, the first at w, into the records from a->out on, and add them to
   *a->result. progress: NULL, or called after the rows that are encoded together. On an error, and
   after a stop, the rows before are encoded. */
LLMQ__NOINLINE llmq_status llmq__ldlq_encode(llmq__ldlq *a, uint32_t r0, uint32_t r1, const float *w, size_t stride,
                                             const llmq_encode_options *options)
{
    llmq_status status;
    uint32_t r;
    for (r = r0; r < r1; r += a->rows, a->out += a->rows * a->t->row_size) {
        a->rows = llmq__ldlq_rows_at(a, r, r1);
        if ((status = llmq__ldlq_encode_rows(a, w + (r - r0) * stride, stride)) != LLMQ_OK) return status;
        if (options && options->progress && options->progress(options->context, r + a->rows - r0, r1 - r0))
            return LLMQ_E_STOPPED;
    }
    return LLMQ_OK;
}

/* LLMQ_OK if the effort and the workspace are right for llmq_feedback_encode. t is not NULL. */
static llmq_status llmq__feedback_work_check(const llmq_tensor *t, int effort, const void *work, size_t work_size)
{
    size_t need = llmq_feedback_work_size(t);
    if (!work || need == 0 || llmq__misaligned(work)) return LLMQ_E_ARG;
    if (effort < LLMQ_EFFORT_DEFAULT || effort > LLMQ_EFFORT_BEST) return LLMQ_E_ARG;
    return work_size < need ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* 1 if f was made for tensors like t. Raw formats are encoded without it, so any f will do. */
static int llmq__feedback_fits(const llmq_feedback *f, const llmq_tensor *t)
{
    return !t->format.points || (f->cols == t->cols && f->group == t->format.group && f->p == t->format.p
                                 && llmq__transform_same(&f->transform, &t->transform));
}

/* LLMQ_OK if rows [r0, r1) of W, the first at w, are finite, and if for a trellis r0 and r1 are
   where blocks start. All rows are looked at before the first is encoded: with LLMQ_E_NOT_FINITE no
   row is written. */
static llmq_status llmq__feedback_rows_check(const llmq_tensor *t, uint32_t r0, uint32_t r1, const float *w,
                                             size_t stride, llmq_error *error)
{
    uint32_t r;
    for (r = r0; r < r1; r++)
        if (llmq__find_not_finite(w + (r - r0) * stride, r, t->cols, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
#if LLMQ__ANY_TRELLIS
    if (t->format.taps[0] && (!llmq__trellis_block_starts(t, r0) || !llmq__trellis_block_starts(t, r1)))
        return LLMQ_E_ARG;
#endif
    return LLMQ_OK;
}

/* Three ways:
     raw formats and formats with zero points: llmq_encode, and every row is plain;
     trellises with a diagonal, which has no corrections: the encoder of trellises, with D as
     weights;
     everything else: LDLQ.
   *result is written last, since it is only for calls that went well. */
LLMQ_API llmq_status llmq_feedback_encode(const llmq_tensor *t, void *data, uint32_t r0, uint32_t r1, const float *w,
                                          size_t stride, const llmq_feedback *f, const llmq_encode_options *options,
                                          void *work, size_t work_size, llmq_feedback_result *result, llmq_error *error)
{
    const int effort = options ? options->effort : LLMQ_EFFORT_DEFAULT;
    llmq_feedback_result all;
    llmq_status status;
    if (!t || !data || data != t->data || !w || !f || r0 > r1 || r1 > t->rows || stride < t->cols) return LLMQ_E_ARG;
    if ((status = llmq__feedback_work_check(t, effort, work, work_size)) != LLMQ_OK) return status;
    if (!llmq__feedback_fits(f, t)) return LLMQ_E_MISMATCH;
    if ((status = llmq__feedback_rows_check(t, r0, r1, w, stride, error)) != LLMQ_OK) return status;
    LLMQ_MEMSET(&all, 0, sizeof all);
    if (llmq__is_raw(&t->format) || llmq__has_zero_points(&t->format)) {
        all.rows = all.plain_rows = r1 - r0;
        status = llmq_encode(t, data, r0, r1, w, stride, options, work, work_size, error);
#if LLMQ__ANY_TRELLIS
    } else if (t->format.taps[0] && !f->m) {
        const llmq__encode_job job = { t, (uint8_t *)data, r0, r1, w, stride, f->d, options, work, work_size, error };
        all.rows = r1 - r0;
        status = llmq__trellis_encode_rows(&job);
#endif
    } else {
        llmq__arena arena = llmq__arena_of_lines(work);
        llmq__ldlq *a = llmq__ldlq_new(t, f, effort, &arena);
        a->out = (uint8_t *)data + r0 * t->row_size;
        a->work = (char *)work + arena.used;
        a->work_size = work_size - arena.used;
        a->result = &all;
        status = llmq__ldlq_encode(a, r0, r1, w, stride, options);
    }
    if (status == LLMQ_OK && result) *result = all;
    return status;
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- 17. Outliers ---------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

/* In this order: the sample; the data of each kind of step (smoothing, permutation, rotation); then
   llmq_transform_fit, which goes through the steps of a list in order:
     llmq__fit_step    makes the data of a step for the sample as it is
     llmq__fit_apply   applies the step to the sample, so that the next step sees its own inputs
   A rotation is a search for each of its matrices:
     llmq__fit_rotation    the loop, which keeps the best product
     llmq__greedy_step     the next product
     llmq__greedy_measure  its criterion, and the channel to spread next
   Folding, at the end, uses no sample. */

/* The layout of a sample's memory, which the size query counts and llmq_sample_init places. Only
   the three pointers are written. cols <= LLMQ_MAX_COLS, so a row of floats fits size_t wherever
   that has 32 bits; the product with capacity is checked by llmq__alloc. */
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
    /* with a capacity of 1 there would be no row for the heights */
    if (cols == 0 || cols > LLMQ_MAX_COLS || capacity < 2) return 0;
    llmq__sample_layout(&counted, cols, capacity, &arena);
    return llmq__arena_size(&arena);
}

/* The peaks start at 0; rows and heights are written before they are read, as top and drawn count
   them. */
LLMQ_API llmq_status llmq_sample_init(llmq_sample *s, uint32_t cols, uint32_t capacity, uint32_t seed, void *mem,
                                      size_t size)
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

/* peak[j] = max(peak[j], |x_j|) for j < n. x is finite. Returns the largest |x_j|. */
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

/* Row for an input whose largest magnitude is `height`: a free one, or the row of the lowest of the
   inputs that are kept for their height. `capacity` stands for none. Of equal inputs the first
   stays. The heights are in no order: a search through capacity / 2 of them is little beside the
   cols comparisons of llmq__raise_peaks, and a replaced row moves no other. */
static uint32_t llmq__top_slot(llmq_sample *s, float height)
{
    uint32_t i, lowest = 0;
    if (s->top < s->capacity / 2) return s->top++;
    for (i = 1; i < s->top; i++)
        if (s->height[i] < s->height[lowest]) lowest = i;
    return height > s->height[lowest] ? lowest : s->capacity;
}

/* Row for a drawn input, `capacity` for none. Reservoir sampling: with n rows, input number `seen`
   is kept with probability n / seen, in place of a random row; then every input so far has this
   probability. s->seen counts the input already, so it is at least 1. It stops at 2^32 - 1; all
   later inputs draw the same k. */
static uint32_t llmq__drawn_slot(llmq_sample *s)
{
    uint32_t places = s->capacity - s->capacity / 2, k;
    if (s->drawn < places) return s->capacity / 2 + s->drawn++;
    /* 32 random bits times seen, without the low 32: below seen, each value with the same chance to
       2^-32 * seen */
    k = (uint32_t)((uint64_t)llmq_random(s->seed, s->seen) * s->seen >> 32);
    return k < places ? s->capacity / 2 + k : s->capacity;
}

/* All inputs are checked before the first is added, so that an error leaves the sample as it was.
   An input may be kept twice, for its height and by chance: the two halves do not depend on each
   other. */
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
        if ((place = llmq__drawn_slot(s)) < s->capacity)
            LLMQ_MEMCPY(s->row + (size_t)place * s->cols, x, s->cols * sizeof *x);
    }
    return LLMQ_OK;
}

/* As in llmq_sample_add, values are checked before the first peak is raised. */
LLMQ_API llmq_status llmq_peaks(const float *rows, size_t stride, uint32_t count, uint32_t cols, float *peak,
                                llmq_error *error)
{
    uint32_t r;
    if (!rows || !peak || cols == 0) return LLMQ_E_ARG;
    if (llmq__inputs_check(rows, stride, cols, count, LLMQ__NULL, error) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
    for (r = 0; r < count; r++) llmq__raise_peaks(rows + r * stride, cols, peak);
    return LLMQ_OK;
}

/* Row i of the sample, i < top + drawn. The rows that are kept for their height come first; the
   search with the criterion PEAK is faster in this order. */
static float *llmq__sample_row(const llmq_sample *s, uint32_t i)
{
    return s->row + (size_t)(i < s->top ? i : s->capacity / 2 + (i - s->top)) * s->cols;
}

/* alpha and steps are as in the paper [R13]. The bounds of d serve channels without inputs, whose d
   would be about 2^-60, and channels without weights, with about 2^40: powers alpha = 0.6 and 0.4
   of the 2^-100 in llmq__fit_smooth. */
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

/* Writes d = peak^alpha / weight^(1 - alpha), within its bounds, to data[4 cols]; weight NULL
   stands for ones. Sample and weight are only read. A channel without inputs or without weights has
   no ratio: its peak counts as about 2^-100, far below a real one and normal, as llmq__ln
   requires. */
LLMQ__NOINLINE void llmq__fit_smooth(const llmq_sample *s, const float *weight, const llmq_fit_options *o,
                                     uint8_t *data)
{
    LLMQ__NO_CONTRACT
    uint32_t j;
    for (j = 0; j < s->cols; j++, data += 4) {
        /* check: abs(7.9e-31 - 2**-100) < 0.002 * 2**-100 */
        double p = (double)llmq__ln(s->peak[j] > 7.9e-31f ? s->peak[j] : 7.9e-31f);
        double w = weight ? (double)llmq__ln(weight[j] > 7.9e-31f ? weight[j] : 7.9e-31f) : 0.0;
        /* e is between -alpha * 69.4 - (1 - alpha) * 88.8 and alpha * 88.8 + (1 - alpha) * 69.4, so
           e^e and its inverse are normal doubles. llmq__exp64 takes only e <= 0.
           check: -log(7.9e-31) < 69.4
           check: log(f32(3.4028234663852886e38)) < 88.8 */
        double e = (double)o->alpha * p - (1.0 - (double)o->alpha) * w;
        double d = e > 0.0 ? 1.0 / llmq__exp64(-e) : llmq__exp64(e);
        /* the bounds are compared in double: d itself may be above the largest float */
        llmq__store32(data, llmq__float_bits(d < (double)o->d_min ? o->d_min
                                                                  : d > (double)o->d_max ? o->d_max : (float)d));
    }
}

/* order[0, n) = 0 ... n - 1 by decreasing key; equal keys stay in their order, so that there is one
   result only. Shell's sort: it needs neither recursion nor memory, and n is at most 65,536. Keys
   are not NaN. */
static void llmq__sort_down(const float *key, uint32_t n, uint32_t *order)
{
    uint32_t gap, i, j, c;
    for (i = 0; i < n; i++) order[i] = i;
    for (gap = n / 2; gap; gap /= 2)
        for (i = gap; i < n; i++) {
            for (c = order[i], j = i; j >= gap; j -= gap) {
                uint32_t b = order[j - gap];
                /* >= and not ==, which compilers warn of between floats: here > was false */
                if (key[b] > key[c] || (key[b] >= key[c] && b < c)) break;
                order[j] = b;
            }
            order[j] = c;
        }
}

/* Columns in the block that begins at column j < cols of a step that mixes; 0 in the columns that a
   rotation leaves out, because they do not fill a block. The blocks must be the same as in the step
   itself (llmq_hadamard, llmq__rotate_runs); j runs from block to block. */
static uint32_t llmq__step_block(const llmq_step *step, uint32_t cols, uint32_t j)
{
    if (step->kind == LLMQ_STEP_HADAMARD) return llmq__block(cols - j, step->block);
    return cols - j < step->block ? 0 : step->block;
}

/* Writes a permutation to data[2 cols]: zigzag into the blocks of `next`, the step that mixes next,
   or sorted by peak if that is NULL. work: 12 cols bytes, aligned for uint32_t. cols <= 65536 was
   checked, so that columns fit 16 bits. */
LLMQ__NOINLINE void llmq__fit_permute(const llmq_sample *s, const llmq_step *next, uint8_t *data, uint32_t *work)
{
    /* at[k], end[k]: the columns of block k that are free. There are at most cols blocks, of a
       column each. */
    uint32_t *order = work, *at = order + s->cols, *end = at + s->cols, blocks = 0, j, n, k = 0, i;
    int down = 0; /* the direction: from the last block to the first */
    llmq__sort_down(s->peak, s->cols, order);
    for (j = 0; next && j < s->cols && (n = llmq__step_block(next, s->cols, j)) != 0; j += n, blocks++)
        at[blocks] = j, end[blocks] = j + n;
    if (!next) j = 0;
    /* Zigzag. Every block has its own capacity, for Hadamard blocks of a step may differ in size. A
       full one is skipped as if a channel had been dealt to it.
       Blocks hold the columns [0, j), so while i < j one of them is not full and the inner loop
       ends. The direction changes at either end without a step: that block gets two channels in
       sequence. */
    for (i = 0; i < j; i++) {
        while (at[k] == end[k]) {
            if (down ? k == 0 : k == blocks - 1) down = !down;
            else k = down ? k - 1 : k + 1;
        }
        llmq__store16(data + 2 * (size_t)at[k]++, order[i]);
        if (down ? k == 0 : k == blocks - 1) down = !down;
        else k = down ? k - 1 : k + 1;
    }
    /* columns without a block: the remainder of a rotation, or all columns if nothing mixes */
    for (; i < s->cols; i++) llmq__store16(data + 2 * (size_t)i, order[i]);
}

/* The search for one matrix of a rotation, for the blocks [first, last) of n columns each. The
   product R_1 ... R_k stays in double, so that its rounding does not grow with k; it is measured,
   applied and stored as floats. All arrays lie in the workspace. A step multiplies each row of r
   from the right, for activations are row vectors here: x' = x r. So row k of r is the image of
   channel k, and a block is rotated by adding v_k times row k. That is also the layout of
   LLMQ_STEP_ROTATE: r_ki is at k n + i. */
typedef struct llmq__greedy {
    const llmq_kernels *kernels;
    const llmq_sample *sample;
    uint32_t n, first, last;
    int criterion;
    uint32_t seed, counter;  /* of the normal values; the counter runs on through all matrices of the step */
    double *r;        /* [n][n]: R_1 ... R_k */
    double *mirror;   /* Q' of a step: the v of its reflections I - v v^T, of n - 1, n - 2 ... 1 elements */
    double *sign;     /* [n]: signs of the columns of Q; element 0 is not used */
    double *uniform;  /* [n]: v of Z */
    float *now;       /* [n][n]: r, rounded to float */
    float *out;       /* [n]: a block of an input times now */
} llmq__greedy;

/* Doubles before floats: all of them are then aligned if the workspace is aligned for double. */
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

/* Bytes of workspace of a search with blocks of n columns, about 16 n^2: 8 for r, 4 for the
   reflections, which are a triangle of doubles, and 4 for r as floats. Valid steps have n <= 256,
   so about 1 MB. */
static size_t llmq__greedy_size(uint32_t n)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(double));
    llmq__greedy counted;
    counted.n = n;
    llmq__greedy_layout(&counted, &arena);
    return llmq__arena_size(&arena);
}

/* Replaces x[n], n >= 2 and |x| > 0, by the v of the reflection I - v v^T that maps x to (+-|x|, 0,
   0 ...). |v|^2 = 2. Returns the sign s for which s * (first element of the image) is positive. */
static double llmq__householder(double *x, uint32_t n)
{
    LLMQ__NO_CONTRACT
    double length = llmq__sqrt64(llmq__dot_double(x, x, n)), down, sign = x[0] < 0.0 ? 1.0 : -1.0;
    uint32_t i;
    /* The image is (sign * length, 0 ...), and v is along x minus the image. x[0] and -sign *
       length have the same sign, so nothing cancels. |v|^2 = 2 makes I - v v^T a reflection without
       a division. */
    x[0] -= sign * length;
    down = llmq__sqrt64(2.0 / llmq__dot_double(x, x, n));
    for (i = 0; i < n; i++) x[i] *= down;
    return sign;
}

/* row <- row (I - v v^T), n elements */
static void llmq__reflect(double *row, const double *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    double dot = llmq__dot_double(row, v, n);
    uint32_t i;
    for (i = 0; i < n; i++) row[i] -= dot * v[i];
}

/* E, for the two elements of a row that it exchanges */
static void llmq__swap(double *a, double *b) { double t = *a; *a = *b; *b = t; }

/* Places the arrays in `work` (llmq__greedy_size bytes, aligned for double; g->n is set), and sets
   r = I and the v of Z. Z maps (1, 1 ... 1) / sqrt(n) to (-1, 0 ... 0) and, as a reflection, is its
   own inverse. */
LLMQ__NOINLINE void llmq__greedy_init(llmq__greedy *g, void *work)
{
    llmq__arena arena = llmq__arena_of(work, sizeof(double));
    size_t n = g->n, i;
    llmq__greedy_layout(g, &arena);
    for (i = 0; i < n * n; i++) g->r[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
    for (i = 0; i < n; i++) g->uniform[i] = 1.0 / llmq__sqrt64((double)n);
    (void)llmq__householder(g->uniform, g->n);
}

/* r <- r E Z Q E: one step, which spreads channel c < n over the block. The factors are applied to
   each row of r as reflections, which takes n^3 multiply-adds in all and keeps r orthogonal to
   rounding. */
LLMQ__NOINLINE void llmq__greedy_step(llmq__greedy *g, uint32_t c)
{
    LLMQ__NO_CONTRACT
    uint32_t n = g->n, i, k;
    float pair[2];
    double *v = g->mirror, *row = g->r;
    /* All reflections are made first, for every row of r takes the same ones. Q': a normal vector
       of n - k elements for each k, the first row and column of Q that its reflection touches. The
       signs make the diagonal of the triangular factor positive: only with them Q' is uniform on
       the orthogonal matrices [R14]. A single element has no reflection, only a sign. */
    for (k = 1; k < n; v += n - k, k++) {
        for (i = 0; i < n - k; i++) {
            if (i % 2 == 0) llmq__normal_pair(g->seed, &g->counter, pair);
            v[i] = (double)pair[i % 2];
        }
        g->sign[k] = k + 1 < n ? llmq__householder(v, n - k) : v[0] < 0.0 ? -1.0 : 1.0;
    }
    /* E Z moves channel c to position 0 and spreads it evenly: 1/sqrt(n) in each column, which is
       the smallest peak that a unit vector can have. Q leaves column 0 and rotates the others at
       random, so that no two steps are the same matrix. E moves column 0 back to c. */
    for (i = 0; i < n; i++, row += n) {
        llmq__swap(&row[0], &row[c]);
        llmq__reflect(row, g->uniform, n);
        for (v = g->mirror, k = 1; k + 1 < n; v += n - k, k++) llmq__reflect(row + k, v, n - k);
        for (k = 1; k < n; k++) row[k] *= g->sign[k];
        llmq__swap(&row[0], &row[c]);
    }
}

/* Extent of the rotated values of one input. */
typedef struct llmq__extent {
    float low, high, peak;  /* minimum and maximum, both with 0 included; largest magnitude */
    uint32_t channel;       /* of the peak, within its block */
    double power;           /* |x|^2 in the blocks of the search, before the rotation, which keeps it */
} llmq__extent;

/* Rotates the input v[cols] by `now`, block by block, and measures the result. Blocks that cannot
   hold a magnitude over `bar` are not rotated; bar 0: all blocks are.
   A rotation keeps |v|, so no value of a block is over |v|. Computed values may be: the terms of a
   value have magnitudes that add to |v| at most, and a block of 256 rounds each of them up to 257
   times, by 2^-24. The factor 0.999 on |v|^2 leaves far more than that.
   check: 0.999 * (1 + 2**-24)**(2 * 257) < 1 */
LLMQ__NOINLINE llmq__extent llmq__greedy_extent(const llmq__greedy *g, const float *v, float bar)
{
    llmq__extent e;
    uint32_t b, k;
    LLMQ_MEMSET(&e, 0, sizeof e);
    for (b = g->first, v += (size_t)b * g->n; b < g->last; b++, v += g->n) {
        double power = llmq__dot(v, v, g->n);
        e.power += power;
        if (power < 0.999 * (double)bar * (double)bar) continue;
        /* rows of `now` are added in order, by the same kernel as in llmq__rotate: the values
           measured here are bit for bit the values that the finished step will give */
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

/* Rounds r to `now` and returns the criterion for it. *channel: the channel to spread next, which
   has the peak of the worst input; it stays as it is if all inputs are 0.
   With the criterion PEAK the largest magnitude so far is the bar: a block that cannot be over it
   changes neither the result nor the channel. RANGE and ERROR need every block. */
LLMQ__NOINLINE double llmq__greedy_measure(const llmq__greedy *g, uint32_t *channel)
{
    uint32_t rows = g->sample->top + g->sample->drawn, i;
    double low = 0.0, high = 0.0, sum = 0.0, worst = 0.0; /* low and high: the range includes 0 */
    for (i = 0; i < g->n * g->n; i++) g->now[i] = (float)g->r[i];
    for (i = 0; i < rows; i++) {
        llmq__extent e = llmq__greedy_extent(g, llmq__sample_row(g->sample, i),
                                             g->criterion == LLMQ_CRITERION_PEAK ? (float)worst : 0.0f);
        /* of this input: its peak, or its error, in which the length of the input cancels */
        double bad = (double)e.peak;
        if (g->criterion == LLMQ_CRITERION_ERROR) bad = e.power > 0.0 ? bad * bad / e.power : 0.0;
        if (bad > worst) worst = bad, *channel = e.channel;
        if ((double)e.low < low) low = (double)e.low;
        if ((double)e.high > high) high = (double)e.high;
        sum += bad;
    }
    /* the sum orders matrices as the mean over inputs does */
    return g->criterion == LLMQ_CRITERION_ERROR ? sum : g->criterion == LLMQ_CRITERION_RANGE ? high - low : worst;
}

/* x[n] to b[4 n], little-endian as all data of steps */
static void llmq__store_floats(const float *x, size_t n, uint8_t *b)
{
    size_t i;
    for (i = 0; i < n; i++) llmq__store32(b + 4 * i, llmq__float_bits(x[i]));
}

/* Writes the best product of 0 ... steps rotations to data[4 n^2]. Returns LLMQ_OK or
   LLMQ_E_STOPPED. A step goes on from the last product, even where that is worse than the best: the
   paper keeps the best prefix of one sequence [R13]. The identity is stored first, so that data
   holds a matrix even if no step is better.
   Without inputs, or with inputs of 0, the criterion is 0 and no step is taken. */
LLMQ__NOINLINE llmq_status llmq__fit_rotation(llmq__greedy *g, const llmq_fit_options *o, uint8_t *data, void *work)
{
    uint32_t step, channel = 0;
    double best, now;
    llmq__greedy_init(g, work);
    /* the identity, which is the best until a product is better */
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

/* Writes the step->arg matrices of a rotation, which is step `number` of its list, to data. arg is
   1, for all blocks, or the count of blocks. The counter of the normal values runs on from matrix
   to matrix, so that each gets its own. */
LLMQ__NOINLINE llmq_status llmq__fit_rotations(const llmq_step *step, uint32_t number, const llmq_sample *s,
                                               const llmq_fit_options *o, uint8_t *data, void *work,
                                               const llmq_kernels *kernels)
{
    llmq__greedy g;
    uint32_t i, runs = s->cols / step->block;
    llmq_status status = LLMQ_OK;
    g.kernels = kernels;
    g.sample = s;
    g.n = step->block;
    g.criterion = o->criterion;
    /* a seed for each step: two rotations of a list, as DuQuant has, do not use the same
       matrices */
    g.seed = llmq_random(o->seed, number);
    g.counter = 0;
    for (i = 0; i < step->arg && status == LLMQ_OK; i++, data += 4 * (size_t)g.n * g.n) {
        g.first = step->arg == 1 ? 0 : i;
        g.last = step->arg == 1 ? runs : i + 1;
        status = llmq__fit_rotation(&g, o, data, work);
    }
    return status;
}

/* The maximum over the memory that the steps use one after the other: 12 cols for a permutation
   (and for any list, so that 0 means an error), the workspace of llmq_transform_apply, and the
   search of each rotation. Steps need not be valid here: a block that is out of range only makes a
   size, and llmq__fit_check refuses it. */
LLMQ_API size_t llmq_fit_work_size(const llmq_transform *t, uint32_t cols)
{
    size_t need = llmq__size_mul(cols, 12), one;
    uint32_t i;
    if (!t || t->count > LLMQ_MAX_STEPS || cols == 0 || cols > LLMQ_MAX_COLS) return 0;
    if ((one = llmq_transform_work_size(t, cols)) > need) need = one;
    for (i = 0; i < t->count; i++)
        if (t->step[i].kind == LLMQ_STEP_ROTATE && (one = llmq__greedy_size(t->step[i].block)) > need) need = one;
    return need;
}

/* True for steps that combine channels: peaks before them do not determine peaks after them. */
static int llmq__mixes(const llmq_step *step)
{
    return step->kind == LLMQ_STEP_HADAMARD || step->kind == LLMQ_STEP_ROTATE;
}

/* Applies step i to the rows of the sample, its peaks and the weight peaks (NULL: none), so that
   the next step is fitted to its own inputs. Smoothing and permutations map peaks exactly: |x_j| /
   d_j, and |w_j| d_j for weights. After a step that mixes, peaks are taken over the rows that were
   kept, and weight peaks are unknown: 1 stands for them. */
LLMQ__NOINLINE llmq_status llmq__fit_apply(const llmq_transform *t, uint32_t i, llmq_sample *s, float *weight,
                                           void *work, size_t work_size, const llmq_kernels *k)
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
    /* the peaks go through the step like an input, for max and the step commute */
    status = llmq__step_apply(t, i, LLMQ_TO_ACTIVATION, s->peak, s->cols, work, work_size, k);
    if (weight && status == LLMQ_OK)
        status = llmq__step_apply(t, i, LLMQ_TO_WEIGHT, weight, s->cols, work, work_size, k);
    return status;
}

/* All errors of llmq_transform_fit but LLMQ_E_STOPPED are found here, before anything is written.
   t->data is already the new data: a list whose steps have data is LLMQ_E_ARG without it. `size`
   bytes are there. d_min >= 2^-126 keeps d a normal float, which bundles require; d_max is finite.
   The comparisons are written so that NaN fails. */
static llmq_status llmq__fit_check(const llmq_transform *t, const llmq_sample *s, const llmq_fit_options *o,
                                   size_t size, const void *work, size_t work_size)
{
    llmq_status status;
    uint32_t i;
    if (!t || !s || !work || (uintptr_t)work % sizeof(double) != 0) return LLMQ_E_ARG;
    if ((status = llmq__transform_check(t, s->cols)) != LLMQ_OK) return status;
    if (!(o->alpha >= 0.0f && o->alpha <= 1.0f) || o->criterion < LLMQ_CRITERION_PEAK
        || o->criterion > LLMQ_CRITERION_ERROR)
        return LLMQ_E_ARG;
    /* check: f32(1.17549435e-38) == f32(2^-126)
       check: f32(3.4e38) < f32(3.4028234663852886e38) */
    if (!(o->d_min >= 1.17549435e-38f && o->d_min <= o->d_max && o->d_max <= 3.4e38f)) return LLMQ_E_ARG;
    /* Step by step: the sum of the steps' data need not fit a size_t of 32 bits. */
    for (i = 0; i < t->count; size -= llmq_step_data_size(&t->step[i++]))
        if (llmq_step_data_size(&t->step[i]) > size) return LLMQ_E_WORKSPACE;
    return work_size < llmq_fit_work_size(t, s->cols) ? LLMQ_E_WORKSPACE : LLMQ_OK;
}

/* Computes the data of step i (at `data`, which is its place in t->data) and applies the step to
   the sample and the weight peaks. A Hadamard step has no data and is only applied. Everything was
   checked by llmq__fit_check. A permutation is made for `next`, the step that will mix its blocks;
   smoothing and other permutations between the two do not mix. */
LLMQ__NOINLINE llmq_status llmq__fit_step(const llmq_transform *t, uint32_t i, llmq_sample *s, float *weight,
                                          const llmq_fit_options *o, uint8_t *data, void *work, size_t work_size)
{
    const llmq_kernels *k = LLMQ_KERNELS;
    const llmq_step *step = &t->step[i], *next = LLMQ__NULL;
    llmq_status status = LLMQ_OK;
    uint32_t n;
    for (n = i + 1; n < t->count && !next; n++)
        if (llmq__mixes(&t->step[n])) next = &t->step[n];
    if (step->kind == LLMQ_STEP_SMOOTH) llmq__fit_smooth(s, weight, o, data);
    if (step->kind == LLMQ_STEP_PERMUTE) llmq__fit_permute(s, next, data, (uint32_t *)work);
    if (step->kind == LLMQ_STEP_ROTATE)
        status = llmq__fit_rotations(step, i, s, o, data, work, llmq__kernels(k));
    /* the sample goes through the step as a product would: by the data just written, with its
       rounding */
    return status != LLMQ_OK ? status : llmq__fit_apply(t, i, s, weight, work, work_size, llmq__kernels(k));
}

/* Steps are fitted from the first to the last: each takes the inputs as the steps before it leave
   them. t->data is set first, for the steps are applied through *t as soon as they have their data.
   A search that stops leaves rows of different bases, so the sample is emptied. */
LLMQ_API llmq_status llmq_transform_fit(llmq_transform *t, llmq_sample *s, float *weight,
                                        const llmq_fit_options *options, void *data, size_t size, void *work,
                                        size_t work_size)
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

/* True for a step that may be folded: `kinds` is a set of LLMQ_FOLD_... */
static int llmq__folds(const llmq_step *step, int kinds)
{
    return (step->kind == LLMQ_STEP_SMOOTH && (kinds & LLMQ_FOLD_SMOOTH))
           || (step->kind == LLMQ_STEP_PERMUTE && (kinds & LLMQ_FOLD_PERMUTE));
}

/* Only leading steps: a step after one that stays online works in another basis than the layer
   before. */
LLMQ_API uint32_t llmq_transform_foldable(const llmq_transform *t, int kinds)
{
    uint32_t i = 0;
    while (t && i < t->count && i < LLMQ_MAX_STEPS && llmq__folds(&t->step[i], kinds)) i++;
    return i;
}

/* Both parts are complete before the first is written, because either may be *t. */
LLMQ_API llmq_status llmq_transform_split(const llmq_transform *t, uint32_t n, llmq_transform *first,
                                          llmq_transform *rest)
{
    llmq_transform head, tail;
    uint32_t i;
    if (!t || !first || !rest || t->count > LLMQ_MAX_STEPS || n > t->count) return LLMQ_E_ARG;
    head = *t;
    LLMQ_MEMSET(&tail, 0, sizeof tail);
    for (i = n; i < t->count; i++) tail.step[tail.count++] = t->step[i];
    /* data stands in the order of the steps, so each part has one run of bytes */
    if (t->data && tail.count) tail.data = t->data + llmq__transform_data(t, n);
    /* the steps after the first n stay in the array of head, where nothing reads them */
    head.count = n;
    *first = head;
    *rest = tail;
    return LLMQ_OK;
}

/* Scales and permutes the weights that compute x, as T would x.
   A column of the rows is a vector like x, so T is applied to each. The first pass only looks for
   values that are not finite, so that an error leaves the rows as they were; the second pass
   computes again and writes. SMOOTH and PERMUTE use no kernel, so the scalar table serves. work: a
   column and room to permute it. The result of llmq__step_apply can be ignored: steps, columns and
   workspace were checked. */
LLMQ_API llmq_status llmq_transform_fold(const llmq_transform *t, uint32_t cols, int kinds, float *rows, size_t stride,
                                         uint32_t n, void *work, size_t work_size)
{
    llmq_status status;
    float *v = (float *)work;
    uint32_t i, j, k, write;
    if (!t || !rows || !work || llmq__misaligned(work) || cols == 0 || cols > LLMQ_MAX_COLS) return LLMQ_E_ARG;
    if ((status = llmq__transform_check(t, cols)) != LLMQ_OK) return status;
    if (llmq_transform_foldable(t, LLMQ_FOLD_SMOOTH | LLMQ_FOLD_PERMUTE) < t->count) return LLMQ_E_ARG;
    if (work_size / sizeof(float) / 2 < cols) return LLMQ_E_WORKSPACE; /* 8 cols, without an overflow */
    for (write = 0; write < 2; write++)
        for (k = 0; k < n; k++) {
            for (j = 0; j < cols; j++) v[j] = rows[j * stride + k];
            for (i = 0; i < t->count; i++) {
                if (!llmq__folds(&t->step[i], kinds)) continue;
                (void)llmq__step_apply(t, i, LLMQ_TO_ACTIVATION, v, cols, v + cols, cols * sizeof(float),
                                       llmq_kernels_at(0));
            }
            if (!write && llmq__find_not_finite(v, k, cols, LLMQ__NULL) != LLMQ_OK) return LLMQ_E_NOT_FINITE;
            for (j = 0; j < cols && write; j++) rows[j * stride + k] = v[j];
        }
    return LLMQ_OK;
}

/* Steps that are impossible cost nothing: the transform need not have been checked. A Hadamard
   block of n = m 2^k takes k butterflies per element, and m terms of the Paley matrix unless m is
   1. */
LLMQ_API uint64_t llmq_transform_cost(const llmq_transform *t, uint32_t cols)
{
    uint64_t sum = 0;
    uint32_t i, j, n, m;
    for (i = 0; t && i < t->count && i < LLMQ_MAX_STEPS; i++) {
        const llmq_step *step = &t->step[i];
        if (step->kind == LLMQ_STEP_SMOOTH) sum += cols;
        if (step->kind == LLMQ_STEP_ROTATE && step->block)
            sum += (uint64_t)(cols / step->block) * step->block * step->block;
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

/* ---- 18. Allocation -------------------------------------------------------------------------- */
#if !LLMQ_NO_CALIBRATION

/* The values that llmq_perturb makes of w[0, n); written if `write` is 1, else only checked. Both
   passes draw the same normal values, for a seed has one stream. Returns 0 at the first value that
   is not finite. */
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

/* w is checked before it is written: all of it by the sum of squares, which is finite for finite
   floats, and its results by a pass that writes nothing, but only where they may overflow. */
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
    /* t times the root mean square of w, which is below the largest float but for rounding.
       check: f32(3.4028234663852886e38) == (2 - 2^-23) * 2^127 */
    scale = t * llmq__sqrt64(square / (double)n);
    if (scale > 3.4028234663852886e38) scale = 3.4028234663852886e38;
    /* A normal value here is u sqrt(-2 ln s / s) with |u| <= sqrt(s) and s >= 1e-30, so it is below
       12, and a result is below max_abs + 12 scale. 3.4e38 leaves room for the rounding of both.
       check: sqrt(-2 * log(1e-30)) < 12
       check: 3.4e38 * (1 + 2**-22) < 3.4028234663852886e38 */
    if ((double)max_abs + 12.0 * scale > 3.4e38 && !llmq__perturb(w, n, (float)scale, seed, 0))
        return LLMQ_E_NOT_FINITE;
    (void)llmq__perturb(w, n, (float)scale, seed, 1);
    return LLMQ_OK;
}

/* Squares of residuals are summed in a second pass: sum y^2 - a sum x y would cancel for points
   close to a line. One finite check of each result serves for the inputs, too: NaN and infinity
   reach one of them. */
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

/* The search. Layers that are tied together form a class, each other layer is a class of its own; a
   class has items, which are the sums of its layers' options. In order:
     llmq__knapsack_classes  items from options
     llmq__knapsack_price    lambda, and the base: the item of each class that is minimal at it
     llmq__knapsack_solve    the rest:
       llmq__knapsack_residues   r of all items
       llmq__knapsack_fill       a first solution
       llmq__knapsack_order      classes with the smallest r first
       llmq__knapsack_try        extends the list by the items of one class
   Sums of losses are rounded. llmq__knapsack_gap allows for that, so that rounding makes the search
   longer and never drops a solution that is better by more than rounding. */

/* Sums in a list, if the caller does not say. */
#define LLMQ__STATES 65536
/* Nodes for each sum of a list. A node is made for each sum with a new item, in every class.
   Measured: 2.3 nodes or fewer for each sum of the longest list in 112 of the 114 larger instances
   of tests/test_allocate.c, 5.0 and 8.7 in the other two. If they run out, the search stops with
   the bound that is proven by then. */
#define LLMQ__STATE_NODES 12
/* The largest capacity of a list: indices of nodes, and counts of sums, must be below LLMQ__NONE.
   check: 12 * 0x08000000 < 0xffffffff */
#define LLMQ__MAX_STATES 0x08000000u
#define LLMQ__NONE 0xffffffffu

/* An option of a class. Sums over tied layers: cost <= 2^62 + 2^53, |loss| <= 2^24 * 1e240 or
   infinite. r >= 0: its residue, loss + lambda cost minus the minimum of its class. */
typedef struct llmq__item {
    uint64_t cost;
    double loss, r;
} llmq__item;

/* A state: cost, loss and r of all classes together. Classes that were tried have the item chosen
   for this state, all others have their base. The choice is a chain of nodes: `node` for the
   classes before the last one, `option` for the last one; LLMQ__NONE stands for the base. */
typedef struct llmq__sum {
    uint64_t cost;
    double loss, r;
    uint32_t node, option;
} llmq__sum;

/* Class `number` takes item `option`; parent: the node of the choice before, LLMQ__NONE if there is
   none. */
typedef struct llmq__node { uint32_t parent, number, option; } llmq__node;

typedef struct llmq__knapsack {
    uint32_t classes, capacity;  /* capacity: sums of a list, and 12 times as many nodes */
    uint32_t nodes, best_node;   /* nodes in use; the node of the best solution, LLMQ__NONE: `best` as filled */
    uint64_t budget, slack;      /* slack: budget minus the cost of the base */
    double lambda;               /* price of a unit of cost, in units of loss */
    double base_loss, bound;     /* loss of the base; lower bound of every choice */
    double best_loss;            /* of the best solution so far */
    double cut;                  /* sums of this r and more were dropped because a list was full; 1e308: none */
    llmq__item *item;
    llmq__sum *list[3];  /* [capacity]: the list; the next one so far; the one that a merge writes */
    uint32_t length[2];  /* of lists 0 and 1 */
    double *key;         /* [classes]: the smallest r of an item other than the base */
    llmq__node *node;    /* [12 capacity] */
    uint32_t *class_of;  /* [layers] */
    uint32_t *first;     /* [classes + 1]: the items of class c are first[c] ... first[c + 1] - 1 */
    uint32_t *base;      /* [classes]: the item that is minimal at lambda */
    uint32_t *best;      /* [classes]: the item of the best solution */
    uint32_t *order;     /* [classes]: classes by increasing key; before that, the first layer of each class */
} llmq__knapsack;

/* The layout of the workspace, which the size query counts and llmq__knapsack_place places.
   k->capacity is set. Sizes of a sum and of 12 nodes are multiples of the arena's unit, 8 bytes, so
   each state more takes the same count of bytes: 240.
   check: 3 * 32 + 12 * 12 == 8 * 30 */
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

/* Bytes of workspace for lists of `states`; 0 if they do not fit size_t. *k is only a place to
   count with: a caller that has one already needs no second one on the stack. */
LLMQ__NOINLINE size_t llmq__knapsack_size(llmq__knapsack *k, uint32_t layers, uint32_t options, uint32_t states)
{
    llmq__arena arena = llmq__arena_of(LLMQ__NULL, sizeof(double));
    k->capacity = states;
    llmq__knapsack_layout(k, layers, options, &arena);
    return llmq__arena_size(&arena);
}

LLMQ_API size_t llmq_allocate_work_size(uint32_t layers, uint32_t options, uint32_t states)
{
    llmq__knapsack counted;
    return llmq__knapsack_size(&counted, layers, options, states ? states : LLMQ__STATES);
}

/* Sets k->capacity to the states that the workspace holds, and places the arrays. work_size is at
   least the size for one state, so the capacity is 1 or more. */
LLMQ__NOINLINE void llmq__knapsack_place(llmq__knapsack *k, uint32_t layers, uint32_t options, void *work,
                                         size_t work_size)
{
    size_t one = llmq__knapsack_size(k, layers, options, 1),
           more = (work_size - one) / (llmq__knapsack_size(k, layers, options, 2) - one);
    llmq__arena arena = llmq__arena_of(work, sizeof(double));
    k->capacity = more < LLMQ__MAX_STATES ? (uint32_t)more + 1 : LLMQ__MAX_STATES;
    llmq__knapsack_layout(k, layers, options, &arena);
}

/* Names the option of an error; error may be NULL. Returns status. */
static llmq_status llmq__option_fail(llmq_error *error, llmq_status status, uint32_t layer, uint32_t option)
{
    if (error) error->status = status, error->row = layer, error->col = option;
    return status;
}

/* Checks costs and losses, before anything is written. The limits keep the arithmetic of the search
   safe:
     cost <= 2^53    is exact as a double
     sum of the largest costs <= 2^62: with one more cost, twice the sum still fits 64 bits
     |loss| <= 1e240    a price of 2^900 on one unit of cost outweighs the losses of 2^24 layers,
                        and a price of 2^900 on the largest cost of a class is finite
   check: 2 * (2**62 + 2**53) < 2**64
   check: 2**900 > 2 * 2**24 * 1e240
   check: 2.0**900 * (2**62 + 2**53) < 1e308 */
LLMQ__NOINLINE llmq_status llmq__options_check(const llmq_option *options, const uint32_t *first, uint32_t layers,
                                               llmq_error *error)
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
            if (!llmq__finite(loss) && !(loss > 0.0))
                return llmq__option_fail(error, LLMQ_E_NOT_FINITE, l, i - first[l]);
            if (llmq__finite(loss) && (loss > 1e240 || loss < -1e240))
                return llmq__option_fail(error, LLMQ_E_LIMIT, l, i - first[l]);
        }
    }
    return LLMQ_OK;
}

/* Makes classes of tied layers, and their items: sums of the options of the same position. tie
   NULL: a class for each layer. LLMQ_E_ARG if tied layers have different counts of options. Until
   the classes are ordered, k->order[c] is the first layer of class c, which the search for a tie
   compares with; it takes time in proportion to layers times classes. */
LLMQ__NOINLINE llmq_status llmq__knapsack_classes(llmq__knapsack *k, const llmq_option *options, const uint32_t *first,
                                                  uint32_t layers, const uint32_t *tie)
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

/* Sets base[c] to the item of class c with the minimal loss + price cost, and returns the sum of
   their costs. Of equal items the cheaper is taken, then the one with the lower loss, then the
   first: so the sum of costs falls as the price rises. Items of infinite loss are never taken. A
   class that has no others makes the sum 2^64 - 1, which no budget allows; bases of later classes
   are then not set. */
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
            if (b == LLMQ__NONE || v < min_value
                || (v <= min_value
                    && (x->cost < k->item[b].cost || (x->cost == k->item[b].cost && x->loss < k->item[b].loss))))
                min_value = v, b = i;
        }
        k->base[c] = b;
        if (b == LLMQ__NONE) return ~(uint64_t)0;
        sum += k->item[b].cost;
    }
    return sum;
}

/* Sets lambda, the lowest price at which the bases fit in the budget, to a bit or two; the bases;
   and their sums. LLMQ_E_LIMIT if no choice fits.
   The prices 0, 2^-960, 2^-900 ... 2^900 are tried in order, then the interval in which the bases
   begin to fit is halved: its exponents while its ends differ by more than a factor of 4, then its
   values. That takes 5 and about 54 passes, for the last interval has up to 2^54 doubles. 2^900
   outweighs every loss (llmq__options_check), so there the bases are the cheapest items. A lambda
   of 2^-960 is not refined.
   check: (900 + 960) % 60 < 1
   check: 60 / 2^5 < 2 < 60 / 2^4 */
LLMQ__NOINLINE llmq_status llmq__knapsack_price(llmq__knapsack *k)
{
    LLMQ__NO_CONTRACT
    double low = 0.0, high = 0.0, middle;
    uint64_t cost;
    uint32_t c;
    int32_t e;
    for (e = -960; e <= 900 && llmq__knapsack_at(k, high) > k->budget; e += 60) low = high, high = llmq__exp2_64(e);
    /* the sum that stands for infinite losses would fit in a budget of 2^64 - 1 */
    cost = llmq__knapsack_at(k, high);
    if (cost > k->budget || cost == ~(uint64_t)0) return LLMQ_E_LIMIT;
    /* the bases fit at `high` and not at `low`; the loop ends where no double is between the two */
    while (high > 0.0) {
        middle = low > 0.0 && high > 4.0 * low ? low * llmq__sqrt64(high / low) : 0.5 * (low + high);
        if (low <= 0.0 || !(middle > low && middle < high)) break;
        if (llmq__knapsack_at(k, middle) > k->budget) low = middle;
        else high = middle;
    }
    k->lambda = high;
    k->slack = k->budget - llmq__knapsack_at(k, high); /* sets the bases again: the last pass may have been at low */
    for (k->base_loss = 0.0, c = 0; c < k->classes; c++) k->base_loss += k->item[k->base[c]].loss;
    /* bound(lambda), for sum min (loss + lambda cost) = base_loss + lambda (budget - slack) */
    k->bound = k->base_loss - k->lambda * (double)k->slack;
    return LLMQ_OK;
}

/* Sets r of all items, and the base as the solution so far. r is computed from differences, which
   are small where costs and losses are large; it is below 0 only by rounding. */
LLMQ__NOINLINE void llmq__knapsack_residues(llmq__knapsack *k)
{
    LLMQ__NO_CONTRACT
    uint32_t c, i;
    k->best_loss = k->base_loss;
    for (c = 0; c < k->classes; c++) {
        const llmq__item *base = &k->item[k->base[c]];
        k->best[c] = k->base[c];
        for (i = k->first[c]; i < k->first[c + 1]; i++) {
            double r = (k->item[i].loss - base->loss) + k->lambda * ((double)k->item[i].cost - (double)base->cost);
            k->item[i].r = r > 0.0 ? r : 0.0;
        }
    }
}

/* Finds the exchange of one item of the solution that lowers the loss most and costs at most
   `slack` more. Returns the item, and its class in *class_found; LLMQ__NONE if no exchange lowers
   the loss. Of equal ones the first is taken. The sum now->cost + slack is at most the budget, so
   it does not overflow. */
static uint32_t llmq__knapsack_exchange(const llmq__knapsack *k, uint64_t slack, uint32_t *class_found)
{
    double gain = 0.0;
    uint32_t c, i, item = LLMQ__NONE;
    for (c = 0; c < k->classes; c++) {
        const llmq__item *now = &k->item[k->best[c]];
        for (i = k->first[c]; i < k->first[c + 1]; i++)
            if (now->loss - k->item[i].loss > gain && k->item[i].cost <= now->cost + slack)
                gain = now->loss - k->item[i].loss, *class_found = c, item = i;
    }
    return item;
}

/* Makes the first solution: the best exchange again and again, as long as the budget allows one. It
   ends, because every exchange lowers the loss. A good solution here makes the gap small, and the
   search short. */
static void llmq__knapsack_fill(llmq__knapsack *k)
{
    uint64_t slack = k->slack; /* budget minus the cost of the solution */
    uint32_t c = 0, item;
    while ((item = llmq__knapsack_exchange(k, slack, &c)) != LLMQ__NONE) {
        slack = slack + k->item[k->best[c]].cost - k->item[item].cost;
        k->best_loss += k->item[item].loss - k->item[k->best[c]].loss;
        k->best[c] = item;
    }
}

/* The limit of r: the distance of the best solution from the bound. A solution that is better has a
   smaller sum of residues. The margin covers rounding, in multiples of 2^-53:
     1e-9 of the gap    9 million roundings of the sum of r along a choice
     1e-14 of the loss, and of the price of the slack (the bound is a difference of such values)
                        90 roundings of a sum; few choices differ from the base in more classes
   A margin that is too wide only makes the search longer. One that is too narrow could drop a
   choice that is better by no more than the rounding.
   check: 9000000 * 2**-53 < 1e-9
   check: 90 * 2**-53 < 1e-14 */
static double llmq__knapsack_gap(const llmq__knapsack *k)
{
    double gap = k->best_loss - k->bound, size = k->best_loss < 0.0 ? -k->best_loss : k->best_loss;
    return gap + 1e-9 * gap + 1e-14 * (size + k->lambda * (double)k->slack);
}

/* Sets key[c], the smallest r of an item of class c other than its base, and orders the classes by
   it (Shell's sort). The search stops at the first class whose key is over the gap: no item of a
   later class but its base can be part of a better solution.
   1e308 stands for a class of one item; it is more than any finite r.
   check: 2.0**900 * (2**62 + 2**53) + 2 * 2**24 * 1e240 < 1e308 */
LLMQ__NOINLINE void llmq__knapsack_order(llmq__knapsack *k)
{
    uint32_t c, i, j, gap;
    for (c = 0; c < k->classes; c++) {
        k->order[c] = c;
        k->key[c] = 1e308;
        for (i = k->first[c]; i < k->first[c + 1]; i++)
            if (i != k->base[c] && k->item[i].r < k->key[c]) k->key[c] = k->item[i].r;
    }
    for (gap = k->classes / 2; gap; gap /= 2)
        for (i = gap; i < k->classes; i++) {
            for (c = k->order[i], j = i; j >= gap && k->key[k->order[j - gap]] > k->key[c]; j -= gap)
                k->order[j] = k->order[j - gap];
            k->order[j] = c;
        }
}

/* Merges list 0, with an item of class c in place of its base, with list 1 into list 2. All lists
   are Pareto lists: sorted by cost, and each sum has less loss than all sums before it. Sums with r
   of `limit` or more are left out. Returns the length of list 2, or LLMQ__NONE if it is full; lists
   0 and 1 are not changed. The costs of list 0 include the base of class c, so the differences do
   not go below 0. */
LLMQ__NOINLINE uint32_t llmq__knapsack_merge(const llmq__knapsack *k, uint32_t c, uint32_t item, double limit)
{
    LLMQ__NO_CONTRACT
    const llmq__item *x = &k->item[item], *base = &k->item[k->base[c]];
    const llmq__sum *a = k->list[0], *b = k->list[1];
    const uint32_t na = k->length[0], nb = k->length[1];
    double more = x->loss - base->loss, r = item == k->base[c] ? 0.0 : x->r, last = 0.0;
    uint32_t n = 0, i = 0, j = 0;
    while (i < na || j < nb) {
        uint64_t cost = i < na ? a[i].cost + x->cost - base->cost : 0;
        llmq__sum s;
        /* the cheaper comes first, of equal cost the one with less loss, of equal sums the one of
           list 1 */
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
        if (n > 0 && s.loss >= last) continue; /* a sum before costs no more and loses no more */
        if (n == k->capacity) return LLMQ__NONE;
        last = s.loss;
        k->list[2][n++] = s;
    }
    return n;
}

/* Replaces list 0 by the Pareto list of its sums with each item of class c whose r is below
   `limit`. Returns 0 if a list was full; list 0 is then as it was. List 1 holds the items so
   far. */
static int llmq__knapsack_extend(llmq__knapsack *k, uint32_t c, double limit)
{
    llmq__sum *swap;
    uint32_t i, n;
    k->length[1] = 0;
    for (i = k->first[c]; i < k->first[c + 1]; i++) {
        if (i != k->base[c] && !(k->item[i].r < limit)) continue;
        if ((n = llmq__knapsack_merge(k, c, i, limit)) == LLMQ__NONE) return 0;
        swap = k->list[1], k->list[1] = k->list[2], k->list[2] = swap;
        k->length[1] = n;
    }
    swap = k->list[0], k->list[0] = k->list[1], k->list[1] = swap;
    k->length[0] = k->length[1];
    return 1;
}

/* Makes nodes for the sums of list 0 that took an item of class c other than its base, and looks
   for a better solution among the sums. Returns 0 if the nodes ran out. */
static int llmq__knapsack_record(llmq__knapsack *k, uint32_t c)
{
    uint32_t i;
    for (i = 0; i < k->length[0]; i++) {
        llmq__sum *s = &k->list[0][i];
        if (s->option != LLMQ__NONE) {
            if (k->nodes == LLMQ__STATE_NODES * k->capacity) return 0;
            k->node[k->nodes].parent = s->node, k->node[k->nodes].number = c, k->node[k->nodes].option = s->option;
            s->node = k->nodes++;
            s->option = LLMQ__NONE;
        }
        if (s->cost <= k->budget && s->loss < k->best_loss) k->best_loss = s->loss, k->best_node = s->node;
    }
    return 1;
}

/* Tries the items of class c on the sums of list 0. Returns 0 if the search cannot go on: the nodes
   ran out, or nothing of the list could be kept.
   If a list is full, the class is tried again with half the limit. The limit then is the cut of the
   bound that can be proven. After 30 halvings it is 1e-9 of the gap, which proves next to nothing:
   then it becomes 0, with which no sum is kept and no list is full, so the loop ends.
   check: 2^-30 < 1e-9 < 2^-29 */
LLMQ__NOINLINE int llmq__knapsack_try(llmq__knapsack *k, uint32_t c)
{
    double limit = llmq__knapsack_gap(k), min_gap = 1e-9 * limit;
    if (k->cut < limit) limit = k->cut;
    while (!llmq__knapsack_extend(k, c, limit)) k->cut = limit = limit > min_gap ? 0.5 * limit : 0.0;
    return llmq__knapsack_record(k, c) && k->length[0] > 0;
}

/* The search after the price. Sets best[] and the counts of *result, and returns the bound that is
   proven: no choice has a lower loss. Every choice that was not followed has a sum of r of at least
     the gap    it was dropped by the limit, or has an item whose r is over the gap
     cut        it was dropped because a list was full
     key        of the first class that was not tried, if the nodes ran out
   so its loss is at least the bound at lambda plus the smallest of these. */
LLMQ__NOINLINE double llmq__knapsack_solve(llmq__knapsack *k, llmq_allocation *result)
{
    llmq__sum *start = k->list[0];
    uint32_t i;
    int stopped = 0;
    double proven;
    llmq__knapsack_residues(k);
    llmq__knapsack_fill(k);
    llmq__knapsack_order(k);
    k->nodes = 0;
    k->best_node = LLMQ__NONE;
    k->cut = 1e308;
    /* the list begins with the base of every class */
    start->cost = k->budget - k->slack, start->loss = k->base_loss, start->r = 0.0;
    start->node = start->option = LLMQ__NONE;
    k->length[0] = 1;
    for (i = 0; i < k->classes && k->key[k->order[i]] < llmq__knapsack_gap(k); i++) {
        stopped = !llmq__knapsack_try(k, k->order[i]);
        if (stopped) break;
        if (k->length[0] > result->states) result->states = k->length[0];
    }
    result->tried = i;
    proven = llmq__knapsack_gap(k);
    if (k->cut < proven) proven = k->cut;
    if (stopped && k->key[k->order[i]] < proven) proven = k->key[k->order[i]];
    /* a solution of the list replaces the filled one: base items, and those in its chain of
       nodes */
    if (k->best_node != LLMQ__NONE)
        for (i = 0; i < k->classes; i++) k->best[i] = k->base[i];
    for (i = k->best_node; i != LLMQ__NONE; i = k->node[i].parent) k->best[k->node[i].number] = k->node[i].option;
    return k->bound + proven;
}

/* Writes the solution to choice[layers], and its sums to *result, where they are 0 and the bound is
   set. The sums are added in the order of the layers, so that a caller can repeat them. The search
   added the same losses in another order. 1e-12 of the loss is the most that 9,000 roundings of
   2^-53 make, and about the size that 2^24 independent ones reach: within it, the bound counts as
   reached. The margin of the gap may also bring it above the loss.
   check: 9000 * 2**-53 < 1e-12
   check: sqrt(2**24) * 2**-53 < 1e-12 */
LLMQ__NOINLINE void llmq__knapsack_result(const llmq__knapsack *k, const llmq_option *options, const uint32_t *first,
                                          uint32_t layers, uint32_t *choice, llmq_allocation *result)
{
    uint32_t l;
    double loss;
    for (l = 0; l < layers; l++) {
        uint32_t c = k->class_of[l];
        choice[l] = k->best[c] - k->first[c];
        result->cost += options[first[l] + choice[l]].cost;
        result->loss += options[first[l] + choice[l]].loss;
    }
    loss = result->loss;
    if (result->bound > loss || loss - result->bound < 1e-12 * (loss < 0.0 ? -loss : loss)) result->bound = loss;
}

/* k is the only large struct of the search, and lies in this frame. */
LLMQ_API llmq_status llmq_allocate(const llmq_option *options, const uint32_t *first, uint32_t layers,
                                   const uint32_t *tie, uint64_t budget, uint32_t *choice, llmq_allocation *result,
                                   void *work, size_t work_size, llmq_error *error)
{
    llmq__knapsack k;
    llmq_status status;
    size_t need;
    /* fewer than 2^24 layers: the limit of a loss is derived for them (llmq__options_check).
       check: 0x00ffffff == 2**24 - 1 */
    if (!options || !first || layers == 0 || layers > 0x00ffffffu || !choice || !result || !work
        || (uintptr_t)work % sizeof(double) != 0)
        return LLMQ_E_ARG;
    k.budget = budget;
    if ((status = llmq__options_check(options, first, layers, error)) != LLMQ_OK) return status;
    need = llmq__knapsack_size(&k, layers, first[layers], 1);
    if (need == 0 || work_size < need) return LLMQ_E_WORKSPACE;
    llmq__knapsack_place(&k, layers, first[layers], work, work_size);
    if ((status = llmq__knapsack_classes(&k, options, first, layers, tie)) != LLMQ_OK) return status;
    if ((status = llmq__knapsack_price(&k)) != LLMQ_OK) {
        /* at this price the bases are the cheapest items that may be taken */
        result->cost = llmq__knapsack_at(&k, llmq__exp2_64(900));
        return status;
    }
    LLMQ_MEMSET(result, 0, sizeof *result);
    result->bound = llmq__knapsack_solve(&k, result);
    llmq__knapsack_result(&k, options, first, layers, choice, result);
    return LLMQ_OK;
}

#endif /* LLMQ_NO_CALIBRATION */

/* ---- The end: vector kernels, and macros undone ---------------------------------------------- */

/* The rest of llmq_simd.h: the other kernel tables, llmq__simd_at and llmq__simd_features. They use
   all sections, and the macros of section 0. */
#if LLMQ_SIMD
#define LLMQ__SIMD_PART LLMQ__PART_TABLES
#include LLMQ_SIMD_PATH
#endif

#ifdef __cplusplus
}
#endif
/* The states that section 0 pushed come back in the opposite order. */
#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__))
#pragma GCC diagnostic pop
#endif
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC pop_options
#elif defined(__ARM_FEATURE_MVE) && defined(__clang__)
#pragma clang attribute pop
#endif
/* No internal macro is left to the file that includes this one. */
#undef LLMQ__NO_CONTRACT
#undef LLMQ__NOINLINE
#undef LLMQ__NULL
#undef LLMQ__ASSERT
#undef LLMQ__HAS
#undef LLMQ__ANY_TRELLIS
#undef LLMQ__ANY_ZERO_POINTS
#undef LLMQ__MAX_BASE
#undef LLMQ__LANES
#undef LLMQ__KERNELS
#undef LLMQ__NEEDS_NOTHING
#undef LLMQ__NEEDS_TRANSFORM
#undef LLMQ__NEEDS_ENCODER
#undef LLMQ__NEEDS_TRELLIS_ENCODER
#undef LLMQ__NEEDS_CALIBRATION
#undef LLMQ__PLACE
#undef LLMQ__IN_PLACE
#undef LLMQ__ENTRY
#undef LLMQ__TABLE
#undef LLMQ__CHUNK
#undef LLMQ__TEST_ROWS
#undef LLMQ__TEST_FLOATS
#undef LLMQ__UNIT
#undef LLMQ__LDLQ_BLOCKS
#undef LLMQ__MAX_LAG
#undef LLMQ__TRELLIS_UNIT
#undef LLMQ__MAX_FIELDS
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
#endif /* LLMQ_IMPLEMENTATION */

/* ---- Licence ------------------------------------------------------------------------------------

   This software is available under two licences; choose the one you like.

   A. MIT. Copyright (c) 2026 the llmq authors.
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so, subject to the following conditions: The above copyright notice and this
   permission notice shall be included in all copies or substantial portions of the Software.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
   NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
   DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   B. Public domain (www.unlicense.org). This is free and unencumbered software released into the
   public domain. Anyone is free to copy, modify, publish, use, compile, sell, or distribute this
   software, either in source code form or as a compiled binary, for any purpose, commercial or
   non-commercial, and by any means. */
