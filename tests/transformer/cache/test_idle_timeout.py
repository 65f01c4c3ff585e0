"""A time limit that does not count the time in which the event loop is busy."""

import asyncio
import socket
import time

import pytest

from transformer.cache.idle_timeout import idle_timeout


async def test_an_answer_that_never_comes_times_out() -> None:
    """On an idle loop the time-out comes at the limit, not earlier and not much later."""
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        async with idle_timeout(0.2):
            await asyncio.Event().wait()
    assert 0.19 < time.monotonic() - began_s < 1


async def test_an_answer_that_came_while_the_loop_was_busy_is_read() -> None:
    """The loop is blocked for longer than the limit while the answer arrives."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    def hold_up() -> None:
        time.sleep(0.3)
        theirs.send(b"answer")

    asyncio.get_running_loop().call_soon(hold_up)
    async with idle_timeout(0.2):
        assert await reader.readexactly(6) == b"answer"
    writer.close()
    await writer.wait_closed()
    theirs.close()


async def test_a_cancelled_caller_is_cancelled() -> None:
    """A cancelled caller gets CancelledError, and not TimeoutError."""

    async def wait() -> None:
        async with idle_timeout(60):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
