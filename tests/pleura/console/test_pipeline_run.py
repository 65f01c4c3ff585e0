"""``pleura pipeline run`` before its first step."""

from pathlib import Path

import pytest

from pipelines.data.sources import NoSuchSource
from pipelines.run.parameters import SMALL_PARAMETERS
from pleura.console.pipeline_run import RunOptions, read_run_parameters
from pleura.local.dependencies import Server
from pleura.object_bucket import connect
from tests.support.pipelines.datasets import ACCESS_KEY, SECRET_KEY, row_of, write_folder


def test_a_run_needs_its_main_source_in_each_split(seaweed: Server, tmp_path: Path) -> None:
    """The error names the sources and the parameter, before the first step."""
    client = connect(seaweed.url, ACCESS_KEY, SECRET_KEY)
    rows = [row_of(f"{split}.png", split, source="theirs") for split in ("train", "val", "test")]
    theirs = RunOptions(SMALL_PARAMETERS, None, write_folder(tmp_path / "theirs", rows), None)
    with pytest.raises(NoSuchSource, match=r"'ours' \(its sources: theirs\); .* with main_source"):
        read_run_parameters(theirs, client)
    rows = [row | {"source": "ours"} for row in rows]
    ours = RunOptions(SMALL_PARAMETERS, None, write_folder(tmp_path / "ours", rows), None)
    assert read_run_parameters(ours, client).main_source == "ours"
