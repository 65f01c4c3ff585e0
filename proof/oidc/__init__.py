"""Tokens of real issuers: a Keycloak that runs, and the shapes of the tokens of others."""
