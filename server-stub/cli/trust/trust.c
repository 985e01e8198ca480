/* flotilla trust init, show, sign, verify: statements on operators' machines.
 *
 * The private root keys never leave these machines.  The file is passed from
 * holder to holder, and each adds a signature. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/trust.h>
#include <flotilla/plural.h>

#include "base/host/crypto.h"
#include "server-stub/cli/trust/trust.h"

bool flo_trust_is_local(int (*run)(struct flo_cli *cli, struct flo_err *err))
{
    return run == flo_cmd_key_list || run == flo_cmd_key_rotate || run == flo_cmd_key_revoke ||
           run == flo_cmd_trust_init || run == flo_cmd_trust_show || run == flo_cmd_trust_sign ||
           run == flo_cmd_trust_verify || run == flo_cmd_emergency_freeze ||
           run == flo_cmd_emergency_unfreeze || run == flo_cmd_emergency_prompts ||
           run == flo_cmd_emergency_rollback || run == flo_cmd_emergency_allow;
}

/* ---- init ---- */

static int add_keys(struct flo_cli *cli, struct flo_trust *draft, const char *word,
                    struct flo_err *err)
{
    const char *path;

    for (size_t i = 0; flo_args_each(&cli->args, word, i, &path); i++) {
        FLO_TRY(flo_trust_add_file(draft, path, flo_trust_role(word), err));
    }
    return 0;
}

static int add_authorities(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err)
{
    const char *path;

    for (size_t i = 0; flo_args_each(&cli->args, "authority", i, &path); i++) {
        FLO_TRY(flo_trust_add_authority(draft, path, err));
    }
    return 0;
}

int flo_cmd_trust_init(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *held = NULL;
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *draft = NULL;
    uint64_t threshold;

    FLO_TRY(flo_args_u64(&cli->args, "threshold", 1, FLO_TRUST_THRESHOLD_MAX, 1, &threshold, err));
    FLO_TRY(flo_trust_held(cli, &held, err));
    if (flo_trust_is_signed(held)) {
        flo_fail(err, FLO_E_STATE, "the fleet has a signed statement, %llu",
                 (unsigned long long)flo_trust_number(held));
        return flo_err_fix(err, "flotilla key rotate and key revoke draft the "
                                "next one");
    }
    FLO_TRY(flo_trust_begin(cli, held, &draft, err));
    flo_trust_set_threshold(draft, (uint32_t)threshold);
    FLO_TRY(add_keys(cli, draft, "root", err));
    FLO_TRY(add_keys(cli, draft, "release", err));
    FLO_TRY(add_keys(cli, draft, "emergency", err));
    FLO_TRY(add_authorities(cli, draft, err));
    return flo_trust_end(cli, held, draft, err);
}

/* ---- show ---- */

static void show_lists(const json_t *object)
{
    static const char *const words[] = {"revoked_keys", "revoked_releases", "floors", "publishers",
                                        "authorities"};

    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        const json_t *list = json_object_get(object, words[i]);
        for (size_t j = 0; j < json_array_size(list); j++) {
            printf("%s%s\n", j == 0 ? words[i] : "", j == 0 ? ":" : "");
            printf("  %s\n", json_string_value(json_array_get(list, j)));
        }
    }
}

static json_t *object_of(const struct flo_trust *trust)
{
    json_t *rows = flo_trust_rows(trust);
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        bool is = flo_trust_has_signed(trust, flo_out_text(row, "keyid", ""));
        json_object_set_new(row, "signed", json_string(is ? "yes" : ""));
    }
    json_t *object = flo_trust_object(trust);
    json_object_set_new(object, "keys", rows);
    return object;
}

int flo_cmd_trust_show(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *trust = NULL;
    const char *path = cli->args.words[0];
    struct flo_trust_counters counters = {0};
    int rv = path != NULL ? flo_trust_file(path, &trust, err) : flo_trust_held(cli, &trust, err);

    /* the file is the unsigned list of keys, and no statement */
    if (rv == FLO_E_META_SCHEMA && path != NULL) {
        rv = flo_trust_load(path, &trust, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_trust_count_up(trust, NULL, &counters, err));
    FLO_CLEANUP(flo_json_cleanup) json_t *object = object_of(trust);
    if (flo_out_is_data(cli)) {
        flo_out_json(cli, object);
        return 0;
    }
    printf("statement %llu of fleet %s, epoch %u; %u of %u root keys signed\n",
           (unsigned long long)flo_trust_number(trust), flo_trust_fleet(trust),
           flo_trust_epoch(trust), counters.own, counters.own_needed);
    flo_out_table(cli, json_object_get(object, "keys"), FLO_COLUMNS(signing_key));
    show_lists(object);
    return 0;
}

/* ---- sign ---- */

int flo_cmd_trust_sign(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *draft = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const char *path = cli->args.words[0];
    struct flo_trust_counters counters;

    FLO_TRY(flo_trust_file(path, &draft, err));
    FLO_TRY(flo_key_load(flo_args_text(&cli->args, "key", ""), &key, err));
    FLO_TRY(flo_trust_sign(draft, key, err));
    FLO_TRY(flo_trust_count_up(draft, NULL, &counters, err));
    flo_trust_text(draft, &text);
    FLO_TRY(flo_file_write(path, text.data, text.bytes, 0644, err));
    flo_out_done(cli,
                 json_pack("{s:s,s:s,s:I,s:I,s:I}", "draft", path, "keyid",
                           flo_key_public(key)->keyid, "number",
                           (json_int_t)flo_trust_number(draft), "own", (json_int_t)counters.own,
                           "own_needed", (json_int_t)counters.own_needed),
                 "%s  signed by %.16s…: %u of %u of its own root keys\n", path,
                 flo_key_public(key)->keyid, counters.own, counters.own_needed);
    return 0;
}

/* ---- verify ---- */

int flo_cmd_trust_verify(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *held = NULL;
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *next = NULL;
    enum flo_trust_standing standing = FLO_TRUST_GAP;

    FLO_TRY(flo_trust_held(cli, &held, err));
    FLO_TRY(flo_trust_file(cli->args.words[0], &next, err));
    FLO_TRY(flo_trust_follows(held, next, &standing, err));
    if (standing != FLO_TRUST_NEXT) {
        return flo_fail(err, FLO_E_TRUST_NUMBER, "statement %llu does not follow number %llu",
                        (unsigned long long)flo_trust_number(next),
                        (unsigned long long)flo_trust_number(held));
    }
    flo_out_done(
        cli,
        json_pack("{s:s,s:I}", "verdict", "good", "number", (json_int_t)flo_trust_number(next)),
        "statement %llu follows number %llu: devices take it\n",
        (unsigned long long)flo_trust_number(next), (unsigned long long)flo_trust_number(held));
    return 0;
}

/* ---- publish, status ---- */

static void tell_untrusted(const struct flo_cli *cli, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "untrusted_releases");

    for (size_t i = 0; !flo_out_is_data(cli) && i < json_array_size(list); i++) {
        const char *title = json_string_value(json_array_get(list, i));
        printf("%s  its key is gone: devices that serve it go on, no other "
               "takes it (flotilla release resign %s --key KEY)\n",
               title, title);
    }
}

int flo_cmd_trust_publish(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *trust = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;

    FLO_TRY(flo_trust_file(cli->args.words[0], &trust, err));
    flo_trust_text(trust, &text);
    FLO_TRY(flo_api_send(cli, "/v1/trust/statements", text.data, text.bytes, &answer, err));
    flo_out_done(cli, json_incref(answer),
                 "statement %llu is published, epoch %llu; flotilla trust "
                 "status tells who has it\n",
                 (unsigned long long)flo_out_u64(answer, "number"),
                 (unsigned long long)flo_out_u64(answer, "epoch"));
    tell_untrusted(cli, answer);
    return 0;
}

int flo_cmd_trust_status(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *status = NULL;

    FLO_TRY(flo_api_get(cli, "/v1/trust/status", &status, err));
    if (flo_out_is_data(cli)) {
        flo_out_json(cli, status);
        return 0;
    }
    printf("statement %llu (%s), epoch %llu; %llu of %llu device%s %s behind\n",
           (unsigned long long)flo_out_u64(status, "number"),
           json_is_true(json_object_get(status, "signed")) ? "signed" : "unsigned list",
           (unsigned long long)flo_out_u64(status, "epoch"),
           (unsigned long long)flo_out_u64(status, "behind"),
           (unsigned long long)flo_out_u64(status, "devices"),
           flo_s(flo_out_u64(status, "devices")),
           flo_plural(flo_out_u64(status, "behind"), "is", "are"));
    flo_out_table(cli, json_object_get(status, "numbers"), FLO_COLUMNS(trust_number));
    return 0;
}
