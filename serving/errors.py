"""Everything that may go wrong while a model is loaded or asked, each with a type of its own."""

RETRY_SOON = b"retry-after: 1\r\n"


class RequestError(Exception):
    """A request that gets an error as its answer.

    `status` is the HTTP status, `code` a short machine word (`invalid_json`, `queue_full`, …), and the message is
    written for the person who sent the request. `headers` are further header lines, each ended by CRLF.
    """

    def __init__(self, status: int, code: str, message: str, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


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


class UntrustedType(ModelLoadError):
    """A skops file holds types that are neither skops' nor scikit-learn's own."""


class UnloadableModel(ModelLoadError):
    """The bytes are there, but no model could be made of them."""


class NotAnEstimator(ModelLoadError):
    """What was loaded has no `predict`."""


class SignatureMismatch(ModelLoadError):
    """The declared inputs do not fit the model."""


class ServerStartError(Exception):
    """The server could not bind its address."""


class ServerUnhealthy(Exception):
    """The server's thread died, its loop does not answer, or a model call does not come back."""
