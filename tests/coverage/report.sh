#!/bin/sh
# SPDX-License-Identifier: MIT
# What the tests have run of src/, as counted in a build with --enable-coverage:
# prints a table, writes BUILDDIR/html, and fails below the goals.
set -eu

[ $# -eq 1 ] || { echo "Usage: report.sh BUILDDIR" >&2; exit 64; }
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
lines=95
branches=85

# Not counted: the branches of a failed assert(), and those inside the macros of uthash.
macros='\bassert\(|\bHASH_[A-Z]+( |\()'

# The daemons of other versions (see tests/local.mk) are no part of the program.
rm -f "$build"/src/tests_system_*.gcda

# run TOOL ARGUMENT...: its warnings are shown if it fails.
run() {
    tool=$1
    shift
    "$tool" --rc lcov_branch_coverage=1 --rc "lcov_excl_br_line=$macros" "$@" 2>"$build/coverage.log" ||
        { cat "$build/coverage.log" >&2; exit 1; }
}

# rate KIND: the percentage of lines or branches.
rate() {
    run lcov --summary "$info" | sed -n "s/^ *$1\.*: *\([0-9.]*\)%.*/\1/p"
}

# reached KIND GOAL
reached() {
    awk -v kind="$1" -v rate="$(rate "$1")" -v goal="$2" 'BEGIN {
        ok = rate + 0 >= goal
        printf "%s of %s: %s %%, the goal is %s %%\n", ok ? "ok" : "not ok", kind, rate, goal
        exit !ok
    }'
}

info=$build/coverage.info
run lcov --quiet --capture --directory "$build/src" --include "$source/src/*" -o "$info"
run lcov --list "$info"
run genhtml --quiet --branch-coverage --prefix "$source" --title echod -o "$build/html" "$info"
echo "coverage: $build/html/index.html"
failed=0
reached lines "$lines" || failed=1
reached branches "$branches" || failed=1
exit "$failed"
