#!/bin/sh
# Install what building, the demo and the tests need (Debian 12 or newer).
#
# usage: install-deps.sh [--tests | --optional | --model]
# Does nothing when everything is there, so it needs no network then. Prints
# the one apt-get line before it runs it. --tests adds the browser that looks at the screens;
# who cannot install it is told so, and its tests are skipped. --optional adds the tools of the
# test lanes that are skipped without them (arm64, fuzzing, format check, the page in a browser,
# promtool of prometheus, which Debian starts on port 9090; an identity provider;
# the packages of docs/examples/device.py);
# --model what fetches the model of `make demo-real`.
set -eu

needed="gcc libc6-dev make cmake ninja-build pkg-config
libpaho-mqtt-dev libsqlite3-dev libmbedtls-dev libevent-dev libjansson-dev
libcurl4-openssl-dev libarchive-dev libzstd-dev libbz2-dev libdivsufsort-dev
libyaml-dev libssl-dev libcmocka-dev libpq-dev
mosquitto mosquitto-clients bsdiff curl openssl procps tzdata python3 python3-pytest"
browser=chromium-headless-shell
optional="ccache clang-14 clang-format-14 clang-tidy-14 codespell libclang-rt-14-dev llvm-14 lld-14
gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
debootstrap qemu-user-static hyperfine e2fsprogs
python3-venv python3-cryptography python3-paho-mqtt $browser postgresql prometheus glewlwyd"

wants_optional=0
[ "${1:-}" = --optional ] && wants_optional=1
[ $wants_optional -eq 0 ] || needed="$needed $optional"
[ "${1:-}" != --model ] || python3 -m pip --version >/dev/null 2>&1 ||
    needed="$needed python3-pip"

# The Python clients of OpenAI, Ollama and Anthropic for their tests, whisper.cpp
# and ONNX Runtime for their lanes, schemathesis for the controller's API, into
# build/openai.  Without them (and without a network) their tests are skipped
# and say so.
install_client() {
    [ $wants_optional -eq 1 ] || return 0
    folder=$(dirname "$0")/../build/openai
    [ ! -f "$folder/installed-6" ] || return 0
    python3 -c 'import openai, ollama, anthropic, pywhispercpp, onnx, onnxruntime, schemathesis' 2>/dev/null && return 0
    echo "+ python3 -m venv build/openai && build/openai/bin/pip install openai ollama anthropic schemathesis pywhispercpp onnx onnxruntime"
    { mkdir -p "$(dirname "$folder")" && python3 -m venv "$folder" &&
        "$folder/bin/pip" -q install --timeout 20 --retries 1 openai \
            ollama==0.6.3 anthropic==2.14.0 schemathesis==4.32.5 &&
        "$folder/bin/pip" -q install --timeout 20 --retries 1 \
            pywhispercpp==1.5.1 onnx onnxruntime &&
        touch "$folder/installed-6"; } >/tmp/flotilla-pip.$$ 2>&1 ||
        { tail -1 /tmp/flotilla-pip.$$
          echo "skipped: tests with the clients of OpenAI, Ollama or Anthropic, schemathesis, whisper.cpp or ONNX Runtime"; }
    rm -f /tmp/flotilla-pip.$$
}

# axe-core for the page's test, into build/node_modules, where npm is there.
install_axe() {
    [ $wants_optional -eq 1 ] && command -v npm >/dev/null || return 0
    folder=$(dirname "$0")/../build
    [ ! -d "$folder/node_modules/axe-core" ] || return 0
    mkdir -p "$folder"
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts \
        --prefix "$folder" axe-core@4.10.2 >/dev/null 2>&1 ||
        echo "skipped: the page's test with axe-core"
}

# Real client packages for e2e_clients, into build/clients: those of PyPI, of
# LlamaIndex, which needs an older `openai`, and of npm, all as they are pinned.
lists=$(dirname "$0")/../tests/integration/clients
clients=$(dirname "$0")/../build/clients
install_python_clients() {
    folder=$clients/$1
    ! cmp -s "$lists/$1.txt" "$folder/installed" || return 0
    echo "+ python3 -m venv build/clients/$1 && build/clients/$1/bin/pip install -r tests/integration/clients/$1.txt"
    { rm -rf "${folder:?}" && python3 -m venv "$folder" &&
        "$folder/bin/pip" -q install --timeout 20 --retries 1 --no-compile \
            --no-deps -r "$lists/$1.txt" &&
        cp "$lists/$1.txt" "$folder/installed"; } >/tmp/flotilla-$1.$$ 2>&1 || {
        tail -1 /tmp/flotilla-$1.$$
        rm -rf "${folder:?}"
        echo "skipped: e2e_clients with the packages of $1.txt"
    }
    rm -f /tmp/flotilla-$1.$$
}
install_npm_clients() {
    folder=$clients/node
    command -v npm >/dev/null || return 0
    ! cmp -s "$lists/package-lock.json" "$folder/installed" || return 0
    echo "+ npm ci --prefix build/clients/node"
    { mkdir -p "$folder" &&
        cp "$lists/package.json" "$lists/package-lock.json" "$folder" &&
        npm ci --silent --no-audit --no-fund --ignore-scripts \
            --prefix "$folder" >/dev/null 2>&1 &&
        cp "$lists/package-lock.json" "$folder/installed"; } || {
        rm -rf "${folder:?}"
        echo "skipped: e2e_clients with npm's packages"
    }
}
install_clients() {
    [ $wants_optional -eq 1 ] || return 0
    mkdir -p "$clients"
    install_python_clients python &
    install_python_clients llama-index &
    wait
    install_npm_clients
}

missing_of() {
    missing=
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        # A package of two architectures says it twice.
        case "$status" in
        installed*) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ]
}

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
may_install() { [ -z "$sudo" ] || command -v sudo >/dev/null; }
install_missing() {
    [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ] ||
        { echo "+ $sudo apt-get update"; $sudo apt-get update -q; }
    echo "+ $sudo apt-get install -y --no-install-recommends$missing"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy \
        --no-install-recommends $missing >/tmp/flotilla-deps.$$ 2>&1 || {
        tail -5 /tmp/flotilla-deps.$$ >&2
        rm -f /tmp/flotilla-deps.$$
        return 1
    }
    rm -f /tmp/flotilla-deps.$$
}

# shellcheck disable=SC2086
if missing_of $needed; then
    may_install || {
        echo "error[absent]: packages are missing and there is no sudo" >&2
        echo "  fix: as root: apt-get install$missing" >&2
        exit 3
    }
    install_missing || {
        echo "error[absent]: the packages could not be installed" >&2
        echo "  fix: run 'apt-get update' and the line above by hand" >&2
        exit 3
    }
fi
if [ "${1:-}" = --tests ] && missing_of "$browser"; then
    { may_install && install_missing; } ||
        echo "skipped: tests of the screens; as root: apt-get install $browser"
fi
install_client
install_axe
install_clients
