#!/usr/bin/env python3
"""Texts through the tiny models of tests/vectors/lm: conversations, and log-probabilities by llama.cpp.

    lm_texts.py                    write base.txt, smollm2.chat and smollm2.own to tests/vectors/lm
    lm_texts.py base PROGRAM       write NAME.kld for BASE by llama.cpp's llama-perplexity, which is PROGRAM

smollm2.chat has a line for each conversation in ChatML, its fields with tabs between them:
    most tokens of an answer, the context if that is less; tokens that the model reads; the answers in hexadecimal,
    a newline behind each; what is said, a field for each turn
Ids come from Hugging Face's tokenizers (PyPI), answers from lm_models.forward(), the likeliest token each time. A token is
only taken if it is well ahead of the next, so that rounding does not matter.

smollm2.own has the loss of base.txt, which begins without BOS: how many tokens follow another one, and the mean of their negative
log-likelihoods, in windows of the context. It is of forward(), too.

NAME.kld is what this makes of an F32 copy of the model (lm_models.py says why):
    llama-perplexity -m NAME.gguf -f base.txt --kl-divergence-base NAME.kld -c 16 -fa off -ctk f32 -ctv f32
Of the models of BASE llama2 begins texts with BOS, and granite does not. Neither has GELU, which llama.cpp rounds.
"""
import os
import subprocess
import sys
import tempfile

import lm_models
import tokenizer

BASE = ("granite", "llama2")
TEXT = "the wine here at the inn: and then the heron ate a tern, or two. On the wet rain went an earl in red and white.\n"
AHEAD = 0.01             # least difference of the two largest logits
CONTEXT = 64


class Model:
    def __init__(self, name):
        v = lm_models.vocabulary("smollm")
        self.m = lm_models.read(os.path.join(lm_models.OUT, name + ".gguf"))
        self.tokens = v["tokens"]
        ordinary = [t for t, kind in zip(self.tokens, v["token_type"], strict=True) if kind == 1]
        merges = [tuple(pair.split(" ")) for pair in v["merges"]]
        self.encode = tokenizer.huggingface(ordinary, merges, tokenizer.PRE_OF[v["pre"]])
        self.ends = {self.tokens.index("<|im_end|>"), self.tokens.index("<|endoftext|>")}
        self.byte = {c: b for b, c in tokenizer.byte_chars().items()}
        self.control = v["token_type"]

    def turn(self, ids, said):
        """Ids of a turn of the user, and of the beginning of an answer; before it the end of the last answer."""
        begin, end = self.tokens.index("<|im_start|>"), self.tokens.index("<|im_end|>")
        line = self.encode("\n")
        new = [end] + line if ids else []
        new += [begin] + self.encode("user\n" + said) + [end] + line
        return new + [begin] + self.encode("assistant\n")

    def next(self, ids):
        """None: two tokens are too near."""
        order = sorted(enumerate(lm_models.forward(self.m, ids)[-1]), key=lambda x: -x[1])
        return order[0][0] if order[0][1] - order[1][1] > AHEAD else None

    def text(self, ids):
        return bytes(self.byte[c] for i in ids if self.control[i] == 1 for c in self.tokens[i])

    def answer(self, ids, most):
        """(ids of an answer without its end, whether it has one), or None."""
        made = []
        while len(made) < most:
            token = self.next(ids + made)
            if token is None:
                return None
            if token in self.ends:
                return made, True
            made.append(token)
            if len(ids) + len(made) > CONTEXT:
                break
        return made, False

    def converse(self, said, most):
        """(tokens read in turns, output, whether each answer had an end), or None."""
        ids, read, out, ended, unread = [], 0, b"", [], []
        for text in said:
            new = unread + self.turn(ids, text)
            ids, read = ids + new, read + len(new)
            found = self.answer(ids, most) if len(ids) <= CONTEXT else None
            if found is None:
                return None
            made, has_end = found
            out += self.text(made) + b"\n"
            ended.append(has_end)
            unread = [] if has_end else made[-1:]    # it is drawn, and read with the next turn
            ids = ids + (made if has_end else made[:-1])
        return read, out, ended


def words():
    letters = "tern inn the wine and at heron ran".split()
    return [a + " " + b for a in letters for b in letters]


def chats(path):
    model, lines = Model("smollm2"), []
    plans = ((9, lambda ended: ended == [True, False]), (3, lambda ended: ended == [False, False]), (CONTEXT, lambda ended: ended == [False]))
    for most, wanted in plans:
        turns = 1 if most == CONTEXT else 2
        for i, first in enumerate(words()):
            said = [first, words()[-1 - i]][:turns]
            found = model.converse(said, most)
            if found and wanted(found[2]):
                lines.append("%d\t%d\t%s\t%s\n" % (most, found[0], found[1].hex(), "\t".join(said)))
                break
        else:
            raise SystemExit("no conversation of %d tokens an answer is as it should be" % most)
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(lines)


def own(path):
    model, total = Model("smollm2"), 0.0
    ids = model.encode(TEXT)
    for at in range(0, len(ids) - 1, CONTEXT):
        y = lm_models.forward(model.m, ids[at:min(at + CONTEXT, len(ids) - 1)])
        y = y - y.max(-1, keepdims=True)
        y -= lm_models.np.log(lm_models.np.exp(y).sum(-1, keepdims=True))
        total -= sum(row[target] for row, target in zip(y, ids[at + 1:at + 1 + len(y)], strict=True))
    with open(path, "w", encoding="utf-8") as f:
        f.write("%d %.7f\n" % (len(ids) - 1, total / (len(ids) - 1)))


def base(program):
    text = os.path.join(lm_models.OUT, "base.txt")
    for spec in lm_models.MODELS:
        if spec["name"] in BASE:
            with tempfile.TemporaryDirectory() as d:
                copy = os.path.join(d, "copy.gguf")
                lm_models.write_gguf(copy, spec, lm_models.make(spec), f32=True)
                subprocess.run([program, "-m", copy, "-f", text, "--kl-divergence-base", os.path.join(lm_models.OUT, spec["name"] + ".kld"),
                                "-c", "16", "-fa", "off", "-ctk", "f32", "-ctv", "f32", "-t", "1"], check=True, capture_output=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        with open(os.path.join(lm_models.OUT, "base.txt"), "w", encoding="utf-8") as f:
            f.write(TEXT)
        chats(os.path.join(lm_models.OUT, "smollm2.chat"))
        own(os.path.join(lm_models.OUT, "smollm2.own"))
    elif len(sys.argv) == 3 and sys.argv[1] == "base":
        base(sys.argv[2])
    else:
        sys.exit(__doc__)
