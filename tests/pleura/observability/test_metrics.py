"""Metrics have a limited number of labels."""

from prometheus_client import CollectorRegistry, Counter

from pleura.observability.metrics import Children


def test_beyond_its_limit_a_metric_counts_other() -> None:
    """The first values keep their children. Ten thousand further values share one."""
    registry = CollectorRegistry()
    children = Children(Counter("things_total", "Things.", ["kind"], registry=registry), max_count=2)
    for kind in ("a", "b", *(f"odd {n}" for n in range(10_000)), "a"):
        children[kind].inc()
    samples = [sample for family in registry.collect() for sample in family.samples]
    counts = {s.labels["kind"]: s.value for s in samples if s.name == "things_total"}
    assert counts == {"a": 2, "b": 1, "other": 10_000}
    assert len(children) == 2


def test_a_child_is_resolved_once() -> None:
    """The second look-up returns the same object."""
    children = Children(Counter("others_total", "Others.", ["a", "b"], registry=CollectorRegistry()))
    assert children["x", "y"] is children["x", "y"]
