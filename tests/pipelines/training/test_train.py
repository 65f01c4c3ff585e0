"""A real training, small enough for a test, and the model source that it gives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.evaluation.description import (
    add_figures,
    build_description,
    evaluated_findings,
    macro_metrics,
    unmeasured_findings,
)
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.reports.model_card import model_card
from pipelines.training.augmentation import augment
from pipelines.training.batches import Batches, build_targets, positive_weights
from pipelines.training.fitted_model import (
    evaluate_outputs,
    fit_parameters,
)
from pipelines.training.parameters import (
    CHEST_XRAY,
    TrainingParameters,
    TrainingStage,
    read_model_parameters,
)
from pipelines.training.train_network import mean_auroc
from pipelines.training.trained_network import NetworkOutputs, source_arrays
from pipelines.training.training_network import (
    build_training_network,
    masked_cross_entropy,
)
from pleura.bundle import ModelDescription
from pleura.findings import FINDINGS
from proof.lab.bundles import build_description as build_lab_description
from tests.support.pipelines.evaluations import make_report
from tests.support.pipelines.trainings import TINY, random_radiographs


def test_unknown_labels_add_nothing_to_the_loss() -> None:
    """The loss of a radiograph with one known finding is the loss of that finding."""
    targets, logits = np.full((1, 15), np.nan, np.float32), np.linspace(-3, 3, 15, dtype=np.float32)[None]
    targets[0, 4] = 1.0
    expected = np.log1p(np.exp(-logits[0, 4])) / 15
    assert float(masked_cross_entropy(np.ones(15, np.float32))(targets, logits)) == pytest.approx(
        expected, rel=1e-4
    )


def test_smoothing_and_weights_change_the_loss() -> None:
    """A present finding with weight 3 counts three times. Smoothed targets leave a loss at any logit."""
    targets, logits = np.zeros((1, 15), np.float32), np.zeros((1, 15), np.float32)
    targets[0, 0] = 1.0
    weights = np.full(15, 3, np.float32)
    assert float(masked_cross_entropy(weights)(targets, logits)) == pytest.approx(np.log(2) * 17 / 15)
    sure = np.where(targets == 1, 30.0, -30.0).astype(np.float32)
    assert float(masked_cross_entropy(weights * 0 + 1)(targets, sure)) < 1e-6
    assert float(masked_cross_entropy(weights * 0 + 1, 0.05)(targets, sure)) == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch_count": 3},
        {"label_smothing": 0.1},
        {"dropout": 1.0},
        {"ema_momentum": -0.1},
        {"stages": [{"size_px": 96, "epochs": 0, "learning_rate": 1e-3, "auxiliary_per_epoch": 0}]},
        {"stages": [{"size_px": 96, "epochs": 1, "learning_rate": float("nan"), "auxiliary_per_epoch": 0}]},
    ],
)
def test_invalid_parameters_are_refused(changes: dict[str, Any]) -> None:
    """Unknown names and values out of their range are refused."""
    with pytest.raises(ValidationError):
        TypeAdapter(TrainingParameters).validate_python({"stages": []} | changes)


def test_rare_findings_have_more_weight_only_on_request() -> None:
    """Power 0 gives equal weights, power 1 balances a finding. A finding without positives has weight 1."""
    targets = np.full((10, 15), np.nan, np.float32)
    targets[:, 0], targets[:2, 0], targets[:, 1] = 0, 1, 0
    np.testing.assert_array_equal(positive_weights(targets, 0.0), 1)
    np.testing.assert_allclose(positive_weights(targets, 1.0)[:3], [4, 1, 1])


def test_the_heads_share_no_target() -> None:
    """The findings are unknown for the auxiliary source, and its target is unknown for the others."""
    parameters = TrainingParameters((), auxiliary_source="kermany")
    main, auxiliary = (
        build_targets(random_radiographs(3), parameters),
        build_targets(random_radiographs(3, "kermany"), parameters),
    )
    assert np.isnan(auxiliary[:, :14]).all()
    assert not np.isnan(auxiliary[:, 14]).any()
    assert np.isnan(main[:, 14:]).all()


def test_sex_view_and_age_are_targets_on_request() -> None:
    """Female, AP and the age in centuries are targets. Unknown attributes are not."""
    radiographs = replace(
        random_radiographs(2),
        sexes=np.array(["F", ""]),
        views=np.array(["PA", "AP"]),
        ages=np.array([61, np.nan], np.float32),
    )
    parameters = TrainingParameters((), patient_attributes=True)
    np.testing.assert_allclose(
        build_targets(radiographs, parameters)[:, 15:], [[1, 0, 0.61], [np.nan, 1, np.nan]]
    )
    assert np.isnan(build_targets(radiographs, replace(parameters, patient_attributes=False))[:, 14:]).all()
    of_children = replace(parameters, auxiliary_source=str(radiographs.sources[0]))
    assert np.isnan(build_targets(radiographs, of_children)[:, 15:]).all()


def test_an_epoch_has_the_same_batches_after_an_interruption() -> None:
    """The seed and the number of an epoch decide its batches. Epochs differ."""
    parameters = TrainingParameters([TrainingStage(32, 3, 1e-3, 0)], batch_size=4)

    def batch(epoch: int, seed: int = 1) -> np.ndarray:
        batches = Batches(random_radiographs(8), parameters.stages[0], parameters, seed)
        batches.begin_epoch(epoch)
        return batches[0][0]

    np.testing.assert_array_equal(batch(2), batch(2))
    assert (batch(2) != batch(1)).any()
    assert (batch(2) != batch(2, seed=2)).any()


def test_the_mean_auroc_uses_known_labels_only() -> None:
    """One-sided findings and unknown labels do not count. Without known labels the result is NaN."""
    labels = np.array([[1, 1, np.nan], [0, 1, 1], [0, 1, 0], [np.nan, 1, 1]])
    scores = np.array([[0.9, 0, 0], [0.1, 0, 0.2], [0.2, 0, 0.7], [5, 0, 0.9]])
    assert mean_auroc(labels, scores) == pytest.approx((1.0 + 0.5) / 2)
    assert np.isnan(mean_auroc(labels[:, 1:2], scores[:, 1:2]))


def test_augmentation_of_no_strength_changes_only_the_size() -> None:
    """Strength 0 at full size is the identity. The shape and the type are right at any strength."""
    tensor = random_radiographs(2).tensors[0]
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(augment(tensor, 224, rng, 0.0), tensor)
    assert augment(tensor, 96, rng, 1.0).shape == (96, 96)


def test_a_training_keeps_the_precision_and_normalisation_of_its_start() -> None:
    """Imported weights do not fit into half precision, and need their own scale of greys."""
    network = build_training_network(TINY)
    scale = np.array([0.5], np.float32)
    started = source_arrays(network, {"head/kernel": np.zeros(1, np.float32), "input/scale": scale})
    assert started["stem_conv/kernel"].dtype == np.float32
    np.testing.assert_array_equal(started["input/scale"], scale)
    assert source_arrays(network)["stem_conv/kernel"].dtype == np.float16


def test_too_few_positives_are_declared_unmeasured() -> None:
    """A finding with too few positives has no figures, and the model card says so."""
    words = read_model_parameters(CHEST_XRAY).words
    radiographs = random_radiographs(12)
    rng = np.random.default_rng(0)
    seen = NetworkOutputs(rng.normal(size=(12, 1024)), rng.normal(size=(12, 14)))
    fitted = fit_parameters(
        NetworkOutputs(rng.normal(size=(200, 1024)), rng.normal(size=(200, 14))), seen, radiographs.labels
    )
    evaluation = evaluate_outputs(fitted, seen, radiographs, EvaluationProtocol(seed=0))
    judged = evaluated_findings(fitted.operating_points, evaluation)
    description = build_description(words, judged, macro_metrics(evaluation))
    assert not any(finding.is_measured for finding in description.findings)
    card = model_card(description)
    assert card.count(" unmeasured ") == 3 * len(FINDINGS)
    assert "No mean was measured." in card


def test_a_draft_gets_its_figures_from_its_evaluation() -> None:
    """A draft is unmeasured; its evaluation report gives it figures and changes no threshold."""
    rng = np.random.default_rng(0)
    seen = NetworkOutputs(rng.normal(size=(60, 1024)), rng.normal(size=(60, 14)))
    fitted = fit_parameters(seen, seen, random_radiographs(60).labels)
    draft = build_description(
        read_model_parameters(CHEST_XRAY).words, unmeasured_findings(fitted.operating_points), {}
    )
    assert not any(finding.is_measured for finding in draft.findings)
    made = make_report()
    measured = add_figures(draft, made)
    assert all(finding.is_measured for finding in measured.findings)
    assert measured.thresholds == draft.thresholds
    assert measured.input_check is None
    with_check = add_figures(
        draft.model_copy(update={"input_check": build_lab_description().input_check}), made
    ).input_check
    assert made.refusals is not None
    assert with_check is not None
    assert with_check.figures == made.refusals.checked
    assert made.evaluation.macro is not None
    assert measured.metrics["mean_auroc"] == made.evaluation.macro.auroc.value
    assert ModelDescription.model_validate_json(measured.model_dump_json()) == measured


def test_unknown_labels_do_not_change_the_fit() -> None:
    """Radiographs with an unknown finding change neither its calibration nor its operating point."""
    rng = np.random.default_rng(0)
    seen = NetworkOutputs(rng.normal(size=(60, 1024)), rng.normal(size=(60, 14)))
    labels = (rng.random((60, 14)) < 0.5).astype(np.float32)
    labels[40:, 3] = np.nan
    training = NetworkOutputs(rng.normal(size=(200, 1024)), rng.normal(size=(200, 14)))
    partly = fit_parameters(training, seen, labels)
    known = fit_parameters(training, NetworkOutputs(seen.features[:40], seen.logits[:40]), labels[:40])
    assert partly.calibrations[3] == known.calibrations[3]
    assert partly.operating_points[3] == known.operating_points[3]
