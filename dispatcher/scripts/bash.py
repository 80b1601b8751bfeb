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

The text is for bash 3.2 and later; it forks nothing but tasks while all goes well.
"""

from __future__ import annotations

from hashlib import sha1

from . import environment, pool

_HEAD = r"""
if shopt -q expand_aliases; then dsp_aliases=yes; else dsp_aliases=; fi
shopt -u expand_aliases nocasematch extdebug
set +o posix +efu
unset -f enable printf read test [ kill wait trap exec eval exit local set shift
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
  if [ -O "$dsp_own" ] && ! [ -O "${dsp_claim%/*}" ]; then
    echo "${dsp_claim%/*} belongs to somebody else: nothing is run" >&2
    rm -f -- "$dsp_own"
    exit 93
  fi
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
dsp_signals=0 dsp_signalled='' dsp_stopped='' dsp_over='' dsp_pooling='' dsp_step='its first line'
dsp_failed=0 dsp_running=0
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
    # shellcheck disable=SC2086
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

"""

_END = r"""
# -- the end ----------------------------------------------------------------------------------------------------------
dsp_settle() { # before success is told, or a task that a signal has ended: $1 seconds for it to reach us, too
  [ "$dsp_failed" -eq 0 ] || [ -n "$dsp_signalled" ] || return 0
  read -r -t "$1" dsp_line <&198 2> /dev/null || :
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

#: Functions only: a script sources them, or holds them, and then calls dsp_begin, dsp_pool, dsp_task …, dsp_finish.
FUNCTIONS = _HEAD + environment.BASH + pool.BASH + _END
#: The name of the file that holds them beside the scripts; another text has another name.
NAME = f"pool-{sha1(FUNCTIONS.encode(), usedforsecurity=False).hexdigest()[:8]}.bash"
