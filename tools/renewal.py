"""New certificates while everything runs: made, spread to whoever trusts them, the old kept beside.

The order lets no connection fail in between: first everybody who trusts the party gets the new
certificate and keeps the one before (``NAME-previous.der``), then the party gets its new pair.
Connections that exist go on; servers and links take the new files for the next ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from tools.pki import (
    PARTIES,
    WARN_BEFORE,
    locked,
    make_pair,
    parties_of,
    write_pair,
    write_private_bytes,
)

__all__ = ["Life", "lives", "renew"]

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long the certificate of a party is valid, and the days that are left to it."""

    party: str
    file: Path
    ends: datetime
    days_left: float

    @property
    def soon(self) -> bool:
        """Whether it is time to renew it."""
        return self.days_left < WARN_BEFORE.total_seconds() / _DAY_S


def lives(home: Path, now: float) -> tuple[Life, ...]:
    """The certificates under ``home`` at ``now`` [s, UTC]; those that exist."""
    found = []
    for party in parties_of(home).values():
        if party.certificate.is_file():
            held = x509.load_der_x509_certificate(party.certificate.read_bytes())
            ends = held.not_valid_after_utc
            found.append(
                Life(
                    party=party.name,
                    file=party.certificate,
                    ends=ends,
                    days_left=(ends - datetime.fromtimestamp(now, UTC)).total_seconds() / _DAY_S,
                )
            )
    return tuple(found)


def renew(home: Path, name: str, *, days: float = 365, bits: int = 2048) -> Path:
    """Make new keys for the party ``name`` and let all who trust it trust both for a while.

    Returns the new certificate. Raises ``ValueError`` for a party that there is not.
    """
    if name not in PARTIES:
        raise ValueError(f"{name!r} is no party; there are {', '.join(PARTIES)}")
    parties = parties_of(home)
    me = parties[name]
    with locked(home / "pki"):
        certificate, key = make_pair(me, days, bits)
        for other in parties.values():
            if name in PARTIES[other.name][1] and other.folder.is_dir():
                trusted = other.certificate_of(name)
                if trusted.is_file():
                    write_private_bytes(other.previous_certificate_of(name), trusted.read_bytes())
                write_private_bytes(trusted, certificate)
        write_pair(me, certificate, key)
    return me.certificate
