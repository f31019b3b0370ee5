"""Runs pytest in a machine whose kernel has VRF devices: ``python -m tests.vm -- tests/frr -m frr_vrf``.

What the tests print appears here, and the exit status is that of pytest; 124 after the time limit, 125 where the
machine ends without a result. Where no machine can be had, ``LEFT OUT`` says why, and the status is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pve_lab.frr import install
from tests.gobuild import cache
from tests.vm.debian import Unavailable
from tests.vm.machines import MACHINES, Machine, choose

ROOT = Path(__file__).resolve().parents[2]
TIMED_OUT, NO_RESULT = 124, 125


def job_script(arguments: list[str], *, color: bool = False) -> str:
    """What the machine's shell runs. Pytest's own time limit of a test is multiplied: the machine is slow."""
    words = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "-o", "timeout=1500", "-p", "no:cacheprovider"]
    words.append(f"--color={'yes' if color else 'no'}")
    return f"cd {shlex.quote(str(ROOT))} && exec {shlex.join([*words, *arguments])}\n"


def run(machine: Machine, script: str, memory: str, limit: float) -> int:
    """Run a shell script in a machine; its exit status. ``limit`` in seconds; the machine ends with this process."""
    state = cache() / "vm"
    state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state, prefix="job-") as name:
        job = Path(name)
        (job / "run.sh").write_text(script)
        begun = time.monotonic()
        process = subprocess.Popen(
            machine.command(job, memory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        ended = threading.Timer(limit, _kill, (process,))
        ended.start()
        try:
            assert process.stdout is not None
            while chunk := os.read(process.stdout.fileno(), 65536):
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
            process.wait()
        finally:
            ended.cancel()
            _kill(process)
        status = job / "status"
        if status.exists() and status.read_text().strip():
            print(f"{machine.name}: {time.monotonic() - begun:.0f} s")
            return int(status.read_text())
        if time.monotonic() - begun >= limit:
            print(f"{machine.name}: not finished after {limit:.0f} s, ended")
            return TIMED_OUT
        log = job / "kernel.log"
        print(f"{machine.name} ended without a result", *([log.read_text()[-2000:]] if log.exists() else []), sep="\n")
        return NO_RESULT


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The machine and what it started; user-mode Linux has a process for each of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> int:
    # So that a machine ends with a process that is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--machine", choices=sorted(MACHINES), default="", help="default: qemu with KVM, else uml")
    parser.add_argument("--memory", default="5G")
    parser.add_argument("--limit", type=float, default=3600, metavar="SECONDS")
    parser.add_argument("pytest", nargs="*", default=["tests/frr", "-m", "frr_vrf"], help="arguments of pytest")
    options = parser.parse_args()
    try:
        if why := install.ensure():
            raise Unavailable(why)
        machine = choose(options.machine)
    except Unavailable as error:
        print(f"LEFT OUT: the tests in a machine with VRF devices: {error}")
        return 0
    print(f"{machine.name}, kernel {machine.modules.name}: pytest {shlex.join(options.pytest)}", flush=True)
    return run(machine, job_script(options.pytest, color=sys.stdout.isatty()), options.memory, options.limit)


if __name__ == "__main__":
    sys.exit(main())
