#!/usr/bin/env bash
# The tests of pipeline.py on a SLURM of this machine's own, with accounting and without. `make test-slurm` runs it.
# It needs root, for SLURM's daemons, and Debian's packages, which it installs.
set -euo pipefail
cd "$(dirname "$0")/../.."
packages=(slurmctld slurmd slurm-client munge slurmdbd mariadb-server)

skip() {
  echo "SKIPPED: $1, so nothing was run through SLURM"
  exit 0
}

[ "$(id -u)" = 0 ] || skip "this is not root"
config=/etc/slurm/slurm.conf
[ ! -e $config ] || grep -q tests/slurm/cluster.sh $config || skip "$config is of another SLURM"
if ! dpkg --status "${packages[@]}" > /dev/null 2>&1; then
  command -v apt-get > /dev/null || skip "there is no apt-get to install ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install --yes --no-install-recommends "${packages[@]}"; } > /dev/null ||
    skip "apt-get cannot install ${packages[*]}"
fi
# one at a time on this machine
[ -n "${LOCKED-}" ] || LOCKED=yes exec flock --close /run/lock/test-slurm "$0"

folder=$(mktemp -d)
chmod 755 "$folder" # for MariaDB's user
trap 'tests/slurm/cluster.sh stop "$folder/$mode"; rm -rf "$folder"' EXIT
for mode in accounting plain; do
  tests/slurm/cluster.sh start "$folder/$mode" $mode > "$folder/log"
  .venv/bin/python -m pytest -rs --basetemp "$folder/tests" tests/slurm/pipeline.py
  tests/slurm/cluster.sh stop "$folder/$mode"
done
