"""What PyTorch itself says and writes: run as ``python -m tests.support.imported.make_reference``.

The tests do not run it: PyTorch is too large for them (a wheel of 540 MB and its CUDA libraries). It was run
once with Debian 12's packages ``python3-torch`` 1.13.1 and ``python3-torchvision`` 0.14.1, and left here:

- ``reference.npz``: features and logits of torchvision's DenseNet121 on ``networks.radiographs``;
- ``small.pt``, ``small_legacy.pt``: a few tensors of several types, strides and offsets;
- ``module_legacy.pt``: a whole module, wrapped by DataParallel, in a training checkpoint.
"""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch  # type: ignore[import-not-found]  # nor need it be
import torchvision  # type: ignore[import-not-found]

from tests.support.imported import networks

HERE = Path(__file__).parents[2] / "data" / "imported"
SEED = 4


def _densenet(shape: networks.Shape) -> Any:
    network = torchvision.models.densenet121(num_classes=shape.outputs)
    if shape.channels == 1:
        network.features.conv0 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    if shape.classifier == "classifier.0":
        network.classifier = torch.nn.Sequential(network.classifier)
    state = networks.random_state(shape, SEED)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=True)
    return network.eval()


def _answers(network: Any, tensor: Any) -> tuple[Any, Any]:
    """Exactly torchvision's forward, once in double precision: what the function is, without rounding."""
    with torch.no_grad():
        features = torch.relu(network.double().features(tensor.double())).mean(dim=(2, 3))
        exact = network.classifier(features)
        rounding = (network.float()(tensor.float()) - exact).abs().max().item()
    sys.stdout.write(
        f"PyTorch's own rounding in float32: {rounding:.1e} of logits to {exact.abs().max().item():.1f}\n"
    )
    return features.numpy(), exact.numpy()


def _torchxrayvision() -> tuple[Any, Any]:
    pixels = torch.from_numpy(networks.radiographs()).double()[:, None]
    return _answers(_densenet(networks.TORCHXRAYVISION), (2 * (pixels / 255) - 1.0) * 1024)


def _chexnet() -> tuple[Any, Any]:
    grey = torch.from_numpy(networks.radiographs()).double()[:, None].repeat(1, 3, 1, 1) / 255
    normalise = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return _answers(_densenet(networks.CHEXNET), normalise(grey))


def _small() -> dict[str, Any]:
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    return {
        "whole": whole,
        "transposed": whole.permute(2, 0, 1),
        "part": whole[1, 1:, ::2],
        "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "double": torch.tensor([[0.1]], dtype=torch.float64),
        "bfloat16": torch.tensor([1.5, -3.0, 256.0], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "empty": torch.zeros(0, 3),
    }


def _module() -> dict[str, Any]:
    layers = [torch.nn.Conv2d(1, 2, 3, bias=False), torch.nn.BatchNorm2d(2), torch.nn.ReLU()]
    module = torch.nn.DataParallel(torch.nn.Sequential(*layers))
    for index, parameter in enumerate(module.parameters()):
        torch.nn.init.constant_(parameter, index + 0.5)
    return {
        "model": module,
        "epoch": 3,
        "rng_state": torch.get_rng_state()[:8],
        "best_loss": np.float64(0.25),
    }


def main() -> None:
    """Write the files."""
    features_x, logits_x = _torchxrayvision()
    features_c, logits_c = _chexnet()
    arrays = {"torchxrayvision": logits_x, "chexnet": logits_c}
    arrays |= {"torchxrayvision_features": features_x, "chexnet_features": features_c}
    np.savez_compressed(HERE / "reference.npz", **arrays)
    torch.save(_small(), HERE / "small.pt")
    torch.save(_small(), HERE / "small_legacy.pt", _use_new_zipfile_serialization=False)
    with mock.patch("inspect.getsourcelines", side_effect=OSError):  # PyTorch's source stays out of the file
        torch.save(_module(), HERE / "module_legacy.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
