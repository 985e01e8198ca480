/* Commands about the fleet's certificate authorities. */
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/cli/cli.h"

static void print_status(struct flo_cli *cli, const json_t *status)
{
    char life[32];

    if (flo_out_is_data(cli)) {
        flo_out_json(cli, status);
        return;
    }
    flo_out_table(cli, json_object_get(status, "authorities"), FLO_COLUMNS(authority));
    flo_out_ms(flo_out_u64(status, "life_ms"), life);
    printf("certificates live %s · %llu device%s %s less than a sixth left, "
           "%llu have ended\n",
           life, (unsigned long long)flo_out_u64(status, "ending"),
           flo_s(flo_out_u64(status, "ending")),
           flo_plural(flo_out_u64(status, "ending"), "has", "have"),
           (unsigned long long)flo_out_u64(status, "ended"));
    if (flo_out_u64(status, "cut_off") > 0) {
        printf("%llu device%s %s certificates of an authority that is gone: "
               "they must enrol again\n",
               (unsigned long long)flo_out_u64(status, "cut_off"),
               flo_s(flo_out_u64(status, "cut_off")),
               flo_plural(flo_out_u64(status, "cut_off"), "holds", "hold"));
    }
}

int flo_cmd_ca_status(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *status = NULL;

    FLO_TRY(flo_api_get(cli, "/v1/ca", &status, err));
    print_status(cli, status);
    return 0;
}

int flo_cmd_ca_rotate(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *status = NULL;

    FLO_TRY(flo_api_call(cli, "POST", "/v1/ca/rotate", json_object(), &status, err));
    print_status(cli, status);
    flo_out_say(cli, "next: a trust statement that lists the new one "
                     "(flotilla key rotate ca), where devices have one; "
                     "then wait until `flotilla ca status` says 0 devices "
                     "for the old one, and retire it");
    return 0;
}

int flo_cmd_ca_retire(struct flo_cli *cli, struct flo_err *err)
{
    const char *confirm = flo_args_text(&cli->args, "confirm", "");
    FLO_CLEANUP(flo_json_cleanup) json_t *status = NULL;
    json_t *body = json_pack("{s:s}", "authority", cli->args.words[0]);

    flo_json_put_text(body, "confirm", confirm);
    FLO_TRY(flo_api_call(cli, "POST", "/v1/ca/retire", body, &status, err));
    const json_t *gone = json_object_get(status, "devices_cut_off");
    const json_t *name;
    size_t i;
    print_status(cli, status);
    json_array_foreach(gone, i, name)
    {
        flo_out_say(cli, "must enrol again: %s", json_string_value(name));
    }
    flo_out_say(cli, "devices believe it in TLS until a trust statement "
                     "leaves it out: flotilla ca show > all.pem; flotilla "
                     "key rotate ca NEW.pem --to DRAFT");
    return 0;
}

/* Prints the authorities as PEM to stdout, for an external broker. */
int flo_cmd_ca_show(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *files = NULL;
    bool revoked = flo_args_has(&cli->args, "revoked");

    FLO_TRY(flo_api_get(cli, "/v1/ca/revoked", &files, err));
    const char *name = revoked ? "revoked" : "authorities";
    flo_out_whole(cli, name, flo_out_text(files, name, ""));
    return 0;
}
