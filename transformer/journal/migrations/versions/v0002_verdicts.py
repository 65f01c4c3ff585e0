"""The table of radiologists' verdicts on answers. Rows are inserted, and never changed or deleted."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and a trigger that allows inserts only.

    The transformer owns the table, so privileges would not prevent an update or a delete.
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
        # a verdict that can be changed afterwards measures nothing (docs/decisions/0034)
        "CREATE TRIGGER verdicts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON verdicts "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Drop the table and its trigger's function."""
    op.execute("DROP TABLE verdicts")
    op.execute("DROP FUNCTION refuse_change")
