"""Where files are decoded: a process that forks one worker for each socket it is handed.

Decoders are large pieces of C that read what strangers wrote. They run in processes of their own, bounded in
memory and time by the kernel, without credentials in their environment; one that dies is replaced in
milliseconds, because its libraries are already loaded in the process that it is forked from.

Of each worker that has ended the process says its id and the signal that ended it (4 bytes each, 0 for none).
A worker's socket first says its process id (4 bytes, little endian). Then each file comes as the descriptor
of an anonymous file in memory, with the processor time it may take (8 bytes, seconds); back go a kind (1
byte), whether the worker is spent (1 byte), a length (4 bytes) and the tensor or the message of an error.
A worker is spent when it has kept so much memory that it should not be asked again.
"""

import argparse
import contextlib
import gc
import io
import logging
import os
import resource
import signal
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from pleura.errors import PleuraError, RefusedRadiograph, TooLarge, UnreadableRadiograph
from pleura.parent_process import end_with_parent
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor

REPLY: Final = struct.Struct("<B?I")
HELLO: Final = struct.Struct("<I")
END: Final = struct.Struct("<II")
LIMIT: Final = struct.Struct("<d")
TENSOR: Final = 0
_MOST_KEPT_BYTES: Final = 256 * 2**20
ERRORS: Final[tuple[type[PleuraError], ...]] = (UnreadableRadiograph, RefusedRadiograph, TooLarge)


@dataclass(frozen=True)
class WorkerLimits:
    """What one decoding may cost."""

    timeout_s: float
    memory_mb: int
    max_pixels: int


def main() -> None:
    """Hand each socket that arrives on standard input to a new worker, until the other end is closed."""
    parser = argparse.ArgumentParser(prog="transformer.decoding.worker")
    parser.add_argument("--timeout-s", type=float, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--max-pixels", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    limits = WorkerLimits(arguments.timeout_s, arguments.memory_mb, arguments.max_pixels)
    end_with_parent(arguments.parent)
    # The parent decides when we end (it may still be draining): by closing the socket.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    cv2.setNumThreads(1)
    _warm_up(limits.max_pixels)
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as control:
        _fork_workers(control, limits)


def _fork_workers(control: socket.socket, limits: WorkerLimits) -> None:
    # reckoned here: a worker just forked has not mapped the libraries' pages yet
    most_addresses = _most_addresses(limits.memory_mb)
    signal.signal(signal.SIGCHLD, lambda *_: _tell_ends(control))
    while True:
        _, handed, _, _ = socket.recv_fds(control, 1, 1)
        if not handed:
            return
        parent = os.getpid()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            end_with_parent(parent)
            _silence()
            resource.setrlimit(resource.RLIMIT_AS, (most_addresses, most_addresses))
            with (
                socket.socket(fileno=handed[0]) as channel,
                contextlib.suppress(OSError),
            ):
                serve(channel, limits)
            os._exit(0)
        os.close(handed[0])


def _tell_ends(control: socket.socket) -> None:
    """Bury the workers that have ended, and tell what ended them; nobody need listen."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            with contextlib.suppress(OSError):
                control.send(END.pack(pid, number), socket.MSG_DONTWAIT)


def serve(channel: socket.socket, limits: WorkerLimits) -> None:
    """Answer files one after the other, until the other end closes."""
    channel.sendall(HELLO.pack(os.getpid()))
    while True:
        limit, handed, _, _ = socket.recv_fds(channel, LIMIT.size, 1)
        if not handed:
            return
        with open(handed[0], "rb", buffering=0) as memory:  # noqa: PTH123
            memory.seek(0)
            file = memory.read()
        # The default action of both alarms ends the process, even in the middle of C code.
        signal.setitimer(signal.ITIMER_REAL, limits.timeout_s)
        signal.setitimer(signal.ITIMER_PROF, *LIMIT.unpack(limit))
        kind, body = answer(file, limits.max_pixels)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        del file
        is_spent = _memory_pages()[1] * resource.getpagesize() > _MOST_KEPT_BYTES
        channel.sendall(REPLY.pack(kind, is_spent, len(body)) + body)


def answer(file: bytes, max_pixels: int) -> tuple[int, bytes]:
    """Decode and prepare one file.

    Returns:
        TENSOR and the tensor's bytes, or the place in ``ERRORS`` plus one and the message.
    """
    try:
        return TENSOR, to_tensor(read_radiograph(file, max_pixels).pixels).tobytes()
    except MemoryError:
        return 1, b"decoding the radiograph takes too much memory"
    except ERRORS as error:
        kind = next(i for i, known in enumerate(ERRORS, 1) if isinstance(error, known))
        return kind, str(error).encode()


def _warm_up(max_pixels: int) -> None:
    """Decode one of each kind, so that no worker loads anything with a radiograph in hand."""
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    dataset = Dataset()
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.tobytes()
    dicom = io.BytesIO()
    dcmwrite(dicom, dataset, implicit_vr=True, little_endian=True)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    jpeg = cv2.imencode(".jpg", pixels.astype(np.uint8))[1].tobytes()
    for file in (dicom.getvalue(), png, jpeg):
        kind, message = answer(file, max_pixels)
        if kind != TENSOR:
            raise RuntimeError(f"the decoder does not work: {message.decode()}")


def _silence() -> None:
    """Drop what codecs print about damaged files."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _most_addresses(memory_mb: int) -> int:
    """The bytes of address space of a worker that may have so much memory, loaded libraries included.

    The kernel bounds addresses; those that the libraries reserve and never touch are left out of account.
    """
    reserved, resident = _memory_pages()
    return (reserved - resident) * resource.getpagesize() + memory_mb * 2**20


def _memory_pages() -> tuple[int, int]:
    """The pages of addresses that this process has, and those of them in memory."""
    reserved, resident = Path("/proc/self/statm").read_text().split()[:2]
    return int(reserved), int(resident)


if __name__ == "__main__":
    main()
