#!/usr/bin/env python3
"""Make tests/vectors/vectors.h: answers that llmq.h must give, worked out another way.

    python3 tests/gen/vectors.py                 # rewrites tests/vectors/vectors.h; needs numpy

Nothing here is a translation of the C. Conversions are numpy's (binary16) or a choice between two neighbours by exact
fractions (bfloat16). Hadamard matrices are the textbook's, Paley's I + S and C x A + I x B from Legendre symbols, brought
into symmetric form by moving rows, checked (H H = n I, H = H^T), multiplied by Sylvester's matrix with a Kronecker
product, and applied as dense matrices in float64. Row records are packed from the text of section 6, each unit as one long
number; their products are sums of Python's exact integers and of float64. Only the points of the grids are read from
llmq.h and tests/vectors/grids.h, because they are data: run this again when they change.
"""
import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from grids import grid_of

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.RandomState(20240817)  # its stream is frozen by numpy's compatibility policy
MASK = 0xFFFFFFFF

# ---- half floats


def float_of(bits):
    return np.uint32(bits).view(np.float32)


def is_nan(bits):
    return bits & 0x7FFFFFFF > 0x7F800000


def f16_bits(bits):
    if is_nan(bits):  # quiet, upper payload kept
        return bits >> 16 & 0x8000 | 0x7E00 | bits >> 13 & 0x3FF
    with np.errstate(over="ignore", under="ignore"):
        return int(np.float16(float_of(bits)).view(np.uint16))


def bf16_bits(bits):
    """The nearer of the two bfloat16 around it; 2^128 stands for infinity."""
    if is_nan(bits):
        return bits >> 16 | 0x40
    sign, magnitude = bits >> 16 & 0x8000, bits & 0x7FFFFFFF
    if magnitude == 0x7F800000:
        return sign | 0x7F80

    def value(b):
        return Fraction(2) ** 128 if b == 0x7F800000 else Fraction(float(float_of(b)))

    low = magnitude >> 16
    below = value(magnitude) - value(low << 16)
    above = value(low + 1 << 16) - value(magnitude)
    return sign | (low if below < above or (below == above and low % 2 == 0) else low + 1)


def half_inputs():
    yield from (0, 1, 2, 0x007FFFFF, 0x00800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF)
    yield from (0x7F812345, 0x7FA00000, 0x7F7F7FFF, 0x7F7F8000, 0x7F7F0000, 0x7F7E8000, 0x00008000, 0x00018000, 0x00008001)
    for f in (65504.0, 65519.996, 65520.0, 65520.004, 65536.0, 2.0**-24, 2.0**-25, 2.0**-14, 2.0**-15, 2.0**-26, 1.5 * 2**-24,
              2.5 * 2**-24, 1023.5 * 2**-24, 1022.5 * 2**-24, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 2048.0, 2049.0, 2050.0, 2051.0,
              4098.0, 4102.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 256.0, 257.0, 259.0, 0.1, 1 / 3, 3.14159274):
        bits = int(np.float32(f).view(np.uint32))
        yield from (bits, bits + 1, bits - 1)
    for _ in range(60):
        yield int(RNG.randint(0, 2**31 - 1))               # anything
        yield int(RNG.randint(0x32800000, 0x47A00000))     # the range of binary16 and a bit around
        yield int(RNG.randint(0x330, 0x478)) << 20 | 0x1000 * int(RNG.randint(0, 256))  # ties of both


# ---- random numbers, signs


def mix(h):
    """xor-shift and multiply, twice: the finaliser that the header names"""
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def random32(seed, counter):
    return mix(mix(seed + 0x9E3779B9 & MASK) ^ counter * 0x9E3779B1 & MASK)


def signs(seed, cols):
    return np.array([-1.0 if random32(seed, j // 32) >> j % 32 & 1 else 1.0 for j in range(cols)])


# ---- Hadamard


def is_prime(v):
    return v > 1 and all(v % d for d in range(2, int(v**0.5) + 1))


def legendre(q):
    """Q[i][j] = chi(i - j)"""
    squares = {i * i % q for i in range(1, q)}
    chi = [0] + [1 if a in squares else -1 for a in range(1, q)]
    return np.array([[chi[(i - j) % q] for j in range(q)] for i in range(q)])


def paley_1(q):
    """I + S, S = [[0, 1], [-1, Q]]; rows 1 ... q negated, then row i moved to -i: symmetric, first row and column +"""
    h = np.eye(q + 1, dtype=int)
    h[0, 1:] += 1
    h[1:, 0] -= 1
    h[1:, 1:] += legendre(q)
    h[1:] *= -1
    return h[[0] + [1 + -i % q for i in range(q)]]


def paley_2(q):
    c = np.zeros((q + 1, q + 1), dtype=int)
    c[0, 1:] = c[1:, 0] = 1
    c[1:, 1:] = legendre(q)
    return np.kron(c, [[1, 1], [1, -1]]) + np.kron(np.eye(q + 1, dtype=int), [[1, -1], [-1, -1]])


def base_matrix(m):
    if m == 1:
        return np.ones((1, 1), dtype=int)
    h = paley_1(m - 1) if is_prime(m - 1) else paley_2(m // 2 - 1)
    assert h.shape == (m, m) and (h == h.T).all() and (h @ h == m * np.eye(m)).all() and (abs(h) == 1).all()
    return h


def order_base(n):
    """m of an order n = m 2^k, None if n is none"""
    if n & n - 1 == 0:
        return 1
    odd = n
    while odd % 2 == 0:
        odd //= 2
    for m in (4 * odd, 8 * odd, 16 * odd, 32 * odd):
        half = m // 2 - 1
        if m <= 128 and n % m == 0 and (is_prime(m - 1) or (half % 4 == 1 and is_prime(half))):
            return m
    return None


def hadamard(n):
    m = order_base(n)
    h = base_matrix(m)
    while len(h) < n:
        h = np.kron(h, [[1, 1], [1, -1]])
    return h / np.sqrt(n)


def blocks(n, max_block):
    while n:
        b = n
        if n > max_block or order_base(n) is None:
            b = 1
            while 2 * b <= min(n, max_block):
                b *= 2
        yield b
        n -= b


def hadamard_apply(x, max_block=1024):
    y, at = np.array(x, dtype=np.float64), 0
    for b in blocks(len(y), max_block):
        y[at:at + b] = hadamard(b) @ y[at:at + b]
        at += b
    return y


def transform(x, steps, back):
    """T x, or with back T^T x"""
    y = np.array(x, dtype=np.float64)
    for seed, block in steps[::-1] if back else steps:
        y = signs(seed, len(y)) * hadamard_apply(y, block) if back else hadamard_apply(signs(seed, len(y)) * y, block)
    return y


# ---- records


def grid_points(name, p):
    points = grid_of(name)[1]
    assert points.shape[1] == p
    return points


def bf16_value(bits):
    return float(float_of(bits << 16))


def pack_unit(numbers, room, bits):
    """Planes, each as one long number: number k in byte k mod u, bit f (k div u)."""
    out = b""
    for width in (8, 8, 4, 2, 1):
        if width > bits:
            continue
        bits -= width
        u = -(-width * room // 8)
        number = 0  # the plane as one little-endian number
        for k, c in enumerate(numbers):
            number |= (c & (1 << width) - 1) << 8 * (k % u) + width * (k // u)
        numbers = [c >> width for c in numbers]
        out += number.to_bytes(u, "little")
    assert bits == 0 and not any(numbers)
    return out


def pack(codes, bits):
    """Units of 128 codes; 3 bits as pairs."""
    out = b""
    for start in range(0, len(codes), 128):
        unit = codes[start:start + 128]
        half = (len(unit) + 1) // 2
        if bits == 3:
            out += pack_unit([a + 8 * b for a, b in zip(unit[:half], unit[half:] + [0])], half, 6)
        else:
            out += pack_unit(unit, len(unit), bits)
    return out


def make_scales(count):
    """Any bfloat16 that the encoder writes: 0, and normal numbers of very different sizes"""
    scales = [int(RNG.randint(127 - 12, 127 + 12)) << 7 | int(RNG.randint(128)) for _ in range(count)]
    if count > 2:
        scales[count // 2] = 0
    return scales


def make_record(name, p, bits, group, cols, q, x):
    points, g = grid_points(name, p), group or cols
    starts = range(0, cols, g)
    scales = make_scales(len(starts))
    codes, coords, column_scale = [], [], []
    for start, scale in zip(starts, scales):
        length = min(g, cols - start)
        chosen = [int(c) for c in RNG.randint(0, 1 << bits, -(-length // p))]
        codes += chosen
        coords += [int(v) for c in chosen for v in points[c]][:length]
        column_scale += [bf16_value(scale)] * length
    record = b"".join(s.to_bytes(2, "little") for s in scales) + pack(codes, bits)
    decoded = np.array(coords, dtype=np.float32) * np.array(column_scale, dtype=np.float32)
    plus = decoded + np.float32(0)  # -0 becomes 0
    pattern = sum(int(b) * (2 * j + 1) for j, b in enumerate(plus.view(np.uint32))) & MASK
    terms = [int(a) * c for a, c in zip(q, coords)]
    exact = [t * s for t, s in zip(terms, column_scale)]
    real = [float(v) * float(d) for v, d in zip(x, decoded)]
    run = group or 128  # columns of an activation's scale: the sums whose rounding the test allows for
    runs = [sum(exact[j:j + run]) for j in range(0, cols, run)]
    return dict(format=name, group=group, cols=cols, record=record, coords=coords, scales=scales, pattern=pattern,
                whole=sum(terms), q=sum(exact), q_size=sum(map(abs, runs)), x=sum(real), x_size=sum(map(abs, real)))


FORMATS = [("g2", 1, 2), ("g3", 1, 3), ("g4", 1, 4), ("g5", 1, 5), ("g8", 1, 8), ("v2n16", 2, 4), ("v3n64", 3, 6), ("v3n512", 3, 9)]

# ---- output


def array(out, kind, name, values):
    """Lines of up to 118 characters; a struct is never split."""
    lines = [""]
    for v in values:
        if len(lines[-1]) + len(v) > 112:
            lines.append("")
        lines[-1] += v + ","
    body = "\n".join("    " + line for line in lines)
    out.append(f"static const {kind} {name}[{len(values)}] = {{\n{body[:-1]}\n}};\n")


def core(out, q):
    out.append("/* float bits, and the binary16 and bfloat16 bits they round to */")
    seen = dict.fromkeys(b | s for b in half_inputs() if b >= 0 for s in (0, 0x80000000))
    rows = [f"{{{b:#x}u,{f16_bits(b):#x},{bf16_bits(b):#x}}}" for b in seen]
    out.append("typedef struct vector_half { uint32_t f32; uint16_t f16, bf16; } vector_half;")
    array(out, "vector_half", "vector_halves", rows)

    out.append("/* llmq_random(seed, counter) */")
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 7), (12345, 678), (MASK, MASK), (MASK, 0), (0, MASK), (0x80000000, 0x80000000)]
    out.append("typedef struct vector_random { uint32_t seed, counter, value; } vector_random;")
    array(out, "vector_random", "vector_randoms", [f"{{{s:#x}u,{c:#x}u,{random32(s, c):#x}u}}" for s, c in pairs])

    out.append("""/* vector_input[0, n) transformed: the n numbers in vector_transformed from `at` on. steps 0: llmq_hadamard with blocks
   up to block[0]; else the transform of that many steps, or back its transpose. */
typedef struct vector_case { uint32_t n, at, steps, seed[2], block[2]; int back; } vector_case;""")
    cases, values = [], []

    def add(n, steps, back, plain_block=1024):
        y = transform(q[:n], steps, back) if steps else hadamard_apply(q[:n], plain_block)
        seed, block = [s for s, _ in steps] or [0], [b for _, b in steps] or [plain_block]
        pad = lambda v: ",".join(f"{w}u" for w in (v + [0])[:2])
        cases.append(f"{{{n}u,{len(values)}u,{len(steps)}u,{{{pad(seed)}}},{{{pad(block)}}},{int(back)}}}")
        values.extend(f"{v:.12g}" for v in y)

    for n in (1, 2, 4, 8, 12, 20, 28, 36, 44, 60, 68, 76, 84, 104, 108, 124, 172, 576, 100, 24, 168):
        add(n, [], False)
    add(172, [], False, 32)
    add(172, [(12345, 1024)], False)
    add(172, [(12345, 1024)], True)
    add(100, [(7, 64), (0x9ABCDEF0, 1024)], False)
    add(100, [(7, 64), (0x9ABCDEF0, 1024)], True)
    array(out, "vector_case", "vector_cases", cases)
    array(out, "double", "vector_transformed", [v if re.search(r"[.e]", v) else v + ".0" for v in values])


def tensor(out, q, x):
    out.append("/* activations for the float path */")
    array(out, "float", "vector_x", [f"{v:.9g}f" for v in x])
    out.append("""/* Row records. coords: the point coordinate of each column; decoded number = coordinate * scale of its group, exact in
   float. pattern: sum over columns j of the decoded float's bits (-0 as 0) times 2 j + 1, modulo 2^32. whole: sum of coordinate *
   vector_input. q, x: product of the decoded numbers with vector_input and with vector_x; q_size: sum of |sums of runs|,
   x_size: sum of |terms|, for error bounds. */
typedef struct vector_record {
    const char *format;
    uint32_t group, cols, bytes, record_at, coords_at, scales_at, pattern;
    int32_t whole;
    double q, q_size, x, x_size;
} vector_record;""")
    rows, record, coords, scales = [], b"", [], []
    for i, (name, p, bits) in enumerate(FORMATS):
        shapes = [(c, g) for c in (1, 31, 44, 172, 300) for g in (32, 64, 0)] + [(1000, (32, 64, 0)[i % 3]), (256, 128), (128, 128)]
        for cols, group in shapes:
            r = make_record(name, p, bits, group, cols, q, x)
            rows.append(f'{{"{name}",{group}u,{cols}u,{len(r["record"])}u,{len(record)}u,{len(coords)}u,{len(scales)}u,{r["pattern"]:#x}u,'
                        f'{r["whole"]},{r["q"]!r},{r["q_size"]!r},{r["x"]!r},{r["x_size"]!r}}}')
            record += r["record"]
            coords += r["coords"]
            scales += r["scales"]
    array(out, "vector_record", "vector_records", rows)
    array(out, "uint8_t", "vector_bytes", [str(b) for b in record])
    array(out, "int8_t", "vector_coords", [str(c) for c in coords])
    array(out, "uint16_t", "vector_scales", [str(s) for s in scales])


def main():
    # whole numbers with a 127 or -127 at each multiple of 32: int8 activations of them have scale 1 in any group
    q = [int(v) for v in RNG.randint(-127, 128, 1000)]
    q[::32] = [127 if v & 1 else -127 for v in q[::32]]
    x = (RNG.standard_normal(1000) * 3).astype(np.float32)
    out = ["""/* vectors.h - answers that llmq.h must give, worked out independently. Made by

       python3 tests/gen/vectors.py

   Do not edit. Define VECTORS_CORE, VECTORS_TENSOR or both before including it. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
"""]
    out.append("/* A vector of whole numbers; all tests use beginnings of it. */")
    array(out, "int8_t", "vector_input", [str(v) for v in q])
    out.append("#ifdef VECTORS_CORE\n")
    core(out, q)
    out.append("#endif /* VECTORS_CORE */\n\n#ifdef VECTORS_TENSOR\n")
    tensor(out, q, x)
    out.append("#endif /* VECTORS_TENSOR */\n\n#endif")
    (ROOT / "tests" / "vectors" / "vectors.h").write_text("\n".join(out) + "\n")


main()
