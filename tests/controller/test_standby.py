"""A standby: what it concludes from what it sees, and what it lets operators do."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from pydantic import ValidationError

from controller.cycle_data import TargetRequest
from controller.data import CV, Mode
from controller.link.active import ActiveView
from controller.link.errors import LinkLost
from controller.standby import PlantView, WatchState, verdict, watch
from controller.standby_config import StandbyConfig
from controller.standby_runtime import Standby
from controller.supervision.modes import ModeRequest
from controller.supervision_config import SupervisionConfig
from plant_models.signals import APC, PLC, Value
from tools.security import SecurityConfig
from tools.standby import check_signature

AUTOMATIC = StandbyConfig(promotion="automatic", signed_by="ada", silent_s=30.0, look_s=0.001)
ENDPOINT = "opc.tcp://127.0.0.1:4841"

COMMANDED = PlantView(
    second=100, beat=20, state="CLOSED_LOOP", mode="CASCADE", epoch=7, line="running"
)
ACTIVE = ActiveView(mode="CLOSED_LOOP", link="connected", cycle=20)


def shed(second: int, **changes: object) -> PlantView:
    """The plant after its watchdog: in LOCAL, nobody beats any more."""
    local = replace(COMMANDED, second=second, beat=21, mode="LOCAL", epoch=0)
    return replace(local, **changes)


def after(*looks: tuple[PlantView, ActiveView | None]) -> WatchState:
    state = WatchState()
    for plant, active in looks:
        state = watch(state, plant, active)
    return state


STARTED = (COMMANDED, ACTIVE), (replace(COMMANDED, second=105, beat=21), replace(ACTIVE, cycle=21))


def taken(state: WatchState, plant: PlantView, config: StandbyConfig = AUTOMATIC) -> bool:
    return verdict(state, plant, config).take


def test_it_takes_over_when_the_active_is_silent_and_the_plant_has_shed() -> None:
    plant = shed(135)
    state = after(*STARTED, (shed(120), None), (plant, None))
    assert (state.commanding, state.silent_s) == (7, 30)
    assert taken(state, plant)


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ([(shed(134), None)], "silent for 29 s of 30 s"),
        ([(replace(COMMANDED, second=200, beat=21), None)], "CASCADE"),
        ([(shed(200, line="held"), None)], "line is held"),
        ([(shed(200), replace(ACTIVE, cycle=22))], "silent for 0 s"),
        ([(replace(shed(200), beat=22, state="ADVISORY"), None)], "nobody held"),
        ([(replace(shed(110), beat=22, state="SHED"), None), (shed(200), None)], "nobody held"),
        ([(replace(shed(110), beat=22, state="OFF"), None), (shed(200), None)], "nobody held"),
    ],
    ids=["too early", "held", "line", "seen", "let go", "shed by itself", "farewell"],
)
def test_it_does_not_take_over(
    looks: list[tuple[PlantView, ActiveView | None]], words: str
) -> None:
    found = verdict(after(*STARTED, *looks), looks[-1][0], AUTOMATIC)
    assert not found.take
    assert words in found.text


def test_a_heartbeat_at_the_plant_is_life_even_if_its_own_server_cannot_be_reached() -> None:
    state = after(*STARTED, (replace(COMMANDED, second=200, beat=40), None))
    assert state.silent_s == 0


def test_cycles_without_the_plant_are_no_life() -> None:
    """The active controller runs on, but has lost the plant: it does not keep the standby away."""
    cut = replace(ACTIVE, link="the network is cut")
    plant = shed(150)
    state = after(*STARTED, (shed(125), replace(cut, cycle=25)), (plant, replace(cut, cycle=30)))
    assert state.silent_s == 45
    assert taken(state, plant)


def test_only_what_is_configured_and_signed_is_done_automatically() -> None:
    plant = shed(200)
    found = verdict(after(*STARTED, (plant, None)), plant, StandbyConfig())
    assert not found.take
    assert "an operator may ask" in found.text
    with pytest.raises(ValidationError, match="signed_by"):
        StandbyConfig(promotion="automatic")


def test_who_signs_must_be_able_to_close_the_loop() -> None:
    unknown = StandbyConfig(promotion="automatic", signed_by="ada")
    with pytest.raises(ValueError, match="no user 'ada'; there are administrator, controller"):
        check_signature(unknown, SecurityConfig())
    observer = StandbyConfig(promotion="automatic", signed_by="observer")
    with pytest.raises(ValueError, match="has the role observer, not operator"):
        check_signature(observer, SecurityConfig())
    check_signature(StandbyConfig(promotion="automatic", signed_by="operator"), SecurityConfig())
    check_signature(StandbyConfig(), SecurityConfig())
    engineer = StandbyConfig(promotion="automatic", signed_by="eve", signed_role="engineer")
    with pytest.raises(ValidationError, match="engineer may not close the loop"):
        SupervisionConfig(standby=engineer)


def test_a_plant_that_was_restarted_is_seen_for_the_first_time() -> None:
    state = after(*STARTED, (shed(3), None))
    assert state == WatchState(second=3, beat=21, beat_at=3, seen_at=3)


@dataclass
class Played:
    """Active controller, plant, runtime and view in one."""

    endpoint: str = ENDPOINT
    up: bool = True
    mode: Mode = Mode.MONITORING
    view: ActiveView | None = ACTIVE
    plant: PlantView = COMMANDED
    refuse: str = ""
    asked: list[object] = field(default_factory=list)

    async def drop(self) -> None:
        pass

    async def publish(self, output: object, link: str) -> None:
        pass

    async def show(self, values: Mapping[str, object], time: float) -> None:
        pass

    async def ask(self, request: object) -> tuple[bool, str]:
        self.asked.append(request)
        if not isinstance(request, ModeRequest):
            return True, "done"
        if self.refuse:
            return False, self.refuse
        self.mode = request.mode
        return True, f"the mode is {request.mode}"


class PlayedPlant:
    def __init__(self, played: Played) -> None:
        self._played = played
        self.up = True

    async def look(self, *tags: str) -> Mapping[str, Value]:
        p = self._played.plant
        values: dict[str, int | str] = {
            PLC.HB: p.second,
            PLC.MODE_ACT: p.mode,
            PLC.LINE_STATE: p.line,
            APC.HB: p.beat,
            APC.STATE: p.state,
            APC.EPOCH: p.epoch,
        }
        return {tag: Value(values[tag]) for tag in tags}


class PlayedActive:
    def __init__(self, played: Played) -> None:
        self._played = played
        self.endpoint = played.endpoint

    async def look(self) -> ActiveView:
        if self._played.view is None:
            raise LinkLost("cut")
        return self._played.view

    async def drop(self) -> None:
        pass


def standby(played: Played, config: StandbyConfig = AUTOMATIC) -> Standby:
    made = Standby(config, PlayedActive(played), PlayedPlant(played), played, played.show)
    made.serve(played)
    return made


def request(mode: Mode, user: str = "ben") -> ModeRequest:
    return ModeRequest(mode=mode, user=user, role="operator", reason="test of the standby")


def test_an_operator_promotes_it_by_asking_for_advisory() -> None:
    async def scenario() -> None:
        played = Played()
        made = standby(played)
        await made.look()
        accepted, text = await made.ask_mode(request(Mode.ADVISORY))
        assert accepted and "no longer a standby" in text and "CASCADE" in text
        assert not made.silent

    asyncio.run(scenario())


def test_a_refused_request_promotes_nobody() -> None:
    async def scenario() -> None:
        made = standby(Played(refuse="a reason is needed"))
        accepted, text = await made.ask(request(Mode.ADVISORY))
        assert (accepted, text, made.silent) == (False, "a reason is needed", True)
        await made.ask_mode(request(Mode.OFF))
        assert made.silent

    asyncio.run(scenario())


def test_targets_are_those_of_the_active_controller_until_promoted() -> None:
    async def scenario() -> None:
        targets = {CV.POTENCY.value: 1.0, CV.THROUGHPUT.value: 0.006}
        played = Played(view=replace(ACTIVE, targets=targets))
        made = standby(played)
        made._own = {CV.POTENCY.value: 1.0, CV.THROUGHPUT.value: 0.005}
        for _ in range(3):
            await made.look()
        (followed,) = played.asked
        assert isinstance(followed, TargetRequest)
        assert (followed.variable, followed.value) == (CV.THROUGHPUT.value, 0.006)
        assert ENDPOINT in followed.reason
        wish = replace(followed, user="ben", value=0.004)
        accepted, text = await made.ask(wish)
        assert not accepted and ENDPOINT in text
        await made.ask_mode(request(Mode.ADVISORY))
        assert (await made.ask_target(wish))[0]

    asyncio.run(scenario())


def test_it_climbs_by_itself_in_the_name_of_who_signed_for_it() -> None:
    async def scenario() -> None:
        played = Played()
        made, stop = standby(played), asyncio.Event()
        await made.look()
        played.view, played.plant = None, shed(200, beat=COMMANDED.beat)
        await asyncio.wait_for(made.run(stop), 5.0)
        assert not made.silent
        asked = [r for r in played.asked if isinstance(r, ModeRequest)]
        assert [r.mode for r in asked] == [Mode.ADVISORY, Mode.CLOSED_LOOP]
        assert {r.user for r in asked} == {"ada"}
        assert all("automatic takeover" in r.reason for r in asked)

    asyncio.run(scenario())


@pytest.mark.parametrize("why", ["an operator asks", "somebody holds the plant", "time is over"])
def test_the_climb_ends(why: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        played = Played(refuse="not yet")
        give_up_s = 0.05 if why == "time is over" else 60.0
        made = standby(played, AUTOMATIC.model_copy(update={"give_up_s": give_up_s}))
        stop = asyncio.Event()
        await made.look()
        played.view, played.plant = None, shed(200, beat=COMMANDED.beat)
        running = asyncio.create_task(made.run(stop))
        await asyncio.sleep(0.02)
        assert played.asked
        if why == "an operator asks":
            await made.ask_mode(request(Mode.OFF))
        elif why == "somebody holds the plant":
            played.plant = replace(COMMANDED, second=205, epoch=9)
        await asyncio.wait_for(running, 5.0)

    asyncio.run(scenario())
    said = {
        "an operator asks": "an operator has asked",
        "somebody holds the plant": "somebody else holds the plant",
        "time is over": "did not close the loop: not yet",
    }
    assert said[why] in caplog.text
