"""Ground: `[dicom]`, the application entity and its TCP port."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from burnish.settings.value_types import AETitle, Duration, SettingsTable


class DicomSettings(SettingsTable):
    """The AE title and port of this service, and the limits for associations."""

    ae_title: AETitle = "BURNISH"
    #: False: peers may call the service by any AE title.
    check_called_ae_title: bool = True
    #: The address to listen on. A DICOM node normally serves all interfaces.
    host: str = "0.0.0.0"  # noqa: S104
    #: 11112 needs no privileges. The registered ports are 104 and 11112 (PS3.8 9.1.1).
    port: int = Field(default=11112, ge=0, le=65535)
    #: Receiver processes that share the port. 0: one per processor core.
    receivers: int = Field(default=0, ge=0, le=64)
    #: Associations of all receivers together. Further ones are rejected as a transient condition.
    maximum_associations: int = Field(default=500, ge=1)
    #: Of these, those of all AEs without a [[peer]] table; each address may have half of them.
    #: 0: a fifth of all.
    maximum_unknown_associations: int = Field(default=0, ge=0)
    #: Connections per receiver that have not been accepted as an association yet.
    maximum_half_open: int = Field(default=100, ge=1)
    #: Bytes. The largest PDU that peers may send (PS3.8 D.1).
    maximum_pdu_size: int = Field(default=131072, ge=4096, le=1 << 20)
    #: True: an AE without a [[peer]] table may do everything except being retrieved from.
    accept_unknown_peers: bool = False
    #: "required": a peer that names no user (PS3.7 D.3.3.7) is rejected.
    user_identity: Literal["optional", "required"] = "optional"
    #: How long a connection may take to request an association (the ARTIM timer, PS3.8 9.1.4).
    acse_timeout: Duration = timedelta(seconds=30)
    #: An association without any traffic for this long is aborted.
    idle_timeout: Duration = timedelta(minutes=10)
    #: At shutdown, how long associations may take to end by themselves.
    drain_timeout: Duration = timedelta(seconds=30)

    @property
    def unknown_associations(self) -> int:
        """The associations of all AEs without a [[peer]] table together."""
        return self.maximum_unknown_associations or max(1, self.maximum_associations // 5)

    @property
    def unknown_associations_of_address(self) -> int:
        """The associations of such AEs that come from one address."""
        return max(1, self.unknown_associations // 2)
