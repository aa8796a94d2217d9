"""A certificate authority that lives as long as a test run: private, as those of self-hosters are."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs servers' certificates. `file` is what a client is given to trust it."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def server_tls(self, *names: str) -> ssl.SSLContext:
        """What a server shows that is known by these host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        own = _signed(
            key,
            names[0],
            by=self.key,
            issuer=self.certificate.subject,
            extensions=[
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                x509.BasicConstraints(ca=False, path_length=None),
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
            ],
        )
        file = self.folder / f"{own.serial_number}.pem"
        file.write_bytes(_private(key) + own.public_bytes(PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def new_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = "Leavewell test authority"
    certificate = _signed(
        key,
        name,
        by=key,
        issuer=None,
        extensions=[
            x509.BasicConstraints(ca=True, path_length=None),
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        ],
    )
    authority = Authority(folder, key, certificate)
    authority.file.write_bytes(certificate.public_bytes(PEM))
    return authority


def _signed(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    *,
    by: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    extensions: list[x509.ExtensionType],
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(by, hashes.SHA256())


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
