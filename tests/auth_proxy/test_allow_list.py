"""Which paths there are, to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.allow_list import READ_SCOPE, ROUTES, find_route, require_host
from pleura.errors import InvalidRequest, MethodNotAllowed, NotFound, PleuraError
from proof.attacks.paths import UNKNOWN

ALLOWED = {
    ("GET", "/v2"): "v2_server",
    ("GET", "/v2/health/live"): "v2_live",
    ("HEAD", "/v2/health/live"): "v2_live",
    ("GET", "/v2/health/ready"): "v2_ready",
    ("HEAD", "/v2/health/ready"): "v2_ready",
    ("GET", "/v2/models"): "v2_models",
    ("GET", "/v2/models/chest-xray"): "v2_model",
    ("GET", "/v2/models/chest-xray/versions/1.0.0"): "v2_model",
    ("GET", "/v2/models/chest-xray/ready"): "v2_model_ready",
    ("HEAD", "/v2/models/chest-xray/ready"): "v2_model_ready",
    ("HEAD", "/v2/models/chest-xray/versions/1/ready"): "v2_model_ready",
    ("GET", "/v2/models/chest-xray/versions/1/ready"): "v2_model_ready",
    ("POST", "/v2/models/chest-xray/infer"): "v2_infer",
    ("POST", "/v2/models/chest-xray/versions/1/infer"): "v2_infer",
    ("POST", "/classify"): "classify",
    ("POST", "/feedback"): "feedback",
    ("GET", "/answers"): "answers_find",
    ("GET", "/answers/visit-4711"): "answers_show",
    ("GET", "/answers/a.b:c_d-1"): "answers_show",
    ("GET", "/answers/visit-4711/overlay"): "answers_overlay",
    ("GET", "/model-info"): "model_info",
    ("GET", "/healthz"): "healthz",
    ("HEAD", "/healthz"): "healthz",
    ("GET", "/readyz"): "readyz",
    ("HEAD", "/readyz"): "readyz",
    ("GET", "/openapi.json"): "openapi",
}
INFER = "/v2/models/chest-xray/infer"


@pytest.mark.parametrize(("request_line", "name"), ALLOWED.items())
def test_an_allowed_request_has_its_route(request_line: tuple[str, str], name: str) -> None:
    """Each verb and path of the list has its route."""
    verb, path = request_line
    assert find_route(verb, path.encode(), b"").name == name


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_any_other_path_is_unknown(verb: str, path: str) -> None:
    """Another spelling of a listed path is not found."""
    with pytest.raises(NotFound):
        find_route(verb, path.encode("latin-1"), b"")


@pytest.mark.parametrize("verb", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post"])
def test_any_other_verb_is_not_allowed(verb: str) -> None:
    """The error names the verbs of the path."""
    with pytest.raises(MethodNotAllowed) as caught:
        find_route(verb, INFER.encode(), b"")
    assert caught.value.headers == {"allow": "POST"}


def test_only_the_answers_take_a_query() -> None:
    """A query is an error everywhere else."""
    for verb, path in ALLOWED:
        if path.startswith("/answers"):
            assert "answered_to" in find_route(verb, path.encode(), b"answered_to=ris").query
        else:
            with pytest.raises(InvalidRequest):
                find_route(verb, path.encode(), b"a=b")


def test_all_routes_but_health_and_the_document_need_a_scope() -> None:
    """Only these routes are open to everybody: none names a version, and none is forwarded."""
    health = {"healthz", "readyz", "v2_live", "v2_ready", "v2_model_ready"}
    assert {route.name for route in ROUTES if route.scope is None} == {*health, "openapi"}
    assert not any(route.is_forwarded for route in ROUTES if route.scope is None)
    for path in (b"/v2/models/chest-xray/versions/1.0.0/ready", b"/v2/models/other/ready"):
        assert find_route("GET", path, b"").scope == READ_SCOPE


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/models/chest-xray:predict", "not V1"),
        ("/v1/models", "not V1"),
        ("/predict", "POST /classify"),
        ("/predictions/chest-xray", "POST /classify"),
        ("/v2/models/chest-xray/generate", "POST /v2/models/chest-xray/infer"),
        ("/invocations", "POST /classify"),
        ("/v2/repository/index", "callers change no models"),
        ("/classify/", "without a slash at its end"),
        (INFER + "/", "without a slash at its end"),
        ("/Classify", "in small letters"),
        ("/dicom-web/studies", "POST /classify takes DICOM files"),
        ("/health", "/healthz"),
        ("/docs", "/openapi.json"),
        ("/nothing", "/openapi.json lists all paths"),
        ("/" + "a" * 9000, "/openapi.json lists all paths"),
    ],
)
def test_an_unknown_path_is_explained(path: str, hint: str) -> None:
    """The error says where to go instead, and does not repeat the path."""
    with pytest.raises(NotFound, match="no such path: ") as caught:
        find_route("POST", path.encode(), b"")
    assert hint in str(caught.value)


@given(st.binary(max_size=600))
def test_a_hint_repeats_nothing_of_the_path(tail: bytes) -> None:
    """Whatever stands in a path, the hint is one of ours."""
    texts = set()
    for path in (b"/v1/" + tail, b"/" + tail + b"/predict"):
        try:
            find_route("GET", path, b"")
        except PleuraError as error:
            texts.add(str(error))
    assert all(text.startswith("no such path: ") and len(text) < 120 for text in texts)


@given(st.binary(max_size=80), st.sampled_from(["GET", "POST", "PUT"]))
def test_any_path_is_a_route_or_refused(path: bytes, verb: str) -> None:
    """A path that has a route has no byte that two programs could read differently."""
    try:
        find_route(verb, path, b"")
    except PleuraError:
        return
    assert not set(path) & set(b"%;#?\\ ")
    assert not any(odd in path for odd in (b"..", b"//"))


@pytest.mark.parametrize("host", ["pleura.example", "127.0.0.1:8000", "[::1]", "[::1]:8000", "localhost"])
def test_a_host_is_a_host(host: str) -> None:
    """Names and addresses, with or without a port, pass."""
    require_host([host.encode()])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["a", "a"],
        [""],
        ["a/b"],
        ["a?b"],
        ["a#b"],
        ["a@b"],
        ["a b"],
        ["a:0"],
        ["a:99999"],
        ["a:b"],
        ["a,b"],
        ["a\\b"],
    ],
)
def test_any_other_host_is_refused(hosts: list[str]) -> None:
    """A value that could move the path, or that names two servers, is refused."""
    with pytest.raises(InvalidRequest):
        require_host([host.encode() for host in hosts])
