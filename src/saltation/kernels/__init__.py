"""Numba kernels: packed arrays in, packed arrays and status codes out; no torch, no classes, no exceptions.

The mathematics stands in README.md beside this file, the symbols there are the variable names here.
"""
