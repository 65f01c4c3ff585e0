"""The command ``pleura`` where no stack runs: its output and its exit codes."""

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
    assert main([*state, "classify", "a.png"]) == 1
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


@pytest.mark.parametrize("name", ["/nowhere/a.png", "./a.png", "../nowhere/a.dcm", "~nobody/a"])
def test_the_path_of_a_missing_file_is_not_sent_as_an_id(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is classified, and the error names the file."""
    options = ["--url", "http://127.0.0.1:1", "--token", "t", "--no-overlay"]
    assert main(["--state", str(tmp_path), "classify", "an-id.png", name, *options]) == 2
    assert capsys.readouterr().err == f"pleura: there is no file {name}\n"


def test_other_names_are_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An id may look like the name of a file, and may hold slashes."""
    options = ["--url", "http://127.0.0.1:1", "--token", "t", "--no-overlay"]
    assert main(["--state", str(tmp_path), "classify", "a.png", "2026/b.dcm", *options]) == 1
    assert capsys.readouterr().err.count("does not answer") == 2
