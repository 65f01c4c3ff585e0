"""The journal: every answer in PostgreSQL, or in a spool on the local disk while PostgreSQL is down."""
