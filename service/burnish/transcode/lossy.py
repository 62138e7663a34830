"""Craft: images compressed with loss, which makes them other SOP Instances (PS3.3 C.7.6.1.1.5).

What is compressed says so: it has a SOP Instance UID of its own, is DERIVED, and names its source,
the method and the ratio. The UID comes from the source's and from what was encoded, so that the
same compression of the same image is the same instance wherever it is done.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from burnish.dicom_elements import encode, encode_item
from burnish.hashing import Hasher, new_hasher
from burnish.instance_header.header import index_file
from burnish.transcode import jpeg_dct
from burnish.transcode.frames import (
    CODEC_ERRORS,
    PHOTOMETRIC_INTERPRETATION,
    ImagePixel,
    decode_frame,
)
from burnish.transcode.lossless import Native, NotCompressible, as_item, encapsulated, opened
from burnish.transcode.lossless import values_of as values_of_samples
from burnish.transcode.uncompressed import TranscodedFile, or_nothing, write
from burnish.vocabulary import (
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
)

if TYPE_CHECKING:
    import numpy as np

#: The transfer syntaxes that images are compressed into with loss, and the Defined Terms of their
#: methods (PS3.3 C.7.6.1.1.5.1).
METHODS = {
    JPEG_BASELINE: b"ISO_10918_1",
    JPEG_EXTENDED: b"ISO_10918_1",
    JPEG_2000: b"ISO_15444_1",
}
#: How near to a frame what JPEG 2000 makes of it is to come out, and how near anything has to, in
#: dB of the range of its values to the error.
_FIDELITY, _LEAST_FIDELITY = 45.0, 36.0

_IMAGE_TYPE, _SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080008, 0x00080016, 0x00080018
_DERIVATION_DESCRIPTION, _SOURCE_IMAGE_SEQUENCE = 0x00082111, 0x00082112
_DERIVATION_CODE_SEQUENCE = 0x00089215
_LOSSY, _LOSSY_RATIO, _LOSSY_METHOD = 0x00282110, 0x00282112, 0x00282114
_PIXEL_PADDING_VALUE = 0x00280120
_SHARED_FUNCTIONAL_GROUPS_SEQUENCE = 0x52009229
#: What would no longer be true: who made the instance and when, the least and the greatest pixel
#: value, and signatures (PS3.3 C.12.1, C.7.6.3, C.12.1.1.3).
_NO_LONGER_TRUE = (
    *(0x00080012, 0x00080013, 0x00080014),
    *(0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110, 0x00280111),
    0x4FFE0001,
)
_DIGITAL_SIGNATURES_SEQUENCE = 0xFFFAFFFA
_LONGEST_DESCRIPTION = 1024


def compress(
    source: Path, target: Path, transfer_syntax_uid: str, *, source_ae_title: str = ""
) -> TranscodedFile:
    """Write the image `source` to `target` in one of METHODS, durably, as another SOP Instance.

    Raises NotCompressible for an image that cannot be compressed into that transfer syntax, one
    that has been compressed with loss, one in which that would do harm, and one that would not
    stay as it looks; then there is no `target`.
    """
    with opened(source, target) as native, TemporaryFile(dir=target.parent) as encoded:
        values = _small_values(native)
        _refuse(native, values)
        made = new_hasher()
        made.update(values.get(_SOP_INSTANCE_UID, b""))
        lengths = list(_encode_all(native, transfer_syntax_uid, encoded, made))
        ratio = native.image.length / max(1, sum(lengths) - 8 * len(lengths))
        changes = _changes(native, values, transfer_syntax_uid, ratio, made)
        behind = [one for one in native.behind if one.tag != _DIGITAL_SIGNATURES_SEQUENCE]
        image = _encoded(native.image, transfer_syntax_uid)
        unsigned = replace(native, behind=behind)
        pieces = encapsulated(unsigned, image, encoded, lengths, changes)
        with or_nothing(target):
            done = write(target, pieces, transfer_syntax_uid, source_ae_title)
            derived = index_file(target).header
            return replace(
                done,
                derived_sop_instance_uid=derived.sop_instance_uid,
                derived_record_keys=derived.record_keys,
            )


def _small_values(native: Native) -> dict[int, bytes]:
    """The values of what is not large, by tag, without padding."""
    return {
        one.tag: native.window[one.value : one.value + one.length].rstrip(b" \0")
        for one in native.before
        if one.length <= _LONGEST_DESCRIPTION
    }


def _refuse(native: Native, values: Mapping[int, bytes]) -> None:
    if values.get(_LOSSY) == b"01" or values.get(_LOSSY_RATIO) or values.get(_LOSSY_METHOD):
        raise NotCompressible("it has been compressed with loss before", attributes=(_LOSSY,))
    if _PIXEL_PADDING_VALUE in values:
        # Loss would make pixels of padding, and padding of pixels (PS3.3 C.7.5.1.1.2).
        raise NotCompressible("it has padding", attributes=(_PIXEL_PADDING_VALUE,))
    for one in native.before:
        if one.tag == _SHARED_FUNCTIONAL_GROUPS_SEQUENCE:
            # What a frame is derived from stands in there, and is kept in step with much else.
            raise NotCompressible("it has functional groups", attributes=(one.tag,))
        appended = one.tag in (_SOURCE_IMAGE_SEQUENCE, _DERIVATION_CODE_SEQUENCE)
        if appended and one.vr != b"SQ":
            raise NotCompressible("a sequence is of unknown VR", attributes=(one.tag,))


def _encode_all(
    native: Native, transfer_syntax_uid: str, out: BinaryIO, made: Hasher
) -> Iterator[int]:
    """Writes all the fragments, one for each frame, as items; the length of each item."""
    for samples in native.frames():
        fragment = _encode(samples, native.image, transfer_syntax_uid)
        made.update(fragment)
        yield out.write(as_item(fragment))


def _encode(samples: "np.ndarray", image: ImagePixel, transfer_syntax_uid: str) -> bytes:
    values = values_of_samples(samples, image)
    if image.photometric_interpretation == "PALETTE COLOR":
        raise NotCompressible(
            "its pixel values are not intensities", attributes=(PHOTOMETRIC_INTERPRETATION,)
        )
    try:
        if transfer_syntax_uid == JPEG_2000:
            fragment = _encode_jpeg_2000(values, image)
        elif image.pixel_representation or image.bits_stored not in (8, 12):
            raise NotCompressible("JPEG has unsigned samples of 8 or 12 bits")
        else:
            if image.photometric_interpretation == "RGB":
                values = _in_ybr_full(values)
            fragment = jpeg_dct.encode(values, image.bits_stored)
        frame, _ = decode_frame(fragment, transfer_syntax_uid, _encoded(image, transfer_syntax_uid))
    except CODEC_ERRORS as error:
        raise NotCompressible("no codec takes this image") from error
    _prove(frame, values)
    return fragment


def _encode_jpeg_2000(values: "np.ndarray", image: ImagePixel) -> bytes:
    import numpy as np
    from openjpeg.utils import encode_array

    # The encoder counts from all the values that there could be.
    unused = 20 * np.log10(((1 << image.bits_stored) - 1) / max(1, int(np.ptp(values))))
    colour = image.photometric_interpretation == "RGB"
    return bytes(
        encode_array(
            values[:, :, 0] if image.samples_per_pixel == 1 else values,
            bits_stored=image.bits_stored,
            photometric_interpretation=int(colour),
            use_mct=colour,
            signal_noise_ratios=[float(_FIDELITY + unused)],
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


def _prove(frame: bytes, values: "np.ndarray") -> None:
    """Raise NotCompressible unless the decoded frame is close to what was encoded."""
    import numpy as np

    decoded = np.frombuffer(frame, values.dtype)
    if decoded.size != values.size:
        raise NotCompressible("what was encoded decodes to another size")
    apart = decoded.reshape(values.shape).astype(np.float32) - values
    error = float(np.mean(apart * apart))
    peak = max(1, int(np.ptp(values)))
    if error and 10 * np.log10(peak * peak / error) < _LEAST_FIDELITY:
        raise NotCompressible("it would not stay as it looks")


def _encoded(image: ImagePixel, transfer_syntax_uid: str) -> ImagePixel:
    """What the image is when it is compressed (PS3.5 8.2.1, 8.2.4)."""
    photometric = image.photometric_interpretation
    if photometric in ("RGB", "YBR_FULL"):
        photometric = "YBR_ICT" if transfer_syntax_uid == JPEG_2000 else "YBR_FULL_422"
    return replace(image, photometric_interpretation=photometric, planar_configuration=0)


def _changes(
    native: Native,
    values: Mapping[int, bytes],
    transfer_syntax_uid: str,
    ratio: float,
    made: Hasher,
) -> dict[int, bytes]:
    """The elements that tell of the compression (PS3.3 C.7.6.1, C.7.6.1.1.5, C.12.4)."""
    _, *others = values.get(_IMAGE_TYPE, b"").split(b"\\")
    image_type = b"\\".join((b"DERIVED", *(others or (b"PRIMARY",))))
    method, figure = METHODS[transfer_syntax_uid], f"{ratio:.2f}"[:16].encode("ascii")
    source = b"".join(
        (
            encode(0x00081150, b"UI", values.get(_SOP_CLASS_UID, b"")),
            encode(0x00081155, b"UI", values.get(_SOP_INSTANCE_UID, b"")),
            encode(0x0028135A, b"CS", b"YES"),
            encode(0x0040A170, b"SQ", _code(b"121320", b"Uncompressed predecessor")),
        )
    )
    # A UUID of our own making, of version 8 (RFC 9562), as the last component (PS3.5 B.2).
    number = bytearray.fromhex(made.hexdigest()[:32])
    number[6], number[8] = number[6] & 0x0F | 0x80, number[8] & 0x3F | 0x80
    uid = f"2.25.{uuid.UUID(bytes=bytes(number)).int}"
    description = _described(values.get(_DERIVATION_DESCRIPTION, b""), method, figure)
    code = _code(b"113040", b"Lossy Compression")
    changes = {
        **dict.fromkeys(_NO_LONGER_TRUE, b""),
        _IMAGE_TYPE: encode(_IMAGE_TYPE, b"CS", image_type),
        _SOP_INSTANCE_UID: encode(_SOP_INSTANCE_UID, b"UI", uid.encode("ascii")),
        _SOURCE_IMAGE_SEQUENCE: _appended(native, _SOURCE_IMAGE_SEQUENCE, encode_item(source)),
        _DERIVATION_CODE_SEQUENCE: _appended(native, _DERIVATION_CODE_SEQUENCE, code),
        _LOSSY: encode(_LOSSY, b"CS", b"01"),
        _LOSSY_RATIO: encode(_LOSSY_RATIO, b"DS", figure),
        _LOSSY_METHOD: encode(_LOSSY_METHOD, b"CS", method),
    }
    if description:
        changes[_DERIVATION_DESCRIPTION] = encode(_DERIVATION_DESCRIPTION, b"ST", description)
    return changes


def _code(value: bytes, meaning: bytes) -> bytes:
    """The item of a code of DICOM's own (PS3.16 D)."""
    return encode_item(
        encode(0x00080100, b"SH", value)
        + encode(0x00080102, b"SH", b"DCM")
        + encode(0x00080104, b"LO", meaning)
    )


def _described(before: bytes, method: bytes, figure: bytes) -> bytes:
    """What was said of an earlier derivation, and this one; b"" to leave the former alone."""
    own = b"Lossy compression " + method + b", " + figure + b":1"
    if not before:
        return own
    longer = before + b"; " + own
    # After characters of another set it takes escapes to get back (PS3.5 6.1.2.5).
    fits = len(longer) <= _LONGEST_DESCRIPTION and before.isascii() and b"\x1b" not in before
    return longer if fits else b""


def _appended(native: Native, tag: int, item: bytes) -> bytes:
    """The sequence as it was, with one item more."""
    found = next((one for one in native.before if one.tag == tag), None)
    items = native.window[found.value : found.value + found.length] if found else b""
    return encode(tag, b"SQ", items + item)
