"""Attacks on tokens, keys, HTTP parsing, object ids and files."""
