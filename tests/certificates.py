"""Keys and certificates for secure media, and OpenSSL, which opens them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from oracles import run

#: The object identifiers of SignedData and DigestedData, and the start of a ContentInfo (BER).
SIGNED = bytes.fromhex("06092a864886f70d010702")
DIGESTED = bytes.fromhex("06092a864886f70d010705")
CONTENT_INFO = b"\x30\x80%b\xa0\x80"
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """A private key and its certificate, in files."""

    certificate: Path
    key: Path


@cache
def _key(bits: int, number: int) -> rsa.RSAPrivateKey:
    del number  # Only a key of the cache: each number has its own RSA key.
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def identity(
    folder: Path,
    name: str,
    *,
    bits: int = 2048,
    number: int = 0,
    expired: bool = False,
    usage: str = "",
    issuer: Identity | None = None,
    authority: bool = False,
    elliptic: bool = False,
    address: str = "",
) -> Identity:
    """A certificate for `name` and its key, in PEM.

    Identities with the same `number` and `bits` share an RSA key. Without an `issuer`, the
    certificate is self-signed; an `authority` may issue others. An `elliptic` key is made at once,
    an RSA key takes seconds. `address` is an IP address that it is valid for.
    """
    key: _Key = ec.generate_private_key(ec.SECP256R1()) if elliptic else _key(bits, number)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "IT"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.now(UTC)
    signer, signer_name = key, subject
    if issuer:
        loaded = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
        assert isinstance(loaded, _Key)
        signer = loaded
        signer_name = x509.load_pem_x509_certificate(issuer.certificate.read_bytes()).subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=-1 if expired else 30))
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    if address:
        names = [x509.IPAddress(ip_address(address))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usage:
        permitted = {name: name == usage for name in KEY_USAGES}
        builder = builder.add_extension(x509.KeyUsage(**permitted), critical=True)
    certificate = builder.sign(signer, hashes.SHA256())
    result = Identity(folder / f"{name}.crt.pem", folder / f"{name}.key.pem")
    result.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    result.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return result


def open_with_openssl(
    sealed: Path, folder: Path, *, identity: Identity | None = None, password: str = ""
) -> bytes:
    """The DICOM File in a Secure DICOM File, decrypted and verified by OpenSSL alone."""
    inner, content, plain = folder / "inner", folder / "content", folder / "plain"
    key = ["-pwri_password", password]
    if identity:
        key = ["-recip", str(identity.certificate), "-inkey", str(identity.key)]
    cms = ("openssl", "cms", "-inform", "DER", "-binary")
    run(*cms, "-decrypt", "-in", sealed, "-out", inner, *key)
    is_signed = SIGNED in sealed.read_bytes()[:4096]
    start = CONTENT_INFO % (SIGNED if is_signed else DIGESTED)
    content.write_bytes(start + inner.read_bytes() + bytes(4))
    verify = ["-verify", "-noverify"] if is_signed else ["-digest_verify"]
    run(*cms, *verify, "-in", content, "-out", plain)
    return plain.read_bytes()
