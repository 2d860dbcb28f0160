#!/usr/bin/env python3
"""Importance matrices, made and read without imatrix.h.

    imatrix.py golden [FILE]   write tests/vectors/imatrix_golden.h (or FILE): small files in both forms and what is in them
    imatrix.py dump FILE       print the entries of a file: name, columns, experts, counts, E[x^2]

Needs numpy and gguf (both from PyPI; the latter is llama.cpp's own). golden_foreign is written by gguf. golden_gguf and
golden_legacy are packed here by the GGUF specification and by what llama.cpp's imatrix tool does: imatrix.h must write
the same bytes. gguf must be able to read golden_gguf, which is checked before anything is written.
"""
import os
import struct
import sys
import tempfile

import gguf
import numpy as np

F = np.float32
CHUNK_SIZE, CHUNK_COUNT, DATASET = 512, 2, "calibration.txt"
SOURCES = [  # name, sums [experts][cols], counts
    ("blk.0.attn_q.weight", [[F(1.5) * (k + 1) ** 3 for k in range(7)]], [1400]),
    ("blk.0.ffn_down_exps.weight", [[0.1, 2, 30, 400, 5000], [0] * 5, [7, 0, 1e-20, 1e20, 3]], [700, 0, 33]),
    ("output.weight", [[3e-3, 0, 12345.678]], [16777216]),
    ("blk.1.ffn_up.weight", [[0, 0]], [0]),
]


def means(sums, counts):
    """What llama.cpp's quantize divides: E[x^2], and 1 for an expert that was never called."""
    with np.errstate(all="ignore"):
        return np.where(counts[:, None] > 0, sums / counts[:, None], F(1))


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def pad(b):
    return b + bytes(-len(b) % 32)


def pack_gguf(sources):
    out = b"GGUF" + struct.pack("<IQQ", 3, 2 * len(sources), 4)
    out += text("general.type") + struct.pack("<I", 8) + text("imatrix")
    out += text("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + text(DATASET)
    out += text("imatrix.chunk_count") + struct.pack("<II", 4, CHUNK_COUNT)
    out += text("imatrix.chunk_size") + struct.pack("<II", 4, CHUNK_SIZE)
    data = b""
    for name, sums, counts in sources:
        for suffix, array in ((".in_sum2", sums), (".counts", counts[:, None])):
            rows, cols = array.shape
            dims = (cols, rows) if rows > 1 else (cols,)
            out += text(name + suffix) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, 0, len(data))
            data += pad(array.astype("<f4").tobytes())
    return pad(out) + data


def pack_legacy(sources):
    out = struct.pack("<i", len(sources))
    for name, sums, counts in sources:
        calls = max(1, -(-int(counts.max()) // CHUNK_SIZE))
        values = means(sums, counts) * F(calls)
        out += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, values.size)
        out += values.astype("<f4").tobytes()
    return out + struct.pack("<ii", CHUNK_COUNT, len(DATASET)) + DATASET.encode()


def write_foreign(path, sources):
    """As another program might: other keys and tensors, another alignment, counts apart from their sums."""
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("imatrix")
    w.add_custom_alignment(64)
    w.add_bool("x.bool", True)
    w.add_uint8("x.u8", 8)
    w.add_int16("x.i16", -16)
    w.add_float64("x.f64", 0.5)
    w.add_array("x.numbers", [1, 2, 3])
    w.add_array("x.flags", [True, False])
    w.add_array("imatrix.datasets", ["first.txt", DATASET])
    w.add_uint32("imatrix.chunk_size", CHUNK_SIZE)
    w.add_uint32("imatrix.chunk_count", CHUNK_COUNT)
    w.add_tensor("x.halves", np.arange(6, dtype=np.float16))
    for name, _, counts in reversed(sources):
        w.add_tensor(name + ".counts", counts[:, None].copy())
    for name, sums, _ in sources:
        w.add_tensor(name + ".in_sum", sums * F(0))
        w.add_tensor(name + ".in_sum2", sums)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def read_gguf(path):
    tensors = {t.name: np.array(t.data, F) for t in gguf.GGUFReader(path).tensors}
    for name, sums in tensors.items():
        if name.endswith(".in_sum2"):
            counts = tensors[name[:-8] + ".counts"].reshape(-1)
            yield name[:-8], sums.reshape(len(counts), -1), counts


def read_legacy(path):
    b = open(path, "rb").read()
    (n,), at = struct.unpack_from("<i", b), 4
    for _ in range(n):
        (length,) = struct.unpack_from("<i", b, at)
        name = b[at + 4:at + 4 + length].decode()
        calls, values = struct.unpack_from("<ii", b, at + 4 + length)
        at += 12 + length
        yield name, np.frombuffer(b, "<f4", values, at)[None, :], np.array([calls], F)
        at += 4 * values


def dump(path):
    legacy = open(path, "rb").read(4) != b"GGUF"
    for name, sums, counts in (read_legacy if legacy else read_gguf)(path):
        print(name, sums.shape[1], sums.shape[0], counts.tolist(), means(sums, counts).tolist())


def c_bytes(name, b):
    lines = [", ".join(str(v) for v in b[i:i + 24]) for i in range(0, len(b), 24)]
    return "static const unsigned char %s[%d] = {\n    %s\n};\n" % (name, len(b), ",\n    ".join(lines))


def c_bits(name, arrays):
    bits = np.concatenate([np.asarray(a, F).reshape(-1) for a in arrays]).view(np.uint32)
    lines = [", ".join("0x%08xu" % v for v in bits[i:i + 8]) for i in range(0, len(bits), 8)]
    return "static const uint32_t %s[%d] = {\n    %s\n};\n" % (name, len(bits), ",\n    ".join(lines))


def golden(path):
    sources = [(n, np.array(s, F), np.array(c, F)) for n, s, c in SOURCES]
    plain, legacy = pack_gguf(sources), pack_legacy(sources)
    with tempfile.TemporaryDirectory() as tmp:
        file = os.path.join(tmp, "i.gguf")
        open(file, "wb").write(plain)
        for (n, s, c), (gn, gs, gc) in zip(sources, read_gguf(file), strict=True):
            assert n == gn and s.tobytes() == gs.tobytes() and c.tobytes() == gc.tobytes()
        assert gguf.GGUFReader(file).get_field("imatrix.datasets").contents() == [DATASET]
        write_foreign(file, sources)
        foreign = open(file, "rb").read()
        file = os.path.join(tmp, "i.dat")
        open(file, "wb").write(legacy)
        through_legacy = [means(s, c) for _, s, c in read_legacy(file)]
    with open(path, "w") as out:
        out.write("/* imatrix_golden.h - importance matrices that imatrix.h did not make; made by tests/gen/imatrix.py */\n")
        out.write("#define GOLDEN_ENTRIES %d\n#define GOLDEN_CHUNK_SIZE %d\n#define GOLDEN_CHUNK_COUNT %d\n"
                  % (len(sources), CHUNK_SIZE, CHUNK_COUNT))
        out.write('#define GOLDEN_DATASET "%s"\n' % DATASET)
        out.write("static const struct { const char *name; uint32_t cols, experts; } golden_shape[GOLDEN_ENTRIES] = {\n    ")
        out.write(",\n    ".join('{ "%s", %d, %d }' % (n, s.shape[1], s.shape[0]) for n, s, _ in sources) + "\n};\n")
        out.write("/* bits of floats, entry after entry; means_legacy: what a legacy file leaves of them */\n")
        out.write(c_bits("golden_sums", [s for _, s, _ in sources]))
        out.write(c_bits("golden_counts", [c for _, _, c in sources]))
        out.write(c_bits("golden_means", [means(s, c) for _, s, c in sources]))
        out.write(c_bits("golden_means_legacy", through_legacy))
        out.write(c_bytes("golden_gguf", plain) + c_bytes("golden_foreign", foreign) + c_bytes("golden_legacy", legacy))


if __name__ == "__main__":
    if sys.argv[1:2] == ["golden"] and len(sys.argv) < 4:
        golden(sys.argv[2] if len(sys.argv) == 3 else os.path.join(os.path.dirname(__file__), "..", "vectors", "imatrix_golden.h"))
    elif sys.argv[1:2] == ["dump"] and len(sys.argv) == 3:
        dump(sys.argv[2])
    else:
        sys.exit(__doc__)
