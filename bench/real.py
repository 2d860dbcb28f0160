#!/usr/bin/env python3
"""real.py - `make real`: real models from PyPI, or a GGUF file, quantized, measured and talked to

The original of a comparison is the model with uniform noise of half a quantization step added, since what PyPI
has is quantized already (bench/models.py). One table for each model; with TSV=1 lines
real.MODEL.LABEL.{kld,bytes,bpw,ppl}<TAB>value.
"""
import os
import sys

import models
from models import TOOL, WINDOW

LABELS = "t4,t4.feedback,g4,t3,t3.feedback,t2,t2.feedback"
PROMPT = "What is the capital of France?"


def base_of(model, text, windows):
    """The original's log-probabilities on the windows."""
    path = model.file("base-%d.kld" % windows)
    command = [TOOL, "ppl", model.original, "--text", text, "--tokens", str(windows * WINDOW), "--threads",
               str(models.THREADS), "--save-base", path]
    models.made(path, command, [model.original, text], "%s: the original on %d windows" % (model.name, windows))
    return models.check_windows(path, windows)


def report(model, text, calib, options):
    """The lines of a model's table and chat."""
    base = base_of(model, text, options.windows)
    rows, talker = [], None
    for label in options.labels.split(","):
        words, fed = models.options_of(label)
        path = models.bundle(model, label, words, models.sums_of(model, calib, options.calib_tokens) if fed else None)
        rows.append(models.our_row(model, label, path, base))
        talker = path if talker is None or label == "t4.feedback" else talker
    lines = models.table(rows, "real." + model.name, ("kld", "bytes", "bpw", "ppl"))
    if models.tsv():
        return lines
    try:
        said = models.output_of([TOOL, "chat", talker, "--prompt", options.prompt, "--length", "60"]).strip()
    except models.Stop as stop:  # a model without a chat template, for one
        said = str(stop).split("\n")[-1].strip()
    return [model.name, *lines, "", "%s, asked: %s" % (os.path.basename(talker), options.prompt), said, ""]


def main():
    p = models.arguments(__doc__.split("\n", maxsplit=1)[0], windows=4, tokens=4096)
    p.add_argument("--labels", default=LABELS, help="FORMAT[.GROUP][.feedback] with commas between them (%s)" % LABELS)
    p.add_argument("--prompt", default=PROMPT, help="what the model is asked (%s)" % PROMPT)
    options = p.parse_args()
    models.fetch(options)
    text, calib = models.texts_of(options)
    if not models.tsv():
        print("\n".join([models.machine() + ".", *models.conditions(options, text, calib), ""]))
    for name in options.model or models.MODELS:
        print("\n".join(report(models.Model(name, options.seed), text, calib, options)), flush=True)


if __name__ == "__main__":
    sys.exit(models.guarded("make real", main))
