/* Orders: parses and writes them strictly, and checks the scope.
 *
 * Format: docs/internals/contracts/documents.md section 2.2. */
#include <string.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/meta.h>
#include <flotilla/proto.h>

#include "base/host/digest.h"
#include "base/host/json.h"
#include "proto/policy.h"

#define NUMBER_MAX INT64_C(9007199254740991) /* 2^53 - 1 */

static int read_policy(const json_t *args, struct flo_policy *out, struct flo_err *err)
{
    json_t *json;
    int rv = flo_json_opt_object(args, "policy", &json, err);

    flo_policy_default(out);
    FLO_TRY(rv);
    return flo_policy_read(json, out, err);
}

static int read_scope(const json_t *root, struct flo_scope *out, struct flo_err *err)
{
    json_t *scope;
    json_t *buckets;
    const char *text;

    FLO_TRY(flo_json_get_object(root, "scope", &scope, err));
    out->bucket_to = FLO_BUCKETS;
    if (json_object_get(scope, "device") != NULL) {
        FLO_TRY(flo_json_get_uuid(scope, "device", &text, err));
        strcpy(out->device, text);
        return 0;
    }
    FLO_TRY(flo_json_get_name(scope, "group", &text, err));
    strcpy(out->group, text);
    FLO_TRY(flo_json_opt_name(scope, "salt", "", &text, err));
    if (text[0] == '\0') {
        return 0;
    }
    strcpy(out->salt, text);
    FLO_TRY(flo_json_get_array(scope, "buckets", 2, &buckets, err));
    json_int_t from = -1, to = -1;
    if (json_unpack(buckets, "[II!]", &from, &to) < 0 || from < 0 || to > FLO_BUCKETS ||
        from > to) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `buckets` is no range within 0..%d",
                        FLO_BUCKETS);
    }
    out->bucket_from = (uint32_t)from;
    out->bucket_to = (uint32_t)to;
    return 0;
}

/* Reads a name into a field of FLO_NAME_MAX + 1 bytes.  Returns
 * FLO_E_META_SCHEMA when a required name is missing. */
static int read_name(const json_t *args, const char *key, bool required, char *out,
                     struct flo_err *err)
{
    const char *text;
    FLO_TRY(required ? flo_json_get_name(args, key, &text, err)
                     : flo_json_opt_name(args, key, "", &text, err));
    strcpy(out, text);
    return 0;
}

static int read_deploy(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    uint64_t phase;

    FLO_TRY(read_name(args, "model", true, out->model, err));
    FLO_TRY(read_name(args, "version", true, out->version, err));
    FLO_TRY(read_name(args, "rollout", true, out->rollout, err));
    FLO_TRY(flo_json_get_digest(args, "release", &out->release, err));
    FLO_TRY(flo_json_opt_u64(args, "number", 0, NUMBER_MAX, 0, &out->number, err));
    FLO_TRY(flo_json_opt_u64(args, "lift", 0, NUMBER_MAX, 0, &out->lift, err));
    FLO_TRY(flo_json_opt_bool(args, "below_floor", false, &out->below_floor, err));
    FLO_TRY(flo_json_opt_u64(args, "phase", 0, 1000, 0, &phase, err));
    out->phase = (uint32_t)phase;
    return read_policy(args, &out->policy, err);
}

static int read_rollback_from(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    json_t *from;

    FLO_TRY(flo_json_get_array(args, "from", FLO_ORDER_FROM_MAX, &from, err));
    for (size_t i = 0; i < json_array_size(from); i++) {
        const char *text = json_string_value(json_array_get(from, i));
        if (text == NULL || !flo_digest_parse(text, &out->from[i])) {
            return flo_fail(err, FLO_E_META_SCHEMA, "from[%zu] is no digest", i);
        }
        out->from_count++;
    }
    if (out->from_count == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `from` is empty");
    }
    return 0;
}

/* Reads one release number for each release in `from`.  The list of numbers may
 * be absent. */
static int read_from_numbers(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    json_t *numbers = json_object_get(args, "from_numbers");

    if (numbers == NULL) {
        return 0;
    }
    if (json_array_size(numbers) != out->from_count) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `from_numbers` has %zu, `from` %u",
                        json_array_size(numbers), out->from_count);
    }
    for (size_t i = 0; i < out->from_count; i++) {
        const json_t *number = json_array_get(numbers, i);
        json_int_t value = json_integer_value(number);
        if (!json_is_integer(number) || value < 0 || value > NUMBER_MAX) {
            return flo_fail(err, FLO_E_META_SCHEMA, "from_numbers[%zu] is no number of a release",
                            i);
        }
        out->from_numbers[i] = (uint64_t)value;
    }
    return 0;
}

static int read_allow(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    FLO_TRY(read_name(args, "model", true, out->model, err));
    FLO_TRY(read_rollback_from(args, out, err));
    return read_from_numbers(args, out, err);
}

static int read_rollback(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    const char *text;

    FLO_TRY(read_name(args, "model", true, out->model, err));
    FLO_TRY(read_name(args, "rollout", false, out->rollout, err));
    FLO_TRY(read_rollback_from(args, out, err));
    FLO_TRY(read_from_numbers(args, out, err));
    FLO_TRY(flo_json_get_text(args, "to", FLO_DIGEST_TEXT, &text, err));
    out->to_previous = strcmp(text, "previous") == 0;
    if (!out->to_previous && !flo_digest_parse(text, &out->to)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `to` is neither `previous` nor a digest");
    }
    FLO_TRY(flo_json_opt_text(args, "reason", sizeof(out->reason) - 1, "", &text, err));
    strcpy(out->reason, text);
    return 0;
}

static int read_remove(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    const char *keep;

    FLO_TRY(read_name(args, "model", true, out->model, err));
    FLO_TRY(flo_json_opt_text(args, "keep", 8, "none", &keep, err));
    out->keeps_blobs = strcmp(keep, "blobs") == 0;
    return out->keeps_blobs || strcmp(keep, "none") == 0
               ? 0
               : flo_fail(err, FLO_E_META_SCHEMA,
                          "field `keep`: `%s` is neither `none` nor `blobs`", keep);
}

static int read_numbers(const json_t *args, struct flo_order *out, struct flo_err *err)
{
#define FLO_ORDER_NUMBER(name, field, least, most, standard)                                       \
    if (out->op == FLO_ORDER_##name) {                                                             \
        FLO_TRY((standard) == FLO_ORDER_NEEDED                                                     \
                    ? flo_json_get_u64(args, #field, least, most, &out->field, err)                \
                    : flo_json_opt_u64(args, #field, least, most, (uint64_t)(standard),            \
                                       &out->field, err));                                         \
    }
#include "proto/orders.def"
    return 0;
}

/* Reads a device's groups.  The order must be for one device, since an order
 * for a group would set them for all members. */
static int read_groups(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    json_t *groups;

    FLO_TRY(flo_json_get_array(args, "groups", FLO_GROUPS_MAX, &groups, err));
    if (out->scope.device[0] == '\0') {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `scope`: `groups` is about one device");
    }
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const char *group = json_string_value(json_array_get(groups, i));
        if (group == NULL || !flo_name_is_valid(group)) {
            return flo_fail(err, FLO_E_META_SCHEMA, "groups[%zu] is no name", i);
        }
        strcpy(out->groups[out->group_count++], group);
    }
    return out->group_count == 0 ? flo_fail(err, FLO_E_META_SCHEMA, "field `groups` is empty") : 0;
}

/* Reads which release is measured; without one it is the release that serves. */
static int read_benchmark(const json_t *args, struct flo_order *out, struct flo_err *err)
{
    FLO_TRY(read_name(args, "model", false, out->model, err));
    FLO_TRY(json_object_get(args, "release") == NULL
                ? 0
                : flo_json_get_digest(args, "release", &out->release, err));
    return read_numbers(args, out, err);
}

static int read_args(const json_t *root, struct flo_order *out, struct flo_err *err)
{
    json_t *args;

    FLO_TRY(flo_json_opt_object(root, "args", &args, err));
    switch (out->op) {
    case FLO_ORDER_DEPLOY:
        return read_deploy(args, out, err);
    case FLO_ORDER_ROLLBACK:
        return read_rollback(args, out, err);
    case FLO_ORDER_REMOVE:
        return read_remove(args, out, err);
    case FLO_ORDER_GROUPS:
        return read_groups(args, out, err);
    case FLO_ORDER_BENCHMARK:
        return read_benchmark(args, out, err);
    case FLO_ORDER_ALLOW:
        return read_allow(args, out, err);
    case FLO_ORDER_PAUSE:
    case FLO_ORDER_RESUME:
    case FLO_ORDER_ABORT:
        return read_name(args, "rollout", true, out->rollout, err);
    default:
        return read_numbers(args, out, err);
    }
}

static int read_times(const json_t *root, struct flo_order *out, struct flo_err *err)
{
    uint64_t epoch;

    FLO_TRY(flo_json_get_u64(root, "epoch", 0, UINT32_MAX, &epoch, err));
    out->epoch = (uint32_t)epoch;
    FLO_TRY(flo_json_get_u64(root, "seq", 1, INT64_MAX, &out->seq, err));
    FLO_TRY(flo_json_get_u64(root, "issued_at_ms", 0, INT64_MAX, &out->issued_at_ms, err));
    FLO_TRY(flo_json_get_u64(root, "expires_at_ms", 0, INT64_MAX, &out->expires_at_ms, err));
    if (out->expires_at_ms < out->issued_at_ms) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `expires_at_ms` lies before `issued_at_ms`");
    }
    if (out->expires_at_ms - out->issued_at_ms > FLO_ORDER_LIFE_MS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `expires_at_ms` is more than 400 days after "
                        "`issued_at_ms`");
    }
    return 0;
}

/* Reads scope and times of an order, whose format no later version changes. */
static int read_head(const json_t *root, const char *fleet, struct flo_order *out,
                     struct flo_err *err)
{
    uint64_t v;

    FLO_TRY(flo_json_get_u64(root, "v", 1, 1, &v, err));
    FLO_TRY(read_name(root, "fleet", true, out->fleet, err));
    if (fleet != NULL && strcmp(fleet, out->fleet) != 0) {
        return flo_fail(err, FLO_E_META_FLEET, "order is for fleet `%s`, this is `%s`", out->fleet,
                        fleet);
    }
    FLO_TRY(read_name(root, "id", true, out->id, err));
    FLO_TRY(read_times(root, out, err));
    return read_scope(root, &out->scope, err);
}

static int read_what(const json_t *root, struct flo_order *out, struct flo_err *err)
{
    const char *word;

    FLO_TRY(read_name(root, "by", false, out->by, err));
    FLO_TRY(flo_json_get_text(root, "op", 16, &word, err));
    if (!flo_order_op_parse(word, &out->op)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `op`: `%s` is none", word);
    }
    return read_args(root, out, err);
}

int flo_order_parse(const char *body, size_t bytes, const char *fleet, struct flo_order *out,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    struct flo_order parsed = {0};
    bool has_head = false;
    int rv = flo_json_parse(body, bytes, FLO_ORDER_BYTES_MAX, &root, err);

    if (rv == 0) {
        rv = read_head(root, fleet, &parsed, err);
        has_head = rv == 0;
    }
    if (rv == 0) {
        rv = read_what(root, &parsed, err);
    }
    if (rv == FLO_E_META_SCHEMA || rv == FLO_E_META_NAME) {
        rv = FLO_E_CMD_FORMAT;
        if (err != NULL) {
            err->code = rv;
        }
    }
    if (!has_head) {
        parsed.id[0] = '\0';
    }
    if (rv == 0 || rv == FLO_E_CMD_FORMAT) {
        *out = parsed;
    }
    return rv < 0 ? flo_wrap(err, rv, "order") : 0;
}

/* ---- writing ---- */

static json_t *scope_json(const struct flo_scope *scope)
{
    if (scope->device[0] != '\0') {
        return json_pack("{s:s}", "device", scope->device);
    }
    if (scope->salt[0] == '\0') {
        return json_pack("{s:s}", "group", scope->group);
    }
    return json_pack("{s:s,s:s,s:[i,i]}", "group", scope->group, "salt", scope->salt, "buckets",
                     (int)scope->bucket_from, (int)scope->bucket_to);
}

static void set_from(json_t *json, const struct flo_order *order)
{
    json_t *from = json_array();
    json_t *numbers = json_array();
    bool is_said = false;

    for (uint32_t i = 0; i < order->from_count; i++) {
        is_said = is_said || order->from_numbers[i] > 0;
        json_array_append_new(from, flo_json_digest(&order->from[i]));
        json_array_append_new(numbers, flo_json_u64(order->from_numbers[i]));
    }
    json_object_set_new(json, "from", from);
    if (is_said) {
        json_object_set(json, "from_numbers", numbers);
    }
    json_decref(numbers);
}

static json_t *args_json(const struct flo_order *order)
{
    json_t *json = json_object();

    flo_json_put_text(json, "rollout", order->rollout);
    flo_json_put_text(json, "model", order->model);
    if (order->op == FLO_ORDER_DEPLOY) {
        flo_json_put_text(json, "version", order->version);
        json_object_set_new(json, "release", flo_json_digest(&order->release));
        flo_json_put_number(json, "number", order->number);
        flo_json_put_number(json, "lift", order->lift);
        if (order->below_floor) {
            json_object_set_new(json, "below_floor", json_true());
        }
        json_object_set_new(json, "phase", flo_json_u64(order->phase));
        json_object_set_new(json, "policy", flo_policy_json(&order->policy));
    } else if (order->op == FLO_ORDER_ALLOW) {
        set_from(json, order);
    } else if (order->op == FLO_ORDER_ROLLBACK) {
        set_from(json, order);
        json_object_set_new(
            json, "to", order->to_previous ? json_string("previous") : flo_json_digest(&order->to));
        flo_json_put_text(json, "reason", order->reason);
    } else if (order->op == FLO_ORDER_GROUPS) {
        json_t *groups = json_array();
        for (uint32_t i = 0; i < order->group_count; i++) {
            json_array_append_new(groups, json_string(order->groups[i]));
        }
        json_object_set_new(json, "groups", groups);
    } else if (order->op == FLO_ORDER_BENCHMARK && !flo_digest_is_zero(&order->release)) {
        json_object_set_new(json, "release", flo_json_digest(&order->release));
    } else if (order->op == FLO_ORDER_REMOVE) {
        flo_json_put_text(json, "keep", order->keeps_blobs ? "blobs" : "none");
    }
#define FLO_ORDER_NUMBER(name, field, least, most, standard)                                       \
    if (order->op == FLO_ORDER_##name) {                                                           \
        json_object_set_new(json, #field, flo_json_u64(order->field));                             \
    }
#include "proto/orders.def"
    return json;
}

int flo_order_write(const struct flo_order *order, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = json_object();

    json_object_set_new(root, "v", json_integer(1));
    json_object_set_new(root, "fleet", json_string(order->fleet));
    json_object_set_new(root, "id", json_string(order->id));
    json_object_set_new(root, "op", json_string(flo_order_op_word(order->op)));
    json_object_set_new(root, "scope", scope_json(&order->scope));
    json_object_set_new(root, "epoch", flo_json_u64(order->epoch));
    json_object_set_new(root, "seq", flo_json_u64(order->seq));
    json_object_set_new(root, "issued_at_ms", flo_json_u64(order->issued_at_ms));
    json_object_set_new(root, "expires_at_ms", flo_json_u64(order->expires_at_ms));
    flo_json_put_text(root, "by", order->by);
    json_object_set_new(root, "args", args_json(order));
    flo_json_dump_canonical(root, out);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "no memory for an order") : 0;
}

/* ---- scope ---- */

uint32_t flo_bucket(const char *salt, const char *device)
{
    char text[FLO_NAME_MAX + 1 + 36];
    struct flo_digest digest;
    uint64_t value = 0;
    size_t salted = strnlen(salt, FLO_NAME_MAX);
    size_t named = strnlen(device, 36);

    memcpy(text, salt, salted);
    text[salted] = '\0';
    memcpy(text + salted + 1, device, named);
    flo_sha256(text, salted + 1 + named, &digest);
    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | digest.bytes[i];
    }
    return (uint32_t)(value % FLO_BUCKETS);
}

bool flo_scope_holds(const struct flo_scope *scope, const char *device,
                     const char (*groups)[FLO_NAME_MAX + 1], size_t group_count)
{
    if (scope->device[0] != '\0') {
        return strcmp(scope->device, device) == 0;
    }
    bool is_member = strcmp(scope->group, "all") == 0;
    for (size_t i = 0; i < group_count && !is_member; i++) {
        is_member = strcmp(scope->group, groups[i]) == 0;
    }
    if (!is_member) {
        return false;
    }
    if (scope->salt[0] == '\0') {
        return true;
    }
    uint32_t bucket = flo_bucket(scope->salt, device);
    return scope->bucket_from <= bucket && bucket < scope->bucket_to;
}
