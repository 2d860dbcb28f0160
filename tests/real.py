#!/usr/bin/env python3
"""real.py - the functions of bench/models.py, real.py and peers.py that need no model: markup to text, made files, outputs
of programs, tables, noise. The last line is "real: N passed, M failed". Noise is skipped without numpy."""
import contextlib
import os
import random
import struct
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "bench"))
import models
import peers

passed = failed = 0


def check(what, is_right):
    global passed, failed
    passed, failed = passed + bool(is_right), failed + (not is_right)
    if not is_right:
        print("FAIL real: " + what)


def refused(call, *arguments):
    try:
        call(*arguments)
    except models.Stop:
        return True
    return False


def texts():
    filler = "Words of a sentence that is long enough to be a paragraph. " * 4
    article = ("{{Infobox|a={{nested}}|b=1}}'''Name''' is [[a thing|one thing]] of [[things]]{{cite}}.<ref name=x>A note</ref> " + filler +
               "[[File:x.jpg|thumb|A picture of [[things]]]]\n== Heading ==\n* a list " + filler + "\n{|\n| a table " + filler + "\n|}\n")
    check("markup of an article", models.prose(article) == [("Name is one thing of things. " + filler).strip()])
    check("marks that do not match", models.without_nested("a}}b{{c", "{{", "}}") == "ab")
    archive = "<m xmlns='u'>" + "".join("<page><text>%s</text></page>" % ("Article %d. %s\n" % (i, filler) * 30) for i in range(4)) + "</m>"
    both = models.wikipedia_texts(archive)
    check("articles in turns", ["Article %d" % i in both[i % 2] and "Article %d" % i not in both[1 - i % 2] for i in range(4)] == [True] * 4)
    check("no more of an article than there should be", both[0].count("Article 0") == models.ARTICLE // len("Article 0. " + filler.strip()) == 16)
    with tempfile.TemporaryDirectory() as d:
        for name, text in (("a", "one\n" + filler + "\n"), ("b", filler + "\n" + filler + "other\n"), ("c", "one\n" + filler + "more\n")):
            models.save_text(os.path.join(d, name), text)
        check("texts that share a paragraph", refused(models.check_apart, os.path.join(d, "a"), os.path.join(d, "b")))
        check("texts that do not", not refused(models.check_apart, os.path.join(d, "a"), os.path.join(d, "c")))


def made_files():
    with tempfile.TemporaryDirectory() as d, open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stderr(nothing):
        source, path, runs = os.path.join(d, "source"), os.path.join(d, "path"), []

        def run(command):
            runs.append(command)
            models.save_text(path, str(len(runs)))

        def make(*words):
            models.made(path, ["by", *words], [source], "a file", run)
            return len(runs)

        models.save_text(source, "1")
        check("a file is made", make("a") == 1)
        check("and not again", make("a") == 1)
        check("but by another command", make("b") == 2 and make("b", "--thread", "1") == 3)
        check("threads make no other file", make("b", "--thread", "1", "--threads", "1") == 3 and make("b", "--thread", "1", "--threads", "2") == 3)
        models.save_text(source, "22")
        check("and of other sources", make("b") == 4)
        os.remove(path)
        check("and if it is gone", make("b") == 5)
        open(path + ".layer1", "w", encoding="utf-8").close()
        open(path + "0", "w", encoding="utf-8").close()
        check("what a run of another recipe left goes, but no other file", make("c") == 6 and not os.path.exists(path + ".layer1") and os.path.exists(path + "0"))
        program = os.path.join(d, "program")
        for text, keep, count in (("1", "", 7), ("1", "", 7), ("2", "1", 7), ("2", "", 8)):
            models.save_text(program, text)
            os.chmod(program, 0o755)
            os.environ["KEEP"] = keep
            models.made(path, [program], [source], "a file", run)
            check("a program that is the same, or another one", len(runs) == count)
        check("a program that fails", refused(models.made, path, ["by", "d"], [source], "a file", lambda c: models.output_of(["/no/such"])))
        check("a program that writes nothing", refused(models.made, path, ["by", "e"], [source], "a file", str))
        check("what it did not make counts as not made", make("d") == 9)


def outputs():
    check("lines of llmq", models.pairs("noise\nppl.ppl\t23.5\nppl.kld\t0.25\nppl.kld.99\t2\n") == {"ppl": 23.5, "kld": 0.25, "kld.99": 2})
    entry = "tensor     %s   %s    t4      group 64      4.250 bpw     %d bytes  t2 0.005\n"
    listing = entry % ("layers.0.w3", "1536 x 576", 470016) + entry % ("layers.11.wq", " 576 x 576", 176256)
    check("linear layers of a bundle", models.linear_of_bundle(
        entry % ("embed", "100 x 576", 999) + listing + "tensor layers.0.norm1 1 x 576  f32  2304 bytes\n") == (646272, 1536 * 576 + 576 * 576))
    check("a bundle without", refused(models.linear_of_bundle, "tensor embed 1 x 2 f32 8 bytes\n"))
    said = ("Mean PPL(Q)                   :  31.317310 ±   2.925\nMean PPL(base)                :  31.309\nMean    KLD:   0.166000 ±   0.004000\n"
            "Maximum KLD:   7.5\n99.9%   KLD:   3.5\n99.0%   KLD:   1.25\nMedian  KLD:   0.1\nSame top p: 74.900 ± 0.900 %\n")
    found = peers.divergence(said)
    check("llama-perplexity", found["ppl"] == 31.31731 and found["kld"] == 0.166 and found["kld.error"] == 0.004 and
          found["kld.99"] == 1.25 and abs(found["same"] - 0.749) < 1e-12)
    check("llama-perplexity that stopped", refused(peers.divergence, said.replace("99.0%", "")))
    bench = '{"n_prompt": 512, "n_gen": 0, "avg_ts": 430.5}\n{"n_prompt": 0, "n_gen": 64, "avg_ts": 160.25}\n'
    check("llama-bench", peers.rates_of("ggml", bench) == {"pp512.tps": 430.5, "tg64.tps": 160.25})
    check("llmq speed", peers.rates_of("ours", "speed.pp512.tps\t200.5\nspeed.tg64.tps\t60\n") == {"pp512.tps": 200.5, "tg64.tps": 60})
    with tempfile.TemporaryDirectory() as d:
        base = os.path.join(d, "base")
        with open(base, "wb") as f:
            f.write(struct.pack("<8s3I4i", b"_logits_", 512, 100, 4, 1, 2, 3, 4))
        check("windows of a base", models.check_windows(base, 4) == base and refused(models.check_windows, base, 5))
    check("labels", models.options_of("t4.128.feedback") == (["--format", "t4", "--group", "128"], True))
    check("a wrong label", refused(models.options_of, "t4.fast"))
    check("formats of plans", peers.plan_formats(4.25) == ("t4", "g5") and peers.plan_formats(3) == ("t2", "t3") and not peers.plan_formats(2))
    row = {"label": "t4", "bytes": 86896192, "bpw": 4.25, "ppl": 31.5, "kld": 0.166, "kld.error": 0.004, "kld.99": 1.25, "same": 0.749}
    check("a table", models.table([row], "k", ())[1].split() == ["t4", "86896192", "4.250", "0.16600", "0.00400", "1.2500", "74.9", "31.500"])
    os.environ["TSV"] = "1"
    check("its keys", models.table([row], "real.x", ("kld", "bytes", "pp512.tps")) == ["real.x.t4.kld\t0.166", "real.x.t4.bytes\t86896192"])
    del os.environ["TSV"]


def noise():
    try:
        import numpy
    except ImportError:
        print("skipped: noise, numpy is not installed (Debian: python3-numpy)")
        return
    draw = random.Random(1)
    steps = numpy.array([2.0 ** draw.randrange(-12, 4) for _ in range(256)], numpy.float32).reshape(-1, 1)
    codes = numpy.array([draw.randrange(16) - 7.5 for _ in range(256 * 16)], numpy.float32).reshape(-1, 16)
    codes[:, 0], codes[:, 1] = 0.5, 1.5  # neighbours a step apart
    weights = (codes * steps).reshape(-1)
    generator = numpy.random.default_rng(1)
    moved = numpy.abs((models.noisy(weights, generator) - weights).reshape(-1, 16)) / steps
    check("noise is at most half a step", moved.max() <= 0.5 + 1e-5)
    check("and uniform", abs(moved.mean() - 0.25) < 0.01 and moved.max() > 0.49)
    check("equal neighbours keep their values", (models.noisy(numpy.full(32, 0.1, numpy.float32), generator) == numpy.float32(0.1)).all())


for part in (texts, made_files, outputs, noise):
    part()
print("real: %d passed, %d failed" % (passed, failed))
sys.exit(failed > 0)
