"""A volume of each general profile, in each of its transfer syntaxes, is read as a reader must."""

from pathlib import Path

import pytest

import factories
from burnish import file_meta
from burnish.application_profiles import OFFERED, ApplicationProfile
from burnish.dicom_elements import encode
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.offline.disc_import import ImportSelection, ImportState, import_file_set
from burnish.offline.disc_label import label_content
from burnish.offline.file_set import open_file_set
from burnish.secure_files import Keyring
from burnish.values import FileToStore, StoreResponse
from burnish.verify import examine_volume
from made_codestreams import jpeg, jpeg_2000

EXPLICIT = "1.2.840.10008.1.2.1"
#: The marker of the frame header of each JPEG process.
PROCESSES = {
    "1.2.840.10008.1.2.4.50": 0xC0,
    "1.2.840.10008.1.2.4.51": 0xC1,
    "1.2.840.10008.1.2.4.70": 0xC3,
}
READABLE = [profile for profile in OFFERED.values() if profile.general and not profile.security]


def pixels(transfer_syntax_uid: str) -> bytes:
    """Pixel Data of 64 columns and one row in a transfer syntax; "" for native ones."""
    if transfer_syntax_uid == EXPLICIT:
        return b""
    if transfer_syntax_uid in PROCESSES:
        return factories.encapsulated(jpeg(1, 64, marker=PROCESSES[transfer_syntax_uid]))
    if transfer_syntax_uid.startswith("1.2.840.10008.1.2.4.9"):
        return factories.encapsulated(jpeg_2000(1, 64))
    return factories.encapsulated(bytes(100))  # a video stream, which nobody examines


def written(folder: Path, transfer_syntax_uid: str) -> bytes:
    """An instance in a file; the bytes of its data set."""
    instance = factories.instance(
        transfer_syntax_uid=transfer_syntax_uid, pixels=pixels(transfer_syntax_uid)
    )
    rows = encode(0x00280010, b"US", b"\1\0")
    frames = encode(0x00280008, b"IS", b"1")
    data = instance.data_set.replace(rows, frames + rows, 1)
    meta = file_meta.encode(instance.sop_class_uid, instance.sop_instance_uid, transfer_syntax_uid)
    path = folder / f"{instance.sop_instance_uid}.dcm"
    path.write_bytes(meta + data)
    return data


class Taking:
    """A destination that takes everything: the data sets by transfer syntax."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}

    def store(self, file: FileToStore) -> StoreResponse:
        data = file.path.read_bytes()
        offset, _ = file_meta.locate(data)
        self.taken[file.transfer_syntax_uid] = data[offset:]
        return StoreResponse(0)


@pytest.mark.parametrize("profile", READABLE, ids=lambda profile: profile.label)
def test_each_transfer_syntax_of_the_profile_is_read(
    profile: ApplicationProfile, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    syntaxes = sorted({syntax for rule in profile.rules for syntax in rule.transfer_syntaxes})
    data_sets = {syntax: written(source, syntax) for syntax in syntaxes}
    medium = next(MEDIA[name] for name in profile.written_media)
    options = BuildOptions(profile, medium, None, "READER", True)
    outcome = build([source], tmp_path / "out", options, lambda *_: None)
    assert outcome.refused == []
    [built] = outcome.built
    with open_volume(built.image) as volume:
        report = examine_volume(volume, profile, size=built.size)
    assert report.faults == ()
    assert report.instances == len(syntaxes)
    if "DICOMDIR" in volume.files():
        [patient] = label_content(built.image).patients
        assert patient.patient_name == "Doe^Jane"
    taking = Taking()
    with open_file_set(built.image, Keyring()) as file_set:
        result = import_file_set(
            file_set, taking, ImportSelection(), ImportState(None, ""), lambda *_: None
        )
    assert result.complete
    assert result.accepted == len(syntaxes)
    assert taking.taken == data_sets
