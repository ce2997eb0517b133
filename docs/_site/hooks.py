"""What the site needs beside the pages: the project's own files, and a reference of all names.

The pages link to files of the project that lie outside `docs`, as readers of a clone need it.
Here those files come to the site: texts as pages, scripts as downloads.
"""

import importlib
import inspect
import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "develop/contributing.md",
         "CHANGELOG.md": "changelog.md", "docs/README.md": "pages.md"}
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)((?:#[^)\s]*)?\))")
BUILDERS = "explainers"
TITLES = {
    BUILDERS: "Builders of explained models", "audio": "Sounds", "auditing": "The audit",
    "callbacks": "Callbacks", "concepts": "Concepts", "error_analysis": "Error analysis",
    "exporting": "Export", "images": "Pictures", "lime": "LIME", "linear": "Linear models",
    "metrics": "Metrics", "plots": "Figures", "serving": "Serving",
    "superpixels": "Superpixels", "tables": "Tables", "targets": "Targets", "text": "Texts",
    "training_examples": "Training examples"}


def on_files(files, config):
    """Add the project's texts, the scripts that pages link to, and the reference."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source == "docs/README.md":
            files.remove(files.get_file_from_path("README.md"))
        files.append(File.generated(config, page, content=move_links(text, source, page)))
    for script in sorted(find_scripts()):
        files.append(File.generated(config, script, abs_src_path=str(ROOT / script)))
    reference = write_reference()
    for page, text in reference.items():
        files.append(File.generated(config, page, content=text))
    for entry in config.nav:
        if entry.get("Reference"):
            entry["Reference"] = ["reference/index.md", *(p for p in reference if "index" not in p)]
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links out of `docs` to where those files lie on the site."""
    if page.file.src_uri in PAGES.values() or page.file.generated_by:
        return markdown
    return move_links(markdown, "docs/" + page.file.src_uri, page.file.src_uri)


def on_post_page(output, page, config):
    """Let the links of tutorials, which stay links to files in a notebook, lead to pages."""
    if page.file.src_uri.endswith(".ipynb"):
        output = re.sub(r'href="(?!https?:)([\w./]+)\.(?:md|ipynb)(#[\w-]+)?"',
                        lambda m: f'href="{m[1]}.html{m[2] or ""}"', output)
    return output


def move_links(text, source, page):
    """Write the links of a file of the project as they are on the site."""
    def move(match):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        target = PAGES.get(target, target.removeprefix("docs/"))
        if target in ("docs", "."):
            target = PAGES["docs/README.md"]
        if target == "LICENSE":
            return "](https://www.apache.org/licenses/LICENSE-2.0)"
        return match[1] + posixpath.relpath(target, posixpath.dirname(page) or ".") + match[3]
    return LINK.sub(move, text)


def find_scripts():
    """The scripts outside `docs` that pages link to, relative to the project."""
    for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md",))]:
        source = path.relative_to(ROOT).as_posix()
        for _, link, _ in LINK.findall(path.read_text(encoding="utf-8")):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
            if target.startswith(("examples/", "benchmarks/")) and (ROOT / target).is_file():
                yield target


def find_names():
    """{page: {name as users write it: where it is defined}}, read from the package's stub."""
    stub = (ROOT / "keras_explain" / "__init__.pyi").read_text(encoding="utf-8")
    pages = {}
    for name in re.findall(r"^from \. import (\w+) as \1$", stub, re.M):
        package = importlib.import_module(f"keras_explain.{name}")
        own = getattr(package, "__all__", None) or [n for n in dir(package) if n[0] != "_"]
        found = {f"{name}.{n}": getattr(package, n) for n in own}
        pages.setdefault(name, {}).update(
            {n: path_of(x) for n, x in found.items() if callable(x)})
    for module, name in re.findall(r"^from \.([\w.]+) import (\w+) as \2$", stub, re.M):
        page = pages.setdefault(module.split(".")[0], {})
        path = f"keras_explain.{module}.{name}"
        for other in [n for n, p in page.items() if p == path]:
            del page[other]  # the short name is the one to show
        page[name] = path
    return pages


def path_of(found):
    return f"{inspect.getmodule(found).__name__}.{found.__qualname__}"


def write_reference():
    """{page: its Markdown}: one page for each package, one heading for each public name."""
    pages, shown, told = {}, [], set()
    for package, names in sorted(find_names().items(), key=lambda item: title_of(item[0])):
        page = f"reference/{package}.md"
        names = {n: path for n, path in names.items() if path not in told}
        told.update(names.values())
        parts = [f"# {title_of(package)}\n", package_doc(package)]
        for name, path in sorted(names.items()):
            parts.append(f"::: {path}\n    options:\n      heading: kx.{name}\n"
                         f"      toc_label: {name.split('.')[-1]}\n")
        pages[page] = "\n".join(parts)
        links = ", ".join(f"[`{n}`][{path}]" for n, path in sorted(names.items()))
        shown.append(f"| [{title_of(package)}]({package}.md) | {links} |")
    pages["reference/index.md"] = "\n".join([
        "# Reference\n", "Every public name, `import keras_explain as kx`.\n",
        "| page | names |", "|---|---|", *shown, ""])
    return pages


def title_of(package):
    return TITLES.get(package, package.replace("_", " ").capitalize())


def package_doc(package):
    doc = inspect.getdoc(importlib.import_module(f"keras_explain.{package}")) or ""
    return doc.partition("\n\n")[0] + "\n" if package != BUILDERS else (
        "Each takes a built `keras.Model` and returns an explained one.\n")
