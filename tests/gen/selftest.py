#!/usr/bin/env python3
"""The known answers of llmq_kernels_test, from the text of llmq.h (sections 6 and 9) and not from its code.

    selftest.py          print the block of llmq.h
    selftest.py check    does llmq.h hold that block?

Of the header's code only the tables are read: points, taps and which format is made of what. Records are decoded by bundle.py.
"""
import os
import re
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import bf16, bits_of, f32, group_codes, random32, trellis_codes, unpack_row

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "llmq.h")
ROWS, APART = 16, 4                  # records, and bytes from one to the next: they overlap
COLS, FLOATS, GROUP = 256, 32, 128   # columns of int8 and of float products
X_SCALES = (0.37, 0.53)
BYTES = 320                          # the records; the last 256 are the int8 activation, too


def tables(text):
    """name -> (points or None, bits, p, taps) in the order of the LLMQ_WITH_... bits."""
    points = {n: [int(v) for v in re.findall(r"-?\d+", re.sub(r"/\*.*?\*/", "", b))]
              for n, b in re.findall(r"static const int8_t llmq__(\w+)\[[^\]]*\] = \{(.*?)\};", text, re.S)}
    taps = {n: [int(v, 16) for v in b.split(",")] for n, b in re.findall(r"#define LLMQ__TAPS_(\w+) (.*)", text)}
    out = {}
    for name, source, plus, bits, p in re.findall(
            r'\{ "(\w+)",\s*(LLMQ__NULL|llmq__\w+)(?: \+ (\d+))?,\s*[^,]*,\s*[^,]*,\s*(\d+),\s*(\d+),', text):
        own = None if source == "LLMQ__NULL" else points[source[6:]][int(plus or 0):]
        out[name] = (own, int(bits), int(p), [t for t in taps.get(name.upper(), []) if t])
    order = re.findall(r"#define LLMQ_WITH_(\w+) +0x([0-9a-f]+)", text)
    one = sorted((int(v, 16), n.lower()) for n, v in order if bin(int(v, 16)).count("1") == 1)
    assert sorted(n for _, n in one) == sorted(out), "a format without a line in llmq__builtins"
    return [(n, *out[n]) for _, n in one]


def test_bytes():
    out = []
    for i in range(BYTES):
        b = random32(2026, i) >> 24
        if i < 4 * ROWS and i % 2:
            b = b & 0x03 | 0x3c                  # scales from 2^-7 to 2
        elif i % 4 == 3 and i < 192 or i % 2 and i < 124:
            b = b & 0x83 | 0x3c                  # raw numbers of such a size, of both signs
        out.append(0x7f if b == 0x80 else b)
    return bytes(out)


def half(h):
    sign, e, m = -1.0 if h >> 15 else 1.0, h >> 10 & 31, h & 1023
    assert 0 < e < 31
    return sign * (1 + m / 1024) * 2.0 ** (e - 15)


def decoded(data, fmt, cols):
    """For each row: its scales, and the numbers that they multiply."""
    name, points, bits, p, taps = fmt
    columns, vectors = group_codes(cols, GROUP, p)
    rows = [data[APART * r:] for r in range(ROWS)]
    if points is None:
        of = {"f32": lambda b: struct.unpack("<f", b)[0], "f16": lambda b: half(b[0] | b[1] << 8), "bf16": lambda b: bf16(b[0] | b[1] << 8)}[name]
        return [([1.0], [of(r[j * bits // 8:(j + 1) * bits // 8]) for j in range(cols)]) for r in rows]
    scales = [[bf16(r[2 * g] | r[2 * g + 1] << 8) for g in range(len(columns))] for r in rows]
    if taps:
        codes = [trellis_codes(r, bits, GROUP, cols) for r in rows]
        out = []
        for r in range(ROWS):
            numbers = []
            for j in range(cols):
                index = codes[r][j] >> 1 << len(taps)
                for k, t in enumerate(taps):
                    index |= sum(codes[(r - lag) % ROWS][j] for lag in range(11) if t >> lag & 1) % 2 << k
                numbers.append(points[index])
            out.append((scales[r], numbers))
        return out
    out = []
    for r in range(ROWS):
        codes = unpack_row(rows[r], bits, sum(vectors), len(columns))[1]
        numbers, first = [], 0
        for width, count in zip(columns, vectors):
            numbers += [points[c * p + i] for c in codes[first:first + count] for i in range(p)][:width]
            first += count
        out.append((scales[r], numbers))
    return out


def answer(data, fmt):
    crc = 1

    def take(x):
        nonlocal crc
        crc = (crc ^ bits_of(x)) * 16777619 & 0xffffffff
    q = [b - 256 if b > 127 else b for b in data[BYTES - COLS:]]
    if fmt[1] is not None:                       # int8 (section 9)
        for scales, v in decoded(data, fmt, COLS):
            y = 0.0
            for g in range(COLS // GROUP):
                s = sum(a * b for a, b in zip(q[g * GROUP:(g + 1) * GROUP], v[g * GROUP:(g + 1) * GROUP]))
                y = f32(y + f32(float(s) * f32(f32(X_SCALES[g]) * scales[g])))
            take(y)
    x = [f32(f32(q[j]) / 7.0) for j in range(FLOATS)]
    rows = decoded(data, fmt, FLOATS)
    for scales, v in rows:
        lane = [0.0] * 16
        for j in range(FLOATS):
            lane[j % 16] = f32(lane[j % 16] + f32(x[j] * float(v[j])))
        for h in (8, 4, 2, 1):
            for i in range(h):
                lane[i] = f32(lane[i] + lane[i + h])
        take(f32(0.0 + f32(lane[0] * scales[0])))
    scales, v = rows[ROWS - 1]
    for number in v:
        take(f32(float(number) * scales[0]))
    return crc


def block(text):
    data, out = test_bytes(), []
    out.append("/* ---- known answers: made by tests/gen/selftest.py ---- */\n")
    out.append("static const uint8_t llmq__test_bytes[%d] = {\n" % BYTES)
    for i in range(0, BYTES, 24):
        out.append("    " + " ".join("%d," % b for b in data[i:i + 24]) + "\n")
    out.append("};\nstatic const uint32_t llmq__test_answers[] = { /* in the order of LLMQ_WITH_... */\n")
    all_formats = tables(text)
    for i in range(0, len(all_formats), 8):
        out.append("    " + " ".join("0x%08xu," % answer(data, f) for f in all_formats[i:i + 8]) + "\n")
    out.append("};\n/* ---- end ---- */\n")
    return "".join(out)


def main(args):
    text = open(HEADER, encoding="utf-8").read()
    made = block(text)
    if args == ["check"]:
        if made not in text:
            print("llmq.h does not hold what selftest.py prints")
            return 1
        return 0
    sys.stdout.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
