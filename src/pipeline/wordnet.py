"""ImageNet's labels and what they fall under in WordNet 3.0.

``data.noun`` is a file of WordNet, as in the npm package ``WNdb@3.0.0``: a synset a
line, with pointers to its hypernyms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

CATEGORIES = {"fruits": "07705931", "vegetables": "07707451", "animals": "00015388"}
"""The WordNet synset that each set's query should exclude (fruits: edible fruit)."""
GROUPS = {
    "dogs": "02084071",
    "cats, wild and tame": "02120997",
    "primates": "02469914",
    "hoofed animals": "02370806",
    "other mammals": "01861778",
    "birds": "01503061",
    "reptiles": "01661091",
    "amphibians": "01627424",
    "fish": "02512053",
    "insects": "02159955",
    "spiders": "01769347",
    "other animals": "00015388",
    "fruit": "07705931",
    "vegetables": "07707451",
    "other food": "00021265",
    "other solid food": "07555863",
    "plants": "00017222",
    "fungi": "12992868",
    "people": "00007846",
    "clothing": "03051540",
    "vehicles": "04524313",
    "furniture": "03405725",
    "musical instruments": "03800933",
    "containers": "03094503",
    "buildings and structures": "04341686",
    "appliances": "02729837",
    "electronic equipment": "03278248",
    "sports equipment": "04285146",
    "weapons": "04565375",
    "tools": "04451818",
    "other covering": "03122748",
    "other devices": "03183080",
    "other things for use": "03575240",
    "other artefacts": "00021939",
    "landscapes": "09287968",
}
"""Groups of labels by WordNet hypernym; a label belongs to the first it falls under."""


def read_synsets(words: Path, wordnet: Path) -> tuple[np.ndarray, list[set[str]]]:
    """Short names (n_labels,) of labels, and the synsets that each falls under."""
    parents = {}
    for line in wordnet.read_text(encoding="latin-1").splitlines():
        if not line.startswith("  "):  # the licence
            parts = line.split(" ")
            start = 4 + 2 * int(parts[3], 16)
            pointers = [
                parts[start + 1 + 4 * i :][:2] for i in range(int(parts[start]))
            ]
            parents[parts[0]] = [to for kind, to in pointers if kind in ("@", "@i")]

    def above(synset: str) -> set[str]:
        return {synset}.union(*map(above, parents[synset]))

    text = words.read_text("utf-8")
    lines = [line.split(" ", 1) for line in text.splitlines() if line]
    names = np.array([name.split(",")[0] for _, name in lines])
    return names, [above(synset[1:]) for synset, _ in lines]


def group_of(above: set[str]) -> str:
    """The first of `GROUPS` that a label with these synsets falls under."""
    return next((name for name, synset in GROUPS.items() if synset in above), "other")
