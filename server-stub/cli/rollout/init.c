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

    printf("%.*s", (int)strcspn(text, "|"), text);
}

static void print_meaning(const struct flo_spec_field *field,
                          const char *indent, const char *mark)
{
    bool is_word = strcmp(field->kind, "WORD") == 0;

    printf("%s#%s %s%s%s%s\n", indent, mark, field->meaning,
           is_word ? " (" : "", is_word ? field->possible : "",
           is_word ? ")" : "");
}

static enum flo_spec_part part_of(const struct flo_spec_field *field)
{
    enum flo_spec_part part = FLO_SPEC_SPEC;

    return flo_spec_part_parse(field->possible, &part) ? part : FLO_SPEC_SPEC;
}

/* An object in one line, each of its fields explained above it. */
static void print_object(const struct flo_spec_field *of, const char *indent)
{
    enum flo_spec_part part = part_of(of);
    bool is_list = strcmp(of->kind, "LIST") == 0;
    struct flo_spec_field field;
    const char *between = "";
    char mark[48];

    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == part && is_for_people(&field)) {
            snprintf(mark, sizeof(mark), "   - %s:", field.name);
            print_meaning(&field, indent, mark);
        }
    }
    printf("%s# %s: %s{", indent, of->name, is_list ? "[" : "");
    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == part && is_for_people(&field)) {
            printf("%s%s: ", between, field.name);
            print_value(&field);
            between = ", ";
        }
    }
    printf("}%s\n", is_list ? "]" : "");
}

static void print_comment(const struct flo_spec_field *field,
                          const char *indent)
{
    print_meaning(field, indent, "");
    if (strcmp(field->kind, "PART") == 0 || strcmp(field->kind, "LIST") == 0) {
        print_object(field, indent);
    } else if (strcmp(field->kind, "GATES") == 0) {
        printf("%s# gates: {failed: {max_pct: 2}}\n", indent);
    } else if (strcmp(field->kind, "POLICY") == 0) {
        printf("%s# policy: {tries: 3}\n", indent);
    } else {
        printf("%s# %s: ", indent, field->name);
        print_value(field);
        printf("\n");
    }
}

/* The fields of a phase as comments. */
static void print_phase(const char *indent)
{
    struct flo_spec_field field;

    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == FLO_SPEC_PHASE && is_for_people(&field) &&
            strcmp(field.name, "name") != 0 &&
            strcmp(field.name, "size") != 0) {
            print_comment(&field, indent);
        }
    }
}

static void print_phases(void)
{
    printf("phases:\n"
           "  - name: canary\n"
           "    size: 1\n"
           "  - size: 1%%\n");
    print_phase("    ");
    printf("  - size: 10%%\n"
           "  - size: 100%%\n");
}

static void print_field(const struct printer *printer,
                        const struct flo_spec_field *field)
{
    if (strcmp(field->name, "release") == 0) {
        print_meaning(field, "", "");
        printf("release: %s\n", printer->release);
    } else if (strcmp(field->name, "target") == 0) {
        print_meaning(field, "", "");
        printf("target:\n  group: %s\n", printer->group);
    } else if (strcmp(field->name, "phases") == 0) {
        print_meaning(field, "", "");
        print_phases();
    } else {
        print_comment(field, "");
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
