/* Command emergency: makes orders with a key that no controller has.
 *
 * The result is a file.  Any MQTT client with an account at the broker can
 * publish it, the controller can forward it, and a person can copy it to a
 * device. */
#include <stdlib.h>
#include <string.h>

#include "base/host/crypto.h"
#include "server-stub/cli/trust/trust.h"

#define LIFE_MS (UINT64_C(72) * 3600 * 1000)
#define FILE_BYTES_MAX (64u << 10)
#define ORDERS_MAX 8

/* ---- the order ---- */

static int read_scope(struct flo_cli *cli, struct flo_scope *out, struct flo_err *err)
{
    const char *group = flo_args_text(&cli->args, "group", "all");
    const char *device = flo_args_text(&cli->args, "device", "");

    *out = (struct flo_scope){.bucket_to = FLO_BUCKETS};
    if (device[0] != '\0' && !flo_uuid_is_valid(device)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--device `%.60s`: its id is needed, as flotilla "
                        "device list -o json shows it",
                        device);
    }
    if (!flo_name_is_valid(group)) {
        return flo_fail(err, FLO_E_USAGE, "--group `%.70s` is no name", group);
    }
    snprintf(out->device, sizeof(out->device), "%s", device);
    snprintf(out->group, sizeof(out->group), "%s", device[0] != '\0' ? "" : group);
    return 0;
}

static int read_releases(struct flo_cli *cli, struct flo_order *out, struct flo_err *err)
{
    const char *model = flo_args_text(&cli->args, "model", "");
    const char *value;
    int rv = flo_name_is_valid(model)
                 ? 0
                 : flo_fail(err, FLO_E_USAGE, "--model `%.70s` is no name", model);

    snprintf(out->model, sizeof(out->model), "%.64s", model);
    for (size_t i = 0; rv == 0 && flo_args_each(&cli->args, "release", i, &value); i++) {
        if (i == FLO_ORDER_FROM_MAX) {
            return flo_fail(err, FLO_E_USAGE, "more than %d releases", FLO_ORDER_FROM_MAX);
        }
        out->from_count++;
        if (!flo_digest_parse(value, &out->from[i])) {
            rv = flo_trust_find_release(cli, value, &out->from[i], err);
        }
    }
    return rv;
}

static int read_to(struct flo_cli *cli, struct flo_order *out, struct flo_err *err)
{
    const char *back = flo_args_text(&cli->args, "back-to", NULL);

    out->to_previous = back == NULL;
    if (back == NULL || flo_digest_parse(back, &out->to)) {
        return 0;
    }
    return flo_trust_find_release(cli, back, &out->to, err);
}

/* Begins an order.  Its fleet and epoch are those in the trust statement that
 * devices hold. */
static int begin(struct flo_cli *cli, enum flo_order_op op, struct flo_order *out,
                 struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *held = NULL;
    uint64_t life_ms;

    FLO_TRY(flo_args_ms(&cli->args, "ttl", LIFE_MS, &life_ms, err));
    FLO_TRY(flo_trust_held(cli, &held, err));
    *out =
        (struct flo_order){.op = op, .epoch = flo_trust_epoch(held), .issued_at_ms = flo_wall_ms()};
    out->seq = out->issued_at_ms;
    out->expires_at_ms = out->issued_at_ms + life_ms;
    snprintf(out->id, sizeof(out->id), "e-%llu", (unsigned long long)out->seq);
    snprintf(out->fleet, sizeof(out->fleet), "%s", flo_trust_fleet(held));
    snprintf(out->by, sizeof(out->by), "emergency");
    snprintf(out->reason, sizeof(out->reason), "%.127s", flo_args_text(&cli->args, "reason", ""));
    return read_scope(cli, &out->scope, err);
}

static int sign(struct flo_cli *cli, const struct flo_order *order, json_t **out,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf envelope = {0};

    FLO_TRY(flo_key_load(flo_args_text(&cli->args, "key", ""), &key, err));
    FLO_TRY(flo_order_write(order, &body, err));
    FLO_TRY(flo_order_sign(body.data, body.bytes, key, &envelope, err));
    return flo_json_parse(envelope.data, envelope.bytes, FLO_ENVELOPE_BYTES_MAX, out, err);
}

/* ---- the file ---- */

/* Tells whether an order in the file is about the same subject as the new
 * order, which then replaces it. */
static bool is_replaced(const json_t *envelope, const struct flo_order *order)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_envelope parts = {0};
    struct flo_order there = {0};
    bool is = true; /* an order that cannot be read is replaced by the new one */

    flo_json_dump_canonical(envelope, &text);
    if (!text.failed &&
        flo_envelope_parse(text.data, text.bytes, FLO_TYPE_ORDER, &parts, NULL) == 0 &&
        flo_order_parse(parts.body, parts.body_bytes, order->fleet, &there, NULL) == 0) {
        is = there.expires_at_ms <= order->issued_at_ms ||
             (flo_order_fact(there.op)->subject == flo_order_fact(order->op)->subject &&
              strcmp(there.model, order->model) == 0 &&
              memcmp(&there.scope, &order->scope, sizeof(there.scope)) == 0);
    }
    flo_envelope_deinit(&parts);
    return is;
}

/* Keeps those orders in the file that are still valid and about other subjects,
 * because the topic holds only one message. */
static void keep_others(const char *path, const struct flo_order *order, json_t *list)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    size_t bytes;
    json_t *one;
    size_t i;

    if (flo_file_read(path, FILE_BYTES_MAX, &text, &bytes, NULL) < 0 ||
        flo_json_parse(text, bytes, FILE_BYTES_MAX, &json, NULL) < 0) {
        return;
    }
    json_array_foreach(json_object_get(json, "orders"), i, one)
    {
        if (json_array_size(list) < ORDERS_MAX && !is_replaced(one, order)) {
            json_array_append(list, one);
        }
    }
}

static int write_file(const char *path, const struct flo_order *order, json_t *envelope,
                      json_t **file, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    json_t *list = json_array();

    json_array_append(list, envelope);
    keep_others(path, order, list);
    *file = json_pack("{s:i,s:o}", "v", 1, "orders", list);
    flo_json_dump(*file, &text);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "orders")
                       : flo_file_write(path, text.data, text.bytes, 0644, err);
}

static int finish(struct flo_cli *cli, const struct flo_order *order, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *envelope = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *file = NULL;
    const char *path = flo_args_text(&cli->args, "to", NULL);
    bool publishes = flo_args_has(&cli->args, "publish");

    FLO_TRY(sign(cli, order, &envelope, err));
    FLO_TRY(write_file(path, order, envelope, &file, err));
    if (publishes) {
        FLO_TRY(flo_context_load(cli, err));
        FLO_TRY(flo_api_call(cli, "POST", "/v1/emergencies", file, NULL, err));
    }
    flo_out_done(cli,
                 json_pack("{s:s,s:s,s:s,s:b}", "id", order->id, "op", flo_order_op_word(order->op),
                           "file", path, "published", (int)publishes),
                 "%s  %s in %s%s\n"
                 "topic  flotilla/v1/%s/c/emergency (retained, QoS 1; "
                 "mosquitto_pub -r -q 1 -f %s)\n"
                 "file   flotilla-agent order --file %s, at a device\n",
                 order->id, flo_order_op_word(order->op), path,
                 publishes ? ", carried by the controller" : "", order->fleet, path, path);
    return 0;
}

static int plain(struct flo_cli *cli, enum flo_order_op op, struct flo_err *err)
{
    struct flo_order order;

    FLO_TRY(begin(cli, op, &order, err));
    return finish(cli, &order, err);
}

int flo_cmd_emergency_freeze(struct flo_cli *cli, struct flo_err *err)
{
    return plain(cli, FLO_ORDER_FREEZE, err);
}

int flo_cmd_emergency_unfreeze(struct flo_cli *cli, struct flo_err *err)
{
    return plain(cli, FLO_ORDER_UNFREEZE, err);
}

int flo_cmd_emergency_prompts(struct flo_cli *cli, struct flo_err *err)
{
    const char *word = cli->args.words[0];
    struct flo_order order;

    if (strcmp(word, "stay") != 0 && strcmp(word, "go") != 0) {
        return flo_fail(err, FLO_E_USAGE, "`%.60s` is neither stay nor go", word);
    }
    FLO_TRY(begin(cli, FLO_ORDER_PROMPTS, &order, err));
    order.stay = strcmp(word, "stay") == 0;
    return finish(cli, &order, err);
}

int flo_cmd_emergency_rollback(struct flo_cli *cli, struct flo_err *err)
{
    struct flo_order order;

    FLO_TRY(begin(cli, FLO_ORDER_ROLLBACK, &order, err));
    FLO_TRY(read_releases(cli, &order, err));
    FLO_TRY(read_to(cli, &order, err));
    return finish(cli, &order, err);
}

int flo_cmd_emergency_allow(struct flo_cli *cli, struct flo_err *err)
{
    struct flo_order order;

    FLO_TRY(begin(cli, FLO_ORDER_ALLOW, &order, err));
    FLO_TRY(read_releases(cli, &order, err));
    return finish(cli, &order, err);
}

/* ---- the broker's account ---- */

static int save(const char *dir, const char *name, const char *text, mode_t mode,
                struct flo_err *err)
{
    char path[1200];

    snprintf(path, sizeof(path), "%.1000s/%s", dir, name);
    return flo_file_write(path, text, strlen(text), mode, err);
}

static int make_key(const char *dir, struct flo_buf *csr, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    char path[1200];

    FLO_TRY(flo_dir_make(dir, 0700, err));
    FLO_TRY(flo_key_generate(&key, err));
    snprintf(path, sizeof(path), "%.1000s/account.key", dir);
    FLO_TRY(flo_key_save(key, path, err));
    return flo_csr_make(key, "emergency", csr, err);
}

int flo_cmd_emergency_account(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf csr = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const char *dir = flo_args_text(&cli->args, "to", ".");

    FLO_TRY(make_key(dir, &csr, err));
    body = json_pack("{s:s}", "csr", (const char *)csr.data);
    FLO_TRY(flo_api_call(cli, "POST", "/v1/emergencies/accounts", body, &answer, err));
    FLO_TRY(save(dir, "account.pem", flo_out_text(answer, "certificate", ""), 0644, err));
    FLO_TRY(save(dir, "ca.pem", flo_out_text(answer, "ca", ""), 0644, err));
    const char *topic = flo_out_text(answer, "topic", "");
    const char *mqtt = flo_out_text(answer, "mqtt", "");
    flo_out_done(cli, json_pack("{s:s,s:s,s:s}", "folder", dir, "mqtt", mqtt, "topic", topic),
                 "%s/account.key, account.pem, ca.pem: keep them with the "
                 "emergency key\n"
                 "mosquitto_pub --cafile ca.pem --cert account.pem --key "
                 "account.key -L %s/%s -r -q 1 -f FILE\n",
                 dir, mqtt, topic);
    return 0;
}
