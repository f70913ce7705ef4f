"""What every shape on the wire inherits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]


class Wire(BaseModel):
    """Base: unknown fields are refused on the way in, so that a typing error is not silently dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)
