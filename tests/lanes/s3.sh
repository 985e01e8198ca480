#!/bin/sh
# Artifacts of two controllers in S3 stores that others wrote: S3Proxy from
# Maven Central, and Versity's gateway by the Go module proxy.
#
# usage: s3.sh [MIB]   (of the large artifact; 600)
# They stay in build/s3.  Maven or Go may be missing, but not both.
set -eu
cd "$(dirname "$0")/../.."
place=$PWD/build/s3
mkdir -p "$place"
if [ ! -d "$place/s3proxy" ] && command -v mvn >/dev/null &&
    command -v java >/dev/null; then
    cat >"$place/pom.xml" <<'POM'
<project><modelVersion>4.0.0</modelVersion><groupId>flotilla</groupId>
<artifactId>s3</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.gaul</groupId>
<artifactId>s3proxy</artifactId><version>2.6.0</version></dependency>
</dependencies></project>
POM
    mvn -q -f "$place/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$place/new" && mv "$place/new" "$place/s3proxy"
fi
if [ ! -x "$place/versitygw" ] && command -v go >/dev/null; then
    GOBIN=$place go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 ||
        echo "Versity's gateway could not be had"
fi
[ -d "$place/s3proxy" ] || [ -x "$place/versitygw" ] || {
    echo "skipped: neither S3Proxy nor Versity's gateway could be had"
    exit 77
}
export FLOTILLA_LARGE_MB="${1-600}"
export FLOTILLA_BIN="${FLOTILLA_BIN-$PWD/build/bin}"
export FLOTILLA_BUILD="${FLOTILLA_BUILD-$PWD/build/release}"
play() {
    python3 -m pytest -q -x -s -rfEs -p no:cacheprovider \
        tests/integration/test_real_store.py
}
# A database of its own for each.
[ ! -d "$place/s3proxy" ] || FLOTILLA_S3PROXY="$place/s3proxy" play
[ ! -x "$place/versitygw" ] || FLOTILLA_VERSITYGW="$place/versitygw" play
