"""Stage: the test burn: a small request with generated images, made on one device like any other.

The images are received, planned, written, read back and registered as those of a patient are. So a
test burn shows that the whole road works, and not only the drive.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from burnish.application_profiles import OFFERED
from burnish.db.tables import short_id
from burnish.dicom_elements import encode
from burnish.errors import NotNow
from burnish.identifiers import new_uid
from burnish.request import listing, operations
from burnish.request.actions import RequestActions
from burnish.request.operations import NewRequest, Reference
from burnish.request.views import RequestLine
from burnish.settings import DeviceSettings, RequestSettings
from burnish.values import Actor, WholeInstance
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, RequestPriority, YesNo

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_IMAGES = 8
_EDGE = 512
#: The patient of a test burn. No standing order sees the images without their request.
PATIENT_NAME, PATIENT_ID = "TEST^BURN", "BURNISH-TEST"
_DEFAULT_PROFILES = ("STD-GEN-CD", "STD-GEN-DVD-JPEG")


def uses_up_a_blank(device: DeviceSettings) -> bool:
    """Whether a test burn takes a blank that cannot be written again, as far as is known."""
    return device.kind not in ("folder", "mounted")


def generated_instances(called_ae_title: str) -> list[WholeInstance]:
    """Images with a pattern of their own each, of a patient who does not exist."""
    study, series = new_uid(), new_uid()
    now = datetime.now(UTC)
    return [
        _instance(number, study, series, now, called_ae_title) for number in range(1, _IMAGES + 1)
    ]


def order(
    actions: RequestActions,
    device: DeviceSettings,
    receive: Callable[[Sequence[WholeInstance]], None],
) -> RequestLine:
    """Have a device make a test burn, whose images `receive` receives; its request.

    Raises NotNow if no profile is for the media of the device.
    """
    profile_for(device)
    settings = actions.settings
    instances = generated_instances(settings.dicom.ae_title)
    receive(instances)
    with actions.database.writing() as session:
        request_id = request_test_burn(
            session, settings.request, device, instances, actor=actions.actor
        )
        return listing.find_request(session, short_id(request_id))


def request_test_burn(
    session: Session,
    defaults: RequestSettings,
    device: DeviceSettings,
    instances: Sequence[WholeInstance],
    *,
    actor: Actor,
) -> int:
    """Create and initiate the request for a test burn on `device`; returns its id.

    The instances must have been received. Raises NotNow if no profile is for the media of the
    device.
    """
    references = [
        Reference(instance.sop_class_uid, instance.sop_instance_uid, profile_for(device))
        for instance in instances
    ]
    attributes: dict[str, str] = {
        "label_text": f"TEST BURN {device.name}",
        "label_using_information_extracted_from_instances": YesNo.NO,
        "include_non_dicom_objects": "NO",
        "include_display_application": YesNo.NO,
    }
    request = operations.create(
        session,
        defaults,
        NewRequest(references, attributes),
        origin="test burn",
        device=device.name,
        actor=actor,
    )
    operations.initiate(
        session,
        defaults,
        request.sop_instance_uid,
        number_of_copies=1,
        request_priority=RequestPriority.HIGH,
        actor=actor,
    )
    return request.id


def profile_for(device: DeviceSettings) -> str:
    """The profile of a test burn; "" for the usual one, if that is for a medium of the device.

    Raises NotNow if no profile is for its media.
    """
    media = set(device.media)
    if any(media & set(OFFERED[label].written_media) for label in _DEFAULT_PROFILES):
        return ""
    for label, profile in OFFERED.items():
        if media & set(profile.written_media) and not profile.secure:
            return label
    raise NotNow(f"no Application Profile is for the media of device {device.name}")


def _instance(
    number: int, study: str, series: str, now: datetime, called_ae_title: str
) -> WholeInstance:
    uid = new_uid()
    date, time = now.strftime("%Y%m%d").encode(), now.strftime("%H%M%S").encode()
    pixels = bytes((row * number + column) % 256 for row in range(_EDGE) for column in range(_EDGE))
    edge = _EDGE.to_bytes(2, "little")
    elements: list[tuple[int, bytes, bytes]] = [
        (0x00080008, b"CS", b"DERIVED\\SECONDARY"),
        (0x00080016, b"UI", _SECONDARY_CAPTURE.encode()),
        (0x00080018, b"UI", uid.encode()),
        (0x00080020, b"DA", date),
        (0x00080030, b"TM", time),
        (0x00080050, b"SH", b""),
        (0x00080060, b"CS", b"OT"),
        (0x00080064, b"CS", b"SYN"),
        (0x00080090, b"PN", b""),
        (0x00081030, b"LO", b"Burnish test burn"),
        (0x00100010, b"PN", PATIENT_NAME.encode()),
        (0x00100020, b"LO", PATIENT_ID.encode()),
        (0x00100030, b"DA", b""),
        (0x00100040, b"CS", b"O"),
        (0x0020000D, b"UI", study.encode()),
        (0x0020000E, b"UI", series.encode()),
        (0x00200010, b"SH", b"TEST"),
        (0x00200011, b"IS", b"1"),
        (0x00200013, b"IS", str(number).encode()),
        (0x00280002, b"US", b"\x01\x00"),
        (0x00280004, b"CS", b"MONOCHROME2"),
        (0x00280010, b"US", edge),
        (0x00280011, b"US", edge),
        (0x00280100, b"US", b"\x08\x00"),
        (0x00280101, b"US", b"\x08\x00"),
        (0x00280102, b"US", b"\x07\x00"),
        (0x00280103, b"US", b"\x00\x00"),
        (0x7FE00010, b"OW", pixels),
    ]
    data_set = b"".join(encode(tag, vr, value) for tag, vr, value in elements)
    return WholeInstance(
        _SECONDARY_CAPTURE,
        uid,
        EXPLICIT_VR_LITTLE_ENDIAN,
        "BURNISH-TEST",
        called_ae_title,
        data_set,
    )
