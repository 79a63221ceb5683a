"""Cells over time: weights, order of a batch, the time loops, prepacked stacks."""
