#!/usr/bin/env bash
# Debian 12's nginx 1.22.1-9+deb12u11 and Caddy 2.6.2-5: the ETag of a file is its size and the second of its mtime, and it
# is marked as strong. Two files of one size that are written in the same second, or that have their mtime from
# SOURCE_DATE_EPOCH, have the same ETag. A download of the first that goes on with "If-Range: ETAG" is answered with 206 and
# the rest of the second: RFC 9110 §13.1.5 has If-Range for just that, and it does not protect. Apache
# 2.4.71-1~deb12u1 counts microseconds. relocate checks every blob's digest.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq nginx=1.22.1-9+deb12u11 caddy=2.6.2-5 apache2-bin=2.4.71-1~deb12u1 >/dev/null 2>&1 # the programs alone
for deb in *.deb; do dpkg-deb -x "$deb" root; done
mkdir www
port=$((20000 + RANDOM % 20000))
cat >nginx.conf <<END
daemon off;
pid $work/nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work; uwsgi_temp_path $work; scgi_temp_path $work;
	server { listen 127.0.0.1:$port; root $work/www; }
}
END
cat >apache.conf <<END
ServerName localhost
Listen 127.0.0.1:$((port + 1))
DefaultRuntimeDir $work
PidFile $work/apache.pid
ErrorLog $work/apache.log
LoadModule mpm_event_module $work/root/usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module $work/root/usr/lib/apache2/modules/mod_authz_core.so
DocumentRoot $work/www
END
chmod 755 "$work"
root/usr/sbin/nginx -e "$work/nginx.log" -c "$work/nginx.conf" &
root/usr/sbin/apache2 -f "$work/apache.conf" -DFOREGROUND &
HOME=$work root/usr/bin/caddy file-server --root www --listen "127.0.0.1:$((port + 2))" 2>caddy.log &

# resumed downloads half of one file, has another one of its size and second take its place, and goes on.
resumed() { # PORT
	local url=http://127.0.0.1:$1/file etag status
	write A .1
	for _ in $(seq 100); do curl -sfo /dev/null "$url" && break; sleep 0.1; done
	etag=$(curl -sI "$url" | tr -d '\r' | sed -n 's/^etag: //Ip')
	curl -s -r 0-4 -o part "$url"
	write B .2
	status=$(curl -s -r 5- -H "If-Range: $etag" -o rest -w '%{http_code}' "$url")
	[ "$status" = 206 ] && cat rest >>part || mv rest part
	echo "$status $(cat part)"
}
write() { printf '%s' "$1$1$1$1$1$1$1$1$1$1" >new && touch -d "2026-01-01 00:00:00$2 UTC" new && mv new www/file; }

nginx=$(resumed "$port") apache=$(resumed $((port + 1))) caddy=$(resumed $((port + 2)))
echo "nginx:  $nginx"
echo "Apache: $apache"
echo "Caddy:  $caddy"
[ "$nginx" = "206 AAAAABBBBB" ] && [ "$apache" = "200 BBBBBBBBBB" ] && [ "$caddy" = "206 AAAAABBBBB" ]
