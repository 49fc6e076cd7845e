"""The only loop and the only wiring: processes, pipes, and what carries commands out."""
