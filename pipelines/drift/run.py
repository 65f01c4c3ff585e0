"""The drift step: read a window, compare it, store the report, request an audit, set the gauges."""

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
from pipelines.reports.drift import html_drift_report
from pleura.object_bucket import ObjectBucket, connect_from_settings

AUDITS_SHOWN: Final = timedelta(days=90)
"""Older audits are not counted as open, because each count reads the audit's whole window."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _WindowSamples:
    """The answers of a window, and one sample for each model."""

    answers: Sequence[JournaledAnswer]
    samples: tuple[DriftSample, ...]
    images_lost: int


def open_store(settings: DriftSettings) -> DriftStore:
    """Open the store of references, reports and audit requests that the settings name."""
    return DriftStore(connect_from_settings(settings), settings.drift_bucket, settings.audit_bucket)


def run_drift(settings: DriftSettings, window: Window) -> DriftReport:
    """Compare a window of the journal with the references, store the report, and request an audit on drift.

    A second run for the same window replaces the report and requests no second audit.

    Raises:
        JournalUnreadable: The journal does not answer.
        StoreUnavailable: The object store does not answer.
        InvalidDocument: A stored reference is damaged.
        DriftMetricsNotWritten: The gauges could not be written. Report and audit request are stored.
    """
    store = open_store(settings)
    samples = _read_samples(settings, window)
    digests = {sample.model.digest for sample in samples.samples}
    found = {digest: store.reference_of(digest) for digest in digests}
    references = {digest: reference for digest, reference in found.items() if reference is not None}
    report = _build_report(settings, window, samples, references)
    if request := build_audit_request(report, samples.answers, settings.audit_rules, report.made_at):
        report = report.model_copy(update={"audit": request.id})
        is_new = store.raise_audit(request)
        log.info("audit_requested", audit=request.id, radiographs=len(request.items), new=is_new)
    key = store.put_report(report, html_drift_report(report))
    log.info("drift_compared", word=report.word, kinds=report.kinds, report=key)
    _write_metrics(settings, report)
    return report


def make_reference(settings: DriftSettings, window: Window, model_digest: str) -> DriftReference:
    """Make the reference of a model from a window of the journal in which all was well, and store it.

    Raises:
        NoRadiographs: The model answered nothing in that window.
        JournalUnreadable: The journal does not answer.
        StoreUnavailable: The object store does not answer.
    """
    samples = {sample.model.digest: sample for sample in _read_samples(settings, window).samples}
    if model_digest not in samples:
        raise NoRadiographs("the model answered nothing in that window")
    made_from = f"journal from {window.since:%Y-%m-%d} until {window.until:%Y-%m-%d}"
    reference = build_reference(samples[model_digest], made_from, datetime.now(UTC))
    open_store(settings).put_reference(reference)
    log.info("drift_reference_stored", model_digest=model_digest, radiographs=reference.n)
    return reference


def list_audits(settings: DriftSettings) -> list[AuditProgress]:
    """Give the progress of each audit request, the oldest first."""
    return [_progress(settings, request) for request in open_store(settings).audits()]


def _progress(settings: DriftSettings, request: AuditRequest) -> AuditProgress:
    window = Window(request.since, request.until)
    return measure_progress(request, read_answers(settings.journal_dsn.get_secret_value(), window))


def _read_samples(settings: DriftSettings, window: Window) -> _WindowSamples:
    answers = read_answers(settings.journal_dsn.get_secret_value(), window)
    parts = group_by_model(answers)
    main = max(parts, key=lambda model: len(parts[model]), default=None)
    refused = _refused(settings, window, len(answers))
    objects = ObjectBucket(connect_from_settings(settings), settings.s3_bucket)
    samples, lost = [], 0
    for model, theirs in parts.items():
        drawn = draw_answers(newest_per_radiograph(theirs), settings.drift_images, settings.drift_seed)
        images = measure_images(objects, drawn)
        # A refused radiograph reached no model. It counts for the model that answered most.
        shares = refused if model == main else {}
        samples.append(sample_of_answers(model, theirs, images.statistics, shares))
        lost += images.lost
    return _WindowSamples(answers, tuple(samples), lost)


def _refused(settings: DriftSettings, window: Window, answers: int) -> Mapping[Measure, Share]:
    url = settings.prometheus_url.get_secret_value()
    if not url:
        return {}
    try:
        counts = read_refusal_counts(url, settings.prometheus_selector, window.since, window.until)
    except RefusalCountsUnavailable as error:
        # Unknown is not zero: the report then lists refusals among the quantities that were not compared.
        log.warning("refusal_counts_unavailable", reason=str(error))
        return {}
    return refusal_measures(counts, answers)


def _build_report(
    settings: DriftSettings, window: Window, samples: _WindowSamples, references: Mapping[str, DriftReference]
) -> DriftReport:
    return DriftReport(
        since=window.since,
        until=window.until,
        made_at=datetime.now(UTC),
        rules=settings.drift_rules,
        models=compare_samples(samples.samples, references, settings.drift_rules),
        images_lost=samples.images_lost,
        is_cut=len(samples.answers) >= window.most,
    )


def _write_metrics(settings: DriftSettings, report: DriftReport) -> None:
    if not (settings.pushgateway_url or settings.drift_textfile):
        return
    since = report.until - AUDITS_SHOWN
    recent = [each for each in open_store(settings).audits() if each.until >= since]
    registry = drift_registry(report, sum(_progress(settings, each).is_open for each in recent))
    if settings.drift_textfile:
        write_textfile(registry, settings.drift_textfile)
    if settings.pushgateway_url:
        push_metrics(registry, settings.pushgateway_url.get_secret_value())
