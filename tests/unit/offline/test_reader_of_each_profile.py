"""A volume of each written profile, in each of its transfer syntaxes, is read as a reader must."""

from pathlib import Path

import pytest
from pydantic import SecretStr

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
from burnish.secure_files import Keyring, open_secure
from burnish.secure_files.protection import load_protection
from burnish.settings import SecuritySettings
from burnish.values import FileToStore, StoreResponse
from burnish.verify import examine_volume
from made_codestreams import jpeg, jpeg_2000
from profile_instances import instances_of

EXPLICIT = "1.2.840.10008.1.2.1"
#: The marker of the frame header of each JPEG process.
PROCESSES = {
    "1.2.840.10008.1.2.4.50": 0xC0,
    "1.2.840.10008.1.2.4.51": 0xC1,
    "1.2.840.10008.1.2.4.70": 0xC3,
}
PASSWORD = b"words that nobody guesses"
PROTECTION = load_protection(
    SecuritySettings(password=SecretStr(PASSWORD.decode()), password_iterations=1000),
    recipients="",
    password_file="",
)


def pixels(transfer_syntax_uid: str) -> bytes:
    """Pixel Data of 64 columns and one row in a transfer syntax; "" for native ones."""
    if transfer_syntax_uid == EXPLICIT:
        return b""
    if transfer_syntax_uid in PROCESSES:
        return factories.encapsulated(jpeg(1, 64, marker=PROCESSES[transfer_syntax_uid]))
    if transfer_syntax_uid.startswith("1.2.840.10008.1.2.4.9"):
        return factories.encapsulated(jpeg_2000(1, 64))
    return factories.encapsulated(bytes(100))  # a video stream, which nobody examines


def written(folder: Path, transfer_syntax_uid: str) -> Path:
    """An instance in a file of a folder."""
    instance = factories.instance(
        transfer_syntax_uid=transfer_syntax_uid, pixels=pixels(transfer_syntax_uid)
    )
    rows = encode(0x00280010, b"US", b"\1\0")
    frames = encode(0x00280008, b"IS", b"1")
    data = instance.data_set.replace(rows, frames + rows, 1)
    meta = file_meta.encode(instance.sop_class_uid, instance.sop_instance_uid, transfer_syntax_uid)
    path = folder / f"{instance.sop_instance_uid}.dcm"
    path.write_bytes(meta + data)
    return path


def encoding_and_data_set(path: Path) -> tuple[str, bytes]:
    data = path.read_bytes()
    offset, transfer_syntax_uid = file_meta.locate(data)
    return transfer_syntax_uid, data[offset:]


class Taking:
    """A destination that takes everything: transfer syntax and data set of each instance."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []

    def store(self, file: FileToStore) -> StoreResponse:
        encoded = encoding_and_data_set(file.path)
        assert encoded[0] == file.transfer_syntax_uid
        self.taken.append(encoded)
        return StoreResponse(0)


def general_sources(profile: ApplicationProfile, folder: Path) -> list[Path]:
    return [written(folder, syntax) for syntax in sorted(profile.transfer_syntaxes)]


@pytest.mark.parametrize("profile", OFFERED.values(), ids=lambda profile: profile.label)
def test_each_transfer_syntax_of_the_profile_is_read(
    profile: ApplicationProfile, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    make_sources = general_sources if profile.general else instances_of
    paths = make_sources(profile, source)
    sent = sorted(encoding_and_data_set(path) for path in paths)
    assert {syntax for syntax, _ in sent} == profile.transfer_syntaxes
    medium = next(MEDIA[name] for name in profile.written_media)
    protection = PROTECTION if profile.secure else None
    options = BuildOptions(profile, medium, None, "READER", True, protection=protection)
    outcome = build([source], tmp_path / "out", options, lambda *_: None)
    assert outcome.refused == []
    [built] = outcome.built
    keyring = Keyring(password=PASSWORD) if profile.secure else Keyring()
    with open_volume(built.image) as volume:
        report = examine_volume(open_secure(volume, keyring), profile, size=built.size)
    assert report.faults == ()
    assert report.instances == len(paths)
    if "DICOMDIR" in volume.files():
        [patient] = label_content(built.image, keyring).patients
        assert patient.patient_name == "Doe^Jane"
    taking = Taking()
    with open_file_set(built.image, keyring) as file_set:
        result = import_file_set(
            file_set, taking, ImportSelection(), ImportState(None, ""), lambda *_: None
        )
    assert result.complete
    assert result.accepted == len(paths)
    assert sorted(taking.taken) == sent
