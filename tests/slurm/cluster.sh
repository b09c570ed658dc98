#!/usr/bin/env bash
# A SLURM of one node on loopback, with two pretended GPUs:  cluster.sh start FOLDER accounting|plain, cluster.sh stop FOLDER
# As root, with Debian's slurmctld, slurmd, slurm-client and munge, for accounting also slurmdbd and mariadb-server.
set -euo pipefail
action=${1:?start or stop} folder=${2:?folder for state and logs} mode=${3:-}
node=$(hostname -s)
etc=/etc/slurm # not SLURM_CONF: Snakemake's jobs do not hand SLURM_* on
mark="# of tests/slurm/cluster.sh"
sql=(mariadb --no-defaults --socket="$folder/mariadb.sock")

main() {
  if [ -e $etc/slurm.conf ] && ! grep -qx "$mark" $etc/slurm.conf; then
    echo "error: $etc/slurm.conf is not of these tests: this machine has a SLURM of its own" >&2
    exit 2
  fi
  "$action"
}

start() {
  mkdir -p "$folder"/{state,spool,log,pid} $etc
  write_config
  munge -n > /dev/null 2>&1 || start_munge
  [ "$mode" = plain ] || start_accounting
  slurmctld
  slurmd
  until_true "sinfo --noheader --format=%T | grep -qx idle"
}

start_munge() {
  [ -s /etc/munge/munge.key ] || mungekey --create --keyfile=/etc/munge/munge.key
  chown munge: /etc/munge/munge.key
  install -d -o munge -g munge /run/munge
  runuser -u munge -- munged
  ln -s /run/munge/munged.pid "$folder/pid/munged.pid"
}

write_config() {
  # other processors and more memory than the machine has, so that the rules' own requests fit
  cat > $etc/slurm.conf <<CONF
$mark
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/pid/slurmctld.pid
SlurmdPidFile=$folder/pid/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
KillWait=2
$([ "$mode" = plain ] || printf '%s\n' AccountingStorageType=accounting_storage/slurmdbd AccountingStorageHost=localhost \
    AccountingStorageTRES=gres/gpu)
NodeName=$node NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=$node Default=YES
PartitionName=gpu Nodes=$node
CONF
  echo "NodeName=$node Name=gpu Count=2 File=/dev/zero,/dev/null" > $etc/gres.conf
}

start_accounting() {
  install -d -o mysql "$folder/mariadb"
  mariadb-install-db --no-defaults --user=mysql --datadir="$folder/mariadb" --skip-test-db > "$folder/log/mariadb.log" 2>&1
  mariadbd --no-defaults --user=root --datadir="$folder/mariadb" --socket="$folder/mariadb.sock" --skip-networking=0 \
    --bind-address=127.0.0.1 --port=33306 --pid-file="$folder/pid/mariadbd.pid" >> "$folder/log/mariadb.log" 2>&1 &
  until_true '"${sql[@]}" --execute="select 1"'
  "${sql[@]}" --execute="create database slurm_acct_db; create user slurm@127.0.0.1 identified by 'slurm';
    grant all on slurm_acct_db.* to slurm@127.0.0.1"
  install -m 600 /dev/stdin $etc/slurmdbd.conf <<CONF
AuthType=auth/munge
DbdHost=localhost
CommunicationParameters=NoInAddrAny
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=33306
StorageUser=slurm
StoragePass=slurm
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/pid/slurmdbd.pid
CONF
  slurmdbd
  until_true "sacctmgr --noheader show cluster"
  sacctmgr --immediate --quiet add cluster test
  sacctmgr --immediate --quiet add account lab cluster=test
  sacctmgr --immediate --quiet add user root account=lab
}

stop() {
  [ -e $etc/slurm.conf ] || return 0
  scancel --user=root 2> /dev/null || true
  until_true '[ -z "$(squeue --noheader)" ]' || true
  for daemon in slurmd slurmctld slurmdbd mariadbd munged; do
    [ -e "$folder/pid/$daemon.pid" ] || continue
    pid=$(cat "$folder/pid/$daemon.pid")
    kill "$pid" || continue
    until_true "! kill -0 $pid" || kill -KILL "$pid"
  done
  rm -f $etc/{slurm,gres,slurmdbd}.conf
}

until_true() {
  for _ in $(seq 300); do
    if eval "$1" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "error: after 30 s still not true: $1; see $folder/log" >&2
  return 1
}

main
