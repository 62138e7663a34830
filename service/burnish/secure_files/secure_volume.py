"""Craft: a Secure File-set as a volume of its DICOM Files (PS3.10 7.4, PS3.15 D.1)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from cryptography.hazmat.primitives import hashes

from burnish.errors import Unreadable, WrongKey
from burnish.secure_files.ber import DerView
from burnish.secure_files.der import IndefiniteLength
from burnish.secure_files.encapsulated_content import (
    LONGEST_START,
    EncapsulatedContent,
    read_content_head,
    verify_content,
)
from burnish.secure_files.envelope import Envelope, Read, is_enveloped, read_envelope
from burnish.secure_files.keyring import Keyring
from burnish.values import ReadableVolume

#: The content keys of a volume by File ID. Only the writer of the volume has them, in memory.
ContentKeys = dict[str, bytes]

#: Bytes that show whether a file is in an envelope.
_HEAD_SIZE = 32
#: Files whose envelope and key are remembered.
_CACHED_FILES = 16
#: Files with which a wrong key is told from a damaged file. A volume has one set of recipients.
_KEY_TRIALS = 16

_Chunks = Callable[[], Iterator[bytes | memoryview]]


def open_secure(volume: ReadableVolume, keys: Mapping[str, bytes] | Keyring) -> ReadableVolume:
    """A SecureVolume of the DICOM Files in a Secure File-set; any other volume as it is.

    A volume is a Secure File-set if its DICOMDIR is in an envelope. Without any key, files in an
    envelope stay encrypted. Raises WrongKey if a keyring that is not empty opens no file.
    """
    for name in volume.files():
        if name.upper() == "DICOMDIR" and _begins_enveloped(volume, name):
            secure_volume = EnvelopedVolume(volume, keys)
            if isinstance(keys, Keyring) and keys and secure_volume.is_locked():
                raise WrongKey(
                    "the key or password does not open this volume; its content was not examined"
                )
            return secure_volume
    return volume


def _begins_enveloped(volume: ReadableVolume, name: str) -> bool:
    try:
        return is_enveloped(volume.read(name, 0, _HEAD_SIZE))
    except Unreadable:
        return False  # reading the file tells its fault


@dataclass(frozen=True, slots=True)
class _SecureFile:
    """A Secure DICOM File; `read` and `chunks` give it in DER, even if it is encoded in BER."""

    envelope: Envelope
    read: Read
    chunks: _Chunks


@dataclass(frozen=True, slots=True)
class _OpenedFile:
    """The decrypted content of a Secure DICOM File, in DER like the file."""

    content: EncapsulatedContent
    read: Read
    chunks: _Chunks


class _Decryption:
    """The decrypted content of a Secure DICOM File."""

    def __init__(self, file: _SecureFile, key: bytes) -> None:
        self._file = file
        self._envelope = file.envelope
        self._key = key
        self._block = file.envelope.cipher.block_size

    def size(self) -> int:
        """The size without padding."""
        last_block = self.read(self._envelope.length - self._block, self._block)
        return self._envelope.length - self._padding(last_block)

    def read(self, start: int, length: int) -> bytes:
        """Some of the content; to decrypt a block, CBC needs only the block before it."""
        if not length:
            return b""
        first = start // self._block * self._block
        last = -(-(start + length) // self._block) * self._block
        last = min(last, self._envelope.length)
        iv = self._envelope.iv
        if first:
            iv = self._file.read(self._envelope.start + first - self._block, self._block)
        encrypted = self._file.read(self._envelope.start + first, last - first)
        plain = self._envelope.cipher.cbc(self._key, iv).decryptor().update(encrypted)
        return plain[start - first : start - first + length]

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The whole content without its padding."""
        decryptor = self._envelope.cipher.cbc(self._key, self._envelope.iv).decryptor()
        to_skip = self._envelope.start
        remaining = self._envelope.length
        last_block = b""
        for chunk in self._file.chunks():
            encrypted = memoryview(chunk)[to_skip : to_skip + remaining]
            to_skip = max(0, to_skip - len(chunk))
            remaining -= len(encrypted)
            plain = decryptor.update(encrypted)
            if plain:
                yield last_block
                yield memoryview(plain)[: -self._block]
                last_block = plain[-self._block :]
        decryptor.finalize()
        yield last_block[: -self._padding(last_block)]

    def _padding(self, last_block: bytes) -> int:
        """The number of padding bytes (RFC 5652 6.3)."""
        count = last_block[-1] if last_block else 0
        if not 1 <= count <= self._block or set(last_block[-count:]) != {count}:
            raise Unreadable("the padding of the decrypted content is wrong: it was changed")
        return count


class _LazySizes(Mapping[str, int]):
    """The sizes of the files; each is determined when it is asked for."""

    def __init__(self, volume: "EnvelopedVolume", names: Iterable[str]) -> None:
        self._volume = volume
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> int:
        if name not in self._names:
            raise KeyError(name)
        return self._volume.size(name)

    def __contains__(self, name: object) -> bool:
        """Whether there is the file; unlike its size, this can be told of a damaged one."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class EnvelopedVolume:
    """A volume of Secure DICOM Files, which are decrypted as they are read.

    `chunks` and `check` verify the digest or the signature; `read` does not. Looking up a size in
    `files` may raise Unreadable, as reading does.
    """

    def __init__(self, volume: ReadableVolume, keys: Mapping[str, bytes] | Keyring) -> None:
        self._volume = volume
        self._keys = keys
        self._sizes = _LazySizes(self, volume.files())
        # A verifier asks for the kind, the size and the content of each file. Opening a file each
        # time, with its RSA decryption, made the verification of small files 2.3 times slower.
        self._secure_file = lru_cache(_CACHED_FILES)(self._find_secure_file)
        self._opened_file = lru_cache(_CACHED_FILES)(self._find_opened_file)
        self.volume_identifier = volume.volume_identifier
        if hasattr(volume, "file_system"):
            self.file_system = volume.file_system
        if hasattr(volume, "long_names"):
            self.long_names = volume.long_names
        self.opened = bool(keys)

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def disagreements(self) -> Mapping[str, str]:
        return self._volume.disagreements()

    def size(self, name: str) -> int:
        """The size of the DICOM File, or of the file itself if it is not in an envelope."""
        opened = self._opened_file(name)
        return opened.content.size if opened else self._volume.files()[name]

    def sha256(self) -> str:
        """The digest of the image as it is on the medium, if it is computed while reading."""
        digest: str = getattr(self._volume, "sha256", str)()
        return digest

    def is_secure(self, name: str) -> bool:
        """Whether a file is in an envelope."""
        return self._secure_file(name) is not None

    def check(self, name: str) -> None:
        """Raises Unreadable unless a Secure DICOM File is as PS3.15 D.1 describes it.

        Without a key, only the envelope can be checked.
        """
        if self.opened:
            for _ in self.chunks(name):
                pass
        else:
            self._secure_file(name)

    def is_locked(self) -> bool:
        """Whether the keyring opens no file, and not because the files are damaged.

        Files that are damaged before or behind their keys do not show that the keyring is wrong.
        """
        trials = files_without_key = 0
        for name in self._sizes:
            try:
                file = self._secure_file(name)
            except Unreadable:
                continue
            if file is None or not isinstance(self._keys, Keyring):
                continue
            try:
                self._opened_file(name)
                return False
            except Unreadable:
                trials += 1
                files_without_key += not any(self._keys.candidates(file.envelope))
            if trials == _KEY_TRIALS:
                break
        return files_without_key > 0

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        opened = self._opened_file(name)
        if opened is None:
            return self._volume.read(name, offset, length)
        available = max(0, opened.content.size - offset)
        length = available if length is None else min(available, length)
        return opened.read(opened.content.start + offset, length)

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        opened = self._opened_file(name)
        if opened is None:
            yield from self._volume.chunks(name)
            return
        content = opened.content
        digest = hashes.Hash(content.digest)
        tail = bytearray()
        position = -content.start  # of the chunk, relative to the start of the DICOM File
        for chunk in opened.chunks():
            start = max(0, -position)
            end = max(0, content.size - position)
            plain = memoryview(chunk)[start:end]
            if plain:
                digest.update(plain)
                yield plain
            tail += memoryview(chunk)[end:]
            position += len(chunk)
        if position != content.end - content.start:
            raise Unreadable("the decrypted content has a wrong length")
        verify_content(content, bytes(tail), digest.finalize())

    def _find_secure_file(self, name: str) -> _SecureFile | None:
        if not is_enveloped(self._volume.read(name, 0, _HEAD_SIZE)):
            return None
        size = self._volume.files()[name]
        read = partial(self._volume.read, name)
        try:
            return _SecureFile(read_envelope(read, size), read, partial(self._volume.chunks, name))
        except IndefiniteLength:
            view = DerView(read, size, enveloped=True)
            return _SecureFile(read_envelope(view.read, view.size), view.read, view.chunks)

    def _find_opened_file(self, name: str) -> _OpenedFile | None:
        file = self._secure_file(name)
        if file is None or not self.opened:
            return None
        keys: Iterable[bytes] = ()
        if isinstance(self._keys, Keyring):
            keys = self._keys.candidates(file.envelope)
        elif name in self._keys:
            keys = [self._keys[name]]
        reason = "no given key or password opens the file"
        for key in keys:
            try:
                return _opened(file, key)
            except Unreadable as error:
                reason = str(error)
        raise Unreadable(reason)


def _opened(file: _SecureFile, key: bytes) -> _OpenedFile:
    """A file with its key; raises Unreadable if the key is a wrong one."""
    signed = file.envelope.signed
    decryption = _Decryption(file, key)
    head = decryption.read(0, min(LONGEST_START, file.envelope.length))
    try:
        content = read_content_head(head, signed=signed)
        return _OpenedFile(content, decryption.read, decryption.chunks)
    except IndefiniteLength:
        view = DerView(decryption.read, decryption.size(), enveloped=False)
        content = read_content_head(view.read(0, LONGEST_START), signed=signed)
        return _OpenedFile(content, view.read, view.chunks)
