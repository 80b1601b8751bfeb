"""HDFS, by the commands of Hadoop."""
