#!/bin/sh
# bench/run.sh [OPTION…]: measure Lockstep beside the programs that people would use instead. --help tells the
# options, README.md the method. Takes the programs from $LOCKSTEP_BIN, or else builds them with the preset release.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${LOCKSTEP_BIN:-}" ]; then
    (cd "$here/.." && cmake --preset release >/dev/null && cmake --build --preset release >/dev/null)
    LOCKSTEP_BIN=$here/../build/release/bin
fi
export LOCKSTEP_BIN
exec python3 -B "$here/bench.py" "$@"
