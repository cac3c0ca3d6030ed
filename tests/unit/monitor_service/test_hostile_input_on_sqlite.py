"""What nobody sends by accident, to a store in a SQLite file."""

from hostilecases import HostileCases


class TestHostileInput(HostileCases):
    pass
