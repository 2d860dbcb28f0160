#!/usr/bin/env python3
"""Files of models for the tests of gguf.h, json.h and safetensors.h, made without them.

    models.py [DIRECTORY]    write gguf_golden.h and safetensors_golden.h to tests/vectors (or DIRECTORY): small files, and
                             what is in them

The GGUF file is written by ggml's Python package gguf (PyPI), and its quants.dequantize gives what rows decode to. Blocks are
random bytes; their scales are what halves can be: ordinary, subnormal, the largest, infinite, NaN, -0. The safetensors file and the
index are packed here by their specification, with numpy's floats. Numbers and strings of JSON are Python's own.
"""
import json
import os
import random
import struct
import sys
import tempfile
import zlib

import gguf
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T

# Where blocks have halves.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2],
    T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0], T.TQ1_0: [52], T.TQ2_0: [64], T.MXFP4: [],
}
SCALES = [0x2a3d, 0x9f11, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0x7e00, 0x8000]
POWERS = [127, 100, 0, 1, 2, 254, 255, 3]  # exponents of MXFP4
RAW = [0x3c00, 0xbc01, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0xfc00, 0x7e01, 0x8000, 0x0400, 0x3555, 0xffff]
VALUES = [
    ("u8", 0, 200), ("i8", 1, -100), ("u16", 2, 60000), ("i16", 3, -30000), ("u32", 4, 4000000000), ("i32", 5, -2000000000),
    ("f32", 6, 0.15625), ("bool", 7, True), ("u64", 10, 2**53), ("i64", 11, -(2**53)), ("f64", 12, 0.1),
]


def c_bytes(name, b):
    lines = [", ".join(str(v) for v in b[i:i + 32]) for i in range(0, len(b), 32)]
    return "static const unsigned char %s[%d] = {\n    %s\n};\n" % (name, len(b), ",\n    ".join(lines))


def c_text(b):
    """A literal of C; three octal digits cannot run into what follows."""
    return '"%s"' % "".join(chr(v) if 32 <= v < 127 and v not in b'"\\?' else "\\%03o" % v for v in b)


def bits_of(x):
    """Bits of floats; those of a NaN are not promised."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return np.where(np.isnan(x), np.uint32(0x7fc00000), bits)


def checksum(x):
    return zlib.crc32(bits_of(x).astype("<u4").tobytes())


def blocks(kind, r):
    """Rows of two blocks (of one, if these are large), a row for each scale."""
    block, size = GGML_QUANT_SIZES[kind]
    count = 1 if block == 256 else 2
    rows = np.frombuffer(r.randbytes(len(SCALES) * count * size), np.uint8).reshape(len(SCALES), count, size).copy()
    for i in range(len(SCALES)):
        for at in HALVES[kind]:
            rows[i, :, at:at + 2] = np.array([SCALES[(i + at % 4) % len(SCALES)]], "<u2").view(np.uint8)
        if kind == T.MXFP4:
            rows[i, :, 0] = POWERS[i]
    return rows.reshape(len(SCALES), count * size)


def write_gguf(path):
    r = random.Random(18)
    w = gguf.GGUFWriter(path, "test")
    for name, kind, value in VALUES:
        w.add_key_value(name, value, gguf.GGUFValueType(kind))
        w.add_key_value(name + "s", [value, value, type(value)(1)], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType(kind))
    w.add_string("text", "Größe")
    w.add_array("texts", ["", "a", "Größe", "x" * 300])
    w.add_uint64("large", 2**53 + 1)
    w.add_int64("low", -(2**63))
    w.add_uint16("split.no", 1)
    w.add_uint16("split.count", 3)
    w.add_int32("split.tensors.count", 100)
    expected = []

    def add(kind, data, floats):
        name = "t." + kind.name
        w.add_tensor(name, data, raw_dtype=kind)
        expected.append((name, kind, floats))

    halves = np.array(RAW, "<u2")
    words = (halves.astype("<u4") << 16 | 0x1234).astype("<u4")
    add(T.F32, words.view(np.float32).reshape(3, 2, 2), words.view(np.float32).reshape(6, 2))
    add(T.F16, halves.view(np.float16).reshape(2, 6), halves.view(np.float16).reshape(2, 6).astype(np.float32))
    raw = halves.view(np.uint8).reshape(3, 8)
    add(T.BF16, raw, gguf.quants.dequantize(raw, T.BF16))
    for kind in HALVES:
        data = blocks(kind, r)
        with np.errstate(all="ignore"):
            add(kind, data, gguf.quants.dequantize(data, kind))
    add(T.IQ2_XXS, np.zeros((1, 66), np.uint8), None)
    add(T.I32, np.arange(3, dtype=np.int32), None)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return expected


def put_gguf(out):
    with tempfile.TemporaryDirectory() as tmp:
        file = os.path.join(tmp, "m.gguf")
        expected = write_gguf(file)
        out.write(c_bytes("golden_gguf_model", open(file, "rb").read()))
        shapes = {t.name: [int(n) for n in t.shape] for t in gguf.GGUFReader(file).tensors}
    out.write("/* rows: the CRC-32 of the bits of each row's floats, little-endian, NaN as 0x7fc00000 */\n")
    out.write("static const struct { const char *name, *type; uint32_t shape[4], decoded, rows[8]; } golden_tensor[%d] = {\n    " % len(expected))
    lines = []
    for name, kind, floats in expected:
        shape = shapes[name] + [1] * (4 - len(shapes[name]))
        rows = [] if floats is None else [checksum(row) for row in floats]
        lines.append('{ "%s", "%s", { %s }, %d,\n      { %s } }' % (name, kind.name, ", ".join(map(str, shape)), len(rows),
                                                                   ", ".join("0x%08xu" % c for c in rows) or "0"))
    out.write(",\n    ".join(lines) + "\n};\n")
    out.write("static const struct { const char *key; uint32_t type; double value; } golden_value[%d] = {\n    " % len(VALUES))
    out.write(",\n    ".join('{ "%s", %d, %r }' % (n, k, float(v)) for n, k, v in VALUES) + "\n};\n")


def put_safetensors(out):
    halves = np.array(RAW, "<u2")
    words = (halves.astype("<u4") << 16 | 0x1234).astype("<u4")
    tensors = [
        ("f32", "F32", [3, 2, 2], words.tobytes(), words.view(np.float32)),
        ("f16", "F16", [2, 6], halves.tobytes(), halves.view(np.float16).astype(np.float32)),
        ("i8", "I8", [3], b"\1\2\3", None),
        ("bf16", "BF16", [12], halves.tobytes(), (halves.astype("<u4") << 16).astype("<u4").view(np.float32)),
        ("scalar", "F64", [], struct.pack("<d", 1.5), None),
        ("empty", "F16", [0, 4], b"", None),
    ]
    header, data, at = {"__metadata__": {"format": "pt", "nested?": "no"}}, b"", {}
    for name, _, _, b, _ in tensors:
        at[name] = [len(data), len(data) + len(b)]
        data += b
    for name, dtype, shape, _, _ in sorted(tensors):  # not in the order of the data
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": at[name]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    out.write(c_bytes("golden_safetensors", struct.pack("<Q", len(text)) + text + data))
    out.write("/* floats: the CRC-32 of the bits of all, as above; 0 where there are none */\n")
    out.write("static const struct { const char *name, *type; uint32_t dims, shape[3], floats; } golden_stored[%d] = {\n    " % len(tensors))
    out.write(",\n    ".join('{ "%s", "%s", %d, { %s }, 0x%08xu }' % (
        n, d, len(s), ", ".join(map(str, s + [0] * (3 - len(s)))), 0 if x is None else checksum(x)) for n, d, s, _, x in tensors) + "\n};\n")
    index = {"metadata": {"total_size": 123}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors",
                                                              "b.weight": "model-00002-of-00002.safetensors",
                                                              "c.weight": "model-00001-of-00002.safetensors"}}
    out.write(c_bytes("golden_index", json.dumps(index, indent=2).encode()))


def put_json(out):
    r = random.Random(8259)
    texts = ["0", "-0", "1", "0.1", "1e-05", "1e5", "1E+2", "500000.0", "0.015625", "1.0800000429153442", "123456789012345678",
             "9007199254740993", "9007199254740992.5", "9007199254740993.5", "1e22", "1e23", "8.41e21", "5e-324", "2.47e-324",
             "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308", "2.2250738585072014e-308", "1e-400", "1.7976931348623157e308",
             "0.0000000000000000000000000000000000001e37", "100000000000000000000000000000000000000e-38", "0e999999999999",
             "1.7976931348623158e308", "1797693134862315807e290", "1e308", "1e-340", "9999999999999999999e-344", "1e-344", "1e-345", "1e-99999999999999999999"]
    texts += [repr(struct.unpack("<d", struct.pack("<Q", r.getrandbits(62)))[0]) for _ in range(24)]
    texts += ["%de%d" % (r.getrandbits(60), r.randrange(-340, 290)) for _ in range(24)]
    out.write("static const struct { const char *text; uint64_t bits; } golden_number[%d] = {\n    " % len(texts))
    out.write(",\n    ".join('{ "%s", 0x%016xu }' % (t, struct.unpack("<Q", struct.pack("<d", float(t)))[0]) for t in texts) + "\n};\n")
    strings = [r'""', r'"abc"', r'"\"\\\/\b\f\n\r\t"', r'"\u0041\u00e9\u20ac\ud83d\ude00\uFFFF\udbff\udfff"', r'"\u0000x\u007f\u0080\u07ff\u0800"',
               '"Größe 😀 \u007f\ud7ff\ue000"', '"\U0010ffff\U00010000"']
    out.write("static const struct { const char *text, *utf8; size_t length; } golden_string[%d] = {\n    " % len(strings))
    out.write(",\n    ".join("{ %s,\n      %s, %d }" % (c_text(s.encode()), c_text(json.loads(s).encode()), len(json.loads(s).encode())) for s in strings) + "\n};\n")


def write(directory, name, what, *parts):
    with open(os.path.join(directory, name), "w") as out:
        out.write("/* %s - %s; made by tests/gen/models.py */\n" % (name, what))
        for put in parts:
            put(out)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    there = sys.argv[1] if len(sys.argv) == 2 else os.path.join(os.path.dirname(__file__), "..", "vectors")
    write(there, "gguf_golden.h", "a model that gguf.h did not make", put_gguf)
    write(there, "safetensors_golden.h", "a model and texts that safetensors.h and json.h did not make", put_safetensors, put_json)
