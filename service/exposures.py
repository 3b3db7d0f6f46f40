"""Impressions at the edge: signed with scores that ask for it, and looked at in feedback that cites one (P10)."""

import time
from collections import Counter
from collections.abc import Sequence

from contract.errors import InvalidInput, SetupError
from contract.events import EventLists
from contract.impressions import SETTING, Impressions, Proof
from contract.pseudonyms import Pseudonyms
from service.metrics import Metrics
from service.parsing import ERRORS_SHOWN
from service.problems import InvalidBody
from service.settings import ServiceSettings

_PROBLEMS = {
    Proof.ABSENT: "is required here; cite the impression_id that /v1/score gave with the item",
    Proof.FOREIGN: "is not one of this service's; cite the impression_id that /v1/score gave with the item",
    Proof.WRONG: "does not prove that this user was shown this item; cite the one that came with it",
    Proof.EXPIRED: "is too old; send feedback within the hours that WINNOW_IMPRESSION_TTL_S allows",
    Proof.FUTURE: "is from the future; set the clocks of the services by one source",
}


class Exposures:
    """Says what was shown, and looks whether it was."""

    def __init__(
        self, impressions: Impressions | None, pseudonyms: Pseudonyms, is_required: bool, metrics: Metrics
    ) -> None:
        """Sign ids as they are stored, by `impressions`; without it nothing is signed and nothing looked at."""
        self._impressions = impressions
        self._pseudonyms = pseudonyms
        self._is_required = is_required
        self._metrics = metrics

    @classmethod
    def of(cls, settings: ServiceSettings, pseudonyms: Pseudonyms, metrics: Metrics) -> "Exposures":
        """Read the secrets. Raises SetupError, also if impressions are required and there is no secret."""
        path = settings.impression_secrets_file
        if path is None and settings.require_impression:
            raise SetupError(
                f"WINNOW_REQUIRE_IMPRESSION is set and {SETTING} is not; make a file by `winnow secrets impressions`"
            )
        impressions = None if path is None else Impressions.of_file(path, settings.impression_ttl_s)
        return cls(impressions, pseudonyms, settings.require_impression, metrics)

    def sign(self, user_id: str, item_ids: Sequence[bytes], version: str) -> list[str]:
        """Return an impression id for each item, as shown now. Raises InvalidInput if there is no secret to sign by."""
        if self._impressions is None:
            raise InvalidInput(f"this service signs no impressions; leave them out, or set {SETTING}")
        shown = self._pseudonyms.items(item_ids)
        return self._impressions.sign(self._pseudonyms.user(user_id), shown, version, _now_ms())

    def check(self, events: EventLists) -> None:
        """Count what the impressions of events, with ids as they are stored, are worth.

        Raises InvalidBody if they are required and an event has no valid one: then none may be stored.
        """
        impressions, cited = self._impressions, events.impression_id
        if impressions is None:
            return
        if not self._is_required and not any(cited):
            self._metrics.impressions[Proof.ABSENT.value,].inc(events.number)
            return
        now_ms = _now_ms()
        proofs = [
            impressions.proof(token, user, item, now_ms)
            for token, user, item in zip(cited, events.user_id, events.item_id, strict=True)
        ]
        for proof, count in Counter(proofs).items():
            self._metrics.impressions[proof.value,].inc(count)
        if self._is_required:
            _refuse_unproved(proofs)


def _refuse_unproved(proofs: Sequence[Proof]) -> None:
    wrong = [(place, proof) for place, proof in enumerate(proofs) if proof is not Proof.VALID]
    if wrong:
        raise InvalidBody(
            f"{len(wrong)} of {len(proofs)} events cite no valid impression; nothing was stored, see errors",
            [
                {"field": f"events.{place}.impression_id", "problem": _PROBLEMS[proof]}
                for place, proof in wrong[:ERRORS_SHOWN]
            ],
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
