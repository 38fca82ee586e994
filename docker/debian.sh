# Sourced by scripts that make a Debian of their own: where its packages come from, and what pip needs
# there that this machine has.

# The archive of Debian that apt uses here.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016  # apt fills these in
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    'Origin: Debian' 'Label: Debian' 'Component: main' | sort -u | sed -n 1p)
  [[ $mirror ]] || fail "apt knows no archive of Debian: see its sources, and run apt-get update"
  printf '%s\n' "$mirror"
}

# Lets debootstrap go through the proxy that apt goes through, if any.
use_apt_proxy() {
  local proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [[ -z $proxy ]] || export http_proxy=$proxy
}

# The files of pip's configuration, and what they and the environment name on this machine: other
# files, certificates, folders of packages. A local index has its packages beside it.
#   pip_paths PYTHON
pip_paths() {
  "$1" -m pip config debug | sed -n 's#^  \(/.*\), exists: True$#\1#p'
  { "$1" -m pip config list && env | grep -E '^(SSL_CERT|REQUESTS_CA|CURL_CA)' || true; } |
    sed 's/^[^=]*=//; s/\\n/ /g' | tr "'\" \t" '\n' |
    sed -E 's#^file://(/.+)/[^/]+/?$#\1#' | grep '^/' || true
}
