"""Old public names, which still work and warn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def warn(text: str) -> None:
    """Warn the caller of the caller."""
    warnings.warn(text, DeprecationWarning, stacklevel=3)


def renamed(**names: str) -> Callable[[Function], Function]:
    """Let a function or a class take keyword arguments by old names: ``@renamed(old="new")``."""

    def decorate(function: Function) -> Function:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function

        @wraps(function)
        def under_old_names(*args: Any, **options: Any) -> Any:
            for old in names.keys() & options.keys():
                new = names[old]
                if new in options:
                    raise TypeError(f"{function.__qualname__}: {old} is the old name of {new}")
                warn(f"{function.__qualname__}: the argument {old} is now called {new}")
                options[new] = options.pop(old)
            return function(*args, **options)

        return cast("Function", under_old_names)

    return decorate
