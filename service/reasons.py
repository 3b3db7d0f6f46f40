"""Why a view has its label, in plain sentences. Pure."""

import math

import numpy as np

from contract.events import ABSENT, NEGATIVE_ACTIONS, POSITIVE_ACTIONS, Events, action_names
from contract.watch import Flag
from service.servable import Beliefs
from service.wording import FLAG_WORDS, IN_BACKGROUND, NO_WATCH, words_compared, words_odds, words_said

_LEAST_TELLING = 0.05  # log ratios nearer to 0 than this go unmentioned


def reasons_of(events: Events, beliefs: Beliefs, fallback: bool) -> list[list[str]]:
    """Return the reasons of each view, the most telling first: what was said, the watch, viewer and item."""
    return [
        [*_said(int(mask)), *_watched(events, beliefs, place), *_alone(beliefs, place, fallback)]
        for place, mask in enumerate(events.actions)
    ]


def _said(mask: int) -> list[str]:
    if not mask:
        return []
    return [words_said(action_names(mask), both=bool(mask & POSITIVE_ACTIONS and mask & NEGATIVE_ACTIONS))]


def _watched(events: Events, beliefs: Beliefs, place: int) -> list[str]:
    evidence = beliefs.evidence
    if events.watch_ms[place] == ABSENT:
        return [NO_WATCH]
    if events.foreground[place] == 0:
        return [IN_BACKGROUND]
    flag = Flag(evidence.flag[place])
    kind = [FLAG_WORDS[flag.name.lower()]] if flag is not Flag.NONE else []
    if not beliefs.on_record[place]:
        return [*kind, "no views of like length are on record"]
    compared = words_compared(evidence.quantile[place], known_length=bool(events.duration_ms[place] > 0))
    return [compared, *kind, *_telling(evidence.llr[place], str(events.surface[place]))]


def _telling(llr: np.ndarray[tuple[int], np.dtype[np.float64]], surface: str) -> list[str]:
    cell, of_surface = llr.tolist()
    said = []
    if abs(cell) >= _LEAST_TELLING:
        said.append(words_odds(math.exp(cell)))
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
