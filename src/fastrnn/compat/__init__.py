"""Layers that replace those of other code by a changed import."""
