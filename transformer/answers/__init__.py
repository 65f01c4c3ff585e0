"""``/answers``: what was answered, by request id or by the identifiers of a radiograph, and its overlay."""
