"""The line as a linear time-invariant model: the twin linearised once, and its responses.

(L1)  z+ = F z + G (v - v_0),   z = [x - x_0; d]          F = [[A, B_d], [0, I]],  G = [B; 0]
(L2)  y  = y_0 + H z + H_v (v - v_0)                      H = [C, C_d]
(L3)  v  = M (u - u_0) + known part                       ratio station, linear in the moves

``x`` are the powder path's states but for the share of the newest lot, ``d`` integrating
disturbances (the twin's parameters, taken as states that stay), ``v`` the twin's inputs, ``u`` the
moved set points. The operating point is the product's: set points met, nothing deviates. ``A`` has
one integrator, the content of the chute. Weight, strength, forces and fill depth are taken as
logarithms, as the twin gives them; that is all the nonlinearity that is kept.

References
----------
Disturbance model and offset: Muske & Badgwell 2002, J Process Control 12:617-632; Pannocchia &
Rawlings 2003, AIChE J 49:426-437 (both from memory).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from controller.baselines.internal_model import PressModel
from controller.data import Array
from controller.twin.compiled import build_rollout
from controller.twin.core import INPUTS, MOVES, OUTPUTS, PARAMETERS, ControlTwin
from plant_models.line import ResolvedLine, blender_parameters, nominal_flow, recipe_fractions

IntArray = NDArray[np.int_]

__all__ = ["DISTURBANCES", "InputMap", "LinearTwin", "Responses", "linear_twin"]

# The twin's parameters that the linear model carries (the effects of a lot are not told apart), and
# what pre-compression shows beyond them: one curved relation more than they can bend straight.
CARRIED = tuple(p for p in PARAMETERS if not p.startswith("lot_"))
DISTURBANCES = (*CARRIED, "pre_force")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearTwin:
    """(L1, L2) at the operating point ``x0``, ``v0``, ``u0``, ``y0``; outputs as `OUTPUTS`.

    ``names`` are the twin's states that are in ``z``, ``content`` the place of the chute's content
    there; ``size`` counts ``z``, of which the first ``nx`` are states.
    """

    f: Array
    g: Array
    h: Array
    hv: Array
    x0: Array
    v0: Array
    u0: Array
    y0: Array
    names: tuple[str, ...]
    content: int
    nx: int

    @property
    def size(self) -> int:
        """Length of ``z``."""
        return int(self.f.shape[0])

    def outputs(self, z: Array, v: Array) -> Array:
        """Outputs (L2) of state ``z`` at the end of a stage with inputs ``v``."""
        return np.asarray(self.y0 + self.h @ z + self.hv @ (v - self.v0))


def linear_twin(
    twin: ControlTwin, line: ResolvedLine, weight: float, strength: float
) -> LinearTwin:
    """Linearise ``twin`` where ``line`` makes tablets of a weight [kg] and strength [Pa]."""
    flow, speed = nominal_flow(line), blender_parameters(line).speed_0
    api = line.product.api_percent / 100.0
    x0 = twin.steady(flow, api, 0.0, speed)
    press = PressModel(line)
    force = press.force_for(strength, float(twin.path.at_press(list(x0), "extent")))
    thickness = press.thickness_for(weight, force)
    turret = flow / (line.product.stations * weight)
    lubricant = recipe_fractions(line)[line.feeder_index("lubricant")]
    named = {
        "feed": flow,
        "api": api,
        "lot": 0.0,
        "blender_speed": speed,
        "press": force,
        "thickness": thickness,
        "turret_speed": turret,
        "lubricant": lubricant,
    }
    v0 = np.array([named[name] for name in INPUTS])
    moves = {"total_feed": flow, "api_ratio": api, **named}
    none = np.zeros((len(PARAMETERS), 1))
    out = build_rollout(twin.stage_function(), 1, None)(x0, none, v0[:, None])
    kept = np.array([i for i, n in enumerate(twin.state_names) if ".lot" not in n])
    names = tuple(twin.state_names[i] for i in kept)
    carried = np.array([PARAMETERS.index(name) for name in CARRIED])
    nx, nd = kept.size, len(DISTURBANCES)
    f = np.eye(nx + nd)
    f[:nx, :nx] = out.a[np.ix_(kept, kept)][:, :, 0]
    f[:nx, nx:-1] = out.bp[np.ix_(kept, carried)][:, :, 0]
    pre = np.eye(len(OUTPUTS))[:, [OUTPUTS.index("log_pre_force")]]
    return LinearTwin(
        f=f,
        g=np.vstack((out.bv[kept, :, 0], np.zeros((nd, len(INPUTS))))),
        h=np.hstack((out.hx[:, kept, 0], out.hp[:, carried, 0], pre)),
        hv=out.hv[:, :, 0].copy(),
        x0=x0[kept],
        v0=v0,
        u0=np.array([moves[name] for name in MOVES]),
        y0=out.y[:, 0].copy(),
        names=names,
        content=names.index("chute.content"),
        nx=nx,
    )


class InputMap:
    """From moves and known disturbances to the twin's inputs, and the gain ``M`` of (L3)."""

    def __init__(self, twin: ControlTwin) -> None:
        self._twin = twin
        count = 3 * len(twin.resolved.line.feeders) + 3
        u, d = ca.SX.sym("u", len(MOVES)), ca.SX.sym("d", count)
        v = ca.vertcat(*twin.stage_inputs(ca.vertsplit(u), ca.vertsplit(d)))
        self._gain: Any = ca.Function("input_gain", [u, d], [ca.densify(ca.jacobian(v, u))])

    def at_set_points(self, v: Array) -> Array:
        """Known disturbances (nd,) where every feeder keeps its set point; rest as in ``v``."""
        none = np.zeros(3 * len(self._twin.resolved.line.feeders))
        rest = [v[INPUTS.index(name)] for name in ("lubricant", "lot", "blender_speed")]
        return np.append(none, rest)

    def inputs(self, u: Array, known: Array) -> Array:
        """Inputs ``(nv, N)`` under constant moves ``u`` (nu,) and ``known`` (nd, N)."""
        rows = self._twin.stage_inputs(list(u), list(known))
        return np.vstack([np.broadcast_to(row, known.shape[1]) for row in rows])

    def gain(self, u: Array, known: Array) -> Array:
        """``dv/du`` (nv, nu) at ``u`` (nu,), ``known`` (nd,); a frozen feeder does not answer."""
        return np.array(self._gain(u, known))


class Responses:
    """Outputs over a horizon as linear functions of start, inputs and node values.

    ``rows`` are positions in `OUTPUTS`; all results are ``(N, rows, ...)``.
    """

    def __init__(self, model: LinearTwin, rows: list[int], stages: int) -> None:
        self.model, self.stages, self.count = model, stages, len(rows)
        nv = model.g.shape[1]
        h, hv = model.h[rows], model.hv[rows]
        self._y0 = model.y0[rows]
        self._start = np.zeros((stages, len(rows), model.size))
        lag = np.zeros((stages, len(rows), nv))
        power = np.eye(model.size)
        for j in range(stages):
            lag[j] = h @ power @ model.g
            power = model.f @ power
            self._start[j] = h @ power
        lag[0] += hv
        self._by_input = np.zeros((stages, len(rows), stages, nv))
        for i in range(stages):
            self._by_input[i:, :, i] = lag[: stages - i]

    def free(self, z: Array, inputs: Array) -> Array:
        """Outputs ``(N, rows)`` from ``z`` under ``inputs`` (nv, N)."""
        off = (inputs - self.model.v0[:, None]).T.ravel()
        flat = self._by_input.reshape(self.stages * self.count, -1) @ off
        y = self._y0 + self._start @ z + flat.reshape(self.stages, self.count)
        return np.asarray(y)

    def by_nodes(self, shares: Array, gains: Array, stages: IntArray) -> Array:
        """Sensitivities ``(N, rows, nodes * nu)`` by node values, node by node.

        Parameters
        ----------
        shares
            ``(k, nodes)`` weights of the nodes in the moves of ``stages``.
        gains
            ``(k, nv, nu)`` of (L3) there.
        stages
            ``(k,)`` stages that count; the others are taken not to answer.
        """
        moved = np.einsum("jn,jvu->jvnu", shares, gains)
        by_input = self._by_input[:, :, stages].reshape(self.stages * self.count, -1)
        flat = by_input @ moved.reshape(by_input.shape[1], -1)
        return np.asarray(flat.reshape(self.stages, self.count, -1))
