"""A Sphinx extension: a Content-Security-Policy in every page.

Pages load from their own site alone, and run no inline script but those that they were
built with: the policy names each by its sha256.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path

POLICY = (
    "default-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
INLINE = re.compile(
    r"<script(?![^>]*(?:\ssrc=|application/(?:ld\+)?json))[^>]*>(.*?)</script>",
    re.DOTALL,
)
"""Scripts in a page; JSON and JSON-LD are not run."""
HANDLER = re.compile(r'\son[a-z]+="([^"]*)"')
CHARSET = re.compile(
    r'(<meta charset=[^>]*>)(?:<meta http-equiv="Content-Security-Policy"[^>]*>)?'
)


def setup(app) -> dict:
    app.connect("build-finished", protect, priority=900)  # when all pages are written
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def protect(app, exception) -> None:
    """Write the policy into every page."""
    if exception or app.builder.format != "html":
        return
    files = [p for p in Path(app.outdir).rglob("*.html") if "_static" not in p.parts]
    pages = {path: path.read_text("utf-8") for path in files}
    policy = policy_of(pages.values())
    for path, text in pages.items():
        if (protected := with_policy(text, policy)) != text:
            path.write_text(protected, "utf-8")


def policy_of(pages: Iterable[str]) -> str:
    """One policy for all pages: the search reads the others."""
    scripts = set()
    for page in pages:
        scripts |= {*INLINE.findall(page), *map(unescape, HANDLER.findall(page))}
    hashes = [f"'sha256-{digest(script)}'" for script in scripts]
    return POLICY.format(hashes=" ".join(["'unsafe-hashes'", *sorted(hashes)]))


def with_policy(page: str, policy: str) -> str:
    """A page with the policy after its charset, in place of an earlier one."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return CHARSET.sub(lambda found: found[1] + meta, page, count=1)


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
