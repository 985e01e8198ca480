/* Rooms of the shell that are not simulated: engines' memory, hooks, neighbours,
 * telemetry, people at the device.  Nothing is asked of them, and nothing comes. */
#include "agent/shell/assets/assets.h"
#include "agent/shell/benchmark/benchmark.h"
#include "agent/shell/derived/derived.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/hooks/hooks.h"
#include "agent/shell/orders/orders.h"
#include "agent/shell/renewal/renewal.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/report/proof.h"
#include "tests/sim/device/device.h"

#define QUIET(name, ...)                                                                           \
    void name(__VA_ARGS__)                                                                         \
    {                                                                                              \
    }
#define SAYS(type, value, name, ...)                                                               \
    type name(__VA_ARGS__)                                                                         \
    {                                                                                              \
        return value;                                                                              \
    }
/* Parameters are not used. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* ---- engines and their memory ---- */

QUIET(flo_shell_pending_leave, struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
QUIET(flo_shell_pending_promote, struct flo_shell *shell, uint32_t model)
QUIET(flo_shell_pending_look, struct flo_shell *shell)
QUIET(flo_shell_host_flipped, struct flo_shell *shell, const struct flo_agent_action *action)
QUIET(flo_shell_host_unloaded, struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
QUIET(flo_shell_host_promoted, struct flo_shell *shell, uint32_t model)
QUIET(flo_shell_packed_doubt, struct flo_shell *shell)
QUIET(flo_shell_score_look, struct flo_shell *shell)
QUIET(flo_shell_route, struct flo_shell *shell, uint32_t model,
      const struct flo_release_ref *release, enum flo_serve_route_state state)
QUIET(flo_variants_keep, struct flo_shell *shell, uint32_t model)
QUIET(flo_watch_limits, struct flo_shell *shell)
SAYS(bool, false, flo_shell_is_split, struct flo_shell *shell, const struct flo_digest *release)

bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *beside)
{
    return sim_of(shell)->fits_both;
}

void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out)
{
    int release = sim_release_find(digest);

    *out = release < 0 ? (struct flo_release_ref){.digest = *digest} : sim->releases[release].ref;
}

/* ---- the local API ---- */

QUIET(flo_serve_hear, struct flo_serve *serve)
QUIET(flo_serve_hold, struct flo_serve *serve, unsigned model)
QUIET(flo_serve_route_clear, struct flo_serve *serve, unsigned model, enum flo_serve_gone gone)
QUIET(flo_serve_degraded, struct flo_serve *serve, const struct flo_err *err)
QUIET(flo_serve_down, struct flo_serve *serve, unsigned model, const struct flo_err *err)
QUIET(flo_serve_lost, struct flo_serve *serve, unsigned model, int error)
QUIET(flo_serve_wanted_failed, struct flo_serve *serve, unsigned model, const struct flo_err *err)

void flo_serve_get_status(const struct flo_serve *serve, unsigned model,
                          struct flo_serve_status *out)
{
    *out = (struct flo_serve_status){.is_wanted = false};
}

/* ---- reports ---- */

QUIET(flo_telemetry_close, struct flo_shell *shell, uint32_t model)
QUIET(flo_shell_window_begin, struct flo_shell *shell, const struct flo_agent_action *action)
SAYS(bool, false, flo_telemetry_close_all, struct flo_shell *shell)
SAYS(bool, false, flo_shell_prove, struct flo_shell *shell, const char *topic, const char *text,
     size_t bytes, struct flo_buf *out)
SAYS(const char *, "none", flo_rung_why_word, enum flo_rung_why why)
QUIET(flo_control_acked, struct flo_shell *shell, const struct flo_agent_action *action)
QUIET(flo_control_report, struct flo_shell *shell, const struct flo_agent_execution *execution)
QUIET(flo_control_installs, struct flo_shell *shell, const struct flo_digest *release)
QUIET(flo_control_ordered, struct flo_shell *shell, const char *order, const json_t *answer)
SAYS(bool, true, flo_control_is_answered, const struct flo_shell *shell, const char *order)
SAYS(bool, false, flo_benchmark_is_kept, struct flo_shell *shell, const char *order)
QUIET(flo_shell_report_afar, struct flo_shell *shell, const struct flo_order *order)

uint32_t flo_report_rung(const struct flo_shell *shell, enum flo_rung_why *why)
{
    *why = FLO_RUNG_NONE;
    return 0;
}

json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes)
{
    return json_pack("{s:s}", "arch", "x86_64");
}

/* ---- hooks, assets, certificates ---- */

QUIET(flo_hooks_flip, struct flo_shell *shell, const struct flo_release_ref *release, bool again)
QUIET(flo_hooks_unlink, struct flo_shell *shell, const char *model)
QUIET(flo_hooks_start, struct flo_shell *shell)
SAYS(bool, false, flo_hooks_has_link, struct flo_shell *shell, const char *model)
QUIET(flo_assets_begin, struct flo_shell *shell)
QUIET(flo_assets_unrouted, struct flo_shell *shell, uint32_t model)
SAYS(int, 0, flo_renewal_open, struct flo_shell *shell, struct flo_err *err)
QUIET(flo_renewal_connected, struct flo_shell *shell)
QUIET(flo_renewal_refused, struct flo_shell *shell)
QUIET(flo_renewal_asked, struct flo_shell *shell, const char *life)
