#!/usr/bin/env bash
# size.sh - bytes at -Os of the header's parts, by target and configuration, and their largest stack frames; whether the table of
# sizes in section 0 of llmq.h is right; then the lines of llmq_simd.h by section: what an instruction set costs a reader.
#
#     tests/size.sh             fails if the table in llmq.h is out of date, and says which rows
#     WRITE=1 tests/size.sh     puts the right numbers into it
#
# text is what `size` calls it: code, constants and, on the host, tables for unwinding; frame the largest of one function; stack, of what
# a firmware is likely to have and where an emulator runs it, how deep it gets in products, decoding, appending and opening a bundle
# (size_probe.c). TSV=1: lines size.TARGET.CONFIG.KEY<TAB>value, KEY being text, code, rodata, data, bss, frame or stack. The table is
# compared only if the compiler is the one that it names.
set -euf
root=$(cd "$(dirname "$0")/.." && pwd)
header=$root/llmq.h
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' > "$work/all.c"

# Name, compiler and flags. The RISC-V compiler comes without a C library, so without <string.h>.
targets="host ${CC:-gcc}
m0 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
m4 arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16
m55 arm-none-eabi-gcc -mcpu=cortex-m55 -mthumb -mfloat-abi=hard
rv32 riscv64-unknown-elf-gcc -march=rv32imac -mabi=ilp32 -ffreestanding -DLLMQ_MEMCPY=__builtin_memcpy -DLLMQ_MEMSET=__builtin_memset"

# Name and what is defined, without LLMQ_. Rows of the table in llmq.h have these names.
least="NO_STRINGS=1 NO_ACTIVATION_OPTIONS=1 MAX_STEPS=0"
configurations="all SIMD=0
no-calibration SIMD=0 NO_CALIBRATION=1
runtime SIMD=0 NO_ENCODER=1
no-bundle SIMD=0 NO_ENCODER=1 NO_BUNDLE=1
no-strings SIMD=0 NO_ENCODER=1 NO_STRINGS=1
no-options SIMD=0 NO_ENCODER=1 NO_ACTIVATION_OPTIONS=1
no-steps SIMD=0 NO_ENCODER=1 MAX_STEPS=0
no-trellises SIMD=0 NO_ENCODER=1 FORMATS=(LLMQ_WITH_ALL&~LLMQ_WITH_TRELLISES)
scalar-grids SIMD=0 NO_ENCODER=1 FORMATS=(LLMQ_WITH_RAW|LLMQ_WITH_GRIDS)
g4 SIMD=0 NO_ENCODER=1 NO_BUNDLE=1 $least FORMATS=LLMQ_WITH_G4
t3 SIMD=0 NO_ENCODER=1 NO_BUNDLE=1 $least FORMATS=LLMQ_WITH_T3
g4-bundle SIMD=0 NO_ENCODER=1 $least FORMATS=(LLMQ_WITH_G4|LLMQ_WITH_F16)
g4-cache SIMD=0 NO_CALIBRATION=1 NO_BUNDLE=1 $least FORMATS=LLMQ_WITH_G4
runtime-with-simd NO_ENCODER=1
runtime-with-avx2 NO_ENCODER=1 SIMD_SSSE3=0 SIMD_AVXVNNI=0 SIMD_AVX512=0
g4-with-simd NO_ENCODER=1 NO_BUNDLE=1 $least FORMATS=LLMQ_WITH_G4"

# Which of them a target is measured with: vector kernels only where there are some.
fits() { # target configuration
    case $2 in
    *-with-avx2) [ "$1" = host ] && [ "$(uname -m)" = x86_64 ] ;;
    *-with-simd) [ "$1" != m0 ] && [ "$1" != rv32 ] ;;
    esac
}

# How deep the stack gets on the board of that name: a number, or - where that is not measured.
stack() { # target configuration definitions
    local probe=$work/probe format=${2%%-*} depth=
    case $2 in g4* | t3) ;; *) echo -; return ;; esac
    if [ "$1" != host ] && [ -z "$("$root/examples/mcu/board.sh" missing "$1")" ] &&
        $("$root/examples/mcu/board.sh" bare "$1") -Os $(printf -- '-DLLMQ_%s ' $3) "-DPROBE_FORMAT=\"$format\"" -I"$root" -I"$root/tests" "$root/tests/size_probe.c" -o "$probe"; then
        depth=$($("$root/examples/mcu/board.sh" emulate "$1" | sed "s#{}#$probe#g") < /dev/null | tr -d '\r' | sed -n 's/^stack //p')
    fi
    echo "${depth:--}"
}

measure() { # target configuration definitions compiler flags...: a line "target configuration text code rodata data bss frame stack"
    local target=$1 name=$2 definitions=$3 size; shift 3
    "$@" $(printf -- '-DLLMQ_%s ' $definitions) -Os -fstack-usage -I"$root" -c "$work/all.c" -o "$work/all.o"
    size=${1%gcc}size; command -v "$size" > /dev/null || size=size
    { "$size" "$work/all.o" | tail -1; "$size" -A "$work/all.o"; cat "$work/all.su"; } | awk -v name="$target $name" -v stack="$(stack "$target" "$name" "$definitions")" '
        NR == 1 { text = $1; data = $2; bss = $3; next }
        $1 ~ /^\.text/ { code += $2 } $1 ~ /^\.s?rodata/ { rodata += $2 } $NF ~ /^(static|dynamic)/ && $(NF - 1) > frame { frame = $(NF - 1) }
        END { print name, text, code + 0, rodata + 0, data, bss, frame + 0, stack }' >> "$work/sizes"
}

while read -r target compiler; do
    if ! command -v "${compiler%% *}" > /dev/null; then echo "$target: ${compiler%% *} is not installed ($("$root/tests/needs.sh" package "${compiler%% *}"))" >&2; continue; fi
    while read -r name definitions; do
        if fits "$target" "$name"; then measure "$target" "$name" "$definitions" $compiler; fi
    done <<< "$configurations"
done <<< "$targets"

if [ -n "${TSV:-}" ]; then
    awk '{ split("text code rodata data bss frame stack", key, " "); for (i = 1; i <= 7; i++) if ($(i + 2) != "-") printf "size.%s.%s.%s\t%s\n", $1, $2, key[i], $(i + 2) }' "$work/sizes"
    exit
fi
{ echo target configuration text code rodata data bss frame stack; cat "$work/sizes"; } |
    awk '{ printf "%-7s %-18s %7s %7s %7s %6s %4s %6s %6s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9 }'

# The table in the header: from the line that says "bytes on a Cortex-M4 ... gcc VERSION" to the next blank one. With `fix` it is
# written out anew; else a line for each row that is wrong.
table() { # check|fix
    awk -v mode="$1" 'NR == FNR { if ($1 == "m4") text[$2] = $3; next }
        /bytes on a Cortex-M4/ { inside = 1 } /^$/ { inside = 0 }
        inside && $1 in text && $NF ~ /^[0-9]+$/ {
            if (mode == "check" && $NF != text[$1]) printf "llmq.h: %s is %s, not %s\n", $1, text[$1], $NF
            sub(/ *[0-9]+$/, ""); $0 = sprintf("%s%*s", $0, 100 - length($0), text[$1])
        }
        mode == "fix"' "$work/sizes" "$header"
}
named=$(sed -n 's/.*bytes on a Cortex-M4.* gcc \([0-9.]*\).*/\1/p' "$header")
have=$(arm-none-eabi-gcc -dumpfullversion 2> /dev/null || echo none)
status=0
case $have in
"$named".*)
    if [ -n "${WRITE:-}" ]; then table fix > "$work/llmq.h" && cat "$work/llmq.h" > "$header"; fi
    table check > "$work/wrong"
    if [ -s "$work/wrong" ]; then cat "$work/wrong"; echo "the table of sizes in llmq.h is out of date: make size WRITE=1"; status=1
    else echo "the table of sizes in llmq.h is right" >&2; fi ;;
none) echo "the table of sizes in llmq.h cannot be compared: arm-none-eabi-gcc is not installed (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi)" >&2; status=1 ;;
*) echo "the table of sizes in llmq.h is of arm-none-eabi-gcc $named and was not compared (installed: $have)" >&2 ;;
esac
awk '/^\/\* ---- [0-9]+\. / { if (name) lines[name] += NR - from; name = $3; sub(/^.* ---- [0-9]+\. /, ""); sub(/( ----*.*|\(the.*)$/, ""); if (!(name in title)) { title[name] = $0; order[++n] = name } from = NR }
    END { lines[name] += NR - from; print "\nlines of llmq_simd.h"; for (i = 1; i <= n; i++) printf "%6d  %s %s\n", lines[order[i]], order[i], title[order[i]] }' "$root/llmq_simd.h"
exit $status
