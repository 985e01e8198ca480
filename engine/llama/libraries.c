/* Libraries: finds llama.cpp's library for this CPU, loads it, and keeps its
 * messages.  llama.cpp's own loader is not used.  It would load every library
 * of the folder, those of GPUs too, and one that the environment names. */
#include <dirent.h>
#include <dlfcn.h>
#include <string.h>

#include <ggml-backend.h>

#include "engine/llama/llama_filler.h"

static char said[256]; /* last message of an error from the library */

static void hear(enum ggml_log_level level, const char *text, void *context)
{
    (void)context;
    if (level == GGML_LOG_LEVEL_ERROR) {
        snprintf(said, sizeof(said), "%s", text);
        said[strcspn(said, "\n")] = '\0';
    }
}

void flo_llama_forget(void)
{
    said[0] = '\0';
}

int flo_llama_fail(struct flo_err *err, int code, const char *what)
{
    flo_fail(err, code, "%s", what);
    if (said[0] != '\0') {
        flo_err_why(err, "llama.cpp says: %s", said);
    }
    return code;
}

/* Returns how well a library suits this CPU.  0 means that it needs
 * instructions that this CPU lacks, or is no such library. */
static int score_of(const char *path)
{
    int (*score)(void) = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int value = 0;

    if (library == NULL) {
        return 0;
    }
    void *found = dlsym(library, "ggml_backend_score");
    memcpy(&score, &found, sizeof(score));
    if (found != NULL) {
        value = score();
    } else if (dlsym(library, "ggml_backend_init") != NULL) {
        value = 1; /* a library that is built for one kind of CPU has no score */
    }
    dlclose(library);
    return value;
}

static bool is_library(const char *name)
{
    static const char prefix[] = "libggml-cpu", suffix[] = ".so";
    const char *end = strrchr(name, '.');

    return strncmp(name, prefix, sizeof(prefix) - 1) == 0 && end != NULL &&
           strcmp(end, suffix) == 0;
}

int flo_llama_library(const char *folder, char *path, size_t bytes, struct flo_err *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char candidate[4096];
    int best = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        bool fits = is_library(entry->d_name) &&
                    flo_path_join(candidate, sizeof(candidate), folder, entry->d_name) &&
                    strlen(candidate) < bytes;
        int score = fits ? score_of(candidate) : 0;

        if (score > best) {
            best = score;
            memcpy(path, candidate, strlen(candidate) + 1);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (best > 0) {
        return 0;
    }
    flo_fail(err, FLO_E_ABSENT, "no library of llama.cpp for this CPU in %s", folder);
    return flo_err_fix(err, "install the package flotilla-llamacpp");
}

int flo_llama_prepare(struct flo_err *err)
{
    char path[4096];

    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL) {
        return 0;
    }
    llama_log_set(hear, NULL);
    FLO_TRY(flo_llama_library(FLOTILLA_LLAMA_FOLDER, path, sizeof(path), err));
    if (ggml_backend_load(path) == NULL) {
        return flo_llama_fail(err, FLO_E_ABSENT, "llama.cpp's library for this CPU loads not");
    }
    llama_backend_init();
    return 0;
}
