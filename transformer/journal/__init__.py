"""The journal: every answer in PostgreSQL, or in a spool on the local disk until PostgreSQL is back."""
