"""What follows from the outcomes of a request's elements: all are answered, or the request has one error."""

from collections.abc import Mapping, Sequence
from typing import Final

from pleura.errors import FailedElement, PleuraError, RefusedRadiograph, Unavailable
from transformer.outcome import Outcome, Reading, Refusal

_MAX_TEXTS: Final = 8


def require_readings(outcomes: Sequence[Outcome]) -> tuple[Reading, ...]:
    """Give the readings when every radiograph has one.

    Raises:
        PleuraError: An error of the first failure's class, which lists every element that failed.
    """
    failures = {position: _get_error(outcome) for position, outcome in enumerate(outcomes)}
    raise_failures({position: error for position, error in failures.items() if error}, len(outcomes))
    return tuple(outcome for outcome in outcomes if isinstance(outcome, Reading))


def raise_failures(failures: Mapping[int, PleuraError], count: int) -> None:
    """Raise one error for the elements of a request that failed, if any did.

    Args:
        failures: The error of each element that failed, by its position.
        count: The number of elements in the request.

    Raises:
        PleuraError: An error of the first failure's class. Its text names the elements, and why they failed.
    """
    if not failures:
        return
    first = next(iter(failures.values()))
    if count == 1:
        raise first.with_text(str(first)) from first
    elements = [_describe(position, failure) for position, failure in failures.items()]
    texts = {each.error for each in elements}
    if len(elements) == count and len(texts) == 1:
        raise first.with_elements(str(first), elements) from first
    # over gRPC a message of many kilobytes would fail the whole call; the elements have no such limit
    reasons = [f"element {each.element}: {each.error}" for each in elements[:_MAX_TEXTS]]
    if len(elements) > _MAX_TEXTS:
        reasons.append(f"and {len(elements) - _MAX_TEXTS} more elements")
    raise first.with_elements("; ".join(reasons), elements) from first


def _describe(position: int, failure: PleuraError) -> FailedElement:
    reason = failure.reason if isinstance(failure, RefusedRadiograph) else None
    return FailedElement(position, failure.code, str(failure), reason)


def _get_error(outcome: Outcome) -> PleuraError | None:
    if isinstance(outcome, Reading):
        return None
    return outcome.error if isinstance(outcome, Refusal) else outcome


def require_version(version: str | None, reading: Reading) -> None:
    """Require that the version which the request names has answered, if it names one.

    Raises:
        Unavailable: Another version answered, during a canary or a promotion.
    """
    if version and version != reading.answer.revision.version:
        raise Unavailable("another version of the model answers now")
