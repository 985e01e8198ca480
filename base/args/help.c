/* Help: writes texts in two columns, 80 characters wide. */
#include <ctype.h>
#include <string.h>

#include "base/args/parts.h"

#define COLUMN 27 /* column of a flag's help: the width of "  --release-version TEXT " */
#define WIDTH 80
#define NOUN_COLUMN 17 /* column of a noun's help: the width of "  change-freeze  " */
#define START_COLUMN 6

void flo_args_call(const struct flo_args_program *program, const struct flo_verb *verb, char *out)
{
    bool is_named = verb != NULL && verb->name[0] != '\0';

    snprintf(out, FLO_CALL_BYTES, "%s%s%s", program->name, is_named ? " " : "",
             is_named ? verb->name : "");
}

/* Returns the width of a text in characters, whatever number of bytes they
 * have. */
static size_t columns(const char *text)
{
    size_t count = 0;

    for (; text[0] != '\0'; text++) {
        count += ((unsigned char)text[0] & 0xc0) != 0x80;
    }
    return count;
}

/* Prints `text` from `column` on, wrapped to as many lines as needed.  `at` is
 * the present column of the line. */
static void wrap(struct flo_buf *out, size_t at, size_t column, const char *text)
{
    if (at + 1 > column) {
        flo_buf_text(out, "\n");
        at = 0;
    }
    flo_buf_printf(out, "%*s", (int)(column - at), "");
    for (at = column; text[0] != '\0';) {
        size_t chars = strcspn(text, " ");
        if (at > column && at + 1 + chars > WIDTH) {
            flo_buf_printf(out, "\n%*s", (int)column, "");
            at = column;
        }
        flo_buf_printf(out, "%s%.*s", at > column ? " " : "", (int)chars, text);
        at += chars + (at > column);
        text += chars;
        text += strspn(text, " ");
    }
    flo_buf_text(out, "\n");
}

static void help_flags(const struct flo_flag *flag, struct flo_buf *out)
{
    for (; flag != NULL && flag->name != NULL; flag++) {
        char head[160], help[512], letter[] = "-?, ";

        letter[1] = flag->letter;
        snprintf(head, sizeof(head), "  %s%s%s%s%s", flag->letter != 0 ? letter : "",
                 flag->name[1] == '\0' ? "-" : "--", flag->name, flag->value != NULL ? " " : "",
                 flag->value != NULL ? flag->value : "");
        snprintf(help, sizeof(help), "%s%s%s", flag->help, flag->more != NULL ? " " : "",
                 flag->more != NULL ? flag->more() : "");
        flo_buf_text(out, head);
        wrap(out, columns(head), COLUMN, help);
    }
}

static void help_example(const struct flo_args_program *program, const struct flo_verb *verb,
                         struct flo_buf *out)
{
    char call[FLO_CALL_BYTES];

    flo_args_call(program, verb, call);
    flo_buf_printf(out, "  %s%s%s\n", call, verb->example[0] != '\0' ? " " : "", verb->example);
}

static void help_verb(const struct flo_args_program *program, const struct flo_verb *verb,
                      struct flo_buf *out)
{
    char call[FLO_CALL_BYTES];

    flo_args_call(program, verb, call);
    flo_buf_printf(out, "usage: %s%s%s\n\n%c%s.\n\n", call, verb->usage[0] != '\0' ? " " : "",
                   verb->usage, toupper((unsigned char)verb->help[0]), verb->help + 1);
    for (size_t i = 0; i < FLO_VERB_TABLES; i++) {
        help_flags(verb->flags[i], out);
    }
    if (verb->example != NULL) {
        flo_buf_text(out, "\nExample:\n");
        help_example(program, verb, out);
    }
    if (verb->more != NULL) {
        flo_buf_printf(out, "\n%s", verb->more);
    }
    if (program->flags != NULL) {
        flo_buf_printf(out, "\nFlags of every command: %s --help\n", program->name);
    }
}

static void help_verbs(const struct flo_args_program *program, const char *noun,
                       struct flo_buf *out)
{
    size_t most = 0;

    for (size_t i = 0; i < program->count; i++) {
        size_t chars = strlen(program->verbs[i]->name);
        most = chars > most ? chars : most;
    }
    for (size_t i = 0; i < program->count; i++) {
        const struct flo_verb *verb = program->verbs[i];
        size_t chars = strcspn(verb->name, " ");
        if (noun == NULL || (strncmp(noun, verb->name, chars) == 0 && noun[chars] == '\0')) {
            flo_buf_printf(out, "  %s", verb->name);
            wrap(out, 2 + strlen(verb->name), most + 4, verb->help);
        }
    }
}

/* ---- a program whose verbs have groups ---- */

/* Prints a line for each noun, with the names of its verbs.  A verb without a
 * noun has a line with its help text. */
static void help_group(const struct flo_args_program *program, const char *group,
                       struct flo_buf *out)
{
    const char *last = "";

    flo_buf_printf(out, "\n%s:\n", group);
    for (size_t i = 0; i < program->count; i++) {
        const char *name = program->verbs[i]->name;
        size_t chars = strcspn(name, " ");
        FLO_CLEANUP(flo_buf_deinit) struct flo_buf verbs = {0};

        if (strcmp(program->verbs[i]->group, group) != 0 ||
            (name[chars] == ' ' && strncmp(last, name, chars + 1) == 0)) {
            continue;
        }
        last = name;
        for (size_t k = i; name[chars] == ' ' && k < program->count; k++) {
            const char *other = program->verbs[k]->name;
            if (strncmp(other, name, chars + 1) == 0) {
                flo_buf_printf(&verbs, "%s%s", k > i ? ", " : "", other + chars + 1);
            }
        }
        flo_buf_printf(out, "  %.*s", (int)chars, name);
        wrap(out, 2 + chars, NOUN_COLUMN,
             name[chars] == ' ' && !verbs.failed ? (const char *)verbs.data
                                                 : program->verbs[i]->help);
    }
}

static void help_groups(const struct flo_args_program *program, struct flo_buf *out)
{
    const char *last = "";

    flo_buf_text(out, "Start here:\n");
    for (size_t i = 0; program->start[i] != NULL; i++) {
        help_example(program, program->start[i], out);
        wrap(out, 0, START_COLUMN, program->start[i]->help);
    }
    for (size_t i = 0; i < program->count; i++) {
        const char *group = program->verbs[i]->group;
        if (strcmp(last, group) != 0) {
            help_group(program, group, out);
        }
        last = group;
    }
}

void flo_args_help(const struct flo_args_program *program, const char *noun,
                   const struct flo_verb *verb, struct flo_buf *out)
{
    if (program->count == 1 && program->verbs[0]->name[0] == '\0') {
        verb = program->verbs[0];
    }
    if (verb != NULL) {
        help_verb(program, verb, out);
        return;
    }
    flo_buf_printf(out, "usage: %s %s%s [FLAG...]\n\n", program->name,
                   noun == NULL ? "COMMAND" : noun, noun == NULL ? "" : " COMMAND");
    if (noun == NULL) {
        flo_buf_printf(out, "%s.\n\n", program->about);
    }
    if (noun == NULL && program->start != NULL) {
        help_groups(program, out);
    } else {
        help_verbs(program, noun, out);
    }
    if (program->flags != NULL && noun == NULL) {
        flo_buf_text(out, "\nFlags of every command:\n\n");
        help_flags(program->flags, out);
    }
    if (program->more != NULL && noun == NULL) {
        flo_buf_printf(out, "\n%s", program->more);
    }
    flo_buf_printf(out, "\n%s%s%s COMMAND --help tells its flags, with an example.\n",
                   program->name, noun == NULL ? "" : " ", noun == NULL ? "" : noun);
}
