"""What `helm test` runs: a prediction through the routers' Service; without a model, whether they are ready."""

import os
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def main(url: str, model: str, host: str, request: str) -> str:
    """Ask, and return the answer; end with exit code 1 and what is wrong otherwise."""
    path = f"/v2/models/{model}/infer" if model else "/v2/health/ready"
    headers = {"content-type": "application/json"} | ({"host": host} if host else {})
    asked = Request(url + path, request.encode() if model else None, headers)  # noqa: S310 - the chart says http
    try:
        with urlopen(asked, timeout=30) as answer:  # noqa: S310 - the same
            return f"{path} answers {answer.status}: {answer.read().decode()}\n"
    except HTTPError as error:
        sys.exit(f"{path} answers {error.code}: {error.read().decode()}")
    except OSError as error:
        sys.exit(f"{url} cannot be reached: {error}")


if __name__ == "__main__":
    sys.stdout.write(main(*(os.environ[name] for name in ("URL", "MODEL", "HOST", "REQUEST"))))
