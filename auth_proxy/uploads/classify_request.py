"""Read the body of ``POST /classify``: an id, or a file that waits in memory or on disk."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from tempfile import SpooledTemporaryFile
from typing import Final

from starlette.datastructures import UploadFile
from starlette.types import Receive

from auth_proxy.call import Call
from auth_proxy.request_body import read_body, stream_body
from auth_proxy.uploads.hints import SEND_FILE, V2_REQUEST, explain_kind
from auth_proxy.uploads.inference_body import InferenceBody, build_file_request, build_id_request
from auth_proxy.uploads.multipart import UploadedFile, open_file_part
from pleura.errors import InvalidRequest, Overloaded, TooLarge
from pleura.serving.byte_budget import ByteBudget

FILE_KINDS: Final = frozenset(
    {"application/dicom", "image/png", "image/jpeg", "image/jpg", "application/octet-stream"}
)
"""Content-types whose body is the file itself. They say no more: the bytes tell which format it is."""
_MULTIPART_KINDS: Final = frozenset({"multipart/form-data", "multipart/related"})
_MAX_JSON_BYTES: Final = 16384
_SMALL_BYTES: Final = 2**18


@asynccontextmanager
async def read_request(receive: Receive, call: Call, byte_budget: ByteBudget) -> AsyncIterator[InferenceBody]:
    """Read the caller's request, and hold its file during the ``async with`` block."""
    if call.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("the body must not be compressed")
    content_type = call.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        yield build_id_request(await _read_json(receive), call.request_id)
        return
    if kind not in FILE_KINDS | _MULTIPART_KINDS:
        raise InvalidRequest(explain_kind(kind))
    if "inference-header-content-length" in call.headers:
        raise InvalidRequest(V2_REQUEST)
    with reserve_memory(byte_budget, int(call.headers.get("content-length", 0))) as memory_bytes:
        async with _open_file(kind, content_type, stream_body(receive), memory_bytes) as uploaded:
            yield build_file_request(uploaded.file, call.request_id, uploaded.identifiers)


async def _read_json(receive: Receive) -> bytes:
    try:
        return await read_body(receive, _MAX_JSON_BYTES)
    except TooLarge as error:
        raise TooLarge(f"{error}; JSON only names an id, and base64 is not read: {SEND_FILE}") from error


def _open_file(
    kind: str, content_type: str, chunks: AsyncIterator[bytes], memory_bytes: int
) -> AbstractAsyncContextManager[UploadedFile]:
    if kind in _MULTIPART_KINDS:
        return open_file_part(content_type, chunks, memory_bytes)
    return open_whole_body(chunks, memory_bytes)


@asynccontextmanager
async def open_whole_body(chunks: AsyncIterator[bytes], memory_bytes: int) -> AsyncIterator[UploadedFile]:
    """Read a body that is the file itself, and hold it during the ``async with`` block."""
    with SpooledTemporaryFile(max_size=memory_bytes) as spooled:
        file = UploadFile(spooled, size=0)  # type: ignore[arg-type]  # starlette itself passes one
        async for chunk in chunks:
            await file.write(chunk)
        await file.seek(0)
        yield UploadedFile(file)


@contextmanager
def reserve_memory(byte_budget: ByteBudget, announced_bytes: int) -> Iterator[int]:
    """Reserve memory for an upload, and yield how many bytes of it may wait in memory.

    The rest waits on disk.
    """
    # disk costs a thread for each piece: half of the proxy's time for a file of 2 MB (docs/decisions/0019)
    with byte_budget.reservation() as reserve:
        try:
            reserve(announced_bytes)
        except Overloaded:
            announced_bytes = 0
        yield max(announced_bytes, _SMALL_BYTES)
