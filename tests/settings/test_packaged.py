"""The schema that ships inside the package."""

from __future__ import annotations

import subprocess
import sys

from meshproxy.settings.json_schema import text
from meshproxy.settings.packaged import schema_text


def test_the_packaged_schema_is_that_of_the_models() -> None:
    assert schema_text() == text()


def test_printing_it_does_not_load_the_models() -> None:
    code = (
        "import sys; from meshproxy.settings.packaged import schema_text; schema_text();"
        "sys.exit('pydantic' in sys.modules or 'yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
