"""What the book says about itself: from one source, complete, in step."""

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup

import citing
import metadata

ROOT = Path(__file__).parents[1]
CFF = metadata.citation()
PUBLIC = CFF | {
    "url": "https://example.org/book/",
    "repository-code": "https://example.org/code",
    "doi": "10.5281/zenodo.1",
}
DATA = json.loads((ROOT / "data" / "manifest.json").read_text("utf-8"))


@pytest.mark.parametrize(("name", "text"), metadata.made().items())
def test_committed_file_is_in_step_with_its_source(name, text):
    assert (ROOT / name).read_text("utf-8") == text, "run `make metadata`"


def entities(crate):
    graph = crate["@graph"]
    ids = [entity["@id"] for entity in graph]
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, graph, strict=True))


def test_crate_is_flat_and_whole():
    """RO-Crate 1.1: a descriptor, a root with what is required, no nested entities."""
    found = entities(metadata.ro_crate(PUBLIC))
    root = found[found["ro-crate-metadata.json"]["about"]["@id"]]
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    for entity in found.values():
        for values in entity.values():
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, dict):
                    assert value.keys() == {"@id"}
                    inside = not value["@id"].startswith("https://w3id.org/ro/")
                    assert value["@id"] in found or not inside
    parts = [found[part["@id"]] for part in root["hasPart"]]
    sums = {part["name"]: (part["sha256"], int(part["contentSize"])) for part in parts}
    assert {e["file"]: (e["sha256"], e["bytes"]) for e in DATA}.items() <= sums.items()
    assert all((ROOT / part["@id"]).is_file() for part in parts)


def test_croissant_names_every_file_and_reads_the_manifest():
    """Croissant 1.0: what is required of a data set, a file object and a field."""
    about = metadata.croissant(CFF)
    required = {"name", "description", "license", "url", "creator", "datePublished"}
    assert required <= about.keys() and about["@type"] == "sc:Dataset"
    files = {file["@id"]: file for file in about["distribution"]}
    assert files.keys() == {"manifest.json", *(entry["file"] for entry in DATA)}
    for file in files.values():
        assert {"name", "contentUrl", "encodingFormat", "sha256"} <= file.keys()
        assert (ROOT / file["contentUrl"]).stat().st_size == int(
            file["contentSize"].removesuffix(" B")
        )
    for field in about["recordSet"][0]["field"]:
        assert field["source"]["fileObject"]["@id"] in files
        column = field["source"]["extract"]["jsonPath"].removeprefix("$[*].")
        assert all(column in entry for entry in DATA)


def test_codemeta_and_zenodo_have_what_their_readers_require():
    about, deposit = metadata.codemeta(PUBLIC), metadata.zenodo(CFF)
    assert about["codeRepository"] == "https://example.org/code"
    assert about["version"] == deposit["version"] == CFF["version"]
    assert about["referencePublication"]["@id"].endswith("CCN.2023.1505-0")
    assert {"title", "creators", "description", "upload_type"} <= deposit.keys()


def test_what_is_not_known_is_left_out():
    for text in map(json.dumps, (metadata.codemeta(CFF), metadata.json_ld(CFF))):
        assert "codeRepository" not in text and '""' not in text
    assert "url" not in metadata.bibtex(CFF)[1]
    assert "url = {https://example.org/book/}" in metadata.bibtex(PUBLIC)[1]


def test_a_codecheck_lists_every_page_with_code_and_names_the_paper():
    check = yaml.safe_load((ROOT / "codecheck.yml").read_text("utf-8"))
    pages = [Path(item["file"]) for item in check["manifest"]]
    assert {page.stem for page in pages} == {
        path.stem for path in (ROOT / "notebooks").glob("*.md")
    }
    assert check["paper"]["title"] == CFF["preferred-citation"]["title"]
    assert "codechecker" not in check, "nobody has checked it yet"


def test_an_entry_is_read_again_as_it_was_meant():
    for text in metadata.bibtex(PUBLIC):
        fields = dict(re.findall(r"(?m)^  (\w+) = \{(.*)\},?$", text))
        assert text.count("{") == text.count("}")
        assert {"title", "author", "year"} <= fields.keys()
    assert fields["title"] == CFF["title"] and fields["version"] == CFF["version"]


def test_tags_of_a_page_name_the_book_and_the_paper_and_never_mix_their_dois():
    cff = copy.deepcopy(PUBLIC)
    book, page = metadata.tags(cff, ""), metadata.tags(cff, "A page")
    assert dict(book)["citation_doi"] == "10.5281/zenodo.1"
    assert "citation_doi" not in dict(page)
    assert dict(page)["citation_inbook_title"] == CFF["title"]
    assert "10.32470/CCN.2023.1505-0" in dict(page)["citation_reference"]
    assert "citation_doi" not in dict(metadata.tags(CFF, ""))


# ---------------------------------------------------------------------------- the pages
def test_without_addresses_nothing_leads_nowhere():
    assert [name for name, _ in citing.ways(CFF, "", "main", "../")] == [
        "Paper (DOI)",
        "Data",
    ]


def test_with_addresses_every_way_is_open():
    repository = "https://github.com/a/b"
    links = dict(citing.ways(PUBLIC, repository, "main", "../"))
    assert links["Repository"] == repository
    assert links["Binder"].startswith("https://mybinder.org/v2/gh/a/b/main?")
    assert (ROOT / links["Colab"].split("/blob/main/")[1]).is_file()
    assert links["Download data"] == f"{repository}/tree/main/data"
    elsewhere = dict(citing.ways(PUBLIC, "https://example.org/x", "main", ""))
    assert not {"Binder", "Colab"} & elsewhere.keys()


@pytest.mark.parametrize("cff", [CFF, PUBLIC])
def test_addresses_of_the_citation_file_reach_the_pages(cff, monkeypatch):
    monkeypatch.setattr(metadata, "citation", lambda: cff)
    config = SimpleNamespace(html_baseurl="", html_theme_options={})
    citing.find_addresses(None, config)
    assert config.html_baseurl == cff.get("url", "")
    options = config.html_theme_options
    assert options["repository_url"] == cff.get("repository-code", "")
    assert options["use_repository_button"] == ("repository-code" in cff)


def test_json_ld_of_a_page_cannot_end_its_script():
    config = SimpleNamespace(html_baseurl="", root_doc="book/index")
    context = {"title": "</script><b>", "metatags": ""}
    app = SimpleNamespace(config=config)
    citing.say_what_it_is(app, "book/x", "", context, object())
    head = BeautifulSoup(context["metatags"], "html.parser")
    script = head.find("script", type="application/ld+json").string
    assert json.loads(script)["name"] == context["title"] and not head.find("b")


def test_entries_are_wrapped_without_a_change():
    for text in metadata.bibtex(PUBLIC):
        lines = citing.wrapped(text).split("\n")
        assert max(map(len, lines)) <= 72
        assert " ".join(" ".join(lines).split()) == " ".join(text.split())
