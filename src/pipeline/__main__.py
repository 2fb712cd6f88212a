"""The commands that make what is in ``data/``: ``python -m pipeline COMMAND --help``.

Each command is a function of the pipeline that writes files and enters them into the
manifest, together with the command. ``embed`` and ``report`` are for a reader's own
network and images, and enter nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

COMMANDS = {
    "train": "training.record",
    "activations": "lenets.record",
    "samples": "samples.record",
    "objects92": "objects92.record",
    "human": "human.record_sets",
    "specifications": "specifications.record",
    "held-out": "held_out.record",
    "simulation": "simulation.record",
    "cifar10h": "cifar10h.record",
    "roc-simulation": "roc_simulation.record",
    "ghosts-cifar10": "ghosts.record_cifar10",
    "ghosts-fruits": "ghosts.record_fruits",
    "ghosts-imagenet": "ghosts.record_imagenet",
    "layers": "layer_records.record",
    "resnets": "layer_records.record_resnets",
    "squeezenet": "layer_records.record_squeezenet",
    "embed": "embed.record",
    "report": "report_html.main",
}
"""Functions of the arguments of each command and of ``command``, its text."""


RECORDERS = {
    "human": ("PETERSON", "see pipeline.judgments", "page 03's Peterson sets"),
    "specifications": (
        "PETERSON IMAGES",
        "see pipeline.specifications",
        "page 07's Peterson sets",
    ),
    "held-out": ("PETERSON", "see pipeline.judgments", "page 07's held-out images"),
    "cifar10h": ("COUNTS", "see pipeline.cifar10h", "page 02's confusions by people"),
    "ghosts-cifar10": (
        "LPIPS_WEIGHTS",
        "see pipeline.objects92",
        "page 04's CIFAR-10 images",
    ),
    "ghosts-fruits": ("PETERSON", "see pipeline.judgments", "page 04's main figure"),
    "ghosts-imagenet": (
        "PETERSON IMAGES WORDNET",
        "see pipeline.ghosts",
        "page 04's Peterson sets",
    ),
    "layers": (
        "PETERSON FETCHED",
        "see pipeline.layer_records",
        "page 08's networks and layers",
    ),
    "resnets": ("FETCHED", "see pipeline.layer_records", "page 08's activations"),
    "squeezenet": ("WEIGHTS", "see pipeline.layer_records", "its weights, as halves"),
}
"""Commands that take only files: their arguments, what explains them, and the help."""


def parser() -> argparse.ArgumentParser:
    """The command line; reading it imports none of the modules behind it."""
    main = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    commands = main.add_subparsers(dest="name", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="an ensemble of LeNet-5s")
    train.add_argument("dataset", choices=("cifar10", "mnist"))
    train.add_argument("--models", type=int, default=50, help="seeds 0, 1, ...")
    train.add_argument("--epochs", type=int, help="default: the recipe's")
    train.add_argument("--learning-rate", type=float, help="default: the recipe's")
    train.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    train.add_argument("--device", default="cpu", help="cpu, or cuda: all as one batch")
    train.add_argument("--target", type=Path, help="default: the shipped file")
    train.add_argument("--replace-shipped", action="store_true", help="if it exists")

    commands.add_parser("activations", help="of the shipped LeNet-5s, into _build/")

    samples = commands.add_parser("samples", help="of MNIST and CIFAR-10, and AlexNet")
    samples.add_argument("--alexnet", type=Path, help="see pipeline.samples")
    samples.add_argument("--folder", type=Path, default=Path("data"))

    objects = commands.add_parser(
        "objects92", help="92 objects: images, judgments, VGG"
    )
    paths(objects, "OBJECTS92 LPIPS_WEIGHTS", "see pipeline.objects92")
    objects.add_argument("--folder", type=Path, default=Path("data"))

    simulation = commands.add_parser(
        "simulation", help="coverage of page 03's intervals, false alarms, power"
    )
    paths(simulation, "ALEXNET", "see pipeline.samples")
    simulation.add_argument("--simulations", type=int, default=500)

    roc = commands.add_parser("roc-simulation", help="page 04's ROC intervals")
    roc.add_argument("--simulations", type=int, default=600)

    for name, (files, explanation, about) in RECORDERS.items():
        paths(commands.add_parser(name, help=about), files, explanation)
    add_own_network(commands)
    return main


def add_own_network(commands) -> None:
    """Add the commands for a reader's own network."""
    embed = commands.add_parser("embed", help="every layer of a network, your images")
    embed.add_argument("--model", required=True, help="of torchvision, as resnet18")
    embed.add_argument(
        "--weights", default="DEFAULT", help=".pth, .safetensors, a name"
    )
    embed.add_argument("--images", type=Path, required=True, help="folder of images")
    embed.add_argument("--target", type=Path, required=True, help="folder to write")
    embed.add_argument("--layers", default="all", help="all, or nodes with commas")
    embed.add_argument("--batch-size", type=int, default=16, help="images at a time")
    embed.add_argument("--device", default="cpu", help="cpu or cuda")

    report = commands.add_parser("report", help="on your own network, as one HTML file")
    for name in ("activations", "reference", "labels", "target"):
        report.add_argument(f"--{name}", type=Path, help=f"{name}: see page 09")
    for name in ("reference-kind", "array", "reference-array"):
        report.add_argument(f"--{name}", default="", help="see page 09")
    report.add_argument("--similarity", default="pearson", help="see page 09")
    report.add_argument("--max-images", type=int, default=200, help="see page 09")
    report.add_argument("--n-resamples", type=int, default=1000, help="see page 09")
    report.add_argument("--n-orders", type=int, default=100, help="random orders")
    report.add_argument("--seed", type=int, default=0, help="of the random numbers")


def paths(command: argparse.ArgumentParser, names: str, explanation: str) -> None:
    """Add a positional argument for a file or folder for each of ``names``."""
    for name in names.split():
        command.add_argument(name.lower(), type=Path, metavar=name, help=explanation)


def as_text(argv: list[str], arguments: dict[str, object]) -> str:
    """The command as the manifest states it: names in place of the user's paths."""
    given = {str(v): k.upper() for k, v in arguments.items() if isinstance(v, Path)}
    words = [given.get(str(Path(word)), word) for word in argv]
    return " ".join(["python -m pipeline", *words])


def main(argv: list[str] | None = None) -> None:
    """Run one command."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = vars(parser().parse_args(argv))
    module, name = COMMANDS[arguments.pop("name")].split(".")
    function = getattr(importlib.import_module(f"pipeline.{module}"), name)
    function(**arguments, command=as_text(argv, arguments))


if __name__ == "__main__":
    main()
