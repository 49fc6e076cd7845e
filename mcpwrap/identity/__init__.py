"""Identity: the login, the vault, short-lived tokens, and how they reach a server (IDENTITY.md)."""
