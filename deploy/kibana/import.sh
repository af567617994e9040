#!/bin/bash
# The data view, the saved search and the dashboard; what is there is overwritten.
set -euo pipefail
answer=$(curl -sS --fail-with-body -K <(printf 'user = "elastic:%s"' "$(cat /run/secrets/elastic_password)") -H 'kbn-xsrf: true' \
    -F file=@/deploy/groundswell.ndjson 'http://kibana:5601/api/saved_objects/_import?overwrite=true')
echo "$answer"
[[ "$answer" == *'"success":true'* ]]
