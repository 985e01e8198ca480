/* Run: opens all parts of the agent, starts the core, runs the loop, and stops
 * within seconds.
 *
 * The order of opening matters: lock, records, engines, local API, and the
 * network last, so that a device without a network still serves. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/shell/assets/assets.h"
#include "agent/shell/benchmark/benchmark.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/heartbeat.h"
#include "agent/shell/hooks/hooks.h"
#include "agent/shell/identity/identity.h"
#include "agent/shell/link/link.h"
#include "agent/shell/local/local.h"
#include "agent/shell/loop_memory.h"
#include "agent/shell/neighbours/neighbours.h"
#include "agent/shell/renewal/renewal.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/run.h"
#include "agent/shell/start.h"
#include "agent/shell/trust/trust.h"
#include "base/cgroup.h"
#include "base/host/service.h"
#include "base/small.h"

/* ---- open ---- */

static void on_signal(evutil_socket_t number, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)events;
    flo_log(FLO_LOG_INFO, "agent", "signal %d, stopping", (int)number);
    shell->loop->is_stopping = true;
    event_base_loopbreak(shell->base);
}

bool flo_shell_is_stopping(const struct flo_shell *shell)
{
    return shell->loop->is_stopping;
}

static int open_signals(struct flo_shell *shell, struct flo_err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < FLO_COUNT(signals); i++) {
        shell->loop->signals[i] = evsignal_new(shell->base, signals[i], on_signal, shell);
        if (shell->loop->signals[i] == NULL || event_add(shell->loop->signals[i], NULL) != 0) {
            return flo_fail(err, FLO_E_MEMORY, "signals");
        }
    }
    return 0;
}

static void read_boot_id(struct flo_shell *shell)
{
    if (flo_small_read("/proc/sys/kernel/random/boot_id", shell->boot_id, sizeof(shell->boot_id)) ==
        0) {
        flo_uuid_make(shell->boot_id);
    }
    shell->boot_id[36] = '\0';
}

int flo_shell_open(struct flo_shell *shell, const struct flo_settings *settings, bool is_local,
                   struct flo_err *err)
{
    shell->settings = *settings;
    shell->is_local = is_local;
    for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
        shell->models[i].telemetry.begin_ms = flo_now_ms();
    }
    read_boot_id(shell);
    flo_uuid_make(shell->life);
    shell->base = event_base_new();
    if (shell->base == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    FLO_TRY(flo_store_open(shell->settings.state_dir, true, &shell->store, err));
    FLO_TRY(flo_identity_load(&shell->settings, &shell->identity, err));
    if (!is_local && shell->identity.is_there) {
        flo_identity_link(&shell->identity); /* before the endpoints' processes start */
    }
    flo_hardware_look(shell);
    FLO_TRY(flo_start_open(shell, err));
    FLO_TRY(flo_heartbeat_open(shell, err));
    FLO_TRY(open_signals(shell, err));
    FLO_TRY(flo_assets_open(shell, err));
    FLO_TRY(flo_shell_serve_open(shell, err));
    if (!is_local) {
        FLO_TRY(flo_control_open(shell, err));
        FLO_TRY(flo_watch_open(shell, err));
        FLO_TRY(flo_shell_trust_open(shell, err));
        FLO_TRY(flo_neighbours_open(shell, err));
    }
    if (!is_local && shell->identity.is_there && !flo_shell_device_is_unread(shell)) {
        FLO_TRY(flo_shell_link_open(shell, err));
        FLO_TRY(flo_renewal_open(shell, err));
    }
    return 0;
}

static void event_drop(struct event *event)
{
    flo_event_drop(&event);
}

void flo_shell_close(struct flo_shell *shell)
{
    size_t i;

    flo_renewal_close(shell);
    flo_shell_job_cancel(shell, 0);
    flo_shell_pending_close(shell);
    flo_hooks_close(shell);
    for (i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        flo_shell_load_cancel(shell, (uint32_t)i, FLO_AGENT_CURRENT);
        flo_shell_load_cancel(shell, (uint32_t)i, FLO_AGENT_BESIDE);
    }
    flo_shell_link_end(shell, "{\"v\":1,\"online\":false}");
    flo_upload_cancel(shell);
    flo_neighbours_close(shell);
    flo_shell_trust_close(shell);
    flo_benchmark_close(shell);
    flo_watch_close(shell);
    flo_control_close(shell);
    if (shell->serve != NULL) {
        flo_serve_close(shell->serve);
    }
    flo_assets_close(shell); /* nobody answers with their lists any more */
    flo_outbox_db_close(shell->db);
    for (i = 0; i < FLO_COUNT(shell->loop->signals); i++) {
        event_drop(shell->loop->signals[i]);
    }
    flo_heartbeat_close(shell);
    flo_identity_deinit(&shell->identity);
    flo_report_close(shell);
    flo_store_close(shell->store);
    flo_settings_deinit(&shell->settings);
    if (shell->base != NULL) {
        event_base_free(shell->base);
    }
}

/* ---- flotilla-agent run ---- */

int flo_run_settings(const struct flo_args *args, struct flo_settings *settings,
                     struct flo_err *err)
{
    return flo_settings_load(flo_args_text(args, "config", NULL),
                             flo_args_text(args, "state-dir", NULL), settings, err);
}

/* Prepares resource limits for the device's runtimes, if the agent may manage
 * its own control group. */
static void prepare_cgroup(void)
{
    struct flo_cgroup own;
    struct flo_err err = {0};
    bool is_leaf;
    int rv = flo_cgroup_own(&own, &is_leaf, &err);

    if (rv == 0) {
        rv = flo_cgroup_prepare(&own, &err);
    }
    flo_log(rv == 0 ? FLO_LOG_INFO : FLO_LOG_DEBUG, "agent",
            rv == 0 ? "runtimes get a memory cgroup each below %s"
                    : "runtimes get no memory cgroup: %s",
            rv == 0 ? own.folder : err.what);
}

int flo_run(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    const struct flo_agent_event stop = {.kind = FLO_AGENT_STOP};
    const struct rlimit no_core = {0, 0};
    struct flo_shell *shell = flo_shell_new();
    struct flo_service *service;
    struct flo_settings settings;
    int rv = shell == NULL ? flo_fail(err, FLO_E_MEMORY, "agent")
                           : flo_run_settings(args, &settings, err);

    if (rv < 0) {
        flo_shell_free(shell);
        return rv;
    }
    if (flo_args_has(args, "check-config")) {
        flo_settings_deinit(&settings);
        flo_shell_free(shell);
        printf("%s is fine\n", flo_args_text(args, "config", FLO_CONFIG_PATH));
        return 0;
    }
    flo_lines_begin();
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &no_core); /* a core dump could contain a prompt, so none is written */
    /* the control group must be ready before any other process starts */
    prepare_cgroup();
    service = flo_service_open();
    rv = flo_shell_open(shell, &settings, false, err);
    if (rv == 0) {
        flo_log(FLO_LOG_INFO, "agent", "flotilla-agent %s, device %s, fleet %s", FLO_VERSION,
                shell->identity.is_there ? shell->identity.device : "(not enrolled)",
                shell->identity.fleet);
        flo_shell_boot(shell);
        flo_service_ready(service, shell->base);
        while (!shell->loop->is_stopping &&
               event_base_loop(shell->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0 &&
               !shell->loop->is_stopping) {
        }
        flo_loop_event(shell, &stop);
        (void)flo_telemetry_close_all(shell);
    }
    flo_service_stop(service);
    flo_shell_close(shell);
    flo_shell_free(shell);
    return rv;
}
