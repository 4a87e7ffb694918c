"""The running service: publish, share and use government datasets."""
