"""What the service's processes write to the operator's log, and how."""

import logging

_CHATTY = ("alembic", "casbin", "uvicorn.error")


def configure_log() -> None:
    """Write to standard error, with the time and the process."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s",
    )
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
