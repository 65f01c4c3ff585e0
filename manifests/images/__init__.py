"""Build the container images: one for each service, of locked wheels and the code of this clone."""
