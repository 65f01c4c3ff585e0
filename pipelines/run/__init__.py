"""A run of the pipeline: from a data set to a promoted model, or to a report that says why not.

``pipeline`` orders the steps for Kubeflow Pipelines, ``local_run`` runs it on one machine, and
``step_runner`` runs one step once. The steps are in ``data_steps``, ``training_steps``, ``evaluation_steps``,
``gate_steps``, ``replay_steps`` and ``rollout_steps``, in this order. They get a ``RunContext`` and give a
``StepResult``.
"""
