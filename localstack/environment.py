"""Keeps the project's Python (.local/venv) up to date with the requirement files of this folder, and prints its path.

    python3 localstack/environment.py                                            the emulator and the tools
    python3 localstack/environment.py requirements.txt requirements-tests.txt    and the packages that only tests need

The script installs a file if the file has changed since it was last installed. Otherwise it fetches nothing, so everything works without a
network once the folder is complete. Any number of these scripts may run at once.
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
    """Returns what the environment depends on: it breaks if its folder moves or its Python is replaced by another version.

    The Python that runs this script may be a different one.
    """
    try:
        said = subprocess.run([VENV / "bin/python3", "-c", "import sys; print(sys.version)"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return None
    return {"venv": str(VENV), "python": said.stdout.strip()} if said.returncode == 0 else None


def read_stamp():
    """Returns what is installed, or None if the environment is missing, unfinished or broken."""
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
                 "choose another with PYTHON=/path/to/python3")
    say(f"creating {VENV.relative_to(HERE.parent)} with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)], "python3 cannot create virtual environments (on Debian and Ubuntu: apt install python3-venv)")
    stamp = {"interpreter": interpreter(), "files": {}}
    write_stamp(stamp)
    return stamp


def install(name):
    say(f"installing localstack/{name}")
    pip = [str(VENV / "bin/python3"), "-m", "pip", "--disable-pip-version-check"]
    # The files name all packages, so pip need not resolve dependencies; without compiling it takes 20 s instead of 45.
    run([*pip, "install", "--quiet", "--no-deps", "--no-compile", "--requirement", str(HERE / name)],
        f"localstack/{name} could not be installed; only this step needs a Python package index")
    run([*pip, "check"], f"localstack/{name} conflicts with installed packages")


def run(command, why):
    # This script prints nothing but the folder's path on standard output.
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
        sys.exit(why)


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["requirements.txt"])
