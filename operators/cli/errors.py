"""What the user is told when something cannot be done: what happened, and the next command."""


class CliError(Exception):
    """Ends the command with exit code 1. `hint` is what to do or run next."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Both are whole sentences without a full stop."""
        super().__init__(f"{message}\n{hint}" if hint else message)


def sentence(error: Exception) -> str | None:
    """What to tell the user about an error that is foreseen; None for a defect."""
    from operators.api import InvalidManifest  # noqa: PLC0415 - needed when something failed only
    from operators.local.preflight import CannotStart  # noqa: PLC0415
    from operators.local.wake import WakeError  # noqa: PLC0415
    from operators.ports import PortUnavailable  # noqa: PLC0415

    foreseen = CliError | InvalidManifest | PortUnavailable | WakeError | CannotStart
    return str(error) if isinstance(error, foreseen) else None
