"""The HTML pages: one environment and one base template, so that all reports look alike.

A page stands alone. It has no script and loads nothing from elsewhere.
"""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.reports.formats import (
    finding_text,
    format_estimate,
    format_interval,
    format_small,
)

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("pipelines.reports"),
    # Versions of models and descriptions of data sets come from outside.
    autoescape=True,
    # A misspelt value would otherwise be an empty cell.
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    estimate=format_estimate,
    finding=finding_text,
    interval=format_interval,
    small=format_small,
)


def render_page(template: str, **values: Any) -> str:
    """Render a template of this package as a page of HTML.

    Args:
        template: The name of the template, such as ``drift``.
        values: Every value that the template uses; a missing one is an error.
    """
    return _ENVIRONMENT.get_template(f"{template}.html.jinja").render(**values)
