"""A clock that a test or a campaign moves by hand."""


class ManualClock:
    """A clock that shows ``now`` until somebody changes ``now``."""

    # Not 0: code that takes 0 for "never" would pass by chance.
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
