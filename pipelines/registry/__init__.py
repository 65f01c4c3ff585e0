"""The registry of models: versions, their bundles in S3, and the aliases champion and challenger.

Read ``registration`` (values), ``catalogue`` (reading), ``registry`` (moving the aliases), ``audit_trail``
(who moved an alias, when and why) and ``version_writer`` (what a new version is in MLflow).
"""
