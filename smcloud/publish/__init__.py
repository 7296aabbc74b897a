"""Writers for people: COG, STAC, maps."""
