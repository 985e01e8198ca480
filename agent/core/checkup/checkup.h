/* Checkup: why a device is slow or about to fail, and lines of its log without
 * secrets.  Pure: facts go in, findings come out. */
#ifndef FLOTILLA_AGENT_CORE_CHECKUP_H
#define FLOTILLA_AGENT_CORE_CHECKUP_H

#include <flotilla/base.h>

/* Facts of the machine; 0: the machine does not tell this one. */
struct flo_sensed {
    bool has_pressure; /* the kernel tells it */
    /* Share of the last 10 s in which some task waited: 10.00 % is 1000. */
    uint32_t psi_cpu, psi_memory, psi_io;
    uint64_t cgroup_bytes;     /* memory.current of the tightest cgroup */
    uint64_t cgroup_bytes_max; /* memory.max of that cgroup; 0: no limit */
    bool has_zone;
    int64_t zone_mc; /* the hottest zone, in thousandths of a degree */
    int64_t trip_mc; /* the zone's passive trip point; 0: it has none */
    bool is_discharging;
    int32_t battery_pct;               /* -1: none */
    uint32_t load_centi;               /* load of the last minute: 1.00 is 100 */
    uint64_t clock_khz, clock_khz_max; /* clock of the slowest CPU */
    uint64_t memory_bytes, memory_free_bytes, swap_used_bytes;
};

/* Free bytes of the disk that updates and records need.  A device with less is
 * degraded, and its doctor says so. */
#define FLO_CHECKUP_DISK_MIN (UINT64_C(128) << 20)
/* FLO_E_DISK_FULL: fewer are free. */
FLO_MUST_USE int flo_checkup_room(uint64_t free_bytes, struct flo_err *err);

struct flo_checkup {
    struct flo_sensed sensed;
    uint32_t cpus;    /* that the agent may use */
    uint32_t threads; /* the engine's */
    bool is_served;   /* a model is assigned */
    bool is_live;     /* ... and its engine answers */
    bool is_packed, can_be_packed;
    char kernel[32], kernel_best[32];
    uint32_t context;
    /* Bytes that a token reads; what the benchmark says that memory gives. */
    uint64_t token_bytes, memory_bytes_per_s;
    uint64_t int8_ops_per_s; /* ... and what all its CPUs compute; 0: unknown */
    uint64_t token_us;       /* median of the last requests; 0: none */
    uint64_t disk_free_bytes;
    bool has_certificate;
    int64_t certificate_days;
    const char *sandbox_lacks; /* NULL: nothing */
    uint32_t rung;
    const char *rung_why;
    const char *degraded; /* why it cannot keep what it is told; NULL: it can */
};

enum flo_finding_kind {
#define FLO_FINDING(name, id, level, unit, fix) FLO_FINDING_##name,
#include "agent/core/checkup/findings.def"
#undef FLO_FINDING
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
/* At most one of a kind: those of a model's engine, those of the machine. */
void flo_checkup_find_engine(const struct flo_checkup *checkup, struct flo_findings *out);
void flo_checkup_find_machine(const struct flo_checkup *checkup, struct flo_findings *out);
/* The least time of a token: its bytes through the memory, or its arithmetic,
 * whichever takes longer, and what each token costs whatever its model's size
 * (the barriers of its layers, sampling, the way to the client). */
struct flo_token_cost {
    uint64_t memory_us, compute_us, fixed_us;
    uint64_t least_us;    /* 0: not known */
    const char *bound_by; /* "memory", "arithmetic" or "the steps of a token" */
};
struct flo_token_cost flo_checkup_cost(const struct flo_checkup *checkup);
/* Tokens in 1,000 s at most, by that; 0: not known. */
uint64_t flo_checkup_rate_mtps(const struct flo_checkup *checkup);

/* ---- programs of other projects (programs.def) ---- */

/* One that could serve a model, and the file of runtimes.d that would use it. */
struct flo_server_program {
    const char *name;    /* of the runtime */
    const char *title;   /* for people */
    const char *program; /* in PATH; empty: `files` */
    const char *files;   /* patterns, ':' between them */
    const char *keys;    /* YAML; '@' is the path */
};
/* All of them; returns how many. */
size_t flo_server_programs(const struct flo_server_program **out);

/* A path that a file of runtimes.d can hold as it is: letters, digits and
 * / . _ + - alone. */
bool flo_server_path_is_plain(const char *path);

/* The file that would use the program at `path`, on a machine that has these
 * devices.  It is the owner's to look at, and to write down. */
void flo_server_write(const struct flo_server_program *program, const char *path,
                      const char *const *devices, size_t n_devices, struct flo_buf *out);

/* ---- lines of the log ---- */

#define FLO_REDACTED "[hidden]"
#define FLO_REDACT_BYTES_MAX 1024 /* a line is cut there */
/* The line without what looks like a token, a key or a password.  The log holds
 * none: this is for the day when somebody's error text does.  `out` has
 * FLO_REDACT_BYTES_MAX + 1 bytes. */
void flo_redact(const char *line, size_t bytes, char out[FLO_REDACT_BYTES_MAX + 1]);
/* How many bytes a line takes as a JSON string in a list. */
size_t flo_redact_json_bytes(const char *line);

#endif
