"""Names of environment variables."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.environment import describe_wrong_names, set_variables
from pleura.known_variables import KNOWN_VARIABLES

_OWN = frozenset({"PLEURA_HTTP_PORT", "PLEURA_S3_BUCKET"})
_NAMES = st.from_regex(r"PLEURA_[A-Z0-9_]{1,20}", fullmatch=True)


def links_of(service: str, port: int, protocol: str, port_name: str | None) -> dict[str, str]:
    """Make the variables that Kubernetes sets for a Service."""
    name = service.upper().replace("-", "_")
    address, each = f"{protocol}://10.0.0.1:{port}", f"{name}_PORT_{port}_{protocol.upper()}"
    links = {
        f"{name}_SERVICE_HOST": "10.0.0.1",
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_PORT": address,
        each: address,
        f"{each}_PROTO": protocol,
        f"{each}_PORT": str(port),
        f"{each}_ADDR": "10.0.0.1",
    }
    return links | ({f"{name}_SERVICE_PORT_{port_name.upper()}": str(port)} if port_name else {})


@given(
    st.from_regex(r"pleura(-[a-z0-9]{1,8}){0,3}", fullmatch=True),
    st.integers(1, 65535),
    st.sampled_from(["tcp", "udp", "sctp"]),
    st.none() | st.from_regex(r"[a-z]{1,8}", fullmatch=True),
)
def test_service_links_are_not_wrong(service: str, port: int, protocol: str, port_name: str | None) -> None:
    """Kubernetes sets them in every pod, whatever the pod reads."""
    assert describe_wrong_names(links_of(service, port, protocol, port_name), frozenset()) == []


def test_a_link_in_the_place_of_a_setting_is_explained() -> None:
    """The Service ``pleura-http`` sets PLEURA_HTTP_PORT, unless the pod does."""
    links = links_of("pleura-http", 80, "tcp", None)
    (description,) = describe_wrong_names(links, _OWN)
    assert description.startswith("PLEURA_HTTP_PORT: Kubernetes sets it")
    assert "enableServiceLinks: false" in description
    assert describe_wrong_names(links | {"PLEURA_HTTP_PORT": "8080"}, _OWN) == []


@pytest.mark.parametrize("name", ["PLEURA_SERVICE_HOST", "PLEURA_SERVICE_PORT", "PLEURA_PORT"])
def test_a_lone_variable_is_no_link(name: str) -> None:
    """Kubernetes sets host and port of a Service together."""
    assert len(describe_wrong_names({name: "8000"}, _OWN)) == 1


@given(st.dictionaries(_NAMES, st.text()))
def test_exactly_the_unknown_names_are_described(environment: dict[str, str]) -> None:
    """One line each, with a known name as the nearest one, and without the value."""
    unknown = environment.keys() - KNOWN_VARIABLES
    described = {each.partition(":")[0]: each for each in describe_wrong_names(environment, _OWN)}
    assert described.keys() == unknown
    for line in described.values():
        nearest = re.fullmatch(r"PLEURA_\w+: there is no such setting; the nearest is (PLEURA_\w+)", line)
        assert nearest
        assert nearest[1] in KNOWN_VARIABLES


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PLEURA_BUCKET", "PLEURA_S3_BUCKET"),
        ("PLEURA_JOURNAL_URL", "PLEURA_JOURNAL_DSN"),
        ("PLEURA_LOGLEVEL", "PLEURA_LOG_LEVEL"),
        ("PLEURA_TIMEOUT", "PLEURA_TIMEOUT_S"),
        ("PLEURA_MAX_FILE_SIZE_MB", "PLEURA_MAX_FILE_MB"),
    ],
)
def test_the_nearest_name_is_what_was_meant(name: str, nearest: str) -> None:
    """Mistakes that people make: a word left out, another word, no separator, no unit, one word more."""
    (description,) = describe_wrong_names({name: ""}, _OWN)
    assert description.endswith(f" {nearest}")


def test_other_variables_do_not_matter() -> None:
    """Only names with the prefix are Pleura's."""
    assert describe_wrong_names({"PATH": "", "PLEURAL": "", "MY_PLEURA_X": ""}, _OWN) == []


def test_a_variable_for_a_child_replaces_the_file_of_the_parent() -> None:
    """A child that got a secret must not meet the file of its parent's."""
    environment = {"PLEURA_S3_SECRET_KEY_FILE": "/run/secrets/s3", "PATH": "/bin"}
    set_variables(environment, {"PLEURA_S3_SECRET_KEY": "secret"})
    assert environment == {"PLEURA_S3_SECRET_KEY": "secret", "PATH": "/bin"}


def test_a_file_of_a_secret_replaces_an_inherited_secret() -> None:
    """With both set, the process would not start."""
    environment = {"PLEURA_SERVICE_KEY": "inherited", "PATH": "/bin"}
    set_variables(environment, {"PLEURA_SERVICE_KEY_FILE": "/run/key"})
    assert environment == {"PLEURA_SERVICE_KEY_FILE": "/run/key", "PATH": "/bin"}
