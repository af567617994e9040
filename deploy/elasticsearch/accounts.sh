#!/bin/bash
# The passwords of kibana_system and of groundswell, which may do all with its own indices and nothing else. As often as one likes.
set -euo pipefail
secret() { cat "/run/secrets/$1"; }
# curl reads our password from a file descriptor, and what it sends from standard input: no process list shows either
put() { curl -sS --fail-with-body -K <(printf 'user = "elastic:%s"' "$(secret elastic_password)") -H 'Content-Type: application/json' -X "$1" "http://elasticsearch:9200$2" -d @- ; echo; }

printf '{"password":"%s"}' "$(secret kibana_password)" | put POST /_security/user/kibana_system/_password
put PUT /_security/role/groundswell <<'JSON'
{"cluster": ["monitor", "manage_index_templates", "manage_ilm", "cluster:admin/analyze"],
 "indices": [{"names": ["groundswell*"], "privileges": ["all"]}]}
JSON
printf '{"password":"%s","roles":["groundswell"]}' "$(secret elasticsearch_password)" | put PUT /_security/user/groundswell
