"""A time limit that hardly counts the time in which the event loop is busy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TICKS: Final = 4


@asynccontextmanager
async def idle_timeout(seconds: float) -> AsyncIterator[None]:
    """Limit the time of the block, as ``asyncio.timeout`` does.

    ``asyncio.timeout`` also gives up on an answer that has arrived, but that the busy loop has not read yet.
    Here the time passes in quarters. The loop reads between two quarters, so a busy loop costs one quarter.

    Raises:
        TimeoutError: The time has passed.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle
    async with asyncio.timeout(None) as limit:

        def tick(left: int) -> None:
            nonlocal timer
            if left:
                timer = loop.call_later(seconds / _TICKS, tick, left - 1)
            else:
                limit.reschedule(loop.time())

        # with one timer, 8 to 16 look-ups a run were given up because the loop was busy (docs/decisions/0024)
        timer = loop.call_later(seconds / _TICKS, tick, _TICKS - 1)
        try:
            yield
        finally:
            timer.cancel()
