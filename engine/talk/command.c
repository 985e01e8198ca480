/* Command: parses the commands of a chat, which are lines that begin with
 * "/". */
#include "engine/talk/talk.h"

#include <string.h>

static const struct {
    enum flo_talk_command command;
    const char *name;
} rows[] = {
#define FLO_TALK_COMMAND(command, name, words, meaning) {FLO_TALK_##command, name},
#define FLO_TALK_ALIAS(command, name) {FLO_TALK_##command, name},
#include "engine/talk/commands.def"
};

const char flo_talk_help[] = "Commands of a chat:\n"
#define FLO_TALK_COMMAND(command, name, words, meaning) "  /" name words meaning "\n"
#define FLO_TALK_ALIAS(command, name)
#include "engine/talk/commands.def"
                             "  \"\"\"TEXT\"\"\"       a text of several lines\n"
                             "  TEXT\\            the text goes on in the next line\n"
                             "  Ctrl-C           stop the answer and keep its text\n";

static int unknown(const char *line, const char *name, struct flo_err *err)
{
    const char *names[FLO_COUNT(rows)];

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        names[i] = rows[i].name;
    }
    const char *near = flo_nearest(name, names, FLO_COUNT(rows));
    flo_fail(err, FLO_E_USAGE, "there is no command `/%.*s`",
             (int)strcspn(line, " \n") > 40 ? 40 : (int)strcspn(line, " \n"), line);
    return near != NULL ? flo_err_fix(err, "did you mean `/%s`?", near)
                        : flo_err_fix(err, "/help lists them; a text that begins with a "
                                           "slash stands between two \"\"\"");
}

int flo_talk_command(const char *line, enum flo_talk_command *command, const char **rest,
                     struct flo_err *err)
{
    size_t chars = strcspn(line, " \n"), row = 0;
    const char *words = line + chars + strspn(line + chars, " ");
    char name[16] = "";

    if (chars < sizeof(name)) {
        memcpy(name, line, chars);
    }
    while (row < FLO_COUNT(rows) && strcmp(rows[row].name, name) != 0) {
        row++;
    }
    if (row == FLO_COUNT(rows)) {
        return unknown(line, name, err);
    }
    bool takes_words = rows[row].command == FLO_TALK_SET || rows[row].command == FLO_TALK_SHOW;
    if (!takes_words && words[0] != '\0') {
        return flo_fail(err, FLO_E_USAGE, "`/%s` takes no words, not `%.40s`", name, words);
    }
    *command = rows[row].command;
    *rest = words;
    return 0;
}
