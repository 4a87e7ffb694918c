#!/bin/sh
# Makes the passwords that compose.yaml mounts as files. Never overwrites; to rotate, see RUNBOOK.md.
set -eu
folder="$(dirname "$0")/secrets"

if [ -e "$folder" ]; then
  echo "$folder is there already; nothing was changed." >&2
  exit 1
fi

# The folder keeps everybody else on this machine out. The files in it must be readable by the
# users inside the containers, each of which is given only its own.
umask 077
mkdir "$folder"
umask 022

random() {
  od -An -N 32 -t x1 /dev/urandom | tr -d ' \n'
}

database="$(random)"
store="$(random)"

printf '%s' "$database" > "$folder/database_password"
cat > "$folder/database_service" <<SERVICE
[marketplace]
host=database
port=5432
dbname=marketplace
user=marketplace
password=$database
SERVICE

# Who the store knows: the service alone, which may also make its bucket.
cat > "$folder/store_identities" <<IDENTITIES
{
  "identities": [
    {
      "name": "marketplace",
      "credentials": [{ "accessKey": "marketplace", "secretKey": "$store" }],
      "actions": ["Admin"]
    }
  ]
}
IDENTITIES
cat > "$folder/store_credentials" <<CREDENTIALS
[default]
aws_access_key_id = marketplace
aws_secret_access_key = $store
CREDENTIALS

echo "The secrets are in $folder. Back them up apart from the data."
