#!/usr/bin/env bash
# scripts/install.sh install|uninstall DESTDIR PREFIX: installs the programs of `make build`, or removes them.
#
#   bin/                dcf, dcf-gateway, dcf-watcher
#   lib/dcf/            libPythonWatcher.so; for debug builds also the libraries of the Swift runtime
#   lib/systemd/system  dcf-gateway.service
#   share/              completions for bash, zsh and fish
set -euo pipefail
cd "$(dirname "$0")/.."

action=$1 prefix=$3 root=$2$3
built=${DCF_BIN:-.build/release}
programs=(dcf dcf-gateway dcf-watcher)

if [[ $action == uninstall ]]; then
    rm -rf "$root/lib/dcf"
    for program in "${programs[@]}"; do rm -f "$root/bin/$program"; done
    rm -f "$root/lib/systemd/system/dcf-gateway.service" "$root/share/bash-completion/completions/dcf" \
        "$root/share/zsh/site-functions/_dcf" "$root/share/fish/vendor_completions.d/dcf.fish"
    exit
fi

for file in "${programs[@]}" libPythonWatcher.so; do
    [[ -e $built/$file ]] || {
        echo "$built/$file is not there; run make build first" >&2
        exit 66
    }
done

# The Swift runtime libraries that a program needs: those that the loader finds in the folder of libswiftCore.so.
runtime=$(ldd "$built/dcf" | awk '$1 == "libswiftCore.so" { sub("/[^/]*$", "", $3); print $3 }')
runtime_of() {
    [[ -n $runtime ]] || return 0
    ldd "$@" | awk -v under="$runtime/" '$2 == "=>" && index($3, under) == 1 { print $3 }' | sort -u
}

install -d "$root/bin" "$root/lib/dcf" "$root/lib/systemd/system" "$root/share/bash-completion/completions" \
    "$root/share/zsh/site-functions" "$root/share/fish/vendor_completions.d"
install -m 755 "${programs[@]/#/$built/}" "$root/bin"
install -m 644 "$built/libPythonWatcher.so" "$root/lib/dcf"
runtime_of "$built/dcf" "$built/dcf-gateway" | while read -r library; do
    install -m 644 "$library" "$root/lib/dcf"
done
sed "s|@PREFIX@|$prefix|g" scripts/dcf-gateway.service.in >"$root/lib/systemd/system/dcf-gateway.service"
"$built/dcf" --generate-completion-script bash >"$root/share/bash-completion/completions/dcf"
"$built/dcf" --generate-completion-script zsh >"$root/share/zsh/site-functions/_dcf"
"$built/dcf" --generate-completion-script fish >"$root/share/fish/vendor_completions.d/dcf.fish"
echo "installed below $root: $("$built/dcf" --version 2>/dev/null || true)"
