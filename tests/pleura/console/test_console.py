"""The command ``pleura`` where no stack runs: its output and its exit codes."""

import shlex
from pathlib import Path

import pytest

from pleura.console.app import main


def test_without_a_stack_commands_fail_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command says in one line that no stack runs; only ``down`` succeeds."""
    state = ["--state", str(tmp_path)]
    assert main([*state, "down"]) == 0
    assert main([*state, "status"]) == 1
    assert main([*state, "token"]) == 1
    assert main([*state, "classify", "--id", "a.png"]) == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == ["nothing is running", "not running"]
    assert [line.split(":")[0] for line in output.err.splitlines()] == ["pleura", "pleura"]


def test_a_state_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the folder and the reason."""
    (tmp_path / "file").touch()
    assert main(["--state", str(tmp_path / "file" / "state"), "up"]) == 1
    output = capsys.readouterr().err
    assert output.startswith("pleura: the state folder ")
    assert output.count("\n") == 1


def test_an_object_store_needs_its_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An S3 server without keys is refused before anything starts."""
    assert main(["--state", str(tmp_path), "up", "--s3", "http://127.0.0.1:1"]) == 1
    assert "--s3-access-key" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_wrong_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the option."""
    assert main(["up", f"--port={port}"]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each radiograph, the error names the address."""
    (tmp_path / "a.png").write_bytes(b"x")
    arguments = ["classify", str(tmp_path / "a.png"), "b", "--url", "http://127.0.0.1:1", "--token", "t"]
    assert main(["--state", str(tmp_path), *arguments, "--output", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("http://127.0.0.1:1 does not answer" in line for line in lines)


OPTIONS = ["--url", "http://127.0.0.1:1", "--token", "t", "--no-overlay"]


@pytest.mark.parametrize(
    "name",
    ["/nowhere/a.png", "./a.png", "../nowhere/a.dcm", "~nobody/a", "nothere.png", "2026/b.DCM", "c\\d"],
)
def test_the_name_of_a_missing_file_is_not_sent_as_an_id(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is classified, and the error says how an id of that form is sent."""
    assert main(["--state", str(tmp_path), "classify", "an-id", name, *OPTIONS]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"pleura: there is no file {name}; ")
    assert error.endswith(f" --id {shlex.quote(name)}\n")
    assert "does not answer" not in error


def test_other_names_are_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that does not look like a file is an id. With --id any name is one, even that of a file."""
    (tmp_path / "a.png").touch()
    ids = ["--id", str(tmp_path / "a.png"), "--id", "2026/b.dcm"]
    assert main(["--state", str(tmp_path), "classify", "visit-1", *ids, *OPTIONS]) == 1
    assert capsys.readouterr().err.count("does not answer") == 3


def test_without_a_radiograph_nothing_is_classified(capsys: pytest.CaptureFixture[str]) -> None:
    """A file or an id is needed."""
    assert main(["classify", *OPTIONS]) == 2
    assert "FILE_OR_ID" in capsys.readouterr().err
