"""Craft: names what an image is that Burnish does not read, by the first bytes of it."""

from burnish.image.image_source import Source

#: Offset and bytes of what begins each file system or partition.
_FILE_SYSTEMS = (
    (54, b"FAT12   ", "FAT12"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"-FVE-FS-", "BitLocker"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"XFSB", "XFS"),
    (0, b"hsqs", "SquashFS"),
    (32, b"NXSB", "APFS"),
    (1024, b"H+\0\4", "HFS+"),
    (1024, b"HX\0\5", "HFS+"),
    (1024, b"BD", "HFS"),
    (0x438, b"\x53\xef", "ext2, ext3 or ext4"),
    (0x10040, b"_BHRfS_M", "Btrfs"),
)
#: What else people take for an image.
_FILES = (
    (0, b"\0" + b"\xff" * 10 + b"\0", "a raw image of a CD, with sectors of 2352 bytes"),
    (128, b"DICM", "a single DICOM file"),
    (0, b"%PDF-", "a PDF file"),
    (0, b"\x1f\x8b", "a file compressed with gzip"),
    (0, b"\xfd7zXZ\0", "a file compressed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed with Zstandard"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
)
#: Offset and first bytes of what a volume that is read here begins with, after zeros.
_BEGINNINGS = (
    (0x8000, b"\1CD001"),
    (0x8000, b"\0BEA01"),
    (0, b"PK\3\4"),
    (0, b"MIME-Version:"),
)
#: Where the boot code of a stick ends; its first sector has the signature at its end.
_BOOT_CODE = 440
_SECTOR = 512
#: More bytes than these behind its beginning would be recognized, if they were a volume.
_LONGEST_CUT = 2 * 2048
_MBR_SIGNATURE = b"\x55\xaa"


def name_format(source: Source) -> str:
    """The kind of the source, as "the file system NTFS" or "a PDF file"; "" if it is not known."""
    for start in (0, _first_partition(source)):
        for offset, magic, name in _FILE_SYSTEMS:
            if _has(source, start + offset, magic):
                return f"the file system {name}"
    for offset, magic, name in _FILES:
        if _has(source, offset, magic):
            return name
    return ""


def is_cut_beginning(source: Source) -> bool:
    """Whether the source is the beginning of a volume, cut off before that can be recognized."""
    if source.end < _SECTOR and not any(source.read(0, min(source.end, _BOOT_CODE))):
        return True
    for offset, expected in _BEGINNINGS:
        count = min(len(expected), source.end - offset)
        if count <= 0 or source.end > offset + _LONGEST_CUT:
            continue
        if source.read(offset, count) == expected[:count] and not any(source.read(0, offset)):
            return True
    return False


def _first_partition(source: Source) -> int:
    """The first byte of the first partition in the MBR, or in the GPT behind it; else 0."""
    if not _has(source, _SECTOR - 2, _MBR_SIGNATURE):
        return 0
    if _has(source, _SECTOR, b"EFI PART") and source.has(0, 3 * _SECTOR):
        return int.from_bytes(source.read(2 * _SECTOR + 32, 8), "little") * _SECTOR
    return int.from_bytes(source.read(454, 4), "little") * _SECTOR


def _has(source: Source, offset: int, magic: bytes) -> bool:
    return source.has(offset, len(magic)) and source.read(offset, len(magic)) == magic
