#!/usr/bin/env bash
# matrix.sh - the suites on other processors under qemu: big-endian s390x, AArch64 (which fuses multiply and add) and 32-bit Arm
# without and with more of their vectors, RISC-V without and with vectors, boards with a Cortex-M or a small RISC-V (examples/mcu) and
# the example on them, x86-64 of older kinds and AVX-512 by emulation, WebAssembly in node; and the vector kernels under more compilers and levels of
# optimisation. Needs, for each, what it says when it skips it. About a quarter of an hour. The last line is "N passed, M failed".
set -u
cd "$(dirname "$0")/.." || exit 1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for target in s390x-linux-gnu:s390x aarch64-linux-gnu:aarch64 arm-linux-gnueabihf:arm riscv64-linux-gnu:riscv64; do
    cc=${target%%:*}-gcc run=qemu-${target##*:}
    lacking=$(tests/needs.sh "skipped: $run" "$cc" "$run" 2>&1) || { echo "$lacking"; continue; }
    for t in test_golden test_core test_transform test_bundle test_tensor test_activation test_outliers test_zeros test_trellis test_viterbi test_allocate test_sense test_lm test_gguf test_safetensors test_imatrix test_import test_tokenizer test_feedback test_flash test_kernels; do
        echo "$cc -std=gnu11 -O2 -static -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -DTRELLIS_ONE_IN=8 -I. tests/$t.c -o $out/$t.$run -lm && $run $out/$t.$run | tail -1 | sed 's/^/$run /' || echo '$run $t: 0 passed, 1 failed'"
    done
done > "$out/jobs"
for job in m3:golden m4:golden m4:core m4:kernels m7:kernels m33:kernels m55:golden m55:core m55:kernels rv32:golden; do
    board=${job%%:*} t=test_${job##*:}
    missing=$(examples/mcu/board.sh missing "$board")
    [ -z "$missing" ] || { echo "skipped: $t on $board, not installed: $missing"; continue; }
    echo "examples/mcu/board.sh run $board -DKERNELS_SMALL=1 tests/$t.c | tail -1 | sed 's/^/$board /' || echo '$board $t: 0 passed, 1 failed'"
done >> "$out/jobs"
echo "tests/mcu.sh 2> /dev/null | tail -1 | sed 's/^/all boards /'" >> "$out/jobs" # says itself what it skips
# The tool on Windows.
if command -v x86_64-w64-mingw32-g++ > /dev/null && command -v wine > /dev/null; then
    echo "tests/windows.sh 2> /dev/null | tail -1"
else
    echo "skipped: windows, x86_64-w64-mingw32-g++ or wine is not installed"
fi >> "$out/jobs"
# RISC-V with vectors: one binary on registers of several lengths. What is agnostic (lanes behind a vector, or masked) becomes ones.
cc="clang-19 --target=riscv64-linux-gnu -march=rv64gcv" run=qemu-riscv64
if command -v clang-19 > /dev/null && command -v "$run" > /dev/null && command -v riscv64-linux-gnu-gcc > /dev/null; then
    for t in test_golden test_tensor test_trellis test_viterbi test_kernels; do
        for bits in 128 256 512; do
            cpu=rv64,v=true,vlen=$bits,vext_spec=v1.0,rvv_ta_all_1s=true,rvv_ma_all_1s=true program=$out/$t.rvv$bits
            echo "$cc -std=gnu11 -O2 -static -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -DTRELLIS_ONE_IN=8 -I. tests/$t.c -o $program -lm && $run -cpu $cpu $program | tail -1 | sed 's/^/$run, V of $bits bits, /' || echo '$run, V of $bits bits, $t: 0 passed, 1 failed'"
        done
    done
else
    tests/needs.sh "skipped: RISC-V with vectors" clang-19 "$run" riscv64-linux-gnu-gcc 2>&1
fi >> "$out/jobs"
# More of Arm's instruction sets; and WebAssembly, which needs clang-19, lld-19, libclang-rt-19-dev-wasm32, wasi-libc and node; its stack of
# 64 KB is put first, so that what overruns it traps.
while IFS='|' read -r name cc run; do
    for t in "${cc%% *}" "${run%% *}"; do
        command -v "$t" > /dev/null || { echo "skipped: $name, $t is not installed ($(tests/needs.sh package "$t"))"; continue 2; }
    done
    for t in test_golden test_core test_transform test_tensor test_activation test_outliers test_zeros test_trellis test_viterbi test_allocate test_sense test_lm test_gguf test_safetensors test_imatrix test_import test_tokenizer test_feedback test_flash test_kernels; do
        program=$out/$t.$name
        echo "$cc -std=gnu11 -O2 -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -DTRELLIS_ONE_IN=8 -I. tests/$t.c -o $program -lm && $run $program | tail -1 | sed 's/^/$name /' || echo '$name $t: 0 passed, 1 failed'"
    done
done >> "$out/jobs" << 'targets'
aarch64+dotprod|aarch64-linux-gnu-gcc -static -march=armv8.2-a+dotprod|qemu-aarch64 -cpu max
aarch64+i8mm|aarch64-linux-gnu-gcc -static -march=armv8.6-a+i8mm|qemu-aarch64 -cpu max
armv7+neon|arm-linux-gnueabihf-gcc -static -march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard|qemu-arm -cpu max
wasm|clang-19 --target=wasm32-wasi -msimd128 -Wl,--stack-first|node --no-warnings tests/wasi.mjs
targets
# x86-64 that lacks the newer sets, by emulation: what a table does not need must not be there.
if command -v qemu-x86_64 > /dev/null; then
    for job in core2duo:ssse3 Haswell:avx2; do
        program=$out/kernels.${job##*:}
        echo "gcc -std=gnu11 -O2 -static -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -I. tests/test_kernels.c -o $program && qemu-x86_64 -cpu ${job%%:*} $program ${job##*:} 2> /dev/null | tail -1 | sed 's/^/x86-64 ${job%%:*} /' || echo 'x86-64 ${job%%:*} test_kernels: 0 passed, 1 failed'"
    done
else
    echo "skipped: qemu-x86_64 is not installed ($(tests/needs.sh package qemu-x86_64))"
fi >> "$out/jobs"
# Kernels of AVX-512 and VNNI, by intrinsics in plain C.
if tests/needs.sh "skipped: AVX-512 by emulation" gcc libsimde 2>&1; then
    program=$out/kernels.emulated features=0x1f # LLMQ_CPU_SSSE3 to LLMQ_CPU_VBMI
    echo "gcc -std=gnu11 -O1 -w -D_GNU_SOURCE -DLLMQ_CPU_FEATURES=$features -DKERNELS_ONE_IN=4 -isystem tests/emulated -I. tests/test_kernels.c -o $program -lm 2> /dev/null && $program | tail -1 | sed 's/^/AVX-512 by emulation /' || echo 'AVX-512 by emulation test_kernels: 0 passed, 1 failed'"
fi >> "$out/jobs"
# The vector kernels of this machine, by compiler and level.
for cc in gcc g++ clang clang++ clang-19 clang++-19; do
    command -v "$cc" > /dev/null || { echo "skipped: $cc is not installed ($(tests/needs.sh package "$cc"))"; continue; }
    case $cc in *++*) std="-x c++ -std=c++11" ;; *) std=-std=c99 ;; esac
    for level in -O0 -O2 -O3 "-O3 -march=native"; do
        program=$out/kernels.$cc${level// /}
        echo "$cc $std $level -D_GNU_SOURCE -DKERNELS_ONE_IN=4 -I. tests/test_kernels.c -o $program && $program | tail -1 | sed 's/^/$cc $level /' || echo '$cc $level test_kernels: 0 passed, 1 failed'"
    done
done >> "$out/jobs"
grep ^skipped "$out/jobs"
grep -v ^skipped "$out/jobs" | xargs -P 2 -d '\n' -n 1 bash -o pipefail -c | tee "$out/summary"
awk '/: [0-9]+ passed, [0-9]+ failed$/ { sub(/.*: /, ""); p += $1; f += $3 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$out/summary"
