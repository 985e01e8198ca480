/* Signed files: the commands `order` and `trust`, for files that a person
 * carries to the device.  The signature of such a file proves that nobody
 * changed it. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/commands/commands.h"
#include "agent/shell/loop.h"
#include "agent/shell/report/operators.h"
#include "base/host/json.h"

#define FILE_BYTES_MAX (1u << 20)
#define LIST_MAX 64

static const struct flo_flag file_flags[] = {
    {"file", "FILE", "the signed file", FLO_ASKED, .is_needed = true},
    FLO_FLAGS_END,
};

/* Reads a file with one envelope, or with a list of envelopes under `key`. */
static int read_file(const struct flo_args *args, const char *key, json_t **list,
                     struct flo_err *err)
{
    const char *path = flo_args_text(args, "file", "");
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    json_t *found = NULL;
    size_t bytes;
    int rv = flo_file_read(path, FILE_BYTES_MAX, &text, &bytes, err);

    if (rv == 0) {
        rv = flo_json_parse(text, bytes, FILE_BYTES_MAX, &json, err);
    }
    if (rv == 0 && json_object_get(json, "payload") != NULL) {
        *list = json_pack("[O]", json);
        return *list != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "%s", path);
    }
    if (rv == 0) {
        rv = flo_json_get_array(json, key, LIST_MAX, &found, err);
    }
    if (rv == 0) {
        *list = json_incref(found);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

/* ---- order ---- */

static int begin_order(struct flo_shell *shell, void *context, struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];

    FLO_TRY(flo_orders_check(shell, context, id, err));
    flo_alone_wait(shell, id);
    return flo_loop_order_by_hand(shell, context, id, err);
}

/* Gives an order to the device.  Its answer is added to `told`; NULL: it is
 * printed for people. */
static int give_order(const struct flo_args *args, json_t *envelope, json_t *told,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;

    FLO_TRY(flo_ask(args, json_pack("{s:i, s:s, s:O}", "v", 1, "op", "order", "order", envelope),
                    NULL, begin_order, envelope, &answer, err));
    FLO_TRY(flo_answer_error(answer, err));
    if (told != NULL) {
        json_array_append(told, answer);
    } else {
        printf("order %s: %s\n", json_string_value(json_object_get(answer, "order")),
               json_string_value(json_object_get(answer, "outcome")));
    }
    return 0;
}

static int order(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    FLO_CLEANUP(flo_json_cleanup) json_t *list = NULL;
    json_t *told = args->is_json ? json_array() : NULL;
    int rv = read_file(args, "orders", &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        rv = give_order(args, json_array_get(list, i), told, err);
    }
    flo_tell_several("orders", told, rv, err);
    return rv;
}

const struct flo_verb flo_verb_order = {
    .name = "order",
    .usage = "--file FILE [-o json]",
    .help = "obey signed orders of a file, as flotilla emergency writes it",
    .flags = {file_flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = order,
    .example = "--file stop.json",
    .more = "-o json: {\"orders\": [...]}, with an \"error\" where one failed.\n",
};

/* ---- trust ---- */

static int begin_trust(struct flo_shell *shell, void *context, struct flo_err *err)
{
    uint64_t number;

    FLO_TRY(flo_loop_trust(shell, context, &number, err));
    flo_alone_answer(shell, json_pack("{s:i, s:I}", "v", 1, "number", (json_int_t)number));
    return 0;
}

int flo_give_trust(const struct flo_args *args, json_t *envelope, json_t **answer,
                   struct flo_err *err)
{
    FLO_TRY(flo_ask(args,
                    json_pack("{s:i, s:s, s:O}", "v", 1, "op", "trust", "statement", envelope),
                    NULL, begin_trust, envelope, answer, err));
    return flo_answer_error(*answer, err);
}

static int trust(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    FLO_CLEANUP(flo_json_cleanup) json_t *list = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    int rv = read_file(args, "statements", &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        json_decref(answer);
        answer = NULL;
        rv = flo_give_trust(args, json_array_get(list, i), &answer, err);
    }
    if (rv == 0 && answer != NULL && args->is_json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        printf("\n");
    } else if (rv == 0 && answer != NULL) {
        printf("trust statement %lld holds\n",
               (long long)json_integer_value(json_object_get(answer, "number")));
    }
    return rv;
}

const struct flo_verb flo_verb_trust = {
    .name = "trust",
    .usage = "--file FILE [-o json]",
    .help = "take the trust statements of a file, as flotilla trust signs them",
    .flags = {file_flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = trust,
    .example = "--file 4.json",
};
