"""Craft: images compressed with loss, which makes them other SOP Instances (PS3.3 C.7.6.1.1.5).

A compressed image has a new SOP Instance UID, is DERIVED, and names its source, the method and the
ratio. The UID is a hash of the source's UID and the encoded frames: if the same image is compressed
again with the same result, it is the same instance.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from burnish.dicom_elements import encode, encode_item
from burnish.file_slice import Slice
from burnish.hashing import Hasher, new_hasher
from burnish.instance_header.header import index_file
from burnish.transcode import jpeg_lossy
from burnish.transcode.frames import (
    CODEC_ERRORS,
    PHOTOMETRIC_INTERPRETATION,
    ImagePixel,
    decode_frame,
)
from burnish.transcode.lossless import (
    NativeImage,
    NotCompressible,
    as_item,
    encapsulated,
    open_native,
    pixel_values,
)
from burnish.transcode.uncompressed import TranscodedFile, removed_on_failure, write
from burnish.vocabulary import (
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
)

if TYPE_CHECKING:
    import numpy as np

#: The Defined Terms of the methods of compression (PS3.3 C.7.6.1.1.5.1).
METHODS = {
    JPEG_BASELINE: b"ISO_10918_1",
    JPEG_EXTENDED: b"ISO_10918_1",
    JPEG_2000: b"ISO_15444_1",
}
#: The peak signal-to-noise ratio that JPEG 2000 is to reach, in dB; the peak is the range of the
#: pixel values.
JPEG_2000_FIDELITY = 45.0
#: The least peak signal-to-noise ratio with which a compressed image is used, in dB.
LEAST_FIDELITY = 36.0

_IMAGE_TYPE, _SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080008, 0x00080016, 0x00080018
_DERIVATION_DESCRIPTION, _SOURCE_IMAGE_SEQUENCE = 0x00082111, 0x00082112
_DERIVATION_CODE_SEQUENCE = 0x00089215
_LOSSY, _LOSSY_RATIO, _LOSSY_METHOD = 0x00282110, 0x00282112, 0x00282114
_PIXEL_PADDING_VALUE = 0x00280120
_SHARED_FUNCTIONAL_GROUPS_SEQUENCE = 0x52009229
#: Attributes that are not true of the compressed image: who created the instance and when, the
#: smallest and largest pixel values, and MAC parameters of signatures (PS3.3 C.12.1, C.7.6.3,
#: C.12.1.1.3).
NO_LONGER_TRUE = (
    0x00080012,
    0x00080013,
    0x00080014,
    0x00280106,
    0x00280107,
    0x00280108,
    0x00280109,
    0x00280110,
    0x00280111,
    0x4FFE0001,
)
_DIGITAL_SIGNATURES_SEQUENCE = 0xFFFAFFFA
_LONGEST_DESCRIPTION = 1024


def compress(
    source: Slice, target: Path, transfer_syntax_uid: str, *, source_ae_title: str = ""
) -> TranscodedFile:
    """Write the image `source` to `target` in one of LOSSY, durably, as another SOP Instance.

    Raises NotCompressible for an image that the transfer syntax cannot hold, that was compressed
    with loss before, whose content loss would damage, or that would differ too much; then there is
    no `target`.
    """
    with open_native(source, target) as native, TemporaryFile(dir=target.parent) as encoded:
        values = _small_values(native)
        _check_compressible(native, values)
        hasher = new_hasher()
        hasher.update(values.get(_SOP_INSTANCE_UID, b""))
        lengths = list(_encode_all(native, transfer_syntax_uid, encoded, hasher))
        ratio = native.image.length / max(1, sum(lengths) - 8 * len(lengths))
        changes = _changes(native, values, transfer_syntax_uid, ratio, hasher)
        behind = [
            element for element in native.behind if element.tag != _DIGITAL_SIGNATURES_SEQUENCE
        ]
        image = _encoded(native.image, transfer_syntax_uid)
        unsigned = replace(native, behind=behind)
        pieces = encapsulated(unsigned, image, encoded, lengths, changes)
        with removed_on_failure(target):
            file = write(target, pieces, transfer_syntax_uid, source_ae_title)
            derived = index_file(target).header
            return replace(
                file,
                derived_sop_instance_uid=derived.sop_instance_uid,
                derived_record_keys=derived.record_keys,
            )


def _small_values(native: NativeImage) -> dict[int, bytes]:
    """The values of elements that are not large, by tag, without padding."""
    return {
        element.tag: native.window[element.value : element.value + element.length].rstrip(b" \0")
        for element in native.before
        if element.length <= _LONGEST_DESCRIPTION
    }


def _check_compressible(native: NativeImage, values: Mapping[int, bytes]) -> None:
    if values.get(_LOSSY) == b"01" or values.get(_LOSSY_RATIO) or values.get(_LOSSY_METHOD):
        raise NotCompressible("the image was compressed with loss before", attributes=(_LOSSY,))
    if _PIXEL_PADDING_VALUE in values:
        # loss could turn pixels into padding and padding into pixels (PS3.3 C.7.5.1.1.2)
        raise NotCompressible("the image has pixel padding", attributes=(_PIXEL_PADDING_VALUE,))
    for element in native.before:
        if element.tag == _SHARED_FUNCTIONAL_GROUPS_SEQUENCE:
            # functional groups say of each frame what it is derived from
            raise NotCompressible(
                "the image has functional groups, which would need to be changed",
                attributes=(element.tag,),
            )
        appended = element.tag in (_SOURCE_IMAGE_SEQUENCE, _DERIVATION_CODE_SEQUENCE)
        if appended and element.vr != b"SQ":
            raise NotCompressible("a sequence has an unknown VR", attributes=(element.tag,))


def _encode_all(
    native: NativeImage, transfer_syntax_uid: str, out: BinaryIO, hasher: Hasher
) -> Iterator[int]:
    """Writes all the fragments, one for each frame, as items; the length of each item."""
    for samples in native.frames():
        fragment = _encode(samples, native.image, transfer_syntax_uid)
        hasher.update(fragment)
        yield out.write(as_item(fragment))


def _encode(samples: "np.ndarray", image: ImagePixel, transfer_syntax_uid: str) -> bytes:
    values = pixel_values(samples, image)
    if image.photometric_interpretation == "PALETTE COLOR":
        raise NotCompressible(
            "the pixel values are indices into a palette", attributes=(PHOTOMETRIC_INTERPRETATION,)
        )
    try:
        if transfer_syntax_uid == JPEG_2000:
            fragment = _encode_jpeg_2000(values, image)
        elif image.pixel_representation or image.bits_stored not in (8, 12):
            raise NotCompressible("JPEG with loss holds only unsigned samples of 8 or 12 bits")
        else:
            if image.photometric_interpretation == "RGB":
                values = _in_ybr_full(values)
            fragment = jpeg_lossy.encode(values, image.bits_stored)
        frame, _ = decode_frame(fragment, transfer_syntax_uid, _encoded(image, transfer_syntax_uid))
    except CODEC_ERRORS as error:
        raise NotCompressible("no encoder accepts this image") from error
    _check_fidelity(frame, values)
    return fragment


def _encode_jpeg_2000(values: "np.ndarray", image: ImagePixel) -> bytes:
    import numpy as np
    from openjpeg.utils import encode_array

    # the encoder takes the range of Bits Stored as the peak, the fidelity that of the pixel values
    unused = 20 * np.log10(((1 << image.bits_stored) - 1) / max(1, int(np.ptp(values))))
    colour = image.photometric_interpretation == "RGB"
    return bytes(
        encode_array(
            values[:, :, 0] if image.samples_per_pixel == 1 else values,
            bits_stored=image.bits_stored,
            photometric_interpretation=int(colour),
            use_mct=colour,
            signal_noise_ratios=[float(JPEG_2000_FIDELITY + unused)],
        )
    )


def _in_ybr_full(values: "np.ndarray") -> "np.ndarray":
    """RGB of 8 bits as YBR_FULL (PS3.3 C.7.6.3.1.2)."""
    import numpy as np

    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
        np.float32,
    )
    converted = values.astype(np.float32) @ matrix.T + np.array([0, 128, 128], np.float32)
    rounded: np.ndarray = np.clip(np.rint(converted), 0, 255).astype(np.uint8)
    return rounded


def _check_fidelity(frame: bytes, values: "np.ndarray") -> None:
    """Raise NotCompressible unless the decoded frame is close to the original values."""
    import numpy as np

    decoded = np.frombuffer(frame, values.dtype)
    if decoded.size != values.size:
        raise NotCompressible("the encoded frame decodes to another size")
    apart = decoded.reshape(values.shape).astype(np.float32) - values
    error = float(np.mean(apart * apart))
    peak = max(1, int(np.ptp(values)))
    if error and 10 * np.log10(peak * peak / error) < LEAST_FIDELITY:
        raise NotCompressible("the compressed image would differ too much")


def _encoded(image: ImagePixel, transfer_syntax_uid: str) -> ImagePixel:
    """The description of the image once it is compressed (PS3.5 8.2.1, 8.2.4)."""
    photometric = image.photometric_interpretation
    if photometric in ("RGB", "YBR_FULL"):
        photometric = "YBR_ICT" if transfer_syntax_uid == JPEG_2000 else "YBR_FULL_422"
    return replace(image, photometric_interpretation=photometric, planar_configuration=0)


def _changes(
    native: NativeImage,
    values: Mapping[int, bytes],
    transfer_syntax_uid: str,
    ratio: float,
    hasher: Hasher,
) -> dict[int, bytes]:
    """The elements that describe the compression (PS3.3 C.7.6.1, C.7.6.1.1.5, C.12.4)."""
    image_type = [b"DERIVED", *values.get(_IMAGE_TYPE, b"").split(b"\\")[1:]]
    if len(image_type) == 1:
        image_type.append(b"PRIMARY")
    method = METHODS[transfer_syntax_uid]
    ratio_text = f"{ratio:.2f}"[:16].encode("ascii")
    source = b"".join(
        (
            encode(0x00081150, b"UI", values.get(_SOP_CLASS_UID, b"")),
            encode(0x00081155, b"UI", values.get(_SOP_INSTANCE_UID, b"")),
            encode(0x0028135A, b"CS", b"YES"),
            encode(0x0040A170, b"SQ", _code(b"121320", b"Uncompressed predecessor")),
        )
    )
    # a UUID of version 8, whose bits are free (RFC 9562), as the last component (PS3.5 B.2)
    number = bytearray.fromhex(hasher.hexdigest()[:32])
    number[6], number[8] = number[6] & 0x0F | 0x80, number[8] & 0x3F | 0x80
    uid = f"2.25.{uuid.UUID(bytes=bytes(number)).int}"
    description = _derivation_description(
        values.get(_DERIVATION_DESCRIPTION, b""), method, ratio_text
    )
    code = _code(b"113040", b"Lossy Compression")
    changes = {
        **dict.fromkeys(NO_LONGER_TRUE, b""),
        _IMAGE_TYPE: encode(_IMAGE_TYPE, b"CS", b"\\".join(image_type)),
        _SOP_INSTANCE_UID: encode(_SOP_INSTANCE_UID, b"UI", uid.encode("ascii")),
        _SOURCE_IMAGE_SEQUENCE: _appended(native, _SOURCE_IMAGE_SEQUENCE, encode_item(source)),
        _DERIVATION_CODE_SEQUENCE: _appended(native, _DERIVATION_CODE_SEQUENCE, code),
        _LOSSY: encode(_LOSSY, b"CS", b"01"),
        _LOSSY_RATIO: encode(_LOSSY_RATIO, b"DS", ratio_text),
        _LOSSY_METHOD: encode(_LOSSY_METHOD, b"CS", method),
    }
    if description:
        changes[_DERIVATION_DESCRIPTION] = encode(_DERIVATION_DESCRIPTION, b"ST", description)
    return changes


def _code(value: bytes, meaning: bytes) -> bytes:
    """An item with a code of the DICOM Controlled Terminology (PS3.16 D)."""
    return encode_item(
        encode(0x00080100, b"SH", value)
        + encode(0x00080102, b"SH", b"DCM")
        + encode(0x00080104, b"LO", meaning)
    )


def _derivation_description(earlier: bytes, method: bytes, ratio_text: bytes) -> bytes:
    """The description of the compression, behind an earlier one; b"" to keep that unchanged."""
    description = b"Lossy compression " + method + b", " + ratio_text + b":1"
    if not earlier:
        return description
    description = earlier + b"; " + description
    if len(description) > _LONGEST_DESCRIPTION:
        return b""
    # behind text of another character set, ASCII would need escape sequences (PS3.5 6.1.2.5)
    if not earlier.isascii() or b"\x1b" in earlier:
        return b""
    return description


def _appended(native: NativeImage, tag: int, item: bytes) -> bytes:
    """A sequence of the image with one more item."""
    items = b""
    for element in native.before:
        if element.tag == tag:
            items = native.window[element.value : element.value + element.length]
    return encode(tag, b"SQ", items + item)
