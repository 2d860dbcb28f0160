#!/usr/bin/env bash
# mcu.sh [BOARD...] - the example of examples/mcu on boards that QEMU emulates: does it say what it says on this machine, in how much
# memory and how many instructions? Default: all boards. Also test_flash, on those that are named with it below. Progress is on the
# standard error output, the table follows at the end. TSV=1: lines mcu.BOARD.FORMAT.WHAT<TAB>value instead, and for the first format of a
# board also mcu.BOARD.WHAT, where WHAT is tokens, ram, flash, code, insn_per_token, insn_per_weight, soft_float (its share of
# the instructions) or same_as_pc (1, 0).
# NANO=FILE: a model to use in place of examples/model/nano.llmq. The last line is "mcu: N passed, M failed".
set -u
cd "$(dirname "$0")/.." || exit 1

# Board, model, its formats, MCU_WINDOW, MCU_TOKENS, MCU_KV_BITS, MCU_MEMORY, LLMQ_MAX_STEPS
runs='
m0    nano  g4,t3  48   96  4  12160   0
m3    nano  g4,t3  48   96  4  12160   0
m4    kjv   g4,t3  128  64  4  61440   1
m7    kjv   g4     128  64  4  61440   1
m33   kjv   g4     128  64  4  61440   1
m55   kjv   g4,t3  128  64  4  61440   1
rv32  nano  g4,t3  48   96  4  12160   0
'
# Format, what is built in for it, what llmq quantize is told; without steps, no transforms
formats='
g4  (LLMQ_WITH_F32|LLMQ_WITH_G4)               --format g4 --embed g4
t3  (LLMQ_WITH_F32|LLMQ_WITH_G4|LLMQ_WITH_T3)  --format t3 --embed g4
'
# Board, what, at least and at most
limits='
m0  ram     0   15360
m0  code    0   27648
m0  flash   0   204800
m0  tokens  64  1000000
'
# What costs RAM behind a program's back: no part of it may be in the program for this board.
frugal=m0 costly='_impure_ptr|_malloc_r|malloc|_sbrk|sbrk|__sinit|_?v?f?i?printf(_r)?'
# Boards that run test_flash; none of its reads may be unaligned where the board can tell.
flash_boards=" m0 m55 "

# shellcheck disable=SC2034 # by name, in model
nano=${NANO:-examples/model/nano.llmq} kjv=examples/model/kjv.llmq
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p build
passed=0 failed=0
: > "$work/rows"

say() { printf '%s\n' "$*" >&2; }
good() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); say "FAIL $*"; }

# model NAME FORMAT STEPS: makes build/mcu.NAME.FORMAT.llmq, unless it is there and newer than what it is made of
model() {
    local from=${!1} to=build/mcu.$1.$2.llmq transform=hadamard
    [ "$3" = 0 ] && transform=none
    [ "$1$nano" = "nano${NANO:-}" ] && to=$work/$1.$2.llmq # not for the next run
    bundle=$to
    [ -s "$from" ] || { say "missing: $from, which $to is to be made of"; return 1; }
    [ "$to" -nt "$from" ] && [ "$to" -nt build/llmq ] && return 0
    # shellcheck disable=SC2046 # words of a table
    build/llmq quantize "$from" "$to.part" $(awk -v f="$2" '$1 == f { $1 = $2 = ""; print }' <<< "$formats") --group 64 --transform "$transform" > "$work/quantize" 2>&1 || { tail -3 "$work/quantize" >&2; return 1; }
    mv "$to.part" "$to"
}

# Weights that a token is multiplied by: the layers' matrices and the classifier, which may be the embedding.
weights() {
    build/llmq inspect "$1" | awk '$1 != "tensor" { next } $2 ~ /^layers\.[0-9]+\.w/ { sum += $3 * $5 }
        $2 == "embed" { shared = $3 * $5 } $2 == "classifier" { own = $3 * $5 } END { printf "%d", sum + (own ? own : shared) }'
}

# soft_float PREFIX-OF-TOOLS: what tells insn.so where the compiler's float operations are in $work/firmware, if it needs any: its library
# stands together, between other functions.
soft_float() {
    "$1nm" -n "$work/firmware" | awk '$3 ~ /^__(aeabi_(c?f(r?cmp|add|sub|rsub|mul|div|2)|u?i2f)|[a-z]+sf[23]|fix[a-z]*sfsi|float[a-z]*sisf)/ { if (!first) first = $1; last = NR } NR == last + 1 && last { end = $1 }
        END { if (first) printf ",part=%s-%s", first, end }'
}

# on_board BOARD FLAG... FILE...: builds $work/firmware, runs it: $work/out, and instructions between markers in $insn, those of soft float in $float
on_board() {
    local board=$1 compile run; shift
    compile=$(examples/mcu/board.sh bare "$board")
    # shellcheck disable=SC2086 # commands with their arguments
    $compile -Os -I. "$@" -lm -o "$work/firmware" 2> "$work/errors" || { head -5 "$work/errors" >&2; return 1; }
    run=$(examples/mcu/board.sh emulate "$board")
    run=$(sed "s#^[a-z0-9-]*#& -plugin $work/insn.so$(soft_float "${compile%%gcc *}") -d plugin -D $work/log#; s#{}#$work/firmware#g" <<< "$run")
    rm -f "$work/log"
    timeout 300 $run < /dev/null > "$work/out.raw" 2> "$work/errors" || { say "status $?"; head -5 "$work/errors" "$work/out.raw" >&2; return 1; }
    tr -d '\r' < "$work/out.raw" > "$work/out"
    insn=$(awk '$1 == "insn" { sum += $2 } END { printf "%.0f", sum }' "$work/log")
    float=$(awk '$1 == "insn" { sum += $4 } END { printf "%.0f", sum }' "$work/log")
}

# on_pc KEY FLAG...: what this machine says, $work/pc.KEY; boards with the same flags share it. Of its vector kernels only some, to
# be compiled sooner: test_kernels shows that all do the same.
on_pc() {
    local out=$work/pc.$1; shift
    [ -s "$out" ] && return 0
    ${HOSTCC:-cc} -O2 -I. -Iexamples/mcu -DLLMQ_SIMD_SSSE3=0 -DLLMQ_SIMD_AVXVNNI=0 -DLLMQ_SIMD_AVX512=0 "$@" \
        examples/mcu/main.c examples/mcu/model.S examples/mcu/host.c -lm -o "$work/program" 2> "$work/errors" || { head -5 "$work/errors" >&2; return 1; }
    timeout 300 "$work/program" > "$out" || { say "status $?"; rm -f "$out"; return 1; }
}

within_limits() { # BOARD FORMAT what=value...
    local board=$1 format=$2 what least most value pair; shift 2
    for pair in "$@"; do
        while read -r what least most; do
            value=${pair#*=}
            if [ "$value" -ge "$least" ] && [ "$value" -le "$most" ]; then good; else bad "$board $format: $what is $value, not $least ... $most"; fi
        done < <(awk -v b="$board" -v w="${pair%%=*}" '$1 == b && $2 == w { print $2, $3, $4 }' <<< "$limits")
    done
}

frugality() { # BOARD FORMAT PREFIX-OF-TOOLS
    local found
    found=$("$3nm" "$work/firmware" | awk '{ print $NF }' | grep -xE "$costly" | tr '\n' ' ')
    if [ "$1" != "$frugal" ]; then [ -z "$found" ] || say "$1 $2: the program has $found"; return; fi
    if [ -z "$found" ]; then good; else bad "$1 $2: the program has $found"; fi
}

# example BOARD MODEL FORMAT WINDOW TOKENS BITS MEMORY STEPS: a row
example() {
    local board=$1 name=$2 format=$3 start=$SECONDS text data bss stack tokens same tools weights size pc
    local flags=("-DMCU_WINDOW=$4" "-DMCU_TOKENS=$5" "-DMCU_KV_BITS=$6" "-DLLMQ_MAX_STEPS=$8" "-DLLMQ_FORMATS=$(awk -v f="$3" '$1 == f { print $2 }' <<< "$formats")")
    model "$name" "$format" "$8" || { bad "$board $format: there is no model"; return; }
    flags+=("-DMODEL_FILE=\"$bundle\"")
    pc=$name.$format.$4.$5.$6
    on_pc "$pc" "${flags[@]}" -DMCU_MEMORY=1000000 || { bad "$board $format: not on this machine"; return; }
    on_board "$board" "${flags[@]}" "-DMCU_MEMORY=$7" examples/mcu/main.c examples/mcu/model.S || { bad "$board $format"; return; }
    tools=$(examples/mcu/board.sh bare "$board") tools=${tools%%gcc *}
    read -r text data bss _ < <("${tools}size" "$work/firmware" | tail -1)
    stack=$(awk '$1 == "stack" { n = $2 } END { printf "%d", n }' "$work/out")
    tokens=$(awk '$1 == "ids" { n = NF - 1 - ($2 == 1) } END { printf "%d", n }' "$work/out") # 1 begins a text, it is not generated
    size=$(wc -c < "$bundle")
    weights=$(weights "$bundle")
    same=0
    grep '^ids ' "$work/out" > "$work/ids" && cmp -s "$work/ids" <(grep '^ids ' "$work/pc.$pc") && same=1
    if [ $same = 1 ]; then good; else bad "$board $format: other ids than on this machine"; fi
    [ "$insn" -gt 0 ] && [ "$stack" -gt 0 ] && good || bad "$board $format: no markers were executed, or no depth of the stack printed"
    frugality "$board" "$format" "$tools"
    within_limits "$board" "$format" ram=$((data + bss + stack)) code=$((text - size)) flash=$((text + data)) tokens="$tokens"
    echo "$board $name $format $((text + data)) $((text - size)) $((data + bss + stack)) $((data + bss)) $stack $tokens $insn $weights $same $float" >> "$work/rows"
    say "$board: $name in $format, $tokens tokens, $([ $same = 1 ] && echo the same as || echo not those of) on this machine, $((SECONDS - start)) s"
}

flash() { # BOARD
    local line flags=("-DFLASH_BOARD=1" "-DSTARTUP_TRAP_UNALIGNED=1")
    [ "$1" = m0 ] || flags+=("-mno-unaligned-access") # which a Cortex-M0 does not have
    on_board "$1" "${flags[@]}" tests/test_flash.c || { bad "$1: test_flash"; return; }
    line=$(tail -1 "$work/out")
    say "$1: ${line/:/,}"
    if [[ $line =~ ^test_flash:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])); else bad "$1: test_flash has no result"; fi
}

table() {
    awk 'BEGIN { printf "%-6s%-10s%9s%9s%8s%9s%8s%8s%14s%14s%12s%12s\n", "board", "model", "flash", "code", "RAM", "(static", "stack)", "tokens", "insn/token", "insn/weight", "soft float", "same as PC" }
         { printf "%-6s%-10s%9d%9d%8d%9d%8d%8d%14.0f%14.2f%10.1f %%%12s\n", $1, $2 "." $3, $4, $5, $6, $7, $8, $9, $9 ? $10 / $9 : 0, $9 && $11 ? $10 / $9 / $11 : 0, $10 ? 100 * $13 / $10 : 0, $12 ? "yes" : "no" }' "$work/rows"
}

tsv() {
    awk 'function lines(key) { printf "%s.tokens\t%d\n%s.ram\t%d\n%s.flash\t%d\n%s.code\t%d\n%s.insn_per_token\t%.0f\n%s.insn_per_weight\t%.3f\n%s.soft_float\t%.4f\n%s.same_as_pc\t%d\n",
                               key, $9, key, $6, key, $4, key, $5, key, $9 ? $10 / $9 : 0, key, $9 && $11 ? $10 / $9 / $11 : 0, key, $10 ? $13 / $10 : 0, key, $12 }
         { lines("mcu." $1 "." $3); if (!($1 in seen)) { seen[$1] = 1; lines("mcu." $1) } }' "$work/rows"
}

# shellcheck disable=SC2046,SC2086 # words
named=1; [ $# -gt 0 ] || { named=; set -- $(awk '{ print $1 }' <<< "$runs"); }
for board in "$@"; do
    awk -v b="$board" '$1 == b { found = 1 } END { exit !found }' <<< "$runs" || { say "mcu.sh: no board $board"; exit 2; }
done
${MAKE:-make} -s build/llmq >&2 || exit 1
${HOSTCC:-cc} -O2 -shared -fPIC -o "$work/insn.so" bench/insn.c || exit 1
# lacks BOARD TOOLS: it is skipped, but has failed if it was asked for by its name
lacks() {
    local tool packages=
    for tool in ${2/its C library/}; do packages="$packages, $(tests/needs.sh package "$tool")"; done
    [[ $2 != *"its C library"* ]] || packages="$packages, $(tests/needs.sh package "its C library")"
    if [ $named ]; then bad "$1: not installed: $2(${packages#, })"; else say "skipped: $1, not installed: $2(${packages#, })"; fi
}

for board in "$@"; do
    missing=$(examples/mcu/board.sh missing "$board")
    if [ -n "$missing" ]; then lacks "$board" "$missing"; continue; fi
    read -r _ name list rest < <(awk -v b="$board" '$1 == b' <<< "$runs")
    for format in ${list//,/ }; do example "$board" "$name" "$format" $rest; done
    [[ $flash_boards == *" $board "* ]] && flash "$board"
done
if [ -n "${TSV:-}" ]; then
    tsv
    say "mcu: $passed passed, $failed failed"
else
    table
    echo "mcu: $passed passed, $failed failed"
fi
[ $((passed + failed)) -gt 0 ] || say "mcu.sh: no board could be run; what is said above to be missing has to be installed"
[ $failed = 0 ] && [ $passed -gt 0 ]
