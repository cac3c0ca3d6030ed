"""Replace: the candidate gets all traffic as soon as it is ready and every router knows it.

That is a canary without steps. It is also what becomes of every strategy when there is nothing to try out: for a
rollout's first version, and on the way back to a version that was stable not long ago.
"""

from typing import Final

from operators.strategies.base import Strategy
from operators.strategies.canary import Canary

REPLACE: Final[Strategy] = Canary(steps=(), kind="replace")
