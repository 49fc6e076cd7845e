"""The pure heart: parsing, the decision and the session; no I/O, no clock, no randomness."""
