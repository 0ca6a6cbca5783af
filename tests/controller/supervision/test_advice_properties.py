"""Whatever plans, operators and the line do: what is never carried out, and what always holds."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.advice_config import AdviceConfig
from controller.data import CV, Mode, ReachedBy
from controller.supervision.advice import Advice
from plant_models.signals import MV, LineState
from tests.controller.kit import OWNED, PERIOD, START, TABLE
from tests.controller.supervision.advice_kit import NOMINAL, STEP, Desk, ask

CONFIG = AdviceConfig(expiry_cycles=2, hold_max_s=20.0, reject_s=15.0, accepted_s=10.0)
SPEC = {m.tag: m for m in TABLE.manipulated}

steps = st.floats(-3.0, 3.0).map(lambda x: round(x, 2))
moves = st.dictionaries(st.sampled_from(OWNED), steps, max_size=3)
words = st.tuples(
    st.sampled_from(["accept", "accept", "reject", "hold", "release"]),
    st.integers(-3, 1),
    st.sampled_from(["anna", "ben"]),
)
cycles = st.fixed_dictionaries(
    {
        "plan": moves,
        "later": moves,
        "operator": st.one_of(st.just({}), moves),
        "target": st.sampled_from([None, None, None, 199e-6, 201e-6]),
        "mode": st.sampled_from([Mode.ADVISORY] * 6 + [Mode.MONITORING, Mode.CLOSED_LOOP]),
        "line": st.sampled_from([LineState.RUNNING] * 8 + [LineState.HELD]),
        "lost": st.sampled_from([frozenset[str]()] * 4 + [frozenset({MV.THICKNESS})]),
        "reached_by": st.sampled_from([ReachedBy.FAST] * 3 + [ReachedBy.SHIFTED, ReachedBy.HOLD]),
        "silent": st.sampled_from([False] * 5 + [True]),
        "words": st.lists(words, max_size=2),
    }
)


def play(desk: Desk, c: dict[str, Any]) -> None:
    """One cycle: the line and its operator first, then the controller."""
    for tag, move in c["operator"].items():
        wanted = desk.actual[tag] + move * STEP[tag]
        desk.actual[tag] = min(max(wanted, SPEC[tag].lo), SPEC[tag].hi)
    if c["target"] is not None:
        desk.move_target(CV.TABLET_WEIGHT.value, c["target"])
    desk.mode, desk.line_state, desk.lost = c["mode"], c["line"], c["lost"]
    newest = desk.state.next_id
    requests = [ask(newest + back, action, user=user) for action, back, user in c["words"]]
    plan = {tag: desk.actual[tag] + move * STEP[tag] for tag, move in c["plan"].items()}
    later = {tag: desk.actual[tag] + 5.0 * move * STEP[tag] for tag, move in c["later"].items()}
    desk.step(plan, later, *requests, reached_by=c["reached_by"], silent=c["silent"])


def check_accepted(desk: Desk, before: tuple[Advice, ...], c: dict[str, Any]) -> int:
    """By the words of the specification, not by the code: only what still holds is accepted."""
    now = START + PERIOD * desk.cycle
    for accepted in desk.accepted:
        a = accepted.advice
        held = {o.id: o for o in before}[a.id]
        assert held.made <= now < a.expires
        assert abs(desk.actual[a.mv] - a.now) <= CONFIG.set_point_steps * STEP[a.mv] + 1e-12
        assert a.computed_from == desk.targets.set_points
        assert a.overtaken == ""
        assert (desk.mode, c["silent"]) == (Mode.ADVISORY, False)
        assert a.mv not in desk.lost
        assert a.held_by in ("", accepted.user) or now >= a.held_until
    ids = [accepted.advice.id for accepted in desk.accepted]
    assert len(ids) == len(set(ids))
    return len(ids)


@settings(max_examples=150, deadline=None)
@given(st.lists(cycles, min_size=1, max_size=20))
def test_no_expired_or_overtaken_advice_is_accepted_and_every_value_is_in_range_and_rate(
    script: list[dict[str, Any]],
) -> None:
    desk, known, accepted = Desk(CONFIG), dict[int, Advice](), set[int]()
    for c in script:
        before = desk.state.current
        play(desk, c)
        check_accepted(desk, before, c)
        assert accepted.isdisjoint({a.advice.id for a in desk.accepted})
        accepted |= {a.advice.id for a in desk.accepted}
        now = START + PERIOD * desk.cycle
        assert len({a.mv for a in desk.state.current}) == len(desk.state.current)
        for a in desk.state.current:
            first = known.setdefault(a.id, a)
            same = (a.mv, a.value, a.now, a.made) == (first.mv, first.value, first.now, first.made)
            assert same and a.id < desk.state.next_id
            assert SPEC[a.mv].lo <= a.value <= SPEC[a.mv].hi
            assert abs(a.value - a.now) <= STEP[a.mv] * (1.0 + 1e-9)
            assert now < a.expires <= now + max(CONFIG.expiry_cycles * PERIOD, CONFIG.hold_max_s)
            assert a.reason != ""
            if desk.line_state is not LineState.RUNNING:
                assert c["silent"]


def test_the_scripts_do_accept_advice() -> None:
    """The property above is about something: a plain script of accepts is accepted."""
    desk, count = Desk(CONFIG), 0
    plain = {
        "operator": {},
        "target": None,
        "mode": Mode.ADVISORY,
        "line": LineState.RUNNING,
        "lost": frozenset[str](),
        "reached_by": ReachedBy.FAST,
        "silent": False,
        "later": {},
    }
    for k in range(10):
        c = {**plain, "plan": {MV.THICKNESS: 1.0 + k % 3}, "words": [("accept", -1, "anna")]}
        before = desk.state.current
        play(desk, c)
        count += check_accepted(desk, before, c)
        if desk.accepted:
            desk.actual[MV.THICKNESS] = desk.accepted[0].advice.value
    assert count >= 4
    assert desk.actual[MV.THICKNESS] > NOMINAL[MV.THICKNESS] + 3.9 * STEP[MV.THICKNESS]
