"""Inference at proxy and transformer: what is asked, and what comes of it."""

from dataclasses import dataclass, field
from pathlib import Path

from proof.lab.transformer import make_radiograph_png
from tests.conformance.question import Question, Tensor

NOT_UTF8 = b"\x00\xff\xfeDICM\x80"
_SAMPLES = Path(__file__).parents[2] / "samples"
_ONE_INPUT = "the model takes exactly one input, either 'image_id' or 'image'"
_COUNT = "a request holds 1 to 32 radiographs"
_NO_MODEL = "no model of that name is served"
_NO_VERSION = "no such version of the model is served"


@dataclass(frozen=True)
class InferCase:
    """A question, and its answer: the status that REST has, and the whole text of the error.

    ``radiograph`` names the stored one whose findings must come; ``not_over`` the transports that cannot
    carry the question; ``only_raw`` says that NVIDIA's client would not send it.
    """

    name: str
    question: Question = field(default_factory=Question)
    status: int = 200
    error: str = ""
    radiograph: str | None = "r0.png"
    not_over: tuple[str, ...] = ()
    only_raw: bool = False
    hops: tuple[str, ...] = ("proxy", "transformer")


def _tensor(case: str, status: int, error: str, **changes: object) -> InferCase:
    return InferCase(case, Question((Tensor(**changes),)), status, error)  # type: ignore[arg-type]


def _file(
    name: str, *files: bytes, status: int = 200, error: str = "", radiograph: str | None = None
) -> InferCase:
    return InferCase(name, Question((Tensor("image", files),)), status, error, radiograph)


_VALID = (
    InferCase("defaults"),
    InferCase("id", Question(id="i-1")),
    InferCase("id-odd", Question(id="a b/c?d=é·日本\N{CROSS OF LORRAINE}")),
    InferCase("id-256", Question(id="i" * 256)),
    InferCase("version", Question(version="0.0.1")),
    InferCase("one-output", Question(outputs=("present",))),
    InferCase("outputs-in-the-asked-order", Question(outputs=("threshold", "probability"))),
    InferCase(
        "all-outputs",
        Question(outputs=("activation_map", "threshold", "typicality", "present", "probability")),
    ),
    InferCase("activation-map", Question(outputs=("activation_map",))),
    InferCase("unknown-parameters", Question(parameters={"weight": 1, "who": "me", "sure": True})),
    InferCase("tensor-parameters", Question((Tensor(parameters={"note": "x"}),)), only_raw=True),
    InferCase("two-radiographs", Question((Tensor(elements=("r0.png", "r0.png")),))),
    InferCase("32-radiographs", Question((Tensor(elements=("r0.png",) * 32),))),
    _file("png", make_radiograph_png(0), radiograph="r0.png"),
    _file("two-files", make_radiograph_png(0), make_radiograph_png(0), radiograph="r0.png"),
    _file("dicom", (_SAMPLES / "nih_00000103_000.dcm").read_bytes()),
)
_IDS = (
    InferCase("id-257", Question(id="i" * 257), 400, "the request id must be 1 to 256 printable characters"),
    InferCase("id-newline", Question(id="a\nb"), 400, "the request id must be 1 to 256 printable characters"),
)
_MODELS = (
    InferCase("unknown-model", Question(model="other"), 404, _NO_MODEL),
    InferCase("unknown-version", Question(version="9.9.9"), 404, _NO_VERSION),
    InferCase("unknown-model-and-version", Question(model="other", version="0.0.1"), 404, _NO_MODEL),
)
_OUTPUTS = (
    InferCase(
        "unknown-output", Question(outputs=("probability", "y")), 400, "the model has no output of that name"
    ),
    InferCase("output-twice", Question(outputs=("present", "present")), 400, "an output is requested twice"),
    InferCase("output-without-name", Question(outputs=("",)), 400, "the model has no output of that name"),
)
_INPUTS = (
    InferCase("no-input", Question(()), 400, _ONE_INPUT),
    InferCase("both-inputs", Question((Tensor(), Tensor("image", ("x",)))), 400, _ONE_INPUT),
    InferCase("input-twice", Question((Tensor(), Tensor())), 400, _ONE_INPUT, only_raw=True),
    _tensor("unknown-input", 400, _ONE_INPUT, name="pixels"),
    _tensor("input-of-another-case", 400, _ONE_INPUT, name="Image_id"),
    _tensor("floats", 400, "input 'image_id' must be BYTES", datatype="FP32", elements=(1.0,)),
    _tensor("unsigned", 400, "input 'image_id' must be BYTES", datatype="UINT8", elements=(1,)),
    _tensor("integers", 400, "input 'image_id' must be BYTES", datatype="INT64", elements=(1,)),
    _tensor("booleans", 400, "input 'image_id' must be BYTES", datatype="BOOL", elements=(True,)),
    _tensor("scalar", 400, "input 'image_id' must have the shape [N]", shape=()),
    _tensor("rank-2", 400, "input 'image_id' must have the shape [N]", shape=(1, 1)),
    _tensor("rank-9", 400, "input 'image_id' must have the shape [N]", shape=(1,) * 9),
    _tensor("no-elements", 400, _COUNT, elements=()),
    _tensor("33-radiographs", 400, _COUNT, elements=("r0.png",) * 33),
    _tensor("1000-radiographs", 400, _COUNT, elements=("r0.png",) * 1000),
    _tensor(
        "empty-id", 400, "element 0: image_id is not valid: it must have 1 to 1024 bytes", elements=("",)
    ),
    _tensor(
        "id-of-1025-bytes",
        400,
        "element 1: image_id is not valid: it must have 1 to 1024 bytes",
        elements=("r0.png", "a" * 1025),
    ),
    _tensor(
        "traversal",
        400,
        "element 0: image_id is not valid: it has an empty, '.' or '..' segment",
        elements=("../etc/passwd",),
    ),
    _tensor("id-not-utf-8", 400, "element 0: image_id is not valid: it is not UTF-8", elements=(NOT_UTF8,)),
    _tensor("no-such-radiograph", 404, "no radiograph of that id", elements=("nosuch.png",)),
    _tensor(
        "one-of-two-is-not-there",
        404,
        "element 1: no radiograph of that id",
        elements=("r0.png", "nosuch.png"),
    ),
)
_SHAPES = tuple(
    InferCase(each.name, each.question, each.status, each.error, only_raw=True)
    for each in (
        _tensor("negative", 400, _COUNT, shape=(-1,)),
        _tensor("most-negative", 400, _COUNT, shape=(-(2**63),)),
        _tensor("huge", 400, _COUNT, shape=(2**63 - 1,)),
        _tensor("shape-0-data-1", 400, _COUNT, shape=(0,)),
        _tensor(
            "shape-2-data-1", 400, "input 'image_id' has 1 elements, its shape [2] says otherwise", shape=(2,)
        ),
        _tensor("unknown-datatype", 400, "input 'image_id' has an unknown datatype", datatype="TEXT"),
        _tensor(
            "datatype-in-lower-case",
            400,
            "input 'image_id' has an unknown datatype",
            datatype="bytes",
        ),
        _tensor("no-datatype", 400, "input 'image_id' has an unknown datatype", datatype=""),
    )
)
_FILES = (
    _file(
        "text-file", b"This is no radiograph.", status=400, error="the file is neither DICOM, PNG nor JPEG"
    ),
    _file("not-utf-8-file", NOT_UTF8, status=400, error="the file is neither DICOM, PNG nor JPEG"),
    _file("empty-file", b"", status=400, error="the file is empty"),
    _file(
        "file-over-the-limit",
        b"\x00" * (2**20 + 1),
        status=413,
        error="element 0: the file exceeds 1048576 bytes",
    ),
)
CASES = (*_VALID, *_IDS, *_MODELS, *_OUTPUTS, *_INPUTS, *_SHAPES, *_FILES)
