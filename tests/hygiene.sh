#!/bin/bash
# hygiene.sh - what a header owes the program that includes it: it builds everywhere, without a warning; it leaves no macro,
# no symbol and no writable byte behind; its stack frames are small; and the bits are the same whatever compiled it.
#
#     tests/hygiene.sh [PART] [quick|all] [CC...]   default: all parts, all, gcc clang
#     tests/hygiene.sh object CC LEVEL DIR FLAG...  an object with the vector kernels for the part simd: DIR/CC-LEVEL.o
#
# Parts: builds objects warnings (of llmq.h alone) and simd (with llmq_simd.h beside it); names, for make style: macros, symbols and warnings
# of both, without optimisation. quick: what any change may break; without
# other configurations and levels of optimisation than the usual ones. OBJECTS=DIR: where objects for simd may be already.
# Prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why` for each check, and a line that sums up. The C++ compiler that
# belongs to a CC is found by its name (gcc-12: g++-12, clang: clang++).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
passed=0 failed=0

ok() { echo "ok $1"; passed=$((passed + 1)); }
fail() { echo "FAIL $1: ${2:-no output}"; failed=$((failed + 1)); }
skip() { echo "skip $1: $2"; }

# check NAME COMMAND...: ok if the command succeeds, else the first telling line that it printed
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$name"; else fail "$name" "$(why "$out")"; fi
}
why() { { grep -m1 -E 'error|warning' <<<"$1" || head -n1 <<<"$1"; } | sed "s|$root/||g;s|$tmp/||g"; }

# empty NAME TEXT: ok if the text is empty
empty() { if [ -z "$2" ]; then ok "$1"; else fail "$1" "$(tr '\n' ' ' <<<"$2")"; fi; }

# same NAME FILE FILE
same() { if cmp -s "$2" "$3"; then ok "$1"; else fail "$1" "'$(head -c 200 "$3")' instead of '$(head -c 200 "$2")'"; fi; }

has() { command -v "$1" >/dev/null; }
is_clang() { echo | "$1" -dM -E -x c - 2>/dev/null | grep -q __clang__; }
cxx_of() { case $1 in *clang*) echo "${1/clang/clang++}" ;; *) echo "${1/gcc/g++}" ;; esac; }

part= all=1 objects=${OBJECTS:-}
case ${1:-} in builds | objects | warnings | simd | names | object) part=$1; shift ;; esac
if [ "$part" = object ]; then level=$2 objects=$3 flags=("${@:4}"); set -- "$1"; fi
case ${1:-} in quick) all=; shift ;; all) shift ;; esac
[ $# -eq 0 ] && set -- gcc clang
compilers=()
for cc in "$@"; do
    if has "$cc"; then compilers+=("$cc"); else skip "$cc" "not installed"; fi
done
[ ${#compilers[@]} -gt 0 ] || { echo "hygiene: no compiler"; exit 2; }

cp "$root/llmq.h" "$root/examples/hello.c" .
printf '#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' >impl.c
cat >sum.h <<'END' # the checksum of programs that compare bits
static uint32_t crc = 1;
static void sum(const void *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;
    while (n-- > 0) crc = (crc ^ *b++) * 16777619u;
}
END
cat >empty.c <<'END'
int main(void) { return 0; }
END
vectors() { cp "$root/llmq_simd.h" .; } # from here on
m32= # can this machine build and run 32-bit programs?
if gcc -m32 empty.c -o empty 2>/dev/null && ./empty; then m32=1; fi

# The strict set: C and C++, then what only C has.
strict="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wundef -Wshadow -Wcast-qual -Wdouble-promotion -Wvla \
-Wwrite-strings -Werror"
strict_of() { # CC: with what differs between compilers
    if is_clang "$1"; then echo "$strict -Wcast-align"; else echo "$strict -Wcast-align=strict"; fi
}
only_c="-Wstrict-prototypes -Wmissing-prototypes"

# ---- a. The program in the header builds, alone with the header, and says the same everywhere ----

hello() { # NAME COMPILER...
    local name=$1 out
    shift
    if ! has "$1"; then skip "$name" "not installed"; return; fi
    if ! out=$("$@" hello.c -o hello 2>&1); then fail "$name" "$(why "$out")"; return; fi
    ./hello >hello.new || { fail "$name" "status $?"; return; }
    [ -e hello.out ] || cp hello.new hello.out
    same "$name" hello.out hello.new
}

hello_programs() {
    local cc
    mkdir hello_dir && cp llmq.h hello.c hello_dir && cd hello_dir || exit 2
    for cc in "${compilers[@]}"; do
        hello "hello: $cc" "$cc"
        hello "hello: $(cxx_of "$cc")" "$(cxx_of "$cc")" -x c++
    done
    hello "hello: tcc" tcc
    if [ $m32 ]; then hello "hello: gcc -m32${all:+ -O2}" gcc -m32 ${all:+-O2}; else skip "hello: gcc -m32" "no 32-bit libraries"; fi
    cd ..
}

freestanding() {
    local cc own="-DLLMQ_MEMCPY=__builtin_memcpy -DLLMQ_MEMSET=__builtin_memset"
    for cc in "${compilers[@]}"; do
        check "freestanding: $cc" "$cc" -ffreestanding -c impl.c -o free.o
        empty "freestanding: $cc, headers of a hosted library" \
            "$("$cc" -ffreestanding $own -M impl.c | grep -oE '[^ ]*/(string|stdlib|stdio|math|errno|assert|time)\.h')"
    done
}

# What cannot be right is refused, in words.
refused() { # CC WORDS FLAGS...
    local cc=$1 words=$2 out
    shift 2
    if out=$("$cc" -fsyntax-only "$@" impl.c 2>&1); then fail "refused: $cc $*" "it is not"
    else check "refused: $cc $*" grep -q "llmq: .*$words" <<<"$out"; fi
}

# The configurations at run time: what the golden bundle is to them.
configured() { # EXPECTED FLAGS...
    local expected=$1 out name
    shift
    name="configuration: ${*:-default}"
    if ! out=$("${compilers[0]}" -w "$@" -I"$root/tests" configured.c -o configured 2>&1); then
        fail "$name" "$(why "$out")"
        return
    fi
    out=$(./configured)
    if [ "$out" = "$expected" ]; then ok "$name"; else fail "$name" "'$out' instead of '$expected'"; fi
}

configurations() {
    local group
    cat >configured.c <<'END'
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include "vectors/golden.h"
#include <stdio.h>
int main(void)
{
    llmq_format f;
    llmq_bundle b;
    int opened = llmq_bundle_open(&b, golden_bundle, GOLDEN_SIZE, NULL);
    printf("%d %d '%s'", opened, llmq_format_find(&f, "v2n16", 128), llmq_status_text(LLMQ_OK));
    return 0;
}
END
    configured "0 0 'ok'"
    configured "0 0 'ok'" -DLLMQ_NO_ENCODER=1
    configured "-14 0 'ok'" -DLLMQ_NO_ENCODER=1 -DLLMQ_MAX_STEPS=0
    configured "0 -8 'ok'" "-DLLMQ_FORMATS=(LLMQ_WITH_ALL&~LLMQ_WITH_VECTOR_GRIDS)"
    [ $all ] || return
    configured "0 0 'ok'" -DLLMQ_NO_CALIBRATION=1
    configured "0 0 'ok'" -DLLMQ_NO_ACTIVATION_OPTIONS=1
    # its tensors are of f32, g4, g5, t3, u4 and a custom grid
    configured "0 -8 'ok'" "-DLLMQ_FORMATS=(LLMQ_WITH_F32|LLMQ_WITH_G4|LLMQ_WITH_G5|LLMQ_WITH_T3|LLMQ_WITH_U4)"
    for group in RAW GRIDS ZERO_POINTS TRELLISES F32 G4 G5 T3 U4; do
        configured "-14 0 'ok'" "-DLLMQ_FORMATS=(LLMQ_WITH_ALL&~LLMQ_WITH_$group)"
    done
    configured "0 0 ''" -DLLMQ_NO_STRINGS=1
    configured "-14 0 'ok'" -DLLMQ_MAX_STEPS=1 # its transform has two
    configured "0 0 'ok'" -DLLMQ_MAX_STEPS=2
    configured "-14 0 'ok'" -DLLMQ_NO_CALIBRATION=1 -DLLMQ_MAX_STEPS=0
}

# Trellises decode without the encoder, and are not there when they are left out.
trellises() {
    local flag
    for flag in "NO_ENCODER=1" "FORMATS=(LLMQ_WITH_ALL&~LLMQ_WITH_TRELLISES)"; do
        check "test_trellis, $flag" eval "${compilers[0]} -O1 -D_GNU_SOURCE -DLLMQ_SIMD=0 -DTRELLIS_ONE_IN=4 '-DLLMQ_$flag' '$root/tests/test_trellis.c' -o trellis && ./trellis"
    done
}

# What is left when all but one format goes does what the whole does: the same records from the encoder, and the same products.
write_products() {
    cat >products.c <<'END'
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include <stdio.h>
#define ROWS 131 /* a ring of a trellis that is longer than others */
#define COLS 300 /* groups of 64, the last one of 44 */
static float w[ROWS * COLS], x[COLS], y[ROWS], out[COLS], memory[2 * COLS];
static unsigned char data[ROWS * COLS * 4];
#include "sum.h"
static int use(const llmq_tensor *t)
{
    llmq_activation a;
    uint32_t bits, r;
    for (bits = t->format.points ? 4 : 32; bits <= 32; bits = bits == 8 ? 32 : 2 * bits) {
        if (llmq_activation_prepare(&a, t, bits, x, memory, sizeof memory) || llmq_matvec(t, &a, 0, ROWS, y)) return 1;
        sum(a.x, sizeof x);
        sum(y, sizeof y);
    }
    for (r = 0; r < ROWS; r += 13) {
        if (llmq_tensor_decode(t, r, out, NULL, 0)) return 2;
        sum(out, sizeof out);
    }
    if (llmq_matvec_transposed(t, w, 0, ROWS, out, NULL, 0)) return 3;
    sum(out, sizeof out);
    return 0;
}
static int fill(const llmq_tensor *t, const char *name) /* with the records in a file, which the encoder makes if there is one */
{
    size_t size = ROWS * t->row_size;
    FILE *file;
#if LLMQ_NO_ENCODER
    file = fopen(name, "rb");
    if (!file || fread(data, 1, size, file) != size || fclose(file)) return 4;
#else
    static float work[1 << 17];
    if (llmq_encode(t, data, 0, ROWS, w, COLS, NULL, work, sizeof work, NULL)) return 5;
    file = fopen(name, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) return 6;
#endif
    return 0;
}
int main(int argc, char **argv)
{
    llmq_format f;
    llmq_tensor t;
    uint32_t i;
    int bad;
    for (i = 0; i < ROWS * COLS; i++) w[i] = (float)(int32_t)(llmq_random(3, i) >> 8) / 8388608.0f - 1.0f;
    for (i = 0; i < COLS; i++) x[i] = (float)(int32_t)(llmq_random(4, i) >> 8) / 8388608.0f - 1.0f;
    if (argc < 3 || llmq_format_find(&f, argv[1], 64) || llmq_tensor_init(&t, &f, NULL, ROWS, COLS, data, sizeof data)) return 7;
    if ((bad = fill(&t, argv[2])) != 0 || (bad = use(&t)) != 0) return bad;
    printf("%08lx", (unsigned long)crc);
    return 0;
}
END
}

stripped() {
    local cc=${compilers[0]} format only
    write_products
    check "products of all formats" "$cc" -O1 -w products.c -o products
    for format in g4 ${all:+t3 u4 v2n16 f32}; do
        only=-DLLMQ_FORMATS=LLMQ_WITH_${format^^}
        check "$format of all formats" eval "./products $format records >products.out"
        check "$format alone" eval "$cc -O1 -w $off $only products.c -o alone && ./alone $format records >alone.out"
        same "$format alone: bits of products" products.out alone.out
        check "$format alone, with the encoder" eval "$cc -O1 -w $cache $only products.c -o alone && ./alone $format alone.records >alone.out"
        same "$format alone, with the encoder: bits of products" products.out alone.out
        same "$format alone, with the encoder: records" records alone.records
    done
}

# ---- b. The object file: what it needs, what it defines; and c, e: warnings and frames of the same compilations ----

compiled() { # CC LEVEL NAME FLAGS...: the object and its warnings; a C++ compiler makes one of C++
    local cc=$1 level=$2 name=$3 there=$objects/$1$2$3
    shift 3
    if [ "$part" = simd ] && [ -n "$objects" ] && [ -e "$there.warnings" ]; then cp "$there.o" .; cat "$there.warnings"; return; fi
    case $cc in
    *++*) "$cc" -x c++ -std=c++11 "$level" $(strict_of "$cc") -Wno-error -fno-pie "$@" -c impl.c -o "$cc$level$name.o" ;;
    *) "$cc" -std=c99 "$level" $(strict_of "$cc") $only_c -Wno-error -fno-pie "$@" -c impl.c -o "$cc$level$name.o" ;;
    esac
}

object() { # CC LEVEL NAME FLAGS...; a warning does not keep the object from being looked at
    local cc=$1 level=$2 name=$3 what out
    shift 3
    what="$cc $level$name"
    out=$(compiled "$cc" "$level" "$name" "$@" 2>&1)
    if [ -z "$out" ]; then ok "strict: $what"; else fail "strict: $what" "$(why "$out")"; fi
    [ -e "$cc$level$name.o" ] || return
    empty "undefined symbols: $what" "$(nm -u "$cc$level$name.o" | awk '$2 != "memcpy" && $2 != "memset" { print $2 }')"
    empty "defined symbols: $what" "$(nm -g --defined-only "$cc$level$name.o" | awk '$3 !~ /^llmq_[^_]/ { print $3 }')"
    empty "writable data: $what" "$(nm "$cc$level$name.o" | awk '$2 ~ /[dDbBcCgGsS]/ { print $3 }')"
}

levels_of() { # CC: quickly, those without which nothing could be said of frames and recursion
    if [ $all ]; then echo "-O0 -O2 -O3 -Os"; elif is_clang "$1"; then echo -O0; else echo "-O0 -O2"; fi
}
objects() {
    local cc level more
    for cc in "${compilers[@]}"; do
        for level in $(levels_of "$cc"); do
            more=
            if ! is_clang "$cc"; then
                more=-fstack-usage
                [ $level = -O0 ] && more=-fcallgraph-info
            fi
            object "$cc" $level "" $more
            [ $all ] || continue
            object "$cc" $level ",NO_ENCODER" -DLLMQ_NO_ENCODER=1
            object "$cc" $level ",off" $off_g4
        done
        check "static: $cc" "$cc" -std=c99 -O2 $(strict_of "$cc") $only_c -DLLMQ_STATIC=1 -c impl.c -o static.o
        empty "static: $cc, global symbols" "$(nm -g --defined-only static.o | awk '{ print $3 }')"
    done
}

# ---- e. Frames ----

frames() {
    local cc level su
    for cc in "${compilers[@]}"; do
        is_clang "$cc" && continue
        for level in -O2 ${all:+-Os}; do
            su=$cc$level.su
            [ -s "$su" ] || { fail "frames: $cc $level" "no .su file"; continue; }
            empty "frames over 256 bytes: $cc $level" \
                "$(awk -F'\t' '$2 > 256 { sub(/.*:/, "", $1); print $1, $2 ";" }' "$su" | sort -k2nr)"
            # "dynamic,bounded" only means that arguments are pushed: the number is the most there can be
            empty "frames without bound: $cc $level" "$(awk -F'\t' '$3 == "dynamic" { sub(/.*:/, "", $1); print $1 }' "$su")"
        done
        # every call is an edge at -O0; tsort complains of cycles
        if [ -s "$cc-O0.ci" ]; then
            sed -nE 's/^edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)".*/\1 \2/p' "$cc-O0.ci" |
                awk '$1 == $2 { print $1, "calls itself" >"self" } { print }' | tsort >sorted 2>cycles
            [ -e self ] && cat self >>cycles
            empty "no recursion: $cc" "$(tr '\n' ' ' <cycles)"
            [ "$(wc -l <sorted)" -gt 50 ] || fail "call graph: $cc" "only $(wc -l <sorted) functions"
        else
            skip "no recursion: $cc" "no -fcallgraph-info"
        fi
    done
}

# ---- c. Warnings ----

# Everything off but the formats; the same for a cache that the device encodes; and everything off but one format.
least="-DLLMQ_NO_BUNDLE=1 -DLLMQ_NO_STRINGS=1 -DLLMQ_NO_ACTIVATION_OPTIONS=1 -DLLMQ_MAX_STEPS=0"
off="-DLLMQ_NO_ENCODER=1 $least"
cache="-DLLMQ_NO_CALIBRATION=1 $least"
off_g4="$off -DLLMQ_FORMATS=LLMQ_WITH_G4"
variants=("" "-DNDEBUG" "-funsigned-char" "-DLLMQ_STATIC=1" "-DLLMQ_NO_ENCODER=1" "-DLLMQ_NO_CALIBRATION=1" "-DLLMQ_NO_BUNDLE=1"
    "-DLLMQ_NO_STRINGS=1" "-DLLMQ_NO_ACTIVATION_OPTIONS=1" "-DLLMQ_NO_ACTIVATION_OPTIONS=1 -DLLMQ_NO_ENCODER=1" "-DLLMQ_MAX_STEPS=1"
    "-DLLMQ_MAX_STEPS=0 -DLLMQ_NO_CALIBRATION=1" "-DLLMQ_MAX_STEPS=0 -DLLMQ_NO_ENCODER=1"
    "-DLLMQ_FORMATS=(LLMQ_WITH_ALL&~LLMQ_WITH_TRELLISES)" "-DLLMQ_FORMATS=(LLMQ_WITH_ALL&~LLMQ_WITH_TRELLISES) -DLLMQ_NO_ENCODER=1"
    "$off" "$off_g4" "-DLLMQ_STATIC=1 -DNDEBUG $off_g4")
[ $all ] || variants=("" "$off_g4")
for format in ${all:+BF16 G8 V2N64 U4 T3 T4S}; do
    variants+=("-DLLMQ_FORMATS=LLMQ_WITH_$format" "$cache -DLLMQ_FORMATS=LLMQ_WITH_$format" "$off -DLLMQ_FORMATS=LLMQ_WITH_$format")
done

# One line for all variants of a compiler and standard. gcc finds unused functions only when it generates code.
warnings() { # NAME COMPILER...
    local name=$1 v out
    shift
    if ! has "$1"; then skip "$name" "not installed"; return; fi
    for v in "${variants[@]}"; do
        out=$("$@" $v impl.c 2>&1) || { fail "$name $v" "$(why "$out")"; return; }
    done
    ok "$name, ${#variants[@]} configurations"
}

all_warnings() {
    local cc cxx std flags c99
    for cc in "${compilers[@]}"; do
        cxx=$(cxx_of "$cc")
        c99=-fsyntax-only
        is_clang "$cc" || c99="-S -o /dev/null"
        flags=$(strict_of "$cc")
        warnings "strict: $cc -std=c99" "$cc" -std=c99 $c99 $flags $only_c
        warnings "strict: $cxx -std=c++11" "$cxx" -x c++ -std=c++11 -fsyntax-only $flags
        [ $all ] || { check "strict: $cxx -std=c++17" "$cxx" -x c++ -std=c++17 -fsyntax-only $flags impl.c; continue; }
        for std in c11 c17; do
            check "strict: $cc -std=$std" "$cc" -std=$std -fsyntax-only $flags $only_c impl.c
            check "strict: $cc -std=$std, all off" "$cc" -std=$std -fsyntax-only $flags $only_c $off_g4 impl.c
        done
        for std in c++17 c++20; do
            check "strict: $cxx -std=$std" "$cxx" -x c++ -std=$std -fsyntax-only $flags impl.c
            check "strict: $cxx -std=$std, all off" "$cxx" -x c++ -std=$std -fsyntax-only $flags $off_g4 impl.c
        done
        check "strict: $cc -O2, all off" "$cc" -std=c11 -O2 $flags $only_c $off_g4 -c impl.c -o off.o
    done
}

# ---- d. Macros ----

macros() {
    local cc vectors=
    [ -e llmq_simd.h ] && vectors=", vectors"
    printf '#include <limits.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n' >before.c
    cat before.c impl.c >after.c
    [ -n "$vectors" ] && [ "$(uname -m)" = x86_64 ] && echo '#include <immintrin.h>' >>before.c # llmq_simd.h includes it
    for cc in "${compilers[@]}"; do
        "$cc" -dM -E before.c | sort >before.txt
        "$cc" -dM -E after.c | sort >after.txt
        empty "macros: $cc$vectors, foreign names" "$(comm -13 before.txt after.txt | awk '$2 !~ /^LLMQ_/ && $3 != "LLMQ_NAMED(" $2 ")" { print $2 }')"
        [ -n "$vectors" ] || empty "macros: $cc, lost or changed" "$(comm -23 before.txt after.txt | awk '{ print $2 }')"
        empty "macros: $cc$vectors, internal names" "$(awk '$2 ~ /^LLMQ__/ { print $2 }' after.txt)"
    done
}

# ---- f. Included twice, in any order, from C and C++, in one program ----

inclusion() {
    local cc cxx
    cat >one.c <<'END'
#include "llmq.h"
#include "llmq.h"
#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include "llmq.h"
int from_cpp(void);
int main(void) { return llmq_selftest() != LLMQ_OK || from_cpp() != 16; }
END
    cat >two.cpp <<'END'
#include "llmq.h"
#include "llmq.h"
extern "C" int from_cpp(void)
{
    llmq_format f;
    return llmq_format_find(&f, "g4", 128) == LLMQ_OK && llmq_row_size(&f, 128) == 66 ? static_cast<int>(f.n) : 0;
}
END
    for cc in "${compilers[@]}"; do
        cxx=$(cxx_of "$cc")
        has "$cxx" || { skip "inclusion: $cxx" "not installed"; continue; }
        check "inclusion: $cc and $cxx" eval "$cc $strict -c one.c -o one.o && $cxx $strict -c two.cpp -o two.o &&
            $cxx one.o two.o -o two && ./two"
    done
}

# ---- g and j. The text of the header ----

texts() {
    awk '/A WHOLE PROGRAM/ { on = 1; next } /^   [A-Z]/ { on = 0 } on' llmq.h | sed 's/^       //' |
        sed '1{/^$/d};${/^$/d}' >snippet.c
    if cmp -s snippet.c hello.c; then ok "the program in the header is examples/hello.c"
    else fail "the program in the header is examples/hello.c" "$(diff snippet.c hello.c | sed -n 2p)"; fi
    check "binding counts of style.py" eval "'${PYTHON:-python3}' '$root/tests/style.py' text 2>&1 >/dev/null"
}

# ---- h. Environments that change float arithmetic are noticed ----

write_selftest() {
    cat >self.c <<'END'
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include <fenv.h>
#include <stdio.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#define FLUSH(bits) _mm_setcsr(_mm_getcsr() | (bits))
#else
#define FLUSH(bits) (void)(bits)
#endif
int main(int argc, char **argv)
{
    char mode = argc > 1 ? argv[1][0] : '-';
    if (mode == 'u') fesetround(FE_UPWARD);
    if (mode == 'd') fesetround(FE_DOWNWARD);
    if (mode == 'z') fesetround(FE_TOWARDZERO);
    if (mode == 'f') FLUSH(0x8000u);
    if (mode == 'b') FLUSH(0x8040u);
    printf("%d", llmq_selftest() == LLMQ_OK ? 0 : llmq_selftest() == LLMQ_E_INEXACT ? 1 : 2);
    return 0;
}
END
}

selftest() { # NAME EXPECTED(0 or 1) MODE COMPILER...
    local name=$1 expected=$2 mode=$3 out
    shift 3
    if ! has "$1"; then skip "$name" "not installed"; return; fi
    local program="self $*"
    program=./${program// /_}
    if [ ! -e "$program" ] && ! out=$("$@" self.c -o "$program" -lm 2>&1); then fail "$name" "$(why "$out")"; return; fi
    out=$("$program" "$mode")
    if [ "$out" = "$expected" ]; then ok "$name"
    else fail "$name" "llmq_selftest gives $out, not $expected (0: OK, 1: INEXACT)"; fi
}

inexact() {
    local cc out mode fma= sse=
    grep -qw fma /proc/cpuinfo 2>/dev/null && fma=1
    echo | "${compilers[0]}" -dM -E - | grep -q __SSE2__ && sse=1
    write_selftest
    for cc in "${compilers[@]}"; do
        selftest "selftest: $cc" 0 - "$cc"
        selftest "selftest: $cc -O2" 0 - "$cc" -O2
        [ $all ] && selftest "selftest: $cc -O3 -march=native -std=gnu11" 0 - "$cc" -O3 -march=native -std=gnu11
        for mode in up down zero; do selftest "selftest: $cc -O2, rounding $mode" 1 $mode "$cc" -O2; done
        if [ $sse ]; then
            selftest "selftest: $cc -O2, results flushed to zero" 1 f "$cc" -O2
            selftest "selftest: $cc -O2, all flushed to zero" 1 b "$cc" -O2
        fi
        if is_clang "$cc" && [ $fma ] && [ $sse ]; then
            selftest "selftest: $cc -march=haswell -ffp-contract=fast" 1 - "$cc" -O2 -march=haswell -ffp-contract=fast
        fi
        refused "$cc" ffast-math -ffast-math
        check "$cc -ffast-math, LLMQ_ALLOW_INEXACT" "$cc" -ffast-math -DLLMQ_ALLOW_INEXACT=1 -fsyntax-only impl.c
    done
    selftest "selftest: tcc" 0 - tcc
    if [ $m32 ]; then
        selftest "selftest: gcc -m32 -msse2 -mfpmath=sse" 0 - gcc -O2 -m32 -msse2 -mfpmath=sse
        selftest "selftest: gcc -m32 -mfpmath=387" 1 - gcc -O2 -m32 -mfpmath=387
        selftest "selftest: gcc -m32 -mfpmath=387 -O0" 1 - gcc -m32 -mfpmath=387
    else
        skip "selftest: gcc -m32" "no 32-bit libraries"
    fi
}

# ---- i. The same bits ----

# It goes through every part of the library and prints a checksum; with an argument, it writes its bundle to that file.
# Its own arithmetic is exact, so that only the library's is tested.
write_bits() {
    cat >bits.c <<'END'
#include "llmq.h"
#include <stdio.h>
#include <string.h>
#define ROWS 3
#define COLS 332 /* 320 = 20 x 16, a Paley block, and 12 */
static float w[ROWS][COLS], x[COLS], out[COLS], y[ROWS], work[40000], memory[2 * COLS];
static unsigned char data[32][ROWS * COLS * 4], rot[12], book[12 + 64], bundle[80000];
static int8_t points[64];
static llmq_entry entry[36];
#include "sum.h"
static int use(const llmq_tensor *t)
{
    llmq_activation a;
    uint32_t bits;
    for (bits = t->format.points ? 8 : 32; bits <= 32; bits += 24) {
        if (llmq_activation_prepare(&a, t, bits, x, memory, sizeof memory) || llmq_matvec(t, &a, 0, ROWS, y)) return 1;
        sum(a.x, sizeof x);
        if (a.q) sum(a.q, COLS), sum(a.scale, 4 * ((COLS + a.group - 1) / a.group));
        sum(y, sizeof y);
    }
    if (llmq_tensor_decode(t, 1, out, work, sizeof work)) return 2;
    sum(out, sizeof out);
    if (llmq_matvec_transposed(t, x, 0, ROWS, out, work, sizeof work)) return 3;
    sum(out, sizeof out);
    return 0;
}
static int add(uint32_t i, const llmq_format *f, const llmq_transform *rotate)
{
    static char name[32][8];
    llmq_encode_options o = { 0, NULL, NULL, 0 };
    llmq_tensor t;
    size_t size = llmq_tensor_size(f, ROWS, COLS);
    o.effort = (int)(i % 3);
    if (llmq_tensor_init(&t, f, i % 4 ? rotate : NULL, ROWS, COLS, data[i], size)) return 4;
    if (llmq_encode(&t, data[i], 0, ROWS, w[0], COLS, &o, work, sizeof work, NULL)) return 5;
    sum(data[i], size);
    name[i][0] = 't', name[i][1] = (char)('a' + i);
    entry[i].name = name[i], entry[i].kind = LLMQ_KIND_TENSOR, entry[i].data = data[i], entry[i].size = size;
    entry[i].format = *f, entry[i].rows = ROWS, entry[i].cols = COLS, entry[i].t2 = -1.0f;
    entry[i].transform = i % 4 ? "rot" : NULL, entry[i].grid = f->id == LLMQ_FORMAT_CUSTOM ? "book" : NULL;
    return use(&t);
}
int main(int argc, char **argv)
{
    llmq_transform rotate = llmq_transform_hadamard(5, 512);
    llmq_format f;
    const llmq_grid_options grid = { 3, 13, 96, 7, 2000, 6, NULL, NULL };
    uint32_t i, k, n = 0;
    size_t size = sizeof rot, book_size = sizeof book;
    int bad = 0;
    FILE *file;
    for (i = 0; i < ROWS; i++)
        for (k = 0; k < COLS; k++) w[i][k] = (float)(int32_t)(llmq_random(i, k) >> 8) / 16777216.0f - 0.5f;
    for (k = 0; k < COLS; k++) x[k] = (float)(int32_t)(llmq_random(9, k) >> 8) / 8388608.0f - 1.0f;
    for (n = 0; llmq_format_at(&f, n) == LLMQ_OK && !bad; n++) {
        if (f.points) f.group = n % 2 ? 64 : 0;
        bad = add(n, &f, &rotate);
    }
    if (bad || llmq_grid_train(&f, &grid, points, sizeof points, work, sizeof work)) return 6;
    sum(points, sizeof points), sum(&f.unit, 4);
    bad = add(n++, &f, &rotate);
    if (bad || llmq_transform_store(&rotate, rot, &size) || llmq_grid_store(&f, book, &book_size)) return 7;
    entry[n].name = "rot", entry[n].kind = LLMQ_KIND_TRANSFORM, entry[n].data = rot, entry[n++].size = size;
    entry[n].name = "book", entry[n].kind = LLMQ_KIND_GRID, entry[n].data = book, entry[n++].size = book_size;
    entry[n].name = "zoo", entry[n].kind = LLMQ_KIND_VALUE, entry[n].type = LLMQ_VALUE_TEXT;
    entry[n].data = "gnu", entry[n++].size = 3;
    if (llmq_bundle_write_memory(entry, n, bundle, sizeof bundle)) return 8;
    size = llmq_bundle_size(entry, n);
    sum(bundle, size);
    if (argc > 1 && ((file = fopen(argv[1], "wb")) == NULL || fwrite(bundle, 1, size, file) != size || fclose(file))) return 9;
    printf("%08lx", (unsigned long)crc);
    return 0;
}
END
}

bits() { # NAME COMPILER AND FLAGS (of implementation or its object) -- FLAGS OF bits.c
    local name=$1 out
    shift
    if ! has "$1"; then skip "$name" "not installed"; return; fi
    if ! out=$("$@" -o bits 2>&1); then fail "$name" "$(why "$out")"; return; fi
    ./bits bits.llmq >bits.new || { fail "$name" "status $?"; return; }
    [ -e bits.out ] || cp bits.new bits.out
    same "$name" bits.out bits.new
}

same_bits() {
    local cc cxx level
    write_bits
    for cc in "${compilers[@]}"; do
        cxx=$(cxx_of "$cc")
        "$cc" -c bits.c -o bits.o || continue
        for level in $(levels_of "$cc"); do # the objects of b
            bits "bits: $cc -std=c99 $level" "$cc" -no-pie bits.o "$cc$level.o"
        done
        [ $all ] || continue
        bits "bits: $cc -std=gnu11 -O3 -march=native" "$cc" -std=gnu11 -O3 -march=native impl.c bits.o
        bits "bits: $cxx -Os -march=native" "$cxx" -Os -march=native -x c++ impl.c -x none bits.o
    done
    bits "bits: tcc" tcc impl.c bits.c
    [ $all ] || return
    if [ $m32 ]; then bits "bits: gcc -m32 -O2 -msse2 -mfpmath=sse" gcc -m32 -O2 -msse2 -mfpmath=sse impl.c bits.c
    else skip "bits: gcc -m32" "no 32-bit libraries"; fi
}

# ---- Two ways of reading and writing a bundle ----

python_bundles() {
    if ! has python3; then skip "bundles in Python" "not installed"; return; fi
    check "Python reads the bundle of C" python3 "$root/tests/gen/bundle.py" dump bits.llmq
    check "tests/vectors/golden.h can be made again" eval "python3 '$root/tests/gen/bundle.py' golden - | cmp - '$root/tests/vectors/golden.h'"
}

# ---- k. With the vector kernels ----

# Objects of b, and the same bits from them as from the scalar kernels alone, at this level in C and C++.
simd_objects() { # CC LEVEL
    local cc=$1 level=$2 cxx out
    cxx=$(cxx_of "$cc")
    object "$cc" "$level" ""
    bits "bits: $cc $level" "$cc" -no-pie bits.o "$cc$level.o"
    has "$cxx" || { skip "bits: $cxx $level" "not installed"; return; }
    if [ ! $all ]; then
        check "strict: $cc -std=c11" "$cc" -std=c11 -fsyntax-only $(strict_of "$cc") $only_c impl.c
        check "strict: $cxx -std=c++11" "$cxx" -x c++ -std=c++11 -fsyntax-only $(strict_of "$cxx") impl.c
        return
    fi
    out=$(compiled "$cxx" "$level" "" 2>&1)
    if [ -z "$out" ]; then ok "strict: $cxx -std=c++11 $level"; else fail "strict: $cxx -std=c++11 $level" "$(why "$out")"; fi
    bits "bits: $cxx $level" "$cxx" -no-pie bits.o "$cxx$level.o"
}

vector_kernels() {
    local cc level
    write_bits
    "${compilers[0]}" -c bits.c -o bits.o || return
    bits "bits: ${compilers[0]}, scalar" "${compilers[0]}" -O1 -DLLMQ_SIMD=0 impl.c bits.o
    for cc in "${compilers[@]}"; do
        for level in -O2 ${all:+-O0 -O3 -Os}; do simd_objects "$cc" $level; done
        [ $all ] && bits "bits: $cc -std=gnu11 -O3 -march=native" "$cc" -std=gnu11 -O3 -march=native impl.c bits.o
    done
    printf '#include "llmq.h"\n#include <stdio.h>\nint main(void) { printf("%%s", llmq_kernels_best()->name); return 0; }\n' >names.c
    check "the best table has a name" eval "${compilers[0]} -no-pie names.c ${compilers[0]}-O2.o -o bits_names && ./bits_names"
    [ "$(uname -m)" = x86_64 ] && check "a table is found by itself" test "$(./bits_names)" != scalar
    macros
    for cc in ${all:+"${compilers[@]}"}; do
        check "static: $cc" eval "$cc -std=c99 -Wall -Wextra -Werror -S -o /dev/null -DLLMQ_STATIC=1 impl.c"
        check "each set alone: $cc" eval "$cc -std=c99 -Wall -Wextra -Werror -fsyntax-only -DLLMQ_SIMD_AVX512=0 -DLLMQ_SIMD_AVXVNNI=0 impl.c &&
            $cc -std=c99 -Wall -Wextra -Werror -fsyntax-only -DLLMQ_SIMD_SSSE3=0 impl.c &&
            $cc -std=c99 -Wall -Wextra -Werror -fsyntax-only -DLLMQ_SIMD_AVX2=0 impl.c &&
            $cc -std=c99 -Wall -Wextra -Werror -fsyntax-only -DLLMQ_NO_ENCODER=1 impl.c &&
            $cc -std=c99 -Wall -Wextra -Werror -S -o /dev/null $cache -DLLMQ_FORMATS=LLMQ_WITH_T3 impl.c &&
            $cc -std=c99 -Wall -Wextra -Werror -S -o /dev/null $off_g4 impl.c"
    done
}

# Symbols, macros and warnings of both headers, for the counts of tests/style.py.
names() {
    local cc cxx
    for cc in "${compilers[@]}"; do object "$cc" -O0 ""; done
    macros
    vectors
    macros
    for cc in "${compilers[@]}"; do
        cxx=$(cxx_of "$cc")
        check "strict: $cc -std=c99, vectors" "$cc" -std=c99 -fsyntax-only $(strict_of "$cc") $only_c impl.c
        if has "$cxx"; then check "strict: $cxx -std=c++11, vectors" "$cxx" -x c++ -std=c++11 -fsyntax-only $(strict_of "$cxx") impl.c; fi
    done
}

builds() {
    hello_programs
    freestanding
    refusals
    configurations
    [ $all ] && trellises
    stripped
    inclusion
    inexact
}

refusals() {
    refused "${compilers[0]}" LLMQ_MEMSET -DLLMQ_MEMCPY=f
    refused "${compilers[0]}" LLMQ_MEMSET -DLLMQ_MEMSET=f
    refused "${compilers[0]}" LLMQ_MAX_STEPS -DLLMQ_MAX_STEPS=0
    refused "${compilers[0]}" LLMQ_MAX_STEPS -DLLMQ_MAX_STEPS=9
    refused "${compilers[0]}" LLMQ_FORMATS -DLLMQ_FORMATS=0
    refused "${compilers[0]}" LLMQ_FORMATS -DLLMQ_FORMATS=0x100000
    refused "${compilers[0]}" LLMQ_FORMATS -DLLMQ_FORMATS=~LLMQ_WITH_TRELLISES
    refused "${compilers[0]}" LLMQ_FORMATS -DLLMQ_FORMATS=LLMQ_WITH_G7
    refused "${compilers[0]}" LLMQ_FORMATS -DLLMQ_NO_TRELLIS=1
    check "refused: a format that there is not, beside one that there is" eval \
        "! ${compilers[0]} -fsyntax-only '-DLLMQ_FORMATS=(LLMQ_WITH_G4|LLMQ_WITH_G7)' impl.c"
}

case $part in
object)
    vectors
    compiled "$1" "$level" "" "${flags[@]}" 2>"$objects/$1$level.warnings"
    cat "$objects/$1$level.warnings"
    cp "$1$level.o" "$objects/"
    exit ;;
names) names ;;
builds | "") builds ;;&
objects | "")
    objects
    frames
    macros
    texts
    same_bits
    python_bundles ;;&
warnings | "") all_warnings ;;&
simd | "")
    part=simd
    vectors
    vector_kernels ;;
esac
echo "hygiene: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
