"""The pool of decoder processes, and what hostile files and killed processes do to it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from pleura.classification import Finding, OverlayContent, make_overlay_content
from pleura.deadline import Deadline
from pleura.errors import (
    DeadlineExceeded,
    Overloaded,
    RefusedRadiograph,
    TooLarge,
    Unavailable,
    UnreadableRadiograph,
)
from pleura.findings import FINDINGS
from pleura.identifiers import NO_IDENTIFIERS
from pleura.radiograph.overlay import draw_overlay
from pleura.radiograph.overlay import encode_png as encode_png_picture
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from proof.lab.decoders import find_children, find_spawner, find_workers
from proof.lab.files import encode_png, make_dicom, make_gradient, make_lossless_colour_jpeg, make_png
from proof.lab.pictures import compress_dicom, encapsulate_stream
from transformer.decoding.decoded_radiograph import DecodedRadiograph
from transformer.decoding.pool import DecoderPool

PLENTY_S = 60.0
MAX_PIXELS = 100_000_000
SMALL = encode_png(make_gradient(300, 300))


@contextlib.asynccontextmanager
async def pool(
    workers: int = 2,
    timeout_s: float = 30.0,
    memory_mb: int = 512,
    max_waiting: int = 8,
    processor_s: float = 30.0,
) -> AsyncIterator[DecoderPool]:
    """Run a pool until the block ends."""
    decoders = DecoderPool(workers, timeout_s, memory_mb, MAX_PIXELS, max_waiting, processor_s)
    await decoders.start()
    try:
        yield decoders
    finally:
        await decoders.close()


def make_content() -> OverlayContent:
    """Make the content of an overlay."""
    findings = [Finding(name, 0.25, 0.5, False, True) for name in FINDINGS]
    return make_overlay_content(findings, np.ones((14, 7, 7), np.float32), 0.5, "1.0.0", "Mass")


def soon() -> Deadline:
    return Deadline.after(PLENTY_S)


@cache
def slow_file() -> bytes:
    """Make an intact file of 9 MB whose noise takes a decoder about a second."""
    noise = np.random.default_rng(0).integers(0, 2**12, (2_400, 2_400), np.uint16)
    return compress_dicom(make_dicom(noise), uid.JPEG2000Lossless)


def large_radiograph() -> bytes:
    """Make a small file of a radiograph with many pixels."""
    return encode_png(np.zeros((9_000, 9_000), np.uint8))


def descendants(pid: int) -> list[int]:
    return [found for child in find_children(pid) for found in (child, *descendants(child))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def page_faults_of(pid: int) -> int:
    """Count the pages of memory that the kernel has fetched for a process so far."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


async def test_the_tensor_equals_that_of_the_plain_functions() -> None:
    """Decoding in another process changes nothing."""
    async with pool(workers=1) as decoders:
        for file in (SMALL, make_dicom(make_gradient(300, 300), PhotometricInterpretation="MONOCHROME1")):
            tensor = (await decoders.prepare(file, soon())).tensor
            np.testing.assert_array_equal(tensor, to_tensor(read_radiograph(file, MAX_PIXELS).pixels))


async def test_the_identifiers_of_the_header_come_with_the_tensor() -> None:
    """They belong to the file that was sent, and a file without any has none."""
    files = [make_dicom(AccessionNumber=f"A-{number}") for number in range(6)]
    async with pool() as decoders:
        decoded = await asyncio.gather(*(decoders.prepare(file, soon()) for file in files))
        assert (await decoders.prepare(SMALL, soon())).identifiers == NO_IDENTIFIERS
    assert [each.identifiers.accession_number for each in decoded] == [f"A-{n}" for n in range(6)]
    assert {each.identifiers.sop_instance_uid for each in decoded} == {"1.2.3.4"}


async def test_an_overlay_equals_that_of_the_plain_functions() -> None:
    """Drawing in another process changes nothing, and tensors before and after it are right."""
    pixels = read_radiograph(SMALL, MAX_PIXELS).pixels
    async with pool(workers=1) as decoders:
        drawn = await decoders.draw(SMALL, make_content(), soon())
        decoded = await decoders.prepare(SMALL, soon())
    assert drawn == encode_png_picture(draw_overlay(pixels, make_content()))
    np.testing.assert_array_equal(decoded.tensor, to_tensor(pixels))


async def test_an_overlay_has_the_limits_of_a_decoding() -> None:
    """A file that takes too long, too much memory or is none at all ends in the same way."""
    async with pool(workers=1, processor_s=0.05) as decoders:
        with pytest.raises(UnreadableRadiograph, match="too long"):
            await decoders.draw(slow_file(), make_content(), soon())
    async with pool(workers=1, memory_mb=256) as decoders:
        with pytest.raises(UnreadableRadiograph, match="memory"):
            await decoders.draw(encode_png(np.zeros((9_900, 9_900), np.uint16)), make_content(), soon())
        with pytest.raises(UnreadableRadiograph, match="neither DICOM, PNG nor JPEG"):
            await decoders.draw(b"text", make_content(), soon())
        assert await decoders.draw(SMALL, make_content(), soon())


async def test_a_large_radiograph_is_drawn_within_the_memory_of_a_worker() -> None:
    """Its pixels are made floats after they are resized."""
    file = encode_png(np.tile(make_gradient(9_000, 300, "u1", 255), (1, 30)))
    async with pool(workers=1) as decoders:
        assert (await decoders.draw(file, make_content(), soon())).startswith(b"\x89PNG")


async def test_a_worker_keeps_memory_for_the_next_file() -> None:
    """A file like the one before it fetches hardly any new pages, which took a quarter of the time."""
    file = make_dicom(make_gradient(2_000, 2_000))
    async with pool(workers=1) as decoders:
        (worker,) = find_workers()
        faults = []
        for _ in range(4):
            await decoders.prepare(file, soon())
            faults.append(page_faults_of(worker))
    assert faults[-1] - faults[-2] < 200


async def test_nothing_of_one_file_is_left_for_the_next() -> None:
    """A cut or empty file is not completed by the file before it, which was in the same memory."""
    large = make_dicom(make_gradient(3_000, 3_000))
    assert len(large) > 16 * 2**20
    async with pool(workers=1) as decoders:
        for complete in (SMALL, large):
            for part in (complete[:-20], b""):
                await decoders.prepare(complete, soon())
                with pytest.raises(UnreadableRadiograph):
                    await decoders.prepare(part, soon())


async def test_errors_keep_their_class_and_text() -> None:
    """An error in the worker is raised in the service, with the same class and text."""
    async with pool(workers=1) as decoders:
        with pytest.raises(UnreadableRadiograph, match="neither DICOM, PNG nor JPEG"):
            await decoders.prepare(b"text", soon())
        with pytest.raises(RefusedRadiograph, match=r"frames.*\(several_frames\)$") as refused:
            await decoders.prepare(make_dicom(NumberOfFrames=3), soon())
        assert refused.value.reason == "several_frames"
        with pytest.raises(RefusedRadiograph, match="blank"):
            await decoders.prepare(encode_png(np.zeros((9, 9), np.uint8)), soon())
        with pytest.raises(TooLarge):
            await decoders.prepare(make_png(60_000, 60_000, b"\0"), soon())


async def test_many_files_at_once_get_their_own_tensors() -> None:
    """Tensors are not mixed up."""
    files = [
        encode_png(make_gradient(300, 300) * (1 + i % 2))
        if i % 3
        else encode_png(make_gradient(250, 300).T.copy())
        for i in range(24)
    ]
    async with pool(max_waiting=24) as decoders:
        decoded = await asyncio.gather(*(decoders.prepare(file, soon()) for file in files))
    for file, one in zip(files, decoded, strict=True):
        np.testing.assert_array_equal(one.tensor, to_tensor(read_radiograph(file, MAX_PIXELS).pixels))


async def test_a_file_that_takes_too_long_is_refused_and_the_next_one_decoded() -> None:
    """A worker that hangs is replaced after its time limit."""
    async with pool(workers=1, timeout_s=0.2) as decoders:
        (before,) = find_workers()
        with pytest.raises(UnreadableRadiograph, match="too long"):
            await decoders.prepare(slow_file(), soon())
        assert (await decoders.prepare(SMALL, soon())).tensor.shape == (224, 224)
        assert find_workers() != [before]


async def test_a_small_file_that_takes_too_much_processor_time_is_refused() -> None:
    """The limit counts the time that the decoder works, not the time that it waits for a processor."""
    async with pool(workers=1, processor_s=0.05) as decoders:
        with pytest.raises(UnreadableRadiograph, match="too long"):
            await decoders.prepare(slow_file(), soon())
        assert (await decoders.prepare(SMALL, soon())).tensor.shape == (224, 224)


async def test_a_large_file_gets_processor_time_in_proportion() -> None:
    """A radiograph of many megabytes is decoded, with a limit that a small file would exceed."""
    noise = np.random.default_rng(0).integers(0, 2**16, (2_400, 2_400), np.uint16)
    async with pool(workers=1, processor_s=0.05) as decoders:
        assert (await decoders.prepare(make_dicom(noise), soon())).tensor.shape == (224, 224)


async def test_a_file_that_takes_too_much_memory_is_refused() -> None:
    """The worker's memory is limited, and the next file is decoded."""
    async with pool(workers=1, memory_mb=128) as decoders:
        with pytest.raises(UnreadableRadiograph):
            await decoders.prepare(large_radiograph(), soon())
        assert (await decoders.prepare(SMALL, soon())).tensor.shape == (224, 224)


async def test_a_worker_whose_codec_keeps_memory_is_replaced() -> None:
    """A file that failed for lack of memory takes none from later files, and no waiting file is refused."""
    colours = np.zeros((5000, 5000, 3), np.uint8)
    file = encapsulate_stream(make_lossless_colour_jpeg(*colours.shape[:2]), uid.JPEGLosslessSV1, colours)
    async with pool(workers=1, max_waiting=20) as decoders:
        before = find_workers()
        for _ in range(3):
            heavy, *small = await asyncio.gather(
                *(decoders.prepare(one, soon()) for one in (file, *[SMALL] * 9)), return_exceptions=True
            )
            assert isinstance(heavy, UnreadableRadiograph)
            for one in small:
                assert isinstance(one, DecodedRadiograph)
                np.testing.assert_array_equal(one.tensor, to_tensor(make_gradient(300, 300)))
        assert find_workers() != before


async def test_killed_idle_workers_are_replaced() -> None:
    """No file fails when all idle workers die."""
    async with pool() as decoders:
        for _ in range(5):
            for pid in find_workers():
                os.kill(pid, signal.SIGKILL)
            assert (await decoders.prepare(SMALL, soon())).tensor.shape == (224, 224)


async def test_a_file_whose_worker_is_killed_is_decoded_again() -> None:
    """A file gets its tensor when something outside kills its worker."""
    async with pool(workers=1) as decoders:
        decoding = asyncio.create_task(decoders.prepare(SMALL_AND_SLOW, soon()))
        await asyncio.sleep(0.1)
        for pid in find_workers():
            os.kill(pid, signal.SIGKILL)
        assert (await decoding).tensor.shape == (224, 224)


async def test_a_file_whose_worker_is_killed_late_is_decoded_again() -> None:
    """A kill says nothing about the file, even after more time than the limit of processor time."""
    async with pool(workers=1, processor_s=0.2) as decoders:
        (pid,) = find_workers()
        os.kill(pid, signal.SIGSTOP)
        decoding = asyncio.create_task(decoders.prepare(SMALL, soon()))
        await asyncio.sleep(0.5)
        os.kill(pid, signal.SIGKILL)
        assert (await decoding).tensor.shape == (224, 224)


SMALL_AND_SLOW = encode_png(np.tile(np.arange(3_000, dtype=np.uint16), (3_000, 1)))


async def test_a_killed_spawner_is_started_again() -> None:
    """The process that forks the workers may die too."""
    async with pool() as decoders:
        os.kill(find_spawner(), signal.SIGKILL)
        assert (await decoders.prepare(SMALL, soon())).tensor.shape == (224, 224)


async def test_too_many_waiting_files_are_refused_at_once() -> None:
    """The number of waiting files is limited."""
    async with pool(workers=1, max_waiting=1) as decoders:
        busy = [asyncio.create_task(decoders.prepare(SMALL_AND_SLOW, soon())) for _ in range(2)]
        await asyncio.sleep(0)
        began_s = time.monotonic()
        with pytest.raises(Overloaded):
            await decoders.prepare(SMALL, soon())
        assert time.monotonic() - began_s < 0.1
        assert len(await asyncio.gather(*busy)) == 2


async def test_a_deadline_is_kept_and_the_worker_survives() -> None:
    """A caller with little time gets its error in time. The worker finishes the file and is used again."""
    async with pool(workers=1) as decoders:
        (before,) = find_workers()
        began_s = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await decoders.prepare(slow_file(), Deadline.after(0.1))
        with pytest.raises(DeadlineExceeded):
            await decoders.prepare(SMALL, Deadline.after(0.05))
        assert time.monotonic() - began_s < 5
        assert (await decoders.prepare(SMALL, soon())).tensor.shape == (224, 224)
        assert find_workers() == [before]


async def test_cancelled_callers_leave_the_pool_complete() -> None:
    """The pool loses no worker when a caller is cancelled."""
    async with pool(max_waiting=50) as decoders:
        for pause_s in (0.0, 0.001, 0.01):
            tasks = [asyncio.create_task(decoders.prepare(SMALL, soon())) for _ in range(20)]
            await asyncio.sleep(pause_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        tensors = await asyncio.gather(*(decoders.prepare(SMALL, soon()) for _ in range(10)))
        assert len(tensors) == 10
        assert len(find_workers()) == 2


async def test_close_leaves_no_process() -> None:
    """Closing the pool ends the spawner and its workers, including those that decode a file."""
    async with pool() as decoders:
        started = [find_spawner(), *find_workers()]
        decoding = asyncio.create_task(decoders.prepare(slow_file(), soon()))
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable, match="stopping"):
        await decoding
    await _until_gone(started)


async def test_killed_service_leaves_no_process() -> None:
    """kill -9 of the service ends every worker, even one that decodes a file."""
    program = textwrap.dedent("""
        import asyncio, sys
        from tests.transformer.decoding.test_pool import pool, slow_file, soon
        async def main():
            async with pool() as decoders:
                print("ready", flush=True)
                while True:
                    await decoders.prepare(slow_file(), soon())
        asyncio.run(main())
    """)
    service = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert service.stdout is not None
    assert await asyncio.to_thread(service.stdout.readline) == b"ready\n"
    started = descendants(service.pid)
    assert len(started) == 3
    service.kill()
    await asyncio.to_thread(service.wait)
    service.stdout.close()
    await _until_gone(started)


async def test_workers_do_not_have_the_services_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads hostile files has no credentials."""
    monkeypatch.setenv("PLEURA_S3_SECRET_KEY", "planted-secret")
    async with pool(workers=1):
        for pid in find_workers():
            assert b"planted-secret" not in environment_of(pid)


async def _until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(20):
        while any(is_running(pid) for pid in pids):  # noqa: ASYNC110  # nothing signals the end
            await asyncio.sleep(0.05)
