"""A Keycloak on this machine: started from its distribution, with a realm of the proof."""

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from proof.lab.module_process import is_answering, stop_process, wait_until
from proof.oidc.realm import CLIENT_SECRET, REALM, build_realm

_ADMIN: Final = ("admin", "only-for-the-proof")
_START_S: Final = 300.0


@dataclass
class Keycloak:
    """A Keycloak in development mode. Its data are in its folder, so they survive a restart."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def issuer(self) -> str:
        """The issuer of the realm."""
        return f"http://127.0.0.1:{self.port}/realms/{REALM}"

    def start(self) -> None:
        """Start the process, and wait until the realm answers."""
        arguments = [
            "start-dev",
            "--import-realm",
            "--http-host=127.0.0.1",
            f"--http-port={self.port}",
            "--log-level=warn",
        ]
        environment = os.environ | {
            "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN[0],
            "KC_BOOTSTRAP_ADMIN_PASSWORD": _ADMIN[1],
            # By itself Java takes a large part of the machine's memory.
            "JAVA_OPTS_APPEND": "-Xmx512m",
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.folder / "bin" / "kc.sh", *arguments], env=environment, stdout=log, stderr=log
            )
        path = f"/realms/{REALM}/.well-known/openid-configuration"
        wait_until(lambda: self._has_ended() or is_answering(self.port, path), _START_S)
        if self._has_ended():
            raise RuntimeError(f"Keycloak ended; see {self.folder / 'log'}")

    def stop(self) -> None:
        """Stop the process. ``kc.sh`` becomes the Java process, which ends with a signal."""
        if self.process is not None and self.process.poll() is None:
            stop_process(self.process)

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def request_tokens(self, client: str, **form: str) -> Mapping[str, Any]:
        """Request tokens as a client does: by its own credentials, unless the form names another grant."""
        fields = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": CLIENT_SECRET,
            **form,
        }
        url = f"{self.issuer}/protocol/openid-connect/token"
        answer = httpx.post(url, data=fields, timeout=30, trust_env=False).raise_for_status()
        return answer.json()  # type: ignore[no-any-return]

    def add_signing_key(self) -> None:
        """Add an RSA key that signs from now on. The earlier keys stay published."""
        # Keycloak signs with the key of the highest priority.
        config = {"priority": ["1000"], "algorithm": ["RS256"], "keySize": ["2048"]}
        component = {
            "name": "rotated",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": config,
        }
        self._administrate("POST", "components", component)

    def remove_signing_key(self, name: str) -> None:
        """Remove a key, so that it is no longer published."""
        keys = self._administrate("GET", "components?type=org.keycloak.keys.KeyProvider").json()
        (component,) = [key for key in keys if key["name"] == name]
        self._administrate("DELETE", f"components/{component['id']}")

    def _administrate(self, verb: str, path: str, body: object = None) -> httpx.Response:
        root = f"http://127.0.0.1:{self.port}"
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": _ADMIN[0],
            "password": _ADMIN[1],
        }
        with httpx.Client(base_url=root, timeout=30, trust_env=False) as client:
            # A login for each call, because an administrator's token lives one minute.
            login = client.post("/realms/master/protocol/openid-connect/token", data=form).raise_for_status()
            headers = {"authorization": f"Bearer {login.json()['access_token']}"}
            url = f"/admin/realms/{REALM}/{path}"
            return client.request(verb, url, headers=headers, json=body).raise_for_status()


@contextmanager
def running_keycloak(distribution: Path, folder: Path, port: int) -> Iterator[Keycloak]:
    """Unpack a Keycloak, and run it with the realm of the proof."""
    with zipfile.ZipFile(distribution) as archive:
        archive.extractall(folder)
    (home,) = folder.iterdir()
    (home / "bin" / "kc.sh").chmod(0o755)
    (home / "data" / "import").mkdir(parents=True)
    (home / "data" / "import" / f"{REALM}-realm.json").write_text(json.dumps(build_realm()))
    keycloak = Keycloak(home, port)
    try:
        keycloak.start()
        yield keycloak
    finally:
        keycloak.stop()
