/* flotilla-engine draft: tells whether a draft file belongs to a model. */
#include <inttypes.h>
#include <stdio.h>

#include <flotilla/drafter.h>

#include "engine/commands/commands.h"
#include "engine/tools/common.h"

static void print_text(const struct flo_drafter_info *info)
{
    printf("kind        %s\nmemory      %12" PRIu64 " bytes\n", flo_drafter_names[info->kind],
           info->bytes);
    if (info->contexts > 0) {
        printf("contexts    %12" PRIu32 "\n", info->contexts);
    }
}

static void print_json(const struct flo_drafter_info *info)
{
    printf("{\"kind\":\"%s\",\"bytes\":%" PRIu64 ",\"contexts\":%" PRIu32 "}\n",
           flo_drafter_names[info->kind], info->bytes, info->contexts);
}

static int check(struct flo_tool *tool, const struct flo_engine *engine, struct flo_err *err)
{
    static const struct flo_drafter_options options = {.threads = 1};
    const char *path = tool->args.words[1];
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_drafter *drafter = NULL;

    FLO_TRY(flo_file_open(path, &fd, err));
    int rv = flo_drafter_open_fd(fd, engine, &options, &drafter, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    (tool->args.is_json ? print_json : print_text)(flo_drafter_info(drafter));
    flo_drafter_close(drafter);
    return 0;
}

static int draft(void *context, struct flo_err *err)
{
    struct flo_tool *tool = context;
    const struct flo_engine_options options = {
        .threads = 1, .vocabulary = FLO_VOCABULARY_NEEDED, .packed = ""};
    struct flo_engine *engine = NULL;

    FLO_TRY(flo_engine_open(tool->args.words[0], &options, &engine, err));
    int rv = check(tool, engine, err);
    flo_engine_close(engine);
    return rv;
}

static struct flo_tool state;
const struct flo_verb flo_verb_draft = {
    .name = "draft",
    .help = "whether a draft file belongs to a model, and its memory",
    .usage = "MODEL DRAFT [--json]",
    .flags = {FLO_FLAGS_JSON},
    .state = &state,
    .run = draft,
    .example = "helpdesk.gguf helpdesk.draft",
};
