"""What makes each derived cube: functions of features, and those that need models too."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from smcloud.cube.schema import Array
from smcloud.features.coarse_cubes import JOINED
from smcloud.features.derived import DERIVED
from smcloud.features.derived_cubes import DerivedBlock
from smcloud.production.coarse_blocks import joined_block
from smcloud.production.coarse_report import JoinFigures, join_figures
from smcloud.production.gappy_blocks import gappy_block

Maker = Callable[[DerivedBlock], Mapping[str, Array]]

MAKERS: Mapping[str, Maker] = {
    **{name: derived.make for name, derived in DERIVED.items() if derived.make is not None},
    **{
        name: partial(gappy_block if made_of.has_seams else joined_block, name=name)
        for name, made_of in JOINED.items()
    },
}

REPORTS: Mapping[str, Callable[[Sequence[DerivedBlock]], JoinFigures]] = {
    name: partial(join_figures, name=name) for name in JOINED
}
"""What tells, of the blocks of one year, how well a cube was made."""
