"""A client of the running stack, and a way to send feedback to it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.journal_reader import JournaledAnswer, Window, read_answers
from pleura.local.access import make_token
from pleura.local.samples import choose_sample, find_samples
from proof.lab.running_stack import RunningStack

MASS = {"Mass": True, "Edema": None}
SendFeedback = Callable[..., httpx.Response]


@pytest.fixture
def sample() -> Path:
    """A sample radiograph that the stack has uploaded under its file name."""
    path = choose_sample(find_samples())
    assert path
    return path


@pytest.fixture
def client(stack: RunningStack) -> Iterator[httpx.Client]:
    """An HTTP client with a token."""
    headers = {"authorization": f"Bearer {stack.make_token()}"}
    with httpx.Client(base_url=stack.record.address, headers=headers, timeout=60, trust_env=False) as http:
        yield http


def make_scoped_token(stack: RunningStack, subject: str, *scopes: str) -> str:
    """Make a token of the stack's own issuer; by default it may give feedback."""
    return make_token(stack.state.path, stack.record.issuer, subject, scopes or ("feedback:write",))


@pytest.fixture
def send_feedback(stack: RunningStack) -> Iterator[SendFeedback]:
    """A function that sends feedback as a radiologist, or with another token."""
    with httpx.Client(base_url=stack.record.address, timeout=30, trust_env=False) as http:

        def send(body: Any, reader: str = "dr-a", token: str | None = None, **headers: str) -> httpx.Response:
            sent = {"authorization": f"Bearer {token or make_scoped_token(stack, reader)}"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, bytes):
                return http.post(
                    "/feedback", content=body, headers={"content-type": "application/json"} | sent
                )
            return http.post("/feedback", json=body, headers=sent)

        yield send


@pytest.fixture
def answer_id(stack: RunningStack, sample: Path) -> str:
    """The request id of an answer to the principal ``ris``."""
    headers = {"authorization": f"Bearer {make_scoped_token(stack, 'ris', 'radiograph:classify')}"}
    url = f"{stack.record.address}/classify"
    response = httpx.post(url, json={"image_id": sample.name}, headers=headers, timeout=60, trust_env=False)
    assert (response.status_code, response.json()["journal"]) == (200, "written"), response.text
    return str(response.json()["request_id"])


def build_feedback(answer_id: str, **more: Any) -> dict[str, Any]:
    """Build feedback on an answer to ``ris``, with more or other members."""
    return {"id": answer_id, "answered_to": "ris", "verdicts": MASS, "had_seen_answer": False} | more


def read_journaled_answer(stack: RunningStack, request_id: str) -> JournaledAnswer:
    """Read an answer and its verdicts from the journal of the stack."""
    now = datetime.now(UTC)
    window = Window(now - timedelta(hours=1), now + timedelta(hours=1))
    (found,) = [each for each in read_answers(stack.journal_dsn, window) if each.request_id == request_id]
    return found
