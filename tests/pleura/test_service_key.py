"""The key by which services know each other."""

import itertools
from pathlib import Path

import pytest

from pleura.errors import ServiceKeyRequired
from pleura.service_key import ServiceKeys
from pleura.settings import InvalidSettings
from predictor.settings import PredictorSettings

OLD, NEW, OTHER = ("old-" * 8, "new-" * 8, "another-" * 4)


def test_the_first_key_is_sent_and_all_are_accepted() -> None:
    """So keys can be changed while old and new services run together."""
    keys = ServiceKeys.parse(f"{NEW}\n{OLD}\n")
    assert keys.headers == {"x-pleura-service-key": NEW}
    for key in (NEW, OLD):
        keys.require([key.encode()])


def test_a_key_is_changed_without_a_refused_call() -> None:
    """During each step of docs/operate.md services of the step before and after it call each other."""
    steps = [ServiceKeys.parse(text) for text in (OLD, f"{OLD} {NEW}", f"{NEW} {OLD}", NEW)]
    for before, after in itertools.pairwise(steps):
        for caller, called in ((before, after), (after, before)):
            called.require([key.encode() for key in caller.headers.values()])


def test_a_key_is_introduced_without_a_refused_call() -> None:
    """First with trust in the network, so that callers without the key are answered meanwhile."""
    texts = (("", True), (NEW, True), (NEW, False))
    steps = [ServiceKeys.parse(text, trusts_network) for text, trusts_network in texts]
    for before, after in itertools.pairwise(steps):
        for caller, called in ((before, after), (after, before)):
            called.require([key.encode() for key in caller.headers.values()])


@pytest.mark.parametrize(
    "given",
    [
        [],
        [b""],
        [OTHER.encode()],
        [NEW[:-1].encode()],
        [NEW.encode() + b"x"],
        [NEW.encode()] * 2,
        [b"\xff" * 32],
    ],
)
def test_any_other_key_is_refused(given: list[bytes]) -> None:
    """None, a wrong one, a part of the right one, and the right one twice."""
    with pytest.raises(ServiceKeyRequired) as caught:
        ServiceKeys.parse(NEW).require(given)
    assert NEW not in str(caught.value)


def test_a_trusted_network_needs_no_key_but_refuses_a_wrong_one() -> None:
    """A wrong key is a mistake in the settings, which must show before the trust ends."""
    keys = ServiceKeys.parse(NEW, trusts_network=True)
    keys.require([])
    with pytest.raises(ServiceKeyRequired):
        keys.require([OLD.encode()])
    without_keys = ServiceKeys.parse("", trusts_network=True)
    without_keys.require([OLD.encode()])  # while keys are introduced, callers may have them first
    assert without_keys.headers == {}


def test_no_text_form_shows_a_key() -> None:
    """A value may reach a log."""
    assert NEW not in repr(ServiceKeys.parse(NEW))


def test_a_service_has_a_key_or_says_that_it_trusts_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default nobody is believed who merely reaches the port."""
    with pytest.raises(
        InvalidSettings, match=r"^PLEURA_SERVICE_KEY is required, or PLEURA_TRUST_NETWORK=true"
    ):
        PredictorSettings.read()
    monkeypatch.setenv("PLEURA_TRUST_NETWORK", "true")
    assert PredictorSettings.read().service_keys == ServiceKeys((), trusts_network=True)


@pytest.mark.parametrize("key", ["short", "a" * 31, f"{NEW} short", "\u00e4" * 32])
def test_a_weak_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Each key has 32 characters of ASCII or more."""
    monkeypatch.setenv("PLEURA_SERVICE_KEY", key)
    with pytest.raises(InvalidSettings, match=r"^PLEURA_SERVICE_KEY: ") as caught:
        PredictorSettings.read()
    assert key not in str(caught.value)


def test_a_file_may_hold_two_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One on each line, the new one first."""
    (tmp_path / "key").write_text(f"{NEW}\n{OLD}\n")
    monkeypatch.setenv("PLEURA_SERVICE_KEY_FILE", str(tmp_path / "key"))
    assert PredictorSettings.read().service_keys == ServiceKeys((NEW.encode(), OLD.encode()))
