"""Rows of refused radiographs, which have no findings, and the warnings of answers."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = ("answers", "disputed_answers")
_ONLY_OF_ANSWERS = ("probabilities", "thresholds", "findings")
_OF_A_MODEL = ("model_version", "model_digest", "typicality")


def upgrade() -> None:
    """Add two columns, whose defaults suit rows of the version before. A refusal may have no findings."""
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN warnings text[] NOT NULL DEFAULT '{{}}'")
        op.execute(f"ALTER TABLE {table} ADD COLUMN refusal_reasons text[] NOT NULL DEFAULT '{{}}'")
        for column in (*_ONLY_OF_ANSWERS, *_OF_A_MODEL):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
        for column in _ONLY_OF_ANSWERS:
            # NOT VALID: the rows that exist are right, and to read them all would lock a large table
            op.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_or_refusal "
                f"CHECK (({column} IS NULL) = (cardinality(refusal_reasons) > 0)) NOT VALID"
            )
        for column in _OF_A_MODEL:
            op.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_or_refusal "
                f"CHECK ({column} IS NOT NULL OR cardinality(refusal_reasons) > 0) NOT VALID"
            )


def downgrade() -> None:
    """Drop both columns, and the rows of refusals with them."""
    for table in _TABLES:
        op.execute(f"DELETE FROM {table} WHERE refusal_reasons <> '{{}}'")  # noqa: S608  # of constants only
        op.execute(f"ALTER TABLE {table} DROP COLUMN refusal_reasons, DROP COLUMN warnings")
        for column in (*_ONLY_OF_ANSWERS, *_OF_A_MODEL):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
