"""Sphinx: `python -m sphinx -W -b html docs site/html`."""

from importlib.metadata import version as version_of

project = "knockguard"
author = "the knockguard authors"
version = release = version_of("knockguard")
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["generated/*", "performance/*"]  # included by the pages that show them
html_theme = "furo"
html_title = f"knockguard {version}"
html_copy_source = False
html_show_sphinx = False
