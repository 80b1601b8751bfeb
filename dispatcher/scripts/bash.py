r"""The bash that every job script uses: the claim at its head, the pool of tasks, the exit marker.

    claim 4211 0 node7 4242 3145912345      first line: native id, restarts, node, pid, a random number
    note source_list: ./env.sh: not there   what was wrong before the first task
    task 3 0 1790000123 .                   a task of this job ended: position, exit code, end time
    err 4 Segmentation fault                last lines of a failing task's stderr
    signal TERM 1790000130 .                from here on, and five seconds back, no success counts
    log slurmstepd: error: …                last lines of the job's own output, when it failed
    end 1 1790000200 .                      exit marker: the job is over, and its exit code

All of it stands in one file, `<nonce>.claim`. The copy of the job that owns it
keeps it open: once somebody else's file has taken the name (a requeued life,
a withdrawal by the dispatcher), a copy that still runs somewhere writes into
a file without a name, and starts no further task. When the name is gone and
nobody else has taken it (the directory was purged), the file is put back at
the end. A line that says how something ended counts only when its final dot is
there.

A task is a shell of its own (one fork, and what its command forks). It tells
the pool through a pipe that it ends; one that cannot (`exec`, `kill -9`) is
found dead within two seconds. Its exit code is what `wait` says.

The text is for bash 3.2 and later; it forks nothing but tasks while all goes well.
"""

from __future__ import annotations

from hashlib import sha1

#: Functions only: a script sources them, or holds them, and then calls dsp_begin, dsp_pool, dsp_task …, dsp_finish.
FUNCTIONS = r"""
if shopt -q expand_aliases; then dsp_aliases=yes; else dsp_aliases=; fi
shopt -u expand_aliases nocasematch extdebug
unset -f enable printf read test [ kill wait trap exec eval exit local set shift
set +efu
IFS=$' \t\n'
enable . : [ break builtin cd command continue eval exec exit export kill local printf read return set shift shopt \
  source test trap unset wait || {
  echo "dispatcher: a profile of this shell (/etc/profile, ~/.bash_profile, BASH_ENV) has disabled commands of bash" >&2
  exit 92
}

# -- the claim: which copy of this attempt runs its tasks; needs dsp_claim, dsp_native, dsp_restarts ----------------
dsp_clock() { printf -v dsp_time '%(%s)T' -1 2> /dev/null || dsp_time=$(date +%s); } # bash before 4.2 has no %()T
dsp_write() { # a line of the claim; what was torn (disk full) stands on a line of its own
  printf '%s\n' "$1" >&199 && return 0
  sleep 5
  printf '\n%s\n' "$1" >&199
}
dsp_note() { dsp_write "note ${1//$'\n'/ }"; }
# a name that is missing was purged with its directory: only another file under that name is somebody else's
dsp_still_mine() { [ "$dsp_claim" -ef /dev/fd/199 ] || [ ! -e "$dsp_claim" ]; }
dsp_read_claim() { # sets dsp_done to the end times of tasks that ended well, unless a signal came within 5 s
  local word index code at dot
  dsp_done=()
  while read -r word index code at dot; do
    if [ "$word" = signal ]; then
      case $code in '' | *[!0-9]*) continue ;; esac
      for index in "${!dsp_done[@]}"; do [ "${dsp_done[index]}" -lt $((code - 5)) ] || unset "dsp_done[$index]"; done
    elif [ "$word $code $dot" = 'task 0 .' ]; then
      case $index$at in '' | *[!0-9]*) ;; *) dsp_done[10#$index]=$at ;; esac
    fi
  done < "$1"
}
dsp_begin() {
  local owner first restarts index
  dsp_mine="claim $dsp_native $dsp_restarts $dsp_node $$ $RANDOM$RANDOM$RANDOM"
  dsp_own=$dsp_claim.$dsp_node.$$
  printf '%s\n' "$dsp_mine" > "$dsp_own" && exec 199>> "$dsp_own" || exit 93
  # The exit code of ln is not trusted (a lost reply of a file server); which file has the name is.
  ln -- "$dsp_own" "$dsp_claim" 2> /dev/null
  if [ ! -e "$dsp_claim" ]; then # a file system without hard links
    (set -o noclobber && printf '%s\n' "$dsp_mine" > "$dsp_claim") 2> /dev/null
    IFS= read -r owner < "$dsp_claim"
    if [ "$owner" = "$dsp_mine" ]; then
      exec 199>> "$dsp_claim" || exit 93
      IFS= read -r owner < "$dsp_claim"
      [ "$owner" = "$dsp_mine" ] || exit 0
    fi
  fi
  if ! [ "$dsp_claim" -ef /dev/fd/199 ]; then
    read -r owner first restarts index < "$dsp_claim"
    if [ "$first" = "$dsp_native" ] && [ "$restarts" -lt "$dsp_restarts" ] 2> /dev/null; then
      # Requeued by the site: this life takes over, and what the earlier one finished stays finished.
      dsp_read_claim "$dsp_claim"
      for index in "${!dsp_done[@]}"; do printf 'task %s 0 %s .\n' "$index" "${dsp_done[index]}" >&199; done
      mv -f -- "$dsp_own" "$dsp_claim"
    else
      printf 'fenced %s\n' "$dsp_native" >> "$dsp_claim.fenced"
      rm -f -- "$dsp_own"
      exit 0
    fi
  fi
  [ "$dsp_claim" -ef /dev/fd/199 ] || exit 0
  dsp_read_claim "$dsp_claim"
  rm -f -- "$dsp_own"
  dsp_guard
}

# -- signals, and scripts that are left before their time -------------------------------------------------------------
dsp_signals=0 dsp_stopped='' dsp_over='' dsp_pooling='' dsp_step='its first line' dsp_failed=0 dsp_running=0
dsp_handler() { # sets dsp_does to what is done when $1 comes
  case ${1#SIG} in
    EXIT) dsp_does='dsp_left "$?"' ;;
    TERM) dsp_does='dsp_signal TERM 15' ;;
    INT) dsp_does='dsp_signal INT 2' ;;
    QUIT) dsp_does='dsp_signal QUIT 3' ;;
    HUP) dsp_does='dsp_signal HUP 1' ;;
    USR1) dsp_does='dsp_pass USR1 10 caught' ;; # these only warn
    USR2) dsp_does='dsp_pass USR2 12 caught' ;;
    XCPU) dsp_does='dsp_pass XCPU 24 caught' ;;
    *) dsp_does='' ;;
  esac
}
dsp_guard() { # set these traps; `again`: what the user's lines have trapped in the meantime is done, too
  local name theirs=''
  [ "$1" != again ] || theirs=$(trap -p)
  for name in EXIT TERM INT QUIT HUP USR1 USR2 XCPU; do
    dsp_handler "$name"
    trap -- "$dsp_does" "$name"
  done
  trap() { # what `trap -p` has printed calls it
    dsp_handler "$3"
    case $2 in
      dsp_*) ;;
      '') builtin trap '' "$3" ;;
      *) [ -z "$dsp_does" ] || builtin trap -- "$dsp_does; $2" "$3" ;;
    esac
  }
  eval "$theirs"
  unset -f trap
}
dsp_signal() { # this job is being ended: sites signal process by process, and a task's shell may go on for a moment
  dsp_signals=$((dsp_signals + 1)) dsp_stopped=$1
  dsp_clock
  dsp_write "signal $1 $dsp_time ."
  [ -n "$dsp_pooling" ] || exit $((128 + $2))
}
dsp_pass() { # pass signal $1, number $2, on to the processes below the tasks; `caught`: to those that wait for it only
  local file line pid at parent=()
  dsp_signals=$((dsp_signals + 1))
  [ -d /proc/self ] || [ "$3" = caught ] || kill -s "$1" "${dsp_pid[@]}" 2> /dev/null
  for file in /proc/[0-9]*/stat; do
    { IFS= read -r line < "$file"; } 2> /dev/null || continue
    pid=${file//[!0-9]/}
    set -- "$1" "$2" "$3" ${line##*) }
    parent[pid]=$5
  done
  for pid in "${!parent[@]}"; do
    at=$pid
    while [ "${at:-0}" -gt 1 ] && [ -z "${dsp_of[at]}" ]; do at=${parent[at]}; done
    [ "${at:-0}" -gt 1 ] || continue
    [ "$3" != caught ] || dsp_catches "$pid" "$2" || continue
    kill -s "$1" "$pid" 2> /dev/null
  done
}
dsp_catches() { # whether process $1 has a handler for signal number $2
  local key mask
  while read -r key mask; do
    [ "$key" = SigCgt: ] || continue
    return $((!((16#$mask >> ($2 - 1)) & 1)))
  done 2> /dev/null < "/proc/$1/status"
  return 1
}
dsp_left() { # the script ends with code $1 before its last task has
  [ -z "$dsp_over$dsp_stopped" ] && [ "$dsp_running" -eq 0 ] && dsp_still_mine || return 0
  dsp_note "the script ended in $dsp_step, with exit code $1, before its tasks: something there exits or fails"
  dsp_failed=1
  dsp_publish
}

# -- the user's environment -------------------------------------------------------------------------------------------
dsp_source() { # named before file $1 of source_list is sourced
  dsp_step="source_list: $1"
  [ -r "$1" ] || { [ "${1#*/}" = "$1" ] && type -P -- "$1" > /dev/null; } && return 0
  dsp_why='no such file'
  [ ! -e "$1" ] || dsp_why='it cannot be read'
  dsp_note "source_list: $1: $dsp_why on $dsp_node"
}
dsp_module() { # module $1, for entry $2 … of list $1; where a shell has not learnt the command, its own files teach it
  local dsp_list=$1 dsp_file
  dsp_step=$1
  shift
  for dsp_file in "${LMOD_PKG:-/nowhere}/init/bash" "${MODULESHOME:-/nowhere}/init/bash" /etc/profile.d/*mod*.sh; do
    ! type module > /dev/null 2>&1 || break
    # shellcheck disable=SC1090
    [ ! -r "$dsp_file" ] || . "$dsp_file"
  done
  if ! type module > /dev/null 2>&1; then
    dsp_note "$dsp_list: $*: there is no command module in a job's shell on $dsp_node"
  elif module "$@"; then :; else
    dsp_note "$dsp_list: module $*: exit code $? on $dsp_node"
  fi
}

# -- the pool: $1 tasks at once; with $2 GPUs as many on each. The next task starts as soon as one has ended -----------
dsp_pool() {
  set +efu
  IFS=$' \t\n'
  dsp_guard again
  dsp_width=$1 dsp_gpus=$2 dsp_nth=0 dsp_line='' dsp_beat=0 dsp_passed=''
  dsp_lane=() dsp_busy=() dsp_head=() dsp_last=() dsp_queue=() dsp_pid=() dsp_of=() dsp_seen=() dsp_errors=()
  mkfifo -m 600 -- "$dsp_own.fifo" && exec 198<> "$dsp_own.fifo" || exit 93
  rm -f -- "$dsp_own.fifo"
  [ "$dsp_gpus" -eq 0 ] || dsp_count_gpus
  dsp_step='its tasks' dsp_pooling=yes
  [ -z "$dsp_aliases" ] || shopt -s expand_aliases
}
dsp_task() { # task $1 in directory $2 appends its output to $3 and its errors to $4 (empty: not kept), and runs $5
  local nth=$dsp_nth lane=0
  dsp_nth=$((nth + 1))
  [ -z "$dsp_element" ] || [ $((nth / dsp_size)) -eq "$dsp_element" ] || return 0
  [ -z "${dsp_done[$1]}" ] || return 0
  [ "$dsp_gpus" -eq 0 ] || lane=$((nth / dsp_width % dsp_gpus))
  if [ "$dsp_gpus" -eq 0 ]; then
    while [ "$dsp_running" -ge "$dsp_width" ]; do dsp_await; done
  elif [ "${dsp_busy[lane]:-0}" -ge "$dsp_width" ]; then # it waits for its own GPU, and holds back no other
    printf -v nth '%q ' "$@"
    dsp_queue[${dsp_last[lane]:-0} * dsp_gpus + lane]=$nth
    dsp_last[lane]=$((${dsp_last[lane]:-0} + 1))
    return 0
  fi
  dsp_start "$lane" "$@"
}
dsp_start() { # in lane $1 the task $2 …
  [ -z "$dsp_stopped" ] || return 0
  dsp_still_mine || { dsp_stopped=fenced; return 0; }
  dsp_seen[$2]=0
  dsp_errors[$2]=${5:+$REMOTE_ROOT/$3/$5}
  [ ! -s "${dsp_errors[$2]:-/}" ] || [ ! -f "${dsp_errors[$2]}" ] || dsp_seen[$2]=$(wc -c < "${dsp_errors[$2]}")
  {
    trap 'dsp_report' EXIT
    trap : USR1 USR2
    dsp_index=$2
    case $6 in
      *exec* | *trap*) (dsp_run "$@") ;; # these would take the report away
      *) dsp_run "$@" ;;
    esac
  } < /dev/null &
  dsp_pid[$2]=$! dsp_of[$!]=$2 dsp_lane[$2]=$1
  dsp_busy[$1]=$((${dsp_busy[$1]:-0} + 1))
  dsp_running=$((dsp_running + 1))
}
dsp_report() { { printf '%s\n' "$dsp_index" >&198; } 2> /dev/null || printf '%s\n' "$dsp_index" 1<> "/proc/$$/fd/198"; }
dsp_run() { # a task, in a shell of its own; nothing of ours is left in its way
  local dsp_out=$4 dsp_err=$5 dsp_command=$6
  builtin cd -- "$REMOTE_ROOT/$3" 2> /dev/null || dsp_refuse "task_work_path: cannot enter $3"
  dsp_room outlog "$4" "$3"
  dsp_room errlog "$5" "$3"
  [ "$dsp_gpus" -eq 0 ] || dsp_gpu "$1"
  set --
  case ${dsp_out:+o}${dsp_err:+e} in
    oe) eval "$dsp_command" 1>> "$dsp_out" 2>> "$dsp_err" 198>&- 199>&- ;;
    o) eval "$dsp_command" 1>> "$dsp_out" 198>&- 199>&- ;;
    e) eval "$dsp_command" 2>> "$dsp_err" 198>&- 199>&- ;;
    *) eval "$dsp_command" 198>&- 199>&- ;;
  esac
}
dsp_refuse() { dsp_write "err $dsp_index $1"; exit 98; }
dsp_room() { # file $2 of the key $1 needs its directory
  case $2 in */*) [ -d "${2%/*}" ] || dsp_refuse "$1: $2: there is no directory ${2%/*} in $3" ;; esac
}
dsp_await() { # until a task has ended, or for two seconds
  local line
  if IFS= read -r -t 2 line <&198; then
    line=$dsp_line$line dsp_line=''
    [ -z "${dsp_pid[$line]}" ] || dsp_collect "$line"
    return 0
  fi
  dsp_line=$dsp_line$line # a time-out may come in the middle of a line
  for line in "${!dsp_pid[@]}"; do
    [ -z "${dsp_pid[line]}" ] || kill -0 "${dsp_pid[line]}" 2> /dev/null || dsp_collect "$line"
  done
  case $dsp_stopped$dsp_passed in '' | fenced | *yes) ;; *) dsp_passed=yes && dsp_pass "$dsp_stopped" 0 all ;; esac
  dsp_clock
  [ "$dsp_time" -lt "$dsp_beat" ] || { # a sign of life
    dsp_beat=$((dsp_time + 30))
    ! [ "$dsp_claim" -ef /dev/fd/199 ] || touch -c -- "$dsp_claim" 2> /dev/null
  }
}
dsp_collect() { # task $1 has ended
  local code before lane=${dsp_lane[$1]}
  while :; do
    before=$dsp_signals
    wait "${dsp_pid[$1]}"
    code=$?
    [ "$before" != "$dsp_signals" ] || break # else it is the signal that ended the wait
  done
  unset "dsp_of[${dsp_pid[$1]}]" "dsp_pid[$1]" "dsp_lane[$1]"
  dsp_busy[lane]=$((dsp_busy[lane] - 1))
  dsp_running=$((dsp_running - 1))
  [ -z "$dsp_stopped" ] || [ "$dsp_stopped" = fenced ] || [ "$code" -ne 0 ] || code=143
  if [ "$code" -ne 0 ]; then
    dsp_failed=1
    dsp_tell "${dsp_errors[$1]}" "${dsp_seen[$1]}" "err $1"
  fi
  unset "dsp_errors[$1]" "dsp_seen[$1]"
  dsp_clock
  dsp_write "task $1 $code $dsp_time ."
  [ "$dsp_gpus" -eq 0 ] || dsp_next "$lane"
}
dsp_next() { # start what waits for lane $1
  local key=$((${dsp_head[$1]:-0} * dsp_gpus + $1)) words
  [ -n "${dsp_queue[key]}" ] || return 0
  words=${dsp_queue[key]}
  unset "dsp_queue[$key]"
  dsp_head[$1]=$((${dsp_head[$1]:-0} + 1))
  eval "dsp_start $1 $words"
}
dsp_tell() { # the last lines of file $1, behind what it had when it had $2 bytes, each behind the words $3
  [ -n "$1" ] && [ -f "$1" ] || return 0
  {
    if [ "$2" -gt 0 ]; then tail -c "+$(($2 + 1))" -- "$1" | tail -c 1000; else tail -c 1000 -- "$1"; fi |
      LC_ALL=C tr -d '\000\r' | LC_ALL=C sed "s/^/$3 /"
    echo
  } >&199 2> /dev/null
}
dsp_drain() { while [ "$dsp_running" -gt 0 ]; do dsp_await; done; }

# -- GPUs: the nth of those that the job was given, in the words it was given them in ---------------------------------
dsp_split() { # sets dsp_list to the words of $1
  local IFS=$' ,\n'
  set -f
  # shellcheck disable=SC2206
  dsp_list=($1)
  set +f
}
dsp_local_gpus() { # sets dsp_list to the numbers that Torque or Grid Engine hand out beside the environment
  local name all=
  if [ -r "${PBS_GPUFILE:-/nowhere}" ]; then
    while read -r name; do
      case $name in "$dsp_node"-gpu* | "${dsp_node%%.*}"-gpu*) all="$all ${name##*gpu}" ;; esac
    done < "$PBS_GPUFILE"
  fi
  for name in "${!SGE_HGR_@}"; do all="$all ${!name//[!0-9 ]/}"; done
  dsp_split "$all"
}
dsp_gpu() { # leave GPU $1 to this task
  local name given=
  for name in CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ZE_AFFINITY_MASK; do
    [ -n "${!name+set}" ] || continue
    [ "$name" = ZE_AFFINITY_MASK ] || given=yes
    dsp_choose "$name" "$1" "${!name}"
  done
  [ -z "$given" ] || return 0
  # HIP counts from 0 in what ROCR leaves, so only one of them may choose
  if [ -n "$ROCR_VISIBLE_DEVICES" ]; then dsp_choose ROCR_VISIBLE_DEVICES "$1" "$ROCR_VISIBLE_DEVICES"; return 0; fi
  dsp_local_gpus
  dsp_choose CUDA_VISIBLE_DEVICES "$1" "${dsp_list[*]}"
  [ ${#dsp_list[@]} -gt 0 ] || export CUDA_VISIBLE_DEVICES="$1"
}
dsp_choose() { # in variable $1 the one with number $2 of $3
  dsp_split "$3"
  [ ${#dsp_list[@]} -eq 0 ] || export "$1=${dsp_list[$2 % ${#dsp_list[@]}]}"
}
dsp_count_gpus() {
  local given=${CUDA_VISIBLE_DEVICES-${HIP_VISIBLE_DEVICES-$ROCR_VISIBLE_DEVICES}}
  dsp_split "$given"
  [ -n "$given" ] || dsp_local_gpus
  [ ${#dsp_list[@]} -eq 0 ] || [ ${#dsp_list[@]} -ge "$dsp_gpus" ] ||
    dsp_note "gpu_per_node: $dsp_gpus GPUs were asked for, the job was given ${#dsp_list[@]} ($given): tasks share them"
}

# -- the end ----------------------------------------------------------------------------------------------------------
dsp_settle() { # before success is told, $1 seconds for the signal that ended the last task to reach us, too
  [ "$dsp_failed" -ne 0 ] || IFS= read -r -t "$1" dsp_line <&198 2> /dev/null || :
}
dsp_stop() { # ended by a signal, or another copy has taken over: what becomes of the job is not ours to say
  case $dsp_stopped in
    '') dsp_still_mine || { dsp_over=yes; exit 0; } ;;
    fenced) dsp_over=yes; exit 0 ;;
    *) dsp_over=yes; exit 143 ;;
  esac
}
dsp_publish() { # the exit marker; a claim whose directory was purged is put back
  [ "$dsp_failed" -eq 0 ] || dsp_tell /dev/fd/2 0 log
  dsp_clock
  dsp_write "end $dsp_failed $dsp_time ."
  dsp_over=yes
  [ ! -e "$dsp_claim" ] || return 0
  (umask 077 && mkdir -p -- "$dsp_control") && cat < /dev/fd/199 > "$dsp_own" && mv -f -- "$dsp_own" "$dsp_claim"
}
dsp_finish() {
  dsp_stop
  dsp_publish
  exit "$dsp_failed"
}
[ -z "$dsp_aliases" ] || shopt -s expand_aliases
"""

#: The name of the file that holds them beside the scripts; another text has another name.
NAME = f"pool-{sha1(FUNCTIONS.encode(), usedforsecurity=False).hexdigest()[:8]}.bash"
