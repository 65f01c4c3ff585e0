"""The drift step's settings: rules from the environment, secrets never in an error."""

import pytest

from pipelines.drift.settings import InvalidSettings, read_settings

NEEDED = {
    "PLEURA_JOURNAL_DSN": "postgresql://user:secret-1@db/pleura",
    "PLEURA_S3_URL": "http://s3:9000",
    "PLEURA_S3_ACCESS_KEY": "access",
    "PLEURA_S3_SECRET_KEY": "secret-2",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_rules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule may be set without the others, or several as JSON; the rest keep what they are."""
    monkeypatch.setenv("PLEURA_DRIFT_RULES__MINIMUM", "300")
    monkeypatch.setenv("PLEURA_AUDIT_RULES", '{"half_width": 0.05}')
    settings = read_settings()
    assert (settings.drift_rules.minimum, settings.drift_rules.level) == (300, 0.05)
    assert (settings.audit_rules.half_width, settings.audit_rules.most) == (0.05, 400)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLEURA_DRIFT_RULES__LEVEL", "2"),
        ("PLEURA_DRIFT_IMAGES", "-1"),
        ("PLEURA_S3_URL", "s3:9000"),
        ("PLEURA_PUSHGATEWAY_URL", "gateway"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The variable is named, no secret is quoted."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match="PLEURA_") as caught:
        read_settings()
    assert "secret" not in str(caught.value)


def test_settings_show_no_secret() -> None:
    """Printed or logged whole, they hide password and key."""
    assert "secret-" not in repr(read_settings())
