"""Inference at the predictor: its one input, and its outputs."""

from tests.conformance.infer_cases import InferCase
from tests.conformance.question import Question, Tensor

_ONE_INPUT = "the model takes exactly one input, 'radiograph'"
_DATATYPE = "input 'radiograph' must be UINT8"
_SHAPE = "input 'radiograph' must have the shape [N, 224, 224, 1]"
_COUNT = "a request holds 1 to 32 radiographs"
_SIDE = 224 * 224


def _radiograph(rows: int = 1, **changes: object) -> Tensor:
    tensor: dict[str, object] = {
        "name": "radiograph",
        "elements": (100,) * (rows * _SIDE),
        "datatype": "UINT8",
        "shape": (rows, 224, 224, 1),
    }
    return Tensor(**(tensor | changes))  # type: ignore[arg-type]


def _case(
    name: str,
    status: int = 200,
    error: str = "",
    inputs: tuple[Tensor, ...] = (),
    only_raw: bool = False,
    **question: object,
) -> InferCase:
    asked = Question(inputs or (_radiograph(),), **question)  # type: ignore[arg-type]
    return InferCase(f"predictor-{name}", asked, status, error, None, only_raw=only_raw, hops=("predictor",))


CASES = (
    _case("defaults"),
    _case("id", id="p-1"),
    _case("version", version="0.0.1"),
    _case("all-outputs", outputs=("typicality", "activation_map", "threshold", "probability")),
    _case("two", inputs=(_radiograph(2),)),
    _case("unknown-version", 404, "no such version of the model is served", version="9"),
    _case("unknown-model", 404, "no model of that name is served", model="other"),
    _case("unknown-output", 400, "the model has no output of that name", outputs=("present",)),
    _case("unknown-input", 400, _ONE_INPUT, (_radiograph(name="image"),), outputs=("probability",)),
    _case("two-inputs", 400, _ONE_INPUT, (_radiograph(), _radiograph()), only_raw=True),
    _case("floats", 400, _DATATYPE, (_radiograph(datatype="FP32"),)),
    _case("bytes", 400, _DATATYPE, (_radiograph(elements=("a",), shape=(1,), datatype="BYTES"),)),
    _case("rank-3", 400, _SHAPE, (_radiograph(shape=(1, 224, 224)),)),
    _case("three-channels", 400, _SHAPE, (_radiograph(3, shape=(1, 224, 224, 3)),)),
    _case("another-side", 400, _SHAPE, (_radiograph(shape=(1, 448, 112, 1)),)),
    _case("none", 400, _COUNT, (_radiograph(0),)),
    _case("negative", 400, _COUNT, (_radiograph(shape=(-1, 224, 224, 1)),), only_raw=True),
    _case("33", 400, _COUNT, (_radiograph(shape=(33, 224, 224, 1)),), only_raw=True),
    _case(
        "too-few",
        400,
        "input 'radiograph' has 50176 elements, its shape [2, 224, 224, 1] says otherwise",
        (_radiograph(shape=(2, 224, 224, 1)),),
        only_raw=True,
    ),
)
