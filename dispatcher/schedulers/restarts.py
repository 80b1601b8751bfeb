"""How often a job was run before, where the batch system does not tell it or only tells that it was.

    dq3v81kx0mza.claim    claim 4211.pbshost 0 node7 …     found by a process of job 4211.pbshost: this is its life 1

A batch system starts one script a job: a claim of the same job is that of an
earlier life (requeued, rerun, its node died). The one that comes later takes over.
"""

from __future__ import annotations

#: The expression `restarts` of a dialect; evaluated after dsp_claim and dsp_native are set.
RESTARTS = (
    '$(dsp_n=0; if [ -r "$dsp_claim" ] && read -r _ dsp_of dsp_life _ < "$dsp_claim" && [ "$dsp_of" = "$dsp_native" ];'
    ' then dsp_n=$((dsp_life + 1)); fi; echo "$dsp_n")'
)
