#!/bin/sh
# Build the filter: build.sh go|tinygo OUT.wasm
#
# The same source, compiler and flags give the same bytes, in any folder and with any cache. Prints size and sha256, and
# fails over the size that the filter is meant to have. GO, TINYGO: the compilers (default: go, tinygo); TinyGo uses GO's
# standard library.
set -eu

usage='usage: build.sh go|tinygo OUT.wasm'
compiler=${1:?$usage}
out=${2:?$usage}
case $out in /*) ;; *) out=$PWD/$out ;; esac

go=$(command -v "${GO:-go}")
[ "$compiler" != tinygo ] || PATH="$(cd "$(dirname "$(command -v "${TINYGO:-tinygo}")")" && pwd):$PATH"
# Whatever else is installed or set must not reach the bytes; only where modules come from is the user's.
for name in GOPROXY GOSUMDB GOPRIVATE GOMODCACHE; do export "$name=$("$go" env $name)"; done
unset GOROOT GOEXPERIMENT GOFIPS140 GOWASM GOOS GOARCH TINYGOROOT
export GOTOOLCHAIN=local GOFLAGS= GOWORK=off GOENV=off CGO_ENABLED=0
GOROOT=$("$go" env GOROOT)
export GOROOT PATH="$GOROOT/bin:$PATH"

cd "$(dirname "$0")"
# Printed as run, because it goes into the manifest of what was built.
run() {
	line=
	for word; do
		case $word in *' '*) word="'$word'" ;; esac
		line="$line $word"
	done
	echo "${line# }"
	"$@"
}

case $compiler in
go)
	limit=3000000
	export GOOS=wasip1 GOARCH=wasm
	run go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w -buildid=' -o "$out" .
	;;
tinygo)
	limit=220000
	run tinygo build -target=wasip1 -buildmode=c-shared -scheduler=none -no-debug -opt=z -o "$out" .
	;;
*)
	echo "$usage" >&2
	exit 2
	;;
esac

size=$(wc -c <"$out" | tr -d ' ')
echo "$compiler: $size bytes, sha256 $(sha256sum <"$out" | cut -d' ' -f1)"
if [ "$size" -gt "$limit" ]; then
	echo "$compiler: over the limit of $limit bytes" >&2
	exit 1
fi
