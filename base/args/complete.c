/* Completion: finds the words that may come at the cursor, from the tables of
 * verbs and flags.
 *
 * A shell calls `program __complete WORD...` with the words after the program's
 * name, the last one as far as it is typed.  Each line of the answer is
 * "word<TAB>meaning"; ":files" means file names. */
#include <string.h>

#include "base/args/parts.h"

struct spot {
    const struct flo_args_program *program;
    struct flo_args line; /* flags that were typed before the cursor, for the program's names() */
    const char *noun;
    const struct flo_flag *open; /* the flag whose value is being typed */
    const char *prefix;
    struct flo_buf *out;
};

static void offer(const struct spot *spot, const char *word, size_t chars, const char *meaning)
{
    size_t typed = strlen(spot->prefix);

    if (typed <= chars && strncmp(spot->prefix, word, typed) == 0) {
        flo_buf_printf(spot->out, "%.*s\t%.*s\n", (int)chars, word, (int)strcspn(meaning, "\n"),
                       meaning);
    }
}

/* ---- where the cursor is ---- */

static void take_flag(struct spot *spot, const char *word)
{
    struct flo_args *line = &spot->line;
    const struct flo_flag *flag = line->verb != NULL ? flo_args_find(line, word, false)
                                                     : flo_args_find_in(spot->program->flags, word);
    const char *value = flo_args_value_in(word);

    if (flag == NULL) {
        return;
    }
    if (flag->value != NULL && value == NULL) {
        spot->open = flag;
    } else if (line->flag_count < FLO_ARGS_MAX) {
        line->flags[line->flag_count] = flag;
        line->values[line->flag_count++] = value != NULL ? value : "";
    }
}

static void take_word(struct spot *spot, const char *word)
{
    struct flo_args *line = &spot->line;

    if (spot->open != NULL) {
        if (line->flag_count < FLO_ARGS_MAX) {
            line->flags[line->flag_count] = spot->open;
            line->values[line->flag_count++] = word;
        }
        spot->open = NULL;
    } else if (flo_args_is_flag(word)) {
        take_flag(spot, word);
    } else if (line->verb == NULL) {
        line->verb = flo_args_verb_named(spot->program, spot->noun, word);
        spot->noun = spot->noun == NULL ? flo_args_plain(spot->program, word) : spot->noun;
    } else if (line->word_count < FLO_ARGS_MAX) {
        line->words[line->word_count++] = word;
    }
}

/* ---- what may stand there ---- */

static void offer_verbs(const struct spot *spot)
{
    const struct flo_args_program *program = spot->program;
    const char *last = "";

    for (size_t i = 0; i < program->count; i++) {
        const struct flo_verb *verb = program->verbs[i];
        size_t first = strcspn(verb->name, " ");
        bool is_noun = verb->name[first] == ' ';
        if (spot->noun == NULL) {
            bool is_again = strncmp(last, verb->name, first + 1) == 0;
            if (!is_again && first > 0) {
                offer(spot, verb->name, first, is_noun ? "" : verb->help);
            }
            last = is_noun ? verb->name : "";
        } else if (is_noun && strncmp(spot->noun, verb->name, first) == 0 &&
                   spot->noun[first] == '\0') {
            const char *word = verb->name + first + 1;
            offer(spot, word, strlen(word), verb->help);
        }
    }
}

static void offer_table(const struct spot *spot, const struct flo_flag *flag)
{
    char word[80];

    for (; flag != NULL && flag->name != NULL; flag++) {
        int chars = snprintf(word, sizeof(word), "--%s", flag->name);
        offer(spot, word, (size_t)chars, flag->help);
    }
}

static void offer_flags(const struct spot *spot)
{
    const struct flo_verb *verb = spot->line.verb;

    for (size_t i = 0; verb != NULL && i < FLO_VERB_TABLES; i++) {
        offer_table(spot, verb->flags[i]);
    }
    offer_table(spot, spot->program->flags);
    offer(spot, "--help", 6, "what it does, and its flags");
}

static bool is_word_of_files(const char *what, size_t chars)
{
    static const char *const words[] = {"FILE", "DIR",  "KEY",   "GGUF", "JSON",
                                        "CSV",  "BODY", "DRAFT", "TEXT", "PATH"};

    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        for (size_t k = 0; k + strlen(words[i]) <= chars; k++) {
            if (strncmp(what + k, words[i], strlen(words[i])) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Offers the words that `what` allows.  It is a list "json|table", or a name
 * such as "FILE", "NAME" or "MODEL@VERSION...". */
static void offer_values(const struct spot *spot, const char *what, size_t chars)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf names = {0};
    char word[64];
    const char *at;

    snprintf(word, sizeof(word), "%.*s", (int)chars, what);
    if (strpbrk(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ…") == NULL) {
        for (at = word; at[0] != '\0'; at += at[0] == '|') {
            offer(spot, at, strcspn(at, "|"), "");
            at += strcspn(at, "|");
        }
        return;
    }
    if (is_word_of_files(what, chars)) {
        flo_buf_text(spot->out, ":files\n");
        return;
    }
    if (spot->program->names == NULL) {
        return;
    }
    spot->program->names(&spot->line, word, &names);
    for (at = names.failed || names.data == NULL ? "" : names.data; at[0] != '\0';
         at += strcspn(at, "\n") + 1) {
        size_t name = strcspn(at, "\t\n");
        offer(spot, at, name, at[name] == '\t' ? at + name + 1 : "");
    }
}

/* Offers values for the next word of the verb's usage. */
static void offer_word(const struct spot *spot)
{
    const char *usage = spot->line.verb->usage;
    size_t skipped = 0;

    while (usage[0] != '\0' && usage[0] != '-') {
        const char *word = usage + (usage[0] == '[');
        size_t all = strcspn(usage, " ");
        size_t chars = strcspn(word, " ].");
        bool is_many = strncmp(word + chars, "...", 3) == 0;
        if (word[0] == '-' || word[0] == '|') {
            break;
        }
        if (skipped == spot->line.word_count || is_many) {
            offer_values(spot, word, chars);
            return;
        }
        skipped++;
        usage += all + (usage[all] == ' ');
    }
}

void flo_args_complete(const struct flo_args_program *program, int argc, char *const *argv,
                       struct flo_buf *out)
{
    struct spot spot = {.program = program, .line.program = program, .prefix = "", .out = out};
    char cut[160];

    if (program->count == 1 && program->verbs[0]->name[0] == '\0') {
        spot.line.verb = program->verbs[0];
    }
    for (int i = 0; i + 1 < argc; i++) {
        take_word(&spot, argv[i]);
    }
    spot.prefix = argc > 0 ? argv[argc - 1] : "";
    const char *value = strchr(spot.prefix, '=');
    if (spot.open == NULL && flo_args_is_flag(spot.prefix) && value != NULL) {
        snprintf(cut, sizeof(cut), "%.*s", (int)(value - spot.prefix), spot.prefix);
        take_flag(&spot, cut);
        spot.prefix = value + 1;
    }
    if (spot.open != NULL) {
        offer_values(&spot, spot.open->value, strlen(spot.open->value));
    } else if (spot.prefix[0] == '-') {
        offer_flags(&spot);
    } else if (spot.line.verb == NULL) {
        offer_verbs(&spot);
    } else {
        offer_word(&spot);
    }
}
