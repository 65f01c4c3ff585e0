"""``POST /classify``: take one radiograph by id or as a file, ask V2, and answer plain JSON."""

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
from auth_proxy.transformer_client import TransformerClient, build_transformer_headers, parse_refusal
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
_ERROR_PREFIX: Final = "element 0: "  # says nothing to a caller who asks about one radiograph


class _FormParser(MultiPartParser):
    def __init__(self, content_type: str, chunks: AsyncIterator[bytes], max_memory_bytes: int) -> None:
        super().__init__(Headers({"content-type": content_type}), chunks, max_files=1, max_fields=0)  # type: ignore[arg-type]
        self.spool_max_size = max_memory_bytes

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the file without a copy."""
        super().on_part_data(memoryview(data), start, end)  # type: ignore[arg-type]  # the parser only slices it

    async def parse(self) -> FormData:
        """Parse the form, and close at once every spooled file that is not a whole part of the form."""
        form = FormData()
        try:
            form = await super().parse()
        finally:
            complete = {id(part.file) for _, part in form.multi_items() if isinstance(part, UploadFile)}
            # a form that ends within a file reads as a form without that file, which would stay open
            for spooled in self._files_to_close_on_error:
                if id(spooled) not in complete:
                    spooled.close()
        return form


@dataclass(frozen=True)
class InferenceBody:
    """The body of a V2 inference request: its JSON, and the file that follows as a binary tensor."""

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
        """The bytes of the body."""
        return self.json if self.file is None else self._chunks(self.file)

    async def _chunks(self, file: UploadFile) -> AsyncIterator[bytes]:
        yield self.json + struct.pack("<I", self.file_bytes)
        # to send the file in one piece, or with fewer copies, gained nothing (docs/decisions/0021)
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk


def _build_json(request_id: str, infer_input: Mapping[str, Any]) -> bytes:
    outputs = [{"name": name} for name in _OUTPUTS]
    return json.dumps({"id": request_id, "inputs": [infer_input], "outputs": outputs}).encode()


def build_id_request(body: bytes, request_id: str) -> InferenceBody:
    """Build a request for the radiograph that ``{"image_id": ...}`` names.

    Raises:
        InvalidRequest: The body has another form.
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
    return InferenceBody(_build_json(request_id, tensor))


def build_file_request(file: UploadFile, request_id: str) -> InferenceBody:
    """Build a request for the radiograph in a file. The name of the file does not reach the transformer."""
    size = file.size or 0
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": size + 4},
    }
    return InferenceBody(_build_json(request_id, tensor), file, size)


@asynccontextmanager
async def _read_request(
    receive: Receive, call: Call, byte_budget: ByteBudget
) -> AsyncIterator[InferenceBody]:
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
            form = await _FormParser(content_type, stream_body(receive), memory_bytes).parse()
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


def _read_tensors(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    tensors = {output["name"]: output["data"] for output in document["outputs"]}
    sizes = {name: len(tensors[name]) for name in _OUTPUTS}
    if sizes != dict.fromkeys(_OUTPUTS, len(FINDINGS)) | {"typicality": 1}:
        raise ValueError(f"the outputs have the sizes {sizes}")
    return tensors


def build_answer(
    document: Mapping[str, Any], measured: Mapping[str, bool], request_id: str
) -> dict[str, Any]:
    """Build the plain JSON of a V2 answer about one radiograph.

    Raises:
        InvalidAnswer: The V2 answer is malformed.
    """
    try:
        tensors, parameters = _read_tensors(document), document["parameters"]
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
    """ASGI endpoint: answer the findings of one radiograph."""

    def __init__(self, transformer: TransformerClient, model_info: ModelInfo) -> None:
        self._transformer, self._model_info = transformer, model_info
        self._byte_budget = ByteBudget(_IN_MEMORY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        async with (
            _read_request(receive, call, self._byte_budget) as request,
            cancel_on_disconnect(receive, call),
        ):
            headers = request.headers | build_transformer_headers(call)
            response, content = await self._transformer.read("POST", _INFER_PATH, headers, request.content)
        if response.status_code != HTTPStatus.OK:
            raise parse_refusal(response, content, _ERROR_PREFIX)
        try:
            document = json.loads(content)
            digest = document["parameters"]["model_digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidAnswer("the transformer gives no valid answer") from error
        measured = await self._model_info.find_measured(str(digest), call)
        answer = build_answer(document, measured, call.request_id)
        call.model_version, call.model_digest = answer["model"]["version"], digest
        await JSONResponse(answer)(scope, receive, send)
