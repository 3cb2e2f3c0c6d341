# SPDX-License-Identifier: MIT
"""Echo servers that others wrote, for the tests and for "./dev bench".

The programs of tests/bench/peers are compiled here and not by make, so that
one whose library is missing is left out with the reason, and echod builds
without any of them.
"""

import contextlib
import glob
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile

import harness

SOURCES = os.path.join(harness.SRCDIR, "tests/bench/peers")
FOLDER = os.path.join(harness.BUILDDIR, "tests/bench/peers")
UNPACKED = os.path.join(harness.SRCDIR, "build/peers")  # Debian packages that ./dev did not install
CFLAGS = ["-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE"]

# pkg-config's name of a library, or its linker's option where it has none there.
LIBRARIES = {"libev": "-lev", "libevent": "libevent_core", "libuv": "libuv"}


class LeftOut(Exception):
    """This peer cannot run here; says why."""


def run(command, **options):
    """Runs a step of a build; its first word of complaint is the reason to leave the peer out."""
    try:
        p = subprocess.run(command, capture_output=True, text=True, **options)
    except FileNotFoundError:
        raise LeftOut(f"{command[0]} is not installed")
    if p.returncode != 0:
        complaint = [line for line in (p.stderr + p.stdout).splitlines() if line.strip()]
        raise LeftOut(f"{command[0]}: {(complaint or ['failed'])[0].strip()}")
    return p.stdout


def flags_of(library):
    if library.startswith("-l"):
        return [library]
    return shlex.split(run(["pkg-config", "--cflags", "--libs", library]))


def commands(name, out):
    """How to compile a peer."""
    source = os.path.join(SOURCES, name)
    common = os.path.join(SOURCES, "peer.c")
    if name == "gonet":
        return [["go", "build", "-o", out, f"{source}.go"]]
    if name == "asio":
        return [["gcc", *CFLAGS, "-c", "-o", f"{out}.o", common],
                ["g++", *CFLAGS, "-std=c++17", "-pthread", "-o", out, f"{source}.cc", f"{out}.o"]]
    return [["gcc", *CFLAGS, "-o", out, f"{source}.c", common, *flags_of(LIBRARIES[name])]]


def program(name):
    """The path of a peer's program, compiled if it is older than its source."""
    path = os.path.join(FOLDER, name)
    sources = [os.path.join(SOURCES, f) for f in os.listdir(SOURCES)]
    if os.path.exists(path) and os.stat(path).st_mtime > max(os.stat(s).st_mtime for s in sources):
        return path
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as directory:
        env = {**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local",
               "GOCACHE": os.path.join(FOLDER, "go-cache")}
        out = os.path.join(directory, name)
        for command in commands(name, out):
            run(command, env=env)
        os.rename(out, path)
    return path


def installed(name):
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin:{UNPACKED}/usr/sbin")
    if not path:
        raise LeftOut(f"{name} is not installed")
    return path


def environment(path):
    """That of a program, which finds the libraries that were unpacked beside it."""
    if not path.startswith(UNPACKED):
        return None
    folders = {os.path.dirname(p) for p in glob.glob(f"{UNPACKED}/**/*.so*", recursive=True)}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer(harness.Server):
    """A running server; a context that ends it, and checks that it had not ended before."""

    def __init__(self, command, port=None, prefix=(), cleanup=None):
        self.cleanup = cleanup or contextlib.ExitStack()
        self.errors = self.cleanup.enter_context(tempfile.TemporaryFile("w+"))
        self.process = subprocess.Popen([*prefix, *map(str, command)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=environment(str(command[0])),
                                        start_new_session=True)
        self.pid = self.process.pid
        self.cleanup.callback(self.end)
        try:
            self.port = port or int(self.process.stdout.readline() or self.ended())
            if port:  # else it has said that it listens
                harness.wait_until(self.answers, f"{command[0]}: {self.log()}")
        except BaseException:
            self.cleanup.close()
            raise

    def ended(self):
        raise LeftOut(self.log() or f"exit status {self.process.wait(harness.DEADLINE)}")

    def answers(self):
        if self.process.poll() is not None:
            self.ended()
        with contextlib.suppress(ConnectionRefusedError):
            self.connect().close()
            return True

    def log(self):
        self.errors.seek(0)
        return self.errors.read().strip()

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.stdout.close()
        self.process.wait(harness.DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        ended = self.process.poll()
        log = self.log()
        self.cleanup.close()
        if kind is None and (ended is not None or harness.FINDING.search(log)):
            raise AssertionError(f"exit status {ended}: {log}")


def own(name, *mode):
    """A program of tests/bench/peers."""
    return lambda workers=1, prefix=(), **_: Peer([program(name), *mode, workers], prefix=prefix)


def configured(command, text, port, prefix, cleanup=None):
    """A server with a configuration file: {file} in command, {directory} in command and text."""
    cleanup = cleanup or contextlib.ExitStack()
    directory = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="echod-peer-"))
    os.chmod(directory, 0o755)
    path = os.path.join(directory, "conf")
    with open(path, "w") as f:
        f.write(text.replace("{directory}", directory))
    command = [a.replace("{file}", path).replace("{directory}", directory) for a in command]
    return Peer(command, port, prefix, cleanup)


def socat(workers=1, prefix=(), **_):
    port = free_port()
    return Peer([installed("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,"
                 "backlog=4096", "EXEC:cat"], port, prefix)


XINETD = """
service echo
{{
    type = INTERNAL UNLISTED
    id = echo-stream
    socket_type = stream
    protocol = tcp
    wait = no
    disable = no
    user = {user}
    bind = 127.0.0.1
    port = {port}
    cps = 1000000 1
    instances = UNLIMITED
}}
"""


def xinetd(workers=1, prefix=(), **_):
    port = free_port()
    return configured([installed("xinetd"), "-dontfork", "-stayalive", "-f", "{file}", "-pidfile",
                       "{directory}/pid"], XINETD.format(user=os.getuid(), port=port), port, prefix)


NGINX = """
{user}
daemon off;
pid {{directory}}/pid;
error_log stderr crit;
load_module {module};
worker_processes {workers};
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        tcp_nodelay on;
        proxy_timeout 1h;
        proxy_half_close on;
        proxy_pass 127.0.0.1:{backend};
    }}
}}
"""


def most(name):
    """How many connections a server can have here, as far as we know before."""
    limit = harness.raise_descriptor_limit()
    return 1000 if name in FORKS else limit // DESCRIPTORS.get(name, 1) - 500


@contextlib.contextmanager
def proxy(start, backend):
    """A proxy in front of an echo that backend() starts."""
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(backend())
        yield stack.enter_context(start(behind.port))


def nginx(workers=1, prefix=(), backend=None):
    path = installed("nginx")
    module = path.replace("sbin/nginx", "lib/nginx/modules/ngx_stream_module.so")
    if not os.path.exists(module):
        raise LeftOut("libnginx-mod-stream is not installed")

    def start(behind):
        port = free_port()
        text = NGINX.format(user="user root;" if os.getuid() == 0 else "", module=module, workers=workers,
                            files=harness.raise_descriptor_limit(), port=port, backend=behind)
        return configured([path, "-c", "{file}", "-p", "{directory}", "-e", "stderr"], text, port,
                          prefix)
    return proxy(start, backend)


HAPROXY = """
global
    nbthread {workers}
    maxpipes 100
defaults
    mode tcp
    option splice-auto
    timeout connect 1m
    timeout client 1h
    timeout server 1h
listen echo
    bind 127.0.0.1:{port} backlog 4096
    server behind 127.0.0.1:{backend}
"""


def haproxy(workers=1, prefix=(), backend=None):
    path = installed("haproxy")

    def start(behind):
        port = free_port()
        text = HAPROXY.format(workers=workers, port=port, backend=behind)
        return configured([path, "-db", "-q", "-f", "{file}"], text, port, prefix)
    return proxy(start, backend)


# Name, what it is, and how to start it, with so many workers, behind a prefix like taskset's; a
# proxy also takes a function that starts the echo behind it.
PEERS = {
    "libev": own("libev"),
    "libuv": own("libuv"),
    "libevent": own("libevent"),
    "Asio": own("asio"),
    "Go net": own("gonet", "loop"),
    "Go net, io.Copy": own("gonet", "copy"),
    "nginx": nginx,
    "HAProxy": haproxy,
    "xinetd": xinetd,
    "socat": socat,
}
PROXIES = ("nginx", "HAProxy")
DESCRIPTORS = {"nginx": 2, "HAProxy": 2, "Go net, io.Copy": 3}  # for each connection, if not one
FORKS = ("xinetd", "socat")  # a process, or two, for each connection
