"""A time limit in which a held-up event loop counts little."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TICKS: Final = 4


@asynccontextmanager
async def idle_timeout(seconds: float) -> AsyncIterator[None]:
    """Limit what is awaited within, as ``asyncio.timeout`` does.

    That one also gives up on an answer that has come but that the loop, busy with others, has not
    yet read. Here the time passes in quarters, between which the loop reads what has come: being
    held up costs one of them.

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

        timer = loop.call_later(seconds / _TICKS, tick, _TICKS - 1)
        try:
            yield
        finally:
            timer.cancel()
