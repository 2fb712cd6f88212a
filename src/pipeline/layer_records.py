"""Record what page 08 cannot compute: layers of networks or images not shipped.

``layers PETERSON FETCHED``: PETERSON has images, judgments and VGG-19, as
`pipeline.judgments` lays them out. FETCHED is a folder with

* ``vgg19_king2019_set2_fc7.npy`` (144, 4096): VGG-19 fc7 after the ReLU for 144 natural
  images, "set 2" of King, Groen, Steel, Kravitz & Baker (2019);
* ``alexnet_fc7_objectome2400.npz`` and ``resnet_avgpool_objectome2400.npz``: AlexNet
  fc7 and the averaged last layer of ResNet-18 and -34 for the same 2,400 images
  (brainscore_vision 2.3.18 and 2.4.2, rajalingham2018 test resources), as ``fc7``,
  ``resnet18`` and ``resnet34``.

``resnets FETCHED``: the shipped part of the latter.

``squeezenet WEIGHTS``: WEIGHTS is a .safetensors file with SqueezeNet v1.1 under
torchvision's names, for inputs in BGR.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, squeezenet
from pipeline import layers, manifest

POOLS = {f"pool{i}": n for i, n in enumerate((4, 9, 18, 27, 36), 1)}
"""VGG-19's pooling layers and their places in torchvision's ``features``."""
LENET_LAYERS = {"pool1": 2, "pool2": 5, "fc1": 8, "fc2": 10}
"""Post-ReLU layers of `pipeline.networks.lenet5` and the places of their outputs."""
N_LENETS, PER_CLASS = 10, 30
"""Models of each data set, and test images of each class behind their numbers."""
N_SMOOTH = 3
"""Networks trained for each smooth activation function."""
LEVELS = (0, 0.03, 0.1, 0.3, 1, 2)
ABOUT = {
    "source": "computed here with VGG-19 (VGG team's weights) and SqueezeNet v1.1 from "
    "images and judgments of Peterson, Abbott & Griffiths (2018), not included, and "
    "from the shipped 92 objects; from VGG-19 fc7 of 144 images of King et al. (2019), "
    "not included; from the activations of brainscore_vision 2.3.18 and 2.4.2 "
    "(Rajalingham et al. 2018; MIT); and from LeNet-5s of this project",
    "licence": "CC BY 4.0",
    "layout": "frame/column, for the frames of pipeline.layer_records.record",
    "rounding": "to single precision",
}
"""What the manifest says of ``layers.npz``."""
SQUEEZENET = {
    "source": "SqueezeNet v1.1 (Iandola et al. 2016, "
    "https://github.com/forresti/SqueezeNet), trained on ImageNet, from the Python "
    "package ndf 0.1.4",
    "licence": "BSD 2-clause (weights), MIT (ndf)",
    "rounding": "weights to half precision (float16): the rounded network is the "
    "network",
}
RESNETS = {
    "source": "activations after the last pooling of ResNet-18 and -34 for images of "
    "Rajalingham et al. (2018), from the Python package brainscore_vision 2.4.2, "
    "rajalingham2018 test resources; every sixth image, those of alexnet_fc7.npz",
    "licence": "MIT",
    "rounding": "to half precision (float16); the pattern of zeros is exact",
}
Described = tuple[dict[str, str], np.ndarray, np.ndarray | None]


# --------------------------------------------------------------------------- networks
def record_squeezenet(weights: Path, command: str) -> None:
    """Write ``data/squeezenet1_1.npz``."""
    from safetensors.numpy import load_file

    rounded = {k: v.astype(np.float16) for k, v in sorted(load_file(weights).items())}
    target = data.data_folder() / "squeezenet1_1.npz"
    np.savez_compressed(target, **rounded)
    manifest.register(target, command, **SQUEEZENET)


def record_resnets(fetched: Path, command: str) -> None:
    """Write ``data/resnet_last.npz``: the images of ``alexnet_fc7.npz``."""
    stored = data.read_arrays(fetched / "resnet_avgpool_objectome2400.npz")
    index, parts = data.read_shipped("alexnet_fc7.npz")["index"], {}
    for name in ("resnet18", "resnet34"):
        exact = stored[name][index]
        smallest = np.finfo(np.float16).smallest_subnormal
        raised = np.where(exact > 0, np.maximum(exact, smallest), 0)
        parts[name] = raised.astype(np.float16)  # none rounds to zero
    target = data.data_folder() / "resnet_last.npz"
    np.savez_compressed(target, **parts)
    manifest.register(target, command, **RESNETS)


def vgg19_layers(model, pictures) -> Iterator[dict[str, np.ndarray]]:
    """`POOLS` of each picture, in one pass."""
    import torch

    from pipeline import extraction

    places = {n: name for name, n in POOLS.items()}
    for picture in pictures:
        squash = isinstance(picture, np.ndarray)  # the 92 objects are square
        resize, crop = (224, None) if squash else (256, 224)
        settings = extraction.Preprocessing(
            resize, crop, extraction.VGG_TEAM.mean, extraction.VGG_TEAM.sd
        )
        x, found = extraction.preprocess([picture], settings), {}
        with torch.no_grad():
            for n, step in enumerate(model.features):
                x = step(x)
                if n in places:
                    found[places[n]] = x[0].numpy().copy()
        yield found


def squeezenet_layers(pictures) -> Iterator[dict[str, np.ndarray]]:
    """Fire modules of each picture, and the last layer, of classes."""
    from pipeline import extraction

    weights, names = squeezenet.load_weights(), [*squeezenet.FIRES, "conv10"]
    for picture in pictures:
        pixels = np.asarray(extraction.open_image(picture))
        yield squeezenet.activations(pixels, weights, names)


def judged_sets(peterson: Path) -> Iterator[tuple[str, list, np.ndarray]]:
    """Name, pictures and judged similarities of each set, the 92 objects first."""
    from pipeline import judgments

    objects = data.load_objects92()
    yield "92 objects", list(objects.images), objects.mean
    for name, judged in judgments.load_peterson(peterson).items():
        yield name, list(judged.files), judged.matrix


def convolutional(peterson: Path) -> Iterator[Described]:
    """Every layer of VGG-19 and SqueezeNet for every judged set."""
    from pipeline import extraction

    model = extraction.vgg19_conv(peterson / "vgg19_conv_bgr.safetensors")
    for name, pictures, human in judged_sets(peterson):
        networks = {"VGG-19": vgg19_layers(model, pictures)}
        networks["SqueezeNet"] = squeezenet_layers(pictures)
        for network, activations in networks.items():
            for layer, x in layers.collect(activations).items():
                yield {"network": network, "layer": layer, "set": name}, x, human


def king_fc7(fetched: Path) -> Iterator[Described]:
    """VGG-19's fc7, without judgments."""
    x = np.load(fetched / "vgg19_king2019_set2_fc7.npy", allow_pickle=False)
    yield {"network": "VGG-19", "layer": "fc7", "set": "144 natural images"}, x, None


def all_2400(fetched: Path) -> pd.DataFrame:
    """`layers.zeros_of` for AlexNet and the ResNets, over all 2,400 images."""
    stored = data.read_arrays(fetched / "alexnet_fc7_objectome2400.npz")
    resnets = data.read_arrays(fetched / "resnet_avgpool_objectome2400.npz")
    names = {"AlexNet": stored["fc7"]}
    names |= {"ResNet-18": resnets["resnet18"], "ResNet-34": resnets["resnet34"]}
    return pd.DataFrame(
        [{"network": name} | layers.zeros_of(x == 0) for name, x in names.items()]
    )


# ----------------------------------------------------------------------------- LeNets
def lenet_layers(model, inputs) -> dict[str, np.ndarray]:
    """`LENET_LAYERS` of a LeNet-5 for inputs, each (n_images, n_nodes)."""
    import torch

    found, x = {}, inputs
    places = {n: name for name, n in LENET_LAYERS.items()}
    with torch.no_grad():
        for n, step in enumerate(model):
            x = step(x)
            if n in places:
                found[places[n]] = x.flatten(1).numpy()
    return found


def lenets() -> Iterator[Described]:
    """Every layer of every shipped LeNet-5, for a sample of test images."""
    from pipeline import networks, training

    for dataset, name in (("mnist", "MNIST"), ("cifar10", "CIFAR-10")):
        images = data.load_sample(dataset)
        rng = np.random.default_rng(layers.SEED)
        kept = data.stratified(images.y_test, PER_CLASS, rng)
        inputs = networks.as_input(images.x_test[kept], dataset)
        models = training.load_shipped(dataset, N_LENETS)
        for i in range(len(models)):
            about = {"network": "LeNet-5", "set": name, "model": str(i)}
            for layer, x in lenet_layers(models.model(i), inputs).items():
                yield about | {"layer": layer}, x, None


def smooth_lenets() -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """Penultimate layers of LeNet-5s with ReLU, GELU and ELU, trained on CIFAR-10.

    Those with ReLU are the shipped ones. All have the same recipe and seeds.
    """
    from pipeline import datasets, networks, training

    images, full = data.load_sample("cifar10"), datasets.load("cifar10")
    rng = np.random.default_rng(layers.SEED)
    kept = data.stratified(images.y_test, PER_CLASS, rng)
    inputs = networks.as_input(images.x_test[kept], "cifar10")
    shipped, recipe = training.load_shipped("cifar10"), training.RECIPES["cifar10"]
    for name in ("ReLU", "GELU", "ELU"):
        for seed in range(N_SMOOTH):
            if name == "ReLU":
                model = shipped.model(seed)
            else:
                model = training.train_model(
                    "cifar10", full.x_train, full.y_train, seed, recipe, name
                )
            right = training.accuracy(model, "cifar10", full.x_test, full.y_test)
            about = {"activation": name, "seed": str(seed), "accuracy": right}
            yield about, lenet_layers(model, inputs)["fc2"]


# ------------------------------------------------------------------------------ record
def record(peterson: Path, fetched: Path, command: str) -> None:
    """Write ``data/layers.npz``: the frames ``numbers`` (a row per layer and set),
    ``lenets`` (per layer, set and model), ``curves`` (of the fully connected layers and
    VGG-19's pool5), ``smooth`` (per activation function, seed and threshold) and
    ``all_2400``.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as `pipeline.human`
    import torch

    torch.set_num_threads(1)
    frames = {"numbers": [], "curves": [], "lenets": [], "smooth": []}
    frames["all_2400"] = [all_2400(fetched)]
    for source in (king_fc7(fetched), convolutional(peterson)):
        for about, x, human in source:
            numbers, curve = layers.profile(x, human)
            frames["numbers"].append(about | numbers)
            if about["layer"] in ("fc7", "pool5"):
                frames["curves"].append(curve.assign(**about))
            print(*about.values(), x.shape, flush=True)
    for about, x, _ in lenets():
        frames["lenets"].append(about | layers.profile(x)[0])
    print("LeNets", flush=True)
    for about, x in smooth_lenets():
        for unit in ("layer", "node"):
            table = layers.thresholds(x, LEVELS, by_node=unit == "node")
            frames["smooth"].append(table.assign(**about, unit=unit))
        print(*about.values(), flush=True)
    arrays = {}
    for name, parts in frames.items():
        rows = isinstance(parts[0], dict)
        frame = pd.DataFrame(parts) if rows else pd.concat(parts)
        for column, values in frame.items():
            numeric = values.dtype.kind in "fiub"
            values = values.to_numpy(np.float32) if numeric else values.to_list()
            arrays[f"{name}/{column}"] = np.asarray(values)
    target = data.data_folder() / "layers.npz"
    np.savez_compressed(target, **arrays)
    manifest.register(target, command, seed=str(layers.SEED), **ABOUT)
