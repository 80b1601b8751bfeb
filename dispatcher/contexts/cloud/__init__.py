"""Bohrium over HTTP, by both of its APIs."""
