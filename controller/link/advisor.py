"""The way to the PLC's ``OperatorSet``: a session of its own, in the operator's role.

An accepted advice is rare, so each is carried out by a fresh connection that is closed again; it
holds no lease, feeds no watchdog and writes no node. What is asked for is a method call that the
PLC decides on, as for any operator. A call that was not answered in time is never repeated: it may
be carried out all the same, and whoever asked is told to look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from asyncua import ua

from controller.link.client import LinkError, LinkLost, PlantLink
from controller.link.tagmap import TagMapConfig
from plant_models.signals import PLC

__all__ = ["DONE", "PlantAdvisor"]

log = logging.getLogger(__name__)

DONE = "done"


class PlantAdvisor:
    """Carries out advised moves in the operator's name; an `OperatorPort` of the write gate.

    Parameters
    ----------
    link
        Makes a link that is not connected yet, with an operator's credentials.
    tagmap
        In which unit a foreign PLC takes its set points; names of MVs are ours.
    """

    def __init__(self, link: Callable[[], PlantLink], tagmap: TagMapConfig | None = None) -> None:
        self._link, self._tagmap = link, tagmap or TagMapConfig()

    async def operator_set(self, mv: str, value: float, reason: str) -> str:
        """Ask the PLC to set ``mv`` to ``value`` (plant unit): ``done``, or why not.

        Never raises for trouble of the link: the text says what happened and what to do.
        """
        link = self._link()
        try:
            await link.connect()
        except LinkError as error:
            return f"nothing was sent: {error}"
        try:
            return await self._call(link, mv, value, reason)
        finally:
            await link.drop()

    async def _call(self, link: PlantLink, mv: str, value: float, reason: str) -> str:
        differs = [
            d for d in link.disagreements if d.startswith(f"{mv}/") or PLC.MODEL_VERSION in d
        ]
        if differs:
            return f"nothing was sent: {differs[0]}"
        sent = self._tagmap.outwards(f"{mv}/REQ", value)
        try:
            answer = await link.call(
                PLC.OPERATOR_SET,
                ua.Variant(mv, ua.VariantType.String),
                ua.Variant(sent, ua.VariantType.Double),
                ua.Variant(reason, ua.VariantType.String),
            )
        except LinkLost as error:
            log.warning("OperatorSet %s %g was not answered: %s", mv, value, error)
            return (
                f"no answer of the PLC ({error}): it may set {mv} all the same; look at the set "
                "point in use before anything else is entered"
            )
        log.info("OperatorSet %s %g (%s): %s", mv, value, reason, answer)
        return answer
