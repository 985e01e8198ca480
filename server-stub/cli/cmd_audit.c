/* Commands about the audit: they check it, also against lines that were stored
 * elsewhere. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/audit.h>

#include "server-stub/cli/live/live.h"

#define FILE_BYTES_MAX (64u << 20)
#define KEPT_MAX 64 /* largest number of newest lines that are compared */

/* Number and hash of an audit record, as somebody noted them outside of the
 * controller. */
struct kept {
    unsigned long long number;
    char hash[FLO_DIGEST_TEXT];
};
struct witness {
    struct kept kept[KEPT_MAX];
    size_t count; /* number of lines read; the newest one is at (count - 1) % KEPT_MAX */
};

static void keep(struct witness *witness, unsigned long long number, const char *hash)
{
    struct kept *kept = &witness->kept[witness->count++ % KEPT_MAX];

    kept->number = number;
    snprintf(kept->hash, sizeof(kept->hash), "%s", hash);
}

/* Reads lines of audit.head from a text, which may be a device's JSON.  Lines
 * before a restart belong to other data, and are dropped. */
static void read_lines(const char *text, struct witness *out)
{
    unsigned long long number;
    char hash[FLO_DIGEST_TEXT];

    for (const char *at = text; (at = strstr(at, " sha256:")) != NULL; at++) {
        const char *begin = at;
        while (begin > text && strchr("0123456789", begin[-1]) != NULL) {
            begin--;
        }
        bool is_head = begin - text >= 5 && strncmp(begin - 5, "head ", 5) == 0;
        bool is_restart = begin - text >= 8 && strncmp(begin - 8, "restart ", 8) == 0;
        if (is_restart) {
            out->count = 0;
        }
        if ((is_head || is_restart) && sscanf(begin, "%19llu %71[a-z0-9:]", &number, hash) == 2 &&
            number > 0) {
            keep(out, number, hash);
        }
    }
}

/* Reads number and hash from the output of `audit verify -o json`. */
static void read_answer(const char *text, size_t bytes, struct witness *out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (flo_json_parse(text, bytes, FILE_BYTES_MAX, &json, NULL) < 0) {
        return;
    }
    json_int_t number = json_integer_value(json_object_get(json, "records"));
    const char *head = json_string_value(json_object_get(json, "head"));
    if (number > 0 && head != NULL) {
        keep(out, (unsigned long long)number, head);
    }
}

static int compare(struct flo_cli *cli, const struct kept *kept, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    char path[64];

    snprintf(path, sizeof(path), "/v1/audit?cursor=%llu&limit=1", kept->number);
    FLO_TRY(flo_api_get(cli, path, &page, err));
    const json_t *record = json_array_get(json_object_get(page, "items"), 0);
    if (json_integer_value(json_object_get(record, "number")) != (json_int_t)kept->number) {
        return flo_fail(err, FLO_E_AUDIT_CUT, "record %llu of the witness is gone", kept->number);
    }
    return strcmp(flo_out_text(record, "hash", ""), kept->hash) == 0
               ? 0
               : flo_fail(err, FLO_E_AUDIT_CUT, "record %llu is another one than the witness says",
                          kept->number);
}

static int check_witness(struct flo_cli *cli, const char *file, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct witness witness = {.count = 0};
    size_t bytes = 0;

    FLO_TRY(flo_file_read(file, FILE_BYTES_MAX, &text, &bytes, err));
    read_answer(text, bytes, &witness);
    read_lines(text, &witness);
    if (witness.count == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "%.200s has no signed line and no answer of `audit "
                        "verify -o json`",
                        file);
    }
    for (size_t i = 0; i < witness.count && i < KEPT_MAX; i++) {
        FLO_TRY(compare(cli, &witness.kept[i], err));
    }
    return 0;
}

int flo_cmd_audit_verify(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const char *file = flo_args_text(&cli->args, "witness", NULL);

    FLO_TRY(flo_api_get(cli, "/v1/audit/verify", &answer, err));
    flo_out_json(cli, answer);
    if (!json_is_true(json_object_get(answer, "ok"))) {
        const char *id = flo_out_text(answer, "code", "");
        return flo_fail(err,
                        strcmp(id, flo_error_id(FLO_E_AUDIT_CUT)) == 0 ? FLO_E_AUDIT_CUT
                                                                       : FLO_E_AUDIT_CHAIN,
                        "%s", flo_out_text(answer, "error", "?"));
    }
    return file != NULL ? check_witness(cli, file, err) : 0;
}
