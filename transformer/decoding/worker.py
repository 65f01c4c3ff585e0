"""The spawner process, which forks one decoder worker for each socket that it receives.

Decoders are large C libraries that read files from strangers. The kernel limits the memory and time of each
worker, and no worker has credentials in its environment. A worker that dies is replaced in milliseconds,
because the spawner has already loaded the libraries.

Protocol, little endian:
    spawner -> service, when a worker has ended: its process id (4 bytes), and the signal that ended it (4
        bytes, 0 for none).
    worker -> service, once: its process id (4 bytes).
    service -> worker, for each file: the file's processor time in seconds (8 bytes), and the length (4 bytes)
        of an overlay's content behind the file, 0 to make a tensor; with the descriptor of an anonymous file
        in memory.
    worker -> service, for each file: a kind (1 byte), whether the worker is used up (1 byte), a length (4
        bytes), and the decoded radiograph, the overlay as PNG or an error message. A worker is used up when
        it holds too much memory. The message of a refusal has its reason on the first line.
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
from pleura.radiograph.overlay import draw_overlay, encode_png
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from transformer.decoding.decoded_radiograph import DecodedRadiograph, write_decoded
from transformer.decoding.overlay_content import read_overlay_content

REPLY: Final = struct.Struct("<B?I")
HELLO: Final = struct.Struct("<I")
END: Final = struct.Struct("<II")
JOB: Final = struct.Struct("<dI")
DECODED: Final = 0
_USED_UP_BYTES: Final = 256 * 2**20
ERRORS: Final[tuple[type[PleuraError], ...]] = (UnreadableRadiograph, RefusedRadiograph, TooLarge)


@dataclass(frozen=True)
class WorkerLimits:
    """The limits of one decoding."""

    timeout_s: float
    memory_mb: int
    max_pixels: int


def main() -> None:
    """Fork a worker for each socket that arrives on standard input, until standard input is closed."""
    parser = argparse.ArgumentParser(prog="transformer.decoding.worker")
    parser.add_argument("--timeout-s", type=float, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--max-pixels", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    limits = WorkerLimits(arguments.timeout_s, arguments.memory_mb, arguments.max_pixels)
    end_with_parent(arguments.parent)
    # the service may still be draining: it ends this process by closing the socket
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    cv2.setNumThreads(1)
    _warm_up(limits.max_pixels)
    # a collection would write to the memory that the workers share, and so copy it for each of them
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as control:
        _fork_workers(control, limits)


def _fork_workers(control: socket.socket, limits: WorkerLimits) -> None:
    # computed before the fork: a new worker has not mapped the pages of the libraries yet
    address_limit = _address_limit(limits.memory_mb)
    signal.signal(signal.SIGCHLD, lambda *_: _report_ended_workers(control))
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        parent = os.getpid()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            end_with_parent(parent)
            _discard_output()
            resource.setrlimit(resource.RLIMIT_AS, (address_limit, address_limit))
            with (
                socket.socket(fileno=descriptors[0]) as channel,
                contextlib.suppress(OSError),
            ):
                serve(channel, limits)
            os._exit(0)
        os.close(descriptors[0])


def _report_ended_workers(control: socket.socket) -> None:
    """Collect the workers that have ended, and report which signal ended each of them."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            with contextlib.suppress(OSError):
                control.send(END.pack(pid, number), socket.MSG_DONTWAIT)


def serve(channel: socket.socket, limits: WorkerLimits) -> None:
    """Decode files one after the other, until the service closes the socket."""
    channel.sendall(HELLO.pack(os.getpid()))
    while True:
        job, descriptors, _, _ = socket.recv_fds(channel, JOB.size, 1)
        if not descriptors:
            return
        processor_s, overlay_bytes = JOB.unpack(job)
        with open(descriptors[0], "rb", buffering=0) as memory:  # noqa: PTH123
            # both processes share one position in the file, and it stands where the last reading ended
            file_bytes = memory.seek(0, os.SEEK_END) - overlay_bytes
            memory.seek(0)
            file, overlay = memory.read(file_bytes), memory.read()
        # the default action of both alarms ends the process, even inside C code
        # processor time is the real limit: by the clock alone, a busy machine would end honest files
        signal.setitimer(signal.ITIMER_REAL, limits.timeout_s)
        signal.setitimer(signal.ITIMER_PROF, processor_s)
        kind, body = decode(file, limits.max_pixels, overlay)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        del file
        # a codec that failed may keep its memory: large files would be refused (docs/decisions/0005)
        is_used_up = _memory_pages()[1] * resource.getpagesize() > _USED_UP_BYTES
        channel.sendall(REPLY.pack(kind, is_used_up, len(body)) + body)


def decode(file: bytes, max_pixels: int, overlay: bytes = b"") -> tuple[int, bytes]:
    """Decode one file, and resize it for the network or draw an overlay on it.

    Returns:
        ``DECODED`` and the decoded radiograph or the overlay, or the error's place in ``ERRORS`` plus one and
        its message.
    """
    try:
        radiograph = read_radiograph(file, max_pixels)
        if overlay:
            return DECODED, encode_png(draw_overlay(radiograph.pixels, read_overlay_content(overlay)))
        tensor = to_tensor(radiograph.pixels)
        return DECODED, write_decoded(
            DecodedRadiograph(tensor, radiograph.observations, radiograph.identifiers)
        )
    except MemoryError:
        return 1, b"decoding the radiograph takes too much memory"
    except ERRORS as error:
        kind = next(i for i, error_class in enumerate(ERRORS, 1) if isinstance(error, error_class))
        reason = f"{error.reason}\n" if isinstance(error, RefusedRadiograph) else ""
        return kind, f"{reason}{error}".encode()


def _warm_up(max_pixels: int) -> None:
    """Decode one file of each format, so that all libraries are loaded before the first fork."""
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
        kind, message = decode(file, max_pixels)
        if kind != DECODED:
            raise RuntimeError(f"the decoder does not work: {message.decode()}")


def _discard_output() -> None:
    """Discard what codecs print about damaged files."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _address_limit(memory_mb: int) -> int:
    """Give the address space, in bytes, of a worker with ``memory_mb`` of memory, loaded libraries included.

    The kernel can limit addresses only, so the addresses that libraries reserve without use are added.
    """
    reserved, resident = _memory_pages()
    return (reserved - resident) * resource.getpagesize() + memory_mb * 2**20


def _memory_pages() -> tuple[int, int]:
    """Give the number of this process's pages: reserved addresses, and pages in memory."""
    reserved, resident = Path("/proc/self/statm").read_text().split()[:2]
    return int(reserved), int(resident)


if __name__ == "__main__":
    main()
