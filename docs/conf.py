"""Sphinx configuration: interface from docstrings, examples as a gallery, every warning an error."""

from __future__ import annotations

import os
from datetime import date
from typing import Any

import seisfast

# The gallery draws into files, and two examples at once would share the cores.
os.environ.setdefault("MPLBACKEND", "Agg")

project = "seisfast"
author = "seisfast contributors"
copyright = f"{date.today().year}, {author}"
version = release = seisfast.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
default_role = "code"
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "examples"]

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autosummary_generate = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]

html_theme = "furo"
html_title = f"seisfast {version}"

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 1,
    "show_memory": False,
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "show_signature": False,
}


def tables_from_markdown(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings write tables as Markdown does, which a terminal shows well; Sphinx wants directives."""
    written = lines.copy()
    lines.clear()
    inside = False
    for line in written:
        text = line.strip()
        if not text.startswith("|"):
            inside = False
            lines.append(line)
        elif not text.strip("|-: "):
            continue
        else:
            if not inside:
                lines += ["", ".. list-table::", "   :header-rows: 1", ""]
            inside = True
            first, *others = (cell.strip() for cell in text.strip("|").split(" | "))
            lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def without_places_in_a_tuple(_app: Any, _what: str, _name: str, thing: Any, _skip: bool, _options: Any) -> bool | None:
    """The fields of a named tuple are described as its arguments; their own text is "alias for field number"."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", without_places_in_a_tuple)
    app.connect("autodoc-process-docstring", tables_from_markdown)
