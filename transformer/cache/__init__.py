"""Answers kept in Redis."""
