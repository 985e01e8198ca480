/* `rollout init`: a rollout.yaml with every field, most of them as comments.
 *
 * The fields, their standards and meanings come from spec.def; a line is taken
 * into use by removing its `#`. */
#include <string.h>

#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/core/spec/spec.h"

struct printer {
    const char *release;
    const char *group;
};

/* A form that programs send has another field next to it for people. */
static bool is_for_people(const struct flo_spec_field *field)
{
    static const char *const others[] = {"DEVICES", "SHARE", "PER_S"};

    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        if (strcmp(field->kind, others[i]) == 0) {
            return false;
        }
    }
    return strcmp(field->name, "v") != 0;
}

/* The standard, else the example: the first of several words. */
static void print_value(const struct flo_spec_field *field)
{
    const char *text =
        field->standard[0] != '\0' ? field->standard : field->possible;

    printf("%.*s\n", (int)strcspn(text, "|"), text);
}

static void print_meaning(const struct flo_spec_field *field,
                          const char *indent)
{
    bool is_word = strcmp(field->kind, "WORD") == 0;

    printf("%s# %s%s%s%s\n", indent, field->meaning, is_word ? " (" : "",
           is_word ? field->possible : "", is_word ? ")" : "");
}

/* The fields of an object as comments. */
static void print_part(enum flo_spec_part part, const char *indent,
                       const char *but)
{
    struct flo_spec_field field;

    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == part && is_for_people(&field) &&
            strstr(but, field.name) == NULL) {
            print_meaning(&field, indent);
            printf("%s# %s: ", indent, field.name);
            print_value(&field);
        }
    }
}

static void print_phases(void)
{
    printf("phases:\n"
           "  - name: canary\n"
           "    size: 1\n");
    print_part(FLO_SPEC_PHASE, "    ", "name size");
    printf("  - size: 1%%\n"
           "  - size: 10%%\n"
           "  - size: 100%%\n");
}

static void print_field(const struct printer *printer,
                        const struct flo_spec_field *field)
{
    print_meaning(field, "");
    if (strcmp(field->name, "release") == 0) {
        printf("release: %s\n", printer->release);
    } else if (strcmp(field->name, "target") == 0) {
        printf("target:\n  group: %s\n", printer->group);
    } else if (strcmp(field->name, "phases") == 0) {
        print_phases();
    } else if (strcmp(field->kind, "GATES") == 0) {
        printf("# gates: {failed: {max_pct: 2}}\n");
    } else if (strcmp(field->kind, "POLICY") == 0) {
        printf("# policy: {tries: 3}\n");
    } else {
        printf("# %s: ", field->name);
        print_value(field);
    }
    printf("\n");
}

int flo_cmd_rollout_init(struct flo_cli *cli, struct flo_err *err)
{
    const struct flo_args *args = &cli->args;
    struct printer printer = {.release = args->word_count > 0 ? args->words[0]
                                                              : "MODEL@VERSION",
                              .group = flo_args_text(args, "group", "all")};
    struct flo_spec_field field;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    if (args->word_count > 0) {
        int rv = flo_release_title_parse(printer.release, model, version, err);
        if (rv < 0) {
            return rv;
        }
    }
    if (!flo_name_is_valid(printer.group)) {
        return flo_fail(err, FLO_E_USAGE, "--group `%.80s` is no name",
                        printer.group);
    }
    printf("# A rollout: flotilla rollout start -f FILE [--dry-run]\n"
           "# All but `release` may be left out.\n\n");
    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        /* `group` is short for the target, which stands there. */
        if (field.part == FLO_SPEC_SPEC && is_for_people(&field) &&
            strcmp(field.name, "group") != 0) {
            print_field(&printer, &field);
        }
    }
    return 0;
}
