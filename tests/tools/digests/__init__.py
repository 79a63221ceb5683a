"""What `digest.py` computes: a module for each part of fastrnn, each with a function `cases`.

Only the public API is used, so that the same cases run before and after a refactoring.
"""
