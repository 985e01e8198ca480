#include "agent/shell/neighbours/neighbours.h"

#include <stdlib.h>
#include <string.h>

#include "agent/core/neighbours.h"
#include "agent/shell/https/https.h"
#include "agent/shell/neighbours/neighbourhood.h"

#define TICK_S 2

/* ---- jobs ---- */

void flo_neighbours_job_add(const struct flo_shell *shell,
                            const struct flo_agent_execution *execution, json_t *job)
{
    const struct flo_config *config = shell->settings.config;
    size_t count = flo_config_texts_count(config, "neighbours_at");
    bool serves = shell->neighbours->counts.serves;
    char digest[FLO_DIGEST_TEXT];
    json_t *urls = json_array();

    if (!shell->neighbours->counts.uses) {
        json_decref(urls);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(
            urls, json_sprintf("https://%s", flo_config_texts_get(config, "neighbours_at", i)));
    }
    flo_digest_text(&execution->release.digest, digest);
    struct flo_uplink_turn turn =
        flo_neighbours_turn(&execution->policy, digest, shell->identity.device, serves);
    json_object_set_new(job, "neighbours", urls);
    json_object_set_new(job, "neighbours_turn_ms", json_integer((json_int_t)turn.turn_ms));
    json_object_set_new(job, "neighbours_wait_ms", json_integer((json_int_t)turn.wait_ms));
    json_object_set_new(job, "neighbours_patience_ms",
                        json_integer((json_int_t)flo_config_u64(config, "neighbours_patience")));
    json_object_set_new(job, "keeps_patches", json_boolean(serves));
}

static void set_moves(struct flo_neighbourhood *hood, bool moves)
{
    if (hood->fetched != NULL && hood->moves != moves) {
        hood->moves = moves;
        flo_share_tell(hood);
    }
}

void flo_neighbours_job_said(struct flo_shell *shell, const char *word, const json_t *json)
{
    struct flo_neighbourhood *hood = shell->neighbours->hood;
    json_t *blobs = json_object_get(json, "blobs");
    uint64_t bytes = 0;

    if (strcmp(word, "staged") == 0) {
        (void)!flo_json_opt_u64(json, "neighbour_bytes", 0, INT64_MAX, 0, &bytes, NULL);
        shell->neighbours->counts.in_bytes += bytes;
    }
    if (hood == NULL) {
        return;
    }
    if (strcmp(word, "planned") == 0 && json_is_array(blobs)) {
        flo_neighbours_job_ended(shell);
        hood->fetched = json_incref(blobs);
    } else {
        set_moves(hood, strcmp(word, "downloading") == 0 || strcmp(word, "applying") == 0 ||
                            strcmp(word, "verifying") == 0);
    }
}

void flo_neighbours_job_ended(struct flo_shell *shell)
{
    struct flo_neighbourhood *hood = shell->neighbours->hood;

    if (hood != NULL && hood->fetched != NULL) {
        set_moves(hood, false);
        json_decref(hood->fetched);
        hood->fetched = NULL;
    }
}

/* ---- the whole ---- */

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct flo_neighbourhood *hood = context;
    uint64_t now_ms = flo_now_ms();

    (void)fd, (void)events;
    flo_revoked_look(hood, now_ms);
    flo_share_look(hood, now_ms);
    flo_site_look(hood, now_ms);
}

static int open_hood(struct flo_shell *shell, struct flo_err *err)
{
    const struct timeval each = {.tv_sec = TICK_S};
    struct flo_neighbourhood *hood = calloc(1, sizeof(*hood));

    if (hood == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "neighbours");
    }
    shell->neighbours->hood = hood;
    hood->shell = shell;
    hood->fd = -1;
    if (!flo_path_join(hood->list_file, sizeof(hood->list_file), shell->settings.state_dir,
                       "identity/revoked.pem") ||
        !flo_path_join(hood->spent_file, sizeof(hood->spent_file), shell->settings.state_dir,
                       "identity/given.json")) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    hood->tick = event_new(shell->base, -1, EV_PERSIST, on_tick, hood);
    if (hood->tick == NULL || event_add(hood->tick, &each) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "timers");
    }
    if (shell->neighbours->counts.serves) {
        flo_spent_load(hood);
    }
    flo_revoked_look(hood, flo_now_ms());
    return 0;
}

int flo_neighbours_open(struct flo_shell *shell, struct flo_err *err)
{
    const struct flo_config *config = shell->settings.config;
    const char *word = flo_config_text(config, "neighbours");
    struct flo_neighbour_counts *counts = &shell->neighbours->counts;

    counts->serves = strcmp(word, "serve") == 0;
    counts->uses = counts->serves || strcmp(word, "use") == 0;
    counts->budget = flo_config_u64(config, "neighbours_budget");
    flo_store_keep_patches(shell->store, counts->serves);
    shell->neighbours->counts.site.is_wanted = flo_config_text(config, "site_listen") != NULL;
    bool is_open = counts->serves || shell->neighbours->counts.site.is_wanted;
    return is_open && shell->identity.is_there ? open_hood(shell, err) : 0;
}

void flo_neighbours_close(struct flo_shell *shell)
{
    struct flo_neighbourhood *hood = shell->neighbours->hood;

    if (hood == NULL) {
        return;
    }
    flo_https_cancel(hood->asking);
    flo_share_end(hood);
    flo_spent_keep(hood, true);
    flo_event_drop(&hood->tick);
    json_decref(hood->fetched);
    free(hood);
    shell->neighbours->hood = NULL;
}
