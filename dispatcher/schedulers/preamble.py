"""What every text begins with that we have run on the execution side, whatever shell environment it finds there.

    cd -- /scratch/R/.dispatcher/5f1c/jobs     umask 077, for our files; GREP_OPTIONS and CDPATH are gone
    unset SLURM_ARRAY_TASK_ID …                what a job that the dispatcher itself runs in was told

A job gets what its submit command has: without this, one that is submitted from inside another job would believe to
be an element of that job's array, or ask for that job's memory in its own `srun`.
"""

from __future__ import annotations

from collections.abc import Sized

from ..core.errors import Purged
from ..core.ports import PURGED, Reply

#: Into a control directory, or away: with the code that says that it is not there, or another one.
ENTER = """\
cd -- {control} 2> /dev/null || {{
  dsp_said=$(LC_ALL=C ls -d -- {control}/. 2>&1) && dsp_said={control}': it cannot be entered'
  printf '%s\\n' "$dsp_said" >&2
  case $dsp_said in *'No such file'*) exit 97 ;; *) exit 90 ;; esac
}}
"""
#: What every call begins with. Files of ours are nobody else's business, but jobs keep the user's umask.
FRAME = (
    ENTER
    + """\
unset GREP_OPTIONS GREP_COLORS CDPATH
dsp_umask=$(umask)
umask 077
dsp_within() {{ if command -v timeout > /dev/null 2>&1; then timeout "$@"; else shift; "$@"; fi; }}
"""
)
#: The same, without what a job that we may be running in was told: it would be told to our commands and jobs, too.
#: What leads to a batch system, and the user's own account and the like, stay.
PREAMBLE = (
    FRAME
    + """\
case ${{SLURM_JOB_ID-}}${{PBS_JOBID-}}${{LSB_JOBID-}}${{SGE_TASK_ID-}}${{PJM_JOBID-}} in
  ?*) unset CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ZE_AFFINITY_MASK ;;
esac
case ${{SGE_TASK_ID-}}${{SGE_JOB_SPOOL_DIR-}} in
  ?*) unset JOB_ID JOB_NAME JOB_SCRIPT NSLOTS NHOSTS NQUEUES PE PE_HOSTFILE QUEUE REQUEST REQNAME RESTARTED TASK_ID ;;
esac
for dsp_v in $(env | sed -n 's/^\\([A-Z][A-Z0-9_]*\\)=.*/\\1/p'); do
  case $dsp_v in
    SLURM_CONF | SLURM_CONF_SERVER | SLURM_CLUSTERS | SLURM_JWT | SLURM_ROOT | SLURM_HOME | SLURM_PREFIX) ;;
    SBATCH_ACCOUNT | SBATCH_CLUSTERS | SBATCH_CONSTRAINT | SBATCH_PARTITION | SBATCH_QOS | SBATCH_RESERVATION) ;;
    LSB_DEFAULT* | LSB_CONFDIR | LSB_SHAREDIR) ;;
    SLURM_* | SLURMD_* | SBATCH_* | SQUEUE_* | SCANCEL_* | SACCT_* | SALLOC_* | SRUN_* | LSB_* | LS_JOBPID | \\
      LS_SUBCWD | LS_EXEC_T | LSFUSER | PJM_* | PBS_JOB* | PBS_NODE* | PBS_GPUFILE | PBS_MICFILE | PBS_ENVIRONMENT | \\
      PBS_QUEUE | PBS_O_* | PBS_ARRAY* | PBS_TASKNUM | PBS_MOMPORT | PBS_NUM_* | PBS_NP | PBS_WALLTIME | \\
      PBS_VNODENUM | PBS_TMPDIR | PBS_DPREFIX | SGE_TASK_* | SGE_STD* | SGE_O_* | SGE_JOB_SPOOL_DIR | SGE_CWD_PATH | \\
      SGE_CKPT* | SGE_HGR_* | SGE_BINDING | SGE_ACCOUNT | SGE_RSH_COMMAND) unset "$dsp_v" ;;
  esac
done
"""
)


def refuse_purged(reply: Reply, said: Sized) -> None:
    """Raise Purged when a call ended before it said anything, because there was no control directory to begin in."""
    if reply.code == PURGED and not said:
        found = reply.err.strip()[-300:]
        raise Purged(
            f"the control directory was removed on the execution side ({found}); it is made again if it stays so"
        )
