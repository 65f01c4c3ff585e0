"""A certificate that the parts of one server show each other, so that no other program can talk to them."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pleura.local.private_files import write_private
from pleura.local.processes import HOST

_VALID: Final = datetime.timedelta(days=3650)
_CLOCK_SKEW: Final = datetime.timedelta(days=1)


@dataclass(frozen=True)
class CertificateFiles:
    """The files of a certificate and its private key, in PEM."""

    certificate: Path
    key: Path


def write_certificate(folder: Path) -> CertificateFiles:
    """Write a new certificate for this machine, and its private key for the owner only.

    The certificate is its own authority. A server that trusts only this certificate accepts only clients that
    have its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    files = CertificateFiles(folder / "inner.crt", folder / "inner.key")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(files.key, pem)
    write_private(files.certificate, _sign_own(key).public_bytes(Encoding.PEM))
    return files


def _sign_own(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pleura")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - _CLOCK_SKEW, now + _VALID
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(key, hashes.SHA256())
