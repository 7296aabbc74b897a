"""Errors, grouped by what a handler does about them.

::

    SmcloudError
    |- UserError          the caller mends the command, the configuration or the table
    |  |- ConfigError     an unknown key, a value out of range, a file that is not TOML
    |  `- MissingExtraError   an optional dependency is not installed
    |- GranuleError       one input file is not what it must be: record it, skip it, go on
    |- CubeError          a cube is not what its schema says: stop before anything is written
    |- StoreError         the object store failed or refused
    |  |- NotFoundError   the object, the bucket or the folder is not there
    |  `- StoreFullError  no space is left
    |- ModelError         a model file or its card does not fit
    |- IntegrityError     stored bytes differ from what the ledger holds
    |- BusyError          another run holds the lease
    |- ClusterError       the Dask cluster does not answer or lost its workers
    `- PlanError          the plan cannot fit a worker

Every message is one line for a person: what was expected, what was found, where, what to do next.
"""


class SmcloudError(Exception):
    """Base of every error that smcloud raises on purpose; `exit_code` is what the CLI returns."""

    exit_code = 1


class UserError(SmcloudError):
    """The caller can mend this: an argument, a run file, a table."""

    exit_code = 2


class ConfigError(UserError):
    """A run file or an option that cannot be used as it stands."""


class MissingExtraError(UserError):
    """An optional dependency is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'smcloud[{extra}]'"
        )
        self._made_of = (package, extra, purpose)

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str, str]]:
        """Travel from a worker: an error is otherwise rebuilt from its message alone."""
        return MissingExtraError, self._made_of


class GranuleError(SmcloudError):
    """One input file is damaged or of another product, grid or collection."""

    exit_code = 3


class CubeError(SmcloudError):
    """A cube does not hold what its schema says: units, CRS, dtype, days, shape."""

    exit_code = 3


class StoreError(SmcloudError):
    """The object store could not do what was asked."""

    exit_code = 4


class NotFoundError(StoreError):
    """The object, bucket or folder does not exist."""


class StoreFullError(StoreError):
    """The store has no space left."""


class ModelError(SmcloudError):
    """A model file, its card or its columns do not fit together."""

    exit_code = 5


class IntegrityError(SmcloudError):
    """Stored values differ from the hashes in the ledger."""

    exit_code = 6


class BusyError(SmcloudError):
    """Another run holds the lease of this product."""

    exit_code = 7


class ClusterError(SmcloudError):
    """The Dask cluster does not answer, or lost its workers for good."""

    exit_code = 8


class PlanError(SmcloudError):
    """The plan cannot fit the workers it was made for."""

    exit_code = 9
