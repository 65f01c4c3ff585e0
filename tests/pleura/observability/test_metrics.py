"""Labels stay few whatever happens."""

from prometheus_client import CollectorRegistry, Counter

from pleura.observability.metrics import Children


def test_beyond_its_bound_a_metric_counts_under_other() -> None:
    """Known values keep their children; ten thousand further ones share one."""
    registry = CollectorRegistry()
    children = Children(Counter("things_total", "Things.", ["kind"], registry=registry), max_count=2)
    for kind in ("a", "b", *(f"odd {n}" for n in range(10_000)), "a"):
        children[kind].inc()
    samples = [each for family in registry.collect() for each in family.samples]
    counts = {each.labels["kind"]: each.value for each in samples if each.name == "things_total"}
    assert counts == {"a": 2, "b": 1, "other": 10_000}
    assert len(children) == 2


def test_a_child_is_resolved_once() -> None:
    """The second look-up gives the same object, without asking the metric."""
    children = Children(Counter("others_total", "Others.", ["a", "b"], registry=CollectorRegistry()))
    assert children["x", "y"] is children["x", "y"]
