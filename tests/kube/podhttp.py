"""The HTTP API of a pod, asked as the kubelet asks it."""

import http.client

ANSWER_SECONDS = 30.0


def ask(port: int, path: str) -> tuple[int, str]:
    """The status and the body; status 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError as error:
        return 0, repr(error)
    finally:
        connection.close()
