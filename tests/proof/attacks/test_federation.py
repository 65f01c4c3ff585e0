"""Two issuers behind one proxy: neither can use the other's keys, audience, words or principals."""

from collections.abc import Iterator

import grpc
import pytest

from auth_proxy.tokens.key_set import InvalidKeySet
from auth_proxy.tokens.key_sources import DiscoveredKeySource, parse_jwks_uri
from proof.attacks import discovery_documents, federation_cases
from proof.attacks.attacked_proxy import AttackedProxy
from proof.attacks.federation import FederatedProxy, Federation, start_federated_proxy
from proof.attacks.forge import Forge, key_document
from proof.attacks.token_attack import OfflineVerification, TokenOutcome, by_grpc, by_rest
from proof.lab.recorder import ok_response, recording_server

FEDERATION = Federation(
    Forge("https://issuer.example", "pleura", 1_800_000_000), "https://issuer.example.partner"
)
OFFLINE = OfflineVerification(FEDERATION.trusts(), FEDERATION.home.now_s)


@pytest.fixture(scope="module")
def federated(
    shared_attacked: AttackedProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FederatedProxy]:
    """A proxy that trusts two issuers."""
    with start_federated_proxy(tmp_path_factory.mktemp("federated"), shared_attacked) as federated:
        yield federated


@pytest.fixture(scope="module")
def channel(federated: FederatedProxy) -> Iterator[grpc.Channel]:
    """A channel to that proxy."""
    with grpc.insecure_channel(f"127.0.0.1:{federated.attacked.proxy.grpc_port}") as channel:
        yield channel


@pytest.mark.parametrize("case", federation_cases.REFUSED)
def test_a_token_that_confuses_two_issuers_is_refused(
    attacked: AttackedProxy, federated: FederatedProxy, channel: grpc.Channel, case: str
) -> None:
    """It is refused without a network, by REST and by gRPC, and nothing is forwarded."""
    make_token = federation_cases.REFUSED[case]
    assert not OFFLINE.lets_in(make_token(FEDERATION))
    token = make_token(federated.federation())
    for outcome in (
        by_rest(federated.attacked, token),
        by_grpc(federated.attacked, channel, f"Bearer {token}"),
    ):
        assert not outcome.is_let_in
        assert not outcome.is_fault
    assert attacked.outsider.connections == 0


@pytest.mark.parametrize("case", federation_cases.ACCEPTED)
def test_each_issuer_has_principals_of_its_own(
    attacked: AttackedProxy, federated: FederatedProxy, channel: grpc.Channel, case: str
) -> None:
    """The transformer gets the principal behind the name of its issuer."""
    expected, make_token = federation_cases.ACCEPTED[case]
    principal = OFFLINE.find_principal(make_token(FEDERATION))
    assert principal is not None
    assert principal.name == expected
    token = make_token(federated.federation())
    assert by_rest(federated.attacked, token) == TokenOutcome("200", is_forwarded=True)
    assert by_grpc(federated.attacked, channel, f"Bearer {token}") == TokenOutcome("OK", is_forwarded=True)
    assert attacked.transformer.requests[-1].get_header("x-pleura-principal") == expected


@pytest.mark.parametrize("case", discovery_documents.REFUSED)
def test_a_bad_configuration_names_no_keys(case: str) -> None:
    """No other error escapes, whatever the document is."""
    with pytest.raises(InvalidKeySet):
        parse_jwks_uri(discovery_documents.REFUSED[case], discovery_documents.ISSUER)


async def test_discovery_follows_the_document_of_the_same_issuer_only() -> None:
    """A configuration that names another issuer leads to no request for keys."""
    with recording_server(lambda request: iter([ok_response(key_document())])) as outsider:
        claimed = {"url": ""}
        configuration = '{{"issuer": "{0}", "jwks_uri": "{1}/keys"}}'
        with recording_server(
            lambda request: iter([ok_response(configuration.format(claimed["url"], outsider.url).encode())])
        ) as issuer:
            source = DiscoveredKeySource(issuer.url)
            claimed["url"] = outsider.url
            with pytest.raises(InvalidKeySet):
                await source.fetch()
            assert outsider.connections == 0
            claimed["url"] = issuer.url
            assert await source.fetch() == key_document()
            assert issuer.requests[-1].request_line == "GET /.well-known/openid-configuration"
