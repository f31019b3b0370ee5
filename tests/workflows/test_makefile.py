"""What the Makefile says where something cannot be had, without building anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_argo_cd_is_left_out_aloud_where_redis_is_missing_and_nobody_is_root(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "apt-get").write_text(f"#!/bin/sh\n: > {tmp_path}/installed\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    built = ["-o", "control-plane", "-o", f"{tmp_path}/.ready"]
    done = subprocess.run(
        [shutil.which("make") or "make", *built, "e2e-argocd", f"VENV={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(programs)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LEFT OUT: all tests on the real Argo CD" in done.stdout
    assert "redis-server" in done.stdout
    assert not (tmp_path / "installed").exists()
