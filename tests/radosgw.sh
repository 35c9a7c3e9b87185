#!/bin/bash
# A real S3 server for tests: Ceph's monitor, one in-memory OSD and two gateways on 127.0.0.1, without
# systemd or root. Debian: radosgw ceph-mon ceph-osd (which bring ceph-common).
#
#     radosgw.sh FOLDER PORT ACCESS-KEY SECRET-KEY [NAME]
#
# FOLDER (made, and to be removed by the caller) takes everything; the ports from PORT to PORT+29 are
# used: gateway i answers on PORT+i, and by TLS on PORT+2+i with FOLDER/tls.crt, which is its own CA.
# NAME is the host by which clients call it, if that is not localhost.
# It says "ready" on stdout, then does what stdin says, a line each, answered by "done":
#     kill-gateway I | start-gateway I | freeze-osd | thaw-osd
# and ends when stdin does, so that no server outlives the test that wanted it, however it dies.
set -euo pipefail

folder=$1
port=$2
access_key=$3
secret_key=$4
name=${5:-localhost}
conf=$folder/ceph.conf
declare -A pids

stop_all() {
    local pid
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2> /dev/null || true
    done
    wait 2> /dev/null || true
}
trap stop_all EXIT
trap 'exit 1' INT TERM HUP

die() {
    echo "radosgw.sh: $1" >&2
    tail -n 5 "$folder"/log/* >&2 || true
    exit 1
}

# start NAME COMMAND…: a server in the background, its output in log/NAME.out
start() {
    local name=$1
    shift
    "$@" > "$folder/log/$name.out" 2>&1 < /dev/null &
    pids[$name]=$!
}

# once NAME COMMAND…: a tool that ends by itself
once() {
    local name=$1
    shift
    timeout 60 "$@" > "$folder/log/$name.out" 2>&1 < /dev/null || die "$name failed"
}

start_gateway() {
    start "gateway$1" radosgw -c "$conf" -f -n "client.gateway$1"
    for _ in $(seq 1500); do
        if (exec 3<> "/dev/tcp/127.0.0.1/$((port + $1))") 2> /dev/null; then
            return
        fi
        kill -0 "${pids[gateway$1]}" 2> /dev/null || break
        sleep 0.02
    done
    die "gateway $1 did not come up"
}

write_conf() {
    local i
    cat > "$conf" << CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$((port + 4))/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind ipv4 = true
ms bind ipv6 = false
ms bind msgr1 = false
ms bind msgr2 = true
ms bind port min = $((port + 5))
ms bind port max = $((port + 29))
# Between our own daemons nobody has to prove anything; "secure" connections would need keys.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc secure
ms mon service mode = crc secure
ms mon cluster mode = crc secure
run dir = $folder/run
admin socket = $folder/run/\$name.asok
log file = $folder/log/\$name.log
log to stderr = false
err to stderr = false
crash dir = $folder/run
mon data = $folder/mon
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
mon max pg per osd = 10000
osd data = $folder/osd
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class load list = *
osd class default list = *
[mon]
mon cluster log file = $folder/log/cluster.log
paxos propose interval = 0.01
[osd]
osd objectstore = memstore
memstore device bytes = 268435456
[client]
rgw data = $folder/rgw
keyring = $folder/keyring
rgw dns name = $name
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw dynamic resharding = false
rgw run sync thread = false
rgw rados pool pg num min = 1
CONF
    for i in 0 1; do
        cat >> "$conf" << CONF
[client.gateway$i]
rgw frontends = beast endpoint=127.0.0.1:$((port + i)) ssl_endpoint=127.0.0.1:$((port + 2 + i)) ssl_certificate=$folder/tls.crt ssl_private_key=$folder/tls.key
CONF
    done
    : > "$folder/keyring"
}

mkdir -p "$folder"/{mon,osd,rgw,run,log}
fsid=$(cat /proc/sys/kernel/random/uuid)
osd_id=$(cat /proc/sys/kernel/random/uuid)
once openssl openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1' \
    -keyout "$folder/tls.key" -out "$folder/tls.crt"
write_conf
once monmap monmaptool --create --clobber --fsid "$fsid" \
    --addv a "[v2:127.0.0.1:$((port + 4))]" "$folder/monmap"
once mon-mkfs ceph-mon -c "$conf" --mkfs -i a --monmap "$folder/monmap"
start mon ceph-mon -c "$conf" -f -i a
once osd-new ceph -c "$conf" osd new "$osd_id"
once osd-mkfs ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_id"
start osd ceph-osd -c "$conf" -f -i 0
# Waits for the OSD, and makes the zone, its pools and the user.
once user radosgw-admin -c "$conf" user create --uid=test --display-name=test \
    --access-key="$access_key" --secret-key="$secret_key"
start_gateway 0
start_gateway 1
echo ready

while read -r command argument; do
    case $command in
    kill-gateway)
        kill -KILL "${pids[gateway$argument]}"
        wait "${pids[gateway$argument]}" 2> /dev/null || true
        ;;
    start-gateway) start_gateway "$argument" ;;
    freeze-osd) kill -STOP "${pids[osd]}" ;;
    thaw-osd) kill -CONT "${pids[osd]}" ;;
    *) die "what is \"$command\"?" ;;
    esac
    echo done
done
