"""The transformer: fetch, decode, prepare, cache, journal, answer."""
