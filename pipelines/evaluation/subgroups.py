"""The subgroups of people and radiographs that the evaluation report and the gate both compare.

Ages are split at 18, 40 and 65 years. 18 and 65 are the limits of paediatric and geriatric patients in the
guidelines for clinical trials; 40 halves the adults between them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.scored_radiographs import ScoredRadiographs

Attribute = Literal["sex", "age", "view", "source"]
ATTRIBUTES: Final[tuple[Attribute, ...]] = get_args(Attribute)
# Three bands of adults reach the fifty positives that a comparison needs. Four narrower ones did not.
AGE_BOUNDS: Final = (18.0, 40.0, 65.0)
"""Ages in years at which a new band begins; the first band begins at 0.

Source:
    ICH E11, "Clinical investigation of medicinal products in the pediatric population"; ICH E7, "Studies in
    support of special populations: geriatrics".
"""


@dataclass(frozen=True, eq=False)
class Subgroup:
    """Radiographs that share an attribute, such as view AP, and the rest that they are compared with.

    ``members`` and ``rest`` are bool (N,). A radiograph whose attribute is unknown is in neither.
    """

    attribute: Attribute
    name: str
    members: NDArray[np.bool_]
    rest: NDArray[np.bool_]


def age_band(age: float, bounds: Sequence[float]) -> str:
    """Name the band that an age in years lies in, such as ``40-64``; empty where the age is unknown."""
    if np.isnan(age):
        return ""
    edges = [0.0, *(bound for bound in bounds if bound > 0)]
    low = max(edge for edge in edges if edge <= max(age, 0.0))
    later = [edge for edge in edges if edge > low]
    return f"{low:g}-{later[0] - 1:g}" if later else f"{low:g}+"


def find_subgroups(
    scored: ScoredRadiographs, attributes: Sequence[Attribute], age_bounds: Sequence[float]
) -> Iterator[Subgroup]:
    """Find each value of each attribute; an attribute with one value only gives no subgroup."""
    for attribute in attributes:
        values = _values(scored, attribute, age_bounds)
        names = np.unique(values[values != ""])
        for name in names if len(names) > 1 else ():
            yield Subgroup(attribute, str(name), values == name, (values != name) & (values != ""))


def _values(scored: ScoredRadiographs, attribute: Attribute, age_bounds: Sequence[float]) -> NDArray[np.str_]:
    if attribute == "age":
        return np.array([age_band(age, age_bounds) for age in scored.ages], str)
    return {"sex": scored.sexes, "view": scored.views, "source": scored.sources}[attribute]
