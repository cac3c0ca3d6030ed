"""Model files: found, verified and kept under their SHA-256.

uri.py         what a URI may look like
settings.py    the cluster's policy, from the environment
obtain.py      from a URI to a verified copy in the cache
cache.py       what a node keeps, shared by its replicas
digests.py     the SHA-256 of a file or folder
signature.py   signatures by a key
code.py        which models may run code of their own
local.py       files and claims
download.py    everything else, in a process of its own:
child.py         the process
hosts.py         to whom it may connect
gate.py          and that it does not connect to anybody else
web.py           http and https
objects.py       object stores
registry.py      MLflow
redact.py        what must not be told
"""

from serving.artifacts.code import require_code, trusted_types
from serving.artifacts.digests import digest
from serving.artifacts.obtain import Artifact, obtain, read_beside

__all__ = ["Artifact", "digest", "obtain", "read_beside", "require_code", "trusted_types"]
