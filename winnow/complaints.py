"""How a command fails: one line on standard error that says what and how to mend it, and exit code 2."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from contract.errors import WinnowError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_EXTRAS = {
    **dict.fromkeys(("torch", "onnx", "pyarrow", "safetensors", "numba"), "train"),
    **dict.fromkeys(("matplotlib", "psutil"), "train,bench"),
}


def one_line_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn Winnow's own errors into one line; any other error is a defect and keeps its traceback."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except WinnowError as error:
            complaint = str(error)
        except ValidationError as error:
            complaint = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}, not {e['input']!r}" for e in error.errors()
            )
        except ModuleNotFoundError as error:
            if error.name not in _EXTRAS:
                raise
            complaint = f"{error.name} is not installed here; pip install '.[{_EXTRAS[error.name]}]'"
        typer.secho(f"error: {complaint}", fg="red", err=True)
        raise typer.Exit(2)

    return run
