"""Feedback that is refused: without the scope, on an unknown answer, or with a bad body."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from proof.lab.running_stack import RunningStack
from tests.end_to_end.conftest import SendFeedback, build_feedback, make_scoped_token, read_journaled_answer
from tests.support.errors import check_error
from tests.support.planted.outputs import SERVICES
from tests.support.planted.values import Plants


def test_feedback_needs_its_own_scope(
    stack: RunningStack, send_feedback: SendFeedback, answer_id: str
) -> None:
    """Without the scope no verdict is stored, and the scope allows no other route."""
    without_token = httpx.post(
        f"{stack.record.address}/feedback", json=build_feedback(answer_id), trust_env=False
    )
    assert without_token.status_code == 401
    assert send_feedback(build_feedback(answer_id), token="x.y.z").status_code == 401
    for scopes in (("radiograph:classify", "model:read"), ("feedback:read",), ("feedback:write2",)):
        assert (
            send_feedback(
                build_feedback(answer_id), token=make_scoped_token(stack, "dr-a", *scopes)
            ).status_code
            == 403
        )
    headers = {"authorization": f"Bearer {make_scoped_token(stack, 'dr-a')}"}
    for verb, path in (("POST", "/classify"), ("GET", "/model-info"), ("GET", "/v2")):
        refused = httpx.request(verb, f"{stack.record.address}{path}", headers=headers, trust_env=False)
        assert refused.status_code == 403
    assert read_journaled_answer(stack, answer_id).verdicts == ()


def test_an_answer_to_another_principal_must_be_named(send_feedback: SendFeedback, answer_id: str) -> None:
    """Without ``answered_to`` the reader's own answer is meant. An unknown answer is 404 with one text."""
    own = {name: value for name, value in build_feedback(answer_id).items() if name != "answered_to"}
    unknown = [
        own,
        build_feedback(answer_id, position=1),
        build_feedback("nosuch"),
        build_feedback(answer_id, answered_to="nobody"),
    ]
    answers = [send_feedback(body) for body in unknown]
    for each in answers:
        assert each.status_code == 404
        check_error(each.json(), error="the journal holds no such answer", code="answer_not_found")
    assert send_feedback(own, token=None, reader="ris").status_code == 201


def _list_bad_bodies(answer_id: str, plants: Plants) -> Iterator[tuple[int, Any]]:
    """List bodies with a planted name in every place, each with the expected status."""
    yield 400, build_feedback(answer_id, **{plants.plant_name("member"): 1})
    for member in ("reader", "principal", "given_at", "comment"):
        yield 400, build_feedback(answer_id, **{member: plants.plant_name(f"member {member}")})
    for member in ("position", "verdicts", "had_seen_answer"):
        yield 400, build_feedback(answer_id, **{member: plants.plant_name(f"value of {member}")})
        yield 400, build_feedback(answer_id, **{member: {plants.plant_name(f"deep in {member}"): [{}]}})
    yield 400, build_feedback(answer_id, verdicts={plants.plant_name("finding"): True})
    yield 400, build_feedback(answer_id, verdicts={"Mass": plants.plant_name("verdict")})
    yield 400, build_feedback(answer_id, verdicts={"Mass": {plants.plant_name("verdict's member"): True}})
    yield 400, build_feedback(answer_id, verdicts={"mass": True})
    yield 400, build_feedback(answer_id, verdicts={"Mass": 1})
    yield 400, build_feedback(answer_id, id=f"{plants.plant_name('id')}\n")
    yield 400, build_feedback(answer_id, answered_to=[plants.plant_name("answered_to")])
    yield 404, build_feedback(plants.plant_name("id of no answer"))
    yield 404, build_feedback(answer_id, answered_to=plants.plant_name("answered to nobody"))
    yield (
        400,
        json.dumps(build_feedback(answer_id))
        .replace('"id"', f'"id": "{plants.plant_name("twin")}", "id"')
        .encode(),
    )
    yield 400, json.dumps(build_feedback(answer_id)).replace("null", "NaN").encode()
    yield 400, b'{"id": "' + plants.plant_name("cut").encode()
    yield 400, plants.plant_name("no JSON").encode()
    yield 400, b"[" * 16_000
    yield 413, build_feedback(answer_id, id=plants.plant_name("long") * 2000)
    yield 413, b" " * 20_000_000


def test_a_bad_body_is_refused_and_not_repeated(
    stack: RunningStack, send_feedback: SendFeedback, answer_id: str
) -> None:
    """Each bad body gets its status and an error. Neither the error nor a log repeats its content."""
    plants = Plants()
    for status, body in _list_bad_bodies(answer_id, plants):
        refused = send_feedback(body)
        assert refused.status_code == status, refused.text
        check_error(refused.json())
        assert not plants.find_in(refused.content)
    bad = [
        send_feedback(build_feedback(answer_id), content_type="text/plain"),
        send_feedback(build_feedback(answer_id), content_encoding="gzip"),
        send_feedback(build_feedback(answer_id), x_request_id=f"{plants.plant_name('x-request-id')} x"),
    ]
    assert {each.status_code for each in bad} == {400}
    assert len(plants.places) > 20
    for name in SERVICES:
        assert not plants.find_in(Path(stack.record.parts[name].log).read_bytes())
    assert read_journaled_answer(stack, answer_id).verdicts == ()
