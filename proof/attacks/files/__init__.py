"""Tables of hostile files."""
