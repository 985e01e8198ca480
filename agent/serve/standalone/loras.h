/* The adapters' files of `flotilla-agent serve`: the files that are there,
 * those that are loaded, and the changes to make. */
#ifndef FLOTILLA_SERVE_LORAS_H
#define FLOTILLA_SERVE_LORAS_H

#include "agent/serve/serve.h"

#include <sys/stat.h>

/* Adapters and their open files. */
struct lora_list {
    uint32_t count;
    struct lora_file {
        char name[FLO_NAME_MAX + 1];
        int fd;
        struct stat stat;
        bool is_refused; /* by the engine: not tried again */
    } files[FLO_SERVE_ADAPTERS_MAX];
};
void flo_loras_deinit(struct lora_list *list);

/* Where they are looked for; zero-initialise. */
struct lora_source {
    const char *folder; /* every NAME.gguf in it; NULL: none */
    uint32_t count;
    struct {
        char name[FLO_NAME_MAX + 1];
        const char *path;
    } named[FLO_SERVE_ADAPTERS_MAX];
};
/* "NAME=FILE", which must live on.  FLO_E_USAGE. */
FLO_MUST_USE int flo_loras_name(struct lora_source *source, const char *text, struct flo_err *err);
/* Open all that are there, the named ones first.  A file may be unreadable,
 * have a name that is not allowed, or be one too many.  With `is_strict` this
 * is an error, else the file is logged and left out.  FLO_E_ABSENT,
 * FLO_E_META_NAME, FLO_E_USAGE, FLO_E_IO_OPEN (also of the folder, strict or
 * not); the list is empty then. */
FLO_MUST_USE int flo_loras_open(const struct lora_source *source, bool is_strict,
                                struct lora_list *list, struct flo_err *err);

/* The first one of `loaded` that is not wanted any more; then the first wanted
 * one that is not loaded, or from another file.  NULL: none. */
const struct lora_file *flo_loras_to_drop(const struct lora_list *loaded,
                                          const struct lora_list *wanted);
struct lora_file *flo_loras_to_load(const struct lora_list *loaded, struct lora_list *wanted);
/* The adapter is loaded: its descriptor is taken. */
void flo_loras_put(struct lora_list *loaded, struct lora_file *file);
void flo_loras_remove(struct lora_list *loaded, const char *name);
struct lora_file *flo_loras_find(struct lora_list *list, const char *name);

#endif
