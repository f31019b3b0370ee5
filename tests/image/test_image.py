"""The image as it would be shipped: what is in it, what is not, and the operator in it against lab and API server."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pve_lab.lab import Lab, seed
from tests.e2e.process import NAMESPACE, Operator
from tests.e2e.stack import Stack
from tests.image.build import VERSION, Buildah, build
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]

IMAGE = "localhost/pve-evpn-operator"
USER = "65532:65532"
_MISSING = [tool for tool in ("buildah", "debootstrap", "setpriv", "unshare") if not shutil.which(tool)]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    if _MISSING or os.geteuid() != 0:
        pytest.fail(f"these tests need root and {', '.join(_MISSING) or 'nothing else'}: make image-test brings it")
    made = Buildah(tmp_path_factory.mktemp("buildah"))
    print("built on", build(made, IMAGE))
    return made


@pytest.fixture(scope="module")
def config(buildah: Buildah) -> dict[str, Any]:
    return dict(json.loads(buildah("inspect", "--type=image", IMAGE))["OCIv1"]["config"])


@pytest.fixture(scope="module")
def root(buildah: Buildah) -> Iterator[Path]:
    """The image's root file system."""
    container = buildah("from", IMAGE)
    yield Path(buildah("mount", container))
    buildah("umount", container)


def test_it_starts_the_operator_as_nobody(config: dict[str, Any]) -> None:
    assert config["User"] == USER
    assert config["Entrypoint"] == ["/opt/pve-evpn/bin/pve-evpn"]
    assert config["Cmd"] == ["run"]


def test_its_labels(config: dict[str, Any]) -> None:
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert labels["title"] == "pve-evpn-operator"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == VERSION
    assert labels["base.name"]
    assert labels["source"].startswith("https://")


def test_no_compiler_no_pip_no_lab(root: Path) -> None:
    names = re.compile(r"^(cc|gcc|g\+\+|c\+\+|clang|tcc|make|ld|as|pip3?)(-[\d.]+)?$")
    folders = [root / folder for folder in ("usr/bin", "usr/local/bin", "opt/pve-evpn/bin")]
    assert [str(path) for folder in folders if folder.exists() for path in folder.iterdir() if names.match(path.name)] \
        == []  # fmt: skip
    packages = {path.name for path in (root / "opt/pve-evpn/lib").glob("python3*/site-packages/*")}
    assert "pve_evpn" in packages
    assert not packages & {"pve_lab", "pip", "pytest"}


def test_nothing_of_it_is_writable_for_its_user(root: Path) -> None:
    loose = [
        path for path in (root / "opt/pve-evpn").rglob("*")
        if not path.is_symlink() and (path.stat().st_mode & 0o002 or path.stat().st_uid == 65532)
    ]  # fmt: skip
    assert loose == []


def test_version(buildah: Buildah) -> None:
    container = buildah("from", IMAGE)
    assert buildah("run", "--isolation=chroot", container, "/opt/pve-evpn/bin/pve-evpn", "--version").startswith(
        "pve-evpn-operator "
    )


@pytest.mark.kube
def test_the_operator_in_it_makes_the_seed_ready(root: Path, cluster: ControlPlane, tmp_path: Path) -> None:
    """As a pod has it: nobody's user, no way to more rights, a read-only root, the token of its ServiceAccount."""
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.2)
    seed(lab)
    stack = Stack(cluster, lab, tmp_path)
    stack.prepare()
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(
        cluster.kubectl("create", "token", "pve-evpn-operator", "-n", NAMESPACE, "--duration=1h").strip()
    )
    (account / "namespace").write_text(NAMESPACE)
    shutil.copy(cluster.folder / "ca.crt", account / "ca.crt")
    account.chmod(0o755)
    for file in account.iterdir():
        file.chmod(0o444)
    operator = Operator(Path("/nonexistent"), tmp_path)
    operator.program = _as_a_pod(root, account, urlsplit(cluster.url).port or 0, operator.http)
    operator.start()
    try:
        await_("the operator leads", lambda: operator.leads)
        documents = stack.seed()
        stack.apply(*documents)
        stack.await_ready(*documents)
        assert lab.applies == 1
        stack.delete(*documents)
    finally:
        status = operator.stop()
        print(operator.log.read_text())
        stack.close()
    assert status == 0


def _as_a_pod(root: Path, account: Path, port: int, http: int) -> list[str]:
    secrets = "/run/secrets/kubernetes.io/serviceaccount"  # /var/run leads here, but only from within
    environment = {
        "PATH": "/opt/pve-evpn/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "POD_NAME": "operator-in-the-image",
        "PVE_EVPN_HTTP": f"127.0.0.1:{http}",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(port),
    }
    script = f"""
        set -e
        mkdir -p {root}{secrets}
        mount --bind {root} {root}
        mount -t tmpfs tmpfs {root}/tmp
        mount --bind {account} {root}{secrets}
        mount --rbind /dev {root}/dev
        mount -o remount,ro,bind {root}
        exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \\
            chroot --userspec={USER} {root} /usr/bin/env -i {" ".join(f"{k}={v}" for k, v in environment.items())} \\
            /opt/pve-evpn/bin/pve-evpn "$@"
    """
    return ["unshare", "--mount", "sh", "-c", script, "sh"]
