"""The products, each a file that reads as a recipe."""
