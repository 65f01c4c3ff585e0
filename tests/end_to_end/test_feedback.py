"""Feedback through the whole stack: scopes, refusals, and storage of each verdict exactly once."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from pipelines.journal_reader import JournaledAnswer, Window, read_answers
from pleura.local.access import make_token
from pleura.local.samples import choose_sample, find_samples
from proof.lab.running_stack import RunningStack, run_pleura
from tests.support.planted.outputs import SERVICES
from tests.support.planted.values import Plants

MASS = {"Mass": True, "Edema": None}
SendFeedback = Callable[..., httpx.Response]


def _make_token(stack: RunningStack, subject: str, *scopes: str) -> str:
    return make_token(stack.state.path, stack.record.issuer, subject, scopes or ("feedback:write",))


@pytest.fixture
def send_feedback(stack: RunningStack) -> Iterator[SendFeedback]:
    """A function that sends feedback as a radiologist, or with another token."""
    with httpx.Client(base_url=stack.record.address, timeout=30, trust_env=False) as http:

        def send(body: Any, reader: str = "dr-a", token: str | None = None, **headers: str) -> httpx.Response:
            sent = {"authorization": f"Bearer {token or _make_token(stack, reader)}"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, bytes):
                return http.post(
                    "/feedback", content=body, headers={"content-type": "application/json"} | sent
                )
            return http.post("/feedback", json=body, headers=sent)

        yield send


@pytest.fixture
def answer(stack: RunningStack) -> str:
    """The request id of an answer to the principal ``ris``."""
    sample = choose_sample(find_samples())
    assert sample
    headers = {"authorization": f"Bearer {_make_token(stack, 'ris', 'radiograph:classify')}"}
    url = f"{stack.record.address}/classify"
    response = httpx.post(url, json={"image_id": sample.name}, headers=headers, timeout=60, trust_env=False)
    assert (response.status_code, response.json()["journal"]) == (200, "written"), response.text
    return str(response.json()["request_id"])


def _build_feedback(answer: str, **more: Any) -> dict[str, Any]:
    return {"id": answer, "answered_to": "ris", "verdicts": MASS, "had_seen_answer": False} | more


def _read_journaled_answer(stack: RunningStack, request_id: str) -> JournaledAnswer:
    now = datetime.now(UTC)
    window = Window(now - timedelta(hours=1), now + timedelta(hours=1))
    (found,) = [each for each in read_answers(stack.journal_dsn, window) if each.request_id == request_id]
    return found


def test_a_verdict_is_stored_with_its_answer(
    stack: RunningStack, send_feedback: SendFeedback, answer: str
) -> None:
    """The journal gives the verdict with its answer, with the token's subject and the service's time."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    response = send_feedback(_build_feedback(answer), x_request_id="first", x_pleura_principal="dr-evil")
    assert response.status_code == 201, response.text
    stored = response.json()
    given_at = datetime.fromisoformat(stored.pop("given_at"))
    assert stored == _build_feedback(answer) | {"position": 0, "reader": "dr-a", "feedback_id": "first"}
    assert response.headers["x-request-id"] == "first"
    journaled = _read_journaled_answer(stack, answer)
    assert journaled.principal == "ris"
    assert [(each.finding, each.present, each.reader) for each in journaled.verdicts] == [
        ("Mass", True, "dr-a"),
        ("Edema", None, "dr-a"),
    ]
    assert {each.given_at for each in journaled.verdicts} == {given_at}
    assert began < given_at < datetime.now(UTC) + timedelta(seconds=1)


def test_a_repeated_verdict_is_stored_once_and_a_change_is_added(
    stack: RunningStack, send_feedback: SendFeedback, answer: str
) -> None:
    """A repeat gets the same answer, another verdict under its id is refused, and a new id adds a row."""
    first = send_feedback(_build_feedback(answer), x_request_id=f"{answer}-1")
    again = send_feedback(_build_feedback(answer), x_request_id=f"{answer}-1")
    assert (again.status_code, again.json()) == (201, first.json())
    changed = _build_feedback(answer, verdicts={"Mass": False}, had_seen_answer=True)
    assert send_feedback(changed, x_request_id=f"{answer}-1").status_code == 409
    assert send_feedback(changed, x_request_id=f"{answer}-2").status_code == 201
    verdicts = [
        (each.present, each.had_seen_answer) for each in _read_journaled_answer(stack, answer).verdicts
    ]
    assert verdicts == [(True, False), (None, False), (False, True)]


def test_feedback_needs_its_own_scope(stack: RunningStack, send_feedback: SendFeedback, answer: str) -> None:
    """Without the scope no verdict is stored, and the scope allows no other route."""
    without_token = httpx.post(
        f"{stack.record.address}/feedback", json=_build_feedback(answer), trust_env=False
    )
    assert without_token.status_code == 401
    assert send_feedback(_build_feedback(answer), token="x.y.z").status_code == 401
    for scopes in (("radiograph:classify", "model:read"), ("feedback:read",), ("feedback:write2",)):
        assert (
            send_feedback(_build_feedback(answer), token=_make_token(stack, "dr-a", *scopes)).status_code
            == 403
        )
    headers = {"authorization": f"Bearer {_make_token(stack, 'dr-a')}"}
    for verb, path in (("POST", "/classify"), ("GET", "/model-info"), ("GET", "/v2")):
        refused = httpx.request(verb, f"{stack.record.address}{path}", headers=headers, trust_env=False)
        assert refused.status_code == 403
    assert _read_journaled_answer(stack, answer).verdicts == ()


def test_an_answer_to_another_principal_must_be_named(send_feedback: SendFeedback, answer: str) -> None:
    """Without ``answered_to`` the reader's own answer is meant. An unknown answer is 404 with one text."""
    own = {name: value for name, value in _build_feedback(answer).items() if name != "answered_to"}
    unknown = [
        own,
        _build_feedback(answer, position=1),
        _build_feedback("nosuch"),
        _build_feedback(answer, answered_to="nobody"),
    ]
    answers = [send_feedback(body) for body in unknown]
    assert {(each.status_code, each.text) for each in answers} == {
        (404, '{"error": "the journal holds no such answer"}')
    }
    assert send_feedback(own, token=None, reader="ris").status_code == 201


def _list_bad_bodies(answer: str, plants: Plants) -> Iterator[tuple[int, Any]]:
    """List bodies with a planted name in every place, each with the expected status."""
    yield 400, _build_feedback(answer, **{plants.plant_name("member"): 1})
    for member in ("reader", "principal", "given_at", "comment"):
        yield 400, _build_feedback(answer, **{member: plants.plant_name(f"member {member}")})
    for member in ("position", "verdicts", "had_seen_answer"):
        yield 400, _build_feedback(answer, **{member: plants.plant_name(f"value of {member}")})
        yield 400, _build_feedback(answer, **{member: {plants.plant_name(f"deep in {member}"): [{}]}})
    yield 400, _build_feedback(answer, verdicts={plants.plant_name("finding"): True})
    yield 400, _build_feedback(answer, verdicts={"Mass": plants.plant_name("verdict")})
    yield 400, _build_feedback(answer, verdicts={"Mass": {plants.plant_name("verdict's member"): True}})
    yield 400, _build_feedback(answer, verdicts={"mass": True})
    yield 400, _build_feedback(answer, verdicts={"Mass": 1})
    yield 400, _build_feedback(answer, id=f"{plants.plant_name('id')}\n")
    yield 400, _build_feedback(answer, answered_to=[plants.plant_name("answered_to")])
    yield 404, _build_feedback(plants.plant_name("id of no answer"))
    yield 404, _build_feedback(answer, answered_to=plants.plant_name("answered to nobody"))
    yield (
        400,
        json.dumps(_build_feedback(answer))
        .replace('"id"', f'"id": "{plants.plant_name("twin")}", "id"')
        .encode(),
    )
    yield 400, json.dumps(_build_feedback(answer)).replace("null", "NaN").encode()
    yield 400, b'{"id": "' + plants.plant_name("cut").encode()
    yield 400, plants.plant_name("no JSON").encode()
    yield 400, b"[" * 16_000
    yield 413, _build_feedback(answer, id=plants.plant_name("long") * 2000)
    yield 413, b" " * 20_000_000


def test_a_bad_body_is_refused_and_not_repeated(
    stack: RunningStack, send_feedback: SendFeedback, answer: str
) -> None:
    """Each bad body gets its status and an error. Neither the error nor a log repeats its content."""
    plants = Plants()
    for status, body in _list_bad_bodies(answer, plants):
        refused = send_feedback(body)
        assert (refused.status_code, set(refused.json())) == (status, {"error"}), refused.text
        assert not plants.find_in(refused.content)
    bad = [
        send_feedback(_build_feedback(answer), content_type="text/plain"),
        send_feedback(_build_feedback(answer), content_encoding="gzip"),
        send_feedback(_build_feedback(answer), x_request_id=f"{plants.plant_name('x-request-id')} x"),
    ]
    assert {each.status_code for each in bad} == {400}
    assert len(plants.places) > 20
    for name in SERVICES:
        assert not plants.find_in(Path(stack.record.parts[name].log).read_bytes())
    assert _read_journaled_answer(stack, answer).verdicts == ()


def test_a_hundred_concurrent_verdicts_are_stored_once_each(
    stack: RunningStack, send_feedback: SendFeedback, answer: str
) -> None:
    """A hundred verdicts of ten readers, each sent twice at the same time, give a hundred rows."""
    reader_ids = [(f"dr-{number % 10}", f"{answer}-{number}") for number in range(100)] * 2
    tokens = {reader: _make_token(stack, reader) for reader, _ in reader_ids}

    def send(each: tuple[str, str]) -> int:
        for _ in range(50):
            sent = send_feedback(
                _build_feedback(answer, verdicts={"Mass": True}), token=tokens[each[0]], x_request_id=each[1]
            )
            if sent.status_code not in (429, 503):
                return sent.status_code
            time.sleep(int(sent.headers["retry-after"]))
        return sent.status_code

    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(send, reader_ids)) == {201}
    assert len(_read_journaled_answer(stack, answer).verdicts) == 100


def test_without_postgres_no_verdict_is_acknowledged(
    stack: RunningStack, send_feedback: SendFeedback, answer: str
) -> None:
    """While PostgreSQL hangs or is down the reader is told in time to retry. Then it is stored once."""
    feedback_id, began_s = f"{answer}-late", time.monotonic()
    with stack.freeze("postgres"):
        hurried_response = send_feedback(
            _build_feedback(answer), x_request_id=feedback_id, x_request_timeout_ms="300"
        )
        patient_responses = [
            send_feedback(_build_feedback(answer), x_request_id=feedback_id) for _ in range(2)
        ]
    assert hurried_response.status_code == 504
    stack.kill("postgres")
    patient_responses.append(send_feedback(_build_feedback(answer), x_request_id=feedback_id))
    assert time.monotonic() - began_s < 6
    assert [each.status_code for each in patient_responses] == [503] * 3
    assert all(int(each.headers["retry-after"]) > 0 for each in patient_responses)
    end = time.monotonic() + 60
    while (response := send_feedback(_build_feedback(answer), x_request_id=feedback_id)).status_code == 503:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert response.status_code == 201
    assert _count_rows(stack, feedback_id) == 1


def _count_rows(stack: RunningStack, feedback_id: str) -> int:
    with closing(psycopg2.connect(stack.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM verdicts WHERE feedback_id = %s", (feedback_id,))
        return int(cursor.fetchone()[0])


def test_the_command_line_gives_feedback(stack: RunningStack) -> None:
    """The command gives feedback on an answer to the same user. A wrong finding is one line."""
    state = ("--state", str(stack.state.path))
    sample = choose_sample(find_samples())
    assert sample
    answered = json.loads(run_pleura(*state, "classify", sample.name, "--json").stdout)
    again = ("feedback", answered["request_id"], "--blind", "--feedback-id", str(uuid.uuid4()))
    done = run_pleura(
        *state, *again, "--present", "Mass", "Hernia", "--absent", "Edema", "--unsure", "Nodule"
    )
    assert done.returncode == 0, done.stderr
    stored = json.loads(done.stdout)
    assert stored["verdicts"] == {"Edema": False, "Hernia": True, "Mass": True, "Nodule": None}
    assert (stored["reader"], stored["had_seen_answer"]) == ("local", False)
    wrong = run_pleura(*state, *again, "--present", "Masses")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("pleura: 'verdicts' must name one or more of")
