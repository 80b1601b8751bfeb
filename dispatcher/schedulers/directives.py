"""Lines of the user's for a script's head: which are directives, and which are shell.

    #SBATCH -A TG-XYZ      a directive
    -A TG-XYZ              an option without its mark: gets it where the option is known, is refused otherwise
    module load x          shell: goes below all directives, because the first line of shell ends them

Sources of the options: sbatch(1) of Slurm 24.05; qsub(1B) of OpenPBS and of Torque; submit(1) of Grid Engine 8.1.9;
bsub in the command reference of LSF 10.1; pjsub(1) in the Fugaku users guide.
"""

from __future__ import annotations

import re

from ..core.errors import ConfigError


def directive(line: str, key: str, mark: str, options: frozenset[str], name: str) -> str:
    """The line as a directive; "" for shell and for comments. ConfigError for an option that nobody knows."""
    text = line.strip()
    if "\n" in text:
        raise ConfigError(f"{key}: a line break in a directive would be a new line: {line!r}")
    if mark and re.match(rf"{re.escape(mark)}\s*-", text):
        return text
    if not text.startswith("-"):
        return ""
    if not mark:
        raise ConfigError(f"{key}: {line!r} is an option of a batch system; {name} reads none from the script")
    if not _known(text, options):
        raise ConfigError(
            f"{key}: {line!r} is not an option of {name} that is known here; if it is one, write `{mark} {text}`"
        )
    return f"{mark} {text}"


def _known(text: str, options: frozenset[str]) -> bool:
    """By its whole word, or by its letter: `-n4`, `-lwalltime=60`."""
    word = re.split(r"[\s=]", text, maxsplit=1)[0]
    return word in options or (not text.startswith("--") and text[:2] in options and len(text[:2]) == 2)


def _words(letters: str, words: str, dashes: str = "--") -> frozenset[str]:
    return frozenset([*(f"-{letter}" for letter in letters), *(f"{dashes}{word}" for word in words.split())])


SBATCH = _words(
    "AaBbCcDdeFGHIiJkLMmNnOopQqSstVvWwx",
    "account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container "
    "container-id contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot "
    "dependency distribution error exclude exclusive export export-file extra extra-node-info get-user-env gid "
    "gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold ignore-pbs input "
    "job-name kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus "
    "network nice no-kill no-requeue nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node "
    "ntasks-per-socket open-mode output overcommit oversubscribe parsable partition power prefer priority profile "
    "propagate qos quiet reboot requeue reservation resv-ports segment signal sockets-per-node spread-job stepmgr "
    "switches test-only thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid use-min-nodes "
    "verbose wait wait-all-nodes wckey wrap",
)
QSUB_PBS = _words("aACcefhIJjklMmNopPqrRSuvVWXz", "")
QSUB_TORQUE = _words("aAbCcdDEeFfhIjKklLMmNnopPqrSTtuvVWwXxz", "")
QSUB_SGE = _words(
    "",
    "a ac A ar b binding c ckpt clear cwd C dc display dl e h hard hold_jid hold_jid_ad i j js jsv l m M masterq mods "
    "N noshell notify now o ot P p pe pty q R r rdi S sc shell soft sync t tc tcon terse u umask v V w wd",
    "-",
)
BSUB = _words(
    "",
    "a alloc_flags app ar B b C c clusters cn_cu cn_mem core_isolation csm cu cwd D data datachk datagrp Dn E e env eo "
    "Ep eptl ext F f freq G g gpu gpgpu H hl hostfile I i Ip IS ISp ISs Is is IX J Jd jobaff jsdl jsm K k L ln_mem "
    "ln_slots Lp M m mig N Ne n network nnodes notify o oo outdir P p pack ptl Q q R r rcacct rn rnc S s signal sla "
    "smt sp stage step_cgroup T t ti tty U u ul use v W w wa We wt x XF Zs",
    "-",
)
PJSUB = _words(
    "jSswXLNgoempxPz",
    "appname at bulk comment err fs gname interact llio mail-list mail-options mpi name net-route no-check-directory "
    "norestart out priority restart rsc-list sparam spath stats step",
)
