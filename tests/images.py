"""Pixels for tests, and files with them."""

from pathlib import Path

import numpy as np

import made_entries
from burnish import file_meta
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN


def written(path: Path, cells: np.ndarray, bits: int, **attributes: object) -> Path:
    """A file with these pixels, an array of frames, rows, columns and samples."""
    dataset = made_entries.instance("1.2.840.10008.5.1.4.1.1.7", PatientID="1")
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = cells.shape
    dataset.PhotometricInterpretation = "RGB" if cells.shape[3] == 3 else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored = 8 * cells.itemsize, bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(cells.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = cells.tobytes() + b"\0" * (cells.nbytes & 1)
    dataset["PixelData"].VR = "OB" if cells.itemsize == 1 else "OW"
    meta = file_meta.encode(dataset.SOPClassUID, dataset.SOPInstanceUID, EXPLICIT_VR_LITTLE_ENDIAN)
    path.write_bytes(meta + made_entries.encoded(dataset))
    return path


def smooth(shape: tuple[int, int, int, int], bits: int, *, signed: bool, seed: int) -> np.ndarray:
    """Pixels that can be compressed: noise of a few bits on a slope over all values."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, (1 << bits) - 1, shape[2]).reshape(1, 1, -1, 1)
    values = slope.astype(np.int64) + rng.integers(0, 1 << (bits // 4), shape)
    values = np.clip(values, 0, (1 << bits) - 1) - (1 << (bits - 1) if signed else 0)
    size = 1 if bits <= 8 else 2
    return values.astype(f"<{'i' if signed else 'u'}{size}")
