"""Every build of the evaluator gives the same bits; each uses the registers that it may."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from smcloud.models import forest_vectors
from tests.models import predict_apart
from tests.models.trees import N_FEATURES, assert_as_xgboost, columns_around, grown

HOST = llvm.get_host_cpu_features()
IS_X86 = llvm.get_default_triple().startswith("x86_64")
SSE2 = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse,+sse2"}
AVX2 = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx,+avx2"}
AVX512: dict[str, str] = {}
"""What numba finds out by itself."""
SMALL = {"depth": 1, "rounds": 4}
"""Compiled soon."""
SIX = {"depth": 6, "rounds": 18}
"""What the CPU of this machine takes is tested at every depth elsewhere."""
DEEP = {"depth": 10, "rounds": 18}
"""All pieces at once: its subtrees of 8 levels are joined, in several groups of trees."""
ROOT = Path(predict_apart.__file__).parents[2]


def only_if(has):
    return pytest.mark.skipif(not has, reason="this CPU has no such instructions")


def predict_apart_in(folder, model, cache, **environment):
    """Predict in another process and compare; return what it told, and its log."""
    booster = grown(**model)
    columns = columns_around([np.linspace(-2, 2, 200, dtype=np.float32)] * N_FEATURES, 4700, 5)
    np.save(folder / "columns.npy", columns)
    booster.save_model(folder / "model.ubj")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.predict_apart", str(folder)],
        env={**plain, **environment, "NUMBA_CACHE_DIR": str(cache)},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_as_xgboost(np.load(folder / "found.npy"), booster, columns)
    return json.loads((folder / "told.json").read_text()), done.stderr


@pytest.mark.parametrize(
    ("environment", "model", "registers"),
    [
        pytest.param(SSE2, DEEP, "xmm", marks=only_if(IS_X86)),
        pytest.param(AVX2, SIX, "ymm", marks=only_if(HOST.get("avx2"))),
        pytest.param(AVX512, SIX, "zmm", marks=only_if(HOST.get("avx512f"))),
    ],
)
def test_each_build_uses_its_registers_and_gives_the_same_bits(
    tmp_path, environment, model, registers
):
    told, _ = predict_apart_in(tmp_path, model, tmp_path / "cache", **environment)
    assert told["widest"] == registers
    assert told["groups"] > 1


def test_a_second_process_compiles_nothing(tmp_path):
    first, _ = predict_apart_in(tmp_path, SMALL, tmp_path / "cache")
    second, log = predict_apart_in(tmp_path, SMALL, tmp_path / "cache")
    assert (first["hits"], second["misses"]) == (0, 0)
    assert 0 < second["hits"] <= first["misses"]
    assert log == ""


def test_without_a_cache_it_predicts_all_the_same(tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    told, log = predict_apart_in(tmp_path, SMALL, tmp_path / "cache")
    assert told["hits"] == 0
    assert log.count("compiled code cannot be kept") == 1


PIECES = {
    "tree": (3, lambda builder, args, lanes: forest_vectors.emit_tree(builder, args, 8, lanes)),
    "bytes": (2, forest_vectors.emit_bytes),
    "choice": (4, forest_vectors.emit_choice),
    "union": (4, forest_vectors.emit_running_union),
}


def assembly(triple, cpu, lanes):
    """Return the assembly of each piece for a CPU, which need not be this one."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"llvmlite here compiles nothing for {triple}")
    machine = target.create_target_machine(cpu=cpu, opt=3)
    found = {}
    for name, (n_args, emit) in PIECES.items():
        module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * n_args)
        function = ir.Function(module, kind, f"piece_{name}")
        builder = ir.IRBuilder(function.append_basic_block())
        emit(builder, function.args, lanes)
        builder.ret_void()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        found[name] = machine.emit_assembly(parsed)
    return found


@pytest.mark.parametrize("cpu", ["znver4", "skylake-avx512", "icelake-server", "sapphirerapids"])
def test_avx512_has_whole_row_masks_and_three_way_logic(cpu):
    """Intel's CPUs too, whose compilers prefer 256 bits where they choose the width themselves."""
    for name, code in assembly("x86_64-unknown-linux-gnu", cpu, 8).items():
        assert "%zmm" in code
        assert "%ymm" not in code
        assert ("vpternlog" in code) == (name in ("tree", "bytes", "choice"))
        assert "(%rsp)" not in code, "registers are spilled"


def test_avx2_and_sse2_use_all_that_they_have():
    for code in assembly("x86_64-unknown-linux-gnu", "x86-64-v3", 4).values():
        assert "%ymm" in code
        assert "%zmm" not in code
    for code in assembly("x86_64-unknown-linux-gnu", "x86-64", 2).values():
        assert "%xmm" in code
        assert "%ymm" not in code


def test_neon_has_vector_logic():
    code = assembly("aarch64-unknown-linux-gnu", "neoverse-n1", 2)
    choices = re.compile(r"\b(bif|bit|bsl|eor|and)\tv\d+\.16b")
    assert len(choices.findall(code["tree"])) > 247  # choices of a tree of 8 levels, one stripe
    assert choices.search(code["choice"])
    assert re.search(r"\borr\tv\d+\.16b", code["union"])
    assert re.search(r"\bushr\tv\d+\.2d", code["bytes"])


@pytest.mark.parametrize(
    ("features", "lanes"),
    [
        ("+sse2,+avx,+avx2,+avx512f", 8),
        ("+sse2,+avx,+avx2,-avx512f", 4),
        ("+avx2", 4),
        ("+sse2,-avx,-avx2,-avx512f", 2),
        ("+neon", 2),
        ("", 2),
    ],
)
def test_vectors_are_as_wide_as_the_registers(features, lanes):
    assert forest_vectors.lanes_for(features) == lanes
