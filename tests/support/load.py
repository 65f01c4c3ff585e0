"""A steady load on a stack: one radiograph after the other, in a thread of its own."""

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
    """What became of the requests so far: each one's status, and the version that answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def answer(self, client: httpx.Client, sample: Path) -> None:
        """Ask once."""
        answer = client.post("/classify", json={"image_id": sample.name})
        self.statuses[answer.status_code] += 1
        if answer.is_success:
            self.versions[answer.json()["model"]["version"]] += 1
        if "nan" in answer.text.lower():
            self.texts.append(answer.text)


@contextmanager
def steady_load(
    stack: RunningStack, sample: Path, clients: int = 2, pause_s: float = 0.005
) -> Iterator[SteadyLoad]:
    """Ask without end, from several clients."""
    load, ended = SteadyLoad(), threading.Event()
    headers = {"authorization": f"Bearer {stack.make_token()}"}

    def ask() -> None:
        with httpx.Client(
            base_url=stack.record.address, headers=headers, timeout=60, trust_env=False
        ) as client:
            while not ended.is_set():
                load.answer(client, sample)
                time.sleep(pause_s)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        ended.set()
        for thread in threads:
            thread.join()
