#!/usr/bin/env bash
# Runs the daemon and the replicas of the tests below under valgrind's memcheck: an error of memory, or a block that nothing points to at
# the end, makes the process end with 99, which the tests see, and is printed. Takes a few minutes; not part of ctest, whose programs are
# built with AddressSanitizer, which valgrind cannot run.
#
#   tests/valgrind.sh [-DNAME=VALUE...]      (options for cmake, such as LOCKSTEP_SQLITE_DIR)
#
# Left out are tests that measure memory, time or the loop, which under valgrind are not what they are.
# Suppressed: see valgrind.supp, which says why.
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset valgrind "$@" >/dev/null
cmake --build --preset valgrind

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/logs"
for program in lockstep lockstep-origin; do
    cat >"$work/bin/$program" <<END
#!/bin/sh
exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible \\
    --errors-for-leak-kinds=definite,indirect,possible --track-fds=no --num-callers=30 --fair-sched=yes \\
    --suppressions="$PWD/tests/valgrind.supp" --log-file="$work/logs/%p" "$PWD/build/valgrind/bin/$program" "\$@"
END
    chmod +x "$work/bin/$program"
done

status=0
cd tests/daemon
LOCKSTEP_BIN="$work/bin" LOCKSTEP_SOURCE="$PWD/../.." PYTHONPATH=.. python3 -B -m unittest -v \
    test_daemon.Sync test_daemon.Turns test_daemon.Reload test_daemon.Stop \
    test_strangers.Strangers.test_nothing_is_told_to_who_is_not_known \
    test_strangers.Strangers.test_with_tokens_a_certificate_is_not_needed_but_something_is \
    test_strangers.Strangers.test_who_is_known_is_told test_strangers.Strangers.test_a_header_of_4_gb_behind_open \
    test_strangers.Strangers.test_half_open test_strangers.Strangers.test_a_client_that_is_killed_frees_its_snapshot \
    test_operations test_http.Requests test_http.Metrics test_http.Health || status=$?
for log in "$work"/logs/*; do
    if [ -s "$log" ]; then
        echo "---- $log"
        cat "$log"
        status=1
    fi
done
[ "$status" = 0 ] && echo "valgrind found nothing"
exit "$status"
