"""The targets of fuzzing: functions that read bytes from outside, each with its property.

A target takes any bytes. It returns a word, or raises one of our own errors. Any other exception is a
defect.
"""

import asyncio
import atexit
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final

import httptools
import kserve
from starlette.types import Message, Scope

from auth_proxy.call import attach_call
from auth_proxy.http_framing import AmbiguousRequest, parse_head
from auth_proxy.routes.classify import Classify
from auth_proxy.routes.model_info import ModelInfo
from auth_proxy.tokens.key_set import VerificationKey
from auth_proxy.tokens.trust import Trust
from auth_proxy.tokens.verification import parse_bearer, read_issuer, read_key_id, verify
from auth_proxy.transformer_client import TransformerClient
from pleura.errors import PleuraError
from pleura.serving.v2 import read_request
from pleura.serving.v2_tensors import array_of_input
from proof.fuzz.checkpoints import check_checkpoint, check_pickle
from proof.fuzz.other_reader import read_with_other_library
from proof.fuzz.seeds import SIGNING_KEY, make_token_seeds
from proof.lab.pictures import correlate, make_picture_tensor
from transformer import request as transformer_request
from transformer.decoding.decoded_radiograph import read_decoded
from transformer.decoding.worker import DECODED, ERRORS, decode
from transformer.object_id import ObjectId
from transformer.request import RequestLimits

MAX_PIXELS: Final = 100_000_000
INVERTED: Final = -0.5
_LIMITS: Final = RequestLimits(10.0, 32, 2**20)


class PropertyViolated(Exception):
    """A property of a target does not hold."""


_EXPECTED_TENSOR: Final = make_picture_tensor()


def check_file(file: bytes) -> str:
    """Check that a file gives a tensor or one of our errors, and never the negative of the picture."""
    kind, body = decode(file, MAX_PIXELS)
    if kind != DECODED:
        if kind > len(ERRORS) or not body.decode():
            raise PropertyViolated("an error without kind or message")
        return f"refused_{ERRORS[kind - 1].status}"
    tensor = read_decoded(body).tensor
    if correlate(tensor, _EXPECTED_TENSOR) > INVERTED:
        return "answered"
    # damage may give a valid file of the negative (MONOCHROME1): then another reader shows the same
    reference = read_with_other_library(file)
    if reference is None or correlate(tensor, reference) < INVERTED:
        raise PropertyViolated("a silent inversion")
    return "says_negative"


def check_v2(data: bytes) -> str:
    """Check that a V2 request gives tensors of the declared shape, or an error."""
    length = int.from_bytes(data[:2], "big")
    request = read_request(data[2:], length or None, "chest-xray", None)
    for infer_input in request.inputs:
        if list(array_of_input(infer_input).shape) != list(infer_input.shape):
            raise PropertyViolated("a tensor of another shape")
    radiographs = transformer_request.read_request(_ensure_id(request), {}, _LIMITS)
    return f"accepted_{type(radiographs.sources[0]).__name__}"


def _ensure_id(request: kserve.InferRequest) -> kserve.InferRequest:
    request.id = request.id or "1"
    return request


def check_object_id(data: bytes) -> str:
    """Check that an object id gives a key that is harmless in a path, or an error."""
    key = ObjectId.from_bytes(data).key
    if key.encode() != data or any(part in ("", ".", "..") for part in key.split("/")):
        raise PropertyViolated("a harmful key")
    return "accepted"


_TRUST: Final = Trust("https://issuer", frozenset({"pleura"}), 30)
_KEY: Final = VerificationKey(frozenset({"EdDSA"}), SIGNING_KEY.public_key())
_SIGNED: Final = {parse_bearer(seed.decode()).rpartition(".")[0] for seed in make_token_seeds()}


def check_token(data: bytes) -> str:
    """Check that a token is accepted only if its signed part was signed by us."""
    token = parse_bearer(data.decode("latin-1"))
    read_issuer(token)
    read_key_id(token)
    verify(token, _KEY, _TRUST, time.time())
    if token.rpartition(".")[0] not in _SIGNED:
        raise PropertyViolated("a forged token was accepted")
    return "accepted"


_LOOP: Final = asyncio.new_event_loop()
_UNREACHABLE: Final = TransformerClient("http://127.0.0.1:9", {})
_CLASSIFY: Final = Classify(_UNREACHABLE, ModelInfo(_UNREACHABLE))


def _close_connections() -> None:
    _LOOP.run_until_complete(_UNREACHABLE.close())
    _LOOP.close()


# One client for millions of runs; unclosed, aiohttp complains of it at the end of the process.
atexit.register(_close_connections)


def check_form(data: bytes) -> str:
    """Check that a form is sent on to the transformer, which does not exist here, or refused."""
    content_type, _, body = data.partition(b"\n")
    middle = len(body) // 2
    parts = [(body[:middle], True), (body[middle:], False)]

    async def receive() -> Message:
        if parts:
            content, more = parts.pop(0)
            return {"type": "http.request", "body": content, "more_body": more}
        call.body_end.set()
        return await asyncio.Future[Message]()

    async def send(_: Message) -> None:
        raise PropertyViolated("an answer without a transformer")

    scope: Scope = {"type": "http", "method": "POST", "path": "/classify", "headers": []}
    call = attach_call(scope)
    call.headers["content-type"] = content_type.decode("latin-1")
    _LOOP.run_until_complete(asyncio.wait_for(_CLASSIFY(scope, receive, send), 10))
    return "answered"


class _HeadReader:
    """Collects the header fields that httptools finds."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field."""
        self.fields.append((name, value.strip(b" \t")))


def check_head(data: bytes) -> str:
    """Check that an accepted head has clean line ends and one length, and that httptools reads it alike."""
    lines = data.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n\r\n"
    try:
        head = parse_head(lines)
    except AmbiguousRequest:
        return "refused"
    fields = [line.partition(b":") for line in head.fields.split(b"\r\n")[:-2]]
    names = [name.lower() for name, _, _ in fields]
    is_coded = b"transfer-encoding" in names
    if names.count(b"content-length") > 1 or (is_coded and b"content-length" in names):
        raise PropertyViolated("two lengths")
    if any(set(b"\r\n") & set(name + value) or name[:1] in (b" ", b"\t") for name, _, value in fields):
        raise PropertyViolated("an odd line end")
    reader = _HeadReader()
    # httptools raises this for an Upgrade field, when it has reported all fields.
    with contextlib.suppress(httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(reader).feed_data(b"GET / %b\r\n%b" % (head.version, head.fields))
    if reader.fields != [(name, value.strip(b" \t")) for name, _, value in fields]:
        raise PropertyViolated("httptools reads other fields")
    return "accepted"


TARGETS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "dicom": check_file,
    "png": check_file,
    "jpeg": check_file,
    "v2": check_v2,
    "form": check_form,
    "token": check_token,
    "head": check_head,
    "object_id": check_object_id,
    "checkpoint": check_checkpoint,
    "pickle": check_pickle,
}
"""The targets by name. Each returns one word for its outcome, which the campaign counts."""


def run_target(target: Callable[[bytes], str], data: bytes) -> str:
    """Run a target once. One of our own errors is a normal outcome.

    Raises:
        Exception: Any other exception, which is a defect.
    """
    try:
        return target(data)
    except PleuraError as error:
        return f"refused_{error.status}"
