#!/usr/bin/env bash
# tool_models.sh - what the tool makes of models, tokenizers, sums, recipes and other files that are not what they could be, or not what they
# were given for. Right values come from tests/gen/oracle.py, a forward pass of its own in float64.
#
#     TOOL=PROGRAM tests/tool_models.sh     another build of the tool; else one with sanitizers is made
cd "$(dirname "$0")/.." || exit 1
. tests/check.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=/usr/bin/python3; [ -x $python ] || python=python3
$python -c 'import numpy' 2> /dev/null || { echo "skipped: tool_models, numpy is not installed (python3-numpy)"; echo "tool_models: 0 passed, 0 failed"; exit 0; }
export ASAN_OPTIONS=detect_leaks=0 # what a command has allocated ends with it
root=$PWD
if [ -z "${TOOL:-}" ]; then
    TOOL=$work/llmq
    gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O0 -DLLMQ_SIMD=0 -fsanitize=address,undefined -fno-sanitize-recover=all -o "$TOOL" examples/llmq/llmq.c -lm -lpthread ||
        { echo "tool_models: 0 passed, 1 failed"; exit 1; }
fi
case $TOOL in /*) ;; *) TOOL=$root/$TOOL ;; esac
$python tests/gen/oracle.py make "$work" || { echo "tool_models: 0 passed, 1 failed"; exit 1; }
cd "$work" || exit 1
oracle() { $python "$root/tests/gen/oracle.py" "$@"; }

expected() { sed -n "s/^$1 //p" expected; }
# loss NAME MODEL [options]: is the loss of text as the oracle has it under NAME?
loss() { # the text is $of, or text
    local name=$1 model=$2 got; shift 2
    got=$("$TOOL" ppl --own "$model" --text "${of:-text}" "$@") || return 1
    awk -v a="$(expected "$name")" -v b="$(sed 's/.*loss \([0-9.]*\) .*/\1/' <<< "$got")" 'BEGIN { d = a - b; exit !(a > 0 && b > 0 && d < 2e-5 && d > -2e-5) }' ||
        { echo "expected $(expected "$name"), got: $got"; return 1; }
}
fails() { says "$@"; }                             # says PATTERN COMMAND...
quietly() { "$@" > stdout.out 2> stderr.out || { cat stderr.out; return 1; }; }
ckpt() { local name=$1 model=$2; shift 2; loss "$name" "$model" --tokenizer tok --prefix 0 "$@"; }

check "the oracle and the tool agree on a bundle" loss plain plain.llmq
check "and on a checkpoint" ckpt plain plain.bin
check "and on its tokens" grep -q "^$(expected tokens) tokens" <("$TOOL" ppl --own plain.llmq --text text)

# T1: names with numbers
for k in 0 1 2 3 4 5 6 7 8 9; do
    name=$(sed 's/[+.]/\\&/g' "unknown$k.name")
    check "a tensor $(cat unknown$k.name)" fails "unknown$k.llmq: $name is not known here" "$TOOL" quantize unknown$k.llmq out
done
check "no output of these" test ! -e out
check "not to sense either" fails "layers\.5\.wq is not known" "$TOOL" sense unknown0.llmq --calib text -o out
check "a recipe's number" fails "line 1: the model has no layers\.2\.wq" "$TOOL" quantize plain.llmq out --recipe <(echo layers.2.wq g4)
fault T1

# T2: long transforms, many layers
long=hadamard1024+hadamard1024+hadamard1024+hadamard1024+hadamard1024+hadamard1024+hadamard1024+hadamard1024
check "plan: eight steps, twelve layers" quietly "$TOOL" plan big.llmq --rule uniform --bpw 4.6 --rows 1 --formats g3,g4 --transform $long -o long.recipe --tensor-types long.types
check "each layer has its line, whole" test "$(grep -cE "^layers\.([0-9]|1[01])\.w[qkvo123] g[34] 64 $(sed 's/+/\\+/g' <<< $long)  # [0-9.]+ bits, t2 [0-9.]+, alpha [0-9.e+-]+, [0-9.]+ %$" long.recipe)" = 84
check "and its type" test "$(grep -cE '^blk\\\.([0-9]|1[01])\\\.(attn|ffn)_[a-z]+\\\.weight=q[2-8]_[k0]$' long.types)" = 84
check "which quantize understands" quietly "$TOOL" quantize big.llmq long.llmq --recipe long.recipe
check "and nothing else is in it" test "$(grep -vc '^#' long.recipe)" = 84
fault T2

# T3: sums
for m in plain other; do check "sense $m" quietly "$TOOL" sense $m.llmq --calib text -o $m.sums; done
oracle edit plain.sums five.sums sense.0.trace five
oracle edit plain.sums five2.sums sense.1.wq five
oracle edit plain.sums few.sums sense.1.wq gone
oracle edit plain.sums nan.sums sense.0.trace "$(printf '0000c07f%0136d' 0)" # 72 bytes
for s in five five2 few; do
    check "merge of $s" fails "sense\.[01]\.(trace|wq) has 5 bytes|layer 1 are not complete" "$TOOL" merge out $s.sums plain.sums
    check "merge with $s" fails "sense\.[01]\.(trace|wq) has 5 bytes|layer 1 are not complete" "$TOOL" merge out plain.sums $s.sums
done
check "merge of a model" fails "plain.llmq has no sense.run, so it is no file of sums but a .llmq bundle of a model" "$TOOL" merge out plain.llmq plain.llmq
check "sums that are NaN" fails "number 0 of sense.0.trace is nan" "$TOOL" merge out nan.sums nan.sums
check "a part twice" fails "added already" "$TOOL" merge out plain.sums plain.sums
for k in 1 2; do quietly "$TOOL" sense plain.llmq --calib text --part $k/2 -o part$k; done
check "two parts" quietly "$TOOL" merge both part1 part2
check "a sum and a part of it" fails "added already" "$TOOL" merge out both part2
check "the sum is used" quietly "$TOOL" quantize plain.llmq out --format g3 --hessian both
rm -f out
oracle edit plain.sums none.sums sense.0.trace "$(printf '%0144d' 0)" # 72 bytes: a stream without power
check "powers of 0" fails "the powers of sense.0.trace are not above 0" "$TOOL" rank plain.llmq --text text --hessian none.sums
fault T3

# T8: numbers that are none
for k in 0 1 2 3 4; do
    check "quantize: $(cat nan$k.name)" fails "$(cat nan$k.name)" "$TOOL" quantize nan$k.llmq out
    check "ppl: $(cat nan$k.name)" fails "$(cat nan$k.name)" "$TOOL" ppl --own nan$k.llmq --text text
done
check "in a checkpoint" fails "nan.bin: layers.0.norm1 is NaN or infinite in row 0, column 3" "$TOOL" quantize nan.bin out
check "weights whose products are none: ppl" fails "logit [0-9]+ is not a number" "$TOOL" ppl --own huge.llmq --text text
check "and run" fails "logit [0-9]+ is not a number" "$TOOL" run huge.llmq --tokens 4
check "and alpha" fails "logit [0-9]+ is not a number" "$TOOL" alpha huge.llmq --random 8 --out out
check "too large for f16" fails "embed: the number in row 5, column 6 is too large for f16" "$TOOL" quantize wide.llmq out --embed f16
check "nothing was written" test ! -e out
fault T8

# T9, T10, T11: what files say of the computation
check "biases" loss bias bias.llmq
check "a single bias" loss one_bias one_bias.llmq
check "biases, theta, epsilon and halves" loss all all.llmq
check "halves" loss halves halves.llmq
check "quantize keeps them" quietly "$TOOL" quantize all.llmq all.f32 --format f32 --transform none
check "so that nothing changes" loss all all.f32
check "a value that is not known" fails "llama.rope_scaling is not known here" "$TOOL" ppl --own value.llmq --text text
check "a value of another type" fails "llama.rope_theta has another shape, or another value" "$TOOL" ppl --own type.llmq --text text
check "a value of the tokenizer" fails "tokenizer.lower is not known here" "$TOOL" ppl --own tokvalue.llmq --text text
check "calibration knows them" quietly "$TOOL" sense all.llmq --calib text -o all.sums
check "and coefficients" quietly "$TOOL" alpha all.llmq --random 8 --levels 0.1 --out all.alpha
fault T9
for t in theta1e6 theta5e5 theta123; do
    check "a value of $t" loss $t $t.llmq
    check "a checkpoint of $t" ckpt $t $t.bin
done
quietly "$TOOL" quantize theta1e6.bin theta.llmq --format f32 --transform none
check "the theta that was meant" grep -qE '^value +lm.rope_theta +1e\+06$' <("$TOOL" inspect theta.llmq)
quietly "$TOOL" quantize plain.bin theta.llmq --format f32 --transform none
check "the usual one is not said" test "$("$TOOL" inspect theta.llmq | grep -c rope_theta)" = 0
check "tables of zeros say nothing" ckpt plain notable.bin
check "one cosine that is not of it" fails "of no theta \(cosine or sine of position 7, pair 2\)" "$TOOL" run onewrong.bin --tokenizer tok
check "scaled positions" fails "of no theta \(cosine or sine of position 1, pair 0\)" "$TOOL" run scaled.bin --tokenizer tok
check "bytes behind a checkpoint" fails "goes on behind its tensors" "$TOOL" run trailing.bin --tokenizer tok
check "a checkpoint that is cut" fails "cut off" "$TOOL" run cut.bin --tokenizer tok
fault T10
check "an epsilon of the bundle" loss small small.llmq
check "of a checkpoint" ckpt small small.bin --epsilon 1e-6
check "1e-5 is the usual one" ckpt small5 small.bin
quietly "$TOOL" quantize small.bin epsilon.llmq --format f32 --transform none --epsilon 1e-6 --tokenizer tok --prefix 0
check "quantize writes it into the model" loss small epsilon.llmq
fault T11

# T12: importance matrices
im() { "$TOOL" quantize plain.llmq "$1.out" --format g3 --transform none --hessian "$1" > /dev/null; }
check "an importance matrix" im im
check "without ffn_gate: that of ffn_up" im im_nogate
check "which has the same input" cmp im.out im_nogate.out
check "attn_q and ffn_gate alone" im im_onlyq
check "likewise" cmp im.out im_onlyq.out
check "neither gate nor up" fails "nothing on blk.0.ffn_gate.weight \(layers.0.w1 here\), nor on another matrix of the same input" im im_noffn
check "experts" fails "mixture of experts: it has blk.0.ffn_gate_exps.weight of 2 experts, and this model has the one matrix blk.0.ffn_gate.weight" im im_experts
check "two experts by the usual name" fails "blk.1.attn_q.weight is of 2 experts of 32 inputs" im im_two
fault T12

# T14, T15: tokenizers
check "fewer pieces than the model has ids" loss tok268 plain.bin --tokenizer tok268 --prefix 0
check "and run" quietly "$TOOL" run plain.bin --tokenizer tok268 --tokens 20 --temperature 2 --top-p 1
check "a piece of 160 bytes" loss plain plain.bin --tokenizer toklong --prefix 0
check "more pieces" fails "the tokenizer has 280 pieces, the model 272" "$TOOL" run plain.bin --tokenizer tok280
check "65 characters" fails "the tokenizer has 65 pieces; one of llama2.c has at least 259" "$TOOL" run plain.bin --tokenizer tok65
check "a tokenizer that is cut" fails "the tokenizer ends within piece 271" "$TOOL" run plain.bin --tokenizer tokcut
check "a score that is NaN" fails "the score of piece 260 of the tokenizer is not a number" "$TOOL" run plain.bin --tokenizer toknan
fault T14
check "bytes as raw pieces" loss tokraw plain.bin --tokenizer tokraw --prefix 0
for ((k = 0; k < $(expected texts); k++)); do
    of=t$k check "text $k, raw bytes" loss t$k plain.bin --tokenizer tokraw --prefix 0
    of=t$k check "text $k, named bytes" loss u$k plain.bin --tokenizer tok --prefix 0
done
unset of
# new bundles have one form
check "a tokenizer of llama2.c" quietly "$TOOL" quantize plain.bin new.llmq --format f32 --embed f32 --transform none --tokenizer tok --prefix 0
check "is stored in the form of all" grep -q LTOK new.llmq
check "without a space before texts" loss plain new.llmq
check "so is that of an older bundle" quietly "$TOOL" quantize plain.llmq again.llmq --format f32 --embed f32 --transform none
check "with no value beside it" test "$("$TOOL" inspect again.llmq | grep -c tokenizer)" = 1
check "and the same text" loss plain again.llmq
oracle edit plain.llmq both.llmq tokenizer 4c544f4b
check "which has no prefix beside it" fails "tokenizer.prefix is of tokenizers of llama2.c" "$TOOL" run both.llmq
fault T15

# texts that are drawn
for k in 0 1 2 3 4; do
    # shellcheck disable=SC2046 # words
    check "a text that is drawn, $(cat sampled$k.how)" cmp sampled$k <("$TOOL" run plain.llmq --prompt "the man" --tokens 24 $(cat sampled$k.how) 2> stderr.out)
done

# T16: files of other kinds
while read -r kind words; do
    [ $kind = gguf ] || check "$kind as a model" fails "k.$kind is neither a .llmq bundle nor a llama2.c checkpoint: it is $words" "$TOOL" run k.$kind
    [ $kind = gguf ] || check "$kind as a bundle" fails "k.$kind is no .llmq bundle: it is $words" "$TOOL" inspect k.$kind
    check "$kind as a tokenizer" fails "k.$kind is no tokenizer of llama2.c: it is $words" "$TOOL" run plain.bin --tokenizer k.$kind
    check "$kind as sums" fails "k.$kind is neither sums of 'llmq sense' nor an importance matrix of llama.cpp: it is $words" "$TOOL" quantize plain.llmq out --hessian k.$kind
    [ $kind = empty ] && continue
    check "$kind as a recipe" fails "k.$kind is no recipe: it is $words" "$TOOL" quantize plain.llmq out --recipe k.$kind
    check "$kind as coefficients" fails "k.$kind is no file of 'llmq alpha': it is $words" "$TOOL" plan plain.llmq --bpw 4 --alpha k.$kind
done << 'END'
gguf a GGUF file; it goes where a model is expected
safetensors a safetensors file; give the folder that it is in
pt a zip archive, as PyTorch writes checkpoints; convert
pickle a Python pickle, as PyTorch wrote checkpoints; convert
lfs a pointer of git-lfs, not the file itself; fetch the file with 'git lfs pull'
html a page of the web \(HTML\), not the file itself; fetch the file again
gz compressed by gzip; unpack it
onnx an ONNX model, it seems; convert
json JSON; give the file of weights
v2 a llama2.c checkpoint of version 1 or 2, which llmq does not read; export the model
empty empty
END
check "a GGUF file that is none" fails "k.gguf: general.architecture: missing" "$TOOL" run k.gguf
check "an importance matrix as a model" fails "a GGUF file that holds an importance matrix; it goes to --hessian" "$TOOL" run im
check "sums as a model" fails "plain.sums holds no model: it is a .llmq bundle of sums" "$TOOL" run plain.sums
check "a text as a model" fails "README.md is neither a .llmq bundle nor a llama2.c checkpoint: it is a text" "$TOOL" run "$root/README.md"
check "a model as a recipe" fails "plain.llmq is no recipe: it is a .llmq bundle of a model" "$TOOL" quantize plain.llmq out --recipe plain.llmq
check "a model as a tokenizer" fails "plain.llmq is no tokenizer of llama2.c: it is a .llmq bundle of a model" "$TOOL" run plain.bin --tokenizer plain.llmq
check "a tokenizer as a model" fails "tok is neither a .llmq bundle nor a llama2.c checkpoint: it is a tokenizer of llama2.c; it goes to --tokenizer" "$TOOL" run tok
check "a checkpoint as a tokenizer" fails "plain.bin is no tokenizer of llama2.c: it is a llama2.c checkpoint" "$TOOL" run plain.bin --tokenizer plain.bin
check "a checkpoint as sums" fails "plain.bin is neither sums .*: it is a llama2.c checkpoint" "$TOOL" quantize plain.llmq out --hessian plain.bin
check "a directory as a model" fails "\. is no folder of a model: cannot open config.json in it" "$TOOL" run .
fault T16

# models of elsewhere: GGUF files, which are decoded by rows, and folders with the same weights (tests/gen/lm_models.py)
lm=$root/tests/vectors/lm
for m in qwen3 gemma3 llama31; do mkdir $m; cp $lm/$m/* $m; done
echo '{"add_bos_token": true, "bos_token": "<bos>", "eos_token": "<eos>"}' > gemma3/tokenizer_config.json
echo '{"add_bos_token": true, "bos_token": "<|begin_of_text|>"}' > llama31/tokenizer_config.json
says_it() { "$TOOL" run $1 --prompt "In the beginning" --tokens 40 --temperature 1 2> /dev/null; }
same_model() { # MODEL OTHER: they have the same vocabulary, and the same logits
    grep -q "KL from the reference 0.00000 nats, same likeliest token 100.0 %" <("$TOOL" ppl --own "$1" --text text --tokens 60 --reference "$2" | tee /dev/stderr)
}
for m in qwen3 gemma3 llama31; do
    said=$(says_it $lm/$m.gguf | od -An -tx1)
    check "$m says something" test ${#said} -gt 40
    check "$m: a folder says the same" test "$said" = "$(says_it $m | od -An -tx1)"
    check "$m: by its config.json too" test "$said" = "$(says_it $m/config.json | od -An -tx1)"
    check "$m: its logits" same_model $m $lm/$m.gguf
    for from in $m $lm/$m.gguf; do
        check "quantize $from" quietly "$TOOL" quantize $from one.llmq --format f32 --transform none --threads 1
        check "quantize $from on three threads" quietly "$TOOL" quantize $from three.llmq --format f32 --transform none --threads 3
        check "the same bytes" cmp one.llmq three.llmq
        check "the same model" same_model one.llmq $lm/$m.gguf
    done
    "$TOOL" inspect $m > inspected
    check "$m: its tensors" grep -q '^tensor  *layers.1.w3 ' inspected
    check "$m: nothing of checksums" grep -q 'bits each; as a bundle, which it is not$' inspected
done
check "sense of a folder" quietly "$TOOL" sense qwen3 --calib text --tokens 60 -o qwen3.sums
check "quantize with its sums" quietly "$TOOL" quantize qwen3 one.llmq --format g4 --hessian qwen3.sums
check "and what is made from a text" quietly "$TOOL" quantize $lm/qwen3.gguf three.llmq --format g4 --calib text --calib-tokens 60
check "plan of a GGUF file" quietly "$TOOL" plan $lm/qwen3.gguf --rule uniform --bpw 4.6 --rows 1 --formats g3,g4 -o qwen3.recipe
check "which knows it again" quietly "$TOOL" quantize $lm/qwen3.gguf one.llmq --recipe qwen3.recipe
check "and no other" fails "qwen3.recipe is of another model" "$TOOL" quantize llama31 out --recipe qwen3.recipe
cp $lm/qwen3.gguf nan.gguf; printf '\0\x7e' | dd of=nan.gguf bs=1 seek=$(($(stat -c %s nan.gguf) - 2)) conv=notrunc 2> /dev/null
for command in "quantize nan.gguf out --threads 3" "quantize nan.gguf out --format f16 --transform none" "run nan.gguf --prompt x"; do
    check "a NaN: $command" fails "nan.gguf: layers.1.w2 is NaN or infinite in row 31, column 47" "$TOOL" $command
done
check "nothing was written" test ! -e out
for name in model-00002-of-00002.safetensors model.safetensors.index.json config.json; do
    check "not over $name" fails "would be written over qwen3/$name, which is the same file" "$TOOL" quantize qwen3 qwen3/$name
    check "which is as it was" cmp qwen3/$name $lm/qwen3/$name
done
echo "{" > qwen3/tokenizer.json
check "half a tokenizer" fails "qwen3/tokenizer.json: as JSON: " "$TOOL" run qwen3 --prompt x
rm qwen3/tokenizer.json
check "no tokenizer" fails "qwen3 has no tokenizer" "$TOOL" run qwen3 --prompt x
truncate -s 20000 qwen3/model-00001-of-00002.safetensors
check "half a shard" fails "qwen3/model-00001-of-00002.safetensors: as a safetensors file: " "$TOOL" run qwen3 --prompt x
rm qwen3/model-00002-of-00002.safetensors
check "a shard that is missing" fails "cannot open model-00002-of-00002.safetensors in it|as a safetensors file" "$TOOL" run qwen3 --prompt x
echo '{"weight_map": {}}' > qwen3/model.safetensors.index.json
check "an index of nothing" fails "qwen3: " "$TOOL" run qwen3 --prompt x
sed -i 's/gemma3_text/gemma7/' gemma3/config.json
check "a model that is not known" fails "gemma3: model_type: models of this architecture are not supported: gemma7" "$TOOL" run gemma3

# T17: recipes
recipe() { printf "$@" > bad.recipe; "$TOOL" quantize plain.llmq out --recipe bad.recipe; }
many() { printf 'layers.0.wq g4\n'; for i in $(seq 300); do echo "# $i"; done; printf "$@"; }
check "an empty recipe" fails "names no tensor" recipe ''
check "one of comments" fails "names no tensor" recipe '# nothing\n\n'
check "a tensor that there is none of" fails "line 2: the model has no layers.0.fly" recipe 'layers.0.wq g4\nlayers.0.fly g4\n'
check "a norm" fails "line 1: the model has no linear layer layers.0.norm1" recipe 'layers.0.norm1 g4\n'
check "the embedding" fails "line 1: embed is no linear layer; --embed" recipe 'embed g4\n'
check "a tensor twice" fails "line 3: layers.0.wq has had its format in line 1" recipe 'layers.0.wq g4\nlayers.0.wk g4\nlayers.0.wq g5\n'
check "in a long file" fails "line 302: layers.0.wq has had its format in line 1" "$TOOL" quantize plain.llmq out --recipe <(many 'layers.0.wq g4\n')
check "a group over 2^32" fails "line 1: a group is 32 \.\.\. 1024" recipe 'layers.0.wq g4 4294967328\n'
for g in -32 +64 064 64x 1e2 1056 ''\''64'; do check "a group $g" fails "line 2: a group is" recipe 'layers.0.wk g4 64\nlayers.0.wq g4 %s\n' "$g"; done
check "a group that no format has" fails "no format 'g4' with group 33" recipe 'layers.0.wq g4 33\n'
check "no format" fails "line 1: not a tensor and its format" recipe 'layers.0.wq\n'
check "too many fields" fails "line 1: not a tensor and its format" recipe 'layers.0.wq g4 64 none more\n'
check "a name of 64 bytes" fails "line 1: the name of a tensor is too long" recipe 'layers.0.wq%053d g4\n' 0
check "a format of 32 bytes" fails "line 1: the name of a format is too long" recipe 'layers.0.wq g4%030d\n' 0
check "a format that there is none of" fails "no format 'g4x'" recipe 'layers.0.wq g4x\n'
check "two transforms" fails "line 2: one transform for all: none or hadamard" recipe 'layers.0.wq g4 64 none\nlayers.0.wk g4 64 hadamard\n'
check "a transform with a number over 2^16" fails "a step's block is a whole number from 1 to 65535" recipe 'layers.0.wq g4 64 hadamard65600\n'
check "a zero byte" fails "is no recipe" recipe 'layers.0.wq g4\n\0'
check "a zero byte far on" fails "is no recipe" "$TOOL" quantize plain.llmq out --recipe <(many '%05000d\n' 0 | sed 's/^0/# 0/'; printf 'layers.0.wk\0 g4\n')
check "carriage returns, blanks, no last newline" quietly recipe '# x\r\n  layers.0.wq\tg4  64 # y\r\nlayers.0.wk g4'
fault T17

# T18: results are of one model, and one run
check "coefficients" quietly "$TOOL" alpha plain.llmq --random 8 --levels 0.1 --out plain.alpha
check "of the other model" quietly "$TOOL" alpha other.llmq --random 8 --levels 0.1 --out other.alpha
plan() { "$TOOL" plan "$@" --rows 1 --formats g3,g4 --bpw 4.5; }
check "plan with its own" quietly plan plain.llmq --alpha plain.alpha -o plain.recipe
check "plan with another's" fails "other.alpha is of another model" plan plain.llmq --alpha other.alpha
check "unless it is asked for" quietly plan plain.llmq --alpha other.alpha --force -o forced.recipe
check "the same model as a checkpoint" quietly plan plain.bin --alpha plain.alpha -o out
check "a recipe's own model" quietly "$TOOL" quantize plain.llmq out --recipe plain.recipe
check "another's recipe" fails "plain.recipe is of another model" "$TOOL" quantize other.llmq out --recipe plain.recipe
check "if asked for" quietly "$TOOL" quantize other.llmq out --recipe plain.recipe --force
check "another's sums" fails "other.sums is of another model" "$TOOL" quantize plain.llmq out --hessian other.sums
check "in compare" fails "other.sums is of another model" "$TOOL" compare plain.llmq --text text --hessian other.sums --formats g4:64:none:plain
check "in rank" fails "other.sums is of another model" "$TOOL" rank plain.llmq --text text --hessian other.sums
check "if asked for" quietly "$TOOL" rank plain.llmq --text text --hessian other.sums --force
check "sums of two models" fails "not sums of the same model" "$TOOL" merge out plain.sums other.sums
cp plain.alpha kept.alpha
check "another run's file" fails "plain.alpha holds what another run has found" "$TOOL" alpha plain.llmq --random 16 --levels 0.1 --out plain.alpha
check "of other levels" fails "plain.alpha holds what another run has found" "$TOOL" alpha plain.llmq --random 8 --levels 0.2 --out plain.alpha
check "another model's file" fails "plain.alpha holds what another run has found" "$TOOL" alpha other.llmq --random 8 --levels 0.1 --out plain.alpha
cp text kept.text
check "a file of something else" fails "text holds what another run has found, or something else" "$TOOL" alpha plain.llmq --random 8 --levels 0.1 --out text
check "is as it was" cmp plain.alpha kept.alpha
check "likewise" cmp text kept.text
head -8 kept.alpha > plain.alpha; printf 'layers.1.wv 0.00' >> plain.alpha
check "a run that was stopped" quietly "$TOOL" alpha plain.llmq --random 8 --levels 0.1 --out plain.alpha
check "ends as it would have" cmp plain.alpha kept.alpha
check "if asked for" quietly "$TOOL" alpha plain.llmq --random 16 --levels 0.1 --out plain.alpha --force
alpha() { { cat kept.alpha; printf "$@"; } > bad.alpha; plan plain.llmq --alpha bad.alpha; }
check "a line twice" fails "line [0-9]+: a second line for layers.0.wq" alpha 'layers.0.wq 1 1\n'
check "a layer that there is none of" fails "the model has no linear layer layers.2.wq" alpha 'layers.2.wq 1 1\n'
check "an alpha that is NaN" fails "not a number" plan plain.llmq --alpha <(sed 's/^layers.0.wq .*/layers.0.wq nan 0/' kept.alpha)
check "a line that is cut off" fails "no line for layers.1.w3" plan plain.llmq --alpha <(head -c -3 kept.alpha)
fault T18

# T21: grids that are trained, from a plan (each takes a second or two where sanitizers watch)
quietly "$TOOL" plan plain.llmq --alpha kept.alpha --size 52000 --rows 1 --formats v2n20,g4 -o size.recipe
cp stdout.out size.out
check "plan with a grid of its own, beside another format" test "$(grep -c ' v2n20 ' size.recipe)" -gt 0 -a "$(grep -c ' g4 ' size.recipe)" -gt 0
check "quantize by it" quietly "$TOOL" quantize plain.llmq size.llmq --recipe size.recipe
check "which has the grid" grep -q '^grid  *grid.v2n20 ' <("$TOOL" inspect size.llmq)
check "not over the size: $(stat -c %s size.llmq)" test "$(stat -c %s size.llmq)" -le 52000 -a "$(stat -c %s size.llmq)" -gt 51000
check "which plan foretold" grep -q "file of $(stat -c %s size.llmq) bytes" size.out
printf 'layers.0.wq v1n3\nlayers.0.wk v2n6\nlayers.1.w2 g4\n' > grids.recipe
check "two grids in a recipe" quietly "$TOOL" quantize plain.llmq grids.llmq --recipe grids.recipe --format g3
check "are both there" test "$("$TOOL" inspect grids.llmq | grep -cE '^grid +grid\.v(1n3|2n6) ')" = 2
$python "$root/tests/gen/bundle.py" dump grids.llmq > dump
check "as Python reads it" test "$(grep -cE 'grid\.v(1n3|2n6)' dump)" -ge 2
fault T21

# transforms of models of other kinds: what is folded into the layers before leaves the model what it was. BitNet's norm before w2 would
# take back what w1 and w3 are divided by
for m in bitnet gemma3 qwen3; do
    check "$m, transformed" quietly "$TOOL" quantize "$root/tests/vectors/lm/$m.gguf" $m.llmq --format f32 --embed f32 --transform zigzag --calib text --calib-tokens 100
    check "$m, sums" quietly "$TOOL" sense "$root/tests/vectors/lm/$m.gguf" --calib text --tokens 100 -o $m.sums
    check "$m, with feedback" quietly "$TOOL" quantize "$root/tests/vectors/lm/$m.gguf" $m.g4 --format g4 --hessian $m.sums
    check "$m is the same model" grep -q 'KL from the reference 0.00000' <("$TOOL" ppl --own $m.llmq --reference "$root/tests/vectors/lm/$m.gguf" --text text --tokens 50)
done

# T22: names and texts that a terminal would obey
safe() { ! grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xff' <<< "$1"; }
export LC_ALL=C
shown=$("$TOOL" inspect name.llmq)
check "inspect" safe "$shown"
check "says what it was" grep -qF 'a\u009b31m\u202e\xff' <<< "$shown"
check "in a text" grep -qF 'red \u009b1m\x1b[2J\u202e' <<< "$shown"
shown=$("$TOOL" quantize nametensor.llmq out 2>&1)
check "an error" safe "$shown"
check "says the name" grep -qF 'layers.\u009b31m is not known here' <<< "$shown"
shown=$(printf 'layers.0.\xc2\x9b31m g4\n' > bad.recipe; "$TOOL" quantize plain.llmq out --recipe bad.recipe 2>&1)
check "a recipe's name" safe "$shown"
# on a terminal, what a model says too: its tokens are random bytes here
sampled="$TOOL run plain.bin --tokenizer tok --temperature 50 --top-p 1 --seed"
terminal() { $python -c 'import pty, sys; pty.spawn(sys.argv[1:])' "$@"; }
for seed in 1 2 3; do $sampled $seed; terminal $sampled $seed > terminal.out$seed; done > pipe.out 2> stderr.out
check "a pipe gets the bytes" grep -qP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]' pipe.out
for seed in 1 2 3; do check "a terminal gets words" safe "$(tr -d '\r' < terminal.out$seed)"; done
check "of these bytes" grep -qE '\\x[0-9a-f]{2}' terminal.out1
fault T22

# Conversations: what the model answers, and how many tokens it reads, by tests/gen/lm_texts.py
lm=$root/tests/vectors/lm
with_template() { $python "$root/tests/gen/oracle.py" text "$lm/$1.gguf" "$2" tokenizer.chat_template "$3"; }
with_template smollm2 chat.gguf "{{ '<|im_start|>' }}"
with_template smollm2 other.gguf '{{ messages }}'
lines() { printf '%s\n' "$@"; }
talk() { # HEX TOKENS MODEL ARGUMENT...: standard input becomes these bytes, after so many tokens were read
    local hex=$1 tokens=$2; shift 2
    "$TOOL" chat "$@" > said.out 2> said.err || { cat said.err; return 1; }
    [ "$(od -An -v -tx1 said.out | tr -d ' \n')" = "$hex" ] && grep -q "^prompt: $tokens tokens, .*; text: .*; kernels" said.err || { od -An -tx1 said.out; cat said.err; return 1; }
}
check "quantize keeps the template" quietly "$TOOL" quantize chat.gguf chat.llmq --format f32 --embed f32 --transform none
turns=0
while IFS=$'\t' read -r length tokens hex first second; do
    turns=$((turns + 1))
    for m in chat.gguf chat.llmq; do
        check "conversation $turns of $m" talk "$hex" "$tokens" $m --length "$length" < <(lines "$first" ${second:+"$second"})
    done
    check "by one thread, with blank lines, ends of lines of DOS, none at the end" talk "$hex" "$tokens" chat.gguf --length "$length" --threads 1 < <(printf '\n%s\r\n\n%s' "$first" "$second")
    [ -n "$second" ] || check "as an option" talk "$hex" "$tokens" chat.gguf --length "$length" --prompt "$first"
done < "$lm/smollm2.chat"
check "all of them" test $turns = 3
check "a full context" grep -q "the context of 64 tokens is full" said.err
check "an answer that is cut" grep -q "the answer is cut after 3 tokens" <("$TOOL" chat chat.gguf --prompt a --length 3 2>&1 > out.cut)
check "no room for a turn" fails "the turn has [0-9]+ tokens, and of the model's context of 64 tokens [0-9]+ are left" "$TOOL" chat chat.gguf --prompt "$(printf '%064d' 0)"
check "nor for a second one" fails "the turn has [0-9]+ tokens, and of the model's context of 64 tokens 0 are left" "$TOOL" chat chat.gguf --length 0 < <(lines "tern the" a)
check "with a window" quietly "$TOOL" chat chat.gguf --kv-window 16 --length 100 < <(lines "$(printf '%064d' 0)" a b)
check "a system text is read" grep -q "^prompt: 30 tokens" <("$TOOL" chat chat.gguf --prompt a --system "the" --length 1 2>&1 > out.system)
check "and can be none" grep -q "^prompt: 18 tokens" <("$TOOL" chat chat.gguf --prompt a --system "" --length 1 2>&1 > out.system)
check "no template" fails "smollm2.gguf: its tokenizer names no chat template \(tokenizer.chat_template\); --template NAME" "$TOOL" chat "$lm/smollm2.gguf" --prompt a
check "one that is not known" fails "other.gguf: its chat template \(tokenizer.chat_template\) is none that is known here; --template NAME" "$TOOL" chat other.gguf --prompt a
check "no tokenizer" fails "plain.bin has no tokenizer, and so no chat template" "$TOOL" chat plain.bin --prompt a
check "a template without its tokens" fails "has not all tokens of the chat template" "$TOOL" chat chat.gguf --template gemma --prompt a
IFS=$'\t' read -r length tokens hex first second < "$lm/smollm2.chat"
check "a template that is named" talk "$hex" "$tokens" other.gguf --template chatml --length "$length" < <(lines "$first" "$second")
check "lines of a play" quietly "$TOOL" chat "$root/examples/model/nano.llmq" --template plain --prompt "Who art thou?" --length 60
check "an answer ends with its line" test "$(wc -l < stdout.out)" = 1 -a "$(wc -c < stdout.out)" -gt 9
check "and is not cut" test "$(grep -c 'is cut' stderr.out)" = 0

# Files of llama-perplexity, of a model that begins texts with BOS and of one that does not
near() { awk -v a="$1" -v most="$2" 'BEGIN { exit !(a != "" && a < most && a > -most) }'; }
for m in llama2 granite; do
    "$TOOL" ppl "$lm/$m.gguf" --base "$lm/$m.kld" > base.out 2>&1
    check "KL divergence from the file, $m" near "$(sed -n 's/^KL divergence, mean *\([-0-9.]*\) .*/\1/p' base.out)" 5e-6
    check "the largest" near "$(sed -n 's/^ *largest *//p' base.out)" 5e-5
    check "the likeliest token" grep -q "same likeliest token *100.000" base.out
    check "a file of its own" quietly "$TOOL" ppl "$lm/$m.gguf" --text "$lm/base.txt" --window 16 --save-base own.kld
    check "has the same log-probabilities" oracle base own.kld "$lm/$m.kld"
done

read -r count nats < "$lm/smollm2.own"
echo "own $nats" >> expected
of=$lm/base.txt check "windows without BOS begin with the second token" loss own "$lm/smollm2.gguf"
check "which is the first that is scored" grep -q "^$count tokens" <("$TOOL" ppl --own "$lm/smollm2.gguf" --text "$lm/base.txt")

finish tool_models
