/* flotilla: what operators type.  Finds the command, prints its error once. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/cli/cli.h"
#include "server-stub/cli/flags.h"

struct command {
    const char *noun;
    const char *verb;
    int (*run)(struct flo_cli *cli, struct flo_err *err);
    const struct flo_flag *flags;
    const char *usage;
    const char *help;
};

static const struct command commands[] = {
#define FLO_COMMAND(noun, verb, name, usage, help)                             \
    {noun, verb, flo_cmd_##name, flo_flags_##name, usage, help},
#include "server-stub/cli/commands.def"
#undef FLO_COMMAND
};

/* Commands that need no controller. */
static bool is_local(const struct command *command)
{
    static const char *const nouns[] = {"login", "explain"};
    for (size_t i = 0; i < FLO_COUNT(nouns); i++) {
        if (strcmp(command->noun, nouns[i]) == 0) {
            return true;
        }
    }
    return command->run == flo_cmd_key_create ||
           command->run == flo_cmd_release_sign ||
           command->run == flo_cmd_version;
}

/* The usage of a command that wants a word begins with its name in capitals. */
static bool takes_word(const struct command *command)
{
    return command->usage[0] >= 'A' && command->usage[0] <= 'Z';
}

static const char *alias(const char *word, const char *const (*table)[2],
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, table[i][0]) == 0) {
            return table[i][1];
        }
    }
    return word;
}

static const char *noun_of(const char *word)
{
    static const char *const plurals[][2] = {
        {"devices", "device"},   {"releases", "release"},
        {"rollouts", "rollout"}, {"models", "model"},
        {"tokens", "token"},     {"keys", "key"},
        {"bundles", "bundle"},   {"contexts", "context"},
        {"orders", "order"},     {"--version", "version"}};
    return alias(word, plurals, FLO_COUNT(plurals));
}

static const char *verb_of(const char *word)
{
    static const char *const shorts[][2] = {
        {"ls", "list"}, {"rm", "delete"}, {"show", "get"}};
    return alias(word, shorts, FLO_COUNT(shorts));
}

static void print_help(const char *noun)
{
    puts("Small language models on a fleet of devices: releases, rollouts, "
         "rollback.\n");
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        const struct command *c = &commands[i];
        if (noun == NULL || strcmp(noun, c->noun) == 0) {
            printf("  flotilla %s%s%s %s\n      %s\n", c->noun,
                   c->verb[0] != '\0' ? " " : "", c->verb, c->usage, c->help);
        }
    }
    puts("\nFlags of every command:");
    for (const struct flo_flag *f = flo_global_flags; f->name != NULL; f++) {
        printf("  --%s%s%s\n      %s\n", f->name, f->value != NULL ? " " : "",
               f->value != NULL ? f->value : "", f->help);
    }
}

static void print_command_help(const struct command *c)
{
    printf("%s%c%s\nUSAGE  flotilla %s%s%s %s\n", c->help, '.', "", c->noun,
           c->verb[0] != '\0' ? " " : "", c->verb, c->usage);
    for (const struct flo_flag *f = c->flags; f->name != NULL; f++) {
        printf("  --%s%s%s\n      %s\n", f->name, f->value != NULL ? " " : "",
               f->value != NULL ? f->value : "", f->help);
    }
}

static int unknown_word(const char *word, const char *noun, struct flo_err *err)
{
    const char *words[FLO_COUNT(commands)];
    size_t count = 0;

    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        if (noun == NULL) {
            words[count++] = commands[i].noun;
        } else if (strcmp(commands[i].noun, noun) == 0) {
            words[count++] = commands[i].verb;
        }
    }
    const char *near = flo_nearest(word, words, count);
    flo_fail(err, FLO_E_USAGE, "unknown command `%s%s%s`",
             noun != NULL ? noun : "", noun != NULL ? " " : "", word);
    if (near != NULL && near[0] != '\0') {
        flo_err_fix(err, "did you mean `%s%s%s`?", noun != NULL ? noun : "",
                    noun != NULL ? " " : "", near);
    } else {
        flo_err_fix(err, "flotilla --help lists the commands");
    }
    return FLO_E_USAGE;
}

/* The command of argv[1..]; *used words of argv belong to its name. */
static int find_command(int argc, char **argv, const struct command **out,
                        int *used, struct flo_err *err)
{
    const char *noun = noun_of(argv[1]);
    bool is_noun = false;

    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        if (strcmp(commands[i].noun, noun) != 0) {
            continue;
        }
        is_noun = true;
        bool fits =
            commands[i].verb[0] == '\0' ||
            (argc > 2 && strcmp(commands[i].verb, verb_of(argv[2])) == 0);
        if (fits) {
            *out = &commands[i];
            *used = commands[i].verb[0] == '\0' ? 2 : 3;
            return 0;
        }
    }
    if (!is_noun) {
        return unknown_word(argv[1], NULL, err);
    }
    if (argc < 3 || argv[2][0] == '-') {
        print_help(noun);
        return flo_fail(err, FLO_E_USAGE, "`flotilla %s` needs a verb", noun);
    }
    return unknown_word(argv[2], noun, err);
}

static int run(int argc, char **argv, struct flo_cli *cli, struct flo_err *err)
{
    const struct command *command = NULL;
    int used = 0;
    int rv = find_command(argc, argv, &command, &used, err);

    if (rv == 0) {
        rv = flo_args_parse(argc - used, argv + used, command->flags,
                            &cli->args, err);
    }
    if (rv < 0) {
        return rv;
    }
    if (!takes_word(command) && cli->args.word_count > 0 &&
        !flo_args_has(&cli->args, "help")) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is too much for `%s %s`",
                        cli->args.words[0], command->noun, command->verb);
    }
    if (flo_args_has(&cli->args, "help")) {
        print_command_help(command);
        return 0;
    }
    const char *form = flo_args_text(&cli->args, "output", "table");
    if (strcmp(form, "table") != 0 && strcmp(form, "json") != 0 &&
        strcmp(form, "name") != 0) {
        return flo_fail(err, FLO_E_USAGE,
                        "--output `%s` is none of table, json, name", form);
    }
    cli->json = strcmp(form, "json") == 0;
    cli->quiet = flo_args_has(&cli->args, "quiet");
    cli->is_tty = isatty(STDOUT_FILENO) == 1;
    if (!is_local(command)) {
        rv = flo_context_load(cli, err);
    }
    if (rv == 0) {
        rv = command->run(cli, err);
    }
    if (rv == 0 && fflush(stdout) != 0 && errno != EPIPE) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "standard output");
    }
    return rv;
}

int main(int argc, char **argv)
{
    struct flo_cli cli = {0};
    struct flo_err err = {0};

    signal(SIGPIPE, SIG_IGN);
    flo_args_command_first(argc, argv);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(NULL);
        return argc < 2 ? FLO_EXIT_USAGE : 0;
    }
    int rv = run(argc, argv, &cli, &err);
    flo_http_close(cli.http);
    return rv < 0 ? flo_err_print(stderr, &err) : rv;
}
