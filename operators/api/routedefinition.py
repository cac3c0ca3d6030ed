"""The CustomResourceDefinition of `ModelRoute`, in the format of `router.modelroute`."""

from typing import Any, Final

from operators.api.block import DNS_LABEL
from router.ir import BASIS_POINTS
from router.modelroute import GROUP, KIND, PLURAL, VERSION

_COLUMNS: Final = (
    ("Model", "string", ".spec.model"),
    ("Hosts", "string", ".spec.hosts"),
    ("Version", "string", ".spec.backends[0].version"),
    ("Weight", "integer", ".spec.backends[0].weight"),
    ("Version-2", "string", ".spec.backends[1].version"),
    ("Weight-2", "integer", ".spec.backends[1].weight"),
    ("Shadow", "string", ".spec.mirror.version"),
    ("Age", "date", ".metadata.creationTimestamp"),
)


def route_crd() -> dict[str, Any]:
    """The definition as a mapping, ready for the API server."""
    schema = {
        "type": "object",
        "description": "What the routers do with the traffic of one model. The operator writes it and undoes edits.",
        "required": ["spec"],
        "properties": {
            "apiVersion": _text(f"{GROUP}/{VERSION}."),
            "kind": _text(f"{KIND}."),
            "metadata": {
                "type": "object",
                "properties": {"name": _text("The rollout's name.") | {"pattern": DNS_LABEL}},
            },
            "spec": _spec(),
            "status": _status(),
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mroute"],
            },
            "versions": [version],
        },
    }


def _spec() -> dict[str, Any]:
    endpoint = _object(
        "One replica's own HTTP server.",
        host=_text("Its address."),
        port=_number("Its port.", 1, 65535),
    ) | {"required": ["host", "port"]}
    backend = _object(
        "One version of the model.",
        version=_text("The version's id."),
        weight=_number(
            f"Its share of the live requests in basis points; all sum to {BASIS_POINTS} or are 0.", 0, BASIS_POINTS
        ),
        endpoints=_list("Its replicas that are ready.", endpoint),
        members={
            "type": "boolean",
            "description": "Whether it is many models, which requests name; each stays with one replica.",
        },
    ) | {"required": ["version", "weight"]}
    mirror = _object(
        "Copies of live requests for a version whose answers nobody sees.",
        version=_text("The version that gets them."),
        share=_number("The share of the live requests that is copied, in basis points.", 1, BASIS_POINTS),
        maxConcurrency=_number("Copies under way at once; what is beyond is not sent.", 1),
    ) | {"required": ["version", "share", "maxConcurrency"]}
    retry = _object(
        "Attempts on another replica of the same version.",
        attempts=_number("Further attempts, at most.", 0),
        idempotent={
            "type": "boolean",
            "description": "Whether a request that may have reached the model is tried again.",
        },
    ) | {"required": ["attempts", "idempotent"]}
    condition = _object(
        "What one thing of a request must be: any of the values, or within the prefix or range, or else only there.",
        header=_text("The header that is meant."),
        feature=_list("Or the keys within JSON objects that lead to the value that is meant.", _text("A key.")),
        values={
            "type": "array",
            "description": "Texts, numbers, and truth values.",
            "items": {"x-kubernetes-preserve-unknown-fields": True},
        },
        prefix=_text("What the value begins with."),
        low={"type": "number", "description": "The value is a number of at least this."},
        high={"type": "number", "description": "The value is a number below this."},
    )
    match = _object(
        "What a request must be in every respect.", conditions=_list("Everything that must be true.", condition)
    ) | {"required": ["conditions"]}
    selection = _object(
        "Requests that one version answers whatever the weights are.",
        version=_text("The version that answers them."),
        matches=_list("A request is selected when it is any of these.", match),
    ) | {"required": ["version", "matches"]}
    cookie = _object(
        "The cookie whose value decides the version; clients without it are given one.",
        name=_text("Its name."),
        ttlSeconds=_number("How long clients keep it.", 1),
    ) | {"required": ["name", "ttlSeconds"]}
    paths = _object(
        "Where the model answers beside the paths that every model has.",
        predict=_text("Predictions with named fields."),
        health=_text("How the model is."),
        info=_text("What the model is."),
        openapi=_text("The OpenAPI document of the requests that it takes."),
        docs=_text("The same as a page."),
    )
    spec = _object(
        "What the routers shall do.",
        model=_text("The model's name in requests."),
        hosts=_list("Host names that it answers on; * is any other host.", _text("A host name.")),
        backends=_list("The versions, the candidate first.", backend),
        mirror=mirror,
        stickyHeader=_text("The request header whose value decides the version; without it the request id does."),
        stickyCookie=cookie,
        selection=selection,
        exposures={
            "type": "boolean",
            "description": "Whether replicas are told with each request which key decided, and the version's share.",
        },
        timeoutSeconds={"type": "number", "description": "The time after which a request is answered 504."},
        retry=retry,
        maxBodyBytes=_number("The largest request body.", 1),
        paths=paths,
    )
    return spec | {"required": ["model", "hosts", "backends", "timeoutSeconds", "retry", "maxBodyBytes"]}


def _status() -> dict[str, Any]:
    entry = _object(
        "What one router says.",
        generation=_number("The newest generation of the spec that its Envoy runs.", 0),
        rejected=_text("Why Envoy refused a newer one; empty if it did not."),
    )
    routers = {
        "type": "object",
        "description": "What each router says, by its pod's name.",
        "additionalProperties": entry,
    }
    return _object("What the routers do.", routers=routers)


def _object(description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "properties": properties}


def _list(description: str, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "description": description, "items": items}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _number(description: str, least: int, most: int | None = None) -> dict[str, Any]:
    number: dict[str, Any] = {"type": "integer", "description": description, "minimum": least}
    return number if most is None else number | {"maximum": most}
