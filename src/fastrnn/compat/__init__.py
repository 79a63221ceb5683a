"""Layers with the names and habits of other code, which they replace by a changed import."""
