"""Which project file counts, what it says, and whether it was trusted."""
