#!/bin/sh
# Behaves as the official image's: a first word that starts with - is Envoy's; root becomes the user envoy, unless
# ENVOY_UID is 0; anyone else stays who he is.
set -e

case $1 in -*) set -- envoy "$@" ;; esac
if [ "$1" = envoy ] && [ -n "$loglevel" ]; then set -- "$@" --log-level "$loglevel"; fi

if [ "$(id -u)" = 0 ] && [ "$ENVOY_UID" != 0 ]; then
	if [ -n "$ENVOY_UID" ]; then usermod -u "$ENVOY_UID" envoy; fi
	if [ -n "$ENVOY_GID" ]; then groupmod -g "$ENVOY_GID" envoy; fi
	chown envoy:envoy /dev/stdout /dev/stderr
	exec setpriv --reuid=envoy --regid=envoy --init-groups "$@"
fi
exec "$@"
