"""The nouns of orch as types (design.md §5). No I/O here; hosts/ implements Hosts, only run/ sends what mutates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from orchestrator.script import Request, Result, Script, Sh

if TYPE_CHECKING:
    from orchestrator.spec.models import Cluster, Deployment, Finding

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Query(Protocol[T_co]):
    """A hashable question to one host: `Addresses()`, `Completion(...)`. Frozen dataclasses, by `question.question`.

    `ask` gives a Script (read-only; joined with all other queries into one round trip) or an HTTP Request:
    all queries of a class the one, or all the other.
    `parse` gets the results under the names that `ask` used (for a Request: under "http", rc = status,
    out = body; a connection error has rc 0 and the text in err). Raises Unknown; never gives a default.
    """

    def ask(self) -> Script | Request: ...
    def parse(self, results: Mapping[str, Result]) -> T_co: ...


class Facts(Protocol):
    """One host's answers."""

    def get(self, query: Query[T]) -> T: ...  # raises Unknown, NotRead


World = Mapping[str, Facts]


@dataclass(frozen=True)
class Change:
    """What a step would do, or waits for, and why."""

    summary: str
    diff: str = ""
    under_way: bool = False  # a job of an earlier run does it already: watch, don't apply
    progress: str = ""  # moves when work moves: patience's stall clock restarts when it differs
    log: str = ""  # the last line that what is waited for wrote; of what failed, its last lines
    rank: str = ""  # whose line that is, as a host's name
    unmet: str = ""  # what is the matter where it is still so after it was applied
    hint: str = ""  # what to type if it can't be brought about


@dataclass(frozen=True)
class Patience:
    """Seconds. `stall` restarts whenever Change.progress differs; `retry` names a policy of run/policies.py."""

    total: float = 60
    stall: float = 60
    poll: float = 1.0
    retry: str = "none"
    settle: float = 0  # a gate behind a change is asked again for so long: memory comes free late


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One idempotent change, wait or gate. Built from the spec alone; hosts decide in `check`, which is pure.

    role change: check → Change means apply, then check again with fresh reads must be None.
    role wait:   check → Change means not yet; read again until None or patience ends.
    role gate:   check → Change means: measure (apply) if apply is implemented, else refused. Raises Refused.
    """

    id: str  # "vl/image/spark-2", the same in every run
    role: Literal["change", "wait", "gate"] = "change"
    host: str | None = None  # where apply runs; None: judged here
    scope: str | None = None  # the deployment that falls with it
    stage: str = ""  # the playbook's stage that it belongs to
    on_demand: bool = False  # only if a step that needs it will change
    needs: frozenset[str] = frozenset()
    order: frozenset[str] = frozenset()  # also waits for these to end, however; see run/executor.py
    turns: frozenset[str] = frozenset()  # waits for these to end, and goes on whatever came of them
    redo: frozenset[str] = frozenset()  # done over, itself too, while `missed` says why
    attempt: int = 1  # which time this is; how often at most, `patience.retry` says
    serves: frozenset[str] | None = None  # deployments that wait for it; None: all of its hosts
    reads: frozenset[tuple[str, Query[Any]]] = frozenset()  # (host, query)
    patience: Patience = Patience()

    @cached_property
    def touches(self) -> frozenset[str]:
        """Hosts that this step concerns: where it applies and what it reads."""
        hosts = {host for host, _ in self.reads}
        return frozenset(hosts | {self.host} if self.host else hosts)

    def with_(self, **changes: Any) -> Self:
        """As dataclasses.replace, which calls __init__ and costs ten times as much: plans have many steps."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **changes)
        if "host" in changes or "reads" in changes:
            other.__dict__.pop("touches", None)
        return other

    @abstractmethod
    def check(self, world: World) -> Change | None:
        """Pure. Plan, verify, wait and judge are all this call. Raises Failed when no retry can help."""

    def apply(self, change: Change, world: World) -> Script:
        raise NotImplementedError(self.id)

    def remarks(self, world: World) -> Sequence[str]:
        """What is worth a warning although the step has passed; it ends up in plan and journal. Pure."""
        return ()

    def missed(self, world: World) -> str:
        """Why what `redo` names is worth another try, now that all of it is done; "" if it is not. Pure."""
        return ""


@dataclass(frozen=True)
class Plan:
    """Steps in order, what each would change now, and which can only be decided later."""

    steps: Mapping[str, Step]  # topological order
    changes: Mapping[str, Change]
    provisional: frozenset[str]  # decided only after an ancestor has changed something
    pruned: frozenset[str] = frozenset()  # on demand, and nobody demands them


@dataclass(frozen=True)
class Mount:
    source: str  # path on the host, or a named volume
    target: str
    read_only: bool = False
    tmpfs: bool = False  # then source is "" and `options` may hold "size=1g"
    options: str = ""


@dataclass(frozen=True)
class Rank:
    """One container or process. Its canonical JSON, without secret values, is the label orch.spec."""

    cluster: str
    deployment: str
    index: int
    host: str
    role: str  # "head" | "worker" | "server" …
    name: str  # container name: orch-<cluster>-<deployment>-<index>
    image: str
    argv: tuple[str, ...]  # after the entrypoint
    entrypoint: str | None  # None: the image's own
    env: Mapping[str, str]
    secrets: frozenset[str]  # names of environment variables whose values come from secrets
    mounts: tuple[Mount, ...] = ()
    files: Mapping[str, str] = field(
        default_factory=dict
    )  # path in the container → text (entrypoints), mounted read-only
    gpus: tuple[str, ...] | Literal["all"] | None = None  # indices or UUIDs; None: no GPU flag
    rdma: bool = False  # /dev/infiniband, memlock, IPC_LOCK
    ports: frozenset[int] = frozenset()
    shm_bytes: int | None = None  # None: --ipc host
    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    cpus: float | None = None
    publish: tuple[str, ...] = ()  # "8080:80": a network of its own, these ports lead into it
    health: str | None = None  # shell command for the runtime's health check; "": the image's own
    health_start_s: int = 0  # so long after its start, no answer is not a bad one
    restart: str = "no"  # restart policy *after* readiness (applied with `docker update`)
    ulimits: Mapping[str, str] = field(default_factory=dict)
    caps: frozenset[str] = frozenset()
    state: str = "/var/lib/orch"  # folder on the host for `files`; "~/…" where there is no sudo
    paths: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # of a process: variable → folders of the host, "~/…" too; before what PATH has already


class Engine(Protocol):
    """What serves. One file each under engines/, with a module attribute `ENGINE`."""

    name: str

    def validate(
        self, cluster: Cluster, deployment: Deployment
    ) -> Sequence[Finding]: ...  # offline
    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]: ...
    def reads(
        self, cluster: Cluster, deployment: Deployment
    ) -> frozenset[tuple[str, Query[Any]]]: ...  # what ranks() needs
    def steps(
        self, cluster: Cluster, deployment: Deployment
    ) -> Sequence[Step]: ...  # joins and waits of its own, beyond the common ones


class Proof(Protocol):
    """What shows that a deployment is up: a completion's answer, a page, a container's health, an exit code."""

    @property
    def answered(self) -> bool: ...
    @property
    def why(self) -> str: ...  # not; "" where it answered
    @property
    def text(self) -> str: ...  # the start of what it said, if it said something
    @property
    def status(self) -> int: ...  # HTTP; 0: no connection, or not asked so
    @property
    def hopeless(self) -> bool: ...  # asking again gives the same


class Service(Engine, Protocol):
    """An engine that is no model's: it says itself what proves that a deployment is up."""

    def proof(self, cluster: Cluster, deployment: Deployment) -> Query[Proof]: ...


class Unranked(Service, Protocol):
    """A service that is no container of ours (a compose project, a unit): it has no ranks.

    Its `steps` are all the steps of its deployments, each with the stage that it belongs to, `down` too.
    """

    unranked: bool

    def logs(self, cluster: Cluster, deployment: Deployment, lines: int) -> Script: ...


class Runtime(Protocol):
    """What a rank runs in. One file each under runtimes/, with a module attribute `RUNTIME`."""

    name: str

    def start(self, rank: Rank) -> Script: ...  # removes a stale one of ours with that name first
    def stop(self, name: str, grace: float) -> Script: ...
    def logs(self, name: str, lines: int) -> Script: ...
    def question(self, rank: Rank, text: Sh) -> Sh: ...  # as the rank would run it, and gone again
    def supervise(self, name: str, restart: str) -> Script: ...  # after readiness
    def ours(self, cluster: str | None) -> Query[Sequence[Any]]: ...  # facts.answers.Container
    def describe(self, rank: Rank) -> str: ...  # what a person would type; secrets by name only


class Hosts(Protocol):
    """The only seam to the world. `hosts.ssh.SshHosts`, and `tests.scripted.ScriptedHosts`."""

    def run(
        self, host: str, script: Script
    ) -> Mapping[str, Result]: ...  # raises Unreachable, OutcomeUnknown, Fenced
    def http(self, host: str, request: Request) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class Event:
    """Something happened in a run. Already redacted."""

    at: float  # seconds since the epoch
    run: str
    kind: str  # run-started, plan, step-started, step-progress, step-done, step-failed, step-skipped, log, run-done …
    step: str | None = None
    host: str | None = None
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    def on(self, event: Event) -> None: ...  # an observer's error never stops a run
