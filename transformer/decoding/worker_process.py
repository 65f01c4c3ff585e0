"""The service's side of the decoder workers: start them, send them files, notice when they die."""

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

# repeated from the worker's module, whose import would load every codec into the service
_REPLY: Final = struct.Struct("<B?I")
_HELLO: Final = struct.Struct("<I")
_JOB: Final = struct.Struct("<dI")
_END: Final = struct.Struct("<II")
_TIME_LIMIT_SIGNALS: Final = (signal.SIGALRM, signal.SIGPROF)
_END_REPORT_TIMEOUT_S: Final = 0.5
_POLL_S: Final = 0.005
_START_TIMEOUT_S: Final = 60.0
_GRACE_S: Final = 1.0
_CHUNK_BYTES: Final = 4 * 2**20
_REUSED_FILE_BYTES: Final = 16 * 2**20
_REUSED_HEAP_BYTES: Final = 64 * 2**20


class WorkerLost(Exception):
    """The worker ended without a reply."""


class WorkerTooSlow(Exception):
    """The worker was ended because its file took too long."""


@dataclass(frozen=True)
class WorkerReply:
    """The reply of a worker: kind 0 with what it was asked for, or another kind with an error message.

    ``is_used_up`` says that the worker must be replaced.
    """

    kind: int
    body: bytes
    is_used_up: bool


class Worker:
    """One decoder process, which decodes one file at a time."""

    def __init__(self, channel: socket.socket, pid: int, spawner: "WorkerSpawner") -> None:
        self.pid = pid
        self._channel, self._spawner, self._memory = channel, spawner, _open_memory_file()

    @property
    def is_alive(self) -> bool:
        """Whether the idle process still has its end of the socket open."""
        try:
            return self._channel.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def decode(self, file: bytes, overlay: bytes, timeout_s: float, processor_s: float) -> WorkerReply:
        """Decode one file, or draw an overlay of that content. A worker that fails here cannot be used again.

        Raises:
            WorkerTooSlow: The file took longer than ``timeout_s``, or more processor time than
                ``processor_s``, so the worker was ended.
            WorkerLost: The worker died for another reason.
        """
        try:
            await self._write_memory(file, overlay)
            job = _JOB.pack(processor_s, len(overlay))
            socket.send_fds(self._channel, [job], [self._memory.fileno()])
            async with asyncio.timeout(timeout_s + _GRACE_S):
                kind, is_used_up, length = _REPLY.unpack(await _receive(self._channel, _REPLY.size))
                return WorkerReply(kind, await _receive(self._channel, length), is_used_up)
        except TimeoutError as error:
            raise WorkerTooSlow from error
        except OSError as error:
            # a kill from outside, such as by the kernel for lack of memory, says nothing about the file
            if await self._spawner.wait_for_end_signal(self.pid) in _TIME_LIMIT_SIGNALS:
                raise WorkerTooSlow from error
            raise WorkerLost from error
        finally:
            if len(file) > _REUSED_FILE_BYTES:
                self._memory.truncate(0)

    def close(self) -> None:
        """Close the socket, which ends the worker. A worker that hangs is ended by its own alarm."""
        self._channel.close()
        self._memory.close()

    async def _write_memory(self, file: bytes, overlay: bytes) -> None:
        """Write a file to the memory that the worker reads, in place of the file before it, then the overlay.

        The memory is used again, since new pages take twice as long as the copy. The file is written in
        chunks, so that the event loop can serve other requests between them.
        """
        rest, at = memoryview(file), 0
        while rest:
            written = os.pwrite(self._memory.fileno(), rest[:_CHUNK_BYTES], at)
            rest, at = rest[written:], at + written
            if rest:
                await asyncio.sleep(0)
        # the rest of another patient's file must not complete one that is cut short (docs/decisions/0006)
        self._memory.truncate(at)
        if overlay:
            os.pwrite(self._memory.fileno(), overlay, at)


class WorkerSpawner:
    """Starts workers by a spawner process, which is started when needed, and again when it has died."""

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

    async def fork(self) -> Worker:
        """Start a worker.

        Raises:
            OSError: The worker cannot be started, or is not ready within a minute (a TimeoutError).
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

    async def wait_for_end_signal(self, pid: int) -> int | None:
        """Give the signal that ended a worker, or None where the spawner does not report one."""
        deadline_s = time.monotonic() + _END_REPORT_TIMEOUT_S
        while pid not in self._ends and time.monotonic() < deadline_s:
            self._read_end_reports()
            await asyncio.sleep(_POLL_S)
        return self._ends.pop(pid, None)

    def _read_end_reports(self) -> None:
        with contextlib.suppress(OSError):  # no report has come, or the spawner has died
            while self._control and (reports := self._control.recv(512 * _END.size, socket.MSG_DONTWAIT)):
                self._ends |= dict(_END.iter_unpack(reports[: len(reports) // _END.size * _END.size]))

    async def close(self) -> None:
        """End the spawner process, and with it every worker."""
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
                env=_make_environment(),
            )


def _open_memory_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("radiograph"), "wb", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


async def _receive(channel: socket.socket, length: int) -> bytes:
    """Read exactly ``length`` bytes.

    Raises:
        ConnectionError: The other end closed the socket first.
    """
    loop, parts = asyncio.get_running_loop(), []
    while length:
        part = await loop.sock_recv(channel, length)
        if not part:
            raise ConnectionError("the decoder has ended")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _make_environment() -> dict[str, str]:
    """Make an environment with one thread a library, the same modules, and none of the service's secrets."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # The C library would return large freed blocks at once. To fetch their pages again for every file is
        # a quarter of the cost of decoding (docs/decisions/0006).
        "MALLOC_TRIM_THRESHOLD_": str(_REUSED_HEAP_BYTES),
        "MALLOC_MMAP_THRESHOLD_": str(_REUSED_HEAP_BYTES // 2),
        **dict.fromkeys(threads, "1"),
    }
