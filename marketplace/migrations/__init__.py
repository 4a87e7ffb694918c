"""The one history of the metadata database's schema."""
