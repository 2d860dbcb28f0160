#!/usr/bin/env bash
# size.sh - bytes of code and tables of the header's halves at -Os, for the host and for a Cortex-M4 if its gcc is there.
# Then the lines of llmq_simd.h by section: what an
# instruction set costs a reader. With TSV=1: lines size.TARGET.CONFIG.text (code and constants together, as `size` counts text).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' > "$work/all.c"
[ -n "${TSV:-}" ] || printf '%-8s %-34s %8s %8s %8s\n' target configuration text data bss

measure() { # target name compiler flags...
    local target=$1 name=$2; shift 2
    "$@" -Os -I"$root" -c "$work/all.c" -o "$work/all.o"
    local size=${1%gcc}size; command -v "$size" > /dev/null || size=size
    read -r text data bss _ < <("$size" "$work/all.o" | tail -1)
    if [ -n "${TSV:-}" ]; then printf 'size.%s.%s.text\t%s\n' "$target" "$name" "$text"
    else printf '%-8s %-34s %8s %8s %8s\n' "$target" "$name" "$text" "$data" "$bss"; fi
}

targets() { # target compiler flags...
    local target=$1; shift
    measure "$target" all "$@" -DLLMQ_SIMD=0
    measure "$target" no-calibration "$@" -DLLMQ_SIMD=0 -DLLMQ_NO_CALIBRATION=1
    measure "$target" runtime "$@" -DLLMQ_SIMD=0 -DLLMQ_NO_ENCODER=1
    measure "$target" no-trellis "$@" -DLLMQ_SIMD=0 -DLLMQ_NO_TRELLIS=1
    measure "$target" runtime-no-trellis "$@" -DLLMQ_SIMD=0 -DLLMQ_NO_ENCODER=1 -DLLMQ_NO_TRELLIS=1
    measure "$target" runtime-scalar-grids "$@" -DLLMQ_SIMD=0 -DLLMQ_NO_ENCODER=1 -DLLMQ_NO_TRELLIS=1 -DLLMQ_NO_VECTOR_GRIDS=1 -DLLMQ_NO_STRINGS=1
    measure "$target" runtime-no-bundle "$@" -DLLMQ_SIMD=0 -DLLMQ_NO_ENCODER=1 -DLLMQ_NO_TRELLIS=1 -DLLMQ_NO_VECTOR_GRIDS=1 -DLLMQ_NO_STRINGS=1 -DLLMQ_NO_BUNDLE=1
    measure "$target" runtime-with-simd "$@" -DLLMQ_NO_ENCODER=1
}
targets host "${CC:-gcc}"
if [ "$(uname -m)" = x86_64 ]; then
    measure host runtime-with-avx2 "${CC:-gcc}" -DLLMQ_NO_ENCODER=1 -DLLMQ_SIMD_SSSE3=0 -DLLMQ_SIMD_AVXVNNI=0 -DLLMQ_SIMD_AVX512=0
fi
if command -v arm-none-eabi-gcc > /dev/null; then
    targets m4 arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16
    measure m55 runtime-with-simd arm-none-eabi-gcc -mcpu=cortex-m55 -mthumb -mfloat-abi=hard -DLLMQ_NO_ENCODER=1
elif [ -z "${TSV:-}" ]; then echo "m4: arm-none-eabi-gcc (Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi) is not installed"; fi
[ -n "${TSV:-}" ] || awk '/^\/\* ---- [0-9]+\. / { if (name) lines[name] += NR - from; name = $3; sub(/^.* ---- [0-9]+\. /, ""); sub(/( ----*.*|\(the.*)$/, ""); if (!(name in title)) { title[name] = $0; order[++n] = name } from = NR }
    END { lines[name] += NR - from; print "\nlines of llmq_simd.h"; for (i = 1; i <= n; i++) printf "%6d  %s %s\n", lines[order[i]], order[i], title[order[i]] }' "$root/llmq_simd.h"
