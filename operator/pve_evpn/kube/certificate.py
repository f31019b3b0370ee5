"""The certificate of the endpoint for full tables: a mounted one, or one that is made at start and kept nowhere.

Callers know either by its fingerprint, which the replica's Lease has (``kube.tables``): who may write that Lease
decides over the operator anyway. So a certificate of a replica's own needs no authority, no Secret and no renewal.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

log = logging.getLogger(__name__)

#: The name in a certificate of the operator's own.
NAME = "pve-evpn-tables"
_CERTIFICATE, _KEY = "tls.crt", "tls.key"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_VALID = timedelta(days=3650)


class Certificate:
    """A server's TLS. ``folder``: what cert-manager's Secrets hold, mounted; None: make one.

    Raises OSError or ssl.SSLError where the folder's certificate cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.fingerprint = ""
        """SHA-256 of the certificate, in hexadecimal."""
        self._folder = folder
        self._loaded = b""
        if folder is None:
            with tempfile.TemporaryDirectory() as name:
                _make(Path(name))
                self._load(Path(name))
        else:
            self._load(folder)

    def refresh(self) -> None:
        """Load the mounted certificate anew if it was renewed. One that cannot be used leaves the old one in place."""
        if self._folder is None:
            return
        try:
            if (self._folder / _CERTIFICATE).read_bytes() != self._loaded:
                self._load(self._folder)
                log.info("the certificate of the endpoint for full tables was renewed")
        except (OSError, ValueError) as error:
            log.warning("the renewed certificate in %s cannot be used: %s", self._folder, type(error).__name__)

    def _load(self, folder: Path) -> None:
        chain = (folder / _CERTIFICATE).read_bytes()
        # Tried on a context of its own: one with a certificate and another's key would refuse every connection.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / _CERTIFICATE, folder / _KEY)
        self.context.load_cert_chain(folder / _CERTIFICATE, folder / _KEY)
        text = chain.decode()
        first = text[text.index(_BEGIN) : text.index(_END) + len(_END)]
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
        self._loaded = chain


def _make(folder: Path) -> None:
    """A key and a certificate signed with it. Imported here: who mounts a certificate needs none of it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / _CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / _KEY).touch(0o600)
    (folder / _KEY).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
