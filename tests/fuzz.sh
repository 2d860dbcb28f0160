#!/usr/bin/env bash
# fuzz.sh - the fuzzers' own mutation loops under sanitizers, no fuzzing engine is needed: the golden bundle, files of models, and
# everything that the tool reads, beginning with files that the tool itself has made of a small model.
#     tests/fuzz.sh                   FUZZ_N inputs of each kind (default 3000; bundles and files of models 21000)
#     tests/fuzz.sh long SECONDS      libFuzzer instead, so many seconds for each reader, FUZZ_JOBS (2) at a time (needs clang)
#     tests/fuzz.sh seeds DIRECTORY   only makes the seeds, a directory for each reader
# VECTORS=FILE: the implementation, sanitized and with the vector kernels, is there already and is used for bundles.
cd "$(dirname "$0")/.." || exit 1
source tests/check.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
files="gguf safetensors imatrix import tokenizer" # readers with a program of their own, beside bundles
sanitize="-g -O1 -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"

# The seeds: what the tool makes of a checkpoint of two layers.
make_seeds() { # DIRECTORY
    local d=$1 r text=$work/text model=$work/model.bin tool=$work/llmq
    for r in $("$work/replay" -l) bundle $files; do mkdir -p "$d/$r"; done
    gcc -O1 -DLLMQ_SIMD=0 -o "$tool" examples/llmq/llmq.c -lm -lpthread || return 1
    printf 'the thing in the singing, the ring in the king and the inn\n%.0s' 1 2 3 > "$text"
    "$work/replay" -c "$model" && "$work/replay" -t "$d/llama2c/small" || return 1
    cp "$model" "$d/checkpoint/small"
    {
        "$tool" quantize "$model" "$d/model/g4" --tokenizer "$d/llama2c/small" --format g4 --group 32 &&
        "$tool" quantize "$model" "$d/model/t2" --tokenizer "$d/llama2c/small" --format t2 --group 0 --embed g4 --transform hadamard &&
        "$tool" sense "$model" --tokenizer "$d/llama2c/small" --calib "$text" -o "$d/sums/own" --imatrix "$d/sums/imatrix" --samples 2 &&
        "$tool" alpha "$model" --tokenizer "$d/llama2c/small" --text "$text" -o "$d/alphas/own" &&
        "$tool" plan "$model" --tokenizer "$d/llama2c/small" --hessian "$d/sums/own" --ratio 0.5 --rows 1 --out "$d/recipe/ratio"
    } > "$work/log" 2>&1 || { cat "$work/log"; return 1; }
    printf 'layers.0.wq g4 32 hadamard\nlayers.1.w2 v2n20 0\n# model 00000000\nlayers.1.wo t3s\n' > "$d/recipe/short"
    printf -- '--prompt\ntext\n-n5\n--damping=-1\n--kind\ntwo\ninput\n--formats\n4:token:0.9,8:zero\n--\n-out\n' > "$d/options/all"
    printf -- '-p\n\n--fold\n1\n--help\n' > "$d/options/help"
    printf 'smooth+rotate64+permute+hadamard128' > "$d/words/steps"
    printf 'version https://git-lfs.github.com/spec/v1\n\xc2\x9b\xe2\x80\xae 12.5e3' > "$d/words/foreign"
}

gcc -std=gnu11 $sanitize -DLLMQ_SIMD=0 -DREPLAY -o "$work/replay" fuzz/fuzz_tool.c -lm -lpthread || { echo "fuzz: 0 passed, 1 failed"; exit 1; }
case ${1:-short} in
seeds) make_seeds "$2"; exit ;;
long)
    command -v clang > /dev/null || { echo "clang is not installed (Debian: clang libclang-rt-14-dev)" >&2; exit 1; }
    mkdir -p build/corpus
    make_seeds build/corpus || exit 1
    for f in tool bundle $files; do clang -g -O1 -fsanitize=fuzzer,address,undefined,float-cast-overflow -fno-sanitize-recover=all -DLLMQ_SIMD=0 -o "build/fuzz_$f" "fuzz/fuzz_$f.c" -lm -lpthread || exit 1; done
    for f in bundle $files; do
        gcc -O1 -DLLMQ_SIMD=0 -DREPLAY -o "$work/seeds_$f" "fuzz/fuzz_$f.c" -lm && if [ "$f" = bundle ]; then "$work/seeds_$f" -s build/corpus/bundle/golden; else "$work/seeds_$f" -s "build/corpus/$f"; fi
    done
    for r in $("$work/replay" -l) bundle $files; do
        case " bundle $files " in *" $r "*) program=build/fuzz_$r ;; *) program=build/fuzz_tool ;; esac
        # exit() of the tool leads back into the fuzzer, so what was allocated until then is not freed
        echo "FUZZ_READER=$r ASAN_OPTIONS=detect_leaks=0 $program -max_total_time=${2:-600} -max_len=16384 -timeout=20 -rss_limit_mb=4000 -artifact_prefix=build/crash-$r- build/corpus/$r > build/fuzz-$r.log 2>&1; echo \"$r: \$? (\$(grep -oE 'Done [0-9]+ runs' build/fuzz-$r.log))\""
    done | xargs -P "${FUZZ_JOBS:-2}" -d '\n' -n 1 bash -c | tee "$work/long"
    ! grep -v ': 0 ' "$work/long"
    exit ;;
esac
n=${FUZZ_N:-3000}
check "seeds" make_seeds "$work/seeds"
for r in $("$work/replay" -l); do
    if FUZZ_READER=$r ASAN_OPTIONS=detect_leaks=0 "$work/replay" -n "$n" "$work/seeds/$r"/* > "$work/said" 2>&1; then passed=$((passed + n))
    else failed=$((failed + 1)); echo "FAIL $r: $(tail -n 30 "$work/said")"; fi
done
library=-DLLMQ_SIMD=0
[ -z "${VECTORS:-}" ] || library="-DLLMQ_IMPLEMENTED $VECTORS"
gcc -std=c11 $sanitize -DREPLAY $library -o "$work/bundle" fuzz/fuzz_bundle.c
if "$work/bundle" -n $((7 * n)); then passed=$((passed + 7 * n)); else failed=$((failed + 1)); fi
for f in $files; do
    gcc -std=c11 $sanitize -DREPLAY -o "$work/$f" "fuzz/fuzz_$f.c" -lm
    if "$work/$f" -n $((7 * n)); then passed=$((passed + 7 * n)); else failed=$((failed + 1)); fi
done
finish fuzz
