"""Ground: the whole configuration, read from the TOML file and the environment."""

import os
from pathlib import Path

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from burnish import application_profiles, site_records
from burnish.application_profiles import STANDARD_PROFILES, ApplicationProfile
from burnish.errors import InvalidSettings
from burnish.file_access import check
from burnish.settings import application_profile
from burnish.settings.application_profile import ApplicationProfileSettings, SOPClassSettings
from burnish.settings.content import ContentSettings
from burnish.settings.database import DatabaseSettings
from burnish.settings.device import DeviceSettings
from burnish.settings.dicom import DicomSettings
from burnish.settings.label import LabelSettings
from burnish.settings.log import LogSettings
from burnish.settings.notify import NotifySettings
from burnish.settings.peer import PeerSettings
from burnish.settings.request import RequestSettings
from burnish.settings.retention import RetentionSettings
from burnish.settings.retrieval import RetrievalSettings
from burnish.settings.security import SecuritySettings
from burnish.settings.standing_order import StandingOrderSettings
from burnish.settings.storage import StorageSettings
from burnish.settings.storage_commitment import StorageCommitmentSettings
from burnish.settings.tls import TLSSettings
from burnish.settings.user import UserSettings
from burnish.settings.web import WebSettings

_ENVIRONMENT_PREFIX = "BURNISH_"
#: What to tell the administrator for faults that pydantic describes in terms of Python.
_MESSAGES = {
    "extra_forbidden": "there is no such key",
    "missing": "this key is required",
    "tuple_type": "expected a list: [...] of values, or [[...]] with two brackets for tables",
    "model_type": "expected a table: [...] with one bracket",
}


class Settings(BaseSettings):
    """The whole configuration, frozen. Each attribute is a table of the file."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    dicom: DicomSettings = DicomSettings()
    tls: TLSSettings = TLSSettings()
    storage: StorageSettings = StorageSettings()
    database: DatabaseSettings = DatabaseSettings()
    request: RequestSettings = RequestSettings()
    peer: tuple[PeerSettings, ...] = ()
    user: tuple[UserSettings, ...] = ()
    standing_order: tuple[StandingOrderSettings, ...] = ()
    application_profile: tuple[ApplicationProfileSettings, ...] = ()
    sop_class: tuple[SOPClassSettings, ...] = ()
    device: tuple[DeviceSettings, ...] = ()
    retention: RetentionSettings = RetentionSettings()
    storage_commitment: StorageCommitmentSettings = StorageCommitmentSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    security: SecuritySettings = SecuritySettings()
    label: LabelSettings = LabelSettings()
    content: ContentSettings = ContentSettings()
    web: WebSettings = WebSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()

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
    def _check_tables_together(self) -> "Settings":
        self._check_names_are_unique()
        self._check_standing_orders()
        self._check_profiles()
        if self.dicom.user_identity == "required" and not self.user:
            raise ValueError('dicom.user_identity = "required" needs a [[user]]')
        for peer in self.peer:
            if peer.tls and self.tls.ca is None:
                raise ValueError(f"[[peer]] {peer.ae_title}: tls = true needs ca in [tls]")
        return self

    def _check_names_are_unique(self) -> None:
        names_by_table = {
            "device": [device.name for device in self.device],
            "standing_order": [order.name for order in self.standing_order],
            "peer": [peer.ae_title for peer in self.peer],
            "user": [user.name for user in self.user],
            "application_profile": [profile.name for profile in self.application_profile],
            "sop_class": [sop_class.uid for sop_class in self.sop_class],
        }
        for table, names in names_by_table.items():
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"[[{table}]] {name}: the name is used more than once")

    def _check_standing_orders(self) -> None:
        device_names = [device.name for device in self.devices]
        for order in self.standing_order:
            if order.copies > self.request.maximum_copies:
                raise ValueError(
                    f"[[standing_order]] {order.name}: copies is more than request.maximum_copies"
                )
            if order.device and order.device not in device_names:
                raise ValueError(
                    f"[[standing_order]] {order.name}: there is no device {order.device}"
                )

    def _check_profiles(self) -> None:
        """Every profile that is named can be written."""
        named = {
            "request.requested_media_application_profile": (
                self.request.requested_media_application_profile
            )
        }
        for order in self.standing_order:
            named[f"[[standing_order]] {order.name}"] = order.profile
        profiles = {**STANDARD_PROFILES, **{row.label: row for row in self.profiles}}
        offered = [label for label, profile in profiles.items() if profile.can_be_written]
        for where, label in named.items():
            if label and label not in offered:
                raise ValueError(
                    f"{where}: Burnish does not write the profile {label};"
                    f" it writes {', '.join(offered)}"
                )

    def _additions(self) -> tuple[site_records.SiteRecords, tuple[ApplicationProfile, ...]]:
        return application_profile.site_records(
            self.application_profile, self.sop_class, self.request.directory_keys
        )

    @property
    def site_records(self) -> site_records.SiteRecords:
        """The additions of this configuration to directory records."""
        return self._additions()[0]

    @property
    def profiles(self) -> tuple[ApplicationProfile, ...]:
        """The Augmented and Private profiles."""
        return self._additions()[1]

    def use(self) -> None:
        """Let this process have the profiles, private SOP Classes and keys that are configured."""
        records, profiles = self._additions()
        application_profiles.use(profiles)
        site_records.use(records)

    @property
    def database_url(self) -> str:
        """The URL of the database; by default SQLite in the storage root."""
        return self.database.url or f"sqlite:///{self.storage.root.absolute() / 'burnish.db'}"

    @property
    def devices(self) -> tuple[DeviceSettings, ...]:
        """The devices; if none is configured, one folder device named `outbox`."""
        devices = self.device or (DeviceSettings(name="outbox"),)
        return tuple(self._with_directory(device) for device in devices)

    def _with_directory(self, device: DeviceSettings) -> DeviceSettings:
        """A folder device without a directory gets one in the storage root."""
        if device.directory or device.kind != "folder":
            return device
        return device.model_copy(update={"directory": self.storage.root / device.name})

    @property
    def called_ae_titles(self) -> frozenset[str]:
        """Every AE title that this service answers to."""
        titles = {self.dicom.ae_title}
        for order in self.standing_order:
            titles.update(order.called_ae_titles)
        return frozenset(titles)


def read_settings(path: Path | None = None) -> Settings:
    """Read the TOML file at `path` (None: defaults); environment variables override its keys.

    This process then has the profiles, private SOP Classes and directory keys of the file.
    Raises InvalidSettings, which names each wrong key, and AccessDenied.
    """
    if path is not None:
        check(path)
        if not path.is_file():
            raise InvalidSettings(f"{path}: no such configuration file")
    _check_environment()

    class SettingsOfFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        settings = SettingsOfFile()
    except ValidationError as error:
        raise InvalidSettings(
            _describe(error), hint="config/burnish.toml describes every key"
        ) from None
    except ValueError as error:  # TOML syntax, or JSON in an environment variable
        raise InvalidSettings(f"{path or 'environment'}: {error}") from None
    settings.use()
    return settings


def _check_environment() -> None:
    """Reject variables such as BURNISH_DICM__PORT, which pydantic would ignore."""
    for name in sorted(os.environ):
        if not name.startswith(_ENVIRONMENT_PREFIX):
            continue
        table, _, key = name.removeprefix(_ENVIRONMENT_PREFIX).partition("__")
        if key and table.lower() not in Settings.model_fields:
            raise InvalidSettings(f"environment: {name}: there is no table [{table.lower()}]")


def _describe(error: ValidationError) -> str:
    """Every fault as `table.key: message`, separated by semicolons."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "configuration"
        message = _MESSAGES.get(fault["type"], fault["msg"])
        faults.append(f"{key}: {message.removeprefix('Value error, ')}")
    return "; ".join(faults)
