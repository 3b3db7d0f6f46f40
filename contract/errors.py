"""Every error Winnow raises on purpose.

    WinnowError
    ├── InvalidInput        what a caller sent cannot be taken            -> HTTP 4xx
    │   └── TooLarge        it is over a stated limit                     -> HTTP 413
    ├── LogError            the event log
    │   ├── LogUnavailable  it cannot be reached or did not confirm       -> HTTP 503, retry with the same event_id
    │   ├── LogFull         it holds more untrained events than allowed   -> HTTP 503
    │   ├── CorruptBlock    an entry that cannot be decoded               -> dead letter
    │   └── Fenced          a newer trainer has claimed it                -> the process ends
    ├── RegistryError       the model registry
    │   ├── VersionNotFound                                               -> HTTP 404
    │   ├── VersionCorrupt  a file differs from its manifest, or a probe row from its answer
    │   ├── ProofUnfinished nothing could prove it for now                -> tried again
    │   └── ChampionPinned  an operator pinned the champion
    ├── CheckpointError     no usable checkpoint, or one that does not fit these settings
    ├── DataError           a data set on disk cannot be read
    └── SetupError          this machine or configuration cannot run what was asked

A message names the value, the bound and the remedy.
"""


class WinnowError(Exception):
    """Root of the tree; catch it at the edge of a process only."""


class InvalidInput(WinnowError):
    """What a caller sent cannot be taken; nothing was stored."""


class TooLarge(InvalidInput):
    """What a caller sent is over a stated limit; nothing was stored."""


class LogError(WinnowError):
    """The event log could not do what was asked."""


class LogUnavailable(LogError):
    """The log cannot be reached or did not confirm in time; retry with the same event ids."""


class LogFull(LogError):
    """The log holds as many untrained events as the settings allow."""


class CorruptBlock(LogError):
    """An entry of the log that is not a block this version can decode."""


class Fenced(LogError):
    """A newer trainer has claimed the log; this one must end before it shows, trims or publishes anything."""


class RegistryError(WinnowError):
    """The registry could not do what was asked."""


class VersionNotFound(RegistryError):
    """The registry holds no such version."""


class VersionCorrupt(RegistryError):
    """A version's files are not what its manifest says, or its model does not answer as it should."""


class ProofUnfinished(RegistryError):
    """Whether a version is sound could not be found out for now, which says nothing against it."""


class ChampionPinned(RegistryError):
    """An operator pinned the champion; unpin it before another version may be promoted."""


class CheckpointError(WinnowError):
    """No checkpoint can be used, or it was made under other settings."""


class DataError(WinnowError):
    """A data set on disk is missing or has no usable form."""


class SetupError(WinnowError):
    """This machine or configuration cannot run what was asked."""
