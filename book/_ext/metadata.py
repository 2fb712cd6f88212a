"""What the book says about itself to machines, all of it from CITATION.cff.

    python book/_ext/metadata.py

writes codemeta.json, .zenodo.json, ro-crate-metadata.json, croissant.json (the data, as
``data/manifest.json`` lists them) and codecheck.yml. The functions return what the
pages need as well: tags, JSON-LD, BibTeX (`citing`).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "CITATION.cff"
LICENCE, TEXT_LICENCE = (
    "https://spdx.org/licenses/MIT",
    "https://spdx.org/licenses/CC-BY-4.0",
)
FORMATS = {
    ".npz": "application/zip",
    ".webp": "image/webp",
    ".safetensors": "application/octet-stream",
    ".json": "application/json",
}
"""The media types of the files in ``data/``."""
CODECHECK = "https://codecheck.org.uk/spec/config/1.0"


# ------------------------------------------------------------------------- the source
def citation() -> dict:
    """CITATION.cff."""
    return yaml.safe_load(SOURCE.read_text("utf-8"))


def files() -> list[dict]:
    """The files in ``data/``, with the manifest itself: path, bytes, sha256, terms."""
    path = ROOT / "data" / "manifest.json"
    content = path.read_bytes()
    about = {
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "source": "What each file is, where it comes from and which command made it",
        "licence": "CC BY 4.0",
    }
    return [about, *json.loads(content)]


def doi(record: dict) -> str:
    """The address of a DOI, or ""."""
    return f"https://doi.org/{record['doi']}" if record.get("doi") else ""


def without_empty(record: dict) -> dict:
    """A record without what is not known yet."""
    return {key: value for key, value in record.items() if value not in ("", [], None)}


# --------------------------------------------------------------------- in schema.org
def who(author: dict) -> dict:
    """An author: a person, or a group that goes by a name."""
    if "name" in author:
        return {"@type": "Organization", "name": author["name"]}
    names = {"givenName": author["given-names"], "familyName": author["family-names"]}
    return {"@type": "Person", **names}


def paper(cff: dict) -> dict:
    """The paper that the book follows."""
    about = cff["preferred-citation"]
    return {
        "@type": "ScholarlyArticle",
        "@id": doi(about),
        "name": about["title"],
        "author": [who(author) for author in about["authors"]],
        "datePublished": str(about["year"]),
        "pageStart": str(about["start"]),
        "pageEnd": str(about["end"]),
        "isPartOf": {"@type": "Periodical", "name": about["collection-title"]},
    }


def work(cff: dict) -> dict:
    """What is said about the book in every vocabulary built on schema.org."""
    about = {
        "name": cff["title"],
        "description": cff["abstract"],
        "version": cff["version"],
        "datePublished": str(cff["date-released"]),
        "keywords": cff["keywords"],
        "inLanguage": "en",
        "url": cff.get("url", ""),
        "identifier": doi(cff),
    }
    return without_empty(about)


def json_ld(cff: dict, title: str = "", address: str = "") -> dict:
    """The book, or a page of it, as JSON-LD for a page's head."""
    book = {"@type": ["Book", "SoftwareSourceCode"], **work(cff)}
    book["author"] = [who(author) for author in cff["authors"]]
    if not title:
        about = {"license": TEXT_LICENCE, "isBasedOn": paper(cff)}
        about["codeRepository"] = cff.get("repository-code", "")
        return {"@context": "https://schema.org", **book, **without_empty(about)}
    chapter = {"@type": "Chapter", "name": title, "url": address}
    part = {"@type": "Book", "name": cff["title"], "author": book["author"]}
    return {
        "@context": "https://schema.org",
        **without_empty(chapter),
        "isPartOf": part,
    }


def codemeta(cff: dict) -> dict:
    """codemeta.json, version 3."""
    about = {
        "codeRepository": cff.get("repository-code", ""),
        "programmingLanguage": "Python",
        "runtimePlatform": "Python 3.11 or newer",
        "developmentStatus": "active",
        "license": LICENCE,
    }
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        **work(cff),
        **without_empty(about),
        "author": [who(author) for author in cff["authors"]],
        "referencePublication": paper(cff),
    }


def ro_crate(cff: dict) -> dict:
    """ro-crate-metadata.json, version 1.1: the repository with its data."""
    people = [named(author) for author in cff["authors"]]
    writers = [named(author) for author in cff["preferred-citation"]["authors"]]
    article = paper(cff) | {"author": references(writers)}
    article["isPartOf"] = cff["preferred-citation"]["collection-title"]
    parts = [part(entry) for entry in files()]
    root = {"@id": "./", "@type": "Dataset", **work(cff)}
    root |= {"license": {"@id": LICENCE}, "author": references(people)}
    root |= {"citation": {"@id": article["@id"]}, "hasPart": references(parts)}
    licence = {"@id": LICENCE, "@type": "CreativeWork", "name": "MIT License"}
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, licence, article, *people, *writers, *parts]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def named(author: dict) -> dict:
    """An author with an identifier of its own, as RO-Crate wants it."""
    name = author.get("name") or f"{author['given-names']} {author['family-names']}"
    return {"@id": "#" + re.sub(r"\W+", "-", name.lower()), **who(author), "name": name}


def references(entities: list[dict]) -> list[dict]:
    return [{"@id": entity["@id"]} for entity in entities]


def part(entry: dict) -> dict:
    """A file of the crate."""
    return {
        "@id": f"data/{entry['file']}",
        "@type": "File",
        "name": entry["file"],
        "description": entry["source"],
        "copyrightNotice": entry["licence"],
        "encodingFormat": FORMATS[Path(entry["file"]).suffix],
        "contentSize": str(entry["bytes"]),
        "sha256": entry["sha256"],
    }


# ---------------------------------------------------------------------------- Croissant
CROISSANT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives, version 1.0."""
COLUMNS = {
    "file": "sc:Text",
    "bytes": "sc:Integer",
    "sha256": "sc:Text",
    "source": "sc:Text",
    "licence": "sc:Text",
    "command": "sc:Text",
}
"""What the record set offers of each entry of the manifest."""


def croissant(cff: dict) -> dict:
    """croissant.json, version 1.0: the files, and the manifest as records."""
    entries = files()
    about = work(cff) | {
        "name": "rarely-firing-nodes-data",
        "description": f"What the book computes from. {cff['abstract']}",
        "url": cff.get("url") or doi(cff["preferred-citation"]),
    }
    return {
        "@context": CROISSANT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **about,
        "license": sorted({entry["licence"] for entry in entries}),
        "creator": [who(author) for author in cff["authors"]],
        "citeAs": bibtex(cff)[1],
        "distribution": [file_object(entry) for entry in entries],
        "recordSet": [manifest_records()],
    }


def file_object(entry: dict) -> dict:
    """A file as Croissant describes it."""
    arrays = ", ".join(
        f"{name} {tuple(array['shape'])}"
        for name, array in sorted(entry.get("arrays", {}).items())[:6]
    )
    return without_empty(
        {
            "@type": "cr:FileObject",
            "@id": entry["file"],
            "name": entry["file"],
            "description": ". Arrays: ".join(filter(None, [entry["source"], arrays])),
            "contentUrl": f"data/{entry['file']}",
            "contentSize": f"{entry['bytes']} B",
            "encodingFormat": FORMATS[Path(entry["file"]).suffix],
            "sha256": entry["sha256"],
        }
    )


def manifest_records() -> dict:
    """The manifest as a table."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"manifest/{name}",
            "name": name,
            "dataType": kind,
            "source": {
                "fileObject": {"@id": "manifest.json"},
                "extract": {"jsonPath": f"$[*].{name}"},
            },
        }
        for name, kind in COLUMNS.items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "manifest",
        "name": "manifest",
        "description": "A record for each file",
        "field": fields,
    }


# ------------------------------------------------------------------------ other formats
def zenodo(cff: dict) -> dict:
    """.zenodo.json: what the archive takes for a release."""
    article = cff["preferred-citation"]
    return {
        "title": cff["title"],
        "description": cff["abstract"],
        "upload_type": "software",
        "version": cff["version"],
        "creators": [
            {"name": a.get("name") or f"{a['family-names']}, {a['given-names']}"}
            for a in cff["authors"]
        ],
        "license": "mit",
        "access_right": "open",
        "language": "eng",
        "keywords": cff["keywords"],
        "related_identifiers": [
            {
                "identifier": article["doi"],
                "scheme": "doi",
                "relation": "isDerivedFrom",
                "resource_type": "publication-conferencepaper",
            }
        ],
    }


def codecheck(cff: dict) -> dict:
    """codecheck.yml as its authors fill it in: the paper, and what to compare.

    Who checked it, when, and the certificate are added by the one who checks.
    """
    article = cff["preferred-citation"]
    names = [f"{a['given-names']} {a['family-names']}" for a in article["authors"]]
    return {
        "version": CODECHECK,
        "paper": {
            "title": article["title"],
            "authors": [{"name": name} for name in names],
            "reference": doi(article),
        },
        "manifest": [
            {
                "file": path.relative_to(ROOT).with_suffix(".ipynb").as_posix(),
                "comment": f"{heading(path)}: figures, tables, numbers",
            }
            for path in sorted((ROOT / "notebooks").glob("*.md"))
        ],
    }


def heading(text: Path) -> str:
    """The title of a page with code."""
    return re.search(r"(?m)^# (.+)$", text.read_text("utf-8"))[1]


def bibtex(cff: dict) -> tuple[str, str]:
    """The entries of the paper and of the book."""
    article = cff["preferred-citation"]
    names = [f"{a['family-names']}, {a['given-names']}" for a in article["authors"]]
    of_paper = {
        "title": article["title"],
        "author": " and ".join(names),
        "booktitle": article["collection-title"],
        "pages": f"{article['start']}--{article['end']}",
        "year": article["year"],
        "doi": article["doi"],
    }
    of_book = {
        "title": cff["title"],
        "author": f"{{{cff['authors'][0]['name']}}}",
        "version": cff["version"],
        "year": str(cff["date-released"])[:4],
        "doi": cff.get("doi", ""),
        "url": cff.get("url", ""),
    }
    return (
        entry("inproceedings", "truong2023impact", of_paper),
        entry("software", "rarelyfiringnodes", of_book),
    )


def entry(kind: str, key: str, fields: dict) -> str:
    lines = [f"  {k} = {{{v}}}" for k, v in without_empty(fields).items()]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def tags(cff: dict, title: str, address: str = "") -> list[tuple[str, str]]:
    """The ``citation_*`` tags of a page of the book; "" is the book itself."""
    article = cff["preferred-citation"]
    authors = [
        a.get("name") or f"{a['family-names']}, {a['given-names']}"
        for a in cff["authors"]
    ]
    paper_authors = [
        f"citation_author={a['family-names']}, {a['given-names']}"
        for a in article["authors"]
    ]
    reference = [
        f"citation_title={article['title']}",
        *paper_authors,
        f"citation_conference_title={article['collection-title']}",
        f"citation_publication_date={article['year']}",
        f"citation_doi={article['doi']}",
    ]
    found = [
        ("citation_title", title or cff["title"]),
        ("citation_inbook_title", cff["title"] if title else ""),
        *[("citation_author", name) for name in authors],
        ("citation_publication_date", str(cff["date-released"]).replace("-", "/")),
        ("citation_language", "en"),
        ("citation_doi", cff.get("doi", "") if not title else ""),
        ("citation_public_url", address),
        ("citation_reference", "; ".join(reference)),
    ]
    return [(name, content) for name, content in found if content]


# ---------------------------------------------------------------------------- the files
def made() -> dict[str, str]:
    """The files and their texts."""
    cff = citation()
    kinds = {
        "codemeta.json": codemeta,
        ".zenodo.json": zenodo,
        "ro-crate-metadata.json": ro_crate,
        "croissant.json": croissant,
    }
    texts = {
        name: json.dumps(make(cff), indent=1, ensure_ascii=False) + "\n"
        for name, make in kinds.items()
    }
    options = {"sort_keys": False, "allow_unicode": True, "width": 100}
    check = yaml.safe_dump(codecheck(cff), explicit_start=True, **options)
    note = (
        "# Made by `make metadata` from CITATION.cff; the one who checks adds theirs.\n"
    )
    return texts | {"codecheck.yml": note + check}


def main() -> None:
    """Write what differs."""
    for name, text in made().items():
        path = ROOT / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"{name}: written")


if __name__ == "__main__":
    main()
