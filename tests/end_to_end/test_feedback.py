"""Feedback through the whole stack: each verdict is stored exactly once."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2

from pleura.local.samples import choose_sample, find_samples
from proof.lab.running_stack import RunningStack, run_pleura
from tests.end_to_end.conftest import SendFeedback, build_feedback, make_scoped_token, read_journaled_answer


def test_a_verdict_is_stored_with_its_answer(
    stack: RunningStack, send_feedback: SendFeedback, answer_id: str
) -> None:
    """The journal gives the verdict with its answer, with the token's subject and the service's time."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    response = send_feedback(build_feedback(answer_id), x_request_id="first", x_pleura_principal="dr-evil")
    assert response.status_code == 201, response.text
    stored = response.json()
    given_at = datetime.fromisoformat(stored.pop("given_at"))
    assert stored == build_feedback(answer_id) | {"position": 0, "reader": "dr-a", "feedback_id": "first"}
    assert response.headers["x-request-id"] == "first"
    journaled = read_journaled_answer(stack, answer_id)
    assert journaled.principal == "ris"
    assert [(each.finding, each.present, each.reader) for each in journaled.verdicts] == [
        ("Mass", True, "dr-a"),
        ("Edema", None, "dr-a"),
    ]
    assert {each.given_at for each in journaled.verdicts} == {given_at}
    assert began < given_at < datetime.now(UTC) + timedelta(seconds=1)


def test_a_repeated_verdict_is_stored_once_and_a_change_is_added(
    stack: RunningStack, send_feedback: SendFeedback, answer_id: str
) -> None:
    """A repeat gets the same answer, another verdict under its id is refused, and a new id adds a row."""
    first = send_feedback(build_feedback(answer_id), x_request_id=f"{answer_id}-1")
    again = send_feedback(build_feedback(answer_id), x_request_id=f"{answer_id}-1")
    assert (again.status_code, again.json()) == (201, first.json())
    changed = build_feedback(answer_id, verdicts={"Mass": False}, had_seen_answer=True)
    assert send_feedback(changed, x_request_id=f"{answer_id}-1").status_code == 409
    assert send_feedback(changed, x_request_id=f"{answer_id}-2").status_code == 201
    verdicts = [
        (each.present, each.had_seen_answer) for each in read_journaled_answer(stack, answer_id).verdicts
    ]
    assert verdicts == [(True, False), (None, False), (False, True)]


def test_a_hundred_concurrent_verdicts_are_stored_once_each(
    stack: RunningStack, send_feedback: SendFeedback, answer_id: str
) -> None:
    """A hundred verdicts of ten readers, each sent twice at the same time, give a hundred rows."""
    reader_ids = [(f"dr-{number % 10}", f"{answer_id}-{number}") for number in range(100)] * 2
    tokens = {reader: make_scoped_token(stack, reader) for reader, _ in reader_ids}

    def send(each: tuple[str, str]) -> int:
        for _ in range(50):
            sent = send_feedback(
                build_feedback(answer_id, verdicts={"Mass": True}),
                token=tokens[each[0]],
                x_request_id=each[1],
            )
            if sent.status_code not in (429, 503):
                return sent.status_code
            time.sleep(int(sent.headers["retry-after"]))
        return sent.status_code

    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(send, reader_ids)) == {201}
    assert len(read_journaled_answer(stack, answer_id).verdicts) == 100


def test_without_postgres_no_verdict_is_acknowledged(
    stack: RunningStack, send_feedback: SendFeedback, answer_id: str
) -> None:
    """While PostgreSQL hangs or is down the reader is told in time to retry. Then it is stored once."""
    feedback_id, began_s = f"{answer_id}-late", time.monotonic()
    with stack.freeze("postgres"):
        hurried_response = send_feedback(
            build_feedback(answer_id), x_request_id=feedback_id, x_request_timeout_ms="300"
        )
        patient_responses = [
            send_feedback(build_feedback(answer_id), x_request_id=feedback_id) for _ in range(2)
        ]
    assert hurried_response.status_code == 504
    stack.kill("postgres")
    patient_responses.append(send_feedback(build_feedback(answer_id), x_request_id=feedback_id))
    assert time.monotonic() - began_s < 6
    assert [each.status_code for each in patient_responses] == [503] * 3
    assert all(int(each.headers["retry-after"]) > 0 for each in patient_responses)
    end = time.monotonic() + 60
    while (response := send_feedback(build_feedback(answer_id), x_request_id=feedback_id)).status_code == 503:
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
    answered = json.loads(run_pleura(*state, "classify", "--id", sample.name, "--json").stdout)
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
