"""What a source archive holds, and that names of environments in the pages exist."""

import configparser
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
in_repository = pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="compares with the repository")


@pytest.mark.slow
@in_repository
def test_the_source_archive_is_complete(tmp_path):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.splitlines()
    for name in listed:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "tree" / name)
    subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], cwd=tmp_path / "tree",
                   capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    assert set(listed) <= held, sorted(set(listed) - held)


def test_the_pages_name_environments_that_exist():
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    environments = {name.removeprefix("testenv:") for name in tox.sections()}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    named = {name for page in pages
             for name in re.findall(r"tox (?:run )?-e (\w+)", page.read_text(encoding="utf-8"))}
    assert named and named <= environments
