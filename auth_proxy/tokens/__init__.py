"""Bearer tokens: the keys of the issuer, and their verification."""
