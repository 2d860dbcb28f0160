#!/usr/bin/env python3
"""Other tokenizers than examples/tokenizer.h, for its tests.

    tokenizer.py unicode [FILE]             write examples/tokenizer_unicode.h (or FILE): classes of characters, Unicode 16
    tokenizer.py golden [FILE]              write tests/vectors/tokenizer_golden.h (or FILE): small vocabularies, texts and their ids
    tokenizer.py text FILE [MB [SEED]]      write mixed text: messages of programs in all languages, code, random characters
    tokenizer.py compare PROGRAM MODEL TEXT [LLAMA_TOKENIZE]
                                            count differences of ids on a text: PROGRAM is tests/tokenize.c, compiled

Needs regex (2024.11.6, which has Unicode 16, as tokenizers 0.23 has), tokenizers, sentencepiece, protobuf and gguf from
PyPI. MODEL is a GGUF file. The oracle of byte-level BPE is Hugging Face's tokenizers, made of the vocabulary and merges of
the file; of SentencePiece it is sentencepiece itself, with a model made of tokens and scores. LLAMA_TOKENIZE is llama.cpp's
llama-tokenize, asked for pieces of the text.
"""
import glob
import gettext
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
PRE = [None, GPT2, "digits", LLAMA3, QWEN2, QWEN35]  # by TOKENIZER_PRE_...
PRE_OF = {"gpt-2": 1, "smollm": 2, "starcoder": 2, "llama-bpe": 3, "qwen2": 4, "qwen35": 5}
SPACE = "\u2581"


def classes():
    import regex
    kinds = [regex.compile(p) for p in (r"\p{L}", r"\p{N}", r"\p{M}", r"\s")]
    last = None
    for c in range(0x110000):
        k = 0
        if not 0xD800 <= c < 0xE000:
            k = next((i + 1 for i, p in enumerate(kinds) if p.match(chr(c))), 0)
        if k != last:
            yield c, k
        last = k


def unicode(path):
    import regex
    assert regex.match(r"\p{L}", "\u1c8a") and not regex.match(r"\p{L}", "\u0558"), "regex of Unicode 16 is needed"
    words = ["0x%x" % (c << 3 | k) for c, k in classes()]
    lines = [", ".join(words[i:i + 12]) for i in range(0, len(words), 12)]
    with open(path, "w") as out:
        out.write("""/* tokenizer_unicode.h - classes of characters for tokenizer.h; made by tests/gen/tokenizer.py

   Each number is 8 times the first character of a range, and its class: 0 other, 1 letter (L),
   2 number (N), 3 mark (M), 4 white space. Unicode 16. */
#ifndef TOKENIZER_UNICODE_H
#define TOKENIZER_UNICODE_H

static const uint32_t tokenizer__unicode[%d] = {
    %s
};

#endif
""" % (len(words), ",\n    ".join(lines)))


# ---- text ----

def messages():
    """Translations of programs' messages, by language."""
    out = {}
    for path in sorted(glob.glob("/usr/share/locale/*/LC_MESSAGES/*.mo")):
        try:
            catalog = gettext.GNUTranslations(open(path, "rb"))._catalog
        except (OSError, ValueError, IndexError):
            continue
        out.setdefault(path.split("/")[4], []).extend(v for v in catalog.values() if v)
    return list(out.values())


def known():
    """Characters whose classes all oracles agree on: assigned in Unicode 14, or far from any that is."""
    import unicodedata
    return [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]


def make_text(size, seed):
    r = random.Random(seed)
    languages, chars = messages(), known()
    code = [open(p, encoding="utf-8", errors="ignore").read() for p in sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py"))]
    blanks = " \n\t\r\u00a0\u2003\u3000\u2028\x0b\x0c\x85"
    marks = "'\u2019\"-_.,;:!?()[]{}<>|\\/@#$%^&*+=~`"
    emoji = "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea\u2764\ufe0f\U0001f44d\U0001f3fd\u26a1\u200b"
    parts, n = [], 0
    while n < size:
        kind = r.random()
        if kind < 0.6 and languages:
            part = r.choice(r.choice(languages))
        elif kind < 0.85:
            s = r.choice(code)
            at = r.randrange(max(1, len(s) - 400))
            part = s[at:at + r.randrange(400)]
        elif kind < 0.9:
            part = "".join(chr(r.choice(chars)) for _ in range(r.randrange(1, 40)))
        elif kind < 0.92:
            part = "".join(r.choice(blanks) for _ in range(r.randrange(1, 50)))
        elif kind < 0.94:
            part = r.choice(blanks[:3]) * r.randrange(1, 70)
        elif kind < 0.97:
            part = "".join(r.choice(blanks + marks + emoji + "sStTmMdDrReEvVlLxy0123456789") for _ in range(r.randrange(1, 40)))
        else:
            part = "".join(r.choice(emoji + " ") for _ in range(r.randrange(1, 12)))
        if r.random() < 0.3 and part:  # mutated
            part = list(part)
            for _ in range(1 + len(part) // 20):
                part[r.randrange(len(part))] = r.choice(blanks + marks) if r.random() < 0.7 else chr(r.choice(chars))
            part = "".join(part)
        parts.append(part + r.choice(["", " ", "\n", "\n\n", "  "]))
        n += len(parts[-1].encode())
    # text that names control tokens, or U+2581, is another comparison
    text = "".join(parts).replace(SPACE, "_").replace("</s>", "</p>")
    return text.encode()[:size].decode(errors="ignore")


# ---- oracles ----

def byte_chars():
    """GPT-2's characters of bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    out, more = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in out:
            out[b] = chr(256 + more)
            more += 1
    return out


def huggingface(tokens, merges, pre, user=(), whole=False):
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = {"digits": lambda: [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Split(Regex(GPT2), "isolated")]}
    steps = split.get(PRE[pre], lambda: [pre_tokenizers.Split(Regex(PRE[pre]), "isolated")])()
    t = Tokenizer(models.BPE({s: i for i, s in enumerate(tokens)}, merges, ignore_merges=whole))
    t.pre_tokenizer = pre_tokenizers.Sequence(steps + [level])
    t.add_tokens([AddedToken(s, normalized=False) for s in user])
    return lambda text: t.encode(text, add_special_tokens=False).ids


def sentencepiece_of(tokens, scores, types, prefix):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb
    m = pb.ModelProto()
    for s, score, kind in zip(tokens, scores, types, strict=True):
        piece = s.replace(" ", SPACE) if kind in (1, 4) else s
        m.pieces.add(piece=piece, score=score, type=kind)
    m.trainer_spec.model_type = pb.TrainerSpec.BPE
    m.trainer_spec.byte_fallback = True
    m.trainer_spec.unk_id, m.trainer_spec.bos_id, m.trainer_spec.eos_id, m.trainer_spec.pad_id = types.index(2) if 2 in types else 3, 2, 1, 0
    m.normalizer_spec.name = "identity"
    m.normalizer_spec.add_dummy_prefix = prefix
    m.normalizer_spec.remove_extra_whitespaces = False
    m.normalizer_spec.escape_whitespaces = True
    t = sentencepiece.SentencePieceProcessor()
    t.LoadFromSerializedProto(m.SerializeToString())
    return t.EncodeAsIds


def oracle_of(path):
    import gguf
    fields = gguf.GGUFReader(path).fields

    def value(key):
        return fields["tokenizer.ggml." + key].contents()
    tokens, types = value("tokens"), [int(x) for x in value("token_type")]
    if value("model") == "gpt2":
        merges = [tuple(m.split(" ")) for m in value("merges")]
        user = [s for s, kind in zip(tokens, types, strict=True) if kind == 4]
        return huggingface(tokens, merges, PRE_OF[value("pre")], user, value("pre") == "llama-bpe")
    types = [2 if s == "<unk>" else kind for s, kind in zip(tokens, types, strict=True)]
    return sentencepiece_of(tokens, value("scores"), types, bool(value("add_space_prefix")))


def run_ids(command, text):
    with tempfile.TemporaryDirectory() as tmp:
        file, ids = os.path.join(tmp, "text"), os.path.join(tmp, "ids")
        open(file, "wb").write(text)
        said = subprocess.run([s.replace("TEXT", file).replace("IDS", ids) for s in command], check=True, capture_output=True)
        if os.path.exists(ids):
            b = open(ids, "rb").read()
            return list(struct.unpack("<%dI" % (len(b) // 4), b)), said.stdout.decode()
        return [int(x) for x in re.search(rb"\[([-\d, \n]*)\]", said.stdout).group(1).split(b",") if x.strip()], ""


def differences(a, b):
    if a == b:
        return 0
    import difflib
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    print("  first difference at id %d: %s, oracle %s" % (at, a[at - 2:at + 8], b[at - 2:at + 8]))
    near = slice(max(0, at - 50), at + 5000)
    return sum(max(j - i, n - m) for op, i, j, m, n in
               difflib.SequenceMatcher(None, a[near], b[near], False).get_opcodes() if op != "equal")


def compare(program, model, path, llama):
    raw = open(path, "rb").read()
    if llama:
        command, flags = [llama, "-m", model, "-f", "TEXT", "--ids", "--no-bos", "--no-parse-special", "--log-disable"], "8"
        expected, _ = run_ids(command, raw)
    else:
        expected, flags = oracle_of(model)(raw.decode()), "0"
    ids, said = run_ids([program, model, "TEXT", flags, "IDS"], raw)
    print(said, end="")
    n = differences(ids, expected)
    print("%s: %d bytes, %d ids, %d differences" % (os.path.basename(model), len(raw), len(expected), n))
    return n


def main(a):
    if a[:1] == ["unicode"] and len(a) < 3:
        unicode(a[1] if a[1:] else os.path.join(HERE, "..", "..", "examples", "tokenizer_unicode.h"))
    elif a[:1] == ["text"] and 2 <= len(a) <= 4:
        text = make_text(int(float(a[2]) * 1e6) if a[2:] else 10000000, int(a[3]) if a[3:] else 1)
        open(a[1], "wb").write(text.encode())
    elif a[:1] == ["compare"] and len(a) in (4, 5):
        sys.exit(compare(a[1], a[2], a[3], a[4] if a[4:] else None) != 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
