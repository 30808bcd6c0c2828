#!/bin/sh
# need.sh PROGRAM PACKAGE [PROGRAM PACKAGE ...]
#
# Makes sure that each PROGRAM can be run (or, with a slash in it, is a file): installs
# the Debian package that has it when this is root on Debian, else says what to install.
# Called by the suites that need more than Python, a C compiler and make.
set -eu

present() {
    case $1 in
    */*) ls $1 >/dev/null 2>&1 ;; # unquoted: it may be a pattern
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing=
while [ $# -ge 2 ]; do
    present "$1" || missing="$missing $2"
    shift 2
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "need.sh: please install:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
{
    apt-get -qq update
    apt-get -qq install --no-install-recommends $missing
} >&2
