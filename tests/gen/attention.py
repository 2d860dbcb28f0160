#!/usr/bin/env python3
"""Make tests/vectors/attention.h: traces that llmq_attention_traces must give, worked out another way.

    python3 tests/gen/attention.py               # rewrites tests/vectors/attention.h; needs numpy

No closed form is used. The attention block is computed in float64, each entry of W_Q, W_K, W_V and W_O is moved up and down
by a small step, and the central difference of the output is squared and summed. Keys and values moved at one token only give
the per-token parts. Queries, keys and values are rounded to float32 first and the weights act as changes of them, so that both
sides start from the same numbers; angles of RoPE are rounded for the C side only.
"""
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.RandomState(20241124)
STEP = 1e-5

# name, tokens, dim, head, queries, out, masked, causal, rope, mean of all inputs, size of q and k
CASES = [
    ("causal", 7, 6, 4, 1, 6, 0, 1, 0, 0.0, 1.0),
    ("not causal", 6, 6, 4, 1, 6, 0, 0, 0, 0.0, 1.0),
    ("pairs", 7, 5, 6, 1, 7, 0, 1, 1, 0.0, 1.0),
    ("halves", 7, 5, 6, 1, 7, 0, 1, 2, 0.0, 1.0),
    ("two queries, pairs", 6, 5, 4, 2, 8, 0, 1, 1, 0.0, 1.0),
    ("three queries, halves", 6, 4, 4, 3, 9, 0, 1, 2, 0.0, 1.0),
    ("three queries, halves, not causal", 5, 4, 4, 3, 3, 0, 0, 2, 0.0, 1.0),
    ("two queries without RoPE", 6, 5, 3, 2, 5, 0, 1, 0, 0.0, 1.0),
    ("one token", 1, 5, 4, 2, 3, 0, 1, 1, 0.0, 1.0),
    ("head of two", 8, 3, 2, 1, 4, 0, 1, 1, 0.0, 1.0),
    ("head of one", 5, 3, 1, 1, 2, 0, 1, 0, 0.0, 1.0),
    ("masked", 7, 4, 4, 2, 5, 3, 1, 2, 0.0, 1.0),
    ("masked, not causal", 6, 4, 4, 2, 5, 2, 0, 1, 0.0, 1.0),
    ("all masked", 4, 3, 2, 1, 3, 4, 1, 0, 0.0, 1.0),
    ("out below dim", 6, 9, 4, 2, 2, 0, 1, 1, 0.0, 1.0),
    ("large means", 7, 5, 4, 2, 5, 0, 1, 1, 10.0, 1.0),
    ("sharp", 8, 5, 4, 2, 5, 0, 1, 2, 0.0, 6.0),
]


class Block:
    def __init__(self, case):
        _, self.tokens, self.dim, self.head, self.queries, self.out, self.masked, self.causal, self.rope, mean, size = case

        def numbers(*shape, scale=1.0, shift=0.0):
            return (RNG.standard_normal(shape) * scale + shift).astype(np.float32).astype(np.float64)

        self.x = numbers(self.tokens, self.dim, shift=mean)
        self.q = numbers(self.tokens, self.queries * self.head, scale=size)
        self.k = numbers(self.tokens, self.head, scale=size, shift=mean)
        self.v = numbers(self.tokens, self.head, shift=mean)
        self.wo = numbers(self.out, self.queries * self.head)
        self.angle = np.outer(np.arange(self.tokens), 10.0 ** -np.arange(self.head // 2)) * 0.7

    def rotate(self, u):
        """u[tokens][heads * head], each token by its angles: complex multiplication"""
        if not self.rope:
            return u
        u = u.reshape(self.tokens, -1, self.head)
        half = self.head // 2
        z = u[..., 0::2] + 1j * u[..., 1::2] if self.rope == 1 else u[..., :half] + 1j * u[..., half:]
        z = z * np.exp(1j * self.angle)[:, None, :]
        r = np.empty_like(u)
        if self.rope == 1:
            r[..., 0::2], r[..., 1::2] = z.real, z.imag
        else:
            r[..., :half], r[..., half:] = z.real, z.imag
        return r.reshape(self.tokens, -1)

    def output(self, q, k, v, wo):
        y = np.zeros((self.tokens, self.out))
        for h in range(self.queries):
            part = slice(h * self.head, (h + 1) * self.head)
            for t in range(self.tokens):
                seen = slice(self.masked, t + 1 if self.causal else self.tokens)
                if len(k[seen]) == 0:
                    continue
                score = k[seen] @ q[t, part] / np.sqrt(self.head)
                p = np.exp(score - score.max())
                y[t] += wo[:, part] @ (p / p.sum() @ v[seen])
        return y

    def slope(self, which, change):
        """sum over the outputs, per query, of twice the squared derivative along a change of q, k, v or wo"""
        at = {"q": self.q, "k": self.k, "v": self.v, "wo": self.wo}
        up, down = dict(at), dict(at)
        up[which] = at[which] + STEP * change
        down[which] = at[which] - STEP * change
        return 2 * (((self.output(**up) - self.output(**down)) / (2 * STEP)) ** 2).sum(axis=1)

    def changes(self, rows, only=None):
        """for each weight of W[rows][dim]: how it moves the vectors W x_t, at all tokens or at one"""
        for i in range(rows):
            for j in range(self.dim):
                change = np.zeros((self.tokens, rows))
                at = slice(None) if only is None else only
                change[at, i] = self.x[at, j]
                yield change

    def traces(self):
        energy = (self.x ** 2).sum(axis=1)
        q = sum(self.slope("q", self.rotate(c)) for c in self.changes(self.queries * self.head))
        result, weights = {"q": q.sum()}, {"q": q / energy}
        for which, turn in (("k", self.rotate), ("v", lambda c: c)):
            result[which] = sum(self.slope(which, turn(c)).sum() for c in self.changes(self.head))
            alone = np.array([sum(self.slope(which, turn(c)).sum() for c in self.changes(self.head, t))
                              for t in range(self.tokens)])
            weights[which] = alone / energy * (result[which] / alone.sum() if alone.sum() > 1e-15 else 0.0)
        units = np.eye(self.wo.size).reshape(-1, *self.wo.shape)
        result["o"] = sum(self.slope("wo", u).sum() for u in units)
        return result, weights


def array(out, kind, name, values):
    lines, line = [], "   "
    for v in values:
        if len(line) + len(v) + 2 > 128:
            lines.append(line)
            line = "   "
        line += " " + v + ","
    out.append(f"static const {kind} {name}[] = {{\n" + "\n".join(lines + [line.rstrip(",")]) + "\n};\n")


def plain(v, suffix=""):
    text = f"{v:.9g}"
    return text + ("" if "." in text or "e" in text else ".0") + suffix


def main():
    out = ["""/* attention.h - traces of an attention block's Hessians, by finite differences in float64. Made by

       python3 tests/gen/attention.py

   Do not edit. Case c: its floats begin at attention_numbers[at], packed, in this order: x, q, k, v, wo, and with RoPE the
   cosines and the sines. Its weights per token, for q, k and v, begin at attention_weights[weights_at]. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include <stdint.h>

typedef struct attention_case {
    const char *name;
    uint32_t tokens, dim, head, queries, out, masked;
    int causal, rope;
    uint32_t at, weights_at;
    double q, k, v, o;
} attention_case;
"""]
    cases, numbers, weights = [], [], []
    for case in CASES:
        b = Block(case)
        result, weight = b.traces()
        shape = ",".join(f"{n}u" for n in case[1:7])
        expected = ",".join(f"{result[w]:.12g}" if result[w] else "0.0" for w in "qkvo")
        cases.append(f'\n    {{"{case[0]}",{shape},{case[7]},{case[8]},{len(numbers)}u,{len(weights)}u,{expected}}}')
        parts = [b.x, b.q, b.k, b.v, b.wo] + ([np.cos(b.angle), np.sin(b.angle)] if b.rope else [])
        numbers += [plain(np.float32(n), "f") for part in parts for n in part.ravel()]
        weights += [plain(n) for w in "qkv" for n in weight[w]]
    out.append("static const attention_case attention_cases[] = {" + ",".join(cases) + "\n};\n")
    array(out, "float", "attention_numbers", numbers)
    array(out, "double", "attention_weights", weights)
    (ROOT / "tests" / "vectors" / "attention.h").write_text("\n".join(out) + "#endif\n")


main()
