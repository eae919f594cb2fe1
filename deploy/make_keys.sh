#!/bin/sh
# Create the keys for docker-compose.yml and deploy/kubernetes: sh deploy/make_keys.sh [FOLDER]
# docs/keys.md explains each key. The script needs only a shell and coreutils.
set -eu

folder=${1:-deploy/keys}
if [ -e "$folder" ]; then
    echo "$folder exists already, and keys are never replaced. Give another folder, or move it." >&2
    exit 1
fi

make_key() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
hash_key() { printf %s "$1" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1; }

umask 077 # only the owner may read the folder
mkdir -p "$folder"
api_key=$(make_key)
metrics_key=$(make_key)
hashes=$(hash_key "$api_key"),$(hash_key "$metrics_key")
printf %s "$api_key" >"$folder/api-key"
printf %s "$metrics_key" >"$folder/metrics-key"
printf %s "$(make_key)" >"$folder/redis-password"
printf %s "$hashes" >"$folder/hashes"
printf 'HEADCIRC_API_KEY_HASHES=%s\n' "$hashes" >"$folder/compose.env"
# Containers that run as other users mount these files; the folder itself stays closed.
chmod 644 "$folder/api-key" "$folder/metrics-key" "$folder/redis-password"
echo "Created in $folder: api-key (for callers), metrics-key (for Prometheus), redis-password."
