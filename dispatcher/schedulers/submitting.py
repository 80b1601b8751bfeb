"""The shell text at the head of each submitting call: files, withdrawals, and one job after the other.

    dsp_revoke dq3v81kx0mza 3 da9w…     withdraws attempt dq3v…, of whose claim 3 lines are known, before da9w…
    dsp_submit da9w… 1                  runs dsp_command unless it has a receipt, and tells what it said

    da9w….1.asked    asked          some call has made the first request for da9w…, or is about to
    da9w….1.asked    withdrawn      a look for what became of it was earlier: nobody makes that request any more

That file is made by one of them (O_EXCL), so that after a death only what was asked is in doubt: the rest can be asked
again at once, and a shell of the dead dispatcher that comes late is turned away. Builtins of the shell do it.

Needs dsp_mark; tested by running it, in tests/schedulers/test_slurm_commands.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..core.ports import Query

ASK = """\
dsp_ask() { # whether request number $2 for attempt $1 is this call's to make
  set -C
  { echo asked > "$1.$2.asked"; } 2> /dev/null
  dsp_code=$?
  set +C
  [ "$dsp_code" -ne 0 ] || return 0
  if [ -e "$1.$2.asked" ]; then echo "$dsp_mark asked $1"; else echo "$dsp_mark skipped $1"; fi
  return 1
}
"""
_WITHDRAW = """\
set -C
while read -r dsp_nonce dsp_asked; do
  {{ echo withdrawn > "$dsp_nonce.$dsp_asked.asked"; }} 2> /dev/null
  dsp_by=
  {{ IFS= read -r dsp_by < "$dsp_nonce.$dsp_asked.asked"; }} 2> /dev/null
  [ "$dsp_by" != withdrawn ] || echo "{mark} unasked $dsp_nonce $dsp_asked"
done << '@@'
{requests}
@@
set +C
"""
_UNASKED = re.compile(r"([\w-]{1,80}) ([0-9]{1,6})")

SUBMIT = """\
dsp_put() { cat > "$1.tmp.$$" && mv -f -- "$1.tmp.$$" "$1" || { echo "$dsp_mark full $1"; exit 91; }; }
dsp_earlier=' '
dsp_lines() {
  cat -- "$@" 2> /dev/null | LC_ALL=C grep -a -c -E '^(claim .*|(task [0-9]+|end) [0-9]+ [0-9]+ \\.)$'
}
dsp_revoke() { # the claim of attempt $1, of which $2 lines are known, before $3 is asked for: first as a whole,
  # then those of array elements that have not ended. If more is there than is known, it was found: $3 is not asked.
  echo revoked > "$1.revoked" || { echo "$dsp_mark full $1.revoked"; exit 91; }
  if ! ln -- "$1.revoked" "$1.claim" 2> /dev/null; then
    dsp_first=
    ! [ -r "$1.claim" ] || IFS= read -r dsp_first < "$1.claim"
    if [ "$dsp_first" != revoked ] && [ "$(dsp_lines "$1.claim")" -gt "$2" ]; then dsp_earlier="$dsp_earlier$3 "
    else mv -f -- "$1.revoked" "$1.claim"; fi
  elif [ "$(dsp_lines "$1".*.claim)" -gt "$2" ]; then
    rm -f -- "$1.claim"
    dsp_earlier="$dsp_earlier$3 "
  fi
  rm -f -- "$1.revoked"
  case $dsp_earlier in *" $3 "*) echo "$dsp_mark earlier $3 $1"; return 0 ;; esac
  grep -L '^end ' -- "$1".*.claim 2> /dev/null | while read -r dsp_e; do echo revoked | dsp_put "$dsp_e"; done
}
dsp_show() { [ ! -s "$2" ] || { cat < "$2"; echo; } | sed "s/^/$dsp_mark $1 $dsp_nonce /"; }
dsp_named() { # whether there is a number in file $1: an answer without one names no job, and is not kept
  while IFS= read -r dsp_line || [ -n "$dsp_line" ]; do
    case $dsp_line in *[0-9]*) return 0 ;; esac
  done < "$1"
  return 1
}
dsp_stop=
dsp_submit() {
  dsp_nonce=$1
  case $dsp_earlier in *" $1 "*) return 0 ;; esac
  if [ -n "$dsp_stop" ]; then echo "$dsp_mark skipped $dsp_nonce"; return 0; fi
  dsp_code=0
  if [ ! -s "$dsp_nonce.id" ] && [ ! -e "$dsp_nonce.claim" ]; then # asked before and answered: never ask again
    dsp_ask "$1" "$2" || return 0
    { umask "$dsp_umask"; dsp_command; } > "$dsp_nonce.id.tmp" 2> "$dsp_nonce.err.tmp" < /dev/null
    dsp_code=$?
    umask 077
    if [ "$dsp_code" -eq 0 ] && dsp_named "$dsp_nonce.id.tmp"; then mv -f -- "$dsp_nonce.id.tmp" "$dsp_nonce.id"
    else dsp_stop=yes; fi
    case $dsp_code in 126 | 127) echo "$dsp_mark path $dsp_nonce $PATH" ;; esac
  fi
  dsp_show out "$dsp_nonce.id"
  dsp_show out "$dsp_nonce.id.tmp" 2> /dev/null
  dsp_show err "$dsp_nonce.err.tmp" 2> /dev/null
  echo "$dsp_mark code $dsp_nonce $dsp_code"
  rm -f -- "$dsp_nonce.id.tmp" "$dsp_nonce.err.tmp"
}
"""


def withdrawing(queries: Sequence[Query], mark: str) -> str:
    """Shell text that withdraws every request in doubt that was not made, and tells which; "" when none is in doubt."""
    requests = "\n".join(f"{query.nonce} {query.asked}" for query in queries if query.asked)
    return _WITHDRAW.format(mark=mark, requests=requests) if requests else ""


def unasked(lines: Iterable[str]) -> dict[str, int]:
    """By nonce: the number of the request that was never made."""
    return {told[1]: int(told[2]) for told in map(_UNASKED.fullmatch, lines) if told}
