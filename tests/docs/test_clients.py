"""The pages of docs/clients work: each program runs as it is printed, against a real stack."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pydicom
import pytest

from pleura.findings import FINDINGS
from pleura.local.access import AUDIENCE, make_token
from pleura.local.processes import free_port
from proof.lab.module_process import stop_process
from proof.lab.proxy import Proxy, start_proxy
from proof.lab.running_stack import RunningStack, build_clean_environment
from tests.docs.client_programs import PROGRAMS, ClientProgram, read_code, run_program, save_programs
from tests.docs.markdown import ROOT

_KEY: Final = "nih_00000103_000.dcm"
_FILE: Final = ROOT / "samples" / "nih_00000362_001.png"
_CASES: Final = ("limited", "token", "film", "down")
_BY_NAME: Final = {program.page: program for program in PROGRAMS}

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs."""
    folder = tmp_path_factory.mktemp("clients")
    save_programs(folder)
    return folder


@pytest.fixture(scope="module")
def refused_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw image, which is not for people to look at."""
    film = pydicom.dcmread(ROOT / "samples" / _KEY)
    film.PresentationIntentType = "FOR PROCESSING"
    path = tmp_path_factory.mktemp("film") / "raw.dcm"
    film.save_as(path)
    return path


def start_second_proxy(stack: RunningStack, log: Path, rest_port: int, grpc_port: int, rate: float) -> Proxy:
    """Start another proxy for the tokens of the stack. Each principal may send one request, then ``rate``."""
    return start_proxy(
        log,
        free_port,
        transformer_url=f"http://127.0.0.1:{rest_port}",
        transformer_grpc=f"127.0.0.1:{grpc_port}",
        issuer=stack.record.issuer,
        audience=AUDIENCE,
        jwks_url=f"{stack.record.issuer}/jwks.json",
        service_key=stack.service_key,
        rate_per_s=rate,
        burst=1,
    )


@pytest.fixture(scope="module")
def limited_proxy(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that lets each principal send one request in three seconds."""
    ports = json.loads((stack.state.path / "ports.json").read_text())
    log = tmp_path_factory.mktemp("limited") / "log"
    proxy = start_second_proxy(stack, log, ports["transformer_http"], ports["transformer_grpc"], 1 / 3)
    yield proxy
    stop_process(proxy.process)


@pytest.fixture(scope="module")
def cut_off_proxy(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose transformer is down."""
    log = tmp_path_factory.mktemp("cut-off") / "log"
    proxy = start_second_proxy(stack, log, free_port(), free_port(), 2000.0)
    yield proxy
    stop_process(proxy.process)


@pytest.fixture(scope="module")
def runs(
    stack: RunningStack, limited_proxy: Proxy, cut_off_proxy: Proxy, folder: Path, refused_film: Path
) -> Iterator[Mapping[tuple[str, str], "Future[Run]"]]:
    """Each program in each case, some at one time: most of their time they wait."""
    addresses = {
        "limited": (limited_proxy.url, f"127.0.0.1:{limited_proxy.grpc_port}"),
        "down": (cut_off_proxy.url, f"127.0.0.1:{cut_off_proxy.grpc_port}"),
    }

    def run(program: ClientProgram, case: str) -> Run:
        rest, grpc = addresses.get(case, (stack.record.address, stack.record.grpc_address))
        token = make_token(stack.state.path, stack.record.issuer, subject=program.subject)
        settings = {
            "PLEURA_URL": rest,
            "GRPC_ADDRESS": grpc,
            "PLEURA_TOKEN": f"{token}x" if case == "token" else token,
        }
        file = refused_film if case == "film" else _FILE
        return run_program(program, folder, settings, _KEY, file)

    with ThreadPoolExecutor(6) as pool:
        yield {
            (program.page, case): pool.submit(run, program, case) for case in _CASES for program in PROGRAMS
        }


def count_findings(text: str) -> int:
    """Count the findings that a program has printed, as lines or as JSON."""
    return sum(len(re.findall(rf'(?m)^[* ] {name} \d\.\d{{3}}$|"name":"{name}"', text)) for name in FINDINGS)


@pytest.mark.parametrize("page", _BY_NAME)
def test_a_client_prints_the_findings_when_its_turn_comes(
    page: str, runs: Mapping[tuple[str, str], "Future[Run]"], limited_proxy: Proxy
) -> None:
    """The second film is refused with 429 first. The client waits as long as the answer says."""
    done = runs[page, "limited"].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert count_findings(done.stdout) == 2 * len(FINDINGS)
    lines = [json.loads(line) for line in limited_proxy.log.read_text().splitlines()]
    outcomes = [line["outcome"] for line in lines if line.get("principal") == _BY_NAME[page].subject]
    assert outcomes == ["answered", "too_many_requests", "answered"]


@pytest.mark.parametrize("page", _BY_NAME)
def test_a_client_ends_without_a_valid_token(
    page: str, runs: Mapping[tuple[str, str], "Future[Run]"]
) -> None:
    """It sends no further film, and says what to do."""
    done = runs[page, "token"].result()
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert re.match(r"(401|UNAUTHENTICATED) .*unauthenticated", done.stderr)
    assert done.stderr.endswith("get a new token\n")


@pytest.mark.parametrize("page", _BY_NAME)
def test_a_client_names_the_film_that_is_refused(
    page: str, runs: Mapping[tuple[str, str], "Future[Run]"]
) -> None:
    """The other film is answered. The line has the status, the code and the reason."""
    done = runs[page, "film"].result()
    assert done.returncode == 1, done.stderr
    assert count_findings(done.stdout) == len(FINDINGS)
    assert re.match(r"(422|FAILED_PRECONDITION) .*refused_radiograph.*for_processing", done.stderr)


@pytest.mark.parametrize("page", _BY_NAME)
def test_a_client_gives_up_when_pleura_stays_down(
    page: str, runs: Mapping[tuple[str, str], "Future[Run]"], cut_off_proxy: Proxy
) -> None:
    """It sends the same request five times under one id, and ends."""
    done = runs[page, "down"].result()
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"(503|UNAVAILABLE) .*unavailable", done.stderr)
    lines = [json.loads(line) for line in cut_off_proxy.log.read_text().splitlines()]
    ids = [line["request_id"] for line in lines if line.get("principal") == _BY_NAME[page].subject]
    assert len(ids) == 5
    assert len(set(ids)) == 1


def run_blocks(page: str, stack: RunningStack, *arguments: str) -> str:
    """Run the tested blocks of a page in one shell, and give what they print."""
    store = {f"S3_{name.upper()}": stack.record.store[name] for name in ("url", "access_key", "secret_key")}
    settings = {"PLEURA_URL": stack.record.address, "PLEURA_TOKEN": stack.make_token(), **store}
    blocks = [
        f"{sys.executable} - {' '.join(arguments)} <<'END'\n{code}END\n" if "import" in code else code
        for code in read_code(page)
    ]
    done = subprocess.run(
        ["bash", "-euc", "\n".join(blocks)],
        cwd=ROOT,
        env=build_clean_environment() | {"NO_PROXY": "127.0.0.1", "PATH": os.environ["PATH"]} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_films_get_into_the_bucket(stack: RunningStack) -> None:
    """Two clients put a film each, and Pleura answers both."""
    printed = run_blocks("bucket", stack)
    assert count_findings(printed) == 2 * len(FINDINGS)


def test_32_films_go_with_one_request(stack: RunningStack, tmp_path: Path) -> None:
    """Two of them do not exist. The other thirty are answered all the same."""
    (code,) = read_code("many-films")
    (tmp_path / "classify_many.py").write_text(code)
    keys = [_KEY, *(f"nowhere-{place}" for place in range(2)), *[_FILE.name] * 29]
    settings = {"PLEURA_URL": stack.record.address, "PLEURA_TOKEN": stack.make_token()}
    done = subprocess.run(
        [sys.executable, "classify_many.py", *keys],
        cwd=tmp_path,
        env=build_clean_environment() | {"NO_PROXY": "127.0.0.1"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    answered = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert answered[:30] == [_KEY, *[_FILE.name] * 29]
    refused = [line.partition(": ")[0] for line in done.stderr.splitlines()]
    assert refused == ["nowhere-0", "nowhere-1"]
    assert "radiograph_not_found" in done.stderr
