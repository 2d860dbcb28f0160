#!/usr/bin/env bash
# fuzz.sh - the fuzzer's own mutation loop over the golden bundle, under sanitizers; no fuzzing engine is needed.
# VECTORS=FILE: the implementation, sanitized, is there already. At -O0 its vector kernels take a twentieth of the time to compile.
cd "$(dirname "$0")/.." || exit 1
program=$(mktemp)
trap 'rm -f "$program"' EXIT
n=${FUZZ_N:-20000}
library=
[ -z "${VECTORS:-}" ] || library="-DLLMQ_IMPLEMENTED $VECTORS"
# shellcheck disable=SC2086 # a flag and a file
if gcc -std=c11 -O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all -DREPLAY $library -o "$program" fuzz/fuzz_bundle.c && "$program" -n "$n"; then
    echo "fuzz: $n passed, 0 failed"
else
    echo "fuzz: 0 passed, 1 failed"
    exit 1
fi
