"""Plant and controller as processes of their own, on a line that has been running for a while."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from controller.config import LinkConfig
from controller.link.client import Credentials, PlantLink
from hil.plant import Plant
from plant_models.signal_list import signal_table
from plant_models.signals import PLC, LineState
from tools.clocks import SystemClock
from tools.configuration import load_line, load_scenario
from tools.people import ControllerDesk, PersonRefused, PlantDesk, at_controller, at_plant
from tools.pki import ensure_pki, twinline_home
from tools.processes import Child, private_home, start_control, start_plant
from tools.rundir import Listening, RunDir
from tools.security import read_password

WARM_S = 1_100
POLL_S = 0.02


@dataclass
class Shop:
    """One run: its processes, and people at their desks."""

    root: Path
    run: RunDir
    children: list[Child] = field(default_factory=list)

    @property
    def line(self) -> Path:
        return self.root / "configs" / "lines" / "reference.yaml"

    @property
    def calm(self) -> Path:
        return self.root / "configs" / "scenarios" / "calm.yaml"

    def plant(self, speed: str, *options: str | Path) -> tuple[Child, Listening]:
        scenario = () if "--scenario" in options else ("--scenario", self.calm)
        child = start_plant(self.run, self.line, "--speed", speed, *scenario, *options)
        self.children.append(child)
        return child, child.wait_listening(self.run)

    def controller(self, algorithm: str = "pid") -> tuple[Child, Listening]:
        config = self.root / "configs" / "controllers" / f"{algorithm}.yaml"
        child = start_control(self.run, config)
        self.children.append(child)
        return child, child.wait_listening(self.run)

    def password(self, user: str) -> str:
        return read_password(self.run.secrets / f"{user}.password")

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[ControllerDesk]:
        found = self.listening_controller()
        me = ensure_pki(twinline_home())["operator"]
        async with at_controller(found.endpoint, me, "operator", self.password("operator")) as desk:
            yield desk

    @asynccontextmanager
    async def at_plant(self) -> AsyncIterator[PlantDesk]:
        found = self.run.listening("plant")
        assert found is not None
        me = ensure_pki(twinline_home())["operator"]
        async with at_plant(found.endpoint, me, "operator", self.password("operator")) as desk:
            yield desk

    async def ask(self, user: str, method: str, *words: str) -> tuple[bool, str]:
        """A method of the controller in the name of ``user``: accepted or not, and a sentence."""
        found = self.listening_controller()
        me = ensure_pki(twinline_home())["operator"]
        texts = [ua.Variant(word, ua.VariantType.String) for word in words]
        async with at_controller(found.endpoint, me, user, self.password(user)) as desk:
            accepted, said = await desk.call(f"Controller/{method}", *texts)
        return bool(accepted), str(said)

    async def bound_to(self, set_hash: str) -> bool:
        """Whether the controller has this product set; between two runtimes nobody listens."""
        try:
            async with self.operator() as desk:
                return await desk.read(["Controller/Product/Hash"]) == [set_hash]
        except (OSError, PersonRefused):
            return False

    def listening_controller(self) -> Listening:
        found = self.run.listening("controller")
        if found is None:
            raise PersonRefused("the controller does not listen")
        return found

    def link(self, endpoint: str, config: LinkConfig | None = None) -> PlantLink:
        """A controller's link in this process."""
        me = ensure_pki(twinline_home())["controller"]
        who = Credentials(
            user="controller",
            password=self.password("controller"),
            certificate=me.certificate,
            private_key=me.private_key,
            server_certificate=me.certificate_of("plant"),
        )
        table = signal_table(load_line(self.line).line)
        return PlantLink(table, config or LinkConfig(), who, SystemClock(), endpoint=endpoint)

    def stop(self) -> None:
        for child in reversed(self.children):
            child.stop()


async def until(
    what: str, check: Callable[[], Coroutine[Any, Any, bool]], timeout_s: float = 30.0
) -> float:
    """Wait until ``check`` holds; how long it took [s]."""
    began = time.monotonic()
    while not await check():
        if time.monotonic() - began > timeout_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(POLL_S)
    return time.monotonic() - began


async def close_the_loop(desk: ControllerDesk, timeout_s: float = 60.0) -> None:
    """An operator climbs to CLOSED_LOOP, asking again while permissives are missing."""
    deadline, said = time.monotonic() + timeout_s, ""
    while True:
        mode, *_ = await desk.state()
        if mode == "CLOSED_LOOP":
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"the loop did not close: {mode}, {said}")
        wanted = "CLOSED_LOOP" if mode == "ADVISORY" else "ADVISORY"
        _, said = await desk.request_mode(wanted, "test of the link")
        await asyncio.sleep(0.2)


@pytest.fixture(scope="session")
def warm(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a plant that has started up and runs."""
    folder = tmp_path_factory.mktemp("warm")
    line = load_line(root / "configs" / "lines" / "reference.yaml")
    scenario = load_scenario(root / "configs" / "scenarios" / "calm.yaml")
    plant = Plant(line, scenario, seed=1, start_time=1_767_225_600.0, run_dir=folder)
    plant.advance(WARM_S)
    assert plant.values()[PLC.LINE_STATE].value == LineState.RUNNING
    return folder


@pytest.fixture
def shop(root: Path, warm: Path, tmp_path: Path) -> Iterator[Shop]:
    """A warm plant's folder with private keys; every process of it is stopped at the end."""
    run = RunDir(tmp_path / "run")
    shutil.copytree(warm, run.path)
    before = os.environ.get("TWINLINE_HOME")
    with private_home(run.path):
        made = Shop(root, run)
        try:
            yield made
        finally:
            made.stop()
    assert os.environ.get("TWINLINE_HOME") == before
    assert not run.secrets.exists() and not (run.path / "home").exists()
