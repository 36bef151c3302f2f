"""The cases that are shown to other programs: both corpora, without what is only about size.

The others have bounds of their own (HAProxy's buffer is 16 KiB), and a server's report of 70 kB
or of a thousand requests says nothing that a short one does not.
"""

from __future__ import annotations

from tests.conformance import requests_refused, requests_taken

MOST = 16 * 1024

REFUSED = requests_refused.ALL
TAKEN = tuple(case for case in requests_taken.ALL if len(case.data) <= MOST)
