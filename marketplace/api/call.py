"""The type of a call as handlers see it."""

from typing import Any, TypeAlias

from litestar import Request

# Litestar types what middleware puts into a call by three parameters that nothing here needs:
# handlers get the principal by name, already typed.
Call: TypeAlias = Request[Any, Any, Any]
