"""Who we are for a server, whom we expect there, and how long the certificates last.

A certificate counts when a connection is made. One that expires later does not end the connection:
a loop that runs is not opened because of a date. It is told in time instead (`days_left`), and the
next connection is refused, with words that say what to do. New files are used from the next
connection on; while a server's certificate changes, both the new and the one before are accepted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from controller.link.errors import LinkRefused
from plant_models.signals import CONTROLLER_URI

__all__ = ["REFUSALS", "Credentials", "days_left", "expiry", "refused", "secure"]

_DAY_S = 86_400.0

# Refusals of a server, with what to do about each.
REFUSALS: Mapping[type[ua.UaError], str] = {
    ua.uaerrors.BadUserAccessDenied: "user name or password is wrong, or locked for a while",
    ua.uaerrors.BadIdentityTokenRejected: "log in with user name and password",
    ua.uaerrors.BadIdentityTokenInvalid: "user name or password is wrong",
    ua.uaerrors.BadCertificateUntrusted: "let the server trust our certificate",
    ua.uaerrors.BadCertificateInvalid: "make a new certificate: twinline certificates renew",
    ua.uaerrors.BadCertificateTimeInvalid: (
        "our certificate has expired or is not valid yet: twinline certificates renew, and check "
        "the date of both computers"
    ),
    ua.uaerrors.BadSecurityChecksFailed: "the server wants a secured channel and a certificate",
    ua.uaerrors.BadSecurityPolicyRejected: "the server must offer Basic256Sha256, SignAndEncrypt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are and whom we expect; ``server_certificate`` is pinned.

    ``previous_server_certificate`` is accepted beside it while the server's is being renewed.
    ``watched`` are more certificates whose end we want to know, by name. Without a certificate the
    channel is not secured (loopback tests with an explicit setting).
    """

    user: str
    password: str
    certificate: Path | None
    private_key: Path | None
    server_certificate: Path | None
    previous_server_certificate: Path | None = None
    watched: Mapping[str, Path] = field(default_factory=dict)
    application_uri: str = CONTROLLER_URI

    def files(self) -> tuple[Path, ...]:
        """Files that a connection is made from."""
        found = (self.certificate, self.private_key, self.server_certificate)
        return tuple(f for f in found if f is not None)

    def pins(self) -> list[bytes]:
        """Certificates of the server that are accepted, the present one first."""
        found = (self.server_certificate, self.previous_server_certificate)
        return [f.read_bytes() for f in found if f is not None and f.is_file()]

    def certificates(self) -> dict[str, Path]:
        """Certificates by whose they are; those that exist."""
        named = {
            "controller": self.certificate,
            "plant": self.server_certificate,
            **self.watched,
        }
        return {name: file for name, file in named.items() if file is not None and file.is_file()}


def expiry(der: bytes) -> float:
    """End of the validity of a certificate [s, UTC]."""
    return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()


def days_left(who: Credentials, now: float) -> dict[str, float]:
    """Days that are left at ``now`` [s, UTC] to each certificate.

    Negative once it has expired, minus infinity for a file that is no certificate.
    """
    left = {}
    for name, file in who.certificates().items():
        try:
            left[name] = round((expiry(file.read_bytes()) - now) / _DAY_S, 2)
        except ValueError:
            left[name] = -math.inf
    return left


def refused(endpoint: str, error: ua.UaError) -> LinkRefused:
    """A server's refusal, with what to do."""
    remedy = next((text for kind, text in REFUSALS.items() if isinstance(error, kind)), "")
    return LinkRefused(f"{endpoint}: {type(error).__name__}{f' ({remedy})' if remedy else ''}")


async def secure(client: Client, who: Credentials, endpoint: str, now: float) -> None:
    """Give a fresh client our keys and the certificate that it must find at the server.

    Raises `LinkRefused` where a connection should not even be tried.
    """
    client.application_uri = who.application_uri
    client.set_user(who.user)
    client.set_password(who.password)
    if who.certificate is None or who.private_key is None:
        return
    if not who.pins():
        raise LinkRefused(f"{endpoint}: no pinned certificate of the server")
    _check_pair(who.certificate, who.private_key)
    server = await _pinned(client, who.pins())
    _check_date(who.certificate.read_bytes(), f"our certificate {who.certificate}", now)
    _check_date(server, f"the certificate of the server {endpoint}", now)
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=who.certificate,
        private_key=who.private_key,
        server_certificate=server,
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )


def _check_pair(certificate: Path, private_key: Path) -> None:
    theirs = x509.load_der_x509_certificate(certificate.read_bytes()).public_key()
    key = load_pem_private_key(private_key.read_bytes(), None)
    if theirs != key.public_key():
        raise LinkRefused(
            f"{certificate} and {private_key.name} do not belong together; if they are just being "
            "renewed, the next attempt finds both, else make them anew: twinline certificates renew"
        )


def _check_date(der: bytes, whose: str, now: float) -> None:
    end = expiry(der)
    if now > end:
        raise LinkRefused(
            f"{whose} expired on {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC; "
            "make a new one: twinline certificates renew"
        )


async def _pinned(client: Client, pins: list[bytes]) -> bytes:
    """The certificate that we accept and that the server shows."""
    if len(pins) == 1:
        return pins[0]
    shown = {e.ServerCertificate for e in await client.connect_and_get_server_endpoints()}
    return next((p for p in pins if p in shown), pins[0])
