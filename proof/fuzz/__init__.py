"""Fuzzing of whatever reads bytes from strangers."""
