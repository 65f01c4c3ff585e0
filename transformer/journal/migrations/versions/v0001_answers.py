"""Two tables: answers, and answers whose request id the journal has for another radiograph."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.execute(
        """
        CREATE TABLE answers (
            principal text NOT NULL,
            request_id text NOT NULL,
            "position" integer NOT NULL,
            image_id text,
            image_digest text NOT NULL,
            model_name text NOT NULL,
            model_version text NOT NULL,
            model_digest text NOT NULL,
            preprocessing_version text NOT NULL,
            probabilities real[] NOT NULL,
            thresholds real[] NOT NULL,
            findings text[] NOT NULL,
            typicality real NOT NULL,
            latency_ms jsonb NOT NULL,
            cached boolean NOT NULL,
            answered_at timestamptz NOT NULL,
            PRIMARY KEY (principal, request_id, "position")
        )
        """
    )
    op.execute("CREATE INDEX answers_answered_at ON answers (answered_at)")
    op.execute("CREATE INDEX answers_image_digest ON answers (image_digest)")
    # for spooled answers, which were sent before their request id turned out to be used (docs/decisions/0033)
    op.execute("CREATE TABLE disputed_answers (LIKE answers INCLUDING DEFAULTS)")
    op.execute(
        'ALTER TABLE disputed_answers ADD PRIMARY KEY (principal, request_id, "position", image_digest)'
    )


def downgrade() -> None:
    """Drop both tables."""
    op.execute("DROP TABLE disputed_answers")
    op.execute("DROP TABLE answers")
