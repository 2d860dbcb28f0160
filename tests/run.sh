#!/usr/bin/env bash
# run.sh quick|all - builds and runs the suites; the last line is "N passed, M failed".
#   quick  every suite but test_feedback with ASan and UBSan; those of kernels with gcc as C99 and with clang; what any change may break
#          of the header's hygiene; the tool
#   all    every suite with gcc, with clang and as C++11, all cases of them, all of the hygiene, the kernels with -funsigned-char, the
#          fuzzers' mutation loops, the tool's long runs, two boards of make mcu
# The implementation takes longest to compile, so it is compiled once for each compiler and set of flags, and all suites are linked with it
# (tests/internals.h). A suite that configures the library itself compiles what it needs of it, without vector kernels. A file
# tests/test_*.c, tests/tool_*.sh or tests/faults_*.sh that is new is run as the others are. Compilers that are not installed are said.
# As many jobs run at a time as there are processors, or JOBS. ONLY=REGEX: only jobs with such names (ONLY=^test_bundle). Seconds are of processor time.
set -u
cd "$(dirname "$0")/.." || exit 1
mode=${1:-quick}
case $mode in quick | all) ;; *) sed -n '2s/^# //p' "$0"; exit 2 ;; esac
# The reported faults, each of which should have a test that prints "fault ID ok" (check.h, check.sh)
faults="L1 L2 L3 L4 L5 L6 L7 L8 L9 L10 L11 L12 L13 L14 L15 L16 L17 L18 L19 L20
T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19 T20 T21 T22 T23"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
warn="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wundef -Wshadow -Wcast-qual -Wdouble-promotion -Wvla -Wwrite-strings -Werror"
c_only="-Wstrict-prototypes -Wmissing-prototypes"
sanitize="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
# Code of a suite, when it is quick: what the library reads and writes there has red zones, and the library, which is sanitized in full, sees them.
guarded="-fsanitize=address --param asan-instrument-reads=0 --param asan-instrument-writes=0 --param asan-memintrin=0"
tool_source=examples/llmq/llmq.c
export TIMEFORMAT='%U %S'

# suite NAME COMMAND...: its output goes to a file; a command that ends without its closing line is one failure.
suite() {
    local name=$1 log=$out/$1.log code; shift
    { time "$@" > "$log" 2>&1; } 2> "$out/$name.time"
    code=$?
    if ! grep -qE '^[a-z0-9_]+: [0-9]+ passed, [0-9]+ failed$' "$log"; then
        echo "$name: 0 passed, 1 failed" >> "$log"
    elif [ $code -ne 0 ] && grep -qE ': [0-9]+ passed, 0 failed$' "$log"; then
        echo "$name exited with $code: 0 passed, 1 failed" >> "$log"
    fi
    grep -E '(^FAIL|: [0-9]+ passed, [1-9][0-9]* failed$|error:|ERROR:|runtime error:|^skip)' "$log" | head -20
    grep -E ': [0-9]+ passed, [0-9]+ failed$' "$log" | sed "s/^[^:]*:/$name:/;s/\$/ ($(seconds "$name") s)/"
    return 0
}
seconds() { awk '{ printf "%.1f", $1 + $2 }' "$out/$1.time"; }

# object NAME COMMAND...: what suites are linked with; it prints only what went wrong
object() {
    local name=$1; shift
    { time "$@" > "$out/$name.log" 2>&1; } 2> "$out/$name.time" && return
    head -5 "$out/$name.log"
    echo "$name: 0 passed, 1 failed ($(seconds "$name") s)"
    return 1
}

build_and_run() { # source name objects compiler flags...
    local source=$1 name=$2 objects=$3; shift 3
    # shellcheck disable=SC2086 # a list
    "$@" -I. "$source" -no-pie -x none $objects -o "$out/$name" -lm && "$out/$name"
}

# ---- what there is to do, as a makefile: targets are files in $out, and jobs -----------------------------------------------------------

makefile=$out/makefile goals=
rule() { printf '%s:%s\n\t@%s\n' "$1" "${2:+ $2}" "$3" >> "$makefile"; } # target prerequisites command
job() { [[ $1 =~ ${ONLY:-.} ]] || return 0; goals="$goals $1"; printf '.PHONY: %s\n' "$1" >> "$makefile"; rule "$1" "$2" "suite $1 $3"; } # name prerequisites command
have() { command -v "$1" > /dev/null || { echo "skipped: $1 is not installed ($(tests/needs.sh package "$1"))"; return 1; }; }
printf 'SHELL := /usr/bin/env bash\nall: jobs\n' > "$makefile"

# library NAME "COMMAND" "COMPILER FLAGS": what suites are linked with; COMMAND makes $out/NAME.o, the implementation
library() {
    rule "$out/$1.o" "" "object $1 $2"
    rule "$out/$1.internals.o" "" "object $1.internals $3 -c tests/internals.c -o $out/$1.internals.o"
}
# variant SUITE KIND LIBRARY COMPILER FLAGS...
variant() {
    local s=$1 kind=$2 library=$3 objects= runtime=; shift 3
    if alone "$s"; then set -- "$@" -DLLMQ_SIMD=0; else set -- "$@" -DLLMQ_IMPLEMENTED -DTEST_LINKED; objects="$out/$library.o $out/$library.internals.o"; fi
    [[ $* != *"$guarded"* ]] || runtime=-lubsan
    job "$s.$kind" "$objects" "build_and_run tests/$s.c $s.$kind '$objects $runtime' $*"
}
alone() { grep -qE '^#define LLMQ_(STATIC|SIMD|NO_[A-Z_]+|MAX_STEPS|FORMATS)' "tests/$1.c"; } # compiles what it needs of the library itself
other() { grep -qE 'include "\.\./(examples|fuzz)' "tests/$1.c"; }                              # tests other code than the library's

have_gcc= have_clang= have_cxx=
have gcc && have_gcc=1
have clang && have_clang=1
[ "$mode" = quick ] || { have g++ && have_cxx=1; }
# Those that hygiene.sh looks at, too
as_c99="-std=c99 -O2 -D_GNU_SOURCE $warn $c_only" as_c11="-std=c11 -O2 -D_GNU_SOURCE $warn $c_only" as_cxx="-x c++ -std=c++11 -O2 $warn"
[ $have_gcc ] && library gcc-O2 "tests/hygiene.sh object gcc -O2 $out" "gcc $as_c99"
one_table="-DLLMQ_SIMD_SSSE3=0 -DLLMQ_SIMD_AVXVNNI=0 -DLLMQ_SIMD_AVX512=0" # AVX2 alone compiles in half the time
[ $have_clang ] && library clang-O2 "tests/hygiene.sh object clang -O2 $out $([ "$mode" = all ] || echo "$one_table")" "clang $as_c11"
[ $have_cxx ] && library g++-O2 "tests/hygiene.sh object g++ -O2 $out" "g++ $as_cxx"
# Sanitized. At -O0 the vector kernels take a twentieth of the time to compile; suites but two run the scalar ones.
printf '#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n' > "$out/library.c"
c="-I. -c $out/library.c -o $out"
[ $have_gcc ] && library vectors "gcc -std=c11 -O0 -g1 $sanitize $c/vectors.o" "gcc -std=c11 -O1 -g1 $sanitize"
[ $have_gcc ] && library scalar "gcc -std=c11 -O1 -g1 $sanitize -DLLMQ_SIMD=0 $c/scalar.o" "gcc -std=c11 -O1 -g1 $sanitize"
[ $have_gcc ] && library unsigned "gcc -std=c99 -O2 -funsigned-char $c/unsigned.o" "gcc -std=c99 -O2 -funsigned-char"

# ---- the jobs: first those that take long by themselves -------------------------------------------------------------------------------

# The tool: one program for all its suites, with one table of vector kernels, since all give the same bits
rule "$out/llmq" "" "object llmq gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -Werror $one_table -o $out/llmq $tool_source -lm -lpthread"
for f in tests/tool.sh tests/tool_*.sh; do
    s=${f#tests/}
    [ -x "$f" ] && job "${s%.sh}" "$out/llmq" "env TOOL=$out/llmq $f $mode"
done
for f in tests/faults_*.sh; do
    s=${f#tests/}
    [ -x "$f" ] && job "${s%.sh}" "" "$f $mode"
done

job real "" "${PYTHON:-python3} tests/real.py"

# The header's hygiene, in parts; the objects that one part looks at are there already.
compilers="${have_gcc:+gcc} ${have_clang:+clang}"
for part in builds objects warnings; do job hygiene.$part "" "tests/hygiene.sh $part $mode $compilers"; done
job hygiene.simd "${have_gcc:+$out/gcc-O2.o} ${have_clang:+$out/clang-O2.o} ${have_cxx:+$out/g++-O2.o}" "env OBJECTS=$out tests/hygiene.sh simd $mode $compilers"

# The longest first.
suites="test_trellis test_bundle test_tensor test_zeros test_kernels test_activation test_outliers test_feedback test_allocate test_lm test_core
test_transform test_viterbi test_sense test_gguf test_safetensors test_imatrix test_import test_tokenizer test_golden test_flash"
for f in tests/test_*.c; do
    s=${f#tests/} s=${s%.c}
    [[ " ${suites//$'\n'/ } " == *" $s "* ]] || suites="$suites $s"
done
# Quickly, suites are sanitized with the scalar kernels; those that look at others, or whose sanitized run is of few cases, run with gcc, too,
# and those that show what a compiler did with clang.
some= fewer=-DKERNELS_ONE_IN=8
if [ "$mode" = quick ]; then some=-DTRELLIS_ONE_IN=4 fewer="-DKERNELS_ONE_IN=16 -DTRELLIS_ONE_IN=30 -DBUNDLE_ONE_IN=5"; fi
by_gcc() { [ $have_gcc ] && [[ "$mode" = all || " trellis kernels feedback lm viterbi golden faults_kernels " == *" ${1#test_} "* ]]; }
by_clang() { [ $have_clang ] && [[ "$mode" = all || " kernels core viterbi golden faults_kernels " == *" ${1#test_} "* ]]; }
for s in $suites; do
    # the sanitized sums of test_feedback take three times as long as all else of it
    if [ $have_gcc ] && [ "$mode.$s" != quick.test_feedback ]; then
        checked=$guarded library=scalar
        if [ "$mode" = all ] || other "$s" || alone "$s"; then checked="-g1 $sanitize"; fi
        case $mode.$s in *.test_kernels | all.test_viterbi) library=vectors ;; esac
        variant "$s" sanitized $library "gcc -std=c11 -O1 -D_GNU_SOURCE $fewer $checked"
    fi
    by_gcc "$s" && variant "$s" gcc gcc-O2 "gcc $as_c99 $some"
    by_clang "$s" && variant "$s" clang clang-O2 "clang $as_c11 $some"
    [ $have_cxx ] && variant "$s" c++ g++-O2 "g++ $as_cxx"
done
[ $have_gcc ] && [ "$mode" = all ] && job test_lm.few "" "build_and_run tests/test_lm.c test_lm.few '' gcc -std=c99 -O1 -D_GNU_SOURCE -DLLMQ_SIMD=0 -DLLMQ_NO_ACTIVATION_OPTIONS=1 -DLLMQ_NO_CALIBRATION=1 $warn $c_only"
[ $have_gcc ] && [ "$mode" = all ] && job test_lm.only "" "build_and_run tests/test_lm.c test_lm.only '' gcc -std=c99 -O1 -D_GNU_SOURCE -DLLMQ_SIMD=0 -DLM_ONLY_LLAMA=1 $warn $c_only"
[ $have_gcc ] && [ "$mode" = all ] && variant test_kernels unsigned unsigned "gcc -std=c99 -O2 -D_GNU_SOURCE -funsigned-char"

[ $have_gcc ] && [ "$mode" = all ] && job fuzz "$out/vectors.o" "env VECTORS=$out/vectors.o FUZZ_N=${FUZZ_N:-3000} tests/fuzz.sh $mode"
if [ "$mode" = all ]; then
    if command -v x86_64-w64-mingw32-g++ > /dev/null && command -v wine > /dev/null; then job windows "" tests/windows.sh
    else echo "skipped: windows, x86_64-w64-mingw32-g++ or wine is not installed"; fi
    missing=$(examples/mcu/board.sh missing m0)
    if [ -z "$missing" ]; then job mcu "" "tests/mcu.sh m0 m55"; else echo "skipped: mcu, not installed: $missing(for both boards Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)"; fi
fi

# ---- doing it ---------------------------------------------------------------------------------------------------------------------------

rule jobs "$goals" true
export out
export -f suite object seconds build_and_run
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that called
make -s -k -j "${JOBS:-$(nproc 2> /dev/null || echo 2)}" -f "$makefile" jobs 2> "$out/make.errors" | tee "$out/summary"

# What was not begun, since what it is linked with could not be made, has failed.
for name in $goals; do
    [ -e "$out/$name.time" ] || echo "$name could not be built: 0 passed, 1 failed (0 s)"
done | tee "$out/not.begun"
cat "$out"/*.time | awk '{ s += $1 + $2 } END { printf "processor time: %d s, of which objects of the library ", s }'
cat "$out"/{gcc-O2,clang-O2,g++-O2,vectors,scalar,unsigned,llmq}.time 2> /dev/null | awk '{ s += $1 + $2 } END { printf "%d s\n", s }'
cat "$out"/*.log | awk -v ids="$faults" '
    /^fault [LT][0-9]+ (ok|FAILED)$/ { if ($3 == "ok") ok[$2] = 1; else bad[$2] = 1 }
    END {
        n = split(ids, id, " ")
        for (i = 1; i <= n; i++) if (ok[id[i]] && !bad[id[i]]) covered++; else open = open " " id[i]
        printf "faults.covered %d\nfaults.open %d%s\n", covered, n - covered, open ? ":" open : ""
    }'
awk '/: [0-9]+ passed, [0-9]+ failed \(/ { sub(/.*: /, ""); p += $1; f += $3 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$out/summary" "$out/not.begun"
