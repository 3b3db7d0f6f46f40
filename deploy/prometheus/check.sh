#!/bin/sh
# Check the configuration, the rules and what makes each alert fire. Needs promtool, a part of Prometheus.
set -eu
cd "$(dirname "$0")"
if ! command -v promtool >/dev/null; then
  echo "Prometheus' rules were not checked: promtool is not on PATH (Debian: apt install prometheus)"
  exit 0
fi
promtool check config prometheus.yml
promtool test rules tests/*.yml
