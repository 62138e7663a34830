"""Ground: `[retention]`, how long instances, requests and the register of media are kept."""

from datetime import timedelta

from burnish.settings.value_types import Duration, SettingsTable


class RetentionSettings(SettingsTable):
    """How long instances and requests that nobody needs any more are kept."""

    #: Instances, counted from the end of the last request that references them.
    instances_after_media: Duration = timedelta(hours=24)
    #: Requests that were created but never initiated.
    idle_requests: Duration = timedelta(days=7)
    #: Requests that are DONE or FAILURE and whose instances have all been released.
    finished_requests: Duration = timedelta(days=30)
    #: Instances that no request references.
    unrequested_instances: Duration = timedelta(days=14)
    #: Instances whose storage was committed to a peer, counted from that promise.
    committed_instances: Duration = timedelta(days=14)
    #: The register of media: what was made or spoiled, counted from that time. Ten years.
    media_register: Duration = timedelta(days=3653)
