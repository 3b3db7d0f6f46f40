"""Who may do what where: the role each path needs, and on which addresses a service may listen without keys (P11).

A path that nothing is said about needs a key, so a new route is closed until its role is decided. Pure decisions;
`service/keys.py` acts on them.
"""

from ipaddress import ip_address

from contract.api_keys import Role
from contract.errors import SetupError
from service.settings import ServiceSettings

Needed = frozenset[Role] | None
"""Roles of which a caller has to have one; the empty set is satisfied by any key, and None by no key at all."""

OPEN: Needed = None
ANY_KEY: Needed = frozenset()
_OPEN = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/console"})
_BY_PATH: dict[str, Needed] = {
    "/v1/feedback": frozenset({Role.FEEDBACK}),
    "/feedback": frozenset({Role.FEEDBACK}),
    "/v1/models": frozenset({Role.SCORE, Role.ADMIN}),
    "/metrics": frozenset({Role.METRICS}),
    **dict.fromkeys(
        ("/v1/score", "/score", "/v1/score:batch", "/score:batch", "/v1/labels", "/labels", "/v2"),
        frozenset({Role.SCORE}),
    ),
}
_CONSOLE = frozenset({Role.CONSOLE, Role.ADMIN})
_BY_PREFIX: dict[str, Needed] = {  # the first that fits
    "/v1/models/": frozenset({Role.SCORE, Role.ADMIN}),
    "/v1/feedback/": frozenset({Role.FEEDBACK}),
    "/v2/": frozenset({Role.SCORE}),
    "/admin/": frozenset({Role.ADMIN}),
    "/console/api/": _CONSOLE,
    "/console/": OPEN,  # files without data
}


def needed_for(path: str) -> Needed:
    """Return what a caller of a path needs."""
    if path in _OPEN:
        return OPEN
    if path in _BY_PATH:
        return _BY_PATH[path]
    return next((needed for prefix, needed in _BY_PREFIX.items() if path.startswith(prefix)), ANY_KEY)


def needed_for_admin(path: str) -> Needed:
    """The same on the admin port, where all but its probe, its metrics and the console changes what is served."""
    if path == "/livez":
        return OPEN
    if path == "/console" or path.startswith("/console/"):
        return needed_for(path)
    return frozenset({Role.METRICS, Role.ADMIN}) if path == "/metrics" else frozenset({Role.ADMIN})


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name may mean any address


def check_exposure(settings: ServiceSettings) -> None:
    """Raise SetupError if callers without keys would be let in from beyond this machine."""
    if settings.api_keys_file is not None:
        return
    remedy = "set WINNOW_API_KEYS_FILE to a file made by `winnow keys new`, or listen on 127.0.0.1"
    if not is_loopback(settings.host) and not settings.allow_anonymous:
        raise SetupError(
            f"WINNOW_HOST is {settings.host}, which others can reach, and there are no API keys; {remedy}, "
            "or, on a network whose every member is trusted, set WINNOW_ALLOW_ANONYMOUS=true"
        )
    if settings.admin_port is not None and not is_loopback(settings.admin_host):
        remedy = remedy.replace("listen", "leave WINNOW_ADMIN_HOST")
        raise SetupError(
            f"WINNOW_ADMIN_HOST is {settings.admin_host}, which others can reach, and there are no API keys; {remedy}"
        )
