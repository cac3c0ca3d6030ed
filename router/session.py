"""One Envoy's configuration stream as a state machine without I/O (state-of-the-world ADS).

What comes in is what Envoy says (`receive`) and what it should have (`aim_at`); what comes out are the responses to
send now. The order is always: clusters, endpoints, listener, routes.

Make before break, in both directions. The routes go out only when Envoy has accepted all clusters and endpoints; Envoy
itself holds its acknowledgement of clusters back until they are warm, that is, until the first health check of each
endpoint is done. And a cluster that Envoy's routes may still name stays, with its endpoints as they were, until Envoy
has accepted routes that do not name it.

A version that Envoy refused is not sent again on this stream; everything behind it waits for another aim.
Protocol: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.ir import Route, RouteKey
from router.snapshot import Resources, ResourceType, Snapshot


@dataclass(frozen=True, slots=True)
class Request:
    """What Envoy said: a subscription and, when `nonce` is that of the last response, an answer to it.

    `error` is None or Envoy's reason for refusing.
    """

    type: ResourceType
    version: str = ""
    nonce: str = ""
    names: frozenset[str] = frozenset()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What is to be sent to Envoy."""

    type: ResourceType
    nonce: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class Refusal:
    """Envoy's reason for refusing something that was made for `aim`."""

    type: ResourceType
    aim: Snapshot
    message: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an Envoy's routes may name, and what it accepted for it: clusters and assignments by name."""

    names: frozenset[str] = frozenset()
    clusters: Mapping[str, bytes] = field(default_factory=dict)
    endpoints: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Footprint":
        """That of an Envoy that runs `snapshot`."""
        return cls(snapshot.referenced, snapshot.clusters.items, snapshot.endpoints.items)

    def __or__(self, newer: "Footprint") -> "Footprint":
        """That of an Envoy that may run either."""
        return Footprint(
            self.names | newer.names, {**self.clusters, **newer.clusters}, {**self.endpoints, **newer.endpoints}
        )


@dataclass(slots=True)
class _Channel:
    """One type: what Envoy asks for (None: it has not asked yet), what was sent last, and what Envoy said to it."""

    names: frozenset[str] | None = None
    nonce: str = ""
    sent: Resources | None = None
    accepted: bool = False
    refused: bool = False
    unanswered: dict[str, Resources] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        return self.sent is not None and not self.accepted and not self.refused

    @property
    def sent_version(self) -> str | None:
        return None if self.sent is None else self.sent.version

    def answer(self, nonce: str) -> Resources | None:
        """What Envoy answers to; None for a stale nonce. Envoy goes in order, so it is through with all older ones."""
        if nonce not in self.unanswered:
            return None
        answered = self.unanswered[nonce]
        while next(iter(self.unanswered)) != nonce:
            del self.unanswered[next(iter(self.unanswered))]
        return answered

    def has(self, wanted: Resources) -> bool:
        """Whether Envoy got each of these resources with the last response, and did not refuse that."""
        return self.sent is not None and not self.refused and wanted.items.items() <= self.sent.items.items()

    def settled(self, wanted: Resources) -> bool:
        return self.accepted and self.sent_version == wanted.version


class Session:
    """The state of one stream.

    `refusal` is set while something that the aim needs has been refused.
    """

    def __init__(self, aim: Snapshot, carried: Footprint | None = None) -> None:
        """Start towards `aim`. `carried` is what Envoy may be running from an earlier stream."""
        self.refusal: Refusal | None = None
        self._aim = aim
        self._moving = set(aim.source)
        self._met = False  # until the first aim is reached, nothing is known about this Envoy
        self._channels = {kind: _Channel() for kind in ResourceType}
        self._refused: dict[tuple[ResourceType, str], str] = {}
        self._sent = 0
        self._endpoints_due = False
        # The clusters that Envoy's routes may name, and what Envoy accepted for them.
        carried = carried or Footprint()
        self._accepted_names = self._sent_names = carried.names
        self._clusters = dict(carried.clusters)
        self._endpoints = dict(carried.endpoints)

    @property
    def aim(self) -> Snapshot:
        """What this Envoy should have."""
        return self._aim

    @property
    def footprint(self) -> Footprint:
        """What Envoy may be running."""
        return Footprint(self._accepted_names | self._sent_names, self._clusters, self._endpoints)

    @property
    def synced(self) -> bool:
        """Whether Envoy has accepted the aim, whole, and nothing that is on its way out is left."""
        return (
            not self._leaving()
            and self._upstreams_settled()
            and self._channels[ResourceType.LISTENER].settled(self._aim.listeners)
            and self._channels[ResourceType.ROUTE].settled(self._aim.routes)
        )

    def acknowledges(self, key: RouteKey, route: Route | None) -> bool:
        """Whether Envoy surely runs exactly this route; for None: whether it surely runs none under this key."""
        return self._met and key not in self._moving and self._aim.source.get(key) == route

    def aim_at(self, snapshot: Snapshot) -> list[Response]:
        """Change what Envoy should have."""
        before, after = self._aim.source, snapshot.source
        self._moving |= {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        self._aim = snapshot
        return self._advance()

    def receive(self, request: Request) -> list[Response]:
        """Take in what Envoy said."""
        channel = self._channels[request.type]
        channel.names = request.names
        answered = channel.answer(request.nonce)
        if answered is not None and request.error is not None:
            self._refused[request.type, answered.version] = request.error
        if answered is not None and request.nonce == channel.nonce:
            if request.error is not None:
                self._refuse(request.type, channel)
            elif request.version == answered.version:
                self._accept(request.type, channel, answered)
        return self._advance()

    def _accept(self, kind: ResourceType, channel: _Channel, sent: Resources) -> None:
        channel.accepted = True
        if kind is ResourceType.CLUSTER:
            self._clusters = dict(sent.items)
        elif kind is ResourceType.ENDPOINT:
            self._endpoints = dict(sent.items)
        elif kind is ResourceType.ROUTE:
            self._accepted_names = self._sent_names

    def _refuse(self, kind: ResourceType, channel: _Channel) -> None:
        channel.refused = True
        if kind is ResourceType.ROUTE:
            self._sent_names = self._accepted_names  # Envoy goes on with the routes it had.

    def _leaving(self) -> frozenset[str]:
        """Clusters that Envoy's routes may name and the aimed routes do not."""
        return (self._accepted_names | self._sent_names) - self._aim.referenced

    def _wanted(self) -> tuple[Resources, Resources]:
        """The clusters and endpoints that Envoy should have now: the aim's, and those leaving as they were."""
        leaving = self._leaving() & self._clusters.keys() & self._endpoints.keys()
        if not leaving:
            return self._aim.clusters, self._aim.endpoints
        clusters = {**self._aim.clusters.items, **{name: self._clusters[name] for name in leaving}}
        endpoints = {**self._aim.endpoints.items, **{name: self._endpoints[name] for name in leaving}}
        return Resources(clusters), Resources(endpoints)

    def _upstreams_settled(self) -> bool:
        clusters, endpoints = self._wanted()
        return self._channels[ResourceType.CLUSTER].settled(clusters) and self._endpoints_settled(clusters, endpoints)

    def _endpoints_settled(self, clusters: Resources, endpoints: Resources) -> bool:
        """Envoy asks for no endpoints when it has no clusters."""
        settled = self._channels[ResourceType.ENDPOINT].settled(endpoints) and not self._endpoints_due
        return settled or not clusters.items

    def _advance(self) -> list[Response]:
        """The next responses: a type goes out when those before it are accepted.

        Endpoints do not wait for the clusters' acknowledgement: Envoy gives it once the clusters are warm, and to
        become warm they need their endpoints.
        """
        self.refusal = None
        clusters, endpoints = self._wanted()
        out: list[Response] = []
        if not self._channels[ResourceType.CLUSTER].settled(clusters):
            out += self._send(ResourceType.CLUSTER, clusters)
        if self._channels[ResourceType.CLUSTER].sent_version != clusters.version:
            return out
        if not self._endpoints_settled(clusters, endpoints):
            out += self._send(ResourceType.ENDPOINT, endpoints)
        if not self._upstreams_settled():
            return out
        if not self._channels[ResourceType.LISTENER].settled(self._aim.listeners):
            return out + self._send(ResourceType.LISTENER, self._aim.listeners)
        if not self._channels[ResourceType.ROUTE].settled(self._aim.routes):
            return out + self._send(ResourceType.ROUTE, self._aim.routes)
        self._moving.clear()
        self._met = True
        return out

    def _send(self, kind: ResourceType, wanted: Resources) -> list[Response]:
        """Send, unless Envoy has not asked, is busy with the last response, or has refused this one before.

        Newer clusters and endpoints do not wait for an answer: while a cluster is warming there is none, and it stays
        cold for ever when its endpoints are refused.
        """
        channel = self._channels[kind]
        if (kind, wanted.version) in self._refused:
            self.refusal = Refusal(kind, self._aim, self._refused[kind, wanted.version])
            return []
        if channel.names is None:
            return []
        if kind is ResourceType.ENDPOINT:
            if not channel.names >= wanted.items.keys():
                return []  # Envoy is taking in the clusters and will ask for the endpoints of all of them next.
            if channel.waiting and not self._endpoints_due and channel.sent_version == wanted.version:
                return []
            self._endpoints_due = False
        elif channel.waiting and (kind is not ResourceType.CLUSTER or channel.sent_version == wanted.version):
            return []
        if kind is ResourceType.CLUSTER and not channel.has(wanted):
            # A cluster that changed needs its endpoints again to become warm, even when they did not change.
            self._endpoints_due = True
        self._sent += 1
        channel.nonce, channel.sent = str(self._sent), wanted
        channel.unanswered[channel.nonce] = wanted
        channel.accepted = channel.refused = False
        if kind is ResourceType.ROUTE:
            self._sent_names = self._aim.referenced
        return [Response(kind, channel.nonce, wanted)]
