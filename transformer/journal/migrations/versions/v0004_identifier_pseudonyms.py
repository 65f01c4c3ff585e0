"""Pseudonyms of accession number, study and SOP instance UID. All are null in rows of earlier versions."""

from typing import Final

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAMES: Final = ("accession_number", "study_instance_uid", "sop_instance_uid")


def upgrade() -> None:
    """Add a column for each identifier to both tables, and an index of the rows that have the identifier."""
    for name in _NAMES:
        for table in ("answers", "disputed_answers"):
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name}_pseudonym text")
        op.execute(
            # few rows have one pseudonym, so their principal needs no place in the index
            f"CREATE INDEX answers_{name} ON answers ({name}_pseudonym, answered_at) "
            f"WHERE {name}_pseudonym IS NOT NULL"
        )


def downgrade() -> None:
    """Drop the columns, and with them their indexes."""
    for name in _NAMES:
        for table in ("answers", "disputed_answers"):
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}_pseudonym")
