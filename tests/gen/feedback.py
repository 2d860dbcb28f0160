#!/usr/bin/env python3
"""Writes tests/vectors/feedback.h: rows quantized with error feedback in float64, by other ways than llmq.h goes.

    feedback.py [FILE]

Needs numpy. The current row W holds what the columns that are still free would best be if they could be any real number, which
is the form of the GPTQ paper: with G the inverse of the free part of H + damping, a block b of columns that is fixed with the
error e = W_b - w'_b costs e G_bb^-1 e^T and moves the others by -e G_bb^-1 G_b,rest. For p = 1 the paper's Cholesky factor of the
inverse must give the same codes; for p > 1 the cost is also computed by brute force, as the least E H E^T that any real
continuation reaches. Scales: one trial at rms / unit and its fit, or the best of all 41.

Rows are drawn anew until no decision is so near a tie that 12 bits of a factor could change it.
"""
import os
import sys

import numpy as np

from grids import grid_of

HERE = os.path.dirname(os.path.abspath(__file__))
COLS, ROWS, NEAR = 72, 3, 0.02  # NEAR: distance to a tie, in units of a grid's typical step
NATURAL, DIAGONAL, FAST, BEST = 0, 1, 1, 2
#  format, cols, group, order, effort, damping, first order
CASES = [
    ("g2", 40, 0, NATURAL, FAST, 0.01, 0), ("g3", 72, 32, NATURAL, FAST, 0.01, 0), ("g3", 72, 32, DIAGONAL, FAST, 0.05, 0),
    ("g4", 71, 32, DIAGONAL, BEST, 0.01, 0), ("g4", 64, 32, NATURAL, FAST, 0.1, 0.06), ("v2n16", 71, 32, DIAGONAL, FAST, 0.01, 0),
    ("v2n64", 70, 32, NATURAL, BEST, 0.02, 0), ("v2n256", 40, 0, DIAGONAL, FAST, 0.1, 0), ("v3n64", 72, 32, DIAGONAL, FAST, 0.01, 0),
    ("v3n512", 72, 32, NATURAL, FAST, 0.1, 0.06), ("v4n256", 71, 32, DIAGONAL, FAST, 0.01, 0),
]


def grid(name):
    unit, points = grid_of(name)
    return unit, points.shape[1], points.astype(float)


def bfloat16(x):
    """Bits of the nearest, and how far x is from the middle of two, in half steps."""
    u = int(np.array(x, np.float32).view(np.uint32))
    m, e = np.frexp(x)
    fraction = m * 256 % 1
    return (u + 0x7FFF + (u >> 16 & 1)) >> 16, abs(fraction - 0.5) * 2


def value(bits):
    return float(np.array(bits << 16, np.uint32).view(np.float32))


def nearest(x, points, metric, step):
    """Index of the nearest of points to x, distances e metric e^T; None if it is nearly another."""
    e = x - points
    cost = np.einsum("ki,ij,kj->k", e, metric, e)
    k = cost.argmin()
    apart = points - points[k]
    span = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", apart, metric, apart), 1e-30))
    room = (cost - cost[k]) / (2 * span)  # to the plane between the two
    same = span < 1e-12
    return None if room[~same].min() < NEAR * step * np.sqrt(metric.diagonal().min()) else k


def codes_at(y, scale, points, p, step):
    return [nearest(y[i:i + p] / scale, points[:, :len(y[i:i + p])], np.eye(len(y[i:i + p])), step) for i in range(0, len(y), p)]


def loose_codes(y, scale, points, p):
    return [int(((y[i:i + p] / scale - points[:, :len(y[i:i + p])]) ** 2).sum(1).argmin()) for i in range(0, len(y), p)]


def scale_bits(y, weight, unit, points, p, effort, step):
    first, best = np.sqrt(np.mean(y * y)) / unit, []
    for i in range(-20, 21) if effort == BEST else [0]:
        c = np.concatenate([points[k] for k in loose_codes(y, first * (1 + 0.025 * i), points, p)])[:len(y)]
        num, den = np.sum(weight * y * c), np.sum(weight * c * c)
        best.append((num * num / den, num / den, i))
    best.sort()
    top = best[-1]
    if any(g > top[0] * (1 - 1e-4) and abs(f / top[1] - 1) > 1e-9 for g, f, i in best):
        return None
    if None in codes_at(y, first * (1 + 0.025 * top[2]), points, p, step):
        return None
    bits, far = bfloat16(top[1])
    return bits if far > 0.02 else None


def ordered(h, group, p, order):
    cols = len(h)
    if order == NATURAL:
        return np.arange(cols)

    def sort(columns, run):
        whole = len(columns) // run * run
        runs = sorted(columns[:whole].reshape(-1, run).tolist(), key=lambda r: -np.mean(h.diagonal()[r]))
        return np.array([c for r in runs for c in r] + columns[whole:].tolist(), int)

    columns = sort(np.arange(cols), group)
    at, out = 0, []
    while at < cols:
        n = min(group, cols - columns[at] // group * group)
        out.append(sort(columns[at:at + n], p))
        at += n
    return np.concatenate(out)


def encode(h, w, name, group, order, effort, damping, first_order):
    """(scales, codes) of a row, or None where a decision is near a tie."""
    unit, p, points = grid(name)
    cols = len(w)
    group = group or cols
    mean = np.mean(h.diagonal())
    column = ordered(h, group, p, order)
    step = unit * len(points) ** (-1 / p)
    h = (h + damping * mean * np.eye(cols))[np.ix_(column, column)]
    u = np.linalg.cholesky(np.linalg.inv(h)).T  # the inverse of H is U^T U
    m, d = np.linalg.inv(u) * u.diagonal(), u.diagonal() ** -2
    assert np.allclose(m @ np.diag(d) @ m.T, h) and np.allclose(m, np.triu(m))
    w = w[column]
    now, done = w.copy(), np.zeros(cols)
    scales, codes = [0] * -(-cols // group), {}
    s = 0
    while s < cols:
        g = column[s] // group
        end = s + min(group, cols - g * group)
        bits = scale_bits(w[s:end] + ((now - w)[s:] @ m[s:, s:])[:end - s], d[s:end], unit, points, p, effort, step)
        if bits is None:
            return None
        scales[g], scale = bits, value(bits)
        for v in range(s, end, p):
            b = min(p, end - v)
            inverse = np.linalg.inv(h[v:, v:])
            metric = np.linalg.inv(inverse[:b, :b])
            k = nearest(now[v:v + b] / scale, points[:, :b], metric, step)
            if k is None:
                return None
            if p > 1 and not first_order:
                assert k == brute_force(h, w, done, v, b, points[:, :b] * scale)
            e = now[v:v + b] - points[k, :b] * scale
            done[v:v + b] = points[k, :b] * scale
            now[v + b:] -= e @ metric @ inverse[:b, b:]
            codes[g, column[v] % group // p] = int(k)
        if first_order and end < cols:
            moved = (now - w)[end:]
            now[end:] -= first_order * mean * moved @ np.linalg.inv(h[end:, end:])
        s = end
    if p == 1 and not first_order:
        paper(u, w, column, [value(scales[c // group]) for c in column], points, [codes[c // group, c % group] for c in column])
    return scales, [codes[key] for key in sorted(codes)]


def brute_force(h, w, done, v, b, choices):
    """The choice for columns [v, v + b) after which the columns behind can still make E H E^T the least."""
    fixed = np.concatenate([np.tile((w - done)[:v], (len(choices), 1)), w[v:v + b] - choices], axis=1)
    a, rest = slice(0, v + b), slice(v + b, None)
    best = -np.linalg.solve(h[rest, rest], h[rest, a] @ fixed.T).T if v + b < len(h) else np.zeros((len(choices), 0))
    e = np.concatenate([fixed, best], axis=1)
    return int(np.einsum("ki,ij,kj->k", e, h, e).argmin())


def paper(u, w, column, scales, points, codes):
    w = w.copy()
    for k in range(len(w)):
        code = int(abs(w[k] - points[:, 0] * scales[k]).argmin())
        assert points[code, 0] == points[codes[k], 0]
        w[k:] -= (w[k] - points[code, 0] * scales[k]) / u[k, k] * u[k, k:]


def array(out, kind, name, values):
    out.append("static const %s %s[%d] = {" % (kind, name, len(values)))
    line = "   "
    for v in values:
        if len(line) > 120:
            out.append(line)
            line = "   "
        line += " %d," % v
    out += [line.rstrip(","), "};"]


def main():
    random = np.random.default_rng(9)
    mix = random.normal(size=(COLS, COLS)) / np.sqrt(COLS) + 2 * np.eye(COLS) + 2 * np.eye(COLS, k=1)
    x = np.round(random.normal(size=(120, COLS)) @ mix * random.uniform(1, 4, COLS))
    h = x.T @ x
    weights, scales, codes, cases = [], [], [], []
    for name, cols, group, order, effort, damping, first_order in CASES:
        cases.append('    { "%s", %d, %d, %d, %d, %gf, %gf }' % (name, cols, group, order, effort, damping, first_order))
        if "." not in "%g" % first_order:
            cases[-1] = cases[-1].replace(" 0f }", " 0.0f }")
        for r in range(ROWS):
            for tries in range(20000):
                w = np.round(random.normal(size=cols) * 300)
                got = encode(h[:cols, :cols], w, name, group, order, effort, float(np.float32(damping)), float(np.float32(first_order)))
                if got:
                    break
            assert got, name
            print(name, "row", r, "after", tries, "others", file=sys.stderr)
            weights += w.astype(int).tolist()
            scales += got[0]
            codes += got[1]
    out = ["/* feedback.h - rows quantized with error feedback in float64; made by tests/gen/feedback.py */",
           "#define FEEDBACK_ROWS %d" % ROWS,
           "static const struct { const char *format; uint32_t cols, group; int order, effort; float damping, first_order; } feedback_cases[%d] = {" % len(cases),
           ",\n".join(cases), "};",
           "/* packed lower triangle; a case takes its first columns */"]
    array(out, "int32_t", "feedback_hessian", [int(v) for i in range(COLS) for v in h[i, :i + 1]])
    out.append("/* case after case, row after row: weights, scales as bfloat16, codes */")
    array(out, "int16_t", "feedback_weights", weights)
    array(out, "uint16_t", "feedback_scales", scales)
    array(out, "uint16_t", "feedback_codes", codes)
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "vectors", "feedback.h")
    open(path, "w").write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
