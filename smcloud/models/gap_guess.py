"""The first guess of a day with gaps, which the network then corrects.

Two weighted means whose weights are learned: over the other days of a pixel, then over the pixels
around that are known on the day itself, of how far the day is off the first mean there. The second
is made by successive corrections, from wide to narrow (Barnes 1964, doi:10.1175/1520-0450(1964)003
<0396:ATFMDI>2.0.CO;2). With its first weights it lies between interpolation in time and in space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from smcloud.core.errors import MissingExtraError
from smcloud.models.seamless_rules import SPREADS

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
except ImportError as err:
    raise MissingExtraError("torch", "deep", "filling gaps with the network") from err

_DAY = 1
MEMORY = 2.5
"""Times the weight of the other days that an estimate rests on in full. With it what is filled into
a gap of many days fades over about two weeks."""
_FAINT = 1e-4
"""Weight of the normals beside the pixels around: they count where there are none."""


@dataclass(frozen=True, eq=False)
class Guess:
    """What is known of a day before the network looks at it; m3 m-3, (b, ..., h, w).

    Attributes
    ----------
    level : (b, 1, h, w)
        Mean over the other days.
    steps : (b, s, h, w)
        Corrections by what is known on the day around a pixel, from wide to narrow.
    support : (b, 1 + s, h, w)
        Weight of the other days, 0 to 1, and share of what is around that is known, 0 to 1.
    """

    level: Tensor
    steps: Tensor
    support: Tensor

    @property
    def value(self) -> Tensor:
        """Return the guess (b, 1, h, w)."""
        return self.level + self.steps.sum(_DAY, keepdim=True)

    @property
    def basis(self) -> Tensor:
        """Return how far there is anything to estimate from (b, 1, h, w), 0 to 1.

        1 with half of the other days, or all that is around on the day; 0 where a filling knows
        nothing but what was filled long ago.
        """
        in_time = (MEMORY * self.support[:, :1]).clamp(max=1.0)
        return torch.maximum(in_time, self.support[:, 1:2].clamp(max=1.0))

    def whole(self) -> Tensor:
        """Return all parts as one (b, 2 + 2 s, h, w)."""
        return torch.cat([self.level, self.steps, self.support], _DAY)

    @classmethod
    def of(cls, whole: Tensor) -> Guess:
        """Return what `whole` put together."""
        scales = (whole.shape[_DAY] - 2) // 2
        return cls(whole[:, :1], whole[:, 1 : 1 + scales], whole[:, 1 + scales :])


class GapGuess(nn.Module):
    """The first guess; a few weights, the same everywhere."""

    mean: Tensor

    def __init__(self, days: int) -> None:
        super().__init__()
        self.days = days
        apart = [abs(day) for day in range(-days, days + 1) if day]
        self.recency = nn.Parameter(torch.tensor([-math.log(number) for number in apart]))
        self.neighbours = nn.Parameter(torch.tensor(math.log(0.02)))
        self.shrinkage = nn.Parameter(torch.full((len(SPREADS),), math.log(0.05)))
        self.gain = nn.Parameter(torch.ones(len(SPREADS)))
        self.register_buffer("mean", torch.tensor(0.25))

    def forward(self, stack: Tensor, weight: Tensor, normal: Tensor) -> Guess:
        """Return the guess of the middle day.

        Parameters
        ----------
        stack : (b, 2 d + 1, h, w)
            m3 m-3; finite, any value where it is not known.
        weight : (b, 2 d + 1, h, w)
            1 observed, less where filled on an earlier day, 0 unknown.
        normal : (b, 1, h, w)
            What a pixel usually has, m3 m-3.
        """
        level, strength = self._level(stack, weight, normal)
        middle = slice(self.days, self.days + 1)
        known = (weight[:, middle] > 0).to(stack.dtype)
        left = torch.where(known > 0, stack[:, middle] - level, 0.0)
        steps, support = [], [strength]
        for number, scale in enumerate(SPREADS):
            density = _spread(known, scale)
            shrunk = density + self.shrinkage[number].exp()
            step = self.gain[number] * _spread(left * known, scale) / shrunk
            left = left - step
            steps.append(step)
            support.append(density)
        return Guess(level, torch.cat(steps, _DAY), torch.cat(support, _DAY))

    def _level(self, stack: Tensor, weight: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean over the other days (b, 1, h, w), and its weight, 0 to 1.

        Where no other day is known it is the normal, and how far the pixels around are off theirs.
        """
        day = self.days
        stack = torch.cat([stack[:, :day], stack[:, day + 1 :]], _DAY)
        counts = torch.cat([weight[:, :day], weight[:, day + 1 :]], _DAY)
        recency = self.recency.softmax(0)[:, None, None]
        counts = counts * recency
        strength = counts.sum(_DAY, keepdim=True)
        total = (counts * (stack - normal)).sum(_DAY, keepdim=True)
        around = _spread(total, SPREADS[0]) / (_spread(strength, SPREADS[0]) + _FAINT)
        pull = self.neighbours.exp()
        return normal + (total + pull * around) / (strength + pull), strength


def _spread(field: Tensor, scale: float) -> Tensor:
    """Return a field (b, 1, h, w) under a Gaussian of this scale in pixels; 0 beyond its edge."""
    reach = reach_of(scale)
    steps = torch.arange(-reach, reach + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-0.5 * (steps / scale) ** 2)
    kernel = kernel / kernel.sum()
    down = F.conv2d(field, kernel[None, None, :, None], padding=(reach, 0))
    return F.conv2d(down, kernel[None, None, None, :], padding=(0, reach))


def reach_of(scale: float) -> int:
    """Return how many pixels the Gaussian of a scale looks at to each side."""
    return math.ceil(2.5 * scale)


def guess_reach(scales: Sequence[float] = SPREADS) -> int:
    """Return how far a guess looks, in pixels: corrections of corrections look further."""
    return reach_of(scales[0]) + sum(reach_of(scale) for scale in scales)
