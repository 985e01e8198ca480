/* Declares the functions for the machine: sensors, log lines for reports, the
 * benchmark, and the response to memory pressure and heat. */
#ifndef FLOTILLA_AGENT_HARDWARE_HARDWARE_H
#define FLOTILLA_AGENT_HARDWARE_HARDWARE_H

#include "agent/core/checkup/checkup.h"
#include "agent/shell/update/update.h"

/* watch.c */
/* Finds out which machine this is. */
void flo_hardware_look(struct flo_shell *shell);
/* Says whether an order's benchmark is here, which keeps the device busy. */
void flo_hardware_benchmarks(struct flo_shell *shell, bool is_benchmarking);

/* sensors.c */
/* Reads the sensors in /proc and /sys below `root` ("": those of this machine).
 * A value that is missing stays 0. */
void flo_sensors_read(const char *root, struct flo_sensed *out);
/* Returns the folder that the environment variable FLO_SENSORS names; "": it is
 * not set. */
const char *flo_sensors_root(void);

/* accelerators.c */
/* Finds the accelerators below `root` ("": those of this machine) whose device
 * node exists, and sorts them by kind and name.  A GPU has one entry for each
 * kind of program that can use it.  Every kind that exists is in the list; of
 * more than FLO_ACCELERATORS_MAX entries, further ones of a kind are left out.
 * The agent calls it once, at its start. */
void flo_accelerators_look(const char *root, struct flo_machine *out);

/* Largest size of an interface's name. */
#define FLO_INTERFACE 16
struct flo_routes {
    char v4[FLO_INTERFACE], v6[FLO_INTERFACE];
};
/* Reads the interfaces of the default routes of IPv4 and IPv6 below `root` ("":
 * this machine); "": there is no such route. */
void flo_routes_read(const char *root, struct flo_routes *out);
/* Tells whether an interface's name matches a pattern: "wwan0" matches itself,
 * "wwan*" all names with that begin. */
bool flo_interface_fits(const char *name, const char *pattern);

/* A program of the device's owner that tells whether the network is metered. */
struct flo_metered {
    pid_t pid; /* 0: none runs */
    uint64_t begin_ms;
    bool is_said; /* newest answer: metered */
};
/* Tells whether the network is metered (metered.c).  The caller calls it once a
 * second. */
bool flo_metered_look(struct flo_metered *metered, const struct flo_config *config,
                      uint64_t now_ms);
void flo_metered_end(struct flo_metered *metered);

/* Size of the buffer that holds the newest log lines of this process
 * (lines.c). */
#define FLO_LINES_BYTES_MAX (192u << 10)
/* Begins to store the lines that this process logs from now on. */
void flo_lines_begin(void);
/* Makes a JSON list of the newest `lines` log lines, none older than `from_ms`
 * (wall clock).  Its text has at most bytes_max bytes; *cut is the number of
 * older lines that were left out for that. */
json_t *flo_lines_json(uint64_t lines, uint64_t from_ms, size_t bytes_max, uint64_t *cut);

/* checkup.c */
/* Puts the facts and findings of this device into `out` (contracts/messages.md
 * section 8.9).
 * FLO_E_NOT_BUILT  this build has no checkups; `out` stays as it is */
FLO_MUST_USE int flo_hardware_checkup(struct flo_shell *shell, json_t *out, struct flo_err *err);

/* Loads the stored numbers of the benchmark, if they are of this machine
 * (bench.c). */
void flo_bench_load(struct flo_shell *shell);
/* Starts a process that measures memory, 8-bit operations and disk of this
 * machine for two seconds. */
void flo_bench_start(struct flo_shell *shell);
void flo_bench_cancel(struct flo_shell *shell);
/* Makes the digest of hardware, kernel and engine, and of `more`.  Stored
 * measurements count as long as it is the same. */
FLO_MUST_USE int flo_bench_digest(const struct flo_shell *shell, const char *more,
                                  char out[FLO_DIGEST_TEXT], struct flo_err *err);

/* Largest size of the benchmark's numbers as JSON. */
#define FLO_BENCH_BYTES_MAX 1024
FLO_MUST_USE int flo_bench_read(const char *text, size_t bytes, struct flo_bench *out,
                                struct flo_err *err);

/* Finds out which models at `places` may switch to a smaller or larger variant,
 * and puts that into `facts` (variants.c). */
void flo_variants_look(struct flo_shell *shell, const uint32_t *places, size_t count, uint64_t now,
                       struct flo_pressure_facts *facts);
/* Begins to measure another variant of the model next to the one that serves, if
 * one is unmeasured and nothing is in the way.  Returns whether it began. */
bool flo_variants_measure(struct flo_shell *shell, uint32_t place, uint64_t now);
/* Starts a switch to a smaller variant, or back to the larger one. */
void flo_variants_ask(struct flo_shell *shell, uint32_t place, bool is_smaller);
/* Stores which variant serves, after its trial succeeded.  The event
 * FLO_AGENT_WRITTEN follows. */
void flo_variants_keep(struct flo_shell *shell, uint32_t place);

/* Loads the speeds of variants, if they were measured on this machine with these
 * runtimes (speeds.c). */
void flo_speeds_load(struct flo_shell *shell);
/* Stores the times per token that the model's execution measured, of its variant
 * and of the one that serves; nothing if its probe compared none. */
void flo_speeds_take(struct flo_shell *shell, uint32_t place);
/* Stores that the variant which the model's execution measured failed. */
void flo_speeds_fail(struct flo_shell *shell, uint32_t place);

/* Begins to read the sensors once a second (watch.c). */
FLO_MUST_USE int flo_watch_open(struct flo_shell *shell, struct flo_err *err);
void flo_watch_close(struct flo_shell *shell);
/* Tells agent/serve the limits that hold now.  The caller calls it when an order
 * changes one; otherwise the next second does. */
void flo_watch_limits(struct flo_shell *shell);

/* An upload runs on its own thread, one at a time (upload.c). */
struct flo_upload;
typedef void flo_upload_done(void *context, const char *order, const struct flo_err *err);
/* Sends `body` (taken) to the controller as the report that an order asked for.
 * The event loop calls `done`; its error is NULL when the controller has the
 * report.
 * FLO_E_STATE  another upload is in progress */
FLO_MUST_USE int flo_upload_start(struct flo_shell *shell, const char *order, struct flo_buf *body,
                                  flo_upload_done *done, void *context, struct flo_err *err);
/* Stops the upload without calling `done`.  Waits a second at most. */
void flo_upload_cancel(struct flo_shell *shell);

#endif
