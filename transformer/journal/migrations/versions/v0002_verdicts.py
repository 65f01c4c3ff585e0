"""The table of verdicts: what radiologists say of answers; rows come, and never change or go."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and have PostgreSQL refuse all that is not a new row.

    The transformer owns the table, so that privileges would not hold it back; a trigger does.
    """
    op.execute(
        """
        CREATE TABLE verdicts (
            reader text NOT NULL,
            feedback_id text NOT NULL,
            principal text NOT NULL,
            request_id text NOT NULL,
            "position" integer NOT NULL,
            findings text[] NOT NULL,
            present boolean[] NOT NULL,
            had_seen_answer boolean NOT NULL,
            given_at timestamptz NOT NULL DEFAULT now(),
            serial bigint GENERATED ALWAYS AS IDENTITY,
            PRIMARY KEY (reader, feedback_id),
            FOREIGN KEY (principal, request_id, "position") REFERENCES answers,
            CHECK (cardinality(findings) > 0 AND cardinality(findings) = cardinality(present))
        )
        """
    )
    op.execute('CREATE INDEX verdicts_answer ON verdicts (principal, request_id, "position")')
    op.execute("CREATE INDEX verdicts_given_at ON verdicts (given_at)")
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'verdicts are appended only' USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER verdicts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON verdicts "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Drop the table with its verdicts."""
    op.execute("DROP TABLE verdicts")
    op.execute("DROP FUNCTION refuse_change")
