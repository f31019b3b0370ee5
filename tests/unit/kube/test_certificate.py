"""The certificate of the endpoint for full tables."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pve_evpn.kube import certificate
from pve_evpn.kube.certificate import Certificate


def mounted(folder: Path) -> bytes:
    """A new key and certificate in the folder; the certificate's text."""
    certificate._make(folder)
    return (folder / "tls.crt").read_bytes()


def test_each_process_has_one_of_its_own() -> None:
    first, second = Certificate(), Certificate()
    assert len(first.fingerprint) == 64
    assert first.fingerprint != second.fingerprint


def test_a_mounted_one_is_used_and_renewed(tmp_path: Path) -> None:
    mounted(tmp_path)
    made = Certificate(tmp_path)
    before = made.fingerprint
    made.refresh()
    assert made.fingerprint == before
    mounted(tmp_path)
    made.refresh()
    assert made.fingerprint != before


def test_a_chain_is_known_by_its_first_certificate(tmp_path: Path) -> None:
    leaf = mounted(tmp_path)
    (tmp_path / "ca").mkdir()
    (tmp_path / "tls.crt").write_bytes(b"subject=/CN=x\n" + leaf + mounted(tmp_path / "ca"))
    assert Certificate(tmp_path).fingerprint == _fingerprint(leaf)


def _fingerprint(pem: bytes) -> str:
    import hashlib

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


@pytest.mark.parametrize("broken", [b"", b"no certificate", None])
def test_a_renewal_that_cannot_be_used_leaves_the_old_one(
    broken: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaf = mounted(tmp_path)
    made = Certificate(tmp_path)
    if broken is None:  # another key's
        (tmp_path / "other").mkdir()
        (tmp_path / "tls.crt").write_bytes(mounted(tmp_path / "other"))
    else:
        (tmp_path / "tls.crt").write_bytes(broken)
    made.refresh()
    assert made.fingerprint == _fingerprint(leaf)
    assert "cannot be used" in caplog.text
