"""What must not be told: credentials that libraries repeat in their errors."""

import re
from collections.abc import Mapping
from typing import Final

LONGEST: Final = 600
"""Characters of a message."""
_SECRET_NAME: Final = re.compile(r"KEY|SECRET|TOKEN|PASS|SAS|CREDENTIAL|CONNECTION_STRING", re.IGNORECASE)
_PATH_NAME: Final = re.compile(r"(FILE|PATH|DIR|FOLDER|CREDENTIALS|KEYS)$", re.IGNORECASE)
"""Variables that say where a credential is. Others may begin with a slash too: base64 has it."""
_IN_TEXT: Final = (
    (re.compile(r"(\w://)[^/\s@]*@"), r"\1***@"),
    (re.compile(r"(\w://[^\s?'\"]*)\?[^\s'\"]*"), r"\1?***"),
    (re.compile(r"(?i)\b(sig|signature|accountkey|password|token|authorization)(=|: ?)[^\s;&'\"]+"), r"\1\2***"),
)


def redact(text: str, environ: Mapping[str, str]) -> str:
    """The text on one line, without the values of variables that hold credentials, and without what URLs may hold."""
    text = " ".join(text.split())
    for name, value in environ.items():
        is_path = value.startswith("/") and _PATH_NAME.search(name)
        if len(value) >= 4 and _SECRET_NAME.search(name) and not is_path:
            text = text.replace(value, "***")
    for expression, replacement in _IN_TEXT:
        text = expression.sub(replacement, text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
