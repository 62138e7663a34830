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
    """The RSA keys and the password of a reader; both are optional."""

    def __init__(self, keys: tuple[RSAPrivateKey, ...] = (), password: bytes = b"") -> None:
        self._keys = keys
        self._password = password
        # PBKDF2 is slow on purpose: 600,000 iterations take about 0.12 s. The files of a volume
        # share their salt.
        self._derived_key = cache(self._derive_key)

    def __bool__(self) -> bool:
        return bool(self._keys or self._password)

    def candidates(self, envelope: Envelope) -> Iterator[bytes]:
        """Possible content keys; a wrong RSA key may yield a wrong one."""
        for recipient in envelope.recipients:
            if isinstance(recipient, KeyTransport):
                keys = self._transported_keys(recipient)
            else:
                keys = [self._unwrapped_key(recipient)] if self._password else []
            yield from (key for key in keys if len(key) == envelope.cipher.key_size)

    def _transported_keys(self, recipient: KeyTransport) -> list[bytes]:
        content_keys = []
        for key in self._keys:
            if (key.key_size + 7) // 8 == len(recipient.encrypted_key):
                try:
                    content_keys.append(key.decrypt(recipient.encrypted_key, padding.PKCS1v15()))
                except ValueError:
                    continue
        return content_keys

    def _unwrapped_key(self, recipient: PasswordRecipient) -> bytes:
        """The content key (RFC 3211 2.3.2); b"" if the password is wrong."""
        cipher, wrapped_key = recipient.cipher, recipient.wrapped_key
        block = cipher.block_size
        if len(wrapped_key) % block or len(wrapped_key) < 2 * block:
            return b""
        derived_key = self._derived_key(
            recipient.salt, recipient.iterations, recipient.digest_name, cipher.key_size
        )
        last_block = wrapped_key[-block:]
        block_before_last = wrapped_key[-2 * block : -block]
        iv = cipher.cbc(derived_key, block_before_last).decryptor().update(last_block)
        wrapped_once = cipher.cbc(derived_key, iv).decryptor().update(wrapped_key)
        plain = cipher.cbc(derived_key, recipient.iv).decryptor().update(wrapped_once)
        length, check, key = plain[0], plain[1:4], plain[4:]
        is_right = all(a ^ b == 0xFF for a, b in zip(check, key[:3], strict=True))
        return key[:length] if is_right and length <= len(key) else b""

    def _derive_key(self, salt: bytes, iterations: int, digest_name: str, size: int) -> bytes:
        return pbkdf2_hmac(digest_name, self._password, salt, iterations, size)


def read_keyring(key: Path | None, password_file: Path | None) -> Keyring:
    """The keyring in these files; raises InvalidSettings if one cannot be used."""
    keys = () if key is None else (read_private_key(key),)
    return Keyring(keys, b"" if password_file is None else read_password(password_file))


def read_private_key(path: Path) -> RSAPrivateKey:
    """The unencrypted RSA key in a PEM file; raises InvalidSettings if there is none."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise InvalidSettings(f"{path} is not an unencrypted private key in PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidSettings(f"{path} is not an RSA key")
    return key
