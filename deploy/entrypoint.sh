#!/bin/bash
# The entrypoint of a job's machine: takes the place of the script that mounts, locks, syncs, runs the job, syncs back and unlocks.
#
#   ORIGIN=tls://origin.internal/org.db DATABASE=/work/org.db LOCKSTEP_LOCK=s3:///org.db.lock entrypoint.sh ./scheduler /work/org.db
#
# Line for line, what stood in such a script and what stands here:
#
#   mkdir, mount the volume            mkdir -p, below: a machine without a volume makes a first copy each time
#   curl -X PUT -H 'If-None-Match: *'  lockstep run: takes the lock, waits for it, renews it while the job works
#   sqlite3_rsync "$ORIGIN" "$DB"      lockstep run: pulls, proven
#   "$@"                               the job, with LOCKSTEP_DB set to the database
#   sqlite3_rsync "$DB" "$ORIGIN"      lockstep run: pushes, only if the job ended with 0 and the lock is still ours
#   curl -X DELETE                     lockstep run: releases
#   trap cleanup EXIT                  lockstep run: SIGTERM goes to the job, then nothing is pushed and the lock is released
#
# Options of `lockstep run` are given as LOCKSTEP_* variables (`lockstep config run` shows them). The exit status is that of
# `lockstep run`: the job's own, or one of the table in `man lockstep`.
set -u

complain() {
    echo "entrypoint.sh: $1" >&2
    exit 64
}
[ -n "${ORIGIN:-}" ] || complain "set ORIGIN to the canonical database: tls://origin.internal/org.db or user@host:/data/org.db"
[ -n "${DATABASE:-}" ] || complain "set DATABASE to the path of the copy that the job works on: /work/org.db"
[ $# -gt 0 ] || complain "give the job: its command and arguments"

# The log lines that alerts look for. Left: how a line of `lockstep run` begins; right: what it is to begin with.
# Put your own script's words on the right side. Lines of the job are not touched.
in_the_words_of_the_script() {
    exec sed -u -E \
        -e 's/^([^ ]+Z [^ ]+: )acquiring the lock/\1attempting to acquire the lock/' \
        -e 's/^([^ ]+Z [^ ]+: )lock acquired/\1lock acquired/' \
        -e 's/^([^ ]+Z [^ ]+: )pulled version/\1database synced from the origin: version/' \
        -e 's/^([^ ]+Z [^ ]+: )starting the job/\1running the job/' \
        -e 's/^([^ ]+Z [^ ]+: )pushed version/\1database synced to the origin: version/' \
        -e 's/^([^ ]+Z [^ ]+: )lock released/\1lock released/'
}

mkdir -p "$(dirname "$DATABASE")" || exit 74
folder=$(mktemp -d) || exit 74
trap 'rm -rf "$folder"' EXIT
mkfifo "$folder/lines" || exit 74

in_the_words_of_the_script <"$folder/lines" &
teller=$!
lockstep run "$ORIGIN" "$DATABASE" -- "$@" <&0 2>"$folder/lines" &
run=$!
trap 'kill -TERM "$run"' TERM
trap 'kill -INT "$run"' INT

# A signal ends a wait early, with the run still there.
wait "$run"
status=$?
while kill -0 "$run" 2>/dev/null; do
    wait "$run"
    status=$?
done

# The last lines; but what the job left in the background must not keep the machine alive.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$teller" 2>/dev/null || break
    sleep 0.2
done
exit "$status"
