"""WHAT exists: datasets, their releases and contracts, places, and how files rest in a store."""
