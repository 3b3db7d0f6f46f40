"""A method under test: the few settings that are compared. All else is the learner's default for everyone."""

from collections.abc import Iterable
from dataclasses import dataclass

from trainer.settings import LearnerSettings

Overrides = tuple[tuple[str, str], ...]  # other settings by name, for tuning; the same for every method

CONTROLS = ("bce", "negative", "positive", "random", "watch", "tce", "rce", "nnpu")
INVERSE_GRADIENTS = ("ig", "ig-local", "ig-sequential")
COIN_FLIP = "coin-flip"
USER_ROWS, ITEM_ROWS = 65_536, 16_384  # enough for every data set of the bench


@dataclass(frozen=True)
class Method:
    """A point in the grid of methods."""

    target: str
    meta: str = "none"
    backbone: str = "gmf"
    cascade: bool = False

    @property
    def name(self) -> str:
        """What tables call it."""
        extra = [self.backbone] if self.backbone != "gmf" else []
        extra += ["cascade"] if self.cascade else []
        base = self.target if self.meta == "none" else f"{self.target} + {self.meta}"
        return ", ".join([base, *extra])

    @property
    def is_control(self) -> bool:
        """Whether it is one of the simple methods that a default must beat."""
        return self.target in CONTROLS and self.meta == "none" and self.backbone == "gmf" and not self.cascade

    def settings(self, seed: int, overrides: Overrides = ()) -> LearnerSettings:
        """Return the learner's settings. Raises pydantic's ValidationError where the learner does not offer them."""
        chosen: dict[str, str | int | bool] = {
            "target": self.target,
            "meta": self.meta,
            "backbone": self.backbone,
            "cascade": self.cascade,
            "device": "cpu",
            "user_capacity": USER_ROWS,
            "item_capacity": ITEM_ROWS,
            **dict(overrides),
            "seed": seed,
        }
        return LearnerSettings.model_validate(chosen)


def default_method() -> Method:
    """Return what the learner does when nothing is chosen."""
    chosen = LearnerSettings().model_dump()
    return Method(chosen["target"], chosen["meta"], chosen["backbone"], chosen.get("cascade", False))


def distinct(methods: Iterable[Method]) -> list[Method]:
    """Return each method once, in the order of its first mention."""
    return list(dict.fromkeys(methods))
