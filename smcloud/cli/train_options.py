"""Options of `smcloud train`, each with the line that --help prints."""

from typing import Annotated

import typer

RunFile = Annotated[str, typer.Argument(help="A run file; or give --table")]
Table = Annotated[str, typer.Option(help="Any Parquet or CSV table: path or URL")]
Target = Annotated[str, typer.Option(help="Column to learn")]
Station = Annotated[str, typer.Option("--group", help="Column of the station, never parted")]
Time = Annotated[str, typer.Option(help="Column of the day")]
Latitude = Annotated[str, typer.Option("--lat", help="Column of latitude; makes spatial blocks")]
Longitude = Annotated[str, typer.Option("--lon", help="Column of longitude")]
Network = Annotated[str, typer.Option(help="Column of the network, for --held-out")]
HeldOut = Annotated[
    str, typer.Option(help="Networks that one more model never sees, comma separated")
]
Features = Annotated[
    str, typer.Option(help="Predictors, comma separated; all other numeric columns by default")
]
Units = Annotated[str, typer.Option(help="Units of the target")]
Out = Annotated[str, typer.Option(help="Root below which models/NAME is written")]
Name = Annotated[str, typer.Option(help="Name of the model; the table's by default")]
BlockDegrees = Annotated[float, typer.Option(help="Side of a spatial block")]
Parts = Annotated[int, typer.Option("--folds", help="One part in FOLDS is the test set")]
EveryFold = Annotated[
    bool, typer.Option("--every-fold", help="Train and score all folds, not the first alone")
]
Candidates = Annotated[
    int, typer.Option("--tune", help="Candidates of a search for parameters; 0 for none")
]
Permutations = Annotated[
    int, typer.Option(help="Repeats of each permutation importance; 0 for none")
]
Rounds = Annotated[int, typer.Option(help="Most trees")]
Seed = Annotated[int, typer.Option(help="Seed of splits and trees")]
MostRows = Annotated[
    int, typer.Option(help="Rows that a training takes, evenly over the days; 0 for all")
]
Workers = Annotated[int, typer.Option(help="Worker processes; 0 trains here")]
Scheduler = Annotated[str, typer.Option(help="Address of a running Dask scheduler")]
Distributed = Annotated[bool, typer.Option("--distributed", help="Sum histograms over the workers")]
Device = Annotated[str, typer.Option(help="cpu or cuda; the run file's, else cpu, by default")]
