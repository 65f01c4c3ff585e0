"""Read the body of ``POST /classify``: an id, or a file that waits in memory or on disk."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.types import Receive

from auth_proxy.call import Call
from auth_proxy.request_body import read_body, stream_body
from auth_proxy.uploads.form import FormFileParser
from auth_proxy.uploads.inference_body import InferenceBody, build_file_request, build_id_request
from pleura.errors import InvalidRequest, Overloaded
from pleura.serving.byte_budget import ByteBudget

_MAX_JSON_BYTES: Final = 16384
_SMALL_BYTES: Final = 2**18


@asynccontextmanager
async def read_request(receive: Receive, call: Call, byte_budget: ByteBudget) -> AsyncIterator[InferenceBody]:
    """Read the caller's request, and hold its file during the ``async with`` block."""
    content_type = call.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if call.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("the body must not be compressed")
    if kind == "application/json":
        yield build_id_request(await read_body(receive, _MAX_JSON_BYTES), call.request_id)
        return
    if kind != "multipart/form-data":
        raise InvalidRequest("content-type must be application/json or multipart/form-data")
    with reserve_memory(byte_budget, int(call.headers.get("content-length", 0))) as memory_bytes:
        try:
            form = await FormFileParser(content_type, stream_body(receive), memory_bytes).parse()
        except MultiPartException as error:
            raise InvalidRequest("the body must be one multipart file with the name 'file'") from error
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise InvalidRequest("the body must be one multipart file with the name 'file'")
            yield build_file_request(file, call.request_id)
        finally:
            await form.close()


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
