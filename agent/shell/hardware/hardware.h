/* Hardware: reads sensors and facts of the machine, keeps log lines for
 * reports, runs the benchmark, and responds to memory pressure and heat. */
#ifndef FLOTILLA_AGENT_HARDWARE_HARDWARE_H
#define FLOTILLA_AGENT_HARDWARE_HARDWARE_H

#include "agent/core/checkup/checkup.h"
#include "agent/shell/update/update.h"

/* sensors.c */
/* Reads /proc and /sys below `root` ("": those of this machine).  Values that
 * are missing stay 0. */
void flo_sensors_read(const char *root, struct flo_sensed *out);
/* Returns the root that the environment variable FLO_SENSORS names, or "". */
const char *flo_sensors_root(void);

/* Reads the names of the interfaces of the default routes, below `root` as
 * above (routes.c); "": none. */
#define FLO_INTERFACE 16
struct flo_routes {
    char v4[FLO_INTERFACE], v6[FLO_INTERFACE];
};
void flo_routes_read(const char *root, struct flo_routes *out);
/* Tells whether an interface's name matches a pattern: "wwan0", or "wwan*" for
 * all names that begin so. */
bool flo_interface_fits(const char *name, const char *pattern);

/* Finds out whether the network is metered (metered.c).  To be called once a
 * second. */
bool flo_metered_look(struct flo_metered *metered, const struct flo_config *config,
                      uint64_t now_ms);
void flo_metered_end(struct flo_metered *metered);

/* Size of the buffer with the newest lines of this process's log (lines.c). */
#define FLO_LINES_BYTES_MAX (192u << 10)
/* Keeps the lines that are logged from now on. */
void flo_lines_begin(void);
/* Makes a JSON list of the newest `lines`, none older than `from_ms` (wall
 * clock), at most bytes_max as text. *cut counts older lines that were left out
 * for lack of room. */
json_t *flo_lines_json(uint64_t lines, uint64_t from_ms, size_t bytes_max, uint64_t *cut);

/* checkup.c */
/* Puts the facts and findings of contracts/rest.md section 8.9 into `out`. */
void flo_hardware_checkup(struct flo_shell *shell, json_t *out);

/* The functions of bench.c run a process that measures memory, 8-bit operations
 * and disk of this machine for two seconds.  flo_bench_load() reads the stored
 * numbers, if they are of this machine. */
void flo_bench_load(struct flo_shell *shell);
void flo_bench_start(struct flo_shell *shell);
void flo_bench_cancel(struct flo_shell *shell);

/* Largest size of that process's answer, and of the stored numbers, which
 * bench_read.c reads. */
#define FLO_BENCH_BYTES_MAX 1024
FLO_MUST_USE int flo_bench_read(const char *text, size_t bytes, struct flo_bench *out,
                                struct flo_err *err);

/* The functions of variants.c switch to a smaller variant of a release under
 * memory pressure, and back to the larger one.  flo_variants_look() fills in
 * the facts of the models at `places`. */
void flo_variants_look(struct flo_shell *shell, const uint32_t *places, size_t count, uint64_t now,
                       struct flo_pressure_facts *facts);
/* Starts a switch, as the facts allow. */
void flo_variants_ask(struct flo_shell *shell, uint32_t place, bool is_smaller);
/* Stores the variant after a good trial.  The event WRITTEN follows. */
void flo_variants_keep(struct flo_shell *shell, uint32_t place);

/* Begins to read the sensors once a second (watch.c). */
FLO_MUST_USE int flo_watch_open(struct flo_shell *shell, struct flo_err *err);
void flo_watch_close(struct flo_shell *shell);

/* The functions of upload.c run one upload at a time, on its own thread. */
struct flo_upload;
typedef void flo_upload_done(void *context, const char *order, const struct flo_err *err);
/* Sends `body` (taken) as the report of an order.  `done` is called on the
 * loop's thread; its error is NULL where the controller has the report.
 * FLO_E_STATE: another upload is under way. */
FLO_MUST_USE int flo_upload_start(struct flo_shell *shell, const char *order, struct flo_buf *body,
                                  flo_upload_done *done, void *context, struct flo_err *err);
/* Stops an upload without calling `done`; waits a second at most. */
void flo_upload_cancel(struct flo_shell *shell);

#endif
