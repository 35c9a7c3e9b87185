#!/bin/bash
# The lock that people build from curl and conditional writes: an object that is put with If-None-Match:* and deleted at the end.
# Not Lockstep's; the tests run it against Lockstep, and docs/shell-script-lock.md describes it.
#
#     shell_lock.sh acquire|release|held
#
# LOCK_URL: of the object, http://host/bucket/key. LOCK_ID, LOCK_TIMEOUT (seconds), LOCK_STAMP (iso or epoch).
# acquire ends with 0 when it is ours, with 1 when somebody holds it; held with 0 when somebody does.
set -uo pipefail

# s3 BODY CURL-OPTION…  (this age of curl has to be given the hash that S3 wants in a header)
s3() {
    local body=$1 hash
    shift
    hash=$(printf %s "$body" | sha256sum | cut -d ' ' -f 1)
    curl -sS --max-time 20 --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H "x-amz-content-sha256: $hash" ${body:+--data-binary "$body"} "$@" "$LOCK_URL"
}

stamp() {
    if [ "$LOCK_STAMP" = epoch ]; then
        date +%s
    else
        date -u +'"%Y-%m-%dT%H:%M:%SZ"'
    fi
}

# field NAME < JSON
field() {
    sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p"
}

is_stale() {
    local record=$1 since timeout
    since=$(field timestamp <<< "$record")
    timeout=$(field timeout <<< "$record")
    if [ "$LOCK_STAMP" = iso ]; then
        since=$(date -d "$since" +%s) || return 1
    fi
    [ "$(date +%s)" -gt $((since + timeout)) ]
}

create() {
    local body status
    body="{\"instance_id\": \"$LOCK_ID\", \"timestamp\": $(stamp), \"timeout\": $LOCK_TIMEOUT}"
    status=$(s3 "$body" -o /dev/null -w '%{http_code}' -X PUT -H 'If-None-Match: *')
    [ "$status" = 200 ]
}

case $1 in
acquire)
    create && exit 0
    record=$(s3 '' -f) || exit 1
    is_stale "$record" || exit 1
    s3 '' -X DELETE
    create
    ;;
release)
    s3 '' -X DELETE
    ;;
held)
    record=$(s3 '' -f 2> /dev/null) && ! is_stale "$record"
    ;;
esac
