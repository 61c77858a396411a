#!/usr/bin/env bash
# gpu_visit.sh [PART ...]: all that has to be learnt of a GPU in one visit of a few minutes, without a package index.
#
# Parts, in this order: setup tests parity sanitizer epoch phases topk closed-form longest; and lab, which
# times the variants of kernels. Each writes its output to
# OUT/PART.log as it goes, and OUT/results.tar is made anew when a part ends, so that a visit cut short has lost nothing.
# A part that fails doesn't stop those after it; the exit code is the number of parts that failed.
#
# Needs Python 3.11 or newer with NumPy, SciPy, Numba, CuPy, pytest and hypothesis; PyTorch, compute-sanitizer and ncu
# are used where they are. Environment: PYTHON, the command that runs Python (default python3; an emulator's works too);
# OUT, the folder for results (default benchmarks/results/gpu/visit); VISIT_DATA, data sets to compare both devices on;
# VISIT_OPTIONS, options for benchmarks/gpu.py; VISIT_WORKERS and VISIT_TESTS, processes that run tests (default 8) and
# the seconds given to them (default 240); VISIT_SANITIZER, the seconds for each of its tools (default 100).
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-python3}
out=${OUT:-$root/benchmarks/results/gpu/visit}
mkdir -p "$out" && out=$(cd "$out" && pwd)
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
failed=0

# The package where kernels/ is part of it: an installation without an index, or a copy where even that can't be made.
setup() {
    nvidia-smi 2>&1 | head -n 15 || true
    $python -m pip list 2>/dev/null | grep -i -E '^(numpy|scipy|numba|cupy|torch|pytest|hypothesis|faiss|cuvs|implicit)' || true
    if timeout 90 $python -m pip install --quiet --no-index --no-deps --no-build-isolation --target "$site" . 2>"$out/pip.log"; then
        echo "installed without an index"
    else
        echo "pip can't install here (pip.log): a copy in its place"
        rm -rf "${site:?}"/* && cp -r milk_np "$site/" && cp -r kernels "$site/milk_np/kernels"
    fi
    rm -rf build ./*.egg-info
    cd "$site" && $python -m milk_np.cli.doctor
}

# All tests on the device. None may be skipped: those for an emulator alone aren't even collected here.
tests() {
    cd "$site"
    export MILK_REQUIRE_GPU=1
    local many=()
    if $python -m pip show --quiet pytest-xdist 2>/dev/null; then many=(-n "${VISIT_WORKERS:-8}"); fi
    timeout "${VISIT_TESTS:-240}" $python -m pytest -q -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider -p no:benchmark -m gpu \
        "${many[@]}" --durations=8 "$root/tests/gpu" >"$out/tests.txt" 2>&1
    local code=$?
    tail -n 60 "$out/tests.txt"
    if grep -q -E '[0-9]+ skipped' "$out/tests.txt"; then
        echo "a test was skipped, which counts as a failure"
        return 1
    fi
    return $code
}

parity() {
    # shellcheck disable=SC2086 # one word for each data set
    timeout 120 $python benchmarks/gpu_against_cpu.py ${VISIT_DATA:-}
}

sanitizer() {
    command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer isn't here"; return 1; }
    local code=0
    for tool in memcheck racecheck; do
        echo "-- $tool"
        timeout "${VISIT_SANITIZER:-100}" compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 \
            $python tests/gpu/sweep.py 2>&1 | grep -v -E '^$' | tail -n 40 || code=1
    done
    return $code
}

# shellcheck disable=SC2086 # one word for each option
benchmark() { timeout 150 $python benchmarks/gpu.py --only "$1" ${VISIT_OPTIONS:-}; }

lab() { timeout 60 $python benchmarks/gpu_products.py; timeout 75 $python benchmarks/gpu_topk.py; }

longest() {
    command -v ncu >/dev/null || { echo "ncu isn't here"; return 1; }
    timeout 100 ncu --csv --page raw --clock-control none --metrics "$($python benchmarks/gpu_longest.py metrics)" \
        --log-file "$out/ncu.csv" $python benchmarks/gpu_longest.py run || return 1
    $python benchmarks/gpu_longest.py table "$out/ncu.csv"
}

part() {
    local name=$1 start=$SECONDS code=0
    shift
    printf '\n== %s\n' "$name"
    ("$@") 2>&1 | tee "$out/$name.log" || code=${PIPESTATUS[0]}
    if [ "$code" = 5 ] && grep -q "on an emulator" "$out/$name.log"; then
        code=0 # checked; only a real device can be timed
    fi
    printf '== %s: %s in %d s\n' "$name" "$([ "$code" = 0 ] && echo done || echo "FAILED ($code)")" $((SECONDS - start)) |
        tee -a "$out/$name.log"
    [ "$code" = 0 ] || failed=$((failed + 1))
    tar -cf "$out/results.tar" --exclude=results.tar --exclude=visit -C "$root/benchmarks/results" gpu -C "$out" . 2>/dev/null
}

for name in "${@:-setup tests parity sanitizer epoch phases topk closed-form longest}"; do
    for each in $name; do
        case $each in
        epoch | phases | topk | closed-form) part "$each" benchmark "$each" ;;
        setup | tests | parity | sanitizer | longest | lab) part "$each" "$each" ;;
        *) echo "gpu_visit.sh: no part $each" >&2 && exit 2 ;;
        esac
    done
done
printf '\n%d parts failed; %d s in all; results in %s\n' "$failed" "$SECONDS" "$out"
exit "$failed"
