#!/usr/bin/env python3
"""style.py - counts the style of the two headers: order, lengths, comments, derived constants, versions

    tests/style.py [-l] [NAME...]   prints a line "style.NAME<TAB>value<TAB>goal" for each count,
                                    or for the counts whose names begin with NAME;
                                    -l: also each offender, as file:line
    tests/style.py text             omits the counts that compile the header, which take most of the time

GOALS lists the counts. The exit status is 1 if a count misses its goal and the goal is binding, or
if a file cannot be read. Python's standard library is enough. `ctags_unseen` runs universal-ctags,
`leaks` and `warnings` run tests/hygiene.sh. The value is "-" if such a program is missing.

A comment derives a constant that stands in the same line, or in the first line of code below it:

    check: 0x7149f2ca == f32bits(1e30)
    check: 2*127*127 = 32258 < 2^15; 5 * 3 = 15

The expression ends where its comment ends. Semicolons separate several expressions. An expression
compares two or more terms by = == != < <= > >=. Terms consist of
    numbers as C writes them (1u, 0.5f, 0x1p-20f), pi
    + - * / // % ^ ** << >> & | ~ ( )      where ^ is a power, as **, and 7 / 2 is 3.5
    calls of FUNCTIONS                     f32 rounds to float, f32bits gives the bits of a float
If an expression is an equation and one side is a number alone, the number must be in the code beside
the comment. So neither the constant nor its derivation can change without the other.
"""
import ast
import math
import operator
import os
import re
import shutil
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADERS = ["llmq.h", "llmq_simd.h"]

# Name, goal, and the objects that are counted. A value that misses a "binding" goal is an error; one that
# misses an "open" goal is work to do.
GOALS = [
    ("sections_out_of_order", "<=", 0, "binding", "banners out of sequence, or not in the contents, in both halves"),
    ("later_sections_used", "<=", 0, "binding", "pairs of a section and a name that only a later section defines"),
    ("functions_over_60_lines", "<=", 0, "binding", "in the headers"),
    ("functions_over_60_lines_tool", "<=", 0, "binding", "in examples/"),
    ("complexity_over_20", "<=", 0, "binding", "functions of the headers with more than 19 decisions"),
    ("complexity_over_25_tool", "<=", 0, "binding", "functions of examples/ with more than 24 decisions"),
    ("lines_over_120_columns", "<=", 0, "binding", "in the headers"),
    ("lines_over_120_columns_else", "<=", 0, "binding", "in other C files"),
    ("prose_over_100_columns", "<=", 0, "binding", "lines of comment alone, in the headers"),
    ("what_per_1000_words", "<=", 1.5, "binding", "in comments of llmq.h"),
    ("what_per_1000_words_simd", "<=", 1.5, "binding", "in comments of llmq_simd.h"),
    ("comment_lines_per_code_line", ">=", 0.3, "binding", "in the implementation of llmq.h, without tables"),
    ("comment_lines_per_code_line_simd", ">=", 0.3, "binding", "in llmq_simd.h"),
    ("functions_without_comment", "<=", 0, "binding", "12 lines or more, no comment right above function or prototype"),
    ("parameters_undescribed", "<=", 0, "binding", "parameters that the head of a template does not name"),
    ("ctags_unseen", "<=", 0, "binding", "functions of the headers that ctags does not see, pasted names left out"),
    ("checks", ">=", 10, "binding", "expressions of check: comments"),
    ("checks_wrong", "<=", 0, "binding", "check: expressions that are false"),
    ("versions_apart", "<=", 0, "binding", "versions that differ from the macros of llmq.h"),
    ("leaks", "<=", 0, "binding", "symbols and macros that the headers leave behind"),
    ("warnings", "<=", 0, "binding", "compilations with warnings"),
]
COMPILED = ["leaks", "warnings"]

# ---- C, as far as it is needed: tokens with their lines, sections and functions ----

TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<directive>^[ \t]*\#(?:\\\n|/\*.*?\*/|//[^\n]*|[^\n])*)
  | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<number>\.?[0-9](?:[eEpP][+-]|[\w.])*)
  | (?P<mark>&&|\|\||\#\#|[^\sA-Za-z_0-9])
""", re.X | re.S | re.M)
BANNER = re.compile(r"/\* ---- (?:(\d+)\. )?(.*?) -*(?: \*/|$)", re.M)
DEFINE = re.compile(r"\s*#\s*define\s+(\w+)")
PART = "LLMQ__SIMD_PART" # of llmq_simd.h, which is included part by part
DECISIONS = {"if", "for", "while", "case", "&&", "||", "?"}


class Token:
    __slots__ = ("kind", "text", "line", "column")

    def __init__(self, kind, text, line, column):
        self.kind, self.text, self.line, self.column = kind, text, line, column


class Function:
    def __init__(self, name, pasted, start, end, tokens):
        self.name, self.pasted, self.start, self.end, self.tokens = name, pasted, start, end, tokens

    @property
    def lines(self):
        return self.end - self.start + 1

    @property
    def complexity(self):
        return 1 + sum(t.text in DECISIONS for t in self.tokens if t.kind in ("name", "mark"))


class Section:
    def __init__(self, number, title, line, half, head):
        self.number, self.title, self.line, self.half, self.head = number, title, line, half, head

    @property
    def template(self):
        return self.title.startswith("Template")


class Source:
    """A file: lines, tokens (comments and directives apart), functions, sections."""

    def __init__(self, path):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        self.code, self.comments, self.directives = [], [], []
        self.has_code, self.has_comment = set(), set()
        self.scan()
        self.implementation = next((t.line for t in self.directives if "defined(LLMQ_IMPLEMENTATION)" in t.text), 0)
        self.functions, self.outside = [], []
        self.split()
        self.find_sections()

    def scan(self):
        line, at, start_of_line = 1, 0, 0
        for m in TOKEN.finditer(self.text):
            newlines = self.text.count("\n", at, m.start())
            if newlines:
                line += newlines
                start_of_line = self.text.rfind("\n", at, m.start()) + 1
            kind, text = m.lastgroup, m.group()
            token = Token(kind, text, line, m.start() - start_of_line)
            if kind == "directive": # comments in it are comments
                for c in re.finditer(r"/\*.*?\*/|//[^\n]*", text, re.S):
                    self.comment(Token("comment", c.group(), line + text.count("\n", 0, c.start()), 1))
                blank = lambda c: " " + "\n" * c.group().count("\n")
                token.text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)
                self.directives.append(token)
                self.has_code.update(range(line, line + text.count("\n") + 1))
            elif kind == "comment":
                self.comment(token)
            else:
                self.code.append(token)
                self.has_code.update(range(line, line + text.count("\n") + 1))
            at = m.start()

    def comment(self, token):
        self.comments.append(token)
        self.has_comment.update(range(token.line, token.line + token.text.count("\n") + 1))

    def split(self):
        """Separates functions from other code. Each branch of an #if begins at the depth of the #if."""
        conditions = [t for t in self.directives if re.match(r"\s*#\s*(if|el|endif)", t.text)]
        events = sorted(self.code + conditions, key=lambda t: (t.line, t.column))
        depth, saved, head, body, paren = 0, [], [], None, 0
        for t in events:
            if t.kind == "directive":
                word = re.match(r"\s*#\s*(\w+)", t.text).group(1)
                if word.startswith("if"):
                    saved.append(depth)
                elif word.startswith("el"):
                    depth = saved[-1]
                elif saved:
                    saved.pop()
                continue
            if body is not None:
                body.append(t)
                depth += (t.text == "{") - (t.text == "}")
                if depth == 0:
                    name, pasted, start = self.name_of(head)
                    if name:
                        self.functions.append(Function(name, pasted, start, t.line, head + body))
                        head, body = [], None
                    else:
                        head, body = head + body, None # a declaration goes on
                continue
            if t.text == "{" and paren == 0:
                if len(head) >= 2 and head[-2].text == "extern" and head[-1].text == '"C"':
                    head = []
                    continue
                body, depth = [t], 1
                continue
            if t.text == "}" and not head: # of extern "C"
                continue
            paren += (t.text == "(") - (t.text == ")")
            if t.text == ";" and paren == 0:
                self.outside.append(head + [t])
                head = []
            else:
                head.append(t)

    @staticmethod
    def name_of(head):
        """The name before the last parentheses: f(...) or PASTE(f)(...). Returns it, PASTE or None, the first line."""
        if not head or head[-1].text != ")" or any(t.text in ("=", "typedef") for t in head):
            return None, None, 0
        def back(i): # from ) to its (
            depth = 0
            while i >= 0:
                depth += (head[i].text == ")") - (head[i].text == "(")
                if depth == 0:
                    return i
                i -= 1
            return -1
        i = back(len(head) - 1) - 1
        pasted = None
        if i >= 0 and head[i].text == ")":
            open_ = back(i)
            name, pasted = "".join(t.text for t in head[open_ + 1:i]), head[open_ - 1].text
            i = open_ - 1
        elif i >= 0 and head[i].kind == "name":
            name = head[i].text
        else:
            return None, None, 0
        first = i
        while first > 0 and head[first].column > 0:
            first -= 1
        return name, pasted, head[first].line

    def find_sections(self):
        """Banners with numbers; the head of a section is all comment from there to its first line of code."""
        self.sections, heading = [], False
        for c in self.comments:
            m = BANNER.match(c.text)
            heading = heading and not any(line in self.has_code for line in range(self.sections[-1].line, c.line))
            if m and m.group(1):
                half = 1 if self.implementation and c.line > self.implementation else 0
                self.sections.append(Section(int(m.group(1)), m.group(2), c.line, half, c.text))
                heading = True
            elif heading:
                self.sections[-1].head += c.text

    def section_at(self, line):
        best = None
        for s in self.sections:
            if s.line <= line:
                best = s
        return best

    def where(self, line):
        return "%s:%d" % (self.path, line)


def sources_below(*folders):
    for folder in folders:
        for where, dirs, names in os.walk(os.path.join(ROOT, folder)):
            dirs.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(where, name), ROOT)


def public_names(tokens):
    """The functions that a prototype declares."""
    return [a.text for a, b in zip(tokens, tokens[1:]) if b.text == "(" and a.text.startswith("llmq_")]


# ---- sections ----

def sections_out_of_order(headers):
    """Of each half of a header: banners in the order of its list of contents, each once."""
    for s in headers:
        contents = re.findall(r"^ +(\d+)\. (.*)$", s.text.partition("\n   CONTENTS")[2].partition("\n\n")[0], re.M)
        if not contents:
            yield s.where(1), "no list of contents"
        for half in (0, 1) if s.implementation else (0,):
            last = None
            for number, title in contents:
                if not any(x.half == half and (x.number, x.title) == (int(number), title) for x in s.sections):
                    yield s.where(s.implementation if half else 1), "no section '%s. %s'" % (number, title)
            for section in [x for x in s.sections if x.half == half]:
                first = 0 if s.implementation else 1
                if (str(section.number), section.title) not in contents:
                    yield s.where(section.line), "section '%d. %s' is not in the contents" % (section.number, section.title)
                if section.number != (first if last is None else last + 1):
                    before = "none" if last is None else last
                    yield s.where(section.line), "section %d after %s" % (section.number, before)
                last = section.number


def definitions(s):
    """(name, word that pastes it or None, line) of functions, macros, tables, types and enumerators.

    Only those of the implementation."""
    for f in s.functions:
        if f.start > s.implementation:
            yield f.name, f.pasted, f.start
    for d in s.directives:
        m = DEFINE.match(d.text)
        if m and d.line > s.implementation:
            yield m.group(1), None, d.line
    for tokens in s.outside:
        names = [t for t in tokens if t.kind == "name"]
        if not names or names[0].line <= s.implementation:
            continue
        depth = 0
        for i, t in enumerate(tokens):
            depth += (t.text in "({[") - (t.text in ")}]") if t.kind == "mark" else 0
            if t.kind != "name" or not t.text.lower().startswith("llmq_"):
                continue
            following = tokens[i + 1].text if i + 1 < len(tokens) else ""
            enumerator = names[0].text == "enum" and depth == 1 and following in (",", "=", "}")
            # a type's or a table's name stands last in its declarator; a prototype's does not define it
            if enumerator or (depth == 0 and following in ("[", "=", ";", ",")):
                yield t.text, None, t.line


def macros_of(s):
    """name -> the sections that define it. A macro that several sections define is a parameter."""
    home = {}
    for d in s.directives:
        m = DEFINE.match(d.text)
        section = s.section_at(d.line)
        if m and section and d.line > s.implementation:
            home.setdefault(m.group(1), set()).add(section.number)
    return home


def later_sections_used(headers):
    """Uses of a function, macro, table or type before the section that defines it.

    A public function counts from the section of its declaration on. A prototype in the implementation
    permits tables of functions, as the kernels, to name a function of a later section, but no call."""
    for s in headers:
        home = {}
        for name, pasted, line in definitions(s):
            section = s.section_at(line)
            if section:
                key = (pasted, name)
                home[key] = min(home.get(key, 1 << 30), section.number)
        for tokens in s.outside: # public functions: from the section of their prototypes on
            section = s.section_at(tokens[0].line)
            if section and not section.half and any(t.text == "LLMQ_API" for t in tokens):
                home.update(((None, name), section.number) for name in public_names(tokens))
        prototypes, bodies = {}, set()
        for tokens in s.outside:
            section = s.section_at(tokens[0].line)
            if section and section.half and tokens[-1].text == ";" and not any(t.text in ("=", "typedef") for t in tokens):
                for a, b in zip(tokens, tokens[1:]):
                    if b.text == "(" and a.kind == "name":
                        prototypes.setdefault(a.text, section.number)
        for f in s.functions:
            bodies.update(range(f.start, f.end + 1))
        parameters = {name for name, numbers in macros_of(s).items() if len(numbers) > 1}
        seen = set()
        for line, key in uses(s):
            section = s.section_at(line)
            if section is None or home.get(key, -1) <= section.number or (section.number, key) in seen:
                continue
            pasted, name = key
            # an instruction set gives a template its parameters and words
            if name in parameters or (section.template and (pasted or name in section.head)):
                continue
            if not pasted and line not in bodies and prototypes.get(name, 1 << 30) <= section.number:
                continue
            seen.add((section.number, key))
            shown = "%s(%s)" % key if pasted else name
            yield s.where(line), "section %d uses %s of section %d" % (section.number, shown, home[key])


def uses(s):
    """(line, (word that pastes, name)) for each use of a name in the implementation.

    A test whether the name is defined is no use."""
    tokens = [t for t in s.code if t.line > s.implementation]
    for d in s.directives:
        if d.line <= s.implementation or re.match(r"\s*#\s*(undef|ifdef|ifndef|include|error|pragma)", d.text):
            continue
        text = re.sub(r"defined\s*\(?\s*\w+\s*\)?", lambda m: " " * len(m.group()), d.text)
        m = DEFINE.match(text)
        for t in TOKEN.finditer(text, m.end() if m else text.index("#") + 1):
            if t.lastgroup in ("name", "mark"):
                tokens.append(Token(t.lastgroup, t.group(), d.line + text.count("\n", 0, t.start()), 1))
    for i, t in enumerate(tokens):
        if t.kind != "name" or t.text in ("define",):
            continue
        if t.text.startswith(("llmq_", "LLMQ_")):
            yield t.line, (None, t.text)
        after = tokens[i + 1:i + 4]
        if len(after) == 3 and after[0].text == "(" and after[1].kind == "name" and after[2].text == ")":
            yield t.line, (t.text, after[1].text)


def parameters_undescribed(headers):
    """Macros that a template uses and only later sections define: its head must name them."""
    for s in headers:
        home, seen = macros_of(s), set()
        for line, (pasted, name) in uses(s):
            section = s.section_at(line)
            if pasted or section is None or not section.template or name == PART or (section.line, name) in seen:
                continue
            if min(home.get(name, {-1})) > section.number and not re.search(r"\b%s\b" % name, section.head):
                seen.add((section.line, name))
                yield s.where(line), "%s, in '%s'" % (name, section.title)


# ---- functions ----

def functions_over(sources, lines):
    for s in sources:
        for f in s.functions:
            if f.lines > lines:
                yield s.where(f.start), "%s: %d lines" % (f.name, f.lines)


def complexity_over(sources, most):
    for s in sources:
        for f in s.functions:
            if f.complexity > most:
                yield s.where(f.start), "%s: %d" % (f.name, f.complexity)


def under_comment(s, line):
    """Is the line right above, conditionals left out, one where a comment ends?"""
    line -= 1
    while line > 0 and re.match(r"\s*#\s*(if|endif|el|pragma)", s.lines[line - 1]) and line not in s.has_comment:
        line -= 1
    return line in s.has_comment and line not in s.has_code


def functions_without_comment(headers):
    for s in headers:
        described = set()
        for tokens in s.outside: # prototypes of public functions; several may follow one comment
            line = tokens[0].line
            while line > 1 and s.lines[line - 2].strip() and not under_comment(s, line):
                line -= 1
            if under_comment(s, line):
                described.update(public_names(tokens))
        for f in s.functions:
            if f.lines >= 12 and not under_comment(s, f.start) and f.name not in described:
                yield s.where(f.start), "%s: %d lines" % (f.name, f.lines)


def ctags_unseen(headers):
    program = next((c for c in ("ctags-universal", "ctags") if shutil.which(c)), None)
    if not program:
        subprocess.run([os.path.join(ROOT, "tests", "needs.sh"), "make style", "ctags"])
        return None
    found = []
    for s in headers:
        command = [program, "-x", "--kinds-C=f", "--kinds-C++=f", "--_xformat=%N %n", os.path.join(ROOT, s.path)]
        r = subprocess.run(command, capture_output=True, text=True)
        if r.returncode:
            return None
        tags = set(tuple(line.split()) for line in r.stdout.split("\n"))
        found += [(s.where(f.start), f.name) for f in s.functions
                  if not f.pasted and not any((f.name, str(line)) in tags for line in range(f.start, f.end + 1))]
    return found


# ---- text ----

def lines_over(sources, columns, prose=False):
    for s in sources:
        for i, line in enumerate(s.lines, 1):
            only_comment = i in s.has_comment and i not in s.has_code
            if len(line) > columns and (only_comment or not prose):
                yield s.where(i), "%d columns" % len(line)


def what_per_1000_words(s):
    words, found = 0, []
    for c in s.comments:
        for i, line in enumerate(c.text.split("\n")):
            in_line = re.findall(r"[A-Za-z][A-Za-z'-]*", line)
            words += len(in_line)
            found += [(s.where(c.line + i), line.strip())] * sum(w.lower() == "what" for w in in_line)
    return round(1000.0 * len(found) / max(words, 1), 2), found


def comment_lines_per_code_line(s):
    """In the implementation. Lines of numbers alone are tables, not code. A comment after code is no comment line."""
    comment = code = 0
    for i, line in enumerate(s.lines, 1):
        if i <= s.implementation or not line.strip():
            continue
        if i in s.has_code:
            code += not re.fullmatch(r"(?:\s*-?(?:0x[0-9a-fA-F]+|\d[\d.]*(?:e-?\d+)?)[uf]*,?)+\s*", line)
        elif i in s.has_comment:
            comment += 1
    return round(comment / max(code, 1), 3), []


# ---- check: ----

def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def f32bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def bits_f32(u):
    return struct.unpack("<f", struct.pack("<I", u))[0]


def f64bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


FUNCTIONS = {"abs": abs, "min": min, "max": max, "round": round, "floor": math.floor, "ceil": math.ceil,
             "sqrt": math.sqrt, "log": math.log, "log2": math.log2, "log10": math.log10, "exp": math.exp,
             "cos": math.cos, "sin": math.sin, "erf": math.erf, "gcd": math.gcd, "comb": math.comb,
             "f32": f32, "f32bits": f32bits, "bits_f32": bits_f32, "f64bits": f64bits}
BINARY = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
          ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.LShift: operator.lshift,
          ast.RShift: operator.rshift, ast.BitAnd: operator.and_, ast.BitOr: operator.or_}
COMPARE = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
           ast.Gt: operator.gt, ast.GtE: operator.ge}
NUMBER = re.compile(r"(?<![\w.])(?:0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?\d+)?"
                    r"|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[uUlLfF]*")


def number(text):
    """A number as C has it. A decimal one with the suffix f is the nearest float."""
    t = text.lower()
    if t.startswith("0x"):
        return float.fromhex(t.rstrip("fl")) if "p" in t else int(t.rstrip("ul"), 16)
    single, t = t.endswith("f"), t.rstrip("ulf")
    value = float(t) if re.search(r"[.e]", t) else int(t)
    return f32(value) if single else value


def evaluate(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name) and node.id == "pi":
        return math.pi
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd, ast.Invert)):
        v = evaluate(node.operand)
        return -v if isinstance(node.op, ast.USub) else ~v if isinstance(node.op, ast.Invert) else v
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        a, b = evaluate(node.left), evaluate(node.right)
        if abs(b) > 4096:
            raise ValueError("too large a power")
        return a ** b
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        a, b = evaluate(node.left), evaluate(node.right)
        if isinstance(node.op, ast.LShift) and b > 4096:
            raise ValueError("too large a shift")
        return BINARY[type(node.op)](a, b)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id in FUNCTIONS:
            return FUNCTIONS[node.func.id](*[evaluate(a) for a in node.args])
    raise ValueError("only numbers, operators and known functions")


def holds(expression):
    """None if it is so, else why not."""
    text = NUMBER.sub(lambda m: repr(number(m.group())), expression).replace("^", "**")
    text = re.sub(r"(?<![<>=!])=(?!=)", "==", text)
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if not isinstance(node, ast.Compare):
            return "no comparison"
        values = [evaluate(n) for n in [node.left] + node.comparators]
        for a, op, b in zip(values, node.ops, values[1:]):
            if type(op) not in COMPARE:
                return "no comparison of numbers"
            if not COMPARE[type(op)](a, b):
                return "no: %r, %r" % (a, b)
    except (ValueError, SyntaxError, TypeError, ArithmeticError, struct.error) as error:
        return "cannot be evaluated: %s" % error
    return None


def code_beside(s, comment):
    """The code of the lines of a comment, or of the first line with code after it."""
    last = comment.line + comment.text.count("\n")
    lines = [i for i in range(comment.line, last + 1) if i in s.has_code]
    if not lines:
        lines = [i for i in range(last + 1, min(last + 12, len(s.lines) + 1)) if i in s.has_code][:1]
    return " ".join(re.sub(r"/\*.*?\*/|/\*.*", " ", s.lines[i - 1]) for i in lines)


def checks(headers):
    """(place, expression, None or why it is wrong)"""
    for s in headers:
        for c in s.comments:
            for m in re.finditer(r"\bcheck:((?:(?!\bcheck:).)*)", c.text.rstrip("*/"), re.S):
                line = c.line + c.text.count("\n", 0, m.start())
                for expression in filter(str.strip, re.sub(r"\s+", " ", m.group(1)).split(";")):
                    wrong = holds(expression)
                    sides = re.split(r"(?<![<>=!])==?(?!=)", expression)
                    alone = [x.strip() for x in sides if NUMBER.fullmatch(x.strip())]
                    if not wrong and len(sides) == 2 and alone and not re.search(r"[<>!]", expression):
                        there = [number(n) for n in NUMBER.findall(code_beside(s, c))]
                        if not any(number(a) in there or f32(number(a)) in there for a in alone):
                            wrong = "%s is not in the code beside it" % alone[0]
                    yield s.where(line), expression.strip(), wrong


# ---- versions ----

def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def versions_apart(headers):
    """Every statement of the version must agree with the macros of llmq.h."""
    macro = dict(re.findall(r"^#define LLMQ_VERSION_(MAJOR|MINOR|PATCH) (\d+)$", headers[0].text, re.M))
    if len(macro) != 3:
        return [("llmq.h:1", "no macros of the version")]
    version = "%(MAJOR)s.%(MINOR)s.%(PATCH)s" % macro
    symbol = "%(MAJOR)s_%(MINOR)s" % macro
    places = [ # file, pattern whose group is the version, the version, how many there are at least
        ("llmq.h", r"\A/\* llmq\.h - v(\S+) ", version, 1),
        ("llmq.h", r"_LLMQ_VERSION_(\d+_\d+)_", symbol, 1),
        ("llmq_simd.h", r"\A/\* llmq_simd\.h - v(\S+) ", version, 1),
        ("llmq_simd.h", r"(LLMQ_VERSION_MAJOR != \d+ \|\| LLMQ_VERSION_MINOR != \d+ \|\| LLMQ_VERSION_PATCH != \d+)",
         " || ".join("LLMQ_VERSION_%s != %s" % (part, macro[part]) for part in ("MAJOR", "MINOR", "PATCH")), 1),
        ("CHANGELOG.md", r"\A.*?^## (\S+)", version, 1),
        ("README.md", r"\bllmq(?:\.h)? v?(\d+\.\d+\.\d+)", version, 0),
        ("README.md", r"_LLMQ_VERSION_(\d+_\d+)_", symbol, 0),
        ("examples/mcu/README.md", r"\bllmq(?:\.h)? v?(\d+\.\d+\.\d+)", version, 0),
    ]
    found = []
    for path, pattern, expected, least in places:
        text = read(path)
        matches = list(re.finditer(pattern, text, re.M | re.S))
        if len(matches) < least:
            found.append((path + ":1", "no version where there was one"))
        for m in matches:
            if m.group(1) != expected:
                line = text.count("\n", 0, m.start(1)) + 1
                found.append(("%s:%d" % (path, line), "%s, not %s" % (m.group(1), expected)))
    history = headers[0].text.partition("\n   RELEASES\n")[2].partition("\n\n")[0]
    releases = re.findall(r"^ +(\d+\.\d+\.\d+) ", history, re.M)
    if releases != re.findall(r"^## (\d+\.\d+\.\d+)", read("CHANGELOG.md"), re.M):
        found.append(("llmq.h:1", "RELEASES are not those of CHANGELOG.md"))
    return found


# ---- all of them ----

def hygiene():
    """The failures of tests/hygiene.sh: names left behind, and warnings. None, None without a compiler."""
    r = subprocess.run([os.path.join(ROOT, "tests", "hygiene.sh"), "names", "quick"], capture_output=True, text=True)
    failures = re.findall(r"^FAIL (.*)$", r.stdout, re.M)
    if not re.search(r"^hygiene: [1-9]\d* passed", r.stdout, re.M):
        return None, None
    warned = [("hygiene.sh", f) for f in failures if f.startswith("strict")]
    return [("hygiene.sh", f) for f in failures if not f.startswith("strict")], warned


def counts(wanted):
    """name -> (value, offenders), for the names that are wanted."""
    headers = [Source(p) for p in HEADERS]
    tool = [Source(p) for p in sources_below("examples")]
    elsewhere = tool + [Source(p) for p in sources_below("tests", "bench", "fuzz") if not made(p)]
    all_checks = list(checks(headers))
    lists = {
        "sections_out_of_order": lambda: sections_out_of_order(headers),
        "later_sections_used": lambda: later_sections_used(headers),
        "functions_over_60_lines": lambda: functions_over(headers, 60),
        "functions_over_60_lines_tool": lambda: functions_over(tool, 60),
        "complexity_over_20": lambda: complexity_over(headers, 20),
        "complexity_over_25_tool": lambda: complexity_over(tool, 25),
        "lines_over_120_columns": lambda: lines_over(headers, 120),
        "lines_over_120_columns_else": lambda: lines_over(elsewhere, 120),
        "prose_over_100_columns": lambda: lines_over(headers, 100, True),
        "functions_without_comment": lambda: functions_without_comment(headers),
        "parameters_undescribed": lambda: parameters_undescribed(headers),
        "ctags_unseen": lambda: ctags_unseen(headers),
        "checks": lambda: [(where, e) for where, e, wrong in all_checks],
        "checks_wrong": lambda: [(where, "%s: %s" % (e, wrong)) for where, e, wrong in all_checks if wrong],
        "versions_apart": lambda: versions_apart(headers),
    }
    ratios = {
        "what_per_1000_words": lambda: what_per_1000_words(headers[0]),
        "what_per_1000_words_simd": lambda: what_per_1000_words(headers[1]),
        "comment_lines_per_code_line": lambda: comment_lines_per_code_line(headers[0]),
        "comment_lines_per_code_line_simd": lambda: comment_lines_per_code_line(headers[1]),
    }
    result = {}
    for name in wanted:
        if name in ratios:
            result[name] = ratios[name]()
        elif name in lists:
            found = lists[name]()
            result[name] = (None, []) if found is None else (lambda f: (len(f), f))(list(found))
    if any(name in COMPILED for name in wanted):
        for name, found in zip(COMPILED, hygiene()):
            result[name] = (None, []) if found is None else (len(found), found)
    return result


def made(path):
    """Tables of answers are made by scripts."""
    return "/vectors/" in path


def main(args):
    offenders = "-l" in args
    args = [a for a in args if a != "-l"]
    if any(a.startswith("-") for a in args):
        sys.stderr.write(__doc__)
        return 2
    names = [g[0] for g in GOALS]
    if args == ["text"]:
        wanted = [n for n in names if n not in COMPILED]
    else:
        wanted = [n for n in names if not args or any(n.startswith(a) for a in args)]
    if not wanted:
        sys.stderr.write("style.py: no count has such a name\n")
        return 2
    result = counts(wanted)
    exceeded = 0
    for name, side, goal, force, about in GOALS:
        if name not in wanted:
            continue
        value, found = result[name]
        print("style.%s\t%s\t%s%s" % (name, "-" if value is None else value, side + " ", goal))
        if offenders:
            for where, why in found:
                print("    %s: %s" % (where, why))
        if value is not None and force == "binding" and (value > goal if side == "<=" else value < goal):
            exceeded += 1
            first = "" if offenders else "".join("; %s: %s" % f for f in found[:3])
            sys.stderr.write("style: %s is %s, not %s %s (%s)%s\n" % (name, value, side, goal, about, first))
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
