"""The service's end of the decoder workers: starting them, handing them files, noticing that they died."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO, Final

# The wire's few constants stand here too: importing the worker would load every codec into the service.
_REPLY: Final = struct.Struct("<B?I")
_HELLO: Final = struct.Struct("<I")
_LIMIT: Final = struct.Struct("<d")
_END: Final = struct.Struct("<II")
_LIMITS: Final = (signal.SIGALRM, signal.SIGPROF)
_END_TOLD_S: Final = 0.5
_POLL_S: Final = 0.005
_START_TIMEOUT_S: Final = 60.0
_GRACE_S: Final = 1.0
_PIECE_BYTES: Final = 4 * 2**20
_KEPT_FILE_BYTES: Final = 16 * 2**20
_KEPT_HEAP_BYTES: Final = 64 * 2**20


class WorkerLost(Exception):
    """The worker ended without an answer."""


class WorkerTooSlow(Exception):
    """The worker was ended because the file took too long."""


@dataclass(frozen=True)
class WorkerReply:
    """What a worker answers: kind 0 with a tensor, or a kind of error with its message.

    ``is_spent`` says that the worker should not be asked again.
    """

    kind: int
    body: bytes
    is_spent: bool


class Worker:
    """One decoder process, which answers one file at a time."""

    def __init__(self, channel: socket.socket, pid: int, nursery: "WorkerSpawner") -> None:
        self.pid = pid
        self._channel, self._nursery, self._memory = channel, nursery, _anonymous_file()

    @property
    def is_alive(self) -> bool:
        """Whether the idle process still holds its end of the socket."""
        try:
            return self._channel.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def ask(self, file: bytes, timeout_s: float, processor_s: float) -> WorkerReply:
        """Have one file decoded; a worker that fails here cannot be asked again.

        Raises:
            WorkerTooSlow: It took longer than ``timeout_s``, or more than ``processor_s`` of processor time,
                and has been ended for it.
            WorkerLost: It ended before its time.
        """
        try:
            await self._show(file)
            socket.send_fds(self._channel, [_LIMIT.pack(processor_s)], [self._memory.fileno()])
            async with asyncio.timeout(timeout_s + _GRACE_S):
                kind, is_spent, length = _REPLY.unpack(await _receive(self._channel, _REPLY.size))
                return WorkerReply(kind, await _receive(self._channel, length), is_spent)
        except TimeoutError as error:
            raise WorkerTooSlow from error
        except OSError as error:
            # killed from outside, by the kernel for want of memory say, it says nothing about the file
            if await self._nursery.signal_that_ended(self.pid) in _LIMITS:
                raise WorkerTooSlow from error
            raise WorkerLost from error
        finally:
            if len(file) > _KEPT_FILE_BYTES:
                self._memory.truncate(0)

    def close(self) -> None:
        """Let the worker end; one that hangs is ended by its own alarm."""
        self._channel.close()
        self._memory.close()

    async def _show(self, file: bytes) -> None:
        """Put a file where the worker reads it without a copy through a pipe, in the place of the last one.

        The memory is kept, since new pages take twice as long as copying; in pieces, since others wait.
        """
        rest, at = memoryview(file), 0
        while rest:
            written = os.pwrite(self._memory.fileno(), rest[:_PIECE_BYTES], at)
            rest, at = rest[written:], at + written
            if rest:
                await asyncio.sleep(0)
        self._memory.truncate(at)


class WorkerSpawner:
    """The process that forks workers; started when it is first needed, and again when it has died."""

    def __init__(self, timeout_s: float, memory_mb: int, max_pixels: int) -> None:
        self._arguments = (
            *("--timeout-s", str(timeout_s)),
            *("--memory-mb", str(memory_mb)),
            *("--max-pixels", str(max_pixels)),
        )
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()
        self._ends: dict[int, int] = {}

    @property
    def pid(self) -> int | None:
        """The process id, for those who watch processes."""
        return self._process.pid if self._process else None

    async def fork(self) -> Worker:
        """Start a worker.

        Raises:
            OSError: It cannot be started, or does not report within a minute (a TimeoutError).
        """
        async with self._starting:
            if self._control is None or self._process is None or self._process.returncode is not None:
                await self._start()
        ours, theirs = socket.socketpair()
        try:
            assert self._control is not None
            with theirs:
                socket.send_fds(self._control, [b"w"], [theirs.fileno()])
            ours.setblocking(False)
            async with asyncio.timeout(_START_TIMEOUT_S):
                (pid,) = _HELLO.unpack(await _receive(ours, _HELLO.size))
            return Worker(ours, pid, self)
        except BaseException:
            ours.close()
            raise

    async def signal_that_ended(self, pid: int) -> int | None:
        """The signal that ended a worker; None where the process that forked it does not say."""
        deadline_s = time.monotonic() + _END_TOLD_S
        while pid not in self._ends and time.monotonic() < deadline_s:
            self._hear_ends()
            await asyncio.sleep(_POLL_S)
        return self._ends.pop(pid, None)

    def _hear_ends(self) -> None:
        with contextlib.suppress(OSError):  # nothing to hear, or nobody who says it any more
            while self._control and (said := self._control.recv(512 * _END.size, socket.MSG_DONTWAIT)):
                self._ends |= dict(_END.iter_unpack(said[: len(said) // _END.size * _END.size]))

    async def close(self) -> None:
        """End the process, and with it every worker."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def _start(self) -> None:
        await self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._control = ours
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "transformer.decoding.worker", "--parent", str(os.getpid()), *self._arguments),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                env=_bare_environment(),
            )


def _anonymous_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("radiograph"), "wb", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


async def _receive(channel: socket.socket, length: int) -> bytes:
    """Read so many bytes.

    Raises:
        ConnectionError: The other end closed first.
    """
    loop, parts = asyncio.get_running_loop(), []
    while length:
        part = await loop.sock_recv(channel, length)
        if not part:
            raise ConnectionError("the decoder has ended")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _bare_environment() -> dict[str, str]:
    """One thread a library, the same modules, and none of the service's secrets.

    The C library gives freed memory back at once where blocks are large; fetched anew for every file, page by
    page, it is a quarter of what decoding costs. A worker keeps up to 64 MB for the next file.
    """
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "MALLOC_TRIM_THRESHOLD_": str(_KEPT_HEAP_BYTES),
        "MALLOC_MMAP_THRESHOLD_": str(_KEPT_HEAP_BYTES // 2),
        **dict.fromkeys(threads, "1"),
    }
