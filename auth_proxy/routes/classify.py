"""``POST /classify``: one radiograph by id or as a file, its findings as plain JSON; V2 behind it."""

import json
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.request_body import cancel_on_disconnect, read_body, stream_body
from auth_proxy.routes.model_info import ModelInfo
from auth_proxy.transformer_client import TransformerClient, hop_headers, refusal_of
from pleura.errors import InvalidAnswer, InvalidRequest, Overloaded
from pleura.findings import FINDINGS
from pleura.http_client import Content
from pleura.serving.byte_budget import ByteBudget

_INFER_PATH: Final = "/v2/models/chest-xray/infer"
_OUTPUTS: Final = ("probability", "present", "threshold", "typicality")
_MAX_JSON_BYTES: Final = 16384
_MAX_ID_BYTES: Final = 1024
_CHUNK_BYTES: Final = 2**18
_SMALL_BYTES: Final = 2**18
_IN_MEMORY_BYTES: Final = 16 * 2**20
_ELEMENT: Final = "element 0: "  # who asks about one radiograph need not be told which one


class _Parser(MultiPartParser):
    def __init__(self, content_type: str, chunks: AsyncIterator[bytes], most_in_memory: int) -> None:
        super().__init__(Headers({"content-type": content_type}), chunks, max_files=1, max_fields=0)  # type: ignore[arg-type]
        self.spool_max_size = most_in_memory

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece without a copy of its own."""
        super().on_part_data(memoryview(data), start, end)  # type: ignore[arg-type]  # slices are all it takes

    async def parse(self) -> FormData:
        """Read the form; what was spooled and is no whole part of it is gone at once."""
        form = FormData()
        try:
            form = await super().parse()
        finally:
            whole = {id(part.file) for _, part in form.multi_items() if isinstance(part, UploadFile)}
            for spooled in self._files_to_close_on_error:
                if id(spooled) not in whole:
                    spooled.close()
        return form


@dataclass(frozen=True)
class UpstreamRequest:
    """A V2 inference request: its JSON, the file that follows as a binary tensor, and their lengths."""

    json: bytes
    file: UploadFile | None = None
    file_bytes: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers that describe the body."""
        if self.file is None:
            return {"content-type": "application/json"}
        return {
            "content-type": "application/octet-stream",
            "content-length": str(len(self.json) + 4 + self.file_bytes),
            "inference-header-content-length": str(len(self.json)),
        }

    @property
    def content(self) -> Content:
        """The body."""
        return self.json if self.file is None else self._chunks(self.file)

    async def _chunks(self, file: UploadFile) -> AsyncIterator[bytes]:
        yield self.json + struct.pack("<I", self.file_bytes)
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk


def _json_of(request_id: str, infer_input: Mapping[str, Any]) -> bytes:
    outputs = [{"name": name} for name in _OUTPUTS]
    return json.dumps({"id": request_id, "inputs": [infer_input], "outputs": outputs}).encode()


def ask_by_id(body: bytes, request_id: str) -> UpstreamRequest:
    """Ask about the radiograph that ``{"image_id": ...}`` names.

    Raises:
        InvalidRequest: The body is something else.
    """
    try:
        document = json.loads(body)
        image_id = document["image_id"]
        size = len(image_id.encode())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest('the body must be {"image_id": "..."}') from error
    if len(document) > 1 or not 0 < size <= _MAX_ID_BYTES:
        raise InvalidRequest(f'the body must be {{"image_id": "..."}}, of 1 to {_MAX_ID_BYTES} bytes')
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [image_id]}
    return UpstreamRequest(_json_of(request_id, tensor))


def ask_by_file(file: UploadFile, request_id: str) -> UpstreamRequest:
    """Ask about the radiograph that a file holds; what the file is called goes no further."""
    size = file.size or 0
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": size + 4},
    }
    return UpstreamRequest(_json_of(request_id, tensor), file, size)


@asynccontextmanager
async def _question(receive: Receive, call: Call, room: ByteBudget) -> AsyncIterator[UpstreamRequest]:
    content_type = call.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if call.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("the body must not be compressed")
    if kind == "application/json":
        yield ask_by_id(await read_body(receive, _MAX_JSON_BYTES), call.request_id)
        return
    if kind != "multipart/form-data":
        raise InvalidRequest("content-type must be application/json or multipart/form-data")
    with most_in_memory(room, int(call.headers.get("content-length", 0))) as most:
        try:
            form = await _Parser(content_type, stream_body(receive), most).parse()
        except MultiPartException as error:
            raise InvalidRequest("the body must be one multipart file of the name 'file'") from error
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise InvalidRequest("the body must be one multipart file of the name 'file'")
            yield ask_by_file(file, call.request_id)
        finally:
            await form.close()


@contextmanager
def most_in_memory(room: ByteBudget, announced_bytes: int) -> Iterator[int]:
    """How much of an upload waits in memory: all of it where there is room for what is announced.

    What goes to disk costs a thread for each piece, and so half of the proxy's time for a file of 2 MB.
    """
    with room.reservation() as reserve:
        try:
            reserve(announced_bytes)
        except Overloaded:
            announced_bytes = 0
        yield max(announced_bytes, _SMALL_BYTES)


def _tensors(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    tensors = {output["name"]: output["data"] for output in document["outputs"]}
    sizes = {name: len(tensors[name]) for name in _OUTPUTS}
    if sizes != dict.fromkeys(_OUTPUTS, len(FINDINGS)) | {"typicality": 1}:
        raise ValueError(f"the outputs have the sizes {sizes}")
    return tensors


def answer_of(document: Mapping[str, Any], measured: Mapping[str, bool], request_id: str) -> dict[str, Any]:
    """Say a V2 answer about one radiograph in plain JSON.

    Raises:
        InvalidAnswer: It is no such answer.
    """
    try:
        tensors, parameters = _tensors(document), document["parameters"]
        findings = [
            {
                "name": name,
                "probability": tensors["probability"][position],
                "present": bool(tensors["present"][position]),
                "threshold": tensors["threshold"][position],
                "measured": measured.get(name),
            }
            for position, name in enumerate(FINDINGS)
        ]
        return {
            "request_id": request_id,
            "model": {
                "name": document["model_name"],
                "version": document["model_version"],
                "digest": parameters["model_digest"],
            },
            "preprocessing_version": parameters["preprocessing_version"],
            "typicality": tensors["typicality"][0],
            "journal": parameters["journal"],
            "cached": parameters["cached"],
            "findings": findings,
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidAnswer("the transformer gives no valid answer") from error


class Classify:
    """ASGI endpoint: the findings of one radiograph."""

    def __init__(self, upstream: TransformerClient, model_info: ModelInfo) -> None:
        self._upstream, self._model_info = upstream, model_info
        self._room = ByteBudget(_IN_MEMORY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        async with _question(receive, call, self._room) as question, cancel_on_disconnect(receive, call):
            headers = question.headers | hop_headers(call)
            response, content = await self._upstream.read("POST", _INFER_PATH, headers, question.content)
        if response.status_code != HTTPStatus.OK:
            raise refusal_of(response, content, _ELEMENT)
        try:
            document = json.loads(content)
            digest = document["parameters"]["model_digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidAnswer("the transformer gives no valid answer") from error
        measured = await self._model_info.measured_of(str(digest), call)
        answer = answer_of(document, measured, call.request_id)
        call.model_version, call.model_digest = answer["model"]["version"], digest
        await JSONResponse(answer)(scope, receive, send)
