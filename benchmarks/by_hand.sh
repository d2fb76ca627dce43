#!/bin/sh
# The stack as one would start it by hand: Envoy, both services and the console at once, then ask the ingress until the token
# is there. Prints `ready`, and ends everything when standard input closes.
# Arguments: a folder with Envoy's files, the Python and Envoy to use, the ports of ingress, jwt-api, upstream and console.
set -eu
cd "$1"
python=$2 envoy=$3 ingress=$4 jwt_api=$5 upstream=$6 console=$7

"$envoy" --config-path envoy.yaml --concurrency 2 --disable-hot-restart >envoy.log 2>&1 &
envoy_pid=$!
JWT_API_KEY_FILE=$1/jwt-api.jwk.json "$python" -m services.jwt_api --port "$jwt_api" >jwt-api.log 2>&1 &
jwt_api_pid=$!
"$python" -m services.upstream --port "$upstream" >upstream.log 2>&1 &
upstream_pid=$!
CONSOLE_JWT_API_URL=http://127.0.0.1:$jwt_api CONSOLE_UPSTREAM_URL=http://127.0.0.1:$upstream \
  "$python" -m sandbox.console --port "$console" >console.log 2>&1 &
console_pid=$!
trap 'kill $envoy_pid $jwt_api_pid $upstream_pid $console_pid 2>/dev/null; wait' EXIT

until curl -s -o /dev/null -D - --max-time 5 "http://127.0.0.1:$ingress/" | grep -qi '^x-auth: Bearer'; do sleep 0.01; done
until curl -s --max-time 5 "http://127.0.0.1:$console/api/status" | grep -q LIVE; do sleep 0.01; done
echo ready
read -r _ || true
