"""What the shim costs, beside no shim and beside peers, measured round-robin in one run."""
