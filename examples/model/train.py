#!/usr/bin/env python3
"""Train the small language model that ships with llmq, from a public-domain text.

    apt-get install bible-kjv bible-kjv-text python3-torch libopenblas0-pthread
    python3 train.py --out DIR            # about 40 minutes on one core; prints progress, Ctrl-C keeps the last checkpoint

Source    the King James Bible as Debian's bible-kjv-text installs it (public domain outside the UK letters patent);
          verse references stripped, one verse a line, one blank line between chapters.
Split     chapter i (0-based, in order) is held out when i % 40 == 7: 30 of 1,189 chapters. The model never sees them. (The Bible
          quotes itself: parallel passages exist in other chapters, so held-out loss flatters the model as it would any model.)
Tokenizer byte-pair encoding in the llama2.c layout: 0 <unk>, 1 BOS, 2 EOS, 3..258 single bytes, then pieces with
          score = -rank. A piece may begin with a space or a newline, never contain one inside.
Model     llama architecture (RMSNorm, RoPE on adjacent pairs, grouped heads, SwiGLU, shared classifier), no biases.
Output    DIR/model.bin (llama2.c checkpoint, fp32), DIR/tokenizer.bin, DIR/heldout.txt, DIR/train.log
"""
import argparse
import collections
import hashlib
import math
import os
import random
import re
import struct
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

BOS, EOS, FIRST_PIECE = 1, 2, 259


def read_text():
    """The chapters of the King James Bible, each a string of newline-separated verses."""
    raw = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], check=True, capture_output=True, text=True).stdout
    chapters, last = [], None
    for line in raw.splitlines():
        ref, verse = line.split(" ", 1)
        chapter = ref.split(":")[0]
        if chapter != last:
            chapters.append([])
            last = chapter
        chapters[-1].append(verse.strip())
    return ["\n".join(c) + "\n" for c in chapters], hashlib.sha256(raw.encode()).hexdigest()


def train_bpe(text, vocab_size):
    """Plain byte-pair encoding over whitespace-led words; ties go to the pair that sorts first."""
    words = collections.Counter(re.findall(r"[ \n]?[^ \n]+|[ \n]", text))
    split = {w: list(w) for w in words}
    pieces = sorted({c for w in words for c in w})
    while FIRST_PIECE + len(pieces) < vocab_size:
        pairs = collections.Counter()
        for w, s in split.items():
            for a, b in zip(s, s[1:]):
                pairs[a, b] += words[w]
        best = min(pairs, key=lambda p: (-pairs[p], p))
        pieces.append("".join(best))
        for s in split.values():
            i = 0
            while i + 1 < len(s):
                if (s[i], s[i + 1]) == best:
                    s[i:i + 2] = [s[i] + s[i + 1]]
                i += 1
    return pieces, {w: s for w, s in split.items()}


def write_tokenizer(path, pieces):
    special = ["<unk>", "\n<s>\n", "\n</s>\n"] + ["<0x%02X>" % b for b in range(256)]
    entries = [(p.encode(), 0.0) for p in special] + [(p.encode(), -float(i)) for i, p in enumerate(pieces)]
    with open(path, "wb") as f:
        f.write(struct.pack("<i", max(len(b) for b, _ in entries)))
        for b, score in entries:
            f.write(struct.pack("<fi", score, len(b)) + b)


class RMSNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rope(x, cos, sin):
    pairs = x.unflatten(-1, (-1, 2))
    a, b = pairs[..., 0], pairs[..., 1]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o, self.size = o, o.dim // o.heads
        self.norm1, self.norm2 = RMSNorm(o.dim), RMSNorm(o.dim)
        self.wq = nn.Linear(o.dim, o.dim, bias=False)
        self.wk = nn.Linear(o.dim, o.kv_heads * self.size, bias=False)
        self.wv = nn.Linear(o.dim, o.kv_heads * self.size, bias=False)
        self.wo = nn.Linear(o.dim, o.dim, bias=False)
        self.w1 = nn.Linear(o.dim, o.hidden, bias=False)
        self.w2 = nn.Linear(o.hidden, o.dim, bias=False)
        self.w3 = nn.Linear(o.dim, o.hidden, bias=False)

    def forward(self, x, cos, sin, mask):
        n, t, _ = x.shape
        h = self.norm1(x)
        heads = lambda w, k: w(h).view(n, t, k, self.size).transpose(1, 2)
        q = rope(heads(self.wq, self.o.heads), cos, sin)
        shared = lambda y: y.unsqueeze(2).expand(-1, -1, self.o.heads // self.o.kv_heads, -1, -1).flatten(1, 2)
        k = shared(rope(heads(self.wk, self.o.kv_heads), cos, sin))
        v = shared(heads(self.wv, self.o.kv_heads))
        p = (q @ k.transpose(-1, -2) * self.size ** -0.5 + mask).softmax(-1)
        x = x + self.wo((p @ v).transpose(1, 2).reshape(n, t, -1))
        h = self.norm2(x)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


class Model(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.embed = nn.Embedding(o.vocab, o.dim)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = RMSNorm(o.dim)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, 0, 0.02 / (math.sqrt(2 * o.layers) if "wo" in name or "w2" in name else 1))
        size = o.dim // o.heads
        freq = 10000.0 ** -(torch.arange(0, size, 2) / size)
        angle = torch.outer(torch.arange(o.context), freq)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        self.register_buffer("mask", torch.full((o.context, o.context), -math.inf).triu(1))

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        return self.norm(x) @ self.embed.weight.t()


def write_checkpoint(path, o, model):
    """llama2.c's 'legacy' layout: seven int32, then fp32 tensors, each kind for all layers in turn."""
    with open(path, "wb") as f:
        f.write(struct.pack("<7i", o.dim, o.hidden, o.layers, o.heads, o.kv_heads, o.vocab, o.context))
        write = lambda t: f.write(t.detach().numpy().astype("<f4").tobytes())
        write(model.embed.weight)
        for name in ("norm1", "wq", "wk", "wv", "wo", "norm2", "w1", "w2", "w3"):
            for block in model.blocks:
                write(getattr(block, name).weight)
        write(model.norm.weight)
        write(model.cos)
        write(model.sin)


def windows(ids, context):
    """Rows of context+1 ids: BOS, then the next context ids; the whole of ids but a remainder."""
    n = len(ids) // context
    body = ids[:n * context].view(n, context)
    return torch.cat([torch.full((n, 1), BOS), body], 1)


@torch.no_grad()
def held_out_loss(model, rows):
    total = 0.0
    for part in rows.split(16):
        logits = model(part[:, :-1])
        total += F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
    return total / (rows.shape[0] * (rows.shape[1] - 1))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", required=True)
    a.add_argument("--dim", type=int, default=192)
    a.add_argument("--hidden", type=int, default=576)
    a.add_argument("--layers", type=int, default=4)
    a.add_argument("--heads", type=int, default=6)
    a.add_argument("--kv-heads", type=int, default=2)
    a.add_argument("--vocab", type=int, default=768)
    a.add_argument("--context", type=int, default=256)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--steps", type=int, default=4500)
    a.add_argument("--rate", type=float, default=4e-3)
    a.add_argument("--decay", type=float, default=0.1)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--threads", type=int, default=1)  # two are slower with this PyTorch at this size
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    random.seed(o.seed)
    log = open(os.path.join(o.out, "train.log"), "w")

    def say(*words):
        line = " ".join(str(w) for w in words)
        print(line, flush=True)
        print(line, file=log, flush=True)

    chapters, digest = read_text()
    kept = [c for i, c in enumerate(chapters) if i % 40 != 7]
    held = "\n".join(c for i, c in enumerate(chapters) if i % 40 == 7)
    with open(os.path.join(o.out, "heldout.txt"), "w") as f:
        f.write(held)
    pieces, split = train_bpe("\n".join(kept), o.vocab)
    write_tokenizer(os.path.join(o.out, "tokenizer.bin"), pieces)
    ids = {p: FIRST_PIECE + i for i, p in enumerate(pieces)}

    def encode(text):
        rank = {p: i for i, p in enumerate(pieces)}
        out = []
        for w in re.findall(r"[ \n]?[^ \n]+|[ \n]", text):
            if w not in split:
                s = list(w)
                while len(s) > 1:
                    r, i = min((rank.get(s[i] + s[i + 1], 1 << 30), i) for i in range(len(s) - 1))
                    if r == 1 << 30:
                        break
                    s[i:i + 2] = [s[i] + s[i + 1]]
                split[w] = s
            for p in split[w]:
                out += [ids[p]] if p in ids else [3 + b for b in p.encode()]
        return torch.tensor(out)

    train, test = encode("\n".join(kept)), windows(encode(held), o.context)
    held_bytes = len(held.encode())
    say("text sha256", digest, "chapters", len(chapters), "train tokens", len(train), "held-out tokens", test[:, 1:].numel(),
        "bytes per token %.3f" % (held_bytes / len(encode(held))))
    model = Model(o)
    say("parameters", sum(p.numel() for p in model.parameters()), "options", {k: v for k, v in vars(o).items() if k != "out"})
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([{"params": matrices, "weight_decay": o.decay}, {"params": vectors, "weight_decay": 0.0}],
                            lr=o.rate, betas=(0.9, 0.98))
    start = time.time()
    smooth = None
    for step in range(o.steps):
        rate = o.rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / o.steps)))
        for group in opt.param_groups:
            group["lr"] = rate
        at = torch.randint(len(train) - o.context, (o.batch,))
        rows = torch.stack([train[i:i + o.context] for i in at])
        rows = torch.cat([torch.full((o.batch, 1), BOS), rows], 1)
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        if (step + 1) % 200 == 0 or step + 1 == o.steps:
            v = held_out_loss(model, test)
            bits = v / math.log(2) * test[:, 1:].numel() / held_bytes
            write_checkpoint(os.path.join(o.out, "model.bin"), o, model)
            say("step %d/%d  %.0f s  tokens/s %.0f  loss train %.4f  held-out %.4f  perplexity %.3f  bits/byte %.3f" % (
                step + 1, o.steps, time.time() - start, (step + 1) * o.batch * o.context / (time.time() - start), smooth, v,
                math.exp(v), bits))


if __name__ == "__main__":
    main()
