#!/usr/bin/env python3
"""Make the built-in grids of llmq.h, and larger ones for tests: MSE-optimal for N(0, I_p), as int8 points and one float unit.

    python3 tests/gen/grids.py g4 v2n256 ...     # rewrites those tables in llmq.h and tests/vectors/grids.h
                                                 # (all of them without arguments)

A grid is stored as integers c = round(unit * point). p = 1: Lloyd's fixed point by exact Gaussian integrals, then a
search over units and single steps of the integers for the least exact MSE. p > 1: Lloyd on fresh samples from several
starts drawn with Zador's density (variance (p+2)/p), for n > 16 under the constraint that -c is a point when c is, which
costs next to nothing and halves the work: the nearest of +-h_i maximises |<x, h_i>| - |h_i|^2 / 2.
Points are sorted by their coordinates, so that (under the constraint) point n-1-i is minus point i. The printed MSE is measured on the
integers: exactly for p = 1, on 2^22 fresh vectors for p > 1. g8 is uniform: 255 levels, at the unit of least MSE.
"""
import math
import re
import sys
import textwrap
from pathlib import Path

import numpy as np

SCALAR = {"g2": 4, "g3": 8, "g4": 16, "g5": 32, "g6": 64}
VECTOR = {"v2n16": (2, 16), "v2n64": (2, 64), "v2n256": (2, 256), "v3n64": (3, 64), "v3n512": (3, 512), "v4n256": (4, 256)}
FORMER = ("v2n256", "v3n64", "v3n512", "v4n256")  # built in until 0.10: tests use them as custom grids
FREE = {"v2n16"}  # the best 16 points in the plane have one in the middle: the constraint would cost 1.7 %
ROOT = Path(__file__).resolve().parents[2]
HEADER, VECTORS = ROOT / "llmq.h", ROOT / "tests" / "vectors" / "grids.h"


def grid_of(name):
    """The unit and the points of a grid that was made before."""
    text = (VECTORS if name in FORMER else HEADER).read_text()
    found = re.search(r"/\* grid %s: p=(\d+) .*?UNIT_%s ([\d.]+)f\n.*?\{(.*?)\}" % (name, name.upper()), text, re.S)
    return float(found[2]), np.array([int(v) for v in re.findall(r"-?\d+", found[3])]).reshape(-1, int(found[1]))


def phi(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi) if math.isfinite(x) else 0.0


def cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def cells(points):
    edge = [-math.inf] + [(a + b) / 2 for a, b in zip(points, points[1:])] + [math.inf]
    for c, a, b in zip(points, edge, edge[1:]):
        mass = cdf(b) - cdf(a)
        first = phi(a) - phi(b)
        second = mass + (a * phi(a) if math.isfinite(a) else 0) - (b * phi(b) if math.isfinite(b) else 0)
        yield c, mass, first, second


def scalar_mse(points):
    return sum(s - 2 * c * f + c * c * m for c, m, f, s in cells(points))


def scalar_grid(n):
    points = [2.5 * math.sqrt(3) * (2 * (i + 0.5) / n - 1) / 2 for i in range(n)]
    for _ in range(20000):
        moved = [f / m for _, m, f, _ in cells(points)]
        if max(abs(a - b) for a, b in zip(points, moved)) < 1e-12:
            break
        points = moved
    best = None
    for top in range(60, 128):
        unit = top / points[-1]
        half = [round(unit * c) for c in points[n // 2:]]
        if len(set(half)) < n // 2 or half[0] == 0:
            continue
        score = lambda h, u: scalar_mse([-c / u for c in reversed(h)] + [c / u for c in h])
        now = score(half, unit)
        if best and now > 1.5 * best[0]:
            continue
        changed = True
        while changed:
            changed = False
            for u in (unit * 0.999, unit * 1.001):
                if score(half, u) < now - 1e-15:
                    now, unit, changed = score(half, u), u, True
            for i in range(n // 2):
                for step in (-1, 1):
                    h = half[:i] + [half[i] + step] + half[i + 1:]
                    if h == sorted(set(h)) and 0 < h[0] and h[-1] <= 127 and score(h, unit) < now - 1e-15:
                        half, now, changed = h, score(h, unit), True
        if best is None or now < best[0]:
            best = (now, unit, half)
    mse, unit, half = best
    return unit, np.array([[-c] for c in reversed(half)] + [[c] for c in half]), mse, scalar_mse(points)


def uniform_grid():
    points = [max(i - 128, -127) for i in range(256)]
    score = lambda u: scalar_mse([c / u for c in points[1:]])
    unit = min((u / 100 for u in range(2500, 4000)), key=score)
    return unit, np.array(points)[:, None], score(unit), score(unit)


def assign(x, half, free):
    """Signed nearest point: for each row of x the index into half and the sign (always + if free)."""
    dot = x @ half.T
    i = np.argmax((dot if free else np.abs(dot)) - 0.5 * (half * half).sum(1), 1)
    if free:
        return i, np.ones(len(x), np.float32)
    return i, np.sign(dot[np.arange(len(x)), i]).astype(np.float32)


def chunks(rng, p, count):
    for _ in range(count // 65536):
        yield rng.standard_normal((65536, p), dtype=np.float32)


def lloyd(rng, half, count, steps, keep, free):
    """Lloyd steps on fresh samples; each new centroid is mixed with the old one by keep, to average out the noise."""
    p = half.shape[1]
    for _ in range(steps):
        total = np.zeros((len(half), p))
        mass = np.zeros(len(half))
        for x in chunks(rng, p, count):
            i, s = assign(x, half, free)
            np.add.at(mass, i, 1)
            for k in range(p):
                total[:, k] += np.bincount(i, x[:, k] * s, len(half))
        new = total / np.maximum(mass, 1)[:, None]
        half = np.where(mass[:, None] > 0, keep * half + (1 - keep) * new, half).astype(np.float32)
    return half


def vector_mse(rng, half, count, free):
    error = 0.0
    for x in chunks(rng, half.shape[1], count):
        i, s = assign(x, half, free)
        c = half[i] * s[:, None]
        error += float(((x - c) ** 2).sum(dtype=np.float64))
    return error / (count // 65536 * 65536 * half.shape[1])


def vector_grid(p, n, free):
    starts = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        half = (rng.standard_normal((n if free else n // 2, p)) * math.sqrt((p + 2) / p)).astype(np.float32)
        half = lloyd(rng, half, 1 << 18, 40, 0.0, free)
        starts.append((vector_mse(rng, half, 1 << 19, free), seed, half))
        print("  start %d: %.6f" % (seed, starts[-1][0]), file=sys.stderr, flush=True)
    _, seed, half = min(starts, key=lambda s: s[0])
    rng = np.random.default_rng(100 + seed)
    half = lloyd(rng, half, 1 << 20, 60, 0.0, free)
    half = lloyd(rng, half, 1 << 20, 30, 0.8, free)
    unit = 127 / np.abs(half).max()
    whole = np.rint(unit * half).astype(int)
    full = whole if free else np.concatenate([whole, -whole])
    full = full[np.lexsort(full.T[::-1])]
    return unit, full, vector_mse(rng, (whole / unit).astype(np.float32), 1 << 22, free), vector_mse(rng, half, 1 << 22, free)


def table(name, unit, points, mse):
    n, p = points.shape
    numbers = ",".join(str(v) for v in points.ravel())
    body = textwrap.fill(numbers.replace(",", ", "), 124, initial_indent="    ", subsequent_indent="    ").replace(", ", ",")
    unit_of, points_of = ("GRID_UNIT_", "grid_") if name in FORMER else ("LLMQ__UNIT_", "llmq__")
    return ("/* grid %s: p=%d n=%d, MSE %.5g */\n#define %s%s %.6ff\nstatic const int8_t %s%s[%d] = {\n%s\n};\n"
            % (name, p, n, mse, unit_of, name.upper(), unit, points_of, name, n * p, body))


def main():
    for name in sys.argv[1:] or list(SCALAR) + ["g8"] + list(VECTOR):
        make = (lambda: scalar_grid(SCALAR[name])) if name in SCALAR else uniform_grid if name == "g8" else (
            lambda: vector_grid(*VECTOR[name], name in FREE))
        unit, points, mse, ideal = make()
        print("%s: MSE %.6f (real-valued points %.6f), unit %.5f" % (name, mse, ideal, unit), file=sys.stderr, flush=True)
        text = table(name, unit, points, mse)
        found = re.compile(r"/\* grid %s: .*?\n};\n" % name, re.S)
        file = VECTORS if name in FORMER else HEADER
        before = file.read_text() if file.exists() else ""
        if found.search(before):
            file.write_text(found.sub(lambda _: text, before))
        else:
            print(text)


if __name__ == "__main__":
    main()
