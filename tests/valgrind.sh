#!/usr/bin/env bash
# Runs the daemon of the tests below under valgrind's memcheck: an error of memory, or a block that nothing points to at the end, makes it
# end with 99, which the tests see, and is printed. Takes about two minutes; not part of ctest, whose programs are built with AddressSanitizer,
# which valgrind cannot run.
#
#   tests/valgrind.sh [-DNAME=VALUE...]                  options for cmake, such as LOCKSTEP_SQLITE_DIR
#   TESTS="test_http test_line" tests/valgrind.sh        other tests of tests/daemon
#   PROGRAMS="lockstep lockstep-origin" tests/valgrind.sh    the replicas as well, which takes four times as long
#
# Needs Debian's package valgrind beside those of `tools/install-deps.sh build test`. The counterpart for races between threads:
#
#   cmake --preset tsan && cmake --build --preset tsan && ctest --preset tsan -R "^(daemon|sync)/"
#
# Tests that measure memory, time or the event loop are not for this. What is suppressed: tests/valgrind.supp, which says why.
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset valgrind "$@" >/dev/null
cmake --build --preset valgrind

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/logs"
for program in lockstep lockstep-origin; do
    ln -s "$PWD/build/valgrind/bin/$program" "$work/bin/$program"
done
for program in ${PROGRAMS:-lockstep-origin}; do
    rm "$work/bin/$program"
    cat >"$work/bin/$program" <<END
#!/bin/sh
exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible \\
    --errors-for-leak-kinds=definite,possible --num-callers=30 --fair-sched=yes \\
    --suppressions="$PWD/tests/valgrind.supp" --log-file="$work/logs/$program.%p" "$PWD/build/valgrind/bin/$program" "\$@"
END
    chmod +x "$work/bin/$program"
done
tests=${TESTS:-
    test_daemon.Sync.test_pull_push_verify_status test_daemon.Sync.test_run test_daemon.Sync.test_new_database_by_push
    test_daemon.Sync.test_token test_daemon.Sync.test_rights test_daemon.Turns test_daemon.Reload.test_certificate_and_lists
    test_daemon.Stop test_daemon.Systemd test_reload test_line.Line.test_those_who_go_while_they_wait
    test_strangers.Strangers.test_nothing_is_told_to_who_is_not_known
    test_strangers.Strangers.test_with_tokens_a_certificate_is_not_needed_but_something_is
    test_strangers.Strangers.test_who_is_known_is_told test_strangers.Strangers.test_a_header_of_4_gb_behind_open
    test_operations.Log test_http.Requests test_http.Metrics}

status=0
cd tests/daemon
# shellcheck disable=SC2086
LOCKSTEP_BIN="$work/bin" LOCKSTEP_SOURCE="$PWD/../.." PYTHONPATH=.. python3 -B -m unittest -v $tests || status=$?
for log in "$work"/logs/*; do
    if [ -s "$log" ]; then
        echo "---- $log"
        cat "$log"
        status=1
    fi
done
[ "$status" = 0 ] && echo "valgrind found nothing"
exit "$status"
