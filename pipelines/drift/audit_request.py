"""An audit request: the radiographs that radiologists are asked to read because something has drifted."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from pipelines.value import Document, Value


class AuditRules(Value):
    """How many radiographs an audit asks for.

    Each share shall be known to within ``half_width`` at ``confidence``. ``most`` bounds the radiographs of
    the whole audit. At most a third of ``most`` are controls.
    """

    half_width: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    most: Annotated[int, Field(ge=3)] = 400
    seed: int = 0


class AuditItem(Value):
    """One radiograph to read: the key of the answer in the journal, and where the radiograph is stored."""

    principal: str
    request_id: str
    position: int
    image_id: str
    image_digest: str


class AuditStratum(Value):
    """A part of the window, such as all radiographs on which a finding was called.

    ``population`` radiographs are in the stratum, ``wanted`` would give the wanted precision, and ``asked``
    are asked for. The share in the stratum is then known to within ``half_width``. It is None if none is
    asked for.
    """

    name: str
    population: int
    asked: int
    wanted: int
    half_width: float | None


class AuditRequest(Document):
    """The radiographs to read and the reasons. Object keys may hold names: only auditors may see a request.

    The sample of a stratum is the ``asked`` radiographs with the lowest ``draw_rank`` in it. One radiograph
    therefore serves every stratum that it is in.
    """

    id: str
    made_at: datetime
    since: datetime
    until: datetime
    why: tuple[str, ...]
    rules: AuditRules
    strata: tuple[AuditStratum, ...]
    items: tuple[AuditItem, ...]
