"""Ground: what can be configured, read once into frozen values; wrong ones are refused."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
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
from burnish.device_settings import Device
from burnish.errors import InvalidSettings
from burnish.network_settings import TLS, Dicom, Peer, User
from burnish.setting_values import AETitle, Duration, Table
from burnish.vocabulary import IncludeNonDICOMObjects, RequestPriority, YesNo


def _profile(value: object) -> object:
    if value and value not in OFFERED:
        raise ValueError(f"not a profile of this service; it has {', '.join(OFFERED)}")
    return value


Profile = Annotated[str, BeforeValidator(_profile)]
Millimetres = Annotated[float, Field(ge=20, le=300)]


#: CS: upper case, digits, space and underscore (PS3.5 6.2).
_CODE_STRING = r"^[A-Z0-9 _]{0,16}$"
#: What a standing order can say of its requests besides profile, copies, priority and device.
_ATTRIBUTES = (
    "label_using_information_extracted_from_instances",
    "label_text",
    "label_style_selection",
    "barcode_value",
    "barcode_symbology",
    "media_disposition",
    "allow_media_splitting",
    "allow_lossy_compression",
    "include_non_dicom_objects",
    "include_display_application",
    "preserve_composite_instances_after_media_creation",
)


class Storage(Table):
    """Where instances, images and the outbox lie."""

    root: Path = Path("var")
    durability: Literal["full", "os"] = "full"
    high_water: float = Field(default=0.95, gt=0, le=1)
    low_water: float = Field(default=0.93, gt=0, le=1)


class Database(Table):
    """The database, which is also the queue."""

    url: str = ""
    wait: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(
        seconds=60
    )


class Request(Table):
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


class StandingOrder(Table):
    """Media for instances of a modality that cannot ask: after a quiet period Burnish asks.

    `ae_groups` are calling AEs that belong together: what others send is asked for apart. What is
    left out of a request is taken from `[request]`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    called_ae_titles: tuple[AETitle, ...] = ()
    calling_ae_titles: tuple[AETitle, ...] = ()
    ae_groups: tuple[tuple[AETitle, ...], ...] = ()
    quiet_period: Duration = timedelta(minutes=5)
    scope: Literal["patient", "study"] = "study"
    hold: bool = False
    device: str = ""
    profile: Profile = ""
    copies: int = Field(default=1, ge=1)
    priority: RequestPriority = RequestPriority.MED
    label_using_information_extracted_from_instances: YesNo | None = None
    label_text: str = ""
    label_style_selection: str = Field(default="", pattern=_CODE_STRING)
    barcode_value: str = Field(default="", max_length=10240)
    barcode_symbology: str = Field(default="", pattern=_CODE_STRING)
    media_disposition: str = Field(default="", max_length=10240)
    allow_media_splitting: YesNo | None = None
    allow_lossy_compression: YesNo | None = None
    include_non_dicom_objects: IncludeNonDICOMObjects | None = None
    include_display_application: YesNo | None = None
    preserve_composite_instances_after_media_creation: YesNo | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> "StandingOrder":
        if not (self.called_ae_titles or self.calling_ae_titles or self.ae_groups):
            raise ValueError("a standing order needs called_ae_titles or calling_ae_titles")
        grouped = [title for group in self.ae_groups for title in group]
        if len(set(grouped)) < len(grouped):
            raise ValueError("an AE title is in two of ae_groups")
        return self

    @property
    def callers(self) -> frozenset[str]:
        """The calling AE titles that it concerns; empty: any."""
        if self.called_ae_titles and not self.calling_ae_titles:
            return frozenset()
        return frozenset((*self.calling_ae_titles, *(t for group in self.ae_groups for t in group)))

    @property
    def attributes(self) -> dict[str, str]:
        """What it says of a request, by the column of each attribute."""
        said = {name: getattr(self, name) for name in _ATTRIBUTES}
        return {name: str(value) for name, value in said.items() if value}


class Retention(Table):
    """How long what nobody needs any more is kept."""

    instances_after_media: Duration = timedelta(hours=24)
    idle_requests: Duration = timedelta(days=7)
    finished_requests: Duration = timedelta(days=30)
    unrequested_instances: Duration = timedelta(days=14)
    committed_instances: Duration = timedelta(days=14)


class StorageCommitment(Table):
    """Storage Commitment: how long is waited for instances, and how the report is delivered."""

    wait_for_instances: Duration = timedelta(minutes=1)
    report_media: bool = False
    retry_after: Duration = timedelta(seconds=30)
    give_up_after: Duration = timedelta(days=3)


class Retrieval(Table):
    """Fetching what a request names and is not here, from peers that may `retrieve`."""

    method: Literal["C-MOVE", "C-GET"] = "C-MOVE"
    give_up_after: Duration = timedelta(minutes=30)
    retry_after: Duration = timedelta(seconds=30)
    recent_days: int = Field(default=0, ge=0, le=3650)


class Security(Table):
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


class Label(Table):
    """What is printed on discs (PS3.4 S.3.2.1.1.4); diameters and sizes in mm."""

    style: str = Field(default="", pattern=r"^[A-Z0-9_ ]{0,16}$")
    institution: str = ""
    templates: Path | None = None
    fonts: tuple[Path, ...] = ()
    inner_diameter: float = Field(default=22.0, ge=16, le=60)
    outer_diameter: float = Field(default=118.0, ge=100, le=120)
    resolution: int = Field(default=300, ge=150, le=1200)
    address_size: tuple[Millimetres, Millimetres] = (89.0, 36.0)


class Log(Table):
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
    tls: TLS = TLS()
    storage: Storage = Storage()
    database: Database = Database()
    request: Request = Request()
    peer: tuple[Peer, ...] = ()
    user: tuple[User, ...] = ()
    standing_order: tuple[StandingOrder, ...] = ()
    device: tuple[Device, ...] = ()
    retention: Retention = Retention()
    storage_commitment: StorageCommitment = StorageCommitment()
    retrieval: Retrieval = Retrieval()
    security: Security = Security()
    label: Label = Label()
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
            ("user", [user.name for user in self.user]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"[[{kind}]]: two have the same name")
        for order in self.standing_order:
            if order.copies > self.request.maximum_copies:
                raise ValueError(f"[[standing_order]] {order.name}: more than maximum_copies")
            if order.device and order.device not in {device.name for device in self.devices}:
                raise ValueError(f"[[standing_order]] {order.name}: no device {order.device!r}")
        if self.dicom.user_identity == "required" and not self.user:
            raise ValueError("dicom.user_identity = required needs a [[user]]")
        for peer in self.peer:
            if peer.tls and self.tls.ca is None:
                raise ValueError(f"[[peer]] {peer.ae_title}: tls needs the ca of [tls]")
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


#: Faults that pydantic names in terms of Python.
_SAID = {
    "extra_forbidden": "there is no such key",
    "missing": "this key is needed",
    "tuple_type": "a list is wanted: [...] of values, [[...]] with two brackets of tables",
    "model_type": "a table is wanted: [...] with one bracket",
}


def read(path: Path | None = None) -> Settings:
    """The settings of the TOML file at `path` (None: defaults), each overridden by environment.

    Raises InvalidSettings that names the key.
    """
    if path is not None and not path.is_file():
        raise InvalidSettings(f"{path}: no such configuration file")
    for name in sorted(os.environ):
        table, key = name.removeprefix("BURNISH_").partition("__")[::2]
        if name.startswith("BURNISH_") and key and table.lower() not in Settings.model_fields:
            raise InvalidSettings(f"environment: {name}: there is no table [{table.lower()}]")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile()
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'configuration'}: "
            f"{_SAID.get(fault['type'], fault['msg'])}"
            for fault in error.errors()
        )
        raise InvalidSettings(faults, hint="see config/burnish.toml for every key") from None
    except ValueError as error:  # TOML syntax, or JSON in an environment variable
        raise InvalidSettings(f"{path or 'environment'}: {error}") from None
