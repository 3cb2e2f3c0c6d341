# SPDX-License-Identifier: MIT
"""The configuration: what each text means, or what is wrong with it; and which files are read."""

import os
import re
import tempfile

import harness
from harness import run

CASES = os.path.join(os.path.dirname(__file__), "conf.cases")


def case(text):
    """Title, overrides, text and expected outcome of a case in conf.cases."""
    head, _, rest = text.partition("---\n")
    title, *lines = head.splitlines()
    overrides, content, of_file, of_overrides = [], [], [], []
    for line in lines:
        line, _, message = line.partition(" ;; ")
        setting = line.removeprefix("-o ")
        if message.startswith("only "):
            name, value = re.match(r'(\w+)\s*=\s*"?(.*?)"?$', setting).groups()
            message = f'{name} = "{value}" is not allowed, {message}'
        if setting != line:
            overrides += ["-o", setting]
            of_overrides += [f"{line}: {message}"] if message else []
        else:
            content.append(line + "\n")
            of_file += [f"FILE:{len(content)}: {message}"] if message else []
    return title, overrides, "".join(content), of_file + of_overrides + rest.splitlines()


class Conf(harness.Test):
    def setUp(self):
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "echod.conf")
        self.defaults = run("-p", "-c", "/dev/null")[1].splitlines()

    def outcome(self, *args):
        """What -p prints that is no default, or the messages, without what is always the same."""
        env = {**os.environ, "PORT": "1234", "LEVEL": "debug"}
        status, out, err = run("-p", "-c", self.path, *args, env=env)
        self.assertIn((status, bool(out), bool(err)), ((0, True, False), (78, False, True)), err)
        self.printed = out
        new = [line for line in out.splitlines() if line not in self.defaults]
        return new + [line.replace("echod: error: ", "", 1).replace(self.path, "FILE")
                      for line in err.splitlines()]

    def assertOutcome(self, data, *expected, args=(), what=""):
        """Each line is as expected; one that ends in "..." begins so."""
        with open(self.path, "wb") as f:
            f.write(data)
        outcome = self.outcome(*args)
        for i, line in enumerate(expected[:len(outcome)]):
            if line.endswith("...") and outcome[i].startswith(line[:-3]):
                outcome[i] = line
        self.assertEqual(outcome, list(expected), what or data[:200])

    def test_cases(self):
        """each text means what conf.cases says, as does what -p prints, or all its errors are reported [F46]"""
        cases = harness.read(CASES).split("\n=== ")[1:]
        self.assertGreater(len(cases), 30)
        for title, overrides, text, expected in map(case, cases):
            self.assertOutcome(text.encode(), *expected, args=overrides, what=title)
            if self.printed:
                self.assertOutcome(self.printed.encode(), *expected, what=title)

    def test_bytes(self):
        """what no text file of this system has: other line ends and encodings, NUL, and its limits"""
        wrong = 'FILE:%d: %s = "%s" is not allowed, only ...'
        nul = "FILE: contains a NUL byte, so it is not a text file"
        for data, *expected in (
                (b"\xef\xbb\xbfworkers = 2\r\n# c\r\nlisten = {127.0.0.1:1,\r\n127.0.0.1:2}\r\n",
                 'listen = {"127.0.0.1:1", "127.0.0.1:2"}', "workers = 2"),
                (b"# c\r\n\r\nworkers = x\r\n", wrong % (3, "workers", "x")),
                (b"# c\rworkers = 2\r",
                 "FILE: has a carriage return within a line, end lines with a line feed"),
                (b"\xff\xfew\0=\0", "FILE: is encoded in UTF-16, save it as UTF-8"),
                (b"\xfe\xff\0w\0=", "FILE: is encoded in UTF-16, save it as UTF-8"),
                (b"w\0=\0", nul),
                (b"workers = 3\n\0backlog = 4\n", nul),
                (b"log_level = \xff\n", wrong % (1, "log_level", "?")),
                (b"#" * (65536 - 12) + b"\nworkers = 3", "workers = 3"),
                (b"#" * 65537, "FILE: is larger than 64 KiB"),
                (b"x =\n" * 20 + b"\n", *['FILE:...'] * 20),
                (b"x =\n" * 21, *['FILE:...'] * 20, "there are more errors")):
            self.assertOutcome(data, *expected)

    def test_not_a_file(self):
        """what is no regular file is refused at once: a directory, a FIFO, a device, a dangling link"""
        irregular = "FILE: is not a regular file"
        for make, *expected in (
                (os.mkdir, irregular), (os.mkfifo, irregular),
                (lambda path: os.symlink("/dev/zero", path), irregular),
                (lambda path: os.symlink("/dev/null", path),),
                (lambda path: os.symlink("nowhere", path),
                 "FILE: is a symbolic link to nowhere, which does not exist"),
                (lambda path: os.symlink("echod.conf", path),
                 "FILE: Too many levels of symbolic links"),
                (lambda path: None, "FILE: No such file or directory")):
            make(self.path)
            self.assertEqual(self.outcome(), expected)
            if os.path.lexists(self.path):
                os.rename(self.path, tempfile.mktemp(dir=os.path.dirname(self.path)))

    def test_unreadable(self):
        """a file that may not be read is named with the user that may not"""
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        with open(self.path, "w") as f:
            os.chmod(f.fileno(), 0)
        self.assertEqual(self.outcome(), [f"FILE: Permission denied for user {os.geteuid()}"])


if __name__ == "__main__":
    harness.main()
