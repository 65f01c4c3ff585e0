"""Where to go instead, for paths that callers of other servers try.

A text repeats nothing of the path (docs/decisions/0031).
"""

import re
from typing import Final

_V2: Final = "Pleura speaks V2: POST /v2/models/chest-xray/infer"
_PLAIN: Final = "plain HTTP is POST /classify"
_HINTS: Final = (
    # TensorFlow Serving and KServe V1: /v1/models/m:predict
    (re.compile(rb"/v1(?:/.*)?"), f"{_V2}, not V1; {_PLAIN}"),
    # Triton's repository and shared memory
    (re.compile(rb"/v2/(?:repository|systemsharedmemory|cudasharedmemory)/.*"), "callers change no models"),
    # Triton's generate, MLflow and Seldon's predict, TorchServe, SageMaker, BentoML, FastAPI
    (
        re.compile(
            rb"(?:/.*)?/(?:predict|predictions?|generate|generate_stream|invocations|infer|inference|score)(?:/.*)?"
        ),
        f"{_V2}; {_PLAIN}",
    ),
    (re.compile(rb"/(?:docs|redoc|swagger|openapi)(?:[./].*)?"), "the document is /openapi.json"),
    (re.compile(rb"/(?:health|livez?|live|ready|status|ping)"), "health is /healthz and /readyz"),
    (re.compile(rb"(?:/.*)?/(?:dicom-?web|wado|studies)(?:/.*)?"), "POST /classify takes DICOM files"),
)


def explain_path(raw_path: bytes, is_route: bool) -> str:
    """Say what is wrong with a path that no route has.

    Args:
        raw_path: The path of the request line.
        is_route: Whether a route has the path in small letters without slashes at its end.
    """
    hint = "/openapi.json lists all paths"
    if is_route:
        hint = "write it in small letters, without a slash at its end"
    else:
        for pattern, known in _HINTS:
            if pattern.fullmatch(raw_path):
                hint = known
                break
    return f"no such path: {hint}"
