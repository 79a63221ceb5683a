"""Packed matrices, the plan of a product, linear layers."""
