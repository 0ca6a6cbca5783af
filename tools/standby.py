"""Makes a controller the standby of another one: its look-outs, its beginning, its end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.config import ControllerConfig
from controller.cycle_data import CycleState
from controller.data import Mode
from controller.link.active import ActiveLink
from controller.link.client import Credentials, PlantLink
from controller.link.server import OperatorServer
from controller.runtime import Runtime
from controller.standby_config import StandbyConfig
from controller.standby_runtime import Standby
from plant_models.signals import Clock
from tools.pki import Party
from tools.security import SecurityConfig

__all__ = ["check_signature", "make_standby", "run_both", "standing_by"]


def check_signature(config: StandbyConfig, security: SecurityConfig) -> None:
    """Refuse an automatic promotion in the name of nobody, or of somebody in another role."""
    if config.promotion != "automatic":
        return
    roles = {user.name: user.role for user in security.users}
    if config.signed_by not in roles:
        raise ValueError(
            f"supervision.standby.signed_by: there is no user {config.signed_by!r}; there are "
            f"{', '.join(sorted(roles))}"
        )
    if roles[config.signed_by] != config.signed_role:
        raise ValueError(
            f"supervision.standby.signed_role: {config.signed_by} has the role "
            f"{roles[config.signed_by]}, not {config.signed_role}"
        )


def standing_by(state: CycleState, active: str) -> CycleState:
    """The state to begin with: in MONITORING, whatever mode is configured."""
    supervision = replace(
        state.supervision, mode=Mode.MONITORING, cause=f"standby of the controller at {active}"
    )
    return replace(state, supervision=supervision)


def make_standby(
    config: ControllerConfig,
    active: str,
    party: Party,
    who: Credentials,
    link: PlantLink,
    server: OperatorServer,
    clock: Clock,
) -> Standby:
    """A standby of the controller at ``active``, which shows the certificate of ``party``.

    Parameters
    ----------
    config
        Settings; those of the link hold for the look at the active controller too.
    active
        Endpoint of the active controller's own server.
    party
        The controller's party, whose keys both controllers have.
    who
        Who we are for the plant, and for the active controller.
    link, server, clock
        Those of the controller that stands by.
    """
    there = replace(
        who,
        server_certificate=party.certificate_of(party.name),
        previous_server_certificate=party.previous_certificate_of(party.name),
    )
    look_out = ActiveLink(active, there, config.link.connect_timeout_s, clock)
    return Standby(config.supervision.standby, look_out, link, server, server.show)


async def run_both(runtime: Runtime, standby: Standby | None, stop: asyncio.Event) -> None:
    """Run a controller and, if it is a standby, its look-out; an error of either ends both."""
    if standby is None:
        await runtime.run(stop)
        return
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(standby.run(stop))
        await runtime.run(stop)
        looking.cancel()
