"""Another user of the machine, or a web page, reaches nothing of a running stack."""

from proof.attacks.neighbour_attack import attack_as_neighbour
from proof.attacks.service_attack import attack_services
from proof.lab.running_stack import RunningStack


def test_a_neighbour_reaches_nothing(stack: RunningStack) -> None:
    """No inner port, file, statement or forged entry gives or changes anything."""
    failed = [row for row in attack_as_neighbour(stack) if not row.holds]
    assert not failed


def test_nobody_without_the_key_calls_the_services(stack: RunningStack) -> None:
    """No route, method, media type or host name lets a stranger or a page in, and the key stands nowhere."""
    failed = [row for row in attack_services(stack) if not row.holds]
    assert not failed
