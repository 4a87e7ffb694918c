"""Who can read what, why, until when, and how that came to change; for those who look after it."""
