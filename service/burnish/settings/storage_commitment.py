"""Ground: `[storage_commitment]`, the Storage Commitment Push Model (PS3.4 annex J)."""

from datetime import timedelta

from burnish.settings.value_types import Duration, SettingsTable


class StorageCommitmentSettings(SettingsTable):
    """How long to wait for instances, and how to deliver the report."""

    #: How long instances that are missing at N-ACTION may still arrive.
    wait_for_instances: Duration = timedelta(minutes=1)
    #: True: the report names the verified volume that holds each instance, if there is one.
    report_media: bool = False
    #: The pause before a report is sent again. It doubles with each attempt, up to one hour.
    retry_after: Duration = timedelta(seconds=30)
    #: A report is sent again for this long after it was decided.
    give_up_after: Duration = timedelta(days=3)
