"""The bash that every job script carries: the claim at its head, the pool of tasks, the exit marker.

    claim 4211 0 node7 4242 3145912345      first line: native id, restarts, node, pid, a random number
    task 3 0 1790000123 .                   a task of this job ended: position, exit code, end time
    err 4 Segmentation fault                last lines of a failing task's stderr
    end 1 1790000200 .                      exit marker: the job is over, and its exit code

All of it stands in one file, `<nonce>.claim`. The copy of the job that owns it
keeps it open: once somebody else's file has taken the name (a requeued life,
a withdrawal by the dispatcher), a copy that still runs somewhere writes into
a file without a name, and starts no further task. A line counts only when
its final dot is there; the exit marker replaces the file in one rename.
"""

from __future__ import annotations

#: Settles who runs this attempt. Needs dsp_claim, dsp_node, dsp_native, dsp_restarts.
CLAIM = r"""
dsp_mine="claim $dsp_native $dsp_restarts $dsp_node $$ $RANDOM$RANDOM$RANDOM"
dsp_own=$dsp_claim.$dsp_node.$$
printf '%s\n' "$dsp_mine" > "$dsp_own" || exit 93
# The exit code of ln is not trusted (a lost reply of a file server); what the file says is.
ln -- "$dsp_own" "$dsp_claim" 2>/dev/null || [ -e "$dsp_claim" ] ||
  (set -o noclobber && printf '%s\n' "$dsp_mine" > "$dsp_claim") 2>/dev/null
IFS= read -r dsp_owner < "$dsp_claim" || dsp_owner=
if [ "$dsp_owner" != "$dsp_mine" ]; then
  read -r _ dsp_first dsp_restart_count _ <<< "$dsp_owner"
  if [ "$dsp_first" = "$dsp_native" ] && [ "$dsp_restart_count" -lt "$dsp_restarts" ] 2>/dev/null; then
    # Requeued by the site: this life takes over, and what the earlier one finished stays finished.
    grep -E '^task [0-9]+ 0 [0-9]+ \.$' -- "$dsp_claim" >> "$dsp_own"
    mv -f -- "$dsp_own" "$dsp_claim"
  else
    printf 'fenced %s\n' "$dsp_native" >> "$dsp_claim.fenced"
    rm -f -- "$dsp_own"
    exit 0
  fi
fi
exec 199>> "$dsp_claim"
dsp_done=' '
while read -r dsp_word dsp_index dsp_code _; do
  [ "$dsp_word $dsp_code" != 'task 0' ] || dsp_done+="$dsp_index "
done < "$dsp_claim"
dsp_still_mine() { [ "$dsp_claim" -ef /dev/fd/199 ]; }
dsp_still_mine || exit 0
rm -f -- "$dsp_own"
"""

#: Runs the tasks, `dsp_width` of each lane at once, the next one as soon as one ends. Needs dsp_lane, dsp_errors.
POOL = r"""
set +eu
IFS=$' \t\n'
rm -f -- "$dsp_own.fifo"
mkfifo -m 600 -- "$dsp_own.fifo" || exit 93
exec 198<> "$dsp_own.fifo"
rm -f -- "$dsp_own.fifo"
dsp_running=0 dsp_failed=0 dsp_pids=() dsp_lane_of=() dsp_silent=()
dsp_clock() { printf -v dsp_time '%(%s)T' -1 2> /dev/null || dsp_time=$(date +%s); } # bash before 4.2 has no %()T
dsp_launch() { # start the next task of lane $1
  local lane=$1 task
  while [ -n "${dsp_lane[lane]}" ]; do
    task=${dsp_lane[lane]%% *}
    dsp_lane[lane]=${dsp_lane[lane]#* }
    case "$dsp_done" in *" $task "*) continue ;; esac
    dsp_still_mine || return 0
    {
      ("dsp_task_$task" 198>&- 199>&-)
      printf '%s %s\n' "$task" "$?" >&198
    } 199>&- < /dev/null &
    dsp_pids[task]=$! dsp_lane_of[task]=$lane
    dsp_running=$((dsp_running + 1))
    return 0
  done
}
dsp_ended() { # task $1 ended with exit code $2
  [ -n "${dsp_pids[$1]}" ] || return 0
  unset "dsp_pids[$1]"
  dsp_running=$((dsp_running - 1))
  if [ "$2" -ne 0 ]; then
    dsp_failed=1
    if [ -n "${dsp_errors[$1]}" ] && [ -f "${dsp_errors[$1]}" ]; then
      { tail -c 1000 -- "${dsp_errors[$1]}" | tr -d '\000\r' | sed "s/^/err $1 /"; echo; } >&199
    fi
  fi
  dsp_clock
  printf 'task %s %s %s .\n' "$1" "$2" "$dsp_time" >&199
  dsp_launch "${dsp_lane_of[$1]}"
}
dsp_reap() { # a task whose shell was killed cannot report: found dead in two rounds, it ended with 137
  local task
  for task in "${!dsp_pids[@]}"; do
    if kill -0 "${dsp_pids[task]}" 2>/dev/null; then
      dsp_silent[task]=
    elif [ -n "${dsp_silent[task]}" ]; then
      dsp_ended "$task" 137
    else
      dsp_silent[task]=yes
    fi
  done
}
for dsp_index in "${!dsp_lane[@]}"; do
  for ((dsp_slot = 0; dsp_slot < dsp_width; dsp_slot++)); do dsp_launch "$dsp_index"; done
done
dsp_part=
while [ "$dsp_running" -gt 0 ]; do
  if IFS= read -r -t 5 dsp_line <&198; then
    dsp_line=$dsp_part$dsp_line
    dsp_part=
    dsp_ended "${dsp_line%% *}" "${dsp_line##* }"
  else
    dsp_part=$dsp_part$dsp_line # a time-out may come in the middle of a line
    dsp_reap
  fi
done
"""

#: Publishes the exit marker: the whole claim with its last line, in one rename.
END = r"""
dsp_still_mine || exit 0
dsp_clock
{
  cat < "$dsp_claim"
  printf 'end %s %s .\n' "$dsp_failed" "$dsp_time"
} > "$dsp_own" && dsp_still_mine && mv -f -- "$dsp_own" "$dsp_claim"
exit "$dsp_failed"
"""
