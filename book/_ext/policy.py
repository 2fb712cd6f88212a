"""A Sphinx extension: a Content-Security-Policy in every page.

Pages load from their own site alone, and run no inline script but those that they were
built with: the policy names each by its sha256.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from pathlib import Path

POLICY = (
    "default-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r'\son[a-z]+="([^"]*)"')
CHARSET = re.compile(r"<meta charset=[^>]*>")
OWN = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def setup(app) -> dict:
    app.connect("build-finished", protect, priority=900)  # when all pages are written
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def protect(app, exception) -> None:
    """Write the policy into every page."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    for path in [p for p in folder.rglob("*.html") if "_static" not in p.parts]:
        text = path.read_text("utf-8")
        if (protected := with_policy(text)) != text:
            path.write_text(protected, "utf-8")


def with_policy(page: str) -> str:
    """A page with its policy after its charset, in place of an earlier one."""
    page = OWN.sub("", page)
    handlers = [unescape(code) for code in HANDLER.findall(page)]
    scripts = [*INLINE.findall(page), *handlers]
    hashes = sorted({f"'sha256-{digest(script)}'" for script in scripts})
    policy = POLICY.format(hashes=" ".join(["'unsafe-hashes'", *hashes]))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return CHARSET.sub(lambda charset: charset[0] + meta, page, count=1)


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
