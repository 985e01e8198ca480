"""The folders whose code decides and does nothing else."""

CORES = ("agent/core", "updater/core", "server-stub/core", "updater/plan",
         "proto/memory", "engine/run/core")
