"""The network that fills gaps of daily soil moisture, and its run through a record, day by day.

Partial convolutions, the two branches, the shared middle layer and the residual that is used in
gaps alone follow the published description of SGD-SM (Zhang et al., ESSD 13, 1385, 2021; 14, 4473,
2022); the first guess that the residual is added to (`gap_guess`), how the recurrent cells look at
a day, and all sizes beyond `SeamlessShape`'s are ours: docs/design/seamless.md says which is which
and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import MissingExtraError, UserError
from smcloud.models.gap_normals import Normals
from smcloud.models.gap_patches import FILLED_WEIGHT, Bools, Floats
from smcloud.models.seamless_rules import SPREADS, Device, SeamlessShape

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from smcloud.models.gap_guess import GapGuess, Guess, guess_reach
except ImportError as err:
    raise MissingExtraError("torch", "deep", "filling gaps with the network") from err

HIGHEST = 0.99
"""Largest estimate, m3 m-3, as published; the smallest is 0."""
SCALE = 0.1
"""m3 m-3 that the network sees as 1, in what it reads and in what it says."""
RAIN_SCALE = 2.0
"""ln(1 + mm) that it sees as 1."""
CELL_INPUTS = 5
"""What a recurrent cell sees of a day: departure, weight, rain, whether rain is known, level."""
GUESS_INPUTS = 2 + 2 * len(SPREADS)
"""What the joined layer sees of the first guess: its parts, `Guess`."""


class PartialConv2d(nn.Module):
    """A convolution over what is known, and the mask of where it knows anything (Liu et al., 2018).

    x' = W^T (X * M) * n / sum(M) + b where sum(M) > 0 in the window, else 0;
    M' = 1 where sum(M) > 0, else 0; n is the number of entries of M in a window. Beyond the edge
    nothing is known. Masks may be weights between 0 and 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (b, outputs, h, w) and their mask (b, 1, h, w).

        Parameters
        ----------
        x : (b, inputs, h, w)
            Finite, also where the mask is 0.
        mask : (b, inputs, h, w) or (b, 1, h, w)
            Of each input, or one for all of them.
        """
        kernel = self.convolution.kernel_size[0]
        # A pooled sum and no convolution: where nothing is known it must be 0 to the bit.
        total = F.avg_pool2d(
            mask.sum(1, keepdim=True), kernel, stride=1, padding=kernel // 2, divisor_override=1
        )
        known = (total > 0).to(x.dtype)
        share = mask.shape[1] * kernel**2 / total.masked_fill(total <= 0, 1.0)
        raw = F.conv2d(x * mask, self.convolution.weight, padding=kernel // 2)
        bias = self.convolution.bias
        return (raw * share + (0.0 if bias is None else bias[:, None, None])) * known, known


class PixelLstm(nn.Module):
    """A long short-term memory along the days of each pixel; pixels share weights, not memory."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, 1)
        with torch.no_grad():  # a memory that lasts from the start
            self.gates.bias[hidden : 2 * hidden] += 1.0  # type: ignore[index]

    def forward(self, steps: Tensor) -> Tensor:
        """Return the output after the last of the steps: (b, t, inputs, h, w) to (b, hidden, h, w).

        Hochreiter and Schmidhuber (1997), with the gate that forgets of Gers et al. (2000).
        """
        b, _, _, h, w = steps.shape
        output = steps.new_zeros(b, self.hidden, h, w)
        memory = steps.new_zeros(b, self.hidden, h, w)
        for step in steps.unbind(1):
            enter, forget, show, new = self.gates(torch.cat([step, output], 1)).chunk(4, 1)
            memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
            output = show.sigmoid() * memory.tanh()
        return output


class SeamlessNet(nn.Module):
    """Estimates of one day in its gaps, from the days around it and their rain."""

    def __init__(self, shape: SeamlessShape) -> None:
        super().__init__()
        self.shape = shape
        c, hidden = shape.channels, shape.lstm_hidden
        self.guess = GapGuess(shape.days)
        self.today = PartialConv2d(1, c)
        self.around = PartialConv2d(shape.window, c)
        self.wetting = PartialConv2d(shape.window, c)
        self.past = PixelLstm(CELL_INPUTS, hidden)
        self.future = PixelLstm(CELL_INPUTS, hidden)
        self.join = PartialConv2d(3 * c + 2 * hidden + GUESS_INPUTS, 2 * c, kernel=1)
        self.middle = PartialConv2d(2 * c, 2 * c)
        self.last = PartialConv2d(2 * c, 1)
        # A network that has learned nothing is its first guess.
        nn.init.zeros_(self.last.convolution.weight)
        nn.init.zeros_(self.last.convolution.bias)  # type: ignore[arg-type]

    def forward(self, stack: Tensor, weight: Tensor, rain: Tensor, guess: Guess) -> Tensor:
        """Return the day (b, 1, h, w) without gaps, m3 m-3; observed values bit for bit.

        Parameters
        ----------
        stack : (b, 2 d + 1, h, w)
            The days t - d to t + d, m3 m-3; finite, any value where it is not known.
        weight : (b, 2 d + 1, h, w)
            1 observed, less where filled on an earlier day, 0 unknown.
        rain : (b, 2 d + 1, h, w)
            mm per day on the same days; NaN unknown.
        guess
            What `self.guess` says of stack and weight, or of a wider field that holds them.
        """
        day = self.shape.days
        centre, seen = stack[:, day : day + 1], (weight[:, day : day + 1] > 0).to(stack.dtype)
        departure = torch.where(weight > 0, (stack - guess.level) / SCALE, 0.0)
        innovation = torch.where(seen > 0, (centre - guess.value) / SCALE, 0.0)
        is_wet_known = torch.isfinite(rain).to(stack.dtype)
        wet = torch.log1p(torch.where(is_wet_known > 0, rain, 0.0).clamp_min(0.0)) / RAIN_SCALE
        local = [
            self.today(innovation, seen),
            self.around(departure, weight),
            self.wetting(wet, is_wet_known),
        ]
        level = (guess.level - self.guess.mean) / SCALE
        steps = torch.stack([departure, weight, wet, is_wet_known, level.expand_as(stack)], 2)
        said = torch.cat([guess.steps / SCALE, guess.support, level], 1)
        residual = self._residual(local, steps, said).to(stack.dtype)
        # Where there is nothing to go by, errors would add up from day to day.
        estimate = (guess.value + SCALE * guess.basis * residual).clamp(0.0, HIGHEST)
        return torch.where(seen > 0, centre, estimate)

    def _residual(self, local: list[tuple[Tensor, Tensor]], steps: Tensor, said: Tensor) -> Tensor:
        """Return what is added to the first guess, in units of `SCALE`."""
        day = self.shape.days
        everywhere = [
            self.past(steps[:, : day + 1]),
            self.future(steps[:, day:].flip(1)),
            said,
        ]
        features = [torch.relu(x) for x, _ in local] + everywhere
        masks = [known.expand_as(x) for x, known in local]
        masks += [torch.ones_like(x) for x in everywhere]
        x, known = self.join(torch.cat(features, 1), torch.cat(masks, 1))
        x = torch.relu(x)
        for _ in range(self.shape.mid_layers):
            x, known = self.middle(x, known)
            x = torch.relu(x)
        residual: Tensor = self.last(x, known)[0]
        return residual


@contextmanager
def exactly(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads and by algorithms that give equal bits each time."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def fill_days(
    net: SeamlessNet,
    moisture: Floats,
    land: Bools,
    rain: Floats,
    *,
    normal: Floats | None = None,
    tile: int = 96,
    circular: bool = False,
    device: Device = "cpu",
    threads: int = 1,
) -> Floats:
    """Return the days with every gap on land filled; observed values bit for bit.

    A day is filled whole before the next one begins, and the next one sees it. Within a day, tiles
    are estimated with a margin of the network's reach, so that no cut changes a value by more than
    the rounding of float32. Tiles without a gap on land are not looked at. What is filled counts
    for less from day to day where nothing is observed: a cell returns to what it usually has.

    Parameters
    ----------
    moisture : float32 (days, rows, cols)
        m3 m-3, consecutive days, NaN unknown. Values off land are not used, and not changed.
    land : bool (rows, cols)
    rain : float32 (days, rows, cols)
        mm per day, NaN unknown.
    normal : float32 (rows, cols)
        What cells usually have, m3 m-3; by default the means of the days given (`Normals`).
    tile
        Pixels along the side of a tile.
    circular
        Whether the last column lies beside the first one, as on a global grid.
    threads
        Threads of the CPU.

    Raises
    ------
    UserError
        If the arrays do not fit each other, a value is infinite, or nothing on land is observed.
    """
    _check(moisture, land, rain, tile)
    filled = np.where(land, moisture, np.float32(np.nan)).astype(np.float32, copy=False)
    weight = np.isfinite(filled).astype(np.float16)
    usual = Normals.of(filled, land, circular=circular).field() if normal is None else normal
    frame = _Frame(land.shape[0], land.shape[1], net.shape.reach, tile, circular)
    net = net.to(device).eval()
    with exactly(threads), torch.inference_mode():
        for day in range(len(filled)):
            gaps = land & (weight[day] == 0)
            if gaps.any():
                around = (*_around(net, day, filled, weight, rain), usual[None])
                estimates, basis = _day(net, frame, around, gaps)
                filled[day][gaps] = estimates[gaps]
                weight[day][gaps] = FILLED_WEIGHT * basis[gaps]
    return np.where(land, filled, moisture)


def _around(
    net: SeamlessNet, day: int, filled: Floats, weight: NDArray[np.float16], rain: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return stack, weights and rain of the days around one, each (2 d + 1, rows, cols)."""
    reach = net.shape.days
    first, last = max(day - reach, 0), min(day + reach + 1, len(filled))
    place = slice(first - day + reach, last - day + reach)
    shape = (net.shape.window, *filled.shape[1:])
    stack = np.full(shape, np.nan, np.float32)
    wet = np.full(shape, np.nan, np.float32)
    trust = np.zeros(shape, np.float32)
    stack[place], wet[place] = filled[first:last], rain[first:last]
    trust[place] = weight[first:last]
    return stack, trust, wet


class _Frame:
    """A field with a margin around it, cut into tiles of one shape that overlap by the margin."""

    def __init__(self, rows: int, cols: int, margin: int, tile: int, circular: bool) -> None:
        self.rows, self.cols, self.margin, self.tile = rows, cols, margin, tile
        self.circular = circular
        self.down, self.across = -(-rows // tile), -(-cols // tile)

    def padded(self, field: Floats, unknown: float) -> Floats:
        """Return a field (n, rows, cols) with margins, of what lies around the globe or unknown."""
        height, width = (n * self.tile + 2 * self.margin for n in (self.down, self.across))
        found = np.full((len(field), height, width), unknown, np.float32)
        rows = slice(self.margin, self.margin + self.rows)
        if self.circular:
            found[:, rows] = field[:, :, (np.arange(width) - self.margin) % self.cols]
        else:
            found[:, rows, self.margin : self.margin + self.cols] = field
        return found

    def tiles(self, wanted: Bools) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """Return, for tiles with a wanted pixel, its place in the field and in the padded one."""
        for top in range(0, self.down * self.tile, self.tile):
            for left in range(0, self.across * self.tile, self.tile):
                inner = slice(top, top + self.tile), slice(left, left + self.tile)
                if wanted[inner].any():
                    wide = self.tile + 2 * self.margin
                    yield inner, (slice(top, top + wide), slice(left, left + wide))


def _day(
    net: SeamlessNet, frame: _Frame, around: tuple[Floats, Floats, Floats, Floats], gaps: Bools
) -> tuple[Floats, Floats]:
    """Return the estimates (rows, cols) of one day in the tiles that have gaps, NaN elsewhere.

    And how far there is anything to estimate from, `Guess.basis`.
    """
    stack, weight, rain, usual = around
    first, basis = _guess_everywhere(net, frame.circular, stack, weight, usual)
    fields = ((stack, np.nan), (weight, 0.0), (rain, np.nan), (usual, 0.0), (first, 0.0))
    padded = [torch.from_numpy(frame.padded(field, unknown)) for field, unknown in fields]
    device = net.guess.mean.device
    estimates = np.full((frame.rows, frame.cols), np.nan, np.float32)
    inside = slice(frame.margin, frame.margin + frame.tile)
    for inner, wide in frame.tiles(gaps):
        parts = [field[:, *wide][None].to(device) for field in padded]
        found = estimated(net, *parts)[0, 0, inside, inside].cpu().numpy()
        target = estimates[inner]
        target[...] = found[: target.shape[0], : target.shape[1]]
    return estimates, basis


def _guess_everywhere(
    net: SeamlessNet, circular: bool, stack: Floats, weight: Floats, usual: Floats
) -> tuple[Floats, Floats]:
    """Return the parts of the first guess over a whole field, (n, rows, cols), and its basis.

    It looks far and costs little: made once and not for every tile, no margin has to hold it.
    """
    cols, around = stack.shape[-1], guess_reach() if circular else 0
    wide = np.arange(-around, cols + around) % cols
    fields = (torch.from_numpy(field[None, :, :, wide]) for field in (stack, weight, usual))
    known, counts, normal = (field.to(net.guess.mean.device) for field in fields)
    guess: Guess = net.guess(torch.where(counts > 0, known, 0.0), counts, normal)
    own = slice(around, around + cols)
    parts: Floats = guess.whole()[0, :, :, own].cpu().numpy()
    basis: Floats = guess.basis[0, 0, :, own].cpu().numpy()
    return parts, basis


def estimated(
    net: SeamlessNet,
    stack: Tensor,
    weight: Tensor,
    rain: Tensor,
    normal: Tensor,
    guess: Tensor | None = None,
) -> Tensor:
    """Return the middle day (b, 1, h, w) filled, from a stack that is NaN where it is unknown.

    `guess` holds the parts of the first guess; None: it is made from this stack.
    """
    stack = torch.where(weight > 0, stack, 0.0)
    first = net.guess(stack, weight, normal) if guess is None else Guess.of(guess)
    found: Tensor = net(stack, weight, rain, first)
    return found


def _check(moisture: Floats, land: Bools, rain: Floats, tile: int) -> None:
    """Raise `UserError` unless the fields fit each other and say something."""
    if moisture.ndim != 3 or moisture.shape[1:] != land.shape or rain.shape != moisture.shape:
        raise UserError(
            "filling needs moisture and rain of (days, rows, cols) and land of (rows, cols), found "
            f"{moisture.shape}, {rain.shape} and {land.shape}"
        )
    if tile < 1:
        raise UserError(f"a tile has a side of at least 1 pixel, found {tile}")
    if np.isinf(moisture).any():
        raise UserError("soil moisture holds infinite values: NaN is what stands for unknown")
    if land.any() and not np.isfinite(moisture[:, land]).any():
        raise UserError(
            f"no value on land in any of {len(moisture)} days: there is nothing to fill gaps from"
        )
