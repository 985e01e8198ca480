/* Runtimes: other programs that serve models.  The device's owner describes
 * each of them in a file of `runtimes_dir`. */
#ifndef FLOTILLA_AGENT_DEVICE_RUNTIMES_H
#define FLOTILLA_AGENT_DEVICE_RUNTIMES_H

#include "agent/shell/shell.h"

#define FLO_RUNTIMES_MAX 16 /* largest number of runtime files that are read */

struct flo_device_runtime {
    char name[32];
    /* options of the command OPEN as JSON (contracts/processes.md 4.1);
     * flo_runtimes_deinit() frees it */
    char *json;
    uint64_t memory_bytes, ready_ms, stop_ms;
    uint32_t sessions, context;
    /* `api: none`: the program answers no requests; it only gets a link and a
     * hook */
    bool is_linked;
    struct flo_config *config; /* parsed runtime file; flo_runtimes_deinit() frees it */
};
/* Reads the runtime file NAME.yaml.
 * FLO_E_RUNTIME_ABSENT  no such file
 * FLO_E_CFG_PERM  the file or its folder is not root's, or others may write to
 * it
 * FLO_E_CFG_RANGE and the errors of flo_config_load()  the file is invalid */
FLO_MUST_USE int flo_runtimes_read(const struct flo_settings *settings, const char *name,
                                   struct flo_device_runtime *out, struct flo_err *err);
/* Adds the memory of a release's files to that of the runtime's program, by the
 * key `memory_files`.  The caller calls it once.
 * FLO_E_MEMORY  no memory */
FLO_MUST_USE int flo_runtimes_plan(struct flo_device_runtime *runtime,
                                   const struct flo_release *release,
                                   const struct flo_release_variant *variant, struct flo_err *err);
void flo_runtimes_deinit(struct flo_device_runtime *runtime);
/* Removes the scratch folders of runtimes that were killed. */
void flo_runtimes_clear(void);
/* Lists the runtimes for the profile, as {name, api, state:
 * ready|failed|absent, why}. */
json_t *flo_runtimes_json(const struct flo_settings *settings);
/* Appends a line for each runtime: its settings, and its program's size and time
 * of change. */
void flo_runtimes_describe(const struct flo_settings *settings, struct flo_buf *out);

#endif
