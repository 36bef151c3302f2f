"""The lists of hosts that may be called though no service claims them, as the file has them.

What a pattern means and which ranges are closed by themselves is `logic.destination`'s.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from meshproxy.logic import destination
from meshproxy.settings.words import Network

PLACE_PATTERN = r"^(\[[0-9A-Fa-f:.]+\]|\*|(\*\.)?[A-Za-z0-9_.-]+)(:([0-9]{1,5}|\*))?$"


def _read_place(value: Any) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError(destination.HOW)
        destination.read_pattern(value, 1)  # which port it means without one, the list knows
    except ValueError as error:
        raise PydanticCustomError("place", "{message}", {"message": str(error)}) from None
    return value.lower()


Place = Annotated[
    str,
    BeforeValidator(_read_place),
    WithJsonSchema({"type": "string", "pattern": PLACE_PATTERN, "examples": ["*.example.com"]}),
]


class Allow(BaseModel):
    """Hosts of no service that may be called all the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: list[Place] = Field(
        min_length=1, description="Hosts, with a port if need be; *. in front for all below."
    )
    networks: list[Network] = Field(
        default=[], description="Ranges to open that are closed by themselves, as 127.0.0.0/8."
    )


def _one_of(*words: str) -> BeforeValidator:
    """One of these words; what is neither a word nor a mapping is told of both."""
    message = f"write {', '.join(words)} or {{allow: [api.example.com]}}"

    def read(value: Any) -> Any:
        if value not in words:
            raise PydanticCustomError("word", "{message}", {"message": message})
        return value

    return BeforeValidator(read)


def _kind(value: Any) -> str:
    return "<allow>" if isinstance(value, dict | Allow) else "<word>"


UnknownHosts = Annotated[
    Annotated[Literal["reject", "pass"], _one_of("reject", "pass"), Tag("<word>")]
    | Annotated[Allow, Tag("<allow>")],
    Discriminator(_kind),
]
Connect = Annotated[
    Annotated[Literal["off"], _one_of("off"), Tag("<word>")] | Annotated[Allow, Tag("<allow>")],
    Discriminator(_kind),
]
