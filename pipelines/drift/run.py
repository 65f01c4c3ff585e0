"""The drift step: read a window, compare it, write the report, ask for an audit, set the gauges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from pipelines.drift.audit_progress import AuditProgress, measure_progress
from pipelines.drift.audit_request import AuditRequest
from pipelines.drift.audit_sample import build_audit_request
from pipelines.drift.comparison import compare_samples
from pipelines.drift.image_sample import draw_answers, measure_images
from pipelines.drift.metrics import drift_registry, push_metrics, write_textfile
from pipelines.drift.reference import (
    DriftReference,
    DriftSample,
    Measure,
    NoRadiographs,
    Share,
    build_reference,
)
from pipelines.drift.refusals import RefusalCountsUnavailable, read_refusal_counts
from pipelines.drift.report import DriftReport
from pipelines.drift.settings import DriftSettings
from pipelines.drift.store import DriftStore
from pipelines.drift.window import group_by_model, newest_per_radiograph, refusal_measures, sample_of_answers
from pipelines.journal_reader import JournaledAnswer, Window, read_answers
from pipelines.object_store import ObjectStore, connect_from_settings
from pipelines.reports.drift import html_drift_report

AUDITS_SHOWN: Final = timedelta(days=90)
"""How old an audit's window may be for the audit to be counted among the open ones: each is read anew."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Seen:
    """A window as it was read."""

    answers: Sequence[JournaledAnswer]
    samples: tuple[DriftSample, ...]
    images_lost: int


def open_store(settings: DriftSettings) -> DriftStore:
    """Where the settings keep references, reports and audit requests."""
    return DriftStore(connect_from_settings(settings), settings.drift_bucket, settings.audit_bucket)


def run_drift(settings: DriftSettings, window: Window) -> DriftReport:
    """Compare a window of the journal with the references, keep the report, and ask for an audit on drift.

    Running it again for the same window replaces its report and asks for no second audit.

    Raises:
        JournalUnreadable: The journal does not answer.
        StoreUnavailable: The object store does not answer.
        InvalidDocument: What lies there is none.
        MetricsNotKept: The gauges could not be written; report and audit request are kept by then.
    """
    store = open_store(settings)
    seen = _read(settings, window)
    digests = {sample.model.digest for sample in seen.samples}
    found = {digest: store.reference_of(digest) for digest in digests}
    references = {digest: reference for digest, reference in found.items() if reference is not None}
    report = _report(settings, window, seen, references)
    if request := build_audit_request(report, seen.answers, settings.audit_rules, report.made_at):
        report = report.model_copy(update={"audit": request.id})
        is_new = store.raise_audit(request)
        log.info("audit_requested", audit=request.id, radiographs=len(request.items), new=is_new)
    key = store.put_report(report, html_drift_report(report))
    log.info("drift_compared", word=report.word, kinds=report.kinds, report=key)
    _show(settings, report)
    return report


def make_reference(settings: DriftSettings, window: Window, model_digest: str) -> DriftReference:
    """Make the reference of a model from a time of the journal in which all was well, and keep it.

    Raises:
        NothingAnswered: The model answered nothing in that time.
        JournalUnreadable, StoreUnavailable: As ``run_drift``.
    """
    samples = {sample.model.digest: sample for sample in _read(settings, window).samples}
    if model_digest not in samples:
        raise NoRadiographs("the model answered nothing in that time")
    words = f"journal from {window.since:%Y-%m-%d} until {window.until:%Y-%m-%d}"
    reference = build_reference(samples[model_digest], words, datetime.now(UTC))
    open_store(settings).put_reference(reference)
    log.info("drift_reference_kept", model_digest=model_digest, radiographs=reference.n)
    return reference


def list_audits(settings: DriftSettings) -> list[AuditProgress]:
    """Say of each audit request how much has come back, the oldest first."""
    return [_progress(settings, request) for request in open_store(settings).audits()]


def _progress(settings: DriftSettings, request: AuditRequest) -> AuditProgress:
    window = Window(request.since, request.until)
    return measure_progress(request, read_answers(settings.journal_dsn.get_secret_value(), window))


def _read(settings: DriftSettings, window: Window) -> _Seen:
    answers = read_answers(settings.journal_dsn.get_secret_value(), window)
    parts = group_by_model(answers)
    main = max(parts, key=lambda model: len(parts[model]), default=None)
    refused = _refused(settings, window, len(answers))
    objects = ObjectStore(connect_from_settings(settings), settings.s3_bucket)
    samples, lost = [], 0
    for model, theirs in parts.items():
        again = measure_images(
            objects, draw_answers(newest_per_radiograph(theirs), settings.drift_images, settings.drift_seed)
        )
        # what was refused came to no model: it counts beside the one that answered most
        shares = refused if model == main else {}
        samples.append(sample_of_answers(model, theirs, again.statistics, shares))
        lost += again.lost
    return _Seen(answers, tuple(samples), lost)


def _refused(settings: DriftSettings, window: Window, answers: int) -> Mapping[Measure, Share]:
    if not settings.prometheus_url:
        return {}
    try:
        counts = read_refusal_counts(
            settings.prometheus_url, settings.prometheus_selector, window.since, window.until
        )
    except RefusalCountsUnavailable as error:
        log.warning("refusals_unknown", reason=str(error))
        return {}
    return refusal_measures(counts, answers)


def _report(
    settings: DriftSettings, window: Window, seen: _Seen, references: Mapping[str, DriftReference]
) -> DriftReport:
    return DriftReport(
        since=window.since,
        until=window.until,
        made_at=datetime.now(UTC),
        rules=settings.drift_rules,
        models=compare_samples(seen.samples, references, settings.drift_rules),
        images_lost=seen.images_lost,
        is_cut=len(seen.answers) >= window.most,
    )


def _show(settings: DriftSettings, report: DriftReport) -> None:
    if not (settings.pushgateway_url or settings.drift_textfile):
        return
    since = report.until - AUDITS_SHOWN
    recent = [each for each in open_store(settings).audits() if each.until >= since]
    registry = drift_registry(report, sum(_progress(settings, each).is_open for each in recent))
    if settings.drift_textfile:
        write_textfile(registry, settings.drift_textfile)
    if settings.pushgateway_url:
        push_metrics(registry, settings.pushgateway_url)
