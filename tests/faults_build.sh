#!/bin/bash
# faults_build.sh [all] - reported faults of how the headers are compiled, linked and configured, each by its id
#   all: more levels of optimisation, all vector kernels, and what takes long
# What a check needs and is not installed is said and skipped.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/check.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
mode=${1:-quick}

has() { command -v "$1" > /dev/null || { echo "skipped: $1 is not installed"; return 1; }; }
compilers=()
for cc in gcc clang; do has $cc && compilers+=($cc); done
[ ${#compilers[@]} -gt 0 ] || { echo "faults_build: no compiler"; exit 2; }
cc=${compilers[0]}
cxx_of() { case $1 in *clang*) echo "${1/clang/clang++}" ;; *) echo "${1/gcc/g++}" ;; esac; }
all() { [ "$mode" = all ]; }
fails() { ! "$@"; } # what must not succeed
empty() { [ -z "$*" ] || { echo "$*"; return 1; }; }

cp "$root/llmq.h" "$root/llmq_simd.h" .
printf '#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' > impl.c
scalar=-DLLMQ_SIMD=0
few="$scalar -DLLMQ_NO_ENCODER=1 -DLLMQ_FORMATS=0x8827" # raw g4 u4 t3: compiles in half a second
tiny="$scalar -DLLMQ_NO_ENCODER=1 -DLLMQ_FORMATS=0x20 -DLLMQ_NO_BUNDLE=1 -DLLMQ_NO_STRINGS=1 -DLLMQ_MAX_STEPS=0 -DLLMQ_NO_ACTIVATION_OPTIONS=1"
avx2="-DLLMQ_SIMD_SSSE3=0 -DLLMQ_SIMD_AVX512=0 -DLLMQ_SIMD_AVXVNNI=0"                                    # where intrinsics are miscompiled

# ---- L2: what a compiler gets wrong is right, or is noticed ----

cat > self.c <<'E'
#define LLMQ_STATIC 1
#define LLMQ_IMPLEMENTATION
#include "llmq.h"
#include <stdio.h>
int main(void) { printf("%d", llmq_selftest() == LLMQ_OK ? 0 : llmq_selftest() == LLMQ_E_INEXACT ? 1 : 2); return 0; }
E
selftest() { # EXPECTED (0: OK, 1: INEXACT) COMPILER...
    local expected=$1 got; shift
    rm -f self
    "$@" -w self.c -o self || return 1
    got=$(./self)
    [ "$got" = "$expected" ] || { echo "llmq_selftest gives $got, not $expected"; return 1; }
}
unsigned() { # COMPILER AND FLAGS: the suite of kernels, where char is unsigned
    "$@" -std=c11 -funsigned-char "$root/tests/test_faults_kernels.c" -o kernels && ./kernels
}
# A kernel that is miscompiled, as gcc 12 did: bytes of the mask are taken for numbers that are never negative.
miscompiled() {
    mkdir -p planted && cp llmq.h planted && cp self.c planted
    sed '/^LLMQ__INLINE_TARGET __m256i llmq__blend_avx2(/,/^}/ s/^#if .*/#if 1/; /^LLMQ__INLINE_TARGET __m256i llmq__blend_avx2(/,/^}/ s/    __asm__.*/    v = a, (void)b, (void)mask;/' llmq_simd.h > planted/llmq_simd.h
    cmp -s llmq_simd.h planted/llmq_simd.h && { echo "nothing was planted"; return 1; }
    (cd planted && selftest 1 $cc -O0 $avx2)
}
check "the known answers are those of the text" python3 "$root/tests/gen/selftest.py" check
if grep -qw avx2 /proc/cpuinfo 2> /dev/null; then
    check "-funsigned-char: $cc -O0, AVX2, selftest" selftest 0 $cc -O0 -funsigned-char $avx2
    all && check "-funsigned-char: $cc -O1, AVX2" unsigned $cc -O1 $avx2
    check "a miscompiled kernel is noticed" miscompiled
else
    echo "skipped: this processor has no AVX2"
    check "-funsigned-char: $cc -O0" unsigned $cc -O0 $scalar
fi
all && for c in "${compilers[@]}"; do check "-funsigned-char: $c -O2, all tables" unsigned $c -O2; done
for c in "${compilers[@]}"; do
    all || [ $c = $cc ] || continue
    check "-funsigned-char: $c, warnings" $c -std=c99 -funsigned-char -fsyntax-only -Wall -Wextra -Wconversion -Wsign-conversion -Werror impl.c
done
fault L2

# ---- L3: files that do not fit together do not link; those that link lie in memory in the same way ----

cat > user.c <<'E'
#include "llmq.h"
#ifdef __cplusplus
extern "C"
#endif
int user(const void *record, size_t size);
int user(const void *record, size_t size)
{
    llmq_format f;
    llmq_tensor t;
    if (llmq_format_find(&f, "g4", 128) || llmq_tensor_init(&t, &f, NULL, 1, 128, record, size)) return 1;
    return t.rows != 1 || t.cols != 128 || t.row_size != 66 || !t.kernels || !t.kernels->name[0] || llmq_kernels_at(0)->features
           || !llmq_kernels_at(0)->add_scaled || !llmq_kernels_at(0)->rows_f32;
}
E
cat > main.c <<'E'
#include <stddef.h>
int user(const void *record, size_t size);
static const unsigned char record[66] = { 0 };
int main(void) { return user(record, sizeof record); }
E
# pair COMPILER "FLAGS OF THE IMPLEMENTATION" "FLAGS OF THE USER": builds it and runs it
pair() {
    local c=$1 l=$1; rm -f both
    [ "${4:-}" ] && l=$4
    $c -w $few $2 -c impl.c -o impl.o && $c -w $3 -c user.c -o user.o && $c -w -c main.c -o main.o && $l impl.o user.o main.o -o both && ./both
}
for c in "${compilers[@]}"; do
    check "$c: equal LLMQ_MAX_STEPS" pair $c "" "" && check "$c: LLMQ_MAX_STEPS 8, implementation" says 'LLMQ_MAX_STEPS_0' pair $c "" -DLLMQ_MAX_STEPS=0
    check "$c: LLMQ_MAX_STEPS 0, implementation" says 'LLMQ_MAX_STEPS_8' pair $c -DLLMQ_MAX_STEPS=0 ""
    check "$c: LLMQ_MAX_STEPS 2 and 3" says 'LLMQ_MAX_STEPS_3' pair $c -DLLMQ_MAX_STEPS=2 -DLLMQ_MAX_STEPS=3
    check "$c: LLMQ_MAX_STEPS 2 and (1+1)" pair $c -DLLMQ_MAX_STEPS=2 "-DLLMQ_MAX_STEPS=(1+1)"
    check "$c: the user with the encoder" pair $c "" -DLLMQ_NO_ENCODER=0
done
check "the user without encoder, calibration, most formats, bundle" eval "$cc -w $scalar -O0 -c impl.c -o impl.o &&
    $cc -w -DLLMQ_NO_ENCODER=1 -DLLMQ_NO_CALIBRATION=1 -DLLMQ_NO_BUNDLE=1 -DLLMQ_NO_ACTIVATION_OPTIONS=1 -DLLMQ_FORMATS=LLMQ_WITH_T3 -c user.c -o user.o &&
    $cc impl.o user.o main.o -o both && ./both"
check "C++ beside C" eval "$cc -w $few -c impl.c -o impl.o && $(cxx_of $cc) -w -x c++ -c user.c -o user.o && $(cxx_of $cc) impl.o user.o main.o -o both && ./both"
mkdir -p older && sed 's/^#define LLMQ_VERSION_MINOR .*/#define LLMQ_VERSION_MINOR 99/' llmq.h > older/llmq.h
older() { $cc -w $few -c impl.c -o impl.o && $cc -w -Iolder -c -x c - -o user.o < user.c && $cc impl.o user.o main.o -o both; }
sed -i 's/"llmq.h"/<llmq.h>/' user.c # so that -I decides
check "another version of the header" says 'LLMQ_VERSION_[0-9]+_99' older
sed -i 's/<llmq.h>/"llmq.h"/' user.c
other_patch() { mkdir -p patch && cp llmq_simd.h impl.c patch && sed 's/^#define LLMQ_VERSION_PATCH .*/#define LLMQ_VERSION_PATCH 77/' llmq.h > patch/llmq.h && (cd patch && $cc -Wfatal-errors -fsyntax-only impl.c); }
check "llmq_simd.h of another patch" says 'llmq.h and llmq_simd.h are of different versions' other_patch

# Where every member of every struct lies, in each configuration that shares LLMQ_MAX_STEPS.
cat > layout.py <<'E'
import re
text = open("llmq.h").read()
text = text[text.index("#ifndef LLMQ_H"):text.index("#endif /* LLMQ_H */")]
text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
# The same text, in which each struct is followed by a list of its members: a macro's conditions then hold for both.
def lists(m):
    name, members = m.group(2) or m.group(3), []
    for statement in re.sub(r"^#.*$", "", m.group(1) or m.group(4), flags=re.M).split(";"):
        pointer = re.search(r"\(\*(\w+)\)\(", statement)
        parts = statement.split(",") if statement.strip() and not pointer else []
        members += [pointer.group(1)] if pointer else [re.findall(r"\w+", re.sub(r"\[.*?\]", "", p))[-1] for p in parts]
    kind = name if m.group(2) else "struct " + name
    rows = "".join('    { "%s.%s", offsetof(%s, %s) },\n' % (name, v, kind, v) for v in members)
    return m.group(0) + '\nstatic const struct place at_%s[] = {\n    { "%s", sizeof(%s) },\n%s    { 0, 0 }\n};\n#define AT_%s\n' % (name, name, kind, rows, name)
text = re.sub(r"typedef struct llmq_\w+ \{(.*?)\n\} (llmq_\w+);|^struct (llmq_\w+) \{(.*?)\n\};", lists, text, flags=re.S | re.M)
print('#include <stddef.h>\n#include <stdio.h>\nstruct place { const char *name; size_t at; };\n' + text + "#endif\nint main(void)\n{\n    const struct place *p;")
for name in dict.fromkeys(re.findall(r"^#define AT_(\w+)", text, re.M)):
    print('#ifdef AT_%s\n    for (p = at_%s; p->name; p++) printf("%%s %%u\\n", p->name, (unsigned)p->at);\n#endif' % (name, name))
print("    return 0;\n}")
E
python3 layout.py > layout.c
layout() {
    $cc -w "$@" layout.c -o layout && ./layout | sort > layout.new || return 1
    [ "$(wc -l < layout.new)" -ge 60 ] || { echo "only $(wc -l < layout.new) members"; return 1; }
    [ -e layout.out ] || cp layout.new layout.out
    join layout.out layout.new | awk '$2 != $3 { print $1, $2, $3; bad = 1 } END { exit bad }'
}
check "layout: default" layout
for flags in -DLLMQ_NO_ENCODER=1 -DLLMQ_NO_CALIBRATION=1 -DLLMQ_FORMATS=LLMQ_WITH_G4 -DLLMQ_NO_BUNDLE=1 -DLLMQ_NO_STRINGS=1 -DLLMQ_NO_ACTIVATION_OPTIONS=1 \
    -DLLMQ_STATIC=1 -DLLMQ_ALLOW_INEXACT=1 "-DLLMQ_NO_ENCODER=1 -DLLMQ_FORMATS=LLMQ_WITH_F32 -DLLMQ_NO_BUNDLE=1 -DNDEBUG"; do
    check "layout: $flags" layout $flags
done

# Each function whose declaration names a struct has a name that carries version and LLMQ_MAX_STEPS, and no other has.
named() {
    python3 - <<'E'
import re, sys
text = open("llmq.h").read()
text = text[text.index("#ifndef LLMQ_H"):text.index("#endif /* LLMQ_H */")]
text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
structs = set(re.findall(r"(?:typedef struct|struct) (llmq_\w+)", text))
functions = re.findall(r"LLMQ_API\s+([^;{]*?)\b(llmq_\w+)\(([^;]*)\);", text)
need = {n for r, n, a in functions if structs & set(re.findall(r"\w+", r + " " + a))}
have = set(re.findall(r"^#define (llmq_\w+) LLMQ_NAMED\(\1\)$", text, re.M))
if need != have or len(need) < 50:
    sys.exit("llmq.h: #define NAME LLMQ_NAMED(NAME) is missing for %s, and not needed for %s" % (sorted(need - have), sorted(have - need)))
E
}
check "names of functions that take structs" named
microsoft() {
    clang --target=x86_64-pc-windows-msvc -ffreestanding -fms-extensions -w -S -emit-llvm $scalar -x c - -o - <<< '#include "llmq.h"' | grep -o 'FAILIFMISMATCH:[^"]*' | sort | tr -d '\\' > directives
    cat directives
    grep -q 'LLMQ_MAX_STEPS=8' directives && grep -q 'LLMQ_VERSION_MAJOR=[0-9]' directives && grep -q 'LLMQ_VERSION_MINOR=[0-9]' directives
}
has clang && check "the linker of MSVC is told" microsoft
fault L3

# ---- L4: flags that change arithmetic ----

inexact() { # COMPILER FLAGS...: refused in words, or noticed by llmq_selftest
    local out
    if out=$("$@" $tiny -Wfatal-errors -fsyntax-only impl.c 2>&1); then selftest 1 "$@" $tiny; else grep -q 'llmq: .*breaks the promise of equal bits' <<< "$out" || { echo "$out"; return 1; }; fi
}
for c in "${compilers[@]}"; do
    for level in -O2 $(all && echo -O1 -O3 -Os); do
        check "$c $level" selftest 0 $c $level $tiny
        check "$c $level, harmless flags" selftest 0 $c $level $tiny -fno-trapping-math -fno-math-errno
        check "$c $level -freciprocal-math" inexact $c $level -freciprocal-math
        check "$c $level -fassociative-math" inexact $c $level -fassociative-math -fno-signed-zeros -fno-trapping-math
        check "$c $level -ffast-math" inexact $c $level -ffast-math
        check "$c $level -funsafe-math-optimizations" inexact $c $level -funsafe-math-optimizations
        check "$c $level -fno-signed-zeros" inexact $c $level -fno-signed-zeros
        check "$c $level -ffinite-math-only" inexact $c $level -ffinite-math-only
    done
    check "$c -ffast-math, LLMQ_ALLOW_INEXACT" $c -ffast-math -DLLMQ_ALLOW_INEXACT=1 $tiny -fsyntax-only impl.c
done
if has clang; then check "clang -fno-honor-nans" inexact clang -O2 -fno-honor-nans; fi
check "/fp:fast" says 'fp:fast' $cc -D_M_FP_FAST=1 $tiny -fsyntax-only impl.c
fault L4

# ---- L5: everyday words are macros in other headers ----

printf '#include "%s/tests/poison.h"\n#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' "$root" > poisoned.c
for c in "${compilers[@]}"; do
    if all || [ $c = gcc ]; then check "poison.h: $c" $c -std=c99 -w -fsyntax-only poisoned.c; fi
    all && check "poison.h: $c, GNU C" $c -std=gnu17 -w -fsyntax-only poisoned.c
    if all || [ $c = clang ]; then has "$(cxx_of $c)" && check "poison.h: $(cxx_of $c)" "$(cxx_of $c)" -x c++ -std=c++17 -w -fsyntax-only poisoned.c; fi
done
for c in "arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb" "arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=auto" "arm-none-eabi-gcc -mcpu=cortex-m55 -mthumb -mfloat-abi=hard"; do
    has ${c%% *} && check "poison.h: $c" $c -std=c99 -w -fsyntax-only poisoned.c
done
poison_works() { sed 's/^static float llmq__bits_float(uint32_t u)/static float llmq__bits_float(uint32_t far)/' llmq.h > far.h && printf '#include "%s/tests/poison.h"\n#define LLMQ_IMPLEMENTATION\n#include "far.h"\n' "$root" > far.c && fails $cc $scalar -w -fsyntax-only far.c; }
check "poison.h poisons" poison_works
printf '#include <windows.h>\n#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' > windows.c
for c in x86_64-w64-mingw32-g++ $(all && echo x86_64-w64-mingw32-gcc); do
    has $c || continue
    lang=c; [[ $c = *++ ]] && lang=c++
    check "$c, behind windows.h" $c -x $lang -w -fsyntax-only $(all || echo $tiny) windows.c
    all || continue
    check "$c, warnings" $c -x $lang -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror -fsyntax-only impl.c
    check "$c, an object" $c -x $lang -w -O1 $few -c impl.c -o mingw.o
done
fault L5

# ---- L11: the frames that the text tells of ----

stated() { tr '\n' ' ' < llmq.h | tr -s ' ' | grep -oE "$1" | head -1 | grep -oE '[0-9]+$'; }
frames() { # COMPILER LEVEL STATED: the largest frame is that, or up to 64 bytes less
    local most
    [ "${3:-}" ] || { echo "the text says nothing"; return 1; }
    $1 -std=c99 $2 -w $scalar $frames_of -fstack-usage -c impl.c -o frames.o || return 1
    most=$(sort -t$'\t' -k2nr frames.su | head -1)
    echo "$most, stated: $3"
    most=$(cut -f2 <<< "$most")
    [ "$most" -le "$3" ] && [ "$most" -gt $(($3 - 64)) ]
}
frames_of=$(all || echo -DLLMQ_NO_CALIBRATION=1 -DLLMQ_NO_BUNDLE=1 -DLLMQ_FORMATS=0x8827) # the encoder has the largest
if [ "$(uname -m)" = x86_64 ]; then
    is() { $1 -dumpversion 2> /dev/null | grep -q "^$2\b" || { echo "skipped: the text has frames of $1 $2"; return 1; }; }
    if is clang 14; then
        check "frames: clang -O2" frames clang -O2 "$(stated 'clang 14 at -O2 up to [0-9]+')"
        all && check "frames: clang -O3" frames clang -O3 "$(stated 'clang 14 at -O2 up to [0-9]+, at -O3 up to [0-9]+')"
        all && check "frames: clang -Os" frames clang -Os "$(stated 'clang 14 at -O2 up to [0-9]+, at -O3 up to [0-9]+, at -Os up to [0-9]+')"
    fi
    all && is gcc 12 && check "frames: gcc -O3" frames gcc -O3 "$(stated 'gcc 12 at -O3 up to [0-9]+')"
fi
fault L11

# ---- L12: one version ----

check "versions" "${PYTHON:-python3}" "$root/tests/style.py" versions_apart
fault L12

# ---- L14: a shared library that hides its symbols ----

exported() { # FLAGS: symbols that the library has
    $cc -w -O0 -fPIC -shared -fvisibility=hidden $scalar "$@" impl.c -o libllmq.so && nm -D --defined-only libllmq.so | awk '$3 ~ /^llmq_[^_]/' | wc -l
}
public=$(grep -c '^LLMQ_.*\bLLMQ_API\b.*(\|^LLMQ_API .*(' <(sed '/^#endif \/\* LLMQ_H \*\//q' llmq.h))
check "hidden unless told" test "$(exported)" = 0
check "LLMQ_API preset: $public functions" test "$(exported '-DLLMQ_API=__attribute__((visibility("default")))')" = "$public"
fault L14

# ---- L15: without a library ----

# The lines of C that the text gives.
sed -n '/LLMQ_MEMCPY, LLMQ_MEMSET   both/,/^   LLMQ_API /p' llmq.h | sed -n 's/^ \{28\}//p' > lines.c
printf '#include <stddef.h>\n#define LLMQ_MEMCPY __builtin_memcpy\n#define LLMQ_MEMSET __builtin_memset\n' > bare.c
cat impl.c lines.c >> bare.c
echo 'void _start(void); void _start(void) { for (;;) if (llmq_selftest() != LLMQ_OK) break; }' >> bare.c
bare() { $1 -ffreestanding -O2 -Wall -Wextra -Werror $(all && echo $scalar || echo $few) -nostdlib bare.c -lgcc -o bare.elf; }
check "the lines are there" test "$(grep -c . lines.c)" -ge 12
for c in "riscv64-unknown-elf-gcc -march=rv32imac -mabi=ilp32" "arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb"; do
    has ${c%% *} && check "linked without a library: $c" bare "$c" && { all || break; }
done
fault L15

# ---- L18: warnings of C++17 ----

# -Wold-style-cast: a header of C has casts of C; a pragma says so to those who ask for the warning.
strict="-std=c++17 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wzero-as-null-pointer-constant -Wfloat-equal -Wold-style-cast -Werror"
printf '#include "llmq.h"\nint main() { return LLMQ_MAX_COLS == 0; }\n' > uses.cpp
for c in "${compilers[@]}"; do
    cxx=$(cxx_of $c)
    has $cxx || continue
    useless=; [ $cxx = g++ ] && useless=-Wuseless-cast
    check "$cxx: the implementation" $cxx -x c++ $strict $useless $(all || [ $cxx = g++ ] || echo $scalar) impl.c
    check "$cxx: a file that includes it" $cxx -x c++ $strict $useless uses.cpp
    all && check "$cxx: without encoder and steps" $cxx -x c++ $strict $useless -DLLMQ_NO_ENCODER=1 -DLLMQ_MAX_STEPS=0 impl.c
    all && check "$cxx: static" $cxx -x c++ $strict $useless -DLLMQ_STATIC=1 impl.c
done
fault L18

# ---- L19: editors find functions ----

# Of llmq.h all that a compiler finds; of llmq_simd.h all whose names are written out, for templates make the others.
tags() { # CTAGS HEADER
    local missing
    $1 -f tags "$2" 2> /dev/null && awk -F'\t' '$4 == "f" { print $1 }' tags | sort -u > found
    missing=$(comm -23 "functions.$2" found)
    echo "$(wc -l < "functions.$2") functions, not seen: $(wc -w <<< "$missing")" $missing
    [ "$(wc -l < "functions.$2")" -gt 100 ] && [ -z "$missing" ]
}
functions() { nm "$1" | awk '$2 ~ /[tT]/ { sub(/_LLMQ_VERSION.*/, "", $3); print $3 }' | sort -u; }
$cc -w -O0 $scalar -c impl.c -o scalar.o && functions scalar.o > functions.llmq.h
if [ "$(uname -m)" = x86_64 ]; then
    $cc -w -O0 $avx2 -c impl.c -o vector.o && functions vector.o | comm -23 - functions.llmq.h | while read -r name; do grep -qE "(^|[ *])$name\(" llmq_simd.h && echo "$name"; done > functions.llmq_simd.h
fi
for c in ctags-universal ctags-exuberant; do
    has $c || continue
    check "$c llmq.h" tags $c llmq.h
    [ -s functions.llmq_simd.h ] && check "$c llmq_simd.h" tags $c llmq_simd.h
done
fault L19

finish faults_build
