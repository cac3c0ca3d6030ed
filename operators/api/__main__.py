"""`python -m operators.api FOLDER` writes the CustomResourceDefinitions as the chart carries them."""

import sys
from pathlib import Path

import yaml

from operators.api import crd, route_crd

_HEAD = "# Generated from operators/api: change the types there, then run `make crd`.\n"


def definitions() -> dict[str, str]:
    """The YAML of each definition by its file's name."""
    return {
        f"{definition['spec']['names']['plural']}.yaml": _HEAD
        + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)
        for definition in (crd(), route_crd())
    }


if __name__ == "__main__":
    for name, text in definitions().items():
        Path(sys.argv[1], name).write_text(text)
