"""What the reader cannot or may not answer: a status of HTTP, and what is wrong in words."""


class Refused(Exception):
    """A question that gets no answer, for this reason."""

    def __init__(self, status: int, why: str) -> None:
        """Answer with `status`; `why` repeats nothing of what was sent."""
        super().__init__(why)
        self.status = status
