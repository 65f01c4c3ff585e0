"""Draws the overlay of a stored answer: the radiograph of the object store, with the map of a finding.

The journal has no activation maps. The model that answered is asked again (docs/decisions/0052).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from pleura.classification import Finding, OverlayContent, make_overlay_content
from pleura.deadline import Deadline
from pleura.errors import Conflict, NotFound, Overloaded, PleuraError, Unavailable
from pleura.findings import FINDINGS
from pleura.journal_row import AnyRow, JournalRow
from transformer.answer import Answer
from transformer.answers.query import OverlayQuery, Requester
from transformer.answers.stored_answers import StoredAnswers
from transformer.feedback.verdicts import AnswerNotFound
from transformer.health import DependencyMonitor
from transformer.object_id import ObjectId
from transformer.object_store import RadiographStore
from transformer.outcome import Refusal
from transformer.radiograph_source import StoredRadiograph, digest_file
from transformer.reader import Reader

_AT_ONCE: Final = 4
_LARGEST_DIFFERENCE: Final = 0.01


class RadiographNotStored(NotFound):
    """The radiograph was sent as a file, and no file is kept."""

    code = "radiograph_not_stored"


class RadiographWasRefused(Conflict):
    """The radiograph was refused, so there are no findings to draw."""

    code = "radiograph_was_refused"


class RadiographReplaced(Conflict):
    """The object store holds another file now than the one that was answered."""

    code = "radiograph_replaced"


class ModelReplaced(Conflict):
    """Another model answers now, or the model's answer is another one than the stored one."""

    code = "model_replaced"


class OverlayDrawers(Protocol):
    """Separate processes that draw on a file, since a file may be hostile."""

    async def draw(self, file: bytes, content: OverlayContent, deadline: Deadline) -> bytes: ...


@dataclass(frozen=True)
class Overlay:
    """An overlay as PNG, and the finding that it shows."""

    png: bytes
    finding: str


class Overlays:
    """Draws overlays, a few at one time, so that they take no more than their share of the decoders."""

    def __init__(
        self,
        stored: StoredAnswers,
        store: RadiographStore,
        reader: Reader,
        drawers: OverlayDrawers,
        monitor: DependencyMonitor,
    ) -> None:
        self._stored, self._store, self._reader = stored, store, reader
        self._drawers, self._monitor, self._drawing = drawers, monitor, 0

    async def draw(
        self, query: OverlayQuery, requester: Requester, deadline: Deadline, trace: Mapping[str, str]
    ) -> Overlay:
        """Draw the overlay of one radiograph of a request.

        Raises:
            AnswerNotFound: There is no such answer that the requester may read.
            RadiographWasRefused: The radiograph was refused.
            RadiographNotStored: The radiograph was sent as a file.
            RadiographNotFound: The object is gone.
            RadiographReplaced: The object is another file now.
            ModelReplaced: The model that answered does not answer any more.
            Overloaded: Too many overlays are being drawn.
            Unavailable: A part is down, or no finding is named and the model has not described itself yet.
        """
        if self._drawing >= _AT_ONCE:
            raise Overloaded("too many overlays are being drawn")
        self._drawing += 1
        try:
            row = _choose_row(await self._stored.show(query.name, requester, deadline), query.position)
            return await self._draw(row, query.finding, deadline, trace)
        finally:
            self._drawing -= 1

    async def _draw(
        self, row: JournalRow, finding: str | None, deadline: Deadline, trace: Mapping[str, str]
    ) -> Overlay:
        if row.image_id is None:
            raise RadiographNotStored("the radiograph was sent as a file, and Pleura keeps no file")
        object_id = ObjectId(row.image_id)
        fetched = await self._store.read(object_id, deadline)
        if await digest_file(fetched.file) != row.image_digest:
            raise RadiographReplaced("the radiograph of that id is another file now")
        (outcome,) = await self._reader.read([StoredRadiograph(object_id)], deadline, trace)
        if isinstance(outcome, PleuraError):
            raise outcome
        if isinstance(outcome, Refusal):
            raise outcome.error
        content = self._make_content(row, require_same_reading(row, outcome.answer), finding)
        png = await self._drawers.draw(fetched.file, content, deadline)
        return Overlay(png, content.shown.name)

    def _make_content(self, row: JournalRow, answer: Answer, finding: str | None) -> OverlayContent:
        description = self._monitor.find_description(row.model_digest)
        measured = {each.name: each.is_measured for each in description.findings} if description else {}
        if finding is None and not measured:
            # an unmeasured finding could head the list
            raise Unavailable("it is not known yet which findings are measured")
        findings = [
            Finding(name, probability, threshold, name in row.findings, measured.get(name))
            for name, probability, threshold in zip(FINDINGS, row.probabilities, row.thresholds, strict=True)
        ]
        return make_overlay_content(
            findings, answer.activation_map, row.typicality, row.model_version, finding, row.warnings
        )


def _choose_row(rows: Sequence[AnyRow], position: int) -> JournalRow:
    for row in rows:
        if row.position == position:
            if isinstance(row, JournalRow):
                return row
            raise RadiographWasRefused("the radiograph was refused, so there are no findings to draw")
    raise AnswerNotFound("the journal holds no such answer")


def require_same_reading(row: JournalRow, answer: Answer) -> Answer:
    """Require that an answer of now is the stored one, so that its maps belong to the stored findings.

    Raises:
        RadiographReplaced: It is about another file.
        ModelReplaced: It is another model's, or differs from the stored answer.
    """
    if answer.image_digest != row.image_digest:
        raise RadiographReplaced("the radiograph of that id is another file now")
    is_same_model = answer.revision.digest == row.model_digest
    # the same model may have another engine, or a reader that was corrected
    differences = np.abs(answer.probability - np.array(row.probabilities, np.float32))
    if not is_same_model or float(differences.max()) > _LARGEST_DIFFERENCE:
        raise ModelReplaced("the model that gave this answer does not answer any more")
    return answer
