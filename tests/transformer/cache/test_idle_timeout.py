"""Who waits is not made to give up by a loop that was busy with somebody else."""

import asyncio
import socket
import time

import pytest

from transformer.cache.idle_timeout import idle_timeout


async def test_what_never_comes_is_given_up_in_time() -> None:
    """The limit is the limit where the loop is idle, neither sooner nor much later."""
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        async with idle_timeout(0.2):
            await asyncio.Event().wait()
    assert 0.19 < time.monotonic() - began_s < 1


async def test_an_answer_that_has_come_is_read_though_the_loop_was_held_up() -> None:
    """The loop stands still for longer than the limit, while the answer comes."""
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


async def test_who_is_cancelled_is_cancelled() -> None:
    """A caller that goes away is not taken for one that waited too long."""

    async def wait() -> None:
        async with idle_timeout(60):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
