"""The `tidegate` command. Modules are imported when a command needs them, so that each starts fast."""


def main() -> None:
    """Run the command line."""
    from operators.cli.app import app  # noqa: PLC0415 - importing `operators.cli` costs nothing

    app()
