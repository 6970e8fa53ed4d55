#!/bin/sh
# Makes the files in this folder again, with cosign v3.1.3 (sigstore/cosign), OpenSSL 3.0 and no network.
set -e
export COSIGN_PASSWORD=secret
printf 'sha256:%064d\n' 7 >seal
cosign generate-key-pair --output-key-prefix p256
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out plain.key 2>/dev/null
cosign import-key-pair --key plain.key --output-key-prefix rsa
openssl genpkey -algorithm ED25519 -out plain.key
cosign import-key-pair --key plain.key --output-key-prefix ed25519
rm plain.key
cosign signing-config create --out empty.json
cosign trusted-root create --out root.json
for key in p256 rsa ed25519; do
	cosign sign-blob --key $key.key --bundle $key.sigstore.json --use-signing-config=false --tlog-upload=false -y seal
done
for key in p256 rsa; do # with Ed25519 cosign does not verify what it wrote
	cosign sign-blob --key $key.key --bundle $key.config.sigstore.json --signing-config empty.json --trusted-root root.json -y seal
done
rm empty.json root.json
