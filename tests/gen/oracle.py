#!/usr/bin/env python3
"""Models, tokenizers and importance matrices of any shape, and what right programs make of them, with numpy alone.

    oracle.py make DIR                write the inputs of tests/tool_models.sh there, and DIR/expected: lines NAME VALUE
    oracle.py edit IN OUT NAME BYTES  write a bundle with another value: in hexadecimal, the first "five" of its bytes, or "gone"
    oracle.py text IN OUT KEY TEXT    write a GGUF file with one more value, a text
    oracle.py base ONE OTHER          do two files of llama-perplexity have the same log-probabilities, but for rounding?

The forward pass is float64, written from the description of the architecture; nothing here is a port of the C code. The two meet
in the bytes of files and in the numbers that come out.
"""
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bundle  # noqa: E402


# ---- models ----

LINEAR = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")


def weights(rng, dim, hidden, layers, heads, kvh, vocab, ctx, shared=True):
    kv = dim // heads * kvh

    def matrix(rows, cols):
        return (rng.standard_normal((rows, cols)) / np.sqrt(cols)).astype(np.float32)

    def norm():
        return (1 + 0.1 * rng.standard_normal(dim)).astype(np.float32)
    w = dict(embed=(rng.standard_normal((vocab, dim)) * 0.5).astype(np.float32), norm=norm(), L=[], cfg=(dim, hidden, layers, heads, kvh, vocab, ctx))
    for _ in range(layers):
        w["L"].append(dict(norm1=norm(), norm2=norm(), wq=matrix(dim, dim), wk=matrix(kv, dim), wv=matrix(kv, dim), wo=matrix(dim, dim),
                           w1=matrix(hidden, dim), w2=matrix(dim, hidden), w3=matrix(hidden, dim)))
    if not shared:
        w["classifier"] = matrix(vocab, dim)
    return w


def tables(cfg, theta=10000.0):
    """Cosines and sines of a checkpoint."""
    dim, _, _, heads, _, _, ctx = cfg
    head = dim // heads
    angle = np.outer(np.arange(ctx), theta ** (-np.arange(0, head, 2) / head))
    return np.cos(angle), np.sin(angle)


def checkpoint(w, theta=10000.0, cos_sin=None):
    """The bytes of a llama2.c checkpoint."""
    dim, hidden, layers, heads, kvh, vocab, ctx = w["cfg"]
    out = [struct.pack("<7i", dim, hidden, layers, heads, kvh, -vocab if "classifier" in w else vocab, ctx)]
    parts = [w["embed"]] + [L[k] for k in ("norm1", "wq", "wk", "wv", "wo", "norm2", "w1", "w2", "w3") for L in w["L"]] + [w["norm"]]
    parts += list(cos_sin or tables(w["cfg"], theta)) + ([w["classifier"]] if "classifier" in w else [])
    return b"".join(out + [np.ascontiguousarray(a, "<f4").tobytes() for a in parts])


def value(name, number, kind=bundle.U32):
    payload = struct.pack("<I" if kind == bundle.U32 else "<f", number) if kind in (bundle.U32, bundle.F32) else number
    return {"name": name if isinstance(name, bytes) else name.encode(), "kind": bundle.VALUE, "code": kind, "payload": payload}


def tensor(name, a):
    a = np.atleast_2d(np.asarray(a, "<f4"))
    return {"name": name.encode(), "kind": bundle.TENSOR, "code": 1, "payload": a.tobytes(), "rows": a.shape[0], "cols": a.shape[1], "t2": -1.0}


def entries(w, tok=None):
    """The entries of a bundle of the model."""
    names = ("dim", "hidden", "layers", "heads", "kv_heads", "vocab", "context")
    out = [value("llama." + n, v) for n, v in zip(names, w["cfg"])]
    out += [tensor(k, w[k]) for k in ("embed", "norm", "classifier") if k in w]
    out += [tensor("layers.%d.%s" % (i, k), L[k]) for i, L in enumerate(w["L"]) for k in L]
    return out + ([value("tokenizer", tok, bundle.BYTES), value("tokenizer.prefix", 0)] if tok else [])


def forward(w, ids, theta=10000.0, eps=1e-5, halves=False, bias=None):
    """Logits of each token, positions from 0 on."""
    dim, _, _, heads, kvh, _, _ = w["cfg"]
    head, n = dim // heads, len(ids)
    x = w["embed"].astype(np.float64)[ids]
    angle = np.outer(np.arange(n), theta ** (-np.arange(0, head, 2) / head))
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]

    def rms(v, g):
        return v / np.sqrt((v * v).mean(-1, keepdims=True) + eps) * g

    def rope(v):
        v = v.copy()
        first, second = (slice(0, head // 2), slice(head // 2, None)) if halves else (slice(0, None, 2), slice(1, None, 2))
        p, q = v[..., first].copy(), v[..., second].copy()
        v[..., first], v[..., second] = p * c - q * s, p * s + q * c
        return v
    mask = np.tril(np.ones((n, n), bool))
    for i, L in enumerate(w["L"]):
        L = {k: a.astype(np.float64) for k, a in L.items()}
        h = rms(x, L["norm1"])
        q, k, v = h @ L["wq"].T, h @ L["wk"].T, h @ L["wv"].T
        if bias:
            q, k, v = q + bias[i][0], k + bias[i][1], v + bias[i][2]
        q, k, v = rope(q.reshape(n, heads, head)), rope(k.reshape(n, kvh, head)), v.reshape(n, kvh, head)
        k, v = np.repeat(k, heads // kvh, 1), np.repeat(v, heads // kvh, 1)
        score = np.einsum("thd,shd->hts", q, k) / np.sqrt(head)
        score[:, ~mask] = -np.inf
        p = np.exp(score - score.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hts,shd->thd", p, v).reshape(n, dim) @ L["wo"].T
        h = rms(x, L["norm2"])
        g, u = h @ L["w1"].T, h @ L["w3"].T
        x = x + (g / (1 + np.exp(-g)) * u) @ L["w2"].T
    return rms(x, w["norm"].astype(np.float64)) @ w.get("classifier", w["embed"]).T.astype(np.float64)


def loss(w, ids, **how):
    """Mean of the negative log-likelihoods, in windows of the context, each from BOS."""
    ctx, total = w["cfg"][6], 0.0
    for at in range(0, len(ids), ctx):
        target = ids[at:at + ctx]
        y = forward(w, [1] + target[:-1], **how)
        y = y - y.max(-1, keepdims=True)
        total -= (y - np.log(np.exp(y).sum(-1, keepdims=True)))[np.arange(len(target)), target].sum()
    return total / len(ids)


def draw(logits, temperature, top_p, seed, counter):
    """A token from the least set of probability top_p, and how far the draw is from another one."""
    p = np.exp((logits - logits.max()) / temperature)
    order = np.argsort(-p, kind="stable")
    mass = np.cumsum(p[order]) / p.sum()
    coin = (bundle.random32(seed, counter) + 0.5) / 2 ** 32 * top_p
    return order[np.searchsorted(mass, coin)], abs(mass - coin).min()


def sampled(w, pieces, prompt, count, *how):
    """What a model makes of a prompt: count tokens are read, and the one behind them is shown, too."""
    ids = [1] + encode(pieces, prompt)
    while len(ids) <= count:
        token, margin = draw(forward(w, ids)[-1], *how, len(ids) - 1)
        assert margin > 1e-6
        if token in (1, 2):
            break
        ids.append(int(token))
    return b"".join(bytes([i - 3]) if i < 259 else pieces[i][1] for i in ids if i > 2)


# ---- tokenizers ----

def tokenizer(pieces):
    """The bytes of a tokenizer of llama2.c; pieces are (score, bytes)."""
    return struct.pack("<i", max(len(p) for _, p in pieces)) + b"".join(struct.pack("<fi", s, len(p)) + p for s, p in pieces)


def pieces_of(extra, raw=False):
    """The special pieces, the bytes (by name, or raw), and others."""
    special = [(0.0, b"<unk>"), (0.0, b"\n<s>\n"), (0.0, b"\n</s>\n")]
    return special + [(0.0, bytes([i]) if raw else b"<0x%02X>" % i) for i in range(256)] + extra


def encode(pieces, text):
    """Ids of a text: characters, or their bytes, then always the merge of the highest score, leftmost among equals."""
    id_of = {}
    for i, (_, p) in enumerate(pieces):
        if i >= 259:
            id_of.setdefault(p, i)
    parts = []                                  # (id, bytes)
    for ch in text.decode():
        b = ch.encode()
        parts += [(id_of[b], b)] if b in id_of else [(3 + v, bytes([v])) for v in b]
    while True:
        best = None
        for i in range(len(parts) - 1):
            merged = parts[i][1] + parts[i + 1][1]
            if merged in id_of and (best is None or pieces[id_of[merged]][0] > pieces[id_of[best[1]]][0]):
                best = (i, merged)
        if best is None:
            return [i for i, _ in parts]
        parts[best[0]:best[0] + 2] = [(id_of[best[1]], best[1])]


# ---- importance matrices of llama.cpp ----

def gguf(tensors, general="imatrix"):
    def text(s):
        b = s.encode()
        return struct.pack("<Q", len(b)) + b
    keys = text("general.type") + struct.pack("<I", 8) + text(general) + text("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + text("t")
    keys += text("imatrix.chunk_count") + struct.pack("<II", 4, 1) + text("imatrix.chunk_size") + struct.pack("<II", 4, 512)
    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 4) + keys, b""
    for name, a in tensors:
        a = np.asarray(a, "<f4")
        head += text(name) + struct.pack("<I", a.ndim) + b"".join(struct.pack("<Q", d) for d in a.shape[::-1]) + struct.pack("<IQ", 0, len(data))
        data += a.tobytes() + bytes(-a.nbytes % 32)
    return head + bytes(-len(head) % 32) + data


GGUF_NAME = {"wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output", "w1": "ffn_gate", "w2": "ffn_down", "w3": "ffn_up"}


def importance(cfg, rng, skip=(), experts=()):
    """Sums of squares; matrices of the same input have the same. skip: kinds that are left out; experts: kinds of two experts."""
    dim, hidden, layers = cfg[:3]
    out = []
    for i in range(layers):
        of = {"wo": rng.random(dim) + 0.1, "w2": rng.random(hidden) + 0.1}
        of["wq"] = of["wk"] = of["wv"] = rng.random(dim) + 0.1
        of["w1"] = of["w3"] = rng.random(dim) + 0.1
        for kind, name in GGUF_NAME.items():
            if kind in skip:
                continue
            n = 2 if kind in experts else 1
            name = "blk.%d.%s%s.weight" % (i, name, "_exps" if n == 2 else "")
            out += [(name + ".in_sum2", np.tile(of[kind] * 64, (n, 1))), (name + ".counts", np.full((n, 1), 64.0))]
    return out


# ---- the inputs of tests/tool_models.sh ----

def make(where):
    rng = np.random.default_rng(16)
    expected = []

    def put(name, data):
        with open(os.path.join(where, name), "wb") as f:
            f.write(data)
    merges = [(-1.0, b"th"), (-2.0, b"e "), (-0.5, b"the"), (-3.0, b" a"), (-4.0, b"an"), (-5.0, b"nd"), (-0.1, b"<0x41>")]
    chars = [(-10.0 - i, bytes([c])) for i, c in enumerate(b" adent")]
    usual = pieces_of(chars + merges)
    text = "the man and the tent, then <0x41> \u00e9t\u00e9 A the end and \x02 another and the others ate.".encode()
    put("text", text)
    w = weights(rng, 32, 64, 2, 4, 2, 272, 24)
    big = weights(rng, 32, 64, 12, 4, 2, 272, 24)
    ids = encode(usual, text)
    tok = tokenizer(usual)
    put("tok", tok)
    put("plain.bin", checkpoint(w))
    put("plain.llmq", bundle.write(entries(w, tok)))
    put("big.llmq", bundle.write(entries(big, tok)))
    expected.append(("tokens", len(ids)))
    expected.append(("plain", loss(w, ids)))

    # T1, T9: tensors and values that are not known
    for k, name in enumerate(("layers.5.wq", "layers.7.norm1", "layers.1000000.wq", "layers.01.wq", "layers.4294967296.wq", "layers.+1.wq", "layers.0.wx", "layers.0.bo",
                              "layers..wq", "extra")):
        put("unknown%d.llmq" % k, bundle.write(entries(w, tok) + [tensor(name, w["L"][0]["wq"])]))
        put("unknown%d.name" % k, name.encode())
    put("value.llmq", bundle.write(entries(w, tok) + [value("llama.rope_scaling", 8.0, bundle.F32)]))
    put("type.llmq", bundle.write(entries(w, tok) + [value("llama.rope_theta", 1000000)]))
    put("tokvalue.llmq", bundle.write(entries(w, tok) + [value("tokenizer.lower", 1)]))

    # T8: numbers that are none, and numbers whose products are none
    nan, inf = np.float32("nan"), np.float32("inf")
    for k, name in enumerate(("norm", "embed", "classifier", "layers.1.norm2", "layers.1.bk")):
        e = entries(dict(w, classifier=w["embed"].copy()), tok)
        e += [tensor("layers.1.bk", np.zeros(16))]
        for one in e:
            if one["name"].decode() == name:
                a = np.frombuffer(one["payload"], "<f4").copy().reshape(one["rows"], one["cols"])
                a[-1, 7] = (nan, inf)[k % 2]
                one["payload"] = a.tobytes()
                put("nan%d.name" % k, b"%s is NaN or infinite in row %d, column 7" % (one["name"], one["rows"] - 1))
        put("nan%d.llmq" % k, bundle.write(e))
    bad = dict(w, L=[dict(L) for L in w["L"]])
    bad["L"][0]["norm1"] = w["L"][0]["norm1"].copy()
    bad["L"][0]["norm1"][3] = nan
    put("nan.bin", checkpoint(bad))
    bad["norm"] = np.full(32, 3e38, np.float32)
    bad["L"][0]["norm1"] = w["L"][0]["norm1"]
    put("huge.llmq", bundle.write(entries(bad, tok)))
    wide = dict(w, embed=w["embed"].copy())
    wide["embed"][5, 6] = 70000.0
    put("wide.llmq", bundle.write(entries(wide, tok)))

    # T9, T10, T11: what the file says of the computation
    bias = [(rng.standard_normal(32), rng.standard_normal(16), rng.standard_normal(16)) for _ in range(2)]
    bias = [tuple(np.asarray(b, np.float32) for b in layer) for layer in bias]
    biased = entries(w, tok) + [tensor("layers.%d.%s" % (i, n), b) for i, layer in enumerate(bias) for n, b in zip(("bq", "bk", "bv"), layer)]
    put("bias.llmq", bundle.write(biased))
    expected.append(("bias", loss(w, ids, bias=bias)))
    one = entries(w, tok) + [tensor("layers.1.bk", bias[1][1])]
    put("one_bias.llmq", bundle.write(one))
    expected.append(("one_bias", loss(w, ids, bias=[(0, 0, 0), (0, bias[1][1], 0)])))
    put("all.llmq", bundle.write(biased + [value("llama.rope_theta", 1e6, bundle.F32), value("llama.norm_epsilon", 1e-2, bundle.F32), value("llama.rope_halves", 1)]))
    expected.append(("all", loss(w, ids, bias=bias, theta=1e6, eps=float(np.float32(1e-2)), halves=True)))
    put("halves.llmq", bundle.write(entries(w, tok) + [value("llama.rope_halves", 1)]))
    expected.append(("halves", loss(w, ids, halves=True)))
    for name, theta in (("theta1e6", 1e6), ("theta5e5", 5e5), ("theta123", 123.456)):
        put(name + ".bin", checkpoint(w, theta))
        put(name + ".llmq", bundle.write(entries(w, tok) + [value("llama.rope_theta", theta, bundle.F32)]))
        expected.append((name, loss(w, ids, theta=theta)))
    c, s = tables(w["cfg"])
    put("notable.bin", checkpoint(w, cos_sin=(np.zeros_like(c), np.zeros_like(s))))
    c2 = c.copy()
    c2[7, 2] += 1e-3
    put("onewrong.bin", checkpoint(w, cos_sin=(c2, s)))
    half = np.outer(np.arange(24) / 2, 10000.0 ** (-np.arange(0, 8, 2) / 8))
    put("scaled.bin", checkpoint(w, cos_sin=(np.cos(half), np.sin(half))))
    put("trailing.bin", checkpoint(w) + b"more")
    put("cut.bin", checkpoint(w)[:-40000])
    small = dict(w, embed=w["embed"] * np.float32(4e-3), L=[dict(L) for L in w["L"]])
    for L in small["L"]:
        L["wo"], L["w2"] = L["wo"] * np.float32(4e-3), L["w2"] * np.float32(4e-3)
    small["classifier"] = w["embed"]
    put("small.bin", checkpoint(small))
    put("small.llmq", bundle.write(entries(small, tok) + [value("llama.norm_epsilon", 1e-6, bundle.F32)]))
    expected.append(("small", loss(small, ids, eps=1e-6)))
    expected.append(("small5", loss(small, ids)))

    # T12: importance matrices
    for name, how in (("im", {}), ("im_nogate", {"skip": ("w1",)}), ("im_onlyq", {"skip": ("wk", "wv", "w3")}), ("im_noffn", {"skip": ("w1", "w3")}),
                      ("im_experts", {"experts": ("w1", "w2", "w3")})):
        put(name, gguf(importance(w["cfg"], np.random.default_rng(3), **how)))
    two = importance(w["cfg"], np.random.default_rng(3))
    two = [(n, np.tile(a, (2, 1)) if "blk.1.attn_q" in n else a) for n, a in two]
    put("im_two", gguf(two))

    # T14, T15: tokenizers
    put("tok268", tokenizer(usual[:268]))
    expected.append(("tok268", loss(w, encode(usual[:268], text))))
    put("tok280", tokenizer(usual + [(-9.0, b"q%d" % i) for i in range(8)]))
    put("tok65", tokenizer([(0.0, bytes([c])) for c in range(32, 97)]))
    put("tokcut", tok[:-3])
    put("toknan", tok[:4 + 8 * 260 + sum(len(p) for _, p in usual[:260])] + struct.pack("<f", float("nan")) + tok[8 + 8 * 260 + sum(len(p) for _, p in usual[:260]):])
    long_one = usual[:271] + [(1.0, b"<0x41> \xc3\xa9t\xc3\xa9 A " + b"the e" * 30)]
    put("toklong", tokenizer(long_one))
    raw = pieces_of(chars + merges, raw=True)
    put("tokraw", tokenizer(raw))
    expected.append(("tokraw", loss(w, encode(raw, text))))
    texts = ["A", "<0x41>", "<unk>", "\n<s>\n", "<s>", "a\x02b", "\x7f", "the <0x0A>\n", "\u00e9", "\u20ac and \U0001f600", "aaa", "thethethe", " a and", "<0x41", "\x01\x02\x03"]
    for k, t in enumerate(texts):
        put("t%d" % k, t.encode())
        expected.append(("t%d" % k, loss(w, encode(raw, t.encode()))))
        expected.append(("u%d" % k, loss(w, encode(usual, t.encode()))))
    expected.append(("texts", len(texts)))

    # texts that are drawn
    for k, (temperature, top_p, seed) in enumerate(((1.0, 1.0, 1), (0.7, 0.5, 2), (3.0, 0.9, 3), (50.0, 1.0, 4), (5.0, 0.0, 5))):
        put("sampled%d" % k, sampled(w, usual, b"the man", 24, temperature, top_p, seed) + b"\n")
        put("sampled%d.how" % k, b"--temperature %g --top-p %g --seed %d" % (temperature, top_p, seed))

    # T16: files of other kinds
    put("k.gguf", gguf([("blk.0.attn_q.weight", np.zeros((4, 4)))], "model"))
    safe = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    put("k.safetensors", struct.pack("<Q", len(safe)) + safe + bytes(4))
    put("k.pt", b"PK\3\4" + bytes(60))
    put("k.pickle", b"\x80\2}q\0." + bytes(60))
    put("k.lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    put("k.html", b"\n<!DOCTYPE html>\n<html><body>404</body></html>\n")
    put("k.gz", b"\x1f\x8b\x08\0" + bytes(40))
    put("k.onnx", b"\x08\x07\x12\x07pytorch" + bytes(40))
    put("k.json", b'{"model_type": "llama"}\n')
    put("k.v2", struct.pack("<Ii", 0x616b3432, 2) + bytes(300))
    put("k.empty", b"")

    # T3, T18, T22: sums of two models of this shape, names
    put("name.llmq", bundle.write(entries(w, tok) + [value(b"a\xc2\x9b31m\xe2\x80\xae\xff\x1f".replace(b"\x1f", b""), "red \u009b1m\x1b[2J\u202e".encode(), bundle.TEXT)]))
    put("nametensor.llmq", bundle.write(entries(w, tok) + [dict(tensor("x", [[1.0]]), name=b"layers.\xc2\x9b31m")]))
    other = dict(w, norm=w["norm"] * np.float32(1.5))
    put("other.llmq", bundle.write(entries(other, tok)))
    with open(os.path.join(where, "expected"), "w") as f:
        f.write("".join("%s %s\n" % (n, "%d" % v if isinstance(v, int) else "%.7f" % v) for n, v in expected))


def edit(path, out, change):
    """A bundle with one value changed: its bytes in hexadecimal, its first "five", or "gone"."""
    with open(path, "rb") as f:
        found = bundle.read(f.read())
    name, new = change
    for e in found:
        if e["name"].decode() == name and new != "gone":
            e["payload"] = e["payload"][:5] if new == "five" else bytes.fromhex(new)
    with open(out, "wb") as f:
        f.write(bundle.write([dict(e) for e in found if new != "gone" or e["name"].decode() != name]))


def add_text(path, out, key, text):
    """Blanks behind the text keep what follows aligned to 32."""
    with open(path, "rb") as f:
        data = f.read()
    key, text = key.encode(), text.encode()
    text += b" " * (-(20 + len(key) + len(text)) % 32)
    new = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(text)) + text
    with open(out, "wb") as f:
        f.write(data[:16] + struct.pack("<Q", struct.unpack_from("<Q", data, 16)[0] + 1) + new + data[24:])


def same_base(*paths):
    """None, or how the files differ."""
    both = []
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        window, vocab, windows = struct.unpack_from("<3i", data, 8)
        head = 20 + 4 * window * windows
        records = np.frombuffer(data, "<u2", offset=head).reshape(-1, 4 + (vocab + 1) // 2 * 2)
        scale, least = (np.ascontiguousarray(records[:, i:i + 2]).view("<f4") for i in (0, 2))
        both.append((data[:head], scale, scale * records[:, 4:4 + vocab] + least))
    (head, scale, logs), (other_head, other_scale, other_logs) = both
    if head != other_head or logs.shape != other_logs.shape:
        return "they are of other tokens"
    if abs(scale / other_scale - 1).max() > 4e-6:
        return "scales differ"
    most = (abs(logs - other_logs) / scale).max()
    return None if most < 1.5 else "log-probabilities differ by %g steps" % most


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(sys.argv[2])
    elif len(sys.argv) == 6 and sys.argv[1] == "edit":
        edit(sys.argv[2], sys.argv[3], sys.argv[4:6])
    elif len(sys.argv) == 6 and sys.argv[1] == "text":
        add_text(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "base":
        sys.exit(same_base(*sys.argv[2:]))
    else:
        sys.exit(__doc__)
