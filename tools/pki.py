"""Keys and certificates of the three parties, made on first use, and whom each one trusts.

Layout: ``HOME/pki/{plant,controller,operator}/{own,trusted,rejected}``; directories are 0700, keys
0600.
Certificates are self-signed application certificates (OPC 10000-6, 6.2.2); trust is by exact
certificate: each party holds copies of those it talks to.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plant_models.signals import CONTROLLER_URI, PLANT_URI

__all__ = [
    "OPERATOR_URI",
    "PARTIES",
    "Party",
    "TrustList",
    "ensure_pki",
    "locked",
    "private_folder",
    "twinline_home",
    "write_private",
]

log = logging.getLogger(__name__)

OPERATOR_URI = "urn:twinline:operator"

# Name -> application URI and whom it talks to.
PARTIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "plant": (PLANT_URI, ("controller", "operator")),
    "controller": (CONTROLLER_URI, ("plant", "operator")),
    "operator": (OPERATOR_URI, ("plant", "controller")),
}

_REJECTED_KEPT = 100
_CLOCK_SKEW = timedelta(minutes=5)


def twinline_home() -> Path:
    """Where keys live: ``TWINLINE_HOME`` or the user's state directory."""
    named = os.environ.get("TWINLINE_HOME")
    if named:
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "twinline"


@dataclass(frozen=True, slots=True)
class Party:
    """Files of one party."""

    name: str
    folder: Path

    @property
    def uri(self) -> str:
        """Application URI, as in the certificate."""
        return PARTIES[self.name][0]

    @property
    def certificate(self) -> Path:
        """Own certificate (DER)."""
        return self.folder / "own" / "certificate.der"

    @property
    def private_key(self) -> Path:
        """Own key (PEM)."""
        return self.folder / "own" / "key.pem"

    def certificate_of(self, other: str) -> Path:
        """The pinned certificate of another party."""
        return self.folder / "trusted" / f"{other}.der"

    def trust_list(self) -> TrustList:
        """Whom this party trusts."""
        return TrustList(self.folder / "trusted", self.folder / "rejected")


@dataclass(frozen=True, slots=True)
class TrustList:
    """Trusts exactly the certificates in a folder, read at every question; keeps the others."""

    trusted: Path
    rejected: Path

    def __call__(self, der: bytes) -> bool:
        """Whether ``der`` is trusted and valid now; if not, a copy goes to ``rejected``."""
        if any(f.read_bytes() == der for f in sorted(self.trusted.glob("*.der"))):
            return _valid_now(der)
        name = hashlib.sha256(der).hexdigest()
        log.warning("refused: certificate %s is not trusted", name[:16])
        if len(list(self.rejected.glob("*.der"))) < _REJECTED_KEPT:
            _write(self.rejected / f"{name}.der", der)
        return False


def _valid_now(der: bytes) -> bool:
    certificate = x509.load_der_x509_certificate(der)
    now = datetime.now(UTC)
    valid = certificate.not_valid_before_utc - _CLOCK_SKEW <= now <= certificate.not_valid_after_utc
    if not valid:
        log.warning("refused: a trusted certificate is outside its time of validity")
    return valid


def ensure_pki(home: Path, *, days: int = 365, bits: int = 2048) -> dict[str, Party]:
    """Make what is missing under ``home`` and return the parties by name."""
    parties = {name: Party(name, home / "pki" / name) for name in PARTIES}
    with locked(home / "pki"):
        for party in parties.values():
            for folder in ("own", "trusted", "rejected"):
                private_folder(party.folder / folder)
            if not (party.certificate.is_file() and party.private_key.is_file()):
                _make_pair(party, days, bits)
        for party in parties.values():
            for other in PARTIES[party.name][1]:
                if not party.certificate_of(other).is_file():
                    _write(party.certificate_of(other), parties[other].certificate.read_bytes())
    return parties


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time makes files in a private ``folder``."""
    descriptor = os.open(private_folder(folder) / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def private_folder(folder: Path) -> Path:
    """Make ``folder`` and those above it that are missing; 0700."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _write(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = file.with_suffix(f"{file.suffix}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    part.replace(file)


def write_private(file: Path, text: str) -> None:
    """Write a 0600 text file in a 0700 folder, whole or not at all."""
    private_folder(file.parent)
    _write(file, text.encode())


def _make_pair(party: Party, days: int, bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"twinline {party.name}")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(party.uri),
        *(x509.DNSName(n) for n in dict.fromkeys((host, "localhost"))),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(
        party.private_key,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(party.certificate, certificate.public_bytes(serialization.Encoding.DER))
