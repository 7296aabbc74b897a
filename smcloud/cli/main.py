"""The command line `smcloud`: the verbs of the flow, in its order, and one line for an error."""

import logging
import sys
from typing import Annotated

import typer

from smcloud.cli import ingest, produce, publish, run, simulate, train, validate
from smcloud.cli.console import console, fail
from smcloud.core.errors import SmcloudError
from smcloud.version import __version__

UNEXPECTED = 70
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Granules in a bucket become a year of daily 1 km soil moisture:\n\n"
        "[bold]simulate > ingest > train > produce > validate > publish[/bold], or all by "
        "[bold]run FILE[/bold].\n\nA command that was killed continues when it is given again."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what is done.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Set up logging for every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


for verb in (simulate, ingest, train, produce, validate, publish, run):
    verb.register(app)
produce.register_doctor(app)


def main() -> None:
    """Run one command; a mistake of the caller ends in one line and a code, not a traceback."""
    try:
        app()
    except SmcloudError as err:
        fail(str(err))
        sys.exit(err.exit_code)
    except KeyboardInterrupt:
        fail("interrupted: give the same command again to continue")
        sys.exit(INTERRUPTED)
    except Exception as err:
        if "--verbose" in sys.argv:
            raise
        fail(
            f"unexpected {type(err).__name__}: {err}. This is a fault of smcloud: run it again "
            "with `smcloud --verbose ...` and report what it prints"
        )
        sys.exit(UNEXPECTED)


if __name__ == "__main__":
    main()
