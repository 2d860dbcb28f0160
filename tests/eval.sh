#!/usr/bin/env bash
# eval.sh TOOL - quality of the formats on the shipped model, and on stories260K where STORIES (default ../shared/models) has it.
# With TSV=1: lines eval.MODEL.FORMAT.{kl,ppl,bpw}; FORMAT.TRANSFORM where a table shows two transforms; FORMAT.feedback: quantized
# with error feedback (calibration text in examples/model, or ts_calib_38k.txt beside stories260K); FORMAT.plain: without the
# attention-aware weights. eval.{shipped,nano}.kvBITS.{ppl,kl}; eval.{shipped,outlier}.{w4a4,w6a6}.TRANSFORM, eval.outlier.paper.TRANSFORM: activations of few bits too.
set -eu
tool=$1
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${STORIES:-$root/../shared/models}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
say() { [ -n "${TSV:-}" ] || printf '%s\n' "$*"; }
model=$root/examples/model
fed=t4s:64::feedback,t4:64::feedback,t3s:64::feedback,t3:64::feedback,t2s:64::feedback,t2:64::feedback,g8:64::feedback,g6:64::feedback,g5:64::feedback,g4:64::feedback,g3:64::feedback,g2:64::feedback,v2n64:64::feedback,v2n16:64::feedback
plain=g4:64::plain,g3:64::plain,g2:64::plain

say "The shipped model (examples/model), held-out text, first 8,192 tokens, windows of 256; KL in nats from the original;"
say "linear layers in the format, groups of 64, embedding binary16; rtnN: round to nearest, asymmetric, groups of 32;"
say "feedback: with error feedback from calib.txt, 19,353 tokens of the training text; plain: without the attention-aware weights."
"$tool" sense "$model/kjv.llmq" --calib "$model/calib.txt" -o "$tmp/sums" > /dev/null 2>&1
"$tool" compare "$model/kjv.llmq" --text "$model/heldout.txt" --tokens 8192 --key shipped --hessian "$tmp/sums" \
    --formats "t4s,t4,t3s,t3,t2s,t2,t1,g8,g6,g5,g4,g3,g2,v2n64,v2n16,g4:64:none,g3:64:none,$fed,$plain,rtn4:32,rtn3:32,rtn2:32" 2>/dev/null

say; say "Keys and values of few bits (ppl --kv-bits), a scale for each head and position, rotated by a Hadamard: the shipped model, then nano, the"
say "smaller one for microcontrollers; weights as they come, the same text."
cached() { # KEY MODEL
    "$tool" ppl --own "$2" --text "$model/heldout.txt" --tokens 8192 --kv-bits 32,8,4,3,2 2>/dev/null |
        if [ -n "${TSV:-}" ]; then awk -v k="$1" -F'[ ,]+' '{ printf "eval.%s.kv%d.ppl\t%s\n", k, $10, $7; if (NF > 15) printf "eval.%s.kv%d.kl\t%s\n", k, $10, $16 }'; else cat; fi
}
cached shipped "$model/kjv.llmq"
cached nano "$model/nano.llmq"
say; say "nano, linear layers in the format, groups of 64, not rotated, embedding in g4:"
"$tool" compare "$model/nano.llmq" --text "$model/heldout.txt" --tokens 8192 --key nano --transform none --embed g4 --formats g8,t4,g4,t3,g3,t2,g2 2>/dev/null

say; say "Few bits for activations too: linear layers in g4, groups of 64, activations of 4 bits (usual options), no error feedback;"
say "the shipped model, and the same function with outliers (tests/outlier_model.c): 1 % of the channels of norms and of w2's input are 30 to"
say "100 times as large. zigzag: smoothing, zigzag permutation, Hadamard of 64; duquant: smoothing, rotation of 64, zigzag, rotation of 64."
"${CC:-cc}" -O2 -o "$tmp/outlier_model" "$root/tests/outlier_model.c"
"$tmp/outlier_model" "$model/kjv.llmq" "$tmp/outlier.llmq"
forms() { # FORMAT:GROUP: all transforms in this format
    for t in none smooth hadamard zigzag duquant; do printf '%s=%s:%s,' $t "$1" $t; done
}
few() { # KEY MODEL FORMAT:GROUP BITS
    "$tool" compare "$2" --text "$model/heldout.txt" --tokens 4096 --key "$1" --calib "$model/calib.txt" --abits "$4" --formats "$(forms "$3")" 2>/dev/null
}
say; say "W4A4, shipped:"; few shipped.w4a4 "$model/kjv.llmq" g4:64 4
say; say "W4A4, with outliers:"; few outlier.w4a4 "$tmp/outlier.llmq" g4:64 4
say; say "W6A6 (g6, activations of 6 bits), shipped:"; few shipped.w6a6 "$model/kjv.llmq" g6:64 6
say; say "W6A6, with outliers:"; few outlier.w6a6 "$tmp/outlier.llmq" g6:64 6
say; say "As DuQuant's paper rounds: one scale for a row of weights (u4, clip 0.8) and for a token (asymmetric, clip 0.9), with outliers:"
for t in none smooth hadamard zigzag duquant; do printf '%s=u4:0:%s,' $t $t; done > "$tmp/list"
"$tool" compare "$tmp/outlier.llmq" --text "$model/heldout.txt" --tokens 4096 --key outlier.paper --calib "$model/calib.txt" --clip 0.8 --abits 4:token:0.9 \
    --formats "$(cat "$tmp/list")" 2>/dev/null

say; say "Which layer in which format (llmq alpha, llmq plan): KL for the same stored bits a weight. linear: the least foretold, proven;"
say "uniform: the best single format that fits; aptq: t4 and t2 by the trace of the Hessian. Coefficients from 2,048 tokens of the end of"
say "heldout.txt, which is not scored here: calib.txt is text the model was trained on, where errors cost it less."
plans() { # KEY MODEL ALPHA-OPTIONS...: recipes for some budgets by three rules, side by side
    local key=$1 from=$2 text=$3 tokens=$4 list= b r; shift 4
    "$tool" alpha "$from" "$@" --out "$tmp/alpha" > /dev/null 2>&1
    for b in 2.5 3.0 3.25 3.5 4.0; do
        for r in linear uniform aptq; do
            "$tool" plan "$from" "${tok[@]}" --bpw $b --rule $r --alpha "$tmp/alpha" --hessian "$tmp/sums" --transform $transform -o "$tmp/plan$b.$r" > /dev/null 2>&1
            list=$list,plan$b.$r=@$tmp/plan$b.$r
        done
    done
    "$tool" compare "$from" "${tok[@]}" --text "$text" --tokens $tokens --key "$key" --abits 32 --formats "${list#,}" 2>/dev/null
    say; say "The theorem on random recipes between 3 and 5 bits a weight, and below:"
    "$tool" linearity "$from" "${tok[@]}" --alpha "$tmp/alpha" --text "$text" --tokens $tokens --transform $transform --key "$key" 2>/dev/null
}
tok=() transform=hadamard
tail -c 12000 "$model/heldout.txt" > "$tmp/unscored"
plans shipped "$model/kjv.llmq" "$model/heldout.txt" 4096 --text "$tmp/unscored" --tokens 2048 --levels 0.1,0.2,0.3

if [ ! -f "$dir/stories260K.bin" ]; then
    say; say "stories260K.bin was not found in $dir: its table is skipped (STORIES=DIR tells where it is)."
    exit 0
fi
say; say "stories260K (llama2.c), TinyStories text, first 20,000 tokens, windows of 512; embedding f32. dim 64: groups of 64 are whole"
say "rows, which a rotation does not improve, so the plain names are without one, and NAME.hadamard is with."
tr -s '\n' < "$dir/ts_eval_120k.txt" > "$tmp/text"
tr -s '\n' < "$dir/ts_calib_38k.txt" > "$tmp/calib"
tok=(--tokenizer "$dir/tok512.bin")
"$tool" sense "$dir/stories260K.bin" "${tok[@]}" --calib "$tmp/calib" -o "$tmp/sums" > /dev/null 2>&1
"$tool" compare "$dir/stories260K.bin" "${tok[@]}" --text "$tmp/text" --tokens 20000 --key stories260k --transform none --hessian "$tmp/sums" \
    --formats "t4s,t4,t3s,t3,t2s,t2,t1,g8,g6,g5,g4,g3,g2,v2n64,v2n16,t4:64:hadamard,t3:64:hadamard,t2:64:hadamard,g4:64:hadamard,g3:64:hadamard,g2:64:hadamard,$fed,$plain,g4:64:hadamard:feedback,g3:64:hadamard:feedback,g2:64:hadamard:feedback,rtn4:64,rtn3:32,rtn2:32" 2>/dev/null
say; say "stories260K: which layer in which format, as above; coefficients from 4,096 tokens of the calibration text."
transform=none
plans stories260k "$dir/stories260K.bin" "$tmp/text" 8192 --text "$tmp/calib" --tokens 4096 "${tok[@]}"
