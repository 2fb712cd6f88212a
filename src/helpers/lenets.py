"""Goes away: use `helpers.data`."""

from helpers.data import Lenets, kept_images
from helpers.data import load_lenets as load

__all__ = ["Lenets", "kept_images", "load"]
