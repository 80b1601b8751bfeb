"""Head and foot of a script that runs in a container of YARN: its files come from HDFS, and go there.

    R/.dispatcher/in/index              what was sent up: an archive for each directory, with its SHA-256
    R/.dispatcher/jobs/NONCE.claim      who runs this attempt: came by a rename that one copy alone can win
    R/.dispatcher/jobs/NONCE.life-…     a later life of the same application took over
    R/.dispatcher/out/NONCE.APP.N.tar   what the tasks left (and NONCE.APP.N.list: sizes and sums)
    R/.dispatcher/jobs/NONCE.end-…      the exit marker, last of all: the results are there already

Every line of a file in `jobs` begins with the file's name and a colon, so that
one `hadoop fs -cat` reads all of them; what is still on its way there is named
…._COPYING_ by Hadoop, and is left out. Nothing of a container survives it: a
life that ends before it has handed over is begun anew by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...core.names import CONTROL
from ...core.ports import JobScript
from ...files.patterns import encoded
from ...scripts import bash
from ...scripts.render import quoted

_MAGIC = re.compile(r"\*+|\?|\[(?:[!^]?\](?:[^\]]{0,255})|[!^]?[^\]!^][^\]]{0,255})\]")

_TOOLS = r"""
REMOTE_ROOT=$PWD/R dsp_control=$PWD/dispatcher
mkdir -p -- "$REMOTE_ROOT" "$dsp_control/got" || exit 93
dsp_hadoop=
for dsp_try in "$dsp_asked" "${HADOOP_HOME:-}/bin/hadoop" "${HADOOP_COMMON_HOME:-}/bin/hadoop" hadoop; do
  if command -v "$dsp_try" > /dev/null 2>&1; then dsp_hadoop=$dsp_try; break; fi
done
if [ -z "$dsp_hadoop" ]; then
  echo "dispatcher: no hadoop command in this container; say in resources/kwargs/hadoop_home where it is" >&2
  exit 92
fi
dsp_fs() { # hadoop fs …, tried dsp_tries times: HDFS may restart, or be in safe mode, or full for a while.
  # Names here are relative to dsp_control: hadoop reads absolute ones as URIs, and stumbles over a blank.
  local try
  for ((try = 1; ; try++)); do
    (cd -- "$dsp_control" && exec "$dsp_hadoop" fs "$@") < /dev/null && return 0
    [ "$try" -lt "${dsp_tries:-4}" ] || return 1
    sleep "$((try * 2))"
  done
}
IFS=_ read -r -a dsp_ids <<< "$CONTAINER_ID"
dsp_native=application_${dsp_ids[-4]}_${dsp_ids[-3]}
# attempts of the application first, then its containers, of which the first is number 2
dsp_restarts=$(((10#${dsp_ids[-2]} - 1) * 100000 + 10#${dsp_ids[-1]} - 2))
dsp_node=$(uname -n)
dsp_key=$dsp_nonce.$dsp_native.$dsp_restarts
"""

_CLAIM = r"""
dsp_mine="claim $dsp_native $dsp_restarts $dsp_node $$ $RANDOM$RANDOM$RANDOM"
printf '%s.claim:%s\n' "$dsp_nonce" "$dsp_mine" > "$dsp_control/$dsp_key"
dsp_fs -put -f "$dsp_key" "$dsp_far/try/" || exit 93
# HDFS renames to a name that is free, for one of many alone; what stands there then decides, not the exit code
dsp_tries=1 dsp_fs -mv "$dsp_far/try/$dsp_key" "$dsp_far/jobs/$dsp_nonce.claim"
# but not what an earlier life was killed while sending (…._COPYING_)
dsp_fs -get -f "$dsp_far/jobs/$dsp_nonce.*[!_]" "$dsp_far/in/index" got/ || exit 93
IFS= read -r dsp_owner < "$dsp_control/got/$dsp_nonce.claim" || exit 93
dsp_owner=${dsp_owner#*:}
[ ! -e "$dsp_control/got/$dsp_nonce.withdrawn" ] || exit 0
for dsp_file in "$dsp_control/got/$dsp_nonce".end-*; do [ ! -e "$dsp_file" ] || exit 0; done
if [ "$dsp_owner" != "$dsp_mine" ]; then
  read -r _ dsp_first dsp_restart_count _ <<< "$dsp_owner"
  if [ "$dsp_first" = "$dsp_native" ] && [ "$dsp_restart_count" -lt "$dsp_restarts" ]; then
    for dsp_file in "$dsp_control/got/$dsp_nonce".life-*; do # a later life than this one runs
      [ ! -e "$dsp_file" ] || [ "${dsp_file##*-}" -lt "$dsp_restarts" ] || exit 0
    done
    printf '%s.life-%s:%s\n' "$dsp_nonce" "$dsp_restarts" "$dsp_mine" > "$dsp_control/$dsp_nonce.life-$dsp_restarts"
    dsp_fs -put -f "$dsp_nonce.life-$dsp_restarts" "$dsp_far/jobs/" || exit 93
  else
    dsp_file=$dsp_nonce.fenced-$dsp_native
    printf '%s:fenced %s\n' "$dsp_file" "$dsp_native" > "$dsp_control/$dsp_file"
    dsp_fs -put -f "$dsp_file" "$dsp_far/jobs/"
    exit 0
  fi
fi
dsp_claim=$dsp_control/$dsp_nonce.results dsp_own=$dsp_control/own dsp_done=()
exec 199> "$dsp_claim"
dsp_still_mine() { :; }
dsp_guard
[ ! -e "$dsp_control/got/$dsp_nonce.run" ] || mv -f -- "$dsp_control/got/$dsp_nonce.run" "$dsp_control/"
"""

_FETCH = r"""
dsp_want=()
while read -r dsp_sum dsp_size dsp_in; do
  case $dsp_in/ in
    @PATTERNS@) ;;
    *) continue ;;
  esac
  if [ "$dsp_size" = -1 ]; then
    printf -v dsp_dir '%b' "${dsp_in//=/\\x}"
    mkdir -p -- "$REMOTE_ROOT/$dsp_dir" || exit 93
  else
    dsp_want+=("$dsp_far/in/$dsp_sum.tar")
  fi
done < "$dsp_control/got/index"
if [ ${#dsp_want[@]} -gt 0 ]; then
  dsp_fs -get -f "${dsp_want[@]}" got/ || exit 93
  for dsp_file in "${dsp_want[@]}"; do
    dsp_file=$dsp_control/got/${dsp_file##*/} dsp_sum=${dsp_file##*/}
    if [ "$(sha256sum < "$dsp_file")" != "${dsp_sum%.tar}  -" ]; then
      echo "dispatcher: $dsp_file is not what was sent" >&2
      exit 93
    fi
    tar -x --no-same-owner -f "$dsp_file" -C "$REMOTE_ROOT" || exit 93
    rm -f -- "$dsp_file"
  done
fi
"""

_HAND_OVER = r"""
dsp_list() { # what is there of these names, and below them, of one kind
  [ ${#dsp_left[@]} -eq 0 ] || find -L "${dsp_left[@]}" -name '.dispatcher*' -prune -o "$@" -print0 2> /dev/null |
    LC_ALL=C sort -zu
}
dsp_sum() { sha256sum < "$1" | cut -d ' ' -f 1; }
dsp_pack() {
  local files=$dsp_control/files
  dsp_list -type f > "$files"
  tar -c -h --no-recursion --null -T "$files" -f "$dsp_control/$dsp_key.tar" || return 1
  {
    printf '@ %s %s\0' "$dsp_key" "$(dsp_sum "$dsp_control/$dsp_key.tar")"
    [ ! -s "$files" ] ||
      paste -z -d ' ' <(xargs -0 stat -L --printf '%s\0' < "$files") <(xargs -0 sha256sum -z < "$files")
    dsp_list -type d -empty | sed -z 's/^/-1 -  /'
  } > "$dsp_control/$dsp_key.list"
}
dsp_over=yes # what is not handed over is the next life's
dsp_pack || { sleep 1; dsp_pack; } || exit 94 # a file grew while it was read
dsp_tries=9 dsp_fs -put -f "$dsp_key.tar" "$dsp_key.list" "$dsp_far/out/" || exit 95
dsp_clock
{
  cat < "$dsp_claim"
  printf 'hand %s %s\n' "$dsp_key" "$(dsp_sum "$dsp_control/$dsp_key.list")"
  printf 'end %s %s .\n' "$dsp_failed" "$dsp_time"
} | sed "s/^/$dsp_nonce.end-$dsp_restarts:/" > "$dsp_control/$dsp_nonce.end-$dsp_restarts"
dsp_tries=9 dsp_fs -put -f "$dsp_nonce.end-$dsp_restarts" "$dsp_far/jobs/" || exit 95
exit "$dsp_failed"
"""


def far(root: str) -> str:
    """Where all that is ours lies on HDFS."""
    return f"{root}/{CONTROL}"


def head(job: JobScript) -> str:
    """Claims the attempt on HDFS, then fetches what its tasks read, verifies and unpacks it."""
    hadoop = str(job.resources.kwargs.get("hadoop_home") or "")
    patterns = "|".join(dict.fromkeys(each for pattern in job.forward for each in _directories(pattern)))
    return (
        f"dsp_nonce={job.nonce}\n"
        f"dsp_far={quoted(far(job.place.remote_root))}\n"
        f"dsp_asked={quoted(f'{hadoop}/bin/hadoop' if hadoop else '')}\n"
        f"{bash.FUNCTIONS}{_TOOLS}{_CLAIM}"
        f"{_FETCH.replace('@PATTERNS@', patterns) if patterns else ''}"
        f"{_made(job)}"
        'cd -- "$REMOTE_ROOT" || exit 93\n'
    )


def foot(job: JobScript) -> str:
    """Packs what the tasks left, sends it, and publishes the exit marker once it is there."""
    matches = "".join(f"dsp_leave {_words(pattern)}\n" for pattern in job.backward)
    return (
        "shopt -s nullglob globstar\nshopt -u dotglob failglob nocaseglob\n"
        "dsp_left=()\n"
        "dsp_leave() { # what is there of these names; a name as it is written comes first\n"
        "  local each\n"
        '  for each in "$@"; do [ ! -e "./$each" ] || dsp_left+=("./$each"); done\n'
        "}\n"
        f"# shellcheck disable=SC1001,SC2016,SC2035\n{{\n{matches}:\n}}\n{_HAND_OVER}"
    )


def _made(job: JobScript) -> str:
    places = dict.fromkeys(task.task_work_path for _, task in job.tasks)
    return "".join(f'mkdir -p -- "$REMOTE_ROOT"/{quoted(place)} || exit 93\n' for place in places)


def _directories(pattern: str) -> Iterable[str]:
    """Shell patterns for the encoded directories in which this pattern may find files, each closed by a slash."""
    parts = pattern.split("/") if pattern else []
    plain = [_plain(part) for part in parts]
    fixed = next((n for n, part in enumerate(plain) if part is None), len(parts))
    start = "/".join(encoded(part) for part in plain[:fixed] if part)
    if fixed == len(parts) and parts:  # one name: a file in its directory, or a directory with everything below it
        yield f"./{start.rpartition('/')[0]}/"
    yield f"./{start}/*" if start else "./*"


def _plain(part: str) -> str | None:
    """The one name that a part of a pattern means, None when it may mean many."""
    bare = re.sub(r"\[([*?[])\]", "", part)
    return None if re.search(r"[*?[]", bare) else re.sub(r"\[([*?[])\]", r"\1", part)


def _words(pattern: str) -> str:
    """A pattern as words of bash: as a plain name, and as what it matches."""
    if not pattern:
        return "."
    pieces, last = [], 0
    for found in _MAGIC.finditer(pattern):
        pieces += [quoted(pattern[last : found.start()]) if found.start() > last else "", _glob(found[0])]
        last = found.end()
    pieces.append(quoted(pattern[last:]) if last < len(pattern) else "")
    name = quoted(re.sub(r"\[([*?[])\]", r"\1", pattern))
    return f"{name} {''.join(pieces)}" if last else name


def _glob(magic: str) -> str:
    """A wildcard as bash reads it; in a bracket everything but what makes ranges is escaped."""
    if magic[0] != "[":
        return magic
    negated = "!" if magic[1] in "!^" and len(magic) > 3 else ""
    inner = magic[1 + len(negated) : -1]
    return f"[{negated}" + "".join(c if c == "-" or c.isalnum() else "\\" + c for c in inner) + "]"
