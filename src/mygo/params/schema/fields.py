"""What sections of parameters are made of: kinds of numbers and names, and the strict section itself."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Share = Annotated[float, Field(gt=0, le=1)]  # a part of something: 0 < x <= 1
Chance = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _is_a_name(text: str) -> str:
    if "\0" in text:  # the system takes no such name, and says so in a traceback
        raise ValueError(f"got {text!r}; takes a name without the character \\0")
    return text


Place = Annotated[str, AfterValidator(_is_a_name)]  # a path, or the name of something that may be one


# A mapping with names of the user's own; null stands for none of them, since Hydra overrides null and not {}.
NONE_IS_EMPTY = BeforeValidator(lambda value: {} if value is None else value)


class Section(BaseModel):
    """A group of keys: strict types, finite numbers, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
