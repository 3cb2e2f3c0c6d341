# SPDX-License-Identifier: MIT
"""What the manual, the sample and --help say is what the daemon does.

The pages are read as their mdoc source, so most tests need no mandoc.
"""

import ast
import fnmatch
import glob
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
from decimal import Decimal

import harness
from harness import Echod, read, run

ESCAPES = {r"\(dq": '"', r"\(aq": "'", r"\e": "\\", r"\-": "-", r"\&": ""}

PAGES = ("echoc.1", "echod.8", "echod.conf.5", "echod.journal.7")

# What a refusal says of a kind of option: the kind's name in the manual, and the unit of its numbers.
KINDS = {"ADDR:PORT": ("list", "addresses"), "a number ": ("number", None), "a share ": ("share", None),
         "a time ": ("time", "seconds"), "a size ": ("size", "bytes"), "true or ": ("boolean", "boolean"),
         "error, ": ("level", "level")}

# Other values than the defaults, by option or default; numbers are made one larger.
OTHER = {"listen": '"127.0.0.2:0"', "true": "false", "false": "true", "info": "debug"}


def page(name):
    return read(harness.BUILDDIR, "man", name)


def text_of(mdoc):
    """What escape sequences stand for."""
    return re.sub(r"\\(\([ad]q|[-e&])", lambda m: ESCAPES[m.group(0)], mdoc)


def section(mdoc, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", mdoc, re.M | re.S)
    if not found:
        raise AssertionError(f"no section {title}")
    return found.group(1)


def displays(mdoc, title="EXAMPLES"):
    """The literal displays of a section."""
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", section(mdoc, title), re.M | re.S)
    return [text_of(block) for block in blocks]


def flags(mdoc):
    """The options that Fl macros name, as they are typed."""
    found = set()
    for line in mdoc.splitlines():
        macro = None
        for word in line.split():
            if re.fullmatch(r"\.?[A-Z][a-z]", word):
                macro = word.lstrip(".")
            elif macro == "Fl" and word not in "|,":
                found.add("-" + word)
    return found


def groups(text, title, name):
    """What a pattern finds under the title of each topic: [(title, [found])]."""
    parts = re.split(title, text, flags=re.M)[1:]
    return [(topic, re.findall(name, part, re.M)) for topic, part in zip(parts[0::2], parts[1::2])]


def assignments(text):
    """The settings of a text in the form of --print-config, one a line."""
    return re.findall(r"^(\w+) = (.*)$", text, re.M)


def defaults():
    return run("-p", "-c", "/dev/null")[1]


def sample():
    return read(harness.SRCDIR, "conf/echod.conf")


def mandoc(name, *args):
    out = subprocess.run(["mandoc", *args, name], cwd=os.path.join(harness.BUILDDIR, "man"),
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    # Whether other packages' pages are installed here is not the pages' fault.
    own = r"(?!.*(Xr echoc 1|Xr echod 8|Xr echod\.conf 5|Xr echod\.journal 7))"
    return re.sub(rf"^{own}mandoc: .* referenced manual not found: .*\n", "", out, flags=re.M)


class Configuration(harness.Test):
    def print_config(self, text):
        """What -p prints of a file with this text, or None if it is refused."""
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write(text)
            f.flush()
            status, out, _ = run("-p", "-c", f.name)
            return out if status == 0 else None

    def kind(self, name):
        """The kind of an option, its unit if the kind has one, and its range, as a refusal tells them."""
        status, _, said = run("-t", "-c", "/dev/null", "-o", f"{name}=@")
        self.assertEqual(status, 78, name)
        word = next(word for word in KINDS if word in said)
        low, high = (re.findall(r"from (\S+?) to (\S+?)(?:,|$)", said, re.M) or [('""', '""')])[0]
        return *KINDS[word], low, high

    def kept(self):
        """The options that a reload does not change, as a daemon tells when all change."""
        changed = ""
        for name, value in assignments(defaults()):
            other = OTHER.get(name) or OTHER.get(value) or re.sub("[0-9]+", lambda n: str(int(n[0]) + 1), value)
            changed += f"{name} = {other}\n"
        with Echod(conf='listen = "127.0.0.1:0"\n', listen=None,
                   expect=["reload: .* takes effect at the next restart"]) as d:
            d.reload(changed)
            return re.findall(r"reload: (\w+) takes effect at the next restart", d.log())

    def test_table(self):
        """the table of echod.conf(5), its entries and the sample have what the daemon has"""
        values, kept = dict(assignments(defaults())), self.kept()
        topics = groups(sample(), "^### (.*)$", r"^#(\w+) = ")
        uncommented = re.sub(r"^#(?=\w+ = )", "", sample(), flags=re.M)
        self.assertEqual(assignments(uncommented), list(values.items()))
        table, entries = [], []
        for topic, names in topics:
            table.append(f".It Em {topic}" + ' Ta ""' * 5)
            entries.append((topic, [(name, self.kind(name)[0]) for name in names]))
            for name in names:
                _, unit, low, high = self.kind(name)
                row = [values[name], low, high, unit or self.counted(name), "no" if name in kept else "yes"]
                if name == "listen":
                    row[:3] = "port 7", "1", "64"
                table.append(f".It Ic {name} Ta " + " Ta ".join(row))
        written, below = page("echod.conf.5").split(".Sh OPTIONS")
        self.assertEqual(re.findall(r"^\.It (?:Ic|Em) .*$", written, re.M), table)
        below = below.split("\n.Sh ")[0]
        self.assertEqual(groups(below, r"^\.Ss (.*)$", r"^\.It Ic (\w+) = Ar (\w+)$"), entries)
        self.assertIn(f'.Ql "{values["listen"]}" .', text_of(below))
        for n in 64, 65:
            listen = "listen = {%s}" % ", ".join(f"127.0.0.1:{1000 + i}" for i in range(n))
            self.assertEqual(self.print_config(listen) is not None, n == 64)

    def counted(self, name):
        """What the number of an option counts, which only the manual knows."""
        return re.search(rf"^\.It Ic {name} Ta .* Ta (.*) Ta (?:yes|no)$", page("echod.conf.5"), re.M)[1]

    def test_sample(self):
        """the sample is valid as it is, and in each line no wider than 79 columns"""
        self.assertEqual(self.print_config(sample()), defaults())
        self.assertEqual([line for line in sample().splitlines() if len(line) > 79], [])

    def test_descriptors(self):
        """the descriptors that are not for connections are as many as the manual says"""
        own, worker, listener = map(int, re.search(
            r"(\d+) descriptors, (\d+) for each worker and (\d+) for each listener",
            page("echod.conf.5").replace("\n", " ")).groups())
        for workers, listeners in ((1, 1), (2, 1), (1, 2)):
            listen = "{%s}" % ",".join(f"127.0.0.{n + 1}:0" for n in range(listeners))
            with Echod("-o", f"workers={workers}", listen=listen, prefix=("prlimit", "--nofile=100:100")) as d:
                most = int(d.wait_log(r"at most (\d+) connections").group(1))
            self.assertEqual(100 - most, own + worker * workers + listener * listeners)

    def test_words(self):
        """booleans take the words that the manual names"""
        syntax = section(page("echod.conf.5"), "SYNTAX")
        booleans = re.search(r"^\.It Booleans\n(.*?)^\.It", syntax, re.M | re.S).group(1)
        for half, value in zip(booleans.split(";"), ("true", "false"), strict=True):
            words = re.findall(r"^\.Ql (\w+)", half, re.M)
            self.assertEqual(len(words), 3, booleans)
            for word in words + [w.upper() for w in words]:
                self.assertIn(f"tcp_nodelay = {value}\n", self.print_config(f"tcp_nodelay = {word}"))

    def test_examples(self):
        """the configurations in the manual's examples are valid"""
        def is_configuration(display):
            return re.match(r"\n*(#|\w+ \+?= )", display)

        self.assertGreater(len(displays(page("echod.conf.5"))), 1)
        for display in (*displays(page("echod.conf.5")),
                        *filter(is_configuration, displays(page("echod.8")))):
            self.assertTrue(is_configuration(display), display)
            self.assertNotIn(self.print_config(display), (None, defaults()), display)


class Manual(harness.Test):
    def test_help(self):
        """each option of --help is in SYNOPSIS and DESCRIPTION, and none besides"""
        options = re.findall(r"^  (?:(-\w), |    )(--[\w-]+)(?: (\S+))?  ", run("--help")[1], re.M)
        self.assertGreater(len(options), 1)
        synopsis = section(page("echod.8"), "SYNOPSIS")
        self.assertEqual(flags(synopsis), {short or long for short, long, _ in options})
        entries = []
        for short, long, argument in options:
            argument = argument and " Ar " + argument.lower().replace("=", " Ns = Ns Ar ")
            entries.append(" , ".join(f"Fl {form[1:]}{argument}" for form in (short, long) if form))
        self.assertEqual(re.findall(r"^\.It (Fl .*)$", section(page("echod.8"), "DESCRIPTION"), re.M), entries)

    def test_places(self):
        """pages and --help name the same configuration file, and pages that exist"""
        path = re.search(r"instead of (\S+)", run("--help")[1]).group(1)
        for name in PAGES:
            paths = re.findall(r"^\.(?:It )?Pa (\S*/echod\.conf)", page(name), re.M)
            self.assertLessEqual(set(paths), {path})
            self.assertNotRegex(page(name), "@[A-Za-z]+@")
            others = re.findall(r"^\.Xr (echo\S*) (\d)", page(name), re.M)
            self.assertLessEqual({".".join(other) for other in others}, set(PAGES))

    def test_counters(self):
        """each field of the counters is in echod(8), in the same order"""
        with Echod("-o", "workers=2") as d:
            names = [re.sub(r"/\d+", "/N", name) for name in d.counters()]
        self.assertEqual(names.count("worker/N"), 2)
        counters = section(page("echod.8"), "COUNTERS")
        self.assertEqual(re.findall(r"^\.It Ic (\S+)$", counters, re.M), names[:-1])

    def test_kinds(self):
        """echod.journal(7) has each kind of record as src/base/event.h has it, and each field once"""
        table = read(harness.SRCDIR, "src/base/event.h")
        rows = re.findall(r'define EVENT_(\w+)[ \\\n\t]+EVENT\((\w+), "(\w+)", "([0-9a-f]{32})"\)', table)
        kinds = harness.kinds()
        self.assertEqual([(name.upper(), kind.level.upper(), name, kind.id)
                          for name, kind in kinds.items()], rows)
        self.assertEqual(len({kind.id for kind in kinds.values()}), len(rows))
        explained = re.findall(r"^\.It Va (.*)$", section(page("echod.journal.7"), "FIELDS OF RECORDS"), re.M)
        self.assertEqual(sorted(field for line in explained for field in line.split(" , ")),
                         sorted({f for kind in kinds.values() for f in kind.fields}))

    def test_fields(self):
        """the fields that the source gives an event are those of its kind in echod.journal(7)"""
        source = "".join(read(path) for path in glob.glob(harness.SRCDIR + "/src/*/*.c"))
        calls = re.findall(r'log_event\w*\(\s*EVENT_(\w+),\s*(?:NULL|FIELDS\((.*?)\)),\s*["t]', source, re.S)
        kinds = harness.kinds()
        self.assertGreater(len(calls), 20)
        for event, arguments in calls:
            fields = set(re.findall(r'FIELD\w*\("(\w+)"', arguments))
            if "FIELD_ERRNO(" in arguments:
                fields |= {"ERRNO", "ECHOD_ERROR"}
            self.assertEqual(fields, set(kinds[event.lower()].fields), event)

    def test_catalog(self):
        """the catalog has each kind, in order, and only fields that its records have"""
        entries = re.split(r"^-- (\w+)\n", read(harness.SRCDIR, "systemd/echod.catalog"), flags=re.M)[1:]
        kinds = harness.kinds()
        self.assertEqual(entries[0::2], [kind.id for kind in kinds.values()])
        for kind, entry in zip(kinds.values(), entries[1::2]):
            self.assertRegex(entry, r"\ASubject: .*\nDefined-By: echod\nDocumentation: man:echod\(8\) "
                                    r"man:echod.conf\(5\)\n\n")
            for field in re.findall("@(.*?)@", entry):
                self.assertTrue(any(fnmatch.fnmatchcase(field, f) for f in kind.fields), field)

    def test_signals(self):
        """the signals that the daemon handles are those in echod(8)"""
        with Echod(env={"WATCHDOG_USEC": "60000000"}) as d:
            status = harness.task(d.pid, d.pid, "status")
        blocked = int(re.search(r"^SigBlk:\s*(\w+)", status, re.M).group(1), 16)
        handled = {s.name for s in signal.Signals if blocked >> (s - 1) & 1}
        entries = re.findall(r"^\.It Dv (SIG.*)$", section(page("echod.8"), "SIGNALS"), re.M)
        self.assertEqual({name for entry in entries for name in re.findall(r"\w+", entry)}, handled)

    def test_names(self):
        """every option or counter that a page names exists"""
        options = {name for name, _ in assignments(defaults())}
        counters = set(re.findall(r"^\.It Ic (\S+)$", page("echod.8"), re.M))
        for name, known in (("echod.8", options | counters), ("echod.conf.5", options),
                            ("echod.journal.7", options | counters)):
            macros = re.findall(r"\bIc (.*?)(?: (?:=|No|Ta) |$)", page(name), re.M)
            words = {w for m in macros for w in re.findall(r"[a-z]\S+", m)}
            self.assertTrue(words)
            self.assertEqual(words - known, set())

    def test_units(self):
        """what the pages say of the units is what they set"""
        unrestarted = re.search(r"^After (.*) the shipped units do not restart",
                                section(page("echod.8"), "EXIT STATUS"), re.M).group(1)
        seconds = re.search(r"units give a stop (\d+) seconds", page("echod.conf.5")).group(1)
        shown = re.findall("^ExecReload=(.+)$", text_of(section(page("echod.8"), "EXAMPLES")), re.M)
        for name, capabilities in (("echod", "CAP_NET_BIND_SERVICE"), ("echod-sealed", "")):
            unit = read(harness.BUILDDIR, f"systemd/{name}.service")
            setting = lambda name: re.search(rf"^{name}=(.*)$", unit, re.M).group(1)
            self.assertEqual(setting("RestartPreventExitStatus").split(), re.findall(r"\d+", unrestarted))
            self.assertEqual((setting("TimeoutStopSec"), setting("CapabilityBoundingSet"), setting("User")),
                             (seconds, capabilities, "echod"))
            self.assertEqual(re.findall("^ExecReload=(.+)$", unit, re.M)[1:], shown[1:])
        self.assertIn("at most five tries", page("echod.8"))
        self.assertIn("TriggerLimitBurst=5\n", read(harness.SRCDIR, "systemd/echod.socket.in"))

    @harness.needs("ss", "ps")
    def test_troubleshooting(self):
        """the commands of echod(8) that list connections, listeners and threads show them"""
        text = "".join(displays(page("echod.8"), "TROUBLESHOOTING")).replace("|\n", "|").replace("\\\n", "")
        commands = [line for line in text.splitlines() if re.match("(ss|ps) ", line) and "K " not in line]
        self.assertGreater(len(commands), 5)
        with Echod() as d, d.connect() as s:
            self.assertEchoes(s)
            client = r"127\.0\.0\.1:%d\b" % s.getsockname()[1]
            for command in commands:
                shown = subprocess.run(
                    command.replace("sport = :7'", f"sport = :{d.port}'").replace("192.0.2.0/24", "127.0.0.0/8")
                    .replace("$(systemctl show -P MainPID echod)", str(d.pid)),
                    shell=True, check=True, capture_output=True, text=True).stdout
                expected = ("acceptor" if command.startswith("ps") else rf":{d.port}\b" if " -ltn" in command
                            else r" 1 127\.0\.0\.1\n" if "|" in command else client)
                self.assertRegex(shown, expected, command)

    def test_commands(self):
        """the options in echod(8)'s example commands are accepted"""
        commands = [line.split()[1:] for display in displays(page("echod.8"))
                    for line in display.splitlines() if line.startswith("echod ")]
        self.assertGreater(len(commands), 1)
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "echod.conf"), "w") as f:
                f.write(sample())
            for args in commands:
                args += ["-c", "./echod.conf"] * ("-c" not in args) + ["-t"] * ("-p" not in args)
                self.assertEqual(run(*args, cwd=directory)[0], 0, args)

    @harness.needs("mandoc")
    def test_rendering(self):
        """mandoc has nothing to say against the pages, and none is wider than 80 columns"""
        for name in PAGES:
            self.assertEqual(mandoc(name, "-T", "lint"), "")
            shown = re.sub(".\b", "", mandoc(name, "-T", "utf8", "-O", "width=78"))
            self.assertEqual([line for line in shown.splitlines() if len(line) > 80], [])
        shown = re.sub(" +", " ", re.sub(".\b", "", mandoc("echod.conf.5", "-T", "utf8")))
        for row in re.findall(r"^\.It Ic (\w+ Ta .*)$", page("echod.conf.5"), re.M):
            self.assertIn("\n " + " ".join(cell for cell in row.split(" Ta ") if cell != '""') + "\n", shown)


# The fields of an option of echoc(1).
FIELDS_OF_CLIENT = {
    "default": re.compile(r"^Default:\n\.Ql (\S+) \.$", re.M),
    "range": re.compile(r"^Range: (\S+) to (\d+)( seconds)?\.$", re.M),
}

COMMANDS = ("talk", "ping", "load", "compare", "plot")

# No address, so a command line with it ends before anything is sent, with a
# complaint about it if all else is right.
NOBODY = "["
NOT_A_TARGET = "not HOST, HOST:PORT or [IPv6]:PORT"


def subsection(title):
    found = re.search(rf"^\.Ss {re.escape(title)}\n(.*?)(?=^\.S[hs] |\Z)", page("echoc.1"),
                      re.M | re.S)
    if not found:
        raise AssertionError(f"no subsection {title}")
    return found.group(1)


def echoc(*args, **options):
    """Runs echoc to its end; returns status, stdout and stderr."""
    p = subprocess.run([harness.ECHOC, *args], **{
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
        "text": True, "timeout": harness.DEADLINE, **options})
    return p.returncode, p.stdout, p.stderr


def client_help(command):
    """{frozenset of forms: (argument, default or None)} of a command's --help."""
    options, letter = {}, None
    for line in re.findall("^  .*", echoc(command, "--help")[1], re.M):
        default = re.search(r" \(([\w.,]+)\)$", line)
        for form in line[:33].strip().split(", "):
            if form.startswith("--"):
                name, _, argument = form.partition(" ")
                options[frozenset({letter or name, name})] = argument, default and default.group(1)
            letter = None if form.startswith("--") else form
    return options


def client_manual(command):
    """{frozenset of forms: text of the entry} of a command's options in echoc(1)."""
    entries = {}
    for title, text in re.findall(r"^\.Ss Options of (.*)\n((?:.*\n)*?)(?=\.S[hs])", page("echoc.1"), re.M):
        if command in title or title == "all commands":
            parts = re.split(r"^\.It (Fl .*)$", text, flags=re.M)[1:]
            entries.update({frozenset(flags(head)): head + text for head, text in zip(parts[0::2], parts[1::2])})
    return entries


def long_form(forms):
    return max(forms, key=len)


def shape(text):
    """A text with N for each number."""
    return re.sub(r"[\d.]*\d", "N", re.sub(r"localhost", "127.0.0.1", text)).strip("\n")


def shapes(title):
    """What the displays of a subsection show, with folded lines in one."""
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", subsection(title), re.M | re.S)
    return [shape(re.sub(r"\n {8,}", "  ", text_of(block))) for block in blocks]


class Examples(harness.Test):
    """What README.md, SECURITY.md and the like show in indented lines."""

    def lines(self, path):
        return [line for line in read(harness.SRCDIR, path).splitlines() if line.startswith("    ")]

    def test_width(self):
        """each line of an example fits in 80 columns"""
        for path in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "tests/README.md", "docs/outages.md", "docs/performance.md",
                     "docs/scaling.md", "docs/service.md"):  # comparison.md shows the demo's output
            for line in self.lines(path):
                self.assertLessEqual(len(line), 80, f"{path}: {line}")

    def test_settings(self):
        """SECURITY.md advises what echod.conf(5)'s example for a public port has"""
        shown = assignments("\n".join(line.strip() for line in self.lines("SECURITY.md")))
        self.assertGreater(len(shown), 3)
        self.assertEqual(set(shown) - set(assignments(displays(page("echod.conf.5"))[-1])), set())

    def test_refusals(self):
        """README.md shows messages as they are"""
        shown = [line.strip() for line in self.lines("README.md") if "echod: error: x.conf:" in line]
        self.assertGreater(len(shown), 1)
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "x.conf"), "w") as f:
                f.write("hand_over = 1\nworker = 1\n")
            self.assertEqual(run("-t", "-c", "x.conf", cwd=directory)[2].splitlines(), shown)


class Client(harness.Test):
    def test_options(self):
        """echoc(1) and --help of each command name the same options, with the same defaults"""
        for command in COMMANDS:
            told, written = client_help(command), client_manual(command)
            general = {frozenset(["-h", "--help"]), frozenset(["-V", "--version"])}
            self.assertEqual(set(written) - general, set(told), command)
            self.assertLessEqual(general, set(written))
            for forms, (argument, default) in told.items():
                head = written[forms].splitlines()[0]
                self.assertEqual(" Ar " in head, bool(argument), head)
                self.assertEqual(FIELDS_OF_CLIENT["default"].findall(written[forms]), [default] if default else [])

    def test_synopsis(self):
        """echoc(1)'s SYNOPSIS shows each option with a command that takes it, in one form"""
        *parts, other = re.split(r"^\.Nm$", section(page("echoc.1"), "SYNOPSIS"), flags=re.M)[1:]
        self.assertEqual(flags(other), {"-V", "-h"})
        for command, part in zip(COMMANDS, parts, strict=True):
            self.assertEqual(flags(part), {min(forms, key=len) for forms in client_help(command)}, command)

    def test_screen(self):
        """--help of each command fits a terminal of 80 columns and 24 lines, with the next prompt"""
        for args in ([], *([command] for command in COMMANDS)):
            status, out, message = echoc(*args, "--help")
            self.assertEqual((status, message), (0, ""))
            self.assertLess(out.count("\n"), 24, args)
            self.assertLessEqual(max(map(len, out.splitlines())), 80, args)
            for line in re.findall("^  .*", out, re.M) if args else ():
                self.assertRegex(line, "^.{31}[^-] [^ ]")
        self.assertEqual(re.findall("^  ([a-z]+) ", echoc("--help")[1], re.M), list(COMMANDS))

    def test_commands(self):
        """each command takes the options that echoc(1) names for it, and no other"""
        all_options = {form: entry for command in COMMANDS for forms, entry in client_manual(command).items()
                       for form in forms}
        for command in COMMANDS:
            own = {form: entry for forms, entry in client_manual(command).items() for form in forms}
            last = {"compare": "missing file", "plot": f"{NOBODY}: No such file"}.get(command, NOT_A_TARGET)
            for form, entry in {**all_options, **own}.items():
                if form in ("-h", "--help", "-V", "--version"):
                    continue
                low = FIELDS_OF_CLIENT["range"].search(entry)
                low = low or FIELDS_OF_CLIENT["default"].search(entry)
                example = low.group(1) if low else "p99=5ms" if form == "--find-rate" else "127.0.0.1"
                value = [example] if " Ar " in entry.splitlines()[0] else []
                status, _, message = echoc(command, form, *value, NOBODY)
                self.assertEqual(status, 2, form)
                self.assertIn(last if form in own else f"not an option of {command}: {form}\n", message)

    def ranges(self):
        """The options of echoc(1) with a range: (command, long form, least, most)"""
        for command in COMMANDS:
            for forms, entry in client_manual(command).items():
                for low, high, _ in FIELDS_OF_CLIENT["range"].findall(entry):
                    yield command, long_form(forms), low, high

    def test_ranges(self):
        """the ranges in echoc(1) are those that echoc enforces"""
        self.assertGreater(len(list(self.ranges())), 15)
        for command, option, low, high in self.ranges():
            below = str(Decimal(low) * 9 / 10 if "." in low else int(low) - 1)
            for value, right in ((low, True), (high, True), (below, False), (str(int(high) + 1), False)):
                status, _, message = echoc(command, f"{option}={value}", NOBODY)
                self.assertEqual(status, 2, option)
                self.assertEqual(NOT_A_TARGET in message, right, (option, value))
                self.assertEqual(f'"{value}" is not allowed, only a ' in message, not right, (option, value))

    def test_limits(self):
        """echoc takes as many sources as echoc(1) says"""
        most = int(re.search(r"there can be (\d+) in all", page("echoc.1").replace("\n", " ")).group(1))
        for n, expected in ((most, NOT_A_TARGET), (most + 1, f"is not allowed, only {most} addresses")):
            sources = ",".join(f"127.0.0.{i % 250 + 1}" for i in range(n))
            self.assertIn(expected, echoc("load", "--source", sources, NOBODY)[2])

    def test_default_size(self):
        """a message without --size, and a ping without --count, are as echoc(1) says"""
        default = {long_form(forms): values[1] for forms, values in client_help("load").items()}
        with Echod() as d:
            out = echoc("load", "--messages", "1", "--json", f"127.0.0.1:{d.port}")[1]
            ping = echoc("ping", "-c", "1", f"127.0.0.1:{d.port}")[1]
        self.assertEqual(json.loads(out)["bytes_sent"], int(default["--size"]))
        self.assertEqual(json.loads(out)["connections"], int(default["--connections"]))
        self.assertIn(f", {default['--size']} bytes of data", ping)

    def test_json(self):
        """echoc(1) has each name of the JSON Schema and none besides; test_report.py validates real results by that"""
        def names_in(schema):
            own = schema.get("properties", {})
            inner = [*own.values(), *schema.get("$defs", {}).values(), *filter(None, [schema.get("items")])]
            return set(own).union(*map(names_in, inner))
        entries = re.findall(r"^\.It Ic (.*)$", subsection("JSON"), re.M)
        named = {name for entry in entries for name in entry.split(" , ") if not re.fullmatch(r"p[\d.]+", name)}
        self.assertEqual(names_in(json.loads(read(harness.SRCDIR, "docs/echoc.schema.json"))), named)
        used = set(re.findall(r"\w+", " ".join(re.findall(r"^\.Ic (.*)$", page("echoc.1"), re.M))))
        self.assertTrue(used)
        self.assertEqual(used - named, set())
        version = json.loads(echoc("ping", "--json", "-c", "1", self.echo())[1])["version"]
        self.assertIn(f"this page is of {version}.", page("echoc.1"))

    def echo(self):
        """The target of a daemon, which is gone at the end of the test."""
        daemon = Echod()
        daemon.__enter__()
        self.addCleanup(daemon.__exit__, None, None, None)
        return f"127.0.0.1:{daemon.port}"

    def test_output(self):
        """ping and load print the lines that echoc(1) shows"""
        target = self.echo()
        ping = echoc("ping", "-c", "2", "-i", "0.01", target)[1]
        load = echoc("load", "--rate", "20000", "--messages", "10000", "--connections", "10", target)[1]
        self.assertEqual([shape(ping)], shapes("Lines of ping"))
        shown = shapes("Summary of load")[0].splitlines()
        begins = lambda lines: re.findall(r"(?m)^[a-z]\S*", "\n".join(lines))
        self.assertEqual(begins(shape(load).splitlines()), begins(shown))
        self.assertRegex(load, "\\AAll 10,000 messages came back right[.]\n\n")

    def test_progress(self):
        """load shows its progress as echoc(1) does, at a terminal and without -q"""
        ours, theirs = os.openpty()
        with Echod() as d, open(ours, "rb", 0) as screen, open(theirs, "wb", 0) as terminal:
            for args in (["-q", "--duration", "1.1"], ["--duration", "1.5"]):
                status = echoc("load", *args, f"127.0.0.1:{d.port}",
                               stderr=terminal)[0]
                self.assertEqual(status, 0)
            os.write(theirs, b"end\n")
            lines = b""
            while not lines.endswith(b"end\r\n"):
                lines += os.read(ours, 4096)
        words = lambda lines: [re.sub("[mu]s", "us", line.replace("N,N", "N")).split() for line in lines]
        self.assertEqual(words(map(shape, lines.decode().splitlines()[:-1])),
                         words(shapes("Progress of load")[0].splitlines()))

    def test_histogram(self):
        """--histogram has the columns and lines that echoc(1) describes"""
        self.assertIn("Three lines that begin with\n.Ql #\n",
                      section(page("echoc.1"), "HISTOGRAM FILE"))
        with Echod() as d, tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "h")
            out = echoc("load", "--messages", "100", "--json", "--histogram", path,
                        f"127.0.0.1:{d.port}")[1]
            lines = read(path).splitlines()
        rows = [line.split() for line in lines[1:] if line and not line.startswith("#")]
        self.assertEqual(len([line for line in lines if line.startswith("#")]), 3)
        self.assertEqual({len(row) for row in rows[:-1]}, {4})
        for value, share, seen, inverse in rows[:-1]:
            self.assertAlmostEqual(float(inverse), 1 / (1 - float(share)), delta=0.01)
            self.assertLess(int(seen), 100)
        self.assertEqual(rows[-1][1:], ["1.000000000000", "100"])
        longest = json.loads(out)["latency_us"]["max"]
        self.assertAlmostEqual(float(rows[-1][0]), longest, delta=0.001)

    def listed_statuses(self):
        return [int(n) for n in re.findall(r"^\.It (\d+)$", section(page("echoc.1"), "EXIT STATUS"),
                                           re.M)]

    def test_statuses(self):
        """the exit statuses in echoc(1) are right"""
        self.assertEqual(self.listed_statuses(), [0, 1, 2])
        for args in (["-V"], ["-h"]):
            self.assertEqual(echoc(*args)[0], 0, args)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))  # and does not listen
            dead = "127.0.0.1:%d" % s.getsockname()[1]
            for args in ([], ["-x", dead], ["ping", "-c", "0", dead], ["load", NOBODY],
                         ["ping", dead], ["load", dead], [dead]):
                self.assertEqual(echoc(*args)[0], 2, args)
            status, out, message = echoc("load", "--json", dead)
            self.assertEqual((status, json.loads(out)["connect_failures"]), (2, 1))
            self.assertIn("Connection refused", message)
            self.assertEqual(echoc("ping", "--json", dead)[1], "")
        with Echod() as d:
            target = f"127.0.0.1:{d.port}"
            with open("/dev/full", "w") as full:
                for args in (["-V"], ["-h"], ["ping", "-c", "1", target],
                             ["load", "--messages", "1", target]):
                    self.assertEqual(echoc(*args, stdout=full)[0], 2, args)
            self.assertEqual(echoc("load", "--messages", "1", "--histogram", "/no/such/file",
                                   target)[0], 2)

    def commands(self):
        """The commands of echoc(1)'s examples, each with all its lines."""
        text = "".join(displays(page("echoc.1"))).replace("\\\n", " ")
        return [line for line in text.splitlines() if re.search(r"\bechoc (?!compare|plot)", line)]

    def shell(self, command, **options):
        """Runs a command of the page with our echoc; returns status, stdout and stderr."""
        command = re.sub(r"\bechoc ", shlex.quote(harness.ECHOC) + " ", command)
        p = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=harness.DEADLINE, **options)
        return p.returncode, p.stdout, p.stderr

    def test_examples_parse(self):
        """the options in echoc(1)'s examples are accepted, and their target is the server's"""
        listen = re.search(r"listen=(\S+)", section(page("echoc.1"), "EXAMPLES")).group(1)
        self.assertIn(f"listen={listen}", text_of(section(page("echod.8"), "EXAMPLES")))
        self.assertGreater(len(self.commands()), 5)
        for command in self.commands():
            self.assertEqual(command.count(f" {listen}"), 1, command)
            with tempfile.TemporaryDirectory() as directory:
                status, _, message = self.shell(command.replace(listen, f"'{NOBODY}'"),
                                                cwd=directory)
            self.assertEqual(status, 2, command)
            self.assertIn(NOT_A_TARGET, message, command)

    def test_examples(self):
        """echoc(1)'s examples of ping and load work, here with less time and fewer connections"""
        # The last option of a name is in force.
        shorter = {"ping": "-i 0.01 -c 3", "load": "--duration 0.2"}
        with Echod() as d, tempfile.TemporaryDirectory() as directory:
            for command in self.commands():
                verb = re.search(r"echoc (ping|load)\b", command)
                if not verb or "--find-rate" in command:  # whose status depends on how busy the machine is
                    continue
                verb = verb.group(1)
                few = re.sub(r"(--connections \d\d)\d+", r"\1", command)
                few = re.sub(r"--ramp \d+", "--ramp 0.1", few)
                few = re.sub(r"--messages \d+", "--messages 50", few)
                options = "" if "--messages" in few or "-c " in few else shorter[verb]
                few = re.sub(r"-c \d+", "-c 2 -i 0.01", few)
                status, out, message = self.shell(
                    few.replace("127.0.0.1:7007", f"127.0.0.1:{d.port} {options}"), cwd=directory)
                self.assertEqual((status, message), (0, ""), few)
            written = os.listdir(directory)
        files = re.findall(r"(?:--histogram |>)([\w.]+)", "\n".join(self.commands()))
        self.assertEqual(set(written), set(files))


class Rows:
    """A table of tests/, and the marks of its rows in the descriptions of tests."""

    FOLDER = os.path.join(harness.SRCDIR, "tests")
    FILE = LETTER = None

    def rows(self):
        """The rows of the table: [(F1, [(file, test)])]"""
        lines = re.findall(rf"^\| ({self.LETTER}\d+) \|(.*)\|$", read(self.FOLDER, self.FILE), re.M)
        return [(row, re.findall(r"`((?:functional|system|unit)/\S+) (\S+)`", cells)) for row, cells in lines]

    def descriptions(self):
        """Each test, and class of tests, with what it says of itself: [(file, test, text)]"""
        for path in glob.glob(os.path.join(self.FOLDER, "*/*.py")):
            for c in (node for node in ast.parse(read(path)).body if isinstance(node, ast.ClassDef)):
                yield path, c.name, ast.get_docstring(c) or ""
                for f in (node for node in c.body if isinstance(node, ast.FunctionDef)):
                    yield path, f"{c.name}.{f.name}", ast.get_docstring(f) or ""
        for path in glob.glob(os.path.join(self.FOLDER, "unit/*.c")):
            comments = re.findall(r"/\*((?:[^*]|\*(?!/))*)\*/\nT(?:est|EST)\((\w+), (\w+)", read(path))
            for text, suite, test in comments:
                yield path, f"{suite}.{test}", text

    def marks(self):
        """The rows that tests name: {(row, file, test)}"""
        return {(row, os.path.relpath(path, self.FOLDER), name)
                for path, name, text in self.descriptions()
                for mark in re.findall(r"\[([A-Z]\d+(?: [A-Z]\d+)*)\]", text)
                for row in mark.split() if row[0] == self.LETTER}

    def test_complete(self):
        """the rows are numbered without gaps, and each has a test"""
        rows = self.rows()
        self.assertEqual([row for row, _ in rows], [f"{self.LETTER}{n}" for n in range(1, len(rows) + 1)])
        self.assertGreater(len(rows), 10)
        self.assertEqual([row for row, tests in rows if not tests], [])

    def test_agree(self):
        """each test of a row exists and names that row, and no other test does"""
        table = {(row, *test) for row, tests in self.rows() for test in tests}
        self.assertEqual(sorted(table - self.marks()), [], "in the table, not in a test")
        self.assertEqual(sorted(self.marks() - table), [], "in a test, not in the table")


class Failures(Rows, harness.Test):
    """Failures of servers of this kind."""

    FILE, LETTER = "failures.md", "F"


class Promises(Rows, harness.Test):
    """Promises, under attack."""

    FILE, LETTER = "promises.md", "P"


if __name__ == "__main__":
    harness.main()
