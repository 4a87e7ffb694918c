"""What can go wrong while bytes are fetched or brought to rest."""

from catalogue.errors import Problem


class ConnectorError(Problem):
    """A source or a store could not do its work."""


class SourceTooLarge(ConnectorError):
    """The source sends more bytes than the service accepts."""


class SourceInterrupted(ConnectorError):
    """The source stopped before it had sent everything."""


class StoreUnavailable(ConnectorError):
    """The object store does not answer, or refuses; nothing was changed for certain."""
