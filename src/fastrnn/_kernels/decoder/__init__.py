"""A stack of cells with attention in its recurrence, and decoding."""
