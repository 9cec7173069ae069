#!/bin/sh
# Sees to the programs that some tests drive: a browser, R and nginx. Root installs what is missing;
# a plain user is told which tests are skipped. With CI=1 a missing program is an error.
set -eu

# Debian keeps nginx where a plain user's PATH does not look.
PATH=$PATH:/usr/sbin
missing=
for tool in chromium:chromium Rscript:r-base-core nginx:nginx-light; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of packages
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
        exit 0
    fi
fi
for package in $missing; do
    case $package in
        chromium) echo "chromium is missing: tests with a browser are skipped." ;;
        nginx-light) echo "nginx is missing: tests of its configuration are skipped." ;;
        r-base-core) echo "R (Rscript) is missing: tests with R's own client are skipped." ;;
    esac
done
if [ -n "${CI:-}" ]; then
    echo "With CI set, a missing program is an error." >&2
    exit 1
fi
