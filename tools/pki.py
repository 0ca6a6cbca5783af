"""Keys and certificates of the three parties, made on first use, and whom each one trusts.

Layout: ``HOME/pki/{plant,controller,operator}/{own,trusted,rejected}``; directories are 0700, keys
0600.
Certificates are self-signed application certificates (OPC 10000-6, 6.2.2); trust is by exact
certificate: each party holds copies of those it talks to; while one is renewed (`tools.renewal`),
of the one before as well. A controller trusts its own, which a standby of it shows.
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

from hil.hardening import Trust
from plant_models.signals import CONTROLLER_URI, PLANT_URI

__all__ = [
    "OPERATOR_URI",
    "PARTIES",
    "WARN_BEFORE",
    "Party",
    "TrustList",
    "ensure_pki",
    "locked",
    "make_pair",
    "parties_of",
    "private_folder",
    "twinline_home",
    "write_pair",
    "write_private",
    "write_private_bytes",
]

log = logging.getLogger(__name__)

OPERATOR_URI = "urn:twinline:operator"

# Name -> application URI and whom it talks to.
PARTIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "plant": (PLANT_URI, ("controller", "operator")),
    "controller": (CONTROLLER_URI, ("plant", "operator", "controller")),
    "operator": (OPERATOR_URI, ("plant", "controller")),
}

_REJECTED_KEPT = 100
_CLOCK_SKEW = timedelta(minutes=5)

# From then on the end of a certificate is told.
WARN_BEFORE = timedelta(days=30)


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

    def previous_certificate_of(self, other: str) -> Path:
        """The certificate of another party before it was renewed, if it was."""
        return self.folder / "trusted" / f"{other}-previous.der"

    def trust_list(self) -> TrustList:
        """Whom this party trusts."""
        return TrustList(self.folder / "trusted", self.folder / "rejected")


@dataclass(frozen=True, slots=True)
class TrustList:
    """Trusts exactly the certificates in a folder, read at every question; keeps the others."""

    trusted: Path
    rejected: Path

    def __call__(self, der: bytes) -> Trust:
        """Whether ``der`` is trusted and valid now; of a stranger's a copy goes to ``rejected``."""
        if any(f.read_bytes() == der for f in sorted(self.trusted.glob("*.der"))):
            return Trust.TRUSTED if _valid_now(der) else Trust.OUT_OF_DATE
        name = hashlib.sha256(der).hexdigest()
        log.warning("refused: certificate %s is not trusted", name[:16])
        if len(list(self.rejected.glob("*.der"))) < _REJECTED_KEPT:
            write_private_bytes(self.rejected / f"{name}.der", der)
        return Trust.UNKNOWN


def _valid_now(der: bytes) -> bool:
    """Whether now lies in the time of validity; one that ends soon is told at every connection."""
    certificate = x509.load_der_x509_certificate(der)
    now, end = datetime.now(UTC), certificate.not_valid_after_utc
    who = certificate.subject.rfc4514_string()
    if not certificate.not_valid_before_utc - _CLOCK_SKEW <= now <= end:
        log.warning(
            "refused: the certificate of %s is valid from %s to %s; twinline certificates renew",
            who,
            certificate.not_valid_before_utc,
            end,
        )
        return False
    if end - now < WARN_BEFORE:
        log.warning("the certificate of %s ends on %s: renew it", who, end)
    return True


def parties_of(home: Path) -> dict[str, Party]:
    """The parties whose keys lie, or will lie, under ``home``."""
    return {name: Party(name, home / "pki" / name) for name in PARTIES}


def ensure_pki(home: Path, *, days: float = 365, bits: int = 2048) -> dict[str, Party]:
    """Make what is missing under ``home`` and return the parties by name."""
    parties = parties_of(home)
    with locked(home / "pki"):
        for party in parties.values():
            for folder in ("own", "trusted", "rejected"):
                private_folder(party.folder / folder)
            if not (party.certificate.is_file() and party.private_key.is_file()):
                write_pair(party, *make_pair(party, days, bits))
        for party in parties.values():
            for other in PARTIES[party.name][1]:
                if not party.certificate_of(other).is_file():
                    write_private_bytes(
                        party.certificate_of(other), parties[other].certificate.read_bytes()
                    )
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


def write_private_bytes(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = file.with_suffix(f"{file.suffix}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    part.replace(file)


def write_private(file: Path, text: str) -> None:
    """Write a 0600 text file in a 0700 folder, whole or not at all."""
    private_folder(file.parent)
    write_private_bytes(file, text.encode())


def write_pair(party: Party, certificate: bytes, key: bytes) -> None:
    """Put own certificate and key in their places, the key first."""
    write_private_bytes(party.private_key, key)
    write_private_bytes(party.certificate, certificate)


def make_pair(party: Party, days: float, bits: int) -> tuple[bytes, bytes]:
    """A new certificate (DER) that is valid for ``days`` from now, and its key (PEM)."""
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
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.DER), pem
