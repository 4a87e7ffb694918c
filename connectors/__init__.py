"""WHERE bytes come from and rest: sources, object stores, the verified cache."""
