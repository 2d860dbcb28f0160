#!/usr/bin/env python3
"""Writes tests/vectors/outliers.h: transforms fitted in float64 to small samples, by matrices, as section 17 of llmq.h says.

    outliers.py [FILE]

Needs numpy. The inputs are whole numbers made by llmq_random, which the test makes again; the normal numbers of a rotation are
computed in float32, operation for operation, so that both sides have the same. All else is float64: reflections are matrices, and
the Q of a step is compared with that of numpy's QR of the Gaussian matrix that it belongs to. Samples are drawn anew until no
decision (which rows, which channel, which product, which of two peaks) is so near a tie that float32 could decide otherwise.
"""
import os
import sys

import numpy as np

from bundle import random32 as random

HERE = os.path.dirname(os.path.abspath(__file__))
HADAMARD, SMOOTH, PERMUTE, ROTATE = 1, 2, 3, 4
PEAK, RANGE, ERROR = 0, 1, 2
NEAR = 1e-5
F = np.float32


class Tie(Exception):
    pass


# ---- the trainer's normal numbers ----

def ln(x):
    u = int(np.array(x, F).view(np.uint32))
    e = (u >> 23) - 127
    m = np.array(u & 0x7FFFFF | 0x3F800000, np.uint32).view(F)[()]
    if m > F(1.41421356):
        m, e = m * F(0.5), e + 1
    t = (m - F(1)) / (m + F(1))
    s = t * t
    series = F(2) + s * (F(0.666666667) + s * (F(0.4) + s * (F(0.285714286) + s * F(0.222222222))))
    return F(e) * F(0.693147181) + t * series


class Normals:
    def __init__(self, seed):
        self.seed, self.counter = seed, 0

    def uniform(self):
        self.counter += 1
        return F(random(self.seed, self.counter - 1) >> 8) * F(1 / 8388608) - F(1)

    def pair(self):
        while True:
            u, v = self.uniform(), self.uniform()
            s = u * u + v * v
            if F(1e-30) <= s < F(1):
                s = np.sqrt(F(-2) * ln(s) / s)
                return [float(u * s), float(v * s)]

    def vector(self, n):
        return np.array(sum((self.pair() for i in range((n + 1) // 2)), [])[:n])


# ---- sections 3 and 4, as matrices: T x = M x ----

def is_prime(v):
    return v > 1 and all(v % d for d in range(2, int(v ** 0.5) + 1))


def paley_order(m):
    return is_prime(m - 1) and (m - 1) % 4 == 3 or m % 2 == 0 and is_prime(m // 2 - 1) and (m // 2 - 1) % 4 == 1


def base(n):
    if n & n - 1 == 0:
        return 1
    return next((m for m in range(12, 129, 4) if n % m == 0 and (n // m) & (n // m - 1) == 0 and paley_order(m)), 0)


def paley(m):
    def chi(a, q):
        a %= q
        return 0 if a == 0 else 1 if any(b * b % q == a for b in range(1, q)) else -1
    h = np.ones((m, m))
    if is_prime(m - 1):
        q = m - 1
        for i in range(1, m):
            for j in range(1, m):
                h[i, j] = chi(i + j - 2, q) or -1
        return h
    q = m // 2 - 1
    for a in range(q + 1):
        for b in range(q + 1):
            c = 1 if a == 0 or b == 0 else chi(a - b, q)
            h[2 * a:2 * a + 2, 2 * b:2 * b + 2] = [[1, -1], [-1, -1]] if a == b else np.array([[1, 1], [1, -1]]) * c
    return h


def hadamard_blocks(cols, most):
    at, out = 0, []
    while at < cols:
        n = cols - at
        if not (n <= most and base(n)):
            n = 1 << min(n, most).bit_length() - 1
        out.append((at, n))
        at += n
    return out


def rotate_blocks(cols, block):
    return [(at, block) for at in range(0, cols - block + 1, block)]


def hadamard(cols, seed, most):
    h = np.zeros((cols, cols))
    for at, n in hadamard_blocks(cols, most):
        m = base(n)
        one = paley(m) if m > 1 else np.ones((1, 1))
        for i in range((n // m).bit_length() - 1):
            one = np.kron(one, [[1, 1], [1, -1]])
        h[at:at + n, at:at + n] = one / np.sqrt(n)
    assert np.allclose(h @ h, np.eye(cols)) and np.allclose(h, h.T)
    return h * [1 - 2 * (random(seed, j // 32) >> j % 32 & 1) for j in range(cols)]


# ---- section 17 ----

def inputs(cols, count, seed, side):
    """The same numbers as in the test: 21 bits, columns times 1 to 16, rows times 1 to 4."""
    x = np.array([[(random(seed, t * cols + j) >> 11) - 2 ** 20 for j in range(cols)] for t in range(count)], float) / 2 ** 20
    x *= [2.0 ** (random(seed + 1, j) % 5) for j in range(cols)]
    x *= np.array([2.0 ** (random(seed + 2, t) % 3) for t in range(count)])[:, None]
    return np.abs(x) if side else x


def weights(cols, seed):
    return np.array([((random(seed + 3, j) >> 20) + 1) / 1024 for j in range(cols)])


def apart(values):
    values = np.sort(np.asarray(values, float))[::-1]
    if np.any(values[:-1] - values[1:] <= NEAR * values[:-1]):
        raise Tie


def take_sample(x, room, seed):
    heights = np.abs(x).max(1)
    apart(heights)
    top = x[np.argsort(-heights)[:room // 2]]
    places, drawn = room - room // 2, []
    for t in range(len(x)):
        if len(drawn) < places:
            drawn.append(t)
        else:
            k = random(seed, t + 1) * (t + 1) >> 32
            if k < places:
                drawn[k] = t
    return np.concatenate([top, x[drawn]])


def reflection(w):
    return np.eye(len(w)) - 2 * np.outer(w, w) / (w @ w)


def orthogonal(normals, n):
    """Q of Householder's QR: the reflections that make normal vectors of n, n - 1 ... 1 numbers multiples of the first unit
    vector, and the signs that make those multiples positive."""
    q, sign, gauss = np.eye(n), np.ones(n), np.zeros((n, n))
    fill = np.random.default_rng(n)
    for k in range(n):
        x = normals.vector(n - k)
        gauss[:, k] = q @ np.concatenate([fill.normal(size=k), x])  # a column that Householder would see as x
        if k + 1 == n:
            sign[k] = -1 if x[0] < 0 else 1
            break
        sign[k] = 1 if x[0] < 0 else -1
        w = x.copy()
        w[0] -= sign[k] * np.linalg.norm(x)
        step = np.eye(n)
        step[k:, k:] = reflection(w)
        q = q @ step
    other, r = np.linalg.qr(gauss)
    assert np.allclose(other * np.sign(r.diagonal()), q * sign, atol=1e-6)
    return q * sign


def measure(runs, r, criterion):
    """runs: [inputs][runs][B]. The criterion and the channel to be spread next."""
    turned = runs @ r
    peak = np.abs(turned).max((1, 2))
    bad = peak
    if criterion == ERROR:
        power = (runs ** 2).sum((1, 2))
        bad = np.where(power > 0, peak ** 2 / np.where(power > 0, power, 1), 0)
    # the largest number of each channel in the inputs, weighted as the criterion weights these
    share = (np.abs(turned).max(1) * (np.where(peak > 0, bad / np.where(peak > 0, peak, 1), 0))[:, None]).max(0)
    apart(np.sort(share)[-2:])
    value = bad.sum() if criterion == ERROR else peak.max() if criterion == PEAK else max(turned.max(), 0) - min(turned.min(), 0)
    return value, int(share.argmax())


def rotation(runs, n, criterion, steps, normals, log):
    z = reflection(np.concatenate([[1 + 1 / np.sqrt(n)], np.full(n - 1, 1 / np.sqrt(n))]))
    assert np.allclose(z[0], -1 / np.sqrt(n)) and np.allclose(z @ z, np.eye(n))
    r = kept = np.eye(n)
    best, channel = measure(runs, r, criterion)
    chosen = 0
    for k in range(steps):
        e = np.eye(n)
        e[:, [0, channel]] = e[:, [channel, 0]]
        q = np.eye(n)
        q[1:, 1:] = orthogonal(normals, n - 1)
        r = r @ e @ z @ q @ e
        value, channel = measure(runs, r, criterion)
        if abs(value - best) <= NEAR * best:
            raise Tie
        if value < best:
            best, kept, chosen = value, r, k + 1
    log.append("%d of %d" % (chosen, steps))
    return kept


def zigzag(peak, blocks):
    apart(peak)
    order = np.argsort(-peak).tolist()
    if not blocks:
        return order
    dealt = [[] for b in blocks]
    turn = list(range(len(blocks))) + list(reversed(range(len(blocks))))
    i = 0
    while sum(map(len, dealt)) < sum(n for at, n in blocks):
        b = turn[i % len(turn)]
        if len(dealt[b]) < blocks[b][1]:
            dealt[b].append(order.pop(0))
        i += 1
    return sum(dealt, []) + order


def fit(case, seed, out):
    x = inputs(case["cols"], case["inputs"], seed, case["side"])
    cols, log = case["cols"], []
    s, peak = take_sample(x, case["room"], case["sample_seed"]), np.abs(x).max(0)
    weight = weights(cols, seed) if case["weighted"] else np.ones(cols)
    for number, (kind, block, arg) in enumerate(case["steps"]):
        if kind == HADAMARD:
            t = hadamard(cols, arg, block)
        if kind == SMOOTH:
            d = np.maximum(peak, 2.0 ** -100) ** case["alpha"] / np.maximum(weight, 2.0 ** -100) ** (1 - case["alpha"])
            d = np.clip(d, case["least"], case["most"])
            out["smooth"] += d.tolist()
            t, peak, weight = np.diag(1 / d), peak / d, weight * d
        if kind == PERMUTE:
            following = [step for step in case["steps"][number + 1:] if step[0] in (HADAMARD, ROTATE)]
            blocks = []
            if following:
                blocks = (hadamard_blocks if following[0][0] == HADAMARD else rotate_blocks)(cols, following[0][1])
            order = zigzag(peak, blocks)
            out["order"] += order
            t, peak, weight = np.eye(cols)[order], peak[order], weight[order]
        if kind == ROTATE:
            t, normals = np.eye(cols), Normals(random(case["seed"], number))
            places = rotate_blocks(cols, block)
            for m in range(arg):
                mine = places if arg == 1 else places[m:m + 1]
                runs = np.stack([s[:, at:at + block] for at, n in mine], 1)
                r = rotation(runs, block, case["criterion"], case["rotations"], normals, log)
                assert np.allclose(r @ r.T, np.eye(block))
                out["matrix"] += np.round(r * 1e7).astype(int).reshape(-1).tolist()
                for at, n in mine:
                    t[at:at + n, at:at + n] = r.T
        s = s @ t.T
        if kind in (HADAMARD, ROTATE):
            peak, weight = np.abs(s).max(0), np.ones(cols)
    out["peak"] += peak.tolist()
    if case["weighted"]:
        out["weight"] += weight.tolist()
    return log


# two steps of B = 2 turn by 45 degrees twice, and further ones would only repeat what they come to
def case(cols, steps, **more):
    c = dict(cols=cols, steps=steps, inputs=17, room=9, sample_seed=5, alpha=0.625, least=0.01, most=10000.0, criterion=ERROR, rotations=8,
             seed=1, weighted=1, side=0)
    c.update(more)
    return c


CASES = [case(2 * b + (b > 2), [(ROTATE, b, 1 if shared else 2)], criterion=criterion, rotations=steps, seed=3 + b, weighted=0)
         for b, steps in ((2, 2), (4, 12), (8, 10), (16, 8)) for criterion in (PEAK, RANGE, ERROR) for shared in (0, 1) if shared or b < 16 or criterion == ERROR]
# many inputs and few steps: where one product is the best of most, the next has to be compared with what that really was
CASES += [case(2 * b, [(ROTATE, b, 1)], criterion=PEAK, rotations=16, seed=seed, weighted=0, inputs=30, room=30) for b in (4, 8) for seed in (21, 22, 23, 24)]
CASES += [
    case(9, [(ROTATE, 4, 2)], criterion=RANGE, rotations=3, side=1, weighted=0),
    case(40, [(SMOOTH, 0, 40)]),
    case(40, [(SMOOTH, 0, 40)], weighted=0, alpha=0.5),
    case(20, [(SMOOTH, 0, 20)], alpha=0.0),
    case(20, [(SMOOTH, 0, 20)], alpha=1.0),
    case(20, [(SMOOTH, 0, 20)], alpha=0.75, least=3.5, most=9.25),
    case(22, [(SMOOTH, 0, 22), (PERMUTE, 0, 22), (HADAMARD, 8, 77)]),
    case(172, [(PERMUTE, 0, 172), (HADAMARD, 128, 3)], weighted=0),
    case(300, [(PERMUTE, 0, 300), (HADAMARD, 128, 4)], weighted=0),
    case(64, [(PERMUTE, 0, 64), (HADAMARD, 16, 4)]),
    case(30, [(PERMUTE, 0, 30), (SMOOTH, 0, 30)]),
    case(31, [(HADAMARD, 16, 9), (PERMUTE, 0, 31), (SMOOTH, 0, 31)]),
    case(19, [(PERMUTE, 0, 19), (ROTATE, 4, 1)]),
    case(13, [(SMOOTH, 0, 13), (ROTATE, 4, 3), (PERMUTE, 0, 13), (ROTATE, 4, 1)]),
    case(12, [(HADAMARD, 8, 7), (SMOOTH, 0, 12), (PERMUTE, 0, 12), (ROTATE, 4, 1)], criterion=RANGE),
    case(20, [(ROTATE, 8, 1), (SMOOTH, 0, 20), (PERMUTE, 0, 20), (HADAMARD, 32, 5), (PERMUTE, 0, 20), (ROTATE, 4, 1), (PERMUTE, 0, 20), (SMOOTH, 0, 20)],
         criterion=PEAK, rotations=5),
]


def array(out, kind, name, values, form):
    out.append("static const %s outliers_%s[%d] = {" % (kind, name, len(values)))
    line = "   "
    for v in values:
        text = form % v
        if kind == "double" and "." not in text and "e" not in text:
            text += ".0"
        if len(line) + len(text) > 126:
            out.append(line)
            line = "   "
        line += " %s," % text
    out += [line.rstrip(","), "};"]


def main():
    answers = dict(matrix=[], smooth=[], order=[], peak=[], weight=[])
    rows = []
    for number, c in enumerate(CASES):
        for seed in range(1000 + 10 * number, 10 ** 9, 1000):
            new = {key: [] for key in answers}
            try:
                log = fit(c, seed, new)
                break
            except Tie:
                pass
        print(number, c["cols"], c["steps"], "seed", seed, "kept", ", ".join(log), file=sys.stderr)
        for key in answers:
            answers[key] += new[key]
        rows.append("    { %d, %d, %d, %d, %d, %d, %d, %sf, %sf, %sf, %d, %d, %d, %d, { %s } }" % (
            c["cols"], c["inputs"], c["room"], seed, c["sample_seed"], c["side"], c["weighted"], c["alpha"], c["least"], c["most"], c["criterion"],
            c["rotations"], c["seed"], len(c["steps"]), ", ".join("{ %d, %d, %d }" % s for s in c["steps"])))
    out = ["/* outliers.h - transforms fitted to small samples in float64; made by tests/gen/outliers.py */",
           "static const struct {",
           "    uint32_t cols, inputs, room, input_seed, sample_seed;",
           "    int side, weighted;",
           "    float alpha, least, most;",
           "    int criterion;",
           "    uint32_t rotations, seed, count;",
           "    llmq_step step[8];",
           "} outliers_cases[%d] = {" % len(rows), ",\n".join(rows), "};",
           "/* case after case: entries of rotations times 10^7, numbers of smoothings, permutations, peaks afterwards, weights' peaks */"]
    array(out, "int32_t", "matrix", answers["matrix"], "%d")
    array(out, "double", "smooth", answers["smooth"], "%.8g")
    array(out, "uint16_t", "order", answers["order"], "%d")
    array(out, "double", "peak", answers["peak"], "%.8g")
    array(out, "double", "weight", answers["weight"], "%.8g")
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "vectors", "outliers.h")
    open(path, "w").write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
