"""How handlers name what they are given."""

from typing import Any, TypeAlias, TypeVar

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation

T = TypeVar("T")

# Litestar types what middleware puts into a call by three parameters that nothing here needs:
# handlers get the principal by name, already typed.
Call: TypeAlias = Request[Any, Any, Any]

Given: TypeAlias = SkipValidation[NamedDependency[T]]
"""Something that the application gives every handler by its name; it is ours, so not checked again."""
