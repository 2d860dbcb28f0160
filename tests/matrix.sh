#!/usr/bin/env bash
# matrix.sh - the suites on other processors under qemu: big-endian s390x, AArch64 (which fuses multiply and add), 32-bit Arm,
# RISC-V; and on boards with a Cortex-M (tests/board). Needs Debian's qemu-user and, for each, gcc-*-linux-gnu* and
# libc6-dev-*-cross, for the boards what board.sh says; what is missing is skipped and said so. About six minutes. The last line is "N passed, M failed".
set -u
cd "$(dirname "$0")/.." || exit 1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for target in s390x-linux-gnu:s390x aarch64-linux-gnu:aarch64 arm-linux-gnueabihf:arm riscv64-linux-gnu:riscv64; do
    cc=${target%%:*}-gcc run=qemu-${target##*:}
    command -v "$cc" > /dev/null && command -v "$run" > /dev/null || { echo "skipped: $cc or $run is not installed"; continue; }
    for t in test_golden test_core test_bundle test_tensor test_kernels; do
        echo "$cc -std=gnu11 -O2 -static -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -I. tests/$t.c -o $out/$t.$run -lm && $run $out/$t.$run | tail -1 | sed 's/^/$run /' || echo '$run $t: 0 passed, 1 failed'"
    done
done > "$out/jobs"
for job in m3:golden m4:golden m4:core m4:kernels m7:kernels m33:kernels m55:golden m55:core m55:kernels; do
    command -v arm-none-eabi-gcc > /dev/null && command -v qemu-system-arm > /dev/null || { echo "skipped: arm-none-eabi-gcc or qemu-system-arm is not installed"; break; }
    board=${job%%:*} t=test_${job##*:}
    echo "tests/board/board.sh run $board -DKERNELS_SMALL=1 tests/$t.c | tail -1 | sed 's/^/$board /' || echo '$board $t: 0 passed, 1 failed'"
done >> "$out/jobs"
# RISC-V with vectors: one binary on registers of several lengths. What is agnostic (lanes behind a vector, or masked) becomes ones.
cc="clang-19 --target=riscv64-linux-gnu -march=rv64gcv" run=qemu-riscv64
if command -v clang-19 > /dev/null && command -v "$run" > /dev/null && command -v riscv64-linux-gnu-gcc > /dev/null; then
    for t in test_golden test_tensor test_kernels; do
        for bits in 128 256 512; do
            cpu=rv64,v=true,vlen=$bits,vext_spec=v1.0,rvv_ta_all_1s=true,rvv_ma_all_1s=true program=$out/$t.rvv$bits
            echo "$cc -std=gnu11 -O2 -static -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -I. tests/$t.c -o $program -lm && $run -cpu $cpu $program | tail -1 | sed 's/^/$run, V of $bits bits, /' || echo '$run, V of $bits bits, $t: 0 passed, 1 failed'"
        done
    done
else
    echo "skipped: clang-19, $run or the libraries of riscv64-linux-gnu-gcc are not installed"
fi >> "$out/jobs"
grep ^skipped "$out/jobs"
grep -v ^skipped "$out/jobs" | xargs -P 2 -d '\n' -n 1 bash -o pipefail -c | tee "$out/summary"
awk '/: [0-9]+ passed, [0-9]+ failed$/ { sub(/.*: /, ""); p += $1; f += $3 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$out/summary"
