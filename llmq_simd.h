/* llmq_simd.h - v0.11.0 - the kernels of llmq.h with vector instructions, bit for bit
   public domain or MIT (see llmq.h)

   DO THIS
       Copy this file beside llmq.h. llmq.h finds it by __has_include, or is told by LLMQ_SIMD 1 and
       LLMQ_SIMD_PATH. Nothing else changes. The first program of llmq.h then runs on the best
       kernels of the machine: llmq_tensor_init puts them into the tensor, and t.kernels->name says
       which.

   HOW IT IS MADE
       Each instruction set has a kernel table (struct llmq_kernels, section 2 of llmq.h), which its
       own section below makes. The code of the kernels is shared. It stands in templates, which
       this file includes from itself. They are written in a small vocabulary of words on 16 floats
       and on 32 bytes, and each instruction set defines these words. A kernel that pays on one
       instruction set only stands in the section of that set.

       All tables give the bits of the scalar one:
       - Sums of integers are exact, so their order is free. A run of columns that shares its scales
         has at most 1024 columns, so each sum is below 2^24 and its conversion to float is exact:
         128 * 127 * 1024 = 16646144.
       - Each float operation is one that the scalar code does, on the same operands, and the
         operations that lead to one result come in the same order. Vectors only do several results
         at once. Products and sums are rounded one by one unless a product is known to be exact.

       Pointers are aligned as their type needs and no more, so pointers to bytes have any
       alignment. No kernel reads or writes beyond the arrays of its contract. Helpers that do so
       within the buffers of their callers say how far.

   CONTENTS
       1. Configuration
       2. Dispatch and shared helpers
       3. Template: kernels on floats
       4. Template: kernels on codes
       5. x86: SSSE3
       6. x86: AVX2, and with VNNI
       7. x86: AVX-512
       8. Arm: NEON
       9. Arm: microcontrollers
      10. WebAssembly
      11. RISC-V
      12. Tables

   PARTS
       The file is one chain of #elif, so each inclusion reads one part of it. A template is a part
       that is included more than once. This includes a part, which undefines the name as it begins:
           #define LLMQ__SIMD_PART LLMQ__PART_FLOATS
           #include LLMQ_SIMD_SELF

       LLMQ__PART_...    section  included by
       CONFIGURATION        1     llmq.h, where it includes headers
       DISPATCH             2     TABLES
       FLOATS               3     SSSE3, AVX2, AVX512, NEON and WASM
       CODES                4     the same sets; AVX2 and NEON again, for VNNI and DOTPROD
       FORMAT               4     CODES, for each format whose points are looked up by shuffles
       BLOCKS               4     CODES at its end; NEON for I8MM
       SSSE3                5     TABLES
       AVX2                 6     TABLES
       VNNI                 6     AVX2 and AVX512
       AVX512               7     TABLES
       AVX512_PRODUCTS      7     AVX512, for each way to look points up
       AVX512_TRELLIS       7     AVX512_PRODUCTS, for each trellis
       NEON                 8     TABLES
       MICRO                9     TABLES
       WASM                10     TABLES
       RVV                 11     TABLES
       RVV_PRODUCTS        11     RVV, for each size of register groups
       TABLES              12     llmq.h, at its end

   HOW TO ADD AN INSTRUCTION SET
       WebAssembly, section 10, is the shortest set that has everything. Read it beside this list.
       1. llmq.h, section 2: add a bit, LLMQ_CPU_WASM, and a line of the list of tables.
       2. Section 1: add LLMQ_SIMD_WASM, 0 or 1, by default 1 where the compiler has the set.
          Include the header of its intrinsics.
       3. Section 2: llmq__simd_features gives the bit. On x86 it asks the processor. Elsewhere it
          repeats the options of the compiler.
       4. Add a part: LLMQ__PART_WASM in the list of parts and in the list of #undef at the end, its
          section in the chain, and its inclusion in section 12, after the parts whose words it
          uses, with #if LLMQ_SIMD_WASM around it.
       5. In the section, define LLMQ__TARGET: nothing where the whole program is compiled for the
          set, else LLMQ__TARGET_OF("..."). The section undefines it at its end.
       6. Write the words on floats that the head of section 3 lists, with the suffix _wasm. Then
          include the part FLOATS with its parameters. Each operation is rounded like the scalar
          one, and comparisons are false where an operand is NaN.
       7. Write the words on bytes, on points and products, on four sums and for blocks that section
          4 lists. Then include the part CODES. A set that differs from another only in products
          shares the words on bytes: see AVX2 with VNNI, in section 6.
       8. LLMQ__TABLE (llmq.h, section 2) makes the table of a name, bits, and the suffixes of its
          kernels. No suffix means the scalar kernels. A line in llmq__simd_at, section 12, puts it
          after all slower tables.
       9. tests/test_kernels.c compares it with the scalar table bit for bit wherever it can run,
          and has a list of names. tests/matrix.sh has a line for each emulator.
       A set that the words do not fit has kernels of its own instead of steps 6 and 7: see sections
       9 and 11.

   STACK
       Frames are up to 10 KB. The scalar kernels need at most 256 bytes, as llmq.h promises, and so
       do the tables of microcontrollers. */

#ifndef LLMQ__SIMD_PART
#error "llmq: include llmq.h, which includes llmq_simd.h"
#endif
#ifndef LLMQ__PART_CONFIGURATION
#define LLMQ__PART_CONFIGURATION 1
#define LLMQ__PART_DISPATCH 2
#define LLMQ__PART_FLOATS 3
#define LLMQ__PART_CODES 4
#define LLMQ__PART_FORMAT 5
#define LLMQ__PART_BLOCKS 6
#define LLMQ__PART_SSSE3 7
#define LLMQ__PART_AVX2 8
#define LLMQ__PART_VNNI 9
#define LLMQ__PART_AVX512 10
#define LLMQ__PART_AVX512_PRODUCTS 11
#define LLMQ__PART_AVX512_TRELLIS 12
#define LLMQ__PART_NEON 13
#define LLMQ__PART_MICRO 14
#define LLMQ__PART_WASM 15
#define LLMQ__PART_RVV 16
#define LLMQ__PART_RVV_PRODUCTS 17
#define LLMQ__PART_TABLES 18
#endif

#if LLMQ__SIMD_PART == LLMQ__PART_CONFIGURATION
#undef LLMQ__SIMD_PART

#if LLMQ_VERSION_MAJOR != 0 || LLMQ_VERSION_MINOR != 11 || LLMQ_VERSION_PATCH != 0
#error "llmq: llmq.h and llmq_simd.h are of different versions; copy both"
#endif

/* ---- 1. Configuration ---------------------------------------------------------------------------

   Each of these macros is 0 or 1. The default is 1 where the compiler can make the set.
     LLMQ_SIMD_SSSE3    x86-64
     LLMQ_SIMD_AVX2     x86-64, with FMA and F16C
     LLMQ_SIMD_AVXVNNI  x86-64; builds on LLMQ_SIMD_AVX2
     LLMQ_SIMD_AVX512   x86-64, with VNNI, tables with and without VBMI; builds on LLMQ_SIMD_AVX2
     LLMQ_SIMD_NEON     Arm, 32 and 64 bits, little-endian
     LLMQ_SIMD_DOTPROD  Arm; builds on LLMQ_SIMD_NEON
     LLMQ_SIMD_I8MM     AArch64 only; builds on LLMQ_SIMD_DOTPROD
     LLMQ_SIMD_DSP      Arm's microcontrollers without wider vectors
     LLMQ_SIMD_MVE      Arm's microcontrollers with Helium
     LLMQ_SIMD_WASM     WebAssembly with SIMD128
     LLMQ_SIMD_RVV      RISC-V with V 1.0

   On x86, and on AArch64 beyond NEON, the functions carry target attributes, so the rest of the
   program may be compiled for any processor. Elsewhere a set is compiled in when the compiler is
   told of it.
   On Arm nothing asks the processor. LLMQ_CPU_FEATURES (llmq.h) says that it has more than the
   compiler was told. On Linux that is
       getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? LLMQ_CPU_NEON | LLMQ_CPU_DOTPROD : LLMQ_CPU_NEON
   and LLMQ_CPU_I8MM too where getauxval(AT_HWCAP2) & HWCAP2_I8MM. */
#if defined(_MSC_VER) && defined(__clang__) && __clang_major__ < 19
#define LLMQ__X86 0 /* clang-cl before 19 hides the intrinsics of sets that the command line does not name */
#elif (defined(__x86_64__) && defined(__SSE2__)) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define LLMQ__X86 1
#include <immintrin.h>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif
#else
#define LLMQ__X86 0
#endif
#ifndef LLMQ_SIMD_SSSE3
#define LLMQ_SIMD_SSSE3 LLMQ__X86
#endif
#ifndef LLMQ_SIMD_AVX2
#define LLMQ_SIMD_AVX2 LLMQ__X86
#endif
/* The first compilers that have the intrinsics of AVX-VNNI: clang 12, gcc 11, Visual Studio 2019
   16.9 (1929). */
#ifndef LLMQ_SIMD_AVXVNNI
#if !LLMQ_SIMD_AVX2
#define LLMQ_SIMD_AVXVNNI 0
#elif defined(__clang__)
#define LLMQ_SIMD_AVXVNNI (__clang_major__ >= 12)
#elif defined(__GNUC__)
#define LLMQ_SIMD_AVXVNNI (__GNUC__ >= 11)
#else
#define LLMQ_SIMD_AVXVNNI (_MSC_VER >= 1929)
#endif
#endif
#ifndef LLMQ_SIMD_AVX512
#define LLMQ_SIMD_AVX512 LLMQ_SIMD_AVX2
#endif

/* Vectors are loaded as the bytes of memory, so the kernels take little-endian for granted. */
#if defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define LLMQ__ARM 1
#include <arm_neon.h>
#else
#define LLMQ__ARM 0
#endif
/* 1 if single functions may use sets that the program is not compiled for.
   clang before 16 hides their intrinsics. gcc before 10 lacks some of them. gcc inlines an
   intrinsic only into functions whose sets include all sets that the intrinsic was compiled for,
   and the sets that the command line adds are not all known here. */
#if !LLMQ__ARM || !defined(__aarch64__)
#define LLMQ__ARM_TARGETS 0
#elif defined(__clang__)
#define LLMQ__ARM_TARGETS (__clang_major__ >= 16)
#elif defined(__ARM_FEATURE_SVE) || (defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC) && !defined(__ARM_FEATURE_DOTPROD))
#define LLMQ__ARM_TARGETS 0
#else
#define LLMQ__ARM_TARGETS (__GNUC__ >= 10)
#endif
#ifndef LLMQ_SIMD_NEON
#define LLMQ_SIMD_NEON LLMQ__ARM
#endif
#ifndef LLMQ_SIMD_DOTPROD
#if !LLMQ_SIMD_NEON
#define LLMQ_SIMD_DOTPROD 0
#elif defined(__ARM_FEATURE_DOTPROD)
#define LLMQ_SIMD_DOTPROD 1
#else
#define LLMQ_SIMD_DOTPROD LLMQ__ARM_TARGETS
#endif
#endif
#ifndef LLMQ_SIMD_I8MM
#if !LLMQ_SIMD_DOTPROD || !defined(__aarch64__)
#define LLMQ_SIMD_I8MM 0
#elif defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_DOTPROD)
#define LLMQ_SIMD_I8MM 1
#else
#define LLMQ_SIMD_I8MM LLMQ__ARM_TARGETS
#endif
#endif
#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif
#ifndef LLMQ_SIMD_WASM
#if defined(__wasm_simd128__)
#define LLMQ_SIMD_WASM 1
#else
#define LLMQ_SIMD_WASM 0
#endif
#endif

/* The sections of these sets use the words of the set that they build on. */
#if (LLMQ_SIMD_AVXVNNI || LLMQ_SIMD_AVX512) && !LLMQ_SIMD_AVX2
#error "llmq: LLMQ_SIMD_AVXVNNI and LLMQ_SIMD_AVX512 build on LLMQ_SIMD_AVX2"
#endif
#if LLMQ_SIMD_I8MM && (!LLMQ_SIMD_DOTPROD || !defined(__aarch64__))
#error "llmq: LLMQ_SIMD_I8MM builds on LLMQ_SIMD_DOTPROD, and needs AArch64"
#endif

/* MVE: Helium with floats, bit 1 of __ARM_FEATURE_MVE. Bit 0 alone is Helium of integers only.
   DSP: 32-bit registers as vectors, for processors without wider ones. It needs word loads from any
   address (CCR.UNALIGN_TRP off, the state after reset). A compiler that is told
   -mno-unaligned-access makes these loads of single bytes, so the macro is 0 there. */
#ifndef LLMQ_SIMD_MVE
#if defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#define LLMQ_SIMD_MVE (__ARM_FEATURE_MVE >> 1)
#else
#define LLMQ_SIMD_MVE 0
#endif
#endif
#ifndef LLMQ_SIMD_DSP
#if defined(__ARM_FEATURE_SIMD32) && defined(__ARM_FEATURE_UNALIGNED) && !defined(__ARM_NEON) && \
    !defined(__ARM_BIG_ENDIAN)
#define LLMQ_SIMD_DSP (!LLMQ_SIMD_MVE)
#else
#define LLMQ_SIMD_DSP 0
#endif
#endif
#if LLMQ_SIMD_DSP
#include <arm_acle.h>
#endif
#if LLMQ_SIMD_MVE
#include <arm_mve.h>
#endif

/* The intrinsics of version 0.11 or later (version * 1000000 + minor * 1000), and all of the
   extension V, whose vectors have 128 bits or more. */
#ifndef LLMQ_SIMD_RVV
#if defined(__riscv_v) && defined(__riscv_v_intrinsic) && defined(__BYTE_ORDER__)
#define LLMQ_SIMD_RVV (__riscv_v_intrinsic >= 11000 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
#else
#define LLMQ_SIMD_RVV 0
#endif
#endif
#if LLMQ_SIMD_RVV
#include <riscv_vector.h>
#endif

/* The name by which this file includes itself. */
#ifndef LLMQ_SIMD_SELF
#define LLMQ_SIMD_SELF "llmq_simd.h"
#endif

#elif LLMQ__SIMD_PART == LLMQ__PART_DISPATCH
#undef LLMQ__SIMD_PART

/* ---- 2. Dispatch and shared helpers -------------------------------------------------------------

   First the instruction sets of this processor. Then macros that make names and attributes of
   functions. Then helpers in scalar code that several sections use: the kinds of formats, the
   tables of points, the rows that a trellis reads, bit fields of codes, and runs of columns that
   share their scales. */

#ifndef LLMQ_CPU_FEATURES
#if LLMQ__X86
/* r[0, 4) = EAX, EBX, ECX, EDX of CPUID for a leaf and a sub-leaf. The caller checks that the leaf
   exists. */
static void llmq__cpuid(uint32_t leaf, uint32_t sub, uint32_t *r)
{
#if defined(_MSC_VER) && !defined(__clang__)
    int v[4];
    __cpuidex(v, (int)leaf, (int)sub);
    LLMQ_MEMCPY(r, v, 16);
#else
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(sub));
#endif
}

/* The registers that the operating system saves and restores: the low half of XCR0. Bits 1 and 2
   are SSE and AVX. Bits 5, 6 and 7 are the parts of AVX-512.
   Precondition: CPUID says OSXSAVE, or the instruction faults. */
static uint32_t llmq__xgetbv(void)
{
#if defined(_MSC_VER) && !defined(__clang__)
    return (uint32_t)_xgetbv(0);
#else
    uint32_t low, high;
    /* xgetbv as bytes, for assemblers that do not know it */
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
    (void)high; /* bits 32 and up of XCR0 */
    return low;
#endif
}

/* LLMQ_CPU_... bits of the sets that this processor has and whose registers the operating system
   saves.
   A set needs both: a virtual machine or an old kernel may offer the instructions without the
   registers. */
static uint32_t llmq__simd_features(void)
{
    uint32_t one[4], seven[4], more[4], saved = 0, have = 0;
    /* AVX512F, DQ, BW and VL in EBX of leaf 7: bits 16, 17, 30 and 31 */
    const uint32_t f_dq_bw_vl = (uint32_t)1 << 16 | (uint32_t)1 << 17 | (uint32_t)1 << 30 | (uint32_t)1 << 31;
    /* EAX of leaf 0 is the highest leaf, EAX of leaf 7 the highest sub-leaf of it. Others answer
       with the data of another leaf, so they are not asked. */
    llmq__cpuid(0, 0, one);
    if (one[0] < 1) return 0;
    seven[1] = seven[2] = more[0] = 0;
    if (one[0] >= 7) {
        llmq__cpuid(7, 0, seven);
        if (seven[0] >= 1) llmq__cpuid(7, 1, more);
    }
    llmq__cpuid(1, 0, one);
    if (one[2] >> 9 & 1) have |= LLMQ_CPU_SSSE3;
    if (one[2] >> 27 & 1) saved = llmq__xgetbv(); /* OSXSAVE */
    /* SSE and AVX */
    /* check: 2**1 + 2**2 == 0x6 */
    if ((saved & 0x6) != 0x6) return have;
    if ((one[2] >> 12 & 1) && (one[2] >> 29 & 1) && (seven[1] >> 5 & 1)) have |= LLMQ_CPU_AVX2; /* FMA, F16C, AVX2 */
    if ((have & LLMQ_CPU_AVX2) && (more[0] >> 4 & 1)) have |= LLMQ_CPU_AVXVNNI;
    /* The same, opmask, the upper halves of ZMM 0 to 15, and ZMM 16 to 31. */
    /* check: 0x6 + 2**5 + 2**6 + 2**7 == 0xe6 */
    if ((saved & 0xe6) != 0xe6 || !(have & LLMQ_CPU_AVX2)) return have;
    if ((seven[1] & f_dq_bw_vl) == f_dq_bw_vl && (seven[2] >> 11 & 1)) have |= LLMQ_CPU_AVX512; /* AVX512_VNNI */
    if ((have & LLMQ_CPU_AVX512) && (seven[2] >> 1 & 1)) have |= LLMQ_CPU_VBMI;
    return have;
}
#else
/* LLMQ_CPU_... bits of the sets that the whole program is compiled for. DOTPROD and I8MM may be
   compiled in beyond these. Then LLMQ_CPU_FEATURES says where they run. */
static uint32_t llmq__simd_features(void)
{
    uint32_t have = 0;
#if LLMQ_SIMD_NEON
    have |= LLMQ_CPU_NEON;
#endif
#if LLMQ_SIMD_DOTPROD && defined(__ARM_FEATURE_DOTPROD)
    have |= LLMQ_CPU_DOTPROD;
#endif
#if LLMQ_SIMD_I8MM && defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_DOTPROD)
    have |= LLMQ_CPU_I8MM;
#endif
#if LLMQ_SIMD_WASM
    have |= LLMQ_CPU_WASM;
#endif
#if LLMQ_SIMD_DSP
    have |= LLMQ_CPU_DSP;
#endif
#if LLMQ_SIMD_MVE
    have |= LLMQ_CPU_MVE;
#endif
#if LLMQ_SIMD_RVV
    have |= LLMQ_CPU_RVV;
#endif
    return have;
}
#endif
#endif

/* Names: llmq__NAME_SUFFIX. Two steps, so that macros among the arguments are expanded first. The
   suffix tells the instruction set. It is a parameter of the template that uses the macro. */
#define LLMQ__GLUE_(name, isa) llmq__##name##_##isa
#define LLMQ__GLUE(name, isa) LLMQ__GLUE_(name, isa)
#define LLMQ__PASTE_(a, b) a##b
#define LLMQ__PASTE(a, b) LLMQ__PASTE_(a, b)
#define LLMQ__KERNEL_NAME(name) LLMQ__GLUE(name, LLMQ__ISA) /* a kernel of the table that is being made */
#define LLMQ__K(name) LLMQ__GLUE(LLMQ__PASTE(LLMQ__NAME, name), LLMQ__ISA) /* a kernel of one format */
#define LLMQ__C(name) LLMQ__GLUE(name, LLMQ__CODES)       /* a kernel that decodes, perhaps of another set */
#define LLMQ__VEC_F32(word) LLMQ__GLUE(word, LLMQ__ISA)   /* a word on floats */
#define LLMQ__VEC_U8(word) LLMQ__GLUE(word, LLMQ__CODES)  /* a word on bytes */
#define LLMQ__DOT(word) LLMQ__GLUE(word, LLMQ__DOTS)      /* a word on points and their products */
#define LLMQ__VEC4(word) LLMQ__GLUE(word, LLMQ__QUADS)    /* a word on four sums */
/* Attributes of functions:
     LLMQ__INLINE           a helper, inlined always in optimized programs
     LLMQ__INLINE_TARGET    the same, with the instruction set of the section
     LLMQ__NOINLINE_TARGET  a kernel, or a part of one that is compiled once: code that is inlined
                            everywhere multiplies the size of the program and the time of the
                            compiler */
#if defined(__GNUC__) || defined(__clang__)
#define LLMQ__TARGET_OF(sets) __attribute__((__target__(sets)))
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define LLMQ__SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LLMQ__SANITIZED
#endif
#if defined(__OPTIMIZE__) && !defined(LLMQ__SANITIZED)
#define LLMQ__INLINE static inline __attribute__((__always_inline__, __unused__))
#else /* functions of their own: compiling is twenty times as fast */
#define LLMQ__INLINE static inline __attribute__((__unused__))
#endif
#define LLMQ__INLINE_TARGET LLMQ__INLINE LLMQ__TARGET
#define LLMQ__NOINLINE_TARGET static __attribute__((__noinline__, __unused__)) LLMQ__TARGET
#define LLMQ__PREFETCH(p) __builtin_prefetch((const void *)(p))
#define LLMQ__PREFETCH2(p) __builtin_prefetch((const void *)(p), 0, 2) /* only into the level-2 cache */
/* Hides from the compiler that p is the same as before, so that a second load from it stays a load:
   two loads that shuffle as they load are faster than one load and two shuffles. */
#define LLMQ__RELOAD_BARRIER(p) __asm__("" : "+r"(p))
/* Keeps an integer in a general register.
   Measured: gcc 12 has vector instructions for the ends of runs, and moves them through memory at
   the end of each chunk. Without these moves g2 and g3 with AVX2 take 0.6 of the time in groups of
   32, and 0.75 in groups of 128. */
#if LLMQ__X86 && !defined(__clang__)
#define LLMQ__SCALAR(x) __asm__("" : "+r"(x))
/* What is read by pointer p is read after the vectors v and w are made.
   Measured: without it gcc makes the sums of four activations of the part BLOCKS side by side, and
   keeps half of them in memory.
   Emulated vectors, which are no registers, come with a definition of their own. */
#ifndef LLMQ__AFTER
#define LLMQ__AFTER(p, v, w) __asm__("" : "+r"(p), "+x"(v), "+x"(w))
#endif
#endif
#else
#define LLMQ__TARGET_OF(sets)
#define LLMQ__INLINE static __forceinline
#define LLMQ__INLINE_TARGET static __forceinline
#define LLMQ__NOINLINE_TARGET static __declspec(noinline)
#define LLMQ__PREFETCH(p) ((void)(p))
#define LLMQ__PREFETCH2(p) ((void)(p))
#define LLMQ__RELOAD_BARRIER(p) ((void)0)
#endif
#ifndef LLMQ__SCALAR
#define LLMQ__SCALAR(x) ((void)0)
#endif
#ifndef LLMQ__AFTER
#define LLMQ__AFTER(p, v, w) ((void)0)
#endif
#if (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 8)) && !defined(LLMQ__SANITIZED)
/* Makes n copies of the body of the next loop. A loop over a short array is unrolled as a whole,
   because the elements are registers only where their indices are constants. */
#define LLMQ__UNROLL(n) LLMQ__PRAGMA(GCC unroll n)
#define LLMQ__PRAGMA(text) _Pragma(#text)
#else
#define LLMQ__UNROLL(n)
#define LLMQ__PRAGMA(text)
#endif

/* Kinds of formats whose points are looked up by shuffles, as the templates tell them: a scalar
   grid of 2 to 6 bits (G2 ... G6), g8, and grids of pairs with 16 and 64 points. Codes of other
   kinds (OTHER) are looked up one by one, and trellises have kernels of their own. */
enum {
    LLMQ__KIND_OTHER, LLMQ__KIND_G2, LLMQ__KIND_G3, LLMQ__KIND_G4, LLMQ__KIND_G5, LLMQ__KIND_G6, LLMQ__KIND_G8,
    LLMQ__KIND_V2N16, LLMQ__KIND_V2N64
};
#define LLMQ__PREFETCH_BYTES 1024 /* from a load to the bytes that are prefetched with it */

/* The kernels are written for these sizes of llmq.h. Tables of functions by kind are written for
   this order of kinds, in which a point has two coordinates from V2N16 on. */
#if LLMQ__LANES != 16 || LLMQ__UNIT != 128 || LLMQ__TRELLIS_UNIT != 256
#error "llmq: the kernels of llmq_simd.h are written for sums of 16 lanes, and for units of 128 and of 256 codes"
#endif
LLMQ__ASSERT(kinds_in_order, LLMQ__KIND_OTHER == 0 && LLMQ__KIND_G2 == 1 && LLMQ__KIND_G3 == 2 && LLMQ__KIND_G4 == 3 &&
             LLMQ__KIND_G5 == 4 && LLMQ__KIND_G6 == 5 && LLMQ__KIND_G8 == 6 && LLMQ__KIND_V2N16 == 7 &&
             LLMQ__KIND_V2N64 == 8);

/* Bits of a code, and coordinates of a point. For OTHER they are 0 and 1. */
LLMQ__INLINE uint32_t llmq__kind_bits(int kind)
{
    static const uint8_t bits[] = { 0, 2, 3, 4, 5, 6, 8, 4, 6 };
    return bits[kind];
}
LLMQ__INLINE uint32_t llmq__kind_p(int kind) { return kind >= LLMQ__KIND_V2N16 ? 2 : 1; }

/* The kind of a format, if all its points are at least `least`, else OTHER. least is -128, or -127
   where a product of the instruction set takes magnitudes of points as int8.
   A grid of 8 bits is G8 if its points are the array of g8, which is computed and not looked up.
   Another grid of 8 bits is OTHER.
   The points are looked at whatever the id of the format is, because a caller may have put other
   points into a built-in format. */
LLMQ__INLINE int llmq__kind(const llmq_format *f, int least)
{
    int kind;
    uint32_t i;
    for (kind = LLMQ__KIND_G2; kind <= LLMQ__KIND_V2N64; kind++)
        if (llmq__kind_bits(kind) == f->bits && llmq__kind_p(kind) == f->p) break;
    if (f->taps[0]) return LLMQ__KIND_OTHER;
    if (kind > LLMQ__KIND_V2N64) return LLMQ__KIND_OTHER;
#if LLMQ__HAS(G8) || LLMQ__ANY_ZERO_POINTS
    if (kind == LLMQ__KIND_G8 && f->points == llmq__g8) return kind;
#endif
    if (kind == LLMQ__KIND_G8) return LLMQ__KIND_OTHER;
    for (i = 0; i < f->p << f->bits; i++)
        if (f->points[i] < least) return LLMQ__KIND_OTHER;
    return kind;
}

/* all[0, 64) = a table for shuffles of 16 bytes, made of n points: 4, 8, 16, 32 or 64.
   Fewer than 16 points are repeated, so that index bits above the bits of a code may be anything.
   With n <= 16 only all[0, 16) is looked up, with n = 32 only all[0, 32). The rest holds copies, so
   that every byte is defined. */
LLMQ__INLINE void llmq__repeat(const int8_t *points, uint32_t n, int8_t *all)
{
    uint32_t i;
    for (i = 0; i < 16; i++) all[i] = points[i & (n - 1)];
    LLMQ_MEMCPY(all + 16, n > 16 ? points + 16 : all, 16);
    LLMQ_MEMCPY(all + 32, n > 32 ? points + 32 : all, 16);
    LLMQ_MEMCPY(all + 48, n > 32 ? points + 48 : all, 16);
}

/* e[0, n) = coordinates of the points of codes, for any format, one code at a time.
   code:   the low 8 bits of each code
   above:  bits 8 and up of each code, or NULL if there are none
   skip:   the first coordinate that is wanted of the first point, below p
   e:      the last point may be written beyond e[n), by at most p - 1 <= 7 bytes */
LLMQ__INLINE void llmq__spread(const llmq_format *f, const uint8_t *code, const uint8_t *above, uint32_t skip,
                               uint32_t n, int8_t *e)
{
    const int8_t *points = f->points;
    uint32_t i = 0, k, p = f->p, whole = n / p * p;
    if (skip == 0 && !above && p == 2) /* a copy of constant size is one move */
        LLMQ__UNROLL(8) for (; i < whole; i += 2, code++) LLMQ_MEMCPY(e + i, points + 2 * (size_t)*code, 2);
    if (skip == 0 && !above && p == 3)
        LLMQ__UNROLL(4) for (; i < whole; i += 3, code++) {
            LLMQ_MEMCPY(e + i, points + 3 * (size_t)*code, 2);
            e[i + 2] = points[3 * (size_t)*code + 2];
        }
    if (skip == 0 && !above && p == 4)
        LLMQ__UNROLL(4) for (; i < whole; i += 4, code++) LLMQ_MEMCPY(e + i, points + 4 * (size_t)*code, 4);
    for (; i < n; code++, skip = 0) {
        const int8_t *point = points + (*code + (above ? (size_t)*above++ << 8 : 0)) * p;
        for (k = skip; k < p; k++) e[i++] = point[k];
    }
}

/* The codes that a row's points depend on. row[0] is the row. In a trellis, row[lag] is the row at
   that distance above it in its tail-biting block, for lag = 1 ... LLMQ__MAX_LAG. In other formats
   row[0] alone is set. */
typedef struct llmq__window {
    const uint8_t *row[LLMQ__MAX_LAG + 1];
} llmq__window;

/* The window of row r of t. above: the window of row r - 1, or NULL if the caller has none. It
   saves the search for the rows. */
LLMQ__INLINE void llmq__window_of(llmq__window *w, const llmq_tensor *t, uint32_t r, const llmq__window *above)
{
    const llmq__trellis_block block = llmq__trellis_block_of(t->rows, r);
    uint32_t lag, at = r;
    w->row[0] = t->data + (size_t)r * t->row_size;
    if (!t->format.taps[0]) return;
    /* One row further down, all lags grow by one. The first row of a block follows another block,
       so its window is not made of it. */
    if (above && r > block.first) LLMQ_MEMCPY(w->row + 1, above->row, LLMQ__MAX_LAG * sizeof *w->row);
    else
        for (lag = 1; lag <= LLMQ__MAX_LAG; lag++) {
            /* A block bites its tail: the row above the first is the last. */
            at = (at > block.first ? at : block.first + block.rows) - 1;
            w->row[lag] = t->data + (size_t)at * t->row_size;
        }
}

/* The inverse of t->data + r * t->row_size. */
LLMQ__INLINE uint32_t llmq__row_number(const llmq_tensor *t, const uint8_t *row)
{
    return (uint32_t)((size_t)(row - t->data) / t->row_size);
}

#if LLMQ__ANY_TRELLIS
/* A trellis as an integer: 0 is none, 1 ... 4 are t1 ... t4, 5 ... 7 are t2s ... t4s. Code that has
   it as a constant is compiled for the one trellis. The dispatch of llmq.h takes care that only
   formats with these taps come here.

   The index of a point has the parities from bit 0 on, and above them the bits of the code but the
   lowest (section 6 of llmq.h). Here the same bits come in another order, because it is quicker to
   make. The first four choose among 16 points, which is one shuffle:
     bits of a code   places 0 to 3                                     from place 4 on
     1                the four parities
     2 and 3          the last parity, code bit 1, parities 0 and 1     parity 2 of four, code bit 2
     4                the last parity, code bits 1, 2 and 3             the parities but the last
   In codes of two bits and more the last parity takes the place of code bit 0, because it is this
   bit xor bits of other rows, or this bit alone. So the fields of the first plane need little
   change. */
LLMQ__INLINE int llmq__trellis(const llmq_format *f)
{
    return f->taps[0] ? (int)f->bits + (f->bits > 1 && f->taps[3] ? 3 : 0) : 0;
}
/* Bits of a code, the count of parities, and the taps of parity i: bit `lag` is set if the parity
   takes the lowest code bit of the row at that distance above. */
LLMQ__INLINE uint32_t llmq__trellis_bits(int trellis) { return (uint32_t)(trellis > 4 ? trellis - 3 : trellis); }
LLMQ__INLINE uint32_t llmq__trellis_parities(int trellis) { return trellis == 1 || trellis > 4 ? 4 : 3; }
LLMQ__INLINE uint32_t llmq__trellis_taps(int trellis, uint32_t i)
{
    static const uint16_t taps[8][4] = { { 0 }, { LLMQ__TAPS_T1 }, { LLMQ__TAPS_T2 }, { LLMQ__TAPS_T3 },
                                         { LLMQ__TAPS_T4 }, { LLMQ__TAPS_T2S }, { LLMQ__TAPS_T3S },
                                         { LLMQ__TAPS_T4S } };
    return taps[trellis][i];
}

/* The bit of an index that is at place i of that order. */
LLMQ__INLINE uint32_t llmq__index_bit(int trellis, uint32_t i)
{
    uint32_t bits = llmq__trellis_bits(trellis), parities = llmq__trellis_parities(trellis);
    if (bits == 1) return i;
    if (i == 0) return parities - 1;
    if (bits == 4) return i < 4 ? parities + i - 1 : i - 4;
    return i == 1 ? parities : i <= parities ? i - 2 : i;
}

/* all[0, 128) = the f->n <= 128 points in that order, and zeros after them. */
LLMQ__INLINE void llmq__trellis_points(const llmq_format *f, int trellis, int8_t *all)
{
    uint8_t from[128];
    uint32_t k, i = 0, top = 1;
    LLMQ_MEMSET(all, 0, 128);
    /* from[k] is the index whose bits, put in that order, are k. It is the index of k without its
       highest bit, place i, and the bit that belongs there. */
    for (all[0] = f->points[0], from[0] = 0, k = 1; k < f->n; k++) {
        if (k == 2 * top) top = k, i++;
        from[k] = (uint8_t)(from[k - top] | 1u << llmq__index_bit(trellis, i));
        all[k] = f->points[from[k]];
    }
}
#endif

#if LLMQ_SIMD_DSP || LLMQ_SIMD_MVE || LLMQ_SIMD_RVV
/* Codes that are neighbouring bytes of one plane, in one bit field, and for some formats of a
   second plane. */
typedef struct llmq__field {
    const uint8_t *a, *b; /* code i is (a[i] >> shift & mask) | (b[i] >> b_shift & b_mask) << up */
    uint32_t shift, mask, b_shift, b_mask, up; /* b_mask is 0 if one plane has all bits; then b is a */
} llmq__field;

/* *f = the field that code k of a unit of m codes is in, k < m. Returns how many codes from k on
   are in it: at least one.
   Codes of 3 bits in pairs: two codes make a value of 6 bits, split into planes of 4 and 2 bits.
   The first code is bits 0 to 2 of the first plane. The second is bit 3 of the first plane, and
   above it the two bits of the second plane.
   Precondition: codes of at most 8 bits. */
LLMQ__NOINLINE uint32_t llmq__find_field(llmq__field *f, const llmq__layout *l, const uint8_t *unit, uint32_t m,
                                         uint32_t k)
{
    /* numbers: values in the unit. width: bits of the first plane. rest: bits of the second one.
       upper: code k is the second of a pair. u: bytes of a plane. */
    uint32_t numbers = l->pairs ? (m + 1) / 2 : m, width = llmq__plane_width(l->pairs ? 6 : l->bits),
        rest = l->pairs ? 2 : l->bits - width;
    uint32_t upper = k >= numbers, u = llmq__plane_bytes(numbers, width), n;
    if (upper) k -= numbers;
    f->a = f->b = unit + k % u;
    f->shift = k / u * width + 3 * upper;
    f->mask = l->pairs ? (upper ? 1 : 7) : ((uint32_t)1 << width) - 1;
    f->b_shift = f->b_mask = f->up = 0;
    n = llmq__min(u - k % u, numbers - k);
    if (rest == 0 || (l->pairs && !upper)) return n;
    unit += u;
    u = llmq__plane_bytes(numbers, rest);
    f->b = unit + k % u;
    f->b_shift = k / u * rest;
    f->b_mask = ((uint32_t)1 << rest) - 1;
    f->up = upper ? 1 : width;
    return llmq__min(n, u - k % u);
}
#endif

/* A run of columns that share the scale of the row and the scale of the activation.
   w, x: the index of the group of the row, and of the activation, that the run is in.
   end:  the column after the run. w_end and x_end: the column after each group.
   w_group, x_group: columns of a group. cols: columns of the row. */
typedef struct llmq__run {
    uint32_t w, x, end, w_end, x_end, w_group, x_group, cols;
} llmq__run;

/* The run that begins at column 0. cols is not 0. */
LLMQ__INLINE llmq__run llmq__first_run(const llmq__layout *l, const llmq_activation *x)
{
    llmq__run r;
    r.w = r.x = 0;
    r.w_group = l->group;
    r.x_group = x->group;
    r.cols = x->cols;
    r.w_end = llmq__min(l->group, r.cols);
    r.x_end = llmq__min(x->group, r.cols);
    r.end = llmq__min(r.w_end, r.x_end);
    return r;
}

/* The run that begins at r->end. At the end of the row r->end stays cols, and w and x go beyond the
   last group: they are not used then. */
LLMQ__INLINE void llmq__next_run(llmq__run *r)
{
    uint32_t end = r->end;
    /* The sums cannot wrap: cols is at most 2^24, and so is a group. */
    if (end == r->w_end) r->w++, r->w_end = llmq__min(r->cols, end + r->w_group);
    if (end == r->x_end) r->x++, r->x_end = llmq__min(r->cols, end + r->x_group);
    r->end = llmq__min(r->w_end, r->x_end);
    LLMQ__SCALAR(r->end);
}

/* True if a product of `count` activations decodes rows once into a tile. False if it is faster to
   decode rows for each activation in registers, which it is where points are looked up quickly.
   Measured: with AVX2 and SSSE3 a tile pays from six activations of g2, g4, g8 and v2n16, from four
   of g3 and from three of g5, g6 and v2n64.
   Rows of a trellis are decoded for LLMQ__BATCH activations in either way. */
LLMQ__INLINE int llmq__decode_once(const llmq_format *f, int kind, uint32_t count)
{
    int cheap = kind == LLMQ__KIND_G2 || kind == LLMQ__KIND_G4 || kind == LLMQ__KIND_G8 || kind == LLMQ__KIND_V2N16;
    int dear = kind == LLMQ__KIND_G5 || kind == LLMQ__KIND_G6 || kind == LLMQ__KIND_V2N64;
    return count >= (f->taps[0] ? 2u * LLMQ__BATCH : cheap ? 6u : dear ? 3u : 4u);
}

/* The most columns of 128, 64, 32 and 1 that all runs end at multiples of. The row's last run may
   end anywhere. */
LLMQ__INLINE uint32_t llmq__runs_align(const llmq__layout *l, const llmq_activation *x)
{
    uint32_t both = (l->group < x->cols ? l->group : 0) | (x->group < x->cols ? x->group : 0);
    return both % 128 == 0 ? 128 : both % 64 == 0 ? 64 : both % 32 == 0 ? 32 : 1;
}

#elif LLMQ__SIMD_PART == LLMQ__PART_FLOATS
#undef LLMQ__SIMD_PART

/* ---- 3. Template: kernels on floats -------------------------------------------------------------

   The transform, the quantization of activations, the search for the nearest points, Viterbi's
   algorithm and the products of calibration. Each kernel gives the bits of the scalar function
   llmq__NAME of llmq.h, and its contract is the one of its member in struct llmq_kernels. A kernel
   hands short or odd cases to this function.

   Parameters:
     LLMQ__ISA         the suffix of the kernels, and of the words on floats
     LLMQ__VEC_LANES   1, 4, 8 or 16: floats of a native vector. 1: vectors flush subnormals, so the
                       kernels whose sums may be subnormal are scalar
     LLMQ__RADIX       8 or 16: vectors that the butterflies hold in registers
     LLMQ__MR_VECTORS  4 or 8: rows of sums that add_products holds in registers
     LLMQ__NR_VECTORS  2 or 3: vectors of each of these rows
   Every template checks its parameters, and undefines them at its end. LLMQ__TARGET, the attribute
   of functions, is no parameter: the section of an instruction set defines it for its words and for
   the templates that it includes, and undefines it.

   Words. Each is a function llmq__WORD_SUFFIX. Lanes are in the order of memory, pointers are
   aligned as their type, and float operations round to nearest, ties to even.
   16 floats, f32x16, as one or several vectors:
     load16(const float *p)         p[0, 16)
     store16(float *p, v)           p[0, 16) = v
     set16(float x)                 x in all lanes
     add16(a, b)                    a + b
     sub16(a, b)                    a - b
     mul16(a, b)                    a * b
     from_i8x16(const int8_t *p)    p[0, 16) as floats
     flip16(v, uint32_t bits)       -v_i where bit i is set, else v_i; only the sign bit changes
     sum16(v)                       float: the sum of the lanes in the order of llmq__lane_sum:
                                    halves are added, then quarters, eighths, and the last two lanes
     to_i8x16(int8_t *q, v)         q[0, 16) = v rounded as llmq__round_i8; |v| < 127.5
     min_update(s, k, *min, *code)  in the lanes where s < *min: *min = s and *code = k
     store_u16x16(uint16_t *p, v)   p[0, 16) = v; lanes are whole, 0 <= v < 2^15
     min16(a, b)                    b where b < a, else a
     less16(a, b)                   uint32_t: bit i is set where a_i < b_i; bits 16 and up are 0
     absdiff_min(min, x, y)         |x - y| where that is < min, else min
   16 uint32, u32x16, which may be folded into fewer lanes:
     zero_u32x16()                  zeros
     max_abs16(u32x16 m, f32x16 v)  max(m, bits of |v|)
     max_lane(m)                    uint32_t: the largest lane
   LLMQ__VEC_LANES floats, f32v:
     loadv(const float *p)          p[0, LLMQ__VEC_LANES)
     storev(float *p, v)            p[0, LLMQ__VEC_LANES) = v
     setv(float x)                  x in all lanes
     addv(a, b)                     a + b
     subv(a, b)                     a - b
     mulv(a, b)                     a * b
     maddv(sum, a, b)               sum + a * b, fused or not; the caller knows that a * b is exact
     load_butterfly(p)              loadv(p) after the butterflies at distances below
                                    LLMQ__VEC_LANES
   And where LLMQ__VEC_LANES is 16, for 1 <= n <= 15:
     load_first(const float *p, n)  p[0, n) and zeros; nothing else is read
     store_first(float *p, n, v)    p[0, n) = the first n lanes of v; nothing else is written */

#if !defined(LLMQ__TARGET) || !defined(LLMQ__ISA)
#error "llmq: the template of kernels on floats needs LLMQ__TARGET and LLMQ__ISA"
#endif
#if !defined(LLMQ__VEC_LANES) || \
    (LLMQ__VEC_LANES != 1 && LLMQ__VEC_LANES != 4 && LLMQ__VEC_LANES != 8 && LLMQ__VEC_LANES != 16)
#error "llmq: LLMQ__VEC_LANES is 1, 4, 8 or 16"
#endif
#if !defined(LLMQ__RADIX) || (LLMQ__RADIX != 8 && LLMQ__RADIX != 16)
#error "llmq: LLMQ__RADIX is 8 or 16"
#endif
#if !defined(LLMQ__MR_VECTORS) || (LLMQ__MR_VECTORS != 4 && LLMQ__MR_VECTORS != 8)
#error "llmq: LLMQ__MR_VECTORS is 4 or 8"
#endif
#if !defined(LLMQ__NR_VECTORS) || (LLMQ__NR_VECTORS != 2 && LLMQ__NR_VECTORS != 3)
#error "llmq: LLMQ__NR_VECTORS is 2 or 3"
#endif

#if LLMQ_MAX_STEPS > 0
/* v_j <- -v_j where bit j % 32 of llmq_random(seed, j / 32) is set, j < n. Equals llmq__signs: only
   sign bits change. Any n. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(signs)(float *v, uint32_t n, uint32_t seed)
{
    uint32_t j, bits = 0;
    for (j = 0; j + 16 <= n; j += 16) {
        /* one random word serves two vectors */
        bits = j % 32 ? bits >> 16 : llmq_random(seed, j / 32);
        LLMQ__VEC_F32(store16)(v + j, LLMQ__VEC_F32(flip16)(LLMQ__VEC_F32(load16)(v + j), bits & 0xffffu));
    }
    /* The rest has fewer than 16 elements, so one word serves it, but its bits begin at j % 32. */
    if (j < n) bits = llmq_random(seed, j / 32);
    for (; j < n; j++)
        if (bits >> j % 32 & 1) v[j] = -v[j];
}

/* Butterflies on vectors. B1: a, b <- a + b, a - b. B2 and B3: the same at all distances between 4
   and 8 vectors, in ascending order of distance. pass2 to pass16 below are made of these. */
#define LLMQ__B1(a, b)                                                                                                \
    do {                                                                                                              \
        LLMQ__VEC_F32(f32v) t_ = a;                                                                                   \
        a = LLMQ__VEC_F32(addv)(t_, b);                                                                               \
        b = LLMQ__VEC_F32(subv)(t_, b);                                                                               \
    } while (0)
#define LLMQ__B2(a, b, c, d) do { LLMQ__B1(a, b); LLMQ__B1(c, d); LLMQ__B1(a, c); LLMQ__B1(b, d); } while (0)
#define LLMQ__B3(a, b, c, d, e, f, g, h)                                                                              \
    do {                                                                                                              \
        LLMQ__B2(a, b, c, d); LLMQ__B2(e, f, g, h);                                                                   \
        LLMQ__B1(a, e); LLMQ__B1(b, f); LLMQ__B1(c, g); LLMQ__B1(d, h);                                               \
    } while (0)

/* passR: the butterflies between R vectors that are h floats apart, x[i h, i h + LLMQ__VEC_LANES),
   i < R.
   inside: the vectors are neighbours, and the butterflies within each are done first, as it is
   loaded.
   last:   these are the last butterflies, and each result is multiplied by norm.
   Each element goes through the same additions and subtractions as in llmq__butterflies, at
   distances 1, 2, 4 ... in this order. Butterflies at one distance do not depend on each other, so
   the order of the vectors is free. */
#define LLMQ__LOAD(i) (inside ? LLMQ__VEC_F32(load_butterfly)(x + (i) * h) : LLMQ__VEC_F32(loadv)(x + (i) * h))
#define LLMQ__STORE(i, v) LLMQ__VEC_F32(storev)(x + (i) * h, last ? LLMQ__VEC_F32(mulv)(v, norm) : v)
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pass2)(float *x, size_t h, int inside, int last, LLMQ__VEC_F32(f32v) norm)
{
    LLMQ__VEC_F32(f32v) a = LLMQ__LOAD(0), b = LLMQ__LOAD(1);
    LLMQ__B1(a, b);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b);
}

LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pass4)(float *x, size_t h, int inside, int last, LLMQ__VEC_F32(f32v) norm)
{
    LLMQ__VEC_F32(f32v) a = LLMQ__LOAD(0), b = LLMQ__LOAD(1), c = LLMQ__LOAD(2), d = LLMQ__LOAD(3);
    LLMQ__B2(a, b, c, d);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b); LLMQ__STORE(2, c); LLMQ__STORE(3, d);
}

LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pass8)(float *x, size_t h, int inside, int last, LLMQ__VEC_F32(f32v) norm)
{
    LLMQ__VEC_F32(f32v) a = LLMQ__LOAD(0), b = LLMQ__LOAD(1), c = LLMQ__LOAD(2), d = LLMQ__LOAD(3);
    LLMQ__VEC_F32(f32v) e = LLMQ__LOAD(4), f = LLMQ__LOAD(5), g = LLMQ__LOAD(6), i = LLMQ__LOAD(7);
    LLMQ__B3(a, b, c, d, e, f, g, i);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b); LLMQ__STORE(2, c); LLMQ__STORE(3, d);
    LLMQ__STORE(4, e); LLMQ__STORE(5, f); LLMQ__STORE(6, g); LLMQ__STORE(7, i);
}

#if LLMQ__RADIX == 16
/* Two groups of eight, a to i and j to q, then distance 8 h between them. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pass16)(float *x, size_t h, int inside, int last, LLMQ__VEC_F32(f32v) norm)
{
    LLMQ__VEC_F32(f32v) a = LLMQ__LOAD(0), b = LLMQ__LOAD(1), c = LLMQ__LOAD(2), d = LLMQ__LOAD(3);
    LLMQ__VEC_F32(f32v) e = LLMQ__LOAD(4), f = LLMQ__LOAD(5), g = LLMQ__LOAD(6), i = LLMQ__LOAD(7);
    LLMQ__VEC_F32(f32v) j = LLMQ__LOAD(8), k = LLMQ__LOAD(9), l = LLMQ__LOAD(10), m = LLMQ__LOAD(11);
    LLMQ__VEC_F32(f32v) n = LLMQ__LOAD(12), o = LLMQ__LOAD(13), p = LLMQ__LOAD(14), q = LLMQ__LOAD(15);
    LLMQ__B3(a, b, c, d, e, f, g, i);
    LLMQ__B3(j, k, l, m, n, o, p, q);
    LLMQ__B1(a, j); LLMQ__B1(b, k); LLMQ__B1(c, l); LLMQ__B1(d, m);
    LLMQ__B1(e, n); LLMQ__B1(f, o); LLMQ__B1(g, p); LLMQ__B1(i, q);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b); LLMQ__STORE(2, c); LLMQ__STORE(3, d);
    LLMQ__STORE(4, e); LLMQ__STORE(5, f); LLMQ__STORE(6, g); LLMQ__STORE(7, i);
    LLMQ__STORE(8, j); LLMQ__STORE(9, k); LLMQ__STORE(10, l); LLMQ__STORE(11, m);
    LLMQ__STORE(12, n); LLMQ__STORE(13, o); LLMQ__STORE(14, p); LLMQ__STORE(15, q);
}
#endif

/* All butterflies at distances h, 2 h ... h * radix / 2 of x[0, n). n is a multiple of h * radix,
   and h a multiple of LLMQ__VEC_LANES. One pass reads and writes each element once, whatever the
   radix, so a large radix saves memory traffic. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pass)(float *x, size_t n, size_t h, size_t radix, int inside, int last,
                                                 LLMQ__VEC_F32(f32v) norm)
{
    size_t i, j;
    for (i = 0; i < n; i += h * radix)
        for (j = i; j < i + h; j += LLMQ__VEC_LANES) {
#if LLMQ__RADIX == 16
            if (radix == 16) LLMQ__KERNEL_NAME(pass16)(x + j, h, inside, last, norm);
#endif
            if (radix == 8) LLMQ__KERNEL_NAME(pass8)(x + j, h, inside, last, norm);
            if (radix == 4) LLMQ__KERNEL_NAME(pass4)(x + j, h, inside, last, norm);
            if (radix == 2) LLMQ__KERNEL_NAME(pass2)(x + j, h, inside, last, norm);
        }
}

/* The same with `inside` and `last` as constants, and with the radix if the caller's is one, so
   that each combination becomes a loop of its own. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pass_of)(float *x, size_t n, size_t h, size_t radix,
                                                    LLMQ__VEC_F32(f32v) norm)
{
    if (h == LLMQ__VEC_LANES) { /* the first pass */
        /* A pass of fewer vectors than registers hold is always the last. The first comparison is
           of constants, and tells the compiler so. */
        if (radix < LLMQ__RADIX || h * radix == n) LLMQ__KERNEL_NAME(pass)(x, n, LLMQ__VEC_LANES, radix, 1, 1, norm);
        else LLMQ__KERNEL_NAME(pass)(x, n, LLMQ__VEC_LANES, radix, 1, 0, norm);
    } else {
        if (radix < LLMQ__RADIX || h * radix == n) LLMQ__KERNEL_NAME(pass)(x, n, h, radix, 0, 1, norm);
        else LLMQ__KERNEL_NAME(pass)(x, n, h, radix, 0, 0, norm);
    }
}

/* Butterflies at distances 1, 2, 4 ... n / 2 over x[0, n), then x_j <- x_j * norm. n is a power of
   two. Equals llmq__butterflies: see passR. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(butterflies)(float *x, uint32_t n, float norm)
{
    LLMQ__VEC_F32(f32v) scale = LLMQ__VEC_F32(setv)(norm);
    size_t h, radix;
    /* One vector has no butterflies between vectors, and so no pass to do those within it. */
    if (n < 2 * LLMQ__VEC_LANES) {
        llmq__butterflies(x, n, norm);
        return;
    }
    for (h = LLMQ__VEC_LANES; h < n; h *= radix) {
        /* n / h is a power of two, and so is each radix. */
        radix = n / h < LLMQ__RADIX ? n / h : LLMQ__RADIX;
#if LLMQ__RADIX == 16
        if (radix == 16) LLMQ__KERNEL_NAME(pass_of)(x, n, h, 16, scale);
#endif
        if (radix == 8) LLMQ__KERNEL_NAME(pass_of)(x, n, h, 8, scale);
        if (radix == 4) LLMQ__KERNEL_NAME(pass_of)(x, n, h, 4, scale);
        if (radix == 2) LLMQ__KERNEL_NAME(pass_of)(x, n, h, 2, scale);
    }
}
#undef LLMQ__B1
#undef LLMQ__B2
#undef LLMQ__B3
#undef LLMQ__LOAD
#undef LLMQ__STORE

/* Rows i and i + 1, i even, of the product of the Paley matrix and the m vectors of 16 elements in
   work, which go to y and y + run. Terms are added in the order of columns, as in llmq__paley.
   chi: chi[k] is 1 or -1, the sign of k mod q, for k < 2 q, so that the signs of a row are
   neighbours; then m times 1, for the first row.
   Products with 1 and -1 are exact, so to add them is to add or to subtract; branches would be
   foretold wrongly half of the time.
   paley1: type I, q = m - 1. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(paley1)(uint32_t m, uint32_t q, const float *chi, uint32_t i,
                                                   const float *work, uint32_t run, float *y)
{
    const float *s = i ? chi + i - 1 : chi + 2 * q, *s2 = chi + i;
    LLMQ__VEC_F32(f32x16) a = LLMQ__VEC_F32(load16)(work), b = a, v;
    uint32_t l;
    for (l = 1; l < m; l++) {
        v = LLMQ__VEC_F32(load16)(work + l * 16);
        a = LLMQ__VEC_F32(add16)(a, LLMQ__VEC_F32(mul16)(v, LLMQ__VEC_F32(set16)(s[l - 1])));
        b = LLMQ__VEC_F32(add16)(b, LLMQ__VEC_F32(mul16)(v, LLMQ__VEC_F32(set16)(s2[l - 1])));
    }
    LLMQ__VEC_F32(store16)(y, a);
    LLMQ__VEC_F32(store16)(y + run, b);
}

/* Type II: blocks of 2 x 2, a sign times [[+ +][+ -]] but on the diagonal. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(paley2)(uint32_t m, uint32_t q, const float *chi, uint32_t i,
                                                   const float *work, uint32_t run, float *y)
{
    const float *s = i ? chi + q - i / 2 : chi + 2 * q;
    LLMQ__VEC_F32(f32x16) v = LLMQ__VEC_F32(load16)(work), w = LLMQ__VEC_F32(load16)(work + 16), sign;
    /* Column 0 begins the sums. A change of sign, not 0 - v: that would give 0 for 0 and not -0. */
    LLMQ__VEC_F32(f32x16) a = i ? LLMQ__VEC_F32(add16)(v, w) : LLMQ__VEC_F32(sub16)(v, w);
    LLMQ__VEC_F32(f32x16) b = LLMQ__VEC_F32(sub16)(i ? v : LLMQ__VEC_F32(flip16)(v, 0xffffu), w);
    uint32_t l;
    for (l = 2; l < m; l += 2) {
        v = LLMQ__VEC_F32(load16)(work + l * 16), w = LLMQ__VEC_F32(load16)(work + l * 16 + 16);
        if (l == i) {
            a = LLMQ__VEC_F32(sub16)(LLMQ__VEC_F32(add16)(a, v), w);
            b = LLMQ__VEC_F32(sub16)(LLMQ__VEC_F32(sub16)(b, v), w);
            continue;
        }
        sign = LLMQ__VEC_F32(set16)(s[l / 2]);
        v = LLMQ__VEC_F32(mul16)(v, sign), w = LLMQ__VEC_F32(mul16)(w, sign);
        a = LLMQ__VEC_F32(add16)(LLMQ__VEC_F32(add16)(a, v), w);
        b = LLMQ__VEC_F32(sub16)(LLMQ__VEC_F32(add16)(b, v), w);
    }
    LLMQ__VEC_F32(store16)(y, a);
    LLMQ__VEC_F32(store16)(y + run, b);
}

/* The dense step for 16 positions: y_i = sum of +-x_l over l < m, with the signs of row i of the
   Paley matrix. Position j of vector l is x[l * run + j].
   m, q, squares: as llmq__paley. run >= 16. work: m * 16 floats, written. x must not overlap it.
   Equals llmq__paley: each lane begins with column 0 and adds or subtracts columns 1 ... m - 1 in
   order. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(paley)(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes,
                                                    const uint8_t *squares, float *work)
{
    float chi[3 * LLMQ__MAX_BASE];
    uint32_t i, l;
    /* A stretch of fewer positions, at the end of a run. */
    if (lanes < 16) {
        llmq__paley(x, m, q, run, lanes, squares, work);
        return;
    }
    for (l = 0; l < q; l++) chi[l] = chi[l + q] = squares[l >> 3] >> (l & 7) & 1 ? 1.0f : -1.0f;
    for (l = 0; l < m; l++) chi[l + 2 * q] = 1.0f;
    /* a copy, because results go where the elements came from */
    for (l = 0; l < m; l++) LLMQ__VEC_F32(store16)(work + l * 16, LLMQ__VEC_F32(load16)(x + l * run));
    for (i = 0; i < m; i += 2)
        if (q == m - 1) LLMQ__KERNEL_NAME(paley1)(m, q, chi, i, work, run, x + i * run);
        else LLMQ__KERNEL_NAME(paley2)(m, q, chi, i, work, run, x + i * run);
}
#endif

/* q[0, n) = codes -levels ... levels of x[0, n) with one scale, which is returned. Any n. x and q
   must not overlap.
   Equals llmq__quantize: the maximum does not depend on order, and each code is one product,
   rounded. */
LLMQ__NOINLINE_TARGET float LLMQ__KERNEL_NAME(quantize)(const float *x, uint32_t n, float levels, int8_t *q)
{
    LLMQ__VEC_F32(u32x16) m = LLMQ__VEC_F32(zero_u32x16)();
    LLMQ__VEC_F32(f32x16) scale;
    uint32_t i, most, bits;
    float inverse;
    /* Bits of magnitudes compare as integers as the magnitudes do, and NaN is above infinity. */
    for (i = 0; i + 16 <= n; i += 16) m = LLMQ__VEC_F32(max_abs16)(m, LLMQ__VEC_F32(load16)(x + i));
    for (most = LLMQ__VEC_F32(max_lane)(m); i < n; i++) {
        bits = llmq__float_bits(x[i]) & 0x7fffffffu;
        if (bits > most) most = bits;
    }
    /* The group is zero, or it holds a NaN or an infinity. */
    if (!llmq__quantizable(most)) {
        LLMQ_MEMSET(q, 0, n);
        return llmq__no_scale(most);
    }
    inverse = levels / llmq__bits_float(most);
    /* A subnormal factor: the vectors of 32-bit NEON would take it for 0. The bound is the least
       normal float, 2^-126. */
    /* check: f32bits(1.17549435e-38f) == f32bits(2^-126) */
    if (inverse < 1.17549435e-38f) return llmq__quantize(x, n, levels, q);
    scale = LLMQ__VEC_F32(set16)(inverse);
    for (i = 0; i + 16 <= n; i += 16)
        LLMQ__VEC_F32(to_i8x16)(q + i, LLMQ__VEC_F32(mul16)(LLMQ__VEC_F32(load16)(x + i), scale));
    for (; i < n; i++) q[i] = llmq__round_i8(x[i] * inverse);
    return llmq__bits_float(most) / levels;
}

/* out[0, n) += scale * v[0, n). Any n. The arrays do not overlap.
   Equals llmq__add_scaled: the product is rounded, then the sum. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(add_scaled)(float *out, float scale, const float *v, uint32_t n)
{
    LLMQ__NO_CONTRACT
    LLMQ__VEC_F32(f32x16) s = LLMQ__VEC_F32(set16)(scale);
    uint32_t i;
    for (i = 0; i + 16 <= n; i += 16)
        LLMQ__VEC_F32(store16)(out + i, LLMQ__VEC_F32(add16)(LLMQ__VEC_F32(load16)(out + i),
                                                             LLMQ__VEC_F32(mul16)(s, LLMQ__VEC_F32(load16)(v + i))));
    for (; i < n; i++) out[i] += scale * v[i];
}

#if !LLMQ_NO_CALIBRATION
/* Sets with masks do rows shorter than a vector too: `part` loads and stores the first n lanes. */
#if LLMQ__VEC_LANES == 16
#define LLMQ__LOAD(p) (part ? LLMQ__VEC_F32(load_first)(p, n) : LLMQ__VEC_F32(loadv)(p))
#define LLMQ__STORE(p, x)                                                                                             \
    do {                                                                                                              \
        if (part) LLMQ__VEC_F32(store_first)(p, n, x);                                                                \
        else LLMQ__VEC_F32(storev)(p, x);                                                                             \
    } while (0)
#else
#define LLMQ__LOAD(p) LLMQ__VEC_F32(loadv)(p)
#define LLMQ__STORE(p, x) LLMQ__VEC_F32(storev)(p, x)
#endif

/* Columns [k, k + n) of add_products for LLMQ__MR_VECTORS rows. The sums of `across` = 1, 2 or 3
   vectors a row stay in registers while t runs over the count products.
   across: n is above (across - 1) * LLMQ__VEC_LANES and at most across * LLMQ__VEC_LANES. The last
   vector ends at k + n. If it overlaps the vector before it, both compute the same sums for the
   elements they share. All sums are loaded before any is stored, so storing both is right.
   part:   across is 1 and n < LLMQ__VEC_LANES. Otherwise n >= LLMQ__VEC_LANES.
   Equals llmq__add_products: each sum adds its products in the order of t. A product is exact, so
   that it makes no difference whether maddv rounds it. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add_tile)(float *const *out, const float *const *a, size_t a_step,
                                                     const float *v, size_t v_stride, uint32_t count, uint32_t k,
                                                     uint32_t n, uint32_t across, int part)
{
    LLMQ__VEC_F32(f32v) s[LLMQ__MR_VECTORS], t[LLMQ__MR_VECTORS], u[LLMQ__MR_VECTORS], w, x, y, f;
    const float *from[LLMQ__MR_VECTORS];
    size_t step = 0, last = part ? k : k + n - LLMQ__VEC_LANES, next = across == 2 ? last : k + LLMQ__VEC_LANES;
    uint32_t i;
    /* unused vectors are copies, which the compiler drops as `across` is a constant */
    LLMQ__UNROLL(8) for (i = 0; i < LLMQ__MR_VECTORS; i++) {
        from[i] = a[i];
        s[i] = LLMQ__LOAD(out[i] + k);
        t[i] = across > 1 ? LLMQ__VEC_F32(loadv)(out[i] + next) : s[i];
        u[i] = across > 2 ? LLMQ__VEC_F32(loadv)(out[i] + last) : s[i];
    }
    for (; count; count--, v += v_stride, step += a_step) {
        w = LLMQ__LOAD(v + k);
        x = across > 1 ? LLMQ__VEC_F32(loadv)(v + next) : w;
        y = across > 2 ? LLMQ__VEC_F32(loadv)(v + last) : w;
        LLMQ__UNROLL(8) for (i = 0; i < LLMQ__MR_VECTORS; i++) {
            f = LLMQ__VEC_F32(setv)(from[i][step]);
            s[i] = LLMQ__VEC_F32(maddv)(s[i], f, w);
            if (across > 1) t[i] = LLMQ__VEC_F32(maddv)(t[i], f, x);
            if (across > 2) u[i] = LLMQ__VEC_F32(maddv)(u[i], f, y);
        }
    }
    LLMQ__UNROLL(8) for (i = 0; i < LLMQ__MR_VECTORS; i++) {
        LLMQ__STORE(out[i] + k, s[i]);
        if (across > 1) LLMQ__VEC_F32(storev)(out[i] + next, t[i]);
        if (across > 2) LLMQ__VEC_F32(storev)(out[i] + last, u[i]);
    }
}

/* The same for a single row: columns [0, n), LLMQ__VEC_LANES <= n <= 8 * LLMQ__VEC_LANES, in eight
   vectors that end at n at the latest. With a short n several of them are the last vector, with the
   same sums. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add_line)(float *out, const float *a, size_t a_step, const float *v,
                                                     size_t v_stride, uint32_t count, uint32_t n)
{
    LLMQ__VEC_F32(f32v) s[8], f;
    size_t at[8];
    uint32_t i;
    LLMQ__UNROLL(8) for (i = 0; i < 8; i++) {
        at[i] = llmq__min(i * LLMQ__VEC_LANES, n - LLMQ__VEC_LANES);
        s[i] = LLMQ__VEC_F32(loadv)(out + at[i]);
    }
    for (; count; count--, v += v_stride, a += a_step) {
        f = LLMQ__VEC_F32(setv)(*a);
        LLMQ__UNROLL(8) for (i = 0; i < 8; i++) s[i] = LLMQ__VEC_F32(maddv)(s[i], f, LLMQ__VEC_F32(loadv)(v + at[i]));
    }
    LLMQ__UNROLL(8) for (i = 0; i < 8; i++) LLMQ__VEC_F32(storev)(out + at[i], s[i]);
}

/* Columns [0, n) for LLMQ__MR_VECTORS rows, in tiles of LLMQ__NR_VECTORS vectors a row. If the
   count of vectors is not a multiple of LLMQ__NR_VECTORS, narrower tiles come first. So the last
   tile, which may end in overlapping vectors, has at least two, unless the row has only one.
   Precondition: n >= LLMQ__VEC_LANES, or LLMQ__VEC_LANES is 16. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add_strip)(float *const *out, const float *const *a, size_t a_step,
                                                      const float *v, size_t v_stride, uint32_t count, uint32_t n)
{
    uint32_t k, across, width, vectors = llmq__ceil_div(n, LLMQ__VEC_LANES);
    for (k = 0; k < n; k += width, vectors -= across) {
        across = vectors % LLMQ__NR_VECTORS == 0 ? LLMQ__NR_VECTORS : vectors == 1 ? 1 : LLMQ__NR_VECTORS - 1;
        width = llmq__min(n - k, across * LLMQ__VEC_LANES);
#if LLMQ__VEC_LANES == 16
        if (width < LLMQ__VEC_LANES) LLMQ__KERNEL_NAME(add_tile)(out, a, a_step, v, v_stride, count, k, width, 1, 1);
        else
#endif
        if (across == 1) LLMQ__KERNEL_NAME(add_tile)(out, a, a_step, v, v_stride, count, k, width, 1, 0);
        else if (across == 2) LLMQ__KERNEL_NAME(add_tile)(out, a, a_step, v, v_stride, count, k, width, 2, 0);
#if LLMQ__NR_VECTORS == 3
        else LLMQ__KERNEL_NAME(add_tile)(out, a, a_step, v, v_stride, count, k, width, 3, 0);
#endif
    }
}

/* out[i][k] += a[i][t * a_step] * v[t * v_stride + k] for i < rows <= 8, k < n, and t < count in
   this order. The rows of out do not overlap each other, a or v.
   Equals llmq__add_products: see add_tile. Where rows are missing to LLMQ__MR_VECTORS, the last one
   is done again, with the same sums: its old values are loaded before the new ones are stored. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(add_products)(float *const *out, const float *const *a, size_t a_step,
                                                           const float *v, size_t v_stride, uint32_t rows,
                                                           uint32_t count, uint32_t n)
{
    float *to[LLMQ__MR_VECTORS];
    const float *from[LLMQ__MR_VECTORS];
    uint32_t i, l, k, width;
    /* less than a vector, and no masks */
    if (n < LLMQ__VEC_LANES && LLMQ__VEC_LANES < 16) {
        llmq__add_products(out, a, a_step, v, v_stride, rows, count, n);
        return;
    }
    /* A single row would leave most registers of a tile idle. It is cut into equal pieces of up to
       eight vectors: the last piece of a cut by eight might be less than one vector. */
    if (rows == 1 && n >= LLMQ__VEC_LANES) {
        for (k = 0; k < n; k += width) {
            width = (n - k) / llmq__ceil_div(n - k, 8 * LLMQ__VEC_LANES);
            LLMQ__KERNEL_NAME(add_line)(out[0] + k, a[0], a_step, v + k, v_stride, count, width);
        }
        return;
    }
    for (i = 0; i < rows; i += LLMQ__MR_VECTORS) {
        for (l = 0; l < LLMQ__MR_VECTORS; l++) {
            to[l] = out[llmq__min(i + l, rows - 1)];
            from[l] = a[llmq__min(i + l, rows - 1)];
            /* Each tile has a few of these cache lines of 64 bytes. Prefetched here, they come all
               at once. */
            for (k = 0; k < n; k += 16) LLMQ__PREFETCH(to[l] + k);
        }
        LLMQ__KERNEL_NAME(add_strip)(to, from, a_step, v, v_stride, count, n);
    }
}
#undef LLMQ__LOAD
#undef LLMQ__STORE
#endif

/* Squares of distances may be subnormal, so vectors that flush subnormals are of no use here. */
#if !LLMQ_NO_ENCODER && LLMQ__VEC_LANES == 1
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(nearest_codes)(const float *points, uint32_t n, uint32_t p, const float *x,
                                                            float inverse, uint32_t count, uint16_t *code)
{
    llmq__nearest_codes(points, n, p, x, inverse, count, code);
}
#elif !LLMQ_NO_ENCODER
/* code[0, count) = the nearest of n points, p <= 8 coordinates each, to vectors x * inverse. The
   vectors are neighbours, x[0, count * p). Any count.
   Equals llmq__nearest_codes: each sum of squares adds the coordinates in order, and points are
   tried by ascending code and kept only where the sum is less. So of equal sums the lowest code
   wins, as there. A sum must be below LLMQ__FAR, or code 0 stays.
   All points are tried for 16 vectors at a time. This beats the scalar search, which tries few
   points, on grids that are not large: a point costs 16 vectors the time that it costs
   16 / LLMQ__VEC_LANES of them in scalar code. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(nearest_codes)(const float *points, uint32_t n, uint32_t p, const float *x,
                                                            float inverse, uint32_t count, uint16_t *code)
{
    float y[8 * 16];
    uint32_t i, k, c, l;
    /* n <= 512 and below 2^15, so codes are exact as floats, and store_u16x16 takes them. */
    for (i = 0; i + 16 <= count && n <= 32 * LLMQ__VEC_LANES; i += 16, x += (size_t)16 * p) {
        LLMQ__VEC_F32(f32x16) least = LLMQ__VEC_F32(set16)(LLMQ__FAR), best = LLMQ__VEC_F32(set16)(0.0f);
        /* y[k][l]: coordinate k of vector l */
        for (l = 0; l < 16; l++)
            for (k = 0; k < p; k++) y[k * 16 + l] = x[l * p + k] * inverse;
        for (c = 0; c < n; c++) {
            const float *at = points + (size_t)c * p;
            LLMQ__VEC_F32(f32x16) d = LLMQ__VEC_F32(sub16)(LLMQ__VEC_F32(load16)(y), LLMQ__VEC_F32(set16)(at[0])),
                sum = LLMQ__VEC_F32(mul16)(d, d);
            for (k = 1; k < p; k++) {
                d = LLMQ__VEC_F32(sub16)(LLMQ__VEC_F32(load16)(y + k * 16), LLMQ__VEC_F32(set16)(at[k]));
                sum = LLMQ__VEC_F32(add16)(sum, LLMQ__VEC_F32(mul16)(d, d));
            }
            LLMQ__VEC_F32(min_update)(sum, LLMQ__VEC_F32(set16)((float)c), &least, &best);
        }
        LLMQ__VEC_F32(store_u16x16)(code + i, best);
    }
    llmq__nearest_codes(points, n, p, x, inverse, count - i, code + i);
}
#endif

#if !LLMQ_NO_ENCODER && LLMQ__ANY_TRELLIS && LLMQ__VEC_LANES == 1
/* The same for costs. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(viterbi)(const float *points, const uint8_t *parity, uint32_t set_size,
                                                      uint32_t sets, uint32_t states, const float *x, uint32_t steps,
                                                      uint32_t lanes, float *sum, uint16_t *choice)
{
    llmq__viterbi(points, parity, set_size, sets, states, x, steps, lanes, sum, choice);
}
#elif !LLMQ_NO_ENCODER && LLMQ__ANY_TRELLIS
/* cost[set][16] of one step for 16 sequences: the least (x - point)^2 over points set, set + sets
   ... below set_size * sets, at most LLMQ__FAR. x[0, 16): the elements of the step.
   The scalar code takes the least square, this one the square of the least distance. They are the
   same, because the rounding of a square is monotonic in the distance. A NaN is never less, so its
   cost is LLMQ__FAR in both. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(set_costs)(const float *points, uint32_t set_size, uint32_t sets,
                                                      const float *x, float *cost)
{
    LLMQ__VEC_F32(f32x16) v = LLMQ__VEC_F32(load16)(x), most = LLMQ__VEC_F32(set16)(LLMQ__FAR), d;
    uint32_t s, k;
    for (s = 0; s < sets; s++, cost += 16) {
        for (d = most, k = s; k < set_size * sets; k += sets)
            d = LLMQ__VEC_F32(absdiff_min)(d, v, LLMQ__VEC_F32(set16)(points[k]));
        LLMQ__VEC_F32(store16)(cost, LLMQ__VEC_F32(min16)(most, LLMQ__VEC_F32(mul16)(d, d)));
    }
}

/* One new state of 16 sequences from two old ones, whose sums are a and b: to[0, 16) = the smaller
   of a + a_cost and b + b_cost. Bit i of *choice is set where b gave it. The first wins if they are
   equal. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(step_to)(LLMQ__VEC_F32(f32x16) a, LLMQ__VEC_F32(f32x16) b,
                                                    const float *a_cost, const float *b_cost, float *to,
                                                    uint16_t *choice)
{
    LLMQ__VEC_F32(f32x16) u = LLMQ__VEC_F32(add16)(a, LLMQ__VEC_F32(load16)(a_cost)),
        v = LLMQ__VEC_F32(add16)(b, LLMQ__VEC_F32(load16)(b_cost));
    *choice = (uint16_t)LLMQ__VEC_F32(less16)(v, u);
    LLMQ__VEC_F32(store16)(to, LLMQ__VEC_F32(min16)(u, v));
}

/* Viterbi's algorithm for up to 16 sequences of `steps` elements, x[step][16]. See struct
   llmq_kernels for the shapes: sum has 16 * (2 * states + sets) floats, and parity 2 * states
   bytes.
   Equals llmq__viterbi: each new state is the smaller of the same two sums. All 16 lanes are
   computed, also those that are not in use.
   The scalar code goes through new states q, which come from q / 2 and q / 2 + states / 2. Here old
   states i and i + states / 2 are loaded once for the new states 2 i and 2 i + 1 that both lead to.
   They lead to no others. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(viterbi)(const float *points, const uint8_t *parity, uint32_t set_size,
                                                      uint32_t sets, uint32_t states, const float *x, uint32_t steps,
                                                      uint32_t lanes, float *sum, uint16_t *choice)
{
    size_t half = states / 2, i;
    float *from = sum, *to = sum + 16 * (size_t)states, *cost = sum + 32 * (size_t)states, *other;
    const uint8_t *above = parity + states;
    uint32_t t;
    (void)lanes;
    for (t = 0; t < steps; t++, choice += states) {
        LLMQ__KERNEL_NAME(set_costs)(points, set_size, sets, x + 16 * (size_t)t, cost);
        for (i = 0; i < half; i++) {
            LLMQ__VEC_F32(f32x16) a = LLMQ__VEC_F32(load16)(from + 16 * i),
                b = LLMQ__VEC_F32(load16)(from + 16 * (half + i));
            const size_t q = 2 * i;
            LLMQ__KERNEL_NAME(step_to)(a, b, cost + 16 * (size_t)parity[q], cost + 16 * (size_t)above[q], to + 16 * q,
                                       choice + q);
            LLMQ__KERNEL_NAME(step_to)(a, b, cost + 16 * (size_t)parity[q + 1], cost + 16 * (size_t)above[q + 1],
                                       to + 16 * q + 16, choice + q + 1);
        }
        other = from, from = to, to = other;
    }
    /* The result belongs in sum[0, 16 * states). After an odd number of steps it is in the other
       half. */
    if (steps % 2) LLMQ_MEMCPY(sum, from, 16 * (size_t)states * sizeof *sum);
}
#endif

#undef LLMQ__ISA
#undef LLMQ__VEC_LANES
#undef LLMQ__RADIX
#undef LLMQ__MR_VECTORS
#undef LLMQ__NR_VECTORS

#elif LLMQ__SIMD_PART == LLMQ__PART_CODES
#undef LLMQ__SIMD_PART

/* ---- 4. Template: kernels on codes --------------------------------------------------------------

   Decoding of rows, products with int8 activations, and products with floats. The contracts are
   the ones of read_row, add_rows, rows_i8 and rows_f32 in struct llmq_kernels, and the results are
   the bits of the scalar functions of the same names in llmq.h: sums of integers are exact in any
   order, and floats are added in the order of the scalar code.
   A chunk is the 32 codes of a whole unit that are 32 neighbouring bytes of a plane, in one bit
   field: codes 32 c ... 32 c + 31. Coded points are points in the form that dot() takes.

   Parameters:
     LLMQ__ISA           the suffix of the kernels, and of the words on points and their products
     LLMQ__DECODED       0: kernels that decode are made here, of words on floats and on bytes with
                            the suffix LLMQ__ISA
                         1: these kernels and the words on bytes are shared with another set, whose
                            dot() differs
     LLMQ__CODES         the suffix of that set. Only where LLMQ__DECODED is 1
     LLMQ__RAW           1: there are words from_f16x16 and from_bf16x16, and load16 takes any
                            address. 0: there are not. Only where LLMQ__DECODED is 0
     LLMQ__QUADS         the suffix of the words on four sums
     LLMQ__LEAST         (-128) or (-127): the least point that dot() takes. It is -127 where dot()
                         moves the sign of an activation to the point, as int8
     LLMQ__VECTOR_BYTES  16u or 32u: bytes of a vector of the part BLOCKS, which has
                         LLMQ__VECTOR_BYTES / 4 lanes
     LLMQ__OFFSET        1: dot() takes points, and dot4() of the blocks takes activations, with 128
                            added, as unsigned bytes. 0: both are signed
     LLMQ__WHOLE         1: some formats have a second loop for runs that end where units end
                         0: there is none, because the set has other kernels for these runs

   Words: the words on floats, and more. They come in groups that instruction sets can share.
   32 bytes, u8x32:
     load_u8(const void *p)         p[0, 32)
     store_u8(void *p, v)           p[0, 32) = v
     or_u8(a, b)                    a | b
     xor_u8(a, b)                   a ^ b
     field(v, s, int mask)          v >> s & mask; 0 <= s <= 7, mask <= 255 >> s
     shift_left(v, s)               v << s; 0 <= s <= 7, all bytes of v are below 256 >> s
     choose(a, b, v, i)             b where bit i of v is set, else a; 0 <= i <= 7
     load_halves(p, s, d, mask)     16 bytes at p, >> s in the lower half and >> s + d in the upper
                                    half, & mask; s + d <= 7, mask <= 255 >> (s + d)
     store_pairs(int8_t *p, a, b)   p[0, 64) = a0 b0 a1 b1 ...
     from_f16x16(const uint8_t *p)  f32x16 of 16 binary16; see LLMQ__RAW
     from_bf16x16(const uint8_t *p) f32x16 of 16 bfloat16
   Points of one coordinate, point_table, 64 of them, plain or coded:
     point_table_of(const int8_t *) the 64 points there, plain
     coded(table)                   the same points, coded; only with LLMQ__OFFSET
     lut16(const table *, v)        points v, of v below 16
     lut32(const table *, v)        points v, of v below 32
     lut64(const table *, v)        points v, of v below 64
     lutk(const table *, k, v)      points 16 k + v, of v below 16; k is a constant 0 ... 3. Only
                                    where LLMQ__DECODED is 0, as point_table_of
     to_i8(v)                       int8 of coded points; with LLMQ__OFFSET also the other way
     coded_g8(v)                    coded points of the codes of g8, max(code - 128, -127)
   Products: act32 is 32 int8 activations, -127 ... 127, ready for dot(); i32sums is int32 sums:
     load_act(const int8_t *p)      act32: p[0, 32)
     load_act2(p, *even, *odd)      act32: the even and the odd elements of p[0, 64)
     zero_sums()                    zeros
     dot(sums, w, act32)            adds 32 products; which lane has which products is free
     bias(sums, act32)              adds the amount that dot() adds too much; nothing if it does not
     load_act_any(const int8_t *p)  act_any: 32 activations, ready for any int8 points
     dot_any(sums, w, act_any)      as dot(), w plain and -128 ... 127
     bias_any(sums, act_any)        as bias()
     sum4(a, b, c, d, bias)         i32x4: the sums of the lanes of a - bias, b - bias, c - bias and
                                    d - bias
   Four sums, i32x4 and f32x4:
     zero_i32x4()                   zeros
     add_i32x4(a, b)                a + b
     to_f32x4(i32x4)                f32x4; exact, because sums are below 2^24
     set4(float x)                  x in all lanes
     add4(a, b)                     a + b
     mul4(a, b)                     a * b
     load_i32x4(const int32_t *p)   p[0, 4)
     store_i32x4(int32_t *p, v)     p[0, 4) = v
     load_f32x4(const float *p)     p[0, 4)
     store_f32x4(float *p, v)       p[0, 4) = v
     load_bf16x4(p0, p1, p2, p3)    f32x4: the bfloat16 at each of four const uint8_t pointers
   And the words for blocks that the head of the part BLOCKS lists. */

#if !defined(LLMQ__TARGET) || !defined(LLMQ__ISA) || !defined(LLMQ__QUADS)
#error "llmq: the template of kernels on codes needs LLMQ__TARGET, LLMQ__ISA and LLMQ__QUADS"
#endif
#if !defined(LLMQ__DECODED) || (LLMQ__DECODED != 0 && LLMQ__DECODED != 1)
#error "llmq: LLMQ__DECODED is 0 or 1"
#elif LLMQ__DECODED
#if !defined(LLMQ__CODES) || defined(LLMQ__RAW)
#error "llmq: where LLMQ__DECODED is 1, there is LLMQ__CODES and no LLMQ__RAW"
#endif
#elif defined(LLMQ__CODES) || !defined(LLMQ__RAW) || (LLMQ__RAW != 0 && LLMQ__RAW != 1)
#error "llmq: where LLMQ__DECODED is 0, there is no LLMQ__CODES, and LLMQ__RAW is 0 or 1"
#else
#define LLMQ__CODES LLMQ__ISA
#endif
#if !defined(LLMQ__LEAST) || (LLMQ__LEAST != -128 && LLMQ__LEAST != -127)
#error "llmq: LLMQ__LEAST is (-128) or (-127)"
#endif
#if !defined(LLMQ__VECTOR_BYTES) || (LLMQ__VECTOR_BYTES != 16 && LLMQ__VECTOR_BYTES != 32)
#error "llmq: LLMQ__VECTOR_BYTES is 16u or 32u"
#endif
#if !defined(LLMQ__OFFSET) || (LLMQ__OFFSET != 0 && LLMQ__OFFSET != 1)
#error "llmq: LLMQ__OFFSET is 0 or 1"
#endif
#if !defined(LLMQ__WHOLE) || (LLMQ__WHOLE != 0 && LLMQ__WHOLE != 1)
#error "llmq: LLMQ__WHOLE is 0 or 1"
#endif
#define LLMQ__DOTS LLMQ__ISA

/* The points of a format as tables, and how a kernel recognizes the format. */
#if !LLMQ__DECODED
typedef struct {
    int kind;    /* LLMQ__KIND_... */
    int trellis; /* llmq__trellis: 0 is none */
    LLMQ__DOT(point_table) x, y; /* first and second coordinates; of a trellis points 0 ... 63 and 64 ... 127 */
} LLMQ__KERNEL_NAME(grid);

/* *g = the plain points of f. least: a format with a smaller point is LLMQ__KIND_OTHER. Points of
   OTHER and G8 are not looked up in tables, and these hold zeros.
   Precondition: the points of a trellis are not smaller than LLMQ__LEAST of any set. Nothing checks
   it here. The points of the built-in trellises are -127 ... 127. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(grid_of)(const llmq_format *f, int least, LLMQ__KERNEL_NAME(grid) *g)
{
    int8_t all[64], one[64];
    uint32_t i, n = (uint32_t)1 << f->bits;
    g->kind = llmq__kind(f, least);
    g->trellis = 0;
#if LLMQ__ANY_TRELLIS
    g->trellis = llmq__trellis(f);
    if (g->trellis) {
        int8_t points[128];
        llmq__trellis_points(f, g->trellis, points);
        g->x = LLMQ__DOT(point_table_of)(points);
        g->y = LLMQ__DOT(point_table_of)(points + 64);
        return;
    }
#endif
    if (g->kind == LLMQ__KIND_OTHER || g->kind == LLMQ__KIND_G8) {
        LLMQ_MEMSET(all, 0, sizeof all); /* nothing is looked up there */
        g->x = g->y = LLMQ__DOT(point_table_of)(all);
    } else if (f->p == 1) {
        llmq__repeat(f->points, n, all);
        g->x = g->y = LLMQ__DOT(point_table_of)(all);
    } else {
        for (i = 0; i < n; i++) one[i] = f->points[2 * i];
        llmq__repeat(one, n, all);
        g->x = LLMQ__DOT(point_table_of)(all);
        for (i = 0; i < n; i++) one[i] = f->points[2 * i + 1];
        llmq__repeat(one, n, all);
        g->y = LLMQ__DOT(point_table_of)(all);
    }
}
#endif

/* The codes of chunk c of a whole unit, c < 4, for codes of 2, 4, 5 and 6 bits. Reads the unit
   only.
   2 bits: a plane of 32 bytes. The chunk is at bit 2 c of them.
   4 bits and more: a plane of 64 bytes. The chunk is at bit 4 (c / 2) of its half c mod 2.
   5 bits: a second plane of 16 bytes. The first 16 codes are bit 2 c of them, the others the next
   bit.
   6 bits: a second plane of 32 bytes, like the plane of 2 bits. */
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(index)(uint32_t bits, const uint8_t *unit, uint32_t c)
{
    LLMQ__VEC_U8(u8x32) v;
    if (bits == 2) return LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit), 2 * c, 3);
    v = LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit + 32 * (c & 1)), 4 * (c >> 1), 15);
    if (bits == 5)
        /* check: 128 * 4 / 8 == 64 */
        v = LLMQ__VEC_U8(or_u8)(v, LLMQ__VEC_U8(shift_left)(LLMQ__VEC_U8(load_halves)(unit + 64, 2 * c, 1, 1), 4));
    if (bits == 6)
        v = LLMQ__VEC_U8(or_u8)(v, LLMQ__VEC_U8(shift_left)(
                                       LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit + 64), 2 * c, 3), 4));
    return v;
}

/* Coded points of the codes v, by the shuffles that the kind needs: 32 points, 64, or at most
   16. */
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(lut)(int kind, const LLMQ__DOT(point_table) *t,
                                                               LLMQ__VEC_U8(u8x32) v)
{
    if (kind == LLMQ__KIND_G5) return LLMQ__DOT(lut32)(t, v);
    if (kind == LLMQ__KIND_G6 || kind == LLMQ__KIND_V2N64) return LLMQ__DOT(lut64)(t, v);
    return LLMQ__DOT(lut16)(t, v);
}

/* Coded points of chunk c of a whole unit, c < 4, for points of one coordinate. Reads the unit
   only.
   Codes of 3 bits are pairs. Chunks 0 and 1 are bits 0 to 2 of the nibbles of the first plane, 32
   bytes. Chunks 2 and 3 are the upper codes of the pairs: bit 3 of the nibbles, and above it the
   two bits of the second plane, 16 bytes, where 16 codes are at bit 4 (c - 2) and 16 two bits
   on. */
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(chunk)(int kind, const LLMQ__C(grid) *g, const uint8_t *unit,
                                                                 uint32_t c)
{
    if (kind == LLMQ__KIND_G8) return LLMQ__DOT(coded_g8)(LLMQ__VEC_U8(load_u8)(unit + 32 * c));
    if (kind == LLMQ__KIND_G3 && c < 2)
        return LLMQ__DOT(lut16)(&g->x, LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit), 4 * c, 7));
    if (kind == LLMQ__KIND_G3)
        return LLMQ__DOT(lut16)(
            &g->x, LLMQ__VEC_U8(or_u8)(
                       LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit), 4 * (c - 2) + 3, 1),
                       /* check: 64 * 4 / 8 == 32 */
                       LLMQ__VEC_U8(shift_left)(LLMQ__VEC_U8(load_halves)(unit + 32, 4 * (c - 2), 2, 3), 1)));
    return LLMQ__KERNEL_NAME(lut)(kind, &g->x, LLMQ__KERNEL_NAME(index)(llmq__kind_bits(kind), unit, c));
}

#if !LLMQ__DECODED
/* code[0, m) = the low 8 bits of the m <= 128 codes of a unit, above[0, m) = their bits from 8 on,
   if bits > 8. Both have space for 192, which are written as whole vectors: the most is a plane of
   one bit, 16 bytes, whose last field begins at 7 * 16. Reads the bytes of the unit only.
   Each plane is split into its fields. Fields are written in ascending order, each over the bytes
   that the one before wrote too many. */
/* check: 7 * 16 + 32 <= 192 */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(unpack)(const uint8_t *unit, uint32_t bits, uint32_t m, uint8_t *code,
                                                     uint8_t *above)
{
    /* in: a copy of a plane, at most 128 bytes, so that whole vectors may be read. more: a plane
       whose bits are not the lowest of a code. They are moved up by the second loop below. */
    uint8_t in[160], more[192];
    uint32_t done, width, u, f, i, numbers = bits == 3 ? (m + 1) / 2 : m, all = bits == 3 ? 6 : bits;
    for (done = 0; done < all; done += width, unit += u) {
        uint8_t *to = done == 0 ? code : done == 8 ? above : more, *base = done < 8 ? code : above;
        width = llmq__plane_width(all - done);
        u = llmq__plane_bytes(numbers, width);
        LLMQ_MEMCPY(in, unit, u);
        for (f = 0; f < 8 / width; f++)
            for (i = 0; i < u; i += 32)
                LLMQ__VEC_U8(store_u8)(to + f * u + i,
                                       LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(in + i), f * width, (1 << width) - 1));
        /* `done` bits of each code are there already. */
        for (i = 0; i < numbers && to == more; i += 32)
            LLMQ__VEC_U8(store_u8)(base + i, LLMQ__VEC_U8(or_u8)(
                                                 LLMQ__VEC_U8(load_u8)(base + i),
                                                 LLMQ__VEC_U8(shift_left)(LLMQ__VEC_U8(load_u8)(more + i), done % 8)));
    }
    /* Pairs: values of 6 bits, of which code k is the low half and code numbers + k the high
       half. */
    if (bits != 3) return;
    LLMQ_MEMCPY(more, code, 64);
    for (i = 0; i < numbers; i += 32)
        LLMQ__VEC_U8(store_u8)(code + i, LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(more + i), 0, 7));
    for (i = 0; i < numbers; i += 32)
        LLMQ__VEC_U8(store_u8)(code + numbers + i, LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(more + i), 3, 7));
}

/* e = points of chunks [c, end) of a whole unit, for points of one coordinate: 32 columns each. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(chunks_of)(int kind, const LLMQ__KERNEL_NAME(grid) *g, const uint8_t *unit,
                                                      uint32_t c, uint32_t end, int8_t *e)
{
    /* constants make shifts immediate */
    if (c == 0 && end == 4) {
        LLMQ__VEC_U8(store_u8)(e, LLMQ__KERNEL_NAME(chunk)(kind, g, unit, 0));
        LLMQ__VEC_U8(store_u8)(e + 32, LLMQ__KERNEL_NAME(chunk)(kind, g, unit, 1));
        LLMQ__VEC_U8(store_u8)(e + 64, LLMQ__KERNEL_NAME(chunk)(kind, g, unit, 2));
        LLMQ__VEC_U8(store_u8)(e + 96, LLMQ__KERNEL_NAME(chunk)(kind, g, unit, 3));
        return;
    }
    for (; c < end; c++, e += 32) LLMQ__VEC_U8(store_u8)(e, LLMQ__KERNEL_NAME(chunk)(kind, g, unit, c));
}

/* The same for points of two coordinates: 64 columns each. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(pairs_of)(int kind, const LLMQ__KERNEL_NAME(grid) *g, const uint8_t *unit,
                                                     uint32_t c, uint32_t end, int8_t *e)
{
    for (; c < end; c++, e += 64) {
        LLMQ__VEC_U8(u8x32) v = LLMQ__KERNEL_NAME(index)(llmq__kind_bits(kind), unit, c);
        LLMQ__VEC_U8(store_pairs)(e, LLMQ__KERNEL_NAME(lut)(kind, &g->x, v), LLMQ__KERNEL_NAME(lut)(kind, &g->y, v));
    }
}

/* Code for the kind of grid *g, any but OTHER, which it gets as a constant: one(kind) for points of
   one coordinate, two(kind) for points of two. */
#define LLMQ__KINDS(one, two)                                                                                         \
    switch (g->kind) {                                                                                                \
    case LLMQ__KIND_G2: one(LLMQ__KIND_G2); break;                                                                    \
    case LLMQ__KIND_G3: one(LLMQ__KIND_G3); break;                                                                    \
    case LLMQ__KIND_G4: one(LLMQ__KIND_G4); break;                                                                    \
    case LLMQ__KIND_G5: one(LLMQ__KIND_G5); break;                                                                    \
    case LLMQ__KIND_G6: one(LLMQ__KIND_G6); break;                                                                    \
    case LLMQ__KIND_G8: one(LLMQ__KIND_G8); break;                                                                    \
    case LLMQ__KIND_V2N16: two(LLMQ__KIND_V2N16); break;                                                              \
    default: two(LLMQ__KIND_V2N64); break;                                                                            \
    }

/* e = points of chunks [c, end) of a whole unit, for any kind but OTHER. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(chunks)(const LLMQ__KERNEL_NAME(grid) *g, const uint8_t *unit, uint32_t c,
                                                     uint32_t end, int8_t *e)
{
#define LLMQ__CHUNKS(kind) LLMQ__KERNEL_NAME(chunks_of)(kind, g, unit, c, end, e)
#define LLMQ__PAIRS(kind) LLMQ__KERNEL_NAME(pairs_of)(kind, g, unit, c, end, e)
    LLMQ__KINDS(LLMQ__CHUNKS, LLMQ__PAIRS)
#undef LLMQ__CHUNKS
#undef LLMQ__PAIRS
}

/* e[] = points of the m <= LLMQ__UNIT codes of a unit, coordinate after coordinate.
   kind is a constant, and not OTHER. e has space for 320.
   Fields are written in ascending order as whole vectors, each over the bytes that the one before
   wrote too many. Each plane is read in whole vectors, so up to 31 bytes behind the unit. */
/* check: 2 * (64 + 32) + 64 <= 320 */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(part_of)(int kind, const LLMQ__KERNEL_NAME(grid) *g, const uint8_t *unit,
                                                    uint32_t m, int8_t *e)
{
    /* Codes of three bits are pairs, values of 6 bits. rest: bits of the second plane. */
    const uint32_t bits = llmq__kind_bits(kind), all = bits == 3 ? 6 : bits, width = llmq__plane_width(all),
                   rest = all - width, values = bits == 3 ? (m + 1) / 2 : m, u = llmq__plane_bytes(values, width),
                   up = bits == 3 ? 1 : width;
    uint8_t more[192]; /* the second plane: its bits where codes have them */
    uint32_t f, i, k;
    for (f = 0; rest && f < 8 / rest; f++)
        LLMQ__VEC_U8(store_u8)(more + f * llmq__plane_bytes(values, rest),
                               LLMQ__VEC_U8(shift_left)(LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit + u), f * rest,
                                                                            (1 << rest) - 1), up));
    for (f = 0; f < 8 / width; f++)
        for (i = 0; i < u; i += 32) {
            LLMQ__VEC_U8(u8x32) v = LLMQ__VEC_U8(load_u8)(unit + i);
            if (bits == 8) {
                LLMQ__VEC_U8(store_u8)(e + i, LLMQ__DOT(coded_g8)(v));
                continue;
            }
            v = LLMQ__VEC_U8(field)(v, f * width, bits == 3 ? 7 : (1 << width) - 1);
            k = f * u + i;
            if (rest && bits != 3) v = LLMQ__VEC_U8(or_u8)(v, LLMQ__VEC_U8(load_u8)(more + k));
            if (llmq__kind_p(kind) == 1) LLMQ__VEC_U8(store_u8)(e + k, LLMQ__KERNEL_NAME(lut)(kind, &g->x, v));
            else LLMQ__VEC_U8(store_pairs)(e + 2 * k, LLMQ__KERNEL_NAME(lut)(kind, &g->x, v),
                                           LLMQ__KERNEL_NAME(lut)(kind, &g->y, v));
        }
    /* The second codes of pairs: bit 3 of a value, and above it two bits of the second plane. */
    for (f = 0; bits == 3 && f < 2; f++) {
        LLMQ__VEC_U8(u8x32) v = LLMQ__VEC_U8(field)(LLMQ__VEC_U8(load_u8)(unit), 4 * f + 3, 1);
        v = LLMQ__VEC_U8(or_u8)(v, LLMQ__VEC_U8(load_u8)(more + f * u));
        LLMQ__VEC_U8(store_u8)(e + values + f * u, LLMQ__KERNEL_NAME(lut)(kind, &g->x, v));
    }
}

/* The same for any kind but OTHER, and the units of rows row[0, rows) that begin with code `first`,
   into e[row]; rows is at most 4. Nothing is read beyond the tensor. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(part)(const llmq_tensor *t, const llmq__layout *l,
                                                   const LLMQ__KERNEL_NAME(grid) *g, const uint8_t *const *row,
                                                   uint32_t rows, uint32_t first, int8_t (*e)[320])
{
    const uint32_t m = llmq__min(LLMQ__UNIT, l->codes - first);
    const size_t at = l->scales + (size_t)first / 8 * l->bits;
    const uint8_t *unit[4];
    uint8_t copy[4][128]; /* a unit has no more bytes, and no vector goes beyond them */
    uint32_t i;
    for (i = 0; i < rows; i++) {
        unit[i] = row[i] + at;
        if ((size_t)(unit[i] - t->data) + sizeof *copy <= t->rows * t->row_size) continue;
        LLMQ_MEMCPY(copy[i], unit[i], llmq__unit_bytes(l, m));
        unit[i] = copy[i];
    }
#define LLMQ__PARTS(kind)                                                                                             \
    for (i = 0; i < rows; i++) LLMQ__KERNEL_NAME(part_of)(kind, g, unit[i], m, e[i])
    LLMQ__KINDS(LLMQ__PARTS, LLMQ__PARTS)
#undef LLMQ__PARTS
#undef LLMQ__KINDS
}

#if LLMQ__ANY_TRELLIS
/* The xor of 32 bytes, `at` bytes from the start of the records, over the rows whose taps are set.
   A parity is of the lowest bits of codes, so only these bits of the result have a meaning. The
   caller masks the others. */
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(parity)(const llmq__window *w, size_t at, uint32_t taps)
{
    LLMQ__VEC_U8(u8x32) v = LLMQ__VEC_U8(load_u8)(w->row[0] + at);
    uint32_t lag;
    /* lag 0 is not among the taps: zeros */
    if (!(taps & 1)) v = LLMQ__VEC_U8(xor_u8)(v, v);
    LLMQ__UNROLL(10) for (lag = 1; lag <= LLMQ__MAX_LAG; lag++)
        if (taps >> lag & 1) v = LLMQ__VEC_U8(xor_u8)(v, LLMQ__VEC_U8(load_u8)(w->row[lag] + at));
    return v;
}

/* Joins fields of two bits, at bits 0, 2, 4 and 6 of each byte, to fields of four: bits of `low`
   below bits of `high`. Fields 0 and 2 go to n[0], fields 1 and 3 to n[step].
   0x33 are fields 0 and 2, and 0xcc fields 1 and 3. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(nibbles)(LLMQ__VEC_U8(u8x32) low, LLMQ__VEC_U8(u8x32) high, uint32_t step,
                                                    LLMQ__VEC_U8(u8x32) *n)
{
    /* check: 0x33 == 0b00110011 */
    n[0] = LLMQ__VEC_U8(or_u8)(LLMQ__VEC_U8(field)(low, 0, 0x33),
                               LLMQ__VEC_U8(shift_left)(LLMQ__VEC_U8(field)(high, 0, 0x33), 2));
    /* check: 0xcc == 0b11001100 */
    n[step] = LLMQ__VEC_U8(or_u8)(LLMQ__VEC_U8(field)(low, 2, 0x33), LLMQ__VEC_U8(field)(high, 0, 0xcc));
}

/* Fields of two bits: the even bits of a below the even bits of b. odds: the odd bits likewise.
   0x55 are the even bits, and 0xaa the odd ones. */
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(evens)(LLMQ__VEC_U8(u8x32) a, LLMQ__VEC_U8(u8x32) b)
{
    /* check: 0x55 == 0b01010101 */
    return LLMQ__VEC_U8(or_u8)(LLMQ__VEC_U8(field)(a, 0, 0x55),
                               LLMQ__VEC_U8(shift_left)(LLMQ__VEC_U8(field)(b, 0, 0x55), 1));
}
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(odds)(LLMQ__VEC_U8(u8x32) a, LLMQ__VEC_U8(u8x32) b)
{
    /* check: 0xaa == 0b10101010 */
    return LLMQ__VEC_U8(or_u8)(LLMQ__VEC_U8(field)(a, 1, 0x55), LLMQ__VEC_U8(field)(b, 0, 0xaa));
}

/* Indices of the 32 bytes of the first plane of a unit from `at` on: all but the upper bits of
   codes of three bits.
   n: places 0 to 3 of the indices of field f are four bits of n[f mod k], from bit 4 (f div k) on.
   k is 4, 2, 2 and 1 for codes of 1, 2, 3 and 4 bits.
   s: the parities at further places, each where the lowest bit of the code is: s[0], s[1], s[2] in
   the order of llmq__trellis.
   Reads 32 bytes of each row of the window that a tap names. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(twist)(int trellis, const llmq__window *w, size_t at, LLMQ__VEC_U8(u8x32) *n,
                                                  LLMQ__VEC_U8(u8x32) *s)
{
    const uint32_t bits = llmq__trellis_bits(trellis),
        last = llmq__trellis_taps(trellis, llmq__trellis_parities(trellis) - 1);
    LLMQ__VEC_U8(u8x32) x = LLMQ__VEC_U8(load_u8)(w->row[0] + at);
    LLMQ__VEC_U8(u8x32) a = LLMQ__KERNEL_NAME(parity)(w, at, llmq__trellis_taps(trellis, 0)),
        b = LLMQ__KERNEL_NAME(parity)(w, at, llmq__trellis_taps(trellis, 1));
    LLMQ__VEC_U8(u8x32) c = LLMQ__KERNEL_NAME(parity)(w, at, llmq__trellis_taps(trellis, 2));
    /* Eight fields of one bit. evens has fields 0, 2, 4 and 6, of which nibbles puts 0 and 4 into
       n[0], 2 and 6 into n[2]. odds has the others. */
    if (bits == 1) {
        LLMQ__VEC_U8(u8x32) d = LLMQ__KERNEL_NAME(parity)(w, at, last);
        LLMQ__KERNEL_NAME(nibbles)(LLMQ__KERNEL_NAME(evens)(a, b), LLMQ__KERNEL_NAME(evens)(c, d), 2, n);
        LLMQ__KERNEL_NAME(nibbles)(LLMQ__KERNEL_NAME(odds)(a, b), LLMQ__KERNEL_NAME(odds)(c, d), 2, n + 1);
        return;
    }
    /* The last parity takes lag 0 in all trellises of two bits and more. In t3, t4, t3s and t4s it
       is lag 0 alone, which is code bit 0 as it stands. In t2 and t2s the xor of code bit 0 with
       the other rows gives it. 0x55 is the lowest bit of each field of two bits. */
    if (last != 1)
        x = LLMQ__VEC_U8(xor_u8)(x, LLMQ__VEC_U8(field)(LLMQ__KERNEL_NAME(parity)(w, at, last & ~1u), 0, 0x55));
    if (bits == 4) {
        n[0] = x;
        s[0] = a;
        s[1] = b;
        s[2] = c;
    } else {
        LLMQ__KERNEL_NAME(nibbles)(x, LLMQ__KERNEL_NAME(evens)(a, b), 1, n);
        s[0] = c;
    }
}

/* Coded points of 32 indices. v: places 0 to 3. Place 4 + i is bit at[i] of s[i]. x, y: points 0
   ... 63 and 64 ... 127.
   `more` places beyond the first four, 0 to 3, choose among 1, 2, 4 or 8 lookups of 16 points. */
LLMQ__INLINE_TARGET LLMQ__VEC_U8(u8x32) LLMQ__KERNEL_NAME(pick)(int trellis, const LLMQ__DOT(point_table) *x,
                                                                const LLMQ__DOT(point_table) *y, LLMQ__VEC_U8(u8x32) v,
                                                                const LLMQ__VEC_U8(u8x32) *s, const uint32_t *at)
{
    const uint32_t more = llmq__trellis_bits(trellis) + llmq__trellis_parities(trellis) - 5;
    LLMQ__VEC_U8(u8x32) r = LLMQ__DOT(lutk)(x, 0, v);
    if (more > 0) r = LLMQ__VEC_U8(choose)(r, LLMQ__DOT(lutk)(x, 1, v), s[0], at[0]);
    if (more > 1)
        r = LLMQ__VEC_U8(choose)(
            r, LLMQ__VEC_U8(choose)(LLMQ__DOT(lutk)(x, 2, v), LLMQ__DOT(lutk)(x, 3, v), s[0], at[0]), s[1], at[1]);
    if (more > 2) {
        LLMQ__VEC_U8(u8x32) lo = LLMQ__VEC_U8(choose)(LLMQ__DOT(lutk)(y, 0, v), LLMQ__DOT(lutk)(y, 1, v), s[0], at[0]);
        LLMQ__VEC_U8(u8x32) hi = LLMQ__VEC_U8(choose)(LLMQ__DOT(lutk)(y, 2, v), LLMQ__DOT(lutk)(y, 3, v), s[0], at[0]);
        r = LLMQ__VEC_U8(choose)(r, LLMQ__VEC_U8(choose)(lo, hi, s[1], at[1]), s[2], at[2]);
    }
    return r;
}

/* Columns of vector v of the first plane of a unit, bytes 32 v ... 32 v + 31 of each field.
   Parameters as strands_of. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(strand)(int trellis, int whole, const LLMQ__DOT(point_table) *x,
                                                   const LLMQ__DOT(point_table) *y, const llmq__window *w, size_t at,
                                                   size_t ahead, const uint8_t *top, uint32_t u, uint32_t v,
                                                   uint32_t first, uint32_t end, int8_t *e)
{
    const uint32_t bits = llmq__trellis_bits(trellis), width = llmq__plane_width(bits),
        k = bits == 1 ? 4 : bits == 4 ? 1 : 2, fields = 8 / width;
    LLMQ__VEC_U8(u8x32) n[4], s[3];
    uint32_t f;
    LLMQ__KERNEL_NAME(twist)(trellis, w, at + 32 * v, n, s);
    /* once for each 64 bytes of a row: a vector of 3-bit codes stands for 32 bytes and for 16 of
       the second plane */
    if (bits == 3 || v % 2 == 0) LLMQ__PREFETCH((uintptr_t)w->row[0] + at + (bits == 3 ? 64 : 32) * v + ahead);
    /* The upper bits of codes of three, one further place. They are s[1] after a third parity, else
       s[0]. */
    if (bits == 3) {
        s[trellis > 4] = LLMQ__VEC_U8(load_u8)(top ? top + 32 * v : w->row[0] + at + 64);
        /* In a whole unit the second plane has 32 bytes. Its bit 2 f + v belongs to field f of
           vector v. */
        if (v && !whole && !top) s[trellis > 4] = LLMQ__VEC_U8(field)(s[trellis > 4], v, 0x55);
    }
    /* `place` is where the lowest bit of the code is. The upper bits of a whole unit are there or,
       with v = 1, one bit higher, unless they were moved. */
    LLMQ__UNROLL(8) for (f = 0; f < fields; f++) {
        const uint32_t place = width * f, column = f * u + 32 * v, last = bits == 3 && whole ? place + v : place;
        const uint32_t places[3] = { trellis < 4 ? last : place, last, place };
        if (first <= column && column < end)
            LLMQ__VEC_U8(store_u8)(
                e + (column - first),
                LLMQ__KERNEL_NAME(pick)(trellis, x, y, LLMQ__VEC_U8(field)(n[f % k], 4 * (f / k), 15), s, places));
    }
}

/* e[] = coded points of a unit from column `first`, which is 0 or a multiple of 32 in a whole unit,
   to before `end`. Up to 31 bytes more are written.
   at:    bytes from the start of the records to the unit
   ahead: bytes from the unit to the codes that are needed next, which are prefetched
   top:   upper bits of codes of three: bit 2 f of a byte for field f. NULL: the second plane of a
          whole unit has them
   u:     bytes of the first plane of the unit; each field has u columns
   whole: u is the constant of whole units
   Reads multiples of 32 bytes of the plane in each row. w and g are copied, because the compiler
   must assume that e overlaps them.
   The last vector comes first, because the bytes that it writes too many belong to the next field.
   Vectors have separate code where they find their upper bits in different places, which they do
   with three bits, and in whole units where that is faster.
   Measured: with AVX2 t4 is 8 % faster with separate code, t4s 3 %, and t2 and t2s are not. With
   SSSE3, which has half of these registers, t4s takes half as long again. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(strands_of)(int trellis, int whole, const LLMQ__KERNEL_NAME(grid) *g,
                                                       const llmq__window *w, size_t at, size_t ahead,
                                                       const uint8_t *top, uint32_t u, uint32_t first, uint32_t end,
                                                       int8_t *e)
{
    const llmq__window own = *w;
    const LLMQ__DOT(point_table) x = g->x, y = g->y;
    uint32_t v, i, vectors = (u + 31) / 32;
    if (llmq__trellis_bits(trellis) == 3) {
        if (vectors > 1) LLMQ__KERNEL_NAME(strand)(trellis, whole, &x, &y, &own, at, ahead, top, u, 1, first, end, e);
        LLMQ__KERNEL_NAME(strand)(trellis, whole, &x, &y, &own, at, ahead, top, u, 0, first, end, e);
    } else if (whole && (trellis == 4 || (trellis == 7 && LLMQ__VECTOR_BYTES == 32))) {
        LLMQ__UNROLL(4) for (i = 0; i < vectors; i++)
            LLMQ__KERNEL_NAME(strand)(trellis, whole, &x, &y, &own, at, ahead, top, u, vectors - 1 - i, first, end, e);
    } else {
        LLMQ__UNROLL(1) for (v = vectors; v--; )
            LLMQ__KERNEL_NAME(strand)(trellis, whole, &x, &y, &own, at, ahead, top, u, v, first, end, e);
    }
}

/* top[0, 64) = the upper bits of the m <= 256 codes of three bits of a unit, put where the first
   plane has the lower ones: bit 2 f of the bytes of field f. plane: the second plane, whose fields
   are of one bit. 32 bytes of it may be read. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(top_bits)(const uint8_t *plane, uint32_t m, uint8_t *top)
{
    uint32_t u = llmq__plane_bytes(m, 1), all = llmq__plane_bytes(m, 2), byte = 0, field = 0, to = 0, shift = 0;
    /* Each field of the first plane is two of the second. Its first half is the bits as they are,
       its second half the next bits. */
    if (all == 2 * u) {
        LLMQ__VEC_U8(u8x32) v = LLMQ__VEC_U8(load_u8)(plane);
        LLMQ__VEC_U8(store_u8)(top, v);
        LLMQ__VEC_U8(store_u8)(top + u, LLMQ__VEC_U8(field)(v, 1, 0x7f));
        return;
    }
    LLMQ_MEMSET(top, 0, 64);
    for (; m; m--) {
        top[to] = (uint8_t)(top[to] | (plane[byte] >> field & 1) << shift);
        if (++byte == u) byte = 0, field++;
        if (++to == all) to = 0, shift += 2;
    }
}

/* strands_of for a unit of m codes. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(strands_part)(int trellis, const LLMQ__KERNEL_NAME(grid) *g,
                                                         const llmq__window *w, size_t at, uint32_t m, uint32_t first,
                                                         uint32_t end, int8_t *e)
{
    const uint32_t bits = llmq__trellis_bits(trellis), u = llmq__plane_bytes(m, llmq__plane_width(bits));
    uint8_t top[64];
    const int moved = bits == 3 && m != LLMQ__TRELLIS_UNIT;
    if (moved) LLMQ__KERNEL_NAME(top_bits)(w->row[0] + at + u, m, top);
    LLMQ__KERNEL_NAME(strands_of)(trellis, 0, g, w, at, LLMQ__PREFETCH_BYTES, moved ? top : LLMQ__NULL, u, first, end,
                                  e);
}

/* strands: columns [first, end) of a unit of m codes of `rows` rows, the windows w[0, rows), into
   e[row]. first is 0, or a multiple of 32 in a whole unit. Each plane is read in whole vectors, at
   most 128 bytes from the start of the unit.
   units: whole units of `rows` neighbouring rows into e[row][0, 256). */
#define LLMQ__EACH(make)                                                                                              \
    switch (g->trellis) {                                                                                             \
        make(1); make(2); make(3); make(4); make(5); make(6); make(7);                                                \
    default: break;                                                                                                   \
    }
#define LLMQ__STRANDS(trellis)                                                                                        \
    case trellis:                                                                                                     \
        for (; rows; rows--, w++, e++) LLMQ__KERNEL_NAME(strands_part)(trellis, g, w, at, m, first, end, *e);         \
        break
#define LLMQ__UNITS(trellis)                                                                                          \
    case trellis:                                                                                                     \
        for (; rows; rows--, w++, e++)                                                                                \
            LLMQ__KERNEL_NAME(strands_of)(trellis, 1, g, w, at, ahead, LLMQ__NULL,                                    \
                                          32 * llmq__plane_width(llmq__trellis_bits(trellis)), 0,                     \
                                          LLMQ__TRELLIS_UNIT, *e);                                                    \
        break
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(strands)(const LLMQ__KERNEL_NAME(grid) *g, const llmq__window *w,
                                                      uint32_t rows, size_t at, uint32_t m, uint32_t first,
                                                      uint32_t end, int8_t (*e)[320])
{
    LLMQ__EACH(LLMQ__STRANDS)
}
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(units)(const LLMQ__KERNEL_NAME(grid) *g, const llmq__window *w,
                                                    uint32_t rows, size_t at, size_t ahead, int8_t (*e)[320])
{
    LLMQ__EACH(LLMQ__UNITS)
}
#undef LLMQ__EACH
#undef LLMQ__STRANDS
#undef LLMQ__UNITS

/* e[i][0, n) = coded points of columns from j on of the rows with the windows w[0, rows). The
   columns lie in one unit. e[i] has space for 31 more. Vectors do not read beyond the tensor's
   data. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(untwist)(const llmq_tensor *t, const llmq__layout *l,
                                                      const LLMQ__KERNEL_NAME(grid) *g, const llmq__window *w,
                                                      uint32_t rows, uint32_t j, uint32_t n, int8_t (*e)[320])
{
    uint32_t i, lag, k = j % LLMQ__TRELLIS_UNIT, m = llmq__min(LLMQ__TRELLIS_UNIT, l->codes - (j - k));
    const size_t at = l->scales + (size_t)(j - k) / 8 * l->bits;
    /* Planes of a whole unit are multiples of 32 bytes. Other vectors may read behind the unit, so
       rows that end the tensor are copied. */
    const size_t size = t->rows * t->row_size, reach = m == LLMQ__TRELLIS_UNIT ? 0 : at + 128;
    int behind = 0;
    for (i = 0; i < rows; i++)
        LLMQ__UNROLL(11) for (lag = 0; lag <= LLMQ__MAX_LAG; lag++)
            behind |= (size_t)(w[i].row[lag] - t->data) + reach > size;
    if (!behind && (k == 0 || (m == LLMQ__TRELLIS_UNIT && k % 32 == 0))) {
        LLMQ__KERNEL_NAME(strands)(g, w, rows, at, m, k, k + n, e);
        return;
    }
    for (i = 0; i < rows; i++) {
        /* copy: the unit in rows that end the tensor */
        /* check: 256 * 4 / 8 == 128 */
        uint8_t copy[LLMQ__MAX_LAG + 1][128];
        int8_t all[1][320];
        llmq__window own;
        for (lag = 0; lag <= LLMQ__MAX_LAG; lag++) {
            own.row[lag] = w[i].row[lag] + at;
            if ((size_t)(w[i].row[lag] - t->data) + reach <= size) continue;
            LLMQ_MEMCPY(copy[lag], own.row[lag], llmq__unit_bytes(l, m));
            own.row[lag] = copy[lag];
        }
        LLMQ__KERNEL_NAME(strands)(g, &own, 1, 0, m, 0, m, all);
        LLMQ_MEMCPY(e[i], all[0] + k, n);
    }
}
#endif

/* e[0, n) = points of columns [j, j + n), which lie in one group, n <= 256. e has space for 320.
   Any format with points.
   g holds plain points, and so does e. Reads nothing beyond the tensor. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(points)(const llmq_tensor *t, const llmq__layout *l,
                                                     const LLMQ__KERNEL_NAME(grid) *g, const llmq__window *w,
                                                     uint32_t j, uint32_t n, int8_t *e)
{
    const uint8_t *row = w->row[0];
    const llmq_format *f = &t->format;
    /* group: of the columns. in: the column in it. first: the code of column j in the row. skip:
       the coordinate of column j in its point. take and cols: codes and columns of a step. */
    uint32_t group = j / l->group, in = j - group * l->group, first = group * l->vectors + in / f->p, skip = in % f->p,
        take, cols;
#if LLMQ__ANY_TRELLIS
    for (; n && g->trellis; n -= take, j += take, e += take) {
        take = llmq__min(n, LLMQ__TRELLIS_UNIT - j % LLMQ__TRELLIS_UNIT);
        LLMQ__KERNEL_NAME(untwist)(t, l, g, w, 1, j, take, (int8_t (*)[320])(void *)e);
    }
#endif
    /* A step is the part of the columns that lies in one unit. Only the first one may begin within
       a point. */
    for (; n; n -= cols, e += cols, first += take, skip = 0) {
        uint32_t k = first % LLMQ__UNIT, m = llmq__min(LLMQ__UNIT, l->codes - (first - k));
        const uint8_t *unit = row + l->scales + (size_t)(first - k) / 8 * f->bits;
        take = llmq__min(m - k, llmq__ceil_div(skip + n, f->p));
        cols = llmq__min(n, take * f->p - skip);
        if (m == LLMQ__UNIT && k % 32 == 0 && skip == 0 && g->kind != LLMQ__KIND_OTHER) {
            LLMQ__KERNEL_NAME(chunks)(g, unit, k / 32, (k + take + 31) / 32, e);
        } else if (g->kind != LLMQ__KIND_OTHER) {
            int8_t all[1][320];
            LLMQ__KERNEL_NAME(part)(t, l, g, &row, 1, first - k, all);
            LLMQ_MEMCPY(e, all[0] + k * f->p + skip, cols);
        } else {
            uint8_t code[192], above[192];
            /* The single plane of 8-bit codes is the codes. */
            const uint8_t *codes = f->bits == 8 ? unit : code;
            if (codes == code) LLMQ__KERNEL_NAME(unpack)(unit, f->bits, m, code, above);
            llmq__spread(f, codes + k, f->bits > 8 ? above + k : LLMQ__NULL, skip, cols, e);
        }
    }
}
#endif

/* g[0] = the points of f, coded. g[LLMQ__OFFSET], which is g[0] if coded and plain are the same,
   has them plain. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(grids_of)(const llmq_format *f, LLMQ__C(grid) *g)
{
#if LLMQ__OFFSET
    LLMQ__C(grid_of)(f, LLMQ__LEAST, g + 1);
    g[0] = g[1];
    g->x = LLMQ__DOT(coded)(g->x);
    g->y = LLMQ__DOT(coded)(g->y);
#else
    LLMQ__C(grid_of)(f, LLMQ__LEAST, g);
#endif
}

/* Products of int8 activations: four rows at a time. Rows of grids are a quarter of the range
   apart, because a core reads memory faster by several streams in distant pages than by one.

   The sums of four rows, and of the bias of dot(), which they share. */
typedef struct {
    LLMQ__DOT(i32sums) a, b, c, d, bias;
} LLMQ__KERNEL_NAME(four);

/* Sets all sums to 0. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(clear)(LLMQ__KERNEL_NAME(four) *s)
{
    s->a = s->b = s->c = s->d = s->bias = LLMQ__DOT(zero_sums)();
}
/* The sum of each row, without the bias. */
LLMQ__INLINE_TARGET LLMQ__VEC4(i32x4) LLMQ__KERNEL_NAME(sums)(const LLMQ__KERNEL_NAME(four) *s)
{
    return LLMQ__DOT(sum4)(s->a, s->b, s->c, s->d, s->bias);
}

/* The end of a run: total + (float)sum * (scale of the activation * scales of the rows). These are
   the operations of llmq__row_i8: the scales are multiplied first, and products and sums are
   rounded one by one. */
LLMQ__INLINE_TARGET LLMQ__VEC4(f32x4) LLMQ__KERNEL_NAME(finish)(LLMQ__VEC4(f32x4) total, LLMQ__VEC4(i32x4) sum,
                                                                const llmq_activation *x, const uint8_t *const *row,
                                                                const llmq__run *run)
{
    LLMQ__NO_CONTRACT
    size_t w = 2 * (size_t)run->w;
    LLMQ__VEC4(f32x4) scale = LLMQ__VEC4(load_bf16x4)(row[0] + w, row[1] + w, row[2] + w, row[3] + w);
    LLMQ__VEC4(f32x4) both = LLMQ__VEC4(mul4)(LLMQ__VEC4(set4)(x->scale[run->x]), scale);
    return LLMQ__VEC4(add4)(total, LLMQ__VEC4(mul4)(LLMQ__VEC4(to_f32x4)(sum), both));
}

/* Adds the products of 32 coded points of four rows, e[row][k, k + 32), with the activations q[0,
   32). */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add32)(int8_t (*e)[320], uint32_t k, const int8_t *q,
                                                  LLMQ__KERNEL_NAME(four) *s)
{
    LLMQ__DOT(act32) x = LLMQ__DOT(load_act)(q);
    s->bias = LLMQ__DOT(bias)(s->bias, x);
    s->a = LLMQ__DOT(dot)(s->a, LLMQ__VEC_U8(load_u8)(e[0] + k), x);
    s->b = LLMQ__DOT(dot)(s->b, LLMQ__VEC_U8(load_u8)(e[1] + k), x);
    s->c = LLMQ__DOT(dot)(s->c, LLMQ__VEC_U8(load_u8)(e[2] + k), x);
    s->d = LLMQ__DOT(dot)(s->d, LLMQ__VEC_U8(load_u8)(e[3] + k), x);
}

/* The sums of n points of four rows, e[row][k, k + n), with the activations q[0, n). coded: points
   are coded, else plain and -128 ... 127. e is read up to 31 bytes beyond: the activations there
   are taken as 0, so its bytes may be anything. q is not read beyond n. */
LLMQ__INLINE_TARGET LLMQ__VEC4(i32x4) LLMQ__KERNEL_NAME(tile)(int coded, int8_t (*e)[320], uint32_t k, const int8_t *q,
                                                              uint32_t n)
{
    LLMQ__KERNEL_NAME(four) s;
    uint32_t c;
    int8_t rest[32];
    LLMQ__KERNEL_NAME(clear)(&s);
    for (c = 0; c < n; c += 32, k += 32) {
        const int8_t *from = q + c;
        if (n - c < 32) {
            LLMQ_MEMSET(rest, 0, sizeof rest);
            LLMQ_MEMCPY(rest, q + c, n - c);
            from = rest;
        }
        if (coded) {
            LLMQ__KERNEL_NAME(add32)(e, k, from, &s);
        } else {
            LLMQ__DOT(act_any) x = LLMQ__DOT(load_act_any)(from);
            s.bias = LLMQ__DOT(bias_any)(s.bias, x);
            s.a = LLMQ__DOT(dot_any)(s.a, LLMQ__VEC_U8(load_u8)(e[0] + k), x);
            s.b = LLMQ__DOT(dot_any)(s.b, LLMQ__VEC_U8(load_u8)(e[1] + k), x);
            s.c = LLMQ__DOT(dot_any)(s.c, LLMQ__VEC_U8(load_u8)(e[2] + k), x);
            s.d = LLMQ__DOT(dot_any)(s.d, LLMQ__VEC_U8(load_u8)(e[3] + k), x);
        }
    }
    return LLMQ__KERNEL_NAME(sums)(&s);
}

/* Products of four rows and one activation, a link at a time: a link is the sums of as many columns
   as all links have, and no run ends within one. Links wait, because scales of several runs are
   made at once, by one function for all formats.
   total: of the runs that have ended. sum: of the run that has begun, without the links. run: that
   run. at: the column that the links begin with. */
#define LLMQ__LINKS 16u
typedef struct {
    LLMQ__VEC4(f32x4) total;
    LLMQ__VEC4(i32x4) sum;
    llmq__run run;
    uint32_t at, links;
    int32_t link[LLMQ__LINKS][4];
} LLMQ__KERNEL_NAME(chain);

/* Makes *c the products of no columns. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(begin)(LLMQ__KERNEL_NAME(chain) *c, const llmq__layout *l,
                                                  const llmq_activation *x)
{
    c->total = LLMQ__VEC4(set4)(0.0f);
    c->sum = LLMQ__VEC4(zero_i32x4)();
    c->run = llmq__first_run(l, x);
    c->at = c->links = 0;
}

/* Adds sums of columns from c->at on, which do not go beyond the run, and ends it where it ends. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add_sums4)(LLMQ__KERNEL_NAME(chain) *c, LLMQ__VEC4(i32x4) sum, uint32_t cols,
                                                      const llmq_activation *x, const uint8_t *const *row)
{
    c->sum = LLMQ__VEC4(add_i32x4)(c->sum, sum);
    c->at += cols;
    if (c->at != c->run.end) return;
    c->total = LLMQ__KERNEL_NAME(finish)(c->total, c->sum, x, row, &c->run);
    c->sum = LLMQ__VEC4(zero_i32x4)();
    llmq__next_run(&c->run);
}

/* Adds all links, of `step` columns each, and makes the chain empty.
   Two links are done at once where each is a run that is a group of the rows, and a group of the
   activation, or a part of one that does not end with them unless the row does. Products are added
   one after the other. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(add_links)(LLMQ__KERNEL_NAME(chain) *c, uint32_t step,
                                                        const llmq_activation *x, const uint8_t *const *row)
{
    LLMQ__NO_CONTRACT
    const uint32_t next = c->run.x_group == step; /* 1: each link has a scale of the activation */
    uint32_t i = 0, pairs, at, last;
    while (i < c->links) {
        LLMQ__VEC4(f32x4) even, odd, total = c->total;
        const float *scale = x->scale + c->run.x;
        size_t w = 2 * (size_t)c->run.w;
        last = next || c->run.x_end == c->run.cols ? c->run.cols + 1 : c->run.x_end;
        at = c->at;
        for (pairs = 0; c->run.w_group == step && i + 2 <= c->links && last - at > 2 * step; pairs++) {
            LLMQ__VEC4(load_two_bf16x4)(row[0] + w, row[1] + w, row[2] + w, row[3] + w, &even, &odd);
            even = LLMQ__VEC4(mul4)(LLMQ__VEC4(to_f32x4)(LLMQ__VEC4(load_i32x4)(c->link[i])),
                                    LLMQ__VEC4(mul4)(LLMQ__VEC4(set4)(scale[0]), even));
            odd = LLMQ__VEC4(mul4)(LLMQ__VEC4(to_f32x4)(LLMQ__VEC4(load_i32x4)(c->link[i + 1])),
                                   LLMQ__VEC4(mul4)(LLMQ__VEC4(set4)(scale[next]), odd));
            total = LLMQ__VEC4(add4)(LLMQ__VEC4(add4)(total, even), odd);
            i += 2, w += 4, scale += 2 * next, at += 2 * step;
        }
        if (pairs) {
            c->total = total;
            c->at = at;
            c->run.w += 2 * pairs;
            c->run.x += 2 * pairs * next;
            c->run.w_end = c->run.end = llmq__min(c->run.cols, at + step);
            if (next) c->run.x_end = c->run.end;
            LLMQ__SCALAR(c->run.end);
        }
        if (i < c->links) LLMQ__KERNEL_NAME(add_sums4)(c, LLMQ__VEC4(load_i32x4)(c->link[i++]), step, x, row);
    }
    c->links = 0;
}

/* The columns that no activation has yet, for any format and count <= LLMQ__BATCH activations; all
   chains c[0, count) are empty, and at the same column. Four rows are decoded a slice of at most
   256 columns at a time, into e. w: the windows of the rows; of a grid row[0] is enough. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(slices)(const llmq_tensor *t, const llmq__layout *l,
                                                     const LLMQ__C(grid) *g, const llmq_activation *x, uint32_t count,
                                                     const llmq__window *w, LLMQ__KERNEL_NAME(chain) *c)
{
    const uint8_t *const row[4] = { w[0].row[0], w[1].row[0], w[2].row[0], w[3].row[0] };
    /* A slice of each row at a multiple of 64 bytes, so that no vector crosses a cache line. */
    /* check: 320 == 5 * 64 */
    int8_t memory[4 * 320 + 64], (*e)[320] = (int8_t (*)[320])(void *)(memory + (64 - (uintptr_t)memory % 64));
    uint32_t i, j, k, m, n;
    for (j = c->at; j < t->cols; j += n) {
        n = llmq__min(256, c->run.end - j);
        if (g->trellis) { /* a unit at a time, in which several runs may end */
#if LLMQ__ANY_TRELLIS
            n = llmq__min(LLMQ__TRELLIS_UNIT - j % LLMQ__TRELLIS_UNIT, t->cols - j);
            LLMQ__C(untwist)(t, l, g, w, 4, j, n, e);
#endif
        } else {
            /* The last block of a range may repeat its last row. */
            for (i = 0; i < 4; i++)
                if (i && row[i] == row[i - 1]) LLMQ_MEMCPY(e[i], e[i - 1], sizeof e[i]);
                else LLMQ__C(points)(t, l, g + LLMQ__OFFSET, w + i, j, n, e[i]);
        }
        for (i = 0; i < count; i++)
            for (k = 0; k < n; k += m) {
                const int8_t *q = x[i].q + j + k;
                m = llmq__min(n - k, c[i].run.end - j - k);
                LLMQ__KERNEL_NAME(add_sums4)(c + i, g->trellis ? LLMQ__KERNEL_NAME(tile)(1, e, k, q, m) :
                                                    LLMQ__KERNEL_NAME(tile)(0, e, k, q, m), m, x + i, row);
            }
    }
}

#if LLMQ__ANY_TRELLIS
/* Adds a whole unit of four rows, e[row][0, 256), to the chain: a link for each `step` columns, 128
   or 64. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add_unit)(uint32_t step, int8_t (*e)[320], const llmq_activation *x,
                                                     uint32_t j, const uint8_t *const *row, LLMQ__KERNEL_NAME(chain) *c)
{
    uint32_t i, k;
    for (i = 0; i < LLMQ__TRELLIS_UNIT; i += step) {
        LLMQ__KERNEL_NAME(four) s;
        LLMQ__KERNEL_NAME(clear)(&s);
        LLMQ__UNROLL(4) for (k = i; k < i + step; k += 32) LLMQ__KERNEL_NAME(add32)(e, k, x->q + j + k, &s);
        LLMQ__VEC4(store_i32x4)(c->link[c->links++], LLMQ__KERNEL_NAME(sums)(&s));
    }
    if (c->links == LLMQ__LINKS) LLMQ__KERNEL_NAME(add_links)(c, step, x, row);
}
#if LLMQ__LINKS % 4 != 0
#error "llmq: a unit of a trellis has four links"
#endif

/* Adds the whole units of four neighbouring rows of a trellis to the chains c[0, count), which have
   no columns yet, count <= LLMQ__BATCH. Each unit is decoded once. step: as of llmq__runs_align, 64
   or 128. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(weave)(const llmq_tensor *t, const llmq__layout *l, const LLMQ__C(grid) *g,
                                                    uint32_t step, const llmq_activation *x, uint32_t count,
                                                    const llmq__window *w, LLMQ__KERNEL_NAME(chain) *c)
{
    const uint8_t *const row[4] = { w[0].row[0], w[1].row[0], w[2].row[0], w[3].row[0] };
    int8_t memory[4 * 320 + 64], (*e)[320] = (int8_t (*)[320])(void *)(memory + (64 - (uintptr_t)memory % 64));
    const uint32_t end = t->cols / LLMQ__TRELLIS_UNIT * LLMQ__TRELLIS_UNIT;
    size_t at = l->scales;
    uint32_t i, j;
    /* The prefetch is the same unit of the next four rows. */
    for (j = 0; j < end; j += LLMQ__TRELLIS_UNIT, at += LLMQ__TRELLIS_UNIT / 8 * l->bits) {
        LLMQ__C(units)(g, w, 4, at, 4 * t->row_size, e);
        for (i = 0; i < count; i++)
            if (step == 128) LLMQ__KERNEL_NAME(add_unit)(128, e, x + i, j, row, c + i);
            else LLMQ__KERNEL_NAME(add_unit)(64, e, x + i, j, row, c + i);
    }
    for (i = 0; i < count; i++) LLMQ__KERNEL_NAME(add_links)(c + i, step, x + i, row);
}
#endif

/* The columns of four rows of a grid from the chain's column on, where a unit begins, and one
   activation. A unit of any size is decoded into e. Runs end where chunks do. Returns the
   products. */
LLMQ__NOINLINE_TARGET LLMQ__VEC4(f32x4) LLMQ__KERNEL_NAME(rest)(const llmq_tensor *t, const llmq__layout *l,
                                                                const LLMQ__C(grid) *g, const llmq_activation *x,
                                                                const uint8_t *const *row, LLMQ__KERNEL_NAME(chain) *c)
{
    int8_t memory[4 * 320 + 64], (*e)[320] = (int8_t (*)[320])(void *)(memory + (64 - (uintptr_t)memory % 64));
    uint32_t j, k, m, n, p = llmq__kind_p(g->kind);
    for (j = c->at; j < t->cols; j += n) {
        n = llmq__min(LLMQ__UNIT * p, t->cols - j);
        LLMQ__C(part)(t, l, g + LLMQ__OFFSET, row, 4, j / p, e);
        for (k = 0; k < n; k += m) {
            m = llmq__min(n, c->run.end - j) - k;
            LLMQ__KERNEL_NAME(add_sums4)(c, LLMQ__KERNEL_NAME(tile)(!LLMQ__OFFSET, e, k, x->q + j + k, m), m, x, row);
        }
    }
    return c->total;
}

/* The products of each format whose points are looked up by shuffles. */
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME g2
#define LLMQ__KIND LLMQ__KIND_G2
#define LLMQ__SPLIT LLMQ__WHOLE
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME g3
#define LLMQ__KIND LLMQ__KIND_G3
#define LLMQ__SPLIT LLMQ__WHOLE
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME g4
#define LLMQ__KIND LLMQ__KIND_G4
#define LLMQ__SPLIT LLMQ__WHOLE
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME g5
#define LLMQ__KIND LLMQ__KIND_G5
#define LLMQ__SPLIT 0
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME g6
#define LLMQ__KIND LLMQ__KIND_G6
#define LLMQ__SPLIT 0
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME g8
#define LLMQ__KIND LLMQ__KIND_G8
#define LLMQ__SPLIT LLMQ__WHOLE
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME v2n16
#define LLMQ__KIND LLMQ__KIND_V2N16
#define LLMQ__SPLIT 0
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_FORMAT
#define LLMQ__NAME v2n64
#define LLMQ__KIND LLMQ__KIND_V2N64
#define LLMQ__SPLIT 0
#include LLMQ_SIMD_SELF

/* The product of four rows and an activation, for any kind but OTHER. Runs end at multiples of
   `step` columns, 64 or 128. */
LLMQ__INLINE_TARGET LLMQ__VEC4(f32x4) LLMQ__KERNEL_NAME(stream_of)(uint32_t step, const llmq_tensor *t,
                                                                   const llmq__layout *l, const LLMQ__C(grid) *g,
                                                                   const llmq_activation *x, const uint8_t *const *row)
{
    switch (g->kind) {
    case LLMQ__KIND_G2: return LLMQ__KERNEL_NAME(g2)(step, t, l, g, x, row);
    case LLMQ__KIND_G3: return LLMQ__KERNEL_NAME(g3)(step, t, l, g, x, row);
    case LLMQ__KIND_G4: return LLMQ__KERNEL_NAME(g4)(step, t, l, g, x, row);
    case LLMQ__KIND_G5: return LLMQ__KERNEL_NAME(g5)(step, t, l, g, x, row);
    case LLMQ__KIND_G6: return LLMQ__KERNEL_NAME(g6)(step, t, l, g, x, row);
    case LLMQ__KIND_G8: return LLMQ__KERNEL_NAME(g8)(step, t, l, g, x, row);
    case LLMQ__KIND_V2N16: return LLMQ__KERNEL_NAME(v2n16)(step, t, l, g, x, row);
    default: return LLMQ__KERNEL_NAME(v2n64)(step, t, l, g, x, row);
    }
}

/* to[k * stride] = lane k of v, for the first n lanes. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(store_some)(float *to, size_t stride, uint32_t n, LLMQ__VEC4(f32x4) v)
{
    float lane[4];
    uint32_t k;
    LLMQ__VEC4(store_f32x4)(lane, v);
    for (k = 0; k < n; k++) to[k * stride] = lane[k];
}

/* y[i * y_stride + r] = the product of row r and activation i, for rows [r0, r1) and any count of
   activations, where runs end after 32 codes or more of a kind that is not OTHER. step: as of
   llmq__runs_align.
   Four rows at a time, a quarter of the range apart. Points are looked up for each activation:
   storing them as rows and loading them again costs the same time. Many activations go to the part
   BLOCKS instead. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(streams)(const llmq_tensor *t, const llmq__layout *l,
                                                      const LLMQ__C(grid) *g, uint32_t step, const llmq_activation *x,
                                                      uint32_t count, uint32_t r0, uint32_t r1, float *y,
                                                      size_t y_stride)
{
    const uint8_t *row[4];
    LLMQ__VEC4(f32x4) total;
    const uint32_t blocks = (r1 - r0) / 4, left = (r1 - r0) % 4;
    uint32_t b, r, i, k, n = 4, stride = blocks;
    for (b = 0; b < blocks + (left != 0); b++) {
        r = r0 + b;
        /* The rows that are left are neighbours, the last of them more than once. */
        if (b == blocks) r = r0 + 4 * blocks, n = left, stride = 1;
        for (k = 0; k < 4; k++) row[k] = t->data + (size_t)(r + llmq__min(k, n - 1) * stride) * t->row_size;
        for (i = 0; i < count; i++) {
            if (step >= 64) {
                total = LLMQ__KERNEL_NAME(stream_of)(step, t, l, g, x + i, row);
            } else {
                LLMQ__KERNEL_NAME(chain) c;
                LLMQ__KERNEL_NAME(begin)(&c, l, x + i);
                total = LLMQ__KERNEL_NAME(rest)(t, l, g, x + i, row, &c);
            }
            LLMQ__KERNEL_NAME(store_some)(y + i * y_stride + r, stride, n, total);
        }
    }
}

/* The same for any format and any runs. Rows are decoded once for LLMQ__BATCH activations. Four
   neighbouring rows are a block, because neighbours in a trellis share the rows above them. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(fours)(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                                    uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    const llmq__layout l = llmq__layout_of(t);
    const uint32_t step = llmq__runs_align(&l, x);
    LLMQ__C(grid) g[2];
    LLMQ__KERNEL_NAME(chain) c[LLMQ__BATCH];
    llmq__window w[4];
    uint32_t r, i, m, k, n, rows;
    LLMQ__KERNEL_NAME(grids_of)(&t->format, g);
    if (!g->trellis && g->kind != LLMQ__KIND_OTHER && step >= 32 * llmq__kind_p(g->kind)) {
        LLMQ__KERNEL_NAME(streams)(t, &l, g, step, x, count, r0, r1, y, y_stride);
        return;
    }
    for (r = r0; r < r1; r += rows) {
        rows = llmq__min(4, r1 - r);
        for (k = 0; k < 4; k++)
            if (k < rows) llmq__window_of(w + k, t, r + k, k ? w + k - 1 : LLMQ__NULL);
            else w[k] = w[k - 1];
        for (i = 0; i < count; i += n) {
            n = llmq__min(LLMQ__BATCH, count - i);
            for (m = 0; m < n; m++) LLMQ__KERNEL_NAME(begin)(c + m, &l, x + i + m);
#if LLMQ__ANY_TRELLIS
            if (g->trellis && step >= 64) LLMQ__KERNEL_NAME(weave)(t, &l, g, step, x + i, n, w, c);
#endif
            LLMQ__KERNEL_NAME(slices)(t, &l, g, x + i, n, w, c);
            for (m = 0; m < n; m++)
                LLMQ__KERNEL_NAME(store_some)(y + (i + m) * y_stride + r, 1, rows, c[m].total);
        }
    }
}

#if !LLMQ__DECODED
/* Products and sums in float.

   lane[j % 16] += x[j] * e[j] for j < n <= 256, in this order. e is read up to 15 bytes beyond, x
   is not.
   Equals llmq__add_lanes: product and sum are rounded one by one. A partial vector adds 0 * e = 0
   or -0 to the lanes it does not have, which changes no lane: none is -0, because lanes begin as 0
   and a sum is -0 only if both operands are. */
LLMQ__INLINE_TARGET LLMQ__VEC_F32(f32x16) LLMQ__KERNEL_NAME(lanes_i8)(LLMQ__VEC_F32(f32x16) lane, const float *x,
                                                                      const int8_t *e, uint32_t n)
{
    LLMQ__NO_CONTRACT
    float rest[16];
    uint32_t i;
    for (i = 0; i + 16 <= n; i += 16)
        lane = LLMQ__VEC_F32(add16)(lane, LLMQ__VEC_F32(mul16)(LLMQ__VEC_F32(load16)(x + i),
                                                               LLMQ__VEC_F32(from_i8x16)(e + i)));
    if (i == n) return lane;
    LLMQ_MEMSET(rest, 0, sizeof rest);
    LLMQ_MEMCPY(rest, x + i, (n - i) * sizeof *rest);
    return LLMQ__VEC_F32(add16)(lane, LLMQ__VEC_F32(mul16)(LLMQ__VEC_F32(load16)(rest),
                                                           LLMQ__VEC_F32(from_i8x16)(e + i)));
}

/* The product of a row that has points and x[0, cols). Equals llmq__row_f32: for each group 16
   partial sums, their sum in fixed order, times the scale, added to the total. */
LLMQ__INLINE_TARGET float LLMQ__KERNEL_NAME(row_f32)(const llmq_tensor *t, const llmq__layout *l,
                                                     const LLMQ__KERNEL_NAME(grid) *g, const uint8_t *row,
                                                     const float *x)
{
    LLMQ__NO_CONTRACT
    float total = 0.0f;
    llmq__window w;
    int8_t e[320];
    uint32_t j, end, n, group;
    llmq__window_of(&w, t, llmq__row_number(t, row), LLMQ__NULL);
    for (j = group = 0; j < t->cols; group++) {
        LLMQ__VEC_F32(f32x16) sum = LLMQ__VEC_F32(set16)(0.0f);
        for (end = llmq__min(t->cols, j + l->group); j < end; j += n) {
            n = llmq__min(256, end - j);
            LLMQ__KERNEL_NAME(points)(t, l, g, &w, j, n, e);
            sum = LLMQ__KERNEL_NAME(lanes_i8)(sum, x + j, e, n);
        }
        total += LLMQ__VEC_F32(sum16)(sum) * llmq__scale(row, group);
    }
    return total;
}

/* Elements [j, j + 16) of a raw row, as floats. The row has them all, at any address. The
   conversions are exact, so they equal llmq__values. */
LLMQ__INLINE_TARGET LLMQ__VEC_F32(f32x16) LLMQ__KERNEL_NAME(raw16)(const llmq_tensor *t, const llmq__layout *l,
                                                                   const uint8_t *row, uint32_t j)
{
#if LLMQ__RAW
    const uint8_t *p = row + (size_t)j * (t->format.bits / 8);
    (void)l;
    if (t->format.bits == 32) return LLMQ__VEC_F32(load16)((const float *)(const void *)p);
    return t->format.id == LLMQ__ID_F16 ? LLMQ__VEC_F32(from_f16x16)(p) : LLMQ__VEC_F32(from_bf16x16)(p);
#else
    float v[16];
    if (t->format.bits == 32) LLMQ_MEMCPY(v, row + 4 * (size_t)j, sizeof v);
    else llmq__values(t, l, row, j, 16, v);
    return LLMQ__VEC_F32(load16)(v);
#endif
}

/* The product that 16 partial sums of a raw row and x, of whole vectors, end in. Equals
   llmq__row_f32: a raw row is one group of scale 1. The last line is the same operations as there,
   0 + sum * 1. */
LLMQ__INLINE_TARGET float LLMQ__KERNEL_NAME(end_raw)(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row,
                                                     const float *x, LLMQ__VEC_F32(f32x16) sum)
{
    LLMQ__NO_CONTRACT
    float lane[16], v[16];
    uint32_t j = t->cols / 16 * 16;
    if (j == t->cols) return 0.0f + LLMQ__VEC_F32(sum16)(sum) * 1.0f;
    LLMQ__VEC_F32(store16)(lane, sum);
    llmq__values(t, l, row, j, t->cols - j, v);
    llmq__add_lanes(x + j, v, t->cols - j, lane);
    return 0.0f + llmq__lane_sum(lane) * 1.0f;
}

/* out[k] = the product of raw row[k] and x[k][0, cols), k < 4. same: all x[k] are x[0], else all
   rows are row[0]; that vector is loaded once. Sums of four products in registers hide the time
   that an addition takes. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(raw4)(int same, const llmq_tensor *t, const llmq__layout *l,
                                                 const uint8_t *const *row, const float *const *x, float *out)
{
    LLMQ__NO_CONTRACT
    LLMQ__VEC_F32(f32x16) a, b, c, d, v, w;
    uint32_t j;
    a = b = c = d = LLMQ__VEC_F32(set16)(0.0f);
#define LLMQ__PRODUCT(k, sum)                                                                                         \
    if (k == 0 || !same) v = LLMQ__VEC_F32(load16)(x[k] + j);                                                         \
    if (k == 0 || same) w = LLMQ__KERNEL_NAME(raw16)(t, l, row[k], j);                                                \
    sum = LLMQ__VEC_F32(add16)(sum, LLMQ__VEC_F32(mul16)(v, w))
    for (j = 0; j + 16 <= t->cols; j += 16) {
        LLMQ__PRODUCT(0, a);
        LLMQ__PRODUCT(1, b);
        LLMQ__PRODUCT(2, c);
        LLMQ__PRODUCT(3, d);
    }
#undef LLMQ__PRODUCT
    out[0] = LLMQ__KERNEL_NAME(end_raw)(t, l, row[0], x[0], a);
    out[1] = LLMQ__KERNEL_NAME(end_raw)(t, l, row[1], x[1], b);
    out[2] = LLMQ__KERNEL_NAME(end_raw)(t, l, row[2], x[2], c);
    out[3] = LLMQ__KERNEL_NAME(end_raw)(t, l, row[3], x[3], d);
}

/* rows_f32 of a raw format. Four activations at a time with a row, and for the activations that are
   left four rows at a time. Blocks of rows stay in the level-2 cache while activations pass by. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(rows_raw)(const llmq_tensor *t, const llmq__layout *l,
                                                       const llmq_activation *x, uint32_t count, uint32_t r0,
                                                       uint32_t r1, float *y, size_t y_stride)
{
    const uint32_t most = (uint32_t)(131072 / t->row_size) + 1; /* half of a level-2 cache of 256 KB */
    const uint8_t *row[4];
    const float *v[4];
    float out[4];
    uint32_t r, end, i, k;
    for (; r0 < r1; r0 = end) {
        end = llmq__min(r1, r0 + llmq__min(most, r1 - r0));
        for (i = 0; i + 4 <= count; i += 4) {
            for (k = 0; k < 4; k++) v[k] = x[i + k].x;
            for (r = r0; r < end; r++) {
                row[0] = row[1] = row[2] = row[3] = t->data + (size_t)r * t->row_size;
                LLMQ__KERNEL_NAME(raw4)(0, t, l, row, v, out);
                for (k = 0; k < 4; k++) y[(i + k) * y_stride + r] = out[k];
            }
        }
        for (; i < count; i++) {
            v[0] = v[1] = v[2] = v[3] = x[i].x;
            for (r = r0; r < end; r += 4) {
                /* The last rows may be fewer: the last one more than once. */
                for (k = 0; k < 4; k++) row[k] = t->data + (size_t)llmq__min(r + k, end - 1) * t->row_size;
                LLMQ__KERNEL_NAME(raw4)(1, t, l, row, v, out);
                for (k = 0; k < 4 && r + k < end; k++) y[i * y_stride + r + k] = out[k];
            }
        }
    }
}

/* y[i * y_stride + r] = the product of row r and the floats of activation i, for rows [r0, r1). Any
   format. Equals llmq__rows_f32. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(rows_f32)(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                                       uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    LLMQ__KERNEL_NAME(grid) g;
    uint32_t i, r;
    if (!t->format.points) {
        LLMQ__KERNEL_NAME(rows_raw)(t, &l, x, count, r0, r1, y, y_stride);
        return;
    }
    LLMQ__KERNEL_NAME(grid_of)(&t->format, -128, &g);
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i++)
            y[i * y_stride + r] =
                LLMQ__KERNEL_NAME(row_f32)(t, &l, &g, t->data + (size_t)r * t->row_size, x[i].x);
}

/* out[0, cols) = row r as stored, scale * points. add: out += (weight * scale) * points. A format
   with points.
   Equals llmq__read_row and llmq__add_row: the weight is multiplied with the scale first, and
   products and sums are rounded one by one. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(expand_row)(int add, const llmq_tensor *t, const llmq__layout *l,
                                                       const LLMQ__KERNEL_NAME(grid) *g, uint32_t r, float weight,
                                                       float *out)
{
    LLMQ__NO_CONTRACT
    const uint8_t *row = t->data + (size_t)r * t->row_size;
    llmq__window w;
    int8_t e[320];
    uint32_t j, i, n;
    llmq__window_of(&w, t, r, LLMQ__NULL);
    for (j = 0; j < t->cols; j += n) {
        float scale = llmq__scale(row, j / l->group);
        LLMQ__VEC_F32(f32x16) s;
        if (add) scale = weight * scale;
        s = LLMQ__VEC_F32(set16)(scale);
        /* up to the end of the group: points takes columns of one group */
        n = llmq__min(256, llmq__min(t->cols, (j / l->group + 1) * l->group) - j);
        LLMQ__KERNEL_NAME(points)(t, l, g, &w, j, n, e);
        for (i = 0; i + 16 <= n; i += 16) {
            LLMQ__VEC_F32(f32x16) v = LLMQ__VEC_F32(mul16)(s, LLMQ__VEC_F32(from_i8x16)(e + i));
            LLMQ__VEC_F32(store16)(out + j + i, add ? LLMQ__VEC_F32(add16)(LLMQ__VEC_F32(load16)(out + j + i), v) : v);
        }
        for (; i < n; i++) {
            float v = scale * (float)e[i];
            out[j + i] = add ? out[j + i] + v : v;
        }
    }
}

/* out[0, cols) = row r as stored. Any format. Equals llmq__read_row. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(read_row)(const llmq_tensor *t, uint32_t r, float *out)
{
    llmq__layout l = llmq__layout_of(t);
    LLMQ__KERNEL_NAME(grid) g;
    const uint8_t *row = t->data + (size_t)r * t->row_size;
    uint32_t j;
    if (t->format.points) {
        LLMQ__KERNEL_NAME(grid_of)(&t->format, -128, &g);
        LLMQ__KERNEL_NAME(expand_row)(0, t, &l, &g, r, 1.0f, out);
        return;
    }
    for (j = 0; j + 16 <= t->cols; j += 16) LLMQ__VEC_F32(store16)(out + j, LLMQ__KERNEL_NAME(raw16)(t, &l, row, j));
    if (j < t->cols) llmq__values(t, &l, row, j, t->cols - j, out + j);
}

/* out[0, 16 n) += weight[r] * elements [j, j + 16 n) of raw row r, for rows [r0, r1) in this order;
   1 <= n <= 4 is a constant. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(add_raw)(uint32_t n, const llmq_tensor *t, const llmq__layout *l,
                                                    const float *weight, uint32_t r0, uint32_t r1, uint32_t j,
                                                    float *out)
{
    LLMQ__NO_CONTRACT
    LLMQ__VEC_F32(f32x16) sum[4];
    uint32_t r, i;
    LLMQ__UNROLL(4) for (i = 0; i < n; i++) sum[i] = LLMQ__VEC_F32(load16)(out + 16 * i);
    for (r = r0; r < r1; r++) {
        const uint8_t *row = t->data + (size_t)r * t->row_size;
        LLMQ__VEC_F32(f32x16) s = LLMQ__VEC_F32(set16)(weight[r]);
        LLMQ__UNROLL(4) for (i = 0; i < n; i++)
            sum[i] = LLMQ__VEC_F32(add16)(sum[i], LLMQ__VEC_F32(mul16)(s, LLMQ__KERNEL_NAME(raw16)(t, l, row,
                                                                                                   j + 16 * i)));
    }
    LLMQ__UNROLL(4) for (i = 0; i < n; i++) LLMQ__VEC_F32(store16)(out + 16 * i, sum[i]);
}

/* out[0, cols) += weight[r] * row r as stored, for rows [r0, r1) in this order. Any format. Equals
   llmq__add_rows, whose order of rows is the order of the sums. 16 rows of a raw format at a time
   share the loads and stores of out. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(add_rows)(const llmq_tensor *t, const float *weight, uint32_t r0,
                                                       uint32_t r1, float *out)
{
    LLMQ__NO_CONTRACT
    llmq__layout l = llmq__layout_of(t);
    LLMQ__KERNEL_NAME(grid) g;
    float v[16];
    uint32_t r, end, j;
    if (t->format.points) LLMQ__KERNEL_NAME(grid_of)(&t->format, -128, &g);
    for (r = r0; r < r1 && t->format.points; r++) LLMQ__KERNEL_NAME(expand_row)(1, t, &l, &g, r, weight[r], out);
    for (; r < r1; r = end) {
        end = r + llmq__min(16, r1 - r);
        for (j = 0; j + 64 <= t->cols; j += 64) LLMQ__KERNEL_NAME(add_raw)(4, t, &l, weight, r, end, j, out + j);
        for (; j + 16 <= t->cols; j += 16) LLMQ__KERNEL_NAME(add_raw)(1, t, &l, weight, r, end, j, out + j);
        for (; r < end && j < t->cols; r++) {
            llmq__values(t, &l, t->data + (size_t)r * t->row_size, j, t->cols - j, v);
            llmq__add_scaled(out + j, weight[r], v, t->cols - j);
        }
    }
}
#endif

#undef LLMQ__LINKS
#undef LLMQ__DECODED
#undef LLMQ__RAW
#undef LLMQ__WHOLE
#define LLMQ__SIMD_PART LLMQ__PART_BLOCKS /* it undefines the others, which it shares */
#define LLMQ__OWN 0
#include LLMQ_SIMD_SELF

#elif LLMQ__SIMD_PART == LLMQ__PART_FORMAT
#undef LLMQ__SIMD_PART

/* Products of one format with int8 activations, for codes that are looked up by shuffles.

   Parameters beside the ones of CODES:
     LLMQ__NAME   the name of its function
     LLMQ__KIND   LLMQ__KIND_..., not OTHER
     LLMQ__SPLIT  1: there is a loop of its own for runs that end where units end, because that
                  pays. Points have one coordinate
                  0: there is not
   Each format has its own code and not a function that takes the format: compilers work on such a
   function, and copy it, before they know the format. */

#if !defined(LLMQ__NAME) || !defined(LLMQ__KIND)
#error "llmq: the template of products of one format needs LLMQ__NAME and LLMQ__KIND"
#endif
#if !defined(LLMQ__SPLIT) || (LLMQ__SPLIT != 0 && LLMQ__SPLIT != 1)
#error "llmq: LLMQ__SPLIT is 0 or 1"
#endif

/* Adds the products of chunk c of a whole unit of four rows with the activations of its columns.
   u[row] + at: the unit. q: the activation of the first column of the chunk, 32 of them, or 64 for
   points of two coordinates. Reads the units and these activations only. */
LLMQ__INLINE_TARGET void LLMQ__K(_step)(const LLMQ__C(grid) *g, const uint8_t *const *u, size_t at, uint32_t c,
                                        const int8_t *q, LLMQ__KERNEL_NAME(four) *s)
{
    const int kind = LLMQ__KIND;
    if (kind == LLMQ__KIND_V2N16 || kind == LLMQ__KIND_V2N64) {
        /* Activations of even columns meet first coordinates, of odd columns second ones. */
        LLMQ__DOT(act32) x, y;
        LLMQ__VEC_U8(u8x32) v;
        LLMQ__DOT(load_act2)(q, &x, &y);
        s->bias = LLMQ__DOT(bias)(LLMQ__DOT(bias)(s->bias, x), y);
#define LLMQ__ROW(i, sum)                                                               \
    v = LLMQ__KERNEL_NAME(index)(llmq__kind_bits(kind), u[i] + at, c);                  \
    sum = LLMQ__DOT(dot)(sum, LLMQ__KERNEL_NAME(lut)(kind, &g->x, v), x);               \
    sum = LLMQ__DOT(dot)(sum, LLMQ__KERNEL_NAME(lut)(kind, &g->y, v), y)
        LLMQ__ROW(0, s->a); LLMQ__ROW(1, s->b); LLMQ__ROW(2, s->c); LLMQ__ROW(3, s->d);
#undef LLMQ__ROW
    } else {
        LLMQ__DOT(act32) x = LLMQ__DOT(load_act)(q);
        s->bias = LLMQ__DOT(bias)(s->bias, x);
        s->a = LLMQ__DOT(dot)(s->a, LLMQ__KERNEL_NAME(chunk)(kind, g, u[0] + at, c), x);
        s->b = LLMQ__DOT(dot)(s->b, LLMQ__KERNEL_NAME(chunk)(kind, g, u[1] + at, c), x);
        s->c = LLMQ__DOT(dot)(s->c, LLMQ__KERNEL_NAME(chunk)(kind, g, u[2] + at, c), x);
        s->d = LLMQ__DOT(dot)(s->d, LLMQ__KERNEL_NAME(chunk)(kind, g, u[3] + at, c), x);
    }
}

/* All columns of four rows and one activation: four products. Runs end at multiples of `step`
   columns, 64, or 128 for points of one coordinate. */
LLMQ__INLINE_TARGET LLMQ__VEC4(f32x4) LLMQ__K(_any)(uint32_t step, const llmq_tensor *t, const llmq__layout *l,
                                                    const LLMQ__C(grid) *g, const llmq_activation *x,
                                                    const uint8_t *const *row)
{
    const uint8_t *const u[4] = { row[0] + l->scales, row[1] + l->scales, row[2] + l->scales, row[3] + l->scales };
    const uint32_t p = llmq__kind_p(LLMQ__KIND), bits = llmq__kind_bits(LLMQ__KIND), unit = LLMQ__UNIT * p,
        end = t->cols / unit * unit;
    /* Columns 32 ... 63 of half a unit are this chunk of a whole one; 0: of none. Codes of 4 bits
       are the upper halves of the bytes of chunk 0. */
    const uint32_t half = LLMQ__KIND == LLMQ__KIND_G4 ? 2 : LLMQ__KIND == LLMQ__KIND_G8 ? 1 : 0;
    uint32_t j = 0, k, to, links;
    size_t at = 0;
    LLMQ__KERNEL_NAME(chain) chain;
    LLMQ__KERNEL_NAME(four) s;
    LLMQ__KERNEL_NAME(begin)(&chain, l, x);
    while (j < end) {
        to = llmq__min(end, j + LLMQ__LINKS * step);
        /* 128 codes of `bits` bits */
        for (links = 0; j < to; j += unit, at += 16 * bits) {
            /* every second unit of one coordinate: a unit of 4 bits is 64 bytes */
            LLMQ__UNROLL(4) for (k = 0; k < 4; k++)
                if (j % 256 == 0) LLMQ__PREFETCH((uintptr_t)(u[k] + at) + LLMQ__PREFETCH_BYTES);
            LLMQ__UNROLL(4) for (k = 0; k < 4; k++) {
                /* 32 codes end at column (k + 1) * 32 * p of the unit */
                if (k * 32 * p % step == 0) LLMQ__KERNEL_NAME(clear)(&s);
                LLMQ__K(_step)(g, u, at, k, x->q + j + k * 32 * p, &s);
                if ((k + 1) * 32 * p % step == 0)
                    LLMQ__VEC4(store_i32x4)(chain.link[links++], LLMQ__KERNEL_NAME(sums)(&s));
            }
        }
        chain.links = links;
        LLMQ__KERNEL_NAME(add_links)(&chain, step, x, row);
    }
    if (half && t->cols - j == 64) {
        LLMQ__KERNEL_NAME(clear)(&s);
        LLMQ__K(_step)(g, u, at, 0, x->q + j, &s);
        LLMQ__K(_step)(g, u, at, half, x->q + j + 32, &s);
        LLMQ__KERNEL_NAME(add_sums4)(&chain, LLMQ__KERNEL_NAME(sums)(&s), 64, x, row);
        return chain.total;
    }
    return j == t->cols ? chain.total : LLMQ__KERNEL_NAME(rest)(t, l, g, x, row, &chain);
}

/* The same, not inlined. LLMQ__SPLIT 0: one loop serves both. */
LLMQ__NOINLINE_TARGET LLMQ__VEC4(f32x4) LLMQ__KERNEL_NAME(LLMQ__NAME)(uint32_t step, const llmq_tensor *t,
                                                                      const llmq__layout *l, const LLMQ__C(grid) *g,
                                                                      const llmq_activation *x,
                                                                      const uint8_t *const *row)
{
    return LLMQ__SPLIT && step == 128 ? LLMQ__K(_any)(128, t, l, g, x, row) : LLMQ__K(_any)(64, t, l, g, x, row);
}

#undef LLMQ__KIND
#undef LLMQ__NAME
#undef LLMQ__SPLIT

#elif LLMQ__SIMD_PART == LLMQ__PART_BLOCKS
#undef LLMQ__SIMD_PART

/* Blocks of rows for several activations.

   Two vectors of rows are decoded once for up to LLMQ__SHARE activations, LLMQ__TILE columns at a
   time, into a tile whose lanes are rows. Four codes of an activation are repeated in all lanes,
   and no sum needs a reduction.
   Measured: with rows along the vectors instead, loading points took the time that decoding them
   had taken, and g4 and g2 were slower than one activation at a time, on x86 in time and on Arm in
   instructions.

   Parameters: LLMQ__ISA, LLMQ__CODES, LLMQ__QUADS, LLMQ__LEAST, LLMQ__VECTOR_BYTES and LLMQ__OFFSET
   as in CODES, and
     LLMQ__DOTS  the suffix of the words on points and their products
     LLMQ__OWN   0: LLMQ__DOTS is LLMQ__ISA, and all words below are there
                 1: product() is written before, and transpose() puts points in its order. The
                    table LLMQ__DOTS has everything that is no block. dot4, add_sums, reduce_sums
                    and sub_sums are not needed

   Words, of LLMQ__VECTOR_BYTES / 4 lanes of int32, i32sums:
     transpose(int8_t *e)        transposes as many rows as there are lanes, LLMQ__VECTOR_BYTES
                                 bytes of each, 128 bytes apart: lane k of row i and lane i of row k
                                 change places. The four bytes of a lane stay together
     dot4(sums, w, x, k)         adds to lane i the products of w[4 i, 4 i + 4), points as they are,
                                 and the codes x[4 k, 4 k + 4). LLMQ__VECTOR_BYTES bytes at x may be
                                 read. 0 <= k < lanes; with LLMQ__OFFSET the codes have 128 added
     add_sums(int32_t *p, sums)  p[i] += lane i
     reduce_sums(sums, w)        adds to lane i 128 times the sum of w[4 i, 4 i + 4). Only with
                                 LLMQ__OFFSET
     sub_sums(int32_t *p, sums)  p[i] -= lane i. Only with LLMQ__OFFSET
     settle8(sum, bias, x_scale, scale, y)
                                 settle(), below, of eight rows; bias may be NULL. Only on x86 with
                                 LLMQ__VECTOR_BYTES 32u */

#if !defined(LLMQ__TARGET) || !defined(LLMQ__ISA) || !defined(LLMQ__CODES) || !defined(LLMQ__DOTS) || \
    !defined(LLMQ__QUADS)
#error "llmq: the template of blocks needs LLMQ__TARGET, LLMQ__ISA, LLMQ__CODES, LLMQ__DOTS and LLMQ__QUADS"
#endif
#if !defined(LLMQ__LEAST) || (LLMQ__LEAST != -128 && LLMQ__LEAST != -127)
#error "llmq: LLMQ__LEAST is (-128) or (-127)"
#endif
#if !defined(LLMQ__VECTOR_BYTES) || (LLMQ__VECTOR_BYTES != 16 && LLMQ__VECTOR_BYTES != 32)
#error "llmq: LLMQ__VECTOR_BYTES is 16u or 32u"
#endif
#if !defined(LLMQ__OFFSET) || (LLMQ__OFFSET != 0 && LLMQ__OFFSET != 1)
#error "llmq: LLMQ__OFFSET is 0 or 1"
#endif
#if !defined(LLMQ__OWN) || (LLMQ__OWN != 0 && LLMQ__OWN != 1)
#error "llmq: LLMQ__OWN is 0 or 1"
#endif

#define LLMQ__TILE 128u /* columns of a tile */
#define LLMQ__SHARE 64u /* activations that share the decoding of a block */
#define LLMQ__WIDE (LLMQ__VECTOR_BYTES / 4u) /* lanes of a vector: a row each */
#define LLMQ__ROWS (2u * LLMQ__WIDE) /* rows of a block: two vectors, so each repeated code is used twice */
#if LLMQ__TILE != LLMQ__UNIT || LLMQ__SHARE % 4 != 0
#error "llmq: a tile is a unit, and activations are taken four at a time"
#endif

/* e[LLMQ__ROWS][LLMQ__TILE] = points of n <= LLMQ__TILE columns from j on, and zeros up to a
   multiple of LLMQ__VECTOR_BYTES, turned. e has space for 63 more bytes. w: windows of the rows.
   aligned: j is a multiple of LLMQ__TILE, and runs end where chunks do. Otherwise the columns lie
   in one run. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(fill)(const llmq_tensor *t, const llmq__layout *l, const LLMQ__C(grid) *g,
                                                 int aligned, const llmq__window *w, uint32_t j, uint32_t n, int8_t *e)
{
    uint32_t i, p = llmq__kind_p(g->kind), at = j / p, first = at / LLMQ__UNIT * LLMQ__UNIT,
        up = (n + LLMQ__VECTOR_BYTES - 1) / LLMQ__VECTOR_BYTES * LLMQ__VECTOR_BYTES;
    for (i = 0; i < LLMQ__ROWS; i++) { /* in this order: bytes written beyond a row belong to the next one */
        int8_t *to = e + i * LLMQ__TILE, all[1][320];
        if (!aligned || g->trellis) {
            LLMQ__C(points)(t, l, g, w + i, j, n, to);
        } else if (n == LLMQ__TILE && first + LLMQ__UNIT <= l->codes) {
            const uint8_t *unit = w[i].row[0] + l->scales + (size_t)first / 8 * t->format.bits;
            LLMQ__C(chunks)(g, unit, (at - first) / 32, (at - first) / 32 + LLMQ__TILE / 32 / p, to);
        } else {
            LLMQ__C(part)(t, l, g, w[i].row, 1, first, all);
            LLMQ_MEMCPY(to, all[0] + (j - first * p), n);
        }
        LLMQ_MEMSET(to + n, 0, up - n);
    }
    /* one square of lanes for each vector of rows */
    for (i = 0; i < up; i += LLMQ__VECTOR_BYTES) {
        LLMQ__KERNEL_NAME(transpose)(e + i);
        LLMQ__KERNEL_NAME(transpose)(e + i + LLMQ__WIDE * LLMQ__TILE);
    }
}

#if !LLMQ__OWN
/* sum[4][LLMQ__ROWS] += products of a turned tile of n columns with four activations, x[i][0, n). n
   is taken as the next multiple of LLMQ__VECTOR_BYTES: points there are 0, and activations may be
   read there.
   Eight vectors of sums stay in registers: four activations by two vectors of rows. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(product)(const int8_t *e, uint32_t n, const int8_t *const *x, int32_t *sum)
{
    LLMQ__DOT(i32sums) a0, a1, a2, a3, b0, b1, b2, b3;
    uint32_t c, k;
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = LLMQ__DOT(zero_sums)();
    for (c = 0; c < n; c += LLMQ__VECTOR_BYTES) {
        const int8_t *x0 = x[0] + c, *x1 = x[1] + c, *x2 = x[2] + c, *x3 = x[3] + c;
        LLMQ__UNROLL(4) for (k = 0; k < LLMQ__WIDE; k++) { /* unrolled by 8, gcc spills */
            const int8_t *a = e + k * LLMQ__TILE + c, *b = a + LLMQ__WIDE * LLMQ__TILE;
            a0 = LLMQ__DOT(dot4)(a0, a, x0, k), b0 = LLMQ__DOT(dot4)(b0, b, x0, k);
            LLMQ__AFTER(x1, a0, b0);
            a1 = LLMQ__DOT(dot4)(a1, a, x1, k), b1 = LLMQ__DOT(dot4)(b1, b, x1, k);
            LLMQ__AFTER(x2, a1, b1);
            a2 = LLMQ__DOT(dot4)(a2, a, x2, k), b2 = LLMQ__DOT(dot4)(b2, b, x2, k);
            LLMQ__AFTER(x3, a2, b2);
            a3 = LLMQ__DOT(dot4)(a3, a, x3, k), b3 = LLMQ__DOT(dot4)(b3, b, x3, k);
        }
    }
    LLMQ__DOT(add_sums)(sum, a0), LLMQ__DOT(add_sums)(sum + LLMQ__WIDE, b0);
    LLMQ__DOT(add_sums)(sum + LLMQ__ROWS, a1), LLMQ__DOT(add_sums)(sum + LLMQ__ROWS + LLMQ__WIDE, b1);
    LLMQ__DOT(add_sums)(sum + 2 * LLMQ__ROWS, a2), LLMQ__DOT(add_sums)(sum + 2 * LLMQ__ROWS + LLMQ__WIDE, b2);
    LLMQ__DOT(add_sums)(sum + 3 * LLMQ__ROWS, a3), LLMQ__DOT(add_sums)(sum + 3 * LLMQ__ROWS + LLMQ__WIDE, b3);
}
#endif

#if LLMQ__OFFSET
/* bias[LLMQ__ROWS] -= the amount by which a tile's sums are too large: 128 times the sum of each
   row's points, because dot4 took activations with 128 added. It is the same for all
   activations. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(excess)(const int8_t *e, uint32_t n, int32_t *bias)
{
    LLMQ__DOT(i32sums) s[4];
    uint32_t half, c, k;
    for (half = 0; half < 2; half++, e += LLMQ__WIDE * LLMQ__TILE, bias += LLMQ__WIDE) {
        s[0] = s[1] = s[2] = s[3] = LLMQ__DOT(zero_sums)(); /* four, because each waits for the one before */
        for (c = 0; c < n; c += LLMQ__VECTOR_BYTES)
            LLMQ__UNROLL(8) for (k = 0; k < LLMQ__WIDE; k++)
                s[k % 4] = LLMQ__DOT(reduce_sums)(s[k % 4], e + k * LLMQ__TILE + c);
        LLMQ__UNROLL(4) for (k = 0; k < 4; k++) LLMQ__DOT(sub_sums)(bias, s[k]);
    }
}
#endif

/* sum[4][LLMQ__ROWS] += products of a tile of n columns from j on with activations x[0, count), 1
   <= count <= 4. Where activations are missing to four, the last one is done again, and its sums
   are not used. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(share)(const int8_t *e, uint32_t n, const llmq_activation *x, uint32_t count,
                                                  uint32_t j, int32_t *sum)
{
    const int8_t *q[4];
    int8_t own[4][LLMQ__TILE];
    uint32_t i, c, up = (n + LLMQ__VECTOR_BYTES - 1) / LLMQ__VECTOR_BYTES * LLMQ__VECTOR_BYTES;
    for (i = 0; i < 4; i++) {
        const int8_t *from = x[llmq__min(i, count - 1)].q + j;
        q[i] = from;
        /* Vectors may not read beyond the last code. So the codes are copied, with zeros after
           them. */
        if (up > x->cols - j) {
            LLMQ_MEMSET(own[i], 0, sizeof own[i]);
            LLMQ_MEMCPY(own[i], from, n);
            q[i] = from = own[i];
        }
        /* int8 to codes with 128 added: to_i8 is its own inverse */
        for (c = 0; c < up && LLMQ__OFFSET; c += 32)
            LLMQ__VEC_U8(store_u8)(own[i] + c, LLMQ__DOT(to_i8)(LLMQ__VEC_U8(load_u8)(from + c)));
        if (LLMQ__OFFSET) q[i] = own[i];
    }
    LLMQ__KERNEL_NAME(product)(e, n, q, sum);
}

/* The end of a run: y[0, LLMQ__ROWS) += (float)(sum + bias) * (scale of the activation * scales of
   the rows), then sum = 0. The same operations as in finish, so as in llmq__row_i8. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(settle)(int32_t *sum, const int32_t *bias, float x_scale, const float *scale,
                                                   float *y)
{
    LLMQ__NO_CONTRACT
    uint32_t i = 0;
#if LLMQ__X86 && LLMQ__VECTOR_BYTES == 32
    LLMQ__UNROLL(2) for (; i < LLMQ__ROWS; i += 8)
        LLMQ__DOT(settle8)(sum + i, LLMQ__OFFSET ? bias + i : LLMQ__NULL, x_scale, scale + i, y + i);
#endif
    LLMQ__UNROLL(4) for (; i < LLMQ__ROWS; i += 4) {
        LLMQ__VEC4(f32x4) both = LLMQ__VEC4(mul4)(LLMQ__VEC4(set4)(x_scale), LLMQ__VEC4(load_f32x4)(scale + i));
        LLMQ__VEC4(i32x4) s = LLMQ__VEC4(load_i32x4)(sum + i);
        if (LLMQ__OFFSET) s = LLMQ__VEC4(add_i32x4)(s, LLMQ__VEC4(load_i32x4)(bias + i));
        LLMQ__VEC4(store_f32x4)(y + i, LLMQ__VEC4(add4)(LLMQ__VEC4(load_f32x4)(y + i),
                                                        LLMQ__VEC4(mul4)(LLMQ__VEC4(to_f32x4)(s), both)));
        LLMQ__VEC4(store_i32x4)(sum + i, LLMQ__VEC4(zero_i32x4)());
    }
}

/* y[i * y_stride, LLMQ__ROWS) = products of LLMQ__ROWS neighbouring rows from r on and 1 <= count
   <= LLMQ__SHARE activations. Of rows beyond r + rows - 1 there are the products of that one.
   Totals are kept in y, sums of the run that has begun in `sum`.
   Stack with 16 rows: 2.2 KB of tile, 4.2 KB of sums and 1.4 KB of windows. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(block)(const llmq_tensor *t, const llmq__layout *l, const LLMQ__C(grid) *g,
                                                    const llmq_activation *x, uint32_t count, uint32_t r,
                                                    uint32_t rows, float *y, size_t y_stride)
{
    /* points of a trellis have one coordinate, as G8 has */
    const int kind = g->trellis ? LLMQ__KIND_G8 : g->kind,
        aligned = kind != LLMQ__KIND_OTHER && llmq__runs_align(l, x) >= 32 * llmq__kind_p(kind);
    int8_t tile[LLMQ__ROWS * LLMQ__TILE + 128], *e = tile + (64 - (uintptr_t)tile % 64);
    int32_t sum[(LLMQ__SHARE + 1) * LLMQ__ROWS], *bias = sum + LLMQ__SHARE * LLMQ__ROWS;
    float scale[LLMQ__ROWS];
    llmq__window w[LLMQ__ROWS];
    llmq__run run = llmq__first_run(l, x);
    uint32_t j, k, n, m, i;
    LLMQ_MEMSET(sum, 0, sizeof sum);
    for (i = 0; i < LLMQ__ROWS; i++)
        if (i < rows) llmq__window_of(w + i, t, r + i, i ? w + i - 1 : LLMQ__NULL);
        else w[i] = w[i - 1];
    for (i = 0; i < count; i++) LLMQ_MEMSET(y + i * y_stride, 0, LLMQ__ROWS * sizeof *y);
    for (j = 0; j < t->cols; j += n) {
        n = llmq__min(LLMQ__TILE, (aligned ? t->cols : run.end) - j);
        LLMQ__KERNEL_NAME(fill)(t, l, g, aligned, w, j, n, e);
        /* Several runs may end in a tile. */
        for (k = 0; k < n; k += m) {
            m = llmq__min(n - k, run.end - j - k);
#if LLMQ__OFFSET
            LLMQ__KERNEL_NAME(excess)(e + k, m, bias);
#endif
            for (i = 0; i < count; i += 4)
                LLMQ__KERNEL_NAME(share)(e + k, m, x + i, llmq__min(4, count - i), j + k, sum + i * LLMQ__ROWS);
            if (j + k + m < run.end) continue;
            for (i = 0; i < LLMQ__ROWS; i++) scale[i] = llmq__scale(w[i].row[0], run.w);
            for (i = 0; i < count; i++)
                LLMQ__KERNEL_NAME(settle)(sum + i * LLMQ__ROWS, bias, x[i].scale[run.x], scale, y + i * y_stride);
            LLMQ_MEMSET(bias, 0, LLMQ__ROWS * sizeof *bias);
            llmq__next_run(&run);
        }
    }
}

/* The upper halves of vectors are zero again: code for SSE, which comes next, is slow otherwise.
   Compilers do this where a function of AVX ends, but not all that calls others.
   Measured: with gcc 12 at -O2 a product of four rows of 64 columns took twice the time. */
#if LLMQ__X86 && LLMQ__VECTOR_BYTES == 32
#define LLMQ__LEAVE _mm256_zeroupper()
#else
#define LLMQ__LEAVE ((void)0)
#endif

/* y[i * y_stride + r] = the product of row r and activation i, for rows [r0, r1) and any count of
   activations. Equals llmq__rows_i8. This is the kernel of the table.
   The last block may begin within the one before: its rows get the same results again. Rows that
   are fewer than a block, but more than the four that are multiplied at once without one, go
   through a block of their own. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(rows_i8)(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                                      uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    LLMQ__C(grid) g;
    const uint32_t rows = r1 - r0;
    float own[LLMQ__SHARE * LLMQ__ROWS];
    uint32_t r, i, k, n;
    if (rows <= 4 || !llmq__decode_once(&t->format, llmq__kind(&t->format, LLMQ__LEAST), count)) {
        LLMQ__DOT(fours)(t, x, count, r0, r1, y, y_stride);
        LLMQ__LEAVE;
        return;
    }
    LLMQ__C(grid_of)(&t->format, LLMQ__LEAST, &g);
    for (r = r0; r < r1; r += LLMQ__ROWS)
        for (i = 0; i < count; i += LLMQ__SHARE) {
            const uint32_t first = rows < LLMQ__ROWS ? r0 : llmq__min(r, r1 - LLMQ__ROWS);
            float *to = y + i * y_stride + first;
            n = llmq__min(LLMQ__SHARE, count - i);
            if (rows >= LLMQ__ROWS) {
                LLMQ__KERNEL_NAME(block)(t, &l, &g, x + i, n, first, LLMQ__ROWS, to, y_stride);
                continue;
            }
            LLMQ__KERNEL_NAME(block)(t, &l, &g, x + i, n, first, rows, own, LLMQ__ROWS);
            for (k = 0; k < n; k++) LLMQ_MEMCPY(to + k * y_stride, own + k * LLMQ__ROWS, rows * sizeof *own);
        }
    LLMQ__LEAVE;
}

#undef LLMQ__LEAVE
#undef LLMQ__TILE
#undef LLMQ__SHARE
#undef LLMQ__WIDE
#undef LLMQ__ROWS
#undef LLMQ__ISA
#undef LLMQ__CODES
#undef LLMQ__DOTS
#undef LLMQ__QUADS
#undef LLMQ__LEAST
#undef LLMQ__VECTOR_BYTES
#undef LLMQ__OFFSET
#undef LLMQ__OWN

#elif LLMQ__SIMD_PART == LLMQ__PART_SSSE3
#undef LLMQ__SIMD_PART

/* ---- 5. x86: SSSE3 --------------------------------------------------------------------------- */

/* Words on four sums, with the suffix _sse2: SSE2 is in every x86-64. All x86 tables share them. */
#define LLMQ__TARGET
typedef __m128i llmq__i32x4_sse2;
typedef __m128 llmq__f32x4_sse2;
LLMQ__INLINE_TARGET __m128i llmq__zero_i32x4_sse2(void) { return _mm_setzero_si128(); }
LLMQ__INLINE_TARGET __m128i llmq__add_i32x4_sse2(__m128i a, __m128i b) { return _mm_add_epi32(a, b); }
/* (v0 + v2) + (v1 + v3), the last two steps of llmq__lane_sum. movehl brings lanes 2 and 3 to 0 and
   1, the shuffle brings lane 1 to 0. */
LLMQ__INLINE_TARGET float llmq__fold4_sse2(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}
LLMQ__INLINE_TARGET __m128 llmq__set4_sse2(float x) { return _mm_set1_ps(x); }
LLMQ__INLINE_TARGET __m128 llmq__add4_sse2(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
LLMQ__INLINE_TARGET __m128 llmq__mul4_sse2(__m128 a, __m128 b) { return _mm_mul_ps(a, b); }
LLMQ__INLINE_TARGET __m128 llmq__to_f32x4_sse2(__m128i v) { return _mm_cvtepi32_ps(v); }
LLMQ__INLINE_TARGET __m128 llmq__load_f32x4_sse2(const float *p) { return _mm_loadu_ps(p); }
LLMQ__INLINE_TARGET void llmq__store_f32x4_sse2(float *p, __m128 v) { _mm_storeu_ps(p, v); }
LLMQ__INLINE_TARGET __m128i llmq__load_i32x4_sse2(const int32_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
LLMQ__INLINE_TARGET void llmq__store_i32x4_sse2(int32_t *p, __m128i v) { _mm_storeu_si128((__m128i *)(void *)p, v); }
/* A bfloat16 is the upper half of a float. Lanes 0 and 1 are made as one integer of 64 bits, lanes
   2 and 3 as another. */
LLMQ__INLINE_TARGET __m128 llmq__load_bf16x4_sse2(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
                                                  const uint8_t *p3)
{
    uint64_t low = (uint64_t)llmq__load16(p0) << 16 | (uint64_t)llmq__load16(p1) << 48;
    uint64_t high = (uint64_t)llmq__load16(p2) << 16 | (uint64_t)llmq__load16(p3) << 48;
    return _mm_castsi128_ps(_mm_set_epi64x((long long)high, (long long)low));
}
/* *even and *odd = the two bfloat16 at each pointer, which is read for 4 bytes. */
LLMQ__INLINE_TARGET void llmq__load_two_bf16x4_sse2(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
                                                    const uint8_t *p3, __m128 *even, __m128 *odd)
{
    __m128i a = _mm_cvtsi32_si128((int)llmq__load32(p0)), b = _mm_cvtsi32_si128((int)llmq__load32(p1)),
        c = _mm_cvtsi32_si128((int)llmq__load32(p2)), d = _mm_cvtsi32_si128((int)llmq__load32(p3)),
        v = _mm_unpacklo_epi64(_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
    *even = _mm_castsi128_ps(_mm_slli_epi32(v, 16));
    *odd = _mm_castsi128_ps(_mm_and_si128(v, _mm_set1_epi32((int)0xffff0000u)));
}
#undef LLMQ__TARGET

#if LLMQ_SIMD_SSSE3
/* Words on floats. Four vectors of 4 floats are an f32x16. Constants of shuffles name the source of
   lane 3 first, in two bits each. */
#define LLMQ__TARGET LLMQ__TARGET_OF("ssse3")

/* A native vector has 4 floats. */
typedef __m128 llmq__f32v_ssse3;
LLMQ__INLINE_TARGET __m128 llmq__loadv_ssse3(const float *p) { return _mm_loadu_ps(p); }
LLMQ__INLINE_TARGET void llmq__storev_ssse3(float *p, __m128 v) { _mm_storeu_ps(p, v); }
LLMQ__INLINE_TARGET __m128 llmq__setv_ssse3(float x) { return _mm_set1_ps(x); }
LLMQ__INLINE_TARGET __m128 llmq__addv_ssse3(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
LLMQ__INLINE_TARGET __m128 llmq__subv_ssse3(__m128 a, __m128 b) { return _mm_sub_ps(a, b); }
LLMQ__INLINE_TARGET __m128 llmq__mulv_ssse3(__m128 a, __m128 b) { return _mm_mul_ps(a, b); }
/* There is no fused operation. The product is exact, so it is not rounded either. */
LLMQ__INLINE_TARGET __m128 llmq__maddv_ssse3(__m128 sum, __m128 a, __m128 b)
{
    return _mm_add_ps(sum, _mm_mul_ps(a, b));
}
/* Distance 1, then distance 2. 0xb1 swaps neighbours, 0x4e swaps halves. The partner comes from the
   shuffle, and the xor makes a subtraction where the result is a - b: a + -b is a - b, and b + a is
   a + b. */
LLMQ__INLINE_TARGET __m128 llmq__load_butterfly_ssse3(const float *p)
{
    const __m128 odd = _mm_castsi128_ps(_mm_set_epi32(INT32_MIN, 0, INT32_MIN, 0));
    const __m128 high = _mm_castsi128_ps(_mm_set_epi32(INT32_MIN, INT32_MIN, 0, 0));
    __m128 v = _mm_loadu_ps(p);
    /* check: 0xb1 == 2 * 64 + 3 * 16 + 0 * 4 + 1 */
    v = _mm_add_ps(_mm_shuffle_ps(v, v, 0xb1), _mm_xor_ps(v, odd)); /* b + a, a - b */
    /* check: 0x4e == 1 * 64 + 0 * 16 + 3 * 4 + 2 */
    return _mm_add_ps(_mm_shuffle_ps(v, v, 0x4e), _mm_xor_ps(v, high));
}

typedef struct llmq__f32x16_ssse3 { __m128 a, b, c, d; } llmq__f32x16_ssse3;
/* Four lanes at a time. */
#define LLMQ__EACH(op, x, y) { op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d) }
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__load16_ssse3(const float *p)
{
    llmq__f32x16_ssse3 v = { _mm_loadu_ps(p), _mm_loadu_ps(p + 4), _mm_loadu_ps(p + 8), _mm_loadu_ps(p + 12) };
    return v;
}
LLMQ__INLINE_TARGET void llmq__store16_ssse3(float *p, llmq__f32x16_ssse3 v)
{
    _mm_storeu_ps(p, v.a);
    _mm_storeu_ps(p + 4, v.b);
    _mm_storeu_ps(p + 8, v.c);
    _mm_storeu_ps(p + 12, v.d);
}
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__set16_ssse3(float x)
{
    __m128 v = _mm_set1_ps(x);
    llmq__f32x16_ssse3 r = { v, v, v, v };
    return r;
}
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__add16_ssse3(llmq__f32x16_ssse3 x, llmq__f32x16_ssse3 y)
{
    llmq__f32x16_ssse3 r = LLMQ__EACH(_mm_add_ps, x, y);
    return r;
}
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__sub16_ssse3(llmq__f32x16_ssse3 x, llmq__f32x16_ssse3 y)
{
    llmq__f32x16_ssse3 r = LLMQ__EACH(_mm_sub_ps, x, y);
    return r;
}
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__mul16_ssse3(llmq__f32x16_ssse3 x, llmq__f32x16_ssse3 y)
{
    llmq__f32x16_ssse3 r = LLMQ__EACH(_mm_mul_ps, x, y);
    return r;
}
/* lanes i + (i + 8), then i + (i + 4), and the rest in fold4, as llmq__lane_sum */
LLMQ__INLINE_TARGET float llmq__sum16_ssse3(llmq__f32x16_ssse3 v)
{
    return llmq__fold4_sse2(_mm_add_ps(_mm_add_ps(v.a, v.c), _mm_add_ps(v.b, v.d)));
}
/* Each byte goes to the top of 16 and then of 32 bits. An arithmetic shift by 24 brings it down and
   extends its sign. The conversion to float is exact. */
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__from_i8x16_ssse3(const int8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p), z = _mm_setzero_si128();
    __m128i lo = _mm_unpacklo_epi8(z, v), hi = _mm_unpackhi_epi8(z, v);
    llmq__f32x16_ssse3 r;
    r.a = _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(z, lo), 24));
    r.b = _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpackhi_epi16(z, lo), 24));
    r.c = _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(z, hi), 24));
    r.d = _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpackhi_epi16(z, hi), 24));
    return r;
}
/* flip16 for four lanes and bits 0 to 3. Lane i has flag 1 << i, and `set` is all ones where that
   bit is set. Its lowest bit becomes the sign bit. */
LLMQ__INLINE_TARGET __m128 llmq__flip4_ssse3(__m128 v, uint32_t bits)
{
    const __m128i flag = _mm_set_epi32(8, 4, 2, 1);
    __m128i set = _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)bits), flag), flag);
    return _mm_xor_ps(v, _mm_castsi128_ps(_mm_slli_epi32(set, 31)));
}
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__flip16_ssse3(llmq__f32x16_ssse3 v, uint32_t bits)
{
    v.a = llmq__flip4_ssse3(v.a, bits);
    v.b = llmq__flip4_ssse3(v.b, bits >> 4);
    v.c = llmq__flip4_ssse3(v.c, bits >> 8);
    v.d = llmq__flip4_ssse3(v.d, bits >> 12);
    return v;
}
/* The 16 lanes are folded into four: lane i has the maximum of lanes i, i + 4, i + 8 and i + 12. */
typedef __m128i llmq__u32x16_ssse3;
LLMQ__INLINE_TARGET __m128i llmq__zero_u32x16_ssse3(void) { return _mm_setzero_si128(); }
/* SSSE3 has no maximum of 32-bit integers. The comparison is signed, which is right below 2^31:
   these are bits of magnitudes. */
LLMQ__INLINE_TARGET __m128i llmq__max32_ssse3(__m128i a, __m128i b)
{
    __m128i gt = _mm_cmpgt_epi32(a, b);
    return _mm_or_si128(_mm_and_si128(gt, a), _mm_andnot_si128(gt, b));
}
LLMQ__INLINE_TARGET __m128i llmq__max_abs16_ssse3(__m128i m, llmq__f32x16_ssse3 v)
{
    const __m128i rest = _mm_set1_epi32(0x7fffffff);
    m = llmq__max32_ssse3(m, _mm_and_si128(_mm_castps_si128(v.a), rest));
    m = llmq__max32_ssse3(m, _mm_and_si128(_mm_castps_si128(v.b), rest));
    m = llmq__max32_ssse3(m, _mm_and_si128(_mm_castps_si128(v.c), rest));
    return llmq__max32_ssse3(m, _mm_and_si128(_mm_castps_si128(v.d), rest));
}
LLMQ__INLINE_TARGET uint32_t llmq__max_lane_ssse3(__m128i m)
{
    m = llmq__max32_ssse3(m, _mm_shuffle_epi32(m, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(llmq__max32_ssse3(m, _mm_shuffle_epi32(m, 0xb1)));
}
/* llmq__round of four floats: adding 1.5 * 2^23 rounds to whole numbers, and leaves v + 2^22 in the
   low 23 bits. */
LLMQ__INLINE_TARGET __m128i llmq__round_ssse3(__m128 v)
{
    /* check: 12582912.0f == 1.5 * 2^23 */
    __m128i u = _mm_castps_si128(_mm_add_ps(v, _mm_set1_ps(12582912.0f)));
    /* check: 0x7fffff == 2^23 - 1; 0x400000 == 2^22 */
    return _mm_sub_epi32(_mm_and_si128(u, _mm_set1_epi32(0x7fffff)), _mm_set1_epi32(0x400000));
}
/* The packs saturate, but all values fit int8. */
LLMQ__INLINE_TARGET void llmq__to_i8x16_ssse3(int8_t *q, llmq__f32x16_ssse3 v)
{
    __m128i lo = _mm_packs_epi32(llmq__round_ssse3(v.a), llmq__round_ssse3(v.b));
    __m128i hi = _mm_packs_epi32(llmq__round_ssse3(v.c), llmq__round_ssse3(v.d));
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(lo, hi));
}
/* min_update for four lanes: SSSE3 has no blend, so masks choose. The comparison is false where an
   operand is NaN. */
LLMQ__INLINE_TARGET void llmq__keep4_ssse3(__m128 s, __m128 k, __m128 *least, __m128 *code)
{
    __m128 less = _mm_cmplt_ps(s, *least);
    *least = _mm_or_ps(_mm_and_ps(less, s), _mm_andnot_ps(less, *least));
    *code = _mm_or_ps(_mm_and_ps(less, k), _mm_andnot_ps(less, *code));
}
LLMQ__INLINE_TARGET void llmq__min_update_ssse3(llmq__f32x16_ssse3 s, llmq__f32x16_ssse3 k, llmq__f32x16_ssse3 *least,
                                                llmq__f32x16_ssse3 *code)
{
    llmq__keep4_ssse3(s.a, k.a, &least->a, &code->a);
    llmq__keep4_ssse3(s.b, k.b, &least->b, &code->b);
    llmq__keep4_ssse3(s.c, k.c, &least->c, &code->c);
    llmq__keep4_ssse3(s.d, k.d, &least->d, &code->d);
}
/* minps gives its second operand unless the first is less, so the operands change places: x stays
   if y is NaN or equal. */
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__min16_ssse3(llmq__f32x16_ssse3 x, llmq__f32x16_ssse3 y)
{
    llmq__f32x16_ssse3 r = LLMQ__EACH(_mm_min_ps, y, x);
    return r;
}
/* Masks of 32 bits, 0 or -1, become masks of 16 and of 8 bits, as saturation keeps both. Then the
   sign bits are collected. */
LLMQ__INLINE_TARGET uint32_t llmq__less16_ssse3(llmq__f32x16_ssse3 x, llmq__f32x16_ssse3 y)
{
    __m128i ab = _mm_packs_epi32(_mm_castps_si128(_mm_cmplt_ps(x.a, y.a)), _mm_castps_si128(_mm_cmplt_ps(x.b, y.b)));
    __m128i cd = _mm_packs_epi32(_mm_castps_si128(_mm_cmplt_ps(x.c, y.c)), _mm_castps_si128(_mm_cmplt_ps(x.d, y.d)));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(ab, cd));
}
/* |x - y|: the mask is the sign bit. */
LLMQ__INLINE_TARGET __m128 llmq__away4_ssse3(__m128 x, __m128 y)
{
    return _mm_andnot_ps(_mm_set1_ps(-0.0f), _mm_sub_ps(x, y));
}
LLMQ__INLINE_TARGET llmq__f32x16_ssse3 llmq__absdiff_min_ssse3(llmq__f32x16_ssse3 least, llmq__f32x16_ssse3 x,
                                                               llmq__f32x16_ssse3 y)
{
    llmq__f32x16_ssse3 d = LLMQ__EACH(llmq__away4_ssse3, x, y);
    return llmq__min16_ssse3(least, d);
}
/* The pack saturates at 2^15 - 1, and codes are below 2^15. */
LLMQ__INLINE_TARGET void llmq__store_u16x16_ssse3(uint16_t *p, llmq__f32x16_ssse3 v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm_packs_epi32(_mm_cvttps_epi32(v.a), _mm_cvttps_epi32(v.b)));
    _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm_packs_epi32(_mm_cvttps_epi32(v.c), _mm_cvttps_epi32(v.d)));
}

#undef LLMQ__EACH
/* There are 16 vector registers. add_products holds 4 * 2 sums, 2 vectors, a factor and a product,
   because there is no fused operation. The butterflies hold 8 vectors and a copy. */
/* check: 4 * 2 + 2 + 1 + 1 <= 16 */
#define LLMQ__SIMD_PART LLMQ__PART_FLOATS
#define LLMQ__ISA ssse3
#define LLMQ__VEC_LANES 4
#define LLMQ__RADIX 8
#define LLMQ__MR_VECTORS 4
#define LLMQ__NR_VECTORS 2
#include LLMQ_SIMD_SELF

/* Words on bytes. */
typedef struct llmq__u8x32_ssse3 { __m128i a, b; } llmq__u8x32_ssse3;
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__load_u8_ssse3(const void *p)
{
    llmq__u8x32_ssse3 v = { _mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)p + 1) };
    return v;
}
LLMQ__INLINE_TARGET void llmq__store_u8_ssse3(void *p, llmq__u8x32_ssse3 v)
{
    _mm_storeu_si128((__m128i *)p, v.a);
    _mm_storeu_si128((__m128i *)p + 1, v.b);
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__or_u8_ssse3(llmq__u8x32_ssse3 x, llmq__u8x32_ssse3 y)
{
    llmq__u8x32_ssse3 v = { _mm_or_si128(x.a, y.a), _mm_or_si128(x.b, y.b) };
    return v;
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__xor_u8_ssse3(llmq__u8x32_ssse3 x, llmq__u8x32_ssse3 y)
{
    llmq__u8x32_ssse3 v = { _mm_xor_si128(x.a, y.a), _mm_xor_si128(x.b, y.b) };
    return v;
}
/* choose for 16 bytes: `set` is all ones in the bytes whose bit is set. */
LLMQ__INLINE_TARGET __m128i llmq__choose1_ssse3(__m128i x, __m128i y, __m128i v, uint32_t at)
{
    __m128i flag = _mm_set1_epi8((char)(1 << at)), set = _mm_cmpeq_epi8(_mm_and_si128(v, flag), flag);
    return _mm_or_si128(_mm_and_si128(set, y), _mm_andnot_si128(set, x));
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__choose_ssse3(llmq__u8x32_ssse3 x, llmq__u8x32_ssse3 y, llmq__u8x32_ssse3 v,
                                                         uint32_t at)
{
    llmq__u8x32_ssse3 r = { llmq__choose1_ssse3(x.a, y.a, v.a, at), llmq__choose1_ssse3(x.b, y.b, v.b, at) };
    return r;
}
/* field for 16 bytes. There is no shift of bytes: a shift of 16 bits moves bits of the next byte in
   at the top, and the mask clears them. */
LLMQ__INLINE_TARGET __m128i llmq__part1_ssse3(__m128i v, uint32_t s, int mask)
{
    return _mm_and_si128(_mm_srli_epi16(v, (int)s), _mm_set1_epi8((char)mask));
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__field_ssse3(llmq__u8x32_ssse3 x, uint32_t s, int mask)
{
    llmq__u8x32_ssse3 v = { llmq__part1_ssse3(x.a, s, mask), llmq__part1_ssse3(x.b, s, mask) };
    return v;
}
/* A shift of 16 bits does, because no bit leaves its byte. */
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__shift_left_ssse3(llmq__u8x32_ssse3 x, uint32_t s)
{
    llmq__u8x32_ssse3 v = { _mm_slli_epi16(x.a, (int)s), _mm_slli_epi16(x.b, (int)s) };
    return v;
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__load_halves_ssse3(const void *p, uint32_t s, uint32_t d, int mask)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    llmq__u8x32_ssse3 v = { llmq__part1_ssse3(x, s, mask), llmq__part1_ssse3(x, s + d, mask) };
    return v;
}
/* unpack: a0 b0 a1 b1 ... of the lower or upper 8 bytes of each. */
LLMQ__INLINE_TARGET void llmq__store_pairs_ssse3(int8_t *p, llmq__u8x32_ssse3 x, llmq__u8x32_ssse3 y)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm_unpacklo_epi8(x.a, y.a));
    _mm_storeu_si128((__m128i *)(void *)p + 1, _mm_unpackhi_epi8(x.a, y.a));
    _mm_storeu_si128((__m128i *)(void *)p + 2, _mm_unpacklo_epi8(x.b, y.b));
    _mm_storeu_si128((__m128i *)(void *)p + 3, _mm_unpackhi_epi8(x.b, y.b));
}

/* Words on points: 16 points a register. pshufb looks up 16 of them by the low 4 bits of each
   byte. */
typedef struct llmq__point_table_ssse3 { __m128i a, b, c, d; } llmq__point_table_ssse3;
LLMQ__INLINE_TARGET llmq__point_table_ssse3 llmq__point_table_of_ssse3(const int8_t *p)
{
    llmq__u8x32_ssse3 lo = llmq__load_u8_ssse3(p), hi = llmq__load_u8_ssse3(p + 32);
    llmq__point_table_ssse3 t = { lo.a, lo.b, hi.a, hi.b };
    return t;
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__lut16_ssse3(const llmq__point_table_ssse3 *t, llmq__u8x32_ssse3 v)
{
    v.a = _mm_shuffle_epi8(t->a, v.a);
    v.b = _mm_shuffle_epi8(t->a, v.b);
    return v;
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__lutk_ssse3(const llmq__point_table_ssse3 *t, uint32_t k,
                                                       llmq__u8x32_ssse3 v)
{
    __m128i p = k == 0 ? t->a : k == 1 ? t->b : k == 2 ? t->c : t->d;
    v.a = _mm_shuffle_epi8(p, v.a);
    v.b = _mm_shuffle_epi8(p, v.b);
    return v;
}
/* Points first ... first + 15 where v is one of them, else 0; v is below 64. pshufb gives 0 where
   bit 7 of an index is set. The xor makes the 16 indices that the table is for 0 ... 15, and all
   others 16 or more. Adding 0x70 sets bit 7 of the others, and leaves the low 4 bits of the 16. */
/* check: 15 + 0x70 < 128 <= 16 + 0x70 */
LLMQ__INLINE_TARGET __m128i llmq__one_of_ssse3(__m128i t, __m128i v, int first)
{
    return _mm_shuffle_epi8(t, _mm_adds_epu8(_mm_xor_si128(v, _mm_set1_epi8((char)first)), _mm_set1_epi8(0x70)));
}
/* Each byte is found in one of the n / 16 tables, and the others give 0. */
LLMQ__INLINE_TARGET __m128i llmq__look_ssse3(const llmq__point_table_ssse3 *t, __m128i v, int n)
{
    __m128i r = _mm_or_si128(llmq__one_of_ssse3(t->a, v, 0), llmq__one_of_ssse3(t->b, v, 16));
    if (n == 32) return r;
    return _mm_or_si128(r, _mm_or_si128(llmq__one_of_ssse3(t->c, v, 32), llmq__one_of_ssse3(t->d, v, 48)));
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__lut32_ssse3(const llmq__point_table_ssse3 *t, llmq__u8x32_ssse3 v)
{
    v.a = llmq__look_ssse3(t, v.a, 32);
    v.b = llmq__look_ssse3(t, v.b, 32);
    return v;
}
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__lut64_ssse3(const llmq__point_table_ssse3 *t, llmq__u8x32_ssse3 v)
{
    v.a = llmq__look_ssse3(t, v.a, 64);
    v.b = llmq__look_ssse3(t, v.b, 64);
    return v;
}
/* max(code - 128, -127): a subtraction of 128 is a change of bit 7. */
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__coded_g8_ssse3(llmq__u8x32_ssse3 v)
{
    const __m128i one = _mm_set1_epi8(1), top = _mm_set1_epi8((char)-128);
    v.a = _mm_xor_si128(_mm_max_epu8(v.a, one), top);
    v.b = _mm_xor_si128(_mm_max_epu8(v.b, one), top);
    return v;
}
/* Coded points are plain. */
LLMQ__INLINE_TARGET llmq__u8x32_ssse3 llmq__to_i8_ssse3(llmq__u8x32_ssse3 v) { return v; }

/* Products. pmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits, with
   saturation. So the unsigned operand is |a|, and the signed one the point with the sign of a. A
   point must be at least -127, because -128 has no int8 of the other sign. Two products fit 16
   bits: */
/* check: 2 * 127 * 127 < 2**15 */
typedef struct llmq__act32_ssse3 { __m128i a, b, abs_a, abs_b; } llmq__act32_ssse3;
LLMQ__INLINE_TARGET llmq__act32_ssse3 llmq__act32_of_ssse3(__m128i a, __m128i b)
{
    llmq__act32_ssse3 v = { a, b, _mm_abs_epi8(a), _mm_abs_epi8(b) };
    return v;
}
LLMQ__INLINE_TARGET llmq__act32_ssse3 llmq__load_act_ssse3(const int8_t *p)
{
    llmq__u8x32_ssse3 v = llmq__load_u8_ssse3(p);
    return llmq__act32_of_ssse3(v.a, v.b);
}
/* `apart` moves the even bytes to the lower half of each vector, and the odd ones to the upper
   half. */
LLMQ__INLINE_TARGET void llmq__load_act2_ssse3(const int8_t *p, llmq__act32_ssse3 *even, llmq__act32_ssse3 *odd)
{
    const __m128i apart = _mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0);
    llmq__u8x32_ssse3 lo = llmq__load_u8_ssse3(p), hi = llmq__load_u8_ssse3(p + 32);
    __m128i a = _mm_shuffle_epi8(lo.a, apart), b = _mm_shuffle_epi8(lo.b, apart);
    __m128i c = _mm_shuffle_epi8(hi.a, apart), d = _mm_shuffle_epi8(hi.b, apart);
    *even = llmq__act32_of_ssse3(_mm_unpacklo_epi64(a, b), _mm_unpacklo_epi64(c, d));
    *odd = llmq__act32_of_ssse3(_mm_unpackhi_epi64(a, b), _mm_unpackhi_epi64(c, d));
}
/* Sums are four int32. */
typedef __m128i llmq__i32sums_ssse3;
LLMQ__INLINE_TARGET __m128i llmq__zero_sums_ssse3(void) { return _mm_setzero_si128(); }
/* pmaddwd by 1 adds pairs of 16-bit sums in 32 bits. */
LLMQ__INLINE_TARGET __m128i llmq__dot_ssse3(__m128i sum, llmq__u8x32_ssse3 w, llmq__act32_ssse3 x)
{
    const __m128i one = _mm_set1_epi16(1);
    sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(x.abs_a, _mm_sign_epi8(w.a, x.a)), one));
    return _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(x.abs_b, _mm_sign_epi8(w.b, x.b)), one));
}
LLMQ__INLINE_TARGET __m128i llmq__bias_ssse3(__m128i sum, llmq__act32_ssse3 x) { (void)x; return sum; }

/* Any int8 points: points and activations are extended to 16 bits, for pmaddwd. */
typedef struct llmq__act_any_ssse3 { __m128i a, b, c, d; } llmq__act_any_ssse3;
/* Each byte goes to the upper half of 16 bits, and an arithmetic shift extends its sign. */
LLMQ__INLINE_TARGET llmq__act_any_ssse3 llmq__words_ssse3(llmq__u8x32_ssse3 v)
{
    __m128i z = _mm_setzero_si128();
    llmq__act_any_ssse3 r;
    r.a = _mm_srai_epi16(_mm_unpacklo_epi8(z, v.a), 8);
    r.b = _mm_srai_epi16(_mm_unpackhi_epi8(z, v.a), 8);
    r.c = _mm_srai_epi16(_mm_unpacklo_epi8(z, v.b), 8);
    r.d = _mm_srai_epi16(_mm_unpackhi_epi8(z, v.b), 8);
    return r;
}
LLMQ__INLINE_TARGET llmq__act_any_ssse3 llmq__load_act_any_ssse3(const int8_t *p)
{
    return llmq__words_ssse3(llmq__load_u8_ssse3(p));
}
/* Sums of two products of 16 bits, |a b| <= 128 * 127, fit 32 bits with ease. */
LLMQ__INLINE_TARGET __m128i llmq__dot_any_ssse3(__m128i sum, llmq__u8x32_ssse3 w, llmq__act_any_ssse3 x)
{
    llmq__act_any_ssse3 v = llmq__words_ssse3(w);
    sum = _mm_add_epi32(sum, _mm_add_epi32(_mm_madd_epi16(v.a, x.a), _mm_madd_epi16(v.b, x.b)));
    return _mm_add_epi32(sum, _mm_add_epi32(_mm_madd_epi16(v.c, x.c), _mm_madd_epi16(v.d, x.d)));
}
LLMQ__INLINE_TARGET __m128i llmq__bias_any_ssse3(__m128i sum, llmq__act_any_ssse3 x) { (void)x; return sum; }

/* ab: a02 b02 a13 b13. There is no bias. */
LLMQ__INLINE_TARGET __m128i llmq__sum4_ssse3(__m128i a, __m128i b, __m128i c, __m128i d, __m128i bias)
{
    __m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    __m128i cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    (void)bias;
    return _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
}
/* 4 by 4 lanes of 32 bits; p + 8 is the next row, 128 bytes on. ab and cd have lanes 0 and 1 of two
   rows, then lanes 2 and 3: a0 b0 a1 b1 and c0 d0 c1 d1 give rows 0 and 1 of the result. */
LLMQ__INLINE_TARGET void llmq__transpose_ssse3(int8_t *e)
{
    /* check: 8 == 128 / 16 */
    __m128i *p = (__m128i *)(void *)e, a = _mm_loadu_si128(p), b = _mm_loadu_si128(p + 8),
        c = _mm_loadu_si128(p + 16), d = _mm_loadu_si128(p + 24);
    __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
    _mm_storeu_si128(p, _mm_unpacklo_epi64(ab, cd));
    _mm_storeu_si128(p + 8, _mm_unpackhi_epi64(ab, cd));
    ab = _mm_unpackhi_epi32(a, b), cd = _mm_unpackhi_epi32(c, d);
    _mm_storeu_si128(p + 16, _mm_unpacklo_epi64(ab, cd));
    _mm_storeu_si128(p + 24, _mm_unpackhi_epi64(ab, cd));
}
/* As dot(), but the magnitude is of the point, which may be -128: |-128| is 128 as an unsigned
   byte. The sign goes to the activation, which is not -128. */
/* check: 2 * 128 * 127 < 2**15 */
LLMQ__INLINE_TARGET __m128i llmq__dot4_ssse3(__m128i sum, const int8_t *w, const int8_t *x, uint32_t k)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)w), pairs;
    int32_t four;
    LLMQ_MEMCPY(&four, x + 4 * k, 4);
    pairs = _mm_maddubs_epi16(_mm_abs_epi8(v), _mm_sign_epi8(_mm_set1_epi32(four), v));
    return _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
}
LLMQ__INLINE_TARGET void llmq__add_sums_ssse3(int32_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm_add_epi32(_mm_loadu_si128((const __m128i *)(const void *)p), v));
}

/* LLMQ__LEAST: see act32. Raw rows go through llmq__values, because f16 has no instruction here. */
#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA ssse3
#define LLMQ__DECODED 0
#define LLMQ__RAW 0
#define LLMQ__QUADS sse2
#define LLMQ__LEAST (-127)
#define LLMQ__VECTOR_BYTES 16u
#define LLMQ__OFFSET 0
#define LLMQ__WHOLE 1
#include LLMQ_SIMD_SELF
LLMQ__TABLE(ssse3, LLMQ_CPU_SSSE3, _ssse3, _ssse3, _ssse3, _ssse3);
#undef LLMQ__TARGET
#endif

#elif LLMQ__SIMD_PART == LLMQ__PART_AVX2
#undef LLMQ__SIMD_PART

/* ---- 6. x86: AVX2, and with VNNI ------------------------------------------------------------- */

#define LLMQ__TARGET LLMQ__TARGET_OF("avx2,fma,f16c")

/* Words on floats. A native vector has 8 floats, and two are an f32x16. Many instructions work
   within halves of 128 bits, and a permutation mends the order of halves or quarters after them.
   Its constant names the sources, the last one first. */
typedef __m256 llmq__f32v_avx2;
LLMQ__INLINE_TARGET __m256 llmq__loadv_avx2(const float *p) { return _mm256_loadu_ps(p); }
LLMQ__INLINE_TARGET void llmq__storev_avx2(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
LLMQ__INLINE_TARGET __m256 llmq__setv_avx2(float x) { return _mm256_set1_ps(x); }
LLMQ__INLINE_TARGET __m256 llmq__addv_avx2(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
LLMQ__INLINE_TARGET __m256 llmq__subv_avx2(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
LLMQ__INLINE_TARGET __m256 llmq__mulv_avx2(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
/* fused, because the product is exact */
LLMQ__INLINE_TARGET __m256 llmq__maddv_avx2(__m256 sum, __m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, sum); }
/* Distances 1, 2 and 4. Each step is partner + sign * own or own * sign + partner. A product with 1
   or -1 is exact, so fused or not is the same.
   moveldup gives a a c c ..., movehdup b b d d ..., so that the first step is a + b, a - b. A load
   that doubles lanes costs no shuffle, so p is loaded twice. Then 0x4e swaps pairs of lanes in each
   half, and permute2f128 by 1 swaps the halves. */
LLMQ__INLINE_TARGET __m256 llmq__load_butterfly_avx2(const float *p)
{
    const __m256 s1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1), s2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
    const __m256 s4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    __m256 v = _mm256_moveldup_ps(_mm256_loadu_ps(p));
    LLMQ__RELOAD_BARRIER(p);
    v = _mm256_fmadd_ps(_mm256_movehdup_ps(_mm256_loadu_ps(p)), s1, v);
    /* check: 0x4e == 1 * 64 + 0 * 16 + 3 * 4 + 2 */
    v = _mm256_fmadd_ps(v, s2, _mm256_permute_ps(v, 0x4e));
    return _mm256_fmadd_ps(v, s4, _mm256_permute2f128_ps(v, v, 1));
}

/* lanes 0 ... 7 and 8 ... 15 */
typedef struct llmq__f32x16_avx2 { __m256 a, b; } llmq__f32x16_avx2;
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__f32x16_of_avx2(__m256 a, __m256 b)
{
    llmq__f32x16_avx2 v;
    v.a = a;
    v.b = b;
    return v;
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__load16_avx2(const float *p)
{
    return llmq__f32x16_of_avx2(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
LLMQ__INLINE_TARGET void llmq__store16_avx2(float *p, llmq__f32x16_avx2 v)
{
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__set16_avx2(float x)
{
    return llmq__f32x16_of_avx2(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__add16_avx2(llmq__f32x16_avx2 x, llmq__f32x16_avx2 y)
{
    return llmq__f32x16_of_avx2(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__sub16_avx2(llmq__f32x16_avx2 x, llmq__f32x16_avx2 y)
{
    return llmq__f32x16_of_avx2(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__mul16_avx2(llmq__f32x16_avx2 x, llmq__f32x16_avx2 y)
{
    return llmq__f32x16_of_avx2(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b));
}
LLMQ__INLINE_TARGET __m128i llmq__ld8_avx2(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
/* A bfloat16 is the upper half of a float. */
LLMQ__INLINE_TARGET __m256 llmq__brain8_avx2(__m128i v)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__from_bf16x16_avx2(const uint8_t *p)
{
    return llmq__f32x16_of_avx2(llmq__brain8_avx2(llmq__ld8_avx2(p)), llmq__brain8_avx2(llmq__ld8_avx2(p + 16)));
}
/* The conversion is exact, keeps subnormals, and makes a NaN quiet, as llmq_f16_to_f32. */
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__from_f16x16_avx2(const uint8_t *p)
{
    return llmq__f32x16_of_avx2(_mm256_cvtph_ps(llmq__ld8_avx2(p)), _mm256_cvtph_ps(llmq__ld8_avx2(p + 16)));
}
/* Lanes i + (i + 4), then fold4. In sum16 lanes i + (i + 8) come first. Together this is
   llmq__lane_sum. */
LLMQ__INLINE_TARGET float llmq__fold8_avx2(__m256 v)
{
    return llmq__fold4_sse2(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}
LLMQ__INLINE_TARGET float llmq__sum16_avx2(llmq__f32x16_avx2 v) { return llmq__fold8_avx2(_mm256_add_ps(v.a, v.b)); }
/* 8 int8 as floats. Reads 8 bytes. */
LLMQ__INLINE_TARGET __m256 llmq__widen8_avx2(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__from_i8x16_avx2(const int8_t *p)
{
    return llmq__f32x16_of_avx2(llmq__widen8_avx2(p), llmq__widen8_avx2(p + 8));
}
/* flip16 for eight lanes: bit i of bits is shifted to the sign bit of lane i, by 31 - i. */
LLMQ__INLINE_TARGET __m256 llmq__flip8_avx2(__m256 v, uint32_t bits)
{
    const __m256i up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i top = _mm256_set1_epi32(INT32_MIN);
    return _mm256_xor_ps(v, _mm256_castsi256_ps(_mm256_and_si256(_mm256_sllv_epi32(_mm256_set1_epi32((int)bits), up),
                                                                 top)));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__flip16_avx2(llmq__f32x16_avx2 v, uint32_t bits)
{
    return llmq__f32x16_of_avx2(llmq__flip8_avx2(v.a, bits), llmq__flip8_avx2(v.b, bits >> 8));
}
/* The 16 lanes are folded into eight. Maxima are signed, which is right for bits of magnitudes. */
typedef __m256i llmq__u32x16_avx2;
LLMQ__INLINE_TARGET __m256i llmq__zero_u32x16_avx2(void) { return _mm256_setzero_si256(); }
LLMQ__INLINE_TARGET __m256i llmq__max_abs16_avx2(__m256i m, llmq__f32x16_avx2 v)
{
    const __m256i rest = _mm256_set1_epi32(0x7fffffff);
    m = _mm256_max_epi32(m, _mm256_and_si256(_mm256_castps_si256(v.a), rest));
    return _mm256_max_epi32(m, _mm256_and_si256(_mm256_castps_si256(v.b), rest));
}
/* 0xb1 swaps neighbours. */
LLMQ__INLINE_TARGET uint32_t llmq__max_lane_avx2(__m256i v)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    /* check: 0x4e == 1 * 64 + 0 * 16 + 3 * 4 + 2 */
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    /* check: 0xb1 == 2 * 64 + 3 * 16 + 0 * 4 + 1 */
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}
/* llmq__round of eight floats: see llmq__round_ssse3. */
LLMQ__INLINE_TARGET __m256i llmq__round_avx2(__m256 v)
{
    __m256i u = _mm256_castps_si256(_mm256_add_ps(v, _mm256_set1_ps(12582912.0f)));
    return _mm256_sub_epi32(_mm256_and_si256(u, _mm256_set1_epi32(0x7fffff)), _mm256_set1_epi32(0x400000));
}
/* The pack takes lanes 0 to 3 of a and b, then lanes 4 to 7 of both. So its quarters are in the
   order a b a b, and 0xd8 makes it a a b b. */
LLMQ__INLINE_TARGET void llmq__to_i8x16_avx2(int8_t *q, llmq__f32x16_avx2 v)
{
    /* check: 0xd8 == 3 * 64 + 1 * 16 + 2 * 4 + 0 */
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(llmq__round_avx2(v.a), llmq__round_avx2(v.b)), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}
/* ordered comparisons: false where an operand is NaN */
LLMQ__INLINE_TARGET void llmq__min_update_avx2(llmq__f32x16_avx2 s, llmq__f32x16_avx2 k, llmq__f32x16_avx2 *least,
                                               llmq__f32x16_avx2 *code)
{
    __m256 a = _mm256_cmp_ps(s.a, least->a, _CMP_LT_OQ), b = _mm256_cmp_ps(s.b, least->b, _CMP_LT_OQ);
    *least = llmq__f32x16_of_avx2(_mm256_blendv_ps(least->a, s.a, a), _mm256_blendv_ps(least->b, s.b, b));
    *code = llmq__f32x16_of_avx2(_mm256_blendv_ps(code->a, k.a, a), _mm256_blendv_ps(code->b, k.b, b));
}
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__min16_avx2(llmq__f32x16_avx2 x, llmq__f32x16_avx2 y)
{
    /* minps gives its second operand unless the first is less */
    return llmq__f32x16_of_avx2(_mm256_min_ps(y.a, x.a), _mm256_min_ps(y.b, x.b));
}
LLMQ__INLINE_TARGET uint32_t llmq__less16_avx2(llmq__f32x16_avx2 x, llmq__f32x16_avx2 y)
{
    __m256 a = _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), b = _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ);
    return (uint32_t)_mm256_movemask_ps(a) | (uint32_t)_mm256_movemask_ps(b) << 8;
}
/* |x - y| is the difference without its sign bit. */
LLMQ__INLINE_TARGET llmq__f32x16_avx2 llmq__absdiff_min_avx2(llmq__f32x16_avx2 least, llmq__f32x16_avx2 x,
                                                             llmq__f32x16_avx2 y)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 a = _mm256_andnot_ps(sign, _mm256_sub_ps(x.a, y.a)), b = _mm256_andnot_ps(sign, _mm256_sub_ps(x.b, y.b));
    return llmq__min16_avx2(least, llmq__f32x16_of_avx2(a, b));
}
/* 0xd8 as in to_i8x16. */
LLMQ__INLINE_TARGET void llmq__store_u16x16_avx2(uint16_t *p, llmq__f32x16_avx2 v)
{
    __m256i w = _mm256_packus_epi32(_mm256_cvttps_epi32(v.a), _mm256_cvttps_epi32(v.b));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(w, 0xd8));
}

/* There are 16 vector registers. add_products holds 4 * 3 sums, 3 vectors and a factor. The
   butterflies hold 8 vectors and a copy. */
/* check: 4 * 3 + 3 + 1 <= 16 */
#define LLMQ__SIMD_PART LLMQ__PART_FLOATS
#define LLMQ__ISA avx2
#define LLMQ__VEC_LANES 8
#define LLMQ__RADIX 8
#define LLMQ__MR_VECTORS 4
#define LLMQ__NR_VECTORS 3
#include LLMQ_SIMD_SELF

/* Words on bytes. */
typedef __m256i llmq__u8x32_avx2;
LLMQ__INLINE_TARGET __m256i llmq__load_u8_avx2(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LLMQ__INLINE_TARGET void llmq__store_u8_avx2(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
LLMQ__INLINE_TARGET __m256i llmq__or_u8_avx2(__m256i a, __m256i b) { return _mm256_or_si256(a, b); }
LLMQ__INLINE_TARGET __m256i llmq__xor_u8_avx2(__m256i a, __m256i b) { return _mm256_xor_si256(a, b); }
/* In each byte b where bit 7 of mask is set, else a.
   Under -funsigned-char gcc 12 takes the bytes for numbers that are never negative, and the
   intrinsic for a. So the instruction is written out there. gcc gets the other intrinsics in use
   here right. */
LLMQ__INLINE_TARGET __m256i llmq__blend_avx2(__m256i a, __m256i b, __m256i mask)
{
#if defined(__CHAR_UNSIGNED__) && defined(__GNUC__) && !defined(__clang__)
    __m256i v;
    __asm__("vpblendvb\t{%3, %2, %1, %0|%0, %1, %2, %3}" : "=x"(v) : "x"(a), "xm"(b), "x"(mask));
    return v;
#else
    return _mm256_blendv_epi8(a, b, mask);
#endif
}
/* Bit `at` is moved to bit 7 of its byte. The shift of 16 bits brings bits of the byte below into
   the low bits, which the blend does not look at. */
LLMQ__INLINE_TARGET __m256i llmq__choose_avx2(__m256i a, __m256i b, __m256i v, uint32_t at)
{
    return llmq__blend_avx2(a, b, at == 7 ? v : _mm256_slli_epi16(v, (int)(7 - at)));
}
/* The shift of 16 bits moves bits of the next byte in at the top, and the mask clears them. */
LLMQ__INLINE_TARGET __m256i llmq__field_avx2(__m256i v, uint32_t s, int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, (int)s), _mm256_set1_epi8((char)mask));
}
LLMQ__INLINE_TARGET __m256i llmq__shift_left_avx2(__m256i v, uint32_t s) { return _mm256_slli_epi16(v, (int)s); }
/* The 16 bytes are in both halves, and each half has a shift of its own. The mask clears the bits
   of other bytes. */
LLMQ__INLINE_TARGET __m256i llmq__load_halves_avx2(const void *p, uint32_t s, uint32_t d, int mask)
{
    __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    long long lo = (long long)s, hi = (long long)(s + d);
    return _mm256_and_si256(_mm256_srlv_epi64(v, _mm256_setr_epi64x(lo, lo, hi, hi)), _mm256_set1_epi8((char)mask));
}
/* lo and hi have pairs of both halves. 0x20 joins their lower halves, and 0x31 their upper ones. */
LLMQ__INLINE_TARGET void llmq__store_pairs_avx2(int8_t *p, __m256i a, __m256i b)
{
    __m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
    /* check: 0x20 == 2 * 16 + 0 */
    llmq__store_u8_avx2(p, _mm256_permute2x128_si256(lo, hi, 0x20));
    /* check: 0x31 == 3 * 16 + 1 */
    llmq__store_u8_avx2(p + 32, _mm256_permute2x128_si256(lo, hi, 0x31));
}

/* Words on points: 16 points each, in both halves, because pshufb looks up within a half. */
typedef struct llmq__point_table_avx2 { __m256i a, b, c, d; } llmq__point_table_avx2;
LLMQ__INLINE_TARGET __m256i llmq__both_avx2(const int8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}
LLMQ__INLINE_TARGET llmq__point_table_avx2 llmq__point_table_of_avx2(const int8_t *p)
{
    llmq__point_table_avx2 t;
    t.a = llmq__both_avx2(p);
    t.b = llmq__both_avx2(p + 16);
    t.c = llmq__both_avx2(p + 32);
    t.d = llmq__both_avx2(p + 48);
    return t;
}
LLMQ__INLINE_TARGET __m256i llmq__lut16_avx2(const llmq__point_table_avx2 *t, __m256i v)
{
    return _mm256_shuffle_epi8(t->a, v);
}
LLMQ__INLINE_TARGET __m256i llmq__lutk_avx2(const llmq__point_table_avx2 *t, uint32_t k, __m256i v)
{
    return _mm256_shuffle_epi8(k == 0 ? t->a : k == 1 ? t->b : k == 2 ? t->c : t->d, v);
}
/* pshufb looks at the low 4 bits of an index, and gives 0 where bit 7 is set, which it is not below
   128. Bit 4 moved to bit 7 chooses among two tables, and bit 5 among four. */
LLMQ__INLINE_TARGET __m256i llmq__lut32_avx2(const llmq__point_table_avx2 *t, __m256i v)
{
    /* check: 3 == 7 - 4 */
    return llmq__blend_avx2(_mm256_shuffle_epi8(t->a, v), _mm256_shuffle_epi8(t->b, v), _mm256_slli_epi16(v, 3));
}
LLMQ__INLINE_TARGET __m256i llmq__lut64_avx2(const llmq__point_table_avx2 *t, __m256i v)
{
    __m256i bit4 = _mm256_slli_epi16(v, 3), lo, hi;
    lo = llmq__blend_avx2(_mm256_shuffle_epi8(t->a, v), _mm256_shuffle_epi8(t->b, v), bit4);
    hi = llmq__blend_avx2(_mm256_shuffle_epi8(t->c, v), _mm256_shuffle_epi8(t->d, v), bit4);
    /* check: 2 == 7 - 5 */
    return llmq__blend_avx2(lo, hi, _mm256_slli_epi16(v, 2));
}
/* max(code - 128, -127): a subtraction of 128 is a change of bit 7. */
LLMQ__INLINE_TARGET __m256i llmq__coded_g8_avx2(__m256i v)
{
    return _mm256_xor_si256(_mm256_max_epu8(v, _mm256_set1_epi8(1)), _mm256_set1_epi8((char)-128));
}
/* Coded points are plain. */
LLMQ__INLINE_TARGET __m256i llmq__to_i8_avx2(__m256i v) { return v; }

/* Products: vpmaddubsw of |a| and of the point with the sign of a, as with SSSE3. */
typedef struct llmq__act32_avx2 { __m256i a, size; } llmq__act32_avx2; /* size: |a| */
LLMQ__INLINE_TARGET llmq__act32_avx2 llmq__act32_of_avx2(__m256i a)
{
    llmq__act32_avx2 v;
    v.a = a;
    v.size = _mm256_abs_epi8(a);
    return v;
}
LLMQ__INLINE_TARGET llmq__act32_avx2 llmq__load_act_avx2(const int8_t *p)
{
    return llmq__act32_of_avx2(llmq__load_u8_avx2(p));
}
/* *even and *odd = the even and the odd bytes of p[0, 64). The shuffle parts the bytes of each half
   into quarters e o e o, and 0xd8 makes them e e o o. 0x20 joins the lower halves of both vectors,
   and 0x31 the upper ones. */
LLMQ__INLINE_TARGET void llmq__apart_avx2(const int8_t *p, __m256i *even, __m256i *odd)
{
    const __m256i apart = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,
                                           0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m256i lo = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(llmq__load_u8_avx2(p), apart), 0xd8);
    __m256i hi = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(llmq__load_u8_avx2(p + 32), apart), 0xd8);
    *even = _mm256_permute2x128_si256(lo, hi, 0x20);
    *odd = _mm256_permute2x128_si256(lo, hi, 0x31);
}
LLMQ__INLINE_TARGET void llmq__load_act2_avx2(const int8_t *p, llmq__act32_avx2 *even, llmq__act32_avx2 *odd)
{
    __m256i e, o;
    llmq__apart_avx2(p, &e, &o);
    *even = llmq__act32_of_avx2(e);
    *odd = llmq__act32_of_avx2(o);
}
/* Sums are eight int32. */
typedef __m256i llmq__i32sums_avx2;
LLMQ__INLINE_TARGET __m256i llmq__zero_sums_avx2(void) { return _mm256_setzero_si256(); }
/* Two products fit 16 bits, and vpmaddwd by 1 adds pairs of their sums in 32 bits. */
/* check: 2 * 127 * 127 < 2**15 */
LLMQ__INLINE_TARGET __m256i llmq__dot_avx2(__m256i sum, __m256i w, llmq__act32_avx2 x)
{
    __m256i pairs = _mm256_maddubs_epi16(x.size, _mm256_sign_epi8(w, x.a));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
LLMQ__INLINE_TARGET __m256i llmq__bias_avx2(__m256i sum, llmq__act32_avx2 x) { (void)x; return sum; }
/* Any int8 points: points and activations are extended to 16 bits, for vpmaddwd. */
typedef struct llmq__act_any_avx2 { __m256i a, b; } llmq__act_any_avx2;
LLMQ__INLINE_TARGET llmq__act_any_avx2 llmq__words_avx2(__m256i v)
{
    llmq__act_any_avx2 r;
    r.a = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v));
    r.b = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(v, 1));
    return r;
}
LLMQ__INLINE_TARGET llmq__act_any_avx2 llmq__load_act_any_avx2(const int8_t *p)
{
    return llmq__words_avx2(llmq__load_u8_avx2(p));
}
LLMQ__INLINE_TARGET __m256i llmq__dot_any_avx2(__m256i sum, __m256i w, llmq__act_any_avx2 x)
{
    llmq__act_any_avx2 v = llmq__words_avx2(w);
    return _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(v.a, x.a), _mm256_madd_epi16(v.b, x.b)));
}
LLMQ__INLINE_TARGET __m256i llmq__bias_any_avx2(__m256i sum, llmq__act_any_avx2 x) { (void)x; return sum; }
/* In each half ab is a02 b02 a13 b13, and s is a b c d. There is no bias.
   Measured: vphaddd takes two cycles with Zen 3, and the three instructions in its place one. */
LLMQ__INLINE_TARGET __m128i llmq__sum4_avx2(__m256i a, __m256i b, __m256i c, __m256i d, __m256i bias)
{
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    __m256i s = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    (void)bias;
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}
/* The four codes at p in all lanes. Reads 4 bytes. */
LLMQ__INLINE_TARGET __m256i llmq__repeat4_avx2(const int8_t *p)
{
    int32_t four;
    LLMQ_MEMCPY(&four, p, 4);
    return _mm256_set1_epi32(four);
}
LLMQ__INLINE_TARGET void llmq__add_sums_avx2(int32_t *p, __m256i v)
{
    llmq__store_u8_avx2(p, _mm256_add_epi32(llmq__load_u8_avx2(p), v));
}
LLMQ__INLINE_TARGET void llmq__settle8_avx2(int32_t *sum, const int32_t *bias, float x_scale, const float *scale,
                                            float *y)
{
    LLMQ__NO_CONTRACT
    __m256 both = _mm256_mul_ps(_mm256_set1_ps(x_scale), _mm256_loadu_ps(scale));
    __m256i s = llmq__load_u8_avx2(sum);
    if (bias) s = _mm256_add_epi32(s, llmq__load_u8_avx2(bias));
    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), _mm256_mul_ps(_mm256_cvtepi32_ps(s), both)));
    llmq__store_u8_avx2(sum, _mm256_setzero_si256());
}
LLMQ__INLINE_TARGET void llmq__sub_sums_avx2(int32_t *p, __m256i v)
{
    llmq__store_u8_avx2(p, _mm256_sub_epi32(llmq__load_u8_avx2(p), v));
}
/* 8 by 8 lanes of 32 bits. t: pairs of rows i and i + 1, lanes 0 and 1 of each half, or 2 and 3. u:
   four rows, one lane of each half. The last step joins the lower halves of rows 0 to 3 and 4 to 7
   to row i of the result, and the upper halves to row 4 + i, which is 512 bytes on. */
LLMQ__INLINE_TARGET void llmq__transpose_avx2(int8_t *e)
{
    __m256i t[8], u[8];
    uint32_t i;
    LLMQ__UNROLL(4) for (i = 0; i < 8; i += 2) {
        __m256i a = llmq__load_u8_avx2(e + i * 128), b = llmq__load_u8_avx2(e + i * 128 + 128);
        t[i] = _mm256_unpacklo_epi32(a, b);
        t[i + 1] = _mm256_unpackhi_epi32(a, b);
    }
    LLMQ__UNROLL(2) for (i = 0; i < 8; i += 4) { /* u[i + c]: rows i ... i + 3, columns c and 4 + c */
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    LLMQ__UNROLL(4) for (i = 0; i < 4; i++) {
        llmq__store_u8_avx2(e + i * 128, _mm256_permute2x128_si256(u[i], u[i + 4], 0x20));
        /* check: 512 == 4 * 128 */
        llmq__store_u8_avx2(e + i * 128 + 512, _mm256_permute2x128_si256(u[i], u[i + 4], 0x31));
    }
}

/* As dot(), but the magnitude is of the point, which may be -128: |-128| is 128 as an unsigned
   byte. The sign goes to the activation, which is not -128. */
/* check: 2 * 128 * 127 < 2**15 */
LLMQ__INLINE_TARGET __m256i llmq__dot4_avx2(__m256i sum, const int8_t *w, const int8_t *x, uint32_t k)
{
    __m256i v = llmq__load_u8_avx2(w),
        pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(v), _mm256_sign_epi8(llmq__repeat4_avx2(x + 4 * k), v));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* LLMQ__LEAST: see act32 of SSSE3. */
#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA avx2
#define LLMQ__DECODED 0
#define LLMQ__RAW 1
#define LLMQ__QUADS sse2
#define LLMQ__LEAST (-127)
#define LLMQ__VECTOR_BYTES 32u
#define LLMQ__OFFSET 0
#define LLMQ__WHOLE 1
#include LLMQ_SIMD_SELF
LLMQ__TABLE(avx2, LLMQ_CPU_AVX2, _avx2, _avx2, _avx2, _avx2);

/* The table with VNNI shares all kernels but the products of int8, and decodes with AVX2. */
#if LLMQ_SIMD_AVXVNNI
#undef LLMQ__TARGET
#define LLMQ__TARGET LLMQ__TARGET_OF("avx2,fma,f16c,avxvnni")

#define LLMQ__SIMD_PART LLMQ__PART_VNNI
#define LLMQ__DOTS avx2vnni
#define LLMQ__DPBUSD _mm256_dpbusd_avx_epi32
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA avx2vnni
#define LLMQ__DECODED 1
#define LLMQ__CODES avx2
#define LLMQ__QUADS sse2
#define LLMQ__LEAST (-128)
#define LLMQ__VECTOR_BYTES 32u
#define LLMQ__OFFSET 1
#define LLMQ__WHOLE 1
#include LLMQ_SIMD_SELF
LLMQ__TABLE(avx2vnni, LLMQ_CPU_AVX2 | LLMQ_CPU_AVXVNNI, _avx2, _avx2, _avx2, _avx2vnni);
#endif
#undef LLMQ__TARGET

#elif LLMQ__SIMD_PART == LLMQ__PART_VNNI
#undef LLMQ__SIMD_PART

/* The words with VNNI, which AVX-512 shares.

   Parameters:
     LLMQ__DOTS    their suffix
     LLMQ__DPBUSD  the intrinsic of vpdpbusd: in each lane, sum + four products of unsigned bytes of
                   the second operand and signed bytes of the third. Nothing saturates */

#if !defined(LLMQ__TARGET) || !defined(LLMQ__DOTS) || !defined(LLMQ__DPBUSD)
#error "llmq: the words with VNNI need LLMQ__TARGET, LLMQ__DOTS and LLMQ__DPBUSD"
#endif

/* Points are coded with 128 added, as unsigned bytes, and activations stay signed. bias() adds 128
   times the sum of the activations, which sum4 takes off. Sums of a run stay below 2^26: */
/* check: 255 * 127 * 1024 < 2**26 */
typedef llmq__point_table_avx2 LLMQ__DOT(point_table);
/* 128 more or less is a change of bit 7. */
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(to_i8)(__m256i v) { return _mm256_xor_si256(v, _mm256_set1_epi8((char)-128)); }
LLMQ__INLINE_TARGET llmq__point_table_avx2 LLMQ__DOT(coded)(llmq__point_table_avx2 t)
{
    t.a = LLMQ__DOT(to_i8)(t.a);
    t.b = LLMQ__DOT(to_i8)(t.b);
    t.c = LLMQ__DOT(to_i8)(t.c);
    t.d = LLMQ__DOT(to_i8)(t.d);
    return t;
}
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(lut16)(const llmq__point_table_avx2 *t, __m256i v)
{
    return llmq__lut16_avx2(t, v);
}
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(lut32)(const llmq__point_table_avx2 *t, __m256i v)
{
    return llmq__lut32_avx2(t, v);
}
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(lut64)(const llmq__point_table_avx2 *t, __m256i v)
{
    return llmq__lut64_avx2(t, v);
}
/* A code of g8 is the point with 128 added, but code 0 is point -127. */
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(coded_g8)(__m256i v) { return _mm256_max_epu8(v, _mm256_set1_epi8(1)); }
typedef __m256i LLMQ__DOT(act32), LLMQ__DOT(act_any), LLMQ__DOT(i32sums);
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(load_act)(const int8_t *p) { return llmq__load_u8_avx2(p); }
LLMQ__INLINE_TARGET void LLMQ__DOT(load_act2)(const int8_t *p, __m256i *even, __m256i *odd)
{
    llmq__apart_avx2(p, even, odd);
}
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(zero_sums)(void) { return _mm256_setzero_si256(); }
/* w: coded points. x: activations. */
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(dot)(__m256i sum, __m256i w, __m256i x) { return LLMQ__DPBUSD(sum, w, x); }
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(bias)(__m256i sum, __m256i x)
{
    return LLMQ__DPBUSD(sum, _mm256_set1_epi8((char)-128), x);
}
/* Plain points are coded here. All int8 points have a code, so dot_any differs from dot in this
   only. */
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(load_act_any)(const int8_t *p) { return llmq__load_u8_avx2(p); }
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(dot_any)(__m256i sum, __m256i w, __m256i x)
{
    return LLMQ__DPBUSD(sum, LLMQ__DOT(to_i8)(w), x);
}
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(bias_any)(__m256i sum, __m256i x) { return LLMQ__DOT(bias)(sum, x); }
/* The bias is taken off each sum while they are vectors of eight lanes. */
LLMQ__INLINE_TARGET __m128i LLMQ__DOT(sum4)(__m256i a, __m256i b, __m256i c, __m256i d, __m256i bias)
{
    return llmq__sum4_avx2(_mm256_sub_epi32(a, bias), _mm256_sub_epi32(b, bias), _mm256_sub_epi32(c, bias),
                           _mm256_sub_epi32(d, bias), bias);
}
LLMQ__INLINE_TARGET void LLMQ__DOT(transpose)(int8_t *e) { llmq__transpose_avx2(e); }
/* Here the activations have 128 added, and the points are signed. reduce_sums gives the excess. */
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(dot4)(__m256i sum, const int8_t *w, const int8_t *x, uint32_t k)
{
    return LLMQ__DPBUSD(sum, llmq__repeat4_avx2(x + 4 * k), llmq__load_u8_avx2(w));
}
LLMQ__INLINE_TARGET __m256i LLMQ__DOT(reduce_sums)(__m256i sum, const int8_t *w)
{
    return LLMQ__DPBUSD(sum, _mm256_set1_epi8((char)-128), llmq__load_u8_avx2(w));
}
LLMQ__INLINE_TARGET void LLMQ__DOT(add_sums)(int32_t *p, __m256i v) { llmq__add_sums_avx2(p, v); }
LLMQ__INLINE_TARGET void LLMQ__DOT(sub_sums)(int32_t *p, __m256i v) { llmq__sub_sums_avx2(p, v); }
LLMQ__INLINE_TARGET void LLMQ__DOT(settle8)(int32_t *sum, const int32_t *bias, float x_scale, const float *scale,
                                            float *y)
{
    llmq__settle8_avx2(sum, bias, x_scale, scale, y);
}

#undef LLMQ__DOTS
#undef LLMQ__DPBUSD

#elif LLMQ__SIMD_PART == LLMQ__PART_AVX512
#undef LLMQ__SIMD_PART

/* ---- 7. x86: AVX-512 ----------------------------------------------------------------------------

   This section makes two tables of kernels. Both need AVX-512 F, BW, DQ, VL and VNNI.

     avx512vnni  looks 64 points up by shuffles within 16 bytes
     avx512vbmi  looks 64 points up by one byte permute, which takes indices of 6 bits (VBMI)

   They share the kernels on floats, which are the template of section 3, and the kernels on
   chunks of 32 codes, which are the template of section 4 on AVX2's words. Only products of
   int8 activations with whole units are written here. Functions on 512-bit registers begin with
   zmm_.

   Any address will do for every load and store. No kernel reads beyond the last byte of a row
   or of an activation: whole units and whole blocks of activations are loaded at full width,
   and the rest of a row under masks or by the template.

   Sums of products are int32 and exact, so their order is free. Floats are combined once for
   each run of columns, in zmm_finish, by the operations of the scalar llmq__rows_i8 in the same
   order, so that results have the same bits. */

#define LLMQ__TARGET LLMQ__TARGET_OF("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

/* ---- words on floats ----------------------------------------------------------------------------

   Section 3 lists them. A native vector and 16 floats are the same type. Each operation is
   rounded as the scalar one, on the same operands, and sums of lanes are made in the order of
   the scalar kernels. */
typedef __m512 llmq__f32v_avx512, llmq__f32x16_avx512;
LLMQ__INLINE_TARGET __m512 llmq__loadv_avx512(const float *p) { return _mm512_loadu_ps(p); }
LLMQ__INLINE_TARGET void llmq__storev_avx512(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
LLMQ__INLINE_TARGET __m512 llmq__setv_avx512(float x) { return _mm512_set1_ps(x); }
LLMQ__INLINE_TARGET __m512 llmq__addv_avx512(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
LLMQ__INLINE_TARGET __m512 llmq__subv_avx512(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
LLMQ__INLINE_TARGET __m512 llmq__mulv_avx512(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
LLMQ__INLINE_TARGET __m512 llmq__maddv_avx512(__m512 sum, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sum); }
/* Masks make loads and stores touch the first n floats alone, 1 <= n <= 16. */
LLMQ__INLINE_TARGET __m512 llmq__load_first_avx512(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
LLMQ__INLINE_TARGET void llmq__store_first_avx512(float *p, uint32_t n, __m512 v)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
/* Butterflies at distances 1, 2, 4 and 8 of the 16 floats at p: lane i becomes the other lane of
   its pair plus or minus itself. Products with 1 and -1 are exact, so that a fused operation
   rounds as the scalar addition or subtraction does. */
LLMQ__INLINE_TARGET __m512 llmq__load_butterfly_avx512(const float *p)
{
    const __m512 s1 = _mm512_setr_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1);
    const __m512 s2 = _mm512_setr_ps(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1);
    const __m512 s4 = _mm512_setr_ps(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1);
    const __m512 s8 = _mm512_setr_ps(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
    /* The loads that double lanes 0 0 2 2 ... and 1 1 3 3 ... cost no shuffle. */
    __m512 v = _mm512_moveldup_ps(_mm512_loadu_ps(p));
    LLMQ__RELOAD_BARRIER(p);
    v = _mm512_fmadd_ps(_mm512_movehdup_ps(_mm512_loadu_ps(p)), s1, v);
    /* Lanes 2 3 0 1 of each 16 bytes. */
    /* check: 0x4e == 2 | 3 << 2 | 0 << 4 | 1 << 6 */
    v = _mm512_fmadd_ps(v, s2, _mm512_permute_ps(v, 0x4e));
    /* Quarters 1 0 3 2. */
    /* check: 0xb1 == 1 | 0 << 2 | 3 << 4 | 2 << 6 */
    v = _mm512_fmadd_ps(v, s4, _mm512_shuffle_f32x4(v, v, 0xb1));
    /* Quarters 2 3 0 1. */
    /* check: 0x4e == 2 | 3 << 2 | 0 << 4 | 1 << 6 */
    return _mm512_fmadd_ps(v, s8, _mm512_shuffle_f32x4(v, v, 0x4e));
}
LLMQ__INLINE_TARGET __m512 llmq__load16_avx512(const float *p) { return _mm512_loadu_ps(p); }
LLMQ__INLINE_TARGET void llmq__store16_avx512(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
LLMQ__INLINE_TARGET __m512 llmq__set16_avx512(float x) { return _mm512_set1_ps(x); }
LLMQ__INLINE_TARGET __m512 llmq__add16_avx512(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
LLMQ__INLINE_TARGET __m512 llmq__sub16_avx512(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
LLMQ__INLINE_TARGET __m512 llmq__mul16_avx512(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
/* A bfloat16 is the upper half of a float. */
LLMQ__INLINE_TARGET __m512 llmq__from_bf16x16_avx512(const uint8_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)), 16));
}
LLMQ__INLINE_TARGET __m512 llmq__from_f16x16_avx512(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* Lanes i and i + 8 first, then i + 4, i + 2 and i + 1: the order of llmq__lane_sum. */
LLMQ__INLINE_TARGET float llmq__sum16_avx512(__m512 v)
{
    return llmq__fold8_avx2(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}
LLMQ__INLINE_TARGET __m512 llmq__from_i8x16_avx512(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* Changes the sign of lane i where bit i of bits is set: a masked XOR of the sign bits. */
LLMQ__INLINE_TARGET __m512 llmq__flip16_avx512(__m512 v, uint32_t bits)
{
    __m512i u = _mm512_castps_si512(v);
    return _mm512_castsi512_ps(_mm512_mask_xor_epi32(u, (__mmask16)bits, u, _mm512_set1_epi32(INT32_MIN)));
}
typedef __m512i llmq__u32x16_avx512;
LLMQ__INLINE_TARGET __m512i llmq__zero_u32x16_avx512(void) { return _mm512_setzero_si512(); }
/* Magnitudes of floats are ordered as their bits are. */
LLMQ__INLINE_TARGET __m512i llmq__max_abs16_avx512(__m512i m, __m512 v)
{
    return _mm512_max_epu32(m, _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff)));
}
LLMQ__INLINE_TARGET uint32_t llmq__max_lane_avx512(__m512i m) { uint32_t top = _mm512_reduce_max_epu32(m); return top; }
/* q[0, 16) = v rounded to the nearest integer, ties to even, as llmq__round_i8 does.
   |v| <= 127.5. */
LLMQ__INLINE_TARGET void llmq__to_i8x16_avx512(int8_t *q, __m512 v)
{
    /* The unit of the last place of 1.5 * 2^23 is 1, so that the sum is rounded to an integer. */
    /* check: 12582912 == 1.5 * 2^23 */
    __m512i u = _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(12582912.0f)));
    /* The low byte of the sum is the low byte of the integer: 1.5 * 2^23 adds a multiple of 256. */
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(u));
}
/* Where s < least: least = s, code = k. Strict: of equal costs the first one stays, as in the
   scalar search. A comparison with NaN is false. */
LLMQ__INLINE_TARGET void llmq__min_update_avx512(__m512 s, __m512 k, __m512 *least, __m512 *code)
{
    __mmask16 less = _mm512_cmp_ps_mask(s, *least, _CMP_LT_OQ);
    *least = _mm512_mask_mov_ps(*least, less, s);
    *code = _mm512_mask_mov_ps(*code, less, k);
}
/* vminps gives its second operand where none is less, and where one is NaN. */
LLMQ__INLINE_TARGET __m512 llmq__min16_avx512(__m512 x, __m512 y) { return _mm512_min_ps(y, x); }
LLMQ__INLINE_TARGET uint32_t llmq__less16_avx512(__m512 x, __m512 y)
{
    return (uint32_t)_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ);
}
#if defined(__GNUC__)
#pragma GCC diagnostic push /* at -O0 gcc makes a macro of this intrinsic, with a mask that is a short of -1 */
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif
/* |x - y| where that is less than least, else least; least >= 0. The difference is rounded
   once. */
LLMQ__INLINE_TARGET __m512 llmq__absdiff_min_avx512(__m512 least, __m512 x, __m512 y)
{
    /* vrangeps: 2 in bits 0 and 1 takes the lesser magnitude, 2 in bits 2 and 3 clears its sign.
       If one operand is NaN, it gives the other one, as a comparison that is false does. */
    /* check: 0x0a == 2 | 2 << 2 */
    return _mm512_range_ps(least, _mm512_sub_ps(x, y), 0x0a);
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
/* The lanes are integers below 65536, so that nothing is rounded or cut off. */
LLMQ__INLINE_TARGET void llmq__store_u16x16_avx512(uint16_t *p, __m512 v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(v)));
}

#define LLMQ__SIMD_PART LLMQ__PART_FLOATS
#define LLMQ__ISA avx512
/* 16 vectors of a butterfly and a temporary one fit 32 registers, and so do the sums of 8 rows,
   3 vectors each, the 3 vectors that are added to them, and a factor. */
/* check: 8 * 3 + 3 + 1 <= 32 */
#define LLMQ__VEC_LANES 16
#define LLMQ__RADIX 16
#define LLMQ__MR_VECTORS 8
#define LLMQ__NR_VECTORS 3
#include LLMQ_SIMD_SELF

/* Chunks of 32 codes are for short groups, for the rest of a row after its last whole unit, and for
   the rest of the rows after the last 16. Their kernels are the same as with AVX2 and VNNI. */
#define LLMQ__SIMD_PART LLMQ__PART_VNNI
#define LLMQ__DOTS avx512
#define LLMQ__DPBUSD _mm256_dpbusd_epi32
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA avx512
/* Points are coded by adding 128, so that all int8 points are unsigned bytes. */
#define LLMQ__DECODED 1
#define LLMQ__CODES avx2
#define LLMQ__QUADS sse2
#define LLMQ__LEAST (-128)
#define LLMQ__VECTOR_BYTES 32u
#define LLMQ__OFFSET 1
#define LLMQ__WHOLE 0
#include LLMQ_SIMD_SELF

/* ---- blocks of 128 columns of 16 rows, a vector of 64 points at a time ----------------------- */

/* A table of points as the words look() and zmm_table() of each table take it. Points are coded:
   128 is added, so that they are unsigned bytes for vpdpbusd. A coordinate fills 1 to 4 vectors. */
typedef struct llmq__zmm_grid {
    int kind;
    /* x: the first coordinate. y: the second one of vector grids, and for 3 bits the points of
       the upper codes of pairs. x1, y1: trellises alone, see zmm_trellis_of. */
    __m512i x[4], y[4], x1[4], y1[4];
    llmq__grid_avx2 rest[2]; /* the tables of the template's kernels, which do what these do not */
} llmq__zmm_grid;

#define LLMQ__KIND_V2N256 (LLMQ__KIND_V2N64 + 1) /* 8 bits, 2 coordinates: byte permutes look these up */
/* Loops over rows, unrolled, so that arrays of vectors become registers. */
#define LLMQ__Z16(i) LLMQ__UNROLL(16) for (i = 0; i < 16; i++)
#define LLMQ__Z8(i) LLMQ__UNROLL(8) for (i = 0; i < 8; i++)

/* Indices of 5 or 6 bits: bits 0 to 3 from a, all others from b. The imm8 of vpternlog is the
   function's value where its operands are A = 0xf0, B = 0xcc and C = 0xaa. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_join(__m512i a, __m512i b)
{
    /* A is the mask: B where it is set, else C. */
    /* check: 0xca == 0xf0 & 0xcc | ~0xf0 & 0xaa */
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), a, b, 0xca);
}
/* 32 bytes in both halves, and 16 bytes in all quarters. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_twice(const uint8_t *p)
{
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
LLMQ__INLINE_TARGET __m512i llmq__zmm_four(const uint8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* Each quarter of v rotated left by its own count, 64 bits at a time. A count of 64 - s shifts
   right by s. Bits that come in from neighbouring bytes lie above the code. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_transpose(__m512i v, int a, int b, int c, int d)
{
    return _mm512_rolv_epi64(v, _mm512_setr_epi64(a, a, b, b, c, c, d, d));
}

/* Returns codes 64 h ... 64 h + 63 of a whole unit in the low bits of bytes; h is 0 or 1.
   Bits above a code may be anything: the lookups ignore or clear them.
   3 bits: h is 0, and the bytes are all 64 pairs of codes, of 6 bits.
   The unit is 16 bytes for each bit of a code, and no byte beyond it is read. Counts follow from
   the layout: code k is in byte k mod u of a plane of u bytes, at bit width * (k div u). */
LLMQ__INLINE_TARGET __m512i llmq__zmm_index(int kind, const uint8_t *unit, uint32_t h)
{
    __m512i v;
    /* u = 32: the halves of vector h begin at bits 4 h and 4 h + 2, so they move right by 0 and
       2, or 4 and 6. */
    if (kind == LLMQ__KIND_G2)
        return h ? llmq__zmm_transpose(llmq__zmm_twice(unit), 60, 60, 58, 58)
                 : llmq__zmm_transpose(llmq__zmm_twice(unit), 0, 0, 62, 62);
    if (kind == LLMQ__KIND_G8 || kind == LLMQ__KIND_V2N256) return _mm512_loadu_si512(unit + 64 * h);
    /* Bits 0 to 3: u = 32, the upper half moves right by 4. Bits 4 and 5: u = 16, quarter i is
       at bit 2 i and moves left by 4 - 2 i. */
    if (kind == LLMQ__KIND_G3)
        return llmq__zmm_join(llmq__zmm_transpose(llmq__zmm_twice(unit), 0, 0, 60, 60),
                              llmq__zmm_transpose(llmq__zmm_four(unit + 32), 4, 2, 0, 62));
    v = _mm512_loadu_si512(unit);
    /* From here on the first plane is 4 bits wide, with u = 64: vector h is in the nibbles h. */
    if (h) v = _mm512_srli_epi16(v, 4);
    /* Bit 4: u = 16, quarter i is at bit 4 h + i and moves left by 4 - i - 4 h. */
    if (kind == LLMQ__KIND_G5)
        return llmq__zmm_join(v, h ? llmq__zmm_transpose(llmq__zmm_four(unit + 64), 0, 63, 62, 61)
                                   : llmq__zmm_transpose(llmq__zmm_four(unit + 64), 4, 3, 2, 1));
    /* Bits 4 and 5: u = 32, half i is at bit 4 h + 2 i and moves left by 4 - 2 i - 4 h. */
    if (kind == LLMQ__KIND_G6 || kind == LLMQ__KIND_V2N64)
        return llmq__zmm_join(v, h ? llmq__zmm_transpose(llmq__zmm_twice(unit + 64), 0, 0, 62, 62)
                                   : llmq__zmm_transpose(llmq__zmm_twice(unit + 64), 4, 4, 2, 2));
    return v;
}

/* Loads the 128 activations at q as two vectors. One coordinate: *a the first 64, *b the others.
   Two coordinates: *a the even ones, *b the odd ones, which meet the points of x and of y. */
LLMQ__INLINE_TARGET void llmq__zmm_lda(int kind, const int8_t *q, __m512i *a, __m512i *b)
{
    const __m512i apart = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
                  odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    __m512i lo = _mm512_loadu_si512(q), hi = _mm512_loadu_si512(q + 64);
    *a = lo;
    *b = hi;
    if (kind < LLMQ__KIND_V2N16) return;
    /* The shuffle puts the even bytes of each 16 into 8 bytes and the odd ones into the next 8.
       The permutes then collect the 8 bytes from all quarters, in order. */
    lo = _mm512_shuffle_epi8(lo, apart);
    hi = _mm512_shuffle_epi8(hi, apart);
    *a = _mm512_permutex2var_epi64(lo, even, hi);
    *b = _mm512_permutex2var_epi64(lo, odd, hi);
}

/* Adds up the lanes of 16 vectors: lane i of *lo is the sum of the lower half of v[i], lane i of
   *hi the sum of its upper half. */
LLMQ__INLINE_TARGET void llmq__zmm_sums(const __m512i *v, __m512i *lo, __m512i *hi)
{
    __m512i q[4], r[2];
    uint32_t i;
    LLMQ__UNROLL(4) for (i = 0; i < 4; i++) {
        const __m512i *w = v + 4 * i;
        /* Each quarter of q[i] gets one sum for each of four vectors. */
        __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(w[0], w[1]), _mm512_unpackhi_epi32(w[0], w[1]));
        __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(w[2], w[3]), _mm512_unpackhi_epi32(w[2], w[3]));
        q[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    }
    /* Quarters 0 and 2 of both operands, plus quarters 1 and 3: half sums. */
    /* check: 0x88 == 0 | 2 << 2 | 0 << 4 | 2 << 6 */
    /* check: 0xdd == 1 | 3 << 2 | 1 << 4 | 3 << 6 */
    r[0] = _mm512_add_epi32(_mm512_shuffle_i32x4(q[0], q[1], 0x88), _mm512_shuffle_i32x4(q[0], q[1], 0xdd));
    r[1] = _mm512_add_epi32(_mm512_shuffle_i32x4(q[2], q[3], 0x88), _mm512_shuffle_i32x4(q[2], q[3], 0xdd));
    *lo = _mm512_shuffle_i32x4(r[0], r[1], 0x88);
    *hi = _mm512_shuffle_i32x4(r[0], r[1], 0xdd);
}

/* Lane i is the scale of group w of row[i], for 16 rows. A scale is a bfloat16, the upper half
   of a float. */
LLMQ__INLINE_TARGET __m512 llmq__zmm_scales(const uint8_t *const *row, uint32_t w)
{
    uint16_t bits[16];
    uint32_t i;
    LLMQ__Z16(i) LLMQ_MEMCPY(bits + i, row[i] + 2 * (size_t)w, 2);
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)bits)), 16));
}

/* Ends a run of 16 rows: total + (float)sum * (scale of the activation * scale of the row).
   These are the operations of the scalar kernel, in its order: the int32 sum is rounded to
   float, the scales are multiplied first, and no product is fused with the addition. */
LLMQ__INLINE_TARGET __m512 llmq__zmm_finish(__m512 total, __m512i sum, __m512 scales, float scale)
{
    LLMQ__NO_CONTRACT
    return _mm512_add_ps(total, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(_mm512_set1_ps(scale), scales)));
}

/* Transposes 16 x 16 lanes of 32 bits: lane i of v[k] and lane k of v[i] are exchanged.
   Four rounds combine 2, 4, 8 and 16 vectors. */
LLMQ__INLINE_TARGET void llmq__zmm_transpose16(__m512i *v)
{
    __m512i t[16];
    uint32_t i;
    LLMQ__UNROLL(8) for (i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    LLMQ__UNROLL(4) for (i = 0; i < 16; i += 4) { /* v[i + c]: rows i ... i + 3, columns c, 4 + c, 8 + c, 12 + c */
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    LLMQ__UNROLL(4) for (i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);          /* columns i and 8 + i of rows 0 ... 7 */
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);      /* 4 + i and 12 + i */
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88); /* of rows 8 ... 15 */
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
    LLMQ__UNROLL(4) for (i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

#if LLMQ__ANY_TRELLIS
/* ---- blocks of 256 columns of 16 neighbouring rows of a trellis ---------------------------------

   A trellis needs the codes of up to LLMQ__ZBACK rows above a row. These kernels keep the units
   of such rows, so that a unit is loaded once for the rows below it too. */

/* The order is the order of the trellises in llmq__trellis(). */
enum {
    LLMQ__KIND_T1 = LLMQ__KIND_V2N256 + 1, LLMQ__KIND_T2, LLMQ__KIND_T3, LLMQ__KIND_T4, LLMQ__KIND_T2S, LLMQ__KIND_T3S,
    LLMQ__KIND_T4S
};
typedef char llmq__trellises_in_order[LLMQ__KIND_T2 == LLMQ__KIND_T1 + 1 && LLMQ__KIND_T3 == LLMQ__KIND_T1 + 2 &&
                                      LLMQ__KIND_T4 == LLMQ__KIND_T1 + 3 && LLMQ__KIND_T2S == LLMQ__KIND_T1 + 4 &&
                                      LLMQ__KIND_T3S == LLMQ__KIND_T1 + 5 && LLMQ__KIND_T4S == LLMQ__KIND_T1 + 6
                                          ? 1 : -1];
/* A strip and the next one, which is prefetched meanwhile, share the level-2 cache. This limits
   the bytes of a strip. */
#define LLMQ__ZBACK 8                   /* greatest lag: rows above that a row depends on */
#define LLMQ__ZTALL (LLMQ__ZBACK + 16)  /* these rows and the 16 rows of a block */
#define LLMQ__ZSTRIP 4                  /* most blocks of a strip, which one pass over the columns serves */
#define LLMQ__ZSTRIP_BYTES (128u << 10) /* most bytes of a strip without its last block */
#define LLMQ__ANY_OF(taps) LLMQ__ANY_OF_(taps)
#define LLMQ__ANY_OF_(a, b, c, d) ((a) | (b) | (c) | (d))
#if (LLMQ__ANY_OF(LLMQ__TAPS_T1) | LLMQ__ANY_OF(LLMQ__TAPS_T2) | LLMQ__ANY_OF(LLMQ__TAPS_T3) | \
     LLMQ__ANY_OF(LLMQ__TAPS_T4) | LLMQ__ANY_OF(LLMQ__TAPS_T2S) | LLMQ__ANY_OF(LLMQ__TAPS_T3S) | \
     LLMQ__ANY_OF(LLMQ__TAPS_T4S)) >> (LLMQ__ZBACK + 1)
#error "llmq: a tap of a built-in trellis reaches beyond LLMQ__ZBACK rows"
#endif
#undef LLMQ__ANY_OF
#undef LLMQ__ANY_OF_

/* Taps of a parity, and bits of a code, by kind. */
LLMQ__INLINE_TARGET uint32_t llmq__zmm_taps(int kind, uint32_t parity)
{
    return llmq__trellis_taps(kind - LLMQ__KIND_T1 + 1, parity);
}
LLMQ__INLINE_TARGET uint32_t llmq__zmm_bits(int kind) { return llmq__trellis_bits(kind - LLMQ__KIND_T1 + 1); }

/* Bits of a where the byte mask has ones, bits of b elsewhere. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_pick(int mask, __m512i a, __m512i b)
{
    /* A is b, which the instruction overwrites, B is a, and C is the mask. */
    /* check: 0xd8 == 0xaa & 0xcc | ~0xaa & 0xf0 */
    return _mm512_ternarylogic_epi32(b, a, _mm512_set1_epi8((char)mask), 0xd8);
}

/* Returns the XOR of the vectors of the rows that taps names: bit l stands for the row l above.
   v: the first vector of the row itself. A row has two vectors, so the row l above is at v - 2
   l. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_xor(const __m512i *v, uint32_t taps)
{
    /* Pairs of rows are taken by one instruction that XORs three operands, hence `held`. */
    __m512i sum = _mm512_setzero_si512(), held = sum;
    uint32_t lag, n = 0;
    LLMQ__UNROLL(9) for (lag = 0; lag <= LLMQ__ZBACK; lag++) {
        if (!(taps >> lag & 1)) continue;
        if (n == 0) sum = v[-2 * (int)lag];
        else if (n & 1) held = v[-2 * (int)lag];
        /* XOR of two is OR less AND, and 0x3c is 0xf0 XOR 0xcc. */
        /* check: 0x96 == (0x3c | 0xaa) - (0x3c & 0xaa) */
        else sum = _mm512_ternarylogic_epi32(sum, held, v[-2 * (int)lag], 0x96);
        n++;
    }
    return n & 1 ? sum : _mm512_xor_si512(sum, held);
}

/* v[0], v[1] = the codes of a whole unit of 256 columns, 32 bytes for each bit; v[1] is left
   alone below 3 bits.
   Codes of 1 to 3 bits become fields of 2 bits, of 64 columns each: columns 64 f ... 64 f + 63
   are at bits 2 f and 2 f + 1 of the bytes.
   A plane of 1 bit has fields of 32 columns. Its even fields go into the lower half and its odd
   ones into the upper half, at the lower bit of a field if it is the only plane, else at the
   upper bit. The other bit may be anything. */
LLMQ__INLINE_TARGET void llmq__zmm_load_unit(int kind, const uint8_t *unit, __m512i *v)
{
    const uint32_t bits = llmq__zmm_bits(kind);
    v[0] = bits == 1 ? llmq__zmm_transpose(llmq__zmm_twice(unit), 0, 0, 63, 63) : _mm512_loadu_si512(unit);
    if (bits == 3) v[1] = llmq__zmm_transpose(llmq__zmm_twice(unit + 64), 1, 1, 0, 0);
    if (bits == 4) v[1] = _mm512_loadu_si512(unit + 64);
}
/* Prefetching. Blocks follow each other down the rows, in one stretch of memory. While one block
   is worked on, the next one is prefetched from several places, each of which is a stream that
   the processor finds and reads further. It would not do this for the rows of a unit.
   There are as many streams as eight rows of a unit and their scales have pairs of cache lines:
   32 bits + 4 bytes a row, 128 bytes a pair. Codes of 4 bits have more streams than rows. */
/* check: (8 * (32 * 4 + 4) + 127) // 128 > 8 */
LLMQ__INLINE_TARGET uint32_t llmq__zmm_streams(uint32_t bits) { return (8 * (32 * bits + 4) + 127) / 128; }
/* Bytes from a stream to the next: an equal share of the block, in whole cache lines, and one
   line more, because multiples of a large power of 2 would meet in the caches. */
LLMQ__INLINE_TARGET size_t llmq__zmm_apart(uint32_t bits, size_t block)
{
    return (block / llmq__zmm_streams(bits) + 127) / 64 * 64;
}
/* Row i of eight prefetches two lines of stream i, and of stream i + 8 if there is one. */
LLMQ__INLINE_TARGET void llmq__zmm_fetch(int kind, uint32_t i, uintptr_t ahead, size_t apart)
{
    for (; i < llmq__zmm_streams(llmq__zmm_bits(kind)); i += 8) {
        LLMQ__PREFETCH2(ahead + i * apart);
        LLMQ__PREFETCH2(ahead + i * apart + 64);
    }
}

/* The last unit of a row, of m < 256 codes: returns the columns of a field, 64 in a whole unit,
   or for 4 bits the columns of a nibble, 128 in a whole unit. */
LLMQ__INLINE_TARGET uint32_t llmq__zmm_field(int kind, uint32_t m)
{
    const uint32_t bits = llmq__zmm_bits(kind);
    if (bits == 4) return (m + 1) / 2;
    return bits == 1 ? (m + 7) / 8 * 2 : (m + 3) / 4;
}
/* True if the fields of both planes of 3 bits begin at the same columns. Other units are left to
   zmm_tail. */
LLMQ__INLINE_TARGET int llmq__zmm_fits(int kind, uint32_t m)
{
    return llmq__zmm_bits(kind) != 3 || (m + 3) / 4 == (m + 7) / 8 * 2;
}
/* The first n <= 64 bytes at p, then zeros; no byte after them is read. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_some(const uint8_t *p, uint32_t n)
{
    return _mm512_maskz_loadu_epi8(n < 64 ? ((uint64_t)1 << n) - 1 : UINT64_MAX, p);
}
/* v[0], v[1] = the codes of the last unit of a row, of m codes, as zmm_load_unit; zeros where
   none are. zmm_fits(kind, m) must hold. Reads the bytes of the unit alone. */
LLMQ__INLINE_TARGET void llmq__zmm_load_part(int kind, const uint8_t *unit, uint32_t m, __m512i *v)
{
    const uint32_t bits = llmq__zmm_bits(kind), u = llmq__zmm_field(kind, m), half = u / 2;
    const __mmask64 upper = half < 64 ? ~(((uint64_t)1 << half) - 1) : 0;
    /* A plane of 1 bit has `half` bytes and is loaded twice, side by side. */
    uint8_t plane[64];
    v[0] = v[1] = _mm512_setzero_si512();
    if (bits != 1) v[0] = llmq__zmm_some(unit, u);
    if (bits == 4 && u > 64) v[1] = llmq__zmm_some(unit + 64, u - 64);
    if (bits % 2 == 0) return;
    LLMQ_MEMSET(plane, 0, sizeof plane);
    LLMQ_MEMCPY(plane, unit + (bits == 3 ? u : 0), half);
    LLMQ_MEMCPY(plane + half, plane, half);
    v[bits / 2] = _mm512_loadu_si512(plane);
    if (bits == 1) v[0] = _mm512_mask_mov_epi8(v[0], upper, _mm512_srli_epi16(v[0], 1));
    /* A byte added to itself is shifted left by 1. */
    else v[1] = _mm512_mask_add_epi8(v[1], ~upper, v[1], v[1]);
}

/* Returns the activations that meet points p[f] of the last unit, which has m codes, in columns
   [from, to); zeros elsewhere.
   q: the activation of the unit's first column. Columns are counted from there, from < to <= m.
   Zeros make all products of lanes without a column 0, whatever their points are. */
LLMQ__INLINE_TARGET __m512i llmq__zmm_lda_part(int kind, const int8_t *q, uint32_t m, uint32_t f, uint32_t from,
                                               uint32_t to)
{
    const uint32_t u = llmq__zmm_field(kind, m), four = llmq__zmm_bits(kind) == 4,
                   start = four ? f / 2 * u + f % 2 * 64 : f * u;
    const uint32_t end = llmq__min(start + 64, llmq__min((four ? f / 2 + 1 : f + 1) * u, to));
    if (from < start) from = start;
    if (from >= end) return _mm512_setzero_si512();
    return _mm512_maskz_loadu_epi8((UINT64_MAX >> (64 - (end - from))) << (from - start), q + start);
}

/* scale[k] = the 4 bytes of the scales of groups w and w + 1 of row[k], for 16 rows. If w is the
   last group, its codes follow, so that the row is not left.
   The scales are loaded as a vector much later, when these stores are done. Moves from registers
   to vectors instead would take the port of the lookups. */
LLMQ__INLINE_TARGET void llmq__zmm_copy_scales(const uint8_t *const *row, uint32_t w, uint32_t *scale)
{
    uint32_t k, two;
    LLMQ__Z16(k) {
        LLMQ_MEMCPY(&two, row[k] + 2 * (size_t)w, 4);
        LLMQ__RELOAD_BARRIER(two); /* compilers would make such moves of this */
        scale[k] = two;
    }
}

/* Makes fields of 2 bits, of which zmm_trellis_pairs puts together the indices of points: *a
   their bits 0 and 1, *b bits 2 and 3, *c bits 4 and 5. Codes have 1 to 3 bits.
   Returns the grid by whose lookup an index goes: G4 has no *c, G5 the lower bit of it, G6 both.
   The bits of an index are in the order of zmm_trellis_of, which this function must match:
        t3   parity 0, code bit 2, code bit 0, code bit 1, parity 1
        t3s  parity 0, parity 1, code bit 0, code bit 1, parity 2, code bit 2
        t2   parity 0, parity 1, parity 2, code bit 1
        t2s  parity 0, parity 1, parity 3, code bit 1, parity 2
        t1   parity 0, parity 1, parity 2, parity 3
   A parity is computed for both bits of a field; only the lower one means anything. Doubling a
   byte moves it to the upper bit. The row's own lowest bit comes with *v where its parity has it
   as a tap, hence the & ~1u. */
LLMQ__INLINE_TARGET int llmq__zmm_pairs(int kind, const __m512i *v, __m512i *a, __m512i *b, __m512i *c)
{
    __m512i x = llmq__zmm_xor(v, llmq__zmm_taps(kind, 0)), y = llmq__zmm_xor(v, llmq__zmm_taps(kind, 1)), z, w;
    *b = *v;
    *c = v[llmq__zmm_bits(kind) == 3];
    if (kind == LLMQ__KIND_T3) { /* parity 2 is the code's own lowest bit, as parity 3 of t3s is */
        *a = llmq__zmm_pick(0x55, x, *c);
        *c = y;
        return LLMQ__KIND_G5;
    }
    *a = llmq__zmm_pick(0x55, x, _mm512_add_epi8(y, y));
    z = llmq__zmm_xor(v, llmq__zmm_taps(kind, 2) & ~1u);
    if (kind == LLMQ__KIND_T3S) {
        *c = llmq__zmm_pick(0x55, z, *c);
        return LLMQ__KIND_G6;
    }
    if (kind == LLMQ__KIND_T2) { /* A XOR (B AND C): *v with z XORed at the lower bits */
        /* check: 0x78 == (0xf0 | 0xcc & 0xaa) - (0xf0 & 0xcc & 0xaa) */
        *b = _mm512_ternarylogic_epi32(*v, z, _mm512_set1_epi8(0x55), 0x78);
        return LLMQ__KIND_G4;
    }
    w = llmq__zmm_xor(v, llmq__zmm_taps(kind, 3) & ~1u);
    if (kind == LLMQ__KIND_T2S) {
        /* check: 0x78 == (0xf0 | 0xcc & 0xaa) - (0xf0 & 0xcc & 0xaa) */
        *b = _mm512_ternarylogic_epi32(*v, w, _mm512_set1_epi8(0x55), 0x78);
        *c = z;
        return LLMQ__KIND_G5;
    }
    w = _mm512_xor_si512(w, *v);
    *b = llmq__zmm_pick(0x55, z, _mm512_add_epi8(w, w));
    return LLMQ__KIND_G4;
}
#endif

/* Finishes 16 rows from column j on with the template's kernels, four rows at a time.
   run, sum, total: as the block kernels have left them; j is where their last unit ends.
   Returns the products of the rows, a lane each. */
LLMQ__NOINLINE_TARGET __m512 llmq__zmm_tail(const llmq_tensor *t, const llmq__layout *l, const llmq__zmm_grid *g,
                                            const llmq_activation *x, const uint8_t *const *row, uint32_t j,
                                            llmq__run run, __m512i sum, __m512 total)
{
    __m128i s[4];
    __m128 v[4];
    uint32_t i, k;
    _mm512_storeu_si512(s, sum);
    _mm512_storeu_ps(v, total);
    for (i = 0; i < 4; i++, row += 4) {
        llmq__window w[4];
        llmq__chain_avx512 c;
        c.total = v[i];
        c.sum = s[i];
        c.run = run;
        c.at = j;
        c.links = 0;
        if (!g->rest[0].trellis && g->rest[0].kind != LLMQ__KIND_OTHER) {
            v[i] = llmq__rest_avx512(t, l, g->rest, x, row, &c);
            continue;
        }
        for (k = 0; k < 4; k++) llmq__window_of(w + k, t, llmq__row_number(t, row[k]), LLMQ__NULL);
        llmq__slices_avx512(t, l, g->rest, x, 1, w, &c);
        v[i] = c.total;
    }
    return _mm512_loadu_ps(v);
}

/* Adds products of 128 columns of 32 rows with m activations; m is a constant, 1 to 8.
   tile[k], tile[32 + k]: signed points of columns 4 k ... 4 k + 3 of the first 16 rows, and of
   the others, a lane for each row.
   x[i]: the 128 activations in the order of the tile, with 128 added, as unsigned bytes.
   bias[0], bias[1]: 128 times the sum of a row's points, which the added 128 costs.
   sum[2 i], sum[2 i + 1]: int32 sums of activation i with the 16 rows and with the others.
   No sum overflows. */
/* check: 128 * 255 * 128 < 2^31 */
LLMQ__INLINE_TARGET void llmq__zmm_many(uint32_t m, const __m512i *tile, uint8_t (*x)[128], const __m512i *bias,
                                        __m512i *sum)
{
    /* 16 sums, two vectors of the tile and one of codes fit the 32 registers. */
    /* check: 2 * 8 + 2 + 1 <= 32 */
    __m512i s[8], t[8];
    uint32_t i, k;
    LLMQ__UNROLL(8) for (i = 0; i < m; i++) s[i] = t[i] = _mm512_setzero_si512();
    LLMQ__UNROLL(2) for (k = 0; k < 32; k++) {
        __m512i v = tile[k], w = tile[32 + k];
        LLMQ__UNROLL(8) for (i = 0; i < m; i++) {
            __m512i codes;
            int32_t four;
            LLMQ_MEMCPY(&four, x[i] + 4 * k, 4);
            codes = _mm512_set1_epi32(four);
            s[i] = _mm512_dpbusd_epi32(s[i], codes, v);
            t[i] = _mm512_dpbusd_epi32(t[i], codes, w);
        }
    }
    LLMQ__UNROLL(8) for (i = 0; i < m; i++) {
        sum[2 * i] = _mm512_add_epi32(sum[2 * i], _mm512_sub_epi32(s[i], bias[0]));
        sum[2 * i + 1] = _mm512_add_epi32(sum[2 * i + 1], _mm512_sub_epi32(t[i], bias[1]));
    }
}

/* Adds a tile of block b, which is columns 128 b ... 128 b + 127, times each of count
   activations.
   tile, bias, sum: as in zmm_many, and sum goes on for 2 * count vectors.
   kind: says the order of columns in the tile, as zmm_lda makes it. */
LLMQ__NOINLINE_TARGET void llmq__zmm_times(int kind, const __m512i *tile, const __m512i *bias, uint32_t b,
                                           const llmq_activation *x, uint32_t count, __m512i *sum)
{
    const __m512i offset = _mm512_set1_epi8((char)-128);
    uint8_t codes[8][128];
    uint32_t i, k, n;
    for (i = 0; i < count; i += n, sum += 2 * n) {
        /* Powers of 2 alone: each size is a copy of zmm_many with its sums in registers. */
        n = count - i >= 8 ? 8 : count - i >= 4 ? 4 : count - i >= 2 ? 2 : 1;
        for (k = 0; k < n; k++) {
            __m512i lo, hi;
            llmq__zmm_lda(kind, x[i + k].q + 128 * (size_t)b, &lo, &hi);
            /* XOR with -128 is adding 128 to a byte. */
            _mm512_storeu_si512(codes[k], _mm512_xor_si512(lo, offset));
            _mm512_storeu_si512(codes[k] + 64, _mm512_xor_si512(hi, offset));
        }
        if (n == 8) llmq__zmm_many(8, tile, codes, bias, sum);
        if (n == 4) llmq__zmm_many(4, tile, codes, bias, sum);
        if (n == 2) llmq__zmm_many(2, tile, codes, bias, sum);
        if (n == 1) llmq__zmm_many(1, tile, codes, bias, sum);
    }
}

#if LLMQ__ANY_TRELLIS
/* Decodes a unit of 16 rows: tile[16 f + i] and tile[half + 16 f + i] = signed points of columns
   64 f ... 64 f + 63 and 128 + 64 f ... 128 + 64 f + 63 of row i, for f = 0 and 1.
   v: the vectors of the unit's first row, with LLMQ__ZBACK rows before it; see zmm_load_unit.
   ahead, apart: streams to prefetch; see zmm_streams.
   Each kind has a function of its own. */
typedef void llmq__zmm_points(const llmq__zmm_grid *g, const __m512i *v, uintptr_t ahead, size_t apart, size_t half,
                              __m512i *tile);

/* Finishes 16 rows of a trellis from column j on, where their last unit begins.
   row[0]: LLMQ__ZBACK rows above the first of the 16. run, sum, total: as the kernels of whole
   units left them.
   Returns the products of the rows, a lane each. */
LLMQ__NOINLINE_TARGET __m512 llmq__zmm_trellis_part(llmq__zmm_points *points, const llmq_tensor *t,
                                                    const llmq__layout *l, const llmq__zmm_grid *g,
                                                    const llmq_activation *x, const uint8_t *const *row, uint32_t j,
                                                    llmq__run run, __m512i sum, __m512 total)
{
    const __m512i offset = _mm512_set1_epi8((char)-128);
    const uint32_t m = t->cols - j;
    const size_t at = l->scales + (size_t)(j / 8) * llmq__zmm_bits(g->kind);
    __m512i v[2 * LLMQ__ZTALL], tile[64], sums[16], a[4], bias;
    uint32_t k, f, from, to;
    if (!llmq__zmm_fits(g->kind, m)) return llmq__zmm_tail(t, l, g, x, row + LLMQ__ZBACK, j, run, sum, total);
    for (k = 0; k < LLMQ__ZTALL; k++) llmq__zmm_load_part(g->kind, row[k] + at, m, v + 2 * k);
    points(g, v + 2 * LLMQ__ZBACK, (uintptr_t)row[LLMQ__ZBACK], 0, 32, tile);
    for (from = 0; from < m; from = to) {
        /* A unit may hold several runs: each takes all its columns of the decoded tile, and
           other columns are zeros among its activations. */
        to = run.end - j;
        bias = _mm512_setzero_si512();
        for (f = 0; f < 4; f++) {
            a[f] = llmq__zmm_lda_part(g->kind, x->q + j, m, f, from, to);
            bias = _mm512_dpbusd_epi32(bias, offset, a[f]);
        }
        bias = _mm512_sub_epi32(_mm512_setzero_si512(), bias);
        for (k = 0; k < 16; k++) {
            /* Points are coded again, and 128 times the sum of the activations is taken off. */
            sums[k] = bias;
            for (f = 0; f < 4; f++)
                sums[k] = _mm512_dpbusd_epi32(sums[k], _mm512_xor_si512(tile[16 * f + k], offset), a[f]);
        }
        llmq__zmm_sums(sums, a, a + 1);
        sum = _mm512_add_epi32(sum, _mm512_add_epi32(a[0], a[1]));
        total = llmq__zmm_finish(total, sum, llmq__zmm_scales(row + LLMQ__ZBACK, run.w), x->scale[run.x]);
        sum = _mm512_setzero_si512();
        llmq__next_run(&run);
    }
    return total;
}

/* Makes tiles of a whole unit of 16 rows, as zmm_tile does for grids: tile[0 ... 31] from its
   first 128 columns, tile[64 ... 95] from the others.
   row: ZTALL rows, the first LLMQ__ZBACK above the 16. at: bytes from a row to the unit.
   bias[0], bias[2]: 128 times the sum of a row's points in the first tile and in the second. The
   caller's other 16 rows use tile + 32 and bias + 1. */
LLMQ__NOINLINE_TARGET void llmq__zmm_trellis_tile(llmq__zmm_points *points, const llmq__zmm_grid *g,
                                                  const uint8_t *const *row, size_t at, uintptr_t ahead, size_t apart,
                                                  __m512i *tile, __m512i *bias)
{
    const __m512i offset = _mm512_set1_epi8((char)-128);
    __m512i v[2 * LLMQ__ZTALL];
    uint32_t i, f, k;
    for (i = 0; i < LLMQ__ZTALL; i++) llmq__zmm_load_unit(g->kind, row[i] + at, v + 2 * i);
    points(g, v + 2 * LLMQ__ZBACK, ahead, apart, 64, tile);
    for (f = 0; f < 4; f++) llmq__zmm_transpose16(tile + f / 2 * 64 + f % 2 * 16);
    for (f = 0; f < 2; f++) {
        __m512i sum = _mm512_setzero_si512();
        for (k = 0; k < 32; k++) sum = _mm512_dpbusd_epi32(sum, offset, tile[64 * f + k]);
        bias[2 * f] = sum;
    }
}
#endif

/* How runs of 2-bit codes suit pairs of units: 1 if all have 128 columns but the last, 0 if all
   end where pairs do, -1 if neither holds. All runs end at multiples of 128. */
LLMQ__INLINE_TARGET int llmq__zmm_split(const llmq__layout *l, const llmq_activation *x)
{
    uint32_t w = l->group < x->cols ? l->group : 0, a = x->group < x->cols ? x->group : 0;
    if (w == 128 || a == 128) return 1;
    return w % 256 == 0 && a % 256 == 0 ? 0 : -1;
}

/* What is written once for each way to look points up, see AVX512_PRODUCTS. All else is shared.
   grid_of, trellis_of: make the tables of a grid, or of a trellis
   any:      products of 16 rows of a grid with one activation
   block:    adds products of 128 columns of 32 rows of a grid with several activations
   trellis:  for each kind, trellis[kind - LLMQ__KIND_T1]: products of whole units of some blocks of
             16 rows, and points of a unit */
#if LLMQ__ANY_TRELLIS
typedef struct llmq__zmm_trellis {
    void (*all)(const llmq_tensor *, const llmq__layout *, const llmq__zmm_grid *, const llmq_activation *,
                const uint8_t *const *, uint32_t, __m512 *);
    llmq__zmm_points *points;
} llmq__zmm_trellis;
#endif
typedef struct llmq__zmm_set {
    void (*grid_of)(const llmq_format *, llmq__zmm_grid *);
    __m512 (*any)(const llmq_tensor *, const llmq__layout *, const llmq__zmm_grid *, const llmq_activation *,
                  const uint8_t *const *);
    void (*block)(const llmq__zmm_grid *, const uint8_t *const *, size_t, uint32_t, const llmq_activation *, uint32_t,
                  __m512i *);
#if LLMQ__ANY_TRELLIS
    void (*trellis_of)(const llmq_format *, llmq__zmm_grid *);
    llmq__zmm_trellis trellis[7];
#endif
} llmq__zmm_set;

/* Ends a run of 32 rows for count activations: sums go into totals and become zeros, and *run
   goes on. */
LLMQ__INLINE_TARGET void llmq__zmm_end(const llmq_activation *x, uint32_t count, const uint8_t *const *row,
                                       llmq__run *run, __m512i *sum, __m512 *total)
{
    __m512 scales[2];
    uint32_t i;
    scales[0] = llmq__zmm_scales(row, run->w);
    scales[1] = llmq__zmm_scales(row + 16, run->w);
    for (i = 0; i < 2 * count; i++) {
        total[i] = llmq__zmm_finish(total[i], sum[i], scales[i & 1], x[i / 2].scale[run->x]);
        sum[i] = _mm512_setzero_si512();
    }
    llmq__next_run(run);
}

/* y[i * y_stride ... + 31] = the products of 32 rows with activation i, for count <= 32
   activations.
   All runs must end at multiples of 128 columns, or at the end of the row.
   Sums and totals take 8 KB of the frame, and a tile 4 KB more below it. */
LLMQ__NOINLINE_TARGET void llmq__zmm_batch(const llmq__zmm_set *set, const llmq_tensor *t, const llmq__layout *l,
                                           const llmq__zmm_grid *g, const llmq_activation *x, uint32_t count,
                                           const uint8_t *const *row, float *y, size_t y_stride)
{
    /* Whole units alone; p: coordinates of a point. */
    const uint32_t p = g->kind >= LLMQ__KIND_V2N16 ? 2 : 1, end = t->cols / p / LLMQ__UNIT * LLMQ__UNIT * p;
    llmq__run run = llmq__first_run(l, x);
    __m512i sum[64];
    __m512 total[64];
    uint32_t i, j;
    for (i = 0; i < 2 * count; i++) sum[i] = _mm512_setzero_si512(), total[i] = _mm512_setzero_ps();
    for (j = 0; j < end; j += 128) {
        set->block(g, row, l->scales, j / 128, x, count, sum);
        /* Sums go on until their run ends. */
        if (j + 128 < run.end) continue;
        llmq__zmm_end(x, count, row, &run, sum, total);
    }
    for (i = 0; i < 2 * count; i++) {
        if (j < t->cols) total[i] = llmq__zmm_tail(t, l, g, x + i / 2, row + 16 * (i & 1), j, run, sum[i], total[i]);
        _mm512_storeu_ps(y + i / 2 * y_stride + 16 * (i & 1), total[i]);
    }
}

/* y[i * y_stride + r] = the products of rows [r0, r1) with count activations; r1 - r0 is a
   multiple of 16.
   Five activations and more take 32 neighbouring rows at a time. Fewer take 16 rows, a sixteenth
   of the range apart: distant streams, as in section 4. */
LLMQ__INLINE_TARGET void llmq__zmm_matmul(const llmq__zmm_set *set, const llmq_tensor *t, const llmq__layout *l,
                                          const llmq__zmm_grid *g, const llmq_activation *x, uint32_t count,
                                          uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    const uint8_t *row[32];
    float v[16];
    uint32_t r, b, i, k, apart;
    /* 32 activations at a time share a decoded block; their sums and totals are in the frame. */
    for (r = r0; count > 4 && r1 - r >= 32; r += 32) {
        for (k = 0; k < 32; k++) row[k] = t->data + (size_t)(r + k) * t->row_size;
        for (i = 0; i < count; i += 32)
            llmq__zmm_batch(set, t, l, g, x + i, llmq__min(count - i, 32), row, y + i * y_stride + r, y_stride);
    }
    for (; r < r1; r += 16 * apart) {
        apart = (r1 - r) / 16;
        /* Rows that are within 128 bytes of a multiple of 4096 apart would share their sets of
           the level-1 cache. Its ways have 64 sets of 64 bytes, and there may be fewer than 16
           ways. One row less moves them. */
        /* check: 64 * 64 == 4096 */
        if (apart > 1 && (apart * t->row_size + 128) % 4096 < 256) apart--;
        for (b = r; b < r + apart; b++) {
            /* Row b, and 15 more at distances of `apart` rows: all rows of [r, r + 16 apart) in
               turn. */
            LLMQ__Z16(k) row[k] = t->data + (size_t)(b + k * apart) * t->row_size;
            for (i = 0; i < count; i++) {
                _mm512_storeu_ps(v, set->any(t, l, g, x + i, row));
                for (k = 0; k < 16; k++) y[i * y_stride + b + k * apart] = v[k];
            }
        }
    }
}

#if LLMQ__ANY_TRELLIS
/* Adds columns [j, j + 256) of 32 neighbouring rows for count activations; j is a multiple of
   256.
   row[0]: LLMQ__ZBACK rows above the first. sum, total: 2 * count vectors; runs that end here go
   into total, and *run goes on. */
LLMQ__NOINLINE_TARGET void llmq__zmm_trellis_block(const llmq__zmm_set *set, const llmq_tensor *t,
                                                   const llmq__layout *l, const llmq__zmm_grid *g,
                                                   const llmq_activation *x, uint32_t count, const uint8_t *const *row,
                                                   uint32_t j, llmq__run *run, __m512i *sum, __m512 *total)
{
    const size_t at = l->scales + (size_t)(j / 8) * t->format.bits, block = 32 * t->row_size,
                 apart = llmq__zmm_apart(t->format.bits, block);
    /* The next 32 rows are prefetched meanwhile. Streams advance by 512 bytes each 256 columns,
       which is 256 for each half of the rows. */
    const uintptr_t ahead = (uintptr_t)row[LLMQ__ZBACK] + block + 2 * (size_t)j;
    __m512i tile[128], bias[4];
    uint32_t b;
    for (b = 0; b < 2; b++)
        llmq__zmm_trellis_tile(set->trellis[g->kind - LLMQ__KIND_T1].points, g, row + 16 * b, at,
                               ahead + 256 * b, apart, tile + 32 * b, bias + b);
    for (b = 0; b < 2; b++) {
        llmq__zmm_times(LLMQ__KIND_OTHER, tile + 64 * b, bias + 2 * b, j / 128 + b, x, count, sum);
        if (j + 128 * (b + 1) == run->end) llmq__zmm_end(x, count, row + LLMQ__ZBACK, run, sum, total);
    }
}

/* y[i * y_stride ... + n - 1] = the products of n <= 32 neighbouring rows with activation i, for
   count <= 32 activations. All 32 rows are computed, and n of them are stored. */
LLMQ__NOINLINE_TARGET void llmq__zmm_trellis_batch(const llmq__zmm_set *set, const llmq_tensor *t,
                                                   const llmq__layout *l, const llmq__zmm_grid *g,
                                                   const llmq_activation *x, uint32_t count, const uint8_t *const *row,
                                                   uint32_t n, float *y, size_t y_stride)
{
    const llmq__zmm_trellis *kind = set->trellis + (g->kind - LLMQ__KIND_T1);
    llmq__run run = llmq__first_run(l, x);
    __m512i sum[64];
    __m512 total[64];
    uint32_t i, j;
    for (i = 0; i < 2 * count; i++) sum[i] = _mm512_setzero_si512(), total[i] = _mm512_setzero_ps();
    /* Whole units first, then the last unit, if there is a part of one. */
    for (j = 0; j < t->cols / 256 * 256; j += 256)
        llmq__zmm_trellis_block(set, t, l, g, x, count, row, j, &run, sum, total);
    for (i = 0; i < 2 * count; i++) {
        /* A shift by 32 needs 64 bits. */
        const uint32_t wanted = (uint32_t)(((uint64_t)1 << n) - 1) >> 16 * (i & 1) & 0xffff;
        if (j < t->cols)
            total[i] = llmq__zmm_trellis_part(kind->points, t, l, g, x + i / 2, row + 16 * (i & 1), j, run, sum[i],
                                              total[i]);
        _mm512_mask_storeu_ps(y + i / 2 * y_stride + 16 * (i & 1), (__mmask16)wanted, total[i]);
    }
}

/* row[LLMQ__ZBACK + k] = row r + k of a tail-biting block, which wraps round at its end and at
   its begin; row[0 ... LLMQ__ZBACK - 1] are the rows above r. n pointers in all. */
LLMQ__INLINE_TARGET void llmq__zmm_trellis_rows(const llmq_tensor *t, const llmq__trellis_block *block, uint32_t r,
                                                uint32_t n, const uint8_t **row)
{
    /* Adding a multiple of the block's rows makes the first row's index non-negative. */
    uint32_t k, in = r - block->first + LLMQ__ZBACK * (block->rows - 1);
    for (k = 0, in %= block->rows; k < n; k++) {
        row[k] = t->data + (block->first + (size_t)in) * t->row_size;
        if (++in == block->rows) in = 0;
    }
}

/* y[i * y_stride + r] = the products of rows [r0, r1) of a trellis with count activations.
   A group of rows wraps round where it would leave the tail-biting block. It computes all 16
   rows, and rows beyond the block or the range are not stored. So every function above sees
   whole groups of 16 rows. */
LLMQ__INLINE_TARGET void llmq__zmm_trellis_matmul(const llmq__zmm_set *set, const llmq_tensor *t, const llmq__layout *l,
                                                  const llmq__zmm_grid *g, const llmq_activation *x, uint32_t count,
                                                  uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    const uint8_t *row[LLMQ__ZBACK + 16 * LLMQ__ZSTRIP];
    __m512 total[LLMQ__ZSTRIP];
    const int many = count > 4;
    /* Blocks of 16 rows at a time: a strip for few activations, two for many. */
    const uint32_t most = many ? 2 : llmq__min(LLMQ__ZSTRIP, (uint32_t)(LLMQ__ZSTRIP_BYTES / (16 * t->row_size)) + 1);
    uint32_t r, i, b, n, blocks;
    for (r = r0; r < r1; r += n) {
        llmq__trellis_block block = llmq__trellis_block_of(t->rows, r);
        /* n: rows that are wanted. Few activations take as many blocks as these rows fill. */
        n = llmq__min(16 * most, llmq__min(r1, block.first + block.rows) - r);
        blocks = many ? most : (n + 15) / 16;
        llmq__zmm_trellis_rows(t, &block, r, LLMQ__ZBACK + 16 * blocks, row);
        for (i = 0; many && i < count; i += 32)
            llmq__zmm_trellis_batch(set, t, l, g, x + i, llmq__min(count - i, 32), row, n, y + i * y_stride + r,
                                    y_stride);
        for (i = 0; !many && i < count; i++) {
            set->trellis[g->kind - LLMQ__KIND_T1].all(t, l, g, x + i, row, blocks, total);
            for (b = 0; b < blocks; b++)
                /* The mask leaves rows out that nobody asked for. */
                _mm512_mask_storeu_ps(y + i * y_stride + r + 16 * b, (__mmask16)((1u << llmq__min(n - 16 * b, 16)) - 1),
                                      total[b]);
        }
    }
}
#endif

/* The kernel of the table: y[i * y_stride + r] = product of row r with activation i, for rows
   [r0, r1) and count activations, the bits of the scalar llmq__rows_i8. Whole groups of 16 rows
   go through the functions above if all runs end at multiples of 128 columns and the points can
   be looked up; all else goes through the template. */
LLMQ__NOINLINE_TARGET void llmq__zmm_rows_i8(const llmq__zmm_set *set, const llmq_tensor *t, const llmq_activation *x,
                                             uint32_t count, uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    /* A group that is the whole row ends with it: 0 is a multiple of 128. */
    uint32_t w = l.group < t->cols ? l.group : 0, a = x->group < t->cols ? x->group : 0, end = r1 - (r1 - r0) % 16;
    llmq__zmm_grid g;
    if (w % 128 || a % 128) end = r0;
#if LLMQ__ANY_TRELLIS
    else if (t->format.taps[0]) {
        llmq__grids_of_avx512(&t->format, g.rest);
        set->trellis_of(&t->format, &g);
        llmq__zmm_trellis_matmul(set, t, &l, &g, x, count, r0, r1, y, y_stride);
        return;
    }
#endif
    if (end > r0) {
        llmq__grids_of_avx512(&t->format, g.rest);
        set->grid_of(&t->format, &g);
        if (g.kind == LLMQ__KIND_OTHER) end = r0;
        else llmq__zmm_matmul(set, t, &l, &g, x, count, r0, end, y, y_stride);
    }
    /* The rows after the last whole group of 16, or all. */
    if (end < r1) llmq__rows_i8_avx512(t, x, count, end, r1, y, y_stride);
}

/* Looks 64 coded points up by codes v, with shuffles of 16 bytes.
   t: as zmm_table_avx512vnni makes it, 16 points repeated in all quarters of each vector.
   Bits of v above the code are cleared. Bits 4 and 5 choose among the four vectors by masks. */
LLMQ__INLINE_TARGET __m512i llmq__look_avx512vnni(int kind, const __m512i *t, __m512i v)
{
    const __m512i low = _mm512_set1_epi8(kind == LLMQ__KIND_G2 ? 3 : kind == LLMQ__KIND_G3 ? 7 : 15);
    __m512i i = _mm512_and_si512(v, low), lo, hi;
    __mmask64 bit4, bit5;
    if (kind == LLMQ__KIND_G8) return _mm512_max_epu8(v, _mm512_set1_epi8(1));
    /* g8 above: a coded point is its code, but code 0 decodes as code 1. */
    lo = _mm512_shuffle_epi8(t[0], i);
    if (kind != LLMQ__KIND_G5 && kind != LLMQ__KIND_G6 && kind != LLMQ__KIND_V2N64) return lo;
    bit4 = _mm512_test_epi8_mask(v, _mm512_set1_epi8(16));
    lo = _mm512_mask_shuffle_epi8(lo, bit4, t[1], i);
    if (kind == LLMQ__KIND_G5) return lo;
    bit5 = _mm512_test_epi8_mask(v, _mm512_set1_epi8(32));
    hi = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(t[2], i), bit4, t[3], i);
    return _mm512_mask_mov_epi8(lo, bit5, hi);
}
/* Points of the upper codes of pairs of 3 bits, which are at bits 3 to 5. */
LLMQ__INLINE_TARGET __m512i llmq__look_upper_avx512vnni(const __m512i *t, __m512i v)
{
    return llmq__look_avx512vnni(LLMQ__KIND_G3, t, _mm512_srli_epi16(v, 3));
}
/* Points of field f of codes of 2 bits, 0 <= f <= 3; f is a constant, and so are the shifts. */
LLMQ__INLINE_TARGET __m512i llmq__look_pair_avx512vnni(const __m512i *t, __m512i v, uint32_t f)
{
    v = f == 0 ? v : f == 1 ? _mm512_srli_epi16(v, 2) : f == 2 ? _mm512_srli_epi16(v, 4) : _mm512_srli_epi16(v, 6);
    return llmq__look_avx512vnni(LLMQ__KIND_G2, t, v);
}
/* t[0 ... 3] = n points, coded, for look_avx512vnni; n is a power of 2, at most 64. Fewer than
   16 points are repeated. */
LLMQ__INLINE_TARGET void llmq__zmm_table_avx512vnni(const int8_t *points, uint32_t n, int upper, __m512i *t)
{
    int8_t all[64];
    uint32_t i;
    (void)upper;
    llmq__repeat(points, n, all);
    for (i = 0; i < 4; i++)
        t[i] = _mm512_xor_si512(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(all + 16 * i))),
                                _mm512_set1_epi8((char)-128));
}
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_PRODUCTS
#define LLMQ__ISA avx512vnni
#define LLMQ__BIG 0
#include LLMQ_SIMD_SELF
/* Both tables share the kernels on floats, and kernels that decode with AVX2. */
LLMQ__TABLE(avx512vnni, LLMQ_CPU_AVX2 | LLMQ_CPU_AVX512, _avx512, _avx512, _avx2, _avx512vnni);
#undef LLMQ__TARGET

/* Lookup by byte permutes. They take 6 bits of an index, or 7 from two vectors, and ignore the
   bits above. A table of 4 to 32 points is repeated to 64, and codes need no mask. */
#define LLMQ__TARGET LLMQ__TARGET_OF("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
/* Looks 64 coded points up by codes v; t: as zmm_table_avx512vbmi makes it.
   256 points: bits 0 to 6 choose within each half of the table, and bit 7 chooses the half. */
LLMQ__INLINE_TARGET __m512i llmq__look_avx512vbmi(int kind, const __m512i *t, __m512i v)
{
    __m512i lo, hi;
    if (kind == LLMQ__KIND_G8) return _mm512_max_epu8(v, _mm512_set1_epi8(1));
    if (kind != LLMQ__KIND_V2N256) return _mm512_permutexvar_epi8(v, t[0]);
    lo = _mm512_permutex2var_epi8(t[0], v, t[1]);
    hi = _mm512_permutex2var_epi8(t[2], v, t[3]);
    return _mm512_mask_mov_epi8(lo, _mm512_movepi8_mask(v), hi);
}
/* Here the table of upper codes is indexed by the whole pair of 3 bits, so that no shift is
   needed. */
LLMQ__INLINE_TARGET __m512i llmq__look_upper_avx512vbmi(const __m512i *t, __m512i v)
{
    return _mm512_permutexvar_epi8(v, t[0]);
}
/* Points of field f of codes of 2 bits. Each of the first three fields has a table of its own,
   which ignores the bits below the field; field 3 is beyond the 6 bits and is shifted. */
LLMQ__INLINE_TARGET __m512i llmq__look_pair_avx512vbmi(const __m512i *t, __m512i v, uint32_t f)
{
    return f < 3 ? _mm512_permutexvar_epi8(v, t[f]) : _mm512_permutexvar_epi8(_mm512_srli_epi16(v, 6), t[0]);
}
/* t = n points, coded, for look_avx512vbmi: one vector, three for 4 points, four for 256.
   upper: indices are pairs of 3 bits, and the upper code counts. */
LLMQ__INLINE_TARGET void llmq__zmm_table_avx512vbmi(const int8_t *points, uint32_t n, int upper, __m512i *t)
{
    int8_t all[64];
    uint32_t i, k;
    for (i = 0; i < (n > 64 ? 4u : n == 4 ? 3u : 1u); i++) {
        for (k = 0; k < 64; k++) all[k] = points[(upper ? k >> 3 : n == 4 ? k >> 2 * i : 64 * i + k) & (n - 1)];
        t[i] = _mm512_xor_si512(_mm512_loadu_si512(all), _mm512_set1_epi8((char)-128));
    }
}
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_PRODUCTS
#define LLMQ__ISA avx512vbmi
#define LLMQ__BIG 1
#include LLMQ_SIMD_SELF
LLMQ__TABLE(avx512vbmi, LLMQ_CPU_AVX2 | LLMQ_CPU_AVX512 | LLMQ_CPU_VBMI, _avx512, _avx512, _avx2, _avx512vbmi);
#undef LLMQ__Z16
#undef LLMQ__Z8
#undef LLMQ__ZBACK
#undef LLMQ__ZTALL
#undef LLMQ__ZSTRIP
#undef LLMQ__ZSTRIP_BYTES
#undef LLMQ__KIND_V2N256
#undef LLMQ__TARGET

#elif LLMQ__SIMD_PART == LLMQ__PART_AVX512_PRODUCTS
#undef LLMQ__SIMD_PART

/* ---- the products, once for each way to look points up ------------------------------------------

   Parameters:
     LLMQ__ISA  the suffix of the kernels and of the words
     LLMQ__BIG  1: there are lookups of 256 points; else 0
   Words, each with the suffix LLMQ__ISA:
     look(kind, table, codes)       64 coded points
     look_upper(table, codes)       64 coded points of the upper codes of pairs of 3 bits
     look_pair(table, bytes, f)     64 coded points of field f of codes of 2 bits
     zmm_table(points, n, upper, table)  makes the table

   Common parameters below:
     row    16 rows of a tensor, or 32 where a function says so, in any order
     at     bytes from the begin of a row to the codes in question
     run    the run of columns with one scale each that contains the next column
     kind   a constant in functions that are inlined, so that each format has loops of its own
   Points are unsigned bytes with 128 added, activations are signed. vpdpbusd adds four of their
   products to an int32 lane, without saturation. The sum then has 128 times the sum of the
   activations too much, which `bias` takes off. */

#if !defined(LLMQ__TARGET) || !defined(LLMQ__ISA)
#error "llmq: the template of products of AVX-512 needs LLMQ__TARGET and LLMQ__ISA"
#endif
#if !defined(LLMQ__BIG) || (LLMQ__BIG != 0 && LLMQ__BIG != 1)
#error "llmq: LLMQ__BIG is 0 or 1"
#endif

/* Makes the tables of a format. g->kind is LLMQ__KIND_OTHER if its points cannot be looked up
   here. g8 needs no table, because its points are the codes less 128. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(zmm_grid_of)(const llmq_format *f, llmq__zmm_grid *g)
{
    int8_t one[256];
    uint32_t i, n = (uint32_t)1 << f->bits;
    g->kind = LLMQ__BIG && f->p == 2 && f->bits == 8 ? LLMQ__KIND_V2N256 : llmq__kind(f, -128);
    /* -128: no point is too low for vpdpbusd. */
    if (g->kind == LLMQ__KIND_OTHER || g->kind == LLMQ__KIND_G8) return;
    /* The first coordinate of each point. */
    for (i = 0; i < n; i++) one[i] = f->points[i * f->p];
    LLMQ__KERNEL_NAME(zmm_table)(one, n, 0, g->x);
    /* The last coordinate: the second one, or of 3-bit codes the only one again. */
    for (i = 0; i < n; i++) one[i] = f->points[i * f->p + f->p - 1];
    LLMQ__KERNEL_NAME(zmm_table)(one, n, g->kind == LLMQ__KIND_G3, g->y);
}

/* *a, *b = the coded points that meet the two vectors of activations of zmm_lda.
   v: codes of columns 0 to 63 of a block, or codes that have two points each: two coordinates,
   or both codes of a pair of 3 bits.
   w: codes of columns 64 to 127; not used if v has both. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(zmm_look)(int kind, const llmq__zmm_grid *g, __m512i v, __m512i w,
                                                     __m512i *a, __m512i *b)
{
    *a = LLMQ__KERNEL_NAME(look)(kind, g->x, v);
    if (kind >= LLMQ__KIND_V2N16) *b = LLMQ__KERNEL_NAME(look)(kind, g->y, v);
    else if (kind == LLMQ__KIND_G3) *b = LLMQ__KERNEL_NAME(look_upper)(g->y, v);
    else *b = LLMQ__KERNEL_NAME(look)(kind, g->x, w);
}

/* *a, *b = the coded points of block h of a whole unit. A block is 128 columns: a unit of
   two-dimensional points has two blocks, any other one has one, and h is 0. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(zmm_points)(int kind, const llmq__zmm_grid *g, const uint8_t *unit,
                                                       uint32_t h, __m512i *a, __m512i *b)
{
    const int both = kind >= LLMQ__KIND_V2N16 || kind == LLMQ__KIND_G3;
    __m512i v = llmq__zmm_index(kind, unit, h);
    LLMQ__KERNEL_NAME(zmm_look)(kind, g, v, both ? v : llmq__zmm_index(kind, unit, 1), a, b);
}

/* Returns the int32 sums of 16 rows, a lane each, over blocks [block, block + n) of 128 columns.
   q: the activations of the first of these columns, 128 n of them.
   row + at: the codes of the rows' first block. Their units must be whole. */
LLMQ__INLINE_TARGET __m512i LLMQ__KERNEL_NAME(zmm_run)(int kind, const llmq__zmm_grid *g, const uint8_t *const *row,
                                                       size_t at, const int8_t *q, uint32_t block, uint32_t n)
{
    const uint32_t per_unit = kind >= LLMQ__KIND_V2N16 ? 2 : 1,
                   bytes = 16 * (kind == LLMQ__KIND_V2N256 ? 8 : llmq__kind_bits(kind));
    const __m512i offset = _mm512_set1_epi8((char)-128);
    __m512i sum[16], bias = _mm512_setzero_si512(), x, y, v, w;
    uint32_t i, b;
    /* 128 times the sum of the activations, a part in each lane: every sum begins at its
       negative. */
    for (b = 0; b < 2 * n; b++) bias = _mm512_dpbusd_epi32(bias, offset, _mm512_loadu_si512(q + 64 * b));
    bias = _mm512_sub_epi32(_mm512_setzero_si512(), bias);
    LLMQ__Z16(i) sum[i] = bias;
    for (b = block; b < block + n; b++, q += 128) {
        size_t unit = at + (size_t)(b / per_unit) * bytes;
        llmq__zmm_lda(kind, q, &x, &y);
        LLMQ__Z16(i) {
            /* 16 sums, two points and two activations stay in the 32 registers. */
            LLMQ__PREFETCH((uintptr_t)row[i] + unit + LLMQ__PREFETCH_BYTES);
            LLMQ__KERNEL_NAME(zmm_points)(kind, g, row[i] + unit, b % per_unit, &v, &w);
            sum[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum[i], v, x), w, y);
        }
    }
    /* Lane i of x + y is the sum of row i. */
    llmq__zmm_sums(sum, &x, &y);
    return _mm512_add_epi32(x, y);
}

/* Returns the products of 16 rows with one activation, a lane each. All runs must end at
   multiples of 128 columns, or at the end of the row. The bits are the same as
   from the scalar llmq__rows_i8: a total is extended once at the end of each run, in the order
   of columns. */
LLMQ__INLINE_TARGET __m512 LLMQ__KERNEL_NAME(zmm_rows)(int kind, const llmq_tensor *t, const llmq__layout *l,
                                                       const llmq__zmm_grid *g, const llmq_activation *x,
                                                       const uint8_t *const *row)
{
    const uint32_t p = kind >= LLMQ__KIND_V2N16 ? 2 : 1, end = t->cols / p / LLMQ__UNIT * LLMQ__UNIT * p;
    llmq__run run = llmq__first_run(l, x);
    __m512 total = _mm512_setzero_ps();
    __m512i sum = _mm512_setzero_si512();
    uint32_t j, n;
    for (j = 0; j < end; j += n) {
        /* All blocks up to the end of the run, or to the end of the whole units. */
        n = llmq__min(run.end, end) - j;
        /* A run begins at j. Only the last one may go on beyond the whole units. */
        sum = LLMQ__KERNEL_NAME(zmm_run)(kind, g, row, l->scales, x->q + j, j / 128, n / 128);
        /* A run that ends beyond the whole units goes on in zmm_tail, with the sum so far. */
        if (j + n < run.end) continue;
        total = llmq__zmm_finish(total, sum, llmq__zmm_scales(row, run.w), x->scale[run.x]);
        sum = _mm512_setzero_si512();
        llmq__next_run(&run);
    }
    return j < t->cols ? llmq__zmm_tail(t, l, g, x, row, j, run, sum, total) : total;
}

/* The same for codes of 2 bits, two units at a time: a vector's lower half holds the first unit,
   its upper half the second, and field f of the bytes columns 32 f ... 32 f + 31 of both.
   split: 1, all runs have 128 columns, so that the halves belong to two runs.
          0, all runs end where pairs of units do, or at the end of the row. */
LLMQ__INLINE_TARGET __m512 LLMQ__KERNEL_NAME(zmm_rows_g2)(int split, const llmq_tensor *t, const llmq__layout *l,
                                                          const llmq__zmm_grid *g, const llmq_activation *x,
                                                          const uint8_t *const *row)
{
    const __m512i offset = _mm512_set1_epi8((char)-128);
    const uint32_t end = t->cols / 256 * 256;
    llmq__run run = llmq__first_run(l, x);
    __m512 total = _mm512_setzero_ps();
    __m512i sum[16], a[4], lo, hi;
    uint32_t j, i, f;
    lo = hi = _mm512_setzero_si512();
    LLMQ__Z16(i) sum[i] = lo;
    for (j = 0; j < end; j += 256) {
        size_t at = l->scales + j / 4;
        __m512i bias = _mm512_setzero_si512();
        LLMQ__UNROLL(4) for (f = 0; f < 4; f++) {
            const __m256i *q = (const __m256i *)(const void *)(x->q + j + 32 * f);
            /* Columns 32 f ... of the first unit, and the same of the second, 128 columns
               further. */
            a[f] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(q)), _mm256_loadu_si256(q + 4), 1);
            bias = _mm512_dpbusd_epi32(bias, offset, a[f]);
        }
        bias = _mm512_sub_epi32(_mm512_setzero_si512(), bias);
        LLMQ__Z16(i) {
            /* Without a split, sums go on over several pairs of units. */
            __m512i v = _mm512_loadu_si512(row[i] + at), s = split ? bias : _mm512_add_epi32(sum[i], bias);
            LLMQ__PREFETCH((uintptr_t)row[i] + at + LLMQ__PREFETCH_BYTES);
            LLMQ__UNROLL(4)
            for (f = 0; f < 4; f++) s = _mm512_dpbusd_epi32(s, LLMQ__KERNEL_NAME(look_pair)(g->x, v, f), a[f]);
            sum[i] = s;
        }
        if (!split && j + 256 < run.end) continue;
        llmq__zmm_sums(sum, &lo, &hi);
        if (!split) lo = _mm512_add_epi32(lo, hi);
        /* The run of the first unit, or of both, then the run of the second. */
        total = llmq__zmm_finish(total, lo, llmq__zmm_scales(row, run.w), x->scale[run.x]);
        llmq__next_run(&run);
        if (split) {
            total = llmq__zmm_finish(total, hi, llmq__zmm_scales(row, run.w), x->scale[run.x]);
            llmq__next_run(&run);
        }
        LLMQ__Z16(i) sum[i] = _mm512_setzero_si512();
    }
    /* Less than a pair is left. Sums are zeros here if their run has just ended. */
    if (j == t->cols) return total;
    llmq__zmm_sums(sum, &lo, &hi);
    return llmq__zmm_tail(t, l, g, x, row, j, run, _mm512_add_epi32(lo, hi), total);
}

/* Each format has a function of its own, so that kind is a constant in all that is inlined. */
#define LLMQ__ZROWS(name, kind)                                                                             \
    LLMQ__NOINLINE_TARGET __m512 LLMQ__KERNEL_NAME(name)(const llmq_tensor *t, const llmq__layout *l,       \
                                                         const llmq__zmm_grid *g, const llmq_activation *x, \
                                                         const uint8_t *const *row)                         \
    {                                                                                                       \
        return LLMQ__KERNEL_NAME(zmm_rows)(kind, t, l, g, x, row);                                          \
    }
LLMQ__ZROWS(zmm_g2, LLMQ__KIND_G2)
LLMQ__ZROWS(zmm_g3, LLMQ__KIND_G3)
LLMQ__ZROWS(zmm_g4, LLMQ__KIND_G4)
LLMQ__ZROWS(zmm_g5, LLMQ__KIND_G5)
LLMQ__ZROWS(zmm_g6, LLMQ__KIND_G6)
LLMQ__ZROWS(zmm_v2n16, LLMQ__KIND_V2N16)
LLMQ__ZROWS(zmm_v2n64, LLMQ__KIND_V2N64)
#if LLMQ__BIG
LLMQ__ZROWS(zmm_v2n256, LLMQ__KIND_V2N256)
#else
LLMQ__ZROWS(zmm_g8, LLMQ__KIND_G8) /* it looks nothing up, so it serves both tables */
#endif
#undef LLMQ__ZROWS

/* Makes split a constant too. */
LLMQ__NOINLINE_TARGET __m512 LLMQ__KERNEL_NAME(zmm_g2_pairs)(int split, const llmq_tensor *t, const llmq__layout *l,
                                                             const llmq__zmm_grid *g, const llmq_activation *x,
                                                             const uint8_t *const *row)
{
    return split ? LLMQ__KERNEL_NAME(zmm_rows_g2)(1, t, l, g, x, row)
                 : LLMQ__KERNEL_NAME(zmm_rows_g2)(0, t, l, g, x, row);
}

/* Returns the products of 16 rows with one activation by the function of the format. g->kind is
   not LLMQ__KIND_OTHER, and the preconditions of zmm_rows hold. */
LLMQ__NOINLINE_TARGET __m512 LLMQ__KERNEL_NAME(zmm_any)(const llmq_tensor *t, const llmq__layout *l,
                                                        const llmq__zmm_grid *g, const llmq_activation *x,
                                                        const uint8_t *const *row)
{
    int split;
    switch (g->kind) {
    case LLMQ__KIND_G3: return LLMQ__KERNEL_NAME(zmm_g3)(t, l, g, x, row);
    case LLMQ__KIND_G4: return LLMQ__KERNEL_NAME(zmm_g4)(t, l, g, x, row);
    case LLMQ__KIND_G5: return LLMQ__KERNEL_NAME(zmm_g5)(t, l, g, x, row);
    case LLMQ__KIND_G6: return LLMQ__KERNEL_NAME(zmm_g6)(t, l, g, x, row);
    case LLMQ__KIND_G8: return llmq__zmm_g8_avx512vnni(t, l, g, x, row);
    case LLMQ__KIND_V2N16: return LLMQ__KERNEL_NAME(zmm_v2n16)(t, l, g, x, row);
    case LLMQ__KIND_V2N64: return LLMQ__KERNEL_NAME(zmm_v2n64)(t, l, g, x, row);
#if LLMQ__BIG
    case LLMQ__KIND_V2N256: return LLMQ__KERNEL_NAME(zmm_v2n256)(t, l, g, x, row);
#endif
    default: break;
    }
    split = llmq__zmm_split(l, x);
    return split < 0 ? LLMQ__KERNEL_NAME(zmm_g2)(t, l, g, x, row)
                     : LLMQ__KERNEL_NAME(zmm_g2_pairs)(split, t, l, g, x, row);
}

/* tile[32] = signed points of block h of the units at row[i] + at of 16 rows, transposed: lane i
   of tile[k] has columns 4 k ... 4 k + 3 of row i, in the order of zmm_lda.
   Returns 128 times the sum of the points of each row.
   Four codes, not points, are transposed where a byte of codes has two points: half the work. */
LLMQ__INLINE_TARGET __m512i LLMQ__KERNEL_NAME(zmm_tile)(const llmq__zmm_grid *g, const uint8_t *const *row, size_t at,
                                                        uint32_t h, __m512i *tile)
{
    /* pair: one byte has two points, namely two coordinates, both codes of 6 bits, or both
       nibbles of g4. */
    const int kind = g->kind, pair = kind >= LLMQ__KIND_V2N16 || kind == LLMQ__KIND_G3 || kind == LLMQ__KIND_G4;
    const __m512i offset = _mm512_set1_epi8((char)-128);
    __m512i bias = _mm512_setzero_si512();
    uint32_t i, k;
    for (i = 0; i < 16; i++) {
        tile[i] = llmq__zmm_index(kind, row[i] + at, h);
        if (!pair) tile[16 + i] = llmq__zmm_index(kind, row[i] + at, 1);
    }
    llmq__zmm_transpose16(tile);
    if (!pair) llmq__zmm_transpose16(tile + 16);
    for (i = 0; i < 16; i++) {
        __m512i v = tile[i], w = pair ? _mm512_srli_epi16(v, 4) : tile[16 + i]; /* g4: the upper nibbles */
        LLMQ__KERNEL_NAME(zmm_look)(kind, g, v, w, tile + i, tile + 16 + i);
    }
    /* Points lose the added 128 here: in blocks they are the signed operand, and activations
       have 128 added. */
    for (k = 0; k < 32; k++) {
        tile[k] = _mm512_xor_si512(tile[k], offset);
        bias = _mm512_dpbusd_epi32(bias, offset, tile[k]);
    }
    return bias;
}

/* Adds products of block b, columns 128 b ... 128 b + 127, of 32 rows with count activations.
   The rows are decoded once, a lane for each row, for all activations.
   sum: 2 * count vectors, as in zmm_many. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(zmm_block)(const llmq__zmm_grid *g, const uint8_t *const *row, size_t at,
                                                        uint32_t b, const llmq_activation *x, uint32_t count,
                                                        __m512i *sum)
{
    /* A unit has 128 codes, hence 16 bytes for each bit. */
    const uint32_t per_unit = g->kind >= LLMQ__KIND_V2N16 ? 2 : 1,
                   bytes = 16 * (g->kind > LLMQ__KIND_V2N64 ? 8 : llmq__kind_bits(g->kind));
    __m512i tile[64], bias[2];
    at += (size_t)(b / per_unit) * bytes;
    /* The tile of 16 rows has 32 vectors. */
    bias[0] = LLMQ__KERNEL_NAME(zmm_tile)(g, row, at, b % per_unit, tile);
    bias[1] = LLMQ__KERNEL_NAME(zmm_tile)(g, row + 16, at, b % per_unit, tile + 32);
    llmq__zmm_times(g->kind, tile, bias, b, x, count, sum);
}

#if LLMQ__ANY_TRELLIS
/* Makes the tables of a built-in trellis, indexed in the order in which the code below makes
   indices: see zmm_trellis_pairs and zmm_trellis_fours. g->x is for indices in their place, g->y
   for indices that are rotated. g->x1 and g->y1 are the same where parity 2 of t4s is 1, which
   has no place among 6 bits. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(zmm_trellis_of)(const llmq_format *f, llmq__zmm_grid *g)
{
    const uint32_t strong = llmq__parities(f) == 4 && f->bits > 1;
    int8_t one[4][64];
    uint32_t k, i, turned;
    g->kind = LLMQ__KIND_T1 - 1 + llmq__trellis(f);
    for (k = 0; k < 64; k++) {
        /* k: an index as it is made. i: the index of the format: parities first, then the code's
           bits but the lowest. Each mask moves one group of bits from its place in k to its
           place in i. */
        i = k; /* of t2 and t1 */
        if (f->bits == 3)
            i = strong ? (k & 3) | (k >> 2 & 4) | (k << 1 & 24) | (k & 32) : (k & 13) | (k >> 3 & 2) | (k << 3 & 16);
        if (f->bits == 2 && strong) i = (k & 3) | (k >> 2 & 4) | (k << 1 & 24);
        if (f->bits == 4 && strong) i = (k & 3) | (k << 1 & 120);
        /* The mask keeps indices of smaller tables within their points, which are repeated then. */
        one[0][k] = f->points[i & (llmq__table(f) - 1)];
        one[1][k] = f->points[(i | 4) & (llmq__table(f) - 1)];
    }
    for (k = 0; k < 64; k++) {
        /* Codes of 4 bits: the upper code of a byte has its parities above it, so 6 bits are
           rotated by 2. Fewer bits: field 1 is made two bits further on, so they are rotated the
           other way. */
        turned = f->bits == 4 ? (k << 2 | k >> 4) & 63 : (k >> 2 | k << 4) & 63;
        one[2][k] = one[0][turned];
        one[3][k] = one[1][turned];
    }
    LLMQ__KERNEL_NAME(zmm_table)(one[0], 64, 0, g->x);
    LLMQ__KERNEL_NAME(zmm_table)(one[1], 64, 0, g->x1);
    LLMQ__KERNEL_NAME(zmm_table)(one[2], 64, 0, g->y);
    LLMQ__KERNEL_NAME(zmm_table)(one[3], 64, 0, g->y1);
}

/* p[f] = coded points of columns 64 f ... 64 f + 63 of a unit, for codes of 1 to 3 bits.
   v: the vectors of the row, with the rows above before it; see zmm_load_unit.
   a and b hold bits 0 and 1, and bits 2 and 3, of an index, in field f of a byte. Exchanging
   fields of a with fields of b makes nibbles of them: `even` has fields 0 and 2 in its nibbles,
   `odd` field 1 two bits above bit 0, and field 3 from bit 6 on into the next byte. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(zmm_trellis_pairs)(int kind, const llmq__zmm_grid *g, const __m512i *v,
                                                              __m512i *p)
{
    __m512i a, b, c, up, even, odd, i[4];
    const int look = llmq__zmm_pairs(kind, v, &a, &b, &c), six = look != LLMQ__KIND_G4;
    uint32_t f;
    /* Field 3 of the last of 8 bytes wraps round to the first one; the rotation by 6 below
       undoes this. */
    b = _mm512_rol_epi64(b, 2);
    even = llmq__zmm_pick(0x33, a, b);
    odd = llmq__zmm_pick(0x33, b, a);
    i[0] = even;
    i[1] = odd;
    i[2] = _mm512_ror_epi64(even, 4);
    i[3] = _mm512_ror_epi64(odd, 6);
    if (six) {
        /* c holds bits 4 and 5: its field f moves above the nibble of field f. For field 1,
           whose nibble is at bits 2 to 5, it goes to bits 0 and 1. */
        up = _mm512_srli_epi16(c, 2);
        i[0] = llmq__zmm_pick(0x0f, i[0], _mm512_slli_epi16(c, 4));
        i[1] = llmq__zmm_pick(0x3c, i[1], up);
        i[2] = llmq__zmm_pick(0x0f, i[2], c);
        i[3] = llmq__zmm_pick(0x0f, i[3], up);
    }
    /* Shuffles take an index from bits 0 to 3, so there the nibble of field 1 moves to its place.
       Byte permutes have the rotated table y. */
    if (!LLMQ__BIG && six) i[1] = llmq__zmm_pick(0x0f, _mm512_srli_epi16(i[1], 2), _mm512_slli_epi16(i[1], 4));
    if (!LLMQ__BIG && !six) i[1] = _mm512_srli_epi16(i[1], 2);
    LLMQ__UNROLL(4)
    for (f = 0; f < 4; f++) p[f] = LLMQ__KERNEL_NAME(look)(look, LLMQ__BIG && f == 1 ? g->y : g->x, i[f]);
}

/* The same for codes of 4 bits. Vector h of the row has columns 64 h ... 64 h + 63 in its lower
   nibbles and 128 + 64 h ... in its upper ones. An index is 6 bits: parities 0 and 1 below the
   code of a lower nibble, and above the code of an upper one. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(zmm_trellis_fours)(int kind, const llmq__zmm_grid *g, const __m512i *v,
                                                              __m512i *p)
{
    uint32_t h;
    LLMQ__UNROLL(2) for (h = 0; h < 2; h++, v++, p++) {
        __m512i x = llmq__zmm_xor(v, llmq__zmm_taps(kind, 0)), y = llmq__zmm_xor(v, llmq__zmm_taps(kind, 1)), z, lo, hi;
        /* Parities are at bits 0 and 4. Doubling moves parity 1 to bits 1 and 5. */
        z = llmq__zmm_pick(0x11, x, _mm512_add_epi8(y, y));
        lo = llmq__zmm_pick(0x03, z, _mm512_slli_epi16(*v, 2));
        hi = llmq__zmm_pick(0x0f, _mm512_srli_epi16(*v, 4), z);
        p[0] = LLMQ__KERNEL_NAME(look)(LLMQ__KIND_G6, g->x, lo);
        p[2] = LLMQ__KERNEL_NAME(look)(LLMQ__KIND_G6, g->y, hi);
        /* Parity 2 of t4s is the seventh bit of the index: it chooses between two tables. */
        if (kind == LLMQ__KIND_T4) continue;
        z = llmq__zmm_xor(v, llmq__zmm_taps(kind, 2));
        p[0] = _mm512_mask_mov_epi8(p[0], _mm512_test_epi8_mask(z, _mm512_set1_epi8(0x01)),
                                    LLMQ__KERNEL_NAME(look)(LLMQ__KIND_G6, g->x1, lo));
        p[2] = _mm512_mask_mov_epi8(p[2], _mm512_test_epi8_mask(z, _mm512_set1_epi8(0x10)),
                                    LLMQ__KERNEL_NAME(look)(LLMQ__KIND_G6, g->y1, hi));
    }
}

/* p[f] = coded points of columns 64 f ... 64 f + 63 of a unit. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(zmm_trellis_points)(int kind, const llmq__zmm_grid *g, const __m512i *v,
                                                               __m512i *p)
{
    if (llmq__zmm_bits(kind) == 4) LLMQ__KERNEL_NAME(zmm_trellis_fours)(kind, g, v, p);
    else LLMQ__KERNEL_NAME(zmm_trellis_pairs)(kind, g, v, p);
}

#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t1
#define LLMQ__KIND LLMQ__KIND_T1
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t2
#define LLMQ__KIND LLMQ__KIND_T2
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t3
#define LLMQ__KIND LLMQ__KIND_T3
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t4
#define LLMQ__KIND LLMQ__KIND_T4
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t2s
#define LLMQ__KIND LLMQ__KIND_T2S
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t3s
#define LLMQ__KIND LLMQ__KIND_T3S
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_AVX512_TRELLIS
#define LLMQ__NAME zmm_t4s
#define LLMQ__KIND LLMQ__KIND_T4S
#include LLMQ_SIMD_SELF

#endif

/* The functions above, for the shared ones. */
static const llmq__zmm_set LLMQ__KERNEL_NAME(zmm_set) = {
    LLMQ__KERNEL_NAME(zmm_grid_of), LLMQ__KERNEL_NAME(zmm_any), LLMQ__KERNEL_NAME(zmm_block),
#if LLMQ__ANY_TRELLIS
#define LLMQ__ZKIND(name) { LLMQ__KERNEL_NAME(name##_all), LLMQ__KERNEL_NAME(name##_points) }
    LLMQ__KERNEL_NAME(zmm_trellis_of),
    { LLMQ__ZKIND(zmm_t1), LLMQ__ZKIND(zmm_t2), LLMQ__ZKIND(zmm_t3), LLMQ__ZKIND(zmm_t4), LLMQ__ZKIND(zmm_t2s),
      LLMQ__ZKIND(zmm_t3s), LLMQ__ZKIND(zmm_t4s) } /* in the order of LLMQ__KIND_T... */
#undef LLMQ__ZKIND
#endif
};

/* The kernel of the table: see zmm_rows_i8. */
LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(rows_i8)(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                                      uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__zmm_rows_i8(&LLMQ__KERNEL_NAME(zmm_set), t, x, count, r0, r1, y, y_stride);
}

#undef LLMQ__ISA
#undef LLMQ__BIG

#elif LLMQ__SIMD_PART == LLMQ__PART_AVX512_TRELLIS
#undef LLMQ__SIMD_PART

/* ---- a trellis, once for each way to look points up ---------------------------------------------

   Parameters beside those of the products:
     LLMQ__NAME  the name of its functions
     LLMQ__KIND  LLMQ__KIND_T...
   Each kind has a text of its own, not a function with the kind as a parameter, because
   compilers work on such functions before they know the kind.
   Measured: clang spent a third of its time there. */

#if !defined(LLMQ__NAME) || !defined(LLMQ__KIND)
#error "llmq: the template of a trellis of AVX-512 needs LLMQ__NAME and LLMQ__KIND"
#endif

/* Returns the sums of a unit of eight rows: lanes 0 ... 7 over its first 128 columns, lanes 8
   ... 15 over the others.
   v: the vectors of the first row, with LLMQ__ZBACK rows before it.
   a: the 256 activations. bias[h]: minus 128 times the sum of the activations of half h, a part
   in each lane.
   ahead, apart: streams to prefetch, see zmm_streams. */
LLMQ__INLINE_TARGET __m512i LLMQ__K(_sums)(const llmq__zmm_grid *g, const __m512i *v, const __m512i *a,
                                           const __m512i *bias, uintptr_t ahead, size_t apart)
{
    __m512i sum[16], p[4], lo, hi;
    uint32_t i;
    LLMQ__Z8(i) {
        llmq__zmm_fetch(LLMQ__KIND, i, ahead, apart);
        LLMQ__KERNEL_NAME(zmm_trellis_points)(LLMQ__KIND, g, v + 2 * i, p);
        sum[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(bias[0], p[0], a[0]), p[1], a[1]);
        sum[8 + i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(bias[1], p[2], a[2]), p[3], a[3]);
    }
    llmq__zmm_sums(sum, &lo, &hi);
    return _mm512_add_epi32(lo, hi);
}

/* Decodes a unit of 16 rows; see the type llmq__zmm_points. */
LLMQ__NOINLINE_TARGET void LLMQ__K(_points)(const llmq__zmm_grid *g, const __m512i *v, uintptr_t ahead, size_t apart,
                                            size_t half, __m512i *tile)
{
    const __m512i offset = _mm512_set1_epi8((char)-128);
    __m512i p[4];
    uint32_t i, f;
    for (i = 0; i < 16; i++) {
        /* Two groups of eight rows prefetch 128 bytes of each stream one after the other. */
        llmq__zmm_fetch(LLMQ__KIND, i & 7, ahead + 16 * (i & 8), apart);
        LLMQ__KERNEL_NAME(zmm_trellis_points)(LLMQ__KIND, g, v + 2 * i, p);
        LLMQ__UNROLL(4) for (f = 0; f < 4; f++) tile[f / 2 * half + f % 2 * 16 + i] = _mm512_xor_si512(p[f], offset);
    }
}

/* total[b] = the products of rows 16 b ... 16 b + 15 with one activation, for n <= LLMQ__ZSTRIP
   blocks of neighbouring rows; row[0] is LLMQ__ZBACK rows above the first.
   A unit of all rows comes before the next unit. So a row's unit is loaded once, and the eight
   rows below find it in v. All runs end at multiples of 128 columns, or at the end of
   the row. */
LLMQ__NOINLINE_TARGET void LLMQ__K(_all)(const llmq_tensor *t, const llmq__layout *l, const llmq__zmm_grid *g,
                                         const llmq_activation *x, const uint8_t *const *row, uint32_t n, __m512 *total)
{
    const __m512i offset = _mm512_set1_epi8((char)-128);
    const uint32_t end = t->cols / 256 * 256;
    const size_t block = 16 * n * t->row_size, apart = llmq__zmm_apart(llmq__zmm_bits(LLMQ__KIND), block);
    uintptr_t ahead = (uintptr_t)row[LLMQ__ZBACK] + block;
    /* run: where the unit begins. next: where the half of the unit begins, for each block. */
    llmq__run run = llmq__first_run(l, x), next = run;
    __m512i sum[LLMQ__ZSTRIP], v[2 * (LLMQ__ZBACK + 8)], a[4], bias[2], s[2], both;
    uint32_t i, j, k, b, scale[16];
    for (b = 0; b < n; b++) total[b] = _mm512_setzero_ps(), sum[b] = _mm512_setzero_si512();
    for (j = 0; j < end; j += 256, run = next) {
        const size_t at = l->scales + (size_t)(j / 8) * llmq__zmm_bits(LLMQ__KIND);
        LLMQ__UNROLL(4) for (k = 0; k < 4; k++) a[k] = _mm512_loadu_si512(x->q + j + 64 * k);
        LLMQ__UNROLL(2) for (k = 0; k < 2; k++) {
            bias[k] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), offset, a[2 * k]), offset,
                                          a[2 * k + 1]);
            bias[k] = _mm512_sub_epi32(_mm512_setzero_si512(), bias[k]);
        }
        LLMQ__Z8(k) llmq__zmm_load_unit(LLMQ__KIND, row[k] + at, v + 2 * k);
        for (b = 0; b < n; b++) {
            const uint8_t *const *own = row + LLMQ__ZBACK + 16 * b;
            llmq__zmm_copy_scales(own, run.w, scale);
            /* Two groups of eight rows. The 16 vectors of one become the memory of the next. */
            for (k = 0; k < 2; k++, own += 8, ahead += 128) {
                LLMQ__Z8(i) llmq__zmm_load_unit(LLMQ__KIND, own[i] + at, v + 2 * (LLMQ__ZBACK + i));
                s[k] = LLMQ__K(_sums)(g, v + 2 * LLMQ__ZBACK, a, bias, ahead, apart);
                LLMQ__Z16(i) v[i] = v[2 * LLMQ__ZBACK + i]; /* those above the next eight */
            }
            next = run;
            LLMQ__UNROLL(2) for (k = 0; k < 2; k++) {
                /* Lanes 0 ... 7 of both groups are the first half of the unit, lanes 8 ... 15
                   the second half. */
                /* check: 0xee == 2 | 3 << 2 | 2 << 4 | 3 << 6 */
                /* check: 0x44 == 0 | 1 << 2 | 0 << 4 | 1 << 6 */
                sum[b] = _mm512_add_epi32(sum[b], k ? _mm512_shuffle_i64x2(s[0], s[1], 0xee)
                                                    : _mm512_shuffle_i64x2(s[0], s[1], 0x44));
                if (j + 128 * (k + 1) < next.end) continue;
                /* A unit has two groups of columns at most. The scale of the first is in the
                   lower half of the copied bits, the scale of the second in the upper half. A
                   bfloat16 is the upper half of a float. */
                /* check: -65536 == -2^16 */
                both = next.w == run.w ? _mm512_slli_epi32(_mm512_loadu_si512(scale), 16) : _mm512_loadu_si512(scale);
                both = _mm512_and_si512(both, _mm512_set1_epi32(-65536));
                total[b] = llmq__zmm_finish(total[b], sum[b], _mm512_castsi512_ps(both), x->scale[next.x]);
                sum[b] = _mm512_setzero_si512();
                llmq__next_run(&next);
            }
        }
    }
    for (b = 0; b < n && j < t->cols; b++)
        total[b] = llmq__zmm_trellis_part(LLMQ__K(_points), t, l, g, x, row + 16 * b, j, run, sum[b], total[b]);
}

#undef LLMQ__KIND
#undef LLMQ__NAME

#elif LLMQ__SIMD_PART == LLMQ__PART_NEON
#undef LLMQ__SIMD_PART

/* ---- 8. Arm: NEON -------------------------------------------------------------------------------

   Three tables: neon, neondot with the products of DOTPROD, and neoni8mm with the blocks of
   I8MM. They share all kernels but the products of int8 activations.

   The vector unit of 32-bit Arm flushes subnormal floats to zero, and its results would then
   differ from the scalar kernels. So the words on floats are made twice. On AArch64 they are
   vectors, which follow IEEE 754. On 32-bit Arm they use the scalar unit, VFP, and vectors do
   only work that is exact in integers: signs, comparisons of magnitudes, conversions. Products
   of int8 activations, which are most of the work, use floats once a group.

   clang's optimizer puts neighbouring floats into vectors on its own on 32-bit Arm, in the
   scalar kernels too: with it, 32-bit Arm needs -fno-slp-vectorize for the promise of equal
   bits.

   Loads and stores take any address that is aligned as its type, and bytes any address. Words
   read and write the elements that their names say, and no more. */

#define LLMQ__TARGET

/* ---- words on floats ----------------------------------------------------------------------------

   Section 3 lists them. Each operation is rounded as the scalar one, on the same operands, and
   sums of lanes are made in the order of the scalar kernels. These first ones are shared by
   both Arms: they work in integers but for conversions, which are exact. */

/* Changes the sign of lane i where bit i of bits is set, 0 <= i <= 3. A shift by 31 - i
   moves bit i to the place of the sign. */
LLMQ__INLINE_TARGET float32x4_t llmq__flip4_neon(float32x4_t v, uint32_t bits)
{
    static const int32_t up[4] = { 31, 30, 29, 28 };
    /* Bits above i shift out; bits below i are masked. */
    uint32x4_t top = vandq_u32(vshlq_u32(vdupq_n_u32(bits), vld1q_s32(up)), vdupq_n_u32(0x80000000u));
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), top));
}
/* m = max(m, bits of |v|), in each lane. Magnitudes of floats are ordered as their bits are. */
LLMQ__INLINE_TARGET uint32x4_t llmq__amax4_neon(uint32x4_t m, float32x4_t v)
{
    return vmaxq_u32(m, vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0x7fffffffu)));
}
/* Four int16 as floats, exactly. */
LLMQ__INLINE_TARGET float32x4_t llmq__widen4_neon(int16x4_t v) { return vcvtq_f32_s32(vmovl_s16(v)); }
typedef uint32x4_t llmq__u32x16_neon; /* maxima: lanes i, 4 + i, 8 + i and 12 + i are one lane */
LLMQ__INLINE_TARGET uint32x4_t llmq__zero_u32x16_neon(void) { return vdupq_n_u32(0); }
/* The greatest of four lanes: two pairs, then one. */
LLMQ__INLINE_TARGET uint32_t llmq__max_lane_neon(uint32x4_t m)
{
    /* Maxima of pairs of lanes, then of the pair. */
    uint32x2_t half = vmax_u32(vget_low_u32(m), vget_high_u32(m));
    return vget_lane_u32(vpmax_u32(half, half), 0);
}

#if defined(__aarch64__)
/* AArch64: the words on floats, as section 3 lists them. */
typedef float32x4_t llmq__f32v_neon;
LLMQ__INLINE_TARGET float32x4_t llmq__loadv_neon(const float *p) { return vld1q_f32(p); }
LLMQ__INLINE_TARGET void llmq__storev_neon(float *p, float32x4_t v) { vst1q_f32(p, v); }
LLMQ__INLINE_TARGET float32x4_t llmq__setv_neon(float x) { return vdupq_n_f32(x); }
LLMQ__INLINE_TARGET float32x4_t llmq__addv_neon(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
LLMQ__INLINE_TARGET float32x4_t llmq__subv_neon(float32x4_t a, float32x4_t b) { return vsubq_f32(a, b); }
LLMQ__INLINE_TARGET float32x4_t llmq__mulv_neon(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
/* Products here are exact, so that a fused operation rounds as an addition does. */
LLMQ__INLINE_TARGET float32x4_t llmq__maddv_neon(float32x4_t sum, float32x4_t a, float32x4_t b)
{
    return vfmaq_f32(sum, a, b);
}
/* Butterflies at distances 1 and 2 of the four floats at p: each lane becomes the other lane of
   its pair plus or minus itself. Products with 1 and -1 are exact, so that a fused operation
   rounds as the scalar addition or subtraction does. */
LLMQ__INLINE_TARGET float32x4_t llmq__load_butterfly_neon(const float *p)
{
    float32x4_t v = vld1q_f32(p);
    /* vrev64 exchanges neighbours, vext by two lanes exchanges halves. */
    static const float s1[4] = { 1, -1, 1, -1 }, s2[4] = { 1, 1, -1, -1 };
    v = vfmaq_f32(vrev64q_f32(v), v, vld1q_f32(s1));
    return vfmaq_f32(vextq_f32(v, v, 2), v, vld1q_f32(s2));
}

/* Lanes 0 to 3, 4 to 7, 8 to 11, 12 to 15. */
typedef struct llmq__f32x16_neon { float32x4_t a, b, c, d; } llmq__f32x16_neon;
/* The members are set one by one, which C99 and C++11 both take. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__f32x16_of_neon(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d)
{
    llmq__f32x16_neon v;
    v.a = a;
    v.b = b;
    v.c = c;
    v.d = d;
    return v;
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__load16_neon(const float *p)
{
    return llmq__f32x16_of_neon(vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12));
}
/* 16 floats from p on, in the order of lanes. */
LLMQ__INLINE_TARGET void llmq__store16_neon(float *p, llmq__f32x16_neon v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
    vst1q_f32(p + 8, v.c);
    vst1q_f32(p + 12, v.d);
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__set16_neon(float x)
{
    return llmq__f32x16_of_neon(vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x));
}
/* One operation on all 16 lanes of x and y. */
#define LLMQ__EACH(op) return llmq__f32x16_of_neon(op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d))
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__add16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(vaddq_f32);
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__sub16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(vsubq_f32);
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__mul16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(vmulq_f32);
}
/* 16 int8 at p as floats, exactly. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__from_i8x16_neon(const int8_t *p)
{
    int8x16_t v = vld1q_s8(p);
    int16x8_t lo = vmovl_s8(vget_low_s8(v)), hi = vmovl_s8(vget_high_s8(v));
    /* Bytes become 16, then 32 bits, with their signs. */
    return llmq__f32x16_of_neon(llmq__widen4_neon(vget_low_s16(lo)), llmq__widen4_neon(vget_high_s16(lo)),
                            llmq__widen4_neon(vget_low_s16(hi)), llmq__widen4_neon(vget_high_s16(hi)));
}
/* Lanes i and i + 8 first, then i + 4, i + 2 and i + 1: the order of llmq__lane_sum. */
LLMQ__INLINE_TARGET float llmq__sum16_neon(llmq__f32x16_neon v)
{
    float32x4_t f = vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d));
    float32x2_t h = vadd_f32(vget_low_f32(f), vget_high_f32(f));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}
/* Changes the sign of lane i where bit i of bits is set. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__flip16_neon(llmq__f32x16_neon v, uint32_t bits)
{
    /* flip4 looks at the four lowest bits alone. */
    return llmq__f32x16_of_neon(llmq__flip4_neon(v.a, bits), llmq__flip4_neon(v.b, bits >> 4),
                            llmq__flip4_neon(v.c, bits >> 8), llmq__flip4_neon(v.d, bits >> 12));
}
LLMQ__INLINE_TARGET uint32x4_t llmq__max_abs16_neon(uint32x4_t m, llmq__f32x16_neon v)
{
    return llmq__amax4_neon(llmq__amax4_neon(llmq__amax4_neon(llmq__amax4_neon(m, v.a), v.b), v.c), v.d);
}
/* Rounds to the nearest integer, ties to even, as llmq__round_i8 does. */
LLMQ__INLINE_TARGET int16x8_t llmq__narrow8_neon(float32x4_t a, float32x4_t b)
{
    return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)), vqmovn_s32(vcvtnq_s32_f32(b)));
}
/* q[0, 16) = v rounded as llmq__round_i8 does, in the order of lanes. */
LLMQ__INLINE_TARGET void llmq__to_i8x16_neon(int8_t *q, llmq__f32x16_neon v)
{
    /* The template passes magnitudes of 127 and a rounding error at most, so that nothing
       saturates. */
    vst1q_s8(q, vcombine_s8(vqmovn_s16(llmq__narrow8_neon(v.a, v.b)), vqmovn_s16(llmq__narrow8_neon(v.c, v.d))));
}
/* Where s < least: least = s, code = k. A comparison with NaN is false. */
LLMQ__INLINE_TARGET void llmq__keep4_neon(float32x4_t s, float32x4_t k, float32x4_t *least, float32x4_t *code)
{
    /* Strict: of equal costs the first one stays, as in the scalar search. */
    uint32x4_t less = vcltq_f32(s, *least);
    *least = vbslq_f32(less, s, *least);
    *code = vbslq_f32(less, k, *code);
}
/* The same for 16 lanes. */
LLMQ__INLINE_TARGET void llmq__min_update_neon(llmq__f32x16_neon s, llmq__f32x16_neon k, llmq__f32x16_neon *least,
                                               llmq__f32x16_neon *code)
{
    llmq__keep4_neon(s.a, k.a, &least->a, &code->a);
    llmq__keep4_neon(s.b, k.b, &least->b, &code->b);
    llmq__keep4_neon(s.c, k.c, &least->c, &code->c);
    llmq__keep4_neon(s.d, k.d, &least->d, &code->d);
}
/* Not vminq_f32, which gives NaN where one operand is NaN. */
LLMQ__INLINE_TARGET float32x4_t llmq__min4_neon(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcltq_f32(y, x), y, x);
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__min16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(llmq__min4_neon);
}
/* Bit i of the result: lane i of x is less than lane i of y.
   The comparisons are narrowed to bytes of all ones or zeros. Each keeps one bit, and three
   rounds of pairwise additions collect eight bytes into one, lanes 0 to 7 into the lower byte. */
LLMQ__INLINE_TARGET uint32_t llmq__less16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    static const uint8_t flag[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    /* vuzp1 keeps the lower half of each lane, which is all ones or all zeros as the lane is. */
    uint16x8_t ab = vuzp1q_u16(vreinterpretq_u16_u32(vcltq_f32(x.a, y.a)), vreinterpretq_u16_u32(vcltq_f32(x.b, y.b)));
    uint16x8_t cd = vuzp1q_u16(vreinterpretq_u16_u32(vcltq_f32(x.c, y.c)), vreinterpretq_u16_u32(vcltq_f32(x.d, y.d)));
    uint8x16_t m = vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(ab), vreinterpretq_u8_u16(cd)), vld1q_u8(flag));
    m = vpaddq_u8(m, m);
    m = vpaddq_u8(m, m);
    return vgetq_lane_u16(vreinterpretq_u16_u8(vpaddq_u8(m, m)), 0);
}
/* x - y|: the difference is rounded once, as a float, and loses its sign. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__away16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(vabdq_f32);
}
/* |x - y| where that is less than least, else least. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__absdiff_min_neon(llmq__f32x16_neon least, llmq__f32x16_neon x,
                                                             llmq__f32x16_neon y)
{
    return llmq__min16_neon(least, llmq__away16_neon(x, y));
}
#undef LLMQ__EACH
/* The lanes are integers below 65536, so that nothing is rounded or cut off. */
LLMQ__INLINE_TARGET uint16x8_t llmq__code8_neon(float32x4_t a, float32x4_t b)
{
    return vcombine_u16(vmovn_u32(vcvtq_u32_f32(a)), vmovn_u32(vcvtq_u32_f32(b)));
}
/* p[0, 16) = v, integers, in the order of lanes. */
LLMQ__INLINE_TARGET void llmq__store_u16x16_neon(uint16_t *p, llmq__f32x16_neon v)
{
    vst1q_u16(p, llmq__code8_neon(v.a, v.b));
    vst1q_u16(p + 8, llmq__code8_neon(v.c, v.d));
}
#else
/* 32-bit Arm: a native vector of the template is one float, in the scalar unit. */
typedef float llmq__f32v_neon;
LLMQ__INLINE_TARGET float llmq__loadv_neon(const float *p) { return *p; }
LLMQ__INLINE_TARGET void llmq__storev_neon(float *p, float v) { *p = v; }
LLMQ__INLINE_TARGET float llmq__setv_neon(float x) { return x; }
LLMQ__INLINE_TARGET float llmq__addv_neon(float a, float b) { return a + b; }
LLMQ__INLINE_TARGET float llmq__subv_neon(float a, float b) { return a - b; }
LLMQ__INLINE_TARGET float llmq__mulv_neon(float a, float b) { return a * b; }
/* Products here are exact, fused or not. */
LLMQ__INLINE_TARGET float llmq__maddv_neon(float sum, float a, float b) { return sum + a * b; }
/* A vector of one float has no butterflies within it. */
LLMQ__INLINE_TARGET float llmq__load_butterfly_neon(const float *p) { return *p; }

/* 16 floats are 16 scalar operations, which are written out. */
typedef struct llmq__f32x16_neon { float f[16]; } llmq__f32x16_neon;
#define LLMQ__EACH(op) \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LLMQ__LOAD(i) v.f[i] = p[i];
#define LLMQ__STORE(i) p[i] = v.f[i];
#define LLMQ__SET(i) v.f[i] = x;
#define LLMQ__ADD(i) x.f[i] = llmq__addv_neon(x.f[i], y.f[i]);
#define LLMQ__SUB(i) x.f[i] = llmq__subv_neon(x.f[i], y.f[i]);
#define LLMQ__MUL(i) x.f[i] = llmq__mulv_neon(x.f[i], y.f[i]);
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__load16_neon(const float *p)
{
    llmq__f32x16_neon v;
    LLMQ__EACH(LLMQ__LOAD) return v;
}
LLMQ__INLINE_TARGET void llmq__store16_neon(float *p, llmq__f32x16_neon v) { LLMQ__EACH(LLMQ__STORE) }
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__set16_neon(float x) { llmq__f32x16_neon v; LLMQ__EACH(LLMQ__SET) return v; }
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__add16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(LLMQ__ADD) return x;
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__sub16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(LLMQ__SUB) return x;
}
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__mul16_neon(llmq__f32x16_neon x, llmq__f32x16_neon y)
{
    LLMQ__EACH(LLMQ__MUL) return x;
}
#undef LLMQ__EACH
#undef LLMQ__LOAD
#undef LLMQ__STORE
#undef LLMQ__SET
#undef LLMQ__ADD
#undef LLMQ__SUB
#undef LLMQ__MUL
/* 16 int8 as floats, exactly, by way of memory, because the scalar unit works on them. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__from_i8x16_neon(const int8_t *p)
{
    float f[16];
    int8x16_t v = vld1q_s8(p);
    int16x8_t lo = vmovl_s8(vget_low_s8(v)), hi = vmovl_s8(vget_high_s8(v));
    /* Vectors convert integers to floats exactly here too: no result is subnormal. */
    vst1q_f32(f, llmq__widen4_neon(vget_low_s16(lo)));
    vst1q_f32(f + 4, llmq__widen4_neon(vget_high_s16(lo)));
    vst1q_f32(f + 8, llmq__widen4_neon(vget_low_s16(hi)));
    vst1q_f32(f + 12, llmq__widen4_neon(vget_high_s16(hi)));
    return llmq__load16_neon(f);
}
/* v is a copy, which llmq__lane_sum may change. */
LLMQ__INLINE_TARGET float llmq__sum16_neon(llmq__f32x16_neon v) { return llmq__lane_sum(v.f); }
/* Vectors change signs here too, because that is exact in integers. */
LLMQ__INLINE_TARGET llmq__f32x16_neon llmq__flip16_neon(llmq__f32x16_neon v, uint32_t bits)
{
    uint32_t i;
    for (i = 0; i < 16; i += 4) vst1q_f32(v.f + i, llmq__flip4_neon(vld1q_f32(v.f + i), bits >> i));
    return v;
}
/* Maxima of magnitudes are exact in integers too. */
LLMQ__INLINE_TARGET uint32x4_t llmq__max_abs16_neon(uint32x4_t m, llmq__f32x16_neon v)
{
    uint32_t i;
    for (i = 0; i < 16; i += 4) m = llmq__amax4_neon(m, vld1q_f32(v.f + i));
    return m;
}
/* q[0, 16) = v rounded as llmq__round_i8 does, by vectors. */
LLMQ__INLINE_TARGET void llmq__to_i8x16_neon(int8_t *q, llmq__f32x16_neon v)
{
    uint32_t i;
    /* Rounds as llmq__round_i8 does: the unit of the last place of 1.5 * 2^23 is 1. A subnormal
       value rounds to 0, flushed or not, so that vectors of floats may add here. */
    for (i = 0; i < 16; i += 8) {
        /* check: 12582912 == 1.5 * 2^23 */
        uint32x4_t a = vreinterpretq_u32_f32(vaddq_f32(vld1q_f32(v.f + i), vdupq_n_f32(12582912.0f)));
        uint32x4_t b = vreinterpretq_u32_f32(vaddq_f32(vld1q_f32(v.f + i + 4), vdupq_n_f32(12582912.0f)));
        /* The lowest byte of each sum is the integer. */
        vst1_u8((uint8_t *)q + i, vmovn_u16(vcombine_u16(vmovn_u32(a), vmovn_u32(b))));
    }
}
#endif

/* AArch64 has 32 registers of 4 floats. 32-bit Arm has half of them, and one float at a time. */
#define LLMQ__SIMD_PART LLMQ__PART_FLOATS
#define LLMQ__ISA neon
/* AArch64: 16 vectors of a butterfly and a temporary one fit 32 registers, and so do the sums of
   8 rows, 3 vectors each, the 3 vectors that are added to them, and a factor.
   32-bit Arm: 4 rows of 2 floats fit the 32 registers of the scalar unit. */
/* check: 8 * 3 + 3 + 1 <= 32 */
#define LLMQ__RADIX 16
#if defined(__aarch64__)
#define LLMQ__VEC_LANES 4
#define LLMQ__MR_VECTORS 8
#define LLMQ__NR_VECTORS 3
#else
#define LLMQ__VEC_LANES 1
#define LLMQ__MR_VECTORS 4
#define LLMQ__NR_VECTORS 2
#endif
#include LLMQ_SIMD_SELF

/* ---- words on bytes and points ------------------------------------------------------------------

   Section 4 lists them. 32 bytes are two vectors: bytes 0 to 15 and 16 to 31. Points are int8,
   and lookups keep the order of the indices. */
typedef struct llmq__u8x32_neon { uint8x16_t a, b; } llmq__u8x32_neon;
/* The members are set one by one, which C99 and C++11 both take. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__u8x32_of_neon(uint8x16_t a, uint8x16_t b)
{
    llmq__u8x32_neon v;
    v.a = a;
    v.b = b;
    return v;
}
/* 32 bytes, at any address. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__load_u8_neon(const void *p)
{
    return llmq__u8x32_of_neon(vld1q_u8((const uint8_t *)p), vld1q_u8((const uint8_t *)p + 16));
}
LLMQ__INLINE_TARGET void llmq__store_u8_neon(void *p, llmq__u8x32_neon v)
{
    vst1q_u8((uint8_t *)p, v.a);
    vst1q_u8((uint8_t *)p + 16, v.b);
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__or_u8_neon(llmq__u8x32_neon x, llmq__u8x32_neon y)
{
    return llmq__u8x32_of_neon(vorrq_u8(x.a, y.a), vorrq_u8(x.b, y.b));
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__xor_u8_neon(llmq__u8x32_neon x, llmq__u8x32_neon y)
{
    return llmq__u8x32_of_neon(veorq_u8(x.a, y.a), veorq_u8(x.b, y.b));
}
/* y where bit `at` of v is set, else x. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__choose_neon(llmq__u8x32_neon x, llmq__u8x32_neon y, llmq__u8x32_neon v,
                                                       uint32_t at)
{
    /* vtst gives all ones where the bit is set. */
    const uint8x16_t flag = vdupq_n_u8((uint8_t)(1 << at));
    return llmq__u8x32_of_neon(vbslq_u8(vtstq_u8(v.a, flag), y.a, x.a), vbslq_u8(vtstq_u8(v.b, flag), y.b, x.b));
}
/* v >> s & mask for 0 <= s <= 7. The operator >> is an immediate shift where s is a constant,
   which intrinsics demand of it. A mask that keeps all bits left over costs no instruction. */
LLMQ__INLINE_TARGET uint8x16_t llmq__part1_neon(uint8x16_t v, uint32_t s, int mask)
{
    v = v >> (uint8_t)s;
    return 255 >> s <= mask ? v : vandq_u8(v, vdupq_n_u8((uint8_t)mask));
}
/* v >> s & mask, 0 <= s <= 7. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__field_neon(llmq__u8x32_neon x, uint32_t s, int mask)
{
    return llmq__u8x32_of_neon(llmq__part1_neon(x.a, s, mask), llmq__part1_neon(x.b, s, mask));
}
/* The caller has cleared the bits that would be lost. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__shift_left_neon(llmq__u8x32_neon x, uint32_t s)
{
    return llmq__u8x32_of_neon(x.a << (uint8_t)s, x.b << (uint8_t)s);
}
/* 16 bytes at p, shifted right by s in the lower half and by s + d in the upper half, masked. No
   byte after them is read. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__load_halves_neon(const void *p, uint32_t s, uint32_t d, int mask)
{
    uint8x16_t v = vld1q_u8((const uint8_t *)p);
    return llmq__u8x32_of_neon(llmq__part1_neon(v, s, mask), llmq__part1_neon(v, s + d, mask));
}
/* Stores x0 y0 x1 y1 ...: vst2 interleaves 16 and 16 bytes. */
LLMQ__INLINE_TARGET void llmq__store_pairs_neon(int8_t *p, llmq__u8x32_neon x, llmq__u8x32_neon y)
{
    uint8x16x2_t lo, hi;
    lo.val[0] = x.a;
    lo.val[1] = y.a;
    hi.val[0] = x.b;
    hi.val[1] = y.b;
    vst2q_u8((uint8_t *)p, lo);
    vst2q_u8((uint8_t *)p + 32, hi);
}

#if defined(__aarch64__)
/* The words on points. The first 32 points are kept twice, as the instructions on two and on
   four registers take them: gcc would copy them at each lookup. */
typedef struct llmq__point_table_neon { uint8x16x2_t two; uint8x16x4_t four; } llmq__point_table_neon;
/* 64 points at p, of which all 64 bytes are read. */
LLMQ__INLINE_TARGET llmq__point_table_neon llmq__point_table_of_neon(const int8_t *p)
{
    llmq__u8x32_neon lo = llmq__load_u8_neon(p), hi = llmq__load_u8_neon(p + 32);
    llmq__point_table_neon t;
    /* The first two vectors are in both tables. */
    t.two.val[0] = t.four.val[0] = lo.a;
    t.two.val[1] = t.four.val[1] = lo.b;
    t.four.val[2] = hi.a;
    t.four.val[3] = hi.b;
    return t;
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut16_neon(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    /* Lookups of 16, 32 and 64 points take one, two and four registers. An index beyond the
       table gives 0, but there is none. */
    return llmq__u8x32_of_neon(vqtbl1q_u8(t->two.val[0], v.a), vqtbl1q_u8(t->two.val[0], v.b));
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lutk_neon(const llmq__point_table_neon *t, uint32_t k, llmq__u8x32_neon v)
{
    /* Points 16 k ... 16 k + 15; k is a constant. */
    return llmq__u8x32_of_neon(vqtbl1q_u8(t->four.val[k], v.a), vqtbl1q_u8(t->four.val[k], v.b));
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut32_neon(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    return llmq__u8x32_of_neon(vqtbl2q_u8(t->two, v.a), vqtbl2q_u8(t->two, v.b));
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut64_neon(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    return llmq__u8x32_of_neon(vqtbl4q_u8(t->four, v.a), vqtbl4q_u8(t->four, v.b));
}
#else
/* 32-bit Arm: points 0 to 15, 0 to 31 and 32 to 63, in registers of 8 bytes. */
typedef struct llmq__point_table_neon { uint8x8x2_t two; uint8x8x4_t lo, hi; } llmq__point_table_neon;
/* 32 points at p, in four registers. */
LLMQ__INLINE_TARGET uint8x8x4_t llmq__tab32_neon(const int8_t *p)
{
    uint8x8x4_t t;
    uint32_t i;
    for (i = 0; i < 4; i++) t.val[i] = vld1_u8((const uint8_t *)p + 8 * i);
    return t;
}
/* 64 points at p, of which all 64 bytes are read. */
LLMQ__INLINE_TARGET llmq__point_table_neon llmq__point_table_of_neon(const int8_t *p)
{
    llmq__point_table_neon t;
    /* lo: points 0 to 31. hi: points 32 to 63. two: the first 16 of lo again. */
    t.lo = llmq__tab32_neon(p);
    t.hi = llmq__tab32_neon(p + 32);
    t.two.val[0] = t.lo.val[0];
    t.two.val[1] = t.lo.val[1];
    return t;
}
/* A lookup takes and gives 8 bytes on 32-bit Arm: 32 bytes are four of them. */
#define LLMQ__EACH(look)                                                                        \
    return llmq__u8x32_of_neon(vcombine_u8(look(t, vget_low_u8(v.a)), look(t, vget_high_u8(v.a))), \
                            vcombine_u8(look(t, vget_low_u8(v.b)), look(t, vget_high_u8(v.b))))
LLMQ__INLINE_TARGET uint8x8_t llmq__look16_neon(const llmq__point_table_neon *t, uint8x8_t v)
{
    return vtbl2_u8(t->two, v);
}
LLMQ__INLINE_TARGET uint8x8_t llmq__look32_neon(const llmq__point_table_neon *t, uint8x8_t v)
{
    return vtbl4_u8(t->lo, v);
}
/* vtbx leaves a byte as it is where the index is beyond the table. Indices below 32 wrap to 224
   and more here, so that they keep the points of the first lookup. */
LLMQ__INLINE_TARGET uint8x8_t llmq__look64_neon(const llmq__point_table_neon *t, uint8x8_t v)
{
    return vtbx4_u8(vtbl4_u8(t->lo, v), t->hi, vsub_u8(v, vdup_n_u8(32)));
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut16_neon(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    LLMQ__EACH(llmq__look16_neon);
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lutk_neon(const llmq__point_table_neon *t, uint32_t k, llmq__u8x32_neon v)
{
    uint8x8x2_t p;
    /* Points 16 k ... 16 k + 15 are registers 2 k and 2 k + 1 of the eight; k is a constant. */
    p.val[0] = k < 2 ? t->lo.val[2 * k] : t->hi.val[2 * k - 4];
    p.val[1] = k < 2 ? t->lo.val[2 * k + 1] : t->hi.val[2 * k - 3];
    return llmq__u8x32_of_neon(vcombine_u8(vtbl2_u8(p, vget_low_u8(v.a)), vtbl2_u8(p, vget_high_u8(v.a))),
                            vcombine_u8(vtbl2_u8(p, vget_low_u8(v.b)), vtbl2_u8(p, vget_high_u8(v.b))));
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut32_neon(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    LLMQ__EACH(llmq__look32_neon);
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut64_neon(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    LLMQ__EACH(llmq__look64_neon);
}
#undef LLMQ__EACH
#endif
/* Points of g8: max(code, 1) - 128, because code 0 decodes as code 1. XOR with 128 subtracts
   128. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__coded_g8_neon(llmq__u8x32_neon v)
{
    const uint8x16_t one = vdupq_n_u8(1), top = vdupq_n_u8(128);
    return llmq__u8x32_of_neon(veorq_u8(vmaxq_u8(v.a, one), top), veorq_u8(vmaxq_u8(v.b, one), top));
}
/* Points are int8 here: nothing is added to them, and sums have no bias. */
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__to_i8_neon(llmq__u8x32_neon v) { return v; }

/* ---- words on activations, products and sums ----------------------------------------------------

   32 activations are two vectors, in the order of their columns, or the even and the odd ones
   of 64 columns. Sums are four int32, which have no order that matters until sum4 adds their
   lanes. */
typedef struct llmq__act32_neon { int8x16_t a, b; } llmq__act32_neon;
typedef llmq__act32_neon llmq__act_any_neon;
/* 32 activations at p, in the order of their columns. */
LLMQ__INLINE_TARGET llmq__act32_neon llmq__load_act_neon(const int8_t *p)
{
    llmq__act32_neon x;
    x.a = vld1q_s8(p);
    x.b = vld1q_s8(p + 16);
    return x;
}
/* vld2 separates the even and the odd bytes. */
LLMQ__INLINE_TARGET void llmq__load_act2_neon(const int8_t *p, llmq__act32_neon *even, llmq__act32_neon *odd)
{
    int8x16x2_t lo = vld2q_s8(p), hi = vld2q_s8(p + 32);
    /* 32 columns make 16 of each: the first halves of `even` and `odd` are from the first 32. */
    even->a = lo.val[0];
    even->b = hi.val[0];
    odd->a = lo.val[1];
    odd->b = hi.val[1];
}
typedef int32x4_t llmq__i32sums_neon;
LLMQ__INLINE_TARGET int32x4_t llmq__zero_sums_neon(void) { return vdupq_n_s32(0); }
/* Adds 16 products to four sums. Two products fit 16 bits, because activations are at least
   -127. */
/* check: 2*127*128 = 32512 < 2^15 */
LLMQ__INLINE_TARGET int32x4_t llmq__dot1_neon(int32x4_t sum, uint8x16_t w, int8x16_t x)
{
    /* The products of bytes i and 8 + i are added in 16 bits, then neighbours in 32 bits. */
    int8x16_t v = vreinterpretq_s8_u8(w);
    int16x8_t pairs = vmull_s8(vget_low_s8(v), vget_low_s8(x));
    return vpadalq_s16(sum, vmlal_s8(pairs, vget_high_s8(v), vget_high_s8(x)));
}
/* Adds 32 products to four sums, in any order, because int32 sums are exact. */
LLMQ__INLINE_TARGET int32x4_t llmq__dot_neon(int32x4_t sum, llmq__u8x32_neon w, llmq__act32_neon x)
{
    return llmq__dot1_neon(llmq__dot1_neon(sum, w.a, x.a), w.b, x.b);
}
/* No sum has too much here, so that the bias stays 0. */
LLMQ__INLINE_TARGET int32x4_t llmq__bias_neon(int32x4_t sum, llmq__act32_neon x) { (void)x; return sum; }
/* Products of any int8 points are the same products. */
LLMQ__INLINE_TARGET llmq__act32_neon llmq__load_act_any_neon(const int8_t *p) { return llmq__load_act_neon(p); }
LLMQ__INLINE_TARGET int32x4_t llmq__dot_any_neon(int32x4_t sum, llmq__u8x32_neon w, llmq__act32_neon x)
{
    return llmq__dot_neon(sum, w, x);
}
LLMQ__INLINE_TARGET int32x4_t llmq__bias_any_neon(int32x4_t sum, llmq__act32_neon x) { (void)x; return sum; }

/* The words on four sums. */
typedef int32x4_t llmq__i32x4_neon;
typedef float32x4_t llmq__f32x4_neon;
LLMQ__INLINE_TARGET int32x4_t llmq__zero_i32x4_neon(void) { return vdupq_n_s32(0); }
LLMQ__INLINE_TARGET int32x4_t llmq__add_i32x4_neon(int32x4_t a, int32x4_t b) { return vaddq_s32(a, b); }
LLMQ__INLINE_TARGET float32x4_t llmq__set4_neon(float x) { return vdupq_n_f32(x); }
LLMQ__INLINE_TARGET float32x4_t llmq__to_f32x4_neon(int32x4_t v) { return vcvtq_f32_s32(v); }
LLMQ__INLINE_TARGET float32x4_t llmq__load_f32x4_neon(const float *p) { return vld1q_f32(p); }
LLMQ__INLINE_TARGET void llmq__store_f32x4_neon(float *p, float32x4_t v) { vst1q_f32(p, v); }
LLMQ__INLINE_TARGET int32x4_t llmq__load_i32x4_neon(const int32_t *p) { return vld1q_s32(p); }
LLMQ__INLINE_TARGET void llmq__store_i32x4_neon(int32_t *p, int32x4_t v) { vst1q_s32(p, v); }
/* A bfloat16 is the upper half of a float. Each pointer is read for 2 bytes, at any address. */
LLMQ__INLINE_TARGET float32x4_t llmq__load_bf16x4_neon(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
                                                       const uint8_t *p3)
{
    /* Lane i from the i-th pointer; the shift makes floats of them. */
    uint16x4_t v = vdup_n_u16((uint16_t)llmq__load16(p0));
    v = vset_lane_u16((uint16_t)llmq__load16(p1), v, 1);
    v = vset_lane_u16((uint16_t)llmq__load16(p2), v, 2);
    v = vset_lane_u16((uint16_t)llmq__load16(p3), v, 3);
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(v), 16));
}
/* *even and *odd = the two bfloat16 at each pointer, which is read for 4 bytes. */
LLMQ__INLINE_TARGET void llmq__load_two_bf16x4_neon(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
                                                    const uint8_t *p3, float32x4_t *even, float32x4_t *odd)
{
    uint32x4_t v = vdupq_n_u32(llmq__load32(p0));
    v = vsetq_lane_u32(llmq__load32(p1), v, 1);
    v = vsetq_lane_u32(llmq__load32(p2), v, 2);
    v = vsetq_lane_u32(llmq__load32(p3), v, 3);
    *even = vreinterpretq_f32_u32(vshlq_n_u32(v, 16));
    *odd = vreinterpretq_f32_u32(vandq_u32(v, vdupq_n_u32(0xffff0000u)));
}
#if defined(__aarch64__)
LLMQ__INLINE_TARGET int32x4_t llmq__sum4_neon(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d, int32x4_t bias)
{
    (void)bias;
    /* Pairwise sums of pairwise sums: lane i is the sum of the i-th operand. */
    return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}
LLMQ__INLINE_TARGET float32x4_t llmq__add4_neon(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
LLMQ__INLINE_TARGET float32x4_t llmq__mul4_neon(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
#else
/* 32-bit Arm adds pairs within 8 bytes, and multiplies and adds floats in the scalar unit. */
LLMQ__INLINE_TARGET int32x2_t llmq__half_neon(int32x4_t v) { return vadd_s32(vget_low_s32(v), vget_high_s32(v)); }
LLMQ__INLINE_TARGET int32x4_t llmq__sum4_neon(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d, int32x4_t bias)
{
    (void)bias;
    /* Halves of each operand first, then neighbours. */
    return vcombine_s32(vpadd_s32(llmq__half_neon(a), llmq__half_neon(b)),
                        vpadd_s32(llmq__half_neon(c), llmq__half_neon(d)));
}
/* Float operations of 32-bit Arm go through memory, one lane after the other: four sums are
   added once a run, so that this costs little. */
LLMQ__INLINE_TARGET float32x4_t llmq__add4_neon(float32x4_t a, float32x4_t b)
{
    float x[4], y[4];
    uint32_t i;
    vst1q_f32(x, a);
    vst1q_f32(y, b);
    for (i = 0; i < 4; i++) x[i] = llmq__addv_neon(x[i], y[i]);
    return vld1q_f32(x);
}
LLMQ__INLINE_TARGET float32x4_t llmq__mul4_neon(float32x4_t a, float32x4_t b)
{
    float x[4], y[4];
    uint32_t i;
    vst1q_f32(x, a);
    vst1q_f32(y, b);
    for (i = 0; i < 4; i++) x[i] = llmq__mulv_neon(x[i], y[i]);
    return vld1q_f32(x);
}
#endif

#if defined(__aarch64__)
/* The lower halves of a and b, and the upper halves of both, as 16 bytes. */
LLMQ__INLINE_TARGET int8x16_t llmq__lows_neon(int32x4_t a, int32x4_t b)
{
    /* One instruction, where vcombine is two. */
    return vreinterpretq_s8_s64(vtrn1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}
LLMQ__INLINE_TARGET int8x16_t llmq__highs_neon(int32x4_t a, int32x4_t b)
{
    return vreinterpretq_s8_s64(vtrn2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}
#else
LLMQ__INLINE_TARGET int8x16_t llmq__lows_neon(int32x4_t a, int32x4_t b)
{
    return vreinterpretq_s8_s32(vcombine_s32(vget_low_s32(a), vget_low_s32(b)));
}
LLMQ__INLINE_TARGET int8x16_t llmq__highs_neon(int32x4_t a, int32x4_t b)
{
    return vreinterpretq_s8_s32(vcombine_s32(vget_high_s32(a), vget_high_s32(b)));
}
#endif
/* Transposes 4 x 4 lanes of 32 bits, in place: row i is the 16 bytes at e + 128 i. */
LLMQ__INLINE_TARGET void llmq__transpose_neon(int8_t *e)
{
    /* vtrn exchanges lanes 1 and 3 of the first row with lanes 0 and 2 of the second; halves are
       exchanged when they are stored. */
    int32x4x2_t p = vtrnq_s32(vreinterpretq_s32_s8(vld1q_s8(e)), vreinterpretq_s32_s8(vld1q_s8(e + 128)));
    int32x4x2_t q = vtrnq_s32(vreinterpretq_s32_s8(vld1q_s8(e + 256)), vreinterpretq_s32_s8(vld1q_s8(e + 384)));
    vst1q_s8(e, llmq__lows_neon(p.val[0], q.val[0]));
    vst1q_s8(e + 128, llmq__lows_neon(p.val[1], q.val[1]));
    vst1q_s8(e + 256, llmq__highs_neon(p.val[0], q.val[0]));
    vst1q_s8(e + 384, llmq__highs_neon(p.val[1], q.val[1]));
}
/* p[0, 4) += v. */
LLMQ__INLINE_TARGET void llmq__add_sums_neon(int32_t *p, int32x4_t v) { vst1q_s32(p, vaddq_s32(vld1q_s32(p), v)); }
/* Adds the products of four columns of four rows to four sums: the 16 points at w, a lane for
   each row, times activations 4 k ... 4 k + 3 of the 16 at x. k is a constant, 0 <= k <= 3, so
   that the activations are one lane that is repeated. All 16 bytes at x are read.
   Two products fit 16 bits, as in dot1. */
LLMQ__INLINE_TARGET int32x4_t llmq__dot4_neon(int32x4_t sum, const int8_t *w, const int8_t *x, uint32_t k)
{
    int8x16_t v = vld1q_s8(w), all = vld1q_s8(x);
    /* The four activations are one lane of 32 bits, which is repeated in both lanes of 8 bytes. */
    int32x2_t half = vreinterpret_s32_s8(k < 2 ? vget_low_s8(all) : vget_high_s8(all));
    int8x8_t four = vreinterpret_s8_s32(k % 2 ? vdup_lane_s32(half, 1) : vdup_lane_s32(half, 0));
    /* a: rows 0 and 1, b: rows 2 and 3, four products each. Pairs are added in 16 bits, and
       pairs of pairs in 32. */
    /* check: 2 * 127 * 128 < 2^15 */
    int16x8_t a = vmull_s8(vget_low_s8(v), four), b = vmull_s8(vget_high_s8(v), four);
#if defined(__aarch64__)
    return vpadalq_s16(sum, vpaddq_s16(a, b));
#else
    return vpadalq_s16(
        sum, vcombine_s16(vpadd_s16(vget_low_s16(a), vget_high_s16(a)), vpadd_s16(vget_low_s16(b), vget_high_s16(b))));
#endif
}

#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA neon
/* Signed multiplications take all int8 points, and nothing is added to them. */
#define LLMQ__DECODED 0
#define LLMQ__RAW 0
#define LLMQ__QUADS neon
#define LLMQ__LEAST (-128)
#define LLMQ__VECTOR_BYTES 16u
#define LLMQ__OFFSET 0
#define LLMQ__WHOLE 1
#include LLMQ_SIMD_SELF
/* All kernels are from the templates. */
LLMQ__TABLE(neon, LLMQ_CPU_NEON, _neon, _neon, _neon, _neon);

/* ---- DOTPROD ------------------------------------------------------------------------------------

   sdot adds four products of int8 to each int32 lane. The words are NEON's but for dot() and
   dot4(), and all kernels that decode are shared. */
#if LLMQ_SIMD_DOTPROD
#undef LLMQ__TARGET
/* If the whole program has the extension, functions need no attribute. */
#if defined(__ARM_FEATURE_DOTPROD)
#define LLMQ__TARGET
#elif defined(__clang__)
#define LLMQ__TARGET LLMQ__TARGET_OF("+dotprod")
#else
/* gcc inlines only words that are compiled for a subset of these extensions: crypto is for
   programs that have it on the command line. */
#define LLMQ__TARGET LLMQ__TARGET_OF("arch=armv8.2-a+crypto+dotprod")
#endif

/* The same words under the suffix that the template asks for. */
typedef llmq__point_table_neon llmq__point_table_neondot;
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__to_i8_neondot(llmq__u8x32_neon v) { return v; }
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut16_neondot(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    return llmq__lut16_neon(t, v);
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut32_neondot(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    return llmq__lut32_neon(t, v);
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__lut64_neondot(const llmq__point_table_neon *t, llmq__u8x32_neon v)
{
    return llmq__lut64_neon(t, v);
}
LLMQ__INLINE_TARGET llmq__u8x32_neon llmq__coded_g8_neondot(llmq__u8x32_neon v) { return llmq__coded_g8_neon(v); }
/* Activations are int8 too, and sums four int32. */
typedef llmq__act32_neon llmq__act32_neondot, llmq__act_any_neondot;
typedef int32x4_t llmq__i32sums_neondot;
LLMQ__INLINE_TARGET llmq__act32_neon llmq__load_act_neondot(const int8_t *p) { return llmq__load_act_neon(p); }
LLMQ__INLINE_TARGET void llmq__load_act2_neondot(const int8_t *p, llmq__act32_neon *even, llmq__act32_neon *odd)
{
    llmq__load_act2_neon(p, even, odd);
}
LLMQ__INLINE_TARGET int32x4_t llmq__zero_sums_neondot(void) { return vdupq_n_s32(0); }
/* Adds 32 products to four sums. */
LLMQ__INLINE_TARGET int32x4_t llmq__dot_neondot(int32x4_t sum, llmq__u8x32_neon w, llmq__act32_neon x)
{
    /* Each lane gets the sum of four neighbouring products, without saturation. */
    return vdotq_s32(vdotq_s32(sum, vreinterpretq_s8_u8(w.a), x.a), vreinterpretq_s8_u8(w.b), x.b);
}
LLMQ__INLINE_TARGET int32x4_t llmq__bias_neondot(int32x4_t sum, llmq__act32_neon x) { (void)x; return sum; }
LLMQ__INLINE_TARGET llmq__act32_neon llmq__load_act_any_neondot(const int8_t *p) { return llmq__load_act_neon(p); }
LLMQ__INLINE_TARGET int32x4_t llmq__dot_any_neondot(int32x4_t sum, llmq__u8x32_neon w, llmq__act32_neon x)
{
    return llmq__dot_neondot(sum, w, x);
}
LLMQ__INLINE_TARGET int32x4_t llmq__bias_any_neondot(int32x4_t sum, llmq__act32_neon x) { (void)x; return sum; }
LLMQ__INLINE_TARGET int32x4_t llmq__sum4_neondot(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d, int32x4_t bias)
{
    return llmq__sum4_neon(a, b, c, d, bias);
}
LLMQ__INLINE_TARGET void llmq__transpose_neondot(int8_t *e) { llmq__transpose_neon(e); }
/* As llmq__dot4_neon, in one instruction, whose lane number k must be a constant. */
LLMQ__INLINE_TARGET int32x4_t llmq__dot4_neondot(int32x4_t sum, const int8_t *w, const int8_t *x, uint32_t k)
{
    int8x16_t v = vld1q_s8(w), all = vld1q_s8(x);
#if defined(__aarch64__)
    if (k == 0) return vdotq_laneq_s32(sum, v, all, 0);
    if (k == 1) return vdotq_laneq_s32(sum, v, all, 1);
    return k == 2 ? vdotq_laneq_s32(sum, v, all, 2) : vdotq_laneq_s32(sum, v, all, 3);
#else
    int8x8_t half = k < 2 ? vget_low_s8(all) : vget_high_s8(all);
    /* 32-bit Arm chooses a lane of 8 bytes. */
    return k % 2 ? vdotq_lane_s32(sum, v, half, 1) : vdotq_lane_s32(sum, v, half, 0);
#endif
}
LLMQ__INLINE_TARGET void llmq__add_sums_neondot(int32_t *p, int32x4_t v) { llmq__add_sums_neon(p, v); }

#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA neondot
/* Kernels that decode, and words on bytes, are shared with neon. */
#define LLMQ__DECODED 1
#define LLMQ__CODES neon
#define LLMQ__QUADS neon
#define LLMQ__LEAST (-128)
#define LLMQ__VECTOR_BYTES 16u
#define LLMQ__OFFSET 0
#define LLMQ__WHOLE 1
#include LLMQ_SIMD_SELF
LLMQ__TABLE(neondot, LLMQ_CPU_NEON | LLMQ_CPU_DOTPROD, _neon, _neon, _neon, _neondot);
#endif

/* ---- I8MM ---------------------------------------------------------------------------------------

   smmla multiplies 8 columns of two rows by 8 columns of two activations, which are four sums
   of 8 products: twice as many products as sdot. Rows are put together in pairs when a tile is
   filled, once for all activations. Activations are put together when they are loaded: a buffer
   of them would have to serve more rows than a block has to pay. One activation has no other
   one to pair with, so that all kernels but blocks are shared with the table neondot. */
#if LLMQ_SIMD_I8MM
#undef LLMQ__TARGET
#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_DOTPROD)
#define LLMQ__TARGET
#elif defined(__clang__)
#define LLMQ__TARGET LLMQ__TARGET_OF("+dotprod+i8mm")
#elif defined(__ARM_FEATURE_DOTPROD)
#define LLMQ__TARGET LLMQ__TARGET_OF("+i8mm") /* beside the extensions of the command line */
#else
/* See DOTPROD for crypto. */
#define LLMQ__TARGET LLMQ__TARGET_OF("arch=armv8.2-a+crypto+dotprod+i8mm")
#endif

/* Puts eight rows together in pairs, in place. Row i is the 32 bytes at e + 128 i, the rows of a
   pair are 2 i and 2 i + 1.
   The place of row 2 i gets columns 0 ... 7 of both rows, then columns 8 ... 15 of both; the
   place of row 2 i + 1 gets columns 16 ... 23 and 24 ... 31 likewise. */
LLMQ__INLINE_TARGET void llmq__transpose_neoni8mm(int8_t *e)
{
    uint32_t i;
    LLMQ__UNROLL(1) for (i = 0; i < 4; i++, e += 256) { /* unrolled, gcc keeps copies of all stores on the stack */
        /* All four vectors are loaded before the first store, because the places overlap. */
        int32x4_t a = vreinterpretq_s32_s8(vld1q_s8(e)), b = vreinterpretq_s32_s8(vld1q_s8(e + 16));
        int32x4_t c = vreinterpretq_s32_s8(vld1q_s8(e + 128)), d = vreinterpretq_s32_s8(vld1q_s8(e + 144));
        vst1q_s8(e, llmq__lows_neon(a, c));
        vst1q_s8(e + 16, llmq__highs_neon(a, c));
        vst1q_s8(e + 128, llmq__lows_neon(b, d));
        vst1q_s8(e + 144, llmq__highs_neon(b, d));
    }
}

/* Puts 16 columns of two activations together: both[0] = columns 0 ... 7 of x and of y, both[1]
   = columns 8 ... 15 of both. */
LLMQ__INLINE_TARGET void llmq__both_neoni8mm(const int8_t *x, const int8_t *y, int8x16_t *both)
{
    int32x4_t a = vreinterpretq_s32_s8(vld1q_s8(x)), b = vreinterpretq_s32_s8(vld1q_s8(y));
    /* The lower 8 bytes of x, then of y. */
    both[0] = llmq__lows_neon(a, b);
    both[1] = llmq__highs_neon(a, b);
}

/* Adds the sums of two pairs of rows with two activations to their places: a has the first pair,
   b the second, four int32 (row 0 with x, row 0 with y, row 1 with x, row 1 with y).
   p[4]: the sums of the four rows with the first activation. q[4]: with the second. */
LLMQ__INLINE_TARGET void llmq__apart_neoni8mm(int32x4_t a, int32x4_t b, int32_t *p, int32_t *q)
{
    /* Even lanes are sums with the first activation, odd lanes with the second. */
    llmq__add_sums_neon(p, vuzp1q_s32(a, b));
    llmq__add_sums_neon(q, vuzp2q_s32(a, b));
}

/* Adds 16 columns of eight pairs of rows, as transpose() has left them, with four activations.
   e: the first pair; pairs are 256 bytes apart. c: the first column, whose activations are at
   x[i] + c.
   s[8]: sums of each pair with activations 0 and 1. t[8]: with activations 2 and 3. */
LLMQ__INLINE_TARGET void llmq__squares_neoni8mm(const int8_t *e, const int8_t *const *x, uint32_t c, int32x4_t *s,
                                                int32x4_t *t)
{
    /* v: activations 0 and 1. w: activations 2 and 3. */
    int8x16_t v[2], w[2];
    uint32_t i;
    /* Two activations at a time: 8 columns of both are the second operand of smmla. */
    llmq__both_neoni8mm(x[0] + c, x[1] + c, v);
    llmq__both_neoni8mm(x[2] + c, x[3] + c, w);
    LLMQ__UNROLL(8) for (i = 0; i < 8; i++) {
        /* lo: columns c ... c + 7 of both rows of pair i. hi: columns c + 8 ... c + 15 of both. */
        int8x16_t lo = vld1q_s8(e + 256 * i), hi = vld1q_s8(e + 256 * i + 16);
        s[i] = vmmlaq_s32(vmmlaq_s32(s[i], lo, v[0]), hi, v[1]);
        t[i] = vmmlaq_s32(vmmlaq_s32(t[i], lo, w[0]), hi, w[1]);
    }
}

/* sum[4][16] += products of n columns of a tile of 16 rows with four activations.
   The tile has zeros from column n on, up to a multiple of 32. Activations are read up to a
   multiple of 16 columns. */
LLMQ__INLINE_TARGET void llmq__product_neoni8mm(const int8_t *e, uint32_t n, const int8_t *const *x, int32_t *sum)
{
    int32x4_t s[8], t[8];
    uint32_t c, h, i;
    /* 16 sums, four operands of activations and two of rows stay in registers. */
    /* check: 16 + 4 + 2 <= 32 */
    LLMQ__UNROLL(8) for (i = 0; i < 8; i++) s[i] = t[i] = vdupq_n_s32(0);
    /* The second half of each 32 columns is where the second row of a pair was: 128 bytes
       further, less the 16 by which c begins later. With both halves in one loop, gcc spills. */
    /* check: 112 == 128 - 16 */
    for (h = 0; h < 32; h += 16, e += 112)
        for (c = h; c < n; c += 32) llmq__squares_neoni8mm(e + c, x, c, s, t);
    LLMQ__UNROLL(4) for (i = 0; i < 4; i++) {
        llmq__apart_neoni8mm(s[2 * i], s[2 * i + 1], sum + 4 * i, sum + 16 + 4 * i);
        llmq__apart_neoni8mm(t[2 * i], t[2 * i + 1], sum + 32 + 4 * i, sum + 48 + 4 * i);
    }
}

#define LLMQ__SIMD_PART LLMQ__PART_BLOCKS
#define LLMQ__ISA neoni8mm
/* product() is written above, and the words are shared with neondot. */
#define LLMQ__OWN 1
#define LLMQ__CODES neon
#define LLMQ__DOTS neondot
#define LLMQ__QUADS neon
#define LLMQ__LEAST (-128)
#define LLMQ__VECTOR_BYTES 32u /* 16 rows a block: two activations serve eight pairs of rows */
#define LLMQ__OFFSET 0
#include LLMQ_SIMD_SELF
LLMQ__TABLE(neoni8mm, LLMQ_CPU_NEON | LLMQ_CPU_DOTPROD | LLMQ_CPU_I8MM, _neon, _neon, _neon, _neoni8mm);
#endif
#undef LLMQ__TARGET

#elif LLMQ__SIMD_PART == LLMQ__PART_MICRO
#undef LLMQ__SIMD_PART

/* ---- 9. Arm: microcontrollers -------------------------------------------------------------------

   Two tables, of which a program has one by default.

     dsp  for processors such as Cortex-M4, M7 and M33, which do two products of 16 bits at a time
     mve  Helium, for processors such as Cortex-M55 and M85: vectors of 16 bytes, or of 4 floats

   dsp multiplies int8 activations and leaves all else to the scalar kernels. mve has kernels of
   its own for most operations. Frames stay below 256 bytes, as in the scalar kernels.

   Sums of int8 products are exact. Floats are combined once for each run of columns, in
   few_rows, by the operations of the scalar llmq__rows_i8 in the same order. */

/* Products of int8 activations, which both tables share. A run of columns is cut in two ways.
   Whole units have a function of their own in some formats.
   All else is fields: n codes in neighbouring bytes of a plane, at the same bits, and for some
   formats n neighbouring bytes of a second plane. See llmq__field. */
struct llmq__units;
/* Returns the products of 128 columns of a whole unit with their activations.
   table: see llmq__units. unit: its first byte; the bytes of the unit alone are read.
   k: the first code, 0, or 64 for the second half of a unit of two-dimensional points.
   q[128]: the activations of the columns. No pointer needs alignment. */
typedef int32_t llmq__unit_product(const uint16_t *table, const uint8_t *unit, uint32_t k, const int8_t *q);
/* Returns the products of n codes of the field f with q[n p], p coordinates a code. */
typedef int32_t llmq__field_product(const struct llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q);

/* A format as these kernels take it: its two functions, and its points in the form that they
   want. */
typedef struct llmq__units {
    llmq__unit_product *unit; /* NULL: whole units go as fields too */
    llmq__field_product *field;
    /* dsp: see units_dsp. mve: the points as bytes, coordinate by coordinate. Trellises: up to
       128 points as bytes. */
    uint16_t table[64];
    ptrdiff_t above[LLMQ__MAX_LAG + 1]; /* trellises: bytes from a row to the row at this lag in its block */
} llmq__units;

/* Returns the products of codes [k, end) of a unit of m codes, of p coordinates each, with q.
   q: the activation of the first of these codes. 0 <= k <= end <= m <= 256. */
LLMQ__NOINLINE int32_t llmq__piece(const llmq__units *units, const llmq__layout *l, uint32_t p, const uint8_t *unit,
                                   uint32_t m, uint32_t k, uint32_t end, const int8_t *q)
{
    llmq__field f;
    uint32_t n;
    int32_t sum = 0;
    for (; k < end; k += n, q += n * p) {
        /* A field of codes ends where its bits in a plane end. */
        n = llmq__min(end - k, llmq__find_field(&f, l, unit, m, k));
        sum += units->field(units, &f, n, q);
    }
    return sum;
}

/* Rows that share the search for the next field. More would need a larger frame. */
#define LLMQ__TOGETHER 4

/* sum[i] += the products of codes [k, end) of row i with q, for i < rows <= LLMQ__TOGETHER.
   row: the first of neighbouring rows. q: the activation of the first coordinate of code k.
   The codes lie in one run, so that all have the same scales. */
LLMQ__NOINLINE void llmq__run_units(const llmq_tensor *t, const llmq__layout *l, const llmq__units *units,
                                    const uint8_t *row, uint32_t rows, uint32_t k, uint32_t end, const int8_t *q,
                                    int32_t *sum)
{
    /* step: codes of 128 columns. p is 1 or 2 here, so that a shift by p - 1 multiplies by it. */
    uint32_t p = t->format.p, step = 128 >> (p - 1), n, i;
    for (; k < end; k += n, q += n << (p - 1)) {
        /* in: code of the unit. m: codes of the unit, fewer in the last one. A unit is a power
           of 2, and `first` a multiple of 8. */
        uint32_t in = k & (l->unit - 1), first = k - in, m = llmq__min(l->codes - first, l->unit);
        const uint8_t *unit = row + l->scales + first / 8 * l->bits;
        /* Unit functions need a whole unit and 128 columns of it from one of its halves on. */
        n = step;
        if (units->unit && m == LLMQ__UNIT && (k & (step - 1)) == 0 && k + step <= end) {
            for (i = 0; i < rows; i++, unit += t->row_size) sum[i] += units->unit(units->table, unit, in, q);
        } else {
            n = llmq__min(l->unit - in, end - k);
            for (i = 0; i < rows; i++, unit += t->row_size) sum[i] += llmq__piece(units, l, p, unit, m, in, in + n, q);
        }
    }
}

/* y[i] = the product of row i with x, for i < rows <= LLMQ__TOGETHER neighbouring rows.
   The float operations and their order are the same as in the scalar llmq__rows_i8. */
LLMQ__NOINLINE void llmq__few_rows(const llmq_tensor *t, const llmq__layout *l, const llmq__units *units,
                                   const uint8_t *row, uint32_t rows, const llmq_activation *x, float *y)
{
    LLMQ__NO_CONTRACT
    uint32_t shift = t->format.p - 1, j, i;
    llmq__run run = llmq__first_run(l, x);
    for (i = 0; i < rows; i++) y[i] = 0.0f;
    /* Runs end at whole points, because groups are multiples of 32 columns and cols is a
       multiple of p. */
    for (j = 0; j < t->cols; j = run.end, llmq__next_run(&run)) {
        float scale = x->scale[run.x];
        int32_t sum[LLMQ__TOGETHER] = { 0, 0, 0, 0 };
        llmq__run_units(t, l, units, row, rows, j >> shift, run.end >> shift, x->q + j, sum);
        for (i = 0; i < rows; i++) y[i] += (float)sum[i] * (scale * llmq__scale(row + i * t->row_size, run.w));
    }
}

/* True if these kernels take a grid: llmq__kind knows it, and no last code stands for part of a
   point. */
static int llmq__units_fit(const llmq_tensor *t, int kind)
{
    return kind != LLMQ__KIND_OTHER && t->cols % t->format.p == 0;
}

/* y[i * y_stride + r] = the product of row r with activation i, for rows [r0, r1) and count
   activations. units must fit the tensor; above[] is set here, for one row of a trellis at a
   time, because it depends on the row's place in its tail-biting block. */
LLMQ__NOINLINE void llmq__rows_units(const llmq_tensor *t, llmq__units *units, const llmq_activation *x, uint32_t count,
                                     uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t i, r, n;
    for (r = r0; r < r1; r += n) {
        n = llmq__min(LLMQ__TOGETHER, r1 - r);
#if LLMQ__ANY_TRELLIS
        if (t->format.taps[0]) {
            llmq__trellis_block block = llmq__trellis_block_of(t->rows, r);
            for (i = 0; i <= LLMQ__MAX_LAG; i++)
                units->above[i] = llmq__above(t, &block, r, i) - llmq__above(t, &block, r, 0);
            /* above[] belongs to one row alone. */
            n = 1;
        }
#endif
        for (i = 0; i < count; i++)
            llmq__few_rows(t, &l, units, t->data + (size_t)r * t->row_size, n, x + i, y + i * y_stride + r);
    }
}
#undef LLMQ__TOGETHER

#if LLMQ__ANY_TRELLIS
/* Products of trellises are one template, trellis_SET(bits, taps, ...), whose first parameters
   are constants. LLMQ__TRELLISES(set) makes a function of it for each built-in trellis, and
   trellis_units_SET, which chooses one and copies the points.
   An index is the parities, then the bits of the code but the lowest one. If the last parity is
   the code's own lowest bit (taps 1), it stays below the other bits of the code, and all are
   moved together. LLMQ__MADE counts the parities that must be made. */
#define LLMQ__MADE(t2, t3) ((t3) ? 4u - ((t3) == 1) : 3u - ((t2) == 1))
#define LLMQ__TRELLIS(name, set, bits, taps)                                                                     \
    static int32_t llmq__##name##_##set(const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q) \
    {                                                                                                            \
        const uint32_t all[] = { taps };                                                                         \
        return llmq__trellis_##set(bits, all[0], all[1], all[2], all[3], u, f, n, q);                            \
    }
#define LLMQ__TRELLISES(set)                                                                                          \
    LLMQ__TRELLIS(t1, set, 1, LLMQ__TAPS_T1)                                                                          \
    LLMQ__TRELLIS(t2, set, 2, LLMQ__TAPS_T2)                                                                          \
    LLMQ__TRELLIS(t3, set, 3, LLMQ__TAPS_T3)                                                                          \
    LLMQ__TRELLIS(t4, set, 4, LLMQ__TAPS_T4)                                                                          \
    LLMQ__TRELLIS(t2s, set, 2, LLMQ__TAPS_T2S)                                                                        \
    LLMQ__TRELLIS(t3s, set, 3, LLMQ__TAPS_T3S)                                                                        \
    LLMQ__TRELLIS(t4s, set, 4, LLMQ__TAPS_T4S)                                                                        \
    static void llmq__trellis_units_##set(const llmq_format *f, llmq__units *u)                                       \
    {                                                                                                                 \
        static llmq__field_product *const field[] = { llmq__t1_##set, llmq__t2_##set, llmq__t3_##set, llmq__t4_##set, \
                                                      llmq__t2s_##set, llmq__t3s_##set, llmq__t4s_##set };            \
        u->unit = 0;                                                                                                  \
        u->field = field[llmq__trellis(f) - 1];                                                                       \
        LLMQ_MEMCPY(u->table, f->points, f->n);                                                                       \
    }
#endif

#if LLMQ_SIMD_DSP
/* Table dsp. SXTB16 makes two pairs of 16 bits of four int8, SMLAD multiplies and adds a pair of
   such pairs.
   Points are looked up one at a time, or two at a time if a table of all pairs has 16 or 64
   entries. The table is in the frame, because flash memory keeps a processor waiting.
   Words are loaded from any address, little-endian: byte i of a word belongs to column i. */
LLMQ__INLINE uint32_t llmq__word_dsp(const void *p)
{
    uint32_t w;
    LLMQ_MEMCPY(&w, p, 4);
    return w;
}
/* Bytes 0 and 2 of w, with their signs, as two values of 16 bits. */
LLMQ__INLINE int16x2_t llmq__even_dsp(uint32_t w) { return __sxtb16((int8x4_t)w); } /* bytes 0 and 2 */
LLMQ__INLINE int16x2_t llmq__odd_dsp(uint32_t w) /* bytes 1 and 3; no intrinsic rotates first */
{
    int16x2_t r;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(w));
    return r;
}

/* Returns sum + the products of the four int8 of a and of b. */
LLMQ__INLINE int32_t llmq__dot4_dsp(uint32_t a, uint32_t b, int32_t sum)
{
    sum = __smlad(llmq__even_dsp(a), llmq__even_dsp(b), sum);
    return __smlad(llmq__odd_dsp(a), llmq__odd_dsp(b), sum);
}

/* Returns sum + the products of four codes with the four activations of x. Codes are the lower
   nibbles of the bytes of w; points[16] have 16 bits, with their sign, so that no extension is
   needed. */
LLMQ__INLINE int32_t llmq__nibbles_dsp(const uint16_t *points, uint32_t w, uint32_t x, int32_t sum)
{
    int16x2_t even = (int16x2_t)(points[w & 15] | (uint32_t)points[w >> 16 & 15] << 16);
    int16x2_t odd = (int16x2_t)(points[w >> 8 & 15] | (uint32_t)points[w >> 24 & 15] << 16);
    sum = __smlad(even, llmq__even_dsp(x), sum);
    return __smlad(odd, llmq__odd_dsp(x), sum);
}

/* 4 bits: byte i of a unit has code i below and code 64 + i above. */
static int32_t llmq__g4_dsp(const uint16_t *points, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    (void)k;
    for (end = unit + 64; unit < end; unit += 4, q += 4) {
        uint32_t w = llmq__word_dsp(unit);
        sum = llmq__nibbles_dsp(points, w, llmq__word_dsp(q), sum);
        sum = llmq__nibbles_dsp(points, w >> 4, llmq__word_dsp(q + 64), sum);
    }
    return sum;
}

/* Four points of g8 from their codes: max(code, 1) - 128. The saturating subtraction gives
   max(code, 1) - 1, and adding 129 subtracts 127 modulo 256. */
/* check: 0x81818181 == 0x01010101 * (256 - 127) */
LLMQ__INLINE uint32_t llmq__whole_dsp(uint32_t w) { return __uadd8(__uqsub8(w, 0x01010101u), 0x81818181u); }

/* 8 bits: byte i of a unit is code i. */
static int32_t llmq__g8_dsp(const uint16_t *table, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    (void)table;
    (void)k;
    for (end = unit + 128; unit < end; unit += 4, q += 4)
        sum = llmq__dot4_dsp(llmq__whole_dsp(llmq__word_dsp(unit)), llmq__word_dsp(q), sum);
    return sum;
}

/* Two entries of a table of pairs, as bytes a0 b0 a1 b1. */
LLMQ__INLINE uint32_t llmq__pairs_dsp(const uint16_t *pairs, uint32_t i, uint32_t j)
{
    return pairs[i] | (uint32_t)pairs[j] << 16;
}

/* Returns sum + the products of four pairs of codes with 4 activations at q and 4 at q + gap.
   The lower bits of each byte of w, by mask, are a pair: its first code belongs to a column of
   q, its second to the column `gap` further on. */
LLMQ__INLINE int32_t llmq__far_dsp(const uint16_t *pairs, uint32_t w, uint32_t mask, const int8_t *q, uint32_t gap,
                                   int32_t sum)
{
    /* even: the pairs of bytes 0 and 2 of w, as a0 b0 a2 b2. Its even bytes are the first codes,
       and meet the even bytes of x. Its odd bytes are the second codes, and meet the even bytes
       of y. */
    uint32_t x = llmq__word_dsp(q), y = llmq__word_dsp(q + gap);
    uint32_t even = llmq__pairs_dsp(pairs, w & mask, w >> 16 & mask),
             odd = llmq__pairs_dsp(pairs, w >> 8 & mask, w >> 24 & mask);
    sum = __smlad(llmq__even_dsp(odd), llmq__odd_dsp(x), __smlad(llmq__even_dsp(even), llmq__even_dsp(x), sum));
    return __smlad(llmq__odd_dsp(odd), llmq__odd_dsp(y), __smlad(llmq__odd_dsp(even), llmq__even_dsp(y), sum));
}

/* 2 bits: byte i of a unit has codes i, 32 + i, 64 + i, 96 + i. A nibble is a pair of codes, 32
   columns apart. */
static int32_t llmq__g2_dsp(const uint16_t *pairs, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    (void)k;
    for (end = unit + 32; unit < end; unit += 4, q += 4) {
        uint32_t w = llmq__word_dsp(unit);
        sum = llmq__far_dsp(pairs, w, 15, q, 32, sum);
        sum = llmq__far_dsp(pairs, w >> 4, 15, q + 64, 32, sum);
    }
    return sum;
}

/* Four indices of 6 bits: bits 0 to 3 from a plane of 4 bits, bits 4 and 5 from a plane of 2. */
LLMQ__INLINE uint32_t llmq__six_dsp(const uint8_t *four, const uint8_t *two, uint32_t four_shift, uint32_t two_shift)
{
    /* check: 0x0f0f0f0f == 15 * 0x01010101 */
    /* check: 0x03030303 == 3 * 0x01010101 */
    return (llmq__word_dsp(four) >> four_shift & 0x0f0f0f0fu) | (llmq__word_dsp(two) >> two_shift & 0x03030303u) << 4;
}

/* 3 bits: 64 pairs of 6 bits, 64 columns apart. Pair k is in byte k mod 32 of the first plane at
   bit 4 (k div 32), and in byte k mod 16 of the second plane at bit 2 (k div 16). */
static int32_t llmq__g3_dsp(const uint16_t *pairs, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    uint32_t i;
    int32_t sum = 0;
    /* 16 pairs at a time, which share their shifts. */
    for (; k < 64; k += 16)
        for (i = 0; i < 16; i += 4, q += 4)
            sum = llmq__far_dsp(pairs, llmq__six_dsp(unit + k % 32 + i, unit + 32 + i, k / 32 * 4, k / 8), 63, q, 64,
                                sum);
    return sum;
}

/* Returns sum + the products of four points of two coordinates with q[8]. The lower bits of each
   byte of w, by mask, are a code. */
LLMQ__INLINE int32_t llmq__near_dsp(const uint16_t *pairs, uint32_t w, uint32_t mask, const int8_t *q, int32_t sum)
{
    sum = llmq__dot4_dsp(llmq__pairs_dsp(pairs, w & mask, w >> 8 & mask), llmq__word_dsp(q), sum);
    return llmq__dot4_dsp(llmq__pairs_dsp(pairs, w >> 16 & mask, w >> 24 & mask), llmq__word_dsp(q + 4), sum);
}

/* 4 bits, two coordinates: 64 codes are one nibble of the 64 bytes, the lower one for k = 0, the
   upper one for k = 64. */
static int32_t llmq__v2n16_dsp(const uint16_t *pairs, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    for (end = unit + 64; unit < end; unit += 4, q += 8)
        sum = llmq__near_dsp(pairs, llmq__word_dsp(unit) >> k / 16, 15, q, sum);
    return sum;
}

/* 6 bits, two coordinates: 32 codes in the first half of the plane of 4 bits, 32 in the second
   half. Their upper bits are in the same 32 bytes of the plane of 2 bits, two bits apart, from
   bit k / 16 on. */
static int32_t llmq__v2n64_dsp(const uint16_t *pairs, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    for (end = unit + 32; unit < end; unit += 4, q += 8) {
        sum = llmq__near_dsp(pairs, llmq__six_dsp(unit, unit + 64, k / 16, k / 16), 63, q, sum);
        sum = llmq__near_dsp(pairs, llmq__six_dsp(unit + 32, unit + 64, k / 16, k / 16 + 2), 63, q + 64, sum);
    }
    return sum;
}

/* Codes i ... i + 3 of a field as bytes, and code i. Bits of neighbouring codes that a shift
   moves into a byte are masked. Fields without a second plane have b_mask 0. */
LLMQ__INLINE uint32_t llmq__codes4_dsp(const llmq__field *f, uint32_t i)
{
    const uint32_t all = 0x01010101u;
    uint32_t code = llmq__word_dsp(f->a + i) >> f->shift & f->mask * all;
    return code | (llmq__word_dsp(f->b + i) >> f->b_shift & f->b_mask * all) << f->up;
}
/* One code, from its bytes alone. */
LLMQ__INLINE uint32_t llmq__code_dsp(const llmq__field *f, uint32_t i)
{
    return (f->a[i] >> f->shift & f->mask) | (f->b[i] >> f->b_shift & f->b_mask) << f->up;
}

/* The products of a field of any format of one coordinate. The lower byte of entry c of the
   table is the point of code c; the tables of pairs have it there too. A mask of 255 means g8. */
static int32_t llmq__field_dsp(const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q)
{
    const uint16_t *table = u->table;
    uint32_t i, w;
    int32_t sum = 0;
    for (i = 0; i + 4 <= n; i += 4, q += 4) {
        uint32_t x = llmq__word_dsp(q);
        w = llmq__codes4_dsp(f, i);
        /* Entries have 16 bits, of which even() takes the lower byte with its sign. */
        if (f->mask == 255) {
            sum = llmq__dot4_dsp(llmq__whole_dsp(w), x, sum);
        } else {
            sum = __smlad(llmq__even_dsp(llmq__pairs_dsp(table, w & 255, w >> 16 & 255)), llmq__even_dsp(x), sum);
            sum = __smlad(llmq__even_dsp(llmq__pairs_dsp(table, w >> 8 & 255, w >> 24)), llmq__odd_dsp(x), sum);
        }
    }
    for (; i < n; i++) {
        w = llmq__code_dsp(f, i);
        /* The last codes, one at a time: no byte after the field is read. */
        sum += (int8_t)((f->mask == 255 ? llmq__whole_dsp(w) : table[w]) & 255) * *q++;
    }
    return sum;
}

/* The products of a field of points of two coordinates. */
static int32_t llmq__field2_dsp(const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q)
{
    const uint16_t *pairs = u->table;
    uint32_t i;
    int32_t sum = 0;
    for (i = 0; i + 4 <= n; i += 4, q += 8) sum = llmq__near_dsp(pairs, llmq__codes4_dsp(f, i), 255, q, sum);
    for (; i < n; i++, q += 2) {
        uint32_t w = pairs[llmq__code_dsp(f, i)];
        sum += (int8_t)(w & 255) * q[0] + (int8_t)(w >> 8) * q[1];
    }
    return sum;
}

#if LLMQ__ANY_TRELLIS
/* w XOR v if the parity of these taps has the row at this lag, else w; taps and lag are
   constants. */
LLMQ__INLINE uint32_t llmq__xor_dsp(uint32_t taps, uint32_t lag, uint32_t w, uint32_t v)
{
    return taps >> lag & 1 ? w ^ v : w;
}
/* Four bytes or one. */
LLMQ__INLINE uint32_t llmq__some_dsp(int four, const uint8_t *p) { return four ? llmq__word_dsp(p) : *p; }

/* Returns the indices of codes i ... i + 3 of a field (four = 1), or of code i (four = 0), as
   bytes.
   bits, t0 ... t3: bits of a code and taps of its parities, all constants. */
LLMQ__INLINE uint32_t llmq__index_dsp(int four, uint32_t bits, uint32_t t0, uint32_t t1, uint32_t t2, uint32_t t3,
                                      const llmq__units *u, const llmq__field *f, uint32_t i)
{
    /* skip: 1 if all parities are made, so that the code's lowest bit is left out. */
    const uint32_t all = 0x01010101u, parities = t3 ? 4 : 3, made = LLMQ__MADE(t2, t3), skip = made == parities;
    uint32_t a = 0, b = 0, c = 0, d = 0, lag, own = llmq__some_dsp(four, f->a + i), w;
    LLMQ__UNROLL(16) for (lag = 0; lag <= LLMQ__MAX_LAG; lag++) {
        if (!((t0 | t1 | t2 | t3) >> lag & 1)) continue;
        w = lag ? llmq__some_dsp(four, f->a + i + u->above[lag]) : own;
        a = llmq__xor_dsp(t0, lag, a, w);
        b = llmq__xor_dsp(t1, lag, b, w);
        c = llmq__xor_dsp(t2, lag, c, w);
        d = llmq__xor_dsp(t3, lag, d, w);
    }
    /* Parities were made for all bits of the bytes. The code's lowest bit is at f->shift. */
    w = (a >> f->shift & all) | (b >> f->shift & all) << 1;
    /* Each parity goes to its bit of the index, in all four bytes at once. */
    if (made > 2) w |= (c >> f->shift & all) << 2;
    if (made > 3) w |= (d >> f->shift & all) << 3;
    /* The other bits of the code, and with skip = 0 its lowest bit, which is the last parity. */
    if (bits > 1) w |= (own >> f->shift >> skip & ((bits == 4 ? 15u : 3u) >> skip) * all) << made;
    /* Bit 2 of a code of 3 bits has a plane of its own. */
    if (bits == 3) w |= (llmq__some_dsp(four, f->b + i) >> f->b_shift & all) << (parities + 1);
    return w;
}

/* The products of a field of a trellis, whose points are int8, up to 128, in the table. */
LLMQ__INLINE int32_t llmq__trellis_dsp(uint32_t bits, uint32_t t0, uint32_t t1, uint32_t t2, uint32_t t3,
                                       const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q)
{
    const int8_t *points = (const int8_t *)u->table;
    uint32_t i, w;
    int32_t sum = 0;
    for (i = 0; i + 4 <= n; i += 4) {
        w = llmq__index_dsp(1, bits, t0, t1, t2, t3, u, f, i);
        sum += points[w & 255] * q[i] + points[w >> 8 & 255] * q[i + 1] + points[w >> 16 & 255] * q[i + 2] +
               points[w >> 24] * q[i + 3];
    }
    for (; i < n; i++) sum += points[llmq__index_dsp(0, bits, t0, t1, t2, t3, u, f, i)] * q[i];
    return sum;
}
LLMQ__TRELLISES(dsp)
#endif
LLMQ__ASSERT(last_kind_dsp, LLMQ__KIND_V2N64 == 8); /* the table of unit products ends there */

/* Prepares a tensor's format. Returns 0 if only the scalar kernels take it.
   The table has an entry of 16 bits for each index:
        one coordinate, 4 bits and more  the point, with its sign
        g2, g3                           the points of both codes of a pair, a byte each
        two coordinates                  the coordinates, a byte each */
LLMQ__NOINLINE int llmq__units_dsp(const llmq_tensor *t, llmq__units *u)
{
    static llmq__unit_product *const unit[] = {
        0, llmq__g2_dsp, llmq__g3_dsp, llmq__g4_dsp, 0, 0, llmq__g8_dsp, llmq__v2n16_dsp, llmq__v2n64_dsp
    };
    const llmq_format *f = &t->format;
    /* pairs: a lookup gives both codes of a pair, by 4 bits for g2 and by 6 bits for g3. */
    int kind = llmq__kind(f, -128), pairs = kind == LLMQ__KIND_G2 || kind == LLMQ__KIND_G3;
    uint32_t i, n = (uint32_t)1 << (pairs ? 2 * f->bits : f->bits);
#if LLMQ__ANY_TRELLIS
    if (f->taps[0]) {
        llmq__trellis_units_dsp(f, u);
        return 1;
    }
#endif
    if (!llmq__units_fit(t, kind)) return 0;
    u->unit = unit[kind];
    u->field = f->p == 2 ? llmq__field2_dsp : llmq__field_dsp;
    /* A table has 64 entries: pairs of 3 bits have 6 bits, and so do the largest formats of
       llmq__kind but g8. */
    for (i = 0; i < n && kind != LLMQ__KIND_G8; i++) {
        /* low >> 8 is the sign of a single point, in all bits of the upper byte. */
        int low = f->p == 2 ? f->points[2 * i] : f->points[i & (((uint32_t)1 << f->bits) - 1)];
        int high = f->p == 2 ? f->points[2 * i + 1] : pairs ? f->points[i >> f->bits] : low >> 8;
        u->table[i] = (uint16_t)((low & 255) | (high & 255) << 8);
    }
    return 1;
}

/* The kernel of the table: see llmq__rows_i8, whose bits it gives. */
static void llmq__rows_i8_dsp(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                              float *y, size_t y_stride)
{
    llmq__units u;
    if (llmq__units_dsp(t, &u)) llmq__rows_units(t, &u, x, count, r0, r1, y, y_stride);
    else llmq__rows_i8(t, x, count, r0, r1, y, y_stride);
}

/* Only products of int8 activations differ from the scalar table. */
LLMQ__TABLE(dsp, LLMQ_CPU_DSP, , , , _dsp);
#endif

#if LLMQ_SIMD_MVE
/* Table mve. Points are gathered, 16 at a time. Kernels on floats use vectors only where nothing
   can be subnormal, see below. Loads of bytes take any address, loads of words an address that
   is aligned as a float. Predicates keep loads and stores within their arrays. */

/* ---- codes ----------------------------------------------------------------------------------- */

/* Returns sum + the products of 16 codes with q[16]; table holds their points as bytes. */
LLMQ__INLINE int32_t llmq__dot16_mve(const uint16_t *table, uint8x16_t code, const int8_t *q, int32_t sum)
{
    return vmladavaq_s8(sum, vldrbq_gather_offset_s8((const int8_t *)table, code), vldrbq_s8(q));
}
/* v AND mask in each byte. The mask takes off neighbouring codes, which a shift of a byte
   leaves. */
LLMQ__INLINE uint8x16_t llmq__low_mve(uint8x16_t v, uint8_t mask) { return vandq_u8(v, vdupq_n_u8(mask)); }

/* 4 bits: byte i of a unit has code i below and code 64 + i above. */
static int32_t llmq__g4_mve(const uint16_t *table, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    (void)k;
    for (end = unit + 64; unit < end; unit += 16, q += 16) {
        uint8x16_t v = vldrbq_u8(unit);
        sum = llmq__dot16_mve(table, llmq__low_mve(v, 15), q, sum);
        sum = llmq__dot16_mve(table, vshrq_n_u8(v, 4), q + 64, sum);
    }
    return sum;
}

/* 2 bits: byte i of a unit has codes i, 32 + i, 64 + i, 96 + i. */
static int32_t llmq__g2_mve(const uint16_t *table, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    (void)k;
    for (end = unit + 32; unit < end; unit += 16, q += 16) {
        uint8x16_t v = vldrbq_u8(unit);
        sum = llmq__dot16_mve(table, llmq__low_mve(v, 3), q, sum);
        sum = llmq__dot16_mve(table, llmq__low_mve(vshrq_n_u8(v, 2), 3), q + 32, sum);
        sum = llmq__dot16_mve(table, llmq__low_mve(vshrq_n_u8(v, 4), 3), q + 64, sum);
        sum = llmq__dot16_mve(table, vshrq_n_u8(v, 6), q + 96, sum);
    }
    return sum;
}

/* 3 bits: 64 pairs, whose lower codes belong to the first 64 columns and whose upper codes to
   the others. Byte i of the first 32 has bits 0 to 3 of pairs i and 32 + i, byte i of the other
   16 has bits 4 and 5 of pairs i, 16 + i, 32 + i and 48 + i.
   The upper code of a pair is bit 3 of its nibble, with the other 2 bits inserted above it. */
static int32_t llmq__g3_mve(const uint16_t *table, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    /* Two rounds: the second one takes pairs 16 ... 31 and 48 ... 63, whose bits are two further
       in `two`. */
    uint8x16_t two = vldrbq_u8(unit + 32);
    int32_t sum = 0;
    (void)k;
    for (end = unit + 32; unit < end; unit += 16, q += 16, two = vshrq_n_u8(two, 2)) {
        uint8x16_t v = vldrbq_u8(unit);
        sum = llmq__dot16_mve(table, llmq__low_mve(v, 7), q, sum);
        sum = llmq__dot16_mve(table, llmq__low_mve(vshrq_n_u8(v, 4), 7), q + 32, sum);
        sum = llmq__dot16_mve(table, vsliq_n_u8(vshrq_n_u8(v, 3), llmq__low_mve(two, 3), 1), q + 64, sum);
        sum = llmq__dot16_mve(table, vsliq_n_u8(vshrq_n_u8(v, 7), llmq__low_mve(vshrq_n_u8(two, 4), 3), 1), q + 96,
                              sum);
    }
    return sum;
}

/* The points of g8 from their codes: code - 128, and code 0 decodes as code 1. */
LLMQ__INLINE int8x16_t llmq__whole_mve(uint8x16_t code)
{
    return vmaxq_s8(vreinterpretq_s8_u8(veorq_u8(code, vdupq_n_u8(128))), vdupq_n_s8(-127));
}

/* 8 bits: byte i of a unit is code i. */
static int32_t llmq__g8_mve(const uint16_t *table, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    (void)table;
    (void)k;
    for (end = unit + 128; unit < end; unit += 16, q += 16)
        sum = vmladavaq_s8(sum, llmq__whole_mve(vldrbq_u8(unit)), vldrbq_s8(q));
    return sum;
}

/* Returns the points of codes i ... i + 15 of a field, for any format of one coordinate.
   p: the lanes that are in the field. Other bytes are not read, and their points are 0 or, for
   g8, meet activations that are not added.
   A shift by a negative count is to the right. */
LLMQ__INLINE int8x16_t llmq__field16_mve(const int8_t *points, const llmq__field *f, uint32_t i, mve_pred16_t p)
{
    uint8x16_t code = vandq_u8(vshlq_r_u8(vldrbq_z_u8(f->a + i, p), -(int32_t)f->shift), vdupq_n_u8((uint8_t)f->mask));
    if (f->b_mask) {
        uint8x16_t b = vandq_u8(vshlq_r_u8(vldrbq_z_u8(f->b + i, p), -(int32_t)f->b_shift),
                                vdupq_n_u8((uint8_t)f->b_mask));
        code = vorrq_u8(code, vshlq_r_u8(b, (int32_t)f->up));
    }
    return f->mask == 255 ? llmq__whole_mve(code) : vldrbq_gather_offset_z_s8(points, code, p);
}

/* The products of a field of n codes of one coordinate with q[n]. */
static int32_t llmq__field_mve(const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q)
{
    uint32_t i;
    int32_t sum = 0;
    for (i = 0; i < n; i += 16) {
        mve_pred16_t p = vctp8q(n - i);
        /* The predicate takes the last codes, and nothing after q[n] is read. */
        sum = vmladavaq_p_s8(sum, llmq__field16_mve((const int8_t *)u->table, f, i, p), vldrbq_z_s8(q + i, p), p);
    }
    return sum;
}

/* Eight bytes at p as 16 bits, shifted right and masked. */
LLMQ__INLINE uint16x8_t llmq__wide_mve(const uint8_t *p, uint32_t shift, uint16_t mask)
{
    return vandq_u16(vshlq_r_u16(vldrbq_u16(p), -(int32_t)shift), vdupq_n_u16(mask));
}

/* Returns sum + the products of eight points of two coordinates with q[16]. Points are gathered
   as 16 bits, so that their coordinates stand in the order of the columns. */
LLMQ__INLINE int32_t llmq__pairs_mve(const uint16_t *pairs, uint16x8_t code, const int8_t *q, int32_t sum)
{
    return vmladavaq_s8(sum, vreinterpretq_s8_u16(vldrhq_gather_shifted_offset_u16(pairs, code)), vldrbq_s8(q));
}

/* 4 bits, two coordinates: 64 codes are one nibble of the 64 bytes, the lower one for k = 0, the
   upper one for k = 64. */
static int32_t llmq__v2n16_mve(const uint16_t *pairs, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    for (end = unit + 64; unit < end; unit += 8, q += 16)
        sum = llmq__pairs_mve(pairs, llmq__wide_mve(unit, k / 16, 15), q, sum);
    return sum;
}

/* 6 bits, two coordinates: 32 codes in the first half of the plane of 4 bits, 32 in the second
   half. Their upper bits are in the same 32 bytes of the plane of 2 bits, two bits apart. */
static int32_t llmq__v2n64_mve(const uint16_t *pairs, const uint8_t *unit, uint32_t k, const int8_t *q)
{
    const uint8_t *end;
    int32_t sum = 0;
    for (end = unit + 32; unit < end; unit += 8, q += 16) {
        uint16x8_t two = llmq__wide_mve(unit + 64, k / 16, 15); /* bits 0 and 1: code k, 2 and 3: k + 32 */
        /* vsli inserts the upper two bits above the lower four. */
        sum = llmq__pairs_mve(pairs, vsliq_n_u16(llmq__wide_mve(unit, k / 16, 15), vandq_u16(two, vdupq_n_u16(3)), 4),
                              q, sum);
        sum = llmq__pairs_mve(pairs, vsliq_n_u16(llmq__wide_mve(unit + 32, k / 16, 15), vshrq_n_u16(two, 2), 4), q + 64,
                              sum);
    }
    return sum;
}

/* The products of a field of n codes of two coordinates with q[2 n]. A predicate of 16-bit lanes
   holds two bits a lane, so that it also counts the bytes of the coordinates. */
static int32_t llmq__field2_mve(const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q)
{
    const uint16_t *pairs = u->table;
    uint32_t i;
    int32_t sum = 0;
    for (i = 0; i < n; i += 8, q += 16) {
        mve_pred16_t p = vctp16q(n - i);
        uint16x8_t code = vandq_u16(vshlq_r_u16(vldrbq_z_u16(f->a + i, p), -(int32_t)f->shift),
                                    vdupq_n_u16((uint16_t)f->mask));
        uint16x8_t b = vandq_u16(vshlq_r_u16(vldrbq_z_u16(f->b + i, p), -(int32_t)f->b_shift),
                                 vdupq_n_u16((uint16_t)f->b_mask));
        code = vorrq_u16(code, vshlq_r_u16(b, (int32_t)f->up));
        sum = vmladavaq_p_s8(sum, vreinterpretq_s8_u16(vldrhq_gather_shifted_offset_z_u16(pairs, code, p)),
                             vldrbq_z_s8(q, p), p);
    }
    return sum;
}

#if LLMQ__ANY_TRELLIS
/* x XOR v if the parity of these taps has the row at this lag, else x; taps and lag are
   constants. taps << 1 << (31 - lag) are the taps below this lag: the first row that a parity has
   replaces x, which needs no value before. */
LLMQ__INLINE uint8x16_t llmq__xor_mve(uint32_t taps, uint32_t lag, uint8x16_t x, uint8x16_t v)
{
    return !(taps >> lag & 1) ? x : taps << 1 << (31 - lag) ? veorq_u8(x, v) : v;
}

/* Returns the products of a field of n codes of a trellis with q[n].
   bits, t0 ... t3: bits of a code and taps of its parities, all constants.
   An index is put together from its lowest bit on: each parity, and last the code, is inserted
   above the bits that are there. Bits above a parity or a code may be anything until the last
   AND. */
LLMQ__INLINE int32_t llmq__trellis_mve(uint32_t bits, uint32_t t0, uint32_t t1, uint32_t t2, uint32_t t3,
                                       const llmq__units *u, const llmq__field *f, uint32_t n, const int8_t *q)
{
    const uint32_t parities = t3 ? 4 : 3, made = LLMQ__MADE(t2, t3);
    uint32_t i, lag;
    int32_t sum = 0, down = -(int32_t)f->shift;
    for (i = 0; i < n; i += 16) {
        mve_pred16_t p = vctp8q(n - i);
        uint8x16_t own = vldrbq_z_u8(f->a + i, p), a = own, b = own, c = own, d = own, v;
        LLMQ__UNROLL(16) for (lag = 0; lag <= LLMQ__MAX_LAG; lag++) {
            if (!((t0 | t1 | t2 | t3) >> lag & 1)) continue;
            v = lag ? vldrbq_z_u8(f->a + i + u->above[lag], p) : own;
            a = llmq__xor_mve(t0, lag, a, v);
            b = llmq__xor_mve(t1, lag, b, v);
            c = llmq__xor_mve(t2, lag, c, v);
            d = llmq__xor_mve(t3, lag, d, v);
        }
        a = vsliq_n_u8(vshlq_r_u8(a, down), vshlq_r_u8(b, down), 1);
        if (made > 2) a = vsliq_n_u8(a, vshlq_r_u8(c, down), 2);
        if (made > 3) a = vsliq_n_u8(a, vshlq_r_u8(d, down), 3);
        if (bits > 1) { /* the code, from its lowest bit on if it is the last parity, else from bit 1 on */
            v = vshlq_r_u8(own, made < parities ? down : down - 1);
            if (bits == 3) b = vshlq_r_u8(vldrbq_z_u8(f->b + i, p), -(int32_t)f->b_shift);
            if (bits == 3) v = made < parities ? vsliq_n_u8(v, b, 2) : vsliq_n_u8(v, b, 1);
            a = made == 2 ? vsliq_n_u8(a, v, 2) : made == 3 ? vsliq_n_u8(a, v, 3) : vsliq_n_u8(a, v, 4);
        }
        /* An index has all parities and the bits of the code but the lowest. */
        a = vandq_u8(a, vdupq_n_u8((uint8_t)(((uint32_t)1 << (bits - 1 + parities)) - 1)));
        sum = vmladavaq_p_s8(sum, vldrbq_gather_offset_z_s8((const int8_t *)u->table, a, p), vldrbq_z_s8(q + i, p), p);
    }
    return sum;
}
LLMQ__TRELLISES(mve)
#endif
LLMQ__ASSERT(last_kind_mve, LLMQ__KIND_V2N64 == 8); /* the table of unit products ends there */

/* The kernel of the table: see llmq__rows_i8, whose bits it gives. */
static void llmq__rows_i8_mve(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                              float *y, size_t y_stride)
{
    static llmq__unit_product *const unit[] = {
        0, llmq__g2_mve, llmq__g3_mve, llmq__g4_mve, 0, 0, llmq__g8_mve, llmq__v2n16_mve, llmq__v2n64_mve
    };
    llmq__units u;
    int kind = llmq__kind(&t->format, -128);
#if LLMQ__ANY_TRELLIS
    if (t->format.taps[0]) {
        llmq__trellis_units_mve(&t->format, &u);
        llmq__rows_units(t, &u, x, count, r0, r1, y, y_stride);
        return;
    }
#endif
    if (!llmq__units_fit(t, kind)) {
        llmq__rows_i8(t, x, count, r0, r1, y, y_stride);
        return;
    }
    u.unit = unit[kind];
    u.field = t->format.p == 2 ? llmq__field2_mve : llmq__field_mve;
    /* At most 64 points of two coordinates, which fill the table. */
    if (kind != LLMQ__KIND_G8) LLMQ_MEMCPY(u.table, t->format.points, (size_t)t->format.p << t->format.bits);
    llmq__rows_units(t, &u, x, count, r0, r1, y, y_stride);
}

/* e[0, n) = the points of columns [j, j + n) of a row, n <= 32, which lie in one group. e has
   space for n bytes alone.
   kind: the tensor's, from llmq__kind. Formats that cannot be gathered go to llmq__points. */
LLMQ__NOINLINE void llmq__points_mve(const llmq_tensor *t, const llmq__layout *l, int kind, const uint8_t *row,
                                     uint32_t j, uint32_t n, int8_t *e)
{
    /* One coordinate: column j is code j. A unit of 128 codes has 16 bytes for each bit. */
    uint32_t m = llmq__min(l->codes - j / LLMQ__UNIT * LLMQ__UNIT, LLMQ__UNIT), take, i;
    const uint8_t *unit = row + l->scales + (size_t)(j / LLMQ__UNIT) * 16 * l->bits;
    llmq__field f;
    if (kind == LLMQ__KIND_OTHER || t->format.p > 1) {
        llmq__points(t, l, row, j, n, e);
        return;
    }
    /* A chunk stays in one unit, because units are multiples of it. */
    for (j %= LLMQ__UNIT; n; n -= take, j += take, e += take) {
        take = llmq__min(n, llmq__find_field(&f, l, unit, m, j));
        for (i = 0; i < take; i += 16) {
            mve_pred16_t p = vctp8q(take - i);
            vstrbq_p_s8(e + i, llmq__field16_mve(t->format.points, &f, i, p), p);
        }
    }
}

/* ---- floats -------------------------------------------------------------------------------------

   Vectors of floats flush subnormals to zero, whatever the processor's mode is. Scalar floats
   do not. So kernels on floats use vectors where no operand and no result can be subnormal, and
   the scalar functions otherwise.

   A value is tame if it is 0 or at least 2^-90 in magnitude. Tame values are multiples of
   2^-113, because a float has 24 bits. So are their sums and the floats that these are rounded
   to, and all but 0 are normal. So are products of tame values with integers, and with factors
   of 2^-13 and more, because the smallest normal float is 2^-126. */
/* check: 2^-90 * 2^-23 == 2^-113 */
/* check: 2^-113 * 2^-13 >= 2^-126 */
/* check: (127 - 90) << 23 == f32bits(2^-90) */
#define LLMQ__TAME ((uint32_t)(127 - 90) << 23)

/* True if x is tame. The bits of 0 wrap to the greatest integer. NaN and infinity count as tame:
   they are no subnormals. */
static int llmq__tame(float x) { return (llmq__float_bits(x) & 0x7fffffffu) - 1 >= LLMQ__TAME - 1; }

/* The minimum of twice the bits of |v|, less 1, in each lane. Doubling drops the sign, and 0 wraps
   to the greatest integer. */
LLMQ__INLINE uint32x4_t llmq__least_mve(uint32x4_t least, float32x4_t v)
{
    return vminq_u32(least, vsubq_n_u32(vshlq_n_u32(vreinterpretq_u32_f32(v), 1), 1));
}
LLMQ__INLINE int llmq__all_tame_mve(uint32x4_t least) { return vminvq_u32(0xffffffffu, least) >= 2 * LLMQ__TAME - 1; }

/* True if x[0, n) are all tame. */
LLMQ__NOINLINE int llmq__tame_mve(const float *x, uint32_t n)
{
    uint32x4_t least = vdupq_n_u32(0xffffffffu);
    uint32_t i;
    /* The last elements, fewer than four, are looked at one by one. */
    int tame = 1;
    for (i = 0; n - i >= 4; i += 4) least = llmq__least_mve(least, vldrwq_f32(x + i));
    for (; i < n; i++) tame &= llmq__tame(x[i]);
    return tame & llmq__all_tame_mve(least);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#if LLMQ_MAX_STEPS > 0
/* Butterflies of four vectors: of neighbours first, then of vectors two apart. In ascending
   order of distance, as in the scalar kernel, which makes the bits the same. */
LLMQ__INLINE float32x4x4_t llmq__cross_mve(float32x4x4_t v)
{
    float32x4_t a = vaddq_f32(v.val[0], v.val[1]), b = vsubq_f32(v.val[0], v.val[1]);
    float32x4_t c = vaddq_f32(v.val[2], v.val[3]), d = vsubq_f32(v.val[2], v.val[3]);
    v.val[0] = vaddq_f32(a, c);
    v.val[1] = vaddq_f32(b, d);
    v.val[2] = vsubq_f32(a, c);
    v.val[3] = vsubq_f32(b, d);
    return v;
}

/* Replaces x[0, n) by its Walsh-Hadamard transform times norm, for n a power of 2, n >= 16.
   x must be tame, and 2^-13 <= norm < 2^13. Distances ascend as in llmq__butterflies. */
LLMQ__NOINLINE void llmq__crosses_mve(float *x, uint32_t n, float norm)
{
    uint32_t h, i, j;
    /* Distances 1 and 2: vld4 puts every fourth element into one vector. */
    for (i = 0; i < n; i += 16) vst4q_f32(x + i, llmq__cross_mve(vld4q_f32(x + i)));
    /* Distances h and 2 h. */
    for (h = 4; 4 * h <= n; h *= 4)
        for (i = 0; i < n; i += 4 * h)
            for (j = i; j < i + h; j += 4) {
                float32x4x4_t v = { { vldrwq_f32(x + j), vldrwq_f32(x + j + h), vldrwq_f32(x + j + 2 * h),
                                      vldrwq_f32(x + j + 3 * h) } };
                v = llmq__cross_mve(v);
                vstrwq_f32(x + j, v.val[0]);
                vstrwq_f32(x + j + h, v.val[1]);
                vstrwq_f32(x + j + 2 * h, v.val[2]);
                vstrwq_f32(x + j + 3 * h, v.val[3]);
            }
    /* n = 2 h if n is no power of 4: one distance is left. */
    for (j = 0; h < n && j < h; j += 4) {
        float32x4_t a = vldrwq_f32(x + j), b = vldrwq_f32(x + j + h);
        vstrwq_f32(x + j, vaddq_f32(a, b));
        vstrwq_f32(x + j + h, vsubq_f32(a, b));
    }
    for (j = 0; j < n; j += 4) vstrwq_f32(x + j, vmulq_n_f32(vldrwq_f32(x + j), norm));
}

/* The dense step of 16 positions: x[i * run + j] for i < m and j < 16 becomes its product with
   the Paley matrix, as llmq__paley does it. x must be tame.
   work: space for 16 m floats. Terms are added in the order of k, as in the scalar kernel. */
LLMQ__NOINLINE void llmq__dense_mve(float *x, uint32_t m, uint32_t q, uint32_t run, const uint8_t *squares, float *work)
{
    uint32_t i, k;
    /* The product needs the old values of all positions. */
    for (i = 0; i < m; i++) LLMQ_MEMCPY(work + i * 16, x + i * run, 16 * sizeof(float));
    for (i = 0; i < m; i++, x += run) {
        float32x4_t a = vldrwq_f32(work), b = vldrwq_f32(work + 4), c = vldrwq_f32(work + 8), d = vldrwq_f32(work + 12);
        if (llmq__paley_negative(m, q, squares, i, 0))
            a = vnegq_f32(a), b = vnegq_f32(b), c = vnegq_f32(c), d = vnegq_f32(d);
        for (k = 1; k < m; k++) {
            const float *v = work + k * 16;
            if (llmq__paley_negative(m, q, squares, i, k)) {
                a = vsubq_f32(a, vldrwq_f32(v)), b = vsubq_f32(b, vldrwq_f32(v + 4));
                c = vsubq_f32(c, vldrwq_f32(v + 8)), d = vsubq_f32(d, vldrwq_f32(v + 12));
            } else {
                a = vaddq_f32(a, vldrwq_f32(v)), b = vaddq_f32(b, vldrwq_f32(v + 4));
                c = vaddq_f32(c, vldrwq_f32(v + 8)), d = vaddq_f32(d, vldrwq_f32(v + 12));
            }
        }
        vstrwq_f32(x, a), vstrwq_f32(x + 4, b), vstrwq_f32(x + 8, c), vstrwq_f32(x + 12, d);
    }
}
#endif

/* q[0, n) = x in integers of at most `levels` in magnitude; returns the scale. See
   llmq__quantize, whose bits it gives. n >= 0, and x need not be tame. */
static float llmq__quantize_mve(const float *x, uint32_t n, float levels, int8_t *q)
{
    uint32x4_t m = vdupq_n_u32(0);
    uint32_t i, most, bits;
    float inverse;
    /* The maximum of bits, in integers: nothing is flushed. Doubling drops the sign. */
    for (i = 0; i + 4 <= n; i += 4) m = vmaxq_u32(m, vshlq_n_u32(vreinterpretq_u32_f32(vldrwq_f32(x + i)), 1));
    for (most = vmaxvq_u32(0, m) >> 1; i < n; i++) {
        bits = llmq__float_bits(x[i]) & 0x7fffffffu;
        if (bits > most) most = bits;
    }
    if (!llmq__quantizable(most)) {
        LLMQ_MEMSET(q, 0, n);
        return llmq__no_scale(most);
    }
    /* At most 127 * 2^100. A subnormal x times this is less than 1/2 and rounds to 0, flushed or
       not, and so does a subnormal product. */
    /* check: 2^-126 * 127 * 2^100 < 0.5 */
    inverse = levels / llmq__bits_float(most);
    /* A subnormal inverse, such as 1 / 2^127, would be flushed. */
    /* check: 1.17549435e-38f == 2^-126 */
    if (inverse < 1.17549435e-38f) return llmq__quantize(x, n, levels, q);
    for (i = 0; i + 4 <= n; i += 4) vstrbq_s32(q + i, vcvtnq_s32_f32(vmulq_n_f32(vldrwq_f32(x + i), inverse)));
    for (; i < n; i++) q[i] = llmq__round_i8(x[i] * inverse);
    return llmq__bits_float(most) / levels;
}

/* out[0, 32) = scale * e[0, 32), added to out if add is set. scale, and out if it is added to,
   must be tame. Product and sum are rounded apart, as in the scalar kernels. */
LLMQ__NOINLINE void llmq__scaled32_mve(float *out, float scale, const int8_t *e, int add)
{
    uint32_t i;
    for (i = 0; i < 32; i += 4) {
        float32x4_t v = vmulq_n_f32(vcvtq_f32_s32(vldrbq_s32(e + i)), scale);
        vstrwq_f32(out + i, add ? vaddq_f32(vldrwq_f32(out + i), v) : v);
    }
}

/* Returns lane + x[0, n) * e[0, n), n <= 4 lanes. Only n floats are read at x, but 4 bytes at e.
   Other lanes add 0, which changes none of them, because none is -0. */
LLMQ__INLINE float32x4_t llmq__lane4_mve(float32x4_t lane, const float *x, const int8_t *e, uint32_t n)
{
    return vaddq_f32(lane, vmulq_f32(vldrwq_z_f32(x, vctp32q(n)), vcvtq_f32_s32(vldrbq_s32(e))));
}

/* lane[16] = the products of columns [j, end) of a row, one group, with x, which must be tame.
   Column j + i goes into lane i mod 16, in ascending order, as in llmq__rows_f32. */
LLMQ__NOINLINE void llmq__group_f32_mve(const llmq_tensor *t, const llmq__layout *l, int kind, const uint8_t *row,
                                        uint32_t j, uint32_t end, const float *x, float *lane)
{
    LLMQ__NO_CONTRACT
    float32x4_t a = vdupq_n_f32(0.0f), b = a, c = a, d = a;
    uint32_t n, i;
    int8_t e[LLMQ__CHUNK];
    LLMQ_MEMSET(e, 0, sizeof e); /* a short chunk does not fill it, and lane4 reads 4 bytes */
    for (; j < end; j += n) {
        /* Chunks are multiples of 16 but the last, so that lanes stay in step. */
        n = llmq__min(LLMQ__CHUNK, end - j);
        llmq__points_mve(t, l, kind, row, j, n, e);
        for (i = 0; i < n; i += 16) {
            a = llmq__lane4_mve(a, x + j + i, e + i, n - i);
            if (i + 4 < n) b = llmq__lane4_mve(b, x + j + i + 4, e + i + 4, n - i - 4);
            if (i + 8 < n) c = llmq__lane4_mve(c, x + j + i + 8, e + i + 8, n - i - 8);
            if (i + 12 < n) d = llmq__lane4_mve(d, x + j + i + 12, e + i + 12, n - i - 12);
        }
    }
    vstrwq_f32(lane, a);
    vstrwq_f32(lane + 4, b);
    vstrwq_f32(lane + 8, c);
    vstrwq_f32(lane + 12, d);
}

#if !LLMQ_NO_ENCODER
/* code[0, count) = the nearest points to x times inverse, as llmq__nearest_codes. All points are
   tried for four vectors at a time if there are at most 128. The strict comparison keeps the
   lowest of equally near codes.
   x need not be tame. Coordinates of points are integers: a difference that is subnormal is a
   difference from coordinate 0, and its square is 0, flushed or not. */
static void llmq__nearest_codes_mve(const float *points, uint32_t n, uint32_t p, const float *x, float inverse,
                                    uint32_t count, uint16_t *code)
{
    LLMQ__NO_CONTRACT
    /* y[k * 4 + c]: coordinate k of vector c, scaled in scalar floats. p is at most 8. */
    float y[8 * 4];
    uint32_t i, k, c;
    for (i = 0; i + 4 <= count && n <= 128; i += 4, x += (size_t)4 * p) {
        float32x4_t least = vdupq_n_f32(LLMQ__FAR);
        uint32x4_t best = vdupq_n_u32(0);
        for (c = 0; c < 4; c++)
            for (k = 0; k < p; k++) y[k * 4 + c] = x[c * p + k] * inverse;
        for (c = 0; c < n; c++) {
            const float *at = points + (size_t)c * p;
            float32x4_t d = vsubq_n_f32(vldrwq_f32(y), at[0]), sum = vmulq_f32(d, d);
            mve_pred16_t less;
            for (k = 1; k < p; k++) {
                d = vsubq_n_f32(vldrwq_f32(y + k * 4), at[k]);
                sum = vaddq_f32(sum, vmulq_f32(d, d));
            }
            less = vcmpltq_f32(sum, least);
            least = vpselq_f32(sum, least, less);
            best = vpselq_u32(vdupq_n_u32(c), best, less);
        }
        vstrhq_u32(code + i, best);
    }
    /* The last vectors, fewer than four, and all if the grid is large. */
    llmq__nearest_codes(points, n, p, x, inverse, count - i, code + i);
}
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((__target__("no-mve.fp"))), apply_to = function)
#endif

/* ---- where values may not be tame ---------------------------------------------------------------

   These kernels choose between the vectors above and the scalar functions, and compute scalar
   floats. clang would make vectors of scalar loops, so the attribute takes vectors of floats
   away from it. */

#if LLMQ_MAX_STEPS > 0
/* Changes the sign of v[j] where bit j of the random sequence of seed is set, as llmq__signs.
   Signs are changed in integers, so that v need not be tame. */
static void llmq__signs_mve(float *v, uint32_t n, uint32_t seed)
{
    /* A shift by 31 - i moves bit i to the place of the sign. */
    const int32x4_t up = vsubq_s32(vdupq_n_s32(31), vreinterpretq_s32_u32(vidupq_n_u32(0, 1)));
    uint32_t j, bits = 0;
    for (j = 0; j < n; j++) {
        if (j % 32 == 0) bits = llmq_random(seed, j / 32);
        if (j + 4 <= n) {
            uint32x4_t sign = vandq_u32(vshlq_u32(vdupq_n_u32(bits >> j % 32), up), vdupq_n_u32(0x80000000u));
            vstrwq_f32(v + j, vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(vldrwq_f32(v + j)), sign)));
            j += 3;
        } else if (bits >> j % 32 & 1) v[j] = -v[j];
    }
}

/* See llmq__butterflies. The first comparison is true for 2^-13 <= norm < 2^13, as bits. */
/* check: (127 - 13) << 23 == f32bits(2^-13) */
/* check: ((127 - 13) << 23) + (26 << 23) == f32bits(2^13) */
static void llmq__butterflies_mve(float *x, uint32_t n, float norm)
{
    if (n >= 16 && llmq__float_bits(norm) - ((uint32_t)(127 - 13) << 23) < (uint32_t)26 << 23 && llmq__tame_mve(x, n))
        llmq__crosses_mve(x, n, norm);
    else llmq__butterflies(x, n, norm);
}

/* See llmq__paley; lanes is 16 but for the last positions. */
static void llmq__paley_mve(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes, const uint8_t *squares,
                            float *work)
{
    uint32_t i;
    /* Fewer lanes are scalar. */
    int tame = lanes == 16;
    for (i = 0; i < m && tame; i++) tame = llmq__tame_mve(x + i * run, 16);
    if (tame) llmq__dense_mve(x, m, q, run, squares, work);
    else llmq__paley(x, m, q, run, lanes, squares, work);
}
#endif

/* out[cols] = row r as floats, as llmq__read_row. */
static void llmq__read_row_mve(const llmq_tensor *t, uint32_t r, float *out)
{
    llmq__layout l = llmq__layout_of(t);
    const uint8_t *row = t->data + (size_t)r * t->row_size;
    uint32_t j, end, i;
    int8_t e[LLMQ__CHUNK];
    int kind;
    if (!t->format.points) {
        llmq__read_row(t, r, out);
        return;
    }
    for (kind = llmq__kind(&t->format, -128), j = 0; j < t->cols; j = end) {
        float scale = llmq__scale(row, j / l.group);
        end = llmq__chunk_end(t, &l, j);
        llmq__points_mve(t, &l, kind, row, j, end - j, e);
        /* Products of a tame scale with integers are 0 or normal. */
        if (end - j == LLMQ__CHUNK && llmq__tame(scale)) llmq__scaled32_mve(out + j, scale, e, 0);
        else for (i = j; i < end; i++) out[i] = (float)e[i - j] * scale;
    }
}

/* out[cols] += weight[r] times row r, for rows [r0, r1), as llmq__add_rows. */
static void llmq__add_rows_mve(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1, float *out)
{
    LLMQ__NO_CONTRACT
    llmq__layout l = llmq__layout_of(t);
    uint32_t r, j, end, i;
    int8_t e[LLMQ__CHUNK];
    int kind;
    if (!t->format.points) {
        llmq__add_rows(t, weight, r0, r1, out);
        return;
    }
    for (kind = llmq__kind(&t->format, -128), r = r0; r < r1; r++) {
        const uint8_t *row = t->data + (size_t)r * t->row_size;
        for (j = 0; j < t->cols; j = end) {
            float scale = weight[r] * llmq__scale(row, j / l.group);
            end = llmq__chunk_end(t, &l, j);
            llmq__points_mve(t, &l, kind, row, j, end - j, e);
            /* Products and values that they are added to must both be multiples of 2^-113. */
            if (end - j == LLMQ__CHUNK && llmq__tame(scale) && llmq__tame_mve(out + j, 32))
                llmq__scaled32_mve(out + j, scale, e, 1);
            else for (i = j; i < end; i++) out[i] += scale * (float)e[i - j];
        }
    }
}

/* Returns the product of a row with x, which must be tame. Sums of lanes and the total are
   scalar, and need not be tame. */
LLMQ__NOINLINE float llmq__row_f32_mve(const llmq_tensor *t, const llmq__layout *l, int kind, const uint8_t *row,
                                       const float *x)
{
    LLMQ__NO_CONTRACT
    float total = 0.0f, lane[LLMQ__LANES];
    uint32_t j, end;
    for (j = 0; j < t->cols; j = end) {
        end = llmq__min(t->cols, j + l->group);
        llmq__group_f32_mve(t, l, kind, row, j, end, x, lane);
        total += llmq__lane_sum(lane) * llmq__scale(row, j / l->group);
    }
    return total;
}

/* y[i * y_stride + r] = the product of row r with the floats of activation i, as llmq__rows_f32. */
static void llmq__rows_f32_mve(const llmq_tensor *t, const llmq_activation *x, uint32_t count, uint32_t r0, uint32_t r1,
                               float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    int kind = t->format.points ? llmq__kind(&t->format, -128) : LLMQ__KIND_OTHER;
    uint32_t i, r;
    for (i = 0; i < count; i++) {
        /* Points are integers, so that products with a tame activation, and their sums, are
           multiples of 2^-113. */
        if (!t->format.points || !llmq__tame_mve(x[i].x, t->cols)) {
            llmq__rows_f32(t, x + i, 1, r0, r1, y + i * y_stride, y_stride);
            continue;
        }
        for (r = r0; r < r1; r++)
            y[i * y_stride + r] = llmq__row_f32_mve(t, &l, kind, t->data + (size_t)r * t->row_size, x[i].x);
    }
}

LLMQ__TABLE(mve, LLMQ_CPU_MVE, _mve, , _mve, _mve); /* the sums are scalar: their operands need not be tame */
#undef LLMQ__TAME
#endif

#elif LLMQ__SIMD_PART == LLMQ__PART_WASM
#undef LLMQ__SIMD_PART

/* ---- 10. WebAssembly ----------------------------------------------------------------------------

   SIMD128 without its relaxed instructions, whose results differ from one machine to the next.

   The section defines the words that sections 3 and 4 list and includes their templates. So it
   is the shortest example of an instruction set, see "how to add an instruction set".

   Vectors are 16 bytes of one type, v128_t. Loads and stores take any address. Words read and
   write the elements that their names say, and no more. Float operations are rounded as scalar
   ones, and there is no fused one. */

#define LLMQ__TARGET

/* ---- words on floats ----------------------------------------------------------------------------

   Section 3 lists them. A native vector has four floats. Each operation is rounded as the
   scalar one, on the same operands, and sums of lanes are made in the order of the scalar
   kernels. */
typedef v128_t llmq__f32v_wasm;
LLMQ__INLINE_TARGET v128_t llmq__loadv_wasm(const float *p) { return wasm_v128_load(p); }
LLMQ__INLINE_TARGET void llmq__storev_wasm(float *p, v128_t v) { wasm_v128_store(p, v); }
LLMQ__INLINE_TARGET v128_t llmq__setv_wasm(float x) { return wasm_f32x4_splat(x); }
LLMQ__INLINE_TARGET v128_t llmq__addv_wasm(v128_t a, v128_t b) { return wasm_f32x4_add(a, b); }
LLMQ__INLINE_TARGET v128_t llmq__subv_wasm(v128_t a, v128_t b) { return wasm_f32x4_sub(a, b); }
LLMQ__INLINE_TARGET v128_t llmq__mulv_wasm(v128_t a, v128_t b) { return wasm_f32x4_mul(a, b); }
/* Products here are exact, fused or not. */
LLMQ__INLINE_TARGET v128_t llmq__maddv_wasm(v128_t sum, v128_t a, v128_t b)
{
    return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b));
}
/* Butterflies at distances 1 and 2 of the four floats at p: each lane becomes the other lane of
   its pair plus or minus itself. XOR changes the sign of the lanes that are subtracted, and a +
   -b is rounded as a - b. */
LLMQ__INLINE_TARGET v128_t llmq__load_butterfly_wasm(const float *p)
{
    v128_t v = wasm_v128_load(p);
    const v128_t odd = wasm_i32x4_make(0, INT32_MIN, 0, INT32_MIN), high = wasm_i32x4_make(0, 0, INT32_MIN, INT32_MIN);
    v = wasm_f32x4_add(wasm_i32x4_shuffle(v, v, 1, 0, 3, 2), wasm_v128_xor(v, odd)); /* b + a, a - b, d + c, c - d */
    /* Halves are exchanged: lanes 2 and 3 are subtracted from lanes 0 and 1. */
    return wasm_f32x4_add(wasm_i32x4_shuffle(v, v, 2, 3, 0, 1), wasm_v128_xor(v, high));
}

/* The words on 16 floats: lanes 0 to 3, 4 to 7, 8 to 11, 12 to 15. */
typedef struct llmq__f32x16_wasm { v128_t a, b, c, d; } llmq__f32x16_wasm;
/* The members are set one by one, which C99 and C++11 both take. */
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__f32x16_of_wasm(v128_t a, v128_t b, v128_t c, v128_t d)
{
    llmq__f32x16_wasm v;
    v.a = a;
    v.b = b;
    v.c = c;
    v.d = d;
    return v;
}
/* 16 floats at p, in the order of lanes. */
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__load16_wasm(const float *p)
{
    return llmq__f32x16_of_wasm(wasm_v128_load(p), wasm_v128_load(p + 4), wasm_v128_load(p + 8),
                                wasm_v128_load(p + 12));
}
/* 16 floats from p on, in the order of lanes. */
LLMQ__INLINE_TARGET void llmq__store16_wasm(float *p, llmq__f32x16_wasm v)
{
    wasm_v128_store(p, v.a);
    wasm_v128_store(p + 4, v.b);
    wasm_v128_store(p + 8, v.c);
    wasm_v128_store(p + 12, v.d);
}
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__set16_wasm(float x)
{
    v128_t v = wasm_f32x4_splat(x);
    return llmq__f32x16_of_wasm(v, v, v, v);
}
/* One operation on all 16 lanes of x and y. */
#define LLMQ__EACH(op) return llmq__f32x16_of_wasm(op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d))
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__add16_wasm(llmq__f32x16_wasm x, llmq__f32x16_wasm y)
{
    LLMQ__EACH(wasm_f32x4_add);
}
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__sub16_wasm(llmq__f32x16_wasm x, llmq__f32x16_wasm y)
{
    LLMQ__EACH(wasm_f32x4_sub);
}
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__mul16_wasm(llmq__f32x16_wasm x, llmq__f32x16_wasm y)
{
    LLMQ__EACH(wasm_f32x4_mul);
}
/* Bytes become 16, then 32 bits, with their signs, then floats, which are exact. */
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__from_i8x16_wasm(const int8_t *p)
{
    v128_t lo = wasm_i16x8_load8x8(p), hi = wasm_i16x8_load8x8(p + 8);
    return llmq__f32x16_of_wasm(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(lo)),
                            wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(lo)),
                            wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(hi)),
                            wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(hi)));
}
/* Changes the sign of lane i where bit i of bits is set, 0 <= i <= 3. A comparison gives all
   ones, and their lowest bit moves to the place of the sign. */
LLMQ__INLINE_TARGET v128_t llmq__flip4_wasm(v128_t v, uint32_t bits)
{
    const v128_t flag = wasm_i32x4_make(1, 2, 4, 8);
    v128_t set = wasm_i32x4_eq(wasm_v128_and(wasm_i32x4_splat((int32_t)bits), flag), flag);
    return wasm_v128_xor(v, wasm_i32x4_shl(set, 31));
}
/* Lanes i and i + 8 first, then i + 4, i + 2 and i + 1: the order of llmq__lane_sum. */
LLMQ__INLINE_TARGET float llmq__sum16_wasm(llmq__f32x16_wasm v)
{
    v128_t f = wasm_f32x4_add(wasm_f32x4_add(v.a, v.c), wasm_f32x4_add(v.b, v.d));
    /* Lanes 0 and 1 count from here on. */
    f = wasm_f32x4_add(f, wasm_i32x4_shuffle(f, f, 2, 3, 2, 3));
    return wasm_f32x4_extract_lane(f, 0) + wasm_f32x4_extract_lane(f, 1);
}
/* flip4 looks at the four lowest bits alone. */
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__flip16_wasm(llmq__f32x16_wasm v, uint32_t bits)
{
    return llmq__f32x16_of_wasm(llmq__flip4_wasm(v.a, bits), llmq__flip4_wasm(v.b, bits >> 4),
                            llmq__flip4_wasm(v.c, bits >> 8), llmq__flip4_wasm(v.d, bits >> 12));
}
typedef v128_t llmq__u32x16_wasm; /* maxima: lanes i, 4 + i, 8 + i and 12 + i are one lane */
LLMQ__INLINE_TARGET v128_t llmq__zero_u32x16_wasm(void) { return wasm_i32x4_splat(0); }
/* Magnitudes of floats are ordered as their bits are. */
LLMQ__INLINE_TARGET v128_t llmq__amax4_wasm(v128_t m, v128_t v)
{
    return wasm_u32x4_max(m, wasm_v128_and(v, wasm_i32x4_splat(0x7fffffff)));
}
/* m = max(m, bits of |v|), in unsigned integers. */
LLMQ__INLINE_TARGET v128_t llmq__max_abs16_wasm(v128_t m, llmq__f32x16_wasm v)
{
    return llmq__amax4_wasm(llmq__amax4_wasm(llmq__amax4_wasm(llmq__amax4_wasm(m, v.a), v.b), v.c), v.d);
}
/* Two rounds of exchanges: lanes two apart, then neighbours. */
LLMQ__INLINE_TARGET uint32_t llmq__max_lane_wasm(v128_t m)
{
    m = wasm_u32x4_max(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
    return (uint32_t)wasm_i32x4_extract_lane(wasm_u32x4_max(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2)), 0);
}
/* Rounds to the nearest integer, ties to even, as llmq__round does: the unit of the last place
   of 1.5 * 2^23 is 1, so that the sum has the integer plus 2^22 in its 23 lowest bits. */
LLMQ__INLINE_TARGET v128_t llmq__round_wasm(v128_t v)
{
    /* check: 12582912 == 1.5 * 2^23 */
    v128_t u = wasm_f32x4_add(v, wasm_f32x4_splat(12582912.0f));
    /* check: 0x7fffff == 2^23 - 1 */
    /* check: 0x400000 == 2^22 */
    return wasm_i32x4_sub(wasm_v128_and(u, wasm_i32x4_splat(0x7fffff)), wasm_i32x4_splat(0x400000));
}
/* q[0, 16) = v rounded, in the order of lanes. The template passes magnitudes of 127 and a
   rounding error at most, so that nothing saturates. */
LLMQ__INLINE_TARGET void llmq__to_i8x16_wasm(int8_t *q, llmq__f32x16_wasm v)
{
    v128_t lo = wasm_i16x8_narrow_i32x4(llmq__round_wasm(v.a), llmq__round_wasm(v.b));
    v128_t hi = wasm_i16x8_narrow_i32x4(llmq__round_wasm(v.c), llmq__round_wasm(v.d));
    wasm_v128_store(q, wasm_i8x16_narrow_i16x8(lo, hi));
}
/* Where s < least: least = s, code = k. A comparison with NaN is false. */
LLMQ__INLINE_TARGET void llmq__keep4_wasm(v128_t s, v128_t k, v128_t *least, v128_t *code)
{
    /* Strict: of equal costs the first one stays, as in the scalar search. */
    v128_t less = wasm_f32x4_lt(s, *least);
    *least = wasm_v128_bitselect(s, *least, less);
    *code = wasm_v128_bitselect(k, *code, less);
}
/* The same for 16 lanes. */
LLMQ__INLINE_TARGET void llmq__min_update_wasm(llmq__f32x16_wasm s, llmq__f32x16_wasm k, llmq__f32x16_wasm *least,
                                               llmq__f32x16_wasm *code)
{
    llmq__keep4_wasm(s.a, k.a, &least->a, &code->a);
    llmq__keep4_wasm(s.b, k.b, &least->b, &code->b);
    llmq__keep4_wasm(s.c, k.c, &least->c, &code->c);
    llmq__keep4_wasm(s.d, k.d, &least->d, &code->d);
}
/* pmin(x, y) is y where y < x, else x, NaN or not. The other minimum would give NaN. */
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__min16_wasm(llmq__f32x16_wasm x, llmq__f32x16_wasm y)
{
    LLMQ__EACH(wasm_f32x4_pmin);
}
/* Bit i of the result: lane i of x is less than lane i of y. Comparisons give 0 or -1, which
   narrow without loss. */
LLMQ__INLINE_TARGET uint32_t llmq__less16_wasm(llmq__f32x16_wasm x, llmq__f32x16_wasm y)
{
    v128_t ab = wasm_i16x8_narrow_i32x4(wasm_f32x4_lt(x.a, y.a), wasm_f32x4_lt(x.b, y.b));
    v128_t cd = wasm_i16x8_narrow_i32x4(wasm_f32x4_lt(x.c, y.c), wasm_f32x4_lt(x.d, y.d));
    return (uint32_t)wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(ab, cd));
}
/* x - y|: the difference is rounded once, as a float, and loses its sign. */
LLMQ__INLINE_TARGET v128_t llmq__away4_wasm(v128_t x, v128_t y) { return wasm_f32x4_abs(wasm_f32x4_sub(x, y)); }
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__away16_wasm(llmq__f32x16_wasm x, llmq__f32x16_wasm y)
{
    LLMQ__EACH(llmq__away4_wasm);
}
/* x - y| where that is less than least, else least. */
LLMQ__INLINE_TARGET llmq__f32x16_wasm llmq__absdiff_min_wasm(llmq__f32x16_wasm least, llmq__f32x16_wasm x,
                                                             llmq__f32x16_wasm y)
{
    return llmq__min16_wasm(least, llmq__away16_wasm(x, y));
}
#undef LLMQ__EACH
/* The lanes are integers below 65536, so that nothing is rounded or saturates. */
LLMQ__INLINE_TARGET v128_t llmq__code8_wasm(v128_t a, v128_t b)
{
    return wasm_u16x8_narrow_i32x4(wasm_i32x4_trunc_sat_f32x4(a), wasm_i32x4_trunc_sat_f32x4(b));
}
/* p[0, 16) = v, integers, in the order of lanes. */
LLMQ__INLINE_TARGET void llmq__store_u16x16_wasm(uint16_t *p, llmq__f32x16_wasm v)
{
    wasm_v128_store(p, llmq__code8_wasm(v.a, v.b));
    wasm_v128_store(p + 8, llmq__code8_wasm(v.c, v.d));
}

#define LLMQ__SIMD_PART LLMQ__PART_FLOATS
#define LLMQ__ISA wasm
#define LLMQ__VEC_LANES 4
/* Engines compile for processors with as few as 16 registers: 8 vectors of a butterfly and a
   temporary one, or the sums of 4 rows, 2 vectors each, the 2 vectors that are added to them,
   and a factor. */
/* check: 4 * 2 + 2 + 1 <= 16 */
#define LLMQ__RADIX 8
#define LLMQ__MR_VECTORS 4
#define LLMQ__NR_VECTORS 2
#include LLMQ_SIMD_SELF

/* ---- words on bytes and points ------------------------------------------------------------------

   Section 4 lists them. 32 bytes are two vectors: bytes 0 to 15 and 16 to 31. Points are int8,
   and lookups keep the order of the indices. */
typedef struct llmq__u8x32_wasm { v128_t a, b; } llmq__u8x32_wasm;
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__u8x32_of_wasm(v128_t a, v128_t b)
{
    llmq__u8x32_wasm v;
    v.a = a;
    v.b = b;
    return v;
}
/* 32 bytes, at any address. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__load_u8_wasm(const void *p)
{
    return llmq__u8x32_of_wasm(wasm_v128_load(p), wasm_v128_load((const uint8_t *)p + 16));
}
LLMQ__INLINE_TARGET void llmq__store_u8_wasm(void *p, llmq__u8x32_wasm v)
{
    wasm_v128_store(p, v.a);
    wasm_v128_store((uint8_t *)p + 16, v.b);
}
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__or_u8_wasm(llmq__u8x32_wasm x, llmq__u8x32_wasm y)
{
    return llmq__u8x32_of_wasm(wasm_v128_or(x.a, y.a), wasm_v128_or(x.b, y.b));
}
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__xor_u8_wasm(llmq__u8x32_wasm x, llmq__u8x32_wasm y)
{
    return llmq__u8x32_of_wasm(wasm_v128_xor(x.a, y.a), wasm_v128_xor(x.b, y.b));
}
/* y where bit `at` of v is set, else x. */
LLMQ__INLINE_TARGET v128_t llmq__choose1_wasm(v128_t x, v128_t y, v128_t v, uint32_t at)
{
    const v128_t flag = wasm_i8x16_splat((int8_t)(1 << at));
    /* bitselect takes its first operand where the mask has ones. */
    return wasm_v128_bitselect(y, x, wasm_i8x16_eq(wasm_v128_and(v, flag), flag));
}
/* The same for 32 bytes. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__choose_wasm(llmq__u8x32_wasm x, llmq__u8x32_wasm y, llmq__u8x32_wasm v,
                                                       uint32_t at)
{
    return llmq__u8x32_of_wasm(llmq__choose1_wasm(x.a, y.a, v.a, at), llmq__choose1_wasm(x.b, y.b, v.b, at));
}
/* v >> s & mask for 0 <= s <= 7. Lanes of 16 bits, because x86, where it often runs, has no
   shift of bytes. The mask takes off the bits that come from the neighbouring byte. */
LLMQ__INLINE_TARGET v128_t llmq__part1_wasm(v128_t v, uint32_t s, int mask)
{
    return wasm_v128_and(wasm_u16x8_shr(v, s), wasm_i8x16_splat((int8_t)mask));
}
/* v >> s & mask, 0 <= s <= 7. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__field_wasm(llmq__u8x32_wasm x, uint32_t s, int mask)
{
    return llmq__u8x32_of_wasm(llmq__part1_wasm(x.a, s, mask), llmq__part1_wasm(x.b, s, mask));
}
/* The caller has cleared the bits that would be lost, so that lanes of 16 bits do for bytes. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__shift_left_wasm(llmq__u8x32_wasm x, uint32_t s)
{
    return llmq__u8x32_of_wasm(wasm_i16x8_shl(x.a, s), wasm_i16x8_shl(x.b, s));
}
/* 16 bytes at p, shifted right by s in the lower half and by s + d in the upper half, masked. No
   byte after them is read. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__load_halves_wasm(const void *p, uint32_t s, uint32_t d, int mask)
{
    v128_t v = wasm_v128_load(p);
    return llmq__u8x32_of_wasm(llmq__part1_wasm(v, s, mask), llmq__part1_wasm(v, s + d, mask));
}
/* a0 b0 a1 b1 ... of the lower or of the upper eight bytes of both. */
LLMQ__INLINE_TARGET v128_t llmq__mix_wasm(v128_t a, v128_t b, int upper)
{
    /* Indices from 16 on are bytes of b. */
    if (upper) return wasm_i8x16_shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
/* Stores x0 y0 x1 y1 ..., 64 bytes. */
LLMQ__INLINE_TARGET void llmq__store_pairs_wasm(int8_t *p, llmq__u8x32_wasm x, llmq__u8x32_wasm y)
{
    wasm_v128_store(p, llmq__mix_wasm(x.a, y.a, 0));
    wasm_v128_store(p + 16, llmq__mix_wasm(x.a, y.a, 1));
    wasm_v128_store(p + 32, llmq__mix_wasm(x.b, y.b, 0));
    wasm_v128_store(p + 48, llmq__mix_wasm(x.b, y.b, 1));
}

/* The words on points: points 0 to 15, 16 to 31, 32 to 47, 48 to 63. */
typedef struct llmq__point_table_wasm { v128_t a, b, c, d; } llmq__point_table_wasm;
/* 64 points at p, of which all 64 bytes are read. */
LLMQ__INLINE_TARGET llmq__point_table_wasm llmq__point_table_of_wasm(const int8_t *p)
{
    llmq__point_table_wasm t;
    t.a = wasm_v128_load(p);
    t.b = wasm_v128_load(p + 16);
    t.c = wasm_v128_load(p + 32);
    t.d = wasm_v128_load(p + 48);
    return t;
}
/* Indices are below 16 here. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__lut16_wasm(const llmq__point_table_wasm *t, llmq__u8x32_wasm v)
{
    return llmq__u8x32_of_wasm(wasm_i8x16_swizzle(t->a, v.a), wasm_i8x16_swizzle(t->a, v.b));
}
/* k is a constant, so that the table is chosen when the program is compiled. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__lutk_wasm(const llmq__point_table_wasm *t, uint32_t k, llmq__u8x32_wasm v)
{
    v128_t p = k == 0 ? t->a : k == 1 ? t->b : k == 2 ? t->c : t->d;
    return llmq__u8x32_of_wasm(wasm_i8x16_swizzle(p, v.a), wasm_i8x16_swizzle(p, v.b));
}
/* swizzle gives 0 for an index of 16 and more. Each table sees its own indices from 0 on,
   indices below them wrap to 192 and more, and the OR of all tables is the point. */
LLMQ__INLINE_TARGET v128_t llmq__one_of_wasm(v128_t t, v128_t v, int first)
{
    return wasm_i8x16_swizzle(t, wasm_i8x16_sub(v, wasm_i8x16_splat((int8_t)first)));
}
/* n: 32 or 64 points. */
LLMQ__INLINE_TARGET v128_t llmq__look_wasm(const llmq__point_table_wasm *t, v128_t v, int n)
{
    v128_t r = wasm_v128_or(wasm_i8x16_swizzle(t->a, v), llmq__one_of_wasm(t->b, v, 16));
    if (n == 32) return r;
    return wasm_v128_or(r, wasm_v128_or(llmq__one_of_wasm(t->c, v, 32), llmq__one_of_wasm(t->d, v, 48)));
}
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__lut32_wasm(const llmq__point_table_wasm *t, llmq__u8x32_wasm v)
{
    return llmq__u8x32_of_wasm(llmq__look_wasm(t, v.a, 32), llmq__look_wasm(t, v.b, 32));
}
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__lut64_wasm(const llmq__point_table_wasm *t, llmq__u8x32_wasm v)
{
    return llmq__u8x32_of_wasm(llmq__look_wasm(t, v.a, 64), llmq__look_wasm(t, v.b, 64));
}
/* Points of g8: max(code, 1) - 128, because code 0 decodes as code 1. XOR with 128 subtracts
   128. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__coded_g8_wasm(llmq__u8x32_wasm v)
{
    const v128_t one = wasm_i8x16_splat(1), top = wasm_i8x16_splat(-128);
    return llmq__u8x32_of_wasm(wasm_v128_xor(wasm_u8x16_max(v.a, one), top),
                               wasm_v128_xor(wasm_u8x16_max(v.b, one), top));
}
/* Points are int8 here: nothing is added to them, and sums have no bias. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__to_i8_wasm(llmq__u8x32_wasm v) { return v; }

/* ---- words on activations, products and sums ----------------------------------------------------

   32 activations are two vectors, in the order of their columns, or the even and the odd ones
   of 64 columns. Sums are four int32, which have no order that matters until sum4 adds their
   lanes. */
typedef llmq__u8x32_wasm llmq__act32_wasm, llmq__act_any_wasm;
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__load_act_wasm(const int8_t *p) { return llmq__load_u8_wasm(p); }
/* The even and the odd bytes of 64, 16 at a time. */
LLMQ__INLINE_TARGET void llmq__load_act2_wasm(const int8_t *p, llmq__u8x32_wasm *even, llmq__u8x32_wasm *odd)
{
    llmq__u8x32_wasm lo = llmq__load_u8_wasm(p), hi = llmq__load_u8_wasm(p + 32);
    /* Indices from 16 on are bytes of the second operand, which follows the first in memory. */
    even->a = wasm_i8x16_shuffle(lo.a, lo.b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    even->b = wasm_i8x16_shuffle(hi.a, hi.b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    odd->a = wasm_i8x16_shuffle(lo.a, lo.b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    odd->b = wasm_i8x16_shuffle(hi.a, hi.b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
typedef v128_t llmq__i32sums_wasm;
LLMQ__INLINE_TARGET v128_t llmq__zero_sums_wasm(void) { return wasm_i32x4_splat(0); }
/* Adds 16 products to four sums. Two products fit 16 bits, because activations are at least
   -127. */
/* check: 2*127*128 = 32512 < 2^15 */
LLMQ__INLINE_TARGET v128_t llmq__dot1_wasm(v128_t sum, v128_t w, v128_t x)
{
    /* The products of bytes i and 8 + i are added in 16 bits, then neighbours in 32 bits. */
    v128_t pairs = wasm_i16x8_add(wasm_i16x8_extmul_low_i8x16(w, x), wasm_i16x8_extmul_high_i8x16(w, x));
    return wasm_i32x4_add(sum, wasm_i32x4_extadd_pairwise_i16x8(pairs));
}
/* Adds 32 products to four sums, in any order, because int32 sums are exact. */
LLMQ__INLINE_TARGET v128_t llmq__dot_wasm(v128_t sum, llmq__u8x32_wasm w, llmq__u8x32_wasm x)
{
    return llmq__dot1_wasm(llmq__dot1_wasm(sum, w.a, x.a), w.b, x.b);
}
/* No sum has too much here, so that the bias stays 0. */
LLMQ__INLINE_TARGET v128_t llmq__bias_wasm(v128_t sum, llmq__u8x32_wasm x) { (void)x; return sum; }
/* Products of any int8 points are the same products. */
LLMQ__INLINE_TARGET llmq__u8x32_wasm llmq__load_act_any_wasm(const int8_t *p) { return llmq__load_u8_wasm(p); }
LLMQ__INLINE_TARGET v128_t llmq__dot_any_wasm(v128_t sum, llmq__u8x32_wasm w, llmq__u8x32_wasm x)
{
    return llmq__dot_wasm(sum, w, x);
}
LLMQ__INLINE_TARGET v128_t llmq__bias_any_wasm(v128_t sum, llmq__u8x32_wasm x) { (void)x; return sum; }

/* The words on four sums. */
typedef v128_t llmq__i32x4_wasm, llmq__f32x4_wasm;
LLMQ__INLINE_TARGET v128_t llmq__zero_i32x4_wasm(void) { return wasm_i32x4_splat(0); }
LLMQ__INLINE_TARGET v128_t llmq__add_i32x4_wasm(v128_t a, v128_t b) { return wasm_i32x4_add(a, b); }
LLMQ__INLINE_TARGET v128_t llmq__pairs_wasm(v128_t a, v128_t b) /* a0 + a1, a2 + a3, b0 + b1, b2 + b3 */
{
    /* Even lanes of both, plus odd lanes of both. */
    return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}
/* Pairwise sums of pairwise sums: lane i is the sum of the i-th operand. */
LLMQ__INLINE_TARGET v128_t llmq__sum4_wasm(v128_t a, v128_t b, v128_t c, v128_t d, v128_t bias)
{
    (void)bias;
    return llmq__pairs_wasm(llmq__pairs_wasm(a, b), llmq__pairs_wasm(c, d));
}
LLMQ__INLINE_TARGET v128_t llmq__set4_wasm(float x) { return wasm_f32x4_splat(x); }
LLMQ__INLINE_TARGET v128_t llmq__add4_wasm(v128_t a, v128_t b) { return wasm_f32x4_add(a, b); }
LLMQ__INLINE_TARGET v128_t llmq__mul4_wasm(v128_t a, v128_t b) { return wasm_f32x4_mul(a, b); }
LLMQ__INLINE_TARGET v128_t llmq__to_f32x4_wasm(v128_t v) { return wasm_f32x4_convert_i32x4(v); }
LLMQ__INLINE_TARGET v128_t llmq__load_f32x4_wasm(const float *p) { return wasm_v128_load(p); }
LLMQ__INLINE_TARGET void llmq__store_f32x4_wasm(float *p, v128_t v) { wasm_v128_store(p, v); }
LLMQ__INLINE_TARGET v128_t llmq__load_i32x4_wasm(const int32_t *p) { return wasm_v128_load(p); }
LLMQ__INLINE_TARGET void llmq__store_i32x4_wasm(int32_t *p, v128_t v) { wasm_v128_store(p, v); }
/* A bfloat16 is the upper half of a float. Each pointer is read for 2 bytes, at any address. */
LLMQ__INLINE_TARGET v128_t llmq__load_bf16x4_wasm(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
                                                  const uint8_t *p3)
{
    /* Lane i from the i-th pointer; the shift makes floats of them. */
    v128_t v = wasm_i32x4_make((int32_t)llmq__load16(p0), (int32_t)llmq__load16(p1), (int32_t)llmq__load16(p2),
                               (int32_t)llmq__load16(p3));
    return wasm_i32x4_shl(v, 16);
}
/* *even and *odd = the two bfloat16 at each pointer, which is read for 4 bytes. */
LLMQ__INLINE_TARGET void llmq__load_two_bf16x4_wasm(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
                                                    const uint8_t *p3, v128_t *even, v128_t *odd)
{
    v128_t v = wasm_i32x4_make((int32_t)llmq__load32(p0), (int32_t)llmq__load32(p1), (int32_t)llmq__load32(p2),
                               (int32_t)llmq__load32(p3));
    *even = wasm_i32x4_shl(v, 16);
    *odd = wasm_v128_and(v, wasm_i32x4_splat((int32_t)0xffff0000u));
}

/* ---- words for blocks ---------------------------------------------------------------------------

   A tile has 16 bytes of each of four rows, 128 bytes apart; after transpose() a lane is a row. */

/* Transposes 4 x 4 lanes of 32 bits, in place: row i is the 16 bytes at e + 128 i. */
LLMQ__INLINE_TARGET void llmq__transpose_wasm(int8_t *e)
{
    v128_t a = wasm_v128_load(e), b = wasm_v128_load(e + 128), c = wasm_v128_load(e + 256), d = wasm_v128_load(e + 384);
    /* Lanes 0 and 1 of all rows first, then lanes 2 and 3. */
    v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
    wasm_v128_store(e, wasm_i64x2_shuffle(ab, cd, 0, 2));
    wasm_v128_store(e + 128, wasm_i64x2_shuffle(ab, cd, 1, 3));
    ab = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), cd = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
    wasm_v128_store(e + 256, wasm_i64x2_shuffle(ab, cd, 0, 2));
    wasm_v128_store(e + 384, wasm_i64x2_shuffle(ab, cd, 1, 3));
}
/* Adds the products of four columns of four rows to four sums: the 16 points at w, a lane for
   each row, times activations 4 k ... 4 k + 3 at x, which are repeated in all lanes.
   Columns 0 and 2 of each lane are the lower bytes of 16 bits, columns 1 and 3 the upper ones. */
LLMQ__INLINE_TARGET v128_t llmq__dot4_wasm(v128_t sum, const int8_t *w, const int8_t *x, uint32_t k)
{
    /* A shift left and right within 16 bits extends the sign of the lower byte. The dot product
       then adds two products of 16 bits in each lane, exactly. */
    v128_t v = wasm_v128_load(w), u = wasm_v128_load32_splat(x + 4 * k);
    sum = wasm_i32x4_add(
        sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shr(wasm_i16x8_shl(v, 8), 8), wasm_i16x8_shr(wasm_i16x8_shl(u, 8), 8)));
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shr(v, 8), wasm_i16x8_shr(u, 8)));
}
/* p[0, 4) += v. */
LLMQ__INLINE_TARGET void llmq__add_sums_wasm(int32_t *p, v128_t v)
{
    wasm_v128_store(p, wasm_i32x4_add(wasm_v128_load(p), v));
}

#define LLMQ__SIMD_PART LLMQ__PART_CODES
#define LLMQ__ISA wasm
/* Signed multiplications take all int8 points, and nothing is added to them. */
#define LLMQ__DECODED 0
#define LLMQ__RAW 0
#define LLMQ__QUADS wasm
#define LLMQ__LEAST (-128)
#define LLMQ__VECTOR_BYTES 16u
#define LLMQ__OFFSET 0
#define LLMQ__WHOLE 1
#include LLMQ_SIMD_SELF
/* All kernels are from the templates. */
LLMQ__TABLE(wasm, LLMQ_CPU_WASM, _wasm, _wasm, _wasm, _wasm);
#undef LLMQ__TARGET

#elif LLMQ__SIMD_PART == LLMQ__PART_RVV
#undef LLMQ__SIMD_PART

/* ---- 11. RISC-V ---------------------------------------------------------------------------------

   The kernels for the vector extension V, of any vector length from 128 bits on.

   Vectors of unknown length cannot be members of structs, so the words of the templates cannot
   be said with them: these kernels are written out. Most run over as many elements as the
   machine's registers hold (vsetvl), the same text for all lengths.

   Products of whole units take 64 codes at a time, in a group of as many registers as these
   fill. The group is part of the types, so that text is a template at the end, made for 4, 2
   and 1 registers, of 128, of 256, and of 512 bits or more.

   Loads and stores end at the last element exactly, and take any address that is aligned as its
   type. Lanes beyond the vector length may hold anything and are never read. Float operations
   are rounded as scalar ones, in the order of the scalar kernel that has the same name without
   _rvv.

   In the code, vl is the vector length: elements of this round. Loops end because vsetvl gives
   at least 1 where elements are left. */

#define LLMQ__TARGET

#if LLMQ_MAX_STEPS > 0
/* ---- kernels on floats --------------------------------------------------------------------------

   They have the parameters and the results of the scalar kernels. Elements are taken in any
   order, but the operations of each result are done in the scalar order. */

/* Changes the sign of v[j] where bit j of the random sequence of seed is set, as
   llmq__signs. A random number is a mask of 32 lanes: eight registers of 128 bits hold 32
   floats. */
LLMQ__NOINLINE_TARGET void llmq__signs_rvv(float *v, uint32_t n, uint32_t seed)
{
    uint32_t j;
    for (j = 0; j < n; j += 32) {
        uint32_t bits = llmq_random(seed, j / 32);
        size_t vl = llmq__min(32, n - j);
        uint8_t mask[4];
        vfloat32m8_t x = __riscv_vle32_v_f32m8(v + j, vl);
        vbool4_t flip;
        /* Lane i takes bit i: the machine is little-endian, see section 1. */
        LLMQ_MEMCPY(mask, &bits, 4);
        flip = __riscv_vlm_v_b4(mask, vl);
        __riscv_vse32_v_f32m8(v + j, __riscv_vfneg_v_f32m8_mu(flip, x, x, vl), vl);
    }
}

/* Butterflies. a, b = a + b, a - b; a pass does them for 2, 4 or 8 vectors that are h floats
   apart, from x on. The floats of a vector are `step` apart. last: the results are multiplied by
   norm. */
#define LLMQ__B1(a, b) do { vfloat32m2_t t_ = a; a = __riscv_vfadd(t_, b, vl); b = __riscv_vfsub(t_, b, vl); } while (0)
#define LLMQ__LOAD(i) llmq__strided_rvv(x + (i) * h, step, vl)
#define LLMQ__STORE(i, v) llmq__set_strided_rvv(x + (i) * h, step, last ? __riscv_vfmul(v, norm, vl) : v, vl)
/* Eight groups of two registers are half of all registers. Loads of neighbours are faster than
   strided loads. */
LLMQ__INLINE_TARGET vfloat32m2_t llmq__strided_rvv(const float *p, size_t step, size_t vl)
{
    if (step == 1) return __riscv_vle32_v_f32m2(p, vl);
    return __riscv_vlse32_v_f32m2(p, (ptrdiff_t)(step * sizeof(float)), vl);
}
/* Stores v as it was loaded. */
LLMQ__INLINE_TARGET void llmq__set_strided_rvv(float *p, size_t step, vfloat32m2_t v, size_t vl)
{
    if (step == 1) __riscv_vse32(p, v, vl);
    else __riscv_vsse32(p, (ptrdiff_t)(step * sizeof(float)), v, vl);
}

/* A pass of 2, 4 and 8 vectors. vl: floats of a vector, at most two registers of them. */
LLMQ__INLINE_TARGET void llmq__pass2_rvv(float *x, size_t h, size_t step, size_t vl, int last, float norm)
{
    vfloat32m2_t a = LLMQ__LOAD(0), b = LLMQ__LOAD(1);
    LLMQ__B1(a, b);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b);
}

/* Distances h and 2 h. Each butterfly of a distance is done before the next distance begins,
   because the order of additions decides the bits. */
LLMQ__INLINE_TARGET void llmq__pass4_rvv(float *x, size_t h, size_t step, size_t vl, int last, float norm)
{
    vfloat32m2_t a = LLMQ__LOAD(0), b = LLMQ__LOAD(1), c = LLMQ__LOAD(2), d = LLMQ__LOAD(3);
    LLMQ__B1(a, b); LLMQ__B1(c, d);
    LLMQ__B1(a, c); LLMQ__B1(b, d);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b); LLMQ__STORE(2, c); LLMQ__STORE(3, d);
}

/* Distances h, 2 h and 4 h: 16 registers hold eight vectors, and a temporary one takes two
   more. */
LLMQ__INLINE_TARGET void llmq__pass8_rvv(float *x, size_t h, size_t step, size_t vl, int last, float norm)
{
    vfloat32m2_t a = LLMQ__LOAD(0), b = LLMQ__LOAD(1), c = LLMQ__LOAD(2), d = LLMQ__LOAD(3);
    vfloat32m2_t e = LLMQ__LOAD(4), f = LLMQ__LOAD(5), g = LLMQ__LOAD(6), i = LLMQ__LOAD(7);
    /* Distances 1, 2 and 4, in units of h. */
    LLMQ__B1(a, b); LLMQ__B1(c, d); LLMQ__B1(e, f); LLMQ__B1(g, i);
    LLMQ__B1(a, c); LLMQ__B1(b, d); LLMQ__B1(e, g); LLMQ__B1(f, i);
    LLMQ__B1(a, e); LLMQ__B1(b, f); LLMQ__B1(c, g); LLMQ__B1(d, i);
    LLMQ__STORE(0, a); LLMQ__STORE(1, b); LLMQ__STORE(2, c); LLMQ__STORE(3, d);
    LLMQ__STORE(4, e); LLMQ__STORE(5, f); LLMQ__STORE(6, g); LLMQ__STORE(7, i);
}
#undef LLMQ__B1
#undef LLMQ__LOAD
#undef LLMQ__STORE

/* Butterflies at distances h, 2 h, ... below h * radix of x[0, n), ascending; n is a multiple of
   h * radix.
   Vectors go through the h neighbours of a run. If h is 1, they go through the runs instead,
   whose elements are 8 apart; radix is 8 then. */
LLMQ__INLINE_TARGET void llmq__pass_rvv(float *x, size_t n, size_t h, size_t radix, int last, float norm)
{
    size_t i, j, vl;
    if (h == 1) {
        for (i = 0; i < n; i += 8 * vl) {
            vl = __riscv_vsetvl_e32m2((n - i) / 8);
            /* vl runs of 8 neighbours: lane l of vector i is x[8 l + i]. */
            llmq__pass8_rvv(x + i, 1, 8, vl, last, norm);
        }
        return;
    }
    for (i = 0; i < n; i += h * radix)
        for (j = i; j < i + h; j += vl) {
            vl = __riscv_vsetvl_e32m2(i + h - j);
            if (radix == 8) llmq__pass8_rvv(x + j, h, 1, vl, last, norm);
            if (radix == 4) llmq__pass4_rvv(x + j, h, 1, vl, last, norm);
            if (radix == 2) llmq__pass2_rvv(x + j, h, 1, vl, last, norm);
        }
}

/* x[0, n) becomes its Walsh-Hadamard transform times norm, n a power of 2, as llmq__butterflies.
   Distances ascend, so that each result comes from the same additions in the same order. */
LLMQ__NOINLINE_TARGET void llmq__butterflies_rvv(float *x, uint32_t n, float norm)
{
    size_t h, radix;
    /* A single run of fewer than 8 has nothing to go through. */
    if (n < 8) {
        llmq__butterflies(x, n, norm);
        return;
    }
    for (h = 1; h < n; h *= radix) {
        /* Constants for radix make a loop of its own of each call. */
        int last = n / h <= 8;
        radix = last ? n / h : 8;
        if (h == 1) llmq__pass_rvv(x, n, 1, 8, last, norm);
        else if (radix == 8) llmq__pass_rvv(x, n, h, 8, last, norm);
        else if (radix == 4) llmq__pass_rvv(x, n, h, 4, 1, norm);
        else llmq__pass_rvv(x, n, h, 2, 1, norm);
    }
}

/* x[i * run + j] for i < m and j < lanes becomes its product with the Paley matrix, as
   llmq__paley. work: space for m * lanes floats. Terms are added in the order of l. */
LLMQ__NOINLINE_TARGET void llmq__paley_rvv(float *x, uint32_t m, uint32_t q, uint32_t run, uint32_t lanes,
                                           const uint8_t *squares, float *work)
{
    uint32_t i, l;
    size_t vl, j;
    /* The product needs the old values of all positions. */
    for (l = 0; l < m; l++) LLMQ_MEMCPY(work + l * lanes, x + l * run, lanes * sizeof(float));
    for (j = 0; j < lanes; j += vl) {
        vl = __riscv_vsetvl_e32m4(lanes - j);
        for (i = 0; i < m; i++) {
            /* The sum begins with the first term and its sign, not with 0, as the scalar sum
               does. */
            vfloat32m4_t y = __riscv_vle32_v_f32m4(work + j, vl);
            if (llmq__paley_negative(m, q, squares, i, 0)) y = __riscv_vfneg(y, vl);
            for (l = 1; l < m; l++) {
                vfloat32m4_t v = __riscv_vle32_v_f32m4(work + l * lanes + j, vl);
                y = llmq__paley_negative(m, q, squares, i, l) ? __riscv_vfsub(y, v, vl) : __riscv_vfadd(y, v, vl);
            }
            __riscv_vse32(x + i * run + j, y, vl);
        }
    }
}
#endif

/* q[0, n) = x in integers of at most `levels` in magnitude; returns the scale, as
   llmq__quantize. */
LLMQ__NOINLINE_TARGET float llmq__quantize_rvv(const float *x, uint32_t n, float levels, int8_t *q)
{
    /* The maximum so far is lane 0, with which each reduction begins. */
    vuint32m1_t top = __riscv_vmv_s_x_u32m1(0, 1);
    uint32_t most;
    size_t j, vl;
    float inverse;
    for (j = 0; j < n; j += vl) {
        vuint32m8_t bits;
        vl = __riscv_vsetvl_e32m8(n - j);
        /* Magnitudes of floats are ordered as their bits are. */
        bits = __riscv_vand(__riscv_vreinterpret_u32m8(__riscv_vle32_v_f32m8(x + j, vl)), 0x7fffffffu, vl);
        top = __riscv_vredmaxu(bits, top, vl);
    }
    /* The bits of NaN exceed the bits of infinity, so that no NaN is lost in the maximum. */
    most = __riscv_vmv_x(top);
    if (!llmq__quantizable(most)) {
        LLMQ_MEMSET(q, 0, n);
        return llmq__no_scale(most);
    }
    inverse = levels / llmq__bits_float(most);
    for (j = 0; j < n; j += vl) {
        vfloat32m8_t v;
        vl = __riscv_vsetvl_e32m8(n - j);
        /* Rounded as by llmq__round_i8: the unit of the last place of 1.5 * 2^23 is 1, and the
           lowest byte of the sum is the integer. */
        /* check: 12582912 == 1.5 * 2^23 */
        v = __riscv_vfadd(__riscv_vfmul(__riscv_vle32_v_f32m8(x + j, vl), inverse, vl), 12582912.0f, vl);
        /* Narrowing keeps the lower half of each lane: 32 to 16 to 8 bits. */
        __riscv_vse8(q + j, __riscv_vncvt_x(__riscv_vncvt_x(__riscv_vreinterpret_i32m8(v), vl), vl), vl);
    }
    return llmq__bits_float(most) / levels;
}

/* out[0, n) += scale * v[0, n). Product and sum are rounded apart. */
LLMQ__NOINLINE_TARGET void llmq__add_scaled_rvv(float *out, float scale, const float *v, uint32_t n)
{
    size_t j, vl;
    for (j = 0; j < n; j += vl) {
        vl = __riscv_vsetvl_e32m8(n - j);
        /* Not vfmacc, which would round once where the scalar kernel rounds twice. */
        __riscv_vse32(out + j,
                      __riscv_vfadd(__riscv_vle32_v_f32m8(out + j, vl),
                                    __riscv_vfmul(__riscv_vle32_v_f32m8(v + j, vl), scale, vl), vl),
                      vl);
    }
}

#if !LLMQ_NO_CALIBRATION
/* out[i][0, n) += sum over t of a[i][t a_step] * v[t v_stride ...], for i < rows and t < count.
   2 <= rows <= 8.
   The sums of eight rows stay in registers, two each. Rows that are missing are the last one
   again: its sums are computed and stored more than once, with the same bits.
   Products are exact, so that a fused operation rounds as an addition does. Terms are added in
   the order of t. */
#define LLMQ__EACH(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define LLMQ__ROW(i)                               \
    vfloat32m2_t s##i;                             \
    const float *a##i = a[llmq__min(i, rows - 1)]; \
    float *to##i = out[llmq__min(i, rows - 1)];
#define LLMQ__LOAD(i) s##i = __riscv_vle32_v_f32m2(to##i + k, vl);
#define LLMQ__ADD(i) s##i = __riscv_vfmacc(s##i, a##i[step], w, vl);
#define LLMQ__STORE(i) __riscv_vse32(to##i + k, s##i, vl);
/* The registers of sums have names, not an array: vectors of unknown length make no arrays. */
LLMQ__NOINLINE_TARGET void llmq__add_rows_of_rvv(float *const *out, const float *const *a, size_t a_step,
                                                 const float *v, size_t v_stride, uint32_t rows, uint32_t count,
                                                 uint32_t n)
{
    LLMQ__EACH(LLMQ__ROW)
    size_t k, vl, step;
    uint32_t t;
    for (k = 0; k < n; k += vl) {
        const float *at = v + k;
        vl = __riscv_vsetvl_e32m2(n - k);
        LLMQ__EACH(LLMQ__LOAD)
        for (t = 0, step = 0; t < count; t++, at += v_stride, step += a_step) {
            vfloat32m2_t w = __riscv_vle32_v_f32m2(at, vl);
            LLMQ__EACH(LLMQ__ADD)
        }
        LLMQ__EACH(LLMQ__STORE)
    }
}
#undef LLMQ__EACH
#undef LLMQ__ROW
#undef LLMQ__LOAD
#undef LLMQ__ADD
#undef LLMQ__STORE

/* As llmq__add_products. A single row has wider sums, of eight registers. */
LLMQ__NOINLINE_TARGET void llmq__add_products_rvv(float *const *out, const float *const *a, size_t a_step,
                                                  const float *v, size_t v_stride, uint32_t rows, uint32_t count,
                                                  uint32_t n)
{
    size_t k, vl;
    uint32_t t;
    if (rows > 1) {
        llmq__add_rows_of_rvv(out, a, a_step, v, v_stride, rows, count, n);
        return;
    }
    /* rows is 0 or 1 here. */
    for (k = 0; k < n * rows; k += vl) {
        vfloat32m8_t s;
        vl = __riscv_vsetvl_e32m8(n - k);
        s = __riscv_vle32_v_f32m8(out[0] + k, vl);
        for (t = 0; t < count; t++)
            s = __riscv_vfmacc(s, a[0][t * a_step], __riscv_vle32_v_f32m8(v + t * v_stride + k, vl), vl);
        __riscv_vse32(out[0] + k, s, vl);
    }
}
#endif

#if !LLMQ_NO_ENCODER
/* code[0, count) = the nearest of n points of p coordinates to x times inverse, as
   llmq__nearest_codes. All points are tried for a group of registers of vectors at a time. This
   beats the scalar search, which tries few points, if the grid is not large, hence the limit of
   8 * most points.
   The strict comparison keeps the lowest of equally near codes. A NaN is never less, so that
   code 0 stays. */
LLMQ__NOINLINE_TARGET void llmq__nearest_codes_rvv(const float *points, uint32_t n, uint32_t p, const float *x,
                                                   float inverse, uint32_t count, uint16_t *code)
{
    /* y[k * 64 + i]: coordinate k of vector i, scaled. p is at most 8, and 64 vectors at most
       are taken. */
    float y[8 * 64];
    uint32_t i, k, c;
    /* most: lanes of a group of four registers, as far as y has space. */
    size_t vl, most = llmq__min(64, (uint32_t)__riscv_vsetvlmax_e32m4());
    for (i = 0; i + 16 <= count && n <= 8 * most; i += (uint32_t)vl, x += vl * p) {
        vfloat32m4_t least;
        vuint32m4_t best;
        vl = llmq__min(count - i, (uint32_t)most);
        /* As in the scalar search, nothing farther than LLMQ__FAR is taken: code 0 stays then. */
        least = __riscv_vfmv_v_f_f32m4(LLMQ__FAR, vl);
        best = __riscv_vmv_v_x_u32m4(0, vl);
        for (k = 0; k < p; k++)
            __riscv_vse32(y + k * 64,
                          __riscv_vfmul(__riscv_vlse32_v_f32m4(x + k, (ptrdiff_t)(p * sizeof *x), vl), inverse, vl),
                          vl);
        for (c = 0; c < n; c++) {
            const float *at = points + (size_t)c * p;
            /* Differences, squares and sums are rounded apart and in the order of coordinates. */
            vfloat32m4_t d = __riscv_vfsub(__riscv_vle32_v_f32m4(y, vl), at[0], vl), sum = __riscv_vfmul(d, d, vl);
            for (k = 1; k < p; k++) {
                d = __riscv_vfsub(__riscv_vle32_v_f32m4(y + k * 64, vl), at[k], vl);
                sum = __riscv_vfadd(sum, __riscv_vfmul(d, d, vl), vl);
            }
            best = __riscv_vmerge(best, c, __riscv_vmflt(sum, least, vl), vl);
            least = __riscv_vfmin(least, sum, vl); /* least itself where sum is NaN */
        }
        __riscv_vse16(code + i, __riscv_vncvt_x(best, vl), vl);
    }
    /* The last vectors, fewer than 16, and all if the grid is large. */
    llmq__nearest_codes(points, n, p, x, inverse, count - i, code + i);
}
#endif

#if !LLMQ_NO_ENCODER && LLMQ__ANY_TRELLIS
/* The trellis encoder's kernel, see section 3. Four registers hold 16 floats or more, of which
   16 are used.
   cost[16 s + i] = the squared distance of x[i] from the nearest of the points s, s + sets, ...,
   at most LLMQ__FAR, for s < sets.
   The scalar kernel compares squares. The square of the smallest distance is the smallest
   square, because rounding keeps the order, so that one product a set does. */
LLMQ__INLINE_TARGET void llmq__set_costs_rvv(const float *points, uint32_t set_size, uint32_t sets, const float *x,
                                             float *cost)
{
    vfloat32m4_t v = __riscv_vle32_v_f32m4(x, 16), d;
    uint32_t s, k;
    for (s = 0; s < sets; s++, cost += 16) {
        d = __riscv_vfmv_v_f_f32m4(LLMQ__FAR, 16);
        /* fmin gives the other operand where one is NaN, as a comparison that is false does. */
        for (k = s; k < set_size * sets; k += sets)
            d = __riscv_vfmin(d, __riscv_vfabs(__riscv_vfsub(v, points[k], 16), 16), 16);
        __riscv_vse32(cost, __riscv_vfmin(__riscv_vfmul(d, d, 16), LLMQ__FAR, 16), 16);
    }
}

/* One state of 16 trellises: to[16] = the lesser of both paths' sums plus costs. *choice = bit i
   set if path b is less in lane i; the lower state wins ties, because the comparison is strict. */
LLMQ__INLINE_TARGET void llmq__step_to_rvv(vfloat32m4_t a, vfloat32m4_t b, const float *a_cost, const float *b_cost,
                                           float *to, uint16_t *choice)
{
    vfloat32m4_t u = __riscv_vfadd(a, __riscv_vle32_v_f32m4(a_cost, 16), 16),
                 v = __riscv_vfadd(b, __riscv_vle32_v_f32m4(b_cost, 16), 16);
    vbool8_t less = __riscv_vmflt(v, u, 16);
    /* 16 lanes of a mask are 2 bytes. */
    __riscv_vsm((uint8_t *)choice, less, 16);
    __riscv_vse32(to, __riscv_vmerge(u, v, less, 16), 16);
}

/* The Viterbi steps of 16 trellises at once, as llmq__viterbi: x[steps][16], a column for each.
   lanes: the trellises that are wanted. All 16 are computed, whatever the others hold.
   sum: space for the sums of all states twice, and for the costs of the sets; the result is in
   its first part. choice[t * states + q]: 16 bits for state q at step t. */
LLMQ__NOINLINE_TARGET void llmq__viterbi_rvv(const float *points, const uint8_t *parity, uint32_t set_size,
                                             uint32_t sets, uint32_t states, const float *x, uint32_t steps,
                                             uint32_t lanes, float *sum, uint16_t *choice)
{
    size_t half = states / 2, i, q;
    float *from = sum, *to = sum + 16 * (size_t)states, *cost = sum + 32 * (size_t)states, *other;
    uint32_t t;
    (void)lanes;
    for (t = 0; t < steps; t++, choice += states) {
        llmq__set_costs_rvv(points, set_size, sets, x + 16 * (size_t)t, cost);
        /* States 2 i and 2 i + 1 are reached from states i and half + i. */
        for (i = 0; i < half; i++) {
            vfloat32m4_t a = __riscv_vle32_v_f32m4(from + 16 * i, 16),
                         b = __riscv_vle32_v_f32m4(from + 16 * (half + i), 16);
            for (q = 2 * i; q < 2 * i + 2; q++)
                llmq__step_to_rvv(a, b, cost + 16 * (size_t)parity[q], cost + 16 * (size_t)parity[q + states],
                                  to + 16 * q, choice + q);
        }
        other = from, from = to, to = other;
    }
    /* The sums change places at each step. */
    if (steps % 2) LLMQ_MEMCPY(sum, from, 16 * (size_t)states * sizeof *sum);
}
#endif

/* ---- decoding -----------------------------------------------------------------------------------

   Codes are unpacked into an array first, then their points are gathered, for any format. Only
   whole units have faster functions, in the template below. */

/* code[0, n) = the codes from position `at` on, which all lie in one unit, or with 3 bits in
   one half of it, as llmq__unpack_run. Reads the bytes of the planes that hold them, no more. */
LLMQ__NOINLINE_TARGET void llmq__unpack_run_rvv(const uint8_t *plane, const llmq__code_position *at, uint32_t n,
                                                uint16_t *code)
{
    uint32_t done = 0, bits = at->bits, width, bytes, i, byte, shift;
    size_t vl;
    for (; bits; bits -= width, done += width, plane += bytes) {
        width = llmq__plane_width(bits);
        bytes = llmq__plane_bytes(at->capacity, width);
        for (i = 0; i < n; i += (uint32_t)vl) {
            vuint8m4_t b;
            vuint16m8_t c;
            /* A round ends where the field of the plane ends, because then the shift changes. */
            byte = (at->k + i) % bytes;
            shift = (at->k + i) / bytes * width;
            vl = __riscv_vsetvl_e8m4(llmq__min(bytes - byte, n - i));
            b = __riscv_vsrl(__riscv_vle8_v_u8m4(plane + byte, vl), shift, vl);
            /* The bits of each plane belong above the bits of the planes before it. */
            c = __riscv_vzext_vf2(__riscv_vand(b, (uint8_t)((1 << width) - 1), vl), vl);
            if (done) c = __riscv_vor(__riscv_vsll(c, done, vl), __riscv_vle16_v_u16m8(code + i, vl), vl);
            __riscv_vse16(code + i, c, vl);
        }
    }
}

/* e[0, n p) = the points of n codes. With 3 bits a code is a pair, and shift, 0 or 3, says which
   of its codes is meant. */
LLMQ__NOINLINE_TARGET void llmq__look_up_rvv(const llmq_format *f, const uint16_t *code, uint32_t shift, uint32_t n,
                                             int8_t *e)
{
    uint32_t p = f->p, k;
    size_t i, vl;
    for (i = 0; i < n; i += vl) {
        vuint16m4_t c;
        vuint32m8_t at;
        vl = __riscv_vsetvl_e16m4(n - i);
        c = __riscv_vle16_v_u16m4(code + i, vl);
        /* Any other format has one code in each element. */
        if (f->bits == 3) c = __riscv_vand(__riscv_vsrl(c, shift, vl), 7, vl);
        if (p == 1) __riscv_vse8(e + i, __riscv_vluxei16_v_i8m2(f->points, c, vl), vl);
        if (p == 1) continue;
        /* Coordinates are gathered one at a time and stored p bytes apart. Offsets have 32 bits,
           because p times the greatest code may need more than 16. */
        at = __riscv_vwmulu(c, (uint16_t)p, vl);
        for (k = 0; k < p; k++)
            __riscv_vsse8(e + i * p + k, (ptrdiff_t)p, __riscv_vluxei32_v_i8m2(f->points + k, at, vl), vl);
    }
}

#if LLMQ__ANY_TRELLIS
/* e[0, n) = the points of codes first ... first + n - 1 of a row of a trellis.
   row must be in t->data: the rows above it in its tail-biting block are read too. */
LLMQ__NOINLINE_TARGET void llmq__trellis_points_rvv(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row,
                                           uint32_t first, uint32_t n, int8_t *e)
{
    /* from[i], factor[i]: the rows that any parity has, the row itself first. */
    const uint8_t *from[LLMQ__MAX_LAG + 1];
    uint8_t factor[LLMQ__MAX_LAG + 1];
    uint32_t r = (uint32_t)((size_t)(row - t->data) / t->row_size), parities = llmq__parities(&t->format), lags = 0,
             lag, m, k, i;
    uint32_t taps = t->format.taps[0] | t->format.taps[1] | t->format.taps[2] | t->format.taps[3];
    llmq__trellis_block block = llmq__trellis_block_of(t->rows, r);
    llmq__field f;
    size_t vl;
    /* factor: the parities that the row at this lag has a part in, as bits of an index. The
       lowest bit of a code times the factor is XORed into the index. */
    for (lag = 0; taps >> lag; lag++) {
        from[lags] = llmq__above(t, &block, r, lag);
        factor[lags] = (uint8_t)llmq__parities_of(&t->format, lag);
        lags += factor[lags] != 0;
    }
    for (; n; n -= (uint32_t)vl, first += (uint32_t)vl, e += vl) {
        vuint8m4_t code, v;
        /* m: codes of the unit, fewer in the last one. */
        k = first % l->unit;
        m = llmq__min(l->codes - (first - k), l->unit);
        /* A round ends where the field ends. */
        vl = __riscv_vsetvl_e8m4(
            llmq__min(n, llmq__find_field(&f, l, row + l->scales + (first - k) / 8 * l->bits, m, k)));
        code = __riscv_vand(__riscv_vsrl(__riscv_vle8_v_u8m4(f.a, vl), f.shift, vl), (uint8_t)f.mask, vl);
        /* The second plane of codes of 3 bits; its mask is 0 for others. */
        code = __riscv_vor(
            code,
            __riscv_vsll(__riscv_vand(__riscv_vsrl(__riscv_vle8_v_u8m4(f.b, vl), f.b_shift, vl), (uint8_t)f.b_mask, vl),
                         f.up, vl),
            vl);
        /* The lowest bit of the row's own code comes with lag 0, if a parity has it. */
        code = __riscv_vsll(__riscv_vsrl(code, 1, vl), parities, vl);
        for (i = 0; i < lags; i++) {
            /* The same place in another row, and there the lowest bit of each code. */
            v = __riscv_vand(__riscv_vsrl(__riscv_vle8_v_u8m4(from[i] + (f.a - row), vl), f.shift, vl), 1, vl);
            code = __riscv_vxor(code, __riscv_vmul(v, factor[i], vl), vl);
        }
        __riscv_vse8(e, __riscv_vluxei8_v_i8m4(t->format.points, code, vl), vl);
    }
}
#endif

/* Returns the points at columns [j, j + n), which lie in one group, n <= 256. They are somewhere
   in e, because whole points of up to 8 coordinates are decoded: up to 7 coordinates too much on
   either side.
   e: space for 256 + 2 * 7 bytes. */
LLMQ__NOINLINE_TARGET const int8_t *llmq__points_rvv(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row,
                                                     uint32_t j, uint32_t n, int8_t *e)
{
    const llmq_format *f = &t->format;
    /* in: column of the group. skip: coordinates of its point before column j. Each group begins
       a new point. */
    uint32_t in = j % l->group, skip = in % f->p, first = j / l->group * l->vectors + in / f->p;
    uint32_t count = llmq__ceil_div(skip + n, f->p), done, take;
    /* A round of the loop below stays in one unit, and so in this array. */
    uint16_t code[LLMQ__UNIT];
#if LLMQ__ANY_TRELLIS
    if (f->taps[0]) {
        llmq__trellis_points_rvv(t, l, row, first, count, e);
        return e;
    }
#endif
    for (done = 0; done < count; done += take) {
        llmq__code_position at = llmq__find_code(l, first + done);
        take = llmq__min(count - done, at.capacity - at.k);
        llmq__unpack_run_rvv(row + l->scales + at.unit, &at, take, code);
        llmq__look_up_rvv(f, code, at.shift, take, e + done * f->p);
    }
    return e + skip;
}

/* binary16 to float, exactly. Exponent and mantissa move to the float's place, which scales by
   2^-112, the difference of the biases, subnormals included. A product with 2^112 undoes it.
   Infinity and NaN get the greatest exponent, and the sign is put in last. */
LLMQ__INLINE_TARGET vfloat32m8_t llmq__load_halves_rvv(vuint16m4_t h, size_t vl)
{
    vuint32m8_t bits = __riscv_vsll(__riscv_vzext_vf2(__riscv_vand(h, 0x7fffu, vl), vl), 13, vl), sign;
    vuint32m8_t v = __riscv_vreinterpret_u32m8(
        /* check: 5.192296858534827628530496329220096e33f == 2^112 */
        __riscv_vfmul(__riscv_vreinterpret_f32m8(bits), 5.192296858534827628530496329220096e33f, vl));
    /* check: 0x7f800000 == 255 << 23 */
    /* check: 0x7c00 == 31 << 10 */
    v = __riscv_vmerge(v, __riscv_vor(bits, 0x7f800000u, vl), __riscv_vmsgeu(bits, 0x7c00u << 13, vl), vl);
    sign = __riscv_vsll(__riscv_vzext_vf2(__riscv_vand(h, 0x8000u, vl), vl), 16, vl);
    return __riscv_vreinterpret_f32m8(__riscv_vor(v, sign, vl));
}

/* v[0, n) = the values at columns [j, j + n) of a row before they are scaled, as llmq__values.
   n <= 256. They lie in one group, except in raw formats. */
LLMQ__NOINLINE_TARGET void llmq__values_rvv(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row,
                                             uint32_t j, uint32_t n, float *v)
{
    int8_t e[256 + 2 * 7];
    size_t i, vl;
    if (t->format.points) {
        const int8_t *from = llmq__points_rvv(t, l, row, j, n, e);
        for (i = 0; i < n; i += vl) {
            vl = __riscv_vsetvl_e32m8(n - i);
            /* Integers of 8 bits are exact as floats. */
            __riscv_vse32(v + i, __riscv_vfcvt_f(__riscv_vsext_vf4(__riscv_vle8_v_i8m2(from + i, vl), vl), vl), vl);
        }
    } else if (t->format.bits == 32) {
        /* float32, little-endian as the machine is. */
        LLMQ_MEMCPY(v, row + 4 * (size_t)j, 4 * (size_t)n);
    } else {
        for (row += 2 * (size_t)j, i = 0; i < n; i += vl) {
            vuint16m4_t h;
            vl = __riscv_vsetvl_e32m8(n - i);
            /* Bytes are loaded, because a row has no alignment. */
            h = __riscv_vreinterpret_u16m4(__riscv_vle8_v_u8m4(row + 2 * i, 2 * vl));
            if (t->format.id == LLMQ__ID_F16) __riscv_vse32(v + i, llmq__load_halves_rvv(h, vl), vl);
            else __riscv_vse32(v + i, __riscv_vreinterpret_f32m8(__riscv_vsll(__riscv_vzext_vf2(h, vl), 16, vl)), vl);
        }
    }
}

/* out[cols] = row r as floats, as llmq__read_row: value times scale. Raw formats have no scale. */
LLMQ__NOINLINE_TARGET void llmq__read_row_rvv(const llmq_tensor *t, uint32_t r, float *out)
{
    llmq__layout l = llmq__layout_of(t);
    const uint8_t *row = t->data + (size_t)r * t->row_size;
    uint32_t j, n, i;
    size_t vl;
    for (j = 0; j < t->cols; j += n) {
        n = llmq__min(256, llmq__min(t->cols, (j / l.group + 1) * l.group) - j);
        llmq__values_rvv(t, &l, row, j, n, out + j);
        /* All n columns are in one group and have one scale. */
        for (i = 0; i < n && t->format.points; i += (uint32_t)vl) {
            vl = __riscv_vsetvl_e32m8(n - i);
            __riscv_vse32(out + j + i,
                          __riscv_vfmul(__riscv_vle32_v_f32m8(out + j + i, vl), llmq__scale(row, j / l.group), vl), vl);
        }
    }
}

/* out[cols] += weight[r] times row r, for rows [r0, r1), as llmq__add_rows: weight times scale
   first. */
LLMQ__NOINLINE_TARGET void llmq__add_rows_rvv(const llmq_tensor *t, const float *weight, uint32_t r0, uint32_t r1,
                                              float *out)
{
    llmq__layout l = llmq__layout_of(t);
    float v[256];
    uint32_t r, j, n;
    for (r = r0; r < r1; r++) {
        const uint8_t *row = t->data + (size_t)r * t->row_size;
        for (j = 0; j < t->cols; j += n) {
            n = llmq__min(256, llmq__min(t->cols, (j / l.group + 1) * l.group) - j);
            llmq__values_rvv(t, &l, row, j, n, v);
            /* A raw row has no scale, and its group is the row. */
            llmq__add_scaled_rvv(out + j, t->format.points ? weight[r] * llmq__scale(row, j / l.group) : weight[r], v,
                                 n);
        }
    }
}

/* Returns the product of a row with the floats x, as llmq__rows_f32. Column i of a group goes
   into lane i mod 16, and the 16 lanes are a group of four registers of 128 bits or more. */
LLMQ__INLINE_TARGET float llmq__row_f32_rvv(const llmq_tensor *t, const llmq__layout *l, const uint8_t *row,
                                            const float *x)
{
    LLMQ__NO_CONTRACT
    float total = 0.0f, v[256];
    uint32_t j, end, n, i;
    size_t vl, h;
    for (j = 0; j < t->cols;) {
        vfloat32m4_t lane = __riscv_vfmv_v_f_f32m4(0.0f, 16);
        float scale = t->format.points ? llmq__scale(row, j / l->group) : 1.0f;
        for (end = llmq__min(t->cols, j + l->group); j < end; j += n) {
            n = llmq__min(256, end - j);
            llmq__values_rvv(t, l, row, j, n, v);
            /* The last columns of a group are added to the first lanes; _tu leaves the others as
               they are. */
            for (i = 0; i < n; i += 16) {
                vl = llmq__min(16, n - i);
                /* The product is rounded before it is added. */
                lane = __riscv_vfadd_vv_f32m4_tu(
                    lane, lane,
                    __riscv_vfmul(__riscv_vle32_v_f32m4(x + j + i, vl), __riscv_vle32_v_f32m4(v + i, vl), vl), vl);
            }
        }
        /* Lanes i and i + h are added, for h = 8, 4, 2, 1. */
        for (h = 8; h; h /= 2) lane = __riscv_vfadd(lane, __riscv_vslidedown(lane, h, h), h);
        total += __riscv_vfmv_f(lane) * scale;
    }
    return total;
}

/* y[i * y_stride + r] = the product of row r with the floats of activation i. */
LLMQ__NOINLINE_TARGET void llmq__rows_f32_rvv(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                              uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    uint32_t i, r;
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i++)
            y[i * y_stride + r] = llmq__row_f32_rvv(t, &l, t->data + (size_t)r * t->row_size, x[i].x);
}

/* ---- products of int8 activations ---------------------------------------------------------------

   Rows are multiplied as far as their units are whole by a stream function of the format, and
   from there on by slices, which decode any format. Sums of products are exact. Floats are
   combined at the end of each run by the operations of the scalar llmq__rows_i8, in the same
   order. */

/* Tables of a format's points: of one coordinate each, and of pairs. */
#define LLMQ__KIND_V2N256 (LLMQ__KIND_V2N64 + 1)
#define LLMQ__PIECES 64u /* pieces of 128 columns whose sums wait for their conversion to float */
typedef struct llmq__grid_rvv {
    int kind; /* LLMQ__KIND_... */
    uint8_t x[64], y[64]; /* the coordinates, as bytes; zeros after the last point */
    uint16_t pair[256];   /* two coordinates: x + 256 y */
} llmq__grid_rvv;

/* Makes the tables. g->kind is LLMQ__KIND_OTHER if the format has no stream function. */
static void llmq__make_grid_rvv(const llmq_format *f, llmq__grid_rvv *g)
{
    uint32_t i, n = (uint32_t)1 << f->bits;
    g->kind = llmq__kind(f, -128);
    /* 256 points of two coordinates are gathered as pairs, see section 2 for the other kinds. */
    if (g->kind == LLMQ__KIND_OTHER && f->p == 2 && f->bits == 8) g->kind = LLMQ__KIND_V2N256;
    if (g->kind == LLMQ__KIND_OTHER) return;
    if (f->p == 2) LLMQ_MEMCPY(g->pair, f->points, 2 * (size_t)n);
    LLMQ_MEMSET(g->x, 0, sizeof g->x);
    LLMQ_MEMSET(g->y, 0, sizeof g->y);
    /* More points do not fit the tables; g8 needs none. */
    for (i = 0; i < n && n <= 64; i++) {
        g->x[i] = (uint8_t)f->points[i * f->p];
        if (f->p == 2) g->y[i] = (uint8_t)f->points[i * 2 + 1];
    }
}

/* A product of a row, as far as it has come. */
typedef struct llmq__progress_rvv {
    const uint8_t *row;
    uint32_t j;    /* columns that are done */
    int32_t sum;   /* of the run that has begun: columns with one scale each of row and activation */
    float total;   /* of the runs before */
} llmq__progress_rvv;

/* Row r, of which nothing is done. */
LLMQ__INLINE llmq__progress_rvv llmq__begin_rvv(const llmq_tensor *t, uint32_t r)
{
    llmq__progress_rvv at;
    at.row = t->data + (size_t)r * t->row_size;
    at.j = 0;
    at.sum = 0;
    at.total = 0.0f;
    return at;
}

/* If a run ends at column at->j, adds its sum to the total. At least one column is done. */
LLMQ__INLINE void llmq__end_run_rvv(const llmq__layout *l, const llmq_activation *x, llmq__progress_rvv *at)
{
    LLMQ__NO_CONTRACT
    uint32_t j = at->j;
    /* The last columns end a run even if they do not fill a group. */
    if (j != x->cols && j % l->group != 0 && j % x->group != 0) return;
    at->total += (float)at->sum * (x->scale[(j - 1) / x->group] * llmq__scale(at->row, (j - 1) / l->group));
    at->sum = 0;
}

/* Adds the sums of n pieces of 128 columns to a row's progress.
   If each piece is a run, scales are converted and multiplied many at a time. The ordered
   reduction adds products to the total one after the other, each rounded, as the scalar kernel
   does. */
LLMQ__NOINLINE_TARGET void llmq__finish_rvv(const llmq__layout *l, const llmq_activation *x, const int32_t *sum,
                                            uint32_t n, llmq__progress_rvv *at)
{
    uint32_t i, w;
    size_t vl;
    /* A run of several pieces collects their sums in at->sum. */
    if (l->group != 128 || x->group != 128) {
        for (i = 0; i < n; i++) {
            at->sum += sum[i];
            at->j += 128;
            llmq__end_run_rvv(l, x, at);
        }
        return;
    }
    for (i = 0, w = at->j / 128; i < n; i += (uint32_t)vl, w += (uint32_t)vl) {
        vuint16m2_t bits;
        vfloat32m4_t scale, product;
        vl = __riscv_vsetvl_e32m4(n - i);
        /* Bytes are loaded, because a row has no alignment. A bfloat16 is the upper half of a
           float. */
        bits = __riscv_vreinterpret_u16m2(__riscv_vle8_v_u8m2(at->row + 2 * (size_t)w, 2 * vl));
        scale = __riscv_vreinterpret_f32m4(__riscv_vsll(__riscv_vzext_vf2(bits, vl), 16, vl));
        /* The operations of end_run: scales first, then the sum times both. */
        scale = __riscv_vfmul(__riscv_vle32_v_f32m4(x->scale + w, vl), scale, vl);
        product = __riscv_vfmul(__riscv_vfcvt_f(__riscv_vle32_v_i32m4(sum + i, vl), vl), scale, vl);
        at->total = __riscv_vfmv_f(__riscv_vfredosum(product, __riscv_vfmv_s_f_f32m1(at->total, 1), vl));
    }
    at->j += 128 * n;
}

/* Multiplies four rows by an activation: columns [0, end), which are whole units. All runs end
   at multiples of 128, or at the end of the row. at[4]: new progress of the rows. */
typedef void (*llmq__stream_rvv)(const llmq__layout *l, const llmq__grid_rvv *g, const llmq_activation *x, uint32_t end,
                                 llmq__progress_rvv *at);

/* Registers of 128, of 256, and of 512 bits and more. */
#define LLMQ__SIMD_PART LLMQ__PART_RVV_PRODUCTS
#define LLMQ__ISA rvv4
#define LLMQ__LMUL 4
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_RVV_PRODUCTS
#define LLMQ__ISA rvv2
#define LLMQ__LMUL 2
#include LLMQ_SIMD_SELF
#define LLMQ__SIMD_PART LLMQ__PART_RVV_PRODUCTS
#define LLMQ__ISA rvv1
#define LLMQ__LMUL 1
#include LLMQ_SIMD_SELF

/* Returns the stream function of a kind for the machine's vector length, NULL if runs do not
   suit it, or if the kind has none. */
static llmq__stream_rvv llmq__find_stream_rvv(int kind, const llmq__layout *l, const llmq_activation *x)
{
    /* Bits of a register. */
    size_t bits = 8 * __riscv_vsetvlmax_e8m1();
    /* Runs of other lengths would end within a piece. */
    if ((l->group < x->cols && l->group % 128 != 0) || (x->group < x->cols && x->group % 128 != 0)) return 0;
    return bits >= 512   ? llmq__stream_of_rvv1(kind)
           : bits >= 256 ? llmq__stream_of_rvv2(kind)
                         : llmq__stream_of_rvv4(kind);
}

/* Returns the product of a[n] and b[n], exactly: products fit 16 bits, sums 32. */
LLMQ__INLINE_TARGET int32_t llmq__dot_rvv(const int8_t *a, const int8_t *b, uint32_t n)
{
    /* The sum so far is lane 0, with which each reduction begins. */
    vint32m1_t sum = __riscv_vmv_s_x_i32m1(0, 1);
    size_t i, vl;
    for (i = 0; i < n; i += vl) {
        vl = __riscv_vsetvl_e8m4(n - i);
        /* Products of 16 bits are added in 32 bits. */
        /* check: 128 * 128 < 2^15 */
        sum = __riscv_vwredsum(__riscv_vwmul(__riscv_vle8_v_i8m4(a + i, vl), __riscv_vle8_v_i8m4(b + i, vl), vl), sum,
                               vl);
    }
    return __riscv_vmv_x(sum);
}

/* Finishes a row of any format from column at->j on. A slice is decoded once for count <=
   LLMQ__BATCH activations, whose progress is at[0, count); all have the same row and column. */
LLMQ__NOINLINE_TARGET void llmq__slices_rvv(const llmq_tensor *t, const llmq__layout *l, const llmq_activation *x,
                                            uint32_t count, llmq__progress_rvv *at)
{
    int8_t e[256 + 2 * 7];
    uint32_t i, n, j = at->j, w_end, x_end;
    for (; j < t->cols; j += n) {
        const int8_t *from;
        /* Ends of the groups of row and activation that column j is in. */
        w_end = llmq__min(t->cols, (j / l->group + 1) * l->group);
        x_end = llmq__min(t->cols, (j / x->group + 1) * x->group);
        /* A slice ends with its run at the latest, so that its products have the same scales. */
        n = llmq__min(256, llmq__min(w_end, x_end) - j);
        from = llmq__points_rvv(t, l, at->row, j, n, e);
        for (i = 0; i < count; i++) {
            /* Each activation has its own sum, and the run ends for all at once. */
            at[i].sum += llmq__dot_rvv(from, x[i].q + j, n);
            at[i].j = j + n;
            llmq__end_run_rvv(l, x + i, at + i);
        }
    }
}

/* y[i * y_stride + r] = the product of row r with activation i, for rows [r0, r1), by a stream
   function.
   Blocks have four rows, a quarter of the range apart, as in section 4. The last block has the
   rest of the rows, and repeats its last row where there are fewer than four. */
LLMQ__NOINLINE_TARGET void llmq__rows_streamed_rvv(llmq__stream_rvv stream, const llmq_tensor *t, const llmq__layout *l,
                                                   const llmq__grid_rvv *g, const llmq_activation *x, uint32_t count,
                                                   uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    uint32_t b, i, k, blocks = (r1 - r0) / 4, rest = (r1 - r0) % 4, apart = blocks, rows = 4;
    uint32_t unit = LLMQ__UNIT * t->format.p, end = t->cols / unit * unit;
    for (b = 0; b < blocks + (rest != 0); b++) {
        uint32_t first = r0 + b;
        /* The rows that are left are neighbours, fewer than four. */
        if (b == blocks) first = r0 + 4 * blocks, apart = 1, rows = rest;
        for (i = 0; i < count; i++) {
            llmq__progress_rvv at[4];
            /* Rows that are missing repeat the last row; their results are not stored. */
            for (k = 0; k < 4; k++) at[k] = llmq__begin_rvv(t, first + llmq__min(k, rows - 1) * apart);
            /* Whole units by the stream function, the rest by slices. */
            stream(l, g, x + i, end, at);
            for (k = 0; k < rows; k++) {
                if (end < t->cols) llmq__slices_rvv(t, l, x + i, 1, at + k);
                y[i * y_stride + first + k * apart] = at[k].total;
            }
        }
    }
}

/* The kernel of the table: see llmq__rows_i8, whose bits it gives. Formats and runs without a
   stream function are decoded in slices, once for up to LLMQ__BATCH activations. */
LLMQ__NOINLINE_TARGET void llmq__rows_i8_rvv(const llmq_tensor *t, const llmq_activation *x, uint32_t count,
                                             uint32_t r0, uint32_t r1, float *y, size_t y_stride)
{
    llmq__layout l = llmq__layout_of(t);
    llmq__grid_rvv g;
    llmq__stream_rvv stream;
    uint32_t i, k, r, n;
    /* The tables are on the stack: about 650 bytes. */
    /* check: 64 + 64 + 2 * 256 + 4 <= 650 */
    llmq__make_grid_rvv(&t->format, &g);
    stream = llmq__find_stream_rvv(g.kind, &l, x);
    if (stream) {
        llmq__rows_streamed_rvv(stream, t, &l, &g, x, count, r0, r1, y, y_stride);
        return;
    }
    for (r = r0; r < r1; r++)
        for (i = 0; i < count; i += n) {
            llmq__progress_rvv at[LLMQ__BATCH];
            n = llmq__min(LLMQ__BATCH, count - i);
            for (k = 0; k < n; k++) at[k] = llmq__begin_rvv(t, r);
            llmq__slices_rvv(t, &l, x + i, n, at);
            for (k = 0; k < n; k++) y[(i + k) * y_stride + r] = at[k].total;
        }
}

LLMQ__TABLE(rvv, LLMQ_CPU_RVV, _rvv, _rvv, _rvv, _rvv);
#undef LLMQ__KIND_V2N256
#undef LLMQ__PIECES
#undef LLMQ__TARGET

#elif LLMQ__SIMD_PART == LLMQ__PART_RVV_PRODUCTS
#undef LLMQ__SIMD_PART

/* ---- products of whole units, once for each size of register groups -----------------------------

   Parameters:
     LLMQ__ISA   the suffix of the kernels
     LLMQ__LMUL  4, 2 or 1: registers in a group that holds 64 bytes; groups of 4 and 2 are then
       full
   Vector lengths are constants here, 16, 32 or 64: they need registers of at least 128, 256 or
   512 bits. find_stream_rvv makes sure of it.
   kind and bits are constants in functions that are inlined, so that each format has loops of
   its own. */

#if !defined(LLMQ__TARGET) || !defined(LLMQ__ISA)
#error "llmq: the template of products of RISC-V needs LLMQ__TARGET and LLMQ__ISA"
#endif
#if !defined(LLMQ__LMUL) || (LLMQ__LMUL != 4 && LLMQ__LMUL != 2 && LLMQ__LMUL != 1)
#error "llmq: LLMQ__LMUL is 4, 2 or 1"
#elif LLMQ__LMUL == 4 /* LLMQ__LMUL2, twice as many, is pasted into names, so that it must be a literal */
#define LLMQ__LMUL2 8
#elif LLMQ__LMUL == 2
#define LLMQ__LMUL2 4
#else
#define LLMQ__LMUL2 2
#endif

#define LLMQ__JOIN_(a, b, c) a##b##c
#define LLMQ__JOIN(a, b, c) LLMQ__JOIN_(a, b, c)
#define LLMQ__M(name) LLMQ__JOIN(name, LLMQ__LMUL, )   /* an intrinsic for 64 bytes */
#define LLMQ__M2(name) LLMQ__JOIN(name, LLMQ__LMUL2, ) /* for 64 of twice the width */
/* 64 codes or indices, 64 points or activations, and 64 products of 16 bits. */
typedef LLMQ__JOIN(vuint8m, LLMQ__LMUL, _t) LLMQ__KERNEL_NAME(codes);
typedef LLMQ__JOIN(vint8m, LLMQ__LMUL, _t) LLMQ__KERNEL_NAME(bytes);
typedef LLMQ__JOIN(vint16m, LLMQ__LMUL2, _t) LLMQ__KERNEL_NAME(words);

/* Returns 64 bytes with codes in their lowest bits: the bytes of a plane, 32 or 16, then the
   same bytes shifted right by one width more each time. width: bits of a code in the plane. */
LLMQ__INLINE_TARGET LLMQ__KERNEL_NAME(codes) LLMQ__KERNEL_NAME(fields)(const uint8_t *plane, uint32_t bytes,
                                                                       uint32_t width)
{
    LLMQ__KERNEL_NAME(codes) v = LLMQ__M(__riscv_vle8_v_u8m)(plane, bytes);
    /* Four fields of 16 bytes: two by this, four by the next line. */
    if (bytes == 16) v = __riscv_vslideup(v, __riscv_vsrl(v, width, 16), 16, 32);
    /* 32 bytes hold one field or two, so that the next 32 are as many widths further. */
    return __riscv_vslideup(v, __riscv_vsrl(v, 32 / bytes * width, 32), 32, 64);
}

/* Returns codes 64 half ... 64 half + 63 of a whole unit, half 0 or 1, with nothing above them.
   Code k of a unit is in byte k mod u of a plane of u bytes, at bit width * (k div u). */
LLMQ__INLINE_TARGET LLMQ__KERNEL_NAME(codes) LLMQ__KERNEL_NAME(code)(uint32_t bits, const uint8_t *unit, uint32_t half)
{
    LLMQ__KERNEL_NAME(codes) v, above;
    /* The bits above the lower four. */
    /* check: 48 == 16 + 32 */
    uint8_t mask = bits == 5 ? 16 : 48;
    if (bits == 8) return LLMQ__M(__riscv_vle8_v_u8m)(unit + 64 * half, 64);
    /* u = 32: the second half of the codes is two fields further, at bits 4 and 6. */
    if (bits == 2) {
        v = LLMQ__KERNEL_NAME(fields)(unit, 32, 2);
        return __riscv_vand(half ? __riscv_vsrl(v, 4, 64) : v, 3, 64);
    }
    /* Pairs of 6 bits, u = 32 and 16. The upper code is bit 3 of the nibble, and above it the 2
       bits of the second plane. */
    if (bits == 3) {
        v = LLMQ__KERNEL_NAME(fields)(unit, 32, 4);
        if (!half) return __riscv_vand(v, 7, 64);
        /* Bits 1 and 2 of the code. */
        above = __riscv_vand(__riscv_vsll(LLMQ__KERNEL_NAME(fields)(unit + 32, 16, 2), 1, 64), 6, 64);
        return __riscv_vor(__riscv_vand(__riscv_vsrl(v, 3, 64), 1, 64), above, 64);
    }
    /* The first plane has 4 bits and u = 64: half 0 is below, half 1 above. */
    v = LLMQ__M(__riscv_vle8_v_u8m)(unit, 64);
    v = half ? __riscv_vsrl(v, 4, 64) : __riscv_vand(v, 15, 64);
    if (bits == 4) return v;
    above = LLMQ__KERNEL_NAME(fields)(unit + 64, bits == 5 ? 16 : 32, bits - 4);
    /* The upper half's fields begin at bit 4 of the plane, so that its bits are in place. */
    return __riscv_vor(v, __riscv_vand(half ? above : __riscv_vsll(above, 4, 64), mask, 64), 64);
}

/* Returns table[v] for 64 indices below n; n is 16, 32 or 64, and table has n entries.
   vrgather takes time by the square of its registers, so parts of the group that hold n bytes or
   more are looked up one after the other. */
LLMQ__INLINE_TARGET LLMQ__KERNEL_NAME(codes) LLMQ__KERNEL_NAME(look_up)(const uint8_t *table, uint32_t n,
                                                                        LLMQ__KERNEL_NAME(codes) v)
{
#if LLMQ__LMUL > 1
    LLMQ__KERNEL_NAME(codes) r = LLMQ__M(__riscv_vundefined_u8m)();
    const size_t part = 64 / LLMQ__LMUL;
    /* part: bytes of one register, 16 or 32. */
    if (n <= part) {
        vuint8m1_t t = __riscv_vle8_v_u8m1(table, n);
        r = __riscv_vset(r, 0, __riscv_vrgather(t, __riscv_vget_u8m1(v, 0), part));
        r = __riscv_vset(r, 1, __riscv_vrgather(t, __riscv_vget_u8m1(v, 1), part));
#if LLMQ__LMUL == 4
        r = __riscv_vset(r, 2, __riscv_vrgather(t, __riscv_vget_u8m1(v, 2), part));
        r = __riscv_vset(r, 3, __riscv_vrgather(t, __riscv_vget_u8m1(v, 3), part));
    } else if (n == 32) {
        vuint8m2_t t = __riscv_vle8_v_u8m2(table, 32);
        r = __riscv_vset(r, 0, __riscv_vrgather(t, __riscv_vget_u8m2(v, 0), 32));
        r = __riscv_vset(r, 1, __riscv_vrgather(t, __riscv_vget_u8m2(v, 1), 32));
#endif
    } else
        r = __riscv_vrgather(LLMQ__M(__riscv_vle8_v_u8m)(table, n), v, 64);
    return r;
#else
    return __riscv_vrgather(__riscv_vle8_v_u8m1(table, n), v, 64);
#endif
}

/* Returns 64 points by codes v. g8 needs no table: max(code, 1) - 128, because code 0 decodes as
   code 1. Other tables have at least 16 entries, zeros after the last point. */
LLMQ__INLINE_TARGET LLMQ__KERNEL_NAME(bytes) LLMQ__KERNEL_NAME(lut)(int kind, const uint8_t *table,
                                                                    LLMQ__KERNEL_NAME(codes) v)
{
    if (kind == LLMQ__KIND_G8) v = __riscv_vxor(__riscv_vmaxu(v, 1, 64), 128, 64);
    else v = LLMQ__KERNEL_NAME(look_up)(table, llmq__kind_bits(kind) <= 4 ? 16 : 1u << llmq__kind_bits(kind), v);
    return LLMQ__M(__riscv_vreinterpret_i8m)(v);
}

/* Returns the products of 128 columns of a row with their activations, two products to a lane.
   One coordinate: a and b meet the halves of the unit, and half is not used. Two coordinates: a
   and b meet the coordinates of the points of one half.
   Two products fit 16 bits, because activations are at least -127. */
/* check: 2 * 128 * 127 < 2^15 */
LLMQ__INLINE_TARGET LLMQ__KERNEL_NAME(words) LLMQ__KERNEL_NAME(products)(int kind, const llmq__grid_rvv *g,
                                                                         const uint8_t *unit, uint32_t half,
                                                                         LLMQ__KERNEL_NAME(bytes) a,
                                                                         LLMQ__KERNEL_NAME(bytes) b)
{
    const uint32_t bits = kind == LLMQ__KIND_V2N256 ? 8 : llmq__kind_bits(kind);
    LLMQ__KERNEL_NAME(bytes) v, w;
    /* Pairs of coordinates are gathered from memory: 256 entries are too many for vrgather, and
       two tables of 64 would spill. */
    if (kind == LLMQ__KIND_V2N256 || (kind == LLMQ__KIND_V2N64 && LLMQ__LMUL == 4)) {
        /* Offsets in bytes: two for each entry. */
        LLMQ__JOIN(vuint16m, LLMQ__LMUL2, _t) at = __riscv_vwmulu(LLMQ__KERNEL_NAME(code)(bits, unit, half), 2, 64);
        at = LLMQ__M2(__riscv_vluxei16_v_u16m)(g->pair, at, 64);
        v = LLMQ__M(__riscv_vreinterpret_i8m)(__riscv_vncvt_x(at, 64));
        /* x is the lower byte of a pair, y the upper one. */
        w = LLMQ__M(__riscv_vreinterpret_i8m)(__riscv_vnsrl(at, 8, 64));
    } else if (llmq__kind_p(kind) == 2) {
        v = LLMQ__KERNEL_NAME(lut)(kind, g->x, LLMQ__KERNEL_NAME(code)(bits, unit, half));
        w = LLMQ__KERNEL_NAME(lut)(kind, g->y, LLMQ__KERNEL_NAME(code)(bits, unit, half));
    } else {
        v = LLMQ__KERNEL_NAME(lut)(kind, g->x, LLMQ__KERNEL_NAME(code)(bits, unit, 0));
        w = LLMQ__KERNEL_NAME(lut)(kind, g->x, LLMQ__KERNEL_NAME(code)(bits, unit, 1));
    }
    /* Both products of a lane, in 16 bits. */
    return __riscv_vwmacc(__riscv_vwmul(v, a, 64), w, b, 64);
}

/* sum[r][i] = the products of piece i of row r, for four rows whose units are at unit[r]; q: the
   activations of its 128 columns. half: of a unit of points of two coordinates, else 0. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(piece)(int kind, const llmq__grid_rvv *g, const uint8_t *const *unit,
                                                  uint32_t half, const int8_t *q, int32_t (*sum)[LLMQ__PIECES],
                                                  uint32_t i)
{
    LLMQ__KERNEL_NAME(bytes) a, b;
    /* Each reduction begins with 0. */
    vint32m1_t zero = __riscv_vmv_s_x_i32m1(0, 1);
    uint32_t r;
    if (llmq__kind_p(kind) == 2) {
        LLMQ__JOIN(vuint16m, LLMQ__LMUL2, _t) v =
            LLMQ__M2(__riscv_vreinterpret_u16m)(LLMQ__M2(__riscv_vle8_v_u8m)((const uint8_t *)q, 128));
        /* 16 bits are an even column and, above it, an odd one: narrowing separates them. */
        a = LLMQ__M(__riscv_vreinterpret_i8m)(__riscv_vncvt_x(v, 64));
        b = LLMQ__M(__riscv_vreinterpret_i8m)(__riscv_vnsrl(v, 8, 64));
    } else {
        a = LLMQ__M(__riscv_vle8_v_i8m)(q, 64);
        b = LLMQ__M(__riscv_vle8_v_i8m)(q + 64, 64);
    }
    for (r = 0; r < 4; r++)
        sum[r][i] = __riscv_vmv_x(
            __riscv_vwredsum(LLMQ__KERNEL_NAME(products)(kind, g, unit[r], half, a, b), zero, 64));
}

/* Multiplies four rows by an activation, see the type llmq__stream_rvv. Sums of up to
   LLMQ__PIECES pieces are collected before their scales are looked at. */
LLMQ__INLINE_TARGET void LLMQ__KERNEL_NAME(stream)(int kind, const llmq__layout *l, const llmq__grid_rvv *g,
                                                   const llmq_activation *x, uint32_t end, llmq__progress_rvv *at)
{
    const uint32_t p = llmq__kind_p(kind), size = 16 * (kind == LLMQ__KIND_V2N256 ? 8 : llmq__kind_bits(kind));
    int32_t sum[4][LLMQ__PIECES];
    const uint8_t *unit[4];
    uint32_t j, i, r, n;
    /* Codes follow the scales of a row. */
    for (r = 0; r < 4; r++) unit[r] = at[r].row + l->scales;
    for (j = 0; j < end; j += 128 * n) {
        /* The sums wait, so that scales of many runs are converted at once. */
        n = llmq__min(LLMQ__PIECES, (end - j) / 128);
        /* A unit has p pieces, and the unit after it is `size` bytes further. end is a multiple
           of a unit's columns, and LLMQ__PIECES is even, so that no unit is split. */
        for (i = 0; i < n; i += p) {
            LLMQ__KERNEL_NAME(piece)(kind, g, unit, 0, x->q + j + 128 * i, sum, i);
            if (p == 2) LLMQ__KERNEL_NAME(piece)(kind, g, unit, 1, x->q + j + 128 * i + 128, sum, i + 1);
            for (r = 0; r < 4; r++) unit[r] += size;
        }
        for (r = 0; r < 4; r++) llmq__finish_rvv(l, x, sum[r], n, at + r);
    }
}

/* Each format has a function of its own, so that kind is a constant in it. */
#define LLMQ__STREAM(name, kind)                                                                       \
    LLMQ__NOINLINE_TARGET void LLMQ__KERNEL_NAME(name)(const llmq__layout *l, const llmq__grid_rvv *g, \
                                                       const llmq_activation *x, uint32_t end,         \
                                                       llmq__progress_rvv *at)                         \
    {                                                                                                  \
        LLMQ__KERNEL_NAME(stream)(kind, l, g, x, end, at);                                             \
    }
LLMQ__STREAM(g2, LLMQ__KIND_G2)
LLMQ__STREAM(g3, LLMQ__KIND_G3)
LLMQ__STREAM(g4, LLMQ__KIND_G4)
LLMQ__STREAM(g5, LLMQ__KIND_G5)
LLMQ__STREAM(g6, LLMQ__KIND_G6)
LLMQ__STREAM(g8, LLMQ__KIND_G8)
LLMQ__STREAM(v2n16, LLMQ__KIND_V2N16)
LLMQ__STREAM(v2n64, LLMQ__KIND_V2N64)
LLMQ__STREAM(v2n256, LLMQ__KIND_V2N256)

/* Returns the stream function of a kind, NULL for LLMQ__KIND_OTHER. */
static llmq__stream_rvv LLMQ__KERNEL_NAME(stream_of)(int kind)
{
    static const llmq__stream_rvv all[] = { 0,
                                            LLMQ__KERNEL_NAME(g2),
                                            LLMQ__KERNEL_NAME(g3),
                                            LLMQ__KERNEL_NAME(g4),
                                            LLMQ__KERNEL_NAME(g5),
                                            LLMQ__KERNEL_NAME(g6),
                                            LLMQ__KERNEL_NAME(g8),
                                            LLMQ__KERNEL_NAME(v2n16),
                                            LLMQ__KERNEL_NAME(v2n64),
                                            LLMQ__KERNEL_NAME(v2n256) };
    return all[kind]; /* in the order of LLMQ__KIND_... */
}
#undef LLMQ__STREAM
#undef LLMQ__JOIN_
#undef LLMQ__JOIN
#undef LLMQ__M
#undef LLMQ__M2
#undef LLMQ__ISA
#undef LLMQ__LMUL
#undef LLMQ__LMUL2

#elif LLMQ__SIMD_PART == LLMQ__PART_TABLES
#undef LLMQ__SIMD_PART

/* ---- 12. Tables ---------------------------------------------------------------------------------

   The part that llmq.h includes at its end. It includes the sections, each of which makes its
   tables, lists the tables, and undefines all macros but the ones of section 1. */

#if defined(__GNUC__) && !defined(__clang__) && defined(__cplusplus)
/* g++ before 13 warns of the undefined values in its own AVX-512 header (its bug 105593). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define LLMQ__SIMD_PART LLMQ__PART_DISPATCH
#include LLMQ_SIMD_SELF
#if LLMQ_SIMD_SSSE3 || LLMQ_SIMD_AVX2
#define LLMQ__SIMD_PART LLMQ__PART_SSSE3
#include LLMQ_SIMD_SELF
#endif
#if LLMQ_SIMD_AVX2
#define LLMQ__SIMD_PART LLMQ__PART_AVX2
#include LLMQ_SIMD_SELF
#endif
#if LLMQ_SIMD_AVX512
#define LLMQ__SIMD_PART LLMQ__PART_AVX512
#include LLMQ_SIMD_SELF
#endif
#if LLMQ_SIMD_NEON
#define LLMQ__SIMD_PART LLMQ__PART_NEON
#include LLMQ_SIMD_SELF
#endif
#if LLMQ_SIMD_DSP || LLMQ_SIMD_MVE
#define LLMQ__SIMD_PART LLMQ__PART_MICRO
#include LLMQ_SIMD_SELF
#endif
#if LLMQ_SIMD_WASM
#define LLMQ__SIMD_PART LLMQ__PART_WASM
#include LLMQ_SIMD_SELF
#endif
#if LLMQ_SIMD_RVV
#define LLMQ__SIMD_PART LLMQ__PART_RVV
#include LLMQ_SIMD_SELF
#endif

/* Table i of those that are compiled in, from slow to fast, so that the last table whose bits the
   machine has is the best. NULL after the last. */
static const llmq_kernels *llmq__simd_at(uint32_t i)
{
    static const llmq_kernels *const all[] = {
#if LLMQ_SIMD_SSSE3
        &llmq__table_ssse3,
#endif
#if LLMQ_SIMD_AVX2
        &llmq__table_avx2,
#endif
#if LLMQ_SIMD_AVXVNNI
        &llmq__table_avx2vnni,
#endif
#if LLMQ_SIMD_AVX512
        &llmq__table_avx512vnni,
        &llmq__table_avx512vbmi,
#endif
#if LLMQ_SIMD_NEON
        &llmq__table_neon,
#endif
#if LLMQ_SIMD_DOTPROD
        &llmq__table_neondot,
#endif
#if LLMQ_SIMD_I8MM
        &llmq__table_neoni8mm,
#endif
#if LLMQ_SIMD_WASM
        &llmq__table_wasm,
#endif
#if LLMQ_SIMD_DSP
        &llmq__table_dsp,
#endif
#if LLMQ_SIMD_MVE
        &llmq__table_mve,
#endif
#if LLMQ_SIMD_RVV
        &llmq__table_rvv,
#endif
        LLMQ__NULL
    };
    return i < sizeof all / sizeof *all ? all[i] : LLMQ__NULL;
}

#if defined(__GNUC__) && !defined(__clang__) && defined(__cplusplus)
#pragma GCC diagnostic pop
#endif
#undef LLMQ__GLUE_
#undef LLMQ__GLUE
#undef LLMQ__PASTE_
#undef LLMQ__PASTE
#undef LLMQ__KERNEL_NAME
#undef LLMQ__VEC_F32
#undef LLMQ__VEC_U8
#undef LLMQ__C
#undef LLMQ__K
#undef LLMQ__DOT
#undef LLMQ__VEC4
#undef LLMQ__INLINE_TARGET
#undef LLMQ__INLINE
#undef LLMQ__NOINLINE_TARGET
#undef LLMQ__PREFETCH
#undef LLMQ__PREFETCH2
#undef LLMQ__RELOAD_BARRIER
#undef LLMQ__SCALAR
#undef LLMQ__AFTER
#undef LLMQ__TARGET_OF
#undef LLMQ__MADE
#undef LLMQ__TRELLIS
#undef LLMQ__TRELLISES
#undef LLMQ__UNROLL
#undef LLMQ__PRAGMA
#undef LLMQ__SANITIZED
#undef LLMQ__PREFETCH_BYTES
#undef LLMQ__X86
#undef LLMQ__ARM
#undef LLMQ__ARM_TARGETS
#undef LLMQ_SIMD_SELF
#undef LLMQ__PART_CONFIGURATION
#undef LLMQ__PART_DISPATCH
#undef LLMQ__PART_FLOATS
#undef LLMQ__PART_CODES
#undef LLMQ__PART_FORMAT
#undef LLMQ__PART_BLOCKS
#undef LLMQ__PART_SSSE3
#undef LLMQ__PART_AVX2
#undef LLMQ__PART_VNNI
#undef LLMQ__PART_AVX512
#undef LLMQ__PART_AVX512_PRODUCTS
#undef LLMQ__PART_AVX512_TRELLIS
#undef LLMQ__PART_NEON
#undef LLMQ__PART_MICRO
#undef LLMQ__PART_WASM
#undef LLMQ__PART_RVV
#undef LLMQ__PART_RVV_PRODUCTS
#undef LLMQ__PART_TABLES

#else
#error "llmq: LLMQ__SIMD_PART is none of LLMQ__PART_..."
#endif
