r"""The bash that runs the tasks of a job, so many at once.

    dsp_pool 2 0                             two at once, no GPUs to share out
    dsp_task 0 bct-0 log err 'lmp -i in'     returns when the task has begun: at once, or when another has ended
    dsp_drain                                until the last has ended

A task is a shell of its own (one fork, and what its command forks). It tells
the pool through a pipe that it ends; one that cannot (`exec`, `kill -9`) is
found dead within two seconds. It writes how it ended itself, where it can; else
its exit code is what `wait` says.

With GPUs each has a queue of its own, so that a long task holds back no other GPU.
"""

from __future__ import annotations

#: Functions; they use those of `bash`.
BASH = r"""
# -- the pool: $1 tasks at once; with $2 GPUs as many on each. The next task starts as soon as one has ended -----------
dsp_pool() {
  set +efu
  IFS=$' \t\n'
  dsp_guard again
  dsp_width=$1 dsp_gpus=$2 dsp_size=${dsp_size:-1} dsp_nth=0 dsp_line='' dsp_beat=0 dsp_passed=''
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
    trap dsp_report EXIT
    trap : USR1 USR2 XCPU
    dsp_index=$2 dsp_told=n
    case $6 in
      *exec* | *trap*) (dsp_run "$@") ;; # these would take the report away
      *) dsp_run "$@" ;;
    esac
    dsp_code=$?
    dsp_clock
    dsp_write "task $2 $dsp_code $dsp_time ." && dsp_told=y # at once, whatever becomes of the main shell
    exit "$dsp_code"
  } < /dev/null &
  dsp_pid[$2]=$! dsp_of[$!]=$2 dsp_lane[$2]=$1
  dsp_busy[$1]=$((${dsp_busy[$1]:-0} + 1))
  dsp_running=$((dsp_running + 1))
}
dsp_report() { # also when the command calls `exit`, where the pipe is closed to it
  { printf '%s\n' "$dsp_told$dsp_index" >&198; } 2> /dev/null ||
    printf '%s\n' "$dsp_told$dsp_index" 2> /dev/null 1<> "/proc/$$/fd/198"
}
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
  if read -r -t 2 line <&198; then # no IFS= before it: what a signal has us do meanwhile would have it, too
    line=$dsp_line$line dsp_line=''
    [ -z "${dsp_pid[${line#?}]}" ] || dsp_collect "${line#?}" "${line%"${line#?}"}"
    return 0
  fi
  dsp_line=$dsp_line$line # a time-out may come in the middle of a line
  for line in "${!dsp_pid[@]}"; do
    [ -z "${dsp_pid[line]}" ] || kill -0 "${dsp_pid[line]}" 2> /dev/null || dsp_collect "$line" n
  done
  case $dsp_stopped$dsp_passed in '' | fenced | *yes) ;; *) dsp_passed=yes && dsp_pass "$dsp_stopped" 0 all ;; esac
  dsp_clock
  [ "$dsp_time" -lt "$dsp_beat" ] || { # a sign of life
    dsp_beat=$((dsp_time + 30))
    ! [ "$dsp_claim" -ef /dev/fd/199 ] || touch -c -- "$dsp_claim" 2> /dev/null
  }
}
dsp_collect() { # task $1 has ended; $2 is y when it has written so
  local code before told=$2 lane=${dsp_lane[$1]}
  while :; do
    before=$dsp_signals
    wait "${dsp_pid[$1]}"
    code=$?
    [ "$before" != "$dsp_signals" ] || break # else it is the signal that ended the wait
  done
  unset "dsp_of[${dsp_pid[$1]}]" "dsp_pid[$1]" "dsp_lane[$1]"
  dsp_busy[lane]=$((dsp_busy[lane] - 1))
  dsp_running=$((dsp_running - 1))
  [ -z "$dsp_stopped" ] || [ "$dsp_stopped" = fenced ] || [ "$code" -ne 0 ] || code=143 told=n
  if [ "$code" -ne 0 ]; then
    dsp_failed=1
    [ "$code" -le 128 ] || dsp_signalled=yes
    dsp_tell "${dsp_errors[$1]}" "${dsp_seen[$1]}" "err $1"
  fi
  unset "dsp_errors[$1]" "dsp_seen[$1]"
  dsp_clock
  [ "$told" = y ] || dsp_write "task $1 $code $dsp_time ."
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
  } >&199
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
"""
