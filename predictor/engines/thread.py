"""One thread that runs an engine for an event loop."""

import asyncio
import queue
import threading
from typing import TypeAlias

from predictor.engines.engine import Engine, GraphOutputs, Radiographs

_Work: TypeAlias = tuple[Radiographs, asyncio.Future[GraphOutputs]]


def _settle(
    future: "asyncio.Future[GraphOutputs]", outputs: GraphOutputs | None, error: Exception | None
) -> None:
    if future.done():
        return
    if outputs is None:
        future.set_exception(error or RuntimeError("the engine gave nothing"))
    else:
        future.set_result(outputs)


class EngineThread:
    """Runs an engine on a thread of its own.

    The thread is a daemon, unlike those of ``concurrent.futures``: an engine that hangs must not keep the
    process from ending. One that computes must have ended before, though: OpenVINO, coming back to an
    interpreter that is being torn down, aborts the process.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread is there still."""
        return self._thread.is_alive()

    async def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run the engine; whatever it raises is raised here."""
        future: asyncio.Future[GraphOutputs] = asyncio.get_running_loop().create_future()
        self._work.put((radiographs, future))
        return await future

    def close(self) -> None:
        """Take no more work; the thread ends when it has done what it was given."""
        self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for its end, if it comes in time."""
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        while work := self._work.get():
            radiographs, future = work
            outputs, failure = None, None
            try:
                outputs = self._engine.run(radiographs)
            except Exception as error:  # goes to the caller, whatever the runtime raises
                failure = error
            loop = future.get_loop()
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(_settle, future, outputs, failure)
