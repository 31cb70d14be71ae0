"""What `helm test` runs: asks the exporter whether it is ready, and for its build.

Arguments: its URL, where its metrics are, and headers as `NAME: VALUE`. A URL of tcp:// stands for
an exporter that only lets in who has a certificate or a password: then the port is all there is.
"""  # noqa: INP001  it is given to python -c

import socket
import ssl
import sys
import time
import urllib.parse
import urllib.request


def body(url: str, headers: dict[str, str]) -> str:
    """Return an answer. The certificate need not be of this name: it is the pod next door."""
    anybody = ssl._create_unverified_context()  # noqa: S323, SLF001
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=5, context=anybody) as answer:  # noqa: S310
        return str(answer.read(), "utf-8")


def ask(url: str, metrics: str, *headers: str) -> None:
    """Raise OSError unless it answers, and ValueError unless the answer is an exporter's."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "tcp":
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
        return
    named = dict(header.split(": ", 1) for header in headers)
    body(f"{url}/-/ready", named)
    if "\nqmp_exporter_build_info{" not in body(f"{url}{metrics}", named):
        raise ValueError(f"no qmp_exporter_build_info at {url}{metrics}")


deadline = time.monotonic() + 30
while True:
    try:
        ask(*sys.argv[1:])
    except (OSError, ValueError) as error:
        if time.monotonic() > deadline:
            sys.exit(f"{sys.argv[1]}: {error}")
        time.sleep(1)
    else:
        sys.exit()
