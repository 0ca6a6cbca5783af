"""A person at a controller in its own process: what is asked for is carried out, shown and kept."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua

from tests.e2e.conftest import Shop, until
from tools.people import ControllerDesk

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("two-processes")]

_KINDS = {
    str: ua.VariantType.String,
    float: ua.VariantType.Double,
    bool: ua.VariantType.Boolean,
    int: ua.VariantType.Int64,
}


async def _call(desk: ControllerDesk, method: str, *given: Any) -> tuple[bool, str]:
    values = [ua.Variant(v, _KINDS[type(v)]) for v in (*given, "a test of methods")]
    accepted, text = await desk.call(f"Controller/{method}", *values)
    return accepted, text


async def _shown(desk: ControllerDesk, wanted: dict[str, object]) -> None:
    async def all_of_it() -> bool:
        values = await desk.read([f"Controller/{path}" for path in wanted])
        return values == list(wanted.values())

    await until(f"the server shows {wanted}", all_of_it, 10.0)


def test_limits_service_and_alarms_are_set_by_method_and_shown(shop: Shop) -> None:
    shop.plant("lockstep")
    shop.controller()

    async def scenario() -> None:
        async with shop.operator() as desk:
            accepted, text = await desk.request_mode("ADVISORY", "a test of methods")
            assert accepted, text
            assert await _call(desk, "SetLimit", "Thickness", 3.0, 3.3) == (
                True,
                "Line/Press/Thickness is limited to 3..3.3",
            )
            await _shown(desk, {"Mode": "ADVISORY", "MVs/Thickness/HighLimit": 3.3})
            assert (await _call(desk, "ClearLimit", "Thickness"))[0]
            assert (await _call(desk, "SetService", "mv", "Thickness", False))[0]
            assert (await _call(desk, "Shelve", "solver", 5.0))[0]
            await _shown(
                desk,
                {
                    "MVs/Thickness/HighLimit": None,
                    "MVs/Thickness/Service": "OUT",
                    "Alarms/solver/State": "shelved",
                    "Trouble": "",
                },
            )
            assert await _call(desk, "Acknowledge", "solver") == (
                False,
                "there is nothing to acknowledge",
            )
            assert await _call(desk, "AcceptAdvice", 4711) == (
                False,
                "advice 4711 is not there any more",
            )
            node = desk.client.get_node(ua.NodeId("Controller/Mode", desk.namespace))
            begin = datetime(2026, 1, 1, tzinfo=UTC)
            kept = await node.read_raw_history(begin, datetime(2027, 1, 1, tzinfo=UTC))
            modes = [v.Value.Value for v in kept if v.StatusCode.is_good()]
            assert len(modes) > 5 and modes[-1] == "ADVISORY"
            assert modes == sorted(modes, reverse=True), "MONITORING comes before ADVISORY"

    asyncio.run(scenario())
    log = (shop.run.path / "logs" / "controller.log").read_text("utf-8")
    assert "operator calls SetLimit" in log and "could not be shown" not in log
