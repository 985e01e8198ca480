/* Hardware: what the machine says of itself, the agent's log for those who are
 * far away, the device's benchmark, and what it gives up under strain. */
#ifndef FLOTILLA_AGENT_HARDWARE_HARDWARE_H
#define FLOTILLA_AGENT_HARDWARE_HARDWARE_H

#include "agent/core/checkup/checkup.h"
#include "agent/shell/update/update.h"

/* sensors.c */
/* Read /proc and /sys below `root` ("": the machine's own); what is not there
 * stays 0. */
void flo_sensors_read(const char *root, struct flo_sensed *out);
/* The root that the environment's FLO_SENSORS names, or "". */
const char *flo_sensors_root(void);

/* routes.c: names of the interfaces of the default routes; "": none.  Below
 * `root` as above. */
#define FLO_INTERFACE 16
struct flo_routes {
    char v4[FLO_INTERFACE], v6[FLO_INTERFACE];
};
void flo_routes_read(const char *root, struct flo_routes *out);
/* "wwan0", or "wwan*" for all that begin so. */
bool flo_interface_fits(const char *name, const char *pattern);

/* metered.c: call it once a second. */
bool flo_metered_look(struct flo_metered *metered, const struct flo_config *config,
                      uint64_t now_ms);
void flo_metered_end(struct flo_metered *metered);

/* lines.c: the newest lines of this process's log, bounded. */
#define FLO_LINES_BYTES_MAX (192u << 10)
/* Keep them from now on. */
void flo_lines_begin(void);
/* A JSON list of the newest `lines`, none of before `from_ms` (wall clock), in
 * at most bytes_max as text; *cut: older ones that had no room or place. */
json_t *flo_lines_json(uint32_t lines, uint64_t from_ms, size_t bytes_max, uint64_t *cut);

/* checkup.c */
/* The facts and findings of contracts/rest.md section 8.9 into `out`. */
void flo_hardware_checkup(struct flo_shell *shell, json_t *out);

/* bench.c: memory, 8-bit operations and disk of this machine, measured by a
 * process of two seconds.  The stored numbers, if they are of this machine: */
void flo_bench_load(struct flo_shell *shell);
void flo_bench_start(struct flo_shell *shell);
void flo_bench_cancel(struct flo_shell *shell);

/* bench_read.c: its answer, or the stored numbers. */
#define FLO_BENCH_BYTES_MAX 1024
FLO_MUST_USE int flo_bench_read(const char *text, size_t bytes, struct flo_bench *out,
                                struct flo_err *err);

/* variants.c: a smaller variant of a release, and the larger one again.  The
 * facts of the models at `places`: */
void flo_variants_look(struct flo_shell *shell, const uint32_t *places, size_t count, uint64_t now,
                       struct flo_strain_facts *facts);
/* Begin an exchange, as the facts allow. */
void flo_variants_ask(struct flo_shell *shell, uint32_t place, bool is_smaller);
/* The trial has ended well: the store names the variant.  WRITTEN follows. */
void flo_variants_keep(struct flo_shell *shell, uint32_t place);

/* watch.c: the sensors once a second. */
FLO_MUST_USE int flo_watch_open(struct flo_shell *shell, struct flo_err *err);
void flo_watch_close(struct flo_shell *shell);

/* upload.c: one upload at a time, on a thread of its own. */
struct flo_upload;
typedef void flo_upload_done(void *context, const char *order, const struct flo_err *err);
/* Send `body` (taken) as the report of an order.  `done` comes on the loop's
 * thread, NULL: the controller has it.  FLO_E_STATE: one is under way. */
FLO_MUST_USE int flo_upload_start(struct flo_shell *shell, const char *order, struct flo_buf *body,
                                  flo_upload_done *done, void *context, struct flo_err *err);
/* Stops it without a word; waits a second at most. */
void flo_upload_cancel(struct flo_shell *shell);

#endif
