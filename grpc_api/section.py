"""What the tables of a settings file have in common."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """A file's own paths are relative to its folder, wherever the gateway is started from."""
    return info.context / path if isinstance(info.context, Path) else path


File = Annotated[Path, AfterValidator(_beside_the_file)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A table of the file: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
