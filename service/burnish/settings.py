"""Ground: what can be configured, read once into frozen values; wrong ones are refused."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from burnish.application_profiles import OFFERED
from burnish.errors import InvalidSettings
from burnish.media import MEDIA
from burnish.vocabulary import IncludeNonDICOMObjects, RequestPriority, YesNo

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h|d)\s*", value)
    if not found:
        raise ValueError('a duration is a number and a unit: "500ms", "30s", "5m", "24h", "7d"')
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", value)
    if not found or found[2].upper() not in _SIZES:
        raise ValueError('a size is a number of bytes, or a number and a unit: "700MB", "4.7GB"')
    return int(float(found[1]) * _SIZES[found[2].upper()])


def _ae_title(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[ -\[\]-~]{1,16}", value.strip()):
        raise ValueError("an AE title has 1 to 16 printable characters and no backslash")
    return value.strip() if isinstance(value, str) else value


def _profile(value: object) -> object:
    if value and value not in OFFERED:
        raise ValueError(f"not a profile of this service; it has {', '.join(OFFERED)}")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
AETitle = Annotated[str, BeforeValidator(_ae_title)]
Profile = Annotated[str, BeforeValidator(_profile)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dicom(_Table):
    """The application entity and its port."""

    ae_title: AETitle = "BURNISH"
    host: str = "0.0.0.0"  # noqa: S104  a DICOM node listens to its network
    port: int = Field(default=11112, ge=0, le=65535)
    receivers: int = Field(default=0, ge=0, le=64)
    maximum_associations: int = Field(default=500, ge=1)
    maximum_pdu_size: int = Field(default=131072, ge=4096, le=1 << 20)
    accept_unknown_peers: bool = False
    acse_timeout: Duration = timedelta(seconds=30)
    idle_timeout: Duration = timedelta(minutes=10)
    drain_timeout: Duration = timedelta(seconds=30)


class Storage(_Table):
    """Where instances, images and the outbox lie."""

    root: Path = Path("var")
    durability: Literal["full", "os"] = "full"
    high_water: float = Field(default=0.95, gt=0, le=1)


class Database(_Table):
    """The database, which is also the queue."""

    url: str = ""


class Request(_Table):
    """What a request gets where the N-CREATE leaves it out, and how long is waited for what."""

    label_using_information_extracted_from_instances: YesNo = YesNo.YES
    allow_media_splitting: YesNo = YesNo.YES
    allow_lossy_compression: YesNo = YesNo.NO
    include_non_dicom_objects: IncludeNonDICOMObjects = IncludeNonDICOMObjects.FOR_PATIENT
    include_display_application: YesNo = YesNo.NO
    preserve_composite_instances_after_media_creation: YesNo = YesNo.NO
    request_priority: RequestPriority = RequestPriority.MED
    number_of_copies: int = Field(default=1, ge=1)
    maximum_copies: int = Field(default=99, ge=1)
    requested_media_application_profile: Profile = ""
    icons: Literal["required", "always"] = "required"
    file_set_id_prefix: str = Field(default="BURNISH", pattern=r"^[A-Z0-9_]{1,7}$")
    wait_for_instances: Duration = timedelta(seconds=10)
    attempts: int = Field(default=3, ge=1)


class Peer(_Table):
    """One known AE and what it may do."""

    ae_title: AETitle
    may: tuple[Literal["echo", "store", "request"], ...] = ("echo", "store", "request")


class StandingOrder(_Table):
    """Media for instances of a modality that cannot ask: after a quiet period Burnish asks."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    called_ae_titles: tuple[AETitle, ...] = ()
    calling_ae_titles: tuple[AETitle, ...] = ()
    quiet_period: Duration = timedelta(minutes=5)
    scope: Literal["patient", "study"] = "study"
    profile: Profile = ""
    copies: int = Field(default=1, ge=1)
    priority: RequestPriority = RequestPriority.MED

    @model_validator(mode="after")
    def _names_somebody(self) -> "StandingOrder":
        if not self.called_ae_titles and not self.calling_ae_titles:
            raise ValueError("a standing order needs called_ae_titles or calling_ae_titles")
        return self


_DISCS = ("CD", "DVD", "DVD-DL", "BD", "BD-DL")
_STICKS = ("USB", "CF", "MMC", "SD")
#: Each kind of device: the media it can be for, and the keys that are its own.
DEVICE_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "folder": (tuple(MEDIA), ("directory",)),
    "mounted": (_STICKS, ("directory",)),
    "optical": (_DISCS, ("drive", "program", "speed", "erase", "eject")),
    "primera": (_DISCS, ("directory", "exchange", "seen_as", "robot", "speed")),
    "epson": (
        ("CD", "DVD"),
        ("directory", "exchange", "seen_as", "publisher", "job_lines", "compares"),
    ),
}


_OPTIONAL = ("publisher", "robot", "seen_as")


class Device(_Table):
    """One device that makes pieces of media."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    kind: str = "folder"
    media: tuple[str, ...] = ()
    directory: Path | None = None
    capacity: Size | None = Field(default=None, gt=0)
    drive: str = ""
    program: str = "xorriso"
    speed: int = Field(default=0, ge=0)
    erase: bool = False
    eject: bool = True
    exchange: Path | None = None
    seen_as: str = ""
    robot: str = ""
    publisher: str = ""
    job_lines: tuple[str, ...] = ()
    compares: bool = False

    @model_validator(mode="before")
    @classmethod
    def _media_of_its_kind(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("kind", "folder") in DEVICE_KINDS:
            return {"media": DEVICE_KINDS[given.get("kind", "folder")][0], **given}
        return given

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Device":
        if self.kind not in DEVICE_KINDS:
            raise ValueError(f"kind {self.kind!r} unknown; there are {', '.join(DEVICE_KINDS)}")
        media, keys = DEVICE_KINDS[self.kind]
        unknown = [name for name in self.media if name not in media]
        if unknown or not self.media:
            there_are = ", ".join(media)
            raise ValueError(f"media {unknown} unknown to kind {self.kind}; there are {there_are}")
        every = {key for _, own in DEVICE_KINDS.values() for key in own}
        usual = {key: Device.model_fields[key].default for key in every}
        wrong = sorted(key for key in every - {*keys} if getattr(self, key) != usual[key])
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not for a device of kind {self.kind}")
        needed = [key for key in keys if usual[key] in ("", None) and key not in _OPTIONAL]
        missing = [key for key in needed if getattr(self, key) == usual[key]]
        if missing and self.kind != "folder":
            raise ValueError(f"a device of kind {self.kind} needs {', '.join(missing)}")
        if "compares" in keys and not self.compares:
            raise ValueError(
                "compares: no disc is reported that was not compared; see that the robot compares"
                " each with what it was given, then say so with compares = true"
            )
        return self

    def capacity_of(self, medium: str) -> int:
        """Bytes that this device can put on one blank of `medium`."""
        return MEDIA[medium].holding(self.capacity)

    def options(self) -> dict[str, object]:
        """What the device of its kind is opened with."""
        keys = DEVICE_KINDS[self.kind][1]
        return {key: getattr(self, key) for key in keys if key != "compares"}


class Retention(_Table):
    """How long what nobody needs any more is kept."""

    instances_after_media: Duration = timedelta(hours=24)
    idle_requests: Duration = timedelta(days=7)
    finished_requests: Duration = timedelta(days=30)
    unrequested_instances: Duration = timedelta(days=14)


class Security(_Table):
    """Secure media: who can open them, and who signs them (PS3.15 D.1)."""

    recipients: tuple[Path, ...] = ()
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    password_iterations: int = Field(default=600_000, ge=1_000, le=1 << 31)
    cipher: Literal["AES-128", "AES-192", "AES-256"] = "AES-256"
    signer_certificate: Path | None = None
    signer_key: Path | None = None

    @model_validator(mode="after")
    def _belong_together(self) -> "Security":
        if (self.signer_certificate is None) != (self.signer_key is None):
            raise ValueError("signer_certificate and signer_key go together")
        return self


class Log(_Table):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(BaseSettings):
    """The whole configuration. Frozen; read once by `read`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="BURNISH_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    dicom: Dicom = Dicom()
    storage: Storage = Storage()
    database: Database = Database()
    request: Request = Request()
    peer: tuple[Peer, ...] = ()
    standing_order: tuple[StandingOrder, ...] = ()
    device: tuple[Device, ...] = ()
    retention: Retention = Retention()
    security: Security = Security()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the framework's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _distinct_names(self) -> "Settings":
        for kind, names in (
            ("device", [device.name for device in self.device]),
            ("standing_order", [order.name for order in self.standing_order]),
            ("peer", [peer.ae_title for peer in self.peer]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"[[{kind}]]: two have the same name")
        for order in self.standing_order:
            if order.copies > self.request.maximum_copies:
                raise ValueError(f"[[standing_order]] {order.name}: more than maximum_copies")
        return self

    @property
    def database_url(self) -> str:
        """Where the database is: SQLite in the storage root where nothing is configured."""
        return self.database.url or f"sqlite:///{self.storage.root.absolute() / 'burnish.db'}"

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices; where none is configured, one folder device `outbox` in the storage root."""
        devices = self.device or (Device(name="outbox"),)
        return tuple(
            device
            if device.directory or device.kind != "folder"
            else device.model_copy(update={"directory": self.storage.root / device.name})
            for device in devices
        )

    @property
    def called_ae_titles(self) -> frozenset[str]:
        """Every AE title this service answers to."""
        orders = (title for order in self.standing_order for title in order.called_ae_titles)
        return frozenset({self.dicom.ae_title, *orders})


def read(path: Path | None = None) -> Settings:
    """The settings of the TOML file at `path` (None: defaults), each overridden by environment.

    Raises InvalidSettings that names the key.
    """
    if path is not None and not path.is_file():
        raise InvalidSettings(f"{path}: no such configuration file")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile()
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'configuration'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise InvalidSettings(faults, hint="see config/burnish.toml for every key") from None
    except ValueError as error:  # TOML syntax, or JSON in an environment variable
        raise InvalidSettings(f"{path or 'environment'}: {error}") from None
