"""A steady load on a stack: client threads that each send one request after the other."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from proof.lab.running_stack import RunningStack


@dataclass
class SteadyLoad:
    """The statuses of the requests so far, and the model versions that answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    nan_texts: list[str] = field(default_factory=list)

    def send(self, client: httpx.Client, sample: Path) -> None:
        """Send one request, and record its answer."""
        answer = client.post("/classify", json={"image_id": sample.name})
        self.statuses[answer.status_code] += 1
        if answer.is_success:
            self.versions[answer.json()["model"]["version"]] += 1
        if "nan" in answer.text.lower():
            self.nan_texts.append(answer.text)


@contextmanager
def start_steady_load(
    stack: RunningStack, sample: Path, clients: int = 2, pause_s: float = 0.005
) -> Iterator[SteadyLoad]:
    """Send requests from several clients until the context ends."""
    load, ended = SteadyLoad(), threading.Event()
    headers = {"authorization": f"Bearer {stack.make_token()}"}

    def send_requests() -> None:
        with httpx.Client(
            base_url=stack.record.address, headers=headers, timeout=60, trust_env=False
        ) as client:
            while not ended.is_set():
                load.send(client, sample)
                time.sleep(pause_s)

    threads = [threading.Thread(target=send_requests) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        ended.set()
        for thread in threads:
            thread.join()
