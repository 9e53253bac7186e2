"""Keeps the project's Python (.local/venv) in step with the requirement files of this folder, and prints its path.

    python3 localstack/environment.py                                            the emulator and the tools
    python3 localstack/environment.py requirements.txt requirements-tests.txt    and what the tests need besides

A file is installed when its contents differ from what was last installed from it; otherwise nothing is fetched, so that everything
works without a network once the folder is filled. Any number of these may run at once.
"""
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCAL = HERE.parent / ".local"
VENV = LOCAL / "venv"
STAMP = VENV / "installed.json"
OLDEST = (3, 11)


def main(names):
    with one_at_a_time():
        installed = read_stamp()
        if installed is None:
            installed = create()
        for name in names:
            digest = hashlib.sha256((HERE / name).read_bytes()).hexdigest()
            if installed["files"].get(name) != digest:
                install(name)
                installed["files"][name] = digest
                write_stamp(installed)
    print(VENV)


@contextmanager
def one_at_a_time():
    LOCAL.mkdir(exist_ok=True)
    with open(LOCAL / "venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def interpreter():
    """What an environment is bound to: it breaks when its folder moves, or when the Python below it is replaced by another version.

    Whoever calls this script may be yet another Python; that changes nothing.
    """
    try:
        said = subprocess.run([VENV / "bin/python3", "-c", "import sys; print(sys.version)"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return None
    return {"venv": str(VENV), "python": said.stdout.strip()} if said.returncode == 0 else None


def read_stamp():
    """What is installed, or None when there is no environment, one that was not finished, or one that is broken."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None
    return stamp if stamp.get("interpreter") == interpreter() is not None else None


def write_stamp(stamp):
    unfinished = STAMP.with_suffix(".new")
    unfinished.write_text(json.dumps(stamp, indent=1))
    unfinished.replace(STAMP)


def create():
    if sys.version_info < OLDEST:
        sys.exit(f"python3 is {sys.version.split()[0]} ({sys.executable}), Drover's tools need {'.'.join(map(str, OLDEST))} or later: "
                 "name another with PYTHON=/path/to/python3")
    say(f"creating {VENV.relative_to(HERE.parent)} with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)], "python3 cannot create virtual environments (on Debian and Ubuntu: apt install python3-venv)")
    stamp = {"interpreter": interpreter(), "files": {}}
    write_stamp(stamp)
    return stamp


def install(name):
    say(f"installing localstack/{name}")
    pip = [str(VENV / "bin/python3"), "-m", "pip", "--disable-pip-version-check"]
    # The files name all that is needed, so pip neither resolves nor compiles: 20 s instead of 45.
    run([*pip, "install", "--quiet", "--no-deps", "--no-compile", "--requirement", str(HERE / name)],
        f"localstack/{name} could not be installed; this step alone needs a Python package index")
    run([*pip, "check"], f"localstack/{name} does not fit together with what is installed")


def run(command, why):
    # The standard output of this script is the folder's path and nothing else.
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
        sys.exit(why)


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["requirements.txt"])
