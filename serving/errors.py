"""Everything that may go wrong while a model is loaded or asked, each with a type of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

RETRY_SOON = b"retry-after: 1\r\n"

MAX_PROBLEMS: Final = 10
"""Of one request, that are told at once."""
_SENTENCES: Final = 3
"""Problems that the message of an error has, beside those in its details."""


class RequestError(Exception):
    """A request that gets an error as its answer.

    `status` is the HTTP status, `code` a short machine word (`invalid_json`, `queue_full`, …), and the message is
    written for the person who sent the request. `headers` are further header lines, each ended by CRLF, and `details`
    what is wrong in which row and field.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: bytes = b"", details: Sequence[dict[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers
        self.details = details


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value of a request.

    `row` counts from 0, `field` is the column or tensor, `place` says both in the words of the request's protocol, and
    `problem` goes on with "must …".
    """

    row: int
    field: str
    place: str
    problem: str
    code: str = "invalid_input"

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.place} {self.problem}"


class InvalidInput(RequestError):
    """Values that the model does not take. The code is that of all problems, if they have one in common."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """`problems` are in the order of the rows; the first `MAX_PROBLEMS` are told."""
        self.problems = problems
        told = problems[:MAX_PROBLEMS]
        codes = {one.code for one in told}
        message = "; ".join(map(str, told[:_SENTENCES]))
        if len(problems) > _SENTENCES:
            message += f"; and {'more' if len(problems) > MAX_PROBLEMS else f'{len(told) - _SENTENCES} more'}"
        super().__init__(
            400,
            codes.pop() if len(codes) == 1 else "invalid_input",
            message,
            details=[{"row": one.row, "field": one.field, "problem": one.problem} for one in told],
        )


class QueueFull(RequestError):
    """More requests are waiting for the model than the replica is willing to keep."""

    def __init__(self, waiting: int) -> None:
        super().__init__(503, "queue_full", f"{waiting} requests are already waiting for the model", RETRY_SOON)


class ModelCallError(RequestError):
    """The model raised, or answered something that is no prediction for every row."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(500, "model_error", f"the model raised {type(cause).__name__}: {cause}")


class BadPrediction(Exception):
    """What the model returned cannot be told apart by row."""


class ModelLoadError(Exception):
    """A model cannot be loaded; the message is the real reason, fit for the rollout's condition."""


class UnsupportedModel(ModelLoadError):
    """The URI scheme, the runtime or the file format is not one that this release can load."""


class ArtifactNotFound(ModelLoadError):
    """There is nothing readable at the model's URI."""


class ArtifactMismatch(ModelLoadError):
    """The bytes at the model's URI are not those that the SHA-256 promises."""


class ArtifactRefused(ModelLoadError):
    """The model may not come from there: the cluster's policy forbids it, or the source does."""


class ArtifactTooLarge(ModelLoadError):
    """The model has more bytes than may be downloaded."""


class ArtifactUnavailable(ModelLoadError):
    """The model's source, or the way to it, failed, or took too long."""


class BadArtifactSettings(ModelLoadError):
    """The cluster's policy about models makes no sense; the message names the variable."""


class BadSignature(ModelLoadError):
    """The model is not signed, was signed by nobody who is trusted, or was changed since."""


class CodeRefused(ModelLoadError):
    """The model would run code of its own when it is loaded, which the cluster's policy forbids."""


class UntrustedType(ModelLoadError):
    """A skops file holds types that are neither skops' nor scikit-learn's own."""


class UnloadableModel(ModelLoadError):
    """The bytes are there, but no model could be made of them."""


class MissingLibrary(ModelLoadError):
    """A package that the runtime needs is not installed where the replica runs."""


class NotAnEstimator(ModelLoadError):
    """What was loaded has no `predict`."""


class SignatureMismatch(ModelLoadError):
    """The declared inputs do not fit the model."""


class ServerStartError(Exception):
    """The server could not bind its address."""


class ServerUnhealthy(Exception):
    """The server's thread died, its loop does not answer, or a model call does not come back."""
