#!/usr/bin/env bash
# What only a GPU can show, in stages of a few minutes each: build, tests marked gpu, compute-sanitizer,
# benchmarks; a short table comes last. Needs nvcc, CMake, ninja, and a Python with torch (CUDA), pybind11 and pytest.
#
#   bash bench/gpu.sh                 all stages
#   bash bench/gpu.sh build test      some of them: build, test, sanitize, bench
#
# OUT (default runs/gpu) receives the logs and results.md; ARCH (default 90a) is the architecture to build for.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-runs/gpu}
arch=${ARCH:-90a}
python=${PYTHON:-python3}
mkdir -p "$out"
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE
stages=${*:-build test sanitize bench}

build() {
    cmake -S . -B build/gpu -G Ninja -DSEISFAST_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$arch" \
        -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)"
    cmake --build build/gpu
    cp build/gpu/_C*.so seisfast/
    "$python" -c 'from seisfast import _native; print(_native.build_info())'
}

gpu_test() {
    "$python" -m pytest -q -m gpu -p no:cacheprovider tests/test_gpu.py
}

sanitize() {
    for tool in memcheck racecheck initcheck; do
        echo "== compute-sanitizer $tool"
        compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
            "$python" bench/gpu_small.py
    done
}

gpu_bench() {
    {
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
        "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
        "$python" bench/bench_acoustic.py --device cuda --shots 132
    } | tee "$out/results.md"
}

for stage in $stages; do
    echo "=== $stage"
    start=$SECONDS
    case $stage in
        build) build ;;
        test) gpu_test ;;
        sanitize) sanitize ;;
        bench) gpu_bench ;;
        *) echo "unknown stage $stage: build, test, sanitize, bench" >&2; exit 2 ;;
    esac 2>&1 | tee "$out/$stage.log"
    echo "=== $stage done in $((SECONDS - start)) s"
done
test -s "$out/results.md" && { echo; cat "$out/results.md"; } || true
