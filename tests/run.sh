#!/usr/bin/env bash
# run.sh quick|all - build and run the suites; the last line is "N passed, M failed".
#   quick  every suite: gcc as C99 (not test_bundle), clang as C11 at -O2; gcc with ASan and UBSan; the header's hygiene (C++ too); the tool
#   all    also the suites as C++11, the fuzzer's mutation loop under sanitizers, the tool's long runs, two boards of make mcu
# A compiler that is not installed is skipped and said so. Two jobs run at a time.
set -u
cd "$(dirname "$0")/.." || exit 1
mode=${1:-quick}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
warn="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wundef -Wshadow -Wcast-qual -Wdouble-promotion -Wvla -Wwrite-strings -Werror"
c_only="-Wstrict-prototypes -Wmissing-prototypes"

# suite NAME COMMAND...: its output goes to a file; a command that ends without its closing line is one failure.
suite() {
    local name=$1 start=$SECONDS; shift
    "$@" > "$out/$name.log" 2>&1
    local code=$?
    if ! grep -qE '^[a-z_]+: [0-9]+ passed, [0-9]+ failed$' "$out/$name.log"; then
        echo "$name: 0 passed, 1 failed" >> "$out/$name.log"
    elif [ $code -ne 0 ] && grep -qE ': [0-9]+ passed, 0 failed$' "$out/$name.log"; then
        echo "$name exited with $code: 0 passed, 1 failed" >> "$out/$name.log"
    fi
    grep -E '(^FAIL|: [0-9]+ passed, [1-9][0-9]* failed$|error:|ERROR:|runtime error:)' "$out/$name.log" | head -20
    grep -E ': [0-9]+ passed, [0-9]+ failed$' "$out/$name.log" | sed "s/^[^:]*:/$name:/" | sed "s/\$/ ($((SECONDS - start)) s)/"
}

build_and_run() { # program compiler flags...
    local name=$1; shift
    "$@" -I. "tests/$name.c" -o "$out/$name-$$-$BASHPID" -lm && "$out/$name-$$-$BASHPID"
}

jobs_file=$out/jobs
add() { printf '%s\n' "$*" >> "$jobs_file"; }
have() { command -v "$1" > /dev/null || { echo "skipped: $1 is not installed"; return 1; }; }

few=; [ "$mode" = quick ] && few="-DLLMQ_SIMD_SSSE3=0 -DLLMQ_SIMD_AVXVNNI=0" # they are sanitized by "all"
fewer=; [ "$mode" = quick ] && fewer=-DTRELLIS_ONE_IN=3
sanitize="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -g"
add suite hygiene tests/hygiene.sh # the slowest first
add suite simd tests/hygiene.sh simd $([ "$mode" = all ] && echo all)
add suite tool tests/tool.sh "$mode"
for s in test_kernels test_trellis test_tensor test_activation test_outliers test_zeros test_viterbi test_allocate test_bundle test_feedback test_core test_transform test_sense test_llama test_imatrix test_golden test_flash; do
    # sanitized, the vector kernels take half a minute to compile: test_kernels shows for all suites that they do what scalar ones do
    [ $s = test_kernels ] && part="-DKERNELS_ONE_IN=8 $few" || part=-DLLMQ_SIMD=0
    have gcc && add suite "$s.sanitized" build_and_run $s gcc -std=c11 -O1 -D_GNU_SOURCE $sanitize $part
    have clang && add suite "$s.clang" build_and_run $s clang -std=c11 -O2 -D_GNU_SOURCE $warn $c_only $fewer
    [ "$mode$s" != quicktest_bundle ] && have gcc && add suite "$s.gcc" build_and_run $s gcc -std=c99 -O2 -D_GNU_SOURCE $warn $c_only $fewer
    [ "$mode" = all ] && have g++ && add suite "$s.c++" build_and_run $s g++ -x c++ -std=c++11 -O2 $warn
done
have gcc && add suite test_llama.few build_and_run test_llama gcc -std=c99 -O1 -DLLMQ_SIMD=0 -DLLMQ_NO_ACTIVATION_OPTIONS=1 -DLLMQ_NO_CALIBRATION=1 $warn $c_only
if [ "$mode" = all ]; then
    add suite fuzz tests/fuzz.sh
    missing=$(examples/mcu/board.sh missing m0)
    if [ -z "$missing" ]; then add suite mcu tests/mcu.sh m0 m55; else echo "skipped: mcu, not installed: $missing"; fi
fi

export out
export -f suite build_and_run
xargs -P 2 -I{} bash -c '{}' < "$jobs_file" | tee "$out/summary"
awk '/: [0-9]+ passed, [0-9]+ failed \(/ { sub(/.*: /, ""); p += $1; f += $3 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$out/summary"
