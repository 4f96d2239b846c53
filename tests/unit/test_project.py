"""What holds for the whole tree: one import root, what is packed, who imports whom, pure cores, rooms that explain themselves."""

from __future__ import annotations

import ast
import configparser
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import majula
import majula.actors
import majula.api

ROOT = Path(__file__).parents[2]
FOLDERS = {"majula": ROOT / "majula", "majula.actors": ROOT / "actors", "majula.api": ROOT / "api"}
CODE = (*FOLDERS.values(), ROOT / "tests", ROOT / "benchmarks")

# Rooms that may touch the world: the system base, the main process, and what tests run nodes with.
EXEMPT = {"majula.actorsystem", "majula.runner", "majula.testing"}
LINES = 800


def sources(*folders: Path) -> Iterator[Path]:
    """The Python files below the folders. The links `majula/actors` and `majula/api` are not followed: each file comes once."""
    for folder in folders:
        for directory, names, files in os.walk(folder):
            names[:] = sorted(name for name in names if name != "__pycache__")
            yield from (Path(directory, name) for name in sorted(files) if name.endswith(".py"))


def module_name(path: Path) -> str:
    """The import name of a file of the package."""
    root, folder = next((root, folder) for root, folder in reversed(FOLDERS.items()) if path.is_relative_to(folder))
    inner = path.relative_to(folder).with_suffix("").parts
    return ".".join([root, *(part for part in inner if part != "__init__")])


def packages() -> set[str]:
    return {module_name(path) for path in sources(*FOLDERS.values()) if path.name == "__init__.py"}


def settings() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return found


def layers() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def listed(contract: str, key: str) -> set[str]:
    return set(layers()[f"importlinter:contract:{contract}"][key].split())


def rooms() -> set[str]:
    """The direct children of `majula`, single modules such as `majula.errors` too."""
    return {".".join(module_name(path).split(".")[:2]) for path in sources(*FOLDERS.values())} - {"majula"}


# --- one import root


@pytest.mark.parametrize("name", ["actors", "api", "actors.supervisor", "api.sdk"])
def test_folder_cannot_be_imported_by_a_second_name(name: str) -> None:
    with pytest.raises(ImportError, match=r"majula\.(actors|api)"):
        importlib.import_module(name)


def test_no_module_of_the_folders_exists_by_a_second_name() -> None:
    for package in (majula.actors, majula.api):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    assert [name for name in sys.modules if name.split(".")[0] in ("actors", "api")] == []


@pytest.mark.parametrize("name", ["actors", "api"])
def test_folder_is_linked_into_the_package_by_a_relative_link(name: str) -> None:
    assert os.readlink(ROOT / "majula" / name) == f"../{name}"


# --- what is packed


def test_listed_packages_are_those_of_the_tree() -> None:
    expected = sorted(packages())
    assert settings()["packages"] == expected, f"[tool.setuptools] packages = {expected}"


@pytest.mark.slow
@pytest.mark.parametrize("has_links", [True, False], ids=["with links", "links lost, as in a zip"])
def test_built_package_holds_every_module_of_the_tree(tmp_path: Path, has_links: bool) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS.values():
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True, ignore=ignore, dirs_exist_ok=True)
    if not has_links:
        for name in ("actors", "api"):
            (tmp_path / "majula" / name).unlink()
            (tmp_path / "majula" / name).write_text(f"../{name}")
    for name in ("pyproject.toml", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    # What the wheel packs is what build_py lays out; building the wheel itself needs a package that not every installation has.
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", "built"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    built = {str(path.relative_to(tmp_path / "built")) for path in sources(tmp_path / "built")}
    copies = {root: tmp_path / folder.name for root, folder in FOLDERS.items()}
    tree = {str(Path(root.replace(".", "/"), path.relative_to(copy))) for root, copy in copies.items() for path in sources(copy)}
    assert built == tree


# --- rooms explain themselves


@pytest.mark.parametrize(
    "path", sorted(path for path in sources(*FOLDERS.values()) if path.name == "__init__.py"), ids=module_name
)
def test_room_says_what_its_modules_are_for(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert len(text) > 40, f"{path} needs a docstring: what each module is for, in which order to read them"


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in sources(*FOLDERS.values())}
    assert sorted(str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_every_module_has_a_docstring() -> None:
    bare = [path for path in sources(*FOLDERS.values()) if ast.get_docstring(ast.parse(path.read_text())) is None]
    assert [str(path.relative_to(ROOT)) for path in bare] == []


def test_no_file_outgrows_its_subject() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources(*CODE)}
    assert {name: count for name, count in lines.items() if count > LINES} == {}


# --- who imports whom


def test_every_room_has_its_place_in_the_layer_contracts() -> None:
    cores = {room for room in rooms() if room not in EXEMPT | {"majula.actors", "majula.api"}}
    assert listed("pure-cores", "source_modules") == cores
    allowed = {"majula.api", "majula.errors", "majula.messages", "majula.operations", "majula.wire", "majula.flow"}
    assert listed("edges", "forbidden_modules") == rooms() - allowed


@pytest.mark.slow
def test_layer_contracts_hold() -> None:
    pytest.importorskip("importlinter", reason="import-linter belongs to the extra `dev`")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


# --- pure cores


def core_files() -> list[Path]:
    return [path for path in sources(FOLDERS["majula"]) if ".".join(module_name(path).split(".")[:2]) not in EXEMPT]


def impure(path: Path) -> list[str]:
    """What a core does that makes two runs differ or reaches out of the process: ``line: what``."""
    name = module_name(path)
    ignored = {line.split(" -> ")[1] for line in _allowances() if line.split(" -> ")[0] == name}
    banned = listed("pure-cores", "forbidden_modules") - ignored
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in banned | {"random"}]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {alias.name for alias in node.names}
            if module.split(".")[0] in banned or (module == "random" and names != {"Random"}) or module == "urllib.request":
                found.append((node.lineno, f"{module}: {', '.join(sorted(names))}"))
        elif isinstance(node, ast.Call):
            called = (
                node.func.id
                if isinstance(node.func, ast.Name)
                else node.func.attr
                if isinstance(node.func, ast.Attribute)
                else ""
            )
            is_bare = isinstance(node.func, ast.Name)
            if is_bare and called in ("open", "print", "input", "exec", "eval", "breakpoint"):
                found.append((node.lineno, f"{called}()"))
            elif called in ("utcnow", "today") or (called in ("now", "Random") and not node.args and not node.keywords):
                found.append((node.lineno, f"{called}() without an argument"))
    return [f"{line}: {what}" for line, what in found]


def _allowances() -> list[str]:
    lines = layers()["importlinter:contract:pure-cores"]["ignore_imports"].strip().splitlines()
    return [line.strip() for line in lines if " -> " in line]


@pytest.mark.parametrize("path", core_files(), ids=module_name)
def test_core_is_pure(path: Path) -> None:
    assert impure(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "import random",
        "from random import choice",
        "open('x')",
        "datetime.now()",
        "Random()",
        "import os.path",
    ],
)
def test_impure_core_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setitem(FOLDERS, "majula", tmp_path)
    path = tmp_path / "core.py"
    path.write_text(text)
    assert len(impure(path)) == 1


def test_every_allowance_is_still_needed() -> None:
    for line in _allowances():
        source, target = line.split(" -> ")
        text = (FOLDERS["majula"] / Path(*source.split(".")[1:]).with_suffix(".py")).read_text()
        imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in imported if isinstance(node, ast.ImportFrom)}
        assert target in {name.split(".")[0] for name in names}, f"{line}: not needed any more"


def test_every_folder_of_tests_is_a_package() -> None:
    """Else a module in it is imported by two names, and its messages are two classes with one tag."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    folders |= {parent for folder in folders for parent in folder.parents if parent.is_relative_to(ROOT / "tests")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []
