"""For MkDocs: the pages that lie above docs/ belong to the site as well, and links between them and the others work."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# File of the repository -> page of the site.
ABOVE = {
    "README.md": "project/overview.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "LICENSE": "project/licence.md",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.S | re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, page in ABOVE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        if not name.endswith(".md"):
            text = f"# Licence\n\n```text\n{text}\n```\n"
        files.append(File.generated(config, page, content=_moved(text, "", page)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    place = page.file.src_uri
    if place in ABOVE.values():
        return markdown
    return _moved(markdown, posixpath.dirname(f"docs/{place}"), place)


def _moved(text: str, folder: str, page: str) -> str:
    """The text of a file in that folder of the repository with its links as its page of the site needs them."""
    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(lambda found: _link(found, folder, page), part) for part in parts[::2]]
    return "".join(parts)


def _link(found: re.Match[str], folder: str, page: str) -> str:
    picture, words, link = found.groups()
    path, mark, anchor = link.partition("#")
    if not path or re.match(r"[a-z]+:", link):
        return found.group(0)
    target = posixpath.normpath(posixpath.join(folder, path))
    if target in ABOVE:
        target = ABOVE[target]
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/")
    elif (ROOT / target).exists():  # code: whoever reads the site has none beside it
        return f"{words} (`{target}`)"
    else:
        return found.group(0)  # leads nowhere, as MkDocs will say
    return f"{picture}[{words}]({os.path.relpath(target, posixpath.dirname(page) or '.')}{mark}{anchor})"
