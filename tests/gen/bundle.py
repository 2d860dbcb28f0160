#!/usr/bin/env python3
"""Bundles (.llmq), written and read by what sections 6 and 10 of llmq.h say about their bytes, in Python alone.

    bundle.py golden [FILE]   write tests/vectors/golden.h (or FILE, - for the terminal): a bundle and what a reader must find
    bundle.py dump FILE       check every byte of a bundle and print its entries, a line each

Nothing here is a port of the C code; the two meet only in the bytes. golden.h therefore tests both: where they differ,
one of them does not do what the description says.
"""
import math
import os
import struct
import sys
import zlib

MAGIC = b"LLMQ\r\n\x1a\n"
TENSOR, TRANSFORM, GRID, VALUE = 1, 2, 3, 4
KIND_NAME = {TENSOR: "tensor", TRANSFORM: "transform", GRID: "grid", VALUE: "value"}
BYTES, TEXT, U32, F32 = 0, 1, 2, 3
TYPE_NAME = {BYTES: "bytes", TEXT: "text", U32: "u32", F32: "f32"}
RAW_BITS = {1: 32, 2: 16, 3: 16}                     # format ids of f32, f16, bf16
GRID_SHAPE = {24: (1, 4), 25: (1, 8), 26: (1, 16), 27: (1, 32), 28: (1, 64), 29: (1, 256),   # id: (p, n)
              40: (2, 16), 41: (2, 64)}
ZEROS_BITS = {50: 4, 52: 8}                          # u4, u8: uniform, with a zero point for each group
FORMER = {42: "v2n256", 43: "v3n64", 44: "v3n512", 45: "v4n256", 51: "u6"}  # until 0.10; these ids stay reserved
TRELLIS_BITS = {60: 1, 61: 2, 62: 3, 63: 4, 64: 2, 65: 3, 66: 4}  # t1 to t4, t2s to t4s: columns are paths through a trellis
CUSTOM = 257
G4, G5 = 26, 27

# The two built-in grids that the golden bundle uses: symmetric, so the positive halves say all.
HALF = {G4: [5, 15, 25, 36, 48, 62, 79, 104],
        G5: [2, 6, 10, 14, 18, 22, 26, 31, 36, 41, 47, 53, 60, 69, 80, 97]}
BUILT_IN = {i: [-v for v in reversed(half)] + half for i, half in HALF.items()}

# t3, which it has too: points, and which rows above each of its three parities is made of.
T3 = 62
T3_POINTS = [-127, -97, -78, -58, -70, -55, -42, -31, -43, -32, -22, -13, -22, -13, -4, 5, -4, 5, 13, 22, 13, 22, 32, 44, 32, 43, 55, 70,
             58, 79, 97, 127]
T3_LAGS = [(1, 5), (4, 5, 6), (0,)]


class Bad(Exception):
    """The bundle is not what the description says."""


def need(condition, text):
    if not condition:
        raise Bad(text)


def up(n, unit=64):
    return (n + unit - 1) // unit * unit


# ---- binary32 arithmetic. Python computes in binary64; rounding its +, -, *, / and square root of binary32 numbers to
# binary32 gives what binary32 arithmetic gives, because 53 bits are at least twice 24, and two. ----

def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bits_of(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def bf16(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


# ---- Row records (section 6) ----

def planes(bits):
    """Widths of the planes of a code: 8, 8, ..., 4, 2, 1, widest first."""
    out = []
    for width in (8, 8, 4, 2, 1):
        if bits >= width:
            out.append(width)
            bits -= width
    return out


def ceil_log2(n):
    return (n - 1).bit_length()


def code_bytes(codes, bits):
    """Bytes of that many codes."""
    full, last = codes // 128, codes % 128
    if bits == 3:
        return full * 48 + sum(((last + 1) // 2 * w + 7) // 8 for w in (4, 2))
    return full * 16 * bits + sum((last * w + 7) // 8 for w in planes(bits))


def code_places(bits, codes, k):
    """Where the bits of code k of `codes` are: (byte, bit, how many), from its lowest bits on."""
    room = min(128, codes - k // 128 * 128)
    at, k = k // 128 * 16 * bits, k % 128
    skip = 0
    if bits == 3:                                    # half of a number of 6 bits
        room, bits = (room + 1) // 2, 6
        skip, k = (3, k - room) if k >= room else (0, k)
        take = 3
    else:
        take = bits
    out = []
    for width in planes(bits):
        size = (room * width + 7) // 8
        own = max(0, min(width - skip, take)) if skip < width else 0
        if own:
            out.append((at + k % size, width * (k // size) + skip, own))
            take -= own
        skip = max(0, skip - width)
        at += size
    return out


def group_codes(cols, group, p):
    """Columns of each group, and codes in each."""
    group = group or cols
    columns = [min(group, cols - at) for at in range(0, cols, group)]
    return columns, [(c + p - 1) // p for c in columns]


def row_size(bits, p, group, cols, raw=False, zeros=False):
    if raw:
        return cols * bits // 8
    columns, codes = group_codes(cols, group, p)
    return 2 * len(columns) + code_bytes(sum(codes), bits) + (len(columns) if zeros else 0)


def pack_row(scales, codes, bits, zeros=()):
    """Scales (bfloat16 bits), codes and zeros into a record."""
    out = bytearray(code_bytes(len(codes), bits))
    for k, code in enumerate(codes):
        for byte, bit, width in code_places(bits, len(codes), k):
            out[byte] |= (code & (1 << width) - 1) << bit
            code >>= width
    return struct.pack("<%dH" % len(scales), *scales) + bytes(out) + bytes(zeros)


def unpack_row(record, bits, count, scales):
    """The reverse, bit by bit."""
    codes = [0] * count
    for k in range(count):
        low = 0
        for byte, bit, width in code_places(bits, count, k):
            codes[k] |= (record[2 * scales + byte] >> bit & (1 << width) - 1) << low
            low += width
    return list(struct.unpack("<%dH" % scales, record[:2 * scales])), codes


def decode_row(record, points, p, bits, group, cols):
    """Numbers of a grid record, in the basis of the tensor."""
    columns, vectors = group_codes(cols, group, p)
    scales, codes = unpack_row(record, bits, sum(vectors), len(columns))
    out, first = [], 0
    for scale, width, count in zip(scales, columns, vectors):
        own = [points[c * p + i] for c in codes[first:first + count] for i in range(p)]
        out += [f32(bf16(scale) * v) for v in own[:width]]
        first += count
    return out


def trellis_size(bits, group, cols):
    """Bytes of a record: units of 256 codes, in planes of 4, 2 and 1 bits, without pairs."""
    units = [min(256, cols - at) for at in range(0, cols, 256)]
    return 2 * len(group_codes(cols, group, 1)[0]) + sum((m * w + 7) // 8 for m in units for w in planes(bits))


def trellis_codes(record, bits, group, cols):
    """Codes of a record, up to 256 columns."""
    assert cols <= 256
    at, low, codes = 2 * len(group_codes(cols, group, 1)[0]), 0, [0] * cols
    for width in planes(bits):
        size = (cols * width + 7) // 8
        for k in range(cols):
            codes[k] |= (record[at + k % size] >> width * (k // size) & (1 << width) - 1) << low
        at, low = at + size, low + width
    return codes


def decode_t3(records, group, cols):
    """Numbers of all rows, fewer than 256 of them: they are one ring, and row -1 is the last."""
    codes = [trellis_codes(r, 3, group, cols) for r in records]
    out = []
    for i, record in enumerate(records):
        for j in range(cols):
            index = codes[i][j] >> 1 << 3
            for k, lags in enumerate(T3_LAGS):
                index |= sum(codes[(i - lag) % len(codes)][j] for lag in lags) % 2 << k
            scale = bf16(struct.unpack_from("<H", record, 2 * (j // (group or cols)))[0])
            out.append(f32(scale * T3_POINTS[index]))
    return out


def decode_zeros(record, bits, group, cols):
    """Numbers of a record with zeros, in the basis of the tensor: scale * (code - zero), which a float holds exactly."""
    columns, _ = group_codes(cols, group, 1)
    scales, codes = unpack_row(record, bits, cols, len(columns))
    codes = [max(c, bits // 8) for c in codes]       # code 0 of u8 is another 1
    zeros = record[len(record) - len(columns):]
    out = []
    for scale, zero, width in zip(scales, zeros, columns):
        out += [f32(bf16(scale) * (c - zero)) for c in codes[len(out):len(out) + width]]
    return out


# ---- Transforms (sections 1, 3 and 4), for blocks that are powers of two ----

def random32(seed, counter):
    """llmq_random: the finaliser of MurmurHash3, twice, with constants of the golden ratio."""
    def mix(h):
        h = (h ^ h >> 16) * 0x85ebca6b & 0xffffffff
        h = (h ^ h >> 13) * 0xc2b2ae35 & 0xffffffff
        return h ^ h >> 16
    return mix(mix(seed + 0x9e3779b9 & 0xffffffff) ^ counter * 0x9e3779b1 & 0xffffffff)


def hadamard(v, max_block):
    """In place, block after block."""
    at = 0
    while at < len(v):
        rest = len(v) - at
        n = min(1 << rest.bit_length() - 1, max_block)
        # other orders are multiples of 4; the golden bundle has none of them
        assert n == rest or rest > max_block or rest % 4, "block of %d" % rest
        h = 1
        while h < n:
            for i in range(at, at + n, 2 * h):
                for j in range(i, i + h):
                    a, b = v[j], v[j + h]
                    v[j], v[j + h] = f32(a + b), f32(a - b)
            h *= 2
        norm = f32(1.0 / f32(math.sqrt(n)))
        for i in range(at, at + n):
            v[i] = f32(v[i] * norm)
        at += n


def from_weight(steps, v):
    """T^T v: the steps in reverse, each the Hadamard matrix and then the signs."""
    for _, block, seed in reversed(steps):
        hadamard(v, block)
        for j in range(len(v)):
            if random32(seed, j // 32) >> j % 32 & 1:
                v[j] = -v[j]
    return v


# ---- Bundles (section 10) ----

def step_size(kind, block, arg):
    """Bytes of the data of a transform's step: Hadamard has none; smooth, permute, rotate."""
    need(1 <= kind <= 4, "step of kind %d" % kind)
    return (0, 4 * arg, 2 * arg, 4 * arg * block * block)[kind - 1]


def transform_payload(steps):
    return struct.pack("<I", len(steps)) + b"".join(struct.pack("<HHI", *s) for s in steps)


def grid_payload(p, n, unit, points):
    return struct.pack("<IIf", p, n, unit) + struct.pack("%db" % len(points), *points)


def write(entries):
    """The bytes of a bundle; entries are dicts of name, kind, payload and what the kind has."""
    entries = sorted(entries, key=lambda e: e["name"])
    index = {e["name"]: i + 1 for i, e in enumerate(entries)}
    names = b"".join(e["name"] + b"\0" for e in entries)
    names_end = 64 + 64 * len(entries) + len(names)
    data = bytearray()                          # from the first multiple of 64 after the names
    start = up(names_end)
    directory, name_at = b"", 0
    for e in entries:
        of = {"code": 0, "rows": 0, "cols": 0, "group": 0, "t2": 0.0, "transform": None, "grid": None, **e}
        directory += struct.pack("<HHIIIQQIIIIIf8x", e["kind"], 1, name_at, len(e["name"]), of["code"], start + len(data),
                                 len(e["payload"]), of["rows"], of["cols"], of["group"],
                                 index[of["transform"]] if of["transform"] else 0,
                                 index[of["grid"]] if of["grid"] else 0, of["t2"])
        data += e["payload"] + bytes(up(len(e["payload"])) - len(e["payload"]))
        name_at += len(e["name"]) + 1
    total = start + len(data)
    rest = struct.pack("<QIII28x", total, zlib.crc32(data), len(entries), len(names)) + directory + names
    out = MAGIC + struct.pack("<HHI", 1, 0, zlib.crc32(rest)) + rest
    return out + bytes(total - len(out) - len(data)) + bytes(data)


def read_entry(data, i, count, names, end):
    """Entry i as a dict; `end` is where the payload before it ended."""
    at = 64 + 64 * i
    (kind, flags, name_at, length, code, offset, size, rows, cols, group, transform, grid, t2, zero) = struct.unpack(
        "<HHIIIQQIIIIIfQ", data[at:at + 64])
    need(kind in KIND_NAME, "entry %d: kind %d is not known" % (i, kind))
    need(1 <= length <= 255 and name_at + length < len(names), "entry %d: name" % i)
    name = names[name_at:name_at + length]
    need(names[name_at + length] == 0 and min(name) >= 32 and 127 not in name, "entry %d: bytes of the name" % i)
    need(offset % 64 == 0 and end <= offset and offset + size <= len(data) and zero == 0, "entry %d: place" % i)
    need(not any(data[end:offset]), "entry %d: bytes before its payload are not 0" % i)
    need(kind in (TENSOR, VALUE) or code == 0, "entry %d: type of a kind that has none" % i)
    need(kind == TENSOR or not (rows or cols or group or transform or grid or t2), "entry %d: shape of no tensor" % i)
    need(transform <= count and grid <= count, "entry %d: index" % i)
    return {"name": name, "kind": kind, "flags": flags, "code": code, "offset": offset, "payload": data[offset:offset + size],
            "rows": rows, "cols": cols, "group": group, "transform": transform, "grid": grid, "t2": t2}


def check_tensor(e, entries):
    """Does the payload have the size of the shape? Replaces the indices by names."""
    def refer(index, kind):
        need(index == 0 or entries[index - 1]["kind"] == kind, "%r refers to an entry of another kind" % e["name"])
        return entries[index - 1] if index else None
    transform, grid = refer(e["transform"], TRANSFORM), refer(e["grid"], GRID)
    raw = e["code"] in RAW_BITS
    need((e["code"] == CUSTOM) == (grid is not None), "%r: a grid, or none" % e["name"])
    if raw:
        size = row_size(RAW_BITS[e["code"]], 1, 0, e["cols"], True)
        need(e["group"] == 0, "%r: raw, with a group" % e["name"])
    elif e["code"] in ZEROS_BITS:
        need(e["group"] % 32 == 0 and e["group"] <= 1024, "%r: group" % e["name"])
        size = row_size(ZEROS_BITS[e["code"]], 1, e["group"], e["cols"], zeros=True)
    elif e["code"] in TRELLIS_BITS:
        need(e["group"] % 32 == 0 and e["group"] <= 1024, "%r: group" % e["name"])
        size = trellis_size(TRELLIS_BITS[e["code"]], e["group"], e["cols"])
    else:
        need(e["code"] not in FORMER, "%r: %s was a format until 0.10" % (e["name"], FORMER.get(e["code"])))
        need(grid or e["code"] in GRID_SHAPE, "%r: format %d is not known" % (e["name"], e["code"]))
        p, n = struct.unpack("<II", grid["payload"][:8]) if grid else GRID_SHAPE[e["code"]]
        need(e["group"] % 32 == 0 and e["group"] <= 1024, "%r: group" % e["name"])
        size = row_size(ceil_log2(n), p, e["group"], e["cols"])
    need(e["rows"] > 0 and len(e["payload"]) == size * e["rows"], "%r: shape and size" % e["name"])
    e["transform"], e["grid"] = transform and transform["name"], grid and grid["name"]


def check_other(e):
    data = e["payload"]
    if e["kind"] == TRANSFORM:
        count = struct.unpack("<I", data[:4])[0] if len(data) >= 4 else 9
        need(count <= 8 and len(data) >= 4 + 8 * count, "%r: steps" % e["name"])
        steps = [struct.unpack("<HHI", data[at:at + 8]) for at in range(4, 4 + 8 * count, 8)]
        need(len(data) == 4 + 8 * count + sum(step_size(*s) for s in steps), "%r: data of the steps" % e["name"])
    elif e["kind"] == GRID:
        need(len(data) >= 12, "%r: size" % e["name"])
        p, n = struct.unpack("<II", data[:8])
        need(1 <= p <= 8 and 2 <= n <= 65536 and len(data) == 12 + p * (1 << ceil_log2(n)), "%r: points" % e["name"])
    else:
        need(e["code"] in TYPE_NAME and (e["code"] < U32 or len(data) == 4), "%r: type" % e["name"])


def read(data):
    """All entries of a bundle, or Bad."""
    need(len(data) >= 64 and data[:8] == MAGIC, "not a bundle")
    major, _, crc, total, data_crc, count, names_size = struct.unpack("<HHIQIII", data[8:36])
    need(major == 1, "major version %d" % major)
    need(64 <= total <= len(data), "cut off: %d of %d bytes" % (len(data), total))
    data = data[:total]
    names_end = 64 + 64 * count + names_size
    need(names_end <= total and not any(data[36:64]), "header")
    need(zlib.crc32(data[16:names_end]) == crc, "checksum of the directory")
    need(zlib.crc32(data[up(names_end):]) == data_crc, "checksum of the payloads")
    names, end, entries = data[64 + 64 * count:names_end], names_end, []
    for i in range(count):
        entries.append(read_entry(data, i, count, names, end))
        end = entries[i]["offset"] + len(entries[i]["payload"])
        need(i == 0 or entries[i - 1]["name"] < entries[i]["name"], "entry %d: order of names" % i)
    for e in entries:
        if e["kind"] == TENSOR:
            check_tensor(e, entries)
        else:
            check_other(e)
    return entries


# ---- The golden bundle ----

STEPS = [(1, 64, 7), (1, 16, 0x80000001)]             # two Hadamard steps
BOOK_P, BOOK_N, BOOK_UNIT = 2, 10, 37.5
BOOK = [-90, 5, -61, -70, -44, 60, -17, -3, -2, 100, 0, -101, 15, 8, 40, 55, 66, -68, 95, 0]
BOOK += BOOK[-2:] * 6                                  # 16 points: codes 10 to 15 repeat the last


def numbers(seed):
    """Endless 16-bit numbers of a linear congruential generator."""
    state = seed
    while True:
        state = (state * 1103515245 + 12345) & 0x7fffffff
        yield state >> 15


def grid_tensor(name, code, p, bits, rows, cols, group, points, **more):
    """A tensor of arbitrary codes and scales between 2^-7 and 2^-4, and its numbers."""
    source = numbers(len(name) * 1000 + cols)
    columns, vectors = group_codes(cols, group, p)
    payload, out = b"", []
    for _ in range(rows):
        scales = [0x3c00 + next(source) % 0x180 for _ in columns]
        record = pack_row(scales, [next(source) >> 3 & (1 << bits) - 1 for _ in range(sum(vectors))], bits)
        assert len(record) == row_size(bits, p, group, cols)
        payload += record
        row = decode_row(record, points, p, bits, group, cols)
        out += from_weight(STEPS, row) if more.get("transform") else row
    return {"name": name, "kind": TENSOR, "code": code, "rows": rows, "cols": cols, "group": group, "payload": payload,
            "numbers": out, **more}


def zeros_tensor(name, code, rows, cols, group):
    """A tensor with zeros: arbitrary codes, scales as above, and any bytes as zeros."""
    source = numbers(len(name) * 1000 + cols)
    bits = ZEROS_BITS[code]
    columns, _ = group_codes(cols, group, 1)
    payload, out = b"", []
    for _ in range(rows):
        scales = [0x3c00 + next(source) % 0x180 for _ in columns]
        codes = [next(source) >> 3 & (1 << bits) - 1 for _ in range(cols)]
        record = pack_row(scales, codes, bits, [next(source) >> 3 & 255 for _ in columns])
        assert len(record) == row_size(bits, 1, group, cols, zeros=True)
        payload += record
        out += decode_zeros(record, bits, group, cols)
    return {"name": name, "kind": TENSOR, "code": code, "rows": rows, "cols": cols, "group": group, "payload": payload,
            "numbers": out, "t2": -1.0}


def trellis_tensor(name, rows, cols, group):
    """A tensor of t3: any bytes as codes, scales as above."""
    source = numbers(len(name) * 1000 + cols)
    columns, _ = group_codes(cols, group, 1)
    records = []
    for _ in range(rows):
        scales = [0x3c00 + next(source) % 0x180 for _ in columns]
        codes = [next(source) >> 3 & 255 for _ in range(trellis_size(3, group, cols) - 2 * len(columns))]
        records.append(struct.pack("<%dH" % len(columns), *scales) + bytes(codes))
    return {"name": name, "kind": TENSOR, "code": T3, "rows": rows, "cols": cols, "group": group, "payload": b"".join(records),
            "numbers": decode_t3(records, group, cols), "t2": -1.0}


def golden_entries():
    raw = [1.0, -0.0, 3.1415927, -65504.0, 1e-40, 2.0 ** 127, 0.1, -7.0, 1e30, 0.5]
    return [
        grid_tensor(b"attn.g4", G4, 1, 4, 3, 96, 32, BUILT_IN[G4], transform=b"rot", t2=f32(0.0095)),
        {"name": b"attn.raw", "kind": TENSOR, "code": 1, "rows": 2, "cols": 5, "t2": -1.0,
         "payload": struct.pack("<10f", *raw), "numbers": [f32(v) for v in raw]},
        {"name": b"book", "kind": GRID, "payload": grid_payload(BOOK_P, BOOK_N, BOOK_UNIT, BOOK)},
        grid_tensor(b"mlp.custom", CUSTOM, 2, 4, 2, 45, 32, BOOK, transform=b"rot", grid=b"book", t2=0.125),
        {"name": b"rot", "kind": TRANSFORM, "payload": transform_payload(STEPS)},
        grid_tensor(b"tok.g5", G5, 1, 5, 2, 70, 0, BUILT_IN[G5], t2=0.0),
        trellis_tensor(b"tok.t3", 9, 45, 32),
        zeros_tensor(b"tok.u4", 50, 2, 70, 32),
        {"name": b"v.bytes", "kind": VALUE, "code": BYTES, "payload": bytes([0, 255, 10, 13, 26, 127, 128])},
        {"name": b"v.f32", "kind": VALUE, "code": F32, "payload": struct.pack("<f", -2.5)},
        {"name": b"v.text", "kind": VALUE, "code": TEXT, "payload": "zwölf Zeichen".encode()},
        {"name": b"v.u32", "kind": VALUE, "code": U32, "payload": struct.pack("<I", 0xdeadbeef)},
        {"name": "é.empty".encode(), "kind": VALUE, "code": BYTES, "payload": b""},
    ]


def c_text(name):
    """A C string; bytes that are not ASCII in octal, so that no digit after them can be drawn in."""
    return "0" if name is None else '"%s"' % "".join(chr(b) if 32 <= b < 127 else "\\%03o" % b for b in name)


def c_lines(words, width=112):
    """Words, comma-separated, in lines of at most that width."""
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > width:
            lines.append(line)
            line = "   "
        line += " " + word + ","
    return "\n".join(lines + [line])[:-1]


def golden_text():
    made = {e["name"]: e for e in golden_entries()}
    data = write(list(reversed(made.values())))
    entries = read(data)
    rows, out = [], []
    for e in entries:
        decoded = made[e["name"]].get("numbers", [])
        rows.append("    { %s, %d, %d, %d, %d, %d, %d, %d, 0x%08xu, %s, %s, %d }" % (
            c_text(e["name"]), e["kind"], e["code"], e["offset"], len(e["payload"]), e["rows"], e["cols"], e["group"],
            bits_of(e["t2"]), c_text(e["transform"] or None), c_text(e["grid"] or None), len(out)))
        out += decoded
    return GOLDEN % {
        "size": len(data), "count": len(entries), "bytes": c_lines(["0x%02x" % b for b in data]),
        "entries": ",\n".join(rows), "numbers": len(out), "list": c_lines(["0x%08xu" % bits_of(v) for v in out]),
        "steps": len(STEPS), "step_list": ", ".join("{ %d, %d, %du }" % s for s in STEPS), "p": BOOK_P, "n": BOOK_N,
        "unit": BOOK_UNIT, "points": len(BOOK), "point_list": c_lines([str(v) for v in BOOK])}


GOLDEN = """/* A bundle and what a reader must find in it. Made by tests/gen/bundle.py golden; do not edit. */
#ifndef GOLDEN_H
#define GOLDEN_H
#include <stdint.h>

#define GOLDEN_SIZE %(size)d
#define GOLDEN_COUNT %(count)d

static const unsigned char golden_bundle[GOLDEN_SIZE] = {
%(bytes)s
};

typedef struct golden_entry {
    const char *name;
    uint32_t kind, code;         /* code: format id of a tensor, type of a value */
    uint32_t offset, size;       /* payload */
    uint32_t rows, cols, group;
    uint32_t t2;                 /* bits */
    const char *transform, *grid;
    uint32_t numbers;            /* tensor: where its decoded numbers begin in golden_numbers */
} golden_entry;

static const golden_entry golden_entries[GOLDEN_COUNT] = {
%(entries)s
};

/* bits of all numbers of all tensors, in the basis of W */
static const uint32_t golden_numbers[%(numbers)d] = {
%(list)s
};

/* kind, block, arg */
#define GOLDEN_STEPS %(steps)d
static const uint32_t golden_steps[GOLDEN_STEPS][3] = { %(step_list)s };

#define GOLDEN_GRID_P %(p)d
#define GOLDEN_GRID_N %(n)d
#define GOLDEN_GRID_UNIT %(unit)sf
static const int8_t golden_points[%(points)d] = {
%(point_list)s
};
#endif
"""


def describe(i, e):
    name = e["name"].decode("utf-8", "replace")
    text = "%d %s %s: %d bytes at %d, crc %08x" % (i, KIND_NAME[e["kind"]], name, len(e["payload"]), e["offset"],
                                                    zlib.crc32(e["payload"]))
    if e["kind"] == TENSOR:
        transform, grid = ((e[k] or b"-").decode("utf-8", "replace") for k in ("transform", "grid"))
        text += ", format %d, %d x %d, group %d, transform %s, grid %s, t2 %.6g" % (
            e["code"], e["rows"], e["cols"], e["group"], transform, grid, e["t2"])
        if e["code"] in ZEROS_BITS:             # of the stored rows, which a transform turns but leaves as long
            size, bits = len(e["payload"]) // e["rows"], ZEROS_BITS[e["code"]]
            rows = [e["payload"][at:at + size] for at in range(0, min(8, e["rows"]) * size, size)]
            text += ", first %d rows: sum of squares %.9g" % (
                len(rows), sum(v * v for row in rows for v in decode_zeros(row, bits, e["group"], e["cols"])))
    elif e["kind"] == TRANSFORM:
        for at in range(4, 4 + 8 * e["payload"][0], 8):
            text += ", step %d block %d arg %d" % struct.unpack("<HHI", e["payload"][at:at + 8])
    elif e["kind"] == GRID:
        text += ", p %d n %d unit %g" % struct.unpack("<IIf", e["payload"][:12])
    elif e["code"] == TEXT:
        text += ", text %r" % e["payload"].decode("utf-8", "replace")
    elif e["code"] in (U32, F32):
        text += ", %s %s" % (TYPE_NAME[e["code"]], struct.unpack("<I" if e["code"] == U32 else "<f", e["payload"])[0])
    else:
        text += ", bytes"
    return text


def main(args):
    if args[:1] == ["golden"] and len(args) <= 2:
        here = os.path.dirname(os.path.abspath(__file__))
        path = args[1] if len(args) == 2 else os.path.join(here, "..", "vectors", "golden.h")
        if path == "-":
            sys.stdout.write(golden_text())
        else:
            with open(path, "w", encoding="ascii", newline="\n") as out:
                out.write(golden_text())
        return 0
    if args[:1] == ["dump"] and len(args) == 2:
        try:
            with open(args[1], "rb") as f:
                for i, e in enumerate(read(f.read())):
                    print(describe(i, e))
        except (Bad, OSError) as problem:
            print("%s: %s" % (args[1], problem), file=sys.stderr)
            return 1
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
