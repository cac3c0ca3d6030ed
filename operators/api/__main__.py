"""`python -m operators.api` prints the CustomResourceDefinition as YAML."""

import sys

import yaml

from operators.api import crd


def crd_yaml() -> str:
    """The definition as the chart carries it."""
    head = "# Generated from operators/api/types.py: change the types, then run `make crd`.\n"
    return head + yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(crd_yaml())
