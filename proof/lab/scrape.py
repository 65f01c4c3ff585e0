"""Read the metrics of a service from ``/metrics``."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """The type of a metric, and the labels of its samples."""

    kind: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Scrape:
    """All samples of Pleura's own metrics, and the text that they were read from."""

    text: str
    families: Mapping[str, Family]
    samples: tuple[Sample, ...]

    def count_samples(self, name: str, **where: str) -> Counter[tuple[str, ...]]:
        """Count the samples of a metric by their label values, which are ordered by label name."""
        counts: Counter[tuple[str, ...]] = Counter()
        for sample in self.samples:
            if sample.name == name and where.items() <= sample.labels.items():
                counts[tuple(value for _, value in sorted(sample.labels.items()))] += int(sample.value)
        return counts

    def read_value(self, name: str, **labels: str) -> float:
        """Read the value of one sample."""
        (value,) = [s.value for s in self.samples if (s.name, s.labels) == (name, labels)]
        return float(value)

    def list_label_values(self, label: str) -> set[str]:
        """List all values that a label has in any sample."""
        return {sample.labels[label] for sample in self.samples if label in sample.labels}


def read_metrics(url: str) -> Scrape:
    """Read the metrics of a service, as Prometheus does."""
    text = httpx.get(url, trust_env=False, timeout=30).raise_for_status().text
    families, samples = {}, []
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("pleura_"):
            continue
        # prometheus_client cuts "_total" off the names of counters.
        name = f"{family.name}_total" if family.type == "counter" else family.name
        # The buckets of a histogram have the label "le" besides those of the metric.
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        families[name] = Family(family.type, labels)
        samples += family.samples
    return Scrape(text, families, tuple(samples))
