"""The machine of `make e2e-frr-vm`: what of it can be held without starting one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.frr.conftest import POLLED_BY_SSH, is_user_mode_linux
from tests.vm import debian
from tests.vm.__main__ import NO_RESULT, ROOT, TIMED_OUT, job_script, main, run
from tests.vm.machines import Machine, has_kvm, load_order


class Shell(Machine):
    """No machine: a process of this host that does what a guest does with its job."""

    name = "shell"

    def __init__(self, then: str = "") -> None:
        self._then = then

    def command(self, job: Path, memory: str) -> list[str]:
        return ["sh", "-c", self._then or f"sh {job}/run.sh; echo $? >{job}/status"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_jobs_exit_status_is_the_result(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(Shell(), "echo here; exit 3\n", "1G", 20) == 3
    assert "here\n" in capfd.readouterr().out
    assert list(tmp_path.glob("pve-evpn-operator/vm/*")) == [], "the folder of the job is gone"


def test_a_machine_that_does_not_end_is_ended() -> None:
    assert run(Shell("sleep 300 & wait"), "", "1G", 0.3) == TIMED_OUT


def test_a_machine_without_a_result_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(Shell("exit 0"), "", "1G", 20) == NO_RESULT
    assert "without a result" in capfd.readouterr().out


def test_the_job_runs_pytest_of_this_checkout_with_its_arguments_quoted() -> None:
    script = job_script(["tests/frr", "-k", "a or b"])
    assert script.startswith(f"cd {ROOT} && exec {ROOT}/.venv/bin/python -m pytest ")
    assert script.endswith(" tests/frr -k 'a or b'\n")


def test_modules_are_loaded_after_those_they_need() -> None:
    text = "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/d.ko.xz: kernel/c.ko\n"
    assert load_order(text, ("a", "d")) == ["kernel/c.ko", "kernel/b.ko", "kernel/a.ko", "kernel/d.ko.xz"]
    with pytest.raises(KeyError):
        load_order(text, ("e",))


def test_what_is_polled_by_ssh_is_left_out_of_user_mode_linux_by_name(tmp_path: Path) -> None:
    """But for files whose polls wait longer than those of the operator."""
    texts = {path.name: path.read_text() for path in (ROOT / "tests/frr").glob("test_*.py")}
    polled = {name for name, text in texts.items() if re.search(r"SshSource\(|: Observing\b", text)}
    assert polled - {name for name in polled if "read_timeout=" in texts[name]} == POLLED_BY_SSH
    cpuinfo = tmp_path / "cpuinfo"
    for vendor, expected in (("User Mode Linux", True), ("AuthenticAMD", False)):
        cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
        assert is_user_mode_linux(cpuinfo) is expected


def test_kvm_without_help_of_the_processor_is_none(tmp_path: Path) -> None:
    (tmp_path / "kvm_pvm").mkdir()
    assert not has_kvm(tmp_path)


def test_where_no_machine_can_be_had_it_says_what_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pve_lab.frr.install.ensure", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["tests.vm", "--machine", "uml"])
    assert main() == 0
    assert "LEFT OUT" in capsys.readouterr().out
    with pytest.raises(debian.Unavailable, match="no apt-get"):
        debian.unpacked("busybox-static")
