"""What a route matches: `POST /orders`, `/reports/*`, or a mapping of methods, path, headers.

Reads the short form into the long one and gives both their label. How a request is matched
is `logic.match`'s.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.logic.match import Rule, read_pattern
from meshproxy.logic.path import canonical, folded

MATCH_PATTERN = r"^([A-Z][A-Z0-9_-]* )?/[^ ?#]*$"
_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*")
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Match(BaseModel):
    """Every condition that is written must hold; one that is left out asks for nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: list[str] = Field(default=[], description="Any of these; GET does not take HEAD.")
    path: str = Field(
        default="", description="Literal, /below/*, or * for one segment in the middle."
    )
    headers: dict[str, str] = Field(
        default={}, description="Each field must have exactly this value."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        method, blank, path = value.rpartition(" ")
        if not path.startswith("/"):
            raise _wrong("write a method and a path or only a path, as in POST /orders")
        return {"methods": [method], "path": path} if blank else {"path": path}

    @field_validator("methods")
    @classmethod
    def _known_spelling(cls, methods: list[str]) -> list[str]:
        for method in methods:
            if not _METHOD.fullmatch(method):
                upper = method.upper()
                hint = f"write {upper}" if _METHOD.fullmatch(upper) else "write one word"
                raise _wrong(f"methods are upper-case words: {hint}")
        return methods

    @field_validator("path")
    @classmethod
    def _pattern(cls, path: str) -> str:
        try:
            raw = path.encode("ascii")
            read_pattern(raw)
        except UnicodeEncodeError:
            raise _wrong("write characters outside ASCII percent-encoded") from None
        except ValueError as error:
            raise _wrong(str(error)) from None
        plain = canonical(raw) if raw else raw
        if plain is None:
            raise _wrong("no request can have this path: requests with it are refused")
        plain = folded(plain)
        if plain != raw:
            raise _wrong(f"no request can have this path as it is: write {plain.decode()}")
        return path

    @field_validator("headers")
    @classmethod
    def _field_names(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if not _FIELD_NAME.fullmatch(name):
                raise _wrong(f"{name!r} is no name of a header field")
        return {name.lower(): value for name, value in headers.items()}

    @model_validator(mode="after")
    def _something(self) -> Match:
        if not (self.methods or self.path or self.headers):
            raise _wrong("an empty match takes every request: say methods, path or headers")
        return self

    def label(self) -> str:
        """The match as one writes it: what a route without a name is called."""
        parts = [",".join(self.methods)] if self.methods else []
        if self.path:
            parts.append(self.path)
        return " ".join((*parts, *(f"{name}={value}" for name, value in self.headers.items())))

    def rule(self) -> Rule:
        """The same as the matcher takes it."""
        return Rule(
            methods=frozenset(method.encode() for method in self.methods),
            path=self.path.encode(),
            headers=tuple((name.encode(), value.encode()) for name, value in self.headers.items()),
        )


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("match", "{message}", {"message": message})
