# SPDX-License-Identifier: MIT
"""echoc and what it runs in: signals, standard streams, shells."""

import os
import pty
import re
import select
import signal
import subprocess
import tempfile

import harness
from client import Client, mask, target_of
from harness import ECHOC, Echod


class Signals(Client):
    def test_nohup(self):
        """what is ignored when it starts stays ignored, as with nohup(1); the rest ends it"""
        prefix = ("sh", "-c", 'trap "" HUP; exec "$@"', "-")
        with Echod() as d:
            for command in (("ping", "-i", "600"), ("load", "-d", 600, "-r", 0.001)):
                before = d.counters()["echoed"]
                p = self.start(*command, target_of(d), prefix=prefix)
                if "ping" in command:
                    self.assertIn("seq=1", p.stdout.readline() + p.stdout.readline())
                d.wait_counter("echoed", before + 64)
                harness.wait_until(lambda: mask(p, "SigBlk") & {signal.SIGTERM, signal.SIGCHLD} == {signal.SIGTERM}, "the signals")
                self.assertIn(signal.SIGHUP, mask(p, "SigIgn") - mask(p, "SigBlk"))
                p.send_signal(signal.SIGHUP)
                self.interrupt(p)
                r = self.finish(p)
                self.assertEqual((r.status, r.err), (0, ""))
                d.wait_open(0)

    def test_blocked_output(self):
        """SIGTERM ends it also while its output is not read"""
        with Echod() as d:
            p = self.start("ping", "-i", "0.0001", target_of(d))
            with open(f"/proc/{p.pid}/fd/1", "wb", 0) as output:
                harness.wait_until(lambda: not select.select([], [output], [], 0)[1], "a pipe without room")
            p.terminate()
            self.assertEqual(p.wait(harness.DEADLINE), 2)
            self.assertIn("it is not read, so the result is lost", p.stderr.read())


class Output(Client):
    def test_unwritable(self):
        """what cannot be written is reported, with status 2: to a full file system, or with nothing open"""
        with Echod() as d, open("/dev/full", "w") as full:
            for args in (["--help"], ["load", "--help"], ["-V"], ["ping", "-c", "1", target_of(d)],
                         ["ping", "-q", "-c", "1", target_of(d)], ["ping", "--json", "-c", "1", target_of(d)],
                         ["load", "-n", "1", target_of(d)], ["load", "--json", "-n", "1", target_of(d)]):
                for prefix, reason in (((), "No space left on device"),
                                       (("sh", "-c", 'exec "$@" >&-', "-"), "Bad file descriptor")):
                    p = subprocess.run([*prefix, ECHOC, *args], stdout=full, stderr=subprocess.PIPE, text=True)
                    self.assertEqual((p.returncode, p.stderr), (2, f"echoc: standard output: {reason}\n"), args)


class Completion(Client):
    """What shells offer for the beginning of a command line."""

    def setUp(self):
        self.folder = os.path.join(harness.BUILDDIR, "completion")

    def check(self, complete):
        """complete(line) returns the set of what is offered for its last word."""
        self.assertLessEqual({"talk", "ping", "load"}, complete("echoc "))
        self.assertEqual(complete("echoc pi"), {"ping"})
        for command in "ping", "load", "plot":
            heads = re.findall("^  .{31}", self.run_client(command, "--help").out, re.M)
            names = set(re.findall(r"--[\w-]+", "".join(heads))) | {"--help", "--version"}
            self.assertEqual(complete(f"echoc {command} --"), names)
        self.assertEqual(complete("echoc --ver"), {"--verify", "--version"})
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file.hgrm")
            open(path, "w").close()
            self.assertEqual(complete(f"echoc load --histogram {folder}/fi"), {path})
            self.assertEqual(complete(f"echoc compare {folder}/fi"), {path})
        self.assertEqual(complete("echoc load --rate "), set())

    def test_bash(self):
        """bash offers commands, options and files"""
        script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _echoc; printf "%s\\n" "${COMPREPLY[@]}"'

        def complete(line):
            p = subprocess.run(["bash", "-c", script, self.folder + "/echoc", *line.split(" ")],
                               capture_output=True, text=True, check=True)
            self.assertEqual(p.stderr, "")
            return set(p.stdout.split())
        self.check(complete)

    @harness.needs("fish")
    def test_fish(self):
        """fish offers commands, options and files"""
        def complete(line):
            p = subprocess.run(["fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]',
                                self.folder + "/echoc.fish", line], capture_output=True, text=True, check=True)
            self.assertEqual(p.stderr, "")
            return {offer.split("\t")[0] for offer in p.stdout.splitlines()}
        self.check(complete)

    @harness.needs("zsh")
    def test_zsh(self):
        """zsh completes commands and options, at a terminal"""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvp("zsh", ["zsh", "-f", "-i"])

        def type_and_expect(keys, text):
            os.write(terminal, keys.encode())
            seen = ""
            while text not in seen:
                self.assertTrue(select.select([terminal], [], [], harness.DEADLINE)[0], seen)
                seen += os.read(terminal, 4096).decode(errors="replace")
        try:
            type_and_expect(f"fpath=({self.folder} $fpath); autoload -Uz compinit; compinit -u -D; "
                            "show() { print -r -- \"<$BUFFER>\" }; zle -N show; bindkey ^X show; print rea''dy\n",
                            "ready\r\n")
            type_and_expect("echoc pi\t--cou\t5 --timeo\t\x18", "<echoc ping --count 5 --timeout >")
        finally:
            os.close(terminal)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    harness.main()
