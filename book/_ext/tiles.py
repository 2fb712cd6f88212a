"""A Sphinx extension: ``{claim-tiles}`` shows the paper's claims, one tile for each.

A tile has the claim's title and its verdict, and leads to the discussion of its rows.
Titles come from ``book/claims.toml``; verdicts follow from what the executed notebooks
found, as on the scoreboard.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from helpers import claims
from helpers.notebook import findings_in

TILE = (
    '<li class="tile {kind}"><a href="{address}#claim-{key}">'
    '<span class="tile-claim">{claim}</span> {title}'
    '<span class="tile-verdict">{verdict}</span>'
    '<span class="tile-rows">{rows}</span></a></li>'
)


def setup(app) -> dict:
    app.add_directive("claim-tiles", ClaimTiles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class ClaimTiles(SphinxDirective):
    """The tiles; the argument is the page that discusses the claims."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        _, discussion = self.env.relfn2path(self.arguments[0])
        notebooks = sorted(Path(discussion).parent.glob("0[1-4]_*.ipynb"))
        found = {}
        for path in notebooks:
            self.env.note_dependency(str(path))
            found |= findings_in(path)
        address = self.arguments[0].replace(".ipynb", ".html").lstrip("/")
        up = "../" * self.env.docname.count("/")
        html = "\n".join(tiles(found, up + address))
        return [nodes.raw("", f'<ul class="tiles">{html}</ul>', format="html")]


def tiles(found: dict[str, claims.Finding], address: str) -> list[str]:
    """A list item of HTML for each claim."""
    items = []
    for key, claim in claims.read().items():
        verdict = claims.verdict(claim, found)
        texts = {"claim": key, "title": claim["title"], "verdict": verdict}
        texts["kind"] = verdict.removesuffix(" where testable").replace(" ", "-")
        rows = claims.in_words(found).get(f"rows_{key}", "")
        texts["rows"] = f"{rows}; under {claim['under']}" if "under" in claim else rows
        escaped = {name: escape(text) for name, text in texts.items()}
        items.append(TILE.format(**escaped, address=address, key=key.lower()))
    return items
