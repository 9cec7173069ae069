#!/bin/sh
# No file may name a package registry's host: where packages come from is the machine's choice.
set -eu
cd "$(dirname "$0")/.."
hosts='pypi[.]org|pythonhosted[.]org|deb[.]debian[.]org|security[.]debian[.]org|npmjs[.]org'
if git grep -nIE "$hosts" -- .; then
    echo "The lines above name a package registry's host." >&2
    exit 1
fi
