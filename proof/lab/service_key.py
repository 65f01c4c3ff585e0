"""The service key of the campaigns and tests."""

from typing import Final

from pleura.service_key import SERVICE_KEY_HEADER

KEY: Final = "the-service-key-of-campaigns-and-tests"
HEADERS: Final = {SERVICE_KEY_HEADER: KEY}
"""What a call of another service carries."""
KEY_ONLY: Final = {"PLEURA_SERVICE_KEY": KEY}
"""Settings of a service that answers other services only."""
ANY_KEY: Final = {"PLEURA_TRUST_NETWORK": "true"}
"""Settings of a service that takes the place of one in a stack, which has a key of its own."""
KEY_OR_NONE: Final = {**KEY_ONLY, "PLEURA_TRUST_NETWORK": "true"}
"""Settings of a service that sends and checks the key, and answers a test that sends none as well."""
