"""Ground: the configuration of Burnish: one module per table of the TOML file.

`read_settings` reads the file and the environment once into frozen values. `Settings` is the whole
configuration; it has one attribute per table. config/burnish.toml describes every key for the
administrator.
"""

from burnish.settings.application_profile import (
    ApplicationProfileSettings,
    DirectoryKeySettings,
    SOPClassSettings,
)
from burnish.settings.configuration import Settings, read_settings
from burnish.settings.content import ContentSettings
from burnish.settings.database import DatabaseSettings
from burnish.settings.device import DEVICE_KINDS, DeviceKind, DeviceSettings
from burnish.settings.dicom import DicomSettings
from burnish.settings.label import LabelSettings
from burnish.settings.log import LogSettings
from burnish.settings.notify import RECEIVER_KINDS, NoticeReceiverSettings, NotifySettings
from burnish.settings.peer import Operation, PeerSettings
from burnish.settings.request import RequestSettings
from burnish.settings.retention import RetentionSettings
from burnish.settings.retrieval import RetrievalSettings
from burnish.settings.security import SecuritySettings
from burnish.settings.standing_order import StandingOrderSettings
from burnish.settings.storage import StorageSettings
from burnish.settings.storage_commitment import StorageCommitmentSettings
from burnish.settings.tls import TLSSettings
from burnish.settings.user import UserSettings
from burnish.settings.value_types import AETitle, Duration, Size
from burnish.settings.web import WebSettings

__all__ = [
    "DEVICE_KINDS",
    "RECEIVER_KINDS",
    "AETitle",
    "ApplicationProfileSettings",
    "ContentSettings",
    "DatabaseSettings",
    "DeviceKind",
    "DeviceSettings",
    "DicomSettings",
    "DirectoryKeySettings",
    "Duration",
    "LabelSettings",
    "LogSettings",
    "NoticeReceiverSettings",
    "NotifySettings",
    "Operation",
    "PeerSettings",
    "RequestSettings",
    "RetentionSettings",
    "RetrievalSettings",
    "SOPClassSettings",
    "SecuritySettings",
    "Settings",
    "Size",
    "StandingOrderSettings",
    "StorageCommitmentSettings",
    "StorageSettings",
    "TLSSettings",
    "UserSettings",
    "WebSettings",
    "read_settings",
]
