"""What a thief of the operator's SSH key may send to the pin helper: any command, any environment, any bytes.

sshd lets the caller choose SSH_ORIGINAL_COMMAND and standard input, and of the environment what AcceptEnv allows
(Debian: LANG and LC_*). These tests give the caller more of the environment, but not what the dynamic linker reads, and
not OPTIND, with which dash does not start unless it is a number.
"""

from __future__ import annotations

import resource
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.node.namespace import HELPER, MAC, OTHER, Node

pytestmark = pytest.mark.redteam

IP = shutil.which("ip") or "ip"
#: What the configurations of the guests allow, and nothing else may ever be written.
ALLOWED = {f"{MAC} dev tap100i0 master EVPN1 static", f"{OTHER} dev fwpr101p0 master EVPN1 static"}
ANSWERS = {
    b"done", b"there", b"gone", b"no absent", b"no elsewhere", b"no other", b"no remote", b"no local", b"no taken",
    b"no syntax", b"no failed",
}  # fmt: skip

_WORDS = st.one_of(
    st.sampled_from(
        [
            "pin",
            "unpin",
            "look",
            "pins",
            "EVPN1",
            "vmbr0",
            "vxlan_EVPN1",
            "tap100i0",
            "lo",
            "100",
            "101",
            "102",
            "0",
            "1",
        ]
    ),
    st.sampled_from(
        [MAC, OTHER, MAC.upper(), "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "*", "..", "/", "-", "--", "-n"]
    ),
    st.sampled_from(
        ["$(touch canary)", "`touch canary`", ";touch", "canary", "|", ">canary", "&", "\\", "'", '"', "\t"]
    ),
    st.text(string.printable, max_size=12),
)
_LINES = st.one_of(
    st.lists(_WORDS, max_size=7).map(" ".join).map(str.encode),
    st.binary(max_size=120),
    st.builds("pin EVPN1 {} {} {}".format, st.integers(), st.integers(-3, 40), _WORDS).map(str.encode),
)
_TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=60)
_NAMES = st.sampled_from(
    [
        "LANG", "LC_ALL", "LC_EVIL", "IFS", "OPTARG", "ENV", "BASH_ENV", "PS4", "CDPATH", "TMPDIR", "HOME", "PATH",
        "MOST", "net", "pve", "observe", "folder", "configuration", "port", "known", "state", "entry", "made", "answer",
    ]
)  # fmt: skip


class Caller:
    """Runs the helper in a folder of its own, full of programs that leave a mark if they are run."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder / "caller"
        self.folder.mkdir()
        self.evil = folder / "evil"
        self.evil.mkdir()
        for name in ("bridge", "ip", "sed", "grep", "sleep", "sh", "rc"):
            (self.evil / name).write_text(f"#!/bin/sh\n: >{self.folder}/canary\n")
            (self.evil / name).chmod(0o755)
        self.observe = folder / "observe"
        self.observe.write_text("#!/bin/sh\nprintf 'observe [%s]\\n' \"$SSH_ORIGINAL_COMMAND\"\n")
        self.observe.chmod(0o755)

    def ask(self, command: str, sent: bytes, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        """One connection."""
        found = {"ENV": f"{self.evil}/rc", "BASH_ENV": f"{self.evil}/rc", "PATH": f"{self.evil}:/usr/sbin:/usr/bin"}
        return subprocess.run(
            [IP, "netns", "exec", self.node.name, "/bin/sh", "-c", 'ulimit -v 65536; exec "$@"', "sh",
             str(HELPER), "-c", str(self.node.cluster), "-o", str(self.observe)],
            env={**found, **environment, "SSH_ORIGINAL_COMMAND": command},
            cwd=self.folder, input=sent, capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    def world(self) -> tuple[set[str], str]:
        """What is not allowed to change: entries of all bridges but the allowed ones, and the interfaces."""
        entries = {" ".join(line.split()) for line in self.node.run("bridge", "fdb", "show").splitlines()}
        return entries - ALLOWED, self.node.run("ip", "-br", "link")


@pytest.fixture
def caller(node: Node, tmp_path: Path) -> Caller:
    node.configure(100, f"net0: virtio={MAC.upper()},bridge=EVPN1")
    node.configure(101, f"net0: virtio={OTHER.upper()},bridge=EVPN1,firewall=1")
    node.configure(102, "net0: virtio=BC:24:11:00:00:03,bridge=vmbr0")
    return Caller(node, tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(_LINES, max_size=8), end=st.sampled_from([b"\n", b""]), environment=st.dictionaries(_NAMES, _TEXT)
)
def test_whatever_is_sent_only_macs_of_their_own_nics_are_pinned(
    caller: Caller, lines: list[bytes], end: bytes, environment: dict[str, str]
) -> None:
    before = caller.world()
    sent = b"\n".join(lines) + end
    done = caller.ask("pins", sent, environment)
    first, *answers, last = done.stdout.splitlines()
    assert (first, last, done.returncode) == (b"pve-evpn-pin 1", b"pve-evpn-pin end", 0)
    assert set(answers) <= ANSWERS
    assert len(answers) == sent.count(b"\n")
    assert caller.world() == before
    assert list(caller.folder.iterdir()) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(command="\\0", environment={})
@given(command=st.one_of(_TEXT, st.lists(_WORDS, max_size=5).map(" ".join)), environment=st.dictionaries(_NAMES, _TEXT))
def test_any_other_command_reaches_the_reading_helper_as_it_is(
    caller: Caller, command: str, environment: dict[str, str]
) -> None:
    if command == "pins":
        return
    before = caller.world()
    done = caller.ask(command, b"pin EVPN1 100 0 " + MAC.encode() + b"\n", environment)
    assert done.stdout == f"observe [{command}]\n".encode()
    assert caller.world() == before
    assert list(caller.folder.iterdir()) == []


def test_a_line_of_100_mb_costs_nothing(caller: Caller) -> None:
    """Of time, and of memory: it has 64 MiB of addresses here."""
    line = b"pin EVPN1 100 0 " + MAC.encode()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = caller.ask("pins", line + b" " * 100_000_000 + b"\n" + line + b"\n", {})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.splitlines() == [b"pve-evpn-pin 1", b"pve-evpn-pin end"]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    assert caller.ask("pins", b"x" * 81 + b"\n" + line + b"\n", {}).stdout.splitlines()[1:3] == [b"no syntax", b"done"]


def test_no_more_than_4096_requests_are_answered(caller: Caller) -> None:
    done = caller.ask("pins", b"look\n" * 50_000, {})
    assert done.stdout.count(b"no syntax") == 4096


def test_it_writes_no_file_and_so_follows_no_symbolic_link(caller: Caller) -> None:
    """Every mount of its world is read-only, /dev/null alone can be written; it works all the same."""
    script = r"""
        while read -r _ where _; do mount -o remount,bind,ro "$where" || true; done </proc/self/mounts 2>/dev/null
        if (: >probe) 2>/dev/null; then echo writable; exit 1; fi
        exec "$@"
    """
    node = caller.node
    done = subprocess.run(
        [IP, "netns", "exec", node.name, "unshare", "-m", "sh", "-c", script, "sh",
         str(HELPER), "-c", str(node.cluster)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SSH_ORIGINAL_COMMAND": "pins", "TMPDIR": str(caller.folder)},
        cwd=caller.folder,
        input=f"pin EVPN1 100 0 {MAC}\nlook EVPN1 100 0 {MAC}\nunpin EVPN1 100 0 {MAC}\nheal EVPN1 {MAC}\n",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["pve-evpn-pin 1", "done", "there", "done", "done", "pve-evpn-pin end"], done
