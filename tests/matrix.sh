#!/usr/bin/env bash
# matrix.sh - the suites on other processors under qemu: big-endian s390x, AArch64 (which fuses multiply and add), 32-bit Arm,
# RISC-V. Needs Debian's qemu-user and, for each, gcc-*-linux-gnu* and libc6-dev-*-cross; what is missing is skipped and said
# so. About six minutes. The last line is "N passed, M failed".
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

# More of Arm's instruction sets; and WebAssembly, which needs clang-19, lld-19, libclang-rt-19-dev-wasm32, wasi-libc and node.
while IFS='|' read -r name cc run; do
    for t in "${cc%% *}" "${run%% *}"; do
        command -v "$t" > /dev/null || { echo "skipped: $name, $t is not installed"; continue 2; }
    done
    for t in test_golden test_core test_tensor test_kernels; do
        program=$out/$t.$name
        echo "$cc -std=gnu11 -O2 -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -I. tests/$t.c -o $program -lm && $run $program | tail -1 | sed 's/^/$name /' || echo '$name $t: 0 passed, 1 failed'"
    done
done >> "$out/jobs" << 'targets'
aarch64+dotprod|aarch64-linux-gnu-gcc -static -march=armv8.2-a+dotprod|qemu-aarch64 -cpu max
aarch64+i8mm|aarch64-linux-gnu-gcc -static -march=armv8.6-a+i8mm|qemu-aarch64 -cpu max
armv7+neon|arm-linux-gnueabihf-gcc -static -march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard|qemu-arm -cpu max
wasm|clang-19 --target=wasm32-wasi -msimd128|node --no-warnings tests/wasi.mjs
targets
grep ^skipped "$out/jobs"
grep -v ^skipped "$out/jobs" | xargs -P 2 -d '\n' -n 1 bash -o pipefail -c | tee "$out/summary"
awk '/: [0-9]+ passed, [0-9]+ failed$/ { sub(/.*: /, ""); p += $1; f += $3 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$out/summary"
