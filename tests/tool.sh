#!/usr/bin/env bash
# tool.sh - the example tool: its main job on the shipped model, its errors, and agreement with llama2.c where its model is
# found in STORIES (default ../shared/models). tool.sh quick leaves out comparisons of many models.
cd "$(dirname "$0")/.." || exit 1
all=1; [ "${1:-all}" = all ] || all=
stories=${STORIES:-../shared/models}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool=$work/llmq model=examples/model/kjv.llmq text=examples/model/heldout.txt
passed=0 failed=0
check() { # name condition-command...
    local name=$1; shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $name"; fi
}
says() { # pattern command...: fails, with this on stderr
    local pattern=$1; shift
    local got; got=$("$@" 2>&1 > /dev/null)
    local code=$?
    [ $code -ne 0 ] && grep -qE -- "$pattern" <<< "$got" || { echo "  expected /$pattern/, exit code $code, got: $got"; return 1; }
}
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }'; }

# TOOL: a program that is there already. The other one has neither threads nor vector kernels.
source=examples/llmq/llmq.c
if [ -n "${TOOL:-}" ]; then tool=$TOOL
else gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -Werror -o "$tool" $source -lm -lpthread || { echo "tool: 0 passed, 1 failed"; exit 1; }
fi
gcc -std=c11 -O1 -DLLMQ_NO_THREADS -DLLMQ_SIMD=0 -Wall -Wextra -Werror -o "$work/single" $source -lm || { echo "tool: 0 passed, 1 failed"; exit 1; }
python=/usr/bin/python3; [ -x $python ] || python=python3

# the main job
for f in g4 g3 g2 v2n16 u4 u8; do
    check "quantize $f" "$tool" quantize $model "$work/$f.llmq" --format $f > "$work/$f.out" 2> /dev/null
    check "inspect $f" grep -q 'checksums are right' <("$tool" inspect "$work/$f.llmq")
    $python tests/gen/bundle.py dump "$work/$f.llmq" > "$work/dump"
    check "python reads $f" grep -q 'layers.3.wv' "$work/dump"
done
"$tool" quantize $model "$work/again.llmq" --format g3 > /dev/null 2>&1
check "same input, same bytes" cmp -s "$work/g3.llmq" "$work/again.llmq"
for f in g4 t4 u4 v3n40 rtn4; do
    for n in 1 2 3; do "$tool" quantize $model "$work/threads$n" --format $f --embed g8 --threads $n > /dev/null 2>&1; done
    check "1, 2 and 3 threads, same bytes in $f" cmp -s "$work/threads1" "$work/threads2"
    check "and with 3" cmp -s "$work/threads1" "$work/threads3"
done
"$work/single" quantize $model "$work/threads2" --format t4 > /dev/null 2>&1
"$tool" quantize $model "$work/threads1" --format t4 --threads 2 > /dev/null 2>&1
check "nor without threads at all" cmp -s "$work/threads1" "$work/threads2"
if [ "$(uname)" = Linux ]; then # where the limit is of all memory that is not a file's; two copies of the model took 10 MB
    check "quantizing takes memory for a tensor, not for the model" bash -c "ulimit -d 3000; '$tool' quantize $model '$work/little' --format t4 --threads 1 > /dev/null"
    tests/gen/large_gguf.sh "$work/large.gguf" # 100 MB as f32
    check "nor for that of a GGUF file" bash -c "ulimit -d 8000; '$tool' quantize '$work/large.gguf' '$work/little' --format g4 --threads 1 > /dev/null 2>&1"
    check "all of which was written" grep -q 'checksums are right' <("$tool" inspect "$work/little")
fi
check "no file is left over" test ! -e "$work/again.llmq.part"
check "bits a weight" grep -q '3.250 bits a weight' "$work/g3.out"
"$tool" ppl --own "$work/g4.llmq" --text $text --tokens 256 --reference $model 2> /dev/null > "$work/ppl4"
"$tool" ppl --own "$work/g2.llmq" --text $text --tokens 256 --reference $model 2> /dev/null > "$work/ppl2"
"$work/single" ppl --own "$work/g4.llmq" --text $text --tokens 256 --reference $model 2> /dev/null > "$work/ppl4single"
check "neither threads nor vector kernels change results" cmp -s "$work/ppl4" "$work/ppl4single"
kl4=$(sed 's/.*reference \([0-9.]*\).*/\1/' "$work/ppl4") kl2=$(sed 's/.*reference \([0-9.]*\).*/\1/' "$work/ppl2")
check "4 bits: KL $kl4 below 0.07" less "$kl4" 0.07
check "more bits are better ($kl4, $kl2)" less "$kl4" "$kl2"
"$tool" run "$work/g4.llmq" --prompt "And the LORD said unto Moses," --tokens 40 2> /dev/null > "$work/said"
check "continues the prompt" grep -q '^And the LORD said unto Moses, [A-Za-z]' "$work/said"
"$tool" run "$work/g4.llmq" --tokens 20 --temperature 0.9 --seed 3 2> /dev/null > "$work/a"
"$tool" run "$work/g4.llmq" --tokens 20 --temperature 0.9 --seed 3 2> /dev/null > "$work/b"
check "seeded sampling repeats" cmp -s "$work/a" "$work/b"
TSV=1 "$tool" compare $model --text $text --tokens 256 --formats g4:128:none,rtn4:32 --key x 2> /dev/null > "$work/tsv"
check "compare prints keys" test "$(grep -cE $'^eval\\.x\\.(original|g4\\.none|rtn4)\\.(kl|ppl|bpw)\t[0-9.e-]+$' "$work/tsv")" = 8
TSV=1 "$tool" speed $model --prompt-tokens 20 --tokens 5 --batch 8 --threads 2 --key x > "$work/speed" 2> /dev/null
check "speed prints keys" test "$(grep -cE $'^x\\.(pp20|tg5)\\.tps\t[0-9.]+$' "$work/speed")" = 2
check "a prompt beyond the context" says "the context of the model has 256 tokens" "$tool" speed $model --prompt-tokens 257

"$tool" quantize $model "$work/v3n40.llmq" --format v3n40 > "$work/v3n40.out" 2> /dev/null
check "a grid that is not built in: bits" grep -q ' 2\.330 bits a weight' "$work/v3n40.out" # 192 columns: 56 bytes, 576: 167
$python tests/gen/bundle.py dump "$work/v3n40.llmq" > "$work/dump"
check "python reads its grid" grep -q 'grid.v3n40' "$work/dump"
check "inspect shows its grid" grep -q 'custom.*grid.v3n40' <("$tool" inspect "$work/v3n40.llmq")
check "and it runs" "$tool" ppl --own "$work/v3n40.llmq" --text $text --tokens 64 > /dev/null 2>&1

# calibration
calib=examples/model/calib.txt
sense="$tool sense $model --calib $calib --tokens 1500 --samples 8"
check "sense" $sense -o "$work/sums" --imatrix "$work/im.gguf" > "$work/sense.out" 2> /dev/null
check "it says what it did" grep -qE 'sums over 1500 tokens for 4 layers; [0-9.]+ s' "$work/sense.out"
check "no part is left" test ! -e "$work/sums.layer0"
$sense -o "$work/cut" > /dev/null 2>&1 & pid=$!
for i in $(seq 2000); do [ -e "$work/cut.layer1" ] && break; sleep 0.02; done
kill $pid; wait $pid 2> /dev/null
check "parts of a run that was stopped" test -e "$work/cut.layer0" -a ! -e "$work/cut"
touch -d '2001-01-01' "$work/cut.layer0"
cp -p "$work/cut.layer0" "$work/kept"
$sense -o "$work/cut" > /dev/null 2>&1
check "a run goes on where it was stopped, to the same bytes" cmp -s "$work/cut" "$work/sums"
cp "$work/kept" "$work/other.layer0" # a part of another run is not used
check "not with another run's parts" says "is of another run" "$tool" sense $model --calib $calib --tokens 600 --samples 8 -o "$work/other"
"$tool" sense $model --calib $calib --tokens 600 --samples 8 -o "$work/other" --force > /dev/null 2>&1
"$tool" sense $model --calib $calib --tokens 600 --samples 8 -o "$work/fresh" > /dev/null 2>&1
check "unless asked to, and then without them" cmp -s "$work/other" "$work/fresh"
for k in 1 2; do $sense --part $k/2 -o "$work/part$k" > /dev/null 2>&1; done
"$tool" merge "$work/merged" "$work/part1" "$work/part2" > /dev/null
"$tool" merge "$work/merged2" "$work/part1" "$work/part2" > /dev/null
check "merged twice, same bytes" cmp -s "$work/merged" "$work/merged2"
for s in sums merged; do
    "$tool" quantize $model "$work/$s.llmq" --format g3 --hessian "$work/$s" > "$work/$s.out" 2> /dev/null
    "$tool" ppl --own "$work/$s.llmq" --text $text --tokens 1024 --reference $model 2> /dev/null | sed 's/.*reference \([0-9.]*\).*/\1/' > "$work/$s.kl"
done
"$tool" ppl --own "$work/g3.llmq" --text $text --tokens 1024 --reference $model 2> /dev/null | sed 's/.*reference \([0-9.]*\).*/\1/' > "$work/g3.kl"
for f in g3 v2n16 t3; do
    for n in 1 2 3; do "$tool" quantize $model "$work/threads$n" --format $f --hessian "$work/sums" --order diagonal --first-order 0.02 --threads $n 2> /dev/null | sed -n 's/.*: \([0-9]* of [0-9]* rows\).*/\1/p' > "$work/rows$n"; done
    check "1, 2 and 3 threads, same bytes with feedback in $f" cmp -s "$work/threads1" "$work/threads2"
    check "with 3 too" cmp -s "$work/threads1" "$work/threads3"
    check "and the same rows without it" cmp -s "$work/rows1" "$work/rows3"
done
check "feedback: KL $(cat "$work/sums.kl") below $(cat "$work/g3.kl")" less "$(cat "$work/sums.kl")" "$(cat "$work/g3.kl")"
check "with merged sums too: $(cat "$work/merged.kl")" less "$(cat "$work/merged.kl")" "$(cat "$work/g3.kl")"
check "the same bits a weight" grep -q '3.250 bits a weight' "$work/sums.out"
for o in "--kind plain" "--kind diagonal --transform none" "--order diagonal" "--first-order 0.05" "--damping 0.1"; do
    check "quantize $o" "$tool" quantize $model "$work/x.llmq" --format v2n16 --hessian "$work/sums" $o > /dev/null 2>&1
done
check "an importance matrix" "$tool" quantize $model "$work/im.llmq" --format g3 --transform none --hessian "$work/im.gguf" > /dev/null 2>&1
"$tool" quantize $model "$work/diagonal.llmq" --format g3 --transform none --hessian "$work/sums" --kind diagonal > /dev/null 2>&1
# the same numbers but for a factor, whose rounding may tip a scale that is as good as another: 11 bytes of a million, when this was written
check "which is the diagonal of the sums" test "$(cmp -l "$work/im.llmq" "$work/diagonal.llmq" | wc -l)" -lt 200
"$tool" plan $model --hessian "$work/sums" --ratio 0.25 --rows 1 --out "$work/recipe" > "$work/plan.out" 2> /dev/null
check "plan: stored bits are 2.25 + 2 R" grep -qE '2\.(7[0-4]|750)[0-9]* bits a weight' "$work/plan.out"
check "plan: every layer has a line" test "$(grep -cE '^layers\.[0-3]\.w[qkvo123] t[24] 64 hadamard ' "$work/recipe")" = 28
"$tool" quantize $model "$work/mixed.llmq" --recipe "$work/recipe" > /dev/null 2>&1
check "quantize --recipe" test "$("$tool" inspect "$work/mixed.llmq" | grep -c ' t4 ')" = "$(grep -c ' t4 ' "$work/recipe")" -a "$(grep -c ' t4 ' "$work/recipe")" -gt 0
if [ $all ]; then
    TSV=1 "$tool" rank $model --hessian "$work/sums" --text $text --tokens 256 2> /dev/null > "$work/rank"
    check "rank prints keys" test "$(grep -cE $'^sense\\.spearman\\.(attention|trace|diagonal|norm|random)\t-?[0-9.e-]+$' "$work/rank")" = 5
    check "attention-aware sensitivities are better than mean squares" awk '{ v[$1] = $2 } END { exit !(v["sense.spearman.attention"] > v["sense.spearman.diagonal"]) }' "$work/rank"
fi
check "no calibration text" says "are needed" "$tool" sense $model
check "bad part" says "from 1 to N" "$tool" sense $model --calib $calib -o "$work/x" --part 3/2
check "sums that are none" says "neither sums of 'llmq sense' nor" "$tool" quantize $model "$work/x" --hessian $text
check "sums of another kind of file" says "has no sense" "$tool" quantize $model "$work/x" --hessian $model
check "a rotated diagonal" says "use --transform none" "$tool" quantize $model "$work/x" --hessian "$work/sums" --kind diagonal
check "bad kind" says "aware, plain or diagonal" "$tool" quantize $model "$work/x" --hessian "$work/sums" --kind fly
check "bad order" says "natural or diagonal" "$tool" quantize $model "$work/x" --hessian "$work/sums" --order fly
check "bad ratio" says "from 0 to 1" "$tool" plan $model --hessian "$work/sums" --ratio 2
check "bad rule" says "linear, uniform, aptq or carried" "$tool" plan $model --hessian "$work/sums" --rule fly --bpw 3
check "merging what does not belong together" says "has no sense.run, so it is no file of sums" "$tool" merge "$work/x" "$work/sums" $model
echo "layers.0.wq" > "$work/bad"
check "bad recipe" says "not a tensor and its format" "$tool" quantize $model "$work/x" --recipe "$work/bad"

# transforms made from a text
few="--calib $calib --calib-tokens 1500"
"$tool" quantize $model "$work/zigzag.llmq" $few --abits 4 > "$work/zigzag.out" 2> /dev/null
"$tool" quantize $model "$work/zigzag2.llmq" $few --transform smooth+permute+hadamard --abits 4 > /dev/null 2>&1
check "zigzag is the usual transform of a text, and the same each time" cmp -s "$work/zigzag.llmq" "$work/zigzag2.llmq"
"$tool" quantize $model "$work/zigzag2.llmq" $few --abits 4 --threads 3 > /dev/null 2>&1
check "with any number of threads" cmp -s "$work/zigzag.llmq" "$work/zigzag2.llmq"
"$tool" inspect "$work/zigzag.llmq" > "$work/inspected"
check "smoothing is folded into norms" grep -qE '^transform  transform.0.feed  +permute, signed Hadamard \(blocks up to 64,' "$work/inspected"
check "and permutations into rows" grep -qE '^transform  transform.0.down  +signed Hadamard' "$work/inspected"
check "but not before wo" grep -qE '^transform  transform.0.output  +smooth, permute, signed' "$work/inspected"
check "the model says its bits" grep -qE '^value +llama.abits +4$' "$work/inspected"
$python tests/gen/bundle.py dump "$work/zigzag.llmq" > "$work/dump"
check "python reads it" grep -q 'layers.3.wv' "$work/dump"
"$tool" quantize $model "$work/online.llmq" $few --fold 0 > /dev/null 2>&1
for m in zigzag online; do "$tool" ppl --own "$work/$m.llmq" --text $text --tokens 512 --abits 32 --reference $model 2> /dev/null | sed 's/.*reference \([0-9.]*\).*/\1/' > "$work/$m.kl"; done
check "folded or not, the same function: KL $(cat "$work/zigzag.kl") $(cat "$work/online.kl")" awk -v a="$(cat "$work/zigzag.kl")" -v b="$(cat "$work/online.kl")" 'BEGIN { exit !(a > 0 && b > 0 && a < 1.02 * b && b < 1.02 * a) }'
"$tool" ppl --own "$work/zigzag.llmq" --text $text --tokens 512 > "$work/own" 2> /dev/null
"$tool" ppl --own "$work/zigzag.llmq" --text $text --tokens 512 --abits 4 > "$work/asked" 2> /dev/null
"$tool" ppl --own "$work/zigzag.llmq" --text $text --tokens 512 --abits 8 > "$work/eight" 2> /dev/null
check "a model's own activations are used" cmp -s "$work/own" "$work/asked"
check "unless others are asked for" test "$(cat "$work/own")" != "$(cat "$work/eight")"
gcc -O1 -Wall -Wextra -Werror -o "$work/outlier_model" tests/outlier_model.c && "$work/outlier_model" $model "$work/outlier.llmq"
check "outliers by a rescaling: the same function" grep -q 'KL from the reference 0.00000' <("$tool" ppl --own "$work/outlier.llmq" --text $text --tokens 512 --reference $model 2> /dev/null)
if [ $all ]; then
    TSV=1 "$tool" compare "$work/outlier.llmq" --text $text --tokens 512 $few --steps 16 --abits 4 --key x --formats none=g4:64:none,smooth=g4:64:smooth,zigzag=g4:64:zigzag,duquant=g4:64:duquant \
        2> /dev/null | sed -n 's/^eval\.x\.\([a-z]*\)\.kl\t/\1 /p' > "$work/outliers"
    check "none is far worse than smoothing, and that worse than zigzag and duquant: $(tr '\n' ' ' < "$work/outliers")" \
        awk '{ v[$1] = $2 } END { exit !(v["none"] > 10 * v["smooth"] && v["smooth"] > v["zigzag"] && v["smooth"] > v["duquant"] && v["zigzag"] > 0) }' "$work/outliers"
fi
if [ $all ]; then
    "$tool" quantize $model "$work/fedzag.llmq" $few --format g3 --hessian "$work/sums" > /dev/null 2>&1
    check "with error feedback" less "$("$tool" ppl --own "$work/fedzag.llmq" --text $text --tokens 1024 --reference $model 2> /dev/null | sed 's/.*reference \([0-9.]*\).*/\1/')" "$(cat "$work/g3.kl")"
fi
check "no text to make it from" says "calib FILE is missing" "$tool" quantize $model "$work/x" --transform zigzag
check "bad criterion" says "error, peak or range" "$tool" quantize $model "$work/x" $few --criterion fly
check "bad bits of activations" says "2 ... 8 bits, or 32" "$tool" ppl --own $model --text $text --abits 9
check "bad words behind them" says "can be :zero" "$tool" ppl --own $model --text $text --abits 4:fly
for o in 4:symmetric 6 5:batch 8:zero:token:0.9; do check "abits $o" "$tool" ppl --own "$work/g4.llmq" --text $text --tokens 32 --abits $o > /dev/null 2>&1; done

# a cache of few bits, a window of positions
"$tool" ppl --own "$work/g4.llmq" --text $text --tokens 256 --kv-bits 32,8,4 2> /dev/null > "$work/kv"
"$tool" ppl --own "$work/g4.llmq" --text $text --tokens 256 2> /dev/null > "$work/kv.none"
check "a line for each cache" test "$(grep -cE '^256 tokens, .*, cache of (32|8|4) bits' "$work/kv")" = 3 -a "$(wc -l < "$work/kv")" = 3
check "f32 is what there is without the option" test "$(sed -n '1s/, cache of 32 bits$//p' "$work/kv")" = "$(cat "$work/kv.none")"
kv8=$(sed -n '2s/.*cache of 8 bits, KL from the first \([0-9.]*\) .*/\1/p' "$work/kv") kv4=$(sed -n '3s/.*cache of 4 bits, KL from the first \([0-9.]*\) .*/\1/p' "$work/kv")
check "8 bits are better than 4, and both are near: KL $kv8 $kv4" awk -v a="$kv8" -v b="$kv4" 'BEGIN { exit !(a > 0 && a < 0.002 && b > 5 * a && b < 0.1) }'
"$tool" ppl --own "$work/g4.llmq" --text $text --tokens 256 --kv-bits 4 --reference $model 2> /dev/null > "$work/kv.one"
check "one cache: its perplexity, KL from the reference" test "$(sed -n 's/, KL from the reference [0-9.]* nats, same likeliest token [0-9.]* %$//p' "$work/kv.one")" = "$(sed -n '3s/, cache of .*//p' "$work/kv")"
said() { "$tool" run "$work/g4.llmq" --prompt "And the LORD said" --temperature 0.9 --seed 4 "$@" 2> /dev/null | tr '\n' ' '; }
long=$(said --kv-bits 4 --kv-window 32 --tokens 300) cut=$(said --kv-bits 4 --kv-window 32 --tokens 256)
short=$(said --kv-bits 4 --tokens 256) whole=$(said --kv-bits 4 --kv-window 256 --tokens 300)
begins() { [ "${1:0:$((${#2} - 1))}" = "${2:0:$((${#2} - 1))}" ]; } # but for the newline
check "a window goes on beyond the context" test ${#long} -gt $((${#cut} + 44)) # a token is a letter at least
check "as it began" begins "$long" "$cut"
check "without one it says that it cannot" says "the model's context 256; --kv-window" "$tool" run "$work/g4.llmq" --tokens 300
check "a window of the context goes on from there" test ${#whole} -gt $((${#short} + 43))
check "as without one" begins "$whole" "$short"
check "two windows are not the same" test "${long:0:${#short}}" != "$short"
check "a window of one" test -n "$(said --kv-window 1)"
check "the same text each time" test "$(said --kv-bits 4 --kv-window 32 --tokens 300)" = "$long"
check "bits there are none of" says "2, 3, 4, 5, 6, 8, 16 or 32 bits" "$tool" run $model --kv-bits 7
check "in a list" says "2, 3, 4, 5, 6, 8, 16 or 32 bits" "$tool" ppl --own $model --text $text --kv-bits 32,7
check "bits that are too many for a number" says "2, 3, 4, 5, 6, 8, 16 or 32 bits" "$tool" ppl --own $model --text $text --kv-bits 4294967300
check "bits that are none" says "a whole number from 2 to 32, not 'x'" "$tool" run $model --kv-bits x
check "a list that is none" says "numbers with commas between them, not 'x'" "$tool" ppl --own $model --text $text --kv-bits 32,x
check "an empty list" says "a list with commas between" "$tool" ppl --own $model --text $text --kv-bits ""
check "a list too long" says "a list of 1 ... 8 numbers" "$tool" ppl --own $model --text $text --kv-bits 8,8,8,8,8,8,8,8,8
check "a window that is negative" says "from 0 to 16777216, not '-1'" "$tool" run $model --kv-window -1
check "a window too long" says "from 0 to 16777216, not" "$tool" run $model --kv-window 16777217

# the best file of a size
alpha="$tool alpha $model --text $calib --tokens 256 --levels 0.1"
$alpha --out "$work/alpha" > "$work/alpha.out" 2> /dev/null
check "alpha: a line for each layer, none negative here" test "$(grep -cE '^layers\.[0-3]\.w[qkvo123] [0-9.e-]+ [0-9.e-]+$' "$work/alpha")" = 28
head -12 "$work/alpha" > "$work/alpha2"; sed -i 's/^layers.0.wk .*/layers.0.wk 123 0/' "$work/alpha2"
$alpha --out "$work/alpha2" > /dev/null 2>&1
check "a run that was stopped goes on from its lines" test "$(grep -c '^layers' "$work/alpha2")" = 28 -a "$(grep -c '^layers.0.wk 123 0$' "$work/alpha2")" = 1
check "and makes the others as before" test "$(diff "$work/alpha" "$work/alpha2" | grep -c '^[<>]')" = 2
sed -i '1s/.*/# another run/' "$work/alpha2"
check "but not from another run's" says "another run has found" $alpha --out "$work/alpha2"
if [ $all ]; then
    $alpha --out "$work/alpha2" --force > /dev/null 2>&1
    check "which it can write over" cmp -s "$work/alpha" "$work/alpha2"
fi
$alpha --threads 1 --out "$work/alpha1" > /dev/null 2>&1
check "one thread finds the same" cmp "$work/alpha" "$work/alpha1"
check "alpha without data" "$tool" alpha $model --random 64 --levels 0.1 --out "$work/alpha.random" > /dev/null 2>&1
if [ $all ]; then
    check "alpha of the loss" "$tool" alpha $model --text $calib --tokens 64 --levels 0.1 --metric loss --out "$work/alpha.loss" > /dev/null 2>&1
fi
for size in 850k ${all:+0.95MB 1050000} 1.4MB 2MB; do
    bytes=$(echo $size | awk '{ print int($1 * ($1 ~ /k$/ ? 1e3 : $1 ~ /MB$/ ? 1e6 : 1) + 0.5) }')
    "$tool" plan $model --size $size --alpha "$work/alpha" --rows 2 -o "$work/recipe" > "$work/plan.out" 2> /dev/null
    "$tool" quantize $model "$work/sized.llmq" --recipe "$work/recipe" > /dev/null 2>&1
    got=$(stat -c %s "$work/sized.llmq")
    check "size $size: $got bytes, not over $bytes and within 0.5 %" test "$got" -le "$bytes" -a $((got * 1000)) -ge $((bytes * 995))
    check "which plan foretold, with a proof" grep -q "file of $got bytes.*proven the least" "$work/plan.out"
done
"$tool" inspect "$work/sized.llmq" | awk '/^tensor +layers.*\.w/ { print $2, $6, $8 }' | sort > "$work/stored"
awk '/^layers/ { print $1, $2, $3 }' "$work/recipe" | sort > "$work/asked"
check "the file is what the recipe says" cmp -s "$work/stored" "$work/asked"
for rule in linear uniform aptq; do
    "$tool" plan $model --bpw 3.3 --rule $rule --alpha "$work/alpha" --hessian "$work/sums" --rows 4 -o "$work/plan.$rule" > /dev/null 2>&1
done
if [ $all ]; then
    TSV=1 "$tool" compare $model --text $text --tokens 1024 --abits 32 --key x --formats "linear=@$work/plan.linear,uniform=@$work/plan.uniform,aptq=@$work/plan.aptq" 2> /dev/null |
        sed -n 's/^eval\.x\.\([a-z]*\)\.kl\t/\1 /p' > "$work/rules"
    check "linear is better than uniform and aptq: $(tr '\n' ' ' < "$work/rules")" awk '{ v[$1] = $2 } END { exit !(v["linear"] > 0 && v["linear"] < v["uniform"] && v["linear"] < v["aptq"]) }' "$work/rules"
fi
plan="$tool plan $model --bpw 3.6 --alpha $work/alpha --rows 1"
$plan --pin wv=g8 --least layers.0=t4 --tie 0 -o "$work/pinned" > /dev/null 2>&1
check "pins" test "$(grep -c '\.wv g8 ' "$work/pinned")" = 4
check "minima" test "$(grep -cE '^layers\.0\.w[a-z0-9]+ (t4|g5|g6|g8) ' "$work/pinned")" = 7
$plan --tie 1 -o "$work/tied" > /dev/null 2>&1
check "tied inputs" test "$(awk '/\.w[qkv13] / { sub(/\.w[qkv] /, ".a "); sub(/\.w[13] /, ".f "); print $1, $2 }' "$work/tied" | sort -u | wc -l)" = 8
$plan --tensor-types "$work/types" -o "$work/x" > /dev/null 2>&1
check "types for llama.cpp" test "$(grep -cE '^blk\\\.[0-3]\\\.(attn|ffn)_[a-z]+\\\.weight=q[2-8]_[k0]$' "$work/types")" = 28
if [ $all ]; then
    for e in gauss hessian; do check "errors $e" $plan --errors $e --hessian "$work/sums" -o "$work/x" > /dev/null 2>&1; done
    $plan --measure $text --tokens 64 -o "$work/x" > "$work/measured" 2> /dev/null
    check "measured layers" test "$(grep -cE '^layers\.[0-3]\.w[qkvo123] ' "$work/measured")" = 28
    TSV=1 "$tool" linearity $model --alpha "$work/alpha" --text $text --tokens 256 --recipes 4 --below 2 --key x > "$work/linear" 2> /dev/null
    check "linearity prints keys" test "$(grep -cE $'^eval\\.x\\.linearity\\.(([0-5]\\.(bpw|foretold|kl))|r2|below\\.r2)\t-?[0-9.e+-]+$' "$work/linear")" = 20
fi
check "a size below the least" says "the least these formats need" "$tool" plan $model --bpw 1 --alpha "$work/alpha" --rows 1
check "a size without room for the rest" says "without its linear layers" "$tool" plan $model --size 100k --alpha "$work/alpha" --rows 1
check "no size" says "one of --size, --bpw" "$tool" plan $model --alpha "$work/alpha"
check "linear without coefficients" says "needs --alpha" "$tool" plan $model --bpw 3 --rule linear
check "a size that is none" says "number of bytes" "$tool" plan $model --size fly --alpha "$work/alpha" --rows 1
check "a pin of nothing" says "no tensor has" $plan --pin fly=g8
check "a pin that is none" says "NAME=FORMAT" $plan --pin fly
check "two transforms in a recipe" says "one transform for all" "$tool" quantize $model "$work/x" --recipe <(printf 'layers.0.wq g4 64 none\nlayers.0.wk g4 64 hadamard\n')

# help and errors
for c in quantize run ppl speed compare inspect sense merge alpha plan linearity rank; do check "$c --help" grep -q "usage: llmq $c" <("$tool" $c --help); done
check "no command" says "^$|no command" "$tool"
check "unknown command" says "no command 'fly'" "$tool" fly
check "unknown option" says "unknown option --fly" "$tool" run $model --fly 1
check "missing argument" says "needs an argument" "$tool" run $model --tokens
check "bad number" says "is a whole number from 0" "$tool" run $model --tokens -3
check "missing output" says "output file is missing" "$tool" quantize $model
check "no such file" says "cannot open" "$tool" run "$work/none"
check "not a model" says "neither a .llmq bundle nor" "$tool" run $text
head -c 100000 $model > "$work/cut"
check "cut bundle" says "cut off" "$tool" run "$work/cut"
cp $model "$work/flip"; printf x | dd of="$work/flip" bs=1 seek=2000000 conv=notrunc 2> /dev/null
check "changed bundle" says "checksum" "$tool" run "$work/flip"
check "inspect tells" grep -q DAMAGED <("$tool" inspect "$work/flip")
former() { # BUNDLE ID: $work/former, the bundle with tensors of a format that it calls ID
    $python - "$1" "$2" "$work/former" <<'END'
import struct, sys, zlib
b = bytearray(open(sys.argv[1], "rb").read())
count, names = struct.unpack("<II", b[28:36])
for at in range(64, 64 + 64 * count, 64):
    if struct.unpack("<H", b[at:at + 2])[0] == 1:
        b[at + 12:at + 16] = struct.pack("<I", int(sys.argv[2]))
b[12:16] = struct.pack("<I", zlib.crc32(b[16:64 + 64 * count + names]))
open(sys.argv[3], "wb").write(b)
END
}
former "$work/g4.llmq" 43
check "a format of version 0.10" says "former: v3n64 was built in until 0.10; quantize the model again, in t2" "$tool" run "$work/former"
check "inspect names it" says "v3n64 was built in until 0.10" "$tool" inspect "$work/former"
former "$work/u4.llmq" 51
check "another" says "u6 was built in until 0.10.* in g6" "$tool" ppl --own "$work/former" --text $text
former "$work/u4.llmq" 53
check "one that never was" says "former: .*\(at byte [0-9]+\)" "$tool" inspect "$work/former"
check "unknown format" says "no format 'g7'" "$tool" quantize $model "$work/x" --format g7
check "bad group" says "no format 'g4' with group 33" "$tool" quantize $model "$work/x" --group 33
check "bad block" says "power of two" "$tool" quantize $model "$work/x" --block 100
check "bad transform" says "transforms are none, zigzag, duquant" "$tool" quantize $model "$work/x" --transform fly
check "quantized twice" says "already quantized" "$tool" quantize "$work/g4.llmq" "$work/x" --format g3
check "window too long" says "at most the context" "$tool" ppl --own $model --text $text --window 257
check "unwritable" says "cannot write" "$tool" quantize $model "$work/no/such/dir"
: > "$work/empty"
check "empty text" says "is empty" "$tool" ppl --own $model --text "$work/empty"

if [ -f "$stories/stories260K.bin" ]; then
    tok="--tokenizer $stories/tok512.bin"
    "$tool" run "$stories/stories260K.bin" $tok --tokens 200 2> /dev/null > "$work/story"
    # the SHA-256 of expected_stdout in llama2.c's own test_all.py, with the newline that ends it
    check "llama2.c's greedy text, 200 tokens" test "$(sha256sum < "$work/story" | cut -c1-16)" = f5a0e67db7424051
    if [ $all ]; then
    tr -s '\n' < "$stories/ts_eval_120k.txt" > "$work/ts.txt"
    check "perplexity of 20,000 tokens is 3.940" grep -qE 'perplexity 3\.(9395|9396|9397|9398|9399|940[0-4])' \
        <("$tool" ppl --own "$stories/stories260K.bin" $tok --text "$work/ts.txt" --tokens 20000 2> /dev/null)
    fi
    head -c 4000 "$stories/ts_calib_38k.txt" | tr -s '\n' > "$work/ts.calib"
    check "transforms from a text, with windows of 512" "$tool" quantize "$stories/stories260K.bin" "$work/ts.llmq" $tok --calib "$work/ts.calib" > /dev/null 2>&1
    check "no tokenizer" says "give one with --tokenizer" "$tool" run "$stories/stories260K.bin"
    head -c 500000 "$stories/stories260K.bin" > "$work/cut.bin"
    check "cut checkpoint" says "cut off" "$tool" run "$work/cut.bin" $tok
else
    echo "skipped: stories260K.bin is not in $stories"
fi
echo "tool: $passed passed, $failed failed"
[ $failed -eq 0 ]
