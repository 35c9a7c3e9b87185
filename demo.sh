#!/usr/bin/env bash
# Shows the main job from nothing: two batch jobs want the same database at once; each takes the lock, pulls, works on its own
# copy, pushes and releases. Installs what is missing on a Debian 12 machine, builds, and works in a folder of its own.
#
#   ./demo.sh            on this machine alone, with a lock in a file
#   ./demo.sh regions    three regions as network namespaces, an origin daemon over TLS, the lock in a real S3 server: demo/regions.py
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

case ${1:-} in
"") groups=(demo) ;;
regions) groups=(demo regions) && shift ;;
*) echo "usage: ./demo.sh [regions [--runs N] [--out FILE.svg]]" >&2 && exit 64 ;;
esac

say "Building (only what is missing is installed and compiled)"
tools/install-deps.sh build "${groups[@]}"
cmake --preset release >/dev/null
cmake --build --preset release
PATH="$PWD/build/release/bin:$PATH"
if [[ " ${groups[*]} " == *" regions "* ]]; then
    say "Jobs of two regions contend for a database in a third"
    LOCKSTEP_BIN="$PWD/build/release/bin" exec python3 demo/regions.py "$@"
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/lockstep-demo-XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir origin east west

say "A canonical database of 50,000 contacts and their schedules"
sqlite3 origin/org.db >/dev/null <<'SQL'
PRAGMA journal_mode = WAL;
CREATE TABLE contacts(id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT, state TEXT, birth_date TEXT);
CREATE TABLE schedules(id INTEGER PRIMARY KEY, contact_id INT NOT NULL, type TEXT, send_date TEXT, status TEXT, run TEXT);
CREATE INDEX schedules_by_contact ON schedules(contact_id, type);
CREATE INDEX schedules_by_date ON schedules(send_date, status);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
INSERT INTO contacts SELECT i, 'contact' || i || '@example.com', 'Name ' || abs(random() % 1000),
    substr('CATXNYMOORFLWANV', 1 + 2 * (i % 8), 2), date('1950-01-01', '+' || (i % 15000) || ' day') FROM n;
INSERT INTO schedules(contact_id, type, send_date, status, run)
    SELECT id, type, date('2025-01-01', '+' || (abs(random()) % 365) || ' day'), 'sent', lower(hex(randomblob(8)))
    FROM contacts, (SELECT 'birthday' AS type UNION ALL SELECT 'effective_date' UNION ALL SELECT 'aep');
SQL
ls -l --block-size=K origin/org.db | awk '{print "   " $5, $9}'

# The job that runs in each region: schedules a mailing for a thousand contacts, and takes its time.
cat > job <<'JOB'
#!/usr/bin/env bash
set -euo pipefail
echo "   job of $1: working on $LOCKSTEP_DB, version $LOCKSTEP_VERSION, with token $LOCKSTEP_TOKEN"
sqlite3 "$LOCKSTEP_DB" "INSERT INTO schedules(contact_id, type, send_date, status, run)
    SELECT id, 'mailing', date('now', '+1 day'), 'pre-scheduled', '$1' FROM contacts WHERE id % 50 = 7"
sleep 3
JOB
chmod +x job

run() { # run REGION: one whole job, as a scheduled machine in that region would do it
    lockstep run --instance "$1" origin/org.db "$1/org.db" -- ./job "$1"
}

say "Two jobs at once, each:  lockstep run origin/org.db REGION/org.db -- ./job"
started=$(date +%s.%N)
run east 2>&1 | sed -u 's/^/   /' &
first=$!
run west 2>&1 | sed -u 's/^/   /' &
second=$!
wait "$first"
wait "$second"
awk -v from="$started" -v to="$(date +%s.%N)" 'BEGIN { printf "   both jobs: %.1f s, of which 6 s are the jobs themselves\n", to - from }'

say "Both jobs' rows are in the canonical database"
sqlite3 -column -header origin/org.db \
    "SELECT run AS region, count(*) AS rows_added FROM schedules WHERE type = 'mailing' GROUP BY run"
regions=$(sqlite3 origin/org.db "SELECT count(DISTINCT run) FROM schedules WHERE type = 'mailing'")
[ "$regions" = 2 ] || { echo "demo.sh: a job's rows are missing" >&2; exit 1; }

say "East pulls what west did: only what changed crosses the link"
lockstep pull -v origin/org.db east/org.db 2>&1 | sed 's/^/   /'
lockstep pull -q origin/org.db west/org.db
lockstep verify origin/org.db east/org.db | sed 's/^/   /'

say "Nothing was lost. The same with a real origin:"
cat <<'NEXT'
   lockstep run --lock s3://bucket/org.db.lock app@origin.internal:/data/org.db ./org.db -- ./scheduler ./org.db
NEXT
