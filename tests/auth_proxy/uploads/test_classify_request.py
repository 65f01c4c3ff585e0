"""How much of an upload waits in memory."""

from auth_proxy.uploads.classify_request import reserve_memory
from pleura.serving.byte_budget import ByteBudget


def test_an_upload_waits_in_memory_within_the_budget() -> None:
    """An upload beyond the budget waits on disk, except for its beginning. Memory is free again later."""
    room, large = ByteBudget(10 * 2**20), 8 * 2**20
    with reserve_memory(room, large) as first, reserve_memory(room, large) as second:
        assert (first, second) == (large, 2**18)
    with reserve_memory(room, large) as third:
        assert third == large
