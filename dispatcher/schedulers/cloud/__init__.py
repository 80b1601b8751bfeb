"""Bohrium by both of its APIs."""
