"""``python -m pipelines.drift.cli``: look for drift, make a reference, list audits."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from pipelines.drift.drift import DriftVerdict
from pipelines.drift.metrics import DriftMetricsNotWritten
from pipelines.drift.reference import NoRadiographs
from pipelines.drift.run import list_audits, make_reference, run_drift
from pipelines.drift.settings import DriftSettings
from pipelines.journal_reader import JournalUnreadable, Window
from pipelines.object_store import NoSuchObject
from pipelines.value import InvalidDocument
from pleura.errors import PleuraError
from pleura.observability.logs import configure_logging
from pleura.settings import InvalidSettings

EXIT_CODES: Final[Mapping[DriftVerdict, int]] = {"no drift seen": 0, "drift": 3, "cannot be shown": 4}
_FAILED: Final = 1
_EXPECTED: Final = (
    InvalidDocument,
    InvalidSettings,
    JournalUnreadable,
    DriftMetricsNotWritten,
    NoSuchObject,
    NoRadiographs,
    PleuraError,
)
log = structlog.get_logger(__name__)


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.drift.cli", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    compare = steps.add_parser(
        "compare", help="exit 0: no drift seen, 3: drift, 4: cannot be shown, 1: failed"
    )
    reference = steps.add_parser("reference", help="make a model's reference of a time in which all was well")
    reference.add_argument("--model-digest", required=True)
    for step in (compare, reference):
        step.add_argument("--days", type=float, default=7.0, help="length of the window")
        step.add_argument("--until", type=datetime.fromisoformat, help="its end; midnight UTC if not given")
    steps.add_parser("audits", help="list audit requests and what has come back")
    return parser.parse_args(words)


def window_of(days: float, until: datetime | None, now: datetime) -> Window:
    """The window that ends at ``until``, or at the last midnight (UTC): the same all day long."""
    end = until or now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return Window(end - timedelta(days=days), end)


def _do(arguments: argparse.Namespace, settings: DriftSettings) -> int:
    if arguments.step == "audits":
        _tell([{**asdict(each), "outstanding": each.outstanding} for each in list_audits(settings)])
        return 0
    window = window_of(arguments.days, arguments.until, datetime.now(UTC))
    if arguments.step == "reference":
        reference = make_reference(settings, window, arguments.model_digest)
        _tell({"made_from": reference.made_from, "radiographs": reference.n})
        return 0
    report = run_drift(settings, window)
    _tell({"word": report.word, "kinds": report.kinds, "audit": report.audit})
    return EXIT_CODES[report.word]


def _tell(words: Any) -> None:
    sys.stdout.write(json.dumps(words, default=lambda value: value.model_dump()) + "\n")


def main(words: Sequence[str] | None = None) -> int:
    """Run a step; its exit code says what it found."""
    arguments = _parsed(words)
    configure_logging("drift")
    try:
        return _do(arguments, DriftSettings.read())
    except _EXPECTED as error:
        log.error("drift_failed", reason=str(error), kind=type(error).__name__)
    except Exception as error:  # a traceback may quote a row: only the kind of failure is told
        log.error("drift_failed", kind=type(error).__name__)
    return _FAILED


if __name__ == "__main__":
    sys.exit(main())
