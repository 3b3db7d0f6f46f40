"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Return the installed release, such as 0.1.0, or `from source`."""
    try:
        return version("winnow-denoise")
    except PackageNotFoundError:
        return "from source"
