"""Which of the published routes may go to Envoy, after it refused some.

Envoy refuses a type as a whole, and its message, a cut-off dump of all routes, does not say reliably which one is to
blame. So after a refusal all routes that changed since the last acknowledged state fall back to their last acknowledged
content, and are tried again one at a time, in the order of their keys. One that is refused while it alone has changed
is guilty. The others are admitted as they are acknowledged.

A guilty route stays at its last acknowledged content (none, if it never had any) with Envoy's message, until other
content is published for it. A route that the translator refuses is held back in the same way, but tried again whenever
anything is published: what it claims may only have been another's until then.
"""

from collections.abc import Iterable, Mapping

from router.ir import Route, RouteKey

Routes = Mapping[RouteKey, Route]


class Admission:
    """The published routes, the last acknowledged ones, and what stands between them."""

    def __init__(self, good: Iterable[Route] = ()) -> None:
        """Start from routes that were acknowledged once; they count as published until others are."""
        self._good: dict[RouteKey, Route] = {route.key: route for route in good}
        self._published: dict[RouteKey, Route] = dict(self._good)
        self._guilty: dict[RouteKey, tuple[Route, str]] = {}
        self._untranslatable: set[RouteKey] = set()
        self._suspects: list[RouteKey] = []
        self.fault: str | None = None

    @property
    def good(self) -> Routes:
        """What was acknowledged last."""
        return self._good

    @property
    def published(self) -> Routes:
        """What was published last."""
        return self._published

    def publish(self, routes: Iterable[Route]) -> None:
        """Replace the published routes. New content for a route is a new try."""
        before, self._published = self._published, {route.key: route for route in routes}
        self._guilty = {
            key: found
            for key, found in self._guilty.items()
            if self._published.get(key) == found[0] and key not in self._untranslatable
        }
        self._untranslatable.clear()
        self._suspects = [key for key in self._suspects if before.get(key) == self._published.get(key)]

    def admitted(self) -> dict[RouteKey, Route]:
        """The routes to aim at now."""
        held = self._guilty.keys() | set(self._suspects[1:])
        chosen = {key: self._good.get(key) if key in held else route for key, route in self._published.items()}
        return {key: route for key, route in chosen.items() if route is not None}

    def rejected(self, key: RouteKey) -> str | None:
        """Why a published route is held back; None when it is not."""
        found = self._guilty.get(key)
        return self.fault if found is None else found[1]

    def convict(self, tried: Routes, reasons: Mapping[RouteKey, str]) -> None:
        """Hold back the routes of `tried` that cannot be translated together, for these reasons."""
        self._untranslatable |= reasons.keys()
        self._hold_back(tried, reasons)

    def refuse(self, tried: Routes, message: str) -> None:
        """Envoy refused something that was made from `tried`."""
        changed = [key for key in sorted(tried) if self._good.get(key) != tried[key]]
        if len(changed) == 1:
            self._hold_back(tried, {changed[0]: message})
        elif changed:
            self._suspects = changed
        else:
            self.fault = message  # nothing that was published can be to blame

    def accept(self, routes: Routes) -> None:
        """Every Envoy runs `routes`. What `admitted` says may change with this."""
        self._good = dict(routes)
        self._suspects = [key for key in self._suspects if routes.get(key) != self._published.get(key)]
        self.fault = None

    def _hold_back(self, tried: Routes, reasons: Mapping[RouteKey, str]) -> None:
        for key, reason in reasons.items():
            if self._published.get(key) == tried[key]:
                self._guilty[key] = (tried[key], reason)
            if self._good.get(key) == tried[key]:
                del self._good[key]
            if key in self._suspects:
                self._suspects.remove(key)
