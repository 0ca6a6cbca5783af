"""``twinline control``: the controller, connected to a plant."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlparse

import typer
from rich.console import Console

from controller.algorithms import make_brain
from controller.config import ControllerConfig
from controller.cycle_data import CycleSetup, CycleState, initial_state, make_setup
from controller.link.advisor import PlantAdvisor
from controller.link.client import Credentials, PlantLink
from controller.link.server import OperatorServer
from controller.link.tagmap import TagMapConfig
from controller.products.sets import ProductSet
from controller.products.watch import Candidate
from controller.records.audit import AuditTrail
from controller.records.hashes import software_hash
from controller.records.historian import Historian, sqlite_url
from controller.records.state_file import load_state, resumed
from controller.reload import given_up, reloaded, with_former
from controller.runtime import Runtime
from controller.targets import product_targets
from hil.hardening import HardenedServer, caller
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import Clock
from tools.audit_trail import calls_to, logins_to
from tools.clocks import SystemClock
from tools.config_errors import ConfigError
from tools.configuration import load_controller, load_line, load_security, load_tagmap
from tools.pki import Party, ensure_pki, twinline_home
from tools.product_sets import Bound, bind, bound_in, known_sets, set_of_controller
from tools.rundir import RunDir, new_run
from tools.security import SecurityConfig, ensure_secrets, read_password, server_security
from tools.service import serve, told
from tools.standby import check_signature, make_standby, run_both, standing_by

__all__ = ["control"]

log = logging.getLogger(__name__)

BAD_INPUT = 2
_EPOCH_BITS = 52  # a number on the wire that a float holds exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What to run; ``named`` is the hash of the product set that it was started with."""

    config: ControllerConfig
    setup: CycleSetup
    state: CycleState
    tagmap: TagMapConfig | None
    security: SecurityConfig
    run: RunDir
    endpoint: str
    host: str
    port: int
    known: Mapping[str, ProductSet]
    named: str = ""
    standby_of: str = ""
    promoted: bool = False

    @property
    def name(self) -> str:
        """What this process is called in the folder of the run."""
        return "standby" if self.standby_of else "controller"


def control(
    controller: Annotated[
        Path, typer.Argument(help="Configuration of the controller.", show_default=False)
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(help="The plant; by default that of the run, then the configured one."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port for operators; 0 takes a free one, default as configured.", min=0),
    ] = None,
    security: Annotated[
        Path | None, typer.Option(help="Security settings; built-in ones by default.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    product_set: Annotated[
        Path | None, typer.Option(help="Product set of the run; by default the configured one.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Saved state of this controller, whose memory of the data it takes."),
    ] = None,
    standby: Annotated[
        str | None,
        typer.Option(
            help="Stand by the controller at this address: write nothing until promoted.",
            metavar="ENDPOINT",
        ),
    ] = None,
) -> None:
    """Run a controller until it is stopped (Ctrl-C)."""
    console = Console(highlight=False)
    try:
        with told(console, "controller.twin.compiled"):
            order = _order(controller, endpoint, port, security, run, resume, product_set, standby)
    except (ConfigError, ValueError, OSError) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    try:
        asyncio.run(serve(lambda stop: _run(order, console, stop)))
    except OSError as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error


def _order(
    file: Path,
    endpoint: str | None,
    port: int | None,
    security: Path | None,
    run: Path | None,
    resume: Path | None,
    set_file: Path | None,
    standby: str | None,
) -> _Order:
    config: ControllerConfig = load_controller(file)
    line_file = file.parent / config.line
    product, set_file = set_of_controller(config, file, set_file)
    known = {} if set_file is None else known_sets(config, set_file)
    named, bound = "" if product is None else product.hash, None
    if run is not None and product is not None:
        bound = bound_in(RunDir(run), product, known)
    if bound is not None:
        product, named = bound.made, bound.named
        config = product.settings(config)
    line = load_line(line_file) if product is None else product.line
    setup = _setup(config, line, product, known)
    state = initial_state(setup, epoch=1 + secrets.randbits(_EPOCH_BITS))
    if bound is not None:
        state = with_former(state, bound.former)
    if resume is not None:
        state = resumed(state, load_state(resume, setup))
    settings = SecurityConfig() if security is None else load_security(security)
    if standby is not None:
        check_signature(config.supervision.standby, settings)
        state, port = standing_by(state, standby), 0 if port is None else port
    tagmap_file = file.parent / config.link.tagmap if config.link.tagmap else None
    folder = RunDir(run) if run is not None else new_run(config.name)
    folder.keep([f for f in (file, line_file, set_file, tagmap_file) if f is not None])
    folder.log_to("controller" if standby is None else "standby")
    listening = folder.listening("plant")
    operators = urlparse(config.link.operator_endpoint)
    return _Order(
        config=config,
        setup=setup,
        state=state,
        tagmap=load_tagmap(tagmap_file) if tagmap_file else None,
        security=settings,
        run=folder,
        endpoint=endpoint or (listening.endpoint if listening else config.link.endpoint),
        host=operators.hostname or "127.0.0.1",
        port=port if port is not None else operators.port or 4841,
        known=known,
        named=named,
        standby_of=standby or "",
    )


def _setup(
    config: ControllerConfig,
    line: ResolvedLine,
    product: ProductSet | None,
    known: Mapping[str, ProductSet],
) -> CycleSetup:
    table = signal_table(line.line)
    return make_setup(
        config,
        line,
        table,
        make_brain(config, line, table, twinline_home() / "cache"),
        product_targets(line),
        software_hash(),
        product,
        known,
    )


def _changed(order: _Order, state: CycleState, wanted: str) -> _Order:
    """The order to go on with: another product set in force, or a candidate in shadow."""
    made = order.known[wanted]
    config = made.settings(order.config)
    if wanted == state.oversight.product.order:
        log.info("loading the product set %s", made.label)
        setup = _setup(config, made.line, made, order.known)
        state = reloaded(state, setup)
        bind(order.run, Bound(made, order.named, state.oversight.product.former))
        return replace(order, config=config, setup=setup, state=state)
    log.info("%s runs in shadow", made.label)
    table = signal_table(made.line.line)
    brain = make_brain(config, made.line, table, twinline_home() / "cache")
    setup = replace(order.setup, shadow=Candidate(wanted, brain))
    return replace(order, setup=setup, state=state)


def _credentials(party: Party, order: _Order, user: str) -> Credentials:
    return Credentials(
        user=user,
        password=read_password(order.run.secrets / f"{user}.password"),
        certificate=party.certificate,
        private_key=party.private_key,
        server_certificate=party.certificate_of("plant"),
        previous_server_certificate=party.previous_certificate_of("plant"),
        watched={"operator": party.certificate_of("operator")},
        application_uri=party.uri,
    )


def _link(order: _Order, who: Credentials, clock: Clock) -> PlantLink:
    return PlantLink(
        order.setup.table,
        order.config.link,
        who,
        clock,
        endpoint=order.endpoint,
        tagmap=order.tagmap,
    )


async def _run(order: _Order, console: Console, stop: asyncio.Event) -> None:
    """Run until stopped; a change of product or model ends one runtime and begins the next."""
    while True:
        runtime, order = await _run_once(order, console, stop)
        if not runtime.change or stop.is_set():
            return
        try:
            order = await asyncio.to_thread(_changed, order, runtime.state, runtime.change)
        except (ArithmeticError, OSError, RuntimeError, ValueError) as error:
            log.error("the product set %s cannot be used, going on: %s", runtime.change, error)
            order = replace(order, state=given_up(runtime.state))


async def _run_once(order: _Order, console: Console, stop: asyncio.Event) -> tuple[Runtime, _Order]:
    clock, config = SystemClock(), order.security
    parties = ensure_pki(twinline_home(), days=config.certificate_days, bits=config.key_bits)
    ensure_secrets(order.run.secrets, config)
    me = parties["controller"]
    who = _credentials(me, order, config.user_with("controller"))
    link = _link(order, who, clock)
    advisor = None
    if order.config.supervision.advice.accept == "operator_set":
        person = _credentials(me, order, config.user_with("operator"))
        advisor = PlantAdvisor(lambda: _link(order, person, clock), order.tagmap)
    database = sqlite_url(order.run.historian_of(order.name))
    trail = AuditTrail(database)
    security = server_security(me, order.run.secrets, config, clock, logins_to(trail))
    server = OperatorServer(
        HardenedServer(security),
        caller,
        order.config.supervision,
        order.setup.table,
        period_s=order.config.period_s,
        host=order.host,
        port=order.port,
        alarms=order.setup.oversight.alarms.definitions,
        audit=calls_to(trail, clock.now),
    )
    standby = None
    if order.standby_of and not order.promoted:
        standby = make_standby(order.config, order.standby_of, me, who, link, server, clock)
    runtime = Runtime(
        order.setup,
        order.state,
        link,
        standby or server,
        lambda: Historian(database, order.setup, order.state),
        clock,
        silent=lambda: standby is not None and standby.silent,
        operator=advisor,
    )
    if standby is not None:
        standby.serve(runtime)
    await server.start(standby or runtime)
    order.run.announce(order.name, server.endpoint)
    console.print(
        f"{order.name} {order.config.name}: {server.endpoint}, plant {order.endpoint}, "
        f"run {order.run.path}",
        soft_wrap=True,
    )
    try:
        await run_both(runtime, standby, stop)
    finally:
        order.run.withdraw(order.name)
        await server.stop()
        trail.close()
    promoted = order.promoted or (standby is not None and not standby.silent)
    port = urlparse(server.endpoint).port or order.port
    return runtime, replace(order, port=port, promoted=promoted)
