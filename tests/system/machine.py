# SPDX-License-Identifier: MIT
"""Boots a real systemd in a container, with echod installed in it.

The machine is systemd-nspawn over an overlay of the running root, without
what is enabled there; its network has a loopback interface only.  It is driven
from outside, so a test is an ordinary one, and clients that it starts in the
machine's network survive the machine.  A boot takes a third of a second.

Nothing stays when a machine is closed, on failure and on ^C too: its mounts
are in a mount namespace of its own, its processes in a cgroup of its own.
"""

import atexit
import contextlib
import ctypes
import functools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../functional"))
import harness
from harness import DEADLINE, wait_until

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

# Runs in a mount namespace of its own: $1 a folder to mount on, $2 the installed tree, $3 more
# files, $4 the cgroup2 file system, $5 the machine's name.
#
# A view of cgroup2 alone is what makes IPAddressDeny= and the like work where the host has a
# hybrid hierarchy.  nspawn's own filter and capabilities are opened so far that it is the units'
# directives that forbid, and not the container.
BOOT = r"""
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
mkdir upper work root cgroup
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
rm -rf root/etc/systemd/system/* root/etc/rc?.d/* root/var/log/journal
cp -a "$2/." "$3/." root/
echo $$ >"$4/$5/cgroup.procs"
mount --bind "$4" cgroup
umount -R -l /sys/fs/cgroup
mount --bind cgroup /sys/fs/cgroup
status=133  # a reboot
while [ $status -eq 133 ]; do
    status=0
    setpriv --pdeathsig TERM systemd-nspawn --quiet --directory=root --machine="$5" --boot \
        --register=no --keep-unit --private-network --console=read-only --notify-ready=yes \
        --capability=all --system-call-filter='bpf @keyring' </dev/null || status=$?
done
exit $status
"""

# Not a part of what is tested, and slow or of no use without hardware and people.
# Nor shall a machine load modules into the kernel that it shares with us.
MASKED = ("getty.target", "modprobe@.service", "systemd-logind.service",
          "systemd-modules-load.service", "systemd-sysctl.service", "systemd-udevd.service")


def write(root, files):
    """Writes {path: text}; a text None masks a unit."""
    for path, text in files.items():
        path = os.path.join(root, path.lstrip("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text is None:
            os.symlink("/dev/null", path)
        else:
            with open(path, "w") as f:
                f.write(text)


def cgroup2():
    """Where the cgroup2 hierarchy is mounted, or None."""
    mounts = [line.split() for line in harness.read("/proc/self/mounts").splitlines()]
    return next((m[1] for m in mounts if m[2] == "cgroup2"), None)


def obstacle():
    """Why no machine can be booted here, or None."""
    missing = [p for p in ("systemd-nspawn", "unshare", "nsenter", "setpriv", "dbus-daemon",
                           "/usr/lib/systemd/systemd") if not shutil.which(p)]
    if os.geteuid() != 0:
        return "not root"
    if missing:
        return f"{', '.join(missing)} not installed"
    if not cgroup2():
        return "no cgroup2 file system"
    if re.match("/(home|root|tmp|var/tmp|run)/", ECHOD):
        return f"{ECHOD} is hidden from a hardened service; choose another --prefix"
    try:
        Machine().close()
    except (AssertionError, OSError) as e:
        return f"no container can be booted: {str(e).splitlines()[-1]}"
    return None


def temporary():
    """A folder that is gone when the program ends."""
    path = tempfile.mkdtemp(prefix="echod-system-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def variable(name):
    """A variable of the build's Makefile."""
    value = re.search(rf"^{name} = (.*)$", harness.read(harness.BUILDDIR, "Makefile"), re.M).group(1)
    return re.sub(r"\$\{(\w+)\}", lambda m: variable(m.group(1)), value)


def make(*args):
    """Runs make in the build folder as a packager does, and not as part of a running make."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run(["make", "-s", "-C", harness.BUILDDIR, *args], check=True, env=env,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@functools.cache
def installed():
    """A tree with the programs, units, user and manual, as a packager installs them."""
    tree = temporary()
    make("install", f"DESTDIR={tree}", "systemdsystemunitdir=/usr/lib/systemd/system",
         "sysusersdir=/usr/lib/sysusers.d", "systemdcatalogdir=/usr/lib/systemd/catalog")
    return tree


# Paths in a machine.
ECHOD = os.path.join(variable("sbindir"), "echod")
CONF = os.path.join(variable("sysconfdir"), "echod.conf")
UNITS = "/usr/lib/systemd/system"


class Machine:
    """A booted machine; a context that shuts it down.

    files are written before it boots, {path: text or None to mask a unit}.
    """

    running = set()

    def __init__(self, files=None):
        # PIDs are not unique: a test may run in a PID namespace, beside others.
        self.name = f"echod-test-{os.urandom(4).hex()}"
        self.directory = tempfile.TemporaryDirectory(prefix=self.name + "-")
        self.cgroup = os.path.join(cgroup2(), self.name)
        self.nspawn = None
        self.leader = None
        self.clients = []
        Machine.running.add(self)
        try:
            self._start({
                "etc/machine-id": os.urandom(16).hex() + "\n",
                "etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=volatile\n",
                **{f"etc/systemd/system/{unit}": None for unit in MASKED},
                **(files or {})})
            self.wait_booted()
        except BaseException:
            self.close()
            raise

    def _start(self, files):
        base = self.directory.name
        os.mkdir(os.path.join(base, "mnt"))
        os.mkdir(os.path.join(base, "files"))
        write(os.path.join(base, "files"), files)
        os.mkdir(self.cgroup)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(base, "notify"))
        self.console = open(os.path.join(base, "console"), "w+b", 0)
        # A session of its own: ^C is for the test, which shuts the machine down.
        self.nspawn = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
             "bash", "-c", BOOT, "boot", os.path.join(base, "mnt"), installed(),
             os.path.join(base, "files"), cgroup2(), self.name],
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": os.path.join(base, "notify")},
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console,
            start_new_session=True)

    def wait_booted(self):
        """Waits for the end of a boot, the first one or that of a reboot."""
        before, now = self.leader, self.leader
        with open(os.pidfd_open(self.nspawn.pid)) as end:
            while True:
                if self.notify not in select.select([self.notify, end], [], [], DEADLINE)[0]:
                    raise AssertionError("the machine does not boot:\n" + self.screen())
                told = dict(line.split("=", 1) for line in
                            self.notify.recv(4096).decode().splitlines())
                now = told.get("X_NSPAWN_LEADER_PID", now)
                # A machine says that it is ready at the end of each daemon-reload, too.
                if told.get("READY") == "1" and now != before:
                    break
        self.leader = now  # the machine's PID 1, as we number it

    def screen(self):
        """What the machine wrote to its console."""
        self.console.seek(0)
        return self.console.read().decode(errors="replace")

    def root(self, path):
        """Where a file of the machine is for us."""
        return f"/proc/{self.leader}/root/{path.lstrip('/')}"

    def read(self, path):
        return harness.read(self.root(path))

    def write(self, path, text):
        """Replaces a file as a careful administrator does: in one step."""
        write(self.root("/"), {path + ".new": text})
        os.rename(self.root(path + ".new"), self.root(path))

    def install(self, name, path):
        """Puts a program of tests/system in the place of one in the machine, as a package manager does."""
        make(f"tests/system/{name}")
        shutil.copy(os.path.join(harness.BUILDDIR, "tests/system", name), self.root(path + ".new"))
        os.rename(self.root(path + ".new"), self.root(path))

    def command(self, *command):
        """A command as it is to be run by us so that it runs in the machine, as its root."""
        return ["nsenter", "--target", self.leader, "--all", "--root", "--wd", "env", "-i",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", *command]

    def start(self, *command, **options):
        """Starts a command in the machine; a Popen whose output is both streams, as a user sees them."""
        return subprocess.Popen(self.command(*command), stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)

    def run(self, *command):
        """Runs a command in the machine; its status, and both streams as a user sees them."""
        with self.start(*command) as p:
            try:
                output = p.communicate(timeout=DEADLINE)[0]
            except BaseException:
                p.kill()
                raise
        return p.returncode, output

    def do(self, *command):
        """Runs a command that must succeed, and returns its output."""
        status, output = self.run(*command)
        if status != 0:
            raise AssertionError(f"{' '.join(command)}: status {status}:\n{output}")
        return output

    def systemctl(self, *args):
        return self.do("systemctl", *args)

    def show(self, unit, name):
        """A property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).rstrip("\n")

    def wait_show(self, unit, name, value):
        """Waits until a property has a value."""
        wait_until(lambda: self.show(unit, name) == value, f"{name}={value} of {unit}")

    def signal(self, unit, name):
        """Sends a signal to the main process of a unit."""
        self.systemctl("kill", "--kill-who=main", f"--signal={name}", unit)

    def process(self, unit, field):
        """What /proc/PID/status says of a unit's main process."""
        status = self.do("cat", f"/proc/{self.show(unit, 'MainPID')}/status")
        return re.search(rf"^{field}:\s*(.*)$", status, re.M).group(1)

    def threads(self, unit):
        """The threads of a unit's process, {name: identifier as we number it}."""
        group = f"{self.cgroup}/payload{self.show(unit, 'ControlGroup')}"
        (pid,) = harness.read(group, "cgroup.procs").split()
        return {harness.task(pid, tid, "comm"): int(tid) for tid in os.listdir(f"/proc/{pid}/task")}

    def journal(self, *args):
        """Records of the journal, oldest first, each a dictionary."""
        self.do("journalctl", "--sync")
        return [json.loads(line) for line in
                self.do("journalctl", "-q", "-o", "json", "-b", *args).splitlines()]

    def messages(self, unit):
        """What a unit, and systemd about it, wrote into the journal."""
        return "\n".join(str(r["MESSAGE"]) for r in self.journal("-u", unit))

    def complaints(self):
        """The warnings and errors that echod wrote since the boot."""
        return [r["MESSAGE"] for r in self.journal("-p", "warning", "-t", "echod")]

    @contextlib.contextmanager
    def network(self):
        """Inside, this thread makes its sockets in the machine's network."""
        def enter(namespace):
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

        with open("/proc/thread-self/ns/net") as ours, open(f"/proc/{self.leader}/ns/net") as theirs:
            enter(theirs)
            try:
                yield
            finally:
                enter(ours)

    def connect(self, port=7, host="127.0.0.1"):
        """A socket connected in the machine's network."""
        with self.network():
            return socket.create_connection((host, port), DEADLINE)

    def echoes(self, port=7, host="127.0.0.1"):
        """True if a fresh connection is echoed, False if it is refused or reset."""
        try:
            with self.connect(port, host) as s:
                return is_alive(s)
        except ConnectionError:
            return False

    def load(self, *args):
        """Starts echoc in the machine's network, but as a process of ours: a load without end."""
        self.clients.append(subprocess.Popen(
            ["nsenter", "--target", self.leader, "--net",
             os.path.join(installed(), variable("bindir").lstrip("/"), "echoc"), "load", *args,
             "--duration", "600", "--timeout", str(DEADLINE), "--json", "127.0.0.1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return self.clients[-1]

    def connections(self):
        """How many established connections with port 7 the machine has."""
        tables = (f"/proc/{self.leader}/net/{table}" for table in ("tcp", "tcp6"))
        return sum(s.state == harness.ESTABLISHED for table in tables for s in harness.sockets(7, table))

    def reboot(self):
        self.systemctl("--no-block", "reboot")
        self.wait_booted()

    def close(self):
        """Ends the machine, however far it came."""
        if self not in Machine.running:
            return
        Machine.running.discard(self)
        for client in self.clients:
            client.kill()
            client.wait()
        if self.nspawn:
            kill = os.path.join(self.cgroup, "cgroup.kill")
            with contextlib.suppress(FileNotFoundError), open(kill, "w") as f:
                f.write("1")
            self.nspawn.kill()
            self.nspawn.wait()
            self.console.close()
            self.notify.close()
        self._remove_cgroup()
        self.directory.cleanup()

    def _remove_cgroup(self):
        groups = [d for d, _, _ in os.walk(self.cgroup, topdown=False)]

        def removed():  # processes leave their group a moment after their end
            with contextlib.suppress(OSError):
                while groups:
                    os.rmdir(groups[0])
                    groups.pop(0)
            return not groups
        wait_until(removed, "the machine's processes to end")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        try:
            if kind and issubclass(kind, Exception) and self.nspawn.poll() is None:
                sys.stderr.write(self.run("journalctl", "-b", "-n", "200")[1])
        finally:
            self.close()


@atexit.register
def close_all():
    for machine in list(Machine.running):
        machine.close()


def interrupted(_number, _frame):
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, interrupted)


def is_alive(s):
    """True if a connection is echoed, False if it has ended."""
    try:
        return harness.echo(s, b"are you there?") == b"are you there?"
    except ConnectionError:
        return False


@contextlib.contextmanager
def serving(unit, files=None):
    """A machine with a unit that serves a client: the machine, and the client's socket."""
    with Machine(files) as m:
        m.systemctl("start", unit)
        with m.connect() as s:
            if not is_alive(s):
                raise AssertionError("a new connection is not echoed")
            yield m, s


def result(load):
    """What a started "echoc load --json" found, at its end."""
    output, complaint = load.communicate(timeout=DEADLINE)
    sys.stderr.write(complaint)
    return json.loads(output)


def with_each_service(test):
    """Runs a test with each way to run, started in a machine."""
    @functools.wraps(test)
    def run(self):
        for unit in ("echod", "echod-sealed"):
            with self.subTest(unit), Machine() as m:
                m.systemctl("start", unit)
                test(self, m, unit)
    return run


class Test(harness.Test):
    def assertEchoes(self, machine, **options):
        """A fresh connection is echoed."""
        self.assertTrue(machine.echoes(**options))

    def assertRefuses(self, machine, **options):
        """A fresh connection is refused or reset."""
        self.assertFalse(machine.echoes(**options))

    def assertGoodbye(self, s, command):
        """A connection is ended by a command, which then succeeds without a word."""
        self.assertEnds(s)
        s.close()
        self.assertEqual(command.communicate(timeout=DEADLINE)[0], "")

    def assertStates(self, machine, **states):
        """Units are in these states; of a name the last "_" stands for the dot, others for "-"."""
        for name, state in states.items():
            unit = ".".join(name.rsplit("_", 1)).replace("_", "-")
            self.assertEqual(machine.show(unit, "ActiveState"), state, unit)


def main():
    """Runs the tests of the calling file, or says why it cannot."""
    why = obstacle()
    if why:
        print(f"1..0 # SKIP {why}")
    else:
        harness.main()
