"""mcpwrap: a per-project allowlist in front of a Model Context Protocol server."""

__version__ = "0.1.0"
