"""Craft: a Secure File-set as a volume of the DICOM Files in it (PS3.10 7.4, PS3.15 D.1)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from cryptography.hazmat.primitives import hashes

from burnish.errors import Unreadable
from burnish.secure_files import encapsulated_content, envelope
from burnish.secure_files.ber import DerView
from burnish.secure_files.der import IndefiniteLength
from burnish.secure_files.encapsulated_content import EncapsulatedContent
from burnish.secure_files.envelope import Envelope
from burnish.secure_files.keyring import Keyring
from burnish.values import Volume

#: The content keys of a volume by File ID; whoever wrote it has them, in memory only.
ContentKeys = dict[str, bytes]

_HEAD = 32


def open_secure(volume: Volume, keys: Mapping[str, bytes] | Keyring) -> Volume:
    """`volume` itself if its DICOMDIR is in no envelope; else a SecureVolume of what is in them.

    Files in no envelope are there as they are. Without any key, whatever is in one stays closed.
    """
    name = next((name for name in volume.files() if name.upper() == "DICOMDIR"), "")
    if not name or not envelope.is_enveloped(volume.read(name, 0, _HEAD)):
        return volume
    return EnvelopedVolume(volume, keys)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """The envelope of a file, and the file as DER where it is not."""

    envelope: Envelope
    view: DerView | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file with its key, and what was encrypted as DER where it is not."""

    sealed: _Sealed
    key: bytes
    content: EncapsulatedContent
    view: DerView | None = None


class _Sizes(Mapping[str, int]):
    """The sizes of the files, each looked up when it is asked for."""

    def __init__(self, volume: "EnvelopedVolume", names: Iterable[str]) -> None:
        self._volume = volume
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> int:
        if name not in self._names:
            raise KeyError(name)
        return self._volume.size(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class EnvelopedVolume:
    """A volume of Secure DICOM Files, each decrypted as it is read.

    `chunks` and `check` prove the digest or the signature, `read` does not. The sizes of
    `files` are found as they are looked up, which raises Unreadable as reading does.
    """

    def __init__(self, volume: Volume, keys: Mapping[str, bytes] | Keyring) -> None:
        self._volume = volume
        self._keys = keys
        self._sizes = _Sizes(self, volume.files())
        self._envelope = lru_cache(16)(self._find_envelope)
        self._open = lru_cache(16)(self._find_key)
        self.volume_identifier = volume.volume_identifier
        if hasattr(volume, "file_system"):
            self.file_system = volume.file_system
        self.opened = bool(keys)

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def disagreements(self) -> Mapping[str, str]:
        return self._volume.disagreements()

    def size(self, name: str) -> int:
        """Bytes of the DICOM File, or of the file if that is in no envelope."""
        opened = self._open(name)
        return opened.content.size if opened else self._volume.files()[name]

    def sha256(self) -> str:
        """Of the whole image with its envelopes, where that is digested."""
        digest: str = getattr(self._volume, "sha256", str)()
        return digest

    def is_secure(self, name: str) -> bool:
        """Whether a file is in an envelope."""
        return self._envelope(name) is not None

    def check(self, name: str) -> None:
        """Raises Unreadable unless a Secure DICOM File is as PS3.15 D.1 says: what can be seen of
        it without a key, and with one its digest or signature too."""
        if self.opened:
            for _ in self.chunks(name):
                pass
        else:
            self._envelope(name)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        opened = self._open(name)
        if opened is None:
            return self._volume.read(name, offset, length)
        left = max(0, opened.content.size - offset)
        start = opened.content.start + offset
        wanted = left if length is None else min(left, length)
        if opened.view:
            return opened.view.read(start, wanted)
        return self._decrypt(name, opened.sealed, opened.key, start, wanted)

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        opened = self._open(name)
        if opened is None:
            yield from self._volume.chunks(name)
            return
        inside, size = opened.content, opened.content.size
        digest, end = hashes.Hash(inside.digest), bytearray()
        at = -inside.start
        decrypted = opened.view.chunks() if opened.view else self._decrypted(name, opened)
        for piece in decrypted:
            begin, stop = max(0, -at), max(0, size - at)
            if plain := memoryview(piece)[begin:stop]:
                digest.update(plain)
                yield plain
            end += memoryview(piece)[stop:]
            at += len(piece)
        if not opened.view:
            pad = len(end) - (inside.end - inside.start - size)
            _check_padding(end, pad, opened.sealed.envelope)
            del end[-pad:]
        encapsulated_content.check(inside, bytes(end), digest.finalize())

    def _decrypted(self, name: str, opened: _Opened) -> Iterator[bytes]:
        sealed, view = opened.sealed.envelope, opened.sealed.view
        decryptor = sealed.cipher.cbc(opened.key, sealed.iv).decryptor()
        skip, left = sealed.start, sealed.length
        for chunk in view.chunks() if view else self._volume.chunks(name):
            encrypted = memoryview(chunk)[skip : skip + left]
            skip, left = max(0, skip - len(chunk)), left - len(encrypted)
            yield decryptor.update(encrypted)
        yield decryptor.finalize()

    def _decrypt(self, name: str, file: _Sealed, key: bytes, start: int, length: int) -> bytes:
        """Bytes of the decrypted content: each block needs that before it only."""
        if not length:
            return b""
        sealed = file.envelope
        read = file.view.read if file.view else partial(self._volume.read, name)
        block = sealed.cipher.block_size
        first, stop = start // block * block, -(-(start + length) // block) * block
        stop = min(stop, sealed.length)
        iv = sealed.iv
        if first:
            iv = read(sealed.start + first - block, block)
        encrypted = read(sealed.start + first, stop - first)
        plain = sealed.cipher.cbc(key, iv).decryptor().update(encrypted)
        return plain[start - first : start - first + length]

    def _find_envelope(self, name: str) -> _Sealed | None:
        if not envelope.is_enveloped(self._volume.read(name, 0, _HEAD)):
            return None
        size, read = self._volume.files()[name], partial(self._volume.read, name)
        try:
            return _Sealed(envelope.parse(read, size))
        except IndefiniteLength:
            view = DerView(read, size, enveloped=True)
            return _Sealed(envelope.parse(view.read, view.size), view)

    def _find_key(self, name: str) -> _Opened | None:
        sealed = self._envelope(name)
        if sealed is None or not self.opened:
            return None
        if isinstance(self._keys, Keyring):
            candidates = self._keys.candidates(sealed.envelope)
        else:
            candidates = iter([self._keys[name]] if name in self._keys else [])
        why = "it is not for the key or password at hand"
        for key in candidates:
            try:
                return self._opened(name, sealed, key)
            except Unreadable as error:
                why = str(error)
        raise Unreadable(why)

    def _opened(self, name: str, file: _Sealed, key: bytes) -> _Opened:
        """A file with a key; raises Unreadable where that is not the right one."""
        sealed = file.envelope
        read = partial(self._decrypt, name, file, key)
        head = read(0, min(encapsulated_content.LONGEST_START, sealed.length))
        try:
            return _Opened(file, key, encapsulated_content.parse(head, signed=sealed.signed))
        except IndefiniteLength:
            block = sealed.cipher.block_size
            last = read(sealed.length - block, block)
            _check_padding(last, last[-1], sealed)
            view = DerView(read, sealed.length - last[-1], enveloped=False)
            head = view.read(0, encapsulated_content.LONGEST_START)
            return _Opened(file, key, encapsulated_content.parse(head, signed=sealed.signed), view)


def _check_padding(end: bytes | bytearray, pad: int, sealed: Envelope) -> None:
    if not 1 <= pad <= sealed.cipher.block_size or set(end[-pad:]) != {pad}:
        raise Unreadable("what it encrypts does not end as it should: it was changed")
