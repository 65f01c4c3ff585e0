"""The cache of answers in Redis."""
