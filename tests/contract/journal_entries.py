"""Entries of the journal for tests."""

from contract.journal import Direction, Progress, Version


def progress(trained: int = 0, at_ms: int = 1, auc: float | None = 0.7) -> Progress:
    return Progress(
        at_ms=at_ms,
        read=trained,
        trained=trained,
        held_out=0,
        capped=0,
        duplicates=0,
        dead=0,
        acknowledged_ms=at_ms,
        waiting_entries=0,
        checkpoint=1,
        auc=auc,
        gauc=None,
        window_auc=0.7,
        window_ece=0.01,
        window_positives=3,
        prior=0.02,
        idl_target_mean=0.1,
        target_mean=None,
        pseudo_label_share=0.02,
        labels={"positive": 1, "negative": 0, "unlabelled": 2},
        flags={"none": 3},
        directions={"direct": 0, "keep": 0, "inverse": 0},
    )


def direction(stepped: int = 0) -> Direction:
    return Direction(
        at_ms=1,
        stepped=stepped,
        direction="keep",
        acted=False,
        losses={"direct": 0.3, "keep": 0.2, "inverse": 0.4},
        examples=5,
        groups={"none": {"direct": 0, "keep": 5, "inverse": 0}},
    )


def version(number: str = "000001") -> Version:
    return Version(
        at_ms=1,
        version=number,
        verdict="PROMOTE",
        promoted=True,
        reasons=["every gate holds"],
        seconds=0.1,
        delta=False,
        trained_through_ms=1,
        auc=0.7,
        gauc=None,
        window_ece=0.01,
        bytes=1_000,
    )
