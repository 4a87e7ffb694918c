"""The log that proves who got what: RFC 6962 tree, signed checkpoints, receipts."""
