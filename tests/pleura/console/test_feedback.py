"""The verdicts of ``pleura feedback``: how they are typed, and what is sent."""

import pytest

from pleura.console.app import main
from pleura.console.feedback import merge_verdicts, repeat_options
from pleura.console.output import CommandFailed


def test_one_option_takes_several_findings() -> None:
    """The findings of a verdict follow its option, up to the next option."""
    typed = ["id", "--blind", "--present", "Mass", "Hernia", "--absent", "Edema", "--position", "1"]
    assert list(repeat_options(typed)) == [
        *("id", "--blind", "--present", "Mass", "--present", "Hernia", "--absent", "Edema"),
        *("--position", "1"),
    ]


def test_a_finding_has_one_verdict() -> None:
    """Each finding is named once; no finding, or a finding with two verdicts, is refused."""
    verdicts = merge_verdicts(["Mass"], ["Edema"], ["Nodule"])
    assert verdicts == {"Mass": True, "Edema": False, "Nodule": None}
    for present, absent in ((), ()), (("Mass",), ("Mass",)), (("Mass", "Mass"), ()):
        with pytest.raises(CommandFailed, match="name each finding once"):
            merge_verdicts(present, absent, ())


def test_the_radiologist_says_whether_the_answer_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --seen or --blind the command is wrong usage."""
    assert main(["feedback", "id", "--present", "Mass"]) == 2
    assert "--seen" in capsys.readouterr().err
