"""What a profile may tell of a site's Hadoop: read here, checked and documented by the schema."""

from __future__ import annotations

from ...core.keys import Profile, optional

KEYS = (
    optional(
        "hadoop_home", (str, None), "Directory of Hadoop on this machine; without it `hadoop` of PATH is run.", None
    ),
    optional("hadoop_conf_dir", (str, None), "Directory of core-site.xml, hdfs-site.xml and yarn-site.xml.", None),
    optional(
        "resourcemanager", (str, None), "http(s)://HOST:PORT of the ResourceManager's REST; else yarn is asked.", None
    ),
)

HDFS = Profile("Keeps the files of YARN jobs on HDFS.", KEYS, remote_root=True)
