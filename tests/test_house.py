"""The rules of the house, checked where a reader would otherwise have to remember them."""

import ast
import graphlib
import re
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import grimp
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from tools.cli import app

PACKAGES = ("controller", "hil", "plant_models", "tools")
LONGEST_FILE_LINES = 400

# Path of a longer file -> why it is still one job.
LONG_FILES: dict[str, str] = {
    "plant_models/flowsheet.py": "one class: the line as a model, with its operating points",
}


def _modules(root: Path) -> list[Path]:
    return sorted(path for name in PACKAGES for path in (root / name).rglob("*.py"))


def _tracked_texts(root: Path) -> dict[str, str]:
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    texts = {}
    for name in filter(None, listing.split("\0")):
        path = root / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            texts[name] = data.decode("utf-8")
    return texts


def _pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): pin for name, pin in (line.split("==") for line in lines)}


def test_the_version_is_the_newest_of_the_changelog(root: Path) -> None:
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == version("twinline")


def test_no_module_repeats_the_version(root: Path) -> None:
    marked = re.compile(r"^__version__\s*[:=]", re.MULTILINE)
    assert [path for path in _modules(root) if marked.search(path.read_text("utf-8"))] == []


def test_the_command_says_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout.strip()) == (0, f"twinline {version('twinline')}")


def test_everything_that_gets_installed_is_pinned_to_what_is_installed(root: Path) -> None:
    pins = _pins(root)
    todo, installed = [("twinline", {"dev"})], {}
    while todo:
        name, extras = todo.pop()
        for line in distribution(name).requires or []:
            need = Requirement(line)
            if need.marker and not any(
                need.marker.evaluate({"extra": extra}) for extra in extras | {""}
            ):
                continue
            key = canonicalize_name(need.name)
            if key not in installed:
                installed[key] = version(key)
                todo.append((key, need.extras))
    assert {key: pins.get(key) for key in installed} == installed


def test_constraints_hold_names_and_exact_versions_only(root: Path) -> None:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []


def test_every_module_has_a_docstring(root: Path) -> None:
    silent = [
        path for path in _modules(root) if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_long_files_are_listed_with_their_reason(root: Path) -> None:
    lengths = {
        path.relative_to(root).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in _modules(root)
    }
    long = {name for name, lines in lengths.items() if lines > LONGEST_FILE_LINES}
    assert long == set(LONG_FILES)
    assert all(LONG_FILES.values())


def test_import_rules_hold(root: Path) -> None:
    """In a process of its own: the tool turns off every logger that it does not know."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_imports_itself_in_a_circle() -> None:
    """Finer than the contract: a package and its own modules count too."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()


def test_no_tracked_text_names_a_machine_or_a_registry(root: Path) -> None:
    machine = r"(?<![\w.:/~-])/(?:home|root|Users|opt|tmp|work)/\w"
    hosts = ("py" + "pi.org", "python" + "hosted", "npm" + "js", "art" + "ifactory")
    options = ("index" + "-url", "find" + "-links")
    forbidden = re.compile("|".join([machine, *map(re.escape, hosts + options)]))
    found = [
        f"{name}: {hit[0]}"
        for name, text in _tracked_texts(root).items()
        if (hit := forbidden.search(text))
    ]
    assert found == []
