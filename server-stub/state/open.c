/* Open: opens and closes a controller, with its store, keys, settings and
 * rollouts. */
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/given.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/artifacts/artifacts.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/keyring/keyring.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/telemetry_link.h"
#include "server-stub/state/transaction.h"
#include "server-stub/state/trust/newest.h"
#include "server-stub/state/trust/trust.h"
#include "server-stub/state/watch/watch.h"
#include "server-stub/store/fleet.h"

#define HEARTBEAT_MS 60000
/* Numbers of orders and rollouts that are skipped after a restore.  Fewer are
 * given between two backups. */
#define RESTORED_SKIP 100000

static int settings_load(struct flo_controller *controller, bool *is_new, struct flo_err *err)
{
    struct flo_fleet_device_count count = {0};
    const struct flo_controller_options *options = &controller->options;
    char text[FLO_NAME_MAX + 1];

    FLO_TRY(flo_fleet_setting_get(controller->store, "fleet", text, sizeof(text), err));
    const char *wanted = options->fleet != NULL ? options->fleet : text[0] != '\0' ? text : "demo";
    if (!flo_name_is_valid(wanted)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.64s` is no fleet name", wanted);
    }
    if (text[0] != '\0' && strcmp(text, wanted) != 0) {
        return flo_fail(err, FLO_E_STATE, "this folder holds the fleet %s, not %s", text, wanted);
    }
    snprintf(controller->fleet, sizeof(controller->fleet), "%s", wanted);
    *is_new = text[0] == '\0';
    int rv = flo_fleet_setting_set(controller->store, "fleet", controller->fleet, err);
    if (rv == 0) {
        rv = flo_fleet_setting_get(controller->store, "heartbeat_ms", text, sizeof(text), err);
    }
    FLO_TRY(rv);
    controller->heartbeat_ms =
        options->heartbeat_ms != 0 ? options->heartbeat_ms : strtoull(text, NULL, 10);
    if (controller->heartbeat_ms == 0) {
        controller->heartbeat_ms = HEARTBEAT_MS;
    } else if (controller->heartbeat_ms < FLO_HEARTBEAT_MS_MIN) {
        /* The stored value may be below the minimum, because an older
         * controller wrote it. */
        controller->heartbeat_ms = FLO_HEARTBEAT_MS_MIN;
    } else if (controller->heartbeat_ms > FLO_HEARTBEAT_MS_MAX) {
        controller->heartbeat_ms = FLO_HEARTBEAT_MS_MAX;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)controller->heartbeat_ms);
    FLO_TRY(flo_fleet_setting_set(controller->store, "heartbeat_ms", text, err));
    rv = flo_fleet_device_counts(controller->store, &count, err);
    controller->devices_at_start = count.devices;
    return rv;
}

/* Loads what the tables have, in their open transaction. */
static int load_tables(struct flo_controller *controller, struct flo_err *err)
{
    bool is_new = false, has_keyless = false;

    FLO_TRY(settings_load(controller, &is_new, err));
    FLO_TRY(flo_clock_open(controller, err));
    FLO_TRY(flo_pki_open(controller, err));
    FLO_TRY(is_new ? flo_proofs_begin(controller, err) : 0);
    FLO_TRY(flo_proofs_new(&controller->proofs, err));
    FLO_TRY(flo_proofs_load(controller, &has_keyless, err));
    flo_pki_keyless(controller->pki, has_keyless);
    FLO_TRY(flo_pki_admin_token(controller, err));
    FLO_TRY(flo_trust_open(controller, err));
    FLO_TRY(flo_keyring_load(controller, err));
    FLO_TRY(flo_fleet_devices_offline(controller->store, err));
    FLO_TRY(flo_fleet_device_index_load(controller->store, err));
    FLO_TRY(flo_watches_open(controller, err));
    return flo_rules_load(controller, err);
}

static int load(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(flo_fleet_begin(controller->store, err));
    int rv = load_tables(controller, err);
    if (rv < 0) {
        flo_fleet_roll_back(controller->store);
        return rv;
    }
    rv = flo_fleet_commit(controller->store, err);
    flo_keyring_settle(controller, rv == 0);
    FLO_TRY(rv);
    return flo_rollouts_load(controller, err);
}

/* Keeps prompts on the devices after a restore, if the backup has an order that
 * lets them go: a newer one may have kept them. */
static int keep_prompts(struct flo_controller *controller, char *order, struct flo_err *err)
{
    bool stays, found;

    FLO_TRY(flo_fleet_prompts_stay(controller->store, &stays, &found, err));
    return found && !stays
               ? flo_orders_fleet(controller, FLO_ORDER_PROMPTS, "controller", 1, order, err)
               : 0;
}

/* Skips numbers after a restore, because devices accept no number twice, and
 * freezes the fleet.  Since the backup was made, rollouts may have been rolled
 * back and the fleet frozen.  An unfreeze in the backup must not be signed
 * again, nor an order that lets prompts leave the devices. */
static int restore(struct flo_controller *controller, struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    char at[24];

    FLO_TRY(flo_controller_begin(controller, err));
    snprintf(at, sizeof(at), "%llu", (unsigned long long)flo_wall_ms());
    int rv = flo_fleet_setting_set(controller->store, "restored", at, err);
    if (rv == 0) {
        rv = flo_fleet_skip(controller->store, "order", RESTORED_SKIP, err);
    }
    if (rv == 0) {
        rv = flo_fleet_skip(controller->store, "rollout", RESTORED_SKIP, err);
    }
    if (rv == 0) {
        rv = flo_orders_renew_each(controller, err);
    }
    if (rv == 0) {
        rv = flo_orders_fleet(controller, FLO_ORDER_FREEZE, "controller", 0, order, err);
    }
    if (rv == 0) {
        rv = keep_prompts(controller, order, err);
    }
    if (rv == 0) {
        rv = flo_controller_audit(controller, "controller", "data.restore", controller->dir, "ok",
                                  "--restored", err);
    }
    return flo_controller_end(controller, rv, err);
}

/* ---- where the tables are ---- */

#define FILE_NAME "control.db"
#define MOVED_NAME "control.db.imported"

/* Imports the tables of a file.  The file is renamed afterwards, because tables
 * in two places could be used by mistake and make two fleets. */
static int import(struct flo_controller *controller, const char *file, const char *moved,
                  struct flo_err *err)
{
    uint64_t rows = 0;

    FLO_TRY(flo_fleet_import(controller->store, controller->dir, &rows, err));
    flo_log(FLO_LOG_INFO, "store", "%llu rows were copied; " FILE_NAME " is now " MOVED_NAME,
            (unsigned long long)rows);
    return rename(file, moved) < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s to %s", file, moved)
                                   : flo_dir_sync(controller->dir, err);
}

static int open_tables(struct flo_controller *controller, struct flo_err *err)
{
    const char *address = controller->options.store;
    char file[4200], moved[4200];

    snprintf(file, sizeof(file), "%s/" FILE_NAME, controller->dir);
    snprintf(moved, sizeof(moved), "%s/" MOVED_NAME, controller->dir);
    bool has_file = access(file, F_OK) == 0;
    if (address == NULL && !has_file && access(moved, F_OK) == 0) {
        flo_fail(err, FLO_E_STATE, "%s: the tables are in a database", moved);
        return flo_err_fix(err, "give its address with --store");
    }
    if (address != NULL && has_file && !controller->options.imports) {
        flo_fail(err, FLO_E_STATE, "%s has a fleet of its own", file);
        return flo_err_fix(err, "give --import once to copy it into an empty "
                                "database");
    }
    FLO_TRY(flo_fleet_open(address != NULL ? address : controller->dir, controller->options.epoch,
                           &controller->store, err));
    flo_fleet_on_wait(controller->store, controller->options.may_wait,
                      controller->options.may_act_context);
    return address != NULL && has_file ? import(controller, file, moved, err) : 0;
}

/* Modules whose memory follows the store, in the order in which they are
 * called.  At a commit, rollouts write their pending rows first, then the
 * keyring.  Messages are sent before the audit signs. */
static const struct flo_transaction_part *const parts[] = {
    &flo_rules_part, &flo_watch_part,    &flo_rollouts_part, &flo_keyring_part,
    &flo_trust_part, &flo_outgoing_part, &flo_audit_part,
};

/* Allocates the modules' memory, which is later filled from the store. */
static bool rooms_new(struct flo_controller *controller)
{
    return (controller->outgoing = flo_outgoing_new()) != NULL &&
           (controller->subscribers = flo_subscribers_new()) != NULL &&
           (controller->foreign = flo_foreign_new()) != NULL &&
           (controller->keyring = flo_keyring_new()) != NULL &&
           (controller->audit = flo_audit_new()) != NULL &&
           (controller->clock = flo_clock_new()) != NULL &&
           (controller->collector = flo_collector_new()) != NULL &&
           (controller->pki = flo_pki_new()) != NULL &&
           (controller->trust_change = flo_trust_change_new()) != NULL &&
           (controller->newests = flo_newests_new()) != NULL &&
           (controller->rules = flo_rules_new()) != NULL &&
           (controller->groups = flo_groups_new()) != NULL &&
           (controller->orders = flo_orders_new(flo_orders_leave_model)) != NULL &&
           (controller->rollouts = flo_rollouts_new()) != NULL;
}

static void rooms_free(struct flo_controller *controller)
{
    flo_rollouts_free(controller->rollouts);
    flo_orders_free(controller->orders);
    flo_groups_free(controller->groups);
    flo_rules_free(controller->rules);
    flo_trust_change_free(controller->trust_change);
    flo_pki_free(controller->pki);
    flo_collector_free(controller->collector);
    free(controller->clock);
    flo_audit_free(controller->audit);
    flo_keyring_free(controller->keyring);
    json_decref(controller->twins);
    flo_foreign_free(controller->foreign);
    flo_subscribers_free(controller->subscribers);
    flo_outgoing_free(controller->outgoing);
}

static struct flo_controller *controller_new(void)
{
    struct flo_controller *controller = calloc(1, sizeof(*controller));

    if (controller != NULL && !rooms_new(controller)) {
        rooms_free(controller);
        free(controller);
        controller = NULL;
    }
    return controller;
}

/* Refuses a backup in which a name leads out: the controller, which may read more
 * than who made the backup, would write there and take keys from there. */
static int check_restored(const char *dir, struct flo_err *err)
{
    char *const roots[] = {(char *)(uintptr_t)dir, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *at;
    int rv = 0;

    while (rv == 0 && walk != NULL && (at = fts_read(walk)) != NULL) {
        FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
        bool is_link = at->fts_info == FTS_SL || at->fts_info == FTS_SLNONE ||
                       (at->fts_info == FTS_F && at->fts_statp->st_nlink > 1);
        rv = is_link ? flo_given_open(dir, at->fts_path + strlen(dir) + 1, &fd, err) : 0;
    }
    if (walk != NULL) {
        fts_close(walk);
    }
    return rv;
}

static int open_all(struct flo_controller *controller, struct flo_err *err)
{
    if (strcmp(controller->options.dir, ":memory:") != 0) {
        FLO_TRY(controller->options.is_restored ? check_restored(controller->options.dir, err) : 0);
        FLO_TRY(flo_addresses_read(controller, err));
        FLO_TRY(flo_dir_make(controller->options.dir, 0700, err));
    }
    FLO_TRY(open_tables(controller, err));
    FLO_TRY(load(controller, err));
    FLO_TRY(flo_telemetry_link_open(controller, err));
    FLO_TRY(flo_audit_head_open(controller, err));
    if (flo_clock_is_leapt(controller)) {
        flo_clock_tick(controller); /* before something else is recorded by it */
    }
    if (controller->options.is_restored) {
        FLO_TRY(flo_audit_head_restart(controller, err));
        FLO_TRY(restore(controller, err));
    }
    return flo_pki_seals_settle(controller, err);
}

int flo_controller_open(const struct flo_controller_options *options, struct flo_controller **out,
                        struct flo_err *err)
{
    struct flo_controller *controller = controller_new();

    if (controller == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "controller");
    }
    controller->parts = parts;
    controller->part_count = FLO_COUNT(parts);
    controller->options = *options;
    if (controller->options.certificate_life_ms == 0) {
        controller->options.certificate_life_ms = FLO_CERTIFICATE_LIFE_MS;
    }
    snprintf(controller->dir, sizeof(controller->dir), "%s", options->dir);
    flo_uuid_make(controller->boot);
    controller->clock_offset_ms = flo_wall_ms() - flo_now_ms();
    int rv = open_all(controller, err);
    if (rv < 0) {
        flo_controller_close(controller);
        return rv;
    }
    *out = controller;
    return 0;
}

void flo_controller_close(struct flo_controller *controller)
{
    if (controller == NULL) {
        return;
    }
    flo_watches_close(controller->watch);
    flo_audit_head_close(controller);
    flo_trust_free(controller->trust);
    flo_lane_close(controller->lane);
    flo_newests_free(controller->newests);
    flo_proofs_free(controller->proofs);
    rooms_free(controller);
    flo_fleet_close(controller->store);
    flo_buf_deinit(&controller->said);
    free(controller);
}
