"""Verdicts through the whole stack: who may give them, what is refused, and that each is stored once."""

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
Ask = Callable[..., httpx.Response]


def _token(stack: RunningStack, subject: str, *scopes: str) -> str:
    return make_token(stack.state.path, stack.record.issuer, subject, scopes or ("feedback:write",))


@pytest.fixture
def say(stack: RunningStack) -> Iterator[Ask]:
    """Sends feedback as a radiologist, or with another token."""
    with httpx.Client(base_url=stack.record.address, timeout=30, trust_env=False) as http:

        def send(body: Any, reader: str = "dr-a", token: str | None = None, **headers: str) -> httpx.Response:
            sent = {"authorization": f"Bearer {token or _token(stack, reader)}"}
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
    headers = {"authorization": f"Bearer {_token(stack, 'ris', 'radiograph:classify')}"}
    url = f"{stack.record.address}/classify"
    given = httpx.post(url, json={"image_id": sample.name}, headers=headers, timeout=60, trust_env=False)
    assert (given.status_code, given.json()["journal"]) == (200, "written"), given.text
    return str(given.json()["request_id"])


def _on(answer: str, **more: Any) -> dict[str, Any]:
    return {"id": answer, "answered_to": "ris", "verdicts": MASS, "had_seen_answer": False} | more


def _journaled(stack: RunningStack, request_id: str) -> JournaledAnswer:
    now = datetime.now(UTC)
    window = Window(now - timedelta(hours=1), now + timedelta(hours=1))
    (found,) = [each for each in read_answers(stack.journal_dsn, window) if each.request_id == request_id]
    return found


def test_a_radiologists_word_is_read_beside_the_answer(stack: RunningStack, say: Ask, answer: str) -> None:
    """What a reader says of the application's answer stands beside it, with the token's name and our time."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    said = say(_on(answer), x_request_id="first", x_pleura_principal="dr-evil")
    assert said.status_code == 201, said.text
    stored = said.json()
    given_at = datetime.fromisoformat(stored.pop("given_at"))
    assert stored == _on(answer) | {"position": 0, "reader": "dr-a", "feedback_id": "first"}
    assert said.headers["x-request-id"] == "first"
    read = _journaled(stack, answer)
    assert read.principal == "ris"
    assert [(each.finding, each.present, each.reader) for each in read.verdicts] == [
        ("Mass", True, "dr-a"),
        ("Edema", None, "dr-a"),
    ]
    assert {each.given_at for each in read.verdicts} == {given_at}
    assert began < given_at < datetime.now(UTC) + timedelta(seconds=1)


def test_the_same_again_is_stored_once_and_a_change_is_added(
    stack: RunningStack, say: Ask, answer: str
) -> None:
    """Sent again it is answered alike, under its id nothing else passes, and another word is another row."""
    first = say(_on(answer), x_request_id=f"{answer}-1")
    again = say(_on(answer), x_request_id=f"{answer}-1")
    assert (again.status_code, again.json()) == (201, first.json())
    changed = _on(answer, verdicts={"Mass": False}, had_seen_answer=True)
    assert say(changed, x_request_id=f"{answer}-1").status_code == 409
    assert say(changed, x_request_id=f"{answer}-2").status_code == 201
    said = [(each.present, each.had_seen_answer) for each in _journaled(stack, answer).verdicts]
    assert said == [(True, False), (None, False), (False, True)]


def test_only_who_may_say_may_say(stack: RunningStack, say: Ask, answer: str) -> None:
    """Without a token, with a bad one or another scope nothing is stored; the scope allows nothing else."""
    bare = httpx.post(f"{stack.record.address}/feedback", json=_on(answer), trust_env=False)
    assert bare.status_code == 401
    assert say(_on(answer), token="x.y.z").status_code == 401
    for scopes in (("radiograph:classify", "model:read"), ("feedback:read",), ("feedback:write2",)):
        assert say(_on(answer), token=_token(stack, "dr-a", *scopes)).status_code == 403
    headers = {"authorization": f"Bearer {_token(stack, 'dr-a')}"}
    for verb, path in (("POST", "/classify"), ("GET", "/model-info"), ("GET", "/v2")):
        refused = httpx.request(verb, f"{stack.record.address}{path}", headers=headers, trust_env=False)
        assert refused.status_code == 403
    assert _journaled(stack, answer).verdicts == ()


def test_an_answer_to_somebody_else_must_be_named(say: Ask, answer: str) -> None:
    """Left out, the reader's own answer is meant; what is not there is 404 and says nothing more."""
    own = {name: value for name, value in _on(answer).items() if name != "answered_to"}
    unknown = [own, _on(answer, position=1), _on("nosuch"), _on(answer, answered_to="nobody")]
    answers = [say(body) for body in unknown]
    assert {(each.status_code, each.text) for each in answers} == {
        (404, '{"error": "the journal holds no such answer"}')
    }
    assert say(own, token=None, reader="ris").status_code == 201


def _bad_bodies(answer: str, plants: Plants) -> Iterator[tuple[int, Any]]:
    """Bodies with a planted name wherever one may stand, and what they are answered."""
    yield 400, _on(answer, **{plants.plant_name("member"): 1})
    for member in ("reader", "principal", "given_at", "comment"):
        yield 400, _on(answer, **{member: plants.plant_name(f"member {member}")})
    for member in ("position", "verdicts", "had_seen_answer"):
        yield 400, _on(answer, **{member: plants.plant_name(f"value of {member}")})
        yield 400, _on(answer, **{member: {plants.plant_name(f"deep in {member}"): [{}]}})
    yield 400, _on(answer, verdicts={plants.plant_name("finding"): True})
    yield 400, _on(answer, verdicts={"Mass": plants.plant_name("verdict")})
    yield 400, _on(answer, verdicts={"Mass": {plants.plant_name("verdict's member"): True}})
    yield 400, _on(answer, verdicts={"mass": True})
    yield 400, _on(answer, verdicts={"Mass": 1})
    yield 400, _on(answer, id=f"{plants.plant_name('id')}\n")
    yield 400, _on(answer, answered_to=[plants.plant_name("answered_to")])
    yield 404, _on(plants.plant_name("id of no answer"))
    yield 404, _on(answer, answered_to=plants.plant_name("answered to nobody"))
    yield 400, json.dumps(_on(answer)).replace('"id"', f'"id": "{plants.plant_name("twin")}", "id"').encode()
    yield 400, json.dumps(_on(answer)).replace("null", "NaN").encode()
    yield 400, b'{"id": "' + plants.plant_name("cut").encode()
    yield 400, plants.plant_name("no JSON").encode()
    yield 400, b"[" * 16_000
    yield 413, _on(answer, id=plants.plant_name("long") * 2000)
    yield 413, b" " * 20_000_000


def test_what_is_wrong_is_refused_and_not_repeated(stack: RunningStack, say: Ask, answer: str) -> None:
    """Each bad body gets its status and an error, which as little as any log tells a word of it."""
    plants = Plants()
    for status, body in _bad_bodies(answer, plants):
        refused = say(body)
        assert (refused.status_code, set(refused.json())) == (status, {"error"}), refused.text
        assert not plants.find_in(refused.content)
    bad = [
        say(_on(answer), content_type="text/plain"),
        say(_on(answer), content_encoding="gzip"),
        say(_on(answer), x_request_id=f"{plants.plant_name('x-request-id')} x"),
    ]
    assert {each.status_code for each in bad} == {400}
    assert len(plants.places) > 20
    for name in SERVICES:
        assert not plants.find_in(Path(stack.record.parts[name].log).read_bytes())
    assert _journaled(stack, answer).verdicts == ()


def test_a_hundred_at_once_are_stored_once_each(stack: RunningStack, say: Ask, answer: str) -> None:
    """A hundred verdicts of ten readers, each sent twice at one time, are a hundred rows."""
    said = [(f"dr-{number % 10}", f"{answer}-{number}") for number in range(100)] * 2
    tokens = {reader: _token(stack, reader) for reader, _ in said}

    def send(each: tuple[str, str]) -> int:
        for _ in range(50):
            sent = say(_on(answer, verdicts={"Mass": True}), token=tokens[each[0]], x_request_id=each[1])
            if sent.status_code not in (429, 503):
                return sent.status_code
            time.sleep(int(sent.headers["retry-after"]))
        return sent.status_code

    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(send, said)) == {201}
    assert len(_journaled(stack, answer).verdicts) == 100


def test_without_postgres_no_verdict_is_acknowledged(stack: RunningStack, say: Ask, answer: str) -> None:
    """While PostgreSQL hangs or is gone the reader is told to come again, in time; then it is stored once."""
    feedback_id, began_s = f"{answer}-late", time.monotonic()
    with stack.freeze("postgres"):
        hurried = say(_on(answer), x_request_id=feedback_id, x_request_timeout_ms="300")
        patient = [say(_on(answer), x_request_id=feedback_id) for _ in range(2)]
    assert hurried.status_code == 504
    stack.kill("postgres")
    patient.append(say(_on(answer), x_request_id=feedback_id))
    assert time.monotonic() - began_s < 6
    assert [each.status_code for each in patient] == [503] * 3
    assert all(int(each.headers["retry-after"]) > 0 for each in patient)
    end = time.monotonic() + 60
    while (said := say(_on(answer), x_request_id=feedback_id)).status_code == 503:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert said.status_code == 201
    assert _rows(stack, feedback_id) == 1


def _rows(stack: RunningStack, feedback_id: str) -> int:
    with closing(psycopg2.connect(stack.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM verdicts WHERE feedback_id = %s", (feedback_id,))
        return int(cursor.fetchone()[0])


def test_the_command_line_gives_feedback(stack: RunningStack) -> None:
    """On what it was answered itself, once the answer is named; a wrong name is one line."""
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
