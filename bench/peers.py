#!/usr/bin/env python3
"""peers.py - `make peers`: our formats beside llama.cpp's, on the same weights and text in one run

The table has the KL divergence from the original against file size and bits of the linear layers: types of ggml
with and without an importance matrix of the calibration text, and ours without calibration, with error feedback,
and planned to be no larger than a file of ggml. All are held against log-probabilities that llama-perplexity
wrote for the original in F32. Then come tokens a second. The embedding, which is the classifier, too, has 8 bits
in all files. llama.cpp is built from the source package of llama-cpp-python in build/peers, unless PEERS_BIN
names a directory with its programs. A chart goes to build/real/peers.svg. With TSV=1: lines
peers.MODEL.{ours,ggml}.TYPE.{kld,bytes,bpw,pp512.tps,tg64.tps,t2.pp512.tps,t2.tg64.tps}<TAB>value.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile

import models
from models import BUILD, STORE, THREADS, TOOL, WINDOW

TYPES = "Q8_0,Q6_K,Q5_K_M,Q4_K_M,IQ4_XS,IQ4_NL,Q4_0,Q3_K_M,IQ3_XXS,Q2_K,IQ2_XXS"
LABELS = "g8,g6,g5,t4,t4.feedback,g4,g4.feedback,t3,t3.feedback,t2,t2.feedback"
PLANNED = "Q4_K_M,IQ4_XS,Q3_K_M,IQ3_XXS,Q2_K"
PROGRAMS = ("llama-quantize", "llama-imatrix", "llama-perplexity", "llama-bench")
STEPS = (("t2", 2.25), ("t3", 3.25), ("t4", 4.25), ("g5", 5.25), ("g6", 6.25), ("g8", 8.25))  # of plans: bits a weight
RATES = ("pp512", "tg64")


# ---- llama.cpp -----------------------------------------------------------------------------------

def build_programs():
    """The directory with llama.cpp's programs, which are built unless they are there."""
    folder, binaries = os.path.join(BUILD, "peers"), os.path.join(BUILD, "peers", "build", "bin")
    source = models.package("llama-cpp-python", ".tar.gz")
    cmake = ["cmake"] if shutil.which("cmake") else [models.python_with("cmake"), "-m", "cmake"]
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_SERVER=OFF",
               "-DLLAMA_OPENSSL=OFF"]

    def build(_):
        unpacked = os.path.join(folder, "source")
        if not os.path.exists(unpacked):
            with tarfile.open(source) as t:
                t.extractall(unpacked + ".new")
            os.rename(unpacked + ".new", unpacked)
        tree = os.path.join(unpacked, os.listdir(unpacked)[0], "vendor", "llama.cpp")
        models.output_of([*cmake, "-S", tree, "-B", os.path.join(folder, "build"), *options])
        models.output_of([*cmake, "--build", os.path.join(folder, "build"), "-j", str(THREADS), "--target", *PROGRAMS])

    os.makedirs(folder, exist_ok=True)
    last = os.path.join(binaries, PROGRAMS[-1])
    models.made(last, ["llama.cpp", *options], [source], "llama.cpp: building (half an hour)", build)
    return binaries


def programs():
    folder = os.path.abspath(os.environ.get("PEERS_BIN") or build_programs())
    for p in PROGRAMS:
        if not os.path.exists(os.path.join(folder, p)):
            raise models.Stop("%s has no %s" % (folder, p))
    return {p: os.path.join(folder, p) for p in PROGRAMS}


def version_of(program):
    said = subprocess.run([program["llama-perplexity"], "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    found = re.search(r"version: (\S+)", said.stdout.decode(errors="replace"))
    return found.group(1) if found else "of unknown version"


def divergence(text):
    """The values in the output of llama-perplexity --kl-divergence, by the names that `llmq ppl` has for them."""
    values = {}
    number = r" *([-\d.]+)"
    for key, pattern, unit in (("ppl", r"Mean PPL\(Q\) *:" + number, 1), ("kld", "Mean +KLD:" + number, 1),
                               ("kld.error", r"Mean +KLD: *[-\d.]+ *±" + number, 1),
                               ("kld.99", r"99\.0% +KLD:" + number, 1), ("same", "Same top p:" + number, 0.01)):
        found = re.search(pattern, text)
        if not found:
            raise models.Stop("the output of llama-perplexity has no line %s" % pattern)
        values[key] = unit * float(found.group(1))
    return values


def importance(model, calib, tokens, program):
    path = model.file("imatrix-%d.gguf" % tokens)
    command = [program["llama-imatrix"], "-m", model.original, "-f", calib, "-o", path, "-c", str(WINDOW), "--chunks",
               str(max(1, tokens // WINDOW)), "--threads", str(THREADS)]
    return models.made(path, command, [model.original, calib], model.name + ": importance matrix")


def ggml_row(model, kind, matrix, base, program):
    """The row of a type, with an importance matrix unless that is None; None for a type that needs one."""
    label, weighted = (kind + ".imatrix", ["--imatrix", matrix]) if matrix else (kind, [])
    path = model.file(label + ".gguf")
    command = [program["llama-quantize"], *weighted, "--token-embedding-type", "q8_0", model.original, path, kind]
    try:
        models.made(path, command, [model.original, *weighted[1:]], "%s: %s: quantizing" % (model.name, label))
    except models.Stop as stop:
        if matrix or not re.search("requires an imatrix|importance matrix", str(stop)):
            raise
        models.say("%s: llama.cpp makes no %s without an importance matrix" % (model.name, kind))
        return None
    command = [program["llama-perplexity"], "-m", path, "--kl-divergence-base", base, "--kl-divergence", "--threads",
               str(THREADS)]
    return models.row_of(model, label, path, base, command, divergence,
                         lambda: [int(n) for n in models.by_packages(["linear", path]).split()])


def ggml_rows(model, calib, base, options, program):
    """A row for each type without importance matrix, and one with. Q8_0 has one row, as it does not look at a matrix."""
    rows = []
    for kind in options.types.split(","):
        rows.append(ggml_row(model, kind, None, base, program))
        if kind != "Q8_0":
            matrix = importance(model, calib, options.calib_tokens, program)
            rows.append(ggml_row(model, kind, matrix, base, program))
    return [row for row in rows if row]


# ---- ours ----------------------------------------------------------------------------------------

def plan_formats(bits):
    """The two formats for a plan of so many bits a weight: the largest that fits and the next; None if none does."""
    for (low, least), (high, most) in zip(STEPS, STEPS[1:]):
        if least <= bits < most:
            return low, high
    return None


def planned(model, kind, size, bits, sums, base):
    """The row of a plan for a file of `size` bytes, which leaves `bits` a weight of the linear layers; None if there is none."""
    pair, label = plan_formats(bits), "plan." + kind
    if not pair:
        models.say("%s: no plan for the size of %s" % (model.name, kind))
        return None
    recipe = model.file(label + ".recipe")
    command = [TOOL, "plan", model.original, "--size", str(size), "--rule", "carried", "--hessian", sums, "--formats",
               ",".join(pair), "--low", pair[0], "--high", pair[1], "--errors", "gauss", "--embed", "g8", "--out", recipe]
    models.made(recipe, command, [model.original, sums], "%s: %s: planning" % (model.name, label))
    return models.our_row(model, label, models.bundle(model, label, ["--recipe", recipe], sums, [recipe]), base)


def our_rows(model, calib, base, options, peers):
    """A row for each label, and for plans no larger than ggml's files of a type, without importance matrix and with."""
    def sums():
        return models.sums_of(model, calib, options.calib_tokens)

    rows = []
    for label in options.labels.split(","):
        words, fed = models.options_of(label)
        rows.append(models.our_row(model, label, models.bundle(model, label, words, sums() if fed else None), base))
    linear, weights = models.linear_of_bundle(models.output_of([TOOL, "inspect", rows[0]["path"]]))
    other = rows[0]["bytes"] - linear
    sizes = {}
    for row in peers:
        kind = row["label"].split(".")[0]
        sizes[kind] = min(row["bytes"], sizes.get(kind, row["bytes"]))
    for kind in options.planned.split(",") if options.planned else []:
        if kind in sizes:
            rows.append(planned(model, kind, sizes[kind], 8 * (sizes[kind] - other) / weights, sums(), base))
    return [row for row in rows if row]


# ---- speed ---------------------------------------------------------------------------------------

def speed_command(row, threads, program):
    if row["kind"] == "ours":
        return [TOOL, "speed", row["path"], "--prompt-tokens", "512", "--tokens", "64", "--threads", str(threads),
                "--key", "speed"]
    return [program["llama-bench"], "-m", row["path"], "-p", "512", "-n", "64", "-t", str(threads), "-r", "1",
            "-o", "jsonl"]


def rates_of(kind, text):
    """Tokens a second {"pp512.tps", "tg64.tps"} from the output of one of the two programs."""
    if kind == "ours":
        return models.pairs(text)
    lines = [json.loads(line) for line in text.split("\n") if line.startswith("{")]
    return {("pp%d.tps" % x["n_prompt"] if x["n_prompt"] else "tg%d.tps" % x["n_gen"]): x["avg_ts"] for x in lines}


def add_speeds(model, rows, options, program):
    """Adds tokens a second to the rows: medians over turns, so that a slow moment of the machine meets all files alike.

    Calibration changes no speed, so calibrated files are left out.
    """
    chosen = [row for row in rows if not re.search(r"\.(imatrix|feedback)$|^plan\.", row["label"])]
    counts = [t for t in (1, 2) if t <= (os.cpu_count() or 1)]
    calls = [(row, t, speed_command(row, t, program)) for row in chosen for t in counts]

    def measure(_):
        seen = {}
        for turn in range(options.turns):
            models.say("%s: speed, turn %d of %d ..." % (model.name, turn + 1, options.turns))
            for row, t, command in calls:
                for name, value in rates_of(row["kind"], models.output_of(command, TSV="1")).items():
                    key = "%s %s %s%s" % (row["kind"], row["label"], "t2." if t == 2 else "", name)
                    seen.setdefault(key, []).append(value)
        return {key: statistics.median(values) for key, values in seen.items()}

    if options.turns == 0 or not calls:
        return
    whole = [TOOL, str(options.turns), *[" ".join(command) for _, _, command in calls]]
    values = model.measured("speed", whole, [row["path"] for row in chosen], "speed", measure)
    for key, value in values.items():
        kind, label, name = key.split(" ")
        for row in chosen:
            if (row["kind"], row["label"]) == (kind, label):
                row[name] = value


def speed_table(rows):
    names = [threads + rate + ".tps" for threads in ("", "t2.") for rate in RATES]
    lines = ["%-26s %8s %10s %10s %12s %12s" % ("tokens a second", "bits/w", *RATES, *["2 x " + r for r in RATES])]
    for row in rows:
        if names[0] in row:
            lines.append("%-26s %8.3f" % ("%s %s" % (row["kind"], row["label"]), row["bpw"]) +
                         "".join(" %*.1f" % (10 if n in names[:2] else 12, row[n]) if n in row else "" for n in names))
    return lines if len(lines) > 1 else []


# ---- the chart -----------------------------------------------------------------------------------

SERIES = (  # kind, labels, how, colour, shape, where labels stand, title
    ("ggml", r"^[^.]*$", "points", "#7d8793", 5, "", "llama.cpp"),
    ("ggml", r"\.imatrix$|^Q8_0$", "points", "#b04a2f", 5, "left offset 0.8,0.4", "llama.cpp, importance matrix"),
    ("ours", r"^g\w+$", "linespoints", "#6aa5d9", 7, "right offset -0.8,-0.5", "llmq grids, no calibration"),
    ("ours", r"^t\w+$", "linespoints", "#1f5fa8", 7, "right offset -0.8,-0.5", "llmq trellises, no calibration"),
    ("ours", r"^t\w+\.feedback$", "linespoints", "#3d8f3a", 9, "right offset -0.8,-0.5",
     "llmq trellises, calibrated (error feedback)"),
    ("ours", r"^plan\.", "points", "#d99a2b", 13, "", "llmq, calibrated, planned"))


def panel(name, rows):
    """The commands of a model's panel."""
    plots, data = [], []
    for kind, pattern, how, colour, shape, side, title in SERIES:
        points = sorted((row["bytes"] / 1e6, row["kld"], row["label"].split(".")[0]) for row in rows
                        if row["kind"] == kind and re.search(pattern, row["label"]) and row["kld"] > 0)
        if not points:
            continue
        block = "$m_%s%d" % (re.sub(r"\W", "_", name), len(data))
        data.append("%s << EOD\n%s\nEOD" % (block, "\n".join("%g %g %s" % p for p in points)))
        plots.append('%s using 1:2 with %s pt %d ps 0.8 lc rgb "%s" title "%s"' % (block, how, shape, colour, title))
        if side:
            plots.append('%s using 1:2:3 with labels %s font ",10" tc rgb "%s" notitle' % (block, side, colour))
    return data + ['set title "%s"' % name, "plot " + ", ".join(plots)]


def chart(tables, path):
    """Draws divergence against file size, a panel for each model. tables: (model's name, rows)."""
    if not shutil.which("gnuplot"):
        models.say("no chart: gnuplot is not installed (Debian: gnuplot-nox)")
        return
    script = ['set term svg size 760,%d font "sans,13" background "white" noenhanced' % (430 * len(tables)),
              'set output "%s"' % path, "set multiplot layout %d,1" % len(tables), 'set xlabel "file, MB"',
              'set ylabel "KL from the original, nats a token"',
              'set logscale y; set yrange [*:30]; set format y "%g"; set grid; set offsets graph 0.05, graph 0.05',
              'set key top right Left reverse samplen 2 font ",11"']
    for name, rows in tables:
        script += panel(name, rows)
    subprocess.run(["gnuplot"], input="\n".join([*script, "unset multiplot", ""]).encode(), check=True)
    models.say("chart: " + path)


def rows_of(model, text, calib, options, program):
    """All rows of a model, the largest file first."""
    base = model.file("llama-base-%d.kld" % options.windows)
    command = [program["llama-perplexity"], "-m", model.original, "-f", text, "-c", str(WINDOW), "--chunks",
               str(options.windows), "--kl-divergence-base", base, "--threads", str(THREADS)]
    models.made(base, command, [model.original, text], "%s: the original by llama-perplexity" % model.name)
    models.check_windows(base, options.windows)
    peers = [dict(row, kind="ggml") for row in ggml_rows(model, calib, base, options, program)]
    ours = [dict(row, kind="ours") for row in our_rows(model, calib, base, options, peers)]
    rows = sorted(ours + peers, key=lambda row: -row["bytes"])
    add_speeds(model, rows, options, program)
    return rows


def lines_of(name, rows):
    """A model's tables, or with TSV=1 its keys."""
    if not models.tsv():
        named = [dict(row, label=row["kind"] + " " + row["label"]) for row in rows]
        return [name, *models.table(named, "", ()), "", *speed_table(rows), ""]
    keys = ["kld", "bytes", "bpw"] + [t + r + ".tps" for t in ("", "t2.") for r in RATES]
    return [line for kind in ("ours", "ggml")
            for line in models.table([row for row in rows if row["kind"] == kind], "peers.%s.%s" % (name, kind), keys)]


def main():
    p = models.arguments(__doc__.split("\n", maxsplit=1)[0], windows=8, tokens=8192)
    p.add_argument("--types", default=TYPES, help="of ggml (%s)" % TYPES)
    p.add_argument("--labels", default=LABELS, help="of ours: FORMAT[.GROUP][.feedback] (%s)" % LABELS)
    p.add_argument("--planned", default=PLANNED, help="plans as large as ggml's files of these types (%s)" % PLANNED)
    p.add_argument("--turns", type=int, default=3, help="of the measurement of speed, 0: none (3)")
    options = p.parse_args()
    models.fetch(options)
    text, calib = models.texts_of(options)
    program = programs()
    if not models.tsv():
        print("%s; llama.cpp %s." % (models.machine(), version_of(program)))
        print("\n".join(models.conditions(options, text, calib)))
        print("Embedding and classifier in Q8_0 and g8. Activations have 8 bits, as both run usually. imatrix, feedback, "
              "plan:\ncalibrated. plan.TYPE: no larger than that file. Rows are in the order of the files' sizes.\n")
    tables = []
    for name in options.model or models.MODELS:
        model = models.Model(name, options.seed)
        tables.append((model.name, rows_of(model, text, calib, options, program)))
        print("\n".join(lines_of(*tables[-1])), flush=True)
    chart(tables, os.path.join(STORE, "peers.svg"))


if __name__ == "__main__":
    sys.exit(models.guarded("make peers", main))
