"""The network on a few real days: it learns from what it is given, gaps and all, and fills it.

A `Filler` that trains first. Whatever a test has hidden is not among what it is given, so nothing
that it is judged on is learned from.
"""

import numpy as np

from smcloud.cube.schema import Days
from smcloud.models.gap_patches import PatchRules, cut_patches, swath_masks
from smcloud.models.seamless import fill_days
from smcloud.models.seamless_files import net_of
from smcloud.models.seamless_rules import SMALL, SeamlessShape, TrainingRules
from smcloud.models.seamless_training import new_net, train
from smcloud.validation.simulated_gaps import Bools, Fields, Filler

PATCHES = PatchRules(size=24, stride=5, complete_share=0.6, seen_share=0.9)
"""Narrower than SGD-SM's, and not complete: few days of merged fields have such squares."""
RULES = TrainingRules(epochs=12, steps=30, batch=16)


def untaught(values: Fields, land: Bools) -> Fields:
    """Return the fields filled by the first guess of a network that has learned nothing."""
    net = new_net(SMALL, 0)
    net.guess.mean.fill_(float(np.nanmean(values, dtype=np.float64)))
    return fill_days(net, values, land, np.full_like(values, np.nan))


def self_taught(
    days: Days,
    shape: SeamlessShape = SMALL,
    rules: TrainingRules = RULES,
    patch_rules: PatchRules = PATCHES,
) -> Filler:
    """Return a filler that trains a network on the fields that it gets, and fills them with it.

    The last day with complete patches is held out to end the training. Rain is unknown.

    Parameters
    ----------
    days : (days,) datetime64[D]
        Of the fields, one after the other.
    """
    around = np.timedelta64(shape.days, "D")
    wide = np.arange(days[0] - around, days[-1] + around + 1)

    def fill(values: Fields, land: Bools) -> Fields:
        # Patches have their days on both sides: beyond the ends nothing is known.
        ends = [(shape.days, shape.days), (0, 0), (0, 0)]
        fields = np.pad(values, ends, constant_values=np.nan)
        rain, everywhere = np.full_like(fields, np.nan), np.ones_like(land)
        patches = cut_patches(wide, fields, everywhere, rain, patch_rules)
        masks = swath_masks(days, land & np.isnan(values), everywhere, patch_rules)
        is_last = patches.place[:, 0] == patches.place[:, 0].max(initial=0)
        learned = patches.take(np.flatnonzero(~is_last))
        trained = train([learned], masks, patches.take(np.flatnonzero(is_last)), shape, rules)
        net = net_of(trained.data, shape, "trained on the days themselves")
        no_rain = np.full_like(values, np.nan)
        return fill_days(net, values, land, no_rain, threads=rules.threads)

    return fill
