#!/usr/bin/env bash
# cosign v3.1.3: sign-blob with an Ed25519 key, offline, writes a bundle whose messageDigest is empty,
# says "Wrote bundle" and ends with 0; verify-blob with the public key then refuses that bundle with
# "message is missing artifact digest". The signature itself is good: with the digest of the file
# written into the bundle by hand, the same command says "Verified OK". With an ECDSA P-256 key the
# digest is there from the start. Somebody who signs on one side and carries the file away finds out
# on the other. relocate writes the digest for every kind of key, and reads bundles without it.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
mkdir build && cd build
go mod init example.com/build >/dev/null 2>&1
go get github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 >/dev/null 2>&1
go build -o ../cosign github.com/sigstore/cosign/v3/cmd/cosign # minutes, the first time
cd ..
export COSIGN_PASSWORD=
echo content >file
sign() { # KIND GENPKEY-ARGUMENTS…: signs file with a new key
	local kind=$1
	shift
	openssl genpkey "$@" -out "$kind.pem" 2>/dev/null
	./cosign import-key-pair --key "$kind.pem" --output-key-prefix "$kind" -y 2>/dev/null
	./cosign sign-blob --key "$kind.key" --bundle "$kind.json" --use-signing-config=false --tlog-upload=false -y file 2>/dev/null
}
verify() { # KIND BUNDLE: what verify-blob says at the end
	./cosign verify-blob --key "$1.pub" --bundle "$2" --insecure-ignore-tlog file 2>&1 | tail -1
}
sign ecdsa -algorithm EC -pkeyopt ec_paramgen_curve:P-256
sign ed25519 -algorithm ed25519
sum=$(openssl dgst -sha256 -binary file | base64)
sed "s|\"messageDigest\":{}|\"messageDigest\":{\"algorithm\":\"SHA2_256\",\"digest\":\"$sum\"}|" ed25519.json >completed.json
echo "P-256:                    $(verify ecdsa ecdsa.json)"
echo "Ed25519:                  $(verify ed25519 ed25519.json)"
echo "Ed25519, digest added:    $(verify ed25519 completed.json)"
echo "digest of the signer:     $(grep -o '"messageDigest":{[^}]*}' ed25519.json)"
[ "$(verify ecdsa ecdsa.json)" = "Verified OK" ] &&
	[[ $(verify ed25519 ed25519.json) == *"message is missing artifact digest" ]] &&
	[ "$(verify ed25519 completed.json)" = "Verified OK" ] &&
	grep -q '"messageDigest":{}' ed25519.json
