"""Inference requests to the predictor, with the expected answers."""

from tests.conformance.infer_cases import InferCase
from tests.conformance.v2_request import Tensor, V2Request

_ONE_INPUT = "the model takes exactly one input, 'radiograph'"
_DATATYPE = "input 'radiograph' must be UINT8"
_SHAPE = "input 'radiograph' must have the shape [N, 224, 224, 1]"
_COUNT = "a request holds 1 to 32 radiographs"
_SIDE = 224 * 224
_ALL_OUTPUTS = ("input_flags", "distance", "typicality", "activation_map", "threshold", "probability")


def _build_radiograph_tensor(rows: int = 1, **changes: object) -> Tensor:
    tensor: dict[str, object] = {
        "name": "radiograph",
        "elements": (100,) * (rows * _SIDE),
        "datatype": "UINT8",
        "shape": (rows, 224, 224, 1),
    }
    return Tensor(**(tensor | changes))  # type: ignore[arg-type]


def _build_case(
    name: str,
    status: int = 200,
    error: str = "",
    inputs: tuple[Tensor, ...] = (),
    only_raw: bool = False,
    **members: object,
) -> InferCase:
    request = V2Request(inputs or (_build_radiograph_tensor(),), **members)  # type: ignore[arg-type]
    return InferCase(
        f"predictor-{name}", request, status, error, None, only_raw=only_raw, servers=("predictor",)
    )


CASES = (
    _build_case("defaults"),
    _build_case("id", id="p-1"),
    _build_case("version", version="0.0.1"),
    _build_case("all-outputs", outputs=_ALL_OUTPUTS),
    _build_case("two", inputs=(_build_radiograph_tensor(2),)),
    _build_case("unknown-version", 404, "no such version of the model is served", version="9"),
    _build_case(
        "unknown-model",
        404,
        "no model of that name is served; the model's name is 'chest-xray'",
        model="other",
    ),
    _build_case("unknown-output", 400, "the model has no output of that name", outputs=("present",)),
    _build_case(
        "unknown-input", 400, _ONE_INPUT, (_build_radiograph_tensor(name="image"),), outputs=("probability",)
    ),
    _build_case(
        "two-inputs", 400, _ONE_INPUT, (_build_radiograph_tensor(), _build_radiograph_tensor()), only_raw=True
    ),
    _build_case("floats", 400, _DATATYPE, (_build_radiograph_tensor(datatype="FP32"),)),
    _build_case(
        "bytes", 400, _DATATYPE, (_build_radiograph_tensor(elements=("a",), shape=(1,), datatype="BYTES"),)
    ),
    _build_case("rank-3", 400, _SHAPE, (_build_radiograph_tensor(shape=(1, 224, 224)),)),
    _build_case("three-channels", 400, _SHAPE, (_build_radiograph_tensor(3, shape=(1, 224, 224, 3)),)),
    _build_case("another-side", 400, _SHAPE, (_build_radiograph_tensor(shape=(1, 448, 112, 1)),)),
    _build_case("none", 400, _COUNT, (_build_radiograph_tensor(0),)),
    _build_case("negative", 400, _COUNT, (_build_radiograph_tensor(shape=(-1, 224, 224, 1)),), only_raw=True),
    _build_case("33", 400, _COUNT, (_build_radiograph_tensor(shape=(33, 224, 224, 1)),), only_raw=True),
    _build_case(
        "too-few",
        400,
        "input 'radiograph' has 50176 elements, its shape [2, 224, 224, 1] says otherwise",
        (_build_radiograph_tensor(shape=(2, 224, 224, 1)),),
        only_raw=True,
    ),
)
