"""Many small models in one replica: loaded on first use, kept while they are used, within a budget of memory.

catalogue.py  which models there are, and how one is loaded
shelf.py      which of them stay: least recently used ones give way
loading.py    one load at a time, each on a thread of its own
members.py    requests to the model that they name
tally.py      what was asked of each
gauges.py     the same for Prometheus
"""

from serving.many.catalogue import Budget, Catalogue, Fleet, open_catalogue
from serving.many.members import Bounds, InferencePaths, Members
from serving.many.tally import Counts, Tally

__all__ = [
    "Bounds",
    "Budget",
    "Catalogue",
    "Counts",
    "Fleet",
    "InferencePaths",
    "Members",
    "Tally",
    "open_catalogue",
]
