"""One line of JSON on the standard output for each request that a server understood.

Everything that came from the wire is in hexadecimal, so that no byte is lost in a coding.
"""

from __future__ import annotations

import json
import sys


def report(method: str, target: bytes, host: bytes, body: bytes) -> None:
    line = {"method": method, "target": target.hex(), "host": host.hex(), "body": body.hex()}
    # One write: threads of a server share the stream.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
