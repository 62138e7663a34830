"""Which transfer syntaxes an instance may have on media."""

import pytest

from burnish.transcode.transfer_syntaxes import decodable, media_syntaxes
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
)

JPEG = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
J2K = frozenset({JPEG_2000})


def test_which_transfer_syntaxes_can_be_decoded() -> None:
    assert decodable("1.2.840.10008.1.2.4.50")
    assert not decodable("1.2.840.10008.1.2.4.102")
    assert not decodable("")


@pytest.mark.parametrize(
    ("syntax", "bits", "signed", "photometric", "permitted", "expected"),
    [
        (EXPLICIT_VR_LITTLE_ENDIAN, (8, 8), 0, "RGB", JPEG | J2K, JPEG_BASELINE),
        (EXPLICIT_VR_LITTLE_ENDIAN, (16, 12), 0, "MONOCHROME1", JPEG | J2K, JPEG_EXTENDED),
        (EXPLICIT_VR_LITTLE_ENDIAN, (16, 12), 1, "MONOCHROME2", JPEG, None),
        (EXPLICIT_VR_LITTLE_ENDIAN, (16, 12), 1, "MONOCHROME2", J2K, JPEG_2000),
        (EXPLICIT_VR_LITTLE_ENDIAN, (16, 10), 0, "MONOCHROME2", JPEG, None),
        (EXPLICIT_VR_LITTLE_ENDIAN, (8, 8), 0, "PALETTE COLOR", JPEG | J2K, None),
        (EXPLICIT_VR_LITTLE_ENDIAN, (8, 8), 0, "RGB", {EXPLICIT_VR_LITTLE_ENDIAN}, None),
        (JPEG_BASELINE, (8, 8), 0, "MONOCHROME2", JPEG | J2K, None),
        (JPEG_2000, (8, 8), 0, "MONOCHROME2", JPEG | J2K, None),
    ],
)
def test_the_transfer_syntax_for_compression_with_loss(
    syntax: str,
    bits: tuple[int, int],
    signed: int,
    photometric: str,
    permitted: frozenset[str],
    expected: str | None,
) -> None:
    values = {
        **dict(zip((0x00280100, 0x00280101), bits, strict=True)),
        **{0x00280103: signed, 0x00280004: photometric},
    }
    assert media_syntaxes(syntax, permitted, values, is_image=True).lossy == expected
    assert media_syntaxes(syntax, permitted, values, is_image=False).lossy is None
