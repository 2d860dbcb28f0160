#!/usr/bin/env python3
"""same.py - checks that two trees compile to the same code, except for the names of symbols

It is a tool for renaming and moving code, and no part of the gate.

    tests/same.py [-l] OLD NEW                   OLD, NEW: directories with llmq.h and llmq_simd.h
    tests/same.py [-l] OLD NEW CC FLAG...        another compiler than those of COMPILERS; -l: which functions

Each installed compiler translates the implementation to assembler. An item is a function, or a table
that has a name. The text of an item includes its alignment, the kind of its section and its linkage.
In the text
    a label is replaced by its position in the item,
    a constant without a name by its content,
    another item by a number: in the order of first use,
    and an external symbol (memcpy) is kept.
Two items are equal if their texts are equal and the items that they use correspond. So names and
order of functions, tables, constants and labels do not matter; a changed constant or branch does.
Items correspond by content first, then by name.

For each compiler the numbers of functions and tables are printed that are equal, different, or in one
tree only. The exit status is 1 if any item is not equal.
"""
import collections
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

COMPILERS = [
    ("gcc -O2, x86-64", ["gcc", "-O2", "-fno-pie"]),
    ("arm-none-eabi-gcc -O2, Cortex-M4", ["arm-none-eabi-gcc", "-O2", "-mcpu=cortex-m4", "-mthumb",
                                          "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-fno-section-anchors"]),
    ("clang -O2, wasm32", ["clang", "-O2", "--target=wasm32", "-ffreestanding", "-msimd128", "-fno-verbose-asm",
                           "-DLLMQ_MEMCPY=__builtin_memcpy", "-DLLMQ_MEMSET=__builtin_memset"]),
]
COMMON = ["-S", "-g0", "-fno-asynchronous-unwind-tables", "-ffunction-sections", "-fdata-sections"]
NAME = re.compile(r'[A-Za-z_.$][\w.$]*')
LABEL = re.compile(r'^("[^"]+"|[A-Za-z_.$][\w.$]*):')
IGNORED = re.compile(r"\s*(?:[#@]|\.(file|ident|loc|cfi_\w+|hidden|weak|addrsig\w*|eabi_attribute|syntax|thumb"
                     r"|thumb_func|arch|arch_extension|cpu|fpu|code|no_dead_strip|globa?l|type)\b)")
SECTION = re.compile(r"\.(text\.unlikely|text|rodata\.str[\d.]+|rodata\.cst\d+|rodata|data\.rel\.ro\.local"
                     r"|data\.rel\.ro|data|bss)")


class Item:
    def __init__(self, name, section, align):
        self.name, self.section, self.align = name, section, align
        self.lines, self.places = [], 0
        self.is_code, self.is_global = section.startswith(".text"), False
        self.text = self.uses = None


def kind_of(section):
    """The section without the name that -ffunction-sections and -fdata-sections append."""
    m = SECTION.match(section)
    return "." + m.group(1) if m else section


class Assembler:
    """The output of a compiler: named items, constants without a name, labels of code (label -> item and position)."""

    def __init__(self, text):
        self.items, self.constants, self.labels = {}, {}, {}
        self.public = set(re.findall(r"^\s*\.globa?l\s+(\S+)", text, re.M))
        section, align, item = ".text", "", None
        begun = {} # the function of a section: it goes on after a jump table in another section
        for line in text.split("\n"):
            line = line.rstrip()
            if not line or IGNORED.match(line):
                continue
            m = re.match(r"\s*\.(section|text|data|bss)\b\s*([^,\s]*)", line)
            if m:
                section = m.group(2) if m.group(1) == "section" else "." + m.group(1)
                item = begun.get(section)
                continue
            m = re.match(r"\s*\.size\s+([^,\s]+)", line)
            if m:
                item = None
                begun = {s: i for s, i in begun.items() if i.name != m.group(1)}
                continue
            m = re.match(r"\s*\.(?:set|equ)\s+([^,\s]+)\s*,\s*(.*)", line)
            if m and not m.group(1).startswith(".L"):
                alias = self.items[m.group(1)] = Item(m.group(1), ".text", "")
                alias.lines.append("alias " + m.group(2))
                continue
            code = section.startswith(".text")
            if re.match(r"\s*\.(p2align|align|balign)\b", line) and not (code and item):
                align, item = line.strip(), None
                continue
            m = LABEL.match(line)
            if m:
                name = m.group(1)
                if name.startswith(".L") and code and item:
                    self.labels[name] = (item, item.places)
                    item.places += 1
                    item.lines.append("label:")
                    continue
                item, align = Item(name, section, align), ""
                if not name.startswith(".L"):
                    self.items[name] = item
                    if code:
                        begun[section] = item
                elif not code:
                    self.constants[name] = item
                else:
                    raise ValueError("label %s is in no function" % name)
                continue
            if item:
                item.lines.append(re.sub(r"\s+", " ", line.strip()))
        for item in list(self.items.values()):
            item.is_global = item.name in self.public
            item.text, item.uses = self.normal(item)

    def normal(self, item):
        """The text of an item, and the items that it uses in order of their first use."""
        uses, order, out = [], {}, [kind_of(item.section), item.align, str(item.is_global)]

        def symbol(name):
            if name not in order:
                order[name] = len(uses)
                uses.append(name)
            return "<%d>" % order[name]

        def add(lines, owner, depth):
            for line in lines:
                if re.match(r"\.(string|ascii|asciz)\b", line):
                    out.append(line)
                    continue
                out.append(NAME.sub(lambda m: replace(m.group(), owner, depth), line))

        def replace(name, owner, depth):
            if name in self.labels:
                of, place = self.labels[name]
                return "<label %s %d>" % ("here" if of is item else symbol(of.name), place)
            if name in self.items:
                return "<here>" if name == item.name else symbol(name)
            if name in self.constants:
                constant = self.constants[name]
                if depth > 8:
                    return "<deep>"
                out.append("constant %s %s" % (kind_of(constant.section), constant.align))
                add(constant.lines, owner, depth + 1)
                out.append("end")
                return "<constant>"
            return name

        add(item.lines, item, 0)
        return "\n".join(out), uses

    def classes(self):
        """name -> a hash of the item and of all that it uses, at any depth."""
        now = {n: hashlib.sha1(i.text.encode()).hexdigest() for n, i in self.items.items()}
        for _ in range(64): # more than any chain of calls is long
            joined = {n: now[n] + "".join(now[u] for u in i.uses) for n, i in self.items.items()}
            now = {n: hashlib.sha1(text.encode()).hexdigest() for n, text in joined.items()}
        return now


def match(old, new):
    """old name -> new name, by content including all that is used; then by name, by text alone, by position of use."""
    pairs, taken = {}, set()

    def pair(a, b):
        if a not in pairs and b not in taken:
            pairs[a] = b
            taken.add(b)
            return True
        return False

    def groups(keys):
        by = collections.defaultdict(list)
        for name in sorted(keys):
            by[keys[name]].append(name)
        return by

    a, b = groups(old.classes()), groups(new.classes())
    for key, names in a.items():
        others = b.get(key, [])
        for n in names:
            if n in others:
                pair(n, n)
        for n, o in zip([n for n in names if n not in pairs], [o for o in others if o not in taken]):
            pair(n, o)
    for n in old.items:
        if n in new.items:
            pair(n, n)
    a = groups({n: i.text for n, i in old.items.items() if n not in pairs})
    b = groups({n: i.text for n, i in new.items.items() if n not in taken})
    for key, names in a.items():
        if len(names) == len(b.get(key, [])) == 1:
            pair(names[0], b[key][0])
    more = True
    while more:
        more = False
        for n, o in list(pairs.items()):
            if old.items[n].text == new.items[o].text:
                for u, v in zip(old.items[n].uses, new.items[o].uses):
                    more |= pair(u, v)
    return pairs


def assembler(command, tree, work):
    source, output = os.path.join(work, "impl.c"), os.path.join(work, "impl.s")
    with open(source, "w") as f:
        f.write('#define LLMQ_IMPLEMENTATION\n#include "llmq.h"\n')
    return subprocess.Popen(command + COMMON + ["-I", os.path.abspath(tree), source, "-o", output]), output


def compare(title, command, trees, verbose):
    with tempfile.TemporaryDirectory() as work:
        running = []
        for i, tree in enumerate(trees):
            os.mkdir(os.path.join(work, str(i)))
            running.append(assembler(command, tree, os.path.join(work, str(i))))
        if any([process.wait() for process, _ in running]):
            print("%s: does not compile" % title)
            return False
        texts = []
        for _, output in running:
            with open(output, encoding="utf-8", errors="surrogateescape") as f:
                texts.append(Assembler(f.read()))
    old, new = texts
    pairs = match(old, new)
    back = set(pairs.values())
    good = True
    for what, code in (("functions", True), ("tables", False)):
        result = collections.OrderedDict((k, []) for k in ("equal", "different", "only in old", "only in new"))
        for n, item in old.items.items():
            if item.is_code == code:
                o = pairs.get(n)
                if o is None:
                    result["only in old"].append(n)
                else:
                    other = new.items[o]
                    same = item.text == other.text and [pairs.get(u) for u in item.uses] == other.uses
                    result["equal" if same else "different"].append(n if n == o else "%s -> %s" % (n, o))
        result["only in new"] = [o for o, item in new.items.items() if item.is_code == code and o not in back]
        print("%s: %s %s" % (title, what, ", ".join("%d %s" % (len(v), k) for k, v in result.items())))
        for kind, names in result.items():
            if kind != "equal":
                good &= not names
                for n in sorted(names)[:None if verbose else 12]:
                    print("    %s: %s" % (kind, n))
        renamed = [n for n in result["equal"] if "->" in n]
        if verbose:
            for n in sorted(renamed):
                print("    equal: %s" % n)
        if code and not result["equal"]:
            print("    no function is equal")
            good = False
    return good


def main(args):
    verbose = "-l" in args[:1]
    args = args[verbose:]
    if len(args) < 2 or args[0].startswith("-"):
        sys.stderr.write(__doc__)
        return 2
    compilers = [(" ".join(args[2:]), args[2:])] if len(args) > 2 else COMPILERS
    good, any_there = True, False
    for title, command in compilers:
        if not shutil.which(command[0]):
            print("%s: not installed" % title)
            continue
        any_there = True
        good &= compare(title, command, args[:2], verbose)
    return 0 if good and any_there else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
