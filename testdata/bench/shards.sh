#!/bin/sh
# shards.sh RELOCATE: times an import by 1, 2, 4 and 8 workers of 16 Mbit/s into a registry of 64 Mbit/s, and prints the
# times beside what docs/shards.md says of them. Every worker and the registry is in a network namespace of its own behind a token
# bucket filter each way; nothing listens outside of them. It needs root, ip, tc, python3 and Debian's docker-registry.
# With FROM=url the workers read the archive from nginx, with 1 Gbit/s in a namespace of its own.
set -eu
relocate=$(realpath "$1")
dir=$(mktemp -d)
export XDG_CACHE_HOME="$dir/cache"
worker=16 registry=64 megabytes=${MEGABYTES:-72}
names="hub reg src w0 w1 w2 w3 w4 w5 w6 w7"
inside() { ns=$1; shift; ip netns exec "relocate-$ns" "$@"; }
clean() {
	for p in ${pid:-} ${web:-}; do kill "$p" || true; done
	for ns in $names; do ip netns del "relocate-$ns" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM

# limit NS DEVICE MBIT
limit() { inside "$1" tc qdisc add dev "$2" root tbf rate "${3}mbit" burst 32kb latency 100ms; }
# join NS ADDRESS MBIT
join() {
	ip link add "up-$1" netns relocate-hub type veth peer name eth0 netns "relocate-$1"
	inside "$1" ip addr add "$2/24" dev eth0
	inside "$1" ip link set eth0 up
	inside "$1" ip link set lo up
	inside hub ip link set "up-$1" master br0 up
	limit "$1" eth0 "$3"
	limit hub "up-$1" "$3"
}
for ns in $names; do ip netns add "relocate-$ns"; done
inside hub ip link add br0 type bridge
inside hub ip link set br0 up
join reg 10.77.0.1 $registry
join src 10.77.0.2 1000
for i in 0 1 2 3 4 5 6 7; do join w$i 10.77.0.1$i $worker; done
cat >"$dir/config.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/registry}}
http: {addr: 10.77.0.1:5000}
END
ip netns exec relocate-reg docker-registry serve "$dir/config.yml" >/dev/null 2>&1 &
pid=$!

# 20 images with layers as images have them, none above 2 MB
cat >"$dir/push.py" <<'END'
import hashlib, json, random, sys, time, urllib.request
rnd, repo, total = random.Random(15), "http://10.77.0.1:5000/v2/source", int(sys.argv[1]) * 1000000
def call(method, url, body=None, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method))
def put(body):
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    at = call("POST", repo + "/blobs/uploads/").headers["Location"]
    call("PUT", at + ("&" if "?" in at else "?") + "digest=" + digest, body, **{"Content-Type": "application/octet-stream"})
    return {"digest": digest, "size": len(body)}
for _ in range(100):
    try:
        call("GET", "http://10.77.0.1:5000/v2/")
        break
    except OSError:
        time.sleep(0.1)
sizes = [min(rnd.lognormvariate(0, 1.2), 3) for _ in range(160)]
scale = total / sum(sizes)
for i in range(20):
    oci = "application/vnd.oci.image."
    layers = [dict(put(rnd.randbytes(int(s * scale))), mediaType=oci + "layer.v1.tar+gzip") for s in sizes[i::20]]
    config = dict(put(json.dumps({"n": i}).encode()), mediaType=oci + "config.v1+json")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": config, "layers": layers})
    call("PUT", f"{repo}/manifests/{i}", manifest.encode(), **{"Content-Type": oci + "manifest.v1+json"})
    print("-i", f"10.77.0.1:5000/source:{i}")
END
# shellcheck disable=SC2046 # words
inside reg "$relocate" $(inside reg python3 "$dir/push.py" "$megabytes") --registry-insecure --to-tar "$dir/a.tar" --progress none 2>"$dir/export"
bytes=$(stat -c %s "$dir/a.tar")
archive=$dir/a.tar
if [ "${FROM:-}" = url ]; then
	chmod -R a+rX "$dir"
	cat >"$dir/nginx.conf" <<END
daemon off; pid $dir/nginx.pid; error_log $dir/nginx.log;
events {}
http { access_log off; server { listen 10.77.0.2:80; root $dir; } }
END
	ip netns exec relocate-src nginx -c "$dir/nginx.conf" &
	web=$!
	archive=http://10.77.0.2/a.tar
	until inside src python3 -c "import urllib.request as u; u.urlopen('$archive', timeout=1).close()" 2>/dev/null; do sleep 0.1; done
fi

now() { date +%s%N; }
import() { # NS REPO ARGUMENTS
	ns=$1 to=10.77.0.1:5000/$2
	shift 2
	inside "$ns" "$relocate" --from-tar "$archive" --to-repo "$to" --registry-insecure --no-tag --progress none "$@" 2>&1
}
shard() {
	ns=$1 to=10.77.0.1:5000/$2
	inside "$ns" "$relocate" --from-tar "$archive" --to-repo "$to" --registry-insecure --progress none --shard "$3" >"$dir/shard-$ns" 2>&1
}
echo "$megabytes MB in 160 layers; workers $worker Mbit/s, registry $registry Mbit/s"
echo " n  shards s  finish s   T(n) s  formula s  T/formula"
for n in ${WORKERS:-1 2 4 8}; do
	start=$(now)
	pids=
	i=0
	while [ $i -lt "$n" ]; do
		shard w$i "to-$n" $i/"$n" &
		pids="$pids $!"
		i=$((i + 1))
	done
	for p in $pids; do wait "$p" || { cat "$dir"/shard-*; exit 1; }; done
	middle=$(now)
	import w0 "to-$n" --await-blobs 1s >"$dir/finish" || { cat "$dir/finish"; exit 1; }
	end=$(now)
	grep -q "uploaded  *0 layers and configs" "$dir/finish" || { cat "$dir/finish"; exit 1; }
	# 1448 of 1514 bytes of a full frame are payload
	awk -v n="$n" -v a="$bytes" -v w=$worker -v r=$registry -v s="$start" -v m="$middle" -v e="$end" 'BEGIN {
		rate = n * w < r ? n * w : r
		f = a * 8 / (rate * 1e6 * 1448 / 1514) + (e - m) / 1e9
		printf "%2d %9.1f %9.1f %8.1f %10.1f %10.2f\n", n, (m - s) / 1e9, (e - m) / 1e9, (e - s) / 1e9, f, (e - s) / 1e9 / f }'
done
