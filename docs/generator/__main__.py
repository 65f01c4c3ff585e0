"""Write the generated pages, and the list of known variables: ``python -m docs.generator``."""

from collections.abc import Callable, Mapping
from typing import Final

from docs.generator.errors_page import write_errors_page
from docs.generator.known_variables import KNOWN_VARIABLES_MODULE, write_known_variables
from docs.generator.log_events_page import write_log_events_page
from docs.generator.settings_page import write_settings_page
from docs.generator.source_code import REFERENCE

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": write_settings_page,
    "errors.md": write_errors_page,
    "log-events.md": write_log_events_page,
}


def write_page(name: str) -> str:
    """Write one of the pages."""
    return f"<!-- Written by `make docs`. Do not edit. -->\n\n{PAGES[name]()}"


def main() -> None:
    """Write each page, and the list of known variables, into its file."""
    KNOWN_VARIABLES_MODULE.write_text(write_known_variables())
    for name in PAGES:
        (REFERENCE / name).write_text(write_page(name))


if __name__ == "__main__":
    main()
