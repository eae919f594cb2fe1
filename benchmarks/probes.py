"""Send health probes, each on a new connection.

`python -m benchmarks.probes URL SECONDS` requests `/livez` and `/readyz` in turn, as an
orchestrator does, and prints one line of JSON. Probes without an answer are counted.
"""

import json
import sys
import time
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

PATHS = ("/livez", "/readyz")
PAUSE_S = 0.05
TIMEOUT_S = 10.0
UNANSWERED = "unanswered"
"""Recorded instead of a status; such a probe has no time."""


def ask(address: str, path: str) -> tuple[int, float]:
    """Return the status of one probe and its milliseconds, including the connection."""
    began_s = time.perf_counter()
    connection = HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, (time.perf_counter() - began_s) * 1000
    finally:
        connection.close()


def probe(url: str, duration_s: float) -> dict[str, dict[str, Any]]:
    """Send probes for some time; return the statuses and the milliseconds of each path."""
    address = urlsplit(url).netloc
    found: dict[str, dict[str, Any]] = {path: {"statuses": {}, "took_ms": []} for path in PATHS}
    until_s = time.monotonic() + duration_s
    while time.monotonic() < until_s:
        for path in PATHS:
            try:
                status, took_ms = ask(address, path)
            except (OSError, HTTPException):
                outcome = UNANSWERED
            else:
                outcome = str(status)
                found[path]["took_ms"].append(round(took_ms, 3))
            statuses = found[path]["statuses"]
            statuses[outcome] = statuses.get(outcome, 0) + 1
        time.sleep(PAUSE_S)
    return found


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1], float(sys.argv[2]))))
