/* Speeds: keeps the times per token of variants, as this device measured them.
 *
 * An execution measures one variant next to the one that serves
 * (agent/core/execution/variant.c).  The times stay stored until hardware,
 * kernel, engine or a runtime changes; the plan of later releases chooses by
 * them (updater/plan/speeds.c). */
#include <string.h>

#include "agent/shell/device/device.h"
#include "agent/shell/device/runtimes.h"
#include "agent/shell/hardware/memory.h"

#define KEY "speeds" /* key of the speeds in outbox.db */
#define BYTES_MAX 16384

static int digest_of(const struct flo_shell *shell, char out[FLO_DIGEST_TEXT])
{
    struct flo_buf runtimes = {0};
    int rv;

    flo_runtimes_describe(&shell->settings, &runtimes);
    rv = runtimes.failed
             ? FLO_E_MEMORY
             : flo_bench_digest(shell, runtimes.data != NULL ? runtimes.data : "", out, NULL);
    flo_buf_deinit(&runtimes);
    return rv;
}

void flo_speeds_load(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_values_get(shell->db, KEY);
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const char *stored = NULL;
    struct flo_speeds speeds;
    char of[FLO_DIGEST_TEXT];

    if (text != NULL && digest_of(shell, of) == 0 &&
        flo_json_parse(text, strlen(text), BYTES_MAX, &json, NULL) == 0 &&
        flo_json_get_text(json, "of", FLO_DIGEST_TEXT - 1, &stored, NULL) == 0 &&
        strcmp(stored, of) == 0 && flo_speeds_parse(json, &speeds, NULL) == 0) {
        shell->hardware->watch.machine.speeds = speeds;
    }
}

static void store(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_buf text = {0};
    char of[FLO_DIGEST_TEXT];

    if (digest_of(shell, of) < 0) {
        return;
    }
    json = json_pack("{s:s, s:o}", "of", of, "speeds",
                     flo_speeds_json(&shell->hardware->watch.machine.speeds));
    flo_json_dump(json, &text);
    if (!text.failed) {
        flo_values_set(shell->db, KEY, text.data);
    }
    flo_buf_deinit(&text);
    shell->agent.revision++; /* makes the agent report the new profile */
    flo_queue_wake(&shell->queue);
}

/* A release whose variants are measured. */
struct pair {
    struct flo_release *release;
    int candidate, current; /* indexes of variants; -1: not known */
};

static void pair_deinit(struct pair *pair)
{
    flo_shell_release_free(&pair->release);
}

static bool find_pair(struct flo_shell *shell, uint32_t place, struct pair *out)
{
    const struct flo_agent_execution *execution = &shell->agent.models[place].execution;
    const struct flo_digest *digest = &execution->release.digest;
    const struct flo_release_variant *candidate;

    out->candidate = out->current = -1;
    if (flo_shell_release_get(shell, digest, &out->release, NULL) < 0) {
        return false;
    }
    candidate = flo_release_variant_named(out->release, execution->variant);
    out->candidate = candidate == NULL ? -1 : (int)(candidate - out->release->variants);
    out->current = flo_store_release_variant(shell->store, digest, out->release);
    return out->candidate >= 0 && out->current >= 0;
}

void flo_speeds_take(struct flo_shell *shell, uint32_t place)
{
    double candidate_us = shell->models[place].compared.candidate_us;
    double current_us = shell->models[place].compared.current_us;
    FLO_CLEANUP(pair_deinit) struct pair pair = {0};

    if (candidate_us < 1 || current_us < 1 || !find_pair(shell, place, &pair)) {
        return;
    }
    flo_speeds_put(&shell->hardware->watch.machine.speeds, pair.release, (uint32_t)pair.current,
                   (uint64_t)current_us);
    flo_speeds_put(&shell->hardware->watch.machine.speeds, pair.release, (uint32_t)pair.candidate,
                   (uint64_t)candidate_us);
    flo_log(FLO_LOG_INFO, "bench", "%s@%s: %s takes %.2f ms per token, %s %.2f",
            pair.release->model, pair.release->version, pair.release->variants[pair.candidate].name,
            candidate_us / 1e3, pair.release->variants[pair.current].name, current_us / 1e3);
    store(shell);
}

void flo_speeds_fail(struct flo_shell *shell, uint32_t place)
{
    FLO_CLEANUP(pair_deinit) struct pair pair = {0};

    if (find_pair(shell, place, &pair)) {
        flo_speeds_put(&shell->hardware->watch.machine.speeds, pair.release,
                       (uint32_t)pair.candidate, 0);
        store(shell);
    }
}
