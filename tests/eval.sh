#!/usr/bin/env bash
# eval.sh TOOL - quality of the formats on the shipped model, and on stories260K where STORIES (default ../shared/models) has it.
# With TSV=1: lines eval.MODEL.FORMAT.{kl,ppl,bpw}; FORMAT.TRANSFORM where a table shows two transforms.
set -eu
tool=$1
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${STORIES:-$root/../shared/models}
say() { [ -n "${TSV:-}" ] || printf '%s\n' "$*"; }

say "The shipped model (examples/model), held-out text, first 8,192 tokens, windows of 256; KL in nats from the original;"
say "linear layers in the format, groups of 64, embedding binary16; rtnN: round to nearest, asymmetric, groups of 32."
"$tool" compare "$root/examples/model/kjv.llmq" --text "$root/examples/model/heldout.txt" --tokens 8192 --key shipped \
    --formats g8,g4,g3,g2,v2n256,v2n64,v2n16,v3n512,v3n64,v4n256,g4:64:none,g3:64:none,rtn4:32,rtn3:32,rtn2:32 2>/dev/null

if [ ! -f "$dir/stories260K.bin" ]; then
    say; say "stories260K.bin was not found in $dir: its table is skipped (STORIES=DIR tells where it is)."
    exit 0
fi
say; say "stories260K (llama2.c), TinyStories text, first 20,000 tokens, windows of 512; embedding f32. dim 64: groups of 64 are whole"
say "rows, which a rotation does not improve, so the plain names are without one, and NAME.hadamard is with."
text=$(mktemp)
trap 'rm -f "$text"' EXIT
tr -s '\n' < "$dir/ts_eval_120k.txt" > "$text"
"$tool" compare "$dir/stories260K.bin" --tokenizer "$dir/tok512.bin" --text "$text" --tokens 20000 --key stories260k --transform none \
    --formats g8,g4,g3,g2,v2n256,v2n64,v2n16,v4n256,g4:64:hadamard,g3:64:hadamard,g2:64:hadamard,rtn4:64,rtn3:32,rtn2:32 2>/dev/null
