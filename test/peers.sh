#!/usr/bin/env bash
# Installs what the differential tests compare with, and prints the environment in which they run:
#
#     eval "$(test/peers.sh)" && make test
#
# The vendors' emulators and SDKs go to ~/.cache/proa-peers: boto3, the AWS CLI, moto, the Azure SDKs for Python and JavaScript, Azurite and
# @vercel/cosmosdb-server; DynamoDB Local is fetched by its own test through Maven. dig, delv, kdig, ldns-verify-zone, nsd, knotd, zonemaster-cli, dnsviz and rclone come from Debian. Needs Python 3 and
# Node; as root on Debian it installs the rest. Every version is pinned.
set -euo pipefail
dir=${XDG_CACHE_HOME:-$HOME/.cache}/proa-peers
mkdir -p "$dir"
say() { echo "peers: $*" >&2; }

missing=()
for pair in dig:bind9-dnsutils nsd:nsd ldns-verify-zone:ldnsutils kdig:knot-dnsutils knotd:knot dnssec-verify:bind9-utils zonemaster-cli:zonemaster-cli dnsviz:dnsviz rclone:rclone chromium:chromium java:default-jre-headless mvn:maven python3:python3-venv node:nodejs npm:npm; do
  PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  # A name server that is only a peer must not start by itself.
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  rm -f /usr/sbin/policy-rc.d
fi

if [ ! -e "$dir/python/.done-1" ]; then
  say "installing Python packages"
  python3 -m venv "$dir/python" >&2
  "$dir/python/bin/pip" install -q --disable-pip-version-check \
    boto3==1.43.11 awscli==1.45.11 'moto[server]==5.2.1' azure-cosmos==4.17.1 azure-storage-blob==12.31.1 >&2
  touch "$dir/python/.done-1"
fi
if [ ! -e "$dir/npm/.done-1" ]; then
  say "installing Node packages"
  npm install --silent --no-audit --no-fund --prefix "$dir/npm" \
    azurite@3.37.0 @azure/cosmos@4.9.3 @vercel/cosmosdb-server@1.0.1 >&2
  touch "$dir/npm/.done-1"
fi

echo "export PROA_PEERS=1"
echo "export PATH='$dir/python/bin':\$PATH:/usr/sbin"
echo "export PROA_PYTHON='$dir/python/bin/python3'"
echo "export PROA_NODE='$(command -v node)'"
echo "export PROA_NODE_MODULES='$dir/npm/node_modules'"
