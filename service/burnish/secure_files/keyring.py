"""Craft: finds the content key of a Secure DICOM File with a private key or a password."""

from collections.abc import Iterator
from functools import cache
from hashlib import pbkdf2_hmac
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from burnish.errors import InvalidSettings
from burnish.secure_files.envelope import Envelope, KeyTransport, PasswordRecipient
from burnish.secure_files.protection import read_password


class Keyring:
    """What a reader has: RSA keys, and at most one password."""

    def __init__(self, keys: tuple[RSAPrivateKey, ...] = (), password: bytes = b"") -> None:
        self._keys = keys
        self._password = password
        self._derive = cache(self._pbkdf2)

    def __bool__(self) -> bool:
        return bool(self._keys or self._password)

    def candidates(self, envelope: Envelope) -> Iterator[bytes]:
        """What may be the content key; a wrong RSA key can give a key, too, that opens nothing."""
        for recipient in envelope.recipients:
            if isinstance(recipient, KeyTransport):
                found = self._transported(recipient)
            else:
                found = [self._unwrapped(recipient)] if self._password else []
            yield from (key for key in found if len(key) == envelope.cipher.key_size)

    def _transported(self, recipient: KeyTransport) -> list[bytes]:
        found = []
        for key in self._keys:
            if (key.key_size + 7) // 8 == len(recipient.encrypted_key):
                try:
                    found.append(key.decrypt(recipient.encrypted_key, padding.PKCS1v15()))
                except ValueError:
                    continue
        return found

    def _unwrapped(self, recipient: PasswordRecipient) -> bytes:
        """RFC 3211 2.3.2; b"" where the password is another."""
        cipher, wrapped = recipient.cipher, recipient.wrapped_key
        block = cipher.block_size
        if len(wrapped) % block or len(wrapped) < 2 * block:
            return b""
        size = cipher.key_size
        derived = self._derive(recipient.salt, recipient.iterations, recipient.prf, size)
        last, before = wrapped[-block:], wrapped[-2 * block : -block]
        iv = cipher.cbc(derived, before).decryptor().update(last)
        once = cipher.cbc(derived, iv).decryptor().update(wrapped)
        plain = cipher.cbc(derived, recipient.iv).decryptor().update(once)
        length, check, key = plain[0], plain[1:4], plain[4:]
        if length > len(key) or any(a ^ b != 0xFF for a, b in zip(check, key, strict=False)):
            return b""
        return key[:length]

    def _pbkdf2(self, salt: bytes, iterations: int, prf: str, size: int) -> bytes:
        return pbkdf2_hmac(prf, self._password, salt, iterations, size)


def read_keyring(key: Path | None, password_file: Path | None) -> Keyring:
    """A Keyring of what is in these files; raises InvalidSettings where it cannot be used."""
    keys = () if key is None else (read_private_key(key),)
    return Keyring(keys, b"" if password_file is None else read_password(password_file))


def read_private_key(path: Path) -> RSAPrivateKey:
    """The unencrypted RSA key in a PEM file; raises InvalidSettings where there is none."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise InvalidSettings(f"{path} is no unencrypted private key in PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidSettings(f"{path} is no RSA key")
    return key
