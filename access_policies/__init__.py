"""WHO may do WHAT, and why: one decision point over Casbin, default deny, on plain attributes."""
