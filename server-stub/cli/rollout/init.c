/* `rollout init`: prints a rollout.yaml with every field, most of them as
 * comments.
 *
 * The fields, their defaults and meanings come from spec.def.  Removing the `#`
 * of a line activates the field. */
#include <string.h>

#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/core/spec/spec.h"

struct printer {
    const char *release;
    const char *group;
};

/* Tells whether a field is for people.  A field for programs is skipped if
 * people have another form of it. */
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

/* Prints a field's default.  Without a default it prints an example, the first
 * of the possible words. */
static void print_value(struct flo_buf *out, const struct flo_spec_field *field)
{
    const char *text = field->standard[0] != '\0' ? field->standard : field->possible;

    flo_buf_printf(out, "%.*s", (int)strcspn(text, "|"), text);
}

static void print_meaning(struct flo_buf *out, const struct flo_spec_field *field,
                          const char *indent, const char *mark)
{
    bool is_word = strcmp(field->kind, "WORD") == 0;

    flo_buf_printf(out, "%s#%s %s%s%s%s\n", indent, mark, field->meaning, is_word ? " (" : "",
                   is_word ? field->possible : "", is_word ? ")" : "");
}

static enum flo_spec_part part_of(const struct flo_spec_field *field)
{
    enum flo_spec_part part = FLO_SPEC_SPEC;

    return flo_spec_part_parse(field->possible, &part) ? part : FLO_SPEC_SPEC;
}

/* Prints an object in one line, and above it explanations of its fields. */
static void print_object(struct flo_buf *out, const struct flo_spec_field *of, const char *indent)
{
    enum flo_spec_part part = part_of(of);
    bool is_list = strcmp(of->kind, "LIST") == 0;
    struct flo_spec_field field;
    const char *between = "";
    char mark[48];

    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == part && is_for_people(&field)) {
            snprintf(mark, sizeof(mark), "   - %s:", field.name);
            print_meaning(out, &field, indent, mark);
        }
    }
    flo_buf_printf(out, "%s# %s: %s{", indent, of->name, is_list ? "[" : "");
    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == part && is_for_people(&field)) {
            flo_buf_printf(out, "%s%s: ", between, field.name);
            print_value(out, &field);
            between = ", ";
        }
    }
    flo_buf_printf(out, "}%s\n", is_list ? "]" : "");
}

static void print_comment(struct flo_buf *out, const struct flo_spec_field *field,
                          const char *indent)
{
    print_meaning(out, field, indent, "");
    if (strcmp(field->kind, "PART") == 0 || strcmp(field->kind, "LIST") == 0) {
        print_object(out, field, indent);
    } else if (strcmp(field->kind, "GATES") == 0) {
        flo_buf_printf(out, "%s# gates: {failed: {max_pct: 2}}\n", indent);
    } else if (strcmp(field->kind, "POLICY") == 0) {
        flo_buf_printf(out, "%s# policy: {tries: 3}\n", indent);
    } else {
        flo_buf_printf(out, "%s# %s: ", indent, field->name);
        print_value(out, field);
        flo_buf_printf(out, "\n");
    }
}

/* Prints all fields of a phase as comments. */
static void print_phase(struct flo_buf *out, const char *indent)
{
    struct flo_spec_field field;

    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        if (field.part == FLO_SPEC_PHASE && is_for_people(&field) &&
            strcmp(field.name, "name") != 0 && strcmp(field.name, "size") != 0) {
            print_comment(out, &field, indent);
        }
    }
}

static void print_phases(struct flo_buf *out)
{
    flo_buf_printf(out, "phases:\n"
                        "  - name: canary\n"
                        "    size: 1\n"
                        "  - size: 1%%\n");
    print_phase(out, "    ");
    flo_buf_printf(out, "  - size: 10%%\n"
                        "  - size: 100%%\n");
}

static void print_field(struct flo_buf *out, const struct printer *printer,
                        const struct flo_spec_field *field)
{
    if (strcmp(field->name, "release") == 0) {
        print_meaning(out, field, "", "");
        flo_buf_printf(out, "release: %s\n", printer->release);
    } else if (strcmp(field->name, "target") == 0) {
        print_meaning(out, field, "", "");
        flo_buf_printf(out, "target:\n  group: %s\n", printer->group);
    } else if (strcmp(field->name, "phases") == 0) {
        print_meaning(out, field, "", "");
        print_phases(out);
    } else {
        print_comment(out, field, "");
    }
    flo_buf_printf(out, "\n");
}

int flo_cmd_rollout_init(struct flo_cli *cli, struct flo_err *err)
{
    const struct flo_args *args = &cli->args;
    struct printer printer = {.release = args->word_count > 0 ? args->words[0] : "MODEL@VERSION",
                              .group = flo_args_text(args, "group", "all")};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_spec_field field;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    if (args->word_count > 0) {
        int rv = flo_release_title_parse(printer.release, model, version, err);
        FLO_TRY(rv);
    }
    if (!flo_name_is_valid(printer.group)) {
        return flo_fail(err, FLO_E_USAGE, "--group `%.80s` is no name", printer.group);
    }
    flo_buf_text(&out, "# A rollout: flotilla rollout start -f FILE "
                       "[--dry-run]\n"
                       "# All but `release` may be left out.\n\n");
    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        /* `group` is not printed, because it is another way to write the
         * target, which is printed. */
        if (field.part == FLO_SPEC_SPEC && is_for_people(&field) &&
            strcmp(field.name, "group") != 0) {
            print_field(&out, &printer, &field);
        }
    }
    if (out.failed) {
        return flo_fail(err, FLO_E_MEMORY, "rollout.yaml");
    }
    flo_out_whole(cli, "file", out.data);
    return 0;
}
