"""The latest K neighbours of every row: the items a user liked, the users who liked an item. Fixed memory.

A ring buffer a row; the newest neighbour takes the place of the oldest. An edge remembers when it was made, and a row
when it got its owner: an edge to a row that has since changed owner no longer counts.
"""

import torch
from torch import Tensor, nn


class Neighbours(nn.Module):
    """Edges from rows of one space to rows of another; all state is in buffers, so a checkpoint carries it."""

    def __init__(self, rows: int, targets: int, keep: int) -> None:
        """Make empty lists for `rows` rows whose neighbours are among `targets` rows; `keep` is K."""
        super().__init__()
        self.keep = keep
        self.rows: Tensor
        self.made: Tensor
        self.count: Tensor
        self.since: Tensor
        self.clock: Tensor
        self.register_buffer("rows", torch.zeros(rows, keep, dtype=torch.int32))
        self.register_buffer("made", torch.zeros(rows, keep, dtype=torch.int64))  # clock at which the edge was made
        self.register_buffer("count", torch.zeros(rows, dtype=torch.int64))  # edges ever made from a row
        self.register_buffer("since", torch.zeros(targets, dtype=torch.int64))  # clock at which a target got its owner
        self.register_buffer("clock", torch.ones(1, dtype=torch.int64))

    def add(self, row: Tensor, neighbour: Tensor) -> None:
        """Add edges row -> neighbour in order. Shapes [E], [E] int64; edges from or to row 0 are left out."""
        keep = (row != 0) & (neighbour != 0)
        row, neighbour = row[keep], neighbour[keep]
        if not len(row):
            return
        order = torch.argsort(row, stable=True)
        row, neighbour = row[order], neighbour[order]
        first = torch.searchsorted(row, row)  # place of the row's first edge in this call
        earlier = torch.arange(len(row), device=row.device) - first
        of_row = torch.searchsorted(row, row, right=True) - first
        last = earlier >= of_row - self.keep  # of more than K edges of one row, the latest K
        slot = (self.count[row] + earlier) % self.keep
        self.rows[row[last], slot[last]] = neighbour[last].to(torch.int32)
        self.made[row[last], slot[last]] = self.clock
        self.count.index_add_(0, row, torch.ones_like(row))
        self.clock += 1

    def of(self, row: Tensor) -> Tensor:
        """Return the neighbours of rows, oldest first, right-aligned, 0 where there is none. [...] -> [..., K]."""
        count = self.count[row]
        place = torch.arange(self.keep, device=row.device)
        slot = (count[..., None] + place) % self.keep  # the oldest is where the next will be written
        found = torch.gather(self.rows[row], -1, slot).to(torch.int64)
        made = torch.gather(self.made[row], -1, slot)
        kept = count.clamp(max=self.keep)[..., None]
        valid = (place >= self.keep - kept) & (made > self.since[found])
        return torch.where(valid, found, 0)

    def forget(self, row: Tensor) -> None:
        """Give rows [R] a new owner: their lists are emptied."""
        self.count[row] = 0
        self.rows[row] = 0  # who it was must not be read off a checkpoint
        self.made[row] = 0

    def forget_target(self, target: Tensor) -> None:
        """Give targets [R] a new owner: edges to them no longer count."""
        self.since[target] = self.clock
        self.clock += 1
