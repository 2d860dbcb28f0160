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
    lines = [", ".join(words[i:i + 11]) for i in range(0, len(words), 11)]
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
        command, flags = [llama, "-m", model, "-f", "TEXT", "--ids", "--no-bos", "--no-parse-special", "--no-escape", "--log-disable"], "8"
        expected, _ = run_ids(command, raw)
    else:
        expected, flags = oracle_of(model)(raw.decode()), "0"
    ids, said = run_ids([program, model, "TEXT", flags, "IDS"], raw)
    print(said, end="")
    n = differences(ids, expected)
    print("%s: %d bytes, %d ids, %d differences" % (os.path.basename(model), len(raw), len(expected), n))
    return n


# ---- small vocabularies ----

WORDS = """The quick brown fox jumps over the lazy dog, and she'll say that it's what they've done; I'm sure you'd agree.
def main(argv):\n    for i in range(10):\n        print("value", i * 2)\n\treturn {'key': [1, 2, 3]}
Съешь ещё этих мягких французских булок, да выпей чаю. Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.
דג סקרן שט בים מאוכזב ולפתע מצא חברה. نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر.
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। เป็นมนุษย์สุดประเสริฐเลิศคุณค่า
いろはにほへと ちりぬるを 我が世誰ぞ 常ならむ。天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。키스의 고유조건은 입술끼리 만나야 하고
Příliš žluťoučký kůň úpěl ďábelské ódy; Zażółć gęślą jaźń. ქართული ენა  2024 1234567 3.14159 ½ ⅷ ٣٤٥"""
CONTROL = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>",
           "<end_of_turn>", "<s>", "</s>", "<unk>"]
USER = ["<b>", "<b>>", "    ", "\n\n\n", "\u2603!"]
TEXTS = WORDS.split("\n") + [
    "", " ", "  ", "a", " a", "  a", "a  ", "\n", "\n\n\n\n\n", "xxx aaaaa xxxxxxx", "oio ioi oioioi", " \n a \r\n\tb", "x" * 70, "ab" * 40, " " * 37 + "x", "\u3000\u2003 \xa0x\x85y",
    "I'LL 'tis 'RE'd can't DON'T 'S'\u017f 'x ''s it'\u017ft", "1 22 333 4444 55555 a1b22c333 \u00bd\u2167\u0664\u0665",
    "e\u0301 \u0301x \u0915\u094d\u0937 \u0e01\u0e33", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea\u2764\ufe0f!",
    "a<b>c<b>>d    e\n\n\n\nf\u2603!\u2603", "zebrafish zebra  zebra", "<|im_start|>user\nhi<|im_end|> <s>x</s> <unk><|im_",
    "...!?\r\n\r\n  (x) [y]\r z", "\x00\x01\x7f\ufffd\U0010ffff\ud7ff\ue000"]
BROKEN = [b"\x80", b"a\xff\xfeb", b"\xc3", b"\xc3 a", b"\xe2\x96 x", b"\xf0\x9f\x98 \xf0\x9f", b"\xe2 \xe2  \xf0 a b", b"\xc0\x80\xc1\xbf",
          b"\xf5\x80\x80\x80z", b"ok \xe6\x97 \xe6\x97\xa5", b"\xf8\x88\x80\x80\x80"]


def lenient(b):
    """Characters of broken UTF-8, as llama.cpp reads them: each wrong byte is U+FFFD, overlong forms are characters."""
    out, i = "", 0
    while i < len(b):
        n = next((n for n, low, high in ((1, 0, 0x80), (2, 0xC0, 0xE0), (3, 0xE0, 0xF0), (4, 0xF0, 0xF8)) if low <= b[i] < high), 0)
        code = b[i] & (0x7F, 0x7F, 0x1F, 0x0F, 0x07)[n]
        for x in b[i + 1:i + n]:
            code = code << 6 | x & 0x3F
        if n == 0 or i + n > len(b) or any(x & 0xC0 != 0x80 for x in b[i + 1:i + n]) or code > 0x10FFFF:
            code, n = 0xFFFD, 1
        out += chr(code)
        i += n
    return out


def naive_spm(tokens, scores, types, text, prefix):
    """SentencePiece BPE as one would define it, over bytes, for texts that sentencepiece itself does not take."""
    ids = {s.encode(): i for i, (s, kind) in enumerate(zip(tokens, types, strict=True)) if kind == 1}
    user = sorted(((s.encode(), i) for i, (s, kind) in enumerate(zip(tokens, types, strict=True)) if kind == 4), key=lambda x: -len(x[0]))
    byte = {int(s[3:5], 16): i for i, (s, kind) in enumerate(zip(tokens, types, strict=True)) if kind == 6}
    out, parts, at, start = [], [], 0, 0
    while at < len(text):
        found = next(((s, i) for s, i in user if text.startswith(s, at)), None)
        if found:
            parts += [text[start:at], found[1]]
            start = at = at + len(found[0])
        else:
            at += 1
    for part in parts + [text[start:]]:
        if isinstance(part, int):
            out.append(part)
            continue
        if not part:
            continue
        b = ((b" " if prefix else b"") + part).replace(b" ", SPACE.encode())
        units, i = [], 0
        while i < len(b):
            n = 1 if b[i] < 0xC0 else 2 if b[i] < 0xE0 else 3 if b[i] < 0xF0 else 4
            units.append(b[i:i + n])
            i += n
        while True:
            best = max(((scores[ids[x + y]], -k) for k, (x, y) in enumerate(zip(units, units[1:])) if x + y in ids), default=None)
            if best is None:
                break
            k = -best[1]
            units[k:k + 2] = [units[k] + units[k + 1]]
        for u in units:
            out += [ids[u]] if u in ids else [byte[x] for x in u]
    return out


def train_bpe():
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN35), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(byte_chars().values())
    t.train_from_iterator([WORDS] * 3, trainers.BpeTrainer(vocab_size=256 + 500, min_frequency=2, initial_alphabet=alphabet, show_progress=False))
    import json
    merges = [tuple(m) for m in json.loads(t.to_str())["model"]["merges"]]
    tokens = sorted(t.get_vocab(), key=t.get_vocab().get)
    # merges across the borders of pieces, so that a border that is missed is seen; and xx, of which xxx can have two
    level = byte_chars()
    for a, b in ((b"4", b"4"), (b"44", b"4"), (b"444", b"4"), (b"5", b"5"), (b"a", b"1"), (b"1", b"b"), (b"x", b"x"), (b"'", b"\xc5"),
                 (b"'\xc5", b"\xbf"), (b"'\xc5\xbf", b"t"), (b"'", b"S"), (b"'", b"R"), (b"'R", b"E"), (b"S", b"'"), (b"\n", b"\n"), (b" ", b"\n"), (b"\r", b"\n"),
                 (b"\n", b" "), (b"?", b"\r"), (b")", b" "), (b" ", b"("), (b" ", b" "), (b"\xcc", b"\x81"), (b"e", b"\xcc\x81"),
                 (b"\xcc\x81", b"x"), (b" ", b"\xcc\x81"), (b"\xc2", b"\xbd"), (b"\xc2\xbd", b"\xe2"), (b"\t", b"b"), (b"\n", b"a")):
        pair = tuple("".join(level[x] for x in s) for s in (a, b))
        if "".join(pair) not in tokens:
            merges.append(pair)
            tokens.append("".join(pair))
    return tokens + ["\u0120zebra", "zebra"], merges  # two that no merge gives


def train_spm():
    import io
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS.split("\n") * 3), model_writer=model, model_type="bpe", vocab_size=760, byte_fallback=True,
        character_coverage=0.985, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False,
        user_defined_symbols=[u.replace(" ", SPACE) for u in USER], minloglevel=2, num_threads=1)
    m = pb.ModelProto()
    m.ParseFromString(model.getvalue())
    for piece in m.pieces:  # equal scores (oioi), and a token with a space inside
        piece.score = float(int(piece.score) // 60)
    for piece in ("," + SPACE, "io", "oi"):
        assert piece not in [x.piece for x in m.pieces]
        m.pieces.add(piece=piece, score=-0.5, type=1)
    pieces = list(m.pieces)
    tokens, types = [x.piece for x in pieces], [x.type for x in pieces]
    # files have spaces in user-defined tokens
    tokens = [s.replace(SPACE, " ") if kind == 4 else s for s, kind in zip(tokens, types, strict=True)]
    encoders = []
    for prefix in (False, True):
        m.normalizer_spec.add_dummy_prefix = prefix
        t = sentencepiece.SentencePieceProcessor()
        t.LoadFromSerializedProto(m.SerializeToString())
        encoders.append(t.EncodeAsIds)
    return tokens, [x.score for x in pieces], types, encoders


def c_string(b):
    return '"%s"' % "".join(chr(x) if 32 <= x < 127 and x not in b'"\\?' else "\\%03o" % x for x in b)


def chats(plain, control):
    """Turns by template: text of system, user's text, ids of both, of the assistant's turn, of its beginning, of its end."""
    def cut(text, holes):
        # control tokens of the template are ids, all between them is one text
        out, fragment = [], ""
        for part in re.split("(%s)" % "|".join(re.escape(c) for c in CONTROL), text):
            if part in control:
                out, fragment = out + (plain(fragment) if fragment else []) + [control[part]], ""
            else:
                fragment += "".join(holes.get(x, x) for x in re.split("([\ue001\ue002])", part))
        return out + (plain(fragment) if fragment else [])
    s, u = "\ue001", "\ue002"
    chatml = ("<|im_start|>system\n%s<|im_end|>\n" % s, "<|im_start|>user\n%s<|im_end|>\n" % u, "<|im_start|>assistant\n", "%s<|im_end|>\n" % u)
    llama3 = ("<|start_header_id|>system<|end_header_id|>\n\n%s<|eot_id|>" % s, "<|start_header_id|>user<|end_header_id|>\n\n%s<|eot_id|>" % u,
              "<|start_header_id|>assistant<|end_header_id|>\n\n", "%s<|eot_id|>" % u)
    forms = {1: chatml, 2: chatml, 3: chatml, 4: llama3,
             5: (None, "<start_of_turn>user\n{S}%s<end_of_turn>\n" % u, "<start_of_turn>model\n", "%s<end_of_turn>\n" % u, "%s\n\n" % s),
             6: (None, "[INST] {S}%s [/INST]" % u, "", " %s </s>" % u, "<<SYS>>\n%s\n<</SYS>>\n\n" % s),
             7: (None, " [INST] {S}%s [/INST]" % u, "", " %s</s>" % u, "%s\n\n" % s),
             8: (None, "[INST] {S}%s[/INST]" % u, "", " %s</s>" % u, "%s\n\n" % s)}
    for name, form in forms.items():
        for system, text in ((None, " Hi <|im_end|></s> there\n"), ("Be <s>brief.  ", "\n\nWhat's 12345?")):
            holes = {s: system or "", u: text}
            if name in (4, 5, 6):
                holes = {k: v.strip() for k, v in holes.items()}
            user = form[1].replace("{S}", form[4] if system else "") if form[0] is None else (form[0] if system else "") + form[1]
            reply = form[2] + form[3]
            yield name, system, text, cut(user, holes), cut(reply, holes), cut(form[2], {}) if form[2] else plain(" "), cut(form[3].split(u)[1], {})


def golden(path):
    tokens, merges = train_bpe()
    first = len(tokens)
    control = {s: first + i for i, s in enumerate(CONTROL)}
    user = {s: first + len(CONTROL) + i for i, s in enumerate(USER)}
    all_bpe = [(s, 1, 0) for s in tokens] + [(s, 3, 0) for s in CONTROL] + [(s, 4, 0) for s in USER]

    def oracle(pre, whole, parse):
        known = tokens + CONTROL + USER  # ids of added tokens are those of the vocabulary
        return huggingface(known, merges, pre, USER + (CONTROL if parse else []), whole)
    texts = [t.encode() for t in TEXTS]
    lines = ["/* tokenizer_golden.h - small vocabularies, and ids of texts by Hugging Face's tokenizers and by sentencepiece; made by",
             "   tests/gen/tokenizer.py */",
             "typedef struct golden_token { const char *s; uint32_t length, type; float score; } golden_token;",
             "typedef struct golden_text { const char *s; uint32_t length; } golden_text;",
             "typedef struct golden_chat { uint32_t chat; const char *system, *text; uint32_t user, whole, reply, end; } golden_chat;"]

    def table(kind, name, rows, count=None):
        lines.append("static const %s %s[%d] = {" % (kind, name, count or len(rows)))
        lines.extend("    %s%s" % (row, "," if i + 1 < len(rows) else "") for i, row in enumerate(rows))
        lines.append("};")

    def packed(rows, width=110):
        out = [""]
        for row in rows:
            if len(out[-1]) + len(row) > width:
                out.append("")
            out[-1] += (", " if out[-1] else "") + row
        return out

    def ids_table(name, lists):
        flat = [str(x) for ids in lists for x in [len(ids)] + ids]
        table("uint16_t", name, packed(flat), len(flat))  # each: how many, and the ids

    def tokens_table(name, rows):
        cells = ["{ %s, %d, %d, %sf }" % (c_string(s.encode()), len(s.encode()), kind, repr(float(score))) for s, kind, score in rows]
        table("golden_token", name, packed(cells), len(cells))
    # the token of merge i is 256 + i; the test joins its string of those of both sides
    index = {s: i for i, s in enumerate(tokens)}
    assert [a + b for a, b in merges] == tokens[256:256 + len(merges)]
    tokens_table("golden_bpe", all_bpe[:256] + all_bpe[256 + len(merges):])
    table("uint16_t", "golden_merges", packed(str(index[x]) for merge in merges for x in merge), 2 * len(merges))
    table("golden_text", "golden_texts", ["{ %s, %d }" % (c_string(b), len(b)) for b in texts])
    table("golden_text", "golden_broken", ["{ %s, %d }" % (c_string(b), len(b)) for b in BROKEN])
    for pre in range(1, 6):
        encode = oracle(pre, False, False)
        ids_table("golden_ids_%d" % pre, [encode(t) for t in TEXTS])
    ids_table("golden_ids_whole", [oracle(3, True, False)(t) for t in TEXTS])
    ids_table("golden_ids_parsed", [oracle(3, False, True)(t) for t in TEXTS])
    ids_table("golden_ids_replaced", [oracle(3, True, False)(lenient(b)) for b in BROKEN])
    pieces, scores, types, encoders = train_spm()
    for prefix, encode in enumerate(encoders):
        # a space before each text between user-defined tokens, as llama.cpp has it; sentencepiece has it before the first
        for t in TEXTS:
            if not prefix or not any(u in t for u in USER):
                assert encode(t) == naive_spm(pieces, scores, types, t.encode(), prefix), t
        ids_table("golden_ids_spm%d" % prefix, [naive_spm(pieces, scores, types, t.encode(), prefix) for t in TEXTS]
                  + [naive_spm(pieces, scores, types, b, prefix) for b in BROKEN])
    tokens_table("golden_spm", list(zip(pieces, types, scores, strict=True)))
    rows, ids = [], []
    for name, system, text, *parts in chats(oracle(2, False, False), control):
        rows.append("{ %d, %s, %s, %s }" % (name, c_string(system.encode()) if system else "NULL", c_string(text.encode()), ", ".join(str(len(ids) + i) for i in range(4))))
        ids += parts
    table("golden_chat", "golden_chats", rows)
    ids_table("golden_chat_ids", ids)
    lines.append("#define GOLDEN_CONTROL %d /* the first control token of golden_bpe */" % first)
    open(path, "w").write("\n".join(lines) + "\n")


def main(a):
    if a[:1] == ["unicode"] and len(a) < 3:
        unicode(a[1] if a[1:] else os.path.join(HERE, "..", "..", "examples", "tokenizer_unicode.h"))
    elif a[:1] == ["golden"] and len(a) < 3:
        golden(a[1] if a[1:] else os.path.join(HERE, "..", "vectors", "tokenizer_golden.h"))
    elif a[:1] == ["text"] and 2 <= len(a) <= 4:
        text = make_text(int(float(a[2]) * 1e6) if a[2:] else 10000000, int(a[3]) if a[3:] else 1)
        open(a[1], "wb").write(text.encode())
    elif a[:1] == ["compare"] and len(a) in (4, 5):
        sys.exit(compare(a[1], a[2], a[3], a[4] if a[4:] else None) != 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
