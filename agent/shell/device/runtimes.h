/* Runtimes: other programs that serve models, described by the device's owner
 * in `runtimes_dir`. */
#ifndef FLOTILLA_AGENT_DEVICE_RUNTIMES_H
#define FLOTILLA_AGENT_DEVICE_RUNTIMES_H

#include "agent/shell/shell.h"

#define FLO_RUNTIMES_MAX 16 /* largest number of files that are read */

struct flo_device_runtime {
    char name[32];
    char *json; /* options for OPEN as JSON (contracts/processes.md 4.1); freed by deinit */
    uint64_t memory_bytes, ready_ms, stop_ms;
    uint32_t sessions, context;
    bool is_linked; /* the program answers no requests (`api: none`): it only gets a link and a hook
                     */
    struct flo_config *config; /* the parsed file; freed by deinit */
};
/* Reads NAME.yaml. FLO_E_RUNTIME_ABSENT: no such file. FLO_E_CFG_PERM: the file
 * or its folder is not root's, or others may write to it. Other errors are
 * those of flo_config_load(), and FLO_E_CFG_RANGE. */
FLO_MUST_USE int flo_runtimes_read(const struct flo_settings *settings, const char *name,
                                   struct flo_device_runtime *out, struct flo_err *err);
/* Adds the release's own memory to that of the program, as `memory_files` says.
 * To be called once.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_runtimes_plan(struct flo_device_runtime *runtime,
                                   const struct flo_release *release,
                                   const struct flo_release_variant *variant, struct flo_err *err);
void flo_runtimes_deinit(struct flo_device_runtime *runtime);
/* Makes a list of {name, api, state: ready|failed|absent, why} for the profile.
 */
json_t *flo_runtimes_json(const struct flo_settings *settings);

#endif
