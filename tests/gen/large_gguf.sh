#!/usr/bin/env bash
# large_gguf.sh FILE - a GGUF file of a Llama of one layer and 25 million weights, all zeros, which takes no room on a disk: the tests see
# how much memory it takes
set -eu
le() { local v=$1 n=$2; while ((n--)); do printf %b "\\0$(printf %03o $((v & 255)))"; v=$((v >> 8)); done; }
str() { le ${#1} 8; printf %s "$1"; }
number() { str "$1"; le "$2" 4; le "$3" 4; } # KEY TYPE BITS: 4 u32, 6 f32
at=0
tensor() { # NAME ROWS COLS TYPE(0 f32, 8 q8_0)
    str "$1"
    if [ "$2" = 1 ]; then le 1 4; le "$3" 8; else le 2 4; le "$3" 8; le "$2" 8; fi
    le "$4" 4; le $at 8
    at=$((at + $2 * $3 * ($4 ? 34 : 128) / 32))
}
described() {
    printf GGUF; le 3 4; le 11 8; le 8 8
    str general.architecture; le 8 4; str llama
    number llama.embedding_length 4 1024; number llama.feed_forward_length 4 4096; number llama.block_count 4 1
    number llama.attention.head_count 4 4; number llama.context_length 4 64; number llama.vocab_size 4 8192
    number llama.attention.layer_norm_rms_epsilon 6 925353388
    tensor token_embd.weight 8192 1024 8; tensor output_norm.weight 1 1024 0; tensor blk.0.attn_norm.weight 1 1024 0; tensor blk.0.ffn_norm.weight 1 1024 0
    for name in attn_q attn_k attn_v attn_output; do tensor blk.0.$name.weight 1024 1024 8; done
    for name in ffn_gate ffn_up; do tensor blk.0.$name.weight 4096 1024 8; done
    tensor blk.0.ffn_down.weight 1024 4096 8
}
described > "$1"
size=$(stat -c %s "$1")
truncate -s $(((size + 31) / 32 * 32 + at)) "$1"
