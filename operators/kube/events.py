"""What the operator decides, as Events of Kubernetes: `kubectl get events`, `kubectl describe modelrollout`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from operators.api import API_VERSION, KIND
from operators.plan import Event

REPORTER: Final = "tidegate-operator"
LONGEST_MESSAGE: Final = 1024
"""Characters that the API server accepts;
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/."""


def event_json(metadata: Mapping[str, Any], event: Event, now: float) -> dict[str, Any]:
    """An Event about the rollout with this metadata, at `now` (seconds since the epoch)."""
    time = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "message": shortened(event.message, LONGEST_MESSAGE),
        "source": {"component": REPORTER},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def shortened(text: str, longest: int) -> str:
    """The text, its end replaced by an ellipsis if it is too long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
