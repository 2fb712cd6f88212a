"""What live cells need in the pages themselves: titles of folded code, and numbers in
the text that know the name under which a run of the page glues them."""

from __future__ import annotations

from docutils import nodes
from myst_nb.ext.glue.roles import PasteTextRole
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput

SHORT = {"figure": "Fig.", "table": "Table"}
CODE = {
    "check_parameters(": "Check of the parameters",
    "footer(": "Code for this list",
    "glue(": "Code for numbers in the text",
}
"""Titles of folded cells without a figure, by what they call."""


class glued(nodes.inline):
    """A number in the text that was glued on the same page."""


def setup(app) -> dict:
    app.add_node(glued, html=(visit_glued, depart_glued))
    app.add_node(
        HideCodeCellNode, override=True, html=(visit_fold, depart_HideCellInput)
    )
    app.add_role_to_domain("glue", "text", GluedRole(), override=True)
    app.connect("doctree-resolved", name_folds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# ------------------------------------------------------------------------- numbers
class GluedRole(PasteTextRole):
    """MyST-NB's role, which also keeps the key and the format of a number."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        made, messages = super().run()
        if made and isinstance(made[0], nodes.inline):  # else: of another page
            key, _, form = self.text.partition(":")
            text = made[0].astext()
            about = {"classes": ["pasted-text"], "key": key, "form": form or "s"}
            made = [glued(text, text, **about)]
        return made, messages


def visit_glued(writer, node: glued) -> None:
    about = {"data-glue": node["key"], "data-format": node["form"]}
    writer.body.append(writer.starttag(node, "span", "", **about))


def depart_glued(writer, node: glued) -> None:
    writer.body.append("</span>")


# --------------------------------------------------------------------------- folds
def name_folds(app, doctree, docname: str) -> None:
    """Let folded code and output say what is inside."""
    for fold in doctree.findall(HideCodeCellNode):
        fold["title"] = title_of(app.env, docname, fold)


def title_of(env, docname: str, fold: nodes.Element) -> str:
    """Such as "Code for Fig. 4", or "Table 3" for folded output."""
    is_output = "below-input" in fold["classes"]
    for figure in fold.parent.findall(nodes.figure):
        kind = env.get_domain("std").get_enumerable_node_type(figure)
        numbers = env.toc_fignumbers.get(docname, {}).get(kind, {})
        if found := [numbers[name] for name in figure["ids"] if name in numbers]:
            name = f"{SHORT[kind]} {'.'.join(map(str, found[0]))}"
            return name if is_output else f"Code for {name}"
    if is_output:
        return "Output"
    if "tag_parameters" in fold.parent["classes"]:
        return "Parameters as code"
    calls = (title for call, title in CODE.items() if call in fold.astext())
    return next(calls, "Code")


def visit_fold(writer, node: HideCodeCellNode) -> None:
    classes = " ".join(node["classes"])
    title = writer.encode(node.get("title", "Code"))
    writer.body.append(
        f'<details class="admonition hide {classes}">\n'
        f'<summary>\n<p class="admonition-title">{title}</p>\n</summary>\n'
    )
