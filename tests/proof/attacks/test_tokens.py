"""Tokens that must not be believed: as they are verified, by REST and by gRPC."""

from collections.abc import Iterator

import grpc
import pytest

from auth_proxy.tokens.keys import parse_keys
from auth_proxy.tokens.verification import Trust
from proof.attacks import token_carriers, token_cases
from proof.attacks.attacked_proxy import AttackedProxy
from proof.attacks.forge import Forge, key_document
from proof.attacks.token_attack import OfflineVerification, TokenOutcome, by_grpc, by_rest, raw_grpc, raw_rest

FORGE = Forge("https://issuer.example", "pleura", 1_800_000_000)
OFFLINE = OfflineVerification(
    parse_keys(key_document()), Trust(FORGE.issuer, FORGE.audience, 30), FORGE.now_s
)
MOST_CPU_MS = 50.0  # the bound is 5 ms; a table beside other programs is no place to measure it


@pytest.fixture(scope="module")
def channel(shared_attacked: AttackedProxy) -> Iterator[grpc.Channel]:
    """A channel to the proxy."""
    with grpc.insecure_channel(f"127.0.0.1:{shared_attacked.proxy.grpc_port}") as channel:
        yield channel


def require_refused(attacked: AttackedProxy, verdict: TokenOutcome) -> None:
    """Nothing was forwarded, nobody was asked for a key, and the proxy did not fail."""
    assert not verdict.is_let_in
    assert not verdict.is_fault
    assert attacked.unexpected_fetches == 0


@pytest.mark.parametrize("case", token_cases.REFUSED)
def test_a_bad_token_is_not_believed(case: str) -> None:
    """Each way of being wrong is refused, at little cost."""
    token = token_cases.REFUSED[case](FORGE)
    assert not OFFLINE.lets_in(token)
    assert OFFLINE.cpu_ms(token) < MOST_CPU_MS


@pytest.mark.parametrize("case", token_cases.ACCEPTED)
def test_a_good_token_is_believed(case: str) -> None:
    """What the standards allow is let in: the table is not empty talk."""
    assert OFFLINE.lets_in(token_cases.ACCEPTED[case](FORGE))


@pytest.mark.parametrize("case", token_cases.REFUSED)
def test_a_bad_token_is_refused_by_rest(attacked: AttackedProxy, case: str) -> None:
    """The transformer hears nothing of it, and no other server either."""
    require_refused(attacked, by_rest(attacked, token_cases.REFUSED[case](attacked.forge())))


@pytest.mark.parametrize("case", token_cases.REFUSED)
def test_a_bad_token_is_refused_by_grpc(attacked: AttackedProxy, channel: grpc.Channel, case: str) -> None:
    """The transformer hears nothing of it, and no other server either."""
    token = token_cases.REFUSED[case](attacked.forge())
    require_refused(attacked, by_grpc(attacked, channel, f"Bearer {token}"))


@pytest.mark.parametrize("case", token_cases.ACCEPTED)
def test_a_good_token_is_let_in(attacked: AttackedProxy, channel: grpc.Channel, case: str) -> None:
    """By REST and by gRPC, the transformer is asked."""
    token = token_cases.ACCEPTED[case](attacked.forge())
    assert by_rest(attacked, token) == TokenOutcome("200", is_forwarded=True)
    assert by_grpc(attacked, channel, f"Bearer {token}") == TokenOutcome("OK", is_forwarded=True)


@pytest.mark.parametrize("case", token_carriers.REFUSED)
def test_a_token_elsewhere_does_not_count(attacked: AttackedProxy, case: str) -> None:
    """A good token in any other place or form, and an identity without a token, let nobody in."""
    require_refused(attacked, raw_rest(attacked, token_carriers.REFUSED[case](attacked.forge().good())))


@pytest.mark.parametrize("case", token_carriers.ACCEPTED)
def test_a_token_in_its_place_counts(attacked: AttackedProxy, case: str) -> None:
    """And the transformer is told the name that it holds, once, and no other."""
    verdict = raw_rest(attacked, token_carriers.ACCEPTED[case](attacked.forge().good()))
    assert verdict == TokenOutcome("200", is_forwarded=True)
    named = [pair for pair in attacked.transformer.requests[-1].headers if "principal" in pair[0]]
    assert named == [("x-pleura-principal", "somebody")]


@pytest.mark.parametrize("case", token_carriers.VALUES)
def test_a_token_in_another_form_does_not_count_by_grpc(
    attacked: AttackedProxy, channel: grpc.Channel, case: str
) -> None:
    """Nor does one that comes twice."""
    good = attacked.forge().good()
    require_refused(attacked, by_grpc(attacked, channel, token_carriers.VALUES[case].format(good)))
    for other in ("Bearer x", f"Bearer {good}"):
        require_refused(attacked, by_grpc(attacked, channel, other, f"Bearer {good}"))


def test_hand_written_http2_is_understood(attacked: AttackedProxy) -> None:
    """What refuses odd bytes over gRPC would let in a good token written in the same way."""
    token = attacked.forge().good().encode()
    assert raw_grpc(attacked, [b"Bearer " + token]) == TokenOutcome("OK", is_forwarded=True)
    require_refused(attacked, raw_grpc(attacked, [b"Bearer x"]))


def test_a_token_of_an_earlier_request_does_not_count(attacked: AttackedProxy) -> None:
    """Who was let in on a connection is nobody in its next request."""
    good = token_carriers.request(f"Authorization: Bearer {attacked.forge().good()}")
    first = good.replace(b"Connection: close\r\n", b"")
    assert raw_rest(attacked, first + token_carriers.request()).outcome == "200"
    assert len(attacked.transformer.requests) == 1


def test_the_table_is_wide() -> None:
    """At least sixty ways, and each is another one."""
    tokens = {make(FORGE).rpartition(".")[0] for make in token_cases.REFUSED.values()}
    assert len(token_cases.REFUSED) >= 60
    assert len(tokens) >= 60
