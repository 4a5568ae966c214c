"""What an administrator sets for the whole operator. What belongs to one run stands in its spec."""

from dataclasses import dataclass
from typing import Final

ROLES: Final = ("sampler", "pruner", "trainer")
"""The images that steps run in."""


@dataclass(frozen=True)
class Images:
    """The images of the steps."""

    sampler: str
    pruner: str
    """Of prepare, prune and finalize: no GPU is needed there."""
    trainer: str
    pull_policy: str | None = None
    """Kubernetes' `imagePullPolicy`; None leaves it to the cluster."""
    pull_secrets: tuple[str, ...] = ()
    """Secrets of a run's namespace that its images are pulled with, where its worker names none."""

    @property
    def by_role(self) -> dict[str, str]:
        """The images by role, as a run pins them."""
        return {role: getattr(self, role) for role in ROLES}


@dataclass(frozen=True)
class Lease:
    """The Lease that operators hold in turn."""

    namespace: str
    identity: str
    """Of this process, such as its pod's name."""
    name: str = "tpt-operator"
    """Operators that are to take turns have the same; the chart gives every release its own."""
    duration_seconds: int = 15
    """A holder that has not renewed it for so long has lost it."""

    @property
    def renew_seconds(self) -> float:
        """How long a holder tries to renew it before it gives up, well before others take it."""
        return self.duration_seconds * 2 / 3

    @property
    def retry_seconds(self) -> float:
        """How often it is renewed, or asked for."""
        return max(1.0, self.duration_seconds / 6)


@dataclass(frozen=True)
class Settings:
    """How the operator works."""

    images: Images
    network_policies: bool = True
    """Whether every run gets NetworkPolicies of its own."""
    namespace: str | None = None
    """The one namespace to watch; None: all of them."""
    lease: Lease | None = None
    """Held by the one operator that is active; None: this one is, always."""
    port: int | None = None
    """Serves health and metrics; None: nothing does."""
    workers: int = 8
    """Runs that are reconciled at the same time."""
    resync_seconds: float = 180.0
    """How often the caches are replaced by lists: what a watch missed is noticed within this time."""
    watch_seconds: int = 120
    """How long one request of a watch lasts (in whole seconds, as the API server wants it): so often at least, a watch that works
    gives a sign of life."""
    progress_seconds: float = 30.0
    """How often the step in progress of a run is asked how far it is."""
    request_timeout_seconds: float = 20.0
    """Longest time of one API request; watches apart."""
    first_retry_seconds: float = 0.1
    longest_retry_seconds: float = 60.0
    """Back-off of a run whose reconcile failed: doubled each time, up to this."""
