"""Certificates that end and certificates that are renewed, while a plant and its link run."""

import asyncio
import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from typer.testing import CliRunner

from controller.link.client import LinkRefused, PlantLink
from controller.link.identity import days_left
from hil.hardening import Trust
from plant_models.signals import APC
from tests.helpers.site import Site, running_site
from tools.cli import app
from tools.pki import Party, ensure_pki, make_pair, write_pair, write_private_bytes
from tools.renewal import lives, renew

DAY_S = 86_400.0
HEARTBEATS = itertools.count(1)
CONNECTED_S = 2.5  # life of a certificate that is to end while it is in use


@pytest.fixture
def parties(tmp_path: Path) -> dict[str, Party]:
    return ensure_pki(tmp_path)


def give(parties: dict[str, Party], name: str, seconds: float) -> None:
    """Let a party have, and the others trust, a certificate that lives for ``seconds``."""
    certificate, key = make_pair(parties[name], seconds / DAY_S, 2048)
    write_pair(parties[name], certificate, key)
    for other in parties.values():
        if other.certificate_of(name).is_file():
            write_private_bytes(other.certificate_of(name), certificate)


def test_lives_are_data_and_30_days_before_the_end_is_soon(
    tmp_path: Path, parties: dict[str, Party]
) -> None:
    now = time.time()
    assert [(life.party, life.soon) for life in lives(tmp_path, now)] == [
        ("plant", False),
        ("controller", False),
        ("operator", False),
    ]
    later = lives(tmp_path, now + 335.5 * DAY_S)
    assert all(life.soon and 29.0 < life.days_left < 30.0 for life in later)
    assert not any(life.soon for life in lives(tmp_path, now + 334.5 * DAY_S))


def test_a_link_knows_the_days_left_to_every_certificate_that_it_needs(
    root: Path, tmp_path: Path
) -> None:
    parties = ensure_pki(tmp_path)
    site = Site(None, None, parties, tmp_path, "")  # type: ignore[arg-type]
    (tmp_path / "controller.password").write_text("x")
    (tmp_path / "controller.password").chmod(0o600)
    who = site.credentials()
    give(parties, "plant", 10.0 * DAY_S)
    left = days_left(who, time.time())
    assert left == pytest.approx({"controller": 365.0, "plant": 10.0, "operator": 365.0}, abs=0.02)
    assert days_left(who, time.time() + 11.0 * DAY_S)["plant"] == pytest.approx(-1.0, abs=0.02)
    assert who.server_certificate is not None
    who.server_certificate.write_bytes(b"no certificate")
    assert days_left(who, time.time())["plant"] == float("-inf")


def test_a_trusted_certificate_that_ends_soon_is_told(
    parties: dict[str, Party], caplog: pytest.LogCaptureFixture
) -> None:
    plant, mine = parties["plant"].trust_list(), parties["controller"].certificate
    assert plant(mine.read_bytes()) is Trust.TRUSTED
    assert "renew" not in caplog.text
    give(parties, "controller", 29.0 * DAY_S)
    assert plant(mine.read_bytes()) is Trust.TRUSTED
    assert "CN=twinline controller ends on" in caplog.text
    give(parties, "controller", -60.0)
    assert plant(mine.read_bytes()) is Trust.OUT_OF_DATE
    stranger, _ = make_pair(parties["controller"], 1.0, 2048)
    assert plant(stranger) is Trust.UNKNOWN


def test_renewing_keeps_the_certificate_before_trusted(
    tmp_path: Path, parties: dict[str, Party]
) -> None:
    before = parties["controller"].certificate.read_bytes()
    renew(tmp_path, "controller", days=100.0)
    after = parties["controller"].certificate.read_bytes()
    assert after != before
    plant = parties["plant"].trust_list()
    assert plant(before) is plant(after) is Trust.TRUSTED
    held = x509.load_der_x509_certificate(after)
    assert parties["plant"].certificate_of("controller").read_bytes() == after
    assert (held.not_valid_after_utc.timestamp() - time.time()) / DAY_S == pytest.approx(100, abs=1)
    with pytest.raises(ValueError, match="plant, controller, operator"):
        renew(tmp_path, "nobody")


def test_the_command_line_lists_and_renews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLINE_HOME", str(tmp_path))
    run = CliRunner()
    assert run.invoke(app, ["certificates", "list"]).exit_code == 2
    parties = ensure_pki(tmp_path)
    assert run.invoke(app, ["certificates", "list"]).exit_code == 0
    give(parties, "operator", 5.0 * DAY_S)
    shown = run.invoke(app, ["certificates", "list"])
    assert shown.exit_code == 1
    assert "operator   until" in shown.stdout and "5.0 days" in shown.stdout
    assert run.invoke(app, ["certificates", "renew", "operator"]).exit_code == 0
    assert run.invoke(app, ["certificates", "list"]).exit_code == 0
    refused = run.invoke(app, ["certificates", "renew", "somebody"])
    assert (refused.exit_code, "no party" in refused.stdout) == (2, True)


async def beats(link: PlantLink, number: int, each: float = 5.0) -> list[int]:
    """Plant seconds at which so many cycles were due; every cycle reads and writes."""
    progress, found = None, []
    for _ in range(number):
        progress = await link.next_cycle(progress, each)
        found.append((await link.read()).scan_id)
        assert set(
            (await link.write({APC.STATE: "MONITORING", APC.HB: next(HEARTBEATS)})).values()
        ) == {0}
    return found


@pytest.mark.e2e
@pytest.mark.xdist_group("renewal")
def test_a_certificate_that_ends_in_use_ends_nothing_but_the_next_connection(
    root: Path, tmp_path: Path
) -> None:
    """Ours, then the plant's; the words say whose it is and what to do."""

    async def scenario() -> None:
        async with running_site(root, tmp_path) as site:
            give(site.parties, "controller", CONNECTED_S)
            ends = time.time() + CONNECTED_S
            link = site.link()
            await link.connect()
            await asyncio.sleep(max(0.0, ends - time.time()) + 0.2)
            assert link.certificates["controller"] <= 0.0
            await beats(link, 3)
            with pytest.raises(LinkRefused, match=r"our certificate .* expired .*renew"):
                await site.link().connect()
            who = site.credentials()
            assert who.certificate is not None and who.private_key is not None
            careless = Client(site.endpoint, timeout=5)
            careless.application_uri = who.application_uri
            careless.set_user(who.user)
            careless.set_password(who.password)
            await careless.set_security(
                SecurityPolicyBasic256Sha256,
                who.certificate,
                who.private_key,
                server_certificate=str(who.server_certificate),
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )
            with pytest.raises(ua.uaerrors.BadCertificateTimeInvalid):
                await careless.connect()
            renew(tmp_path, "controller")
            await beats(link, 2)
            await link.drop()
            shown = tmp_path / "ended.der"
            shown.write_bytes(make_pair(site.parties["plant"], -60.0 / DAY_S, 2048)[0])
            stale = replace(site.credentials(), server_certificate=shown)
            with pytest.raises(LinkRefused, match=r"certificate of the server .* expired"):
                await site.link(stale).connect()

    asyncio.run(scenario())


@pytest.mark.e2e
@pytest.mark.xdist_group("renewal")
def test_keys_are_renewed_on_both_sides_without_a_missed_cycle(root: Path, tmp_path: Path) -> None:
    """At speed 10 a period of 5 s is 0.5 s; every cycle comes in its period."""

    async def scenario() -> None:
        async with running_site(root, tmp_path, speed=10.0) as site:
            server = site.server._server
            link = site.link()
            await link.connect()
            first = await beats(link, 3)
            await asyncio.to_thread(renew, tmp_path, "controller")
            second = await beats(link, 3)
            assert link.connections == 2
            await asyncio.to_thread(renew, tmp_path, "plant")
            third = await beats(link, 3)  # the server still shows the certificate before
            assert link.connections == 3
            await server.renew()  # or it has looked by itself by now
            fourth = await beats(link, 3)
            assert link.connections == 3
            seen = first + second + third + fourth
            assert max(b - a for a, b in itertools.pairwise(seen)) < 2 * 5
            await link.drop()
            fresh = site.link()
            await fresh.connect()
            shown = {e.ServerCertificate for e in await server.get_endpoints()}
            assert shown == {site.parties["plant"].certificate.read_bytes()}
            await fresh.drop()
            assert not await server.renew()

    asyncio.run(scenario())


@pytest.mark.e2e
@pytest.mark.xdist_group("renewal")
def test_keys_that_do_not_belong_together_are_not_used(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_site(root, tmp_path) as site:
            me, plant = site.parties["controller"], site.parties["plant"]
            link = site.link()
            await link.connect()
            await beats(link, 1)
            for party in (me, plant):
                _, key = make_pair(party, 1.0, 2048)
                write_private_bytes(party.private_key, key)
            await beats(link, 2)  # goes on with the connection that it has
            assert link.connections == 1
            assert not await site.server._server.renew()
            with pytest.raises(LinkRefused, match="do not belong together"):
                await site.link().connect()
            renew(tmp_path, "controller")
            fresh = site.link()
            await fresh.connect()
            await fresh.drop()
            await link.drop()

    asyncio.run(scenario())
