#!/usr/bin/env bash
# eval.sh TOOL - quality of the formats on the shipped model, and on stories260K where STORIES (default ../shared/models) has it.
# With TSV=1: lines eval.MODEL.FORMAT.{kl,ppl,bpw}; FORMAT.TRANSFORM where a table shows two transforms; FORMAT.feedback: quantized
# with error feedback (calibration text in examples/model, or ts_calib_38k.txt beside stories260K); FORMAT.plain: without the
# attention-aware weights.
set -eu
tool=$1
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${STORIES:-$root/../shared/models}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
say() { [ -n "${TSV:-}" ] || printf '%s\n' "$*"; }
model=$root/examples/model
fed=g8:64::feedback,g6:64::feedback,g5:64::feedback,g4:64::feedback,g3:64::feedback,g2:64::feedback,v2n256:64::feedback,v2n64:64::feedback,v2n16:64::feedback,v3n512:64::feedback,v3n64:64::feedback,v4n256:64::feedback
plain=g4:64::plain,g3:64::plain,g2:64::plain

say "The shipped model (examples/model), held-out text, first 8,192 tokens, windows of 256; KL in nats from the original;"
say "linear layers in the format, groups of 64, embedding binary16; rtnN: round to nearest, asymmetric, groups of 32;"
say "feedback: with error feedback from calib.txt, 19,353 tokens of the training text; plain: without the attention-aware weights."
"$tool" sense "$model/kjv.llmq" --calib "$model/calib.txt" -o "$tmp/sums" > /dev/null 2>&1
"$tool" compare "$model/kjv.llmq" --text "$model/heldout.txt" --tokens 8192 --key shipped --hessian "$tmp/sums" \
    --formats "g8,g6,g5,g4,g3,g2,v2n256,v2n64,v2n16,v3n512,v3n64,v4n256,g4:64:none,g3:64:none,$fed,$plain,rtn4:32,rtn3:32,rtn2:32" 2>/dev/null

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
    --formats "g8,g6,g5,g4,g3,g2,v2n256,v2n64,v2n16,v3n512,v3n64,v4n256,g4:64:hadamard,g3:64:hadamard,g2:64:hadamard,$fed,$plain,g4:64:hadamard:feedback,g3:64:hadamard:feedback,g2:64:hadamard:feedback,rtn4:64,rtn3:32,rtn2:32" 2>/dev/null
