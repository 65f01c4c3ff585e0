"""Data sets as versions: what they hold, where they come from, and whether they may be used."""
