"""The pipeline for Kubeflow Pipelines: one thin component for all steps, and their order.

A step finds the results of earlier steps by the name of the run. ``after`` only makes the order: a step takes
the verdict of the step before it, so that no step runs after one that failed.
"""

from typing import Final

from kfp import dsl, kubernetes

IMAGE: Final = "pleura-pipelines:0.1.0"
SECRET: Final = "pleura-pipelines"  # noqa: S105  # a name
VOLUME: Final = "pleura-pipelines-work"
WORK: Final = "/work"
_FROM_SECRET: Final = {
    key: f"PLEURA_{key.upper()}"
    for key in ("s3_url", "s3_access_key", "s3_secret_key", "mlflow_uri", "journal_dsn", "prometheus_url")
}
_SMALL: Final = ("500m", "1", "2Gi", "4Gi")
_LARGE: Final = ("2", "8", "8Gi", "16Gi")


Size = tuple[str, str, str, str]


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]  # kfp's
def perform_step(step: str, run: str, job: str, parameters: str, after: str = "") -> str:
    """Run one step, and give its verdict."""
    from pipelines.run.step_runner import run_step  # the pod runs this function alone

    return run_step(step, run or job, parameters)


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]  # kfp's
def report(run: str, job: str, parameters: str) -> str:
    """Write the report of the run, and give its URI."""
    from pipelines.run.step_runner import write_report

    return write_report(run or job, parameters)


def _configure_task(task: dsl.PipelineTask, size: Size = _SMALL) -> dsl.PipelineTask:
    """Give a pod its resources, secrets and folder; KFP's cache is off, the run has its own records."""
    cpu_request, cpu_limit, memory_request, memory_limit = size
    # KFP's cache knows the inputs of a step, but not the
    # data in the journal, the registry and the object store.
    task.set_caching_options(enable_caching=False)
    task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0)
    task.set_cpu_request(cpu_request).set_cpu_limit(cpu_limit)
    task.set_memory_request(memory_request).set_memory_limit(memory_limit)
    task.set_env_variable("PLEURA_WORK", WORK)
    task.set_env_variable("PLEURA_DECISION_KEY_FILE", "/secrets/decision_key.pem")
    kubernetes.use_secret_as_env(task, secret_name=SECRET, secret_key_to_env=_FROM_SECRET)
    kubernetes.use_secret_as_volume(task, secret_name=f"{SECRET}-key", mount_path="/secrets")
    kubernetes.mount_pvc(task, pvc_name=VOLUME, mount_path=WORK)
    return task


@dsl.pipeline(  # type: ignore[untyped-decorator]  # kfp's
    name="life-of-a-model", description="From a data set to a promoted model, or a report why not."
)
def model_pipeline(parameters: str, run: str = "") -> None:
    """Validate, train, judge, gate, register, replay, roll out and conclude; always write the report.

    Args:
        parameters: The document of ``RunParameters.to_json``.
        run: Name of the run; by default the name of the job. A run of the same name resumes where it stopped.
    """
    job = dsl.PIPELINE_JOB_NAME_PLACEHOLDER

    def step(name: str, after: str = "", size: Size = _SMALL) -> dsl.PipelineTask:
        task = perform_step(step=name, run=run, job=job, parameters=parameters, after=after)
        return _configure_task(task.set_display_name(name), size)

    reported = _configure_task(report(run=run, job=job, parameters=parameters))
    with dsl.ExitHandler(reported, name="report whatever happens"):
        validated = step("validate_data")
        trained = step("train", validated.output, _LARGE)
        judged = step("judge", trained.output, _LARGE)
        decided = step("gate", judged.output, _LARGE)
        registered = step("register", decided.output)
        # docs/decisions/0029: KFP's local runner ignores conditions, so the steps look at the verdicts too.
        with dsl.If(registered.output == "challenger", name="the gate lets it pass"):
            replayed = step("replay", registered.output, _LARGE)
            with dsl.If(replayed.output == "passed", name="the replay lets it pass"):
                rolled_out = step("roll_out", replayed.output)
                step("conclude", rolled_out.output)
