r"""Every directive and every command line a dialect prints is one of the vendor's: tables, made by reading their pages.

    #PBS -l select=2:ncpus=4     one row of DIRECTIVES["PBS"] must match, and no option may stand there twice
    dsp_within 60 qstat -u …     one row of COMMANDS["PBS"] must match

Each row: a regular expression of the whole line behind its mark, and where it is described. "unconfirmed" marks what
no source could be found for. A line without a row fails: read the vendor's page, then add the row.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import JobScript, Place, Query, SubmitRequest, Withdrawal
from dispatcher.run.environment import new_nonce
from dispatcher.schedulers import chosen, load
from dispatcher.scripts.render import render

GOLDEN = Path(__file__).parents[2] / "fixtures" / "scripts"
HOME = "/scratch/R/.dispatcher/5f1c/jobs"
Rows = list[tuple[str, str]]

COUNT, ID = r"[1-9][0-9]*", r"'?[0-9][0-9]*(\[\])?(\.[\w.-]+)?'?"
CLOCK = r"(?!00:00:00)[0-9]{2,}:[0-5][0-9]:[0-5][0-9]"
WORD = r"[^\s\"'\\#]+"
PATH = r"/[A-Za-z0-9_./+=@,%:-]+"
SHORT = r"[a-z][A-Za-z0-9-]{0,14}"  # PBS: 236 characters, 15 in older servers and in qstat -w; a letter comes first

_PBS: Rows = [
    (rf"-N {SHORT}", "qsub(1B) -N"),
    (rf"-l walltime={CLOCK}", "qsub(1B) -l; pbs_resources(7B): [[hh:]mm:]ss"),
    (rf"-q {WORD}", "qsub(1B) -q: queue, @server, queue@server"),
    (rf"-A {WORD}", "qsub(1B) -A: string"),
    ("-S /bin/bash", "qsub(1B) -S: path[@host]"),
    ("-j oe", "qsub(1B) -j"),
    (rf"-o ({PATH})", "qsub(1B) -o: [host:]path"),
]
_LSF: Rows = [
    (r"-J [a-z][A-Za-z0-9-]{0,4093}", "LSF 10.1 bsub -J: up to 4094 characters; [ ] would make an array"),
    (rf"-n {COUNT}", "LSF 10.1 bsub -n"),
    (rf"-R 'span\[ptile={COUNT}\]'", "LSF 10.1 bsub -R, span section"),
    (rf"-W {COUNT}", "LSF bsub -W [hour:]minute"),
    (rf"-q {WORD}", "LSF bsub -q"),
    (r"-P [^\s\"'\\#]{1,511}", "LSF 10.1 bsub -P: up to 511 characters"),
    (rf"-o {PATH.replace('%', '')}", "LSF bsub -o; % begins a variable"),
]
DIRECTIVES: dict[str, tuple[str, Rows]] = {
    "PBS": ("#PBS ", [
        *_PBS,
        (rf"-l select={COUNT}(:ncpus={COUNT})?(:ngpus={COUNT})?(:mem={COUNT}mb)?", "qsub(1B): select=[N:]chunk"),
        (rf"-J 0-{COUNT}(%{COUNT})?", "qsub(1B) -J X-Y; %N: transcript openpbs/02-qsub-bad"),
        (rf"-o {PATH}\.\^array_index\^\.log", "transcript openpbs/30-array"),
    ]),
    "Torque": ("#PBS ", [
        *_PBS,
        (rf"-l nodes={COUNT}(:ppn={COUNT})?(:gpus={COUNT})?", "Torque guide, Requesting resources, nodes"),
        (rf"-l mem={COUNT}mb", "Torque guide, Requesting resources, mem: of the whole job"),
        (rf"-t 0-[0-9]+(%{COUNT})?", "Torque guide, Multi-job submission; README.array_changes: slot limit"),
    ]),
    "SGE": ("#$ ", [
        (r"-N [A-Za-z][^/:@\\*?\s]{0,511}", "submit(1) -N; sge_types(5) job_name: no digit first"),
        ("-S /bin/bash", "submit(1) -S"),
        ("-cwd", "submit(1) -cwd"),
        (rf"-pe {WORD} {COUNT}", "submit(1) -pe"),
        (rf"-l h_rt={COUNT}", "submit(1) -l; sge_types(5) time: seconds"),
        (rf"-l h_vmem={COUNT}M", "submit(1) -l; sge_types(5) memory: M is 1024 * 1024"),
        (rf"-l {WORD}={COUNT}", "submit(1) -l; complex(5): the site's name of its GPUs"),
        (rf"-q {WORD}", "submit(1) -q wc_queue_list"),
        (r"-A [^/:@\\*?\s]+", "submit(1) -A; sge_types(5) account_name"),
        ("-j y", "submit(1) -j y[es]|n[o]"),
        (r"-o /[A-Za-z0-9_./+=@%,-]+", "submit(1) -o [[hostname]:]path; $ begins a variable"),
        (rf"-t 1-{COUNT}", "submit(1) -t n-m: 1 <= n <= m"),
        (rf"-tc {COUNT}", "submit(1) -tc"),
    ]),
    "LSF": ("#BSUB ", [
        *_LSF,
        (rf"-M {COUNT}MB", "LSF 10.1 bsub -M: units KB MB GB; without one LSF_UNIT_FOR_LIMITS decides"),
        (rf"-R 'rusage\[mem={COUNT}MB\]'", "LSF 10.1 bsub -R, usage string; units since 10.1.0.2"),
        (rf"-gpu 'num={COUNT}:mode=shared:j_exclusive=(yes|no)'", "LSF 10.1 bsub -gpu"),
        (rf'-R "select\[ngpus >0\] rusage\[ngpus_excl_p={COUNT}\]"', "behaviour of LSF before -gpu; unconfirmed"),
    ]),
    "JH_UniScheduler": ("#JSUB ", [
        *_LSF[:5],
        (rf"-P {WORD}", "unconfirmed"),
        _LSF[6],
        (rf"-M {COUNT}", "unconfirmed: MB"),
        (rf"-R 'rusage\[mem={COUNT}/host\]'", "unconfirmed"),
        (rf"-gpgpu {COUNT}", "public job scripts"),
    ]),
    "Fugaku": ("#PJM ", [
        (r"-N [a-z][A-Za-z0-9-]{0,62}", "Fugaku guide, pjsub --name: 63 bytes"),
        (rf'-L "rscgrp={WORD}"', "Fugaku guide, pjsub -L resource=value"),
        (rf'-L "node={COUNT}"', "Fugaku guide, pjsub -L"),
        (rf'-L "elapse={CLOCK}"', "Fugaku guide, pjsub -L"),
        (rf'-L "node-mem={COUNT}Mi"', "public job scripts: 29184Mi, 23Gi"),
        (rf'--mpi "max-proc-per-node={COUNT}"', "Fugaku guide, pjsub --mpi; public job scripts"),
        (rf"-g {WORD}", "Fugaku guide, pjsub --gname; public job scripts"),
        ("-j", "Fugaku guide, pjsub -j"),
        (rf"-o {PATH.replace('%', '')}", "public job scripts; % begins a variable"),
    ]),
    "Slurm": ("#SBATCH ", [
        (rf"--nodes {COUNT}", "sbatch(1) -N"),
        (rf"--ntasks-per-node {COUNT}", "sbatch(1)"),
        (rf"--gres=gpu:({WORD}:)?{COUNT}", "sbatch(1) --gres=name[:type:count]"),
        *((rf"--{key} {WORD}", "sbatch(1)") for key in ("partition", "time", "mem", "account", "qos", "constraint")),
        ("--exclusive", "sbatch(1)"),
        (r"--job-name [a-z][A-Za-z0-9-]*", "sbatch(1)"),
        (r'--output "([^"\\%]|\\.|%%)+"', "sbatch(1), filename pattern: %% is %"),
        ("--open-mode append", "sbatch(1)"),
        (rf"--array=0-[0-9]+(%{COUNT})?", "sbatch(1) -a"),
    ]),
}  # fmt: skip
#: What the goldens have from the user's own lines (custom_flags, custom_gpu_line, templates).
USERS = {
    "#PBS -m n", "#PBS -p 100", "#PBS -P lab", "#SBATCH --nice=100", "#SBATCH --mail-type=FAIL",
    '#$ -R "rusage[ngpus=2]"', '#BSUB -R "rusage[ngpus=2]"', '#JSUB -R "rusage[ngpus=2]"', "#SBATCH --gpus-per-node=1",
    "#SBATCH -p cpu", "#SBATCH -q long",
}  # fmt: skip

_SCRIPT = r"(\w+\.sub|\"\$dsp_nonce\.sub\")"
_USER = r'-u "\$dsp_user"'
_SERVER = "( '@[^']*')?"
COMMANDS: dict[str, Rows] = {
    "PBS": [
        (rf"qsub -N {SHORT} (-J 0-{COUNT}(%{COUNT})? )?{_SCRIPT}", "qsub(1B)"),
        (rf"qstat {_USER}( -x)? -s -w{_SERVER}", "qstat(1B), alternate format, @server_name; -x: transcripts"),
        (r'qstat -x (-t )?-f "\$@"', "qstat(1B), long format: -f, -t, -x"),
        (r'qdel "\$dsp_id"', "qdel(1B)"),
    ],
    "Torque": [
        (rf"qsub -N {SHORT} (-t 0-[0-9]+(%{COUNT})? )?{_SCRIPT}", "qsub(1B) of Torque"),
        (rf"qstat {_USER}( -s)?{_SERVER}", "qstat(1B) of Torque"),
        (r'qstat (-t )?-f "\$@"', "qstat(1B) of Torque; -t: guide, Multi-job submission"),
        (r'qdel "\$dsp_id"', "qdel(1B) of Torque"),
    ],
    "SGE": [
        (rf'qsub -b n -sync n -now n -terse -N \S+ (-t "[^"]+"( -tc {COUNT})? )?{_SCRIPT}', "submit(1)"),
        (rf"qstat -s a {_USER} -xml", "qstat(1)"),
        (r'qstat -j "\$dsp_words"', "qstat(1) -j [job_list]"),
        (r'qacct -o "\$dsp_user" -j', "qacct(1) -j without an argument: all jobs"),
        (r"qdel (\$dsp_words|'\w+\*')", "qdel(1), sge_types(5) wc_job_list"),
        (r'qdel "\$dsp_id"', "qdel(1)"),
        ("qconf -sconf", "qconf(1)"),
    ],
    "LSF": [
        (rf"bsub -J \S+ < {_SCRIPT}", "LSF 10.1 bsub, command: options are read from standard input"),
        (rf"bjobs -a {_USER} -noheader -o \"\$1 delimiter='\|'\"", "LSF 10.1 bjobs -o"),
        (rf"bjobs -a {_USER} -w", "LSF 7 bjobs -w"),
        (r"bkill \$dsp_words", "LSF bkill"),
        (r"bhist -n 4 -l \$dsp_words", "LSF bhist"),
    ],
    "JH_UniScheduler": [
        (rf"jsub -J \S+ < {_SCRIPT}", "public job scripts"),
        (rf"jjobs -a {_USER} -o \"\$1 delimiter='\|'\"", "unconfirmed"),
        (rf"jjobs -a {_USER} -w", "unconfirmed"),
        (r"jctrl kill \$dsp_words", "behaviour.md 4.3"),
        (r"jhist -n 0 -l \$dsp_words", "unconfirmed"),
    ],
    "Fugaku": [
        (rf"pjsub -N \S+ {_SCRIPT}", "Fugaku guide, pjsub"),
        (r"pjstat -v --data --choose=jid,jnam,st", "public scripts: --choose jid,st -v; --data, jnam unconfirmed"),
        (r'pjstat -v --data -H "day=\$dsp_days" --choose=jid,jnam,st,ec,sn,pc', "public scripts; ec,sn,pc unconfirmed"),
        (r"pjdel \$dsp_words", "public scripts"),
    ],
    "Slurm": [
        (rf"sbatch --parsable --job-name=\S+ (--array=\"[^\"]+\" )?{_SCRIPT}( \"\$1\")?", "sbatch(1)"),
        (r'squeue (?:-M \$dsp_c )?-h -a -u "\$\(id -u\)"( -t all)? -o \'[%a-zA-Z|]+\'', "squeue(1)"),
        (
            r'sacct (?:-M \$dsp_c )?-n -P -D -S "\$dsp_since" -o [A-Za-z,]+( -j "\$dsp_words"| -u "\$\(id -u\)")',
            "sacct(1)",
        ),
        (r'scancel "\$@" \$dsp_ids', "scancel(1): -Q, -M cluster"),
        ("scontrol show config", "scontrol(1)"),
    ],
}
ARRAYS = ("PBS", "Torque", "SGE", "Slurm")
_CALL = re.compile(
    r"""dsp_within \d+ ((?:"(?:\$\(id -u\)|[^"])*"|'[^']*'|[^\s"'|;&<>)]| < (?=\w+\.sub)| (?![|;&<>]))+)"""
)


def wrong_directives(dialect: str, script: str) -> list[str]:
    """The lines of a script that no row matches, that come too late, or whose option stands there twice."""
    mark, rows = DIRECTIVES[dialect]
    lines = script.splitlines()
    ours = [line for line in lines if line.startswith(mark.rstrip()) and line not in USERS]
    bad = [line for line in ours if not any(re.fullmatch(row, line.removeprefix(mark)) for row, _ in rows)]
    first = next((n for n, line in enumerate(lines) if line and not line.startswith("#")), len(lines))
    bad += [line for line in lines[first:] if line.startswith(mark.rstrip())]
    keys = [found[0] for line in ours if (found := re.match(r'\S+ (-[lL] "?[\w-]+|--?[\w-]+)', line))]
    return bad + [key for key in set(keys) if keys.count(key) > 1 and not key.endswith(" -R")]


def wrong_commands(dialect: str, text: str) -> list[str]:
    """The calls in a shell text that no row matches."""
    calls = [re.sub(r"( 2)?\s*$", "", call) for call in _CALL.findall(text)]
    return [call for call in calls if not any(re.fullmatch(row, call) for row, _ in COMMANDS[dialect])]


def _of(path: Path) -> str:
    names = {"slurm": "Slurm", "slurm_array": "Slurm"}
    return names.get(path.parent.name) or next(name for name in DIRECTIVES if name.lower() == path.parent.name)


SCRIPTS = [path for path in sorted(GOLDEN.glob("*/*.sub")) if path.parent.name not in ("shell", "distributedshell")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_scripts_have_only_directives_of_the_vendor(path: Path) -> None:
    assert wrong_directives(_of(path), path.read_text()) == []
    assert any(line.startswith(DIRECTIVES[_of(path)][0]) for line in path.read_text().splitlines())


def test_every_dialect_is_in_the_tables_and_has_golden_scripts() -> None:
    assert {_of(path) for path in SCRIPTS} == set(DIRECTIVES) == set(COMMANDS)


words = st.text("abcxyzABC0189_.-+/:@*?%,=()[]", min_size=1, max_size=20)
times = st.one_of(st.integers(0, 10**5), st.sampled_from(["0", "0:00", "1-12", "90", "00:00:30", "1-00:00:01", "2:30"]))
sizes = st.one_of(st.integers(0, 10**6), st.sampled_from(["0", "0G", "1K", "1500K", "16G", "2T", "16GiB"]))
kwargs = st.fixed_dictionaries({}, optional={
    "walltime": times, "memory": sizes, "account": words | st.just(""), "gpu_usage": st.booleans(),
    "gpu_new_syntax": st.booleans(), "gpu_exclusive": st.booleans(),
    "array_throttle": st.integers(1, 500),
})  # fmt: skip
titles = st.text("abcXYZ019-", max_size=40).map(lambda text: f"-{text.strip('-')}" if text.strip("-") else "")


@st.composite
def resources(draw: st.DrawFn) -> ResourcesSpec:
    counts = {"number_node": draw(st.integers(1, 999)), "cpu_per_node": draw(st.integers(0, 256))}
    return ResourcesSpec(
        **counts, gpu_per_node=draw(st.integers(0, 16)), queue_name=draw(words | st.just("")), group_size=0,
        kwargs=draw(kwargs),
    )  # fmt: skip


@pytest.mark.parametrize("array", [False, True], ids=["single", "array"])
@pytest.mark.parametrize("dialect", DIRECTIVES)
@settings(max_examples=20, deadline=None)
@given(requested=resources(), title=titles, tasks=st.integers(1, 40))
def test_whatever_is_asked_for(dialect: str, array: bool, requested: ResourcesSpec, title: str, tasks: int) -> None:
    if array and dialect not in ARRAYS:
        return
    if array and dialect != "Slurm":
        requested.kwargs["array"] = True
    scheduler = load("SlurmJobArray") if array and dialect == "Slurm" else chosen(dialect, requested)
    try:
        scheduler.check(requested)
    except ConfigError:
        assert dialect == "SGE" and set(requested.kwargs["account"]) & set("/:@*?")
        return
    nonce = new_nonce()
    place, listed = Place("/local", "/R", HOME), tuple((n, TaskSpec("true", f"t{n}")) for n in range(tasks))
    script = render(JobScript("5f1c", nonce, nonce + title, place, requested, listed, None), scheduler)
    assert wrong_directives(dialect, script.text()) == []
    request = SubmitRequest(
        nonce, nonce + title, f"{nonce}.sub", {}, requested, tasks=tasks, withdrawals=(Withdrawal("dq3v81kx0mza", 1),)
    )
    queries = [Query(nonce, "4211"), Query(new_nonce(), "")]
    account = scheduler.account(queries, place)
    calls = [scheduler.submit([request], place), scheduler.observe(queries, place), scheduler.kill(queries, place)]
    for call in [*calls, *([account] if account else [])]:
        assert wrong_commands(dialect, call.text) == []


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        ("PBS", "-q "), ("PBS", "-l ncpus=4"), ("PBS", "-l select=0"), ("PBS", "-N 4digit"), ("PBS", "-J 0-0"),
        ("PBS", "-N longer-than-fifteen"), ("Torque", "-l select=1"), ("Torque", "-l walltime=00:00:00"),
        ("SGE", "-N 4711"), ("SGE", "-A a:b"), ("SGE", "-t 0-9"), ("LSF", "-M 16384"), ("LSF", "-W 0"),
        ("LSF", "-J name[1-3]"), ("Fugaku", "-N " + "n" * 64), ("Fugaku", '-L "rscgrp="'), ("Slurm", "--partition "),
    ],
)  # fmt: skip
def test_the_tables_know_what_is_wrong(dialect: str, line: str) -> None:
    wrong = DIRECTIVES[dialect][0] + line
    assert wrong in wrong_directives(dialect, f"#!/bin/bash -l\n{wrong}\ntrue\n")


def test_a_directive_behind_the_first_command_and_one_that_stands_there_twice_are_wrong() -> None:
    assert wrong_directives("PBS", "#!/bin/bash -l\ntrue\n#PBS -j oe\n") == ["#PBS -j oe"]
    assert wrong_directives("PBS", "#PBS -l select=1\n#PBS -l select=2\n") != []
    assert wrong_commands("PBS", "dsp_within 60 qstat -z 1 2>&1\n") == ["qstat -z 1"]


@pytest.mark.parametrize(
    ("dialect", "said", "id"),
    [
        ("PBS", "1234.pbshost\n", "1234.pbshost"),  # qsub(1B): sequence_number.servername
        ("PBS", "1234[].pbshost\n", "1234[].pbshost"),  # and of an array
        ("PBS", "1234\n", ""),
        ("Torque", "1098[].hostname\n", "1098[].hostname"),  # guide, Multi-job submission
        ("Torque", "1098\n", "1098"),  # display_job_server_suffix is off
        ("Torque", "1098[]\n", "1098[]"),
    ],
)  # fmt: skip
def test_native_ids_are_read_as_the_vendors_write_them(dialect: str, said: str, id: str) -> None:
    array = ResourcesSpec(1, 1, 0, "", 1, kwargs={"array": True})
    assert chosen(dialect, array).identified(said) == load(dialect).identified(said) == id  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["walltime", "memory"])
@pytest.mark.parametrize("zero", [0, "0"])
@pytest.mark.parametrize("dialect", ["PBS", "Torque", "SGE", "LSF", "JH_UniScheduler", "Fugaku"])
def test_nothing_is_limited_to_zero(dialect: str, zero: object, key: str) -> None:
    """sbatch(1): --time=0 is no limit and --mem=0 is all there is; elsewhere a zero would end the job at once."""
    none, requested = (ResourcesSpec(1, 4, 0, "", 1, kwargs=kwargs) for kwargs in ({}, {key: zero}))
    headers = [load(dialect).header(spec, "dn1", "/R/dn1.log", 0) for spec in (none, requested)]
    assert headers[0] == headers[1]
