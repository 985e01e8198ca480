/* Checkup: finds reasons why a device is slow or about to fail, and hides
 * secrets in log lines.  Pure: the caller passes facts and gets findings. */
#ifndef FLOTILLA_AGENT_CORE_CHECKUP_H
#define FLOTILLA_AGENT_CORE_CHECKUP_H

#include <flotilla/base.h>

/* Sensor values of the machine.  A value of 0 is not available. */
struct flo_sensed {
    /* the kernel reports pressure (PSI): psi_cpu, psi_memory and psi_io are
     * set */
    bool has_pressure;
    /* PSI avg10: share of the last 10 s in which some task waited, in 1/100
     * %. */
    uint32_t psi_cpu, psi_memory, psi_io;
    uint64_t cgroup_bytes;     /* memory in use in the tightest cgroup (memory.current) */
    uint64_t cgroup_bytes_max; /* memory limit of the tightest cgroup (memory.max); 0: no limit */
    bool has_zone;
    int64_t zone_mc; /* temperature of the zone nearest to its trip point, 1/1000 degree C */
    int64_t trip_mc; /* that trip point; 0: no zone has one */
    bool is_discharging;
    int32_t battery_pct;               /* -1: none */
    uint32_t load_centi;               /* load average of the last minute, in 1/100 */
    uint64_t clock_khz, clock_khz_max; /* present and highest clock of the slowest CPU */
    uint64_t memory_bytes, memory_free_bytes, swap_used_bytes;
};

/* Free disk bytes that updates and records need.  A device with less is
 * degraded, and its checkup says so. */
#define FLO_CHECKUP_DISK_MIN (UINT64_C(128) << 20)
/* Checks the free bytes of the disk against FLO_CHECKUP_DISK_MIN.
 * FLO_E_DISK_FULL  fewer bytes are free */
FLO_MUST_USE int flo_checkup_room(uint64_t free_bytes, struct flo_err *err);

struct flo_checkup {
    struct flo_sensed sensed;
    uint32_t cpus;    /* number of CPUs that the agent may use */
    uint32_t threads; /* number of threads of the engine process */
    bool is_served;   /* a model is assigned */
    bool is_live;     /* the engine of the assigned model answers */
    bool is_packed, can_be_packed;
    char kernel[32], kernel_best[32];
    uint32_t context;
    /* Bytes that the engine reads per token, and the memory bandwidth in the
     * benchmark. */
    uint64_t token_bytes, memory_bytes_per_s;
    /* arithmetic operations per second of all CPUs in the benchmark; 0:
     * unknown */
    uint64_t int8_ops_per_s;
    uint64_t token_us; /* median time per token of recent requests; 0: none */
    uint64_t disk_free_bytes;
    bool has_certificate;
    int64_t certificate_days;
    const char *sandbox_lacks; /* names of what the sandbox lacks; NULL: it lacks nothing */
    uint32_t rung;
    const char *rung_why;
    /* Endpoints to which routes may send prompts, as text; NULL: no prompt leaves
     * the fleet. */
    const char *leaves;
    const char *degraded; /* reason why the agent cannot do all of its work; NULL: it can */
};

enum flo_finding_kind {
#define FLO_FINDING(name, id, level, unit, fix) FLO_FINDING_##name,
#include "agent/core/checkup/findings.def"
    FLO_FINDING_COUNT
};
struct flo_finding {
    enum flo_finding_kind kind;
    char what[192];
    bool has_numbers;
    double measured, expected;
};
struct flo_findings {
    size_t count;
    struct flo_finding list[FLO_FINDING_COUNT];
};
const char *flo_finding_id(enum flo_finding_kind kind);
const char *flo_finding_level(enum flo_finding_kind kind);
const char *flo_finding_unit(enum flo_finding_kind kind);
const char *flo_finding_fix(enum flo_finding_kind kind);
/* Adds findings about a model's engine, at most one of each kind. */
void flo_checkup_find_engine(const struct flo_checkup *checkup, struct flo_findings *out);
/* Adds findings about the machine, at most one of each kind. */
void flo_checkup_find_machine(const struct flo_checkup *checkup, struct flo_findings *out);
/* Lower bound of the time per token.  It is the time of the memory traffic or
 * that of the arithmetic, whichever is longer, plus a fixed time.  The fixed
 * time is for work that does not depend on the model's size: barriers between
 * layers, sampling, sending to the client. */
struct flo_token_cost {
    uint64_t memory_us, compute_us, fixed_us;
    uint64_t least_us; /* 0: unknown */
    /* names what limits the speed: "memory", "arithmetic" or "the steps of a
     * token" */
    const char *bound_by;
};
struct flo_token_cost flo_checkup_cost(const struct flo_checkup *checkup);
/* Returns an upper bound of the rate, in 1/1000 token per second; 0:
 * unknown. */
uint64_t flo_checkup_rate_mtps(const struct flo_checkup *checkup);

/* ---- programs of other projects (programs.def) ---- */

/* A program that could serve a model, and the file in runtimes.d that describes
 * it to the agent. */
struct flo_server_program {
    const char *name;    /* name of the runtime */
    const char *title;   /* for people */
    const char *program; /* name of the program in PATH; empty: the program is found by `files` */
    /* patterns of the files that show that the program is installed, ':'
     * between them */
    const char *files;
    /* YAML keys for the program's file in runtimes.d; '@' stands for the
     * program's path */
    const char *keys;
};
/* Gives the list of all known server programs, and returns its length. */
size_t flo_server_programs(const struct flo_server_program **out);

/* Tells whether a file of runtimes.d can hold the path unchanged: the path has
 * only letters, digits and / . _ + -. */
bool flo_server_path_is_plain(const char *path);

/* Writes the text of a file in runtimes.d for the program at `path`.  The text
 * names the machine's `devices`, which the program will use.  The device's
 * owner checks the text and stores it. */
void flo_server_write(const struct flo_server_program *program, const char *path,
                      const char *const *devices, size_t n_devices, struct flo_buf *out);

/* ---- lines of the log ---- */

#define FLO_REDACTED "[hidden]"
#define FLO_REDACT_BYTES_MAX 1024 /* number of bytes after which a log line is cut */
/* Copies a log line to `out`, and hides what looks like a token, a key or a
 * password.  The log should have no secrets; this is a second barrier, for
 * example against error texts of libraries.  `out` has FLO_REDACT_BYTES_MAX + 1
 * bytes. */
void flo_redact(const char *line, size_t bytes, char out[FLO_REDACT_BYTES_MAX + 1]);
/* Returns the number of bytes that the line takes as a JSON string in a
 * list. */
size_t flo_redact_json_bytes(const char *line);

#endif
