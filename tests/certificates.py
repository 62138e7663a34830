"""Keys and certificates that tests make secure media with, and OpenSSL that opens them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from oracles import run

#: SignedData and DigestedData as object identifiers, and what makes a ContentInfo of either (BER).
SIGNED = bytes.fromhex("06092a864886f70d010702")
DIGESTED = bytes.fromhex("06092a864886f70d010705")
WRAP = b"\x30\x80%b\xa0\x80"


_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """A key with its certificate, in files."""

    certificate: Path
    key: Path


@cache
def _key(bits: int, number: int) -> rsa.RSAPrivateKey:
    del number  # only so that there may be several
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
) -> Identity:
    """A certificate for `name` and its key, in PEM; `number` tells keys apart.

    Without an `issuer` it is signed by itself; an `authority` may issue others. An `elliptic` key
    is made in no time, one of RSA takes seconds.
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
    if usage:
        names = (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        )
        usages = x509.KeyUsage(**{each: each == usage for each in names})
        builder = builder.add_extension(usages, critical=True)
    certificate = builder.sign(signer, hashes.SHA256())
    made = Identity(folder / f"{name}.crt.pem", folder / f"{name}.key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def open_with_openssl(
    sealed: Path, folder: Path, *, identity: Identity | None = None, password: str = ""
) -> bytes:
    """The DICOM File in a Secure DICOM File, by nothing but OpenSSL, digest or signature proved."""
    inner, plain = folder / "inner", folder / "plain"
    how = ["-pwri_password", password]
    if identity:
        how = ["-recip", str(identity.certificate), "-inkey", str(identity.key)]
    run(
        "openssl",
        "cms",
        "-decrypt",
        "-inform",
        "DER",
        "-binary",
        "-in",
        sealed,
        "-out",
        inner,
        *how,
    )
    content = inner.read_bytes()
    signed = SIGNED in sealed.read_bytes()[:4096]
    check = ["-verify", "-noverify"] if signed else ["-digest_verify"]
    wrap = WRAP % (SIGNED if signed else DIGESTED)
    (folder / "content").write_bytes(wrap + content + bytes(4))
    run(
        *("openssl", "cms", *check, "-inform", "DER", "-binary"),
        *("-in", folder / "content", "-out", plain),
    )
    return plain.read_bytes()
