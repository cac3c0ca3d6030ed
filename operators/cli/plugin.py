"""`kubectl tidegate`: kubectl runs the program `kubectl-tidegate` that it finds on the PATH."""


def main() -> None:
    """Run the command line."""
    from operators.cli.app import plugin  # noqa: PLC0415 - importing this module costs nothing

    plugin(prog_name="kubectl tidegate")
