"""Decoder processes: hostile files are decoded outside the service."""
