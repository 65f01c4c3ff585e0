"""Files that hold one secret each."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.secret_files import UnusableSecretFile, read_secret_file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a file that may be written."""
    return tmp_path_factory.mktemp("secret") / "planted"


@given(secret=st.text(min_size=1), end=st.sampled_from(["", "\n", "\r\n"]))
def test_any_text_is_a_secret(file: Path, secret: str, end: str) -> None:
    """One newline at the end is no part of it; everything else is."""
    if end == "" and secret.endswith("\n"):
        secret = secret.rstrip("\r\n") + "."
    if end == "\n" and secret.endswith("\r"):
        secret += "."
    file.write_bytes((secret + end).encode(errors="replace"))
    assert read_secret_file(file) == secret.encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"\r\n", "the file is empty"),
        (b"\xff", "the file is not UTF-8 text"),
        (b"x" * 65_537, "the file has more than 65,536 bytes"),
    ],
)
def test_a_file_without_a_secret_is_refused(file: Path, content: bytes, reason: str) -> None:
    """The reason quotes no content."""
    file.write_bytes(content)
    with pytest.raises(UnusableSecretFile) as caught:
        read_secret_file(file)
    assert str(caught.value) == reason


@pytest.mark.parametrize("path", ["", "/", "/nowhere/planted", "planted" * 1000])
def test_a_path_without_a_file_is_not_repeated(path: str) -> None:
    """By mistake the path may be the secret itself."""
    with pytest.raises(UnusableSecretFile, match=r"^the file cannot be read: [A-Z][a-z ]+$"):
        read_secret_file(Path(path))
