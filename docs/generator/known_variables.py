"""The module ``pleura.known_variables``, from the classes that read the environment."""

from typing import Final

from docs.generator.settings_page import settings_classes
from docs.generator.source_code import ROOT
from pleura.settings import PleuraSettings

KNOWN_VARIABLES_MODULE: Final = ROOT / "pleura" / "known_variables.py"
_MODULE: Final = '''\
"""Every variable that some process of Pleura reads. Written by `make docs`. Do not edit.

The services may share one environment, and may not import each other's settings.
"""

from typing import Final

KNOWN_VARIABLES: Final = frozenset(
    {{
{names}
    }}
)
'''


def find_variables() -> frozenset[str]:
    """Find the variables of all settings: the services', the pipelines' and the command's."""
    classes = (cls for _, cls in settings_classes() if issubclass(cls, PleuraSettings))
    return frozenset[str]().union(*(cls.variables() for cls in classes))


def write_known_variables() -> str:
    """Write the module."""
    return _MODULE.format(names="\n".join(f'        "{name}",' for name in sorted(find_variables())))
