"""Inference requests to proxy and transformer, with the expected answers."""

from dataclasses import dataclass, field
from pathlib import Path

from proof.lab.transformer import make_radiograph_png
from tests.conformance.v2_request import Tensor, V2Request
from transformer.object_store import NO_SUCH_RADIOGRAPH

NOT_UTF8 = b"\x00\xff\xfeDICM\x80"
_SAMPLES = Path(__file__).parents[2] / "samples"
_ONE_INPUT = "the model takes exactly one input, either 'image_id' or 'image'"
_COUNT = "a request holds 1 to 32 radiographs"
_NO_MODEL = "no model of that name is served; the model's name is 'chest-xray'"
_NO_VERSION = "no such version of the model is served"


@dataclass(frozen=True)
class InferCase:
    """A request with its expected REST status and whole error text.

    ``radiograph`` names the stored radiograph whose findings are expected. ``impossible_transports`` cannot
    carry the request. ``only_raw`` is true if NVIDIA's client refuses to send the request.
    """

    name: str
    request: V2Request = field(default_factory=V2Request)
    status: int = 200
    error: str = ""
    radiograph: str | None = "r0.png"
    impossible_transports: tuple[str, ...] = ()
    only_raw: bool = False
    servers: tuple[str, ...] = ("proxy", "transformer")


def _build_tensor_case(case: str, status: int, error: str, **changes: object) -> InferCase:
    return InferCase(case, V2Request((Tensor(**changes),)), status, error)  # type: ignore[arg-type]


def _build_file_case(
    name: str, *files: bytes, status: int = 200, error: str = "", radiograph: str | None = None
) -> InferCase:
    return InferCase(name, V2Request((Tensor("image", files),)), status, error, radiograph)


_VALID = (
    InferCase("defaults"),
    InferCase("id", V2Request(id="i-1")),
    InferCase("id-odd", V2Request(id="a b/c?d=é·日本\N{CROSS OF LORRAINE}")),
    InferCase("id-256", V2Request(id="i" * 256)),
    InferCase("version", V2Request(version="0.0.1")),
    InferCase("one-output", V2Request(outputs=("present",))),
    InferCase("outputs-in-the-asked-order", V2Request(outputs=("threshold", "probability"))),
    InferCase(
        "all-outputs",
        V2Request(outputs=("activation_map", "threshold", "typicality", "present", "probability")),
    ),
    InferCase("activation-map", V2Request(outputs=("activation_map",))),
    InferCase("unknown-parameters", V2Request(parameters={"weight": 1, "who": "me", "sure": True})),
    InferCase("tensor-parameters", V2Request((Tensor(parameters={"note": "x"}),)), only_raw=True),
    InferCase("two-radiographs", V2Request((Tensor(elements=("r0.png", "r0.png")),))),
    InferCase("32-radiographs", V2Request((Tensor(elements=("r0.png",) * 32),))),
    _build_file_case("png", make_radiograph_png(0), radiograph="r0.png"),
    _build_file_case("two-files", make_radiograph_png(0), make_radiograph_png(0), radiograph="r0.png"),
    _build_file_case("dicom", (_SAMPLES / "nih_00000103_000.dcm").read_bytes()),
)
_IDS = (
    InferCase("id-257", V2Request(id="i" * 257), 400, "the request id must be 1 to 256 printable characters"),
    InferCase(
        "id-newline", V2Request(id="a\nb"), 400, "the request id must be 1 to 256 printable characters"
    ),
)
_MODELS = (
    InferCase("unknown-model", V2Request(model="other"), 404, _NO_MODEL),
    InferCase("unknown-version", V2Request(version="9.9.9"), 404, _NO_VERSION),
    InferCase("unknown-model-and-version", V2Request(model="other", version="0.0.1"), 404, _NO_MODEL),
)
_OUTPUTS = (
    InferCase(
        "unknown-output", V2Request(outputs=("probability", "y")), 400, "the model has no output of that name"
    ),
    InferCase("output-twice", V2Request(outputs=("present", "present")), 400, "an output is requested twice"),
    InferCase("output-without-name", V2Request(outputs=("",)), 400, "the model has no output of that name"),
)
_INPUTS = (
    InferCase("no-input", V2Request(()), 400, _ONE_INPUT),
    InferCase("both-inputs", V2Request((Tensor(), Tensor("image", ("x",)))), 400, _ONE_INPUT),
    InferCase("input-twice", V2Request((Tensor(), Tensor())), 400, _ONE_INPUT, only_raw=True),
    _build_tensor_case("unknown-input", 400, _ONE_INPUT, name="pixels"),
    _build_tensor_case("input-of-another-case", 400, _ONE_INPUT, name="Image_id"),
    _build_tensor_case("floats", 400, "input 'image_id' must be BYTES", datatype="FP32", elements=(1.0,)),
    _build_tensor_case("unsigned", 400, "input 'image_id' must be BYTES", datatype="UINT8", elements=(1,)),
    _build_tensor_case("integers", 400, "input 'image_id' must be BYTES", datatype="INT64", elements=(1,)),
    _build_tensor_case("booleans", 400, "input 'image_id' must be BYTES", datatype="BOOL", elements=(True,)),
    _build_tensor_case("scalar", 400, "input 'image_id' must have the shape [N]", shape=()),
    _build_tensor_case("rank-2", 400, "input 'image_id' must have the shape [N]", shape=(1, 1)),
    _build_tensor_case("rank-9", 400, "input 'image_id' must have the shape [N]", shape=(1,) * 9),
    _build_tensor_case("no-elements", 400, _COUNT, elements=()),
    _build_tensor_case("33-radiographs", 400, _COUNT, elements=("r0.png",) * 33),
    _build_tensor_case("1000-radiographs", 400, _COUNT, elements=("r0.png",) * 1000),
    _build_tensor_case(
        "empty-id", 400, "image_id is not valid: it must have 1 to 1024 bytes", elements=("",)
    ),
    _build_tensor_case(
        "id-of-1025-bytes",
        400,
        "element 1: image_id is not valid: it must have 1 to 1024 bytes",
        elements=("r0.png", "a" * 1025),
    ),
    _build_tensor_case(
        "traversal",
        400,
        "image_id is not valid: it has an empty, '.' or '..' segment",
        elements=("../etc/passwd",),
    ),
    _build_tensor_case("id-not-utf-8", 400, "image_id is not valid: it is not UTF-8", elements=(NOT_UTF8,)),
    _build_tensor_case("no-such-radiograph", 404, NO_SUCH_RADIOGRAPH, elements=("nosuch.png",)),
    _build_tensor_case(
        "one-of-two-is-not-there",
        404,
        f"element 1: {NO_SUCH_RADIOGRAPH}",
        elements=("r0.png", "nosuch.png"),
    ),
)
_SHAPES = tuple(
    InferCase(each.name, each.request, each.status, each.error, only_raw=True)
    for each in (
        _build_tensor_case("negative", 400, _COUNT, shape=(-1,)),
        _build_tensor_case("most-negative", 400, _COUNT, shape=(-(2**63),)),
        _build_tensor_case("huge", 400, _COUNT, shape=(2**63 - 1,)),
        _build_tensor_case("shape-0-data-1", 400, _COUNT, shape=(0,)),
        _build_tensor_case(
            "shape-2-data-1", 400, "input 'image_id' has 1 elements, its shape [2] says otherwise", shape=(2,)
        ),
        _build_tensor_case(
            "unknown-datatype", 400, "input 'image_id' has an unknown datatype", datatype="TEXT"
        ),
        _build_tensor_case(
            "datatype-in-lower-case", 400, "input 'image_id' has an unknown datatype", datatype="bytes"
        ),
        _build_tensor_case("no-datatype", 400, "input 'image_id' has an unknown datatype", datatype=""),
    )
)
_FILES = (
    _build_file_case(
        "text-file", b"This is no radiograph.", status=400, error="the file is neither DICOM, PNG nor JPEG"
    ),
    _build_file_case("not-utf-8-file", NOT_UTF8, status=400, error="the file is neither DICOM, PNG nor JPEG"),
    _build_file_case("empty-file", b"", status=400, error="the file is empty"),
    _build_file_case(
        "file-over-the-limit",
        b"\x00" * (2**20 + 1),
        status=413,
        error="the file exceeds 1048576 bytes",
    ),
)
CASES = (*_VALID, *_IDS, *_MODELS, *_OUTPUTS, *_INPUTS, *_SHAPES, *_FILES)
