#!/usr/bin/env python3
"""Writes tests/vectors/trellis.h: the meaning of the records of trellis formats, by a second
implementation of sections 5 and 6 of llmq.h in numpy, and the least errors that an encoder could reach.

    trellis.py [FILE]

Points, taps and ids are data, and taken from llmq.h; what is done with them is not: codes are unpacked bit by bit, parities are sums
of whole columns that are turned in their rings, and the least errors come from all sequences of codes where rings are short, else
from Viterbi's algorithm from every state to itself.
"""
import os
import re
import struct
import sys

import numpy as np

from bundle import c_lines

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("t1", "t2", "t3", "t4", "t2s", "t3s", "t4s")
ROWS = (1, 2, 5, 7, 31, 127, 128, 129, 255, 256, 300)
COLS = (1, 31, 32, 64, 172, 255, 256, 257, 300, 600)
GROUPS = (0, 32, 64, 128, 256)
MULTIPLIER = 0x9e3779b97f4a7c15                          # of the checksum: h = h * it + word, mod 2^64
RINGS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 128)             # of the cases with least errors
F = np.float32


class Format:
    def __init__(self, text, name):
        upper = name.upper()
        row = re.search(r'\{ "%s", +llmq__%s, +LLMQ__UNIT_%s, +(\d+), (\d+), +1, 0, \{ LLMQ__TAPS_%s \} \}' % (name, name, upper, upper), text)
        self.name, self.id, self.bits = name, int(row.group(1)), int(row.group(2))
        taps = re.search(r"#define LLMQ__TAPS_%s (.*)" % upper, text).group(1)
        masks = [m for m in (int(t, 16) for t in taps.split(",")) if m]
        self.lags = [[lag for lag in range(16) if mask >> lag & 1] for mask in masks]
        self.unit = float(re.search(r"#define LLMQ__UNIT_%s ([0-9.]+)f" % upper, text).group(1))
        body = re.search(r"llmq__%s\[\d+\] = \{ /\*.*?\*/(.*?)\};" % name, text, re.S).group(1)
        self.points = np.array([int(p) for p in body.replace("\n", " ").split(",") if p.strip()], dtype=np.int32)
        self.parities = len(self.lags)
        self.memory = max(max(own) for own in self.lags)
        assert len(self.points) == 1 << (self.bits - 1 + self.parities)


def random_words(seed, count, first=0):
    """llmq_random(seed, first ...)"""
    def mix(h):
        h = (h ^ h >> np.uint64(16)) * np.uint64(0x85ebca6b) & np.uint64(0xffffffff)
        h = (h ^ h >> np.uint64(13)) * np.uint64(0xc2b2ae35) & np.uint64(0xffffffff)
        return h ^ h >> np.uint64(16)
    start = mix(np.array([seed + 0x9e3779b9 & 0xffffffff], dtype=np.uint64))
    counter = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9e3779b1) & np.uint64(0xffffffff)
    return mix(start ^ counter)


def rings_of(rows):
    """(first, rows) of each: 128, the last one what is left, which is fewer than 256."""
    out, first = [], 0
    while rows - first >= 256:
        out.append((first, 128))
        first += 128
    return out + [(first, rows - first)]


def unit_planes(bits, codes):
    """Of a unit of so many codes: for each plane its first byte, its bytes, the width of its fields, and which bits of a code it holds."""
    at, low, out = 0, 0, []
    for width in {1: (1,), 2: (2,), 3: (2, 1), 4: (4,)}[bits]:
        size = -(-width * codes // 8)
        out.append((at, size, width, low))
        at, low = at + size, low + width
    return out, at


def group_count(cols, group):
    return -(-cols // (group or cols))


def record_size(f, cols, group):
    units = [min(256, cols - at) for at in range(0, cols, 256)]
    return 2 * group_count(cols, group) + sum(unit_planes(f.bits, m)[1] for m in units)


def codes_of(f, records, cols, group):
    """records: an array [rows][bytes]. The codes, [rows][cols]."""
    out = np.zeros((len(records), cols), dtype=np.int32)
    start = 2 * group_count(cols, group)
    for at in range(0, cols, 256):
        m = min(256, cols - at)
        planes, size = unit_planes(f.bits, m)
        k = np.arange(m)
        for first, bytes_, width, low in planes:
            field = records[:, start + first + k % bytes_] >> (width * (k // bytes_)).astype(np.uint8) & ((1 << width) - 1)
            out[:, at:at + m] |= field.astype(np.int32) << low
        start += size
    assert start == records.shape[1]
    return out


def indices_of(f, codes):
    """Which point each code stands for: (code >> 1) << parities | parities, parity i a sum mod 2 of lowest bits above in the same ring."""
    out = np.zeros_like(codes)
    for first, rows in rings_of(len(codes)):
        ring = codes[first:first + rows]
        index = ring >> 1 << f.parities
        for i, lags in enumerate(f.lags):
            index += sum(np.roll(ring & 1, lag, axis=0) for lag in lags) % 2 << i
        out[first:first + rows] = index
    return out


def scales_of(records, cols, group):
    count = group_count(cols, group)
    pairs = records[:, :2 * count].astype(np.uint32)
    bits = (pairs[:, 0::2] | pairs[:, 1::2] << 8) << 16
    return np.ascontiguousarray(bits).view(F)


def points_of(f, records, cols, group):
    return f.points[indices_of(f, codes_of(f, records, cols, group))]


def decode(f, records, cols, group):
    scale = np.repeat(scales_of(records, cols, group), group or cols, axis=1)[:, :cols]
    return scale * points_of(f, records, cols, group).astype(F)      # 8 bits times 7: exact


def random_records(f, rows, cols, group, seed):
    """Any bits, but moderate scales of both signs: test_trellis.c makes the same."""
    size, count = record_size(f, cols, group), group_count(cols, group)
    words = random_words(seed, -(-rows * size // 4)).astype("<u4")
    records = np.frombuffer(words.tobytes()[:rows * size], dtype=np.uint8).reshape(rows, size).copy()
    u = random_words(seed + 1, rows * count).astype(np.uint32)
    bits = 119 + (u >> 8) % 12 << 7 | u >> 16 & 127 | np.where(u & 7, 0, 0x8000).astype(np.uint32)
    records[:, 0:2 * count:2] = (bits & 255).reshape(rows, count)
    records[:, 1:2 * count:2] = (bits >> 8).reshape(rows, count)
    return records


POWERS = {}


def checksum(words):
    """h = h * MULTIPLIER + word, from 1 on"""
    n = len(words)
    if n not in POWERS:
        power = np.full(n, MULTIPLIER, dtype=np.uint64)
        power[0] = 1
        POWERS[n] = np.cumprod(power)[::-1].copy()
    last = pow(MULTIPLIER, n, 1 << 64)
    return (last + int(np.sum(POWERS[n] * words.astype(np.uint64), dtype=np.uint64))) % (1 << 64)


def words_of(x):
    return np.ascontiguousarray(x, dtype=F).view(np.uint32).ravel()


# ---- products (section 9), for activations whose codes are the numbers: each group of 128 has a 127 in it ----

def whole_numbers(n, seed):
    x = (random_words(seed, n) % np.uint64(255)).astype(np.int64) - 127
    x[::32] = 127
    return x


def products(f, records, cols, group, x, x_group):
    """int8: runs end where a group of either ends; scales of x are 1. float: 16 sums, added pairwise."""
    point, scale = points_of(f, records, cols, group).astype(np.int64), scales_of(records, cols, group)
    wide = group or cols
    ends = sorted({min(cols, e) for g in (wide, x_group) for e in range(g, cols + g, g)})
    whole, floats = np.zeros(len(records), dtype=F), np.zeros(len(records), dtype=F)
    for j, end in zip([0] + ends, ends):
        sums = (point[:, j:end] * x[j:end]).sum(axis=1).astype(F)
        whole = whole + sums * (F(1) * scale[:, j // wide])
    for g in range(scale.shape[1]):
        lane = np.zeros((len(records), 16), dtype=F)
        for i, j in enumerate(range(g * wide, min(cols, (g + 1) * wide))):
            lane[:, i % 16] = lane[:, i % 16] + F(x[j]) * point[:, j].astype(F)
        for half in (8, 4, 2, 1):
            lane = lane[:, :half] + lane[:, half:]
        floats = floats + lane[:, 0] * scale[:, g]
    return whole, floats


# ---- least errors of a column: sum over rows of scale^2 (x / scale - point)^2, points by any codes ----

def step_costs(f, x, scale):
    """[row][set of points]: the least that a set costs there; float64"""
    sets = f.points.reshape(-1, 1 << f.parities).astype(np.float64)
    return ((x[:, None, None] - scale[:, None, None] * sets[None]) ** 2).min(axis=1)


def parities_of(f, bits):
    """bits: [..., memory + 1], the newest first"""
    return sum(sum(bits[..., lag] for lag in lags) % 2 << i for i, lags in enumerate(f.lags))


def least_by_trying(f, x, scale):
    """Over all sequences of lowest bits."""
    rows, cost = len(x), step_costs(f, x, scale)
    low = np.arange(1 << rows)[:, None] >> np.arange(rows) & 1
    window = np.stack([np.roll(low, lag, axis=1) for lag in range(f.memory + 1)], axis=-1)
    return cost[np.arange(rows), parities_of(f, window)].sum(axis=1).min()


def least_by_viterbi(f, x, scale):
    """From each state once around to itself. A state is the last `memory` bits, the newest the lowest."""
    states, cost = 1 << f.memory, step_costs(f, x, scale)
    now = np.arange(states)
    total = np.where(now[:, None] == now[None], 0.0, np.inf)         # [start][state]
    before = [now >> 1, now >> 1 | states >> 1]
    parity = [parities_of(f, (now | top << f.memory)[:, None] >> np.arange(f.memory + 1) & 1) for top in (0, 1)]
    for c in cost:
        total = np.minimum(total[:, before[0]] + c[parity[0]], total[:, before[1]] + c[parity[1]])
    return total[now, now].min()


def encoder_input(rows, cols, seed):
    """Sums of four uniform numbers, exact in a float, with a size of its own in each row; test_trellis.c makes the same."""
    u = random_words(seed, 4 * rows * cols).astype(np.int64) >> 16
    x = (u.reshape(rows, cols, 4).sum(axis=2) - 131070) / 32768.0
    return x * (2.0 ** (np.arange(rows) % 3))[:, None]


def least_errors(f, rows, cols, seed):
    """bfloat16 bits of the scales of one group, rms / unit, and the least error of each column"""
    x = encoder_input(rows, cols, seed)
    ideal = np.sqrt((x * x).mean(axis=1)) / f.unit
    bits = ideal.astype(F).view(np.uint32) >> 16
    scale = (bits << 16).astype(np.uint32).view(F).astype(np.float64)
    least = []
    for c in range(cols):
        if rows <= 12:
            least.append(least_by_trying(f, x[:, c], scale))
        if rows >= 12:
            again = least_by_viterbi(f, x[:, c], scale)
            assert rows > 12 or abs(again - least[-1]) <= 1e-12 * again
            least = least if rows == 12 else least + [again]
    return bits, least


# ---- the header ----

def format_text(f):
    lags = ", ".join("{ %s }" % ", ".join(str(v) for v in own + [-1]) for own in f.lags)
    return '    { "%s", %d, %d, %d, %d, %sf, { %s }, {\n%s } }' % (
        f.name, f.id, f.bits, f.parities, f.memory, f.unit, lags, c_lines([str(p) for p in f.points]))


def hash_text(f, index):
    out = []
    for r, rows in enumerate(ROWS):
        own = []
        for c, cols in enumerate(COLS):
            words = [words_of(decode(f, random_records(f, rows, cols, group, seed_of(index, r, c, g)), cols, group))
                     for g, group in enumerate(GROUPS)]
            own.append("0x%016xu" % checksum(np.concatenate(words)))
        out.append("        {\n%s }" % c_lines(own))
    return "    {\n" + ",\n".join(out) + " }"


def seed_of(f, r, c, g):
    return 100000 * f + 5000 * r + 100 * c + 10 * g


def known_text(f, index):
    rows, cols, group = 5, 33, 32
    records = random_records(f, rows, cols, group, 7 + index)
    x = whole_numbers(cols, 77)
    whole, floats = products(f, records, cols, group, x, group)
    return "    { { %s },\n      {\n%s },\n      { %s }, { %s } }" % (
        c_lines(["0x%02x" % b for b in records.ravel()]).strip(),
        c_lines(["0x%08xu" % w for w in words_of(decode(f, records, cols, group))]),
        c_lines(["0x%08xu" % w for w in words_of(whole)]).strip(), c_lines(["0x%08xu" % w for w in words_of(floats)]).strip())


def product_text(f, index):
    """Checksums for the shape 300 x 300 with groups of 64 and of the whole row, activations in groups of 64 and 128."""
    out = []
    for k, (group, x_group) in enumerate(((64, 64), (0, 128), (32, 32), (256, 256))):
        records = random_records(f, 300, 300, group, seed_of(index, 20, k, 0))
        for y in products(f, records, 300, group, whole_numbers(300, 78 + k), x_group):
            out.append("0x%016xu" % checksum(words_of(y)))
    return "    {\n%s }" % c_lines(out)


def main():
    with open(os.path.join(HERE, "..", "..", "llmq.h")) as file:
        text = file.read()
    formats = [Format(text, name) for name in NAMES]
    least = []
    for i, f in enumerate(formats):
        for k, rows in enumerate(RINGS):
            bits, errors = least_errors(f, rows, 3, seed_of(i, 30, k, 0))
            least.append("    { %d, %d, {\n%s },\n      { %s } }" % (
                i, rows, c_lines(["0x%04x" % b for b in bits]), ", ".join("%.17g" % e for e in errors)))
    most = max(record_size(f, 33, 32) for f in formats)
    out = """/* Trellis formats: what their records mean, and the least errors that codes for them can have. Made by tests/gen/trellis.py; do not
   edit. */
#ifndef TRELLIS_H
#define TRELLIS_H
#include <stdint.h>

#define TRELLIS_FORMATS %du
#define TRELLIS_MULTIPLIER 0x%016xu

/* The formats themselves, copied from llmq.h so that no change goes unnoticed. lags: rows above, -1 at the end. */
static const struct {
    const char *name;
    uint32_t id, bits, parities, memory;
    float unit;
    int8_t lags[4][6];
    int8_t points[128];
} trellis_format[TRELLIS_FORMATS] = {
%s
};

/* Checksums of what random records decode to: [format][rows][cols], over all groups one after the other. */
static const uint32_t trellis_rows[] = { %s };
static const uint32_t trellis_cols[] = { %s };
static const uint32_t trellis_groups[] = { %s };
static const uint64_t trellis_hash[TRELLIS_FORMATS][%d][%d] = {
%s
};

/* 5 rows of 33 numbers in groups of 32: records, numbers, and products with whole numbers, int8 and float. */
static const struct {
    uint8_t records[5 * %d];
    uint32_t numbers[165], whole[5], floats[5];
} trellis_known[TRELLIS_FORMATS] = {
%s
};

/* Checksums of products with 300 rows of 300 numbers, int8 and float, for groups of 64, the row, 32 and 256. */
static const uint64_t trellis_products[TRELLIS_FORMATS][8] = {
%s
};

/* Rings of so many rows and three columns: scales (bfloat16), and the least squared error of each column. */
static const struct {
    uint32_t format, rows;
    uint16_t scale[128];
    double least[3];
} trellis_least[] = {
%s
};

#endif
""" % (len(formats), MULTIPLIER, ",\n".join(format_text(f) for f in formats), ", ".join(map(str, ROWS)), ", ".join(map(str, COLS)),
       ", ".join(map(str, GROUPS)), len(ROWS), len(COLS), ",\n".join(hash_text(f, i) for i, f in enumerate(formats)), most,
       ",\n".join(known_text(f, i) for i, f in enumerate(formats)), ",\n".join(product_text(f, i) for i, f in enumerate(formats)), ",\n".join(least))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "vectors", "trellis.h")
    with open(path, "w") as file:
        file.write(out)


main()
