/* Commands about emergency orders: rollbacks, freezes, prompts, outcomes. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/live/live.h"

/* Prints the devices that have not carried out the order, or have not answered
 * yet. */
static void print_missing(const struct flo_cli *cli, const json_t *order)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *missing = json_array();
    size_t i;
    json_t *device;

    json_array_foreach(json_object_get(order, "devices"), i, device)
    {
        const char *outcome = flo_out_text(device, "outcome", "");
        if (strcmp(outcome, "done") != 0 && strcmp(outcome, "ignored") != 0) {
            json_array_append(missing, device);
        }
    }
    if (json_array_size(missing) > 0) {
        flo_out_table(cli, missing, FLO_COLUMNS(order_device));
    }
    uint64_t all = flo_out_u64(order, "scope_devices") - flo_out_u64(order, "done");
    if (all > json_array_size(missing)) {
        flo_out_say(cli, "and %llu more", (unsigned long long)(all - json_array_size(missing)));
    }
}

static const char *version_of(const json_t *releases, const json_t *digest)
{
    size_t i;
    json_t *release;

    json_array_foreach(releases, i, release)
    {
        if (json_equal(json_object_get(release, "digest"), digest)) {
            return flo_out_text(release, "version", "?");
        }
    }
    return "?";
}

/* Prints the release of an order: its version, or the versions of the digests
 * that it takes back. */
static void print_release(struct flo_cli *cli, const json_t *order)
{
    const char *model = flo_out_text(order, "body.args.model", "");
    const char *version = flo_out_text(order, "body.args.version", "");
    const json_t *from = flo_out_at(order, "body.args.from");
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *releases = NULL;
    struct flo_err unread = {0}; /* then the model is named alone */

    if (model[0] == '\0') {
        return;
    }
    printf(" of %s%s%s", model, version[0] != '\0' ? "@" : "", version);
    flo_buf_text(&path, "/v1/releases");
    flo_api_query_add(&path, "model", model);
    if (json_array_size(from) == 0 || path.failed ||
        flo_api_list(cli, path.data, &releases, &unread) < 0) {
        return;
    }
    for (size_t i = 0; i < json_array_size(from); i++) {
        printf("%s%s", i == 0 ? "@" : ",", version_of(releases, json_array_get(from, i)));
    }
}

/* Prints an order with its release, scope, author, time and reason. */
static void print_order(struct flo_cli *cli, const json_t *order)
{
    static const struct {
        const char *path, *before;
    } parts[] = {{"group", " · group "},
                 {"body.scope.device", " · device "},
                 {"rollout", " · rollout "},
                 {"body.by", " · by "}};
    char at[25];

    const char *op = flo_out_text(order, "op", "?");

    printf("%s", op);
    if (strcmp(op, "prompts") == 0) {
        printf("%s", flo_out_u64(order, "body.args.stay") != 0 ? " stay" : " go");
    }
    print_release(cli, order);
    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        const char *text = flo_out_text(order, parts[i].path, "");
        if (text[0] != '\0') {
            printf("%s%s", parts[i].before, text);
        }
    }
    flo_time_text(flo_out_u64(order, "issued_at_ms"), at);
    printf(" · %s\n", at);
    const char *reason = flo_out_text(order, "reason", "");
    if (reason[0] != '\0') {
        printf("because: %s\n", reason);
    }
}

/* Tells whether the devices of an order are those of its rollout: such an order
 * is answered by their executions, and counts nobody itself. */
static bool is_of_rollout(const json_t *order)
{
    return flo_out_text(order, "rollout", "")[0] != '\0' &&
           flo_out_u64(order, "scope_devices") == 0 && json_object_get(order, "making") == NULL;
}

static void print_answers(const json_t *order)
{
    char half[32];
    char most[32];

    if (is_of_rollout(order)) {
        printf("order %s is signed; its devices: flotilla rollout get %s\n",
               flo_out_text(order, "id", "?"), flo_out_text(order, "rollout", "?"));
        return;
    }
    flo_out_ms(flo_out_u64(order, "heard_ms_p50"), half);
    flo_out_ms(flo_out_u64(order, "heard_ms_p99"), most);
    printf("order %s %s: %llu done, %llu failed, %llu awaited, %llu offline"
           " or silent · answers p50 %s, p99 %s\n",
           flo_out_text(order, "id", "?"), flo_out_text(order, "state", "?"),
           (unsigned long long)flo_out_u64(order, "done"),
           (unsigned long long)flo_out_u64(order, "failed"),
           (unsigned long long)flo_out_u64(order, "awaited"),
           (unsigned long long)(flo_out_u64(order, "pending") - flo_out_u64(order, "awaited")),
           half, most);
}

static int send_order(struct flo_cli *cli, json_t *body, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *order = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *ended = NULL;
    uint64_t timeout_ms;

    FLO_TRY(flo_args_ms(&cli->args, "timeout", 60000, &timeout_ms, err));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/orders", body, &order, err));
    if (!flo_out_is_data(cli)) {
        printf("order %s signed and sent to %llu device%s\n", flo_out_text(order, "id", "?"),
               (unsigned long long)flo_out_u64(order, "scope_devices"),
               flo_s(flo_out_u64(order, "scope_devices")));
        fflush(stdout);
    }
    if (!flo_args_has(&cli->args, "wait")) {
        if (flo_out_is_data(cli)) {
            flo_out_object(cli, order, FLO_COLUMNS(order));
        }
        return 0;
    }
    int rv = flo_watch_order(cli, flo_out_text(order, "id", ""), timeout_ms, &ended, err);
    if (flo_out_is_data(cli) && ended != NULL) {
        flo_out_object(cli, ended, FLO_COLUMNS(order));
    } else if (ended != NULL) {
        print_answers(ended);
        print_missing(cli, ended);
    }
    return rv;
}

/* Adds the scope to the body: exactly one of --everywhere, --group G and
 * --device D. */
static int add_scope(const struct flo_args *args, json_t *body, struct flo_err *err)
{
    const char *group = flo_args_text(args, "group", NULL);
    const char *device = flo_args_text(args, "device", NULL);
    bool is_everywhere = flo_args_has(args, "everywhere");

    if ((group != NULL) + (device != NULL) + is_everywhere != 1) {
        return flo_fail(err, FLO_E_USAGE,
                        "say where, once: --everywhere, --group G or "
                        "--device D");
    }
    if (is_everywhere) {
        json_object_set_new(body, "everywhere", json_true());
    } else {
        json_object_set_new(body, group != NULL ? "group" : "device",
                            json_string(group != NULL ? group : device));
    }
    return 0;
}

/* Adds --yank or --keep to the body.  Without either flag the controller
 * chooses. */
static int add_yank(const struct flo_args *args, json_t *body, struct flo_err *err)
{
    bool yank = flo_args_has(args, "yank");
    bool keep = flo_args_has(args, "keep");

    if (yank && keep) {
        return flo_fail(err, FLO_E_USAGE, "--yank or --keep, not both");
    }
    if (yank || keep) {
        json_object_set_new(body, "yank", json_boolean(yank));
    }
    return 0;
}

/* ---- the plan ---- */

void flo_order_print_plan(const struct flo_cli *cli, const json_t *plan)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *some = json_array();
    const json_t *rollouts = json_object_get(plan, "rollouts");
    char bytes[32];
    size_t i;
    json_t *item;

    flo_out_bytes(flo_out_u64(plan, "download_bytes"), bytes);
    printf("%llu of %llu device%s with %s %s back: %llu to a release on the "
           "disk, %llu by download (%s in all); cannot: %llu; offline, at "
           "contact: %llu\n",
           (unsigned long long)flo_out_u64(plan, "go_back"),
           (unsigned long long)flo_out_u64(plan, "devices"), flo_s(flo_out_u64(plan, "devices")),
           flo_out_text(plan, "release", "?"),
           flo_plural(flo_out_u64(plan, "go_back"), "goes", "go"),
           (unsigned long long)flo_out_u64(plan, "kept"),
           (unsigned long long)flo_out_u64(plan, "download"), bytes,
           (unsigned long long)flo_out_u64(plan, "cannot"),
           (unsigned long long)flo_out_u64(plan, "offline"));
    if (json_is_true(json_object_get(plan, "frozen")) && flo_out_u64(plan, "download") > 0) {
        printf("the fleet is frozen: who must download keeps %s until it is "
               "unfrozen\n",
               flo_out_text(plan, "release", "?"));
    }
    flo_out_table(cli, json_object_get(plan, "targets"), FLO_COLUMNS(way_back));
    json_array_foreach(json_object_get(plan, "items"), i, item)
    {
        if (strcmp(flo_out_text(item, "way", ""), "kept") != 0) {
            json_array_append(some, item);
        }
    }
    if (json_array_size(some) > 0) {
        flo_out_table(cli, some, FLO_COLUMNS(way_back_device));
    }
    json_array_foreach(rollouts, i, item)
    {
        printf("%s%s", i == 0 ? "rollouts that are stopped: " : ", ", json_string_value(item));
    }
    printf("%s%s %s\n", json_array_size(rollouts) > 0 ? "\n" : "",
           flo_out_text(plan, "release", "?"),
           json_is_true(json_object_get(plan, "yank"))
               ? "becomes yanked: nobody takes it again (flotilla release "
                 "unyank undoes that)"
               : "stays published: it can be rolled out again");
    fflush(stdout);
}

static void print_removal(const struct flo_cli *cli, const json_t *plan)
{
    const json_t *rollouts = json_object_get(plan, "rollouts");
    json_t *item;
    size_t i;

    printf("%llu device%s %s %s; told, with nothing of it yet: %llu; offline, "
           "at contact: %llu\n",
           (unsigned long long)flo_out_u64(plan, "devices"), flo_s(flo_out_u64(plan, "devices")),
           flo_plural(flo_out_u64(plan, "devices"), "loses", "lose"),
           flo_out_text(plan, "model", "?"), (unsigned long long)flo_out_u64(plan, "assigned"),
           (unsigned long long)flo_out_u64(plan, "offline"));
    flo_out_table(cli, json_object_get(plan, "targets"), FLO_COLUMNS(removal));
    json_array_foreach(rollouts, i, item)
    {
        printf("%s%s", i == 0 ? "rollouts that end: " : ", ", json_string_value(item));
    }
    printf("%s%s\n", i > 0 ? "\n" : "",
           strcmp(flo_out_text(plan, "keep", ""), "blobs") == 0
               ? "its files stay until the disk is short"
               : "its files are deleted; other models serve on");
    fflush(stdout);
}

/* Prints why the controller would refuse the order.  If devices run the release
 * and none of them can go back, the operator has to decide about the
 * release. */
static void print_refusal(const json_t *body, const json_t *plan)
{
    if (flo_out_u64(plan, "go_back") == 0 && flo_out_u64(plan, "cannot") > 0 &&
        json_object_get(body, "yank") == NULL) {
        printf("the order itself will be refused (order.nobody): nobody can go "
               "back; add --to MODEL@VERSION, --yank or --keep\n");
        fflush(stdout);
    }
}

static int get_plan(struct flo_cli *cli, const json_t *body, json_t **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *copy = json_copy((json_t *)(uintptr_t)body);

    json_object_del(copy, "confirm");
    return flo_api_call(cli, "POST", "/v1/orders?dry_run=true", copy, out, err);
}

/* Shows the plan to a person, who then types the name.  Nothing is shown to a
 * script that gives the name by --confirm. */
static int plan_and_confirm(struct flo_cli *cli, const json_t *body, const char *title,
                            struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *plan = NULL;
    bool is_dry = flo_args_has(&cli->args, "dry-run");
    int rv = 0;

    if (is_dry || !flo_args_has(&cli->args, "confirm")) {
        rv = get_plan(cli, body, &plan, err);
    }
    if (rv == 0 && plan != NULL && is_dry && flo_out_is_data(cli)) {
        flo_out_json(cli, plan);
    } else if (rv == 0 && plan != NULL && !flo_out_is_data(cli)) {
        if (json_object_get(plan, "model") != NULL) {
            print_removal(cli, plan);
        } else {
            flo_order_print_plan(cli, plan);
            print_refusal(body, plan);
        }
    }
    FLO_TRY(rv);
    return is_dry ? rv : flo_out_confirm(cli, "Nothing was done yet.", title, err);
}

int flo_order_recall(struct flo_cli *cli, struct flo_err *err)
{
    const char *title = flo_args_text(&cli->args, "release", NULL);
    const char *to = flo_args_text(&cli->args, "to", NULL);
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s,s:s,s:s,s:s}", "op", "rollback", "release", title, "confirm", title,
                  "reason", flo_args_text(&cli->args, "reason", "emergency rollback"));

    FLO_TRY(add_scope(&cli->args, body, err));
    if (to != NULL) {
        json_object_set_new(body, "to", json_string(to));
    }
    FLO_TRY(add_yank(&cli->args, body, err));
    FLO_TRY(flo_release_title_parse(title, model, version, err));
    FLO_TRY(plan_and_confirm(cli, body, title, err));
    return flo_args_has(&cli->args, "dry-run") ? 0 : send_order(cli, body, err);
}

int flo_cmd_model_remove(struct flo_cli *cli, struct flo_err *err)
{
    const char *model = cli->args.words[0];
    bool keeps = flo_args_has(&cli->args, "keep-files");
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s}", "op", "remove", "model", model, "keep",
                             keeps ? "blobs" : "none", "confirm", model, "reason",
                             flo_args_text(&cli->args, "reason", ""));
    FLO_TRY(flo_name_is_valid(model) ? add_scope(&cli->args, body, err)
                                     : flo_fail(err, FLO_E_USAGE, "no model `%.80s`", model));
    FLO_TRY(plan_and_confirm(cli, body, model, err));
    return flo_args_has(&cli->args, "dry-run") ? 0 : send_order(cli, body, err);
}

/* ---- what became of orders ---- */

#define ORDERS_SHOWN 50

static int show_order_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;

    FLO_TRY(flo_api_some(cli, "/v1/orders", ORDERS_SHOWN, &items, err));
    flo_out_table(cli, items, FLO_COLUMNS(order));
    return 0;
}

int flo_cmd_order_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "order", show_order_list, err);
}

static int order_id(struct flo_cli *cli, const char **out, struct flo_err *err)
{
    *out = cli->args.words[0];
    return flo_name_is_valid(*out) ? 0 : flo_fail(err, FLO_E_ABSENT, "no order `%.80s`", *out);
}

int flo_cmd_order_get(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *order = NULL;
    char path[160];
    const char *id;

    FLO_TRY(order_id(cli, &id, err));
    snprintf(path, sizeof(path), "/v1/orders/%s", id);
    FLO_TRY(flo_api_get(cli, path, &order, err));
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, order, FLO_COLUMNS(order));
    } else {
        print_order(cli, order);
        print_answers(order);
        print_missing(cli, order);
    }
    return 0;
}

int flo_cmd_order_wait(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *ended = NULL;
    uint64_t timeout_ms;
    const char *id;

    FLO_TRY(order_id(cli, &id, err));
    FLO_TRY(flo_args_ms(&cli->args, "timeout", UINT64_MAX, &timeout_ms, err));
    int rv = flo_watch_order(cli, id, timeout_ms, &ended, err);
    if (rv == 0 && is_of_rollout(ended)) {
        const char *rollout = flo_out_text(ended, "rollout", "?");
        flo_fail(err, FLO_E_USAGE, "the devices of order %s are those of rollout %s", id, rollout);
        return flo_err_fix(err, "flotilla rollout wait %s", rollout);
    }
    if (ended != NULL && flo_out_is_data(cli)) {
        flo_out_object(cli, ended, FLO_COLUMNS(order));
    } else if (ended != NULL) {
        print_answers(ended);
        print_missing(cli, ended);
    }
    return rv;
}

/* ---- freezes, prompts ---- */

/* Sends an order to the whole fleet after its name was typed.  `order`, which is
 * taken, has the operation and its argument. */
static int to_fleet(struct flo_cli *cli, json_t *order, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = order;

    FLO_TRY(flo_api_get(cli, "/v1/version", &version, err));
    const char *fleet = flo_out_text(version, "fleet", "");
    FLO_TRY(flo_out_confirm(cli, "This is for the whole fleet.", fleet, err));
    json_object_set_new(body, "everywhere", json_true());
    json_object_set_new(body, "confirm", json_string(fleet));
    json_object_set_new(body, "reason", json_string(flo_args_text(&cli->args, "reason", "")));
    return send_order(cli, body, err);
}

static int freeze(struct flo_cli *cli, const char *op, struct flo_err *err)
{
    return to_fleet(cli, json_pack("{s:s}", "op", op), err);
}

int flo_cmd_prompts_stay(struct flo_cli *cli, struct flo_err *err)
{
    return to_fleet(cli, json_pack("{s:s,s:i}", "op", "prompts", "stay", 1), err);
}

int flo_cmd_prompts_go(struct flo_cli *cli, struct flo_err *err)
{
    return to_fleet(cli, json_pack("{s:s,s:i}", "op", "prompts", "stay", 0), err);
}

int flo_cmd_rollout_freeze(struct flo_cli *cli, struct flo_err *err)
{
    return freeze(cli, "freeze", err);
}

int flo_cmd_rollout_unfreeze(struct flo_cli *cli, struct flo_err *err)
{
    return freeze(cli, "unfreeze", err);
}
