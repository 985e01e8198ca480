/* Import: a folder from Hugging Face in place of a GGUF file.  `flotilla-model
 * import` makes the file in a scratch folder. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "server-stub/cli/create/create.h"

#define NAME "/model.gguf"

static int run_import(const char *folder, const char *type, const char *to, struct flo_err *err)
{
    const char *words[] = {"import", folder, "--to", to, type == NULL ? NULL : "--type",
                           type,     NULL};
    int status = 0;

    FLO_TRY(flo_create_run_model(words, &status, err));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : flo_fail(err, FLO_E_MODEL_FOLDER,
                          "%s: no model was made of it; the reason stands above", folder);
}

int flo_create_import(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *folder = create->files[0].path, *tmp = getenv("TMPDIR");
    const char *type = flo_args_text(&cli->args, "type", NULL);
    struct stat st;

    if (folder == NULL || stat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return type == NULL ? 0
                            : flo_fail(err, FLO_E_USAGE,
                                       "--type is for a folder: a GGUF file has its types");
    }
    snprintf(create->imported, sizeof(create->imported), "%.900s/flotilla-import-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(create->imported) == NULL) {
        flo_fail_errno(err, FLO_E_IO_WRITE, "%s", create->imported);
        create->imported[0] = '\0';
        return FLO_E_IO_WRITE;
    }
    strcat(create->imported, NAME);
    create->files[0].path = create->imported;
    return run_import(folder, type, create->imported, err);
}

void flo_create_import_end(struct flo_create *create)
{
    if (create->imported[0] == '\0') {
        return;
    }
    (void)unlink(create->imported);
    create->imported[strlen(create->imported) - strlen(NAME)] = '\0';
    (void)rmdir(create->imported);
}
