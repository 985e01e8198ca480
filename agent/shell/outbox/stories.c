/* Stories: stores the last known state of each execution in outbox.db.
 *
 * They are read at the start, to continue an execution that a restart
 * interrupted. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/outbox/outbox_state.h"
#include "proto/policy.h"

/* Returns the planned start of an execution as wall clock time, which goes on
 * while the device is off. */
static json_int_t start_wall_ms(const struct flo_agent_execution *execution)
{
    return execution->start_at_ms == 0
               ? 0
               : (json_int_t)(flo_wall_ms() + execution->start_at_ms - flo_now_ms());
}

static json_t *story_json(const struct flo_agent_execution *execution)
{
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&execution->release.digest, digest);
    return json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:I, s:s, s:s, s:s, s:i, s:I,"
        " s:i, s:i, s:i, s:o, s:{s:s, s:I, s:I, s:I, s:I}}",
        "order", execution->order, "bundle", execution->bundle, "variant", execution->variant,
        "phase", (int)execution->phase, "epoch", (int)execution->epoch, "seq",
        (json_int_t)execution->seq, "release", digest, "model", execution->release.model, "version",
        execution->release.version, "starts", (int)execution->starts, "start_wall_ms",
        start_wall_ms(execution), "unsure", (int)execution->unsure, "runtime_failures",
        (int)execution->runtime_failures, "kills", (int)execution->kills, "policy",
        flo_policy_json(&execution->policy), "detail", "codec", execution->detail.codec, "bytes",
        (json_int_t)execution->detail.bytes, "full_bytes", (json_int_t)execution->detail.full_bytes,
        "neighbour_bytes", (json_int_t)execution->detail.neighbour_bytes, "took_ms",
        (json_int_t)execution->detail.took_ms);
}

/* Converts a stored start to a time since this boot.  The time left is at most
 * `ms_max`, whatever the clock was set to. */
static uint64_t start_read(uint64_t wall_ms, uint64_t ms_max)
{
    uint64_t now_ms = flo_wall_ms();
    uint64_t left_ms = wall_ms > now_ms ? wall_ms - now_ms : 0;

    if (wall_ms == 0) {
        return 0;
    }
    return flo_now_ms() + (left_ms < ms_max ? left_ms : ms_max);
}

/* Tells whether the stored values, which no checksum protects, can be those of
 * an execution. */
static bool is_possible(const struct flo_agent_execution *execution)
{
    return execution->id[0] != '\0' && flo_name_is_valid(execution->rollout) &&
           execution->unsure < FLO_AGENT_UNSURE_MAX &&
           execution->runtime_failures < FLO_AGENT_RUNTIME_TRIES &&
           execution->kills <= FLO_AGENT_KILLS_PARDONED &&
           !flo_digest_is_zero(&execution->release.digest) &&
           flo_name_is_valid(execution->release.model) &&
           flo_name_is_valid(execution->release.version) &&
           (execution->order[0] == '\0' || flo_name_is_valid(execution->order)) &&
           flo_policy_is_valid(&execution->policy) && !flo_execution_is_end(execution->state);
}

static bool story_read(const json_t *json, struct flo_agent_execution *out)
{
    const json_t *policy = json_object_get(json, "policy");
    const json_t *detail = json_object_get(json, "detail");
    char digest[FLO_DIGEST_TEXT];

    flo_policy_default(&out->policy);
    flo_json_copy_text(json, "release", digest, sizeof(digest));
    if (!flo_digest_parse(digest, &out->release.digest)) {
        return false;
    }
    flo_json_copy_text(json, "order", out->order, sizeof(out->order));
    flo_json_copy_text(json, "bundle", out->bundle, sizeof(out->bundle));
    flo_json_copy_text(json, "variant", out->variant, sizeof(out->variant));
    flo_json_copy_text(json, "model", out->release.model, sizeof(out->release.model));
    flo_json_copy_text(json, "version", out->release.version, sizeof(out->release.version));
    flo_json_copy_text(detail, "codec", out->detail.codec, sizeof(out->detail.codec));
    out->phase = (uint32_t)flo_json_number(json, "phase");
    out->epoch = (uint32_t)flo_json_number(json, "epoch");
    out->seq = flo_json_number(json, "seq");
    out->starts = (uint32_t)flo_json_number(json, "starts");
    out->unsure = (uint32_t)flo_json_number(json, "unsure");
    out->runtime_failures = (uint32_t)flo_json_number(json, "runtime_failures");
    out->kills = (uint32_t)flo_json_number(json, "kills");
    out->detail.bytes = flo_json_number(detail, "bytes");
    out->detail.full_bytes = flo_json_number(detail, "full_bytes");
    out->detail.neighbour_bytes = flo_json_number(detail, "neighbour_bytes");
    out->detail.took_ms = flo_json_number(detail, "took_ms");
    if (flo_policy_read(policy, &out->policy, NULL) < 0) {
        return false;
    }
    out->start_at_ms = start_read(flo_json_number(json, "start_wall_ms"),
                                  out->unsure > 0             ? FLO_AGENT_UNSURE_WAIT_MS_MAX
                                  : out->runtime_failures > 0 ? out->policy.runtime_wait_ms
                                                              : out->policy.start_jitter_ms);
    return is_possible(out);
}

static int story_keep(struct flo_outbox_db *db, const struct flo_agent_execution *execution,
                      struct flo_err *err)
{
    json_t *json = story_json(execution);
    struct flo_buf text = {0};
    int rv;

    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "story");
    }
    flo_json_dump(json, &text);
    json_decref(json);
    rv = flo_db_run(db->sqlite,
                    "INSERT INTO story (id, rollout, attempt, ended, state, body) VALUES "
                    "(?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ended = "
                    "excluded.ended, state = excluded.state, body = excluded.body",
                    FLO_DB_VALUES(flo_db_text(execution->id), flo_db_text(execution->rollout),
                                  flo_db_number(execution->attempt),
                                  flo_db_number(flo_execution_is_end(execution->state)),
                                  flo_db_text(flo_execution_word(execution->state)),
                                  flo_db_text(text.data)),
                    err);
    flo_buf_deinit(&text);
    return rv;
}

/* The state stays in memory longer than its events, which may be acknowledged
 * while the disk is full. */
void flo_stories_remember(struct flo_outbox_db *db, const struct flo_agent_execution *execution)
{
    size_t i = 0;

    while (i < db->story_count && strcmp(db->stories[i].id, execution->id) != 0) {
        i++;
    }
    if (i == MEMORY_STORIES_MAX) {
        memmove(&db->stories[0], &db->stories[1],
                (MEMORY_STORIES_MAX - 1) * sizeof(db->stories[0]));
        i--;
    }
    db->stories[i] = *execution;
    db->story_count = i == db->story_count ? i + 1 : db->story_count;
}

int flo_stories_keep(struct flo_outbox_db *db, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < db->story_count; i++) {
        rv = story_keep(db, &db->stories[i], err);
    }
    return rv;
}

static bool row_read(struct flo_db_statement *statement, struct flo_agent_execution *out)
{
    const char *body = flo_db_column_text(statement, 4);
    json_t *json = NULL;
    bool is_whole;

    memset(out, 0, sizeof(*out));
    snprintf(out->id, sizeof(out->id), "%s", flo_db_column_text(statement, 0));
    snprintf(out->rollout, sizeof(out->rollout), "%s", flo_db_column_text(statement, 1));
    out->attempt = (uint32_t)flo_db_column_i64(statement, 2);
    is_whole = flo_execution_parse(flo_db_column_text(statement, 3), &out->state) &&
               flo_json_parse(body, strlen(body), 65536, &json, NULL) == 0 && story_read(json, out);
    json_decref(json);
    return is_whole;
}

/* Finds the newest open execution of the model. */
bool flo_stories_open(struct flo_outbox_db *db, const char *model, struct flo_agent_execution *out)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    bool is_there = false;

    memset(out, 0, sizeof(*out));
    if (db->sqlite == NULL || flo_db_query(db->sqlite,
                                           "SELECT id, rollout, attempt, state, body FROM story "
                                           "WHERE ended = 0 ORDER BY rowid DESC",
                                           FLO_DB_NONE, &statement, NULL) < 0) {
        return false;
    }
    while (!is_there && flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        is_there = row_read(statement, out) && strcmp(out->release.model, model) == 0;
    }
    if (!is_there) {
        memset(out, 0, sizeof(*out));
    }
    flo_db_reset(statement);
    return is_there;
}

static bool is_listed(char (*models)[FLO_NAME_MAX + 1], size_t count, const char *model)
{
    size_t i = 0;

    while (i < count && strcmp(models[i], model) != 0) {
        i++;
    }
    return i < count;
}

size_t flo_stories_models(struct flo_outbox_db *db, char (*models)[FLO_NAME_MAX + 1],
                          size_t models_max)
{
    struct flo_agent_execution execution;
    struct flo_db_statement *statement;
    bool has_row = false;
    size_t count = 0;

    if (db->sqlite == NULL || flo_db_query(db->sqlite,
                                           "SELECT id, rollout, attempt, state, body FROM story "
                                           "WHERE ended = 0 ORDER BY rowid DESC",
                                           FLO_DB_NONE, &statement, NULL) < 0) {
        return 0;
    }
    while (count < models_max && flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        if (row_read(statement, &execution) && !is_listed(models, count, execution.release.model)) {
            memcpy(models[count++], execution.release.model, FLO_NAME_MAX + 1);
        }
    }
    flo_db_reset(statement);
    return count;
}

static bool remembered_last(const struct flo_outbox_db *db, const char *rollout, uint32_t *attempts,
                            bool *has_ended, enum flo_execution *end)
{
    for (size_t i = db->story_count; i-- > 0;) {
        const struct flo_agent_execution *story = &db->stories[i];
        if (strcmp(story->rollout, rollout) == 0) {
            *attempts = story->attempt;
            *has_ended = flo_execution_is_end(story->state);
            *end = story->state;
            return true;
        }
    }
    return false;
}

bool flo_stories_last(struct flo_outbox_db *db, const char *rollout, uint32_t *attempts,
                      bool *has_ended, enum flo_execution *end)
{
    struct flo_db_statement *statement;
    bool has_row = false;

    *attempts = 0;
    *has_ended = false;
    if (remembered_last(db, rollout, attempts, has_ended, end)) {
        return true;
    }
    if (db->sqlite == NULL ||
        flo_db_query(db->sqlite,
                     "SELECT attempt, ended, state FROM story WHERE rollout "
                     "= ? ORDER BY attempt DESC LIMIT 1",
                     FLO_DB_VALUES(flo_db_text(rollout)), &statement, NULL) < 0) {
        return false;
    }
    if (flo_db_step(statement, &has_row, NULL) < 0 || !has_row) {
        return false;
    }
    *attempts = (uint32_t)flo_db_column_i64(statement, 0);
    *has_ended = flo_db_column_i64(statement, 1) != 0 &&
                 flo_execution_parse(flo_db_column_text(statement, 2), end);
    flo_db_reset(statement);
    return true;
}

void flo_stories_name(struct flo_outbox_db *db, const char *word,
                      struct flo_agent_execution *execution)
{
    enum flo_execution end;
    bool has_ended;
    uint32_t attempts;
    char hex[FLO_DIGEST_TEXT];

    flo_digest_text(&execution->release.digest, hex);
    snprintf(execution->rollout, sizeof(execution->rollout), "%s.%.8s", word,
             hex + strlen("sha256:"));
    (void)flo_stories_last(db, execution->rollout, &attempts, &has_ended, &end);
    execution->attempt = attempts + 1;
    snprintf(execution->id, sizeof(execution->id), "%s.%u", execution->rollout, execution->attempt);
}
