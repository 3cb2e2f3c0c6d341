# SPDX-License-Identifier: MIT
"""Mutations by rule: each place of a source file where an operator applies, broken once.

There is no parser.  Comments, strings and the preprocessor's lines are blanked, then patterns look
at what is left of the functions' bodies; that the layout is clang-format's makes this enough.  What
does not compile, or compiles to the same code, the campaign leaves out.
"""

import collections
import hashlib
import re
import typing

# Tests by folder of the sources, the fastest first, after the programs of the file's own name.
TESTS = {
    "base": ["unit/address", "unit/log", "unit/trace", "unit/server", "fuzz/args", "functional/test_log.py",
             "functional/test_cmdline.py", "functional/test_signals.py", "functional/test_idle.py"],
    "conf": ["unit/conf", "unit/option", "fuzz/conf", "functional/test_conf.py",
             "functional/test_cmdline.py", "functional/test_reload.py"],
    "echo": ["unit/connection", "unit/worker", "fuzz/connection", "fuzz/worker",
             "functional/test_echo.py", "functional/test_ends.py"],
    "echoc": ["unit/client", "unit/target", "unit/stream", "functional/test_echoc.py",
              "functional/test_options.py", "functional/test_talk.py",
              "functional/test_terminal.py"],
    "listen": ["unit/listeners", "unit/server", "functional/test_activation.py",
               "functional/test_listeners.py", "functional/test_reload.py"],
    "reactor": ["unit/acceptor", "unit/worker", "unit/server", "fuzz/worker",
                "functional/test_timeouts.py", "functional/test_limits.py",
                "functional/test_accept.py", "functional/test_signals.py", "functional/test_journal.py"],
    "restart": ["unit/fdpass", "unit/state", "unit/server", "fuzz/handover",
                "functional/test_handover.py", "functional/test_hostile.py", "functional/test_rescue.py"],
    "supervisor": ["unit/server", "functional/test_cmdline.py",
                   "functional/test_notify.py", "functional/test_reload.py",
                   "functional/test_handover.py", "functional/test_listeners.py"],
    "systemd": ["unit/job", "unit/server", "functional/test_notify.py", "functional/test_handover.py"],
    "": ["functional/test_cmdline.py"],
}

SWAPPED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}

# Not those that only a sanitizer or a reader of traces would miss.
STATEMENTS = re.compile(
    r"^\t+((?!free\(|log_debug\(|PROBE_|assert\()(?:\(void\))?[\w.>-]+\(.*\)|\*?[\w.>()\[\]-]+ (?:[-+|&]|<<|>>)?= .*|[\w.>-]+(?:\+\+|--));$",
    re.M)
SIZES = re.compile(r"(?<=[ (\[])([\w.>-]*\b(?:n|size|count|length|used|left)|n_\w+)(?=[,;)\]])")


class Mutation(typing.NamedTuple):
    file: str
    number: int  # of the line
    line: str
    operator: str
    position: int
    old: str
    new: str
    which: int  # of those that are equal but for their place

    @property
    def name(self):
        return f"{self.file}:{self.number}"

    @property
    def brings(self):
        return f"{self.operator}: {self.line}" + f" [{self.old}]" * (self.operator in ("swapped", "off by one"))

    def apply(self, text):
        return text[:self.position] + self.new + text[self.position + len(self.old):]

    def rank(self, seed):
        """Its place in a shuffle; edits elsewhere in the file do not change it."""
        what = (seed, self.file, self.line, self.operator, self.old, self.new, self.which)
        return hashlib.sha256(repr(what).encode()).digest()


def blank(match):
    return re.sub(r"[^\n]", " " if match[0][0] in "/#" else "~", match[0])


def masked(text):
    """The text with nothing but the code of functions; every character keeps its place."""
    text = re.sub(r"""/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", blank, text, flags=re.S)
    text = re.sub(r"^#(?:.*\\\n)*.*$", blank, text, flags=re.M)
    bodies = [m.span() for m in re.finditer(r"^\{$.*?^\}$", text, re.M | re.S)]
    outside = zip([0] + [e for _, e in bodies], [s for s, _ in bodies] + [len(text)])
    for start, end in outside:
        text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    return text


def closing(code, i):
    """Where the bracket ends that is open before i."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(code[i], 0)
        i += 1
    return i - 1


def places(code):
    """(operator, start, end, what stands there instead, with {} for the old text)"""
    for m in re.finditer(r"\b(?:if|while) \(", code):
        yield "negated", m.end(), closing(code, m.end()), "!({})"
    for m in re.finditer(r" (<=?|>=?|==|!=|&&|\|\|)(?=\s)", code):
        yield "swapped", m.start(1), m.end(1), SWAPPED[m[1]]
    for m in STATEMENTS.finditer(code):
        if re.search(r"([;{}):]|\belse|^)\s*$", code[:m.start()]):  # a whole statement begins here
            yield "dropped", m.start(1), m.end(1), ""
    for m in re.finditer(r" [-+] 1(?![\w.])", code):
        yield "off by one", m.start(), m.end(), ""
    for m in SIZES.finditer(code):
        yield "off by one", m.start(), m.end(), "{} + 1"


def mutations(file, text):
    """All of a file, in the order of their places."""
    lines, seen, found = text.splitlines(), collections.Counter(), []
    for operator, start, end, new in sorted(places(masked(text)), key=lambda p: p[1]):
        old, number = text[start:end], text.count("\n", 0, start) + 1
        what = (lines[number - 1].strip(), operator, start, old, new.replace("{}", old))
        key = (what[0], *what[3:])
        found.append(Mutation(file, number, *what, seen[key]))
        seen[key] += 1
    return found


def tests_of(file, exists):
    """What has to notice a mistake in a file: programs and files of tests, those that exist()."""
    *folders, name = file.split("/")[1:]
    name = name.removesuffix(".c")
    own = [f"unit/{name}", f"fuzz/{name}", f"functional/test_{name}.py"]
    return [t for t in dict.fromkeys(own + TESTS["".join(folders)]) if exists(t)]
