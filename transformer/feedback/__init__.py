"""``POST /feedback``: radiologists' verdicts on answers."""
