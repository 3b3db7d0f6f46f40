"""Why a view has its label, in plain sentences. Pure."""

import math

import numpy as np

from contract.events import ABSENT, NEGATIVE_ACTIONS, POSITIVE_ACTIONS, Events, action_names
from contract.watch import Flag
from service.servable import Beliefs

_LEAST_TELLING = 0.05  # log ratios nearer to 0 than this go unmentioned
_FLAG_WORDS = {Flag.SWIPE: "swiped away", Flag.COMPLETE: "watched to the end", Flag.LOOP: "watched more than once"}


def reasons_of(events: Events, beliefs: Beliefs, fallback: bool) -> list[list[str]]:
    """Return the reasons of each view, the most telling first: what was said, the watch, viewer and item."""
    return [
        [*_said(int(mask)), *_watched(events, beliefs, place), *_alone(beliefs, place, fallback)]
        for place, mask in enumerate(events.actions)
    ]


def _said(mask: int) -> list[str]:
    if not mask:
        return []
    names = " and ".join(name.replace("_", " ") for name in action_names(mask))
    both = mask & POSITIVE_ACTIONS and mask & NEGATIVE_ACTIONS
    return [f"the viewer said {names}" + (": what is negative counts" if both else "")]


def _watched(events: Events, beliefs: Beliefs, place: int) -> list[str]:
    evidence = beliefs.evidence
    if events.watch_ms[place] == ABSENT:
        return ["no watch was reported"]
    if events.foreground[place] == 0:
        return ["the video played in the background: its length says nothing"]
    flag = Flag(evidence.flag[place])
    kind = [_FLAG_WORDS[flag]] if flag is not Flag.NONE else []
    if not beliefs.on_record[place]:
        return [*kind, "no views of like length are on record"]
    like = "of like length" if events.duration_ms[place] > 0 else "of unknown length"
    compared = f"watched longer than {100 * evidence.quantile[place]:.0f} % of views {like} on record"
    return [compared, *kind, *_telling(evidence.llr[place], str(events.surface[place]))]


def _telling(llr: np.ndarray[tuple[int], np.dtype[np.float64]], surface: str) -> list[str]:
    cell, of_surface = llr.tolist()
    said = []
    if abs(cell) >= _LEAST_TELLING:
        said.append(f"odds of a positive word after such a watch: {math.exp(cell):.2g} times the usual")
    if surface and abs(of_surface) >= _LEAST_TELLING:
        said.append(f"odds after such a watch on this surface: {math.exp(of_surface):.2g} times the usual")
    return said


def _alone(beliefs: Beliefs, place: int, fallback: bool) -> list[str]:
    if fallback:
        return [f"no model is learned yet, so everything has the usual rate: {beliefs.alone[place]:.2g}"]
    said = [f"viewer and item alone: {beliefs.alone[place]:.2g}"]
    if not beliefs.known_user[place]:
        said.append("the viewer is new to the model")
    if not beliefs.known_item[place]:
        said.append("the item is new to the model: judged by what was sent of its author, tags and length")
    return said
