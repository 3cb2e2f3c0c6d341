# SPDX-License-Identifier: MIT
"""The configuration: what each text means, or what is wrong with it; and which files are read."""

import os
import re
import tempfile

import harness
from harness import run

CASE = re.compile(r"^=== (?P<title>.*)\n(?P<overrides>(?:-o .*\n)*)(?P<text>(?:.*\n)*?)"
                  r"---\n(?P<expected>(?:(?!=== ).*\n)*)", re.M)


def read(name):
    with open(os.path.join(os.path.dirname(__file__), name)) as f:
        return f.read()


class Conf(harness.Test):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "echod.conf")

    def write(self, data):
        with open(self.path, "wb") as f:
            f.write(data)

    def outcome(self, *args):
        """What -p prints that is no default, or the messages, without what is always the same."""
        env = {**os.environ, "PORT": "1234", "LEVEL": "debug"}
        status, out, err = run("-p", "-c", self.path, *args, env=env)
        self.assertIn((status, bool(out), bool(err)), ((0, True, False), (78, False, True)), err)
        self.printed = out
        new = [line for line in out.splitlines() if line not in self.defaults()]
        messages = [line.replace("echod: error: ", "", 1).replace(self.path, "FILE")
                    for line in err.splitlines()]
        return new + messages

    def defaults(self):
        if not hasattr(Conf, "default_lines"):
            Conf.default_lines = run("-p", "-c", "/dev/null")[1].splitlines()
        return Conf.default_lines

    def assertOutcome(self, data, *expected):
        self.write(data)
        self.assertEqual(self.outcome(), list(expected), data[:200])

    def check(self, case):
        overrides = re.findall("^-o (.*)$", case["overrides"], re.M)
        expected = case["expected"].splitlines()
        self.write(case["text"].encode())
        outcome = self.outcome(*[arg for o in overrides for arg in ("-o", o)])
        if expected and expected[0].startswith("*"):  # so many messages, whatever they say
            del outcome[:int(expected.pop(0)[1:])]
        self.assertEqual(outcome, expected, f"{case['title']}:\n{case['text']}")
        if self.printed:
            self.assertOutcome(self.printed.encode(), *expected)

    def test_cases(self):
        """each text means what conf.cases says, as does what -p prints, or all its errors are told [F46]"""
        cases = list(CASE.finditer(read("conf.cases")))
        self.assertEqual(len(cases), read("conf.cases").count("\n=== "))
        for case in cases:
            self.check(case)

    def test_encodings(self):
        """line ends of other systems and a byte order mark are taken, or named"""
        self.assertOutcome(b"\xef\xbb\xbfworkers = 2\r\n# c\r\nlisten = {127.0.0.1:1,\r\n127.0.0.1:2}\r\n",
                           'listen = {"127.0.0.1:1", "127.0.0.1:2"}', "workers = 2")
        self.assertOutcome(b"# c\r\n\r\nworkers = x\r\n",
                           'FILE:3: workers = "x" is not allowed, only a number from 0 to 256')
        self.assertOutcome(b"# c\rworkers = 2\r", "FILE: has a carriage return within a line, "
                           "end lines with a line feed")
        for encoding in ("utf-16-le", "utf-16-be"):
            self.assertOutcome("\ufeffworkers = 2\n".encode(encoding),
                               "FILE: is encoded in UTF-16, save it as UTF-8")
        self.assertOutcome("workers = 2\n".encode("utf-16-le"),
                           "FILE: contains a NUL byte, so it is not a text")
        self.assertOutcome(b"log_level = \xff\n", 'FILE:1: log_level = "?" is not allowed, only error, '
                           "warning, info or debug")

    def test_size(self):
        """64 KiB are read to the end, and no more"""
        self.assertOutcome(b"#" * (65536 - 12) + b"\nworkers = 3", "workers = 3")
        self.assertOutcome(b"#" * 65537, "FILE: is larger than 64 KiB")

    def test_nul(self):
        """what stands behind a NUL byte is not ignored in silence"""
        self.assertOutcome(b"workers = 3\n\0backlog = 4\n",
                           "FILE: contains a NUL byte, so it is not a text")

    def test_not_a_file(self):
        """what is no regular file is refused at once: a directory, a FIFO, a device, a dangling link"""
        os.mkdir(self.path)
        self.assertEqual(self.outcome(), ["FILE: is not a regular file"])
        os.rmdir(self.path)
        os.mkfifo(self.path)
        self.assertEqual(self.outcome(), ["FILE: is not a regular file"])
        os.unlink(self.path)
        os.symlink("/dev/zero", self.path)
        self.assertEqual(self.outcome(), ["FILE: is not a regular file"])
        os.unlink(self.path)
        os.symlink("/dev/null", self.path)
        self.assertEqual(self.outcome(), [])
        os.unlink(self.path)
        os.symlink("nowhere", self.path)
        self.assertEqual(self.outcome(), ["FILE: is a symbolic link to nowhere, which does not exist"])
        os.unlink(self.path)
        os.symlink("echod.conf", self.path)
        self.assertEqual(self.outcome(), ["FILE: Too many levels of symbolic links"])
        os.unlink(self.path)
        self.assertEqual(self.outcome(), ["FILE: No such file or directory"])

    def test_unreadable(self):
        """a file that may not be read is named with the user to whom it is forbidden"""
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        self.write(b"")
        os.chmod(self.path, 0)
        self.assertEqual(self.outcome(), [f"FILE: Permission denied for user {os.geteuid()}"])


if __name__ == "__main__":
    harness.main()
