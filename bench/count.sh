#!/usr/bin/env bash
# count.sh TABLE "COMPILER FLAGS" "QEMU COMMAND" - instructions a weight of an int8 product, for a table of kernels and for the
# scalar one, where there is only an emulator. TSV=1: lines bench.TABLE.FORMAT.insn<TAB>instructions a weight.
#
#     bench/count.sh neon "aarch64-linux-gnu-gcc -O2 -static" "qemu-aarch64 -cpu max"
#     bench/count.sh avx2 "gcc -O2 -static" "qemu-x86_64 -cpu max"
#
# The program and the name of the table are appended to the command, or replace {} and {table} in it, where a machine is
# emulated: "qemu-system-arm ... -semihosting-config enable=on,target=native,arg=count,arg={table} -kernel {}". COUNT_SOURCES:
# more files to compile, such as a start-up file. Where memory is short: -DCOUNT_ROWS=4 -DCOUNT_COLS=512 among the flags.
# Needs a QEMU with plug-ins, and a compiler for this machine, HOSTCC (cc).
set -eu
[ $# -eq 3 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
table=$1 compile=$2 run=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

${HOSTCC:-cc} -O2 -shared -fPIC -o "$work/insn.so" "$here/insn.c"
# shellcheck disable=SC2086 # commands with their arguments
$compile -o "$work/count" "$here/count.c" ${COUNT_SOURCES:-} ${COUNT_LIBS:-}

# counts TABLE: lines "table format weights instructions", the program's beside the plug-in's
counts() {
    local command=$run
    case $command in *"{}"*) ;; *) command="$command {} {table}" ;; esac
    command=${command//"{}"/"$work/count"}
    command=${command//"{table}"/"$1"}
    # a timeout may stand before the emulator
    command=$(sed "s#qemu-[a-z0-9_-]*#& -plugin $work/insn.so -d plugin -D $work/log#" <<< "$command")
    # shellcheck disable=SC2086
    $command < /dev/null > "$work/out" || { cat "$work/out" >&2; return 1; }
    tr -d '\r' < "$work/out" > "$work/names"
    sed -n 's/^insn //p' "$work/log" > "$work/insn"
    [ "$(wc -l < "$work/names")" = "$(wc -l < "$work/insn")" ] || { echo "count: markers are missing, or there are too many" >&2; return 1; }
    paste -d ' ' "$work/names" "$work/insn"
}

for t in scalar "$table"; do
    [ "$t" = scalar ] && [ -s "$work/all" ] && continue
    counts "$t" >> "$work/all"
done
awk -v tsv="${TSV:-}" '
    $2 == "nothing" { none[$1] = $4; next } # what a compiler puts between two neighbouring markers
    { insn = ($4 - none[$1]) / $3; if ($1 == "scalar") scalar[$2] = insn
      if (tsv) printf "bench.%s.%s.insn\t%.4f\n", $1, $2, insn
      else printf "%-12s %-8s %8.3f instructions a weight, scalar / this %6.2f\n", $1, $2, insn, scalar[$2] / insn }' "$work/all"
