#!/usr/bin/env python3
"""Tiny models of every architecture that the importer reads, and their logits by llama.cpp.

    lm_models.py         write tests/vectors/lm, then check it
    lm_models.py check   compare the logits there with forward() below, and with llama.cpp if it is installed;
                         print how much they change without each feature of each model

Needs numpy and gguf; writing also needs llama-cpp-python (all from PyPI).

Files, all numbers little-endian:
    NAME.gguf     the model, with random weights and a vocabulary of 272 tokens
    NAME.logits   u32 count, u32 vocab, u32 token[count], f32 logits[count][vocab]: row i has seen tokens 0 to i
    NAME/         for SAFETENSORS: the same weights with Hugging Face's names, order of rows and config.json

The logits are of the values that the file's matrices decode to, in float arithmetic: llama.cpp runs an F32 copy of the
file with an F32 cache and without flash attention, since its products with other types round the activations, too.
It rounds GELU to F16 through a table. So the products of GELU are computed here while llama.cpp waits.

forward() is a second oracle in float64. It reads the GGUF file by itself: its sources are the papers and llama.cpp's
src/models and src/llama-model.cpp. The script fails unless both agree and each feature of a model changes its logits.
"""
import copy
import ctypes
import json
import os
import struct
import sys
import tempfile
import types
import zlib

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "lm")
COUNT = 24               # tokens; the windows are smaller
AGREE = 1e-5             # max |difference| / max |logit| of the two oracles
MATTERS = 0.01           # least change of the logits without a feature, in the same unit
TYPE = gguf.GGMLQuantizationType
NEOX = {"qwen2", "qwen3", "gemma2", "gemma3", "bitnet"}   # architectures whose pairs are i and i + n / 2

PIECES = ["Ġt", "he", "Ġthe", "in", "Ġa", "an", "re", "on", "Ġw", "at", "er", "nd"]   # each joins two tokens before it


# ---- vocabularies

def byte_alphabet():
    """The characters by which GPT-2 writes bytes."""
    kept = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    moved = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(moved)) for b in range(256)]


def merge(piece, known):
    for cut in range(1, len(piece)):
        if piece[:cut] in known and piece[cut:] in known:
            return piece[:cut], piece[cut:]
    raise ValueError(piece)


def bpe(pre, specials):
    """Byte-level BPE: bytes, merged pieces, special tokens, of which the first begins and the second ends a text."""
    known, merges = byte_alphabet(), []
    for piece in PIECES:
        merges.append(" ".join(merge(piece, known)))
        known = known + [piece]
    first = len(known)
    return dict(model="gpt2", pre=pre, tokens=known + specials, merges=merges,
                token_type=[1] * first + [3] * len(specials), bos_token_id=first, eos_token_id=first + 1)


def spm(specials, **keys):
    """SentencePiece BPE: special tokens, bytes, single characters, merged pieces."""
    letters = ["▁", "t", "h", "e", "a", "i", "n", "o", "r", "w"]
    pieces = letters + ["▁t", "he", "▁the"][:272 - len(specials) - 256 - len(letters)]
    tokens = specials + ["<0x%02X>" % b for b in range(256)] + pieces
    kinds = [2 if s == "<unk>" else 3 for s in specials] + [6] * 256 + [1] * len(pieces)
    merged = len(tokens) - len(letters) - len(specials) - 256
    scores = [0.0] * (len(specials) + 256) + [-20.0 - i for i in range(len(letters))] + [-1.0 - i for i in range(merged)]
    return dict(model="llama", pre="default", tokens=tokens, scores=scores, token_type=kinds, **keys)


def vocabulary(kind):
    if kind == "llama":
        return spm(["<unk>", "<s>", "</s>"], bos_token_id=1, eos_token_id=2, unknown_token_id=0,
                   add_bos_token=True, add_eos_token=False)
    if kind == "gemma":
        return spm(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"], bos_token_id=2, eos_token_id=1,
                   unknown_token_id=3, padding_token_id=0, add_bos_token=True, add_eos_token=False, add_space_prefix=False)
    special = {"llama-bpe": ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|eot_id|>"],
               "smollm": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<reponame>"],
               "qwen2": ["<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|vision_start|>"],
               "refact": ["<|end_of_text|>", "<|end_of_role|>", "<|start_of_role|>", "<fim_prefix>"]}
    return bpe(kind, special[kind])


# ---- models

def llama3_factors(head, theta, factor, low, high, original):
    """What Llama 3.1 divides the frequencies of RoPE by."""
    wavelength = 2 * np.pi * theta ** (np.arange(0, head, 2) / head)
    smooth = np.clip((original / wavelength - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / factor + smooth)


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)

# head: None: dim / heads, and not stored. keys: further metadata, without the prefix of the architecture.
MODELS = [dict(zip(("name", "arch", "vocab", "type", "dim", "hidden", "layers", "heads", "kv", "head", "eps", "keys"), row)) for row in (
    ("llama2", "llama", "llama", "F16", 32, 48, 2, 4, None, None, 1e-5, {}),
    ("llama31", "llama", "llama-bpe", "BF16", 32, 48, 2, 2, 1, None, 1e-5, {}),
    ("smollm2", "llama", "smollm", "F16", 48, 40, 2, 3, 1, None, 0.02, {"rope.freq_base": 100000.0}),
    ("mistral", "llama", "llama", "Q8_0", 32, 64, 3, 4, 2, 16, 0.02, {"rope.freq_base": 1000000.0}),
    ("mobilellm", "llama", "llama", "F32", 24, 40, 2, 3, 1, None, 0.03, {}),
    ("smollm3", "smollm3", "llama-bpe", "Q8_0", 32, 32, 5, 4, 1, None, 0.01, {"rope.freq_base": 5000000.0}),
    ("qwen25", "qwen2", "qwen2", "F16", 32, 48, 2, 4, 2, None, 0.02, {"rope.freq_base": 1000000.0}),
    ("qwen3", "qwen3", "qwen2", "F16", 32, 48, 2, 4, 2, 16, 0.02, {"rope.freq_base": 1000000.0}),
    ("gemma3", "gemma3", "gemma", "F16", 24, 32, 7, 2, 1, 16, 0.05, {
        "rope.freq_base": 1000000.0, "attention.sliding_window": 8}),
    ("gemma3_linear", "gemma3", "gemma", "Q8_0", 32, 32, 4, 4, 2, 16, 0.05, {
        "rope.freq_base": 1000000.0, "rope.freq_base_swa": 3000.0, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0,
        "attention.sliding_window": 5, "attention.sliding_window_pattern": [True, False, True, True]}),
    ("gemma2", "gemma2", "gemma", "F16", 24, 32, 3, 2, 1, 16, 0.05, {
        "attention.sliding_window": 6, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 8.0}),
    ("granite", "granite", "refact", "F16", 32, 48, 2, 4, 2, None, 0.02, {
        "rope.freq_base": 100000.0, "attention.scale": 0.5, "embedding_scale": 12.0, "residual_scale": 0.4, "logit_scale": 3.0}),
    ("bitnet", "bitnet", "llama", "F16", 32, 48, 3, 4, 2, None, 0.02, {"rope.scaling.type": "linear", "rope.scaling.factor": 1.0}),
)]
UNTIED = {"llama2", "mistral"}
SAFETENSORS = {"llama31": "BF16", "qwen3": "F16", "gemma3": "F16"}   # the type of every tensor: they lose nothing by it


def make(spec):
    """The tensors of a model in the order of a file: name -> float32 array."""
    random = np.random.RandomState(zlib.crc32(spec["name"].encode()))
    arch, dim, hidden = spec["arch"], spec["dim"], spec["hidden"]
    head = spec["head"] or dim // spec["heads"]
    q, kv = head * spec["heads"], head * (spec["kv"] or spec["heads"])
    embed = {"granite": 0.1, "gemma3": 0.3, "gemma2": 0.3}.get(arch, 0.7)

    def matrix(rows, cols, gain):
        return random.standard_normal((rows, cols)) * gain / cols ** 0.5

    def norm(n, middle=1.0):
        return middle + random.randint(-64, 65, n) / 128   # exact in every type, also without Gemma's 1

    t = {"token_embd.weight": random.standard_normal((272, dim)) * embed, "output_norm.weight": norm(dim)}
    if spec["name"] in UNTIED:
        t["output.weight"] = matrix(272, dim, 2)
    if spec["name"] == "llama31":
        t["rope_freqs.weight"] = llama3_factors(head, 10000.0, *LLAMA3.values())
    for n in range(spec["layers"]):
        b = "blk.%d." % n
        t[b + "attn_norm.weight"] = norm(dim)
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            t[b + "attn_%s.weight" % name] = matrix(rows, dim, 1.5)
            if arch == "qwen2":
                t[b + "attn_%s.bias" % name] = random.standard_normal(rows) * 0.5
        if arch in ("qwen3", "gemma3"):
            t[b + "attn_q_norm.weight"], t[b + "attn_k_norm.weight"] = norm(head, 1.5), norm(head, 1.5)
        if arch == "bitnet":
            t[b + "attn_sub_norm.weight"] = norm(q)
        t[b + "attn_output.weight"] = matrix(dim, q, 1.5)
        if arch in ("gemma2", "gemma3"):
            t[b + "post_attention_norm.weight"] = norm(dim)
        t[b + "ffn_norm.weight"] = norm(dim)
        t[b + "ffn_gate.weight"], t[b + "ffn_up.weight"] = matrix(hidden, dim, 1.5), matrix(hidden, dim, 1.5)
        if arch == "bitnet":
            t[b + "ffn_sub_norm.weight"] = norm(hidden)
        t[b + "ffn_down.weight"] = matrix(dim, hidden, 1.5)
        if arch in ("gemma2", "gemma3"):
            t[b + "post_ffw_norm.weight"] = norm(dim)
        if arch == "bitnet":
            ternary(t, b, own_scales=n != 1)
    return {name: a.astype(np.float32) for name, a in t.items()}


def ternary(t, b, own_scales):
    """BitNet's matrices are a scale times -1, 0 and 1. Files of one kind store the scale apart, others multiply."""
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        w = t[b + name + ".weight"]
        scale = np.float16(abs(w).mean())
        signs = np.clip(np.round(w / scale), -1, 1)
        t[b + name + ".weight"] = signs if own_scales else signs * scale
        if own_scales:
            t[b + name + ".scale"] = np.array([scale])


def metadata(spec):
    arch, v = spec["arch"], vocabulary(spec["vocab"])
    keys = {"context_length": 64, "embedding_length": spec["dim"], "block_count": spec["layers"],
            "feed_forward_length": spec["hidden"], "attention.head_count": spec["heads"],
            "attention.layer_norm_rms_epsilon": spec["eps"], **spec["keys"]}
    if spec["kv"]:
        keys["attention.head_count_kv"] = spec["kv"]
    if spec["head"]:
        keys["attention.key_length"] = keys["attention.value_length"] = spec["head"]
    if arch in ("llama", "smollm3", "granite"):
        keys["vocab_size"], keys["rope.dimension_count"] = 272, spec["head"] or spec["dim"] // spec["heads"]
    return {"general.name": spec["name"], **{arch + "." + k: x for k, x in keys.items()},
            **{"tokenizer.ggml." + k: x for k, x in v.items()}}


def write_gguf(path, spec, tensors, f32=False):
    """Matrices in the model's type, or in F32 with the values that this type has: for llama.cpp's float arithmetic."""
    w = gguf.GGUFWriter(path, spec["arch"])
    add = {bool: w.add_bool, int: w.add_uint32, float: w.add_float32, str: w.add_string, list: w.add_array}
    for key, value in metadata(spec).items():
        add[type(value)](key, value)
    for name, a in tensors.items():
        kind = TYPE[spec["type"]] if a.ndim == 2 else TYPE.F32
        packed = quantize(a, kind)
        w.add_tensor(name, dequantize(packed, kind) if f32 else packed, raw_dtype=TYPE.F32 if f32 else kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- the forward pass, from the file alone

def read(path):
    """What a file says of its model, as forward() needs it."""
    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()

    def key(name, default=None):
        f = reader.fields.get(arch + "." + name)
        return default if f is None else f.contents()

    m = types.SimpleNamespace(arch=arch)
    m.t = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
    gemma = arch in ("gemma2", "gemma3")
    m.dim, m.layers, m.heads = key("embedding_length"), key("block_count"), key("attention.head_count")
    m.kv = key("attention.head_count_kv", m.heads)
    m.head = key("attention.key_length", m.dim // m.heads)
    m.eps = key("attention.layer_norm_rms_epsilon")
    m.theta = key("rope.freq_base", 10000.0)
    m.theta_local = key("rope.freq_base_swa", m.theta if arch == "gemma2" else 10000.0)
    m.rope_scale = 1 / (key("rope.scaling.factor", 0) or 1)
    m.factors = m.t.get("rope_freqs.weight")
    m.halves = arch in NEOX
    m.window = key("attention.sliding_window", 0) if gemma else 0
    pattern = key("attention.sliding_window_pattern", {"gemma2": 2, "gemma3": 6}.get(arch))
    if isinstance(pattern, list):
        m.local = [bool(x) for x in pattern]
    else:
        m.local = [bool(m.window) and n % pattern < pattern - 1 for n in range(m.layers)]
    m.rope = [arch != "smollm3" or (n + 1) % 4 != 0 for n in range(m.layers)]
    m.act = gelu if gemma else silu
    m.embed_scale = np.sqrt(m.dim) if gemma else key("embedding_scale", 0) or 1
    m.residual_scale = key("residual_scale", 0) or 1
    m.attention_scale = (arch == "granite" and key("attention.scale", 0)) or m.head ** -0.5
    m.logit_scale = 1 / key("logit_scale", 1)
    m.attention_cap = key("attn_logit_softcapping", 50.0) if arch == "gemma2" else 0
    m.logit_cap = key("final_logit_softcapping", 30.0 if arch == "gemma2" else 0) if gemma else 0
    m.group = m.heads // m.kv
    m.tied = arch in ("gemma2", "bitnet") or "output.weight" not in m.t
    return m


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * x * (1 + 0.044715 * x * x)))


def cap(x, most):
    return most * np.tanh(x / most) if most else x


def rms(m, x, name):
    """RMS norm over the last axis; x itself if the model has no such norm."""
    if name not in m.t:
        return x
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + m.eps) * m.t[name]


def linear(m, x, name):
    y = x @ m.t[name + ".weight"].T
    if name + ".scale" in m.t:
        y = y * m.t[name + ".scale"]
    return y + m.t.get(name + ".bias", 0)


def rope(m, x, local):
    """x [token][head][element]"""
    half = m.head // 2
    frequency = (m.theta_local if local else m.theta) ** (-np.arange(half) / half)
    if not local:
        frequency = frequency * m.rope_scale
        if m.factors is not None:
            frequency = frequency / m.factors
    angle = (np.arange(len(x))[:, None] * frequency)[:, None, :]
    first, second = (np.s_[..., :half], np.s_[..., half:]) if m.halves else (np.s_[..., 0::2], np.s_[..., 1::2])
    y, a, b = np.empty_like(x), x[first], x[second]
    y[first], y[second] = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
    return y


def attention(m, x, n):
    b, count = "blk.%d." % n, len(x)
    q = rms(m, linear(m, x, b + "attn_q").reshape(count, m.heads, m.head), b + "attn_q_norm.weight")
    k = rms(m, linear(m, x, b + "attn_k").reshape(count, m.kv, m.head), b + "attn_k_norm.weight")
    v = linear(m, x, b + "attn_v").reshape(count, m.kv, m.head)
    if m.rope[n]:
        q, k = rope(m, q, m.local[n]), rope(m, k, m.local[n])
    back = np.arange(count)[:, None] - np.arange(count)
    seen = (back >= 0) & (back < (m.window if m.local[n] else count))
    y = np.empty_like(q)
    for h in range(m.heads):
        g = h // m.group % m.kv
        score = np.where(seen, cap(q[:, h] @ k[:, g].T * m.attention_scale, m.attention_cap), -np.inf)
        p = np.exp(score - score.max(1, keepdims=True))
        y[:, h] = p / p.sum(1, keepdims=True) @ v[:, g]
    y = rms(m, y.reshape(count, -1), b + "attn_sub_norm.weight")
    return rms(m, linear(m, y, b + "attn_output"), b + "post_attention_norm.weight")


def feed_forward(m, x, n):
    b = "blk.%d." % n
    y = m.act(linear(m, x, b + "ffn_gate")) * linear(m, x, b + "ffn_up")
    y = linear(m, rms(m, y, b + "ffn_sub_norm.weight"), b + "ffn_down")
    return rms(m, y, b + "post_ffw_norm.weight")


def forward(m, tokens):
    """Logits [token][vocab] in float64."""
    x = m.t["token_embd.weight"][tokens] * m.embed_scale
    for n in range(m.layers):
        b = "blk.%d." % n
        x = x + m.residual_scale * attention(m, rms(m, x, b + "attn_norm.weight"), n)
        x = x + m.residual_scale * feed_forward(m, rms(m, x, b + "ffn_norm.weight"), n)
    y = linear(m, rms(m, x, "output_norm.weight"), "token_embd" if m.tied else "output")
    return cap(y * m.logit_scale, m.logit_cap)


def without(m, *parts):
    """The tensors whose names hold none of the parts"""
    return {name: a for name, a in m.t.items() if not any(p in name for p in parts)}


def ones(m, part):
    return {name: np.ones_like(a) if part in name else a for name, a in m.t.items()}


# Misreadings of a file. A model whose reading stays the same does not have the feature.
FEATURES = {
    "epsilon": lambda m: dict(eps=1e-5 if m.eps > 2e-5 else 0.01),
    "weights of norms": lambda m: dict(t=ones(m, "norm")),
    "RoPE": lambda m: dict(rope=[False] * m.layers),
    "RoPE, pairs": lambda m: dict(halves=not m.halves),
    "RoPE, base": lambda m: dict(theta=10000.0),
    "RoPE, its own base in windows": lambda m: dict(theta_local=m.theta) if m.window else {},
    "RoPE, base in windows": lambda m: dict(theta_local=10000.0) if m.window else {},
    "RoPE, scale": lambda m: dict(rope_scale=1.0),
    "RoPE, factors": lambda m: dict(factors=None),
    "RoPE, layers without": lambda m: dict(rope=[True] * m.layers),
    "window": lambda m: dict(window=COUNT) if m.window else {},
    "window, its size": lambda m: dict(window=m.window + 1) if m.window else {},
    "window, its layers": lambda m: dict(local=[True] * m.layers) if m.window else {},
    "heads of keys": lambda m: dict(group=1) if m.kv > 1 else {},
    "activation": lambda m: dict(act=gelu if m.act is silu else silu),
    "scale of embeddings": lambda m: dict(embed_scale=1),
    "scale of residuals": lambda m: dict(residual_scale=1),
    "scale of attention": lambda m: dict(attention_scale=m.head ** -0.5),
    "scale of logits": lambda m: dict(logit_scale=1),
    "cap of attention": lambda m: dict(attention_cap=0),
    "cap of logits": lambda m: dict(logit_cap=0),
    "biases": lambda m: dict(t=without(m, ".bias")),
    "norms of q and k": lambda m: dict(t=without(m, "_q_norm", "_k_norm")),
    "sub-norms": lambda m: dict(t=without(m, "_sub_norm")),
    "norms after blocks": lambda m: dict(t=without(m, "post_")),
    "scales of matrices": lambda m: dict(t=without(m, ".scale")),
    "classifier": lambda m: dict(tied=True),
}


def features(path, tokens):
    """(name, change of the logits without it) of each feature that the model has"""
    m = read(path)
    right = forward(m, tokens)
    for name, misread in FEATURES.items():
        changes = misread(m)
        if all(same(value, vars(m)[k]) for k, value in changes.items()):
            continue
        wrong = copy.copy(m)
        vars(wrong).update(changes)
        yield name, distance(forward(wrong, tokens), right)


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
    return a is b or (not isinstance(b, np.ndarray) and a == b)


def distance(a, b):
    return float(abs(a - b).max() / abs(b).max())


# ---- the same weights as Hugging Face stores them

HF_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
            "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
            "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
            "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
            "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
HF_GEMMA = {**HF_NAMES, "ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm"}


def hf_name(name, arch):
    parts = name.split(".")
    hf = (HF_GEMMA if arch == "gemma3" else HF_NAMES)[parts[-2]] + "." + parts[-1]
    return "model.layers.%s.%s" % (parts[1], hf) if parts[0] == "blk" else hf


def hf_tensors(spec):
    """Name -> array. Rows of q and k are in the order of NEOX, the norms of Gemma are without the 1 that it adds."""
    tensors, head = {}, spec["head"] or spec["dim"] // spec["heads"]
    for name, a in make(spec).items():
        if name == "rope_freqs.weight":   # is in config.json
            continue
        if spec["arch"] not in NEOX and (".attn_q." in name or ".attn_k." in name):
            a = a.reshape(-1, head // 2, 2, a.shape[1]).swapaxes(1, 2).reshape(a.shape)
        if spec["arch"] == "gemma3" and "norm" in name:
            a = a - 1
        tensors[hf_name(name, spec["arch"])] = a
    return tensors


def safetensors(tensors, kind):
    """The bytes of a file: the length of a header in JSON, the header, the tensors."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, a in tensors.items():
        packed = quantize(a, TYPE[kind]).tobytes()
        header[name] = dict(dtype=kind, shape=list(a.shape), data_offsets=[len(data), len(data) + len(packed)])
        data += packed
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def hf_config(spec):
    v = vocabulary(spec["vocab"])
    c = dict(hidden_size=spec["dim"], intermediate_size=spec["hidden"], num_hidden_layers=spec["layers"],
             num_attention_heads=spec["heads"], num_key_value_heads=spec["kv"], rms_norm_eps=spec["eps"],
             rope_theta=spec["keys"].get("rope.freq_base", 10000.0), max_position_embeddings=64, vocab_size=272,
             attention_bias=False, attention_dropout=0.0, bos_token_id=v["bos_token_id"], eos_token_id=v["eos_token_id"],
             torch_dtype={"F16": "float16", "BF16": "bfloat16"}[SAFETENSORS[spec["name"]]])
    if spec["head"]:
        c["head_dim"] = spec["head"]
    if spec["arch"] == "llama":
        c.update(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", mlp_bias=False,
                 rope_scaling=dict(LLAMA3, rope_type="llama3"), tie_word_embeddings=True)
    if spec["arch"] == "qwen3":
        c.update(architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_act="silu", rope_scaling=None,
                 sliding_window=None, use_sliding_window=False, max_window_layers=spec["layers"], tie_word_embeddings=True)
    if spec["arch"] == "gemma3":
        kinds = ["full_attention" if n % 6 == 5 else "sliding_attention" for n in range(spec["layers"])]
        c.update(architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", hidden_activation="gelu_pytorch_tanh",
                 attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=spec["head"],
                 layer_types=kinds, sliding_window=spec["keys"]["attention.sliding_window"], rope_scaling=None,
                 rope_local_base_freq=10000.0)
    return c


def hf_tokenizer(spec):
    v = vocabulary(spec["vocab"])
    special = [i for i, kind in enumerate(v["token_type"]) if kind in (2, 3)]
    added = [dict(id=i, content=v["tokens"][i], single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for i in special]
    model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                 fuse_unk=False, byte_fallback=False, vocab={t: i for i, t in enumerate(v["tokens"])})
    if v["model"] == "llama":
        known = [t for t in v["tokens"] if len(t) == 1]
        pieces = [t for i, t in enumerate(v["tokens"]) if v["token_type"][i] == 1 and len(t) > 1]
        model.update(unk_token="<unk>", fuse_unk=True, byte_fallback=True, merges=[])
        for piece in pieces:
            model["merges"].append(" ".join(merge(piece, known)))
            known.append(piece)
        space = {"String": " "}
        normalizer = dict(type="Replace", pattern=space, content="▁")
        split = dict(type="Split", pattern=space, behavior="MergedWithPrevious", invert=False)
        decoder = dict(type="Sequence", decoders=[dict(type="Replace", pattern={"String": "▁"}, content=" "),
                                                  dict(type="ByteFallback"), dict(type="Fuse")])
    else:
        model.update(merges=v["merges"])
        normalizer = None
        level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False)
        split = dict(type="Sequence", pretokenizers=[
            dict(type="Split", pattern={"Regex": SPLITS[v["pre"]]}, behavior="Isolated", invert=False), level])
        decoder = level
    return dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=normalizer,
                pre_tokenizer=split, post_processor=None, decoder=decoder, model=model)


SPLITS = {pre: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits +
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+" for pre, digits in (("llama-bpe", "{1,3}"), ("qwen2", ""))}


def hf_files(spec):
    """Name -> bytes of the files of a model. Qwen3 comes in two shards."""
    def text(value):
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()

    tensors, kind = hf_tensors(spec), SAFETENSORS[spec["name"]]
    files = {"config.json": text(hf_config(spec)), "tokenizer.json": text(hf_tokenizer(spec))}
    if spec["name"] != "qwen3":
        return {**files, "model.safetensors": safetensors(tensors, kind)}
    weights = {name: "model-0000%d-of-00002.safetensors" % (1 if "layers.1" not in name else 2) for name in tensors}
    for shard in sorted(set(weights.values())):
        files[shard] = safetensors({name: a for name, a in tensors.items() if weights[name] == shard}, kind)
    size = sum(a.size for a in tensors.values()) * 2
    files["model.safetensors.index.json"] = text(dict(metadata=dict(total_size=size), weight_map=weights))
    return files


def read_hf(path, name):
    """As read(), from a directory. What the three models have in common with the GGUF file is not read again."""
    with open(os.path.join(path, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    m = read(os.path.join(OUT, name + ".gguf"))
    tensors = {}
    for shard in sorted(f for f in os.listdir(path) if f.endswith(".safetensors")):
        with open(os.path.join(path, shard), "rb") as f:
            blob = f.read()
        begin = 8 + struct.unpack_from("<Q", blob)[0]
        for key, t in json.loads(blob[8:begin]).items():
            if key != "__metadata__":
                raw = np.frombuffer(blob[begin:][slice(*t["data_offsets"])], np.uint8)
                tensors[key] = dequantize(raw.view({"F16": np.float16, "BF16": np.uint8}[t["dtype"]]), TYPE[t["dtype"]])
                tensors[key] = tensors[key].reshape(t["shape"]).astype(np.float64)
    norms = 1 if c["model_type"] == "gemma3_text" else 0
    m.t = {key: tensors[hf_name(key, m.arch)] + ("norm" in key) * norms for key in m.t if key != "rope_freqs.weight"}
    m.halves = True
    m.heads, m.kv, m.layers = c["num_attention_heads"], c["num_key_value_heads"], c["num_hidden_layers"]
    m.head = c.get("head_dim", c["hidden_size"] // m.heads)
    m.eps, m.theta, m.attention_scale = c["rms_norm_eps"], c["rope_theta"], c.get("query_pre_attn_scalar", m.head) ** -0.5
    if c["rope_scaling"]:
        r = c["rope_scaling"]
        m.factors = llama3_factors(m.head, m.theta, *(r[k] for k in LLAMA3))
    m.local = [kind == "sliding_attention" for kind in c.get("layer_types", [""] * m.layers)]
    m.window, m.theta_local = c.get("sliding_window"), c.get("rope_local_base_freq")
    return m


# ---- llama.cpp

def exact_gelu(lib):
    """A callback in which the products of GELU become exact floats: ggml takes GELU from a table of F16."""
    lib.ggml_get_name.restype, lib.ggml_get_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    lib.ggml_get_data_f32.restype, lib.ggml_get_data_f32.argtypes = ctypes.POINTER(ctypes.c_float), [ctypes.c_void_p]
    lib.ggml_nelements.restype, lib.ggml_nelements.argtypes = ctypes.c_int64, [ctypes.c_void_p]
    kept = {}

    def callback(tensor, ask, _):
        name = lib.ggml_get_name(tensor).decode().split("-")[0]
        if ask:
            return name in ("ffn_gate", "ffn_up", "ffn_geglu")
        if name in ("ffn_gate", "ffn_up", "ffn_geglu"):
            data = np.ctypeslib.as_array(lib.ggml_get_data_f32(tensor), (lib.ggml_nelements(tensor),))
            if name == "ffn_geglu":
                data[:] = gelu(kept["ffn_gate"]) * kept["ffn_up"]
            kept[name] = data.astype(np.float64)
        return True

    return callback


def print_error(level, text, _):
    if level == 4:
        sys.stderr.write(text.decode(errors="replace"))


CALLBACKS = []   # what llama.cpp may still call must not be freed


def llama_cpp_logits(path, tokens):
    import llama_cpp as lc
    if not CALLBACKS:
        errors = lc.llama_log_callback(print_error)
        CALLBACKS.extend([errors, lc.llama_cpp.ggml_backend_sched_eval_callback(exact_gelu(lc.llama_cpp._lib))])
        lc.llama_log_set(errors, None)
    model_params = lc.llama_model_default_params()
    model_params.use_extra_bufts = False
    model = lc.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        raise SystemExit("llama.cpp does not load " + path)
    params = lc.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 64
    params.n_threads = params.n_threads_batch = 1
    params.flash_attn_type, params.type_k, params.type_v = 0, 0, 0   # disabled, F32, F32
    params.cb_eval = CALLBACKS[1]
    context = lc.llama_init_from_model(model, params)
    batch = lc.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = int(token), i, 1, 0, 1
    if lc.llama_decode(context, batch) != 0:
        raise SystemExit("llama.cpp does not run " + path)
    vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
    logits = np.ctypeslib.as_array(lc.llama_get_logits(context), (len(tokens), vocab)).copy()
    lc.llama_batch_free(batch)
    lc.llama_free(context)
    lc.llama_model_free(model)
    return logits


# ---- the files

def logits_file(tokens, logits):
    count, vocab = logits.shape
    return struct.pack("<2I", count, vocab) + tokens.astype("<u4").tobytes() + logits.astype("<f4").tobytes()


def read_logits(path):
    with open(path, "rb") as f:
        blob = f.read()
    count, vocab = struct.unpack_from("<2I", blob)
    tokens = np.frombuffer(blob, "<u4", count, 8)
    return tokens, np.frombuffer(blob, "<f4", count * vocab, 8 + 4 * count).reshape(count, vocab)


def need(right, text):
    print(("  " if right else "FAIL ") + text)
    if not right:
        raise SystemExit(1)


def compare(name, what, a, b):
    need(distance(a, b) <= AGREE, "%-14s %-26s %.1e" % (name, what, distance(a, b)))


def theirs(spec, tokens):
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "f32.gguf")
        write_gguf(path, spec, make(spec), f32=True)
        return llama_cpp_logits(path, tokens)


def save(path, data):
    with open(path, "wb") as f:
        f.write(data)


def write(spec):
    path = os.path.join(OUT, spec["name"])
    tokens = np.random.RandomState(zlib.crc32(spec["arch"].encode())).randint(0, 272, COUNT)
    write_gguf(path + ".gguf", spec, make(spec))
    save(path + ".logits", logits_file(tokens, theirs(spec, tokens)))
    if spec["name"] in SAFETENSORS:
        os.makedirs(path, exist_ok=True)
        for name, data in hf_files(spec).items():
            save(os.path.join(path, name), data)


def check(spec, llama_cpp):
    name, path = spec["name"], os.path.join(OUT, spec["name"])
    tokens, logits = read_logits(path + ".logits")
    mine = forward(read(path + ".gguf"), tokens)
    compare(name, "float64", logits, mine)
    if llama_cpp:
        compare(name, "llama.cpp", logits, theirs(spec, tokens))
    if name in SAFETENSORS:
        compare(name, "safetensors, float64", forward(read_hf(path, name), tokens), mine)
    for feature, change in features(path + ".gguf", tokens):
        need(change > MATTERS, "%-14s without %-30s %.3f" % (name, feature, change))
    need(os.path.getsize(path + ".gguf") < 100000, "%-14s is small" % name)


def installed(module):
    try:
        __import__(module)
        return True
    except ImportError:
        return False


def main():
    what = " ".join(sys.argv[1:])
    if what not in ("", "check"):
        raise SystemExit(__doc__)
    os.makedirs(OUT, exist_ok=True)
    for spec in MODELS:
        if not what:
            write(spec)
        check(spec, installed("llama_cpp"))


if __name__ == "__main__":
    main()
