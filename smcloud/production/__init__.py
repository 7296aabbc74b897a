"""Plan, runner, ledger, lease and cluster: the user of dask.distributed."""
