"""The pages of docs/reference say what the code has, no more and no less."""

import ast
import re
from typing import Final

import pytest

from docs.generator.__main__ import PAGES, write_page
from docs.generator.known_variables import KNOWN_VARIABLES_MODULE, find_variables, write_known_variables
from docs.generator.log_events_page import find_log_events
from docs.generator.source_code import REFERENCE, parse_modules, read_meanings
from pleura.known_variables import KNOWN_VARIABLES
from tests.docs.markdown import ROOT, headings

_METRIC_ROW: Final = re.compile(r"^\| (`pleura_\w+`(?:, `pleura_\w+`)*) \|", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_up_to_date(page: str) -> None:
    """The page is what ``make docs`` writes now."""
    assert (REFERENCE / page).read_text() == write_page(page), "run make docs"


def test_the_list_of_known_variables_is_up_to_date() -> None:
    """The list has every variable that a process reads, and no other."""
    assert find_variables() == KNOWN_VARIABLES, "run make docs"
    assert KNOWN_VARIABLES_MODULE.read_text() == write_known_variables(), "run make docs"


def test_only_settings_read_variables_of_pleura() -> None:
    """No other code names a variable of the environment, so the list of known variables is complete."""
    assert _find_variables_in_code() - KNOWN_VARIABLES == set()


def _find_variables_in_code() -> set[str]:
    strings = (
        node.value for _, tree in parse_modules() for node in ast.walk(tree) if isinstance(node, ast.Constant)
    )
    return {text for text in strings if isinstance(text, str) and re.fullmatch(r"PLEURA_\w+", text)}


def _metric_names() -> set[str]:
    """Give each name of a metric in the modules that declare metrics."""
    modules = (tree for module, tree in parse_modules() if module.endswith(".metrics"))
    strings = (node.value for tree in modules for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {name for name in strings if isinstance(name, str) and re.fullmatch(r"pleura_\w+", name)}


def test_every_metric_is_documented() -> None:
    """The page lists exactly the names that the code gives to metrics."""
    rows = _METRIC_ROW.findall((REFERENCE / "metrics.md").read_text())
    documented = {name for row in rows for name in re.findall(r"pleura_\w+", row)}
    assert documented == _metric_names()


def test_the_runbook_has_each_event_that_an_operator_can_act_on() -> None:
    """The headings of the runbook are these events; the link of the reference page leads to them."""
    meanings = read_meanings("event", find_log_events())
    found = headings((ROOT / "docs" / "operate.md").read_text())
    entries = {heading.text.strip("`") for heading in found if heading.text.startswith("`")}
    assert entries == {name for name, words in meanings.items() if words.get("act")}
