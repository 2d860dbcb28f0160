#!/usr/bin/env bash
# emulated.sh - instructions a weight where only an emulator runs: each table of kernels, and the scalar one of the same build, in one
# picture. What is not installed is skipped and said so. TSV=1: lines bench.TABLE.FORMAT.insn, RISC-V with its bits: rvv128.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count NAME TABLE COMPILER RUN: figures of the table as NAME, and of scalar as NAME's
count() {
    local name=$1 table=$2 compiler=$3 run=$4 tool
    for tool in "${compiler%% *}" "${run%% *}"; do
        command -v "$tool" > /dev/null || { echo "skipped: $name, $tool is not installed ($(tests/needs.sh package "$tool"))" >&2; return; }
    done
    TSV=1 bench/count.sh "$table" "$compiler" "$run" 2> "$work/errors" > "$work/$name" || { echo "skipped: $name: $(head -1 "$work/errors")" >&2; rm -f "$work/$name"; return; }
    awk -v name="$name" -v table="$table" -F'[.\t]' '{ print ($2 == table ? name : name "-scalar"), $3, $5 "." $6 }' "$work/$name" >> "$work/all"
}

board() { # NAME TABLE BOARD
    count "$1" "$2" "$(examples/mcu/board.sh compile "$3") -I." "$(examples/mcu/board.sh emulate "$3" "{table}")"
}

count neon neon "aarch64-linux-gnu-gcc -O2 -static" "qemu-aarch64 -cpu max"
count neondot neondot "aarch64-linux-gnu-gcc -O2 -static -march=armv8.2-a+dotprod" "qemu-aarch64 -cpu max"
count armv7 neon "arm-linux-gnueabihf-gcc -O2 -static -march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard" "qemu-arm -cpu max"
for bits in 128 256 512; do
    count rvv$bits rvv "clang-19 --target=riscv64-linux-gnu -march=rv64gcv -O2 -static" "qemu-riscv64 -cpu rv64,v=true,vlen=$bits,vext_spec=v1.0"
done
board dsp dsp m4
board mve mve m55
[ -s "$work/all" ] || exit 0
if [ -n "${TSV:-}" ]; then
    awk '$1 !~ /-scalar$/ { printf "bench.%s.%s.insn\t%s\n", $1, $2, $3 } $1 ~ /-scalar$/ { sub(/-scalar$/, "", $1); printf "bench.%s.%s.scalar.insn\t%s\n", $1, $2, $3 }' "$work/all"
    exit 0
fi
awk '{ v[$1, $2] = $3; if ($1 !~ /-scalar$/ && !($1 in seen)) { seen[$1] = 1; name[++names] = $1 } if (!($2 in known)) { known[$2] = 1; format[++formats] = $2 } }
    END { printf "%-8s", ""; for (i = 1; i <= names; i++) printf "%16s", name[i]; print ""
          for (f = 1; f <= formats; f++) { printf "%-8s", format[f]
              for (i = 1; i <= names; i++) printf "%8.2f (%4.1fx)", v[name[i], format[f]], v[name[i] "-scalar", format[f]] / v[name[i], format[f]]; print "" } }' "$work/all"
