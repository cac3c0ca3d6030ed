"""A record as CloudEvents: one for the request and, if there was an answer, one for it.

CloudEvents 1.0: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, `formats/json-format.md` and
`bindings/http-protocol-binding.md` beside it. Types, id and the extensions `inferenceservicename`, `namespace` and
`component` are those of KServe's logger (https://github.com/kserve/kserve/blob/master/pkg/logger/worker.go), so that
what listens to that understands these; `component` is the version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import orjson

from monitor.outbound.hooks import Post
from monitor.store.schema import MICROSECONDS

REQUEST: Final = "org.kubeflow.serving.inference.request"
RESPONSE: Final = "org.kubeflow.serving.inference.response"
BATCH_TYPE: Final = "application/cloudevents-batch+json"
JSON_TYPE: Final = "application/json"
_CONTROL: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd")
"""Characters that no attribute may have (`spec.md`, "Type System")."""
_PRINTABLE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""Characters of an HTTP header that stand for themselves (`http-protocol-binding.md`, 3.1.3.2)."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """Context attributes, with those of extensions, and the data: any JSON, None for none."""

    attributes: dict[str, str | int | bool]
    data: Any

    def structured(self) -> dict[str, Any]:
        """As one event of a batch."""
        if self.data is None:
            return dict(self.attributes)
        return self.attributes | {"datacontenttype": JSON_TYPE, "data": self.data}

    def binary(self) -> Post:
        """As an HTTP message of its own."""
        headers = {f"ce-{name}": quote(_text(value), safe=_PRINTABLE) for name, value in self.attributes.items()}
        return Post(b"" if self.data is None else orjson.dumps(self.data), headers)


def events_of(record: Any) -> Sequence[CloudEvent]:
    """The events of a row of `records`.

    Their data are the recorded columns by name. Source and id are unique for every answer of a version to a request id.
    """
    version = "/".join(
        quote(part, safe="")
        for part in ("namespaces", record.namespace, "models", record.model, "versions", record.version)
    )
    time = datetime.fromtimestamp(record.at / MICROSECONDS, UTC).isoformat(timespec="microseconds")
    common: dict[str, str | int | bool] = {
        "specversion": "1.0",
        "id": record.request_id.translate(_CONTROL),
        "time": time.replace("+00:00", "Z"),
        "inferenceservicename": record.model,
        "namespace": record.namespace,
        "component": record.version,
        "mirrored": record.mirrored,
    }
    events = [CloudEvent(common | {"type": REQUEST, "source": f"/{version}/requests"}, record.inputs)]
    if record.outputs is not None or 200 <= record.status < 300:
        answered = {"type": RESPONSE, "source": f"/{version}/responses", "httpstatus": record.status}
        events.append(CloudEvent(common | answered, record.outputs))
    return events


def _text(value: str | int | bool) -> str:
    """The canonical string of a value (`spec.md`, "Type System")."""
    return str(value).lower() if isinstance(value, bool) else str(value)
