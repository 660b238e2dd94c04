#!/usr/bin/env bash
# What only a GPU can show, in stages that each end within ten minutes; a short table comes last. Needs nvcc, CMake,
# ninja, and a Python with torch (CUDA), pybind11 and pytest; nothing is fetched.
#
#   bash bench/gpu.sh                   all stages: build, test, sanitize, bench, features, training, data, parts, profile
#   bash bench/gpu.sh build test        some of them
#
# OUT (default runs/gpu)   receives STAGE.log, tables (results.md, features.md, training.md, data.md, parts.md), summary.txt
# ARCH (default 90a)       the architecture to build for
# PYTHON (default python3)
# PEERS (default .gpu)     a folder with deepwave and sweep, unpacked or as NAME.tar.xz; ignored by git, and may be absent
# LIMIT (default 570)      seconds that a stage may take
# shellcheck disable=SC2329  # stages are called by name
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-runs/gpu}
arch=${ARCH:-90a}
python=${PYTHON:-python3}
peers=${PEERS:-.gpu}
limit=${LIMIT:-570}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE

left() { # seconds that this stage still has, at least one
    local seconds=$((limit - SECONDS + started))
    echo $((seconds > 1 ? seconds : 1))
}

line() { # a line of the summary
    echo "$*" >>"$out/summary.txt"
}

stage_build() {
    timeout "$(left)" cmake -S . -B build/gpu -G Ninja -DSEISFAST_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$arch" \
        -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)"
    timeout "$(left)" cmake --build build/gpu
    cp build/gpu/_C*.so seisfast/
    "$python" -c 'from seisfast import _native; print(_native.build_info())'
    "$python" -c 'from seisfast.engines import describe_engine; print(describe_engine((100, 100)))'
}

stage_test() {
    local files code failed=0
    "$python" -c 'import torch; from seisfast import _native
assert torch.cuda.is_available() and _native.build_info()["cuda"], "no GPU, or an extension without CUDA"'
    for files in "tests/test_gpu_features.py tests/test_gpu_features_norm.py" \
        "tests/test_gpu_features_routing.py tests/test_gpu_features_network.py tests/test_gpu_training.py \
tests/test_data_prefetch.py" \
        "tests/test_gpu.py tests/test_gpu_engines.py tests/test_gpu_derivatives.py"; do
        code=0
        # shellcheck disable=SC2086  # a list of files
        timeout "$(left)" "$python" -m pytest -q -m gpu -p no:cacheprovider --durations=5 --tb=short --maxfail=40 \
            $files >"$work/pytest.txt" 2>&1 || code=$?
        cat "$work/pytest.txt"
        line "test: $files: $(tail -n 1 "$work/pytest.txt")"
        [ "$code" = 0 ] || failed=1
    done
    return "$failed"
}

# A tool may not know clusters: they run by themselves, so that what it says of the others counts.
stage_sanitize() {
    local tool engines code failed=0
    for tool in memcheck racecheck synccheck initcheck; do
        for engines in "features" "resident tiled plain" "cluster" "features-cluster"; do
            echo "== compute-sanitizer $tool: $engines"
            code=0
            # Without torch's cache every tensor is an allocation of its own, so that reads beyond one are seen.
            # shellcheck disable=SC2086  # a list of engines
            PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout "$(left)" compute-sanitizer --tool "$tool" --error-exitcode 9 \
                --print-limit 5 "$python" bench/gpu_small.py $engines >"$work/tool.txt" 2>&1 || code=$?
            cat "$work/tool.txt"
            case $code in
                0) line "sanitize: $tool, $engines: clean" ;;
                124) line "sanitize: $tool, $engines: not finished in time" ;;
                *) line "sanitize: $tool, $engines: exit $code, $(tail -n 1 "$work/tool.txt")" ;;
            esac
            [ "$code" = 0 ] || failed=1
        done
    done
    return "$failed"
}

heading() { # what a table needs above it
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
    "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
}

stage_bench() {
    local code=0 archive
    mkdir -p "$work/peers"
    for archive in "$peers"/*.tar.xz; do
        if [ -e "$archive" ]; then tar -xJf "$archive" -C "$work/peers"; fi
    done
    {
        heading
        PYTHONPATH=$PYTHONPATH:$work/peers:$peers timeout "$(left)" "$python" bench/bench_acoustic.py --device cuda \
            --repeats 5 --seconds "$(($(left) - 90))" || code=$?
    } >"$out/results.md"
    line "bench: exit $code, table in results.md"
    return "$code"
}

stage_features() {
    local code=0
    {
        heading
        timeout "$(left)" "$python" bench/bench_features.py --device cuda --batch 12 --repeats 20 \
            --seconds "$(($(left) - 60))" || code=$?
    } >"$out/features.md"
    line "features: exit $code, table in features.md"
    return "$code"
}

stage_training() {
    local code=0
    {
        heading
        timeout "$(left)" "$python" bench/bench_training.py --device cuda --batch 12 64 256 \
            --precision float32 tf32 bf16 --seconds "$(($(left) - 90))" || code=$?
    } >"$out/training.md"
    line "training: exit $code, table in training.md"
    return "$code"
}

stage_data() {
    local code=0
    {
        heading
        timeout "$(left)" "$python" bench/bench_data.py --device cuda --seconds "$(($(left) - 180))" || code=$?
        timeout "$(left)" "$python" bench/bench_storage.py --count 200 || code=$?
    } >"$out/data.md"
    line "data: exit $code, table in data.md"
    return "$code"
}

stage_parts() {
    local code=0
    timeout "$(left)" "$python" bench/bench_parts.py --device cuda --precision float32 tf32 bf16 --repeats 10 \
        >"$out/parts.md" || code=$?
    line "parts: exit $code, table in parts.md, which bench_parts.py --read draws"
    return "$code"
}

watch() { # ENGINE WHAT KERNEL SKIP: one launch of a kernel by ncu, the whole report in the log
    timeout "$(left)" ncu --clock-control none --kernel-name "regex:$3" --launch-skip "$4" --launch-count 1 \
        --section SpeedOfLight --section SchedulerStats --section WarpStateStats --section MemoryWorkloadAnalysis \
        --section LaunchStats --section Occupancy --print-details all \
        "$python" bench/gpu_small.py --profile "$1" | tee "$work/ncu.txt"
    line "profile: $1, $2"
    grep -E '^ +(Duration|Compute \(SM\) Throughput|L1/TEX Cache Throughput|DRAM Throughput|Registers Per Thread|No Eligible|Issued Warp Per Scheduler|Mem Pipes Busy|Mem Busy|Dynamic Shared Memory Per Block|Local .*Spill.*) ' \
        "$work/ncu.txt" >>"$out/summary.txt" || true
}

# Kernels go forward, adjoint, forward, adjoint: the second of each. Of the norm, run_job is a job of its own for sums,
# their merging and the result: with channels last three forward and three in the adjoint.
stage_profile() {
    watch resident forward chunk_kernel 2
    watch resident adjoint chunk_kernel 3
    watch features "embedding, forward" gather_kernel 2
    watch features "embedding, adjoint" gather_kernel 3
    watch features "norm with channels last, sums" run_job 0
    watch features "norm with channels last, result" run_job 2
}

: >"$out/summary.txt"
status=0
[ $# -gt 0 ] || set -- build test sanitize bench features training data parts profile
for stage in "$@"; do
    case $stage in
        build | test | sanitize | bench | features | training | data | parts | profile) ;;
        *) echo "unknown stage $stage: build, test, sanitize, bench, features, training, data, parts, profile" >&2; exit 2 ;;
    esac
    echo "=== $stage"
    started=$SECONDS
    code=0
    # A subshell of its own, outside any condition, so that `set -e` holds inside it.
    set +e
    (set -euo pipefail; "stage_$stage") 2>&1 | tee "$out/$stage.log"
    code=${PIPESTATUS[0]}
    set -e
    line "$stage: exit $code after $((SECONDS - started)) s"
    [ "$code" = 0 ] || status=1
    if [ "$stage" = build ] && [ "$code" != 0 ]; then break; fi
done
echo
for table in results features training data parts; do
    if [ -s "$out/$table.md" ]; then cat "$out/$table.md"; echo; fi
done
cat "$out/summary.txt"
exit "$status"
