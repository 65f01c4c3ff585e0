"""The drift step's settings: rules come from the environment."""

import pytest

from pipelines.drift.settings import DriftSettings
from pleura.settings import InvalidSettings
from tests.pleura.test_settings import OBJECT_STORE


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OBJECT_STORE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PLEURA_JOURNAL_DSN", "postgresql://user:planted-secret@db/pleura")


def test_rules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule may be set without the others, or several as JSON; the rest keep what they are."""
    monkeypatch.setenv("PLEURA_DRIFT_RULES__MINIMUM", "300")
    monkeypatch.setenv("PLEURA_AUDIT_RULES", '{"half_width": 0.05}')
    settings = DriftSettings.read()
    assert (settings.drift_rules.minimum, settings.drift_rules.level) == (300, 0.05)
    assert (settings.audit_rules.half_width, settings.audit_rules.most) == (0.05, 400)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLEURA_DRIFT_RULES__LEVEL", "2"),
        ("PLEURA_DRIFT_IMAGES", "-1"),
        ("PLEURA_PUSHGATEWAY_URL", "gateway"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The error begins with the variable, one of a nested rule too."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=f"^{name}: "):
        DriftSettings.read()


def test_rules_that_are_no_json_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names them, in one line."""
    monkeypatch.setenv("PLEURA_AUDIT_RULES", "{half_width")
    with pytest.raises(InvalidSettings, match=r"audit_rules[^\n]*$"):
        DriftSettings.read()
