"""The layers of the package as assertions: who may include or import what, and that stub and module agree."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import seisfast
from seisfast import _C

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "seisfast"
CSRC = ROOT / "csrc"
SOURCES = sorted(p for p in CSRC.rglob("*") if p.suffix in {".h", ".cpp", ".cu", ".cuh"})
MODULES = sorted(PACKAGE.rglob("*.py"))


def tracked_files() -> list[Path]:
    """Files that git follows or would follow."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE)


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything a Python file imports, wherever in the file."""
    package = [*path.relative_to(ROOT).parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def test_only_the_bindings_know_python() -> None:
    assert len(SOURCES) > 5
    knowing = {
        path.relative_to(CSRC).parts[0]
        for path in SOURCES
        for name in includes(path)
        if name.startswith(("pybind11", "Python.h"))
    }
    assert knowing == {"bindings"}


def test_no_kernel_includes_torch() -> None:
    found = {path.name: name for path in SOURCES for name in includes(path) if re.match(r"(torch|ATen|c10)[/.]", name)}
    assert found == {}


def test_only_native_imports_the_extension() -> None:
    importing = {path.relative_to(PACKAGE).as_posix() for path in MODULES if "seisfast._C" in imported_modules(path)}
    assert importing == {"_native.py"}
    loading = [
        path.name for path in MODULES if re.search(r"import_module\(|__import__\(", path.read_text(encoding="utf-8"))
    ]
    assert loading == [], "modules are imported by name, so that this test sees it"


def test_only_the_operators_see_the_native_module() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix() for path in MODULES if "seisfast._native" in imported_modules(path)
    }
    assert {name for name in importing if not name.startswith("ops/")} <= {"engines.py", "cli/info.py"}, (
        "outside ops only what describes the build or the engine"
    )


def test_every_operator_has_its_files() -> None:
    operators = sorted(p.name for p in CSRC.iterdir() if p.is_dir() and p.name not in ("common", "bindings"))
    assert operators
    for name in operators:
        for path in (
            CSRC / name / "params.h",
            CSRC / name / "cpu.cpp",
            PACKAGE / "ops" / f"{name}.py",
            PACKAGE / "reference" / f"{name}.py",
        ):
            assert path.is_file(), f"operator {name} lacks {path.relative_to(ROOT)}"
        assert list((ROOT / "tests").glob(f"test_{name}*.py")), f"operator {name} has no tests/test_{name}*.py"


def test_tests_carry_the_name_of_what_they_test() -> None:
    questions = {"structure", "adjoint", "routing", "physics", "openfwi", "gpu"}  # asked of the whole
    stems = {p.stem for p in MODULES} | {p.name for p in PACKAGE.iterdir() if p.is_dir()} | questions
    names = [path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")]
    assert [name for name in names if not any(f"{name}_".startswith(f"{stem}_") for stem in stems)] == []


def signature(node: ast.FunctionDef) -> tuple[list[tuple[str, str]], list[tuple[str, str]], str]:
    """Positional and keyword-only arguments with their plain types, and the plain type of the result."""

    def plain(annotation: ast.expr | None) -> str:
        assert annotation is not None
        text = ast.unparse(annotation).replace("typing.", "")
        number = {"SupportsInt | SupportsIndex": "int", "SupportsFloat | SupportsIndex": "float"}
        return re.sub(r"\[.*\]$", "", number.get(text, text))

    both = (node.args.posonlyargs + node.args.args, node.args.kwonlyargs)
    positional, keyword = ([(a.arg, plain(a.annotation)) for a in arguments] for arguments in both)
    return positional, keyword, plain(node.returns)


def test_the_stub_matches_the_extension() -> None:
    stub = ast.parse((PACKAGE / "_C.pyi").read_text(encoding="utf-8"))
    written = {node.name: signature(node) for node in stub.body if isinstance(node, ast.FunctionDef)}
    built = {}
    for name, function in vars(_C).items():
        if not name.startswith("_"):
            node = ast.parse(f"def {function.__doc__.splitlines()[0]}: ...").body[0]
            assert isinstance(node, ast.FunctionDef)
            built[name] = signature(node)
    assert written == built


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"', pyproject, re.MULTILINE)
    assert found is not None
    if seisfast.__version__ == "0+unknown":
        pytest.skip("seisfast is on the path but not installed")
    assert seisfast.__version__ == found.group(1)


def test_public_names_are_documented() -> None:
    missing = [name for name in seisfast.__all__ if not (getattr(seisfast, name).__doc__ or "").strip()]
    assert missing == []


IMPORT_EVERYTHING = """
import builtins, pkgutil, sys

plain = builtins.__import__
ALLOWED = {"seisfast", "torch", "numpy"} | set(sys.stdlib_module_names)


def strict(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if level == 0 and importer.split(".")[0] == "seisfast" and name.split(".")[0] not in ALLOWED:
        raise ImportError(f"{importer} imports {name}")
    return plain(name, globals, locals, fromlist, level)


builtins.__import__ = strict
import seisfast

for module in pkgutil.walk_packages(seisfast.__path__, "seisfast."):
    if not module.name.startswith(("seisfast.cli", "seisfast.__main__", "seisfast._C")):
        plain(module.name)
        print(module.name)
"""


def test_importing_needs_only_torch_and_numpy() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EVERYTHING], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert {"seisfast.survey", "seisfast.training", "seisfast.networks"} <= set(run.stdout.split())


def test_no_machine_paths() -> None:
    pattern = re.compile(rb"(?:^|[^a-zA-Z0-9._])" + b"/" + rb"(?:work|home|root|Users)/", re.MULTILINE)
    found = [path.relative_to(ROOT).as_posix() for path in tracked_files() if pattern.search(path.read_bytes())]
    assert found == []


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES + MODULES
        if marks.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_large_or_binary_data_is_tracked() -> None:
    large = [path.relative_to(ROOT).as_posix() for path in tracked_files() if path.stat().st_size > 1024 * 1024]
    arrays = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.suffix in {".npy", ".npz", ".bin", ".sgy", ".pt"}
    ]
    assert (large, arrays) == ([], [])
