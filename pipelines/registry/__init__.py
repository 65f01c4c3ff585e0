"""Which models there are, where they lie, and which one is served."""
