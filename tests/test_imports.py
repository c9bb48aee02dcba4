"""Imports point one way, cost little, and name what they bring."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import version
from pathlib import Path

import pytest

from deblurkit import cli
from deblurkit.options import shipped

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "deblurkit"
FILES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted([*(ROOT / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])

# Higher may import lower, and its own level only within the same part.
LEVELS = [
    {
        "compat",
        "contracts",
        "catalogue",
        "plugins",
        "registry",
        "options",
        "errors",
        "device",
        "allocator",
        "results",
        "costs",
        "files",
        "names",
        "torchfile",
        "checkpoint_format",
        "bounded",
        "images",
        "pretrained",
        "weight_init",
        "inner_outputs",
    },
    {"losses.functional", "losses.views", "metrics", "archs.blocks"},
    {"archs", "discriminators", "losses", "data"},
    {"checkpoint", "weights"},
    {"report", "interop"},
    {"inference"},
    {"exporting"},
    {"inspection"},
    {"evaluation"},
    {"engine"},
    {"quickstart", "doctor", "testing", "new_plugin"},
]
NOTHING_ABOVE_CHECKPOINT = {"report", "interop"}
OUTSIDE = {"cli", "commands", "completion", "__init__", "__main__"}  # the program; the lazy public names


def part_of(module: str) -> str:
    """The layer's name of ``deblurkit.losses.views.sobel`` is ``losses.views``; of most modules their package."""
    names = module.split(".")[1:]
    return ".".join(names[:2]) if ".".join(names[:2]) in LEVELS[1] else names[0]


def level_of(part: str) -> int:
    return next(level for level, parts in enumerate(LEVELS) if part in parts)


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Every module imported at run time, inside functions too."""

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((child.lineno, alias.name) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{file}:{child.lineno}: relative import"
                yield from ((child.lineno, f"{child.module}.{alias.name}") for alias in child.names)
            yield from walk(child)

    return walk(ast.parse(file.read_text(encoding="utf-8")))


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_point_one_way():
    wrong = []
    for file in FILES:
        module = module_of(file)
        if module == "deblurkit" or part_of(module) in OUTSIDE:
            continue
        part, level = part_of(module), level_of(part_of(module))
        for line, name in imports(file):
            if not name.startswith("deblurkit.") or name.startswith("deblurkit.__"):
                continue
            other = part_of(name)
            above = level_of(other) > level or (level_of(other) == level and other != part and level > 0)
            forbidden = part in NOTHING_ABOVE_CHECKPOINT and level_of(other) > level_of("checkpoint") and other != part
            if above or forbidden:
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {part} imports {name}")
    assert not wrong, "\n".join(wrong)


def import_graph() -> dict[str, set[str]]:
    """The modules of the package, each with those that it imports."""
    modules = {module_of(file): file for file in FILES}
    needs: dict[str, set[str]] = {}
    for module, file in modules.items():
        named = [name for _, name in imports(file)]
        # `from deblurkit.errors import UserError` is listed with the imported name at its end
        found = {name if name in modules else name.rpartition(".")[0] for name in named}
        needs[module] = (found & modules.keys()) - {module}
    return needs


def test_no_module_imports_itself_through_others():
    """Imports inside functions count too: a circle that only works by their order is still one."""
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as error:
        pytest.fail(f"each is imported by the next: {', '.join(error.args[1])}")


def test_one_forward_pass_knows_nothing_of_modes():
    package = "deblurkit.inference."
    graph: dict[str, set[str]] = {}
    for module, needed in import_graph().items():
        if module.startswith(package):
            graph[module.removeprefix(package)] = {n.removeprefix(package) for n in needed if n.startswith(package)}
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("forward") < order.index("global_ops") < order.index("tlc") < order.index("restore")
    assert graph["forward"] == set(), "nor of tiles, probes or local means"


def test_options_import_what_the_file_names():
    script = (
        "import sys\nfrom deblurkit.options.load import load_options\nload_options('madn')\n"
        "print(*[name for name in sys.modules if name.partition('.')[0] == 'deblurkit'])"
    )
    loaded = python("-c", script).split()
    assert {"deblurkit.archs.madn", "deblurkit.data.benchmarks.gopro", "deblurkit.losses.adversarial"} <= set(loaded)
    others = ("engine", "evaluation", "inference", "metrics", "report", "data.packing", "data.blur", "archs.nafnet")
    assert not [name for name in loaded if name.startswith(tuple(f"deblurkit.{other}" for other in others))]
    assert len(loaded) <= 67, "half of the 134 that it took to import every component"


def test_no_module_imports_an_extra():
    """basicsr through ``compat.import_basicsr`` alone, which names the extra where it is missing."""
    named = [f"{file}:{line}" for file in FILES for line, name in imports(file) if name.split(".")[0] == "basicsr"]
    assert not named


def test_deblurring_and_testing_need_no_engine():
    script = (
        "import sys, deblurkit.inference.deblurrer, deblurkit.evaluation.evaluate, deblurkit.options.load\n"
        "from deblurkit.registry import ARCHS, LOSSES, METRICS, PROTOCOLS\n"
        "[registry.names() for registry in (ARCHS, LOSSES, METRICS, PROTOCOLS)]\n"
        "print([name for name in sys.modules if name.startswith('deblurkit.engine')])"
    )
    assert python("-c", script) == "[]\n"


def test_report_imports_no_torch():
    for file in (PACKAGE / "report").rglob("*.py"):
        assert not [name for _, name in imports(file) if name.split(".")[0] in ("torch", "torchvision", "mmengine")]
    script = "import sys, pkgutil, importlib, deblurkit.report as r\n"
    script += "[importlib.import_module(f'deblurkit.report.{m.name}') for m in pkgutil.iter_modules(r.__path__)]\n"
    assert python("-c", script + "print('torch' in sys.modules)") == "False\n"


def python(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = {
    "torch", "torchvision", "numpy", "scipy", "skimage", "cv2", "PIL", "mmengine", "pydantic", "rich", "matplotlib",
    "tensorboard", "timm", "onnx", "jinja2",
}  # fmt: skip
"""What a command that computes nothing has no use for; torch alone takes a second and a half."""
COMMANDS = [name for names in cli.GROUPS.values() for name in names]


def imported_by(words: list[str], names: set[str]) -> list[str]:
    """Runs a command in a process of its own; returns which of the modules it imported."""
    watcher = (
        f"import sys\nfrom deblurkit import cli\nsys.argv = ['deblurkit', *{words!r}]\ntry:\n cli.main()\n"
        f"except SystemExit as end:\n assert not end.code\nprint('imported:', *({names!r} & set(sys.modules)))"
    )
    printed, _, found = python("-c", watcher).rpartition("imported:")
    assert printed.strip(), "it prints nothing"
    return found.split()


def test_package_imports_no_heavy_module():
    script = f"import sys, deblurkit; print(dir(deblurkit)); print(sorted({HEAVY!r} & set(sys.modules)))"
    names, loaded = python("-c", script).splitlines()
    assert loaded == "[]"
    assert {"Deblurrer", "build_generator", "evaluate", "load_options", "train"} <= set(ast.literal_eval(names))


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=lambda words: words[0] if words else "all")
def test_help_imports_nothing_heavy(words: list[str]):
    assert not imported_by([*words, "--help"], HEAVY)


@pytest.mark.parametrize(
    "command", ["list", "list generator", "options", "options madn", "options madn --expand", "completion bash"]
)
def test_commands_that_only_look_up_import_nothing_heavy(command: str):
    sections = {"pydantic"} if "madn" in command else set()  # which keys are sections, its schema says
    assert not imported_by(command.split(), HEAVY - sections)


# For the start of a process each of these takes as long as torch itself, or half of that.
SLOW_TO_IMPORT = ("torch._dynamo", "sympy", "torch.distributed.optim", "torch.distributed.fsdp", "torchvision")
NOT_NEEDED_TO_CHECK = (*SLOW_TO_IMPORT, "yapf")
NEED_TORCHVISION = ("deblurgan_v2",)
"""Files whose encoder is torchvision's or, by timm, needs it."""


def test_checking_options_imports_nothing_that_only_what_follows_needs():
    names = [name for name in shipped.names() if not name.startswith(("_base_/", *NEED_TORCHVISION))]
    script = (
        "import sys\nfrom deblurkit import load_options\n"
        f"for name in {names!r}:\n load_options(name)\n"
        f" loaded = [slow for slow in {NOT_NEEDED_TO_CHECK!r} if slow in sys.modules]\n"
        " assert not loaded, f'{name}: {loaded}'"
    )
    assert len(names) > 10
    python("-c", script)


def test_a_training_is_built_and_introduced_before_torchs_compiler_is_imported(tmp_path: Path):
    """Optimizers import it in their first step, which comes after the first lines of the log."""
    script = (
        "import sys, logging\nfrom pathlib import Path\nimport torch\nfrom rich.console import Console\n"
        "from two_pairs import on_two_pairs\nfrom deblurkit.engine.build import Setup\n"
        "from deblurkit.engine.work_dir import WorkDir\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "options = on_two_pairs(folder, {'type': 'FilterBankUNet', 'channels': [4]}, 'tiny')\n"
        "(folder / 'run').mkdir()\n"
        "runner = Setup(options, torch.device('cpu')).runner(WorkDir(folder / 'run'), Console(), None, 'none')\n"
        f"print([slow for slow in {SLOW_TO_IMPORT!r} if slow in sys.modules])"
    )
    printed = python("-c", f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\n{script}")
    assert "training images" in printed
    assert printed.splitlines()[-1] == "[]"


def test_what_the_start_leaves_out_can_be_imported_afterwards():
    script = (
        "import gc, inspect, torch\nfrom deblurkit import load_options\nload_options('madn')\nassert gc.isenabled()\n"
        "assert inspect.unwrap(torch.optim.Optimizer.add_param_group) is not torch.optim.Optimizer.add_param_group\n"
        "from torch.distributed.optim import ZeroRedundancyOptimizer\nimport torch.distributed.fsdp, torch._dynamo\n"
        "assert ZeroRedundancyOptimizer.__mro__[1] is torch.optim.Optimizer\n"
        "from mmengine.config import Config\nassert Config({'a': {'b': 1}}).pretty_text == 'a = dict(b=1)\\n'\n"
        "import yapf\nfrom yapf.yapflib.yapf_api import FormatCode\nprint(yapf.__version__, FormatCode('a=1')[0])"
    )
    assert python("-c", script) == f"{version('yapf')} a = 1\n\n"


def test_public_names_load_on_use_and_others_do_not_exist():
    import deblurkit

    for name in deblurkit.__all__:
        assert getattr(deblurkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        deblurkit.trian  # noqa: B018


@pytest.mark.parametrize(
    "script", [file for file in SCRIPTS if file.parent.name == "tools"], ids=lambda file: file.name
)
def test_help_works_from_anywhere_and_imports_no_torch(tmp_path: Path, script: Path):
    assert "usage: " in python(str(script), "--help", cwd=tmp_path)
    watcher = (
        f"import runpy, sys\nsys.argv = ['x', '--help']\ntry:\n runpy.run_path({str(script)!r}, run_name='__main__')\n"
    )
    watcher += "except SystemExit:\n pass\nprint('torch' in sys.modules)"
    assert python("-c", watcher, cwd=tmp_path).endswith("False\n")


def test_tools_bear_no_standard_modules_name():
    names = {file.stem for file in (ROOT / "tools").glob("*.py")}
    assert names & set(sys.stdlib_module_names) <= {"test"}
    assert "profile" not in names


def test_no_star_imports():
    stars = [f"{file}:{line}" for file in [*FILES, *SCRIPTS] for line, name in imports(file) if name.endswith(".*")]
    assert not stars


@pytest.mark.parametrize("file", [*FILES, *SCRIPTS], ids=lambda file: str(file.relative_to(ROOT)))
def test_files_stay_short(file: Path):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400
