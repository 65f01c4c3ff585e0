"""Classify a sample as a caller would: a stack is ready when this succeeds."""

import json

import httpx

from pleura.local.processes import START_TIMEOUT_S, StartFailed
from pleura.local.samples import choose_sample, find_samples


def require_answer(address: str, token: str) -> None:
    """Classify a sample, where there is one.

    Raises:
        StartFailed: The answer is an error.
    """
    sample = choose_sample(find_samples())
    if sample is None:
        return
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(trust_env=False, timeout=START_TIMEOUT_S) as client:
        answer = client.post(f"{address}/classify", json={"image_id": sample.name}, headers=headers)
    if not answer.is_success:
        raise StartFailed(f"first answer: status {answer.status_code}: {_read_error(answer)}")


def _read_error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return answer.text[:200]
