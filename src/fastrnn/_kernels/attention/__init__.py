"""Attention with every score, forward and backward."""
