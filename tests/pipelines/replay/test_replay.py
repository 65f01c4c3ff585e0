"""A challenger answers journaled radiographs: what is compared, what is left out, and what never counts."""

import functools
import hashlib
import io
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import psycopg2
import pytest
from minio import Minio

from pipelines.data.store import read_answered
from pipelines.gate.decision import ModelIdentity
from pipelines.gate.protocol import GateProtocol
from pipelines.journal_reader import JournaledAnswer, Verdict, Window, read_answers
from pipelines.replay.replay import RadiographArchive, ReplayedModel, replay_challenger
from pipelines.replay.replay_report import FindingReplay, ReplayReport
from pipelines.reports.replay import markdown_replay
from pleura.bundle import verify
from pleura.errors import RadiographNotFound, StoreUnavailable
from pleura.findings import FINDINGS
from pleura.local.dependencies import Server
from pleura.object_bucket import NoSuchObject, ObjectBucket
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from predictor.engines.engine import open_engine
from tests.support.databases import create_database
from tests.support.pipelines.contenders import SMALL_PROTOCOL, read_protocol
from tests.support.transformer_values import make_journal_row
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool

CHAMPION = "a" * 64
NEW = ModelIdentity(version="1.1.0", digest="b" * 64)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
THRESHOLDS = (0.5,) * len(FINDINGS)
MAX_PIXELS = 10**7


@functools.cache
def _file(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (40, 40)).astype(np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def _answer(number: int, probability: float = 0.2, **changes: object) -> JournaledAnswer:
    answer = JournaledAnswer(
        principal="ward-3",
        request_id=f"request-{number}",
        position=0,
        image_id=f"{number}.png",
        image_digest=hashlib.sha256(_file(number)).hexdigest(),
        model_name="chest-xray",
        model_version="1.0.0",
        model_digest=CHAMPION,
        preprocessing_version="1",
        probabilities=(probability,) * len(FINDINGS),
        thresholds=THRESHOLDS,
        findings=FINDINGS if probability >= 0.5 else (),
        typicality=0.5,
        latency_ms={"predict": 40.0},
        cached=False,
        answered_at=NOON,
        verdicts=(),
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def _read(key: str) -> bytes:
    return _file(int(key.removesuffix(".png")))


def _score_in_turn(*probabilities: float) -> Callable[[np.ndarray], np.ndarray]:
    """Make a challenger that gives these probabilities one after the other, the same for all findings."""
    remaining = iter(probabilities)
    return lambda tensors: np.full((len(tensors), len(FINDINGS)), next(remaining))


@pytest.fixture(scope="module")
def protocol() -> GateProtocol:
    """Limits: a disagreement of 10 %, a change of calls of 5 %, at least 100 radiographs."""
    protocol = read_protocol(SMALL_PROTOCOL)
    limits = {"minimum_radiographs": 100, "disagreement_at_most": 0.1, "call_rate_change_at_most": 0.05}
    return protocol.model_copy(
        update={"replay": protocol.replay.model_copy(update=limits | {"left_out_at_most": 0.05})}
    )


def _replay(
    answers: list[JournaledAnswer],
    score: Callable[[np.ndarray], np.ndarray],
    protocol: GateProtocol,
    read: Callable[[str], bytes] = _read,
) -> ReplayReport:
    challenger = ReplayedModel(NEW, FINDINGS, THRESHOLDS, score)
    return replay_challenger(answers, CHAMPION, challenger, RadiographArchive(read, MAX_PIXELS), protocol)


def _find_effusion(report: ReplayReport) -> FindingReplay:
    return report.findings[FINDINGS.index("Effusion")]


def test_a_challenger_with_the_same_answers_passes(protocol: GateProtocol) -> None:
    """On enough radiographs there is no disagreement and no change of calls."""
    answers = [_answer(number, 0.8 if number % 3 else 0.2) for number in range(120)]
    report = _replay(answers, _score_in_turn(*(a.probabilities[0] for a in answers)), protocol)
    assert (report.verdict, report.reasons, report.radiographs) == ("passed", (), 120)
    assert (_find_effusion(report).champion_calls, _find_effusion(report).challenger_calls) == (80, 80)
    assert _find_effusion(report).disagreement.value == 0
    assert _find_effusion(report).psi == pytest.approx(0, abs=1e-9)
    assert report.latency_ms.champion_median == 40


def test_a_challenger_that_calls_everybody_fails(protocol: GateProtocol) -> None:
    """Each finding is called on every radiograph: shift, disagreement and call rate show it."""
    report = _replay([_answer(n) for n in range(110)], _score_in_turn(*[0.9] * 110), protocol)
    assert report.verdict == "failed"
    assert _find_effusion(report).disagreement.value == _find_effusion(report).call_rate_change.value == 1
    assert _find_effusion(report).ks == 1
    assert "Effusion: they disagree on 100.0%, 10% is allowed" in report.reasons[2]


def test_calls_that_change_both_ways_are_disagreement_and_no_change_of_rate(protocol: GateProtocol) -> None:
    """The interval is Wilson's: 24 of 120 at one-sided 95 % lie between 14.7 % and 26.7 %."""
    answers = [_answer(number, 0.8 if number < 60 else 0.2) for number in range(120)]
    now = [0.2 if number < 12 else 0.8 if number >= 108 else answers[number].probabilities[0]
           for number in range(120)]  # fmt: skip
    report = _find_effusion(_replay(answers, _score_in_turn(*now), protocol))
    assert report.disagreement.value == pytest.approx(0.2)
    assert (report.disagreement.low, report.disagreement.high) == pytest.approx((0.147, 0.267), abs=1e-3)
    assert report.call_rate_change.value == 0


def test_a_few_radiographs_cannot_show_that_a_challenger_passes(protocol: GateProtocol) -> None:
    """Twenty agreements are too few: the disagreement may still be 10 %."""
    report = _replay([_answer(n) for n in range(20)], _score_in_turn(*[0.2] * 20), protocol)
    assert report.verdict == "cannot be shown"
    assert report.reasons[0] == "20 radiographs, where 100 are needed"


def test_an_empty_journal_cannot_show_that_a_challenger_passes(protocol: GateProtocol) -> None:
    """Without any answer there is no comparison."""
    report = _replay([], _score_in_turn(), protocol)
    assert (report.verdict, report.findings) == ("cannot be shown", ())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1.5, -0.1])
def test_one_invalid_probability_fails_the_challenger(protocol: GateProtocol, wrong: float) -> None:
    """An invalid probability on one of 110 radiographs is counted, left out of the figures, and fails."""
    report = _replay([_answer(n) for n in range(110)], _score_in_turn(*[0.2] * 109, wrong), protocol)
    assert (report.verdict, report.invalid) == ("failed", 1)
    assert report.reasons[0] == "the challenger gave no probabilities on 1 of 110 radiographs"
    assert _find_effusion(report).disagreement.value == 0


def test_a_challenger_of_other_findings_fails(protocol: GateProtocol) -> None:
    """Thirteen columns cannot answer fourteen findings."""
    report = _replay([_answer(0)], lambda tensors: np.full((len(tensors), 13), 0.2), protocol)
    assert (report.verdict, report.invalid) == ("failed", 1)


def test_each_answer_that_is_left_out_is_counted_by_its_reason(protocol: GateProtocol) -> None:
    """Gone, changed, unreadable, not kept, repeated and of another model: each has its counter."""

    def read(key: str) -> bytes:
        if key == "1.png":
            raise RadiographNotFound("gone")
        return b"no radiograph" if key == "3.png" else _read("9.png" if key == "2.png" else key)

    answers = [
        _answer(0),
        _answer(1),
        _answer(2),
        _answer(3, image_digest=hashlib.sha256(b"no radiograph").hexdigest()),
        _answer(4, image_id=None),
        _answer(5, model_digest="c" * 64),
        _answer(0, request_id="asked again"),
    ]
    report = _replay(answers, _score_in_turn(0.2), protocol, read)
    assert report.radiographs == 1
    left_out = report.left_out
    assert (left_out.gone, left_out.changed, left_out.unreadable) == (1, 1, 1)
    assert (left_out.not_kept, left_out.repeated, left_out.other_model) == (1, 1, 1)
    assert "4 of 5 radiographs could not be replayed" in report.reasons


def test_a_store_that_is_down_is_an_error(protocol: GateProtocol) -> None:
    """The replay raises StoreUnavailable; radiographs do not count as gone."""

    def read(_: str) -> bytes:
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        _replay([_answer(0)], _score_in_turn(0.2), protocol, read)


def _verdict(present: bool | None, reader: str = "r1", seen: bool = False) -> tuple[Verdict, ...]:
    return (Verdict("Effusion", present, reader, seen, NOON + timedelta(hours=1)),)


def test_blind_readers_decide_who_was_right(protocol: GateProtocol) -> None:
    """Only the champion is right on ten radiographs: McNemar's exact p is 2 / 1024, and the replay fails."""
    answers = [_answer(n, 0.8 if n < 10 else 0.2) for n in range(200)]
    answers = [replace(a, verdicts=_verdict(True)) if n < 10 else a for n, a in enumerate(answers)]
    report = _replay(answers, _score_in_turn(*[0.2] * 200), protocol)
    blind = _find_effusion(report).blind
    assert (blind.champion_only, blind.challenger_only, blind.both_right) == (10, 0, 0)
    assert blind.p == pytest.approx(2 / 1024)
    assert _find_effusion(report).verdict == "failed"
    assert "readers agree with the champion alone 10 times" in _find_effusion(report).reason


def test_readers_who_had_seen_the_answer_never_decide(protocol: GateProtocol) -> None:
    """The same ten verdicts after seeing the answer do not count for the accuracy."""
    answers = [_answer(n, 0.8 if n < 10 else 0.2) for n in range(200)]
    answers = [replace(a, verdicts=_verdict(True, seen=True)) if n < 10 else a for n, a in enumerate(answers)]
    report = _find_effusion(_replay(answers, _score_in_turn(*[0.2] * 200), protocol))
    assert (report.blind.champion_only, report.blind.p) == (0, 1.0)
    assert report.after_seeing.champion_only == 10
    assert "readers" not in report.reason


def test_readers_who_contradict_each_other_do_not_count(protocol: GateProtocol) -> None:
    """Neither does a reader who cannot tell."""
    answers = [
        _answer(0, verdicts=_verdict(True) + _verdict(False, "r2")),
        _answer(1, verdicts=_verdict(None)),
        _answer(2, verdicts=_verdict(False) + _verdict(None, "r2")),
    ]
    blind = _find_effusion(_replay(answers, _score_in_turn(0.2, 0.2, 0.9), protocol)).blind
    assert (blind.disputed, blind.champion_only, blind.both_right, blind.both_wrong) == (1, 1, 0, 0)


def _read_radiographs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("nih_*"))}


def _put(client: Minio, bucket: str, files: dict[str, bytes]) -> None:
    client.make_bucket(bucket)
    for key, file in files.items():
        client.put_object(bucket, key, io.BytesIO(file), len(file))


async def _write_journal(dsn: str, folder: Path, rows: list[JournaledAnswer]) -> None:
    """Write rows as the transformer does, and one verdict on each as `POST /feedback` does."""
    journal = Journal(Database(dsn), Spool(folder, 10**6), timeout_s=10.0)
    journal.start()
    try:
        for row in rows:
            values = {name: value for name, value in vars(row).items() if name != "verdicts"}
            assert await journal.append([make_journal_row(**values)]) == "written"
    finally:
        journal.close()
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (reader text, feedback_id text, principal text, "
            'request_id text, "position" integer, findings text[], present boolean[], '
            "had_seen_answer boolean, given_at timestamptz DEFAULT now(), "
            "serial bigint GENERATED ALWAYS AS IDENTITY)"
        )
        cursor.execute(
            'INSERT INTO verdicts (reader, feedback_id, principal, request_id, "position", findings, '
            "present, had_seen_answer) SELECT 'r1', request_id, principal, request_id, \"position\", "
            "ARRAY['Effusion'], ARRAY['Effusion' = ANY(findings)], false FROM answers"
        )


async def test_real_radiographs_are_replayed_from_the_real_journal(
    postgres: Server,
    seaweed: Server,
    samples: Path,
    default_bundle: Path,
    tmp_path: Path,
    protocol: GateProtocol,
) -> None:
    """PostgreSQL, S3, the decoder of the service and the default model, which agrees with itself."""
    description, digest = verify(default_bundle)
    engine = open_engine("litert", default_bundle, threads=1)

    def score(tensors: np.ndarray) -> np.ndarray:
        return engine.run(tensors[..., None]).probability

    files = _read_radiographs(samples)
    rows = []
    for number, (key, file) in enumerate(files.items()):
        probabilities = score(to_tensor(read_radiograph(file, MAX_PIXELS).pixels)[None])[0]
        present = probabilities >= np.asarray(description.thresholds, np.float32)
        rows.append(
            _answer(
                number,
                image_id=key,
                image_digest=hashlib.sha256(file).hexdigest(),
                model_digest=digest,
                probabilities=tuple(probabilities.tolist()),
                thresholds=description.thresholds,
                findings=tuple(np.array(FINDINGS)[present].tolist()),
            )
        )
    bucket = f"replay-{uuid.uuid4().hex}"
    client = Minio(
        seaweed.url.removeprefix("http://"),
        "test-access",
        "test-secret-key",
        secure=False,
        region="us-east-1",
    )
    _put(client, bucket, files)
    client.remove_object(bucket, rows[-1].image_id or "")
    dsn = create_database(postgres)
    await _write_journal(dsn, tmp_path, rows)

    def read(key: str) -> bytes:
        try:
            return read_answered(ObjectBucket(client, bucket), key)
        except NoSuchObject:
            raise RadiographNotFound("no such radiograph") from None

    answers = read_answers(dsn, Window(NOON - timedelta(hours=1), NOON + timedelta(hours=1)))
    challenger = ReplayedModel(NEW, FINDINGS, description.thresholds, score)
    report = replay_challenger(answers, digest, challenger, RadiographArchive(read, MAX_PIXELS), protocol)
    assert (report.radiographs, report.left_out.gone, report.left_out.lost) == (len(rows) - 1, 1, 1)
    assert all(finding.disagreement.value == 0 and finding.ks == 0 for finding in report.findings)
    assert _find_effusion(report).blind.both_right == len(rows) - 1
    assert report.latency_ms.challenger_median is not None
    assert ReplayReport.model_validate_json(report.to_json()) == report
    page = markdown_replay(report)
    assert "# Replay of 5 radiographs: cannot be shown" in page
    assert "1 gone" in page
    assert page.count("\n| ") == 1 + len(FINDINGS)
