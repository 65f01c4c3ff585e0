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
        future.set_exception(error or RuntimeError("the engine returned nothing"))
    else:
        future.set_result(outputs)


class EngineThread:
    """Runs an engine on one thread.

    The thread is a daemon, unlike those of ``concurrent.futures``, so that an engine that hangs does not keep
    the process alive. An engine that computes must end before the interpreter: otherwise OpenVINO aborts the
    process.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Tell whether the thread still runs."""
        return self._thread.is_alive()

    async def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run the engine on the thread, and raise what it raises."""
        future: asyncio.Future[GraphOutputs] = asyncio.get_running_loop().create_future()
        self._work.put((radiographs, future))
        return await future

    def close(self) -> None:
        """Take no more work. The thread ends after the work that it has."""
        self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread, up to ``timeout_s``."""
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        while work := self._work.get():
            radiographs, future = work
            outputs, failure = None, None
            try:
                outputs = self._engine.run(radiographs)
            except Exception as error:  # the runtime may raise anything; it goes to the caller
                failure = error
            loop = future.get_loop()
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(_settle, future, outputs, failure)
