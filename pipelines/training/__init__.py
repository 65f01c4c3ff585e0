"""Training a network, and what each choice of it is worth."""
