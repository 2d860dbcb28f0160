#!/usr/bin/env bash
# sense.sh TOOL - how well sensitivities foretell what quantizing one linear layer does: each layer alone in 2 bits, its KL on 4,096
# tokens, and the rank correlation with each predictor. The shipped model, and stories260K where STORIES (default ../shared/models)
# has it. With TSV=1: lines sense.spearman.{attention,trace,diagonal,norm,random}, and sense.stories260k.spearman...
set -eu
tool=$1
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${STORIES:-$root/../shared/models}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
say() { [ -n "${TSV:-}" ] || printf '%s\n' "$*"; }
model=$root/examples/model

say "The shipped model, each layer alone in g2, groups of 64. trace: mean trace of the Hessian of the block's output (APTQ; its"
say "counterpart in the feed-forward block); attention: times the gain of later blocks (1 + power added / power read); diagonal: E[x^2]."
"$tool" sense "$model/kjv.llmq" --calib "$model/calib.txt" -o "$tmp/sums" > /dev/null 2>&1
"$tool" rank "$model/kjv.llmq" --hessian "$tmp/sums" --text "$model/heldout.txt" 2>/dev/null
if [ ! -f "$dir/stories260K.bin" ]; then
    say "stories260K.bin was not found in $dir: skipped (STORIES=DIR tells where it is)."
    exit 0
fi
say; say "stories260K, likewise."
tr -s '\n' < "$dir/ts_eval_120k.txt" > "$tmp/text"
tr -s '\n' < "$dir/ts_calib_38k.txt" > "$tmp/calib"
"$tool" sense "$dir/stories260K.bin" --tokenizer "$dir/tok512.bin" --calib "$tmp/calib" -o "$tmp/sums" > /dev/null 2>&1
"$tool" rank "$dir/stories260K.bin" --tokenizer "$dir/tok512.bin" --hessian "$tmp/sums" --text "$tmp/text" --transform none --key stories260k. 2>/dev/null
