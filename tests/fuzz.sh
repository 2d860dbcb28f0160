#!/usr/bin/env bash
# fuzz.sh - the fuzzer's own mutation loop over the golden bundle, under sanitizers; no fuzzing engine is needed.
cd "$(dirname "$0")/.." || exit 1
program=$(mktemp)
trap 'rm -f "$program"' EXIT
n=${FUZZ_N:-20000}
if gcc -std=c11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -DREPLAY -o "$program" fuzz/fuzz_bundle.c && "$program" -n "$n"; then
    echo "fuzz: $n passed, 0 failed"
else
    echo "fuzz: 0 passed, 1 failed"
    exit 1
fi
