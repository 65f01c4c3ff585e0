"""What a service says at ``/metrics``."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """A metric: its type, and the labels that its samples have."""

    kind: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Scrape:
    """All samples of our own, and the text that they were read from."""

    text: str
    families: Mapping[str, Family]
    samples: tuple[Sample, ...]

    def count_samples(self, name: str, **where: str) -> Counter[tuple[str, ...]]:
        """The samples of that name by their labels' values, in the order of the labels' names."""
        found: Counter[tuple[str, ...]] = Counter()
        for sample in self.samples:
            if sample.name == name and where.items() <= sample.labels.items():
                found[tuple(value for _, value in sorted(sample.labels.items()))] += int(sample.value)
        return found

    def read_value(self, name: str, **labels: str) -> float:
        """The value of one sample."""
        (found,) = [each.value for each in self.samples if (each.name, each.labels) == (name, labels)]
        return float(found)

    def list_label_values(self, label: str) -> set[str]:
        """All values that a label has anywhere."""
        return {each.labels[label] for each in self.samples if label in each.labels}


def read_metrics(url: str) -> Scrape:
    """Ask a service, as Prometheus does."""
    text = httpx.get(url, trust_env=False, timeout=30).raise_for_status().text
    families, samples = {}, []
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("pleura_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = frozenset(label for each in family.samples for label in each.labels) - {"le"}
        families[name] = Family(family.type, labels)
        samples += family.samples
    return Scrape(text, families, tuple(samples))
