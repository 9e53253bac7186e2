"""Runs the local AWS: one MiniStack, which leaves no process and no file behind, however it ends.

    emulator.py run [--port N]     until a signal ends it or its standard input closes: it never outlives the process at the other end
    emulator.py up [--port N]      in the background; prints its settings to paste into a shell
    emulator.py down               ends the emulator that up started, and no other

run and up take --set NAME=VALUE for settings of the emulator itself (localstack/README.md names the useful ones).
run prints one line of JSON on standard output: {"endpoint", "port", "folder"} once it answers, or {"error"} before it gives up. The
emulator's own log goes to standard error.

This script is the emulator's supervisor process. It gives the emulator a process group and a folder for its temporary files, and ends and deletes
both. Each folder has a lock that its supervisor holds as long as it lives. A folder whose lock is free is left over from a killed supervisor; the
next supervisor deletes it.
"""
import argparse
import ctypes
import fcntl
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LOCAL = Path(__file__).resolve().parent.parent / ".local"
RUNS = LOCAL / "emulators"          # one folder for each running emulator
UP = LOCAL / "up"                   # lock and log of the emulator that `up` started
REGION = "us-east-1"
STARTS_WITHIN = 60                  # seconds; measured: 0.5 on an idle machine
ENDS_WITHIN = 10                    # seconds between SIGTERM and SIGKILL; measured: 0.4 to 4
# Below the ports that Linux, macOS and Windows use for outgoing connections, so that no connection takes the port in between.
FREE_PORTS = range(20000, 32000)


class Refused(Exception):
    """The emulator cannot run; the message says why and what to do."""


# --- run: the supervisor

def run(port, settings, tied):
    stop = Stop(tied)
    sweep()
    with Folder() as folder:
        emulator = start(port, settings, folder, stop)
        try:
            heard = stop.asked or answer(endpoint=emulator.endpoint, port=emulator.port, folder=str(folder))
            while heard and not stop.asked:
                emulator.refuse_if_ended()
                stop.wait()
        finally:
            emulator.end()


def start(port, settings, folder, stop):
    tries = 1 if port else 5    # another process may take a free port before the emulator listens on it
    while True:
        tries -= 1
        at = port or free_port()
        try:
            refuse_if_taken(at)
            emulator = Emulator(at, settings, folder)
            try:
                emulator.await_health(stop)
                return emulator
            except BaseException:
                emulator.end()
                raise
        except Refused:
            if not tries:
                raise


class Stop:
    """Its field asked becomes true when a signal asks for the end or, if tied, when standard input closes."""

    def __init__(self, tied):
        self.tied, self.asked = tied, False
        self.wake, waker = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, self.ask)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up

    def ask(self, *_):
        self.asked = True

    def wait(self, seconds=None):
        """Returns when a signal or the end of standard input arrives, or after a number of seconds."""
        watched = [self.wake] + ([0] if self.tied else [])
        ready, _, _ = select.select(watched, [], [], seconds)
        if self.wake in ready:
            os.read(self.wake, 512)
        if 0 in ready and not os.read(0, 512):
            self.asked = True


class Folder:
    """A folder for the temporary files of one emulator, locked while it is in use and deleted after it."""

    def __enter__(self):
        RUNS.mkdir(parents=True, exist_ok=True)
        with swept(fcntl.LOCK_SH):  # no sweep runs between making the folder and locking it
            self.path = Path(tempfile.mkdtemp(dir=RUNS))
            self.lock = open(self.path / "lock", "w")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        (self.path / "tmp").mkdir()
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()


def swept(how):
    RUNS.mkdir(parents=True, exist_ok=True)
    lock = open(LOCAL / "emulators.lock", "w")
    fcntl.flock(lock, how)
    return lock


def sweep():
    """Deletes the folders of supervisors that were killed."""
    with swept(fcntl.LOCK_EX):
        for folder in RUNS.iterdir():
            try:
                with open(folder / "lock") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:
                pass
            except OSError:
                continue
            shutil.rmtree(folder, ignore_errors=True)


class Emulator:
    def __init__(self, port, settings, folder):
        self.port, self.endpoint = port, f"http://localhost:{port}"
        # The emulator writes this file once it has found the port free. Before that, another process may answer there.
        self.mark = folder / "tmp" / f"ministack-{port}.pid"
        # The caller's environment is left out: a profile, a proxy or a secret in it would reach the functions.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder / "tmp"), "TMPDIR": str(folder / "tmp"), "LANG": "C.UTF-8", "TZ": "UTC",
            "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", "PYTHONUNBUFFERED": "1",
            "AWS_ENDPOINT_URL": self.endpoint,      # passed on to functions
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",      # no limit; the default depends on the machine's memory
            **settings,
        }
        self.process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, cwd=folder / "tmp", stdin=subprocess.DEVNULL,
                                        stdout=sys.stderr, start_new_session=True, preexec_fn=end_with_parent)

    def await_health(self, stop):
        until = time.monotonic() + STARTS_WITHIN
        while not stop.asked:
            self.refuse_if_ended()
            if self.mark.exists() and answers(f"{self.endpoint}/_ministack/health"):
                return
            if time.monotonic() > until:
                raise Refused(f"the emulator does not answer at {self.endpoint} within {STARTS_WITHIN} s: see its log")
            stop.wait(0.05)

    def refuse_if_ended(self):
        code = self.process.poll()
        if code is not None:
            raise Refused(f"the emulator on port {self.port} ended by itself with exit code {code}: see its log")

    def end(self):
        """Ends the emulator and the functions that it runs."""
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            pass
        self.signal(signal.SIGKILL)     # a busy function would otherwise run to its end
        self.process.wait()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass                        # the whole group has ended


def end_with_parent():
    """Makes the kernel end the emulator when its supervisor is killed. On systems other than Linux a killed supervisor leaves it running."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM, 0, 0, 0)


def answers(url):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def refuse_if_taken(port):
    for family, kind, _, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as s:
            if s.connect_ex(address) == 0:
                raise Refused(f"port {port} is taken: stop the process that listens there, or choose another port")


def free_port():
    for port in random.sample(FREE_PORTS, 100):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise Refused(f"none of a hundred ports is free between {FREE_PORTS.start} and {FREE_PORTS.stop}")


def answer(**fields):
    """Answers the process that started the supervisor. Returns false if that process has ended."""
    try:
        os.write(sys.stdout.fileno(), json.dumps(fields).encode() + b"\n")
        return True
    except BrokenPipeError:
        return False


# --- up and down: one emulator in the background
#
# The supervisor holds the lock file as long as it lives, and writes its process id and port into it. So while the lock is held, the id in it is the
# supervisor's, never that of a later process with the same number.

def up(port, settings):
    UP.mkdir(parents=True, exist_ok=True)
    with open(UP / "lock", "a+") as lock:
        if not held(lock):
            start_in_background(lock, port, settings)
        elif read(lock).get("port") != port:
            raise Refused(f"the emulator of this checkout already runs on port {read(lock).get('port')}: end it with make down")
        elif not answers(f"http://localhost:{port}/_ministack/health"):
            raise Refused(f"the emulator of this checkout is starting or ending on port {port}: try again, or see {UP / 'log'}")
    for name, value in {"AWS_ENDPOINT_URL": f"http://localhost:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                        "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}.items():
        print(f"export {name}={value}")


def start_in_background(lock, port, settings):
    write(lock, {})
    command = [sys.executable, __file__, "run", "--untied", "--port", str(port)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    with open(UP / "log", "w") as log:
        supervisor = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                                      pass_fds=[lock.fileno()], text=True)
    write(lock, {"pid": supervisor.pid, "port": port})
    try:
        answered = json.loads(supervisor.stdout.readline() or "{}")
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise
    if "endpoint" not in answered:
        supervisor.wait()
        raise Refused(answered.get("error") or f"the emulator did not start: see {UP / 'log'}")


def down():
    UP.mkdir(parents=True, exist_ok=True)
    with open(UP / "lock", "a+") as lock:
        if not held(lock):
            print("no emulator of this checkout runs", file=sys.stderr)
            return
        until = time.monotonic() + ENDS_WITHIN + 10
        signalled = None
        while held(lock):
            running = read(lock)
            if running and not signalled:
                signalled = running
                try:
                    os.kill(running["pid"], signal.SIGTERM)
                except ProcessLookupError:
                    pass    # it failed to start, and the process that started it will report that
            if time.monotonic() > until:
                raise Refused(f"the emulator on port {running.get('port')} (process {running.get('pid')}) does not end: see {UP / 'log'}")
            time.sleep(0.05)
    print(f"ended the emulator on port {signalled['port']}" if signalled else "the emulator had just ended", file=sys.stderr)


def held(lock):
    """Returns whether another process holds the lock. If none does, this process takes it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True


def write(lock, fields):
    lock.seek(0)
    lock.truncate()
    json.dump(fields, lock)
    lock.flush()


def read(lock):
    lock.seek(0)
    try:
        return json.loads(lock.read())
    except ValueError:
        return {}


# --- the command line

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "up"):
        command = commands.add_parser(name)
        command.add_argument("--port", **({"type": port_number, "default": 0} if name == "run" else {"type": fixed_port, "default": 4566}))
        command.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE")
    commands.choices["run"].add_argument("--untied", action="store_true", help="do not end when standard input closes")
    commands.add_parser("down")
    given = parser.parse_args()
    try:
        if given.command == "run":
            run(given.port, dict(given.set), tied=not given.untied)
        elif given.command == "up":
            up(given.port, dict(given.set))
        else:
            down()
    except Refused as refusal:
        if given.command == "run":
            answer(error=str(refusal))
        sys.exit(str(refusal))


def port_number(text):
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"the port is {text!r}; want a number up to 65535")
    return int(text)


def fixed_port(text):
    if port_number(text) == 0:
        raise argparse.ArgumentTypeError("port 0 is not fixed; want a number from 1 to 65535")
    return int(text)


def setting(text):
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"the setting is {text!r}; want NAME=VALUE")
    return name, value


if __name__ == "__main__":
    main()
